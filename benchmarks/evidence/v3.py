"""Question 6: what sets NanoTrack V3 as published, ``nano-rgb`` and ``nano-tir`` apart.

    python -m benchmarks.evidence.v3

Asked where the answer may be sought: on the sequences of ``rgb/video_train`` that neither of our
two was trained on (what V3 was trained on is not known), and on the validation sequences of the
study world, in TIR and in RGB. Parts are kept in ``docs/figures/evidence/v3`` as they end; the
answer is ``docs/figures/v3_question.json``.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import ROOT, ends
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.plan import Plan, read_plan
from benchmarks.evidence.score_rows import Rows, numbers, over_sets
from benchmarks.evidence.table import rank_correlation
from benchmarks.experiments import data
from benchmarks.experiments.table import interval, markdown_table
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.evaluation import protocols
from tirtrack.evaluation.one_run import run
from tirtrack.evaluation.overlap import first_valid_row, norm_center_error, overlap, valid_rows
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.score_quality import score_quality
from tirtrack.evaluation.starts import starts_of
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import sha256, write_json
from tirtrack.identity import versions
from tirtrack.synthetic import cached_world
from tirtrack.synthetic.writing import cached_name
from tirtrack.weights import store

WORLD = "study"
STARTS = {"rgb_held_back": 3, "world_tir": 1, "world_rgb": 1}  # five sequences are few
TRAINED_ON = "drone_v"  # sequences of rgb/video_train that nano-rgb was trained on begin so
REFERENCE = "nano-rgb"
OTHERS = ("v3", "nano-tir")
PARTS = [(name, place) for place in STARTS for name in (REFERENCE, *OTHERS)]
SCORES = ("success", "norm_precision")
COMPARED = (*SCORES, "lost")
ATTRIBUTES = ("side_px", "step_sides")
PLACES = {
    "rgb_held_back": "RGB video, held back",
    "world_tir": "world, TIR",
    "world_rgb": "world, RGB",
}
TRACKERS = {"nano-rgb": "`nano-rgb`", "v3": "V3 as published", "nano-tir": "`nano-tir`"}
FACTS = {
    "success": "success",
    "norm_precision": "normalised precision",
    "lost": "lost",
    "overlap_on_target": "overlap where not lost",
    "size_ratio": "side",
}
SCORE_FACTS = {
    "roc_auc": "AUC",
    "calibration_error": "calibration error (fitted on these sets for `nano-rgb` and `nano-tir`)",
}
"""What tables call sets, trackers and facts."""


def weights_of(name: str, shared: Path) -> str:
    """Name or file of the weights of a tracker."""
    return str(shared / data.V3) if name == "v3" else name


def sets(shared: Path) -> dict[str, LabelledDataset]:
    """The sets that may be looked at, by name."""
    world, rgb = cached_world(WORLD), open_dataset(shared / "data" / "rgb" / "video_train")
    held_back = tuple(one for one in rgb.sequences if TRAINED_ON not in one.name)
    return {
        "rgb_held_back": replace(rgb, sequences=held_back),
        "world_tir": open_dataset(world / "validation"),
        "world_rgb": open_dataset(world / "validation_rgb"),
    }


# --- what happens in a sequence ------------------------------------------------------------------


def facts_of(track: SequenceRun, start: LabelledSequence, protocol: str) -> dict[str, float]:
    """Scores and their causes of one run: how often it is lost (no overlap), and while it is not,
    how well centre and size fit.
    """
    annotation = start.annotation[first_valid_row(start.annotation) or 0 :]
    seen = valid_rows(annotation)
    boxes, truth = track.boxes[seen][1:], annotation[seen][1:]
    overlaps = overlap(boxes, truth)
    on_target = overlaps > 0
    scored = protocols.get(protocol).score_sequence(start.name, track.boxes, start.annotation)
    found = {name: float(scored.values[name]) for name in SCORES}
    found["lost"] = float(1 - on_target.mean())
    if on_target.any():
        areas = [one[on_target, 2] * one[on_target, 3] for one in (boxes, truth)]
        found["overlap_on_target"] = float(overlaps[on_target].mean())
        found["size_ratio"] = float(np.median(np.sqrt(areas[0] / areas[1])))
        errors = norm_center_error(boxes, truth)[on_target]
        found["centre_error_sides"] = float(np.median(errors))
    return found


def attributes_of(sequence: LabelledSequence) -> dict[str, float]:
    """Side of the target, pixels, and its step from frame to frame in sides; medians."""
    boxes = sequence.annotation[valid_rows(sequence.annotation)]
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1) / sides[1:]
    return {"side_px": float(np.median(sides)), "step_sides": float(np.median(steps))}


def score_of(tracks: Sequence[tuple[SequenceRun, LabelledSequence]]) -> dict[str, Any]:
    """Whether the tracker's score tells right boxes from wrong ones, over all frames."""
    scores, overlaps = [], []
    for track, start in tracks:
        annotation = start.annotation[first_valid_row(start.annotation) or 0 :]
        scores.append(track.scores[1:])
        overlaps.append(overlap(track.boxes[1:], annotation[1:]))
    return asdict(score_quality(np.concatenate(scores), np.concatenate(overlaps)))


