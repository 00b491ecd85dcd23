"""JupyterLab on 127.0.0.1 and a Chromium that may talk to nothing else."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY = """() => {
  const name = document.querySelector('.jp-NotebookPanel .jp-KernelName');
  const state = document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator');
  return name && name.textContent && name.textContent !== 'No Kernel' && state && state.dataset.status === 'idle'
    && document.querySelectorAll('.jp-Notebook .jp-Cell').length > 1;
}"""
RUN = """() => {
  const prompts = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')].map((e) => e.textContent);
  return prompts.length > 0 && prompts.every((t) => /^\\[\\d+\\]:/.test(t));
}"""


def pytest_collection_modifyitems(items):
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


def chromium() -> str | None:
    """The browser: $CHROME, or the first of the usual names."""
    for name in (os.environ.get("CHROME"), "chromium", "chromium-browser", "google-chrome"):
        if name and shutil.which(name):
            return shutil.which(name)
    return None


@pytest.fixture(scope="session")
def browser():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium found: install chromium, or put the path of one into $CHROME")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, **options):
    """A page; `page.trouble` lists requests that would leave this machine, and errors of its scripts."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, **options)
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.trouble = []

    def refuse(route):
        page.trouble.append(f"asked for {route.request.url}")
        route.abort()

    near = ("http://127.0.0.1:", "data:", "blob:", "file:", "about:")
    context.route(lambda url: not url.startswith(near), refuse)
    page.on("websocket", lambda ws: ws.url.startswith("ws://127.0.0.1:") or page.trouble.append(f"asked for {ws.url}"))
    page.on("pageerror", lambda error: page.trouble.append(f"script: {error}"))
    try:
        yield page
    finally:
        context.close()


@pytest.fixture
def page(browser):
    with opened(browser) as page:
        yield page
        assert page.trouble == []


@pytest.fixture(scope="session")
def workplace(tmp_path_factory):
    """What Lab serves: copies of the notebooks and their data, beside scratch notebooks. Nothing is written at home."""
    place = tmp_path_factory.mktemp("lab") / "work"
    place.mkdir()
    for name in ("notebooks", "data"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return place


@pytest.fixture(scope="session")
def lab(browser, workplace):
    home = workplace.parent
    settings = home / "config" / "labconfig"
    settings.mkdir(parents=True)
    quiet = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (settings / "page_config.json").write_text(json.dumps(quiet), encoding="utf-8")
    # every cell is kept in the page, so that tests see all outputs
    whole = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
    (settings / "default_setting_overrides.json").write_text(json.dumps(whole), encoding="utf-8")
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    env = {**os.environ, **{name: str(home / folder) for name, folder in folders.items()}}
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(home / "workspaces")
    env["JUPYTERLAB_SETTINGS_DIR"] = str(home / "settings")
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    env.pop("XLA_FLAGS", None)  # kernels compile as those of a reader do
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", f"--ServerApp.root_dir={workplace}"]
    log = home / "lab.log"
    with log.open("w", encoding="utf-8") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as server:
        try:
            _wait(f"http://127.0.0.1:{port}/api/status", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()  # Lab ends its kernels
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait(address, server, log):
    for _ in range(480):
        assert server.poll() is None, f"JupyterLab ended:\n{log.read_text(encoding='utf-8')}"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.25)
    pytest.fail(f"JupyterLab did not answer:\n{log.read_text(encoding='utf-8')}")


def run_all(page, lab, name, timeout=120_000):
    """Open a notebook and run its cells; the kernel must be there first, or Lab drops the command without a word."""
    page.goto(f"{lab}/lab/tree/{name}?reset", wait_until="domcontentloaded")
    page.wait_for_function(READY, timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).first.click()
    page.wait_for_function(RUN, timeout=timeout)
    kinds = ("application/vnd.jupyter.stderr", "application/vnd.jupyter.error")
    errors = page.locator(", ".join(f".jp-Notebook [data-mime-type='{kind}']" for kind in kinds))
    assert errors.count() == 0, errors.first.inner_text()


def axe(page, selector="html"):
    """What axe-core objects to inside the selected parts."""
    import axe_playwright_python

    if not page.evaluate("typeof window.axe === 'object'"):
        source = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
        page.evaluate(source)
    found = page.evaluate("async (selector) => (await axe.run({ include: [[selector]] })).violations", selector)
    return [f"{v['id']}: {v['help']}: {[n['html'][:120] for n in v['nodes']]}" for v in found]
