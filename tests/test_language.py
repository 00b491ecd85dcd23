"""The small language, real text, the transformer and its files: exact numbers against draws, errors for people."""

import base64
import importlib.util
import itertools
import json
import re
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from helpers import compilations

from toysup.language import automaton, checkpoint, modes, text, transformer
from toysup.language.automaton import END, Option
from toysup.language.corpus import draw, floor, forecast, labels, language, read, split, tokens_in_context
from toysup.language.modes import MODE_OF, MODES, SOURCES, WEIGHTS

ROOT = Path(__file__).resolve().parent.parent


@lru_cache
def some(characters: int = 120_000, seed: int = 1):
    return draw(characters, seed=seed)


def lines_of(source: str, many: int = 300) -> list[str]:
    part = modes.sources()[SOURCES.index(source)]
    arcs, _ = automaton.draw(part, np.zeros(many, int), np.random.default_rng(3))
    return "".join(part.letter[arcs]).splitlines()


# ------------------------------------------------------------------------------------------- automata

COIN = {"start": [Option("ab", "then", 3), Option("ac", END, 1)], "then": [Option("b", "then"), Option("c", END)]}


def test_a_small_language_by_hand():
    found = automaton.build("start", COIN.__getitem__)
    # "ac", or "ab" b...b c: mean length 2 with 1/4, 2 + 2 with 3/4; entropy of 1 : 3, and two nats-of-a-coin with 3/4.
    entropy, length = automaton.entropy(found)
    assert length == pytest.approx(3.5)
    assert entropy == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75) + 0.75 * 2 * np.log(2))
    assert (found.states, len(found.p)) == (3, 5)


def test_draws_follow_the_probabilities():
    found = automaton.build("start", COIN.__getitem__)
    arcs, length = automaton.draw(found, np.zeros(40_000, int), np.random.default_rng(0))
    drawn = np.bincount(arcs, minlength=5) / 40_000
    expected = automaton.visits(found)[found.source] * found.p
    assert drawn == pytest.approx(expected, abs=0.02)
    assert length.sum() == len(arcs)
    assert (found.target[arcs] < 0).sum() == 40_000


def test_labels_say_what_is_decided_and_no_more():
    pieces = [Option("cat ", END, field="noun", labels={"number": 1}), Option("cats ", END, labels={"number": 2})]
    found = automaton.build("start", lambda _: pieces)
    told = {(letter, int(n)) for letter, n in zip(found.letter, found.labels["number"], strict=True)}
    assert told == {("c", 0), ("a", 0), ("t", 0), (" ", 1), ("s", 2), (" ", 2)}
    assert set(found.field[found.letter == "c"]) == {""}


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([Option("a", END), Option("ab", END)], "another option begins with 'a'"),
        ([Option("a", END), Option("a", END)], "another option begins with 'a'"),
        ([Option("", END)], "'' is empty"),
        ([Option("a", END, 0)], "no option of positive weight"),
    ],
)
def test_a_language_that_is_ambiguous_is_refused(pieces, message):
    with pytest.raises(ValueError, match=message):
        automaton.build("start", lambda _: pieces)


def test_lines_that_do_not_end_have_no_length():
    with pytest.raises(ValueError, match="does it end"):
        automaton.entropy(automaton.build("start", lambda _: [Option("a", "start")]))


# ------------------------------------------------------------------------------------------- the modes

PATTERNS = {
    "english": r"the ((big|red|old|new|small) )?\w+ \w+ the \w+\.( the ((big|red|old|new|small) )?\w+ \w+ the \w+\.)*",
    "dna": "[acgt]{15,40}",
    "hexadecimal": "0x[0-9a-f]{8,24}",
    "base64 random": r"[A-Za-z0-9+/]{16,36}={0,2}",
    "base64 of text": r"[A-Za-z0-9+/]{8,60}={0,2}",
    "roman": "[MDCLXVI]+( [MDCLXVI]+)*",
    "date": r"(19\d\d|20[0-2]\d|2030)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])",
    "python": r"(def (f|g|run|add)\(([xyz])\): return \3 [+*-] \d|print\(\([xyz] [+*-] \d\) [+*-] \d\))",
    "arithmetic": r"\d+\+\d+=\d+",
}


