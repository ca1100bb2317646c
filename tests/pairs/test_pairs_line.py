"""A source of pairs says in one line what it is."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tirtrack.pairs import Pairing, open_pairs, pairs_line
from tirtrack.pairs.source import Pair, Recording
from tirtrack.read_options import ReadOptions


class InMemory:
    """A source that knows no files."""

    name = "memory"

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return Pair(str(index), "a", index, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4)))

    def recordings(self):
        return {"a": Recording("a", range(2), is_video=True)}


def test_images_are_described_by_their_first_pair(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", ["1", "2", "3"]))
    assert pairs_line(source) == (
        "3 pairs in 1 recording, images of a video matched by name, RGB 128x96 8 bit, "
        "TIR 128x96 8 bit"
    )


def test_sizes_and_depths_are_those_of_the_files(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    for path in (folder / "tir").iterdir():
        counts = np.asarray(Image.open(path))[::2, ::2].astype(np.uint16) + 7000
        Image.fromarray(counts).save(path)
    assert pairs_line(open_pairs(folder)) == (
        "2 pairs in 1 recording, stills (sizes of the first pair) matched by name, "
        "RGB 128x96 8 bit, TIR 64x48 16 bit"
    )


def test_other_recordings_are_named_only_where_they_differ(tmp_path, write_images, write_videos):
    write_images(tmp_path / "in" / "a", ["1", "2"])
    write_images(tmp_path / "in" / "b", ["7", "9"])
    same = pairs_line(open_pairs(tmp_path / "in"))
    assert same.startswith(
        "4 pairs in 2 recordings, stills (sizes of the first pair) matched by name, "
    )
    assert "differ" not in same
    (tmp_path / "in" / "c").mkdir()
    write_videos(tmp_path / "in" / "c", 4, 4)
    assert pairs_line(open_pairs(tmp_path / "in")) == (
        "8 pairs in 3 recordings, stills (sizes of the first pair) matched by name "
        "(others differ), RGB 128x96 8 bit, TIR 128x96 8 bit"
    )


@pytest.mark.parametrize(
    ("pairing", "says"),
    [
        pytest.param(Pairing(), "videos matched by frame number", id="number"),
        pytest.param(Pairing(match="time"), "videos matched by time", id="time"),
    ],
)
def test_videos_say_how_they_are_matched_and_their_rate(tmp_path, write_videos, pairing, says):
    line = pairs_line(open_pairs(write_videos(tmp_path, 4, 4), pairing=pairing))
    assert line.split(", ")[1] == says
    assert ", 10 pairs/s" in line


def test_what_was_assumed_and_asked_for_is_said(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    (folder / "rgb").rename(folder / "visible")
    options = ReadOptions(no_data=0.0, channel=0)
    line = pairs_line(open_pairs(folder, pairing=Pairing(tir_options=options)))
    assert line.endswith(
        "TIR read with --no-data 0 --channel 0; assumed: a: visible/ is RGB, tir/ is TIR"
    )


def test_images_matched_by_time_say_so(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1700000000.0", "1700000000.1", "1700000000.2"])
    line = pairs_line(open_pairs(folder, pairing=Pairing(match="time")))
    assert "images of a video matched by time" in line


def test_source_without_files_says_its_counts():
    assert pairs_line(InMemory()) == "2 pairs in 1 recording"


def test_everything_in_the_folder_that_is_not_used_is_counted(tmp_path, write_images):
    folder = write_images(tmp_path / "in" / "a", ["1", "2"])
    write_images(tmp_path / "in" / "b", ["1", "2"])
    (folder / "rgb" / "Thumbs.db").write_text("")
    (folder / "rgb" / "labels").mkdir()
    np.save(folder / "tir" / "times.npy", np.arange(2))
    (folder / "calibration.json").write_text("{}")
    (tmp_path / "in" / "notes").mkdir()
    (tmp_path / "in" / "notes" / "x.txt").write_text("")
    assert pairs_line(open_pairs(tmp_path / "in")).endswith(
        "; not used: 3 files and 2 folders (Thumbs.db, calibration.json, labels/, ...)"
    )
    both = pairs_line(open_pairs([tmp_path / "in" / "a", tmp_path / "in" / "b"]))
    assert both.endswith(
        "; not used: 3 files and 1 folder (Thumbs.db, calibration.json, labels/, ...)"
    )


def test_pictures_that_have_no_partner_in_time_are_counted(tmp_path, write_images):
    folder = write_images(tmp_path / "a", [f"{1700000000 + k / 10:.1f}" for k in range(6)])
    (folder / "tir" / "1700000000.2.png").rename(folder / "tir" / "1700000009.0.png")
    line = pairs_line(open_pairs(folder, pairing=Pairing(match="time")))
    assert "5 pairs in 1 recording" in line
    assert line.endswith("; not used: 2 files (1700000000.2.png, 1700000009.0.png)")


def test_camera_that_was_not_named_is_not_used(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    write_images(tmp_path / "b", ["1", "2"])
    (tmp_path / "b" / "rgb").rename(folder / "wide")
    line = pairs_line(open_pairs(folder, pairing=Pairing(rgb="rgb", tir="tir")))
    assert line.endswith("; not used: 1 folder (wide/)")


def test_assumptions_that_are_not_listed_are_counted(tmp_path, write_images):
    for name, rgb in (("a", "vis"), ("b", "visible"), ("c", "color"), ("d", "eo"), ("e", "co")):
        folder = write_images(tmp_path / "in" / name, ["1", "2"])
        (folder / "rgb").rename(folder / rgb)
    line = pairs_line(open_pairs(tmp_path / "in"))
    assert line.count("assumed: ") == 3
    assert line.endswith("; and 2 more assumptions (in the JSON that is written)")
