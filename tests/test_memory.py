"""Training on fixed samples: shapes, values by hand, an independent AdamW, the linear optimum, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toysup import independent, memory
from toysup.geometry import polygon

KEY = jax.random.key(0)
F = independent(0.2, 12)


def test_shapes_and_the_best_seed():
    found = memory.memorise(F, 2, samples=[3, 6], seeds=3, steps=20, tests=64, key=KEY)
    assert found.W.shape == (2, 3, 2, 12)
    assert found.x.shape == (2, 3, 8, 12)
    assert found.test.shape == (2, 3)
    best = found.best()
    assert best.W.shape == (2, 2, 12)
    assert np.allclose(best.train, found.train.min(-1))
    scores = memory.scores(found)
    assert tuple(scores) == memory.SCORES
    assert all(value.shape == (2, 3) for value in scores.values())


def test_inputs_have_length_one_and_are_never_empty():
    x = np.asarray(memory.draw(F, 500, key=KEY))
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert (np.asarray(memory.draw(F, 500, unit=False, key=KEY)).max(1) > 0).all()


def test_fewer_samples_are_the_first_of_more():
    few, many = (memory.memorise(F, 2, samples=s, seeds=2, steps=0, tests=8, key=KEY) for s in (5, 30))
    assert np.allclose(few.x[0, :, :5], many.x[0, :, :5])
    assert np.allclose(few.W, many.W)


def test_losses_are_those_of_the_formula():
    found = memory.memorise(F, 2, samples=5, seeds=1, steps=50, tests=64, key=KEY)
    W, b, x = (np.asarray(a, np.float64) for a in (found.W[0, 0], found.b[0, 0], found.x[0, 0, :5]))
    each = ((x - np.maximum(x @ W.T @ W + b, 0)) ** 2).sum(1)
    assert np.allclose(found.train[0, 0], each.mean(), rtol=1e-4)
    assert np.allclose(memory.input_losses(W, b, x), each, rtol=1e-4)


def test_training_is_optax_adamw():
    how = {"samples": 5, "seeds": 1, "tests": 8, "key": KEY}
    start = memory.memorise(F, 2, steps=0, **how)
    found = memory.memorise(F, 2, steps=40, weight_decay=0.5, rate=0.02, **how)
    x, p = start.x[0, 0, :5], (start.W[0, 0], start.b[0, 0])
    rate = lambda t: 0.02 * jnp.where(t < 2, (t + 1) / 2, (1 + jnp.cos(jnp.pi * (t - 2) / 38)) / 2)
    rule = optax.adamw(rate, weight_decay=0.5)
    state = rule.init(p)
    loss = lambda p: jnp.mean(jnp.sum((x - jax.nn.relu(x @ p[0].T @ p[0] + p[1])) ** 2, 1))
    for _ in range(40):
        update, state = rule.update(jax.grad(loss)(p), state, p)
        p = optax.apply_updates(p, update)
    assert np.allclose(p[0], found.W[0, 0], atol=2e-3)
    assert np.allclose(p[1], found.b[0, 0], atol=2e-3)


def test_a_weight_without_gradient_only_shrinks():
    found = memory.memorise(F, 2, samples=1, seeds=4, weight_decay=0.3, tests=8, key=KEY)
    start = memory.memorise(F, 2, samples=1, seeds=4, steps=0, tests=8, key=KEY)
    silent = np.asarray(start.x[0, :, 0] == 0) & (np.asarray(found.b[0]) < 0)  # never read, and never an input
    assert silent.any()
    ratio = np.linalg.norm(found.W[0], axis=1) / np.linalg.norm(start.W[0], axis=1)
    assert np.median(ratio[silent]) < 0.5


def test_moving_the_numbers_compiles_nothing(compilations):
    go = lambda samples, decay, steps: memory.memorise(
        F, 2, samples=samples, seeds=2, weight_decay=decay, steps=steps, tests=16, key=KEY
    ).train.block_until_ready()
    go(3, 0.1, 5)
    with compilations() as compiled:
        go(7, 0.3, 9)
    assert not compiled


def test_linear_optimum_is_best():
    x = np.asarray(memory.draw(F, 40, key=KEY), np.float64)
    W, b = memory.linear_optimum(x, 3)
    assert np.allclose(W @ W.T, np.eye(3))
    loss = lambda W, b: float(np.mean(memory.input_losses(W, b, x, readout="linear")))
    rng = np.random.default_rng(0)
    assert all(loss(W + 0.1 * rng.normal(size=W.shape), b) > loss(W, b) for _ in range(5))
    rest = np.linalg.svd(x - x.mean(0), compute_uv=False)[3:]
    assert np.isclose(loss(W, b), (rest**2).sum() / 40, rtol=1e-4)


def test_polygons_by_hand():
    V = np.concatenate([polygon(5), np.zeros((2, 30))], 1)
    assert memory.unevenness(V) < 1e-6
    assert np.isclose(memory.dimension_share(V), 0.4, atol=1e-5)
    assert memory.kept(V).sum() == 5
    gaps = np.array([np.pi / 2, np.pi / 2, np.pi])
    assert np.isclose(memory.unevenness(np.array([[1.0, 0, -1], [0, 1, 0]])), gaps.std() / gaps.mean())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples must be whole"),
        ({"samples": 2.5}, "samples must be whole"),
        ({"samples": [[1]]}, "one axis"),
        ({"weight_decay": -1}, "weight_decay must lie"),
        ({"weight_decay": np.nan}, "weight_decay must be finite"),
        ({"rate": 0}, "rate must be"),
        ({"steps": -1}, "steps must be"),
        ({"readout": "step"}, "readout must be one of"),
        ({"features": independent([[0.1], [0.2]], 12)}, "one distribution"),
    ],
)
def test_bad_input_is_refused(change, message):
    how = {"features": F, "samples": 3, "key": KEY} | change
    with pytest.raises(ValueError, match=message):
        memory.memorise(how.pop("features"), 2, **how)


def test_bad_arrays_are_refused():
    with pytest.raises(ValueError, match="vectors of the plane"):
        memory.unevenness(np.ones((3, 4)))
    with pytest.raises(ValueError, match="m at most n"):
        memory.linear_optimum(np.ones((3, 4)), 5)
    with pytest.raises(ValueError, match="inputs, n"):
        memory.input_losses(np.ones((2, 3)), np.ones(3), np.ones(3))
