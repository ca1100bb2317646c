"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import sys
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
    assert [path.name for path in files.new_folder(folder, force=True).iterdir()] == [files.MARKER]


def test_new_folder_that_got_nothing_is_still_new(tmp_path: Path) -> None:
    assert files.new_folder(files.new_folder(tmp_path / "out")) == tmp_path / "out"


def test_force_never_deletes_what_tirtrack_did_not_make(tmp_path: Path) -> None:
    recordings, link, file = tmp_path / "rec", tmp_path / "link", tmp_path / "file.mp4"
    recordings.mkdir()
    (recordings / "rgb.mp4").write_text("mine")
    file.write_text("mine")
    made = files.new_folder(tmp_path / "made")
    (made / "a.txt").write_text("x")
    link.symlink_to(made)
    for path, message in (
        (recordings, r"rec: was not made by tirtrack \(no \.tirtrack in it\), so --force does not"),
        (link, "link: is not a folder, so --force does not replace it; choose another --out, or"),
        (file, "is not a folder"),
    ):
        with pytest.raises(RequestError, match=message) as caught:
            files.new_folder(path, force=True)
        assert "\n" not in str(caught.value)
    assert (recordings / "rgb.mp4").read_text() == file.read_text() == "mine"
    assert (made / "a.txt").exists()
    assert link.is_symlink()


@pytest.mark.parametrize("below", [".", "deep/er"])
@pytest.mark.parametrize("name", ["working", "home"])
def test_force_never_deletes_where_the_user_stands_or_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, below: str
) -> None:
    made = files.new_folder(tmp_path / "made")
    kept = made / below / "kept.txt"
    files.write_text(kept, "x")
    if name == "home":
        monkeypatch.setenv("HOME", str(kept.parent))
    else:
        monkeypatch.chdir(kept.parent)
    with pytest.raises(RequestError, match=f"is or holds the {name} folder"):
        files.new_folder(made, force=True)
    assert kept.exists()


def test_a_numbered_folder_may_be_replaced(tmp_path: Path) -> None:
    folder = files.numbered_folder(tmp_path, "demo")
    (folder / "a.txt").write_text("x")
    assert not (files.new_folder(folder, force=True) / "a.txt").exists()


def test_a_name_that_is_too_long_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="could not be made"):
        files.new_folder(tmp_path / ("x" * 300))


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


def test_clearing_the_cache_spares_all_that_is_not_a_known_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, beside = tmp_path / "cache", tmp_path / "beside"
    monkeypatch.setenv("TIRTRACK_CACHE", str(root))
    mine = [root / "photos" / "a.jpg", root / "note.txt", beside / "b.bin", beside / "in" / "c.bin"]
    for path in mine:
        files.write_bytes(path, b"mine")
    for kind in cache.KINDS[1:]:
        files.write_bytes(cache.cache_folder(kind) / "x.bin", b"123")
    (root / "graphs").symlink_to(beside)
    (root / "worlds" / "linked").symlink_to(beside)
    (root / "worlds" / "file").symlink_to(beside / "b.bin")
    assert [entry.kind for entry in cache.cache_entries()] == list(cache.KINDS[1:])
    assert cache.clear_cache() == 3 * len(cache.KINDS[1:])
    assert all(path.read_bytes() == b"mine" for path in mine)
    assert not any((root / kind).exists() for kind in cache.KINDS[1:])


def test_the_cache_has_no_kind_that_clearing_would_forget() -> None:
    with pytest.raises(ValueError, match='holds no "features"; known are graphs, pools, '):
        cache.cache_folder("features")


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no such locks")
def test_a_lock_is_asked_for_by_who_may_write_as_network_disks_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = files.new_folder(tmp_path / "out"), []
    monkeypatch.setattr(files.fcntl, "flock", lambda held, how: asked.append(held.writable()))
    with files.sole_writer(folder):
        assert asked == [True]
    assert (folder / files.MARKER).read_text().startswith("Made by tirtrack")


def test_a_folder_that_cannot_be_locked_is_said_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = files.new_folder(tmp_path / "out")

    def refuses(*args: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "open", refuses)
    with files.sole_writer(folder):
        pass
    assert "cannot be locked (Read-only file system)" in caplog.text
