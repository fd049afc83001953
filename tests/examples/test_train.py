"""Training that goes on from a checkpoint after kill -9."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from miniqueue.inspector import Inspector
from miniqueue.queue import Queue, TaskHandle
from miniqueue.worker import Worker
from tests.examples.conftest import Hire
from tests.processes import wait_for

if not os.environ.get("CI"):
    pytest.importorskip("sklearn")

from miniqueue.examples.train import Model, train

pytestmark = pytest.mark.timeout(60)  # importing scikit-learn takes seconds


def kept(handle: TaskHandle) -> dict[str, Any]:
    """The checkpoint as it is in Redis."""
    queue = handle.queue
    text = queue.client.raw.hget(queue.protocol.keys.task(handle.id), "checkpoint")
    return json.loads(text) if text else {"epoch": 0}


def test_it_learns(queue: Queue, worker: Worker) -> None:
    handle = queue.enqueue(train)
    worker.run_once()
    result = handle.wait(1)
    assert result["accuracy"] >= 0.95
    assert (result["epochs"], result["resumed_at"]) == (20, 0)
    text = f"epoch 20 of 20, accuracy {result['accuracy']:.3f}"
    assert handle.get().progress == {"fraction": 1.0, "text": text}


def test_more_epochs_read_better(queue: Queue, worker: Worker) -> None:
    handles = [queue.enqueue(train, epochs) for epochs in (1, 10)]
    while worker.run_once():
        pass
    one, ten = (handle.wait(1)["accuracy"] for handle in handles)
    assert one < ten


def test_a_checkpoint_gives_the_same_model_back() -> None:
    model = Model.of(None).after_an_epoch()
    again = Model.of(json.loads(json.dumps(model.to_json())))
    assert again.to_json() == model.to_json()
    assert again.after_an_epoch().to_json() == model.after_an_epoch().to_json()


def test_a_checkpoint_is_small(queue: Queue, worker: Worker) -> None:
    handle = queue.enqueue(train, 3)
    worker.run_once()
    checkpoint = kept(handle)
    assert checkpoint["epoch"] == 3
    assert len(json.dumps(checkpoint)) < 10_000


@pytest.mark.parametrize("epochs", [0, 1001, -1, "3", True, 2.5, None])
def test_epochs_are_bounded(queue: Queue, worker: Worker, epochs: Any) -> None:
    handle = queue.enqueue(train, epochs)
    worker.run_once()
    task = handle.get()
    assert (str(task.state), task.attempt) == ("failed", 1)
    assert (task.error or {})["message"] == f"epochs is 1 to 1,000, not {epochs!r}"


@pytest.mark.slow
def test_it_goes_on_after_kill_9_as_if_nothing_had_been(queue: Queue, hire: Hire) -> None:
    killed = hire("w1", "miniqueue.examples.train")
    handle = queue.enqueue(train, epochs=20, pause_s=0.1)
    seen = wait_for(lambda: (epoch := kept(handle)["epoch"]) >= 3 and epoch, 30)
    killed.kill()
    hire("w2", "miniqueue.examples.train")
    result = handle.wait(timeout_s=30)
    assert seen <= result["resumed_at"] < 20
    assert (handle.get().attempt, handle.get().worker) == (2, "w2")
    weights = kept(handle)
    undisturbed = queue.enqueue(train, epochs=20)
    assert undisturbed.wait(timeout_s=30) == {**result, "resumed_at": 0}
    assert kept(undisturbed) == weights
    verbs = [event.verb for event in Inspector(queue).timeline(handle.id)]
    assert verbs == ["enqueue", "claim", "reclaim", "claim", "complete"]
    assert Inspector(queue).check() == []
