"""Palettes are named and undone; pictures of scenes have none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tirtrack.errors import FrameError, PairsError, RequestError
from tirtrack.media import read_image
from tirtrack.pairs import Pairing, open_pairs
from tirtrack.palettes import (
    PALETTES,
    other_palette,
    palette_colours,
    palette_of,
    without_palette,
)
from tirtrack.read_options import ReadOptions


@pytest.fixture(scope="module")
def grey(shared) -> np.ndarray:
    return np.asarray(Image.open(shared / "data/pairs/m3svd/0111_1753/tir/000001.jpg"))


def _compressed(image: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=85)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("name", PALETTES)
def test_a_painted_picture_is_named_and_its_levels_come_back(grey, name):
    painted = palette_colours(name)[grey]
    assert palette_of(painted) == name
    apart = np.abs(without_palette(painted, name).astype(int) - grey)
    assert apart.mean() < 2
    stored = _compressed(painted)
    assert palette_of(stored) == name
    assert other_palette(stored, name) is None
    assert np.corrcoef(without_palette(stored, name).ravel(), grey.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("name", ["flir_radiometric_with_visible", "flir_radiometric_e40"])
def test_the_palette_of_a_cameras_file_is_ironbow(shared, name):
    painted = read_image(shared / f"data/pairs/odd/{name}.jpg")
    assert palette_of(painted) == "ironbow"


def test_pictures_of_scenes_and_grey_ones_have_no_palette(shared, grey):
    assert palette_of(grey) is None
    assert palette_of(np.repeat(grey[:, :, None], 3, axis=2)) is None
    scenes = sorted((shared / "data/pairs/roadscene/rgb").iterdir())[::10]
    scenes += sorted((shared / "data/rgb/stills/images").rglob("*.jpg"))[::20]
    named = [path.name for path in scenes if palette_of(np.asarray(Image.open(path)))]
    assert len(named) <= len(scenes) // 50, named


def test_what_has_no_such_palette_is_a_value_error(grey):
    with pytest.raises(ValueError, match="palette must be one of ironbow"):
        palette_colours("iron")
    with pytest.raises(ValueError, match=r"must be \[H,W,3\] uint8, got"):
        without_palette(grey, "jet")


def _painted_pairs(folder, grey, name, suffix):
    for side in ("rgb", "tir"):
        (folder / side).mkdir(parents=True)
    for k in range(2):
        levels = np.roll(grey, 9 * k, axis=1)
        Image.fromarray(palette_colours(name)[levels]).save(folder / "tir" / f"{k}.{suffix}")
        scene = np.random.default_rng(k).integers(0, 255, (*grey.shape, 3), np.uint8)
        Image.fromarray(scene).save(folder / "rgb" / f"{k}.png")
    return folder


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_painted_tir_is_refused_with_its_palette_and_read_with_the_option(tmp_path, grey, suffix):
    folder = _painted_pairs(tmp_path / "rig", grey, "ironbow", suffix)
    with pytest.raises(PairsError, match=r"painted with the palette ironbow.*give --palette ironb"):
        open_pairs(folder)
    options = ReadOptions(palette="ironbow")
    source = open_pairs(folder, pairing=Pairing(tir_options=options))
    pair = source[0]
    assert pair.tir.ndim == 2
    assert np.corrcoef(pair.tir.ravel(), grey.ravel())[0, 1] > 0.97
    assert source.recordings()["rig"].read_as == "--palette ironbow"
    wrong = Pairing(tir_options=ReadOptions(palette="jet"))
    with pytest.raises(PairsError, match="palette ironbow, not jet; give --palette ironbow"):
        open_pairs(folder, pairing=wrong)


def test_painted_videos_are_named_and_read_too(tmp_path, grey):
    from tirtrack.video_writer import VideoWriter

    painted = palette_colours("inferno")[grey]
    for name, frame in (("rgb", np.random.default_rng(0).integers(0, 255, painted.shape)),
                        ("tir", painted)):  # fmt: skip
        with VideoWriter(tmp_path / f"{name}.mp4", 10) as writer:
            for _ in range(3):
                writer.write(frame.astype(np.uint8))
    with pytest.raises(PairsError, match="give --palette inferno"):
        open_pairs(tmp_path)
    pairing = Pairing(tir_options=ReadOptions(palette="inferno"))
    tir = open_pairs(tmp_path, pairing=pairing)[1].tir
    assert np.corrcoef(tir.ravel(), grey.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("tir_half", [0, 1])
def test_a_painted_half_of_a_picture_is_named_and_read_too(tmp_path, shared, tir_half):
    at = shared / "data/pairs/m3svd/0111_1753"
    grey, rgb = (np.asarray(Image.open(at / one / "000001.jpg")) for one in ("tir", "rgb"))
    halves = [rgb, palette_colours("ironbow")[grey]]
    whole = np.concatenate(halves if tir_half else halves[::-1], axis=1)
    Image.fromarray(whole).save(tmp_path / "1.png")
    with pytest.raises(PairsError, match=r"1\.png: .*the palette ironbow.*give --palette ironbow"):
        open_pairs(tmp_path, pairing=Pairing(layout="side-by-side"))[0]
    options = ReadOptions(palette="ironbow")
    pair = open_pairs(tmp_path, pairing=Pairing(layout="side-by-side", tir_options=options))[0]
    assert np.array_equal(pair.both[0], rgb)
    assert np.abs(pair.tir.astype(int) - grey).mean() < 2


def test_a_palette_says_nothing_of_grey_pictures_and_excludes_a_channel(tmp_path, grey):
    Image.fromarray(grey).save(tmp_path / "a.png")
    with pytest.raises(FrameError, match="--palette has no meaning for this source"):
        read_image(tmp_path / "a.png", ReadOptions(palette="jet"))
    with pytest.raises(RequestError, match="give one of them"):
        ReadOptions(palette="jet", channel=1)
    with pytest.raises(RequestError, match='--palette "iron" is unknown'):
        ReadOptions(palette="iron")
