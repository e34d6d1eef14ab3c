"""A real JupyterLab in a real Chromium: fixtures that open notebooks, run them, and look at them.

``lab`` is one server for the whole session, ``browser_page`` one page with it (Lab takes seconds to
load); ``notebook(cells)`` opens a notebook there and hands out a ``Notebook``.
Screenshots go to COMFYNB_ARTIFACTS, or build/screenshots.
"""

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
import pytest
from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
ARTIFACTS = Path(os.environ.get("COMFYNB_ARTIFACTS", REPO / "build" / "screenshots"))
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWPORT = ViewportSize(width=1280, height=900)
SECONDS = 1000  # Playwright counts in milliseconds
PATIENCE = 60 * SECONDS
expect.set_options(timeout=PATIENCE)
KEEP = pytest.StashKey[pytest.CallInfo[None]]()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, and the folder that it shows."""

    url: str
    token: str
    root: Path

    def answers(self) -> bool:
        request = urllib.request.Request(
            f"{self.url}/api/status", headers={"Authorization": f"token {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _end_with_parent() -> None:
    """Even if pytest is killed: PR_SET_PDEATHSIG is 1."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _settings(folder: Path) -> None:
    """No news, no update check, nothing that pops up over a screenshot."""
    notification = (
        folder / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    )
    notification.parent.mkdir(parents=True)
    notification.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))


def _environment(home: Path, token: str) -> dict[str, str]:
    return {
        **os.environ,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter-data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYTHONPATH": os.pathsep.join([str(REPO), str(HERE / "kernel")]),
        "JUPYTER_TOKEN": token,  # not in argv, where everybody on the machine could read it
    }


def _start(home: Path, root: Path) -> tuple[subprocess.Popen[bytes], Lab]:
    """Start JupyterLab and wait until it answers; again where another took its port first."""
    token = secrets.token_hex(16)
    deadline = time.monotonic() + 120
    for _ in range(3):
        port = _free_port()
        with (home / "lab.log").open("ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "jupyterlab", "--no-browser"),
                    *("--expose-app-in-browser", "--allow-root", f"--ServerApp.root_dir={root}"),
                    *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
                    *("--ServerApp.port_retries=0", "--LabApp.news_url="),
                    "--LabApp.extension_manager=readonly",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(home, token),
                cwd=root,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
            )
        server = Lab(f"http://127.0.0.1:{port}", token, root)
        while process.poll() is None and time.monotonic() < deadline:
            if server.answers():
                return process, server
            # A process gives no event for "ready"; its end would be an answer.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
        _end(process)
    pytest.fail("JupyterLab did not start:\n" + (home / "lab.log").read_text()[-4000:])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # the server ends its kernels before itself
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Lab]:
    """A JupyterLab on a free port, in a home of its own, with this environment's kernel."""
    home = tmp_path_factory.mktemp("lab")
    root = home / "notebooks"
    root.mkdir()
    _settings(home / "settings")
    process, server = _start(home, root)
    yield server
    _end(process)


def _page_scope(fixture_name: str, config: pytest.Config) -> Literal["session", "module"]:
    """One page for all tests where none but browser tests run, else one for each module.

    While Playwright's synchronous API is in use its event loop counts as running in this thread,
    and asyncio tests could not start theirs.
    """
    return "session" if config.option.markexpr == "browser" else "module"


