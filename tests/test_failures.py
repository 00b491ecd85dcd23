"""Patients for autoencoders, their scores on dictionaries made by hand, and the file of notebook 15."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from helpers import ROOT

from toysup import Features, autoencoder, failures, independent
from toysup.autoencoder import metrics

sys.path.insert(0, str(ROOT))
KEY = jax.random.key(0)


def test_children_never_come_without_their_parent_and_one_at_a_time():
    features = failures.nested(3, 2, 0.3, 0.5)
    assert isinstance(features, Features)
    assert features.n == 9
    np.testing.assert_allclose(features.density, np.tile([0.3, 0.075, 0.075], 3), rtol=1e-6)
    x = failures.inputs(features, 4000, key=KEY).reshape(-1, 3, 3) > 0
    assert not (x[..., 1:].any(-1) & ~x[..., 0]).any()
    assert x[..., 1:].sum(-1).max() == 1
    assert abs(x[..., 0].mean() - 0.3) < 0.02
    assert abs(x[..., 1].mean() - 0.075) < 0.01


def test_families_differ_and_shares_reach_their_ends():
    features = failures.nested(2, 1, [0.1, 0.4], [0.0, 1.0])
    np.testing.assert_allclose(features.density, [0.1, 0.0, 0.4, 0.4], atol=1e-6)
    traced = jax.jit(lambda share: failures.nested(1, 1, 0.2, share).density)(0.5)
    np.testing.assert_allclose(traced, [0.2, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1, 0.2, 1.5), "share must lie between 0 and 1"),
        ((1, 1, 0.2, -0.1), "share must lie between 0 and 1"),
        ((1, 1, 0.2, np.nan), "share"),
        ((1, 1, 1.2, 0.5), "density"),
        ((0, 1, 0.2, 0.5), "families"),
        ((1, 0, 0.2, 0.5), "children"),
        ((2, 1, [0.1, 0.2, 0.3], 0.5), "density, share and families"),
    ],
)
def test_bad_families_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        failures.nested(*arguments)


def test_strengths_lie_where_they_should():
    features = independent(0.5, 3)
    for spread, least in ((0.0, 1.0), (0.3, 0.7), (1.0, 0.0)):
        x = failures.inputs(features, 2000, spread=spread, key=KEY)
        active = x[x > 0]
        assert active.min() >= least - 1e-6
        assert active.max() <= 1
        assert (x == 0).mean() > 0.4
    assert abs(active.mean() - 0.5) < 0.02


@pytest.mark.parametrize("spread", [-0.1, 1.1, np.nan, [0.1, 0.2]])
def test_bad_spreads_are_refused(spread):
    with pytest.raises(ValueError, match="spread"):
        failures.inputs(independent(0.5, 3), 10, spread=spread, key=KEY)


def test_batches_of_features_are_refused():
    with pytest.raises(ValueError, match="no batch axes"):
        failures.inputs(independent(np.full((2, 1), 0.5), 3), 10, key=KEY)


def test_the_zoo_has_its_animals_in_place():
    animals = failures.zoo(32, key=KEY)
    np.testing.assert_array_equal(animals.W, np.eye(32))
    density = np.asarray(animals.features.density)
    np.testing.assert_allclose(density[animals.parents], 0.12, rtol=1e-5)
    np.testing.assert_allclose(density[animals.children], 0.036, rtol=1e-5)
    np.testing.assert_allclose(density[animals.partners], 0.08, rtol=1e-5)
    np.testing.assert_allclose(density[animals.singles[[0, -1]]], [0.3, 0.01], rtol=1e-5)
    indices = np.concatenate([np.ravel(part) for part in animals[2:]])
    np.testing.assert_array_equal(np.sort(indices), np.arange(32))
    with pytest.raises(ValueError, match="m must be at most 32"):
        failures.zoo(33, key=KEY)


def by_hand(D):
    """An autoencoder of orthonormal inputs that reads and writes the rows of D, without penalty or bias."""
    D = np.asarray(D, np.float32)
    k, d = D.shape
    zeros = np.zeros((1, k), np.float32)
    return autoencoder.Autoencoder(
        D[None], zeros, D[None], np.zeros((1, d), np.float32), np.zeros((1, 2, k), np.float32), np.zeros(1), "relu"
    )


def test_true_directions_have_a_clean_card():
    animals = failures.zoo(32, key=KEY)
    x = failures.inputs(animals.features, 4000, key=KEY)
    card = failures.measure(by_hand(np.eye(32)), animals, x)
    for field in ("explained", "shrinkage", "f1", "recovered"):
        assert getattr(card, field) == pytest.approx([1], abs=1e-5), field
    for field in ("dead", "absorption", "dimming", "inherited", "mixing", "splitting"):
        assert getattr(card, field) == pytest.approx([0], abs=1e-5), field
    assert card.l0 == pytest.approx([(x > 0).sum(1).mean()])


def test_each_failure_shows_in_its_own_score():
    animals = failures.zoo(32, key=KEY)
    x = failures.inputs(animals.features, 4000, key=KEY)
    mixed = np.eye(32)
    i, j = animals.partners[0]
    mixed[i, j] = mixed[j, i] = 1
    mixed[[i, j]] /= 2**0.5
    card = failures.measure(by_hand(mixed), animals, x)
    assert card.mixing == pytest.approx([2**-0.5 / 4], abs=1e-5)
    assert card.recovered[0] < 1
    absorbing = by_hand(np.eye(32))
    E = np.array(absorbing.E)
    E[0, animals.parents[0], animals.children[0]] = -5  # the parent's latent falls silent on both children
    card = failures.measure(dataclasses.replace(absorbing, E=E), animals, x)
    assert card.absorption[0] < card.dimming[0] < 2 / 8  # it reports less where it is not silent either
    # silent unless 5 x_child < x_parent, so beside 0.9 of either child; never alone
    assert card.absorption[0] == pytest.approx(2 * 0.9 / 8, abs=0.01)
    assert card.mixing == pytest.approx([0], abs=1e-6)
    heirs = np.eye(32)
    heirs[animals.children[0], animals.parents[0]] = 1
    heirs[animals.children[0]] /= 2**0.5
    assert failures.measure(by_hand(heirs), animals, x).inherited == pytest.approx([2**-0.5 / 4], abs=1e-5)
    fewer = np.eye(32)
    fewer[animals.singles[-6:]] = 0
    card = failures.measure(by_hand(fewer), animals, x)
    assert card.dead == pytest.approx([6 / 32])
    with pytest.raises(ValueError, match="batch axes"):
        failures.measure(autoencoder.pick(by_hand(np.eye(32)), 0), animals, x)


def test_dimming_is_the_share_of_strength_that_is_lost_beside_a_child():
    x = np.array([[1.0, 0], [0.5, 0], [1, 1], [0.5, 1], [0, 0]])
    report = lambda beside: np.where(x[:, 1] > 0, beside, 1)[:, None] * x
    for beside, lost in ((1.0, 0.0), (0.25, 0.75), (0.0, 1.0), (2.0, -0.5)):
        assert metrics.dimming(report(beside), x, 0, 1, np.eye(2), np.eye(2)) == pytest.approx(lost)
    assert metrics.dimming(0 * x, x, 0, 1, np.eye(2), np.eye(2)) == 0
    with pytest.raises(ValueError, match="active together"):
        metrics.dimming(x[:2], x[:2], 0, 1)


def test_scores_at_one_l0_are_read_between_sparsities():
    fields = len(failures.Card._fields)
    card = failures.Card(*np.array([[[4.0, 8.0], [1.0, 2.0]]] + [[[1.0, 1.0], [0.0, 0.5]]] * (fields - 1)))
    found = failures.at_l0(card, 2.0)
    np.testing.assert_allclose(found.l0, [2, 2])
    np.testing.assert_allclose(found.f1, [0.5, 0.5])  # halfway in log L0; at an end
    assert np.isnan(failures.at_l0(card, 1.5).f1).tolist() == [False, True]


def test_a_parent_is_split_among_its_children():
    x = failures.inputs(failures.nested(1, 2, 0.3, 1.0), 4000, key=KEY)
    a = x[:, 1:]
    assert failures.split(a, x, [0]) == pytest.approx(1 - metrics.union(a, x[:, 0], 1))
    assert failures.split(x, x, [0]) == 0


def test_lean_of_sum_one_and_difference():
    D = np.array([[1.0, 1, 0], [2, 0, 0], [1, -1, 0], [-1, -1, 0]])
    np.testing.assert_allclose(failures.lean(D), [1, 0, -1, 1])
    assert failures.lean(np.zeros(3)) == 0


def test_closed_form_of_shrinkage_against_sums():
    x = (np.arange(100_000) + 0.5) / 100_000
    for t in (0.0, 0.2, 0.7, 1.0):
        direct = (np.maximum(x - t, 0) * x).mean() / (x**2).mean()
        assert failures.soft_threshold_shrinkage(t) == pytest.approx(direct, abs=1e-6)
    for t in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="cut"):
            failures.soft_threshold_shrinkage(t)


def test_the_file_of_notebook_15_can_be_remade():
    from tools import data_failures

    stored = np.load(data_failures.FILE)
    again = data_failures.zoo_scores("relu", 1.0, data_failures.WEIGHTS["relu"][3:4], seeds=3)[:, 0]
    kept = stored["zoo relu"][:, 3, :3].astype(float)
    names = failures.Card._fields
    for name, near in (("l0", 0.1), ("explained", 0.005), ("shrinkage", 0.005), ("f1", 0.04), ("dead", 0.07)):
        row = names.index(name)
        np.testing.assert_allclose(again[row], kept[row], atol=near, err_msg=name)
    split = data_failures.splitting(widths=(2,), seeds=20)
    np.testing.assert_allclose(np.mean(split["one"]), stored["split one"][0].astype(float).mean(), atol=0.05)
    assert set(stored.files) >= {f"{toy} {variant}" for toy in data_failures.TOYS for variant in data_failures.WEIGHTS}
