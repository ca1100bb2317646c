"""Whether tracks say by themselves which modality to trust in a recording, RGB or TIR.

    python -m benchmarks.evidence.trust --out runs/boxes

Boxes are followed in both modalities of the first recordings of each hour of the day in the world
of ``benchmarks.evidence.boxes``. What the tracks of a modality say of themselves, without a label,
is compared with how close their boxes are to the truth. In one recording RGB is then replaced by
pictures that show nothing, and what passes there is counted. What is finished is kept in the folder
``trust`` of ``--out``: a second call goes on. Read ``order_of`` in ``trust_rules`` first.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tirtrack
from benchmarks.command import ROOT, ends, revision
from benchmarks.evidence.blind_rgb import BLIND, write_blinded
from benchmarks.evidence.boxes import SEED, WAYS, recipe_with, world_of_boxes
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.parts import LICENCE, Workplace
from benchmarks.evidence.plan import UNREGISTERED, World, read_plan
from benchmarks.evidence.trust_facts import STARTS, TRACKS, facts_of
from benchmarks.evidence.trust_rules import order_and_worth
from benchmarks.evidence.truth import scene_of, true_boxes
from benchmarks.evidence.worlds import render
from benchmarks.experiments.table import interval, markdown_table
from tirtrack.distillation.run_folder import recipe_content
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.pairs import open_pairs

FIGURES = ROOT / "docs" / "figures" / "evidence_trust.json"
COMMAND = "python -m benchmarks.evidence.trust"
SAMPLES = 400  # that today's teacher is asked for
BLINDED = 1  # index of a recording by day, with targets in TIR

# --- recordings ----------------------------------------------------------------------------------


def first_of_each_hour(world: World, count: int) -> list[int]:
    """Indices of the first recordings of each hour of the day, in order."""
    hours = [scene_of(world, index).light.daylight for index in range(world.size.recordings)]
    return [index for index, hour in enumerate(hours) if hours[:index].count(hour) < count]


def recording_part(world: World, at: Workplace, index: int) -> PartResults:
    """The hour of a recording and the facts of its tracks; made once."""

    def make() -> PartResults:
        source = open_pairs([at.world / "pairs" / recording_name(index)])
        hour = scene_of(world, index).light.daylight
        return {"hour": hour, "tracks": facts_of(source, true_boxes(world, index))}

    return _kept(world, at, recording_name(index), make)


def recording_name(index: int) -> str:
    """The name of a training recording."""
    return f"recording_{index + 1:03d}"


def _kept(world: World, at: Workplace, name: str, make: Callable[[], PartResults]) -> PartResults:
    """The results of a part with some name."""
    recipes = {
        way: recipe_content(recipe_with(WAYS[way]))
        for ways in TRACKS.values()
        for way in ways.values()
    }
    identity = {
        "part": name,
        "world": world.model_dump(mode="json"),
        "baseline": read_plan().baseline,
        "starts": list(STARTS),
        "samples": SAMPLES,
        "blinded": BLINDED,
        "recipes": recipes,
    }
    return cached_part(at.out / "trust" / f"{name}.json", identity, make)


# --- RGB that shows nothing ----------------------------------------------------------------------


def blind_part(world: World, at: Workplace, kind: str) -> PartResults:
    """What passes the teacher and the tracks where RGB shows nothing; made once."""
    return _kept(world, at, kind, functools.partial(_passing, world, at, kind))


def _passing(world: World, at: Workplace, kind: str) -> PartResults:
    name = recording_name(BLINDED)
    folder = at.out / "blind" / kind / name
    write_blinded(at.world / "pairs" / name, folder, BLIND[kind])
    summary = tirtrack.distill(
        folder,
        read_plan().baseline,
        at.out / "blind" / f"{kind}.safetensors",
        recipe="mixed",
        changes={"training.steps": 0, "pool": SAMPLES, "held_back.share": 0.0, **UNREGISTERED},
        licence=LICENCE,
        force=True,
    ).summary
    rates = summary.pass_rates if summary else ()
    teacher = {
        "samples": sum(one.samples for one in rates),
        "passed": sum(one.passed for one in rates),
        "found_in": {one.found_in: [one.passed, one.samples] for one in rates},
    }
    tracks = facts_of(open_pairs([folder]), true_boxes(world, BLINDED))
    return {"teacher": teacher, "tracks": tracks}


# --- tables --------------------------------------------------------------------------------------


def markdown(figures: Mapping[str, Any]) -> str:
    """Tables of order, worth, and what passes where RGB shows nothing."""
    summary = figures["summary"]
    order = [
        [kind, sign, f"{one['right']} of {one['told']}", str(one["TIR is closer"]),
         interval(one["rank correlation"])]
        for kind, found in summary.items()
        for sign, one in found["order"].items()
    ]  # fmt: skip
    worth = [
        [kind, rule, f"{one['mean IoU as drawn']:.3f}", interval(one["above both"]),
         str(one["tracks"]), str(one["on_target"])]
        for kind, found in summary.items()
        for rule, one in found["worth"].items()
    ]  # fmt: skip
    heads = ["right", "TIR is closer", "rank correlation"]
    tables = [markdown_table(["tracks", "sign without a label", *heads], order)]
    heads = ["IoU as drawn", "above both", "tracks", "on a target"]
    tables.append(markdown_table(["tracks", "used", *heads], worth))
    heads = ["samples that pass", "RGB as found", "RGB fitted", "TIR fitted"]
    blind = [_blind_row(kind, one) for kind, one in figures["blind"].items()]
    tables.append(markdown_table(["RGB shows", *heads], blind))
    return "\n".join(tables)


def _blind_row(kind: str, part: PartResults) -> list[str]:
    teacher = part["teacher"]
    shown = (("as found", "rgb"), ("fitted", "rgb"), ("fitted", "tir"))
    facts = [part["tracks"][how][seen] for how, seen in shown]
    tracks = [f"{one['trusted']} of {one['followed']}" for one in facts]
    return [kind, f"{teacher['passed']} of {teacher['samples']}", *tracks]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog=COMMAND)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "boxes")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--of-each-hour", type=int, default=3, help="the first N recordings")
    parser.add_argument("--workers", type=int, default=2)
    return ends("trust", functools.partial(run, parser.parse_args()))


def run(options: argparse.Namespace) -> list[str]:
    """Measure what is due, and write and print all; one line for each part that failed."""
    world, at = world_of_boxes(), Workplace(options.out)
    render(world, at, options.workers)
    chosen = first_of_each_hour(world, options.of_each_hour)
    jobs: dict[str, Callable[[], PartResults]] = {
        **{recording_name(k): functools.partial(recording_part, world, at, k) for k in chosen},
        **{kind: functools.partial(blind_part, world, at, kind) for kind in BLIND},
    }
    parts, faults = run_all(jobs, options.workers)
    if not faults:
        recordings = {recording_name(k): parts[recording_name(k)] for k in chosen}
        figures = {
            "command": f"{COMMAND} --of-each-hour {options.of_each_hour}",
            "revision": revision(),
            "versions": versions(),
            "seed": SEED,
            "count": len(recordings),
            "summary": order_and_worth(recordings),
            "recordings": recordings,
            "blind": {kind: parts[kind] for kind in BLIND},
        }
        write_json(options.figures, figures)
        print(markdown(figures))
    return faults


if __name__ == "__main__":
    sys.exit(main())
