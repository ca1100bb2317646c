"""A turn that threads take: an interrupt takes it from no other thread and leaves none waiting."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.trackers import engines
from tirtrack.trackers.engines import Turn
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.multi import MultiTracker


class Other:
    """Another thread, which holds a turn until it is told to leave it."""

    def __init__(self, turn):
        self.faults, self._holds, self._end = [], threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, args=(turn,), daemon=True)
        self._thread.start()
        assert self._holds.wait(60)

    def _hold(self, turn):
        try:
            with turn:
                self._holds.set()
                assert self._end.wait(60)
        except RuntimeError as error:
            self.faults.append(error)

    def end(self):
        self._end.set()
        self._thread.join(60)
        return self.faults


@pytest.fixture
def interrupted():
    """Interrupts the main thread, again and again, until it is heard inside of the turn."""
    heard, threads = threading.Event(), []

    def hear(number, frame):
        if frame.f_code.co_filename == engines.__file__ and not heard.is_set():
            heard.set()
            raise KeyboardInterrupt

    def press():
        while not heard.wait(0.02):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def begin():
        threads.append(threading.Thread(target=press))
        threads[0].start()

    before = signal.signal(signal.SIGINT, hear)
    yield begin
    heard.set()
    for thread in threads:
        thread.join(60)
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_while_the_turn_is_awaited_takes_it_from_no_other_thread(interrupted):
    turn, others = Turn(), []

    def wait_for_it():
        with turn, turn.given_up():
            others.append(Other(turn))
            interrupted()

    with pytest.raises(KeyboardInterrupt):
        wait_for_it()
    assert others[0].end() == []
    assert Other(turn).end() == []  # which gets it


def test_an_interrupt_as_the_turn_is_taken_leaves_no_thread_waiting(monkeypatch):
    tracker = MultiTracker(load_tracker("nano-tir"), threads=2)
    frame = np.random.default_rng(0).integers(0, 255, (96, 128), np.uint8)
    for name in ("left", "right", "third"):
        tracker.add(name, Box(30, 40, 16, 12), frame)
    taken, got, pressed = Turn.__enter__, [], threading.Event()

    def enter(turn):
        if threading.current_thread() is threading.main_thread():
            taken(turn)
            pressed.set()
            raise KeyboardInterrupt
        got.append(pressed.wait(60) and turn._lock.acquire(timeout=10))
        return turn

    monkeypatch.setattr(Turn, "__enter__", enter)
    with pytest.raises(KeyboardInterrupt):
        tracker.update(frame)
    monkeypatch.undo()
    assert got == [True, True]
    assert len(tracker.update(frame)) == 3
