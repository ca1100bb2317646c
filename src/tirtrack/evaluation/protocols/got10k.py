"""GOT-10k by its package: average overlap of all frames but the first, and success rates.

Frames without a visible target do not count. Frames are pooled over sequences and over
repetitions, so that a long sequence weighs more. Boxes are compared as stored.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.evaluation.overlap import continuous_overlap
from tirtrack.evaluation.protocols.base import CurveAxes, ScoreDescription
from tirtrack.evaluation.protocols.one_pass import Measure, OnePass, Plot, every_row

EPSILON = 2.220446049250313e-16

AVERAGE_OVERLAP = ScoreDescription(
    id="ao",
    title="average overlap",
    short="AO",
    curve=CurveAxes(
        x_label="overlap threshold",
        y_label="share of frames above it",
        x_end=1.0,
        reading="mean overlap",
    ),
)
SUCCESS_RATES = (
    ScoreDescription(id="sr50", title="overlap > 0.5", short="SR 0.5", point_of="ao"),
    ScoreDescription(id="sr75", title="overlap > 0.75", short="SR 0.75", point_of="ao"),
)


def hidden(facts: FrameFacts, annotation: np.ndarray) -> np.ndarray:
    """Frames ``[T]`` in which nothing of the target is visible."""
    cover = np.ones(len(annotation)) if facts.cover is None else facts.cover
    return np.asarray(cover <= 0)


PROTOCOL = OnePass(
    "got10k",
    plots=(
        Plot(
            AVERAGE_OVERLAP,
            Measure(partial(continuous_overlap, epsilon=EPSILON), every_row),
            np.linspace(0, 1, 101),
            np.greater,
            "measure",
            points=((SUCCESS_RATES[0], 50), (SUCCESS_RATES[1], 75)),
        ),
    ),
    first_row_given=False,
    first_frame_counts=False,
    clips=True,
    left_out=hidden,
    pools_frames=True,
    needs=("cover", "size_wh"),
    as_stored=True,
    by_flags=True,
)
