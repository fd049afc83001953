"""Standard output and logs as the process of a worker has them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from miniqueue.middleware import Capture


@contextlib.contextmanager
def captured() -> Iterator[None]:
    """What `serve` does for the process of a worker, undone at the end."""
    stdout, handlers = sys.stdout, list(logging.getLogger().handlers)
    Capture.install()
    try:
        yield
    finally:
        sys.stdout, logging.getLogger().handlers = stdout, handlers
