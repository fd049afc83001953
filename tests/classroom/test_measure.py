"""Measure: the arithmetic of it on made-up points, the stopwatch itself on a real stack."""

from __future__ import annotations

import math
import random
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from miniqueue.classroom import measure
from miniqueue.classroom.measure import Point, fit_amdahl, fit_usl, fitted, gain, medians
from miniqueue.classroom.stack import Stack
from miniqueue.classroom.words import count_words
from miniqueue.settings import Settings

SIZES = [1, 2, 4, 8, 16]


def points(rates: dict[int, list[float]]) -> list[Point]:
    return [Point("x", n, 1000, 1000 / rate) for n, many in rates.items() for rate in many]


def test_medians_and_gain_come_from_the_repeats() -> None:
    own = points({1: [9.0, 10.0, 12.0], 4: [20.0, 40.0, 41.0]})
    assert medians(own, "x")[4] == pytest.approx((40, 20, 41))
    assert gain(own, "x") == pytest.approx(4.0)


@pytest.mark.parametrize("serial", [0.0, 0.05, 0.5, 1.0])
def test_the_fit_of_amdahls_law_finds_its_parameters(serial: float) -> None:
    rates = [50 * n / (1 + serial * (n - 1)) for n in SIZES]
    assert fit_amdahl(SIZES, rates).parameters == pytest.approx(
        {"one": 50, "serial": serial}, rel=1e-3, abs=1e-3
    )


@pytest.mark.parametrize(("sigma", "kappa"), [(0.0, 0.0), (0.1, 0.01), (0.4, 0.05)])
def test_the_fit_of_the_usl_finds_its_parameters(sigma: float, kappa: float) -> None:
    rates = [50 * n / (1 + sigma * (n - 1) + kappa * n * (n - 1)) for n in SIZES]
    found = fit_usl(SIZES, rates).parameters
    wanted = {"one": 50, "contention": sigma, "coherence": kappa}
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_the_band_holds_the_true_curve_about_as_often_as_it_says() -> None:
    noise, hits = random.Random(1), 0
    for _ in range(200):
        rates = [50 * n / (1 + 0.1 * (n - 1)) * noise.gauss(1, 0.05) for n in SIZES * 3]
        band = fit_amdahl(SIZES * 3, rates).band([8.0])
        assert band is not None
        hits += bool(band[0][0] <= 50 * 8 / 1.7 <= band[1][0])
    assert 180 <= hits <= 198


def test_the_band_is_never_below_zero_and_wider_for_more_confidence() -> None:
    fit = fit_usl(SIZES, [50, 95, 150, 60, 90])
    narrow, wide = fit.band([1, 16], 0.5), fit.band([1, 16], 0.99)
    assert narrow is not None
    assert wide is not None
    assert np.all(wide[0] >= 0)
    assert np.all(wide[1] - wide[0] > narrow[1] - narrow[0])


def test_too_few_points_give_a_curve_without_errors_and_without_a_band() -> None:
    fit = fit_usl([1, 2, 4], [50, 98, 190])
    assert all(math.isnan(error) for error in fit.errors.values())
    assert fit.band([1, 2]) is None
    with pytest.raises(ValueError, match="at least two sizes"):
        fit_amdahl([4, 4], [190, 191])


def test_both_laws_are_fitted_to_every_point() -> None:
    laws = fitted(points({1: [50, 51], 2: [95, 96], 4: [170, 171]}), "x")
    assert [(fit.law, fit.freedom) for fit in laws] == [("Amdahl", 4), ("USL", 3)]


def test_size_shrinks_in_ci_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINIQUEUE_CI", raising=False)
    assert measure.size(100, 10) == 100
    monkeypatch.setenv("MINIQUEUE_CI", "1")
    assert measure.size(100, 10) == 10


@pytest.mark.timeout(40)
def test_measure_times_the_workers_and_nothing_else(redis_url: str) -> None:
    settings = Settings(redis_url=redis_url, namespace="measured")
    with Stack(2, settings=settings) as stack:
        seen: list[tuple[int, int]] = []
        point, ids = measure.measure(
            stack, measure.sleeping(20, 10), lambda done, count: seen.append((done, count))
        )
        assert (point.workers, point.count, len(set(ids))) == (2, 20, 20)
        assert 0.2 <= point.seconds < 2  # ten tasks of 20 ms each: sending is not in it
        assert seen[-1] == (20, 20)
        ended = [stack.queue.get(task_id).finished_ms or 0 for task_id in ids]
        resumed = [e.at_ms for e in stack.events() if e.verb == "resume"][-1]
        assert point.seconds == pytest.approx((max(ended) - resumed) / 1000)


def test_library_files_are_those_that_a_task_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Debian sitecustomize.py is a link to /etc."""
    library = tmp_path / "library"
    (library / "json").mkdir(parents=True)
    (library / "json" / "tool.py").write_text("x = 1")
    (tmp_path / "elsewhere.py").write_text("y = 2")
    (library / "sitecustomize.py").symlink_to(tmp_path / "elsewhere.py")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(library)})
    assert measure.library_files() == ["json/tool.py"]
    assert count_words("json/tool.py") == {"x": 1, "1": 1}
