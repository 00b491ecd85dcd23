"""Stationary points of the exact loss: where the gradient vanishes, and how many ways down there are.

The loss is computed in double precision on the lines of `toysup.loss`. Its gradient is exact there. The Hessian is made
of differences of gradients: elsewhere it is that of `jax.hessian`, but many stationary points lie on a kink (a bias of 0
and an output that no input moves), and there differences give the mean of both sides. Turning the hidden space changes nothing: such directions are taken out and counted apart.
Source: Baldi & Hornik 1989 (the linear autoencoder).
"""

from __future__ import annotations

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares

from toysup import check
from toysup import loss as losses
from toysup.features import Features, check_features, moments
from toysup.model import get_readout

STEP = 1e-6  # of the differences that make a Hessian
FLAT = 1e-5  # relative to the largest curvature: less counts as none
PRECISELY = {"xtol": 1e-14, "ftol": 1e-15, "gtol": 1e-15, "max_nfev": 300}


@dataclasses.dataclass(frozen=True)
class Stationary:
    """A place in the landscape of the loss, and its curvatures.

    W: (m, n). b: (n,). loss: exact. slope: length of the gradient, over all entries of W and b.
    curvatures: (k,) eigenvalues of the Hessian, ascending, without the directions of rotation.
    directions: (k, m n + n) unit vectors, W before b. rotations: how many directions only turn the hidden space.
    index: curvatures below zero. flat: curvatures that are zero within the tolerance.
    """

    W: np.ndarray
    b: np.ndarray
    loss: float
    slope: float
    curvatures: np.ndarray
    directions: np.ndarray
    rotations: int
    index: int
    flat: int


def examine(W, b, features: Features, *, importance=1.0, readout: str = "relu", tolerance: float = FLAT) -> Stationary:
    """The loss, its gradient and its curvatures at a place, stationary or not.

    W: (m, n). b: (n,). features: one distribution, with an exact loss. importance: scalar or (n,).
    tolerance: relative to the largest curvature; what is smaller counts as flat.
    Returns Stationary. Errors name the argument; ValueError where the loss could only be sampled.
    """
    x, shape, problem = _prepared(W, b, features, importance, readout, tolerance)
    with jax.enable_x64(True):
        return _examined(x, shape, problem, readout, tolerance)


def settle(W, b, features: Features, *, importance=1.0, readout: str = "relu", tolerance: float = FLAT) -> Stationary:
    """The stationary point near a place, saddle or minimum: not the loss is made small, but its gradient.

    Arguments as in `examine`. The squared length of the gradient is minimised by Newton steps in a region of trust;
    far from a stationary point they can end where that length is smallest but not 0, so look at `slope`.
    Returns Stationary. Source: Nocedal & Wright, Numerical Optimization, section 10.3.
    """
    x, shape, problem = _prepared(W, b, features, importance, readout, tolerance)
    with jax.enable_x64(True):
        gradient = lambda x: np.asarray(_gradient(x, problem, shape, readout))
        hessian = lambda x: _hessian(x, problem, shape, readout)
        found = least_squares(gradient, x, jac=hessian, **PRECISELY)
        return _examined(found.x, shape, problem, readout, tolerance)


def _prepared(W, b, features, importance, readout, tolerance):
    """Parameters as one vector, the shape of W, and what the loss needs besides, all in double precision."""
    get_readout(readout)
    check_features(features)
    check.positive("tolerance", tolerance, most=0.1)
    if features.shape:
        raise ValueError(f"features must be one distribution; their batch shape is {features.shape}")
    how = losses.objective_of(features, readout, "exact")
    W, b = check.parameters(W, b, features.n)
    importance = check.importance(importance, features.n)
    if W.ndim != 2 or b.ndim != 1 or importance.ndim > 1:
        raise ValueError(f"one model at a time: W has shape {W.shape}, b {b.shape}, importance {importance.shape}")
    with jax.enable_x64(True):
        features = jax.tree.map(lambda q: jnp.asarray(np.asarray(q), float), features)
        weigh = jnp.asarray(np.broadcast_to(importance, features.n), float)
        table = losses.lines(features) if how == "lines" else None
        known = (table, losses.line_weights(features, table)) if how == "lines" else moments(features)
    return np.concatenate([W.ravel(), b]), W.shape, (*known, weigh)


def _loss(x, problem, shape, readout):
    """The loss as a function of one vector: W, then b."""
    W, b = x[: shape[0] * shape[1]].reshape(shape), x[shape[0] * shape[1] :]
    if readout == "linear":
        return losses.linear_loss(W, b, *problem)
    table, weight, importance = problem
    return losses.exact_loss(W, b, table, weight, importance, get_readout(readout))


