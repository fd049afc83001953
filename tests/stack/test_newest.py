"""Which stack is the newest that runs: for the dashboard's tab in JupyterLab."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from miniqueue.classroom import Stack
from miniqueue.classroom.newest import NAME, PREFIX, newest, tell

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")
TELL = """
import sys, pathlib
from miniqueue.classroom.newest import tell
keep = tell(pathlib.Path(sys.argv[1]), "http://127.0.0.1:8003")
print("told", flush=True)
sys.stdin.read()
"""


def folder(parent: Path, name: str) -> Path:
    made = parent / f"{PREFIX}{name}"
    made.mkdir()
    return made


def test_the_newest_of_those_that_run(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    end_first = tell(first, "http://127.0.0.1:8001")
    os.utime(first / NAME, ns=(0, 0))
    assert newest(tmp_path) == 8001
    end_second = tell(second, "http://127.0.0.1:8002")
    assert newest(tmp_path) == 8002
    end_second()
    assert newest(tmp_path) == 8001
    end_first()
    assert newest(tmp_path) is None
    assert sorted(path.name for path in tmp_path.glob(f"*/{NAME}")) == [NAME, NAME]


def test_one_whose_process_was_killed_does_not_run(tmp_path: Path) -> None:
    left = folder(tmp_path, "left")
    command = [sys.executable, "-c", TELL, str(left)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"told\n"
        assert newest(tmp_path) == 8003
        process.kill()
    assert (left / NAME).read_text() == "http://127.0.0.1:8003"
    assert newest(tmp_path) is None


def test_garbage_is_passed_over(tmp_path: Path) -> None:
    (folder(tmp_path, "folder") / NAME).mkdir()
    (folder(tmp_path, "nowhere") / NAME).symlink_to(tmp_path / "nothing")
    ends = [
        tell(folder(tmp_path, "good"), "http://127.0.0.1:8004"),
        tell(folder(tmp_path, "half"), ""),
        tell(folder(tmp_path, "words"), "http://127.0.0.1:port"),
        tell(folder(tmp_path, "bytes"), ""),
    ]
    (tmp_path / f"{PREFIX}bytes" / NAME).write_bytes(b"\xff\xfe")
    assert newest(tmp_path) == 8004
    for end in ends:
        end()


def test_what_another_user_has_put_there_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = tell(folder(tmp_path, "theirs"), "http://127.0.0.1:8005")
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    assert newest(tmp_path) is None
    end()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_stack_tells_from_its_start_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Stack(workers=0) as stack:
        assert stack.url == f"http://127.0.0.1:{newest()}"
    assert newest() is None
