"""Models with neurons: outputs by hand, losses against known ones, training, starts, penalties, errors."""

import jax
import numpy as np
import pytest
from helpers import compilations

from toysup import correlated, expected_loss, forward, hidden, independent, sample

key = jax.random.key(0)
two = independent(0.5, n=2)


def test_outputs_by_hand():
    W, b, x = np.array([[1.0, -2.0]]), np.array([0.0, 0.5]), np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.25]])
    assert np.allclose(hidden.hidden_forward(W, b, x), [[1, 0], [0, 0.5], [0.5, 0]])  # h = 1, 0, 0.5
    assert np.allclose(hidden.hidden_forward(W, b, x, activation="linear"), [[1, 0], [0, 4.5], [0.5, 0]])


def test_the_linear_activation_is_the_model_without_neurons():
    W, b = jax.random.normal(key, (3, 2, 4)), jax.random.normal(key, (3, 4))
    x = sample(independent(0.5, n=4), 16, key=key)
    assert np.allclose(hidden.hidden_forward(W, b, x, activation="linear"), forward(W, b, x), atol=1e-5)
    loss, error = hidden.hidden_loss(W, b, independent(0.5, n=4), activation="linear", inputs=2**17)
    exact = expected_loss(W, b, independent(0.5, n=4))
    assert (np.abs(loss - exact) < 4 * error).all()
    assert (error < 0.02 * loss).all()


def test_a_dead_layer_costs_the_mean_square():
    """W = -1: nothing passes the ReLU, and each feature costs I p/3."""
    p, importance = np.array([[0.2], [0.6]]), np.array([1.0, 0.5])
    loss, error = hidden.hidden_loss(-np.eye(2), np.zeros(2), independent(p, n=2), importance=importance)
    assert (np.abs(loss - 1.5 * p[:, 0] / 3) < 4 * error).all()
    copy, _ = hidden.hidden_loss(np.eye(2), np.zeros(2), two)
    assert copy < 1e-12


def test_training_finds_a_copy_and_an_untrained_model_does_not():
    fit = hidden.train_hidden(two, 2, restarts=6, steps=600, key=key)
    assert fit.W.shape == (6, 2, 2)
    assert fit.b.shape == (6, 2)
    assert fit.best().loss < 1e-4
    assert np.isclose(fit.best().loss, fit.loss.min(), atol=1e-5)
    assert fit.best().best().W.shape == (2, 2)
    again, _ = hidden.hidden_loss(fit.W, fit.b, two)
    assert np.allclose(again, fit.loss, atol=1e-6)
    start, _ = hidden.hidden_loss(0.1 * np.eye(2), np.zeros(2), two)  # control
    assert start > 0.1


def test_batches_of_models_are_the_models_one_by_one():
    p, penalty = np.array([[0.3], [0.6]]), np.array([0.0, 0.05])
    many = hidden.train_hidden(independent(p, n=3), 2, penalty=penalty, restarts=3, steps=50, key=key)
    assert many.W.shape == (2, 3, 2, 3)
    assert many.best().b.shape == (2, 3)
    for k in range(2):
        one = hidden.train_hidden(independent(p[k], n=3), 2, penalty=penalty[k], restarts=3, steps=50, key=key)
        assert np.allclose(one.W, many.W[k], atol=1e-4)
    pairs = hidden.train_hidden(correlated(1, 2, 0.5), 2, restarts=2, steps=20, key=key)
    assert np.isfinite(pairs.loss).all()


def test_penalties_and_rates_do_not_compile_anew():
    run = lambda **more: hidden.train_hidden(two, 2, restarts=2, steps=20, key=key, **more)
    run(penalty=0.1, learning_rate=0.01)
    with compilations() as seen:
        run(penalty=0.2, learning_rate=0.02)
    assert not seen


def test_a_strong_penalty_empties_the_hidden_layer():
    for norm in ("l1", "l2", "decay"):
        fit = hidden.train_hidden(two, 2, activation="linear", penalty=5.0, norm=norm, restarts=2, steps=600, key=key)
        assert (np.abs(fit.W) < 0.05).all()
        assert np.allclose(fit.b, 0.25, atol=0.02)  # the mean p/2 is the best constant answer


def test_given_starts_are_used():
    start = np.stack([np.eye(2), np.eye(2)[::-1]])
    fit = hidden.train_hidden(two, 2, restarts=2, steps=1, learning_rate=1e-6, start=start, key=key)
    assert np.allclose(fit.W, start, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"activation": "tanh"}, ValueError, "activation must be one of"),
        ({"rule": "lion"}, ValueError, "rule must be one of"),
        ({"norm": "l3"}, ValueError, "norm must be one of"),
        ({"penalty": -0.1}, ValueError, "penalty must not be negative, got -0.1"),
        ({"penalty": np.nan}, ValueError, "penalty must be finite"),
        ({"m": 0}, ValueError, "m must be a whole number, at least 1"),
        ({"restarts": 0}, ValueError, "restarts must be"),
        ({"steps": 0}, ValueError, "steps must be"),
        ({"batch": 1.5}, TypeError, "batch must be"),
        ({"learning_rate": 0}, ValueError, "learning_rate must be"),
        ({"start": np.eye(2)}, ValueError, r"start has shape \(2, 2\): it must be \(restarts, m, n\)"),
        ({"importance": [1, -1]}, ValueError, "importance must not be negative"),
        ({"key": 0}, TypeError, "key must be"),
        ({"features": 0.5}, TypeError, "features must be made by"),
        (
            {"activation": "linear", "rule": "sgd", "learning_rate": 10.0, "steps": 60},
            ValueError,
            "learning_rate=10 is too large: .* diverged",
        ),
    ],
)
def test_errors_of_training_name_the_argument(change, error, message):
    settings = {"features": two, "m": 2, "restarts": 2, "steps": 5, "key": key} | change
    with pytest.raises(error, match=message):
        hidden.train_hidden(settings.pop("features"), settings.pop("m"), **settings)


def test_errors_of_losses_and_outputs_name_the_argument():
    with pytest.raises(ValueError, match="activation must be one of"):
        hidden.hidden_loss(np.eye(2), np.zeros(2), two, activation="abs")
    with pytest.raises(ValueError, match="W has shape"):
        hidden.hidden_loss(np.eye(3), np.zeros(3), two)
    with pytest.raises(ValueError, match="inputs must be"):
        hidden.hidden_loss(np.eye(2), np.zeros(2), two, inputs=1)
    with pytest.raises(ValueError, match="x has shape"):
        hidden.hidden_forward(np.eye(2), np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="x must be finite"):
        hidden.hidden_forward(np.eye(2), np.zeros(2), [[np.nan, 1]])


def test_features_too_sparse_to_be_drawn_are_refused():
    """The mean over 32,768 inputs would be 0, with an error of 0; the control is a density that some of them have."""
    W, b = np.eye(3), np.zeros(3)
    with pytest.raises(ValueError, match=r"one in 3\.33e\+07 has an active feature"):
        hidden.hidden_loss(W, b, independent(1e-8, n=3))
    assert hidden.hidden_loss(0 * W, b, independent(1e-3, n=3))[0] > 0
