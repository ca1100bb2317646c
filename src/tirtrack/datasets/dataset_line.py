"""The frames of a labelled data set in one line, stated before work begins.

The first frame of every sequence is read; if it leaves something open, the error names the option
that decides. Begin with :func:`described`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.stored_frames import StoredFrames, read_options
from tirtrack.errors import FrameError, names_option
from tirtrack.media import SourceInfo, probe
from tirtrack.read_options import as_typed
from tirtrack.source_line import bits, counted, unused_in_words, unused_names

_LISTED = 3
# what a decoder or a disk may raise; programming errors (TypeError, ...) pass through
_FAILURES = (OSError, ValueError, RuntimeError, LookupError, StopIteration)


@dataclass(frozen=True)
class DatasetDescription:
    """A data set in words.

    Attributes:
        line: everything in one line.
        sources: one line on the frames of each sequence, by its name.
        infos: details of the sequences whose first frame can be read, by their names.
    """

    line: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    infos: Mapping[str, SourceInfo] = field(default_factory=dict)


def described(dataset: LabelledDataset) -> DatasetDescription:
    """Describes a data set by its annotation and the first frame of every sequence.

    A damaged first frame is reported as such; what reads it later tells why.

    Raises:
        FrameError: frames cannot be read without an option, or no first frame can be read at all.
    """
    infos: dict[str, SourceInfo] = {}
    errors: dict[str, Exception] = {}
    known: dict[StoredFrames, SourceInfo] = {}
    for sequence in dataset.sequences:
        try:
            infos[sequence.name] = _info(sequence, known)
        except _FAILURES as error:
            errors[sequence.name] = error
    _check_readable(list(errors.values()), is_any=bool(infos))
    parts = [annotation_line(dataset), *_kinds(list(infos.values())), *_how_read(dataset, infos)]
    if errors:
        parts.append(f"the first frame of {_named(list(errors))} cannot be read")
    if unused := _unused(dataset, infos.values()):
        parts.append(f"not used: {', '.join(unused)}")
    said = {name: info.description for name, info in infos.items()}
    said |= {name: f"the first frame cannot be read ({error})" for name, error in errors.items()}
    return DatasetDescription(
        "; ".join(parts),
        {one.name: said[one.name] for one in dataset.sequences},
        infos,
    )


def _check_readable(errors: Sequence[Exception], *, is_any: bool) -> None:
    """Refuse what an option decides, and what cannot be read at all."""
    refused = [error for error in errors if isinstance(error, FrameError)]
    asking = [error for error in refused if names_option(error)]
    if asking or (refused and not is_any):
        raise (asking or refused)[0]


def annotation_line(dataset: LabelledDataset) -> str:
    """The number of sequences and annotated frames, their layout, base, and what was assumed about
    them.
    """
    rows = sum(map(len, dataset.sequences))
    layout = f", layout {dataset.layout}" if dataset.layout else ""
    found = f"{counted(len(dataset.sequences), 'sequence')}, {counted(rows, 'annotated frame')}"
    base = f"coordinates count from {dataset.file_base}"
    return "; ".join([f"{found}{layout}, {base}", *dataset.remarks])


def _info(sequence: LabelledSequence, known: dict[StoredFrames, SourceInfo]) -> SourceInfo:
    """What its frames are; those that several targets share are read once, and those that are not
    files are described by the first alone.
    """
    frames = sequence.open_frames
    if isinstance(frames, StoredFrames):
        if frames not in known:
            known[frames] = probe(frames.opened, frames.options, first_only=True)
        return known[frames]
    image = next(frames())
    return SourceInfo(
        image.shape[1], image.shape[0], 1 if image.ndim == 2 else image.shape[2], str(image.dtype),
        is_video=False, fps=None, name=sequence.name, expected_frames=None, kind="frames",
    )  # fmt: skip


def _kinds(infos: Sequence[SourceInfo]) -> list[str]:
    """The kinds of frames, the most frequent first."""
    groups: dict[tuple[str, int, str, str], list[SourceInfo]] = {}
    for info in infos:
        groups.setdefault((info.kind, info.channels, info.dtype, info.layout), []).append(info)
    if len(groups) == 1:
        return [_kind(infos)]
    ranked = sorted(groups.values(), key=len, reverse=True)
    return [f"{len(group)} of them as {_kind(group)}" for group in ranked]


def _kind(infos: Sequence[SourceInfo]) -> str:
    """The sources of one kind in words, with their sizes and rates."""
    first = infos[0]
    sizes = sorted({(info.width * info.height, f"{info.width}x{info.height}") for info in infos})
    rates = sorted({info.fps for info in infos if info.fps})
    phrases = [
        f"{first.kind} of {in_range([size for _, size in sizes])}",
        bits(np.dtype(first.dtype)),
        counted(first.channels, "channel"),
        f"{in_range([f'{rate:.4g}' for rate in rates])} frames/s" if rates else "",
        first.layout,
    ]
    return ", ".join(filter(None, phrases))


def in_range(ordered: Sequence[str]) -> str:
    """Some texts, or the first and last of many.

    >>> in_range(["64x48", "80x60"]), in_range(["8", "12.5", "25", "30"])
    ('64x48 and 80x60', '8 to 30 (4 different)')
    """
    texts = list(dict.fromkeys(ordered))
    if len(texts) <= _LISTED:
        return " and ".join(filter(None, (", ".join(texts[:-1]), texts[-1])))
    return f"{texts[0]} to {texts[-1]} ({len(texts)} different)"


def _how_read(dataset: LabelledDataset, infos: Mapping[str, SourceInfo]) -> list[str]:
    """The order of the files and the options that were given."""
    orders = [
        f"files {rule}" for rule in dict.fromkeys(one.order for one in infos.values()) if rule
    ]
    given = as_typed(read_options(dataset))
    return [*orders, *([f"read with {given}"] if given else [])]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{', '.join(names[:_LISTED])}{more}"


def _unused(dataset: LabelledDataset, infos: Iterable[SourceInfo]) -> list[str]:
    """Unused parts of the files, and unused files in the folder of the data set."""
    parts = Counter(part for info in infos for part in info.unused)
    total = len(dataset.sequences)
    said = [f"{part} ({count} of {total} sequences)" for part, count in parts.items()]
    names = _files_left(dataset)
    return [*said, *([unused_in_words(names)] if names else [])]


def _files_left(dataset: LabelledDataset) -> list[str]:
    """Unused files in the folder of the data set, or else in the folders of the frames."""
    stored = dict.fromkeys(one.open_frames for one in dataset.sequences)
    frames = [one for one in stored if isinstance(one, StoredFrames)]
    used = [file for one in dataset.sequences for file in one.files]
    used += [file for one in frames for file in one.files()]
    folders = {one.source for one in frames if one.source.is_dir()}
    roots = sorted(folders) if dataset.root is None else [dataset.root]
    return [name for root in roots for name in unused_names(root, used)]
