"""Ways of making boxes better that are measured, and not part of the package.

``ON_FRAMES`` change boxes of single frames, ``ON_TRACKS`` those of tracks. Each is a function of
frames and boxes that needs no label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy import ndimage

from benchmarks.evidence.plan import read_plan
from tirtrack.boxes import Box
from tirtrack.errors import FrameError
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Track
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.loading import load_tracker

Boxes = dict[int, list[tuple[Box, float]]]
"""Boxes by frame, each with the weight by which it is drawn."""

ASKED = 6  # frames of a track in which the teacher is asked
CELLS = 32  # of a box enlarged threefold, along each side
REACH = 0.35  # by which a side may move, in sides
JITTER = [(0, 0, 1), (-0.15, 0, 1), (0.15, 0, 1), (0, -0.15, 1), (0, 0.15, 1), (0, 0, 1.2),
          (0, 0, 0.83)]  # fmt: skip


def trusted_boxes(tracks: Sequence[Track]) -> Boxes:
    """The trusted boxes of tracks."""
    return _by_frame([track.trusted() for track in tracks])


def _by_frame(tracks: Sequence[Mapping[int, Box]], weights: Sequence[float] = ()) -> Boxes:
    boxes: Boxes = {}
    for track, weight in zip(tracks, weights or [0.5] * len(tracks), strict=True):
        for frame, box in track.items():
            boxes.setdefault(frame, []).append((box, weight))
    return boxes


# --- the teacher's own answer --------------------------------------------------------------------


@lru_cache
def _teacher() -> Tracker:
    """The teacher, which must not take the frame it began with for a frozen one."""
    return load_tracker(read_plan().baseline, overrides={"frame_gate": False})


def answer(frame: np.ndarray, box: Box) -> Box:
    """The box that the teacher finds where it begins with a box in the same frame."""
    try:
        _teacher().init(frame, box)
        return _teacher().update(frame).measured_box
    except FrameError:
        return box


def jittered_answer(frame: np.ndarray, box: Box) -> Box:
    """The median of the answers to a few boxes around a box."""
    x, y = box.center_xy
    sides = [(x + dx * box.w, y + dy * box.h, box.w * s, box.h * s) for dx, dy, s in JITTER]
    found = [answer(frame, Box(cx - w / 2, cy - h / 2, w, h)).array() for cx, cy, w, h in sides]
    return Box.of(np.median(found, axis=0))


def answered(
    source: PairSource, boxes: Boxes, modality: str, ask: Callable[[np.ndarray, Box], Box]
) -> Boxes:
    """Boxes of single frames, each replaced by the teacher's answer."""
    return {
        index: [(ask(getattr(source[index], modality), box), weight) for box, weight in drawn]
        for index, drawn in boxes.items()
    }


def answered_over_track(source: PairSource, tracks: Sequence[Track]) -> Boxes:
    """The boxes of tracks, changed by the median of what the teacher's answers change in a few of
    their frames.
    """
    changed = []
    for track in tracks:
        boxes = track.trusted()
        if not boxes:
            continue
        places = np.unique(np.linspace(0, len(boxes) - 1, ASKED).astype(int))
        some = [list(boxes)[place] for place in places]
        given = np.array([boxes[index].array() for index in some])
        frames = [getattr(source[index], track.modality) for index in some]
        found = [answer(frame, boxes[k]).array() for frame, k in zip(frames, some, strict=True)]
        changed.append(_moved(boxes, given, np.array(found)))
    return _by_frame(changed)


def _moved(boxes: Mapping[int, Box], given: np.ndarray, found: np.ndarray) -> dict[int, Box]:
    """Boxes, changed as the median of some was changed."""
    change = np.concatenate(
        [(found[:, :2] - given[:, :2]) / given[:, 2:], found[:, 2:] / given[:, 2:]], axis=1
    )
    dx, dy, w, h = np.median(change, axis=0)
    return {
        index: Box(box.x + dx * box.w, box.y + dy * box.h, w * box.w, h * box.h)
        for index, box in boxes.items()
    }


# --- edges that both modalities share ------------------------------------------------------------


def with_shared_edges(source: PairSource, tracks: Sequence[Track]) -> Boxes:
    """The boxes of tracks, each side moved to where RGB and TIR have edges along the track."""
    changed = []
    for track in tracks:
        boxes = track.trusted()
        if not boxes:
            continue
        rgb, tir = (np.zeros((2, CELLS, CELLS)) for _ in range(2))
        for index, box in boxes.items():
            pair = source[index]
            rgb += _edges_around(pair.both[0].mean(axis=2), box)
            tir += _edges_around(pair.tir, box)
        across, down = np.sqrt(rgb * tir)
        middle = slice(CELLS // 3, CELLS - CELLS // 3)
        left, right = _sides(across[middle].mean(axis=0))
        top, bottom = _sides(down[:, middle].mean(axis=1))
        changed.append(
            {
                k: Box(
                    b.x + left * b.w, b.y + top * b.h, (right - left) * b.w, (bottom - top) * b.h
                )
                for k, b in boxes.items()
            }
        )
    return _by_frame(changed)


def _edges_around(plane: np.ndarray, box: Box) -> np.ndarray:
    """``[2,CELLS,CELLS]``: strength of edges across and down, in a box enlarged threefold."""
    smooth = ndimage.gaussian_filter(plane.astype(np.float32), 0.7)
    down, across = np.gradient(smooth)
    usual = float(np.sqrt((across**2 + down**2).mean())) + 1e-3
    places = (np.arange(CELLS) + 0.5) / CELLS * 3 - 1
    grid = np.meshgrid(box.y + places * box.h - 0.5, box.x + places * box.w - 0.5, indexing="ij")
    cut = [ndimage.map_coordinates(np.abs(one), grid, order=1) for one in (across, down)]
    return np.minimum(np.stack(cut) / usual, 4.0)


def _sides(profile: np.ndarray) -> list[float]:
    """Where the strongest edges near both sides of a box lie, in sides."""
    places = (np.arange(CELLS) + 0.5) / CELLS * 3 - 1
    found = []
    for side in (0.0, 1.0):
        near = np.abs(places - side) <= REACH
        likely = profile[near] * np.exp(-8 * (places[near] - side) ** 2)
        found.append(float(places[near][likely.argmax()]))
    return found


# --- quality -------------------------------------------------------------------------------------


def weighted(_: PairSource, tracks: Sequence[Track]) -> Boxes:
    """The boxes of tracks, weighted by the share of their frames that count."""
    trusted = [one for one in tracks if one.trusted()]
    shares = [float(np.mean(one.tracklet.counts)) ** 4 for one in trusted]
    return _by_frame([one.trusted() for one in trusted], shares)


ON_FRAMES: dict[str, Callable[[PairSource, Boxes, str], Boxes]] = {
    "the teacher's answer": lambda source, boxes, seen: answered(source, boxes, seen, answer),
    "median of its answers around": lambda source, boxes, seen: answered(
        source, boxes, seen, jittered_answer
    ),
}
ON_TRACKS: dict[str, Callable[[PairSource, Sequence[Track]], Boxes]] = {
    "median of the teacher's answers": answered_over_track,
    "shared edges": with_shared_edges,
    "weighted by quality": weighted,
}
