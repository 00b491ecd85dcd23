"""Sparse autoencoders on toy models: what they recover, what the scores hide, and when width pays.

Sources: Elhage et al. 2022; Sharkey et al. 2022; Bricken et al. 2023 and a comment on it; O'Neill et al. 2025;
Korznikov et al. 2026. Stored runs
are those of `tools/data_autoencoders.py`; pieces of them are trained anew here.
"""

import jax
import numpy as np
import pytest
from helpers import confirm

from tools import data_autoencoders as data
from toysup import autoencoder, recovery
from toysup.autoencoder import exact, metrics
from toysup.geometry import describe

ONE = (("topk", (1.0,)),)


@pytest.fixture(scope="module")
def stored():
    return np.load(data.FILE)


def card(table):
    return recovery.Card(*table)


def source(stored, name):
    return recovery.source(name, stored["W " + name])


def test_explained_variance_hides_what_is_missing(stored):
    pentagon = source(stored, "pentagon")
    found = [data.scores(pentagon, "relu", 0.1, (5,))[:, 0, 0], data.scores(pentagon, "topk", 1.0, (20,))[:, 0, 0]]
    small, large = card(found[0]), card(data.scores(pentagon, "relu", 2.0, (5,))[:, 0, 0])  # one change: the penalty
    confirm("14-explained-variance", small.recovered.mean(), large.recovered.mean())
    assert np.median(small.explained) > 0.99
    assert np.median(large.explained) < 0.85  # it explains less and finds more
    kept = [stored["pentagon"][:, 0, 0], stored["pentagon"][:, 2, 2]]  # the file is what its command makes
    for again, before in zip(found, kept, strict=True):
        assert np.allclose(again.mean(-1), before.mean(-1), rtol=0.03, atol=0.12)
    longer = card(stored["longer"])
    assert (longer.recovered.mean(-1)[2] < longer.recovered.mean(-1)[0]).all()
    assert (longer.explained.mean(-1)[2] > longer.explained.mean(-1)[0]).all()


def test_an_encoder_hides_the_features_that_exact_inference_finds(stored):
    h, unseen, true = data.inputs("pentagon", stored["W pentagon"])
    solved, coded = {}, {}
    for weight in (0.1, 2.0):
        found = exact.infer(true, unseen, weight)
        assert found.gap < 1e-5  # proof of the minimum
        solved[weight] = exact.cost(true, unseen, found.a, weight)
        coded[weight] = data.encoded(true, h, unseen, weight)
    confirm("14-amortisation", coded[0.1] / solved[0.1], coded[2.0] / solved[2.0])
    models = autoencoder.train(
        source(stored, "pentagon"), 5, sparsity=0.1, seeds=8, steps=data.STEPS, batch=data.BATCH, dead="resample",
        learning_rate=data.RATE, key=data.KEY,
    )  # fmt: skip
    activations = recovery.activations(source(stored, "pentagon"), key=jax.random.key(15))
    wrong = recovery.measure(models, activations, true, 0.1)
    assert wrong.objective.min() < coded[0.1] - 0.003  # with encoders, wrong features cost less
    assert wrong.recovered[wrong.objective.argmin()] < 1
    _, learned = recovery.by_inference(h, unseen, true, 5, 0.1, seeds=8, key=data.KEY)
    assert learned.objective.min() == pytest.approx(solved[0.1], rel=2e-3)  # without, no dictionary costs less
    assert learned.recovered[learned.objective.argmin()] == 1
    np.testing.assert_allclose([solved[0.1], coded[0.1]], stored["gap"][:2, 1], rtol=0.01)


def test_the_lowest_objective_of_exact_inference_is_at_the_features(stored):
    objective, explained, found = stored["exact"][:, :, 0]  # eight latents: (weights, seeds)
    lowest = objective.argmin(-1)
    assert (np.take_along_axis(found, lowest[:, None], -1) == 1).all()
    assert explained[1].mean() > 0.99
    sweep = card(stored["weights"])  # with encoders, at the same penalties
    assert (recovery.lowest(sweep).recovered[[1, 2], 0] < 0.5).all()


def test_an_overcomplete_dictionary_recovers_what_is_active_separately(stored):
    antiprism = source(stored, "antiprism")
    assert describe(np.asarray(antiprism.W)) == "square antiprism"
    found = card(data.of_patient(antiprism, times=(4,), settings=ONE)[:, 0, 0])
    truth = recovery.truth(antiprism.W)
    random = [metrics.recovered(metrics.random_dictionary(32, 3, seed=seed), truth, 0.99) for seed in range(20)]
    confirm("14-recovery", found.recovered.mean(), np.mean(random))
    exact = card(stored["antiprism"]).recovered[2, 0]
    assert exact.mean() < 0.2  # with as many latents as features the same recipe gets stuck


def test_the_penalty_trades_reconstruction_for_recovery(stored):
    sweep = card(stored["weights"])
    assert (np.diff(sweep.explained.mean(-1), axis=0) < 0.01).all()
    assert (np.diff(sweep.l0.mean(-1), axis=0) < 0).all()
    assert (sweep.recovered.mean(-1)[5, :2] > sweep.recovered.mean(-1)[0, :2] + 0.4).all()


def test_friends_that_never_part_are_not_found(stored):
    W = stored["W ten friends, twice"]
    together = card(data.scores(recovery.source("ten friends, twice", W), "relu", 0.4, (40,))[:, 0, 0])
    apart = card(data.strangers(W, times=(2,))[:, 0])
    confirm("14-friends", together.near.mean(), apart.near.mean())
    assert abs(together.explained.mean() - apart.explained.mean()) < 0.05
    random = recovery.baselines(np.eye(10), recovery.truth(W), 40)["random directions"]
    assert stored["many"][recovery.Card._fields.index("near")].mean((1, 2)).max() < 0.02  # TopK with 10 and with 20
    assert together.recall.mean() < random[0] + 0.03
    assert apart.near.mean() == pytest.approx(card(stored["strangers"]).near[1].mean(), abs=0.05)


def test_width_pays_with_superposition_or_with_too_few_latents_per_input(stored):
    unexplained = {name: 1 - card(stored[name]).explained.mean(-1) for name in data.CROWDS}
    at = [data.WIDTHS.index(width) for width in (16, 32)]
    gain = {name: left[at[0]] - left[at[1]] for name, left in unexplained.items()}
    confirm("14-width", gain["orthonormal"], gain["superposed"])
    one = 1 - card(stored["orthonormal one"]).explained.mean(-1)
    plain = unexplained["orthonormal"]
    confirm("14-width-one-latent", one[at[0]] - one[-1], plain[at[0]] - plain[-1])
    assert (np.diff(one) < -0.01).all()
    again = card(data.of_crowd("orthonormal", 32, 1.0, seeds=4)).explained
    assert again.mean() == pytest.approx(1 - one[at[1]], abs=0.02)
    for name in data.CROWDS:  # the file is what its command makes
        again = card(data.of_crowd(name, 16, seeds=4))
        kept = card(stored[name][:, at[0], :4])
        assert np.allclose(again.explained, kept.explained, atol=0.03), name
        assert np.allclose(again.recall, kept.recall, atol=0.05), name
    plain = card(stored["orthonormal"])
    assert plain.recall[-1].mean() > 0.99  # what recall hides, precision and the count of the living show
    assert plain.alive[-1].mean() > 18
    assert plain.precision[-1].mean() < plain.precision[1].mean() - 0.01
