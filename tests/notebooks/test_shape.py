"""The shape that every notebook of the course has: budgets, outputs, parts and links.

Outputs must be committed, since nbval passes a notebook without outputs without comparing anything.
"""

from __future__ import annotations

import re
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest

from miniqueue.classroom.renew import LINK, lines_of, point_links

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]-*.ipynb"))
NB: Any = nbformat  # its functions carry no types
IGNORED, RAISES = "nbval-ignore-output", "raises-exception"
NOT_PORTABLE = {
    "an absolute path": r"(?<![\w.<])/(?:home|root|tmp|usr|opt|var|work|private|Users)\b|[A-Z]:\\",
    "a port": r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0):\d+",
    "a time": r"\b\d{2}:\d{2}:\d{2}\b|\b20\d\d-\d\d-\d\d\b|\b1[6-9]\d{8}(?:\d{3})?\b",
    "a task id": r"\b[0-9a-f]{16}\b",
}
PARTS = [  # in this order, each at its first appearance
    r"^## An incident",
    r"^## The smallest thing",
    r"^## Predict",
    r"^## Explain",
    r"^## Break it",
    r"^## Repair it",
    r"^## Modify",
    r"^## Summary",
]

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@cache
def cells(path: Path) -> list[Any]:
    return list(NB.read(path, as_version=4).cells)


def code(path: Path) -> list[Any]:
    return [cell for cell in cells(path) if cell.cell_type == "code"]


def prose(path: Path) -> list[str]:
    return [cell.source for cell in cells(path) if cell.cell_type == "markdown"]


def tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def lines(cell: Any) -> int:
    rows = (row.strip() for row in cell.source.splitlines())
    return sum(bool(row) and not row.startswith("#") for row in rows)


