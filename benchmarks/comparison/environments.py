"""An environment a peer: their requirements do not resolve together (arq asks for redis<6).

Made with uv where it is on PATH, else with venv and pip; used again while the requirements and the
Python are the same, which a stamp inside says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["EnvironmentFailed", "default_folder", "python_of"]

PATIENCE_S = 600.0
STAMP = ".requirements"


class EnvironmentFailed(Exception):
    """An environment could not be made; the message says what pip or uv said last."""


def default_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "miniqueue-bench"


def python_of(folder: Path, requires: Sequence[str]) -> str:
    """The Python of the environment in `folder`, which is made if need be."""
    python = folder / "bin" / "python"
    stamp = folder / STAMP
    wanted = "\n".join([sys.version, *requires]) + "\n"
    if stamp.is_file() and python.exists() and stamp.read_text() == wanted:
        return str(python)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if uv := shutil.which("uv"):
        call([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode"]  # as pip does unasked
        call([*install, "--python", str(python), *requires])
    else:
        call([sys.executable, "-m", "venv", str(folder)])
        call([str(python), "-m", "pip", "install", "--quiet", *requires])
    stamp.write_text(wanted)
    return str(python)


def call(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFailed(f"no environment: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise EnvironmentFailed(f"no environment: {' '.join(said[-2:]).strip()}")
