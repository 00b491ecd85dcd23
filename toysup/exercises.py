"""Checked answers for the notebooks: `check(name, answer)` says whether an answer is right.

The answers are computed, from `theory` and `geometry`, when they are first asked for. A wrong answer that comes
from a usual slip gets its own message; any other one a hint at the direction, never the answer itself.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from toysup import geometry, theory


@dataclasses.dataclass(frozen=True)
class Exercise:
    """A question's answer, and what people usually answer instead.

    name: the name under which the notebook asks for it. answer: a number, an array of numbers, a text, or
    True or False. tolerance: relative, for numbers: 0.01 takes what is right to one per cent; 0 wants it
    exactly (up to rounding). mistakes: pairs (wrong answer, message). A wrong answer is recognised with the
    same tolerance. right: what to add to "Right.", one sentence.
    """

    name: str
    answer: float | str | bool | np.ndarray
    tolerance: float = 0.01
    mistakes: tuple[tuple[float | str | bool | np.ndarray, str], ...] = ()
    right: str = ""

    def __post_init__(self):
        if not 0 <= self.tolerance < 1:
            raise ValueError(f"tolerance must lie in [0, 1), got {self.tolerance} for {self.name!r}")
        for wrong, _ in self.mistakes:
            if _kind(wrong) is not _kind(self.answer):
                raise TypeError(f"the mistake {wrong!r} of {self.name!r} is no {_kind(self.answer).__name__}")
            if _equal(wrong, self.answer, self.tolerance):
                raise ValueError(f"the mistake {wrong!r} of {self.name!r} would count as right")


def check(name: str, answer) -> str:
    """Compare an answer with the right one, and return what to tell the reader.

    name: an exercise, one of `names()`. answer: a number, an array, a text, or True or False, as the exercise
    asks.
    Returns "Right. ...", the message for a usual mistake, or "Not yet: ..." with a hint at the direction; for the
    three dots of an unanswered exercise (or None), what to do.
    Raises KeyError for an unknown name, TypeError for an answer of another kind, ValueError for a NaN.
    """
    return judge(find(name), answer)


def judge(exercise: Exercise, answer) -> str:
    """Compare an answer with that of an exercise; see `check`."""
    if answer is None or answer is Ellipsis:
        return f"Put your answer to {exercise.name} in place of the three dots, and run the cell again."
    answer = _given(exercise, answer)
    if _equal(answer, exercise.answer, exercise.tolerance):
        return f"Right. {exercise.right}".rstrip()
    for wrong, message in exercise.mistakes:
        if _equal(answer, wrong, exercise.tolerance):
            return f"Not yet: {message}"
    return f"Not yet: {_hint(answer, exercise.answer, exercise.tolerance)}"


def names() -> tuple[str, ...]:
    """The names of all exercises."""
    return tuple(exercise.name for exercise in _all())


def find(name: str) -> Exercise:
    """The exercise of that name, or an error that lists the names there are."""
    for exercise in _all():
        if exercise.name == name:
            return exercise
    raise KeyError(f"there is no exercise {name!r}; there are {', '.join(names())}")


# ------------------------------------------------------------------------------------------ comparing


def _kind(value) -> type:
    """What kind of answer a value is: bool, str, float (any number) or np.ndarray."""
    if isinstance(value, (bool, np.bool_)):
        return bool
    if isinstance(value, str):
        return str
    return np.ndarray if np.ndim(value) else float


def _given(exercise: Exercise, answer):
    """The reader's answer in the form of the right one, or an error that says which form that is."""
    wanted = _kind(exercise.answer)
    words = {bool: "True or False", str: "a text", float: "one number", np.ndarray: "an array of numbers"}
    wrong = TypeError(f"{exercise.name} asks for {words[wanted]}; got {answer!r}")
    if wanted in (bool, str):
        if _kind(answer) is not wanted:
            raise wrong
        return answer
    try:
        value = np.asarray(answer)
        if value.dtype.kind not in "iuf":
            raise wrong
    except ValueError:  # ragged lists
        raise wrong from None
    if (wanted is float) != (value.ndim == 0):
        raise wrong
    if not np.isfinite(value).all():
        raise ValueError(f"{exercise.name} asks for {words[wanted]}, finite; got {answer!r}")
    return float(value) if wanted is float else value.astype(float)


def _equal(a, b, tolerance: float) -> bool:
    """Whether answer `a` counts as `b`."""
    if _kind(b) is bool:
        return bool(a) == bool(b)
    if _kind(b) is str:
        return " ".join(a.casefold().split()) == " ".join(b.casefold().split())
    if np.shape(a) != np.shape(b):
        return False
    return bool(_close(a, b, tolerance).all())


def _close(a, b, tolerance: float):
    """Which entries of `a` are those of `b`; 1e-9 more, against rounding."""
    return np.abs(np.subtract(a, b)) <= (tolerance + 1e-9) * np.abs(b)


def _hint(answer, right, tolerance: float) -> str:
    """The direction in which to look."""
    if _kind(right) is float:
        if answer * right < 0:
            return "the sign is not right."
        return f"your number is too {'large' if answer > right else 'small'}."
    if _kind(right) is np.ndarray:
        if np.shape(answer) != np.shape(right):
            return f"the answer has the shape {np.shape(right)}, yours has {np.shape(answer)}."
        return f"{int(_close(answer, right, tolerance).sum())} of the {np.size(right)} entries are right."
    return "that is not it."


# ------------------------------------------------------------------------------------------ the exercises


