"""What a picture is made of: five marks, as plain numbers.

A `Plot` is a title and one mark. The browser (`panel.js`) and matplotlib (`plots.py`) draw from the same marks, so a
panel and its printed copy cannot disagree. Axis limits that are not given are chosen here, rounded to calm values;
give them where a picture moves, so that it does not jump.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

Labels = Sequence[str]


@dataclasses.dataclass(frozen=True, eq=False)
class Arrows:
    """Feature directions in two dimensions: a line from the origin to each column of W.

    W: (2, n). labels: n strings (default "0" ... "n-1", the columns of W). weights: (n,) in [0, 1], drawn as
    strength (default 1). groups: (n,) integers: one colour and one shape per group (default: one colour per feature).
    group_labels: a name per group. limit: half width of the axes. circle: whether to draw the unit circle.
    hidden: (2, k) further points of the plane, drawn as diamonds with hidden_labels.
    Raises ValueError where a shape or value does not fit.
    """

    W: np.ndarray
    _: dataclasses.KW_ONLY
    labels: Labels | None = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    group_labels: Labels | None = None
    limit: float | None = None
    circle: bool = True
    hidden: np.ndarray | None = None
    hidden_labels: Labels | None = None

    def __post_init__(self):
        W = _numbers("Arrows", "W", self.W, 2)
        if W.shape[0] != 2:
            raise ValueError(f"Arrows: W must have shape (2, n), one column per feature; got {W.shape}")
        n = W.shape[1]
        hidden = np.zeros((2, 0)) if self.hidden is None else np.asarray(self.hidden, float).reshape(2, -1)
        hidden = _numbers("Arrows", "hidden", hidden, 2)
        weights = _vector("Arrows", "weights", np.ones(n) if self.weights is None else self.weights, n)
        if n and (weights.min() < 0 or weights.max() > 1):
            raise ValueError(f"Arrows: weights must lie in [0, 1], got {weights.min():g} to {weights.max():g}")
        reach = max([1.0, *np.hypot(*W), *np.hypot(*hidden)])
        _set(
            self,
            W=W,
            hidden=hidden,
            weights=weights,
            limit=_positive("Arrows", "limit", self.limit, calm(1.22 * reach)),
        )
        _set(self, labels=_labels("Arrows", "labels", self.labels, n))
        _set(
            self,
            hidden_labels=_labels(
                "Arrows", "hidden_labels", self.hidden_labels, hidden.shape[1], [""] * hidden.shape[1]
            ),
        )
        _set_groups(self, n)


@dataclasses.dataclass(frozen=True, eq=False)
class Heat:
    """A matrix in colours that diverge from 0: orange above, blue below. Small ones are written out in numbers.

    matrix: (rows, columns), row 0 at the top. limit: the value of full colour, for both signs (default: the largest
    absolute value, rounded up). digits: decimals of the written numbers. row_labels, column_labels: strings
    (default: the indices). x, y: names of the axes.
    """

    matrix: np.ndarray
    _: dataclasses.KW_ONLY
    limit: float | None = None
    digits: int = 2
    row_labels: Labels | None = None
    column_labels: Labels | None = None
    x: str = ""
    y: str = ""

    def __post_init__(self):
        matrix = _numbers("Heat", "matrix", self.matrix, 2)
        largest = float(np.abs(matrix).max()) if matrix.size else 0.0
        _set(self, matrix=matrix, limit=_positive("Heat", "limit", self.limit, calm(largest)))
        _set(self, row_labels=_labels("Heat", "row_labels", self.row_labels, matrix.shape[0]))
        _set(self, column_labels=_labels("Heat", "column_labels", self.column_labels, matrix.shape[1]))


@dataclasses.dataclass(frozen=True, eq=False)
class Bars:
    """One bar per value, from 0.

    values: (n,). labels: n strings (default: the indices). limits: (low, high) of the axis, 0 between them.
    digits: decimals of the numbers written at the bars. reference: a dashed line at this height, named
    reference_label. groups: (n,) integers, one colour per group (default: one colour per bar up to 8 bars, as in
    `Arrows`, one colour for all beyond). x, y: names of the axes.
    """

    values: np.ndarray
    _: dataclasses.KW_ONLY
    labels: Labels | None = None
    limits: tuple[float, float] | None = None
    digits: int = 2
    reference: float | None = None
    reference_label: str = ""
    groups: np.ndarray | None = None
    group_labels: Labels | None = None
    x: str = ""
    y: str = ""

    def __post_init__(self):
        values = _numbers("Bars", "values", self.values, 1)
        if self.reference is not None:
            _set(self, reference=float(_numbers("Bars", "reference", self.reference, 0)))
        low, high = _span([0.0, *values, *([] if self.reference is None else [self.reference])])
        auto = (-calm(1.08 * -low) if low < 0 else 0.0, calm(1.08 * high) if high > 0 or low == 0 else 0.0)
        _set(self, values=values, labels=_labels("Bars", "labels", self.labels, len(values)))
        _set(self, limits=_limits("Bars", "limits", self.limits, auto))
        if not self.limits[0] <= 0 <= self.limits[1]:
            raise ValueError(f"Bars: limits must enclose 0, where bars begin; got {self.limits}")
        _set_groups(self, len(values))


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Several curves over one x.

    x: (k,), increasing. ys: (curves, k) or (k,); NaN leaves a gap. labels: a string per curve. marker: a vertical line
    at this x, with a dot on each curve. log_x, log_y: logarithmic axes. limits_x, limits_y: (low, high).
    x_label, y_label: names of the axes. dots: whether to draw the points too.
    """

    x: np.ndarray
    ys: np.ndarray
    _: dataclasses.KW_ONLY
    labels: Labels | None = None
    marker: float | None = None
    log_x: bool = False
    log_y: bool = False
    limits_x: tuple[float, float] | None = None
    limits_y: tuple[float, float] | None = None
    x_label: str = ""
    y_label: str = ""
    dots: bool = False

    def __post_init__(self):
        x = _numbers("Curves", "x", self.x, 1)
        ys = _numbers("Curves", "ys", np.atleast_2d(np.asarray(self.ys, float)), 2, gaps=True)
        if ys.shape[1] != len(x) or len(x) < 2:
            raise ValueError(
                f"Curves: ys must have shape (curves, {len(x)}) as x has {len(x)} values, at least 2; got {ys.shape}"
            )
        if np.any(np.diff(x) <= 0):
            raise ValueError("Curves: x must increase from each value to the next")
        if self.marker is not None:
            _set(self, marker=float(_numbers("Curves", "marker", self.marker, 0)))
        _set(self, x=x, ys=ys, labels=_labels("Curves", "labels", self.labels, len(ys), [""] * len(ys)))
        _set(self, limits_x=_axis("Curves", "limits_x", self.limits_x, x, self.log_x, exact=True))
        _set(self, limits_y=_axis("Curves", "limits_y", self.limits_y, ys, self.log_y))


