"""Following a solution: it stays in its valley while there is one, leaves a saddle, and refuses bad input."""

import jax
import numpy as np
import pytest

import toysup
from toysup import follow, phases, saddles, theory

KEY = jax.random.key(0)
P = 0.1


def ramp(low, high, points=40):
    r = np.geomspace(low, high, points)
    return r, np.stack([np.ones(points), r], axis=1)


def every(points=40, p=P):
    return toysup.independent(np.full((points, 1), p), 2)


def ignoring(p=P):
    return np.array([[1.0, 0.0]]), np.array([0.0, p / 2])


def test_ignoring_is_followed_to_the_end_of_its_valley_and_its_loss_is_known():
    r, importance = ramp(0.03, 0.15)
    path = follow.path(*ignoring(), every(), importance=importance, key=KEY)
    assert path.W.shape == (40, 1, 2)
    assert path.b.shape == (40, 2)
    second, end = np.abs(path.W[:, 0, 1]), float(phases.onset(P).ratio)
    assert (second[r < end] < 0.01).all()
    assert (second[r > 1.1 * end] > 0.9).all()
    np.testing.assert_allclose(path.loss[r < end], theory.two_in_one(P, r[r < end]).ignore, rtol=1e-4)
    found = toysup.expected_loss(path.W, path.b, every(), importance=importance)
    np.testing.assert_allclose(path.loss, found, rtol=1e-5)


def test_the_way_back_is_another_one():
    """Falling, the pair survives to just below the border; rising, ignoring survives far above it."""
    r, importance = ramp(0.03, 0.15, 60)
    pair = toysup.train(toysup.independent(P, 2), 1, importance=importance[-1], restarts=16, key=KEY).best()
    down = follow.path(pair.W, pair.b, every(60), importance=importance[::-1], key=KEY)
    gone = r[::-1][np.abs(down.W[:, 0, 1]) < 0.1].max()
    border = float(phases.begin(P).ratio)
    assert 0.93 * border < gone < border
    best = toysup.train(every(60), 1, importance=importance, restarts=32, key=KEY).best()
    beyond = r > 1.05 * border
    np.testing.assert_allclose(down.loss[::-1][beyond], best.loss[beyond], rtol=2e-4)


def test_several_starts_at_once_and_a_moving_density():
    W, b = np.stack([np.array([[1.0, -1.0]]), np.array([[-1.0, 1.0]])]), np.zeros((2, 2))
    p = np.linspace(0.05, 0.3, 10)
    path = follow.path(W, b, toysup.independent(p[:, None], 2), key=KEY)
    assert path.loss.shape == (2, 10)
    np.testing.assert_allclose(path.loss[0], path.loss[1], rtol=1e-4)
    best = toysup.train(toysup.independent(p[:, None], 2), 1, restarts=16, key=KEY).best()
    np.testing.assert_allclose(path.loss[0], best.loss, rtol=2e-4)


def test_control_training_afresh_leaves_the_valley_that_is_followed():
    importance = np.array([1.0, 0.08])  # within the loop: both are valleys, the pair is the deeper one
    afresh = toysup.train(toysup.independent(P, 2), 1, importance=importance, restarts=16, key=KEY).best()
    path = follow.path(*ignoring(), every(10), importance=importance, key=KEY)
    assert np.abs(afresh.W[0, 1]) > 0.8
    assert np.abs(path.W[:, 0, 1]).max() < 0.01
    assert float(path.loss[-1]) > 1.2 * float(afresh.loss)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"nudge": -1.0}, ValueError, "nudge must be one number from 0 to 0.1"),
        ({"nudge": 0.5}, ValueError, "nudge must be one number from 0 to 0.1"),
        ({"nudge": np.nan}, ValueError, "nudge must be finite"),
        ({"steps": 0}, ValueError, "steps must be a whole number"),
        ({"readout": "linear"}, ValueError, "nothing to follow"),
        ({"readout": "sigmoid"}, ValueError, "readout must be one of"),
        ({"W": np.ones((1, 3))}, ValueError, "W has shape"),
        ({"W": np.full((1, 2), np.nan)}, ValueError, "W must be finite"),
        ({"b": np.zeros(3)}, ValueError, "b has shape"),
        ({"features": toysup.independent(0.1, 2), "importance": 1.0}, ValueError, "must have one axis, the points"),
        ({"features": toysup.independent(np.full((3, 40, 2), 0.1))}, ValueError, "must have one axis"),
        ({"features": toysup.independent(np.full((40, 20), 0.1))}, ValueError, "W has shape"),
        ({"importance": np.ones((7, 2))}, ValueError, "do not fit together"),
        ({"importance": [-1.0, 1.0]}, ValueError, "importance must not be negative"),
        ({"key": 3}, TypeError, "key must be one JAX random key"),
    ],
)
def test_bad_input_is_refused(change, error, message):
    W, b = ignoring()
    given = {"W": W, "b": b, "features": every(), "importance": ramp(0.1, 0.2)[1], "key": KEY} | change
    with pytest.raises(error, match=message):
        follow.path(given.pop("W"), given.pop("b"), given.pop("features"), **given)


def test_features_out_of_reach_of_the_exact_loss_are_refused():
    features = toysup.independent(np.full((3, 20), 0.1))
    with pytest.raises(ValueError, match="out of reach"):
        follow.path(np.ones((2, 20)), np.zeros(20), features, key=KEY)


def test_the_end_of_a_valley_is_where_its_curvature_vanishes():
    """Of the pair, at p = 0.1: a bottom just above it, none just below; the answer hardly depends on the way there."""
    problem = lambda r: (toysup.independent(P, 2), np.array([1.0, r]))
    pair = np.array([[1.0, -0.9]]), np.array([0.0, 0.0])
    end = follow.end_of_valley(*pair, problem, 0.1, 0.097)
    assert np.isclose(end, follow.end_of_valley(*pair, problem, 0.07, 0.065), rtol=1e-4)
    at = pair
    for r in (0.1, 0.07, 0.055, 0.05, 1.005 * end):
        here = saddles.settle(*at, problem(r)[0], importance=problem(r)[1])
        at = here.W, here.b
    assert (here.index, here.slope < 1e-9) == (0, True)
    assert here.curvatures[0] < 0.2 * saddles.settle(*pair, problem(0.1)[0], importance=problem(0.1)[1]).curvatures[0]
    gone = saddles.settle(*at, problem(0.98 * end)[0], importance=problem(0.98 * end)[1])
    assert gone.slope > 1e-7 or abs(gone.W[0, 1]) < 0.1


def test_no_valley_no_end():
    problem = lambda r: (toysup.independent(P, 2), np.array([1.0, r]))
    with pytest.raises(ValueError, match=r"no valley to follow at 0\.03"):
        follow.end_of_valley(np.array([[1.0, -0.4]]), np.zeros(2), problem, 0.03, 0.029)
