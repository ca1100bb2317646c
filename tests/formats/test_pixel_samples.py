"""Samples of a pixel: which are the picture, and in which byte order."""

from __future__ import annotations

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, frames, probe, read_image

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (48, 64), dtype=np.uint8)
SCENE = (
    29000
    + 900 * np.hypot(*(np.mgrid[0:48, 0:64] - 24)).astype(int) // 20
    + RNG.integers(0, 9, (48, 64))
).astype(np.uint16)
"""Counts as of a thermal core: smooth, over several values of the high byte."""


def flat(level: int) -> np.ndarray:
    return np.full((48, 64), level, np.uint8)


def error_of(source, options=None) -> str:
    messages = set()
    for reader in (lambda: list(frames(source, options=options or ReadOptions())),
                   lambda: probe(source, options or ReadOptions())):  # fmt: skip
        with pytest.raises(FrameError) as caught:
            reader()
        messages.add(str(caught.value))
    return messages.pop()


# alpha and bands --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "samples", "channel"),
    [
        ("rgba.png", [flat(9), flat(9), flat(9), NOISE], 3),
        ("la.png", [flat(9), NOISE], 1),
        ("rgba.tif", [flat(9), flat(9), flat(9), NOISE], 3),
        ("rgba.webp", [flat(9), flat(9), flat(9), NOISE], 3),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_alpha_that_varies_is_refused_until_the_channel_is_named(tmp_path, name, samples, channel):
    pixels = np.stack(samples, axis=2)
    path = tmp_path / name
    if name.endswith("tif"):
        tifffile.imwrite(path, pixels, photometric="rgb", extrasamples=["unassalpha"])
    elif name.endswith("webp"):
        Image.fromarray(pixels).save(path, lossless=True, exact=True)
    else:
        Image.fromarray(pixels).save(path)
    message = error_of(path)
    assert "the alpha channel is not constant (0 to 255), so it may be the picture" in message
    assert f"give --channel {channel} for it" in message
    assert_array_equal(read_image(path, ReadOptions(channel=channel)), NOISE)
    assert (read_image(path, ReadOptions(channel=0)) == 9).all()


def test_alpha_of_16_bit_png_is_refused_and_read_alike(tmp_path):
    pixels = np.stack([np.zeros_like(SCENE)] * 3 + [SCENE], axis=2)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    assert "give --channel 3 for it" in error_of(tmp_path / "a.png")
    assert_array_equal(read_image(tmp_path / "a.png", ReadOptions(channel=3)), SCENE)


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_frames_that_were_stored_as_bands_are_refused_until_one_is_named(tmp_path, planes, count):
    stack = RNG.integers(0, 60000, (count, 48, 64), dtype=np.uint16)
    stored = stack if planes == "separate" else np.moveaxis(stack, 0, -1)
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=planes)
    message = error_of(path)
    assert f"every pixel has {count} samples" in message
    assert f"--channel 0 to {count - 1}" in message
    found = list(frames(path, options=ReadOptions(channel=1)))
    assert len(found) == 1
    assert_array_equal(found[0].image, stack[1])


