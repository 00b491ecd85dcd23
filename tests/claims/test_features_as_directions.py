"""Features as directions: analogies in a language that is known, on real text, and the price of linearity.

Sources: Mikolov et al. 2013; Levy and Goldberg 2014; Linzen 2016; Ben-Adeola's slides ("Linearity", "Demands of
Linearity"). Every statement about a drawn language rests on 20 of them.
"""

import jax
import numpy as np
import pytest
from helpers import confirm

import toysup
from toysup import codes, theory, words

ONE, MANY = words.SINGULAR, words.PLURAL
SEEDS = range(20)


def languages(present, d=None, many=None):
    for seed in SEEDS:
        yield words.vectors(words.noun_table(words.language(present, seed=seed), many, seed=seed), d)


def shuffled(seed):
    return np.random.default_rng(seed).permutation(MANY)


def test_analogies_in_a_small_language():
    right = [words.score(E, ONE, MANY) for E in languages(0.0, 12, 20_000)]
    control = [words.score(E, ONE, shuffled(s)) for s, E in enumerate(languages(0.0, 12, 20_000))]
    assert min(right) > 0.97
    confirm("01-analogy-without-exclusion", np.mean(right), np.mean(control))


def test_plurals_share_an_offset():
    cosine = [words.offset_cosine(E, ONE, MANY) for E in languages(0.0, 12, 20_000)]
    control = [words.offset_cosine(E, ONE, shuffled(s)) for s, E in enumerate(languages(0.0, 12, 20_000))]
    confirm("01-shared-offset", np.mean(cosine), np.mean(control))


def test_the_table_without_compression():
    """Endless text, all dimensions: exact for separate marks, gone where one word shows both properties."""
    separate = [words.score(E, ONE, MANY) for E in languages(0.0)]
    welded = [words.score(E, ONE, MANY) for E in languages(0.2)]
    assert min(separate) == 1
    assert all(words.sum_share(E, ONE, MANY) == pytest.approx(1) for E in languages(0.0))
    assert max(words.sum_share(E, ONE, MANY) for E in languages(0.2)) < 0.8
    confirm("01-uncompressed-table", np.mean(separate), np.mean(welded))


def test_more_dimensions_hurt_by_composition_and_not_by_noise():
    at = {
        (p, d): np.mean([words.score(E, ONE, MANY) for E in languages(p, d)]) for p in (0.0, 0.2) for d in (4, 12, 24)
    }
    print("\nendless text, (present, d): share right", {k: round(float(v), 3) for k, v in at.items()})
    assert at[0.0, 12] == at[0.0, 24] == 1
    assert at[0.2, 4] > 0.6
    assert at[0.2, 12] < 0.2
    noisy = [np.mean([words.score(E, ONE, MANY) for E in languages(0.0, d, 500)]) for d in (8, 24)]
    assert 0.5 < noisy[1] < noisy[0] < 0.9
    few = np.mean([words.score(E, ONE, MANY) for E in languages(0.05, 12, 20_000)])
    assert few < 0.2  # one sentence in twenty is enough


@pytest.fixture(scope="module")
def real():
    book = words.corpus(words.library_words(), 800)
    return words.vectors(book.table), book.singular, book.plural


def inputs(E, one, many):
    """The share of questions whose answer is one of the three words asked with."""
    found = words.answers(E, one, many)
    asked = (found == one[None]) | (found == many[:, None]) | (found == one[:, None])
    return asked[~np.eye(len(one), dtype=bool)].mean()


def test_on_real_text_the_nearest_word_is_an_input(real):
    """At 100 dimensions; control: the same text at 5."""
    E, one, many = real
    assert inputs(E[:, :20], one, many) < 0.6
    assert np.mean([inputs(E, ONE, MANY) for E in languages(0.0, 12, 20_000)]) < 0.01
    confirm("01-nearest-is-an-input", inputs(E[:, :100], one, many), inputs(E[:, :5], one, many))


