"""PBM, PGM and PPM: value for value, several behind each other, damage named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, count_frames, frames, probe, read_image

RNG = np.random.default_rng(5)
COUNTS = RNG.integers(2600, 3200, (12, 16), dtype=np.uint16)
LEVELS = RNG.integers(0, 256, (12, 16), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)


def pgm(image: np.ndarray, largest: int, comment: str = "") -> bytes:
    digit = 6 if image.ndim == 3 else 5
    head = f"P{digit}\n{comment}{image.shape[1]} {image.shape[0]}\n{largest}\n".encode()
    return head + image.astype(">u2" if largest > 255 else "u1").tobytes()


def plain(image: np.ndarray, largest: int) -> bytes:
    digit = 3 if image.ndim == 3 else 2
    numbers = " ".join(str(value) for value in image.ravel())
    return (
        f"P{digit} {image.shape[1]} {image.shape[0]} # of 14 bits\n{largest}\n{numbers}\n".encode()
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pgm(COUNTS, 65535), COUNTS),
        (pgm(COUNTS, 16383), COUNTS),
        (pgm(LEVELS, 255), LEVELS),
        (pgm(LEVELS // 4, 63), LEVELS // 4),
        (pgm(COUNTS, 65535, "# Lepton 3.5\n# 9 Hz\n"), COUNTS),
        (pgm(COLOURS, 255), COLOURS),
        (pgm(np.stack([COUNTS] * 3, 2), 4095), np.stack([COUNTS] * 3, 2)),
        (plain(COUNTS, 16383), COUNTS),
        (plain(LEVELS, 255), LEVELS),
        (plain(COLOURS, 255), COLOURS),
        (b"P1 3 2\n1 0 1\n010\n", np.array([[0, 255, 0], [255, 0, 255]], np.uint8)),
        (b"P4 3 2\n\xa0\x40", np.array([[0, 255, 0], [255, 0, 255]], np.uint8)),
    ],
    ids=["16 bit", "14 bit", "8 bit", "6 bit", "comments", "colour", "colour 16 bit",
         "plain 14 bit", "plain 8 bit", "plain colour", "plain bitmap", "bitmap"],
)  # fmt: skip
def test_samples_come_as_stored(tmp_path, content, expected):
    (tmp_path / "a.pnm").write_bytes(content)
    read = read_image(tmp_path / "a.pnm")
    assert_array_equal(read, expected)
    assert read.dtype == expected.dtype


def test_images_behind_each_other_are_frames(tmp_path):
    stack = [COUNTS, COUNTS + 1, COUNTS + 2]
    (tmp_path / "a.pgm").write_bytes(b"\n".join(pgm(image, 65535) for image in stack) + b"\n")
    assert_array_equal([frame.image for frame in frames(tmp_path / "a.pgm")], stack)
    assert probe(tmp_path / "a.pgm").expected_frames == 3
    with pytest.raises(FrameError, match="holds 3 frames; give the file itself as the source"):
        read_image(tmp_path / "a.pgm")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pgm(COUNTS, 65535)[:-1], "truncated (383 of 384 bytes)"),
        (plain(COUNTS, 16383)[:-40], "of 192 samples"),
        (b"P5 16 12", "its header is not that of a PGM"),
        (b"P5 16 x 255\n", "its header is not that of a PGM"),
        (b"P5 16 12 70000\n" + bytes(400), "its largest value is said to be 70000"),
        (b"P5 0 12 255\n", "the picture has no pixels (0x12)"),
        (b"P5 40000 25000 255\n", "40000x25000 is over the limit of 100 million pixels"),
        (b"P2 2 1 255\n7 256", "a sample of 256 is above the largest value, 255"),
        (b"P2 2 1 255\n7 x", "damaged or truncated"),
        (b"P7\nWIDTH 2\n", "a PAM picture cannot be read; convert it with pamtopnm"),
    ],
    ids=[
        "cut",
        "cut plain",
        "no size",
        "no number",
        "largest",
        "empty",
        "bomb",
        "above",
        "word",
        "PAM",
    ],
)
def test_damage_is_named(tmp_path, content, message):
    (tmp_path / "a.pgm").write_bytes(content)
    with pytest.raises(FrameError) as caught:
        read_image(tmp_path / "a.pgm")
    assert str(caught.value).startswith(str(tmp_path / "a.pgm"))
    assert message in str(caught.value)


def test_cut_image_behind_others_is_named_by_its_place(tmp_path):
    (tmp_path / "a.pgm").write_bytes((pgm(COUNTS, 65535) * 3)[:-9])
    with pytest.raises(FrameError, match=r"a\.pgm, image 2: the image is damaged"):
        list(frames(tmp_path / "a.pgm"))


def test_case_of_a_lepton_folder_is_read(shared):
    folder = shared / "cases/pgm_npy_frames/pgm"
    assert count_frames(folder) == 2
    assert (probe(folder).dtype, probe(folder).width) == ("uint16", 128)


def test_counts_above_the_largest_value_that_keep_to_it_when_swapped_are_refused(tmp_path):
    counts = (7424 + np.arange(48 * 64).reshape(48, 64) % 200).astype(np.uint16)  # one high byte
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 64 48 16383\n" + counts.astype("<u2").tobytes())
    with pytest.raises(FrameError, match=r"reach 50973, .* give --byte-order little to swap them"):
        probe(path)
    assert_array_equal(read_image(path, ReadOptions(byte_order="little")), counts)
    assert_array_equal(read_image(path, ReadOptions(byte_order="big")), counts.byteswap())
    path.write_bytes(b"P5 64 48 7000\n" + counts.astype(">u2").tobytes())  # a careless header
    assert_array_equal(read_image(path), counts)