@pytest.mark.parametrize("source", SOURCES)
def test_lines_look_like_their_mode(source):
    assert [line for line in lines_of(source) if not re.fullmatch(PATTERNS[source], line)] == []


def test_sums_are_right_and_know_their_carry():
    part = some()
    lines = str(part).splitlines()[:-1]
    sums = [line for line in lines if re.fullmatch(PATTERNS["arithmetic"], line)]
    assert len(sums) > 100
    carry, starts = part.label("carry"), np.flatnonzero(part.place == 0)
    for line, at in zip(lines, starts, strict=False):
        if line in sums:
            a, b, total = map(int, re.split(r"[+=]", line))
            assert a + b == total
            assert set(carry[at + line.index("=") + 1 : at + len(line)]) == {1 + (a % 10 + b % 10 > 9)}
            assert not carry[at : at + line.index("=") + 1].any()


def test_base64_decodes_to_english_words():
    known = {*modes.NOUNS, *(f"{n}s" for n in modes.NOUNS), *modes.VERBS, *modes.ADJECTIVES}
    for line in lines_of("base64 of text"):
        decoded = base64.b64decode(line, validate=True).decode("ascii")
        assert base64.b64encode(decoded.encode()).decode() == line  # no bits left over by padding
        assert decoded.endswith(".")
        assert set(decoded[:-1].split(" ")) <= known
    assert all(len(line) % 4 == 0 for line in lines_of("base64 random"))


def test_roman_numerals_are_those_of_the_numbers():
    value = {"M": 1000, "D": 500, "C": 100, "L": 50, "X": 10, "V": 5, "I": 1}

    def number(word):
        worth = [value[c] for c in word]
        return sum(-v if v < after else v for v, after in itertools.zip_longest(worth, worth[1:], fillvalue=0))

    written = [option.text[:-1] for option in modes.roman("start") if option.node is END]
    assert [number(word) for word in written] == list(range(1, 4000))
    assert written[1993] == "MCMXCIV"


def test_verbs_agree_with_their_subjects():
    part = some()
    english = part.mode == MODES.index("english")
    number, shows = part.label("number"), part.label("agreement") > 0
    assert set(part.field[shows]) == {"verb"}
    plural = np.array([c == " " for c in str(part)])[shows]
    assert (number[shows] == 1 + plural).all()
    assert abs(plural.mean() - 0.5) < 0.05
    assert not number[~english].any()
    # From the character that shows the subject's number to the end of the verb, nothing forgets it.
    started = (number[1:] > 0) & (number[:-1] == 0)
    assert set(part.field[1:][started]) <= {"noun"}


def test_depth_counts_brackets():
    part = some()
    line = np.cumsum(part.place == 0)
    step = (part.ids == part.alphabet.index("(")).astype(int) - (part.ids == part.alphabet.index(")"))
    total = np.cumsum(step)
    before = np.concatenate([[0], total])[np.searchsorted(line, line)]
    assert (part.label("depth") == total - before).all()
    assert part.label("depth").max() == 2


def test_phases_of_base64_are_places_in_fours():
    part = some()
    inside = (part.mode == MODES.index("base64")) & (part.field != "end")
    assert (part.label("phase")[inside] == part.place[inside] % 4 + 1).all()
    assert not part.label("phase")[~inside].any()


# --------------------------------------------------------------------------------------- exact numbers


