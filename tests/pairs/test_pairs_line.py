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