def words(text: str) -> int:
    """Words that are read: no code blocks, formulas, tags and targets of links."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|<[^>]+>|\]\([^)]*\)", " ", text, flags=re.S)
    return sum(bool(re.search(r"\w", word)) for word in text.split())


def texts(cell: Any) -> str:
    """All that a cell printed, with the colours of a traceback taken out."""
    found = []
    for output in cell.outputs:
        found += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
        found += output.get("traceback", [])
    return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(found))


def figures(path: Path) -> int:
    outputs = [output for cell in code(path) for output in cell.outputs]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


# -- budgets ---------------------------------------------------------------------------------------


@each_notebook
def test_cells_words_and_lines_are_within_budget(path: Path) -> None:
    lengths = [lines(cell) for cell in code(path)]
    assert 24 <= len(cells(path)) <= 34
    assert 900 <= sum(words(text) for text in prose(path)) <= 1400
    assert 60 <= sum(lengths) <= 110
    assert statistics.median(lengths) <= 3
    assert max(lengths) <= 18


@each_notebook
def test_the_incident_is_short(path: Path) -> None:
    (incident,) = [text for text in prose(path) if text.startswith("## An incident")]
    assert words(incident) - 2 <= 120


@each_notebook
def test_it_draws_and_asks_for_guesses(path: Path) -> None:
    guesses = {
        name for cell in code(path) for name in re.findall(r"^(guess_\w+) = ", cell.source, re.M)
    }
    assert len(guesses) >= 3
    assert 3 <= figures(path) <= 5
    drawn = [cell.source for cell in code(path) if "charts." in cell.source]
    assert sum("guess" in source for source in drawn) >= 3, (
        "a guess is drawn beside the measurement"
    )


# -- outputs ---------------------------------------------------------------------------------------


@each_notebook
def test_outputs_are_committed_and_were_made_in_order(path: Path) -> None:
    assert [cell.execution_count for cell in code(path)] == list(range(1, len(code(path)) + 1))
    silent = [cell for cell in code(path) if not cell.outputs]
    assert len(silent) <= len(code(path)) / 2
    assert not any(output.get("name") == "stderr" for cell in code(path) for output in cell.outputs)


@each_notebook
def test_errors_are_only_where_they_are_expected(path: Path) -> None:
    for cell in code(path):
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == (RAISES in tags(cell)), cell.source


@each_notebook
def test_most_cells_are_compared_and_a_measured_one_is_followed_by_a_verdict(path: Path) -> None:
    ignored = [IGNORED in tags(cell) for cell in code(path)]
    assert sum(ignored) <= 0.4 * len(ignored)
    for here, cell in enumerate(code(path)):
        if ignored[here]:
            assert "verdict(" in code(path)[here + 1].source, cell.source
            assert not ignored[here + 1]


@each_notebook
@pytest.mark.parametrize("what", NOT_PORTABLE)
def test_a_compared_output_is_the_same_on_every_machine(path: Path, what: str) -> None:
    for cell in code(path):
        if IGNORED not in tags(cell):
            assert not re.search(NOT_PORTABLE[what], texts(cell)), f"{what}: {texts(cell)}"


@each_notebook
def test_nothing_of_this_machine_is_in_the_file(path: Path) -> None:
    assert not re.search(NOT_PORTABLE["an absolute path"], "\n".join(map(texts, code(path))))
    assert "127.0.0.1:" not in "\n".join(str(cell.outputs) for cell in code(path))
    for cell in cells(path):
        assert set(cell.metadata) <= {"tags"}
    assert NB.read(path, as_version=4).metadata.kernelspec.name == "python3"


@each_notebook
def test_no_cell_asks_or_hides(path: Path) -> None:
    for cell in code(path):
        assert not cell.source.rstrip().endswith(";")
        assert "input(" not in cell.source


# -- parts -----------------------------------------------------------------------------------------


@each_notebook
def test_it_begins_with_the_question_and_its_last_picture(path: Path) -> None:
    first, start = cells(path)[:2]
    number, _, words = path.stem.partition("-")
    assert first.source.startswith(f"# {number} · {words.replace('-', ' ').capitalize()}\n")
    assert re.search(r"\*\*[^*]+\?\*\*", first.source), "a question in bold"
    assert f"](img/{path.stem}.png)" in first.source
    assert (FOLDER / "img" / f"{path.stem}.png").stat().st_size < 60_000
    assert "Run the cells from the top, in order." in first.source
    assert "Stack(" in start.source
    assert re.fullmatch(r"<Stack: Redis, API and \d+ workers?>", texts(start).strip())


@each_notebook
def test_the_parts_come_in_order(path: Path) -> None:
    text = "\n".join(prose(path))
    places = []
    for part in PARTS:
        found = re.search(part, text, re.M)
        assert found, f"there is no part {part!r}"
        places.append(found.start())
    assert places == sorted(places)


@each_notebook
def test_a_prediction_is_a_vote_before_a_guess(path: Path) -> None:
    all_cells = cells(path)
    asked = [
        i for i, cell in enumerate(all_cells) if re.search(r"^- \*\*A\*\* ", cell.source, re.M)
    ]
    assert len(asked) >= 3
    for place in asked:
        options = re.findall(r"^- \*\*([A-Z])\*\* ", all_cells[place].source, re.M)
        assert options == ["A", "B", "C", "D"]
        assert all_cells[place + 1].source.startswith("guess_")


@each_notebook
def test_explanations_are_the_learners_first_and_ours_folded(path: Path) -> None:
    text = "\n".join(prose(path))
    assert text.count("*Your sentence") == text.count("<details>") == text.count("</details>") >= 2


@each_notebook
def test_the_repair_is_a_diff_and_the_end_is_a_summary(path: Path) -> None:
    (repair,) = [text for text in prose(path) if "## Repair it" in text]
    diff = repair.partition("```diff")[2].partition("```")[0]
    assert re.search(r"^-", diff, re.M)
    assert re.search(r"^\+", diff, re.M)
    assert LINK.search(repair), "a link to the lines of the package that do it"
    summary = prose(path)[-1]
    sentences = re.split(r"(?<=[.?!])\s", summary.split("\n\n")[1].strip())
    assert len(sentences) == 3
    assert len(re.findall(r"\*\*[\w ]+\*\* \(", summary)) == 3, "three words for the glossary"
    last = code(path)[-1]
    assert last.source == "stack.stop()\nstack"
    assert texts(last).strip() == "<Stack, stopped>"


# -- links -----------------------------------------------------------------------------------------


@each_notebook
def test_links_are_alive(path: Path) -> None:
    check_links("\n".join(prose(path)), FOLDER)


@each_notebook
def test_links_to_code_point_at_its_lines(path: Path) -> None:
    for match in LINK.finditer("\n".join(prose(path))):
        first, last = lines_of(FOLDER / match["path"], match["name"])
        assert match[0].endswith(f"#L{first}-L{last})"), (
            "run python -m miniqueue.classroom.renew --links notebooks/*.ipynb"
        )


def test_the_index_shows_every_notebook() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in NOTEBOOKS:
        assert "[![" in index
        assert f"](img/{path.stem}.png)]({path.name})" in index
    check_links(index, FOLDER)


def check_links(text: str, folder: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://|#", target):
            assert (folder / target.partition("#")[0]).exists(), f"a dead link: {target}"


def test_renew_moves_a_link_to_where_the_code_is_now(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n\nclass C:\n    def m(self):\n        return 1\n")
    assert point_links("see [`C.m`](a.py#L1-L2).", tmp_path) == "see [`C.m`](a.py#L4-L5)."
    assert lines_of(tmp_path / "a.py", "a.C") == (3, 5)
    with pytest.raises(LookupError, match=r"there is no C\.n"):
        lines_of(tmp_path / "a.py", "C.n")
