"""Fit the numbers of a tracker's score and status on labelled data that may be tuned on.

    python -m benchmarks.fit_calibration WEIGHTS FOLDER... [--out calibration.json]

A folder is anything that ``tirtrack.datasets.open_dataset`` reads. Present: tracked frames with
overlap of at least 0.5, of the reported or the measured box. Absent: frames annotated as absent,
and patches cut from visible frames at a random place that the target does not touch, one in five
frames. Frames that are neither (drift) are left out of the fit and reported.

Trackers that learn online have one number per frame, the raw peak, and no patches elsewhere; their
threshold of ``lost`` belongs to the preset and is only reported, for every candidate.

The sequences are tracked with the calibration in use, the curve and the thresholds are fitted, and
the sequences are tracked again with the new numbers. ``figures_before`` are those of the first run,
``figures`` those of the second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box, iou
from tirtrack.datasets import LabelledSequence, open_dataset
from tirtrack.errors import FrameError
from tirtrack.evaluation.score_quality import roc_auc
from tirtrack.files import write_text
from tirtrack.trackers.base import Status, Tracker, TrackState
from tirtrack.trackers.calibration_fit import (
    ScoreCurve,
    StatusFit,
    disappearances,
    fit_score,
    fit_status,
    lost_shares,
)
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.presets import with_overrides
from tirtrack.trackers.siamese import SiameseTracker
from tirtrack.weights.card import Calibration, PeakCalibration

GOOD_IOU = 0.5
LOST_IOU = 0.2
ELSEWHERE_EVERY = 5
PLACES_TRIED = 20


@dataclass(frozen=True)
class Tracked:
    """One sequence, frame by frame from the second on; ``[T-1]`` each, NaN where unmeasured."""

    name: str
    rise: np.ndarray
    margin: np.ndarray
    score: np.ndarray
    lost: np.ndarray
    visible: np.ndarray
    overlap: np.ndarray
    elsewhere: np.ndarray  # [k,2] rise and margin of patches without the target


def main() -> None:
    """Gather, fit, check, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fit_calibration", description=__doc__.splitlines()[0]
    )
    parser.add_argument("weights")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=300, help="at most so many of a sequence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fitted-on", help="what the card will say; default: the folders' names")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    report = calibrate(
        arguments.weights,
        arguments.folders,
        fitted_on=arguments.fitted_on or ", ".join(folder.name for folder in arguments.folders),
        frames=arguments.frames,
        seed=arguments.seed,
    )
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.out is not None:
        write_text(arguments.out, text + "\n")


def calibrate(
    weights: str | Path,
    folders: Sequence[Path],
    *,
    fitted_on: str,
    frames: int = 300,
    seed: int = 0,
) -> dict[str, Any]:
    """The calibration of weights, and its figures on the sequences that it was fitted on."""
    tracker = load_tracker(weights)
    sequences = [item for folder in folders for item in open_dataset(folder).sequences]
    if not isinstance(tracker, SiameseTracker):
        return {
            "weights": Path(weights).stem,
            "folders": [folder.name for folder in folders],
            "frames": frames,
            **_calibrate_peaks(tracker, sequences, frames=frames, fitted_on=fitted_on),
        }
    first = _track_all(tracker, sequences, frames, seed)
    curve = _fit_curve(first)
    status = fit_status(
        [np.nan_to_num(curve.score(item.rise, item.margin)) for item in first],
        [item.visible for item in first],
        [item.overlap >= GOOD_IOU for item in first],
    )
    tracker.calibration = _calibration(curve, status, fitted_on)
    return {
        "weights": Path(weights).stem,
        "folders": [folder.name for folder in folders],
        "frames": frames,
        "seed": seed,
        "calibration": tracker.calibration.model_dump(),
        "status_as_fitted": asdict(status),
        "figures_before": _figures(first),
        "figures": _figures(_track_all(tracker, sequences, frames, seed)),
    }


# --- trackers that learn online ------------------------------------------------------------------

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
MIN_PEAK_SCALE = 0.02


@dataclass(frozen=True)
class Peaks:
    """One sequence from the second frame on, ``[T-1]`` each; overlap is NaN where unmeasured."""

    peak: np.ndarray
    visible: np.ndarray
    overlap: np.ndarray


