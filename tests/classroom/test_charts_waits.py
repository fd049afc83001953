"""Charts of waits, counts and vanished tasks: what they compare, and what a wild guess does."""

from __future__ import annotations

import pytest

from miniqueue.classroom import charts
from miniqueue.classroom.attempts import Attempt
from tests.classroom.test_charts import drawn

INLINE = [0.3 * (1 + i // 4) for i in range(40)]
ANSWERS = [0.02 + 0.001 * i for i in range(40)]
RUNS = [
    Attempt("w0", "1", 1, 1000, 1500, "succeeded"),
    Attempt("w1", "2", 1, 1000, 1800, "lost"),
    Attempt("w10", "3", 1, 1100, 1600, "succeeded"),
]


def test_latency_cdf_says_p50_and_p95_of_each_series_and_compares_the_guess() -> None:
    series = {"inline": INLINE, "queued": ANSWERS}
    texts = drawn(charts.latency_cdf(series, guess={"inline": 0.3}, caption="Caption."))
    assert {"inline: p50 1.6 s, p95 3.0 s", "queued: p50 40 ms, p95 57 ms", "Caption."} <= texts
    assert "your guess for half of “inline”: 0.3 s, measured: 1.6 s" in texts
    assert {"seconds since the click", "half: p50", "p95", "all"} <= texts


def test_a_series_without_waits_is_left_out() -> None:
    texts = drawn(charts.latency_cdf({"inline": INLINE, "nobody": []}, guess={"nobody": 1}))
    assert not any("nobody" in text for text in texts)
    with pytest.raises(ValueError, match="no waits to draw"):
        charts.latency_cdf({"nobody": []})


def test_counts_has_a_bar_for_each_row_and_the_guess_in_the_legend() -> None:
    chart = charts.counts({"customers": 40, "charged twice": 28}, guess={"charged twice": 0})
    assert {"customers", "charged twice", "40", "28", "how many"} <= drawn(chart)
    assert "your guess, charged twice: 0, measured: 28" in drawn(chart)
    assert drawn(charts.counts({"gone": 0}))


def test_vanishing_tears_the_lost_bar_and_leaves_the_guessed_one_empty() -> None:
    chart = charts.vanishing(RUNS, guess=3, marks={"kill -9": 1800}, caption="C")
    texts = drawn(chart)
    assert {"w0", "w1", "w10", "2", "2?", "gone", "kill -9", "succeeded", "lost"} <= texts
    assert "your guess: 3 orders succeed, measured: 2" in texts
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == ["w0", "w1", "w10"]


def test_vanishing_takes_any_iterable_and_says_that_there_is_nothing_to_draw() -> None:
    whole = drawn(charts.vanishing((run for run in RUNS if run.outcome == "succeeded"), guess=1))
    assert not whole & {"gone", "lost", "2?"}
    with pytest.raises(ValueError, match="no attempts to draw"):
        charts.vanishing([])


@pytest.mark.parametrize("guess", [0, 1e6])
def test_a_wild_guess_moves_nothing_out_of_sight(guess: float) -> None:
    waits = charts.latency_cdf({"inline": INLINE}, guess={"inline": guess})
    counted = charts.counts({"gone": 24}, guess={"gone": guess})
    for chart, most in ((waits, 4), (counted, 30)):
        assert drawn(chart)
        assert chart.axes[0].get_xlim()[1] < most