@functools.cache
def _all() -> tuple[Exercise, ...]:
    return (
        _antipodal_loss(),
        _pentagon_dimensionality(),
        _misread_pairs(),
        _linear_floor(),
        _programs(),
        _smaller_scatter(),
    )


def _antipodal_loss() -> Exercise:
    """Expected loss of two features of importance 1 as an antipodal pair, W = [1, -1], b = 0, density 0.2."""
    p = 0.2
    loss = float(theory.two_in_one(p, 1.0).antipodal)
    return Exercise(
        "antipodal_loss",
        loss,
        0.015,
        (
            (
                loss / 2,
                "this is half of it. The loss is a sum over both features, neither one of them nor the mean.",
            ),
            (loss / p, "both must be active at once for an error: that has the probability p², not p."),
            (loss / p**2, "this is the error once both are active. How often are they?"),
            (
                2 * p**2 * (1 / 3) ** 2,
                "you squared the mean of min(x1, x2), which is 1/3. The loss has the mean of the square.",
            ),
            (2 * loss, "the error is the smaller of two numbers; the mean of its square is 1/6, not 1/3."),
            (p**2, "this is how often the two meet. What does a meeting cost?"),
        ),
        "Both features read min(x1, x2) too little when both are active, and only then.",
    )


def _pentagon_dimensionality() -> Exercise:
    """Feature dimensionality of each feature of a regular pentagon in two dimensions."""
    D = float(geometry.feature_dimensionality(theory.polygon(5))[0])
    return Exercise(
        "pentagon_dimensionality",
        D,
        0.005,
        (
            (1 / 5, "five features share two dimensions here, not one."),
            (1 / 2, "1/2 is the share of a feature in a digon, two features in one dimension."),
            (
                1.0,
                "1 is a feature that has a dimension to itself. Did you sum over all features?",
            ),
            (1 / D, "this is the sum over j. The dimensionality has it below the fraction line."),
            (1 / D - 1, "this is the interference from the other features. The sum over j includes j = i."),
        ),
        "Five equal shares of two dimensions.",
    )


def _misread_pairs() -> Exercise:
    """How many of the 21 pairs of features of a regular heptagon are misread when both are 1."""
    count = theory.misread_pairs(geometry.polygon(7))
    again = "nearly. Every corner has two neighbours; how many pairs of neighbours are there?"
    return Exercise(
        "misread_pairs",
        count.misread,
        0.0,
        (
            (0, "one active feature is always read correctly. Switch on two that are not neighbours."),
            (count.pairs, "not all of them. Look at two neighbours: which features read highest?"),
            (count.correct, "these are the pairs that are read correctly."),
            (count.misread / count.pairs, "this is the share. How many pairs is that?"),
            (2 * count.misread, "count each pair once: {0, 2} and {2, 0} are the same one."),
            (count.misread - 1, again),
            (count.misread + 1, "one too many. " + again.removeprefix("nearly. ")),
        ),
        "Neighbours are read correctly; between any other two lies a feature that reads higher than both.",
    )


def _linear_floor() -> Exercise:
    """The least loss of the linear model with n = 5, m = 2, density 0.3 and importance 0.8^i."""
    p, m, importance = 0.3, 2, 0.8 ** np.arange(5)
    loss = float(theory.linear_loss(p, importance, m))
    worth = importance * theory.variance(p)
    return Exercise(
        "linear_floor",
        loss,
        0.01,
        (
            (
                importance[m:].sum() * p / 3,
                "you took E[x²]. The bias can do better: what is left is the variance.",
            ),
            (
                importance[m:].sum() / 12,
                "1/12 is the variance of an active feature. Most of the time it is not active.",
            ),
            (worth[-m:].sum(), "you dropped two features. The model keeps two, and drops the others."),
            (worth[:m].sum(), "this adds up the features that are kept. They cost nothing."),
            (worth[: len(worth) - m].sum(), "you dropped the most important features. Which ones should go?"),
            (
                worth.sum(),
                "this is the loss of a model that drops all five features. Two dimensions keep two of them.",
            ),
            ((0.8 * worth[m:]).sum(), "features are numbered from 0: the third has the importance 0.8²."),
            (3 * theory.variance(p), "weight each of the three with its importance."),
            (loss / 5, "this is a mean over the five features. The loss is a sum."),
            (importance[m:].sum(), "this adds up the importances. What does a feature of importance 1 cost?"),
        ),
        "The linear model drops the three least important features, at any sparsity.",
    )


def _programs() -> Exercise:
    """How many programs are compiled for 3 values of n, 4 of m and 10 of the density."""
    n, m, density = 3, 4, 10
    return Exercise(
        "programs",
        n * m,
        0.0,
        (
            (n * m * density, "the density is traced: one program serves all its values."),
            (n + m, "every n meets every m."),
            (n + m + density, "every n meets every m, and the density is traced."),
            (1, "n and m are shapes of arrays, and a program is made for one shape."),
        ),
        "Shapes are static, the density is traced.",
    )


def _smaller_scatter() -> Exercise:
    """By which factor the scatter shrinks at density 0.001 and n = 5 if empty inputs are not drawn."""
    some = 1 - (1 - 0.001) ** 5
    return Exercise(
        "smaller_scatter",
        some**-0.5,
        0.02,
        (
            (1 / some, "so many more inputs say something. The scatter falls as the square root of their number."),
            (some**0.5, "this is the share that the scatter shrinks to. By which factor is it smaller?"),
            (0.001**-0.5, "this would be one feature. An input of five is empty only if all five are zero."),
        ),
        "Only one input in 200 has anything in it.",
    )
