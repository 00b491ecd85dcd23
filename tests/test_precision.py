"""Double precision, switched on by the user: every trainer runs in it, finds the same, and mixes in no float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import toysup
from toysup import (
    actions,
    autoencoder,
    compute,
    failures,
    hidden,
    memory,
    recovery,
    robust,
    sensing,
    softmax,
)

P, SHORT = np.array([[0.1], [0.3]]), {"restarts": 2, "steps": 6}


def features():
    return toysup.independent(P, 4)


KEY = jax.random.key(0)
RUNS = {
    "train": lambda: toysup.train(features(), 2, **SHORT, key=KEY),
    "train sampled": lambda: toysup.train(features(), 2, objective="sampled", batch=64, **SHORT, key=KEY),
    "hidden": lambda: hidden.train_hidden(features(), 2, **SHORT, key=KEY),
    "compute": lambda: compute.train_compute(features(), 2, **SHORT, key=KEY),
    "softmax": lambda: softmax.train_softmax(features(), 2, **SHORT, key=KEY),
    "softmax nodes": lambda: softmax.train_softmax(features(), 2, most=3, **SHORT, key=KEY),
    "actions drawn": lambda: actions.train([0.1, 0.2], 0.5, sets=3, **SHORT, key=KEY),
    "robust": lambda: robust.train_robust(features(), 2, 0.1, **SHORT, key=KEY),
    "memory": lambda: memory.memorise(toysup.independent(0.2, 4), 2, samples=4, seeds=2, steps=6, tests=8, key=KEY),
    "readout": lambda: sensing.train_readout(np.eye(3, 4), 0.2, steps=6, key=KEY),
    "zoo": lambda: failures.zoo(20, key=KEY).W,
    "crowd": lambda: recovery.crowd(5, 3, 0.2, key=KEY).W,
}


@pytest.mark.parametrize("name", RUNS)
def test_what_runs_in_single_precision_runs_in_double(name):
    single = jax.tree.leaves(RUNS[name]())
    with jax.enable_x64(True):
        double = jax.tree.leaves(RUNS[name]())
    assert len(single) == len(double)
    for s, d in zip(single, double, strict=True):
        if jnp.issubdtype(d.dtype, jnp.floating):
            assert d.dtype == np.float64
            assert np.allclose(s, d, rtol=0.05, atol=0.05)  # a few steps from the same start, on the same draws


@pytest.mark.parametrize("variant", ["gated", "topk", "batchtopk", "jumprelu"])
def test_autoencoders_train_in_double_precision(variant):
    source = autoencoder.Hidden(toysup.independent(0.2, 4), np.eye(3, 4))
    with jax.enable_x64(True):
        model = autoencoder.train(source, 6, variant=variant, sparsity=1, steps=10, batch=64, dead="both", key=KEY)
        for leaf in jax.tree.leaves(model):
            assert leaf.dtype == np.float64
            assert np.isfinite(leaf).all()
