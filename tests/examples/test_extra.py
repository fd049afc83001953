"""Without scikit-learn the examples that need it say what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = "import sys; sys.modules['sklearn'] = None; from miniqueue.worker import main; "


@pytest.mark.parametrize("module", ["digits", "train"])
def test_a_worker_names_the_extra(module: str) -> None:
    code = f"{WITHOUT} sys.exit(main(['--import', 'miniqueue.examples.{module}']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=9
    )
    assert done.returncode == 2
    assert done.stderr == (
        "miniqueue.worker: this example needs scikit-learn: pip install 'miniqueue[ai]'\n"
    )


def test_importing_the_examples_loads_no_model() -> None:
    code = "import sys, miniqueue.examples.story, miniqueue.examples; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"numpy", "sklearn", "pydoc_data"} & set(done.stdout.split()) == set()
