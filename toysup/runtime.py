"""How the package uses the machine: every CPU core as a JAX device, compiled programs kept on disk.

Importing the package changes nothing; `configure` does, and leaves alone what the user has set.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toysup import programs

SHARE_OF_A_MODEL = 2**26  # bytes of an accelerator's memory for each model that a CPU core takes at a time

_asked, _forked = False, False


def configure() -> tuple[str, ...]:
    """Let this process use the machine: every CPU core a JAX device, compiled programs kept on disk.

    Call it once, before anything starts JAX (an array, a key, `jax.devices()`); a second call changes nothing. Whatever
    the user has set stays: a number of devices, a folder for compiled programs, or none.
    Returns what could not be done, a sentence each; nothing where all is done. It prints nothing and never raises.
    """
    global _asked
    _asked = True
    return tuple(filter(None, (_use_all_cores(), programs.keep())))


def devices_wanted() -> int:
    """How many CPU devices this process should have: as many as the user asked for, or one for each core."""
    asked = jax.config.jax_num_cpu_devices
    return cores() if asked == -1 else asked


def configured() -> bool:
    """Whether `configure` was called in this process: the workers of a sweep then call it too."""
    return _asked


def started() -> bool:
    """Whether JAX has started its devices in this process; its number of devices is fixed from then on."""
    # No public function tells without starting them, and JAX's own takes a lock, which after a fork may be held.
    return bool(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None))


def forked() -> bool:
    """Whether this process is a copy of one in which JAX had started: its threads are not here, so JAX would hang."""
    return _forked


def _remember_the_fork() -> None:
    global _forked
    _forked = _forked or started()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_remember_the_fork)


def _use_all_cores() -> str:
    by_hand = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if by_hand or jax.config.jax_num_cpu_devices != -1:
        return ""
    try:
        jax.config.update("jax_num_cpu_devices", cores())
    except RuntimeError:  # JAX has started: its devices stay as they are
        count = len(jax.local_devices())
        if jax.default_backend() != "cpu" or count >= cores():
            return ""
        return (
            f"JAX had started before with {count} device{'s' * (count > 1)}, so not all {cores()} cores train models: "
            "call toysup.configure() (or import toysup.notebook) before anything else uses JAX."
        )
    return ""


def cores() -> int:
    """The CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, len(affinity(0)) if affinity else os.cpu_count() or 1)


def over_models(problem, count: int, *arrays, **static):
    """Do the same with many models: spread over the devices, some at a time on each.

    problem(*arrays, **static) -> (function, models, shared, chunk), traced and never run by itself:
    function(model, shared) is what happens to one model. models: pytree with `count` models as leading axis.
    shared: pytree that every model sees whole. chunk: models at a time on a CPU core, so that they fit its cache; an
    accelerator takes as many more as its memory is larger, and multiplies in full precision.
    arrays: pytrees; moving their values compiles nothing. static: hashable, what a program is compiled for.
    Returns what `function` returns, with the models as leading axis, on one device. Under a JAX transformation
    everything stays on one device.
    """
    devices = tuple(jax.local_devices()[:count])
    static = tuple(sorted(static.items()))
    if len(devices) == 1 or any(isinstance(a, jax.core.Tracer) for a in jax.tree.leaves(arrays)):
        with _precisely():
            return _alone(problem, count, static, *arrays)
    # Shares are joined by the host. Devices that exchange them would wait for each other, and those of a CPU do so in
    # the threads that they compute with: programs that queue up in front of the last one lock up for good.
    mesh = Mesh(np.array(devices), ("model",))
    arrays = jax.device_put(arrays, NamedSharding(mesh, PartitionSpec()))
    join = lambda a: jnp.asarray(np.asarray(a)[:count])
    with _precisely():
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
    chunk = at_once(chunk)
    rounds = math.ceil(count / (devices * chunk))
    chunk = math.ceil(count / (devices * rounds))
    padded = jax.tree.map(partial(_pad, to=devices * rounds * chunk), models)
    return lambda some, common: jax.lax.map(lambda a: function(a, common), some, batch_size=chunk), padded, shared


def accelerator():
    """The device that computes, where that is no CPU; None where it is, or where JAX has not started yet."""
    device = jax.local_devices()[0] if started() else None
    return None if device is None or device.platform == "cpu" else device


def memory() -> float:
    """Bytes that arrays can still take where they are computed; 0 where the system does not tell."""
    device = accelerator()
    if device is not None:
        told = device.memory_stats() or {}
        return max(0.0, float(told.get("bytes_limit", 0) - told.get("bytes_in_use", 0)))
    return memory_of_machine()


def memory_of_machine() -> float:
    """Bytes of main memory, 0 where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return 0.0


def at_once(chunk: int) -> int:
    """How many models a device takes at a time, where a CPU core takes `chunk`."""
    device = accelerator()
    if device is None:
        return chunk
    return chunk * max(1, int((device.memory_stats() or {}).get("bytes_limit", 2**32) // SHARE_OF_A_MODEL))


def _precisely():
    """Accelerators round the factors of a product to 10 or 8 bits, unless told not to: losses would be off by 1e-3."""
    return contextlib.nullcontext() if accelerator() is None else jax.default_matmul_precision("highest")


def _pad(a, to: int):
    """Repeat the last model until there are `to` of them."""
    return a[np.minimum(np.arange(to), a.shape[0] - 1)] if to != a.shape[0] else a
