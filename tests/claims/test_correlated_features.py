"""What a model does with features that occur together, or never together: each claim with its control.

Source: Elhage et al. 2022, "Correlated and Anticorrelated Features". `pytest -s` prints the numbers.
"""

import sys

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

import toysup
from toysup import correlation as co
from toysup import geometry

sys.path.insert(0, str(ROOT))

KEY = jax.random.key(0)
FOUR = np.array([0.1, 0.24, 0.25, 0.26, 0.27, 0.28, 0.3])  # densities of two pairs
SIX = np.array([0.02, 0.04, 0.1, 0.18, 0.25, 0.5])  # densities of three pairs
ALONE = np.array([0.02, 0.06, 0.08, 0.1])  # densities of six independent features


def cosines(W):
    return np.asarray(co.pair_cosines(W), np.float64)


def lowest(fit, mask):
    return np.where(mask, np.asarray(fit.loss, np.float64), np.inf).min(-1)


@pytest.fixture(scope="module")
def four():
    return toysup.train(toysup.correlated(2, 2, FOUR[:, None]), 2, restarts=32, key=KEY)


@pytest.fixture(scope="module")
def three_pairs():
    return toysup.train(toysup.correlated(3, 2, SIX[:, None]), 2, restarts=48, key=KEY)


@pytest.fixture(scope="module")
def alone():
    return toysup.train(toysup.independent(ALONE[:, None], 6), 2, restarts=48, key=KEY)


@pytest.fixture(scope="module")
def merged(three_pairs):
    """How many pairs the best solution merges, {density: number}."""
    return dict(zip(SIX.tolist(), np.asarray(co.collapsed(three_pairs.best().W, 0.98)).sum(-1).tolist(), strict=True))


# ------------------------------------------------------------------------------------------ two sets of two


def test_friends_at_right_angles_while_sparse(four):
    found = np.abs(cosines(four.best().W)).mean(-1)
    confirm("08-friends-at-right-angles", found[0], found[-1])
    gap = lowest(four, (np.abs(cosines(four.W)) < 0.2).all(-1)) - FOUR / 6
    crossing = np.interp(0, gap, FOUR)
    print("right angles and merged cost the same at", crossing)
    assert crossing == pytest.approx(0.258, abs=0.002)
    assert (np.abs(cosines(four.W))[0] < 0.1).all(-1).mean() > 0.6  # most restarts


def test_merged_sets_are_their_principal_components(four):
    principal = np.asarray(co.principal_loss(toysup.correlated(2, 2, FOUR[:, None]), 2))
    share = np.asarray(four.best().loss) / principal
    confirm("08-merged-is-the-principal-component", share[-1], share[0])
    assert np.allclose(geometry.norms(four.best().W)[-1], np.sqrt(0.5), atol=0.01)
    linear = toysup.train(toysup.correlated(2, 2, FOUR[:1]), 2, readout="linear", restarts=20, key=KEY)
    assert (cosines(linear.W) > 0.99).all()  # without the ReLU friends merge at any density


def test_rivals_are_opposite_and_cost_nothing():
    kinds = toysup.train(co.pairs(2, 0.1, np.array([[0.0], [0.08], [0.12], [1.0]])), 2, restarts=64, key=KEY)
    inside = cosines(kinds.best().W).mean(-1)
    confirm("08-rivals-opposite", inside[0], inside[3])
    confirm("08-weak-anticorrelation-is-enough", inside[1], inside[2])
    loss = np.asarray(kinds.loss, np.float64)
    assert loss[0].min() < 1e-8
    assert 0.35 < (loss[0] < 1e-6).mean() < 0.7  # and about as many restarts miss it
    by_chance = toysup.train(co.pairs(2, 0.1, 0.1), 2, restarts=64, key=KEY)
    assert 0.2 < (cosines(by_chance.W) < -0.98).all(-1).mean() < 0.55
    assert loss[1:].min() > 1e-3


@pytest.mark.parametrize(("sets", "size", "m", "free"), [(1, 5, 2, False), (2, 3, 4, True), (2, 3, 3, False)])
def test_rivals_fit_for_free_where_half_of_each_set_rounded_up_fits(sets, size, m, free):
    loss = toysup.train(toysup.anticorrelated(sets, size, 0.5), m, restarts=24, key=KEY).loss.min()
    assert (loss < 1e-6) == free
    assert free or loss > 5e-3


