"""Training: how good it gets, what it does not depend on, and that a slider never compiles."""

import dataclasses

import jax
import numpy as np
import pytest

import toysup
from toysup.loss import objective_of
from toysup.model import initial
from toysup.restarts import TIE

KEY = jax.random.key(0)
DENSITIES = np.array([0.05, 0.1, 0.2])


def short(p=0.1, n=5, m=2, key=KEY, **more):
    """A short training run: enough to compare numbers, not to reach an optimum."""
    return toysup.train(toysup.independent(p, n), m, key=key, **{"restarts": 3, "steps": 40, "polish": 5} | more)


def same(a, b, tolerance=1e-5):
    return np.allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.fixture(scope="module")
def eight():
    """Eight restarts of five features in two dimensions at three densities."""
    return toysup.train(toysup.independent(DENSITIES[:, None], 5), 2, key=KEY)


# -------------------------------------------------------------------------------------------- quality


def test_the_best_of_eight_restarts_is_the_best_known(eight):
    """Within 1e-4 of the lowest loss of 64 other restarts with four times the steps, evaluated on fine lines."""
    features = toysup.independent(DENSITIES[:, None], 5)
    many = toysup.train(features, 2, restarts=64, steps=600, polish=400, key=jax.random.key(99))
    known, got = np.asarray(many.loss.min(-1)), np.asarray(eight.best().loss)
    print("\nbest known:", known, "excess of the best of 8:", got / known - 1)
    assert (got <= known * (1 + 1e-4)).all()
    assert same(toysup.expected_loss(eight.W, eight.b, toysup.independent(DENSITIES[:, None, None], 5)), eight.loss)


def test_one_restart_is_not_enough():
    """The control: single starts end in other valleys too, so that the test above can fail."""
    one = toysup.train(toysup.independent(0.05, 5), 2, restarts=16, key=KEY)
    assert float(one.loss.max()) > 1.01 * float(one.loss.min())


def test_training_beats_the_untrained_and_the_linear_model(eight):
    W, b = initial(8, 2, 5, key=KEY)
    features = toysup.independent(DENSITIES[:, None, None], 5)
    assert (eight.loss < 0.7 * toysup.expected_loss(W, b, features)).all()
    linear = toysup.train(toysup.independent(DENSITIES[:, None], 5), 2, readout="linear", restarts=2, key=KEY)
    assert (eight.best().loss < 0.75 * linear.best().loss).all()


@pytest.mark.parametrize("readout", ["abs", "gelu", "linear"])
def test_other_readouts_train_too(readout):
    fit = toysup.train(toysup.independent(0.1, 3), 2, readout=readout, restarts=4, key=KEY)
    start = toysup.expected_loss(*initial(4, 2, 3, key=KEY), toysup.independent(0.1, 3), readout=readout)
    assert fit.objective == "exact"
    assert float(fit.best().loss) < 0.7 * float(start.min())


# ---------------------------------------------------------------------------------- the shape of a Fit


def test_axes_of_density_and_importance_become_axes_of_models():
    importance = np.stack([np.ones(4), 0.5 ** np.arange(4)])
    fit = short(np.array([[[0.1]], [[0.3]], [[0.9]]]), n=4, m=3, importance=importance, restarts=2)
    assert fit.W.shape == (3, 2, 2, 3, 4)
    assert fit.b.shape == (3, 2, 2, 4)
    assert fit.loss.shape == fit.error.shape == (3, 2, 2)
    assert fit.reached.shape == (3, 2)
    assert fit.features.density.shape == (3, 2, 4)
    assert np.allclose(fit.features.density[1], 0.3)
    assert np.allclose(fit.importance[2], importance)
    best = fit.best()
    assert (best.W.shape, best.b.shape, best.loss.shape) == ((3, 2, 3, 4), (3, 2, 4), (3, 2))
    assert short(restarts=1).W.shape == (1, 2, 5)


def test_best_is_the_restart_of_the_lowest_loss(eight):
    best = eight.best()
    equal = np.asarray(eight.loss) <= np.asarray(eight.loss).min(-1, keepdims=True) * (1 + TIE)  # up to rounding
    for k, r in enumerate(equal.argmax(-1)):  # the first of equals
        assert float(best.loss[k]) == float(eight.loss[k, r])
        assert (best.W[k] == eight.W[k, r]).all()
        assert (best.b[k] == eight.b[k, r]).all()
    again = best.best()
    assert again is best
    shuffled = dataclasses.replace(eight, loss=eight.loss.at[0, 5].set(-1.0))
    assert (shuffled.best().W[0] == eight.W[0, 5]).all()


def test_reached_counts_the_restarts_near_the_best_loss(eight):
    near = (eight.loss <= eight.loss.min(-1, keepdims=True) * 1.001 + 1e-9).sum(-1)
    assert (eight.reached == near).all()
    assert (np.asarray(eight.reached) >= 1).all()
    assert (np.asarray(eight.reached) < 8).any()


def test_a_fit_is_a_pytree(eight):
    doubled = jax.tree.map(lambda a: 2 * a, eight)
    assert isinstance(doubled, toysup.Fit)
    assert (doubled.loss == 2 * eight.loss).all()


# ------------------------------------------------------------------------- what numbers do not depend on


def test_a_model_is_the_same_alone_and_in_a_batch():
    p = np.array([[0.05], [0.1], [0.2], [0.4], [0.8]])
    importance = np.array([[1.0], [0.9], [0.8], [0.7], [0.6]]) ** np.arange(5)
    together = short(p, importance=importance)
    for k in (0, 2, 4):
        alone = short(p[k], importance=importance[k])
        assert same(alone.loss, together.loss[k])
        assert same(alone.W, together.W[k])


