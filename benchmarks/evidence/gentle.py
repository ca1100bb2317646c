"""Question 4: where everything lies, and how variants of ``real.yaml`` are trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tirtrack
from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import BASELINE, Plan
from benchmarks.evidence.real_plan import Gentle, gentle_recipe
from benchmarks.evidence.score_rows import Rows, measured
from benchmarks.evidence.signal import held_back_of
from benchmarks.experiments import data
from benchmarks.experiments.rows import EVERYTHING
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.evaluation.tracker_sources import TrackerSpec

LICENCE = "research only"


@dataclass(frozen=True)
class Real:
    """Question 4: its plan, and where everything lies.

    Attributes:
        plan: plan of the study.
        gentle: variants and rule.
        shared: folder of the shared data.
        study: where the study keeps its files.
        out: where models and evaluations are kept.
        figures: folder of the results.
    """

    plan: Plan
    gentle: Gentle
    shared: Path
    study: Workplace
    out: Path
    figures: Path

    @property
    def choice(self) -> Path:
        """The file of the choice."""
        return self.figures / "choice.json"

    @property
    def confirmed(self) -> Path:
        """The file of the confirmation."""
        return self.figures / "confirmed.json"

    def data(self, name: str) -> Path:
        """A folder of the shared data."""
        return self.shared / "data" / name


def train_gently(
    real: Real, name: str, recipe: CrossModalRecipe, pairs: Sequence[Path], **given: Any
) -> TrackerSpec:
    """Weights trained from the baseline; resumed where that was stopped.

    Args:
        real: question 4.
        name: name of the weights.
        recipe: recipe of the training.
        pairs: folders that are trained on.
        **given: further arguments of ``tirtrack.distill``.
    """
    file = real.out / "models" / f"{name}.safetensors"
    tirtrack.distill(
        pairs, real.plan.baseline, file, recipe=recipe, licence=LICENCE, resume=True, **given
    )
    return TrackerSpec(name, str(file), real.plan.preset)


def trained_on_world(real: Real, variant: str, seed: int) -> TrackerSpec:
    """A variant trained on the recordings of the study's world."""
    recordings = real.study.recordings()
    held = [folder.name for folder in held_back_of(real.plan, recordings)]
    recipe = gentle_recipe(real.plan, real.gentle, variant)
    name = f"{variant}-world-{seed}"
    return train_gently(real, name, recipe, recordings, hold_back=held, seed=seed)


def trained_on_real(real: Real, variant: str, seed: int) -> TrackerSpec:
    """A variant trained on the TIR halves of the training part of all real pairs."""
    recipe, name = gentle_recipe(real.plan, real.gentle, variant), f"{variant}-real-{seed}"
    held = data.held_back_pairs(real.shared)
    return train_gently(real, name, recipe, real_pairs(real), held_back=held, seed=seed)


def real_pairs(real: Real) -> list[Path]:
    """The training part of all real pairs."""
    return data.training_pairs(real.shared, EVERYTHING, real.study.world, real.out)


TRAININGS: Mapping[str, Callable[[Real, str, int], TrackerSpec]] = {
    "world": trained_on_world,
    "real": trained_on_real,
}


def rows_on(
    real: Real, spec: TrackerSpec, dataset: LabelledDataset, name: str, *, starts: int = 1
) -> Rows:
    """Rows of a tracker on a data set."""
    out = real.out / "evaluations" / name
    return measured(spec, dataset, out, protocol=real.plan.protocol, starts=starts)


def baseline_of(real: Real) -> TrackerSpec:
    """The tracker that all trainings begin with."""
    return TrackerSpec(BASELINE, real.plan.baseline, real.plan.preset)
