"""Tracking a source to its end: rows, video and summary agree, and what breaks loses nothing."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import threading
from dataclasses import fields
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from tirtrack import live
from tirtrack.boxes import Box
from tirtrack.errors import FrameError, RequestError, StorageError, WeightsError
from tirtrack.media import VideoWriter, count_frames, frames, frames_and_faults
from tirtrack.networks import registry
from tirtrack.overlay import draw_boxes
from tirtrack.read_options import ReadOptions
from tirtrack.trackers import loading
from tirtrack.trackers.base import Reason, Status
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.redetection import with_redetection
from tirtrack.trackers.siamese import SiameseTracker
from tirtrack.tracking import (
    Ending,
    TrackStoppedError,
    TrackSummary,
    first_frame,
    source_name,
    track,
)
from tirtrack.tracking import source_frames as source_module
from tirtrack.tracking.record import TrackedFrame, caption, mot_text
from tirtrack.weights import store
from tirtrack.weights.card import Card

BOX = Box(30, 40, 16, 12)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker with random weights: what it finds is no matter here."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    architecture = "nanotrack-v3"
    card = Card(name="random", architecture=architecture, modality="tir", licence="Apache-2.0")
    store.write(path, registry.build(architecture, seed=4).eval(), card)
    return path


def scene(index: int, *, shape=(96, 128)) -> np.ndarray:
    rng = np.random.default_rng([7, index])
    image = rng.integers(60, 90, shape, dtype=np.uint8)
    image[40:52, 30 + index : 46 + index] = 210
    return image


def write_clip(path: Path, count: int = 24, *, codec="mjpeg") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.pix_fmt, stream.height, stream.width = "yuvj420p", 96, 128
        if codec == "libx264":
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(np.stack([scene(k)] * 3, axis=2), format="rgb24")
            if codec == "libx264":  # frames that come ever more slowly
                frame.pts, frame.time_base = 40 * k + 3 * k * k, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def break_frames(path: Path, *numbers: int) -> None:
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
        places = [(packets[k].pos, packets[k].size) for k in numbers]
    content = bytearray(path.read_bytes())
    for at, size in places:
        content[at : at + size] = b"\xff" * size
    path.write_bytes(content)


def write_folder(folder: Path, count: int = 12, *, depth=np.uint8) -> Path:
    folder.mkdir()
    for k in range(count):
        image = scene(k).astype(depth)
        tifffile.imwrite(folder / f"{k + 1}.tiff", image * 3 + 7000 if depth != np.uint8 else image)
    return folder


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "boxes.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def follow(source, weights, out, **more):
    return track(source, BOX, weights=weights, out=out, engine="torch", **more)


def leftovers(out: Path) -> set[str]:
    results = {"boxes.csv", "track.mp4", "summary.json", ".tirtrack"}
    return {path.name for path in out.iterdir()} - results


# what a run leaves ------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"], ids=["constant rate", "varying rate"])
def test_rows_video_and_summary_have_one_entry_per_decoded_frame(tmp_path, weights, codec):
    clip = write_clip(tmp_path / "a.mkv", codec=codec)
    decoded = list(frames(clip))
    run = follow(clip, weights, tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert len(run.rows) == len(rows) == len(decoded) == 24
    assert [int(row["frame"]) for row in rows] == list(range(24))
    assert_allclose([float(row["time_s"]) for row in rows], [one.time_s for one in decoded])
    drawn = list(frames(tmp_path / "out/track.mp4"))
    assert len(drawn) == 24
    assert_allclose([one.time_s for one in drawn], [one.time_s for one in decoded], atol=2e-3)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary == run.summary.model_dump(mode="json")
    assert TrackSummary.model_validate(summary) == run.summary
    assert (summary["frames"], summary["damaged"], summary["ending"]) == (24, 0, "complete")
    assert sum(summary["statuses"].values()) == 24
    assert run.summary.ending is Ending.COMPLETE
    assert leftovers(tmp_path / "out") == set()


def test_the_summary_holds_the_reading_options_that_were_given_and_no_others(tmp_path, weights):
    (tmp_path / "frames").mkdir()
    for k in range(3):
        Image.fromarray(scene(k)).save(tmp_path / "frames" / f"{k}.png")
    options = ReadOptions(order="name", no_data=300)
    follow(tmp_path / "frames", weights, tmp_path / "out", options=options)
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    given = {"box", "boxes", *(field.name for field in fields(ReadOptions))} & summary.keys()
    assert {key: summary[key] for key in given} == {
        "box": [30, 40, 16, 12],
        "order": "name",
        "no_data": 300.0,
    }


def test_boxes_are_those_of_the_tracker_and_row_0_is_the_first_box(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")
    run = follow(clip, weights, tmp_path / "out")
    tracker = with_redetection(load_tracker(weights, engine="torch"))
    found = frames(clip)
    states = [tracker.init(next(found).image, BOX), *(tracker.update(one.image) for one in found)]
    assert [row.box for row in run.rows] == [state.box for state in states]
    assert run.rows[0].box == BOX
    for row, state in zip(rows_of(tmp_path / "out"), states, strict=True):
        assert_allclose([float(row[key]) for key in "xywh"], state.box.array(), atol=5.1e-5)
        assert float(row["score"]) == pytest.approx(state.score, abs=5.1e-5)
        assert (row["status"], row["reason"]) == (state.status, state.reason)
        assert row["measured"] == str(int(state.measured))


def test_same_request_gives_the_same_bytes_and_fingerprint(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")
    one, two = (follow(clip, weights, tmp_path / name) for name in ("one", "two"))
    for name in ("boxes.csv", "track.mp4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert one.summary.fingerprint == two.summary.fingerprint
    other = track(clip, Box(31, 40, 16, 12), weights=weights, engine="torch")
    assert other.summary.fingerprint != one.summary.fingerprint
    assert other.out is None
    assert other.summary.files == {}


def test_without_a_named_engine_the_automatic_one_runs_and_is_named(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(loading, "automatic_engine", lambda *asked, **more: "torch")
    found = track(write_clip(tmp_path / "a.avi", 3), BOX, weights=weights)
    assert found.summary.engine == "torch"


def test_16_bit_folder_is_tracked_and_shown_with_contrast(tmp_path, weights):
    folder = write_folder(tmp_path / "night", depth=np.uint16)
    run = follow(folder, weights, tmp_path / "out")
    assert {row["time_s"] for row in rows_of(tmp_path / "out")} == {""}
    assert len(run.rows) == 12
    first = next(frames(tmp_path / "out/track.mp4")).image
    assert first.shape == (480, 640, 3)  # small frames are enlarged
    assert first[200:260, 150:230].mean() > 200 > 120 > first[400:, 400:].mean()


def test_video_shows_the_box_where_the_row_says(tmp_path, weights):
    folder = write_folder(tmp_path / "night", 3)
    run = follow(folder, weights, tmp_path / "out")
    drawn = next(frames(tmp_path / "out/track.mp4")).image
    plain = np.repeat(np.repeat(np.stack([scene(0)] * 3, 2), 5, 0), 5, 1)
    expected = draw_boxes(plain, [(run.rows[0].box, "#35c8ff", "1.00")], zoom=5)
    region = np.s_[180:270, 130:250]
    assert np.abs(drawn[region].astype(int) - expected[region]).mean() < 6
    assert np.abs(plain[region].astype(int) - expected[region]).mean() > 6


def test_range_begins_and_ends_where_asked(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")
    run = follow(clip, weights, tmp_path / "out", start=5, end=11, video=False)
    assert [row.index for row in run.rows] == [5, 6, 7, 8, 9, 10]
    assert run.rows[0].time_s == pytest.approx(0.5)
    assert not (tmp_path / "out/track.mp4").exists()
    assert run.summary.files == {"boxes": "boxes.csv"}


def test_progress_ends_at_the_true_number_of_frames(tmp_path, weights):
    clip, told = write_clip(tmp_path / "a.avi"), []

    def tell(stage, done, total, note=""):
        told.append((stage, done, total))

    track(clip, BOX, weights=weights, engine="torch", progress=tell)
    assert told == [("track", 10, 24), ("track", 20, 24), ("track", 24, 24)]


# what breaks ------------------------------------------------------------------------------------


def test_damaged_frame_keeps_its_row_and_the_tracker_never_sees_it(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")
    whole = [one.image for one in frames(clip)]
    break_frames(clip, 8, 9)
    run = follow(clip, weights, tmp_path / "out")
    assert len(run.rows) == count_frames(tmp_path / "out/track.mp4") == 24
    for row in run.rows[8:10]:
        assert row.reason == "bad frame: damaged"
        assert not row.measured
        assert row.score == 0
        assert row.box == run.rows[7].box
    assert run.summary.damaged == 2
    assert run.summary.first_damaged[0].frame == 8
    assert "a.avi, frame 8: the frame cannot be decoded" in run.summary.first_damaged[0].reason
    assert run.summary.ending is Ending.COMPLETE
    tracker = with_redetection(load_tracker(weights, engine="torch"))
    tracker.init(whole[0], BOX)
    seen = [tracker.update(image).box for k, image in enumerate(whole) if k and k not in (8, 9)]
    assert [row.box for row in run.rows if row.index not in (0, 8, 9)] == seen


def test_damaged_image_of_a_folder_is_one_flagged_row(tmp_path, weights):
    folder = write_folder(tmp_path / "night")
    (folder / "5.tiff").write_bytes((folder / "5.tiff").read_bytes()[:500])
    run = follow(folder, weights, tmp_path / "out")
    assert [row.reason for row in run.rows].count("bad frame: damaged") == 1
    assert run.rows[4].reason == "bad frame: damaged"


def test_video_that_ends_early_keeps_what_came_before(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(TrackStoppedError) as caught:
        follow(clip, weights, tmp_path / "out")
    run = caught.value.run
    assert 8 < len(run.rows) < 24
    assert f"a.avi, frame {len(run.rows)}: the video ends early" in str(caught.value)
    assert f"{len(run.rows)} frames were tracked and are in {tmp_path / 'out'}" in str(caught.value)
    assert caught.value.exit_code == 1
    assert (
        len(rows_of(tmp_path / "out")) == count_frames(tmp_path / "out/track.mp4") == len(run.rows)
    )
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["ending"] == "failed"
    assert "the video ends early" in summary["failure"]


def test_size_that_changes_in_mid_stream_names_the_frame(tmp_path, weights):
    for name, scale in (("a", 1), ("b", 2)):
        with VideoWriter(tmp_path / f"{name}.mp4", 10) as video:
            for k in range(12):
                video.write(scene(k, shape=(96 * scale, 128 * scale)))
    with av.open(str(tmp_path / "all.ts"), "w") as container:
        for name in ("a", "b"):
            with av.open(str(tmp_path / f"{name}.mp4")) as part:
                source = part.streams.video[0]
                if name == "a":
                    copied = container.add_stream("libx264", rate=10)
                    copied.width, copied.height, copied.pix_fmt = 128, 96, "yuv420p"
                    for frame in part.decode(source):
                        container.mux(copied.encode(frame))
                    container.mux(copied.encode(None))
    with av.open(str(tmp_path / "big.ts"), "w") as container, av.open(str(tmp_path / "b.mp4")) as b:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 256, 192, "yuv420p"
        for frame in b.decode(video=0):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    joined = tmp_path / "all.ts"
    joined.write_bytes(joined.read_bytes() + (tmp_path / "big.ts").read_bytes())
    with pytest.raises(TrackStoppedError) as caught:
        follow(joined, weights, tmp_path / "out")
    done = len(caught.value.run.rows)
    assert done >= 10
    assert f"all.ts, frame {done}: the frame is 256x192 colour uint8, those before are" in str(
        caught.value
    )
    assert len(rows_of(tmp_path / "out")) == done


def test_stop_ends_between_two_frames_with_everything_complete(tmp_path, weights):
    clip, asked = write_clip(tmp_path / "a.avi"), []
    run = follow(clip, weights, tmp_path / "out", stop=lambda: asked.append(1) or len(asked) == 9)
    assert run.summary.ending is Ending.INTERRUPTED
    assert len(run.rows) == len(rows_of(tmp_path / "out")) == 10
    assert count_frames(tmp_path / "out/track.mp4") == 10
    assert json.loads((tmp_path / "out/summary.json").read_text())["ending"] == "interrupted"
    assert leftovers(tmp_path / "out") == set()


@pytest.mark.parametrize("seen", [0, 3])
def test_a_stream_that_stalls_can_be_stopped(tmp_path, weights, monkeypatch, seen):
    clip, free, is_stopped = write_clip(tmp_path / "a.avi"), threading.Event(), threading.Event()

    def stalls(source, *, start, end, options):
        yield from frames_and_faults(source, start=start, end=seen or 1) if seen else ()
        is_stopped.set()
        free.wait(5)

    monkeypatch.setattr(source_module, "frames_and_faults", stalls)
    monkeypatch.setattr(live, "STOP_WITHIN_S", 0.01)
    settings = {"policy": "latest", "stop": is_stopped.is_set, "video": False}
    if seen:
        run = follow(clip, weights, tmp_path / "out", **settings)
        assert run.summary.ending is Ending.INTERRUPTED
        assert len(rows_of(tmp_path / "out")) == len(run.rows) <= seen
    else:
        with pytest.raises(KeyboardInterrupt, match="before the first frame"):
            follow(clip, weights, tmp_path / "out", **settings)
        assert not (tmp_path / "out").exists()
    free.set()


def test_keyboard_interrupt_in_the_library_writes_and_goes_on_up(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi")

    def interrupt(stage, done, total, note=""):
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        follow(clip, weights, tmp_path / "out", progress=interrupt)
    assert len(rows_of(tmp_path / "out")) == count_frames(tmp_path / "out/track.mp4") == 20


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"source": "gone.avi"}, FrameError, "gone.avi: no such file or folder"),
        ({"box": Box(500, 500, 9, 9)}, FrameError, "lies 100% outside the frame of 128x96"),
        ({"box": Box(5, 5, 0, 9)}, FrameError, "has no area"),
        ({"box": Box(5, 5, 0, 9), "weights": "none"}, FrameError, "has no area"),
        (
            {"box": {"van": BOX, "far": Box(900, 1, 9, 9)}, "weights": "none"},
            FrameError,
            "box 900,1,9,9 lies 100% outside",
        ),
        ({"weights": "nano-tri"}, WeightsError, 'no weights are called "nano-tri"'),
        ({"preset": "fast"}, RequestError, '"fast"'),
        ({"start": 5, "end": 5}, RequestError, "frames 5 to 5 are not a range"),
        ({"start": -1}, RequestError, "frames -1 to the end are not a range"),
        ({"start": 99}, RequestError, "a.avi: there is no frame 99"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_wrong_request_writes_nothing(tmp_path, weights, change, kind, message):
    clip = write_clip(tmp_path / "a.avi")
    settings = {"source": clip, "box": BOX, "weights": weights, "engine": "torch"} | change
    if "source" in change:
        settings["source"] = tmp_path / change["source"]
    with pytest.raises(kind) as caught:
        track(settings.pop("source"), settings.pop("box"), out=tmp_path / "out", **settings)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_damaged_first_frame_is_a_wrong_request(tmp_path, weights):
    folder = write_folder(tmp_path / "night")
    (folder / "1.tiff").write_bytes(b"II*\0")
    with pytest.raises(FrameError, match=r"1\.tiff"):
        follow(folder, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mixed_folder_is_refused_before_the_start(tmp_path, weights):
    folder = write_folder(tmp_path / "night")
    tifffile.imwrite(folder / "7.tiff", scene(0).astype(np.uint16))
    with pytest.raises(FrameError, match=r"7\.tiff: the frame is 128x96 grey uint16"):
        follow(folder, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_earlier_results_stay_unless_force_and_force_replaces_only_ours(tmp_path, weights):
    clip, out = write_clip(tmp_path / "a.avi"), tmp_path / "out"
    follow(clip, weights, out)
    before = (out / "boxes.csv").read_bytes()
    with pytest.raises(RequestError, match="exists already; choose another --out, or give --force"):
        follow(clip, weights, out, start=3)
    assert (out / "boxes.csv").read_bytes() == before
    (out / "notes.txt").write_text("mine")
    follow(clip, weights, out, start=3, force=True, video=False)
    assert len(rows_of(out)) == 21
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "track.mp4").exists()  # it showed the earlier run


FULL_DISK = """
import resource, sys
from tirtrack.boxes import Box
from tirtrack.errors import StorageError
from tirtrack.tracking import track
source, weights, out, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    track(source, Box(30, 40, 16, 12), weights=weights, engine="torch", out=out)
except StorageError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, set()), (600, {"boxes.partial.csv"}), (4_000, {"boxes.csv"})]
)
def test_full_disk_is_said_and_no_half_file_has_a_final_name(tmp_path, weights, limit, kept):
    clip, out = write_clip(tmp_path / "a.avi"), tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(clip), str(weights), str(out), str(limit)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "could not be written (" in done.stdout
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert not {"track.mp4"} & found
    assert kept <= found
    for path in (tmp_path / "out").glob("boxes.csv"):
        assert all(len(row) == 10 for row in csv.reader(path.read_text().splitlines()))


