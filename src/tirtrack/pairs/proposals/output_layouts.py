"""What the outputs of a detector mean: eight layouts, recognised by shapes and names.

Published detectors differ in what they return. A layout knows whether the outputs of a network can
be its own (:func:`fitting`) and turns them into boxes (:func:`decode`). Nothing here runs a network
or reads a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tirtrack.boxes import cxcywh_to_xywh, xyxy_to_xywh

STRIDES = (8, 16, 32)
ANCHORS = 3  # boxes a cell of the networks that predict more than one
NEAR_STRIDES = 4.0  # a decoded box lies no further from its cell, as a rule
MOSTLY = 0.9
MAX_FRACTION = 1.5  # corners up to this are fractions of the input, not pixels
SCORE_TOLERANCE = 1e-3
SUM_TOLERANCE = 1e-2

Outputs = Mapping[str, np.ndarray]


class Layout(StrEnum):
    """How a detector returns its boxes; ``n`` boxes, ``C`` classes.

    ``yolox``: ``[1,n,5+C]``, one box a cell of strides 8, 16, 32, relative to its cell, with
    objectness. ``yolov5`` (also v6, v7): the same columns, three boxes a cell or one, in pixels of
    the input. ``yolov8`` (also v9, v11): ``[1,4+C,n]``, centre and size in pixels, without
    objectness. ``rows``: boxes after suppression, ``[n,6]`` corners, score, class, or ``[n,7]``
    image, corners, class, score; both may have a leading 1. ``lists``: outputs for boxes, scores
    and classes, each by itself. ``ssd``: boxes ``[1,n,4]`` and scores ``[1,n,C]`` of every class;
    where those of a box sum to 1, the first is the background. ``detr`` and ``rt_detr``: centres
    and sizes ``[1,n,4]`` as fractions of the input, and logits ``[1,n,C]``; of ``detr`` a softmax
    makes probabilities, the last of them of no object, of ``rt_detr`` a sigmoid of each.
    """

    YOLOX = "yolox"
    YOLOV5 = "yolov5"
    YOLOV8 = "yolov8"
    ROWS = "rows"
    LISTS = "lists"
    SSD = "ssd"
    DETR = "detr"
    RT_DETR = "rt_detr"


@dataclass(frozen=True)
class Decoded:
    """Boxes of one picture.

    Attributes:
        boxes: ``[n,4]`` xywh, pixels of the network's input.
        scores: ``[n]``.
        classes: ``[n]`` whole numbers.
        class_count: number of classes, where the outputs tell.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    class_count: int | None = None


def fitting(outputs: Outputs, shape_hw: tuple[int, int]) -> list[Layout]:
    """The layouts that the outputs can be of; one, unless they are unknown or ambiguous.

    Args:
        outputs: the outputs for any picture, by name.
        shape_hw: rows and columns of the network's input.
    """
    return [layout for layout, (fits, _) in _LAYOUTS.items() if fits(outputs, shape_hw)]


def decode(layout: Layout, outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    """The boxes of one picture, all of them, in the order of the outputs.

    Args:
        layout: the layout of the outputs.
        outputs: outputs of the network by name.
        shape_hw: rows and columns of the network's input.

    Raises:
        ValueError: the outputs are not of this layout, or scores are no probabilities.
    """
    found = _LAYOUTS[layout][1](outputs, shape_hw)
    if not np.isfinite(found.scores).all() or (found.scores > 1 + SCORE_TOLERANCE).any():
        raise ValueError(f"gives scores up to {np.max(found.scores):g}, which are no probabilities")
    return found


def shapes(outputs: Outputs) -> str:
    """Names and shapes of outputs as a text.

    >>> shapes({"boxes": np.zeros((1, 9, 4)), "scores": np.zeros((1, 9))})
    'boxes [1, 9, 4] and scores [1, 9]'
    """
    return " and ".join(f"{name} {list(one.shape)}" for name, one in outputs.items())


# --- one table of boxes --------------------------------------------------------------------------


def grid(shape_hw: tuple[int, int], strides: tuple[int, ...] = STRIDES) -> np.ndarray:
    """``[n,3]``: column, row and stride of every cell, strides in order, row by row."""
    parts = []
    for stride in strides:
        rows, columns = np.mgrid[: shape_hw[0] // stride, : shape_hw[1] // stride]
        parts.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=-1).reshape(-1, 3))
    return np.concatenate(parts)


