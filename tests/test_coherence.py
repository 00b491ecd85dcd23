"""Frames and bounds: against simulation, known shapes, and each other; bad input is refused by name."""

import jax
import numpy as np
import pytest
from scipy.optimize import linprog

from toysup import coherence
from toysup.geometry import polygon, simplex

KEY = jax.random.key(0)


def test_chance_in_two_and_three_dimensions_by_hand():
    """In the plane the angle is uniform; in space the cosine is."""
    e = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    assert np.allclose(coherence.chance(e, 2), np.arccos(e) / (np.pi / 2))
    assert np.allclose(coherence.chance(e, 3), 1 - e)


@pytest.mark.parametrize("m", [2, 3, 10, 100, 1000])
def test_the_bound_holds(m):
    e = np.linspace(0, 1, 101)
    assert (coherence.chance(e, m) <= coherence.chance_bound(e, m) + 1e-12).all()


def test_bounds_stand_in_their_order():
    """Caps and the lemma promise no more than Welch allows; more dimensions or overlap never mean fewer directions."""
    e = np.linspace(0.01, 0.99, 50)
    for m in (2, 5, 20, 100):
        most = np.minimum(coherence.most_by_welch(e, m), 1e300)  # inf where it says nothing
        assert (coherence.least_by_volume(e, m) <= most).all()
        assert (coherence.least_by_johnson_lindenstrauss(e, m) <= most).all()
        assert (coherence.least_by_pairs(e, m) <= np.maximum(coherence.least_by_volume(e, m), 3)).all()
        better = np.array([min(coherence.most_by_levenshtein(o, m), 1e300) for o in e])
        assert (better <= most * (1 + 1e-9)).all()
        assert (better >= coherence.least_by_volume(e, m) * (1 - 1e-9)).all()
        assert (better[1:] >= better[:-1] * (1 - 1e-9)).all()
        assert (most[1:] >= most[:-1] * (1 - 1e-9)).all()
        assert (most >= m - 1e-6).all()
    assert coherence.least_by_volume(0.9, 100_000) == pytest.approx(1e300)


def test_counts_and_coherence_are_one_bound():
    """At the coherence that Welch's first order allows for n directions, n directions are the most."""
    for m, n in ((3, 6), (7, 28), (5, 10)):
        assert coherence.most_by_welch(coherence.welch(m, n), m) == pytest.approx(n, rel=1e-6)
    assert coherence.welch(3, 4) == pytest.approx(1 / 3)
    assert coherence.welch(3, 3) == coherence.welch(3, 2) == 0
    assert coherence.welch(2, 50) > np.sqrt(48 / (2 * 49))  # a higher order is better here


def test_the_lemma_solved_for_the_dimensions():
    """The number promised is the largest N for which 4 ln(2N + 1) / (δ²/2 - δ³/3) dimensions are enough."""
    m, e = 1200, 0.4
    d = e / (1 + e)
    count = coherence.least_by_johnson_lindenstrauss(e, m)
    need = lambda points: 4 * np.log(points) / (d**2 / 2 - d**3 / 3)
    assert need(2 * count + 1) <= m < need(2 * count + 3)
    assert d / (1 - d) == pytest.approx(e)


def test_pairs_are_counted_in_full():
    """N directions have fewer than one pair too close on average, N + 1 do not."""
    for e, m in ((0.5, 24), (0.3, 100), (0.5, 100)):
        count, p = float(coherence.least_by_pairs(e, m)), float(coherence.chance(e, m))
        assert count * (count - 1) / 2 * p < 1 <= (count + 1) * count / 2 * p


def by_linear_programme(e, m, degree=14):
    """The best even polynomial 1 + Σ c_k G_2k, c_k >= 0, at most 0 at overlaps up to e: its value at 1."""
    t = np.linspace(0, e, 3000)
    G = [np.ones_like(t), t]
    for j in range(1, 2 * degree):
        G.append(((2 * j + m - 2) * t * G[j] - j * G[j - 1]) / (j + m - 2))
    A = np.stack(G[2::2], 1)
    return 1 + linprog(np.ones(degree), A_ub=A, b_ub=-np.ones(len(t)), bounds=(0, None), method="highs").fun


@pytest.mark.parametrize(("m", "e"), [(3, 0.4), (4, 0.5), (8, 0.5), (8, 0.37), (12, 0.5), (16, 0.5), (24, 0.45)])
def test_levenshteins_bound_is_what_linear_programmes_find(m, e):
    """Its polynomials are the best of their degree; those of degree 28 gain a percent at most."""
    programme = by_linear_programme(e, m)
    assert programme * (1 - 1e-4) <= coherence.most_by_levenshtein(e, m) < 1.012 * programme


