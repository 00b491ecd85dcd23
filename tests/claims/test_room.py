"""Room in high dimensions, claim by claim: how many directions fit, how sparse vectors are read back, and by whom.

Sources: Elhage et al. 2022; Welch 1974; Donoho & Tanner 2005; Amelunxen et al. 2014. `pytest -s` prints the numbers.
"""

import importlib
import itertools

import jax
import numpy as np
import pytest
from helpers import ROOT, confirm

import toysup
from toysup import coherence, sensing

KEY = jax.random.key(0)


def first(bound, overlap, start=2):
    """The least m from which a bound promises more than m directions."""
    return next(m for m in itertools.count(start) if bound(overlap, m) > m)


def test_the_typical_cosine_and_its_chance():
    """The mean square of the cosine is 1/m, and the share beyond an overlap is `chance`: both within their errors."""
    for m in (2, 3, 10, 100):
        pairs = coherence.random_frame(m, 2, seed=m, draws=20_000)
        cosine = (pairs[..., 0] * pairs[..., 1]).sum(-1)
        assert abs(np.mean(cosine**2) * m - 1) < 4 * np.sqrt(2 / 20_000)
        for e in (0.1, 0.3, 0.7):
            p = coherence.chance(e, m)
            assert abs(np.mean(np.abs(cosine) > e) - p) < 4 * np.sqrt(p * (1 - p) / 20_000) + 1e-4


def overlaps(lines, piece=4000):
    """The largest overlap of any two columns of whole numbers, and their squared lengths."""
    rows = lines.T.astype(np.float32)  # exact: small whole numbers
    size = np.square(lines.astype(int)).sum(0)
    most = 0.0
    for i in range(0, len(rows), piece):
        dots = np.abs(rows[i : i + piece] @ rows[i:].T)
        dots[np.arange(len(dots)), np.arange(len(dots))] = 0
        most = max(most, float(dots.max()))
    return most / size[0], set(size.tolist())


@pytest.mark.parametrize(("m", "lines"), [(4, 12), (8, 120), (16, 2160), (24, 98280)])
def test_no_two_lines_of_a_famous_lattice_overlap_by_more_than_half(m, lines):
    """Every pair, in whole numbers. In 4, 8 and 24 dimensions no arrangement has more lines."""
    found = coherence.lattice_lines(m)
    assert found.shape == (m, lines)
    most, sizes = overlaps(found)
    assert (most, len(sizes)) == (0.5, 1)
    bound = coherence.most_by_levenshtein(0.5, m)
    assert bound == pytest.approx(4080 if m == 16 else lines, rel=1e-9)


def test_more_directions_than_dimensions_if_m_times_the_squared_overlap_is_large():
    """Directions for each of 24 dimensions: the Leech lattice at overlap 1/2; control: the most at 0.1."""
    kept = {e: [coherence.grow(e, 24, 2000, seed=s).shape[1] / 24 for s in range(20)] for e in (0.5, 0.1)}
    print("\nkept of 2,000 random ones, per dimension:", {e: (min(v), max(v)) for e, v in kept.items()})
    assert min(kept[0.5]) > 10
    assert max(kept[0.1]) < 0.5
    lines = coherence.lattice_lines(24).shape[1]
    confirm("03-exponential-room", lines / 24, control=coherence.most_by_levenshtein(0.1, 24) / 24)


def test_what_the_johnson_lindenstrauss_lemma_promises():
    lemma = first(coherence.least_by_johnson_lindenstrauss, 0.5)
    assert first(coherence.least_by_volume, 0.5) == 12
    confirm("03-johnson-lindenstrauss", lemma, control=first(coherence.least_by_pairs, 0.5))


def test_the_constants_of_exponential_growth():
    """ln N / m of caps and of Levenshtein's bound approach the constants of the notebook from above, at overlap 1/2."""
    s = 0.75**0.5
    high, low = (1 + s) / (2 * s), (1 - s) / (2 * s)
    caps, most = -np.log(s), high * np.log(high) - low * np.log(low)
    assert (round(caps, 3), round(most, 3)) == (0.144, 0.278)
    for m in (400, 1600):
        assert caps < np.log(coherence.least_by_volume(0.5, m)) / m < caps + 3 / m**0.9
        assert most < np.log(coherence.most_by_levenshtein(0.5, m)) / m < most + 3 / m ** (2 / 3)


