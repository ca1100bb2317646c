"""Every slip that a definition invites is caught by the golden numbers.

Each row changes one rule of a protocol; the check that the protocol passes must then fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_protocol_goldens as goldens
import test_protocols as otb_goldens

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation import protocols
from tirtrack.evaluation.overlap import center_error, valid_rows
from tirtrack.evaluation.protocols import one_pass
from tirtrack.evaluation.protocols.one_pass import OnePass

Slip = Callable[[OnePass], OnePass]


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


def rule(**changes: Any) -> Slip:
    """Other rules of the protocol itself."""
    return lambda protocol: replace(protocol, **changes)


def plot(number: int, **changes: Any) -> Slip:
    """Other rules of one of its plots."""

    def slip(protocol: OnePass) -> OnePass:
        plots = list(protocol.plots)
        plots[number] = replace(plots[number], **changes)
        return replace(protocol, plots=tuple(plots))

    return slip


def measure(number: int, **changes: Any) -> Slip:
    """Other rules of the measure of one of its plots."""
    return lambda protocol: plot(
        number, measure=replace(protocol.plots[number].measure, **changes)
    )(protocol)


def or_equal(number: int) -> Slip:
    """``>=`` for ``>``."""

    def slip(protocol: OnePass) -> OnePass:
        below = np.nextafter(protocol.plots[number].thresholds, -1)
        return plot(number, thresholds=below)(protocol)

    return slip


def below(number: int) -> Slip:
    """``<`` for ``<=``."""
    return plot(number, compare=np.less)


def without_plus_one(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Overlap whose last pixels are ``x + w - 1`` and whose extent lacks the 1."""
    ends, others = (one[:, :2] + one[:, 2:] - 1 for one in (boxes, annotation))
    sides = np.maximum(0, np.minimum(ends, others) - np.maximum(boxes[:, :2], annotation[:, :2]))
    shared = sides.prod(axis=1)
    areas = boxes[:, 2:].prod(axis=1) + annotation[:, 2:].prod(axis=1)
    return np.asarray(shared / (areas - shared))


