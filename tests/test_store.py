"""Chunks on disk: whole or not there, checked when read, and never those of another sweep."""

import errno
import io
import json
import os

import numpy as np
import pytest

from toysup import store
from toysup.store import BadChunk, finished, open_store, read_chunk, write_chunk

VERSIONS = {"toysup": "1.0", "jax": "2.0", "precision": "float32"}
ARRAYS = {"W": np.arange(12, dtype=np.float32).reshape(3, 2, 2), "reached": np.array([1, 2, 3], np.int32)}


@pytest.fixture
def opened(tmp_path):
    return open_store(tmp_path / "store", {"n": 2}, VERSIONS)


def names(opened):
    return sorted(f.name for f in opened.folder.iterdir())


def test_what_is_written_is_read(opened):
    write_chunk(opened, 4, ARRAYS)
    for found in (read_chunk(opened, 4), read_chunk(opened, 4, ["W"]) | read_chunk(opened, 4, ["reached"])):
        assert found.keys() == ARRAYS.keys()
        for name, a in ARRAYS.items():
            np.testing.assert_array_equal(found[name], a)
            assert found[name].dtype == a.dtype
    assert names(opened) == ["chunk-0000004.npz", "sweep.json"]
    with np.load(opened.file(4)) as archive:  # plain NumPy reads it too
        np.testing.assert_array_equal(archive["W"], ARRAYS["W"])


def test_a_chunk_cut_off_anywhere_or_with_a_changed_byte_is_refused(opened):
    write_chunk(opened, 0, ARRAYS)
    whole = opened.file(0).read_bytes()
    for length in range(0, len(whole), 7):
        opened.file(0).write_bytes(whole[:length])
        with pytest.raises(BadChunk, match="truncated or damaged"):
            read_chunk(opened, 0)
    at = whole.index(ARRAYS["W"].tobytes())
    for place in range(at, at + ARRAYS["W"].nbytes, 5):
        opened.file(0).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        for wanted in (None, ["W"]):
            with pytest.raises(BadChunk, match="damaged"):
                read_chunk(opened, 0, wanted)
    opened.file(0).write_bytes(whole)
    assert finished(opened, 2)[0].tolist() == [True, False]


def test_the_checksum_is_of_names_types_and_numbers(opened):
    """An archive that is sound in itself, whose numbers are not those the header speaks of."""
    write_chunk(opened, 0, ARRAYS)
    with np.load(opened.file(0)) as archive:
        header = archive["header"]
    for other in (ARRAYS | {"reached": np.array([1, 2, 4], np.int32)}, {"V": ARRAYS["W"]}, ARRAYS | {"x": np.zeros(1)}):
        buffer = io.BytesIO()
        np.savez(buffer, header=header, **other)
        opened.file(0).write_bytes(buffer.getvalue())
        with pytest.raises(BadChunk, match="checksum"):
            read_chunk(opened, 0)


def test_chunks_of_others_are_named_with_the_reason(opened, tmp_path, monkeypatch):
    for chunk in range(6):
        write_chunk(opened, chunk, ARRAYS)
    write_chunk(open_store(tmp_path / "other", {"n": 3}, VERSIONS), 0, ARRAYS)
    os.replace(tmp_path / "other" / "chunk-0000000.npz", opened.file(0))
    os.replace(opened.file(5), opened.file(1))
    write_chunk(store.Store(opened.folder, opened.fingerprint, VERSIONS | {"toysup": "0.9"}), 2, ARRAYS)
    with monkeypatch.context() as older:
        older.setattr(store, "FORMAT", 0)
        write_chunk(opened, 3, ARRAYS)
    there, complaints = finished(opened, 6)
    assert there.tolist() == [False, False, False, False, True, False]
    for text, number, words in zip(
        complaints, range(4), ("another sweep", "another chunk", "toysup 0.9, here is 1.0", "format 0"), strict=True
    ):
        assert text.startswith(f"chunk-000000{number}.npz ")
        assert words in text


def test_another_sweep_is_refused_and_named(opened):
    write_chunk(opened, 0, ARRAYS)
    with pytest.raises(FileExistsError, match=r"differs in n \(2 there, 3 here\).*overwrite=True"):
        open_store(opened.folder, {"n": 3}, VERSIONS)
    with pytest.raises(FileExistsError, match="differs in m"):
        open_store(opened.folder, {"n": 2, "m": 1}, VERSIONS)
    assert names(opened) == ["chunk-0000000.npz", "sweep.json"]
    again = open_store(opened.folder, {"n": 2}, VERSIONS)
    assert finished(again, 1)[0].all()
    (opened.folder / "notes.txt").write_text("mine")
    fresh = open_store(opened.folder, {"n": 3}, VERSIONS, overwrite=True)
    assert names(fresh) == ["notes.txt", "sweep.json"]
    assert json.loads((fresh.folder / "sweep.json").read_text())["settings"] == {"n": 3}


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="not empty"):
        open_store(tmp_path, {"n": 2}, VERSIONS)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.tex"]
    open_store(tmp_path, {"n": 2}, VERSIONS, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_store_must_be_a_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"store '.*file' cannot be a folder"):
        open_store(tmp_path / "file", {}, VERSIONS)
    with pytest.raises(TypeError, match="store must be the path of a folder, got 5"):
        open_store(5, {}, VERSIONS)


def test_a_damaged_manifest_costs_nothing(opened):
    write_chunk(opened, 0, ARRAYS)
    for text in ("", "{", '"text"', "{}"):
        (opened.folder / "sweep.json").write_text(text)
        assert finished(open_store(opened.folder, {"n": 2}, VERSIONS), 1)[0].all()
        assert not finished(open_store(opened.folder, {"n": 2}, VERSIONS | {"jax": "3"}), 1)[0].any()


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_failed_write_is_a_clear_error_and_leaves_nothing(opened, monkeypatch, where, number):
    write_chunk(opened, 0, ARRAYS)

    def fail(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(os, where, fail)
        with pytest.raises(OSError, match=r"chunk-0000001\.npz cannot be written") as caught:
            write_chunk(opened, 1, ARRAYS)
    assert caught.value.errno == number
    assert os.strerror(number) in str(caught.value)
    assert names(opened) == ["chunk-0000000.npz", "sweep.json"]
    read_chunk(opened, 0)
    write_chunk(opened, 1, ARRAYS)
    read_chunk(opened, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_disk_that_is_really_full(opened, monkeypatch):
    """/dev/full refuses every byte, as a full disk does."""
    with monkeypatch.context() as full:
        full.setattr(store, "open", lambda *_: io.FileIO("/dev/full", "wb"), raising=False)
        with pytest.raises(OSError, match="cannot be written") as caught:
            write_chunk(opened, 0, ARRAYS)
    assert caught.value.errno == errno.ENOSPC
    assert names(opened) == ["sweep.json"]


def test_half_written_files_of_the_dead_are_removed_those_of_the_living_stay(opened):
    old, new = opened.folder / ".chunk-0000000.npz.1-a.part", opened.folder / ".chunk-0000000.npz.2-b.part"
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, 0))
    open_store(opened.folder, {"n": 2}, VERSIONS)
    assert not old.exists()
    assert new.exists()