def test_disk_that_fails_at_the_first_write_is_a_storage_error(tmp_path, weights):
    (tmp_path / "file").write_text("x")
    with pytest.raises((StorageError, RequestError), match="file"):
        follow(write_clip(tmp_path / "a.avi"), weights, tmp_path / "file" / "out")


# the first box ----------------------------------------------------------------------------------


def test_first_frame_proposes_the_target_with_the_same_numbers_each_time(tmp_path):
    clip = write_clip(tmp_path / "a.avi")
    one, two = first_frame(clip), first_frame(clip)
    assert one.boxes == two.boxes
    assert_array_equal(one.picture, two.picture)
    best = one.pick(1)
    assert abs(best.center_xy[0] - 38) < 4
    assert abs(best.center_xy[1] - 46) < 4
    assert list(one.scores) == sorted(one.scores, reverse=True)
    assert one.picture.shape[0] > 96 * 5
    assert one.picture.dtype == np.uint8


def test_first_frame_of_a_later_start_and_of_a_single_image(tmp_path):
    clip = write_clip(tmp_path / "a.avi")
    later = first_frame(clip, start=20)
    assert later.index == 20
    assert abs(later.pick(1).center_xy[0] - 58) < 5
    Image.fromarray(scene(0)).save(tmp_path / "one.png")
    assert abs(first_frame(tmp_path / "one.png").pick(1).center_xy[0] - 38) < 5


