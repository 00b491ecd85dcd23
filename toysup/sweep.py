"""Labelled grids of models: cut into chunks, resumable, on all cores or on a cluster."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
import random
import sys
import warnings
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait

import jax
import numpy as np

from toysup import check, geometry, runtime
from toysup import store as stores
from toysup.features import independent
from toysup.grid import DIMENSIONS, Plan, Program, attributes, densities, importances, make_plan, settings_of, versions
from toysup.train import train

FORKED = "executor: its processes were forked after JAX had started here, where JAX waits for ever"
REMEDY = 'make it with ProcessPoolExecutor(..., mp_context=multiprocessing.get_context("spawn"))'
GUARD = (
    "This is a script, which each spawned process runs anew: what makes the executor must stand under `if __name__ == "
    '"__main__":`'
)


class ForkedError(RuntimeError):
    """A worker process that would wait for ever."""


@dataclasses.dataclass(frozen=True)
class Task:
    """One chunk, small enough to send: the values of the traced axes, and which of their combinations.

    configure: whether the worker calls `toysup.configure()`, as the process that sends it did.
    """

    program: Program
    seeds: tuple[int, ...]
    axes: dict[str, np.ndarray]
    models: range
    settings: dict
    feature: int
    keep: str
    versions: dict[str, str]
    configure: bool

    def __str__(self) -> str:
        """The parameters of the chunk, for people."""
        p, seeds = self.program, ", ".join(map(str, self.seeds[:3])) + (", ..." if self.seeds[3:] else "")
        places = np.unravel_index([self.models.start, self.models.stop - 1], [len(a) for a in self.axes.values()])
        ends = [f"{name}={a[i]:g}..{a[j]:g}" for (name, a), (i, j) in zip(self.axes.items(), places, strict=True)]
        return f"n={p.n}, m={p.m}, readout={p.readout!r}, seed={seeds}, from first to last {', '.join(ends)}"


def make_task(plan: Plan, chunk: int) -> Task:
    """What a worker needs to know of a chunk."""
    program, seeds, models = plan.span(chunk)
    axes = {name: plan.values[name] for name in plan.traced}
    outer = plan.traced[0]  # only this axis is cut: the values of the others are few, or are all needed
    stride = plan.size(*plan.traced[1:])
    low, high = models.start // stride, (models.stop - 1) // stride + 1
    axes[outer] = axes[outer][low:high]
    models = range(models.start - low * stride, models.stop - low * stride)
    seeds = tuple(int(plan.values["seed"][s]) for s in seeds)
    return Task(program, seeds, axes, models, plan.settings, plan.feature, plan.keep, versions(), runtime.configured())


def run_task(task: Task) -> dict[str, np.ndarray]:
    """Train the models of a chunk: a pure function, for any worker that has the same versions.

    Returns arrays with the models in front: W (k, [restarts,] m, n), b and norm and feature_dimensionality
    (k, [restarts,] n), loss and loss_error and represented (k, [restarts]), reached (k,).
    """
    if runtime.forked():
        raise ForkedError(f"{FORKED}: {REMEDY}")
    if task.configure:
        runtime.configure()
    if versions() != task.versions:
        raise RuntimeError(f"this worker has {versions()}, the sweep was started with {task.versions}")
    parts = [_train_seed(task, seed) for seed in task.seeds]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _train_seed(task: Task, seed: int) -> dict[str, np.ndarray]:
    program, count = task.program, len(task.models)
    rows = task.models.start + np.minimum(np.arange(program.size), count - 1)  # a shape for all chunks: one program
    places = np.unravel_index(rows, [len(a) for a in task.axes.values()])
    x = {name: a[i] for (name, a), i in zip(task.axes.items(), places, strict=True)}
    fit = train(
        independent(densities(program.n, task.feature, x["density"], x["relative_density"])),
        program.m,
        importance=importances(program.n, task.feature, x["importance_decay"], x["relative_importance"]),
        readout=program.readout,
        key=jax.random.key(seed),
        **task.settings,
    )
    reached = fit.reached
    fit = fit.best() if task.keep == "best" else fit
    norm, dimensionality, represented = _shape_of(fit.W)
    out = {
        "W": fit.W, "b": fit.b, "loss": fit.loss, "loss_error": fit.error, "reached": reached.astype(np.int32),
        "norm": norm, "feature_dimensionality": dimensionality, "represented": represented,
    }  # fmt: skip
    return {name: np.asarray(a)[:count] for name, a in out.items()}


@jax.jit
def _shape_of(W):
    represented = geometry.represented(W).sum(-1).astype(np.int32)
    return geometry.norms(W), geometry.feature_dimensionality(W), represented


# ---------------------------------------------------------------------------------------------- the sweep


def sweep(
    *,
    restarts: int = 8,
    keep: str = "best",
    feature: int = -1,
    objective: str = "auto",
    steps: int | None = None,
    learning_rate=None,
    polish: int | None = None,
    batch: int = 1024,
    chunk: int | None = None,
    store=None,
    overwrite: bool = False,
    executor=None,
    in_flight: int = 32,
    retries: int = 2,
    progress: bool | None = None,
    **grid,
):
    """Train a model for every combination of the values given, and return them with labels.

    The grid, each a single value or a sequence; sequences become dimensions, in the order in which they are written:
        density: probability that a feature is active. n: features. m: hidden dimensions (these three are needed).
        relative_density: of one feature, relative to the others. relative_importance: of that feature, relative
        to 1. importance_decay: feature i has the importance importance_decay**i (times relative_importance).
        readout: names. seed: of the random starts and draws.
    feature: which feature relative_density and relative_importance speak of; the last one by default.
    restarts: random starts of each model. keep: "best" keeps the lowest loss of each model, "all" keeps every
        restart, as a dimension `restart`.
    objective, steps, learning_rate, polish, batch: as for `toysup.train`.
    chunk: models that are trained, saved and sent together; None: about two seconds of work.
    store: a folder to which finished chunks go; the same call goes on from what is there, after whatever end.
        The Dataset then reads from that folder what is asked of it (`load()` brings all into memory).
    overwrite: throw away another sweep in that folder; what is there of this sweep is kept in any case.
    executor: a `concurrent.futures.Executor` that computes the chunks, such as Dask's `client.get_executor()`; None:
        this process, on all its devices. in_flight: chunks given to it at a time. retries: of a chunk that failed.
    progress: a bar with the time left; None: where there is a terminal and no CI.

    Returns an `xarray.Dataset` with W (..., hidden, feature), b (..., feature), loss, loss_error (standard error, 0
        where the loss is exact), reached (restarts within 0.1 % of the lowest loss), norm and feature_dimensionality
        (..., feature) and represented (features of a norm above 0.5). Where n or m vary, entries beyond a model's
        own are NaN. Settings and versions are attributes; `to_netcdf` and `xarray.open_dataset` keep all of it.
    Memory: besides the results (without a store), one chunk, or `in_flight` of them with an executor.
    Errors: ValueError, TypeError or MemoryError that name the argument, before anything is compiled; RuntimeError
        where processes were forked after JAX had started, which would hang, or where a chunk failed;
        FileExistsError for the store of another sweep; OSError where it cannot be written.
    """
    settings = {"restarts": restarts, "objective": objective, "steps": steps, "learning_rate": learning_rate}
    settings |= {"polish": polish, "batch": batch}
    in_flight, retries = check.count("in_flight", in_flight), check.count("retries", retries, least=0)
    if executor is not None and not hasattr(executor, "submit"):
        raise TypeError(f"executor must be a concurrent.futures.Executor, got {executor!r:.60}")
    if _will_fork(executor) and runtime.started():
        raise ForkedError(f"{FORKED}: {REMEDY}")
    plan = make_plan(grid, settings, keep, feature, chunk)
    from toysup.dataset import to_dataset  # xarray takes a second to import: only those who sweep wait for it

    if store is None:
        results = _empty(plan)
        put = lambda i, arrays: _fill(results, plan.start(i), arrays)
        _compute(plan, range(plan.chunks), put, None, executor, in_flight, retries, progress)
        return to_dataset(plan, results, attributes(plan, executor))
    files = _open(plan, store, overwrite)
    _compute_stored(plan, files, executor, in_flight, retries, progress)
    return to_dataset(plan, files, attributes(plan, executor))


def _compute_stored(plan: Plan, files: stores.Store, executor, in_flight, retries, progress) -> None:
    """Compute the chunks that are not there, or not sound."""
    there, complaints = stores.finished(files, plan.chunks)
    if complaints:
        more = f"; and {len(complaints) - 5} more" if len(complaints) > 5 else ""
        text = f"store {str(files.folder)!r}: {'; '.join(complaints[:5])}{more}. Computed again"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    missing = np.flatnonzero(~there).tolist()
    if missing:  # two processes on one folder start at different places, and so share the work
        turn = random.Random().randrange(len(missing))
        missing = missing[turn:] + missing[:turn]
    put = lambda i, arrays: stores.write_chunk(files, i, arrays)
    _compute(plan, missing, put, lambda i: stores.is_finished(files, i), executor, in_flight, retries, progress)


def _compute(plan: Plan, chunks, put, skip, executor, in_flight: int, retries: int, progress) -> None:
    """Hand the results of these chunks to `put`, in any order. skip: whether somebody else has done a chunk."""
    from tqdm.auto import tqdm

    sizes = {i: math.prod(map(len, plan.span(i)[1:])) for i in chunks}
    done = plan.models - sum(sizes.values())
    off = not (_watched() if progress is None else progress)
    with tqdm(total=plan.models, initial=done, unit="model", unit_scale=True, disable=off, desc="sweep") as bar:
        if executor is None:
            for i in chunks:
                if not (skip and skip(i)):
                    put(i, run_task(make_task(plan, i)))
                bar.update(sizes[i])
            return
        for i, arrays in _remote(plan, chunks, skip, executor, in_flight, retries):
            if arrays is not None:
                put(i, arrays)
            bar.update(sizes[i])


def _remote(plan: Plan, chunks, skip, executor, in_flight: int, retries: int):
    """Pairs of chunk and results, in the order in which they come; results are None for skipped chunks."""
    chunks, running, came = iter(chunks), {}, False
    try:
        while True:
            for i in itertools.islice(chunks, in_flight - len(running)):
                if skip and skip(i):
                    yield i, None
                else:
                    running[_submit(executor, make_task(plan, i))] = (i, retries)
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                i, left = running.pop(future)
                error = future.exception()
                if error is None:
                    came = True
                    yield i, future.result()
                elif isinstance(error, ForkedError):
                    raise error
                elif left and not isinstance(error, BrokenExecutor):
                    running[_submit(executor, make_task(plan, i))] = (i, left - 1)
                else:
                    cause = "" if came else _likely_cause(executor, error)
                    raise _failure(plan, i, retries, error, cause) from error
    finally:
        for future in running:
            future.cancel()


def _submit(executor, task: Task):
    try:
        return executor.submit(run_task, task)
    except BrokenExecutor as error:
        raise RuntimeError(f"the executor is broken and takes no more work: {error}") from error


def _start_method(executor) -> str:
    """How a pool of processes of the standard library starts them; empty for any other executor."""
    context = getattr(executor, "_mp_context", None)
    return context.get_start_method() if hasattr(context, "get_start_method") else ""


def _will_fork(executor) -> bool:
    """Whether a pool copies this process for its workers, and has not done so yet (`run_task` sees to the others)."""
    return _start_method(executor) == "fork" and not getattr(executor, "_processes", None)


def _likely_cause(executor, error: BaseException) -> str:
    """Why a pool broke before anything came back, in a sentence."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    spawns = _start_method(executor) in ("spawn", "forkserver")
    return f". {GUARD}" if script and spawns and isinstance(error, BrokenExecutor) else ""


