"""Resampling and tests against stored numbers, and against what they must mean."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tirtrack.evaluation import statistics
from tirtrack.evaluation.overlap import overlap, valid_rows
from tirtrack.evaluation.score_quality import (
    expected_calibration_error,
    presence_f,
    reliability,
    roc_auc,
    score_quality,
)

SCORES = {
    "success": ("overlap", lambda curve: curve.mean(axis=-1)),
    "precision": ("error", lambda curve: curve[:, 20]),
    "norm_precision": ("norm_error", lambda curve: curve.mean(axis=-1)),
}


@pytest.fixture(scope="module")
def stored(shared: Path):
    folder = shared / "golden" / "metrics"
    draws = np.load(folder / "stats" / "resamples.npz")
    counts = dict(np.load(folder / "lsotb" / "official_37_counts.npz"))
    golden = json.loads((folder / "stats" / "paired_statistics.json").read_text())
    values = {}
    for score, (key, reduce) in SCORES.items():
        for tracker in golden["trackers"]:
            row = list(counts["trackers"]).index(tracker)
            values[score, tracker] = reduce(counts[key][row] / counts["lengths"][:, None])
    return golden, values, draws["bootstrap_indices"].astype(int), draws["signs"]


@pytest.mark.parametrize("score", SCORES)
def test_intervals_tests_and_ranks_equal_the_stored_ones(stored, score: str) -> None:
    golden, values, indices, signs = stored
    expected, trackers = golden["results"][score], golden["trackers"]
    for tracker in trackers:
        interval = statistics.bootstrap_interval(values[score, tracker], indices)
        assert interval.mean == expected[tracker]["mean"]
        assert [interval.low, interval.high] == expected[tracker]["ci95_percentile"]
    p_values = {}
    for tracker in trackers[1:]:
        want = expected[f"{trackers[0]} - {tracker}"]
        d = values[score, trackers[0]] - values[score, tracker]
        found = statistics.paired_bootstrap(d, indices)
        assert (found.mean, found.p) == (want["mean_difference"], want["p_bootstrap"])
        assert [found.low, found.high] == want["ci95_percentile"]
        counts = (found.wins, found.ties, found.losses)
        assert counts == (want["wins"], want["ties"], want["losses"])
        signed = statistics.wilcoxon(d)
        assert signed.statistic == want["wilcoxon_statistic"]
        assert signed.p == pytest.approx(want["wilcoxon_p"], abs=1e-12)
        assert signed.rank_biserial == pytest.approx(want["rank_biserial"], abs=1e-12)
        p_values[tracker] = statistics.sign_flip_p_of(d, signs)
        assert p_values[tracker] == want["p_sign_flip"]
    holm = statistics.holm(p_values)
    assert holm == pytest.approx(expected["holm_adjusted_p_sign_flip"], abs=1e-12)
    ranks = statistics.rank_stability(np.stack([values[score, t] for t in trackers]), indices)
    for row, tracker in enumerate(trackers):
        assert ranks.first_share[row] == expected["fraction_ranked_first"][tracker]
        assert ranks.mean_rank[row] == pytest.approx(expected["mean_bootstrap_rank"][tracker])


def test_sign_flip_is_exact_for_fourteen_sequences_or_fewer() -> None:
    d = np.array([0.3, 0.1, -0.05, 0.2, 0.4])
    share = np.mean([abs(np.dot(s, d)) >= abs(d.sum()) - 1e-9 for s in product([-1, 1], repeat=5)])
    rng = np.random.default_rng(0)
    assert statistics.sign_flip_p(d, rng) == share
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_sign_flip_draws_for_more_and_repeats_for_a_seed() -> None:
    d = np.random.default_rng(1).normal(0.1, 1, 15)
    first = statistics.sign_flip_p(d, np.random.default_rng(5), resamples=500)
    assert first == statistics.sign_flip_p(d, np.random.default_rng(5), resamples=500)
    assert first * 501 == pytest.approx(round(first * 501))


def test_stratified_indices_stay_in_their_stratum() -> None:
    strata = ["V", "D", "V", "S", "D", "V"]
    indices = statistics.stratified_indices(strata, np.random.default_rng(0), resamples=200)
    labels = np.array(strata)
    assert (labels[indices] == labels).all()
    assert len(np.unique(indices[:, 0])) == 3
    assert (indices[:, 3] == 3).all()


def test_sets_weigh_the_same_whatever_their_size() -> None:
    sets = statistics.Sets.draw({"big": 4, "small": 1}, np.random.default_rng(0), resamples=50)
    found = sets.interval({"big": np.array([0.0, 0, 0, 0]), "small": np.array([1.0])})
    assert (found.mean, found.low, found.high) == (0.5, 0.5, 0.5)


def test_sets_average_seeds_in_a_sequence_first() -> None:
    sets = statistics.Sets.draw({"a": 3, "b": 2}, np.random.default_rng(0), resamples=300)
    rng = np.random.default_rng(1)
    a = {"a": rng.random((5, 3)), "b": rng.random((5, 2))}
    b = {"a": rng.random(3), "b": rng.random((2, 2))}
    found = sets.difference(a, b)
    flat = sets.difference(
        {name: values.mean(axis=0) for name, values in a.items()},
        {"a": b["a"], "b": b["b"].mean(axis=0)},
    )
    assert found == flat
    assert found.n == 5
    by_hand = np.mean([a["a"].mean() - b["a"].mean(), a["b"].mean() - b["b"].mean()])
    assert found.mean == pytest.approx(by_hand)
    assert found.low < found.mean < found.high


def test_sets_refuse_other_sets_and_sizes() -> None:
    sets = statistics.Sets.draw({"a": 3}, np.random.default_rng(0), resamples=5)
    with pytest.raises(ValueError, match="expected the sets"):
        sets.interval({"b": np.zeros(3)})
    with pytest.raises(ValueError, match="set a has 3 sequences, got 4"):
        sets.interval({"a": np.zeros(4)})


def test_swapping_trackers_mirrors_the_difference() -> None:
    rng = np.random.default_rng(2)
    d = rng.normal(0.02, 0.1, 30)
    indices = statistics.bootstrap_indices(30, rng, resamples=999)
    forth, back = (statistics.paired_bootstrap(x, indices) for x in (d, -d))
    assert (forth.mean, forth.low, forth.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert (forth.p, forth.wins, forth.losses) == (back.p, back.losses, back.wins)


def test_no_difference_in_reverse_is_zero_without_a_sign() -> None:
    none = statistics.ScoreDifference(a="a", b="b", mean=0.0, low=0.0, high=0.0, median=0.0)
    back = none.turned()
    zeros = (back.mean, back.low, back.high, back.median)
    assert [str(one) for one in zeros] == ["0.0"] * 4


def test_equal_trackers_differ_with_p_one() -> None:
    indices = statistics.bootstrap_indices(5, np.random.default_rng(0), resamples=99)
    found = statistics.paired_bootstrap(np.zeros(5), indices)
    assert (found.p, found.mean, found.low, found.high, found.ties) == (1.0, 0, 0, 0, 5)


def test_interval_covers_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        indices = statistics.bootstrap_indices(40, rng, resamples=400)
        found = statistics.bootstrap_interval(rng.normal(0.3, 1, 40), indices)
        covered += found.low <= 0.3 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_wilcoxon_without_any_difference_says_so() -> None:
    assert statistics.wilcoxon(np.zeros(4)) == statistics.Wilcoxon(0.0, 1.0, 0.0)


def test_holm_keeps_order_and_never_passes_one() -> None:
    adjusted = statistics.holm({"c": 0.9, "a": 0.01, "b": 0.02})
    assert adjusted == {"c": 0.9, "a": 0.03, "b": 0.04}
    assert statistics.holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_no_sequence_cannot_be_resampled() -> None:
    with pytest.raises(ValueError, match="at least one sequence"):
        statistics.bootstrap_indices(0, np.random.default_rng(0))


def test_auc_counts_ordered_pairs_with_ties_as_half() -> None:
    scores = np.array([0.9, 0.4, 0.4, 0.1])
    correct = np.array([True, True, False, False])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[correct] for b in scores[~correct]]
    assert roc_auc(scores, correct) == np.mean(pairs)
    assert roc_auc(1 - scores, correct) == 1 - np.mean(pairs)
    assert roc_auc(scores, np.ones(4, dtype=bool)) is None


def test_calibration_error_is_zero_for_honest_scores_and_large_for_boasts() -> None:
    scores = np.repeat([0.25, 0.75], 4)
    honest = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert expected_calibration_error(scores, honest) == 0
    assert expected_calibration_error(np.ones(4), np.zeros(4, dtype=bool)) == 1
    assert expected_calibration_error(np.zeros(0), np.zeros(0, dtype=bool)) is None


def test_overlap_of_one_half_is_not_yet_right() -> None:
    found = score_quality(np.array([0.9, 0.8, 0.7]), np.array([0.51, 0.5, 0.2]))
    assert found.correct == 1


def test_absent_frames_count_as_wrong_boxes() -> None:
    found = score_quality(np.array([0.9, 0.2, np.nan]), np.array([0.8, np.nan, 0.9]))
    assert (found.frames, found.correct, found.roc_auc) == (2, 1, 1.0)


def test_groups_of_one_sequence_are_the_bootstrap_over_sequences() -> None:
    d = np.random.default_rng(3).normal(0.02, 0.1, 30)
    indices = statistics.bootstrap_indices(30, np.random.default_rng(0), resamples=500)
    groups = [f"g{30 - k}" for k in range(30)]
    assert statistics.paired_bootstrap(d, indices, groups=groups) == statistics.paired_bootstrap(
        d, indices
    )


def test_groups_are_drawn_whole_and_weigh_by_their_sequences() -> None:
    d = np.array([0.1, 0.5, 0.3, -0.2, 0.4])
    groups = ["b", "a", "b", "a", "b"]
    indices = np.array([[0, 0], [0, 1], [1, 1]])  # b is the first that appears
    found = statistics.paired_bootstrap(d, indices, groups=groups)
    means = [d[[0, 2, 4, 0, 2, 4]].mean(), d.mean(), d[[1, 3, 1, 3]].mean()]
    low, high = np.quantile(means, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.mean == pytest.approx(d.mean())
    assert (found.n, found.wins, found.losses) == (5, 4, 1)


def test_unequal_groups_are_weighed_by_their_sequences() -> None:
    d = np.array([1.0, 0.0, 0.0, 0.0])
    found = statistics.paired_bootstrap(d, np.array([[0, 1]]), groups=["one", "two", "two", "two"])
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


def test_interval_over_groups_is_wider_where_groups_differ() -> None:
    rng = np.random.default_rng(5)
    d = np.repeat(rng.normal(0, 1, 10), 5) + rng.normal(0, 0.01, 50)
    groups = [f"g{k // 5}" for k in range(50)]
    one, other = (
        statistics.paired_bootstrap(
            d, statistics.bootstrap_indices(n, np.random.default_rng(0)), groups=labels
        )
        for n, labels in ((10, groups), (50, None))
    )
    ratio = (one.high - one.low) / (other.high - other.low)
    assert 1.9 < ratio < 2.4  # about the root of 5 sequences a group
    assert one.mean == other.mean


@pytest.mark.parametrize("score", SCORES)
def test_many_differences_at_once_equal_the_stored_ones(stored, score: str) -> None:
    golden, values, indices, _ = stored
    first, *others = golden["trackers"]
    differences = np.stack([values[score, first] - values[score, one] for one in others])
    counts = statistics.draw_counts(indices)
    found = statistics.paired_bootstraps(differences, counts)
    for other, one in zip(others, found, strict=True):
        want = golden["results"][score][f"{first} - {other}"]
        assert (one.mean, one.p) == (want["mean_difference"], want["p_bootstrap"])
        assert [one.low, one.high] == pytest.approx(want["ci95_percentile"], abs=1e-15)
        assert (one.wins, one.ties, one.losses) == (want["wins"], want["ties"], want["losses"])


@pytest.mark.parametrize("groups", [None, [f"g{k % 7}" for k in range(30)]], ids=["none", "some"])
def test_many_differences_at_once_equal_those_one_by_one(groups: list[str] | None) -> None:
    rng = np.random.default_rng(4)
    differences = rng.normal(0.02, 0.1, (2 * statistics._ROWS + 1, 30))
    indices = statistics.bootstrap_indices(7 if groups else 30, rng, resamples=99)
    counts = statistics.draw_counts(indices)
    found = statistics.paired_bootstraps(differences, counts, groups=groups)
    for row, one in zip(differences, found, strict=True):
        wanted = statistics.paired_bootstrap(row, indices, groups=groups)
        assert one.model_dump() == pytest.approx(wanted.model_dump(), abs=1e-15)


def pixels(boxes: np.ndarray) -> np.ndarray:
    """Stored boxes in pixels: int32 are hundredths of one."""
    return boxes / 100.0 if boxes.dtype == np.int32 else boxes.astype(np.float64)


@pytest.mark.parametrize("tracker", ["jitter", "drift"])
def test_presence_f_is_that_of_the_official_code(shared: Path, tracker: str) -> None:
    folder = shared / "golden" / "metrics"
    golden = json.loads((folder / "pytracking" / "prf.json").read_text())["trackers"][tracker]
    stored = np.load(folder / "got10k" / "got10k.npz")
    seen = np.load(folder / "pytracking" / "target_visible.npz")
    truth, boxes = (
        np.concatenate([pixels(stored[key.format(name)]) for name in golden["scores"]])
        for key in ("gt_{}", f"boxes_{tracker}_{{}}_001")
    )
    boxes[0] = truth[0]
    visible = np.concatenate([seen[name].astype(bool) for name in golden["scores"]])
    scores = np.concatenate(list(golden["scores"].values()))
    found = presence_f(scores, overlap(boxes, truth), valid_rows(truth) & visible)
    assert found is not None
    assert found.f == pytest.approx(golden["f1_max"], abs=1e-12)
    assert found.precision == pytest.approx(golden["precision_at_best"], abs=1e-12)
    assert found.recall == pytest.approx(golden["recall_at_best"], abs=1e-12)
    assert found.threshold in scores


def test_presence_f_is_one_where_the_score_knows_every_absence() -> None:
    present = np.array([True, False, True, False])
    found = presence_f(np.array([0.9, 0.2, 0.8, 0.1]), np.array([1.0, np.nan, 1.0, 0.5]), present)
    assert found is not None
    assert (found.f, found.precision, found.recall, found.threshold) == (1.0, 1.0, 1.0, 0.8)
    assert presence_f(np.ones(2), np.ones(2), np.zeros(2, dtype=bool)) is None


def test_reliability_curve_has_every_frame_in_one_bin() -> None:
    scores = np.array([0.0, 0.05, 0.55, 0.55, 1.0])
    found = reliability(scores, np.array([False, True, True, False, True]))
    assert [(one.frames, one.correct) for one in found] == [(2, 0.5), (2, 0.5), (1, 1.0)]
    assert [one.score for one in found] == pytest.approx([0.025, 0.55, 1.0])


def test_lost_frames_are_those_without_overlap_or_target() -> None:
    overlaps = np.array([0.1, 0.0, np.nan, 0.7])
    assert score_quality(np.array([0.8, 0.3, 0.2, 0.9]), overlaps).lost_auc == 1.0
    present = np.array([False, True, True, True])
    assert score_quality(np.array([0.8, 0.3, 0.2, 0.9]), overlaps, present).lost_auc == 1.0
    assert score_quality(np.array([0.8, 0.3, 0.2, 0.1]), overlaps, present).lost_auc == 0.0
