"""The importance-weighted error: exact where it can be, sampled elsewhere.

The expectation over inputs is a finite sum over which features are active, of integrals over their values.
Inside one such set, the error of output i is integrated along the line on which one active value runs from 0 to 1
(feature i's own value if it is active): the preactivation is linear there, so the kink of the readout is found
exactly and the integral is a closed form. The values left over get Gauss-Legendre nodes; what they see is smooth.
Lines do not depend on the model or the density: for a whole sweep only their weights change.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check
from toysup.features import (
    Features,
    check_features,
    combination_probability,
    combinations,
    lowbias,
    moments,
    number_of_combinations,
    sample_active_columns,
    sample_columns,
    threefry,
)
from toysup.model import Readout, differentiable_once, get_readout, preactivation, preactivation_in_training
from toysup.runtime import over_models


@dataclasses.dataclass(frozen=True)
class Rule:
    """How many Gauss nodes each of the k - 1 values gets that remain when k features are active.

    least: nodes by k; the last entry goes on. lines: where this takes fewer lines, more nodes are taken, up to
    `most`: sets of features have few combinations, and an optimum would fit itself to a few nodes. frugal: take
    no more lines than as many independent features need.
    """

    least: tuple[int, ...]
    most: tuple[int, ...]
    lines: int
    frugal: bool


FINE = Rule((0, 1, 16, 6, 4, 4, 3, 2), (0, 1, 64, 24, 12, 8, 6, 3), lines=5120, frugal=False)
COARSE = Rule((0, 1, 6, 3, 2, 2, 2, 2), (0, 1, 32, 12, 6, 4, 3, 2), lines=512, frugal=True)
MOST_LINES = 30_000
LONGEST_SUM = 2**13  # terms that are added one after the other
OBJECTIVES = ("auto", "exact", "sampled", "stratified")
DRAWN = {"samples": "sampled", "active": "stratified"}  # ways of computing the loss that draw inputs
SAMPLES = 2**16


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["start", "end", "on", "weight", "combination"],
    meta_fields=[],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Lines:
    """Where the exact loss looks: for each output i and line l a segment from `start[i, l]` to `end[i, l]`.

    start, end: (n, lines, n) inputs. on: (n, lines) 1 where output i's own feature runs from 0 to 1 on the line,
    0 where it is inactive. weight: (lines,) Gauss weights. combination: (lines,) which combination of patterns
    a line belongs to; its probability multiplies the weight.
    """

    start: jax.Array
    end: jax.Array
    on: jax.Array
    weight: jax.Array
    combination: jax.Array


def number_of_lines(features: Features, rule: Rule = FINE) -> float:
    """How many lines the exact loss of these features needs at least (counted, not built)."""
    if features.n > MOST_LINES or number_of_combinations(features) > MOST_LINES:
        return float("inf")
    sizes = combinations(features)[0].sum(1)
    return sum(float(_entry(rule.least, k)) ** max(k - 1, 0) for k in sizes.tolist())


def fits(features: Features) -> bool:
    """Whether the lines of these features fit, so that their loss can be exact."""
    return number_of_lines(features) <= MOST_LINES


def lines(features: Features, rule: Rule = FINE) -> Lines:
    """The lines of these features (kept: they depend on the tables of patterns alone)."""
    sets = tuple(q.shape[-2] for q in features.probabilities)
    return _lines(features.tables, sets, rule, check.dtype())


@lru_cache(maxsize=64)
def _lines(tables, sets, rule, dtype) -> Lines:
    active, _ = combinations(_skeleton(tables, sets))
    nodes = _nodes(active, rule)
    blocks = [_block(np.flatnonzero(on), len(on), nodes[on.sum()]) for on in active]
    start, end = (np.concatenate([block[k] for block in blocks], axis=1) for k in (0, 1))
    weight = np.concatenate([block[2] for block in blocks])
    which = np.repeat(np.arange(len(active)), [len(block[2]) for block in blocks])
    on = active.T[:, which]
    with jax.ensure_compile_time_eval():
        start, end, on, weight = (np.asarray(a, dtype) for a in (start, end, on, weight))
        return jax.device_put(Lines(start, end, on, weight, which.astype(np.int32)))  # no program to compile


def _skeleton(tables, sets) -> Features:
    """Features without probabilities, to walk through their combinations."""
    return Features(tables, tuple(np.zeros((s, len(t))) for t, s in zip(tables, sets, strict=True)))


def _nodes(active: np.ndarray, rule: Rule) -> list[int]:
    """The nodes by number of active features: from the least that the rule allows, those of few lines first."""
    n = active.shape[1]
    sets = np.bincount(active.sum(1), minlength=n + 1).tolist()
    nodes = [_entry(rule.least, k) for k in range(n + 1)]
    lines_of = lambda k, more=0: sets[k] * (nodes[k] + more) ** max(k - 1, 0)
    alike = sum(math.comb(n, k) * nodes[k] ** max(k - 1, 0) for k in range(n + 1))  # as independent features
    budget = min(rule.lines, alike) if rule.frugal else rule.lines
    while True:
        total = sum(map(lines_of, range(n + 1)))
        grow = [k for k in range(2, n + 1) if sets[k] and nodes[k] < _entry(rule.most, k)]
        grow = [k for k in grow if total - lines_of(k) + lines_of(k, 1) <= budget]
        if not grow:
            return nodes
        nodes[min(grow, key=lambda k: lines_of(k, 1))] += 1


def _entry(table, k: int) -> int:
    return table[min(k, len(table) - 1)]


_gauss_nodes = lru_cache(maxsize=None)(np.polynomial.legendre.leggauss)  # else computed again for every active set


def _block(members: np.ndarray, n: int, nodes: int):
    """The lines of one active set: start (n, lines, n), end (n, lines, n), weight (lines,)."""
    rest = max(len(members) - 1, 0)
    t, w = _gauss_nodes(max(nodes, 1))
    values = np.array(list(itertools.product((t + 1) / 2, repeat=rest)))
    weight = np.prod(np.array(list(itertools.product(w / 2, repeat=rest))), axis=1)
    start = np.zeros((n, len(weight), n))
    end = start.copy()
    for i in range(n if len(members) else 0):
        runs = i if i in members else members[np.searchsorted(members, i) % len(members)]
        start[i][:, members[members != runs]] = values
        end[i] = start[i]
        end[i][:, runs] = 1.0
    return start, end, weight


def line_weights(features: Features, table: Lines) -> jax.Array:
    """How much each line counts at these probabilities, (..., lines); they sum to 1."""
    _, picks = combinations(features)
    return combination_probability(features, picks)[..., table.combination] * table.weight


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def squared_error_on_lines(z0, z1, on, readout: Readout):
    """The mean of (x_i - readout(z))² along lines, z running from z0 to z1, x_i from 0 to 1 where `on`, else 0.

    For readouts with two slopes the error is linear on either side of the kink at z = 0, and a linear e
    from e0 to e1 has the mean square (e0² + e0 e1 + e1²) / 3. All arguments broadcast; `on` is not differentiated.
    """
    return _split(_kink(z0, z1), z0, z1, on, readout)


@squared_error_on_lines.defjvp
def _moves_on_lines(readout, primals, tangents):
    """The first derivative does not see the kink move, where the error is continuous; but it sees where the kink is.

    The second one sees it move, therefore. A kink that is held by `stop_gradient` would lose that.
    """
    (z0, z1, on), moves = primals, tangents[:2]
    kink = _kink(z0, z1)
    if readout.slopes is None:  # smooth: any place will do
        kink = jax.lax.stop_gradient(kink)
    move = jax.jvp(lambda z0, z1: _split(kink, z0, z1, on, readout), (z0, z1), moves)[1]
    return squared_error_on_lines(z0, z1, on, readout), move


def _kink(z0, z1):
    """Where on the line z is 0, from 0 to 1; some place on it where there is none."""
    return jnp.clip(z0 / jnp.where(z0 == z1, 1.0, z0 - z1), 0.0, 1.0)


def _split(kink, z0, z1, on, readout: Readout):
    zk, xk = z0 + kink * (z1 - z0), on * kink
    if readout.slopes is None:
        return _gauss(0.0, kink, z0, z1, on, readout) + _gauss(kink, 1.0, z0, z1, on, readout)
    below, above = readout.slopes
    left, right = jnp.where(z0 > 0, above, below), jnp.where(z1 > 0, above, below)
    return kink * _mean_square(-left * z0, xk - left * zk) + (1 - kink) * _mean_square(xk - right * zk, on - right * z1)


def _mean_square(e0, e1):
    return (e0 * e0 + e0 * e1 + e1 * e1) / 3


def _gauss(low, high, z0, z1, on, readout: Readout):
    """The same between two places of the line by eight Gauss nodes, for smooth readouts."""
    total = 0.0
    for t, w in zip(*_gauss_nodes(8), strict=True):
        place = low + (high - low) * (t + 1) / 2
        error = on * place - readout.function(z0 + place * (z1 - z0))
        total = total + w / 2 * (high - low) * error**2
    return total


def exact_loss(W, b, table: Lines, weight, importance, readout: Readout):
    """The expected loss of one model: W (m, n), b (n,), weight (lines,), importance (n,) -> scalar."""
    gram = W.T @ W
    z0 = jnp.einsum("ij,ilj->il", gram, table.start) + b[:, None]
    z1 = jnp.einsum("ij,ilj->il", gram, table.end) + b[:, None]
    error = squared_error_on_lines(z0, z1, table.on, readout)
    return importance @ _weighted(error, weight)


def _weighted(error, weight):
    """Σ over lines of error (n, lines) times weight; many of them in blocks, or else float32 loses the fifth digit."""
    lines = weight.shape[-1]
    if lines <= LONGEST_SUM:
        return error @ weight
    blocks = -(-lines // 256)
    fill = ((0, 0), (0, 256 * blocks - lines))
    return jnp.pad(error * weight, fill).reshape(-1, blocks, 256).sum(-1).sum(-1)


def linear_loss(W, b, mean, covariance, importance):
    """The expected loss of one linear model, exact for any number of features: two moments are enough."""
    miss = jnp.eye(W.shape[-1], dtype=W.dtype) - W.T @ W
    return importance @ (jnp.einsum("ij,jk,ik->i", miss, covariance, miss) + (miss @ mean - b) ** 2)


def sampled_loss(W, b, features: Features, importance, readout: Readout, key, samples: int = SAMPLES):
    """The mean loss of one model over drawn inputs, and the standard error of that mean: two scalars.

    Inputs without any active feature are not drawn: what they cost is known, and so is how often they come.
    samples: how many to draw at least; more by up to one for each thousand, in rounds of equal size.
    """
    rounds = -(-samples // 2**10)
    mean, error = _drawn((W, b, importance), features, key, readout, rounds, -(-samples // rounds))
    return mean, jax.lax.stop_gradient(error)


@partial(jax.custom_jvp, nondiff_argnums=(3, 4, 5))
def _drawn(model, features, key, readout, rounds, size):
    """The mean loss of a model (W, b, importance) over rounds of drawn inputs, and its standard error.

    A draw has no derivative by the density, but the expectation has: the probabilities of a set enter it linearly, so
    its derivative by that of one pattern is the expectation with this set held in this pattern, and that is drawn too.
    """
    return _draw_rounds(model, features, key, readout, rounds, size)


def _draw_rounds(model, features, key, readout, rounds, size):
    W, b, importance = model
    if readout.slopes is not None and readout.slopes[0] != readout.slopes[1]:
        readout = Readout(differentiable_once(readout.function), readout.slopes)

    def one(_, k):
        each = _stratified(W, b, features, importance, readout, k, size, threefry)
        return None, (each.mean(), each.std())

    _, (means, spreads) = jax.lax.scan(one, None, jax.random.split(key, rounds))
    return means.mean(), jnp.sqrt(jnp.mean(spreads**2) / (rounds * size))


def _drawn_moves(readout, rounds, size, primals, tangents):
    (model, features, key), (d_model, d_features, _) = primals, tangents
    moving = [k for k, d in enumerate(d_model) if not _is_zero(d)]
    fixed = [k for k, d in enumerate(d_features.probabilities) if _is_zero(d)]
    found = partial(_drawn, key=key, readout=readout, rounds=rounds, size=size)
    value, move = found(model, features), 0.0
    if moving:
        at = lambda *new: tuple(new[moving.index(k)] if k in moving else a for k, a in enumerate(model))
        plain = lambda *new: _draw_rounds(at(*new), features, key, readout, rounds, size)
        again, (move, _) = jax.jvp(plain, [model[k] for k in moving], [d_model[k] for k in moving])
        value = again if len(fixed) == len(features.probabilities) else value
    for k, (q, d) in enumerate(zip(features.probabilities, d_features.probabilities, strict=True)):
        if k not in fixed:
            move = move + jnp.sum(d * _held(lambda one, k=k: found(model, _with(features, k, one))[0], q))
    return value, (jnp.asarray(move, value[0].dtype), jnp.zeros_like(value[1]))


def _held(loss, q):
    """loss(probabilities of a group) with one set after the other held in each of its patterns, (sets, patterns)."""
    sets, patterns = q.shape
    one = lambda at: loss(q.at[at // patterns].set(jax.nn.one_hot(at % patterns, patterns, dtype=q.dtype)))
    return jax.lax.map(one, jnp.arange(sets * patterns)).reshape(q.shape)


def _with(features: Features, group: int, q) -> Features:
    """The same features with other probabilities in one of their groups."""
    parts = features.probabilities
    return dataclasses.replace(features, probabilities=(*parts[:group], q, *parts[group + 1 :]))


def _is_zero(tangent) -> bool:
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


_drawn.defjvp(_drawn_moves, symbolic_zeros=True)


def stratified_loss(W, b, features: Features, importance, readout: Readout, key, batch: int, uniform=threefry):
    """The mean loss of one model over `batch` drawn inputs with an active feature, and the empty one: a scalar.

    An estimate without bias of the expected loss; for sparse features it scatters less than `batch_loss`.
    """
    return _stratified(W, b, features, importance, readout, key, batch, uniform, preactivation_in_training).mean()


def _stratified(W, b, features, importance, readout, key, batch, uniform, product=preactivation):
    """For each drawn input: its loss and that of the empty input, each times its share of all inputs."""
    x, empty, active = sample_active_columns(features, batch, key=key, uniform=uniform)
    each = importance @ _errors(W, b, x, readout, product) ** 2
    return empty * (importance @ readout.function(b) ** 2) + active * each


def batch_loss(W, b, x, importance, readout: Readout):
    """The mean loss of one model over given inputs as columns, x (n, batch)."""
    return importance @ jnp.mean(_errors(W, b, x, readout) ** 2, axis=1)


def _errors(W, b, x, readout: Readout, product=preactivation_in_training):
    return x - readout.function(product(W, b, x))


def objective_of(features: Features, readout: str, wanted: str = "auto") -> str:
    """How the loss of these features is computed.

    Returns "moments" (linear readout: closed form for any n), "lines" (exact), "samples" or "active" (only samples
    with an active feature). wanted: "auto" takes an exact way where there is one and "sampled" elsewhere.
    """
    check.choice("objective", wanted, OBJECTIVES)
    if wanted in DRAWN.values():
        return next(how for how, name in DRAWN.items() if name == wanted)
    if readout == "linear":
        return "moments"
    if fits(features):
        return "lines"
    if wanted == "auto":
        return "samples"
    raise ValueError(
        f"objective='exact' is out of reach for these {features.n} features: it would need more than "
        f"{MOST_LINES} lines; use objective='sampled', or objective='auto', which samples here"
    )


def objective(features: Features, importance, readout: str, how: str, table, batch: int):
    """The loss as a function (parameters, key) -> scalar, by lines, by moments or from `batch` drawn inputs.

    Inputs are drawn by the quick generator. how: as `objective_of` says. table: lines, where it is by lines.
    """
    f = get_readout(readout)
    if how == "lines":
        weight = line_weights(features, table)
        return lambda p, _: exact_loss(*p, table, weight, importance, f)
    if how == "moments":
        mean, covariance = moments(features)
        return lambda p, _: linear_loss(*p, mean, covariance, importance)
    if how == "active":
        return lambda p, key: stratified_loss(*p, features, importance, f, key, batch, lowbias)
    draw = partial(sample_columns, features, batch, uniform=lowbias)
    return lambda p, key: batch_loss(*p, draw(key=key), importance, f)


def evaluate(W, b, features: Features, importance, readout: str, how: str, table):
    """The loss of one model and its standard error (0 where it is exact): two scalars."""
    if how == "moments":
        loss = linear_loss(W, b, *moments(features), importance)
    elif how == "lines":
        loss = exact_loss(W, b, table, line_weights(features, table), importance, get_readout(readout))
    else:
        return sampled_loss(W, b, features, importance, get_readout(readout), jax.random.key(0))
    return loss, jnp.zeros_like(loss)


def expected_loss(W, b, features: Features, *, importance=1.0, readout: str = "relu") -> jax.Array:
    """The expected loss Σ_i I_i E[(x_i - x'_i)²] over inputs, for any number of models.

    W: (..., m, n). b: (..., n). features: n features. importance: scalar or (..., n). Leading axes broadcast.
    readout: one of `toysup.model.READOUTS`.
    Returns the loss (...). For up to 6 features (independent, correlated or anticorrelated, or any combination) its
    relative error is at most 2e-4 at densities up to 0.2 and at most 1e-3 up to density 1; the linear readout is
    exact for any n. Where exact lines do not fit (`toysup.loss.fits`), the mean over 65,536 drawn inputs is
    returned, the same draw for all models. To rounding (1e-5) all of this holds from a density of 1e-12 on.
    Derivatives by all arguments are those of the expected loss, second ones too, across the kink of the readout (of one
    side where there are none: b_i = 0 and no input moves output i). Where inputs are drawn, that by the density takes
    two more draws for each feature, and a second derivative by W and b is refused.
    Errors: ValueError or TypeError for shapes, NaN, negative importance, unknown readout; NotImplementedError for a
    derivative that is refused.
    Source: Elhage et al. 2022, section 2, "Loss".
    """
    get_readout(readout)
    check_features(features)
    how = objective_of(features, readout)
    W, b = check.parameters(W, b, features.n)
    importance = check.importance(importance, features.n)
    shape = check.broadcastable(
        "W, b, features and importance", W.shape[:-2], b.shape[:-1], features.shape, importance.shape[:-1]
    )
    table = lines(features) if how == "lines" else None
    loss = over_models(
        _expected_loss,
        math.prod(shape),
        flat(W, shape, 2),
        flat(b, shape, 1),
        flat_features(features, shape),
        flat_importance(importance, shape, features.n),
        table,
        readout=readout,
        how=how,
    )
    return loss.reshape(shape)


def _expected_loss(W, b, features, importance, table, *, readout, how):
    def one(model, table):
        return evaluate(*model, readout, how, table)[0]

    return one, (W, b, features, importance), table, chunk_of(table)


def chunk_of(table, drawn: int = 2**14) -> int:
    """How many models at a time keep a core's work in its cache. drawn: numbers in the inputs of a model."""
    if table is None:
        return max(1, min(8, 2**18 // drawn))
    return max(1, min(256, 60_000 // max(1, table.on.size)))


def flat(a, shape, keep: int):
    """Batch axes broadcast to `shape` and flattened to one; the last `keep` axes stay."""
    a = jnp.asarray(a, check.dtype())
    tail = a.shape[a.ndim - keep :]
    return jnp.broadcast_to(a, (*shape, *tail)).reshape(-1, *tail)


def flat_features(features: Features, shape) -> Features:
    """The features of each model of a batch `shape`, as one axis of models."""
    return jax.tree.map(lambda q: flat(q, shape, 2), features)


def flat_importance(importance, shape, n: int):
    """The importance of each model of a batch `shape`, (models, n)."""
    xp = jnp if check.is_traced(importance) else np
    return flat(xp.broadcast_to(importance, (*importance.shape[:-1], n)), shape, 1)
