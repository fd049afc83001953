"""Charts: each draws without a warning, says what it compares, and leaves matplotlib as it was."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import pytest

from miniqueue.classroom import charts
from miniqueue.classroom.attempts import Attempt
from miniqueue.classroom.measure import fit_amdahl, fit_usl

RUNS = [
    Attempt("w0", "a", 1, 1000, 3000, "lost"),
    Attempt("w10", "b", 1, 1000, 1500, "succeeded"),
    Attempt("w2", "a", 2, 3100, 3600, "succeeded"),
]
RATES = {1: (48.0, 47.0, 49.0), 2: (95.0, 90.0, 96.0), 4: (150.0, 149.0, 160.0)}


def drawn(chart: charts.Chart) -> set[str]:
    """Every text in the picture, once it has been drawn."""
    png, metadata = chart._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert metadata["alt"] == chart.caption
    return {text.get_text() for text in chart.findobj(matplotlib.text.Text)}


def test_throughput_draws_points_laws_the_ideal_and_the_guess() -> None:
    sizes, rates = list(RATES), [median for median, _, _ in RATES.values()]
    chart = charts.throughput(
        {"sleep": RATES, "cpu": RATES},
        fits={"sleep": [fit_amdahl(sizes, rates), fit_usl(sizes, rates)]},
        guess={"cpu": 8},
        title="Title",
        caption="Caption.",
    )
    texts = drawn(chart)
    assert {"sleep", "cpu", "Title", "Caption.", "workers", "tasks a second"} <= texts
    assert {"measured", "ideal: n times one", "your guess: 8x, measured: 3.1x"} <= texts
    assert any(text.startswith("Amdahl: serial 0.") for text in texts)
    assert any(text.startswith("USL: contention 0.") for text in texts)


def test_swim_lanes_has_a_lane_for_each_worker_and_compares_the_guess() -> None:
    chart = charts.swim_lanes(RUNS, guess=0.0, measured=1.9, marks={"kill -9": 1200}, caption="C")
    texts = drawn(chart)
    assert {"w0", "w2", "w10", "1\nattempt 2", "lost", "succeeded"} <= texts
    assert "your guess: 0.0 s after kill -9, measured: 1.9 s" in texts
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == ["w0", "w2", "w10"]


def test_without_marks_a_guess_is_compared_with_the_end_of_all() -> None:
    assert "your guess: 3.0 s after the start, measured: 2.6 s" in drawn(
        charts.swim_lanes(RUNS, guess=3.0)
    )


def test_a_guess_far_off_does_not_squeeze_the_lanes() -> None:
    chart = charts.swim_lanes(RUNS, guess=99.0)
    assert "your guess: 99.0 s after the start, measured: 2.6 s (drawn at the edge)" in drawn(chart)
    assert chart.axes[0].get_xlim()[1] < 5


def test_states_stacks_each_moment_and_puts_the_guess_above() -> None:
    chart = charts.states({"now": {"queued": 9, "running": 3}}, guess={"running": 12})
    assert {"9 queued", "3 running", "12 running"} <= drawn(chart)
    assert {"2 running", "10 queued"} <= drawn(
        charts.states({"now": {"queued": 9, "running": 3}}, guess={"running": 2})
    )
    rest = charts.states({"now": {"succeeded": 12}}, guess={"succeeded": 8}, rest="running")
    assert {"8 succeeded", "4 running"} <= drawn(rest)
    assert [label.get_text() for label in chart.axes[0].get_yticklabels()] == ["your guess", "now"]


def test_progress_writes_the_throughput_of_each_stretch() -> None:
    runs = [Attempt("w0", str(i), 1, 1000, 1000 + 10 * i, "succeeded") for i in range(1, 101)]
    texts = drawn(charts.progress(runs, total=125, guess=60, marks={"kill": 1500}))
    told = "your guess: 60 % done, measured: 80 % done"
    assert {"100 tasks a second", told, "sent: 125"} <= texts


def test_system_lights_what_it_is_told_to() -> None:
    assert {"client", "API", "Redis", "workers", "claim", "complete"} <= drawn(charts.system())
    with pytest.raises(ValueError, match="no part is called 'kafka'"):
        charts.system(["kafka"])


@pytest.mark.parametrize("draw", [charts.swim_lanes, lambda runs: charts.progress(runs, 1)])
def test_nothing_to_draw_is_said_in_words(draw: object) -> None:
    assert callable(draw)
    with pytest.raises(ValueError, match="no attempts to draw"):
        draw([])


def test_drawing_changes_no_setting_of_matplotlib() -> None:
    before = dict(matplotlib.rcParams)
    drawn(charts.system())
    assert dict(matplotlib.rcParams) == before


def test_the_stack_can_be_imported_without_matplotlib_and_scipy() -> None:
    code = (
        "import sys, miniqueue, miniqueue.classroom;"
        "sys.exit(bool({'matplotlib', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
