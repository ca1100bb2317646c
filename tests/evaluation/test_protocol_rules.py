"""The rules of every protocol of plots, each shown by a few frames, with numbers worked by hand.

The table says the rules as the definitions do; the golden numbers of the official code hold for all
of them together, and do not meet every case of every rule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation import protocols
from tirtrack.evaluation.overlap import continuous_overlap, overlap
from tirtrack.evaluation.protocols.base import SequenceScores

BOX = [12.0, 12.0, 20.0, 20.0]
FAR = [300.0, 200.0, 20.0, 20.0]
NAN = float("nan")
BAD_ROWS = {
    "no width": [12.0, 12.0, 0.0, 20.0],
    "no height": [12.0, 12.0, 20.0, 0.0],
    "negative": [12.0, 12.0, -3.0, 20.0],
    "NaN": [NAN, NAN, NAN, NAN],
    "NaN width": [12.0, 12.0, NAN, 20.0],
}
FLAT, NO_SIZE = {"no width", "no height"}, {"no width", "no height", "negative"}


@dataclass(frozen=True)
class Rules:
    """The rules of a protocol.

    Attributes:
        repaired: bad rows of a result that become the row before.
        refused: those that end the scoring.
        first: whether the first row of a result is ``given`` or its ``own``, or its frame is
            ``left out``.
        invalid: as what a frame counts whose annotated box touches 0, in the plots of success,
            precision and normalised precision: as ``miss``, ``hit`` or ``measured``.
        flagged: the same of a frame that the flags say is without the target.
        pooled: whether frames are averaged; else sequences.
        rounded: which boxes are rounded: of the ``result``, or ``both``.
        norm: reading of normalised precision.
    """

    repaired: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    first: str = "given"
    invalid: tuple[str, ...] = ("measured",) * 3
    flagged: tuple[str, ...] = ("measured",) * 3
    pooled: bool = False
    rounded: str = ""
    norm: str = "at 0.20"


MISS, HIT = "miss", "hit"
CORE = Rules(repaired=frozenset({*NO_SIZE, "NaN"}), invalid=(MISS, HIT, HIT), norm="area")
PYTRACKING = Rules(
    repaired=frozenset(FLAT),
    refused=frozenset({"negative", "NaN", "NaN width"}),
    invalid=(MISS, MISS, HIT),
    flagged=(MISS, MISS, HIT),
)
TWO = Rules(first="own", rounded="result")
RULES = {
    **dict.fromkeys(("lsotb-tir", "lsotb-tir-119", "lsotb-tir-2023-short"), CORE),
    **dict.fromkeys(("lsotb-tir-2023-long", "ptb-tir", "otb"), CORE),
    "lasot": replace(
        CORE, repaired=frozenset(BAD_ROWS), flagged=(MISS, MISS, MISS), norm="at 0.20"
    ),
    "otb-pytracking": PYTRACKING,
    "lasot-pytracking": replace(PYTRACKING, flagged=(MISS, MISS, MISS)),
    "uav-pytracking": replace(PYTRACKING, invalid=(MISS, HIT, HIT), flagged=(MISS, HIT, HIT)),
    "pysot-ope": Rules(
        first="own", invalid=(MISS, "measured", "measured"), flagged=(MISS, MISS, MISS)
    ),
    "got10k": Rules(first="left out", pooled=True),
    "got10k-otb": Rules(),
    "got10k-lasot": Rules(norm="area"),
    "lasher": Rules(repaired=frozenset(NO_SIZE), invalid=(MISS, HIT, HIT), rounded="both"),
    "rgbt234": TWO,
    "rgbt234-tir": TWO,
    "rgbt210": replace(TWO, first="given"),
    "gtot": replace(TWO, pooled=True),
    "gtot-tir": replace(TWO, pooled=True),
    "antiuav410": Rules(invalid=(MISS, HIT)),
}
every_protocol = pytest.mark.parametrize("name", RULES)


def scored(name: str, result: Any, truth: Any, **facts: Any) -> SequenceScores:
    """A run under a protocol, with the facts that it needs."""
    truth = np.array(truth, dtype=np.float64)
    known = {
        "absent": np.zeros(len(truth), dtype=bool),
        "cover": np.full(len(truth), 8),
        "size_wh": (640, 480),
        "second": truth,
    }
    needs = (*protocols.get(name).needs, *(["absent"] if name == "antiuav410" else []))
    facts = {key: known[key] for key in needs} | facts
    return protocols.get(name).score_sequence(
        "s", np.array(result, dtype=np.float64), truth, facts=FrameFacts(**facts)
    )


def shares(one: Any, name: str) -> list[float]:
    """The shares of frames that overlap at all, within 20 px (GTOT: 5) and within 0.20 sizes."""
    points = [0, 10 if name.startswith("gtot") else 20, 20]
    curves = list(one.curves.values())
    return [float(curve[point]) for curve, point in zip(curves, points, strict=False)]


def counted(name: str, rules: tuple[str, ...], result: list[float]) -> list[float]:
    """Whether a frame counts in each plot, if it is measured right or wrong."""
    right = 1.0 if result != FAR else 0.0
    plots = len(scored(name, [BOX] * 2, [BOX] * 2).curves)
    return [{MISS: 0.0, HIT: 1.0}.get(rule, right) for rule in rules][:plots]


def test_every_protocol_of_plots_is_in_the_table() -> None:
    with_plots = {one for one in protocols.names() if getattr(protocols.get(one), "plots", None)}
    assert set(RULES) == with_plots - {"ptb-tir-tre", "ptb-tir-sre", "otb-tre", "otb-sre"}


@every_protocol
def test_first_frame(name: str) -> None:
    found = shares(scored(name, [FAR, BOX, BOX, FAR], [BOX] * 4), name)
    expected = {"given": 3 / 4, "own": 2 / 4, "left out": 2 / 3}[RULES[name].first]
    assert found == [expected] * len(found)


@every_protocol
@pytest.mark.parametrize("bad", BAD_ROWS)
def test_bad_rows(name: str, bad: str) -> None:
    result = [BOX, BOX, BAD_ROWS[bad], BAD_ROWS[bad], BOX]
    if bad in RULES[name].refused:
        with pytest.raises(DatasetError, match=r"s, row 3: .* scores no result with NaN or"):
            scored(name, result, [BOX] * 5)
        return
    one = scored(name, result, [BOX] * 5)
    is_repaired = bad in RULES[name].repaired
    frames = 4 if RULES[name].first == "left out" else 5
    assert shares(one, name)[0] == (frames if is_repaired else frames - 2) / frames
    assert one.repaired_rows == (2 if is_repaired else 0)


@every_protocol
@pytest.mark.parametrize("place", [0, 1], ids=["left", "top"])
@pytest.mark.parametrize("right", [True, False])
def test_frame_whose_annotated_box_touches_0(name: str, place: int, right: bool) -> None:
    truth = np.array([BOX] * 5)
    truth[2, place] = 0
    result = truth.tolist()
    if not right:
        result[2] = FAR
    one = scored(name, result, truth)
    frames = 4 if RULES[name].first == "left out" else 5
    expected = counted(name, RULES[name].invalid, result[2])
    assert shares(one, name) == [(frames - 1 + value) / frames for value in expected]


@pytest.mark.parametrize(
    "name", sorted(set(RULES) - {"got10k", "antiuav410"})
)  # by cover, by no box
@pytest.mark.parametrize("result", [BOX, FAR], ids=["right", "wrong"])
def test_frame_that_is_flagged_as_without_the_target(name: str, result: list[float]) -> None:
    absent = np.array([False, False, True, False])
    one = scored(name, [BOX, BOX, result, BOX], [BOX] * 4, absent=absent)
    expected = counted(name, RULES[name].flagged, result)
    assert shares(one, name) == [(3 + value) / 4 for value in expected]
    if RULES[name].flagged[0] == MISS:
        assert one.visible_frames == 3
        assert next(iter(one.visible_values.values())) == pytest.approx(20 / 21)


@every_protocol
def test_average(name: str) -> None:
    short = scored(name, [BOX] * 3, [BOX] * 3)
    long = scored(name, [FAR] * 9, [BOX] * 9)
    found = shares(protocols.get(name).average([short, long]), name)[0]
    first = {"given": 1, "own": 0, "left out": 0}[RULES[name].first]
    skipped = RULES[name].first == "left out"
    pooled = (3 - skipped + first) / (12 - 2 * skipped)
    expected = pooled if RULES[name].pooled else (1 + first / 9) / 2
    assert found == pytest.approx(expected, abs=1e-15)


def second_counts(name: str, curve: np.ndarray, point: int) -> bool:
    """Whether the second of two frames counts at a point of a curve; the first is right."""
    share = float(curve[point])
    return bool(share if RULES[name].first == "left out" else 2 * share - 1)


@every_protocol
def test_overlap_at_a_threshold_is_no_success(name: str) -> None:
    curve = next(iter(scored(name, [BOX, [12.0, 12.0, 20.0, 10.0]], [BOX] * 2).curves.values()))
    half = (len(curve) - 1) // 2
    assert [second_counts(name, curve, point) for point in (half - 1, half)] == [True, False]


@every_protocol
def test_error_at_a_threshold_is_a_hit_but_for_gtot(name: str) -> None:
    is_gtot = name.startswith("gtot")
    point, pixels = (10, 5) if is_gtot else (20, 20)
    moved = [12.0 + pixels, 12.0, 20.0, 20.0]
    curves = list(scored(name, [BOX, moved], [BOX] * 2).curves.values())
    for curve in curves[1:2]:
        found = [second_counts(name, curve, one) for one in (point - 1, point, point + 1)]
        assert found == [False, not is_gtot, True]


@pytest.mark.parametrize("name", ["lsotb-tir", "lasot", "otb-pytracking", "got10k-lasot"])
def test_normalised_error_at_a_threshold_is_a_hit(name: str) -> None:
    truth = [16.0, 16.0, 32.0, 32.0]
    one = scored(name, [truth, [16.0, 24.0, 32.0, 32.0]], [truth] * 2)  # 8 of 32 px
    found = [second_counts(name, one.curves["norm_precision"], point) for point in (24, 25)]
    assert found == [False, True]


@every_protocol
def test_readings_of_both_precisions(name: str) -> None:
    truth = [[100.0, 100.0, 40.0, 40.0]] * 6
    if name.startswith("gtot"):  # errors of 4.7 and 5.2 px, as it rounds results alone
        truth[2:4] = [[100.3, 100.0, 40.0, 40.0], [99.8, 100.0, 40.0, 40.0]]
    near, over = (5, 5) if name.startswith("gtot") else (20, 21)
    result = [[100.0 + one, 100.0, 40.0, 40.0] for one in (0, 0, near, over, 200, 200)]
    one = scored(name, result, truth)
    precision = next((one.values[key] for key in ("precision", "mpr") if key in one.values), 0.5)
    assert precision == 3 / 6
    if "norm_precision" in one.values:
        result = [[100.0 + one, 100.0, 40.0, 40.0] for one in (0, 0, 6.2, 10.2, 200, 200)]
        found = scored(name, result, truth).values["norm_precision"]
        area = (51 + 51 + 35 + 25) / 51 / 6  # 6.2 px are 0.155 sizes, 10.2 px 0.255
        assert found == pytest.approx({"at 0.20": 3 / 6, "area": area}[RULES[name].norm])


@every_protocol
def test_success_is_the_mean_of_21_points_but_for_two_families(name: str) -> None:
    """Overlap 1 counts at 20 of 21 points, half of it at 10; by trapezoids that is 0.975, 0.475."""
    half = [12.0, 12.0, 20.0, 10.0]
    one = scored(name, [BOX, BOX, half, half], [BOX] * 4)
    score = next(key for key in ("success", "msr", "ao") if key in one.values)
    expected = (20 + 20 + 10 + 10) / 21 / 4
    if name.startswith("gtot"):
        expected = (0.975 + 0.475) / 2
    if name == "got10k":  # the mean of the overlap itself, without the first frame
        expected = (1 + 0.5 + 0.5) / 3
    assert one.values[score] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["lsotb-tir", "lasot", "pysot-ope", "got10k-otb", "got10k"])
def test_points_of_the_success_curve(name: str) -> None:
    truth = [[10.0, 10.0, 100.0, 10.0]] * 5
    result = [[10.0, 10.0, width, 10.0] for width in (100.0, 49.5, 50.5, 74.5, 75.5)]
    values = scored(name, result, truth).values
    if name == "got10k":
        assert (values["sr50"], values["sr75"]) == (3 / 4, 1 / 4)
    else:
        assert values["op50"] == 4 / 5


def test_pytracking_has_the_share_above_three_quarters_too() -> None:
    truth = [[10.0, 10.0, 100.0, 10.0]] * 3
    result = [[10.0, 10.0, width, 10.0] for width in (100.0, 74.0, 76.0)]
    values = scored("otb-pytracking", result, truth).values
    assert (values["op50"], values["op75"]) == (1, 2 / 3)


@every_protocol
def test_rounding(name: str) -> None:
    """Boxes of 8 px that are half a pixel off overlap by 7.5/8.5; 10.5 becomes 10, halves to even.

    Halves up would make it 11, and the overlap 7/9.
    """
    whole, off = [10.0, 10.0, 8.0, 8.0], [10.5, 10.0, 8.0, 8.0]
    for result, truth, becomes in ((off, whole, ("result", "both")), (whole, off, ("both",))):
        one = scored(name, [whole, result], [whole, truth])
        curve = next(iter(one.curves.values()))
        at_090 = 90 if name == "got10k" else 18
        assert second_counts(name, curve, at_090) == (RULES[name].rounded in becomes)


# --- rules of few


def test_two_boxes_without_area_and_numbers_that_are_nan() -> None:
    flat, nan_x, box = np.zeros((1, 4)), np.array([[NAN, 12, 20, 20]]), np.array([BOX])
    assert np.isnan(overlap(flat, flat)).all()
    assert continuous_overlap(flat, flat, epsilon=2.2e-16).tolist() == [0]
    assert overlap(nan_x, box).tolist() == [1]  # MATLAB's min and max pass over NaN
    assert overlap(nan_x, nan_x).tolist() == [0]
    assert np.isnan(continuous_overlap(nan_x, box)).all()


@pytest.mark.parametrize("name", ["pysot-ope", "got10k", "got10k-otb"])
def test_no_overlap_is_above_1(name: str) -> None:
    decimals = [[0.1, 0.1, 0.2, 0.2]] * 3  # 0.1 + 0.2 - 0.1 exceeds 0.2
    curve = next(iter(scored(name, decimals, decimals).curves.values()))
    assert (curve[-2], curve[-1]) == (1, 0)


@pytest.mark.parametrize("name", ["got10k", "got10k-otb", "antiuav410"])
def test_thresholds_of_the_toolkit_s_linspace(name: str) -> None:
    """At some k the grid is k * step, at others not; a share of k/N px falls as it says."""
    points = 101 if name == "got10k" else 21
    widths = np.arange(1, points - 1) * (1.0 if points == 101 else 5.0)
    truth = [[10.0, 10.0, 100.0, 10.0]] * (1 + len(widths))
    result = [truth[0], *([10.0, 10.0, width, 10.0] for width in widths)]
    curve = next(iter(scored(name, result, truth).curves.values()))
    overlaps = np.array([1.0, *(widths * 10 / 1000)])[(name == "got10k") :]
    expected = [(overlaps > limit).mean() for limit in np.linspace(0, 1, points)]
    np.testing.assert_allclose(curve, expected, rtol=0, atol=1e-15)


def test_got10k_counts_frames_that_show_something() -> None:
    one = scored("got10k", [BOX, BOX, FAR, FAR], [BOX] * 4, cover=np.array([8, 1, 0, 8]))
    assert one.values["ao"] == 1 / 2
    assert one.weights["ao"] == 2


def test_got10k_moves_a_box_over_the_left_edge_to_the_right() -> None:
    """``-10,0,20,20`` becomes ``0,0,20,20``, and over the right edge a box is cut."""
    truth = [BOX, [0.0, 0.0, 20.0, 20.0], [60.0, 0.0, 40.0, 20.0]]
    result = [BOX, [-10.0, 0.0, 20.0, 20.0], [60.0, 0.0, 90.0, 20.0]]
    assert scored("got10k", result, truth, size_wh=(100, 80)).values["ao"] == 1


def test_lasot_of_the_got10k_package_leaves_out_nan_and_divides_by_1_px_at_least() -> None:
    truth = [BOX, BOX, [NAN, 12.0, 20.0, 20.0], [100.0, 100.0, 0.5, 20.0]]
    result = [BOX, FAR, FAR, [100.3, 100.0, 0.5, 20.0]]  # 0.3 px: 0.3 sizes of 1 px, not 0.6
    one = scored("got10k-lasot", result, truth)
    assert one.curves["success"][0] == 2 / 3
    assert one.curves["norm_precision"][[29, 31]].tolist() == [1 / 3, 2 / 3]


@pytest.mark.parametrize(
    ("box", "hits"),
    [
        ([-0.5, 10.0, 2.0, 4.0], 1),  # centre 0 by x + (w - 1)/2
        ([10.0, -0.5, 4.0, 2.0], 1),
        ([-0.5, 10.0, 2.5, 4.0], 0),  # 0.25
    ],
)
def test_pysot_takes_a_frame_for_a_hit_if_a_centre_lies_at_0(box: list[float], hits: int) -> None:
    one = scored("pysot-ope", [BOX, FAR], [BOX, box])
    assert one.curves["precision"][20] == (1 + hits) / 2
    assert one.curves["norm_precision"][20] == (1 + hits) / 2
    assert one.curves["success"][0] == 1 / 2


def test_pysot_divides_by_a_size_of_0() -> None:
    one = scored("pysot-ope", [BOX, [10.0, 10.0, 0.0, 4.0]], [BOX, [10.0, 10.0, 0.0, 4.0]])
    assert one.curves["norm_precision"][20] == 1


def test_lasher_divides_by_a_little_more_than_the_size() -> None:
    """3 of 20 px from x = 10 are just above 0.15 in floating point, and below it with 1e-8 more."""
    truth = [10.0, 10.0, 20.0, 20.0]
    for name, is_hit in (("lasher", True), ("lsotb-tir", False)):
        one = scored(name, [truth, [13.0, 10.0, 20.0, 20.0]], [truth] * 2)
        assert second_counts(name, one.curves["norm_precision"], 15) == is_hit


@pytest.mark.parametrize("name", ["lasher", "pysot-ope", "rgbt234", "got10k-otb"])
def test_a_sequence_without_any_success_counts(name: str) -> None:
    first_box = BOX if name == "pysot-ope" else [0.0, 12.0, 20.0, 20.0]  # which is cut there
    lost = scored(name, [FAR] * 2, [first_box, BOX])
    found = scored(name, [BOX] * 2, [BOX] * 2)
    first = 0.5 if name == "got10k-otb" else 0
    average = protocols.get(name).average([lost, found])
    assert shares(average, name)[0] == (1 + first) / 2


def test_a_sequence_without_any_hit_does_not_count_in_lasot() -> None:
    lost = scored("lasot", [BOX, FAR], [BOX] * 2, absent=np.array([True, False]))
    found = scored("lasot", [BOX, FAR], [BOX] * 2)
    assert shares(lost, "lasot") == [0, 0, 0]
    assert shares(protocols.get("lasot").average([lost, found]), "lasot") == [0.5, 0.5, 0.5]


@every_protocol
def test_axes_of_a_curve_end_at_its_last_threshold(name: str) -> None:
    rules = protocols.get(name)
    plots = vars(rules)["plots"]
    for plot in getattr(plots, "plots", plots):
        assert plot.score.curve.x_end == plot.thresholds[-1]


def test_better_of_two_annotations_frame_by_frame() -> None:
    near = [[12.0, 12.0, 20.0, 20.0], [52.0, 12.0, 20.0, 20.0]]
    other = np.array(near[::-1])
    for name in ("rgbt234", "gtot"):
        assert shares(scored(name, [near[0], near[0]], near, second=other), name) == [1, 1]
        tir = shares(scored(f"{name}-tir", [near[0], near[0]], near, second=other), f"{name}-tir")
        assert tir == [1 / 2, 1 / 2]


AS_STORED = (
    "rgbt234", "rgbt234-tir", "rgbt210", "gtot", "gtot-tir", "lasher", "got10k", "got10k-otb",
    "got10k-lasot",
)  # fmt: skip


@pytest.mark.parametrize("name", AS_STORED)
def test_annotation_that_is_compared_as_stored_begins_at_row_1_whatever_it_holds(name: str) -> None:
    one = scored(name, [BOX] * 3, [[0.0, 12.0, 20.0, 20.0], BOX, BOX])
    assert (one.frames, one.visible_frames) == (3, 3)


def test_a_short_result_of_pytracking_is_padded_after_its_repair() -> None:
    result, truth = np.array([BOX, BOX]), np.array([BOX] * 4)
    for name, hits in (("otb-pytracking", 2), ("lsotb-tir", 4)):
        one = protocols.get(name).score_sequence("s", result, truth, length="pad_zero")
        assert one.curves["success"][0] == hits / 4


def test_last_box_or_zeros_fill_a_short_result_that_nothing_repairs() -> None:
    result, truth = np.array([BOX, BOX]), np.array([BOX] * 4)
    for length, hits in (("pad_last", 4), ("pad_zero", 2)):
        one = protocols.get("pysot-ope").score_sequence("s", result, truth, length=length)
        assert one.curves["success"][0] == hits / 4


def test_a_row_beside_a_partly_nan_annotation_is_not_repaired() -> None:
    truth = np.array([BOX, BOX, [NAN, 12.0, 20.0, 20.0], BOX])
    result = np.array([BOX, BOX, [12.0, 12.0, 0.0, 20.0], BOX])
    assert protocols.get("lsotb-tir").score_sequence("s", result, truth).repaired_rows == 0