def box_corner_error(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Distance of the top left corners."""
    return np.asarray(np.hypot(*(boxes - annotation)[:, :2].T))


def all_rows(annotation: np.ndarray) -> np.ndarray:
    return np.ones(len(annotation), dtype=bool)


def none_left_out(facts: FrameFacts, annotation: np.ndarray) -> np.ndarray:
    return np.zeros(len(annotation), dtype=bool)


OTB = {
    "greater or equal": or_equal(0),
    "less": below(1),
    "no plus one": measure(0, of=without_plus_one),
    "corners for centres": measure(1, of=box_corner_error),
    "norm. precision at 0.20": plot(2, read=20),
    "any NaN is repaired": rule(repairs=one_pass.no_size_or_any_nan),
    "NaN is not repaired": rule(repairs=one_pass.no_size),
    "zero sizes alone are repaired": rule(repairs=one_pass.zero_size),
    "nothing is repaired": rule(repairs=one_pass.nothing_to_repair),
    "first row of the tracker": rule(first_row_given=False),
    "first frame left out": rule(first_frame_counts=False),
    "invalid frames are precision misses": measure(1, if_invalid=np.inf),
    "invalid frames are measured": measure(0, valid=all_rows),
    "frames averaged": rule(pools_frames=True),
    "rounded boxes": rule(rounds=True),
    "precision as an area": plot(1, read="mean"),
    "success by trapezoids": plot(0, read="trapezoid"),
}

TIES = ("greater or equal", "less")
"""Slips that show where measures equal thresholds: the boxes with integers have many."""


@pytest.mark.parametrize("slip", OTB)
def test_slips_in_the_core_of_otb(golden: Path, slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = OTB[slip](goldens.protocol_of("lsotb-tir"))
    monkeypatch.setattr(protocols, "get", lambda name: broken)
    check = otb_goldens.test_synthetic_boxes_give_the_toolkits_counts_and_scores
    with pytest.raises(AssertionError):
        check(golden, "lsotb", "integer" if slip in TIES else "broken")


def ties_fall_on_the_documented_side(thresholds: dict[str, np.ndarray]) -> bool:
    """Whether measures at a threshold, or at the next number above it, count as they should."""
    exact = {
        "success": np.arange(21) * 0.05,
        "precision": np.arange(51.0),
        "norm_precision": np.arange(51) / 100,
    }
    for one in goldens.protocol_of("lsotb-tir").plots:
        changed = replace(one, thresholds=thresholds.get(one.score.id, one.thresholds))
        for k, value in enumerate(exact[one.score.id]):
            for measured, before in ((value, k), (np.nextafter(value, 2 * value + 1), k + 1)):
                hits = np.arange(len(one.thresholds)) < before
                found = changed.curve(np.array([measured])).astype(bool)
                if (found != (hits if one.score.id == "success" else ~hits)).any():
                    return False
    return True


@pytest.mark.parametrize(
    "grid",
    [
        pytest.param({"norm_precision": np.linspace(0, 0.5, 51)}, id="linspace"),
        pytest.param({"success": 1 - np.arange(20, -1, -1) * 0.05}, id="from the end"),
    ],
)
def test_thresholds_of_another_grid_move_frames_across_them(grid: dict[str, np.ndarray]) -> None:
    assert ties_fall_on_the_documented_side({})
    assert not ties_fall_on_the_documented_side(grid)


Check = Callable[[Path, OnePass], None]
LASOT: Check = partial(goldens.check_lasot, row=2)
GOT10K: Check = partial(goldens.check_got10k, tracker="jitter")
PYSOT: Check = partial(goldens.check_pysot, row=2)
RGBT234: Check = partial(goldens.check_two_annotations, name="rgbt234", tracker="drift")
GTOT: Check = partial(goldens.check_two_annotations, name="gtot", tracker="drift")
LASHER: Check = partial(goldens.check_lasher, tracker="zeros")
PYTRACKING_LASOT: Check = partial(goldens.check_pytracking, variant="lasot")
PYTRACKING_UAV: Check = partial(goldens.check_pytracking, variant="uav")
GOT10K_OTB: Check = partial(goldens.check_got10k_flavours, flavour="otb", tracker="drift")
GOT10K_LASOT: Check = partial(goldens.check_got10k_flavours, flavour="lasot", tracker="drift")

SLIPS: list[tuple[str, Check, str, Slip]] = [
    ("lasot", LASOT, "absent frames counted", measure(0, if_absent=None)),
    ("lasot", LASOT, "absent frames as precision hits", measure(1, if_absent=-1.0)),
    ("lasot", LASOT, "repair of OTB", rule(repairs=one_pass.no_size_or_all_nan)),
    ("lasot", LASOT, "norm. precision as an area", plot(2, read="mean")),
    ("got10k", GOT10K, "first frame counted", rule(first_frame_counts=True)),
    ("got10k", GOT10K, "not clipped", rule(clips=False)),
    ("got10k", GOT10K, "hidden frames counted", rule(left_out=none_left_out)),
    ("got10k", GOT10K, "sequences averaged", rule(pools_frames=False)),
    ("got10k", GOT10K, "area for the mean", plot(0, read="mean")),
    ("got10k-otb", GOT10K_OTB, "first row of the tracker, rounded", rule(rounds=True)),
    ("got10k-otb", GOT10K_OTB, "frames averaged", rule(pools_frames=True)),
    ("got10k-lasot", GOT10K_LASOT, "norm. precision at 0.20", plot(2, read=20)),
    ("got10k-lasot", GOT10K_LASOT, "error in pixels", measure(2, of=center_error)),
    ("pysot-ope", PYSOT, "first row given", rule(first_row_given=True)),
    ("pysot-ope", PYSOT, "box decides for precision", measure(1, valid=valid_rows)),
    ("pysot-ope", PYSOT, "norm. precision as an area", plot(2, read="mean")),
    ("pysot-ope", PYSOT, "centre decides for success", measure(0, valid=all_rows)),
    ("rgbt234", RGBT234, "not rounded", rule(rounds=False)),
    ("rgbt234", RGBT234, "one annotation", measure(0, best_of_two=None)),
    ("rgbt234", RGBT234, "worse of two", measure(1, best_of_two=np.fmax)),
    ("rgbt234", RGBT234, "frames averaged", rule(pools_frames=True)),
    ("gtot", GTOT, "sequences averaged", rule(pools_frames=False)),
    ("gtot", GTOT, "less or equal", plot(1, compare=np.less_equal)),
    ("gtot", GTOT, "mean of the points", plot(0, read="mean")),
    ("gtot", GTOT, "20 px", plot(1, read=40)),
    ("gtot", GTOT, "not rounded", rule(rounds=False)),
    ("lasher", LASHER, "not repaired", rule(repairs=one_pass.nothing_to_repair)),
    ("lasher", LASHER, "invalid frames as misses", measure(1, if_invalid=np.inf)),
    ("lasher", LASHER, "not rounded", rule(rounds=False)),
    ("lasher", LASHER, "frames averaged", rule(pools_frames=True)),
    ("lasot-pytracking", PYTRACKING_LASOT, "hidden targets counted", measure(0, if_absent=None)),
    ("lasot-pytracking", PYTRACKING_LASOT, "norm. hits", measure(2, if_absent=-1.0)),
    ("uav-pytracking", PYTRACKING_UAV, "precision misses", measure(1, if_invalid=np.inf)),
    ("uav-pytracking", PYTRACKING_UAV, "norm. precision as an area", plot(2, read="mean")),
]


@pytest.mark.parametrize(
    ("name", "check", "slip"),
    [pytest.param(name, check, slip, id=f"{name}: {said}") for name, check, said, slip in SLIPS],
)
def test_slips_in_other_protocols(golden: Path, name: str, check: Check, slip: Slip) -> None:
    with pytest.raises(AssertionError):
        check(golden, slip(goldens.protocol_of(name)))
