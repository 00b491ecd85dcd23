"""How the package uses the machine: every CPU core as a JAX device, compiled programs kept on disk.

Nothing is changed that the user has set, or can no longer be changed because JAX is already running.
"""

from __future__ import annotations

import math
import os
import pathlib
from functools import partial

import jax
import numpy as np
import platformdirs
from jax.sharding import Mesh, PartitionSpec


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
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cores() -> int:
    """The CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else os.cpu_count() or 1)


def over_models(function, models, shared, *, chunk: int):
    """Apply `function(model, shared)` to many models: spread over the devices, `chunk` at a time on each.

    models: pytree whose leaves have the models as leading axis. shared: pytree that every model sees whole.
    Returns what `function` returns, with the models as leading axis.
    """
    count = jax.tree.leaves(models)[0].shape[0]
    devices = jax.local_devices()[:count]
    rounds = math.ceil(count / (len(devices) * chunk))
    chunk = math.ceil(count / (len(devices) * rounds))
    padded = jax.tree.map(partial(_pad, to=len(devices) * rounds * chunk), models)
    some = lambda part, common: jax.lax.map(lambda a: function(a, common), part, batch_size=chunk)
    if len(devices) > 1:
        mesh, split = Mesh(np.array(devices), ("model",)), PartitionSpec("model")
        some = jax.shard_map(some, mesh=mesh, in_specs=(split, PartitionSpec()), out_specs=split, check_vma=False)
    return jax.tree.map(lambda a: a[:count], some(padded, shared))


def _pad(a, to: int):
    """Repeat the last model until there are `to` of them."""
    return a[np.minimum(np.arange(to), a.shape[0] - 1)] if to != a.shape[0] else a
