"""Plain training and measured losses."""

import jax
import numpy as np
import pytest

import toysup
from toysup.recipe import measured_losses, plain_training

KEY = jax.random.key(0)
FIVE = toysup.independent(0.1, 5)


def test_plain_training_finds_what_exact_training_finds():
    W, b = plain_training(toysup.independent([[0.3], [0.1]], 2), 1, runs=8, steps=4000, batch=256, key=KEY)
    assert W.shape == (2, 8, 1, 2)
    assert b.shape == (2, 8, 2)
    for k, p in enumerate((0.3, 0.1)):
        features = toysup.independent(p, 2)
        loss = np.asarray(toysup.expected_loss(W[k], b[k], features))
        best = float(toysup.train(features, 1, key=KEY).best().loss)
        assert best * 0.999 < loss.min() < 1.05 * best
    start, zero = plain_training(FIVE, 2, runs=8, steps=1, key=KEY)
    untrained = toysup.expected_loss(start, zero, FIVE)
    assert (np.asarray(untrained) > 1.5 * float(toysup.train(FIVE, 2, key=KEY).best().loss)).all()  # control


def test_starts_have_the_variance_of_glorot_and_every_run_its_own_inputs():
    W, b = plain_training(toysup.independent(0.1, 20), 5, runs=200, steps=1, rate=1e-9, batch=1, key=KEY)
    assert abs(float(W.std()) / np.sqrt(2 / 25) - 1) < 0.02
    assert float(abs(b).max()) < 1e-6
    same, _ = plain_training(FIVE, 2, runs=2, steps=1, rate=1e-9, batch=1, key=KEY)
    assert abs(np.asarray(same[0] - same[1])).max() > 0.1


def test_measured_losses_scatter_around_the_expected_loss():
    fit = toysup.train(FIVE, 2, key=KEY).best()
    exact = float(toysup.expected_loss(fit.W, fit.b, FIVE))
    few, many = (np.asarray(measured_losses(fit.W, fit.b, FIVE, n, times=256, key=KEY)) for n in (500, 8000))
    assert few.shape == (256,)
    assert len(np.unique(few)) > 250
    for found in (few, many):
        assert abs(found.mean() - exact) < 4 * found.std() / 16
    assert abs(few.std() / many.std() / 4 - 1) < 0.25
    both = measured_losses(np.stack([fit.W, fit.W]), np.stack([fit.b, fit.b]), FIVE, 500, times=3, key=KEY)
    assert both.shape == (2, 3)
    assert len(np.unique(both)) > 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": 0}, "runs must"),
        ({"steps": 0}, "steps must"),
        ({"batch": 0}, "batch must"),
        ({"rate": 0.0}, "rate must be one number above 0"),
        ({"rate": 2.0}, "rate must be one number above 0, at most 1"),
        ({"weight_decay": -0.1}, r"weight_decay must be one number in \[0, 1\]"),
        ({"weight_decay": np.nan}, "weight_decay must be finite"),
    ],
)
def test_bad_settings_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        plain_training(FIVE, 2, **({"key": KEY} | change))


def test_other_bad_input_is_refused():
    with pytest.raises(TypeError, match="key must be"):
        plain_training(FIVE, 2, key=0)
    with pytest.raises(TypeError, match="features must be"):
        plain_training(0.1, 2, key=KEY)
    W, b = np.zeros((2, 5)), np.zeros(5)
    with pytest.raises(ValueError, match="inputs must"):
        measured_losses(W, b, FIVE, 0, key=KEY)
    with pytest.raises(ValueError, match="times must"):
        measured_losses(W, b, FIVE, 10, times=0, key=KEY)
    with pytest.raises(ValueError, match="one distribution"):
        measured_losses(W, b, toysup.independent([[0.1]], 5), 10, key=KEY)
    with pytest.raises(ValueError, match="W has shape"):
        measured_losses(W[:, :4], b, FIVE, 10, key=KEY)
    with pytest.raises(ValueError, match="W must be finite"):
        measured_losses(W * np.nan, b, FIVE, 10, key=KEY)