def part(plan: Plan, shared: Path, figures: Path, tracker: str, place: str) -> PartResults:
    """A tracker on a set: facts of every sequence, means over starts, and the score's quality."""

    def make() -> PartResults:
        spec = TrackerSpec(tracker, weights_of(tracker, shared), plan.preset)
        online, tracks, rows = spec.load(0), [], {}
        for sequence in sets(shared)[place].sequences:
            starts = starts_of(sequence, STARTS[place])
            run_here = [(run(online, start), start) for start in starts]
            each = [facts_of(*one, plan.protocol) for one in run_here]
            rows[sequence.name] = {
                "group": place,
                **{key: round(value, 5) for key, value in attributes_of(sequence).items()},
                **{
                    key: mean_of(each, key) for key in dict.fromkeys(k for one in each for k in one)
                },
            }
            tracks += run_here
        return {"rows": rows, "score": score_of(tracks)}

    identity = identity_on(plan, shared, tracker, place)
    return cached_part(figures / f"{tracker}-{place}.json", identity, make)


def identity_on(plan: Plan, shared: Path, tracker: str, place: str) -> dict[str, Any]:
    """What the results of a tracker on a set depend on, but for the code: as JSON values."""
    return {
        "tracker": tracker,
        "weights_sha256": sha256(store.find(weights_of(tracker, shared))),
        "set": place,
        "world": cached_name(WORLD) if place.startswith("world") else None,
        "starts": STARTS[place],
        "protocol": plan.protocol,
        "preset": plan.preset,
    }


def mean_of(each: Sequence[Mapping[str, float]], key: str) -> float:
    """Mean of a fact over the runs that have it."""
    return round(float(np.mean([one[key] for one in each if key in one])), 5)


# --- the answer ----------------------------------------------------------------------------------


def compared(parts: Mapping[str, PartResults], place: str) -> PartResults:
    """All trackers on a set, and what the difference from ``nano-rgb`` goes with."""
    rows: dict[str, Rows] = {
        name: parts[f"{name}-{place}"]["rows"] for name in (REFERENCE, *OTHERS)
    }
    found: PartResults = {
        "trackers": {
            name: {**means(one), "score": parts[f"{name}-{place}"]["score"]}
            for name, one in rows.items()
        }
    }
    for name in OTHERS:
        against = {
            fact: numbers(over_sets([rows[name]], [rows[REFERENCE]], fact)) for fact in COMPARED
        }
        found[f"{name} minus {REFERENCE}"] = {
            **against,
            "by": {one: by_attribute(rows[name], rows[REFERENCE], one) for one in ATTRIBUTES},
        }
    return found


def means(rows: Rows) -> dict[str, float]:
    """Mean of every fact over the sequences that have it."""
    keys = dict.fromkeys(key for row in rows.values() for key in row if key != "group")
    return {key: mean_of(list(rows.values()), key) for key in keys}


def by_attribute(a: Rows, b: Rows, attribute: str) -> dict[str, float]:
    """Mean of ``a - b`` in success in the lower and upper half of an attribute, and its rank
    correlation with it.
    """
    values = np.array([row[attribute] for row in a.values()])
    differences = np.array([row["success"] - b[name]["success"] for name, row in a.items()])
    upper = values > np.median(values)
    return {
        "median": round(float(np.median(values)), 5),
        "lower_half": round(float(differences[~upper].mean()), 5),
        "upper_half": round(float(differences[upper].mean()), 5),
        "rank_correlation": round(rank_correlation(np.stack([values, differences], axis=1)), 3),
    }


def v3_text(answer: Mapping[str, Any]) -> str:
    """What each tracker does on each set, and its differences from the reference.

    Args:
        answer: what :func:`compared` gives, by name of the set.
    """
    facts, differences = [], []
    for place, shown in PLACES.items():
        for name, one in answer[place]["trackers"].items():
            quality = [one["score"][key] for key in SCORE_FACTS]
            values = [*(one[key] for key in FACTS), *quality]
            facts.append([shown, TRACKERS[name], *(f"{value:.3f}" for value in values)])
        for name in OTHERS:
            against = answer[place][f"{name} minus {REFERENCE}"]
            cells = [interval(against[fact]) for fact in COMPARED]
            differences.append([shown, TRACKERS[name], *cells])
    head = ["set", f"minus {TRACKERS[REFERENCE]} [95 %]", *(FACTS[fact] for fact in COMPARED)]
    columns = ["set", "tracker", *FACTS.values(), *SCORE_FACTS.values()]
    return f"{markdown_table(columns, facts)}\n{markdown_table(head, differences)}"


def show(answer: Mapping[str, Any]) -> None:
    """Print the answer, and what the differences go with."""
    print(v3_text(answer))
    for place in PLACES:
        for name in OTHERS:
            for attribute, half in answer[place][f"{name} minus {REFERENCE}"]["by"].items():
                print(f"{place}, {name} minus {REFERENCE}, by {attribute}: {half}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.v3")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs/figures/evidence/v3")
    parser.add_argument("--answer", type=Path, default=ROOT / "docs/figures/v3_question.json")
    parser.add_argument("--workers", type=int, default=2)
    return ends("v3", functools.partial(run_all_parts, parser.parse_args()))


def run_all_parts(options: argparse.Namespace) -> list[str]:
    """Run what is due, and write and print the answer; one line for each part that failed."""
    data.check_shared(options.shared)
    plan = read_plan()
    jobs: dict[str, Callable[[], PartResults]] = {
        f"{name}-{place}": functools.partial(
            part, plan, options.shared, options.figures, name, place
        )
        for name, place in PARTS
    }
    parts, faults = run_all(jobs, options.workers)
    if not faults:
        answer = {place: compared(parts, place) for place in STARTS}
        command = "python -m benchmarks.evidence.v3"
        write_json(options.answer, {"command": command, "versions": versions(), **answer})
        show(answer)
    return faults


if __name__ == "__main__":
    sys.exit(main())
