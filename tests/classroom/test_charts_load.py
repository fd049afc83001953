"""Charts of load: peaks, panels that share their time, guesses at the edge, depth from events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from miniqueue.classroom import charts
from miniqueue.classroom.attempts import Attempt
from miniqueue.views import Event, Mark
from tests.classroom.test_charts import drawn


def attempt(second: float, outcome: str = "failed") -> Attempt:
    start = 5000 + 1000 * second
    return Attempt("w0", "a", 1, start, start + 10, outcome)  # type: ignore[arg-type]


CROWD = [attempt(0), *(attempt(1.99 + i / 100) for i in range(10)), attempt(2.5, "succeeded")]


def test_peak_of_counts_the_failed_of_any_quarter_second_after_the_first_second() -> None:
    assert charts.peak_of(CROWD) == 40
    assert charts.peak_of([attempt(i / 100) for i in range(50)]) == 0
    assert charts.peak_of([attempt(i / 10) for i in range(50)], after_s=0) == 12
    assert charts.peak_of([]) == 0


def test_attempts_a_second_has_a_panel_a_policy_on_the_same_axes_and_each_guess() -> None:
    chart = charts.attempts_a_second(
        {"at once": CROWD, "in step": CROWD, "jitter": CROWD},
        2,
        refused={"at once": 40},
        peak={"in step": 33},
        last_s={"jitter": 0.25},
        caption="C",
    )
    texts = drawn(chart)
    assert {"at once", "in step", "jitter", "outage", "attempts a second", "C"} <= texts
    assert "your guess: 40 refused, measured: 11" in texts
    assert "your guess: peak 33 a second, measured: 40" in texts
    assert "your guess: last paid after 0.2 s, measured: 0.5 s" in texts
    assert len({axes.get_ylim() for axes in chart.axes}) == 1
    assert len({axes.get_xlim() for axes in chart.axes}) == 1


@pytest.mark.parametrize("guess", [0, 1e6])
@pytest.mark.parametrize("kind", ["refused", "peak", "last_s"])
def test_a_strange_guess_is_drawn_without_squeezing_the_rest(kind: str, guess: float) -> None:
    one: dict[str, Any] = {kind: {"p": guess}}
    chart = charts.attempts_a_second({"p": CROWD}, 2, **one)
    (words,) = [text for text in drawn(chart) if text.startswith("your guess:")]
    assert words.endswith("(drawn at the edge)") == (guess > 1000)
    assert chart.axes[0].get_xlim()[1] < 10
    assert chart.axes[0].get_ylim()[1] < 100


def test_no_attempts_is_an_empty_panel() -> None:
    assert "p" in drawn(charts.attempts_a_second({"p": []}, 2, peak={"p": 3}))


EVENTS = [
    Event("1-0", 1000, "enqueue", tuple(Mark(str(n), 0) for n in range(3))),
    Event("2-0", 1100, "claim", (Mark("0", 1),), "w0"),
    Event("3-0", 1200, "complete", (Mark("0", 1),), "w0"),
    Event("4-0", 1300, "claim", (Mark("1", 1), Mark("2", 1)), "w0"),
]


def test_burst_counts_replies_and_shows_the_depth_below() -> None:
    replies = [(1005.0, 202), (1010.0, 202), (1015.0, 429), (2100.0, 202)]
    chart = charts.burst(replies, EVENTS, 3, accepted=4, all_in_s=0.2, caption="C")
    texts = drawn(chart)
    assert {"accepted: 3", "refused: 1", "limit: 3", "replies a second", "waiting tasks"} <= texts
    assert "your guess: 4 accepted, measured: 3" in texts
    assert "your guess: all in after 0.2 s, measured: 1.1 s" in texts
    (depth, *_) = chart.axes[1].get_lines()
    assert np.asarray(depth.get_ydata()).tolist() == [0, 3, 2, 2, 0]


@pytest.mark.parametrize("guess", [0, 1e6])
def test_a_strange_guess_does_not_squeeze_a_burst(guess: float) -> None:
    chart = charts.burst([(1000.0, 429)], EVENTS, 3, accepted=guess, all_in_s=guess)
    assert sum("(drawn at the edge)" in text for text in drawn(chart)) == 2 * (guess > 1000)
    assert chart.axes[0].get_xlim()[1] < 10
    assert chart.axes[1].get_ylim()[1] < 20


def test_a_burst_without_replies_is_said_in_words() -> None:
    with pytest.raises(ValueError, match="no replies to draw"):
        charts.burst([], [], 3)
