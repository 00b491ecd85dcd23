"""How models learn in jumps: each claim with its control.

Sources: Elhage et al. 2022, "Superposition and Learning Dynamics"; Saxe et al. 2014; Baldi & Hornik 1989.
`pytest -s` prints the numbers.
"""

import itertools
import sys

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

import toysup
from toysup import dynamics, saddles, theory

sys.path.insert(0, str(ROOT))

KEY = jax.random.key(0)
FIVE, SIX = toysup.independent(0.05, 5), toysup.correlated(2, 3, 0.1)


@pytest.fixture(scope="module")
def sets():
    return dynamics.watch(SIX, 3, rate=0.5, steps=6000, every=20, runs=20, spread=0.001, key=KEY)


@pytest.fixture(scope="module")
def small():
    return dynamics.watch(FIVE, 2, rate=0.5, steps=2000, every=10, runs=24, spread=0.001, key=KEY)


def lowest_across(W):
    """The lowest cosine of each feature with the other set, mean over the features of the first."""
    U = W / np.linalg.norm(W, axis=-2, keepdims=True)
    return np.einsum("...mi,...mj->...ij", U[..., :3], U[..., 3:]).min(-1).mean(-1)


def plateaus(history):
    return [dynamics.plateaus(history.steps, loss) for loss in np.asarray(history.loss, np.float64)]


def test_a_linear_model_learns_one_mode_after_the_other():
    start = 1e-3 * np.asarray(jax.random.normal(KEY, (24, 4, 4)))

    def halves(densities):
        features, V = toysup.independent(densities), theory.variance(densities)
        mean = np.tile(densities / 2, (24, 1))
        seen = dynamics.watch(
            features, 4, readout="linear", rate=0.1, steps=4000, every=20, runs=24, start=(start, mean), key=KEY
        )
        time = 0.1 * seen.steps
        half = lambda a: dynamics.passing(time, np.moveaxis(np.asarray(a, float), -1, 1), 0.5)
        return half(np.square(toysup.geometry.norms(seen.W))), half(dynamics.mode_strengths(start, V, time))

    measured, formula = halves(np.array([0.4, 0.15, 0.06, 0.03]))
    alike, _ = halves(np.full(4, 0.1))
    late = lambda t: np.median(t.max(1) / t.min(1))
    confirm("09-modes-one-after-the-other", late(measured), late(alike))
    ratio = measured / formula
    assert np.allclose(np.median(ratio, 0), [1.023, 1.009, 1.003, 1.002], atol=0.005)
    assert (ratio.std(0) < 0.01).all()


def levels_without_a_way_down(features, readout):
    """The losses at which 64 restarts settle, where the gradient is zero and no curvature negative."""
    fit = toysup.train(features, 2, readout=readout, restarts=64, key=KEY)
    _, first = np.unique(np.round(np.asarray(fit.loss, float), 4), return_index=True)
    ends = [saddles.settle(fit.W[i], fit.b[i], features, readout=readout) for i in first]
    return {round(end.loss, 4) for end in ends if end.index == 0 and end.slope < 1e-8}


def test_one_stationary_place_of_a_linear_model_is_a_minimum_and_more_with_the_readout():
    densities = np.array([0.4, 0.15, 0.06, 0.03])
    features, V = toysup.independent(densities), theory.variance(densities)
    sets_kept = [kept for r in range(3) for kept in itertools.combinations(range(4), r)]
    found = [saddles.examine(*saddles.linear_stationary(features, k, 2), features, readout="linear") for k in sets_kept]
    assert [here.index for here in found] == [saddles.linear_index(V, kept, 2) for kept in sets_kept]
    assert sum(here.index == 0 for here in found) == 1
    linear, relu = (levels_without_a_way_down(features, readout) for readout in ("linear", "relu"))
    assert linear == {round(float(theory.linear_loss(densities, 1.0, 2)), 4)}
    confirm("09-only-one-minimum", len(linear), len(relu))


def test_first_the_linear_solution(sets):
    levels = np.array([run[0].level if run else 0.0 for run in plateaus(sets)])
    usual = dynamics.watch(SIX, 3, rate=0.5, steps=6000, every=20, runs=20, key=KEY)
    at = lambda levels: np.mean(np.abs(levels - 0.1 / 3) < 0.0005)
    confirm(
        "09-first-the-linear-solution",
        at(levels),
        at(np.array([run[0].level if run else 0.0 for run in plateaus(usual)])),
    )
    W, b = saddles.linear_stationary(SIX, (0, 1), 3)
    for shift in (1e-5, -1e-5):  # either side of the kink
        assert np.allclose(saddles.examine(W, b + shift, SIX).curvatures[:4], -0.1 / 3, rtol=1e-3)
    third = np.linalg.svd(np.asarray(sets.W, float), compute_uv=False)[..., 2]
    growth = np.median(np.log(third[:, 10] / third[:, 5])) / 50
    assert growth == pytest.approx(0.1 / 3, rel=0.03)


