"""Sparse autoencoders: what each variant keeps, its gradients, and that training finds the true directions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toysup
from toysup import autoencoder
from toysup.autoencoder import metrics, training, variants

D = 12
ORTHOGONAL = np.linalg.qr(np.random.default_rng(0).normal(size=(D, D)))[0]
SOURCE = autoencoder.Hidden(toysup.independent(0.1, D), ORTHOGONAL)
INPUTS = np.asarray(training.draw(training.check_source(SOURCE), 4096, jax.random.key(9)))
SPARSITY = {"relu": 0.1, "gated": 0.15, "topk": 3, "batchtopk": 1.3, "jumprelu": 0.02, "matryoshka": 1.3}


def a_model(variant, latents=8, sparsity=2.0, seed=0):
    return variants.initial(latents, D, variant, sparsity, key=jax.random.key(seed))


def trained(variant, **more):
    settings = {"sparsity": SPARSITY[variant], "steps": 1000, "seeds": 2, "dead": "resample", "key": jax.random.key(0)}
    return autoencoder.train(SOURCE, 24, variant=variant, **(settings | more))


# ------------------------------------------------------------------------------------------ what is kept


def test_the_cut_leaves_as_many_as_asked():
    a = jax.random.uniform(jax.random.key(0), (50, 40))
    for k in (1, 3, 39):
        kept = (a > variants._cut(a, k, axis=-1)).sum(-1)
        assert (kept == k).all()
    assert (a > variants._cut(a, 137, axis=None)).sum() == 137
    few = jnp.where(a > 0.97, a, 0.0)
    assert (few > variants._cut(few, 10, axis=-1)).sum() == (few > 0).sum()  # no more than are positive


def test_topk_keeps_the_largest_of_each_input():
    model, h = a_model("topk"), INPUTS[:200] + np.asarray(jax.random.normal(jax.random.key(1), (200, D)))
    a, pre = np.asarray(autoencoder.encode(model, h)), np.asarray(variants.preactivations(model, h))
    order = np.sort(np.maximum(pre, 0), 1)[:, -2:]
    assert np.allclose(np.sort(a, 1)[:, -2:], order)
    assert (np.sort(a, 1)[:, :-2] == 0).all()


@pytest.mark.parametrize("variant", ["batchtopk", "matryoshka"])
def test_outside_training_an_input_does_not_see_the_others(variant):
    model = autoencoder.pick(trained(variant), 0)
    together = np.asarray(autoencoder.encode(model, INPUTS[:64]))
    alone = np.concatenate([autoencoder.encode(model, h[None]) for h in INPUTS[:64]])
    assert np.allclose(together, alone, atol=1e-6)
    assert abs(metrics.l0(autoencoder.encode(model, INPUTS)) - SPARSITY[variant]) < 0.2


def test_gated_latents_are_gated():
    model = a_model("gated")
    model = dataclasses.replace(model, b=model.b - 0.2, extra=model.extra.at[1].set(0.3))
    pre = np.asarray(variants.preactivations(model, INPUTS))
    a = np.asarray(autoencoder.encode(model, INPUTS))
    assert np.allclose(a, (pre > 0) * np.maximum(pre + 0.2 + 0.3, 0), atol=1e-5)


# ------------------------------------------------------------------------------------------ gradients


def test_jumprelus_threshold_has_the_slope_of_a_smoothed_loss():
    """Averaged over many pre-activations, the straight-through slope is that of the expected loss.

    But for the width of the window, which takes t BANDWIDTH / 4 off it.
    """
    pre = jnp.linspace(0.0, 1.0, 200_001)[:, None]
    lam = 0.3

    def expected(t, jump, step):
        width = jnp.array([variants.BANDWIDTH])
        a = jump(jax.nn.relu(pre), t, width)
        return jnp.mean((pre - a) ** 2 + lam * step(pre, t, width))

    t = jnp.array([0.5])
    ours = jax.grad(lambda t: expected(t, variants._jump, variants._step))(t)
    exact = 0.5**2 - lam  # of t³ / 3 + lam (1 - t): inputs below t are lost, those above cost lam
    assert float(ours[0]) == pytest.approx(exact - 0.5 * variants.BANDWIDTH / 4, abs=1e-3)


def test_the_gates_frozen_decoder_gets_no_gradient():
    model, alive = a_model("gated"), jnp.ones(8, bool)
    only_gate = lambda m: variants._gate_loss(m, variants.preactivations(m, INPUTS), INPUTS).mean()
    slope = jax.grad(only_gate)(model)
    assert not np.asarray(slope.D).any()
    assert np.asarray(slope.E).any()
    assert np.isfinite(float(variants.loss(model, INPUTS, 0.1, alive)[0]))


def test_matryoshka_counts_every_prefix():
    model, alive = a_model("matryoshka", latents=16), jnp.ones(16, bool)
    value, (a, residual, _) = variants.loss(model, INPUTS, 2.0, alive)
    sizes, rows = [1, 2, 4, 8], np.asarray(autoencoder.dictionary(model))
    parts = [((INPUTS - np.asarray(a)[:, :k] @ rows[:k]) ** 2).sum(1).mean() for k in sizes]
    assert float(value) == pytest.approx(sum(parts) + float((residual**2).sum(1).mean()), rel=1e-4)


def test_the_prefixes_of_matryoshka_are_shares_of_the_width():
    """Of 8 latents in use the first 1, 1, 2, 4, whether the width is known beforehand or not, and whatever masks it."""
    model, alive = a_model("matryoshka", latents=16), jnp.arange(16) < 8
    value, (a, residual, _) = variants.loss(model, INPUTS, 2.0, alive)
    rows = np.asarray(autoencoder.dictionary(model))
    parts = [((INPUTS - np.asarray(a)[:, :k] @ rows[:k]) ** 2).sum(1).mean() for k in (1, 1, 2, 4)]
    assert float(value) == pytest.approx(sum(parts) + float((residual**2).sum(1).mean()), rel=1e-4)
    assert float(variants.loss(model, INPUTS, 2.0, alive, 8)[0]) == pytest.approx(float(value), rel=1e-5)


def test_a_masked_matryoshka_is_a_smaller_one():
    """Eight of sixteen latents train as eight do (the random starts of the rows differ, so both start from one)."""
    settings = (lambda k: jnp.asarray(INPUTS[:256]), 2.0)
    whole, part = a_model("matryoshka", latents=8), a_model("matryoshka", latents=16)
    grow = lambda small, large: large.at[..., :8, :].set(small) if small.ndim == 2 and len(small) == 8 else large
    part = dataclasses.replace(part, E=grow(whole.E, part.E), D=grow(whole.D, part.D))
    fit = lambda model, alive, used: training._fit(
        model, *settings, alive, used, 3e-3, 40, "none", False, jax.random.key(0)
    )
    one, other = fit(whole, jnp.ones(8, bool), 8), fit(part, jnp.arange(16) < 8, None)
    assert np.allclose(one.D, other.D[:8], atol=1e-4)
    assert not np.allclose(one.D, whole.D, atol=1e-2)


def test_the_auxiliary_loss_is_a_share_of_the_residual_by_hand():
    """Of 8 latents 7 are idle and the 6 largest of them (d / 2) rebuild the residual; active ones get no gradient."""
    model, idle = a_model("topk"), jnp.arange(8) > 0
    residual = np.asarray(jax.random.normal(jax.random.key(1), INPUTS.shape)) + 0.3
    pre = np.maximum((INPUTS - np.asarray(model.c)) @ np.asarray(model.E).T, 0)
    pre[:, 0] = 0
    pre[pre < np.sort(pre, 1)[:, -6:][:, :1]] = 0
    left = ((residual - pre @ np.asarray(autoencoder.dictionary(model))) ** 2).sum()
    by_hand = left / ((residual - residual.mean(0)) ** 2).sum() / 32
    assert float(variants.auxiliary(model, INPUTS, residual, idle)) == pytest.approx(by_hand, rel=1e-4)
    three = variants.auxiliary(model, INPUTS, residual, jnp.arange(8) > 4)  # fewer idle than 6: less weight
    assert float(three) < 0.6 * by_hand
    slope = jax.grad(variants.auxiliary)(model, INPUTS, residual, idle)
    assert not np.asarray(slope.E)[0].any()
    assert np.asarray(slope.E)[1:].any(1).all()


def test_the_auxiliary_loss_does_not_fade_with_the_residual():
    """A small residual that idle latents could rebuild weighs as much as a large one: it is a share."""
    model, idle = a_model("topk"), jnp.ones(8, bool)
    residual = np.asarray(jax.random.normal(jax.random.key(1), INPUTS.shape))
    large = variants.auxiliary(model, INPUTS, residual, idle)
    small = variants.auxiliary(dataclasses.replace(model, E=model.E / 100), INPUTS, residual / 100, idle)
    assert float(small) == pytest.approx(float(large), rel=1e-4)
    assert float(variants.auxiliary(model, INPUTS, residual, ~idle)) == 0
    nothing = jax.grad(variants.auxiliary)(model, INPUTS, 0 * residual, idle)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves(nothing))


# ------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("variant", autoencoder.VARIANTS)
def test_training_finds_the_directions_of_features_without_superposition(variant):
    models = trained(variant)
    random = metrics.matched(metrics.random_dictionary(24, D, seed=0), ORTHOGONAL.T).mean()
    found = []
    for seed in range(2):
        model = autoencoder.pick(models, seed)
        a = np.asarray(autoencoder.encode(model, INPUTS))
        ev = metrics.explained_variance(INPUTS, autoencoder.decode(model, a))
        found.append(metrics.matched(autoencoder.dictionary(model), ORTHOGONAL.T).mean())
        print(f"\n{variant}: L0 {metrics.l0(a):.2f}, EV {ev:.4f}, matched {found[-1]:.3f}, random {random:.3f}")
        assert ev > 0.9
        assert metrics.l0(a) < 12
    assert max(found) > random + 0.05
    if variant in ("relu", "topk", "batchtopk", "matryoshka"):
        assert min(found) > 0.95


def test_many_at_once_are_what_each_is_alone():
    """Over sparsity, width and seed in one program; rounding aside."""
    settings = {"steps": 60, "seeds": 2, "key": jax.random.key(3)}
    many = autoencoder.train(SOURCE, 16, sparsity=np.array([[0.05], [0.2]]), width=[8, 16], **settings)
    assert many.D.shape == (2, 2, 2, 16, D)
    alone = autoencoder.train(SOURCE, 16, sparsity=0.2, width=8, **settings)
    assert np.allclose(many.D[1, 0], alone.D, atol=1e-4)
    assert not np.allclose(many.D[0, 0], alone.D, atol=1e-3)
    assert not np.allclose(many.D[1, 0, 0], many.D[1, 0, 1], atol=1e-3)
    a = np.asarray(autoencoder.encode(autoencoder.pick(many, 1, 0, 0), INPUTS))
    assert not a[:, 8:].any()
    assert a[:, :8].any()
    assert not np.asarray(many.D[1, 0, 0, 8:]).any()


def test_scale_and_offset_of_the_inputs_do_not_matter():
    settings = {"sparsity": 0.1, "steps": 200, "key": jax.random.key(0)}
    plain = autoencoder.pick(autoencoder.train(INPUTS, 16, **settings), 0)
    moved = autoencoder.pick(autoencoder.train(100 * INPUTS + 7, 16, **settings), 0)
    assert np.allclose(plain.D, moved.D, atol=0.02)
    a = np.asarray(autoencoder.encode(plain, INPUTS))
    assert np.allclose(100 * a, autoencoder.encode(moved, 100 * INPUTS + 7), atol=2.0)


def test_dead_latents_come_back():
    """64 directions in 24 dimensions, one at a time, k = 1: a third of the latents die without help, fewer with it."""
    W = metrics.random_dictionary(64, 24, seed=0).T
    source = autoencoder.Hidden(toysup.anticorrelated(1, 64, 1.0), W)
    h = np.asarray(training.draw(source, 8192, jax.random.key(9)))
    settings = {"variant": "topk", "sparsity": 1, "steps": 600, "learning_rate": 0.02, "seeds": 2}
    alive, explained = {}, {}
    for how in ("none", "resample", "auxiliary"):
        models = autoencoder.train(source, 64, dead=how, key=jax.random.key(2), **settings)
        each = [autoencoder.pick(models, seed) for seed in range(2)]
        alive[how] = np.mean([metrics.counts(autoencoder.encode(model, h)).alive for model in each])
        explained[how] = np.mean([metrics.explained_variance(h, autoencoder.reconstruct(model, h)) for model in each])
    print("\nalive of 64:", alive, "explained variance:", explained)
    assert alive["none"] < 48
    for how in ("resample", "auxiliary"):
        assert alive[how] > alive["none"] + 3
        assert explained[how] > explained["none"] + 0.05


def test_a_frozen_dictionary_stays_random():
    model = trained("relu", frozen=True, steps=100)
    start = variants.initial(24, D, "relu", 0.0, key=jax.random.key(0))
    norms = np.linalg.norm(np.asarray(model.D), axis=-1)
    assert np.allclose(norms, 1, atol=1e-5)
    assert metrics.matched(model.D[0], ORTHOGONAL.T).mean() < 0.8
    assert model.D.shape[1:] == start.D.shape


# ------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variant": "topp"}, "variant must be one of"),
        ({"dead": "wake"}, "dead must be one of"),
        ({"sparsity": -1}, "not negative"),
        ({"sparsity": float("nan")}, "sparsity must be finite"),
        ({"variant": "topk", "sparsity": 25}, "between 1 and 24"),
        ({"variant": "topk", "sparsity": 0}, "between 1 and 24"),
        ({"width": 25}, "width must be a whole number between 1 and latents=24"),
        ({"width": 2.5}, "width must be a whole number"),
        ({"steps": 0}, "steps"),
        ({"learning_rate": -1}, "learning_rate"),
    ],
)
def test_bad_settings_are_refused_by_name(change, words, compilations):
    settings = {"sparsity": 0.1, "key": jax.random.key(0)} | change
    with compilations() as compiled, pytest.raises(ValueError, match=words):
        autoencoder.train(INPUTS, 24, **settings)
    assert not compiled


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.ones(3), r"shape \(inputs, d\)"),
        (np.ones((5, 3)), "same input again"),
        (np.full((5, 3), np.nan), "finite"),
        (1e-25 * np.eye(3), "same input again"),
        (1e6 + 1e-4 * np.eye(3), "same input again"),  # to float32
        (1e25 * np.eye(3), "source must lie between"),
        (autoencoder.Hidden(toysup.independent(0.1, 5), np.zeros((2, 5))), "W of Hidden is 0"),
        (autoencoder.Hidden(toysup.independent(0.1, 5), np.ones((2, 4))), r"W \(m, 5\)"),
        (autoencoder.Hidden(toysup.independent([[0.1], [0.2]], 4), np.ones((2, 4))), "without batch axes"),
    ],
)
def test_bad_sources_are_refused(source, words):
    with pytest.raises(ValueError, match=words):
        autoencoder.train(source, 4, sparsity=0.1, key=jax.random.key(0))


def test_encoding_says_what_it_needs():
    models = trained("relu", steps=5)
    with pytest.raises(ValueError, match="take one with pick"):
        autoencoder.encode(models, INPUTS)
    with pytest.raises(ValueError, match=rf"shape \(..., {D}\)"):
        autoencoder.encode(autoencoder.pick(models, 0), INPUTS[:, :3])
    with pytest.raises(TypeError, match="an Autoencoder is needed"):
        autoencoder.encode("relu", INPUTS)
