"""Anti-UAV, VOT and presence protocols against the numbers of their official code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.protocols import vot_lt
from tirtrack.evaluation.raster import raster_overlap


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


def rows(stored: list[Any]) -> np.ndarray:
    """``[T,4]`` of rows of four numbers; any other row is not a box."""
    return np.array([row if len(row) == 4 else [np.nan] * 4 for row in stored], dtype=np.float64)


# --- Anti-UAV


def antiuav_scores(golden: Path, name: str) -> tuple[dict[str, Any], list[Any]]:
    stored = json.loads((golden / "antiuav" / "antiuav.json").read_text())
    protocol = protocols.get(name)
    scored = [
        protocol.score_sequence(
            one["name"],
            rows(one["res"]),
            rows(one["gt_rect"]),
            facts=FrameFacts(absent=np.array(one["exist"]) == 0),
        )
        for one in stored["sequences"]
    ]
    return stored, scored


def test_antiuav410(golden: Path) -> None:
    stored, scored = antiuav_scores(golden, "antiuav410")
    for found, one in zip(scored, stored["sequences"], strict=True):
        assert found.values["state_accuracy"] == pytest.approx(one["SA_410"], abs=1e-15)
        assert found.values["success"] == pytest.approx(one["success_score_410"], abs=2e-16)
        assert found.values["precision"] == pytest.approx(one["precision_score_410"], abs=2e-16)
    values = protocols.get("antiuav410").average(scored).values
    assert values["state_accuracy"] == pytest.approx(stored["mean_SA_410"], abs=1e-15)
    assert values["success"] == pytest.approx(stored["success_410"], abs=2e-16)
    assert values["precision"] == pytest.approx(stored["precision_410"], abs=2e-16)


def test_antiuav_frames_that_do_not_count_as_usual(golden: Path) -> None:
    stored = json.loads((golden / "antiuav" / "antiuav.json").read_text())
    perfect = [5.0, 5.0, 4.0, 4.0]
    for case in stored["edge"]:
        scored = protocols.get("antiuav410").score_sequence(
            "s",
            rows([case["pred"], perfect]),
            rows([case["gt"], perfect]),
            facts=FrameFacts(absent=np.array([case["exist"] == 0, False])),
        )
        expected = case["two_frame_mean_with_a_perfect_second_frame"]
        assert scored.values["state_accuracy"] == expected, case


def test_antiuav_challenge(golden: Path) -> None:
    stored, scored = antiuav_scores(golden, "antiuav-challenge")
    for found, one in zip(scored, stored["sequences"], strict=True):
        expected = pytest.approx(one["accuracy_challenge_formula"], abs=1e-15)
        assert found.values["challenge_accuracy"] == expected
    values = protocols.get("antiuav-challenge").average(scored).values
    expected = pytest.approx(stored["mean_accuracy_challenge_formula"], abs=1e-15)
    assert values["challenge_accuracy"] == expected


def test_first_evaluator_of_antiuav_gives_nothing_for_absent_frames() -> None:
    box = [5.0, 5.0, 4.0, 4.0]
    for facts in (FrameFacts(absent=np.array([False, True])), FrameFacts()):
        first, later = (
            protocols.get(name).score_sequence("s", rows([box, []]), rows([box, []]), facts=facts)
            for name in ("antiuav-2020", "antiuav410")
        )
        assert first.values["state_accuracy"] == 0.5
        assert later.values["state_accuracy"] == 1.0


# --- presence


@pytest.mark.parametrize("tracker", ["jitter", "drift"])
def test_pytracking_prf(golden: Path, tracker: str) -> None:
    official = json.loads((golden / "pytracking" / "prf.json").read_text())["trackers"][tracker]
    visible = np.load(golden / "pytracking" / "target_visible.npz")
    stored = np.load(golden / "got10k" / "got10k.npz")
    protocol = protocols.get("pytracking-prf")
    scored = [
        protocol.score_sequence(
            name,
            stored[f"boxes_{tracker}_{name}_001"] / 100.0,
            stored[f"gt_{name}"].astype(np.float64),
            facts=FrameFacts(absent=visible[name] == 0, scores=np.array(official["scores"][name])),
        )
        for name in stored["sequences"]
    ]
    values = protocol.average(scored).values
    assert values["prf_f"] == pytest.approx(official["f1_max"], abs=1e-15)
    assert values["prf_precision"] == pytest.approx(official["precision_at_best"], abs=1e-15)
    assert values["prf_recall"] == pytest.approx(official["recall_at_best"], abs=1e-15)


def test_first_frame_of_the_first_sequence_alone_is_given() -> None:
    truth = np.full((2, 4), 5.0)
    boxes = truth + np.array([[100.0, 0, 0, 0], [0, 0, 0, 0]])
    protocol = protocols.get("pytracking-prf")
    one = protocol.score_sequence("s", boxes, truth, facts=FrameFacts(scores=np.array([1.0, 0.5])))
    assert one.values["prf_recall"] == 1.0
    assert protocol.average([one, one]).values["prf_recall"] == 0.75


# --- VOT


def test_overlap_of_400_pairs_by_pixels(kept_goldens: Path) -> None:
    stored = json.loads((kept_goldens / "metrics" / "vot" / "raster_overlap.json").read_text())
    pairs = stored["pairs"]
    assert len(pairs) == 400
    first, second = (np.array([pair[key] for pair in pairs]) for key in "ab")
    for key, size in (("unbounded", None), ("bounds_100x80", (100, 80))):
        expected = np.array([pair[key] for pair in pairs])
        np.testing.assert_array_equal(raster_overlap(first, second, size), expected, key)
    for case in stored["special_cases"]:
        shapes = [rows([[] if case[key] == "special" else case[key]]) for key in "ab"]
        assert raster_overlap(*shapes, (100, 80)).tolist() == [case["value"]], case


@pytest.mark.parametrize("tracker", ["conf", "abstain"])
def test_vot_long_term(golden: Path, tracker: str) -> None:
    stored = json.loads((golden / "vot" / "longterm.json").read_text())
    truth = json.loads((golden / "vot" / "supervised.json").read_text())["groundtruth"]
    official = stored["trackers"][tracker]
    protocol = protocols.get("vot-lt")
    scored = []
    for name in stored["sequences"]:
        absent = np.zeros(len(truth[name]), dtype=bool)
        absent[stored["absent_frames"][name]] = True
        facts = FrameFacts(
            absent=absent,
            size_wh=tuple(stored["sizes"][name]),
            scores=np.array(official["confidence"][name], dtype=np.float64),
        )
        boxes = rows(official["regions"][name])
        scored.append(protocol.score_sequence(name, boxes, rows(truth[name]), facts=facts))
    limits = vot_lt.thresholds(np.concatenate([one.measures["score"] for one in scored]))
    assert limits.tolist() == [float(one) for one in official["thresholds"]]
    curve = vot_lt.precision_and_recall(scored)[:, ::-1]
    assert np.abs(curve - np.array(official["curve_recall_precision"])).max() <= 1e-15
    values = protocol.average(scored).values
    assert values["lt_f"] == pytest.approx(official["f_max"], abs=1e-15)
    assert values["lt_precision"] == pytest.approx(official["precision_at_best"], abs=1e-15)
    assert values["lt_recall"] == pytest.approx(official["recall_at_best"], abs=1e-15)


def test_missing_facts_are_said() -> None:
    box = np.array([[5.0, 5.0, 4.0, 4.0]] * 3)
    with pytest.raises(DatasetError) as caught:
        protocols.get("lasot").score_sequence("s", box, box)
    assert str(caught.value) == (
        "s: lasot needs which frames have no target, which this sequence lacks; "
        "`tirtrack data verify` says what is missing; or choose another --protocol"
    )
