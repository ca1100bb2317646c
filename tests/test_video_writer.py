"""Videos that are written: their form, the same bytes in every run, and whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.ndimage import gaussian_filter

from tirtrack.errors import StorageError
from tirtrack.media import frames
from tirtrack.video_writer import VideoWriter

NOISE = np.random.default_rng(5).integers(0, 256, (48, 64), dtype=np.uint8)


@pytest.mark.parametrize("shape", [(48, 64), (47, 63), (2, 2)])
def test_written_video_is_h264_yuv420p_with_its_index_in_front(tmp_path, shape):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 12.5) as video:
        for k in range(10):
            video.write(np.full((*shape, 3), 20 * k, np.uint8))
        assert not path.exists()
        assert video.frames_written == 10
    assert list(tmp_path.iterdir()) == [path]
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.height, stream.width) == (shape[0] + shape[0] % 2, shape[1] + shape[1] % 2)
        assert float(stream.average_rate) == pytest.approx(12.5, rel=1e-3)
    found = list(frames(path))
    assert len(found) == 10
    assert_allclose([frame.image.mean() for frame in found], np.arange(10) * 20, atol=4)
    assert_allclose([frame.time_s for frame in found], np.arange(10) / 12.5, atol=1e-3)


def test_colours_survive_writing_and_reading(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (53, 200, 255), (128, 128, 128)]
    with VideoWriter(tmp_path / "a.mp4", 10) as video:
        for colour in colours:
            video.write(np.full((32, 32, 3), colour, np.uint8))
    with av.open(str(tmp_path / "a.mp4")) as container:
        for frame, colour in zip(container.decode(video=0), colours, strict=True):
            assert frame.colorspace == 1
            rgb = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
            assert_allclose(rgb[16, 16], colour, atol=9)
    for frame, colour in zip(frames(tmp_path / "a.mp4"), colours, strict=True):
        assert_allclose(frame.image[16, 16], colour, atol=9)


def test_grey_frames_and_given_times_are_written(tmp_path):
    times_s = [5.0, 5.1, 5.5, 5.5, 6.0]  # one does not advance: it gets the next tick of the rate
    with VideoWriter(tmp_path / "a.mp4", 10) as video:
        for k, time_s in enumerate(times_s):
            video.write(np.full((16, 16), 40 * k, np.uint8), time_s)
    found = list(frames(tmp_path / "a.mp4"))
    assert_allclose([frame.time_s for frame in found], [0, 0.1, 0.5, 0.6, 1.0], atol=1e-3)


def moving_scene(count=12, shape=(256, 320)) -> list[np.ndarray]:
    """Smooth ground that pans behind sensor noise, which an encoder likes to code both ways."""
    rng = np.random.default_rng(0)
    ground = gaussian_filter(rng.normal(0, 1, (shape[0], shape[1] + 4 * count)), 6)
    ground = 128 + 40 * ground / ground.std()
    parts = [ground[:, 4 * k : 4 * k + shape[1]] + rng.normal(0, 2, shape) for k in range(count)]
    return [np.rint(part.clip(0, 255)).astype(np.uint8) for part in parts]


def bytes_of_video(path: Path, images: list[np.ndarray]) -> bytes:
    with VideoWriter(path, 25) as video:
        for image in images:
            video.write(image)
    return path.read_bytes()


def test_same_frames_give_the_same_file_in_every_run(tmp_path):
    images = moving_scene()
    contents = {bytes_of_video(tmp_path / f"{run}.mp4", images) for run in range(6)}
    assert len(contents) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no choice of cores here")
def test_same_frames_give_the_same_file_with_any_number_of_cores(tmp_path):
    images, cores = moving_scene(), os.sched_getaffinity(0)
    content = bytes_of_video(tmp_path / "all.mp4", images)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert bytes_of_video(tmp_path / "one.mp4", images) == content
    finally:
        os.sched_setaffinity(0, cores)


def test_error_in_the_block_leaves_the_old_file_and_no_half_one(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(path, 10) as video:  # noqa: PT012
        video.write(NOISE)
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (np.zeros((48, 66), np.uint8), r"must all be \(48, 64\) high and wide, got \(48, 66\)"),
        (np.zeros((48, 64), np.uint16), r"uint8, got \[48, 64\] uint16"),
    ],
    ids=["size", "depth"],
)
def test_frame_of_another_kind_is_a_value_error(tmp_path, second, message):
    with VideoWriter(tmp_path / "b.mp4", 10) as video:
        video.write(NOISE)
        with pytest.raises(ValueError, match=message):
            video.write(second)


def test_video_without_a_frame_is_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="at least one frame"),
        VideoWriter(tmp_path / "a.mp4", 10),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys
import numpy as np
from tirtrack.errors import StorageError
from tirtrack.video_writer import VideoWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], 10) as video:
        for _ in range(60):
            video.write(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8))
except StorageError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [0, 30_000, 200_000])
def test_full_disk_is_a_storage_error_and_keeps_the_old_file(tmp_path, limit):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert f"{path}: could not be written (" in done.stdout
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(StorageError, match="choose another --out"):
        VideoWriter(tmp_path / "file" / "a.mp4", 10).__enter__()
