"""Facts of frames beside boxes: some protocols count frames by them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

OF_RESULTS = ("scores", "statuses")
"""The facts of a result; all others are known before a tracker runs."""


@dataclass(frozen=True)
class FrameFacts:
    """Facts of the frames of one sequence, of its annotation and of one result; ``None`` where
    nothing is known.

    Attributes:
        absent: ``[T]`` bool, whether the target is absent or fully hidden: by the flags of the data
            set, or else by rows without a box.
        with_absent: ``[T,4]`` xywh annotation in which boxes of frames that are flagged as absent
            stay, in the base of the annotation; ``None`` if there are no flags.
        cover: ``[T]`` visible share of the target in eighths, as GOT-10k annotates it.
        size_wh: width and height of the frames, pixels.
        second: ``[T,4]`` xywh annotation of the same frames in the other modality, in the base of
            the first one.
        no_second: reason why there is none, where its file is there and cannot be used.
        scores: ``[T]`` scores of the result in [0, 1], NaN where it has none.
        statuses: ``[T]`` statuses of the result, as text.
    """

    absent: np.ndarray | None = None
    with_absent: np.ndarray | None = None
    cover: np.ndarray | None = None
    size_wh: tuple[int, int] | None = None
    second: np.ndarray | None = None
    no_second: str = ""
    scores: np.ndarray | None = None
    statuses: np.ndarray | None = None

    def from_row(self, row: int) -> FrameFacts:
        """The facts of the annotated rows from ``row`` on; those of the result stay."""
        return self._rows(slice(row, None))

    def backward_from(self, row: int) -> FrameFacts:
        """The facts of the annotated rows from ``row`` to the first; those of the result stay."""
        return self._rows(slice(row, None, -1))

    def _rows(self, rows: slice) -> FrameFacts:
        def kept(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        return replace(
            self,
            absent=kept(self.absent),
            with_absent=kept(self.with_absent),
            cover=kept(self.cover),
            second=kept(self.second),
        )
