"""Grade: judge an answer in a process of its own.

An endless loop, an exit or a wrong import there costs the time limit of a check and nothing else;
what the answer has started ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from miniqueue.classroom.grading.judging import judge
from miniqueue.classroom.grading.lab import Answer, Lab, Wrong
from miniqueue.classroom.grading.report import Report, Result
from miniqueue.errors import ConfigError
from miniqueue.redis_client import connect
from miniqueue.settings import Settings

__all__ = ["MODULE", "grade", "lab_of"]

MODULE = "miniqueue.classroom.grading"
GRADE_S = 90.0  # the longest that all checks of a lab may take


def grade(folder: Path, text: str, *, seed: int = 0, only: Sequence[str] = ()) -> Report:
    """Judge an answer in a process of its own.

    `only` are names of checks; another one raises ConfigError.
    """
    lab = lab_of(folder)
    names = [check.name for check in lab.checks]
    for name in only:
        if name not in names:
            raise ConfigError(
                f"lab {lab.number} has no check {name!r}: there are {', '.join(names)}"
            )
    command = [sys.executable, "-m", MODULE, "--seed", str(seed), str(folder), *only]
    code, said, complaint = _finished(command, text)
    if code is None:
        return Report(lab.number, lab.title, problem=f"not judged after {GRADE_S:g} s")
    try:
        answered = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        last = (complaint.strip().splitlines() or [f"exit code {code}"])[-1]
        told = f"your cell ended the process that judged it: {last}"
        return Report(lab.number, lab.title, problem=told)
    results = [Result(**result) for result in answered["results"]]
    return Report(lab.number, lab.title, results, answered["problem"])


def _finished(command: Sequence[str], text: str) -> tuple[int | None, str, str]:
    """Exit code, output and complaints of a command; None where it took too long.

    It has a session of its own, and nobody in it is left: an answer may start processes.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            text=True,
            start_new_session=True,
        )
        code = None
        try:
            process.communicate(text, timeout=GRADE_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            pass
        finally:
            _strike(process)
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


def _strike(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def lab_of(folder: Path) -> Lab:
    """The lab of a folder: its grader.py, loaded anew."""
    path = folder / "grader.py"
    spec = importlib.util.spec_from_file_location(f"miniqueue_lab_{folder.name[:2]}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lab: Lab = module.lab
    return lab


def main(argv: Sequence[str] | None = None) -> int:
    """Judge the answer on standard input, print the results as JSON; or run a lab's program."""
    parser = argparse.ArgumentParser(prog=MODULE, description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--program")
    parser.add_argument("words", nargs="*", metavar="WORD")
    args = parser.parse_args(argv)
    lab = lab_of(args.folder)
    if args.program:
        file, *words = args.words
        answer = Answer(Path(file).read_text(encoding="utf-8"), lab.asked)
        lab.programs[args.program](answer, connect(Settings.from_env()).raw, *words)
        return 0
    problem, results = "", []
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        try:
            results = judge(lab, sys.stdin.read(), args.seed, args.words)
        except Wrong as wrong:
            problem = str(wrong)
    print(json.dumps({"problem": problem, "results": [asdict(result) for result in results]}))
    sys.stdout.flush()
    os._exit(0)  # a thread that the answer has started is not waited for
