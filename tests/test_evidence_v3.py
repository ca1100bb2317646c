"""Question 6 of docs/evidence_plan.md: what is counted of each tracker, and its tables."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from benchmarks.command import ROOT
from benchmarks.evidence import v3
from benchmarks.evidence.plan import read_plan
from benchmarks.evidence.v3 import attributes_of, by_attribute, facts_of
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.evaluation.results import SequenceRun

PLAN = read_plan()
V3_FIGURES = ROOT / "docs" / "figures" / "evidence" / "v3"


def test_kept_results_about_v3_are_of_the_weights_and_the_world_as_they_are(tmp_path):
    trackers = {"nano-rgb": "nano-rgb", "nano-tir": "nano-tir"}
    for name, place in product(trackers, v3.STARTS):
        found = json.loads((V3_FIGURES / f"{name}-{place}.json").read_text(encoding="utf-8"))
        assert found["identity"] == v3.identity_on(PLAN, tmp_path, name, place)


def test_causes_are_counted_on_the_target_alone():
    truth = np.array([[10.0, 10, 20, 20]] * 5)
    boxes = truth.copy()
    boxes[3, 2:] = 10  # half of the side, same corner
    boxes[4, :2] = 200
    start = LabelledSequence("s", truth, 1, lambda: iter(()))
    track = SequenceRun(boxes, np.ones(5), np.full(5, "tracking"), np.zeros(5))
    found = facts_of(track, start, PLAN.protocol)
    assert found["lost"] == pytest.approx(1 / 4)
    assert found["overlap_on_target"] == pytest.approx((1 + 1 + 0.25) / 3)
    assert found["size_ratio"] == 1.0


def test_attributes_are_medians_of_side_and_step():
    truth = np.array([[1.0, 1, 16, 4], [5.0, 1, 16, 4], [9.0, 1, 16, 4]])
    one = LabelledSequence("s", truth, 1, lambda: iter(()))
    assert attributes_of(one) == {"side_px": 8.0, "step_sides": 0.5}


def test_tables_of_v3_hold_every_tracker_and_its_difference_from_the_reference():
    def made(success: float) -> dict[str, object]:
        keys = (*v3.FACTS, *v3.ATTRIBUTES)
        rows = {f"s{n}": {"group": "a", **dict.fromkeys(keys, success + n)} for n in range(2)}
        return {"rows": rows, "score": dict.fromkeys(v3.SCORE_FACTS, 0.25)}

    success = {"nano-rgb": 0.5, "v3": 0.6, "nano-tir": 0.7}
    parts = {f"{name}-{place}": made(success[name]) for name, place in v3.PARTS}
    facts, differences = v3.v3_text(
        {place: v3.compared(parts, place) for place in v3.STARTS}
    ).split("\n\n")
    assert len(facts.splitlines()) == 2 + 9
    assert "| world, TIR | V3 as published | 1.100 |" in facts
    assert facts.splitlines()[-1].endswith("| 0.250 | 0.250 |")
    assert differences.splitlines()[3] == (
        "| RGB video, held back | `nano-tir`" + " | +0.200 [+0.200, +0.200]" * 3 + " |"
    )


def test_a_difference_is_split_at_the_median_of_an_attribute():
    def made(values: list[float]) -> dict[str, dict[str, float]]:
        return {f"s{n}": {"side_px": n, "success": one} for n, one in enumerate(values)}

    found = by_attribute(made([0.5, 0.6, 0.7, 0.8]), made([0.5] * 4), "side_px")
    assert found["lower_half"] == pytest.approx(0.05)
    assert found["upper_half"] == pytest.approx(0.25)
    assert found["rank_correlation"] == 1.0
