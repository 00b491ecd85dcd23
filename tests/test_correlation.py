"""Pairs from never to always together: probabilities, draws, the exact loss; measures of sets, and their controls."""

import itertools

import helpers
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toysup
from toysup import correlation as co
from toysup.features import moments

KEY = jax.random.key(0)
SETTINGS = [(0.1, 0.0), (0.1, 0.1), (0.3, 0.7), (0.6, 0.4), (0.2, 1.0)]


def by_hand(sets, p, c):
    """The probability of each set of active features, in the order of `helpers.supports`."""
    one = {(1, 1): p * c, (1, 0): p * (1 - c), (0, 1): p * (1 - c), (0, 0): 1 - 2 * p + p * c}
    active = helpers.supports(2 * sets).astype(int).reshape(-1, sets, 2)
    return np.array([np.prod([one[tuple(pair)] for pair in row]) for row in active.tolist()])


@pytest.mark.parametrize(("p", "c"), SETTINGS)
def test_pairs_have_the_density_and_the_partner_that_were_asked_for(p, c):
    x = np.asarray(toysup.sample(co.pairs(2, p, c), 200_000, key=KEY)) > 0
    assert np.allclose(co.pairs(2, p, c).density, p)
    assert np.allclose(x.mean(0), p, atol=0.005)
    assert np.allclose((x[:, 0] & x[:, 1]).mean(), p * c, atol=0.004)
    assert np.allclose((x[:, 0] & x[:, 2]).mean(), p * p, atol=0.004)
    if p < 1:
        assert np.corrcoef(x[:, 0], x[:, 1])[0, 1] == pytest.approx(co.activity_correlation(p, c), abs=0.012)


@pytest.mark.parametrize(("p", "c"), SETTINGS)
def test_the_exact_loss_of_pairs_is_that_of_a_dense_reference(p, c):
    W, b = np.asarray(jax.random.normal(KEY, (2, 4))) * 0.8, np.array([0.05, -0.1, 0.0, -0.2])
    reference = by_hand(2, p, c) @ helpers.losses_by_support(W, b, exponent=13)
    assert toysup.expected_loss(W, b, co.pairs(2, p, c)) == pytest.approx(reference, rel=1e-3)


@pytest.mark.parametrize(
    ("c", "same"),
    [(0.0, toysup.anticorrelated(2, 2, 0.4)), (0.2, toysup.independent(0.2, 4)), (1.0, toysup.correlated(2, 2, 0.2))],
)
def test_the_ends_and_the_middle_are_the_three_known_kinds(c, same):
    features = co.pairs(2, 0.2, c)
    W, b = np.asarray(jax.random.normal(KEY, (3, 2, 4))), np.full(4, -0.1)
    assert np.allclose(toysup.expected_loss(W, b, features), toysup.expected_loss(W, b, same), rtol=1e-4)
    for mine, theirs in zip(moments(features), moments(same), strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)


def test_pairs_in_a_batch_inside_jit_and_under_the_gradient():
    many = co.pairs(3, 0.2, np.array([0.0, 0.2, 1.0])[:, None])
    assert (many.shape, many.n) == ((3,), 6)
    W, b = np.asarray(jax.random.normal(KEY, (2, 4))), np.zeros(4)
    loss = lambda c: toysup.expected_loss(W, b, co.pairs(2, 0.2, c))
    slope = jax.jit(jax.grad(loss))(0.5)
    assert slope == pytest.approx(float(loss(0.6) - loss(0.4)) / 0.2, rel=1e-3)
    with helpers.compilations() as programs:
        loss(0.61)
        loss(0.62)
    assert programs == []
    fit = toysup.train(co.pairs(2, 0.1, [0.3, 0.9]), 2, restarts=2, steps=5, polish=0, key=KEY)
    assert np.isfinite(fit.loss).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: co.pairs(0, 0.1, 0.5), "sets must be a whole number"),
        (lambda: co.pairs(2, 0.0, 0.5), "density must lie in"),
        (lambda: co.pairs(2, 0.1, 1.2), r"together must lie between 0 and 1 .*got 1.2"),
        (lambda: co.pairs(2, 0.1, -0.1), r"together must lie between 0 and 1 .*got -0.1"),
        (lambda: co.pairs(2, 0.8, 0.5), r"together must lie between 0.75 and 1 where density is 0.8, got 0.5"),
        (lambda: co.pairs(2, 0.1, np.nan), "together must be finite"),
        (lambda: co.pairs(2, [0.1, 0.2, 0.3], 0.5), "do not fit together"),
        (lambda: co.pairs(1, [0.1, 0.2], 0.5), "last axis must be 1"),
        (lambda: co.activity_correlation(1.0, 1.0), "density must be below 1"),
        (lambda: co.overlaps(np.ones((2, 4)), 3), "size must divide"),
        (lambda: co.overlaps(np.ones((2, 4)), 4), "nothing across sets"),
        (lambda: co.overlaps(np.ones((2, 4)), 1), "size must be a whole number, at least 2"),
        (lambda: co.overlaps(np.full((2, 4), np.nan), 2), "W must be finite"),
        (lambda: co.overlaps(np.full((2, 4), 1e20), 2), "W must lie between"),
        (lambda: co.local_dimensionality(np.ones(4), 2), "W has shape"),
        (lambda: co.local_dimensionality(np.ones((2, 5)), 2), "size must divide"),
        (lambda: co.pair_cosines(np.ones((2, 5))), "size must divide"),
        (lambda: co.collapsed(np.ones((2, 4)), cosine=2), "cosine must be one number"),
        (lambda: co.principal_loss(toysup.independent(0.1, 3), 0), "m must be a whole number"),
        (lambda: co.tight_frame([3.0, 1, 1], 2, key=KEY), "no length may exceed"),
        (lambda: co.tight_frame([1.0, 0, 0], 2, key=KEY), "at least m = 2"),
        (lambda: co.tight_frame([[1.0, 1]], 2, key=KEY), "lengths must be"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_input_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="together must be a number"):
        co.pairs(2, 0.1, "often")
    with pytest.raises(TypeError, match="features must be made by"):
        co.principal_loss(0.1, 2)
    with pytest.raises(TypeError, match="key must be one JAX random key"):
        co.tight_frame([1.0, 1, 1], 2, key=0)


