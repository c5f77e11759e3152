"""JupyterLab in a real browser, as `make lab` opens it: notebooks run without an error, and sliders move pictures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import chromium
from playwright.sync_api import Page, expect

REPO = Path(__file__).resolve().parents[1]
NAMES = ("00_start_here", "90_explorers")
LONG, SHORT = "epochs: int = 16", "epochs: int = 3"  # of their live searches
TOKEN = "of-the-tests"
# What `make lab` becomes, with its notebooks elsewhere: running one may not change the committed one.
START = """
import sys
from pathlib import Path
from nas_core.driver import lab
lab.notebooks_folder = lambda: Path(sys.argv[1])
lab.lab(sys.argv[2:])
"""
# All cells are in the page, wherever one has scrolled to; nothing is asked of a host elsewhere.
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
SLOW = 300_000  # milliseconds that a busy machine may take
# The notebook in front has a kernel that waits for work; the commands behind "Run All Cells" and "Save Notebook".
IDLE = """
path => {
  const front = window.jupyterapp?.shell.currentWidget;
  return front?.context?.path === path && front.sessionContext?.session?.kernel?.status === "idle";
}
"""
RUN_ALL = """
async limit => {
  const commands = window.jupyterapp.commands;
  const late = new Promise((_, fail) => setTimeout(() => fail(new Error("still running")), limit));
  await Promise.race([commands.execute("notebook:run-all-cells"), late]);
  await commands.execute("docmanager:save");
}
"""


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: where it is, and the folder of its notebooks."""

    port: int
    folder: Path

    def address(self, notebook: str) -> str:
        """Of the notebook in the browser."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{notebook}.ipynb?token={TOKEN}"


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment(place: Path) -> dict[str, str]:
    """A person without settings of their own, and a store of records that is empty."""
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    found = dict(os.environ)
    found.pop("NAS_DRIVER", None)
    for name in names:
        found[name] = str(place / name.lower())
    for extension, values in SETTINGS.items():
        file = place / "settings" / f"{extension}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    found["JUPYTERLAB_SETTINGS_DIR"] = str(place / "settings")
    found["JUPYTERLAB_WORKSPACES_DIR"] = str(place / "workspaces")
    found["NAS_RUNS"] = str(place / "runs")
    found["NAS_PROFILE"] = "smoke"
    found["PYTHONPATH"] = str(REPO)
    return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on copies of the notebooks."""
    place = tmp_path_factory.mktemp("lab")
    folder = place / "notebooks"
    folder.mkdir()
    for name in NAMES:
        text = (REPO / "notebooks" / f"{name}.ipynb").read_text("utf8")
        assert LONG in text
        (folder / f"{name}.ipynb").write_text(text.replace(LONG, SHORT), "utf8")
    running = Lab(free_port(), folder)
    options = ["--no-browser", "--allow-root", f"--port={running.port}", "--ServerApp.port_retries=0"]
    options.append("--LabApp.expose_app_in_browser=True")
    command = [sys.executable, "-c", START, str(folder), *options, f"--IdentityProvider.token={TOKEN}"]
    log = place / "log.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env=environment(place), cwd=place, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_for(running, process, log)
        yield running
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its kernels, too
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def wait_for(running: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when JupyterLab answers."""
    end = time.monotonic() + SLOW / 1000
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{running.port}/api?token={TOKEN}", timeout=5)
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text()}")


@pytest.fixture(scope="module")
def page(lab: Lab) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.set_default_timeout(SLOW)
        yield page


def run_all(page: Page, lab: Lab, notebook: str) -> dict[str, Any]:
    """Open a notebook, run all of its cells, save it; what it then is."""
    path = lab.folder / f"{notebook}.ipynb"
    clear(path)
    page.goto(lab.address(notebook))
    page.wait_for_function(IDLE, arg=path.name)
    page.evaluate(RUN_ALL, SLOW)
    executed = read(path)
    assert errors(executed) == []
    assert all(cell["execution_count"] for cell in code_cells(executed))
    return executed


def clear(path: Path) -> None:
    """Take the outputs out of a notebook, so that what is found afterwards is new."""
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    path.write_text(json.dumps(notebook))


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]


def errors(notebook: dict[str, Any]) -> list[str]:
    """What went wrong in its cells."""
    found = []
    for cell in code_cells(notebook):
        for output in cell["outputs"]:
            if output["output_type"] == "error" or (output.get("name") == "stderr" and "Error" in str(output["text"])):
                found.append(str(output.get("evalue", output.get("text"))))
    return found


def test_the_first_notebook_runs_in_the_browser(page: Page, lab: Lab) -> None:
    run_all(page, lab, "00_start_here")
    assert page.locator(".jp-Notebook:visible .jp-RenderedImage img").count() >= 3


def test_a_slider_moves_a_picture(page: Page, lab: Lab) -> None:
    run_all(page, lab, "90_explorers")
    cell = page.locator(".jp-Notebook:visible .jp-CodeCell", has=page.locator(".noUi-handle")).first
    picture = cell.locator(".jp-RenderedImage img")
    before = picture.get_attribute("src")
    temperature = cell.locator(".widget-hslider", has_text="temperature")
    assert "0.5" in temperature.inner_text()
    temperature.locator(".noUi-handle").focus()
    page.keyboard.press("ArrowRight")
    expect(picture).not_to_have_attribute("src", before or "", timeout=SLOW)
    assert "0.5\n" not in temperature.inner_text() + "\n"
