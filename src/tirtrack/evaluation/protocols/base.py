"""The interface of every evaluation protocol. Pure numpy, independent of files and trackers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from tirtrack.evaluation.results import Scores, SequenceScores

LengthMode = Literal["strict", "truncate", "pad_last", "pad_zero"]


@runtime_checkable
class EvaluationProtocol(Protocol):
    """How results are scored and averaged, under a name that is given with every number."""

    @property
    def name(self) -> str:
        """The id, as in ``lsotb-tir``."""

    @property
    def score_names(self) -> tuple[str, ...]:
        """The scores it defines, in the order of tables."""

    def includes(self, sequence: str) -> bool:
        """Whether a sequence of this name is part of the protocol."""

    def score_sequence(
        self, name: str, boxes: np.ndarray, annotation: np.ndarray, *, length: LengthMode = "strict"
    ) -> SequenceScores:
        """Scores of one run.

        Args:
            name: name of the sequence.
            boxes: boxes ``[T,4]`` xywh, as stored in the result file.
            annotation: boxes ``[T,4]`` xywh, as stored in the data set.
            length: treatment of a result of another length.

        Raises:
            DatasetError: the lengths differ under ``strict``, or no row is valid.
        """

    def average(self, sequences: Sequence[SequenceScores]) -> Scores:
        """The scores over a data set."""
