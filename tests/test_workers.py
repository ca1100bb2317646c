"""Workers end with their parent, whatever ends it, and leave what to say to the parent."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tirtrack.workers import results_of, working

SLEEPING = """
import multiprocessing, signal, sys, time
from tirtrack.workers import working
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    with working(time.sleep, [0.0, 0.0, 600.0, 600.0], 2) as futures:
        if "started" in sys.argv:
            futures[1].result()
        print("waiting", flush=True)
        futures[-1].result()
except KeyboardInterrupt:
    print("stopped with", len(multiprocessing.active_children()), "workers")
"""


def test_results_come_in_the_order_of_the_items():
    with working(math.sqrt, [9.0, 4.0, 1.0], 2) as futures:
        assert [future.result() for future in futures] == [3.0, 2.0, 1.0]


def test_workers_hear_no_stop_even_while_they_start():
    with working(partial(signal.pthread_sigmask, signal.SIG_BLOCK), [()], 1) as futures:
        assert futures[0].result() >= {signal.SIGINT, signal.SIGTERM}
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.parametrize("moment", ["starting", "started"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whole_group", [True, False], ids=["group", "parent"])
def test_no_worker_outlives_its_parent_or_speaks_for_itself(sent, whole_group, moment):
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, moment],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    (os.killpg if whole_group else os.kill)(process.pid, sent)
    # the pipes end when the last process that holds them has left
    printed, said = process.communicate(timeout=60)
    if sent is signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert (printed, said) == ("stopped with 0 workers\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_temporary_files_of_workers_are_deleted_even_if_they_are_killed(ends):
    made = []

    def work():
        with working(tempfile.mkdtemp, ["-a"], 1) as futures:
            made.append(Path(futures[0].result()))
            assert made[0].is_dir()
            if ends == "badly":
                raise KeyboardInterrupt

    if ends == "badly":
        with pytest.raises(KeyboardInterrupt):
            work()
    else:
        work()
    assert not made[0].exists()


def root() -> Callable[[float], float]:
    return math.sqrt


def unmakable():
    return 1 / 0


@pytest.mark.parametrize("workers", [1, 2])
def test_each_result_comes_with_the_place_of_its_item(workers):
    found = results_of(root, [9.0, 4.0, 1.0], workers, task="takes roots", where="numbers")
    assert sorted(found) == [(0, 3.0), (1, 2.0), (2, 1.0)]


def test_one_process_works_in_order_when_asked_for_the_next_and_makes_nothing_for_no_item():
    found = results_of(root, [9.0, -1.0, 4.0], 1, task="takes roots", where="numbers")
    assert next(found) == (0, 3.0)
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(found)
    unmade = partial(pytest.fail, "was made")
    assert list(results_of(unmade, [], 2, task="takes roots", where="numbers")) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_made_says_so_from_any_number_of_processes(workers):
    with pytest.raises(ZeroDivisionError):
        list(results_of(unmakable, [1, 2], workers, task="divides", where="numbers"))


def test_an_error_of_an_item_or_of_who_asks_leaves_no_worker():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(results_of(root, [9.0, -1.0], 2, task="takes roots", where="numbers"))
    assert multiprocessing.active_children() == []
    asked = results_of(root, [9.0, 4.0], 2, task="takes roots", where="numbers")
    with pytest.raises(ZeroDivisionError):
        any(place / 0 for place, _ in asked)
    del asked
    assert multiprocessing.active_children() == []
