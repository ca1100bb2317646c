"""RoadScene: ``crop_LR_visible/`` and ``cropinfrared/``, registered stills.

``infrared/`` beside them is the whole TIR picture, which is not registered.
"""

from __future__ import annotations

from tirtrack.pairs.layouts.base import DataSet

ROADSCENE = DataSet(
    name="roadscene",
    title="RoadScene",
    looked_for="crop_LR_visible/*.jpg and cropinfrared/*.jpg",
    rgb=("crop_LR_visible",),
    tir=("cropinfrared",),
    marked=lambda folder: True,
    is_video=False,
)