def _calibrate_peaks(
    tracker: Tracker,
    sequences: Sequence[LabelledSequence],
    *,
    frames: int,
    fitted_on: str,
) -> dict[str, Any]:
    found = [_peaks_of(tracker, sequence, frames) for sequence in sequences]
    peak = np.concatenate([one.peak for one in found])
    visible = np.concatenate([one.visible for one in found])
    overlap = np.concatenate([one.overlap for one in found])
    good, gone = overlap >= GOOD_IOU, ~visible
    centre, scale = _fit_peak(peak[good], peak[gone])
    calibration = PeakCalibration(
        peak_centre=round(centre, 4), peak_scale=round(scale, 4), fitted_on=fitted_on
    )
    by_threshold = {}
    for threshold in THRESHOLDS:
        called = [one.peak < threshold for one in found]
        shares = lost_shares(
            called, [one.visible for one in found], [one.overlap >= GOOD_IOU for one in found]
        )
        by_threshold[str(threshold)] = {
            "lost_within_10_frames": round(shares.detected, 4),
            "false_lost_of_good": round(shares.false, 4),
        }
    return {
        "calibration": calibration.model_dump(),
        "threshold_in_use": tracker.settings.target_not_found_threshold,
        "by_threshold": by_threshold,
        "figures": {
            "roc_visible_absent": round(_roc(peak[visible], peak[gone]), 4),
            "roc_good_absent": round(_roc(peak[good], peak[gone]), 4),
            "roc_good_drifted": round(_roc(peak[good], peak[overlap < LOST_IOU]), 4),
            "mean_overlap_of_visible": round(float(np.nanmean(overlap)), 4),
            "sequences": len(found),
            "good_frames": int(good.sum()),
            "absent_frames": int(gone.sum()),
        },
    }


def _peaks_of(tracker: Tracker, sequence: LabelledSequence, frames: int) -> Peaks:
    boxes = sequence.boxes
    rows = []
    for index, frame in enumerate(sequence.open_frames()):
        if index == min(frames, len(boxes)):
            break
        if index == 0:
            tracker.init(frame, Box.of(boxes[0]))
            continue
        state = tracker.update(frame)
        visible = bool(np.isfinite(boxes[index]).all())
        overlap = _overlap(state, boxes[index]) if visible else np.nan
        if "max_score" in state.diagnostics:  # a frame without information has none
            rows.append((state.diagnostics["max_score"], visible, overlap))
    peak, seen, overlaps = np.array(rows, dtype=np.float64).reshape(-1, 3).T
    return Peaks(peak, seen.astype(bool), overlaps)


def _fit_peak(good: np.ndarray, gone: np.ndarray) -> tuple[float, float]:
    """Centre and scale with the least logarithmic loss, both classes weighted equally."""
    from scipy.optimize import minimize

    def loss(values: np.ndarray) -> float:
        centre, scale = values
        above, below = ((side - centre) / scale for side in (good, gone))
        return float(np.logaddexp(0, -above).mean() + np.logaddexp(0, below).mean())

    start = np.array([(np.median(good) + np.median(gone)) / 2, 0.1])
    found = minimize(loss, start, bounds=[(None, None), (MIN_PEAK_SCALE, 1.0)])
    return float(found.x[0]), float(found.x[1])


def _track_all(
    tracker: SiameseTracker, sequences: Sequence[LabelledSequence], frames: int, seed: int
) -> list[Tracked]:
    tracked = []
    for index, sequence in enumerate(sequences):
        try:
            rng = np.random.default_rng([seed, index])
            tracked.append(_track(tracker, sequence, frames=frames, rng=rng))
        except FrameError as error:
            print(f"{sequence.name} is left out: {error}")
    return tracked


def _track(
    tracker: SiameseTracker, sequence: LabelledSequence, *, frames: int, rng: np.random.Generator
) -> Tracked:
    boxes = sequence.boxes
    rows: list[tuple[float, ...]] = []
    elsewhere: list[tuple[float, float]] = []
    for index, frame in enumerate(sequence.open_frames()):
        if index == min(frames, len(boxes)):
            break
        if index == 0:
            tracker.init(frame, Box.of(boxes[0]))
            continue
        state = tracker.update(frame)
        visible = bool(np.isfinite(boxes[index]).all())
        rows.append(
            (
                state.diagnostics.get("entropy_rise", np.nan),
                state.diagnostics.get("margin", np.nan),
                state.score,
                state.status is Status.LOST,
                visible,
                _overlap(state, boxes[index]) if visible else np.nan,
            )
        )
        if visible and index % ELSEWHERE_EVERY == 0:
            elsewhere += _look_elsewhere(tracker, frame, boxes[index], rng)
    columns = np.array(rows, dtype=np.float64).T
    return Tracked(
        sequence.name,
        *columns[:3],
        columns[3].astype(bool),
        columns[4].astype(bool),
        columns[5],
        np.array(elsewhere).reshape(-1, 2),
    )


def _overlap(state: TrackState, box: np.ndarray) -> float:
    """Overlap of the reported or the measured box, whichever is larger: a lost tracker reports an
    old one.
    """
    return max(float(iou(one.array(), box)) for one in (state.box, state.measured_box))