def test_channel_that_is_not_there_is_refused(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    assert "every pixel has 1 sample, there is no 3; give --channel 0" in error_of(
        tmp_path / "a.png", ReadOptions(channel=3)
    )


def test_bands_that_are_equal_are_one_grey_picture_in_colour(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([SCENE] * 3, 2), photometric="minisblack",
                     planarconfig="contig")  # fmt: skip
    assert read_image(tmp_path / "a.tif").shape == (48, 64, 3)


# byte order -------------------------------------------------------------------------------------


def write_pgm(path, counts):
    header = f"P5 {counts.shape[1]} {counts.shape[0]} 65535\n".encode()
    path.write_bytes(header + counts.astype(">u2").tobytes())


WRITERS = {
    "a.png": lambda p, i: p.write_bytes(imagecodecs.png_encode(i)),
    "a.tif": tifffile.imwrite,
    "b.tif": lambda p, i: tifffile.imwrite(p, i, byteorder=">"),
    "a.pgm": write_pgm,
    "a.npy": np.save,
    "a.jp2": lambda p, i: p.write_bytes(imagecodecs.jpeg2k_encode(i, level=0, codecformat="jp2")),
}


@pytest.mark.parametrize("name", WRITERS)
def test_counts_that_make_sense_only_with_swapped_bytes_are_refused(tmp_path, name):
    WRITERS[name](tmp_path / name, SCENE.byteswap())
    message = error_of(tmp_path / name)
    assert "the 16-bit counts look as if their two bytes were swapped" in message
    declared = "little" if name in ("a.tif", "a.npy") else "big"
    other = "big" if declared == "little" else "little"
    assert f"give --byte-order {other} to swap them, or --byte-order {declared} to keep" in message
    assert_array_equal(read_image(tmp_path / name, ReadOptions(byte_order=other)), SCENE)
    kept = read_image(tmp_path / name, ReadOptions(byte_order=declared))
    assert_array_equal(kept, SCENE.byteswap())


@pytest.mark.parametrize("name", WRITERS)
def test_right_counts_pass_with_and_without_a_named_byte_order(tmp_path, name):
    WRITERS[name](tmp_path / name, SCENE)
    assert_array_equal(next(frames(tmp_path / name)).image, SCENE)


@pytest.mark.parametrize(
    "counts",
    [
        RNG.integers(0, 65535, (48, 64), dtype=np.uint16),
        SCENE // 256 * 257,
        NOISE.astype(np.uint16),
        NOISE.astype(np.uint16) * 256,
        np.full((48, 64), 300, np.uint16),
        np.where(np.arange(64) < 20, 0, SCENE).astype(np.uint16),
        (SCENE - 28000) << 4,
    ],
    ids=["noise", "8 bit twice", "8 bit low", "8 bit high", "constant", "empty border", "shifted"],
)
def test_counts_that_are_not_clearly_swapped_are_read(tmp_path, counts):
    np.save(tmp_path / "a.npy", counts)
    assert_array_equal(next(frames(tmp_path / "a.npy")).image, counts)


def test_real_counts_are_not_taken_for_swapped_and_swapped_ones_are(shared, tmp_path):
    folder = shared / "data/pairs/odd"
    for name in ("raw16_flirpy.tiff", "raw16_lepton.png"):
        counts = read_image(folder / name)
        assert_array_equal(next(frames(folder / name)).image, counts)
        np.save(tmp_path / "swapped.npy", counts.byteswap())
        assert "swapped" in error_of(tmp_path / "swapped.npy")


# bytes that are swapped in the middle of a source ------------------------------------------------


def save_pgm(folder, frames_):
    for k, frame in enumerate(frames_):
        (folder / f"{k}.pgm").write_bytes(b"P5 64 48 65535\n" + frame.astype(">u2").tobytes())
    return folder


def save_pages(folder, frames_):
    tifffile.imwrite(folder / "a.tif", np.stack(frames_), photometric="minisblack")
    return folder / "a.tif"


def save_stack(folder, frames_):
    np.save(folder / "a.npy", np.stack(frames_))
    return folder / "a.npy"


def save_ffv1(folder, frames_):
    with av.open(str(folder / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for frame in frames_:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray16le")))
        container.mux(stream.encode(None))
    return folder / "a.mkv"


@pytest.mark.parametrize("save", [save_pgm, save_pages, save_stack, save_ffv1])
def test_bytes_that_are_swapped_from_a_later_frame_on_end_the_source_there(tmp_path, save):
    source = save(tmp_path, [SCENE, SCENE + 3, (SCENE + 5).byteswap()])
    read = frames(source)
    assert_array_equal(next(read).image, SCENE)
    assert_array_equal(next(read).image, SCENE + 3)
    with pytest.raises(FrameError, match=r"swapped .*; those before do not; save all frames alike"):
        next(read)
    kept = list(frames(source, options=ReadOptions(byte_order=probe_order(source))))
    assert_array_equal(kept[2].image, (SCENE + 5).byteswap())


def probe_order(source):
    """The order that its files declare."""
    return "big" if source.is_dir() else "little"


@pytest.mark.parametrize(
    "later",
    [SCENE + 9000, SCENE // 100, np.full_like(SCENE, 300), RNG.integers(0, 65535, SCENE.shape),
     np.where(np.hypot(*(np.mgrid[0:48, 0:64] - 24)) < 9, 65535, SCENE),
     np.where(np.arange(64) % 2 == 0, 65535, SCENE)],
    ids=["hotter", "few counts", "constant", "noise", "saturated", "stripes"],
)  # fmt: skip
def test_a_later_frame_that_only_looks_strange_is_read(tmp_path, later):
    frames_ = [SCENE, later.astype(np.uint16)]
    assert_array_equal(list(frames(save_stack(tmp_path, frames_)))[1].image, frames_[1])
