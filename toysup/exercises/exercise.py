"""One exercise: its answer, the usual slips, and what to tell the reader about an answer."""

from __future__ import annotations

import dataclasses

import numpy as np


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


def judge(exercise: Exercise, answer) -> str:
    """Compare an answer with that of an exercise; see `toysup.exercises.check`."""
    if answer is None or answer is Ellipsis:
        return f"Put your answer to {exercise.name} in place of the three dots, and run the cell again."
    answer = _given(exercise, answer)
    if _equal(answer, exercise.answer, exercise.tolerance):
        return f"Right. {exercise.right}".rstrip()
    for wrong, message in exercise.mistakes:
        if _equal(answer, wrong, exercise.tolerance):
            return f"Not yet: {message}"
    return f"Not yet: {_hint(answer, exercise.answer, exercise.tolerance)}"


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
