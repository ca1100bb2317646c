"""A labelled sequence: frames, and the annotation by which they are scored.

Annotation in memory counts pixels from 1, as the protocols do: a file that counts from 0 is moved
by :attr:`LabelledSequence.shift` on reading, and so are the results that belong to it. Code that
does not score uses :attr:`LabelledSequence.boxes`. Only :func:`boxes_from_stored` and
:func:`stored_from_boxes` convert between stored boxes and :class:`tirtrack.boxes.Box`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError


def boxes_from_stored(stored: NDArray[np.float64], base: int) -> NDArray[np.float64]:
    """``[...,4]`` xywh of a data set with that base, converted to 0-based.

    >>> boxes_from_stored(np.array([1.0, 5.5, 20.0, 30.0]), base=1)
    array([ 0. ,  4.5, 20. , 30. ])
    """
    return stored - _offset(base)


def stored_from_boxes(boxes: NDArray[np.float64], base: int) -> NDArray[np.float64]:
    """``[...,4]`` xywh, 0-based, as a data set with that base stores them.

    >>> stored_from_boxes(np.array([0.0, 4.5, 20.0, 30.0]), base=1)
    array([ 1. ,  5.5, 20. , 30. ])
    """
    return boxes + _offset(base)


def _offset(base: int) -> NDArray[np.float64]:
    return np.array([base, base, 0.0, 0.0])


@dataclass(frozen=True)
class LabelledSequence:
    """One sequence of a labelled data set.

    Attributes:
        name: name, unique in its data set.
        annotation: ``[T,4]`` float64 xywh as stored, in the data set's base; a NaN row means
            absent.
        base: base of ``annotation``, 0 or 1.
        open_frames: function that opens the frames from the first on; each ``[H,W]`` or
            ``[H,W,3]`` RGB, at full bit depth.
        subset: the part of the data set it belongs to (``m3svd``), empty when there is one only.
        attributes: attributes (0 or 1), by name.
        notes: other facts in words, such as its recording or how the boxes were made, by key.
        shift: amount that reading added to ``x`` and ``y``, 0 or 1; result files lack it too.
        form: the file's spelling of boxes, in words; empty for x,y,w,h.
        every: number of frames from one row of the annotation to the next.
        open_all: function that opens the frames between annotated ones too, if there are any.
        target: id of its target in a file that holds several.
        group: common name of these targets, without their ids.
        files: annotation file, and other files read for it besides its frames.
        facts: facts of its frames beside boxes, where the data set has them.
        start: how a run over it begins, where the protocol says so; ``None``: at its first valid
            row.
    """

    name: str
    annotation: np.ndarray
    base: int
    open_frames: Callable[[], Iterator[np.ndarray]]
    subset: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    shift: int = 0
    form: str = ""
    every: int = 1
    open_all: Callable[[], Iterator[np.ndarray]] | None = None
    target: str = ""
    group: str = ""
    files: tuple[Path, ...] = ()
    facts: FrameFacts = field(default_factory=FrameFacts)
    start: Start | None = None

    def __len__(self) -> int:
        return len(self.annotation)

    @property
    def boxes(self) -> np.ndarray:
        """``[T,4]`` annotation, 0-based; absent rows stay absent."""
        return boxes_from_stored(self.annotation, self.base)

    @property
    def file_base(self) -> int:
        """The base of the numbers in its annotation file, and of result files."""
        return self.base - self.shift


@dataclass(frozen=True)
class LabelledDataset:
    """A named set of sequences with its own protocol.

    Attributes:
        name: name of the data set, for tables.
        sequences: sequences in a stable order, with unique names.
        protocol: id of its own protocol.
        root: the folder it was read from, if any.
        layout: name of the layout of its folders.
        remarks: remarks on how the annotation was read.
        left_out: number of its sequences that were left out, which the remarks name.

    Raises:
        DatasetError: two sequences have one name.
    """

    name: str
    sequences: tuple[LabelledSequence, ...]
    protocol: str
    root: Path | None = None
    layout: str = ""
    remarks: tuple[str, ...] = ()
    left_out: int = 0

    def __post_init__(self) -> None:
        counts = Counter(sequence.name for sequence in self.sequences)
        again = [name for name, count in counts.items() if count > 1]
        if again:
            raise DatasetError(f'two sequences are called "{again[0]}"', self.root or self.name)

    @property
    def file_base(self) -> int:
        """The base of the numbers in annotation and result files."""
        return self.sequences[0].file_base