def _counts(shape_hw: tuple[int, int]) -> tuple[int, int]:
    """Number of cells of three strides, and of the four of networks for large pictures."""
    return len(grid(shape_hw)), len(grid(shape_hw, (*STRIDES, 64)))


def _table(outputs: Outputs) -> np.ndarray | None:
    """The only output of two or three axes ``[n,k]``, a leading 1 left out; ``None`` if there is
    none or more than one. Raw maps of five axes beside it say the same again.
    """
    tables = [one for one in outputs.values() if one.ndim <= 3]
    if len(tables) != 1 or tables[0].ndim < 2:
        return None
    table = tables[0]
    if table.ndim == 3:
        return table[0] if len(table) == 1 else None
    return table


def _is_decoded(table: np.ndarray, shape_hw: tuple[int, int]) -> bool:
    """Whether the first two of the columns of one box a cell are pixels of the input: then nearly
    every box lies near its cell.
    """
    cells = grid(shape_hw)
    centres = (cells[:, :2] + 0.5) * cells[:, 2:]
    near = np.abs(table[:, :2] - centres) <= NEAR_STRIDES * cells[:, 2:]
    return bool(near.all(axis=1).mean() >= MOSTLY)


def _fits_yolox(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    table = _table(outputs)
    if table is None or table.shape[1] < 6 or len(table) != len(grid(shape_hw)):
        return False
    return not _is_decoded(table, shape_hw)


def _yolox(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    table, cells = _table(outputs), grid(shape_hw)
    if table is None or table.shape[1] < 6 or len(table) != len(cells):
        raise ValueError(f"gives {shapes(outputs)}, not [1, {len(cells)}, 5 + classes]")
    rows, stride = table.astype(np.float64), cells[:, 2:]
    centres = (rows[:, :2] + cells[:, :2]) * stride
    sizes = np.exp(np.minimum(rows[:, 2:4], 20.0)) * stride
    return _of_objects(np.concatenate([centres, sizes], axis=1), rows)


def _fits_yolov5(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    table = _table(outputs)
    if table is None or table.shape[1] < 6:
        return False
    if len(table) == len(grid(shape_hw)):
        return _is_decoded(table, shape_hw)
    return len(table) in {ANCHORS * count for count in _counts(shape_hw)}


def _yolov5(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    table = _table(outputs)
    if table is None or table.shape[1] < 6:
        raise ValueError(f"gives {shapes(outputs)}, not [1, boxes, 5 + classes]")
    rows = table.astype(np.float64)
    return _of_objects(rows[:, :4], rows)


def _of_objects(boxes_cxcywh: np.ndarray, rows: np.ndarray) -> Decoded:
    """Boxes with objectness in column 4 and classes after it."""
    of_class = rows[:, 5:]
    scores = rows[:, 4] * of_class.max(axis=1)
    boxes = cxcywh_to_xywh(boxes_cxcywh)
    return Decoded(boxes, scores, of_class.argmax(axis=1), of_class.shape[1])


def _fits_yolov8(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    table = _table(outputs)
    return table is not None and len(table) >= 5 and table.shape[1] in _counts(shape_hw)


def _yolov8(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    table = _table(outputs)
    if table is None or len(table) < 5:
        raise ValueError(f"gives {shapes(outputs)}, not [1, 4 + classes, boxes]")
    columns = table.T.astype(np.float64)
    of_class = columns[:, 4:]
    boxes = cxcywh_to_xywh(columns[:, :4])
    return Decoded(boxes, of_class.max(axis=1), of_class.argmax(axis=1), of_class.shape[1])


def _fits_rows(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    table = _table(outputs)
    if table is None or table.shape[1] not in (6, 7):
        return False
    cells, more_cells = _counts(shape_hw)
    return len(table) not in {cells, ANCHORS * cells, ANCHORS * more_cells}


def _rows(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    table = _table(outputs)
    if table is None or table.shape[1] not in (6, 7):
        raise ValueError(f"gives {shapes(outputs)}, not [boxes, 6] or [boxes, 7]")
    rows = table.astype(np.float64)
    if rows.shape[1] == 7:
        rows = rows[:, [1, 2, 3, 4, 6, 5]]
    boxes = xyxy_to_xywh(_in_pixels(rows[:, :4], shape_hw))
    return Decoded(boxes, rows[:, 4], rows[:, 5].astype(np.int64))


# --- boxes, scores and classes apart -------------------------------------------------------------


@dataclass(frozen=True)
class _Parts:
    """The outputs that hold boxes ``[n,4]`` or ``[n,5]``, and where present scores, classes and the
    number of boxes; a leading 1 left out.
    """

    boxes: np.ndarray
    is_yx: bool
    scores: np.ndarray | None
    classes: np.ndarray | None
    count: int | None


def _parts(outputs: Outputs) -> _Parts | None:
    """The parts by their names, else by shape and type; ``None`` where one is missing or two are
    alike.
    """
    named: dict[str, list[str]] = {"boxes": [], "scores": [], "classes": [], "count": []}
    for name, one in outputs.items():
        if kind := _kind(name, one, outputs):
            named[kind].append(name)
    if len(named["boxes"]) != 1 or any(len(names) > 1 for names in named.values()):
        return None
    found = {kind: outputs[names[0]] for kind, names in named.items() if names}
    boxes = found["boxes"].reshape(-1, found["boxes"].shape[-1])
    scores, classes = found.get("scores"), found.get("classes")
    count = int(found["count"].ravel()[0]) if "count" in found else None
    if scores is not None and scores.ndim == 3:
        scores = scores[0]
    elif scores is not None and not (scores.ndim == 2 and len(scores) == len(boxes) > 1):
        scores = scores.ravel()
    classes = None if classes is None else classes.ravel()
    is_yx = named["boxes"][0].startswith("detection_boxes")
    return _Parts(boxes, is_yx, scores, classes, count)


def _kind(name: str, one: np.ndarray, outputs: Outputs) -> str | None:
    """What an output holds."""
    lower = name.lower()
    if one.size == 1 and "num" in lower:
        return "count"
    if "score" in lower or "conf" in lower or "logit" in lower:
        return "scores"
    if "label" in lower or "class" in lower:
        return "classes"
    if one.ndim in (2, 3) and one.shape[-1] in (4, 5):
        return "boxes"
    if one.ndim > 3:
        return None
    if np.issubdtype(one.dtype, np.integer):
        return "classes"
    return "scores"


def _fits_lists(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    parts = _parts(outputs)
    if parts is None or parts.classes is None or len(parts.classes) != len(parts.boxes):
        return False
    if parts.scores is None:
        return bool(parts.boxes.shape[1] == 5)
    return parts.scores.shape == (len(parts.boxes),) and parts.boxes.shape[1] == 4


def _lists(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    parts = _parts(outputs)
    if parts is None or parts.classes is None or not _fits_lists(outputs, shape_hw):
        raise ValueError(f"gives {shapes(outputs)}, not boxes [n, 4], scores [n] and classes [n]")
    scores = parts.boxes[:, 4] if parts.scores is None else parts.scores
    corners = parts.boxes[:, [1, 0, 3, 2]] if parts.is_yx else parts.boxes[:, :4]
    boxes = xyxy_to_xywh(_in_pixels(corners.astype(np.float64), shape_hw))
    kept = slice(parts.count)
    classes = parts.classes.astype(np.int64)
    return Decoded(boxes[kept], scores.astype(np.float64)[kept], classes[kept])


def _of_every_class(outputs: Outputs) -> tuple[np.ndarray, np.ndarray] | None:
    """Boxes ``[n,4]`` and numbers of every class ``[n,C]``; ``None`` if the outputs differ."""
    parts = _parts(outputs)
    if parts is None or parts.scores is None or parts.classes is not None:
        return None
    alike = parts.scores.ndim == 2 and len(parts.scores) == len(parts.boxes)
    if not alike or parts.boxes.shape[1] != 4:
        return None
    return parts.boxes.astype(np.float64), parts.scores.astype(np.float64)


def _has_logits(outputs: Outputs) -> bool:
    return any("logit" in name.lower() for name in outputs)


def _fits_ssd(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    return _of_every_class(outputs) is not None and not _has_logits(outputs)


def _ssd(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    found = _of_every_class(outputs)
    if found is None:
        raise ValueError(f"gives {shapes(outputs)}, not boxes [1, n, 4] and scores [1, n, classes]")
    corners, of_class = found
    if (of_class < -SCORE_TOLERANCE).any():
        raise ValueError(f"gives scores down to {of_class.min():g}, which are no probabilities")
    sums = of_class.sum(axis=1)
    if of_class.shape[1] > 1 and (np.abs(sums - 1) <= SUM_TOLERANCE).all():
        of_class = of_class[:, 1:]
    boxes = xyxy_to_xywh(_in_pixels(corners, shape_hw))
    return Decoded(boxes, of_class.max(axis=1), of_class.argmax(axis=1), of_class.shape[1])


def _fits_rt_detr(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    return _of_every_class(outputs) is not None and _has_logits(outputs)


def _fits_detr(outputs: Outputs, shape_hw: tuple[int, int]) -> bool:
    found = _of_every_class(outputs)
    return found is not None and found[1].shape[1] > 1 and _has_logits(outputs)


def _queries(outputs: Outputs, shape_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[n,4]`` xywh in pixels of the input, and logits ``[n,C]``."""
    found = _of_every_class(outputs)
    if found is None:
        raise ValueError(f"gives {shapes(outputs)}, not boxes [1, n, 4] and logits [1, n, classes]")
    height, width = shape_hw
    fractions, logits = found
    return cxcywh_to_xywh(fractions * np.array([width, height, width, height])), logits


def _detr(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    boxes, logits = _queries(outputs, shape_hw)
    if logits.shape[1] < 2:
        raise ValueError(f"gives {shapes(outputs)}, with no logit beside that of no object")
    with np.errstate(invalid="ignore"):  # logits that are no numbers are refused by their scores
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
    of_class = (likely / likely.sum(axis=1, keepdims=True))[:, :-1]
    return Decoded(boxes, of_class.max(axis=1), of_class.argmax(axis=1), of_class.shape[1])


def _rt_detr(outputs: Outputs, shape_hw: tuple[int, int]) -> Decoded:
    boxes, logits = _queries(outputs, shape_hw)
    of_class = 1 / (1 + np.exp(-logits.clip(-50, 50)))
    return Decoded(boxes, of_class.max(axis=1), of_class.argmax(axis=1), of_class.shape[1])


def _in_pixels(corners: np.ndarray, shape_hw: tuple[int, int]) -> np.ndarray:
    """Corners ``[n,4]`` in pixels of the input; where none exceeds 1.5 they are fractions of it."""
    if corners.size and np.nanmax(corners) <= MAX_FRACTION:
        height, width = shape_hw
        corners = corners * np.array([width, height, width, height], dtype=np.float64)
    return corners


_LAYOUTS: dict[
    Layout,
    tuple[
        Callable[[Outputs, tuple[int, int]], bool], Callable[[Outputs, tuple[int, int]], Decoded]
    ],
] = {
    Layout.YOLOX: (_fits_yolox, _yolox),
    Layout.YOLOV5: (_fits_yolov5, _yolov5),
    Layout.YOLOV8: (_fits_yolov8, _yolov8),
    Layout.ROWS: (_fits_rows, _rows),
    Layout.LISTS: (_fits_lists, _lists),
    Layout.SSD: (_fits_ssd, _ssd),
    Layout.DETR: (_fits_detr, _detr),
    Layout.RT_DETR: (_fits_rt_detr, _rt_detr),
}
