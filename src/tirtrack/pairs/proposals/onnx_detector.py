"""Boxes of one image by any ONNX detector that the user names.

A file fits if it takes one picture, ``[1,3,H,W]`` or ``[1,H,W,3]``, and its outputs are of one of
the layouts of :mod:`~tirtrack.pairs.proposals.output_layouts`, which is found from what the network
answers to a grey picture. The picture is scaled to fit, placed at the top left, the rest is 114.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from tirtrack.boxes import Box, clip_boxes, suppress_overlapping
from tirtrack.errors import WeightsError
from tirtrack.files import sha256
from tirtrack.inference import onnxruntime
from tirtrack.pairs.proposals.merge import PERSON, ScoredBox
from tirtrack.pairs.proposals.output_layouts import Layout, decode, fitting, shapes

FILL = 114
NMS_IOU = 0.5
COCO_CLASSES = 80
SIDE_IF_FREE = 640
MAX_SIDE = 4096
MAX_NAMES = 100_000  # characters
SIZE_INPUT = "orig_target_sizes"
NAME_IT = f"name it by the option layout of the detector: {', '.join(Layout)}"

Pixels: TypeAlias = Literal["bgr_255", "rgb_255", "rgb_1", "rgb_imagenet"]
_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class OnnxDetector:
    """A detector from an ONNX file.

    Args:
        path: the ONNX file.
        min_score: lowest score of a box that is kept.
        layout: layout of its outputs; found from them if ``None``.
        pixels: what the network takes: order of the colours and largest value, or values
            normalised as on ImageNet; ``None``: ``bgr_255`` for ``yolox``, ``rgb_255`` for a
            network that takes bytes, ``rgb_imagenet`` for ``detr``, else ``rgb_1``.

    Raises:
        WeightsError: the file is missing, no ONNX, or takes no picture; its outputs are of no known
            layout, or of several.
    """

    def __init__(
        self,
        path: Path,
        *,
        min_score: float,
        layout: Layout | None = None,
        pixels: Pixels | None = None,
    ) -> None:
        self.path = Path(path)
        self._min_score = min_score
        if not self.path.is_file():
            raise WeightsError("there is no such file", path, "name the ONNX file of a detector")
        try:
            self._session = onnxruntime().InferenceSession(
                str(path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes without a common base
            raise WeightsError(
                "cannot be read as an ONNX network", path, "name the ONNX file of a detector"
            ) from error
        self._take_inputs()
        if self._type is np.uint8 and pixels in ("rgb_1", "rgb_imagenet"):
            raise WeightsError(
                f"takes bytes, which cannot hold {pixels}", path, "give pixels=rgb_255 or bgr_255"
            )
        self._pixels: Pixels = pixels or ("rgb_255" if self._type is np.uint8 else "rgb_1")
        self.layout = layout or self._recognised()
        if pixels is None and self.layout is Layout.YOLOX:
            self._pixels = "bgr_255"
        elif pixels is None and self.layout is Layout.DETR and self._type is not np.uint8:
            self._pixels = "rgb_imagenet"
        self._names = self._class_names()

    def identity(self) -> dict[str, Any]:
        """The hash of the file."""
        return {"format": "onnx", "content": sha256(self.path)}

    def __call__(self, image: np.ndarray) -> list[ScoredBox]:
        """Boxes in an 8-bit image ``[H,W,3]`` RGB or ``[H,W]``, best first, overlaps suppressed
        over all classes together; NaN at the end for each that is not finite.

        Raises:
            WeightsError: the outputs are not of the layout.
        """
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        outputs, ratio = self._run(colour)
        try:
            found = decode(self.layout, outputs, self._shape_hw)
        except ValueError as error:
            raise WeightsError(f"{error} (layout {self.layout})", self.path, NAME_IT) from error
        likely = found.scores >= self._min_score
        boxes = found.boxes[likely] / ratio
        finite = np.asarray(np.isfinite(boxes).all(axis=1))
        boxes = np.where(finite[:, None], clip_boxes(boxes, image.shape[1], image.shape[0]), np.nan)
        scores, classes = found.scores[likely], found.classes[likely]
        kept = np.flatnonzero(finite)[suppress_overlapping(boxes[finite], scores[finite], NMS_IOU)]
        return [
            ScoredBox(
                Box.of(boxes[index]),
                min(float(scores[index]), 1.0),
                self._label(int(classes[index]), found.class_count),
            )
            for index in (*kept, *np.flatnonzero(~finite))
        ]

    def _take_inputs(self) -> None:
        """Name, size, order of axes and type of the picture that the network takes."""
        pictures = [one for one in self._session.get_inputs() if len(one.shape) == 4]
        others = [one.name for one in self._session.get_inputs() if len(one.shape) != 4]
        if len(pictures) != 1 or set(others) - {SIZE_INPUT}:
            taken = {one.name: one.shape for one in self._session.get_inputs()}
            raise WeightsError(
                f"takes {taken}, a detector takes one picture",
                self.path,
                "export it with one input [1, 3, H, W]",
            )
        self._wants_size = bool(others)
        self._name, shape = pictures[0].name, list(pictures[0].shape)
        self._is_last = shape[3] == 3 and shape[1] != 3
        channels, sides = (shape[3], shape[1:3]) if self._is_last else (shape[1], shape[2:])
        if channels != 3 or (shape[0] not in (1, None) and isinstance(shape[0], int)):
            raise WeightsError(
                f"takes an input of {shape}, a detector takes [1, 3, H, W] or [1, H, W, 3]",
                self.path,
                "export it for one colour picture",
            )
        height, width = (one if isinstance(one, int) else SIDE_IF_FREE for one in sides)
        if not (32 <= height <= MAX_SIDE and 32 <= width <= MAX_SIDE):
            raise WeightsError(
                f"takes an input of {shape}, sides are 32 to {MAX_SIDE} pixels",
                self.path,
                "export it with another input size",
            )
        self._shape_hw = height, width
        if pictures[0].type not in _TYPES:
            raise WeightsError(
                f"takes {pictures[0].type}, a detector takes {', '.join(_TYPES)}",
                self.path,
                "export it in float32",
            )
        self._type = _TYPES[pictures[0].type]

    def _recognised(self) -> Layout:
        """The layout that fits what the network answers to a grey picture."""
        outputs, _ = self._run(np.full((*self._shape_hw, 3), FILL, np.uint8))
        found = fitting(outputs, self._shape_hw)
        if len(found) == 1:
            return found[0]
        why = f"fits the layouts {' and '.join(found)}" if found else "is of no known layout"
        raise WeightsError(f"gives {shapes(outputs)}, which {why}", self.path, NAME_IT)

    def _run(self, colour: np.ndarray) -> tuple[dict[str, np.ndarray], float]:
        """The outputs by name, and the factor from frame to input pixels."""
        picture, ratio = _fit(colour, self._shape_hw)
        values = _values(picture, self._pixels).astype(self._type)
        planes = values if self._is_last else np.ascontiguousarray(values.transpose(2, 0, 1))
        feeds = {self._name: planes[None]}
        if self._wants_size:
            height, width = self._shape_hw
            feeds[SIZE_INPUT] = np.array([[width, height]], np.int64)
        try:
            answers = self._session.run(None, feeds)
        except Exception as error:  # onnxruntime raises classes without a common base
            raise WeightsError(
                f"fails on a picture of {list(values.shape)} ({str(error).splitlines()[0]})",
                self.path,
                "export it again, for one picture of a fixed size",
            ) from error
        names = [one.name for one in self._session.get_outputs()]
        return dict(zip(names, answers, strict=True)), ratio

    def _class_names(self) -> dict[int, str]:
        """The names of the classes, where the file tells them (``names`` of its metadata)."""
        text = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            names = ast.literal_eval(text[:MAX_NAMES]) if text else {}
            pairs = enumerate(names) if isinstance(names, list) else dict(names).items()
            return {int(number): str(name) for number, name in pairs}
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return {}  # names are a comfort: boxes are the same without them

    def _label(self, number: int, class_count: int | None) -> str:
        if self._names:
            return self._names.get(number, f"class {number}")
        return PERSON if class_count == COCO_CLASSES and number == 0 else f"class {number}"


def _values(picture: np.ndarray, pixels: Pixels) -> np.ndarray:
    """``[H,W,3]`` RGB bytes as the network takes them."""
    if pixels == "bgr_255":
        return picture[:, :, ::-1]
    if pixels == "rgb_255":
        return picture
    fractions = picture.astype(np.float32) / np.float32(255)
    if pixels == "rgb_1":
        return fractions
    mean, std = np.array(_IMAGENET_MEAN, np.float32), np.array(_IMAGENET_STD, np.float32)
    normalised: np.ndarray = (fractions - mean) / std
    return normalised


def _fit(image: np.ndarray, shape_hw: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The picture ``[H,W,3]`` at the network's size and the factor from frame to input pixels."""
    from PIL import Image

    height, width = image.shape[:2]
    ratio = min(shape_hw[0] / height, shape_hw[1] / width)
    size = max(round(width * ratio), 1), max(round(height * ratio), 1)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    padded = np.full((*shape_hw, 3), FILL, dtype=np.uint8)
    padded[: size[1], : size[0]] = resized
    return padded, ratio
