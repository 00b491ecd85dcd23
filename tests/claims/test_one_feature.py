"""One feature that differs: the deformation, the crossing and its order, lengths and biases, plain training.

Source: Elhage et al. 2022, "Perturbing a Single Feature". `pytest -s` prints the numbers.
"""

from functools import lru_cache
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm
from scipy.stats import spearmanr

import toysup
from toysup import follow
from toysup.branches import awake, branch, crossing, end_of_pentagon, one_differs, rests
from toysup.recipe import measured_losses

KEY = jax.random.key(0)
P = 0.05


def lengths(W):
    return np.linalg.norm(np.asarray(W, np.float64), axis=-2)


@lru_cache(maxsize=32)
def best_of(ratio: float):
    return toysup.train(one_differs(P, ratio), 2, restarts=24, key=jax.random.key(1)).best()


def nearest_angle(W) -> float:
    """The angle between arrow 0 and its nearest neighbour, in degrees."""
    unit = np.asarray(W, np.float64) / lengths(W)
    return float(np.degrees(np.arccos((unit[:, 0] @ unit[:, 1:]).max())))


@lru_cache(maxsize=32)
def meeting(density: float, plan: str = "digons", low: float = 0.1, high: float = 1.1):
    ratios = np.geomspace(low, high, 41)
    five, four = branch("pentagon", density, ratios[::-1], key=KEY), branch(plan, density, ratios, key=KEY)
    there = lengths(five.W)[::-1, 0] > 0.5
    return crossing(ratios[there], np.asarray(five.loss)[::-1][there], np.asarray(four.loss)[there])


# ------------------------------------------------------------------------------------ the deformation


def test_a_denser_feature_gets_room_and_a_rarer_one_is_crowded():
    regular = nearest_angle(best_of(1.0).W)
    confirm("07-denser-repels", nearest_angle(best_of(4.0).W), regular)
    confirm("07-rarer-attracts", nearest_angle(best_of(0.4).W), regular)
    found = [float(lengths(best_of(r).W)[0]) for r in (10.0, 4.0, 1.0, 0.4)]
    assert (np.diff(found) > 0.01).all()  # the denser, the shorter


def test_the_change_is_gradual_along_the_branch():
    path = branch("pentagon", P, np.geomspace(10, 0.3, 81), key=KEY)
    assert np.abs(np.diff(lengths(path.W), axis=0)).max() < 0.02


# --------------------------------------------------------------------------------------- the crossing


def test_the_crossing_and_its_control():
    rarer = 1 / meeting(P).x
    linear = [
        lengths(toysup.train(one_differs(P, r), 2, readout="linear", key=KEY).best().W)[0] for r in (1 / 1.02, 1.02)
    ]
    assert linear[0] < 0.01  # without a ReLU feature 0 goes as soon as it is rarer at all
    assert linear[1] > 0.99
    confirm("07-crossing", rarer, 1.0 if linear[0] < 0.5 < linear[1] else np.nan)
    narrow = 1 / meeting(P, low=0.2, high=0.5).x
    assert abs(rarer / narrow - 1) < 2e-3  # does not depend on the grid
    assert 1.005 < meeting(P).x / meeting(P, plan="silent digons").x < 1.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_restarts_agree_on_either_side_of_the_crossing(seed):
    """They know nothing of branches: at 0.285 five features are kept, at 0.25 four."""
    ratios = np.array([0.285, 0.25])
    fit = toysup.train(one_differs(P, ratios), 2, restarts=64, key=jax.random.key(seed)).best()
    assert (lengths(fit.W) > 0.5).sum(-1).tolist() == [5, 4]
    assert lengths(fit.W)[1, 0] < 0.01


def test_the_published_crossing_belongs_to_a_denser_baseline():
    assert 1 / meeting(0.09).x > 2.5 > 1 / meeting(0.096).x
    found = [1 / meeting(p).x for p in (0.01, 0.02, 0.05, 0.1, 0.2)]
    assert (np.diff(found) < -0.5).all()


def test_the_plan_changes_with_a_kink():
    met = meeting(P, low=0.2, high=0.5)
    near = np.asarray(branch("pentagon", P, np.linspace(0.96, 1.04, 41), key=KEY).loss, np.float64)
    confirm("07-first-order", met.slopes[1] / met.slopes[0], (near[20] - near[0]) / (near[40] - near[20]))


