"""``tirtrack weights quantise``: int8 graphs of some weights, and whether they may be used.

Ranges come from a tracker that follows whatever lies in a box drawn at random, anew every few
frames, so that no labels are needed. Then each runtime that is installed follows the rendered
frames of :mod:`tirtrack.evaluation.engine_check` in int8, and the reference in float32. Where the
boxes agree, success on the synthetic validation sequences is compared too. All that is found is
kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import FrameError, RequestError, RunError, WeightsError
from tirtrack.evaluation.engine_check import boxes_on_clips, success_by
from tirtrack.inference import has_openvino
from tirtrack.media import Source
from tirtrack.media import frames as frames_of
from tirtrack.progress import Progress, silent
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.engines import GraphEngine, Maps
from tirtrack.trackers.loading import engines_of, load_tracker
from tirtrack.trackers.siamese import SiameseTracker
from tirtrack.weights import int8, store
from tirtrack.weights.graphs import Graphs, graphs_of_file
from tirtrack.weights.int8 import Int8Check, Int8Graphs
from tirtrack.weights.runtimes import (
    INT8_ENGINES,
    REFERENCE,
    Int8Name,
    processor,
    runtime_of,
    runtime_version,
)

MOST_FRAMES = 400
_FOLLOWED = 10  # frames from one box to the next
_FEWEST = 20  # search patches
_SIDES = (0.08, 0.4)  # of the shorter side of a frame


def quantise_weights(
    weights: str | Path,
    frames: Sequence[Source],
    *,
    progress: Progress = silent,
) -> Int8Graphs:
    """Make int8 graphs of the search of a Siamese network and check them; kept in the cache, in
    place of earlier ones.

    Args:
        weights: name of shipped weights, or path of a weights file.
        frames: sources of frames of the kind that the tracker will see, as for
            :func:`tirtrack.frames`; at most 400 frames in all, as many from the begin of each.
        progress: callback that is told of progress.

    Returns:
        The graphs, with the check of each engine; at least one engine passed on boxes.

    Raises:
        WeightsError: the weights are unknown or damaged, or no int8 graphs are made of their
            family.
        RequestError: the frames cannot be read, or are too few.
        RunError: the boxes of no engine passed; the result is kept and shown by
            :func:`tirtrack.weights_info`.
        StorageError: the cache cannot be written.
    """
    path = store.find(weights)
    card = store.card_of(path)
    if "onnx-int8" not in engines_of(card.architecture):
        raise WeightsError(f"holds a {card.architecture}, of which no int8 graphs are made", path)
    graphs = graphs_of_file(path)
    made = int8.quantised(graphs, _searches(path, graphs, frames, progress))
    usable = [one for one in INT8_ENGINES if runtime_of(one) == REFERENCE or has_openvino()]
    made = replace(made, checks={one: _box_check(path, graphs, made, one) for one in usable})
    int8.keep(made)
    near = [one for one, check in made.checks.items() if check.boxes_pass]
    if not near:
        found = "; ".join(f"{one}: {check.in_words}" for one, check in made.checks.items())
        raise RunError(
            f"int8 is not used with these weights ({found})", path, "keep the engines in float32"
        )
    success = success_by(str(path), [REFERENCE, *near], progress=progress)
    checks = {
        one: replace(check, success=abs(success[one] - success[REFERENCE]))
        if one in near
        else check
        for one, check in made.checks.items()
    }
    made = replace(made, checks=checks)
    int8.keep(made)
    return made


class _Recorder(GraphEngine):
    """The reference, which remembers what it was given to search."""

    def __init__(self, graphs: Graphs) -> None:
        super().__init__(graphs)
        self.searches: list[tuple[np.ndarray, np.ndarray]] = []

    def search(self, template: np.ndarray, patch: np.ndarray) -> Maps:
        self.searches.append((template, patch))
        return super().search(template, patch)


def _searches(
    path: Path, graphs: Graphs, sources: Sequence[Source], progress: Progress
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Template and search patch of each search in some frames."""
    if not sources:
        raise RequestError("no frames were given", fix="name a folder or video by --frames")
    recorder = _Recorder(graphs)
    tracker = _with_engine(path, recorder)
    rng = np.random.default_rng(0)
    share = max(MOST_FRAMES // len(sources), 1)
    for number, source in enumerate(sources):
        progress("calibrate", number, len(sources))
        follows = False
        for t, frame in enumerate(_images(source, share)):
            follows = follows and t % _FOLLOWED > 0
            if follows:
                tracker.update(frame)
            else:
                follows = _begins(tracker, frame, _random_box(rng, frame))
    progress("calibrate", len(sources), len(sources))
    if len(recorder.searches) < _FEWEST:
        raise RequestError(
            f"--frames gave {len(recorder.searches)} search patches, {_FEWEST} are needed",
            fix="give more frames that show a scene",
        )
    return recorder.searches


def _images(source: Source, count: int) -> Iterator[np.ndarray]:
    return (frame.image for frame in frames_of(source, end=count))


def _begins(tracker: Tracker, frame: np.ndarray, box: Box) -> bool:
    """Whether a tracker can begin with a frame; not with one that shows nothing, as while the
    shutter of a camera is closed.
    """
    try:
        tracker.init(frame, box)
    except FrameError:
        return False
    return True


def _random_box(rng: np.random.Generator, frame: np.ndarray) -> Box:
    """A box within a frame, of a size and shape drawn at random."""
    height, width = frame.shape[:2]
    low, high = np.log(_SIDES)
    w, h = np.exp(rng.uniform(low, high, 2)) * min(width, height)
    return Box(rng.uniform(0, width - w), rng.uniform(0, height - h), w, h)


def _box_check(path: Path, graphs: Graphs, made: Int8Graphs, engine: Int8Name) -> Int8Check:
    runtime = runtime_of(engine)
    place = runtime_version(runtime), processor()
    modality = store.card_of(path).modality
    right = boxes_on_clips(load_tracker(path, engine=REFERENCE), modality)
    try:
        tracker = _with_engine(path, GraphEngine(made.of(graphs), runtime))
        boxes = boxes_on_clips(tracker, modality)
    except RunError as error:
        return Int8Check(*place, None, fault=error.what)
    worst = float(np.abs(boxes - right).max())
    return Int8Check(*place, worst if np.isfinite(worst) else None)


def _with_engine(path: Path, engine: GraphEngine) -> Tracker:
    """The tracker of some weights on an engine that is not named."""
    tracker = cast(SiameseTracker, load_tracker(path, engine=REFERENCE))
    tracker.engine = engine
    return tracker
