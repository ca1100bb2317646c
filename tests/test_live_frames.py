"""Live frames: none is old, none is lost without a word, a source that breaks comes back.

Time is a number that the tests move; threads wait for each other, never for the clock.
"""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from tirtrack import live
from tirtrack.errors import FrameError, RunError
from tirtrack.live import LiveFrames, LiveStatistics, Mailbox
from tirtrack.media import Frame

IMAGE = np.zeros((8, 8), np.uint8)


def frame(index):
    return Frame(IMAGE, index, None, f"#{index}")


def simulated(policy, *, fps=30.0, tracker_s=0.1, seconds=20.0, stall=(0.0, 0.0)):
    """A camera and a tracker on one made-up time line: what was taken, and its latencies."""
    mailbox, statistics = Mailbox(policy), LiveStatistics()
    arrivals = [k / fps for k in range(int(seconds * fps)) if not stall[0] <= k / fps < stall[1]]
    taken, now, k = [], 0.0, 0
    while k < len(arrivals):
        now = max(now, arrivals[k])
        while k < len(arrivals) and arrivals[k] <= now:
            assert mailbox.put(frame(round(arrivals[k] * fps)), arrivals[k])
            k += 1
        item = mailbox.take()
        now += tracker_s
        statistics.delivered += 1
        statistics.skipped += item.skipped
        statistics.latencies_s.append(now - item.captured_s)
        taken.append(item)
    return taken, statistics


def test_a_slow_tracker_skips_two_of_three_and_does_not_lag():
    taken, statistics = simulated("latest")
    share = statistics.skipped / (statistics.skipped + statistics.delivered)
    assert share == pytest.approx(2 / 3, abs=0.02)
    assert statistics.latency_s(95) < 0.150 + 1 / 30
    times = [item.captured_s for item in taken]
    assert all(later > before for before, later in itertools.pairwise(times))
    indices = np.array([item.item.index for item in taken])
    assert list(np.diff(indices) - 1) == [item.skipped for item in taken[1:]]


def test_a_fast_tracker_skips_nothing():
    taken, statistics = simulated("latest", tracker_s=0.01)
    assert (statistics.skipped, len(taken)) == (0, 600)
    assert statistics.latency_s(50) == pytest.approx(0.01)


def test_a_source_that_stalls_for_three_seconds_goes_on_where_it_is():
    taken, statistics = simulated("latest", stall=(5.0, 8.0))
    times = [item.captured_s for item in taken]
    assert max(np.diff(times)) == pytest.approx(3.0, abs=0.15)
    assert statistics.latency_s(95) < 0.150 + 1 / 30


def test_times_increase_even_if_the_clock_stands_still():
    mailbox = Mailbox("all", length=3)
    for index in range(3):
        mailbox.put(frame(index), 7.0)
    times = [mailbox.take().captured_s for _ in range(3)]
    assert times[0] < times[1] < times[2]


def threads():
    return [one for one in threading.enumerate() if one.name == "tirtrack-reader"]


def test_all_hands_out_every_frame_in_order_and_ends():
    with LiveFrames(lambda: map(frame, range(200)), policy="all", length=4) as frames:
        found = [(one.item.index, one.skipped) for one in frames]
    assert found == [(index, 0) for index in range(200)]
    assert frames.statistics.summary().delivered == 200
    assert threads() == []


def test_latest_tells_how_many_were_left_out():
    handed_out = threading.Event()

    def source():
        yield frame(0)
        handed_out.wait(5)
        yield from map(frame, range(1, 50))

    with LiveFrames(source) as frames:
        found = iter(frames)
        assert next(found).item.index == 0
        handed_out.set()
        while frames._thread.is_alive():
            frames._thread.join(5)
        last = next(found)
    assert (last.item.index, last.skipped) == (49, 48)


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_leaving_stops_the_reader_and_wakes_it(policy):
    def endless():
        index = 0
        while True:
            yield frame(index)
            index += 1

    with LiveFrames(endless, policy=policy) as frames:
        assert next(iter(frames)).item.index >= 0
    assert threads() == []


