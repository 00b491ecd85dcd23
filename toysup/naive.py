"""Baselines without superposition for models that compute: a hidden unit serves one function, or copies one feature.

What is not computed is answered by its mean and costs its variance. All features here are independent of each other.
Beside them the floor of every linear readout, below which no network with one can get.
Sources: Elhage et al. 2022, "Computation in Superposition" (two neurons for one absolute value); Bhagat et al. 2026
(why a baseline is needed at all); Eckart and Young 1936 (the floor); the baselines for AND and for products are this
series' own.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar

from toysup import check
from toysup.compute import TASKS, pairs


def target_variance(density, task: str = "abs"):
    """What an output costs that is answered by its mean, (..., outputs).

    density: (..., n), of independent features. task: one of compute.TASKS. Errors name the argument.
    """
    check.choice("task", task, TASKS)
    p = _densities(density)
    if task == "abs":
        return p / 3 - p**2 / 4
    i, j = pairs(p.shape[-1])
    both = p[..., i] * p[..., j]
    return both - both**2 if task == "and" else both / 9 - both**2 / 16


def naive_loss(m: int, density, importance=1.0, task: str = "abs"):
    """The loss when the m hidden units are dealt out to the outputs that save most, and the others answer their mean.

    An absolute value takes two units, an AND one; both are then exact. m: hidden units. density: (..., n) of
    independent features. importance: scalar or (..., outputs). task: "abs" or "and".
    Returns (...). Errors name the argument.
    """
    check.choice("task", task, ("abs", "and"))
    m = check.count("m", m)
    variance = target_variance(density, task)
    cost = np.sort(check.importance(importance, variance.shape[-1]) * variance, axis=-1)[..., ::-1]
    return cost[..., m // 2 if task == "abs" else m :].sum(-1)


def half_loss(density):
    """What one absolute value costs that has one hidden unit, max(x, 0), and the best factor and bias.

    density: (...). Returns (...). The unit sees one sign of x; for the other, and for 0, the answer is the bias.
    """
    p = check.density(density)
    covariance, variance = p / 6 - p**2 / 8, p / 6 - p**2 / 16
    return p / 3 - p**2 / 4 - covariance**2 / variance


def single_loss(m: int, density, importance=1.0):
    """The loss of AND when every hidden unit computes one AND or copies one feature, and the outputs use all of them.

    The first q units copy features, the others are free; each is the one that lowers the loss most, and the best q is
    taken. Outputs are the best linear function of all units. m: hidden units. density: (n,) of independent features.
    importance: scalar or (outputs,). Returns a number. Errors name the argument.
    """
    p, m = _densities(density), check.count("m", m)
    if p.ndim != 1 or len(p) < 2:
        raise ValueError(f"density has shape {p.shape}: it must be (n,), at least 2 features")
    K = and_covariance(p)
    outputs = len(K) - len(p)
    weight = np.broadcast_to(check.importance(importance, outputs), (outputs,))
    return min(_chosen(K, len(p), weight, m, copies) for copies in range(min(m, len(p)) + 1))


def _chosen(K, n, weight, m, copies) -> float:
    """What is left of the variances K of n features and their ANDs when m units are chosen, the first ones copies."""
    least = 1e-12 * np.diagonal(K).min()
    for step in range(min(m, len(K))):
        own = np.diagonal(K)
        gain = np.where(own > least, (weight * K[:, n:] ** 2).sum(1) / np.maximum(own, least), 0)
        k = int(gain[: n if step < copies else None].argmax())
        if own[k] > least:
            K = K - np.outer(K[k], K[k]) / K[k, k]  # what is left once unit k is known
    return float(weight @ np.maximum(np.diagonal(K)[n:], 0))


def and_covariance(density):
    """The covariance of n independent binary features and of their ANDs, (n + pairs, n + pairs), in closed form.

    density: (n,). The mean of a product of ANDs is the product of the densities of all features in it.
    """
    p = _densities(density)
    n, (i, j) = len(p), pairs(len(p))
    member = np.zeros((n + len(i), n), bool)
    member[np.arange(n), np.arange(n)] = True
    member[n + np.arange(len(i)), i] = member[n + np.arange(len(i)), j] = True
    log = np.log(p)
    mean = np.exp(member @ log)
    return np.exp((member[:, None] | member[None]) @ log) - np.outer(mean, mean)


def linear_floor(m: int, covariance):
    """The least squared error, summed, of any linear readout of any m numbers: the smallest eigenvalues' sum.

    Such answers lie in a plane of m dimensions, whatever made the m numbers, and the best plane is that of the largest
    principal components of the targets. m: numbers. covariance: (..., outputs, outputs) of the targets; scale rows and
    columns by the roots of importances. Returns (...). Errors name the argument.
    Source: Eckart and Young 1936.
    """
    m, covariance = check.count("m", m), np.asarray(check.numbers("covariance", covariance), float)
    if covariance.ndim < 2 or covariance.shape[-1] != covariance.shape[-2]:
        raise ValueError(f"covariance has shape {covariance.shape}: it must be (..., outputs, outputs)")
    return np.linalg.eigvalsh(covariance)[..., : max(0, covariance.shape[-1] - m)].sum(-1)


def product_loss(density: float, nodes: int = 64) -> float:
    """What one product of two values in [0, 1] costs that has one hidden unit, max(x_i + x_j + c, 0), at the best c.

    density: that of both features. nodes: Gauss nodes in each direction. The factor and the bias of the output are the
    best ones. Errors name the argument.
    """
    p = float(check.density(density))
    u, w = np.polynomial.legendre.leggauss(check.count("nodes", nodes))
    u, w = (u + 1) / 2, w / 2
    x = np.concatenate([[0.0], u])
    mass = np.concatenate([[1 - p], p * w])  # of one value: inactive, or at a node
    weight, y, total = np.outer(mass, mass).ravel(), np.outer(x, x).ravel(), np.add.outer(x, x).ravel()
    y = y - weight @ y

    def left(c):
        h = np.maximum(total + c, 0)
        h = h - weight @ h
        own = weight @ h**2
        return weight @ y**2 - ((weight @ (h * y)) ** 2 / own if own > 1e-12 else 0.0)

    starts = np.linspace(-1.9, 0.5, 25)
    near = starts[np.argmin([left(c) for c in starts])]
    return float(minimize_scalar(left, bounds=(near - 0.1, near + 0.1), method="bounded", options={"xatol": 1e-9}).fun)


def _densities(density):
    p = np.asarray(check.density(density), float)
    if not p.ndim:
        raise ValueError(f"density is the single number {p}: give one for each feature, (..., n)")
    return p
