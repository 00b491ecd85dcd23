"""A plain Python loop over models in JAX: one jitted step, called for every step of every model."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import optax

from benchmarks.problems import Problem

OPTIMISER = optax.adamw(1e-3, weight_decay=0.01)


def loss(parameters, x, importance):
    """The mean over the batch of the importance-weighted squared error, a sum over features; x (batch, n)."""
    W, b = parameters
    out = jax.nn.relu(x @ W.T @ W + b)
    return jnp.mean((x - out) ** 2, axis=0) @ importance


@partial(jax.jit, static_argnames="batch")
def step(parameters, state, key, density, importance, batch):
    """One step of AdamW on a fresh draw."""
    key, active, value = jax.random.split(key, 3)
    shape = (batch, importance.shape[0])
    x = jnp.where(jax.random.uniform(active, shape) < density, jax.random.uniform(value, shape), 0.0)
    updates, state = OPTIMISER.update(jax.grad(loss)(parameters, x, importance), state, parameters)
    return optax.apply_updates(parameters, updates), state, key


def run(problem: Problem, steps: int):
    """Train every model of the problem, one after the other; returns their parameters."""
    importance = jnp.asarray(problem.importance, jnp.float32)
    trained = []
    for k, density in enumerate(problem.density.astype("float32")):
        start, key = jax.random.split(jax.random.key(k))
        spread = (2 / (problem.n + problem.m)) ** 0.5
        parameters = (spread * jax.random.normal(start, (problem.m, problem.n)), jnp.zeros(problem.n))
        state = OPTIMISER.init(parameters)
        for _ in range(steps):
            parameters, state, key = step(parameters, state, key, density, importance, problem.batch)
        trained.append(jax.block_until_ready(parameters))
    return trained
