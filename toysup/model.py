"""The toy models: parameters, forward pass, readouts.

A model squeezes n features into m hidden dimensions and reads them out again:
`h = W x` and `x' = readout(Wᵀ h + b)`. Source: Elhage et al. 2022, section 2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from toysup import check

_kinked = check.without_derivative(
    "kinked",
    "the second derivative of a mean over drawn inputs misses the kink of the readout: take differences of gradients, "
    "or features whose loss is exact (toysup.loss.fits)",
)


def differentiable_once(function):
    """The same function of z, element by element, with a first derivative only: higher ones would miss a kink."""

    @jax.custom_jvp
    def once(z):
        return function(z)

    once.defjvp(lambda z, dz: jax.jvp(function, (_kinked(*z),), dz))
    return once


@dataclasses.dataclass(frozen=True)
class Readout:
    """What turns the preactivation z into the output, element by element.

    function: z -> output.
    slopes: (below, above) when the function is `below * z` for z < 0 and `above * z` for z > 0; its error can
        then be integrated along a line in closed form. None for any other function: Gauss nodes are used.
    """

    function: Callable[[jax.Array], jax.Array]
    slopes: tuple[float, float] | None = None


READOUTS: dict[str, Readout] = {
    "linear": Readout(lambda z: z, (1.0, 1.0)),
    "relu": Readout(jax.nn.relu, (0.0, 1.0)),
    "abs": Readout(jnp.abs, (-1.0, 1.0)),
    "gelu": Readout(lambda z: jax.nn.gelu(z, approximate=False)),
}


def get_readout(name: str) -> Readout:
    """The readout of that name, or an error that lists the names there are."""
    return READOUTS[check.choice("readout", name, READOUTS)]


def preactivation(W: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """Return z = Wᵀ W x + b with inputs as columns: W (m, n), b (n,), x (n, batch) -> (n, batch)."""
    return _preactivation(W, b, x)[0]


@jax.custom_vjp
def preactivation_in_training(W: jax.Array, b: jax.Array, x: jax.Array) -> jax.Array:
    """The same with quick gradients, for reverse mode only."""
    return _preactivation(W, b, x)[0]


def _preactivation(W, b, x):
    """Through Wᵀ W where that is fewer operations; and what the gradient needs."""
    if _few_features(W):
        gram = W.T @ W
        return gram @ x + b[:, None], (W, x, gram)
    hidden = W @ x
    return W.T @ hidden + b[:, None], (W, x, hidden)


def _slopes(kept, slope):
    """The gradients of W, b and x. Products are turned so that XLA's matrix product is quick on a CPU."""
    W, x, between = kept
    if _few_features(W):
        outer = slope @ x.T
        return W @ (outer + outer.T), slope.sum(1), between @ slope
    back = W @ slope
    outer = jnp.einsum("kl,il->ik", between, slope) + jnp.einsum("kl,il->ik", back, x)
    return outer.T, slope.sum(1), W.T @ back


def _few_features(W) -> bool:
    return W.shape[1] <= 2.5 * W.shape[0]


preactivation_in_training.defvjp(_preactivation, _slopes)


def forward(W, b, x, *, readout: str = "relu") -> jax.Array:
    """The model's output for given inputs.

    W: (..., m, n). b: (..., n). x: inputs (..., batch, n). readout: one of READOUTS.
    Returns x' (..., batch, n). Leading axes broadcast. Source: Elhage et al. 2022, section 2, "The ReLU output model".
    """
    f = get_readout(readout).function
    x = check.numbers("x", x, check.MOST_PARAMETER)
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}: it must be (..., batch, n)")
    W, b = check.parameters(W, b, x.shape[-1])
    check.broadcastable("W, b and x", W.shape[:-2], b.shape[:-1], x.shape[:-2])
    W, b, x = (jnp.asarray(a, check.dtype()) for a in (W, b, x))
    return f(jnp.einsum("...bj,...mj,...mi->...bi", x, W, W) + b[..., None, :])


def initial(restarts: int, m: int, n: int, *, key) -> tuple[jax.Array, jax.Array]:
    """Random starts: W (restarts, m, n) with entries of variance 1/(2m), b (restarts, n) of zeros.

    Restart r depends on `key` and r alone, neither on the number of restarts nor on how many models are batched.
    """
    keys = jax.vmap(lambda r: jax.random.fold_in(key, r))(jnp.arange(restarts))
    W = jax.vmap(lambda k: jax.random.normal(k, (m, n), jnp.float32))(keys) / (2 * m) ** 0.5
    return W.astype(check.dtype()), jnp.zeros((restarts, n), check.dtype())
