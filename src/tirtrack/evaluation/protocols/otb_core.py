"""The core that LSOTB-TIR, PTB-TIR and OTB share: one pass, success and precision plots.

Reproduces the official toolkits with their quirks to the last bit. The
worst quirk is Q1: a frame whose annotation is not valid (absent, or touching 0) is always
a miss of the success plot and always a hit of the precision plots, whatever the tracker says.
``visible_values``, beside the official numbers, are the same scores counted over valid frames only
and divided by their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.errors import DatasetError
from tirtrack.evaluation.overlap import (
    center_error,
    first_valid_row,
    norm_center_error,
    overlap,
    valid_rows,
)
from tirtrack.evaluation.protocols.base import (
    CurveAxes,
    LengthMode,
    ScoreDescription,
    Scores,
    SequenceScores,
)

SUCCESS_THRESHOLDS = np.arange(21) * 0.05
PRECISION_THRESHOLDS = np.arange(51.0)
NORM_PRECISION_THRESHOLDS = np.arange(51) / 100

_PRECISION_AT = 20  # index of 20 px
_HALF = 10  # index of overlap 0.50
_EMPTY_CURVE = 2.2e-16  # Q4: sequences whose curve sums to no more are left out of the mean

SUCCESS = ScoreDescription(
    id="success",
    title="success",
    curve=CurveAxes(
        x_label="overlap threshold", y_label="share of frames above it", x_end=1.0, reading="area"
    ),
)
PRECISION = ScoreDescription(
    id="precision",
    title="precision",
    curve=CurveAxes(
        x_label="centre error threshold (px)",
        y_label="share of frames within it",
        x_end=50.0,
        reading="at 20 px",
    ),
)
NORM_PRECISION = ScoreDescription(
    id="norm_precision",
    title="normalised precision",
    short="norm. prec.",
    curve=CurveAxes(
        x_label="centre error threshold (box sizes)",
        y_label="share of frames within it",
        x_end=0.5,
        reading="area",
    ),
)
OP50 = ScoreDescription(id="op50", title="overlap > 0.5", point_of="success")
SCORES = (SUCCESS, PRECISION, NORM_PRECISION, OP50)
ABSENT_RULE = "as a miss in the success plot and as a hit in the precision plots"  # Q1


@dataclass(frozen=True)
class FrameMeasures:
    """Per-frame measures of one run, ``[T]`` each; -1 where the annotation is not valid.

    Attributes:
        overlap: intersection over union.
        center_error: distance of the centres, pixels.
        norm_center_error: distance of the centres, in sizes of the annotated box.
        valid: whether the annotation is valid, bool.
        repaired_rows: result rows that were replaced by the row before.
    """

    overlap: np.ndarray
    center_error: np.ndarray
    norm_center_error: np.ndarray
    valid: np.ndarray
    repaired_rows: int


def repaired(boxes: np.ndarray, annotation: np.ndarray) -> tuple[np.ndarray, int]:
    """The result ``[T,4]`` as the toolkits score it, and how many rows were repaired.

    From the second row on, a row that is all NaN or has no positive size becomes the (already
    repaired) row before it, unless the annotation has a NaN there; then the first row becomes the
    annotation's. Rows with some NaN and positive sizes stay (Q2).
    """
    with np.errstate(invalid="ignore"):
        bad = np.isnan(boxes).all(axis=1) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    bad &= ~np.isnan(annotation).any(axis=1)
    bad[:1] = False
    source = np.maximum.accumulate(np.where(bad, 0, np.arange(len(boxes))))
    result = boxes[source]
    result[:1] = annotation[:1]
    return result, int(bad.sum())


def measure_frames(boxes: np.ndarray, annotation: np.ndarray) -> FrameMeasures:
    """Repair a result ``[T,4]`` and measure it against the annotation ``[T,4]``, both as stored."""
    if boxes.shape != annotation.shape or boxes.shape[1:] != (4,):
        raise ValueError(
            f"boxes and annotation must be [T,4] of one length, got {list(boxes.shape)} and "
            f"{list(annotation.shape)}"
        )
    boxes, repaired_rows = repaired(
        np.asarray(boxes, np.float64), np.asarray(annotation, np.float64)
    )
    valid = valid_rows(annotation)
    return FrameMeasures(
        np.where(valid, overlap(boxes, annotation), -1.0),
        np.where(valid, center_error(boxes, annotation), -1.0),
        np.where(valid, norm_center_error(boxes, annotation), -1.0),
        valid,
        repaired_rows,
    )


def success_counts(overlaps: np.ndarray) -> np.ndarray:
    """``[21]``: how many of ``[T]`` exceed each threshold; NaN never does."""
    known = np.sort(overlaps[~np.isnan(overlaps)])
    return np.asarray(len(known) - np.searchsorted(known, SUCCESS_THRESHOLDS, side="right"))


def precision_counts(errors: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many of ``[T]`` errors lie within each threshold; NaN never does."""
    return np.asarray(np.searchsorted(np.sort(errors), thresholds, side="right"))  # NaN is last


