"""Metrics of dictionaries, each against the slip that a published toolkit made with it."""

import numpy as np
import pytest

from toysup.autoencoder import metrics

rng = np.random.default_rng(0)
H = rng.normal(size=(400, 6)) @ np.diag([3, 2, 1, 1, 0.5, 0.1]) + 5.0
TRUTH = np.linalg.qr(rng.normal(size=(6, 6)))[0]


def test_l0_and_density_count_what_is_positive():
    a = np.array([[0, 1.0, 2.0], [0, 0, 3.0]])
    assert metrics.l0(a) == 1.5
    assert metrics.density(a).tolist() == [0, 0.5, 1]


def test_dead_and_ultralow_come_with_the_number_of_inputs():
    a = np.zeros((20_000, 3))
    a[0, 1] = a[:, 2] = 1.0
    assert metrics.counts(a) == (1, 1, 2, 20_000)
    assert metrics.counts(a, low=1e-5).ultralow == 0


def test_explained_variance_is_zero_for_the_mean_and_ignores_offsets():
    """Not about zero, not a mean of ratios: both have been shipped (SAELens 443, 659; SAEBench 61)."""
    mean = np.broadcast_to(H.mean(0), H.shape)
    assert metrics.explained_variance(H, H) == 1
    assert abs(metrics.explained_variance(H, mean)) < 1e-12
    noisy = H + rng.normal(size=H.shape)
    assert metrics.explained_variance(H + 7, noisy + 7) == pytest.approx(metrics.explained_variance(H, noisy))
    about_zero = 1 - ((H - mean) ** 2).sum() / (H**2).sum()
    assert about_zero > 0.8  # what the slip would have reported for knowing nothing
    of_ratios = np.mean(1 - ((H - noisy) ** 2).sum(1) / ((H - H.mean(0)) ** 2).sum(1))
    assert abs(of_ratios - metrics.explained_variance(H, noisy)) > 0.05


def test_shrinkage_is_the_length_that_is_left():
    assert metrics.shrinkage(H, 0.7 * H) == pytest.approx(0.7)
    assert metrics.shrinkage(H, H) == 1


def test_loss_recovered_is_a_ratio_of_means():
    original, rebuilt, ablated = np.array([1.0, 2.0]), np.array([1.5, 2.1]), np.array([2.0, 6.0])
    got = metrics.loss_recovered(original.mean(), rebuilt.mean(), ablated.mean())
    assert got == pytest.approx(2.2 / 2.5)
    assert np.mean((ablated - rebuilt) / (ablated - original)) != pytest.approx(got)
    assert metrics.loss_recovered(1.0, 3.0, 2.0) == -1
    with pytest.raises(ValueError, match="ablated must be a larger loss"):
        metrics.loss_recovered(2.0, 2.0, 2.0)


def test_recall_hides_artefacts_that_precision_shows():
    D = np.concatenate([TRUTH, metrics.random_dictionary(30, 6, seed=1)])
    assert metrics.mmcs(D, TRUTH).recall == pytest.approx(1)
    assert metrics.mmcs(D, TRUTH).precision < 0.85
    assert metrics.mmcs(TRUTH[:3], TRUTH).precision == pytest.approx(1)
    assert metrics.mmcs(TRUTH[:3], TRUTH).recall < 0.7


def test_matching_does_not_credit_the_opposite_direction():
    D = TRUTH.copy()
    D[0] *= -1
    assert metrics.matched(D, TRUTH)[-1] < 0.01
    assert metrics.matched(D, TRUTH, signed=False).min() > 0.99
    assert metrics.recovered(D, TRUTH) == pytest.approx(5 / 6)


def test_matching_is_one_to_one():
    D = np.repeat(TRUTH[:1], 6, axis=0)
    assert metrics.matched(D, TRUTH)[0] == pytest.approx(1)
    assert metrics.matched(D, TRUTH)[1] < 1e-6
    assert metrics.recovered(D, TRUTH) == pytest.approx(1 / 6)


