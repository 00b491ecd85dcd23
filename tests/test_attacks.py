"""Attacks: the exact worst case against brute force, closed forms, bounds, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toysup import geometry, independent, sample
from toysup.attacks import TARGETS, attack, dedicated, feature_directions, local_harm

KEY = jax.random.key(0)
X = np.asarray(sample(independent(0.4, n=5), 64, key=KEY))
PENTAGON = 1.1 * geometry.polygon(5), np.full(5, -0.2)


def any_model(seed: int, m: int = 2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, 5)), 0.3 * rng.normal(size=5)


def errors(W, b, x, delta, target="fixed", readout=lambda z: np.maximum(z, 0)):
    """The squared error once more, in NumPy and float64: x, delta (..., n)."""
    return ((x + delta * (target == "moving") - readout((x + delta) @ W.T @ W + b)) ** 2).sum(-1)


def brute(W, b, x, budget, readout=lambda z: np.maximum(z, 0)):
    """The largest error on a fine polar grid of the rows' plane, (batch,)."""
    V = np.linalg.svd(W, full_matrices=False)[2]
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 1501), np.linspace(0, 1, 21)[1:])
    disc = (budget * radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)).reshape(-1, 2) @ V
    return np.array([errors(W, b, one, disc, readout=readout).max() for one in x])


