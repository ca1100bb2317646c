"""A labelled data set says in one line what it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.made_layouts import MAKERS
from tirtrack.datasets import AnnotationOptions, open_dataset, open_named_files
from tirtrack.datasets.dataset_line import described
from tirtrack.errors import FrameError
from tirtrack.media import VideoWriter
from tirtrack.read_options import ReadOptions

GREY = np.random.default_rng(3).integers(0, 255, (30, 40), dtype=np.uint8)
ORDER = "files in the order of the numbers in their names"


def images(folder: Path, names=("1.png", "2.png", "3.png"), image: np.ndarray = GREY) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(image).save(folder / name)
    return folder


def sequence(folder: Path, image: np.ndarray = GREY, **more) -> Path:
    images(folder / "img", image=image, **more)
    (folder / "groundtruth.txt").write_text("20,12,10,10\n" * 3)
    return folder


def film(folder: Path, fps: float) -> None:
    folder.mkdir(parents=True)
    with VideoWriter(folder / "video.mp4", fps) as video:
        for _ in range(3):
            video.write(np.zeros((48, 64), np.uint8))
    (folder / "groundtruth.txt").write_text("20,12,10,10\n" * 3)


def line(root: Path, **reading) -> str:
    return described(open_dataset(root, options=AnnotationOptions(**reading))).line


def test_sequences_of_one_kind_are_described_once(tmp_path):
    for name in ("a", "b"):
        sequence(tmp_path / name)
    assert line(tmp_path) == (
        "2 sequences, 6 annotated frames, layout groundtruth.txt, coordinates count from 0; "
        f"PNG files of 40x30, 8 bit, 1 channel; {ORDER}"
    )


def test_every_kind_is_named_the_most_frequent_first(tmp_path):
    sequence(tmp_path / "a", np.tile(GREY, (2, 2)).astype(np.uint16))
    for name in ("b", "c"):
        sequence(tmp_path / name)
    film(tmp_path / "d", 25)
    film(tmp_path / "e", 12.5)
    film(tmp_path / "f", 25)
    said = line(tmp_path).split("; ")[1:4]
    assert said == [
        "3 of them as video of 64x48, 8 bit, 3 channels, 12.5 and 25 frames/s, h264, yuv420p",
        "2 of them as PNG files of 40x30, 8 bit, 1 channel",
        "1 of them as PNG files of 80x60, 16 bit, 1 channel",
    ]


def test_many_sizes_are_a_range(tmp_path):
    for name, width in enumerate((40, 8, 24, 16)):
        sequence(tmp_path / f"s{name}", GREY[:, :width])
    assert "PNG files of 8x30 to 40x30 (4 different), 8 bit" in line(tmp_path)


def test_what_lies_there_and_is_not_read_is_counted(tmp_path):
    for name in ("a", "b"):
        images(sequence(tmp_path / name) / "visible")
        (tmp_path / name / "absence.txt").write_text("0\n" * 3)
        (tmp_path / name / "attributes.json").write_text('{"frames": 3}')
        (tmp_path / name / "tags.json").write_text("{}")
    images(tmp_path / "stills")
    assert line(tmp_path).endswith(
        "; not used: 2 files and 3 folders (tags.json 2 times, visible/ 2 times, stills/)"
    )


def test_files_beside_images_in_the_sequence_itself_count_but_not_its_annotation(tmp_path):
    images(tmp_path / "a")
    (tmp_path / "a" / "groundtruth.txt").write_text("20,12,10,10\n" * 3)
    assert "not used" not in line(tmp_path)
    np.save(tmp_path / "a" / "times.npy", np.arange(3))
    assert line(tmp_path).endswith("; not used: 1 file (times.npy)")


def test_annotation_of_the_other_modality_is_used(tmp_path):
    MAKERS["rgbt234"](tmp_path, "afterrain")
    assert line(tmp_path).endswith("; not used: 1 file and 1 folder (init.txt, visible/)")


def test_part_of_the_files_that_is_not_read_is_named(tmp_path):
    sequence(tmp_path / "a", np.full((30, 40, 4), 200, np.uint8))
    sequence(tmp_path / "b")
    assert line(tmp_path).endswith("; not used: the alpha channel (1 of 2 sequences)")


def test_annotation_beside_the_frames_counts_as_used_in_every_layout(tmp_path):
    images(tmp_path / "a")
    (tmp_path / "anno" / "att").mkdir(parents=True)
    (tmp_path / "anno" / "a.txt").write_text("6,6,10,10\n" * 3)
    (tmp_path / "anno" / "att" / "a.txt").write_text(",".join(["0"] * 16))
    assert "layout lsotb-tir, coordinates count from 1; PNG files of 40x30" in line(tmp_path)
    assert "not used" not in line(tmp_path)


def test_named_files_say_what_lies_beside_their_frames(tmp_path):
    (images(tmp_path / "f") / "notes.txt").write_text("")
    (tmp_path / "boxes.txt").write_text("20,12,10,10\n" * 3)
    (tmp_path / "more.txt").write_text("")
    opened = open_named_files(str(tmp_path / "boxes.txt"), str(tmp_path / "f"))
    assert described(opened).line == (
        "1 sequence, 3 annotated frames, coordinates count from 0; base 0 is assumed, --base 0 or "
        f"1 decides; PNG files of 40x30, 8 bit, 1 channel; {ORDER}; not used: 1 file (notes.txt)"
    )


def test_damaged_first_frame_is_said_and_left_to_the_run(tmp_path):
    for name in ("a", "b"):
        sequence(tmp_path / name)
    (tmp_path / "b" / "img" / "1.png").write_bytes(b"no image")
    found = described(open_dataset(tmp_path))
    assert f"; {ORDER}; the first frame of b cannot be read" in found.line
    assert list(found.infos) == ["a"]
    assert found.sources["b"].startswith("the first frame cannot be read (")


def test_data_set_of_which_no_first_frame_can_be_read_is_refused(tmp_path):
    for name in ("a", "b"):
        (sequence(tmp_path / name) / "img" / "1.png").write_bytes(b"no image")
    with pytest.raises(FrameError, match="not an image that can be read"):
        line(tmp_path)


def test_each_sequence_has_its_own_line(tmp_path):
    for name in ("a", "b"):
        sequence(tmp_path / name)
    assert described(open_dataset(tmp_path)).sources["b"] == (
        "3 PNG files in the order of the numbers in their names (1.png to 3.png), 40x30, 8 bit, "
        "1 channel"
    )


MOVING = np.dstack([GREY] * 3 + [GREY.T.reshape(30, 40)])


@pytest.mark.parametrize(
    ("image", "names", "fix", "options"),
    [
        pytest.param(
            MOVING, ("1.png", "2.png", "3.png"), "--channel 3", {"channel": 3}, id="alpha"
        ),
        pytest.param(
            GREY, ("1.5.png", "1.25.png", "2.0.png"), "--order time", {"order": "time"}, id="order"
        ),
    ],
)
def test_what_cannot_be_known_is_refused_until_an_option_decides(
    tmp_path, image, names, fix, options
):
    sequence(tmp_path / "a", image, names=names)
    with pytest.raises(FrameError, match=fix):
        line(tmp_path)
    said = line(tmp_path, frames=ReadOptions(**options))
    assert f"; read with {fix}" in said


def test_swapped_bytes_are_refused_until_an_option_decides(tmp_path):
    ramp = np.add.outer(np.arange(30) * 8, np.arange(40) * 12).astype(np.uint16) + 2600
    sequence(tmp_path / "a", ramp.byteswap())
    with pytest.raises(FrameError, match="--byte-order little"):
        line(tmp_path)
    options = AnnotationOptions(frames=ReadOptions(byte_order="little"))
    (found,) = open_dataset(tmp_path, options=options).sequences
    assert next(found.open_frames()).max() == ramp.max()


def test_value_without_measurement_is_replaced_in_frames_of_8_bits(tmp_path):
    levels = GREY.clip(100, 200)
    levels[10:14, 10:14] = 77
    sequence(tmp_path / "a", levels, names=("1.bmp", "2.bmp", "3.bmp"))
    options = AnnotationOptions(frames=ReadOptions(no_data=77.0))
    for found, least in (
        (open_dataset(tmp_path), 77),
        (open_dataset(tmp_path, options=options), 100),
    ):
        assert {int(frame.min()) for frame in found.sequences[0].open_frames()} == {least}


def test_value_without_measurement_is_marked_in_every_frame(tmp_path):
    counts = GREY.astype(np.uint16) + 3000
    counts[10:14, 10:14] = 77
    sequence(tmp_path / "a", counts)
    options = AnnotationOptions(frames=ReadOptions(no_data=77.0))
    (found,) = open_dataset(tmp_path, options=options).sequences
    assert [np.isnan(frame).sum() for frame in found.open_frames()] == [16] * 3
