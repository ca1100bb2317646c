"""Shards: what plain ``tar`` sees, what is read back, and what damage and malice come to."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from same_pairs import assert_same_pairs

from tirtrack.errors import PairsError, StorageError
from tirtrack.files import sha256
from tirtrack.pairs import Pairing, mine_pairs, open_pairs, shard_pairs, unpacked
from tirtrack.pairs.folder import lacks_rgb
from tirtrack.pairs.shards import INDEX_NAME, check_shards
from tirtrack.pairs.source import content_identity, pairs_line
from tirtrack.read_options import ReadOptions


@pytest.fixture
def rig(tmp_path, write_images, write_videos) -> Path:
    """A video as images, stills of 16 bit, and two videos."""
    root = tmp_path / "rig"
    write_images(root / "frames", ["0001", "0002", "0003"])
    stills = write_images(root / "stills", ["a", "b"])
    for name in ("a", "b"):
        counts = np.full((96, 128), 30000, np.uint16)
        counts[:, 10:40] = 30500 if name == "a" else 31000
        Image.fromarray(counts).save(stills / "tir" / f"{name}.png")
    (root / "videos").mkdir()
    write_videos(root / "videos", 6, 6)
    return root


@pytest.fixture
def shards(rig, tmp_path) -> Path:
    """The same in two shards or more."""
    out = tmp_path / "shards"
    mine_pairs(rig, out, licence="MIT", shard_mb=1)
    return out


def test_shards_give_the_pairs_of_the_folder_and_their_identity(rig, shards):
    folder, source = open_pairs(rig, licence="MIT"), open_pairs(shards)
    assert_same_pairs(folder, source)
    assert source.manifest().licence == "MIT"
    assert pairs_line(source) == pairs_line(folder)


def test_shards_in_another_process_give_the_same_pairs(rig, shards):
    assert_same_pairs(open_pairs(rig), pickle.loads(pickle.dumps(open_pairs(shards))))


def test_tir_alone_leaves_rgb_in_the_shards(rig, shards):
    alone = Pairing(tir_alone=True)
    folder, source = open_pairs(rig, pairing=alone), open_pairs(shards, pairing=alone)
    assert not any(one.has_rgb for one in source.recordings().values())
    for index in range(len(folder)):
        assert source[index].rgb is None
        assert_array_equal(folder[index].tir, source[index].tir)
    assert [file.sha256 for file in source.manifest().files] == [
        file.sha256 for file in folder.manifest().files
    ]
    assert not lacks_rgb(shards)


def test_videos_matched_by_time_with_a_delay_are_read_as_they_were_mined(tmp_path, write_videos):
    (tmp_path / "v").mkdir()
    write_videos(tmp_path / "v", 9, 7)
    pairing = Pairing(match="time", delay_frames=1)
    mine_pairs(tmp_path / "v", tmp_path / "out", pairing=pairing)
    assert_same_pairs(open_pairs(tmp_path / "v", pairing=pairing), open_pairs(tmp_path / "out"))
    said = json.loads(sample_json(tmp_path / "out", 0))
    assert said["places"][:2] == [[0, 1], [1, 2]]
    assert len(said["places"]) == len(said["keys"]) == 6


@pytest.mark.parametrize(
    "pairing", [Pairing(delay_frames=1), Pairing(match="time")], ids=["delay", "time"]
)
def test_tir_alone_of_paired_videos_is_the_tir_frames_of_the_pairs(tmp_path, write_videos, pairing):
    (tmp_path / "v").mkdir()
    write_videos(tmp_path / "v", 7, 9 if pairing.by_time else 7)
    mine_pairs(tmp_path / "v", tmp_path / "out", pairing=pairing)
    pairs = open_pairs(tmp_path / "out")
    alone = open_pairs(tmp_path / "out", pairing=Pairing(tir_alone=True))
    assert len(alone) == len(pairs)
    for index in range(len(alone)):
        assert alone[index].rgb is None
        assert_array_equal(alone[index].tir, pairs[index].tir)
    identity = content_identity(alone, alone.manifest())
    mine_pairs(tmp_path / "v", tmp_path / "other", pairing=Pairing(delay_frames=-1, match="time"))
    other = open_pairs(tmp_path / "other", pairing=Pairing(tir_alone=True))
    assert content_identity(other, other.manifest()) != identity


def test_jpegs_with_counts_go_into_shards(tmp_path, shared):
    folder = tmp_path / "rig"
    folder.mkdir()
    for name in ("1.jpg", "2.JPG"):
        shutil.copy(shared / "data/pairs/odd/flir_radiometric_e40.jpg", folder / name)
    mine_pairs(folder, tmp_path / "out")
    assert_same_pairs(open_pairs(folder), open_pairs(tmp_path / "out"))
    assert open_pairs(tmp_path / "out")[0].tir_depth == "uint16"


def test_tir_is_read_with_the_options_of_the_mining(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    options = Pairing(tir_options=ReadOptions(no_data=210.0))
    mine_pairs(folder, tmp_path / "out", pairing=options)
    source = open_pairs(tmp_path / "out")
    assert_same_pairs(open_pairs(folder, pairing=options), source)
    assert source[0].tir_filled is not None
    assert source.recordings()["a"].read_as == "--no-data 210"


def test_tir_without_rgb_goes_into_shards_too(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    shutil.rmtree(folder / "rgb")
    mine_pairs(folder, tmp_path / "out")
    assert_same_pairs(open_pairs(folder), open_pairs(tmp_path / "out"))
    assert lacks_rgb(tmp_path / "out")


def test_pairing_options_are_refused_for_shards(shards):
    with pytest.raises(PairsError, match="shards are pairs already") as caught:
        open_pairs(shards, pairing=Pairing(delay_frames=1))
    assert "--delay" in str(caught.value)


# --- the files --------------------------------------------------------------------------------


def sample_json(folder: Path, number: int) -> bytes:
    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            if f"{number:010d}.json" in tar.getnames():
                return tar.extractfile(f"{number:010d}.json").read()
    raise AssertionError(number)


def test_plain_tar_shows_the_files_of_a_sample_side_by_side(rig, shards):
    with tarfile.open(next(shards.glob("shard-000000-*.tar"))) as tar:
        names = tar.getnames()
        assert names[:3] == ["0000000000.rgb.png", "0000000000.tir.png", "0000000000.json"]
        held = tar.extractfile("0000000000.tir.png").read()
        assert held == (rig / "frames" / "tir" / "0001.png").read_bytes()
        assert {(one.mtime, one.uid, one.uname, one.mode) for one in tar} == {(0, 0, "", 0o644)}
    said = json.loads(sample_json(shards, 5))
    assert said["recording"] == "rig/videos"
    assert said["files"]["rgb"]["name"] == "rgb.mp4"
    assert said["files"]["rgb"]["sha256"] == sha256(rig / "videos" / "rgb.mp4")
    assert said["licence"] == "MIT"
    assert said["frames_per_s"] == 10


def test_a_shard_is_named_by_its_hash(shards):
    for path in shards.glob("*.tar"):
        assert path.stem.endswith(sha256(path)[:16])
    assert check_shards(shards) == []


def test_the_disk_holds_only_what_was_unpacked_last(shards, monkeypatch):
    monkeypatch.setattr(unpacked, "KEPT_BYTES", 1)
    source = shard_pairs.ShardPairs(shards)
    for index in [*range(len(source)), 0, 7, 1]:
        source[index]
    left = [path for path in source._unpacked._folder.rglob("*") if path.is_file()]
    assert len(left) == 2


# --- damage and malice ------------------------------------------------------------------------


def changed_content(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the file beside the first shard, and what the index says of it."""
    path = next(folder.glob("shard-000000-*.json"))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    index = json.loads((folder / INDEX_NAME).read_text())
    index["shards"][0]["content_sha256"] = sha256(path)
    (folder / INDEX_NAME).write_text(json.dumps(index))


