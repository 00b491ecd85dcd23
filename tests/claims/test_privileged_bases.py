"""Privileged bases, claim by claim: each with its control, its starts and its limit. `pytest -s` prints the numbers.

Sources: Elhage et al. 2022, "Privileged vs Non-privileged Bases" and "Superposition in a Privileged Basis"; Elhage et
al. 2023, "Privileged Bases in the Transformer Residual Stream".
"""

import jax
import numpy as np
import pytest
from helpers import confirm

import toysup
from toysup import basis, hidden

STARTS = 24
KEYS = [0, 11]


def starts(n, m, p, seed, **more):
    """24 models of n features in m hidden units at density p, trained on drawn inputs."""
    more = {"activation": "linear", "restarts": STARTS, "key": jax.random.key(seed)} | more
    return hidden.train_hidden(toysup.independent(p, n=n), m, **more)


def error_of_mean(values):
    """The mean over the starts and its standard error."""
    each = np.asarray(values, np.float64).reshape(len(values), -1).mean(1)
    return each.mean(), each.std(ddof=1) / len(each) ** 0.5


def turned(W, seed=5):
    """Each W turned at random."""
    return np.asarray(basis.random_rotation(W.shape[1], len(W), key=jax.random.key(seed))) @ np.asarray(W)


@pytest.fixture(scope="module", params=KEYS)
def six(request):
    """Six features for six hidden units at density 0.5, with and without a ReLU among them."""
    return {name: starts(6, 6, 0.5, request.param, activation=name) for name in ("linear", "relu")}


def test_turning_the_hidden_space_costs_nothing_without_a_non_linearity(six):
    """The exact loss of a turned linear model is that of the model; the ReLU model loses by every turn."""
    inputs, added = toysup.independent(0.5, n=6), {}
    before = toysup.expected_loss(six["linear"].W, six["linear"].b, inputs)
    after = toysup.expected_loss(turned(six["linear"].W), six["linear"].b, inputs)
    assert np.abs(after - before).max() < 1e-6
    for name, fit in six.items():
        loss = hidden.hidden_loss(turned(fit.W), fit.b, inputs, activation=name)[0]
        added[name] = np.asarray(loss - fit.loss)
    good = np.asarray(six["relu"].loss) < 1e-3
    assert good.sum() >= 6  # 10 to 18 of 24 for four keys
    assert added["relu"][good].min() > 0.05
    assert np.abs(added["linear"]).max() < 1e-5
    confirm("02-turning-is-free", added["linear"].mean(), added["relu"][good].mean())


def test_control_exchanging_neurons_is_free_in_both_models(six):
    for name, fit in six.items():
        loss = hidden.hidden_loss(fit.W[:, ::-1], fit.b, toysup.independent(0.5, n=6), activation=name)[0]
        assert np.allclose(loss, fit.loss, atol=1e-5)


def test_a_non_linearity_lines_features_up_with_neurons(six):
    (relu, e), (linear, _) = (error_of_mean(basis.alignment(six[name].W)) for name in ("relu", "linear"))
    chance = error_of_mean(basis.alignment(turned(six["relu"].W)))[0]
    pure = np.asarray(basis.monosemantic(six["relu"].W).sum(-1))
    print(
        f"\nalignment: relu {relu:.3f} ± {e:.3f}, turned {chance:.3f}, linear {linear:.3f};"
        f" all six pure: {(pure == 6).sum()}"
    )
    assert (pure == 6).sum() >= 5  # 9 to 18 of 24 for four keys; turned at random, none
    assert (np.asarray(basis.monosemantic(turned(six["relu"].W))).sum(-1) == 6).sum() == 0
    assert (np.asarray(basis.monosemantic(six["linear"].W, "linear")).sum(-1) <= 1).all()
    assert chance < 0.6
    confirm("02-relu-aligns", relu, linear)