def test_uniqueness_counts_nearest_features_not_matched_ones():
    """Counted on a one-to-one matching it is always 1, which has been shipped."""
    D = np.repeat(TRUTH[:2], 3, axis=0)
    assert metrics.uniqueness(D, TRUTH) == pytest.approx(2 / 6)
    assert metrics.uniqueness(TRUTH, TRUTH) == 1


def test_f1_of_firing_and_its_chance():
    labels = np.zeros((100, 2))
    labels[:60, 0] = labels[:5, 1] = 1
    a = np.stack([np.ones(100), labels[:, 1], np.zeros(100)], 1)
    scores = metrics.firing(a, labels)
    assert scores.f1[0] == pytest.approx(metrics.chance(labels))
    assert scores.f1[0, 0] == pytest.approx(0.75)  # a dense label is easy
    assert scores.f1[1].tolist() == [pytest.approx(2 * 5 / 65), 1]
    assert scores.precision[1, 0] == 1
    assert scores.recall[1, 0] == pytest.approx(5 / 60)
    assert not scores.f1[2].any()


def test_the_threshold_of_firing_is_a_share_of_the_maximum():
    labels = np.array([[1.0], [1], [0], [0]])
    a = np.array([[4.0], [3], [0.2], [0]])
    assert metrics.firing(a, labels).f1[0, 0] == pytest.approx(0.8)
    assert metrics.firing(a, labels, threshold=0.1).f1[0, 0] == 1


