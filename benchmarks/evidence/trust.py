"""Whether tracks say by themselves which modality to trust in a recording, RGB or TIR.

    python -m benchmarks.evidence.trust --out runs/boxes

Boxes are followed in both modalities of the first recordings of each hour of the day in the world
of ``benchmarks.evidence.boxes``. What the tracks of a modality say of themselves, without a label,
is compared with how close their boxes are to the truth. In one recording RGB is then replaced by
pictures that show nothing, and what passes there is counted. What is finished is kept in the folder
``trust`` of ``--out``: a second call goes on. Read :func:`order_of` first.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tirtrack
from benchmarks.evidence.blind_rgb import BLIND, write_blinded
from benchmarks.evidence.box_ways import trusted_boxes
from benchmarks.evidence.boxes import (
    ON_TARGET,
    SEED,
    WAYS,
    compared,
    drawn_again,
    recipe_with,
    with_interval,
    world_of_boxes,
)
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.parts import LICENCE, ROOT, Workplace, ends, revision
from benchmarks.evidence.plan import World, read_plan
from benchmarks.evidence.signal import tracks_of
from benchmarks.evidence.table import rank_correlation
from benchmarks.evidence.truth import scene_of, true_boxes
from benchmarks.evidence.worlds import render
from benchmarks.experiments.table import interval, markdown_table
from tirtrack.boxes import iou_matrix
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.pairs import open_pairs
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Track

FIGURES = ROOT / "docs" / "figures" / "evidence_trust.json"
COMMAND = "python -m benchmarks.evidence.trust"
STARTS = (0, 24)
TRACKS = {
    "as found": {"rgb": "RGB tracks", "tir": "TIR tracks"},
    "fitted": {"rgb": "RGB tracks, fitted in both", "tir": "TIR tracks, fitted in both"},
}
RATIOS = (0.5, 0.75, 1.0)
SAMPLES = 400  # that today's teacher is asked for
BLINDED = 1  # index of a recording by day, with targets in TIR

Facts = dict[str, float]
"""What tracks say of themselves, and what the truth says of them; see :func:`track_facts`."""


# --- the tracks of a recording -------------------------------------------------------------------


def facts_of(source: PairSource, truth: np.ndarray) -> dict[str, dict[str, Facts]]:
    """Facts of the RGB tracks, the TIR tracks and both together, as found and fitted."""
    found: dict[str, dict[str, Facts]] = {}
    for kind, ways in TRACKS.items():
        tracks = {seen: _tracks(source, way) for seen, way in ways.items()}
        tracks["both"] = [*tracks["rgb"], *tracks["tir"]]
        found[kind] = {seen: track_facts(ones, truth) for seen, ones in tracks.items()}
    return found


def _tracks(source: PairSource, way: str) -> list[Track]:
    return tracks_of(source, recipe_with(WAYS[way]), read_plan().baseline, STARTS)


def track_facts(tracks: Sequence[Track], truth: np.ndarray) -> Facts:
    """Sums over the tracks of a recording: how many were followed and trusted, which share of their
    frames counts, how many trusted ones lie on a target, and their boxes as in ``boxes.compared``.

    Args:
        tracks: tracks, rejected ones included.
        truth: ``[K,T,4]`` xywh of everything that moves; NaN rows where it is hidden.
    """
    trusted = [one for one in tracks if one.trusted()]
    counts = [np.mean(one.tracklet.counts) for one in tracks]
    sums = compared(trusted_boxes(tracks), truth)
    return {
        "followed": len(tracks),
        "trusted": len(trusted),
        "counts": round(float(np.sum(counts)), 4),
        "on_target": sum(_lies_on_a_target(one, truth) for one in trusted),
        **{name: sums[name] for name in ("frames", "drawn", "boxes")},
    }


def _lies_on_a_target(track: Track, truth: np.ndarray) -> bool:
    """Whether the trusted boxes overlap one target in the mean."""
    overlaps = [
        np.nan_to_num(iou_matrix(box.array()[None], truth[:, frame])[0])
        for frame, box in track.trusted().items()
    ]
    return bool(np.mean(overlaps, axis=0).max(initial=0.0) >= ON_TARGET)


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
        way: recipe_with(WAYS[way]).model_dump(mode="json")
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
        changes={"training.steps": 0, "pool": SAMPLES, "held_back.share": 0.0},
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


# --- what the tracks' own word is worth ----------------------------------------------------------


def share(facts: Facts) -> float:
    """Share of the followed boxes whose tracks are trusted."""
    return facts["trusted"] / max(facts["followed"], 1)


SIGNS: dict[str, Callable[[Facts], float]] = {
    "share of tracks that are trusted": share,
    "share of frames that count": lambda facts: facts["counts"] / max(facts["followed"], 1),
    "trusted boxes": lambda facts: facts["boxes"],
}
"""What tracks say of themselves."""


def drawn(facts: Facts) -> float:
    """Mean IoU with the truth of the boxes as training draws them."""
    return facts["drawn"] / max(facts["frames"], 1)


def order_of(each: Sequence[Mapping[str, Facts]], sign: Callable[[Facts], float]) -> dict[str, Any]:
    """How well a sign without labels orders the modalities of a recording as the truth does.

    Args:
        each: facts by modality, one mapping a recording; only those count in which tracks of both
            modalities are trusted.
        sign: what the tracks say of themselves.

    Returns:
        How many recordings count, in how many of those that the sign tells apart it is right and
        in how many TIR is closer, and the rank correlation of both differences with its interval,
        by drawing recordings.
    """
    known = [one for one in each if one["rgb"]["trusted"] and one["tir"]["trusted"]]
    said = np.array([sign(one["tir"]) - sign(one["rgb"]) for one in known])
    true = np.array([drawn(one["tir"]) - drawn(one["rgb"]) for one in known])
    told = (said != 0) & (true != 0)
    ranks = [_rank_correlation(said[k], true[k]) for k in drawn_again(len(known))]
    return {
        "recordings": len(known),
        "told": int(told.sum()),
        "right": int((np.sign(said) == np.sign(true))[told].sum()),
        "TIR is closer": int((true > 0)[told].sum()),
        "rank correlation": with_interval(_rank_correlation(said, true), ranks),
    }


def _rank_correlation(said: np.ndarray, true: np.ndarray) -> float:
    """0 where all of one are equal."""
    return float(np.nan_to_num(rank_correlation(np.stack([said, true], axis=1))))


def by_ratio(
    facts: Mapping[str, Facts], ratio: float, sign: Callable[[Facts], float] = share
) -> str:
    """The modality whose tracks are used, ``both`` unless the sign of one is below that of the
    other by a ratio.
    """
    rgb, tir = sign(facts["rgb"]), sign(facts["tir"])
    if rgb < ratio * tir:
        return "tir"
    return "rgb" if tir < ratio * rgb else "both"


def by_truth(facts: Mapping[str, Facts]) -> str:
    """The better modality of a recording by truth."""
    return max(("rgb", "tir"), key=lambda seen: drawn(facts[seen]))


RULES: dict[str, Callable[[Mapping[str, Facts]], str]] = {
    "both": lambda _: "both",
    "TIR": lambda _: "tir",
    "RGB": lambda _: "rgb",
    **{
        f"{name}, ratio {one}": functools.partial(by_ratio, ratio=one, sign=sign)
        for name, sign in SIGNS.items()
        for one in RATIOS
    },
    "the better by truth": by_truth,
}


def worth_of(
    each: Sequence[Mapping[str, Facts]], rule: Callable[[Mapping[str, Facts]], str]
) -> dict[str, Any]:
    """Boxes of the modalities that a rule chooses in each recording: IoU as drawn, what it is above
    that of both, with its interval by drawing recordings, and how many tracks lie on a target.
    """
    chosen = [one[rule(one)] for one in each]
    sums, both = (
        np.array([[facts["drawn"], facts["frames"]] for facts in some])
        for some in (chosen, [one["both"] for one in each])
    )
    some = drawn_again(len(each))
    gains = _ratio(sums[some].sum(axis=1)) - _ratio(both[some].sum(axis=1))
    mean = float(_ratio(sums.sum(axis=0)))
    return {
        "tracks": int(sum(facts["trusted"] for facts in chosen)),
        "on_target": int(sum(facts["on_target"] for facts in chosen)),
        "mean IoU as drawn": round(mean, 3),
        "above both": with_interval(mean - float(_ratio(both.sum(axis=0))), gains),
    }


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))


def order_and_worth(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Order and worth of tracks as found and fitted, over the recordings that have them."""
    found: dict[str, Any] = {}
    for kind in TRACKS:
        each = [one["tracks"][kind] for one in recordings.values()]
        order = {name: order_of(each, sign) for name, sign in SIGNS.items()}
        found[kind] = {
            "recordings": len(each),
            "order": order,
            "worth": {name: worth_of(each, rule) for name, rule in RULES.items()},
        }
    return found


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