def test_welch_is_met_by_directions_that_pushed_each_other_apart():
    bound = coherence.welch(7, 28)
    found = coherence.spread(7, 28, restarts=20, key=KEY).coherence / bound
    print(f"\n28 in 7: {np.mean(found < 1.005):.2f} of 20 starts meet the bound")
    drawn = coherence.coherence(coherence.random_frame(7, 28, seed=0, draws=20)) / bound
    confirm("03-welch-is-met", np.median(found), control=np.median(drawn))


def test_welch_is_not_met_where_no_such_frame_exists():
    """Seven in three, eight in four: the best of 64 starts stays above the bound."""
    for m, n, known in ((3, 7, np.sqrt(1 / 3)), (4, 8, np.sqrt(2) - 1)):
        best = coherence.spread(m, n, restarts=64, room=(4, 8), key=KEY).coherence[0]
        assert best > 1.05 * coherence.welch(m, n)
        assert abs(best - known) < 2e-3


@pytest.fixture(scope="module")
def borders():
    """The border of twenty random matrices, 40 by 40, for both kinds of vectors."""
    draw = np.random.default_rng(0)
    frames = draw.standard_normal((20, 40, 40))
    signs = draw.choice([-1.0, 1.0], size=(20, 40))
    signed = np.array([sensing.staircase(W, s) for W, s in zip(frames[:12, :32, :32], signs[:12, :32], strict=True)])
    return np.array([sensing.staircase(W) for W in frames]), signed


def test_the_border_of_recovery(borders):
    positive, signed = borders
    n = positive.shape[1]
    theory = sensing.threshold(np.arange(1, n + 1) / n)
    off = np.abs(positive.mean(0) / n - theory)
    signed_off = np.abs(signed.mean(0) / 32 - sensing.threshold(np.arange(1, 33) / 32, signed=True))
    print(f"\noff by {off.mean():.3f} on average, at most {off.max():.3f}; signed {signed_off.mean():.3f}")
    assert off.max() < 0.06
    assert signed_off.mean() < 0.03
    wall = sensing.staircase(np.random.default_rng(1).standard_normal((n, n)), how=sensing.least_squares)
    confirm("03-border", off.mean(), control=np.abs(wall / n - theory).mean())


def test_signs_cost_measurements(borders):
    """x >= 0 is known: fewer measurements than for entries of both signs, in theory at every k < n."""
    positive, signed = borders
    assert (sensing.threshold(np.arange(1, 40) / 40) < sensing.threshold(np.arange(1, 40) / 40, signed=True)).all()
    assert positive.mean() / 40 < signed.mean() / 32 - 0.05


def test_measurements_grow_as_density_times_its_logarithm():
    """n = 200, k = 8: the measurements needed over -n p ln p; least squares needs all 200."""
    n, k = 200, 8
    draw = np.random.default_rng(2)
    x, needed = np.where(np.arange(n) < k, 1.0, 0.0), []
    for _ in range(20):
        W = draw.standard_normal((60, n))
        needed.append(next(m for m in range(12, 61) if sensing.recovers(W[:m], x)))
    unit = -k * np.log(k / n)
    print(f"\nneeded: {np.mean(needed):.1f}, theory {n * sensing.threshold(k / n):.1f}")
    confirm("03-density-log-density", np.mean(needed) / unit, control=n / unit)


