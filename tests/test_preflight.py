"""The pre-flight check finds this machine ready, and finds each fault."""

import importlib.metadata
import pathlib
import platform
import subprocess
import sys

import pytest
from helpers import python

from toysup import preflight
from toysup.preflight import Row

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture(scope="module")
def found():
    return preflight.rows()


def test_this_machine_is_ready(found):
    assert [row for row in found if not row.ok] == []
    assert "This machine is ready." in preflight.report(found)


def test_three_reference_numbers(found):
    losses = [row for row in found if row.name.startswith("loss of the")]
    assert [row.name.removeprefix("loss of the ") for row in losses] == ["antipodal pair", "linear model", "pentagon"]


def test_the_code_tells_versions_system_and_faults(found):
    letters, system, faults = preflight.code(found).split("-")
    assert (len(letters), system, faults) == (4, platform.system()[0], "0")
    other = [Row(r.name, "9.9.9", r.ok) if r.name == "jax" else r for r in found]
    assert preflight.code(other).split("-")[0] != letters
    broken = [Row(r.name, r.found, r.name != "devices") for r in found]
    assert preflight.code(broken) == f"{letters}-{system}-1"


def test_it_runs_as_a_command():
    done = subprocess.run([sys.executable, "-m", "toysup"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Code for your teacher:" in done.stdout


def no_package(name):
    raise importlib.metadata.PackageNotFoundError(name)


FAULTS = {
    "old Python": (preflight.python, lambda m: m.setattr(sys, "version_info", (3, 10, 1)), "install Python 3.11"),
    "no JupyterLab": (
        lambda: preflight.packages(["jupyterlab"]),
        lambda m: m.setattr(importlib.metadata, "version", no_package),
        "make lab",
    ),
    "old package": (
        lambda: preflight.packages(["jax"]),
        lambda m: m.setattr(preflight, "_wanted", lambda: {"jax": preflight.Requirement("jax>=99").specifier}),
        "toysup needs jax>=99",
    ),
    "one device": (
        preflight.devices,
        lambda m: m.setattr(preflight.runtime, "devices_wanted", lambda: 1000),
        "toysup.configure()",
    ),
    "double precision": (
        preflight.precision,
        lambda m: m.setattr(preflight.check, "dtype", lambda: "float64"),
        "unset JAX_ENABLE_X64",
    ),
    "other bits": (preflight.random_bits, lambda m: m.setattr(preflight, "BITS", "00000000"), "JAX_DEFAULT_PRNG_IMPL"),
    "other numbers": (preflight.reference_numbers, lambda m: m.setattr(preflight, "PENTAGON", 0.0089), "arithmetic"),
    "no front end": (preflight.panels, lambda m: m.setattr(preflight, "_labextensions", list), "make lab"),
    "no panel files": (
        preflight.panels,
        lambda m: m.setattr(preflight, "__file__", str(ROOT / "nowhere" / "preflight.py")),
        "installation is incomplete",
    ),
    "no notebooks": (
        preflight.offline_files,
        lambda m: m.setattr(pathlib.Path, "glob", lambda *_: iter(())),
        "clone it again",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_remedy(name, monkeypatch):
    question, damage, remedy = FAULTS[name]
    assert all(row.ok for row in question())
    damage(monkeypatch)
    faults = [row for row in question() if not row.ok]
    monkeypatch.undo()
    assert faults
    assert remedy in faults[0].remedy
    assert f"remedy: {faults[0].remedy}" in preflight.report(faults)


def test_a_fault_makes_the_command_fail(monkeypatch, capsys):
    from toysup import __main__

    monkeypatch.setattr(preflight, "rows", lambda: [Row("Python", "3.9", False, "install a newer one")])
    assert __main__.main() == 1
    assert "1 fault: see the remedies above." in capsys.readouterr().out


def test_a_device_that_is_not_there_is_a_row(tmp_path):
    """JAX_PLATFORMS=cuda where there is no GPU: a fault with its remedy, and the rest of the table."""
    done = python("import toysup.__main__ as m, sys; sys.exit(m.main())", home=tmp_path, JAX_PLATFORMS="cuda")
    assert (done.returncode, done.stderr) == (1, "")
    (line,) = [line for line in done.stdout.splitlines() if " devices " in line]
    assert line.startswith("FAULT")
    assert "JAX_PLATFORMS=cuda" in line
    assert "remedy: unset JAX_PLATFORMS" in done.stdout
    assert "1 fault: see the remedies above." in done.stdout
    assert "loss of the" not in done.stdout
    assert "panel files" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].startswith("Code for your teacher:")


def test_digits_that_agree():
    assert [preflight.digits_that_agree(x, 1.0) for x in (1.0, 1.00005, 1.2, 3.0, float("nan"))] == [7, 4, 0, 0, 0]


def test_an_installed_package_needs_no_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "__file__", str(tmp_path / "toysup" / "preflight.py"))
    assert preflight.offline_files()[0].ok
