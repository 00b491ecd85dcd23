"""tools/make.py, notebooks.py and digits.py: what they say and what they leave, on small temporary things."""

import ast
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import nbformat
import pytest
from nbformat import v4

from toysup import programs

ROOT = Path(__file__).resolve().parent.parent


def load(name: str):
    """A file of tools/ as a module: the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load("make")
notebooks = load("notebooks")
digits = load("digits")


def one_sentence(text: str) -> bool:
    return text.endswith(".") and "\n" not in text and "Traceback" not in text


# ---------------------------------------------------------------- what the machine must have


def test_make_has_the_syntax_of_an_old_python():
    ast.parse((ROOT / "tools" / "make.py").read_text(encoding="utf-8"), feature_version=(3, 8))


def test_make_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "tools" / "make.py").read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


def test_an_old_python_is_named():
    message = make.python_problem((3, 10, 4), "Linux", "x86_64", 64)
    assert "Python 3.10 is too old" in message
    assert "3.11" in message
    assert one_sentence(message)


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 13, 1), (4, 0, 0)])
def test_a_new_python_passes(version):
    assert make.python_problem(version, "Linux", "x86_64", 64) == ""


@pytest.mark.parametrize(
    ("system", "machine", "bits", "word"),
    [("Darwin", "x86_64", 64, "Intel"), ("Windows", "x86", 32, "32-bit")],
)
def test_machines_without_jax_are_named(system, machine, bits, word):
    assert word in make.python_problem((3, 12, 0), system, machine, bits)


def test_main_says_that_python_is_old_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(make.sys, "version_info", (3, 9, 1))
    assert make.main(["lab"]) == 1
    assert "Python 3.9 is too old" in capsys.readouterr().err


def test_a_missing_ensurepip_names_the_debian_package():
    message = make.venv_problem(lambda name: name != "ensurepip", (3, 11, 2), "Linux")
    assert "ensurepip" in message
    assert "sudo apt install python3.11-venv" in message
    assert make.venv_problem(lambda name: True, (3, 11, 2), "Linux") == ""


def test_a_full_disk_is_named_with_its_numbers():
    message = make.disk_problem(1.2e9, "/home/ada")
    assert "2.5 GB" in message
    assert "1.2 GB" in message
    assert "/home/ada" in message
    assert one_sentence(message)
    assert make.disk_problem(2.6e9, "/home/ada") == ""


def test_no_environment_is_begun_on_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(make.shutil, "disk_usage", lambda path: type("usage", (), {"free": 1e9}))
    with pytest.raises(make.Stop, match=r"needs 2\.5 GB"):
        make.make_venv(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "no room left"),
        ("Failed to establish a new connection: NewConnectionError(...)", "connect to the network"),
        (
            "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
            "differs from the one in the lock",
        ),
        ("ERROR: No matching distribution found for jax==0.1", "finds no jax==0.1"),
        ("error: something else", "last lines above"),
    ],
)
def test_a_failure_of_pip_is_explained(output, words):
    assert words in make.pip_problem(output)


def test_the_next_free_port_is_taken():
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(make.Stop, match=f"No port from {port} to {port}"):
            make.free_port(port, port)
    assert port <= make.free_port(port, port + 50) <= port + 50


# ---------------------------------------------------------------- stale or not


@pytest.fixture
def project(tmp_path):
    """A project with an environment made from the smaller lock; its interpreter is an empty file."""
    for name in ("pyproject.toml", make.LAB_LOCK, make.TEST_LOCK):
        (tmp_path / name).write_text(name, encoding="utf-8")
    python = make.venv_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    stamp(tmp_path, make.LAB_LOCK)
    return tmp_path


def stamp(root: Path, lock: str, changes: dict | None = None) -> None:
    content = json.dumps(make.wanted_stamp(root, lock) | (changes or {}))
    (root / ".venv" / "toysup-stamp.json").write_text(content, encoding="utf-8")


def test_an_unchanged_environment_is_kept(project):
    assert make.to_do(project, make.LAB_LOCK) == "nothing"
    make.setup(project, make.LAB_LOCK)


def test_no_environment_means_everything(tmp_path, project):
    (project / ".venv" / "toysup-stamp.json").unlink()  # as a set-up that was broken off leaves it
    assert make.to_do(project, make.LAB_LOCK) == "everything"


def test_a_broken_stamp_means_everything(project):
    (project / ".venv" / "toysup-stamp.json").write_text('{"lock": "requ', encoding="utf-8")
    assert make.to_do(project, make.LAB_LOCK) == "everything"


def test_a_lost_interpreter_means_everything(project):
    make.venv_python(project).unlink()
    assert make.to_do(project, make.LAB_LOCK) == "everything"


@pytest.mark.parametrize("part", ["python", "root"])
def test_another_python_or_a_moved_folder_means_everything(project, part):
    stamp(project, make.LAB_LOCK, {part: "another"})
    assert make.to_do(project, make.LAB_LOCK) == "everything"


def test_a_changed_lock_means_everything(project):
    (project / make.LAB_LOCK).write_text("jax==9", encoding="utf-8")
    assert make.to_do(project, make.LAB_LOCK) == "everything"


def test_a_changed_project_is_only_installed_again(project):
    (project / "pyproject.toml").write_text("[project]", encoding="utf-8")
    assert make.to_do(project, make.LAB_LOCK) == "project"


def test_tests_add_packages_and_the_lab_then_keeps_them(project):
    assert make.to_do(project, make.TEST_LOCK) == "packages"
    stamp(project, make.TEST_LOCK)
    assert make.to_do(project, make.TEST_LOCK) == make.to_do(project, make.LAB_LOCK) == "nothing"


def test_a_failed_set_up_leaves_no_stamp(project, monkeypatch):
    def fail(*arguments, **options):
        raise make.Stop("no network")

    monkeypatch.setattr(make, "pip", fail)
    with pytest.raises(make.Stop):
        make.setup(project, make.TEST_LOCK)
    assert make.to_do(project, make.LAB_LOCK) == "everything"


# ---------------------------------------------------------------- the commands


def test_the_lab_listens_here_only_and_opens_the_start_page(tmp_path):
    command = make.lab_command(tmp_path, ["--no-browser"])
    assert "--ip=127.0.0.1" in command
    assert "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in command
    assert not any("token" in argument for argument in command)  # Jupyter makes its own
    assert command[-1] == "--no-browser"
    assert sum(argument.startswith("--port") for argument in command) == 1


def test_a_port_of_the_reader_is_kept(tmp_path):
    command = make.lab_command(tmp_path, ["--port=9999"])
    assert [argument for argument in command if argument.startswith("--port")] == ["--port=9999"]


def test_the_tests_see_the_same_jax_everywhere(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=3")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environ = make.test_environ(tmp_path)
    assert environ["JAX_PLATFORMS"] == "cpu"
    assert not {"JAX_ENABLE_X64", "XLA_FLAGS", "PYTHONPATH"} & set(environ)


def test_lax_runs_compare_nothing_and_strict_ones_do():
    assert "--nbval" in make.nbval_command("python", False, [])
    assert "--nbval-lax" not in make.nbval_command("python", False, [])
    assert "--nbval-lax" in make.nbval_command("python", True, [])


def test_an_empty_folder_of_notebooks_is_a_failure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "ROOT", tmp_path)
    steps = {step[0]: step for step in make.test_steps("python", False, "/usr/bin/chromium", [])}
    for name in ("notebooks", "browser"):
        assert make.run_step(steps[name], tmp_path, {})[:2] == ("FAILED", (0, 1, 0))
    assert "there is no notebook" in capsys.readouterr().out


def test_a_missing_browser_is_skipped_aloud(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(make, "ROOT", tmp_path)
    (tmp_path / "tests" / "browser").mkdir(parents=True)
    (tmp_path / "tests" / "browser" / "test_x.py").touch()
    monkeypatch.delenv("CHROME_REQUIRED", raising=False)
    step = make.test_steps("python", False, None, [])[-1]
    assert make.run_step(step, tmp_path, {})[:2] == ("skipped", (0, 0, 1))
    assert "no Chromium" in capsys.readouterr().out


def test_counts_come_from_the_reports(tmp_path):
    report = tmp_path / "x.xml"
    report.write_text(
        '<testsuites><testsuite tests="9" failures="1" errors="2" skipped="3"/></testsuites>',
        encoding="utf-8",
    )
    assert make.read_junit(report) == (3, 3, 3)
    assert make.read_junit(tmp_path / "none.xml") is None


@pytest.mark.parametrize(
    ("status", "counts", "expected"),
    [
        (0, (5, 0, 1), (5, 0, 1)),
        (1, (5, 2, 0), (5, 2, 0)),
        (1, None, (0, 1, 0)),
        (5, (0, 0, 0), (0, 1, 0)),
    ],
)
def test_a_step_that_fails_without_a_failing_test_is_one_failure(status, counts, expected):
    assert make.tally(status, counts) == expected


def test_a_step_without_a_chosen_test_is_no_failure():
    assert make.tally(5, (0, 0, 0), chosen=True) == (0, 0, 0)
    assert make.tally(1, (0, 0, 0), chosen=True) == (0, 1, 0)


def test_clean_removes_the_compiled_programs(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(make, "ROOT", tmp_path / "checkout")
    place = make.compiled_programs()
    if sys.platform != "win32":  # which asks the system, not the environment
        assert place == programs.root()
    (place / "jaxlib-1").mkdir(parents=True)
    (place / "jaxlib-1" / "key.program").touch()
    (place.parent / "mine").touch()
    assert make.main(["clean"]) == 0
    assert not place.exists()
    assert (place.parent / "mine").exists()
    monkeypatch.delenv("XDG_CACHE_HOME")
    if sys.platform != "win32":
        assert make.compiled_programs() == programs.root()


FAKES = {
    "make": 'if [ "$2" = python ]; then echo python3; else echo "1 passed, 0 failed, 0 skipped"; fi',
    "dpkg": "exit 1",  # the fonts are missing
    "python3": "exit 0",
    "chromium": "exit 0",
    "sleep": 'echo "sleep $1" >> "$CALLS"',
    "apt-get": """echo "$*" >> "$CALLS"
        case "$(grep -cv sleep "$CALLS")" in [124]) echo "E: $SAID" >&2; exit 100;; esac""",
}


@pytest.mark.skipif(sys.platform == "win32", reason="CI's script is for Debian")
@pytest.mark.parametrize(
    ("said", "waits"),
    [
        ("Could not get lock /var/lib/apt/lists/lock. It is held by process 12 (apt-get)", 3),
        ("Failed to fetch http://host.example: no such host", 0),
    ],
)
def test_ci_waits_for_the_locks_of_apt_and_for_nothing_else(said, waits, tmp_path):
    """A stand-in for apt-get fails at its 1st, 2nd and 4th call: two updates, one installation."""
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    environ = os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(calls), "SAID": said}
    done = subprocess.run(["bash", str(ROOT / ".ci" / "run")], env=environ, capture_output=True, text=True, timeout=60)
    lines = calls.read_text().splitlines()
    assert sum(line.startswith("sleep") for line in lines) == waits
    apt = [line for line in lines if not line.startswith("sleep")]
    assert all("DPkg::Lock::Timeout=" in line for line in apt)
    if waits:
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 0 skipped")
        assert [line.split()[2] for line in apt] == ["update"] * 3 + ["install"] * 2
    else:
        assert done.returncode != 0
        assert said in done.stderr
        assert [line.split()[2] for line in apt] == ["update", "install"]


# ---------------------------------------------------------------- notebooks


def raw_notebook():
    """What JupyterLab leaves behind: widget state and views, times, another kernel, a cut stream."""
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1f"}}
    outputs = [
        v4.new_output("stream", name="stdout", text="loss "),
        v4.new_output("stream", name="stdout", text="0.250\n"),
        v4.new_output("display_data", data={**view, "text/plain": "Panel: loss 0.250"}),
        v4.new_output("display_data", data=view),
    ]
    cell = v4.new_code_cell("1 + 1", execution_count=7, outputs=outputs, id="kept")
    cell.metadata = nbformat.from_dict({"execution": {"shell.execute_reply": "noon"}, "tags": ["core"]})
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# Title", id="title"), cell])
    notebook.metadata = nbformat.from_dict(
        {
            "widgets": {"application/vnd.jupyter.widget-state+json": {}},
            "kernelspec": {"name": "my-env", "display_name": "My env"},
            "language_info": {"name": "python", "version": "3.11.7"},
        }
    )
    return notebook


def test_normalising_drops_widgets_times_and_the_machine():
    notebook = notebooks.normalise(raw_notebook())
    text = nbformat.writes(notebook)
    for trace in ("widget", "noon", "my-env", "3.11.7"):
        assert trace not in text
    cell = notebook.cells[1]
    assert (cell.id, cell.execution_count, cell.metadata) == ("kept", 7, {"tags": ["core"]})
    assert [output.get("text") for output in cell.outputs] == ["loss 0.250\n", None]
    nbformat.validate(notebook)


def test_normalising_twice_changes_nothing():
    once = notebooks.normalise(raw_notebook())
    text = nbformat.writes(once)
    assert nbformat.writes(notebooks.normalise(nbformat.reads(text, as_version=4))) == text


def test_streams_of_another_name_are_not_joined():
    pieces = [v4.new_output("stream", name=name, text="a") for name in ("stdout", "stderr", "stdout", "stdout")]
    assert [output.text for output in notebooks.merge_streams(pieces)] == ["a", "a", "aa"]


def written(folder: Path, name: str, *sources: str) -> Path:
    path = folder / f"{name}.ipynb"
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources]), path)
    return path


def run_tool(folder: Path, *names: str) -> subprocess.CompletedProcess:
    """tools/notebooks.py over a folder of its own, in a process of its own."""
    code = (
        "import sys, runpy, pathlib; main = runpy.run_path(sys.argv[1])['main'];"
        "sys.exit(main(sys.argv[3:], pathlib.Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, str(ROOT / "tools" / "notebooks.py"), str(folder), *names]
    environ = make.test_environ(folder / "scratch")
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120)


def test_a_notebook_is_executed_and_saved(tmp_path):
    path = written(tmp_path, "01_good", "x = 2", "print(x * 21)")
    done = run_tool(tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"01_good +\d+\.\d s +\d+ kB", done.stdout)
    first, second = nbformat.read(path, as_version=4).cells
    assert (first.execution_count, second.execution_count) == (1, 2)
    assert second.outputs[0].text == "42\n"
    assert path.read_bytes().endswith(b"}\n")
    assert [entry.name for entry in tmp_path.glob("*.part")] == []


def test_stderr_and_errors_are_refused_and_the_others_are_saved(tmp_path):
    noisy = written(tmp_path, "01_noisy", "import warnings; warnings.warn('mind the gap')")
    failing = written(tmp_path, "02_failing", "1 / 0")
    before = noisy.read_bytes(), failing.read_bytes()
    written(tmp_path, "03_good", "print(1)")
    done = run_tool(tmp_path)
    assert done.returncode == 1
    assert "cell 0 wrote to stderr" in done.stderr
    assert "mind the gap" in done.stderr
    assert "cell 0 raised ZeroDivisionError" in done.stderr
    assert (noisy.read_bytes(), failing.read_bytes()) == before
    assert "03_good" in done.stdout


@pytest.mark.parametrize("name", ["04_superposition", "04", "notebooks/04_superposition.ipynb", "04 04"])
def test_notebooks_are_found_by_their_names(tmp_path, name):
    path = written(tmp_path, "04_superposition", "1")
    written(tmp_path, "05_other", "1")
    assert set(notebooks.chosen([name], tmp_path)) == {path}


def test_an_unknown_name_lists_what_there_is(tmp_path):
    written(tmp_path, "04_superposition", "1")
    with pytest.raises(notebooks.Refused, match=r"called 07.*04_superposition"):
        notebooks.chosen(["07"], tmp_path)


# ---------------------------------------------------------------- digits


def stored(folder: Path, name: str, *cells: tuple[str, str]) -> Path:
    """A notebook whose code cells hold what they printed: pairs (source, text)."""
    path = folder / f"{name}.ipynb"
    outputs = [[v4.new_output("stream", name="stdout", text=text)] if text else [] for _, text in cells]
    made = [v4.new_code_cell(source, outputs=out) for (source, _), out in zip(cells, outputs, strict=True)]
    nbformat.write(v4.new_notebook(cells=made), path)
    return path


def test_a_changed_digit_is_listed_with_its_cell(tmp_path):
    flags = "import os; print(len(os.environ.get('XLA_FLAGS', '')) > 0)"
    path = stored(
        tmp_path, "01_flags",
        ("print(0.25)", "0.25\n"), (flags, "False\n"), ("# NBVAL_IGNORE_OUTPUT\n# why: a test\n" + flags, "False\n"),
    )  # fmt: skip
    before = path.read_bytes()
    assert digits.run(path, "devices-1")[1] == []
    (told,) = digits.run(path, "level-1")[1]
    assert told.startswith("cell 1 (code cell 2), stdout")
    assert "-False" in told
    assert "+True" in told
    assert path.read_bytes() == before


def test_an_error_and_a_word_on_stderr_count_as_changes(tmp_path):
    path = stored(tmp_path, "01_noisy", ("import sys; print('mind', file=sys.stderr)", ""), ("1 / 0", ""))
    told = "\n".join(digits.run(path, "stored")[1])
    assert "wrote to stderr: mind" in told
    assert "ZeroDivisionError" in told


def test_perturbed_starts_differ_by_a_millionth_and_notebooks_do_not_see_it(tmp_path):
    draw = "import jax\nx = jax.random.normal(jax.random.key(0), (99,))\n"
    exact = float(getattr(jax.random.normal, "exact", jax.random.normal)(jax.random.key(0), (99,))[0])
    path = stored(tmp_path, "01_draw", (draw + f"print(1e-9 < abs(x[0] / {exact} - 1) < 1e-5, 'perturb' in dir())", ""))
    assert "+False False" in "".join(digits.run(path, "stored")[1])
    seen = ["".join(digits.run(path, f"perturbed-{k}")[1]) for k in (1, 2)]
    assert all("+True False" in text for text in seen)


def test_arithmetics_are_joined_and_unknown_ones_refused():
    both = digits.environment("level-1+no-fusion+devices-3")
    assert both["XLA_FLAGS"].split() == make.QUICK_TO_COMPILE.split()
    assert both["JAX_NUM_CPU_DEVICES"] == "3"
    with pytest.raises(digits.notebooks.Refused, match=r"called avx9.*avx2"):
        digits.environment("avx9")


def test_every_arithmetic_of_a_full_run_is_another(tmp_path):
    found = {tuple(sorted(digits.environment(name).items())) for name in digits.ALL}
    assert len(found) == len(digits.ALL)
    assert {part for name in digits.ALL for part in name.split("+")} == set(digits.ARITHMETICS) - {"quick"}


def test_notebooks_run_under_another_arithmetic_unless_told(tmp_path):
    environ = make.test_environ(tmp_path)
    assert make.notebooks_environ(environ, stored=False)["XLA_FLAGS"] == make.QUICK_TO_COMPILE
    assert "XLA_FLAGS" not in make.notebooks_environ(environ, stored=True)
    assert make.quick_to_compile("0.99.1") == ""


def test_perturbed_tests_say_so_to_kernels_and_to_pytest(tmp_path, monkeypatch):
    monkeypatch.setenv("TOYSUP_PERTURBED", "7")
    assert "TOYSUP_PERTURBED" not in make.test_environ(tmp_path)
    assert make.test_environ(tmp_path, 2)["TOYSUP_PERTURBED"] == "2"
    assert "perturb.py" in (tmp_path / "ipython/profile_default/startup/perturb.py").read_text(encoding="utf-8")