@partial(jax.jit, static_argnames=("shape", "readout"))
def _gradient(x, problem, shape, readout):
    return jax.grad(_loss)(x, problem, shape, readout)


def _hessian(x, problem, shape, readout):
    """The Hessian by central differences of the gradient, (k, k)."""
    moves = STEP * np.eye(len(x))
    ends = np.asarray(_gradients(np.concatenate([x + moves, x - moves]), problem, shape, readout))
    H = (ends[: len(x)] - ends[len(x) :]) / (2 * STEP)
    return (H + H.T) / 2


@partial(jax.jit, static_argnames=("shape", "readout"))
def _gradients(points, problem, shape, readout):
    return jax.lax.map(lambda x: _gradient(x, problem, shape, readout), points)


def _examined(x, shape, problem, readout, tolerance) -> Stationary:
    W, b = x[: shape[0] * shape[1]].reshape(shape), x[shape[0] * shape[1] :]
    turns, rest = _turns(W, len(x))
    values, vectors = np.linalg.eigh(rest.T @ _hessian(x, problem, shape, readout) @ rest)
    least = tolerance * np.abs(values).max()
    slope = float(np.linalg.norm(_gradient(x, problem, shape, readout)))
    loss = float(_loss(jnp.asarray(x), problem, shape, readout))
    index, flat = int((values < -least).sum()), int((np.abs(values) <= least).sum())
    return Stationary(W, b, loss, slope, values, (rest @ vectors).T, turns, index, flat)


def _turns(W, size: int):
    """How many directions turn the hidden space, and an orthonormal basis of all others, (size, others)."""
    m = len(W)
    moves = np.zeros((size, m * (m - 1) // 2))
    for k, (i, j) in enumerate(itertools.combinations(range(m), 2)):
        turned = np.zeros_like(W)
        turned[i], turned[j] = W[j], -W[i]
        moves[: W.size, k] = turned.ravel()
    left, lengths, _ = np.linalg.svd(moves, full_matrices=True)
    turns = int((lengths > 1e-6 * max(1.0, *lengths, 0.0)).sum())
    return turns, left[:, turns:]


# ------------------------------------------------------------ the linear model, by hand


def linear_index(variances, kept, m: int) -> int:
    """How many ways down lead from a stationary point of the linear model with tied weights and equal importances.

    variances: (n,) eigenvalues of the covariance of the inputs, all different. kept: the numbers of those whose
    eigenvectors the model reconstructs, at most m. Each kept one can be turned towards each dropped one of larger
    variance, and each hidden dimension that is not used can take up any dropped one.
    Source: Baldi & Hornik 1989 (which points are stationary, and that all but one are saddles); the count is ours.
    """
    variances, m = np.asarray(check.numbers("variances", variances)), check.count("m", m)
    if variances.ndim != 1 or (variances < 0).any() or len(np.unique(variances)) < len(variances):
        raise ValueError(f"variances must be (n,), none negative, all different; got {variances}")
    kept = sorted({check.count("kept", k, least=0) for k in kept})
    if len(kept) > m or (kept and kept[-1] >= len(variances)):
        raise ValueError(f"kept must be at most m = {m} numbers below {len(variances)}, got {kept}")
    dropped = np.setdiff1d(np.arange(len(variances)), kept)
    better = variances[dropped] > variances[np.array(kept, int)][:, None]
    return int(better.sum()) + (m - len(kept)) * len(dropped)


def linear_stationary(features: Features, kept, m: int) -> tuple[np.ndarray, np.ndarray]:
    """The stationary point of the linear model that reconstructs some eigenvectors of the covariance and no others.

    kept: numbers of eigenvalues, in falling order from 0, at most m. Returns W (m, n) and b (n,), the mean of what is
    left out. Source: Baldi & Hornik 1989.
    """
    check_features(features)
    mean, covariance = (np.asarray(a, float) for a in moments(features))
    vectors = np.linalg.eigh(covariance)[1][:, ::-1].T
    kept = [check.count("kept", k, least=0) for k in kept]
    if len(kept) > check.count("m", m) or len(set(kept)) < len(kept) or any(k >= len(mean) for k in kept):
        raise ValueError(f"kept must be at most m = {m} different numbers below {len(mean)}, got {kept}")
    W = np.zeros((m, len(mean)))
    W[: len(kept)] = vectors[kept]
    return W, mean - W.T @ (W @ mean)
