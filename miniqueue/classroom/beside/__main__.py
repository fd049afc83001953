"""`python -m miniqueue.classroom.beside PORT`: serve the page, and say which stack is the newest.

Nothing is kept here: the page asks once a second, and what it gets are files and a port. Only this
machine can ask; jupyter-server-proxy does, for whoever may use JupyterLab.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from miniqueue.classroom.newest import newest

FOLDER = Path(__file__).parent
FILES = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
)


class Handler(BaseHTTPRequestHandler):
    """The page's files, and `/newest`: {"port": ...}, null where no stack runs."""

    def do_GET(self) -> None:
        if self.path == "/newest":
            self.answer("application/json", json.dumps({"port": newest()}).encode())
        elif name := FILES.get(self.path):
            file = FOLDER / name
            self.answer(f"{KINDS[file.suffix]}; charset=utf-8", file.read_bytes())
        else:
            self.send_error(404)

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: standard error is JupyterLab's terminal."""


class Server(ThreadingHTTPServer):
    """Ends with the process that has started it, even where that is killed."""

    daemon_threads = True
    parent = os.getppid()

    def service_actions(self) -> None:
        if os.getppid() != self.parent:
            sys.exit()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is JupyterLab's: it asks, and ends us
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
