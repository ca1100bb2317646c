"""Worlds, and what arms need of them: RGB tracks and tables of true boxes, each made once."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import Arm, Plan, World
from benchmarks.evidence.signal import held_back_of, rgb_tracks
from benchmarks.evidence.truth import rows_at, write_table
from benchmarks.in_parallel import in_parallel
from tirtrack.cli.progress_line import progress
from tirtrack.errors import RequestError
from tirtrack.identity import first_change
from tirtrack.synthetic import write_world
from tirtrack.synthetic.writing import FORMAT, WORLD_FILE


def check_world(world: World, folder: Path) -> None:
    """Refuse the folder of another world.

    Raises:
        RequestError: it was rendered with other numbers.
    """
    rendered = json.loads((folder / WORLD_FILE).read_text(encoding="utf-8"))
    wanted = {
        "format": FORMAT,
        "seed": world.seed,
        "size": world.size.model_dump(mode="json"),
        "settings": world.difficulty().model_dump(mode="json"),
    }
    if change := first_change({name: rendered[name] for name in wanted}, wanted):
        raise RequestError(f"is a world with another {change}", folder, "choose another --out")


def prepare(plan: Plan, arms: Iterable[Arm], at: Workplace, workers: int) -> None:
    """Render the worlds, follow the RGB tracks of held-back recordings, and write the tables of
    true boxes that arms need; each once.

    Raises:
        RequestError: another world lies there.
    """
    render(plan.world, at, workers)
    for arm in arms:
        difficulty = arm.recordings.difficulty
        world = plan.world.recordings_at(difficulty) if difficulty else plan.world
        render(world, at.beside(difficulty), workers)
        if arm.sees == "truth":
            write_truth(world, at.beside(difficulty), workers)
    held_back = held_back_of(plan, at.recordings())
    tracks = [functools.partial(rgb_tracks, plan, folder) for folder in held_back]
    in_parallel(tracks, workers, "tracks", ended=lambda found: f"{len(found)} trusted")


def render(world: World, at: Workplace, workers: int) -> None:
    """Render a world once.

    Raises:
        RequestError: another world lies there.
    """
    if at.world.is_dir():
        check_world(world, at.world)
    else:
        with progress() as live:
            write_world(
                at.world,
                size=world.size,
                seed=world.seed,
                settings=world.difficulty(),
                workers=workers,
                progress=live,
            )


def write_truth(world: World, at: Workplace, workers: int) -> None:
    """Write the table of the true boxes of a world's recordings once."""
    if at.table.is_file():
        return
    rows: list[list[str]] = []

    def add(found: list[list[str]]) -> str:
        rows.extend(found)
        return "true boxes"

    recordings = range(world.size.recordings)
    jobs = [functools.partial(rows_at, world, index) for index in recordings]
    in_parallel(jobs, workers, "truth", ended=add)
    write_table(at.table, sorted(rows))
