"""LaSOT by the GOT-10k package: normalised precision is an area."""

from __future__ import annotations

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.protocols.got10k_otb import PRECISION_PLOT, SUCCESS_PLOT
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, every_row
from tirtrack.evaluation.protocols.otb_core import norm_precision_area


def error_by_size(boxes: np.ndarray, annotation: np.ndarray) -> np.ndarray:
    """Distance of the centres ``[T]`` in annotated sizes, none of them less than 1 px."""
    with np.errstate(invalid="ignore", over="ignore"):
        centers, known = (one[:, :2] + (one[:, 2:] - 1) / 2 for one in (boxes, annotation))
        size_wh = np.maximum(1.0, annotation[:, 2:])
        return np.asarray(np.sqrt((((centers - known) / size_wh) ** 2).sum(axis=1)))


def without_annotation(facts: FrameFacts, annotation: np.ndarray) -> np.ndarray:
    """Frames ``[T]`` whose annotation has a NaN."""
    return np.asarray(np.isnan(annotation).any(axis=1))


PROTOCOL = OnePass(
    "got10k-lasot",
    plots=(SUCCESS_PLOT, PRECISION_PLOT, norm_precision_area(Measure(error_by_size, every_row))),
    left_out=without_annotation,
    as_stored=True,
)
