"""What a source says of itself before work begins."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tirtrack.media import ReadOptions, VideoWriter, probe
from tirtrack.source_line import looks_painted, unused_in_words, unused_names

COUNTS = np.random.default_rng(5).integers(2600, 3200, (48, 64), dtype=np.uint16)


def test_folder_says_count_format_order_and_the_files_that_are_left(tmp_path):
    for k in range(3):
        tifffile.imwrite(tmp_path / f"{k}.tif", COUNTS)
    (tmp_path / "notes.txt").write_text("no frame")
    np.save(tmp_path / "times.npy", np.arange(3))
    assert probe(tmp_path).description == (
        "3 TIFF files in the order of the numbers in their names (0.tif to 2.tif), 64x48, 16 bit, "
        "1 channel; not used: 2 other files"
    )


def test_video_says_its_rate(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 12.5) as video:
        for _ in range(10):
            video.write(np.zeros((48, 64), np.uint8))
    assert probe(tmp_path / "a.mp4").description.startswith(
        "video of 10 frames, 64x48, 8 bit, 3 channels, 12.5 frames/s"
    )


def test_alpha_that_is_the_same_everywhere_is_named_as_not_used(tmp_path):
    Image.fromarray(np.full((6, 8, 4), 200, np.uint8)).save(tmp_path / "a.png")
    assert probe(tmp_path / "a.png").description.endswith("; not used: the alpha channel")


def test_value_without_measurement_is_the_users_or_the_files(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, extratags=[(42113, 2, 0, "-9999", True)])
    assert probe(tmp_path / "a.tif").no_data == -9999.0
    assert probe(tmp_path / "a.tif", ReadOptions(no_data=0.0)).no_data == 0.0
    tifffile.imwrite(tmp_path / "b.tif", COUNTS, extratags=[(42113, 2, 0, "nan", True)])
    tifffile.imwrite(tmp_path / "c.tif", COUNTS)
    assert probe(tmp_path / "b.tif").no_data is None
    assert probe(tmp_path / "c.tif").no_data is None
    Image.fromarray(COUNTS.astype(np.uint8)).save(tmp_path / "d.png", transparency=7)
    assert probe(tmp_path / "d.png").no_data == 7.0


@pytest.mark.parametrize(
    ("name", "save", "options", "said"),
    [
        ("a.tif", lambda path: tifffile.imwrite(path, COUNTS.astype(np.float16)), {},
         "32 bit float, 1 channel, stored as float16"),
        ("a.tif", lambda path: tifffile.imwrite(path, COUNTS.astype(np.int16)), {},
         "32 bit float, 1 channel, stored as int16"),
        ("a.tif", lambda path: tifffile.imwrite(path, np.stack([COUNTS] * 6).reshape(2, 3, 48, 64),
                                                imagej=True, metadata={"axes": "TZYX"}), {},
         "TIFF file of 6 frames, 64x48, 16 bit, 1 channel, along the axes T of 2, Z of 3"),
        ("a.png", lambda path: Image.fromarray(np.dstack([COUNTS % 250] * 3).astype(np.uint8)
                                               ).save(path), {"channel": 1},
         "8 bit, 1 channel, channel 1 of every pixel"),
        ("a.npy", lambda path: np.save(path, COUNTS), {"byte_order": "big"},
         "uint16 [48, 64], bytes swapped"),
        ("a.npy", lambda path: np.save(path, COUNTS), {"byte_order": "little"}, "uint16 [48, 64]"),
    ],
    ids=["float16", "int16", "two axes", "channel", "swapped", "as stored"],
)  # fmt: skip
def test_how_frames_are_stored_and_what_was_chosen_of_them_is_said(
    tmp_path, name, save, options, said
):
    save(tmp_path / name)
    assert probe(tmp_path / name, ReadOptions(**options)).description.endswith(said)


def painted(image: np.ndarray, name: str) -> np.ndarray:
    import matplotlib

    return (matplotlib.colormaps[name](image)[..., :3] * 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["inferno", "jet", "hot", "turbo", "viridis", "copper"])
def test_palette_picture_is_said_to_be_one(tmp_path, name):
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    assert looks_painted(painted(ramp // 4 + 60, name))  # a dim scene
    image = painted(ramp, name)
    image[40:46, 2:20] = 255  # a logo
    Image.fromarray(image).save(tmp_path / "a.jpg", quality=90)
    assert (
        "colours like a palette painted over thermal grey" in probe(tmp_path / "a.jpg").description
    )


def test_photograph_and_grey_frame_are_not_called_palettes(shared):
    for scene in sorted((shared / "data/pairs/vifb/rgb").iterdir())[:6]:
        assert "palette" not in probe(scene).description
    assert not looks_painted(COUNTS)
    assert not looks_painted(np.stack([COUNTS] * 3, axis=2))


# --- what is not used ----------------------------------------------------------------------------


def write(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return [root / name for name in names]


def test_files_and_the_outermost_folders_that_nothing_reads_are_named(tmp_path):
    used = write(tmp_path, "a/img/1.png", "a/boxes.txt")
    write(
        tmp_path, "a/visible/1.png", "a/visible/2.png", "notes/x/y.txt", "readme.md", "a/img/b.db"
    )
    assert unused_names(tmp_path, used) == ["notes/", "readme.md", "visible/", "b.db"]


def test_hidden_files_do_not_count(tmp_path):
    used = write(tmp_path, "a.png")
    write(tmp_path, ".DS_Store", ".cache/x")
    assert unused_names(tmp_path, used) == []


def test_files_used_elsewhere_change_nothing(tmp_path):
    here, there = tmp_path / "here", tmp_path / "here2"
    write(here, "a.png")
    used, _ = write(there, "b.png", "c.png")
    assert unused_names(here, [used]) == ["a.png"]


def test_paths_may_be_relative(tmp_path, monkeypatch):
    write(tmp_path, "a/1.png", "b/1.png")
    monkeypatch.chdir(tmp_path)
    assert unused_names(Path(), [Path("a/1.png")]) == ["b/"]
    assert unused_names(Path(os.curdir) / "a", [Path("a/1.png")]) == []


def test_linked_folder_that_is_read_is_used(tmp_path):
    write(tmp_path, "store/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store")
    assert unused_names(tmp_path / "data", [tmp_path / "data" / "a" / "1.png"]) == []


def test_counts_are_of_all_and_names_of_the_most_frequent():
    names = ["visible/"] * 3 + ["init.txt"] * 2 + ["b", "a", "c"]
    assert unused_in_words(names) == (
        "5 files and 3 folders (visible/ 3 times, init.txt 2 times, a, ...)"
    )
    assert unused_in_words(["x/"]) == "1 folder (x/)"
