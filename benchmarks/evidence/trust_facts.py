"""What the tracks of a recording say of themselves, and what the truth says of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.evidence.box_ways import trusted_boxes
from benchmarks.evidence.boxes import ON_TARGET, WAYS, compared, recipe_with
from benchmarks.evidence.plan import read_plan
from benchmarks.evidence.signal import tracks_of
from tirtrack.boxes import iou_matrix
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Track

STARTS = (0, 24)
TRACKS = {
    "as found": {"rgb": "RGB tracks", "tir": "TIR tracks"},
    "fitted": {"rgb": "RGB tracks, fitted in both", "tir": "TIR tracks, fitted in both"},
}

Facts = dict[str, float]
"""What tracks say of themselves, and what the truth says of them; see :func:`track_facts`."""


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
