"""The toy with two knobs: its targets, its balanced form, its loss against plain sampling, closed forms, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toysup import actions as ac
from toysup import correlation
from toysup.features import sample

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def linear():
    return ac.train(np.array([[0.1], [0.8]]), np.array([0.0, 0.6]), readout="linear", restarts=4, key=KEY)


def plain_loss(fit, A, readout="linear", confidence=10.0, inputs=200_000):
    """The mean loss over drawn inputs, in NumPy's own words."""
    W, U, b = (np.asarray(v, np.float64) for v in (fit.W, fit.U, fit.b))
    x = np.asarray(sample(fit.features, inputs, key=jax.random.key(7)), np.float64)
    y, z = x @ A.T, x @ (U @ W).T + b
    if readout == "softmax":
        log = lambda v: v - np.log(np.exp(v - v.max(1, keepdims=True)).sum(1, keepdims=True)) - v.max(1, keepdims=True)
        p, q = log(confidence * y), log(z)
        return (np.exp(p) * (p - q)).sum(1).mean()
    return (((np.maximum(z, 0) if readout == "relu" else z) - y) ** 2).sum(1).mean()


def test_actions_have_length_one_and_the_asked_cosine():
    A = np.asarray(ac.actions(3, np.array([0.0, 0.6])))
    assert A.shape == (2, 6, 6)
    gram = np.swapaxes(A, 1, 2) @ A
    for rho, G in zip((0.0, 0.6), gram, strict=True):
        np.testing.assert_allclose(G, np.kron(np.eye(3), [[1, rho], [rho, 1]]), atol=1e-6)


def test_the_balanced_form_is_the_same_model_whatever_it_started_from():
    rng = np.random.default_rng(0)
    W, U, M = rng.normal(size=(3, 5)), rng.normal(size=(6, 3)), rng.normal(size=(3, 3))
    one, other = np.asarray(ac.balanced(W, U)), np.asarray(ac.balanced(M @ W, U @ np.linalg.inv(M)))
    np.testing.assert_allclose(one.T @ one, other.T @ other, atol=1e-3)
    back = U @ W @ np.linalg.pinv(one)
    np.testing.assert_allclose(back @ one, U @ W, atol=1e-4)
    np.testing.assert_allclose(back.T @ back, one @ one.T, atol=1e-3)
    assert np.square(one).sum() + np.square(back).sum() < np.square(W).sum() + np.square(U).sum()


def test_softmax_does_not_see_a_shift():
    rng = np.random.default_rng(0)
    W, U = rng.normal(size=(2, 4)), rng.normal(size=(4, 2))
    gram = lambda V: np.asarray(V.T @ V)
    one = gram(ac.balanced(W, U, readout="softmax"))
    np.testing.assert_allclose(one, gram(ac.balanced(W, U + rng.normal(size=2), readout="softmax")), atol=1e-4)
    assert np.abs(one - gram(ac.balanced(W, U))).max() > 0.01


@pytest.mark.parametrize(("rho", "cosine"), [(0.0, 0.0), (0.6, 1 / 3), (0.8, 0.5), (1.0, 1.0)])
def test_the_roomy_cosine_is_that_of_the_square_root(rho, cosine):
    assert float(ac.roomy_cosine(rho)) == pytest.approx(cosine, abs=1e-6)
    A = np.asarray(ac.actions(2, rho))
    found = correlation.pair_cosines(ac.balanced(A, np.eye(4)))
    np.testing.assert_allclose(found, cosine, atol=1e-3)


def test_across_by_hand():
    W = np.array([[1.0, 0, 2, 0], [0, 1, 0, 0]])  # the last one is not represented
    assert float(ac.across(W)) == pytest.approx(1 / 4)  # of a1 b1, a1 b2, a2 b1, a2 b2
    assert float(ac.across(np.array([[1.0, 1, -1, -1]]))) == pytest.approx(-1)


def test_the_linear_toy_reaches_the_best_that_rank_two_can_do(linear):
    """Eckart & Young: what A C^½ keeps beyond its two largest singular values."""
    for i, c in enumerate((0.1, 0.8)):
        for j, rho in enumerate((0.0, 0.6)):
            same, other = 0.1 / 3 - 0.0025, 0.1 * c / 4 - 0.0025
            root = np.linalg.cholesky(np.kron(np.eye(2), [[same, other], [other, same]]))
            least = (np.linalg.svd(np.asarray(ac.actions(2, rho)) @ root)[1][2:] ** 2).sum()
            assert float(linear.best().loss[i, j]) == pytest.approx(least, rel=2e-3)


def test_losses_are_those_of_drawn_inputs(linear):
    fit = jax.tree.map(lambda a: a[1, 1], linear.best())
    assert float(fit.loss) == pytest.approx(plain_loss(fit, np.asarray(ac.actions(2, 0.6))), rel=0.02)
    assert (np.asarray(linear.reached) >= 1).all()
    assert linear.W.shape == (2, 2, 4, 2, 4)


@pytest.mark.parametrize("readout", ["relu", "softmax"])
def test_the_loss_on_nodes_is_that_of_drawn_inputs(readout):
    """Of a random model: Gauss nodes against 200,000 inputs."""
    rng = np.random.default_rng(0)
    W, U, b = rng.normal(size=(2, 4)), rng.normal(size=(4, 2)), rng.normal(size=4) / 3
    features, A = correlation.pairs(2, 0.3, 0.6), ac.actions(2, 0.5)
    found = ac._loss((W, U, b), *ac._nodes(features, ac.FINE), A, 5.0, readout)
    fit = ac.ActionFit(W, U, b, found, features, readout)
    assert float(found) == pytest.approx(plain_loss(fit, np.asarray(A), readout, 5.0), rel=0.01)


def test_more_pairs_are_trained_on_drawn_inputs(compilations):
    kwargs = {"sets": 3, "m": 3, "readout": "linear", "restarts": 2, "steps": 300, "key": KEY}
    fit = ac.train(0.3, 0.5, **kwargs)
    best = fit.best()
    assert float(best.loss) == pytest.approx(plain_loss(best, np.asarray(ac.actions(3, 0.5))), rel=0.03)
    with compilations() as compiled:
        ac.train(0.7, 0.2, density=0.2, **kwargs).loss.block_until_ready()
    assert len(compiled) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"similarity": 1.2}, r"similarity must lie in \[0, 1\]"),
        ({"together": -0.1}, "together must lie between"),
        ({"density": 0.0}, r"density must lie in \(0, 1\]"),
        ({"readout": "abs"}, "readout must be one of 'linear', 'relu', 'softmax'"),
        ({"m": 0}, "m must be a whole number"),
        ({"confidence": np.nan}, "confidence must be finite"),
        ({"together": np.zeros(2), "similarity": np.zeros(3)}, "do not fit together"),
    ],
)
def test_errors_are_for_people(change, says):
    with pytest.raises(ValueError, match=says):
        ac.train(**({"together": 0.1, "similarity": 0.0, "key": KEY} | change))


def test_more_errors():
    with pytest.raises(ValueError, match="W must be"):
        ac.balanced(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="pairs of columns"):
        ac.across(jnp.ones((2, 3)))
    with pytest.raises(TypeError, match="key must be"):
        ac.train(0.1, 0.0, key=0)
