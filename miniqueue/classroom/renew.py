"""Renew: run notebooks top to bottom and store what came out, ready to be committed.

    python -m miniqueue.classroom.renew notebooks/*.ipynb
    python -m miniqueue.classroom.renew --links notebooks/*.ipynb     (after an edit of the package)

Each runs in a fresh kernel. What a machine or a moment would leave in the file (kernel names, time
stamps, widget state) is taken out; links to lines of code are pointed at where the code is now;
the last figure becomes the thumbnail notebooks/img/NAME.png. A notebook that fails keeps what it
had. With --links nothing is run: the links are all that is renewed. Leaves out: judging the
outputs, which tests/notebooks and nbval do.
"""

from __future__ import annotations

import argparse
import ast
import base64
import io
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

__all__ = ["lines_of", "point_links", "renew", "renew_links"]

CELL_S = 120  # the longest that one cell may run
WIDTH = 720  # of a thumbnail, in pixels
NB: Any = nbformat  # its functions carry no types
LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<path>[^)#\s]+\.py)#L\d+-L\d+\)")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run notebooks and store their outputs.")
    parser.add_argument("notebooks", nargs="+", type=Path, metavar="NOTEBOOK.ipynb")
    parser.add_argument("--links", action="store_true", help="renew the links to code, run nothing")
    args = parser.parse_args(argv)
    for path in args.notebooks:
        began = time.monotonic()
        try:
            (renew_links if args.links else renew)(path)
        except (OSError, LookupError, CellExecutionError) as error:
            print(f"renew: {path} keeps its outputs: {error}", file=sys.stderr)
            return 1
        print(f"{path}: {time.monotonic() - began:.0f} s", flush=True)
    return 0


def renew(path: Path) -> None:
    """Run one notebook and write it back, with its thumbnail.

    Raises CellExecutionError for a cell that fails (unless it is tagged raises-exception) and
    LookupError for a link to code that is not there.
    """
    renew_links(path)
    notebook = NB.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=CELL_S,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    _normalise(notebook)
    if (png := _last_figure(notebook)) is not None:
        _thumbnail(png, path.parent / "img" / f"{path.stem}.png")
    NB.write(notebook, path)


def renew_links(path: Path) -> None:
    """Point the links of one notebook at where the code is now. Raises LookupError."""
    notebook = NB.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = point_links(cell.source, path.parent)
    NB.write(notebook, path)


def point_links(text: str, folder: Path) -> str:
    """Renew the line numbers of links such as [`Queue.wait`](../miniqueue/queue.py#L1-L2)."""

    def pointed(match: re.Match[str]) -> str:
        name, path = match["name"], match["path"]
        first, last = lines_of(folder / path, name)
        return f"[`{name}`]({path}#L{first}-L{last})"

    return LINK.sub(pointed, text)


def lines_of(path: Path, name: str) -> tuple[int, int]:
    """First and last line of a function, class or method; a module's name may stand before it.

    Raises LookupError.
    """
    node: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
    words = name.removeprefix(f"{path.stem}.").split(".")
    for word in words:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        inside = [n for n in ast.iter_child_nodes(node) if isinstance(n, kinds) and n.name == word]
        if not inside:
            raise LookupError(f"there is no {name} in {path}")
        node = inside[0]
    assert isinstance(node, ast.stmt)
    return node.lineno, node.end_lineno or node.lineno


def _normalise(notebook: NotebookNode) -> None:
    notebook.metadata = NB.from_dict(METADATA)
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = NB.from_dict({"tags": tags} if tags else {})
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if "127.0.0.1" in output.get("data", {}).get("text/html", ""):
                del output["data"]["text/html"]  # an address that nobody listens at any more


def _last_figure(notebook: NotebookNode) -> bytes | None:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    figures = [o.data["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    return base64.b64decode(figures[-1]) if figures else None


def _thumbnail(png: bytes, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(png)) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        small.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
