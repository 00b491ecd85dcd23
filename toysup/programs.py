"""Compiled programs, kept on disk: bounded, apart by jaxlib and processor, and mended without a word.

JAX can keep what it compiles, but without a bound (or with one that needs another package), in one folder for all
processors, and a file that a kill or a full disk has cut short warns for ever. So JAX's own cache is used with files
of our own: a checksum in front, written beside their place and renamed; a bad one is deleted and made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import platform
import secrets
import subprocess
import sys
import time

import jax
import jaxlib
import platformdirs

SUFFIX, PART, STAMP = ".program", ".part", "pruned"
MOST_BYTES = 2**29  # of programs, all versions and processors together; those not used for longest go first
MOST_IDLE = 60 * 86400.0  # seconds after which a program is not wanted any more
PRUNE_EVERY = 3600.0  # seconds, so that starting a process seldom looks at all files
PRUNE_AFTER = MOST_BYTES // 16  # bytes written by this process
ABANDONED = 3600.0  # seconds after which a half-written file belongs to nobody
NOT_KEPT = "Compiled programs are not kept, so each start compiles anew"
DIGEST = hashlib.sha256().digest_size


def root() -> pathlib.Path:
    """The folder of all programs, in the user's cache folder."""
    return pathlib.Path(platformdirs.user_cache_dir("toysup", appauthor=False)) / "compiled"


def folder() -> pathlib.Path:
    """The folder of this jaxlib's programs for this processor: others would be refused by XLA, or read wrongly."""
    mark = hashlib.sha256(processor().encode()).hexdigest()[:12]
    return root() / f"jaxlib-{jaxlib.__version__}-{mark}"


def processor() -> str:
    """What the machine's instructions depend on, as text."""
    about = [platform.system(), platform.machine(), platform.processor(), *_lines_of_linux()]
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            about.append(subprocess.run(command, capture_output=True, text=True, timeout=5).stdout)
    return "\n".join(about)


def _lines_of_linux() -> list[str]:
    """The lines on the first processor that are the same at each start."""
    change = ("processor", "cpu MHz", "BogoMIPS", "bogomips", "microcode", "apicid", "initial apicid", "physical id")
    change += ("core id", "bugs")
    lines = []
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
        for line in f:
            if not line.strip():
                break
            if line.split(":")[0].strip() not in change:
                lines.append(line.strip())
    return lines


def keep() -> str:
    """Let JAX keep what it compiles in `folder()`, unless the user has chosen a folder or wants none.

    Returns a sentence that says why this cannot be done; an empty text where it is.
    """
    if jax.config.jax_compilation_cache_dir is not None or not jax.config.jax_enable_compilation_cache:
        return ""
    place = folder()
    _prune_now_and_then()
    try:
        place.mkdir(parents=True, exist_ok=True)
        _try_to_write(place)
    except OSError as error:
        return f"{NOT_KEPT}: {place} cannot be used ({error.strerror})."
    try:
        _use(place)
    except (ImportError, AttributeError):
        return f"{NOT_KEPT}: toysup does not know how JAX {jax.__version__} does it."
    jax.config.update("jax_compilation_cache_dir", str(place))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return ""


def _try_to_write(place: pathlib.Path) -> None:
    probe = place / f".{os.getpid()}-{secrets.token_hex(4)}{PART}"
    probe.write_bytes(b"")
    probe.unlink()


def _use(place: pathlib.Path) -> None:
    """Let JAX open `Programs` where it would open a cache of its own in this folder; other folders stay with JAX."""
    from jax._src import compilation_cache

    usual = compilation_cache.get_file_cache
    ours = lambda path: (Programs(place), path) if path == str(place) else usual(path)
    compilation_cache.get_file_cache = ours


class Programs:
    """What JAX asks for and gives back, as files. JAX warns where `get` or `put` raises, so neither does."""

    def __init__(self, place: pathlib.Path):
        self._path, self._written = place, 0  # JAX reads `_path`

    def get(self, key: str) -> bytes | None:
        """The program, or None where there is none or its file is not whole; such a file is deleted."""
        file = self._path / (key + SUFFIX)
        try:
            content = file.read_bytes()
            if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
                file.unlink()
                return None
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(file)  # the time of its last use
        return content[DIGEST:]

    def put(self, key: str, value: bytes) -> None:
        """Write a program whole or not at all: on a full disk the next process compiles it again."""
        part = self._path / f".{os.getpid()}-{secrets.token_hex(4)}{PART}"
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            part.write_bytes(hashlib.sha256(value).digest() + value)
            os.replace(part, self._path / (key + SUFFIX))
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            return
        self._written += len(value)
        if self._written > PRUNE_AFTER:
            self._written = 0
            prune(self._path.parent)


def _prune_now_and_then() -> None:
    stamp = root() / STAMP
    with contextlib.suppress(OSError):
        root().mkdir(parents=True, exist_ok=True)
        if not stamp.exists() or not 0 <= time.time() - stamp.stat().st_mtime < PRUNE_EVERY:
            stamp.touch()
            prune(root())


def prune(top: pathlib.Path, most: int | None = None) -> None:
    """Delete what was not used for MOST_IDLE seconds, then what was not used for longest, down to `most` bytes.

    top: the folder of all versions. most: MOST_BYTES where none is given. What cannot be deleted stays.
    """
    room, now = MOST_BYTES if most is None else most, time.time()
    for used, size, file in sorted(_files(top), reverse=True):
        room -= size
        idle = now - used
        if room < 0 or idle > MOST_IDLE or (file.endswith(PART) and idle > ABANDONED):
            with contextlib.suppress(OSError):
                os.unlink(file)
    for place in [entry for entry in top.iterdir() if entry.is_dir()]:
        with contextlib.suppress(OSError):
            place.rmdir()  # only where it is empty; `put` makes it again


def _files(top) -> list[tuple[float, int, str]]:
    """Time of last use, size and path of every file but the stamp."""
    found = []
    for here, _, names in os.walk(top):
        for path in (os.path.join(here, name) for name in names if name != STAMP):
            with contextlib.suppress(OSError):
                found.append((os.stat(path).st_mtime, os.stat(path).st_size, path))
    return found