def test_entropies_known_by_hand():
    line = dict(zip(SOURCES, floor().line_entropy, strict=True))
    assert line["dna"] == pytest.approx(27.5 * np.log(4) + np.log(26))
    assert line["hexadecimal"] == pytest.approx(16 * np.log(16) + np.log(17))
    assert line["date"] == pytest.approx(np.log(131 * 12 * 28))
    assert line["arithmetic"] == pytest.approx(2 * np.log(50))
    assert line["roman"] == pytest.approx(2 * (np.log(3999) + np.log(2)))
    assert line["python"] == pytest.approx(
        -0.75 * np.log(0.75) - 0.25 * np.log(0.25) + 0.75 * np.log(4 * 3 * 3 * 10) + 0.25 * np.log(3 * (3 * 10) ** 2)
    )
    assert line["base64 of text"] == pytest.approx(4 * np.log(27) + np.log(3))  # what the words hold, and no more
    sentence = np.log(2) + np.log(5) / 2 + np.log(16) + np.log(6) + np.log(16)
    assert line["english"] == pytest.approx(1.5 * (sentence - np.log(2 / 3) * 2 / 3 - np.log(1 / 3) / 3))


def test_surprisal_of_an_ideal_reader_meets_the_floor():
    exact, rates = floor(), []
    for seed in range(4):
        part = draw(150_000, seed=seed)
        line = np.cumsum(part.place == 0) - 1
        told, length = np.bincount(line, read(part.ids).surprisal), np.bincount(line)
        rates.append((told - exact.rate * length)[:-1])  # the last line is cut
    rest = np.concatenate(rates)
    assert abs(rest.mean()) < 4 * rest.std() / len(rest) ** 0.5
    assert rest.std() / len(rest) ** 0.5 < 0.01 * exact.rate * exact.length


def test_the_posterior_is_calibrated():
    # Among characters where the posterior of a source is about q, the source is the true one in a share q of lines.
    part = draw(600_000, seed=5)
    for place in (0, 1, 3):
        here = part.place == place
        posterior, true = read(part.ids).posterior[here], part.source[here]
        for source in range(len(SOURCES)):
            q, hit = posterior[:, source], true == source
            for low, high in ((0.02, 0.3), (0.3, 0.7), (0.7, 0.98)):
                inside = (q > low) & (q < high)
                if inside.sum() > 200:
                    error = (q[inside] * (1 - q[inside])).sum() ** 0.5
                    assert abs(hit[inside].sum() - q[inside].sum()) < 4.5 * error, (place, SOURCES[source], low)


def test_the_posterior_of_a_first_letter_by_hand():
    # "a" opens 1 in 4 lines of dna, 1 in 64 of random base64; it stands for the bits 011010, with which begin the
    # codes of h, i, j and k, so 2 in 27 of the encoded words: house, houses.
    share = {"dna": 1 / 8 / 4, "base64 random": 1 / 16 / 64, "base64 of text": 2 / 27 / 16}
    expected = [share.get(name, 0.0) / sum(share.values()) for name in SOURCES]
    assert read("a").posterior[0] == pytest.approx(expected)
    assert read("acgtacgtacgt").modes()[-1].argmax() == MODES.index("dna")
    assert read("acgtacgtacgt").modes()[-1].max() > 1 - 1e-12


def test_prefix_likelihoods_are_shares_of_drawn_lines():
    part = draw(1_000_000, seed=9)
    lines = str(part).splitlines()[:-1]
    for prefix in ("t", "the c", "0x1", "19", "1", "M", "ac"):
        exact = np.exp(-read(prefix).surprisal.sum())
        share = np.mean([line.startswith(prefix) for line in lines])
        assert abs(share - exact) < 4.5 * (exact * (1 - exact) / len(lines)) ** 0.5, prefix


def test_mode_posteriors_odds_and_forecasts_fit_together():
    part = some()[:5_000]
    reading = read(part.ids)
    assert reading.modes().sum(1) == pytest.approx(1)
    q = reading.modes()[:, 0]
    odds = reading.log_odds()[:, 0]
    mixed = (q > 1e-6) & (q < 1 - 1e-6)
    assert odds[mixed] == pytest.approx(np.log(q[mixed] / (1 - q[mixed])), rel=1e-6)
    chances = forecast(reading)
    assert chances.sum(1) == pytest.approx(1)
    following = chances[np.arange(4_999), part.ids[1:]]
    assert -np.log(following) == pytest.approx(reading.surprisal[1:])


