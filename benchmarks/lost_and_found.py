"""Whether a tracker reports ``lost`` when its target has gone, and finds it when it returns.

    python -m benchmarks.lost_and_found WEIGHTS... [--preset NAME] [--out FILE.json]

``WEIGHTS`` are names or files of any family, ``NAME@PRESET`` for another preset. Two rows for each:
without re-detection, as evaluation runs it, and with it, as users have it. The first columns belong
to the twenty clips of absence (:func:`tirtrack.synthetic.clips.absence_clip`):

``called``        of the disappearances, the share that was called lost within ten frames
``false before``  of the visible frames up to the disappearance, the share that was called lost
``false of all``  of all visible frames but the ten after an absence, the share called lost
``ROC area``      of the score, for visible against absent, over all frames but the first
``again``         clips in whose last five frames, long after the return, it is not lost

the others to the ten clips of return (:class:`tirtrack.synthetic.clips.ReturnClip`), where only
re-detection can help:

``found``         followed again, IoU over 0.5, by the tenth frame that shows it whole
``taken``         another thing, which came in its place, was followed
``unsettled``     something was followed later than ten frames after the target had left, or the
                  tracker was not lost in the last frame before the return

A figure beyond its limit is marked with ``*``. Without re-detection the limit of false alarms
counts those before the disappearance: afterwards a tracker may rightly be lost although the target
has come back. With it all visible frames count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tirtrack.boxes import Box, iou
from tirtrack.errors import TirtrackError
from tirtrack.evaluation.score_quality import roc_auc
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.synthetic.clips import (
    ABSENCE_CLIPS,
    ABSENCE_FRAMES,
    BACK,
    GONE,
    LEFT,
    RETURN_CLIPS,
    SEEN,
    ReturnClip,
    absence_clip,
)
from tirtrack.trackers.base import SeekingTracker, SharingTracker, Status, Tracker, TrackState
from tirtrack.trackers.calibration_fit import lost_shares
from tirtrack.trackers.redetection import RedetectingTracker

WITHIN_FRAMES = 10
LAST_FRAMES = 5
FOUND_ABOVE_IOU = 0.5
SEED = 0  # of trackers' random draws

# --- the figures ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Absences:
    """Figures of the clips of absence; the head of this module explains them."""

    called: float
    false_before: float
    false_of_all: float
    roc_area: float
    again: int


@dataclass(frozen=True)
class Returns:
    """Figures of the clips of return; the head of this module explains them."""

    found: int
    taken: int
    unsettled: int


def absences(tracker: Tracker) -> Absences:
    """The figures of a tracker on the clips of absence."""
    lost, scores, visible = [], [], []
    for seed in range(ABSENCE_CLIPS):
        frames, boxes = absence_clip(seed)
        tracker.init(frames[0], Box.of(boxes[0]))
        states = [tracker.update(frame) for frame in frames[1:]]
        lost.append(np.array([state.status is Status.LOST for state in states]))
        scores.append(np.array([state.score for state in states]))
        visible.append(np.isfinite(boxes[1:, 0]))
    return counted_absences(lost, scores, visible)


def counted_absences(
    lost: Sequence[np.ndarray], scores: Sequence[np.ndarray], visible: Sequence[np.ndarray]
) -> Absences:
    """The figures of a tracker's outputs, one array ``[T-1]`` per clip, without the first frame."""
    is_before = np.arange(1, ABSENCE_FRAMES) < GONE.start
    before = lost_shares(lost, visible, [seen & is_before for seen in visible])
    area = roc_auc(np.concatenate(scores), np.concatenate(visible))
    return Absences(
        called=before.detected,
        false_before=before.false,
        false_of_all=lost_shares(lost, visible, visible).false,
        roc_area=float("nan") if area is None else area,
        again=sum(not called[-LAST_FRAMES:].any() for called in lost),
    )


def returns(tracker: SharingTracker) -> Returns:
    """The figures of a tracker that can search, on the clips of return."""
    found = taken = unsettled = 0
    for seed in range(RETURN_CLIPS):
        clip = ReturnClip.of(seed)
        tracker.init(clip.frame(0), clip.box(0))
        gone = [tracker.update(clip.frame(t)) for t in range(1, BACK)]
        again = tracker.twin("again")
        again.load_state_dict(tracker.state_dict())
        target = [
            tracker.update(clip.frame(t)) for t in range(BACK, clip.whole_from + WITHIN_FRAMES)
        ]
        other = [again.update(clip.frame(t, other=True)) for t in range(BACK, BACK + SEEN)]
        found += any(
            _is_followed(state) and iou(state.box.array(), clip.box(t).array()) > FOUND_ABOVE_IOU
            for t, state in enumerate(target, start=BACK)
        )
        taken += any(map(_is_followed, other))
        unsettled += is_unsettled(gone)
    return Returns(found, taken, unsettled)


