"""Labelled sequences whose files the user names, for every layout that has no row in the table.

A path may hold ``{sequence}``, which stands for the name of a sequence: one for every annotation
file that fits. Without it there is one sequence, or one for every video or target of a file that
holds several.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

from tirtrack.datasets.annotation import (
    AnnotationFile,
    Reading,
    SequenceFacts,
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


def open_given(
    annotation: str, frames: str | None = None, *, reading: Reading | None = None
) -> LabelledDataset:
    """The sequences of annotation files.

    Args:
        annotation: path of a file, with or without ``{sequence}``.
        frames: path of a folder of images or of a video, with ``{sequence}`` where there are
            several; ``None`` where the annotation alone is asked for.
        reading: columns and base of the files; base 0 is assumed.

    Raises:
        RequestError: a path is empty, or ``{sequence}`` stands in one of two paths only.
        DatasetError: no file fits, frames are missing, or a file is damaged.
    """
    reading = reading or Reading()
    files = _files(annotation)
    if frames is not None and SEQUENCE not in frames and len(files) > 1:
        raise RequestError(
            f"{len(files)} annotation files and one place of frames",
            "--frames",
            f"write {SEQUENCE} where the names differ",
        )
    sequences: list[LabelledSequence] = []
    for stem, path in files.items():
        for video in _videos(path, reading):
            name = video or stem
            file = AnnotationFile(path, _ASSUMED_BASE, video=video).read_as(reading)
            source = None if frames is None else _source(frames, name)
            sequences += labelled_sequences(
                SequenceFacts(name), file, source, with_frames=frames is not None
            )
    _check_names(sequences)
    remarks = remarks_of(sequences)
    if reading.base is None:
        remarks = (f"base {_ASSUMED_BASE} is assumed, --base 0 or 1 decides", *remarks)
    name = re.sub(r"[^\w.-]+", "-", Path(annotation.replace(SEQUENCE, "")).stem).strip("-_.")
    return LabelledDataset(
        name or Path(annotation).resolve().parent.name, tuple(sequences), PROTOCOL, remarks=remarks
    )


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


def _videos(path: Path, reading: Reading) -> list[str]:
    """The videos of a file; one without a name where it names none."""
    return list(dict.fromkeys(one.video for one in read_targets(path, reading.columns)))


def _check_names(sequences: Sequence[LabelledSequence]) -> None:
    names = [sequence.name for sequence in sequences]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise DatasetError(f'two sequences are called "{again}"', fix="rename one of them")


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
