"""The LSOTB-TIR and PTB-TIR protocols against the official toolkits' numbers: difference 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.protocols.base import SequenceScores
from tirtrack.evaluation.protocols.otb_core import (
    SCORES,
)
from tirtrack.evaluation.scoring import subset_results

NAN_CODE = -2147483648
MEASURES = {
    "success": "overlap",
    "precision": "center_error",
    "norm_precision": "norm_center_error",
}
CURVES = {"success": "overlap", "precision": "error", "norm_precision": "norm_error"}
BENCHMARKS = {"lsotb": "lsotb-tir", "ptb": "ptb-tir"}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


def boxes_of(stored: np.ndarray) -> np.ndarray:
    return np.where(stored == NAN_CODE, np.nan, stored / 100.0)


@pytest.mark.parametrize("tracker", ["jitter", "drift", "integer", "broken"])
@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_synthetic_boxes_give_the_toolkits_counts_and_scores(
    golden: Path, benchmark: str, tracker: str
) -> None:
    folder = golden / benchmark
    annotation = np.load(folder / "annotations.npz")
    counts = np.load(folder / "synthetic_counts.npz")
    boxes = boxes_of(np.load(folder / "synthetic_boxes.npz")[tracker])
    ends = annotation["lengths"].cumsum()[:-1]
    truths = np.split(annotation["boxes"].astype(np.float64), ends)
    protocol = protocols.get(BENCHMARKS[benchmark])
    scored = [
        protocol.score_sequence(str(name), result, truth)
        for name, result, truth in zip(
            annotation["names"], np.split(boxes, ends), truths, strict=True
        )
    ]
    row = list(counts["trackers"]).index(tracker)
    for curve in scored[0].curves:
        expected = counts[CURVES[curve]][row] / annotation["lengths"][:, None]
        found = np.stack([sequence.curves[curve] for sequence in scored])
        assert np.abs(found - expected).max() == 0, curve
    official = json.loads((folder / "synthetic_scores.json").read_text())[tracker]
    average = protocol.average(scored)
    for score in set(official) & {one.id for one in protocol.scores}:
        assert average.values[score] == official[score], score


def official_scores(stored: dict[str, np.ndarray], tracker: int, sequence: int) -> SequenceScores:
    """A tracker on a sequence by the benchmark's own counts."""
    length = int(stored["lengths"][sequence])
    return SequenceScores(
        str(stored["sequences"][sequence]),
        length,
        length,
        {c: stored[k][tracker, sequence] / length for c, k in CURVES.items()},
        {},
        {one.id: 0.0 for one in SCORES},
    )


@pytest.mark.parametrize("name", ["lsotb-tir", "lsotb-tir-119"])
def test_official_curves_of_37_trackers_average_to_the_printed_scores(
    golden: Path, name: str
) -> None:
    stored = dict(np.load(golden / "lsotb" / "official_37_counts.npz"))
    official = json.loads((golden / "lsotb" / "official_37_scores.json").read_text())[name]
    protocol = protocols.get(name)
    kept = [i for i, s in enumerate(stored["sequences"]) if protocol.includes(str(s))]
    assert len(kept) == (119 if name.endswith("119") else 120)
    for row, tracker in enumerate(stored["trackers"]):
        values = protocol.average([official_scores(stored, row, i) for i in kept]).values
        expected = official[str(tracker)]
        for score in ("success", "precision", "norm_precision"):
            assert values[score] == expected[score], (tracker, score)
        assert values["op50"] == expected["success_at_0.50"], tracker


def test_attributes_of_lsotb_tir_are_subsets_with_the_toolkits_scores(golden: Path) -> None:
    stored = dict(np.load(golden / "lsotb" / "official_37_counts.npz"))
    official = json.loads((golden / "lsotb" / "official_37_scores.json").read_text())
    expected = official["by_attribute_120 [success, precision, norm_precision]"]
    facts = json.loads((golden / "sequences" / "lsotb_tir.json").read_text())
    names = facts["attribute_order"]
    known = {s["name"]: dict(zip(names, s["attributes"], strict=True)) for s in facts["sequences"]}
    sequences = [
        LabelledSequence(
            str(name), np.empty((0, 4)), 1, lambda: iter(()), attributes=known[str(name)]
        )
        for name in stored["sequences"]
    ]
    for row, tracker in enumerate(stored["trackers"]):
        scored = [official_scores(stored, row, i) for i in range(len(sequences))]
        found = subset_results(sequences, scored, protocols.get("lsotb-tir"))
        assert set(found) == set(expected)
        for name, subset in found.items():
            assert subset.sequences == expected[name]["n"]
            values = [subset.values[one] for one in ("success", "precision", "norm_precision")]
            assert values == pytest.approx(expected[name][str(tracker)], abs=1e-12)


