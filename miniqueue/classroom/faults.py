"""The other end of the dashboard's fault buttons: a stack does to its processes what is asked."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from miniqueue.errors import StackError

if TYPE_CHECKING:
    from miniqueue.classroom.stack import Stack

__all__ = ["listen"]

PAUSE_S = 3.0


def listen(stack: Callable[[], Stack | None], cleanup: list[Callable[[], object]]) -> str:
    """Listen on loopback until the cleanup; gives the address, which holds a secret."""
    path = f"/{secrets.token_urlsafe(24)}"
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(path, stack))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    cleanup += [server.server_close, server.shutdown]  # the last is done first
    return f"http://127.0.0.1:{server.server_address[1]}{path}"


def _handler(path: str, stack: Callable[[], Stack | None]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not secrets.compare_digest(self.path.encode(), path.encode()):
                self.answer(404, "no")
                return
            asked = json.loads(self.rfile.read(min(10_000, int(self.headers["Content-Length"]))))
            try:
                self.answer(200, json.dumps({"done": _do(stack(), **asked)}))
            except StackError as error:
                self.answer(409, str(error))

        def answer(self, status: int, text: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: standard error is the notebook's."""

    return Handler


def _do(stack: Stack | None, fault: str, worker: str) -> str:
    if stack is None or not stack.running:
        raise StackError("this stack has been stopped")
    if fault == "pause-redis":
        with stack.redis_paused():
            time.sleep(PAUSE_S)
        return f"Redis stood still for {PAUSE_S:g} s"
    names = [one.name for one in stack.workers]
    if worker not in names:
        raise StackError(f"no worker of this stack is called {worker!r}")
    do = {"kill": stack.kill_worker, "freeze": stack.freeze_worker, "thaw": stack.thaw_worker}
    return f"{fault}: {do[fault](names.index(worker))}"
