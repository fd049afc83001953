"""Outcome: what the end of a run means for its task: kept, tried again, failed, cancelled. Pure."""

from __future__ import annotations

import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from miniqueue.errors import Retry
from miniqueue.executor import Interrupted
from miniqueue.options import Handling
from miniqueue.protocol.records import Claimed, Completion, Failure
from miniqueue.registry import USUAL, TaskFunction
from miniqueue.task import backoff, encode_json

__all__ = ["Run", "completion", "failure"]

NO_LINES: deque[str] = deque(maxlen=0)
YEAR_S = 31_536_000.0
MOST_LINES = 1000  # log lines of a run that wait to be sent
LATE_S = 1.0  # a run that goes on so long after it was interrupted is told of


@dataclass(slots=True)
class Run:
    """A task that runs now: `deadline` and `began` are monotonic, `started_ms` is Redis' clock."""

    task: Claimed
    function: TaskFunction[..., Any] | None  # None: this worker does not know it
    began: float
    started_ms: int
    deadline: float
    lines: deque[str] = field(default_factory=lambda: NO_LINES)  # its own from the first line on
    _line: str = ""

    def log(self, *lines: str) -> None:
        """Keep log lines, the newest ones."""
        if self.lines is NO_LINES:
            self.lines = deque(maxlen=MOST_LINES)
        self.lines.extend(lines)

    def write(self, text: str) -> None:
        """Add printed text; whole lines are kept, and what is behind them waits for its end."""
        *whole, rest = (self._line + text).split("\n")
        self.log(*(line[:1000] for line in whole))
        self._line = rest[:1000]

    def end_line(self) -> None:
        """Keep a last line that has no end."""
        if self._line:
            self.write("\n")

    @property
    def handling(self) -> Handling:
        """How its function is handled."""
        return USUAL if self.function is None else self.function.handling

    @property
    def run_ms(self) -> float:
        """How long it has run, to the microsecond."""
        return round((time.monotonic() - self.began) * 1000, 3)


def completion(run: Run, result: str) -> Completion:
    """A run that returned; `result` is JSON text."""
    return Completion(run.task.id, run.task.attempt, result, run.started_ms, run.run_ms)


def failure(run: Run, error: BaseException) -> Failure:
    """A run that raised: tried again while attempts are left, unless it is told not to."""
    task, handling = run.task, run.handling
    tries = task.attempt - task.released
    over = tries >= task.max_attempts or (
        not isinstance(error, (Retry, Interrupted)) and handling.gives_up(error)
    )
    over = over or (isinstance(error, Interrupted) and error.why == "stop")  # ack before its run
    state = "failed" if over else "scheduled"
    kind, message, trace = type(error).__name__, _words(error), ""
    if isinstance(error, Interrupted):
        kind, message = _interrupted(run, error)
        state = "cancelled" if error.why == "cancel" else state
    else:
        trace = _traceback(error)
    told: dict[str, Any] = {"type": kind, "message": message[:2000]}
    if trace:
        told["traceback"] = trace
    return Failure(
        id=task.id,
        attempt=task.attempt,
        state=state,
        error=_printable(encode_json(told)),
        reason=_printable(f"{kind}: {message}"[:200]),
        delay_ms=max(1, int(_delay_s(tries, error, handling) * 1000)),
        started_ms=run.started_ms,
        run_ms=run.run_ms,
    )


def _interrupted(run: Run, error: Interrupted) -> tuple[str, str]:
    if error.why == "cancel":
        return "Cancelled", "cancelled while it ran"
    if error.why == "stop":
        return "Stopped", "stopped while it ran; acknowledged before that, so it is not run again"
    message = f"ran longer than its {run.deadline - run.began:g} s"
    if error.late_s > LATE_S:
        message += f"; it could not be interrupted for {error.late_s:.1f} s (code outside Python)"
    return "TaskTimeout", message


def _delay_s(tries: int, error: BaseException, handling: Handling) -> float:
    if isinstance(error, Retry) and error.after_s is not None and error.after_s >= 0:
        return min(error.after_s, YEAR_S)
    return backoff(tries, base_s=handling.backoff_s, cap_s=handling.backoff_cap_s)


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception of the task function whose own __str__ fails
        return "(its message cannot be read)"


def _printable(text: str) -> str:
    """Without the surrogates that UTF-8 cannot carry."""
    return text.encode(errors="replace").decode()


def _traceback(error: BaseException) -> str:
    """The traceback from the task function on; the frames that called it are not news."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        if not trace.tb_frame.f_globals.get("__name__", "").startswith("miniqueue."):
            break
        trace = trace.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, trace))[-8000:]
    except Exception:  # as above: its __str__ fails
        return "".join(traceback.format_tb(trace))[-8000:]