def test_slopes_are_those_at_fixed_parameters():
    met = meeting(P, low=0.2, high=0.5)
    for plan, slope in zip(("pentagon", "digons"), met.slopes, strict=True):
        path = branch(plan, P, np.geomspace(0.5, met.x, 41), key=KEY)
        twice, once = (
            float(toysup.expected_loss(path.W[-1], path.b[-1], one_differs(P, r))) for r in (2 * met.x, met.x)
        )
        assert abs((twice - once) / met.x / slope - 1) < 5e-3


def test_the_pentagon_ends_where_its_curvature_vanishes():
    """The fold, by curvatures alone; the followed path, with pushes of three sizes, gives way in the same place."""
    end = end_of_pentagon(P)
    assert abs(end - 0.1241) < 3e-4
    above, below = (rests("pentagon", P, np.geomspace(0.2, end * f, 6))[-1] for f in (1.005, 0.98))
    assert (above.index, below.slope > 1e-7) == (0, True)
    assert above.slope < 1e-9
    for push in (0.0, 1e-3, 5e-3):
        there = lengths(branch("pentagon", P, np.array([0.2, 0.15, 0.13, 0.115]), nudge=push, key=KEY).W)[:, 0] > 0.5
        assert there.tolist() == [True, True, True, False]


def test_the_digons_stay_a_valley_but_the_pass_out_of_it_sinks():
    """In % of the loss of the digons, and what that does to a path that is pushed."""
    ways = {0.27: ("half-way", [0.27]), 0.5: ("half-way", [0.5]), 1.0: ("beside", [1.0])}
    ways |= {r: ("beside", np.geomspace(1, r, k)) for r, k in ((2.0, 6), (3.0, 9))}
    height = {}
    for r, (place, way) in ways.items():
        high, low = rests(place, P, way)[-1], rests("digons", P, [r])[0]
        assert (high.index, low.index, low.flat) == (1, 0, 0)
        assert max(high.slope, low.slope) < 1e-12
        height[r] = 100 * (high.loss / low.loss - 1)
    print("\na pass above the digons, in %:", {r: f"{h:.2g}" for r, h in height.items()})
    assert 15 < height[0.27] < 16.5
    assert 5 < height[0.5] < 6.5
    assert 0.05 < height[1.0] < 0.08
    assert height[2.0] < 1e-3
    assert height[3.0] < 1e-4
    kept = [lengths(branch("digons", P, np.array([0.9, 1.2, 1.5]), nudge=push, key=KEY).W)[-1, 0] < 0.1
            for push in (0.0, 0.05)]  # fmt: skip
    assert kept == [True, False]


def test_the_pass_parts_the_two_plans():
    """From half-way, descent leads to the digons on one side and to the pentagon on the other."""
    high, here = rests("half-way", P, [0.27])[0], one_differs(P, np.array([0.27]))
    ends = []
    for side in (0.02, -0.02):
        step = side * high.directions[0]
        W, b = high.W + step[:10].reshape(2, 5), high.b + step[10:]
        ends.append(float(lengths(follow.path(W, b, here, nudge=0.0, steps=600, key=KEY).W)[0, 0]))
    assert min(ends) < 0.01
    assert abs(max(ends) - 1.16) < 0.02


def test_woken_restarts_are_the_digons():
    """At a ratio of 0.2 the best restarts drop feature 0 silently; woken they lose as little as the branch."""
    fit = toysup.train(one_differs(P, 0.2), 2, restarts=32, key=KEY)
    four = float(branch("digons", P, np.array([0.2]), key=KEY).loss[0])
    assert fit.loss.min() > 1.003 * four
    assert abs(awake(fit).loss.min() / four - 1) < 1e-4


def test_the_pentagon_is_deformed_and_the_digons_are_a_jump():
    """Largest shift of a tip from the regular pentagon between ratios 0.2 and 10; control: to the digons, the jump."""
    ladder = np.array([10, 3, 1, 0.5, 0.3, 0.2])
    W = toysup.geometry.canonicalize(branch("pentagon", P, ladder, key=KEY).W, anchor=0)
    shift = np.linalg.norm(W - W[2], axis=1).max(1)
    square = branch("digons", P, ladder[:1:-1], key=KEY).W
    confirm("07-deformation", shift.max(), np.linalg.norm(W[2], axis=0)[0] - lengths(square)[-1, 0])
    assert shift[[0, 5]].min() > 0.1
    assert np.abs(lengths(square)[:, 1:] - lengths(square)[0, 1:]).max() < 1e-3  # the digons do not move
    assert lengths(square)[:, 0].max() < 1e-3


