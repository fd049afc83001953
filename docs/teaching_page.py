"""The page docs/teaching.md: words from docs/parts, tables from the labs themselves.

`teaching_page()` gives its text; docs/generate.py writes it (`make docs`).
"""

from __future__ import annotations

import ast
from pathlib import Path

from miniqueue.classroom.grading import Lab, lab_of
from miniqueue.classroom.labs import folders

__all__ = ["teaching_page"]

PARTS = Path(__file__).parent / "parts"
STACK = "about 230 MB of memory"  # resident, of Redis, the API, three workers and supervisors


def teaching_page() -> str:
    text = (PARTS / "teaching.template").read_text(encoding="utf-8")
    votes = (PARTS / "votes.md").read_text(encoding="utf-8").strip()
    labs = "\n\n".join(_matrix(lab_of(folder)) for folder in folders())
    return text.replace("{votes}", votes).replace("{labs}", labs).replace("{stack_mb}", STACK)


def _matrix(lab: Lab) -> str:
    """A row for each wrong answer, a column for each check."""
    names = [check.name for check in lab.checks]
    lines = [
        f"### Lab {lab.number} · {lab.title}",
        "",
        f"| wrong answer | what whoever writes it believes | {' | '.join(names)} |",
        f"|---|---|{':-:|' * len(names)}",
    ]
    for path in sorted((lab.folder / "mutants").glob("*.py")):
        believed, caught = _read(path)
        row = ["✗" if name == caught else "" for name in names]
        lines.append(f"| {path.stem} | {believed} | {' | '.join(row)} |")
    points = ", ".join(f"{check.name} {check.points}" for check in lab.checks)
    return "\n".join([*lines, "", f"Points: {points}."])


def _read(path: Path) -> tuple[str, str]:
    """What a wrong answer says of itself: the belief behind it, and the check that catches it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (caught,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHECK"
    ]
    return ast.get_docstring(tree) or "", str(caught)
