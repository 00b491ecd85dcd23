"""Neurons against other directions: how far features lie along the axes of the hidden space, and turning that space.

Source: Elhage et al. 2022, "Features as Directions" and "Demonstrating Superposition".
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from toysup import check

MONOSEMANTIC = 0.9  # least share of the strongest feature


def rotation(angle, m: int = 2, *, key=None):
    """Rotations of an m-dimensional space by an angle, in each of ⌊m/2⌋ planes at right angles to each other.

    angle: (...) in radians. m: dimensions, at least 2. key: a JAX random key that draws the planes; without one they
    are those of axes 0 and 1, 2 and 3, and so on.
    Returns R (..., m, m); R at angles α and β is R at α + β. Errors name the argument.
    """
    angle, m = check.numbers("angle", angle), check.count("m", m, least=2)
    angle = jnp.asarray(angle, check.dtype())[..., None]
    plane = jnp.arange(m // 2) * 2
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    R = jnp.broadcast_to(jnp.eye(m), (*angle.shape[:-1], m, m))
    R = R.at[..., plane, plane].set(cos).at[..., plane + 1, plane + 1].set(cos)
    R = R.at[..., plane + 1, plane].set(sin).at[..., plane, plane + 1].set(-sin)
    if key is None:
        return R
    Q = random_rotation(m, key=key)
    return Q @ R @ Q.T


def random_rotation(m: int, count: int | None = None, *, key):
    """Rotations (or rotations with a reflection), each as likely as any other.

    m: dimensions. count: how many. key: a JAX random key.
    Returns Q (m, m), or (count, m, m). Source: Mezzadri 2007, section 5.
    """
    m = check.count("m", m)
    shape = (m, m) if count is None else (check.count("count", count), m, m)
    Q, R = jnp.linalg.qr(jax.random.normal(check.key(key), shape))
    return Q * jnp.sign(jnp.diagonal(R, axis1=-2, axis2=-1))[..., None, :]


def alignment(W):
    """How far each feature lies along one neuron: the largest of its squared entries over its squared length.

    1 for a feature written to one neuron alone, 1/m for one spread evenly over all m; 0 for a feature of length 0.
    W: (..., m, n). Returns (..., n). Errors name the argument.
    """
    square = _matrix(W) ** 2
    return square.max(-2) / jnp.maximum(square.sum(-2), 1e-24)


def kurtosis(h, axis: int = -1):
    """How unevenly numbers are spread along an axis: mean fourth power over squared mean square.

    m for m numbers of which one is not 0, 1 for numbers of one size, near 3 for many normal ones; 0 where all are 0.
    Moments are taken about 0. h: (..., m, ...). Returns h's shape without the axis. Errors name the argument.
    Source: Elhage et al. 2023, "Privileged Bases in the Transformer Residual Stream".
    """
    h = jnp.asarray(check.numbers("h", h, check.MOST_PARAMETER), check.dtype())
    if not h.ndim:
        raise ValueError(f"h must have at least one axis, got the number {h}")
    h = h / jnp.maximum(jnp.max(jnp.abs(h), axis, keepdims=True), 1e-30)  # so that no power is too small for float32
    return jnp.mean(h**4, axis) / jnp.maximum(jnp.mean(h**2, axis) ** 2, 1e-24)


def random_kurtosis(m: int) -> float:
    """The mean of `kurtosis` over all directions of an m-dimensional space, 3m/(m + 2)."""
    m = check.count("m", m)
    return 3 * m / (m + 2)


def responses(W, activation: str = "relu"):
    """The size of each neuron's answer to each feature alone at strength 1: ReLU(W), or |W| without activation.

    W: (..., m, n). activation: "relu" or "linear". Returns (..., m, n). Errors name the argument.
    """
    check.choice("activation", activation, ("relu", "linear"))
    return jnp.maximum(_matrix(W), 0) if activation == "relu" else jnp.abs(_matrix(W))


def purity(W, activation: str = "relu"):
    """The share of a neuron's answers that its strongest feature has, features given one at a time at strength 1.

    1 for a neuron that answers to one feature only, 1/n for one that answers to all alike; 0 for one that answers to
    none. W: (..., m, n). activation: as for `responses`. Returns (..., m). Errors name the argument.
    """
    answers = responses(W, activation)
    return answers.max(-1) / jnp.maximum(answers.sum(-1), 1e-12)


def monosemantic(W, activation: str = "relu"):
    """Which neurons answer to one feature: `purity` above MONOSEMANTIC.

    W: (..., m, n). activation: as for `responses`. Returns booleans (..., m). Errors name the argument.
    """
    return purity(W, activation) > MONOSEMANTIC


def clearest_turn(W, *, tries: int = 32, steps: int = 200, key):
    """W after the turn of its hidden space, of those found, that leaves most neurons monosemantic (then the purest).

    From random turns Q it climbs Σ (Q W)⁴, which is largest where entries are few and large, by Q <- the rotation
    nearest to (Q W)³ Wᵀ (the quartimax criterion of factor analysis). W: (m, n). tries: random turns to start from.
    steps: at most so many each. key: a JAX random key. Returns Q W (m, n); the best found, not a proven optimum.
    """
    W = np.asarray(_matrix(W), np.float64)
    if W.ndim != 2:
        raise ValueError(f"W has shape {W.shape}: it must be (m, n)")
    Q = np.asarray(random_rotation(len(W), check.count("tries", tries), key=key), np.float64)
    for _ in range(check.count("steps", steps)):
        U, _, V = np.linalg.svd((Q @ W) ** 3 @ W.T)
        Q = U @ V
    turned = np.concatenate([W[None], Q @ W])
    clear = np.asarray(monosemantic(turned, "linear").sum(-1) + purity(turned, "linear").mean(-1))
    return turned[np.argmax(np.round(clear, 4))]  # of equals the first


def _matrix(W):
    W = check.numbers("W", W, check.MOST_PARAMETER)
    if W.ndim < 2:
        raise ValueError(f"W has shape {W.shape}: it must be (..., m, n)")
    return jnp.asarray(W, check.dtype())
