"""Real text as numbers: what every Python carries, and folders of text files in any encoding."""

from __future__ import annotations

import ast
import codecs
import dataclasses
import os
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from toysup import check

UNKNOWN = "\ufffd"  # stands for every character outside an alphabet
ASIDE = {"site-packages", "dist-packages", "test", "tests", "idle_test", "idlelib", "lib2to3", "__pycache__"}
BOMS = (  # the longer ones first: that of UTF-32 opens with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclasses.dataclass(frozen=True)
class Text:
    """Characters as numbers: `ids` (characters,) int32, positions in `alphabet`, one string of distinct characters."""

    ids: np.ndarray
    alphabet: str

    def __str__(self) -> str:
        """The text itself."""
        return decode(self.ids, self.alphabet)


def library() -> list[str]:
    """The documentation this Python carries: the topics of `help()`, then all docstrings of the standard library.

    Docstrings are read from source files, so they are there under `python -OO` too. Sizes differ from version to
    version, about two million characters in all. Raises FileNotFoundError where Python came without either.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some systems pack them apart
        topics = {}
    root = Path(sysconfig.get_paths()["stdlib"])
    files = [p for p in sorted(root.rglob("*.py")) if not ASIDE & set(p.relative_to(root).parts)]
    texts = [text for _, text in sorted(topics.items())] + [text for p in files for text in docstrings(p)]
    if not texts:
        raise FileNotFoundError(f"no docstrings below {root}: this Python came without the source of its library")
    return texts


def docstrings(path) -> list[str]:
    """The docstrings of a Python file: of the module, its classes and functions, outermost first.

    A file that cannot be read, or is not of this version of Python, has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an invalid escape in somebody's source
            level = [ast.parse(Path(path).read_bytes())]
    except (SyntaxError, ValueError, OSError):
        return []
    found = []
    while level:
        found += [text for node in level if (text := ast.get_docstring(node))]
        below = (child for node in level for child in node.body)
        level = [n for n in below if isinstance(n, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))]
    return found


def folder(path, pattern: str = "**/*.txt", encoding: str | None = None) -> list[str]:
    """The text files in a folder, sorted by name, every line ending in one newline.

    path: the folder. pattern: which files, as for `pathlib.Path.glob`; hidden and empty files are left out. encoding:
    of the files that do not open with a mark (of UTF-8, UTF-16, UTF-32, which is read in any case); default UTF-8.
    Errors: FileNotFoundError where the folder or such files are missing, NotADirectoryError, LookupError for an
    encoding Python does not know, ValueError that names a file which is not in this encoding or is no text.
    """
    path = _place(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no folder {path}")
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is a file: hand in the folder it lies in, and pattern={path.name!r}")
    if encoding is not None:
        _known(encoding)
    try:
        files = [p for p in sorted(path.glob(pattern)) if p.is_file() and not _hidden(p.relative_to(path))]
    except (ValueError, NotImplementedError, TypeError):
        raise ValueError(
            f"pattern must say which files inside the folder, such as '**/*.txt'; got {pattern!r}"
        ) from None
    texts = [text for file in files if (text := read(file, encoding))]
    if not texts:
        kinds = sorted({p.suffix or p.name for p in path.rglob("*") if p.is_file()})[:8]
        there = f"it has files of the kinds {', '.join(kinds)}" if kinds else "it is empty"
        there = f"all of these are empty ({len(files)})" if files else there
        raise FileNotFoundError(f"no text in files {pattern!r} below {path}: {there}")
    return texts


def read(path, encoding: str | None = None) -> str:
    """The text of one file, every line ending in one newline; encoding and errors as for `folder`."""
    data = Path(path).read_bytes()
    marked = next((name for bom, name in BOMS if data.startswith(bom)), None)
    name = marked or ("utf-8" if encoding is None else encoding)
    try:
        text = data.decode(_known(name))
    except UnicodeDecodeError as error:
        if encoding is None and b"\0" in data:
            raise ValueError(
                f"{path} holds zeros and is not {name.upper()}: it is no text, but a binary file"
            ) from None
        advice = "" if encoding else "; say which encoding it has, for example encoding='cp1252'"
        raise ValueError(
            f"{path} is not {name.upper()}: byte 0x{data[error.start]:02x} at {error.start} does not fit{advice}"
        ) from None
    if "\0" in text:
        raise ValueError(f"{path} read as {name.upper()} holds zeros: it is no text, or in another encoding")
    return text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")


def _place(path) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise ValueError(f"path must name a folder, got {path!r}")
    return Path(path).expanduser()


def _known(encoding) -> str:
    try:
        "a".encode(encoding)
    except (LookupError, TypeError):
        raise LookupError(
            f"encoding must be one that Python knows, for example 'utf-8' or 'cp1252'; got {encoding!r}"
        ) from None
    return encoding


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def as_text(documents, most: int = 100) -> Text:
    """Documents as one row of numbers, an empty line between them.

    documents: a string or several. most: size of the alphabet: the most frequent characters; all others become
    UNKNOWN, which is then the last of the alphabet. Raises ValueError where there is no text.
    """
    try:
        text = documents if isinstance(documents, str) else "\n\n".join(documents)
    except TypeError:
        raise TypeError("documents must be a string or several, as from `folder` or `library`") from None
    if not text:
        raise ValueError("documents are empty: at least one character is needed")
    often = Counter(text)
    ranked = sorted(often, key=lambda c: (-often[c], c))
    most = check.count("most", most, least=2)
    rare = len(ranked) > most
    alphabet = "".join(sorted(c for c in ranked[: most - rare] if c != UNKNOWN)) + UNKNOWN * (rare or UNKNOWN in often)
    return Text(encode(text, alphabet), alphabet)


def encode(text: str, alphabet: str) -> np.ndarray:
    """Text as positions in the alphabet: (characters,) int32.

    A character that is not in the alphabet becomes UNKNOWN where the alphabet has it; otherwise a ValueError names it.
    """
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    letters = np.frombuffer(alphabet.encode("utf-32-le", "surrogatepass"), np.uint32)
    order = np.argsort(letters)
    place = np.searchsorted(letters[order], points).clip(max=len(letters) - 1)
    ids = order[place].astype(np.int32)
    strange = letters[ids] != points
    if strange.any() and UNKNOWN not in alphabet:
        first = int(np.argmax(strange))
        raise ValueError(f"{text[first]!r} (character {first} of the text) is not in the alphabet {alphabet!r}")
    return np.where(strange, alphabet.find(UNKNOWN), ids).astype(np.int32)


def decode(ids, alphabet: str) -> str:
    """The text of some positions in an alphabet, the inverse of `encode`."""
    ids = np.asarray(ids).ravel()
    if ids.size and (ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= len(alphabet)):
        raise ValueError(f"ids must be whole numbers from 0 to {len(alphabet) - 1}, positions in the alphabet")
    return "".join(map(alphabet.__getitem__, ids.tolist()))
