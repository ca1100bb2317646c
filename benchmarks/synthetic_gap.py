"""How far a tracker's outputs differ between the two halves of the same pairs, without labels.

The same weights begin at the same box and track the RGB frames, the RGB frames turned grey, and the
TIR frames; the tracks are compared with each other. The grey column is the disagreement
that has nothing to do with heat. On the world, where annotation exists, the share of frames in
which the target is lost is counted by attribute too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box, iou
from tirtrack.pairs import PairSource, open_pairs
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.registry import neighbour_positions, proposer
from tirtrack.pairs.source import Pair
from tirtrack.synthetic import (
    FRAME_ATTRIBUTES,
    SyntheticSequence,
    draw_plan,
    render_plan,
)
from tirtrack.synthetic.settings import SPLIT_CODES
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.loading import load_tracker

MOMENTS = (5, 19, 60, 99)
PARTED_IOU = 0.3
LOST_IOU = 0.1
STARTS_EACH = 3
WORLD_SEED = 0


@dataclass(frozen=True)
class Filmed:
    """One recording of both modalities, the box to begin with, and the map between their pixels."""

    rgb: Sequence[np.ndarray]
    tir: Sequence[np.ndarray]
    start_rgb: np.ndarray
    start_tir: np.ndarray
    tir_from_rgb: np.ndarray


@dataclass(frozen=True)
class Tracks:
    """Boxes ``[T,4]`` in RGB pixels from the three kinds of frames; those of TIR as tracked too."""

    rgb: np.ndarray
    grey: np.ndarray
    tir: np.ndarray
    tir_as_tracked: np.ndarray


def _track(tracker: Tracker, frames: Sequence[np.ndarray], start: np.ndarray) -> np.ndarray:
    boxes = [tracker.init(frames[0], Box.of(start)).box.array()]
    boxes += [tracker.update(frame).box.array() for frame in frames[1:]]
    return np.stack(boxes)


def _grey(frame: np.ndarray) -> np.ndarray:
    weights = np.array([0.299, 0.587, 0.114])
    return np.repeat(np.rint(frame @ weights).astype(np.uint8)[..., None], 3, axis=2)


def to_rgb_pixels(boxes: np.ndarray, tir_from_rgb: np.ndarray) -> np.ndarray:
    """``[T,4]`` boxes in TIR pixels as seen in RGB, by the rig's similarity."""
    back = np.linalg.inv(tir_from_rgb)
    scale = back[0, 0]
    moved = boxes * scale
    moved[:, :2] += back[:2, 2]
    return np.asarray(moved)


def run_tracks(tracker: Tracker, filmed: Filmed) -> Tracks:
    """Track one recording three times."""
    on_tir = _track(tracker, filmed.tir, filmed.start_tir)
    return Tracks(
        _track(tracker, filmed.rgb, filmed.start_rgb),
        _track(tracker, [_grey(frame) for frame in filmed.rgb], filmed.start_rgb),
        to_rgb_pixels(on_tir, filmed.tir_from_rgb),
        on_tir,
    )


def gap_row(tracks: Sequence[Tracks]) -> dict[str, Any]:
    """Mean agreement ``[RGB-TIR, RGB-grey]`` at some moments, the gap, and the share parted."""
    row: dict[str, Any] = {"tracks": len(tracks)}
    for moment in MOMENTS:
        long = [one for one in tracks if len(one.rgb) > moment]
        if not long:
            continue
        heat, grey = (
            np.array([iou(one.rgb[moment], getattr(one, name)[moment]) for one in long])
            for name in ("tir", "grey")
        )
        row[f"t={moment}"] = [float(heat.mean()), float(grey.mean())]
        row[f"gap, t={moment}"] = float(grey.mean() - heat.mean())
        row[f"parted, t={moment}"] = [float((part < PARTED_IOU).mean()) for part in (heat, grey)]
    return row


# --- the world


def world_sequences(count: int, frames: int) -> Iterator[SyntheticSequence]:
    """Sequences of the validation split whose first frame shows the target in both modalities."""
    found, index = 0, 0
    while found < count:
        plan = draw_plan((WORLD_SEED, SPLIT_CODES["validation"], index, 0), frames)
        index += 1
        sequence = render_plan(plan)
        facts = sequence.facts
        if facts.boxes_rgb is None or facts.occluded_rgb is None:
            continue
        if facts.occluded_tir[0] < LOST_IOU and facts.occluded_rgb[0] < LOST_IOU:
            found += 1
            yield sequence


