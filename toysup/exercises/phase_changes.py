"""Exercises of `05_phase_changes`."""

from __future__ import annotations

import math

from toysup import theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _sharing_density(), _confused_loss(), _last_valley()


def _sharing_density() -> Exercise:
    """Below which density two features in one dimension share it, at the relative importance 1/2 and unit lengths."""
    r = 0.5
    return Exercise(
        "sharing_density",
        4 * r / (2 + 5 * r),
        0.01,
        (
            (float(theory.two_in_one_boundary(r)), "you took 1/2 for the density; it is the relative importance."),
            (theory.TRIPLE_POINT[1], "this is the density of the triple point, where r is 1."),
            (r, "this is r. Which density belongs to it?"),
            (4 * r / (2 - 5 * r), "a sign went wrong when the terms with p came to one side."),
            (1 - 4 * r / (2 + 5 * r), "this is the sparsity; the question is about the density."),
        ),
        "Below it, features meet so rarely that both fit.",
    )


def _confused_loss() -> Exercise:
    """The loss of W = (1, 1)/√2, b = 0, for two features of density 0.7 and importance 1."""
    p = 0.7
    V = float(theory.variance(p))
    return Exercise(
        "confused_loss",
        V,
        0.01,
        (
            (V / 2, "this is one feature's part; the loss adds both."),
            (2 * V, "each error is half of the difference. Square the half as well."),
            (4 * V, "these are the squares of x1 - x2 itself; each error is half of it."),
            (p / 3, "you dropped the product of the two features: its mean is not 0."),
            (p / 6, "this is one feature's part, and the product of the two features is missing."),
            (float(2 * V - p**2 / 4), "the mean square of a difference of two equal features has no mean in it."),
        ),
        "Exactly what a single feature costs, with the other at its best bias.",
    )


def _last_valley() -> Exercise:
    """The least c at which c (1 - w²)²/3 + w²/3 - w³/6 has a valley at some w > 0."""
    w = (4 - math.sqrt(7)) / 3
    c = (4 - 3 * w) / (8 * (1 - w**2))
    return Exercise(
        "last_valley",
        c,
        0.002,
        (
            (theory.sparse_limit().slope, "here both valleys are equally deep. The second one exists a little before."),
            (0.5, "here the valley at w = 0 ends, as far as this formula goes. Follow the other one."),
            (w, "this is the length of the arrow there. Which c belongs to it?"),
            (theory.sparse_limit().norm, "this is the length where both valleys are equally deep."),
        ),
        "Between this c and the border the pair is a valley, but not the deepest.",
    )
