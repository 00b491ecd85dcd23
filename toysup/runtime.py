"""How the package uses the machine: every CPU core as a JAX device, compiled programs kept on disk.

Nothing is changed that the user has set, or can no longer be changed because JAX is already running.
"""

from __future__ import annotations

import math
import os
import pathlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import platformdirs
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def configure() -> None:
    """Settings for a process in which JAX has not started yet; called once when `toysup` is imported."""
    _use_all_cores()
    _keep_compiled_programs()


def _use_all_cores() -> None:
    by_hand = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if by_hand or jax.config.jax_num_cpu_devices != -1:
        return
    try:
        jax.config.update("jax_num_cpu_devices", cores())
    except RuntimeError:  # JAX has started: its devices stay as they are
        pass


def _keep_compiled_programs() -> None:
    if jax.config.jax_compilation_cache_dir is not None or not jax.config.jax_enable_compilation_cache:
        return
    folder = pathlib.Path(platformdirs.user_cache_dir("toysup", appauthor=False)) / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home: compile anew each time
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cores() -> int:
    """The CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else os.cpu_count() or 1)


def over_models(problem, count: int, *arrays, **static):
    """Do the same with many models: spread over the devices, some at a time on each.

    problem(*arrays, **static) -> (function, models, shared, chunk), traced and never run by itself:
    function(model, shared) is what happens to one model. models: pytree with `count` models as leading axis.
    shared: pytree that every model sees whole. chunk: models at a time on a device, so that they fit its cache.
    arrays: pytrees; moving their values compiles nothing. static: hashable, what a program is compiled for.
    Returns what `function` returns, with the models as leading axis, on one device. Under a JAX transformation
    everything stays on one device.
    """
    devices = tuple(jax.local_devices()[:count])
    static = tuple(sorted(static.items()))
    if len(devices) == 1 or any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(arrays)):
        return _alone(problem, count, static, *arrays)
    # Shares are joined by the host. Devices that exchange them would wait for each other, and those of a CPU do so in
    # the threads that they compute with: programs that queue up in front of the last one lock up for good.
    mesh = Mesh(np.array(devices), ("model",))
    arrays = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))
    join = lambda a: jnp.asarray(np.asarray(a)[:count])
    return jax.tree.map(join, _spread(problem, mesh, count, static, *arrays))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _alone(problem, count, static, *arrays):
    run, models, shared = _program(problem, 1, count, static, arrays)
    return jax.tree.map(lambda a: a[:count], run(models, shared))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _spread(problem, mesh, count, static, *arrays):
    run, models, shared = _program(problem, mesh.size, count, static, arrays)
    split = PartitionSpec("model")
    run = jax.shard_map(run, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=False)
    return run(models, shared)


def _program(problem, devices, count, static, arrays):
    """What each device does with its share, and the models, repeated so that all rounds of all devices are full."""
    function, models, shared, chunk = problem(*arrays, **dict(static))
    rounds = math.ceil(count / (devices * chunk))
    chunk = math.ceil(count / (devices * rounds))
    padded = jax.tree.map(partial(_pad, to=devices * rounds * chunk), models)
    return lambda some, common: jax.lax.map(lambda a: function(a, common), some, batch_size=chunk), padded, shared


def _pad(a, to: int):
    """Repeat the last model until there are `to` of them."""
    return a[np.minimum(np.arange(to), a.shape[0] - 1)] if to != a.shape[0] else a
