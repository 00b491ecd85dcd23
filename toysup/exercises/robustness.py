"""Exercises of `12_robustness`."""

from __future__ import annotations

import math

from toysup import theory
from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _heptagon_harm(), _moat(), _axes_or_mean()


def _heptagon_harm() -> Exercise:
    """Worst harm, in squared budgets, of seven unit arrows in the plane with a linear readout."""
    n, m = 7, 2
    return Exercise(
        "heptagon_harm",
        (n / m) ** 2,
        0.004,
        (
            (n / m, "this is the stretch of a perturbation. Harm is a squared error."),
            (float(n**2), "the arrows lie in two dimensions: WᵀW is n/m times a projection."),
            (1.0, "this is a model without superposition."),
        ),
        "WᵀW stretches what it sees by n/m, and harm is a square.",
    )


def _moat() -> Exercise:
    """The smallest budget that turns an output of a pentagon on, from the empty input."""
    square, b = 1.25, -0.25
    return Exercise(
        "moat",
        -b / (square * math.sqrt(5 / 2)),
        0.004,
        (
            (-b / square, "this is a perturbation of feature i alone. The other four can help."),
            (-b / (square * 5 / 2), "WᵀW stretches by 5/2, but one output is only one entry of the result."),
            (-b, "the output moves by more than the length of the perturbation."),
            (-b / (math.sqrt(square) * math.sqrt(5 / 2)), "an arrow is used twice, to write and to read."),
        ),
        "The attack lies along the row (WᵀW)_i, whose length is |W_i|²√(5/2).",
    )


def _axes_or_mean() -> Exercise:
    """The budget at which five bare axes are worth as much as the mean answer, 20 features of density 0.1."""
    variance = float(theory.variance(0.1))
    return Exercise(
        "axes_or_mean",
        math.sqrt(5 * variance),
        0.004,
        (
            (5 * variance, "this is the squared budget."),
            (math.sqrt(variance), "the axes keep five features, and each saves V."),
            (math.sqrt(5 * 0.1 / 3), "the mean answer costs the variance, not E[x²]."),
            (math.sqrt(15 * variance), "both pay for the 15 features that the axes drop."),
            (math.sqrt(20 * variance), "the axes are not free of loss: they drop 15 features."),
        ),
        "The axes save 5 V and lose ε² under attack.",
    )
