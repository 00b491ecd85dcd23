"""Checks of what users hand in: errors for people, raised before anything is compiled.

Values are checked where they are known. Inside a user's own `jax.jit` they are not, and only shapes are checked.
"""

from __future__ import annotations

import math
import operator

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from toysup import runtime

# Sizes between which float32 holds every intermediate result of a loss and its gradient.
LEAST_DENSITY = 1e-12
LEAST_IMPORTANCE, MOST_IMPORTANCE = 1e-9, 1e9
MOST_PARAMETER = 1e6
MOST_NUMBER = 1e30


def dtype():
    """The floating type in force: float32, or float64 where the user has switched `jax_enable_x64` on."""
    return jnp.result_type(float)


def is_traced(x) -> bool:
    """Whether the value of `x` is unknown because a JAX transformation is running."""
    return isinstance(x, jax.core.Tracer)


def without_derivative(name: str, says: str):
    """A function that returns its array as it is; whoever differentiates through it gets a NotImplementedError.

    An operation of its own: JAX forgets a `custom_jvp` inside a loop when a derivative is taken twice.
    """

    def refuse(primals, tangents):
        raise NotImplementedError(says)

    same = Primitive(name)
    same.def_impl(lambda x: x)
    same.def_abstract_eval(lambda x: x)
    mlir.register_lowering(same, lambda context, x: [x])
    batching.defvectorized(same)
    ad.primitive_jvps[same] = refuse
    return lambda x: same.bind(jnp.asarray(x))


def numbers(name: str, x, most: float = MOST_NUMBER, *, of_features: bool = False):
    """`x` in float64 (NumPy where its values are known), free of NaN and infinities, no entry above `most`.

    of_features: whether the last axis are features and those before it models; errors then speak of them.
    """
    x = checked(name, x, most, of_features=of_features)
    return x if is_traced(x) else np.asarray(x, np.float64)


def checked(name: str, x, most: float = MOST_NUMBER, *, of_features: bool = False):
    """The same without a copy: `x` as an array of its own type, of JAX where it is one and where values are unknown."""
    if not is_traced(x) and any(map(is_traced, jax.tree.leaves(x))):
        x = jnp.asarray(x, dtype())  # a list that holds numbers known and unknown
    if is_traced(x):
        return x
    values = _values(name, x)
    if values.size == 0:
        raise ValueError(f"{name} is empty (shape {values.shape}): at least one number is needed")
    if not (-most <= values.min() and values.max() <= most):  # also where one of them is NaN
        _refuse(name, values.astype(np.float64), most, _first if of_features else _entry)
    return x if isinstance(x, jax.Array) else values


def _refuse(name: str, x, most: float, first) -> None:
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got {first(x, ~np.isfinite(x))}")
    raise ValueError(f"{name} must lie between -{most:g} and {most:g}, got {first(x, np.abs(x) > most)}")


def _values(name: str, x):
    """`x` as a NumPy array of numbers; text, None and complex numbers are no numbers here."""
    try:
        values = np.asarray(x)
        if values.dtype.kind not in "OSUMmc":
            return values if values.dtype.kind in "fiub" else values.astype(np.float64)
    except (TypeError, ValueError):  # lists of unequal length, values that JAX does not know yet
        pass
    raise TypeError(f"{name} must be a number or an array of numbers, got {_short(x)}") from None


def density(x):
    """A density as an array: every entry in (0, 1], and not so small that float32 takes it for 0."""
    x = numbers("density", x, of_features=True)
    if not is_traced(x) and ((x <= 0) | (x > 1)).any():
        raise ValueError(f"density must lie in (0, 1], got {_first(x, (x <= 0) | (x > 1))}")
    if not is_traced(x) and (x < LEAST_DENSITY).any():
        raise ValueError(f"density must be at least {LEAST_DENSITY:g}, got {_first(x, x < LEAST_DENSITY)}")
    return x


def importance(x, n: int):
    """Importances as an array (..., n), none negative, not all zero, the largest of order 1 within a factor 1e9."""
    x = numbers("importance", x, of_features=True)
    if x.ndim and x.shape[-1] not in (1, n):
        raise ValueError(f"importance has shape {x.shape}: its last axis must be {n}, one entry per feature")
    if not is_traced(x):
        _importance_values(x)
    return x


