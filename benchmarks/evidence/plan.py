"""The plan of the study: what is rendered, trained and compared, read from ``plan.yaml``.

An arm is the shared recipe with the changes of its levels. Its name says which:
``BOXES-DIRECTIONS-APART`` for the crossed ones, ``ARM+FACTOR`` for a single change. The reasons
stand in docs/evidence_plan.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe, Settings
from tirtrack.errors import RequestError, did_you_mean
from tirtrack.files import sha256
from tirtrack.synthetic import WorldSettings, WorldSize
from tirtrack.synthetic.settings import DIFFICULTIES
from tirtrack.weights import store

PLAN = Path(__file__).with_name("plan.yaml")
BASELINE = "baseline"
UNREGISTERED = {"registration": False}
"""Change of every recipe behind a published figure: its pairs are read as they lie."""
Sees = Literal["tir", "rgb", "truth"]
Hour = Literal["sun", "overcast", "dusk", "night", "dark"]  # materials.DAYLIGHTS
Difficulty = Literal["unregistered"]
_SEES: tuple[Sees, ...] = ("tir", "rgb", "truth")  # from least to most


class World(Settings):
    """The world that is trained and tested on.

    Attributes:
        seed: seed of the world.
        settings: settings in which it differs from the difficulty ``standard``.
        size: amount of recordings and sequences.
    """

    seed: int
    settings: dict[str, Any]
    size: WorldSize

    def difficulty(self) -> WorldSettings:
        """The settings, complete."""
        return WorldSettings.model_validate_json(json.dumps(self.settings))

    def recordings_at(self, difficulty: Difficulty) -> World:
        """The same recordings at another difficulty, without labelled sequences."""
        settings = DIFFICULTIES[difficulty].model_dump(mode="json", exclude_defaults=True)
        return World(
            seed=self.seed,
            settings={**settings, **self.settings},
            size=self.size.model_copy(update={"validation": 0, "test": 0}),
        )


class Recordings(Settings):
    """Which recordings are trained on; by default all of the plan's world.

    Attributes:
        first: number of recordings, the first ones; ``None``: all.
        hours: hours of the world in which they were taken; empty: all.
        difficulty: difficulty at which they are rendered; ``None``: that of the plan's world.
    """

    first: Annotated[int, Field(ge=1)] | None = None
    hours: list[Hour] = Field(default=[])
    difficulty: Difficulty | None = None


class Level(Settings):
    """One value of a factor.

    Attributes:
        summary: the value in words.
        sees: most that a training with it sees: TIR alone, RGB as well, or the world's truth.
        changes: settings of the recipe, by dotted name.
        recordings: recordings that are trained on.
        second_round: whether boxes are followed by the student of the same arm without this level.
    """

    summary: str
    sees: Sees = "tir"
    changes: dict[str, Any] = Field(default={})
    recordings: Recordings = Recordings()
    second_round: bool = False


class Crossed(Settings):
    """The fully crossed factors; every combination is an arm.

    Attributes:
        boxes: where the boxes come from.
        directions: what the branches of the student see.
        apart: how far apart the frames of reference and test are.
        together: what a value of ``boxes`` needs with one of ``apart``, by ``BOXES-APART``.
    """

    boxes: dict[str, Level]
    directions: dict[str, Level]
    apart: dict[str, Level]
    together: dict[str, Level]


class Camera(Settings):
    """A camera on which arms are evaluated.

    Attributes:
        summary: the camera in words.
        settings: settings in which its world differs from the plan's.
    """

    summary: str
    settings: dict[str, Any]


class Cameras(Settings):
    """Other cameras than the one that is trained on.

    Attributes:
        sequences: number of test sequences of each.
        worlds: cameras by name.
    """

    sequences: int
    worlds: dict[str, Camera]


class Thresholds(Settings):
    """What counts as an answer.

    Attributes:
        share_closed: share of the distance to true boxes that RGB must close.
        rank_correlation: correlation at which the label-free signal becomes the verdict.
        harm: lowest end of an interval that excludes harm.
    """

    share_closed: float
    rank_correlation: float
    harm: float


class Plan(Settings):
    """The whole plan.

    Attributes:
        format: version of the file format.
        written: day on which it was fixed.
        world: the world.
        baseline: start weights of every arm, and the first row of the table.
        protocol: evaluation protocol.
        preset: settings of the tracker.
        primary: score that decides.
        seeds: training seeds; single changes have the first, and so have crossed arms that are no
            finalists.
        finalists: number of arms of each kind (TIR alone, RGB too, true boxes) that have all seeds.
        questions: what is asked.
        thresholds: what counts as an answer.
        core_hours: estimated cost by part.
        recipe: recipe of every trained arm.
        changes: settings that all arms share, by dotted name.
        signal: settings of the RGB tracks that the signal without labels is measured on, by dotted
            name.
        crossed: fully crossed factors.
        alone: arms outside of the crossing.
        factors: single changes of an arm.
        cameras: other cameras, on which the best arms are evaluated.
        not_yet: arms and factors that cannot run yet, and what each waits for.
    """

    format: Literal[1]
    written: str
    world: World
    baseline: str
    protocol: str
    preset: str
    primary: str
    seeds: Annotated[list[int], Field(min_length=1)]
    finalists: Annotated[int, Field(ge=1)]
    questions: list[str]
    thresholds: Thresholds
    core_hours: dict[str, float]
    recipe: str
    changes: dict[str, Any]
    signal: dict[str, Any]
    crossed: Crossed
    alone: dict[str, Level]
    factors: dict[str, Level]
    cameras: Cameras
    not_yet: dict[str, str]


@dataclass(frozen=True)
class Arm:
    """One arm: a name, and the levels whose changes make its training; none trains nothing."""

    name: str
    levels: tuple[Level, ...]

    @property
    def sees(self) -> Sees:
        """Most that its training sees."""
        return max((level.sees for level in self.levels), key=_SEES.index, default="tir")

    @property
    def recordings(self) -> Recordings:
        """Recordings that it is trained on, as the last level with a choice says."""
        given = [one.recordings for one in self.levels if one.recordings != Recordings()]
        return given[-1] if given else Recordings()

    @property
    def first_round(self) -> Arm | None:
        """Arm whose student follows the boxes; ``None`` if the baseline does."""
        if not self.levels or not self.levels[-1].second_round:
            return None
        return Arm(self.name.partition("+")[0], self.levels[:-1])

    def changes(self, plan: Plan) -> dict[str, Any]:
        """Settings of its recipe, by dotted name."""
        changes = dict(plan.changes)
        for level in self.levels:
            changes.update(level.changes)
        return changes

    def seeds(self, plan: Plan) -> list[int]:
        """Training seeds that it may have; one for single changes, and where nothing is trained."""
        is_crossed = self.levels and "+" not in self.name
        return plan.seeds if is_crossed else plan.seeds[:1]


def read_plan(path: Path = PLAN) -> Plan:
    """The plan in a file.

    Raises:
        ValueError: a key or value is none of a plan.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Plan.model_validate_json(json.dumps(content))


