"""Recovery, its border and the iterations: against brute force and formulas written differently."""

import itertools

import jax
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from toysup import coherence, sensing

KEY = jax.random.key(0)


def frame(m, n, seed=0):
    return np.random.default_rng(seed).standard_normal((m, n))


# ----------------------------------------------------------------------------------- recovery


def test_the_solver_finds_the_least_sum_among_all_corners():
    """The least Σx over {x >= 0, W x = h} is attained at a corner: at most m entries not 0. Try all of them."""
    W, x = frame(3, 7), np.array([0, 0.7, 0, 0, 0.4, 0.9, 0.2])
    h, sums = W @ x, []
    for places in itertools.combinations(range(7), 3):
        part = np.linalg.solve(W[:, places], h)
        if (part >= 0).all():
            sums.append(part.sum())
    found = sensing.recover(W, h)
    assert np.allclose(W @ found, h)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(min(sums))
    assert found.sum() < x.sum()


def test_signed_recovery():
    W, x = frame(12, 20), np.where(np.arange(20) < 3, [1.0, -0.5] * 10, 0)
    assert np.allclose(sensing.recover(W, W @ x, signed=True), x, atol=1e-7)
    assert not np.allclose(sensing.least_squares(W, W @ x), x, atol=0.1)
    assert np.allclose(W @ sensing.least_squares(W, W @ x), W @ x)


@pytest.mark.parametrize("signed", [False, True])
def test_the_staircase_is_what_all_questions_one_by_one_answer(signed):
    """Every k and m of an 8 by 8 matrix asked; and the values of the entries do not matter, only their signs."""
    n, draw = 8, np.random.default_rng(5)
    for seed in range(4):
        W, signs = frame(n, n, seed), draw.choice([-1.0, 1.0], size=n) if signed else None
        border = sensing.staircase(W, signs)
        assert (np.diff(border) >= 0).all()
        how = lambda W, h: sensing.recover(W, h, signed=signed)
        for k, m in itertools.product(range(1, n + 1), repeat=2):
            values = draw.uniform(0.2, 1, n) * (1 if signs is None else signs)
            x = np.where(np.arange(n) < k, values, 0)
            assert sensing.recovers(W[:m], x, how) == (m >= border[k - 1])


# ---------------------------------------------------------------------------------- threshold


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.1, 0.5, 0.95])
def test_the_threshold_is_the_least_of_its_integral(rho, signed):
    def size(tau):
        tail = quad(lambda u: (u - tau) ** 2 * norm.pdf(u), tau, tau + 40, epsabs=1e-13)[0]
        return rho * (1 + tau**2) + (1 - rho) * (2 if signed else 1) * tail

    least = minimize_scalar(size, bounds=(0, 12), method="bounded", options={"xatol": 1e-9}).fun
    assert sensing.threshold(rho, signed=signed) == pytest.approx(least, rel=1e-7)


@pytest.mark.parametrize(("signed", "kappa"), [(False, 1), (True, 2)])
def test_the_threshold_is_that_of_message_passing(signed, kappa):
    """Donoho, Maleki and Montanari 2009: the largest k/m for a given m/n, by another formula."""
    z = np.linspace(0.001, 6, 60_000)
    tail = kappa * ((1 + z**2) * norm.cdf(-z) - z * norm.pdf(z))
    for delta in (0.1, 0.4, 0.7):
        best = np.max((1 - tail / delta) / (1 + z**2 - tail))
        assert sensing.threshold(best * delta, signed=signed) == pytest.approx(delta, abs=1e-5)


def test_the_ends_of_the_threshold():
    assert sensing.threshold(1.0) == pytest.approx(1)
    assert sensing.threshold(1e-9) < 1e-6
    curve = sensing.threshold(np.linspace(0.01, 1, 50))
    assert (np.diff(curve) > 0).all()
    assert (curve <= (1 + np.linspace(0.01, 1, 50)) / 2 + 1e-12).all()  # τ = 0: what x >= 0 alone allows


# --------------------------------------------------------------------------------- iterations


def test_one_iteration_is_the_readout_of_the_toy_model():
    W, h = coherence.random_frame(4, 9, seed=0), frame(4, 5)
    s = 1 / np.linalg.norm(W, 2) ** 2
    assert np.allclose(sensing.iterate(W, h, 1, 0.2), np.maximum(s * W.T @ h - s * 0.2, 0), atol=1e-5)


