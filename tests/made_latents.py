"""Features written down instead of measured, of a text that would break a careless page."""

import numpy as np

from toysup.language.dictionaries import Observed
from toysup.language.features import BINS, EACH, INTERVALS, TOP, Alignment, Correlated, Features, Snippets

TEXT = "<script>alert(1)</script>&\"'</style>\n<!--<img src=x onerror=alert(2)>\n" * 4
WINDOW = 32


def made(latents: int = 12, *, partner: bool = True) -> Features:
    """Latent k scores 1 - k / latents, fires k % 7 + 1 times in 100 but for number 5, which is dead."""
    k, rng = np.arange(latents), np.random.default_rng(0)
    alphabet = "".join(sorted(set(TEXT)))
    ids = np.array([alphabet.index(c) for c in TEXT], np.int32)
    rows = np.arange((len(ids) - 1) // WINDOW)[:, None] * WINDOW + np.arange(WINDOW + 1)
    seen = Observed(None, alphabet, ids, rows, np.zeros((rows.shape[0] * WINDOW, 4), np.float32), None)
    shown, length = TOP + INTERVALS * EACH, 30
    alive = k != 5
    which = rng.integers(0, 4, (latents, 3))
    pairs = Correlated(which, np.sort(rng.random((latents, 3)))[:, ::-1], rng.random((latents, 3)))
    inputs = np.where(alive[:, None], rng.integers(0, len(seen.h) // WINDOW, (latents, shown)) * WINDOW + 3, -1)
    start = np.where(inputs < 0, 0, inputs - 3)
    activation = np.zeros((latents, shown, length))
    activation[..., 3], activation[..., 7] = 2.0 * alive[:, None], 1.0 * alive[:, None]
    return Features(
        seen=seen,
        density=np.where(alive, (k % 7 + 1) / 100, 0.0),
        maximum=np.where(alive, 2.0, 0.0),
        alignment=Alignment(which, pairs.value, pairs.value / 2),
        neurons=pairs,
        partners=pairs if partner else None,
        consistency=np.where(alive, k % 5 + 1.0, 0.0),
        logits=rng.normal(size=(latents, len(alphabet))),
        mode=None,
        odds=rng.integers(0, 9, (latents, BINS, 1)) * alive[:, None, None],
        share=np.full((latents, INTERVALS), 1 / INTERVALS),
        inputs=inputs,
        snippets=Snippets(start, activation, np.roll(activation, 1, axis=2) * 0.1),
        effect=rng.normal(size=latents),
        statement=tuple(f"‘<b>{i}</b>’ in </script>" for i in k),
        score=1 - k / latents,
        sample=tuple(TEXT[:40] for _ in k),
        prompt="\n",
        written=TEXT[:40],
    )
