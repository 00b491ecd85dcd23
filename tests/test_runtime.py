"""Devices, settings and the cache of compiled programs, each in a fresh process."""

import json
import os
import re
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT, python

from toysup import check, programs, runtime

TRAIN = """
import json, sys, jax, toysup
toysup.configure()
some = toysup.independent([[0.1], [0.3], [0.8]], 4)
fit = toysup.train(some, 2, restarts=3, steps=60, polish=10, key=jax.random.key(1))
far = toysup.train(toysup.independent(0.1, 20), 3, restarts=3, steps=20, batch=32, key=jax.random.key(1))
loss = toysup.expected_loss(fit.W, fit.b, toysup.independent(0.2, 4))
numbers = [a.ravel().tolist() for a in (fit.W, fit.b, fit.loss, far.W, far.loss, loss)]
print(json.dumps({"devices": len(jax.local_devices()), "numbers": numbers}))
"""

SPREAD = """
import jax, jax.numpy as jnp, toysup
from toysup.runtime import over_models
toysup.configure()

def problem(x, scale, *, power):
    return (lambda x, scale: (scale * x**power, x.sum())), x, scale, 2

found = []
for count in (1, 2, 3, 7, 12):
    x = jnp.arange(2.0 * count).reshape(count, 2)
    y, total = over_models(problem, count, x, 3.0, power=2)
    assert jnp.array_equal(y, 3 * x**2) and jnp.array_equal(total, x.sum(1))
    found += [y, total]
fit = toysup.train(toysup.independent([[0.1], [0.3]], 30), 1, restarts=2, steps=2, batch=8, key=jax.random.key(1))
found += jax.tree.leaves((fit, fit.best(), toysup.expected_loss(fit.W, fit.b, fit.features, readout="linear")))
print(len(jax.devices()), {len(a.devices()) for a in found})
"""

TOGETHER = """
import jax, jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
half = NamedSharding(Mesh(jax.devices(), ("model",)), PartitionSpec("model"))
print(jax.jit(jnp.sum)(jax.device_put(jnp.arange(6.0), half)))
"""

COUNT = """
import jax, json
misses = []
jax.monitoring.register_event_listener(lambda event, **_: misses.append(event) if "cache_misses" in event else None)
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if "cache_hits" in event else None)
"""

SETTINGS = """
import json, jax
names = ("jax_num_cpu_devices", "jax_enable_x64", "jax_compilation_cache_dir", "jax_platforms")
names += ("jax_persistent_cache_min_compile_time_secs", "jax_persistent_cache_min_entry_size_bytes")
read = lambda: {name: getattr(jax.config, name) for name in names}
"""


def run(code, *arguments, **environ):
    """The standard output of a process that must end well and be silent on stderr."""
    done = python(code, *arguments, **environ)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


# --------------------------------------------------------------------------------------------- devices


def test_numbers_are_the_same_on_1_2_and_8_devices(tmp_path):
    results = {}
    for devices in (1, 2, 8):
        found = json.loads(run(TRAIN, home=tmp_path, JAX_NUM_CPU_DEVICES=devices))
        assert found["devices"] == devices
        results[devices] = found["numbers"]
    for devices in (2, 8):
        for a, b in zip(results[1], results[devices], strict=True):
            assert np.allclose(a, b, rtol=1e-5, atol=1e-5)
            assert np.abs(a).max() > 1e-3


def collectives(code, folder):
    """The programs that a process compiles, and which of them make the devices wait for each other."""
    flags = f"--xla_dump_to={folder / 'programs'} --xla_dump_hlo_as_text"
    printed = run(code, home=folder, JAX_NUM_CPU_DEVICES=3, XLA_FLAGS=flags)
    programs = {path.name: path.read_text() for path in (folder / "programs").glob("*after_optimizations.txt")}
    words = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    return printed, programs, [name for name, text in programs.items() if any(word in text for word in words)]


def test_devices_never_wait_for_each_other(tmp_path):
    """Collectives of CPU devices share the threads that compute, and lock up when programs queue in front of them."""
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    printed, programs, found = collectives(SPREAD, tmp_path / "one")
    assert printed.split() == ["3", "{1}"]
    assert sum("num_partitions=" in text for text in programs.values()) >= 3  # some do run on several devices
    assert found == []
    assert collectives(TOGETHER, tmp_path / "two")[2]  # the control: they are seen where there are some


def test_every_core_is_a_device(tmp_path):
    code = "import toysup, jax; toysup.configure(); print(len(jax.devices()), toysup.runtime.cores())"
    devices, cores = map(int, run(code, home=tmp_path).split())
    assert devices == cores >= 1


# -------------------------------------------------------------------------------------------- settings

