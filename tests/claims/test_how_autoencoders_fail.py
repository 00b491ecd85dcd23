"""How sparse autoencoders fail: each claim with its control, over 20 random starts. `pytest -s` prints the numbers."""

import sys

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

from toysup import failures, independent
from toysup.autoencoder import metrics
from toysup.correlation import pairs

sys.path.insert(0, str(ROOT))
KEY = jax.random.key(15)


@pytest.fixture(scope="module")
def stored():
    return {n: t.astype(float) for n, t in np.load(ROOT / "data" / "autoencoder_failures.npz").items()}


def rank_correlation(x, y):
    rank = lambda v: np.asarray(v).argsort().argsort()
    return np.corrcoef(rank(x), rank(y))[0, 1]


def test_the_penalty_shortens_and_a_gate_does_not():
    x = failures.inputs(independent(0.2, 4), 2**14, key=KEY)
    spread, found = np.sqrt(((x - x.mean(0)) ** 2).sum(1).mean()), {}
    for variant in ("relu", "gated"):
        run = failures.treat(x, 0.4, variant=variant, key=KEY)
        found[variant] = np.median((run.rebuilt * run.x).sum((1, 2)) / (run.x**2).sum())
    confirm("15-shrinkage", found["relu"], found["gated"])
    assert found["relu"] == pytest.approx(failures.soft_threshold_shrinkage(0.2 * spread), abs=0.01)


def family(features, spread, score=metrics.absorption):
    x = failures.inputs(features + independent(0.1, 2), 2**14, spread=spread, key=KEY)
    run = failures.treat(x, 0.2, key=KEY)
    return failures.absorptions(run, score=score), run


def test_a_parent_is_absorbed_where_strengths_are_constant():
    found, run = family(failures.nested(1, 1, 0.25, 0.5), 0.0)
    strangers, other = family(independent(np.array([0.25, 0.125])), 0.0)
    confirm("15-absorption", found[run.best], strangers[other.best])
    varied, third = family(failures.nested(1, 1, 0.25, 0.5), 1.0)
    confirm("15-absorption-needs-strengths", varied[third.best], found[run.best])
    assert found.mean() > 0.25
    assert abs(strangers).mean() < 0.1
    assert varied.max() < 0.5


def test_absorption_is_partial_where_strengths_differ_a_little():
    found, run = family(failures.nested(1, 1, 0.25, 0.5), 0.25, metrics.dimming)
    strangers, other = family(independent(np.array([0.25, 0.125])), 0.25, metrics.dimming)
    confirm("15-partial-absorption", found[run.best], strangers[other.best])
    assert failures.absorptions(run)[run.best] < 0.5  # the parent's latent is not silent, only dimmed
    D = run.D[run.best]
    assert D[int(D[:, 1].argmax()), 0] > 0.6  # and the child's latent still writes the parent


def test_one_latent_for_two_friends_points_between_them():
    lean = {}
    for together, width in ((0.6, 1), (0.6, 4), (0.2, 1)):
        x = failures.inputs(pairs(1, 0.2, together) + independent(0.05, 2), 2**14, key=KEY)
        run = failures.treat(x, 0.05, width=width, key=KEY)
        D = run.D[run.best][:width]
        lean[together, width] = failures.lean(D[int(np.argmax((D[:, :2] ** 2).max(-1)))])
    confirm("15-hedging", lean[0.6, 1], lean[0.6, 4])
    assert abs(lean[0.2, 1]) < 0.5


def test_no_latent_is_left_for_a_parent_in_a_wider_dictionary(stored):
    from tools import data_failures

    assert data_failures.SPLIT_WIDTHS[:5] == (2, 3, 4, 6, 8)
    again = data_failures.splitting(widths=(2, 8))
    confirm("15-splitting", again["one"][1].mean(), again["one"][0].mean())
    assert again["four"][1].min() > 0.97
    np.testing.assert_allclose(again["one"][1].mean(), stored["split one"][4].mean(), atol=0.03)


def test_explained_variance_ranks_by_f1_at_one_l0_and_not_across(stored):
    names = [name for name in stored if name.startswith("zoo ")]
    rows = [failures.Card._fields.index(field) for field in ("explained", "f1", "l0")]
    explained, f1, l0 = (np.stack([stored[name][row] for name in names]).reshape(36, 20) for row in rows)
    number = rank_correlation(explained.mean(1), f1.mean(1))
    at = [failures.at_l0(failures.Card(*stored[name]), 2.5) for name in names]
    equal = {field: [getattr(card, field).mean() for card in at] for field in ("explained", "f1", "recovered")}
    confirm("15-explained-variance", number, rank_correlation(equal["explained"], equal["f1"]))
    assert rank_correlation(f1[:, :10].mean(1), f1[:, 10:].mean(1)) > 0.95  # F1 itself is not noisy
    for level, low, high in ((2.0, 0.6, 1.0), (4.0, -1.0, 0.1)):  # whether it tells recovered directions depends on L0
        at = [failures.at_l0(failures.Card(*stored[name]), level) for name in names]
        rank = rank_correlation([card.explained.mean() for card in at], [card.recovered.mean() for card in at])
        assert low <= rank <= high
    true = float(failures.zoo(24, key=KEY).features.density.sum())
    assert rank_correlation(-np.abs(np.log(l0.mean(1) / true)), f1.mean(1)) > 0.8


def test_width_and_nesting_against_absorption(stored):
    from tools import data_failures

    absorption, mixing = (data_failures.WIDTH_SCORES.index(field) for field in ("absorption", "mixing"))
    mean = lambda variant, row: stored["widths " + variant][:, row].mean(-1)  # over the starts, for 16, 32, 64 latents
    confirm("15-matryoshka-absorption", mean("matryoshka", absorption)[1], mean("batchtopk", absorption)[1])
    confirm("15-absorption-wide", mean("relu", absorption)[2], mean("relu", absorption)[0])
    assert mean("relu", mixing)[0] > 0.5 > 3 * abs(mean("relu", mixing)[2])


def test_an_auxiliary_loss_wakes_few_of_the_dead(stored):
    from tools import data_failures

    row, explained, f1 = (data_failures.DEAD_SCORES.index(name) for name in ("dead", "explained", "f1"))
    short = {how: stored[f"dead topk {how}"].mean(-1) for how in data_failures.DEAD}
    dead = {how: table[row] for how, table in short.items()}
    confirm("15-auxiliary", dead["auxiliary"], dead["none"])
    again = data_failures.dead_scores("topk", "auxiliary", seeds=4)[row]
    np.testing.assert_allclose(again.mean(), stored["dead topk auxiliary"][row, :4].mean(), atol=0.03)
    assert dead["resample"] < dead["auxiliary"] - 0.02
    assert abs(short["auxiliary"][explained] - short["none"][explained]) < 0.005
    assert np.ptp([table[f1] for table in short.values()]) < 0.04
    none, resample, auxiliary = (stored[f"dead longer {how}"][row].mean() for how in ("none", "resample", "auxiliary"))
    assert auxiliary < resample - 0.05
    assert auxiliary < none - 0.1
