"""Readouts: which of them make superposition pay, what a softmax needs for it, and the shapes it makes.

Source: Elhage et al. 2022, "Mathematical Understanding"; Bricken et al. 2023 and a comment on it. `pytest -s` prints
the numbers.
"""

from functools import lru_cache

import jax
import numpy as np
from helpers import ROOT, confirm

import toysup
from tools import data_readouts
from toysup import softmax, theory

KEY = jax.random.key(2)
N, M, P = 5, 3, 0.05


@lru_cache(maxsize=4)
def trained(readout: str):
    return toysup.train(toysup.independent(P, N), M, readout=readout, restarts=24, key=KEY)


def share(readout: str) -> float:
    """The loss of the best model over that of one that keeps m features and drops the others."""
    return float(trained(readout).best().loss / theory.linear_loss(P, np.ones(N), M))


@lru_cache(maxsize=1)
def knobs():
    """Softmax models at (confidence, density) = (10, 0.05), (0.5, 0.05), (10, 1): all features written, or m + 1."""
    features = toysup.independent(np.array([P, P, 1.0])[:, None], N)
    written = np.stack([np.ones(N), np.arange(N) <= M])[:, None].astype(float)
    return softmax.train_softmax(
        features, M, confidence=np.array([10.0, 0.5, 10.0]), most=N, written=written, restarts=24, key=KEY
    )


def test_a_readout_that_does_not_filter_gains_nothing():
    confirm("10-linear-floor", share("linear"), share("relu"))
    confirm("10-any-non-linearity", share("abs"), share("relu"))


def test_a_softmax_is_enough_with_both_knobs():
    loss = np.asarray(knobs().best().loss)
    gain = 1 - loss[0] / loss[1]
    confirm("10-softmax-is-enough", gain[0], gain[1])
    confirm("10-softmax-needs-sparsity", gain[0], gain[2])


def test_a_softmax_makes_other_shapes():
    wanted = softmax.shape_of(softmax.equal_simplices(N, M))
    found, pairs = softmax.shape_of(knobs().W[0, 0]), softmax.shape_of(trained("relu").W)
    confirm("10-own-geometry", np.mean(found == wanted), np.mean(pairs == wanted))
    assert np.mean(pairs == softmax.shape_of(softmax.digons_and_axes(N, M))) > 0.7


def test_more_features_than_dimensions_come_through():
    written = np.stack([np.ones(12), np.arange(12) < 3]).astype(float)
    best = softmax.train_softmax(toysup.independent(P, 12), 2, most=2, written=written, restarts=3, key=KEY).best()
    through = softmax.represented(best.W, best.b, 10.0).sum(-1)
    confirm("10-no-more-than-dimensions", *map(float, through))


def test_one_neuron_with_two_meanings():
    """Four exclusive classes, a neuron that fires on the first k; the output is the mean of the classes left."""

    def losses(k):
        classes = np.eye(4)
        guess = np.concatenate([np.repeat(part.mean(0)[None], len(part), 0) for part in (classes[:k], classes[k:])])
        return -np.log((guess * classes).sum(1)).mean(), ((guess - classes) ** 2).sum(1).mean()

    (cross, square), (cross_two, square_two) = losses(1), losses(2)
    confirm("10-one-neuron", cross - cross_two, square - square_two)


def test_wider_dictionaries_help_where_superposition_does_not():
    """Stored models, autoencoders made anew: width helps at confidence 0.5, not where six features are written."""
    data = np.load(ROOT / "data" / "readouts.npz")
    rebuilt = lambda name: data_readouts.dictionaries(data[f"wide W {name}"])[0].mean(1)
    unsure, six = rebuilt("unsure"), rebuilt("six")
    print("\nvariance rebuilt at 5, 10, 20, 40 latents:", unsure.round(3), "six written:", six.round(3))
    assert np.allclose(unsure, data["wide variance unsure"].mean(1), atol=0.02)
    confirm("10-wider-dictionaries", unsure[3] - unsure[1], six[3] - six[1])