def test_a_live_source_is_opened_again_with_growing_pauses(monkeypatch):
    waits, opened = [], []
    answers = [FrameError("no route", "rtsp://cam"), 3, FrameError("reset"), FrameError("reset"), 2]

    def source():
        opened.append(len(opened))
        answer = answers[opened[-1]] if opened[-1] < len(answers) else 0
        if isinstance(answer, FrameError):
            raise answer
        yield from map(frame, range(answer))

    frames = LiveFrames(source, policy="all", is_live=lambda: True)

    def waited(seconds):
        waits.append(seconds)
        return len(waits) > 6

    monkeypatch.setattr(frames._stop, "wait", waited)
    with frames:
        found = [one.item.index for one in frames]
    assert found == [0, 1, 2, 0, 1]
    assert waits == [0.25, 0.25, 0.5, 1.0, 0.25, 0.5, 1.0]
    assert frames.statistics.breaks == 7


def test_a_live_source_that_comes_back_with_an_end_has_ended(monkeypatch):
    opened = []

    def source():
        opened.append(len(opened))
        yield from map(frame, range(3))

    frames = LiveFrames(source, policy="all", is_live=lambda: len(opened) < 2)
    monkeypatch.setattr(frames._stop, "wait", lambda seconds: False)
    with frames:
        assert [one.item.index for one in frames] == [0, 1, 2]
    assert len(opened) == 2


def test_the_first_frame_of_a_clip_waits_to_be_taken():
    with LiveFrames(lambda: map(frame, range(50))) as frames:
        assert frames.peek().index == 0
        assert next(iter(frames)).item.index == 0


def test_the_first_frame_of_a_live_source_is_the_newest():
    sent, free = threading.Event(), threading.Event()

    def source():
        yield from map(frame, range(50))
        sent.set()
        free.wait(5)

    with LiveFrames(source, is_live=lambda: True) as frames:
        assert sent.wait(5)
        assert next(iter(frames)).item.index == 49
        assert frames.statistics.skipped == 0  # nothing was tracked before
        free.set()


def test_a_live_source_that_does_not_come_back_is_given_up(monkeypatch):
    now = iter(range(0, 10_000, 7))

    def source():
        raise FrameError("no route", "rtsp://cam")
        yield

    frames = LiveFrames(source, is_live=lambda: True, clock=lambda: next(now))
    monkeypatch.setattr(frames._stop, "wait", lambda seconds: False)
    with frames, pytest.raises(RunError, match=r"not come back for 60 s \(rtsp://cam: no route\)"):
        list(frames)


def test_a_file_that_breaks_off_raises_after_its_last_frame():
    def source():
        yield frame(0)
        raise FrameError("ends early", "night.mp4")

    found = []
    with LiveFrames(source, policy="all") as frames, pytest.raises(FrameError, match="ends early"):
        found.extend(one.item.index for one in iter(frames))
    with LiveFrames(source, policy="all") as frames:
        assert next(iter(frames)).item.index == 0


def test_what_breaks_in_the_reader_is_said():
    def source():
        raise ZeroDivisionError("odd camera")
        yield

    with LiveFrames(source) as frames, pytest.raises(RunError, match=r"failed \(odd camera\)"):
        list(frames)


def test_a_source_that_blocks_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr(live, "STOP_WITHIN_S", 0.01)
    free = threading.Event()

    def source():
        yield frame(0)
        free.wait(5)

    with LiveFrames(source) as frames:
        assert next(iter(frames)).item.index == 0
    free.set()
    frames._thread.join(5)
    assert threads() == []


def test_whoever_waits_for_a_stalled_source_can_stop(monkeypatch):
    monkeypatch.setattr(live, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(live, "STOP_WITHIN_S", 0.01)
    free, is_pressed = threading.Event(), threading.Event()

    def source():
        yield frame(0)
        is_pressed.set()
        free.wait(5)

    with LiveFrames(source, is_live=lambda: True, stop=is_pressed.is_set) as frames:
        assert [one.item.index for one in frames] == [0]
        assert frames._thread.is_alive()
    free.set()
    frames._thread.join(5)
    assert threads() == []


def test_a_policy_is_one_of_two():
    with pytest.raises(ValueError, match="newest"):
        Mailbox("newest")


def test_latencies_are_summarised_and_bounded():
    statistics = LiveStatistics()
    assert statistics.summary().latency_p95_ms is None
    statistics.latencies_s.extend(k / 1000 for k in range(10_000))
    assert len(statistics.latencies_s) == 4096
    assert statistics.latency_s(0) == pytest.approx(5.904)
