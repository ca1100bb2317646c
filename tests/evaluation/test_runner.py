"""Running trackers over data sets: bases, faults, workers, and the files that result."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tracked_worlds import (
    Deadly,
    FirstBoxKeeper,
    Keeper,
    Slow,
    timeless,
    walk,
    without_times,
    write_lsotb,
)

from tirtrack import files
from tirtrack.boxes import Box
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError, RequestError, RunError, StorageError
from tirtrack.evaluation.comparison import read_result
from tirtrack.evaluation.one_run import run
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.results import SequenceRun, read_track
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import read_runs
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.weights import int8

HERE = str(Path(__file__).parent)


def blank(annotation: np.ndarray, frames: int | None = None, base: int = 1) -> LabelledSequence:
    count = len(annotation) if frames is None else frames
    return LabelledSequence(
        "blank", annotation, base, lambda: iter(np.zeros((count, 8, 8), dtype=np.uint8))
    )


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    absent = walk(12, 2)
    absent[5:8] = np.nan
    sequences = {"a_V_001": walk(9, 0), "b_D_001": absent, "c_D_002": walk(7, 3)}
    return open_dataset(write_lsotb(tmp_path / "world", sequences))


numbers = st.floats(1, 4000, allow_nan=False)


@given(st.tuples(numbers, numbers, numbers, numbers))
def test_tracker_that_keeps_its_first_box_gives_back_the_first_row_exactly(row) -> None:
    annotation = np.array([row] * 3)
    track = run(FirstBoxKeeper(), blank(annotation))
    np.testing.assert_array_equal(track.boxes, annotation)


def test_tracker_sees_0_based_boxes_and_frames_from_the_first_valid_row() -> None:
    seen = []

    class Watcher(FirstBoxKeeper):
        def init(self, frame, box):
            seen.append((box, len(seen)))
            return super().init(frame, box)

    annotation = np.array([[np.nan] * 4, [0, 5, 10, 10], [11, 6, 10, 10], [12, 6, 10, 10]])
    track = run(Watcher(), blank(annotation))
    assert seen == [(Box(10.0, 5.0, 10.0, 10.0), 0)]
    np.testing.assert_array_equal(track.boxes, [[11, 6, 10, 10]] * 2)
    run(Watcher(), blank(annotation, base=0))
    assert seen[1][0] == Box(11.0, 6.0, 10.0, 10.0)


def test_box_of_a_lost_tracker_is_written_as_given() -> None:
    track = run(FirstBoxKeeper(), blank(walk(4, 0)))
    assert track.statuses.tolist() == ["tracking", "lost", "lost", "lost"]
    assert track.scores.tolist() == [1.0, 1.0, 1.0, 1.0]
    np.testing.assert_array_equal(track.boxes[3], walk(4, 0)[0])
    assert (track.seconds >= 0).all()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (3, "blank: the frames end after 3, 5 rows are annotated"),
        (6, "blank: more frames than the 5 annotated rows"),
    ],
)
def test_another_number_of_frames_than_rows_is_an_error(frames: int, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        run(FirstBoxKeeper(), blank(walk(5, 0), frames))


def test_sequence_without_any_box_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no frame has a valid annotated box"):
        run(FirstBoxKeeper(), blank(np.full((3, 4), np.nan)))


def test_one_and_two_workers_write_the_same_bytes(world: LabelledDataset, tmp_path: Path) -> None:
    keepers = [Keeper("one"), Keeper("two", step=0.5)]
    for workers in (1, 2):
        evaluate(keepers, world, tmp_path / str(workers), workers=workers, resamples=50)
    first, second = (without_times(tmp_path / name / "results") for name in ("1", "2"))
    assert first == second
    assert len(first) == 2 * 2 * 3
    assert timeless(tmp_path / "1" / "result.json") == timeless(tmp_path / "2" / "result.json")


def test_result_json_holds_what_the_report_needs(world: LabelledDataset, tmp_path: Path) -> None:
    comparison = evaluate(
        [Keeper("one"), Keeper("two")], world, tmp_path / "out", resamples=50, command="tirtrack x"
    )
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert (stored["format"], stored["protocol"], stored["dataset"]) == (1, "lsotb-tir", "world")
    assert (stored["absent_frames"], stored["frames"], stored["command"]) == (3, 28, "tirtrack x")
    assert len(stored["fingerprint"]) == 16
    tracker = stored["trackers"][0]
    assert tracker["values"] == comparison.trackers[0].values
    assert read_result(tmp_path / "out") == comparison
    assert {name: len(curve) for name, curve in tracker["curves"].items()} == {
        "success": 21,
        "precision": 51,
        "norm_precision": 51,
    }
    assert [row["subset"] for row in tracker["sequences"]] == ["V", "D", "D"]
    assert [row["visible_frames"] for row in tracker["sequences"]] == [9, 9, 7]
    assert set(tracker["subsets"]) == {"V", "D"}
    assert tracker["score_quality"]["frames"] == 28 - 3
    assert tracker["fps"] > 0
    same = stored["differences"][0]
    assert (same["a"], same["b"], same["mean"], same["ties"], same["n"]) == ("two", "one", 0, 3, 3)
    assert [one["score"] for one in stored["differences"]] == list(tracker["values"])


def test_absent_frames_change_visible_scores_as_the_protocol_says(
    world: LabelledDataset, tmp_path: Path
) -> None:
    comparison = evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    row = comparison.trackers[0].sequences[1]
    track = read_track(tmp_path / "out" / "results" / "keeper" / "b_D_001.txt")
    visible = np.isfinite(world.sequences[1].annotation[:, 0])
    hits = row.values["precision"] * 12 - 3
    assert row.visible_values["precision"] == pytest.approx(hits / visible.sum())
    assert len(track.boxes) == 12


def test_written_results_score_the_same_when_read_back(
    world: LabelledDataset, tmp_path: Path
) -> None:
    made = evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    runs = read_runs([tmp_path / "out"], world)
    again = score_runs(runs, world, get("lsotb-tir"), resamples=20)
    assert again.trackers[0].values == made.trackers[0].values
    assert again.trackers[0].score_quality == made.trackers[0].score_quality


def test_failing_sequence_does_not_stop_the_rest(world: LabelledDataset, tmp_path: Path) -> None:
    bad = world.root / "b_D_001" / "img" / "0004.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(RunError) as caught:
        evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    assert "1 of 3 runs is missing: keeper on b_D_001" in str(caught.value)
    assert "0004.png" in str(caught.value)
    assert caught.value.exit_code == 1
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [row["name"] for row in stored["trackers"][0]["sequences"]] == ["a_V_001", "c_D_002"]
    assert [one["sequence"] for one in stored["missing"]] == ["b_D_001"]
    assert not (tmp_path / "out" / "results" / "keeper" / "b_D_001.txt").exists()
    with pytest.raises(DatasetError, match="no result file"):
        score_runs(read_runs([tmp_path / "out"], world), world, get("lsotb-tir"))


def test_missing_skip_returns_and_lists(world: LabelledDataset, tmp_path: Path) -> None:
    trackers = [Keeper("good"), Keeper("bad", fail_at=8)]
    found = evaluate(trackers, world, tmp_path / "out", missing="skip", resamples=20)
    assert [str(one) for one in found.missing] == [
        "bad on a_V_001 (the filter has a number that is not finite)",
        "bad on b_D_001 (the filter has a number that is not finite)",
    ]
    assert {one.n for one in found.differences} == {1}


@pytest.mark.parametrize("workers", [1, 2])
def test_every_run_failing_is_one_sentence_and_goes_on_after_a_repair(
    world: LabelledDataset, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "out"
    frames = [world.root / s.name / "img" / "0004.png" for s in world.sequences]
    whole = [frame.read_bytes() for frame in frames]
    for frame in frames:
        frame.write_bytes(b"no image")
    with pytest.raises(RunError) as caught:
        evaluate([Keeper()], world, out, workers=workers, missing="skip")
    said = str(caught.value)
    assert said.startswith(f"{out}: every run failed: keeper on a_V_001 (")
    assert "0004.png" in said
    assert said.endswith(") and 2 others; repair it, then the same command with --resume")
    assert not (out / "result.json").exists()
    for frame, content in zip(frames, whole, strict=True):
        frame.write_bytes(content)
    found = evaluate([Keeper()], world, out, resume=True, resamples=20)
    assert found.missing == ()
    assert (out / "result.json").is_file()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([101, 16, 12, 9], "box 100,15,12,9 lies 100% outside the frame of 64x48"),
        ([21, 47, 12, 9], "box 20,46,12,9 lies 78% outside the frame of 64x48"),
        ([21, 16, 0.5, 9], "box 20,15,0.5,9 has no area"),
    ],
)
def test_first_box_that_lies_in_no_frame_is_refused_before_anything_starts(
    world: LabelledDataset, tmp_path: Path, row: list[float], said: str
) -> None:
    annotation = world.sequences[1].annotation.copy()
    annotation[:2] = [[np.nan] * 4, row]
    wrong = replace(world.sequences[1], annotation=annotation)
    dataset = replace(world, sequences=(world.sequences[0], wrong))
    with pytest.raises(RequestError, match=re.escape(f"b_D_001, row 2: {said}; ")) as caught:
        evaluate([Keeper(fail_at=1)], dataset, tmp_path / "out")
    assert caught.value.exit_code == 2
    assert "correct the annotation, or leave the sequence out" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_sequence_without_any_box_is_refused_before_anything_starts(
    world: LabelledDataset, tmp_path: Path
) -> None:
    absent = replace(world.sequences[1], annotation=np.full((12, 4), np.nan))
    dataset = replace(world, sequences=(world.sequences[0], absent))
    with pytest.raises(RequestError, match="b_D_001: no frame has a valid annotated box"):
        evaluate([Keeper()], dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_dead_worker_ends_with_one_sentence(world: LabelledDataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a worker process died after \d of 3 runs; memory"):
        evaluate([Deadly()], world, tmp_path / "out", workers=2)
    assert not (tmp_path / "out" / "result.json").exists()


STOPPED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
from unittest.mock import patch
sys.path.insert(0, sys.argv[1])
from tracked_worlds import Waiter
from tirtrack.cli import main
from tirtrack.evaluation.tracker_sources import TrackerSpec
with patch.object(TrackerSpec, "of", lambda text, **more: Waiter(text)):
    main(sys.argv[2:])
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("workers", [1, 2])
def test_stopped_evaluation_keeps_what_is_finished_and_goes_on_from_there(
    world: LabelledDataset, tmp_path: Path, sent: signal.Signals, workers: int
) -> None:
    out = tmp_path / "out"
    words = ["evaluate", "keeper", "--dataset", str(world.root), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", STOPPED, HERE, *words, "--workers", str(workers)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    names = ["a_V_001", "c_D_002"][:workers]  # one worker takes them in order, and b_D_001 waits
    finished = [out / "results" / "keeper" / f"{name}.txt" for name in names]
    while process.poll() is None and not all(path.is_file() for path in finished):
        time.sleep(0.02)
    process.send_signal(sent)
    printed, said = process.communicate(timeout=60)  # ends when the last worker has left
    assert printed == ""
    if sent is not signal.SIGKILL:
        assert process.returncode == 130
        assert [line for line in said.splitlines() if line.startswith("tirtrack: inter")] == [
            "tirtrack: interrupted; what was finished is kept; "
            "run the same command with --resume to continue"
        ]
        assert "Traceback" not in said
    assert not (out / "result.json").exists()
    assert [path for path in finished if path.is_file()] == finished
    kept = {path: path.stat().st_mtime_ns for path in finished}

    with pytest.raises(RequestError, match=r"exists already; .* go on with --resume"):
        evaluate([Keeper()], world, out)
    evaluate([Keeper()], world, out, resume=True, resamples=50)
    assert {path: path.stat().st_mtime_ns for path in finished} == kept
    evaluate([Keeper()], world, tmp_path / "whole", resamples=50)
    assert without_times(out / "results") == without_times(tmp_path / "whole" / "results")
    assert timeless(out / "result.json") == timeless(tmp_path / "whole" / "result.json")


def test_resumed_evaluation_tries_failed_sequences_again(
    world: LabelledDataset, tmp_path: Path
) -> None:
    bad = world.root / "b_D_001" / "img" / "0004.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:60])
    evaluate([Keeper()], world, tmp_path / "out", missing="skip", resamples=20)
    bad.write_bytes(whole)
    told: list[str] = []
    found = evaluate(
        [Keeper()], world, tmp_path / "out", resume=True, resamples=20,
        progress=lambda stage, done, total, note="": told.append(note),
    )  # fmt: skip
    assert found.missing == ()
    assert set(told) == {"keeper, b_D_001"}
    evaluate([Keeper()], world, tmp_path / "out", resume=True, resamples=20, workers=2)


@pytest.mark.parametrize("lost", ["b_D_001.csv", "b_D_001_time.txt", "b_D_001.txt"])
def test_a_run_that_has_lost_one_of_its_files_is_made_again(
    world: LabelledDataset, tmp_path: Path, lost: str
) -> None:
    whole = evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    file = tmp_path / "out" / "results" / "keeper" / lost
    content = file.read_bytes()
    file.unlink()
    told: list[str] = []
    found = evaluate(
        [Keeper()], world, tmp_path / "out", resume=True, resamples=20,
        progress=lambda stage, done, total, note="": told.append(note),
    )  # fmt: skip
    assert set(told) == {"keeper, b_D_001"}
    assert file.is_file()
    assert file.read_bytes() == content or lost.endswith("_time.txt")
    assert found.trackers[0].score_quality == whole.trackers[0].score_quality


def test_results_of_another_request_are_not_continued(
    world: LabelledDataset, tmp_path: Path
) -> None:
    evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    before = without_times(tmp_path / "out")
    others = {
        "trackers (keeper was": ([Keeper("other")], world, 0),
        "annotation (was": ([Keeper()], replace(world, sequences=world.sequences[:2]), 0),
        "seed (was 0, now 1)": ([Keeper()], world, 1),
    }
    for change, (trackers, dataset, seed) in others.items():
        said = re.escape(f"the run was begun with another {change}")
        with pytest.raises(RequestError, match=said):
            evaluate(trackers, dataset, tmp_path / "out", seed=seed, resume=True)
    assert without_times(tmp_path / "out") == before


def test_results_of_two_engines_are_never_mixed(
    world: LabelledDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrackerSpec, "load", lambda spec, seed: Keeper().load(seed))
    evaluate(["nano-tir"], world, tmp_path / "out", resamples=20)
    found = evaluate(
        ["nano-tir"], world, tmp_path / "out", engine="onnx", resume=True, resamples=20
    )
    assert found.trackers[0].engine == "onnx"
    for other in ("torch", "openvino", "onnx-int8"):
        with pytest.raises(RequestError, match="begun with another trackers"):
            evaluate(["nano-tir"], world, tmp_path / "out", engine=other, resume=True, resamples=20)


def test_results_of_two_calibrations_of_int8_are_never_mixed(
    world: LabelledDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs = {"search": b"calibrated by day"}
    monkeypatch.setattr(int8, "kept", lambda name: int8.Int8Graphs(dict(graphs), name, 50))
    monkeypatch.setattr(TrackerSpec, "load", lambda spec, seed: Keeper().load(seed))
    request = {"engine": "onnx-int8", "resamples": 20}
    evaluate(["nano-tir"], world, tmp_path / "out", **request)
    assert evaluate(["nano-tir"], world, tmp_path / "out", resume=True, **request).trackers
    graphs["search"] = b"calibrated by night"
    with pytest.raises(RequestError, match="begun with another trackers"):
        evaluate(["nano-tir"], world, tmp_path / "out", resume=True, **request)


def test_warnings_of_workers_reach_the_parent_with_their_sequence(
    world: LabelledDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate([Keeper()], world, tmp_path / "out", workers=2, resamples=20)
    assert sorted(caplog.messages) == [f"{s.name}: the first box is small" for s in world.sequences]


def test_full_disk_stops_at_once_and_leaves_no_half_file(
    world: LabelledDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    refused = []

    def full(path: Path, content: bytes) -> None:
        if len(written) == 6:  # mark and identity of the folder, the files of a sequence, one
            refused.append(path)
            raise StorageError("could not be written (No space left on device)", path)
        written.append(path)
        with files.atomic_path(path) as partial:
            partial.write_bytes(content)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(StorageError, match="No space left"):
        evaluate([Keeper()], world, tmp_path / "out")
    left = sorted(path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert left == sorted(written)
    assert [path.name for path in refused] == ["b_D_001.csv"]  # nothing was tried after it


def test_progress_counts_frames_to_the_end(world: LabelledDataset, tmp_path: Path) -> None:
    told = []
    evaluate(
        [Keeper()],
        world,
        tmp_path / "out",
        resamples=20,
        progress=lambda stage, done, total, note="": told.append((done, total)),
    )
    assert told[0] == (0, 28)
    assert told[-1] == (28, 28)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_progress_has_a_line_for_each_worker(tmp_path: Path) -> None:
    long = open_dataset(write_lsotb(tmp_path / "long", {"a": walk(110, 0), "b": walk(120, 1)}))
    told = []
    evaluate(
        [Slow("slow")], long, tmp_path / "out", workers=2, resamples=20,
        progress=lambda stage, done, total, note="": told.append((done, total, note)),
    )  # fmt: skip
    lines = {line for _, _, note in told for line in note.splitlines()}
    assert {"slow, a 50/110", "slow, b 100/120"} <= lines
    assert any(len(note.splitlines()) == 2 for _, _, note in told)
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert any(0 < done < 110 for done, _, _ in told)
    assert told[-1] == (230, 230, "")


@pytest.mark.parametrize(
    ("trackers", "workers", "message"),
    [
        ([], 1, "no tracker to evaluate"),
        ([Keeper(), Keeper()], 1, 'two trackers are called "keeper"'),
        ([Keeper("../up")], 1, '"../up" is no name for a folder'),
        ([Keeper()], 0, "workers must be at least 1, got 0"),
    ],
)
def test_wrong_request_writes_nothing(
    world: LabelledDataset, tmp_path: Path, trackers, workers: int, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        evaluate(trackers, world, tmp_path / "out", workers=workers)
    assert not (tmp_path / "out").exists()


def test_existing_folder_is_kept_without_force(world: LabelledDataset, tmp_path: Path) -> None:
    evaluate([Keeper()], world, tmp_path / "out", resamples=20)
    with pytest.raises(RequestError, match="exists already"):
        evaluate([Keeper()], world, tmp_path / "out")
    evaluate([Keeper("next")], world, tmp_path / "out", resamples=20, force=True)
    assert [path.name for path in (tmp_path / "out" / "results").iterdir()] == ["next"]


def test_protocol_without_a_sequence_drops_it(tmp_path: Path) -> None:
    names = {"cat_D_001": walk(5, 0), "dog_D_001": walk(5, 1)}
    world = open_dataset(write_lsotb(tmp_path / "world", names))
    runs = [Runs("x", {s.name: SequenceRun.of_boxes(s.annotation) for s in world.sequences})]
    found = score_runs(runs, world, get("lsotb-tir-119"), resamples=20)
    assert [s.name for s in found.trackers[0].sequences] == ["dog_D_001"]
    only_cat = replace(world, sequences=world.sequences[:1])
    with pytest.raises(DatasetError, match="no sequence belongs to lsotb-tir-119"):
        score_runs(runs, only_cat, get("lsotb-tir-119"))


def boxes_shifted(world: LabelledDataset, shift: float) -> dict[str, SequenceRun]:
    return {
        s.name: SequenceRun.of_boxes(s.annotation + np.array([shift, 0, 0, 0]))
        for s in world.sequences
    }


def test_difference_is_of_the_later_tracker_to_the_earlier_and_repeats(
    world: LabelledDataset,
) -> None:
    runs = [Runs("off", boxes_shifted(world, 6)), Runs("exact", boxes_shifted(world, 0))]
    found = score_runs(runs, world, get("lsotb-tir"), resamples=100)
    success = found.differences[0]
    assert (success.a, success.b, success.score) == ("exact", "off", "success")
    assert success.wins == 3
    assert 0 < success.low <= success.mean
    again = score_runs(runs, world, get("lsotb-tir"), resamples=100)
    assert again.differences == found.differences
    other = score_runs(runs, world, get("lsotb-tir"), resamples=100, seed=1)
    drawn_anew = [one.model_copy(update={"seed": 0}) for one in other.differences]
    assert drawn_anew != list(found.differences)


def test_speed_is_frames_over_seconds_by_three_rules(world: LabelledDataset) -> None:
    tracks = {
        name: replace(track, seconds=np.full(len(track.boxes), cost))
        for (name, track), cost in zip(
            boxes_shifted(world, 0).items(), (0.5, 0.25, 0.125), strict=True
        )
    }
    speed = score_runs([Runs("x", tracks)], world, get("ptb-tir"), resamples=20).trackers[0].speed
    assert speed is not None
    assert speed.total == pytest.approx(28 / (9 * 0.5 + 12 * 0.25 + 7 * 0.125))
    assert speed.sequence == pytest.approx((2 + 4 + 8) / 3)
    assert speed.frame == pytest.approx((9 * 2 + 12 * 4 + 7 * 8) / 28)


def test_score_is_compared_with_the_overlap_of_its_own_frame() -> None:
    truth = np.array([[10.0, 10, 20, 20], [10, 10, 20, 20], [200, 10, 20, 20], [10, 10, 20, 20]])
    boxes = truth.copy()
    boxes[2, 0] = 10
    track = replace(SequenceRun.of_boxes(boxes), scores=np.array([1.0, 0.9, 0.2, 0.8]))
    found = score_runs(
        [Runs("x", {"blank": track})],
        LabelledDataset("one", (blank(truth),), "lsotb-tir"),
        get("lsotb-tir"),
        resamples=20,
    ).trackers[0]
    assert found.score_quality is not None
    assert (
        found.score_quality.frames,
        found.score_quality.correct,
        found.score_quality.roc_auc,
    ) == (3, 2, 1.0)


def test_result_files_without_scores_have_no_score_quality(world: LabelledDataset) -> None:
    runs = [Runs("x", {s.name: SequenceRun.of_boxes(s.annotation) for s in world.sequences})]
    found = score_runs(runs, world, get("lsotb-tir"), resamples=20)
    assert found.trackers[0].score_quality is None
    assert found.trackers[0].speed is None


def test_16_bit_frames_reach_the_tracker_at_full_depth(tmp_path: Path) -> None:
    root = write_lsotb(tmp_path / "world", {"a": walk(2, 0)})
    for index, path in enumerate(sorted((root / "a" / "img").iterdir())):
        Image.fromarray(np.full((48, 64), 3000 + index, dtype=np.uint16)).save(path)
    frames = list(open_dataset(root).sequences[0].open_frames())
    assert [(frame.dtype, int(frame[0, 0])) for frame in frames] == [
        (np.dtype(np.uint16), 3000),
        (np.dtype(np.uint16), 3001),
    ]


@pytest.mark.parametrize(
    ("text", "name", "weights", "preset"),
    [
        ("nano-tir", "nano-tir", "nano-tir", None),
        ("nano-tir@published", "nano-tir@published", "nano-tir", "published"),
        ("runs/x/mine.safetensors", "mine", "runs/x/mine.safetensors", None),
        ("runs/a@b/mine.safetensors", "mine", "runs/a@b/mine.safetensors", None),
    ],
)
def test_tracker_text_names_weights_and_preset(text, name, weights, preset) -> None:
    spec = TrackerSpec.of(text)
    assert (spec.name, spec.weights, spec.preset) == (name, weights, preset)
    assert TrackerSpec.of("nano-tir", preset="published").preset == "published"


def test_lost_tracker_is_scored_where_it_measured() -> None:
    class Elsewhere(FirstBoxKeeper):
        """Says lost and repeats its first box, but measured five pixels to the right."""

        def update(self, frame):
            state = super().update(frame)
            measured = replace(state.box, x=state.box.x + 5)
            return replace(state, measured_box=measured)

    track = run(Elsewhere(), blank(walk(4, 0)))
    assert track.statuses[1] == "lost"
    np.testing.assert_array_equal(track.boxes[1:, 0], [walk(4, 0)[0, 0] + 5] * 3)


def test_partial_leaves_out_a_sequence_that_no_tracker_can_begin_with(
    world: LabelledDataset, tmp_path: Path
) -> None:
    annotation = world.sequences[1].annotation.copy()
    annotation[:2] = [[np.nan] * 4, [101, 16, 12, 9]]
    wrong = replace(world.sequences[1], annotation=annotation)
    dataset = replace(world, sequences=(world.sequences[0], wrong))
    found = evaluate([Keeper()], dataset, tmp_path / "out", partial=True, resamples=20)
    assert found.sequence_names() == ["a_V_001"]
    assert found.sequences == 1
    assert found.missing == ()
    assert found.missing_line() == "1 sequence left out"
    said = "a sequence is left out: b_D_001, row 2: box 100,15,12,9 lies 100% outside the frame"
    assert found.read_as[-1].startswith(said)
    assert not (tmp_path / "out" / "results" / "keeper" / "b_D_001.txt").exists()
    alone = replace(world, sequences=(wrong,))
    with pytest.raises(RequestError, match="b_D_001, row 2: box"):
        evaluate([Keeper()], alone, tmp_path / "none", partial=True)
    assert not (tmp_path / "none").exists()


def test_partial_accepts_runs_that_fail_and_warns_of_them(
    world: LabelledDataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = evaluate(
        [Keeper(), Keeper("breaks", fail_at=8)], world, tmp_path / "out", partial=True, resamples=20
    )
    assert [(one.tracker, one.sequence) for one in found.missing] == [
        ("breaks", "a_V_001"),
        ("breaks", "b_D_001"),
    ]
    assert found.missing_line() == "results missing: 2 of breaks"
    (said,) = [one for one in caplog.messages if "runs are missing" in one]
    assert "2 of 6 runs are missing: breaks on a_V_001, b_D_001 (" in said
    assert read_result(tmp_path / "out").missing == found.missing
