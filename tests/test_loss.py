"""The expected loss against an independent reference in float64, against closed forms, and against sampling.

The reference (tests/helpers.py) puts 2^17 points into every set of active features: midpoints for one active
feature, Sobol's sequence for more. It shares nothing with the package but the definition of the loss.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import anticorrelated, correlated, independent, losses_by_support
from jax.flatten_util import ravel_pytree

import toysup
from toysup import loss as losses
from toysup import theory
from toysup.features import combinations, sample_columns
from toysup.model import READOUTS

P = np.array([0.005, 0.05, 0.2, 0.5, 1.0])
BOUND = np.where(P <= 0.2, 2e-4, 1e-3)  # what the docstring of expected_loss promises
DECAY = 0.8
KEY = jax.random.key(0)


def kinds(n):
    """Each kind of features at all densities P, with the probability of every set of active features."""
    found = {"independent": (toysup.independent(P[:, None], n), [independent(np.full(n, p)) for p in P])}
    for name, make, probability in (
        ("correlated", toysup.correlated, correlated),
        ("anticorrelated", toysup.anticorrelated, anticorrelated),
    ):
        if n % 2 == 0:
            found[name] = make(n // 2, 2, P[:, None]), [probability(n // 2, 2, p) for p in P]
    return found


def random_parameters(n, m, scale, seed):
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(m, n)) * scale / m**0.5
    return np.float32(W), np.float32(rng.normal(size=n) * 0.3 * scale - 0.1)


def relative_errors(models, n, readout="relu"):
    """{kind: relative errors (models, densities)} of models (W, b) whose importance decays.

    Rows of zeros bring all W to n dimensions, so that one program serves them all.
    """
    importance = DECAY ** np.arange(n)
    reference = np.array([losses_by_support(W, b, importance, readout) for W, b in models])
    W = np.stack([np.pad(W, ((0, n - len(W)), (0, 0))) for W, _ in models])[:, None]
    b = np.stack([b for _, b in models])[:, None]
    found = {}
    for kind, (features, probability) in kinds(n).items():
        exact = toysup.expected_loss(W, b, features, importance=importance, readout=readout)
        found[kind] = np.asarray(exact, np.float64) / (reference @ np.array(probability).T) - 1
    return found


def worst_of(found):
    """The largest error of each kind at each density, over several models; printed (pytest -s)."""
    worst = {kind: np.abs(errors).max(0) for kind, errors in found.items()}
    for kind, errors in worst.items():
        print(f"  {kind:15}", *(f"p={p:g}: {e:.1e} " for p, e in zip(P, errors, strict=True)))
    return worst


# ------------------------------------------------------------------------------- the reference itself


def test_the_reference_agrees_with_itself_and_with_closed_forms():
    """Halving its points moves the reference by less than 5e-5 up to density 0.5 and 2e-4 at density 1."""
    W, b = random_parameters(6, 2, 1.0, 0)
    fine, coarse = losses_by_support(W, b), losses_by_support(W, b, exponent=16)
    for _, probability in kinds(6).values():
        change = np.abs(np.array(probability) @ coarse / (np.array(probability) @ fine) - 1)
        assert (change < np.where(P <= 0.5, 5e-5, 2e-4)).all()
    antipodal = losses_by_support(np.array([[1.0, -1.0]]), np.zeros(2))
    dropped = losses_by_support(np.array([[1.0, 0.0]]), np.array([0.0, 0.1]))
    for p in P:
        assert independent([p, p]) @ antipodal == pytest.approx(theory.two_in_one(p, 1.0).antipodal, rel=1e-5)
        assert independent([p, p]) @ dropped == pytest.approx(p / 3 - 0.1 * p + 0.01, rel=1e-8)


def test_probabilities_of_the_reference_sum_to_one():
    for n in (2, 4, 6):
        for _, probability in kinds(n).values():
            assert np.array(probability).sum(1) == pytest.approx(1)


# ------------------------------------------------------------------------------------------ the bounds


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_exact_loss_at_random_parameters(n):
    models = [
        random_parameters(n, m, scale, 10 * m) for m in sorted({1, max(1, n // 2), n - 1}) for scale in (0.5, 1.0, 2.5)
    ]
    print(f"\nn = {n}, random parameters")
    for errors in worst_of(relative_errors(models, n)).values():
        assert (errors <= BOUND).all()


@pytest.mark.parametrize(("n", "m"), [(4, 2), (6, 3)])
def test_exact_loss_at_trained_parameters(n, m):
    """Each model is held against the reference at the density it was trained for: the best and another restart."""
    importance = DECAY ** np.arange(n)
    print(f"\nn = {n}, m = {m}, trained parameters")
    for kind, (features, probability) in kinds(n).items():
        errors = np.max(errors_of_fit(features, probability, m, importance, seed=n), axis=1)
        print(f"  {kind:15}", *(f"p={p:g}: {e:.1e} " for p, e in zip(P, errors, strict=True)))
        assert (errors <= BOUND).all()


def test_exact_loss_of_larger_correlated_sets_at_trained_parameters():
    """Two sets of three in three dimensions: six values at once, the hardest case that was found."""
    features, probability = toysup.correlated(2, 3, P[:, None]), [correlated(2, 3, p) for p in P]
    errors = np.max(errors_of_fit(features, probability, 3, DECAY ** np.arange(6), seed=6), axis=1)
    print("\n2 sets of 3, m = 3   ", *(f"p={p:g}: {e:.1e} " for p, e in zip(P, errors, strict=True)))
    assert (errors <= BOUND).all()


def errors_of_fit(features, probability, m, importance, seed):
    """The relative errors of the losses that training reports, (densities, 2 restarts)."""
    fit = toysup.train(features, m, importance=importance, restarts=2, key=jax.random.key(seed))
    W, b, reported = (np.asarray(a, np.float64) for a in (fit.W, fit.b, fit.loss))
    errors = np.zeros((len(P), 2))
    for k, r in np.ndindex(errors.shape):
        reference = probability[k] @ losses_by_support(W[k, r], b[k, r], importance)
        # Antipodal pairs of anticorrelated features lose nothing: there the rounding of float32 is all there is.
        errors[k, r] = max(abs(reported[k, r] - reference) - 1e-9 * P[k], 0) / reference
    return errors


@pytest.mark.parametrize(("readout", "bound"), [("abs", BOUND), ("linear", 1e-5), ("gelu", BOUND)])
def test_exact_loss_of_other_readouts(readout, bound):
    """The bounds of ReLU hold for |z| and GELU too; the linear readout is exact to the precision of float32."""
    models = [random_parameters(6, 2, s, k) for k, s in enumerate((0.5, 1.0, 2.0))]
    print(f"\n{readout}, n = 6, random parameters")
    for errors in worst_of(relative_errors(models, 6, readout)).values():
        assert (errors <= (np.maximum(bound, 3e-5) if readout == "linear" else bound)).all()


@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_strategies_of_two_features_in_one_dimension(ratio):
    importance = [1.0, ratio]
    for p in P:
        features, closed = toysup.independent(p, 2), theory.two_in_one(p, ratio)
        for W, b, expected in (
            ([[1.0, 0.0]], [0.0, p / 2], closed.ignore),
            ([[0.0, 1.0]], [p / 2, 0.0], closed.dedicate),
            ([[1.0, -1.0]], [0.0, 0.0], closed.antipodal),
        ):
            assert toysup.expected_loss(W, b, features, importance=importance) == pytest.approx(expected, rel=2e-4)


def test_a_wrong_reference_would_be_noticed():
    """The control: a bias off by 0.02, or one forgotten pair, is far outside the bounds."""
    W, b = random_parameters(6, 2, 1.0, 0)
    right, wrong = losses_by_support(W, b), losses_by_support(W, b + 0.02)
    probability = np.array(kinds(6)["independent"][1])
    assert (np.abs(probability @ wrong / (probability @ right) - 1) > 5 * BOUND).all()


def test_the_weights_of_the_lines_sum_to_one():
    for n in (1, 4):
        for features, _ in kinds(n).values():
            for rule in (losses.COARSE, losses.FINE):
                weight = losses.line_weights(features, losses.lines(features, rule))
                assert np.allclose(weight.sum(-1), 1, atol=2e-5)


def test_the_coarse_rule_of_training_costs_little_at_the_optimum():
    """Training uses fewer lines than the evaluation: where it ends, the fine loss differs by less than 0.5 %."""
    features = toysup.independent(P[:, None], 5)
    fit = toysup.train(features, 2, restarts=4, key=jax.random.key(0)).best()
    coarse, fine = (losses.lines(features, rule) for rule in (losses.COARSE, losses.FINE))

    def evaluate(table):
        value = lambda W, b, weight: losses.exact_loss(W, b, table, weight, jnp.ones(5), READOUTS["relu"])
        return jax.vmap(value)(fit.W, fit.b, losses.line_weights(features, table))

    difference = np.abs(evaluate(coarse) / evaluate(fine) - 1)
    print("\ncoarse against fine at the optimum:", *(f"p={p:g}: {d:.1e} " for p, d in zip(P, difference, strict=True)))
    assert np.allclose(evaluate(fine), fit.loss, rtol=1e-5)
    assert (difference[P <= 0.2] < 1e-3).all()
    assert (difference < 5e-3).all()


# --------------------------------------------------------------------------------------------- gradient


@pytest.mark.parametrize("readout", list(READOUTS))
def test_the_gradient_is_that_of_the_loss(readout):
    """Central differences in float64, for W, b, density and importance at once, along random directions."""
    rng = np.random.default_rng(5)
    W, b = random_parameters(4, 2, 1.0, 3)
    start = (np.float64(W), np.float64(b), np.array([0.1, 0.3]), np.array([1.0, 0.5, 0.8, 0.2]))

    def f(W, b, p, importance):
        features = toysup.independent(p) + toysup.anticorrelated(1, 2, p[:1])
        return toysup.expected_loss(W, b, features, importance=importance, readout=readout)

    with jax.enable_x64(True):
        f = jax.jit(f)
        slopes = jax.grad(f, argnums=(0, 1, 2, 3))(*start)
        for _ in range(3):
            way = [rng.normal(size=a.shape) for a in start]
            plus, minus = (f(*(a + h * w for a, w in zip(start, way, strict=True))) for h in (1e-6, -1e-6))
            expected = sum(np.vdot(s, w) for s, w in zip(slopes, way, strict=True))
            assert (plus - minus) / 2e-6 == pytest.approx(expected, rel=1e-6, abs=1e-7)


def test_the_gradient_is_finite_at_kinks_and_zeros():
    for W, b in (
        (np.zeros((2, 3)), np.zeros(3)),
        (np.eye(2, 3), np.zeros(3)),
        (-np.eye(2, 3), -(np.eye(2, 3)[0] ** 2)),
    ):
        for readout in READOUTS:
            f = lambda W, b, readout=readout: toysup.expected_loss(W, b, toysup.independent(0.3, 3), readout=readout)
            for slope in jax.grad(f, argnums=(0, 1))(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32)):
                assert np.isfinite(slope).all()


@pytest.mark.parametrize("readout", ["relu", "abs"])
def test_the_hessian_is_that_of_the_loss(readout):
    """By W, b, density and importance, against central differences of the gradient in float64."""
    W, b = random_parameters(4, 2, 1.0, 3)

    def f(W, b, p, importance):
        features = toysup.independent(p) + toysup.anticorrelated(1, 2, p[:1])
        return toysup.expected_loss(W, b, features, importance=importance, readout=readout)

    with jax.enable_x64(True):
        parts = (np.float64(W), np.float64(b), np.array([0.1, 0.3]), np.array([1.0, 0.5, 0.8, 0.2]))
        start, unravel = ravel_pytree(parts)
        f = jax.jit(lambda v, f=f: f(*unravel(v)))
        slope, found = jax.jit(jax.grad(f)), np.asarray(jax.jit(jax.hessian(f))(start))
        moves = 1e-5 * np.eye(len(start))
        differences = np.stack([(slope(start + move) - slope(start - move)) / 2e-5 for move in moves])
    assert np.allclose(found, differences, rtol=1e-6, atol=1e-7)
    assert np.allclose(found, found.T, rtol=1e-7, atol=1e-9)


def test_the_hessian_is_finite_at_kinks_and_zeros():
    for W in (np.zeros((2, 3)), np.eye(2, 3), [[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]]):
        f = lambda W: toysup.expected_loss(W, jnp.zeros(3), toysup.independent(0.3, 3))
        assert np.isfinite(jax.hessian(f)(jnp.asarray(W, jnp.float32))).all()


# ----------------------------------------------------------------------------- derivatives where inputs are drawn


def halves(p, W, b):
    """Two independent models of six features, as one of twelve (which is drawn) and as the sum of two (exact)."""
    both = jax.scipy.linalg.block_diag(W, W), jnp.concatenate([b, b])
    drawn = toysup.expected_loss(*both, toysup.independent(p))
    return drawn, sum(toysup.expected_loss(W, b, toysup.independent(q)) for q in (p[:6], p[6:]))


@pytest.mark.parametrize("p", [1e-8, 0.02, 0.3, 1.0])
def test_the_gradient_by_density_of_a_drawn_loss_is_that_of_the_expectation(p):
    """Twelve features against two times six, within 2 % of the largest entry; one is rare among frequent ones."""
    W, b = random_parameters(6, 2, 1.0, 1)
    assert losses.objective_of(toysup.independent(p, 12), "relu") == "samples"
    densities = jnp.full(12, p).at[3].set(min(p, 1e-6))
    drawn, exact = (jax.jit(jax.grad(lambda q, k=k: halves(q, W, b)[k]))(densities) for k in (0, 1))
    assert np.abs(exact).max() > 0.1
    assert np.allclose(drawn, exact, atol=0.02 * float(np.abs(exact).max()))


def test_other_derivatives_of_a_drawn_loss():
    """By W and density in one call, forward mode, by W of the one by density; the others are refused, never wrong."""
    W, b = random_parameters(6, 2, 1.0, 1)
    f, g = (lambda W, p, k=k: halves(jnp.full(12, p), W, b)[k] for k in (0, 1))
    drawn, exact = (jax.jit(jax.grad(f, (0, 1)))(W, 0.3) for f in (f, g))
    for one, other in zip(drawn, exact, strict=True):
        assert np.allclose(one, other, atol=0.05 * float(np.abs(other).max()))
    way = jnp.ones_like(W)
    moved = jax.jit(lambda W: jax.jvp(lambda W: f(W, 0.3), (W,), (way,))[1])(W)
    assert float(moved) == pytest.approx(float(jnp.vdot(drawn[0], way)), rel=1e-4)
    with pytest.raises(NotImplementedError, match="misses the kink"):
        jax.hessian(f)(W, 0.3)
    with pytest.raises(NotImplementedError, match="no derivative by the density"):
        jax.grad(lambda p: jax.grad(f)(W, p).sum())(0.3)


def test_what_is_drawn_for_training_has_no_derivative_by_the_density():
    draws = {
        "sample": lambda p: toysup.sample(toysup.independent(p, 5), 8, key=KEY).sum(),
        "stratified": lambda p: losses.stratified_loss(
            jnp.eye(2, 5), jnp.zeros(5), toysup.independent(p, 5), jnp.ones(5), READOUTS["relu"], KEY, 64
        ),
    }
    for draw in draws.values():
        assert np.isfinite(jax.jit(draw)(0.3))
        with pytest.raises(NotImplementedError, match="no derivative by the density"):
            jax.grad(draw)(0.3)


# -------------------------------------------------------------------------------- linear and sampled


def test_the_linear_readout_is_exact_for_any_n():
    """30 features of all kinds against the mean of 300,000 drawn inputs, and against the closed form of theory."""
    n, m = 30, 4
    W, b = random_parameters(n, m, 1.0, 2)
    importance = 0.9 ** np.arange(n)
    features = toysup.independent(0.2, 10) + toysup.correlated(5, 2, 0.3) + toysup.anticorrelated(2, 5, 0.7)
    x = np.asarray(toysup.sample(features, 300_000, key=jax.random.key(1)), np.float64)
    each = ((x - x @ np.float64(W.T @ W) - b) ** 2) @ importance
    exact = float(toysup.expected_loss(W, b, features, importance=importance, readout="linear"))
    assert abs(each.mean() - exact) < 4 * each.std() / len(each) ** 0.5
    assert each.std() / len(each) ** 0.5 < 0.005 * exact
    kept, bias = theory.linear_solution(0.1, importance, m)
    best = toysup.expected_loss(np.eye(m, n), bias, toysup.independent(0.1, n), importance=importance, readout="linear")
    assert kept[:m].all()
    assert best == pytest.approx(theory.linear_loss(0.1, importance, m), rel=1e-5)


def test_the_sampled_loss_agrees_with_the_exact_one_within_its_standard_error():
    """48 estimates: none more than 4 standard errors away, and the errors are of the size they claim."""
    W, b = random_parameters(5, 2, 1.0, 1)
    importance = jnp.asarray(DECAY ** np.arange(5))
    scores = []
    for features in (toysup.independent(0.1, 5), toysup.correlated(1, 3, 0.2) + toysup.anticorrelated(1, 2, 0.5)):
        exact = toysup.expected_loss(W, b, features, importance=importance)
        draw = lambda k, f=features: losses.sampled_loss(W, b, f, importance, READOUTS["relu"], k, samples=2**15)
        mean, error = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 24))
        scores.append(np.asarray((mean - exact) / error))
    scores = np.concatenate(scores)
    print(f"\nroot mean square of (sampled - exact) / error: {np.sqrt((scores**2).mean()):.2f}")
    assert np.abs(scores).max() < 4
    assert 0.7 < np.sqrt((scores**2).mean()) < 1.4
    assert abs(scores.mean()) < 0.5


@pytest.mark.parametrize("samples", [700, 1500, 2049])
def test_any_number_of_samples_may_be_asked_for(samples):
    """The error falls as one over the square root of what was drawn: as measured over 400 draws, within 15 %."""
    W, b = random_parameters(5, 2, 1.0, 1)
    draw = lambda k: losses.sampled_loss(W, b, toysup.independent(0.3, 5), jnp.ones(5), READOUTS["relu"], k, samples)
    mean, error = jax.jit(jax.vmap(draw))(jax.random.split(KEY, 400))
    assert float(mean.std() / error.mean()) == pytest.approx(1, abs=0.15)


def test_where_lines_do_not_fit_the_loss_is_sampled_from_one_draw():
    """15 dimensions for 15 features, W = 1: nothing is lost; dropped features cost E[x²] = p/3."""
    features = toysup.independent(0.1, 15)
    assert not losses.fits(features)
    assert losses.objective_of(features, "relu") == "samples"
    W = np.eye(15)[None] * np.array([1.0, 0.0])[:, None, None]
    loss = toysup.expected_loss(W, np.zeros(15), features)
    assert float(loss[0]) < 1e-10
    assert float(loss[1]) == pytest.approx(15 * 0.1 / 3, rel=0.01)
    assert float(toysup.expected_loss(W[1], np.zeros(15), features)) == pytest.approx(float(loss[1]), rel=1e-6)


# --------------------------------------------------------------------------------------------- shapes


def test_batch_axes_of_all_arguments_broadcast():
    W, b = random_parameters(4, 2, 1.0, 0)
    many = np.stack([W, 2 * W, -W])[:, None]
    features = toysup.independent(np.array([[0.1], [0.4]]), 4)
    importance = np.stack([np.ones(4), DECAY ** np.arange(4)])
    together = toysup.expected_loss(many, b, features, importance=importance)
    assert together.shape == (3, 2)
    for i in range(3):
        for j, p in enumerate((0.1, 0.4)):
            alone = toysup.expected_loss(many[i, 0], b, toysup.independent(p, 4), importance=importance[j])
            assert alone.shape == ()
            assert float(alone) == pytest.approx(float(together[i, j]), rel=1e-5)


@pytest.mark.parametrize("readout", list(READOUTS))
def test_the_forward_pass_gives_the_same_loss(readout):
    W, b = random_parameters(5, 2, 1.0, 4)
    features = toysup.independent(0.3, 5)
    x = toysup.sample(features, 2**17, key=jax.random.key(2))
    each = np.asarray(((x - toysup.forward(W, b, x, readout=readout)) ** 2).sum(-1), np.float64)
    exact = float(toysup.expected_loss(W, b, features, readout=readout))
    assert abs(each.mean() - exact) < 4 * each.std() / len(each) ** 0.5
    assert toysup.forward(np.stack([W, W]), b, x[:10]).shape == (2, 10, 5)


@pytest.mark.parametrize("p", [0.001, 0.02])
@pytest.mark.parametrize("kind", ["independent", "correlated", "anticorrelated"])
def test_the_stratified_loss_is_unbiased_and_scatters_less(kind, p):
    """Against the exact loss, over 200 batches of either kind; at p = 0.001 most plain inputs are empty."""
    features = {
        "independent": lambda: toysup.independent(p, 5),
        "correlated": lambda: toysup.correlated(2, 3, p),
        "anticorrelated": lambda: toysup.anticorrelated(2, 3, p),
    }[kind]()
    n, readout, batch = features.n, READOUTS["relu"], 256
    W, b = random_parameters(n, 2, 1.0, 2)
    exact = float(toysup.expected_loss(W, b, features))
    plain = lambda k: losses.batch_loss(W, b, sample_columns(features, batch, key=k), jnp.ones(n), readout)
    active = lambda k: losses.stratified_loss(W, b, features, jnp.ones(n), readout, k, batch)
    keys = jax.random.split(jax.random.key(3), 200)
    plain, active = (np.asarray(jax.jit(jax.vmap(f))(keys), float) for f in (plain, active))
    for name, found in (("plain", plain), ("stratified", active)):
        error = found.std() / len(found) ** 0.5
        print(f"\n{kind} p={p} {name}: {found.mean():.6f} +- {error:.6f}, exact {exact:.6f}")
        assert abs(found.mean() - exact) < 4 * error + 1e-6 * exact
    some = 1 - float(np.prod(1 - np.full(2 if n == 6 else 5, p)))  # share of inputs with an active feature
    assert active.var() < 3 * some * plain.var()


def test_stratified_training_finds_what_plain_samples_miss():
    """At p = 0.001 a batch of 256 plain inputs of five features holds one or two that are not empty."""
    features = toysup.independent(0.001, 5)
    found = {}
    for objective in ("sampled", "stratified"):
        fit = toysup.train(features, 2, restarts=8, objective=objective, batch=256, steps=1000, key=jax.random.key(0))
        assert fit.objective == objective
        found[objective] = float(toysup.expected_loss(fit.W, fit.b, features).min())
    best = float(toysup.train(features, 2, key=jax.random.key(0)).best().loss)
    sampled, stratified = found["sampled"] / best, found["stratified"] / best
    print(f"\nbest of 8 over the best exact loss: {sampled:.3f} sampled, {stratified:.3f} stratified")
    assert stratified < 1.02
    assert sampled > 1.05


# ------------------------------------------------------------------------------------- very sparse, very dense

EXTREMES = np.array([1e-12, 1e-10, 1e-8, 3e-7, 1e-5, 1e-3, 0.1, 0.9, 1 - 1e-5, 1 - 1e-7, 1.0])


def on_the_same_lines(W, b, features, probabilities):
    """The expected loss on the package's lines, in float64 and NumPy; probabilities (..., supports) -> (...)."""
    table = losses.lines(features)
    start, end, on, weight, which = (np.asarray(a, np.float64) for a in jax.tree.leaves(table))
    gram = np.float64(W).T @ np.float64(W)
    z0, z1 = (np.einsum("ij,ilj->il", gram, x) + np.float64(b)[:, None] for x in (start, end))
    kink = np.clip(z0 / np.where(z0 == z1, 1, z0 - z1), 0, 1)
    total = 0.0
    for low, high in ((0, kink), (kink, 1)):
        above = z0 + (low + high) / 2 * (z1 - z0) > 0
        e0, e1 = (on * t - above * (z0 + t * (z1 - z0)) for t in (low, high))
        total = total + (high - low) * (e0**2 + e0 * e1 + e1**2) / 3
    order = combinations_as_supports(features)[which.astype(int)]
    return np.asarray(probabilities)[..., order] @ (total.sum(0) * weight)


