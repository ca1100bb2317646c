"""One part of the study: an arm with one seed, trained and evaluated; a worker imports this module.

Everything is resumed where it was stopped: a training at its last checkpoint, an evaluation at its
last sequence.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import tirtrack
from benchmarks.command import revision
from benchmarks.evidence.plan import Arm, Plan, Recordings, recipe_of
from benchmarks.evidence.signal import agreement, held_back_of
from benchmarks.evidence.truth import recipe_changes, scene_of, true_follower
from tirtrack.distillation.summary import RunSummary, read_summary
from tirtrack.errors import TirtrackError
from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.identity import versions
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.loading import load_tracker

SPLITS = ("validation", "test")
SCORES = ("success", "norm_precision")
TOLD = {"samples", "harvest", "tracks", "pass_rates", "held_back"}  # of a training's summary
LICENCE = "Apache-2.0 (rendered by tirtrack)"


@dataclass(frozen=True)
class Workplace:
    """Where a study keeps its files."""

    out: Path

    @property
    def world(self) -> Path:
        """The rendered world."""
        return self.out / "world"

    @property
    def table(self) -> Path:
        """The true boxes of the training recordings."""
        return self.out / "true_boxes.csv"

    def weights(self, arm: Arm, seed: int) -> Path:
        """The weights of an arm."""
        return self.out / "models" / f"{arm.name}-{seed}.safetensors"

    def recordings(self) -> list[Path]:
        """All recordings of the world."""
        return sorted(path for path in (self.world / "pairs").iterdir() if path.is_dir())

    def beside(self, name: str | None) -> Workplace:
        """The place of another world with its true boxes; this one without a name."""
        return self if name is None else Workplace(self.out / name)


@dataclass(frozen=True)
class Ended:
    """What became of a part: its results as JSON values, or why there are none."""

    arm: Arm
    seed: int
    results: dict[str, Any] | None
    fault: str = ""


def run_part(plan: Plan, arm: Arm, seed: int, at: Workplace) -> Ended:
    """Train an arm with a seed, unless it trains nothing, and evaluate it on both splits.

    Whatever fails is told as the fault of this part, so that the others go on.
    """
    return Ended(arm, seed, *attempt(functools.partial(part_results, plan, arm, seed, at)))


def attempt(job: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any] | None, str]:
    """A job's results on one thread, or ``None`` and why there are none."""
    torch.set_num_threads(1)
    try:
        return job(), ""
    except TirtrackError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - hours of other parts hang on it
        return None, f"{type(error).__name__}: {error}"


def part_results(plan: Plan, arm: Arm, seed: int, at: Workplace) -> dict[str, Any]:
    """The results of a part, as JSON values."""
    began, code = time.monotonic(), revision()
    training = train(plan, arm, seed, at) if arm.levels else {}
    weights = str(at.weights(arm, seed)) if arm.levels else plan.baseline
    spec = TrackerSpec(f"{arm.name}-{seed}", weights, plan.preset)
    splits = {split: evaluated(plan, spec, split, at) for split in SPLITS}
    signal = agreement(plan, spec, held_back_of(plan, at.recordings()))
    return {
        "versions": versions(),
        "revision": code,
        "weights_sha256": spec.facts()["sha256"],
        "minutes": round((time.monotonic() - began) / 60, 1),
        "training": training,
        "signal": signal,
        **splits,
    }


def recordings_of(plan: Plan, chosen: Recordings, at: Workplace) -> list[Path]:
    """The recordings that are trained on, held-back ones included."""
    folders = at.beside(chosen.difficulty).recordings()
    if chosen.hours:
        hours = [scene_of(plan.world, index).light.daylight for index in range(len(folders))]
        folders = [one for one, hour in zip(folders, hours, strict=True) if hour in chosen.hours]
    return folders[: chosen.first]


def train(plan: Plan, arm: Arm, seed: int, at: Workplace) -> dict[str, Any]:
    """Train an arm, and say with how many recordings, samples and boxes."""
    recordings = recordings_of(plan, arm.recordings, at)
    held_back = {folder.name for folder in held_back_of(plan, at.recordings())}
    given: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    if arm.sees == "truth":
        table = at.beside(arm.recordings.difficulty).table
        changes = recipe_changes(table)
        given["follower"] = functools.partial(true_follower, recordings, table)
    if arm.first_round:
        student = trained(plan, arm.first_round, seed, at)
        given["follower"] = functools.partial(student_follower, student)
    run = tirtrack.distill(
        recordings,
        plan.baseline,
        at.weights(arm, seed),
        recipe=recipe_of(plan, arm, changes),
        hold_back=[folder.name for folder in recordings if folder.name in held_back],
        licence=LICENCE,
        seed=seed,
        resume=True,
        **given,
    )
    summary = run.summary or read_summary(run.folder) or RunSummary(recipe=plan.recipe)
    return {"recordings": len(recordings), **summary.model_dump(mode="json", include=TOLD)}


def trained(plan: Plan, arm: Arm, seed: int, at: Workplace) -> Path:
    """The weights of an arm, trained unless they are there."""
    weights = at.weights(arm, seed)
    if not weights.is_file():
        train(plan, arm, seed, at)
    return weights


def student_follower(student: Path, _: str | Path) -> Tracker:
    """A student in place of a tracker that is made from a baseline."""
    return load_tracker(student)


def evaluated(
    plan: Plan, spec: TrackerSpec, split: str, at: Workplace
) -> dict[str, dict[str, float]]:
    """Scores of every sequence of a split."""
    compared = tirtrack.evaluate(
        [spec],
        at.world / split,
        at.out / "evaluations" / split / spec.name,
        protocol=plan.protocol,
        resume=True,
    )
    return scores_of(compared, SCORES)


def scores_of(compared: Comparison, scores: Sequence[str]) -> dict[str, dict[str, float]]:
    """Scores of the first tracker on every sequence."""
    found = {score: compared.trackers[0].by_sequence(score) for score in scores}
    return {
        name: {score: round(found[score][name], 5) for score in scores}
        for name in compared.sequence_names()
    }