@pytest.mark.parametrize("budget", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("seed", [0, 1, None])
def test_the_exact_attack_is_the_worst_case(seed, budget):
    W, b = PENTAGON if seed is None else any_model(seed)
    found, grid = attack(W, b, X, budget, kind="exact"), brute(W, b, X, budget)
    assert (found.attacked + found.gap >= grid - 1e-5).all()
    assert (found.attacked >= grid * (1 - 1e-3) - 1e-5).all()  # far better than the proven gap
    assert np.allclose(found.attacked, errors(W, b, X, np.asarray(found.delta)), rtol=1e-4, atol=1e-5)
    assert (np.linalg.norm(found.delta, axis=-1) <= budget * (1 + 1e-5)).all()
    assert (found.gap < 0.01 * (found.attacked + (budget * np.linalg.norm(W, 2) ** 2) ** 2)).all()


def test_some_worst_cases_lie_inside():
    """Two active features silenced at once, W = 2 axes: more budget than it takes brings nothing."""
    W, b = np.eye(2), np.zeros(2)
    x = np.array([[0.9, 0.9]])
    found = attack(W, b, x, 1.3, kind="exact")
    assert np.isclose(found.attacked[0], max(1.3**2, 2 * 0.9**2), rtol=1e-4)
    again = attack(W, b, x, 1.275, kind="exact")  # √(2) · 0.9 = 1.2728: both are silenced, a little inside
    assert np.isclose(again.attacked[0], 1.275**2, rtol=1e-3)


@pytest.mark.parametrize("kind", ["random", "feature", "ascent"])
@pytest.mark.parametrize("target", TARGETS)
def test_other_attacks_stay_within_the_budget(kind, target):
    W, b = any_model(3)
    found = attack(W, b, X, 0.3, kind=kind, target=target, key=KEY)
    assert np.allclose(np.linalg.norm(found.delta, axis=-1), 0.3, rtol=1e-4)
    assert np.allclose(found.clean, errors(W, b, X, 0), rtol=1e-4, atol=1e-5)
    assert np.allclose(found.attacked, errors(W, b, X, np.asarray(found.delta), target), rtol=1e-4, atol=1e-5)
    assert np.isnan(found.gap).all()
    assert np.isclose(found.harm, np.mean(found.attacked - found.clean), rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_kinds_are_in_order(seed):
    W, b = any_model(seed)
    random, feature, ascent, exact = (
        np.asarray(attack(W, b, X, 0.3, kind=kind, key=KEY).attacked)
        for kind in ("random", "feature", "ascent", "exact")
    )
    clean = errors(W, b, X, 0)
    assert (feature <= ascent + 1e-5).all()
    assert (ascent <= exact * (1 + 1e-3) + 1e-5).all()
    assert (ascent - clean).mean() > 0.97 * (exact - clean).mean()
    assert random.mean() < 0.8 * feature.mean()


def test_the_ascent_meets_the_moving_worst_case():
    """W d and the rest of d may be chosen apart: a disc, and a direction that the model does not see."""
    W, b = any_model(1)
    V = np.linalg.svd(W, full_matrices=False)[2]
    angle, radius = np.meshgrid(np.linspace(0, 2 * np.pi, 361), np.linspace(0, 1, 61))
    seen = (0.4 * radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)).reshape(-1, 2) @ V
    rest = np.sqrt(np.maximum(0.4**2 - (seen**2).sum(-1), 0))
    r = X[:, None] + seen - np.maximum((X[:, None] + seen) @ W.T @ W + b, 0)
    along, across = (r @ V.T @ V), r - r @ V.T @ V
    worst = ((along**2).sum(-1) + (np.linalg.norm(across, axis=-1) + rest) ** 2).max(-1)
    found = np.asarray(attack(W, b, X, 0.4, kind="ascent", target="moving", key=KEY).attacked)
    assert (found <= worst * (1 + 5e-3)).all()
    assert found.mean() > 0.95 * worst.mean()  # no proof, and not always there


@pytest.mark.parametrize("density", [0.02, 1.0])
def test_a_dedicated_model_loses_the_squared_budget(density):
    W, b = dedicated(density, 5, 2)
    x = sample(independent(density, n=5), 256, key=KEY)
    for kind in ("feature", "exact"):
        found = attack(W, b, x, 0.1, kind=kind, key=KEY)
        assert np.allclose(found.attacked - found.clean, 0.01, atol=2e-4)


@pytest.mark.parametrize("n", [3, 5, 8])
def test_polygons_without_a_relu(n):
    """WᵀW is n/2 times a projection: at the empty input the worst harm is (n/2)² ε²."""
    found = attack(geometry.polygon(n), np.zeros(n), np.zeros((1, n)), 0.1, kind="exact", readout="linear")
    assert np.isclose(found.harm, (n / 2) ** 2 * 0.01, rtol=1e-4)


def test_the_empty_input_has_a_moat():
    W, b = PENTAGON
    moat = 0.2 / np.linalg.norm(W[:, 0] @ W)
    inside, outside = (float(attack(W, b, np.zeros((1, 5)), f * moat, kind="exact").harm) for f in (0.99, 1.1))
    assert inside == 0
    assert outside > 0


def test_feature_directions():
    W = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert np.allclose(feature_directions(jnp.asarray(W)), np.concatenate([np.diag([1, 1, 0]), -np.diag([1, 1, 0])]))


def test_local_harm_is_exact_where_nothing_switches():
    """One feature on, the others far below 0: the worst case is 2ε‖s‖ + ε²‖G_0‖²."""
    W, b = PENTAGON[0], np.full(5, -2.0)
    x = np.array([[3.0, 0, 0, 0, 0]])
    first, second = local_harm(W, b, x, 0.01)
    assert np.isclose(first[0] + second[0], attack(W, b, x, 0.01, kind="exact").harm, rtol=1e-3)
    row = np.linalg.norm(W[:, 0] @ W)
    assert np.isclose(second[0], 1e-4 * row**2, rtol=1e-4)
    assert np.isclose(first[0], 0.02 * row * abs(3 - (3 * 1.21 - 2)), rtol=1e-4)


def test_batch_axes():
    W, b = np.stack([any_model(s)[0] for s in range(3)]), PENTAGON[1]
    many = attack(W, b, X, np.array([[0.1], [0.2]]), kind="exact")
    assert many.delta.shape == (2, 3, 64, 5)
    assert many.harm.shape == (2, 3)
    alone = attack(W[1], b, X, 0.2, kind="exact")
    assert np.allclose(many.attacked[1, 1], alone.attacked, rtol=1e-5)
    assert dedicated(np.array([0.1, 0.2]), 4, 3)[0].shape == (2, 3, 4)


def test_nothing_learned_nothing_harmed():
    found = attack(np.zeros((2, 5)), np.full(5, 0.1), X, 0.5, kind="exact")
    assert np.allclose(found.harm, 0, atol=1e-6)
    assert np.isfinite(found.delta).all()
    assert np.allclose(attack(*PENTAGON, X, 0.0, kind="ascent", key=KEY).harm, 0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": -0.1}, "budget must not be negative, got -0.1"),
        ({"budget": np.nan}, "budget must be finite"),
        ({"x": -X}, "x must not be negative"),
        ({"x": X[0]}, r"x has shape \(5,\)"),
        ({"W": np.zeros((2, 4))}, r"W has shape \(2, 4\)"),
        ({"kind": "best"}, "kind must be one of"),
        ({"target": "still"}, "target must be one of"),
        ({"readout": "tanh"}, "readout must be one of"),
        ({"kind": "ascent"}, "key is missing"),
        ({"kind": "exact", "W": np.zeros((3, 5))}, "m = 2 hidden dimensions, got m = 3"),
        ({"kind": "exact", "target": "moving"}, "needs target='fixed'"),
        ({"kind": "exact", "readout": "gelu"}, "a slope on either side"),
        ({"budget": np.ones(3), "W": np.zeros((2, 2, 5))}, "do not fit together"),
    ],
)
def test_bad_input_is_refused(change, words):
    given = {"W": PENTAGON[0], "b": PENTAGON[1], "x": X, "budget": 0.1} | change
    with pytest.raises(ValueError, match=words):
        attack(given.pop("W"), given.pop("b"), given.pop("x"), given.pop("budget"), **given)


def test_bad_dedicated_models_are_refused():
    with pytest.raises(ValueError, match="at most n = 2, got 3"):
        dedicated(0.1, 2, 3)
    with pytest.raises(ValueError, match="density must lie"):
        dedicated(0.0, 5, 2)