def arms_of(plan: Plan) -> dict[str, Arm]:
    """The arms without single changes by name: the baseline, the crossed ones, those alone.

    Neighbours have different kinds of boxes: run side by side, two of a kind would both make them.
    """
    crossed = plan.crossed
    arms = [Arm(BASELINE, ())]
    combined = product(crossed.directions.items(), crossed.apart.items(), crossed.boxes.items())
    for (directions, branches), (apart, gap), (boxes, source) in combined:
        both = crossed.together.get(f"{boxes}-{apart}")
        levels = (source, branches, gap, *([both] if both else []))
        arms.append(Arm(f"{boxes}-{directions}-{apart}", levels))
    arms += [Arm(name, (level,)) for name, level in plan.alone.items()]
    return {arm.name: arm for arm in arms}


def arm_called(plan: Plan, name: str) -> Arm:
    """An arm by its name, ``ARM`` or ``ARM+FACTOR``.

    Raises:
        RequestError: there is no such arm or factor, or the factor does not fit the arm.
    """
    base, plus, factor = name.partition("+")
    arms = arms_of(plan)
    if base not in arms:
        raise RequestError(f'no arm is called "{base}"', fix=did_you_mean(base, arms))
    if not plus:
        return arms[base]
    if factor not in plan.factors:
        raise RequestError(
            f'no factor is called "{factor}"', fix=did_you_mean(factor, plan.factors)
        )
    arm = _changed(plan, arms[base], factor)
    if not _fits(plan, arm):
        raise RequestError(
            f"the boxes of {base} are not those of TIR tracks, so it has no second round",
            fix="choose an arm on TIR tracks",
        )
    return arm


