"""TRE, SRE, and the supervised and multi-start experiments of VOT: their official numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.protocols import vot_multistart, vot_supervised
from tirtrack.evaluation.protocols.base import SequenceScores, StartsProtocol
from tirtrack.evaluation.protocols.otb_starts import SRE_SHIFTS, shifted_box
from tirtrack.evaluation.vot_runs import FAILED, SKIPPED, STARTED

EAO_FLOAT32 = 5e-7  # of the VOT toolkit's curves, which are float32
MARKS = {0: SKIPPED, 1: STARTED, 2: FAILED}


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


@pytest.fixture(scope="module")
def ptb(golden: Path) -> dict[str, np.ndarray]:
    stored = np.load(golden / "ptb" / "annotations.npz")
    rows = np.split(stored["boxes"].astype(np.float64), stored["lengths"].cumsum()[:-1])
    return {str(name): one for name, one in zip(stored["names"], rows, strict=True)}


def starts_protocol(name: str) -> StartsProtocol:
    protocol = protocols.get(name)
    assert isinstance(protocol, StartsProtocol)
    return protocol


# --- TRE and SRE


def test_starts_of_tre_are_those_of_the_toolkit(golden: Path, ptb: dict[str, np.ndarray]) -> None:
    stored = json.loads((golden / "ptb" / "tre_sre.json").read_text())["tre_start_frames_1based"]
    assert len(stored) == 60
    protocol = starts_protocol("ptb-tir-tre")
    for name, frames in stored.items():
        found = [start.row + 1 for start in protocol.starts(ptb[name], None)]
        assert found == frames, name


def test_boxes_of_sre_are_those_of_the_toolkit(golden: Path, ptb: dict[str, np.ndarray]) -> None:
    stored = json.loads((golden / "ptb" / "tre_sre.json").read_text())
    stored = stored["sre_init_boxes_for_image_w480_h640"]
    assert stored["shift_types"][:12] == list(SRE_SHIFTS)
    protocol = starts_protocol("ptb-tir-sre")
    for name, boxes in stored["boxes"].items():
        found = [list(start.box or ()) for start in protocol.starts(ptb[name], (480, 640))]
        assert found == boxes[:12], name


def test_box_of_sre_without_a_known_frame_is_cut_at_1_alone() -> None:
    assert shifted_box(np.array([2.0, 2, 20, 20]), "left", None) == (1, 2, 20, 20)
    assert shifted_box(np.array([90.0, 2, 20, 20]), "right", (100, 50)) == (92, 2, 9, 20)


@pytest.mark.parametrize("row", [0, 1], ids=["jitter", "drift"])
@pytest.mark.parametrize("kind", ["tre", "sre"])
def test_frames_of_all_runs_of_a_sequence_count_together(
    golden: Path, ptb: dict[str, np.ndarray], kind: str, row: int
) -> None:
    stored = np.load(golden / "ptb" / "tre_sre.npz")
    tracker = ("jitter", "drift")[row]
    protocol = starts_protocol(f"ptb-tir-{kind}")
    scored = []
    for name in stored["sequences"]:
        starts = [start.row for start in protocol.starts(ptb[name], None)]
        lengths = [len(ptb[name]) - start for start in starts]
        boxes = stored[f"{kind.upper()}_boxes_{name}_{tracker}"] / 100.0
        assert len(boxes) == sum(lengths)
        passes = [
            protocol.score_sequence(name, result, ptb[name][start:])
            for result, start in zip(np.split(boxes, np.cumsum(lengths)[:-1]), starts, strict=True)
        ]
        scored.append(protocol.together(passes))
        assert scored[-1].frames == len(ptb[name]), "a sequence has its frames once"
    for curve, key in (("success", "overlap"), ("precision", "error")):
        found = np.stack([one.curves[curve] for one in scored])
        assert np.abs(found - stored[f"{kind.upper()}_{key}"][row]).max() == 0, curve
    official = json.loads((golden / "ptb" / "tre_sre.json").read_text())
    official = official["scores_over_8_sequences"][kind.upper()]
    values = protocol.average(scored).values
    for score in ("success", "precision"):
        assert values[score] == pytest.approx(official[score][tracker], abs=1e-15)


def test_tre_of_a_short_sequence_is_refused() -> None:
    with pytest.raises(DatasetError, match="TRE needs 20 frames, 19 are annotated"):
        starts_protocol("otb-tre").starts(np.full((19, 4), 5.0), None)


# --- VOT


def trajectory(stored: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[T,4]`` and marks ``[T]``."""
    boxes = [row if len(row) == 4 else [np.nan] * 4 for row in stored]
    marks = ["tracking" if len(row) == 4 else MARKS[row[0]] for row in stored]
    return np.array(boxes, dtype=np.float64), np.array(marks)


