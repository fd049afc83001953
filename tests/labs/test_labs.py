"""A learner's way through a lab: start, answer, check; and every way to get it wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from miniqueue.classroom import labs
from miniqueue.classroom.grading import Lab, Report, Result, grade, judge, lab_of
from miniqueue.classroom.grading.lab import Answer
from miniqueue.cli import main
from miniqueue.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

RIGHT = (labs.folder_of("02") / "solution.py").read_text(encoding="utf-8")
WRONG = (labs.folder_of("02") / "mutants" / "wrong_end.py").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _no_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labs, "ANSWERS", {})
    monkeypatch.setattr(labs, "JUDGED", {})


def toy(tmp_path: Path, body: str) -> Path:
    """A lab of one check."""
    folder = tmp_path / "42-toy"
    folder.mkdir()
    (folder / "grader.py").write_text(
        "from miniqueue.classroom.grading import Finding, Lab\n"
        "lab = Lab(__file__, 'Toy', ('f',))\n"
        "@lab.check('four', 3, 'f() is 4', hint='two and two')\n"
        f"def four(answer, rng):\n{body}"
    )
    return folder


FOUR = "    return None if answer.f() == 4 else Finding('4', str(answer.f()))\n"


# -- the grader ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(): return 4", "3 of 3 points"),
        ("def f(): return 5", "seen: 5"),
        ("def f(): return 1 / 0", "ZeroDivisionError: division by zero in line 1: def f()"),
        ("def f(): raise SystemExit", "it ended the whole process (SystemExit)"),
        ("import os\ndef f(): os._exit(3)", "ended the process that judged it: exit code 3"),
        ("x = 4", "there is no function `f` in your cell: the lab asks for it"),
        ("f = 4", "there is no function `f` in your cell: the lab asks for it"),
        ("def f(:", "your cell does not run: SyntaxError: invalid syntax in line 1"),
        ("import nothing_like_it", "No module named 'nothing_like_it'"),
        ("import sys; sys.exit()", "your cell does not run: SystemExit"),
        ("def f(): print('x' * 10**7); return 4", "3 of 3 points"),
    ],
)
def test_whatever_an_answer_does_the_report_says_it(tmp_path: Path, text: str, said: str) -> None:
    assert said in str(grade(toy(tmp_path, FOUR), text))


def test_an_endless_answer_costs_its_check_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miniqueue.classroom.grading.judging.CHECK_S", 0.2)
    lab = lab_of(toy(tmp_path, FOUR))
    endless = "def f():\n    while True:\n        try:\n            while True: pass\n"
    endless += "        except Exception: pass\n"
    with monkeypatch.context() as patience:  # on a busy machine the other limit comes first
        patience.setattr("miniqueue.classroom.grading.judging.BUSY", 100)
        (result,) = judge(lab, endless)
    assert (result.points, result.seen) == (0, "it had not ended after 0.2 s of computing")
    (result,) = judge(lab, "def f():\n    import select; select.select([], [], [])\n")
    assert (result.points, result.seen) == (0, "it had not ended after 0.8 s")


def test_each_check_runs_the_answer_anew_and_seeds_change_the_tasks(tmp_path: Path) -> None:
    seen: list[str] = []
    lab = Lab(str(tmp_path / "42-toy" / "grader.py"), "Toy", ("f",))
    for name in ("a", "b"):
        lab.check(name, 1, "", hint="")(
            lambda answer, rng: seen.append(f"{answer.f()} {rng.random():.6f}")
        )
    counting = "n = 0\ndef f():\n    global n\n    n += 1\n    return n\n"
    for seed in (0, 1, 0):
        judge(lab, counting, seed)
    assert {text.split()[0] for text in seen} == {"1"}
    assert seen[0:2] == seen[4:6] != seen[2:4]


def test_a_check_waits_for_what_it_needs_and_one_may_be_asked_for() -> None:
    folder = labs.folder_of("02")
    report = grade(folder, RIGHT.replace("'-inf', now", "'-inf', '+inf'"), only=["front", "expire"])
    expire, front = report.results
    assert (expire.name, expire.passed) == ("expire", False)
    assert front.lines() == ["not judged yet: first expire"]
    with pytest.raises(ConfigError, match="lab 02 has no check 'joy': there are claim, finish"):
        grade(folder, RIGHT, only=["joy"])


def test_an_answer_is_asked_for_by_name() -> None:
    answer = Answer("def f(): return 4", ("f",))
    assert answer.f() == 4


# -- in a notebook ---------------------------------------------------------------------------------


def test_check_says_what_is_missing_and_judges_what_was_run_last() -> None:
    assert "run your answer first, the cell that begins with %%answer 02" in str(labs.check("2"))
    labs.ANSWERS["02"] = WRONG
    report = labs.check("02", "front")
    assert report.failed == ["front"]
    html = report._repr_html_()
    assert "✗" in html
    assert "hint: it has waited longest" in html
    labs.ANSWERS["02"] = RIGHT
    assert labs.check("02", "front")
    with pytest.raises(ConfigError, match="there is no lab 77: there are 01, 02"):
        labs.check("77")


def test_require_is_one_cell_of_the_gradebook(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match=r"front: no\nLab 02 .* run your answer first"):
        labs.require("02", "front")
    labs.ANSWERS["02"] = WRONG
    with pytest.raises(AssertionError, match=r"front: no\nexpected: .*\nseen: .*\ntask: "):
        labs.require("02", "front")
    labs.require("02", "renew")
    assert capsys.readouterr().out == "renew: yes, 2 of 2\n"


def test_require_takes_what_check_has_found_of_the_same_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[str] = []

    def graded(folder: Path, text: str, **more: object) -> Report:
        judged.append(text)
        return Report("02", "Toy", [Result("front", "", 1, 1, "")])

    monkeypatch.setattr(labs, "grade", graded)
    labs.ANSWERS["02"] = RIGHT
    labs.check("02")
    for answer in (RIGHT, WRONG, WRONG):
        labs.ANSWERS["02"] = answer
        labs.require("02", "front")
    assert judged == [RIGHT, WRONG]


# -- on the command line ---------------------------------------------------------------------------


def test_start_answer_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", "list"]) == 0
    assert "02  Lease and reclaim (18 points)" in capsys.readouterr().out
    assert main(["lab", "start", "02"]) == 0
    notebook = tmp_path / "lab-02-lease-and-reclaim.ipynb"
    assert "judge it: miniqueue lab check 02" in capsys.readouterr().out
    assert (tmp_path / "lab-02-lease-and-reclaim.md").exists()
    assert main(["lab", "check", "02"]) == 1
    assert "your cell" in capsys.readouterr().out or "NotImplementedError" in notebook.read_text()
    filled = labs.notebook_of(notebook)
    for cell in filled["cells"]:
        if cell["source"].startswith("%%answer 02"):
            cell["source"] = "%%answer 02\n" + RIGHT
    notebook.write_text(json.dumps(filled), encoding="utf-8")
    assert main(["lab", "check", "02", "--seed", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["points"], told["most"]) == (18, 18)
    assert main(["lab", "start", "02"]) == 2  # it may hold somebody's work
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check"], "say which lab: miniqueue lab check 01"),
        (["check", "99"], "there is no lab 99: there are 01"),
        (["start", "x"], "there is no lab 0x: there are 01"),
        (["check", "01", "nothing.py"], "cannot read nothing.py: No such file"),
        (["check", "01", "bad.ipynb"], "bad.ipynb is not a notebook that can be read"),
        (["check", "01", "empty.ipynb"], "empty.ipynb has no cell that begins with %%answer 01"),
    ],
)
def test_wrong_words_are_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.ipynb").write_text("{}")
    (tmp_path / "empty.ipynb").write_text('{"cells": [{"source": ["x = 1"]}]}')
    assert main(["lab", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_report_is_true_when_all_is_right() -> None:
    assert not Report("01", "Toy")
    assert not Report("01", "Toy", problem="no")


def test_a_program_of_a_lab_runs_in_a_process(tmp_path: Path) -> None:
    folder = toy(tmp_path, FOUR + "@lab.program\ndef say(answer, redis, word): print(answer.f())\n")
    (tmp_path / "a.py").write_text("def f(): return 4")
    command = [sys.executable, "-m", "miniqueue.classroom.grading", "--program", "say"]
    done = subprocess.run(
        [*command, str(folder), str(tmp_path / "a.py"), "x"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "4\n"
