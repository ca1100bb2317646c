"""Whether tracks say by themselves which modality to trust in a recording, RGB or TIR.

    python -m benchmarks.evidence.trust --out runs/boxes

Boxes are followed in both modalities of the recordings of ``benchmarks.evidence.boxes``. What the
tracks of a modality say of themselves, without a label, is compared with how close their boxes are
to the truth. In one recording RGB is then replaced by pictures that show nothing, and what passes
there is counted. What is finished is kept in ``docs/figures/evidence_trust.json``: a second
call goes on. Read :func:`order_of` first.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.stats import spearmanr

import tirtrack
from benchmarks.evidence.box_ways import trusted_boxes
from benchmarks.evidence.boxes import (
    ON_TARGET,
    RECORDINGS,
    RESAMPLES,
    SEED,
    WAYS,
    compared,
    recipe_with,
    world_of_boxes,
)
from benchmarks.evidence.parts import LICENCE, ROOT, Workplace, ends
from benchmarks.evidence.plan import World, read_plan
from benchmarks.evidence.signal import tracks_of
from benchmarks.evidence.truth import scene_of, true_boxes
from benchmarks.evidence.worlds import render
from benchmarks.in_parallel import in_parallel
from tirtrack.boxes import iou_matrix
from tirtrack.files import write_json
from tirtrack.pairs import open_pairs
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Track

FIGURES = ROOT / "docs" / "figures" / "evidence_trust.json"
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


def measured(world: World, folder: Path, index: int) -> tuple[str, str, dict[str, Any]]:
    """``recordings``, the name of a recording, and its hour with the facts of its tracks."""
    name, plan = recording_name(index), scene_of(world, index)
    source = open_pairs([folder / "pairs" / name])
    tracks = facts_of(source, true_boxes(world, index))
    return "recordings", name, {"hour": plan.light.daylight, "tracks": tracks}


def recording_name(index: int) -> str:
    """The name of a training recording."""
    return f"recording_{index + 1:03d}"


# --- RGB that shows nothing ----------------------------------------------------------------------


def smoke(shape: tuple[int, ...], number: int, *, noise: float) -> np.ndarray:
    """A cloud that drifts, ``[H,W,3]`` uint8, with the noise of a camera in grey levels."""
    cloud = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape[:2]), 30)
    grey = 150 + 400 * np.roll(cloud, 9 * number, axis=1)
    grain = np.random.default_rng(number).normal(0, noise, shape)
    return np.asarray(np.clip(grey[:, :, None] + grain, 0, 255).astype(np.uint8))


def darkness(shape: tuple[int, ...], number: int) -> np.ndarray:
    """The noise of a camera at night: ``[H,W,3]`` uint8."""
    return np.clip(np.random.default_rng(number).normal(6, 4, shape), 0, 255).astype(np.uint8)


BLIND: dict[str, Callable[[tuple[int, ...], int], np.ndarray]] = {
    "smooth smoke": functools.partial(smoke, noise=0.0),
    "noisy smoke": functools.partial(smoke, noise=4.0),
    "darkness": darkness,
}


def blinded(world: World, at: Workplace, kind: str) -> tuple[str, str, dict[str, Any]]:
    """``blind``, what RGB shows, and what passes the teacher and the tracks there."""
    name = recording_name(BLINDED)
    folder = at.out / "blind" / kind / name
    if not folder.is_dir():
        _write_blinded(at.world / "pairs" / name, folder, BLIND[kind])
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
    return "blind", kind, {"teacher": teacher, "tracks": tracks}


def _write_blinded(
    recording: Path, folder: Path, blind: Callable[[tuple[int, ...], int], np.ndarray]
) -> None:
    """A copy of a recording, with other RGB frames."""
    shutil.copytree(recording / "tir", folder / "tir")
    (folder / "rgb").mkdir()
    for number, file in enumerate(sorted((recording / "rgb").iterdir())):
        shape = np.asarray(Image.open(file)).shape
        Image.fromarray(blind(shape, number)).save(folder / "rgb" / f"{file.stem}.png")


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
        How many recordings count, in how many of those that the sign tells apart it is right, and
        the rank correlation of both differences with its interval, by drawing recordings.
    """
    known = [one for one in each if one["rgb"]["trusted"] and one["tir"]["trusted"]]
    said = np.array([sign(one["tir"]) - sign(one["rgb"]) for one in known])
    true = np.array([drawn(one["tir"]) - drawn(one["rgb"]) for one in known])
    told = (said != 0) & (true != 0)
    some = np.random.default_rng(SEED).integers(len(known) or 1, size=(RESAMPLES, len(known)))
    ranks = [_rank_correlation(said[k], true[k]) for k in some]
    return {
        "recordings": len(known),
        "told": int(told.sum()),
        "right": int((np.sign(said) == np.sign(true))[told].sum()),
        "rank correlation": _interval(_rank_correlation(said, true), ranks),
    }


def _rank_correlation(said: np.ndarray, true: np.ndarray) -> float:
    """Spearman's; 0 where all of one are equal."""
    if len(set(said)) < 2 or len(set(true)) < 2:
        return 0.0
    return float(spearmanr(said, true)[0])


def _interval(mean: float, drawn_again: Sequence[float] | np.ndarray) -> dict[str, float]:
    low, high = np.percentile(drawn_again, (2.5, 97.5))
    named = {"mean": mean, "low": low, "high": high}
    return {name: round(float(value), 3) for name, value in named.items()}


