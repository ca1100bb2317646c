"""Paths at an address: no login is kept, every error is one of a disk, no copy is half of one."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.errors import PairsError, RequestError, StorageError
from tirtrack.files import MARKER, new_folder, sha256
from tirtrack.pairs import mine_pairs, open_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.rig import stretched
from tirtrack.pairs.source_views import CanRegister
from tirtrack.remote import RemotePath, fetched

LOGIN = "bob:Geheim"


@pytest.fixture(autouse=True)
def _empty_memory():
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def write_pairs(folder: Path) -> Path:
    grey = np.random.default_rng(0).integers(0, 255, (2, 60, 80), dtype=np.uint8)
    for number, tir in enumerate(grey):
        for name, image in (("rgb", np.repeat(tir[..., None], 3, 2)), ("tir", tir)):
            path = folder / "a" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return folder


@pytest.fixture
def rig(tmp_path) -> Path:
    return write_pairs(tmp_path / "rig")


def upload(folder: Path, place: RemotePath) -> None:
    for path in folder.rglob("*.*"):
        target = place
        for part in path.relative_to(folder).parts:
            target = target / part
        target.upload(path)


# --- logins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", [f"memory://{LOGIN}@nas", "memory://nas/night?sig=Geheim", f"memory://{LOGIN}@nas/x"]
)
def test_neither_login_nor_signature_is_in_the_name_or_in_what_is_shown(address):
    path = RemotePath(address)
    for shown in (path.name, path.parent.name, str(path), repr(path), f"{[path]}"):
        assert "Geheim" not in shown
        assert "bob" not in shown


@pytest.mark.parametrize("below", ["", "/rig"])
def test_no_login_is_stored_or_printed(tmp_path, rig, below, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = RemotePath(f"memory://{LOGIN}@nas{below}")
    upload(rig, place)
    names = [place.address, str(rig)] if below else [place.address]
    assert run(["pairs", "mine", *names, "--out", "shards"]) == 0
    assert run(["pairs", "inspect", *names[:1]]) == 0
    out = RemotePath(f"memory://{LOGIN}@out")
    assert run(["pairs", "mine", "rig", "--out", out.address]) == 0
    assert run(["pairs", "mine", "rig", "--out", out.address]) == 2
    assert run(["pairs", "mine", f"memory://{LOGIN}@none", "--out", "x", "--debug"]) == 2
    said = "".join(capsys.readouterr())
    written = [*(tmp_path / "shards").iterdir(), *(tmp_path / "runs").rglob("*")]
    assert "Geheim" not in said + "".join(map(str, written))
    stored = [path.read_bytes() for path in (*written, *out.iterdir()) if path.is_file()]
    assert len(stored) > 8
    assert not any(b"Geheim" in one for one in stored)


def test_what_cannot_be_connected_is_a_request_and_shows_no_part_of_the_login(monkeypatch):
    def fails(address):
        raise OSError("no such host: bob port Geheim")

    monkeypatch.setattr("fsspec.core.url_to_fs", fails)
    with pytest.raises(RequestError, match=r"cannot be opened here \(OSError\)") as caught:
        RemotePath(f"ftp://{LOGIN}@nas/night")
    assert "Geheim" not in str(caught.value)
    with pytest.raises(RequestError, match="no such host"):
        RemotePath("ftp://nas/night")


# --- errors of a storage --------------------------------------------------------------------------


class OddError(OSError):
    """As some storages have: it cannot be made of a number and a text."""

    def __init__(self, code, text, address):
        super().__init__(f"{code}: {text} at {address}")


def odd(*args, **kwargs):
    raise OddError(503, "slow down", f"memory://{LOGIN}@nas/x")


def test_an_error_that_cannot_be_made_again_is_one_of_a_disk(monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "exists", odd)
    with pytest.raises(OSError, match="slow down at memory://user:") as caught:
        RemotePath("memory://x").exists()
    assert caught.value.errno == errno.EIO
    assert "Geheim" not in str(caught.value)


def test_an_error_in_the_middle_of_a_file_is_one_of_a_disk(monkeypatch):
    path = RemotePath("memory://x/a.bin")
    path.write_bytes(b"abc")
    with path.open("rb") as opened:
        assert opened.seek(1) == 1
        assert opened.read() == b"bc"

    class Breaks:
        def read(self, size):
            raise RuntimeError("connection reset")

        def close(self):
            pass

    monkeypatch.setattr(MemoryFileSystem, "open", lambda *a, **k: Breaks())
    with pytest.raises(OSError, match="connection reset"):
        sha256(path)


def test_a_storage_that_lists_with_no_more_than_path_and_detail_is_listed(monkeypatch):
    (RemotePath("memory://x") / "a").write_bytes(b"")
    ls = MemoryFileSystem.ls
    monkeypatch.setattr(MemoryFileSystem, "ls", lambda self, path, detail=True: ls(
        self, path, detail=detail))  # fmt: skip
    assert [one.name for one in RemotePath("memory://x").iterdir()] == ["a"]


# --- copies ---------------------------------------------------------------------------------------


def test_a_copy_that_was_cut_off_is_made_again(monkeypatch):
    place = RemotePath("memory://nas/night")
    for name in ("a", "b"):
        (place / name).write_bytes(name.encode())
    get = MemoryFileSystem.get

    def cut(self, path, into, **kwargs):
        (Path(into) / "a").write_bytes(b"a")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(MemoryFileSystem, "get", cut)
    with pytest.raises(StorageError, match=r"fetched \(No space left on device\).*TMPDIR"):
        fetched(place)
    monkeypatch.setattr(MemoryFileSystem, "get", get)
    copy = fetched(place)
    assert sorted(path.name for path in copy.iterdir()) == ["a", "b"]
    assert copy.name == "night"
    assert [path.name for path in copy.parent.iterdir()] == ["night"]


def test_a_name_that_leads_out_of_the_folder_is_refused():
    (RemotePath("memory://nas/night") / "a").write_bytes(b"a")
    MemoryFileSystem.store["/nas/night/../../evil"] = MemoryFileSystem.store["/nas/night/a"]
    with pytest.raises(StorageError, match="leads out of its folder"):
        fetched(RemotePath("memory://nas/night"))


def test_a_single_file_is_copied_under_its_name():
    place = RemotePath(f"memory://{LOGIN}@nas/tir.mp4")
    place.write_bytes(b"video")
    copy = fetched(place)
    assert (copy.name, copy.read_bytes()) == ("tir.mp4", b"video")
    assert [path.name for path in copy.parent.iterdir()] == ["tir.mp4"]


# --- what cannot be meant -------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["://", "memory://", "file:///"])
def test_a_whole_storage_is_no_folder_and_nothing_is_written(
    tmp_path, rig, monkeypatch, capsys, address
):
    monkeypatch.chdir(tmp_path)
    assert run(["pairs", "mine", "rig", "--out", address]) == 2
    assert "names no folder; put its name behind it" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rig"]
    assert RemotePath("memory://nas").parent.name == "nas"


def test_an_address_that_cannot_be_opened_is_said_plainly(rig, capsys):
    assert run(["pairs", "mine", str(rig), "--out", f"nowhere://{LOGIN}@nas/x"]) == 2
    said = capsys.readouterr().err
    assert "'--out': nowhere://user:***@nas/x: such an address cannot be opened here" in said
    assert "alue error" not in said
    assert "Geheim" not in said


# --- what --force may delete ----------------------------------------------------------------------


@pytest.mark.parametrize("which", ["address to folder", "folder to address"])
def test_force_deletes_no_input_however_it_is_written(tmp_path, which):
    made = write_pairs(new_folder(tmp_path / "made"))
    here, there = str(made), f"file://{made}"
    pairs, out = (there, here) if which == "address to folder" else (here, there)
    with pytest.raises(RequestError, match="is or holds what is to be read"):
        mine_pairs(pairs, out, force=True)
    with pytest.raises(RequestError, match="is or holds what is to be read"):
        inspect_pairs(there, out=made, force=True)
    assert (made / "a" / "tir" / "1.png").is_file()
    assert (made / MARKER).is_file()


# --- what was read from where ---------------------------------------------------------------------


def test_a_manifest_names_the_address_and_not_the_copy(tmp_path, rig):
    place = RemotePath(f"memory://{LOGIN}@nas/night")
    upload(rig, place)
    inspect_pairs(place, out=tmp_path / "out")
    paths = [
        one["path"] for one in json.loads((tmp_path / "out" / "manifest.json").read_text())["files"]
    ]
    assert len(paths) == 4
    assert paths[0] == f"{place}/a/rgb/0.png"
    assert LOGIN not in "".join(paths)


def test_the_files_of_a_registered_recording_are_named_by_their_address_too(rig):
    place = RemotePath("memory://nas/night")
    upload(rig, place)
    source = open_pairs(place)
    assert isinstance(source, CanRegister)
    (name,) = source.recordings()
    again = source.registered({name: stretched((80, 60), (80, 60))}).manifest()
    assert again == source.manifest()
    assert all(one.path.startswith("memory://nas/night/") for one in again.files)


def test_errors_name_the_address_and_not_the_copy(tmp_path, rig):
    place = RemotePath(f"memory://{LOGIN}@nas/night")
    (rig / "a" / "tir" / "1.png").write_bytes(b"")
    for name in ("rgb", "tir"):
        (rig / "b" / name).mkdir(parents=True)
        shutil.copy(rig / "a" / "rgb" / "0.png", rig / "b" / name / f"{name}_{name}.png")
    upload(rig, place)
    with pytest.raises(PairsError) as caught:
        open_pairs(place)
    said = f"{place}/b: rgb has 1 images, tir 1"
    assert str(caught.value).startswith(said)
    found = inspect_pairs(place)
    assert found.damaged[0].message.startswith(f"{place}/a/tir/1.png: the file is empty")
    assert found.unusable_recordings[0].startswith(said)
    index = mine_pairs(place, tmp_path / "out", max_bad=0.9)
    assert index.unusable_recordings[0].startswith(said)
    assert "tirtrack-fetched" not in index.model_dump_json()


def test_an_error_names_an_address_of_a_single_file(tmp_path):
    place = RemotePath("memory://nas/tir.mp4")
    (tmp_path / "tir.mp4").write_bytes(b"no video")
    place.upload(tmp_path / "tir.mp4")
    with pytest.raises(PairsError, match=r"^memory://nas/tir.mp4: cannot be opened as a video"):
        open_pairs(place)