def test_text_that_no_mode_writes_is_named():
    with pytest.raises(ValueError, match=r"no mode writes 'th-': its last character \(number 5 of the text\)"):
        read("MM\nth-")
    with pytest.raises(ValueError, match="is not in the alphabet"):
        read("é")
    with pytest.raises(ValueError, match="whole numbers from 0 to"):
        read(np.array([1000]))


# ------------------------------------------------------------------------------------------ the corpus


def test_a_corpus_has_its_length_and_its_seed():
    assert len(draw(12_345)) == 12_345
    assert (draw(500, seed=3).ids == draw(500, seed=3).ids).all()
    assert (draw(500, seed=3).ids != draw(500, seed=4).ids).any()
    assert len(draw(1)) == 1
    part = some()[10:20]
    assert str(part) == str(some())[10:20]


def test_modes_are_equally_frequent_and_labels_are_complete():
    part = some()
    first = part.mode[part.place == 0]
    assert np.bincount(first) / len(first) == pytest.approx(np.full(8, 1 / 8), abs=0.02)
    assert (np.bincount(MODE_OF, WEIGHTS) == 1 / 8).all()
    assert set(labels()) == {"number", "agreement", "depth", "carry", "phase"}
    assert (language().letter[part.arc] == part.ids).all()
    ends = part.ids == part.alphabet.index("\n")
    assert set(part.field[ends]) == {"end"}
    assert (part.place[1:][ends[:-1]] == 0).all()


def test_what_is_kept_back_begins_with_a_line():
    seen, kept = split(some(), 1_000)
    assert 900 < len(kept) <= 1_000
    assert kept.place[0] == 0
    assert str(seen) + str(kept) == str(some())
    assert str(seen).endswith("\n")
    for text_, back in ((some(), 1), (draw(5), 5)):
        with pytest.raises(ValueError, match="no line begins in the last"):
            split(text_, back)


