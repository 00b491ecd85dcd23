"""The arithmetic limit: how many model-steps per second the machine could do if it did nothing but multiply."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import clock
from benchmarks.problems import Problem

SIZE = 2048


def flops(problem: Problem) -> int:
    """Floating-point operations of the matrix products of one step of one model.

    With inputs x (n, batch): Wx and Wᵀh forward; W d, h dᵀ and (W d) xᵀ backward. Five products of 2 n m batch.
    Drawing, ReLU, squares and the optimiser are not counted.
    """
    return 5 * 2 * problem.n * problem.m * problem.batch


def multipliers(size: int = SIZE) -> dict:
    """Square sgemm by every library at hand, on all cores: name -> a call that takes one product."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((2, size, size), dtype=np.float32)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        a, b = jnp.asarray(A), jnp.asarray(B)
    product = jax.jit(jnp.matmul)
    calls = {"NumPy": lambda: A @ B, "JAX": lambda: jax.block_until_ready(product(a, b))}
    try:
        import torch
    except ImportError:
        return calls
    s, t = torch.from_numpy(A), torch.from_numpy(B)
    return calls | {"PyTorch": lambda: torch.mm(s, t)}


def sgemm_rates(size: int = SIZE, rounds: int = 5) -> dict[str, np.ndarray]:
    """Floating-point operations per second of each library, (rounds,)."""
    return {name: 2 * size**3 / taken for name, taken in clock.take_turns(multipliers(size), rounds).items()}
