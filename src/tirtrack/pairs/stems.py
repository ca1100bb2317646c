"""Matches the frames of two cameras, by their names or by their time.

Nothing is dropped silently: names without a partner are an error, and the number of frames that are
left out for a gap in time is stated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tirtrack.errors import PairsError
from tirtrack.pairs.camera_names import (
    CameraStem,
    Match,
    Pairing,
    camera_stem,
    without_common_ends,
)
from tirtrack.pairs.rig import TimeOffset, later
from tirtrack.pairs.timestamps import (
    default_gap_s,
    drift_frames,
    interval_s,
    matched_by_time,
    pace_s,
    seconds_of,
    smallest_gap_s,
    stamps_of,
    ticks_of,
)

MIN_MATCHED = 0.5
MAX_DRIFT = 1.0  # frames in a recording
MAX_CHANCE = 0.1  # of the time stamps of two cameras may be equal by chance
_ONE_NUMBER_EACH = "name the frames of both cameras by their numbers, one name each"


@dataclass(frozen=True)
class MatchedFrames:
    """The frames of two cameras that belong together, in order.

    Attributes:
        places: places of each pair's RGB and TIR frame among those given.
        keys: name of each pair.
        said: assumptions, a phrase; empty if names are equal.
        interval_s: time between neighbours in seconds, if known.
        by_time: whether frames were matched by time and not by name.
        doubt: reason to doubt that frames matched by time belong together, a sentence; empty if
            there is none.
    """

    places: tuple[tuple[int, int], ...]
    keys: Sequence[str]
    said: str = ""
    interval_s: float | None = None
    by_time: bool = False
    doubt: str = ""

    def moved(self, pairing: Pairing, where: Path, *, is_video: bool) -> MatchedFrames:
        """The same frames with TIR taken later by the delay that was given, or else by the rig.

        Args:
            pairing: its delay, and the rig.
            where: the folder, for messages.
            is_video: whether a rig's time offset moves the recording.

        Raises:
            PairsError: nothing is left.
        """
        time = pairing.rig.time if pairing.rig is not None and is_video else None
        delay = pairing.delay_frames
        if delay is None:
            found = self.in_time(time, where)
            is_told = time is not None and time.drift_error_per_1000 is not None
            return replace(found, doubt="") if is_told else found
        found, last = self.shifted(delay, where), len(self.places) - 1
        if time is None or time.whole_frames(0) == delay == time.whole_frames(last):
            return found
        said = f"TIR taken {later(delay)}, not {time.as_applied()} as in the rig"
        return replace(found, said=f"{self.said}, {said}" if self.said else said)

    def shifted(self, delay_frames: int, where: Path) -> MatchedFrames:
        """The same frames with TIR taken ``delay_frames`` later.

        Raises:
            PairsError: nothing is left.
        """
        if delay_frames == 0:
            return self
        moved = self._moved(lambda _: delay_frames, f"TIR taken {later(delay_frames)}")
        if not moved.places:
            raise PairsError(
                f"a delay of {delay_frames} frames leaves nothing of {len(self.places)} pairs",
                where,
                "give a --delay nearer to 0",
            )
        return moved

    def in_time(self, time: TimeOffset | None, where: Path) -> MatchedFrames:
        """The same frames, each of RGB with the TIR frame that is nearest by a rig's time offset.

        Raises:
            PairsError: nothing is left.
        """
        if time is None or not time.moves(len(self.places)):
            return self
        moved = self._moved(time.whole_frames, f"by the rig TIR taken {time.as_applied()}")
        if not moved.places:
            raise PairsError(
                f"the rig's time offset of {time.frames:.1f} frames leaves nothing of "
                f"{len(self.places)} pairs",
                where,
                "leave this recording out, or register its cameras: `tirtrack pairs register`",
            )
        return moved

    def _moved(self, late: Callable[[int], int], said: str) -> MatchedFrames:
        """The same frames with TIR of pair k taken ``late(k)`` pairs later, where there is any."""
        count = len(self.places)
        partners = [(k, k + late(k)) for k in range(count) if 0 <= k + late(k) < count]
        return replace(
            self,
            places=tuple((self.places[k][0], self.places[other][1]) for k, other in partners),
            keys=tuple(self.keys[k] for k, _ in partners),
            said=f"{self.said}, {said}" if self.said else said,
        )


Matcher = Callable[[Sequence[str], Sequence[str], Pairing, Path], MatchedFrames]
"""A rule that makes pairs of the stems of RGB and TIR: as :func:`matched_stems`."""


def matched_stems(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, where: Path
) -> MatchedFrames:
    """The stems of two cameras as pairs.

    Equal stems are tried first, then stems without the part that names the camera (``_V`` and
    ``_T``), then without the common beginning and end of a camera's stems. If names do not match,
    stems that are time stamps, or numbers that count up as evenly as frames do, are matched by
    time; not where so many are equal that the others lack a partner.

    Args:
        rgb: unique stems of the RGB camera.
        tir: unique stems of the TIR camera.
        pairing: settings by which the user names and matches the cameras.
        where: the folder, for messages.

    Raises:
        PairsError: stems have no partner, or are no time stamps where time was asked for.
    """
    if not pairing.by_time and set(rgb) == set(tir):
        return _in_order(dict(_places(rgb)), dict(_places(tir)), "")
    keys = [
        [_key(stem, modality, pairing) for stem in stems]
        for modality, stems in (("rgb", rgb), ("tir", tir))
    ]
    stamps, ticks = stamps_of(*keys), ticks_of(*keys)
    times = stamps or ticks
    if not pairing.by_time:
        found = _by_name(rgb, tir, pairing, stamped=stamps is not None)
        if found is not None:
            return found
        surely = stamps is not None or (ticks is not None and ticks.is_regular)
        is_lack = len(set(rgb) & set(tir)) > MAX_CHANCE * min(len(rgb), len(tir))
        if pairing.match == Match.NAME or not surely or is_lack:
            parts = [_parts(rgb, "rgb", pairing)[0], _parts(tir, "tir", pairing)[0]]
            offer = times is not None
            raise _unmatched(min((rgb, tir), parts, key=_alone), where, offer_time=offer)
    if times is None:
        raise _no_time_stamp(rgb, tir, pairing, where)
    rgb_s, tir_s = times.times_s
    matched = frames_by_time(rgb_s, tir_s, keys[0], pairing, where)
    if not times.unit:
        return matched
    return replace(matched, said=f"numbers taken for {times.unit}, {matched.said}")


def matched_in_order(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, where: Path
) -> MatchedFrames:
    """The stems as :func:`matched_stems` pairs them; where names do not match, frame k of one
    camera belongs to frame k of the other, in order of the last number in a name. TIR alone is put
    in that order too, where every name has a number of its own.

    Raises:
        PairsError: there are more frames of one camera, a name has no number, or two have the same.
    """
    try:
        matched = matched_stems(rgb, tir, pairing, where)
        return _numbered(matched, where) if pairing.tir_alone else matched
    except PairsError:
        if len(rgb) != len(tir) or pairing.by_time:
            raise
    orders = [_by_number(stems, where) for stems in (rgb, tir)]
    places = tuple(zip(*orders, strict=True))
    keys = tuple(rgb[place] for place in orders[0])
    return MatchedFrames(places, keys, "names differ, so frame k is matched with frame k")


def _numbered(matched: MatchedFrames, where: Path) -> MatchedFrames:
    """Frames in order of the last number in each key; as they are, where these are not unique."""
    try:
        order = _by_number(matched.keys, where)
    except PairsError:
        return matched
    places, keys = zip(*((matched.places[k], matched.keys[k]) for k in order), strict=True)
    return replace(matched, places=places, keys=keys)


def _by_number(stems: Sequence[str], where: Path) -> list[int]:
    """Places of stems in order of the last number in each."""
    numbers: dict[int, int] = {}
    for place, stem in enumerate(stems):
        found = re.findall(r"\d+", stem)
        if not found:
            raise PairsError(f'"{stem}" holds no number', where, _ONE_NUMBER_EACH)
        if (other := numbers.setdefault(int(found[-1]), place)) != place:
            raise PairsError(
                f'"{stems[other]}" and "{stem}" have one number', where, _ONE_NUMBER_EACH
            )
    return [numbers[number] for number in sorted(numbers)]


def frames_by_time(
    rgb_s: Sequence[float],
    tir_s: Sequence[float],
    keys: Sequence[str],
    pairing: Pairing,
    where: Path,
) -> MatchedFrames:
    """Frames matched by their times.

    Args:
        rgb_s: times of the RGB frames, seconds.
        tir_s: times of the TIR frames, by the same clock.
        keys: names of the RGB frames.
        pairing: settings with the largest gap, if the user gave one.
        where: the folder, for messages.

    Raises:
        PairsError: no frame has a partner, or fewer than half of the shorter side have one and
            the user did not ask for time.
    """
    gap_s = default_gap_s(rgb_s, tir_s) if pairing.max_gap_s is None else pairing.max_gap_s
    places = matched_by_time(rgb_s, tir_s, gap_s)
    fewest = min(len(rgb_s), len(tir_s))
    if not places or (not pairing.by_time and len(places) < MIN_MATCHED * fewest):
        raise PairsError(
            f"by time only {len(places)} of {len(rgb_s)} RGB and {len(tir_s)} TIR frames have a "
            f"partner within {gap_s:.3g} s (the nearest two lie {smallest_gap_s(rgb_s, tir_s):.3g} "
            "s apart)",
            where,
            "check that both clocks agree, or say what to take with --match time and --max-gap "
            "SECONDS",
        )
    left_out = [len(times) - len(places) for times in (rgb_s, tir_s)]
    said = (
        f"matched by time within {gap_s:.3g} s, {left_out[0]} of {len(rgb_s)} RGB and "
        f"{left_out[1]} of {len(tir_s)} TIR frames left out"
    )
    step = interval_s([rgb_s[place] for place, _ in places])
    kept = tuple(keys[place] for place, _ in places)
    doubt = "" if pairing.by_time else _clocks_drift(rgb_s, tir_s)
    return MatchedFrames(tuple(places), kept, said, step, by_time=True, doubt=doubt)


def _clocks_drift(rgb_s: Sequence[float], tir_s: Sequence[float]) -> str:
    """A sentence if time stamps move against each other by more than a frame; else nothing."""
    frames = drift_frames(rgb_s, tir_s)
    if frames <= MAX_DRIFT:
        return ""
    pace_rgb, pace_tir = pace_s(rgb_s) or 1, pace_s(tir_s) or 1
    return (
        f"by their time stamps RGB has {1 / pace_rgb:.6g} frames/s and TIR {1 / pace_tir:.6g}, "
        f"which drifts by {frames:.1f} frames in the recording; if each camera stamped by a clock "
        "of its own, pairs drift as much: register the rig (`tirtrack pairs register`), which "
        "finds the drift by what moves, and give --rig; if one clock stamped both, say so with "
        "--match time"
    )


def _by_name(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, *, stamped: bool
) -> MatchedFrames | None:
    """Pairs of unequal stems, if one of the rules gives every stem a partner."""
    parts = [_parts(rgb, "rgb", pairing), _parts(tir, "tir", pairing)]
    sides = [dict(_places(keys)) for keys, _ in parts]
    if sides[0].keys() == sides[1].keys() and len(sides[0]) == len(rgb) == len(tir):
        said = "names matched without {} of RGB and {} of TIR".format(*_said(parts))
        return _in_order(sides[0], sides[1], said)
    return None if stamped else _by_common_ends(rgb, tir)


def _by_common_ends(rgb: Sequence[str], tir: Sequence[str]) -> MatchedFrames | None:
    if len(rgb) != len(tir) or len(rgb) < 2:
        return None
    (keys_rgb, end_rgb), (keys_tir, end_tir) = without_common_ends(rgb), without_common_ends(tir)
    said = f'names matched without "{end_rgb}" of RGB and "{end_tir}" of TIR'
    if found := _matched_keys(keys_rgb, keys_tir, said):
        return found
    return _matched_keys(
        [_without_padding(key) for key in keys_rgb],
        [_without_padding(key) for key in keys_tir],
        "numbers matched without leading zeros",
    )


def _matched_keys(rgb: Sequence[str], tir: Sequence[str], said: str) -> MatchedFrames | None:
    """Pairs matched by key, if both cameras have the same keys and none is empty or repeated."""
    sides = [dict(_places(keys)) for keys in (rgb, tir)]
    if sides[0].keys() != sides[1].keys() or len(sides[0]) != len(rgb) or "" in sides[0]:
        return None
    return _in_order(sides[0], sides[1], said)


def _without_padding(key: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", key)


def _places(keys: Sequence[str]) -> list[tuple[str, int]]:
    return [(key, place) for place, key in enumerate(keys)]


def _in_order(rgb: Mapping[str, int], tir: Mapping[str, int], said: str) -> MatchedFrames:
    """Pairs in order of time if all keys are times, else in order of their numbers."""
    stamps = stamps_of([*rgb])
    times = {} if stamps is None else dict(zip(rgb, stamps.times_s[0], strict=True))
    keys = sorted(rgb, key=times.__getitem__ if times else natural_key)
    places = tuple((rgb[key], tir[key]) for key in keys)
    return MatchedFrames(places, tuple(keys), said, interval_s([*times.values()]))


def _parts(stems: Sequence[str], modality: str, pairing: Pairing) -> tuple[list[str], list[str]]:
    """The stems without the camera's part, and the removed parts."""
    found = [_taken_apart(stem, modality, pairing) for stem in stems]
    keys = [stem if one is None else one.key for stem, one in zip(stems, found, strict=True)]
    return keys, sorted({one.part for one in found if one is not None})


