"""What every notebook of the series imports: `from toysup.notebook import *`.

It calls `toysup.configure()` and says nothing where that cannot do all (JAX already started, a read-only home): results
are the same, only slower. `python -m toysup` tells.
"""

import jax
import numpy as np

from toysup import (
    Fit,
    anticorrelated,
    configure,
    correlated,
    expected_loss,
    forward,
    geometry,
    independent,
    sample,
    theory,
    train,
)
from toysup.exercises import check
from toysup.geometry import canonicalize, describe, feature_dimensionality, norms
from toysup.marks import Arrows, Bars, Curves, Heat, Plot, Points
from toysup.panel import Choice, Panel, Slider
from toysup.plots import show

configure()


def fixed(values, decimals: int = 2) -> str:
    """Numbers as text with a fixed number of decimals, separated by blanks; -0 is written as 0."""
    rounded = np.round(np.asarray(values, float), decimals) + 0.0
    return " ".join(f"{value:.{decimals}f}" for value in rounded.ravel())


__all__ = [
    "Arrows",
    "Bars",
    "Choice",
    "Curves",
    "Fit",
    "Heat",
    "Panel",
    "Plot",
    "Points",
    "Slider",
    "anticorrelated",
    "canonicalize",
    "check",
    "correlated",
    "describe",
    "expected_loss",
    "feature_dimensionality",
    "fixed",
    "forward",
    "geometry",
    "independent",
    "jax",
    "norms",
    "np",
    "sample",
    "show",
    "theory",
    "train",
]