def test_a_frame_may_have_arrows_of_length_0():
    lengths = np.array([1.0, 0, 1, 0.5, 0])
    W = co.tight_frame(lengths, 2, key=KEY)
    assert np.allclose(np.linalg.norm(W, axis=0), lengths)
    assert np.allclose(W @ W.T, np.sum(lengths**2) / 2 * np.eye(2), atol=1e-6)


def test_overlaps_and_local_dimensionality_by_hand():
    c = np.sqrt(0.5)
    W = np.array([[1, 0, c, 0.0], [0, 1, c, -2.0]])
    found = co.overlaps(W, 2)
    assert found.inside == pytest.approx((0 + 2 * c) / 2)
    assert found.across == pytest.approx((c + 0 + c + 2) / 4)
    assert np.allclose(co.local_dimensionality(W, 2), [1, 1, 1 / (1 + 2), 4 / (4 + 0.5)], atol=1e-6)
    batch = np.stack([W, W[:, ::-1]])
    assert np.allclose(co.local_dimensionality(batch, 2)[1], co.local_dimensionality(W, 2)[::-1])
    assert np.allclose(co.overlaps(batch, 2).across, found.across)
    assert np.allclose(co.local_dimensionality(W, 1), 1)


def test_pair_cosines_and_collapsed_by_hand():
    W = np.array([[1, 0.5, 1, 0, 1, -1, 1, 0], [0, 0, 0, 1, 0, 0, 0, 0.0]])
    assert np.allclose(co.pair_cosines(W), [1, 0, -1, 0])
    assert co.collapsed(W).tolist() == [True, False, False, False]
    W[0, 1] = 0.2  # the second of the pair is nearly dropped: no longer a pair on one direction
    assert np.allclose(co.pair_cosines(W)[0], 1)
    assert not co.collapsed(W).any()
    assert np.allclose(co.pair_cosines(1e-8 * np.ones((2, 4))), 1)
    slope = jax.grad(lambda W: co.pair_cosines(W).sum())(jnp.zeros((2, 4)))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("m", [1, 2, 3, 6, 7])
def test_principal_loss_is_the_best_projection_and_training_meets_it(m):
    features = co.pairs(3, np.array([0.3, 0.2, 0.1]), 0.8)
    spread = np.asarray(moments(features)[1], np.float64)
    least = min(
        np.trace(spread) - np.linalg.eigvalsh(spread)[list(kept)].sum()
        for kept in itertools.combinations(range(6), min(m, 6))
    )
    assert co.principal_loss(features, m) == pytest.approx(least, abs=1e-6)
    if m == 2:
        fit = toysup.train(features, m, readout="linear", restarts=4, key=KEY)
        assert fit.loss.min() == pytest.approx(least, rel=1e-3)


def test_a_tight_frame_is_tight_has_its_lengths_and_depends_on_the_key():
    lengths = np.array([1.0, 0.5, 0.9, 1.1, 0.2, 1.0])
    W = co.tight_frame(lengths, 3, key=KEY)
    assert np.allclose(np.linalg.norm(W, axis=0), lengths, atol=1e-6)
    assert np.allclose(W @ W.T, np.eye(3) * (lengths**2).sum() / 3, atol=1e-6)
    other = co.tight_frame(lengths, 3, key=jax.random.key(1))
    assert not np.allclose(W.T @ W, other.T @ other, atol=0.1)
