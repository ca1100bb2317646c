"""Things are timed in turn with both clocks, and their ratio is that of the same round."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.interleaved import Contender, Pace, Spread, Times, in_turn, ratio, spread, table
from benchmarks.interleaved import milliseconds as ms_of
from benchmarks.machine import BusyMachineError, Usage, Watch
from tirtrack.errors import RequestError

QUIET = Watch(read=lambda: None, assume_idle=True)
PACE = Pace(rounds=15, steps=3, warm_up=2)


class Work:
    """Two clocks that only the work moves: of the processor, and of the wall, which also waits."""

    def __init__(self, load=lambda step: 1.0):
        self.processor, self.wall = 0.0, 0.0
        self.steps: list[tuple[str, int]] = []
        self._load = load

    def contender(self, name: str, seconds: float) -> Contender:
        def step(number: int) -> None:
            self.steps.append((name, number))
            self.processor += seconds * self._load(number)
            self.wall += 2 * seconds * self._load(number)

        return Contender(name, step)

    @property
    def clocks(self):
        return (lambda: self.processor), (lambda: self.wall)


def test_a_step_takes_its_milliseconds_of_the_processor_and_of_the_clock():
    work = Work()
    times = in_turn([work.contender("one", 0.01)], PACE, QUIET, work.clocks)["one"]
    np.testing.assert_allclose(times.processor_ms, np.full(15, 10.0))
    np.testing.assert_allclose(times.wall_ms, np.full(15, 20.0))


def test_a_machine_that_grows_slower_changes_times_but_no_ratio():
    work = Work(load=lambda number: 1.0 + number)
    both = [work.contender("one", 0.03), work.contender("other", 0.01)]
    times = in_turn(both, PACE, QUIET, work.clocks)
    assert times["one"].wall_ms[-1] > 5 * times["one"].wall_ms[0]
    found = ratio(times["one"], times["other"])
    assert found.processor == found.wall == Spread(3.0, 3.0, 3.0)


def test_all_do_the_same_steps_in_turn_and_in_both_orders():
    work = Work()
    in_turn([work.contender(name, 0.01) for name in "ab"], PACE, QUIET, work.clocks)
    warm, first, second = work.steps[:4], work.steps[4:10], work.steps[10:16]
    assert warm == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert first == [(name, number) for name in "ab" for number in (2, 3, 4)]
    assert second == [(name, number) for name in "ba" for number in (5, 6, 7)]
    assert len(work.steps) == 2 * (2 + 15 * 3)


def test_other_work_ends_a_run_in_the_round_in_which_it_is_seen():
    work, looks = Work(), iter([Usage(0, 0, 0), Usage(10, 10, 10), Usage(20, 30, 20)])
    with pytest.raises(BusyMachineError, match=r"0\.50 of a core"):
        in_turn([work.contender("one", 0.01)], PACE, Watch(read=looks.__next__), work.clocks)
    assert len(work.steps) == PACE.warm_up + 2 * PACE.steps


def test_fewer_rounds_than_15_are_refused():
    with pytest.raises(RequestError, match="rounds must be at least 15, got 14"):
        Pace(rounds=14, steps=1, warm_up=0)


def test_each_contender_has_its_own_number_of_threads():
    import torch

    before, seen = torch.get_num_threads(), []
    contenders = [
        Contender(str(threads), lambda _: seen.append(torch.get_num_threads()), threads)
        for threads in (1, 2)
    ]
    try:
        in_turn(contenders, Pace(rounds=15, steps=1, warm_up=0), QUIET)
    finally:
        torch.set_num_threads(before)
    assert seen[:4] == [1, 2, 2, 1]


def test_the_spread_is_that_of_rounds():
    found = spread(np.arange(11.0))
    assert found == Spread(median=5.0, low=1.0, high=9.0)
    assert str(found) == "5.00 (1.00 to 9.00)"


def test_a_table_has_times_and_where_there_is_one_the_ratio():
    one, other = (Times(np.full(15, value), np.full(15, 2 * value)) for value in (3.0, 1.5))
    rows = {"other": [ms_of(other)], "one": [ms_of(one), ratio(one, other)]}
    head, *lines = table(rows, "share")
    assert head.split("  ")[-1].strip() == "share, wall"
    assert " ".join(lines[0].split()) == "other 1.50 (1.50 to 1.50) 3.00 (3.00 to 3.00)"
    assert lines[1].endswith("2.00 (2.00 to 2.00)")
