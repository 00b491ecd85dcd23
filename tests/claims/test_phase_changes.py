"""Phase changes, claim by claim: each with its control; rows of the ledger that begin with 05.

Source: Elhage et al. 2022, "Superposition as a Phase Change", and its comments.
"""

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm
from scipy import optimize

import toysup
from toysup import follow, phases, saddles, theory

KEY = jax.random.key(0)
GRID = {"density": np.geomspace(1, 0.01, 20), "relative_importance": np.geomspace(0.1, 10, 20), "seed": 0}


def same_plan(n, m, formula, **settings):
    """The share of cells of a grid of 20 x 20 where training ends in the plan that is cheapest in theory."""
    found = phases.nearest_plan(toysup.sweep(n=n, m=m, **GRID, **settings).W.values)
    plan = np.stack(formula(GRID["density"][:, None], GRID["relative_importance"])).argmin(0)
    return (found == plan).mean()


def test_the_map_of_two_features():
    trained = same_plan(2, 1, theory.two_in_one, restarts=20)
    control = same_plan(2, 1, theory.two_in_one, restarts=2, readout="linear")
    confirm("05-two-in-one-map", trained, control)


def test_the_map_of_three_features():
    trained = same_plan(3, 2, theory.three_in_two, restarts=20)
    control = same_plan(3, 2, theory.three_in_two, restarts=2, readout="linear")
    confirm("05-three-in-two-map", trained, control)


def near_the_beginning(p, factor=1.01):
    """|W_2| of the best of 64 restarts just above the relative importance where superposition begins."""
    r = factor * phases.begin(p).ratio
    features, importance = toysup.independent(p[:, None], 2), np.stack([np.ones(len(p)), r], 1)
    best = toysup.train(features, 1, importance=importance, restarts=64, key=KEY).best()
    return np.abs(np.asarray(best.W))[:, 0, 1]


def test_the_change_is_a_jump_when_features_are_sparse():
    sparse, dense = near_the_beginning(np.array([0.1, 0.7]))
    confirm("05-first-order", sparse, dense)


def test_the_slope_of_the_loss_jumps():
    """dL/dr is the error of feature 2, V(p) below the border. Above it, a share of that; a larger one at p = 0.7."""
    shares = []
    for p in (0.1, 0.7):
        r, V = 1.005 * phases.begin(p).ratio, theory.variance(p)
        best = toysup.train(toysup.independent(p, 2), 1, importance=np.array([1.0, r]), restarts=64, key=KEY).best()
        error = toysup.expected_loss(best.W, best.b, toysup.independent(p, 2), importance=np.array([0.0, 1.0]))
        shares.append(float(error) / V)
    confirm("05-slope-jumps", *shares)


def test_both_plans_survive_beyond_the_border():
    """Where ignoring ends as a valley, over where the pair begins to pay; at p = 0.7 the two are one place."""
    p = np.array([0.1, 0.7])
    confirm("05-both-survive", *(phases.onset(p).ratio / phases.begin(p).ratio))
    problem = lambda r: (toysup.independent(0.1, 2), np.array([1.0, r]))
    pair = toysup.train(problem(0.1)[0], 1, importance=problem(0.1)[1], restarts=32, key=KEY).best()
    end = follow.end_of_valley(pair.W, pair.b, problem, 0.1, 0.097)
    assert abs(end - 0.0470) < 2e-4
    assert end < 0.98 * phases.begin(0.1).ratio  # below the border, too, both are valleys for a while


def test_the_slope_of_the_border_when_features_are_rare():
    confirm("05-sparse-border", phases.begin(0.01).ratio / 0.01, theory.two_in_one_boundary(0.01) / 0.01)


def test_where_three_plans_meet():
    """At r = 1: the density at which the equal pair costs as much as an unequal one; control: at fixed lengths.

    Each is trained where it is the better one, and its bottom followed; below 0.703 the unequal pair is no minimum.
    """
    p, lost = np.linspace(0.704, 0.712, 5), []
    for way in (p[::-1], p):
        best = toysup.train(toysup.independent(way[0], 2), 1, restarts=256, key=KEY).best()
        W, b, losses = best.W, best.b, []
        for density in way:
            here = saddles.settle(W, b, toysup.independent(density, 2))
            assert (here.index, here.slope < 1e-12) == (0, True)
            W, b, losses = here.W, here.b, [*losses, here.loss]
        lost.append(np.array(losses))
    gap = lost[0][::-1] - lost[1]
    assert (np.diff(gap) < 0).all()
    fixed = optimize.brentq(lambda p: theory.two_in_one(p, 1.0).antipodal - theory.variance(p), 0.1, 0.9)
    confirm("05-triple-point", np.interp(0, -gap, p), fixed)


def test_the_fifth_plan():
    """Loss of the best triangle over that of the best other arrangement, at r = 1 and p = 4/7; control: p = 0.4."""
    fit = toysup.train(toysup.independent(np.array([[4 / 7], [0.4]]), 3), 2, restarts=256, key=KEY)
    plan, loss = phases.nearest_plan(fit.W), np.asarray(fit.loss)
    ratio = [a[k == 4].min() / a[k != 4].min() for a, k in zip(loss, plan, strict=True)]
    confirm("05-fifth-plan", *ratio)
    assert np.asarray(fit.b)[0][plan[0] == 4].min() > 0.2


def test_the_triangle_covers_a_part_of_the_stored_map():
    stored = np.load(ROOT / "data" / "phases_three_in_two.npz")
    triangle = stored["plan"] == 4
    assert 70 < triangle.sum() < 100
    prices = np.stack(theory.three_in_two(stored["density"][:, None], stored["ratio"]))
    assert (prices.argmin(0) != 4).all()
    assert (stored["loss"] / prices.min(0)).min() == pytest.approx(0.835, abs=0.005)
    assert (stored["loss"] / prices.min(0)).max() < 1.0005


def test_the_confused_feature():
    """W = (1, 1)/√2, b = 0, at r = 1 and p = 0.7, over the best without biases; control: over the best with them."""
    p = 0.7
    both = toysup.independent(p, 2)
    confused = float(toysup.expected_loss(np.full((1, 2), 0.5**0.5), np.zeros(2), both))
    assert confused == pytest.approx(float(theory.variance(p)), rel=1e-4)
    best = float(toysup.train(both, 1, restarts=64, key=KEY).best().loss)
    angles, lengths = np.linspace(0, 2 * np.pi, 721), np.linspace(0.5, 1.3, 81)
    W = lengths[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    without = float(toysup.expected_loss(W.reshape(-1, 1, 2), np.zeros(2), both).min())
    confirm("05-confused-feature", confused / without, confused / best)
