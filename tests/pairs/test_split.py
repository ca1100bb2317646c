"""Both cameras in one picture: found by comparing halves, asked for, refused."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from same_pairs import assert_same_pairs

from tirtrack.errors import PairsError
from tirtrack.pairs import Pairing, mine_pairs, open_pairs
from tirtrack.pairs.folder import lacks_rgb
from tirtrack.pairs.source import content_identity
from tirtrack.video_writer import VideoWriter

ASKED = {name: Pairing(layout=name) for name in ("side-by-side", "stacked")}
HALVES = {"side-by-side": ("left", "right"), "stacked": ("top", "bottom")}


def scene(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Blocks in colour, and the same blocks in other greys; one of them moves."""
    rng = np.random.default_rng(3)
    rgb = np.full((96, 128, 3), [90, 100, 120], np.uint8)
    tir = np.full((96, 128), 60, np.uint8)
    for _ in range(9):
        x, y = rng.integers(0, 100), rng.integers(0, 70)
        rgb[y : y + 18, x : x + 18] = rng.integers(0, 255, 3)
        tir[y : y + 18, x : x + 18] = rng.integers(90, 255)
    rgb[40:60, 20 + 4 * k : 34 + 4 * k] = [220, 40, 30]
    tir[40:60, 20 + 4 * k : 34 + 4 * k] = 240
    return rgb, tir


def _picture(k: int, layout: str, *, swapped: bool = False, grey: bool = False) -> np.ndarray:
    rgb, tir = scene(k)
    if grey:
        rgb = np.repeat(rgb.mean(axis=2).astype(np.uint8)[:, :, None], 3, axis=2)
    halves = [rgb, np.repeat(tir[:, :, None], 3, axis=2)]
    return np.concatenate(halves[::-1] if swapped else halves, axis=int(layout == "side-by-side"))


def _video(path: Path, layout: str, frames: int = 5, **how: bool) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 10) as writer:
        for k in range(frames):
            writer.write(_picture(k, layout, **how))
    return path


def _images(folder: Path, layout: str, **how: bool) -> Path:
    folder.mkdir(parents=True)
    for k in range(5):
        Image.fromarray(_picture(k, layout, **how)).save(folder / f"{k:04d}.png")
    return folder


@pytest.mark.parametrize("write", [_video, _images])
@pytest.mark.parametrize("layout", ASKED)
@pytest.mark.parametrize("swapped", [False, True], ids=["RGB first", "TIR first"])
@pytest.mark.parametrize("asked", [False, True], ids=["guessed", "asked for"])
def test_a_split_picture_is_cut_into_its_cameras(tmp_path, write, layout, swapped, asked):
    place = write(tmp_path / "rec.mp4", layout, swapped=swapped)
    pairing = ASKED[layout] if asked else Pairing()
    source = open_pairs(place, pairing=pairing)
    assert len(source) == 5
    for k in range(5):
        rgb, tir = scene(k)
        assert np.abs(source[k].rgb.astype(float) - rgb).mean() < 8
        assert np.abs(source[k].tir.astype(float) - tir).mean() < 5
    (recording,) = source.recordings().values()
    assert recording.is_video
    assert recording.description[0].startswith(layout)
    first, second = HALVES[layout]
    rgb_half, tir_half = (second, first) if swapped else (first, second)
    assert recording.assumed == f"{rgb_half} half is RGB, {tir_half} half is TIR"
    assert not lacks_rgb(place, pairing)


def test_images_are_cut_to_the_pixel(tmp_path):
    source = open_pairs(_images(tmp_path / "a", "side-by-side"))
    rgb, tir = scene(3)
    np.testing.assert_array_equal(source[3].rgb, rgb)
    np.testing.assert_array_equal(source[3].tir, tir)


def test_each_video_of_a_folder_is_a_recording(tmp_path):
    for name in ("a", "b", "c"):
        _video(tmp_path / "rig" / f"{name}.mp4", "stacked")
    assert list(open_pairs(tmp_path / "rig").recordings()) == ["rig/a", "rig/b", "rig/c"]


def test_grey_halves_are_not_guessed_but_can_be_asked_for(tmp_path):
    folder = _images(tmp_path / "night", "side-by-side", grey=True)
    assert lacks_rgb(folder)
    source = open_pairs(folder, pairing=ASKED["side-by-side"])
    np.testing.assert_array_equal(source[2].tir, scene(2)[1])
    swapped = open_pairs(folder, pairing=Pairing(rgb="right", layout="side-by-side"))
    np.testing.assert_array_equal(swapped[2].rgb[:, :, 0], scene(2)[1])
    by_tir = open_pairs(folder, pairing=Pairing(tir="Left", layout="side-by-side"))
    np.testing.assert_array_equal(by_tir[2].rgb, swapped[2].rgb)


def test_halves_of_different_scenes_are_not_taken_for_a_split_picture(tmp_path):
    rng = np.random.default_rng(5)
    for k in range(4):
        picture = _picture(k, "side-by-side")
        noise = rng.integers(0, 255, picture[:, 128:, :1].shape, np.uint8)
        picture[:, 128:] = np.repeat(noise, 3, axis=2)
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "a" / f"{k}.png")
    with pytest.raises(PairsError, match=r"in colour, .* say --layout side-by-side or stacked"):
        open_pairs(tmp_path / "a")


def test_the_tir_half_can_be_read_alone(tmp_path):
    folder = _images(tmp_path / "a", "side-by-side", swapped=True)
    source = open_pairs(folder, pairing=Pairing(tir_alone=True))
    assert source[1].rgb is None
    np.testing.assert_array_equal(source[1].tir, scene(1)[1])
    assert [one.has_rgb for one in source.recordings().values()] == [False]


