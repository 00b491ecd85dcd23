"""Exact inference: the latents that a penalty asks for, found for each input by a solver instead of an encoder.

For a dictionary D (latents, d) and an input h the problem is min |h - a D|² + λ Σ a over a ≥ 0, a non-negative Lasso.
It is convex, so a solver finds its minimum and can prove it; an encoder answers with one matrix and a ReLU and may not
reach it. What it misses is its amortisation gap. Source of the term: O'Neill, Gumran & Klindt 2025 (read by abstract).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toysup import check
from toysup.autoencoder import variants

SOLVER_STEPS, STEPS_BETWEEN, LEARNING_STEPS, ENCODER_STEPS = 600, 5, 400, 2000
RATE = 0.02  # of Adam, for dictionaries and for encoders; it falls to 0 as a cosine


class Inferred(NamedTuple):
    """Latents a (inputs, latents) >= 0, and the proof: their mean cost exceeds the lowest possible by at most `gap`."""

    a: np.ndarray
    gap: float


def infer(D, h, weight: float) -> Inferred:
    """The latents of lowest cost |h - a D|² + weight Σ a for each input, by accelerated proximal gradient steps.

    D: (latents, d), rows of any length. h: (inputs, d). weight: of the penalty, in the units of h, positive.
    Errors: ValueError where shapes do not fit.
    """
    D, h, weight = _checked(D, h, weight)
    a, gap = _solve(D, h, weight)
    return Inferred(np.asarray(a), float(gap))


def cost(D, h, a, weight: float) -> float:
    """The mean over inputs of |h - a D|² + weight Σ a."""
    D, h, weight = _checked(D, h, weight)
    return float(_cost(D, h, jnp.asarray(a, jnp.float32), weight).mean())


def learn(h, latents: int, weight: float, *, seeds: int = 1, key) -> np.ndarray:
    """Dictionaries learned with exact inference in place of an encoder (sparse coding), (seeds, latents, d).

    h: (inputs, d), all used at every step. Latents and dictionary move in turn; rows have length 1.
    Errors: ValueError that names the argument.
    """
    latents, seeds = check.count("latents", latents), check.count("seeds", seeds)
    check.key(key)
    _, h, weight = _checked(np.ones((1, np.shape(h)[-1])), h, weight)
    return np.asarray(_learn(h, weight, jax.random.split(key, seeds), latents))


def fit_encoder(D, h, weight: float, *, seeds: int = 4, key) -> variants.Autoencoder:
    """The best of some ReLU encoders trained for a dictionary that stays as it is: one Autoencoder.

    D: (latents, d), rows of length 1. h: (inputs, d). The first encoder starts as the dictionary itself, the others
    near it. Errors: ValueError where shapes do not fit.
    """
    D, h, weight = _checked(D, h, weight)
    check.key(key)
    models, costs = _fit_encoders(D, h, weight, jax.random.split(key, check.count("seeds", seeds)))
    return variants.pick(models, int(np.argmin(costs)))


def _checked(D, h, weight):
    D, h = (jnp.asarray(check.numbers(name, x), jnp.float32) for name, x in (("D", D), ("h", h)))
    if D.ndim != 2 or h.ndim != 2 or D.shape[1] != h.shape[1]:
        raise ValueError(f"D must have shape (latents, d) and h (inputs, d), got {D.shape} and {h.shape}")
    return D, h, jnp.asarray(check.positive("weight", weight, most=1e6), jnp.float32)


def _cost(D, h, a, weight):
    return ((h - a @ D) ** 2).sum(-1) + weight * a.sum(-1)


def _steps(D, h, weight, a, many: int):
    """`many` accelerated proximal gradient steps from latents a."""
    rate = 1 / (2 * jnp.linalg.norm(D @ D.T, 2))

    def step(carry, _):
        a, ahead, t = carry
        new = jnp.maximum(ahead - rate * (2 * (ahead @ D - h) @ D.T + weight), 0)
        longer = (1 + jnp.sqrt(1 + 4 * t**2)) / 2
        return (new, new + (t - 1) / longer * (new - a), longer), None

    return jax.lax.scan(step, (a, a, jnp.ones(())), None, length=many)[0][0]


@jax.jit
def _solve(D, h, weight):
    a = _steps(D, h, weight, jnp.zeros((len(h), len(D))), SOLVER_STEPS)
    left = h - a @ D
    dual = left * jnp.minimum(1, weight / jnp.maximum((2 * left @ D.T).max(-1), 1e-12))[:, None]
    return a, (_cost(D, h, a, weight) - (2 * dual * h - dual**2).sum(-1)).mean()


@partial(jax.jit, static_argnums=3)
def _learn(h, weight, keys, latents):
    rule, unit = optax.adam(1.0), lambda D: D / jnp.linalg.norm(D, axis=1, keepdims=True)

    def one(key):
        D = unit(jax.random.normal(key, (latents, h.shape[1])))

        def step(carry, t):
            D, a, state = carry
            a = _steps(D, h, weight, a, STEPS_BETWEEN)
            slope = jax.grad(lambda D: _cost(unit(D), h, a, weight).mean())(D)
            move, state = rule.update(slope, state)
            rate = RATE * (1 + jnp.cos(jnp.pi * t / LEARNING_STEPS)) / 2
            return (unit(D + rate * move), a, state), None

        start = (D, jnp.zeros((len(h), latents)), rule.init(D))
        return jax.lax.scan(step, start, jnp.arange(LEARNING_STEPS))[0][0]

    return jax.lax.map(one, keys)


@jax.jit
def _fit_encoders(D, h, weight, keys):
    rule = optax.adam(optax.cosine_decay_schedule(RATE, ENCODER_STEPS))
    encode = lambda w: jax.nn.relu((h - w[2]) @ w[0].T + w[1])
    costs = lambda w: _cost(D, h - w[2], encode(w), weight).mean()

    def one(key, i):
        E = D + jnp.where(i > 0, 0.3, 0.0) * jax.random.normal(key, D.shape)
        weights = (E, jnp.zeros(len(D)), jnp.zeros(D.shape[1]))

        def step(carry, _):
            move, state = rule.update(jax.grad(costs)(carry[0]), carry[1])
            return (optax.apply_updates(carry[0], move), state), None

        weights = jax.lax.scan(step, (weights, rule.init(weights)), None, length=ENCODER_STEPS)[0][0]
        E, b, c = weights
        return variants.Autoencoder(E, b, D, c, jnp.zeros((2, len(D))), jnp.zeros(()), "relu"), costs(weights)

    return jax.lax.map(lambda pair: one(*pair), (keys, jnp.arange(len(keys))))