def test_the_limit_rare_features_do_not_line_up_though_it_would_cost_nothing():
    rare = starts(6, 6, 0.1, 0, activation="relu")
    pure = np.asarray(basis.monosemantic(rare.W).sum(-1))
    clean, _ = hidden.hidden_loss(np.eye(6), np.zeros(6), toysup.independent(0.1, n=6))
    print(
        f"\ndensity 0.1: {pure.mean():.2f} of 6 monosemantic, median loss {np.median(rare.loss):.5f}, clean {clean:.5f}"
    )
    assert (pure == 6).sum() <= 1
    assert clean < 1e-9 < rare.loss.min()
    assert np.median(rare.loss) < 0.05 * 6 * toysup.independent(0.1, n=1).density[0] / 3
    dense = starts(6, 6, 0.5, 0, activation="relu")
    confirm("02-accidental", pure.mean(), np.asarray(basis.monosemantic(dense.W).sum(-1)).mean())


@pytest.fixture(scope="module")
def penalised():
    """The linear model under plain gradient descent with no penalty, L2, weight decay and L1."""
    penalties = {"none": ("l1", 0.0), "l2": ("l2", 0.03), "decay": ("decay", 0.003), "l1": ("l1", 0.03)}
    return {k: starts(6, 6, 0.1, 0, rule="sgd", norm=n, penalty=s).W for k, (n, s) in penalties.items()}


def test_an_l1_penalty_aligns_and_an_l2_penalty_does_not(penalised):
    found = {name: error_of_mean(basis.alignment(W)) for name, W in penalised.items()}
    print("\nalignment:", {name: f"{mean:.3f} ± {e:.3f}" for name, (mean, e) in found.items()})
    chance = np.asarray(basis.alignment(basis.random_rotation(6, 20_000, key=jax.random.key(0)))).mean()
    for name in ("none", "l2", "decay"):
        assert abs(found[name][0] - chance) < 4 * found[name][1]
    assert error_of_mean(basis.alignment(turned(penalised["l1"])))[0] < 0.6
    confirm("02-l1-aligns", found["l1"][0], found["l2"][0])


def test_regularisation_as_such_does_not_align(penalised):
    """The published sentence names weight decay, which leaves alignment at chance."""
    confirm(
        "02-weight-decay",
        error_of_mean(basis.alignment(penalised["decay"]))[0],
        error_of_mean(basis.alignment(penalised["l1"]))[0],
    )


def test_descent_from_a_turned_start_is_the_turned_descent_and_adam_is_not():
    seed = 11
    start = np.asarray(jax.random.normal(jax.random.key(seed), (STARTS, 6, 6))) / 12**0.5
    R = np.asarray(basis.random_rotation(6, key=jax.random.key(seed + 1)))
    apart = {}
    for rule, norm, penalty in (("sgd", "l1", 0.0), ("sgd", "l2", 0.03), ("sgd", "l1", 0.03), ("adam", "l1", 0.0)):
        run = lambda W, rule=rule, norm=norm, penalty=penalty: np.asarray(
            starts(6, 6, 0.5, seed, rule=rule, norm=norm, penalty=penalty, start=W).W
        )
        one, other = R @ run(start), run(R @ start)
        apart[rule, norm, penalty] = np.linalg.norm(one - other, axis=(1, 2)) / np.linalg.norm(one, axis=(1, 2))
    print("\ndistance of the ends:", {k: f"{v.mean():.2g}" for k, v in apart.items()})
    for same in (apart["sgd", "l1", 0.0], apart["sgd", "l2", 0.03]):
        assert np.quantile(same, 0.9) < 1e-5
        assert same.max() < 1e-2  # a run that passes close to a saddle multiplies its rounding
    assert apart["sgd", "l1", 0.03].min() > 0.05
    assert apart["adam", "l1", 0.0].min() > 0.05


