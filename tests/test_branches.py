"""One feature that differs, and where two curves cross."""

import jax
import numpy as np
import pytest

import toysup
from toysup.branches import awake, branch, crossing, end_of_pentagon, one_differs, rests, silent

KEY = jax.random.key(0)


def test_one_feature_differs():
    assert np.allclose(one_differs(0.1, 0.5).density, [0.05, 0.1, 0.1, 0.1, 0.1])
    assert np.allclose(one_differs(0.1, 4, n=3, feature=2).density, [0.1, 0.1, 0.4])
    assert np.allclose(one_differs(0.1, 10).density, [1, 0.1, 0.1, 0.1, 0.1])


def test_axes_broadcast():
    features = one_differs(np.array([[0.1], [0.2]]), np.array([1.0, 2.0, 3.0]), n=2)
    assert features.shape == (2, 3)
    assert np.allclose(features.density[1], [[0.2, 0.2], [0.4, 0.2], [0.6, 0.2]])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.0, 1.0), "density must lie"),
        ((0.1, 0.0), "ratio must be above 0, got 0"),
        ((0.1, -2.0), "ratio must be above 0, got -2"),
        ((0.1, np.nan), "ratio must be finite"),
        ((0.1, 11.0), "at most 1, got 1.1"),
        (([0.1, 0.2], [1.0, 2.0, 3.0]), "do not fit together"),
        ((0.1, 1.0, 0), "n must"),
        ((0.1, 1.0, 5, 5), "feature must lie between 0 and 4, got 5"),
        ((0.1, 1.0, 5, -1), "feature must"),
    ],
)
def test_bad_features_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        one_differs(*arguments)


@pytest.mark.parametrize("count", [3, 4, 9, 40])
def test_the_crossing_of_two_parabolas_is_exact(count):
    x = np.linspace(0.5, 2.5, count)
    found = crossing(x, x**2, 2 + 0 * x)
    assert np.isclose(found.x, np.sqrt(2), rtol=1e-9)
    assert np.isclose(found.y, 2, rtol=1e-9)
    assert np.allclose(found.slopes, (2 * np.sqrt(2), 0), atol=1e-9)
    again = crossing(x, 2 + 0 * x, x**2)
    assert np.isclose(again.x, found.x)
    assert np.allclose(again.slopes, found.slopes[::-1], atol=1e-9)


@pytest.mark.parametrize("at", [0.0, 0.3, 1.0, 1.7, 2.0])
def test_straight_lines_cross_where_they_do(at):
    """Their parabolas have rounding in place of a square; a crossing on a point of x counts once."""
    x = np.linspace(-1, 3, 5)
    for first, second in ((x - at, 0 * x), (1e6 * (x - at), 1e-3 * (at - x))):
        found = crossing(x, first, second)
        assert np.isclose(found.x, at, atol=1e-9)
        assert np.allclose(found.slopes, (first[1] - first[0], second[1] - second[0]), rtol=1e-6, atol=1e-9)


def test_the_crossing_of_smooth_curves_is_close():
    x = np.linspace(0, 2, 21)
    found = crossing(x, np.exp(x), 3 + 0 * x)
    assert abs(found.x - np.log(3)) < 1e-4
    assert abs(found.slopes[0] - 3) < 0.02


@pytest.mark.parametrize(
    ("x", "first", "second", "words"),
    [
        ([0.0, 1.0], [0.0, 1.0], [1.0, 0.0], "at least three"),
        ([0.0, 2.0, 1.0], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0], "increase"),
        ([0.0, 1.0, 2.0], [0.0, 1.0], [1.0, 1.0, 1.0], r"must have shape \(3,\)"),
        ([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [5.0, 5.0, 5.0], "0 times"),
        ([0.0, 1.0, 2.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0], "2 times"),
        ([0.0, 1.0, 2.0], [0.0, np.nan, 2.0], [1.0, 1.0, 1.0], "first must be finite"),
    ],
)
def test_curves_without_one_crossing_are_refused(x, first, second, words):
    with pytest.raises(ValueError, match=words):
        crossing(x, first, second)


