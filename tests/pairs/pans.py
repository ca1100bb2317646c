"""A camera that pans, and what follows boxes in its frames; importable by worker processes."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import PairsError
from tirtrack.pairs.proposals import Proposal, ProposalSet
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.saliency import Saliency
from tirtrack.pairs.source import Pair, Recording
from tirtrack.pairs.tracklets import Start, TrackSettings, starts_of

SETTINGS = TrackSettings(modalities=["rgb", "tir"], frames=12, min_frames=4)
SPOTS = np.kron(np.random.default_rng(0).integers(40, 200, (5, 20)), np.ones((10, 10)))
FRAMES = 40


@dataclass(frozen=True)
class Pan:
    """Pairs in which both cameras pan by a pixel a frame; the first pixel is their number.

    Attributes:
        log: file that gets the number of every pair that is read.
        damaged: pairs that cannot be read.
    """

    log: Path | None = None
    damaged: tuple[int, ...] = ()
    name: str = "pan"

    def __len__(self) -> int:
        return FRAMES

    def __getitem__(self, index: int) -> Pair:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{index}\n")
        if index in self.damaged:
            raise PairsError("the image is damaged", f"{index}.png")
        tir = SPOTS[:, index : index + 80].astype(np.uint8)
        tir[0, 0] = index
        return Pair(f"pan/{index:06d}", "pan", index, np.repeat(tir[..., None], 3, axis=2), tir)

    def recordings(self) -> dict[str, Recording]:
        return {"pan": Recording("pan", range(FRAMES), is_video=True)}


def reads(log: Path) -> Counter[int]:
    """How often each pair was read."""
    return Counter(int(line) for line in log.read_text().split())


def starts(*frames: int) -> list[Start]:
    """Starts of two boxes each."""
    boxes = [Box(50.0 - 9 * n, 20.0, 16.0, 12.0) for n in range(2)]
    found = [Proposal(box, FoundIn.BOTH, 1.0, "saliency") for box in boxes]
    return starts_of(range(FRAMES), dict.fromkeys(frames, found), SETTINGS)


@dataclass
class State:
    box: Box
    measured: bool = True


class Panning:
    """Moves its box with the pan; on the way back it is wrong in every tenth frame."""

    origin: Any = "panning"

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box, self.number = box, int(frame.flat[0])

    def update(self, frame: np.ndarray) -> State:
        step = int(frame.flat[0]) - self.number
        self.number += step
        self.box = Box(self.box.x - step, self.box.y, self.box.w, self.box.h)
        wrong = 30.0 if step < 0 and self.number % 10 == 3 else 0.0
        return State(Box(self.box.x + wrong, self.box.y, self.box.w, self.box.h))


class Unknown(Panning):
    """Nobody knows what its boxes depend on."""

    origin = None


@dataclass
class Deadly(Panning):
    """Kills its process at a frame.

    Attributes:
        at: number of that frame.
        spares: process that it does not kill.
    """

    at: int
    spares: int = 0

    def update(self, frame: np.ndarray) -> State:
        if frame.flat[0] == self.at and os.getpid() != self.spares:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().update(frame)


@dataclass
class Stopping(Saliency):
    """Saliency that cannot go on at a pair.

    Attributes:
        at: number of that pair.
        kills: whether its process is killed there; else its box file is wrong.
        spares: process that is not killed.
    """

    at: int
    kills: bool = False
    spares: int = 0

    def __post_init__(self) -> None:
        super().__init__()

    def propose(
        self, pair: Pair, neighbours: Iterable[Pair], rng: np.random.Generator
    ) -> ProposalSet:
        if pair.position == self.at and not self.kills:
            raise PairsError("line 3 is not a box", "boxes.csv")
        if pair.position == self.at and os.getpid() != self.spares:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().propose(pair, neighbours, rng)
