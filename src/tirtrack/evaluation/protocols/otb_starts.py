"""TRE and SRE of the OTB family: 20 runs from later frames, 12 from shifted and scaled boxes.

A sequence's curve is that of the frames of all its runs together; sequences then weigh the same.
The annotation is never shifted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError
from tirtrack.evaluation.overlap import valid_rows
from tirtrack.evaluation.protocols.base import SequenceScores
from tirtrack.evaluation.protocols.one_pass import OnePass

TRE_RUNS = 20
FEWEST_FRAMES = 20
"""Frames that a run of TRE has at least."""
_SHIFT = 0.1
_SIDES = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
_CORNERS = {
    "topLeft": (-1, -1),
    "topRight": (1, -1),
    "bottomLeft": (-1, 1),
    "bottomRight": (1, 1),
}
_SCALES = {"scale_8": 0.8, "scale_9": 0.9, "scale_11": 1.1, "scale_12": 1.2}
SRE_SHIFTS = (*_SIDES, *_CORNERS, *_SCALES)

Starting = Callable[[np.ndarray, tuple[int, int] | None], tuple[Start, ...]]


@dataclass(frozen=True)
class OnePassFromStarts(OnePass):
    """A protocol of several passes a sequence, whose frames count together.

    Attributes:
        starting: function of annotation and size of the frames that gives the runs.
    """

    starting: Starting = lambda annotation, size_wh: (Start(),)

    def starts(self, annotation: np.ndarray, size_wh: tuple[int, int] | None) -> tuple[Start, ...]:
        """The runs over a sequence."""
        return self.starting(annotation, size_wh)

    def together(self, passes: Sequence[SequenceScores]) -> SequenceScores:
        """The scores of a sequence, over the frames of all its runs."""
        pooled = self.pooled(passes)
        keys = passes[0].measures
        return replace(
            passes[0],
            curves=pooled.curves,
            values=pooled.values,
            visible_values=pooled.visible_values,
            repaired_rows=sum(one.repaired_rows for one in passes),
            measures={key: np.concatenate([one.measures[key] for one in passes]) for key in keys},
        )


def from_starts(protocol: OnePass, name: str, starting: Starting) -> OnePassFromStarts:
    """The rules of a protocol of one pass, for the runs of another experiment."""
    rules = {one.name: getattr(protocol, one.name) for one in fields(protocol)}
    return OnePassFromStarts(**{**rules, "name": name}, starting=starting)


def tre_starts(annotation: np.ndarray, size_wh: tuple[int, int] | None = None) -> tuple[Start, ...]:
    """The 20 starts of TRE, spread over the rows with a valid box.

    Raises:
        DatasetError: fewer than 20 frames follow the first valid one.
    """
    valid = np.flatnonzero(valid_rows(annotation))
    last = int((len(annotation) - valid >= FEWEST_FRAMES).sum())  # rows before it are long enough
    if last == 0:
        raise DatasetError(
            f"TRE needs {FEWEST_FRAMES} frames, {len(annotation)} are annotated",
            fix="leave the sequence out",
        )
    step = last / (TRE_RUNS - 1)
    places = [math.floor(1 + step * number) for number in range(TRE_RUNS - 1)] + [last]
    return tuple(Start(row=int(valid[place - 1])) for place in places)


def sre_starts(annotation: np.ndarray, size_wh: tuple[int, int] | None = None) -> tuple[Start, ...]:
    """The 12 starts of SRE: the first box, shifted and scaled, cut to the frame."""
    row = int(valid_rows(annotation).argmax())
    box = annotation[row]
    return tuple(Start(row=row, box=shifted_box(box, kind, size_wh)) for kind in SRE_SHIFTS)


def shifted_box(
    box: np.ndarray, kind: str, size_wh: tuple[int, int] | None
) -> tuple[float, float, float, float]:
    """A box ``[4]`` xywh, 1-based, by one of the shifts of SRE."""
    x, y, w, h = (float(one) for one in box)
    right, bottom = x + w - 1, y + h - 1
    if kind in _SIDES:
        across, down = _SIDES[kind]
        x += across * math.ceil(_SHIFT * w)
        y += down * math.ceil(_SHIFT * h)
    elif kind in _CORNERS:
        across, down = _CORNERS[kind]
        left, top = (x, y)
        if across < 0:
            left = _round(x - _SHIFT * w)
        else:
            right = _round(right + _SHIFT * w)
        if down < 0:
            top = _round(y - _SHIFT * h)
        else:
            bottom = _round(bottom + _SHIFT * h)
        x, y, w, h = left, top, right - left + 1, bottom - top + 1
    else:
        scale = _SCALES[kind]
        middle = x + w / 2, y + h / 2
        w, h = scale * w, scale * h
        x, y, w, h = (_round(one) for one in (middle[0] - w / 2, middle[1] - h / 2, w, h))
    x, y = max(1.0, x), max(1.0, y)
    if size_wh is not None:
        w = size_wh[0] - x + 1 if x + w - 1 > size_wh[0] else w
        h = size_wh[1] - y + 1 if y + h - 1 > size_wh[1] else h
    return x, y, w, h


def _round(value: float) -> float:
    """Halves away from zero, as MATLAB rounds."""
    return math.copysign(math.floor(abs(value) + 0.5), value)
