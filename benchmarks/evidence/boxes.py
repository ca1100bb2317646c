"""How close the boxes of each way are to the truth, before anything is trained on them.

    python -m benchmarks.evidence.boxes --out runs/boxes --detector FILE.onnx

40 recordings of a world that the study does not use. Finished recordings are kept in
``docs/figures/evidence_boxes.json``: a second call goes on. docs/evidence_plan.md says which of the
figures chooses the best boxes.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import ROOT, ends
from benchmarks.evidence.box_ways import ON_FRAMES, ON_TRACKS, Boxes, trusted_boxes
from benchmarks.evidence.parts import Workplace
from benchmarks.evidence.plan import UNREGISTERED, World, read_plan
from benchmarks.evidence.signal import proposed, tracks_of
from benchmarks.evidence.truth import scene_of, true_boxes
from benchmarks.evidence.worlds import render
from benchmarks.experiments.table import markdown_table
from benchmarks.in_parallel import in_parallel
from tirtrack.boxes import iou_matrix
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.files import write_json
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import FoundIn, Proposal
from tirtrack.pairs.source import PairSource

SEED = 20419  # of a world that nothing is trained or tested on
RECORDINGS = 40
ON_TARGET = 0.4  # overlap from which a box lies on a target
RESAMPLES = 2_000
SHOWN = "{mean:.3f} [{low:.3f}, {high:.3f}]"
FIGURES = ROOT / "docs" / "figures" / "evidence_boxes.json"
NUMBERS = ("frames", "drawn", "boxes", "overlap", "on", "overlap_on", "reached", "targets")

_TIR = {"proposals.modalities": ["tir"]}
_RGB = {"proposals.modalities": ["rgb"], "boxes.only_where_found": False}
_TIR_TRACKS = {**_TIR, "tracks.modalities": ["tir"]}
_RGB_TRACKS = {**_RGB, "tracks.modalities": ["rgb"]}
WAYS: dict[str, dict[str, Any]] = {
    "TIR saliency": _TIR,
    "RGB saliency": _RGB,
    "RGB detector": {**_RGB, "proposals.way": "detector"},
    "TIR tracks": _TIR_TRACKS,
    "RGB tracks": _RGB_TRACKS,
    "TIR tracks, fitted in TIR": {**_TIR_TRACKS, "tracks.fit": ["tir"]},
    "TIR tracks, fitted in RGB": {**_TIR_TRACKS, "tracks.fit": ["rgb"]},
    "TIR tracks, fitted in both": {**_TIR_TRACKS, "tracks.fit": ["rgb", "tir"]},
    "RGB tracks, fitted in both": {**_RGB_TRACKS, "tracks.fit": ["rgb", "tir"]},
}
TOGETHER = {
    "TIR and RGB tracks": ("TIR tracks", "RGB tracks"),
    "TIR and RGB tracks, fitted in both": (
        "TIR tracks, fitted in both",
        "RGB tracks, fitted in both",
    ),
}
EVERY = 48  # frames from one start of tracks to the next: one a recording


def world_of_boxes() -> World:
    """The world of the study, but for its seed and size."""
    world = read_plan().world
    amount = {"recordings": RECORDINGS, "validation": 0, "test": 0}
    return world.model_copy(update={"seed": SEED, "size": world.size.model_copy(update=amount)})


# --- the boxes of a recording --------------------------------------------------------------------


def recipe_with(changes: Mapping[str, Any]) -> CrossModalRecipe:
    """The recipe of a way: tracks from the first frame alone, at most five of a modality."""
    shared = {"tracks.every": EVERY, "tracks.boxes": 5, "directions": {"tir_to_tir": 1.0}}
    return recipe_of_kind(CrossModalRecipe, "mixed", {**shared, **changes, **UNREGISTERED})


def boxes_of_ways(source: PairSource, detector: Path | None) -> dict[str, Boxes]:
    """The boxes of every way in a recording."""
    found: dict[str, Boxes] = {}
    baseline = read_plan().baseline
    frames = range(0, len(source), 16)
    for name, changes in WAYS.items():
        if changes.get("proposals.way") == "detector":
            if detector is None:
                continue
            changes = {**changes, "proposals.options": {"model": str(detector)}}
        recipe = recipe_with(changes)
        if recipe.tracks.modalities:
            tracks = tracks_of(source, recipe, baseline)
            found[name] = trusted_boxes(tracks)
            for how, change in ON_TRACKS.items() if not recipe.tracks.fit else ():
                found[f"{name}, {how}"] = change(source, tracks)
            continue
        found[name] = _proposed_boxes(proposed(source, frames, recipe))
        for how, refined in ON_FRAMES.items() if "saliency" in name else ():
            found[f"{name}, {how}"] = refined(source, found[name], recipe.proposals.modalities[0])
    for name, parts in TOGETHER.items():
        found[name] = _together([found[part] for part in parts])
    return found


def _proposed_boxes(found: Mapping[int, Sequence[Proposal]]) -> Boxes:
    return {
        index: [(one.box, 1.0 if one.found_in is FoundIn.BOTH else 0.5) for one in boxes]
        for index, boxes in found.items()
    }


def _together(parts: Iterable[Boxes]) -> Boxes:
    joined: Boxes = {}
    for part in parts:
        for index, boxes in part.items():
            joined.setdefault(index, []).extend(boxes)
    return joined


# --- the measure ---------------------------------------------------------------------------------


def compared(boxes: Boxes, truth: np.ndarray) -> dict[str, float]:
    """Sums over a recording that the figures are made of, by the names of ``NUMBERS``.

    Args:
        boxes: boxes of one way, with the weights by which they are drawn.
        truth: ``[K,T,4]`` xywh of everything that moves; NaN rows where it is hidden.
    """
    sums = dict.fromkeys(NUMBERS, 0.0)
    reached: set[int] = set()
    for frame, drawn in boxes.items():
        if not drawn:
            continue
        visible = np.flatnonzero(np.isfinite(truth[:, frame, 0]))
        rows = np.array([box.array() for box, _ in drawn])
        overlaps = iou_matrix(rows, truth[visible, frame])
        best = overlaps.max(axis=1, initial=0.0)
        reached |= {int(visible[target]) for target in np.argwhere(overlaps >= ON_TARGET)[:, 1]}
        sums["frames"] += 1
        sums["drawn"] += float(np.average(best, weights=[weight for _, weight in drawn]))
        sums["boxes"] += len(best)
        sums["overlap"] += float(best.sum())
        sums["on"] += int((best >= ON_TARGET).sum())
        sums["overlap_on"] += float(best[best >= ON_TARGET].sum())
    sums["reached"] = len(reached)
    sums["targets"] = int(np.isfinite(truth[..., 0]).any(axis=1).sum())
    return {name: round(value, 4) for name, value in sums.items()}


def measured(
    world: World, folder: Path, index: int, detector: Path | None
) -> tuple[str, dict[str, Any]]:
    """The sums of every way in one recording, with its hour and camera."""
    import torch

    torch.set_num_threads(1)
    name = f"recording_{index + 1:03d}"
    truth, plan = true_boxes(world, index), scene_of(world, index)
    found = boxes_of_ways(open_pairs([folder / "pairs" / name]), detector)
    ways = {way: compared(boxes, truth) for way, boxes in found.items()}
    return name, {"is_night": plan.light.is_night, "camera": plan.camera.mode, "ways": ways}


FIGURE_OF = {
    "mean IoU as drawn": (1, 0),
    "mean IoU of all boxes": (3, 2),
    "share on a target": (4, 2),
    "mean IoU of these": (5, 4),
    "share of targets reached": (6, 7),
}
"""Places of two of ``NUMBERS``, the first over the second; 0 where there is nothing."""
COMPARED = (
    ("TIR tracks, fitted in both", "TIR tracks, fitted in TIR"),
    ("TIR and RGB tracks, fitted in both", "TIR tracks, fitted in both"),
    ("TIR tracks, fitted in TIR", "TIR tracks, fitted in RGB"),
    ("TIR tracks, shared edges", "TIR tracks"),
    ("TIR tracks", "RGB tracks"),
)
"""Ways whose difference is told: intervals of two ways on the same recordings do not tell it."""


def summary_of(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures of each way with their intervals, by drawing recordings."""
    found: dict[str, dict[str, Any]] = {}
    for way in next(iter(recordings.values()))["ways"]:
        boxes = sum(one["ways"][way]["boxes"] for one in recordings.values())
        figures = _drawn_figures(recordings, way)
        found[way] = {
            "boxes": int(boxes),
            **{name: with_interval(*figures[name]) for name in figures},
        }
    return found