def numbers(rows: Any) -> np.ndarray:
    """JSON rows, in which null is NaN and "inf" infinite."""
    return np.array(
        [[np.nan if v is None else float(v) for v in row] for row in rows], dtype=np.float64
    )


def measured(result: np.ndarray, truth: np.ndarray) -> tuple[dict[str, np.ndarray], int]:
    """Measures of every frame by the core of the OTB family, and the number of repaired rows."""
    return protocols.get("lsotb-tir").measures("s", result, truth)


def edge_cases() -> list[str]:
    return [
        "clean", "identical", "short_by_3", "long_by_3", "nan_row", "partial_nan_x",
        "partial_nan_w", "zero_w", "negative_h", "zero_box", "chain_invalid",
        "first_and_second_nan", "first_wrong_second_invalid", "inf_row", "gt_absent_zero",
        "gt_absent_zero_pred_zero", "gt_nan", "gt_nan_pred_nan", "gt_x_zero", "gt_x_negative",
        "gt_w_zero", "gt_first_zero", "absent_flag_valid_box", "exact_ties", "all_lost",
        "two_frames",
    ]  # fmt: skip


@pytest.mark.parametrize("case", edge_cases())
def test_edge_case_is_measured_as_the_official_code_does(kept_goldens: Path, case: str) -> None:
    path = kept_goldens / "metrics" / "edge" / "otb_lasot_edge.json"
    stored = json.loads(path.read_text())["cases"]
    assert {entry["name"] for entry in stored} == set(edge_cases())
    entry = next(entry for entry in stored if entry["name"] == case)
    result, truth, official = numbers(entry["result"]), numbers(entry["gt"]), entry["otb_family"]
    if official.get("raises"):
        with pytest.raises(DatasetError, match="the result has"):
            protocols.get("lsotb-tir").score_sequence(case, result, truth)
        return
    protocol = protocols.get("lsotb-tir")
    measures, _ = protocol.measures(case, result, truth)
    for plot in protocol.plots:
        found, key = measures[plot.score.id], MEASURES[plot.score.id]
        np.testing.assert_array_equal(found, numbers([official[key]])[0], err_msg=key)
        counts = plot.curve(found) * len(truth)
        assert counts.tolist() == pytest.approx(official[f"{plot.score.id}_counts"], abs=1e-9)


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_annotation_as_result_scores_20_of_21_where_every_frame_is_valid(
    golden: Path, benchmark: str
) -> None:
    annotation = np.load(golden / benchmark / "annotations.npz")
    protocol = protocols.get(BENCHMARKS[benchmark])
    truths = np.split(annotation["boxes"].astype(np.float64), annotation["lengths"].cumsum()[:-1])
    for name, truth in zip(annotation["names"], truths, strict=True):
        scored = protocol.score_sequence(str(name), truth, truth)
        assert scored.visible_values["success"] == 20 / 21
        assert (scored.values["success"] == 20 / 21) == (scored.visible_frames == scored.frames)
        assert scored.values["precision"] == 1


def test_invalid_frames_are_success_misses_and_precision_hits_whatever_the_tracker_says() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 4)
    truth[2] = np.nan
    truth[3, 0] = 0
    for far in (truth[:1] + 500, truth[:1]):
        result = np.repeat(far, 4, axis=0)
        result[:2] = truth[:2]
        scored = protocols.get("lsotb-tir").score_sequence("s", result, truth)
        assert scored.curves["success"].tolist() == [0.5] * 20 + [0.0]
        assert (scored.curves["precision"] == 1).all()
        assert scored.visible_frames == 2
        assert scored.visible_values["success"] == 20 / 21


def test_visible_line_divides_by_visible_frames_alone() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 5)
    truth[3:] = np.nan
    result = truth.copy()
    result[1:] = [200, 200, 20, 20]
    scored = protocols.get("lsotb-tir").score_sequence("s", result, truth)
    assert scored.values["precision"] == 3 / 5
    assert scored.visible_values["precision"] == 1 / 3
    assert scored.visible_values["op50"] == 1 / 3