def first_file(content: Any) -> Any:
    return content["samples"][0]["files"]["tir"]


@pytest.mark.parametrize(
    "name", ["../escaped.png", "/escaped.png", "a\\b.png", "..", "", "x\0.png", "a/b"]
)
def test_a_name_that_is_a_path_is_refused_before_anything_is_unpacked(shards, name):
    changed_content(shards, lambda content: first_file(content).update(name=name))
    before = {path: path.stat().st_mtime_ns for path in shards.parent.rglob("*")}
    with pytest.raises(PairsError, match="is no index of shards"):
        open_pairs(shards)[0]
    assert {path: path.stat().st_mtime_ns for path in shards.parent.rglob("*")} == before


def test_a_hash_that_is_a_path_is_refused(shards):
    changed_content(shards, lambda content: first_file(content).update(sha256="../" * 21 + "a"))
    with pytest.raises(PairsError, match="is no index of shards"):
        open_pairs(shards)[0]


def test_a_shard_outside_the_folder_is_refused(shards):
    index = json.loads((shards / INDEX_NAME).read_text())
    index["shards"][0]["name"] = "../" + index["shards"][0]["name"]
    (shards / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(PairsError, match="is no index of shards"):
        open_pairs(shards)


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param({"size_bytes": 2**50}, id="size"),
        pytest.param({"offset": 2**40}, id="offset"),
        pytest.param({"offset": 0}, id="another place"),
        pytest.param({"sha256": "0" * 64}, id="hash"),
    ],
)
def test_a_lie_about_a_file_is_found_and_nothing_of_it_is_kept(shards, lie):
    changed_content(shards, lambda content: first_file(content).update(lie))
    source = shard_pairs.ShardPairs(shards)
    with pytest.raises(PairsError, match="is not what the index says"):
        source[0]
    assert all(path.is_dir() for path in source._unpacked._folder.rglob("*.png"))
    source[1]  # another sample is as it was


def test_a_file_that_is_neither_image_nor_video_is_not_unpacked(shards):
    changed_content(shards, lambda content: first_file(content).update(name="a.sh"))
    with pytest.raises(PairsError, match=r"a\.sh is no image and no video"):
        open_pairs(shards)[0]


