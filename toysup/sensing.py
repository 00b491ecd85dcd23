"""Sparse vectors from few measurements: by a linear programme, and by a network with one matrix product and a ReLU.

A vector x of n entries, k of them not 0, is measured as h = W x, m numbers. Of all vectors with these measurements
the one of the least sum of absolute values is taken for x. Features of the toy models are not negative, which helps.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq, linprog
from scipy.special import ndtr

from toysup import check, theory
from toysup.coherence import random_frame
from toysup.features import independent, sample, sample_columns
from toysup.optimise import adam
from toysup.train import train

SAME = 1e-4  # entries of order 1 that differ by less are the same: far above the solver's tolerance of 1e-7


# ---------------------------------------------------------------------------------------------- recovery


def recover(W, h, *, signed: bool = False) -> np.ndarray:
    """The x with W x = h of the least Σ|x_i|, by the linear programmes of HiGHS (`scipy.optimize.linprog`).

    W: (m, n). h: (m,), a measurement of some x. signed: whether entries may be negative. Returns (n,).
    Errors: ValueError where no x fits. Source: Chen, Donoho and Saunders 1998 (basis pursuit).
    """
    W, h = _measurement(W, h)
    n = W.shape[1]
    A = np.hstack([W, -W]) if signed else W
    found = linprog(np.ones(A.shape[1]), A_eq=A, b_eq=h, bounds=(0, None), method="highs")
    if found.x is None:
        raise ValueError(f"no {'' if signed else 'non-negative '}x has these measurements: {found.message}")
    return found.x[:n] - found.x[n:] if signed else found.x


def search(W, h, *, most: int = 5) -> np.ndarray:
    """The x of the fewest entries with W x = h, x in [0, 1], by trying all sets of places; one column at a time.

    For a W in general position and k < m entries drawn from a continuous distribution this is x itself, whatever the
    density: no other set of so few places fits. Where no set of fewer than m places (and at most `most`) fits, the
    answer is the mean of x given that m entries are active, if m <= most - 1, else that of `recover`. Noise spoils
    all of it.

    W: (m, n). h: (m, batch). Returns (n, batch).
    """
    W, h = check.numbers("W", W), check.numbers("h", h)
    if W.ndim != 2 or h.ndim != 2 or len(W) != len(h):
        raise ValueError(f"W must have shape (m, n) and h (m, batch), got {W.shape} and {h.shape}")
    m, n = W.shape
    x, open_ = np.zeros((n, h.shape[1])), np.abs(h).max(0) > SAME / 100
    for k in range(1, min(m - 1, check.count("most", most)) + 1):
        sets = _sets(n, k)
        A = np.moveaxis(W[:, sets], 0, 1)
        inverse = np.linalg.pinv(A)
        for j in np.flatnonzero(open_):
            entries = inverse @ h[:, j]
            off = np.abs(np.einsum("smk,sk->sm", A, entries) - h[:, j]).max(1)
            if off.min() < 1e-9 and entries[off.argmin()].min() > 0:
                x[sets[off.argmin()], j], open_[j] = entries[off.argmin()], False
    for j in np.flatnonzero(open_):
        x[:, j] = _mean_of_crowds(W, h[:, j]) if m < most else recover(W, h[:, j])
    return x


def _sets(n, k):
    """All sets of k of n places, (sets, k)."""
    return np.array(list(itertools.combinations(range(n), k)))


def _mean_of_crowds(W, h):
    """The mean of x given W x = h and that as many entries are active as W has rows; each uniform on [0, 1]."""
    sets = _sets(W.shape[1], len(W))
    A = np.moveaxis(W[:, sets], 0, 1)
    entries, weight = np.linalg.solve(A, h[None, :, None])[..., 0], 1 / np.abs(np.linalg.det(A))
    weight = weight * ((entries >= 0) & (entries <= 1)).all(1)
    if not weight.sum():
        return recover(W, h)
    return np.bincount(sets.ravel(), (weight[:, None] * entries).ravel(), W.shape[1]) / weight.sum()


def least_squares(W, h) -> np.ndarray:
    """The x with W x = h of the least Σ x_i²: what a linear readout gives. W: (m, n). h: (m,). Returns (n,)."""
    W, h = _measurement(W, h)
    return np.linalg.lstsq(W, h, rcond=None)[0]


def recovers(W, x, how=recover) -> bool:
    """Whether x is got back from W x. W: (m, n). x: (n,), of order 1. how: (W, h) -> (n,)."""
    W, x = check.numbers("W", W), check.numbers("x", x)
    if x.ndim != 1:
        raise ValueError(f"x must have shape (n,), got {x.shape}")
    W, h = _measurement(W, W @ x if W.ndim == 2 and W.shape[1] == len(x) else None)
    return bool(np.abs(how(W, h) - x).max() < SAME)


def staircase(W, signs=None, how=recover) -> np.ndarray:
    """How many measurements it takes for k = 1, 2, ..., n entries, exactly, for one matrix.

    x has entries ± 1 in its first k places, and the first m rows of W measure it. One row more never hurts, one
    entry more never helps, so the border is a staircase and one walk along it finds all of it: 2n programmes in
    place of n². Which values the entries have does not matter, only their signs.

    W: (n, n), of full rank; rows and columns in any random order. signs: (n,) of ± 1, where x is signed; None where
    x is not negative. how: (W, h) -> (n,); `recover` is told of the signs. Returns (n,) integers.
    """
    W = check.numbers("W", W)
    if W.ndim != 2 or W.shape[0] != W.shape[1]:
        raise ValueError(f"W must have shape (n, n), got {W.shape}")
    n = len(W)
    if np.linalg.matrix_rank(W) < n:
        raise ValueError(f"W must have full rank {n}: with dependent rows no number of them is enough")
    values = np.ones(n) if signs is None else check.numbers("signs", signs)
    if values.shape != (n,) or (np.abs(values) != 1).any():
        raise ValueError(f"signs must be {n} numbers 1 or -1, got shape {values.shape}")
    how = partial(recover, signed=signs is not None) if how is recover else how
    border, m = np.empty(n, int), 1
    for k in range(1, n + 1):
        x = np.where(np.arange(n) < k, values, 0.0)
        while m < n and not recovers(W[:m], x, how):
            m += 1
        border[k - 1] = m
    return border


# --------------------------------------------------------------------------------------------- threshold


def threshold(share, *, signed: bool = False):
    """The share m/n of measurements from which recovery succeeds, for large n, when a share k/n of entries is not 0.

    The statistical dimension of the cone of directions in which the sum does not grow, per entry:
    ψ(ρ) = min over τ >= 0 of ρ (1 + τ²) + (1 - ρ) c E[(g - τ)²₊], g normal; c = 2 for signed x, 1 for x >= 0.

    share: ρ in (0, 1], any shape. Returns its shape. Source: Amelunxen, Lotz, McCoy and Tropp 2014, equation (4.11)
    for signed x; with c = 1 the same derivation gives the threshold of Donoho and Tanner 2005 for x >= 0.
    """
    share = check.density(share)
    c = 2.0 if signed else 1.0
    one = lambda rho: _statistical_dimension(float(rho), _best_level(float(rho), c), c)
    return np.vectorize(one, otypes=[float])(share)[()]


def _statistical_dimension(rho, tau, c):
    return rho * (1 + tau**2) + (1 - rho) * c * ((1 + tau**2) * ndtr(-tau) - tau * _bell(tau))


def _best_level(rho, c):
    """Where the derivative in τ is 0: ρ τ = (1 - ρ) c E[(g - τ)₊]; one root, as the left rises and the right falls."""
    slope = lambda tau: rho * tau - (1 - rho) * c * (_bell(tau) - tau * ndtr(-tau))
    return brentq(slope, 0.0, 40.0, xtol=1e-13)


def _bell(tau):
    return np.exp(-(tau**2) / 2) / np.sqrt(2 * np.pi)


# --------------------------------------------------------------------- a matrix product and a ReLU, or several


@jax.jit
def _steps(W, h, steps, penalty):
    size = 1 / jnp.maximum(jnp.linalg.norm(W, 2) ** 2, 1e-24)
    one = lambda _, x: jax.nn.relu(x + size * (W.T @ (h - W @ x) - penalty))
    return jax.lax.fori_loop(0, steps, one, jnp.zeros((W.shape[1], h.shape[1])))


def iterate(W, h, steps: int, penalty):
    """Matrix product, subtraction, ReLU, again and again: x <- ReLU(x + s (Wᵀ(h - W x) - λ)), from x = 0.

    s = 1 / |W|². The steps descend |h - W x|²/2 + λ Σ x_i over x >= 0; the first is ReLU(s Wᵀh - s λ), the toy
    model's readout with the bias -s λ. W: (m, n). h: (m, batch). steps: at least 1. penalty: λ, not negative.
    Returns (n, batch). Source: Daubechies, Defrise and De Mol 2004.
    """
    W, h = (check.numbers(name, a, check.MOST_PARAMETER) for name, a in (("W", W), ("h", h)))
    if W.ndim != 2 or h.ndim != 2 or len(W) != len(h):
        raise ValueError(f"W must have shape (m, n) and h (m, batch), got {W.shape} and {h.shape}")
    steps, penalty = check.count("steps", steps), check.numbers("penalty", penalty)
    if penalty.ndim or penalty < 0:
        raise ValueError(f"penalty must be one number, not negative; got {penalty}")
    return _steps(jnp.asarray(W, check.dtype()), jnp.asarray(h, check.dtype()), steps, float(penalty))


def train_readout(W, density, *, steps: int = 3000, batch: int = 512, rate: float = 0.03, key):
    """The best x' = ReLU(V h + b) for a W that stays as it is: V and b trained, V free of Wᵀ.

    W: (..., m, n). density: p, one number. steps, rate: of Adam, which draws `batch` inputs at each. key: a JAX
    random key. Returns V (..., n, m), b (..., n).
    """
    W, p = check.numbers("W", W, check.MOST_PARAMETER), check.density(density)
    if W.ndim < 2 or p.ndim:
        raise ValueError(f"W must have shape (..., m, n) and density be one number; got {W.shape} and {p.shape}")
    steps, batch = check.count("steps", steps), check.count("batch", batch)
    rate = check.positive("rate", rate, most=1.0)
    flat = jnp.asarray(W.reshape(-1, *W.shape[-2:]), check.dtype())
    V, b = _train_readout(flat, independent(p, n=W.shape[-1]), rate, check.key(key), steps=steps, batch=batch)
    return V.reshape(*W.shape[:-2], *V.shape[1:]), b.reshape(*W.shape[:-2], -1)


@partial(jax.jit, static_argnames=("steps", "batch"))
def _train_readout(W, features, rate, key, *, steps, batch):
    scale = 3 / (batch * jnp.sum(features.density))

    def one(W):
        def loss(parameters, key):
            V, b = parameters
            x = sample_columns(features, batch, key=key)
            return scale * jnp.sum((x - jax.nn.relu(V @ (W @ x) + b[:, None])) ** 2)

        return adam(loss, (W.T, features.density / 2), rate, steps, key=key)

    return jax.vmap(one)(W)


def unroll(W, h, V, b):
    """As many repeated steps as V has, each with a matrix and a bias of its own: x <- ReLU(x + V_t (h - W x) + b_t).

    W: (m, n). h: (m, batch). V: (steps, n, m). b: (steps, n). Returns x (n, batch), from x = 0. One step is the readout
    ReLU(V h + b). Source: Gregor and LeCun 2010 (LISTA), here with W known and fixed.
    """
    x = jnp.zeros((W.shape[1], h.shape[1]))
    for v, c in zip(V, b, strict=True):
        x = jax.nn.relu(x + v @ (h - W @ x) + c[:, None])
    return x


def train_steps(W, density, depth: int, *, steps: int = 3000, batch: int = 512, rate: float = 0.01, key):
    """Train `depth` repeated steps for a W that stays as it is, from small steps with a small penalty.

    W: (..., m, n). density: p, one number. depth: steps of the network. steps, batch, rate: of Adam, which draws
    fresh inputs at each of its own. key: a JAX random key. Returns V (..., depth, n, m), b (..., depth, n).
    """
    W, p = check.numbers("W", W, check.MOST_PARAMETER), check.density(density)
    if W.ndim < 2 or p.ndim:
        raise ValueError(f"W must have shape (..., m, n) and density be one number; got {W.shape} and {p.shape}")
    depth, steps, batch = check.count("depth", depth), check.count("steps", steps), check.count("batch", batch)
    flat = jnp.asarray(W.reshape(-1, *W.shape[-2:]), check.dtype())
    features, rate = independent(p, n=W.shape[-1]), check.positive("rate", rate, most=1.0)
    V, b = _train_steps(flat, features, rate, check.key(key), depth=depth, steps=steps, batch=batch)
    return V.reshape(*W.shape[:-2], *V.shape[1:]), b.reshape(*W.shape[:-2], *b.shape[1:])


@partial(jax.jit, static_argnames=("depth", "steps", "batch"))
def _train_steps(W, features, rate, key, *, depth, steps, batch):
    scale = 3 / (batch * jnp.sum(features.density))

    def one(W):
        def loss(parameters, key):
            x = sample_columns(features, batch, key=key)
            return scale * jnp.sum((x - unroll(W, W @ x, *parameters)) ** 2)

        size = 1 / jnp.linalg.norm(W, 2) ** 2
        start = jnp.tile(size * W.T, (depth, 1, 1)), jnp.full((depth, W.shape[1]), -0.03 * size)
        return adam(loss, start, rate, steps, key=key)

    return jax.vmap(one)(W)


class Compared(NamedTuple):
    """Shares of the variance that are lost, (seeds,) each.

    readout: a random W, and V and b trained. model: W and b trained, read with Wᵀ. solver: a random W, and `recover`.
    """

    readout: np.ndarray
    model: np.ndarray
    solver: np.ndarray


def lost(x, guess, density) -> float:
    """The squared error of a guess as a share of the variance: 0 is perfect, 1 is the mean p/2 as the answer.

    x, guess: (n, batch). density: p, one number. The error is averaged over the batch.
    """
    x, guess = check.numbers("x", x), check.numbers("guess", guess)
    if x.ndim != 2 or x.shape != guess.shape:
        raise ValueError(f"x and guess must have the same shape (n, batch), got {x.shape} and {guess.shape}")
    if np.ndim(density):
        raise ValueError(f"density must be one number, got an array of shape {np.shape(density)}")
    return float(np.sum((x - guess) ** 2) / (x.size * theory.variance(density)))


def _keys(seed: int):
    """Of training a readout, of training a model, and of the inputs that judge both."""
    return jax.random.split(jax.random.key(check.count("seed", seed, least=0)), 3)


def unseen(n: int, density, *, seed: int = 0) -> np.ndarray:
    """The 2,000 inputs on which `compare` judges, (n, 2000): none of its trainings has seen them."""
    return np.asarray(sample(independent(density, n=n), 2000, key=_keys(seed)[2]), float).T


def compare(m: int, n: int, density, *, draws: int = 20, solved: int = 5, steps: int = 2000, seed: int = 0) -> Compared:
    """A network's readout, a whole network and the solver on n independent features in m dimensions.

    The random W are the same for the readout and, the first `solved` of them, for the solver; they are judged on the
    same 2,000 and 200 inputs. draws: random W, and restarts of the trained model. steps: of training.
    """
    frames, (read_key, fit_key, _) = random_frame(m, n, seed=seed, draws=draws), _keys(seed)
    features = independent(density, n=n)
    x = unseen(n, density, seed=seed)
    V, b = (np.asarray(a, float) for a in train_readout(frames, density, steps=steps, key=read_key))
    read = [lost(x, np.maximum(v @ (W @ x) + c[:, None], 0), density) for W, v, c in zip(frames, V, b, strict=True)]
    fit = train(features, m=m, restarts=draws, steps=steps, objective="sampled", batch=512, key=fit_key)
    few = x[:, :200]
    solve = [lost(few, np.stack([recover(W, W @ y) for y in few.T], 1), density) for W in frames[:solved]]
    return Compared(np.array(read), np.asarray(fit.loss, float) / (n * theory.variance(density)), np.array(solve))


def _measurement(W, h):
    W = check.numbers("W", W)
    if W.ndim != 2:
        raise ValueError(f"W must have shape (m, n), got {W.shape}")
    if h is None or np.shape(h) != W.shape[:1]:
        raise ValueError(f"W has shape {W.shape}: its measurements must have shape {W.shape[:1]} and x {W.shape[1:]}")
    return W, check.numbers("h", h)
