"""Frames in and out: images at full depth, sources of frames, damage that is found and named."""

from __future__ import annotations

import shutil
import struct
import zlib
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.images import opened_image
from tirtrack.media import (
    VideoWriter,
    count_frames,
    frames,
    probe,
    read_image,
    source_files,
)
from tirtrack.read_options import AS_STORED

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (48, 64), dtype=np.uint8)
COUNTS = RNG.integers(2600, 3200, (48, 64), dtype=np.uint16)


def error_of(source, *, reader=read_image) -> str:
    with pytest.raises(FrameError) as caught:
        reader(source)
    return str(caught.value)


# images -----------------------------------------------------------------------------------------


def save_png16(path, image):
    path.write_bytes(imagecodecs.png_encode(image))


@pytest.mark.parametrize(
    ("name", "image", "save"),
    [
        ("a.png", NOISE, lambda p, i: Image.fromarray(i).save(p)),
        ("a.bmp", NOISE, lambda p, i: Image.fromarray(i).save(p)),
        ("a.png", COUNTS, save_png16),
        ("a.png", np.stack([COUNTS, COUNTS + 1, COUNTS + 2], 2), save_png16),
        ("a.png", np.stack([NOISE] * 2 + [NOISE.T.reshape(48, 64)], 2), save_png16),
        ("a.tiff", COUNTS, tifffile.imwrite),
        ("a.tif", COUNTS, lambda p, i: tifffile.imwrite(p, i, compression="lzw")),
        ("a.tif", COUNTS, lambda p, i: tifffile.imwrite(p, i, byteorder=">")),
        ("a.tif", COUNTS / np.float32(7), tifffile.imwrite),
        ("a.tif", COUNTS / 7.0, lambda p, i: tifffile.imwrite(p, i, compression="deflate")),
        ("a.tif", np.stack([NOISE] * 3, 2), lambda p, i: tifffile.imwrite(p, i, photometric="rgb")),
    ],
    ids=["png8", "bmp8", "png16", "png16 colour", "png8 colour", "tiff16", "tiff16 lzw",
         "tiff16 big-endian", "tiff float32", "tiff float64", "tiff colour"],
)  # fmt: skip
def test_image_comes_back_value_for_value_at_full_depth(tmp_path, name, image, save):
    save(tmp_path / name, image)
    read = read_image(tmp_path / name)
    assert_array_equal(read, image)
    assert read.dtype == image.dtype
    assert read.dtype.isnative


def test_colour_is_rgb_and_alpha_and_palette_become_three_channels(tmp_path):
    red = np.zeros((4, 6, 4), np.uint8)
    red[..., 0], red[..., 3] = 250, 128
    Image.fromarray(red).save(tmp_path / "alpha.png")
    Image.fromarray(red[..., :3]).quantize(4).save(tmp_path / "palette.png")
    Image.fromarray(red[..., :3]).save(tmp_path / "a.jpg", quality=95)
    for name in ("alpha.png", "palette.png", "a.jpg"):
        read = read_image(tmp_path / name)
        assert read.shape == (4, 6, 3)
        assert_allclose(read[2, 2].astype(float), [250, 0, 0], atol=4)
    Image.fromarray(NOISE).convert("LA").save(tmp_path / "grey.png")
    assert_array_equal(read_image(tmp_path / "grey.png"), NOISE)