def test_many_iterations_end_where_the_solver_ends():
    W, x = coherence.random_frame(12, 20, seed=1), np.where(np.arange(20) % 9 == 0, 0.8, 0.0)
    h = (W @ x)[:, None]
    far = np.asarray(sensing.iterate(W, h, 20_000, 1e-3))[:, 0]
    assert np.allclose(far, sensing.recover(W, h[:, 0]), atol=0.02)
    assert not np.allclose(np.asarray(sensing.iterate(W, h, 1, 1e-3))[:, 0], x, atol=0.3)  # control
    cost = [
        np.sum((h - W @ np.asarray(g, float)) ** 2) / 2 + 0.05 * np.sum(g)
        for g in (sensing.iterate(W, h, t, 0.05) for t in (1, 2, 5, 20, 100))
    ]
    assert (np.diff(cost) < 0).all()


def test_a_trained_readout_of_a_whole_space_is_perfect_and_starts_are_kept_apart():
    W = np.stack([np.eye(3), np.diag([1.0, 1.0, 0.0])])
    V, b = (np.asarray(a, float) for a in sensing.train_readout(W, 0.3, steps=600, key=KEY))
    assert V.shape == (2, 3, 3)
    assert b.shape == (2, 3)
    x = np.random.default_rng(0).uniform(0, 1, (3, 500)) * (np.random.default_rng(1).uniform(size=(3, 500)) < 0.3)
    errors = [np.mean((x - np.maximum(v @ (w @ x) + c[:, None], 0)) ** 2, 1) for v, w, c in zip(V, W, b, strict=True)]
    assert errors[0].max() < 1e-4
    assert errors[1][2] > 0.05  # what is not measured is not read
    assert b[1, 2] == pytest.approx(0.15, abs=0.03)


def test_lost_is_one_for_the_mean_and_zero_for_the_truth():
    x = np.array([[0.0, 1.0], [0.5, 0.5]])
    assert sensing.lost(x, x, 1.0) == 0
    draw = np.random.default_rng(0)
    x = draw.uniform(size=(4, 50_000)) * (draw.uniform(size=(4, 50_000)) < 0.2)
    assert sensing.lost(x, np.full_like(x, 0.1), 0.2) == pytest.approx(1, abs=0.02)


def test_the_search_finds_what_is_sparse_enough_and_hedges_else():
    W, draw = coherence.random_frame(4, 9, seed=0), np.random.default_rng(0)
    x = np.zeros((9, 20))
    for j in range(20):
        x[draw.permutation(9)[: j % 4], j] = draw.uniform(0.1, 1, j % 4)
    assert np.allclose(sensing.search(W, W @ x), x, atol=1e-6)  # up to m - 1 entries, always
    crowded = np.zeros((9, 1))
    crowded[:4] = 0.6
    guess = sensing.search(W, W @ crowded)
    assert np.allclose(W @ guess, W @ crowded)
    assert (guess > 0).sum() > 4  # a mean over several sets
    fits = [s for s in itertools.combinations(range(9), 4) if _inside(np.linalg.solve(W[:, s], W @ crowded))]
    assert set(np.flatnonzero(guess > 0)) == set().union(*fits)
    assert np.allclose(sensing.search(W, W @ crowded, most=4)[:, 0], sensing.recover(W, (W @ crowded)[:, 0]))


def _inside(entries):
    return (entries >= 0).all() and (entries <= 1).all()


def test_one_trained_step_is_a_readout_and_untrained_steps_are_iterations():
    W, h = coherence.random_frame(4, 9, seed=0), frame(4, 5)
    V, b = np.random.default_rng(0).normal(size=(1, 9, 4)), np.random.default_rng(1).normal(size=(1, 9))
    assert np.allclose(sensing.unroll(W, h, V, b), np.maximum(V[0] @ h + b[0][:, None], 0), atol=1e-5)
    s = 1 / np.linalg.norm(W, 2) ** 2
    same = sensing.unroll(W, h, np.stack(7 * [s * W.T]), np.full((7, 9), -s * 0.2))
    assert np.allclose(same, sensing.iterate(W, h, 7, 0.2), atol=1e-5)
    V, b = sensing.train_steps(np.stack([W, W]), 0.3, 2, steps=3, key=KEY)
    assert V.shape == (2, 2, 9, 4)
    assert b.shape == (2, 2, 9)


