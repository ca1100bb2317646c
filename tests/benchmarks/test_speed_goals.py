"""A goal is reached, missed or not measured, by the clock that it is about."""

from __future__ import annotations

import pytest

from benchmarks.interleaved import BothClocks, Spread
from benchmarks.speed_goals import Case, Goal, Row, goals
from benchmarks.start_up import StartUp


def both(processor: float, wall: float) -> BothClocks:
    return BothClocks(*(Spread(value, value - 1, value + 1) for value in (processor, wall)))


def one_target(frames: str, processor: float, wall: float, engine: str = "openvino") -> Row:
    return Row(Case("nano-rgb", engine, 1, frames), both(5, 5), ahead=both(processor, wall))


def four_targets(processor: float, wall: float) -> Row:
    case = Case("nano-rgb", "openvino", 2, "colour", 4)
    return Row(case, both(9, 9), times_one=both(processor, wall))


@pytest.mark.parametrize(
    ("row", "place", "line"),
    [
        pytest.param(one_target("colour", 1.5, 1.6), 0, "reached: {}: 1.50, at least 1.5", id="at"),
        pytest.param(
            one_target("colour", 1.6, 1.4), 0, "missed: {}: 1.40, at least 1.5", id="wall"
        ),
        pytest.param(one_target("colour", 1.3, 1.6), 0, "missed: {}: 1.30, at least 1.5", id="cpu"),
        pytest.param(one_target("grey", 1.9, 2.1), 1, "missed: {}: 1.90, at least 2", id="grey"),
        pytest.param(one_target("colour", 9, 9, "onnx"), 0, "not measured: {}", id="base install"),
        pytest.param(four_targets(3.9, 2.4), 2, "reached: {}: 2.40, at most 2.4", id="four"),
        pytest.param(four_targets(1.1, 2.5), 2, "missed: {}: 2.50, at most 2.4", id="four, slow"),
    ],
)
def test_ratios_are_held_to_their_goals(row, place, line):
    goal = goals([row], [])[place]
    assert str(goal) == line.format(goal.name)
    assert goal.is_reached == line.startswith("reached")


def test_each_engine_is_held_to_both_times_of_a_start():
    starts = [StartUp("nano-rgb", "onnx", 5.0, 0.51, 90), StartUp("dimp-lite", "torch", 6, 0.4, 9)]
    found = goals([], starts)[3:]
    assert [goal.is_reached for goal in found] == [True, False, False, True]
    assert str(found[1]) == (
        "missed: nano-rgb with onnx, seconds at the later use: 0.51, at most 0.5"
    )


def test_what_was_not_measured_is_not_reached():
    assert not Goal("x", 1.0, None).is_reached
    assert [str(goal).partition(":")[0] for goal in goals([], [])] == ["not measured"] * 3