def test_a_delay_takes_tir_later(tmp_path):
    folder = _images(tmp_path / "a", "stacked")
    source = open_pairs(folder, pairing=Pairing(delay_frames=2))
    assert len(source) == 3
    np.testing.assert_array_equal(source[0].rgb, scene(0)[0])
    np.testing.assert_array_equal(source[0].tir, scene(2)[1])


def test_which_half_is_rgb_is_part_of_what_the_pairs_are(tmp_path):
    folder = _images(tmp_path / "a", "side-by-side", grey=True)
    names = {
        str(content_identity(source, source.manifest()))
        for source in (
            open_pairs(folder, pairing=Pairing(rgb=half, layout="side-by-side"))
            for half in ("left", "right")
        )
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("pairing", "message"),
    [
        pytest.param(
            Pairing(rgb="top", layout="side-by-side"),
            'no half is called "top".*--rgb is left or right here',
            id="no such half",
        ),
        pytest.param(Pairing(match="time", layout="side-by-side"), "of one instant", id="by time"),
    ],
)
def test_what_says_nothing_of_halves_is_refused(tmp_path, pairing, message):
    folder = _images(tmp_path / "a", "side-by-side")
    with pytest.raises(PairsError, match=message):
        open_pairs(folder, pairing=pairing)


def test_an_odd_width_cannot_be_halved(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(_picture(0, "side-by-side")[:, :-1]).save(tmp_path / "a" / "1.png")
    with pytest.raises(PairsError, match="a width of 255 px cannot be halved; cut it"):
        open_pairs(tmp_path / "a", pairing=ASKED["side-by-side"])


def test_a_damaged_picture_is_named_and_the_others_stay(tmp_path):
    folder = _images(tmp_path / "a", "side-by-side")
    path = folder / "0002.png"
    path.write_bytes(path.read_bytes()[:200])
    source = open_pairs(folder, pairing=ASKED["side-by-side"])
    with pytest.raises(PairsError, match=r"0002\.png"):
        source[2]
    assert source[3].rgb is not None


@pytest.mark.parametrize("name", ["llvip", "m3svd_video", "vtuav", "roadscene"])
@pytest.mark.parametrize("layout", ASKED)
def test_real_pairs_in_one_picture_are_found(shared, tmp_path, name, layout):
    pairs = open_pairs(shared / "data" / "pairs" / name)
    first = pairs[0]
    height, width = (side // 2 * 2 for side in first.tir.shape)
    with VideoWriter(tmp_path / "rec.mp4", 10) as writer:
        for _ in range(3):
            tir = np.repeat(first.tir[:height, :width, None], 3, axis=2)
            both = (first.rgb[:height, :width], tir)
            writer.write(np.concatenate(both, axis=int(layout == "side-by-side")))
    (recording,) = open_pairs(tmp_path / "rec.mp4").recordings().values()
    assert recording.description[0].startswith(layout)


@pytest.mark.parametrize("name", ["llvip", "m3svd_video", "vtuav", "roadscene", "vifb"])
def test_no_real_tir_is_taken_for_a_split_picture(shared, name):
    pairs = open_pairs(shared / "data" / "pairs" / name)
    for recording in pairs.recordings():
        folder = shared / "data" / "pairs" / recording
        tir = folder / "tir" if (folder / "tir").is_dir() else folder / "tir.mp4"
        assert lacks_rgb(tir)


# --- in shards --------------------------------------------------------------------------------


def _sample(folder: Path) -> tuple[list[str], dict]:
    """Names in the first shard, and what its first sample says."""
    with tarfile.open(next(folder.glob("*.tar"))) as tar:
        return tar.getnames(), json.load(tar.extractfile("0000000000.json"))


@pytest.mark.parametrize("write", [_video, _images])
@pytest.mark.parametrize("layout", ASKED)
@pytest.mark.parametrize("swapped", [False, True], ids=["RGB first", "TIR first"])
@pytest.mark.parametrize("alone", [False, True], ids=["pairs", "TIR alone"])
def test_split_pictures_are_stored_whole_and_cut_again(tmp_path, write, layout, swapped, alone):
    place = write(tmp_path / "rec.mp4", layout, swapped=swapped)
    mine_pairs(place, tmp_path / "out")
    as_asked = Pairing(tir_alone=alone)
    folder, shards = (open_pairs(one, pairing=as_asked) for one in (place, tmp_path / "out"))
    assert_same_pairs(folder, shards)
    names, said = _sample(tmp_path / "out")
    is_video = place.is_file()
    suffix, count = ("mp4", 1) if is_video else ("png", 5)
    assert names[:2] == [f"0000000000.both.{suffix}", "0000000000.json"]
    assert len(names) == 2 * count
    rgb, tir = HALVES[layout][::-1] if swapped else HALVES[layout]
    assert said["split"] == {"layout": layout, "rgb": rgb, "tir": tir}


def test_a_split_video_is_cut_with_the_delay_and_the_halves_of_the_mining(tmp_path):
    place = _video(tmp_path / "rec.mp4", "stacked", grey=True)
    pairing = Pairing(layout="stacked", rgb="bottom", delay_frames=2)
    mine_pairs(place, tmp_path / "out", pairing=pairing)
    assert_same_pairs(open_pairs(place, pairing=pairing), open_pairs(tmp_path / "out"))
    assert _sample(tmp_path / "out")[1]["places"] == [[0, 2], [1, 3], [2, 4]]


def test_split_images_with_a_delay_are_refused_in_shards(tmp_path):
    folder = _images(tmp_path / "a", "stacked")
    with pytest.raises(
        PairsError, match="with a delay or time offset; leave --delay and --rig out"
    ):
        mine_pairs(folder, tmp_path / "out", pairing=Pairing(delay_frames=1))
    assert not (tmp_path / "out").exists()
