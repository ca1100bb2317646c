"""What evaluation runs: sources of trackers, and one source run several times with other seeds.

Of a tracker only its two methods are used. The first of several runs has the tracker's name, the
others ``NAME.run2`` and so on, so that each has its own results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import RequestError
from tirtrack.files import sha256
from tirtrack.trackers.base import Tracker, TrackState


@runtime_checkable
class OnlineTracker(Protocol):
    """All that evaluation uses of a :class:`tirtrack.trackers.base.Tracker`: two methods."""

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box."""

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame."""


@runtime_checkable
class TrackerSource(Protocol):
    """Something that makes a tracker, in this process or a worker (so it must be picklable)."""

    @property
    def name(self) -> str:
        """Name in results and tables; a plain folder name."""

    def load(self, seed: int) -> OnlineTracker:
        """A tracker; one is loaded per process and begins anew at each ``init``."""

    def facts(self) -> dict[str, Any]:
        """What ``result.json`` says of it: ``weights``, ``sha256``, ``preset``, ..."""


@dataclass(frozen=True)
class TrackerSpec:
    """A tracker by its weights.

    Attributes:
        name: name in results and tables; a plain folder name.
        weights: name of shipped weights, or a file.
        preset: preset of the online loop; the one that the weights name when ``None``.
        overrides: settings that differ from the preset.
        engine: engine by its name, as for :func:`tirtrack.load`; the default of the family when
            ``None``.
    """

    name: str
    weights: str
    preset: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    engine: str | None = None

    @classmethod
    def of(cls, text: str, *, preset: str | None = None, engine: str | None = None) -> TrackerSpec:
        """From ``WEIGHTS`` or ``WEIGHTS@PRESET``; named after the weights' stem and the preset.

        Raises:
            RequestError: the preset is empty.

        >>> TrackerSpec.of("runs/a/mine.safetensors@published").name
        'mine@published'
        """
        if preset == "" or text.endswith("@"):
            raise RequestError('unknown preset ""', fix="name one, such as default or published")
        weights, at, own = text.rpartition("@")
        if not at or "/" in own:
            weights, own = text, ""
        stem = Path(weights).name.removesuffix(".safetensors")
        name = f"{stem}@{own}" if own else stem
        return cls(name, weights, own or preset, engine=engine)

    def load(self, seed: int) -> Tracker:
        """The tracker.

        Raises:
            WeightsError: the weights are unknown or damaged.
            RecipeError: the preset or an override is unknown.
        """
        from tirtrack.trackers.loading import load_tracker

        return load_tracker(
            self.weights,
            preset=self.preset,
            engine=self.engine,
            overrides=dict(self.overrides),
            seed=seed,
        )

    def facts(self) -> dict[str, Any]:
        """Weights with their hash, the preset that is used, overrides and engine."""
        from tirtrack.trackers.loading import engine_identity
        from tirtrack.weights import store

        path = store.find(self.weights)
        card = store.card_of(path)
        return {
            "weights": self.weights,
            "sha256": sha256(path),
            "preset": self.preset or card.preset,
            "overrides": dict(self.overrides),
            **engine_identity(path, self.engine),
        }


@dataclass(frozen=True)
class Repeat:
    """One of several runs of a tracker.

    Attributes:
        source: source that makes the tracker.
        number: number of the run, from 1; its seed is the given one plus ``number - 1``.
    """

    source: TrackerSource
    number: int

    @property
    def name(self) -> str:
        """Name of its results."""
        return self.source.name if self.number == 1 else f"{self.source.name}.run{self.number}"

    def load(self, seed: int) -> OnlineTracker:
        """The tracker, with the seed of this run."""
        return self.source.load(seed + self.number - 1)

    def facts(self) -> dict[str, Any]:
        """Facts of the tracker, and the number of this run."""
        return {**self.source.facts(), "run": self.number, "run_of": self.source.name}


def repeated(sources: Sequence[TrackerSource], runs: int) -> list[TrackerSource]:
    """Every run of every tracker, those of one tracker together.

    Raises:
        RequestError: fewer than one run.
    """
    if runs < 1:
        raise RequestError(f"runs must be at least 1, got {runs}", "--runs")
    if runs == 1:
        return list(sources)
    return [Repeat(source, number) for source in sources for number in range(1, runs + 1)]