def test_a_matrix_of_zeros_reads_nothing():
    assert (np.asarray(sensing.iterate(np.zeros((2, 3)), np.ones((2, 1)), 5, 0.0)) == 0).all()


def test_a_comparison_is_judged_on_inputs_that_training_did_not_see(monkeypatch):
    """No key of a draw is one of those that training folds out of its own."""
    used = {}
    note = lambda name, real: lambda *a, key, **k: used.setdefault(name, key) is key and real(*a, key=key, **k)
    for name in ("sample", "train_readout", "train"):
        monkeypatch.setattr(sensing, name, note(name, getattr(sensing, name)))
    sensing.compare(3, 4, 0.2, draws=1, solved=1, steps=3)
    data = lambda key: np.asarray(jax.random.key_data(key)).tolist()
    folded = [data(used[name]) for name in ("train_readout", "train")]
    folded += [data(jax.random.fold_in(used[name], t)) for name in ("train_readout", "train") for t in range(4)]
    assert data(used["sample"]) not in folded
    assert len({tuple(data(key)) for key in used.values()}) == 3


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sensing.search(np.eye(2), np.ones(2)), ValueError, r"h \(m, batch\)"),
        (lambda: sensing.train_steps(np.ones(3), 0.1, 2, key=KEY), ValueError, "W must have shape"),
        (lambda: sensing.train_steps(np.eye(3), 0.1, 0, key=KEY), ValueError, "depth must be"),
        (lambda: sensing.recover(frame(2, 3), np.ones(3)), ValueError, r"measurements must have shape \(2,\)"),
        (lambda: sensing.recover(np.ones((1, 2)), [-1.0]), ValueError, "no non-negative x has these measurements"),
        (lambda: sensing.recover(np.ones(2), [1.0]), ValueError, "W must have shape"),
        (lambda: sensing.recover(np.full((1, 2), np.nan), [1.0]), ValueError, "W must be finite"),
        (lambda: sensing.recovers(frame(2, 3), np.ones((3, 1))), ValueError, "x must have shape"),
        (lambda: sensing.recovers(frame(2, 3), np.ones(4)), ValueError, "measurements must have shape"),
        (lambda: sensing.staircase(frame(2, 3)), ValueError, r"W must have shape \(n, n\)"),
        (lambda: sensing.staircase(frame(2, 2), [1, 0]), ValueError, "signs must be 2 numbers"),
        (lambda: sensing.staircase(np.ones((3, 3))), ValueError, "W must have full rank 3"),
        (lambda: sensing.threshold(0.0), ValueError, "must lie in"),
        (lambda: sensing.threshold(1.5), ValueError, "must lie in"),
        (lambda: sensing.iterate(frame(2, 3), np.ones(2), 1, 0.1), ValueError, "h .m, batch"),
        (lambda: sensing.iterate(frame(2, 3), np.ones((2, 1)), 0, 0.1), ValueError, "steps must be"),
        (lambda: sensing.iterate(frame(2, 3), np.ones((2, 1)), 1, -0.1), ValueError, "penalty must be"),
        (lambda: sensing.iterate(np.full((2, 3), 1e20), np.ones((2, 1)), 1, 0.1), ValueError, "W must lie between"),
        (lambda: sensing.train_readout(np.ones(3), 0.1, key=KEY), ValueError, "W must have shape"),
        (lambda: sensing.train_readout(np.full((2, 3), 1e20), 0.1, key=KEY), ValueError, "W must lie between"),
        (lambda: sensing.train_readout(frame(2, 3), [0.1], key=KEY), ValueError, "density be one number"),
        (lambda: sensing.train_readout(frame(2, 3), 0.1, key=3), TypeError, "key must be"),
        (lambda: sensing.lost(np.ones((2, 3)), np.ones((2, 4)), 0.1), ValueError, "the same shape"),
        (lambda: sensing.lost(np.ones((2, 3)), np.ones((2, 3)), [0.1]), ValueError, "density must be one number"),
        (lambda: sensing.compare(0, 3, 0.1), ValueError, "m must be"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
