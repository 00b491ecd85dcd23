"""toysup itself, through its public functions."""

from __future__ import annotations

import jax

import toysup
from benchmarks.problems import Problem


def train_sampled(problem: Problem, steps: int) -> toysup.Fit:
    """One model for each density, from drawn inputs."""
    return finished(
        toysup.train(
            problem.features, problem.m, importance=problem.importance, restarts=1, objective="sampled",
            steps=steps, batch=problem.batch, key=jax.random.key(0),
        )
    )  # fmt: skip


def train_exact(features, m: int, importance, restarts: int, steps=None, polish=None) -> toysup.Fit:
    """Models trained on their exact loss, with the package's own numbers of steps unless others are given."""
    return finished(
        toysup.train(
            features, m, importance=importance, restarts=restarts, objective="exact",
            steps=steps, polish=polish, key=jax.random.key(0),
        )
    )  # fmt: skip


def finished(fit: toysup.Fit) -> toysup.Fit:
    """The fit, once it is computed."""
    return jax.block_until_ready(fit)
