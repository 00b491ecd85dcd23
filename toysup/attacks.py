"""Small changes of an input that do the most harm: simple attacks, the exact worst case in two dimensions, an ascent.

A model sees a perturbation d of its input only through W d. With the singular value decomposition W = U S Vᵀ, all
that d = ε V u can do, u in the unit ball of m dimensions, is all that any d of length ε can do to the output. In two
dimensions that is a disc.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.loss import flat
from toysup.model import Readout, get_readout
from toysup.runtime import over_models

KINDS = ("random", "feature", "exact", "ascent")
TARGETS = ("fixed", "moving")
ANGLES = 180  # of the exact attack
STARTS, ROUNDS = 8, 20  # of the ascent


@partial(jax.tree_util.register_dataclass, data_fields=["delta", "clean", "attacked", "gap"], meta_fields=[])
@dataclasses.dataclass(frozen=True, eq=False)
class Attack:
    """One perturbation for each input and model.

    delta: (..., batch, n), what is added to the inputs. clean, attacked: (..., batch) the squared error, summed over
    the features, without and with it. gap: (..., batch) proven: no perturbation within the budget makes the error
    larger than attacked + gap; NaN where nothing is proven.
    """

    delta: jax.Array
    clean: jax.Array
    attacked: jax.Array
    gap: jax.Array

    @property
    def harm(self) -> jax.Array:
        """The mean of attacked - clean over the inputs, (...)."""
        return jnp.mean(self.attacked - self.clean, -1)


def attack(W, b, x, budget, *, kind: str = "feature", target: str = "fixed", readout: str = "relu", key=None) -> Attack:
    """Perturb each input within a budget, so that the error rises.

    W: (..., m, n). b: (..., n). x: (..., batch, n), not negative. budget: length of a perturbation, scalar or (...).
    kind: "random", one direction for each input; "feature", the best of the 2n directions ± (WᵀW)_i;
        "exact", the worst case up to `gap` (m = 2, fixed target, readouts of two slopes);
        "ascent", uphill from the best feature and from 7 random directions (no proof that it is the worst case).
    target: what the output is compared with, "fixed": x, or "moving": x and the perturbation. Importances are 1.
    key: a JAX random key, for "random" and "ascent".
    Returns an Attack. Errors name the argument.
    Source: Elhage et al. 2022, "The Relationship Between Superposition and Adversarial Robustness" ("feature");
    Journée et al. 2010 (the ascent); the exact attack is this package's own.
    """
    get_readout(readout)
    W, b, x, budget = _checked(W, b, x, budget)
    check_kind(check.choice("kind", kind, KINDS), check.choice("target", target, TARGETS), readout, W.shape[-2])
    if key is None and kind in ("random", "ascent"):
        raise ValueError(f"key is missing: kind={kind!r} draws directions")
    shape = check.broadcastable("W, b, x and budget", W.shape[:-2], b.shape[:-1], x.shape[:-2], np.shape(budget))
    models = tuple(flat(a, shape, keep) for a, keep in ((W, 2), (b, 1), (x, 2), (budget, 0)))
    key = jax.random.key(0) if key is None else check.key(key)
    found = over_models(_attack, math.prod(shape), models, key, kind=kind, target=target, readout=readout)
    return jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), found)


def dedicated(density, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """A model without superposition: an axis of length 1 for each of the first m features, the mean for the others.

    With a fixed target a perturbation of length ε costs it ε² at the worst, whatever the input: it leaves no error in
    what it keeps, and what it drops cannot be disturbed. density: scalar or (...). n: features. m: dimensions, at
    most n. Returns W (..., m, n) and b (..., n).
    """
    n, m = check.count("n", n), check.count("m", m)
    if m > n:
        raise ValueError(f"m must be at most n = {n}, got {m}")
    density = check.density(density)[..., None]
    return np.broadcast_to(np.eye(m, n), (*density.shape[:-1], m, n)), np.where(np.arange(n) < m, 0.0, density / 2)


def local_harm(W, b, x, budget):
    """What a step along the slope of the error would do if no ReLU switched: the two terms of a quadratic.

    With D the outputs that are on, r = x' - x and s = WᵀW D r (uphill), it is 2ε‖s‖ + ε²‖D WᵀW ŝ‖². W: (..., m, n).
    b: (..., n). x: (..., batch, n). budget: scalar or (...). Returns both terms, (..., batch) each.
    """
    W, b, x, budget = (jnp.asarray(a, check.dtype()) for a in _checked(W, b, x, budget))
    gram = jnp.swapaxes(W, -1, -2) @ W
    z, budget = x @ gram + b[..., None, :], budget[..., None]
    on = z > 0
    slope = ((z - x) * on) @ gram
    steepness = jnp.linalg.norm(slope, axis=-1)
    return 2 * budget * steepness, budget**2 * jnp.sum((on * (_unit(slope) @ gram)) ** 2, -1)


def _checked(W, b, x, budget):
    x = check.numbers("x", x, check.MOST_PARAMETER)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: it must be (..., batch, n)")
    if not check.is_traced(x) and (x < 0).any():
        raise ValueError(f"x must not be negative, got {x.min():g}")
    W, b = check.parameters(W, b, x.shape[-1])
    return W, b, x, check_budget(budget)


def check_budget(budget):
    """A budget as an array, no entry negative."""
    budget = check.numbers("budget", budget, check.MOST_PARAMETER)
    if not check.is_traced(budget) and (budget < 0).any():
        raise ValueError(f"budget must not be negative, got {budget.min():g}")
    return budget


def check_kind(kind: str, target: str, readout: str, m: int) -> None:
    """Refuse the exact attack where it is not exact."""
    if kind != "exact":
        return
    if m != 2:
        raise ValueError(f"kind='exact' needs m = 2 hidden dimensions, got m = {m}; kind='ascent' takes any number")
    if target != "fixed" or get_readout(readout).slopes is None:
        raise ValueError(
            f"kind='exact' needs target='fixed' and a readout with a slope on either side of 0; "
            f"got {target!r} and {readout!r}; kind='ascent' takes any"
        )


def _attack(models, key, *, kind, target, readout):
    rule = get_readout(readout)

    def one(model, key):
        W, b, x, budget = model
        delta, gap = find(W, b, x, budget, kind, target, rule, key)
        error = partial(squared_errors, W, b, x, target=target, readout=rule)
        return Attack(delta, error(jnp.zeros_like(x)), error(delta), gap)

    return one, models, key, 1


def squared_errors(W, b, x, delta, *, target: str, readout: Readout):
    """The squared error of each input, summed over features, for one model: x, delta (..., n) -> (...)."""
    z = (x + delta) @ W.T @ W + b
    return jnp.sum((x + delta * (target == "moving") - readout.function(z)) ** 2, -1)


def find(W, b, x, budget, kind: str, target: str, readout: Readout, key):
    """The perturbations of one model and what is proven about them: W (m, n), x (batch, n) -> (batch, n), (batch,)."""
    error = partial(squared_errors, W, b, target=target, readout=readout)
    unproven = jnp.full(x.shape[:1], jnp.nan)
    if kind == "random":
        return budget * _directions(key, x.shape), unproven
    if kind == "exact":
        return _exact(W, b, x, budget, readout)
    delta = best_of(error, x, budget * feature_directions(W))
    return (delta if kind == "feature" else _ascent(error, x, budget, delta, key)), unproven


def feature_directions(W):
    """± (WᵀW)_i, scaled to length 1: (2n, n); zero for a feature that is not represented."""
    gram = W.T @ W
    unit = gram / jnp.maximum(jnp.linalg.norm(gram, axis=1, keepdims=True), 1e-12)
    return jnp.concatenate([unit, -unit])


def best_of(error, x, candidates):
    """The candidate of the largest error for each input: x (batch, n), candidates (k, n) -> (batch, n)."""
    values = jax.lax.map(lambda d: error(x, d), candidates)
    return candidates[jnp.argmax(values, 0)]


def _directions(key, shape):
    """Directions drawn evenly from the sphere."""
    return _unit(jax.random.normal(key, shape))


def _unit(a):
    return a / jnp.maximum(jnp.linalg.norm(a, axis=-1, keepdims=True), 1e-12)


# ------------------------------------------------------------------------------------ the exact worst case


def _exact(W, b, x, budget, readout: Readout):
    """The worst perturbation in two dimensions, from finitely many candidates.

    Where no readout changes its slope, the error is a convex quadratic in u. So the largest error lies on the circle,
    or where the kinks of two active features cross inside. On the circle it is smooth but for the kinks of active
    features. Candidates are the crossings, the kinks, and a grid of angles, whose error is bounded by the curvature.
    """
    singular, V = jnp.linalg.svd(W, full_matrices=False)[1:]
    reach = budget * (V.T * singular**2)  # (n, 2): the preactivations move by reach @ u
    z = x @ W.T @ W + b
    u = jnp.concatenate([_grid(x.shape[0]), _kinks(reach, z), _crossings(reach, z)], axis=1)
    values = jnp.sum((x[:, None] - readout.function(z[:, None] + u @ reach.T)) ** 2, -1)
    best = jnp.argmax(values, 1)[:, None]
    delta = budget * jnp.take_along_axis(u, best[..., None], 1)[:, 0] @ V
    steepest = max(abs(s) for s in readout.slopes)
    return delta, _gap(jnp.take_along_axis(values, best, 1)[:, 0], steepest * budget * singular[0] ** 2)


def _gap(value, speed, step: float = np.pi / ANGLES):
    """How far the maximum may lie above the best candidate, `step` away at most; the output moves with `speed`."""
    most = jnp.sqrt(value) + speed * step
    return (speed**2 + most * speed) * step**2


def _on_circle(angle):
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)


def _grid(batch: int):
    angles = jnp.arange(ANGLES) * (2 * np.pi / ANGLES)
    return jnp.broadcast_to(_on_circle(angles), (batch, ANGLES, 2))


def _kinks(reach, z):
    """Where on the circle a preactivation is 0, (batch, 2n, 2); another point of the circle where it never is."""
    length = jnp.maximum(jnp.linalg.norm(reach, axis=1), 1e-12)
    at, off = jnp.arctan2(reach[:, 1], reach[:, 0]), jnp.arccos(jnp.clip(-z / length, -1, 1))
    return _on_circle(jnp.concatenate([at + off, at - off], 1))


def _crossings(reach, z):
    """Where two preactivations are 0, (batch, pairs, 2); drawn back to the circle where that is outside."""
    i, j = np.triu_indices(reach.shape[0], 1)
    across = reach[i, 0] * reach[j, 1] - reach[i, 1] * reach[j, 0]
    safe = jnp.where(jnp.abs(across) < 1e-12, jnp.inf, across)
    first = (reach[i, 1] * z[:, j] - reach[j, 1] * z[:, i]) / safe
    second = (reach[j, 0] * z[:, i] - reach[i, 0] * z[:, j]) / safe
    u = jnp.stack([first, second], -1)
    return u / jnp.maximum(jnp.linalg.norm(u, axis=-1, keepdims=True), 1.0)


# ------------------------------------------------------------------------------------------------ the ascent


def _ascent(error, x, budget, delta, key):
    """Uphill from `delta` and from random directions; the best perturbation met on the way."""
    starts = budget * _directions(key, (STARTS - 1, *x.shape))
    starts = jnp.concatenate([delta[None], starts])
    found = jax.lax.map(lambda start: climb(error, x, budget, start, ROUNDS), starts)
    best = jnp.argmax(jax.vmap(lambda d: error(x, d))(found), 0)
    return jnp.take_along_axis(found, best[None, :, None], 0)[0]


def climb(error, x, budget, start, rounds: int):
    """Put the perturbation on the slope of the error, again and again; the best one met: (batch, n).

    Where the error is convex no round lowers it (it lies above its tangent). Source: Journée et al. 2010.
    """
    slope = jax.grad(lambda d: jnp.sum(error(x, d)))

    def again(carry, _):
        now, best = carry
        g = slope(now)
        steep = jnp.linalg.norm(g, axis=-1, keepdims=True) > 1e-12
        now = jnp.where(steep, budget * _unit(g), now)
        better = (error(x, now) > error(x, best))[:, None]
        return (now, jnp.where(better, now, best)), None

    return jax.lax.scan(again, (start, start), length=rounds)[0][1]
