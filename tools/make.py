"""The commands of the project: lab, test, notebooks, digits, bench, lock, setup, clean.

`make lab` calls this file; `python tools/make.py lab` (Windows: `py tools/make.py lab`) does the same
without make. Standard library only, and syntax of Python 3.8, so that an old Python can say that it is.
"""

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAB_LOCK, TEST_LOCK = "requirements.lock", "requirements-test.lock"
START_PAGE = "notebooks/00_start_here.ipynb"
OLDEST_PYTHON = (3, 11)
DISK_GB = 2.5
QUICK_TO_COMPILE = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"


class Stop(Exception):
    """Something the reader has to mend first; its text is one clear sentence, shown without a traceback."""


# ---------------------------------------------------------------- what this machine must have


def python_problem(version, system, machine, bits):
    """What keeps this Python from running the series, as a sentence; an empty string when nothing does."""
    if tuple(version[:2]) < OLDEST_PYTHON:
        return (
            f"Python {version[0]}.{version[1]} is too old: the series needs Python "
            f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer (name one with PYTHON=python3.12)."
        )
    if bits < 64:
        return "This is a 32-bit Python, for which there is no JAX: install a 64-bit one."
    if system == "Darwin" and machine == "x86_64":
        return (
            "This Python is built for Intel Macs, for which there is no current JAX: "
            "on Apple silicon, use an arm64 Python; on an Intel Mac, a Linux machine or a hosted notebook."
        )
    return ""


def venv_problem(has_module, version, system):
    """The sentence for a Python that cannot make virtual environments (Debian packs that apart)."""
    missing = [name for name in ("venv", "ensurepip") if not has_module(name)]
    if not missing:
        return ""
    remedy = "install a complete Python from python.org"
    if system == "Linux":
        remedy = f"on Debian or Ubuntu, run `sudo apt install python{version[0]}.{version[1]}-venv`"
    return f"This Python has no {missing[0]} module and cannot make an environment: {remedy}."


def disk_problem(free_bytes, folder):
    """The sentence for a disk without room for the environment; an empty string when there is room."""
    if free_bytes >= DISK_GB * 1e9:
        return ""
    return (
        f"The environment needs {DISK_GB} GB, and {folder} has {free_bytes / 1e9:.1f} GB free: "
        "make room there and call again."
    )


def pip_problem(output):
    """What a failed pip run says about the cause, as a sentence."""
    if re.search(r"No space left|Errno 28|not enough space", output):
        return disk_problem(0, "the disk or the temporary folder").replace("0.0 GB free", "no room left")
    if re.search(r"DO NOT MATCH THE HASHES", output):
        return (
            "A downloaded package differs from the one in the lock (a proxy may have altered it): "
            "nothing was installed; try another network."
        )
    if re.search(r"NewConnectionError|NameResolution|Timeout|ProxyError|Connection(Reset)?Error|SSLError", output):
        return (
            "pip could not reach the package index: connect to the network and call again "
            "(what was downloaded is kept), or set PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder of packages>."
        )
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        return f"pip finds no {missing[1]} for this Python and system where it may look (the index, PIP_FIND_LINKS)."
    return "pip could not install the packages; its last lines above say why. Mend that and call again."


def require(problem):
    if problem:
        raise Stop(problem)


# ---------------------------------------------------------------- the environment


def venv_python(root):
    """The interpreter of the environment in root/.venv."""
    return root / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wanted_stamp(root, lock):
    """What an environment was made from; it is stale as soon as one of these is another."""
    return {
        "lock": lock,
        "lock_sha": sha(root / lock),
        "project_sha": sha(root / "pyproject.toml"),
        "python": "{} {}.{} {}".format(sys.implementation.name, *sys.version_info[:2], platform.machine()),
        "root": str(root),
    }


