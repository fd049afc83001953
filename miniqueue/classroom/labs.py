"""Labs: the folders of labs/, the answers in a learner's file, and a notebook to start from.

    check("01")                       in a notebook, after the cell that begins with %%answer 01
    miniqueue lab list | start 01 | check 01

source.ipynb of a lab has the solution in it, between nbgrader's markers; `released()` takes it out,
as nbgrader does.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from miniqueue.classroom.grading import Report, grade, lab_of
from miniqueue.errors import ConfigError

__all__ = [
    "ANSWERS",
    "answer_in",
    "check",
    "check_file",
    "folder_of",
    "folders",
    "notebook_of",
    "released",
    "require",
    "start",
    "titles",
]

ANSWERS: dict[str, str] = {}  # what %%answer cells of this notebook have said, by number
JUDGED: dict[str, tuple[str, Report]] = {}  # and what was said of the last one that was judged
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"  # nbgrader's words
HOLE = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?### END SOLUTION$", re.DOTALL | re.MULTILINE)
FIRST_LINE = re.compile(r"%%answer +(\d\d)\s*\n")


def folders() -> list[Path]:
    """The folders of all labs, in order; beside the package, or inside an installed one."""
    here = Path(__file__).parent
    for place in (here / "_labs", here.parents[1] / "labs"):
        if place.is_dir():
            return sorted(place.glob("[0-9][0-9]-*"))
    return []


def folder_of(number: str) -> Path:
    """The folder of lab `number`: "01", or 1. Raises ConfigError for one that does not exist."""
    wanted = str(number).zfill(2)
    for folder in folders():
        if folder.name[:2] == wanted:
            return folder
    known = ", ".join(folder.name[:2] for folder in folders())
    raise ConfigError(f"there is no lab {wanted}: there are {known}")


def check(number: str, *only: str, seed: int = 0) -> Report:
    """Judge the %%answer cell of a lab that was run last; `only` are names of checks."""
    folder = folder_of(number)
    text = ANSWERS.get(folder.name[:2])
    if text is None:
        lab = lab_of(folder)
        told = f"run your answer first, the cell that begins with %%answer {lab.number}"
        return Report(lab.number, lab.title, problem=told)
    report = grade(folder, text, seed=seed, only=only)
    if not only:
        JUDGED[folder.name[:2]] = text, report
    return report


def require(number: str, name: str) -> None:
    """One check, for nbgrader's gradebook: raises AssertionError, with what was found.

    The answer is judged once for all of them, or not at all after check().
    """
    __tracebackhide__ = True
    wanted = folder_of(number).name[:2]
    text, report = JUDGED.get(wanted, (None, None))
    if report is None or text != ANSWERS.get(wanted):
        report = check(number)
    for result in report.results:
        if result.name == name and result.passed:
            print(f"{name}: yes, {result.points} of {result.most}")
            return
    found = [line for result in report.results if result.name == name for line in result.lines()]
    raise AssertionError("\n".join([f"{name}: no", *(found or [report.head])]))


def answer_in(path: Path, number: str) -> str:
    """The answer in a .py file, or in the cell of a notebook that begins with %%answer NN.

    Raises ConfigError where there is none.
    """
    if path.suffix != ".ipynb":
        return _text(path)
    sources: list[str] = [cell["source"] for cell in notebook_of(path)["cells"]]
    for source in reversed(sources):
        if (first := FIRST_LINE.match(source)) and first[1] == number:
            return source[first.end() :]
    raise ConfigError(f"{path} has no cell that begins with %%answer {number}")


def notebook_of(path: Path) -> dict[str, Any]:
    """A notebook, the source of each cell as one text. Raises ConfigError if it cannot be read."""
    text = _text(path)
    try:
        notebook: dict[str, Any] = json.loads(text)
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is not a notebook that can be read") from None
    return notebook


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def check_file(number: str, path: Path | None = None, *, seed: int = 0) -> Report:
    """Judge the answer in a file; without one, in the notebook that start() made here.

    Raises ConfigError where there is no answer.
    """
    folder = folder_of(number)
    file = Path(_name(folder)) if path is None else path
    return grade(folder, answer_in(file, folder.name[:2]), seed=seed)


def start(number: str, into: Path) -> Path:
    """Copy a lab's notebook and README into a new folder; gives the notebook.

    Raises ConfigError if the notebook is there already: it may hold somebody's work.
    """
    folder = folder_of(number)
    notebook = into / _name(folder)
    if notebook.exists():
        raise ConfigError(f"{notebook} is there already: give another folder, or go on with it")
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "lab.ipynb", notebook)
    shutil.copy(folder / "README.md", into / f"lab-{folder.name}.md")
    return notebook


def _name(folder: Path) -> str:
    return f"lab-{folder.name}.ipynb"


def released(notebook: dict[str, Any]) -> dict[str, Any]:
    """A source notebook as learners get it: holes for solutions, no outputs."""
    made = copy.deepcopy(notebook)
    for cell in made["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = HOLE.sub(_hole, cell["source"])
            cell["outputs"], cell["execution_count"] = [], None
    return made


def _hole(match: re.Match[str]) -> str:
    return "\n".join(match[1] + line for line in STUB.splitlines())


def titles() -> Sequence[tuple[str, str, int]]:
    """Number, title and points of each lab."""
    labs = [lab_of(folder) for folder in folders()]
    return [(lab.number, lab.title, sum(c.points for c in lab.checks)) for lab in labs]


def main() -> None:
    """Write lab.ipynb of every lab anew, from its source.ipynb."""
    for folder in folders():
        learners = released(notebook_of(folder / "source.ipynb"))
        text = json.dumps(learners, indent=1, ensure_ascii=False)
        (folder / "lab.ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
