"""Training that is watched, plateaus, passings, jumps, and the linear model's closed form."""

import jax
import numpy as np
import pytest

import toysup
from toysup import dynamics, theory

KEY = jax.random.key(0)
FIVE = toysup.independent(0.1, 5)
STEPS = np.arange(0, 1000, 10)


def test_plain_descent_takes_the_steps_of_the_gradient():
    seen = dynamics.watch(toysup.independent(0.3, 3), 2, rate=0.2, steps=3, every=1, runs=2, key=KEY)
    assert seen.W.shape == (2, 4, 2, 3)
    assert seen.b.shape == (2, 4, 3)
    assert seen.loss.shape == (2, 4)
    loss = lambda p: toysup.expected_loss(*p, toysup.independent(0.3, 3))
    place = (seen.W[1, 0], seen.b[1, 0])
    for k in range(1, 4):
        move = jax.grad(lambda p: loss(p).sum())(place)
        place = tuple(a - 0.2 * d for a, d in zip(place, move, strict=True))
        assert np.allclose(seen.W[1, k], place[0], atol=2e-3)  # training uses fewer nodes than the loss
        assert seen.loss[1, k] == pytest.approx(float(loss(place)), rel=5e-3)


def test_runs_depend_on_the_key_alone_and_starts_have_the_spread_asked_for():
    more = dynamics.watch(FIVE, 2, steps=20, runs=6, spread=0.01, key=KEY)
    less = dynamics.watch(FIVE, 2, steps=20, runs=2, spread=0.01, key=KEY)
    assert np.allclose(more.W[:2], less.W, atol=1e-6)
    assert 0.005 < float(more.W[:, 0].std()) < 0.02
    again = dynamics.watch(FIVE, 2, steps=20, runs=6, start=(more.W[:, 0], more.b[:, 0]), key=KEY)
    assert np.allclose(again.W, more.W, atol=1e-6)


def test_drawn_inputs_and_adam_lower_the_loss_too():
    seen = dynamics.watch(FIVE, 2, rule="adam", rate=0.01, objective="sampled", steps=300, every=100, runs=4, key=KEY)
    assert seen.objective == "sampled"
    assert (seen.loss[:, -1] < 0.7 * seen.loss[:, 0]).all()


def test_plateaus_are_slow_and_followed_by_a_fall():
    loss = np.interp(STEPS, [0, 200, 500, 600, 990], [1.0, 0.5, 0.49, 0.1, 0.0999])
    (only,) = dynamics.plateaus(STEPS, loss)
    assert (only.start, only.end, only.length) == (200, 500, 300)
    assert 0.49 <= only.level <= 0.5
    assert only.start <= only.slowest < only.end
    assert dynamics.plateaus(STEPS, loss, least=400) == ()
    assert dynamics.plateaus(STEPS, np.exp(-STEPS / 300)) == ()  # an even fall has none


def test_passing_interpolates():
    values = np.array([[0, 1, 2, 3], [0, 0, 0, 0], [2, 2, 2, 2]])
    assert np.allclose(dynamics.passing([0, 10, 20, 30], values, 1.5), [15, np.nan, 0], equal_nan=True)


def made_up():
    """Three runs of two features: a swap, a bounce that is too short, nothing."""
    D = np.full((3, 100, 2), 0.05)
    D[0, :, 0] = np.interp(STEPS, [400, 500], [0.5, 0.0])
    D[0, :, 1] = np.interp(STEPS, [420, 520], [0.0, 0.5])
    D[1, 50:60, 0] = 0.5
    loss = np.tile(np.linspace(2, 1, 100), (3, 1))
    loss[0, 47:] -= 0.3
    return D, loss


