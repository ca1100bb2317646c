"""A path at an address behaves as one on the disk, and its errors are those of a disk."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tirtrack.errors import RequestError
from tirtrack.remote import RemotePath, any_path, fetched, new_remote_folder


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path) -> RemotePath:
    if request.param == "file":
        return RemotePath(f"file://{tmp_path}/there")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return RemotePath("memory://there")


def test_a_text_with_a_scheme_is_an_address_and_any_other_is_a_path(place):
    assert any_path(place.address) == any_path(place) == place
    assert any_path("a/b") == any_path(Path("a/b")) == Path("a/b")
    assert pickle.loads(pickle.dumps(place)) == place


def test_files_are_written_found_and_read(place):
    assert not place.exists()
    assert not place.is_dir()
    (place / "b.json").write_bytes(b"0123456789")
    (place / "a-1.tar").write_bytes(b"x")
    assert place.is_dir()
    assert (place / "b.json").is_file()
    assert [one.name for one in place.iterdir()] == ["a-1.tar", "b.json"]
    assert place.glob("a-*.tar") == [place / "a-1.tar"]
    assert (place / "b.json").stat().st_size == 10
    assert (place / "b.json").read_bytes() == b"0123456789"
    assert (place / "b.json").read_bytes(2, 3) == b"234"
    assert (place / "b.json").read_bytes(8, 9) == b"89"
    assert (place / "b.json").read_bytes(5, 0) == b""
    assert (place / "b.json").with_suffix(".tar") == place / "b.tar"
    with (place / "b.json").open() as opened:
        assert opened.read() == b"0123456789"


def test_a_file_is_sent_and_a_folder_is_fetched_once(place, tmp_path):
    (tmp_path / "one.txt").write_text("one")
    (place / "deep" / "one.txt").upload(tmp_path / "one.txt")
    (place / "two.txt").write_bytes(b"two")
    copy = fetched(place)
    assert (copy / "deep" / "one.txt").read_text() == "one"
    assert (copy / "two.txt").read_text() == "two"
    assert fetched(place) == copy
    (place / "two.txt").write_bytes(b"other")
    assert (fetched(place) / "two.txt").read_text() == "other"
    place.remove()
    assert not place.exists()
    with pytest.raises(RequestError, match="there is no such folder"):
        fetched(place)


def test_what_is_missing_is_an_error_of_a_disk(place):
    for act in ((place / "none").read_bytes, (place / "none").stat, (place / "none").open):
        with pytest.raises(FileNotFoundError) as caught:
            act()
        assert caught.value.strerror


def test_an_error_that_only_a_storage_knows_is_one_of_a_disk(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no route to memory://me:pw@there")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fails)
    with pytest.raises(OSError, match="no route") as caught:
        RemotePath("memory://there/a").read_bytes()
    assert caught.value.errno == errno.EIO
    assert "pw" not in caught.value.strerror


def test_an_address_that_nothing_opens_says_what_to_install(monkeypatch):
    with pytest.raises(RequestError, match=r"cannot be opened here .*Protocol not known: nowhere"):
        RemotePath("nowhere://bucket/a")

    def missing(*args, **kwargs):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(RequestError, match=r"Install s3fs to access S3.*; install what it names"):
        RemotePath("s3://bucket/a")


def test_a_login_is_never_shown():
    shown = str(RemotePath("memory://me:secret@there/a"))
    assert "secret" not in shown
    assert shown.endswith("@there/a")


def test_only_what_tirtrack_made_is_replaced_and_never_what_is_read(place):
    new_remote_folder(place, ".tirtrack")
    new_remote_folder(place, ".tirtrack")  # a folder with the marker alone is still new
    (place / "in" / "a").write_bytes(b"a")
    with pytest.raises(RequestError, match="exists already"):
        new_remote_folder(place, ".tirtrack")
    with pytest.raises(RequestError, match="is or holds what is to be read"):
        new_remote_folder(place, ".tirtrack", force=True, inputs=[place / "in"])
    new_remote_folder(place, ".tirtrack", force=True, inputs=[RemotePath(place.address + "2")])
    assert [one.name for one in place.iterdir()] == [".tirtrack"]
    (place / "other" / "a").write_bytes(b"a")
    with pytest.raises(RequestError, match="was not made by tirtrack"):
        new_remote_folder(place / "other", ".tirtrack", force=True)