def combinations_as_supports(features):
    """For each combination of patterns, its number in the order of `helpers.supports`."""
    active, _ = combinations(features)
    return active @ (1 << np.arange(features.n)[::-1])


@pytest.mark.parametrize("n", range(1, 9))
def test_the_exact_loss_keeps_its_digits_at_all_densities(n):
    """1e-5 of the same sum in float64, from p = 1e-12 to 1; the error of the nodes themselves is bounded above."""
    features = toysup.independent(EXTREMES[:, None], n)
    assert losses.fits(features)
    nothing = toysup.expected_loss(np.zeros((2, n)), np.zeros(n), features)
    assert np.allclose(nothing, n * EXTREMES / 3, rtol=1e-5, atol=0)
    W, b = random_parameters(n, 2, 1.0, n)
    rounded = EXTREMES.astype(np.float32)
    traced = jax.jit(lambda p: toysup.expected_loss(W, b, toysup.independent(p[:, None], n)))
    for p, found in ((EXTREMES, toysup.expected_loss(W, b, features)), (np.float64(rounded), traced(rounded))):
        reference = on_the_same_lines(W, b, features, [independent(np.full(n, q)) for q in p])
        assert np.allclose(found, reference, rtol=1e-5, atol=0)


@pytest.mark.parametrize("make", [toysup.correlated, toysup.anticorrelated])
def test_sets_of_features_keep_their_digits_at_all_densities(make):
    features, W, b = make(3, 2, EXTREMES[:, None]), *random_parameters(6, 2, 1.0, 3)
    probability = {toysup.correlated: correlated, toysup.anticorrelated: anticorrelated}[make]
    reference = on_the_same_lines(W, b, features, [probability(3, 2, p) for p in EXTREMES])
    assert np.allclose(toysup.expected_loss(W, b, features), reference, rtol=1e-5, atol=0)


