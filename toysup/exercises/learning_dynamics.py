"""Exercises of `09_learning_dynamics`."""

from __future__ import annotations

import math

import numpy as np

from toysup import saddles
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _half_learned(), _saddle_index(), _longer_pause()


def _half_learned() -> Exercise:
    """When a mode of the linear model of variance 0.02 that starts at 1e-6 reaches a half."""
    variance, start = 0.02, 1e-6
    time = math.log(1 / start - 1) / (8 * variance)
    return Exercise(
        "half_learned",
        time,
        0.01,
        (
            (2 * time, "the strength is the square of a length: it grows with 8 V, not with 4 V."),
            (8 * time, "the rate is 8 V. Did you leave out the 8?"),
            (time / 2, "take the logarithm of 1/a(0), not of its root."),
            (math.log10(1 / start) / (8 * variance), "the logarithm is the natural one."),
        ),
        "A start a thousand times smaller only adds half as much again.",
    )


def _saddle_index() -> Exercise:
    """The index of a stationary point of the linear model: six variances, three dimensions, first and third kept."""
    return Exercise(
        "saddle_index",
        saddles.linear_index(np.arange(6.0, 0, -1), (0, 2), 3),
        0.0,
        (
            (1, "this is the turn of a kept component. One hidden dimension is not used yet: what can it take up?"),
            (4, "this is what the unused dimension can take up. Can a kept component be turned to a better one?"),
            (2, "the unused dimension can take up any dropped component, not only the best."),
            (8, "a turn towards a component of smaller variance leads up."),
        ),
        "Only the set of the top m components has the index 0.",
    )


def _longer_pause() -> Exercise:
    """Steps by which the pause of two correlated triples at density 0.2 grows with a tenfold smaller start."""
    p, rate = 0.2, 0.5
    inside = p / 12
    mean = inside + 3 * (p - p * p) / 4
    time = 1 / (4 * inside) - 1 / (4 * mean)
    steps = math.log(10) * time / rate
    return Exercise(
        "longer_pause",
        steps,
        0.01,
        (
            (time, "this is the time for a factor of e. Ten times smaller, and in steps?"),
            (math.log(10) * time, "this is a time. How many steps of rate 0.5 is it?"),
            (time / rate, "these are the steps for a factor of e, not of ten."),
            (math.log(10) / (4 * inside) / rate, "the first two singular values come later, too."),
        ),
        "Twice the density halves the pause, nearly.",
    )