@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """A scatter of points.

    x, y: (k,). groups: (k,) integers; each group has its colour and its shape. group_labels: a name per group.
    highlight: index of one point to ring. log_x, log_y, limits_x, limits_y, x_label, y_label: as in `Curves`.
    equal: whether one unit has the same length on both axes.
    """

    x: np.ndarray
    y: np.ndarray
    _: dataclasses.KW_ONLY
    groups: np.ndarray | None = None
    group_labels: Labels | None = None
    highlight: int | None = None
    log_x: bool = False
    log_y: bool = False
    limits_x: tuple[float, float] | None = None
    limits_y: tuple[float, float] | None = None
    x_label: str = ""
    y_label: str = ""
    equal: bool = False

    def __post_init__(self):
        x = _numbers("Points", "x", self.x, 1)
        y = _vector("Points", "y", self.y, len(x))
        if self.highlight is not None and not 0 <= self.highlight < len(x):
            raise ValueError(f"Points: highlight must be the index of one of {len(x)} points, got {self.highlight}")
        if self.equal and (self.log_x or self.log_y):
            raise ValueError("Points: equal=True needs linear axes")
        _set(self, x=x, y=y)
        _set(self, limits_x=_axis("Points", "limits_x", self.limits_x, x, self.log_x))
        _set(self, limits_y=_axis("Points", "limits_y", self.limits_y, y, self.log_y))
        _set_groups(self, len(x))


MARKS = (Arrows, Heat, Bars, Curves, Points)
Mark = Arrows | Heat | Bars | Curves | Points


@dataclasses.dataclass(frozen=True, eq=False)
class Plot:
    """One picture: a title above one mark."""

    title: str
    mark: Mark

    def __post_init__(self):
        if not isinstance(self.title, str):
            raise TypeError(f"Plot: title must be a string, got {type(self.title).__name__}")
        if not isinstance(self.mark, MARKS):
            names = ", ".join(m.__name__ for m in MARKS)
            raise TypeError(f"Plot: mark must be one of {names}; got {type(self.mark).__name__}")


