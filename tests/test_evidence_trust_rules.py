"""Whether what tracks say of themselves is compared with the truth as it should be."""

from __future__ import annotations

import pytest

from benchmarks.evidence.trust_rules import (
    RULES,
    SIGNS,
    by_ratio,
    by_truth,
    order_of,
    share,
    worth_of,
)


def facts(trusted: int, iou: float, followed: int = 10, frames: int = 10) -> dict[str, float]:
    said = {"followed": followed, "trusted": trusted, "counts": float(trusted)}
    return {**said, "on_target": 0, "frames": frames, "drawn": iou * frames, "boxes": 5 * trusted}


def recording(rgb: dict[str, float], tir: dict[str, float]) -> dict[str, dict[str, float]]:
    return {"rgb": rgb, "tir": tir, "both": tir}


def test_a_sign_is_right_where_it_prefers_the_modality_that_is_closer_to_the_truth():
    each = [
        recording(facts(2, 0.3), facts(8, 0.6)),
        recording(facts(9, 0.8), facts(4, 0.5)),
        recording(facts(9, 0.1), facts(7, 0.4)),
        recording(facts(5, 0.2), facts(5, 0.4)),
        recording(facts(0, 0.0), facts(5, 0.4)),
    ]
    found = order_of(each, share)
    assert (found["recordings"], found["told"], found["right"]) == (4, 3, 2)
    assert found["TIR is closer"] == 2
    assert 0 < found["rank correlation"]["mean"] < 1


def test_where_nothing_differs_there_is_no_rank_correlation():
    found = order_of([recording(facts(5, 0.5), facts(5, 0.5))] * 2, share)
    assert found["rank correlation"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


@pytest.mark.parametrize(
    ("rgb", "tir", "used"),
    [(4, 10, "tir"), (10, 4, "rgb"), (5, 10, "both"), (10, 5, "both"), (0, 0, "both")],
)
def test_a_modality_below_the_ratio_of_the_other_is_left_out(rgb, tir, used):
    assert by_ratio(recording(facts(rgb, 0.5), facts(tir, 0.5)), 0.5) == used


def test_the_better_by_truth_is_the_modality_that_is_closer_to_the_truth():
    assert by_truth(recording(facts(9, 0.2), facts(1, 0.3))) == "tir"


def test_a_rule_is_worth_what_its_boxes_are_above_those_of_both():
    each = [{**recording(facts(3, 0.2), facts(4, 0.6)), "both": facts(7, 0.4, frames=20)}] * 3
    found = worth_of(each, RULES["TIR"])
    assert (found["tracks"], found["mean IoU as drawn"]) == (12, 0.6)
    assert found["above both"] == {"mean": 0.2, "low": 0.2, "high": 0.2}
    assert worth_of(each, RULES["both"])["above both"]["mean"] == 0.0


def test_every_sign_is_higher_where_more_tracks_are_trusted():
    assert all(sign(facts(8, 0.5)) > sign(facts(2, 0.5)) for sign in SIGNS.values())