# ------------------------------------------------------------------------------------------ three sets of two


def test_friends_are_neighbours_where_room_is_short(three_pairs, alone):
    best, strangers = cosines(three_pairs.best().W)[0], cosines(alone.W)[0].mean()
    confirm("08-side-by-side", best.mean(), strangers)
    assert np.ptp(best) < 0.01
    assert np.allclose(geometry.norms(three_pairs.best().W)[0], 0.98, atol=0.01)


def test_six_independent_features_make_a_hexagon_below_a_density(alone):
    shape = np.array(geometry.describe(np.asarray(alone.W), tolerance=0.1))
    hexagon, pentagon = (lowest(alone, shape == name) for name in ("hexagon", "pentagon"))
    ratio = hexagon / pentagon
    confirm("08-no-hexagon", ratio[0], ratio[3])
    crossing = np.interp(0, hexagon - pentagon, ALONE)
    print(
        "hexagon and pentagon cost the same at",
        crossing,
        "restarts that find the hexagon",
        (shape == "hexagon").mean(1),
    )
    assert crossing == pytest.approx(0.069, abs=0.003)
    assert (np.asarray(geometry.describe(np.asarray(alone.best().W))) == ["hexagon"] * 2 + ["pentagon"] * 2).all()


def test_training_on_random_inputs_seldom_finds_the_hexagon(alone):
    plain = toysup.train(toysup.independent(0.02, 6), 2, restarts=24, objective="sampled", batch=512, key=KEY)
    share = lambda W: (np.array(geometry.describe(np.asarray(W), tolerance=0.15)) == "hexagon").mean()
    confirm("08-no-hexagon-in-plain-runs", share(plain.W), share(alone.W[0]))


def test_none_one_two_and_three_pairs_merge(merged):
    confirm("08-none-merged", merged[0.04], merged[0.5])
    confirm("08-one-merged", merged[0.1], merged[0.04])
    confirm("08-two-merged", merged[0.18], merged[0.1])
    confirm("08-three-merged", merged[0.25], merged[0.5])


def test_a_pair_may_merge_where_it_does_not_pay(three_pairs):
    many = np.asarray(co.collapsed(three_pairs.W, 0.98)).sum(-1)
    ratio = lowest(three_pairs, many == 1) / lowest(three_pairs, many == 0)
    confirm("08-collapse-as-a-failure", ratio[1], ratio[2])  # densities 0.04 and 0.1
    print("restarts that merge a pair at density 0.04:", (many[1] > 0).mean())
    assert 0.02 < (many[1] > 0).mean() < 0.25


def test_three_merged_pairs_are_pca_only_nearly(three_pairs):
    principal = np.asarray(co.principal_loss(toysup.correlated(3, 2, SIX[:, None]), 2))
    share = np.asarray(three_pairs.best().loss) / principal
    confirm("08-pca-like", share[5], share[2])
    stretch = np.linalg.svd(np.asarray(three_pairs.best().W[5], np.float64), compute_uv=False) ** 2
    assert np.allclose(stretch, 1.27, atol=0.02)  # PCA has 1 and 1


# ------------------------------------------------------------------------------------------ two sets of ten


def test_local_almost_orthogonal_bases():
    from tools import data_correlated as data

    table = np.load(data.FILE)
    assert table["sizes"].tolist() == list(data.SIZES)
    ten = list(data.SIZES).index(10)
    local, overall = table["correlated"][ten, 2:].mean(-1)
    found = data.measure(10)
    confirm("08-local-bases", found["correlated"][2].mean(), found["independent"][2].mean())
    for kind, columns in found.items():  # the file is what its command makes
        assert np.allclose(columns.mean(-1), table[kind][ten].mean(-1), atol=0.02), kind
    assert overall == pytest.approx(0.5, abs=0.01)  # although the model as a whole is in superposition
    assert local == pytest.approx(0.988, abs=0.003)
    inside, across = table["correlated"][:, :2].mean(-1).T
    assert (inside < 0.04).all()
    assert (across > 4 * inside).all()
    assert np.allclose(across[4:] * np.sqrt(np.pi * table["sizes"][4:] / 2), 0.9, atol=0.1)
    frame = table["frame"][:, :2].mean(-1).T
    assert np.allclose(frame[0] / frame[1], 1, atol=0.2)  # no preference in the control
