"""`miniqueue worker --reload`: a worker that starts anew when Python code below this folder
changes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import watchfiles

__all__ = ["run_reloading"]


def run_reloading(words: Sequence[str]) -> int:
    """Run `miniqueue WORDS` and, after each change of a .py file, stop it gracefully and run it
    again.
    """
    command = " ".join([f'"{sys.executable}"', "-m", "miniqueue", *(f'"{word}"' for word in words)])
    watchfiles.run_process(
        ".",
        target=command,
        target_type="command",
        watch_filter=watchfiles.PythonFilter(),
        sigint_timeout=15,
        callback=lambda changes: print(f"{len(changes)} files changed: starting anew", flush=True),
    )
    return 0
