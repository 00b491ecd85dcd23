"""Closed forms against numerical integration, search and enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize

from toysup import theory


def midpoint(k, nodes):
    """Midpoint nodes of [0, 1]^k, (nodes^k, k)."""
    line = (np.arange(nodes) + 0.5) / nodes
    return np.stack([axis.ravel() for axis in np.meshgrid(*[line] * k, indexing="ij")], 1) if k else np.zeros((1, 0))


def loss_of_active(W, b, importance, active, nodes):
    """The expected loss when exactly the features in `active` are active, integrated on a grid."""
    u = midpoint(len(active), nodes)
    x = np.zeros((len(u), W.shape[1]))
    x[:, list(active)] = u
    error = x - np.maximum(x @ W.T @ W + b, 0)
    return (importance * error**2).sum(1).mean()


def expected_loss(W, b, importance, p, nodes=(1, 4000, 600, 120)):
    """The whole expected loss: every set of active features, weighted with its probability."""
    n, total = len(b), 0.0
    for k in range(n + 1):
        for active in itertools.combinations(range(n), k):
            total += p**k * (1 - p) ** (n - k) * loss_of_active(W, b, importance, active, nodes[k])
    return total


# ------------------------------------------------------------------------------------- linear model


@pytest.mark.parametrize("p", [0.01, 0.2, 0.7, 1.0])
def test_variance(p):
    mean = p * integrate.quad(lambda x: x, 0, 1)[0]
    square = p * integrate.quad(lambda x: x**2, 0, 1)[0]
    assert theory.variance(p) == pytest.approx(square - mean**2, rel=1e-12)
    best = optimize.minimize_scalar(lambda b: (1 - p) * b**2 + p * integrate.quad(lambda x: (x - b) ** 2, 0, 1)[0])
    assert theory.variance(p) == pytest.approx(best.fun, rel=1e-9)


def linear_model_loss(W, b, p, importance):
    """The loss of x' = WᵀW x + b, from the moments of independent inputs."""
    mean, second = p / 2, np.outer(p / 2, p / 2) + np.diag(p / 3 - (p / 2) ** 2)
    A = np.eye(len(p)) - W.T @ W
    return importance @ (np.einsum("ij,jk,ik->i", A, second, A) - 2 * b * (A @ mean) + b**2)


@pytest.mark.parametrize("seed", range(4))
def test_linear_loss_is_the_minimum(seed):
    rng = np.random.default_rng(seed)
    n, m = 5, int(rng.integers(1, 4))
    p, importance = rng.uniform(0.05, 1, n), rng.uniform(0.1, 1, n)
    floor = theory.linear_loss(p, importance, m)
    split = lambda t: linear_model_loss(t[: m * n].reshape(m, n), t[m * n :], p, importance)
    found = [optimize.minimize(split, rng.normal(size=m * n + n)).fun for _ in range(8)]
    assert min(found) == pytest.approx(floor, rel=1e-5)
    assert min(found) > floor * (1 - 1e-9)


def test_linear_solution_reaches_the_linear_loss():
    rng = np.random.default_rng(0)
    p, importance = rng.uniform(0.05, 1, (6, 5)), rng.uniform(0.1, 1, (6, 5))
    for m in (1, 3, 5, 7):
        kept, b = theory.linear_solution(p, importance, m)
        assert (kept.sum(-1) == min(m, 5)).all()
        reached = [linear_model_loss(np.diag(kept[i]), b[i], p[i], importance[i]) for i in range(6)]
        np.testing.assert_allclose(theory.linear_loss(p, importance, m), reached, atol=1e-15)


def test_linear_model_keeps_the_most_important_features_whatever_the_density():
    kept, b = theory.linear_solution(np.array([[0.01], [0.9]]), 0.7 ** np.arange(4), 2)
    np.testing.assert_array_equal(kept, [[1, 1, 0, 0]] * 2)
    np.testing.assert_allclose(b, [[0, 0, 0.005, 0.005], [0, 0, 0.45, 0.45]])
    np.testing.assert_array_equal(theory.linear_solution(0.5, np.ones(3), 2)[0], [1, 1, 0])


# ---------------------------------------------------------------------- loss by number of active features


def random_model(seed, n=4, m=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, n)), rng.normal(size=n) * 0.3, rng.uniform(0.1, 2, n)


@pytest.mark.parametrize("seed", range(6))
def test_losses_of_no_and_one_active_feature(seed):
    W, b, importance = random_model(seed)
    none = loss_of_active(W, b, importance, (), 1)
    one = sum(loss_of_active(W, b, importance, (i,), 40_000) for i in range(4))
    assert theory.no_active_loss(b, importance) == pytest.approx(none, rel=1e-12)
    assert theory.one_active_loss(W, b, importance) == pytest.approx(one, rel=1e-7)


