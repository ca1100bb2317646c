"""Question 2: the best arms on the test sequences of other cameras; nothing is trained for them.

A camera is the plan's world with other settings. Its results are one JSON, in which every tracker
has the form of an arm's results.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.evidence.parts import Workplace, evaluated, trained
from benchmarks.evidence.plan import (
    BASELINE,
    Arm,
    Plan,
    World,
    arm_called,
    identity_of,
    shared_identity,
)
from benchmarks.evidence.records import Record, kept_or_fresh
from benchmarks.evidence.table import PROOF, Bests
from benchmarks.in_parallel import in_parallel
from tirtrack.errors import RequestError, did_you_mean
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import write_json
from tirtrack.identity import versions


def world_of(plan: Plan, camera: str) -> World:
    """The world that a camera films: test sequences alone.

    Raises:
        RequestError: there is no such camera.
    """
    if camera not in plan.cameras.worlds:
        raise RequestError(
            f'no camera is called "{camera}"', fix=did_you_mean(camera, plan.cameras.worlds)
        )
    size = {"recordings": 0, "validation": 0, "test": plan.cameras.sequences}
    return World(
        seed=plan.world.seed,
        settings={**plan.world.settings, **plan.cameras.worlds[camera].settings},
        size=plan.world.size.model_copy(update=size),
    )


def place_of(at: Workplace, camera: str) -> Workplace:
    """Where the world of a camera lies."""
    return at.beside(f"cameras/{camera}")


def arms_on_cameras(plan: Plan, bests: Bests) -> list[Arm]:
    """The arms whose trackers are compared: the baseline, the best without and with RGB."""
    return [arm_called(plan, name) for name in (BASELINE, bests.tir, bests.rgb)]


def identity_on(plan: Plan, camera: str, bests: Bests) -> dict[str, Any]:
    """What the results on a camera depend on, but for the code: as JSON values."""
    arms = arms_on_cameras(plan, bests)
    return {
        "world": world_of(plan, camera).model_dump(mode="json"),
        "arms": {arm.name: identity_of(plan, arm)["training"] for arm in arms},
        **shared_identity(plan),
    }


def read_camera(figures: Path, plan: Plan, camera: str, bests: Bests) -> Record:
    """The results on a camera; without a file there are none of its arms.

    Raises:
        RequestError: they belong to another plan, or to other best arms.
    """
    fresh = {
        "command": f"python -m benchmarks.evidence --cameras {camera}",
        "camera": camera,
        "plan": identity_on(plan, camera, bests),
        "arms": {},
    }
    return kept_or_fresh(figures / "cameras" / f"{camera}.json", fresh)


def add_camera(
    figures: Path, plan: Plan, camera: str, bests: Bests, arms: Mapping[str, Record]
) -> None:
    """Write the results on a camera."""
    record = {**read_camera(figures, plan, camera, bests), "versions": versions(), "arms": arms}
    write_json(figures / "cameras" / f"{camera}.json", record)


def cameras_due(figures: Path, plan: Plan, cameras: Sequence[str], bests: Bests) -> list[str]:
    """The cameras without results.

    Raises:
        RequestError: a camera is unknown, or kept results belong to another plan.
    """
    return [one for one in cameras if not read_camera(figures, plan, one, bests)["arms"]]


def run_cameras(
    plan: Plan, cameras: Sequence[str], bests: Bests, at: Workplace, figures: Path, workers: int
) -> None:
    """Evaluate the best arms on cameras whose worlds are rendered, and keep the results.

    Args:
        plan: plan of the study.
        cameras: names of the cameras.
        bests: best arms.
        at: where the study keeps its files.
        figures: folder of the results.
        workers: number of processes.
    """
    runs = [(arm, seed) for arm in arms_on_cameras(plan, bests) for seed in arm.seeds(plan)]

    def keep(found: tuple[str, dict[str, Record]]) -> str:
        camera, arms = found
        add_camera(figures, plan, camera, bests, arms)
        return camera

    trainings = [functools.partial(trained, plan, *run, at) for run in runs if run[0].levels]
    in_parallel(trainings, workers, "weights", ended=lambda path: path.name)
    jobs = [functools.partial(on_camera, plan, camera, runs, at) for camera in cameras]
    in_parallel(jobs, workers, "camera", ended=keep)


def on_camera(
    plan: Plan, camera: str, runs: Sequence[tuple[Arm, int]], at: Workplace
) -> tuple[str, dict[str, Record]]:
    """Scores of arms, seed by seed, on the test sequences of a camera."""
    arms: dict[str, Record] = {}
    for arm, seed in runs:
        weights = str(at.weights(arm, seed)) if arm.levels else plan.baseline
        spec = TrackerSpec(f"{arm.name}-{seed}", weights, plan.preset)
        scores = evaluated(plan, spec, PROOF, place_of(at, camera))
        seeds = arms.setdefault(arm.name, {"seeds": {}})["seeds"]
        seeds[str(seed)] = {"weights_sha256": spec.facts()["sha256"], PROOF: scores}
    return camera, arms
