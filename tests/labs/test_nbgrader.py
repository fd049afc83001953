"""nbgrader's own commands on the labs: what it hands out, and the points that it gives."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from miniqueue.classroom.labs import folder_of, folders, notebook_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

FOLDERS = folders()
PATIENT = "--Execute.timeout=120"  # as docs/teaching.md says


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course folder with all labs, released."""
    if importlib.util.find_spec("nbgrader") is None:
        assert not os.environ.get("CI"), "CI must have nbgrader"
        pytest.skip("nbgrader is not here: pip install 'miniqueue[teaching]'")
    root = tmp_path_factory.mktemp("course")
    for folder in FOLDERS:
        place = root / "source" / folder.name
        place.mkdir(parents=True)
        shutil.copy(folder / "source.ipynb", place / "lab.ipynb")
    run(root, sys.executable, "-c", GENERATE, *(folder.name for folder in FOLDERS))
    return root


# `nbgrader generate_assignment` of several assignments, without its seconds of start for each.
GENERATE = """
import sys
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config
api = NbGraderAPI(config=Config({"CourseDirectory": {"root": "."}}))
for name in sys.argv[1:]:
    done = api.generate_assignment(name)
    assert done["success"], done["log"]
"""


def run(course: Path, *command: str) -> None:
    """Run it there; nbgrader's tools (alembic) must be on PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=course, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def cells(path: Path) -> list[Any]:
    return [(cell["cell_type"], cell["source"]) for cell in notebook_of(path)["cells"]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_our_learners_notebook_is_what_nbgrader_hands_out(course: Path, folder: Path) -> None:
    released = course / "release" / folder.name / "lab.ipynb"
    assert cells(released) == cells(folder / "lab.ipynb")


def test_autograde_gives_the_points_of_the_checks(course: Path) -> None:
    folder = folder_of("01")
    answers = {
        "ada": folder / "solution.py",
        "ben": folder / "mutants" / "never_forgets.py",
    }
    for student, answer in answers.items():
        submit(course, folder, student, answer)
    run(course, sys.executable, "-m", "nbgrader", "autograde", folder.name, PATIENT)
    points = {student: given(course, folder.name, student) for student in answers}
    assert points == {"ada": 16.0, "ben": 15.0}


def submit(course: Path, folder: Path, student: str, answer: Path) -> None:
    place = course / "submitted" / student / folder.name
    place.mkdir(parents=True)
    notebook = notebook_of(course / "release" / folder.name / "lab.ipynb")
    for cell in notebook["cells"]:
        if cell["source"].startswith("%%answer"):
            cell["source"] = "%%answer 01\n" + answer.read_text(encoding="utf-8")
    (place / "lab.ipynb").write_text(json.dumps(notebook), encoding="utf-8")


def given(course: Path, assignment: str, student: str) -> float:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return float(gradebook.find_submission(assignment, student).score)
