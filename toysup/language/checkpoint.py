"""Trained models on disk, as safetensors: arrays with names and a note, no code that a file could run.

`write` and `read` serve any set of named arrays; `save` and `load` a transformer with its alphabet.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from toysup.language.transformer import SHAPES, Transformer

KIND = "one-layer transformer, version 1"
NOTE = "toysup"  # the key of our note in a file; one key, so that equal contents are equal bytes


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A model, the alphabet it reads, and whatever was noted with it."""

    model: Transformer
    alphabet: str
    notes: dict


def save(path, model: Transformer, alphabet: str, **notes) -> None:
    """Write a model to a file, in float32.

    alphabet: its characters in order. notes: anything JSON can hold, such as the seed.
    """
    if len(alphabet) != model.size or len(set(alphabet)) != len(alphabet):
        raise ValueError(f"alphabet must have {model.size} distinct characters, got {len(alphabet)}: {alphabet!r}")
    arrays = {name: np.asarray(getattr(model, name), np.float32) for name in SHAPES}
    write(path, KIND, arrays, {"alphabet": alphabet, "heads": model.heads, "notes": notes})


def load(path) -> Checkpoint:
    """Read a model from a file that `save` wrote.

    Errors: FileNotFoundError; ValueError that names the file and says what is wrong with it: no safetensors, of
    another kind, tensors that are missing, too many, of wrong shape or not finite.
    """
    arrays, note = read(path, KIND)
    _complain(path, _wrong_names(arrays) or _wrong_shapes(arrays) or _wrong_note(arrays, note))
    arrays = {name: jnp.asarray(a, jnp.float32) for name, a in arrays.items()}
    return Checkpoint(Transformer(**arrays, heads=note["heads"]), note["alphabet"], note.get("notes", {}))


def write(path, kind: str, arrays: dict[str, np.ndarray], note: dict) -> None:
    """Write named arrays and a note to a safetensors file; it appears whole or not at all.

    kind: what it holds, to be asked for by `read`. note: anything JSON can hold.
    """
    text = json.dumps({"kind": kind} | note, sort_keys=True)
    data = safetensors.numpy.save({k: np.ascontiguousarray(a) for k, a in sorted(arrays.items())}, {NOTE: text})
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    os.replace(part, path)


def read(path, kind: str) -> tuple[dict[str, np.ndarray], dict]:
    """The arrays and the note of a file that `write` wrote; errors as for `load`."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with safe_open(path, "numpy") as file:
            note = json.loads((file.metadata() or {}).get(NOTE, "{}"))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
    except (SafetensorError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is no safetensors file, or a damaged one: {error}") from None
    found = note.get("kind") if isinstance(note, dict) else None
    if found != kind:
        whose = f"holds {found!r}" if found else "was written by another program"
        raise ValueError(f"{path} {whose}; expected {kind!r}")
    _complain(path, next((f"{k} is not finite" for k, a in arrays.items() if not np.isfinite(a).all()), ""))
    return arrays, note


def _complain(path, complaint: str) -> None:
    if complaint:
        raise ValueError(f"{path} cannot be used: {complaint}")


def _wrong_names(arrays) -> str:
    missing, strange = sorted(SHAPES.keys() - arrays.keys()), sorted(arrays.keys() - SHAPES.keys())
    parts = [f"missing {', '.join(missing)}"] if missing else []
    return "; ".join(parts + ([f"unknown {', '.join(strange)}"] if strange else []))


def _wrong_shapes(arrays) -> str:
    """Every letter of SHAPES must be one number throughout; its first array tells which."""
    length: dict[str, int] = {}
    for name, letters in SHAPES.items():
        shape = arrays[name].shape
        if len(shape) == len(letters):
            for letter, number in zip(letters, shape, strict=True):
                length.setdefault(letter, number)
        wanted = tuple(length.get(letter, letter) for letter in letters)
        if shape != wanted:
            return f"{name} has shape {shape}, expected ({', '.join(map(str, wanted))})"
    return ""


def _wrong_note(arrays, note) -> str:
    size, d = arrays["embed"].shape
    alphabet, heads = note.get("alphabet"), note.get("heads")
    if not isinstance(alphabet, str) or len(alphabet) != size or len(set(alphabet)) != size:
        return f"its alphabet must be {size} distinct characters, got {alphabet!r}"
    if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1 or d % heads:
        return f"heads must divide {d}, got {heads!r}"
    return ""