@pytest.mark.parametrize(("m", "n", "e"), [(3, 6, 0.2**0.5), (7, 28, 1 / 3), (8, 120, 0.5), (23, 2300, 1 / 3)])
def test_levenshteins_bound_is_met_by_known_lines(m, n, e):
    assert coherence.most_by_levenshtein(e, m) == pytest.approx(n, rel=1e-5)
    assert coherence.most_by_levenshtein(0.0, m) == pytest.approx(m)


def test_levenshteins_bound_in_the_plane_and_beyond_all_numbers():
    for n in (3, 5, 8):
        assert coherence.most_by_levenshtein(np.cos(np.pi / n), 2) == pytest.approx(n, rel=1e-6)
    assert coherence.most_by_levenshtein(0.8, 2000) == np.inf


def test_coherence_of_known_shapes():
    assert coherence.coherence(np.eye(3)) == 0
    assert coherence.coherence(5 * simplex(4)) == pytest.approx(1 / 3)
    assert coherence.coherence(polygon(5)) == pytest.approx(np.cos(np.pi / 5))
    batch = np.stack([np.eye(2), [[1, 1], [0, 1]]])
    assert coherence.coherence(batch) == pytest.approx([0, np.sqrt(0.5)])


def test_grown_directions_keep_their_distance_and_nothing_that_fits_is_left_out():
    kept = coherence.grow(0.4, 6, 500, seed=1)
    drawn = coherence.random_frame(6, 500, seed=1)
    assert coherence.coherence(kept) <= 0.4
    dots = np.abs(kept.T @ drawn)
    assert (dots.max(0) > 0.4).all()  # kept directions overlap with themselves
    assert coherence.grow(1.0, 3, 50, seed=0).shape == (3, 50)
    assert coherence.grow(0.0, 3, 50, seed=0).shape == (3, 1)


@pytest.mark.parametrize(("m", "n", "best"), [(2, 5, np.cos(np.pi / 5)), (3, 4, 1 / 3), (3, 6, np.sqrt(0.2))])
def test_spread_finds_the_known_best(m, n, best):
    found = coherence.spread(m, n, restarts=4, room=(4, 8), key=KEY)
    assert found.W.shape == (4, m, n)
    assert found.coherence == pytest.approx(coherence.coherence(found.W))
    assert (np.diff(found.coherence) >= 0).all()
    assert best - 1e-6 < found.coherence[0] < best + 1e-3
    start = coherence.coherence(coherence.random_frame(m, n, seed=0, draws=20))  # control
    assert np.median(start) > 1.2 * best


def test_room_changes_the_program_not_the_answer():
    tight, roomy = (coherence.spread(3, 6, restarts=4, room=r, key=KEY).coherence[0] for r in (None, (5, 9)))
    assert tight == pytest.approx(roomy, abs=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: coherence.chance(1.2, 3), ValueError, r"overlap must lie in \[0, 1\], got 1.2"),
        (lambda: coherence.chance(np.nan, 3), ValueError, "overlap must be finite"),
        (lambda: coherence.chance(0.5, 1), ValueError, "m must be a whole number, at least 2"),
        (lambda: coherence.most_by_welch(-0.1, 3), ValueError, "overlap must lie"),
        (lambda: coherence.welch(0, 3), ValueError, "m must be"),
        (lambda: coherence.most_by_levenshtein(1.1, 3), ValueError, "overlap must lie"),
        (lambda: coherence.lattice_lines(5), ValueError, "m must be 4, 8, 16 or 24, got 5"),
        (lambda: coherence.coherence(np.ones(3)), ValueError, "W must have shape"),
        (lambda: coherence.coherence(np.zeros((2, 3))), ValueError, "column of length 0"),
        (lambda: coherence.random_frame(2, 3, seed=-1), ValueError, "seed must be"),
        (lambda: coherence.grow(0.5, 2, 0, seed=0), ValueError, "tries must be"),
        (lambda: coherence.spread(3, 1, key=KEY), ValueError, "n must be a whole number, at least 2"),
        (lambda: coherence.spread(3, 6, room=(3, 5), key=KEY), ValueError, r"room must be at least \(3, 6\)"),
        (lambda: coherence.spread(3, 6, rate=2, key=KEY), ValueError, "rate must be one number"),
        (lambda: coherence.spread(3, 6, key=0), TypeError, "key must be"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
