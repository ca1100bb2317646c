"""Makes labelled sequences from files of boxes: absent rows, damaged rows, and the base.

Protocols treat a box at 0 as invalid, so annotation in base 0 is moved to base 1 on reading;
:attr:`LabelledSequence.shift` records this, and results are moved likewise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from tirtrack.datasets.absence import absent_by_files, cover_of
from tirtrack.datasets.box_text import read_targets, short_number
from tirtrack.datasets.columns import CORNERS, Columns
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stored_frames import NoFrames, StoredFrames, check_count, count_frames
from tirtrack.datasets.target_boxes import TargetBoxes
from tirtrack.errors import DatasetError, FrameError, RequestError, names_option
from tirtrack.read_options import AS_STORED, ReadOptions
from tirtrack.source_line import counted

BASE = 1
"""Of all annotation in memory."""

SPARSE_EVERY = 10
"""VTUAV has one row for ten frames."""

_WRITE_ABSENT = "write nan,nan,nan,nan where the target is absent"


@dataclass(frozen=True)
class AnnotationOptions:
    """What the user states about annotation files and frames; ``None``: as their layout says.

    Attributes:
        columns: names of the columns of text files.
        base: 0 or 1, the base of their coordinates.
        frames: options for reading the frames where they leave it open.
        partial: whether sequences that cannot be read are left out, and said so.
    """

    columns: Columns | None = None
    base: int | None = None
    frames: ReadOptions = AS_STORED
    partial: bool = False

    def __post_init__(self) -> None:
        if self.frames.no_data == "none":
            raise RequestError(
                "trackers mask frames of a data set by their own settings",
                "--no-data none",
                "drop it, or track with `tirtrack track`, which takes it",
            )


BY_LAYOUT = AnnotationOptions()


@dataclass(frozen=True)
class AnnotationFile:
    """A file of boxes, and what is known about it.

    Attributes:
        path: the file.
        base: base of its coordinates.
        columns: columns of its rows, if neither their number nor a header says it.
        video: the requested video of a file that holds several.
        absence: files of flags that belong to it.
        lacks_flags: whether files of flags that its data set has are not there.
        has_flat: whether it may have boxes without area, which stay as they are.
        sparse: whether it may have one row per ten frames.
        first_only: whether it may have a row for the first frame alone.
        second: annotation of the same frames in RGB, in the same form.
        numbers: numbers in the names of the images that belong to it, if there may be others.
        frames: options for reading the frames that belong to it.
    """

    path: Path
    base: int = BASE
    columns: Columns | None = None
    video: str = ""
    absence: tuple[Path, ...] = ()
    lacks_flags: bool = False
    has_flat: bool = False
    sparse: bool = False
    first_only: bool = False
    second: Path | None = None
    numbers: range | None = None
    frames: ReadOptions = AS_STORED

    def with_options(self, options: AnnotationOptions) -> AnnotationFile:
        """The same file, with options that override it."""
        base = self.base if options.base is None else options.base
        columns = options.columns or self.columns
        return replace(self, base=base, columns=columns, frames=options.frames)


@dataclass(frozen=True)
class SequenceDescription:
    """A sequence's name and what else is known about it, from files beside its annotation."""

    name: str
    subset: str = ""
    attributes: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    size_wh: tuple[int, int] | None = None


def labelled_sequences(
    facts: SequenceDescription,
    file: AnnotationFile,
    source: Path | None,
    *,
    with_frames: bool = True,
) -> list[LabelledSequence]:
    """The sequences of an annotation file, one for every target.

    Args:
        facts: name of the sequence, to which a target's id is added if there are several.
        file: the annotation.
        source: a folder of images or a video; ``None`` where there are no frames.
        with_frames: whether frames must be there and fit the annotation.

    Raises:
        DatasetError: a row is neither a box nor absent, or the frames do not fit.
    """
    targets = [
        one for one in read_targets(file.path, file.columns) if file.video in ("", one.video)
    ]
    if file.first_only and [len(one) for one in targets] == [1]:
        targets = [replace(targets[0], may_follow=math.inf)]
    frames = _frame_count(source, targets, file)
    sequences = []
    for target in (one.fitted(frames) for one in targets):
        flagged = absent_by_files(file.absence, len(target))
        absent = target.absent | flagged
        _check(target, absent, file)
        every = _frames_a_row(len(target), frames) if file.sparse else 1
        if with_frames and source is not None and every == 1:
            check_count(source, len(target), annotation=file.path, numbers=file.numbers)
        is_open = not target.named and not target.form and _may_be_corners(target, absent)
        if source is not None and is_open:
            frame = _first_frame(source, file.frames, with_frames=with_frames)
            _check_no_corners(target.boxes[~absent], frame, file.path)
        sequence = _sequence(facts, file, target, absent, flagged)
        sequence = replace(sequence, facts=_frame_facts(facts, file, target, flagged))
        sequences.append(_with_frames(sequence, source, every, file))
    if len(sequences) == 1:
        return sequences
    return [
        replace(one, name=f"{facts.name}.{target.target}", target=target.target, group=facts.name)
        for one, target in zip(sequences, targets, strict=True)
    ]


