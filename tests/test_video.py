"""Streams that FFmpeg cannot decode by itself: raw samples are read, all else is named."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tirtrack.errors import FrameError
from tirtrack.media import frames, frames_and_faults, probe
from tirtrack.read_options import ReadOptions

COUNTS = np.random.default_rng(3).integers(7000, 7400, (6, 48, 64), dtype=np.uint16)


def write_raw_avi(path: Path, code: bytes, pictures: np.ndarray, *, dtype: str = "<u2") -> Path:
    """``[T,H,W]`` as an AVI of raw samples; the FourCC is written over that of a known format."""
    height, width = pictures.shape[1:]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=9)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuyv422"
        for picture in pictures:
            frame = av.VideoFrame(width, height, "yuyv422")
            samples = picture.astype(dtype).view(np.uint8).reshape(height, -1)
            plane = np.zeros((height, frame.planes[0].line_size), np.uint8)
            plane[:, : samples.shape[1]] = samples
            frame.planes[0].update(plane.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    assert content.count(b"YUY2") == 2
    path.write_bytes(content.replace(b"YUY2", code))
    return path


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(b"Y16 ", "<u2"), (b"Y16\xa0", ">u2"), (b"Y1\x00\x10", "<u2"), (b"Y14 ", "<u2")],
    ids=["Y16", "Y16 big-endian", "FFmpeg's own", "Y14"],
)
def test_raw_16_bit_video_is_read_count_by_count(tmp_path, code, dtype):
    path = write_raw_avi(tmp_path / "a.avi", code, COUNTS, dtype=dtype)
    found = list(frames(path))
    assert_array_equal(np.stack([one.image for one in found]), COUNTS)
    assert found[1].time_s == pytest.approx(1 / 9)
    info = probe(path)
    assert (info.dtype, info.channels, info.fps, info.expected_frames) == ("uint16", 1, 9.0, 6)


def test_a_raw_frame_that_is_cut_off_is_said(tmp_path):
    path = write_raw_avi(tmp_path / "a.avi", b"Y16 ", COUNTS)
    with av.open(str(path)) as container:
        last = [packet for packet in container.demux() if packet.size][-1]
        end = last.pos + last.size
    path.write_bytes(path.read_bytes()[: end - 900])
    kept = []
    with pytest.raises(FrameError, match=r"a\.avi, frame 5: "):
        kept.extend(frames(path))
    assert len(kept) == 5


def test_the_case_of_a_camera_that_writes_y16(shared):
    found = list(frames(shared / "cases/video_without_decoder/y16.avi"))
    assert [one.image.shape for one in found] == [(48, 64)] * 6
    assert {one.image.dtype for one in found} == {np.dtype("uint16")}
    assert found[0].image.min() > 20_000


@pytest.mark.parametrize(
    ("code", "name"), [(b"XXXX", "XXXX"), (b"BA81", "BA81"), (b"\x01\x02\x03\x04", "[1][2][3][4]")]
)
@pytest.mark.parametrize("reader", [probe, lambda path: list(frames_and_faults(path))])
def test_a_codec_without_a_decoder_is_named(tmp_path, code, name, reader):
    path = write_raw_avi(tmp_path / "a.avi", code, COUNTS)
    with pytest.raises(FrameError) as caught:
        reader(path)
    assert str(caught.value) == (
        f"{path}: the video's codec ({name}) is not known here; with the program that made it, "
        "export FFV1 with pixel format gray16le, or TIFF"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("suffix", "codec", "before", "after", "name"),
    [
        ("mp4", "libx264", b"avc1", b"zzz9", "zzz9"),
        ("mkv", "libx264", b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ", "without a name"),
        ("avi", "mjpeg", b"MJPG", b"QQQQ", "QQQQ"),
    ],
)
def test_an_unknown_codec_in_any_container_is_named(tmp_path, suffix, codec, before, after, name):
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(before, after))
    with pytest.raises(FrameError, match="is not known here") as caught:
        probe(path)
    assert f"codec ({name})" in str(caught.value)


@pytest.mark.parametrize("code", [b"Y16 ", b"YUY2"])
def test_raw_video_without_a_size_says_so(tmp_path, code):
    path = write_raw_avi(tmp_path / "a.avi", code, COUNTS)
    header = np.array([64, 48], "<i4").tobytes()
    content = path.read_bytes()
    assert content.count(header) >= 2
    path.write_bytes(content.replace(header, bytes(8)))
    with pytest.raises(FrameError, match=r"a\.avi: the video does not say the size of its frames;"):
        probe(path)


# raw frames -------------------------------------------------------------------------------------

RGB = np.random.default_rng(4).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("pixel_format", "content", "expected"),
    [
        ("gray", COUNTS[0].astype(np.uint8).tobytes(), COUNTS[0].astype(np.uint8)),
        ("gray16le", COUNTS[0].astype("<u2").tobytes(), COUNTS[0]),
        ("gray16be", COUNTS[0].astype(">u2").tobytes(), COUNTS[0]),
        ("rgb24", RGB.tobytes(), RGB),
        ("bgr24", RGB[..., ::-1].tobytes(), RGB),
    ],
)
def test_raw_frames_are_read_by_their_pixel_format(tmp_path, pixel_format, content, expected):
    (tmp_path / "night.raw").write_bytes(content * 3)
    options = ReadOptions(size_wh=(64, 48), pixel_format=pixel_format)
    found = list(frames(tmp_path / "night.raw", options=options))
    assert len(found) == 3
    for one in found:
        assert_array_equal(one.image, expected)
        assert one.time_s is None
    info = probe(tmp_path / "night.raw", options)
    assert (info.fps, info.is_video, info.expected_frames) == (None, False, 3)


def test_planes_of_raw_frames_have_their_own_sizes(tmp_path):
    grey = np.full((48, 64), 120, np.uint8).tobytes() + bytes([128]) * (2 * 24 * 32)
    (tmp_path / "night.yuv").write_bytes(grey * 4)
    options = ReadOptions(size_wh=(64, 48), pixel_format="yuv420p")
    found = [one.image for one in frames(tmp_path / "night.yuv", options=options)]
    assert [image.shape for image in found] == [(48, 64, 3)] * 4
    assert np.ptp(found[0]) == 0


def test_a_last_raw_frame_that_is_cut_off_is_said(tmp_path):
    (tmp_path / "night.raw").write_bytes(COUNTS.tobytes()[:-100])
    options = ReadOptions(size_wh=(64, 48), pixel_format="gray16le")
    kept = []
    said = r"frame 5: .*last frame is cut off\); check --size and --pixel-format, or copy"
    with pytest.raises(FrameError, match=said):
        kept.extend(frames(tmp_path / "night.raw", options=options))
    assert len(kept) == 5


def test_the_pace_of_a_clock_is_no_frame_rate(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=30000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        stream.codec_context.time_base = Fraction(1, 25)
        for index, picture in enumerate(COUNTS):
            frame = av.VideoFrame.from_ndarray(picture, format="gray16le")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe(tmp_path / "a.mkv")
    assert info.fps == pytest.approx(25, rel=0.05)
    assert info.expected_frames == pytest.approx(len(COUNTS), abs=1)
    assert info.description.startswith(f"video of about {info.expected_frames} frames")


@pytest.mark.parametrize(
    ("kind", "dtype", "values"),
    [
        ("gray32le", "<u4", [0, 70000, 4_000_000_000]),
        ("gray32be", ">u4", [0, 70000, 4_000_000_000]),
        ("grayf32le", "<f4", [-3.5, 0.25, 1e6]),
        ("gray16be", ">u2", [0, 7000, 65535]),
        ("gray", "u1", [0, 7, 255]),
    ],
)
def test_grey_samples_of_every_depth_keep_their_values(tmp_path, kind, dtype, values):
    expected = np.resize(np.array(values), (48, 64))
    (tmp_path / "a.raw").write_bytes(expected.astype(dtype).tobytes())
    options = ReadOptions(size_wh=(64, 48), pixel_format=kind)
    (found,) = frames(tmp_path / "a.raw", options=options)
    assert_array_equal(found.image, expected)