def test_number_that_is_not_in_the_picture_is_refused(tmp_path):
    seen = first_frame(write_clip(tmp_path / "a.avi"))
    for number in (0, len(seen.boxes) + 1):
        with pytest.raises(RequestError, match=f"no proposal has the number {number}; give 1 to"):
            seen.pick(number)
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(RequestError, match="give --box X,Y,W,H"):
        first_frame(tmp_path / "flat.png").pick(1)


def test_first_frame_of_a_cut_video_can_still_be_looked_at(tmp_path):
    clip = write_clip(tmp_path / "a.avi")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert abs(first_frame(clip).pick(1).center_xy[0] - 38) < 4


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("night/clip.mp4", "clip"),
        ("birds/video.mp4", "birds"),
        ("SEQ/img", "SEQ"),
        ("SEQ/img/000001.png", "000001"),
        ("a/b*.png", "a"),
        ("rtsp://camera.local/stream?user=x", "stream"),
        (["take/1.png", "take/2.png"], "take"),
        ([], "list"),
    ],
    ids=str,
)
def test_results_are_named_after_what_tells_recordings_apart(source, name):
    assert source_name(source) == name


def test_name_of_the_current_folder_is_found(tmp_path, monkeypatch):
    (tmp_path / "rig" / "img").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "rig" / "img")
    assert source_name(".") == "rig"
    monkeypatch.chdir(tmp_path / "rig")
    assert source_name("img") == "rig"


