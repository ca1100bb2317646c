"""What the VOT protocols of several starts share: their class, and overlap by pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.start import Start
from tirtrack.evaluation.protocols.base import ScoreDescription, SequenceScores
from tirtrack.evaluation.protocols.per_frame import PerFrame
from tirtrack.evaluation.raster import raster_overlap
from tirtrack.evaluation.vot_runs import STARTED

EAO = ScoreDescription(id="eao", title="expected average overlap", short="EAO", is_mean=False)
ACCURACY = ScoreDescription(id="vot_accuracy", title="accuracy", short="A")

Starting = Callable[[np.ndarray, tuple[int, int] | None], tuple[Start, ...]]


@dataclass(frozen=True)
class PerFrameFromStarts(PerFrame):
    """A protocol that says from where a sequence is tracked.

    Attributes:
        starting: function of annotation and size of the frames that gives the runs.
    """

    starting: Starting = lambda annotation, size_wh: (Start(),)

    def starts(self, annotation: np.ndarray, size_wh: tuple[int, int] | None) -> tuple[Start, ...]:
        """The runs over a sequence."""
        return self.starting(annotation, size_wh)

    def together(self, passes: Sequence[SequenceScores]) -> SequenceScores:
        """The scores of a sequence from all its runs; ``run`` of the measures tells them apart."""
        measures = {
            key: np.concatenate([one.measures[key] for one in passes]) for key in passes[0].measures
        }
        measures["run"] = np.repeat(
            np.arange(len(passes)), [len(one.measures["run"]) for one in passes]
        )
        frames = max(one.frames for one in passes)
        visible = max(one.visible_frames for one in passes)
        return self.summarised(
            replace(passes[0], frames=frames, visible_frames=visible, measures=measures)
        )


def overlaps_and_marks(
    boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
) -> dict[str, np.ndarray]:
    """Overlap of each frame, 0 where the box was given; its mark; whether it has a target."""
    statuses = np.full(len(boxes), "") if facts.statuses is None else facts.statuses[: len(boxes)]
    overlaps = raster_overlap(boxes, annotation, facts.size_wh)
    overlaps[statuses == STARTED] = 0.0
    return {
        "overlap": overlaps,
        "mark": statuses,
        "target": ~np.isnan(annotation).any(axis=1),
        "run": np.zeros(len(boxes), dtype=np.int64),
    }
