"""What is trained: the same features, importances and sizes for every contender."""

from __future__ import annotations

import dataclasses

import numpy as np

import toysup

STEPS = 10_000  # of the published recipe
BATCH = 1024


@dataclasses.dataclass(frozen=True)
class Problem:
    """Models to train on drawn inputs. density: (models,), importance: (n,)."""

    n: int
    m: int
    density: np.ndarray
    importance: np.ndarray
    batch: int = BATCH

    @property
    def models(self) -> int:
        return len(self.density)

    @property
    def features(self) -> toysup.Features:
        return toysup.independent(self.density[:, None], self.n)


def sampled(n: int, m: int, models: int, batch: int = BATCH) -> Problem:
    """The paper's sweep: densities from 1 to 1/20; importances fall as 0.9^i, or to 1/100 where features are many."""
    importance = 0.9 ** np.arange(n) if n < 20 else 100.0 ** -np.linspace(0, 1, n)
    return Problem(n, m, 20.0 ** -np.linspace(0, 1, models), importance, batch)


def pentagon(models: int, batch: int = BATCH) -> Problem:
    """Five equal features of density 0.05 in two dimensions."""
    return Problem(5, 2, np.full(models, 0.05), np.ones(5), batch)


def diagram(n: int, side: int):
    """The features and importances of a phase diagram: density from 1 to 0.01, one importance from 0.1 to 10."""
    density = np.logspace(0, -2, side)[:, None, None]
    importance = np.ones((1, side, n))
    importance[..., -1] = np.logspace(-1, 1, side)
    return toysup.independent(density, n), importance


def cells(models: int):
    """As many different models with n = 2: the densities of the diagram, importances drawn once."""
    density = np.logspace(0, -2, models)[:, None]
    second = 10 ** np.random.default_rng(0).uniform(-1, 1, models)
    return toysup.independent(density, 2), np.stack([np.ones(models), second], -1)
