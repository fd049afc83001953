"""The parts of a chaos run: plan, schedule, observer, failpoints, a power cut."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from miniqueue.classroom.chaos import failpoints
from miniqueue.classroom.chaos.arena import PERSISTENCE, Arena, Prober
from miniqueue.classroom.chaos.faults import FAULTS, known, schedule
from miniqueue.classroom.chaos.history import History, Record
from miniqueue.classroom.chaos.load import lengthened, plan, poison
from miniqueue.classroom.chaos.observer import Observer, Sink
from miniqueue.classroom.chaos.run import DEFAULT_FAULTS, SIZES, Chaos
from miniqueue.classroom.chaos.witness import ADDRESS, Witness
from miniqueue.classroom.service import server_binary
from miniqueue.errors import ConfigError, TaskNotFound
from miniqueue.queue import Queue
from miniqueue.settings import Settings
from tests.processes import wait_for

# -- plan and schedule -----------------------------------------------------------------------------


def test_the_same_seed_plans_the_same_tasks() -> None:
    first, again, other = (plan(500, 10, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len({item.key for item in first}) == 500
    assert {item.via for item in first} == {"http", "bulk", "python", "cut"}
    cut = sum(item.via == "cut" for item in first) / 500
    assert 0.01 <= cut <= 0.05
    parents = [item.parent for item in first if item.parent]
    assert parents
    assert set(parents) <= {item.key for item in first}


def test_a_share_of_the_tasks_outlives_the_lease() -> None:
    rng = random.Random(1)
    items = lengthened(plan(1000, 10, rng), 0.1, rng, lease_s=2.0)
    assert 50 < sum(item.seconds > 2.0 for item in items) < 150
    assert len(poison(3, 10, rng)) == 3


@pytest.mark.parametrize("seed", range(20))
def test_a_smoke_run_has_every_fault_and_a_kill_every_3_s(seed: int) -> None:
    seconds = SIZES["smoke"].seconds
    found = schedule(DEFAULT_FAULTS, seconds, random.Random(seed))
    assert found == schedule(DEFAULT_FAULTS, seconds, random.Random(seed))
    count = Counter(fault.name for fault in found)
    assert set(count) == {
        "kill",
        "failpoints",
        "freeze",
        "stop",
        "api",
        "restart",
        "pause",
        "power",
    }
    assert (count["kill"], count["freeze"]) == (int(seconds / 3), int(seconds / 5))
    places = {fault.detail for fault in found if fault.detail}
    assert places == set(failpoints.PLACES)
    assert all(0 <= fault.at < seconds for fault in found)


def test_one_fault_alone() -> None:
    found = schedule(("failpoints:claimed",), 10, random.Random(1))
    assert {(fault.name, fault.detail) for fault in found} == {("failpoints", "claimed")}
    assert schedule((), 10, random.Random(1)) == []


@pytest.mark.parametrize("name", ["kill", "failpoints", "failpoints:effect", "eviction"])
def test_names_of_faults(name: str) -> None:
    assert known(name)
    assert not known(name + "x")
    assert all(known(name) for name in FAULTS)


def test_what_does_not_exist_is_said() -> None:
    size = SIZES["smoke"]
    with pytest.raises(ConfigError, match="there are kill, failpoints"):
        Chaos(size, faults=("kil",))
    with pytest.raises(ConfigError, match="none, everysec, always"):
        Chaos(size, persistence="never")
    with pytest.raises(ConfigError, match="no-fence"):
        Chaos(size, plant="x")


def test_a_run_knows_what_its_redis_keeps() -> None:
    size = SIZES["smoke"]
    assert Chaos(size).keeps
    assert not Chaos(size, persistence="everysec").keeps
    assert Chaos(size, persistence="everysec", faults=("restart",)).keeps
    assert not Chaos(size, persistence="none", faults=("restart",)).keeps
    assert Chaos(size, persistence="none", faults=("kill",)).keeps
    assert not Chaos(size, faults=("eviction",)).keeps


# -- observer --------------------------------------------------------------------------------------


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "history.jsonl")
    yield history
    history.close()


@pytest.fixture
def observer(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Observer]:
    sink = Sink(tmp_path / "sink.sqlite")
    observer = Observer(history, sink)
    monkeypatch.setenv(ADDRESS, observer.address)
    yield observer
    observer.close()
    sink.close()


def effect(witness: Witness, fence: int) -> bool:
    return witness.tell("effect", "k", id="id", attempt=fence, worker="w")


def test_what_is_told_is_written_down_before_the_answer(
    observer: Observer, history: History
) -> None:
    witness = Witness()
    witness.tell("started", "k", id="id", attempt=1, worker="w")
    (record,) = history.of("started")
    assert record == Record(record.at, "started", "k", "id", 1, "w")
    assert '"what": "started"' in history.path.read_text()
    witness.close()


def test_the_sink_refuses_a_writer_from_the_past(observer: Observer) -> None:
    witness = Witness()
    assert [effect(witness, fence) for fence in (1, 2, 1, 2, 3)] == [True, True, False, False, True]
    assert observer.sink.fenced() == {"k": 3}
    assert observer.sink.effects() == {"k": [1, 2, 1, 2, 3]}
    witness.close()


def test_a_witness_whose_wait_was_interrupted_starts_anew(observer: Observer) -> None:
    """Else it would take the answer to its last word for the answer to this one."""
    witness = Witness()
    assert effect(witness, 2)
    file, witness._file = witness._file, Interrupting(witness._file)
    with pytest.raises(KeyboardInterrupt):
        effect(witness, 3)
    assert effect(witness, 1) is False
    file.close()
    witness.close()


class Interrupting:
    """A file that is interrupted between a word and its answer."""

    def __init__(self, file: object) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def readline(self) -> bytes:
        raise KeyboardInterrupt


def test_a_writer_that_is_killed_in_a_word_says_nothing(
    observer: Observer, history: History
) -> None:
    code = f"""
