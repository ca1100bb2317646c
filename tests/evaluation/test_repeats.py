"""Several runs of a tracker: other seeds, results of their own, mean and deviation."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tracked_worlds import Drifter, Keeper, walk, write_lsotb

from tirtrack.cli.score_table import print_comparison
from tirtrack.datasets import LabelledDataset, LabelledSequence, open_dataset
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import RequestError
from tirtrack.evaluation.bootstrap import Bootstrap, score_differences
from tirtrack.evaluation.comparison import SequenceResult, TrackerResult, read_result
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.repeats import averaged, paired_differences
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import read_runs, score
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.report.build import build_report
from tirtrack.report.verdict import sequence_differences
from tirtrack.stored import write_stored


@pytest.fixture
def world(tmp_path):
    sequences = {f"s{k}_V_001": walk(9 + k, k) for k in range(7)}
    return open_dataset(write_lsotb(tmp_path / "world", sequences))


def test_runs_have_seeds_and_results_of_their_own_and_a_mean(world, tmp_path, capsys):
    out = tmp_path / "out"
    compared = evaluate([Keeper("still"), Drifter("drifts")], world, out, seed=2, runs=3)
    names = ["still", "still.run2", "still.run3", "drifts", "drifts.run2", "drifts.run3"]
    assert [one.name for one in compared.trackers] == names
    for position, seed in ((3, 2), (4, 3), (5, 4)):
        alone = evaluate([Drifter("drifts")], world, tmp_path / f"{seed}", seed=seed)
        assert compared.trackers[position].values == alone.trackers[0].values
    success = [one.values["success"] for one in compared.trackers]
    still, drifts = json.loads((out / "result.json").read_text())["runs"]
    assert (still["tracker"], still["runs"], still["deviations"]["success"]) == ("still", 3, 0.0)
    assert drifts["means"]["success"] == pytest.approx(np.mean(success[3:]))
    assert drifts["deviations"]["success"] == pytest.approx(np.std(success[3:], ddof=1))
    assert drifts["deviations"]["success"] > 0.01
    pairs = {(one.a, one.b) for one in compared.differences}
    assert pairs == {("drifts", "still")}
    difference = next(one for one in compared.differences if one.score == "success")
    assert difference.mean == pytest.approx(np.mean(success[3:]) - success[0])
    page = build_report([out], tmp_path / "page.html").read_text()
    assert "Mean ± standard deviation over runs with other seeds" in page
    assert "drifts against still" in page
    interval = compared.interval("drifts", "success")
    assert interval.mean == pytest.approx(drifts["means"]["success"])
    table = page[page.index("Mean ± standard deviation") : page.index("Differences: paired")]
    assert table.count(f"[{interval.low:.3f}, {interval.high:.3f}]") == 1
    curves = [one.curves["success"] for one in compared.trackers[3:]]
    assert drifts["curves"]["success"] == pytest.approx(np.mean(curves, axis=0))
    assert f"drifts [{drifts['means']['success']:.3f}]" in page
    assert "Curves are over all runs of a tracker." in page
    print_comparison(compared)
    first, second = capsys.readouterr().out.split("mean and standard deviation over runs")
    said = f"{interval.low:.3f} to {interval.high:.3f}"
    assert (said in first, said in second) == (False, True)
    assert "run2" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)


def test_score_takes_further_runs_for_those_of_their_tracker(world, tmp_path):
    out = tmp_path / "out"
    ran = evaluate([Keeper("still"), Drifter("drifts")], world, out, seed=2, runs=3)
    (found,) = score([out], world)
    assert {one.tracker: one.means for one in found.runs} == {
        one.tracker: pytest.approx(one.means) for one in ran.runs
    }
    assert [(one.a, one.b) for one in found.differences if one.score == "success"] == [
        ("still", "drifts")
    ]
    with pytest.raises(RequestError, match=r'no tracker is called "still\.run2"'):
        score([out], world, reference="still.run2")
    for file in (out / "results" / "still").glob("*"):
        file.rename(out / "results" / "drifts.run3" / file.name)
    (out / "results" / "still").rmdir()
    names = {one.name: one.tracker for one in score([out], world)[0].trackers}
    assert names["still.run2"] == "still.run2", "of no tracker that is there"
    assert names["drifts.run2"] == "drifts"


def test_runs_are_the_same_in_workers_and_go_on_only_as_themselves(world, tmp_path):
    here = evaluate([Drifter("drifts")], world, tmp_path / "a", runs=2)
    there = evaluate([Drifter("drifts")], world, tmp_path / "b", runs=2, workers=2)
    for one, other in zip(here.trackers, there.trackers, strict=True):
        assert one.values == other.values
    with pytest.raises(RequestError, match="trackers"):
        evaluate([Drifter("drifts")], world, tmp_path / "a", runs=3, resume=True)


def test_differences_are_of_means_over_runs_on_sequences_that_all_runs_have():
    own = [{"x": 0.5, "y": 0.25, "z": 1.0}, {"x": 1.0, "y": 0.75, "only": 1.0}]
    other = [{"y": 0.0, "x": 0.25}, {"x": 0.75, "y": 0.5, "z": 0.0}, {"x": 0.5, "y": 0.25}]
    assert paired_differences(own, other) == {"x": 0.25, "y": 0.25}
    assert list(paired_differences(own, other)) == ["x", "y"]
    assert paired_differences([{"x": 1.0}], [{"y": 1.0}]) == {}


def test_ties_stay_ties_however_often_a_tracker_ran():
    """0.95 three times has a sum that is not three times as much, and sums hang on their order."""
    once, thrice = [{"x": 0.95, "y": 0.1}], [{"x": 0.95, "y": 0.1}] * 3
    assert paired_differences(thrice, once) == {"x": 0.0, "y": 0.0}
    values = [0.1, 0.7, 0.3, 0.123]
    forth = [{"x": one} for one in values]
    assert sum(values) != sum(values[::-1])
    assert paired_differences(forth, forth[::-1]) == {"x": 0.0}
    trackers = [
        TrackerResult(
            name=f"{name}.run{run}", run_of=name, run=run,
            sequences=[SequenceResult(name="s", values={"a": value}, weights={"a": weight})],
        )
        for name, rows in (("one", [(0.95, 7)]), ("many", [(0.95, 7), (0.95, 11), (0.95, 3)]))
        for run, (value, weight) in enumerate(rows, start=1)
    ]  # fmt: skip
    score = ScoreDescription(id="a", title="a")
    (difference,) = score_differences(trackers, [score], Bootstrap({}, 0, 10))
    assert (difference.mean, difference.ties) == (0.0, 1)


def test_a_score_that_the_file_does_not_know_leaves_its_sequence_out(world, tmp_path):
    out = tmp_path / "out"
    evaluate([Keeper("still"), Drifter("drifts")], world, out)
    result = read_result(out)
    unknown = result.trackers[1].sequences[0]
    unknown.values["success"] = None
    read = sequence_differences(result, "drifts", "still", "success")
    assert set(read) == {one.name for one in world.sequences} - {unknown.name}


def test_no_run_at_all_is_refused(world, tmp_path):
    with pytest.raises(RequestError, match="runs must be at least 1, got 0"):
        evaluate([Keeper()], world, tmp_path / "out", runs=0)
    assert not (tmp_path / "out").exists()


class FailsFirst(Drifter):
    """Cannot track with the first of its seeds."""

    def load(self, seed):
        return Keeper(fail_at=1).load(seed) if seed == 0 else super().load(seed)


def test_a_tracker_whose_first_run_failed_is_still_there(world, tmp_path):
    out = tmp_path / "out"
    evaluate([Keeper("still"), FailsFirst("fails")], world, out, runs=3, missing="skip")
    page = build_report([out], tmp_path / "page.html").read_text()
    assert "fails against still" in page
    result = read_result(out)
    assert [one.name for one in result.first_runs] == ["still", "fails"]
    assert [(one.tracker, one.runs) for one in result.runs] == [("still", 3), ("fails", 2)]


def test_a_deviation_is_over_the_sequences_that_all_runs_have(world, tmp_path):
    out = tmp_path / "out"
    evaluate([Keeper("still")], world, out, runs=2)
    for file in (out / "results" / "still.run2").glob("s0*"):
        file.unlink()
    runs = [replace(one, facts={"run_of": "still"}) for one in read_runs([out], world)]
    (spread,) = score_runs(runs, world, get("lsotb-tir"), missing="skip").runs
    assert spread.deviations["success"] == pytest.approx(0.0, abs=1e-12)


class FailsLate(Drifter):
    """Gets through the short sequences alone with the first of its seeds."""

    def load(self, seed):
        return Keeper(fail_at=12).load(seed) if seed == 0 else super().load(seed)


def test_the_page_reads_the_differences_that_were_tested(world, tmp_path):
    out = tmp_path / "out"
    compared = evaluate([Keeper("still"), FailsLate("late")], world, out, runs=3, missing="skip")
    result = read_result(out)
    assert {one.n for one in compared.differences} == {4}
    for one in compared.differences:
        read = sequence_differences(result, one.a, one.b, one.score)
        assert len(read) == one.n
        assert np.mean(list(read.values())) == pytest.approx(one.mean, abs=1e-12)


def test_a_run_counts_by_the_frames_that_it_tracked():
    """Of 80 frames the first run tracks 60, with 58 right, the second all, with 78."""
    truth = np.array([[12.0, 12.0, 20.0, 20.0]] * 40)
    facts = FrameFacts(size_wh=(100, 80))
    world = LabelledDataset(
        "world", (LabelledSequence("s", truth, 1, lambda: iter(()), facts=facts),), "vot-multistart"
    )
    lost = np.concatenate([truth[:20], truth[20:] + 60])
    runs = [
        Runs(name, {"s": SequenceRun.of_boxes(forth), "s.start2": SequenceRun.of_boxes(truth)},
             {"run_of": "one", "run": number})
        for number, (name, forth) in enumerate((("one", lost), ("one.run2", truth)), start=1)
    ]  # fmt: skip
    compared = score_runs(runs, world, get("vot-multistart"))
    accuracy = averaged(compared.trackers, compared.score("vot_accuracy"))
    assert accuracy.values.tolist() == pytest.approx([(58 + 78) / (60 + 80)])
    assert accuracy.weights.tolist() == [70]
    robustness = averaged(compared.trackers, compared.score("vot_robustness"))
    assert robustness.values.tolist() == pytest.approx([(60 + 80) / 160])


def one_sequence(protocol: str, truth: np.ndarray) -> LabelledDataset:
    facts = FrameFacts(size_wh=(100, 80))
    return LabelledDataset(
        "world", (LabelledSequence("s", truth, 1, lambda: iter(()), facts=facts),), protocol
    )


def restarted(truth: np.ndarray, *failures: int) -> SequenceRun:
    """A run on the target that fails in some rows, and begins again 5 rows later."""
    statuses = np.full(len(truth), "tracking", dtype="U9")
    statuses[0] = "started"
    for row in failures:
        statuses[row : row + 6] = ["failed", *["skipped"] * 4, "started"]
    unknown = np.full(len(truth), np.nan)
    return SequenceRun(truth, unknown, statuses, unknown)


def test_expected_overlap_is_read_from_the_pieces_of_all_runs():
    """The first run is whole, the second fails twice, each time after 150 frames.

    At length j from 150 on three pieces count, of which two are right in 149 of j frames.
    """
    truth = np.array([[12.0, 12.0, 20.0, 20.0]] * 400)
    runs = [
        Runs("one", {"s": restarted(truth)}),
        Runs("one.run2", {"s": restarted(truth, 150, 305)}, {"run_of": "one", "run": 2}),
    ]
    world = one_sequence("vot-supervised", truth)
    (found,) = score_runs(runs, world, get("vot-supervised")).runs
    curve = [1.0 if j < 150 else (1 + 2 * 149 / j) / 3 for j in range(100, 357)]
    assert found.means["eao"] == pytest.approx(np.mean(curve))
    assert found.deviations["eao"] is None  # no piece of the second run alone is long enough
    assert found.means["failures"] == 1.0
    assert found.means["vot_reliability"] == pytest.approx(np.exp(-30 * 1.0 / 400))
    (legacy,) = score_runs(runs, world, get("vot-supervised-legacy")).runs
    assert legacy.means["lost_number"] == 1.0  # of a run, not of both
    assert legacy.means["legacy_robustness"] == pytest.approx(100 * 2 / 800)


def test_expected_overlap_of_anchors_is_read_from_all_runs():
    """Of 40 frames the first run keeps 20 and all, the second 10 and 10; beyond its end a run that
    failed counts with its sum over the length less 1, one that did not fail no more.
    """
    truth = np.array([[12.0, 12.0, 20.0, 20.0]] * 40)

    def kept(frames: int) -> SequenceRun:
        return SequenceRun.of_boxes(np.concatenate([truth[:frames], truth[frames:] + 60]))

    runs = [
        Runs("one", {"s": kept(20), "s.start2": kept(40)}),
        Runs("one.run2", {"s": kept(10), "s.start2": kept(10)}, {"run_of": "one", "run": 2}),
    ]
    world = one_sequence("vot-multistart", truth)
    (found,) = score_runs(runs, world, get("vot-multistart")).runs
    beyond = np.mean([1 / (j - 1) for j in range(115, 755)])
    assert found.means["eao"] == pytest.approx((19 + 9 + 9) / 3 * beyond)
    assert found.means["vot_accuracy"] == pytest.approx((19 + 39 + 9 + 9) / (20 + 40 + 10 + 10))


def test_the_quality_of_a_score_is_that_of_the_frames_of_all_runs(tmp_path):
    """Each run alone puts its right frame above its wrong one; of all four pairs one is not so."""
    truth = np.array([[12.0, 12.0, 20.0, 20.0]] * 3)
    boxes = np.array([*truth[:2], truth[2] + 60])
    statuses, unknown = np.full(3, "tracking"), np.full(3, np.nan)
    runs = [
        Runs("one", {"s": SequenceRun(boxes, np.array([1.0, 0.9, 0.8]), statuses, unknown)}),
        Runs(
            "one.run2",
            {"s": SequenceRun(boxes, np.array([1.0, 0.3, 0.2]), statuses, unknown)},
            {"run_of": "one", "run": 2},
        ),
    ]
    found = score_runs(runs, one_sequence("lsotb-tir", truth), get("lsotb-tir"))
    assert [one.score_quality.roc_auc for one in found.trackers] == [1.0, 1.0]
    pooled = found.score_quality("one")
    assert (pooled.frames, pooled.correct, pooled.roc_auc) == (4, 2, 0.75)
    assert [(one.score, one.correct) for one in pooled.reliability] == [
        (0.2, 0.0), (0.3, 1.0), (0.8, 0.0), (0.9, 1.0),
    ]  # fmt: skip
    write_stored(tmp_path / "e" / "result.json", found)
    page = build_report([tmp_path / "e"], tmp_path / "page.html").read_text()
    table = page[page.index("What each tracker") :]
    assert re.search(r'<td data-value="4">4</td><td data-value="0.75">0.750</td>', table)


def test_a_score_that_is_no_mean_is_read_from_the_sequences_that_all_runs_have(world):
    """Over sequences of which a run lacks one, F is that of the others, not the mean of theirs."""
    protocol = get("pytracking-prf")
    annotated = {one.name: one.annotation for one in world.sequences[:3]}

    def run(number: int, names: list[str]) -> Runs:
        tracks = {
            name: SequenceRun(
                boxes + np.array([number * k, 0, 0, 0]), np.linspace(1, 0.1 * (k + 1), len(boxes)),
                np.full(len(boxes), "tracking"), np.full(len(boxes), np.nan),
            )
            for k, (name, boxes) in enumerate(annotated.items()) if name in names
        }  # fmt: skip
        return Runs(f"one.run{number}", tracks, {"run_of": "one", "run": number})

    names = list(annotated)
    kept = replace(world, sequences=world.sequences[:3])
    compared = score_runs([run(1, names), run(2, names[:2])], kept, protocol, missing="skip")
    fewer = replace(kept, sequences=kept.sequences[:2])
    alone = score_runs([run(1, names[:2]), run(2, names[:2])], fewer, protocol)
    assert compared.runs == alone.runs
    assert compared.runs[0].means["prf_f"] is not None
