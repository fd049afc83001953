"""Figures in prose: a template names a stored result, and gets its median and its spread.

`{{drain > miniqueue > 1 > tasks/s}}` is what benchmarks/results/drain.json holds at that path; in
peers and limits a row is found by its name. `{{huey-notify p50_ms / miniqueue p50_ms}}` is a ratio
of medians in peers.json, of `first figure / second figure`. So no figure on a page can differ from
the one that was measured.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

__all__ = ["filled"]

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
PLACE = re.compile(r"\{\{(.+?)\}\}")
RATIO = re.compile(r"(\S+) (\w+) / (\S+) (\w+)")


def filled(template: str) -> str:
    """The template with its figures. KeyError names what no stored result has."""
    return PLACE.sub(lambda place: _figure(place[1]), template)


def _figure(place: str) -> str:
    if ratio := RATIO.fullmatch(place):
        above, below = (
            _at("peers", [who, "figures", figure])["median"]
            for who, figure in (ratio.groups()[:2], ratio.groups()[2:])
        )
        return f"{above / below:.2g}" if above / below < 10 else f"{above / below:.0f}"
    name, *path = place.split(" > ")
    found = _at(name, path)
    if not isinstance(found, dict):
        return _number(found) if isinstance(found, int | float) else str(found)
    low, high = _number(found["low"]), _number(found["high"])
    return _number(found["median"]) + (f" ({low} to {high})" if low != high else "")


def _at(name: str, path: list[str]) -> Any:
    found: Any = json.loads((RESULTS / f"{name}.json").read_text())
    for step in path:
        if step in found:
            found = found[step]
        else:
            found = next((row for row in found.get("rows", []) if row["name"] == step), None)
            if found is None:
                raise KeyError(f"{name}.json has no {' > '.join(path)}")
    return found


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}"
