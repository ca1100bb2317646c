"""Protocols of one pass against the numbers of their official code, to the stated differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.protocols.base import SequenceScores
from tirtrack.evaluation.protocols.one_pass import OnePass

NAN_CODE = -2147483648
FLOAT32 = 6e-8  # of a curve point of pytracking, which computes in float32


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


def boxes_of(stored: np.ndarray) -> np.ndarray:
    return np.where(stored == NAN_CODE, np.nan, stored / 100.0)


def protocol_of(name: str) -> OnePass:
    protocol = protocols.get(name)
    assert isinstance(protocol, OnePass)
    return protocol


def numbers(rows: Any) -> np.ndarray:
    """JSON rows, in which null is NaN and "inf" infinite."""
    return np.array(
        [[np.nan if v is None else float(v) for v in row] for row in rows], dtype=np.float64
    )


def stacked(scored: list[SequenceScores], curve: str) -> np.ndarray:
    return np.stack([one.curves[curve] for one in scored])


# --- LaSOT


def check_lasot(golden: Path, protocol: OnePass, row: int) -> None:
    stored = np.load(golden / "lasot" / "lasot.npz")
    tracker = str(stored["trackers"][row])
    scored = [
        protocol.score_sequence(
            name,
            boxes_of(stored[f"boxes_{tracker}_{name}"]),
            stored[f"gt_{name}"].astype(np.float64),
            facts=FrameFacts(absent=stored[f"absent_{name}"] == 1),
        )
        for name in stored["sequences"]
    ]
    for curve in ("success", "precision", "norm_precision"):
        assert np.abs(stacked(scored, curve) - stored[f"{curve}_curves"][row]).max() == 0, curve
    official = json.loads((golden / "lasot" / "lasot_scores.json").read_text())[tracker]
    values = protocol.average(scored).values
    assert values["success"] == pytest.approx(official["success_auc"], abs=1e-15)
    assert values["precision"] == pytest.approx(official["precision_at_20"], abs=1e-15)
    assert values["norm_precision"] == pytest.approx(official["norm_precision_at_0.20"], abs=1e-15)


@pytest.mark.parametrize("row", range(3), ids=["jitter", "drift", "broken"])
def test_lasot(golden: Path, row: int) -> None:
    check_lasot(golden, protocol_of("lasot"), row)


def test_lasot_edge_cases(kept_goldens: Path) -> None:
    path = kept_goldens / "metrics" / "edge" / "otb_lasot_edge.json"
    protocol = protocol_of("lasot")
    for entry in json.loads(path.read_text())["cases"]:
        official = entry["lasot"]
        result, truth = numbers(entry["result"]), numbers(entry["gt"])
        absent = np.array(entry["absent"]) == 1
        if official.get("raises"):
            with pytest.raises(DatasetError, match="the result has"):
                protocol.measures(entry["name"], result, truth, length="truncate")
            continue
        facts = FrameFacts(absent=absent)
        found, _ = protocol.measures(entry["name"], result, truth, length="truncate", facts=facts)
        assert official["denominator"] == len(truth)
        for plot in protocol.plots:
            key = plot.score.id
            counts = np.rint(plot.curve(found[key]) * len(truth)).astype(int)
            assert counts.tolist() == official[f"{key}_counts"], (entry["name"], key)
            measure = {"success": "overlap", "precision": "center_error"}.get(
                key, "norm_center_error"
            )
            expected = numbers([official[f"{measure}_present_frames"]])[0]
            np.testing.assert_array_equal(found[key][~absent], expected, err_msg=entry["name"])


# --- GOT-10k


def got10k_runs(
    golden: Path, tracker: str
) -> dict[str, list[tuple[np.ndarray, np.ndarray, FrameFacts]]]:
    """Repetitions by sequence: boxes, annotation and facts."""
    stored = np.load(golden / "got10k" / "got10k.npz")
    repetitions = [1, 2, 3] if tracker == "jitter" else [1]
    runs = {}
    for name, size in zip(stored["sequences"], stored["resolutions"], strict=True):
        facts = FrameFacts(cover=stored[f"cover_{name}"], size_wh=(int(size[0]), int(size[1])))
        truth = stored[f"gt_{name}"].astype(np.float64)
        runs[str(name)] = [
            (boxes_of(stored[f"boxes_{tracker}_{name}_{number:03d}"]), truth, facts)
            for number in repetitions
        ]
    return runs


def check_got10k(golden: Path, protocol: OnePass, tracker: str) -> None:
    scored = {
        name: [
            protocol.score_sequence(name, boxes, truth, facts=facts) for boxes, truth, facts in runs
        ]
        for name, runs in got10k_runs(golden, tracker).items()
    }
    official = json.loads((golden / "got10k" / "got10k_scores.json").read_text())["GOT10k_val"]
    average = protocol.average([one for runs in scored.values() for one in runs])
    overall = official[tracker]["overall"]
    assert average.values["ao"] == pytest.approx(overall["ao"], abs=4e-16)
    assert average.values["sr50"] == pytest.approx(overall["sr"], abs=4e-16)
    np.testing.assert_allclose(average.curves["ao"], overall["succ_curve"], rtol=0, atol=4e-16)
    for name, runs in scored.items():
        expected = official[tracker]["seq_wise"][name]
        assert protocol.average(runs).values["ao"] == pytest.approx(expected["ao"], abs=4e-16)


@pytest.mark.parametrize("tracker", ["jitter", "drift", "integer"])
def test_got10k(golden: Path, tracker: str) -> None:
    check_got10k(golden, protocol_of("got10k"), tracker)


def check_got10k_flavours(golden: Path, protocol: OnePass, flavour: str, tracker: str) -> None:
    path = golden / "got10k" / "got10k_otb_lasot_flavour.json"
    official = json.loads(path.read_text())[f"{flavour}_experiment"][tracker]
    scored = [
        protocol.score_sequence(name, runs[0][0], runs[0][1])
        for name, runs in got10k_runs(golden, tracker).items()
    ]
    words = {
        "success": "success",
        "precision": "precision",
        "norm_precision": "normalized_precision",
    }
    average = protocol.average(scored)
    for one in scored:
        for curve, points in one.curves.items():
            expected = official["seq_wise"][one.name][f"{words[curve]}_curve"]
            np.testing.assert_allclose(points, expected, rtol=0, atol=1e-16, err_msg=one.name)
    for curve in average.curves:
        expected = official["overall"][f"{words[curve]}_score"]
        assert average.values[curve] == pytest.approx(expected, abs=2e-16), curve
    assert average.values["op50"] == pytest.approx(official["overall"]["success_rate"], abs=2e-16)


@pytest.mark.parametrize("tracker", ["jitter", "drift", "integer"])
@pytest.mark.parametrize("flavour", ["otb", "lasot"])
def test_got10k_flavours(golden: Path, flavour: str, tracker: str) -> None:
    check_got10k_flavours(golden, protocol_of(f"got10k-{flavour}"), flavour, tracker)


# --- pytracking

RUNS = [("jitter", 1), ("jitter", 2), ("jitter", 3), ("drift", 1), ("integer", 1)]
VARIANTS = {
    "otb": "otb-pytracking",
    "lasot": "lasot-pytracking",
    "uav": "uav-pytracking",
    "lsotb_custom_no_visible": "otb-pytracking",
}


def check_pytracking(golden: Path, protocol: OnePass, variant: str) -> None:
    folder = golden / "pytracking"
    stored, visible = (
        np.load(folder / f"{variant}_curves.npz"),
        np.load(folder / "target_visible.npz"),
    )
    boxes = np.load(golden / "got10k" / "got10k.npz")
    official = json.loads((folder / "scores.json").read_text())[variant]["runs"]
    keys = {"success": "overlap", "precision": "center", "norm_precision": "center_norm"}
    words = {
        "AUC": "success",
        "OP50": "op50",
        "OP75": "op75",
        "Precision": "precision",
        "NormPrecision": "norm_precision",
    }
    for run, (tracker, number) in enumerate(RUNS):
        scored = []
        for name in boxes["sequences"]:
            absent = visible[name] == 0 if variant == "lasot" else None
            scored.append(
                protocol.score_sequence(
                    name,
                    boxes_of(boxes[f"boxes_{tracker}_{name}_{number:03d}"]),
                    boxes[f"gt_{name}"].astype(np.float64),
                    facts=FrameFacts(absent=absent),
                )
            )
        for curve, key in keys.items():
            difference = np.abs(stacked(scored, curve) - stored[key][:, run]).max()
            assert difference <= FLOAT32, (tracker, number, curve)
        values = protocol.average(scored).values
        for word, value in official[f"{tracker}_{number - 1:03d}"].items():
            assert 100 * values[words[word]] == pytest.approx(value, abs=1e-5), word


@pytest.mark.parametrize("variant", VARIANTS)
def test_pytracking(golden: Path, variant: str) -> None:
    check_pytracking(golden, protocol_of(VARIANTS[variant]), variant)


# --- pysot


def check_pysot(golden: Path, protocol: OnePass, row: int) -> None:
    stored = np.load(golden / "pysot" / "ptb_pysot_curves.npz")
    tracker = str(stored["trackers"][row])
    annotation = np.load(golden / "ptb" / "annotations.npz")
    boxes = boxes_of(np.load(golden / "ptb" / "synthetic_boxes.npz")[tracker])
    ends = annotation["lengths"].cumsum()[:-1]
    assert list(annotation["names"]) == list(stored["sequences"])
    scored = [
        protocol.score_sequence(str(name), result, truth)
        for name, result, truth in zip(
            annotation["names"],
            np.split(boxes, ends),
            np.split(annotation["boxes"].astype(np.float64), ends),
            strict=True,
        )
    ]
    for curve in ("success", "precision", "norm_precision"):
        assert np.abs(stacked(scored, curve) - stored[curve][row]).max() == 0, curve
    official = json.loads((golden / "pysot" / "ptb_pysot_scores.json").read_text())["scores"]
    values = protocol.average(scored).values
    for score, key in (
        ("success", "success"),
        ("precision", "precision_at_20"),
        ("norm_precision", "norm_precision_at_0.20"),
    ):
        assert values[score] == pytest.approx(official[tracker][key], abs=1e-15), score


@pytest.mark.parametrize("row", range(3), ids=["jitter", "drift", "integer"])
def test_pysot(golden: Path, row: int) -> None:
    check_pysot(golden, protocol_of("pysot-ope"), row)


# --- RGB-T


def ltwh(ltrb: np.ndarray) -> np.ndarray:
    return np.concatenate([ltrb[:, :2], ltrb[:, 2:] - ltrb[:, :2]], axis=1)


def check_two_annotations(golden: Path, protocol: OnePass, name: str, tracker: str) -> None:
    stored = np.load(golden / "rgbt" / f"{name}.npz")

    def truth(modality: str, sequence: str) -> np.ndarray:
        if name == "gtot":
            return ltwh(boxes_of(stored[f"gt{modality}_ltrb_{sequence}"]))
        return boxes_of(stored[f"gt{modality}_{sequence}"])

    scored = [
        protocol.score_sequence(
            sequence,
            boxes_of(stored[f"boxes_{tracker}_{sequence}"]),
            truth("i", sequence),
            facts=FrameFacts(second=truth("v", sequence)),
        )
        for sequence in stored["sequences"]
    ]
    average = protocol.average(scored)
    scores = json.loads((golden / "rgbt" / "scores.json").read_text())
    official = next(value for key, value in scores.items() if key.startswith(name))[tracker]
    assert average.values["mpr"] == pytest.approx(official["MPR"], abs=2e-16)
    assert average.values["msr"] == pytest.approx(official["MSR"], abs=2e-16)
    for curve in ("mpr", "msr"):
        points = stored[f"{curve}_curve_{tracker}"]
        found = stacked(scored, curve)
        if name == "gtot":  # frames of a sequence over the mean number of frames
            lengths = np.array([one.frames for one in scored])
            found = found * lengths[:, None] / lengths.mean()
        np.testing.assert_allclose(found, points, rtol=2.5e-16, atol=2e-16)
        np.testing.assert_allclose(average.curves[curve], points.mean(axis=0), rtol=0, atol=5e-16)


@pytest.mark.parametrize("tracker", ["jitter", "drift"])
@pytest.mark.parametrize("name", ["gtot", "rgbt234"])
def test_two_annotations(golden: Path, name: str, tracker: str) -> None:
    check_two_annotations(golden, protocol_of(name), name, tracker)


def check_lasher(golden: Path, protocol: OnePass, tracker: str) -> None:
    stored = np.load(golden / "rgbt" / "lasher.npz")
    scored = [
        protocol.score_sequence(
            name,
            boxes_of(stored[f"boxes_{tracker}_{name}"]),
            boxes_of(stored[f"gt_{name}"]),
        )
        for name in stored["sequences"]
    ]
    average = protocol.average(scored)
    official = json.loads((golden / "rgbt" / "scores.json").read_text())["lasher_18seq"][tracker]
    for score, word in (("success", "SR"), ("precision", "PR"), ("norm_precision", "NPR")):
        assert average.values[score] == pytest.approx(official[word], abs=2e-16), score
        points = stored[f"{word.lower()}_curve_{tracker}"]
        assert np.abs(stacked(scored, score) - points).max() <= 2e-16, score


@pytest.mark.parametrize("tracker", ["jitter", "drift", "zeros"])
def test_lasher(golden: Path, tracker: str) -> None:
    check_lasher(golden, protocol_of("lasher"), tracker)


# --- LSOTB-TIR of 2023


@pytest.mark.parametrize("part", ["short", "long"])
def test_lists_of_2023_are_those_of_the_benchmark(golden: Path, part: str) -> None:
    facts = json.loads((golden / "sequences" / f"lsotb_tir_2023_{part}.json").read_text())
    protocol = protocol_of(f"lsotb-tir-2023-{part}")
    assert protocol.only == {one["name"] for one in facts["sequences"]}
    assert not protocol.includes("car_D_001")