QUIET = """
import importlib, json, os, pkgutil, jax
from jax._src import xla_bridge
read = lambda: dict(jax.config.values) | dict(os.environ)
changed = lambda: sorted(name for name, value in (before | read()).items() if (before | {name: value}) != before)
before = read()
import toysup
names = [m.name for m in pkgutil.walk_packages(toysup.__path__, "toysup.")]
for name in names:
    if name != "toysup.notebook":
        importlib.import_module(name)
found = [len(names), changed(), xla_bridge.backends_are_initialized(), toysup.runtime.configured()]
import toysup.notebook
found += [changed(), toysup.runtime.configured(), toysup.runtime.started()]
jax.devices()
print(json.dumps([*found, toysup.runtime.started()]))
"""


def test_importing_every_module_changes_no_setting_and_starts_no_device(tmp_path):
    count, changed, started, configured, *then = json.loads(run(QUIET, home=tmp_path))
    assert count > 40
    assert (changed, started, configured) == ([], False, False)
    assert then[2:] == [False, True]
    # The control: what the notebooks import changes some, and is seen to.
    assert {"jax_num_cpu_devices", "jax_compilation_cache_dir"} <= set(then[0])
    assert then[1]


SAYS = "import jax, toysup, toysup.runtime as r; r.cores = lambda: 3; {}; print(*toysup.configure(), sep='|')"


@pytest.mark.parametrize(
    ("before", "environ", "words"),
    [
        ("jax.devices()", {}, ["1 device,", "not all 3 cores", "toysup.configure()", "toysup.notebook"]),
        ("toysup.configure(); jax.devices()", {}, []),
        ("jax.devices()", {"JAX_NUM_CPU_DEVICES": "2"}, []),  # the user's own number is no fault
    ],
)
def test_configure_says_what_it_could_not_do(before, environ, words, tmp_path):
    said = run(SAYS.format(before), home=tmp_path, **environ).strip()
    assert [word for word in words if word not in said] == []
    assert bool(said) == bool(words)
    assert said == "" or (said.endswith(".") and "|" not in said)


