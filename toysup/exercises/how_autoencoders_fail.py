"""Exercises of `15_how_autoencoders_fail`."""

from __future__ import annotations

import math

from toysup import failures
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _shrunken_uniform(), _absorbed_saving(), _split_parent()


def _shrunken_uniform() -> Exercise:
    """The shrinkage of a uniform strength that loses 0.2."""
    t = 0.2
    return Exercise(
        "shrunken_uniform",
        float(failures.soft_threshold_shrinkage(t)),
        0.004,
        (
            (1 - t, "every active strength loses 0.2, however weak it is: this is no share of its own."),
            (1 - 1.5 * t, "strengths below 0.2 give 0, not a negative number: one term is missing."),
            ((1 - t) ** 3, "this is the mean square of what is left. Multiply by the true strength instead."),
        ),
        "A cut of a fifth costs nearly a third.",
    )


def _absorbed_saving() -> Exercise:
    """The share of the L1 penalty that absorption saves where parent and child are active."""
    return Exercise(
        "absorbed_saving",
        1 - 1 / math.sqrt(2),
        0.01,
        (
            (0.5, "one latent instead of two, but of which strength? The direction has length 1."),
            (1 / math.sqrt(2), "this is what is paid. Which share is saved?"),
            (2 - math.sqrt(2), "this is the saving itself. Divide it by what was paid before."),
        ),
        "Both answers rebuild the input exactly, so the penalty alone decides.",
    )


def _split_parent() -> Exercise:
    """The best F1 for a parent of one of its four children."""
    return Exercise(
        "split_parent",
        0.4,
        0.01,
        (
            (0.25, "this is the recall. The precision is 1; combine the two."),
            (0.625, "F1 is the harmonic mean of precision and recall, not the plain one."),
            (1.0, "together they reach it. What does one reach?"),
        ),
        "Together the four have an F1 of 1: nothing is lost, but no single latent says it.",
    )
