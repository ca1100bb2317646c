"""Reader of ``SET/SEQUENCE`` folders with a ``groundtruth.txt`` each, as in ``data/tir_video``.

A sequence is a folder with ``groundtruth.txt`` (``x,y,w,h`` a frame, 0-based), frames in ``img/``
or one video, and optionally ``attributes.json``. Sequences may lie directly below the root, in sets
below it, or be the root itself. The same reader serves ``data/rgb/video_*``.

On reading 1 is added to ``x`` and ``y``: the protocols take a box at 0 for invalid.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tirtrack.datasets.box_text import check_annotation, read_boxes
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence, stored_from_boxes
from tirtrack.datasets.stored_frames import NoFrames, StoredFrames, check_count, frame_source
from tirtrack.errors import DatasetError

ANNOTATION = "groundtruth.txt"
ATTRIBUTES = "attributes.json"
PROTOCOL = "lsotb-tir"
BASE = 1


def sequence_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """The set (empty text where there is none) and folder of each sequence, in order of names."""
    if (root / ANNOTATION).is_file():
        yield "", root
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if (folder / ANNOTATION).is_file():
            yield "", folder
            continue
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if (inner / ANNOTATION).is_file():
                yield folder.name, inner


def open_tir_video(root: Path, *, with_frames: bool = True) -> LabelledDataset:
    """The sequences at or below ``root``.

    Names that two sets share get their set in front (``SET.SEQUENCE``).

    Raises:
        DatasetError: there is no sequence, or one is not as the layout demands; names the file.
    """
    folders = list(sequence_folders(root))
    if not folders:
        raise DatasetError(
            f"no {ANNOTATION} in it or in folders below", root, "expected SET/SEQUENCE folders"
        )
    shared = Counter(folder.name for _, folder in folders)
    sequences = tuple(
        _sequence(
            folder,
            f"{subset}.{folder.name}" if shared[folder.name] > 1 else folder.name,
            subset,
            with_frames=with_frames,
        )
        for subset, folder in folders
    )
    return LabelledDataset(root.resolve().name, sequences, PROTOCOL, root)


def _sequence(folder: Path, name: str, subset: str, *, with_frames: bool) -> LabelledSequence:
    path = folder / ANNOTATION
    annotation = read_boxes(path)
    check_annotation(annotation, path)
    notes = _notes(folder / ATTRIBUTES)
    if notes.get("frames", str(len(annotation))) != str(len(annotation)):
        raise DatasetError(
            f"says {notes['frames']} frames, {ANNOTATION} has {len(annotation)} rows",
            folder / ATTRIBUTES,
            "one row a frame: correct one of the two",
        )
    return LabelledSequence(
        name=name,
        annotation=stored_from_boxes(annotation, BASE),
        base=BASE,
        open_frames=_frames(folder, name, len(annotation)) if with_frames else NoFrames(name),
        subset=subset,
        notes=notes,
    )


def _frames(folder: Path, name: str, rows: int) -> StoredFrames:
    source = frame_source(folder)
    if source is None:
        raise DatasetError(
            f"no frames of {name}", folder, "expected img/ with images, or video.mp4"
        )
    check_count(source, rows, annotation=folder / ANNOTATION)
    return StoredFrames(source)


def _notes(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DatasetError("is not JSON", path, "correct it or remove it") from error
    if not isinstance(content, dict):
        raise DatasetError("is not a JSON object", path, "correct it or remove it")
    return {str(key): str(value) for key, value in content.items()}
