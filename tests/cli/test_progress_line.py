"""What long work shows: plain lines off a terminal, one live line on it."""

from __future__ import annotations

import io

from tirtrack.cli import progress_line


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def plain_clock():
    clock, stream = Clock(), io.StringIO()
    return clock, stream, progress_line.StageClock(progress_line.PlainLines(stream), clock)


def test_a_stage_leaves_one_line_when_it_is_over():
    clock, stream, progress = plain_clock()
    progress("distil", 0, 200)
    clock.now += 5
    progress("distil", 200, 200, "loss 0.21")
    assert stream.getvalue() == ""
    progress("evaluate", 0, 4)
    assert stream.getvalue() == "distil 200/200 in 5 s (loss 0.21)\n"
    progress.close()
    assert stream.getvalue().splitlines()[1] == "evaluate 0/4 in 0 s"


def test_a_long_stage_speaks_every_ten_seconds_with_the_time_left():
    clock, stream, progress = plain_clock()
    for done in range(0, 31):
        progress("distil", done, 60)
        clock.now += 1
    assert stream.getvalue().splitlines() == [
        "distil 10/60, 50 s left",
        "distil 20/60, 40 s left",
        "distil 30/60, 30 s left",
    ]


def test_no_time_left_is_guessed_before_anything_is_known():
    stage = progress_line.ShownStage("x", 0.0, done=0, total=10)
    assert stage.time_left_s(50.0) is None
    assert progress_line.ShownStage("x", 0.0, done=5, total=0).time_left_s(50.0) is None
    assert progress_line.ShownStage("x", 0.0, done=5, total=10).time_left_s(0.5) is None
    assert progress_line.ShownStage("x", 0.0, done=5, total=10).time_left_s(5.0) == 5.0


def test_times_read_as_a_clock():
    assert [progress_line.as_time(s) for s in (0.4, 59.6, 61, 3599, 3600, -3)] == [
        "0 s",
        "1 min 00 s",
        "1 min 01 s",
        "59 min 59 s",
        "1 h 00 min",
        "0 s",
    ]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_keeps_one_plain_line_of_each_stage(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with progress_line.progress(stream) as progress:
        progress("world [1]", 1, 2, "[bold]")
        progress("world [1]", 2, 2)
        progress("distil", 1, 0)
    shown = stream.getvalue()
    assert "world [1] 2/2 in 0 s" in shown
    assert "distil 1 in 0 s" in shown


def test_off_a_terminal_there_are_no_control_characters():
    stream = io.StringIO()
    with progress_line.progress(stream) as progress:
        progress("world", 2, 2)
    assert stream.getvalue() == "world 2/2 in 0 s\n"


def test_lines_of_several_workers_are_one_plain_line():
    stage = progress_line.ShownStage("evaluate", 0.0, 3, 9, "one, a 1/4\none, b 2/5")
    assert stage.line(0.5) == "evaluate 3/9 (one, a 1/4; one, b 2/5)"