def is_unsettled(gone: Sequence[TrackState]) -> bool:
    """Whether the states of a clip of return, from frame 1 to the return, do not end in a loss."""
    followed = any(map(_is_followed, gone[LEFT + WITHIN_FRAMES :]))
    return followed or gone[-1].status is not Status.LOST


def _is_followed(state: TrackState) -> bool:
    return state.status is Status.TRACKING


# --- the limits, and the table --------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
    """How a figure is written, and whether its limit is an upper or a lower bound."""

    heading: str
    form: str
    has_most: bool = False

    def keeps(self, value: float, limit: float) -> bool:
        """Whether the value is within the limit."""
        return value <= limit if self.has_most else value >= limit

    def limit(self, value: float) -> str:
        """The limit as the table writes it."""
        return f"{'<=' if self.has_most else '>='} {self.form.format(value)}"


COLUMNS = {
    "called": Column("called", "{:.0%}"),
    "false_before": Column("false before", "{:.1%}", has_most=True),
    "false_of_all": Column("false of all", "{:.1%}", has_most=True),
    "roc_area": Column("ROC area", "{:.3f}"),
    "again": Column(f"again, of {ABSENCE_CLIPS}", "{}"),
    "found": Column(f"found, of {RETURN_CLIPS}", "{}"),
    "taken": Column("taken", "{}", has_most=True),
    "unsettled": Column("unsettled", "{}", has_most=True),
}
WITHOUT, WITH = "without", "with"  # re-detection
ABSENCE_LIMITS: dict[str, dict[str, float]] = {
    WITHOUT: {"called": 0.9, "false_before": 0.02, "roc_area": 0.9, "again": 16},
    WITH: {"called": 0.9, "false_of_all": 0.02, "roc_area": 0.9, "again": 19},
}
RETURN_LIMITS: dict[str, float] = {"found": 9, "taken": 1, "unsettled": 0}
LIMITS = {WITHOUT: ABSENCE_LIMITS[WITHOUT], WITH: {**ABSENCE_LIMITS[WITH], **RETURN_LIMITS}}

Figures = dict[str, float]


def beyond(figures: Figures, limits: Mapping[str, float]) -> Figures:
    """The figures that are not within their limits; every limit must have its figure."""
    return {
        key: figures[key]
        for key, limit in limits.items()
        if not COLUMNS[key].keeps(figures[key], limit)
    }


def measured(tracker: SeekingTracker) -> dict[str, Figures]:
    """All figures of a tracker, without re-detection and with it."""
    searching = RedetectingTracker(tracker)
    return {
        WITHOUT: asdict(absences(tracker)),
        WITH: {**asdict(absences(searching)), **asdict(returns(searching))},
    }


def limit_cells(limits: Mapping[str, float]) -> list[str]:
    """A row of limits, one cell a column."""
    return [column.limit(limits[key]) if key in limits else "" for key, column in COLUMNS.items()]


def figure_cells(figures: Figures, limits: Mapping[str, float]) -> list[str]:
    """A row of figures, one cell a column."""
    marked = beyond(figures, limits)
    return [
        column.form.format(figures[key]) + ("*" if key in marked else "") if key in figures else ""
        for key, column in COLUMNS.items()
    ]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lost_and_found")
    parser.add_argument("weights", nargs="+", help="names or files; NAME@PRESET")
    parser.add_argument("--preset", help="of those that name none; default: that of their card")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    specs = [TrackerSpec.of(text, preset=options.preset) for text in options.weights]
    try:
        # All are loaded before the first is measured: one wrong name and nothing starts.
        facts = [{"name": spec.name, **spec.facts()} for spec in specs]
        rows = printed_rows(facts, [spec.load(SEED) for spec in specs])
        if options.out is not None:
            made = {"command": parser.prog, "versions": versions(), "seed": SEED}
            write_json(options.out, {**made, "limits": LIMITS, "rows": rows})
    except TirtrackError as error:
        print(f"lost_and_found: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def printed_rows(
    facts: Sequence[dict[str, Any]], trackers: Sequence[SeekingTracker]
) -> list[dict[str, Any]]:
    """The facts of every tracker with its settings and figures, which are printed once known."""
    first = max(len(name) for name in ("weights", *(known["name"] for known in facts)))
    headings = ["re-detection", *(column.heading for column in COLUMNS.values())]

    def show(name: str, cells: Sequence[str]) -> None:
        places = [f"{cell:<{len(head)}}" for cell, head in zip(cells, headings, strict=True)]
        print("  ".join([f"{name:<{first}}", *places]).rstrip(), flush=True)

    show("weights", headings)
    for mode, limits in LIMITS.items():
        show("limits", [mode, *limit_cells(limits)])
    rows = []
    for known, tracker in zip(facts, trackers, strict=True):
        figures = measured(tracker)
        for mode, found in figures.items():
            show(known["name"], [mode, *figure_cells(found, LIMITS[mode])])
        settings = None if tracker.origin is None else tracker.origin.settings
        rows.append({**known, "settings": settings, "figures": figures})
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same figures on any number of cores
    sys.exit(main())
