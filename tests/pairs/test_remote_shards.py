"""Shards at an address are those of a folder, byte by byte and pair by pair."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from same_pairs import assert_same_pairs

from tirtrack.cli.app import run
from tirtrack.errors import PairsError, RequestError, RunError, StorageError
from tirtrack.pairs import mine, mine_pairs, open_pairs, shard_writing
from tirtrack.pairs.shards import check_shards
from tirtrack.remote import RemotePath


def content(folder) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name != ".tirtrack"}


@pytest.fixture
def rig(tmp_path, write_images, write_videos, monkeypatch) -> Path:
    """Recordings that fill several shards of 50 kB."""
    monkeypatch.setattr(mine, "MB", 50_000)
    root = tmp_path / "rig"
    for name in ("a", "b"):
        write_images(root / name, ["1", "2", "3", "4"])
    (root / "v").mkdir()
    write_videos(root / "v", 5, 5)
    return root


@pytest.fixture(params=["memory", "file"])
def place(request, tmp_path) -> RemotePath:
    if request.param == "file":
        return RemotePath(f"file://{tmp_path}/there/shards")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return RemotePath("memory://there/shards")


def test_the_shards_of_an_address_are_those_of_a_folder(tmp_path, rig, place):
    here = mine_pairs(rig, tmp_path / "here", shard_mb=1)
    assert mine_pairs(rig, place.address, shard_mb=1) == here
    assert content(place) == content(tmp_path / "here")
    assert check_shards(place) == []
    assert_same_pairs(open_pairs(rig), open_pairs(place.address))
    both = open_pairs([place.address, str(rig / "a")])
    assert both.recordings().keys() == {"rig/a", "rig/b", "rig/v", "a"}


def test_several_processes_write_to_an_address(tmp_path, rig):
    mine_pairs(rig, tmp_path / "here", shard_mb=1)
    place = RemotePath(f"file://{tmp_path}/there")
    mine_pairs(rig, place, shard_mb=1, workers=2)
    assert content(place) == content(tmp_path / "here")


def test_recordings_at_an_address_are_those_of_a_folder(tmp_path, rig, place):
    for path in rig.rglob("*.*"):
        target = place
        for part in path.relative_to(rig).parts:
            target = target / part
        target.upload(path)
    mine_pairs(rig, tmp_path / "here", shard_mb=1)
    index = mine_pairs(place.address, tmp_path / "fetched", shard_mb=1)
    assert index.pairs == 13
    tars = {path.name: path.read_bytes() for path in (tmp_path / "here").glob("*.tar")}
    assert len(tars) == len(index.shards)
    assert {one.name for one in index.recordings} == {"shards/a", "shards/b", "shards/v"}
    assert len(open_pairs(place.address)) == len(open_pairs(rig))


def test_a_stopped_run_goes_on_at_an_address(tmp_path, rig, place, monkeypatch):
    mine_pairs(rig, tmp_path / "here", shard_mb=1)
    write, made = mine.write_shard, []

    def stop_at_one(folder, number, samples):
        if number == 1:
            raise KeyboardInterrupt
        return write(folder, number, samples)

    def note(folder, number, samples):
        made.append(number)
        return write(folder, number, samples)

    monkeypatch.setattr(mine, "write_shard", stop_at_one)
    with pytest.raises(KeyboardInterrupt):
        mine_pairs(rig, place, shard_mb=1)
    with pytest.raises(PairsError, match="mining has not ended"):
        open_pairs(place.address)
    monkeypatch.setattr(mine, "write_shard", note)
    with pytest.raises(RequestError, match="exists already"):
        mine_pairs(rig, place, shard_mb=1)
    with pytest.raises(RequestError, match="was begun with another licence"):
        mine_pairs(rig, place, shard_mb=1, licence="MIT", resume=True)
    index = mine_pairs(rig, place, shard_mb=1, resume=True)
    assert made == list(range(1, len(index.shards)))
    assert content(place) == content(tmp_path / "here")
    assert mine_pairs(rig, place, shard_mb=1, resume=True) == index


def test_damage_at_an_address_is_said(rig, place):
    index = mine_pairs(rig, place, shard_mb=1)
    tar = place / index.shards[0].name
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="1 of the finished shards are damaged"):
        mine_pairs(rig, place, shard_mb=1, resume=True)
    tar.write_bytes(tar.read_bytes()[:2000])
    with pytest.raises(PairsError, match="is not what the index says"):
        open_pairs(place)[0]
    (place / index.shards[0].name).with_suffix(".json").write_bytes(b"{")
    with pytest.raises(PairsError, match=r"is no index of shards|can hold"):
        open_pairs(place)[0]


def test_a_storage_that_fails_is_said_in_one_sentence(rig, monkeypatch):
    MemoryFileSystem.store.clear()

    def fails(*args, **kwargs):
        raise RuntimeError("quota exceeded")

    monkeypatch.setattr(MemoryFileSystem, "put_file", fails)
    with pytest.raises(StorageError, match=r"could not be written \(quota exceeded\); go on with"):
        mine_pairs(rig, "memory://full", shard_mb=1)
    monkeypatch.undo()
    monkeypatch.setattr(MemoryFileSystem, "isdir", fails)
    with pytest.raises(PairsError, match=r"could not be read \(quota exceeded\)"):
        open_pairs("memory://full")


def test_a_full_temporary_folder_is_said_with_the_way_out(rig, monkeypatch):
    MemoryFileSystem.store.clear()
    write = shard_writing.write_shard

    def fails(folder, number, samples):
        if isinstance(folder, RemotePath):
            return write(folder, number, samples)
        raise StorageError("could not be written (No space left on device)", folder)

    monkeypatch.setattr(shard_writing, "write_shard", fails)
    with pytest.raises(StorageError, match=r"No space left on device.*TMPDIR.*--resume"):
        mine_pairs(rig, "memory://out", shard_mb=1)


def test_an_address_without_pairs_is_said(place):
    with pytest.raises(RequestError, match="there is no such folder; check the address"):
        open_pairs(place.address)


def test_the_command_takes_addresses(tmp_path, rig, capsys):
    place = f"file://{tmp_path}/there"
    assert run(["pairs", "mine", str(rig), "--out", place]) == 0
    assert f"written: {place}" in capsys.readouterr().err
    assert run(["pairs", "inspect", place, "--out", str(tmp_path / "seen")]) == 0
    assert "rig: 13 pairs in 3 recordings" in capsys.readouterr().out
    assert run(["pairs", "mine", str(rig), "--out", "nowhere://there"]) == 2
    assert "Protocol not known: nowhere" in capsys.readouterr().err
