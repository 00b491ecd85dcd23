"""Remake the sparse autoencoders data/autoencoder_*.safetensors of the transformers' neurons.

python -m tools.data_autoencoder_language            all of them, about 8 minutes on two cores
python -m tools.data_autoencoder_language a b        some of them, less than a minute and a half each

One for each transformer of data/, trained on what its neurons do on the text it learned from; one for the first as it
was before it had learned anything, a control; and a wide one for the first.
"""

from __future__ import annotations

import sys
import time

import jax
import numpy as np

from tools.data_language import FOLDER, MODELS, texts
from toysup import autoencoder, configure
from toysup.autoencoder import metrics
from toysup.language import checkpoint, dictionaries, transformer

configure()

LATENTS, VARIANT, SPARSITY = 512, "batchtopk", 8
STEPS, BATCH, RATE, SEED = 1500, 1024, 3e-3, 0
WINDOWS = 3000  # of the text that the transformer learned from
WIDE = 2048
DICTIONARIES = {"a": ("a", LATENTS), "b": ("b", LATENTS), "untrained": (None, LATENTS), "wide": ("a", WIDE)}


def train(h, steps: int = STEPS, latents: int = LATENTS):
    """One autoencoder of the activations h (inputs, neurons) of a transformer's neurons."""
    models = autoencoder.train(
        h, latents, variant=VARIANT, sparsity=SPARSITY, steps=steps, batch=BATCH, learning_rate=RATE,
        dead="resample", key=jax.random.key(SEED),
    )  # fmt: skip
    return autoencoder.pick(models, 0)


def untrained(size: int, seed: int = MODELS["a"]):
    """The transformer that training began from."""
    return transformer.initial(size, key=jax.random.split(jax.random.key(seed))[0])


def main(names) -> None:
    """Write the files and print what they are worth on the text kept back."""
    learned, kept = texts()
    for name in names or DICTIONARIES:
        start, (of, latents) = time.time(), DICTIONARIES[name]
        path = FOLDER / f"transformer_{of}.safetensors"
        reader = checkpoint.load(path).model if of else untrained(len(kept.alphabet))
        file = FOLDER / f"autoencoder_{name}.safetensors"
        made = train(dictionaries.observe(reader, learned, kept.alphabet, WINDOWS).h, latents=latents)
        dictionaries.save(file, made, transformer=of or "untrained", sparsity=SPARSITY, steps=STEPS, seed=SEED)
        seen = dictionaries.observe(reader, kept, kept.alphabet)
        model = dictionaries.load(file).model
        a = np.asarray(autoencoder.encode(model, seen.h))
        rebuilt = np.asarray(autoencoder.decode(model, a))
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB, {time.time() - start:.0f} s")
        print(f"   L0 {metrics.l0(a):.2f}, {metrics.counts(a)}, EV {metrics.explained_variance(seen.h, rebuilt):.3f}")
        if of:
            print(f"   {dictionaries.recovered(seen, rebuilt)}")
        f1 = dictionaries.best_f1(seen, a, dictionaries.token_labels(seen))
        print(f"   best F1 of {len(f1)} characters in context {f1.mean():.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