def test_content_that_the_index_does_not_name_is_refused(shards):
    path = next(shards.glob("shard-000000-*.json"))
    path.write_text(path.read_text().replace('"frames', '"framed'))
    path.write_text(path.read_text() + " ")
    with pytest.raises(PairsError, match="is not the file that"):
        open_pairs(shards)[0]


def test_a_cut_shard_costs_the_pairs_after_the_cut_and_no_others(shards):
    path = next(shards.glob("shard-000000-*.tar"))
    whole = path.read_bytes()
    path.write_bytes(whole[:30000])
    source = open_pairs(shards)
    source[0]
    with pytest.raises(PairsError, match="is not what the index says") as caught:
        source[2]
    assert "pair 2 of rig/frames" in str(caught.value)
    assert [error.where for error in check_shards(shards)] == [str(path)]


def test_members_that_moved_are_found(shards):
    def swap(content: Any) -> None:
        files = content["samples"][0]["files"]
        files["rgb"]["offset"], files["tir"]["offset"] = (
            files["tir"]["offset"], files["rgb"]["offset"],
        )  # fmt: skip

    changed_content(shards, swap)
    (error,) = check_shards(shards)
    assert "is not where its index says" in str(error)


def test_missing_pieces_are_named(shards):
    source, other = open_pairs(shards), open_pairs(shards)
    next(shards.glob("shard-000000-*.tar")).unlink()
    with pytest.raises(PairsError, match="could not be read"):
        source[0]
    next(shards.glob("shard-000000-*.json")).unlink()
    with pytest.raises(PairsError, match="could not be read"):
        other[0]
    (shards / "shard-000000-0000000000000000.tar").touch()
    with pytest.raises(PairsError, match=r"shard-000000-.*\.json: could not be read"):
        open_pairs(shards)
    for text, why in (("{}", "name: Field required"), ("{", r"Invalid JSON: [^\[\n]+")):
        (shards / INDEX_NAME).write_text(text)
        with pytest.raises(PairsError, match=rf"is no index of shards \({why}\); mine the pairs"):
            open_pairs(shards)


def test_an_index_that_contradicts_itself_is_refused(shards):
    index = json.loads((shards / INDEX_NAME).read_text())
    index["recordings"][0]["pairs"] += 1
    (shards / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(PairsError, match="hold other samples"):
        open_pairs(shards)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"first_sample": 10**6}, "does not begin where", id="another sample"),
        pytest.param({"frames_per_s": -5}, "is no index of shards", id="rate"),
        pytest.param({"pairing": {"tir_options": {"x": 1}}}, "is no index of shards", id="option"),
        pytest.param({"pairing": {"tir_options": {"channel": -4}}}, "is no index of", id="value"),
        pytest.param({"split": {"layout": "x", "rgb_half": 0}}, "is no index of shards", id="cut"),
        pytest.param({"pairs": 2**40}, "hold other samples", id="pairs"),
        pytest.param({"pairs": 2**40, "holds_videos": True}, "can hold", id="pairs of a video"),
    ],
)
def test_a_recording_that_its_shards_cannot_hold_is_refused(shards, change, message):
    index = json.loads((shards / INDEX_NAME).read_text())
    index["recordings"][0].update(change)
    if change.get("holds_videos"):
        index["recordings"] = index["recordings"][:1]
        index["shards"] = [{**index["shards"][0], "samples": 1}]
    (shards / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(PairsError, match=message):
        open_pairs(shards)


def test_two_recordings_of_one_name_are_refused(shards):
    index = json.loads((shards / INDEX_NAME).read_text())
    index["recordings"][1]["name"] = index["recordings"][0]["name"]
    (shards / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(PairsError, match="two of its recordings have one name"):
        open_pairs(shards)


@pytest.mark.parametrize("lie", [{"keys": []}, {"faults": {"7": "x"}}, {"places": [[0, 0]] * 3}])
def test_a_sample_that_contradicts_itself_is_refused(shards, lie):
    changed_content(shards, lambda content: content["samples"][0].update(lie))
    with pytest.raises(PairsError, match="is no index of shards"):
        open_pairs(shards)[0]


def test_a_full_temporary_folder_is_no_damage_of_a_pair(shards, monkeypatch, tmp_path):
    source = open_pairs(shards)
    monkeypatch.setattr(unpacked.tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="set TMPDIR"):
        source[0]
    monkeypatch.setattr(unpacked.tempfile, "tempdir", None)
    source[0]
    monkeypatch.setattr(Path, "open", _without_room(Path.open))
    with pytest.raises(StorageError, match=r"could not be unpacked \(No space left") as caught:
        source[1]
    assert "set TMPDIR" in str(caught.value)


def _without_room(opens):
    def opened(path, mode="r", *more):
        if "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opens(path, mode, *more)

    return opened


def test_a_video_that_is_shorter_than_the_index_says_is_refused(shards):
    index = json.loads((shards / INDEX_NAME).read_text())
    index["recordings"][2]["pairs"] += 1
    (shards / INDEX_NAME).write_text(json.dumps(index))
    with pytest.raises(PairsError, match="holds 6 pairs, 7 were mined"):
        open_pairs(shards)[6]
