"""How far an engine is from the reference: in boxes on rendered frames, and in success.

Two hundred frames of :func:`tirtrack.synthetic.clips.absence_clip`, 120 of them grey and 80 in
colour, are followed by each; boxes are compared frame by frame, so that a difference that grows
from frame to frame is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tirtrack.boxes import Box
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.progress import Progress, silent
from tirtrack.synthetic.clips import GONE, absence_clip
from tirtrack.trackers.base import Tracker

CHECKED_ON = "synthetic-validation"
CLIPS = 5  # of 40 frames before the target goes
_TINT = np.array([1.0, 0.9, 0.75])


def boxes_on_clips(tracker: Tracker, modality: str) -> np.ndarray:
    """Measured boxes ``[200,4]`` xywh of a tracker on the rendered frames, all clips in turn.

    Args:
        tracker: tracker that is begun anew with each clip.
        modality: modality of its weights; those for ``tir`` see colour frames of equal channels.
    """
    boxes = []
    for frames, first in _clips(tinted=modality != "tir"):
        for t, frame in enumerate(frames):
            state = tracker.update(frame) if t else tracker.init(frame, first)
            boxes.append(state.measured_box.array())
    return np.array(boxes)


def success_by(
    weights: str,
    engines: Sequence[str],
    dataset: str = CHECKED_ON,
    *,
    workers: int = 1,
    progress: Progress = silent,
) -> dict[str, float]:
    """Success of some weights by engine; 0 where there is none.

    Args:
        weights: name of shipped weights, or path of a weights file.
        engines: names of the engines.
        dataset: name or folder of a labelled data set.
        workers: number of processes.
        progress: callback that is told of progress, in frames.
    """
    specs = [TrackerSpec(one, weights, engine=one) for one in engines]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        comparison = evaluate(specs, dataset, out, workers=workers, progress=progress)
    score = comparison.primary.id
    return {one.tracker: float(one.values[score] or 0.0) for one in comparison.trackers}


@lru_cache
def _clips(*, tinted: bool) -> list[tuple[list[np.ndarray], Box]]:
    clips = []
    for seed in range(CLIPS):
        frames, truth = absence_clip(seed)
        tint = _TINT if tinted else np.ones(3)
        shown = [_coloured(one, tint) if seed % 2 else one for one in frames[: GONE.start]]
        clips.append((shown, Box.of(truth[0])))
    return clips


def _coloured(frame: np.ndarray, tint: np.ndarray) -> np.ndarray:
    return np.asarray((frame[..., None] * tint).astype(np.uint8))
