"""Toy models as patients: the features that an autoencoder should find in h = W x, and baselines that learn nothing."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check, coherence
from toysup import train as _train
from toysup.autoencoder import exact, metrics, training, variants
from toysup.features import anticorrelated, correlated, independent

PATIENTS = {  # name: features, hidden dimensions
    "triangle": (lambda: independent(0.6, 3), 2),
    "two digons": (lambda: independent(0.2, 4), 2),
    "pentagon": (lambda: independent(0.05, 5), 2),
    "tetrahedron": (lambda: independent(0.6, 4), 3),
    "antiprism": (lambda: independent(0.175, 8), 3),
    "two friends, twice": (lambda: correlated(2, 2, 0.1), 2),
    "two rivals, twice": (lambda: anticorrelated(2, 2, 0.1), 2),
    "two friends, three times": (lambda: correlated(3, 2, 0.02), 2),
    "ten friends, twice": (lambda: correlated(2, 10, 0.05), 10),
}
ALIVE = 1e-3  # a latent counts as alive if it fires on a larger share of the inputs
CLOSE = 0.99  # 8 degrees; the usual 0.9 is 26 degrees, and in a plane five random directions often come that near


def patient(name: str, *, restarts: int = 32, key) -> training.Hidden:
    """A toy model of the series as a source of activations: the best of some restarts.

    name: one of `PATIENTS`. Returns features and W. Errors: ValueError for another name.
    """
    check.choice("name", name, PATIENTS)
    features, m = PATIENTS[name]
    return source(name, _train(features(), m, restarts=restarts, key=key).best().W)


def source(name: str, W) -> training.Hidden:
    """The same with a W (m, n) that is already there. Errors: ValueError for another name or shape."""
    check.choice("name", name, PATIENTS)
    return training.check_source(training.Hidden(PATIENTS[name][0](), W))


def crowd(n: int, m: int, density: float, *, key) -> training.Hidden:
    """Features of equal length, n of them: an orthonormal set turned at random if n = m, else spread directions, n > m.

    Without superposition and with it. Errors: ValueError where n < m.
    """
    n, m = check.count("n", n), check.count("m", m)
    if n < m:
        raise ValueError(f"n must be at least m={m}, got {n}")
    if n == m:
        W = np.linalg.qr(np.asarray(jax.random.normal(key, (m, m), jnp.float32), np.float64))[0]
    else:
        W = np.asarray(coherence.spread(m, n, restarts=1, key=key).W[0])
    return training.Hidden(independent(density, n), jnp.asarray(W, check.dtype()))


def activations(source: training.Hidden, inputs: int = 8192, *, key) -> np.ndarray:
    """Hidden activations of a toy model, (inputs, m)."""
    return np.asarray(training.draw(training.check_source(source), check.count("inputs", inputs), key))


def truth(W, least: float = 0.5) -> np.ndarray:
    """The directions to be found: columns of W (m, n) that are longer than `least`, as rows of length 1."""
    W = np.asarray(check.numbers("W", W), np.float64)
    if W.ndim != 2:
        raise ValueError(f"W must have shape (m, n), got {W.shape}")
    length = np.linalg.norm(W, axis=0)
    if not (length > least).any():
        raise ValueError(f"no column of W is longer than {least:g}: there is nothing to find")
    return (W / np.maximum(length, 1e-12)).T[length > least]


class Card(NamedTuple):
    """What autoencoders are worth, each an array (...) over the models.

    l0: active latents per input. explained: variance. objective: what training lowers, on the inputs shown. alive:
    latents that fire on more than `ALIVE` of them; the rest is about these. recall, precision: mean max cosines from
    features to latents and back. recovered: share of features with a latent of their own, cosine above `CLOSE`; near:
    the same above 0.9.
    """

    l0: np.ndarray
    explained: np.ndarray
    objective: np.ndarray
    alive: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    recovered: np.ndarray
    near: np.ndarray


def measure(models, h, directions, sparsity) -> Card:
    """Score autoencoders where the truth is known.

    models: with batch axes (...). h: (inputs, m) that they were not trained on. directions: (features, m), see
    `truth`. sparsity: that of training, broadcast against the batch axes but the last, the seeds.
    Errors: ValueError where shapes do not fit.
    """
    shape = models.b.shape[:-1]
    if not shape:
        raise ValueError("models must have batch axes; measure(...) scores many at once")
    penalty = np.broadcast_to(np.asarray(check.numbers("sparsity", sparsity))[..., None], shape)
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(shape) :]), models)
    found = _scan(flat, jnp.asarray(h))
    l0, left, total, density = (np.asarray(x).reshape(*shape, *x.shape[1:]) for x in found)
    if models.variant in variants.COUNTED:
        penalty = 0 * penalty
    D = np.asarray(variants.dictionary(models)).reshape(-1, *models.D.shape[-2:])
    fires = (density > ALIVE).reshape(-1, density.shape[-1])
    compared = np.array([compare(d[on], directions) for d, on in zip(D, fires, strict=True)]).reshape(*shape, 4)
    return Card(l0, 1 - left, left + penalty * total, (density > ALIVE).sum(-1), *np.moveaxis(compared, -1, 0))


def in_units(*h) -> list[np.ndarray]:
    """Activations, each (inputs, m), over the spread of the last one: the unit in which the penalty is counted."""
    spread = np.sqrt(((h[-1] - h[-1].mean(0)) ** 2).sum(1).mean())
    return [x / spread for x in h]


def by_inference(h, unseen, directions, width: int, weight: float, *, seeds: int = 20, key):
    """Dictionaries learned with exact inference in place of an encoder, and their scores with exact inference.

    h: (inputs, m) to learn from, unseen: others to score, both `in_units`. directions: (features, m), see `truth`.
    width: latents. weight: of the penalty. Returns (dictionaries (seeds, width, m), a Card of scores (seeds,)).
    """
    Ds = exact.learn(h, width, weight, seeds=seeds, key=key)
    return Ds, Card(*np.array([_inferred(D, unseen, weight, directions) for D in Ds]).T)


def _inferred(D, h, weight, directions):
    a = exact.infer(D, h, weight).a
    alive = metrics.density(a) > ALIVE
    cost, explained = exact.cost(D, h, a, weight), metrics.explained_variance(h, a @ D)
    return metrics.l0(a), explained, cost, alive.sum(), *compare(D[alive], directions)


def compare(D, directions) -> tuple[float, float, float, float]:
    """Recall, precision, recovered and near of a dictionary (latents, m), as in `Card`; all 0 for an empty one."""
    if not len(D):
        return 0.0, 0.0, 0.0, 0.0
    return *metrics.mmcs(D, directions), *(metrics.recovered(D, directions, at) for at in (CLOSE, 0.9))


@jax.jit
def _scan(models, h):
    """For each model: L0, unexplained share, Σ a in units of the spread, densities."""
    spread = jnp.sum((h - h.mean(0)) ** 2, -1).mean()

    def one(model):
        a = variants._encode(model, h)
        left = jnp.sum((h - variants.decode(model, a)) ** 2, -1).mean() / spread
        return (a > 0).sum(-1).mean(), left, a.sum(-1).mean() / jnp.sqrt(spread), (a > 0).mean(0)

    return jax.lax.map(one, models)


def lowest(card: Card) -> Card:
    """The seed with the lowest objective, along the last axis: what can be chosen without knowing the truth."""
    at = np.argmin(card.objective, -1)[..., None]
    return Card(*(np.take_along_axis(x, at, -1)[..., 0] for x in card))


def baselines(h, directions, latents: int, *, seeds: int = 20) -> dict[str, np.ndarray]:
    """Dictionaries that learn nothing about features: recall, precision, recovered, near of each.

    h: (inputs, m). "random directions": as many as `latents`, the mean over `seeds`. "neurons": the axes of the hidden
    space and their opposites. "PCA": principal directions and their opposites.
    """
    m = np.asarray(h).shape[1]
    random = [compare(metrics.random_dictionary(latents, m, seed=seed), directions) for seed in range(seeds)]
    axes = np.concatenate([np.eye(m), -np.eye(m)])
    return {
        "random directions": np.mean(random, 0),
        "neurons": np.array(compare(axes, directions)),
        "PCA": np.array(compare(metrics.principal_directions(h), directions)),
    }