def test_the_linear_loss_keeps_its_digits_at_all_densities():
    W, b = random_parameters(30, 3, 1.0, 3)
    features = toysup.independent(EXTREMES[:, None], 30)
    found = toysup.expected_loss(W, b, features, readout="linear")
    miss = np.eye(30) - np.float64(W).T @ np.float64(W)
    for p, loss in zip(EXTREMES, np.asarray(found), strict=True):
        mean = np.full(30, p / 2)
        assert loss == pytest.approx((p / 3 - p**2 / 4) * (miss**2).sum() + ((miss @ mean - b) ** 2).sum(), rel=1e-5)


@pytest.mark.parametrize("n", [12, 40])
def test_the_sampled_loss_does_not_lose_sparse_features(n):
    """A model that answers 0 loses n p / 3 at any density: as drawn, within 4 standard errors, never 0."""
    p = EXTREMES[:, None]
    features, ones = toysup.independent(p, n), jnp.ones(n)
    found = toysup.expected_loss(np.zeros((2, n)), np.zeros(n), features)
    assert losses.objective_of(features, "relu") == "samples"
    assert np.allclose(found, n * EXTREMES / 3, rtol=0.02)
    one = lambda q: losses.sampled_loss(
        jnp.zeros((2, n)), jnp.zeros(n), toysup.Features(features.tables, (q,)), ones, READOUTS["relu"], KEY, 2**14
    )
    loss, error = jax.lax.map(one, features.probabilities[0])
    assert (np.abs(loss - n * EXTREMES / 3) < 4 * error).all()
