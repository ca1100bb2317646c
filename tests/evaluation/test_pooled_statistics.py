"""Statistics of protocols that weigh sequences by their frames: the figure that they print is the
one that is resampled.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tracked_worlds import walk

from tirtrack.cli.score_table import print_comparison
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.evaluation import bootstrap, protocols, statistics
from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.report.build import build_report
from tirtrack.report.verdict import no_means
from tirtrack.stored import write_stored

LENGTHS = (24, 40, 61, 130)
NO_MEANS = {
    "vot-supervised": {"eao", "vot_reliability"},
    "vot-supervised-legacy": {"eao", "lost_number"},
    "vot-multistart": {"eao"},
    "vot-lt": {"lt_f", "lt_precision", "lt_recall"},
    "pytracking-prf": {"prf_f", "prf_precision", "prf_recall"},
}
"""Scores that are read from a curve or a sum over all sequences."""


def scored_by(name: str, lengths: tuple[int, ...] = LENGTHS):
    """Sequences of several lengths under a protocol, with all facts, the longer the worse."""
    protocol = protocols.get(name)
    found = []
    for number, frames in enumerate(lengths):
        rng = np.random.default_rng(number)
        annotation = walk(frames, number)
        boxes = annotation + np.cumsum(rng.normal(0, 0.05 * number + 0.1, (frames, 4)), axis=0)
        boxes[:, 2:] = boxes[:, 2:].clip(1)
        statuses = np.full(frames, "tracking", dtype="U9")
        statuses[0] = "started"
        if name.startswith("vot-supervised") and number:
            statuses[12 * number : 12 * number + 6] = ["failed", *["skipped"] * 4, "started"]
            boxes[12 * number : 12 * number + 5] = np.nan
        absent = np.zeros(frames, dtype=bool)
        absent[20 : 20 + number] = True
        facts = FrameFacts(
            absent=absent,
            cover=np.where(absent, 0, 8),
            size_wh=(320, 240),
            second=annotation + 1.0,
            scores=rng.random(frames),
            statuses=statuses,
        )
        found.append(protocol.score_sequence(f"s{number}", boxes, annotation, facts=facts))
    return protocol, found


@pytest.mark.parametrize("name", protocols.names())
def test_the_resampled_figure_is_the_one_that_the_protocol_prints(name: str) -> None:
    protocol, scored = scored_by(name)
    indices = statistics.bootstrap_indices(4, np.random.default_rng(0), resamples=40)
    printed = [protocol.average([scored[i] for i in row]).values for row in indices]
    no_means = set()
    for score in protocol.scores:
        if not all(score.id in one.values for one in scored):
            no_means.add(score.id)  # runs too short for it
            continue
        values = np.array([[one.values[score.id] for one in scored]])
        weights = np.array([[one.weights.get(score.id, 1.0) for one in scored]])
        drawn = statistics.resampled_means(values, statistics.draw_counts(indices), weights=weights)
        wanted = np.array([one[score.id] for one in printed])
        if not np.allclose(drawn[0], wanted, rtol=0, atol=1e-7):  # pytracking's are float32
            no_means.add(score.id)
    assert no_means == NO_MEANS.get(name, set())
    assert {one.id for one in protocol.scores if not one.is_mean} == no_means


def dataset() -> LabelledDataset:
    sequences = tuple(
        LabelledSequence(
            f"s{number}",
            walk(frames, number),
            1,
            lambda: iter(()),
            attributes={"long": int(frames > 30)},
            facts=FrameFacts(size_wh=(320, 240)),
        )
        for number, frames in enumerate((20, 35, 50, 65, 80, 200, 25))
    )
    return LabelledDataset("made", sequences, "gtot-tir")


def runs_of(data: LabelledDataset, name: str, size: float, **facts) -> Runs:
    tracks = {}
    for number, one in enumerate(data.sequences):
        rng = np.random.default_rng([number, int(10 * size)])
        rows = len(one)
        # the later, the worse: long sequences are not like short ones
        moved = rng.normal(0, size, (rows, 4)) * np.linspace(0, 3, 200)[:rows, None] * [1, 1, 0, 0]
        tracks[one.name] = SequenceRun(
            one.annotation + moved,
            rng.random(rows),
            np.full(rows, "tracking", dtype="U9"),
            np.full(rows, 0.01),
        )
    return Runs(name, tracks, facts)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    data = dataset()
    runs = [runs_of(data, "good", 1.6), runs_of(data, "bad", 4.0)]
    return score_runs(runs, data, protocols.get("gtot-tir"), resamples=400)


def test_intervals_and_differences_belong_to_the_pooled_score(compared: Comparison) -> None:
    good, bad = compared.trackers
    for score in compared.scores:
        found = compared.interval("good", score.id)
        assert found is not None
        assert found.mean == pytest.approx(good.values[score.id], abs=1e-12)
        assert found.low < found.mean < found.high
        plain = np.mean(list(good.by_sequence(score.id).values()))
        assert abs(plain - found.mean) > 0.005  # the mean over sequences is another figure
        difference = compared.difference("bad", "good", score.id)
        assert difference is not None
        wanted = bad.values[score.id] - good.values[score.id]
        assert difference.mean == pytest.approx(wanted, abs=1e-12)
        long = compared.interval("good", score.id, "long")
        assert long is not None
        assert long.mean == pytest.approx(good.subsets["long"].values[score.id], abs=1e-12)

    assert no_means(compared) == ""


def test_each_resample_pools_the_frames_of_what_it_draws(compared: Comparison) -> None:
    """By hand: the sequences of each resample as one, for both trackers alike."""
    rng = np.random.default_rng(0)
    indices = statistics.bootstrap_indices(7, rng, resamples=400)
    score = compared.primary.id
    frames = np.array([row.frames for row in compared.trackers[0].sequences])
    drawn = []
    for one in compared.trackers:
        sums = np.array([row.values[score] * row.frames for row in one.sequences])
        drawn.append(sums[indices].sum(axis=1) / frames[indices].sum(axis=1))
    found = compared.difference("bad", "good", score)
    assert found is not None
    wanted = np.quantile(drawn[1] - drawn[0], [0.025, 0.975])
    assert [found.low, found.high] == pytest.approx(list(wanted), abs=1e-12)
    own = compared.interval("bad", score)
    assert own is not None
    assert [own.low, own.high] == pytest.approx(
        list(np.quantile(drawn[1], [0.025, 0.975])), abs=1e-12
    )


def test_groups_are_drawn_whole_and_their_frames_pooled() -> None:
    values, weights = np.array([[0.1, 0.5, 0.9]]), np.array([[10.0, 30.0, 20.0]])
    counts = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = statistics.resampled_means(values, counts, groups=["a", "b", "a"], weights=weights)
    assert found[0] == pytest.approx([(1 + 18) / 30, (1 + 15 + 18) / 60])


def test_equal_trackers_of_unequal_sequences_differ_by_exactly_nothing() -> None:
    data = dataset()
    runs = [runs_of(data, name, 0.6) for name in ("one", "other")]
    found = score_runs(runs, data, protocols.get("gtot-tir"), resamples=200).differences
    assert {(one.mean, one.low, one.high, one.p) for one in found} == {(0.0, 0.0, 0.0, 1.0)}


def test_weights_are_stored_so_that_subsets_are_drawn_alike(compared: Comparison) -> None:
    read = Comparison.model_validate(json.loads(compared.model_dump_json()))
    (found,) = (
        one
        for one in bootstrap.subset_differences(read, [("bad", "good")])
        if (one.subset, one.score) == ("long", compared.primary.id)
    )
    good, bad = (one.subsets["long"].values[compared.primary.id] for one in compared.trackers)
    assert found.mean == pytest.approx(bad - good, abs=1e-12)


def test_runs_with_other_seeds_are_averaged_as_the_protocol_averages() -> None:
    data = dataset()
    runs = [
        replace(runs_of(data, f"t.run{k}", 0.5 + k / 2), facts={"run": k, "run_of": "t"})
        for k in (1, 2, 3)
    ]
    found = score_runs(runs, data, protocols.get("gtot-tir"), resamples=50)
    score = found.primary.id
    own = [one.values[score] for one in found.trackers]
    (spread,) = found.runs
    assert spread.means[score] == pytest.approx(np.mean(own), abs=1e-12)
    assert spread.deviations[score] == pytest.approx(np.std(own, ddof=1), abs=1e-12)
    interval = found.interval("t", score)
    assert interval is not None
    assert interval.mean == pytest.approx(np.mean(own), abs=1e-12)


def test_a_score_that_is_no_mean_over_sequences_has_no_interval_anywhere(tmp_path, capsys) -> None:
    sequences = tuple(
        replace(one, facts=FrameFacts(size_wh=(320, 240))) for one in dataset().sequences
    )
    data = replace(dataset(), sequences=sequences)
    runs = [runs_of(data, "good", 1.6), runs_of(data, "bad", 4.0)]
    found = score_runs(runs, data, protocols.get("vot-lt"), resamples=50)
    assert found.intervals == ()
    assert found.difference("bad", "good", "lt_f") is not None
    said = "No means over sequences: long-term F, long-term precision, long-term recall; they have"
    print_comparison(found)
    assert said in " ".join(capsys.readouterr().out.split())
    write_stored(tmp_path / "out" / "result.json", found)
    page = build_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    assert said in page
