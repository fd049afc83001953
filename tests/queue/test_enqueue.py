"""Queue: sending tasks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miniqueue.errors import (
    ConfigError,
    PayloadError,
    PayloadTooLarge,
    QueueFull,
    TaskExists,
    TaskNotFound,
    UnknownFunction,
)
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.redis_client import Client
from miniqueue.registry import Registry, TaskFunction, task
from miniqueue.settings import Settings
from miniqueue.worker import Worker

Add = TaskFunction[[int, int], int]


@pytest.fixture
def add(registry: Registry) -> Add:
    @task(registry=registry, max_attempts=5)
    def add(x: int, y: int) -> int:
        return x + y

    return add


def run_all(queue: Queue, registry: Registry) -> None:
    worker = Worker(queue, registry)
    while worker.run_once():
        pass


def test_a_task_is_sent_by_function(queue: Queue, registry: Registry, add: Add) -> None:
    handle = queue.enqueue(add, 2, y=3)
    assert handle.state == "queued"
    run_all(queue, registry)
    assert handle.wait(timeout_s=0) == 5


def test_a_task_is_sent_by_name(queue: Queue, registry: Registry, add: Add) -> None:
    task_now = queue.enqueue("add", 2, 3).get()
    assert (task_now.name, task_now.args, task_now.max_attempts) == ("add", [2, 3], 5)


def test_options_travel_with_the_task(queue: Queue, add: Add) -> None:
    urgent = add.options(priority="high", timeout_s=1.5, max_attempts=2, expires_s=60)
    task_now = queue.enqueue(urgent, 2, 3).get()
    assert (task_now.priority, task_now.timeout_s, task_now.max_attempts) == ("high", 1.5, 2)
    assert task_now.expires_ms == task_now.enqueued_ms + 60_000


def test_options_as_data(queue: Queue, add: Add) -> None:
    handle = queue.enqueue_call("add", [1], {"y": 2}, {"priority": "low", "delay_s": 60})
    task_now = handle.get()
    assert (task_now.state, task_now.priority, task_now.kwargs) == ("scheduled", "low", {"y": 2})
    assert task_now.max_attempts == 5
    with pytest.raises(ConfigError, match="prio"):
        queue.enqueue_call("add", [1, 2], {}, {"prio": "low"})


def test_the_attempts_of_the_settings_hold_where_none_are_given(
    queue: Queue, registry: Registry
) -> None:
    plain = task(registry=registry, name="plain")(lambda: None)
    assert queue.enqueue(plain).get().max_attempts == queue.settings.max_attempts


# -- what is refused -------------------------------------------------------------------------------


def test_a_plain_function_is_no_task_function(queue: Queue) -> None:
    with pytest.raises(ConfigError, match="decorate it with @task"):
        queue.enqueue(len, "x")  # type: ignore[arg-type]


def test_an_unknown_name_comes_with_the_nearest(queue: Queue, add: Add) -> None:
    with pytest.raises(UnknownFunction) as raised:
        queue.enqueue("ad", 1, 2)
    assert raised.value.nearest == ("add",)


@pytest.mark.parametrize(("args", "kwargs"), [((1,), {}), ((1, 2, 3), {}), ((1, 2), {"z": 1})])
def test_r8_arguments_are_checked_against_the_signature_on_submit(
    queue: Queue, add: Add, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    with pytest.raises(PayloadError) as raised:
        queue.enqueue(add, *args, **kwargs)
    assert raised.value.signature == "add(x: int, y: int) -> int"
    assert Inspector(queue).tasks().tasks == []


@pytest.mark.parametrize("value", [object(), {1}, b"x", float("nan"), "\ud800"])
def test_r8_arguments_that_are_not_json_are_refused(queue: Queue, add: Add, value: Any) -> None:
    with pytest.raises(PayloadError, match="the arguments of 'add' is not JSON"):
        queue.enqueue(add, value, 1)


@pytest.mark.parametrize(
    ("text", "fits"),
    [("x" * 294, True), ("x" * 295, False), ("€" * 100, False)],
    ids=["just fits", "a byte too long", "100 characters of 3 bytes"],
)
def test_r7_arguments_are_limited_in_bytes(
    queue: Queue, registry: Registry, text: str, fits: bool
) -> None:
    echo = task(registry=registry, name="echo")(lambda value: value)
    small = Queue(settings=replace(queue.settings, max_body_bytes=300), client=queue.client)
    if fits:
        assert small.enqueue(echo, text).get().args == [text]
        return
    with pytest.raises(PayloadTooLarge) as raised:
        small.enqueue(echo, text)
    assert (raised.value.limit, raised.value.setting) == (300, "MINIQUEUE_MAX_BODY_BYTES")


def test_a_full_queue_says_so(queue: Queue, add: Add) -> None:
    small = Queue(settings=replace(queue.settings, max_queued=2), client=queue.client)
    small.enqueue_many(add, [(1, 2), (3, 4)])
    with pytest.raises(QueueFull) as raised:
        small.enqueue(add, 5, 6)
    assert (raised.value.queue, raised.value.waiting, raised.value.limit) == ("default", 2, 2)


# -- functions of another process ------------------------------------------------------------------


@pytest.fixture
def stranger(settings: Settings, client: Client, queue: Queue, registry: Registry) -> Queue:
    """A client that has imported nothing, after a worker of `registry` has started."""
    Worker(queue, registry).start()
    return Queue(settings=settings, client=client, registry=Registry())


def test_a_function_that_a_worker_announced_can_be_called_by_name(
    add: Add, stranger: Queue, registry: Registry
) -> None:
    handle = stranger.enqueue("add", 2, 3)
    assert handle.get().max_attempts == 5
    run_all(stranger, registry)
    assert handle.wait(timeout_s=0) == 5


def test_r8_announced_functions_are_checked_like_imported_ones(add: Add, stranger: Queue) -> None:
    with pytest.raises(PayloadError, match=r"call it as add\(x: int, y: int\)"):
        stranger.enqueue("add", 2)
    with pytest.raises(UnknownFunction) as raised:
        stranger.enqueue("sub", 2, 3)
    assert raised.value.nearest == ("add",)


# -- many ------------------------------------------------------------------------------------------


def test_many_tasks_are_sent_in_order_and_in_chunks(queue: Queue, add: Add) -> None:
    chunked = Queue(settings=replace(queue.settings, max_bulk=10), client=queue.client)
    handles = chunked.enqueue_many(add, ((i, i) for i in range(25)))
    assert [handle.get().args[0] for handle in handles] == list(range(25))
    events = Inspector(queue).events()
    assert [len(event.tasks) for event in events] == [10, 10, 5]


def test_no_calls_send_nothing(queue: Queue, add: Add) -> None:
    assert queue.enqueue_many(add, []) == []


def test_one_bad_call_sends_none_of_its_chunk(queue: Queue, add: Add) -> None:
    with pytest.raises(PayloadError):
        queue.enqueue_many(add, [(1, 2), (3,)])
    assert Inspector(queue).tasks().tasks == []


def test_an_idempotency_key_is_for_one_task(queue: Queue, add: Add) -> None:
    with pytest.raises(ConfigError, match="names one task"):
        queue.enqueue_many(add.options(idempotency_key="k"), [(1, 2), (3, 4)])


# -- queues by name --------------------------------------------------------------------------------


def test_an_id_carries_its_queue(
    settings: Settings, client: Client, queue: Queue, add: Add
) -> None:
    mail = Queue("mail", settings=settings, client=client)
    handle = mail.enqueue(add, 1, 2)
    assert handle.id.startswith("mail.")
    assert queue.get(handle.id).queue == "mail"
    assert queue.cancel(handle.id) == "queued"
    assert mail.get(handle.id).state == "cancelled"


def test_a_function_may_name_its_queue(queue: Queue, registry: Registry) -> None:
    @task(registry=registry, queue="mail")
    def send() -> str:
        return "sent"

    handle = queue.enqueue(send)
    assert (handle.queue.name, handle.get().queue) == ("mail", "mail")
    assert Worker(queue, registry).run_once() == 0
    assert Worker(handle.queue, registry).run_once() == 1
    assert handle.wait(timeout_s=0) == "sent"


def test_queues_that_were_used_are_known(queue: Queue, add: Add) -> None:
    queue.enqueue(add.options(queue="mail"), 1, 2)
    queue.enqueue(add, 1, 2)
    assert [info.name for info in Inspector(queue).queues()] == ["default", "mail"]


def test_namespaces_do_not_see_each_other(queue: Queue, add: Add) -> None:
    other = Queue(settings=replace(queue.settings, namespace="other"), client=queue.client)
    handle = queue.enqueue(add, 1, 2)
    with pytest.raises(TaskNotFound):
        other.get(handle.id)
    assert Inspector(other).queue_info("default").waiting == 0


# -- idempotency -----------------------------------------------------------------------------------


def test_the_same_call_with_the_same_key_is_one_task(queue: Queue, add: Add) -> None:
    once = add.options(idempotency_key="k")
    assert queue.enqueue(once, 1, 2).id == queue.enqueue(once, 1, 2).id
    assert Inspector(queue).queue_info("default").waiting == 1


@pytest.mark.parametrize("change", ["arguments", "options", "function"])
def test_the_same_key_for_another_call_is_refused(
    queue: Queue, registry: Registry, add: Add, change: str
) -> None:
    once = add.options(idempotency_key="k")
    first = queue.enqueue(once, 1, 2)
    sub = task(registry=registry, name="sub")(lambda x, y: x - y).options(idempotency_key="k")
    calls: dict[str, tuple[Any, int, int]] = {
        "arguments": (once, 1, 3),
        "options": (once.options(priority="high"), 1, 2),
        "function": (sub, 1, 2),
    }
    with pytest.raises(TaskExists) as raised:
        queue.enqueue(*calls[change])
    assert (raised.value.task_id, raised.value.key) == (first.id, "k")


def test_a_key_still_names_a_task_that_has_ended(
    queue: Queue, registry: Registry, add: Add
) -> None:
    once = add.options(idempotency_key="k")
    first = queue.enqueue(once, 1, 2)
    run_all(queue, registry)
    assert queue.enqueue(once, 1, 2).wait(timeout_s=0) == 3
    assert queue.enqueue(once, 1, 2).id == first.id


def test_a_key_belongs_to_one_queue(queue: Queue, add: Add) -> None:
    once = add.options(idempotency_key="k")
    assert queue.enqueue(once, 1, 2).id != queue.enqueue(once.options(queue="mail"), 1, 2).id


# -- pause, cancel, retry --------------------------------------------------------------------------


def test_a_paused_queue_takes_tasks_and_starts_none(
    queue: Queue, registry: Registry, add: Add
) -> None:
    assert (queue.pause(), queue.pause()) == (True, False)
    handle = queue.enqueue(add, 1, 2)
    assert Worker(queue, registry).run_once() == 0
    assert (queue.resume(), queue.resume()) == (True, False)
    assert Worker(queue, registry).run_once() == 1
    assert handle.state == "succeeded"


def test_a_failed_task_can_be_tried_again(queue: Queue, registry: Registry) -> None:
    outcomes = iter([ValueError(), None])

    @task(registry=registry, max_attempts=1)
    def sometimes() -> str:
        if error := next(outcomes):
            raise error
        return "at last"

    handle = queue.enqueue(sometimes)
    run_all(queue, registry)
    assert handle.state == "failed"
    queue.retry(handle.id)
    run_all(queue, registry)
    assert handle.wait(timeout_s=0) == "at last"


def test_a_retried_task_is_tried_as_often_as_a_new_one(queue: Queue, registry: Registry) -> None:
    @task(registry=registry, max_attempts=2, backoff_s=0)
    def never() -> None:
        raise ValueError

    handle = queue.enqueue(never)
    for life in (1, 2):
        while handle.state != "failed":
            Worker(queue, registry).run_once()
        assert handle.get().attempt == 2 * life
        queue.retry(handle.id)