def test_jumps_swaps_and_what_the_loss_does_meanwhile():
    D, loss = made_up()
    found = dynamics.jumps(STEPS, D, loss)
    assert [(jump.run, jump.feature, jump.up) for jump in found] == [(0, 0, False), (0, 1, True)]
    assert (found[0].start, found[0].end) == (420, 470)  # last above 0.35, first below 0.2
    assert dynamics.swaps(found) == ((found[0], found[1]),)
    elsewhere = dynamics.drop_elsewhere(found, STEPS, loss)
    assert np.allclose([jump.drop - e for jump, e in zip(found, elsewhere, strict=True)], 0.3)
    order = np.random.default_rng(0).permutation(100)
    assert dynamics.jumps(STEPS, D[:, order], loss) == ()


def test_movement_and_fall_go_together_where_one_makes_the_other():
    rng = np.random.default_rng(0)
    pace = np.cumsum(rng.exponential(size=(12, 80)), axis=1) / 100
    D, loss = np.stack([pace, 1 - pace], -1), 3 - pace
    found, others = dynamics.moves_with_loss(D, loss)
    assert found == pytest.approx(1.0)
    assert others.shape == (11,)
    assert abs(others.mean()) < 0.2


def test_closed_form_of_the_linear_model_against_its_differential_equation():
    V, W = theory.variance(np.array([0.4, 0.1])), np.array([[0.01, 0.004], [0.0, 0.003]])
    a, h, time = np.array([1e-4, 9e-6]), 0.01, [np.array([1e-4, 9e-6])]
    for _ in range(20_000):
        a = a + h * 8 * V * a * (1 - a) * (1 + h * 4 * V * (1 - 2 * a))  # second order
        time.append(a)
    known = dynamics.mode_strengths(W, V, h * np.arange(0, 20_001, 1000))
    assert np.allclose(known, np.array(time)[::1000], rtol=2e-3)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: dynamics.watch(FIVE, 2, rule="newton", key=KEY), "rule must be one of"),
        (lambda: dynamics.watch(FIVE, 2, steps=5, key=KEY), "must not exceed"),
        (lambda: dynamics.watch(toysup.independent([[0.1], [0.2]], 5), 2, key=KEY), "one distribution"),
        (lambda: dynamics.watch(FIVE, 2, importance=np.ones((2, 5)), key=KEY), "importance has shape"),
        (lambda: dynamics.watch(FIVE, 2, spread=0.0, key=KEY), "spread must be one number above 0"),
        (lambda: dynamics.watch(FIVE, 2, start=(np.zeros((2, 5)), np.zeros(5)), key=KEY), "start has shapes"),
        (
            lambda: dynamics.watch(FIVE, 2, spread=1, start=(np.zeros((24, 2, 5)), np.zeros((24, 5))), key=KEY),
            "not both",
        ),
        (lambda: dynamics.watch(FIVE, 2, readout="linear", rate=50.0, steps=400, runs=2, key=KEY), "too large"),
        (lambda: dynamics.plateaus([0, 1, 1], [1, 1, 1]), "steps must increase"),
        (lambda: dynamics.plateaus([0, 1, 2], [1, 0, 1]), "loss must be above 0"),
        (lambda: dynamics.passing([0, 1], np.zeros(3), 0.5), "values must be"),
        (lambda: dynamics.jumps(STEPS, np.zeros((2, 3, 4)), np.zeros((2, 3))), "do not fit together"),
        (lambda: dynamics.jumps(STEPS, *made_up(), low=0.4), "low must be below high"),
        (lambda: dynamics.drop_elsewhere((), STEPS, np.zeros((1, 100))), "two runs or more"),
        (lambda: dynamics.moves_with_loss(np.zeros((1, 50, 2)), np.zeros((1, 50))), "two runs"),
        (lambda: dynamics.mode_strengths(np.ones((2, 2)), [0.2, 0.1], [0.0]), "W small"),
        (lambda: dynamics.mode_strengths(np.ones((2, 2)) / 9, [0.1, 0.2], [0.0]), "falling"),
    ],
)
def test_bad_input_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
