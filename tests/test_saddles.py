"""Stationary points: index against the linear model's, curvatures against an independent loss, minima."""

import itertools

import helpers
import jax
import numpy as np
import pytest

import toysup
from toysup import saddles, theory

KEY = jax.random.key(0)
DENSITIES = np.array([0.5, 0.35, 0.2, 0.1])
FOUR = toysup.independent(DENSITIES)
FIVE = toysup.independent(0.05, 5)


@pytest.mark.parametrize("kept", [kept for r in range(3) for kept in itertools.combinations(range(4), r)])
def test_index_of_every_stationary_point_of_the_linear_model(kept):
    W, b = saddles.linear_stationary(FOUR, kept, 2)
    here = saddles.examine(W, b, FOUR, readout="linear")
    V = theory.variance(DENSITIES)
    assert here.slope < 1e-7
    assert here.loss == pytest.approx(V[[i for i in range(4) if i not in kept]].sum(), rel=1e-5)
    assert here.index == saddles.linear_index(V, kept, 2)
    assert (here.rotations, here.flat) == (min(len(kept), 1), 0)


def test_curvatures_are_those_of_an_independent_loss():
    """Along single directions, at a place where kinks move: second differences of the reference in helpers."""
    three = toysup.independent([0.3, 0.2, 0.4])
    W, b = np.array([[0.9, -0.7, 0.3], [0.1, 0.5, -0.8]]), np.array([-0.1, 0.05, -0.2])
    here = saddles.examine(W, b, three)
    weigh = helpers.independent([0.3, 0.2, 0.4])
    loss = lambda x: helpers.losses_by_support(x[:6].reshape(2, 3), x[6:], exponent=15) @ weigh
    x = np.concatenate([W.ravel(), b])
    for k in (0, 4, 7):
        d, h = here.directions[k], 0.02
        second = (loss(x + h * d) - 2 * loss(x) + loss(x - h * d)) / h**2
        assert here.curvatures[k] == pytest.approx(second, abs=0.01)


def test_where_nothing_is_learned_every_direction_of_W_leads_down():
    here = saddles.examine(np.zeros((2, 5)), np.full(5, 0.025), FIVE)
    assert (here.index, here.flat, here.rotations) == (10, 0, 0)
    assert np.allclose(here.curvatures[:10], -4 * theory.variance(0.05), rtol=1e-4)
    assert np.allclose(here.curvatures[10:], 2.0, rtol=1e-4)


def test_settle_finds_the_minimum_next_to_a_trained_model_and_a_saddle_next_to_a_saddle():
    fit = toysup.train(FIVE, 2, restarts=16, key=KEY).best()
    rng = np.random.default_rng(0)
    away = saddles.settle(fit.W + 0.02 * rng.normal(size=(2, 5)), fit.b, FIVE)
    assert (away.index, away.rotations) == (0, 1)
    assert away.slope < 1e-8
    assert away.loss == pytest.approx(float(fit.loss), rel=1e-4)
    origin = saddles.settle(0.02 * rng.normal(size=(2, 5)), np.full(5, 0.03), FIVE)
    assert origin.index == 10
    assert np.abs(origin.W).max() < 1e-5  # a descent would have left


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: saddles.examine(np.zeros((1, 2, 5)), np.zeros(5), FIVE), "one model at a time"),
        (lambda: saddles.examine(np.zeros((2, 4)), np.zeros(4), FIVE), "n = 5"),
        (lambda: saddles.examine(np.zeros((2, 5)), np.zeros(5), FIVE, tolerance=0), "tolerance"),
        (
            lambda: saddles.settle(np.zeros((2, 5)), np.zeros(5), toysup.independent([[0.1], [0.2]], 5)),
            "one distribution",
        ),
        (lambda: saddles.settle(np.zeros((2, 40)), np.zeros(40), toysup.independent(0.1, 40)), "out of reach"),
        (lambda: saddles.linear_index([1.0, 1.0], (0,), 1), "all different"),
        (lambda: saddles.linear_index([2.0, 1.0], (0, 1), 1), "at most m = 1"),
        (lambda: saddles.linear_stationary(FOUR, (0, 5), 2), "below 4"),
    ],
)
def test_bad_input_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
