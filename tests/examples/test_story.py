"""Streamed text with a budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from miniqueue.examples import story
from miniqueue.examples.story import tell
from miniqueue.inspector import Inspector
from miniqueue.queue import Queue
from miniqueue.worker import Worker

PROMPT = "The import statement"


def seed_of(fewest: int, most: int) -> int:
    """A seed whose story ends by itself after so many tokens (what it is depends on the Python)."""
    return next(s for s in range(200) if fewest <= len(list(story._pieces(PROMPT, s))) <= most)


def used_up(budget: int) -> str:
    return f" [the budget of {budget} tokens is used up]"


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The story stops behind its first token until the gate is set."""
    gate = threading.Event()
    monkeypatch.setattr(story, "sleep", lambda seconds: gate.wait(8))
    yield gate
    gate.set()


def told(queue: Queue, worker: Worker, *args: Any, **kwargs: Any) -> tuple[str, list[str]]:
    """The text of a story and the pieces in which it came."""
    handle = queue.enqueue(tell, *args, **kwargs)
    worker.run_once()
    return handle.wait(1), list(handle.stream(timeout_s=5))


def test_the_pieces_make_the_text(queue: Queue, worker: Worker) -> None:
    text, pieces = told(queue, worker, PROMPT, budget=50, seed=seed_of(50, 2000))
    assert "".join(pieces) == text
    assert all(pieces)
    assert len(text) > 100


def test_the_budget_ends_it_and_it_says_so(queue: Queue, worker: Worker) -> None:
    seed = seed_of(50, 2000)
    text, pieces = told(queue, worker, PROMPT, budget=5, seed=seed)
    assert len(pieces) == 5 + 1
    assert pieces[-1] == used_up(5)
    longer, _ = told(queue, worker, PROMPT, budget=6, seed=seed)
    assert longer.startswith(text.removesuffix(used_up(5)))


def test_the_model_may_end_it_within_the_budget(queue: Queue, worker: Worker) -> None:
    seed = seed_of(20, 500)
    tokens = len(list(story._pieces(PROMPT, seed)))
    text, pieces = told(queue, worker, PROMPT, budget=tokens, seed=seed)
    assert len(pieces) == tokens
    assert text.endswith(".")


def test_a_seed_tells_the_same_story_again(queue: Queue, worker: Worker) -> None:
    first, again, other = (told(queue, worker, PROMPT, seed=seed)[0] for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_each_three_words_have_been_read_somewhere() -> None:
    """It is a language model: it says what follows in its text, nothing else."""
    read = {
        tuple(word.lower() for word in three)
        for topic in story._topics()
        for three in zip(topic, topic[1:], topic[2:], strict=False)
    }
    pieces = story._pieces(PROMPT, seed_of(50, 2000))
    said = [piece if piece == story.PARAGRAPH else piece.strip() for piece in pieces]
    threes = list(zip(said, said[1:], said[2:], strict=False))
    assert len(threes) > 20
    assert all(tuple(word.lower() for word in three) in read for three in threes)


@pytest.mark.parametrize("prompt", ["", "xyzzy plugh", " \n", "the", "ein Satz ohne Sinn."])
def test_any_prompt_will_do(queue: Queue, worker: Worker, prompt: str) -> None:
    assert told(queue, worker, prompt, budget=20)[0]


def test_a_reader_sees_tokens_long_before_the_end(
    queue: Queue, worker: Worker, gate: threading.Event
) -> None:
    handle = queue.enqueue(tell, PROMPT, budget=30, seed=seed_of(50, 2000))
    turn = threading.Thread(target=worker.run_once)
    turn.start()
    stream = handle.stream(timeout_s=8)
    first = next(stream)
    assert str(handle.state) == "running"
    gate.set()
    rest = list(stream)
    turn.join()
    assert first + "".join(rest) == handle.wait(1)
    assert len(rest) == 30


def test_progress_goes_to_the_end(queue: Queue, worker: Worker) -> None:
    handle = queue.enqueue(tell, PROMPT, budget=25, seed=seed_of(50, 2000))
    worker.run_once()
    assert handle.get().progress == {"fraction": 1.0, "text": "25 tokens"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"budget": 0}, "budget is 1 to 2,000 tokens, not 0"),
        ({"budget": 2001}, "budget is 1 to 2,000 tokens, not 2001"),
        ({"budget": "10"}, "budget is 1 to 2,000 tokens, not '10'"),
        ({"budget": True}, "budget is 1 to 2,000 tokens, not True"),
        ({"budget": 1.5}, "budget is 1 to 2,000 tokens, not 1.5"),
        ({"prompt": 5}, "prompt is a text, not int"),
        ({"seed": None}, "seed is a whole number, not None"),
    ],
)
def test_what_cannot_be_fails_at_once(
    queue: Queue, worker: Worker, words: dict[str, Any], message: str
) -> None:
    handle = queue.enqueue(tell, **{"prompt": PROMPT, **words})
    worker.run_once()
    task = handle.get()
    assert (str(task.state), task.attempt) == ("failed", 1)
    assert (task.error or {})["message"] == message
    assert Inspector(queue).output(handle.id) == []
