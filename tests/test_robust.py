"""Adversarial training: budgets in one program, what zero budget gives, and bad input."""

import jax
import numpy as np
import pytest
from helpers import compilations

from toysup import independent, train
from toysup.robust import mean_norm, train_robust

KEY = jax.random.key(0)
SPARSE = independent(0.1, n=5)


def test_no_budget_is_ordinary_training():
    fit = train_robust(SPARSE, 2, 0.0, restarts=6, steps=400, key=KEY).best()
    known = float(train(SPARSE, 2, restarts=16, key=KEY).best().loss)
    assert fit.W.shape == (2, 5)
    assert np.isclose(fit.clean, fit.attacked)
    assert abs(float(fit.clean) / known - 1) < 0.15


def test_budgets_densities_and_rates_do_not_compile_anew():
    settings = {"restarts": 2, "steps": 40, "key": KEY}
    fit = train_robust(independent(np.array([[0.1], [0.2]]), n=5), 2, np.array([0.1, 0.3]), **settings)
    assert fit.W.shape == (2, 2, 2, 5)
    assert fit.b.shape == (2, 2, 5)
    assert (fit.attacked >= fit.clean).all()
    with compilations() as compiled:
        train_robust(
            independent(np.array([[0.3], [0.4]]), n=5), 2, np.array([0.5, 0.0]), learning_rate=0.02, **settings
        )
    assert not compiled


def test_a_restart_depends_on_itself_alone():
    few, many = (train_robust(SPARSE, 2, 0.2, kind="random", restarts=k, steps=10, batch=16, key=KEY) for k in (1, 2))
    assert np.allclose(few.W, many.W[:1], atol=1e-4)


@pytest.mark.parametrize(("kind", "target"), [("ascent", "moving"), ("exact", "fixed")])
def test_all_kinds_train(kind, target):
    fit = train_robust(SPARSE, 2, 0.1, kind=kind, target=target, restarts=2, steps=60, batch=32, key=KEY)
    assert np.isfinite(fit.W).all()
    assert float(fit.best().attacked) < 5 * (0.1 / 3)  # better than answering 0


def test_the_mean_norm():
    assert np.isclose(mean_norm(independent(1.0, n=1), key=KEY), 0.5, rtol=0.02)
    assert np.isclose(mean_norm(independent(np.array([0.1, 0.2])[:, None], n=1), key=KEY), [0.05, 0.1], rtol=0.1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": -1.0}, "budget must not be negative"),
        ({"kind": "best"}, "kind must be one of"),
        ({"target": "still"}, "target must be one of"),
        ({"kind": "exact", "m": 3}, "m = 2 hidden dimensions"),
        ({"kind": "exact", "target": "moving"}, "needs target='fixed'"),
        ({"restarts": 0}, "restarts must"),
        ({"learning_rate": 0.0}, "learning_rate must"),
    ],
)
def test_bad_input_is_refused(change, words):
    given = {"m": 2, "budget": 0.1} | change
    with pytest.raises(ValueError, match=words):
        train_robust(SPARSE, given.pop("m"), given.pop("budget"), key=KEY, **given)
