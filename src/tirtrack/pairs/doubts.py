"""Pairs that may not be real pairs: the same picture twice, swapped or turned cameras, RGB that
shows nothing, frames of different instants; and TIR that stands still.

Each doubt is measured on small copies of a few pairs of a recording, cheap enough for distillation
as well as inspection. Sentences name the recordings; nothing here stops a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from tirtrack.errors import PairsError
from tirtrack.pairs.colour import GREY
from tirtrack.pairs.delay import MIN_FRAMES, Delay, measure_delay
from tirtrack.pairs.likeness import (
    TURNS,
    Likeness,
    Unusable,
    likeness,
    resized,
    thumbnail,
    unusable,
)
from tirtrack.pairs.registration import USABLE_PEAK
from tirtrack.pairs.source import PairSource, Recording
from tirtrack.pairs.source_views import JudgedPairs
from tirtrack.pairs.spreading import spread
from tirtrack.progress import Progress, silent

MIN_TESTED = 2
MAX_TESTED = 8
DELAY_SIDE = 128
TIR_COLOUR = 0.01
FLAT = 0.25
MIN_TURN_RATIO = 1.25


@dataclass(frozen=True)
class RecordingDoubts:
    """The doubts about a recording.

    Attributes:
        name: name of the recording.
        compared: number of pairs whose pictures were compared.
        same_picture: number of these that show one picture twice.
        swapped: whether TIR is in colour and RGB is grey.
        unrelated: number of compared pairs without common outlines.
        flat_rgb: whether RGB has far weaker outlines than TIR.
        delay: delay of TIR, if there is one.
        delay_s: the delay in seconds, if the rate is known.
        clocks: doubts that come from the files' clocks, one sentence each.
        frozen: whether most TIR frames of a video equal the one read before.
        given_frames: number of frames by which TIR is taken later already, by a delay or a rig;
            ``None`` where that drifts.
        turned: how TIR lies to RGB, one of ``TURNS``; empty if they are the same way round.
        unusable: number of compared pairs that cannot be used, by reason.
        tir_depth: type of the TIR samples as stored; empty where no pair could be read.
    """

    name: str = ""
    compared: int = 0
    same_picture: int = 0
    swapped: bool = False
    unrelated: int = 0
    flat_rgb: bool = False
    delay: Delay | None = None
    delay_s: float | None = None
    clocks: Sequence[str] = ()
    frozen: bool = False
    given_frames: int | None = 0
    turned: str = ""
    unusable: Mapping[str, int] = field(default_factory=dict)
    tir_depth: str = ""

    @property
    def shows_nothing_in_common(self) -> bool:
        """Whether most of its pairs have no outlines in common, without a delay to explain it."""
        is_most = self.compared >= MIN_TESTED and 2 * self.unrelated > self.compared
        return is_most and self.delay is None and not self.turned

    @property
    def explains_few_outlines(self) -> bool:
        """Whether a sentence says already why its modalities have few outlines in common."""
        return self.shows_nothing_in_common or bool(self.turned) or self.main_reason is not None

    @property
    def main_reason(self) -> Unusable | None:
        """The most frequent reason for which its pairs cannot be used, of those that registration
        cannot mend; ``None`` if most of its pairs have none of these.
        """
        others = {kind: n for kind, n in self.unusable.items() if kind != Unusable.OTHER_SCENE}
        is_most = self.compared >= MIN_TESTED and 2 * sum(others.values()) > self.compared
        return Unusable(max(others, key=lambda kind: others[kind])) if is_most else None


@dataclass(frozen=True)
class Effort:
    """How many pairs are read to find doubts.

    Attributes:
        compared: total number of pairs whose pictures are compared; at least 2 per recording.
        frames: total number of consecutive pairs that are searched for a delay.
        least_frames: smallest number of these per recording; if ``frames`` is too few for all
            recordings, some of them, evenly spread, are searched.
        most_frames: largest number of these per recording.
        recordings: largest number of recordings, evenly spread; ``None``: all.
    """

    compared: int
    frames: int
    recordings: int | None = None
    least_frames: int = 24
    most_frames: int = 100


THOROUGH = Effort(compared=120, frames=2000)
QUICK = Effort(compared=48, frames=160, recordings=100)


def look_for_doubts(
    source: PairSource, effort: Effort = THOROUGH, *, progress: Progress = silent
) -> list[RecordingDoubts]:
    """The doubts about each recording of a source.

    Args:
        source: the pairs.
        effort: number of pairs to read.
        progress: callback that is told of every finished recording.
    """
    everything = list(source.recordings().values())
    recordings = spread(everything, effort.recordings or len(everything))
    long = [one for one in recordings if len(one.indices) >= MIN_FRAMES]
    frames = min(max(effort.frames // max(len(long), 1), effort.least_frames), effort.most_frames)
    timed = {one.name for one in spread(long, max(effort.frames // frames, 1))}
    compared = min(max(effort.compared // max(len(recordings), 1), MIN_TESTED), MAX_TESTED)
    found = []
    for done, recording in enumerate(recordings, start=1):
        count = frames if recording.name in timed else 0
        found.append(_doubts(source, recording, frames=count, compared=compared))
        progress("checking recordings", done, len(recordings))
    return found


def _doubts(
    source: PairSource, recording: Recording, *, frames: int, compared: int
) -> RecordingDoubts:
    window = _window(recording.indices, frames)
    chosen = spread(window or list(recording.indices), compared)
    likenesses, small, tir, depths = [], [], [], []
    for index in window or chosen:
        try:
            pair = source[index]
        except PairsError:  # counted and named where all pairs are read
            continue
        tir.append(pair.tir)
        depths.append(pair.tir_depth)
        if pair.rgb is None:
            continue
        if index in chosen:
            likenesses.append(likeness(pair))
        if window:
            small.append([thumbnail(image, DELAY_SIDE) for image in pair.both])
    delay = _delay(small)
    return RecordingDoubts(
        recording.name,
        len(likenesses),
        sum(one.same_picture for one in likenesses),
        _are_swapped(likenesses),
        sum(one.unrelated and not one.same_picture for one in likenesses),
        _rgb_is_flat(likenesses),
        delay,
        delay.frames / recording.frames_per_s if delay and recording.frames_per_s else None,
        recording.warnings,
        recording.is_video and _stands_still(tir),
        recording.delay_frames,
        _turned(likenesses),
        counted_reasons(one.unusable for one in likenesses),
        depths[0] if depths else "",
    )


def counted_reasons(kinds: Iterable[Unusable | None]) -> dict[str, int]:
    """Number of pairs that cannot be used, by reason, the most frequent first."""
    return dict(Counter(str(one) for one in kinds if one is not None).most_common())


def left_out(kinds: Mapping[int, Unusable | None]) -> dict[int, Unusable]:
    """The pairs of a recording that cannot be used, of those that were judged.

    Where most seem to show different scenes they are not among them: then it is the recording that
    is in doubt, whose cameras may look at one scene and not be registered.

    >>> left_out({0: None, 4: Unusable.OTHER_SCENE, 8: None})
    {4: <Unusable.OTHER_SCENE: 'different scenes'>}
    >>> left_out({0: Unusable.OTHER_SCENE, 4: Unusable.BLANK})
    {4: <Unusable.BLANK: 'blank'>}
    """
    counts = Counter(one for one in kinds.values() if one is not None)
    counted = counts_left_out(counts, len(kinds))
    return {index: one for index, one in kinds.items() if one is not None and one in counted}


def counts_left_out(counts: Mapping[Unusable, int], judged: int) -> dict[Unusable, int]:
    """Number of pairs of a recording that are left out (:func:`left_out`), the most frequent first.

    Args:
        counts: number of its pairs by what is wrong with them.
        judged: number of its pairs that were judged.
    """
    in_doubt = 2 * counts.get(Unusable.OTHER_SCENE, 0) >= judged
    kept = {one: n for one, n in counts.items() if not (in_doubt and one is Unusable.OTHER_SCENE)}
    return dict(sorted(kept.items(), key=lambda one: (-one[1], one[0])))


def unusable_pairs(
    source: PairSource, indices: Sequence[int], progress: Progress = silent
) -> dict[int, Unusable]:
    """The pairs among these that cannot be used (:func:`left_out`), by their index. What was judged
    when they were mined is not judged again.

    Args:
        source: the pairs.
        indices: indices of the pairs to judge; those that cannot be read are passed over.
        progress: callback that is told of every judged pair.
    """
    found: dict[int, Unusable] = {}
    wanted, done = set(indices), 0
    for recording in source.recordings().values():
        kinds: dict[int, Unusable | None] = {}
        judge = _judge(source, recording.name)
        for index in recording.indices:
            if index not in wanted:
                continue
            done += 1
            progress("judging pairs", done, len(wanted))
            try:
                kinds[index] = judge(index)
            except PairsError:  # counted and named where all pairs are read
                continue
        found |= left_out(kinds)
    return found


def _judge(source: PairSource, recording: str) -> Callable[[int], Unusable | None]:
    """The function that judges a pair of a recording by its index."""
    if isinstance(source, JudgedPairs) and source.is_judged(recording):
        return source.judged
    return lambda index: unusable(source[index])


def _stands_still(tir: Sequence[np.ndarray]) -> bool:
    """Whether most frames ``[H,W]`` equal the one before."""
    equal = [np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairwise(tir)]
    return 2 * sum(equal) > len(equal)


def _window(indices: Sequence[int], count: int) -> list[int]:
    """``count`` consecutive indices from the middle."""
    first = max(len(indices) - count, 0) // 2
    return list(indices[first : first + count])


def _delay(small: Sequence[Sequence[np.ndarray]]) -> Delay | None:
    if len(small) < MIN_FRAMES:
        return None
    height, width = small[0][0].shape
    rgb, tir = (
        np.stack([resized(frames[modality], height, width) for frames in small])
        for modality in (0, 1)
    )
    return measure_delay(rgb, tir)


def _are_swapped(likenesses: Sequence[Likeness]) -> bool:
    return bool(likenesses) and (
        _median(likenesses, "colour_tir") > TIR_COLOUR and _median(likenesses, "colour_rgb") < GREY
    )


def _turned(likenesses: Sequence[Likeness]) -> str:
    """The turn of TIR by which its outlines agree clearly better with those of RGB, if any."""
    if len(likenesses) < MIN_TESTED:
        return ""
    turned = np.median([one.turned for one in likenesses], axis=0)
    best = int(turned.argmax())
    least = max(USABLE_PEAK, MIN_TURN_RATIO * _median(likenesses, "outlines"))
    return list(TURNS)[best] if turned[best] > least else ""


def _rgb_is_flat(likenesses: Sequence[Likeness]) -> bool:
    return bool(likenesses) and (
        _median(likenesses, "contrast_rgb") < FLAT * _median(likenesses, "contrast_tir")
    )


def _median(likenesses: Sequence[Likeness], name: str) -> float:
    return float(np.median([getattr(one, name) for one in likenesses]))
