"""The layout that LSOTB-TIR and PTB-TIR share: ``anno/SEQUENCE.txt`` beside folders of frames.

Accepted: boxes in ``anno/SEQUENCE.txt`` with attributes in ``anno/att/SEQUENCE.txt``, or
``SEQUENCE/groundtruth_rect.txt``; frames in ``SEQUENCE/img``, ``SEQUENCE``, or in a folder of that
name anywhere below the root; any image type and number of digits. Annotation is kept as stored
(base 1 by declaration). Not tested on the real archives, which were not available.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from tirtrack.datasets.absence import absence_files
from tirtrack.datasets.annotation import (
    AnnotationFile,
    AnnotationOptions,
    SequenceDescription,
    labelled_sequences,
)
from tirtrack.datasets.benchmark import Benchmark, SequenceReader
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stored_frames import IMAGE_FOLDER, frame_source, is_image
from tirtrack.datasets.walking import walk
from tirtrack.errors import DatasetError

ANNOTATION_FOLDERS = ("anno", "tiranno")
ATTRIBUTE_FOLDER = "att"
ABSENCE_FOLDER = "absent"
RECT_FILE = "groundtruth_rect.txt"


def annotation_folder(root: Path) -> Path | None:
    """The folder of ``SEQUENCE.txt`` files, if the root has one."""
    for name in ANNOTATION_FOLDERS:
        if (root / name).is_dir():
            return root / name
    return None


def annotation_files(root: Path) -> dict[str, Path]:
    """Sequence names to annotation files, in order of names; empty for another layout."""
    folder = annotation_folder(root)
    if folder is not None:
        return {path.stem: path for path in sorted(folder.glob("*.txt")) if not path.is_dir()}
    if (root / RECT_FILE).is_file():
        return {root.resolve().name: root / RECT_FILE}
    return {path.parent.name: path for path in sorted(root.glob(f"*/{RECT_FILE}"))}


def attribute_file(root: Path, sequence: str) -> Path | None:
    """The attribute file of a sequence, if there is one."""
    folder = annotation_folder(root)
    path = None if folder is None else folder / ATTRIBUTE_FOLDER / f"{sequence}.txt"
    return path if path is not None and path.is_file() else None


def read_attributes(path: Path) -> list[int]:
    """The 0/1 values of an attribute file.

    Raises:
        DatasetError: a value is neither 0 nor 1.
    """
    words = re.split(r"[\s,]+", path.read_text(encoding="utf-8", errors="replace").strip(" ,\r\n"))
    wrong = [word for word in words if word not in ("0", "1")]
    if wrong:
        said = f'"{wrong[0][:20]}" is neither 0 nor 1' if wrong[0] else "a value is missing"
        raise DatasetError(said, path, "expected 0/1 values separated by commas")
    return [int(word) for word in words]


def sequence_readers(
    root: Path, benchmark: Benchmark, *, with_frames: bool, options: AnnotationOptions
) -> dict[str, SequenceReader]:
    """A reader for every sequence of a root folder in this layout, in order of their names.

    Args:
        root: the folder of the data set.
        benchmark: facts that are particular to the benchmark.
        with_frames: whether frames must be there.
        options: options that override the layout's columns and base.
    """
    places = _Places(root)

    def read(name: str, path: Path) -> list[LabelledSequence]:
        file = AnnotationFile(path, absence=_absence(root, name)).with_options(options)
        facts = SequenceDescription(
            name,
            _subset(name, benchmark.subset),
            _attributes(root, name, benchmark.attribute_names),
            files=tuple(filter(None, (attribute_file(root, name),))),
        )
        source = places.of(name) if with_frames else places.if_plain(name)
        return labelled_sequences(facts, file, source, with_frames=with_frames)

    return {name: partial(read, name, path) for name, path in annotation_files(root).items()}


def _absence(root: Path, sequence: str) -> tuple[Path, ...]:
    """Files of flags beside the boxes of a sequence: LaSOT's toolkit keeps them in a folder."""
    folder = annotation_folder(root)
    path = None if folder is None else folder / ABSENCE_FOLDER / f"{sequence}.txt"
    beside = absence_files(root / sequence) or absence_files(root)
    return (path, *beside) if path is not None and path.is_file() else beside


def _subset(name: str, pattern: re.Pattern[str] | None) -> str:
    match = None if pattern is None else pattern.search(name)
    return "" if match is None else match.group(1)


def _attributes(root: Path, sequence: str, names: tuple[str, ...]) -> Mapping[str, int]:
    path = attribute_file(root, sequence)
    if path is None:
        return {}
    values = read_attributes(path)
    if len(values) != len(names):
        raise DatasetError(
            f"has {len(values)} attributes, the benchmark {len(names)}", path, "correct the file"
        )
    return dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class _Places:
    """The frames below a root; the whole tree is walked only if they are not where they belong."""

    root: Path

    def at_hand(self, sequence: str) -> Path | None:
        """The frames at their usual place, if they are there."""
        for folder in (self.root / sequence, self.root):
            if folder.resolve().name == sequence and (source := frame_source(folder)) is not None:
                return source
        return None

    def if_plain(self, sequence: str) -> Path | None:
        """The frames at their usual place, if they are there and can be told from others."""
        try:
            return self.at_hand(sequence)
        except DatasetError:
            return None

    def of(self, sequence: str) -> Path:
        if (source := self.at_hand(sequence)) is not None:
            return source
        found = self._elsewhere.get(sequence, [])
        if len(found) == 1:
            return found[0]
        if found:
            raise DatasetError(
                f"{len(found)} folders have frames of {sequence}", found[0], "leave one there"
            )
        raise DatasetError(
            f"no frames of {sequence}",
            self.root,
            f"expected {sequence}/{IMAGE_FOLDER}, or a folder {sequence} anywhere below",
        )

    @cached_property
    def _elsewhere(self) -> dict[str, list[Path]]:
        """Sequence name to folders of images below the root: the folder, or the one around it."""
        found: dict[str, list[Path]] = {}
        for path, files in walk(self.root):
            if any(is_image(name) for name in files):
                name = path.parent.name if path.name == IMAGE_FOLDER else path.name
                found.setdefault(name, []).append(path)
        return found