def test_union_finds_a_split_feature():
    label = np.arange(90) < 30
    parts = np.stack([(np.arange(90) // 10 == k) for k in range(4)], 1).astype(float)
    assert metrics.union(parts, label, 1) == pytest.approx(0.5)
    assert metrics.union(parts, label, 3) == 1
    assert metrics.union(parts, label, 4) == 1  # the fourth would not help and is not taken
    assert metrics.unions(parts, label, 5) == pytest.approx([0.5, 0.8, 1, 1, 1])


def test_absorption_sees_a_parent_that_is_silent_beside_its_child():
    x = np.zeros((400, 2))
    x[:200, 0] = x[:100, 1] = 1.0
    healthy = x.copy()
    absorbed = np.stack([x[:, 0] * (x[:, 1] == 0), x[:, 1]], 1)
    eye = np.eye(2)
    assert metrics.absorption(healthy, x, 0, 1, eye, eye) == 0
    assert metrics.absorption(absorbed, x, 0, 1, eye, eye) == 1
    with pytest.raises(ValueError, match="must be active together"):
        metrics.absorption(healthy, x * [1, 0], 0, 1, eye, eye)


def test_a_parent_that_is_silent_beside_every_child_is_absorbed_by_each():
    """500 inputs with the parent: 100 alone, 200 with either child; held against all others, 1 - 200 / 300 only."""
    x = np.zeros((600, 3))
    x[:500, 0] = x[:200, 1] = x[200:400, 2] = 1.0
    a = np.stack([x[:, 0] * (x[:, 1:].sum(1) == 0), x[:, 1], x[:, 2]], 1)
    eye = np.eye(3)
    for child, other in ((1, 2), (2, 1)):
        assert metrics.absorption(a, x, 0, child, eye, eye, siblings=[other]) == 1
        assert metrics.absorption(a, x, 0, child, eye, eye) == pytest.approx(1 / 3)
    one = np.stack([x[:, 0] * (x[:, 1] == 0), x[:, 1], x[:, 2]], 1)  # the second child leaves its parent alone
    assert [metrics.absorption(one, x, 0, c, eye, eye, siblings=[3 - c]) for c in (1, 2)] == [1, 0]
    with pytest.raises(ValueError, match=r"inputs with \[2\] aside"):
        metrics.absorption(a[:400], x[:400], 0, 1, eye, eye, siblings=[2])


def test_hedging_is_1_for_a_mixture_and_near_0_for_a_random_move():
    eye = np.eye(6)
    mixed = np.array([[1.0, 0.5, 0, 0, 0, 0]])
    assert metrics.hedging(mixed, eye[:2]) == pytest.approx(1)
    moves = [metrics.hedging(eye[:1] + np.random.default_rng(s).normal(size=(1, 6)), eye[:2]) for s in range(400)]
    assert abs(np.mean(moves)) < 0.05
    with pytest.raises(ValueError, match="span all 6 dimensions"):
        metrics.hedging(eye[:1], np.concatenate([eye[:1], np.eye(6)]))


def test_baselines_know_their_shapes():
    D = metrics.random_dictionary(50, 6, seed=0)
    assert np.allclose(np.linalg.norm(D, axis=1), 1)
    V = metrics.principal_directions(H)
    assert V.shape == (12, 6)
    assert np.allclose(V[:6], -V[6:])
    assert abs(V[0, 0]) > 0.95  # the axis of largest spread


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.l0([1.0, 2.0]), "two axes"),
        (lambda: metrics.l0([[np.nan]]), "finite"),
        (lambda: metrics.cosines(np.eye(3), np.eye(4)), "same space"),
        (lambda: metrics.firing(np.ones((3, 1)), np.ones((4, 1))), "as many inputs"),
        (lambda: metrics.explained_variance(np.ones((3, 2)), np.ones((3, 1))), "same shape"),
        (lambda: metrics.explained_variance(np.ones((3, 2)), np.ones((3, 2))), "no variance to explain"),
        (lambda: metrics.shrinkage(np.zeros((3, 2)), np.ones((3, 2))), "h is 0 throughout"),
        (lambda: metrics.loss_recovered(1.0, np.nan, 2.0), "rebuilt must be finite"),
        (lambda: metrics.firing(np.ones((3, 1)), np.ones((3, 1)), np.nan), "threshold must be finite"),
        (lambda: metrics.firing(np.ones((3, 1)), np.ones((3, 1)), 1.0), r"threshold must be one number in \[0, 1\)"),
        (lambda: metrics.union(np.ones((3, 1)), np.ones(2), 1), r"label must have shape \(3,\)"),
        (lambda: metrics.hedging(np.eye(3), np.eye(3)), "more rows"),
    ],
)
def test_bad_input_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_masked_cosines_by_hand_and_pair_by_pair():
    """A part of a whole has a cosine of 1 with it where the part is active, and less where the whole is."""
    whole = np.array([[1.0], [1], [1], [1], [0]])
    part = np.array([[2.0], [0], [0], [0], [0]])
    assert metrics.masked_cosines(whole, part) == pytest.approx(np.array([[1.0]]))
    rng = np.random.default_rng(0)
    a, b = (np.maximum(rng.normal(size=(60, n)) - 1, 0) for n in (4, 5))
    a[:, 3] = 0
    cos = lambda x, y: x @ y / max(np.linalg.norm(x) * np.linalg.norm(y), 1e-12)
    wanted = [[max(cos(x[on], y[on]) for on in (x > 0, y > 0)) for y in b.T] for x in a.T]
    found = metrics.masked_cosines(a, b)
    assert found == pytest.approx(np.array(wanted), abs=1e-6)
    assert found == pytest.approx(metrics.masked_cosines(b, a).T, abs=1e-6)
    assert not found[3].any()
    with pytest.raises(ValueError, match="as many inputs, got 60 and 59"):
        metrics.masked_cosines(a, b[1:])
    with pytest.raises(ValueError, match="must not be negative"):
        metrics.masked_cosines(a - 1, b)


def test_unions_are_those_of_sets():
    """Against a search with Python's sets."""
    rng = np.random.default_rng(3)
    a, label = rng.random((80, 12)) * (rng.random((80, 12)) < 0.1), rng.random(80) < 0.4
    there, got, wanted = set(np.flatnonzero(label)), set(), []
    for _ in range(4):
        tries = [got | set(np.flatnonzero(column > 0)) for column in a.T]
        got = max(tries, key=lambda t: 2 * len(t & there) / (len(t) + len(there)))
        wanted.append(2 * len(got & there) / (len(got) + len(there)))
    assert metrics.unions(a, label, 4) == pytest.approx(wanted)