# real files -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_real_video_is_tracked_with_published_weights(shared, tmp_path):
    sequence = shared / "data/tir_video/ltir/birds"
    first = Box.of(
        [float(v) for v in (sequence / "groundtruth.txt").read_text().split()[0].split(",")]
    )
    weights = shared / "data/weights/nanotrack/nanotrack_v3.safetensors"
    run = track(sequence / "video.mp4", first, weights=weights, out=tmp_path / "out")
    truth = np.loadtxt(sequence / "groundtruth.txt", delimiter=",")
    centres = np.array([row.box.center_xy for row in run.rows])
    error = np.linalg.norm(centres - (truth[:, :2] + truth[:, 2:] / 2), axis=1)
    assert len(run.rows) == 270 == count_frames(tmp_path / "out/track.mp4")
    assert (error[:100] < 20).mean() > 0.95


# --- several targets, frames that are left out ----------------------------------------------------

TWO = {"van": BOX, "hut": Box(80, 20, 24, 20)}


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        pytest.param([("", "tracking", "")], "frame 7   tracking", id="one"),
        pytest.param(
            [("a", "tracking", ""), ("b", "tracking", "")], "frame 7   all 2 tracking", id="alike"
        ),
        pytest.param(
            [("a", "tracking", ""), ("b", "lost", "low score")],
            "frame 7   b lost (low score)",
            id="the worst",
        ),
        pytest.param(
            [("a", "lost", "out of view"), ("b", "lost", "low score")],
            "frame 7   a lost (out of view)",
            id="of other reasons",
        ),
    ],
)
def test_caption_names_the_target_that_fares_worst_or_all(statuses, said):
    rows = [
        TrackedFrame(7, None, Box(1, 2, 3, 4), 0.5, Status(status), True, Reason(why), name)
        for name, status, why in statuses
    ]
    text, status = caption(rows)
    assert " ".join(text.split()) == " ".join(said.split())
    assert status == max((row.status for row in rows), key=list(Status).index)


