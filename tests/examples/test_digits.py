"""Micro-batched inference with a real model."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.registry import Registry
from miniqueue.worker import Worker
from tests.examples.conftest import Hire

if not os.environ.get("CI"):
    pytest.importorskip("sklearn")

from miniqueue.examples import digits, samples
from miniqueue.examples.digits import classify

pytestmark = pytest.mark.timeout(60)  # importing scikit-learn takes seconds

Images = list[list[float]]


@pytest.fixture(scope="module")
def images() -> Images:
    """Images that the model has not learned from."""
    return samples.held_out()[0].tolist()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def shown() -> list[int]:
    """The digits that they show."""
    return samples.held_out()[1].tolist()  # type: ignore[no-any-return]


def right(answers: list[Any], shown: list[int]) -> float:
    """The share of answers that are right, 0 to 1."""
    hits = [a["digit"] == d for a, d in zip(answers, shown, strict=True)]
    return hits.count(True) / len(hits)


def test_the_samples_are_split() -> None:
    assert samples.training()[0].shape == (1347, 64)
    assert samples.held_out()[0].shape == (450, 64)


def test_it_reads_digits_that_it_has_not_seen(images: Images, shown: list[int]) -> None:
    answers = classify(images)
    assert right(answers, shown) >= 0.95
    assert all(0.1 <= a["confidence"] <= 1 for a in answers if isinstance(a, dict))


def test_it_is_surer_where_it_is_right(images: Images, shown: list[int]) -> None:
    sure: dict[bool, list[float]] = {True: [], False: []}
    for answer, digit in zip(classify(images), shown, strict=True):
        assert isinstance(answer, dict)
        sure[answer["digit"] == digit].append(answer["confidence"])
    means = {is_right: sum(values) / len(values) for is_right, values in sure.items()}
    assert means[True] > means[False] + 0.2


def test_company_does_not_change_an_answer(images: Images) -> None:
    assert classify(images[:7]) == [answer for image in images[:7] for answer in classify([image])]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([1, 2, 3], "64 numbers, not 3"),
        ([], "64 numbers, not 0"),
        ("seven", "a list of 64 numbers, not str"),
        (None, "a list of 64 numbers, not NoneType"),
        ([255] * 64, "numbers from 0 to 16, not 255"),
        ([-1] * 64, "numbers from 0 to 16, not -1"),
        ([True] * 64, "numbers from 0 to 16, not True"),
        (["1"] * 64, "numbers from 0 to 16, not '1'"),
        ([[0]] * 64, "numbers from 0 to 16, not [0]"),
        ([float("nan")] * 64, "numbers from 0 to 16, not nan"),
    ],
)
def test_what_is_no_image_fails_alone(images: Images, image: Any, message: str) -> None:
    before, wrong, after = classify([images[0], image, images[1]])
    assert [before, after] == classify(images[:2])
    assert isinstance(wrong, ValueError)
    assert str(wrong) == message


def test_nothing_gives_nothing() -> None:
    assert classify([]) == []


def test_a_worker_asks_the_model_once_for_many_tasks(
    queue: Queue, worker: Worker, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    answers = digits._answers

    def counted(batch: Images) -> list[dict[str, Any]]:
        sizes.append(len(batch))
        return answers(batch)

    monkeypatch.setattr(digits, "_answers", counted)
    handles = queue.enqueue_many(classify, [(image,) for image in images[:40]])
    while worker.run_once():
        pass
    assert [handle.wait(1) for handle in handles] == answers(images[:40])
    assert sum(sizes) == 40
    assert 1 < max(sizes) <= 32


def test_a_bad_image_fails_its_task_alone_and_for_good(
    queue: Queue, worker: Worker, images: Images
) -> None:
    handles = queue.enqueue_many(classify, [(images[0],), ([1, 2, 3],), (images[1],)])
    while worker.run_once():
        pass
    assert [str(handle.state) for handle in handles] == ["succeeded", "failed", "succeeded"]
    failed = handles[1].get()
    assert (failed.error or {})["message"] == "64 numbers, not 3"
    assert failed.attempt == 1
    assert Inspector(queue).check() == []


@pytest.mark.slow
def test_a_client_without_scikit_learn_is_served_by_name(
    queue: Queue, hire: Hire, images: Images, shown: list[int]
) -> None:
    hire("w1", "miniqueue.examples.digits")
    stranger = Queue(settings=queue.settings, registry=Registry(), client=queue.client)
    handles = stranger.enqueue_many("classify", [(image,) for image in images])
    assert right([handle.wait(30) for handle in handles], shown) >= 0.95
    assert {handle.get().tries for handle in handles} == {1}
    assert Inspector(queue).check() == []


def test_importing_it_does_not_import_scikit_learn() -> None:
    code = "import sys, miniqueue.examples.digits, miniqueue.examples.train; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "sklearn"} & set(done.stdout.split()) == set()