import os, signal, socket
connection = socket.create_connection(("127.0.0.1", {observer.address.split(":")[1]}))
connection.sendall(b'{{"what": "started", "key"')
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    witness = Witness()
    effect(witness, 1)
    assert [record.what for record in history.records] == ["effect"]
    witness.close()


# -- failpoints ------------------------------------------------------------------------------------


def test_an_armed_failpoint_kills_the_first_that_comes_by(tmp_path: Path) -> None:
    code = (
        "from miniqueue.classroom.chaos.failpoints import pass_by; pass_by('task'); print('alive')"
    )
    command = [sys.executable, "-c", code]
    environ = {**os.environ, failpoints.FOLDER: str(tmp_path)}
    failpoints.arm(tmp_path, "task")
    ends = [
        subprocess.run(command, env=environ, capture_output=True, check=False).returncode
        for _ in range(2)
    ]
    assert ends == [-signal.SIGKILL, 0]
    assert not failpoints.disarm(tmp_path, "task")


# -- the power cut ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(40)
def test_a_power_cut_takes_what_was_not_on_disk(tmp_path: Path) -> None:
    """With everysec Redis answers before it has fsynced; killing the process would lose nothing."""
    if server_binary() is None:
        pytest.skip("no Redis or Valkey server")
    environ = {ADDRESS: "127.0.0.1:1", failpoints.FOLDER: str(tmp_path)}
    settings = Settings(redis_url="")
    options = PERSISTENCE["everysec"]
    with Arena(0, settings, redis_options=options, environ=environ) as arena:
        queue = Queue(settings=arena.settings)
        early = queue.enqueue("echo", "early")
        prober = arena.prober()
        assert prober is not None
        reached = prober.fsynced
        wait_for(lambda: prober.fsynced > reached + 1)
        fsynced = prober.fsynced
        late = queue.enqueue("echo", "late")
        prober.stop()
        arena.kill_redis()
        assert arena.cut_file(fsynced) > 0
        arena.start_redis()
        assert early.state == "queued"
        with pytest.raises(TaskNotFound):
            late.get()
        queue.client.close()


@pytest.mark.slow
def test_a_redis_that_keeps_nothing_has_no_prober(settings: Settings) -> None:
    prober = Prober(settings)
    assert not prober.start()
    prober.stop()
