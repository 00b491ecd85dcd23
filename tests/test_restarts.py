"""Every model from every start, and the best of them."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toysup
from toysup import actions, compute, hidden, memory, restarts, robust, softmax

KEY = jax.random.key(0)


def test_the_starts_of_a_model_stand_side_by_side():
    models, (W, b) = restarts.from_every_start(
        {"p": jnp.array([1.0, 2.0])}, (jnp.arange(6.0).reshape(3, 2), jnp.zeros(3))
    )
    np.testing.assert_array_equal(models["p"], [1, 1, 1, 2, 2, 2])
    np.testing.assert_array_equal(W, [[0, 1], [2, 3], [4, 5]] * 2)
    assert b.shape == (6,)


def test_pick_takes_one_restart_of_each_model_from_every_leaf():
    values = (jnp.arange(24.0).reshape(2, 3, 4), jnp.arange(6.0).reshape(2, 3))
    long, short = restarts.pick(jnp.array([2, 0]), values)
    np.testing.assert_array_equal(long, [[8, 9, 10, 11], [12, 13, 14, 15]])
    np.testing.assert_array_equal(short, [2, 3])
    assert restarts.pick(jnp.array(1), jnp.array([5.0, 7.0])) == 7


def test_divergence_is_refused_with_its_count():
    restarts.refuse_divergence(jnp.ones((2, 2)), 0.1)
    with pytest.raises(ValueError, match="learning_rate=3 is too large: 2 of 4 restarts diverged"):
        restarts.refuse_divergence(jnp.array([[1.0, jnp.nan], [jnp.inf, 2.0]]), 3)


# ------------------------------------------------------------------------------ one rule for the best

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([3.0, 1.0, 2.0], 1),
        ([1 + 1e-6, 1.0, 1 - 1e-6], 0),  # equal up to rounding: the first
        ([1 + 1e-5, 1.0, 2.0], 1),  # the control: another valley
        ([NAN, 2.0, 1.0], 2),
        ([INF, -INF, 1.0], 2),
        ([0.0, 0.0, 1.0], 0),
        ([-1.0, -1 - 1e-6, -0.5], 0),
        ([1e-12, 0.999e-12, 1.0], 1),  # small losses are told apart as large ones are
    ],
)
def test_the_lowest_is_the_first_of_equals_and_never_one_that_diverged(loss, expected):
    loss = jnp.array(loss)
    assert int(restarts.lowest(loss)) == expected
    assert int(jax.jit(restarts.lowest)(loss)) == expected
    assert int(restarts.lowest(jnp.stack([loss, loss], 1), 0)[1]) == expected


def test_losses_that_are_rounding_alone_are_equal():
    """Models with room for all features lose 1e-14 or so; the control is a hundred times what counts as nothing."""
    loss = jnp.array([[2e-13, 1e-14, 3e-15], [2e-9, 1e-10, 3e-10]])
    np.testing.assert_array_equal(restarts.lowest(loss, nothing=jnp.array([1e-12, 1e-12])), [0, 1])
    fit = toysup.train(toysup.independent(P, 3), 3, readout="linear", restarts=4, key=KEY)
    assert float(fit.loss.max()) < 1e-12
    np.testing.assert_array_equal(fit.best().W, fit.W[:, 0])


def test_where_nothing_is_left_there_is_no_best():
    with pytest.raises(ValueError, match="no best restart: all 2 of 1 models diverged"):
        restarts.lowest(jnp.array([[1.0, NAN], [NAN, INF]]))


def test_restarts_that_diverged_have_not_reached_anything():
    loss = jnp.array([[1.0, 1.0005, NAN, 1.1], [NAN, NAN, NAN, NAN], [0.0, 1e-9, INF, -INF]])
    np.testing.assert_array_equal(restarts.reached(loss, 1e-3, 1e-8), [2, 0, 2])
    np.testing.assert_array_equal(restarts.reached(loss, 1e-3), [2, 0, 1])


P = np.array([[0.1], [0.3]])
RESULTS = {
    "train": (lambda: toysup.train(toysup.independent(P, 3), 2, restarts=3, steps=4, polish=0, key=KEY), "loss"),
    "hidden": (lambda: hidden.train_hidden(toysup.independent(P, 3), 2, restarts=3, steps=4, key=KEY), "loss"),
    "compute": (lambda: compute.train_compute(toysup.independent(P, 3), 2, restarts=3, steps=4, key=KEY), "loss"),
    "softmax": (lambda: softmax.train_softmax(toysup.independent(P, 3), 2, restarts=3, steps=4, key=KEY), "loss"),
    "actions": (lambda: actions.train([0.1, 0.3], 0.5, sets=3, restarts=3, steps=4, key=KEY), "loss"),
    "robust": (
        lambda: robust.train_robust(toysup.independent(P, 3), 2, 0.1, restarts=3, steps=4, key=KEY),
        "attacked",
    ),
    "memory": (
        lambda: memory.memorise(toysup.independent(0.3, 3), 2, samples=[2, 4], seeds=3, steps=4, tests=8, key=KEY),
        "train",
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_every_result_has_one_best(name):
    """NaN is never chosen, equals go to the first start, and a second best() changes nothing."""
    make, by = RESULTS[name]
    fit = make()
    loss = getattr(fit, by)
    assert loss.shape == (2, 3)
    best = fit.best()
    assert getattr(best, by).shape == (2,)
    assert best.best() is best
    chosen = jnp.array([[NAN, 1.0, 0.5], [1 + 1e-6, 1.0, 2.0]], loss.dtype)
    best = dataclasses.replace(fit, **{by: chosen}).best()
    np.testing.assert_array_equal(getattr(best, by), [chosen[0, 2], chosen[1, 0]])
    weights = "W1" if name == "compute" else "W"
    np.testing.assert_array_equal(
        getattr(best, weights), jnp.stack([getattr(fit, weights)[k] for k in ((0, 2), (1, 0))])
    )
    with pytest.raises(ValueError, match="no best restart"):
        dataclasses.replace(fit, **{by: chosen * NAN}).best()
    assert jax.tree.map(lambda a: a[0], best).best().b.shape == best.b.shape[1:]  # one model of those chosen


@pytest.mark.parametrize("name", RESULTS)
def test_training_that_diverges_is_refused(name, monkeypatch):
    """All trainers, where what they computed is not a number (Adam's steps are bounded, so none of them gets there)."""
    module = sys.modules[f"toysup.{name}"]
    real = module.over_models
    monkeypatch.setattr(module, "over_models", lambda *a, **k: jax.tree.map(lambda x: x * NAN, real(*a, **k)))
    with pytest.raises(ValueError, match=r"rate=[0-9.]+ is too large: \d of \d restarts diverged"):
        RESULTS[name][0]()
