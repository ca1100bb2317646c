"""Boxes from JSON: ``{"exist": [...], "gt_rect": [...]}`` of Anti-UAV, ``{"res": [...]}`` of its
results, plain lists, and COCO files of videos.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.datasets.columns import POLYGONS, XYWH, Columns, boxes_of, extents, form_of
from tirtrack.datasets.row_text import is_missing
from tirtrack.datasets.target_boxes import MOST_FRAMES, TargetBoxes, plain_id, says_absent
from tirtrack.errors import DatasetError

_BOX_KEYS = ("gt_rect", "res", "boxes", "bbox", "gt")
_PRESENT_KEYS = ("exist", "exists")
_EXPECTED = 'expected {"exist": [...], "gt_rect": [[x,y,w,h], ...]} or COCO videos'


def targets_of(content: Any, path: Path, columns: Columns | None = None) -> list[TargetBoxes]:
    """Every target of a JSON document.

    Args:
        content: the document.
        path: path of the document.
        columns: meaning of the four numbers of a row, if not x,y,w,h.

    Raises:
        DatasetError: it has none of these forms; names file and row.
    """
    if isinstance(content, list):
        return [_rows(content, path, columns)]
    if not isinstance(content, dict):
        raise DatasetError("holds no list of boxes", path, _EXPECTED)
    if "annotations" in content and "videos" in content:
        return _coco(content, path)
    key = next((key for key in _BOX_KEYS if isinstance(content.get(key), list)), None)
    if key is None:
        raise DatasetError("holds no list of boxes", path, _EXPECTED)
    target = _rows(content[key], path, columns)
    flags = next((content[key] for key in _PRESENT_KEYS if key in content), None)
    if flags is None:
        return [target]
    if not isinstance(flags, list) or len(flags) != len(target):
        count = len(flags) if isinstance(flags, list) else "no list of"
        raise DatasetError(
            f"has {len(target)} boxes and {count} flags", path, "one of each for every frame"
        )
    present = np.array([_flag(flag, f"{path}, flag {i + 1}") for i, flag in enumerate(flags)])
    return [replace(target, absent=target.absent | ~present, flagged=~present)]


def _rows(rows: Sequence[Any], path: Path, columns: Columns | None) -> TargetBoxes:
    names = columns if columns is not None and len(columns) == len(XYWH) else XYWH
    form = form_of(names) or ""
    plain = _plain(rows)
    if plain is not None:
        boxes = boxes_of(dict(zip(names, plain.T, strict=True)))
        return TargetBoxes(boxes, says_absent(plain), form, named=columns is not None)
    boxes, absent = np.full((len(rows), 4), np.nan), np.ones(len(rows), dtype=bool)
    for index, row in enumerate(rows):
        values = _values(row, f"{path}, row {index + 1}")
        if values is None:
            continue
        absent[index] = says_absent(values)[0]
        if values.shape[1] == len(names):
            boxes[index] = boxes_of(dict(zip(names, values.T, strict=True)))[0]
        else:
            boxes[index], form = extents(values)[0], POLYGONS
    return TargetBoxes(boxes, absent, form, named=columns is not None)


def _plain(rows: Sequence[Any]) -> np.ndarray | None:
    """``[T,4]`` float64 if every row is four numbers, as in most files; ``None`` if not."""
    try:
        values = np.array(rows)
    except ValueError:
        return None
    is_plain = values.dtype.kind in "if" and values.shape[1:] == (len(XYWH),)
    return values.astype(np.float64) if is_plain else None


def _flag(value: Any, where: str) -> bool:
    try:
        return float(value) != 0
    except (TypeError, ValueError) as error:
        raise DatasetError("is not 0 or 1", where, "correct the file") from error


def _values(row: Any, where: str) -> np.ndarray | None:
    """``[1,n]`` numbers of a row; ``None`` for an empty one (``[]``, ``[0]``, ``null``)."""
    listed = row if isinstance(row, list) else [row]
    if len(listed) <= 1:
        return None
    try:
        values = np.array([[_value(one) for one in listed]])
    except (TypeError, ValueError) as error:
        raise DatasetError("a value is not a number", where, "expected [x,y,w,h]") from error
    if len(listed) not in (4, 8):
        raise DatasetError(f"has {len(listed)} numbers, expected 4", where, "correct the file")
    return values


def _value(value: Any) -> float:
    is_nothing = value is None or (isinstance(value, str) and is_missing(value))
    return math.nan if is_nothing else float(value)


def _coco(content: Mapping[str, Any], path: Path) -> list[TargetBoxes]:
    """A target for every instance of every video, in their order."""
    try:
        lengths = _lengths(content)
        names = {str(video["id"]): _stem(video) for video in content["videos"]}
        found = _coco_boxes(content, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"an entry is missing or of the wrong kind ({type(error).__name__}: {error})",
            path,
            "expected COCO videos, images and annotations",
        ) from error
    if max(lengths.values(), default=0) > MOST_FRAMES:
        raise DatasetError(f"a video of more than {MOST_FRAMES} frames", path, "correct the file")
    if not found:
        raise DatasetError("has no annotation", path, "expected boxes of COCO videos")
    return [
        _target(
            places,
            lengths.get(video, 0),
            video=plain_id(names.get(video, video)),
            target=plain_id(instance),
        )
        for (video, instance), places in found.items()
    ]


def _coco_boxes(
    content: Mapping[str, Any], path: Path
) -> dict[tuple[str, str], dict[int, list[float]]]:
    """Boxes by frame of every video and instance."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    frame_of = _frames(content.get("images", ()))
    for one in content["annotations"]:
        for video, instance, frame, box in _instances(one, frame_of):
            places = found.setdefault((video, instance), {})
            if not 0 <= frame <= MOST_FRAMES:
                raise DatasetError(
                    f"frame {frame} of target {instance} is not a whole number from 0 to "
                    f"{MOST_FRAMES}",
                    path,
                    "correct the file",
                )
            if frame in places:
                raise DatasetError(
                    f"a second box for target {instance} in frame {frame}",
                    path,
                    "leave one box for each frame and target",
                )
            places[frame] = box
    return found