def differences_of(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The differences of :data:`COMPARED`, both ways on the same recordings in each draw."""
    found: dict[str, dict[str, Any]] = {}
    for way, other in COMPARED:
        ours, theirs = _drawn_figures(recordings, way), _drawn_figures(recordings, other)
        found[f"{way} minus {other}"] = {
            figure: with_interval(value - theirs[figure][0], values - theirs[figure][1])
            for figure, (value, values) in ours.items()
        }
    return found


def _drawn_figures(
    recordings: Mapping[str, Mapping[str, Any]], way: str
) -> dict[str, tuple[float, np.ndarray]]:
    """Each figure of a way over all recordings, and in every draw of recordings."""
    each = [one["ways"][way] for one in recordings.values()]
    sums = np.array([[one[number] for number in NUMBERS] for one in each])
    some = np.concatenate([sums.sum(axis=0)[None], sums[drawn_again(len(recordings))].sum(axis=1)])
    found = {}
    for figure, (above, below) in FIGURE_OF.items():
        values = some[:, above] / np.maximum(some[:, below], 1)
        found[figure] = float(values[0]), values[1:]
    return found


def drawn_again(count: int) -> np.ndarray:
    """``[RESAMPLES,count]``: places of recordings, drawn with replacement."""
    return np.random.default_rng(SEED).integers(count or 1, size=(RESAMPLES, count))


def with_interval(mean: float, values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """A figure with its 95 % interval, from its values on recordings drawn again."""
    low, high = np.percentile(values, (2.5, 97.5))
    named = {"mean": mean, "low": low, "high": high}
    return {name: round(float(value), 3) for name, value in named.items()}


def markdown(summary: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each way, the closest first."""
    head = ["way", "boxes", *FIGURE_OF]
    rows = []
    first = next(iter(FIGURE_OF))
    for way, row in sorted(summary.items(), key=lambda item: -item[1][first]["mean"]):
        figures = [SHOWN.format(**row[figure]) for figure in FIGURE_OF]
        rows.append([way, str(row["boxes"]), *figures])
    return markdown_table(head, rows)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.boxes")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "boxes")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--detector", type=Path, help="YOLOX-type ONNX file")
    parser.add_argument("--recordings", type=int, default=RECORDINGS, help="the first N")
    parser.add_argument("--workers", type=int, default=2)
    return ends("boxes", functools.partial(run, parser.parse_args()))


