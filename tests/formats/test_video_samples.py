"""Samples of a video: raw frames whose format is a guess, thermal in alpha, swapped counts."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, frames, probe

RNG = np.random.default_rng(5)
COUNTS = (
    29000 + 40 * np.hypot(*(np.mgrid[0:48, 0:64] - 24)) + RNG.integers(0, 9, (48, 64))
).astype(np.uint16)
NOISE = RNG.integers(0, 256, (48, 64), dtype=np.uint8)


def write(path, image: np.ndarray, *, codec: str, pix_fmt: str):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.pix_fmt, (stream.height, stream.width) = pix_fmt, image.shape[:2]
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format=pix_fmt)))
        container.mux(stream.encode(None))
    return path


def test_raw_frames_of_16_bits_are_no_colours_until_the_user_says_so(tmp_path):
    path = write(tmp_path / "a.avi", COUNTS, codec="rawvideo", pix_fmt="gray16le")
    for read in (probe, lambda source: list(frames(source))):
        with pytest.raises(FrameError) as caught:
            read(path)
        assert (
            "its raw frames have 16 bits a pixel: grey counts, or packed colours (rgb555le)"
            in str(caught.value)
        )
        assert "give --pixel-format gray16le or --pixel-format rgb555le" in str(caught.value)
    found = list(frames(path, options=ReadOptions(pixel_format="gray16le")))
    assert len(found) == 3
    assert_array_equal(found[0].image, COUNTS)
    assert probe(path, ReadOptions(pixel_format="rgb555le")).channels == 3


def test_coded_frames_have_no_pixel_format_to_name(tmp_path):
    path = write(tmp_path / "a.mkv", COUNTS, codec="ffv1", pix_fmt="gray16le")
    with pytest.raises(FrameError, match=r"its frames are coded \(ffv1\)"):
        probe(path, ReadOptions(pixel_format="gray16le"))


def test_thermal_in_the_alpha_channel_of_a_video_is_read_by_channel(tmp_path):
    pixels = np.dstack([np.zeros_like(NOISE)] * 3 + [NOISE])
    path = write(tmp_path / "a.mkv", pixels, codec="ffv1", pix_fmt="bgra")
    with pytest.raises(
        FrameError, match=r"the alpha channel is not constant .* --channel 3 for it"
    ):
        probe(path)
    assert_array_equal(next(frames(path, options=ReadOptions(channel=3))).image, NOISE)


def test_swapped_counts_of_a_video_are_refused_until_the_order_is_named(tmp_path):
    path = write(tmp_path / "a.mkv", COUNTS.byteswap(), codec="ffv1", pix_fmt="gray16le")
    with pytest.raises(FrameError, match="two bytes were swapped"):
        probe(path)
    assert_array_equal(next(frames(path, options=ReadOptions(byte_order="big"))).image, COUNTS)


def test_video_says_its_codec_and_the_streams_that_are_not_read(tmp_path):
    path = write(tmp_path / "a.mkv", COUNTS, codec="ffv1", pix_fmt="gray16le")
    line = probe(path).description
    assert line.endswith(", 64x48, 16 bit, 1 channel, 10 frames/s, ffv1, gray16le")
    with av.open(str(tmp_path / "b.mkv"), "w") as container:
        for _ in range(2):
            stream = container.add_stream("ffv1", rate=10)
            stream.pix_fmt, stream.height, stream.width = "gray16le", 48, 64
        for stream in container.streams.video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(COUNTS, format="gray16le")))
            container.mux(stream.encode(None))
    assert probe(tmp_path / "b.mkv").description.endswith("; not used: 1 video stream")
