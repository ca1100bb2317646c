"""What a tracker did on a sequence, as a value and as files.

A result folder holds, for each tracker, ``TRACKER/SEQUENCE.txt``: one row a frame, ``x,y,w,h`` in
the base of the data set, comma separated; beside it ``SEQUENCE.csv`` with score, status and
seconds of every frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Track:
    """One run over one sequence.

    Attributes:
        boxes: ``[T,4]`` float64 xywh in the base of the data set; row 0 is the first annotated box
            exactly.
        scores: ``[T]`` in [0, 1]; row 0 is 1.
        statuses: ``[T]`` of ``tracking``, ``uncertain``, ``lost``.
        seconds: ``[T]`` spent in ``init`` (row 0) and ``update``.
    """

    boxes: np.ndarray
    scores: np.ndarray
    statuses: np.ndarray
    seconds: np.ndarray


@dataclass(frozen=True)
class SequenceScores:
    """What a protocol says of one run over one sequence.

    Attributes:
        name: the sequence.
        frames: annotated rows, absent ones included.
        visible_frames: rows whose annotation is valid by the protocol.
        curves: per curve (``success``, ``precision``, ``norm_precision``) its points, in [0, 1].
        values: per score (``success``, ``precision``, ``norm_precision``, ``op50``) its number.
        visible_values: the same scores over visible frames only.
    """

    name: str
    frames: int
    visible_frames: int
    curves: Mapping[str, np.ndarray]
    values: Mapping[str, float]
    visible_values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """A tracker's scores over a data set: the sequences, and how the protocol averages them."""

    protocol: str
    sequences: tuple[SequenceScores, ...]
    curves: Mapping[str, np.ndarray]
    values: Mapping[str, float]
    visible_values: Mapping[str, float] = field(default_factory=dict)
