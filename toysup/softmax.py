"""A readout that is not element by element: softmax, judged by cross-entropy in place of the squared error.

Feature i adds to the logit of token i: the target is softmax(β x), the output softmax(Uᵀ W x + b), and the loss is the
mean divergence between them. The *confidence* β says how sure the target is: a lone feature of strength 1 gives its
token e^β times the probability of any other. Tied models have U = W; there is no other non-linearity.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from scipy.linalg import block_diag

from toysup import check, geometry
from toysup.features import (
    Features,
    check_features,
    combination_probability,
    combinations,
    lowbias,
    number_of_combinations,
    sample_active_columns,
    sample_columns,
)
from toysup.loss import flat_features
from toysup.model import initial
from toysup.optimise import adam, bfgs
from toysup.restarts import best, from_every_start, refuse_divergence
from toysup.runtime import over_models

NODES = (1, 12, 6, 4, 3, 2)  # Gauss nodes of each value by the number of active features; the last goes on
MOST_COMBINATIONS, MOST_POINTS = 2**13, 20_000
LEAST_COVERED = 0.9  # of all inputs, by the nodes
EXACT, DRAWN = (150, 0.1), (2000, 0.02)  # Adam's steps and their size; BFGS finishes exact training
POLISH = 100
INPUTS = 2**14  # drawn to measure a loss
SAME = 1e-7  # nats: less is the rounding of logarithms
ABSENT = -1e9  # the logit of a token that is not there


def divergence(target, z, axis: int = 0):
    """The Kullback-Leibler divergence KL(softmax(target) || softmax(z)) in nats.

    target, z: logits, of shapes that broadcast; a shift of all logits along `axis` changes nothing.
    Returns the divergences, without `axis`. Source: Cover & Thomas, Elements of Information Theory, section 2.3.
    """
    log_p, log_q = jax.nn.log_softmax(target, axis), jax.nn.log_softmax(z, axis)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["W", "U", "b", "loss", "error", "features", "confidence", "present"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True, eq=False)
class SoftmaxFit:
    """Trained models. The batch axes (...) are those of density, confidence, present and written.

    W, U: (..., restarts, m, n), the same where tied. b: (..., restarts, n).
    loss, error: (..., restarts) mean divergence in nats on inputs that training did not see, and its standard error.
    features, confidence (...), present (..., n): what the models were trained on.
    """

    W: jax.Array
    U: jax.Array
    b: jax.Array
    loss: jax.Array
    error: jax.Array
    features: Features
    confidence: jax.Array
    present: jax.Array

    def best(self) -> SoftmaxFit:
        """The restart of the lowest loss of each model: a SoftmaxFit without the restarts axis."""
        return best(self, self.confidence.ndim, ("W", "U", "b", "error"), nothing=SAME)


# ---------------------------------------------------------------------------------------------- training


def train_softmax(
    features: Features,
    m: int,
    *,
    confidence=10.0,
    most: int | None = None,
    present=1.0,
    written=1.0,
    tied: bool = True,
    restarts: int = 24,
    steps: int | None = None,
    learning_rate=None,
    batch: int = 512,
    key,
) -> SoftmaxFit:
    """Train models with a softmax readout, each from several random starts.

    features: what the inputs look like; leading axes are a batch of models. m: hidden dimensions.
    confidence: β, scalar or (...), above 0.
    most: integrate over all inputs with at most so many active features, by Gauss nodes; the rest is left out of
        training (not of the reported loss). None draws `batch` inputs at every step instead.
    present: 0 or 1, scalar or (..., n): features that are not there have no token and are never active, so that
        models with fewer features run in the same program.
    written: 0 or 1, scalar or (..., n): features without a direction keep a bias only; a model that writes m + 1
        features is the best there is without superposition.
    tied: whether U = W. steps, learning_rate: of Adam, which is followed by BFGS unless inputs are drawn.
    key: a JAX random key.
    Returns a SoftmaxFit. Moving density, confidence or masks does not compile anew. Errors name the argument;
    ValueError as well where the rate is so large that a restart diverges.
    """
    check_features(features)
    check.key(key)
    m, restarts, batch = (check.count(*a) for a in (("m", m), ("restarts", restarts), ("batch", batch)))
    table = None if most is None else points(features, most)
    usual = DRAWN if most is None else EXACT
    steps = usual[0] if steps is None else check.count("steps", steps)
    rate = check.positive("learning_rate", usual[1] if learning_rate is None else learning_rate, most=10.0)
    confidence = _confidence(confidence)
    present, written = _mask("present", present, features.n), _mask("written", written, features.n)
    what = "density, confidence, present and written"
    shape = check.broadcastable(what, features.shape, confidence.shape, present.shape[:-1], written.shape[:-1])
    check.memory(features.n, m, restarts, batch, shape)
    grow = lambda a, tail: jnp.broadcast_to(jnp.asarray(a, check.dtype()), (*shape, *tail)).reshape(-1, *tail)
    models = (
        flat_features(features, shape),
        grow(confidence, ()),
        grow(present, (features.n,)),
        grow(written, (features.n,)),
    )
    shared = (table, jnp.asarray(rate, check.dtype()), key)
    how = {"m": m, "tied": bool(tied), "restarts": restarts, "steps": steps, "batch": batch}
    found = over_models(_train, math.prod(shape) * restarts, models, shared, **how)
    W, U, b, loss, error = (a.reshape(*shape, restarts, *a.shape[1:]) for a in found)
    refuse_divergence(loss, rate)
    features, confidence, present = jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), models[:3])
    return SoftmaxFit(W, U, b, loss, error, features, confidence, present)


def _train(models, shared, *, m, tied, restarts, steps, batch):
    n = models[0].n
    start_key, data_key = jax.random.split(shared[2])
    (W, b), (U, _) = (initial(restarts, m, n, key=k) for k in jax.random.split(start_key))
    start = (W, b) if tied else (W, b, U)

    def one(model, shared):
        (features, confidence, present, written), start = model
        table, rate, key = shared
        scaled = lambda p: _scaled(p, confidence, present, written)
        mean_loss = _objective(features, confidence, present, table, batch)
        objective = lambda p, key: mean_loss(scaled(p), key)
        found = adam(objective, start, rate, steps, key=key)
        found = found if table is None else bfgs(lambda p: objective(p, None), found, POLISH)
        W, U, b = scaled(found)
        return W, U, b, *_measure(W, U, b, features, confidence, present)

    numbers = n * batch if shared[0] is None else shared[0].x.size
    chunk = max(1, min(32, 60_000 // numbers))
    return one, from_every_start(models, start), (shared[0], shared[1], data_key), chunk


def _scaled(parameters, confidence, present, written):
    """W, U and b from parameters of order 1 at any confidence; features that are not written have no direction."""
    W, b, *rest = parameters
    directions = [jnp.sqrt(confidence) * present * written * a for a in (W, *rest)]
    return directions[0], directions[-1], confidence * b


def _objective(features, confidence, present, table, batch):
    """The function ((W, U, b), key) -> loss that training descends, scaled to 1 for a model that answers always 0."""
    if table is None:
        draw = lambda key: sample_columns(features, batch, key=key, uniform=lowbias)
        return lambda p, key: _losses(*p, draw(key), confidence, present).mean()
    weight = _weights(features, table)
    target = jax.nn.softmax(_logits(confidence * table.x, present), axis=0)
    entropy = weight @ jnp.sum(jax.scipy.special.entr(target), 0)
    scale = 1 / (weight.sum() * jnp.log(present.sum()) - entropy)

    def objective(p, _):
        z = _output(*p, table.x, present)
        cross = logsumexp(z, axis=0) - jnp.sum(target * jnp.where(present[:, None] > 0, z, 0), 0)
        return scale * (weight @ cross - entropy)

    return objective


def _output(W, U, b, x, present):
    """The logits (n, batch) for inputs as columns, x (n, batch)."""
    return _logits(U.T @ (W @ x) + b[:, None], present)


def _logits(z, present):
    return jnp.where(present[:, None] > 0, z, ABSENT)


def _losses(W, U, b, x, confidence, present):
    """The divergence of each input; features that are not there are off."""
    x = present[:, None] * x
    return divergence(_logits(confidence * x, present), _output(W, U, b, x, present))


def _measure(W, U, b, features, confidence, present):
    """The loss of one model on inputs drawn anew, and its standard error: the empty input is not drawn, but added."""
    x, empty, active = sample_active_columns(features, INPUTS, key=jax.random.key(0))
    nothing = _losses(W, U, b, jnp.zeros((features.n, 1)), confidence, present)[0]
    each = _losses(W, U, b, x, confidence, present)
    return empty * nothing + active * each.mean(), active * each.std() / INPUTS**0.5


def mean_divergence(W, b, features: Features, *, confidence=10.0, U=None):
    """The loss of given models: the mean divergence over 16,384 drawn inputs, the same draw for all models.

    W: (..., m, n). b: (..., n). features: n features. confidence: scalar or (...). U: as W; None for tied models.
    Leading axes broadcast. Returns the loss (...) in nats and its standard error (...). Errors name the argument.
    """
    check_features(features)
    W, b = check.parameters(W, b, features.n)
    U = W if U is None else check.parameters(U, b, features.n)[0]
    confidence = _confidence(confidence)
    shape = check.broadcastable(
        "W, U, b, features and confidence", W.shape[:-2], U.shape[:-2], b.shape[:-1], features.shape, confidence.shape
    )
    grow = lambda a, tail: jnp.broadcast_to(jnp.asarray(a, check.dtype()), (*shape, *tail)).reshape(-1, *tail)
    models = (*(grow(a, a.shape[-2:]) for a in (W, U)), grow(b, b.shape[-1:]), flat_features(features, shape))
    found = over_models(_measured, math.prod(shape), (*models, grow(confidence, ())))
    return tuple(a.reshape(shape) for a in found)


def _measured(models):
    one = lambda model, _: _measure(*model, jnp.ones(model[2].shape))
    return one, models, (), 4


# ------------------------------------------------------------------------------------- where exact training looks


@partial(jax.tree_util.register_dataclass, data_fields=["x", "weight", "combination"], meta_fields=[])
@dataclasses.dataclass(frozen=True, eq=False)
class Points:
    """Inputs as columns x (n, points), their Gauss weights, and the combination of patterns each belongs to."""

    x: jax.Array
    weight: jax.Array
    combination: jax.Array


def points(features: Features, most: int) -> Points:
    """Gauss-Legendre nodes for the inputs with at most `most` active features (kept: tables of patterns decide).

    Raises ValueError where they are too many, or cover too few of the inputs.
    """
    most = check.count("most", most)
    if features.n > MOST_COMBINATIONS or number_of_combinations(features) > MOST_COMBINATIONS:
        raise ValueError(f"most={most} needs nodes, and {features.n} features have too many combinations: leave it out")
    sets = tuple(q.shape[-2] for q in features.probabilities)
    table = _points(features.tables, sets, most, check.dtype())
    if not check.is_traced(features.probabilities[0]):
        least = float(np.min(_weights(features, table).sum(-1)))
        if least < LEAST_COVERED:
            raise ValueError(f"most={most} covers only {least:.0%} of the inputs: take more, or leave it out to draw")
    return table


def _weights(features, table: Points):
    """How much each node counts at these probabilities, (..., points)."""
    _, picks = combinations(features)
    return combination_probability(features, picks)[..., table.combination] * table.weight


@lru_cache(maxsize=64)
def _points(tables, sets, most, dtype) -> Points:
    skeleton = Features(tables, tuple(np.zeros((s, len(t))) for t, s in zip(tables, sets, strict=True)))
    active, _ = combinations(skeleton)
    chosen = np.flatnonzero(active.sum(1) <= most)
    sizes = [_nodes(k) ** k for k in active[chosen].sum(1).tolist()]
    if sum(sizes) > MOST_POINTS:
        raise ValueError(f"most={most} needs {sum(sizes)} nodes, at most {MOST_POINTS}: take a smaller one")
    blocks = [_block(active[c]) for c in chosen]
    x, weight = (np.concatenate([block[k] for block in blocks], axis=-1) for k in (0, 1))
    with jax.ensure_compile_time_eval():
        return jax.device_put(Points(x.astype(dtype), weight.astype(dtype), np.repeat(chosen, sizes).astype(np.int32)))


def _nodes(active: int) -> int:
    return NODES[min(active, len(NODES) - 1)]


def _block(on):
    """The nodes of one set of active features: x (n, nodes^k) and weights."""
    members = np.flatnonzero(on)
    t, w = np.polynomial.legendre.leggauss(_nodes(len(members)))
    values = np.array(list(itertools.product((t + 1) / 2, repeat=len(members))))
    x = np.zeros((len(on), len(values)))
    x[members] = values.T
    return x, np.prod(np.array(list(itertools.product(w / 2, repeat=len(members)))), axis=1)


# -------------------------------------------------------------------------------------- what to expect, what was found


def simplex_solution(confidence: float, n: int):
    """A W (n-1, n) with loss 0 at b = 0, for any inputs: a regular simplex with |W_i|² = β (1 - 1/n).

    Then Wᵀ W = β (I - 11ᵀ/n), so the logits are β x less a common shift, which softmax ignores. So n features need
    n - 1 dimensions, one less than with an element-wise readout.
    """
    n = check.count("n", n, least=2)
    return math.sqrt(float(_confidence(confidence)) * (1 - 1 / n)) * geometry.simplex(n)


def small_confidence_floor(n: int, m: int) -> float:
    """The least loss as β → 0, as a share of the loss with biases only: 1 - m/(n-1), or 0 from m = n - 1 on.

    For small logits d the divergence is dᵀ(I/n - 11ᵀ/n²) d / 2 to second order, the squared error in the space of
    centred logits. That is the linear model's problem in n - 1 dimensions with equal variances, and W keeps m of
    them, at any density.
    """
    n, m = check.count("n", n, least=2), check.count("m", m)
    return max(0.0, 1 - m / (n - 1))


def represented(W, b, confidence, *, U=None, present=1.0):
    """Which features come through: for x = e_i, token i gets more than half of the way from 1/n to its target.

    The target of token i is e^β / (e^β + n - 1), n counting the features present. Judges the function, not the length
    of an arrow: lengths depend on the confidence, and for untied models mean nothing at all.
    W, U: (..., m, n). b: (..., n). confidence: scalar or (...). present: scalar or (..., n). Returns bool (..., n).
    """
    n = check.numbers("W", W).shape[-1]
    W, b = check.parameters(W, b, n)
    U = W if U is None else check.parameters(U, b, n)[0]
    confidence, present = _confidence(confidence), np.broadcast_to(_mask("present", present, n), b.shape)
    z = np.swapaxes(W, -1, -2) @ U + b[..., None, :]  # row i: the logits for x = e_i
    q = np.exp(jax.nn.log_softmax(np.where(present[..., None, :] > 0, z, ABSENT), axis=-1))
    count = present.sum(-1, keepdims=True)
    target = 1 / (1 + (count - 1) * np.exp(-confidence[..., None]))
    share = (np.diagonal(q, axis1=-2, axis2=-1) - 1 / count) / (target - 1 / count)
    return (share > 0.5) & (present > 0)


def equal_simplices(n: int, m: int) -> np.ndarray:
    """The conjecture for softmax with m < n ≤ 2m: n - m regular simplices, orthogonal, of sizes as equal as possible.

    A simplex of k features takes k - 1 dimensions, so r simplices of n features in all take n - r = m.
    Returns unit columns (m, n).
    """
    return block_diag(*[geometry.simplex(size) for size in _sizes(n, m)])


def digons_and_axes(n: int, m: int) -> np.ndarray:
    """The conjecture for ReLU with m < n ≤ 2m: n - m digons, and an axis for each of the other features.

    Returns unit columns (m, n).
    """
    _sizes(n, m)
    return block_diag(*[geometry.simplex(2)] * (n - m) + [np.eye(1)] * (2 * m - n))


def _sizes(n: int, m: int) -> list[int]:
    n, m = check.count("n", n), check.count("m", m)
    if not m < n <= 2 * m:
        raise ValueError(f"n must lie between m + 1 and 2m, got n = {n} for m = {m}")
    groups = n - m
    return [n // groups + (g < n % groups) for g in range(groups)]


def shape_of(W, tolerance: float = 0.05):
    """The name of an arrangement by `geometry.describe`, of any size: arrows as shares of the longest.

    Arrows shorter than half of the longest do not count. W: (..., m, n). Returns a string, or an array of them.
    """
    W = np.asarray(check.numbers("W", W), float)
    longest = np.linalg.norm(W, axis=-2).max(-1)[..., None, None]
    return geometry.describe(W / np.maximum(longest, 1e-9), tolerance=tolerance)


# ------------------------------------------------------------------------------------------------------ checks


def _confidence(confidence):
    confidence = check.numbers("confidence", confidence, most=100.0)
    if not check.is_traced(confidence) and not (confidence > 0).all():
        raise ValueError(f"confidence must be above 0, got {confidence.min():g}")
    return confidence


def _mask(name: str, mask, n: int):
    """0 or 1 for each feature, (..., n)."""
    mask = check.numbers(name, mask)
    if not check.is_traced(mask) and not np.isin(mask, (0, 1)).all():
        raise ValueError(f"{name} must be 0 or 1 for each feature, got {mask.min():g} to {mask.max():g}")
    if mask.ndim and mask.shape[-1] not in (1, n):
        raise ValueError(f"{name} has shape {mask.shape}: its last axis must be {n}, one per feature")
    return mask[None] if mask.ndim == 0 else mask
