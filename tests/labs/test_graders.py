"""The graders are graded: the stub gets nothing, right answers all, each mutant fails one check."""

from __future__ import annotations

import ast
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from miniqueue.classroom.grading import Lab, Result, Wrong, judge, lab_of
from miniqueue.classroom.labs import answer_in, folders, notebook_of, released

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

FOLDERS = folders()
SEEDS = range(20)
MUTANTS = [path for folder in FOLDERS for path in sorted((folder / "mutants").glob("*.py"))]
RIGHT = [path for folder in FOLDERS for path in sorted((folder / "right").glob("*.py"))]
each_lab = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
each_right = pytest.mark.parametrize("name", ["solution.py", "other_solution.py"])


@cache
def lab(folder: Path) -> Lab:
    return lab_of(folder)


@cache
def source(folder: Path, name: str) -> dict[str, Any]:
    return notebook_of(folder / name)


def failed(results: list[Result]) -> dict[str, list[str]]:
    return {result.name: result.lines() for result in results if result.seen}


def named_check(path: Path) -> str:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CHECK":
            return str(ast.literal_eval(node.value))
    raise AssertionError(f"{path} names no CHECK")


def judged(path: Path) -> list[Result]:
    """What the grader says of a wrong answer; real processes only where they shall catch it."""
    checks = {check.name: check for check in lab(path.parents[1]).checks}
    real = checks[named_check(path)].real
    return judge(lab(path.parents[1]), path.read_text(encoding="utf-8"), real=real)


# -- points ----------------------------------------------------------------------------------------


@each_lab
@each_right
def test_a_right_answer_gets_all_points_with_every_seed(folder: Path, name: str) -> None:
    text = (folder / name).read_text(encoding="utf-8")
    for seed in SEEDS:
        assert failed(judge(lab(folder), text, seed, real=seed == 0)) == {}, seed


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: f"{path.parents[1].name[:2]}-{path.stem}")
def test_a_right_answer_may_be_written_in_any_way(path: Path) -> None:
    assert failed(judge(lab(path.parents[1]), path.read_text(encoding="utf-8"), real=False)) == {}


@each_lab
def test_the_stub_gets_no_point(folder: Path) -> None:
    text = answer_in(folder / "lab.ipynb", lab(folder).number)
    try:
        results = judge(lab(folder), text)
    except Wrong:
        return
    assert [result.name for result in results if result.points] == []


@pytest.mark.parametrize(
    "path", MUTANTS, ids=lambda path: f"{path.parents[1].name[:2]}-{path.stem}"
)
def test_a_wrong_answer_fails_exactly_the_check_that_it_names(path: Path) -> None:
    results = judged(path)
    assert list(failed(results)) == [named_check(path)], failed(results)
    for result in results:
        if result.seen:
            assert result.expected
            assert result.hint
            assert len(result.timeline) <= 5


@each_lab
def test_every_check_but_the_last_ones_is_needed_by_a_mutant(folder: Path) -> None:
    caught = {named_check(path) for path in (folder / "mutants").glob("*.py")}
    later = {check.name for check in lab(folder).checks if check.needs}
    assert {check.name for check in lab(folder).checks} - later <= caught
    assert len(caught) >= 4


# -- shape -----------------------------------------------------------------------------------------


@each_lab
def test_a_lab_has_six_to_ten_named_checks(folder: Path) -> None:
    names = [check.name for check in lab(folder).checks]
    assert 6 <= len(names) == len(set(names)) <= 10
    known: set[str] = set()
    for check in lab(folder).checks:
        assert {*check.needs} <= known, f"{check.name} needs a check that comes later"
        known.add(check.name)


@each_lab
def test_the_readme_is_short_and_names_the_contract(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert len(text.split()) <= 400
    for part in ("**Goal.**", "**Contract.**", "**How it is judged.**", "**Pitfalls.**"):
        assert part in text
    for name in lab(folder).asked:
        assert f"`{name}" in text


@each_lab
def test_the_learners_notebook_is_generated_from_the_source(folder: Path) -> None:
    learners = source(folder, "lab.ipynb")
    assert learners == released(source(folder, "source.ipynb")), "run `make labs`"
    assert "SOLUTION" not in json.dumps(learners)


@each_lab
def test_the_solution_stands_in_the_source(folder: Path) -> None:
    text = answer_in(folder / "source.ipynb", lab(folder).number)
    bare = re.sub(r"^ *### (BEGIN|END) SOLUTION\n", "", text + "\n", flags=re.M)
    solution = (folder / "solution.py").read_text(encoding="utf-8")
    assert bare.strip() == solution.split('"""', 2)[2].strip()


@each_lab
def test_each_check_is_a_cell_of_the_gradebook(folder: Path) -> None:
    graded = {}
    for cell in source(folder, "source.ipynb")["cells"]:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade"):
            number, name = re.findall(r'"([\w-]+)"', cell["source"])
            assert (number, name) == (lab(folder).number, about["grade_id"])
            graded[name] = about["points"]
    assert graded == {check.name: check.points for check in lab(folder).checks}