def _failure(plan: Plan, chunk: int, retries: int, error: BaseException, cause: str) -> RuntimeError:
    if isinstance(error, BrokenExecutor):
        what = "was lost with the executor, which takes no more work"
    else:
        what = f"failed {retries + 1} times"
    return RuntimeError(
        f"chunk {chunk} ({make_task(plan, chunk)}) {what}; the last error: {type(error).__name__}: {error}{cause}"
    )


def _watched() -> bool:
    """Whether a person is likely to look at a progress bar."""
    return not os.environ.get("CI") and sys.stderr is not None and sys.stderr.isatty()


def _empty(plan: Plan) -> dict[str, np.ndarray]:
    """Room for all results, where there is enough."""
    need = sum(plan.models * math.prod(tail) * plan.dtype(name).itemsize for name, tail in plan.shapes.items())
    try:
        check.room(f"the results of {plan.models} models", need, host=True)
    except MemoryError as error:
        raise MemoryError(f"{error}; or give store=, a folder on disk, and read from there what you need") from None
    missing = {np.dtype(np.int32): 0}
    return {
        name: np.full((plan.models, *tail), missing.get(plan.dtype(name), np.nan), plan.dtype(name))
        for name, tail in plan.shapes.items()
    }


def _fill(results: dict[str, np.ndarray], start: int, arrays: dict[str, np.ndarray]) -> None:
    """Put the arrays of a chunk in their place; where n or m vary, what is beyond stays NaN."""
    for name, a in arrays.items():
        results[name][(slice(start, start + len(a)), *map(slice, a.shape[1:]))] = a


def _open(plan: Plan, path, overwrite: bool) -> stores.Store:
    described = {name: _described(plan.values[name], name in plan.dimensions) for name in DIMENSIONS}
    described |= {"dimensions": list(plan.dimensions), **settings_of(plan)}
    described["chunk"] = [[p.size, p.seeds] for p in plan.programs]
    return stores.open_store(path, described, versions(), overwrite)


def _described(values: np.ndarray, many: bool):
    """A dimension for the manifest: its value, or its ends and a checksum."""
    if not many:
        return values[0].item()
    sha256 = hashlib.sha256("\n".join(map(repr, values.tolist())).encode()).hexdigest()
    return {"count": len(values), "first": values[0].item(), "last": values[-1].item(), "sha256": sha256}
