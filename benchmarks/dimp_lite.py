"""Makes and measures ``dimp-lite``: ``python -m benchmarks.dimp_lite --stage choose``.

Stages, each with what it writes under ``--out``:

``choose``    trains the head on both backbones, same samples and steps, and compares them on
              held-back training data: ``choose.json``.
``pseudo``    boxes in unlabelled RGB video (M3SVD) on which NanoTrack V3 and FEAR-XS agree, there
              and back: ``pseudo/``, in the layout of labelled sequences.
``baseline``  the head trained on the RGB that may go into shipped weights; with ``--which all`` on
              all of ``data/rgb`` and the pseudo-boxes, with ``--which plain`` without
              pseudo-boxes: ``dimp-lite-WHICH.safetensors``.
``steps``     accuracy and speed by refinement steps and boxes, on ``rgb/video_train``.
``speed``     ms a frame of ``--weights`` with one and two threads.

The table of distilled rows: ``python -m benchmarks.experiments --study dimp-lite``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import tirtrack
from benchmarks.experiments import data
from benchmarks.moving_target import FRAMES, first_box, moving_target
from benchmarks.shipped_weights import DRONE_LICENCE, LICENCES, ROOT, STILL_SOURCES, V3_CARD
from tirtrack.boxes import Box
from tirtrack.datasets import open_dataset
from tirtrack.datasets.labelled_clips import open_labelled
from tirtrack.datasets.sequence import stored_from_boxes
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.settings import Modality, SupervisedRecipe
from tirtrack.distillation.sources import hold_back_clips
from tirtrack.distillation.supervised import compare_held_back
from tirtrack.evaluation import protocols
from tirtrack.files import write_json, write_text
from tirtrack.pairs.folder import open_pairs
from tirtrack.pairs.proposals.registry import is_fallback, propose_boxes, proposer
from tirtrack.pairs.tracklets import TrackSettings, follow
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import store

MOBILENET = "data/weights/imagenet/mobilenet_v2_features_fp16.safetensors"
CANDIDATES = {"dimp-lite": data.V3, "dimp-lite-mobilenet": MOBILENET}
CHOICE = {"pools": 4, "training.steps": 600}  # the same samples and steps for both backbones
WARM_UP, TIMED = 30, 150  # frames


def labelled_folders(shared: Path) -> list[Path]:
    """Labelled RGB that may be trained into shipped weights, with ``STILL_SOURCES``."""
    rgb = shared / "data" / "rgb"
    return [rgb / "stills", *sorted((rgb / "video_train").glob("drone_v_*"))]


# --- choose --------------------------------------------------------------------------------------


def choose(shared: Path, out: Path) -> dict[str, Any]:
    """Both backbones on the same samples: held-back one-step IoU, its difference, ms a frame."""
    folders = labelled_folders(shared)
    for name, backbone in CANDIDATES.items():
        if not (out / f"{name}.safetensors").is_file():
            tirtrack.train(
                folders,
                out / f"{name}.safetensors",
                network=name,
                initial=shared / backbone,
                recipe="dimp_lite",
                changes=CHOICE,
                still_sources=STILL_SOURCES,
                force=True,
            )
    recipe = load_recipe("dimp_lite")
    if not isinstance(recipe, SupervisedRecipe):
        raise TypeError("dimp_lite must be a supervised recipe")
    clips, _ = open_labelled(folders, STILL_SOURCES)
    _, held = hold_back_clips(clips, recipe.held_back.share)
    ours, other = (
        store.network_of(store.read(out / f"{name}.safetensors")).eval() for name in CANDIDATES
    )
    found = compare_held_back(ours, other, held, recipe)
    if found is None or found.with_label is None:
        raise RuntimeError("nothing is held back")
    iou = found.with_label
    timed = {name: speed(out / f"{name}.safetensors") for name in CANDIDATES}
    return {
        "held_back_one_step_iou": dict(zip(CANDIDATES, (iou.baseline, iou.student), strict=True)),
        "mobilenet_minus_nanotrack": [iou.difference, iou.low, iou.high],
        "samples": found.samples,
        "items": found.scenes,
        **timed,
    }


# --- speed ---------------------------------------------------------------------------------------


def speed(weights: Path | str) -> dict[str, dict[str, float]]:
    """Median ms of ``update`` by the clock and of the processor, with one and two threads."""
    frames = moving_target()
    found = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        tracker = load_tracker(weights)
        tracker.init(frames[0], first_box())
        clock, processor = [], []
        for t in range(1, WARM_UP + TIMED):
            began, began_processor = time.perf_counter(), time.process_time()
            tracker.update(frames[t % FRAMES])
            clock.append(time.perf_counter() - began)
            processor.append(time.process_time() - began_processor)
        found[f"{threads} thread{'s' if threads > 1 else ''}"] = {
            "median_ms": round(1e3 * float(np.median(clock[WARM_UP:])), 1),
            "processor_ms": round(1e3 * float(np.median(processor[WARM_UP:])), 1),
        }
    torch.set_num_threads(1)
    return found


# --- pseudo-boxes --------------------------------------------------------------------------------

PSEUDO_VIDEOS = ("m3svd_video/0111_1716", "m3svd_video/0113_1714")  # 1230_1202 is held back
KEY_EVERY, TRACKLET_FRAMES, BOXES_A_KEY = 12, 24, 4
EVERY_FRAME = TrackSettings(frames=TRACKLET_FRAMES, min_frames=TRACKLET_FRAMES)
MIN_TRAVEL = 0.25  # of the box's side; with static cameras what stays is mostly background


def make_pseudo(
    shared: Path, out: Path, videos: Sequence[str] = PSEUDO_VIDEOS
) -> dict[str, dict[str, int]]:
    """Labelled sequences of tracklets in unlabelled RGB, one folder each.

    Returns:
        For each video how many boxes were followed, on how many both trackers agree there and back,
        and how many of these travel and are kept.
    """
    followers = (
        load_tracker(shared / data.V3),
        load_tracker(shared / "data" / "weights" / "fear" / "fear_xs.safetensors"),
    )
    way = proposer("saliency")
    counts = {}
    for name in videos:
        source = open_pairs(shared / "data" / "pairs" / name, licence="MIT")
        frames = [source[index].rgb for index in range(len(source))]
        asked = agreed = kept = 0
        for key in range(0, len(frames) - TRACKLET_FRAMES, KEY_EVERY):
            pair = source[key]
            near = [source[i] for i in range(max(key - 2, 0), key + 3) if i != key]
            rng = np.random.default_rng([0, key])
            found = propose_boxes(way, pair, near, rng, [Modality.RGB])
            if is_fallback(found, way.name):
                continue
            for number, proposal in enumerate(found.kept[:BOXES_A_KEY]):
                asked += 1
                clip = frames[key : key + TRACKLET_FRAMES]
                tracklet = follow(clip, proposal.box, followers, EVERY_FRAME)
                agreed += tracklet.fault is None
                if tracklet.fault is None and _travels(tracklet.boxes):
                    kept += 1
                    stem = f"{name.replace('/', '_')}_{key:06d}_{number}"
                    _write_sequence(out / stem, clip, tracklet.boxes)
        counts[name] = {"asked": asked, "agreed": agreed, "kept": kept}
    return counts


def _travels(boxes: Sequence[Box]) -> bool:
    centres = np.array([box.center_xy for box in boxes])
    away = np.linalg.norm(centres - centres[0], axis=1).max()
    return bool(away >= MIN_TRAVEL * np.sqrt(boxes[0].w * boxes[0].h))


def _write_sequence(folder: Path, frames: list[np.ndarray], boxes: Sequence[Box]) -> None:
    (folder / "img").mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        Image.fromarray(frame).save(folder / "img" / f"{number:06d}.jpg", quality=92)
    rows = [",".join(f"{value:.2f}" for value in box.array()) for box in boxes]
    write_text(folder / "groundtruth.txt", "\n".join(rows) + "\n")
    height, width = frames[0].shape[:2]
    facts = {"frames": len(frames), "width": width, "height": height, "fps": 30,
             "object": "unknown", "label": "two trackers agree"}  # fmt: skip
    write_json(folder / "attributes.json", facts)


# --- the RGB baseline ----------------------------------------------------------------------------

V3_LICENCE = "Apache-2.0"
PSEUDO_LICENCE = "MIT"


def baseline_file(out: Path, which: str, seed: int = 0) -> Path:
    """The weights of a baseline; the first seed is not named."""
    return out / f"dimp-lite-{which}{f'-{seed}' if seed else ''}.safetensors"


def make_baseline(shared: Path, out: Path, which: str, *, seed: int = 0) -> Path:
    """Train the head on the frozen backbone of NanoTrack V3; returns the file.

    Args:
        shared: folder of the shared data.
        out: output folder, with ``pseudo/`` if that stage has run.
        which: ``rgb`` (may be shipped), ``plain`` (the same without pseudo-boxes) or ``all``
            (research only).
        seed: seed of its random weights and of the training.
    """
    start = out / "nanotrack-v3.safetensors"
    store.write(start, store.network_of(store.read(shared / data.V3)), V3_CARD)
    rgb, pseudo = shared / "data" / "rgb", sorted((out / "pseudo").iterdir())
    folders = {
        "rgb": [*labelled_folders(shared), *pseudo],
        "plain": labelled_folders(shared),
        "all": [rgb / "stills", rgb / "video_train", *pseudo],
    }[which]
    file = baseline_file(out, which, seed)
    licences = {
        **LICENCES,
        **{folder.name: DRONE_LICENCE for folder in folders if folder.name.startswith("drone")},
        **{folder.name: PSEUDO_LICENCE for folder in pseudo},
    }
    tirtrack.train(
        folders,
        file,
        network="dimp-lite",
        initial=start,
        recipe="dimp_lite",
        still_sources=None if which == "all" else STILL_SOURCES,
        licences=licences,
        seed=seed,
        force=True,
        command=f"python -m benchmarks.dimp_lite --stage baseline --which {which}",
    )
    return file


# --- refinement ----------------------------------------------------------------------------------

REFINEMENTS = {
    f"{iterations} steps, {1 + boxes} boxes": {
        "box_refinement_iter": iterations,
        "num_init_random_boxes": boxes,
        "box_refinement_step_length": length,
    }
    for iterations, boxes, length in (
        (10, 9, 2.5e-3),
        (5, 9, 5e-3),
        (5, 4, 5e-3),
        (3, 9, 8e-3),
        (3, 4, 8e-3),
    )
}
TUNED_FRAMES = 100  # of a sequence


def try_refinements(shared: Path, weights: Path | str) -> dict[str, dict[str, float]]:
    """Mean success on ``rgb/video_train`` and processor time a frame, by setting."""
    protocol = protocols.get("lsotb-tir")
    sequences = open_dataset(shared / "data" / "rgb" / "video_train").sequences
    clips = [(one, list(islice(one.open_frames(), TUNED_FRAMES))) for one in sequences]
    found = {}
    for name, overrides in REFINEMENTS.items():
        success, seconds = [], 0.0
        for sequence, frames in clips:
            tracker = load_tracker(weights, overrides=overrides)
            annotation = sequence.annotation[: len(frames)]
            tracker.init(frames[0], Box.of(sequence.boxes[0]))
            boxes = [annotation[0]]
            began = time.process_time()
            for frame in frames[1:]:
                state = tracker.update(frame)
                boxes.append(stored_from_boxes(state.measured_box.array(), sequence.base))
            seconds += time.process_time() - began
            scored = protocol.score_sequence(sequence.name, np.array(boxes), annotation)
            success.append(scored.values["success"])
        frames_run = sum(len(frames) - 1 for _, frames in clips)
        found[name] = {
            "success": round(float(np.mean(success)), 4),
            "not trained on": round(
                float(np.mean([value for value, (one, _) in zip(success, clips, strict=True)
                               if "drone_v" not in one.name])), 4),
            "processor_ms": round(1e3 * seconds / frames_run, 1),
        }  # fmt: skip
        print(name, found[name], flush=True)
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dimp_lite")
    stages = ("choose", "pseudo", "baseline", "steps", "speed")
    parser.add_argument("--stage", choices=stages, required=True)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "dimp-lite")
    parser.add_argument("--which", choices=["rgb", "plain", "all"], default="rgb")
    parser.add_argument(
        "--weights",
        default=ROOT / "runs" / "dimp-lite" / "dimp-lite-rgb.safetensors",
        help="of the stages steps and speed",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.stage == "baseline":
        print(make_baseline(options.shared, options.out, options.which))
        return
    report = {
        "choose": lambda: choose(options.shared, options.out),
        "pseudo": lambda: make_pseudo(options.shared, options.out / "pseudo"),
        "steps": lambda: try_refinements(options.shared, options.weights),
        "speed": lambda: speed(options.weights),
    }[options.stage]()
    write_json(options.out / f"{options.stage}.json", report)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
