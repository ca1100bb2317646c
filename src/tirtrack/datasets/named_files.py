"""Labelled sequences whose files the user names, for every layout that has no row in the table.

A path may hold ``{sequence}``, which stands for the name of a sequence: one for every annotation
file that fits. Without it there is one sequence, or one for every video or target of a file that
holds several.
"""

from __future__ import annotations

import glob
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tirtrack.datasets.absence import absence_files
from tirtrack.datasets.annotation import (
    BY_LAYOUT,
    AnnotationFile,
    AnnotationOptions,
    SequenceDescription,
    labelled_sequences,
    remarks_of,
)
from tirtrack.datasets.box_text import read_targets
from tirtrack.datasets.folders import PROTOCOL
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.stored_frames import frame_source
from tirtrack.errors import DatasetError, RequestError

SEQUENCE = "{sequence}"
_ASSUMED_BASE = 0
_ANNOTATION_FOLDER = "annotations"
_FOLDERS = ("", "images/", "img/", "frames/", "videos/", "data/", "JPEGImages/")
_COCO_PLACES = tuple(f"{folder}{SEQUENCE}{end}" for folder in _FOLDERS for end in ("", ".mp4"))


def open_named_files(
    annotation: str, frames: str | None = None, *, options: AnnotationOptions = BY_LAYOUT
) -> LabelledDataset:
    """The sequences of annotation files.

    Args:
        annotation: path of a file, with or without ``{sequence}``.
        frames: path of a folder of images or of a video, with ``{sequence}`` where there are
            several; ``None`` if only the annotation is needed.
        options: columns and base of the files; base 0 is assumed.

    Raises:
        RequestError: a path is empty, or ``{sequence}`` stands in one of two paths only.
        DatasetError: no file fits, frames are missing, or a file is damaged.
    """
    files = _annotation_files(annotation, options)
    if frames is not None and SEQUENCE not in frames and len(files) > 1:
        raise RequestError(
            f"{len(files)} videos are annotated, and one place of frames is named",
            "--frames",
            f"write {SEQUENCE} where the names differ",
        )
    sequences: list[LabelledSequence] = []
    for name, file in files:
        source = None if frames is None else _source(frames, name)
        sequences += labelled_sequences(
            SequenceDescription(name), file, source, with_frames=frames is not None
        )
    remarks = remarks_of(sequences)
    if options.base is None:
        remarks = (f"base {_ASSUMED_BASE} is assumed, --base 0 or 1 decides", *remarks)
    name = re.sub(r"[^\w.-]+", "-", Path(annotation.replace(SEQUENCE, "")).stem).strip("-_.")
    return LabelledDataset(
        name or Path(annotation).resolve().parent.name, tuple(sequences), PROTOCOL, remarks=remarks
    )


def coco_file(root: Path) -> Path | None:
    """The COCO file of videos in a folder or in its ``annotations/``; ``None`` without one.

    Raises:
        DatasetError: there are several.
    """
    folders = (root, root / _ANNOTATION_FOLDER)
    found = [path for one in folders for path in sorted(one.glob("*.json")) if _is_coco(path)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DatasetError(f"has {len(found)} COCO files ({names})", root, "give --annotation FILE")
    return found[0] if found else None


def open_coco(
    file: Path, *, with_frames: bool = True, options: AnnotationOptions = BY_LAYOUT
) -> LabelledDataset:
    """The videos of a COCO file, with their frames in one of the usual places beside it, or beside
    the ``annotations/`` that it lies in.

    Args:
        file: the COCO file.
        with_frames: whether frames must be there.
        options: options that override base 0.

    Raises:
        DatasetError: the frames are not found, or the file is damaged.
    """
    options = replace(options, base=options.base or 0)
    root = file.parent.parent if file.parent.name == _ANNOTATION_FOLDER else file.parent
    frames = _coco_frames(root, _videos(file, options)[0]) if with_frames else None
    opened = open_named_files(str(file), frames, options=options)
    return replace(opened, name=root.resolve().name, root=root, layout="COCO videos")


def _coco_frames(root: Path, video: str) -> str:
    for place in _COCO_PLACES:
        path = root / place.replace(SEQUENCE, video)
        if path.is_file() or frame_source(path) is not None:
            return str(root / place)
    raise DatasetError(
        f"no frames of {video}", root, f"expected {video}/, images/{video}/ or {video}.mp4"
    )


def _is_coco(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"videos", "annotations"} <= set(content)


def _files(annotation: str) -> dict[str, Path]:
    """Names of sequences to annotation files, in order of names."""
    if not annotation:
        raise RequestError("an empty path", "--annotation", "give a file of boxes")
    if SEQUENCE not in annotation:
        path = Path(annotation)
        if not path.is_file():
            raise DatasetError("no such file", path, "give a file of boxes")
        return {path.stem: path}
    before, after = annotation.split(SEQUENCE, 1)
    wild = glob.escape(before) + "*" + glob.escape(after).replace(SEQUENCE, "*")
    named = re.compile(
        re.escape(before)
        + r"(?P<name>[^/\\]+)"
        + re.escape(after).replace(re.escape(SEQUENCE), r"(?P=name)")
    )
    found = {}
    for text in sorted(glob.glob(wild)):  # noqa: PTH207 - the pattern may be absolute
        if (match := named.fullmatch(text)) is not None and Path(text).is_file():
            found[match["name"]] = Path(text)
    if not found:
        raise DatasetError(
            "no file fits", annotation, f"{SEQUENCE} stands for the name of one sequence"
        )
    return found


def _annotation_files(
    annotation: str, options: AnnotationOptions
) -> list[tuple[str, AnnotationFile]]:
    """Every video that is annotated, by name."""
    files = _files(annotation)
    folders = Counter(path.parent for path in files.values())
    return [
        (
            video or stem,
            AnnotationFile(
                path,
                _ASSUMED_BASE,
                video=video,
                absence=absence_files(path.parent) if folders[path.parent] == 1 else (),
            ).with_options(options),
        )
        for stem, path in files.items()
        for video in _videos(path, options)
    ]


def _videos(path: Path, options: AnnotationOptions) -> list[str]:
    """The videos of a file; one without a name if it names none."""
    return list(dict.fromkeys(one.video for one in read_targets(path, options.columns)))


def _source(frames: str, sequence: str) -> Path:
    if not frames:
        raise RequestError("an empty path", "--frames", "give a folder of images or a video")
    path = Path(frames.replace(SEQUENCE, sequence))
    source = path if path.is_file() else frame_source(path)
    if source is None:
        raise DatasetError(
            f"no frames of {sequence}", path, "expected a folder of images or a video"
        )
    return source
