"""CPTV: bit for bit, with times; damage named; sizes that lie cost nothing."""

from __future__ import annotations

import gzip
import pickle
import struct

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError, PairsError
from tirtrack.media import count_frames, frames, probe, read_image
from tirtrack.pairs import Pairing, mine_pairs, open_pairs
from tirtrack.pairs.one_grid import resample
from tirtrack.pairs.video_frames import RecordedFrames
from tirtrack.read_options import ReadOptions
from tirtrack.video_writer import VideoWriter

RNG = np.random.default_rng(5)
STACK = RNG.integers(2600, 3200, (4, 6, 8), dtype=np.uint16)


def field(code: str, content: bytes) -> bytes:
    return struct.pack("<Bc", len(content), code.encode()) + content


def header(*, width=8, height=6, compression=1) -> bytes:
    fields = [
        field("T", struct.pack("<Q", 1)),
        field("X", struct.pack("<I", width)),
        field("Y", struct.pack("<I", height)),
        field("C", struct.pack("<B", compression)),
        field("D", b"possum"),
    ]
    return b"CPTV\x02H" + bytes([len(fields)]) + b"".join(fields)


def packed(difference: np.ndarray, bits: int) -> bytes:
    """A difference ``[H,W]`` along the path that turns at every row's end, ``bits`` a sample."""
    path = difference.astype(np.int64).copy()
    path[1::2] = path[1::2, ::-1]
    steps = np.diff(path.ravel())
    text = "".join(format(int(step) % (1 << bits), f"0{bits}b") for step in steps)
    text += "0" * (-len(text) % 8)
    tail = bytes(int(text[k : k + 8], 2) for k in range(0, len(text), 8))
    return struct.pack("<i", path.flat[0]) + tail


def frame(content: bytes, bits: int, time_ms: int, *, is_background=False) -> bytes:
    fields = [
        field("t", struct.pack("<I", time_ms)),
        field("w", struct.pack("<B", bits)),
        field("f", struct.pack("<I", len(content))),
    ]
    fields += [field("g", b"\x01")] if is_background else []
    return b"F" + bytes([len(fields)]) + b"".join(fields) + content


def recording(stack=STACK, *, bits=13, background=False) -> bytes:
    body, before = header(), np.zeros((6, 8), np.int64)
    for index, image in enumerate(stack):
        content = packed(image.astype(np.int64) - before, bits)
        body += frame(content, bits, 5000 + 111 * index, is_background=background and index == 0)
        before = image.astype(np.int64)
    return body


@pytest.mark.parametrize("bits", [11, 12, 13, 16, 17, 24])
def test_frames_of_every_bit_width_come_back(tmp_path, bits):
    (tmp_path / "a.cptv").write_bytes(gzip.compress(recording(bits=bits)))
    found = list(frames(tmp_path / "a.cptv"))
    assert_array_equal([one.image for one in found], STACK)
    assert found[0].image.dtype == np.uint16
    assert_allclose([one.time_s for one in found], [0.0, 0.111, 0.222, 0.333])
    info = probe(tmp_path / "a.cptv")
    assert (info.is_video, info.expected_frames) == (True, 4)
    assert info.fps == pytest.approx(9.009, abs=1e-3)
    assert [one.index for one in frames(tmp_path / "a.cptv", start=2)] == [2, 3]
    assert_array_equal(next(frames(tmp_path / "a.cptv", start=2)).image, STACK[2])


def test_background_is_no_frame_and_is_named(tmp_path):
    (tmp_path / "a.cptv").write_bytes(gzip.compress(recording(background=True)))
    assert_array_equal([one.image for one in frames(tmp_path / "a.cptv")], STACK[1:])
    assert probe(tmp_path / "a.cptv").description.endswith("not used: the background frame")


def test_real_recording_holds_the_frame_that_was_taken_from_it(shared):
    path = shared / "data/pairs/odd/lepton_v2.cptv"
    assert count_frames(path) == 100
    expected = read_image(shared / "data/pairs/odd/raw16_lepton.png")
    assert_array_equal(next(frames(path, start=40)).image, expected)
    assert probe(path).description == (
        "CPTV file of 100 frames, 160x120, 16 bit, 1 channel, 9.001 frames/s"
    )


def test_cut_recording_keeps_the_frames_before(tmp_path, shared):
    content = (shared / "data/pairs/odd/lepton_v2.cptv").read_bytes()
    (tmp_path / "a.cptv").write_bytes(content[: len(content) // 2])
    count = probe(tmp_path / "a.cptv").expected_frames
    assert 30 < count < 70
    found = frames(tmp_path / "a.cptv")
    assert len([next(found) for _ in range(count)]) == count
    with pytest.raises(FrameError, match=f"frame {count}: the recording ends early"):
        next(found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08", "the recording is damaged or truncated"),
        (gzip.compress(b"no recording"), "a gzip file that holds no CPTV recording"),
        (gzip.compress(b"CPTV\x03H\0"), "CPTV of version 3; versions 1 and 2 can be read"),
        (gzip.compress(b"CPTV\x02H\0"), "its header lacks"),
        (gzip.compress(header()), "the recording has no frame"),
        (gzip.compress(header(compression=7)), "CPTV of compression 7"),
        (gzip.compress(header(width=60000, height=60000)), "over the limit of 100 million pixels"),
        (gzip.compress(header(width=2000, height=2000)), "2000x2000 are of no CPTV camera"),
        (gzip.compress(header() + b"F\x02" + field("w", b"\x09")
                       + field("f", b"\xff\xff\xff\xff")), "a frame of 4294967295 bytes"),
        (gzip.compress(header() + b"Z"), "an unknown section"),
    ],
    ids=["3 bytes", "gzip", "version", "no fields", "no frame", "compression", "bomb", "large",
         "frame size", "section"],
)  # fmt: skip
def test_damage_is_named(tmp_path, content, message):
    (tmp_path / "a.cptv").write_bytes(content)
    with pytest.raises(FrameError) as caught:
        list(frames(tmp_path / "a.cptv"))
    assert str(tmp_path / "a.cptv") in str(caught.value)
    assert message in str(caught.value)


# --- pairs ----------------------------------------------------------------------------------------


def video_of(path, count=4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 9) as writer:
        for level in range(count):
            picture = np.random.default_rng(level).integers(0, 255, (96, 128, 3), dtype=np.uint8)
            writer.write(picture)


def write_recording(path, stack=STACK) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(recording(stack)))


