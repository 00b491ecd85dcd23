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
    E, one, many = real
    control = np.mean([inputs(E, ONE, MANY) for E in languages(0.0, 12, 20_000)])
    assert inputs(E[:, :5], one, many) < 0.15  # a matter of many dimensions
    assert inputs(E[:, :20], one, many) < 0.6
    confirm("01-nearest-is-an-input", inputs(E[:, :100], one, many), control)


def test_on_real_text_analogies_need_the_exclusion(real):
    E, one, many = real
    free = max(words.score(E[:, :d], one, many) for d in (5, 10, 20, 50, 100, 200, 400))
    confirm("01-analogy-on-real-text", free, words.score(E[:, :200], one, many, exclude=True))
    alone = words.score(E[:, :200], one, many, exclude=True, offset=False)
    assert alone > 0.2  # the neighbourhood explains as much
    twenty = words.offset_cosine(E[:, :20], one, many)
    assert twenty > 1.5 * np.max(
        [words.offset_cosine(E[:, :20], one, np.random.default_rng(s).permutation(many)) for s in SEEDS]
    )


def test_digits_are_lossless_and_invisible_to_a_linear_probe():
    digits = codes.CODES["digits"]
    confirm("01-digits-lossless", codes.explained(digits)[1], codes.probed(digits)[1])


def test_which_noise_destroys_the_digits():
    """1/300 does for the plain reader (and so does any noise, half way), 1/100 for the careful one."""
    plain, careful, apart = (codes.CODES[n] for n in ("digits", "digits, nearest", "orthogonal"))
    at = {n: [codes.explained(c, n)[1] for c in (plain, careful, apart)] for n in (1e-4, 1 / 300, 1 / 100, 1 / 30)}
    print("\nR² of the second number, plain, careful, orthogonal:", {k: np.round(v, 2).tolist() for k, v in at.items()})
    assert at[1 / 300] == pytest.approx([0.41, 0.87, 1.0], abs=0.02)
    assert at[1e-4][0] == pytest.approx(0.40, abs=0.02)
    assert at[1 / 100][1] < 0.35
    assert max(at[1 / 30][:2]) < 0
    assert at[1 / 30][2] > 0.98
    sparse = codes.explained(codes.CODES["superposed"], 1 / 100, 0.05)[1]
    assert sparse > 0.96
    assert codes.explained(codes.CODES["superposed"], 0, 1.0)[1] < 0  # control: dense


def test_linear_reading_costs_a_dimension_for_each_feature():
    """ΣR² / m: 1 for linear writing and reading; control: the same five features through a ReLU, sparse."""
    codes_of_three = np.random.default_rng(0).normal(size=(20, 3, 8))
    fit = toysup.train(toysup.independent(0.05, n=5), 2, restarts=32, key=jax.random.key(0)).best()
    relu = 5 - float(fit.loss) / float(theory.variance(0.05))
    sums = codes.read_linearly(codes_of_three).sum(-1) / 3
    assert np.ptp(sums) < 1e-9
    confirm("01-a-dimension-for-each-feature", sums.mean(), relu / 2)
