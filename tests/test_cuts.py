"""toysup.language.cuts against a search through every cut by hand."""

import numpy as np
import pytest

from toysup.autoencoder import metrics
from toysup.language import cuts


def by_hand(column, label):
    """The F1 at every cut above zero."""
    found = [0.0]
    for cut in np.unique(column[column > 0]):
        fires = column >= cut
        found.append(2 * (fires & label).sum() / (fires.sum() + label.sum()))
    return max(found)


def table(seed, ties):
    rng = np.random.default_rng(seed)
    a = np.maximum(rng.normal(size=(200, 9)), 0)
    a = np.round(a, 1) if ties else a
    a[:, 4] = 0  # dead
    a[:, 5] = 1  # always on
    return a, rng.random((200, 4)) < [0.5, 0.2, 0.02, 0]


@pytest.mark.parametrize("ties", [False, True])
def test_the_best_of_all_cuts_is_found(ties):
    a, labels = table(0, ties)
    found = cuts.best(a, labels)
    wanted = [[by_hand(column, label) for label in labels.T] for column in a.T]
    assert found == pytest.approx(np.array(wanted), abs=1e-6)
    assert (found[4] == 0).all()
    for threshold in (0.0, 0.1, 0.3, 0.5):
        assert (found >= metrics.firing(a, labels, threshold).f1 - 1e-6).all()


@pytest.mark.parametrize("ties", [False, True])
def test_a_union_adds_the_unit_and_the_cut_that_help_most(ties):
    a, labels = table(1, ties)
    found = cuts.unions(a, labels, 3)
    assert found[:, 0] == pytest.approx(cuts.best(a, labels).max(0), abs=1e-6)
    assert (np.diff(found, axis=1) >= 0).all()
    label, got = labels[:, 0], np.zeros(200, bool)
    for k in range(3):
        every = [(c, cut) for c in a.T for cut in np.unique(c[c > 0])]
        f1 = [2 * ((got | (c >= t)) & label).sum() / ((got | (c >= t)).sum() + label.sum()) for c, t in every]
        if k and max(f1) <= found[0, k - 1]:
            assert found[0, k] == found[0, k - 1]
            break
        assert found[0, k] == pytest.approx(max(f1))
        column, cut = every[int(np.argmax(f1))]
        got |= column >= cut


def test_parts_of_a_label_tell_it_together():
    label = np.arange(60) < 40
    parts = np.stack([(np.arange(60) // 20 == k) * (1.0 + np.arange(60)) for k in range(3)], axis=1)
    parts[40:, 0] = 0.5  # fires elsewhere, but more weakly: a cut mends it
    assert cuts.unions(parts, label[:, None], 3)[0] == pytest.approx([2 / 3, 1, 1])
    assert cuts.best(parts, label[:, None])[0, 0] == pytest.approx(2 / 3)
    assert cuts.unions(0 * parts, label[:, None], 2).tolist() == [[0, 0]]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="as many inputs"):
        cuts.best(np.ones((3, 2)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="two axes"):
        cuts.unions(np.ones((3, 2)), np.ones(3), 2)
