"""Boxes of one image by any YOLOX-type ONNX file that the user names.

A file fits if it maps an image ``[1,3,D,D]`` to cells ``[1,n,5+classes]`` over strides 8, 16 and
32: ``tx, ty, tw, th``, an objectness and class scores that are probabilities already. The image is
BGR, 0 to 255, placed at the top left, the rest is 114.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box, clip_boxes, cxcywh_to_xywh, suppress_overlapping
from tirtrack.errors import WeightsError
from tirtrack.files import sha256
from tirtrack.inference import onnxruntime
from tirtrack.pairs.proposals.merge import PERSON, ScoredBox

STRIDES = (8, 16, 32)
FILL = 114.0
NMS_IOU = 0.5
COCO_CLASSES = 80


class Yolox:
    """A detector from an ONNX file.

    Args:
        path: the ONNX file.
        min_score: lowest objectness times best class score of a box that is kept.

    Raises:
        WeightsError: the file is missing, no ONNX, or of another type.
    """

    def __init__(self, path: Path, *, min_score: float) -> None:
        self.path = Path(path)
        self._min_score = min_score
        if not self.path.is_file():
            raise WeightsError("there is no such file", path, "name a YOLOX-type ONNX file")
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes without a common base
            raise WeightsError(
                "cannot be read as an ONNX network", path, "name a YOLOX-type ONNX file"
            ) from error
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 4 or shape[1] != 3 or not all(_is_side(side) for side in shape[2:]):
            raise WeightsError(
                f"takes an input of {shape}, a YOLOX network takes [1, 3, D, D] with D a multiple "
                "of 32",
                path,
                "export it with a fixed input size",
            )
        self._shape_hw = int(shape[2]), int(shape[3])
        self._name = self._session.get_inputs()[0].name

    def identity(self) -> dict[str, Any]:
        """The hash of the file."""
        return {"format": "onnx", "content": sha256(self.path)}

    def __call__(self, image: np.ndarray) -> list[ScoredBox]:
        """Boxes in an 8-bit image ``[H,W,3]`` RGB or ``[H,W]``, best first, overlaps suppressed
        over all classes together.
        """
        colour = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        padded, ratio = _fit(colour, self._shape_hw)
        (cells,) = self._session.run(None, {self._name: padded})[:1]
        if cells.ndim != 3 or cells.shape[1] != len(_grid(self._shape_hw)) or cells.shape[2] < 6:
            raise WeightsError(
                f"gives {list(cells.shape)}, a YOLOX network [1, cells, 5 + classes]",
                self.path,
                "name a YOLOX-type ONNX file with undecoded outputs",
            )
        height, width = image.shape[:2]
        return self._boxes(cells[0].astype(np.float64), ratio, width, height)

    def _boxes(self, cells: np.ndarray, ratio: float, width: int, height: int) -> list[ScoredBox]:
        kinds = cells[:, 5:].argmax(axis=1)
        scores = cells[:, 4] * cells[:, 5:].max(axis=1)
        likely = scores >= self._min_score
        boxes = clip_boxes(decode(cells, self._shape_hw)[likely] / ratio, width, height)
        scores, kinds = scores[likely], kinds[likely]
        is_coco = cells.shape[1] == 5 + COCO_CLASSES
        return [
            ScoredBox(
                Box.of(boxes[index]),
                float(scores[index]),
                PERSON if is_coco and kinds[index] == 0 else f"class {kinds[index]}",
            )
            for index in suppress_overlapping(boxes, scores, NMS_IOU)
        ]


def _is_side(side: object) -> bool:
    return isinstance(side, int) and side >= STRIDES[-1] and side % STRIDES[-1] == 0


def _fit(image: np.ndarray, shape_hw: tuple[int, int]) -> tuple[np.ndarray, float]:
    """The network's input ``[1,3,D,D]`` and the factor from frame to input pixels."""
    from PIL import Image

    height, width = image.shape[:2]
    ratio = min(shape_hw[0] / height, shape_hw[1] / width)
    size = max(round(width * ratio), 1), max(round(height * ratio), 1)
    resized = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    padded = np.full((1, 3, *shape_hw), FILL, dtype=np.float32)
    padded[0, :, : size[1], : size[0]] = resized[:, :, ::-1].transpose(2, 0, 1)
    return padded, ratio


def _grid(shape_hw: tuple[int, int]) -> np.ndarray:
    """``[n,3]``: column, row and stride of every cell, strides in order, row by row."""
    parts = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: shape_hw[0] // stride, : shape_hw[1] // stride]
        parts.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(parts)


def decode(cells: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    """``[n,4]`` xywh in input pixels from raw cells ``[n,5+classes]``.

    >>> decode(np.zeros((84, 85)), (64, 64))[[0, -1]].tolist()
    [[-4.0, -4.0, 8.0, 8.0], [16.0, 16.0, 32.0, 32.0]]
    """
    grid = _grid(shape_hw)
    stride = grid[:, 2:]
    centres = (cells[:, :2] + grid[:, :2]) * stride
    sizes = np.exp(np.minimum(cells[:, 2:4], 20.0)) * stride
    return cxcywh_to_xywh(np.concatenate([centres, sizes], axis=1))
