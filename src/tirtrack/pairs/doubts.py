"""Pairs that may not be real pairs: the same picture twice, swapped or turned cameras, RGB that
shows nothing, frames of different instants; and TIR that stands still.

Each doubt is measured on small copies of a few pairs of a recording, cheap enough for distillation
as well as inspection. Sentences name the recordings; nothing here stops a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image
from scipy import ndimage

from tirtrack.errors import PairsError
from tirtrack.pairs.colour import GREY, colour
from tirtrack.pairs.delay import MIN_FRAMES, Delay, measure_delay
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.pairs.registration import USABLE_PEAK, measure_offset
from tirtrack.pairs.source import Pair, PairSource, Recording
from tirtrack.pairs.spreading import spread
from tirtrack.progress import Progress, silent

MIN_TESTED = 2
MAX_TESTED = 8
SIDE = 240
DELAY_SIDE = 128
SAME_DETAIL = 0.8
SAME_LEVELS = 0.35
TIR_COLOUR = 0.01
FLAT = 0.25
_DETAIL_SIGMA = 1.5
_TILES = 4
_MIN_DETAIL = 0.4
TURNS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "upside down": lambda image: np.rot90(image, 2),
}
MIN_TURN_RATIO = 1.25


@dataclass(frozen=True)
class Likeness:
    """What the two pictures of a pair have in common.

    Attributes:
        detail: absolute correlation of their finest structure at the best shift, 0 to 1, median
            over tiles of the picture.
        difference: root mean square difference of their grey levels, or of one inverted, over
            the deviation of RGB.
        outlines: correlation of their outlines at the best shift.
        contrast_rgb: strength of the outlines of RGB, grey levels per pixel.
        contrast_tir: the same for TIR.
        colour_rgb: mean difference of the colour channels of RGB, share of the range.
        colour_tir: the same for TIR as stored.
        turned: what ``outlines`` would be with TIR as each of ``TURNS`` has it.
    """

    detail: float
    difference: float
    outlines: float
    contrast_rgb: float
    contrast_tir: float
    colour_rgb: float
    colour_tir: float
    turned: Sequence[float] = ()

    @property
    def same_picture(self) -> bool:
        """Whether one is a copy of the other: RGB and TIR never share their finest structure."""
        return self.detail > SAME_DETAIL or self.difference < SAME_LEVELS

    @property
    def unrelated(self) -> bool:
        """Whether they have no outlines in common."""
        return self.outlines <= USABLE_PEAK


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
        given_frames: number of frames by which TIR is taken later already, as the user asked.
        turned: how TIR lies to RGB, one of ``TURNS``; empty if they are the same way round.
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
    given_frames: int = 0
    turned: str = ""

    @property
    def shows_nothing_in_common(self) -> bool:
        """Whether most of its pairs have no outlines in common, without a delay to explain it."""
        is_most = self.compared >= MIN_TESTED and 2 * self.unrelated > self.compared
        return is_most and self.delay is None and not self.turned


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
    likenesses, small, tir = [], [], []
    for index in window or chosen:
        try:
            pair = source[index]
        except PairsError:  # counted and named where all pairs are read
            continue
        tir.append(pair.tir)
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
    )


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
        np.stack([_fitted(frames[modality], height, width) for frames in small])
        for modality in (0, 1)
    )
    return measure_delay(rgb, tir)


def _fitted(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[H,W]`` float32, resized."""
    if image.shape == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    whole: np.ndarray = np.asarray(resized)
    return whole


def likeness(pair: Pair) -> Likeness:
    """What the two pictures of a pair have in common, measured on copies 240 px long."""
    rgb, tir = (thumbnail(image, SIDE) for image in pair.both)
    offset = measure_offset(rgb, tir)
    return Likeness(
        _shared_detail(*_overlapping(rgb, tir, round(offset.dx), round(offset.dy))),
        _difference(rgb, tir),
        offset.peak,
        _contrast(rgb),
        _contrast(tir),
        colour(pair.both[0]),
        pair.tir_colour,
        [measure_offset(rgb, np.ascontiguousarray(turn(tir))).peak for turn in TURNS.values()],
    )


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """``[H,W]`` or ``[H,W,3]`` as grey levels float32 ``[h,w]``, at most ``side`` px long."""
    if image.dtype == np.uint8:
        picture = Image.fromarray(image).convert("L")
    else:
        picture = Image.fromarray(grey_levels(image))
    factor = max(picture.size) // side
    if factor > 1:
        picture = picture.reduce(factor)
    scale = min(side / max(picture.size), 1.0)
    height, width = (max(round(side * scale), 1) for side in (picture.height, picture.width))
    return _fitted(np.asarray(picture, np.float32), height, width)


def _overlapping(
    rgb: np.ndarray, tir: np.ndarray, dx: int, dy: int
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both that overlap when TIR is moved by ``dx``, ``dy``."""
    height, width = rgb.shape
    return (
        rgb[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)],
        tir[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)],
    )


def _shared_detail(rgb: np.ndarray, tir: np.ndarray) -> float:
    """Median over tiles, so that one object that stands out in both has little weight."""
    found = [
        abs(correlation(a, b))
        for a, b in zip(_tiles(rgb), _tiles(tir), strict=True)
        if max(a.std(), b.std()) > _MIN_DETAIL
    ]
    return float(np.median(found)) if found else 0.0


def _tiles(image: np.ndarray) -> list[np.ndarray]:
    fine = image - ndimage.gaussian_filter(image, _DETAIL_SIGMA)
    return [
        tile for rows in np.array_split(fine, _TILES) for tile in np.array_split(rows, _TILES, 1)
    ]


def _difference(rgb: np.ndarray, tir: np.ndarray) -> float:
    """Root mean square of the difference over the deviation of RGB; infinite for flat pictures."""
    deviation = float(rgb.std())
    if deviation < _MIN_DETAIL:
        return float("inf")
    return min(float(np.sqrt(((one - tir) ** 2).mean())) for one in (rgb, 255 - rgb)) / deviation


def _contrast(image: np.ndarray) -> float:
    return float(np.percentile(ndimage.gaussian_gradient_magnitude(image, 1.0), 90))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures; 0 if one is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / size) if size > 1e-3 else 0.0


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
