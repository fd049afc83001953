"""Guesses: whatever a learner writes gives a picture or one sentence, and never a warning."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from miniqueue.classroom import charts, guesses
from miniqueue.classroom.attempts import Attempt
from miniqueue.errors import GuessError
from miniqueue.views import Event, Mark

from .test_charts import RATES, drawn

RUNS = [
    Attempt("w0", "a", 1, 1000, 3000, "lost"),
    Attempt("w1", "b", 1, 1000, 1500, "succeeded"),
    Attempt("w1", "a", 2, 3100, 3600, "succeeded"),
    Attempt("w1", "c", 1, 3700, 3800, "failed"),
]
EVENTS = [
    Event("1-0", 1000, "enqueue", (Mark("a", 0), Mark("b", 0))),
    Event("2-0", 1010, "claim", (Mark("a", 1), Mark("b", 1)), "w0"),
    Event("3-0", 1500, "complete", (Mark("b", 1, 1010, 490.0),), "w0"),
]
WRONG: list[tuple[Any, str]] = [
    (None, "and is None:"),
    ("twelve", "and is the text 'twelve':"),
    ("12", "and is the text '12':"),
    ([3, 4], "and is a list of 2:"),
    ({"a": 1}, "and is a dict of 1:"),
    (True, "and is True:"),
    (math.nan, "and is nan:"),
    (math.inf, "and is inf:"),
    (1j, "and is 1j:"),
    (10**400, "and is 1000000"),
    (print, "and is <built-in function print>:"),
]
PICTURES: dict[str, Callable[[Any], charts.Chart]] = {
    "states": lambda guess: charts.states({"now": {"queued": 12}}, guess={"running": guess}),
    "swim_lanes": lambda guess: charts.swim_lanes(RUNS, guess=guess),
    "progress": lambda guess: charts.progress(RUNS, 3, guess=guess),
    "latency_cdf": lambda guess: charts.latency_cdf({"a": [0.3, 0.4]}, guess={"a": guess}),
    "counts": lambda guess: charts.counts({"a": 3}, guess={"a": guess}, most=12),
    "vanishing": lambda guess: charts.vanishing(RUNS, guess=guess),
    "state_history": lambda guess: charts.state_history(EVENTS, guess=guess),
    "lease_left": lambda guess: charts.lease_left([(1000.0, 2.0)], 2.0, guess=guess),
    "charges": lambda guess: charts.charges([(1000.0, "a")], 2, guess=guess),
    "wrong_charges": lambda guess: charts.wrong_charges({"a": {1: {}}}, 6, guess={"a": {1: guess}}),
    "refused": lambda guess: charts.attempts_a_second({"a": RUNS}, 2, refused={"a": guess}),
    "peak": lambda guess: charts.attempts_a_second({"a": RUNS}, 2, peak={"a": guess}),
    "last_s": lambda guess: charts.attempts_a_second({"a": RUNS}, 2, last_s={"a": guess}),
    "accepted": lambda guess: charts.burst([(1000.0, 202)], EVENTS, 3, accepted=guess),
    "all_in_s": lambda guess: charts.burst([(1000.0, 202)], EVENTS, 3, all_in_s=guess),
    "throughput": lambda guess: charts.throughput({"a": RATES}, guess={"a": guess}),
}
COUNTED = {"states": 12, "counts": 12, "vanishing": 3, "state_history": 2, "wrong_charges": 6}

each_picture = pytest.mark.parametrize("name", PICTURES)


@pytest.mark.parametrize(("guess", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_is_no_number_is_one_sentence(guess: Any, told: str) -> None:
    for asked in (guesses.number, guesses.count):
        with pytest.raises(GuessError) as caught:
            asked(guess)
        said = str(caught.value)
        assert said.startswith("your guess should be a ")
        assert told in said
        assert said.endswith(
            "in the cell that begins with guess_, run that one, then this one again"
        )
        assert len(said) < 250


@pytest.mark.parametrize("guess", [2, 2.0, np.int64(2), np.float64(2)])
def test_any_kind_of_number_will_do(guess: Any) -> None:
    assert guesses.number(guess) == guesses.count(guess) == 2


@each_picture
def test_a_picture_takes_a_number_and_nothing_else(name: str) -> None:
    assert drawn(PICTURES[name](1))
    for wrong in (None, "1", [1]):
        with pytest.raises(GuessError):
            PICTURES[name](wrong)


@each_picture
def test_a_large_number_is_drawn_at_the_edge_or_refused_where_more_cannot_be(name: str) -> None:
    if name == "progress":
        with pytest.raises(GuessError, match=r"a number from 0 to 100, and is 1000:"):
            PICTURES[name](1000)
    elif name in COUNTED:
        with pytest.raises(GuessError, match=rf"from 0 to {COUNTED[name]}, and is 1000:"):
            PICTURES[name](1000)
    else:
        assert any("drawn at the edge" in text for text in drawn(PICTURES[name](1000)))


@each_picture
def test_less_than_nothing_is_guessed_of_a_lease_alone(name: str) -> None:
    if name == "lease_left":  # its option D
        assert drawn(PICTURES[name](-1))
    else:
        with pytest.raises(GuessError, match="and is -1:"):
            PICTURES[name](-1)


def test_a_count_is_whole() -> None:
    assert guesses.count(12.0, 12) == 12
    with pytest.raises(GuessError, match=r"a whole number from 0 to 12, and is 3\.5:"):
        guesses.count(3.5, 12)


def test_off_compares_and_refuses_what_cannot_be_compared() -> None:
    assert guesses.off(-2, 1.5) == 3.5
    with pytest.raises(GuessError, match="should be a number, and is None:"):
        guesses.off(None, 1.5)
