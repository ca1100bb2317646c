"""What protocols share that score a pass by sums over frames and not by plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.errors import DatasetError
from tirtrack.evaluation.protocols.base import LengthMode, ScoreDescription, Scores, SequenceScores
from tirtrack.evaluation.protocols.one_pass import OnePass, check_facts, has_area, with_length

Measure = Callable[[np.ndarray, np.ndarray, FrameFacts], dict[str, np.ndarray]]
Summary = Callable[[Sequence[SequenceScores]], dict[str, float]]


@dataclass(frozen=True)
class PerFrame:
    """A protocol that measures every frame and reads its scores from the measures of all sequences.

    Boxes are compared as stored. There are no scores of visible frames alone.

    Attributes:
        name: id of the protocol.
        own_scores: scores of the summary, the deciding one first.
        measure: function of result, annotation and facts that gives per-frame measures by name.
        summary: function of the measures of some sequences that gives the scores.
        absent_rule: as what a frame without a target counts, in words.
        needs: names of the :class:`FrameFacts` that it cannot do without.
        by_flags: whether absent frames are told by their flags alone, and their boxes are needed.
        plots: plots beside them, for which a row without a box is four zeros.
        weigh: function of a sequence that gives its weights in the means of scores, by their ids;
            1 where one is not named.
    """

    name: str
    own_scores: tuple[ScoreDescription, ...]
    measure: Measure
    summary: Summary
    absent_rule: str = ""
    needs: tuple[str, ...] = ()
    by_flags: bool = False
    plots: OnePass | None = None
    weigh: Callable[[SequenceScores], Mapping[str, float]] = lambda one: {}
    as_stored: bool = field(default=True, init=False)

    @property
    def scores(self) -> tuple[ScoreDescription, ...]:
        """The scores it defines, in the order of tables."""
        return (*self.own_scores, *(() if self.plots is None else self.plots.scores))

    def includes(self, sequence: str) -> bool:
        """Every sequence."""
        return True

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

        Raises:
            DatasetError: the lengths differ under ``strict``, or facts are missing.
        """
        check_facts(self.name, self.needs, facts, name)
        annotation = np.asarray(annotation, np.float64)
        boxes = with_length(
            np.asarray(boxes, np.float64), len(annotation), length=length, where=name
        )
        visible = has_area(annotation)
        if facts.absent is not None:
            visible &= ~facts.absent
        one = SequenceScores(
            name=name,
            frames=len(annotation),
            visible_frames=int(visible.sum()),
            curves={},
            values={},
            measures=self.measure(boxes, annotation, facts),
        )
        own = self.summarised(one)
        if self.plots is None:
            return own
        boxes = np.where(np.isnan(boxes).any(axis=1, keepdims=True), 0.0, boxes)
        plots = self.plots.score_sequence(name, boxes, annotation, facts=facts)
        return replace(
            own,
            curves=plots.curves,
            values={**own.values, **plots.values},
            measures={**own.measures, **plots.measures},
        )

    def summarised(self, one: SequenceScores) -> SequenceScores:
        """A sequence with its scores and their weights, by its measures."""
        return replace(one, values=self.known_values([one]), weights=self.weigh(one))

    def known_values(self, sequences: Sequence[SequenceScores]) -> dict[str, float]:
        """The scores of a summary that are defined for these sequences."""
        return {key: one for key, one in self.summary(sequences).items() if np.isfinite(one)}

    def average(self, sequences: Sequence[SequenceScores]) -> Scores:
        """The scores over a data set.

        Raises:
            DatasetError: no sequence was given.
        """
        if not sequences:
            raise DatasetError("no sequence to average", self.name, "check the result folder")
        own = self.summary(sequences)
        if self.plots is None:
            return Scores({}, own)
        plots = self.plots.average([replace(one, visible_values=one.values) for one in sequences])
        return Scores(plots.curves, {**own, **plots.values})
