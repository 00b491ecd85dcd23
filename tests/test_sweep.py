"""Sweeps: the right model under every label, whatever becomes of the process, on whatever machine."""

import concurrent.futures
import itertools
import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
import warnings

import helpers
import jax
import jaxlib
import numpy as np
import optax
import pytest
import xarray as xr

import toysup
from toysup import geometry, runtime
from toysup import grid as grid_module
from toysup import store as stores
from toysup.grid import make_plan, versions
from toysup.sweep import make_task, run_task, sweep

QUICK = {"restarts": 2, "steps": 10, "polish": 5}
NO_POLISH = QUICK | {"polish": 0}  # compiles in half the time
SMALL = {"n": 2, "m": 1, "density": np.linspace(0.1, 1, 12), "seed": [3, 4], **QUICK, "chunk": 4}
MIXED = {
    "density": [0.1, 0.5, 0.9], "n": [3, 2], "seed": [0, 7, 2], "m": [2, 1],
    "importance_decay": [0.5, 1.0], "relative_density": 0.7, **NO_POLISH, "keep": "all", "chunk": 5,
}  # fmt: skip
OTHER_STARTS = pytest.mark.skipif(
    "TOYSUP_PERTURBED" in os.environ, reason="its other processes draw their starts unperturbed"
)
SETTINGS = {"objective": "auto", "learning_rate": None, "batch": 1024, "restarts": 2, "steps": 10, "polish": None}


def plan_of(chunk, polish=None, **grid):
    return make_plan(grid, SETTINGS | {"polish": polish}, "best", -1, chunk)


@pytest.fixture(scope="module")
def small():
    return sweep(**SMALL)


@pytest.fixture(scope="module")
def mixed():
    return sweep(**MIXED)


# ------------------------------------------------------------------------------------------ what is computed


