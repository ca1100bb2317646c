"""Rules of the protocols that sum over frames, each shown by a few frames worked by hand.

For the first evaluator of Anti-UAV and the older VOT toolkit there are no golden numbers: what is
expected here is written from their definitions, not from this code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation import protocols
from tirtrack.evaluation.protocols import vot_lt, vot_multistart, vot_supervised_legacy
from tirtrack.evaluation.protocols.base import SequenceScores
from tirtrack.evaluation.protocols.vot import overlaps_and_marks
from tirtrack.evaluation.raster import raster_overlap
from tirtrack.evaluation.vot_runs import FAILED, SKIPPED, STARTED, mean_between

BOX, HALF, FAR = [12.0, 12.0, 20.0, 20.0], [12.0, 12.0, 20.0, 10.0], [60.0, 40.0, 20.0, 20.0]
NONE = [np.nan] * 4
SIZE = (100, 80)


def scored(name: str, result: Any, truth: Any, **facts: Any) -> SequenceScores:
    known = {"size_wh": SIZE} if "size_wh" in protocols.get(name).needs else {}
    return protocols.get(name).score_sequence(
        "s", np.array(result), np.array(truth), facts=FrameFacts(**known, **facts)
    )


# --- Anti-UAV


def antiuav(name: str) -> list[SequenceScores]:
    """Four frames, the third without the target: right, half, no box, no box; and one frame."""
    absent = np.array([False, False, True, False])
    long = scored(name, [BOX, HALF, NONE, NONE], [BOX] * 4, absent=absent)
    return [long, scored(name, [BOX], [BOX], absent=absent[:1])]


@pytest.mark.parametrize(
    ("name", "score", "four"),
    [
        ("antiuav-2020", "state_accuracy", (1 + 0.5 + 0 + 0) / 4),
        ("antiuav410", "state_accuracy", (1 + 0.5 + 1 + 0) / 4),
        ("antiuav-challenge", "challenge_accuracy", 2.5 / 4 - 0.2 * (1 / 3) ** 0.3),
    ],
)
def test_frames_and_then_sequences_are_averaged(name: str, score: str, four: float) -> None:
    found = antiuav(name)
    assert found[0].values[score] == pytest.approx(four, abs=1e-15)
    assert found[1].values[score] == 1
    average = protocols.get(name).average(found).values[score]
    assert average == pytest.approx((four + 1) / 2, abs=1e-15)


@pytest.mark.parametrize("name", ["antiuav-2020", "antiuav410", "antiuav-challenge"])
@pytest.mark.parametrize("box", [BOX, [0.0] * 4, [np.nan, 1.0, 2.0, 3.0]], ids=str)
def test_a_box_on_a_frame_without_the_target_is_wrong(name: str, box: list[float]) -> None:
    one = scored(name, [BOX, box], [BOX] * 2, absent=np.array([False, True]))
    gives_none = np.isnan(box).any() and name != "antiuav-2020"
    assert next(iter(one.values.values())) == (1 if gives_none else 0.5)


def test_a_frame_with_the_target_and_no_annotated_box() -> None:
    for name, expected in (("antiuav-2020", (1 + 0 + 0.5) / 3), ("antiuav410", (1 + 0.5) / 2)):
        for nothing in ([0.0] * 4, NONE):
            present = np.zeros(3, dtype=bool)
            one = scored(name, [BOX, BOX, HALF], [BOX, nothing, BOX], absent=present)
            assert one.values["state_accuracy"] == pytest.approx(expected)


def test_a_target_that_is_never_there_costs_the_challenge_nothing() -> None:
    one = scored("antiuav-challenge", [NONE, BOX], [BOX] * 2, absent=np.ones(2, dtype=bool))
    assert one.values["challenge_accuracy"] == 0.5


@pytest.mark.parametrize("nothing", [[np.nan] * 4, [np.nan, 1.0, 2.0, 3.0]], ids=str)
def test_plots_of_antiuav410_take_no_box_for_four_zeros(nothing: list[float]) -> None:
    one = scored("antiuav410", [BOX, nothing], [BOX] * 2, absent=np.zeros(2, dtype=bool))
    # (21.5 - 0.5 - ..): centre of 0,0,0,0 is (-0.5, -0.5), 22 * sqrt(2) = 31.1 px away
    assert one.curves["precision"][[31, 32]].tolist() == [0.5, 1]


@pytest.mark.parametrize("name", ["antiuav410", "antiuav-2020", "vot-lt", "pytracking-prf"])
def test_a_frame_whose_target_is_absent_is_not_visible_whatever_its_box(name: str) -> None:
    facts = {"absent": np.array([False, True, False]), "scores": np.ones(3)}
    one = scored(name, [BOX] * 3, [BOX] * 3, **facts)
    assert (one.frames, one.visible_frames) == (3, 2)


def test_only_these_protocols_tell_absent_frames_by_their_flags_alone() -> None:
    by_flags = {name for name in protocols.names() if protocols.get(name).by_flags}
    assert by_flags == {
        *("lasot", "lasot-pytracking", "got10k"),
        *("antiuav410", "antiuav-2020", "antiuav-challenge"),
    }


def test_an_annotated_row_with_a_nan_is_no_target_of_vot() -> None:
    boxes = np.array([BOX, BOX])
    found = overlaps_and_marks(boxes, np.array([BOX, [np.nan, *BOX[1:]]]), FrameFacts(size_wh=SIZE))
    assert found["target"].tolist() == [True, False]


# --- presence


def test_presence_counts_overlap_over_frames_with_a_target_and_over_frames_shown() -> None:
    """Scores .9 .8 .7 .6: overlaps 1, 0 (no target), .5, 1 of three targets."""
    one = scored(
        "pytracking-prf",
        [FAR, BOX, HALF, BOX],  # the first frame is that of the annotation
        [BOX] * 4,
        absent=np.array([False, True, False, False]),
        scores=np.array([0.9, 0.8, 0.7, 0.6]),
    )
    recall, precision = 2.5 / 3, 2.5 / 4
    assert one.values["prf_recall"] == pytest.approx(recall)
    assert one.values["prf_precision"] == pytest.approx(precision)
    assert one.values["prf_f"] == pytest.approx(2 * recall * precision / (recall + precision))


def test_a_first_frame_without_the_target_is_not_given() -> None:
    absent = np.array([True, False])
    facts = {"absent": absent, "scores": np.ones(2)}
    assert scored("pytracking-prf", [BOX, HALF], [BOX] * 2, **facts).values["prf_recall"] == 0.5


def test_presence_of_which_nothing_is_right_has_a_precision_of_1_at_a_recall_of_0() -> None:
    absent = np.array([True, False])
    one = scored("pytracking-prf", [BOX, FAR], [BOX] * 2, absent=absent, scores=np.ones(2))
    assert [one.values[f"prf_{key}"] for key in ("f", "precision", "recall")] == [0, 1, 0]


# --- VOT


def test_numbers_are_rounded_after_they_are_made_float32() -> None:
    almost = np.array([[1.4999999999, 0, 10, 10]])  # 1.5 in float32, which becomes 2
    assert raster_overlap(almost, np.array([[2.0, 0, 10, 10]]), None).tolist() == [1]


@pytest.mark.parametrize("turned", [False, True])
def test_boxes_whose_common_extent_is_one_pixel_wide_overlap_fully(turned: bool) -> None:
    a, b = np.array([[5.0, 5, 1, 4]]), np.array([[5.0, 20, 1, 3]])
    if turned:
        a, b = (one[:, [1, 0, 3, 2]] for one in (a, b))
    assert raster_overlap(a, b, SIZE).tolist() == [1]


def test_the_interval_of_expected_overlap_must_be_reached() -> None:
    assert np.isnan(mean_between(np.ones(356), 100, 356))
    assert mean_between(np.ones(357), 100, 356) == 1
    rising = np.arange(400.0)
    assert mean_between(rising, 100, 356) == (100 + 356) / 2


def marks(frames: int, *failures: int) -> np.ndarray:
    """Marks of a run that fails at some frames and starts again 5 frames later."""
    found = np.full(frames, "tracking", dtype="U9")
    found[0] = STARTED
    for row in failures:
        found[row : row + 5] = SKIPPED
        found[row] = FAILED
        found[row + 5 : row + 6] = STARTED
    return found


def supervised(name: str, boxes: Sequence[list[float]], *failures: int) -> SequenceScores:
    statuses = marks(len(boxes), *failures)
    result = [
        box if mark == "tracking" else NONE for box, mark in zip(boxes, statuses, strict=True)
    ]
    return scored(name, result, [BOX] * len(boxes), statuses=statuses)


RUN = [BOX] * 150 + [HALF] * 250
"""400 frames; overlap 1 in the first 150, of which the first is given and counts nowhere."""
OVERLAPS = np.array([0.0] + [1.0] * 149 + [0.5] * 250)


def test_lengths_of_the_older_toolkit_count_from_1() -> None:
    """A length of 100 frames is the first, given one and 99 others; in Python it is 100 others."""
    found = {
        name: supervised(name, RUN).values["eao"]
        for name in ("vot-supervised", "vot-supervised-legacy")
    }
    legacy = np.mean([OVERLAPS[1:length].mean() for length in range(100, 357)])
    python = np.mean([OVERLAPS[1 : length + 1].mean() for length in range(100, 357)])
    assert found["vot-supervised-legacy"] == pytest.approx(legacy, abs=1e-12)
    assert found["vot-supervised"] == pytest.approx(python, abs=1e-12)


def test_pieces_of_the_older_toolkit_go_from_start_to_start() -> None:
    """Failure at 120, start at 125: pieces 0 to 125, with 0 from the failure on, and 125 to 399.

    The first goes on with 0, the second, of 275 frames, is known up to its length.
    """
    first = np.zeros(400)
    first[1:120] = OVERLAPS[1:120]
    second = OVERLAPS[125:].copy()
    second[0] = 0
    expected = []
    for length in range(100, 357):
        known = [first[1:length].mean()]
        if length <= len(second):
            known.append(second[1:length].mean())
        expected.append(np.mean(known))
    found = supervised("vot-supervised-legacy", RUN, 120)
    assert found.values["eao"] == pytest.approx(np.mean(expected), abs=1e-12)


@pytest.mark.parametrize(("row", "is_failed"), [(395, True), (396, False)])
def test_a_start_just_after_the_end_still_ends_a_piece(row: int, is_failed: bool) -> None:
    (piece,) = vot_supervised_legacy.pieces(OVERLAPS, marks(400, row))
    assert piece.failed == is_failed
    assert len(piece.overlaps) == 400


def test_the_older_toolkit_takes_what_is_reached_of_the_interval() -> None:
    expected = np.mean([OVERLAPS[1:length].mean() for length in range(100, 201)])
    found = supervised("vot-supervised-legacy", RUN[:200])
    assert found.values["eao"] == pytest.approx(expected, abs=1e-12)
    assert "eao" not in supervised("vot-supervised-legacy", RUN[:99]).values


def test_pieces_of_the_python_toolkit_go_from_start_to_failure() -> None:
    first, second = OVERLAPS[:120], OVERLAPS[125:].copy()
    second[0] = 0
    expected = []
    for length in range(100, 357):
        known = [first[1 : length + 1].sum() / length]
        if length < len(second):
            known.append(second[1 : length + 1].mean())
        expected.append(np.mean(known))
    # the curve is as long as the longest piece, 275, so the interval is not reached
    assert "eao" not in supervised("vot-supervised", RUN, 120).values
    whole = supervised("vot-supervised", RUN)
    both = [supervised("vot-supervised", RUN, 120), whole]
    known_whole = [OVERLAPS[1 : length + 1].mean() for length in range(100, 357)]
    pooled = []
    for place, length in enumerate(range(100, 357)):
        pieces = 2 if length < len(second) else 1
        pooled.append((expected[place] * pieces + known_whole[place]) / (pieces + 1))
    found = protocols.get("vot-supervised").average(both).values["eao"]
    assert found == pytest.approx(np.mean(pooled), abs=1e-12)


def test_a_failure_at_the_end_begins_no_piece() -> None:
    """Failure at 397: the start at 402 is none, so the only piece is the whole run, complete."""
    expected = np.mean([OVERLAPS[1:length].mean() for length in range(100, 357)])
    found = supervised("vot-supervised-legacy", RUN, 397)
    assert found.values["eao"] == pytest.approx(expected, abs=1e-12)
    assert found.values["lost_number"] == 1


def test_accuracy_and_failures_over_two_sequences() -> None:
    """15 frames at overlap 1, of which 5 are not burnt in; 40 at 0.5 with a failure in frame 20.

    Of the 40 count 10 to 19 and 35 to 39: frames 20 to 24 are none, 25 to 34 are burnt in.
    """
    runs = {
        name: [
            supervised(name, [BOX] * 15),
            replace(supervised(name, [HALF] * 40, 20), name="another"),
        ]
        for name in ("vot-supervised", "vot-supervised-legacy")
    }
    legacy = protocols.get("vot-supervised-legacy").average(runs["vot-supervised-legacy"]).values
    assert legacy["vot_accuracy"] == pytest.approx((5 * 1 + 15 * 0.5) / 20)  # frames pooled
    assert legacy["legacy_robustness"] == pytest.approx(100 * 1 / 55)
    assert legacy["lost_number"] == 1
    python = protocols.get("vot-supervised").average(runs["vot-supervised"]).values
    assert python["vot_accuracy"] == pytest.approx((15 * 1 + 40 * 0.5) / 55)  # by length
    assert python["failures"] == pytest.approx(40 * 1 / 55)
    reliability = np.exp(-30 * (40 / 55) / ((15 + 40) / 2))
    assert python["vot_reliability"] == pytest.approx(reliability)
    assert [one.weights["vot_accuracy"] for one in runs["vot-supervised-legacy"]] == [5, 15]
    assert [one.weights["vot_accuracy"] for one in runs["vot-supervised"]] == [15, 40]


def multistart(*lengths_lost_from: tuple[int, int]) -> SequenceScores:
    """Runs of given lengths that are right until a frame, and far off from there on."""
    name = "vot-multistart"
    passes = [
        scored(name, [BOX] * lost + [FAR] * (length - lost), [BOX] * length)
        for length, lost in lengths_lost_from
    ]
    return protocols.get(name).together(passes)  # type: ignore[attr-defined]


def test_multistart_weighs_accuracy_by_frames_tracked_and_robustness_by_length() -> None:
    """A run of 40 that is lost from 20 on, whose first frame has no overlap; and one of 100."""
    one, other = multistart((40, 20)), multistart((100, 100))
    assert one.values["vot_robustness"] == 20 / 40
    assert one.values["vot_accuracy"] == 19 / 20
    values = protocols.get("vot-multistart").average([one, other]).values
    assert values["vot_accuracy"] == pytest.approx((19 + 99) / (20 + 100))
    assert values["vot_robustness"] == pytest.approx((40 * 0.5 + 100 * 1) / 140)


def test_multistart_takes_runs_of_a_sequence_together_before_it_averages() -> None:
    both = multistart((40, 20), (100, 100))
    assert both.values["vot_robustness"] == 120 / 140
    assert both.frames == 100


def test_expected_overlap_of_multistart_is_over_lengths_115_to_754() -> None:
    truth = [BOX] * 800
    one = scored("vot-multistart", [BOX] * 400 + [HALF] * 400, truth)
    overlaps = np.array([0.0] + [1.0] * 399 + [0.5] * 400)
    curve = [overlaps[1 : length + 1].mean() for length in range(115, 755)]
    assert one.values["eao"] == pytest.approx(np.mean(curve), abs=1e-12)


def test_a_tracker_that_is_lost_at_once_has_no_accuracy() -> None:
    lost = multistart((40, 1))
    assert (lost.values["vot_accuracy"], lost.values["vot_robustness"]) == (0, 0)


def test_anchors_move_to_frames_with_a_box_and_run_the_longer_way() -> None:
    truth = np.array([BOX] * 101)
    truth[50] = np.nan
    found = vot_multistart.anchors(truth, None)
    assert [(one.row, one.backward) for one in found] == [(0, False), (51, True), (100, True)]
    truth[50] = BOX  # as many frames before as after it: forward
    assert [one.backward for one in vot_multistart.anchors(truth, None)] == [False, False, True]


def test_long_term_scores_of_frames_shown() -> None:
    """Scores .9 .8 .7 .6 after the first frame; overlaps 0, 1, 0 (no target), 1, .5."""
    one = scored(
        "vot-lt",
        [BOX, BOX, BOX, BOX, HALF],
        [BOX] * 5,
        absent=np.array([False, False, True, False, False]),
        scores=np.array([1.0, 0.9, 0.8, 0.7, 0.6]),
    )
    curve = vot_lt.precision_and_recall([one])
    # the first frame counts with a score of 0: shown last, with an overlap of 0
    assert curve[:, 0].tolist() == pytest.approx([1, 1, 1 / 2, 2 / 3, 2.5 / 4, 2.5 / 5, 2.5 / 5])
    assert curve[:, 1].tolist() == pytest.approx(
        [0, 1 / 4, 1 / 4, 2 / 4, 2.5 / 4, 2.5 / 4, 2.5 / 4]
    )
    assert one.values["lt_f"] == pytest.approx(2.5 / 4)


def test_long_term_precision_and_recall_are_those_of_the_first_best_f() -> None:
    """Shown by score: a hit, two boxes and no box without the target: F is 2/3 after 1 and 4."""
    one = scored(
        "vot-lt",
        [BOX, BOX, NONE, BOX, BOX],
        [BOX] * 5,
        absent=np.array([False, False, True, True, True]),
        scores=np.array([1.0, 0.9, 0.6, 0.8, 0.7]),
    )
    values = one.values
    assert (values["lt_precision"], values["lt_recall"]) == (1, 0.5)
    assert values["lt_f"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(("scores", "points"), [(98, 100), (99, 100), (50, 52)])
def test_long_term_thresholds_are_at_most_100(scores: int, points: int) -> None:
    values = np.linspace(0.01, 0.99, scores)
    found = vot_lt.thresholds(np.concatenate([values, [np.nan]]))
    assert len(found) == points
    assert (found[0], found[-1]) == (np.inf, -np.inf)
    if scores == 98:
        assert found[1:-1].tolist() == values[::-1].tolist()
