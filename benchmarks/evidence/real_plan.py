"""The plan of questions 4 and 5, real video and ``dimp-lite``, read from ``real.yaml``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from benchmarks.evidence.plan import Plan, arm_called, identity_of, recipe_of, shared_identity
from tirtrack.distillation.settings import CrossModalRecipe, Settings

REAL_PLAN = Path(__file__).with_name("real.yaml")
PLAIN = "plain"


class Variant(Settings):
    """One way to train gently.

    Attributes:
        summary: the variant in words.
        changes: settings of the recipe, by dotted name.
    """

    summary: str
    changes: dict[str, Any]


class Gentle(Settings):
    """Question 4.

    Attributes:
        arm: arm of the study that is trained gently.
        seeds: training seeds of the confirmation; the choice takes the first.
        keeps: share of the gain of ``plain`` in the world that a variant must keep.
        starts: number of start frames of each sequence of ``camel``.
        variants: variants by name; the first is ``plain``.
    """

    arm: str
    seeds: Annotated[list[int], Field(min_length=1)]
    keeps: float
    starts: int
    variants: dict[str, Variant]


class Lite(Settings):
    """Question 5.

    Attributes:
        seeds: seeds of the baselines; a training has the seed of its baseline.
        baseline: what the baselines are trained on, as ``--which`` of ``benchmarks.dimp_lite``.
        rows: rows of the study ``dimp-lite`` whose gain is in question, and the controls that each
            must beat.
        refuted_below: upper end of an interval below which the gain is refuted.
    """

    seeds: Annotated[list[int], Field(min_length=1)]
    baseline: str
    rows: dict[str, list[str]]
    refuted_below: float

    def trained(self) -> list[str]:
        """All rows that are trained, those in question first."""
        controls = [name for inside in self.rows.values() for name in inside]
        return list(dict.fromkeys((*self.rows, *controls)))


class RealPlan(Settings):
    """Both questions.

    Attributes:
        format: version of the file format.
        written: day on which it was fixed.
        gentle: question 4.
        lite: question 5.
    """

    format: Literal[1]
    written: str
    gentle: Gentle
    lite: Lite


def read_real_plan(path: Path = REAL_PLAN) -> RealPlan:
    """The plan in a file.

    Raises:
        ValueError: a key or value is none of a plan.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return RealPlan.model_validate_json(json.dumps(content))


def gentle_recipe(plan: Plan, gentle: Gentle, variant: str) -> CrossModalRecipe:
    """The recipe of a variant.

    Raises:
        RecipeError: a setting is unknown or its value does not fit.
    """
    return recipe_of(plan, arm_called(plan, gentle.arm), gentle.variants[variant].changes)


def gentle_identity(plan: Plan, gentle: Gentle, **training: Any) -> dict[str, Any]:
    """What a part of question 4 depends on but for the code, as JSON values."""
    return {
        "world": plan.world.model_dump(mode="json"),
        **shared_identity(plan),
        "arm": training_of(plan, gentle.arm),
        "training": training,
    }


def training_of(plan: Plan, arm: str) -> dict[str, Any]:
    """What the training of an arm of the study depends on, as JSON values."""
    return {"name": arm, **identity_of(plan, arm_called(plan, arm))["training"]}
