"""Word vectors from counts: counts and PPMI by hand, analogies where the answer is known, bad input by name."""

import re

import numpy as np
import pytest

from toysup import words

ONE, MANY = words.SINGULAR, words.PLURAL


def test_a_language_is_made_of_probabilities():
    for present in (0.0, 0.3, 1.0):
        lang = words.language(present, seed=1)
        assert lang.chances.shape == (24, 5, 49)
        assert np.allclose(lang.chances.sum(-1), 1)
    shown = [words.WORDS[i] for i in np.flatnonzero(words.language(1.0).chances[:, 3].sum(0))]
    assert set(shown) <= {*words.ONE, *words.MANY}


def test_sentences_follow_the_language():
    lang = words.language(0.4, seed=2)
    text = words.sentences(lang, 60_000, seed=3)
    assert (text == words.sentences(lang, 60_000, seed=3)).all()
    assert set(text[:, 4]) == {words.WORDS.index(".")}
    for form in (0, 17):
        verbs = text[text[:, 2] == form, 3]
        seen = np.bincount(verbs, minlength=49) / len(verbs)
        assert np.abs(seen - lang.chances[form, 3]).max() < 0.04
    with_this = text[:, 0] == words.WORDS.index("this")
    assert (with_this == (text[:, 2] < 12)).all()


def test_counts_by_hand():
    expected = np.array([[0, 2, 1], [2, 0, 1], [1, 1, 0.0]])  # 0 1 0 2 with neighbours at distances 1 and 2
    table = words.counts(np.array([0, 1, 0, 2]), 3, window=2)
    expected[0, 0] = 2
    assert (table == expected).all()
    assert (words.counts(np.array([0, -1, 1]), 2, window=1) == 0).all()
    assert words.counts(np.array([0, -1, 1]), 2, window=2)[0, 1] == 1


def test_ppmi_by_hand():
    table = words.ppmi([[3, 1], [1, 3]])
    assert np.allclose(table, [[np.log(1.5), 0], [0, np.log(1.5)]])
    assert (words.ppmi([[1, 2], [2, 4]]) < 1e-12).all()  # independent
    assert (words.ppmi([[1, 0], [0, 0]]) == 0).all()


def test_many_sentences_approach_endless_text():
    lang = words.language(0.0, seed=4)
    drawn = words.noun_table(lang, 400_000, seed=5)
    assert np.abs(drawn - words.noun_table(lang))[words.noun_table(lang) > 0.5].max() < 0.15


def test_vectors_imitate_the_dot_products():
    table = np.random.default_rng(0).normal(size=(6, 9))
    U, s, _ = np.linalg.svd(table, full_matrices=False)
    E = words.vectors(table, 3)
    assert E.shape == (6, 3)
    assert np.allclose(E @ E.T, (U[:, :3] * s[:3]) @ U[:, :3].T)
    assert np.allclose(words.vectors(table)[:, :3], E)


@pytest.fixture
def sums():
    """Five nouns, two numbers: vectors that are sums; and the same with an interaction."""
    rng = np.random.default_rng(1)
    nouns, number = rng.normal(size=(5, 8)), rng.normal(size=(2, 8))
    return np.concatenate([nouns + number[0], nouns + number[1]])


def test_sums_answer_all_analogies(sums):
    one, many = np.arange(5), np.arange(5, 10)
    assert words.score(sums, one, many) == 1
    assert words.offset_cosine(sums, one, many) == pytest.approx(1)
    assert words.sum_share(sums, one, many) == pytest.approx(1)
    found = words.answers(sums, one, many)
    assert (np.diag(found) == -1).all()
    assert found[0, 3] == many[3]
    wrong = many[[1, 2, 3, 4, 0]]  # control
    assert words.score(sums, one, wrong) < 0.3
    assert words.sum_share(sums, one, wrong) < 0.95


def test_what_is_excluded_is_not_found_and_without_offset_the_neighbour_is(sums):
    one, many = np.arange(5), np.arange(5, 10)
    noisy = sums + 3 * np.random.default_rng(2).normal(size=sums.shape)
    found = words.answers(noisy, one, many, exclude=True)
    for a in range(5):
        for b in range(5):
            assert a == b or found[a, b] not in (a, a + 5, b)
    alone = words.answers(sums, one, many, offset=False)
    assert all(alone[a, b] == b for a in range(5) for b in range(5) if a != b)


def test_a_text_is_counted_and_rare_nouns_are_dropped():
    text = re.findall(r"\w+", 30 * "the key opens the keys and the line ends the lines of the rare string ")
    book = words.corpus(text, 5, least=30)
    assert [book.words[i] for i in book.singular] == ["key", "line"]
    assert [book.words[i] for i in book.plural] == ["keys", "lines"]
    assert book.table.shape == (len(book.words), len(book.words))
    assert words.plural("class") == "classes"


def test_small_whole_numbers_count_like_large_ones():
    ids = np.array([0, 40, 45, -1, 45])
    assert (words.counts(ids.astype(np.int8), 49) == words.counts(ids, 49)).all()
    assert words.counts(ids, 49)[40, 45] == 1


def test_python_carries_enough_text():
    text = words.library_words()
    assert len(text) > 100_000
    assert len(words.corpus(text, 300).singular) >= 20


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: words.language(1.2), "present must be one number in"),
        (lambda: words.language(taste=0.0), "taste must be one number above 0"),
        (lambda: words.sentences(words.language(), 0), "many must be a whole number, at least 1"),
        (lambda: words.counts(np.array([0, 3]), 3), "ids must be a row of whole numbers from -1 to 2"),
        (lambda: words.ppmi([[1, -1]]), "table must be a matrix of counts"),
        (lambda: words.ppmi([[0, 0]]), "not all zero"),
        (lambda: words.ppmi([[1, np.nan]]), "table must be finite"),
        (lambda: words.vectors(np.eye(3), 4), "d must be at most 3"),
        (lambda: words.vectors(np.ones(3)), "table must be a matrix"),
        (lambda: words.score(np.eye(4), [0, 1], [2, 4]), "second must be at least two rows of E, from 0 to 3"),
        (lambda: words.score(np.eye(4), [0, 1], [2, 3, 1]), "equally long"),
        (lambda: words.score(np.ones(4), [0, 1], [2, 3]), "E must have shape"),
        (lambda: words.sum_share(np.ones((4, 2)), [0, 1], [2, 3]), "the same vector for all words"),
        (lambda: words.corpus(["key"] * 99), "the text has 0 nouns"),
    ],
)
def test_bad_input_is_refused_by_name(call, says):
    with pytest.raises(ValueError, match=says):
        call()
