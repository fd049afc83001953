"""Rates: how many requests a second one caller may make. A token bucket each, in this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

__all__ = ["Rates"]

BURST_S = 2.0  # who was quiet may catch up on so much
MOST_CALLERS = 10_000  # that are remembered; the one not seen for longest is forgotten


class Rates:
    """`wait_s(caller)` is 0 where one more request is allowed now, else the time until it is.

    >>> rates = Rates(1.0, clock=iter([0.0, 0.0, 0.0, 1.0]).__next__)
    >>> [rates.wait_s("ada") for _ in range(4)]
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, a_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._a_second = a_second
        self._burst = max(1.0, a_second * BURST_S)
        self._clock = clock
        self._full_at: OrderedDict[object, float] = OrderedDict()  # when each bucket is full again

    def wait_s(self, caller: object) -> float:
        """Count one request, if it is allowed."""
        now = self._clock()
        full_at = max(now, self._full_at.pop(caller, now)) + 1 / self._a_second
        wait_s = full_at - now - self._burst / self._a_second
        self._full_at[caller] = full_at if wait_s <= 1e-9 else full_at - 1 / self._a_second
        if len(self._full_at) > MOST_CALLERS:
            self._full_at.popitem(last=False)
        return wait_s if wait_s > 1e-9 else 0.0
