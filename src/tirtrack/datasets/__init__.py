"""Labelled data: sequences for tests, stills for RGB training, and the embedded synthetic world.

:func:`open_dataset` opens a published data set by its name, or detects the layout of a folder;
:func:`open_named_files` opens files that the user names; :func:`described` says what was found,
:func:`verify_dataset` what of a data set is not as published.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tirtrack.datasets import benchmarks
from tirtrack.datasets.annotation import (
    BY_LAYOUT,
    AnnotationOptions,
    remarks_of,
    sequences_of,
)
from tirtrack.datasets.benchmarks.folder import benchmark_of
from tirtrack.datasets.columns import parse_columns
from tirtrack.datasets.dataset_line import DatasetDescription, described
from tirtrack.datasets.named_files import coco_file, open_coco, open_named_files
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.verification import Verification, verify_dataset
from tirtrack.errors import DatasetError, RequestError, did_you_mean

__all__ = [
    "NAMED",
    "AnnotationOptions",
    "DatasetDescription",
    "LabelledDataset",
    "LabelledSequence",
    "Verification",
    "dataset_names",
    "described",
    "list_datasets",
    "open_dataset",
    "open_named_files",
    "opened",
    "parse_columns",
    "verify_dataset",
]

# Data sets that need no files: parts of the world that the demo renders into the cache.
NAMED = {"synthetic-test": "test", "synthetic-validation": "validation"}


def dataset_names() -> tuple[str, ...]:
    """The data sets that :func:`open_dataset` knows by name.

    >>> "ptb-tir" in dataset_names()
    True
    """
    return (*NAMED, *benchmarks.names())


def list_datasets() -> list[dict[str, Any]]:
    """Every data set that is published under a name: ``name``, ``title``, number of ``sequences``
    and annotated ``frames`` (``None`` if no list states it), ``protocol``, ``described`` (where),
    ``root`` (by ``TIRTRACK_DATA``, ``None`` if it names none) and whether that is ``there``.

    Raises:
        DatasetError: ``TIRTRACK_DATA`` names nothing that is there.
    """
    from tirtrack.datasets.roots import configured_root

    found = []
    for name in benchmarks.names():
        one = benchmarks.get(name)
        root = configured_root(one)
        found.append(
            {
                "name": name,
                "title": one.title,
                "sequences": one.count or None,
                "frames": one.frames,
                "protocol": one.protocol,
                "described": one.described,
                "root": None if root is None else str(root),
                "there": root is not None and root.is_dir(),
            }
        )
    return found


def open_dataset(
    name_or_dir: str | Path,
    *,
    root: str | Path | None = None,
    with_frames: bool = True,
    options: AnnotationOptions = BY_LAYOUT,
) -> LabelledDataset:
    """The labelled sequences of a published data set, or of a folder, whatever its layout.

    Args:
        name_or_dir: one of :func:`dataset_names`, or a folder in the layout of LSOTB-TIR or PTB-TIR
            (``anno/SEQUENCE.txt``, or ``SEQUENCE/groundtruth_rect.txt``), of one of
            :data:`tirtrack.datasets.sequence_layouts.LAYOUTS` (``SET/SEQUENCE/groundtruth.txt``),
            or one sequence of either. A folder that is there comes before a name.
        root: the folder of the named data set; by default ``TIRTRACK_DATA`` says where it is.
        with_frames: whether frames must be there; scoring needs only the annotation.
        options: options that override the layout's columns and base, and say how frames are read.

    Raises:
        DatasetError: there is no such folder, it has none of these layouts, or a sequence is
            missing or damaged; names the file.
        RequestError: a root is given, and the data set is not one that is published.
    """
    from tirtrack.datasets import anno_layout, folders
    from tirtrack.datasets.by_name import open_benchmark
    from tirtrack.datasets.roots import root_of
    from tirtrack.datasets.sequence_layouts import expected_layouts

    name = str(name_or_dir)
    if (
        root is not None
        and name not in benchmarks.names()
        and (name in NAMED or Path(name).is_dir())
    ):
        raise RequestError(
            f'"{name}" is no published data set, so it has no root',
            "--root",
            "leave it out, or name a published one (`tirtrack data list`)",
        )
    if root is not None or (name in benchmarks.names() and not Path(name).is_dir()):
        benchmark = benchmarks.get(name)
        place = root_of(benchmark, root)
        return open_benchmark(benchmark, place, with_frames=with_frames, options=options)
    root = _find(name)
    files = anno_layout.annotation_files(root)
    if files:
        return _open_anno(root, list(files), with_frames=with_frames, options=options)
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
    if not name_or_dir:
        raise DatasetError(
            "the data set's name is empty", fix="give a folder, or a name (`tirtrack data list`)"
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
        from tirtrack.synthetic import cached_world  # takes its time to be imported

        return cached_world("demo") / NAMED[name_or_dir]
    near = did_you_mean(name_or_dir, dataset_names())
    raise DatasetError(
        "no such folder",
        root,
        f"give the folder of a labelled data set, or a name: {near}",
    )


def _open_anno(
    root: Path, names: list[str], *, with_frames: bool, options: AnnotationOptions
) -> LabelledDataset:
    """All sequences of a folder in the layout that LSOTB-TIR and PTB-TIR share."""
    benchmark = benchmark_of(root, names)
    readers = benchmark.reader(root, benchmark, with_frames=with_frames, options=options)
    sequences, left_out = sequences_of(readers.values(), partial=options.partial)
    return LabelledDataset(
        root.resolve().name,
        tuple(sequences),
        benchmark.protocol,
        root,
        benchmark.protocol,
        (*left_out, *remarks_of(sequences)),
        len(left_out),
    )