def _importance_values(x) -> None:
    if (x < 0).any():
        raise ValueError(f"importance must not be negative, got {_first(x, x < 0)}")
    largest = np.max(np.atleast_1d(x), -1)
    if (largest == 0).any():
        model = f" of model {_where(largest == 0)}" if largest.ndim else ""
        raise ValueError(f"importance is 0 for every feature{model}: nothing would be learned")
    if (largest < LEAST_IMPORTANCE).any() or (largest > MOST_IMPORTANCE).any():
        odd = largest[(largest < LEAST_IMPORTANCE) | (largest > MOST_IMPORTANCE)][0]
        raise ValueError(
            f"the largest importance of a model must lie between {LEAST_IMPORTANCE:g} and {MOST_IMPORTANCE:g}, "
            f"got {odd:g}"
        )


def drawable(density, inputs: int) -> None:
    """Refuse a mean over drawn inputs of which none may have an active feature: it would be 0, with an error of 0."""
    if is_traced(density):
        return
    often = np.asarray(density, np.float64).sum(-1).min()  # how many features are active at a time
    if often * inputs < 1:
        raise ValueError(
            f"features this sparse cannot be measured on {inputs} drawn inputs: one in {1 / often:.3g} has an active "
            "feature; draw more, or take higher densities"
        )


def count(name: str, x, least: int = 1) -> int:
    """A whole number, at least `least`."""
    try:
        value = operator.index(x)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {_short(x)}") from None
    if isinstance(x, bool) or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}, got {_short(x)}")
    return value


def positive(name: str, x, most: float):
    """One number above 0, at most `most`."""
    given, x = x, numbers(name, x)
    if x.ndim or (not is_traced(x) and not 0 < x <= most):
        raise ValueError(f"{name} must be one number above 0, at most {most:g}; got {_short(given)}")
    return x


def choice(name: str, x, allowed) -> str:
    """One of the allowed names."""
    if not isinstance(x, str) or x not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {_short(x)}")
    return x


def parameters(W, b, n: int):
    """Parameters W (..., m, n) and b (..., n) of a model with n features."""
    W, b = numbers("W", W, MOST_PARAMETER), numbers("b", b, MOST_PARAMETER, of_features=True)
    if W.ndim < 2 or W.shape[-1] != n:
        raise ValueError(f"W has shape {W.shape}: it must be (..., m, n) with n = {n} features")
    if b.ndim < 1 or b.shape[-1] != n:
        raise ValueError(f"b has shape {b.shape}: it must be (..., n) with n = {n} features")
    broadcastable("W and b", W.shape[:-2], b.shape[:-1])
    return W, b


def key(k):
    """A single JAX random key, new style or old style."""
    ok = isinstance(k, jax.Array) and (
        k.shape == () if jnp.issubdtype(k.dtype, jax.dtypes.prng_key) else k.shape == (2,)
    )
    if not ok:
        raise TypeError(f"key must be one JAX random key, for example jax.random.key(0); got {_short(k)}")
    return k


def broadcastable(what: str, *shapes) -> tuple[int, ...]:
    """The common shape of several batch shapes."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        shown = " and ".join(map(str, shapes))
        raise ValueError(f"the batch axes of {what} do not fit together: {shown}") from None


def _first(x, bad) -> str:
    """Name the first offending entry: `1.2 for feature 3`."""
    if not x.ndim:
        return f"{x:g}"
    where = _where(bad)
    place = f"feature {where[-1]}" + (f" of model {where[:-1]}" if len(where) > 1 else "")
    return f"{x[where]:g} for {place}"


def _entry(x, bad) -> str:
    """Name the first offending entry of any array: `nan at [0, 3]`."""
    return f"{x[_where(bad)]:g} at {list(_where(bad))}" if x.ndim else f"{x:g}"


def _where(bad) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(bad)[0])


def _short(x) -> str:
    text = repr(x)
    return text if len(text) <= 60 else text[:57] + "..."


def memory(n: int, m: int, restarts: int, batch: int, shape) -> None:
    """Refuse a training run whose arrays would not fit in this machine's memory."""
    models = math.prod(shape)
    room(
        f"{n} features in m = {m} dimensions with {restarts} restarts of {models} models",
        4 * (6 * models * restarts * n * (m + 1) + 16 * 4 * n * max(batch, n)),
    )


def room(what: str, need: int, *, host: bool = False) -> None:
    """Refuse what needs more bytes than there are where arrays are computed, or in main memory (`host`)."""
    have = runtime.memory_of_machine() if host else runtime.memory()
    if have and need > 0.8 * have:
        where = "this machine" if host or runtime.accelerator() is None else "its accelerator"
        raise MemoryError(
            f"{what} need about {need / 2**30:.3g} GiB; {where} has {have / 2**30:.1f} GiB: "
            "take fewer features, models or restarts"
        )
