"""Names that are time stamps, and the frames of two cameras matched by time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

FALLBACK_GAP_S = 0.05
_DATE = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T_ -]?(\d\d)[-:_.]?(\d\d)[-:_.]?(\d\d)"
    r"(?:[.,](\d{1,9})|[-_]?(\d{9}|\d{6}|\d{3}))?Z?"
)
_EPOCH = re.compile(r"([1-4]\d{9})(?:\.(\d{1,9})|_(\d{9}|\d{6}|\d{3}))?")
_EPOCH_UNITS = {13: 1e-3, 16: 1e-6, 19: 1e-9}
_SECONDS = re.compile(r"\d+\.\d+")


def seconds_of(name: str) -> float | None:
    """The time in seconds that a name says, ``None`` where it is no time stamp.

    Dates with a time of day (taken as UTC), seconds since 1970 (also milli-, micro- and
    nanoseconds, by their number of digits) and seconds with decimals. Text before the first digit
    does not count.

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
    """The usual time between neighbours, seconds; ``None`` of fewer than two."""
    steps = np.diff(np.sort(np.asarray(times_s)))
    return float(np.median(steps)) if steps.size else None


def default_gap_s(rgb_s: Sequence[float], tir_s: Sequence[float]) -> float:
    """Half a frame interval of the faster camera."""
    known = [step for step in (interval_s(rgb_s), interval_s(tir_s)) if step]
    return min(known) / 2 if known else FALLBACK_GAP_S


def matched_by_time(
    rgb_s: Sequence[float], tir_s: Sequence[float], gap_s: float
) -> list[tuple[int, int]]:
    """Places of the frames that are each other's nearest and at most ``gap_s`` apart, by time.

    >>> matched_by_time([0.0, 0.1, 0.2], [0.11, 0.5], 0.05)
    [(1, 0)]
    """
    if not len(rgb_s) or not len(tir_s):
        return []
    to_tir, to_rgb = _nearest(rgb_s, tir_s), _nearest(tir_s, rgb_s)
    slack = 1e-6 + 1e-9 * gap_s  # of seconds since 1970 as floats
    return [
        (int(place), int(to_tir[place]))
        for place in np.argsort(rgb_s, kind="stable")
        if to_rgb[to_tir[place]] == place
        and abs(rgb_s[place] - tir_s[to_tir[place]]) <= gap_s + slack
    ]


def smallest_gap_s(rgb_s: Sequence[float], tir_s: Sequence[float]) -> float:
    """How near the nearest frames of both cameras lie, seconds."""
    nearest = _nearest(rgb_s, tir_s)
    return float(np.abs(np.asarray(rgb_s) - np.asarray(tir_s)[nearest]).min())


def _nearest(times_s: Sequence[float], others_s: Sequence[float]) -> np.ndarray:
    """For every time the place of the nearest other one."""
    times, others = np.asarray(times_s), np.asarray(others_s)
    order = np.argsort(others, kind="stable")
    ranked = others[order]
    right = np.clip(np.searchsorted(ranked, times), 1, max(len(ranked) - 1, 1))
    right = np.minimum(right, len(ranked) - 1)
    left = np.maximum(right - 1, 0)
    nearer = np.where(np.abs(times - ranked[left]) <= np.abs(ranked[right] - times), left, right)
    places: np.ndarray = order[nearer]
    return places