def _look_elsewhere(
    tracker: SiameseTracker, frame: np.ndarray, box: np.ndarray, rng: np.random.Generator
) -> list[tuple[float, float]]:
    """Rise of the entropy and margin of one patch that does not show the target, if any."""
    crop = tracker.geometry.crop_around(Box.of(box).center_xy, (float(box[2]), float(box[3])))
    place = _place_without(box, (crop.side, crop.height), frame.shape[1::-1], rng)
    if place is None:
        return []
    saved = tracker.state_dict()
    settings = tracker.settings
    size_wh = (float(box[2]), float(box[3]))
    probe = {**saved, "place": {**saved["place"], "center_xy": place, "size_wh": size_wh}}
    tracker.settings = with_overrides(settings, {"frame_gate": False})
    tracker.load_state_dict(probe)
    found = tracker.update(frame).diagnostics
    tracker.settings = settings
    tracker.load_state_dict(saved)
    return [(found["entropy_rise"], found["margin"])] if "margin" in found else []


def _place_without(
    box: np.ndarray,
    crop_wh: tuple[float, float],
    frame_wh: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    for _ in range(PLACES_TRIED):
        x, y = rng.uniform(0, frame_wh[0]), rng.uniform(0, frame_wh[1])
        apart_x = abs(x - box[0] - box[2] / 2) > (crop_wh[0] + box[2]) / 2
        apart_y = abs(y - box[1] - box[3] / 2) > (crop_wh[1] + box[3]) / 2
        if apart_x or apart_y:
            return x, y
    return None


def _fit_curve(tracked: list[Tracked]) -> ScoreCurve:
    good = np.concatenate([_pairs(item, item.overlap >= GOOD_IOU) for item in tracked])
    gone = np.concatenate(
        [part for item in tracked for part in (_pairs(item, ~item.visible), item.elsewhere)]
    )
    samples = np.concatenate([good, gone])
    return fit_score(samples[:, 0], samples[:, 1], np.arange(len(samples)) < len(good))


def _pairs(item: Tracked, chosen: np.ndarray) -> np.ndarray:
    kept = chosen & np.isfinite(item.rise)
    return np.stack([item.rise[kept], item.margin[kept]], axis=1)


def _calibration(curve: ScoreCurve, status: StatusFit, fitted_on: str) -> Calibration:
    return Calibration(
        rise_centre=round(curve.rise_centre, 3),
        rise_scale=round(curve.rise_scale, 3),
        margin_centre=round(curve.margin_centre, 3),
        margin_scale=round(curve.margin_scale, 3),
        uncertain_below=status.uncertain_below,
        lost_below=status.lost_below,
        lost_after_frames=status.lost_after_frames,
        fitted_on=fitted_on,
    )


def _figures(tracked: list[Tracked]) -> dict[str, float | int | None]:
    """Figures that the thresholds are fitted for, and how the score separates kinds of frames."""
    score = np.concatenate([item.score for item in tracked])
    visible = np.concatenate([item.visible for item in tracked])
    overlap = np.concatenate([item.overlap for item in tracked])
    lost = np.concatenate([item.lost for item in tracked])
    called, seen = [item.lost for item in tracked], [item.visible for item in tracked]
    good, drifted = overlap >= GOOD_IOU, overlap < LOST_IOU
    on_target = lost_shares(called, seen, [item.overlap >= GOOD_IOU for item in tracked])
    of_visible = lost_shares(called, seen, seen)
    figures = {
        "roc_visible_absent": _roc(score[visible], score[~visible]),
        "roc_good_absent": _roc(score[good], score[~visible]),
        "roc_good_drifted": _roc(score[good], score[drifted]),
        "lost_within_10_frames": on_target.detected,
        "false_lost_of_visible": of_visible.false,
        "false_lost_of_good": on_target.false,
        "lost_of_drifted": float(lost[drifted].mean()) if drifted.any() else np.nan,
        "below_half_good": float((score[good] < 0.5).mean()),
        "below_half_absent": float((score[~visible] < 0.5).mean()) if not visible.all() else np.nan,
        "mean_overlap_of_visible": float(np.nanmean(overlap)),
    }
    counts = {
        "sequences": len(tracked),
        "good_frames": int(good.sum()),
        "drifted_frames": int(drifted.sum()),
        "absent_frames": int((~visible).sum()),
        "disappearances": sum(len(disappearances(item.visible)) for item in tracked),
        "patches_elsewhere": sum(len(item.elsewhere) for item in tracked),
    }
    return {
        **{key: None if np.isnan(value) else round(value, 4) for key, value in figures.items()},
        **counts,
    }


def _roc(above: np.ndarray, below: np.ndarray) -> float:
    """The area under the ROC curve; NaN where one side has no frame."""
    both = np.concatenate([above, below])
    area = roc_auc(both, np.arange(len(both)) < len(above))
    return float("nan") if area is None else area


if __name__ == "__main__":
    main()
