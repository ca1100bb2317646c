"""How many frames TIR is late, measured from targets that were followed in both modalities.

Both tracks of a target show the same motion, that in TIR some frames later. At the right delay the
offset between their centres stays the same, whatever it is: neither boxes of another extent nor
modalities that lie apart look like a delay. A target that stands still or moves evenly has the same
offset at every delay, so it says nothing. A target that was followed from several frames counts
once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.pairs.delay import MAX_DELAY_FRAMES, MIN_FRAMES
from tirtrack.pairs.tracklets import Track

MIN_TARGETS = 3
MIN_CHANGE = 0.04  # deviation of a target's steps from their mean, in sides of its box
MAX_OFFSET = 0.3  # mean offset between the centres of one target, in sides of its box
AGREEING_FRAMES = 1.0


@dataclass(frozen=True)
class TrackDelay:
    """The delay of TIR by targets that were followed in both modalities.

    Attributes:
        frames: TIR frame ``k + frames`` belongs to RGB frame ``k``; negative: TIR comes early.
            Median over the targets, with fractions.
        targets: number of targets on which it rests.
    """

    frames: float
    targets: int


def measure_track_delay(tracks: Iterable[Track]) -> TrackDelay | None:
    """The delay on which most of at least three targets agree that move unevenly; ``None`` if there
    is none.

    Args:
        tracks: tracks in either modality, rejected ones included. Those of one target begin in the
            same pair, and indices of neighbours in time follow each other.
    """
    paths = [_Path.of(one) for one in tracks if one.tracklet.fault is None]
    by_start: dict[int, dict[str, list[_Path]]] = {}
    for path in (one for one in paths if one.change >= MIN_CHANGE):
        by_start.setdefault(path.start, {"rgb": [], "tir": []})[path.modality].append(path)
    by_path = [one for two in by_start.values() for one in _delays(two["rgb"], two["tir"])]
    found = _by_target(by_path)
    if len(found) < MIN_TARGETS:
        return None
    median = float(np.median(found))
    agreeing = sum(abs(one - median) <= AGREEING_FRAMES for one in found)
    return TrackDelay(median, len(found)) if 2 * agreeing > len(found) else None


@dataclass(frozen=True)
class _Path:
    """Where a target was: ``centers_xy[t]`` is its centre in pair ``start + t``, NaN where its box
    is not trusted.
    """

    modality: str
    start: int
    centers_xy: np.ndarray
    side: float

    @classmethod
    def of(cls, track: Track) -> _Path:
        trusted, start = track.trusted(), track.indices[0]
        centers = np.full((track.indices[-1] - start + 1, 2), np.nan)
        for index, box in trusted.items():
            centers[index - start] = box.center_xy
        sides = [np.sqrt(box.w * box.h) for box in trusted.values()]
        return cls(track.modality, start, centers, float(np.mean(sides)))

    @property
    def change(self) -> float:
        """Deviation of the steps from their mean, in sides of the box."""
        return _deviation(_measured(np.diff(self.centers_xy, axis=0))) / self.side

    @property
    def end(self) -> int:
        """Index of the pair after the last one."""
        return self.start + len(self.centers_xy)

    def overlaps(self, later: _Path) -> bool:
        """Whether another path, which begins no earlier, overlaps it in time and place."""
        first = later.start - self.start
        length = min(len(self.centers_xy) - first, len(later.centers_xy))
        apart = _measured(self.centers_xy[first : first + length] - later.centers_xy[:length])
        if not len(apart):
            return False
        return float(np.linalg.norm(apart, axis=1).mean()) < (self.side + later.side) / 2


def _delays(rgb: Sequence[_Path], tir: Sequence[_Path]) -> list[tuple[_Path, float]]:
    """The paths in RGB, each with the delay by the path in TIR whose offset from it changes
    least.
    """
    matches = ((one, [found for two in tir if (found := _match(one, two))]) for one in rgb)
    return [(one, min(found)[1]) for one, found in matches if found]


def _by_target(delays: Iterable[tuple[_Path, float]]) -> list[float]:
    """The median delay by each target; paths that overlap in time and place show one target."""
    in_time = sorted(delays, key=lambda one: one[0].start)
    paths = [path for path, _ in in_time]
    targets = list(range(len(paths)))
    for place, path in enumerate(paths):
        for later in range(place + 1, bisect_left(paths, path.end, key=lambda one: one.start)):
            if targets[later] == later and path.overlaps(paths[later]):
                targets[later] = targets[place]
    by_target: dict[int, list[float]] = {}
    for target, (_, delay) in zip(targets, in_time, strict=True):
        by_target.setdefault(target, []).append(delay)
    return [float(np.median(one)) for one in by_target.values()]


def _match(rgb: _Path, tir: _Path) -> tuple[float, float] | None:
    """How much the offset between two paths changes at the best delay, and this delay; ``None`` if
    they may show different targets, or no delay is best.
    """
    fewest = max(MIN_FRAMES, min(len(rgb.centers_xy), len(tir.centers_xy)) // 2)
    delays = range(-MAX_DELAY_FRAMES, MAX_DELAY_FRAMES + 1)
    offsets = {
        delay: found for delay in delays if len(found := _offsets(rgb, tir, delay)) >= fewest
    }
    curve = {delay: (_deviation(found) / rgb.side) ** 2 for delay, found in offsets.items()}
    best = min(curve, key=curve.__getitem__, default=None)
    if best is None or best - 1 not in curve or best + 1 not in curve:
        return None
    before, middle, after = (curve[best + step] for step in (-1, 0, 1))
    curvature = before - 2 * middle + after
    apart = float(np.linalg.norm(offsets[best].mean(axis=0))) / rgb.side
    if curvature < 2 * MIN_CHANGE**2 or apart > MAX_OFFSET:
        return None
    return middle, best + 0.5 * (before - after) / curvature


def _offsets(rgb: _Path, tir: _Path, delay: int) -> np.ndarray:
    """``[n,2]``: centre in TIR ``delay`` frames later minus centre in RGB, where both are known."""
    late = max(delay, 0)
    early = max(-delay, 0)
    length = min(len(rgb.centers_xy) - early, len(tir.centers_xy) - late)
    if length < 1:
        return np.empty((0, 2))
    between = tir.centers_xy[late : late + length] - rgb.centers_xy[early : early + length]
    return _measured(between)


def _measured(vectors: np.ndarray) -> np.ndarray:
    """Those of ``[n,2]`` that are known."""
    known: np.ndarray = vectors[np.isfinite(vectors).all(axis=1)]
    return known


def _deviation(vectors: np.ndarray) -> float:
    """Root mean square distance of ``[n,2]`` from their mean; 0 for fewer than two."""
    if len(vectors) < 2:
        return 0.0
    return float(np.sqrt(((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1).mean()))
