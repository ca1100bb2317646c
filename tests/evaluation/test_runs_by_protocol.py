"""``evaluate`` runs TRE, SRE and the VOT experiments; ``score`` finds the same in the files."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from tracked_worlds import FirstBoxKeeper, Keeper, walk, write_lsotb

import tirtrack
from tirtrack.boxes import Box
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import DatasetError, RequestError, RunError
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.protocols.otb_starts import SRE_SHIFTS, shifted_box
from tirtrack.evaluation.results import read_track
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import score
from tirtrack.trackers.base import TrackState

FRAMES = 60


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    return open_dataset(
        write_lsotb(tmp_path / "world", {"a_V_001": walk(FRAMES, 0), "b_V_002": walk(FRAMES, 3)})
    )


class Recorder(FirstBoxKeeper):
    """Keeps its first box and remembers it, and the frames that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[Box] = []
        self.seen: list[float] = []

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        self.begun.append(box)
        self.seen.append(float(frame.mean()))
        return super().init(frame, box)

    def update(self, frame: np.ndarray) -> TrackState:
        self.seen.append(float(frame.mean()))
        return super().update(frame)


@dataclass(frozen=True)
class Recording(Keeper):
    """The source of one recorder."""

    recorder: Recorder = field(default_factory=Recorder)

    def load(self, seed: int) -> Recorder:
        return self.recorder


class Mute(FirstBoxKeeper):
    """Gives no score."""

    def update(self, frame: np.ndarray) -> TrackState:
        return replace(super().update(frame), score=float("nan"))


class Scoreless(Keeper):
    """The source of one without scores."""

    def load(self, seed: int) -> Mute:
        return Mute(self.fail_at, self.step)


def scored_again(out: Path, world: LabelledDataset, protocol: str) -> dict[str, float | None]:
    """The scores that ``score`` reads from the files of a run."""
    assert world.root is not None
    (found,) = score([out / "results"], world.root, protocols=[protocol])
    assert found.protocol == protocol
    return dict(found.trackers[0].values)


@pytest.mark.parametrize(
    "protocol", ["ptb-tir-tre", "ptb-tir-sre", "vot-supervised", "vot-multistart"]
)
def test_scores_of_the_files_are_those_of_the_run(
    world: LabelledDataset, tmp_path: Path, protocol: str
) -> None:
    found = evaluate([Keeper(step=0.5)], world, tmp_path / "out", protocol=protocol)
    assert found.protocol == protocol
    assert scored_again(tmp_path / "out", world, protocol) == dict(found.trackers[0].values)
    files = len(list((tmp_path / "out" / "results" / "keeper").glob("*.csv")))
    runs = {"ptb-tir-tre": 20, "ptb-tir-sre": 12, "vot-supervised": 1, "vot-multistart": 3}
    assert files == 2 * runs[protocol]


def test_workers_run_backward_too(world: LabelledDataset, tmp_path: Path) -> None:
    evaluate([Keeper(step=0.5)], world, tmp_path / "one", protocol="vot-multistart")
    evaluate([Keeper(step=0.5)], world, tmp_path / "two", protocol="vot-multistart", workers=2)
    one, two = (
        {file.name: file.read_bytes() for file in (tmp_path / out / "results").rglob("*[!e].txt")}
        for out in ("one", "two")
    )
    assert len(one) == 6
    assert one == two


def test_starts_that_fail_for_one_cause_are_named_together(tmp_path: Path) -> None:
    sequences = {"a_V_001": walk(FRAMES, 0), "b_V_002": walk(30, 3)}
    world = open_dataset(write_lsotb(tmp_path / "world", sequences))
    with pytest.raises(RunError) as caught:
        evaluate([Keeper(fail_at=41)], world, tmp_path / "out", protocol="ptb-tir-tre")
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    missing = len(stored["missing"])
    assert 3 < missing < 20
    assert (
        f"{missing} of 40 runs are missing: keeper on a_V_001, a_V_001.start2, a_V_001.start3 "
        f"and {missing - 3} more (the filter has a number that is not finite); the other"
    ) in str(caught.value)