def _changed(plan: Plan, arm: Arm, factor: str) -> Arm:
    return Arm(f"{arm.name}+{factor}", (*arm.levels, plan.factors[factor]))


def _fits(plan: Plan, arm: Arm) -> bool:
    """Whether a tracker follows the boxes of an arm in TIR, if it is to have a second round."""
    changes = arm.changes(plan)
    is_tracked = changes.get("tracks.modalities") == ["tir"] and "boxes.join_iou" not in changes
    return not arm.first_round or (is_tracked and arm.sees != "truth")


def changed_arms(plan: Plan, best: Sequence[str]) -> list[Arm]:
    """Every single change of the best arms and of their controls, change by change, so that the
    last in the plan are left out where time ends. What does not fit an arm, and arms that cannot
    run yet, are left out.
    """
    arms, names = arms_of(plan), (name for one in best for name in (one, *controls_of(one)))
    bases = [arms[name] for name in dict.fromkeys(names)]
    changed = [_changed(plan, base, factor) for factor in plan.factors for base in bases]
    return [arm for arm in changed if _fits(plan, arm) and not waits_for(plan, arm)]


def controls_of(name: str) -> list[str]:
    """The controls of an arm: true boxes and TIR tracks with its directions and distance, the
    latter fitted where its own are; those of the shipped recipe have its directions and one frame.
    """
    boxes, *crossed = name.split("-")
    branches = "-".join(crossed or ("mixed", "same"))
    tracks = "tir_fitted_tracks" if boxes == "best_boxes" else "tir_tracks"
    return [f"true_boxes-{branches}", f"{tracks}-{branches}"]


def chosen_arms(plan: Plan, names: Sequence[str]) -> list[Arm]:
    """The arms to run: those named, or without names all that can run and change no factor.

    Raises:
        RequestError: an arm that is named is unknown, or cannot run yet.
    """
    if not names:
        return [arm for arm in arms_of(plan).values() if not waits_for(plan, arm)]
    arms = [arm_called(plan, name) for name in names]
    if waiting := waiting_arms(plan, arms):
        first, reason = next(iter(waiting.items()))
        others = f" (and so do {', '.join(list(waiting)[1:])})" if len(waiting) > 1 else ""
        raise RequestError(
            f"{first} cannot run yet, it waits for {reason}{others}",
            fix="leave it out of --only",
        )
    return arms


def waiting_arms(plan: Plan, arms: Iterable[Arm]) -> dict[str, str]:
    """Names of the arms that cannot run yet, and what each waits for."""
    return {arm.name: reason for arm in arms if (reason := waits_for(plan, arm))}


def waits_for(plan: Plan, arm: Arm) -> str | None:
    """What an arm waits for that cannot run yet; ``None`` if it can."""
    parts = arm.name.split("+")
    return next((plan.not_yet[part] for part in parts if part in plan.not_yet), None)


def recipe_of(plan: Plan, arm: Arm, changes: Mapping[str, Any] | None = None) -> CrossModalRecipe:
    """The recipe that trains an arm, with further changes.

    Raises:
        RecipeError: a setting is unknown or its value does not fit.
    """
    given = {**arm.changes(plan), **(changes or {}), **UNREGISTERED}
    return recipe_of_kind(CrossModalRecipe, plan.recipe, given)


def shared_identity(plan: Plan) -> dict[str, Any]:
    """What all results of the plan depend on: start weights, protocol and settings of the tracker.

    Raises:
        WeightsError: there are no such start weights.
    """
    return {
        "baseline": plan.baseline,
        "baseline_sha256": sha256(store.find(plan.baseline)),
        "protocol": plan.protocol,
        "preset": plan.preset,
    }


def identity_of(plan: Plan, arm: Arm) -> dict[str, Any]:
    """What the results of an arm depend on, but for the code: as JSON values."""
    recordings = arm.recordings
    trained = {
        "recipe": plan.recipe,
        "changes": arm.changes(plan),
        "boxes from the truth": arm.sees == "truth",
        "recordings": recordings.first,
        **recordings.model_dump(exclude={"first"}, exclude_defaults=True),
        **({"second round": True} if arm.first_round else {}),
    }
    return {
        "world": plan.world.model_dump(mode="json"),
        **shared_identity(plan),
        "signal": plan.signal,
        "training": trained if arm.levels else None,
    }
