"""Models that compute: tasks, answers by hand, exact and drawn losses, training, starts, errors."""

import itertools

import jax
import numpy as np
import pytest
from helpers import compilations

from toysup import compute, independent, naive

key = jax.random.key(0)
I3 = np.eye(3)
TWO_EACH = (np.concatenate([I3, -I3]), np.concatenate([I3, I3], axis=1), np.zeros(3))  # W1, W2, b: |x| exactly


def test_targets_by_hand():
    x = np.array([[-0.5, 0.0, 1.0], [0.5, 0.2, 0.0]])
    assert np.allclose(compute.target(x, "abs"), [[0.5, 0, 1], [0.5, 0.2, 0]])
    assert np.allclose(compute.target(x, "product"), [[0, -0.5, 0], [0.1, 0, 0]])  # pairs 01, 02, 12
    assert np.allclose(compute.target(np.array([[1.0, 0, 1]]), "and"), [[0, 1, 0]])
    i, j = compute.pairs(4)
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == list(itertools.combinations(range(4), 2))


@pytest.mark.parametrize(("task", "values"), [("abs", (-1, 1)), ("product", (0, 1)), ("and", (1, 1))])
def test_inputs_have_the_values_and_the_density_asked_for(task, values):
    x = np.asarray(compute.inputs(independent(0.3, n=4), task, 20_000, key=key))
    on = x != 0
    assert x.shape == (20_000, 4)
    assert abs(on.mean() - 0.3) < 0.01
    assert x.min() >= min(values[0], 0)
    assert x.max() <= values[1]
    assert abs(x[on].mean() - np.mean(values)) < 0.02
    assert abs(x[on].std() - (values[1] - values[0]) / 12**0.5) < 0.02


def test_answers_by_hand():
    W1, W2, b = np.array([[1.0, -2.0]]), np.array([[1.0], [-1.0]]), np.array([0.0, 0.5])
    x = np.array([[1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])  # h = 1, 2, 0
    assert np.allclose(compute.answers(W1, W2, b, x), [[1, 0], [2, 0], [0, 0.5]])
    assert np.allclose(compute.answers(W1, W2, b, x, readout="linear"), [[1, -0.5], [2, -1.5], [0, 0.5]])
    assert np.allclose(compute.answers(W1, W2, b, x, activation="linear"), [[1, 0], [2, 0], [0, 2.5]])
    assert np.allclose(compute.answers(W1, W2, b, x, c=-1.0), [[0, 0.5], [1, 0], [0, 0.5]])


def test_a_wired_network_computes_exactly_and_a_silent_one_costs_the_mean_square():
    features = independent(np.array([[0.2], [0.7]]), n=3)
    loss, error = compute.compute_loss(*TWO_EACH, features)
    assert np.abs(loss).max() < 1e-12
    silent, error = compute.compute_loss(0 * TWO_EACH[0], TWO_EACH[1], np.zeros(3), features, importance=[1, 0.5, 0.5])
    assert (np.abs(silent - 2 * np.array([0.2, 0.7]) / 3) < 4 * error).all()
    assert (error > 0).all()
    W1 = np.zeros((3, 3))
    i, j = compute.pairs(3)
    W1[np.arange(3), i] = W1[np.arange(3), j] = 1
    loss, error = compute.compute_loss(W1, I3, np.zeros(3), features, c=-1.0, task="and")
    assert np.abs(loss).max() < 1e-12
    assert (error == 0).all()


def test_the_loss_of_binary_inputs_is_exact():
    rng, p = np.random.default_rng(0), np.array([0.1, 0.5, 0.9])
    W1, W2, b, c = rng.normal(size=(2, 3)), rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=2)
    total = 0.0
    for x in itertools.product((0.0, 1.0), repeat=3):
        y = W2 @ np.maximum(W1 @ x + c, 0) + b
        wrong = y - np.array([x[0] * x[1], x[0] * x[2], x[1] * x[2]])
        total += np.prod(np.where(x, p, 1 - p)) * (np.array([1, 2, 3]) @ wrong**2)
    loss, error = compute.compute_loss(W1, W2, b, independent(p), c=c, task="and", importance=[1, 2, 3])
    assert np.isclose(loss, total, rtol=1e-5)
    assert error == 0
    many = compute.compute_loss(np.zeros((1, 13)), np.zeros((78, 1)), np.zeros(78), independent(0.5, n=13), task="and")
    assert many[1] > 0  # too many inputs to list: drawn
    assert abs(many[0] - 78 / 4) < 4 * many[1]