def test_sequence_starts_at_its_first_valid_row() -> None:
    truth = np.array([[0.0, 0, 0, 0], [np.nan] * 4, [5, 5, 10, 10], [6, 5, 10, 10]])
    scored = protocols.get("lsotb-tir").score_sequence("s", truth[2:], truth)
    assert scored.frames == 2
    assert scored.values["success"] == 20 / 21
    with pytest.raises(DatasetError, match="the result has 4 rows, the annotation 2"):
        protocols.get("lsotb-tir").score_sequence("s", truth, truth)


@pytest.mark.parametrize(
    ("length", "rows", "overlap_hits"),
    [("truncate", 6, 4), ("pad_last", 2, 4), ("pad_last", 6, 4)],
)
def test_length_modes_cut_or_pad(length: Any, rows: int, overlap_hits: int) -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 4)
    result = np.array([[10.0, 10, 20, 20]] * rows)
    scored = protocols.get("lsotb-tir").score_sequence("s", result, truth, length=length)
    assert scored.values["op50"] == overlap_hits / 4


def test_zero_padding_is_repaired_as_any_row_without_size() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 4)
    scored = protocols.get("lsotb-tir").score_sequence("s", truth[:2], truth, length="pad_zero")
    assert (scored.repaired_rows, scored.values["op50"]) == (2, 1.0)


@pytest.mark.parametrize(("length", "rows"), [("truncate", 2), ("pad_last", 0), ("strict", 2)])
def test_length_mode_that_cannot_mend_says_both_lengths(length: Any, rows: int) -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 4)
    with pytest.raises(DatasetError) as caught:
        protocols.get("ptb-tir").score_sequence("dog_S_001", truth[:rows], truth, length=length)
    assert str(caught.value) == (
        f"dog_S_001: the result has {rows} rows, the annotation 4; "
        "run the sequence again, or cut or pad it with --length"
    )


def test_first_row_is_replaced_but_not_counted_as_repaired() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 3)
    result = np.array([[0.0, 0, 0, 0], [np.nan] * 4, [10, 10, 20, 20]])
    measures, repaired_rows = measured(result, truth)
    assert repaired_rows == 1
    assert measures["success"].tolist()[::2] == [1.0, 1.0]


def test_repair_stops_where_the_annotation_is_nan() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 4)
    truth[2] = np.nan
    result = truth.copy()
    result[3] = np.nan
    measures, _ = measured(result, truth)
    assert measures["success"][2] == -1
    assert np.isnan(measures["success"][3])  # it copied row 2, which was left as it was


def test_all_zero_curves_are_left_out_of_the_mean() -> None:
    protocol = protocols.get("ptb-tir")
    truth = np.array([[10.0, 10, 20, 20]] * 2)
    good = protocol.score_sequence("a", truth, truth)
    empty = SequenceScores(
        "b", 2, 2, {c: 0 * v for c, v in good.curves.items()}, good.values, good.visible_values
    )
    assert protocol.average([good, empty]).values == protocol.average([good]).values


def test_ptb_has_no_normalised_precision() -> None:
    found = [one.id for one in protocols.get("ptb-tir").scores]
    assert found == ["success", "precision", "op50"]


def test_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(RequestError, match='did you mean "lsotb-tir"'):
        protocols.get("lsotb_tir")


def test_every_registered_protocol_keeps_the_contract() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 3)
    facts = FrameFacts(
        absent=np.zeros(3, dtype=bool),
        cover=np.full(3, 8),
        size_wh=(100, 80),
        second=truth,
        scores=np.ones(3),
        statuses=np.array(["started", "tracking", "tracking"]),
    )
    for name in protocols.names():
        protocol = protocols.get(name)
        assert isinstance(protocol, protocols.EvaluationProtocol)
        assert protocol.name == name
        scored = protocol.score_sequence("s", truth, truth, facts=facts)
        defined = [one.id for one in protocol.scores]
        unknown = {"eao"} - set(scored.values)  # of runs shorter than its interval
        assert list(scored.values) == [one for one in defined if one not in unknown]
        assert list(scored.visible_values) in (defined, [])
        assert list(protocol.average([scored]).values) == defined


def some_boxes(rows: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (rows, 4), elements=st.integers(1, 400).map(lambda v: v / 4))


