"""`make lab`: a notebook at the left, the newest stack's dashboard at the right; in JupyterLab."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from miniqueue.classroom import Stack
from miniqueue.classroom.service import Service, free_port
from tests.dashboard.conftest import missing
from tests.processes import marked, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
LONG_S = 60  # JupyterLab and a kernel that draws start slowly where others work too
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}
TAB = "iframe[src$='/miniqueue/']"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the course, and another one for each thing that JupyterLab keeps."""
    for package in ("jupyterlab", "jupyter_server_proxy"):
        if importlib.util.find_spec(package) is None:
            missing(f"no {package} here: make setup")
    home = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", home / "course" / "notebooks")
    shutil.copy(ROOT / "Makefile", home / "course")
    for name in ("config", "tmp"):
        (home / name).mkdir()
    return home


def environ(home: Path) -> dict[str, str]:
    """Whatever the user has set up for JupyterLab stays as it is, and unused."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    own = {"CONFIG_DIR": "config", "DATA_DIR": "data", "RUNTIME_DIR": "runtime"}
    folders = {f"JUPYTER_{name}": str(home / folder) for name, folder in own.items()}
    folders["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | folders | {"PATH": path, "TMPDIR": str(home / "tmp")}


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    """JupyterLab as `make lab` starts it, without a browser, a token and the internet."""
    if shutil.which("make") is None:
        missing("no make here")
    port = free_port()
    config = {
        "ServerApp": {"open_browser": False, "ip": "127.0.0.1", "port": port, "port_retries": 0},
        "IdentityProvider": {"token": ""},
    }
    news = home / "config/lab/user-settings/@jupyterlab/apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
    (home / "config" / "jupyter_lab_config.json").write_text(json.dumps(config))
    here = ["-C", str(home / "course"), f"BIN={Path(sys.executable).parent}"]
    command = ["make", *here, "--assume-old=.venv/.ready", "lab"]
    lab = Service("lab", command, log=home / "lab.log", environ=environ(home), grace_s=20)
    try:
        wait_for(lambda: says(lab, "is running at"), LONG_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        lab.ask_to_end()
        lab.join()
        wait_for(lambda: not marked(str(home / "tmp")), LONG_S)  # nothing is left behind


def says(service: Service, words: str) -> bool:
    """Whether its log has them; StackError if it has ended."""
    service.check()
    return words in service.tail(100)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 860})
    page = context.new_page()
    page.set_default_timeout(LONG_S * 1000)
    page.goto(f"{url}/lab/workspaces/course")
    yield page
    context.close()


def across(found: Locator) -> tuple[float, float]:
    """Where it begins and ends, from left to right."""
    box = found.bounding_box()
    assert box is not None
    return box["x"], box["x"] + box["width"]


def kill_kernel(home: Path) -> None:
    """SIGKILL: it cannot tidy up, and its stack's folder stays."""
    (kernel,) = (p for p in marked(str(home / "tmp")) if "ipykernel_launcher" in p.cmdline())
    kernel.kill()


def workers(dashboard: FrameLocator, count: int) -> None:
    """Wait until it is live and counts so many."""
    dashboard.locator("#link[data-state=on]").wait_for()
    dashboard.locator("#n-slots", has_text=f"{count} workers").wait_for()


def watch_some_cells(page: Page, dashboard: FrameLocator, picture: Path) -> None:
    """Run the notebook up to the twelve tasks, and take a picture of both."""
    for _ in range(11):
        page.keyboard.press("Shift+Enter")
    dashboard.locator("#n-finished", has_text="13").wait_for()
    page.screenshot(path=picture)


def test_the_tab_follows_the_newest_stack(
    page: Page, home: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = page.frame_locator(TAB)
    waiting, dashboard = tab.get_by_text("No stack is running yet"), tab.frame_locator("iframe")
    waiting.wait_for()
    start = page.locator(".jp-Notebook .jp-CodeCell").first
    start.wait_for()
    notebook, beside = across(page.locator(".jp-NotebookPanel")), across(page.locator(TAB))
    assert beside[0] >= notebook[1]  # side by side, and both of them wide enough to read
    assert min(notebook[1] - notebook[0], beside[1] - beside[0]) > 500

    start.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    workers(dashboard, 3)
    if os.environ.get("PICTURES"):
        watch_some_cells(page, dashboard, pictures / "lab.png")

    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))  # a stack of the same user
    with Stack(workers=0) as newer:
        workers(dashboard, 0)
        dashboard.locator("#pause").click()
        dashboard.locator("#sure-yes").click()
        wait_for(lambda: newer.inspector.queue_info("default").paused)
    workers(dashboard, 3)

    kill_kernel(home)
    waiting.wait_for()


def test_on_a_hub_the_tab_is_below_its_prefix(tmp_path: Path) -> None:
    """Binder's start script; the file itself says where the tab is with `make lab`."""
    jupyter, saved = tmp_path / "jupyter", tmp_path / "saved"
    jupyter.write_text('#!/bin/sh\ntest "$*" = "lab workspaces import -" && cat > "$SAVED"\n')
    jupyter.chmod(0o755)
    hub = {"JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "SAVED": str(saved)}
    hub["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "binder/start", "echo", "started"]
    done = subprocess.run(command, cwd=ROOT, env=hub, capture_output=True, text=True, check=True)
    assert done.stdout == "started\n"
    told = json.loads((ROOT / "notebooks" / "course.jupyterlab-workspace").read_text())
    told["data"]["server-proxy:server-proxy:miniqueue"]["data"]["url"] = "/user/ada/miniqueue/"
    assert json.loads(saved.read_text()) == told