def sequences_of(
    readers: Iterable[Callable[[], list[LabelledSequence]]], *, partial: bool
) -> tuple[list[LabelledSequence], tuple[str, ...]]:
    """The sequences that each reader gives, and a remark on each that is left out.

    Raises:
        DatasetError: one cannot be read, or none can if they may be left out.
    """
    sequences: list[LabelledSequence] = []
    faults: list[DatasetError] = []
    for read in readers:
        try:
            sequences += read()
        except DatasetError as error:
            if not partial:
                raise
            faults.append(error)
    if faults and not sequences:
        raise faults[0]
    return sequences, tuple(f"a sequence is left out: {one.where}: {one.what}" for one in faults)


def _sequence(
    facts: SequenceDescription,
    file: AnnotationFile,
    target: TargetBoxes,
    absent: np.ndarray,
    flagged: np.ndarray,
) -> LabelledSequence:
    return LabelledSequence(
        name=facts.name,
        annotation=counted_from_1(target.boxes, absent, file.base, flagged=flagged),
        base=BASE,
        open_frames=NoFrames(facts.name),
        subset=facts.subset,
        attributes=facts.attributes,
        notes=facts.notes,
        shift=BASE - file.base,
        form=target.form,
        files=tuple(filter(None, (file.path, file.second, *file.absence, *facts.files))),
    )


def _frame_facts(
    facts: SequenceDescription, file: AnnotationFile, target: TargetBoxes, flagged: np.ndarray
) -> FrameFacts:
    """Facts of the frames. Who is absent is unknown where only some files of flags are there."""
    absent, with_absent = target.absent, None
    if file.absence or target.flagged is not None:
        absent = flagged if target.flagged is None else flagged | target.flagged
        with_absent = counted_from_1(target.boxes, target.absent & ~absent, file.base)
    return FrameFacts(
        None if file.lacks_flags else absent,
        with_absent,
        cover_of(file.absence),
        facts.size_wh,
        *_second(file, len(target)),
    )


def _second(file: AnnotationFile, rows: int) -> tuple[np.ndarray | None, str]:
    """``[rows,4]`` annotation of the RGB frames; ``None`` where there is none that fits, with the
    reason if its file is there. Those who need it refuse.
    """
    if file.second is None or not (file.second.is_file() or file.second.is_symlink()):
        return None, ""
    try:
        targets = read_targets(file.second, file.columns)
    except DatasetError as error:
        return None, f"{error.where}: {error.what}"
    found = sum(map(len, targets))
    if len(targets) != 1 or found != rows:
        return None, f"{file.second}: has {counted(found, 'row')}, {file.path.name} has {rows}"
    return counted_from_1(targets[0].boxes, targets[0].absent, file.base), ""


def _with_frames(
    sequence: LabelledSequence, source: Path | None, every: int, file: AnnotationFile
) -> LabelledSequence:
    if source is None:
        return replace(sequence, every=every)
    frames = StoredFrames(source, every, file.frames, file.numbers)
    open_all = replace(frames, every=1) if every > 1 else None
    return replace(sequence, open_frames=frames, every=every, open_all=open_all)


def remarks_of(
    sequences: Sequence[LabelledSequence], *, base_known: bool = False
) -> tuple[str, ...]:
    """Remarks on how annotation was read, each once.

    Args:
        sequences: the sequences.
        base_known: whether the data set is one whose boxes at pixel 0 are published so.
    """
    kinds = (_thinned, _first_alone, _split, *(() if base_known else (_at_pixel_0,)))
    said = [
        remark
        for one in sequences
        for remark in filter(None, (one.form, *(kind(one) for kind in kinds)))
    ]
    total = len(sequences)
    return tuple(f"{one} ({said.count(one)} of {total} sequences)" for one in dict.fromkeys(said))


def _thinned(sequence: LabelledSequence) -> str:
    return f"one annotated frame in {sequence.every}" if sequence.open_all else ""


def _first_alone(sequence: LabelledSequence) -> str:
    """A remark if later frames have no annotation, as in the test part of GOT-10k."""
    is_alone = len(sequence) > 1 and np.isnan(sequence.annotation[1:]).all()
    return "only the first frame is annotated, so scores say nothing" if is_alone else ""


