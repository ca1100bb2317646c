"""Any folder of labelled sequences, by the layout that its files show; nothing else is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from tirtrack.datasets import anno_layout, folders
from tirtrack.datasets.annotation import AnnotationOptions
from tirtrack.datasets.benchmark import Benchmark, SequenceReader
from tirtrack.datasets.benchmarks.lsotb_tir import LSOTB_TIR
from tirtrack.datasets.benchmarks.ptb_tir import PTB_TIR
from tirtrack.datasets.named_files import coco_file, open_coco
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import DatasetError


def sequence_readers(
    root: Path, benchmark: Benchmark, *, with_frames: bool, options: AnnotationOptions
) -> Mapping[str, SequenceReader]:
    """A reader for every sequence of the layout that the files show; empty if they show none.

    A COCO file is one of several sequences, and so has one reader.
    """
    if names := list(anno_layout.annotation_files(root)):
        known = benchmark_of(root, names)
        return known.reader(root, known, with_frames=with_frames, options=options)
    if any(folders.sequence_folders(root)):
        return folders.folder_readers(root, with_frames=with_frames, options=options)
    if (file := coco_file(root)) is None:
        return {}

    def read(path: Path) -> list[LabelledSequence]:
        return list(open_coco(path, with_frames=with_frames, options=options).sequences)

    return {file.stem: partial(read, file)}


def benchmark_of(root: Path, names: list[str]) -> Benchmark:
    """The facts of LSOTB-TIR or PTB-TIR without their lists, for a folder in their layout.

    PTB-TIR differs by the ten attributes of most sequences; without any, by the folder's name.
    """
    counts = Counter(filter(None, (_attribute_count(root, name) for name in names)))
    ptb = counts[len(PTB_TIR.attribute_names)]
    is_ptb = 2 * ptb > counts.total() if counts else "ptb" in root.resolve().name.lower()
    return replace(PTB_TIR if is_ptb else LSOTB_TIR, sequences=(), count=0)


def _attribute_count(root: Path, name: str) -> int:
    """The number of attributes of a sequence; 0 if its file is missing, or damaged, which reading
    the sequence tells.
    """
    path = anno_layout.attribute_file(root, name)
    try:
        return 0 if path is None else len(anno_layout.read_attributes(path))
    except DatasetError:
        return 0


BENCHMARKS = (
    Benchmark(
        name="folder",
        title="a folder of labelled sequences",
        described="docs/formats.md",
        protocol=folders.PROTOCOL,
        reader=sequence_readers,
    ),
)
