"""Toy models as patients: the sources, the scores, and the baselines."""

import jax
import numpy as np
import pytest

from toysup import autoencoder, independent, recovery
from toysup.autoencoder import metrics
from toysup.geometry import describe, polygon

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def pentagon():
    return recovery.source("pentagon", polygon(5))


@pytest.fixture(scope="module")
def trained(pentagon):
    models = autoencoder.train(
        pentagon, 10, sparsity=np.array([[0.1], [0.4]]), width=np.array([5, 10]), seeds=3, steps=200, batch=128,
        learning_rate=0.02, key=KEY,
    )  # fmt: skip
    return models, recovery.activations(pentagon, 4096, key=KEY)


def test_a_patient_has_the_shape_it_is_named_after():
    assert describe(np.asarray(recovery.patient("triangle", restarts=16, key=KEY).W)) == "triangle"


@pytest.mark.parametrize("name", recovery.PATIENTS)
def test_every_patient_is_a_source(name):
    features, m = recovery.PATIENTS[name]
    W = np.random.default_rng(0).normal(size=(m, features().n))
    assert recovery.activations(recovery.source(name, W), 16, key=KEY).shape == (16, m)


def test_crowds_without_and_with_superposition():
    alone, many = (np.asarray(recovery.crowd(n, 4, 0.1, key=KEY).W, np.float64) for n in (4, 7))
    assert np.allclose(alone.T @ alone, np.eye(4), atol=1e-5)
    assert not np.allclose(np.abs(alone).max(0), 1, atol=0.05)  # turned: the neurons are not the features
    assert np.allclose(np.linalg.norm(many, axis=0), 1, atol=1e-5)
    assert (np.abs(many.T @ many) - np.eye(7)).max() < 0.5


def test_the_truth_leaves_out_what_is_dropped():
    W = np.array([[2.0, 0.0, 0.1], [0.0, 0.6, 0.1]])
    assert np.allclose(recovery.truth(W), np.eye(2))
    assert len(recovery.truth(W, least=0.05)) == 3


def test_scores_are_those_of_the_metrics(trained, pentagon):
    models, h = trained
    truth, weights = recovery.truth(pentagon.W), np.array([[0.1], [0.4]])
    card = recovery.measure(models, h, truth, weights)
    model = autoencoder.pick(models, 1, 0, 2)
    a = np.asarray(autoencoder.encode(model, h))
    rebuilt = np.asarray(autoencoder.decode(model, a))
    D = np.asarray(autoencoder.dictionary(model))[(a > 0).mean(0) > recovery.ALIVE]
    assert card.l0.shape == (2, 2, 3)
    assert card.l0[1, 0, 2] == pytest.approx(metrics.l0(a), rel=1e-5)
    assert card.explained[1, 0, 2] == pytest.approx(metrics.explained_variance(h, rebuilt), abs=1e-4)
    assert card.alive[1, 0, 2] == len(D) <= 5
    assert (card.recall[1, 0, 2], card.precision[1, 0, 2]) == pytest.approx(metrics.mmcs(D, truth))
    assert card.recovered[1, 0, 2] == pytest.approx(metrics.recovered(D, truth, 0.99))
    assert card.near[1, 0, 2] == pytest.approx(metrics.recovered(D, truth, 0.9))
    spread = np.sqrt(((h - h.mean(0)) ** 2).sum(1).mean())
    by_hand = 1 - card.explained[1, 0, 2] + 0.4 * a.sum(1).mean() / spread
    assert card.objective[1, 0, 2] == pytest.approx(by_hand, rel=1e-4)


def test_the_lowest_is_chosen_by_the_objective_alone(trained, pentagon):
    models, h = trained
    card = recovery.measure(models, h, recovery.truth(pentagon.W), np.array([[0.1], [0.4]]))
    best = recovery.lowest(card)
    assert best.objective == pytest.approx(card.objective.min(-1))
    at = card.objective[0, 1].argmin()
    assert best.recovered[0, 1] == card.recovered[0, 1, at]


def test_a_perfect_dictionary_an_empty_one_and_baselines(pentagon):
    truth = recovery.truth(pentagon.W)
    assert recovery.compare(truth, truth) == pytest.approx((1, 1, 1, 1))
    assert recovery.compare(-truth[:1], truth[:1]) == pytest.approx((-1, -1, 0, 0))  # the other way is no match
    assert recovery.compare(truth[:0], truth) == (0, 0, 0, 0)
    h = recovery.activations(pentagon, 2048, key=KEY)
    rows = recovery.baselines(h, truth, 10, seeds=5)
    assert set(rows) == {"random directions", "neurons", "PCA"}
    assert all(row.shape == (4,) and 0 <= row[2] <= row[3] <= 1 for row in rows.values())
    assert recovery.baselines(h @ np.eye(2), np.eye(2), 2)["neurons"][2] == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: recovery.patient("octagon", key=KEY), "name must be one of"),
        (lambda: recovery.source("pentagon", np.ones((2, 4))), r"Hidden needs W \(m, 5\)"),
        (lambda: recovery.source("pentagon", np.full((2, 5), np.nan)), "W"),
        (lambda: recovery.crowd(3, 4, 0.1, key=KEY), "n must be at least m=4, got 3"),
        (lambda: recovery.truth(np.zeros((2, 3))), "nothing to find"),
        (lambda: recovery.truth(np.ones(3)), "W must have shape"),
        (lambda: recovery.compare(np.ones((2, 3)), np.ones((2, 2))), "the same space"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_one_model_alone_is_refused(trained, pentagon):
    models, h = trained
    with pytest.raises(ValueError, match="batch axes"):
        recovery.measure(autoencoder.pick(models, 0, 0, 0), h, recovery.truth(pentagon.W), 0.1)


def test_features_without_axes_only():
    source = autoencoder.Hidden(independent(np.full((2, 3), 0.1)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="batch axes"):
        autoencoder.train(source, 3, sparsity=0.1, key=KEY)
