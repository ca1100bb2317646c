"""The 640x480 frames that speed is measured on: a bright target circles before coloured noise."""

from __future__ import annotations

import numpy as np

from tirtrack.boxes import Box

WIDTH, HEIGHT = 640, 480
TARGET = 60
FRAMES = 64


def moving_target() -> list[np.ndarray]:
    """:data:`FRAMES` frames ``[480,640,3]`` uint8: coloured noise in three sizes with a bright
    target; new noise in every frame.
    """
    rng = np.random.default_rng(0)
    scene = np.zeros((HEIGHT, WIDTH, 3))
    for cell in (8, 20, 60):
        coarse = rng.uniform(0, 55, (HEIGHT // cell + 2, WIDTH // cell + 2, 3))
        scene += np.kron(coarse, np.ones((cell, cell, 1)))[:HEIGHT, :WIDTH]
    target = rng.uniform(120, 250, (TARGET // 10, TARGET // 10, 3))
    target = np.kron(target, np.ones((10, 10, 1)))
    frames = []
    for t in range(FRAMES):
        frame = scene + rng.uniform(-4, 4, scene.shape)
        x, y = (round(value) for value in place(t))
        frame[y : y + TARGET, x : x + TARGET] = target
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def place(t: int) -> tuple[float, float]:
    """Left top corner of the target in frame ``t``, pixels."""
    angle = 2 * np.pi * t / FRAMES
    return 290 + 50 * np.cos(angle), 210 + 50 * np.sin(angle)


def first_box() -> Box:
    """The target's box in frame 0."""
    x, y = (float(round(value)) for value in place(0))
    return Box(x, y, float(TARGET), float(TARGET))
