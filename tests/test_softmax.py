"""The softmax readout and its cross-entropy."""

import jax.numpy as jnp
import numpy as np
from scipy.special import rel_entr
from scipy.special import softmax as reference

from toysup import softmax


def test_divergence_is_that_of_the_distributions_and_ignores_a_shift():
    target, z = np.random.default_rng(0).normal(size=(2, 5, 7)) * 3
    expected = rel_entr(reference(target, 0), reference(z, 0)).sum(0)
    np.testing.assert_allclose(softmax.divergence(target, z), expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(softmax.divergence(target + 9, z - 4), expected, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(softmax.divergence(target.T, z.T, axis=1), expected, rtol=2e-4, atol=1e-6)


def test_divergence_of_equals_is_zero_and_of_certainties_finite():
    z = jnp.array([[0.0, 300.0], [1.0, -300.0]])
    np.testing.assert_allclose(softmax.divergence(z, z), 0, atol=1e-6)
    assert np.isfinite(softmax.divergence(z, -z)).all()