def test_restarts_lie_on_the_curves():
    fit = toysup.train(one_differs(P, 0.25), 2, restarts=64, key=KEY)  # beyond the crossing: the digons are better
    five = (lengths(fit.W) > 0.5).all(-1)
    loss = [float(branch(plan, P, np.geomspace(0.5, 0.25, 41), key=KEY).loss[-1]) for plan in ("pentagon", "digons")]
    far = [float(np.abs(np.asarray(fit.loss)[five] / curve - 1).max()) for curve in loss]
    assert five.sum() >= 20
    confirm("07-curves", far[0], far[1])


# --------------------------------------------------------------------------------- lengths and biases


def test_lengths_and_biases():
    fit = best_of(1.0)
    length, b = lengths(fit.W).mean(), float(np.mean(fit.b))
    confirm("07-length-from-bias", 1 / (1 - b) / length, np.sqrt(1 - b) / length)


def test_positive_interference_and_length():
    path = branch("pentagon", P, np.geomspace(10, 0.27, 41), key=KEY)
    W, length = np.asarray(path.W, np.float64), lengths(path.W)
    unit = W / length[:, None]
    cosine = np.swapaxes(unit, 1, 2) @ unit - np.eye(5)
    positive = np.maximum(cosine, 0).sum(-1)
    own = spearmanr(positive[:, 0], length[:, 0])[0]
    confirm("07-positive-interference", own, spearmanr(positive.ravel(), length.ravel())[0])
    ratio = np.geomspace(10, 0.27, 41)
    assert spearmanr(ratio, length[:, 0])[0] < -abs(own) + 0.01  # the ratio alone orders these lengths as well
    assert abs(spearmanr(positive[:, 1:].ravel(), length[:, 1:].ravel())[0]) < 0.2  # the other four: no relation
    square = toysup.train(toysup.independent(P, 4), 2, restarts=24, key=KEY).best()
    assert abs(lengths(square.W) - 1).max() < 0.01  # no positive interference, no extra length


# ------------------------------------------------------------------------------- what training finds


def test_two_dimensions_are_harder_than_three():
    missed = []
    for m in (2, 3):
        loss = np.concatenate(
            [toysup.train(one_differs(P, 0.4), m, restarts=64, key=jax.random.key(s)).loss for s in range(2)]
        )
        missed.append(float((loss > 1.01 * loss.min()).mean()))
    confirm("07-two-dimensions-harder", *missed)


def test_the_best_of_many_noisy_losses_flatters():
    features, fit = one_differs(P, 1.0), best_of(1.0)
    true = float(toysup.expected_loss(fit.W, fit.b, features))
    seen = np.asarray(measured_losses(fit.W, fit.b, features, 2000, times=1280, key=KEY)) / true - 1
    again = np.asarray(measured_losses(fit.W, fit.b, features, 2000, times=40, key=jax.random.key(1))) / true - 1
    confirm("07-lowest-of-many", seen.reshape(40, 32).min(1).mean(), again.mean())
    assert 1.5 < -seen.reshape(40, 32).min(1).mean() / seen.std() < 2.6  # 2.07 for a normal distribution


# ------------------------------------------------------------------------------------------ the data


def test_the_data_are_what_a_remade_piece_gives():
    from tools.data_one_feature import FILE, RATIOS, make

    assert Path(ROOT) / "data" / "one_feature.npz" == FILE
    data = np.load(FILE)
    assert np.allclose(data["ratio"], RATIOS)
    W, _, loss = make(0.4, runs=2)
    k = RATIOS.index(0.4)
    assert np.allclose(loss, data["loss"][k, :2], rtol=0.01)
    assert np.allclose(W, data["W"][k, :2], atol=0.1)
    judged = toysup.expected_loss(data["W"][k], data["b"][k], one_differs(P, 0.4))
    assert np.allclose(judged, data["loss"][k], rtol=1e-4)
