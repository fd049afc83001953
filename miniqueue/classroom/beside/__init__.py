"""The tab beside the notebook: the newest stack's dashboard, and without one, how to start one.

jupyter-server-proxy finds `server()` by its entry point. It runs `python -m
miniqueue.classroom.beside PORT` when the tab is first opened, and shows it at `miniqueue/`; the
page there holds the dashboard in a frame, which comes through `proxy/PORT/` as well. So all of it
is reached where JupyterLab is: on this machine, in Codespaces, on Binder and JupyterHub.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import miniqueue

__all__ = ["server"]


def server() -> dict[str, Any]:
    """What jupyter-server-proxy is to run, and the tile in JupyterLab's launcher that opens it."""
    icon = Path(miniqueue.__file__).parent / "dashboard" / "icon.svg"
    tile = {"title": "Dashboard", "icon_path": str(icon), "category": "Other"}
    return {
        "command": [sys.executable, "-m", __name__, "{port}"],
        "timeout": 30,
        "new_browser_tab": False,
        "launcher_entry": tile,
    }
