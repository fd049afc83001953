"""Signals: what tells a worker to stop, heard even while a task is in code outside Python."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

__all__ = ["on_signal"]


def on_signal(act: Callable[[], object], *numbers: int) -> None:
    """Act on these signals, in a thread, even while the main thread is in code outside Python.

    There a handler would wait; but the interpreter writes the number to the wakeup fd at once.
    """
    for number in numbers:
        signal.signal(number, lambda *_: None)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)

    def listen() -> None:
        with theirs:  # not to be closed while the interpreter writes to it
            while heard := ours.recv(64):
                if set(numbers) & set(heard):
                    act()

    threading.Thread(target=listen, name="signals", daemon=True).start()
