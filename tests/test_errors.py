"""Bad input: an exception that names the argument, the value and what is allowed, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toysup
from toysup import check

KEY = jax.random.key(0)
FIVE = toysup.independent(0.1, 5)
TWENTY = toysup.independent(0.1, 20)
MANY = toysup.independent(0.1, 10**5)
TWO_MODELS = toysup.independent(np.full((2, 1), 0.1), 5)
KEYS = jax.random.key_data(jax.random.split(KEY, 3))
W, b = np.ones((2, 5)), np.zeros(5)
NAN = float("nan")


def train(features=FIVE, m=2, key=KEY, **more):
    return toysup.train(features, m, key=key, **more)


def loss(W=W, b=b, features=FIVE, **more):
    return toysup.expected_loss(W, b, features, **more)


# what is called, which exception, what its text must say
CASES = {
    "density 0": (lambda: toysup.independent(0, 5), ValueError, ["density", "(0, 1]", "0"]),
    "density -1": (lambda: toysup.independent(-1, 5), ValueError, ["density", "(0, 1]", "-1"]),
    "density 1.2": (
        lambda: toysup.independent([0.1, 0.2, 0.3, 1.2]),
        ValueError,
        ["density", "(0, 1]", "1.2 for feature 3"],
    ),
    "density of one model": (
        lambda: toysup.independent([[0.1, 0.2], [0.3, -2.0]]),
        ValueError,
        ["density", "(0, 1]", "-2 for feature 1 of model (1,)"],
    ),
    "density NaN": (lambda: toysup.independent([0.1, NAN]), ValueError, ["density", "finite", "nan for feature 1"]),
    "any array": (
        lambda: toysup.geometry.norms(np.where(np.arange(12).reshape(2, 2, 3) == 10, NAN, 0)),
        ValueError,
        ["W must be finite, got nan at [1, 1, 1]"],
    ),
    "density inf": (lambda: toysup.independent(float("inf"), 2), ValueError, ["density", "finite", "inf"]),
    "density empty": (lambda: toysup.independent([]), ValueError, ["density", "empty", "(0,)"]),
    "density 1e-300": (lambda: toysup.independent(1e-300, 5), ValueError, ["density", "at least 1e-12", "1e-300"]),
    "density None": (lambda: toysup.independent(None, 5), TypeError, ["density", "number", "None"]),
    "density text": (lambda: toysup.independent("much", 5), TypeError, ["density", "number", "'much'"]),
    "density complex": (lambda: toysup.independent(0.1 + 0.1j, 5), TypeError, ["density", "number", "0.1j"]),
    "density ragged": (lambda: toysup.independent([[0.1], [0.1, 0.2]]), TypeError, ["density", "number"]),
    "density and n": (lambda: toysup.independent([0.1, 0.2], 3), ValueError, ["density", "(2,)", "3"]),
    "no n": (lambda: toysup.independent(0.1), ValueError, ["n is missing", "0.1"]),
    "n 0": (lambda: toysup.independent(0.1, 0), ValueError, ["n must", "at least 1", "0"]),
    "n 2.5": (lambda: toysup.independent(0.1, 2.5), TypeError, ["n must", "whole", "2.5"]),
    "correlated density": (lambda: toysup.correlated(2, 2, 0), ValueError, ["density", "(0, 1]", "0"]),
    "correlated shape": (lambda: toysup.correlated(2, 2, [0.1] * 3), ValueError, ["density", "(3,)", "sets=2"]),
    "correlated sets": (lambda: toysup.correlated(0, 2, 0.1), ValueError, ["sets", "at least 1", "0"]),
    "correlated size": (lambda: toysup.correlated(2, "2", 0.1), TypeError, ["size", "whole", "'2'"]),
    "anticorrelated density": (lambda: toysup.anticorrelated(2, 2, 1.5), ValueError, ["density", "(0, 1]", "1.5"]),
    "anticorrelated size": (lambda: toysup.anticorrelated(2, -1, 0.1), ValueError, ["size", "at least 1", "-1"]),
    "batch 0": (lambda: toysup.sample(FIVE, 0, key=KEY), ValueError, ["batch", "at least 1", "0"]),
    "sample key": (lambda: toysup.sample(FIVE, 10, key=None), TypeError, ["key", "jax.random.key(0)", "None"]),
    "sample features": (lambda: toysup.sample(0.1, 10, key=KEY), TypeError, ["features", "independent", "0.1"]),
    "features None": (lambda: train(features=None), TypeError, ["features", "independent", "None"]),
    "features number": (lambda: loss(features=0.1), TypeError, ["features", "independent", "0.1"]),
    "m 0": (lambda: train(m=0), ValueError, ["m must", "at least 1", "0"]),
    "m -3": (lambda: train(m=-3), ValueError, ["m must", "at least 1", "-3"]),
    "m text": (lambda: train(m="2"), TypeError, ["m must", "whole", "'2'"]),
    "m None": (lambda: train(m=None), TypeError, ["m must", "whole", "None"]),
    "m True": (lambda: train(m=True), ValueError, ["m must", "whole", "True"]),
    "importance -1": (
        lambda: train(importance=[1, 1, -1, 1, 1]),
        ValueError,
        ["importance", "negative", "-1 for feature 2"],
    ),
    "importance 0": (lambda: train(importance=np.zeros(5)), ValueError, ["importance", "0"]),
    "importance of one model 0": (
        lambda: train(importance=[[1.0] * 5, [0.0] * 5]),
        ValueError,
        ["importance", "0", "model (1,)"],
    ),
    "importance NaN": (lambda: train(importance=NAN), ValueError, ["importance", "finite", "nan"]),
    "importance shape": (lambda: train(importance=np.ones(4)), ValueError, ["importance", "(4,)", "5"]),
    "importance empty": (lambda: train(importance=[]), ValueError, ["importance", "empty"]),
    "importance tiny": (lambda: train(importance=1e-40), ValueError, ["importance", "1e-09", "1e-40"]),
    "importance huge": (lambda: loss(importance=1e20), ValueError, ["importance", "1e+09", "1e+20"]),
    "importance text": (lambda: train(importance="high"), TypeError, ["importance", "number", "'high'"]),
    "importance None": (lambda: train(importance=None), TypeError, ["importance", "number", "None"]),
    "importance axes": (
        lambda: train(features=TWO_MODELS, importance=np.ones((3, 5))),
        ValueError,
        ["density and importance", "(2,)", "(3,)"],
    ),
    "readout unknown": (lambda: train(readout="selu"), ValueError, ["readout", "'selu'", "'relu'", "'gelu'"]),
    "readout None": (lambda: loss(readout=None), ValueError, ["readout", "None", "'relu'"]),
    "readout list": (lambda: train(readout=["relu"]), ValueError, ["readout", "['relu']", "'relu'"]),
    "key number": (lambda: train(key=0), TypeError, ["key", "jax.random.key(0)", "0"]),
    "key None": (lambda: train(key=None), TypeError, ["key", "jax.random.key(0)", "None"]),
    "several keys": (lambda: train(key=KEYS), TypeError, ["key", "one"]),
    "restarts 0": (lambda: train(restarts=0), ValueError, ["restarts", "at least 1", "0"]),
    "restarts 1.5": (lambda: train(restarts=1.5), TypeError, ["restarts", "whole", "1.5"]),
    "steps 0": (lambda: train(steps=0), ValueError, ["steps", "at least 1", "0"]),
    "batch text": (lambda: train(batch="many"), TypeError, ["batch", "whole", "'many'"]),
    "polish -1": (lambda: train(polish=-1), ValueError, ["polish", "at least 0", "-1"]),
    "polish sampled": (lambda: train(polish=5, objective="sampled"), ValueError, ["polish=5", "exact", "sampled"]),
    "learning rate 0": (lambda: train(learning_rate=0), ValueError, ["learning_rate", "above 0", "0"]),
    "learning rates": (lambda: train(learning_rate=[0.1, 0.2]), ValueError, ["learning_rate", "one number", "0.1"]),
    "learning rate 11": (lambda: train(learning_rate=11), ValueError, ["learning_rate", "at most 10", "11"]),
    "learning rate NaN": (lambda: train(learning_rate=NAN), ValueError, ["learning_rate", "finite", "nan"]),
    "objective unknown": (lambda: train(objective="best"), ValueError, ["objective", "'best'", "'auto'"]),
    "objective out of reach": (
        lambda: train(features=TWENTY, objective="exact"),
        ValueError,
        ["objective='exact'", "20 features", "'sampled'"],
    ),
    "memory, many features": (
        lambda: train(features=MANY, m=10**5),
        MemoryError,
        ["100000 features", "GiB", "fewer"],
    ),
    "memory, many restarts": (lambda: train(restarts=10**12), MemoryError, ["restarts", "GiB", "fewer"]),
    "memory, densities": (lambda: toysup.independent(0.1, 10**13), MemoryError, ["n = 10000000000000", "GiB", "fewer"]),
    "memory, inputs": (lambda: toysup.sample(FIVE, 10**13, key=KEY), MemoryError, ["10000000000000 inputs", "GiB"]),
    "W shape": (lambda: loss(W=np.ones((2, 4))), ValueError, ["W has shape (2, 4)", "n = 5"]),
    "W vector": (lambda: loss(W=np.ones(5)), ValueError, ["W has shape (5,)", "(..., m, n)"]),
    "W NaN": (lambda: loss(W=np.full((2, 5), NAN)), ValueError, ["W", "finite", "nan"]),
    "W huge": (lambda: loss(W=np.full((2, 5), 1e30)), ValueError, ["W must", "1e+06", "1e+30"]),
    "W None": (lambda: loss(W=None), TypeError, ["W", "number", "None"]),
    "W without rows": (lambda: loss(W=np.ones((0, 5))), ValueError, ["W", "empty"]),
    "b shape": (lambda: loss(b=np.zeros(4)), ValueError, ["b has shape (4,)", "n = 5"]),
    "b number": (lambda: loss(b=0.0), ValueError, ["b has shape ()", "n = 5"]),
    "b inf": (lambda: loss(b=np.full(5, np.inf)), ValueError, ["b must be finite", "inf for feature 0"]),
    "W and b": (
        lambda: loss(W=np.ones((3, 2, 5)), b=np.zeros((2, 5))),
        ValueError,
        ["batch axes of W and b", "(3,)", "(2,)"],
    ),
    "W and features": (
        lambda: loss(W=np.ones((3, 2, 5)), features=TWO_MODELS),
        ValueError,
        ["batch axes", "(3,)", "(2,)"],
    ),
    "x text": (lambda: toysup.forward(W, b, "x"), TypeError, ["x must", "number"]),
    "x NaN": (lambda: toysup.forward(W, b, np.full((1, 5), NAN)), ValueError, ["x must be finite", "nan"]),
    "x vector": (lambda: toysup.forward(W, b, np.ones(5)), ValueError, ["x has shape (5,)", "(..., batch, n)"]),
    "x number": (lambda: toysup.forward(W, b, 1.0), ValueError, ["x has shape ()", "(..., batch, n)"]),
    "x and W": (lambda: toysup.forward(W, b, np.ones((3, 4))), ValueError, ["W has shape (2, 5)", "4"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_error_names_argument_value_and_what_is_allowed(case, compilations):
    call, kind, words = CASES[case]
    with compilations() as compiled, pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert len(message) < 260
    assert compiled == []


def test_good_input_does_compile(compilations):
    """The control of the test above: the counter sees what is compiled."""
    with compilations() as compiled:
        loss(W=np.ones((3, 5)), features=toysup.independent(0.2, 5))
    assert compiled


def test_keys_of_both_styles_are_good():
    raw = jax.random.PRNGKey(0)
    assert check.key(raw) is raw
    assert check.key(KEY) is KEY


numbers = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1.0, 1e-300, 1e-40, 1e-8, -1e-8, 1 + 1e-12, 1e300, NAN]),
)
anything = st.one_of(
    numbers,
    st.lists(numbers, max_size=4),
    st.none(),
    st.text(max_size=3),
    st.booleans(),
    st.integers(-3, 3),
    st.lists(st.lists(numbers, min_size=1, max_size=3), max_size=3),
)
REFUSED = (TypeError, ValueError, MemoryError)


def finite_or_refused(call):
    """The result is finite, or the input was refused."""
    try:
        result = call()
    except REFUSED:
        return
    for leaf in jax.tree.leaves(result):
        assert np.isfinite(np.asarray(leaf)).all(), result


@given(anything)
def test_no_density_gives_nan(density):
    finite_or_refused(lambda: toysup.independent(density, 3).density)
    finite_or_refused(lambda: toysup.anticorrelated(1, 3, density).density)
    finite_or_refused(lambda: toysup.expected_loss(W[:, :3], b[:3], toysup.independent(density, 3)))
    finite_or_refused(lambda: toysup.sample(toysup.independent(density, 3), 4, key=KEY))


@given(anything, anything, anything)
def test_no_parameters_or_importance_give_nan(W, b, importance):
    features = toysup.independent(0.3, 2)
    finite_or_refused(lambda: toysup.expected_loss(W, b, features, importance=importance))


@given(anything)
def test_no_importance_gives_nan_in_training(importance):
    finite_or_refused(
        lambda: train(toysup.independent(0.3, 2), 1, importance=importance, restarts=1, steps=2, polish=2)
    )


@given(anything)
def test_no_density_gives_nan_in_training(density):
    try:
        features = toysup.independent(density, 2)
    except REFUSED:
        return
    finite_or_refused(lambda: train(features, 1, restarts=2, steps=5, polish=5))


def test_checking_an_array_copies_nothing():
    x = jnp.arange(6.0).reshape(2, 3)
    assert check.checked("x", x) is x
    host = np.arange(6)
    assert np.shares_memory(check.checked("x", host), host)
    assert check.numbers("x", x).dtype == np.float64