def _said(parts: Sequence[tuple[list[str], list[str]]]) -> list[str]:
    return [" or ".join(f'"{part}"' for part in left_out) or "anything" for _, left_out in parts]


def _taken_apart(stem: str, modality: str, pairing: Pairing) -> CameraStem | None:
    """A stem split by the name that the user gave; by the usual spellings if it names a folder."""
    found = camera_stem(stem, modality, pairing)
    if found is None and pairing.name_of(modality) is not None:
        return camera_stem(stem, modality, Pairing())
    return found


def _key(stem: str, modality: str, pairing: Pairing) -> str:
    found = _taken_apart(stem, modality, pairing)
    return stem if found is None else found.key


def _no_time_stamp(
    rgb: Sequence[str], tir: Sequence[str], pairing: Pairing, where: Path
) -> PairsError:
    odd = next(
        stem
        for modality, stems in (("rgb", rgb), ("tir", tir))
        for stem in stems
        if seconds_of(_key(stem, modality, pairing)) is None
    )
    return PairsError(
        f'"{odd}" is not a time stamp',
        where,
        "name frames by date and time, by seconds with decimals or since 1970, or by whole milli-, "
        "micro- or nanoseconds at 1 to 200 frames a second, or match by name",
    )


def _alone(sides: Sequence[Sequence[str]]) -> int:
    """How many stems one camera has and the other lacks."""
    return len(set(sides[0]) ^ set(sides[1]))