def _from_world(sequence: SyntheticSequence) -> Filmed | None:
    facts = sequence.facts
    if sequence.rgb is None or facts.boxes_rgb is None:
        return None
    return Filmed(
        list(sequence.rgb),
        list(sequence.tir),
        facts.boxes_rgb[0],
        facts.boxes_tir[0],
        facts.tir_from_rgb,
    )


class _Losses:
    """Frames and lost frames, by attribute and modality."""

    def __init__(self) -> None:
        self._counts = {name: np.zeros((2, 2)) for name in ("all", *FRAME_ATTRIBUTES)}

    def add(self, sequence: SyntheticSequence, tracks: Tracks) -> None:
        """Count one sequence; absent frames do not count."""
        facts = sequence.facts
        if facts.boxes_rgb is None:
            return
        sides = ((tracks.rgb, facts.boxes_rgb), (tracks.tir_as_tracked, facts.boxes_tir))
        for side, (boxes, truth) in enumerate(sides):
            present = ~np.isnan(truth[:, 0])
            lost = present & (iou(boxes, np.nan_to_num(truth)) < LOST_IOU)
            for name, counts in self._counts.items():
                chosen = present if name == "all" else present & facts.frame_attributes[name]
                counts[side] += (chosen.sum(), (lost & chosen).sum())

    def rows(self) -> dict[str, list[float]]:
        """Share of lost frames ``[RGB, TIR, frames]`` by attribute, of those that occurred."""
        return {
            name: [float(counts[0, 1] / counts[0, 0]), float(counts[1, 1] / counts[1, 0]),
                   float(counts[1, 0])]
            for name, counts in self._counts.items()
            if counts[:, 0].all()
        }  # fmt: skip


# --- real pairs


def real_recordings(source: PairSource, frames: int) -> Iterator[Filmed]:
    """The recordings of a source, from a few salient boxes that RGB shows in the first frame."""
    way = proposer("saliency")
    for recording in source.recordings().values():
        pairs = [source[index] for index in recording.indices[:frames]]
        if len(pairs) <= MOMENTS[0] or pairs[0].rgb.shape[:2] != pairs[0].tir.shape[:2]:
            continue
        for start in _salient_starts(way, pairs):
            yield Filmed(
                [pair.rgb for pair in pairs], [pair.tir for pair in pairs],
                start, start, np.eye(3),
            )  # fmt: skip


def _salient_starts(way: Any, pairs: Sequence[Pair]) -> list[np.ndarray]:
    around = [pairs[place] for place in neighbour_positions(0, len(pairs))]
    found = way.propose(pairs[0], around, np.random.default_rng(0)).kept
    seen = [one.box.array() for one in found if one.found_in in (FoundIn.RGB, FoundIn.BOTH)]
    return seen[:STARTS_EACH]


def gap_rows(name: str, pairs: Path | None, *, sequences: int, frames: int) -> dict[str, Any]:
    """The gap on the world (by day, by night, losses by attribute) and on real paired videos.

    Args:
        name: name of the tracker's weights, or a file.
        pairs: folder of real pairs; None leaves them out.
        sequences: number of sequences of the world.
        frames: number of frames of each sequence.
    """
    tracker = load_tracker(name)
    groups: dict[str, list[Tracks]] = {"world": [], "world, day": [], "world, night": []}
    losses = _Losses()
    for sequence in world_sequences(sequences, frames):
        filmed = _from_world(sequence)
        if filmed is None:
            continue
        tracks = run_tracks(tracker, filmed)
        losses.add(sequence, tracks)
        hour = "night" if sequence.plan.light.is_night else "day"
        groups["world"].append(tracks)
        groups[f"world, {hour}"].append(tracks)
    for set_name in ("m3svd_video", "m3svd", "vtuav") if pairs is not None else ():
        folder = None if pairs is None else pairs / set_name
        if folder is not None and folder.is_dir():
            source = open_pairs([path for path in sorted(folder.iterdir()) if path.is_dir()])
            groups[set_name] = [
                run_tracks(tracker, filmed) for filmed in real_recordings(source, frames)
            ]
    rows: dict[str, Any] = {key: gap_row(tracks) for key, tracks in groups.items() if tracks}
    rows["lost in the world, share [RGB, TIR, frames]"] = losses.rows()
    return rows