@pytest.fixture(scope="module")
def data_sensing():
    """The module that makes the data file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        return importlib.import_module("tools.data_sensing")


@pytest.fixture(scope="module")
def compared(data_sensing):
    """32 features of density 0.05 in 12 dimensions: 20 seeds each, 5 with the solver."""
    return data_sensing.shares(12)


def test_a_network_recovers_less_than_the_solver(compared):
    confirm("03-one-step-recovers-less", np.median(compared.readout), control=np.mean(compared.solver))


def test_a_trained_matrix_helps_and_does_not_close_the_gap(compared):
    print(f"\ntrained model: from {compared.model.min():.3f} to {compared.model.max():.3f}")
    assert compared.readout.min() > 1.5 * compared.model.max()
    assert compared.model.min() > 2 * compared.solver.max()
    assert compared.readout.max() < 1 - 12 / 32  # better than any linear model


def test_a_search_through_all_sets_beats_the_solver(data_sensing, compared):
    """Without noise, 4 dimensions, one random matrix: the solver; control: the search on the same inputs."""
    searched = data_sensing.searched(4, 1)
    x = data_sensing.inputs(200)
    W = coherence.random_frame(4, 32, seed=0, draws=20)[0]
    solver = sensing.lost(x, np.stack([sensing.recover(W, W @ y) for y in x.T], 1), 0.05)
    confirm("03-solver-is-not-best", solver, control=searched[0])
    data = np.load(data_sensing.FILE)
    assert data["search"][1, 0] == pytest.approx(searched[0], abs=0.01)
    assert (data["search"].mean(1) < np.median(data["solver"], 1)[:4]).all()


def test_a_second_trained_step_halves_the_loss(data_sensing, compared):
    """Two trained steps on 12 numbers, two random matrices; control: one trained step on the same."""
    two, one = data_sensing.unrolled(2, 2), data_sensing.unrolled(1, 2)
    data = np.load(data_sensing.FILE)
    assert data["unrolled"].shape == (5, 5)
    assert (np.diff(data["unrolled"].mean(1))[:3] < 0).all()  # sixteen steps gain nothing over eight in this training
    assert one == pytest.approx(compared.readout[:2], abs=0.02)  # the same network, trained by another function
    confirm("03-depth-is-what-lacks", two.mean(), control=one.mean())


def test_longer_training_does_not_help_the_readout():
    """Four times the steps lower the loss of a readout by less than 0.005 of the variance: it is at its optimum."""
    frames, p = coherence.random_frame(12, 32, seed=0, draws=2), 0.05
    x = np.asarray(toysup.sample(toysup.independent(p, n=32), 5000, key=jax.random.key(9)), float).T
    found = []
    for steps in (2000, 8000):
        V, b = (np.asarray(a, float) for a in sensing.train_readout(frames, p, steps=steps, key=KEY))
        read = [np.maximum(v @ (W @ x) + c[:, None], 0) for W, v, c in zip(frames, V, b, strict=True)]
        found.append([sensing.lost(x, guess, p) for guess in read])
    print("\nlost after 2,000 and 8,000 steps:", np.round(found, 4).tolist())
    assert np.abs(np.subtract(*found)).max() < 0.005


def test_below_the_border_the_solver_is_worse_than_the_network():
    """Density 0.15 in 4 dimensions: far below the border the solver loses more than by answering the mean."""
    frames, p = coherence.random_frame(4, 32, seed=0, draws=4), 0.15
    x = np.asarray(toysup.sample(toysup.independent(p, n=32), 200, key=KEY), float).T
    V, b = (np.asarray(a, float) for a in sensing.train_readout(frames, p, steps=1000, key=KEY))
    network = [
        sensing.lost(x, np.maximum(v @ (W @ x) + c[:, None], 0), p) for W, v, c in zip(frames, V, b, strict=True)
    ]
    solver = [sensing.lost(x, np.stack([sensing.recover(W, W @ y) for y in x.T], 1), p) for W in frames]
    print(f"\nnetwork {np.mean(network):.2f}, solver {np.mean(solver):.2f}")
    assert min(solver) > 1.05
    assert max(network) < 0.95


def test_pieces_of_the_data_file_are_made_again(data_sensing, compared):
    data = np.load(data_sensing.FILE)
    assert (data_sensing.border(7, False) == data["positive"][7]).all()
    assert (data_sensing.border(3, True) == data["signed"][3]).all()
    assert data["positive"].shape == data["signed"].shape == (50, 100)
    at = data["dims"].tolist().index(12)
    for name, again in compared._asdict().items():
        assert data[name].shape == (len(data_sensing.DIMS), 5 if name == "solver" else 20)
        assert np.allclose(np.sort(again), np.sort(data[name][at]), atol=0.02)