def test_adam_privileges_the_neurons_but_not_always_towards_them():
    """40 features in 20 dimensions: kurtosis above chance at a large rate, below it at small ones; SGD at chance."""
    kinds = {"sgd": ("sgd", 1.0), "low": ("adam", 0.01), "high": ("adam", 0.1)}
    W = {k: starts(40, 20, 0.03, 0, rule=r, learning_rate=q, batch=256).W for k, (r, q) in kinds.items()}
    found = {k: error_of_mean(basis.kurtosis(a, axis=-2)) for k, a in W.items()}
    chance = basis.random_kurtosis(20)
    print(f"\nkurtosis (chance {chance:.3f}):", {k: f"{mean:.3f} ± {e:.3f}" for k, (mean, e) in found.items()})
    assert abs(found["sgd"][0] - chance) < 4 * found["sgd"][1]
    assert found["low"][0] < chance - 8 * found["low"][1]
    assert found["high"][0] > chance + 8 * found["high"][1]
    for a in W.values():
        mean, e = error_of_mean(basis.kurtosis(turned(a), axis=-2))  # control: another basis
        assert abs(mean - chance) < 4 * e
    confirm("02-adam-privileges", found["high"][0], found["sgd"][0])
    confirm("02-adam-at-small-rates", found["low"][0], found["sgd"][0])


def test_more_steps_at_a_small_rate_drift_towards_the_neurons():
    """Adam at a rate of 0.01: the kurtosis, over that of random directions, after 30 and after 8,000 steps."""
    more = {"learning_rate": 0.01, "batch": 256}
    few, many = (error_of_mean(basis.kurtosis(starts(40, 20, 0.03, 0, steps=k, **more).W, axis=-2)) for k in (30, 8000))
    chance = basis.random_kurtosis(20)
    print(f"\nkurtosis after 30 steps {few[0]:.3f} ± {few[1]:.3f}, after 8,000 {many[0]:.3f} ± {many[1]:.3f}")
    assert many[0] < chance - 2 * many[1]
    confirm("02-adam-drifts", many[0] / chance, few[0] / chance)


def clean_after_the_best_turn(fit):
    """Monosemantic neurons of each model after the best turn that a climb finds."""
    turned = [basis.clearest_turn(W, tries=8, steps=100, key=jax.random.key(3)) for W in fit.W]
    return np.asarray(basis.monosemantic(np.array(turned), "linear")).sum(-1)


def test_superposition_makes_neurons_polysemantic_in_every_basis():
    """Twelve features in six dimensions and, as the control, six; each turned to where its neurons are purest."""
    crowded, roomy = (starts(n, 6, 0.05, 0) for n in (12, 6))
    assert (np.asarray(toysup.geometry.represented(crowded.W)).sum(-1) > 6).all()
    confirm(
        "02-superposition-implies",
        clean_after_the_best_turn(crowded).max(),
        clean_after_the_best_turn(roomy).mean(),
    )


def test_the_count_behind_it_holds_in_slanted_bases_too():
    """If each of m neurons answers to one feature at most, at most m columns are not 0, in any basis."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        W = np.zeros((6, 12))
        W[np.arange(6), rng.integers(12, size=6)] = rng.normal(size=6)
        kept = np.linalg.norm(rng.normal(size=(6, 6)) @ W, axis=0) > 1e-9
        assert kept.sum() == (np.linalg.norm(W, axis=0) > 0).sum() <= 6


def test_interference_alone_is_no_superposition():
    """Two arrows 53° apart: no turn makes both neurons clean, the basis of the two arrows does."""
    W = np.array([[1, 0.6], [0, 0.8]])
    every = np.asarray(basis.rotation(np.radians(np.arange(0, 360, 0.5)))) @ W
    assert np.asarray(basis.monosemantic(every, "linear")).sum(-1).max() == 1
    assert np.asarray(basis.monosemantic(np.linalg.inv(W) @ W, "linear")).all()


def test_polysemantic_neurons_need_no_superposition(six):
    """The linear model: features at right angles, no clean neuron; its transpose turns it to clean ones."""
    W = np.asarray(six["linear"].W, np.float64)
    gram = np.swapaxes(W, 1, 2) @ W
    assert np.abs(gram - np.eye(6)).max() < 0.01
    pure = np.asarray(basis.monosemantic(W, "linear")).sum(-1)
    back = np.asarray(basis.monosemantic(np.swapaxes(W, 1, 2) @ W, "linear")).sum(-1)
    confirm("02-not-the-reverse", pure.mean(), back.mean())
