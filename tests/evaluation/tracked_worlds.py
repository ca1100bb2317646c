"""Fake trackers, tiny labelled worlds and results without times, for the tests of evaluation.

Importable by name, so that worker processes can load what is defined here.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.trackers.base import Reason, Status, TrackState


class FirstBoxKeeper:
    """Answers with its first box, moved by ``step`` px a frame; its score falls with the mean."""

    def __init__(self, fail_at: int | None = None, step: float = 0.0) -> None:
        self.fail_at, self.step = fail_at, step

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        logging.getLogger("tirtrack.fake").warning("the first box is small")
        self.box, self.frame = box, 0
        return TrackState(box, True, 1.0, Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        self.frame += 1
        if self.frame == self.fail_at:
            raise RuntimeError("the filter has a number that is not finite")
        score = 1.0 - float(frame.mean()) / 255
        box = replace(self.box, x=self.box.x + self.frame * self.step)
        return TrackState(box, False, score, Status.LOST, Reason.LOW_SCORE)


@dataclass(frozen=True)
class Keeper:
    """How to load one."""

    name: str = "keeper"
    fail_at: int | None = None
    step: float = 0.0

    def load(self, seed: int) -> FirstBoxKeeper:
        return FirstBoxKeeper(self.fail_at, self.step)

    def facts(self) -> dict[str, Any]:
        return {"weights": "none", "sha256": "0" * 64, "preset": None}


@dataclass(frozen=True)
class Drifter(Keeper):
    """Drifts the faster, the larger the seed."""

    def load(self, seed: int) -> FirstBoxKeeper:
        return FirstBoxKeeper(None, 0.4 * seed)


class Waiting(FirstBoxKeeper):
    """Stops for ever in a sequence of more than ten frames."""

    def update(self, frame: np.ndarray) -> TrackState:
        if self.frame == 10:
            threading.Event().wait()
        return super().update(frame)


class Pausing(FirstBoxKeeper):
    """Takes its time."""

    def update(self, frame: np.ndarray) -> TrackState:
        time.sleep(0.01)
        return super().update(frame)


@dataclass(frozen=True)
class Slow(Keeper):
    def load(self, seed: int) -> Pausing:
        return Pausing()


@dataclass(frozen=True)
class Waiter(Keeper):
    """The same tracker as :class:`Keeper`, by all that is known of it."""

    def load(self, seed: int) -> Waiting:
        return Waiting(self.fail_at, self.step)


class Dying:
    """Takes its process with it."""

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        import os

        os._exit(3)

    def update(self, frame: np.ndarray) -> TrackState:
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Deadly:
    name: str = "deadly"

    def load(self, seed: int) -> Dying:
        return Dying()

    def facts(self) -> dict[str, Any]:
        return {}


def walk(frames: int, seed: int) -> np.ndarray:
    """``[T,4]`` boxes, 1-based, that drift away from where they began."""
    rng = np.random.default_rng([seed, frames])
    boxes = np.empty((frames, 4))
    boxes[:, :2] = rng.uniform(-1, 2, (frames, 2)).cumsum(axis=0).round(2)
    boxes[:, :2] += np.array([20, 15])
    boxes[:, 2:] = [12.5, 9.25]
    boxes[:, :2] = boxes[:, :2].clip(2, 40)
    return boxes


def write_lsotb(root: Path, sequences: dict[str, np.ndarray]) -> Path:
    """Sequences in LSOTB-TIR layout, with noise for frames."""
    (root / "anno").mkdir(parents=True)
    for number, (name, boxes) in enumerate(sequences.items()):
        rows = [",".join(f"{value:g}" for value in row) for row in boxes]
        (root / "anno" / f"{name}.txt").write_text("\n".join(rows))
        write_images(root / name / "img", len(boxes), seed=number)
    return root


def write_images(folder: Path, frames: int, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for index in range(frames):
        pixels = rng.integers(0, 256, (48, 64), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index + 1:04d}.png")


def without_times(folder: Path) -> dict[str, bytes]:
    """Every file but those of times, by its path below the folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith("_time.txt"):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def timeless(result: Path) -> object:
    """A result.json without what depends on when and how fast it was made."""
    content = json.loads(result.read_text())
    for name in ("created", "command"):
        content.pop(name)
    for tracker in content["trackers"]:
        for part in [tracker, *tracker["sequences"]]:
            part.pop("fps")
            part.pop("speed", None)
    return content