def _split(sequence: LabelledSequence) -> str:
    return "one of several targets of its file" if sequence.group else ""


def _at_pixel_0(sequence: LabelledSequence) -> str:
    """A remark if boxes touch 0 and never lie below: they were clipped at a border in base 0."""
    annotation = sequence.annotation
    corners = annotation[(annotation[:, 2:] > 0).all(axis=1), :2]
    if sequence.file_base == 0 or corners.min(initial=BASE) != 0:
        return ""
    return "boxes at pixel 0 are taken for invalid in base 1, --base 0 if the file counts from 0"


def _frame_count(
    source: Path | None, targets: Iterable[TargetBoxes], file: AnnotationFile
) -> int | None:
    """The number of frames; a video is counted only if the annotation leaves it open."""
    if source is None:
        return None
    is_open = file.sparse or any(one.may_follow or one.separators for one in targets)
    counted = is_open or source.is_dir()
    return count_frames(source, file.frames, file.numbers) if counted else None


def _frames_a_row(rows: int, frames: int | None) -> int:
    dense = frames is not None and math.ceil(frames / SPARSE_EVERY) != rows
    return 1 if dense or frames == rows else SPARSE_EVERY


def counted_from_1(
    boxes: np.ndarray, absent: np.ndarray, base: int, *, flagged: np.ndarray | None = None
) -> np.ndarray:
    """``[T,4]`` annotation in base 1; absent rows are NaN, except ``0,0,0,0`` in base 1.

    These stay because the official toolkits score them as they are, but for rows ``flagged`` by a
    file of absence flags, which the toolkits leave out.
    """
    kept = (boxes == 0).all(axis=1) & (base == BASE)
    if flagged is not None:
        kept &= ~flagged
    offset = np.array([BASE - base, BASE - base, 0, 0], dtype=np.float64)
    return np.where((absent & ~kept)[:, None], np.nan, boxes + offset)


def _check(target: TargetBoxes, absent: np.ndarray, file: AnnotationFile) -> None:
    """Refuse rows that are neither a box nor plainly absent."""
    path = file.path
    if len(target) == 0:
        raise DatasetError("has no row", path, "expected one box a frame")
    boxes = target.boxes[~absent]
    if len(boxes) and (boxes >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 1).all():
        raise DatasetError(
            "all coordinates lie between 0 and 1, so they are shares of the frame",
            path,
            "multiply them by its width and height",
        )
    broken = ~absent & ~np.isfinite(target.boxes).all(axis=1)
    if broken.any():
        raise DatasetError(
            "the box has a number that is not finite", _row(target, broken, path), _WRITE_ABSENT
        )
    flat = ~absent & ~(target.boxes[:, 2:] > 0).all(axis=1)
    if flat.any() and not file.has_flat:
        box = ",".join(map(short_number, target.boxes[int(flat.argmax())].tolist()))
        raise DatasetError(f"the box {box} has no area", _row(target, flat, path), _WRITE_ABSENT)


def _row(target: TargetBoxes, which: np.ndarray, path: Path) -> str:
    index = int(which.argmax())
    return f"{path}, row {target.lines[index] if target.lines else index + 1}"


def _may_be_corners(target: TargetBoxes, absent: np.ndarray) -> bool:
    """Whether the third and fourth number exceed the first two in most rows."""
    boxes = target.boxes[~absent]
    return len(boxes) > 0 and bool(np.mean((boxes[:, 2:] > boxes[:, :2]).all(axis=1)) > 0.5)


def _first_frame(source: Path, options: ReadOptions, *, with_frames: bool) -> np.ndarray | None:
    """The first frame, if it can be read; raises if it needs an option and frames matter."""
    try:
        return next(StoredFrames(source, options=options)(), None)
    except FrameError as error:
        if with_frames and names_option(error):
            raise
        return None


def _check_no_corners(boxes: np.ndarray, frame: np.ndarray | None, path: Path) -> None:
    """Refuse boxes ``[n,4]`` that leave the frame as x,y,w,h and fit it as x1,y1,x2,y2."""
    if frame is None:
        return
    height, width = frame.shape[:2]
    limit = np.array([width, height]) + BASE
    leaves = (boxes[:, :2] + boxes[:, 2:] > limit).any(axis=1)
    fits = (boxes[:, 2:] <= limit).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    if leaves.mean() > 0.5 and fits.mean() > 0.5:
        raise DatasetError(
            f"{leaves.sum()} of {len(boxes)} boxes leave the {width}x{height} frame as x,y,w,h, "
            f"{(~fits).sum()} as x1,y1,x2,y2",
            path,
            f"say which they are with --columns {','.join(CORNERS)} or --columns x,y,w,h, or name "
            "the columns in a first line of the file",
        )