def _target(
    places: Mapping[int, list[float]], length: int, *, video: str, target: str
) -> TargetBoxes:
    boxes = np.array(list(places.values()))
    found = TargetBoxes(boxes, says_absent(boxes), target=target, video=video, may_follow=math.inf)
    return found.placed(np.array(list(places)), max(length, max(places) + 1))


def _lengths(content: Mapping[str, Any]) -> dict[str, int]:
    lengths = {str(video["id"]): int(video.get("length", 0)) for video in content["videos"]}
    for video, frame in _frames(content.get("images", ())).values():
        lengths[video] = max(lengths.get(video, 0), frame + 1)
    return lengths


def _frames(images: Sequence[Mapping[str, Any]]) -> dict[Any, tuple[str, int]]:
    """Video and frame, from 0, of every image by its id; some files count frames from 1."""
    stored = {
        image["id"]: (str(image["video_id"]), int(image.get("frame_id", image.get("frame_index"))))
        for image in images
    }
    first: dict[str, int] = {}
    for video, frame in stored.values():
        first[video] = min(first.get(video, frame), frame)
    return {key: (video, frame - (first[video] == 1)) for key, (video, frame) in stored.items()}


def _instances(
    one: Mapping[str, Any], frame_of: Mapping[Any, tuple[str, int]]
) -> list[tuple[str, str, int, list[float]]]:
    """Video, instance, frame and box of an annotation: one image, or a whole track."""
    instance = str(one.get("instance_id", one.get("track_id", one.get("id", ""))))
    if "bboxes" in one:
        video = str(one["video_id"])
        return [(video, instance, f, _box(box)) for f, box in enumerate(one["bboxes"]) if box]
    video, frame = frame_of[one["image_id"]]
    return [(video, instance, frame, _box(one["bbox"]))]


def _box(values: Sequence[Any]) -> list[float]:
    x, y, w, h = (float(value) for value in values)
    return [x, y, w, h]


def _stem(video: Mapping[str, Any]) -> str:
    return Path(str(video.get("name", video.get("file_name", video["id"])))).stem