@pytest.fixture(scope=_page_scope)
def browser_page(lab: Lab, chromium: str) -> Iterator[Page]:
    """A page with JupyterLab open."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGS)
        context = browser.new_context(viewport=VIEWPORT, locale="en-GB")
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("dialog", lambda dialog: dialog.accept())  # "leave this page?"
        page.goto(f"{lab.url}/lab?token={lab.token}&reset")
        _wait_for_app(page)
        yield page
        context.close()
        browser.close()


def _wait_for_app(page: Page) -> None:
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.restored")
    page.evaluate("async () => { await window.jupyterapp.restored }")


class Notebook:
    """One notebook, open in JupyterLab."""

    def __init__(self, page: Page, lab: Lab, path: Path) -> None:
        self.page = page
        self.lab = lab
        self.path = path
        self.page_errors: list[str] = []
        page.on("pageerror", self._page_error)

    def _page_error(self, error: object) -> None:
        self.page_errors.append(str(error))

    # Opening

    def open(self) -> None:
        """Show it in the page that is already there."""
        self._command("docmanager:open", {"path": self.path.name, "factory": "Notebook"})
        self._wait_for_kernel()

    def _wait_for_kernel(self) -> None:
        self.page.wait_for_function(
            """(path) => {
                const panel = window.jupyterapp.shell.currentWidget;
                return panel && panel.context && panel.context.path === path
                    && panel.context.isReady && panel.sessionContext.isReady
                    && panel.sessionContext.session?.kernel?.connectionStatus === "connected";
            }""",
            arg=self.path.name,
        )

    def reload(self) -> None:
        """Save, load the whole page anew, and open the notebook again; the kernel goes on."""
        self.save()
        self.page.goto(f"{self.lab.url}/lab/tree/{self.path.name}?reset")
        _wait_for_app(self.page)
        self._wait_for_kernel()

    def save(self) -> None:
        self._command("docmanager:save")

    def close(self) -> None:
        """Close it and end its kernel."""
        self.page.remove_listener("pageerror", self._page_error)
        self.page.evaluate(
            """async (path) => {
                const app = window.jupyterapp;
                for (const panel of app.shell.widgets("main")) {
                    if (panel.context?.path === path) {
                        await panel.context.save();
                        await panel.sessionContext.shutdown();
                        panel.close();
                    }
                }
            }""",
            self.path.name,
        )

    def _command(self, name: str, args: dict[str, Any] | None = None) -> Any:
        return self.page.evaluate(
            "([name, args]) => window.jupyterapp.commands.execute(name, args).then(() => null)",
            [name, args or {}],
        )

    # Running

    def start(self, command: str = "notebook:run-all-cells") -> None:
        """Execute a command of JupyterLab without waiting for its end."""
        self.page.evaluate(
            """(name) => {
                window.ran = {done: false};
                window.jupyterapp.commands.execute(name).then(
                    (result) => { window.ran = {done: true, result}; },
                    (error) => { window.ran = {done: true, error: String(error)}; });
            }""",
            command,
        )

    def wait(self, timeout: float = 60) -> None:
        """Wait until what ``start`` began has ended."""
        self.page.wait_for_function("() => window.ran.done", timeout=timeout * SECONDS)

    def run_all(self, timeout: float = 60) -> None:
        """Run > Run All Cells, the real command; fails with the traceback if a cell fails."""
        self.start("notebook:run-all-cells")
        self.wait(timeout)
        for index, outputs in enumerate(self.outputs()):
            for output in outputs:
                if output["output_type"] == "error":
                    text = "\n".join(output["traceback"])
                    pytest.fail(f"cell {index} failed:\n{text}")

    def execution_counts(self) -> list[int | None]:
        """The number that each code cell shows; None while it has not finished."""
        return list(
            self.page.evaluate(
                """() => window.jupyterapp.shell.currentWidget.content.widgets
                    .filter((cell) => cell.model.type === "code")
                    .map((cell) => cell.model.executionState === "running"
                        ? null : cell.model.executionCount)"""
            )
        )

    def outputs(self) -> list[list[dict[str, Any]]]:
        """Each code cell's outputs, as nbformat has them."""
        return list(
            self.page.evaluate(
                """() => window.jupyterapp.shell.currentWidget.content.widgets
                    .filter((cell) => cell.model.type === "code")
                    .map((cell) => cell.model.outputs.toJSON())"""
            )
        )

    def text(self, index: int) -> str:
        """What a code cell printed and returned, as plain text."""
        parts = []
        for output in self.outputs()[index]:
            if output["output_type"] == "stream":
                parts.append(_joined(output["text"]))
            elif "data" in output:
                parts.append(_joined(output["data"].get("text/plain", "")))
        return "\n".join(parts)

    def execute(self, code: str, timeout: float = 30) -> str:
        """Run code in the kernel beside the notebook, as a console would; returns its print."""
        self.page.evaluate(
            """(code) => {
                window.asked = {done: false, text: ""};
                const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                future.onIOPub = (message) => {
                    if (message.header.msg_type === "stream")
                        window.asked.text += message.content.text;
                    if (message.header.msg_type === "error")
                        window.asked.error = message.content.traceback.join("\\n");
                };
                future.done.then(() => { window.asked.done = true; });
            }""",
            code,
        )
        self.page.wait_for_function("() => window.asked.done", timeout=timeout * SECONDS)
        asked = self.page.evaluate("() => window.asked")
        if "error" in asked:
            pytest.fail(f"in the kernel:\n{asked['error']}")
        return str(asked["text"])

    # Looking

    def cell(self, index: int) -> Locator:
        """A code cell on the page."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def theme(self, name: str) -> None:
        """Switch to "Light" or "Dark"."""
        self._command("apputils:change-theme", {"theme": f"JupyterLab {name}"})
        self.page.wait_for_function(
            "(name) => document.body.dataset.jpThemeName === `JupyterLab ${name}`", arg=name
        )

    def screenshot(self, name: str, of: Locator | None = None) -> Path:
        """Keep a picture of the page, or of a part of it."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        if of is None:
            self.page.screenshot(path=path)
        else:
            # What is higher than the page scrolls inside of it, and would be cut.
            usual = self.page.viewport_size
            place = of.bounding_box()
            assert usual is not None
            assert place is not None, f"{name}: it is not on the page"
            height = max(usual["height"], int(place["height"]) + 300)
            self.page.set_viewport_size({"width": usual["width"], "height": height})
            of.scroll_into_view_if_needed()
            of.screenshot(path=path)
            self.page.set_viewport_size(usual)
        return path

    def screenshots(self, name: str, of: Locator | None = None) -> None:
        """The same on the light and on the dark theme."""
        for theme in ("Dark", "Light"):
            self.theme(theme)
            self.screenshot(f"{name}-{theme.lower()}", of)


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


@pytest.fixture
def notebook(
    lab: Lab, browser_page: Page, request: pytest.FixtureRequest
) -> Iterator[Callable[[Sequence[str]], Notebook]]:
    """``notebook(cells)`` opens a notebook of these code cells."""
    opened: list[Notebook] = []
    browser_page.set_viewport_size(VIEWPORT)  # a test before may have changed it

    def make(cells: Sequence[str]) -> Notebook:
        name = f"{request.node.name.replace('[', '-').rstrip(']')}-{len(opened)}.ipynb"
        document = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        path = lab.root / name
        nbformat.write(document, path)
        made = Notebook(browser_page, lab, path)
        opened.append(made)
        made.open()
        return made

    yield make
    call = request.node.stash.get(KEEP, None)
    if call is not None and call.excinfo is not None and opened:
        opened[-1].screenshot(f"FAILED-{request.node.name}")
    for one in opened:
        one.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    if call.when == "call":
        item.stash[KEEP] = call
    return (yield)