def test_tokens_in_context():
    part = some()
    names, which = tokens_in_context(part, least=50)
    assert len(names) > 100
    for number in (0, len(names) // 2, len(names) - 1):
        mode, letter = names[number]
        true = (part.mode == MODES.index(mode)) & (part.ids == part.alphabet.index(letter))
        assert ((which == number) == true).all()
    assert all(sum(c == letter for _, c in names) > 1 for _, letter in names)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw(0), "characters must be a whole number, at least 1"),
        (lambda: draw(10, seed=-1), "seed must be a whole number, at least 0"),
        (lambda: some()[3], "cut by slices"),
        (lambda: some().label("colour"), "name must be one of"),
        (lambda: draw(1.5), "characters must be a whole number"),
    ],
)
def test_errors_of_the_corpus(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# ------------------------------------------------------------------------------------------- real text


def test_text_of_the_library():
    documents = text.library()
    assert sum(map(len, documents)) > 200_000
    found = text.as_text(documents, most=100)
    assert len(found.alphabet) == 100
    assert str(found)[:50] == text.decode(text.encode("\n\n".join(documents)[:50], found.alphabet), found.alphabet)


def test_docstrings_outermost_first_and_none_of_a_broken_file(tmp_path):
    file = tmp_path / "a.py"
    file.write_text('"""One."""\nclass A:\n    """Two."""\n    def f(self):\n        """Three\\d."""\ndef g(): "4"\n')
    assert text.docstrings(file) == ["One.", "Two.", "4", "Three\\d."]
    file.write_bytes(b"\xff\xfe not python")
    assert text.docstrings(file) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_files_that_tell_their_encoding(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("naïve\r\nword".encode(encoding))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes("zwei".encode(encoding))
    (tmp_path / ".hidden.txt").write_bytes(b"\xff")
    assert text.folder(tmp_path) == ["naïve\nword", "zwei"]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1251", "koi8-r", "shift_jis", "utf-16-le", "cp037"])
def test_files_in_an_encoding_that_is_named(tmp_path, encoding):
    words = {"latin-1": "Füße", "cp037": "Füße", "shift_jis": "日本"}.get(encoding, "Привет")
    (tmp_path / "a.txt").write_bytes(words.encode(encoding))
    assert text.folder(tmp_path, encoding=encoding) == [words]


def test_a_mark_is_read_whatever_encoding_the_others_have(tmp_path):
    """A folder as people have it: one file in Latin-1, one of Windows' notepad, an empty one."""
    (tmp_path / "a.txt").write_bytes("Füße".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes("sechzehn Größen\r\n".encode("utf-16"))
    (tmp_path / "c.txt").write_bytes(b"")
    assert text.folder(tmp_path, encoding="latin-1") == ["Füße", "sechzehn Größen\n"]


def test_errors_of_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        text.folder(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="it is empty"):
        text.folder(tmp_path)
    (tmp_path / "a.md").write_text("words")
    with pytest.raises(FileNotFoundError, match=r"files of the kinds \.md"):
        text.folder(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"hand in the folder it lies in, and pattern='a\.md'"):
        text.folder(tmp_path / "a.md")
    with pytest.raises(LookupError, match="that Python knows"):
        text.folder(tmp_path, "*.md", encoding="hex")
    (tmp_path / "a.txt").write_bytes("Füße".encode("cp1252"))
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8: byte 0xfc at 1 does not fit; say which encoding"):
        text.folder(tmp_path)
    (tmp_path / "a.txt").write_bytes("words".encode("utf-16-le"))
    with pytest.raises(ValueError, match="holds zeros"):
        text.folder(tmp_path)
    (tmp_path / "a.txt").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"a\.txt holds zeros and is not UTF-8: it is no text, but a binary file"):
        text.folder(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"all of these are empty \(1\)"):
        text.folder(tmp_path)
    for path in (None, 3, ""):
        with pytest.raises(ValueError, match="path must name a folder"):
            text.folder(path)
    for pattern in ("", "/etc/*", 3):
        with pytest.raises(ValueError, match="pattern must say which files inside the folder"):
            text.folder(tmp_path, pattern)
    for documents in (3, b"bytes", [1, 2]):
        with pytest.raises(TypeError, match="documents must be a string or several"):
            text.as_text(documents)


def test_rare_characters_become_one():
    found = text.as_text("aaabbcd", most=3)
    assert (found.alphabet, str(found)) == ("ab" + text.UNKNOWN, "aaabb" + 2 * text.UNKNOWN)
    assert text.as_text("aaabbcd", most=4).alphabet == "abcd"
    assert text.as_text(["ab", "c"]).alphabet == "\nabc"
    with pytest.raises(ValueError, match="empty"):
        text.as_text("")
    with pytest.raises(ValueError, match=r"'x' \(character 1 of the text\)"):
        text.encode("ax", "ab")
    with pytest.raises(ValueError, match="from 0 to 1"):
        text.decode([2], "ab")


# ------------------------------------------------------------------------------------- the transformer

SMALL = {"d": 8, "neurons": 12, "heads": 2, "context": 10}


def small(size: int = 7, seed: int = 0):
    return transformer.initial(size, **SMALL, key=jax.random.key(seed))


def reference(model, ids):
    """The same model once more, in NumPy, one window and one position at a time."""
    p = {name: np.asarray(getattr(model, name), np.float64) for name in transformer.SHAPES}
    norm = lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    x = p["embed"][ids] + p["position"][: len(ids)]
    y, out = norm(x), []
    width = x.shape[1] // model.heads
    for t in range(len(ids)):
        heads = []
        for h in range(model.heads):
            at = slice(h * width, (h + 1) * width)
            score = (y[: t + 1] @ p["key"][:, at]) @ (y[t] @ p["query"][:, at]) / np.sqrt(width)
            share = np.exp(score - score.max())
            heads.append(share / share.sum() @ (y[: t + 1] @ p["value"][:, at]))
        stream = x[t] + np.concatenate(heads) @ p["attended"]
        active = np.maximum(norm(stream) @ p["W_in"] + p["b_in"], 0)
        out.append((stream + active @ p["W_out"]) @ p["unembed"] + p["b_logit"])
    return np.array(out)


def test_forward_is_what_its_text_says():
    ids = np.array([[1, 2, 3, 4, 5, 6, 0, 1], [0, 0, 1, 1, 2, 2, 3, 3]])
    expected = np.stack([reference(small(), row) for row in ids])
    assert np.asarray(transformer.forward(small(), ids)) == pytest.approx(expected, abs=2e-5)


def test_the_future_is_not_seen():
    ids = np.array([1, 2, 3, 4, 5, 6])
    other = ids.copy()
    other[4:] = 0
    a, b = (np.asarray(transformer.forward(small(), i)) for i in (ids, other))
    assert a[:4] == pytest.approx(b[:4], abs=1e-6)
    assert np.abs(a[4:] - b[4:]).max() > 1e-3


def test_activations_can_be_replaced_and_logit_weights_are_exact():
    model, ids = small(), np.array([[1, 2, 3, 4], [4, 5, 6, 0]])
    own = transformer.activations(model, ids)
    before = transformer.forward(model, ids)
    assert np.asarray(transformer.forward(model, ids, own)) == pytest.approx(np.asarray(before), abs=1e-5)
    direction = np.linspace(-1, 1, 12)
    change = np.array(transformer.forward(model, ids, own + direction) - before)
    change -= change.mean(-1, keepdims=True)
    weights = np.asarray(transformer.logit_weights(model, direction))
    assert change == pytest.approx(np.broadcast_to(weights, change.shape), abs=1e-5)
    assert weights.mean() == pytest.approx(0, abs=1e-6)


def test_windows_predict_each_character_once():
    at = transformer.windows(25, 8)
    assert at.shape == (3, 9)
    assert sorted(at[:, 1:].ravel()) == list(range(1, 25))
    ids = np.arange(25) % 7
    model = small()
    model = transformer.Transformer(**{**vars(model), "position": model.position[:8]})
    loss = transformer.held_out(model, ids)
    direct = -jax.nn.log_softmax(transformer.forward(model, ids[at[1, :-1]]))[np.arange(8), ids[at[1, 1:]]]
    assert loss[1] == pytest.approx(np.asarray(direct), abs=1e-5)
    assert transformer.by_group([1.0, 3.0, 5.0], [0, 0, 2], 3) == pytest.approx([2, np.nan, 5], nan_ok=True)


def test_bigram_entropy_by_hand():
    # After 0 always 1; after 1 half 0, half 1.
    ids = np.array([0, 1, 1, 0, 1, 1, 0, 1, 1, 0])
    assert transformer.bigram_entropy(ids, 2) == pytest.approx(np.log(2) * 6 / 9)


@lru_cache
def trained():
    part = some(200_000, 2)
    seen = part.ids[:-10_000]
    return transformer.train(seen, len(part.alphabet), steps=250, batch=16, key=jax.random.key(0)), part


def test_a_short_training_falls_below_what_pairs_of_characters_tell():
    found, part = trained()
    bigram = transformer.bigram_entropy(part.ids, len(part.alphabet))
    loss = transformer.held_out(found.model, part.ids[-10_000:]).mean()
    control = transformer.held_out(transformer.initial(len(part.alphabet), key=jax.random.key(0)), part.ids[-10_000:])
    print(f"held out {loss:.3f}, bigram {bigram:.3f}, untrained {control.mean():.3f}")
    assert loss < bigram - 0.1
    assert found.loss[0] > 3.5
    assert found.loss[-50:].mean() < bigram
    assert control.mean() > bigram + 1
    assert loss > floor().rate


def test_another_seed_or_rate_compiles_nothing():
    ids = np.arange(100) % 7
    go = lambda seed, rate: transformer.train(ids, 7, steps=5, batch=2, rate=rate, **SMALL, key=jax.random.key(seed))
    first = go(0, 0.01)
    with compilations() as compiled:
        second = go(1, 0.02)
    assert compiled == []
    assert np.abs(np.asarray(first.model.W_in - second.model.W_in)).max() > 1e-3


def test_writing_on():
    found, part = trained()
    prompt = np.stack([text.encode(f"\n{start}", part.alphabet) for start in ("0x12", "acgt")])
    free = transformer.sample(found.model, prompt, 80, key=jax.random.key(1))
    assert free.shape == (2, 80)
    again = transformer.sample(found.model, prompt, 80, key=jax.random.key(1))
    assert (free == again).all()
    held = lambda activations, pushed: activations + pushed
    wanted = part.alphabet.index("g")
    towards = 3 * transformer.logit_weights(found.model, jnp.eye(256))[:, wanted]
    rest = {"edit": held, "key": jax.random.key(1)}
    with_nothing = transformer.sample(found.model, prompt, 80, arguments=(jnp.zeros(256),), **rest)
    assert (with_nothing == free).all()
    with compilations() as compiled:
        pushed = transformer.sample(found.model, prompt, 80, arguments=(towards,), **rest)
    assert compiled == []
    assert (pushed == wanted).mean() > (free == wanted).mean() + 0.2
    first = text.decode(free[1], part.alphabet).split("\n")[0]
    assert len(first) > 3
    assert sum(c in "acgt" for c in first) / len(first) > 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: transformer.forward(small(), np.zeros(11, int)), "l from 1 to the model's context 10"),
        (lambda: transformer.forward(small(), np.zeros(3)), "must be whole numbers"),
        (lambda: transformer.forward(small(), np.array([7])), "must lie in 0 to 6"),
        (lambda: transformer.activations(small(), np.array([-1])), "must lie in 0 to 6"),
        (lambda: transformer.forward(small(), np.zeros(4, int), np.zeros((3, 12))), r"shape \(4, 12\), one row"),
        (lambda: transformer.initial(7, d=9, heads=2, key=jax.random.key(0)), "heads must divide d"),
        (lambda: transformer.initial(7, key=0), "key must be one JAX random key"),
        (lambda: transformer.train(np.zeros(64, int), 7, key=jax.random.key(0)), "more than 64 characters"),
        (lambda: transformer.train(np.full(99, 7), 7, key=jax.random.key(0)), "must lie in 0 to 6"),
        (lambda: transformer.train(np.zeros(99, int), 7, rate=0, key=jax.random.key(0)), "rate must be"),
        (lambda: transformer.windows(8, 8), "more than the context"),
        (lambda: transformer.cross_entropy(small(), np.array([0, 7])), "must lie in 0 to 6"),
        (lambda: transformer.held_out(small(), np.array([7] + [0] * 10)), "must lie in 0 to 6"),
        (lambda: transformer.logit_weights(small(), np.ones(5)), r"directions must have shape \(..., 12\)"),
        (lambda: transformer.logit_weights(small(), np.full(12, np.nan)), "directions must be finite"),
        (lambda: transformer.bigram_entropy([1], 5), "two or more whole numbers from 0 to 4"),
        (lambda: transformer.bigram_entropy([1, 9], 5), "two or more whole numbers from 0 to 4"),
        (lambda: transformer.by_group([1.0, 2.0], [0, 5], 2), "groups must lie in 0 to 1, got 5"),
        (lambda: transformer.by_group([1.0, 2.0], [0], 2), "one for each of 2 values"),
        (lambda: transformer.sample(small(), np.array([7]), 3, key=jax.random.key(0)), "must lie in 0 to 6"),
    ],
)
def test_errors_of_the_transformer(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


# ----------------------------------------------------------------------------------------- checkpoints

SPEC = importlib.util.spec_from_file_location("data_language", ROOT / "tools" / "data_language.py")
DATA = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(DATA)


@pytest.mark.parametrize("name", DATA.MODELS)
def test_the_shipped_models_have_learned_the_language(name):
    file = ROOT / "data" / f"transformer_{name}.safetensors"
    found = checkpoint.load(file)
    kept = DATA.texts()[1]
    assert found.alphabet == kept.alphabet
    assert found.notes["seed"] == DATA.MODELS[name]
    loss = transformer.held_out(found.model, kept.ids)
    bigram = transformer.bigram_entropy(kept.ids, len(kept.alphabet))
    rng = np.random.default_rng(0)
    shuffled = jax.tree.map(lambda a: jnp.asarray(rng.permuted(np.asarray(a).ravel()).reshape(a.shape)), found.model)
    control = transformer.held_out(shuffled, kept.ids)
    print(f"{name}: held out {loss.mean():.4f}, bigram {bigram:.3f}, weights shuffled {control.mean():.3f}")
    assert loss.mean() < 1.7
    assert loss.mean() == pytest.approx(found.notes["held_out"], abs=2e-3)
    assert loss.mean() > read(kept.ids).surprisal.mean()
    assert bigram > 2.3
    assert control.mean() > bigram
    assert file.stat().st_size < 300_000


def test_each_shipped_model_came_from_its_seed():
    shipped = [checkpoint.load(ROOT / "data" / f"transformer_{name}.safetensors").model for name in "ab"]
    starts = [DATA.train(seed, steps=1).model for seed in DATA.MODELS.values()]
    flat = [np.concatenate([np.asarray(m.embed).ravel(), np.asarray(m.W_in).ravel()]) for m in shipped + starts]
    likeness = np.corrcoef(flat)[:2, 2:]  # training moves parameters, it does not forget where they began
    print(likeness)
    assert likeness.diagonal().min() > 0.2
    assert np.abs([likeness[0, 1], likeness[1, 0]]).max() < 0.05


def saved(tmp_path, **changes):
    """A file with some tensors changed, or left out where the change is None."""
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, small(), "abcdefg", seed=3)
    arrays, note = checkpoint.read(file, checkpoint.KIND)
    note |= changes.pop("note", {})
    arrays = {name: a for name, a in (arrays | changes).items() if a is not None}
    checkpoint.write(file, note.pop("kind"), arrays, note)
    return file