def with_length(
    boxes: np.ndarray, rows: int, *, length: LengthMode = "strict", where: str = ""
) -> np.ndarray:
    """A result ``[T,4]`` with as many rows as the annotation.

    Raises:
        DatasetError: another number of rows that ``length`` does not mend, or no row at all.
    """
    if len(boxes) == rows:
        return boxes
    mends_long = length != "strict" and len(boxes) > rows
    mends_short = length in ("pad_last", "pad_zero") and 0 < len(boxes) < rows
    if not (mends_long or mends_short):
        raise DatasetError(
            f"the result has {len(boxes)} rows, the annotation {rows}",
            where,
            "run the sequence again, or cut or pad it with --length",
        )
    if mends_long:
        return boxes[:rows]
    last = boxes[-1] if length == "pad_last" else np.zeros(4)
    return np.concatenate([boxes, np.repeat(last[None], rows - len(boxes), axis=0)])


@dataclass(frozen=True)
class OtbProtocol:
    """A protocol of the OTB core.

    Attributes:
        name: id of the protocol.
        norm_precision: whether it has the normalised-precision plot (area from 0 to 0.5).
        left_out: sequences of the data set that it does not count.
    """

    name: str
    norm_precision: bool = True
    left_out: frozenset[str] = frozenset()

    @property
    def scores(self) -> tuple[ScoreDescription, ...]:
        """The scores it defines, in the order of tables."""
        return SCORES if self.norm_precision else (SUCCESS, PRECISION, OP50)

    @property
    def absent_rule(self) -> str:
        """As what a frame without a valid annotation counts."""
        return ABSENT_RULE

    def includes(self, sequence: str) -> bool:
        """Whether a sequence of this name is part of the protocol."""
        return sequence not in self.left_out

    def score_sequence(
        self, name: str, boxes: np.ndarray, annotation: np.ndarray, *, length: LengthMode = "strict"
    ) -> SequenceScores:
        """Scores of one run; rows of the annotation before the first valid one are cut (Q6).

        Raises:
            DatasetError: the lengths differ under ``strict``, or no row of the annotation is valid.
        """
        start = first_valid_row(annotation)
        if start is None:
            at_zero = bool(((annotation[:, 2:] > 0).all(1) & (annotation[:, :2] <= 0).any(1)).any())
            fix = "give --base 0 if it counts from 0, or " if at_zero else ""
            raise DatasetError(
                "no frame has a valid annotated box", name, f"{fix}leave the sequence out"
            )
        annotation = annotation[start:]
        measures = measure_frames(
            with_length(boxes, len(annotation), length=length, where=name), annotation
        )
        curves = self._curves(measures)
        visible = curves if measures.valid.all() else self._curves(measures, visible_only=True)
        return SequenceScores(
            name=name,
            frames=len(annotation),
            visible_frames=int(measures.valid.sum()),
            curves=curves,
            values=self._values(curves),
            visible_values=self._values(visible),
            repaired_rows=measures.repaired_rows,
        )

    def average(self, sequences: Sequence[SequenceScores]) -> Scores:
        """The mean over sequences, each of equal weight; all-zero curves are left out (Q4).

        Raises:
            DatasetError: no sequence was given.
        """
        if not sequences:
            raise DatasetError("no sequence to average", self.name, "check the result folder")
        curves = {
            curve: _mean_curve([sequence.curves[curve] for sequence in sequences])
            for curve in sequences[0].curves
        }
        visible = {
            score.id: float(np.mean([one.visible_values[score.id] for one in sequences]))
            for score in self.scores
        }
        return Scores(curves, self._values(curves), visible)

    def _curves(
        self, measures: FrameMeasures, *, visible_only: bool = False
    ) -> dict[str, np.ndarray]:
        rows = measures.valid if visible_only else slice(None)
        overlaps, errors = measures.overlap[rows], measures.center_error[rows]
        curves = {
            "success": success_counts(overlaps) / len(overlaps),
            "precision": precision_counts(errors, PRECISION_THRESHOLDS) / len(errors),
        }
        if self.norm_precision:
            errors = measures.norm_center_error[rows]
            counts = precision_counts(errors, NORM_PRECISION_THRESHOLDS)
            curves["norm_precision"] = counts / len(errors)
        return curves

    def _values(self, curves: dict[str, np.ndarray]) -> dict[str, float]:
        values = {
            "success": float(curves["success"].mean()),
            "precision": float(curves["precision"][_PRECISION_AT]),
        }
        if self.norm_precision:
            values["norm_precision"] = float(curves["norm_precision"].mean())
        values["op50"] = float(curves["success"][_HALF])
        return values


def _mean_curve(curves: list[np.ndarray]) -> np.ndarray:
    counted = [curve for curve in curves if curve.sum() > _EMPTY_CURVE]
    return np.mean(counted, axis=0) if counted else np.zeros_like(curves[0])
