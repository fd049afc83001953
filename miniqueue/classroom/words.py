"""The real work of the demo: count the words of a file of Python's standard library."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from pathlib import Path

from miniqueue.registry import task

__all__ = ["count_words"]

WORD = re.compile(r"\w+")


@task
def count_words(path: str) -> dict[str, int]:
    """How often each word stands in a file; `path` is below the standard library's folder."""
    root = Path(sysconfig.get_paths()["stdlib"]).resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root) or file.suffix != ".py":
        raise ValueError(f"{path!r} is not a .py file of the standard library")
    return dict(Counter(WORD.findall(file.read_text(encoding="utf-8", errors="replace"))))