@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_exif_orientation_is_honoured(tmp_path, kind):
    upright = np.zeros((20, 40), np.uint8)
    upright[:5, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned left: to be turned right for viewing
    Image.fromarray(np.rot90(upright, 1)).save(tmp_path / f"a.{kind}", exif=exif, quality=95)
    read = read_image(tmp_path / f"a.{kind}")
    assert read.shape == (20, 40)
    assert read[2, 5] > 200 > 50 > read[15, 30]
    with opened_image(tmp_path / f"a.{kind}", AS_STORED) as file:
        assert_array_equal(file.decode(0), read)
        assert_array_equal(file.decode(0), read)
    Image.fromarray(upright).save(tmp_path / f"b.{kind}", quality=95)
    assert probe(tmp_path).width == 40


def test_black_is_white_tiff_is_turned_to_counts(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COUNTS, photometric="miniswhite")
    assert_array_equal(read_image(tmp_path / "a.tif"), 65535 - COUNTS)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = b"IDAT" + zlib.compress(b"")
    return (b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data
            + struct.pack(">I", zlib.crc32(data)) + b"\0\0\0\0IEND\xaeB`\x82")  # fmt: skip


@pytest.mark.parametrize(("width", "height"), [(40_000, 25_000), (10_000, 10_001)])
def test_image_of_too_many_pixels_is_refused_by_its_header(tmp_path, width, height):
    (tmp_path / "bomb.png").write_bytes(png_header(width, height))
    message = error_of(tmp_path / "bomb.png")
    assert f"bomb.png: {width}x{height} is over the limit of 100 million pixels" in message
    tiff = tmp_path / "bomb.tif"
    tifffile.imwrite(tiff, np.zeros((4, 4), np.uint8))
    raw = bytearray(tiff.read_bytes())
    with tifffile.TiffFile(tiff) as opened:
        for tag, value in ((256, width), (257, height)):
            at = opened.pages[0].tags[tag].offset
            raw[at + 2 : at + 12] = struct.pack("<HII", 4, 1, value)
    tiff.write_bytes(raw)
    assert f"{width}x{height} is over the limit" in error_of(tiff)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_cut_image_is_found_wherever_it_was_cut(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(NOISE).save(whole)
    content = whole.read_bytes()
    lengths = {
        1,
        2,
        20,
        len(content) // 3,
        len(content) // 2,
        *range(len(content) - 24, len(content)),
    }
    for length in sorted(lengths):
        broken = tmp_path / f"cut.{suffix}"
        broken.write_bytes(content[:length])
        assert str(broken) in error_of(broken)


@pytest.mark.parametrize("kind", ["png16", "png16 colour", "tiff", "tiff lzw"])
def test_cut_deep_image_is_found(tmp_path, kind):
    whole = tmp_path / ("whole.png" if "png" in kind else "whole.tif")
    image = np.stack([COUNTS] * 3, 2) if "colour" in kind else COUNTS
    if "png" in kind:
        save_png16(whole, image)
    else:
        tifffile.imwrite(whole, image, compression="lzw" if "lzw" in kind else None)
    content = whole.read_bytes()
    for share in (0.1, 0.3, 0.5, 0.9, 0.999):
        broken = tmp_path / f"cut{whole.suffix}"
        broken.write_bytes(content[: int(share * len(content))])
        assert str(broken) in error_of(broken)


def test_tiff_whose_pages_lead_in_a_circle_is_refused(tmp_path):
    for big in (False, True):
        path = tmp_path / "circle.tif"
        tifffile.imwrite(path, np.stack([COUNTS] * 3), bigtiff=big, photometric="minisblack")
        assert count_frames(path) == 3
        with tifffile.TiffFile(path) as opened:
            first, last = opened.pages[0].offset, opened.pages[2].offset
            tags = len(opened.pages[2].tags)
        content = bytearray(path.read_bytes())
        at = last + (8 + 20 * tags if big else 2 + 12 * tags)
        content[at : at + (8 if big else 4)] = struct.pack("<Q" if big else "<I", first)
        path.write_bytes(content)
        assert "the chain of pages is broken after page 3" in error_of(path)


def test_flipped_byte_in_a_png_is_found(tmp_path):
    save_png16(tmp_path / "a.png", COUNTS)
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    assert "the image is damaged or truncated" in error_of(tmp_path / "a.png")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    Image.fromarray(NOISE).save(folder / "a.jpg")
    Image.fromarray(NOISE).save(folder / "a.bmp")
    Image.fromarray(np.stack([NOISE] * 3, 2)).quantize(8).save(folder / "palette.png")
    save_png16(folder / "colour.png", np.stack([COUNTS] * 3, 2))
    tifffile.imwrite(folder / "a.tif", COUNTS)
    tifffile.imwrite(folder / "b.tif", COUNTS, compression="lzw", tile=(16, 16))
    return sorted(folder.iterdir())


@settings(max_examples=150)
@given(data=st.data())
def test_any_damage_is_a_frame_error_or_goes_unseen_but_never_another_error(whole_files, data):
    whole = data.draw(st.sampled_from(whole_files))
    content = bytearray(whole.read_bytes())
    places = st.one_of(st.integers(4, 200), st.integers(4, len(content) - 1))
    for place in data.draw(st.lists(places, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    broken = whole.with_name(f"broken{whole.suffix}")
    broken.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for reader in (read_image, probe):
        with suppress(FrameError):
            reader(broken)
    broken.unlink()


def make_png_named_jpg(path):
    Image.fromarray(NOISE).save(path, "PNG")


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("none.png", lambda p: None, "no such file; check the path"),
        ("zero.png", lambda p: p.touch(), "the file is empty (0 bytes)"),
        ("a.jpg", make_png_named_jpg, "holds a PNG, its name says JPEG; rename it to a.png"),
        ("text.png", lambda p: p.write_text("hello there"), "begins with bytes 68 65 6c 6c 6f 20"),
        ("folder.png", lambda p: p.mkdir(), "could not be read (Is a directory)"),
        ("two.tif", lambda p: tifffile.imwrite(p, np.zeros((2, 9, 9), "u1")), "holds 2 pages"),
    ],
    ids=["missing", "zero bytes", "wrong name", "text", "folder", "pages"],
)  # fmt: skip
def test_unusable_image_is_named_with_what_to_do(tmp_path, name, make, message):
    make(tmp_path / name)
    found = error_of(tmp_path / name)
    assert found.startswith(str(tmp_path / name))
    assert message in found


def test_many_damaged_images_do_not_end_the_process(tmp_path):
    """A decoder at hand loses a reference at each failure, until the interpreter dies."""
    colour = np.stack([COUNTS] * 3, 2)
    save_png16(tmp_path / "a.png", colour)
    broken = (tmp_path / "a.png").read_bytes()[:-400] + b"IEND\xaeB`\x82"
    (tmp_path / "a.png").write_bytes(broken)
    for _ in range(400):
        error_of(tmp_path / "a.png")


# folders, lists, globs, pages -------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for k in (1, 2, 9, 10, 11, 100):
        Image.fromarray(np.full((6, 8), k, np.uint8)).save(tmp_path / f"frame_{k}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    (tmp_path / ".frame_3.png").write_bytes(b"hidden")
    return tmp_path


def test_folder_goes_by_numbers_not_by_letters(folder):
    found = list(frames(folder))
    assert [int(frame.image[0, 0]) for frame in found] == [1, 2, 9, 10, 11, 100]
    assert [frame.index for frame in found] == list(range(6))
    assert found[3].name == "frame_10.png"
    assert found[0].time_s is None


def test_glob_list_and_single_image_are_sources_too(folder):
    some = list(frames(str(folder / "frame_1*.png")))
    assert [int(frame.image[0, 0]) for frame in some] == [1, 10, 11, 100]
    kept = list(frames([folder / "frame_10.png", folder / "frame_2.png"]))
    assert [int(frame.image[0, 0]) for frame in kept] == [10, 2]
    assert count_frames(folder / "frame_9.png") == 1
    assert source_files(folder)[0] == folder / "frame_1.png"


def test_start_and_end_cut_the_range_and_keep_the_index(folder):
    assert [frame.index for frame in frames(folder, start=2, end=5)] == [2, 3, 4]
    assert list(frames(folder, start=6)) == []


def test_folder_name_with_brackets_is_not_a_pattern(folder, tmp_path):
    odd = tmp_path / "take [1]"
    odd.mkdir()
    shutil.copy(folder / "frame_1.png", odd)
    assert count_frames(str(odd)) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing", "no such file or folder; check the path"),
        ("empty", "no images in the folder; give a folder of .bmp"),
        ("outer", "no images in the folder; did you mean"),
        ("filmed", "did you mean the video"),
        ("none*.png", "no file matches; check the pattern"),
        ("twice", "1.bmp and 1.png are the same frame twice"),
        ("clip.cptv", "clip.cptv: the recording is damaged or truncated"),
        ("clip.xyz", "neither a video nor an image by its name (begins with bytes 1f 8b 08)"),
        ([], "the list of frames is empty"),
        (["gone.png"], "gone.png: no such file"),
    ],
    ids=str,
)
def test_source_that_cannot_be_opened_says_so_at_once(tmp_path, source, message):
    for name in ("empty", "outer/img", "filmed", "twice"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("outer/img/1.png", "twice/1.png", "twice/1.bmp"):
        Image.fromarray(NOISE).save(tmp_path / name)
    (tmp_path / "filmed/a.mp4").write_bytes(b"x")
    for name in ("clip.cptv", "clip.xyz"):
        (tmp_path / name).write_bytes(b"\x1f\x8b\x08")
    given = str(tmp_path / source) if isinstance(source, str) else source
    with pytest.raises(FrameError) as caught:
        frames(given)  # not even begun to read
    assert message in str(caught.value)


def test_address_is_read_as_a_stream(tmp_path):
    path = tmp_path / "a.mp4"
    with VideoWriter(path, fps=10) as writer:
        for _ in range(5):
            writer.write(NOISE)
    assert count_frames(f"file://{path}") == 5
    assert source_files(f"file://{path}") == []


# real files -------------------------------------------------------------------------------------


def test_real_16_bit_files_have_their_documented_values(shared):
    tiff = read_image(shared / "data/pairs/odd/raw16_flirpy.tiff")
    assert (tiff.shape, tiff.dtype, tiff.min(), tiff.max()) == ((512, 640), np.uint16, 6743, 7077)
    png = read_image(shared / "data/pairs/odd/raw16_lepton.png")
    assert (png.shape, png.dtype) == ((120, 160), np.uint16)
    assert png.max() > 2000
    assert read_image(shared / "data/pairs/odd/flir_radiometric_e40.jpg").shape == (240, 320, 3)


def test_real_video_has_as_many_frames_as_annotated_rows(shared):
    sequence = shared / "data/tir_video/ltir/birds"
    rows = (sequence / "groundtruth.txt").read_text().split()
    assert count_frames(sequence / "video.mp4") == len(rows) == 270