def paired(folder):
    return open_pairs(folder, pairing=Pairing(any_aspect=True))


@pytest.mark.parametrize(
    ("rgb", "tir"),
    [("rgb.mp4", "tir.cptv"), ("a_rgb.mp4", "a_tir.cptv"), ("rgb/a.mp4", "tir/a.cptv")],
    ids=["two files", "one folder", "two folders"],
)
def test_a_recording_is_the_tir_video_of_a_pair(tmp_path, rgb, tir):
    video_of(tmp_path / "night" / rgb)
    write_recording(tmp_path / "night" / tir)
    source = paired(tmp_path / "night")
    assert len(source) == 4
    (one,) = source.recordings().values()
    assert one.is_video
    for index in (2, 0, 3):  # a step back, too
        assert source[index].tir_stored_wh == (8, 6)
        assert source[index].tir_depth == "uint16"
        counts = resample(STACK[index], 96, 128)
        assert_array_equal(source[index].tir, counts)
    again = pickle.loads(pickle.dumps(source))
    assert_array_equal(again[1].tir, source[1].tir)


@pytest.mark.parametrize("cache_bytes", [1, 3 * STACK[0].nbytes, 2**20])
def test_frames_come_in_any_order_within_the_cap(tmp_path, cache_bytes):
    write_recording(tmp_path / "tir.cptv", many := RNG.integers(2600, 3200, (50, 6, 8), np.uint16))
    frames = RecordedFrames(tmp_path / "tir.cptv", cache_bytes=cache_bytes)
    for index in (0, 49, 48, 17, 18, 2, 40, 0):
        assert_array_equal(frames[index], many[index])
        assert sum(one.nbytes for one in frames._cache.values()) <= max(cache_bytes, 96)


def test_a_step_back_to_a_frame_that_was_read_reads_nothing(tmp_path):
    """Motion asks for the neighbours of every frame, some of which lie before it."""
    write_recording(tmp_path / "tir.cptv")
    frames = RecordedFrames(tmp_path / "tir.cptv", options=ReadOptions())
    assert_array_equal(frames[3], STACK[3])
    (tmp_path / "tir.cptv").unlink()
    assert_array_equal(frames[1], STACK[1])
    with pytest.raises(ValueError, match="read-only"):
        frames[1][0, 0] = 1
    with pytest.raises(IndexError, match="frame 4 of 4"):
        frames[4]
    frames.close()
    with pytest.raises(PairsError):
        frames[1]


def test_frames_of_a_recording_are_matched_by_its_clock(tmp_path):
    """The video has 9 frames/s as the recording has, and one more frame behind its end."""
    video_of(tmp_path / "rgb.mp4", 5)
    write_recording(tmp_path / "tir.cptv")
    with pytest.raises(PairsError, match=r"rgb.mp4 has 5 frames .*, tir.cptv 4 \(9.01 a second"):
        paired(tmp_path)
    source = open_pairs(tmp_path, pairing=Pairing(match="time", any_aspect=True))
    assert len(source) == 4


@pytest.mark.parametrize(("rgb", "tir"), [("a_rgb.png", "a_tir.cptv"), ("rgb/a.png", "tir/a.cptv")])
def test_a_single_picture_is_no_partner_of_a_recording(tmp_path, rgb, tir):
    (tmp_path / "night" / rgb).parent.mkdir(parents=True)
    picture = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "night" / rgb)
    write_recording(tmp_path / "night" / tir)
    with pytest.raises(PairsError, match=r"is a recording of 4 frames, and RGB is images; .*rgb.m"):
        paired(tmp_path / "night")
    write_recording(tmp_path / "night" / tir, STACK[:1])
    assert len(paired(tmp_path / "night")) == 1


def test_recordings_alone_are_recordings_of_tir(tmp_path):
    for name in ("one", "two"):
        write_recording(tmp_path / "all" / f"{name}.cptv")
    source = open_pairs(tmp_path / "all")
    assert list(source.recordings()) == ["all/one", "all/two"]
    assert_array_equal(source[5].tir, STACK[1])
    alone = open_pairs(tmp_path / "all" / "one.cptv")
    assert_array_equal(alone[3].tir, STACK[3])


def test_a_recording_goes_into_shards(tmp_path):
    video_of(tmp_path / "night" / "rgb.mp4")
    write_recording(tmp_path / "night" / "tir.cptv")
    mine_pairs(tmp_path / "night", tmp_path / "shards", pairing=Pairing(any_aspect=True))
    source, stored = paired(tmp_path / "night"), paired(tmp_path / "shards")
    for index in range(4):
        assert_array_equal(stored[index].tir, source[index].tir)


def test_a_recording_that_ends_early_is_refused_in_pairs(tmp_path):
    video_of(tmp_path / "rgb.mp4")
    (tmp_path / "tir.cptv").write_bytes(gzip.compress(recording()[:-20]))
    with pytest.raises(PairsError, match="ends early"):
        paired(tmp_path)
