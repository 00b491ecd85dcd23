"""A sweep on disk: one folder with a manifest and one file per finished chunk.

A file appears under its name only when it is complete: it is written beside, flushed to the disk, then renamed.
Every chunk says which sweep, which format and which versions it is from and carries a checksum of its numbers;
what does not match is computed again. Nothing is locked: where two processes work on one folder, both write
equal numbers, and the later rename wins. Chunks are plain NumPy archives: `numpy.load` opens them anywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import time
import zipfile
import zlib

import numpy as np

FORMAT = 1
MANIFEST = "sweep.json"
OURS = (MANIFEST, "chunk-*.npz", ".*.npz.*.part", f".{MANIFEST}.*.part")
ABANDONED = 3600.0  # seconds after which a half-written file belongs to nobody
DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the chunks of one sweep are kept.

    folder: the folder. fingerprint: of the settings of the sweep. versions: of what its numbers depend on.
    """

    folder: pathlib.Path
    fingerprint: str
    versions: dict[str, str]

    def file(self, chunk: int) -> pathlib.Path:
        """The file of a chunk."""
        return self.folder / f"chunk-{chunk:07d}.npz"


class BadChunk(Exception):
    """A chunk that must not be used; its text says why."""


def open_store(path, settings: dict, versions: dict, overwrite: bool = False) -> Store:
    """Make the folder of a sweep, or find one that was begun before.

    path: the folder. settings: what the sweep computes, in JSON's types. versions: texts by name.
    overwrite: throw away the chunks of another sweep; those of this sweep, and files of no sweep, stay.
    Errors: FileExistsError where the folder holds another sweep, or something else; OSError where nothing can
    be written.
    """
    folder = _folder(path)
    store = Store(folder, hashlib.sha256(_json(settings).encode()).hexdigest(), versions)
    try:
        _check_manifest(folder, settings)
    except FileExistsError:
        if not overwrite:
            raise
        _remove(folder, OURS)
    _remove(folder, OURS[2:], older_than=ABANDONED)
    manifest = {"about": "a sweep of toysup", "format": FORMAT, "settings": settings, "versions": versions}
    text = json.dumps(manifest, indent=1).encode()
    if not (folder / MANIFEST).exists() or (folder / MANIFEST).read_bytes() != text:
        _write(folder / MANIFEST, lambda f: f.write(text))
    return store


