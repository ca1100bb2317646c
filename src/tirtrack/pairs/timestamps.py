"""Time stamps in names, and matching of two cameras' frames by time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

FALLBACK_GAP_S = 0.05
_DATE = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[-:_.]?(\d\d)[-:_.]?(\d\d)"
    r"(?:[.,](\d{1,9})|[-_ ]?(\d{9}|\d{6}|\d{3}))?Z?"
)
_EPOCH = re.compile(r"([1-4]\d{9})(?:\.(\d{1,9})|[-_](\d{9}|\d{6}|\d{3}))?")
_EPOCH_UNITS = {13: 1e-3, 16: 1e-6, 19: 1e-9}
_SECONDS = re.compile(r"\d+\.\d+")
_TICKS = re.compile(r"[1-9]\d{4,}")
_UNITS_S = {"milliseconds": 1e-3, "microseconds": 1e-6, "nanoseconds": 1e-9}
_FRAME_S = (0.005, 1.0)
_SLOW_S = 1000.0
_REGULAR = 0.7
MAX_PACE = 0.02  # more is another rate, and no drift of clocks
MAX_STEP = 10  # usual steps; more is a pause
MAX_JITTER = 0.15  # of a step, root mean square; with more, frames are miscounted


@dataclass(frozen=True)
class CameraTimes:
    """The times in the frame names of one or more cameras.

    Attributes:
        times_s: seconds by one clock, for each camera.
        unit: assumed unit of plain numbers; empty if names are time stamps.
    """

    times_s: tuple[list[float], ...]
    unit: str = ""

    @property
    def is_regular(self) -> bool:
        """Whether most frames of each camera follow each other at about one interval."""
        return all(_share_of_usual_steps(side) >= _REGULAR for side in self.times_s)


def seconds_of(name: str) -> float | None:
    """The time in seconds that a name states; ``None`` if it is no time stamp.

    Dates with a time of day (taken as UTC), seconds since 1970 (also milli-, micro- and
    nanoseconds, by their number of digits) and seconds with decimals. Text before the first digit
    is ignored.

    >>> seconds_of("cam_1700000000.250"), seconds_of("1700000000250"), seconds_of("000017")
    (1700000000.25, 1700000000.25, None)
    """
    text = re.sub(r"^\D+", "", name)
    if (match := _DATE.fullmatch(text)) and (moment := _moment(match)) is not None:
        return moment
    if match := _EPOCH.fullmatch(text):
        return float(f"{match[1]}.{match[2] or match[3] or 0}")
    if text.isdigit() and text[0] in "1234" and len(text) in _EPOCH_UNITS:
        return int(text) * _EPOCH_UNITS[len(text)]
    return float(text) if _SECONDS.fullmatch(text) else None


def stamps_of(*cameras: Sequence[str]) -> CameraTimes | None:
    """The times of frames whose names are all time stamps; else ``None``.

    Numbers that would be hours apart as seconds since 1970 count something else, such as the
    microseconds since a camera was switched on.

    >>> stamps_of(["4512333000", "4512366333"])
    CameraTimes(times_s=([4512.333, 4512.366333],), unit='microseconds')
    """
    read = [[seconds_of(name) for name in names] for names in cameras]
    times = tuple([one for one in side if one is not None] for side in read)
    if [len(side) for side in times] != [len(side) for side in read]:
        return None
    is_slow = all((interval_s(side) or 0) > _SLOW_S for side in times)
    return (ticks_of(*cameras) if is_slow else None) or CameraTimes(times)


def ticks_of(*cameras: Sequence[str]) -> CameraTimes | None:
    """The times of frames whose names are whole numbers, in the unit that gives every camera 1 to
    200 frames per second; ``None`` if there is no such unit, or a name is no such number.

    >>> ticks_of(["4512333", "4512366"], ["cam4512340", "cam4512373"]).unit
    'milliseconds'
    """
    texts = [[re.sub(r"^\D+", "", name) for name in names] for names in cameras]
    if not all(_TICKS.fullmatch(text) for side in texts for text in side):
        return None
    numbers = [[int(text) for text in side] for side in texts]
    for unit, second in _UNITS_S.items():
        steps = [(interval_s(side) or 0) * second for side in numbers]
        if all(_FRAME_S[0] <= step <= _FRAME_S[1] for step in steps):
            return CameraTimes(tuple([one * second for one in side] for side in numbers), unit)
    return None


def _share_of_usual_steps(times_s: Sequence[float]) -> float:
    """Share of steps between neighbours that are 0.5 to 1.5 times the median step."""
    steps = np.diff(np.sort(np.asarray(times_s)))
    return float(np.mean(np.abs(steps / np.median(steps) - 1) <= 0.5)) if len(steps) else 0.0


def _moment(match: re.Match[str]) -> float | None:
    *parts, decimals, digits = match.groups()
    try:
        moment = datetime(*(int(part) for part in parts), tzinfo=UTC)  # type: ignore[misc, arg-type]
    except ValueError:
        return None
    if not 1990 <= moment.year < 2100:
        return None
    return moment.timestamp() + float(f"0.{decimals or digits or 0}")


def interval_s(times_s: Sequence[float]) -> float | None:
    """The usual time between neighbours, seconds; ``None`` for fewer than two."""
    steps = np.diff(np.sort(np.asarray(times_s)))
    return float(np.median(steps)) if steps.size else None


def pace_s(times_s: Sequence[float]) -> float | None:
    """The time between neighbours, seconds, by a line through all stamps whose frames are counted
    with those that are missing: far finer than the usual time of stamps in milliseconds, and of
    stamps that jitter. ``None`` for fewer than two, or where they are too irregular to be counted.
    """
    steps, usual = _steps_s(times_s), interval_s(times_s)
    if not usual:
        return None
    ahead, pace, frames, jitter = 0.0, usual, [0], []
    for step in steps:
        ahead += step
        count = round(ahead / pace)
        ahead -= count * pace  # of the stamp that is expected for this frame
        frames.append(count)
        jitter.append(ahead / pace)
        pace = min(max(pace + 0.01 * ahead, 0.9 * usual), 1.1 * usual)
        ahead *= 0.8  # what is expected follows the stamps slowly
    if np.sqrt(np.mean(np.square(jitter))) > MAX_JITTER:
        return None
    return float(np.polyfit(np.cumsum(frames), np.cumsum([0.0, *steps]), 1)[0])


def _steps_s(times_s: Sequence[float]) -> np.ndarray:
    """Times between neighbours, seconds; a pause, whose frames nobody can count, is one step."""
    steps = np.diff(np.sort(np.asarray(times_s)))
    usual = float(np.median(steps)) if steps.size else 0.0
    return np.where(steps > MAX_STEP * usual, usual, steps)


def drift_frames(rgb_s: Sequence[float], tir_s: Sequence[float]) -> float:
    """By how many frames two cameras of nearly one rate move against each other, by their time
    stamps, while both record; 0 where their rates differ, or a stamp does not tell its frame.

    >>> rgb, tir = ([k / 25 * pace for k in range(1000)] for pace in (1.0, 0.998))
    >>> round(drift_frames(rgb, tir), 1)
    2.0
    """
    pace_rgb, pace_tir = pace_s(rgb_s), pace_s(tir_s)
    if not pace_rgb or not pace_tir or abs(pace_rgb / pace_tir - 1) > MAX_PACE:
        return 0.0
    span_s = min(max(rgb_s), max(tir_s)) - max(min(rgb_s), min(tir_s))
    span_s = min(span_s, float(_steps_s(rgb_s).sum()), float(_steps_s(tir_s).sum()))
    return max(span_s, 0.0) * abs(1 / pace_tir - 1 / pace_rgb)


def default_gap_s(rgb_s: Sequence[float], tir_s: Sequence[float]) -> float:
    """Half a frame interval of the faster camera."""
    known = [step for step in (interval_s(rgb_s), interval_s(tir_s)) if step]
    return min(known) / 2 if known else FALLBACK_GAP_S


def matched_by_time(
    rgb_s: Sequence[float], tir_s: Sequence[float], gap_s: float
) -> list[tuple[int, int]]:
    """Places of frames that are each other's nearest and at most ``gap_s`` apart, in order of time.

    >>> matched_by_time([0.0, 0.1, 0.2], [0.11, 0.5], 0.05)
    [(1, 0)]
    """
    if not len(rgb_s) or not len(tir_s):
        return []
    to_tir, to_rgb = _nearest(rgb_s, tir_s), _nearest(tir_s, rgb_s)
    slack = 1e-6 + 1e-9 * gap_s  # rounding of seconds since 1970 as floats
    return [
        (int(place), int(to_tir[place]))
        for place in np.argsort(rgb_s, kind="stable")
        if to_rgb[to_tir[place]] == place
        and abs(rgb_s[place] - tir_s[to_tir[place]]) <= gap_s + slack
    ]


def smallest_gap_s(rgb_s: Sequence[float], tir_s: Sequence[float]) -> float:
    """Smallest time between frames of the two cameras, seconds."""
    nearest = _nearest(rgb_s, tir_s)
    return float(np.abs(np.asarray(rgb_s) - np.asarray(tir_s)[nearest]).min())


def _nearest(times_s: Sequence[float], others_s: Sequence[float]) -> np.ndarray:
    """The place of the nearest other time, for every time."""
    times, others = np.asarray(times_s), np.asarray(others_s)
    order = np.argsort(others, kind="stable")
    ranked = others[order]
    right = np.clip(np.searchsorted(ranked, times), 1, max(len(ranked) - 1, 1))
    right = np.minimum(right, len(ranked) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(np.abs(times - ranked[left]) <= np.abs(ranked[right] - times), left, right)
    places: np.ndarray = order[nearer]
    return places
