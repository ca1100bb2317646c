"""The analysis of pytracking: rules that its OTB, LaSOT and UAV flavours share.

Frames without a valid annotation are misses of the precision plot and hits of the normalised one.
It computes in float32, so its own numbers differ from these by up to 6e-8.
"""

from __future__ import annotations

import numpy as np

from tirtrack.evaluation.overlap import center_error, norm_center_error, overlap
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, zero_size
from tirtrack.evaluation.protocols.otb_core import (
    HALF,
    OP50,
    OP75,
    norm_precision_plot,
    precision_plot,
    success_plot,
)

_MISS = np.inf  # of a centre error
_HIT = -1.0
_OP75_AT = 15


def nan_or_negative(boxes: np.ndarray) -> np.ndarray:
    """Rows that pytracking refuses: with a NaN, or a negative side."""
    return np.asarray(np.isnan(boxes).any(axis=1) | (boxes[:, 2:] < 0).any(axis=1))


def pytracking(
    name: str,
    *,
    if_invalid: float = _MISS,
    norm_if_absent: float = _HIT,
    needs_absent: bool = False,
) -> OnePass:
    """A flavour of the analysis.

    Args:
        name: id of the protocol.
        if_invalid: centre error of a frame without a valid annotation.
        norm_if_absent: normalised centre error of a frame without a visible target.
        needs_absent: whether the annotation has to say where the target is visible.
    """
    precision = "hit" if if_invalid == _HIT else "miss"
    norm = "miss" if norm_if_absent == _MISS else "hit"
    return OnePass(
        name,
        plots=(
            success_plot(Measure(overlap, if_absent=-1.0), (OP50, HALF), (OP75, _OP75_AT)),
            precision_plot(Measure(center_error, if_invalid=if_invalid, if_absent=if_invalid)),
            norm_precision_plot(Measure(norm_center_error, if_absent=norm_if_absent)),
        ),
        absent_rule=f"as a miss in the success plot, a {precision} in the precision plot and a "
        f"{norm} in that of normalised precision",
        repairs=zero_size,
        pads_after_repair=True,
        refuses=nan_or_negative,
        needs=("absent",) if needs_absent else (),
        by_flags=needs_absent,
    )