def _unmatched(sides: Sequence[Sequence[str]], where: Path, *, offer_time: bool) -> PairsError:
    rgb, tir = sides
    alone = sorted(set(rgb) ^ set(tir), key=natural_key)
    first = ", ".join(alone[:3]) + (", ..." if len(alone) > 3 else "")
    time = ", match them by time with --match time" if offer_time else ""
    stems = "1 stem is" if len(alone) == 1 else f"{len(alone)} stems are"
    return PairsError(
        f"rgb has {len(rgb)} images, tir {len(tir)}, and {stems} in one of them only ({first})",
        where,
        "give both images of a pair the same stem (but for what names the camera, such as _V and "
        f"_T, or what --rgb and --tir say){time}, or remove those without a partner",
    )


def natural_key(name: str | Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``frame2`` before ``frame10``.

    >>> sorted(["f10", "f2", "f1"], key=natural_key)
    ['f1', 'f2', 'f10']
    """
    text = name.name if isinstance(name, Path) else name
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    ]


def counts_up(stems: Sequence[str]) -> bool:
    """Whether stems are frames of a video: at least three, one prefix, numbers without a gap.

    >>> counts_up(["000001", "000002", "000003"]), counts_up(["190001", "190002", "200002"])
    (True, False)
    """
    matches = [re.fullmatch(r"(.*?)(\d+)", stem) for stem in stems]
    parts = [(match[1], int(match[2])) for match in matches if match]
    if len(parts) != len(stems) or len(stems) < 3 or len({prefix for prefix, _ in parts}) > 1:
        return False
    numbers = [number for _, number in parts]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
