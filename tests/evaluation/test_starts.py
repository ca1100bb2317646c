"""Runs from several start frames: where they begin, their files, and how they are scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tracked_worlds import Keeper, walk, write_lsotb

from tirtrack.datasets import open_dataset
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError, RequestError, RunError
from tirtrack.evaluation.comparison import Comparison, SequenceResult
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.results import SequenceRun, read_track
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import score
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.evaluation.starts import start_rows, starts_line
from tirtrack.report.build import build_report

ABSENT = slice(8, 12)


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    """``b`` has no target from its last third on."""
    absent = walk(12, 2)
    absent[ABSENT] = np.nan
    sequences = {"a_V_001": walk(10, 0), "b_V_002": absent}
    return open_dataset(write_lsotb(tmp_path / "world", sequences))


@pytest.mark.parametrize(
    ("valid", "starts", "rows"),
    [
        pytest.param("1111111111", 1, {1: 0}, id="one start"),
        pytest.param("1111111111", 3, {1: 0, 2: 3, 3: 6}, id="rounded down"),
        pytest.param("1110011111", 3, {1: 0, 2: 5, 3: 6}, id="moved to the next box"),
        pytest.param("1111110000", 3, {1: 0, 2: 3}, id="no target later"),
        pytest.param("1111110001", 3, {1: 0, 2: 3}, id="nothing to track after the last frame"),
        pytest.param("0000111111", 3, {1: 4, 3: 6}, id="two starts at one frame"),
        pytest.param("0000000010", 3, {1: 8}, id="one box"),
        pytest.param("0000000000", 3, {}, id="no box"),
        pytest.param("11", 5, {1: 0}, id="fewer frames than starts"),
    ],
)
def test_start_is_the_next_row_with_a_box(valid: str, starts: int, rows: dict) -> None:
    annotation = np.array([[5.0] * 4 if one == "1" else [np.nan] * 4 for one in valid])
    assert start_rows(annotation, starts) == rows


def test_every_start_has_a_file_of_its_own_frames(world: LabelledDataset, tmp_path: Path) -> None:
    evaluate([Keeper()], world, tmp_path / "out", starts=3)
    folder = tmp_path / "out" / "results" / "keeper"
    first, annotation = world.sequences[0], world.sequences[0].annotation
    assert {path.name for path in folder.glob("*[!e].txt")} == {
        *("a_V_001.txt", "a_V_001.start2.txt", "a_V_001.start3.txt"),
        *("b_V_002.txt", "b_V_002.start2.txt"),
    }
    for name, row in (("a_V_001", 0), ("a_V_001.start2", 3), ("a_V_001.start3", 6)):
        boxes = read_track(folder / f"{name}.txt").boxes
        np.testing.assert_array_equal(boxes, np.repeat(annotation[[row]], len(first) - row, axis=0))


def row_of(comparison: Comparison, name: str) -> SequenceResult:
    row = comparison.trackers[0].sequence(name)
    assert row is not None
    return row


def test_score_of_a_sequence_is_the_mean_over_its_starts_on_their_own_frames(
    world: LabelledDataset, tmp_path: Path
) -> None:
    found = evaluate([Keeper(step=0.7)], world, tmp_path / "out", starts=3)
    a, b = (row_of(found, one.name) for one in world.sequences)
    assert (a.starts, b.starts) == ((0, 3, 6), (0, 4))
    annotation = world.sequences[0].annotation
    alone = []
    for number, row in ((1, 0), (2, 3), (3, 6)):
        suffix = "" if number == 1 else f".start{number}"
        file = tmp_path / "out" / "results" / "keeper" / f"a_V_001{suffix}.txt"
        alone.append(get("lsotb-tir").score_sequence("a", read_track(file).boxes, annotation[row:]))
    for name, value in a.values.items():
        assert value == pytest.approx(np.mean([one.values[name] for one in alone]))
    for name, value in a.visible_values.items():
        assert value == pytest.approx(np.mean([one.visible_values[name] for one in alone]))
    assert len({one.values["success"] for one in alone}) == 3
    tracker = found.trackers[0]
    assert tracker.values["success"] == pytest.approx(
        np.mean([a.values["success"], b.values["success"]])
    )
    assert found.differences == ()
    assert (a.frames, found.frames, found.starts) == (10, 22, 3)
    assert tracker.score_quality is not None
    assert tracker.score_quality.frames == (9 + 6 + 3) + (11 + 7)


def two_starts(protocol: str, lengths: tuple[int, ...]) -> tuple[LabelledDataset, Runs]:
    """Sequences with runs that are right from the first frame on, and wrong from the second start.

    A later run is scored on its own frames, of which the first box was given.
    """
    sequences, tracks = [], {}
    for number, frames in enumerate(lengths):
        truth = walk(frames, number)
        facts = FrameFacts(
            size_wh=(320, 240), cover=np.full(frames, 8), absent=np.zeros(frames, dtype=bool)
        )
        name = f"s{number}"
        sequences.append(LabelledSequence(name, truth, 1, lambda: iter(()), facts=facts))
        rest = truth[frames // 2 :]
        wrong = np.concatenate([rest[:1], rest[1:] + np.array([150, 0, 0, 0])])
        for start, boxes in ((name, truth), (f"{name}.start2", wrong)):
            tracks[start] = SequenceRun(
                boxes, np.linspace(1, 0.5, len(boxes)), np.full(len(boxes), "tracking"),
                np.full(len(boxes), np.nan),
            )  # fmt: skip
    return LabelledDataset("world", tuple(sequences), protocol), Runs("one", tracks)


def test_a_protocol_that_counts_frames_counts_those_of_all_starts() -> None:
    world, runs = two_starts("got10k", (8,))
    found = score_runs([runs], world, get("got10k"), starts=2).trackers[0]
    assert found.values["ao"] == pytest.approx(7 / (7 + 3))
    assert found.curves["ao"][50] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "protocol",
    ["got10k", "gtot-tir", "antiuav410", "antiuav-challenge", "vot-lt", "pytracking-prf", "lasot"],
)
def test_scores_of_a_data_set_are_those_of_its_sequences_with_all_starts(protocol: str) -> None:
    world, runs = two_starts(protocol, (8, 31))
    compared = score_runs([runs], world, get(protocol), starts=2)
    found = compared.trackers[0]
    for one in compared.scores:
        if one.is_mean:
            values, weights = found.by_sequence(one.id), found.weights_of(one.id)
            mean = np.average(list(values.values()), weights=[weights[name] for name in values])
            assert found.values[one.id] == pytest.approx(mean)
    short, runs = two_starts(protocol, (8,))
    found = score_runs([runs], short, get(protocol), starts=2).trackers[0]
    assert found.values == pytest.approx(found.sequences[0].values)
    first = Runs("one", {"s0": runs.tracks["s0"]})
    alone = score_runs([first], short, get(protocol)).trackers[0]
    assert found.values[compared.primary.id] < alone.values[compared.primary.id]


def test_one_start_is_the_evaluation_without_the_option(
    world: LabelledDataset, tmp_path: Path
) -> None:
    plain = evaluate([Keeper()], world, tmp_path / "plain")
    one = evaluate([Keeper()], world, tmp_path / "one", starts=1)
    assert one.trackers[0].values == plain.trackers[0].values
    identities = [(tmp_path / name / "identity.json").read_text() for name in ("plain", "one")]
    assert identities[0] == identities[1]
    assert "starts" not in identities[0]


def test_differences_are_over_sequences_however_many_starts_they_have(
    world: LabelledDataset, tmp_path: Path
) -> None:
    trackers = [Keeper("still"), Keeper("moving", step=0.7)]
    found = evaluate(trackers, world, tmp_path / "out", starts=3)
    difference = found.difference("moving", "still", "success")
    assert difference is not None
    assert difference.n == 2
    values = [one.values["success"] for one in found.trackers]
    assert difference.mean == pytest.approx(values[1] - values[0])


def test_runs_of_another_number_of_starts_are_not_mixed(
    world: LabelledDataset, tmp_path: Path
) -> None:
    evaluate([Keeper()], world, tmp_path / "out", starts=3)
    for starts in (1, 2):
        with pytest.raises(RequestError, match=r"another number of starts \(was 3, now"):
            evaluate([Keeper()], world, tmp_path / "out", starts=starts, resume=True)


def test_resumed_run_tracks_only_the_starts_that_are_missing(
    world: LabelledDataset, tmp_path: Path
) -> None:
    made = evaluate([Keeper()], world, tmp_path / "out", starts=3)
    folder = tmp_path / "out" / "results" / "keeper"
    (folder / "a_V_001.start2.txt").unlink()
    kept = folder / "b_V_002.start2.txt"
    before = kept.stat().st_mtime_ns
    again = evaluate([Keeper()], world, tmp_path / "out", starts=3, resume=True)
    assert kept.stat().st_mtime_ns == before
    assert (folder / "a_V_001.start2.txt").is_file()
    assert again.trackers[0].values == made.trackers[0].values


def test_sequence_without_one_of_its_starts_has_no_score(
    world: LabelledDataset, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="1 of 5 runs is missing: keeper on b_V_002 "):
        evaluate([Keeper(fail_at=11)], world, tmp_path / "out", starts=3)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [row["name"] for row in stored["trackers"][0]["sequences"]] == ["a_V_001"]
    assert (tmp_path / "out" / "results" / "keeper" / "b_V_002.start2.txt").is_file()


def test_nothing_is_scored_if_every_sequence_lacks_a_start(
    world: LabelledDataset, tmp_path: Path
) -> None:
    with pytest.raises(
        RunError, match=r"every sequence lacks a start: keeper on a_V_001 .* 1 other"
    ):
        evaluate([Keeper(fail_at=8)], world, tmp_path / "out", starts=3)
    assert not (tmp_path / "out" / "result.json").exists()


def test_left_out_starts_are_named_once(world: LabelledDataset) -> None:
    line = starts_line(world, 3)
    assert line.startswith("3 starts a sequence, 5 runs of each tracker; left out, ")
    assert line.endswith(": b_V_002 from frame 8")
    assert starts_line(replace(world, sequences=world.sequences[:1]), 2) == (
        "2 starts a sequence, 2 runs of each tracker"
    )


def test_sequence_with_the_name_of_a_start_is_refused(tmp_path: Path) -> None:
    sequences = {"a": walk(9, 0), "a.start2": walk(9, 1)}
    world = open_dataset(write_lsotb(tmp_path / "world", sequences))
    with pytest.raises(DatasetError, match=r'two sequences are called "a\.start2"'):
        evaluate([Keeper()], world, tmp_path / "out", starts=2)
    assert not (tmp_path / "out").exists()


def test_fewer_than_one_start_is_refused(world: LabelledDataset, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="starts must be at least 1, got 0"):
        evaluate([Keeper()], world, tmp_path / "out", starts=0)


def test_workers_write_the_same_starts(world: LabelledDataset, tmp_path: Path) -> None:
    here = evaluate([Keeper()], world, tmp_path / "a", starts=3)
    there = evaluate([Keeper()], world, tmp_path / "b", starts=3, workers=2)
    assert here.trackers[0].values == there.trackers[0].values
    stored = json.loads((tmp_path / "b" / "result.json").read_text())
    assert stored["trackers"][0]["sequences"][1]["starts"] == [0, 4]


def test_written_starts_score_the_same_when_read_back(
    world: LabelledDataset, tmp_path: Path
) -> None:
    made = evaluate([Keeper(step=0.7)], world, tmp_path / "out", starts=3)
    (again,) = score([tmp_path / "out"], world.root or "", starts=3)
    assert again.trackers[0].values == made.trackers[0].values
    (first,) = score([tmp_path / "out"], world.root or "")
    assert first.trackers[0].values != made.trackers[0].values
    assert first.starts == 1


def test_page_says_how_often_a_sequence_was_started(world: LabelledDataset, tmp_path: Path) -> None:
    for starts in (1, 3):
        evaluate([Keeper()], world, tmp_path / f"{starts}", starts=starts)
        page = build_report(
            [tmp_path / f"{starts}"], tmp_path / f"page{starts}" / "page.html"
        ).read_text()
        assert ("tracked from up to 3 start frames" in page) == (starts == 3)
        assert ("pictures are of the first start" in page) == (starts == 3)