def test_every_model_stands_under_its_label(mixed):
    """Each entry of a sweep over five dimensions is what `train` finds for these values alone."""
    found = mixed
    names = ["density", "n", "seed", "m", "importance_decay"]
    assert list(found.sizes)[:5] == names
    for density, n, seed, m, decay in list(itertools.product(*(found[name].values for name in names)))[::5]:
        if n == m:
            continue  # three of the four programs are enough
        each = np.full(n, density)
        each[-1] *= 0.7
        fit = toysup.train(
            toysup.independent(each), int(m), importance=decay ** np.arange(n), key=jax.random.key(seed),
            **NO_POLISH,
        )  # fmt: skip
        one = found.sel(density=density, n=n, seed=seed, m=m, importance_decay=decay)
        np.testing.assert_allclose(one.loss, fit.loss, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(one.W[:, :m, :n], fit.W, atol=2e-4)
        np.testing.assert_allclose(one.b[:, :n], fit.b, atol=2e-4)
        assert np.isnan(one.W[:, m:]).all()
        assert np.isnan(one.W[..., n:]).all()
        assert np.isnan(one.b[:, n:]).all()


def test_geometry_and_reached_belong_to_the_weights():
    found = sweep(n=4, m=2, density=[0.05, 0.5], restarts=4)
    np.testing.assert_allclose(found.norm, geometry.norms(found.W.values), rtol=1e-5)
    D = geometry.feature_dimensionality(found.W.values)
    np.testing.assert_allclose(found.feature_dimensionality, D, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.represented, (found.norm > 0.5).sum("feature"))
    every = sweep(n=4, m=2, density=[0.05, 0.5], restarts=4, keep="all")
    assert every.W.dims == ("density", "restart", "hidden", "feature")
    np.testing.assert_allclose(every.loss.min("restart"), found.loss, rtol=2e-6)
    close = every.loss <= every.loss.min("restart") * 1.001 + 1e-9
    np.testing.assert_array_equal(close.sum("restart"), found.reached)
    np.testing.assert_array_equal(every.reached, found.reached)


def test_which_feature_is_rare_or_important():
    found = sweep(n=3, m=1, density=0.2, relative_importance=[0.1, 1.0, 9.0], feature=1, restarts=4)
    assert found.norm.sel(relative_importance=9.0).values.argmax() == 1
    assert found.norm.sel(relative_importance=0.1).values.argmax() != 1
    assert found.attrs["feature"] == 1


def test_sampled_models_and_their_error():
    found = sweep(n=30, m=3, density=[0.01, 0.1], restarts=2, steps=20, batch=64)
    assert found.attrs["trained"] == "sampled"
    assert (found.loss_error > 0).all()
    assert found.W.shape == (2, 3, 30)


def test_a_single_model_is_a_dataset_without_dimensions(tmp_path):
    one = sweep(n=2, m=1, density=0.2, readout="abs", **NO_POLISH)
    assert one.loss.shape == ()
    stored = sweep(n=2, m=1, density=0.2, readout="abs", **NO_POLISH, store=tmp_path / "s")
    xr.testing.assert_identical(one, stored.load())


def test_readouts_as_a_dimension():
    found = sweep(n=2, m=1, density=0.2, readout=["linear", "abs"], **NO_POLISH)
    assert found.readout.values.tolist() == ["linear", "abs"]
    for readout in found.readout.values.tolist():
        one = found.sel(readout=readout)
        loss = toysup.expected_loss(one.W.values, one.b.values, toysup.independent(0.2, 2), readout=readout)
        np.testing.assert_allclose(one.loss, loss, rtol=1e-5)


def test_labels_units_settings_and_versions(small):
    for name, variable in small.variables.items():
        assert variable.attrs["long_name"], name
        assert variable.attrs["units"], name
    assert small.sizes == {"density": 12, "seed": 2, "hidden": 1, "feature": 2}
    expected = {
        "restarts": 2, "steps": 10, "polish": 5, "learning_rate": 0.1, "keep": "best", "objective": "auto",
        "trained": "exact", "toysup_version": toysup.__version__, "jax_version": jax.__version__,
        "numpy_version": np.__version__, "precision": "float32",
        "optax_version": optax.__version__, "jaxlib_version": jaxlib.__version__, "batch": 1024, "feature": -1,
    }  # fmt: skip
    assert {name: small.attrs[name] for name in expected} == expected
    assert small.attrs["python_version"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert small.attrs["devices"].endswith("cpu")


def test_netcdf_keeps_everything(tmp_path, mixed):
    """By xarray's own default, with nothing but SciPy installed; from memory and from a store."""
    for found in (mixed, sweep(**MIXED, store=tmp_path / "store")):
        found.to_netcdf(tmp_path / "sweep.nc")
        with xr.open_dataset(tmp_path / "sweep.nc") as loaded:
            xr.testing.assert_identical(found.load(), loaded.load())


def test_one_program_serves_all_chunks(compilations):
    grid = {"n": 3, "m": 1, "density": np.linspace(0.1, 0.9, 11), **NO_POLISH, "chunk": 4}
    sweep(**grid | {"density": grid["density"][:4]})
    with compilations() as compiled:
        sweep(**grid, importance_decay=0.9, seed=5)
    assert compiled == []  # three chunks, other values, another seed, and a last chunk that is not full


# ------------------------------------------------------------------------------------------ the cut into chunks


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 8, 100])
def test_chunks_hold_every_model_once(chunk):
    """`span` and `place` are each other's inverse, and chunks follow each other without gap."""
    plan = plan_of(chunk, density=[0.1, 0.2, 0.3, 0.4, 0.5], seed=[0, 1, 2], n=[2, 3], m=1, relative_density=[0.5, 1])
    at, where, rows = 0, *plan.place(np.arange(plan.models))
    for i in range(plan.chunks):
        program, seeds, models = plan.span(i)
        count = len(seeds) * len(models)
        assert plan.start(i) == at
        assert 0 < count <= max(chunk, 1)
        assert len(models) <= program.size
        np.testing.assert_array_equal(where[at : at + count], i)
        np.testing.assert_array_equal(rows[at : at + count], np.arange(count))
        at += count
    assert at == plan.models == 60