def read_stamp(root):
    """The stamp of root/.venv, {} where there is none: it is written last, so a half-made one has none."""
    try:
        stamp = json.loads((root / ".venv" / "toysup-stamp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) and venv_python(root).exists() else {}


def to_do(root, lock):
    """What set-up has to do for this lock: "nothing", "project", "packages" or "everything"."""
    stamp, wanted = read_stamp(root), wanted_stamp(root, lock)
    made_from = stamp.get("lock")
    if made_from not in (LAB_LOCK, TEST_LOCK) or any(stamp.get(k) != wanted[k] for k in ("python", "root")):
        return "everything"
    if stamp.get("lock_sha") != sha(root / made_from):
        return "everything"
    if made_from == LAB_LOCK and lock == TEST_LOCK:
        return "packages"  # the test lock is the lab lock and more
    return "nothing" if stamp.get("project_sha") == wanted["project_sha"] else "project"


def clean_environ(**more):
    """The environment variables of the commands: nothing that makes Python or pip look elsewhere."""
    drop = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
        "MPLBACKEND",
    }
    environ = {name: value for name, value in os.environ.items() if name not in drop}
    environ.update(PIP_DISABLE_PIP_VERSION_CHECK="1", JUPYTER_PREFER_ENV_PATH="1", **more)
    return environ


def pip(root, *arguments, total=0):
    """Run pip in the environment, show how far it is, and turn a failure into a sentence."""
    command = [str(venv_python(root)), "-m", "pip", "install", *arguments]
    process = subprocess.Popen(
        command,
        cwd=str(root),
        env=clean_environ(PIP_NO_COLOR="1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    lines, seen = [], 0
    for line in process.stdout:
        lines.append(line)
        if total and line.startswith("Collecting "):
            seen += 1
            show_progress(f"  fetching {seen} of about {total} packages")
        elif total and line.startswith("Installing collected"):
            show_progress(f"  installing {seen} packages")
    show_progress("")
    if process.wait() != 0:
        print("".join(lines[-15:]), flush=True)
        raise Stop(pip_problem("".join(lines)))


def show_progress(text):
    """One line that rewrites itself, on a terminal only."""
    if sys.stdout.isatty():
        print("\r" + text.ljust(50) + ("" if text else "\r"), end="", flush=True)


def make_venv(root):
    """A new, empty .venv in place of what is there."""
    require(venv_problem(lambda name: importlib.util.find_spec(name) is not None, sys.version_info, platform.system()))
    require(disk_problem(shutil.disk_usage(str(root)).free, root))
    folder = root / ".venv"
    try:
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(str(folder))
    except OSError as error:
        raise Stop(
            f"The old .venv cannot be removed ({error.strerror}): close JupyterLab, leave the environment "
            "with `deactivate`, and call again."
        ) from None
    base = getattr(sys, "_base_executable", None) or sys.executable  # not the .venv that was just removed
    made = subprocess.run([base, "-m", "venv", str(folder)], env=clean_environ(), capture_output=True, text=True)
    if made.returncode != 0:
        print((made.stdout + made.stderr).strip(), flush=True)
        raise Stop("Python could not make .venv; its message above says why.")


def setup(root, lock):
    """Make .venv hold what the lock says, doing as little as that takes."""
    work = to_do(root, lock)
    if work == "nothing":
        return
    started = time.monotonic()
    stamp_file = root / ".venv" / "toysup-stamp.json"
    if work != "everything":
        lock = max(lock, read_stamp(root)["lock"], key=[LAB_LOCK, TEST_LOCK].index)
        stamp_file.unlink()
    print(f"Setting up .venv ({work}) ...", flush=True)
    if work == "everything":
        make_venv(root)
    if work != "project":
        total = (root / lock).read_text(encoding="utf-8").count("==")
        # Bytecode is written at the first import of a module, not for the thousands that are never imported.
        pip(root, "--no-compile", "--require-hashes", "-r", lock, total=total)
    pip(root, "--no-build-isolation", "--no-deps", "--no-index", "-e", ".")
    stamp_file.write_text(json.dumps(wanted_stamp(root, lock), indent=1), encoding="utf-8")
    print(f"Ready after {time.monotonic() - started:.0f} s.", flush=True)


# ---------------------------------------------------------------- lab


def free_port(first=8888, last=8987):
    """The first port from `first` on that nobody listens to."""
    for port in range(first, last + 1):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Stop(f"No port from {first} to {last} is free on 127.0.0.1: close other servers and call again.")


def quiet_lab(root):
    """Switch JupyterLab's news pop-up off, for this environment only."""
    folder = root / ".venv" / "etc" / "jupyter" / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    setting = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    (folder / "page_config.json").write_text(json.dumps(setting), encoding="utf-8")


def lab_command(root, extra):
    """The command that starts JupyterLab at the start page."""
    command = [
        str(venv_python(root)),
        "-m",
        "jupyterlab",
        "--ip=127.0.0.1",
        "--ServerApp.root_dir=" + str(root),
    ]
    command.append("--LabApp.default_url=/lab/tree/" + START_PAGE)
    # Nothing is looked up outside: no language servers, no list of extensions.
    command += ["--LanguageServerManager.autodetect=False", "--LabApp.extension_manager=readonly"]
    if not any(re.match(r"--(ServerApp\.)?port\b", argument) for argument in extra):
        command.append(f"--port={free_port()}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return command + list(extra)


def run_until_stopped(command, environ):
    """Run a server: Ctrl-C is for it, not for us, and ending us ends it."""
    process = subprocess.Popen(command, cwd=str(ROOT), env=environ)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def lab(options, extra):
    setup(ROOT, LAB_LOCK)
    if options.preflight:
        checked = subprocess.run([str(venv_python(ROOT)), "-m", "toysup"], cwd=str(ROOT), env=clean_environ())
        if checked.returncode != 0:
            raise Stop(
                "The pre-flight check found a fault; its remedy stands above. To open JupyterLab "
                "all the same: make lab PREFLIGHT=no (or tools/make.py lab --no-preflight)."
            )
    quiet_lab(ROOT)
    # Its own folder for settings: the same JupyterLab for everyone, and nothing written into the home folder.
    config = os.environ.get("JUPYTER_CONFIG_DIR", str(ROOT / ".jupyter"))
    status = run_until_stopped(lab_command(ROOT, extra), clean_environ(JUPYTER_CONFIG_DIR=config))
    if status not in (0, -signal.SIGTERM, -signal.SIGINT):
        raise Stop(f"JupyterLab ended with status {status}; its messages above say why.")
    return 0


# ---------------------------------------------------------------- test


def find_chromium():
    """The path of a Chromium or Chrome, None where there is none; CHROME=<path> or CHROME=none overrides."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    places = ["/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"]
    if os.environ.get("CHROME"):
        return None if os.environ["CHROME"] == "none" else os.environ["CHROME"]
    found = [shutil.which(name) for name in names] + [place for place in places if os.path.exists(place)]
    return next((path for path in found if path), None)


def test_environ(scratch, perturbed=0):  # noqa: PT028  (no test of its own)
    """The same JAX and Jupyter for every run of the tests, whatever the shell and the home folder say.

    perturbed: a seed with which all random starts are perturbed (tools/perturb.py); 0 leaves them alone.
    """
    environ = clean_environ(
        IPYTHONDIR=str(scratch / "ipython"),
        JUPYTER_CONFIG_DIR=str(scratch / "jupyter"),
        JUPYTER_RUNTIME_DIR=str(scratch / "runtime"),
        PYTHONUTF8="1",
    )
    for name in list(environ):
        if (name.startswith("JAX_") and name != "JAX_COMPILATION_CACHE_DIR") or name == "XLA_FLAGS":
            del environ[name]
    environ["JAX_PLATFORMS"] = "cpu"
    environ.pop("TOYSUP_PERTURBED", None)
    if perturbed:
        environ["TOYSUP_PERTURBED"] = str(perturbed)
        perturb_kernels(scratch / "ipython")
    return environ


def perturb_kernels(ipython):
    """Let kernels with this IPYTHONDIR run tools/perturb.py when they start; it does what TOYSUP_PERTURBED says."""
    startup = ipython / "profile_default" / "startup"
    startup.mkdir(parents=True)
    code = "import runpy; runpy.run_path({!r})\n".format(str(ROOT / "tools" / "perturb.py"))
    (startup / "perturb.py").write_text(code, encoding="utf-8")


def notebooks_environ(environ, stored):
    """Notebooks run under another arithmetic than the stored one: it tests that their digits do not depend on it."""
    locked = re.search(r"^jaxlib==([\d.]+)", (ROOT / TEST_LOCK).read_text(encoding="utf-8"), re.MULTILINE)
    return environ if stored else dict(environ, XLA_FLAGS=quick_to_compile(locked[1]))


def quick_to_compile(jaxlib):
    """XLA's flags with which programs take half the time to compile; XLA stops at a flag it does not know."""
    return QUICK_TO_COMPILE if jaxlib.startswith("0.10.") else ""


def read_junit(path):
    """(passed, failed, skipped) of a pytest run, None where it left no report."""
    try:
        suites = list(ElementTree.parse(str(path)).getroot().iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        return None
    total, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return total - failures - errors - skipped, failures + errors, skipped


def tally(status, counts, chosen=False):
    """The counts of a step: one that fails without a failing test (ruff, a crash) is one failure.

    Where the caller chose tests (-k), a step that has none of them (pytest's status 5) is none.
    """
    passed, failed, skipped = counts or (0, 0, 0)
    if status == 5 and chosen:
        return passed, failed, skipped
    return passed, failed or int(status != 0), skipped


def nbval_command(python, lax, extra):
    """Run every notebook and compare its outputs with the stored ones (lax: run it only)."""
    command = [python, "-m", "pytest", "-q", *extra, "notebooks", "--nbval-lax" if lax else "--nbval"]
    command += ["--nbval-current-env", "--nbval-cell-timeout=120"]
    return [*command, "-n2", "--dist=loadscope", "-p", "no:cacheprovider"]


def test_steps(python, lax, chromium, extra):
    """(name, command or why there is none, is it pytest, is its absence a failure) for each step."""
    folders = ("toysup", "tests", "tools", "benchmarks", "notebooks")
    checked = [name for name in folders if (ROOT / name).is_dir()]
    pytest = [python, "-m", "pytest", "-q", *extra]
    steps = [
        ("lint", [python, "-m", "ruff", "check", *checked], False, True),
        ("format", [python, "-m", "ruff", "format", "--check", *checked], False, True),
        ("tests", [*pytest, "tests", "--ignore=tests/browser", "-n2", "--dist=loadfile"], True, True),
        ("notebooks", nbval_command(python, lax, extra), True, True),
        ("browser", [*pytest, "tests/browser"], True, True),
    ]
    if not list((ROOT / "notebooks").glob("*.ipynb")):
        steps[3] = ("notebooks", "there is no notebook in notebooks/", True, True)
    if not list((ROOT / "tests" / "browser").glob("test_*.py")):
        steps[4] = ("browser", "there is no test in tests/browser/", True, True)
    elif chromium is None:
        needed = bool(os.environ.get("CHROME_REQUIRED"))  # CI must not skip in silence
        steps[4] = ("browser", "no Chromium or Chrome found (name one with CHROME=<path>)", True, needed)
    return steps


def run_step(step, scratch, environ, chosen=False):
    """Run one step; returns (status word, (passed, failed, skipped), seconds, note)."""
    name, command, is_pytest, needed = step
    print(f"\n=== {name} ===", flush=True)
    if isinstance(command, str):
        print(command, flush=True)
        return ("FAILED", (0, 1, 0), 0.0, command) if needed else ("skipped", (0, 0, 1), 0.0, command)
    report = scratch / (name + ".xml")
    started = time.monotonic()
    if is_pytest:
        command = [*command, "--junitxml=" + str(report)]
    if name == "tests":
        environ = dict(environ, MPLBACKEND="Agg")  # the notebooks keep the inline one
    status = subprocess.run(command, cwd=str(ROOT), env=environ, stdin=subprocess.DEVNULL).returncode
    counts = tally(status, read_junit(report) if is_pytest else None, chosen)
    return ("FAILED" if counts[1] else "passed"), counts, time.monotonic() - started, ""


def test(options, extra):
    setup(ROOT, TEST_LOCK)
    chromium = find_chromium()
    rows = []
    with tempfile.TemporaryDirectory(prefix="toysup-test-") as folder:
        environ = test_environ(Path(folder), options.perturbed)
        if chromium:
            environ["CHROME"] = chromium
        for step in test_steps(str(venv_python(ROOT)), options.lax, chromium, extra):
            under = notebooks_environ(environ, options.stored) if step[0] == "notebooks" else environ
            rows.append((step[0], *run_step(step, Path(folder), under, bool(extra))))
    print("\n{:<11}{:<9}{:>7}{:>8}{:>9}{:>8}".format("step", "", "passed", "failed", "skipped", "time"))
    for name, status, counts, seconds, note in rows:
        print("{:<11}{:<9}{:>7}{:>8}{:>9}{:>6.0f} s  {}".format(name, status, *counts, seconds, note))
    passed, failed, skipped = (sum(row[2][i] for row in rows) for i in range(3))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return int(failed > 0)


# ---------------------------------------------------------------- bench


def bench(options, extra):
    """Measure the speed; PyTorch is fetched once, and where it cannot be had it is left out."""
    setup(ROOT, TEST_LOCK)
    if options.torch and not (has_torch() or "--help" in extra):
        print("Fetching PyTorch (for one without GPU libraries, point PIP_FIND_LINKS at its CPU build) ...", flush=True)
        try:
            pip(ROOT, "--no-compile", "--no-build-isolation", "-e", ".[benchmarks]")
        except Stop as stop:
            print(f"toysup: {stop} The benchmarks run without PyTorch.", flush=True)
    command = [str(venv_python(ROOT)), "-m", "benchmarks", *([] if options.torch else ["--no-torch"]), *extra]
    return subprocess.run(command, cwd=str(ROOT), env=clean_environ()).returncode


def has_torch():
    """Whether the environment has PyTorch."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([str(venv_python(ROOT)), "-c", look], env=clean_environ()).returncode == 0


# ---------------------------------------------------------------- notebooks, lock, clean


def notebooks(options, extra):
    setup(ROOT, TEST_LOCK)
    command = [str(venv_python(ROOT)), "tools/notebooks.py", *options.names, *extra]
    with tempfile.TemporaryDirectory(prefix="toysup-notebooks-") as folder:
        return subprocess.run(command, cwd=str(ROOT), env=test_environ(Path(folder))).returncode


def digits(options, extra):
    """Run the notebooks under other arithmetics: nothing that they print may change."""
    setup(ROOT, TEST_LOCK)
    command = [str(venv_python(ROOT)), "tools/digits.py", *options.names, "--under", *options.under.split(), *extra]
    with tempfile.TemporaryDirectory(prefix="toysup-digits-") as folder:
        return subprocess.run(command, cwd=str(ROOT), env=test_environ(Path(folder))).returncode


def lock_command(uv, output, extras, more):
    """One lock for every system: hashes, one version of each package, and no address."""
    command = [
        uv,
        "pip",
        "compile",
        "pyproject.toml",
        "--group",
        "build",
        "--universal",
        "--python-version",
        "3.11",
    ]
    command += [
        "--fork-strategy",
        "fewest",
        "--generate-hashes",
        "--no-annotate",
        "--no-emit-index-url",
        "--quiet",
    ]
    for extra in extras:
        command += ["--extra", extra]
    return [*command, "--custom-compile-command", "make lock", "--output-file", output, *more]


def lock(options, extra):
    """Remake both locks and the pins of environment.yml; `--upgrade` takes the newest versions."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise Stop("make lock needs uv: install it (pip install uv), or name it with UV=<path>.")
    subprocess.run(lock_command(uv, TEST_LOCK, ("lab", "test", "site"), extra), cwd=str(ROOT), check=True)
    (ROOT / LAB_LOCK).unlink(missing_ok=True)  # its versions come from the other lock alone
    subprocess.run(lock_command(uv, LAB_LOCK, ("lab",), ("-c", TEST_LOCK)), cwd=str(ROOT), check=True)
    pins = dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", (ROOT / LAB_LOCK).read_text(encoding="utf-8"), re.MULTILINE))
    environment = ROOT / "environment.yml"
    text = re.sub(
        r"([\w.-]+)==[\w.+!-]+",
        lambda found: f"{found[1]}=={pins[found[1]]}",
        environment.read_text(encoding="utf-8"),
    )
    environment.write_text(text, encoding="utf-8")
    return 0


def compiled_programs():
    """Where the package keeps compiled programs (`toysup.programs.root()`), without importing it."""
    home = Path.home()
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", str(home / "AppData" / "Local"))) / "toysup" / "Cache" / "compiled"
    if sys.platform == "darwin":
        return Path(os.environ.get("XDG_CACHE_HOME", "") or str(home / "Library" / "Caches")) / "toysup" / "compiled"
    return Path(os.environ.get("XDG_CACHE_HOME", "").strip() or str(home / ".cache")) / "toysup" / "compiled"


def clean(options, extra):
    """Remove what set-up and tests leave in the folder, and the compiled programs in the home."""
    shutil.rmtree(str(compiled_programs()), ignore_errors=True)
    for name in (".venv", ".jupyter", ".pytest_cache", ".ruff_cache", "build", "toysup.egg-info"):
        shutil.rmtree(str(ROOT / name), ignore_errors=True)
    for folder in ("toysup", "tests", "tools", "notebooks", "benchmarks"):
        for cache in [*(ROOT / folder).rglob("__pycache__"), *(ROOT / folder).rglob(".ipynb_checkpoints")]:
            shutil.rmtree(str(cache), ignore_errors=True)
    return 0


def setup_target(options, extra):
    setup(ROOT, TEST_LOCK)
    return 0


def parser():
    top = argparse.ArgumentParser(prog="make.py", description="The commands of the project.")
    targets = top.add_subparsers(dest="target", required=True, metavar="target")
    one = targets.add_parser("lab", help="open the series in JupyterLab; other arguments go to JupyterLab")
    one.add_argument("--no-preflight", dest="preflight", action="store_false", help="skip the pre-flight check")
    one.set_defaults(run=lab)
    one = targets.add_parser("test", help="everything that CI checks; other arguments go to pytest")
    one.add_argument("--lax", action="store_true", help="run the notebooks without comparing their outputs")
    one.add_argument("--stored", action="store_true", help="run the notebooks under the arithmetic of their outputs")
    one.add_argument("--perturbed", type=int, default=0, metavar="SEED", help="perturb all random starts by 1e-6")
    one.set_defaults(run=test)
    one = targets.add_parser("notebooks", help="execute, normalise and save the notebooks: all, or those named")
    one.add_argument("names", nargs="*", help="such as 04_superposition")
    one.set_defaults(run=notebooks)
    one = targets.add_parser("digits", help="run the notebooks under other arithmetics and list what they print anew")
    one.add_argument("names", nargs="*", help="such as 04_superposition")
    one.add_argument(
        "--under", default="all", help="arithmetics, separated by blanks; tools/digits.py --list names them"
    )
    one.set_defaults(run=digits)
    one = targets.add_parser("bench", help="measure the speed, beside PyTorch; other arguments go to benchmarks")
    one.add_argument("--no-torch", dest="torch", action="store_false", help="neither fetch nor run PyTorch")
    one.set_defaults(run=bench)
    for name, run, text in (
        ("lock", lock, "remake the locks with uv; --upgrade takes newer versions"),
        ("setup", setup_target, "make .venv with everything in it"),
        ("clean", clean, "remove .venv, caches and compiled programs"),
    ):
        targets.add_parser(name, help=text).set_defaults(run=run)
    return top


def main(arguments):
    try:
        bits = 64 if sys.maxsize > 2**32 else 32
        require(python_problem(sys.version_info, platform.system(), platform.machine(), bits))
        options, extra = parser().parse_known_args(arguments)
        return options.run(options, [argument for argument in extra if argument != "--"])
    except Stop as stop:
        print(f"toysup: {stop}", file=sys.stderr, flush=True)
    except subprocess.CalledProcessError as error:
        print(
            f"toysup: {error.cmd[0]} ended with status {error.returncode}.",
            file=sys.stderr,
            flush=True,
        )
    except KeyboardInterrupt:
        print("\ntoysup: stopped; call again to go on.", file=sys.stderr, flush=True)
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