@pytest.mark.parametrize(
    ("before", "environ", "expected"),
    [
        ("jax.devices()", {"JAX_NUM_CPU_DEVICES": "3"}, {"jax_num_cpu_devices": 3}),
        ("jax.devices()", {}, {"jax_num_cpu_devices": -1}),
        ("jax.devices()", {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, {"jax_num_cpu_devices": -1}),
        ("None", {"XLA_FLAGS": "--xla_force_host_platform_device_count=3"}, {"jax_num_cpu_devices": -1}),
        ("jax.config.update('jax_num_cpu_devices', 5)", {}, {"jax_num_cpu_devices": 5}),
        ("jax.config.update('jax_enable_x64', True)", {}, {"jax_enable_x64": True}),
        ("None", {"JAX_COMPILATION_CACHE_DIR": "MINE"}, {}),
        (
            "jax.config.update('jax_compilation_cache_dir', sys.argv[1] + '/mine')",
            {},
            {"jax_persistent_cache_min_compile_time_secs": 1.0, "jax_persistent_cache_min_entry_size_bytes": 0},
        ),
    ],
)
def test_what_the_user_has_set_stays(before, environ, expected, tmp_path):
    """JAX started first, devices made by hand, float64, a cache of one's own: neither an error nor a change."""
    code = f"""{SETTINGS}
import sys
{before}
started = read()
import toysup
toysup.configure()
then = read()
count = len(jax.devices())
fit = toysup.train(toysup.independent(0.1, 3), 1, restarts=2, steps=5, polish=0, key=jax.random.key(0))
print(json.dumps([started, then, count, str(fit.loss.dtype), bool((fit.loss > 0).all())]))
"""
    environ = {k: v.replace("MINE", str(tmp_path / "mine")) for k, v in environ.items()}
    started, then, count, dtype, good = json.loads(run(code, tmp_path, home=tmp_path, **environ))
    changed = {name for name in started if started[name] != then[name]}
    free = {"jax_num_cpu_devices"} if "devices" not in before and "XLA_FLAGS" not in environ else set()
    if started["jax_compilation_cache_dir"] is None:
        free |= {name for name in started if "cache" in name}
    assert changed <= free
    assert {name: then[name] for name in expected} == expected
    assert dtype == ("float64" if then["jax_enable_x64"] else "float32")
    assert good
    if "XLA_FLAGS" in environ or "3" in environ.values():
        assert count == 3


def test_a_cache_that_is_switched_off_stays_off(tmp_path):
    code = f"{SETTINGS}\nimport toysup; assert toysup.configure() == (); print(json.dumps(read()))"
    then = json.loads(run(code, home=tmp_path, JAX_ENABLE_COMPILATION_CACHE="false"))
    assert then["jax_compilation_cache_dir"] is None


# ----------------------------------------------------------------------------------------------- cache


def test_compiled_programs_are_kept_and_a_second_process_compiles_nothing(tmp_path):
    """Every program of the second process comes from the cache, and that it does prints nothing."""
    code = COUNT + "import toysup\n"
    code += TRAIN.replace("json.dumps({", "json.dumps({'misses': len(misses), 'hits': len(hits), ")
    first, second = (json.loads(run(code, home=tmp_path)) for _ in range(2))
    assert first["misses"] > 3
    assert list(tmp_path.rglob("jit__spread-*"))
    assert second["misses"] == 0
    assert second["hits"] >= first["misses"]
    assert second["numbers"] == first["numbers"]


BROKEN = """
import pathlib, sys, jax, toysup
toysup.configure()
place = pathlib.Path(jax.config.jax_compilation_cache_dir)
files = {f.name: f.read_bytes() for f in place.iterdir()}
for i, (name, content) in enumerate(files.items()):  # what a kill, a full disk, or a bad disk leaves
    (place / name).write_bytes((b"", content[: len(content) // 2], content[:-3] + b"xyz")[i % 3])
print(sum(float(jax.jit(lambda x, k=k: k * x)(2.0)) for k in (3.0, 4.0, 5.0)))
assert files == {} or {f.name: len(f.read_bytes()) for f in place.iterdir()} == {k: len(v) for k, v in files.items()}
print(len(files), len(list(place.iterdir())))
"""


def test_a_broken_program_is_made_anew_without_a_word(tmp_path):
    """`run` fails at anything on stderr; the third process finds the files whole again."""
    codes = (BROKEN, BROKEN, BROKEN.replace("in enumerate(files.items())", "in []"))
    first, second, third = (run(COUNT + code + "\nprint(len(misses))", home=tmp_path).split() for code in codes)
    count = first[2]
    assert int(count) >= 3
    assert first == ["24.0", "0", count, count]
    assert second == ["24.0", count, count, count]
    assert third == ["24.0", count, count, "0"]


def test_a_full_disk_stops_nothing(tmp_path):
    code = """
import errno, os, jax, toysup
toysup.configure()
def refuse(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
os.replace = refuse
print(float(jax.jit(lambda x: 3 * x)(2.0)), os.listdir(jax.config.jax_compilation_cache_dir))
"""
    assert run(code, home=tmp_path) == "6.0 []\n"


def test_a_folder_chosen_after_configure_is_used(tmp_path):
    code = """
import os, sys, jax, toysup
toysup.configure()
jax.config.update("jax_compilation_cache_dir", sys.argv[1])
jax.jit(lambda x: 3 * x)(2.0)
print(any(name.endswith("-cache") for name in os.listdir(sys.argv[1])))
"""
    assert run(code, tmp_path / "mine", home=tmp_path) == "True\n"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(programs.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    return tmp_path / "compiled"


def test_programs_of_another_jaxlib_or_processor_are_not_seen(cache, monkeypatch):
    here = programs.folder()
    programs.Programs(here).put("key", b"program")
    assert programs.folder() == here  # the same at each start
    assert programs.Programs(programs.folder()).get("key") == b"program"
    changes = [
        (programs.jaxlib, "__version__", "0.0.1"),
        (programs, "processor", lambda: "another"),
        (programs.platform, "machine", lambda: "another"),
    ]
    for thing, name, value in changes:
        with monkeypatch.context() as other:
            other.setattr(thing, name, value)
            assert programs.folder() != here
            assert programs.Programs(programs.folder()).get("key") is None


def test_what_is_kept_is_bounded_and_what_was_used_last_stays(cache, monkeypatch):
    kept = programs.Programs(programs.folder())
    for i in range(8):
        kept.put(f"key{i}", bytes(1000 - programs.DIGEST))
        os.utime(kept._path / f"key{i}.program", (time.time() - 100 + i,) * 2)
    now = time.time()
    monkeypatch.setattr(programs.time, "time", lambda: now)
    assert kept.get("key1") is not None  # it is used now
    programs.prune(cache, 3000)
    assert sorted(f.name[:4] for f in kept._path.iterdir()) == ["key1", "key6", "key7"]
    old = programs.Programs(cache / "jaxlib-0.0.1-abc")
    old.put("key", b"program")
    (old._path / ".12-ab.part").write_bytes(b"cut short")
    now += 2 * programs.ABANDONED
    os.utime(old._path / "key.program", (now, now))
    programs.prune(cache)
    assert [f.name for f in old._path.iterdir()] == ["key.program"]
    now += 2 * programs.MOST_IDLE
    programs.prune(cache)
    assert list(cache.iterdir()) == []


def test_a_long_session_and_a_new_process_look_at_the_bound(cache, monkeypatch):
    pruned = []
    monkeypatch.setattr(programs, "prune", lambda top, most=None: pruned.append(top))
    kept = programs.Programs(programs.folder())
    monkeypatch.setattr(programs, "PRUNE_AFTER", 2500)
    for i in range(6):
        kept.put(f"key{i}", bytes(1000))
    assert pruned == [cache, cache]
    for _ in range(3):
        programs._prune_now_and_then()
    assert pruned == [cache] * 3
    os.utime(cache / programs.STAMP, (1e9, 1e9))
    programs._prune_now_and_then()
    assert pruned == [cache] * 4


def test_a_home_that_cannot_be_written_does_no_harm(tmp_path):
    """With a file where the folder would be, or without the right to write: every session compiles anew."""
    code = f"{SETTINGS}\nimport toysup; print(*toysup.configure()); print(json.dumps(read()))"
    (tmp_path / ".cache").write_text("not a folder")
    (tmp_path / "toysup").write_text("not a folder")
    (tmp_path / "Library").write_text("not a folder")
    said, settings = run(code, home=tmp_path).splitlines()
    assert "are not kept" in said
    assert "toysup" in said
    assert json.loads(settings)["jax_compilation_cache_dir"] is None


def test_a_folder_that_cannot_be_written_does_no_harm(tmp_path):
    """Root may write where others may not, so the system's refusal is put in by hand."""
    code = f"""{SETTINGS}
import errno, pathlib, toysup
def refuse(self, content):
    raise OSError(errno.EROFS, "Read-only file system", str(self))
pathlib.Path.write_bytes = refuse
print(*toysup.configure())
print(json.dumps(read()))
print(float(jax.jit(lambda x: x + 1)(1.0)))
"""
    said, settings, number = run(code, home=tmp_path).splitlines()
    assert "are not kept" in said
    assert "Read-only file system" in said
    assert json.loads(settings)["jax_compilation_cache_dir"] is None
    assert number == "2.0"


# --------------------------------------------------------------------------------------- who configures


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_notebook_configures_in_its_first_cell(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert "from toysup.notebook import" in "".join(cells[0]["source"])


@pytest.mark.parametrize("path", sorted((ROOT / "tools").glob("data_*.py")), ids=lambda path: path.stem)
def test_every_script_that_makes_data_configures(path):
    assert re.search(r"^ *(toysup\.)?configure\(\)$", path.read_text(encoding="utf-8"), re.MULTILINE)


# ------------------------------------------------------------------------------------------ accelerators


class Accelerator:
    """Stands for a device with its own memory."""

    platform = "gpu"

    def __init__(self, stats):
        self.memory_stats = lambda: stats


def test_memory_and_models_at_once_are_asked_of_the_device(monkeypatch):
    assert runtime.at_once(12) == 12
    assert runtime.memory() == runtime.memory_of_machine()
    large = Accelerator({"bytes_limit": 2**36, "bytes_in_use": 2**35})
    monkeypatch.setattr(runtime, "accelerator", lambda: large)
    assert runtime.memory() == 2**35
    assert runtime.at_once(12) == 12 * 2**10
    check.room("some arrays", 2**34)
    with pytest.raises(MemoryError, match=r"some arrays need about 31 GiB; its accelerator has 32\.0 GiB"):
        check.room("some arrays", 31 * 2**30)
    check.room("results", runtime.memory_of_machine() / 2, host=True)
    silent = Accelerator(None)
    monkeypatch.setattr(runtime, "accelerator", lambda: silent)
    check.room("some arrays", 2**60)  # it does not say what it has
    assert runtime.at_once(1) == 64


def test_accelerators_multiply_in_full_precision(monkeypatch):
    """Their default keeps 10 bits of a factor; whatever trains or measures asks for all of them."""

    def problem(x):
        return (lambda x, _: x @ x), x, (), 1

    program = lambda: str(jax.make_jaxpr(lambda x: runtime.over_models(problem, 2, x))(jnp.ones((2, 3))))
    assert "HIGHEST" not in program()
    monkeypatch.setattr(runtime, "accelerator", lambda: Accelerator(None))
    assert "HIGHEST" in program()


def test_as_many_devices_are_wanted_as_the_user_asked_for():
    code = "from toysup import configure, runtime; configure(); print(runtime.devices_wanted(), runtime.cores())"
    assert python(code, JAX_NUM_CPU_DEVICES=3).stdout.split()[0] == "3"
    wanted, cores = python(code).stdout.split()
    assert wanted == cores