def test_then_triangles_and_the_antiprism(sets):
    linear = dynamics.watch(SIX, 3, readout="linear", rate=0.5, steps=2000, every=20, runs=20, spread=0.001, key=KEY)
    share = lambda history: np.mean(lowest_across(np.asarray(history.W[:, -1], float)) < -0.9)
    confirm("09-then-the-antiprism", share(sets), share(linear))
    octahedron = saddles.settle(np.concatenate([np.eye(3), -np.eye(3)], 1), np.zeros(6), SIX)
    assert octahedron.index == 2  # the regular one is no minimum
    best = toysup.train(SIX, 3, restarts=16, key=KEY).best()
    bent = saddles.settle(best.W, best.b, SIX)
    assert bent.index == 0
    assert 0.0001 < octahedron.loss / bent.loss - 1 < 0.001


def test_the_pause_grows_as_the_logarithm_of_the_start_under_descent():
    starts, sizes = np.asarray(jax.random.normal(KEY, (8, 3, 6))), np.array([1e-2, 1e-4, 1e-6])
    W = np.concatenate([size * starts for size in sizes])

    def pause(**training):
        seen = dynamics.watch(SIX, 3, runs=24, start=(W, np.zeros((24, 6))), key=KEY, **training)
        s = np.linalg.svd(np.asarray(seen.W, float), compute_uv=False)
        wait = dynamics.passing(seen.steps, s[..., 2], 0.5) - dynamics.passing(seen.steps, s[..., 1], 0.5)
        return np.median(wait.reshape(3, 8), 1)

    descent, adam = pause(rate=0.5, steps=1000, every=10), pause(rule="adam", rate=1e-3, steps=3500, every=50)
    growth = lambda steps: (steps[2] - steps[1]) / (steps[1] - steps[0])
    confirm("09-pause-grows-as-a-logarithm", growth(descent), growth(adam))
    law = 3 / 0.1 - 1 / (0.1 / 3 + 3 * 0.09)
    assert -np.polyfit(np.log(sizes), 0.5 * descent, 1)[0] == pytest.approx(law, rel=0.01)


def test_a_saddle_and_a_valley_side_by_side(small):
    stays = int(np.argmin(np.abs(np.asarray(small.loss[:, -1]) - 0.01728)))
    valley = saddles.settle(small.W[stays, -1], small.b[stays, -1], FIVE)
    assert valley.index == 0
    passing = next(r for r, run in enumerate(plateaus(small)) if len(run) > 1)
    k = plateaus(small)[passing][1].slowest // 10
    saddle = saddles.settle(small.W[passing, k], small.b[passing, k], FIVE)
    assert saddle.index == 1
    assert 2e-6 < saddle.loss - valley.loss < 3e-6


def test_energy_levels():
    from tools import data_dynamics as data

    file = np.load(data.FILE)
    steps, D, loss = (file[name].astype(float) for name in ("steps", "D", "loss"))
    found = dynamics.jumps(steps, D, loss)
    swapping = len({down.run for down, _ in dynamics.swaps(found)}) / data.RUNS
    order = np.random.default_rng(0).permutation(len(steps))
    shuffled = len({down.run for down, _ in dynamics.swaps(dynamics.jumps(steps, D[:, order], loss))}) / data.RUNS
    confirm("09-features-swap-places", swapping, shuffled)
    rows = file["rows"]
    confirm("09-movement-and-loss", rows[0, 6], rows[0, 7])
    downs = [jump for jump in found if not jump.up]
    assert (len(downs), len({jump.run for jump in downs})) == tuple(rows[0, 3:5].astype(int))
    given_up = lambda high: len({j.run for j in dynamics.jumps(steps, D, loss, low=0.199, high=high) if not j.up})
    assert [given_up(high) for high in (0.2, 0.35, 0.4)] == [20, 7, 2]  # it depends on what "learned" means
    ups = [jump for jump in found if jump.up]
    ratio = np.mean([j.drop for j in ups]) / dynamics.drop_elsewhere(ups, steps, loss).mean()
    assert ratio == pytest.approx(1, abs=0.1)  # the loss falls as much in other runs meanwhile
    again, D_new, loss_new = data.histories(data.LARGE, runs=2, steps=600)  # a piece of the file, made anew
    few = np.take_along_axis(D_new, file["which"][:2, None].astype(int), -1)
    assert np.allclose(few, D[:2, : len(again)], atol=0.02)
    assert np.allclose(loss_new, loss[:2, : len(again)], rtol=0.01)