def test_several_targets_have_a_row_each_in_every_frame_and_mot_text(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi", 8)
    out = tmp_path / "out"
    run = track(clip, TWO, weights=weights, out=out, engine="torch")
    assert [(row.index, row.target) for row in run.rows] == [
        (k, name) for k in range(8) for name in TWO
    ]
    assert (run.summary.frames, run.summary.boxes["van"]) == (8, [30, 40, 16, 12])
    assert sum(run.summary.statuses.values()) == 16
    rows = rows_of(out)
    assert [row["target"] for row in rows] == [row.target for row in run.rows]
    assert count_frames(out / "track.mp4") == 8
    lines = [line.split(",") for line in (out / "tracks.txt").read_text().splitlines()]
    measured = [row for row in run.rows if row.measured]
    assert [(int(line[0]), int(line[1])) for line in lines] == [
        (row.index + 1, list(TWO).index(row.target) + 1) for row in measured
    ]
    assert lines[0][2:] == ["30.0000", "40.0000", "16.0000", "12.0000", "1.0000", "-1", "-1", "-1"]


def test_names_that_are_numbers_stay_so_in_mot_text(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi", 2)
    boxes = {"7": BOX, "3": TWO["hut"]}
    run = track(clip, boxes, weights=weights, engine="torch")
    assert [line.split(",")[1] for line in mot_text(run.rows).splitlines()][:2] == ["7", "3"]


def test_a_damaged_frame_is_flagged_in_the_row_of_every_target(tmp_path, weights):
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(4):
        Image.fromarray(scene(k)).save(folder / f"{k}.png")
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])
    run = track(folder, TWO, weights=weights, engine="torch")
    flagged = [(row.target, row.measured) for row in run.rows if row.index == 2]
    assert flagged == [("van", False), ("hut", False)]
    assert (run.summary.frames, run.summary.damaged) == (4, 1)