@pytest.mark.parametrize("tracker", ["A", "B", "C"])
def test_vot_supervised(golden: Path, tracker: str) -> None:
    stored = json.loads((golden / "vot" / "supervised.json").read_text())
    official = stored["trackers"][tracker]
    protocol = starts_protocol("vot-supervised")
    scored: list[SequenceScores] = []
    for name in stored["sequences"]:
        truth = np.array(stored["groundtruth"][name], dtype=np.float64)
        runs = []
        for run in official["trajectories"][name]:
            boxes, marks = trajectory(run)
            facts = FrameFacts(size_wh=tuple(stored["sizes"][name]), statuses=marks)
            runs.append(protocol.score_sequence(name, boxes, truth, facts=facts))
        values, expected = protocol.average(runs).values, official["per_sequence"][name]
        assert values["vot_accuracy"] == pytest.approx(expected["accuracy"], abs=1e-15)
        assert values["failures"] == expected["failures"]
        assert values["vot_reliability"] == pytest.approx(expected["ar_robustness"], abs=1e-15)
        found = [one.values["failures"] for one in runs]
        assert found == official["failures_per_run"][name]
        scored += runs
    values = protocol.average(scored).values
    assert values["vot_accuracy"] == pytest.approx(official["accuracy"], abs=1e-15)
    assert values["failures"] == pytest.approx(official["robustness_weighted_failures"], abs=1e-15)
    assert values["vot_reliability"] == pytest.approx(official["ar_robustness_S30"], abs=1e-15)
    curve = vot_supervised.overlap_curve(scored)
    np.testing.assert_allclose(curve, official["eao_curve"], rtol=0, atol=EAO_FLOAT32)
    eao = vot_supervised.expected_average_overlap(scored, low=50, high=120)
    assert eao == pytest.approx(official["eao_low50_high120"], abs=EAO_FLOAT32)
    assert np.isnan(values["eao"]), "no run reaches the interval of the benchmark"


@pytest.mark.parametrize("tracker", ["A", "B"])
def test_vot_multistart(golden: Path, tracker: str) -> None:
    stored = json.loads((golden / "vot" / "multistart.json").read_text())
    data = json.loads((golden / "vot" / "supervised.json").read_text())
    official = stored["trackers"][tracker]
    protocol = starts_protocol("vot-multistart")
    scored = []
    for name in stored["sequences"]:
        truth = np.array(data["groundtruth"][name], dtype=np.float64)
        found = {start.row: start.backward for start in protocol.starts(truth, None)}
        assert found == {int(row): way < 0 for row, way in stored["anchors"][name].items()}
        passes = []
        for row, backward in found.items():
            boxes, marks = trajectory(official["trajectories"][f"{name}_{row:08d}"])
            part = truth[: row + 1][::-1] if backward else truth[row:]
            facts = FrameFacts(size_wh=tuple(stored["sizes"][name]), statuses=marks)
            passes.append(protocol.score_sequence(name, boxes, part, facts=facts))
        whole = protocol.together(passes)
        expected = official["per_sequence"][name]
        assert whole.frames == expected["length"]
        assert whole.visible_frames == (truth[:, 2:] > 0).all(axis=1).sum()
        assert whole.values["vot_accuracy"] == pytest.approx(expected["accuracy"], abs=1e-15)
        assert whole.values["vot_robustness"] == pytest.approx(expected["robustness"], abs=1e-15)
        scored.append(whole)
    values = protocol.average(scored).values
    assert values["vot_accuracy"] == pytest.approx(official["accuracy"], abs=1e-15)
    assert values["vot_robustness"] == pytest.approx(official["robustness"], abs=1e-15)
    curve = vot_multistart.overlap_curve(scored, length=stored["curve_length"])
    assert np.abs(curve - np.array(official["eao_curve"])).max() <= 1e-15
    assert curve[30:].mean() == pytest.approx(official["eao_low30_high120"], abs=1e-15)


def test_a_run_of_one_pass_is_not_scored_as_a_supervised_one() -> None:
    box = np.array([[5.0, 5, 4, 4]] * 3)
    facts = FrameFacts(size_wh=(20, 20), statuses=np.full(3, "tracking"))
    for name in ("vot-supervised", "vot-supervised-legacy"):
        with pytest.raises(DatasetError, match="does not say where the tracker was started"):
            protocols.get(name).score_sequence("s", box, box, facts=facts)


def test_legacy_analysis_pools_frames_and_counts_failures_per_100() -> None:
    truth = np.array([[5.0, 5, 8, 8]] * 40)
    marks = np.array([STARTED] + ["tracking"] * 14 + [FAILED] + [SKIPPED] * 4 + [STARTED])
    marks = np.concatenate([marks, ["tracking"] * 19])
    boxes = np.where((marks == "tracking")[:, None], truth, np.nan)
    facts = FrameFacts(size_wh=(40, 40), statuses=marks)
    scored = protocols.get("vot-supervised-legacy").score_sequence("s", boxes, truth, facts=facts)
    assert scored.values["lost_number"] == 1
    assert scored.values["legacy_robustness"] == 2.5
    assert scored.values["vot_accuracy"] == 1.0