def test_tasks_are_small_and_say_what_they_are():
    plan = plan_of(None, density=np.linspace(0.001, 1, 10**6), n=2, m=1)
    tasks = [make_task(plan, i) for i in (0, plan.chunks // 2, plan.chunks - 1)]
    for task in tasks:
        assert len(task.models) <= 2**16
        assert sum(a.nbytes for a in task.axes.values()) <= 8 * (2**16 + 3)
    assert "n=2, m=1, readout='relu', seed=0" in str(tasks[0])
    assert "density=0.001.." in str(tasks[0])
    assert "..1," in str(tasks[2])


def test_memory_of_a_chunk_does_not_grow_with_the_sweep():
    for grid in ({"n": 2, "m": 1}, {"n": 5, "m": 2}, {"n": 100, "m": 20}, {"n": 1000, "m": 100}):
        sizes = set()
        for models in (10**6, 10**8):
            plan = plan_of(
                None, density=np.linspace(0.1, 1, 1000), importance_decay=np.linspace(0.1, 1, models // 1000), **grid
            )
            sizes.add(plan.programs[0].size)
            assert plan.programs[0].size * 2 * 32 * grid["n"] * (grid["m"] + 1) <= 2**26
        assert max(sizes) <= 1.1 * min(sizes)


def test_versions_of_a_worker_must_be_the_same(small):
    task = make_task(plan_of(4, polish=5, **{k: SMALL[k] for k in ("n", "m", "density", "seed")}), 0)
    np.testing.assert_array_equal(run_task(task)["loss"], small.loss[:4, 0])
    task.versions["toysup"] = "0.0.1"
    with pytest.raises(RuntimeError, match=r"0\.0\.1"):
        run_task(task)


def test_a_worker_configures_its_process_where_the_sender_did(small, monkeypatch):
    called = []
    monkeypatch.setattr(runtime, "configure", lambda: called.append("here"))
    for configured in (False, True):
        monkeypatch.setattr(runtime, "configured", lambda configured=configured: configured)
        task = make_task(plan_of(4, polish=5, **{k: SMALL[k] for k in ("n", "m", "density", "seed")}), 0)
        run_task(pickle.loads(pickle.dumps(task)))
        assert bool(called) == configured


# ------------------------------------------------------------------------------------------ nothing is lost


def test_what_is_read_from_a_store_is_what_is_in_memory(tmp_path, mixed):
    """Any selection, in any order of the dimensions, from any chunks."""
    memory, disk = mixed, sweep(**MIXED, store=tmp_path / "s")
    selections = [
        {},
        {"density": 1},
        {"n": 0, "m": [1, 0], "restart": 1},
        {"seed": slice(None, None, -1), "feature": 1, "hidden": slice(0, 1)},
        {"density": [2, 0], "seed": [2, 1], "importance_decay": 0, "n": [1], "m": 1},
    ]
    for selection in selections:
        xr.testing.assert_identical(memory.isel(selection), disk.isel(selection).load())
    xr.testing.assert_identical(memory.transpose("seed", "m", ...), disk.transpose("seed", "m", ...).load())


def test_a_finished_sweep_is_read_not_computed(tmp_path, small, monkeypatch):
    sweep(**SMALL, store=tmp_path / "s")
    monkeypatch.setattr(sys.modules["toysup.sweep"], "run_task", None)  # the name in the package is the function
    xr.testing.assert_identical(small, sweep(**SMALL, store=tmp_path / "s").load())


def test_bad_chunks_are_named_and_computed_again(tmp_path, small):
    """Truncated, of another sweep, of an older version: a warning that names each, then the right numbers."""
    folder, other = tmp_path / "s", tmp_path / "other"
    sweep(**SMALL, store=folder)
    sweep(**SMALL | {"density": SMALL["density"] / 2}, store=other)
    first, second, third = (folder / f"chunk-000000{i}.npz" for i in (0, 2, 3))
    first.write_bytes(first.read_bytes()[:-100])
    os.replace(other / second.name, second)
    plan = plan_of(4, polish=5, **{k: SMALL[k] for k in ("n", "m", "density", "seed")})
    fingerprint = json.loads((folder / "sweep.json").read_bytes())
    old = stores.open_store(folder, fingerprint["settings"], fingerprint["versions"] | {"toysup": "0.0.9"})
    stores.write_chunk(old, 3, run_task(make_task(plan, 3)))
    with pytest.warns(RuntimeWarning) as caught:
        again = sweep(**SMALL, store=folder).load()
    text = str(caught[0].message)
    for file, words in ((first, "truncated"), (second, "another sweep"), (third, "0.0.9")):
        assert f"{file.name} " in text
        assert words in text
    assert "chunk-0000001" not in text
    xr.testing.assert_identical(small, again)
    xr.testing.assert_identical(small, sweep(**SMALL, store=folder).load())  # no warning: all is sound now


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("optax", lambda m: m.setattr(grid_module.optax, "__version__", "0.0.1")),
        ("jaxlib", lambda m: m.setattr(grid_module.jaxlib, "__version__", "0.0.1")),
        ("random_numbers", lambda m: m.setattr(grid_module, "_random_numbers", lambda: "rbg")),
        ("XLA_FLAGS", lambda m: m.setenv("XLA_FLAGS", "--xla_cpu_max_isa=SSE4_2")),
    ],
)
def test_a_sweep_is_not_resumed_with_other_numbers(name, change, tmp_path, small, monkeypatch):
    """Chunks made by another optimiser, generator or compiler are named and computed again, not mixed in."""
    sweep(**SMALL, store=tmp_path)
    with monkeypatch.context() as other:
        before = versions()[name]
        change(other)
        assert versions()[name] != before
        with pytest.warns(RuntimeWarning, match=rf"0000000.npz was made with {name} .*, here is .*again"):
            sweep(**SMALL, store=tmp_path)


def test_the_generator_is_that_of_the_keys_a_sweep_makes():
    before = versions()["random_numbers"]
    with jax.default_prng_impl("rbg"):
        assert versions()["random_numbers"] != before
        assert str(jax.random.key_impl(jax.random.key(0))) in versions()["random_numbers"]
    with jax.threefry_partitionable(not jax.config.jax_threefry_partitionable):
        assert versions()["random_numbers"] != before


def test_flags_that_change_no_number_are_no_other_version(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2 --xla_backend_optimization_level=1")
    before = versions()
    assert before["XLA_FLAGS"] == "--xla_backend_optimization_level=1 --xla_cpu_max_isa=AVX2"
    more = " --xla_force_host_platform_device_count=3 --xla_dump_to=/tmp/x  --xla_dump_hlo_as_text"
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_max_isa=AVX2" + more)
    assert versions() == before
    monkeypatch.delenv("XLA_FLAGS")
    assert versions()["XLA_FLAGS"] == "none"


def test_chunks_of_an_older_toysup_say_less_and_are_computed_again(tmp_path, small):
    """Stores written before these were recorded."""
    sweep(**SMALL, store=tmp_path)
    manifest = json.loads((tmp_path / "sweep.json").read_bytes())
    less = {name: manifest["versions"][name] for name in ("toysup", "jax", "precision")}
    old = stores.open_store(tmp_path, manifest["settings"], less)
    stores.write_chunk(old, 2, stores.read_chunk(stores.open_store(tmp_path, manifest["settings"], versions()), 2))
    with pytest.warns(RuntimeWarning, match=r"chunk-0000002.npz does not say which jaxlib.*Computed again"):
        again = sweep(**SMALL, store=tmp_path)
    xr.testing.assert_identical(small, again.load())


def test_a_chunk_damaged_after_the_sweep_is_not_used_when_read(tmp_path):
    found = sweep(**SMALL, store=tmp_path / "s")
    file = tmp_path / "s" / "chunk-0000001.npz"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(stores.BadChunk, match="chunk-0000001"):
        found.loss.load()


def test_a_store_of_another_sweep_is_refused_before_anything_is_compiled(tmp_path, compilations):
    sweep(**SMALL, store=tmp_path)
    for change in ({"density": [0.5]}, {"restarts": 3}, {"steps": 11}, {"keep": "all"}, {"chunk": 7}, {"seed": [4, 3]}):
        with compilations() as compiled, pytest.raises(FileExistsError, match=f"differs in {next(iter(change))}"):
            sweep(**SMALL | change, store=tmp_path)
        assert compiled == []
    before = chunks_in(tmp_path)
    sweep(**SMALL, store=tmp_path, overwrite=True)
    assert chunks_in(tmp_path) == before  # the same sweep is never thrown away
    fresh = sweep(**SMALL | {"density": [0.5]}, store=tmp_path, overwrite=True)
    assert fresh.sizes["density"] == 1
    assert not chunks_in(tmp_path).items() & before.items()


def test_a_full_disk_leaves_finished_chunks(tmp_path, small, monkeypatch):
    written, fsync = [], os.fsync

    def full(handle):
        written.append(handle)
        if len(written) > 6:  # two for each file: the file and its folder
            raise OSError(28, "No space left on device")
        fsync(handle)

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left on device.*intact"):
            sweep(**SMALL, store=tmp_path / "s")
    files = {f.name: f.stat().st_mtime_ns for f in (tmp_path / "s").glob("chunk-*")}
    assert len(files) == 2
    xr.testing.assert_identical(small, sweep(**SMALL, store=tmp_path / "s").load())
    assert all((tmp_path / "s" / name).stat().st_mtime_ns == t for name, t in files.items())


SWEEP_IN_A_PROCESS = """
import json, sys
import numpy as np
from toysup.sweep import sweep
sweep(n=2, m=1, density=np.linspace(0.1, 1, 400), restarts=2, steps=600, polish=5, chunk=8, store=sys.argv[1])
print("finished")
"""
LONG = {"n": 2, "m": 1, "density": np.linspace(0.1, 1, 400), "restarts": 2, "steps": 600, "polish": 5, "chunk": 8}


def start(folder):
    environment = os.environ | {"PYTHONPATH": str(helpers.ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", SWEEP_IN_A_PROCESS, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def chunks_in(folder):
    return {f.name: f.stat().st_mtime_ns for f in folder.glob("chunk-*.npz")}


def wait_for_chunks(process, folder, count):
    while len(chunks_in(folder)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)


@pytest.fixture(scope="module")
def long():
    return sweep(**LONG)


@pytest.mark.slow
@OTHER_STARTS
def test_a_killed_sweep_goes_on_and_ends_with_the_same_numbers(tmp_path, long):
    """Killed twice in the middle by a signal that no program can answer, then finished by a third process."""
    before = {}
    for count in (2, 8):
        with start(tmp_path / "s") as process:
            wait_for_chunks(process, tmp_path / "s", count)
            process.kill()
        found = chunks_in(tmp_path / "s")
        assert len(before) < len(found) < 50
        assert found.items() >= before.items()  # what was finished was not done again
        before = found
    resumed = sweep(**LONG, store=tmp_path / "s")
    assert chunks_in(tmp_path / "s").items() >= before.items()
    xr.testing.assert_identical(long, resumed.load())


@pytest.mark.slow
@OTHER_STARTS
def test_two_processes_on_one_store(tmp_path, long):
    processes = [start(tmp_path / "s") for _ in range(2)]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out, err) == (0, "finished\n", "")
    assert len(chunks_in(tmp_path / "s")) == 50
    assert not list((tmp_path / "s").glob(".*"))
    xr.testing.assert_identical(long, sweep(**LONG, store=tmp_path / "s").load())


# ------------------------------------------------------------------------------------------ past one machine


def test_threads(small, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        xr.testing.assert_allclose(small, sweep(**SMALL, executor=executor, in_flight=2), atol=1e-6)
        xr.testing.assert_allclose(small, sweep(**SMALL, executor=executor, store=tmp_path / "s").load(), atol=1e-6)


class Recorder(concurrent.futures.ThreadPoolExecutor):
    """An executor that counts what it holds, and fails on demand."""

    def __init__(self, failures=0):
        super().__init__(2)
        self.failures, self.given, self.most, self.running = failures, 0, 0, set()

    def submit(self, function, task):
        self.given += 1
        if self.failures:
            self.failures -= 1
            future = super().submit(divmod, 1, 0)
        else:
            future = super().submit(function, task)
        self.running = {f for f in self.running if not f.done()} | {future}
        self.most = max(self.most, len(self.running))
        return future


def test_a_bounded_number_of_chunks_is_in_flight(small):
    with Recorder() as executor:
        xr.testing.assert_allclose(small, sweep(**SMALL, executor=executor, in_flight=3), atol=1e-6)
    assert executor.most <= 3
    assert executor.given == 6


def test_failed_chunks_are_tried_again_then_reported(small, tmp_path):
    with Recorder(failures=2) as executor:
        xr.testing.assert_allclose(small, sweep(**SMALL, executor=executor, in_flight=1, retries=2), atol=1e-6)
    assert executor.given == 8
    with (
        Recorder(failures=3) as executor,
        pytest.raises(RuntimeError, match=r"n=2, m=1, .*seed=[34], .*density=0\.\d+\.\..*failed 3 times.*ZeroDivision"),
    ):
        sweep(**SMALL, executor=executor, in_flight=1, retries=2, store=tmp_path / "s")
    assert executor.given == 3


@pytest.mark.slow
def test_processes_and_what_a_lost_one_leaves(small, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as executor:
        xr.testing.assert_allclose(small, sweep(**SMALL, executor=executor), atol=1e-6)
        os.kill(executor.submit(os.getpid).result(), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="executor"):
            sweep(**SMALL, executor=executor, store=tmp_path / "s")
    xr.testing.assert_identical(small, sweep(**SMALL, store=tmp_path / "s").load())


POOL = """
import sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import jax, toysup
{unguarded}
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context(sys.argv[1]))
    {before}
    begun = time.monotonic()
    try:
        found = toysup.sweep(n=2, m=1, density=[0.1, 0.2], restarts=1, steps=5, polish=0, chunk=1, executor=pool)
        print("found", found.sizes["density"])
    except RuntimeError as error:
        print(time.monotonic() - begun, error)
"""


def pool(folder, method, before="", unguarded=""):
    """What a script prints, and its stderr."""
    (folder / "script.py").write_text(POOL.format(before=before, unguarded=unguarded))
    environment = os.environ | {"PYTHONPATH": str(helpers.ROOT)}
    command = [sys.executable, str(folder / "script.py"), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("before", ["jax.devices()", "jax.devices(); pool.submit(len, 'abc').result()"])
def test_processes_forked_after_jax_has_started_are_refused_at_once(before, tmp_path):
    out, _ = pool(tmp_path, "fork", before)
    seconds, message = out.split(" ", 1)
    assert float(seconds) < 20
    assert "forked after JAX had started" in message
    assert 'mp_context=multiprocessing.get_context("spawn")' in message


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("before", ["", "pool.submit(len, 'abc').result(); jax.devices()"])
def test_processes_forked_before_are_fine(before, tmp_path):
    assert pool(tmp_path, "fork", before)[0] == "found 2\n"


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    unguarded = "if __name__ != '__main__': ProcessPoolExecutor(1, mp_context=get_context('spawn')).submit(len, 'a')"
    out, err = pool(tmp_path, "spawn", unguarded=unguarded)
    assert "bootstrapping phase" in err  # what the worker died of
    assert "was lost with the executor" in out
    assert '`if __name__ == "__main__":`' in out
    assert pool(tmp_path, "spawn")[0] == "found 2\n"


@pytest.mark.slow
@OTHER_STARTS
def test_dask_with_a_worker_killed_in_the_middle(tmp_path, long):
    """A real scheduler and two worker processes on loopback; one is killed while chunks are under way."""
    distributed = pytest.importorskip("distributed")
    import dask

    with warnings.catch_warnings(), dask.config.set({"temporary-directory": str(tmp_path)}):
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, silence_logs=50,
            worker_dashboard_address=None,
        )  # fmt: skip
        with cluster, distributed.Client(cluster) as client:
            pids = list(client.run(os.getpid).values())
            killed = []

            class Killing(type(client.get_executor())):
                def submit(self, *arguments):
                    if not killed and len(chunks_in(tmp_path / "s")) >= 5:
                        killed.append(pids[0])
                        os.kill(pids[0], signal.SIGKILL)
                    return super().submit(*arguments)

            found = sweep(**LONG, executor=Killing(client), in_flight=6, store=tmp_path / "s").load()
    assert killed
    xr.testing.assert_allclose(long, found, atol=1e-6)


# ------------------------------------------------------------------------------------------ for people


CASES = {
    "unknown dimension": ({"densty": 0.1}, TypeError, ["'densty'", "'density'", "relative_importance"]),
    "unknown, like none": ({"zzz": 0.1}, TypeError, ["'zzz'", "there are", "importance_decay"]),
    "no n": ({"n": ...}, TypeError, ["n is missing", "density, n and m"]),
    "no density": ({"density": ...}, TypeError, ["density is missing"]),
    "empty": ({"density": []}, ValueError, ["density is empty"]),
    "empty n": ({"n": []}, ValueError, ["n is empty"]),
    "empty readout": ({"readout": ()}, ValueError, ["readout is empty"]),
    "two axes": ({"density": np.ones((2, 2))}, ValueError, ["density", "flat", "(2, 2)"]),
    "ragged": ({"density": [[0.1], [0.1, 0.2]]}, ValueError, ["density", "flat"]),
    "density 0": ({"density": [0.5, 0.0]}, ValueError, ["density must lie in (0, 1]", "got 0", "entry 1"]),
    "density 1.2": ({"density": 1.2}, ValueError, ["density must lie in (0, 1]", "got 1.2"]),
    "density NaN": ({"density": [float("nan")]}, ValueError, ["density", "finite", "nan"]),
    "density text": ({"density": "low"}, TypeError, ["density", "number", "'low'"]),
    "density twice": ({"density": [0.1, 0.2, 0.1]}, ValueError, ["density", "0.1", "more than once"]),
    "density tiny": ({"density": 1e-300}, ValueError, ["density", "1e-12", "1e-300"]),
    "product": (
        {"density": [0.1, 0.5], "relative_density": [1, 3]},
        ValueError,
        ["relative_density * density", "at most 1", "1.5", "relative_density=3", "density=0.5"],
    ),
    "relative density 0": ({"relative_density": 0}, ValueError, ["relative_density must be above 0", "got 0"]),
    "relative density tiny": ({"relative_density": 1e-13}, ValueError, ["relative_density", "1e-12"]),
    "relative importance": ({"relative_importance": [-1]}, ValueError, ["relative_importance", "negative", "-1"]),
    "nothing important": ({"relative_importance": 0, "n": 1}, ValueError, ["importance is 0 for every feature"]),
    "decay 0": ({"importance_decay": 0}, ValueError, ["importance_decay must be above 0", "got 0"]),
    "decay 100": ({"importance_decay": 100, "n": 9}, ValueError, ["importance", "1e+09"]),
    "n 2.5": ({"n": 2.5}, TypeError, ["n must be a whole number", "2.5"]),
    "m 0": ({"m": [1, 0]}, ValueError, ["m must be a whole number", "at least 1", "0"]),
    "m text": ({"m": "1"}, TypeError, ["m must be a whole number", "'1'"]),
    "seed -1": ({"seed": -1}, ValueError, ["seed must", "at least 0", "-1"]),
    "seed large": ({"seed": 2**31}, ValueError, ["seed must be at most 2147483647", "2147483648"]),
    "readout": ({"readout": ["relu", "selu"]}, ValueError, ["readout", "'selu'", "'relu'"]),
    "feature": ({"feature": 2}, ValueError, ["feature must lie between -2 and 1", "got 2"]),
    "feature 0.5": ({"feature": 0.5}, TypeError, ["feature", "0.5"]),
    "keep": ({"keep": "worst"}, ValueError, ["keep", "'worst'", "'best'", "'all'"]),
    "restarts": ({"restarts": [1, 2]}, TypeError, ["restarts", "whole", "[1, 2]"]),
    "steps": ({"steps": 0}, ValueError, ["steps", "at least 1", "0"]),
    "objective": ({"n": [2, 40], "objective": "exact"}, ValueError, ["objective='exact'", "40 features"]),
    "polish": ({"objective": "sampled", "polish": 3}, ValueError, ["polish=3", "sampled"]),
    "learning rate": ({"learning_rate": -1}, ValueError, ["learning_rate", "above 0"]),
    "chunk": ({"chunk": 0}, ValueError, ["chunk", "at least 1"]),
    "retries": ({"retries": -1}, ValueError, ["retries", "at least 0"]),
    "executor": ({"executor": "cluster"}, TypeError, ["executor", "concurrent.futures", "'cluster'"]),
    "store": ({"store": 3}, TypeError, ["store", "folder", "3"]),
    "one model too large": ({"n": 10**5, "m": 10**5}, MemoryError, ["100000 features", "GiB"]),
    "many models": (
        {"density": np.linspace(0.1, 1, 10**5), "relative_importance": np.linspace(0.1, 1, 10**5)},
        MemoryError,
        ["10000000000 models", "GiB", "store="],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_names_argument_value_and_what_is_allowed(case, compilations):
    change, kind, words = CASES[case]
    call = {"n": 2, "m": 1, "density": 0.1} | change
    with compilations() as compiled, pytest.raises(kind) as caught:
        sweep(**{name: value for name, value in call.items() if value is not ...})
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert len(message) < 300
    assert compiled == []


def test_no_executor_no_store_no_more_memory_than_there_is(tmp_path, monkeypatch):
    """What does not fit in memory fits in a store."""
    monkeypatch.setattr(runtime, "memory_of_machine", lambda: 3e5)
    grid = {"n": 2, "m": 1, "density": np.linspace(0.1, 1, 100), "seed": range(80), "chunk": 400, **NO_POLISH}
    with pytest.raises(MemoryError, match=r"8000 models.*store="):
        sweep(**grid)
    assert sweep(**grid, store=tmp_path / "s").sizes["seed"] == 80


def test_the_bar_is_quiet_unless_asked_for(capfd, tmp_path):
    sweep(**SMALL)
    assert capfd.readouterr().err == ""
    sweep(**SMALL, store=tmp_path, progress=True)
    bar = capfd.readouterr().err
    assert "24.0/24.0" in bar
    assert "model/s" in bar


def test_the_bar_shows_on_a_terminal_but_not_in_ci(monkeypatch):
    from toysup.sweep import _watched

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert _watched()
    monkeypatch.setenv("CI", "true")
    assert not _watched()


def test_xarray_is_not_imported_before_it_is_needed():
    done = helpers.python("import sys, toysup.sweep; print([m for m in ('xarray', 'tqdm') if m in sys.modules])")
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_a_dataset_on_disk_can_be_copied_and_sent(tmp_path):
    found = sweep(**SMALL, store=tmp_path)
    for other in (pickle.loads(pickle.dumps(found)), found.copy(deep=True)):
        xr.testing.assert_identical(found.load(), other.load())
