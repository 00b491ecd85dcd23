"""Sparse autoencoders: variants, training, and metrics against ground truth."""

from toysup.autoencoder.training import Hidden, train
from toysup.autoencoder.variants import VARIANTS, Autoencoder, decode, dictionary, encode, pick, reconstruct

__all__ = [
    "VARIANTS",
    "Autoencoder",
    "Hidden",
    "decode",
    "dictionary",
    "encode",
    "pick",
    "reconstruct",
    "train",
]