def run(options: argparse.Namespace) -> list[str]:
    """Measure the recordings that are due, keep each as it ends, and print all."""
    world, at = world_of_boxes(), Workplace(options.out)
    render(world, at, options.workers)
    known: dict[str, Any] = {}
    if options.figures.is_file():
        known = json.loads(options.figures.read_text(encoding="utf-8"))["recordings"]

    def add(found: tuple[str, dict[str, Any]]) -> str:
        known[found[0]] = found[1]
        ordered = {name: known[name] for name in sorted(known)}
        summary = summary_of(ordered)
        command = "python -m benchmarks.evidence.boxes --detector FILE.onnx"
        content = {"command": command, "seed": SEED, "count": len(ordered), "summary": summary}
        content["differences"] = differences_of(ordered)
        write_json(options.figures, {**content, "recordings": ordered})
        return found[0]

    due = [k for k in range(options.recordings) if f"recording_{k + 1:03d}" not in known]
    jobs = [functools.partial(measured, world, at.world, k, options.detector) for k in due]
    in_parallel(jobs, options.workers, "boxes", ended=add)
    for hour, is_night in (("day and night", None), ("day", False), ("night", True)):
        some = {key: one for key, one in known.items() if is_night in (None, one["is_night"])}
        print(f"\n{hour}, {len(some)} recordings\n\n{markdown(summary_of(some))}")
    for name, row in differences_of(known).items():
        told = ", ".join(f"{figure} {SHOWN.format(**row[figure])}" for figure in FIGURE_OF)
        print(f"{name}: {told}")
    return []


if __name__ == "__main__":
    raise SystemExit(main())