@pytest.mark.parametrize(("plan", "kept"), [("pentagon", 5), ("digons", 4), ("silent digons", 4)])
def test_branches_keep_their_plan_and_their_order(plan, kept):
    ratios = np.geomspace(0.5, 0.3, 5)
    path = branch(plan, 0.05, ratios, key=KEY)
    assert path.W.shape == (5, 2, 5)
    assert (np.linalg.norm(path.W, axis=1) > 0.5).sum(-1).tolist() == [kept] * 5
    assert np.allclose(path.loss, toysup.expected_loss(path.W, path.b, one_differs(0.05, ratios)), rtol=1e-5)
    assert (np.diff(path.loss) < 0).all()
    assert (np.asarray(path.b[:, 0]) > 0).all() == (plan == "digons")


def test_the_silent_feature_costs_more():
    mean, silent = (branch(plan, 0.05, np.geomspace(0.5, 0.3, 5), key=KEY).loss for plan in ("digons", "silent digons"))
    own = 0.05 * np.geomspace(0.5, 0.3, 5)
    assert np.allclose(silent - mean, own**2 / 4, rtol=0.02)  # E[x²] in place of the variance


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("square", 0.05, [1.0, 0.9]), "plan must be one of 'pentagon', 'digons', 'silent digons'; got 'square'"),
        (("pentagon", 0.05, 1.0), "ratios must be a flat sequence"),
        (("pentagon", 0.05, [1.0, 30.0]), "at most 1, got 1.5"),
        (("pentagon", [[0.05], [0.1]], [1.0, 0.9]), "density must be one number"),
        (("digons", [0.05], [1.0, 0.9]), "density must be one number"),
        (("pentagon", np.nan, [1.0, 0.9]), "density must be finite"),
    ],
)
def test_bad_branches_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        branch(*arguments, key=KEY)


def test_places_where_the_loss_is_level():
    """Two valleys and two passes: gradient 0, one way down from a pass, none from a valley."""
    found = {place: rests(place, 0.05, [0.4, 0.38])[1] for place in ("pentagon", "digons", "half-way")}
    found["beside"] = rests("beside", 0.05, [1.0, 0.95])[1]
    assert {place: here.index for place, here in found.items()} == {
        "pentagon": 0, "digons": 0, "half-way": 1, "beside": 1,
    }  # fmt: skip
    assert max(here.slope for here in found.values()) < 1e-12
    assert found["half-way"].loss > max(found["pentagon"].loss, found["digons"].loss)
    assert found["beside"].loss > rests("digons", 0.05, [0.95])[0].loss


def test_the_pentagon_ends_sooner_where_the_others_are_denser():
    assert end_of_pentagon(0.05) < 0.13 < 0.2 < end_of_pentagon(0.1, ratio=0.3)
    with pytest.raises(ValueError, match=r"no valley to follow at 0\.1"):
        end_of_pentagon(0.05, ratio=0.1)


def test_bad_places_are_refused():
    with pytest.raises(ValueError, match="place must be one of"):
        rests("square", 0.05, [1.0])
    with pytest.raises(ValueError, match="flat sequence"):
        rests("digons", 0.05, 1.0)


def test_a_silent_feature_is_woken_and_others_stay():
    fit = toysup.train(one_differs(0.05, 0.2), 2, restarts=24, key=KEY)
    woken = awake(fit)
    before = silent(fit.W, fit.b)
    alone = before[:, 0] & ~before[:, 1:].any(1)  # all but feature 0 are kept
    assert alone.sum() > 3
    assert not silent(woken.W, woken.b)[alone].any()
    assert np.allclose(woken.b[alone, 0], 0.005, atol=2e-4)  # its mean
    assert (woken.loss < fit.loss + 1e-6).all()
    assert np.allclose(woken.loss[~before.any(1)], fit.loss[~before.any(1)], rtol=1e-3)
    answers = toysup.forward(fit.W, fit.b, toysup.sample(fit.features, 1000, key=KEY)[None])  # control
    assert (np.asarray(answers).max(1)[before] == 0).all()
    assert (np.asarray(answers).max(1)[~before] > 0).mean() > 0.95
