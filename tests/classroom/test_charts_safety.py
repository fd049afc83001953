"""Charts of safety: events become a history, and each picture says what it compares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from miniqueue.classroom import charts
from miniqueue.classroom.charts.safety import history_of
from miniqueue.views import Event, Mark

from .test_charts import drawn

EVENTS = [
    Event("1-0", 1000, "enqueue", (Mark("a", 0), Mark("b", 0), Mark("c", 0))),
    Event("2-0", 1010, "claim", (Mark("a", 1), Mark("b", 1)), "w0"),
    Event("3-0", 1500, "complete", (Mark("b", 1, 1010, 490.0),), "w0"),
    Event("4-0", 1600, "pause"),
    Event("5-0", 3100, "reclaim", (Mark("a", 1),), "w0", "queued"),
    Event("6-0", 3110, "claim", (Mark("a", 2), Mark("c", 1)), "w1"),
    Event("7-0", 3600, "complete", (Mark("a", 2), Mark("c", 1)), "w1"),
]
SAW = [(1000.0, 2.0), (1600.0, 1.4), (1650.0, 2.0), (3600.0, 0.05), (3650.0, 2.0)]
BOOKED = [(1000.0, "order 0"), (1900.0, "order 1"), (1800.0, "order 0")]
FOUND = {
    "ack before": {0.5: {"missing": 2}, 8: {"missing": 0}},
    "ack after": {0.5: {"double": 3}, 8: {}},
}


def test_events_become_a_history_of_states() -> None:
    assert history_of(EVENTS) == [
        (1000, {"queued": 3}),
        (1010, {"running": 2, "queued": 1}),
        (1500, {"running": 1, "succeeded": 1, "queued": 1}),
        (3100, {"queued": 2, "succeeded": 1}),
        (3110, {"running": 2, "succeeded": 1}),
        (3600, {"succeeded": 3}),
    ]


def test_a_history_of_some_tasks_leaves_out_the_others() -> None:
    assert history_of(EVENTS, ["b"]) == [
        (1000, {"queued": 1}),
        (1010, {"running": 1}),
        (1500, {"succeeded": 1}),
    ]
    assert history_of([]) == []


@pytest.mark.parametrize("state", ["failed", "scheduled", "queued", "cancelled"])
def test_an_event_that_says_its_state_is_believed(state: str) -> None:
    fail = Event("8-0", 4000, "fail", (Mark("a", 3),), "w1", state)
    assert history_of([fail]) == [(4000, {state: 1})]


def test_state_history_marks_kills_and_lease_ends_and_counts_what_is_lost() -> None:
    texts = drawn(charts.state_history(EVENTS, guess=2, marks={"kill -9": 1200}, caption="C"))
    assert {"lost = 0", "kill -9", "lease ends, taken back", "succeeded", "queued", "C"} <= texts
    assert "your guess: 2 succeed, measured: 3" in texts
    texts = drawn(charts.state_history(EVENTS[:5], guess=3))
    assert "lost = 2" in texts
    assert "your guess: 3 succeed, measured: 1" in texts


def test_lease_left_compares_the_guess_with_the_lowest_before_the_first_mark() -> None:
    texts = drawn(charts.lease_left(SAW, 2.0, guess=0, marks={"kill -9": 1700.0}))
    assert {"kill -9", "a whole lease: 2 s", "seconds left"} <= texts
    assert "your guess: at least 0 s left, measured: 1.4 s" in texts
    assert any("drawn at the edge" in text for text in drawn(charts.lease_left(SAW, 2.0, guess=-9)))


def test_charges_crosses_an_order_that_is_charged_again() -> None:
    texts = drawn(charts.charges(BOOKED, 2, guess=2, marks={"goes on": 2500.0}))
    assert {"orders: 2", "order 0, again", "the same order is charged again", "goes on"} <= texts
    assert "your guess: 2 charges, measured: 3" in texts
    assert "order 0, again" not in drawn(charts.charges(BOOKED[:2], 2))


def test_wrong_charges_has_a_panel_for_each_guarantee() -> None:
    chart = charts.wrong_charges(FOUND, 6, guess={"ack after": {8: 3}}, stood_s=2, caption="C")
    texts = drawn(chart)
    assert [axes.get_title() for axes in chart.axes] == ["ack before", "ack after"]
    assert {"double", "missing", "stood still\nfor 2 s", "wrong charges, of 6 orders"} <= texts
    assert "your guess: 3, measured: 0" in texts


@pytest.mark.parametrize(
    "draw",
    [charts.state_history, lambda none: charts.charges(none, 1), lambda n: charts.lease_left(n, 1)],
)
def test_nothing_to_draw_is_said_in_words(draw: Callable[[list[Any]], object]) -> None:
    with pytest.raises(ValueError, match="to draw"):
        draw([])