def test_on_real_text_analogies_need_the_exclusion(real):
    """The inputs excluded, 200 dimensions; control: the offset of a wrong pair, and of none."""
    E, one, many = real
    mixed_up = [np.random.default_rng(s).permutation(many) for s in SEEDS]
    right = {d: words.score(E[:, :d], one, many, exclude=True) for d in (20, 100, 200)}
    wrong = {d: [words.score(E[:, :d], one, many, exclude=True, taken=q) for q in mixed_up] for d in right}
    alone = {d: words.score(E[:, :d], one, many, exclude=True, offset=False) for d in right}
    print("\nright", right, "wrong offset", {d: np.mean(v) for d, v in wrong.items()}, "no offset", alone)
    for d in right:
        assert right[d] > max(*wrong[d], alone[d])
    confirm("01-analogy-on-real-text", right[200], np.mean(wrong[200]))
    dims = (5, 10, 20, 50, 100, 200, 400)
    assert 0.04 < max(words.score(E[:, :d], one, many) for d in dims) < 0.2  # nothing excluded
    assert np.mean([max(words.score(E[:, :d], one, q) for d in dims) for q in mixed_up[:5]]) < 0.03
    twenty = words.offset_cosine(E[:, :20], one, many)
    assert twenty > 1.5 * np.max([words.offset_cosine(E[:, :20], one, q) for q in mixed_up])


PACKED, SUPERPOSED, ORTHOGONAL = (codes.CODES[name] for name in ("packed", "superposed", "orthogonal"))


def test_two_numbers_in_one_dimension_and_invisible_to_a_linear_probe():
    """Both R² of the packed code added up; control: a linear probe of the same code."""
    sums = {r: codes.explained(PACKED, 0.001, reader=r).sum() for r in codes.READERS}
    assert codes.explained(PACKED, 0.001, reader="linear")[1] < 0.011
    confirm("01-digits-lossless", sums["best"], sums["linear"])


def test_packing_is_for_dense_numbers_and_superposing_for_sparse_ones():
    """Sums of both R² by the best reader; noise as a share of each code's standard deviation."""
    size = {1.0: (6**-0.5, 12**-0.5), 0.05: (0.1786, 0.1178)}  # of superposed and packed
    found = {
        (density, s): [
            codes.explained(code, s * r, density, reader="best").sum()
            for code, r in zip((SUPERPOSED, PACKED), size[density], strict=True)
        ]
        for density in size
        for s in (0.01, 0.1, 0.3)
    }
    print("\nsuperposed, packed:", {k: np.round(v, 2).tolist() for k, v in found.items()})
    for s in (0.01, 0.1):
        assert found[1.0, s][1] > found[1.0, s][0]
        assert found[0.05, s][0] > found[0.05, s][1]
    assert found[1.0, 0.01][1] > 1.75  # control: no linear code of one dimension gets more than 1 by a probe
    assert found[1.0, 0.01][0] < 1.01


def test_faults_of_readers_are_not_faults_of_codes():
    own, best = (codes.explained(PACKED, 0.001, 0.05, reader=r)[1] for r in ("own", "best"))
    assert own < -20
    assert best > 0.9
    own, best = (codes.explained(SUPERPOSED, 0.001, 1.0, reader=r)[1] for r in ("own", "best"))
    assert own < -0.9
    assert best > 0.45
    assert codes.explained(ORTHOGONAL, 1 / 30, reader="own")[1] > 0.98


def test_linear_reading_costs_a_dimension_for_each_feature():
    """ΣR² / m of five features of density 0.05 in two dimensions, read linearly; control: through a ReLU."""
    assert codes.read_linearly(np.random.default_rng(0).normal(size=(20, 3, 8))).sum(-1) == pytest.approx(3)
    sums = {}
    for readout in ("linear", "relu"):
        fit = toysup.train(toysup.independent(0.05, n=5), 2, readout=readout, restarts=32, key=jax.random.key(0)).best()
        sums[readout] = (5 - float(fit.loss) / float(theory.variance(0.05))) / 2
    confirm("01-a-dimension-for-each-feature", sums["linear"], sums["relu"])
