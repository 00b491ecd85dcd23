"""Toy models of superposition: train many at once, look at what they learned, check it against theory."""

from toysup import runtime as _runtime

_runtime.configure()

from toysup.features import Features, anticorrelated, correlated, independent, sample  # noqa: E402
from toysup.geometry import canonicalize, feature_dimensionality  # noqa: E402
from toysup.loss import expected_loss  # noqa: E402
from toysup.model import forward  # noqa: E402
from toysup.sweep import sweep  # noqa: E402
from toysup.train import Fit, train  # noqa: E402

__version__ = "0.1.0"
__all__ = [
    "Features",
    "Fit",
    "anticorrelated",
    "canonicalize",
    "correlated",
    "expected_loss",
    "feature_dimensionality",
    "forward",
    "independent",
    "sample",
    "sweep",
    "train",
]
