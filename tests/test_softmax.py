"""The softmax readout: its divergence, training exact and drawn, shapes to expect, bad input."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import rel_entr
from scipy.special import softmax as reference

import toysup
from tools import data_readouts
from toysup import geometry, softmax

KEY = jax.random.key(3)


def test_divergence_is_that_of_the_distributions_and_ignores_a_shift():
    target, z = np.random.default_rng(0).normal(size=(2, 5, 7)) * 3
    expected = rel_entr(reference(target, 0), reference(z, 0)).sum(0)
    np.testing.assert_allclose(softmax.divergence(target, z), expected, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(softmax.divergence(target + 9, z - 4), expected, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(softmax.divergence(target.T, z.T, axis=1), expected, rtol=2e-4, atol=1e-6)


def test_divergence_of_equals_is_zero_and_of_certainties_finite():
    z = jnp.array([[0.0, 300.0], [1.0, -300.0]])
    np.testing.assert_allclose(softmax.divergence(z, z), 0, atol=1e-6)
    assert np.isfinite(softmax.divergence(z, -z)).all()


@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_simplex_solution_has_the_right_logits_up_to_a_shift(n):
    W = softmax.simplex_solution(7.0, n)
    np.testing.assert_allclose(W.T @ W, 7 * (np.eye(n) - 1 / n), atol=1e-9)
    x = np.random.default_rng(n).uniform(size=(n, 50))
    np.testing.assert_allclose(softmax.divergence(7 * x, W.T @ W @ x), 0, atol=2e-6)


# ---------------------------------------------------------------------------- nodes


def test_nodes_integrate_what_can_be_integrated_by_hand():
    p = 0.3
    features = toysup.independent(p, 4)
    table = softmax.points(features, 4)
    weight = np.asarray(softmax._weights(features, table), np.float64)
    assert weight.sum() == pytest.approx(1, abs=1e-6)
    x = np.asarray(table.x, np.float64)
    np.testing.assert_allclose(x @ weight, p / 2, rtol=1e-5)  # E x
    np.testing.assert_allclose(x**2 @ weight, p / 3, rtol=1e-5)  # E x²
    assert (x[0] * x[1] * x[2]) @ weight == pytest.approx((p / 2) ** 3, rel=1e-5)
    few = softmax.points(features, 2)
    at_most_two = 0.7**4 + 4 * p * 0.7**3 + 6 * p**2 * 0.7**2
    assert np.asarray(softmax._weights(features, few)).sum() == pytest.approx(at_most_two, abs=1e-6)


def brute(W, U, b, beta, p, draws=200_000):
    """The mean divergence in NumPy, from other inputs, and its standard error."""
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(len(b), draws)) * (rng.uniform(size=(len(b), draws)) < p)
    target, q = reference(beta * x, 0), reference(np.asarray(U).T @ np.asarray(W) @ x + np.asarray(b)[:, None], 0)
    each = rel_entr(target, q).sum(0)
    return each.mean(), each.std() / draws**0.5


def test_the_loss_is_that_of_an_independent_program():
    rng = np.random.default_rng(1)
    W, U, b = rng.normal(size=(2, 4)) * 2, rng.normal(size=(2, 4)) * 2, rng.normal(size=4)
    features = toysup.independent(0.3, 4)
    for other in (W, U):
        loss, error = softmax.mean_divergence(W, b, features, confidence=6.0, U=other)
        expected, scatter = brute(W, other, b, 6.0, 0.3)
        assert abs(loss - expected) < 4 * np.hypot(error, scatter)
        assert 0 < error < 0.05 * loss


def test_the_objective_of_training_agrees_and_has_the_slope_of_finite_differences():
    features, one = toysup.independent(0.3, 4), jnp.ones(4)
    W, b = (jax.random.normal(k, s) for k, s in zip(jax.random.split(KEY), ((2, 4), (4,)), strict=True))
    objective = softmax._objective(features, jnp.float32(4.0), one, softmax.points(features, 4), 0)
    nothing = softmax.mean_divergence(0 * W, 0 * b, features, confidence=4.0)[0]  # scaled: a model of zeros loses 1
    expected, _ = brute(W, W, b, 4.0, 0.3)
    assert float(objective((W, W, b), None) * nothing) == pytest.approx(expected, rel=0.02)
    slope = jax.grad(lambda W: objective((W, W, b), None))(W)
    for i, j in itertools.product((0, 1), (0, 3)):
        step = jnp.zeros_like(W).at[i, j].set(0.02)
        change = (objective((W + step, W + step, b), None) - objective((W - step, W - step, b), None)) / 0.04
        assert float(change) == pytest.approx(float(slope[i, j]), rel=0.02, abs=2e-3)


# ---------------------------------------------------------------------------- training


def test_training_finds_the_simplex_and_absent_features_change_nothing():
    """Of four features one is absent in the second model."""
    present = np.array([[1.0, 1, 1, 1], [1, 1, 1, 0]])
    fit = softmax.train_softmax(toysup.independent(0.1, 4), 3, most=4, present=present, restarts=4, key=KEY)
    assert fit.W.shape == (2, 4, 3, 4)
    assert fit.b.shape == (2, 4, 4)
    assert np.abs(fit.loss).max() < 2e-4
    best = fit.best()
    assert best.W.shape == (2, 3, 4)
    assert best.best() is best
    assert softmax.shape_of(best.W[0]) == "tetrahedron"
    three = np.asarray(best.W[1, :, :3])  # more room than needed: only the logits without their mean are determined
    centred = np.eye(3) - 1 / 3
    np.testing.assert_allclose(centred @ three.T @ three @ centred, 10 * centred, atol=0.2)
    np.testing.assert_allclose(np.linalg.norm(best.W[0], axis=0), (10 * 3 / 4) ** 0.5, rtol=0.02)
    assert np.abs(best.W[1, :, 3]).max() == 0
    through = softmax.represented(best.W, best.b, 10.0, present=present)
    assert (through == (present > 0)).all()


def test_drawn_training_untied_and_what_is_not_written():
    written = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0]])
    fit = softmax.train_softmax(
        toysup.independent(0.1, 4), 2, written=written, tied=False, restarts=3, steps=500, batch=128, key=KEY
    )
    best = fit.best()
    assert np.abs(best.W[1, :, 2:]).max() == np.abs(best.U[1, :, 2:]).max() == 0
    assert best.loss[0] < 0.8 * best.loss[1]  # four features gain on two
    assert softmax.represented(best.W, best.b, 10.0, U=best.U).sum(-1).tolist() == [4, 2]
    assert not np.allclose(best.W, best.U, atol=0.1)


def test_represented_judges_the_function():
    W = softmax.simplex_solution(10.0, 3)
    assert softmax.represented(W, np.zeros(3), 10.0).all()
    assert softmax.represented(2 * W, np.zeros(3), 10.0, U=W / 2).all()
    assert not softmax.represented(0 * W, np.zeros(3), 10.0).any()
    assert softmax.represented(W * np.array([1, 0, 1]), np.zeros(3), 10.0).tolist() == [True, False, True]


# ---------------------------------------------------------------------------- shapes to expect


@pytest.mark.parametrize(
    ("n", "m", "pairs", "simplices"),
    [
        (3, 2, "digon + axis", "triangle"),
        (6, 5, "digon + 4 x axis", "simplex"),
        (8, 5, "digon + digon + digon + axis + axis", "triangle + triangle + digon"),
        (10, 5, "5 x digon", "5 x digon"),
    ],
)
def test_shapes_of_the_rule(n, m, pairs, simplices):
    for make, name in ((softmax.digons_and_axes, pairs), (softmax.equal_simplices, simplices)):
        W = make(n, m)
        assert W.shape == (m, n)
        assert softmax.shape_of(3 * W) == name == geometry.describe(W)
        np.testing.assert_allclose(np.linalg.norm(W, axis=0), 1)


def test_floor_for_small_confidence():
    assert softmax.small_confidence_floor(20, 5) == pytest.approx(14 / 19)
    assert softmax.small_confidence_floor(4, 3) == softmax.small_confidence_floor(4, 9) == 0


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": 0.0}, "confidence must be above 0"),
        ({"confidence": np.nan}, "confidence"),
        ({"confidence": 1e4}, "confidence"),
        ({"present": 0.5}, "present must be 0 or 1"),
        ({"present": np.ones(3)}, "present has shape"),
        ({"written": np.ones((2, 4)), "confidence": np.ones(3)}, "do not fit together"),
        ({"most": 0}, "most"),
        ({"m": 0}, "m "),
        ({"learning_rate": -1.0}, "learning_rate"),
    ],
)
def test_bad_input_is_refused_with_its_name(change, message):
    rest = {"m": 2, "key": KEY, **change}
    with pytest.raises(ValueError, match=message):
        softmax.train_softmax(toysup.independent(0.1, 4), rest.pop("m"), **rest)


def test_nodes_that_miss_too_much_are_refused():
    with pytest.raises(ValueError, match="covers only 0%"):
        softmax.points(toysup.independent(1.0, 6), 3)
    with pytest.raises(ValueError, match="too many combinations"):
        softmax.points(toysup.independent(0.01, 20), 2)
    with pytest.raises(ValueError, match="nodes, at most"):
        softmax.points(toysup.independent(0.01, 13), 6)
    with pytest.raises(TypeError):
        softmax.train_softmax(np.ones(3), 2, key=KEY)


@pytest.mark.parametrize("size", [(5, 5), (11, 5), (0, 2)])
def test_shapes_that_the_rule_does_not_cover(size):
    for make in (softmax.equal_simplices, softmax.digons_and_axes):
        with pytest.raises(ValueError, match="n must"):
            make(*size)


# ---------------------------------------------------------------------------- the file of notebook 10


def test_a_piece_of_the_data_is_made_anew():
    data = np.load(data_readouts.FILE)
    again = data_readouts.shapes(2, 6, "softmax", seeds=4)
    np.testing.assert_allclose(again["loss"], data["softmax 6 in 2 loss"][:4], rtol=0.05)
    assert data["six free"].shape == (9, 8)
    assert (data["six free"] <= data["six none"] * 1.001).all()
