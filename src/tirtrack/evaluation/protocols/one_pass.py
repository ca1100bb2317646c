"""Protocols of one pass a sequence, each as a table of its rules.

What differs between them is data: measures, thresholds and their comparison, how a score is read
from its curve, which rows of a result are repaired, as what a frame without a valid annotation
counts, and whether sequences or frames are averaged. The code that applies the rules is
:class:`OnePass`, and it is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation.overlap import clipped, first_valid_row, valid_rows
from tirtrack.evaluation.protocols.base import (
    LengthMode,
    ScoreDescription,
    Scores,
    SequenceScores,
)

Rows = Callable[[np.ndarray], np.ndarray]
"""A rule that says of each row of ``[T,4]`` boxes yes or no: ``[T]`` bool."""
Reading = Literal["mean", "trapezoid", "measure"] | int
"""How a score is read: the mean of its curve's points, the area under it by trapezoids, the mean of
the measure itself, or the point of that index."""

_EMPTY_CURVE = 2.2e-16


@dataclass(frozen=True)
class Measure:
    """A number for every frame.

    Attributes:
        of: function of result and annotation, both ``[T,4]``, that gives ``[T]``.
        valid: rule for rows of the annotation that can be measured.
        if_invalid: the measure where they cannot; NaN is a miss in every curve.
        if_absent: the measure where the annotation says that the target is absent, whatever
            its box; ``None``: such a frame is like any other.
        best_of_two: choice between the measures against the annotations of two modalities, such as
            ``numpy.fmin``; ``None``: the first one alone.
    """

    of: Callable[[np.ndarray, np.ndarray], np.ndarray]
    valid: Rows = valid_rows
    if_invalid: float = -1.0
    if_absent: float | None = None
    best_of_two: np.ufunc | None = None


@dataclass(frozen=True)
class Plot:
    """A curve over thresholds of a measure, and the scores read from it.

    Attributes:
        score: score of the curve; its id is that of the curve too.
        measure: measure of each frame.
        thresholds: ascending thresholds.
        compare: which frames count: ``greater``, ``less_equal`` or ``less`` than the threshold.
        read: reading of the score.
        points: further scores, and the index of the point of the curve that each is.
    """

    score: ScoreDescription
    measure: Measure
    thresholds: np.ndarray
    compare: np.ufunc
    read: Reading
    points: tuple[tuple[ScoreDescription, int], ...] = ()

    def curve(self, measured: np.ndarray) -> np.ndarray:
        """The share of ``[T]`` measures that count, for each threshold; NaN never counts."""
        side: Literal["left", "right"] = "left" if self.compare is np.less else "right"
        known = np.sort(measured[~np.isnan(measured)])
        counts = np.searchsorted(known, self.thresholds, side=side)
        if self.compare is np.greater:
            counts = len(known) - counts
        return np.asarray(counts / len(measured))

    def values(self, curve: np.ndarray, measured: np.ndarray | None) -> dict[str, float]:
        """The scores of a curve."""
        if self.read == "mean":
            value = curve.mean()
        elif self.read == "trapezoid":
            value = ((curve[:-1] + curve[1:]) / 2 * np.diff(self.thresholds)).sum()
        elif self.read == "measure":
            value = np.nan if measured is None else measured.mean()
        else:
            value = curve[self.read]
        points = {score.id: float(curve[index]) for score, index in self.points}
        return {self.score.id: float(value), **points}


def every_row(annotation: np.ndarray) -> np.ndarray:
    """All rows: frames are measured whatever their annotation."""
    return np.ones(len(annotation), dtype=bool)


def nothing_to_repair(boxes: np.ndarray) -> np.ndarray:
    """No row."""
    return np.zeros(len(boxes), dtype=bool)


def no_size(boxes: np.ndarray) -> np.ndarray:
    """Rows with a side of zero or less."""
    return np.asarray((boxes[:, 2] <= 0) | (boxes[:, 3] <= 0))


def zero_size(boxes: np.ndarray) -> np.ndarray:
    """Rows with a side of zero."""
    return np.asarray((boxes[:, 2] == 0) | (boxes[:, 3] == 0))


def no_size_or_all_nan(boxes: np.ndarray) -> np.ndarray:
    """Rows with a side of zero or less, or without any number."""
    return np.asarray(no_size(boxes) | np.isnan(boxes).all(axis=1))


def no_size_or_any_nan(boxes: np.ndarray) -> np.ndarray:
    """Rows with a side of zero or less, or with a NaN."""
    return np.asarray(no_size(boxes) | np.isnan(boxes).any(axis=1))


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


def repaired(boxes: np.ndarray, annotation: np.ndarray, bad_rows: Rows) -> tuple[np.ndarray, int]:
    """The result with bad rows replaced by the (already repaired) row before, and their number.

    The first row is never bad, nor is one beside a NaN of the annotation. Rows beyond the
    annotation count as beside no NaN.
    """
    with np.errstate(invalid="ignore"):
        bad = bad_rows(boxes)
    rows = min(len(boxes), len(annotation))
    bad[:rows] &= ~np.isnan(annotation[:rows]).any(axis=1)
    bad[:1] = False
    source = np.maximum.accumulate(np.where(bad, 0, np.arange(len(boxes))))
    return boxes[source], int(bad.sum())


@dataclass(frozen=True)
class OnePass:
    """A protocol of one pass a sequence.

    Attributes:
        name: id of the protocol.
        plots: curves and scores, in the order of tables; the first score decides a comparison.
        absent_rule: as what a frame without a valid annotation counts, in words.
        repairs: rule for the rows of a result that become the row before.
        pads_after_repair: whether a result is cut or padded after its repair, so that rows of
            zeros stay; else before it.
        first_row_given: whether the first row of a result becomes that of the annotation.
        first_frame_counts: whether the first frame is scored at all.
        rounds: whether boxes of the result are rounded to whole pixels, halves to even.
        rounds_annotation: whether those of the annotation are.
        clips: whether both are cut to the image.
        left_out: rule for frames that count nowhere, by their facts and annotation.
        refuses: rule for rows of a result that end the scoring.
        pools_frames: whether every frame weighs the same; else every sequence.
        drops_empty: whether sequences with a curve of zeros are left out of its mean.
        needs: names of the :class:`FrameFacts` that it cannot do without.
        as_stored: whether boxes are compared as the files store them; else in the base of the
            annotation in memory.
        by_flags: whether absent frames are told by their flags alone, and their boxes are needed.
        only: sequences that it counts, if not all of the data set.
        without: sequences of the data set that it does not count.
    """

    name: str
    plots: tuple[Plot, ...]
    absent_rule: str = ""
    repairs: Rows = nothing_to_repair
    pads_after_repair: bool = False
    first_row_given: bool = True
    first_frame_counts: bool = True
    rounds: bool = False
    rounds_annotation: bool = False
    clips: bool = False
    left_out: Callable[[FrameFacts, np.ndarray], np.ndarray] | None = None
    refuses: Rows = nothing_to_repair
    pools_frames: bool = False
    drops_empty: bool = False
    needs: tuple[str, ...] = ()
    as_stored: bool = False
    by_flags: bool = False
    only: frozenset[str] = frozenset()
    without: frozenset[str] = field(default=frozenset())

    @property
    def scores(self) -> tuple[ScoreDescription, ...]:
        """The scores it defines, in the order of tables: those of curves, then points of them."""
        points = [score for plot in self.plots for score, _ in plot.points]
        return (*(plot.score for plot in self.plots), *points)

    def includes(self, sequence: str) -> bool:
        """Whether a sequence of this name is part of the protocol."""
        return sequence not in self.without and (not self.only or sequence in self.only)

    def score_sequence(
        self,
        name: str,
        boxes: np.ndarray,
        annotation: np.ndarray,
        *,
        length: LengthMode = "strict",
        facts: FrameFacts = FrameFacts(),  # noqa: B008 - frozen
    ) -> SequenceScores:
        """Scores of one run.

        Annotated rows before the first valid one are cut, unless boxes are compared as stored.

        Raises:
            DatasetError: the lengths differ under ``strict``; facts are missing; or no frame with a
                valid annotation is scored.
        """
        annotation = np.asarray(annotation, np.float64)
        check_facts(self.name, self.needs, facts, name)
        start = 0 if self.as_stored else first_row(annotation, name)
        annotation, facts = annotation[start:], facts.from_row(start)
        measured, count = self.measures(name, boxes, annotation, length=length, facts=facts)
        kept = np.ones(len(annotation), dtype=bool)
        kept[:1] = self.first_frame_counts
        if self.left_out is not None:
            kept &= ~self.left_out(facts, annotation)
        visible = has_area(annotation) if self.as_stored else valid_rows(annotation)
        visible = visible if facts.absent is None else visible & ~facts.absent
        if not (kept & visible).any():
            raise DatasetError(
                f"{self.name} counts no frame of it with a valid annotated box",
                name,
                "leave the sequence out",
            )
        measures = {key: one[kept] for key, one in measured.items()}
        curves = self._curves(measures)
        shown = {key: one[kept & visible] for key, one in measured.items()}
        whole = bool((visible | ~kept).all())
        return SequenceScores(
            name=name,
            frames=len(annotation),
            visible_frames=int(visible.sum()),
            curves=curves,
            values=self._values(curves, measures),
            visible_values=self._values(curves if whole else self._curves(shown), shown),
            repaired_rows=count,
            measures={**measures, **{f"{key} {_VISIBLE}": one for key, one in shown.items()}},
            weights=dict.fromkeys((score.id for score in self.scores), float(kept.sum()))
            if self.pools_frames
            else {},
        )

    def measures(
        self,
        name: str,
        boxes: np.ndarray,
        annotation: np.ndarray,
        *,
        length: LengthMode = "strict",
        facts: FrameFacts = FrameFacts(),  # noqa: B008 - frozen
    ) -> tuple[dict[str, np.ndarray], int]:
        """``[T]`` measures of all annotated rows by score, and how many rows were repaired."""
        annotation = np.asarray(annotation, np.float64)
        if self.rounds_annotation:
            annotation = np.round(annotation)
        result, count = self._prepared(name, np.asarray(boxes, np.float64), annotation, length)
        found = {
            plot.score.id: self._measured(plot, result, annotation, facts) for plot in self.plots
        }
        return found, count

    def average(self, sequences: Sequence[SequenceScores]) -> Scores:
        """The scores over a data set.

        Raises:
            DatasetError: no sequence was given.
        """
        if not sequences:
            raise DatasetError("no sequence to average", self.name, "check the result folder")
        if self.pools_frames:
            return self.pooled(sequences)
        curves = {
            curve: self._mean_curve([sequence.curves[curve] for sequence in sequences])
            for curve in sequences[0].curves
        }
        values = self._values(curves, {})
        for plot in self.plots:
            if plot.read == "measure":
                key = plot.score.id
                values[key] = float(np.mean([one.values[key] for one in sequences]))
        visible = {
            score.id: float(np.mean([one.visible_values[score.id] for one in sequences]))
            for score in self.scores
        }
        return Scores(curves, values, visible)

    def pooled(self, passes: Sequence[SequenceScores]) -> Scores:
        """Scores in which every frame of several passes weighs the same."""
        keys = [plot.score.id for plot in self.plots]
        measures = {k: np.concatenate([one.measures[k] for one in passes]) for k in keys}
        shown = {
            k: np.concatenate([one.measures[f"{k} {_VISIBLE}"] for one in passes]) for k in keys
        }
        curves = self._curves(measures)
        return Scores(
            curves, self._values(curves, measures), self._values(self._curves(shown), shown)
        )

    def _prepared(
        self, name: str, boxes: np.ndarray, annotation: np.ndarray, length: LengthMode
    ) -> tuple[np.ndarray, int]:
        """The result as it is measured, and the number of its repaired rows."""
        with np.errstate(invalid="ignore"):
            refused = np.flatnonzero(self.refuses(boxes))
        if len(refused):
            raise DatasetError(
                f"{self.name} scores no result with NaN or a negative size",
                f"{name}, row {refused[0] + 1}",
                "run the sequence again, or choose another protocol",
            )
        rows = len(annotation)
        if not self.pads_after_repair:
            boxes = with_length(boxes, rows, length=length, where=name)
        if self.rounds:
            boxes = np.round(boxes)
        boxes, count = repaired(boxes, annotation, self.repairs)
        boxes = with_length(boxes, rows, length=length, where=name)
        if self.first_row_given:
            boxes = np.concatenate([annotation[:1], boxes[1:]])
        return boxes, count

    def _measured(
        self, plot: Plot, boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
    ) -> np.ndarray:
        """``[T]`` measures of all frames."""
        rule = plot.measure
        found = self._against(rule, boxes, annotation, facts)
        if rule.best_of_two is not None and facts.second is not None:
            found = rule.best_of_two(found, self._against(rule, boxes, facts.second, facts))
        if rule.if_absent is not None and facts.absent is not None:
            found = np.where(facts.absent, rule.if_absent, found)
        return np.asarray(found)

    def _against(
        self, rule: Measure, boxes: np.ndarray, annotation: np.ndarray, facts: FrameFacts
    ) -> np.ndarray:
        valid = rule.valid(annotation)
        if self.clips and facts.size_wh is not None:
            boxes, annotation = clipped(boxes, facts.size_wh), clipped(annotation, facts.size_wh)
        return np.asarray(np.where(valid, rule.of(boxes, annotation), rule.if_invalid))

    def _curves(self, measures: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {plot.score.id: plot.curve(measures[plot.score.id]) for plot in self.plots}

    def _values(
        self, curves: Mapping[str, np.ndarray], measures: Mapping[str, np.ndarray]
    ) -> dict[str, float]:
        values: dict[str, float] = {}
        for plot in self.plots:
            key = plot.score.id
            values |= plot.values(curves[key], measures.get(key))
        return {score.id: values[score.id] for score in self.scores}

    def _mean_curve(self, curves: list[np.ndarray]) -> np.ndarray:
        counted = [one for one in curves if not self.drops_empty or one.sum() > _EMPTY_CURVE]
        return np.mean(counted, axis=0) if counted else np.zeros_like(curves[0])


_VISIBLE = "of visible frames"


def has_area(annotation: np.ndarray) -> np.ndarray:
    """Rows ``[T,4]`` with four numbers and positive sides, wherever they lie."""
    return np.asarray(np.isfinite(annotation).all(axis=1) & (annotation[:, 2:] > 0).all(axis=1))


def first_row(annotation: np.ndarray, name: str) -> int:
    """The row where a sequence starts: the first with a valid box (Q6 of the OTB core).

    Raises:
        DatasetError: no row has one.
    """
    start = first_valid_row(annotation)
    if start is None:
        at_zero = bool(((annotation[:, 2:] > 0).all(1) & (annotation[:, :2] <= 0).any(1)).any())
        fix = "give --base 0 if it counts from 0, or " if at_zero else ""
        raise DatasetError(
            "no frame has a valid annotated box", name, f"{fix}leave the sequence out"
        )
    return start


_FACTS = {
    "absent": "which frames have no target",
    "cover": "the visible share of the target",
    "size_wh": "the size of the frames",
    "second": "a second annotation, of the other modality",
    "scores": "a score of every frame",
    "statuses": "the status of every frame",
}


def check_facts(protocol: str, needs: Sequence[str], facts: FrameFacts, where: str) -> None:
    """Refuse a sequence that lacks facts which a protocol counts by.

    Raises:
        DatasetError: one is missing; the sentence says which.
    """
    for need in needs:
        if getattr(facts, need) is None:
            if need == "second" and facts.no_second:
                raise DatasetError(
                    f"{protocol} needs {_FACTS[need]}, which cannot be used: {facts.no_second}",
                    where,
                    "correct the file, or choose another --protocol",
                )
            raise DatasetError(
                f"{protocol} needs {_FACTS[need]}, which this sequence lacks",
                where,
                "`tirtrack data verify` says what is missing; or choose another --protocol",
            )
