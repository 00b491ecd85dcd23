"""Remake data/autoencoder_a.safetensors and data/autoencoder_b.safetensors: sparse autoencoders of the transformers.

python -m tools.data_autoencoder_language            about 3 minutes on two cores

One for each transformer of data/, trained on what its neurons do on the text it learned from.
"""

from __future__ import annotations

import time

import jax
import numpy as np

from tools.data_language import FOLDER, MODELS, texts
from toysup import autoencoder
from toysup.autoencoder import metrics
from toysup.language import checkpoint, dictionaries

LATENTS, VARIANT, SPARSITY = 512, "batchtopk", 8
STEPS, BATCH, RATE, SEED = 1500, 1024, 3e-3, 0
WINDOWS = 3000  # of the text that the transformer learned from


def train(h, steps: int = STEPS, latents: int = LATENTS):
    """One autoencoder of the activations h (inputs, neurons) of a transformer's neurons."""
    models = autoencoder.train(
        h, latents, variant=VARIANT, sparsity=SPARSITY, steps=steps, batch=BATCH, learning_rate=RATE,
        dead="resample", key=jax.random.key(SEED),
    )  # fmt: skip
    return autoencoder.pick(models, 0)


def main() -> None:
    """Write the files and print what they are worth on the text kept back."""
    learned, kept = texts()
    for name in MODELS:
        start, source = time.time(), checkpoint.load(FOLDER / f"transformer_{name}.safetensors")
        file = FOLDER / f"autoencoder_{name}.safetensors"
        made = train(dictionaries.observe(source.model, learned, source.alphabet, WINDOWS).h)
        dictionaries.save(file, made, transformer=name, sparsity=SPARSITY, steps=STEPS, seed=SEED)
        seen = dictionaries.observe(source.model, kept, source.alphabet)
        model = dictionaries.load(file).model
        a = np.asarray(autoencoder.encode(model, seen.h))
        rebuilt = np.asarray(autoencoder.decode(model, a))
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB, {time.time() - start:.0f} s")
        print(f"   L0 {metrics.l0(a):.2f}, {metrics.counts(a)}, EV {metrics.explained_variance(seen.h, rebuilt):.3f}")
        print(f"   {dictionaries.recovered(seen, rebuilt)}")
        f1 = dictionaries.best_f1(seen, a, dictionaries.token_labels(seen))
        print(f"   best F1 of {len(f1)} characters in context {f1.mean():.3f}", flush=True)


if __name__ == "__main__":
    main()
