"""pyproject.toml, the two locks and environment.yml say the same."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
# What each lock must satisfy. The other extras (benchmarks, cluster) are heavy, for few, and not locked.
LOCKS = {"requirements.lock": ["lab"], "requirements-test.lock": ["lab", "test", "site"]}
ENVIRONMENTS = [
    {"sys_platform": system, "platform_system": name, "os_name": family, "python_version": python}
    | {"python_full_version": python + ".4", "implementation_name": "cpython", "platform_machine": machine}
    for system, name, family, machine in [
        ("linux", "Linux", "posix", "x86_64"),
        ("darwin", "Darwin", "posix", "arm64"),
        ("win32", "Windows", "nt", "AMD64"),
    ]
    for python in ("3.11", "3.12", "3.13")
]


def entries(text: str) -> list[tuple[Requirement, list[str]]]:
    """The requirements of a lock, each with its hashes."""
    joined = "\n".join(line for line in text.replace("\\\n", " ").splitlines() if not line.startswith("#"))
    return [
        (Requirement(line.split("--hash")[0].strip()), re.findall(r"--hash=(\S+)", line))
        for line in joined.splitlines()
        if line.strip()
    ]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pinned(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return Version(specifier.version)


def versions(text: str) -> dict[str, set[Version]]:
    found: dict[str, set[Version]] = {}
    for requirement, _ in entries(text):
        found.setdefault(canonicalize_name(requirement.name), set()).add(pinned(requirement))
    return found


def applies(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


def unmet(wanted: list[str], text: str) -> list[str]:
    """The requirements that a lock does not meet on some system and Python."""
    locked = [requirement for requirement, _ in entries(text)]
    missing = []
    for requirement in map(Requirement, wanted):
        for environment in ENVIRONMENTS:
            pins = [
                pinned(entry)
                for entry in locked
                if canonicalize_name(entry.name) == canonicalize_name(requirement.name)
                and applies(entry.marker, environment)
            ]
            if len(pins) != 1 or pins[0] not in requirement.specifier:
                missing.append(f"{requirement} on {environment['sys_platform']} {pins}")
    return missing


def addresses(text: str) -> list[str]:
    """Whatever in a lock names a host, a folder or a place to look in."""
    return re.findall(r"\w+://\S*|@ \S+|\bwww\.\S+|^-\S*.*|/\S+/\S+", text, re.M)


CONDA = yaml.safe_load(read("environment.yml"))["dependencies"]
PIP = next(part["pip"] for part in CONDA if isinstance(part, dict))
CONDA_PINS = [Requirement(line) for line in PIP if not line.startswith("-")]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_meets_every_requirement_of_the_project(lock):
    wanted = PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"]
    assert unmet(wanted + [line for extra in LOCKS[lock] for line in EXTRAS[extra]], read(lock)) == []


@pytest.mark.parametrize("wanted", ["numpy>=99", "numpy<1", "not-in-the-lock"])
def test_unmet_requirements_are_seen(wanted):
    assert len(unmet([wanted], read("requirements.lock"))) == len(ENVIRONMENTS)


def test_a_pin_for_one_system_only_is_seen():
    line = "numpy==2.4.6 ; sys_platform == 'linux' \\\n    --hash=sha256:" + 64 * "0"
    assert {text.split()[2] for text in unmet(["numpy"], line)} == {"darwin", "win32"}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_entry_of_a_lock_has_hashes(lock):
    found = entries(read(lock))
    assert len(found) > 50
    assert [str(entry) for entry, hashes in found if not hashes] == []
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for _, hashes in found for value in hashes)


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_hold_one_version_of_each_package(lock):
    # One version of JAX on every system and Python: the printed numbers depend on it.
    assert {name: found for name, found in versions(read(lock)).items() if len(found) > 1} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_host_and_no_folder(lock):
    assert addresses(read(lock)) == []


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://host.example/simple",
        "-i host",
        "--find-links /opt",
        "x @ file:///a",
        "# /home/me/uv",
    ],
)
def test_hosts_and_folders_are_seen(line):
    assert addresses("absl-py==2.5.1\n" + line)


def test_the_lab_lock_is_part_of_the_test_lock():
    lab, test = (versions(read(lock)) for lock in LOCKS)
    assert {name: found for name, found in lab.items() if test.get(name) != found} == {}
    assert len(test) > len(lab)


def test_the_build_group_is_what_the_build_needs():
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]


def test_environment_pins_equal_the_lock():
    locked = versions(read("requirements.lock"))
    assert {pin.name: {pinned(pin)} for pin in CONDA_PINS} == {p.name: locked.get(p.name) for p in CONDA_PINS}


def test_environment_names_everything_the_lab_asks_for():
    wanted = PROJECT["project"]["dependencies"] + EXTRAS["lab"]
    assert {Requirement(line).name for line in wanted} <= {pin.name for pin in CONDA_PINS}
    assert "-e ." in PIP


def test_environment_takes_jax_from_pip_and_a_python_that_fits():
    names = dict([*part.split("="), ""][:2] for part in CONDA if isinstance(part, str))
    assert set(names) == {"python", "pip"}
    assert Version(names["python"]) in Requirement("python" + PROJECT["project"]["requires-python"]).specifier


def test_python_versions_agree():
    make = read("tools/make.py")
    oldest = re.search(r"OLDEST_PYTHON = \((\d+), (\d+)\)", make)
    assert PROJECT["project"]["requires-python"] == f">={oldest[1]}.{oldest[2]}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest[1]}{oldest[2]}"


def test_front_end_files_travel_with_the_package():
    from setuptools import Distribution
    from setuptools.command.build_py import build_py

    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    command = build_py(Distribution({"packages": ["toysup"], "package_dir": {"": str(ROOT)}, "package_data": patterns}))
    command.finalize_options()
    command.manifest_files = {}
    shipped = {Path(name).name for name in command.find_data_files("toysup", str(ROOT / "toysup"))}
    there = {path.name for kind in ("*.js", "*.css") for path in (ROOT / "toysup").rglob(kind)}
    assert there <= shipped


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_documents_name_targets_and_files_that_exist(document):
    text = read(document)
    targets = set(re.findall(r"^([a-z ]+):(?!=)", read("Makefile"), re.MULTILINE))
    known = {word for line in targets for word in line.split()}
    assert set(re.findall(r"\bmake ([a-z]+)\b", text.replace("make it", ""))) <= known
    local = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_the_readme_lists_every_notebook():
    there = {f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert there <= set(re.findall(r"\]\((notebooks/[^)]+)\)", read("README.md")))