def pack(plots: Sequence[Plot]) -> tuple[list[dict], bytes]:
    """Split plots into structure and numbers.

    Returns one small dictionary per plot, fit for JSON, and all arrays as float32 bytes, one after the other; in a
    dictionary an array is `{"at": first number, "shape": shape}`.
    """
    arrays: list[np.ndarray] = []
    used = 0

    def place(value):
        nonlocal used
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(value.astype("<f4").ravel())
        used += value.size
        return {"at": used - value.size, "shape": list(value.shape)}

    structure = []
    for plot in plots:
        fields = {f.name: place(getattr(plot.mark, f.name)) for f in dataclasses.fields(plot.mark)}
        structure.append({"title": plot.title, "kind": type(plot.mark).__name__.lower(), **fields})
    return structure, b"".join(a.tobytes() for a in arrays)


def calm(value: float) -> float:
    """The smallest of 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten that is at least `value`; 1 for 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return float(f"{next((s for s in steps if s * power >= value * (1 - 1e-9)), 10) * power:.12g}")


def _set(mark, **fields):
    for name, value in fields.items():
        object.__setattr__(mark, name, value)


def _numbers(mark, name, value, dimensions, gaps=False):
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{mark}: {name} must be numbers, got {value!r}") from None
    if array.ndim != dimensions:
        what = ("a number", "a vector", "a matrix")[dimensions]
        raise ValueError(f"{mark}: {name} must be {what}, got an array of shape {array.shape}")
    if np.isinf(array).any() or (not gaps and np.isnan(array).any()):
        bad = array[~np.isfinite(array)].flat[0]
        raise ValueError(f"{mark}: {name} must be finite, got {bad}")
    array.setflags(write=False)
    return array


def _vector(mark, name, value, n):
    array = _numbers(mark, name, value, 1)
    if len(array) != n:
        raise ValueError(f"{mark}: {name} must have {n} values, got {len(array)}")
    return array


def _labels(mark, name, labels, n, default=None):
    labels = (default or [str(i) for i in range(n)]) if labels is None else labels
    if isinstance(labels, str) or len(labels) != n:
        raise ValueError(f"{mark}: {name} must be {n} strings, got {labels!r}")
    return tuple(str(label) for label in labels)


def _positive(mark, name, value, auto):
    value = auto if value is None else float(value)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{mark}: {name} must be positive, got {value}")
    return value


def _limits(mark, name, limits, auto):
    low, high = (float(v) for v in (auto if limits is None else limits))
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{mark}: {name} must be (low, high) with low < high, got {limits}")
    return low, high


def _span(values):
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def _axis(mark, name, limits, values, log, exact=False):
    """Limits of an axis; around all values, with a little air unless `exact`."""
    finite = values[np.isfinite(values)]
    if log and finite.size and finite.min() <= 0:
        raise ValueError(f"{mark}: a logarithmic axis needs positive values, got {finite.min():g}; see {name}")
    low, high = _span(values)
    if log:
        low, high = (low, high) if finite.size else (0.1, 1.0)
        air = 1.0 if exact and high > low else max((high / low) ** 0.05, 1.1)
        low, high = _limits(mark, name, limits, (low / air, high * air))
        if low <= 0:
            raise ValueError(f"{mark}: {name} of a logarithmic axis must be positive, got {limits}")
        return low, high
    air = 0.0 if exact and high > low else 0.05 * (high - low) or 0.5
    return _limits(mark, name, limits, (low - air, high + air))


def _set_groups(mark, n):
    """Check groups and their names; the number of groups is the largest label plus one."""
    kind = type(mark).__name__
    if mark.groups is None:
        if mark.group_labels is not None:
            raise ValueError(f"{kind}: group_labels need groups")
        return
    groups = _vector(kind, "groups", mark.groups, n)
    if n and (groups.min() < 0 or np.any(groups != np.round(groups))):
        raise ValueError(f"{kind}: groups must be integers from 0, got {groups.tolist()}")
    many = int(groups.max()) + 1 if n else 0
    if mark.group_labels is not None and len(mark.group_labels) > many:
        many = len(mark.group_labels)
    _set(mark, groups=groups, group_labels=_labels(kind, "group_labels", mark.group_labels, many, [""] * many))