def write_chunk(store: Store, chunk: int, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays of a chunk; the file is there whole, or not at all.

    Errors: OSError that names the folder, for example where the disk is full. Other chunks stay as they are.
    """
    header = {"format": FORMAT, "fingerprint": store.fingerprint, "versions": store.versions, "chunk": chunk}
    header["sha256"] = _checksum(arrays)
    text = np.frombuffer(_json(header).encode(), np.uint8)
    _write(store.file(chunk), lambda f: np.savez(f, allow_pickle=False, header=text, **arrays))


def read_chunk(store: Store, chunk: int, names=None) -> dict[str, np.ndarray]:
    """The arrays of a chunk, or only those called `names`.

    Raises BadChunk where the file is damaged or not of this sweep and these versions. The checksum of a chunk is
    compared when all of it is read; the archive has one of its own for each array.
    """
    try:
        with open(store.file(chunk), "rb") as f, np.load(f, allow_pickle=False) as archive:
            header = json.loads(bytes(archive["header"]))
            _check_header(store, chunk, header)
            arrays = {name: archive[name] for name in (names or [n for n in archive.files if n != "header"])}
            damaged = not names and _checksum(arrays) != header["sha256"]
    except DAMAGE as error:
        raise BadChunk("is truncated or damaged") from error
    if damaged:
        raise BadChunk("is damaged: its checksum is wrong")
    return arrays


def finished(store: Store, chunks: int) -> tuple[np.ndarray, list[str]]:
    """Which of the chunks are there and sound (bool, (chunks,)), and a sentence for each one that is not."""
    there, complaints = np.zeros(chunks, bool), []
    for chunk in range(chunks):
        if not store.file(chunk).exists():
            continue
        try:
            read_chunk(store, chunk)
            there[chunk] = True
        except BadChunk as bad:
            complaints.append(f"{store.file(chunk).name} {bad}")
    return there, complaints


def is_finished(store: Store, chunk: int) -> bool:
    """Whether this chunk is there and sound."""
    return bool(store.file(chunk).exists()) and _is_sound(store, chunk)


def _is_sound(store: Store, chunk: int) -> bool:
    try:
        return bool(read_chunk(store, chunk))
    except BadChunk:
        return False


def _check_header(store: Store, chunk: int, header: dict) -> None:
    if header["format"] != FORMAT:
        raise BadChunk(f"has format {header['format']}, this version of toysup writes format {FORMAT}")
    if header["fingerprint"] != store.fingerprint or header["chunk"] != chunk:
        raise BadChunk("belongs to another sweep" if header["chunk"] == chunk else "is another chunk")
    for name, version in store.versions.items():
        found = header["versions"].get(name)
        if found is None:
            raise BadChunk(f"does not say which {name} made it (an older toysup did not write that down)")
        if found != version:
            raise BadChunk(f"was made with {name} {found}, here is {version}")


def _check_manifest(folder: pathlib.Path, settings: dict) -> None:
    """Refuse a folder that holds another sweep, or no sweep at all."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())["settings"]
    except FileNotFoundError:
        if any(folder.iterdir()) and not any(file for pattern in OURS for file in folder.glob(pattern)):
            raise FileExistsError(
                f"store {str(folder)!r} is not empty and holds no sweep: name another folder, or pass "
                "overwrite=True (files that are not of a sweep stay)"
            ) from None
        return
    except (ValueError, KeyError, TypeError):  # damaged: the chunks say themselves what they are
        return
    differ = [name for name in {**settings, **found} if settings.get(name) != found.get(name)]
    if differ:
        name = differ[0]
        others = f", and in {', '.join(differ[1:])}" if differ[1:] else ""
        raise FileExistsError(
            f"store {str(folder)!r} holds another sweep: it differs in {name} ({_shown(found.get(name))} there, "
            f"{_shown(settings.get(name))} here){others}. Name another folder, or lose that sweep by overwrite=True"
        )


def _shown(value) -> str:
    """A setting for people: a value, or how many there are."""
    if isinstance(value, dict):
        return f"{value['count']} values from {value['first']} to {value['last']}"
    return "none" if value is None else repr(value)


def _folder(path) -> pathlib.Path:
    try:
        folder = pathlib.Path(path)
    except TypeError:
        raise TypeError(f"store must be the path of a folder, got {path!r:.60}") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise type(error)(error.errno, f"store {str(folder)!r} cannot be a folder: {error.strerror}") from None
    return folder


def _remove(folder: pathlib.Path, patterns, older_than: float = 0.0) -> None:
    for pattern in patterns:
        for file in folder.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - file.stat().st_mtime >= older_than:
                    file.unlink()


def _write(file: pathlib.Path, fill) -> None:
    """Write a file beside its place, flush it to the disk, then rename it."""
    part = file.with_name(f".{file.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with open(part, "xb") as f:
            fill(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, file)
        _flush_folder(file.parent)
    except OSError as error:
        done = sum(1 for _ in file.parent.glob("chunk-*.npz"))
        raise OSError(
            error.errno,
            f"{file.name} cannot be written in store {str(file.parent)!r}: {error.strerror}. The {done} chunks that "
            "are there are intact; make room, and the same call goes on from them",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _flush_folder(folder: pathlib.Path) -> None:
    """Make the rename itself last, on systems where a folder can be flushed."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse; the rename is still whole or not there
        pass
    finally:
        os.close(handle)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {a.dtype.str} {a.shape}".encode())
        total.update(a.reshape(-1).view(np.uint8))
    return total.hexdigest()


def _json(value) -> str:
    return json.dumps(value, sort_keys=True)
