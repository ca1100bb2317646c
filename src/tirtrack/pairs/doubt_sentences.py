"""What the user should know of doubtful pairs, in sentences that name the recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain

import numpy as np

from tirtrack.pairs.colour import SWAP
from tirtrack.pairs.doubts import RecordingDoubts
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import named

_NAMED = 3
_SAME_DELAY_FRAMES = 2
_REGISTER = "register the rig on this recording (`tirtrack pairs register`) and give that --rig"


def sentences(
    found: Sequence[RecordingDoubts],
    remarks: Mapping[str, str] | None = None,
    *,
    times: Mapping[str, TimeOffset] | None = None,
    says_delays: bool = True,
) -> list[str]:
    """What the user should know, one sentence for each kind of doubt, the worst first.

    Args:
        found: doubts about each recording.
        remarks: further remarks on recordings whose modalities have nothing in common, by name.
        times: time offsets that take other TIR frames, by name of the recording.
        says_delays: whether delays are said.
    """
    more, late = remarks or {}, _late(found, times or {})
    return [
        *_each_kind(found, _is_same_picture, _same_picture),
        *_each_kind(found, lambda one: one.swapped, _swapped),
        *_each_kind(found, lambda one: bool(one.turned), _turn),
        *_clocks(found),
        *_each_kind(
            found,
            lambda one: says_delays and one.delay is not None and one.name not in late,
            _delayed,
        ),
        *_first(list(late.values())),
        *_each_kind(found, _shares_no_outlines, partial(_unrelated, more)),
        *chain.from_iterable(
            _each_kind(found, partial(_is_unusable, reason), partial(_unusable, advice))
            for reason, advice in _ADVICE.items()
        ),
        *_each_kind(found, lambda one: one.frozen, _frozen),
        *_mixed_depths(found),
    ]


def _each_kind(
    found: Sequence[RecordingDoubts],
    is_doubtful: Callable[[RecordingDoubts], bool],
    say: Callable[[Sequence[RecordingDoubts]], str],
) -> list[str]:
    doubtful = [one for one in found if is_doubtful(one)]
    return [say(doubtful)] if doubtful else []


def _same_picture(doubtful: Sequence[RecordingDoubts]) -> str:
    names = named([f"{one.name} ({one.same_picture} of {one.compared})" for one in doubtful])
    return (
        f"RGB and TIR are the same picture in pairs that were compared: {names}; a copy teaches "
        "nothing about TIR, so put the thermal frames in its place"
    )


def _swapped(doubtful: Sequence[RecordingDoubts]) -> str:
    return (
        f"TIR is in colour and RGB is grey: {named([one.name for one in doubtful])}; the cameras "
        f"look swapped, {SWAP}"
    )


def _turn(doubtful: Sequence[RecordingDoubts]) -> str:
    names = named([f"{one.name} ({one.turned})" for one in doubtful])
    return (
        f"TIR lies the wrong way round to RGB: {names}; turn one of the two back, in the camera's "
        "settings or by exporting it again, or boxes of one will miss the object in the other"
    )


def _is_unusable(reason: Unusable, one: RecordingDoubts) -> bool:
    """Whether most of its pairs cannot be used, mostly for this reason, and no sentence before has
    said so.
    """
    said = _is_same_picture(one) or _shares_no_outlines(one)
    return one.main_reason is reason and not said


def _shares_no_outlines(one: RecordingDoubts) -> bool:
    """Whether its modalities have nothing in common, and not for what TIR alone shows."""
    by_tir = one.main_reason in (Unusable.BLANK, Unusable.SHUTTER) and not one.flat_rgb
    return one.shows_nothing_in_common and not by_tir


def _is_same_picture(one: RecordingDoubts) -> bool:
    """Whether one picture stands on both sides, and not two that light has made alike."""
    alike = sum(one.unusable.get(kind, 0) for kind in (Unusable.NEAR_INFRARED, Unusable.ONE_KIND))
    return one.same_picture > alike


def _unusable(advice: str, doubtful: Sequence[RecordingDoubts]) -> str:
    names = named([f"{one.name} ({reasons(one.unusable)}, of {one.compared})" for one in doubtful])
    return f"most of the pairs compared cannot be used: {names}; {advice}"


_ADVICE = {
    Unusable.BLANK: "one camera was covered or off, so leave such recordings out",
    Unusable.SHUTTER: "TIR shows its closed shutter, so leave such recordings out",
    Unusable.HIDDEN: "the teacher cannot judge what RGB does not show, so leave them out",
    Unusable.SIMULATED: "a picture made from RGB teaches nothing about TIR, so put the frames of a "
    "thermal camera in its place",
    Unusable.NEAR_INFRARED: "near infrared is reflected light and follows RGB, so put the frames "
    "of a thermal camera (LWIR or MWIR) in its place",
    Unusable.ONE_KIND: "RGB is grey, or painted with a palette, and shows what TIR shows, as two "
    "thermal cameras do, so put the frames of the RGB camera in the place of one of them",
}


def reasons(unusable: Mapping[str, int]) -> str:
    """Why pairs cannot be used, counted, a phrase.

    >>> reasons({"blank": 3, "shutter frame": 1})
    '3 x blank, 1 x shutter frame'
    """
    return ", ".join(f"{count} x {reason}" for reason, count in unusable.items())


def _frozen(doubtful: Sequence[RecordingDoubts]) -> str:
    return (
        f"TIR stands still: {named([one.name for one in doubtful])}; its frames are copies of one "
        "picture and teach no more than it, so record again or leave them out"
    )


def _mixed_depths(found: Sequence[RecordingDoubts]) -> list[str]:
    """A sentence if some recordings hold raw counts and others the levels of a gain control."""
    levels = [one.name for one in found if one.tir_depth == "uint8"]
    counts = [one.name for one in found if one.tir_depth not in ("uint8", "")]
    if not levels or not counts:
        return []
    return [
        f"TIR has 8 bits in {named(levels)} and raw counts in {named(counts)}: in the first a gain "
        "control has set the levels, in the second tirtrack does; export all as raw counts if the "
        "camera can, or distil the kind that your tracker will see"
    ]


def _clocks(found: Sequence[RecordingDoubts]) -> list[str]:
    return _first([f"{one.name}: {clock}" for one in found for clock in one.clocks])


def _first(said: Sequence[str]) -> list[str]:
    """The first few sentences, each of a recording, and how many more there are."""
    more = len(said) - _NAMED
    return [*said[:_NAMED], *([f"the same in {more} more recordings"] if more > 0 else [])]


def _late(found: Sequence[RecordingDoubts], times: Mapping[str, TimeOffset]) -> dict[str, str]:
    """A sentence on each recording of a time offset that drifts, or where no delay was noticed: of
    others the delay says enough.
    """
    return {
        one.name: f"{one.name}: frames of a pair are not of one instant: "
        f"{times[one.name].in_words()}; {_REGISTER}, without --delay: it takes the TIR frame that "
        "is nearest"
        for one in found
        if one.name in times and (one.delay is None or times[one.name].drift_per_1000)
    }


def _delayed(doubtful: Sequence[RecordingDoubts]) -> str:
    names = named([f"{one.name} {_delay_text(one)}" for one in doubtful])
    frames = [one.delay.frames for one in doubtful if one.delay is not None]
    given = [one.given_frames for one in doubtful]
    fix = delay_fix(int(np.median(frames)), None if None in given else given[0])
    if None not in given and max(frames) - min(frames) > _SAME_DELAY_FRAMES:
        fix = "give recordings of one delay on their own, with --delay FRAMES"
    return f"frames of a pair are not of one instant: {names}; {fix}"


def delay_fix(frames: int, given: int | None) -> str:
    """What to do about a delay of TIR, a phrase.

    Args:
        frames: frames by which TIR is late; negative: early.
        given: frames by which it is taken later already; ``None`` where that drifts.

    >>> delay_fix(-2, 5)
    'take TIR that much earlier with --delay 3 in place of 5'
    """
    if given is None:
        return f"the rig's drift does not fit, and no --delay replaces it: {_REGISTER}"
    later = "later" if frames > 0 else "earlier"
    before = f" in place of {given}" if given else ""
    return f"take TIR that much {later} with --delay {given + frames}{before}"


def _delay_text(one: RecordingDoubts) -> str:
    if one.delay is None:
        return ""
    late = "late" if one.delay.frames > 0 else "early"
    count = abs(one.delay.frames)
    seconds = "" if one.delay_s is None else f" ({abs(one.delay_s):.2g} s)"
    unit = " px" if one.delay.measure == "residual" else ""
    return (
        f"(TIR is {count} {'frame' if count == 1 else 'frames'}{seconds} {late}: without the delay "
        f"the {one.delay.measure} is {one.delay.after:.2g}{unit}, not {one.delay.before:.2g})"
    )


def _unrelated(remarks: Mapping[str, str], doubtful: Sequence[RecordingDoubts]) -> str:
    names = named([f"{one.name} ({_without_outlines(one, remarks)})" for one in doubtful])
    return (
        f"RGB and TIR share no outlines in most of the pairs compared: {names}; look whether RGB "
        "shows more than smoke, fog or darkness, and both the same scene; leave such recordings "
        "out, for the teacher cannot judge what RGB does not show"
    )


def _without_outlines(one: RecordingDoubts, remarks: Mapping[str, str]) -> str:
    counted = f"{one.unrelated} of {one.compared}"
    why = "RGB nearly without contrast" if one.flat_rgb else ""
    if one.main_reason is not None and not one.flat_rgb:
        why = reasons(one.unusable)
    return ", ".join(filter(None, (counted, why, remarks.get(one.name))))
