"""Remake data/transformer_a.safetensors and data/transformer_b.safetensors, two models of the small language.

python -m tools.data_language            about 2 minutes on two cores

Both read the same text; they differ in the seed of their start and of the order in which they see it.
"""

from __future__ import annotations

import time
from pathlib import Path

import jax

from toysup import configure
from toysup.language import checkpoint, corpus, transformer
from toysup.language.corpus import MODES

configure()

FOLDER = Path(__file__).resolve().parent.parent / "data"
CHARACTERS, SEED, KEPT_BACK = 1_500_000, 0, 50_000
STEPS = 2000
MODELS = {"a": 0, "b": 1}  # names and seeds


def texts():
    """The text to train on, and the text kept back."""
    return corpus.split(corpus.draw(CHARACTERS, seed=SEED), KEPT_BACK)


def train(seed: int, steps: int = STEPS):
    """One model from one seed."""
    seen, _ = texts()
    return transformer.train(seen.ids, len(seen.alphabet), steps=steps, key=jax.random.key(seed))


def main() -> None:
    """Write the files."""
    _, kept = texts()
    for name, seed in MODELS.items():
        start = time.time()
        model = train(seed).model
        loss = transformer.held_out(model, kept.ids)
        file = FOLDER / f"transformer_{name}.safetensors"
        about = {"seed": seed, "steps": STEPS, "held_out": round(float(loss.mean()), 4)}
        checkpoint.save(file, model, kept.alphabet, **about)
        modes = kept.mode[transformer.windows(len(kept), model.context)[:, 1:]]
        rates = zip(MODES, transformer.by_group(loss, modes, len(MODES)), strict=True)
        print(
            f"{file.name}: {file.stat().st_size / 1000:.0f} kB, {time.time() - start:.0f} s, held out {loss.mean():.4f}"
        )
        print("   " + ", ".join(f"{mode} {rate:.3f}" for mode, rate in rates), flush=True)


if __name__ == "__main__":
    main()