def by_ratio(facts: Mapping[str, Facts], ratio: float) -> str:
    """The modality whose tracks are used, ``both`` unless the share of one is below that of the
    other by a ratio.
    """
    rgb, tir = share(facts["rgb"]), share(facts["tir"])
    if rgb < ratio * tir:
        return "tir"
    return "rgb" if tir < ratio * rgb else "both"


def by_truth(facts: Mapping[str, Facts]) -> str:
    """The modality whose boxes are closest to the truth: the best that a rule could choose."""
    return max(("rgb", "tir"), key=lambda seen: drawn(facts[seen]))


RULES: dict[str, Callable[[Mapping[str, Facts]], str]] = {
    "both": lambda _: "both",
    "TIR": lambda _: "tir",
    "RGB": lambda _: "rgb",
    **{f"share, ratio {one}": functools.partial(by_ratio, ratio=one) for one in RATIOS},
    "the truth": by_truth,
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
    rng = np.random.default_rng(SEED)
    some = rng.integers(len(each), size=(RESAMPLES, len(each)))
    gains = _ratio(sums[some].sum(axis=1)) - _ratio(both[some].sum(axis=1))
    mean = float(_ratio(sums.sum(axis=0)))
    return {
        "tracks": int(sum(facts["trusted"] for facts in chosen)),
        "on_target": int(sum(facts["on_target"] for facts in chosen)),
        "mean IoU as drawn": round(mean, 3),
        "above both": _interval(mean - float(_ratio(both.sum(axis=0))), gains),
    }


def _ratio(sums: np.ndarray) -> np.ndarray:
    return np.asarray(sums[..., 0] / np.maximum(sums[..., 1], 1))


def summary_of(recordings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
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


def figures_of(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is kept: all that was measured, and its summary."""
    facts = {"command": "python -m benchmarks.evidence.trust", "seed": SEED}
    counted = {"count": len(known["recordings"]), "summary": summary_of(known["recordings"])}
    return {**facts, **counted, **known}


def markdown(figures: Mapping[str, Any]) -> str:
    """Tables of order, worth, and what passes where RGB shows nothing."""
    summary, blind = figures["summary"], figures["blind"]
    lines = ["| tracks | sign without a label | right | rank correlation |", "|---|---|---|---|"]
    for kind, found in summary.items():
        for sign, one in found["order"].items():
            right = f"{one['right']} of {one['told']}"
            lines.append(f"| {kind} | {sign} | {right} | {_shown(one['rank correlation'])} |")
    lines += ["", "| tracks | used | IoU as drawn | above both | tracks | on a target |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind, found in summary.items():
        for rule, one in found["worth"].items():
            row = [kind, rule, f"{one['mean IoU as drawn']:.3f}", _shown(one["above both"], "+")]
            lines.append(
                " | ".join(["", *row, f"{one['tracks']} | {one['on_target']}", ""]).strip()
            )
    lines += ["", "| RGB shows | samples that pass | RGB as found | RGB fitted | TIR fitted |"]
    lines += ["|---|---|---|---|---|"]
    for name, one in blind.items():
        passed, samples = one["teacher"]["passed"], one["teacher"]["samples"]
        kinds = [("as found", "rgb"), ("fitted", "rgb"), ("fitted", "tir")]
        facts = [one["tracks"][kind][seen] for kind, seen in kinds]
        tracks = " | ".join(f"{some['trusted']} of {some['followed']}" for some in facts)
        lines.append(f"| {name} | {passed} of {samples} | {tracks} |")
    return "\n".join(lines) + "\n"


def _shown(interval: Mapping[str, float], sign: str = "") -> str:
    return "{mean:S.3f} [{low:S.3f}, {high:S.3f}]".replace("S", sign).format(**interval)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.trust")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "boxes")
    parser.add_argument("--figures", type=Path, default=FIGURES)
    parser.add_argument("--recordings", type=int, default=RECORDINGS, help="the first N")
    parser.add_argument("--workers", type=int, default=2)
    return ends("trust", functools.partial(run, parser.parse_args()))


def run(options: argparse.Namespace) -> list[str]:
    """Measure what is due, keep each part as it ends, and print all."""
    world, at = world_of_boxes(), Workplace(options.out)
    render(world, at, options.workers)
    known: dict[str, dict[str, Any]] = {"recordings": {}, "blind": {}}
    if options.figures.is_file():
        kept = json.loads(options.figures.read_text(encoding="utf-8"))
        known = {part: kept[part] for part in known}

    def add(found: tuple[str, str, dict[str, Any]]) -> str:
        part, name, value = found
        known[part] = dict(sorted({**known[part], name: value}.items()))
        write_json(options.figures, figures_of(known))
        return name

    jobs: list[Callable[[], tuple[str, str, dict[str, Any]]]] = [
        functools.partial(measured, world, at.world, index)
        for index in range(options.recordings)
        if recording_name(index) not in known["recordings"]
    ]
    jobs += [
        functools.partial(blinded, world, at, kind) for kind in BLIND if kind not in known["blind"]
    ]
    in_parallel(jobs, options.workers, "trust", ended=add)
    print(markdown(figures_of(known)))
    return []


if __name__ == "__main__":
    sys.exit(main())
