"""OpenCV's trackers by name (extra ``compare``): ``opencv:csrt``, ``opencv:nano,backbone=FILE``.

Words after the name are fields of the tracker's parameters in OpenCV, such as its model files.
Frames become 8-bit colour as for our own trackers; boxes are whole pixels, as OpenCV takes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.errors import RequestError, did_you_mean
from tirtrack.trackers.levels import GreyLevels

CLASSES = {
    "boosting": "legacy.TrackerBoosting",
    "csrt": "TrackerCSRT",
    "dasiamrpn": "TrackerDaSiamRPN",
    "kcf": "TrackerKCF",
    "medianflow": "legacy.TrackerMedianFlow",
    "mil": "TrackerMIL",
    "mosse": "legacy.TrackerMOSSE",
    "nano": "TrackerNano",
    "tld": "legacy.TrackerTLD",
    "vit": "TrackerVit",
}
"""Names of OpenCV's trackers, and their classes."""

MODEL_FILES = {
    "dasiamrpn": ("model", "kernel_r1", "kernel_cls1"),
    "nano": ("backbone", "neckhead"),
    "vit": ("net",),
}
"""Parameters that must name a file."""


def opencv_arguments(text: str) -> tuple[str, dict[str, str]]:
    """Name of a tracker and its parameters.

    Raises:
        RequestError: there is no such tracker, or a word is not ``KEY=VALUE``.

    >>> opencv_arguments("nano,backbone=b.onnx,neckhead=h.onnx")
    ('nano', {'backbone': 'b.onnx', 'neckhead': 'h.onnx'})
    """
    name, *words = text.split(",")
    if name not in CLASSES:
        raise RequestError(f'OpenCV has no tracker "{name}"', fix=did_you_mean(name, CLASSES))
    for word in words:
        if "=" not in word:
            raise RequestError(f'expected KEY=VALUE, got "{word}"', f"opencv:{name}")
    return name, dict(word.split("=", 1) for word in words)


def opencv_tracker(name: str, values: Mapping[str, str]) -> Any:
    """A tracker of OpenCV before ``init``.

    Args:
        name: name of the tracker.
        values: fields of its parameters, by name.

    Raises:
        RequestError: OpenCV or a model file is missing, or there is no such parameter.
    """
    where = f"opencv:{name}"
    cv2 = _opencv(where)
    module, _, class_name = CLASSES[name].rpartition(".")
    home = getattr(cv2, module, None) if module else cv2
    create = getattr(home, f"{class_name}_create", None)
    if create is None:
        raise RequestError(f"OpenCV {cv2.__version__} is without it", where, "install compare")
    files = MODEL_FILES.get(name, ())
    if lacking := [f"{field}=FILE" for field in files if field not in values]:
        raise RequestError(
            f"needs {' and '.join(lacking)}, the network as its authors publish it",
            where,
            f"write {','.join([where, *(f'{field}=FILE' for field in files)])}",
        )
    for field in files:
        if not Path(values[field]).is_file():
            raise RequestError("no such file", values[field], f"it is the {field} of {where}")
    parameters_class = getattr(cv2, f"{class_name}_Params", None)
    if parameters_class is None or module:
        if values:
            raise RequestError("has no parameters", where, f"leave out {next(iter(values))}")
        return create()
    parameters = parameters_class()
    known = [field for field in dir(parameters) if not field.startswith("_")]
    for field, text in values.items():
        if field not in known:
            raise RequestError(f'has no parameter "{field}"', where, did_you_mean(field, known))
        setattr(parameters, field, _value(text, getattr(parameters, field), f"{where},{field}"))
    return create(parameters)


def _opencv(where: str) -> Any:
    try:
        import cv2
    except ImportError as error:
        fix = "install the extra compare"
        raise RequestError("OpenCV is not installed", where, fix) from error
    return cv2


def _value(text: str, default: Any, where: str) -> Any:
    """A text as the kind of value that the parameter has by default."""
    if isinstance(default, str):
        return text
    try:
        return type(default)(float(text))
    except (TypeError, ValueError) as error:
        raise RequestError(f'"{text}" is no {type(default).__name__}', where) from error


class OpencvTracker:
    """A tracker of OpenCV as an object with ``init`` and ``update``.

    Args:
        name: name of the tracker.
        values: fields of its parameters, by name.

    Raises:
        RequestError: OpenCV or a model file is missing, or there is no such parameter.
    """

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self._name, self._values = name, values
        opencv_tracker(name, values)  # what is wrong is said before anything starts

    def init(self, frame: np.ndarray, box: tuple[float, float, float, float]) -> None:
        """Begin with a known box."""
        self._levels = GreyLevels(None, stretch=False)
        self._tracker = opencv_tracker(self._name, self._values)
        x, y, w, h = (round(value) for value in box)
        self._tracker.init(self._as_8_bit(frame), (x, y, max(w, 1), max(h, 1)))

    def update(self, frame: np.ndarray) -> tuple[bool, Any]:
        """Whether the target was found, and its box."""
        is_found, box = self._tracker.update(self._as_8_bit(frame))
        return bool(is_found), box

    @staticmethod
    def versions() -> list[str]:
        """Version of OpenCV, for the fingerprint."""
        return [f"OpenCV {_opencv('opencv').__version__}"]

    def _as_8_bit(self, frame: np.ndarray) -> np.ndarray:
        """``[H,W,3]`` uint8, BGR."""
        levels = np.rint(self._levels(frame, self._levels.valid(frame))).astype(np.uint8)
        if levels.ndim == 2:
            levels = np.repeat(levels[..., None], 3, axis=2)
        return np.ascontiguousarray(levels[..., ::-1])