def test_what_is_saved_comes_back(tmp_path):
    found = checkpoint.load(saved(tmp_path))
    assert (found.alphabet, found.notes, found.model.heads) == ("abcdefg", {"seed": 3}, 2)
    equal = jax.tree.map(lambda a, b: bool((a == b).all()), found.model, small())
    assert all(jax.tree.leaves(equal))
    first = (tmp_path / "model.safetensors").read_bytes()
    assert saved(tmp_path).read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W_in": None, "b_in": None}, "missing W_in, b_in"),
        ({"extra": np.zeros(3)}, "unknown extra"),
        ({"W_out": np.zeros((13, 8), np.float32)}, r"W_out has shape \(13, 8\), expected \(12, 8\)"),
        ({"b_in": np.zeros((12, 1), np.float32)}, r"b_in has shape \(12, 1\), expected \(12\)"),
        ({"embed": np.full((7, 8), np.nan, np.float32)}, "embed is not finite"),
        ({"note": {"alphabet": "abc"}}, "alphabet must be 7 distinct characters, got 'abc'"),
        ({"note": {"heads": 3}}, "heads must divide 8, got 3"),
        ({"note": {"kind": "autoencoder"}}, "holds 'autoencoder'; expected 'one-layer"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.load(saved(tmp_path, **changes))


def test_a_file_of_something_else_is_refused(tmp_path):
    file = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        checkpoint.load(file)
    file.write_bytes(b"no tensors here, only text")
    with pytest.raises(ValueError, match="no safetensors file, or a damaged one"):
        checkpoint.load(file)
    safetensors.numpy.save_file({"x": np.zeros(2)}, file)
    with pytest.raises(ValueError, match="written by another program"):
        checkpoint.load(file)
    safetensors.numpy.save_file({"x": np.zeros(2)}, file, {"toysup": json.dumps([1])})
    with pytest.raises(ValueError, match="written by another program"):
        checkpoint.load(file)
    whole = saved(tmp_path).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="damaged"):
        checkpoint.load(file)


def test_an_alphabet_must_fit_when_saved(tmp_path):
    with pytest.raises(ValueError, match="7 distinct characters"):
        checkpoint.save(tmp_path / "a", small(), "aaaaaaa")
