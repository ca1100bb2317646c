"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tirtrack import cache, files
from tirtrack.errors import RequestError, StorageError


def test_written_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    files.write_json(tmp_path / "deep" / "a.json", {"x": 1})
    assert (tmp_path / "deep" / "a.json").read_text() == '{\n "x": 1\n}\n'
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_interrupt_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def interrupted() -> None:
        with files.atomic_path(target) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_is_one_sentence_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_nan_is_refused_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    folder = files.new_folder(tmp_path / "out")
    (folder / "kept.txt").write_text("x")
    with pytest.raises(RequestError, match="exists already"):
        files.new_folder(folder)
    assert (folder / "kept.txt").exists()
    assert not list(files.new_folder(folder, force=True).iterdir())


def test_numbered_folders_count_up(tmp_path: Path) -> None:
    names = [files.numbered_folder(tmp_path / "runs", "demo").name for _ in range(3)]
    assert names == ["demo-001", "demo-002", "demo-003"]


def test_fingerprint_depends_on_values_not_on_order() -> None:
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_cache_shows_and_clears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))
    assert cache.cache_entries() == []
    files.write_bytes(cache.cache_folder("graphs") / "a.onnx", b"12345")
    assert cache.cache_entries() == [cache.CacheEntry("graphs", 1, 5)]
    assert cache.clear_cache() == 5
    assert cache.cache_entries() == []
