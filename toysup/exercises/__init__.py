"""Checked answers for the notebooks: `check(name, answer)` says whether an answer is right.

The answers are computed when they are first asked for, in one module for each notebook: its function `exercises`
returns them. A wrong answer that comes from a usual slip gets its own message; any other one a hint at the
direction, never the answer itself.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from toysup.exercises.exercise import Exercise, judge


def check(name: str, answer) -> str:
    """Compare an answer with the right one, and return what to tell the reader.

    name: an exercise, one of `names()`. answer: a number, an array, a text, or True or False, as the exercise
    asks.
    Returns "Right. ...", the message for a usual mistake, or "Not yet: ..." with a hint at the direction; for the
    three dots of an unanswered exercise (or None), what to do.
    Raises KeyError for an unknown name, TypeError for an answer of another kind, ValueError for a NaN.
    """
    return judge(find(name), answer)


def names() -> tuple[str, ...]:
    """The names of all exercises."""
    return tuple(exercise.name for exercise in _all())


def find(name: str) -> Exercise:
    """The exercise of that name, or an error that lists the names there are."""
    for exercise in _all():
        if exercise.name == name:
            return exercise
    raise KeyError(f"there is no exercise {name!r}; there are {', '.join(names())}")


@functools.cache
def _all() -> tuple[Exercise, ...]:
    """The exercises of every module of this folder that has some, in the order of the modules' names."""
    found = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return tuple(exercise for module in found if hasattr(module, "exercises") for exercise in module.exercises())


__all__ = ["Exercise", "check", "find", "judge", "names"]