@pytest.mark.parametrize("protocol", ["ptb-tir-tre", "vot-supervised", "vot-multistart"])
def test_progress_counts_the_frames_of_every_run(
    world: LabelledDataset, tmp_path: Path, protocol: str
) -> None:
    told: list[tuple[int, int]] = []
    evaluate(
        [Keeper()], world, tmp_path / "out", protocol=protocol, resamples=20,
        progress=lambda stage, done, total, note="": told.append((done, total)),
    )  # fmt: skip
    rows = sum(
        len(read_track(file.with_suffix(".txt")).boxes)
        for file in (tmp_path / "out" / "results" / "keeper").glob("*.csv")
    )
    assert told[-1] == (rows, rows)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_sre_gives_the_shifted_box_and_scores_against_the_annotated_one(
    world: LabelledDataset, tmp_path: Path
) -> None:
    source = Recording()
    recorder = source.recorder
    evaluate([source], world, tmp_path / "out", protocol="ptb-tir-sre")
    first = world.sequences[0].annotation[0]
    frame = next(iter(world.sequences[0].open_frames()))
    given = [box.array() + np.array([1, 1, 0, 0]) for box in recorder.begun[: len(SRE_SHIFTS)]]
    expected = [shifted_box(first, kind, (frame.shape[1], frame.shape[0])) for kind in SRE_SHIFTS]
    np.testing.assert_array_equal(given, expected)
    boxes = read_track(tmp_path / "out" / "results" / source.name / "a_V_001.start2.txt").boxes
    np.testing.assert_array_equal(boxes[0], first)


def test_a_failed_tracker_is_started_again_five_frames_later(
    world: LabelledDataset, tmp_path: Path
) -> None:
    found = evaluate([Keeper(step=9.0)], world, tmp_path / "out", protocol="vot-supervised")
    track = read_track(tmp_path / "out" / "results" / "keeper" / "a_V_001.txt")
    marks = track.statuses.tolist()
    fails = [row for row, mark in enumerate(marks) if mark == "failed"]
    assert marks[0] == "started"
    assert len(fails) >= 2
    for row in fails:
        assert marks[row + 1 : row + 5] == ["skipped"] * len(marks[row + 1 : row + 5])
        assert marks[row + 5 : row + 6] in (["started"], [])
        assert np.isnan(track.boxes[row]).all()
    again = fails[0] + 5
    np.testing.assert_array_equal(track.boxes[again], world.sequences[0].annotation[again])
    row = found.trackers[0].sequence("a_V_001")
    assert row is not None
    assert row.values["failures"] == len(fails)


def test_scores_of_given_boxes_do_not_count_as_the_tracker_s(
    world: LabelledDataset, tmp_path: Path
) -> None:
    found = evaluate([Keeper(step=9.0)], world, tmp_path / "out", protocol="vot-supervised")
    folder = tmp_path / "out" / "results" / "keeper"
    statuses = [read_track(folder / f"{one.name}.txt").statuses for one in world.sequences]
    quality = found.trackers[0].score_quality
    assert quality is not None
    assert quality.frames == sum(int((one == "lost").sum()) for one in statuses)
    assert sum(int((one == "started").sum()) for one in statuses) > 2


def test_backward_runs_see_the_frames_in_reversed_order(
    world: LabelledDataset, tmp_path: Path
) -> None:
    source = Recording()
    recorder = source.recorder
    evaluate([source], world, tmp_path / "out", protocol="vot-multistart")
    means = [float(frame.mean()) for frame in world.sequences[0].open_frames()]
    starts = get("vot-multistart").starts(world.sequences[0].annotation, None)
    assert [(one.row, one.backward) for one in starts] == [(0, False), (50, True), (59, True)]
    assert recorder.seen[:FRAMES] == means
    assert recorder.seen[FRAMES : FRAMES + 51] == means[50::-1]
    boxes = read_track(tmp_path / "out" / "results" / source.name / "a_V_001.start2.txt").boxes
    np.testing.assert_array_equal(boxes[0], world.sequences[0].annotation[50])
    assert len(boxes) == 51


def test_starts_of_the_user_and_of_the_protocol_exclude_each_other(
    world: LabelledDataset, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="ptb-tir-tre says by itself where runs begin"):
        evaluate([Keeper()], world, tmp_path / "out", protocol="ptb-tir-tre", starts=2)
    assert not (tmp_path / "out").exists()