def test_training_computes_three_absolute_values_and_a_linear_layer_does_not():
    run = lambda **more: compute.train_compute(independent(0.3, n=3), 6, restarts=8, steps=1000, key=key, **more)
    fit = run()
    assert fit.W1.shape == (8, 6, 3)
    assert fit.W2.shape == (8, 3, 6)
    assert (np.asarray(fit.c) == 0).all()
    assert fit.best().loss < 1e-4
    assert np.isclose(fit.best().loss, fit.loss.min(), atol=1e-6)
    assert fit.best().best().W1.shape == (6, 3)
    again, _ = compute.compute_loss(fit.W1, fit.W2, fit.b, independent(0.3, n=3))
    assert np.allclose(again, fit.loss, atol=1e-6)
    assert run(activation="linear").loss.min() > 0.03
    assert (fit.task, fit.activation, fit.readout) == ("abs", "relu", "relu")


def test_batches_of_models_are_the_models_one_by_one_and_nothing_compiles_anew():
    p, importance = np.array([0.2, 0.6]), np.array([[1.0, 1, 1], [1, 0.5, 0.1]])
    run = lambda p, I: compute.train_compute(independent(p, n=3), 2, importance=I, restarts=3, steps=50, key=key)
    many = run(p[:, None], importance)
    assert many.W1.shape == (2, 3, 2, 3)
    assert many.best().b.shape == (2, 3)
    one = run(p[0], importance[0])
    with compilations() as seen:
        two = run(p[1], importance[1])
    assert not seen
    assert np.allclose(one.W1, many.W1[0], atol=1e-4)
    assert np.allclose(two.W2, many.W2[1], atol=1e-4)


def test_starts_do_not_depend_on_their_number():
    few, more = (compute._initial(r, 4, 3, 3, "positive", key) for r in (2, 5))
    assert np.allclose(few[0], more[0][:2])
    assert (np.asarray(more[2]) >= 0).all()
    assert (np.asarray(compute._initial(5, 4, 3, 3, "symmetric", key)[2]) < 0).any()


def test_a_wired_start_is_the_naive_network_but_for_small_entries():
    W1, c, W2, b = (np.asarray(a)[0] for a in compute._initial(1, 5, 4, 4, "wired", key))
    naive = np.zeros((5, 4))
    naive[[0, 2], [0, 1]], naive[[1, 3], [0, 1]] = 1, -1
    assert abs(W1 - naive).max() < 0.05
    assert abs(W2 - abs(naive).T).max() < 0.05
    assert not c.any()
    assert not b.any()
    with pytest.raises(ValueError, match="wiring for absolute values"):
        compute.train_compute(independent(0.3, n=4), 4, task="and", start="wired", key=key)


def test_training_ands_beats_the_mean_and_uses_a_bias():
    fit = compute.train_compute(independent(0.3, n=4), 4, task="and", start="symmetric", restarts=4, steps=500, key=key)
    assert (np.asarray(fit.error) == 0).all()
    assert fit.best().loss < 0.8 * naive.target_variance(np.full(4, 0.3), "and").sum()
    assert np.abs(fit.c).max() > 0.01


BAD = [
    ({"m": 0}, "m must be a whole number"),
    ({"task": "xor"}, "task must be one of 'abs', 'product', 'and'"),
    ({"start": "zero"}, "start must be one of"),
    ({"activation": "gelu"}, "activation must be one of"),
    ({"readout": "abs"}, "readout must be one of"),
    ({"importance": [1.0, 2.0]}, "its last axis must be 3"),
    ({"learning_rate": -1.0}, "learning_rate must be one number above 0"),
    ({"restarts": 0}, "restarts must be"),
    ({"features": independent(0.5, n=1), "task": "and"}, "needs at least 2 features, got 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_settings_are_refused(change, message):
    settings = {"features": independent(0.5, n=3), "m": 2, "key": key, "restarts": 1, "steps": 1} | change
    with pytest.raises(ValueError, match=message):
        compute.train_compute(settings.pop("features"), settings.pop("m"), **settings)


def test_divergence_is_refused():
    with pytest.raises(ValueError, match="learning_rate=3 is too large: 1 of 2 restarts diverged"):
        compute.refuse_divergence(np.array([0.1, np.nan]), 3.0)


def test_bad_parameters_are_refused():
    W1, W2, b = TWO_EACH
    x = np.ones((1, 3))
    for change, message in (
        ({"W1": W1[:, :2]}, r"W1 has shape \(6, 2\)"),
        ({"W2": W2[:, :2]}, r"W2 has shape \(3, 2\): it must be \(..., outputs, m\) = \(..., 3, 6\)"),
        ({"b": b[:2]}, r"b has shape \(2,\)"),
        ({"c": np.zeros(2)}, r"c has shape \(2,\)"),
        ({"x": np.ones(3)}, r"x has shape \(3,\)"),
        ({"W1": W1 * np.nan}, "W1 must be finite"),
    ):
        given = {"W1": W1, "W2": W2, "b": b, "x": x} | change
        with pytest.raises(ValueError, match=message):
            compute.answers(**given)
    with pytest.raises(TypeError, match="features must be made by"):
        compute.compute_loss(W1, W2, b, 0.5)
    with pytest.raises(TypeError, match="key must be"):
        compute.inputs(independent(0.5, n=2), "abs", 4, key=3)
