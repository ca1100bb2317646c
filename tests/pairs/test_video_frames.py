"""Any frame of a video, in any order, with bounded memory."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tirtrack.errors import PairsError
from tirtrack.pairs.video_frames import VideoFrames
from tirtrack.video_writer import VideoWriter


@pytest.fixture(scope="module")
def counting_video(tmp_path_factory):
    """Frame k has grey level 20 + 3 k."""
    path = tmp_path_factory.mktemp("video") / "count.mp4"
    with VideoWriter(path, 25) as writer:
        for number in range(70):
            writer.write(np.full((48, 64), 20 + 3 * number, np.uint8))
    return path


@pytest.mark.parametrize("grey", [True, False])
def test_random_access_gives_what_going_through_gives(counting_video, grey):
    frames = VideoFrames(counting_video, grey=grey, cache_bytes=1)
    assert len(frames) == 70
    order = np.random.default_rng(0).permutation(70)
    for index in order:
        assert float(frames[int(index)].mean()) == pytest.approx(20 + 3 * index, abs=2)


def test_memory_stays_within_the_cap(counting_video):
    frames = VideoFrames(counting_video, grey=True, cache_bytes=5 * 48 * 64)
    for index in (0, 69, 30):
        frames[index]
        assert sum(image.nbytes for image in frames._cache.values()) <= 5 * 48 * 64
        assert frames._cached_bytes == sum(image.nbytes for image in frames._cache.values())


def test_a_closed_video_is_opened_again_when_it_is_read(counting_video):
    frames = VideoFrames(counting_video, grey=True)
    before = frames[33].copy()
    frames.close()
    assert not frames._cache
    assert np.array_equal(frames[33], before)
    assert np.array_equal(VideoFrames(counting_video, grey=True)[34], frames[34])


def test_frames_cannot_be_changed_by_the_caller(counting_video):
    with pytest.raises(ValueError, match="read-only"):
        VideoFrames(counting_video, grey=True)[0][0, 0] = 1


def test_out_of_range_is_an_index_error(counting_video):
    frames = VideoFrames(counting_video, grey=True)
    for index in (-1, 70):
        with pytest.raises(IndexError):
            frames[index]


def test_a_truncated_video_names_file_and_frame(tmp_path, counting_video):
    path = tmp_path / "cut.mp4"
    content = bytearray(counting_video.read_bytes())
    start = content.index(b"mdat")
    content[start + 400 :] = bytes(len(content) - start - 400)
    path.write_bytes(content)
    frames = VideoFrames(path, grey=True)
    with pytest.raises(
        PairsError, match=r"cut\.mp4: frame 69 of 70 cannot be decoded \(inv[\w ]+\)"
    ):
        frames[69]


def test_a_file_without_video_is_refused(tmp_path):
    path = tmp_path / "rgb.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(PairsError, match="cannot be opened as a video"):
        VideoFrames(path, grey=False)


@pytest.mark.parametrize(("colour", "axes"), [([250, 120, 20], 3), ([120, 120, 120], 2)])
def test_a_tir_video_that_carries_colour_shows_it(tmp_path, colour, axes):
    path = tmp_path / "tir.mp4"
    with VideoWriter(path, 25) as writer:
        writer.write(np.full((48, 64, 3), colour, np.uint8))
    assert VideoFrames(path, grey=True)[0].ndim == axes


def test_sixteen_bits_in_a_lossless_video_arrive_unchanged(tmp_path):
    path = tmp_path / "tir.mkv"
    counts = np.random.default_rng(0).integers(6000, 9000, (48, 64)).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for packet in stream.encode(av.VideoFrame.from_ndarray(counts, format="gray16le")):
            container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    assert np.array_equal(VideoFrames(path, grey=True)[0], counts)
