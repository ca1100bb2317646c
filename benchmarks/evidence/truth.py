"""The world's truth in place of proposals and tracks: what the best boxes would be worth.

The package's ``distill`` never opens labels. Here it is handed a table of boxes, as those of a
detector, and a tracker that knows where the targets go, so that an arm on true boxes differs from
one on tracks in its boxes alone: in neither does the teacher refuse a sample.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.plan import World
from tirtrack.boxes import Box, iou
from tirtrack.files import sha256, write_text
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals.box_files import CSV_COLUMNS
from tirtrack.synthetic import ScenePlan, draw_plan, render_plan
from tirtrack.synthetic.settings import SPLIT_CODES

MAX_HIDDEN = 0.5  # share of a target; more of it hidden, and its box is not used
MODALITIES = ("rgb", "tir")


def scene_of(world: World, index: int) -> ScenePlan:
    """The scene of a training recording, as ``write_world`` draws it."""
    size = world.size
    seed = (world.seed, SPLIT_CODES["pairs"], index, 0)
    spacing, settings = size.spacing_frames, world.difficulty()
    return draw_plan(seed, size.pairs_each, spacing=spacing, settings=settings)


def true_boxes(world: World, index: int) -> np.ndarray:
    """``[K,T,4]`` xywh, TIR pixels, of everything that moves in a recording; NaN rows where it is
    absent or more than half hidden.
    """
    plan = scene_of(world, index)
    boxes = []
    for place, actor in enumerate(plan.actors):
        others = plan.actors[:place] + plan.actors[place + 1 :]
        facts = render_plan(replace(plan, actors=(actor, *others)), rgb=False).facts
        is_visible = facts.occluded_tir <= MAX_HIDDEN
        boxes.append(np.where(is_visible[:, None], facts.boxes_tir, np.nan))
    return np.stack(boxes)


def rows_of(recording: str, boxes: np.ndarray) -> list[list[str]]:
    """The rows of a recording in a table of boxes: the same box in both modalities, since pairs
    have one grid.

    Args:
        recording: name of the recording.
        boxes: ``[K,T,4]`` as :func:`true_boxes` gives them.
    """
    return [
        [
            f"{recording}/{frame + 1:06d}",
            modality,
            *(f"{side:.2f}" for side in box),
            "1",
            str(target),
        ]
        for target, track in enumerate(boxes)
        for frame, box in enumerate(track)
        if np.isfinite(box).all()
        for modality in MODALITIES
    ]


def rows_at(world: World, index: int) -> list[list[str]]:
    """The rows of a recording of the world, by its index."""
    return rows_of(f"recording_{index + 1:03d}", true_boxes(world, index))


def write_table(path: Path, rows: Iterable[list[str]]) -> None:
    """Write a table of boxes that the proposer ``detector`` reads."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def recipe_changes(table: Path) -> dict[str, Any]:
    """Settings of a recipe that takes its boxes from a table, all of them."""
    limits = {"min_side": 4.0, "min_std": 0.0}
    options = {"boxes": str(table), "balance": False, "limits": limits}
    return {"proposals.way": "detector", "proposals.options": options}


@dataclass(frozen=True)
class TrueState:
    """The answer of a :class:`TrueFollower`: a box, and whether the target can be seen."""

    box: Box
    measured: bool


class TrueFollower:
    """Follows a target by the truth, in frames of either modality, which it knows by their content.

    Args:
        pairs: folders of the training recordings.
        table: table of their true boxes.
    """

    def __init__(self, pairs: Sequence[Path], table: Path) -> None:
        self._pairs, self._table = pairs, table
        self._target = ""
        self._box = Box(0.0, 0.0, 0.0, 0.0)

    @property
    def origin(self) -> dict[str, str]:
        """Hash of the table."""
        return {"true boxes": sha256(self._table)}

    def init(self, frame: np.ndarray, box: Box) -> TrueState:
        """Begin with the target whose true box is nearest to a box."""
        boxes = self._boxes(frame)
        self._target = max(boxes, key=lambda name: float(iou(boxes[name].array(), box.array())))
        return self.update(frame)

    def update(self, frame: np.ndarray) -> TrueState:
        """The target's true box; its last one, not measured, where it cannot be seen."""
        found = self._boxes(frame).get(self._target)
        self._box = found or self._box
        return TrueState(self._box, found is not None)

    def _boxes(self, frame: np.ndarray) -> Mapping[str, Box]:
        return self._known.get(self._keys[_digest(frame)], {})

    @cached_property
    def _keys(self) -> Mapping[bytes, str]:
        """Key of a pair by the content of each of its frames."""
        source = open_pairs(self._pairs)
        pairs = (source[index] for index in range(len(source)))
        frames = ((pair.key, frame) for pair in pairs for frame in (pair.rgb, pair.tir))
        return {_digest(frame): key for key, frame in frames if frame is not None}

    @cached_property
    def _known(self) -> Mapping[str, Mapping[str, Box]]:
        """Box by pair and target."""
        known: dict[str, dict[str, Box]] = {}
        with self._table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                box = Box(*(float(row[side]) for side in "xywh"))
                known.setdefault(row["key"], {})[row["label"]] = box
        return known


def true_follower(pairs: Sequence[Path], table: Path, _: str | Path) -> TrueFollower:
    """A :class:`TrueFollower` in place of a tracker that is made from a baseline."""
    return TrueFollower(pairs, table)


def _digest(frame: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()
