"""Rendered clips in which the one target goes: smooth noise, a bright textured blob, sensor noise.

A seed determines its clip: the same frames bit for bit wherever it is rendered. No tracker is used
here; :mod:`benchmarks.lost_and_found` measures on the clips, and tests of trackers use both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import expit

from tirtrack.boxes import Box

WIDTH, HEIGHT = 320, 256

ABSENCE_CLIPS, ABSENCE_FRAMES = 20, 90
GONE = slice(40, 65)  # the frames of a clip of absence in which there is no target

RETURN_CLIPS = 10
LEFT, BACK, SEEN = 40, 80, 25  # gone from frame, back from frame, frames of it afterwards

Point = tuple[float, float] | np.ndarray  # x, y


class BlobScene:
    """Smooth noise, and a bright textured blob in front of it, all drawn at random."""

    def __init__(self, rng: np.random.Generator, height: int, width: int) -> None:
        field = _smooth_noise(rng, (height, width), rng.uniform(4, 14))
        self.background = 90 + rng.uniform(8, 20) * field
        self.w, self.h = rng.uniform(20, 48, 2)
        self.grain = rng.uniform(3, 6)
        self.skin = _smooth_noise(rng, (64, 64), self.grain)
        self.contrast, self.ripple = rng.uniform(45, 80), rng.uniform(8, 20)

    def other_skin(self, rng: np.random.Generator) -> np.ndarray:
        """A skin of the same kind whose correlation with the first is below 0.3."""
        while True:
            skin = _smooth_noise(rng, (64, 64), self.grain)
            if abs(np.corrcoef(skin.ravel(), self.skin.ravel())[0, 1]) < 0.3:
                return skin

    def frame(
        self, center_xy: Point | None, rng: np.random.Generator, skin: np.ndarray | None = None
    ) -> np.ndarray:
        """``[H,W]`` uint8 with the blob at a place, or without it, and new sensor noise."""
        frame = self.background.copy()
        if center_xy is not None:
            self._draw(frame, center_xy, self.skin if skin is None else skin)
        frame += rng.normal(0, 2, frame.shape)
        return frame.clip(0, 255).astype(np.uint8)

    def _draw(self, frame: np.ndarray, center_xy: Point, skin: np.ndarray) -> None:
        (x, y), (height, width) = center_xy, frame.shape
        rows = slice(*np.clip([int(y - self.h), int(y + self.h)], 0, height))
        columns = slice(*np.clip([int(x - self.w), int(x + self.w)], 0, width))
        row, column = np.mgrid[rows, columns]
        u, v = (column + 0.5 - x) / self.w, (row + 0.5 - y) / self.h
        inside = expit(40 * (0.25 - u**2 - v**2))
        levels = map_coordinates(skin, [(v + 0.5) * 63, (u + 0.5) * 63], order=1, mode="wrap")
        part = frame[rows, columns]
        part += inside * (self.contrast + self.ripple * levels + 90 - part)


def absence_clip(seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """A blob on a smooth path that is gone for 25 frames and comes back.

    With an even seed it walks over the border, with an odd one it is covered at once.

    Returns:
        Frames ``[H,W]`` uint8, and boxes ``[T,4]`` xywh, NaN where nothing of the target can be
        seen.
    """
    rng = np.random.default_rng([2, seed])
    leaves = seed % 2 == 0
    scene = BlobScene(rng, HEIGHT, WIDTH)
    frames, boxes = [], []
    for t, (x, y) in enumerate(_path(rng, leaves=leaves)):
        absent = GONE.start <= t < GONE.stop
        frames.append(scene.frame(None if absent and not leaves else (x, y), rng))
        left, right = max(x - scene.w / 2, 0), min(x + scene.w / 2, WIDTH)
        seen = right - left > 1 and not absent
        place = [left, y - scene.h / 2, right - left, scene.h]
        boxes.append(place if seen else [np.nan] * 4)
    return frames, np.array(boxes)


def _path(rng: np.random.Generator, *, leaves: bool) -> np.ndarray:
    """Centres ``[T,2]``: a slow curve; over the border during GONE where it leaves."""
    t = np.arange(ABSENCE_FRAMES)
    x = rng.uniform(100, 220) + rng.uniform(10, 40) * np.sin(t / rng.uniform(15, 30))
    y = rng.uniform(90, 160) + rng.uniform(5, 25) * np.sin(t / rng.uniform(12, 25) + 1)
    if leaves:
        turns = [0, GONE.start - 25, GONE.start, GONE.stop, ABSENCE_FRAMES - 1]
        way = np.interp(t, turns, [0, 0, 1, 1, 0])
        x = (1 - way) * x + way * rng.choice([-40.0, WIDTH + 40.0])
    return np.stack([x, y], axis=1)


@dataclass(frozen=True)
class ReturnClip:
    """A blob that leaves over the left border; 40 frames later it comes in at the right, or
    another thing of the same shape, size and temperature with a skin drawn anew.

    Attributes:
        scene: scene with the target's own skin.
        centres: ``[T,2]`` centre of the blob in every frame, visible or not.
        other: skin of the other thing.
        seed: seed of the clip.
    """

    scene: BlobScene
    centres: np.ndarray
    other: np.ndarray
    seed: int

    @classmethod
    def of(cls, seed: int) -> ReturnClip:
        """The clip of a seed."""
        rng = np.random.default_rng([3, seed])
        scene = BlobScene(rng, HEIGHT, WIDTH)
        t = np.arange(BACK + SEEN)
        out = [0, 10, LEFT], [150, 140, -scene.w]
        back = [BACK, BACK + SEEN], [WIDTH + scene.w / 2, WIDTH - 90]
        x = np.where(t < BACK, np.interp(t, *out), np.interp(t, *back))
        y = np.where(t < BACK, *rng.uniform(70, 180, 2)) + 8 * np.sin(t / 9)
        return cls(scene, np.stack([x, y], axis=1), scene.other_skin(rng), seed)

    def frame(self, t: int, *, other: bool = False) -> np.ndarray:
        """Frame ``t``, ``[H,W]`` uint8, of the target or of the other thing in its place."""
        rng = np.random.default_rng([4, self.seed, t])
        centre = None if LEFT <= t < BACK else self.centres[t]
        return self.scene.frame(centre, rng, self.other if other else None)

    def box(self, t: int) -> Box:
        """Where the blob is in frame ``t``; it may lie partly outside."""
        x, y = self.centres[t]
        return Box(x - self.scene.w / 2, y - self.scene.h / 2, self.scene.w, self.scene.h)

    @property
    def whole_from(self) -> int:
        """First frame after the return in which nothing of the target is outside."""
        return next(t for t in range(BACK, BACK + SEEN) if self.box(t).x + self.scene.w <= WIDTH)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    field = gaussian_filter(rng.normal(size=shape), sigma, mode="wrap")
    return np.asarray(field / field.std())
