"""Exercises of `01_features_as_directions`."""

from __future__ import annotations

from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _fair_share(), _third_digit(), _span_of_differences()


def _fair_share() -> Exercise:
    """The largest equal R² of 12 uncorrelated features, read linearly from 3 numbers."""
    n, m = 12, 3
    return Exercise(
        "fair_share",
        m / n,
        0.004,
        (
            (n / m, "R² is never above 1. Turn the fraction round."),
            (1 / n, "this would be one number. There are three of them."),
            (1 / m, "the sum is shared by all the features, not by the numbers."),
            (1.0, "this needs one dimension for each feature."),
            (float(m), "this is the sum of all twelve."),
        ),
        "Three dimensions, twelve equal shares.",
    )


def _third_digit() -> Exercise:
    """R² of a linear probe for the last of three packed digits: its share of the variance of the code."""
    total = 1 + 1e-2 + 1e-4
    return Exercise(
        "third_digit",
        1e-4 / total,
        0.002,
        (
            (1e-4, "compare with the whole variance of the code, not with that of the first number alone."),
            (1e-2 / total, "this is the second number."),
            (1 / total, "this is the first number."),
            (1e-2 / (1 + 1e-1 + 1e-2), "variances count, and they go with the square of the weight."),
            (0.0, "very small, but the code does move a little with the last number."),
        ),
        "The R² of the three add up to 1.",
    )


def _span_of_differences() -> Exercise:
    """Dimensions spanned by the differences of sums of one of 30, one of 5 and one of 2 vectors."""
    sizes = (30, 5, 2)
    return Exercise(
        "span_of_differences",
        sum(size - 1 for size in sizes),
        0.0,
        (
            (sum(sizes), "this counts all vectors. Differences of two vectors span one dimension."),
            (sum(size - 1 for size in sizes) + 1, "this counts the common mean too, which differences do not have."),
            (300, "this is the number of noun forms. Sums need far less."),
            (299, "this would hold if every form had a vector of its own. Here they are sums."),
            (29 * 4 * 1, "directions of properties that add up are added, not multiplied."),
        ),
        "29 + 4 + 1, for 300 noun forms.",
    )
