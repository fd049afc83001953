"""Run one command and never leave it behind. A script of its own: `supervisor.py LOG GRACE_S
COMMAND…`.

Standard input is a pipe from the process that wants the service. When that process ends, however
it ends, the kernel closes the pipe and the supervisor ends the service: SIGTERM, then SIGKILL.
Both run in sessions of their own, so a notebook's stop button (SIGINT to the kernel's group)
reaches neither. Prints the pid of the service, and exits with its exit code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    log, grace_s, *command = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(log, "ab") as out:
        service = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    signal.signal(signal.SIGTERM, lambda *_: end(service, float(grace_s)))
    with contextlib.suppress(OSError):
        os.write(1, f"{service.pid}\n".encode())
    threading.Thread(target=watch, args=(service, float(grace_s)), daemon=True).start()
    code = service.wait()
    strike(service, signal.SIGKILL)  # what the service itself has left behind
    return 128 - code if code < 0 else code


def watch(service: subprocess.Popen[bytes], grace_s: float) -> None:
    """Wait for the end of the pipe."""
    while os.read(0, 1024):
        pass
    end(service, grace_s)


def end(service: subprocess.Popen[bytes], grace_s: float) -> None:
    strike(service, signal.SIGTERM)
    strike(service, signal.SIGCONT)  # a frozen process cannot act on SIGTERM
    try:
        service.wait(grace_s)
    except subprocess.TimeoutExpired:
        strike(service, signal.SIGKILL)


def strike(service: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(service.pid, number)


if __name__ == "__main__":
    sys.exit(main())
