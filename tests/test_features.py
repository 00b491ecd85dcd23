"""Which features are active together: draws against closed forms, and the combinations that the exact loss walks."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

import toysup
from toysup.features import (
    combination_probability,
    combinations,
    lowbias,
    moments,
    number_of_combinations,
    threefry,
)

DRAWS = 2**17
KINDS = {
    "independent": lambda: toysup.independent([0.05, 0.2, 0.7, 1.0]),
    "correlated": lambda: toysup.correlated(2, 3, [0.1, 0.6]),
    "anticorrelated": lambda: toysup.anticorrelated(2, 3, [0.3, 0.9]),
    "combined": lambda: toysup.independent(0.15, 2) + toysup.correlated(1, 2, 0.3) + toysup.anticorrelated(1, 2, 0.8),
}
CODES = [1 << i for i in range(8)]

densities = st.floats(1e-3, 1.0)
kinds = st.one_of(
    st.builds(toysup.independent, st.lists(densities, min_size=1, max_size=4)),
    st.builds(toysup.correlated, st.integers(1, 3), st.integers(1, 3), densities),
    st.builds(toysup.anticorrelated, st.integers(1, 3), st.integers(1, 3), densities),
)
features_of_any_kind = st.lists(kinds, min_size=1, max_size=2).map(lambda parts: sum(parts[1:], parts[0]))


@pytest.fixture(scope="module", params=KINDS)
def drawn(request):
    """Features and inputs drawn from them, as NumPy arrays."""
    features = KINDS[request.param]()
    return features, np.asarray(toysup.sample(features, DRAWS, key=jax.random.key(7)), np.float64)


def supports_by_hand(features):
    """Every combination of patterns with its probability, by plain loops: {active features: probability}."""
    sets = [
        [(pattern, float(p)) for pattern, p in zip(table, row, strict=True)]
        for table, q in zip(features.tables, features.probabilities, strict=True)
        for row in np.asarray(q, np.float64)
    ]
    found = {}
    for choice in itertools.product(*sets):
        active = tuple(itertools.chain.from_iterable(pattern for pattern, _ in choice))
        found[active] = found.get(active, 0.0) + float(np.prod([p for _, p in choice]))
    return found


def test_every_set_of_active_features_is_drawn_as_often_as_it_should(drawn):
    features, x = drawn
    seen = np.bincount((x > 0) @ CODES[: features.n], minlength=2**features.n) / DRAWS
    expected = np.zeros(2**features.n)
    for active, p in supports_by_hand(features).items():
        expected[np.dot(active, CODES[: features.n])] += p
    error = np.sqrt(expected * (1 - expected) / DRAWS)
    # An active value of exactly 0 has the probability 2^-24 or so for each draw: allow for a few.
    assert (np.abs(seen - expected) <= 4.5 * error + 3 / DRAWS).all()
    assert seen[expected == 0].sum() <= 3 / DRAWS


def test_mean_and_covariance_of_draws_are_the_closed_forms(drawn):
    features, x = drawn
    mean, covariance = (np.asarray(a, np.float64) for a in moments(features))
    assert np.abs(x.mean(0) - mean).max() < 4.5 * x.std(0).max() / DRAWS**0.5
    centred = x - x.mean(0)
    products = centred[:, :, None] * centred[:, None]
    assert (np.abs(products.mean(0) - covariance) <= 4.5 * products.std(0) / DRAWS**0.5 + 1e-6).all()


def test_values_of_active_features_are_uniform_and_independent_of_each_other(drawn):
    features, x = drawn
    for i in range(features.n):
        values = np.sort(x[x[:, i] > 0, i])
        count = len(values)
        assert abs((values**2).mean() - 1 / 3) < 4.5 * np.sqrt(4 / 45 / count)
        assert np.abs(values - (np.arange(count) + 0.5) / count).max() < 2.2 / count**0.5  # Kolmogorov and Smirnov
        assert values[-1] <= 1
    for i, j in itertools.combinations(range(features.n), 2):
        both = (x[:, i] > 0) & (x[:, j] > 0)
        if both.sum() > 100:
            assert abs(np.corrcoef(x[both, i], x[both, j])[0, 1]) < 4.5 / both.sum() ** 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_moments_and_density_agree_with_enumeration(kind):
    features = KINDS[kind]()
    supports = supports_by_hand(features)
    active, p = np.array(list(supports), float), np.array(list(supports.values()))
    assert p.sum() == pytest.approx(1, abs=1e-6)
    both = np.einsum("s,si,sj->ij", p, active, active)
    mean = np.diag(both) / 2
    second = np.where(np.eye(features.n), both / 3, both / 4)
    assert np.allclose(features.density, np.diag(both), atol=1e-6)
    assert np.allclose(moments(features)[0], mean, atol=1e-6)
    assert np.allclose(moments(features)[1], second - np.outer(mean, mean), atol=1e-6)


@given(features_of_any_kind)
def test_combinations_are_all_there_once_with_probabilities_that_sum_to_one(features):
    active, picks = combinations(features)
    p = np.asarray(combination_probability(features, picks), np.float64)
    assert active.shape == (number_of_combinations(features), features.n)
    assert len({tuple(np.concatenate(row)) for row in zip(*picks, strict=True)}) == len(p)
    assert p.sum() == pytest.approx(1, abs=1e-5)
    assert (p >= -1e-7).all()
    by_hand = supports_by_hand(features)
    for support in by_hand:
        assert p[(active == support).all(1)].sum() == pytest.approx(by_hand[support], abs=1e-6)


@given(features_of_any_kind, st.integers(0, 1000))
def test_draws_keep_the_rules_of_their_sets(features, seed):
    x = np.asarray(toysup.sample(features, 50, key=jax.random.key(seed)))
    assert x.shape == (50, features.n)
    assert ((x >= 0) & (x <= 1)).all()
    allowed = set(supports_by_hand(features))
    assert {tuple(map(int, row > 0)) for row in x} <= allowed


@pytest.mark.parametrize("n", [1, 4])
def test_a_density_of_one_is_always_on(n):
    assert (np.asarray(toysup.sample(toysup.independent(1.0, n), 500, key=jax.random.key(0))) > 0).mean() > 0.999


@pytest.mark.parametrize("kind", ["independent", "correlated", "anticorrelated"])
def test_one_draw_serves_all_models_of_a_batch(kind):
    make = {
        "independent": lambda p: toysup.independent(p, 6),
        "correlated": lambda p: toysup.correlated(3, 2, p),
        "anticorrelated": lambda p: toysup.anticorrelated(3, 2, p),
    }[kind]
    p = np.array([[0.1], [0.4], [0.9]])
    key = jax.random.key(3)
    together = np.asarray(toysup.sample(make(p), 2000, key=key))
    assert together.shape == (3, 2000, 6)
    for x, density in zip(together, p, strict=True):
        assert (x == np.asarray(toysup.sample(make(density), 2000, key=key))).all()
    on = (together.reshape(3, 2000, 3, 2) > 0).any(-1)
    assert (on[0] <= on[1]).all()  # what is active when sparse stays active when dense
    assert (on[1] <= on[2]).all()


def test_batch_axes_and_shapes():
    p = np.full((4, 3, 1), 0.2)
    assert toysup.independent(p, 5).shape == (4, 3)
    assert toysup.independent(p, 5).density.shape == (4, 3, 5)
    assert toysup.independent([0.1, 0.2]).n == 2
    both = toysup.independent(p, 2) + toysup.anticorrelated(2, 2, 0.4)
    assert (both.n, both.shape) == (6, (4, 3))
    assert np.allclose(both.density, 0.2)
    assert toysup.sample(both, 7, key=jax.random.key(0)).shape == (4, 3, 7, 6)
    assert toysup.independent(0.5, 3).broadcast_to((2,)).density.shape == (2, 3)


def test_features_that_are_added_keep_their_order():
    both = toysup.independent(0.5, 1) + toysup.correlated(1, 2, 0.25)
    assert np.allclose(both.density, [0.5, 0.25, 0.25])
    with pytest.raises(TypeError):
        both + 1
    with pytest.raises(ValueError, match=r"batch axes of features that are added .*\(2,\) and \(3,\)"):
        toysup.independent(np.full((2, 1), 0.5)) + toysup.independent(np.full((3, 1), 0.5))


def test_features_are_equal_when_their_tables_and_probabilities_are():
    one, same = (toysup.independent([0.1, 0.2]) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert len({one, same}) == 1
    assert one == toysup.independent([0.1, 0.2]).broadcast_to(())
    for other in (
        toysup.independent([0.1, 0.3]),
        toysup.independent([0.1]),
        toysup.correlated(2, 1, [0.1, 0.2]) + toysup.independent(0.1, 1),
        toysup.independent([[0.1, 0.2]]),
    ):
        assert one != other
    assert one != 3


def test_densities_may_be_a_list_that_holds_unknown_numbers():
    density = jax.jit(lambda p: toysup.independent([p, 0.5, 2 * p]).density)
    assert np.allclose(density(0.1), [0.1, 0.5, 0.2])
    assert np.allclose(jax.grad(lambda p: toysup.independent([p, p]).density.sum())(0.1), 2)


def test_inside_jit_density_may_be_unknown():
    mean = jax.jit(lambda p: moments(toysup.independent(p, 3) + toysup.anticorrelated(1, 2, p))[0])
    assert np.allclose(mean(0.4), [0.2, 0.2, 0.2, 0.1, 0.1])


# ------------------------------------------------------------------------------------------ the random numbers


@pytest.mark.parametrize("uniform", [threefry, lowbias])
def test_random_numbers_are_uniform_and_independent(uniform):
    """Against the uniform distribution, their successors, other keys, and the keys training makes by folding in."""
    keys = [jax.random.fold_in(jax.random.key(3), t) for t in range(8)] + [jax.random.key(0), jax.random.key(1)]
    u = np.array([uniform(key, (4, DRAWS // 4)).ravel() for key in keys], np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    assert all(kstest(row, "uniform").pvalue > 1e-4 for row in u)
    bound = 4.5 / np.sqrt(DRAWS)
    for lag in (1, 2, 3, 64, 1024, DRAWS // 4):
        assert max(abs(np.corrcoef(row[lag:], row[:-lag])[0, 1]) for row in u) < 1.2 * bound
    assert np.abs(np.corrcoef(u) - np.eye(len(u))).max() < bound
    small = (u < 0.01).mean(1)  # what a density of 0.01 sees
    assert np.abs(small - 0.01).max() < 4.5 * np.sqrt(0.01 * 0.99 / DRAWS)


def test_control_a_counter_without_its_hash_is_not_independent():
    u = np.arange(DRAWS) * 0.6180339887 % 1
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) > 0.1


def test_two_keys_are_not_two_places_in_one_stream():
    """The counter is offset by the first word of a key: without the second, streams would be shifted copies."""
    size, golden = 2**17, 0x9E3779B9
    keys = jax.vmap(lambda t: jax.random.fold_in(jax.random.key(3), t))(np.arange(2000))
    offsets = np.asarray(jax.vmap(lambda k: jax.random.bits(k, (2,), np.uint32)[0])(keys), np.int64)
    places = offsets * pow(golden, -1, 2**32) % 2**32  # how far along the counter each key begins
    order = np.argsort(places)
    gaps = np.diff(places[order])
    first, shift = order[gaps.argmin()], int(gaps.min())
    second = order[gaps.argmin() + 1]
    assert shift < size // 2
    early, late = (np.asarray(lowbias(keys[k], (size,)), np.float64) for k in (first, second))
    assert abs(np.corrcoef(early[shift:], late[: size - shift])[0, 1]) < 4.5 / np.sqrt(size - shift)
