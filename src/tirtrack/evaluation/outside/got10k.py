"""The tracker interface of the got10k toolkit, from and to ours.

Its trackers have ``name``, ``is_deterministic``, ``init(image, box)`` and ``update(image)``, which
returns a box. Images are of PIL, RGB; boxes ``x,y,w,h`` are those of the data set, whose
coordinates count from 1 in GOT-10k, OTB and most of its others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.evaluation.outside.python_object import imported
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.levels import GreyLevels

_BASE = 1.0


class FromGot10k:
    """A tracker of the got10k toolkit as an object with ``init`` and ``update`` of arrays.

    Args:
        named: ``MODULE:FACTORY`` of the tracker.
    """

    def __init__(self, named: str) -> None:
        factory = imported(named)
        self._tracker = factory() if isinstance(factory, type) or callable(factory) else factory

    def init(self, frame: np.ndarray, box: tuple[float, float, float, float]) -> None:
        """Begin with a known box, 0-based."""
        self._levels = GreyLevels(None, stretch=False)
        x, y, w, h = box
        self._tracker.init(self._image(frame), np.array([x + _BASE, y + _BASE, w, h]))

    def update(self, frame: np.ndarray) -> np.ndarray:
        """``[4]`` box, 0-based."""
        box = np.array(self._tracker.update(self._image(frame)), dtype=np.float64)
        box[:2] -= _BASE
        return box

    def _image(self, frame: np.ndarray) -> Image.Image:
        levels = np.rint(self._levels(frame, self._levels.valid(frame))).astype(np.uint8)
        return Image.fromarray(levels).convert("RGB")


class ToGot10k:
    """A tracker of ours, to be run by the experiments of the got10k toolkit.

    Args:
        tracker: tracker, such as ``tirtrack.load("nano-tir")``.
        name: name for the folder of its results.

    Attributes:
        name: name for the folder of its results.
        is_deterministic: true: the same seed gives the same boxes.
    """

    def __init__(self, tracker: Tracker, name: str) -> None:
        self._tracker = tracker
        self.name = name
        self.is_deterministic = True

    def init(self, image: Image.Image, box: Any) -> None:
        """Begin with a known box, 1-based.

        Raises:
            FrameError: the frame or the box cannot be used.
        """
        x, y, w, h = (float(value) for value in box)
        self._tracker.init(np.asarray(image), Box(x - _BASE, y - _BASE, w, h))

    def update(self, image: Image.Image) -> np.ndarray:
        """``[4]`` box, 1-based; the one that was measured, also while the target is lost."""
        box = self._tracker.update(np.asarray(image)).measured_box.array()
        box[:2] += _BASE
        return box

    def track(
        self,
        img_files: Sequence[str | Path],
        box: Any,
        visualize: bool = False,  # noqa: FBT001, FBT002
    ) -> tuple[np.ndarray, np.ndarray]:
        """``[T,4]`` boxes of a sequence and ``[T]`` seconds, as the experiments ask for them.

        Args:
            img_files: image files.
            box: first box.
            visualize: ignored: nothing is drawn.
        """
        boxes, seconds = np.zeros((len(img_files), 4)), np.zeros(len(img_files))
        boxes[0] = box
        for index, file in enumerate(img_files):
            with Image.open(file) as opened:
                image = opened if opened.mode in ("L", "I;16", "RGB") else opened.convert("RGB")
                image.load()
            began = time.perf_counter()
            if index == 0:
                self.init(image, box)
            else:
                boxes[index] = self.update(image)
            seconds[index] = time.perf_counter() - began
        return boxes, seconds
