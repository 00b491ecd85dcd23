"""Attacks on models in superposition: the worst case, normalisations, the moving target, adversarial training.

Source: Elhage et al. 2022, "The Relationship Between Superposition and Adversarial Robustness". `pytest -s` prints
the numbers.
"""

from functools import lru_cache

import jax
import numpy as np
from helpers import ROOT, confirm

import toysup
from tools import data_robustness as made
from toysup import theory
from toysup.attacks import attack, dedicated, local_harm

KEY = jax.random.key(0)
SEEDS = 3
AT = (0, 2, 5, 8)  # places of the densities 1, 0.49, 0.17 and 0.06
RANDOM, FEATURE, WORST, _, MOVING = range(5)


@lru_cache(maxsize=1)
def pentagon():
    features = toysup.independent(0.05, n=5)
    fit = toysup.train(features, 2, restarts=16, key=jax.random.key(1)).best()
    x = np.asarray(toysup.sample(features, 2048, key=jax.random.key(2)))
    return fit.W, fit.b, x, float(np.linalg.norm(x, axis=-1).mean())


@lru_cache(maxsize=1)
def crowd():
    found = made.crowd(made.DENSITIES[list(AT)], seeds=SEEDS)
    return {name: np.asarray(a, np.float64) for name, a in found.items()}


@lru_cache(maxsize=4)
def trained(kind: str):
    return made.trained(kind, "fixed", np.array([0.4, 0.8]), seeds=SEEDS)


def test_the_feature_attack_is_nearly_the_worst():
    W, b, x, norm = pentagon()
    harm = {
        kind: float(attack(W, b, x, 0.1 * norm, kind=kind, key=KEY).harm) for kind in ("random", "feature", "exact")
    }
    confirm("12-feature-attack", harm["feature"] / harm["exact"], harm["random"] / harm["exact"])


def test_the_factor_depends_on_the_budget():
    W, b, x, norm = pentagon()
    budget = norm * np.array([0.01, 0.1, 1.0])
    factor = np.asarray(attack(W, b, x, budget, kind="exact").harm) / budget**2
    assert factor[0] > 50
    assert 7 < factor[1] < 9
    assert 1.1 < factor[2] < 2
    axes = attack(*dedicated(0.05, 5, 2), x, budget, kind="exact").harm / budget**2
    assert np.allclose(axes, 1, rtol=0.01)


def test_most_of_the_harm_is_the_linear_term():
    W, b, x, norm = pentagon()
    first, second = (float(np.mean(term)) for term in local_harm(W, b, x, 0.1 * norm))
    harm = float(attack(W, b, x, 0.1 * norm, kind="exact").harm)
    assert 0.85 < first / harm < 0.97
    assert 0.95 < (first + second) / harm < 1.1
    axes = local_harm(*dedicated(0.05, 5, 2), x, 0.1 * norm)[0]
    assert float(np.mean(axes)) < 0.01 * first  # a dedicated model has no error to enlarge


def test_vulnerability_under_several_normalisations():
    found = crowd()
    middle = lambda a: np.median(a, -1)
    times = middle(found["own"][WORST]) / found["dedicated_own"][WORST]
    confirm("12-above-three", times[-1], times[0])
    raw, same = (middle(found[name][WORST]) / middle(found[name][WORST])[0] for name in ("own", "same"))
    assert abs(raw[1:].max() - 2.29) < 0.25  # each model on its own inputs, which get shorter
    assert abs(same[1:].max() - 5.9) < 0.7  # one budget at all densities
    per = (found["W"] ** 2).sum((-1, -2)) / made.M
    linked = [
        np.corrcoef(per.ravel(), (found["own"][k] / found["budget"][:, None] ** 2).ravel())[0, 1]
        for k in (WORST, RANDOM)
    ]
    confirm("12-features-per-dimension", *linked)


def test_a_moving_target_takes_the_difference_away():
    found = crowd()
    times = lambda k: float(np.median(found["own"][k][-1]) / found["dedicated_own"][k][-1])
    confirm("12-moving-target", times(MOVING), times(WORST))


def test_with_a_moving_target_and_a_large_budget_the_difference_is_there():
    found, last = crowd(), slice(-1, None)
    harm = made.wider(found["W"][last], found["b"][last], made.DENSITIES[list(AT)][last], shares=np.array([1.0, 4.0]))
    times = np.median(harm["wider"], -1) / harm["dedicated_wider"]  # (targets, budgets, 1)
    assert times[0].min() > 5
    assert abs(times[1, 0, 0] - 2.0) < 0.3
    assert abs(times[1, 1, 0] - 5.4) < 0.7
    first = slice(0, 1)
    dense = made.wider(found["W"][first], found["b"][first], made.DENSITIES[:1], shares=np.array([4.0]))
    assert abs(np.median(dense["wider"][1]) / dense["dedicated_wider"][1, 0, 0] - 1) < 0.15


def test_a_step_along_the_slope_goes_uphill():
    W, b, x, _ = pentagon()
    gram = W.T @ W
    on = (x @ gram + b) > 0
    slope = ((x @ gram + b - x) * on) @ gram  # W'W D (x' - x)
    error = lambda d: np.mean(np.sum((x - np.maximum((x + d) @ gram + b, 0)) ** 2, -1))
    step = 1e-3 * slope / np.maximum(np.linalg.norm(slope, axis=-1, keepdims=True), 1e-9)
    assert error(step) > error(0) > error(-step)


def test_training_under_attack():
    (size, kept, clean, _), (noise, _, noisy, _) = (np.median(trained(kind), -1) for kind in ("drawn", "random"))
    confirm("12-adversarial-training", size[0], noise[0])
    axes = 15 * float(theory.variance(0.1))
    confirm("12-eighty-percent", clean[1] / axes, noisy[1] / axes)
    assert size[1] < 1 < made.M < kept[1]  # more features than dimensions, though |W|²/m is below 1


def test_the_data_are_what_a_remade_piece_gives():
    assert made.FILE == ROOT / "data" / "robustness.npz"
    data, found = np.load(made.FILE), crowd()
    assert np.allclose(data["density"], made.DENSITIES)
    places = list(AT)
    assert np.allclose(found["budget"], data["budget"][places], rtol=1e-3)
    assert np.allclose(found["loss"], data["loss"][places, :SEEDS], rtol=0.05)
    for name in ("own", "same"):
        again, kept = np.median(found[name], -1), np.median(data[name][:, places, :SEEDS], -1)
        assert np.allclose(again[1:], kept[1:], rtol=0.15, atol=1e-3)
    assert np.allclose(trained("drawn"), data["trained_drawn_fixed"][:, [2, 4], :SEEDS], rtol=0.2, atol=2)