def test_runs_of_another_experiment_are_not_resumed(world: LabelledDataset, tmp_path: Path) -> None:
    evaluate([Keeper()], world, tmp_path / "out", protocol="ptb-tir-sre")
    identity = json.loads((tmp_path / "out" / "identity.json").read_text())
    assert identity["protocol that says where runs begin"] == "ptb-tir-sre"
    with pytest.raises(RequestError, match="protocol that says where runs begin"):
        evaluate([Keeper()], world, tmp_path / "out", protocol="vot-supervised", resume=True)


def test_run_of_one_pass_cannot_be_scored_as_supervised(
    world: LabelledDataset, tmp_path: Path
) -> None:
    evaluate([Keeper()], world, tmp_path / "out")
    with pytest.raises(tirtrack.TirtrackError, match=r"^keeper: the result does not say where"):
        scored_again(tmp_path / "out", world, "vot-supervised")


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ("ptb-tir-sre", "ptb-tir"),
        ("vot-supervised", "lsotb-tir"),
        ("ptb-tir-tre", "ptb-tir-sre"),
        ("vot-multistart", "ptb-tir-tre"),
    ],
)
def test_runs_are_not_scored_as_those_of_another_experiment(
    world: LabelledDataset, tmp_path: Path, made: str, asked: str
) -> None:
    evaluate([Keeper()], world, tmp_path / "out", protocol=made, resamples=20)
    with pytest.raises(DatasetError, match=f"its runs begin as {made} says.*--protocol {made}"):
        scored_again(tmp_path / "out", world, asked)


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        ("ptb-tir-tre", "otb-tre"),
        ("ptb-tir-tre", "ptb-tir"),
        ("vot-supervised", "vot-supervised-legacy"),
        ("vot-multistart", "lsotb-tir"),
    ],
)
def test_runs_that_begin_alike_are_scored(
    world: LabelledDataset, tmp_path: Path, made: str, asked: str
) -> None:
    evaluate([Keeper(step=0.5)], world, tmp_path / "out", protocol=made, resamples=20)
    direct = evaluate([Keeper(step=0.5)], world, tmp_path / "direct", protocol=asked)
    assert scored_again(tmp_path / "out", world, asked) == dict(direct.trackers[0].values)


def test_copied_files_of_a_supervised_run_are_no_run_of_one_pass(
    world: LabelledDataset, tmp_path: Path
) -> None:
    evaluate([Keeper(step=9.0)], world, tmp_path / "out", protocol="vot-supervised")
    copied = shutil.copytree(tmp_path / "out" / "results", tmp_path / "copied")
    with pytest.raises(DatasetError, match=r"was started again after failures, .* vot-supervised"):
        score([copied], world)
    (found,) = score([copied], world, protocols=["vot-supervised"])
    assert found.trackers[0].values["failures"] > 1


@pytest.mark.parametrize("protocol", ["rgbt234", "got10k"])
def test_annotation_that_a_protocol_cannot_do_without_is_missed_before_anything_runs(
    world: LabelledDataset, tmp_path: Path, protocol: str
) -> None:
    with pytest.raises(DatasetError, match=f"a_V_001: {protocol} needs .* this sequence lacks"):
        evaluate([Keeper()], world, tmp_path / "out", protocol=protocol)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("protocol", ["vot-lt", "pytracking-prf"])
def test_results_without_scores_are_missing_where_scores_count(
    world: LabelledDataset, tmp_path: Path, protocol: str
) -> None:
    with pytest.raises(RunError) as caught:
        evaluate([Keeper(), Scoreless("mute")], world, tmp_path / "out", protocol=protocol)
    reason = f"the result has no scores, by which {protocol} counts"
    assert f"2 of 4 runs are missing: mute on a_V_001, b_V_002 ({reason})" in str(caught.value)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [one["name"] for one in stored["trackers"]] == ["keeper"]
    with pytest.raises(DatasetError, match=f"mute on a_V_001 .{reason}"):
        scored_again(tmp_path / "out", world, protocol)
    score([tmp_path / "out"], world, protocols=["lsotb-tir"])


def test_runs_of_which_none_can_be_scored_are_kept(world: LabelledDataset, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be scored by vot-lt: .*has no scores") as caught:
        evaluate([Scoreless("mute")], world, tmp_path / "out", protocol="vot-lt")
    assert caught.value.exit_code == 1
    assert "another --protocol" in str(caught.value)
    score([tmp_path / "out"], world, protocols=["lsotb-tir"])
