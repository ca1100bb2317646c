"""Labelled stills in a COCO file, for the supervised training of an RGB baseline.

A folder with ``instances.json`` and its images under ``images/`` (or beside the file). Categories
are ignored: every box is just an object. Images are read on access.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.errors import DatasetError, did_you_mean
from tirtrack.read_options import AS_STORED, ReadOptions

INDEX = "instances.json"
IMAGES = "images"


@dataclass(frozen=True)
class LabelledStill:
    """One image with its boxes.

    Attributes:
        name: path below the image folder, unique in the folder.
        path: path of the image file.
        size_wh: width and height as in the index, pixels.
        boxes: ``[n,4]`` float64 xywh, 0-based pixels; n may be 0.
        source: the collection it came from; empty if the index does not say.
        options: options for reading the file where it leaves it open.
    """

    name: str
    path: Path
    size_wh: tuple[int, int]
    boxes: np.ndarray
    source: str = ""
    options: ReadOptions = AS_STORED

    def image(self) -> np.ndarray:
        """The pixels, ``[H,W,3]`` RGB or ``[H,W]``, read now.

        Raises:
            FrameError: the file is damaged.
            DatasetError: its size is not that of the index.
        """
        from tirtrack.media import read_image

        image = read_image(self.path, self.options)
        height, width = image.shape[:2]
        if (width, height) != self.size_wh:
            raise DatasetError(
                f"is {width}x{height}, {INDEX} says {self.size_wh[0]}x{self.size_wh[1]}",
                self.path,
                "the boxes belong to another image: restore the file",
            )
        return image


@dataclass(frozen=True)
class LabelledStills:
    """Stills in the order of their index."""

    name: str
    stills: tuple[LabelledStill, ...]

    def __len__(self) -> int:
        return len(self.stills)

    def __getitem__(self, index: int) -> LabelledStill:
        return self.stills[index]

    def __iter__(self) -> Iterator[LabelledStill]:
        return iter(self.stills)

    def sources(self) -> dict[str, int]:
        """How many stills each source has, in order of names."""
        names = [still.source for still in self.stills]
        return {name: names.count(name) for name in sorted(set(names))}

    def only(self, sources: Iterable[str]) -> LabelledStills:
        """The stills of these sources.

        Raises:
            DatasetError: a source is unknown.
        """
        wanted, known = set(sources), self.sources()
        for source in sorted(wanted - set(known)):
            raise DatasetError(f'no source "{source}"', self.name, did_you_mean(source, known))
        return replace(self, stills=tuple(s for s in self.stills if s.source in wanted))


def open_stills(folder: Path, options: ReadOptions = AS_STORED) -> LabelledStills:
    """The stills of a folder; boxes of crowds are left out.

    Args:
        folder: folder of the index and its images.
        options: options for reading the images where they leave it open.

    Raises:
        DatasetError: no index, an index that is damaged, an image that is missing or lies outside
            the folder, a box without area or outside its image.
    """
    folder = Path(folder)
    index = folder / INDEX
    content = _read_index(index)
    images = folder / IMAGES if (folder / IMAGES).is_dir() else folder
    try:
        boxes: dict[int, list[list[float]]] = {int(entry["id"]): [] for entry in content["images"]}
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                boxes[int(annotation["image_id"])].append([float(v) for v in annotation["bbox"]])
        stills = tuple(
            _still(images, entry, boxes[int(entry["id"])], index) for entry in content["images"]
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(
            f"an entry is missing or of the wrong kind ({type(error).__name__}: {error})",
            index,
            "expected COCO images and annotations",
        ) from error
    if not stills:
        raise DatasetError("lists no image", index, "give a folder with labelled images")
    stills = tuple(replace(still, options=options) for still in stills)
    return LabelledStills(folder.resolve().name, stills)


def _read_index(index: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetError(
            f"could not be read ({error.strerror})", index, "expected a COCO file of that name"
        ) from error
    except ValueError as error:
        raise DatasetError(f"is not JSON ({error})", index, "correct the file") from error
    if not isinstance(content, dict) or not {"images", "annotations"} <= set(content):
        raise DatasetError(
            'has no "images" or no "annotations"', index, "expected COCO images and annotations"
        )
    return content


def _still(
    images: Path, entry: Mapping[str, Any], rows: list[list[float]], index: Path
) -> LabelledStill:
    name = str(entry["file_name"])
    path = images / name
    if not path.resolve().is_relative_to(images.resolve()):
        raise DatasetError(f'image "{name}" lies outside {images}', index, "correct the file name")
    if not path.is_file():
        raise DatasetError("the image is missing", path, f"{index.name} lists it: restore the file")
    size_wh = int(entry["width"]), int(entry["height"])
    boxes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    _check_boxes(boxes, size_wh, name, index)
    return LabelledStill(name, path, size_wh, boxes, str(entry.get("source", "")))


def _check_boxes(boxes: np.ndarray, size_wh: tuple[int, int], name: str, index: Path) -> None:
    limit = np.array(size_wh)
    flat = ~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1))
    inside = (boxes[:, :2] < limit).all(axis=1) & (boxes[:, :2] + boxes[:, 2:] > 0).all(axis=1)
    for bad, fault in ((flat, "has no area"), (~flat & ~inside, "lies outside the image")):
        if bad.any():
            text = ",".join(f"{value:g}" for value in boxes[int(bad.argmax())])
            raise DatasetError(f"box {text} of {name} {fault}", index, "correct or remove the box")