@pytest.mark.parametrize("slope", [0.0, 1e-300, 1e-12, -1e-12, 1e-6, -1e-6, -0.5])
@pytest.mark.parametrize("bias", [0.0, 1e-13, -1e-13, 0.3, -0.3, 0.5])
def test_loss_of_one_active_feature_with_flat_slopes(slope, bias):
    W, b = np.array([[1.0, slope]]), np.array([bias, bias])
    one = 0.0
    for i, j in itertools.product(range(2), repeat=2):
        s = W[0, i] * W[0, j]
        target = float(i == j)
        kinks = [t for t in (-bias / s if s else 0.0,) if 0 < t < 1]
        integrand = lambda x, s=s, target=target: (target * x - max(s * x + bias, 0.0)) ** 2
        one += integrate.quad(integrand, 0, 1, points=kinks or None, epsabs=1e-14)[0]
    assert theory.one_active_loss(W, b) == pytest.approx(one, rel=1e-10, abs=1e-14)


def test_no_and_one_active_features_are_the_whole_loss_of_sparse_inputs():
    W, b, importance = random_model(7, n=3)
    ratios = []
    for p in (0.02, 0.01):
        first = (1 - p) ** 3 * theory.no_active_loss(b, importance)
        first += p * (1 - p) ** 2 * theory.one_active_loss(W, b, importance)
        ratios.append((expected_loss(W, b, importance, p) - first) / p**2)
    assert ratios[0] == pytest.approx(ratios[1], rel=0.05)  # what is left is of order p²
    assert ratios[0] > 0


def test_losses_take_batches_and_transformations():
    rng = np.random.default_rng(8)
    W, b = rng.normal(size=(3, 2, 2, 4)), rng.normal(size=(2, 4))
    L1 = theory.one_active_loss(W, b, np.ones(4))
    assert L1.shape == (3, 2)
    assert L1[2, 1] == pytest.approx(theory.one_active_loss(W[2, 1], b[1]))
    np.testing.assert_allclose(jax.jit(theory.one_active_loss)(jnp.asarray(W), jnp.asarray(b)), L1, rtol=1e-4)
    assert theory.no_active_loss(b).shape == (2,)
    gradient = jax.grad(lambda W: theory.one_active_loss(W, jnp.zeros(4)))(jnp.zeros((2, 4)))
    assert np.isfinite(gradient).all()
    p = jnp.linspace(0.1, 0.9, 5)
    for function in (theory.variance, theory.two_in_one_boundary):
        np.testing.assert_allclose(jax.jit(function)(p), function(p), rtol=1e-5)
    np.testing.assert_allclose(
        jax.jit(lambda p: theory.linear_loss(p, 1.0, 2))(p), theory.linear_loss(p, 1.0, 2), rtol=1e-5
    )


# -------------------------------------------------------------------------------- strategies, phase changes


@pytest.mark.parametrize("seed", range(3))
def test_two_features_in_one_dimension(seed):
    rng = np.random.default_rng(seed)
    p, r = rng.uniform(0.05, 1), rng.uniform(0.1, 5)
    strategies = {
        "ignore": ([[1.0, 0.0]], [0.0, p / 2]),
        "dedicate": ([[0.0, 1.0]], [p / 2, 0.0]),
        "antipodal": ([[1.0, -1.0]], [0.0, 0.0]),
    }
    for name, (W, b) in strategies.items():
        grid = expected_loss(np.array(W), np.array(b), np.array([1.0, r]), p)
        assert getattr(theory.two_in_one(p, r), name) == pytest.approx(grid, rel=1e-5)


@pytest.mark.parametrize("seed", range(2))
def test_three_features_in_two_dimensions(seed):
    rng = np.random.default_rng(seed)
    p, r = rng.uniform(0.1, 1), rng.uniform(0.1, 5)
    s = np.sqrt(3) / 2
    strategies = {
        "ignore": ([[1, 0, 0], [0, 1, 0]], [0, 0, p / 2]),
        "dedicate": ([[0, 0, 1], [0, 1, 0]], [p / 2, 0, 0]),
        "antipodal": ([[1, 0, 0], [0, 1, -1]], [0, 0, 0]),
        "others_antipodal": ([[1, -1, 0], [0, 0, 1]], [0, 0, 0]),
        "triangle": ([[1, -0.5, -0.5], [0, s, -s]], [0, 0, 0]),
    }
    for name, (W, b) in strategies.items():
        grid = expected_loss(np.array(W, float), np.array(b, float), np.array([1, 1, r]), p)
        assert getattr(theory.three_in_two(p, r), name) == pytest.approx(grid, rel=1e-4)


