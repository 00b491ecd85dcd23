"""Every model from every start, and the best of them."""

import jax.numpy as jnp
import numpy as np
import pytest

from toysup import restarts


def test_the_starts_of_a_model_stand_side_by_side():
    models, (W, b) = restarts.from_every_start(
        {"p": jnp.array([1.0, 2.0])}, (jnp.arange(6.0).reshape(3, 2), jnp.zeros(3))
    )
    np.testing.assert_array_equal(models["p"], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(W, [[0, 1], [2, 3], [4, 5]] * 2)
    assert b.shape == (6,)


def test_pick_takes_one_restart_of_each_model_from_every_leaf():
    values = (jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(6.0).reshape(2, 3))
    long, short = restarts.pick(jnp.array([2, 0]), values)
    np.testing.assert_array_equal(long, [[8, 9, 10, 11], [12, 13, 14, 15]])
    np.testing.assert_array_equal(short, [2, 3])
    assert restarts.pick(jnp.array(1), jnp.array([5.0, 7.0])) == 7


def test_divergence_is_refused_with_its_count():
    restarts.refuse_divergence(jnp.ones((2, 2)), 0.1)
    with pytest.raises(ValueError, match="learning_rate=3 is too large: 2 of 4 restarts diverged"):
        restarts.refuse_divergence(jnp.array([[1.0, jnp.nan], [jnp.inf, 2.0]]), 3)
