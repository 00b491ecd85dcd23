"""Exercises of `13_memorisation`."""

from __future__ import annotations

from toysup.exercises.exercise import Exercise


def exercises() -> tuple[Exercise, ...]:
    """The exercises of this notebook."""
    return _heptagon(), _never_seen(), _shrunk()


def _heptagon() -> Exercise:
    """Dimensionality of each of seven samples that form a regular heptagon."""
    return Exercise(
        "heptagon_of_samples",
        2 / 7,
        0.01,
        (
            (1 / 7, "this would be seven samples in one dimension. There are two."),
            (7 / 2, "this is the sum in the denominator for unit vectors, or samples per dimension: turn it over."),
            (2 / 5, "this is the pentagon."),
        ),
        "A regular polygon shares its two dimensions evenly.",
    )


def _never_seen() -> Exercise:
    """How many of 200 features of density 0.03 are active in none of 64 samples, on average."""
    missed = 0.97**64
    return Exercise(
        "features_never_seen",
        200 * missed,
        0.01,
        (
            (missed, "this is the probability for one feature. There are 200."),
            (200 * (1 - missed), "these are the features that are seen at least once."),
            (200 * 0.03 * 64, "this counts how often features are active in all the samples together."),
            (200 * 0.97, "this is for a single sample."),
        ),
        "Each sample is a new chance to be seen, so the probabilities of being missed multiply.",
    )


def _shrunk() -> Exercise:
    """Median of length after over length before training, of the columns that no sample reaches; no weight decay."""
    return Exercise(
        "shrunk_unseen_columns",
        0.215,
        0.02,
        (
            (1.0, "this would be right if the loss did not see them. Through Wᵀ they make outputs."),
            (0.1745, "this is with the usual weight decay of 0.025. Switch it off."),
            (0.0143, "this is with a weight decay of 0.3. Switch it off."),
            (4.89, "these are the columns whose features are seen."),
            (0.785, "this is how much is lost. What is left?"),
            (1 / 0.215, "turn it over: after divided by before."),
        ),
        "What no sample shows is pushed out of the way: the matrix that writes also reads.",
    )