@given(some_boxes(7), some_boxes(7))
def test_doubling_boxes_keeps_ratios_and_doubles_pixels(
    result: np.ndarray, truth: np.ndarray
) -> None:
    (plain, _), (twice, _) = measured(result, truth), measured(2 * result, 2 * truth)
    np.testing.assert_array_equal(twice["success"], plain["success"])
    np.testing.assert_allclose(twice["norm_precision"], plain["norm_precision"], atol=1e-9)
    np.testing.assert_allclose(twice["precision"], 2 * plain["precision"], atol=1e-9)


@given(some_boxes(7), some_boxes(7), st.integers(1, 300))
def test_moving_result_and_annotation_together_changes_nothing(
    result: np.ndarray, truth: np.ndarray, pixels: int
) -> None:
    moved = np.array([pixels, 2 * pixels, 0, 0])
    (plain, _), (shifted, _) = measured(result, truth), measured(result + moved, truth + moved)
    np.testing.assert_array_equal(shifted["success"], plain["success"])
    np.testing.assert_array_equal(shifted["precision"], plain["precision"])


@given(some_boxes(9), some_boxes(9), st.randoms(use_true_random=False))
def test_order_of_frames_after_the_first_does_not_matter(
    result: np.ndarray, truth: np.ndarray, random: Any
) -> None:
    order = [0, *random.sample(range(1, 9), 8)]
    protocol = protocols.get("lsotb-tir")
    plain = protocol.score_sequence("s", result, truth)
    permuted = protocol.score_sequence("s", result[order], truth[order])
    assert permuted.values == plain.values


@given(some_boxes(5), some_boxes(5))
def test_curves_are_monotone_shares(result: np.ndarray, truth: np.ndarray) -> None:
    curves = protocols.get("lsotb-tir").score_sequence("s", result, truth).curves
    assert (np.diff(curves["success"]) <= 0).all()
    assert (np.diff(curves["precision"]) >= 0).all()
    for curve in curves.values():
        assert ((curve >= 0) & (curve <= 1)).all()


def test_scoring_does_not_change_its_arguments() -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 3)
    result = np.array([[1.0, 1, 5, 5], [np.nan] * 4, [9, 9, 0, 0]])
    before = result.copy()
    protocols.get("lsotb-tir").score_sequence("s", result, truth)
    np.testing.assert_array_equal(result, before)


def test_order_of_sequences_does_not_change_a_score_beyond_rounding() -> None:
    protocol = protocols.get("lsotb-tir")
    rng = np.random.default_rng(3)
    truths = [rng.uniform(5, 60, (10, 4)) for _ in range(6)]
    scored = [
        protocol.score_sequence(str(i), t + rng.normal(0, 4, t.shape), t)
        for i, t in enumerate(truths)
    ]
    forth, back = protocol.average(scored), protocol.average(scored[::-1])
    assert forth.values == pytest.approx(back.values, abs=1e-15)


@pytest.mark.parametrize("protocol", protocols.names())
@pytest.mark.parametrize(
    "box",
    [
        pytest.param([1e300, 20, 20, 30], id="far right"),
        pytest.param([10, 20, 1e300, 1e300], id="large"),
        pytest.param([1e308] * 4, id="beyond float64"),
    ],
)
def test_a_number_of_any_size_is_a_bad_box_without_a_warning(
    protocol: str, box: list[float]
) -> None:
    truth = np.tile([10.0, 20, 20, 30], (30, 1))
    bad = truth.copy()
    bad[20] = box
    marks = np.array(["started", *["tracking"] * 29])
    facts = FrameFacts(
        absent=np.zeros(30, dtype=bool), cover=np.full(30, 8.0), size_wh=(100, 80),
        second=truth, scores=np.linspace(1, 0.5, 30), statuses=marks,
    )  # fmt: skip
    rules = protocols.get(protocol)
    name = next(iter(getattr(rules, "only", ())), "s")
    right, wrong = (
        rules.average([rules.score_sequence(name, boxes, truth, facts=facts)]).values
        for boxes in (truth, bad)
    )
    deciding = next(one for one in rules.scores if np.isfinite(right[one.id]))
    assert deciding.gain(wrong[deciding.id] - right[deciding.id]) < 0


def test_less_is_better_where_failures_are_counted() -> None:
    scores = {one.id: one for name in protocols.names() for one in protocols.get(name).scores}
    less = {key for key, one in scores.items() if not one.higher_is_better}
    assert less == {"failures", "legacy_robustness", "lost_number"}
