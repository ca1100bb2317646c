"""The interface of every evaluation protocol. Pure numpy, independent of files and trackers.

A protocol also describes its scores, in words and numbers: tables, plots and sentences are made
from these descriptions, and no other file knows a score by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.start import Start
from tirtrack.stored import Stored

LengthMode = Literal["strict", "truncate", "pad_last", "pad_zero"]


class CurveAxes(Stored):
    """The axes of a curve: a share of frames over thresholds from 0.

    Attributes:
        x_label: label of the thresholds, with their unit.
        y_label: label of the share of frames.
        x_end: last threshold.
        reading: how the score is read from the curve, such as ``area``.
    """

    x_label: str
    y_label: str
    x_end: float
    reading: str


class ScoreDescription(Stored):
    """A score of a protocol in words.

    Attributes:
        id: key of the score, and of its curve, in results.
        title: name in sentences and wide tables.
        short: name in narrow tables; the title if empty.
        unit: unit of the number; empty for shares and areas.
        higher_is_better: direction of the score.
        curve: axes of its curve; ``None`` without one.
        point_of: id of the score whose curve it is a point of; such a score is left out where
            room is short.
        is_mean: whether the score of a data set is the mean of those of its sequences, by their
            weights; such scores have intervals.
    """

    id: str
    title: str
    short: str = ""
    unit: str = ""
    higher_is_better: bool = True
    curve: CurveAxes | None = None
    point_of: str = ""
    is_mean: bool = True

    def heading(self, *, short: bool = False) -> str:
        """The name as a column says it, with the unit, and with the direction if less is better.

        >>> ScoreDescription(id="e", title="error", unit="px", higher_is_better=False).heading()
        'error (px, less is better)'
        """
        name = (self.short if short else "") or self.title
        notes = [self.unit, "" if self.higher_is_better else "less is better"]
        said = ", ".join(filter(None, notes))
        return f"{name} ({said})" if said else name

    def gain(self, difference: float) -> float:
        """A difference of two values, with a sign that is positive for the better one."""
        return difference if self.higher_is_better else -difference


@dataclass(frozen=True)
class SequenceScores:
    """Scores of one run over one sequence under a protocol.

    Attributes:
        name: the sequence.
        frames: annotated rows, absent ones included.
        visible_frames: rows whose annotation is valid by the protocol.
        curves: points of each curve, in [0, 1], by the id of its score.
        values: value of each score, by its id.
        visible_values: the same scores over visible frames only; empty if not defined.
        repaired_rows: result rows that the protocol replaced by the row before.
        measures: per-frame numbers that an average over frames needs, by a key of the protocol.
        weights: weight of the sequence in the mean of a score, by its id; 1 where it is not named.
    """

    name: str
    frames: int
    visible_frames: int
    curves: Mapping[str, np.ndarray]
    values: Mapping[str, float]
    visible_values: Mapping[str, float] = field(default_factory=dict)
    repaired_rows: int = 0
    measures: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """A tracker's scores over a data set or a subset, as the protocol averages them."""

    curves: Mapping[str, np.ndarray]
    values: Mapping[str, float]
    visible_values: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class EvaluationProtocol(Protocol):
    """How results are scored and averaged, under a name that is given with every number."""

    @property
    def name(self) -> str:
        """The id, as in ``lsotb-tir``."""

    @property
    def scores(self) -> tuple[ScoreDescription, ...]:
        """The scores it defines, in the order of tables; the first one decides a comparison."""

    @property
    def absent_rule(self) -> str:
        """As what a frame without a valid annotation counts; empty if it does not count."""

    def includes(self, sequence: str) -> bool:
        """Whether a sequence of this name is part of the protocol."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the :class:`FrameFacts` that it cannot do without."""

    @property
    def as_stored(self) -> bool:
        """Whether boxes are compared in the base of their files; else as annotation in memory."""

    @property
    def by_flags(self) -> bool:
        """Whether it tells absent frames by their flags, and gets the boxes that stand beside them;
        else such frames come as rows of NaN.
        """

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

        Args:
            name: name of the sequence.
            boxes: boxes ``[T,4]`` xywh, as stored in the result file.
            annotation: boxes ``[T,4]`` xywh, as stored in the data set.
            length: treatment of a result of another length.
            facts: facts of annotation and result beside boxes.

        Raises:
            DatasetError: the lengths differ under ``strict``, no row is valid, or facts that the
                protocol counts by are missing.
        """

    def average(self, sequences: Sequence[SequenceScores]) -> Scores:
        """The scores over a data set."""


@runtime_checkable
class StartsProtocol(EvaluationProtocol, Protocol):
    """A protocol that says by itself how often and from where each sequence is tracked."""

    def starts(self, annotation: np.ndarray, size_wh: tuple[int, int] | None) -> tuple[Start, ...]:
        """The runs over a sequence, by its annotation ``[T,4]`` and the size of its frames.

        Without a size boxes are not cut to the frame; rows and directions do not depend on it.
        """

    def together(self, passes: Sequence[SequenceScores]) -> SequenceScores:
        """The scores of a sequence, from those of all its runs, in the order of ``starts``."""