def test_targets_that_cannot_begin_write_nothing(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi", 2)
    for boxes, message in (
        ({}, "no target was given"),
        ({"far": Box(900, 1, 9, 9)}, "outside"),
    ):
        with pytest.raises(RequestError, match=message):
            track(clip, boxes, weights=weights, out=tmp_path / "out", engine="torch")
    assert not (tmp_path / "out").exists()


def test_a_live_run_tells_the_tracker_what_it_left_out(tmp_path, weights, monkeypatch):
    told = []
    monkeypatch.setattr(SiameseTracker, "skip", lambda self, frames: told.append(frames))
    clip = write_clip(tmp_path / "a.avi", 24)
    run = follow(clip, weights, tmp_path / "out", policy="latest", redetect=False, video=False)
    live = run.summary.live
    indices = [row.index for row in run.rows]
    gaps = [int(gap) - 1 for gap in np.diff([-1, *indices])]
    assert indices == sorted(set(indices))
    assert live.delivered == len(indices)
    assert live.delivered + live.skipped == 24
    assert told == [gap for gap in gaps[1:] if gap]
    assert live.latency_p50_ms is not None


def test_all_frames_of_a_file_are_taken_without_a_live_reader(tmp_path, weights):
    clip = write_clip(tmp_path / "a.avi", 5)
    run = follow(clip, weights, tmp_path / "out", video=False)
    assert (run.summary.live, len(run.rows)) == (None, 5)


# pixels that are no measurement -----------------------------------------------------------------

TARGET = Box(24, 30, 24, 20)
STEP_XY = np.array([4.0, 1.3])  # of the target of the two cases, pixels a frame
HOLES = np.s_[:12]


def celsius_frames(count: int = 6, *, filler: float = np.nan) -> np.ndarray:
    rng = np.random.default_rng(5)
    ground = 18 + np.cumsum(rng.normal(0, 0.05, (96, 160)), axis=1).astype(np.float32)
    frames = np.stack([ground + rng.normal(0, 0.05, ground.shape) for _ in range(count)])
    for k, frame in enumerate(frames):
        frame[30:50, 24 + 3 * k : 48 + 3 * k] += 9
        frame[34:40, 30 + 3 * k : 36 + 3 * k] += 5
        frame[HOLES] = filler
    return frames.astype(np.float32)


def written(path: Path, frames: np.ndarray) -> Path:
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


def boxes_of(run) -> np.ndarray:
    return np.array([row.box.array() for row in run.rows])


@pytest.mark.parametrize(
    ("case", "value"), [("nan_region", "nan"), ("nodata_value", "-10000")], ids=lambda one: one
)
def test_target_beside_pixels_without_measurement_is_followed(case, value, shared):
    run = track(shared / "cases" / case / "celsius.tif", TARGET)
    assert {row.status for row in run.rows} == {Status.TRACKING}
    expected = np.array([24, 30]) + np.arange(5)[:, None] * STEP_XY
    assert np.abs(boxes_of(run)[:, :2] - expected).max() < 3
    assert run.summary.masked.model_dump() == {
        "frame": 0,
        "share": 0.1042,
        "note": f"10 % of the pixels hold no measurement (value {value})",
    }


@pytest.mark.parametrize("filler", [np.inf, -9999.0, -32768.0, np.finfo(np.float32).min])
def test_what_stands_in_masked_pixels_changes_no_box(filler, tmp_path):
    nan, other = (
        track(written(tmp_path / f"{k}.tif", celsius_frames(filler=value)), TARGET)
        for k, value in enumerate((np.nan, filler))
    )
    assert_array_equal(boxes_of(nan), boxes_of(other))
    assert {row.status for row in nan.rows} == {Status.TRACKING}


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_named_value_is_left_out_of_frames_of_any_depth(depth, tmp_path):
    frames = (celsius_frames(filler=0) * 4).astype(depth)
    runs = []
    for filler in (3, 201):  # both may well be measurements
        frames[:, 60:80, 100:130] = filler
        source = written(tmp_path / f"{filler}.tif", frames)
        runs.append(track(source, TARGET, options=ReadOptions(no_data=filler)))
    assert_array_equal(boxes_of(runs[0]), boxes_of(runs[1]))
    assert runs[0].summary.overrides == {"no_data": 3}
    assert runs[0].summary.masked.note.endswith("(value 3)")
    plain = track(source, TARGET)
    assert plain.summary.masked is None
    assert plain.summary.overrides == {}


def test_pixels_that_are_masked_later_are_said_with_their_frame(tmp_path):
    frames = celsius_frames(count=24)
    frames[:15, :12] = frames[:15, 12:24]
    run = track(written(tmp_path / "clip.tif", frames), TARGET)
    assert run.summary.masked.frame == 15


def test_a_frame_without_measurement_is_named_as_such(tmp_path):
    frames = celsius_frames()
    frames[3] = np.nan
    run = track(written(tmp_path / "clip.tif", frames), TARGET)
    assert run.rows[3].reason is Reason.NO_MEASUREMENT
    assert run.rows[5].status is Status.TRACKING


@pytest.mark.parametrize(
    ("good", "said"),
    [
        (range(4, 6), "begin at frame 4: --start 4, with the box there"),
        ((), "nor do the 5 frames after it show more; give a source that shows a scene"),
    ],
    ids=["a later frame shows the scene", "none does"],
)
def test_the_advice_after_a_bad_first_frame_can_be_followed(good, said, tmp_path):
    frames = celsius_frames()
    for k in set(range(6)) - set(good):
        frames[k] = np.nan
    with pytest.raises(FrameError) as caught:
        track(written(tmp_path / "clip.tif", frames), TARGET, out=tmp_path / "out")
    assert str(caught.value) == (
        "the first frame is a bad frame: no measurement (100 % of its pixels hold no measurement); "
        + said
    )
    assert not (tmp_path / "out").exists()


def test_a_single_bad_image_is_not_sent_to_a_later_frame(tmp_path):
    source = written(tmp_path / "one.tif", celsius_frames(count=1)[0] * 0)
    with pytest.raises(FrameError, match=r"black.*; no other follows; give a source that"):
        track(source, TARGET)
    with pytest.raises(FrameError, match="no other follows; check --no-data"):
        track(source, TARGET, options=ReadOptions(no_data=0.0))


GDAL_NODATA = 42113  # TIFF tag: the value, as text


@pytest.mark.parametrize(
    ("value", "depth"), [("3", np.uint8), ("7301", np.uint16), ("-500.5", np.float32)], ids=str
)
def test_the_value_that_a_geotiff_declares_is_left_out(value, depth, tmp_path):
    """It lies in an island, where nothing else could tell it."""
    frames = (celsius_frames(filler=18) * (4 if depth == np.uint8 else 100)).astype(depth)
    frames[:, 60:80, 100:130] = float(value)
    paths = [tmp_path / f"{k}.tif" for k in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        tag = (GDAL_NODATA, "s", 0, value, True)
        tifffile.imwrite(path, frame, photometric="minisblack", extratags=[tag])
    declared = track(tmp_path, TARGET)
    assert declared.summary.masked.note.endswith(f"(value {float(value):g})")
    assert declared.summary.overrides == {"no_data": float(value)}
    plain = written(tmp_path.parent / f"{tmp_path.name}.tif", frames)
    named = track(plain, TARGET, options=ReadOptions(no_data=float(value)))
    assert_array_equal(boxes_of(declared), boxes_of(named))