def test_strategies_broadcast():
    p, r = np.linspace(0.1, 1, 4)[:, None], np.linspace(0.1, 10, 3)
    for losses in (theory.two_in_one(p, r), theory.three_in_two(p, r)):
        assert all(loss.shape == (4, 3) for loss in losses)
    assert theory.two_in_one(p, r).antipodal[2, 1] == theory.two_in_one(p[2, 0], r[1]).antipodal


def test_boundary_of_ignoring_the_second_feature():
    for p in (0.02, 0.3, 0.55, 0.6, 0.95):
        r = theory.two_in_one_boundary(p)
        best = lambda r, p=p: int(np.argmin(theory.two_in_one(p, r)))
        assert best(r * 0.999) == 0
        assert best(r * 1.001) == (2 if p < 4 / 7 else 1)
        assert best(1.001 / r) == 1  # above the inverse the second feature gets the dimension
    np.testing.assert_allclose(theory.two_in_one_boundary([0.1, 0.8]), [0.2 / 3.5, 1.0])


def test_triple_point():
    r, p = theory.TRIPLE_POINT
    np.testing.assert_allclose(theory.two_in_one(p, r), 16 / 147, rtol=1e-12)
    assert theory.two_in_one_boundary(p) == pytest.approx(r, rel=1e-12)
    np.testing.assert_allclose(theory.three_in_two(p, r)[:4], 16 / 147, rtol=1e-12)


def test_unit_triangle_is_never_the_best_of_the_five():
    p, r = np.linspace(0.01, 1, 60)[:, None], np.geomspace(0.05, 20, 61)
    losses = theory.three_in_two(p, r)
    assert (losses.triangle > np.min(losses[:4], axis=0)).all()


def test_sparse_limit():
    # E[min(x, w y)²] by integration, then the least c over a fine grid of w.
    for w in (0.2, 0.6, 1.0):
        shared = integrate.dblquad(lambda y, x, w=w: min(x, w * y) ** 2, 0, 1, 0, 1, epsabs=1e-7)[0]
        assert shared == pytest.approx(w**2 / 3 - w**3 / 6, abs=1e-6)
    onset = lambda w: (w**2 / 3 - w**3 / 6) / ((1 - (1 - w**2) ** 2) / 3)
    best = optimize.minimize_scalar(onset, bounds=(0.01, 1.2), method="bounded", options={"xatol": 1e-9})
    slope, norm = theory.sparse_limit()
    assert best.fun == pytest.approx(slope, rel=1e-9)
    assert best.x == pytest.approx(norm, abs=1e-5)


def test_sparse_limit_is_that_of_the_whole_loss():
    """At a small density the loss with W = (1, -w) falls below that of ignoring close to r = c p."""
    p, (slope, norm) = 1e-4, theory.sparse_limit()
    W, b = np.array([[1.0, -norm]]), np.zeros(2)
    with_superposition = lambda r: expected_loss(W, b, np.array([1.0, r]), p) - theory.two_in_one(p, r).ignore
    crossing = optimize.brentq(with_superposition, 0.3 * p, 0.6 * p)
    assert crossing / p == pytest.approx(slope, rel=5e-4)


# ------------------------------------------------------------------------------------- two features at once


def test_readings_of_the_pentagon():
    c1, c2 = np.cos(2 * np.pi / 5), np.cos(4 * np.pi / 5)
    W = theory.polygon(5)
    np.testing.assert_allclose(theory.readings(W, [0]), [1, c1, c2, c2, c1], atol=1e-12)
    np.testing.assert_allclose(theory.readings(W, [0, 1]), [1 + c1, 1 + c1, c1 + c2, 2 * c2, c1 + c2], atol=1e-12)
    np.testing.assert_allclose(theory.readings(W, (0, 2)), [0.191, 0.618, 0.191, -0.5, -0.5], atol=5e-4)
    np.testing.assert_array_equal(theory.readings(W, []), np.zeros(5))
    assert theory.readings(np.stack([W, 2 * W]), [3]).shape == (2, 5)


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (3, (3, 3, 0, 0)),
        (4, (6, 4, 0, 2)),
        (5, (10, 5, 5, 0)),
        (6, (15, 6, 6, 3)),
        (7, (21, 7, 14, 0)),
        (8, (28, 8, 16, 4)),
        (12, (66, 12, 48, 6)),
    ],
)
def test_misread_pairs_of_polygons(n, expected):
    count = theory.misread_pairs(theory.polygon(n))
    assert (*count[:4], count.lost) == (*expected, 0)
    assert count.misread == expected[0] - expected[1]


