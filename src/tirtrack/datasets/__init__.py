"""Labelled data: sequences for tests, stills for RGB training, and the embedded synthetic world.

:func:`open_dataset` detects the layout of a folder; :func:`open_named_files` opens files that the
user names; :func:`described` says what was found.
"""

from __future__ import annotations

from pathlib import Path

from tirtrack.datasets.annotation import BY_LAYOUT, AnnotationOptions
from tirtrack.datasets.columns import parse_columns
from tirtrack.datasets.dataset_line import DatasetDescription, described
from tirtrack.datasets.named_files import coco_file, open_coco, open_named_files
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError, did_you_mean

__all__ = [
    "NAMED",
    "AnnotationOptions",
    "DatasetDescription",
    "LabelledDataset",
    "LabelledSequence",
    "described",
    "open_dataset",
    "open_named_files",
    "opened",
    "parse_columns",
]

# Data sets that need no files: parts of the world that the demo renders into the cache.
NAMED = {"synthetic-test": "test", "synthetic-validation": "validation"}


def open_dataset(
    name_or_dir: str | Path, *, with_frames: bool = True, options: AnnotationOptions = BY_LAYOUT
) -> LabelledDataset:
    """The labelled sequences of a folder, whatever its layout.

    Args:
        name_or_dir: one of ``NAMED``, or a folder in the layout of LSOTB-TIR or PTB-TIR
            (``anno/SEQUENCE.txt``, or ``SEQUENCE/groundtruth_rect.txt``), of one of
            :data:`tirtrack.datasets.sequence_layouts.LAYOUTS` (``SET/SEQUENCE/groundtruth.txt``),
            or one sequence of either.
        with_frames: whether frames must be there; scoring needs only the annotation.
        options: options that override the layout's columns and base, and say how frames are read.

    Raises:
        DatasetError: there is no such folder, it has none of these layouts, or a sequence is
            damaged; names the file.
    """
    from tirtrack.datasets import anno_layout, folders
    from tirtrack.datasets.lsotb_tir import LSOTB_TIR
    from tirtrack.datasets.ptb_tir import PTB_TIR
    from tirtrack.datasets.sequence_layouts import expected_layouts

    root = _find(str(name_or_dir))
    files = anno_layout.annotation_files(root)
    if files:
        benchmark = PTB_TIR if _is_ptb(root, list(files)) else LSOTB_TIR
        return anno_layout.open_benchmark(root, benchmark, with_frames=with_frames, options=options)
    if any(folders.sequence_folders(root)):
        return folders.open_folders(root, with_frames=with_frames, options=options)
    if (coco := coco_file(root)) is not None:
        return open_coco(coco, with_frames=with_frames, options=options)
    raise DatasetError(
        "no labelled sequence",
        root,
        f"expected anno/SEQUENCE.txt, SEQUENCE/groundtruth_rect.txt, {expected_layouts()} "
        "or a COCO file of videos; "
        "or name the files with --annotation and --frames",
    )


def opened(
    dataset: str | Path | LabelledDataset,
    *,
    with_frames: bool = True,
    options: AnnotationOptions = BY_LAYOUT,
) -> LabelledDataset:
    """A data set by its name or folder, as by :func:`open_dataset`, or one that is open already.

    Raises:
        DatasetError: see :func:`open_dataset`.
    """
    if isinstance(dataset, LabelledDataset):
        return dataset
    return open_dataset(dataset, with_frames=with_frames, options=options)


def _find(name_or_dir: str) -> Path:
    """The folder; a named data set is rendered when it is first asked for."""
    from tirtrack.synthetic import cached_world

    if not name_or_dir:
        raise DatasetError(
            "the data set's name is empty", fix=f"give a folder, or {' or '.join(NAMED)}"
        )
    root = Path(name_or_dir)
    if root.is_dir():
        return root
    if root.is_file():
        raise DatasetError(
            "is a file, not a folder",
            root,
            "give the folder of the data set, or --annotation FILE --frames FOLDER|VIDEO",
        )
    if name_or_dir in NAMED:
        return cached_world("demo") / NAMED[name_or_dir]
    raise DatasetError(
        "no such folder",
        root,
        f"give the folder of a labelled data set, or a name: {did_you_mean(name_or_dir, NAMED)}",
    )


def _is_ptb(root: Path, sequences: list[str]) -> bool:
    """PTB-TIR differs from LSOTB-TIR by its ten attributes; without any, by the folder's name."""
    from tirtrack.datasets.anno_layout import attribute_file, read_attributes
    from tirtrack.datasets.ptb_tir import PTB_TIR

    for sequence in sequences:
        path = attribute_file(root, sequence)
        if path is not None:
            return len(read_attributes(path)) == len(PTB_TIR.attribute_names)
    return "ptb" in root.resolve().name.lower()
