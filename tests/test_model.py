"""The forward pass: its two ways to multiply, and their gradients, against the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toysup
from toysup.model import preactivation, preactivation_in_training

SHAPES = [(1, 1), (2, 5), (4, 10), (2, 6), (3, 12), (20, 100), (6, 4)]  # n ≤ 2.5 m and beyond


def random(m, n, seed=0):
    keys = jax.random.split(jax.random.key(seed), 4)
    return [jax.random.normal(k, s) for k, s in zip(keys, [(m, n), (n,), (n, 32), (n, 32)], strict=True)]


@pytest.mark.parametrize("product", [preactivation, preactivation_in_training])
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_preactivation_and_its_gradients_follow_the_formula(m, n, product):
    W, b, x, slope = random(m, n)
    plain = lambda W, b, x: W.T @ (W @ x) + b[:, None]
    ours, back = jax.vjp(product, W, b, x)
    theirs, plain_back = jax.vjp(plain, W, b, x)
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)
    for got, wanted in zip(back(slope), plain_back(slope), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4 * float(jnp.abs(wanted).max()))


@pytest.mark.parametrize(("m", "n"), [(2, 5), (2, 6)])
def test_forward_is_the_model_of_the_paper(m, n):
    W, b, x, _ = (np.asarray(a, np.float64) for a in random(m, n, seed=1))
    wanted = np.maximum(np.einsum("ki,kj,jl->li", W, W, x) + b, 0)
    np.testing.assert_allclose(toysup.forward(W, b, x.T), wanted, rtol=1e-4, atol=1e-4)
