"""Readers of frames: order, place and time, and damage that is named where it stands."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.media import count_frames, frames, frames_and_faults, probe
from tirtrack.readers import BadFrame

RNG = np.random.default_rng(5)


def picture(index: int, *, shape=(48, 64)) -> np.ndarray:
    """A dark frame on which a bright square, and the brightness of the ground, tell the index."""
    image = np.full((*shape, 3), 20 + 3 * index, dtype=np.uint8)
    image[10:20, index : index + 10] = (220, 60, 40)
    return image


def write_video(path, count=30, *, codec="libx264", pix_fmt="yuv420p", options=None, rotate=0,
                times_ms=None, images=None, muxer=None):  # fmt: skip
    """A video by PyAV itself, so that the reader is not tested by our own writer."""
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.pix_fmt = pix_fmt
        images = [picture(k) for k in range(count)] if images is None else images
        stream.height, stream.width = images[0].shape[:2]
        if rotate:
            stream.set_display_rotation(rotate)
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for k, image in enumerate(images):
            kind = {2: {"u1": "gray", "u2": "gray16le"}.get(image.dtype.str[1:]), 3: "rgb24"}
            frame = av.VideoFrame.from_ndarray(image, format=kind[image.ndim])
            if times_ms is not None:
                frame.pts, frame.time_base = times_ms[k], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def read_until_error(items) -> tuple[list, str]:
    """What came before the error, and its message."""
    kept = []
    try:
        for item in items:
            kept.append(item)
    except FrameError as error:
        return kept, str(error)
    pytest.fail(f"no error after {len(kept)} frames")


def read_all(source) -> list:
    return list(frames(source))


def error_of(source, *, reader) -> str:
    with pytest.raises(FrameError) as caught:
        reader(source)
    return str(caught.value)


# image files and pages ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    for k in (1, 2, 9, 10, 11, 100):
        Image.fromarray(np.full((6, 8), k, np.uint8)).save(tmp_path / f"frame_{k}.png")
    return tmp_path


def test_pages_of_a_16_bit_tiff_are_frames(tmp_path):
    stack = RNG.integers(0, 65535, (5, 12, 16), dtype=np.uint16)
    for order in ("<", ">"):
        tifffile.imwrite(tmp_path / "clip.tiff", stack, byteorder=order, compression="lzw")
        found = list(frames(tmp_path / "clip.tiff"))
        assert_array_equal(np.stack([frame.image for frame in found]), stack)
        assert found[4].name == "clip.tiff#4"
        info = probe(tmp_path / "clip.tiff")
        assert (info.dtype, info.expected_frames, info.is_video) == ("uint16", 5, False)


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        (
            np.zeros((7, 8), np.uint8),
            "the frame is 8x7 grey uint8, those before are 8x6 grey uint8",
        ),
        (np.zeros((6, 8), np.uint16), "the frame is 8x6 grey uint16, those before"),
        (np.zeros((6, 8, 3), np.uint8), "the frame is 8x6 colour uint8, those before"),
    ],
    ids=["size", "depth", "colour"],
)
def test_first_odd_file_of_a_folder_is_named(folder, odd, what):
    (folder / "frame_10.png").write_bytes(imagecodecs.png_encode(odd))
    for reader in (probe, read_all):
        message = error_of(folder, reader=reader)
        assert "frame_10.png" in message
        assert what in message
    assert len(read_until_error(frames(folder))[0]) == 3


def test_damaged_file_in_a_folder_stops_there_or_is_handed_out_as_fault(folder):
    (folder / "frame_10.png").write_bytes((folder / "frame_9.png").read_bytes()[:60])
    kept, message = read_until_error(frames(folder))
    assert "frame_10.png: the image is " in message
    assert [frame.name for frame in kept] == ["frame_1.png", "frame_2.png", "frame_9.png"]
    items = list(frames_and_faults(folder))
    assert [isinstance(item, BadFrame) for item in items] == [False] * 3 + [True] + [False] * 2
    assert items[3].index == 3
    assert probe(folder).expected_frames == 6


# videos ------------------------------------------------------------------------------------------


def test_video_gives_every_frame_its_place_and_time(tmp_path):
    path = write_video(tmp_path / "a.mp4", 30)
    found = list(frames(path))
    assert [frame.index for frame in found] == list(range(30))
    assert_allclose([frame.time_s for frame in found], np.arange(30) / 10, atol=1e-6)
    for frame in found:
        assert frame.image.shape == (48, 64, 3)
        assert frame.image[40, 50].mean() == pytest.approx(20 + 3 * frame.index, abs=5)
        square = frame.image[13:17, frame.index + 3 : frame.index + 7].reshape(-1, 3).mean(axis=0)
        assert_allclose(square, [220, 60, 40], atol=30)
    assert found[7].name == "a.mp4#7"
    info = probe(path)
    assert (info.width, info.height, info.channels, info.fps) == (64, 48, 3, 10.0)
    assert (info.is_video, info.expected_frames, info.name) == (True, 30, "a")


def test_reading_twice_gives_the_same_bytes(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20)
    for one, two in zip(frames(path), frames(path), strict=True):
        assert_array_equal(one.image, two.image)


@pytest.mark.parametrize("angle", [90, 180, -90])
def test_rotation_tag_is_honoured(tmp_path, angle):
    path = write_video(tmp_path / "a.mp4", 3, rotate=angle)
    plain = write_video(tmp_path / "b.mp4", 3)
    turned, straight = next(frames(path)).image, next(frames(plain)).image
    assert_array_equal(turned, np.rot90(straight, angle // 90))
    info = probe(path)
    assert (info.width, info.height) == ((64, 48) if angle == 180 else (48, 64))


def test_varying_rate_keeps_frames_and_times_whatever_the_header_says(tmp_path):
    gaps = np.random.default_rng(2).integers(20, 300, 40)
    times_ms = np.concatenate([[0], np.cumsum(gaps)[:-1]]).tolist()
    path = write_video(tmp_path / "a.mkv", 40, times_ms=times_ms)
    found = list(frames(path))
    assert len(found) == count_frames(path) == 40
    assert_allclose([frame.time_s for frame in found], np.array(times_ms) / 1000, atol=1e-3)


def test_grey_video_is_one_channel_of_the_stored_samples(tmp_path):
    eight = [RNG.integers(0, 256, (48, 64), dtype=np.uint8) for _ in range(3)]
    path = write_video(tmp_path / "a.mkv", codec="ffv1", pix_fmt="gray", images=eight)
    assert_array_equal(np.stack([frame.image for frame in frames(path)]), eight)
    deep = [RNG.integers(0, 65536, (48, 64), dtype=np.uint16) for _ in range(3)]
    path = write_video(tmp_path / "b.mkv", codec="ffv1", pix_fmt="gray16le", images=deep)
    assert_array_equal(np.stack([frame.image for frame in frames(path)]), deep)
    assert (probe(path).channels, probe(path).dtype) == (1, "uint16")


def test_frames_hidden_by_an_edit_list_are_no_early_end(tmp_path):
    write_video(tmp_path / "a.mp4", 40, options={"g": "10"})
    with (
        av.open(str(tmp_path / "a.mp4")) as source,
        av.open(str(tmp_path / "b.mp4"), "w", options={"avoid_negative_ts": "disabled"}) as target,
    ):
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.dts is not None:
                shift = int(1.5 / stream.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    copied,
                )
                target.mux(packet)
    assert count_frames(tmp_path / "b.mp4") == 25


NOISY = [np.random.default_rng(k).integers(0, 255, (48, 64, 3), dtype=np.uint8) for k in range(40)]


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "muxer"),
    [
        ("a.mp4", "libx264", "yuv420p", {"movflags": "+faststart"}),
        ("a.mkv", "libx264", "yuv420p", {}),
        ("a.avi", "mjpeg", "yuvj420p", {}),
        ("a.mkv", "ffv1", "yuv420p", {}),
    ],
    ids=["mp4", "mkv", "avi", "ffv1"],
)
@pytest.mark.parametrize("share", [0.4, 0.67, 0.9])
def test_video_that_ends_early_names_the_frame_and_keeps_those_before(
    tmp_path, name, codec, pix_fmt, muxer, share
):
    path = write_video(tmp_path / name, codec=codec, pix_fmt=pix_fmt, muxer=muxer, images=NOISY)
    whole = [frame.image for frame in frames(path)]
    cut(path, share)
    for reader in (frames, frames_and_faults):
        kept, message = read_until_error(reader(path))
        assert 5 < len(kept) < 40
        assert f"{name}, frame {len(kept)}: the video ends early (after " in message
        assert_array_equal(np.stack([frame.image for frame in kept]), whole[: len(kept)])


def test_a_stream_that_nobody_sends_is_no_file_to_copy_again():
    message = error_of("tcp://127.0.0.1:9/camera", reader=probe)
    assert message.startswith("tcp://127.0.0.1:9/camera: the video cannot be opened (")
    assert message.endswith("; check the address, and that the camera is on")


def test_cut_container_without_its_index_cannot_be_opened(tmp_path):
    path = cut(write_video(tmp_path / "a.mp4", images=NOISY), 0.67)
    assert "a.mp4: the video cannot be opened (" in error_of(path, reader=probe)
    with pytest.raises(FrameError, match="it may be truncated"):
        list(frames(path))


def break_packet(path: Path, number: int) -> None:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        at, size = packets[number].pos, packets[number].size
    content = bytearray(path.read_bytes())
    content[at : at + size] = b"\xff" * size
    path.write_bytes(content)


def test_broken_packet_is_an_error_with_its_frame_and_a_fault_in_its_place(tmp_path):
    path = write_video(tmp_path / "a.avi", codec="mjpeg", pix_fmt="yuvj420p", images=NOISY)
    whole = [frame.image for frame in frames(path)]
    break_packet(path, 12)
    kept, message = read_until_error(frames(path))
    assert "a.avi, frame 12: the frame cannot be decoded" in message
    assert len(kept) == 12
    items = list(frames_and_faults(path))
    assert len(items) == 40
    bad = [item for item in items if isinstance(item, BadFrame)]
    assert [item.index for item in bad] == [12]
    assert bad[0].time_s == pytest.approx(1.2)
    for item in items[13:]:
        assert_array_equal(item.image, whole[item.index])


def test_broken_packet_among_reordered_frames_stands_in_order_of_time(tmp_path):
    path = write_video(tmp_path / "a.mp4", images=NOISY, options={"bf": "3"})
    break_packet(path, 10)
    items = list(frames_and_faults(path))
    assert len(items) == 40
    times = [item.time_s for item in items]
    assert times == sorted(times)
    assert sum(isinstance(item, BadFrame) for item in items) == 1


def test_sound_without_pictures_is_said_plainly(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    assert error_of(tmp_path / "a.mp4", reader=read_all).endswith(
        "a.mp4: no video stream in the file (audio only); give a video or a folder of frames"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "the file is empty (0 bytes)"), (b"this is no video at all", "cannot be opened (")],
    ids=["empty", "text"],
)
def test_file_that_is_no_video_is_refused(tmp_path, content, message):
    (tmp_path / "a.mp4").write_bytes(content)
    assert message in error_of(tmp_path / "a.mp4", reader=read_all)


def test_size_that_changes_in_mid_stream_names_the_frame(tmp_path):
    write_video(tmp_path / "a.ts", 20)
    write_video(tmp_path / "b.ts", images=[np.zeros((96, 128, 3), np.uint8)] * 20)
    with (tmp_path / "a.ts").open("ab") as joined:
        joined.write((tmp_path / "b.ts").read_bytes())
    kept, message = read_until_error(frames(tmp_path / "a.ts"))
    assert len(kept) >= 15
    what = "the frame is 128x96 colour uint8, those before are 64x48 colour uint8"
    assert f"a.ts, frame {len(kept)}: {what}" in message


def test_start_skips_frames_of_a_video_and_keeps_index_and_time(tmp_path):
    path = write_video(tmp_path / "a.mp4", 20)
    whole = list(frames(path))
    part = list(frames(path, start=7, end=12))
    assert [frame.index for frame in part] == [7, 8, 9, 10, 11]
    for frame in part:
        assert_array_equal(frame.image, whole[frame.index].image)
        assert frame.time_s == whole[frame.index].time_s


def test_frame_of_a_reader_belongs_to_the_caller(tmp_path):
    path = write_video(tmp_path / "a.mp4", 3)
    untouched = [frame.image.copy() for frame in frames(path)]
    for frame in frames(path):
        assert_array_equal(frame.image, untouched[frame.index])
        frame.image[:] = 0  # would raise, or spoil the next frame, if it were the decoder's own