def test_misread_pairs_by_hand():
    """The same outcomes from the readings themselves, one pair at a time, for a model without symmetry."""
    W = np.random.default_rng(2).normal(size=(3, 7))
    outcomes = {"correct": 0, "phantom": 0, "cancelled": 0, "lost": 0}
    for i, j in itertools.combinations(range(7), 2):
        read = theory.readings(W, [i, j])
        order = np.argsort(-read)
        if max(read[i], read[j]) <= 0:
            outcomes["cancelled"] += 1
        elif set(order[:2]) == {i, j}:
            outcomes["correct" if read[order[1]] > 0 else "lost"] += 1
        else:
            top = read[[k for k in range(7) if k not in (i, j)]].max()
            outcomes["phantom" if top > 0 else "lost"] += 1
    assert theory.misread_pairs(W)._asdict() == {"pairs": 21, **outcomes}
    assert sum(value > 0 for value in outcomes.values()) > 1


def test_misread_pairs_of_other_models():
    assert theory.misread_pairs(np.eye(4)).misread == 0
    assert theory.misread_pairs(theory.simplex(6)).misread == 0
    assert theory.misread_pairs([[1.0, -1.0]]).cancelled == 1
    assert theory.misread_pairs([[1.0, -0.5]]).lost == 1
    assert theory.misread_pairs([[1.0, 0.0]]).lost == 1  # a feature without a direction is never read
    assert theory.misread_pairs([[1.0, 1.0, 1.0]]).phantom == 3  # three features that nothing tells apart
    assert theory.misread_pairs(np.zeros((2, 3))).cancelled == 3
    assert theory.misread_pairs([[1.0]]).pairs == 0


@pytest.mark.parametrize("p", [0.3, 0.1, 0.05, 0.01, 0.001, 1.0])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_many_active_given_any(p, n):
    chance = {0: 0.0, 1: 0.0, 2: 0.0}
    for on in itertools.product([0, 1], repeat=n):
        chance[min(sum(on), 2)] += np.prod([p if active else 1 - p for active in on])
    expected = chance[2] / (chance[1] + chance[2])
    assert theory.many_active_given_any(p, n) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_many_active_given_any_keeps_its_digits():
    assert theory.many_active_given_any(1e-12, 5) == pytest.approx(2e-12, rel=1e-9)
    densities = np.array([0.3, 0.1, 0.05, 0.01, 0.001])
    np.testing.assert_allclose(
        theory.many_active_given_any(densities, 5), [0.567, 0.199, 0.100, 0.020, 0.002], atol=5e-4
    )


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.variance(0.0), r"density must lie in \(0, 1\], got 0"),
        (lambda: theory.variance([0.5, 1.2]), "got 1.2 for feature 1"),
        (lambda: theory.variance(np.nan), "density must be finite"),
        (lambda: theory.linear_loss(0.5, 1.0, 2), "one needs an axis of features"),
        (lambda: theory.linear_loss(0.5, [1.0, -1.0], 2), "importance must not be negative, got -1"),
        (lambda: theory.linear_loss([0.5, 0.5, 0.5], [1.0, 1.0], 2), "do not fit together"),
        (lambda: theory.linear_loss(0.5, [1.0, 1.0], 0), "m must be a whole number, at least 1"),
        (lambda: theory.no_active_loss(0.5), "b must have an axis of features"),
        (lambda: theory.no_active_loss([0.5, 0.5, 0.1], [1.0, 1.0]), "importance has shape"),
        (lambda: theory.one_active_loss(np.eye(2), np.zeros(3)), "b has shape"),
        (lambda: theory.one_active_loss(np.ones(2), np.zeros(2)), "W has shape"),
        (lambda: theory.one_active_loss(np.eye(2), np.zeros(2), [1.0, 1.0, 1.0]), "importance has shape"),
        (lambda: theory.two_in_one(0.5, -1.0), "ratio must not be negative"),
        (lambda: theory.three_in_two([0.5, 0.6], [1.0, 1.0, 1.0]), "do not fit together"),
        (lambda: theory.readings(np.eye(2), [2]), "active must be different features from 0 to 1"),
        (lambda: theory.readings(np.eye(2), [1, 1]), "active must be different features"),
        (lambda: theory.readings(np.ones(2), [0]), "W has shape"),
        (lambda: theory.misread_pairs(np.ones((2, 2, 2))), "misread_pairs takes one model"),
        (lambda: theory.misread_pairs(np.eye(2), tolerance=-1), "tolerance must not be negative"),
        (lambda: theory.many_active_given_any(0.5, 0), "n must be a whole number, at least 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
