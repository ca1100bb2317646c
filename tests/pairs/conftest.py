"""Small pairs on disk and in memory; makes ``pans`` importable, also for worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.pairs.source import Pair
from tirtrack.video_writer import VideoWriter

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)


def scene(position: int, *, height: int = 96, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A textured background with one object that moves: bright in TIR, red in RGB."""
    rng = np.random.default_rng(7)
    texture = rng.normal(0, 4, (height, width))
    rgb = np.clip(90 + texture[:, :, None] + [0.0, 10.0, 20.0], 0, 255)
    tir = np.clip(60 + rng.normal(0, 2, (height, width)), 0, 255)
    x = 10 + 4 * position
    rgb[40:64, x : x + 14] = [220, 40, 30]
    tir[40:64, x : x + 14] = 210
    return rgb.astype(np.uint8), tir.astype(np.uint8)


@pytest.fixture
def pair() -> Pair:
    """The first pair of the scene."""
    return Pair("scene/000000", "scene", 0, *scene(0))


@pytest.fixture
def write_images() -> Callable[..., Path]:
    """Writes ``rgb/`` and ``tir/`` as PNG with the stems given."""

    def write(folder: Path, stems: list[str]) -> Path:
        for name in ("rgb", "tir"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for position, stem in enumerate(stems):
            rgb, tir = scene(position)
            Image.fromarray(rgb).save(folder / "rgb" / f"{stem}.png")
            Image.fromarray(tir).save(folder / "tir" / f"{stem}.png")
        return folder

    return write


@pytest.fixture
def write_videos() -> Callable[..., Path]:
    """Writes ``rgb.mp4`` and ``tir.mp4`` of the lengths given."""

    def write(folder: Path, rgb_frames: int, tir_frames: int) -> Path:
        for name, frames, place in (("rgb", rgb_frames, 0), ("tir", tir_frames, 1)):
            with VideoWriter(folder / f"{name}.mp4", 10) as writer:
                for position in range(frames):
                    writer.write(scene(position % 20)[place])
        return folder

    return write