def test_a_sampled_model_is_the_same_alone_and_in_a_batch():
    p = np.array([[0.1], [0.3], [0.9]])
    together = short(p, objective="sampled", polish=0, batch=64)
    assert same(short(p[1], objective="sampled", polish=0, batch=64).W, together.W[1])


def test_a_restart_does_not_depend_on_the_number_of_restarts():
    few, many = short(), short(restarts=7)
    assert same(few.W, many.W[:3])
    assert same(few.loss, many.loss[:3])
    assert not same(many.W[0], many.W[1], 0.1)


def test_another_key_is_another_start():
    assert not same(short().W, short(key=jax.random.key(1)).W, 0.1)
    assert same(short().W, short(key=jax.random.PRNGKey(0)).W)


def test_initial_sizes_do_not_depend_on_how_many_models_are_batched():
    """The initial standard deviation is (2m)^-1/2 for one model and for 200, and the very same numbers."""
    n, m = 200, 20
    one, b = initial(1, m, n, key=KEY)
    many, _ = initial(200, m, n, key=KEY)
    assert same(one[0], many[0])
    assert not np.asarray(b).any()
    for std in (float(one.std()), float(many[150].std()), float(many.std())):
        assert std == pytest.approx((2 * m) ** -0.5, rel=0.03)
    batch = short(np.full((9, 1), 0.1), steps=1, polish=0, learning_rate=1e-12)
    start, _ = initial(3, 2, 5, key=jax.random.split(KEY)[0])
    assert same(batch.W, np.broadcast_to(start, (9, 3, 2, 5)))


# ------------------------------------------------------------------------------------- compiling once


@pytest.mark.parametrize("objective", ["exact", "sampled"])
def test_nothing_compiles_while_sliders_move(objective, compilations):
    def move(p, decay, rate, n=5, seed=0):
        importance = decay ** np.arange(n)
        features = toysup.independent(p, n)
        fit = toysup.train(
            features, 2, importance=importance, learning_rate=rate, objective=objective, restarts=2, steps=6,
            polish=0, batch=32, key=jax.random.key(seed),
        )  # fmt: skip
        best = fit.best()
        return float(toysup.expected_loss(best.W, best.b, features, importance=importance))

    with compilations() as first:
        start = move(0.1, 1.0, 0.1)
    assert first  # the counter sees what is compiled
    with compilations() as compiled:
        moved = [move(0.3, 1.0, 0.1), move(0.1, 0.5, 0.1), move(0.1, 1.0, 0.01), move(0.1, 1.0, 0.1, seed=1)]
        back = move(0.1, 1.0, 0.1)
    assert compiled == []
    assert all(m != start for m in moved)
    assert back == start
    with compilations() as compiled:
        move(0.1, 1.0, 0.1, n=4)  # the control: another shape is another program
    assert compiled


# ----------------------------------------------------------------------------------------- objectives


def test_auto_is_exact_where_lines_fit_and_says_so():
    for n in range(1, 7):
        for make in (toysup.independent(0.1, n), toysup.correlated(1, n, 0.1), toysup.anticorrelated(n, 1, 0.1)):
            assert objective_of(make, "relu") == "lines"
    fit = short()
    assert fit.objective == "exact"
    assert (np.asarray(fit.error) == 0).all()


def test_auto_samples_where_lines_do_not_fit_and_says_so():
    fit = short(n=20, m=5, polish=None, batch=64, restarts=2)
    assert fit.objective == "sampled"
    assert (np.asarray(fit.error) > 0).all()
    assert (np.asarray(fit.error) < 0.05 * np.asarray(fit.loss)).all()


def test_the_linear_readout_is_exact_for_many_features():
    fit = short(n=40, m=3, readout="linear", polish=None, restarts=2)
    assert fit.objective == "exact"
    assert (np.asarray(fit.error) == 0).all()


def test_the_loss_of_sampled_training_is_within_its_error_of_the_exact_one():
    fit = short(p := np.array([[0.1], [0.3], [0.9]]), objective="sampled", polish=0, batch=64)
    exact = toysup.expected_loss(fit.W, fit.b, toysup.independent(p[:, None], 5))
    assert fit.objective == "sampled"
    assert (np.abs(fit.loss - exact) < 4.5 * fit.error).all()


def test_polish_lowers_the_loss_and_is_refused_with_samples():
    rough, fine = short(polish=0), short(polish=60)
    assert (fine.loss <= rough.loss * (1 + 1e-6)).all()
    assert float(fine.loss.min()) < 0.999 * float(rough.loss.min())
    with pytest.raises(ValueError, match="polish=5 needs an exact objective"):
        short(objective="sampled", polish=5)


@pytest.mark.parametrize("features", [toysup.correlated(2, 2, 0.1), toysup.anticorrelated(2, 2, 0.1)])
def test_sets_of_features_train(features):
    fit = toysup.train(features, 2, key=KEY)
    within = [np.corrcoef(np.asarray(fit.best().W)[:, i : i + 2].T) for i in (0, 2)]
    assert np.isfinite(within).all()
    assert fit.objective == "exact"
    assert float(fit.best().loss) < 0.25 * float((features.density / 3).sum())


def test_float64_gives_the_same_losses_with_more_digits():
    single = toysup.train(toysup.independent(0.05, 5), 2, restarts=4, key=KEY).best()
    with jax.enable_x64(True):
        double = toysup.train(toysup.independent(0.05, 5), 2, restarts=4, key=KEY).best()
        assert double.W.dtype == double.loss.dtype == np.float64
        exact = float(toysup.expected_loss(double.W, double.b, toysup.independent(0.05, 5)))
    assert single.W.dtype == np.float32
    assert float(single.loss) == pytest.approx(exact, rel=1e-5)
    assert float(double.loss) == pytest.approx(exact, rel=1e-12)
