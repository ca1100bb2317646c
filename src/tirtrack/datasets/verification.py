"""Compares a folder with what is published about its data set, and reads every image in it.

Nothing is written, and nothing stops at the first fault: every sequence is looked at. What a data
set is known for (frames whose box is invalid, a sequence under a wrong name) is told apart from
what is missing or damaged here. Begin with :func:`verify_dataset`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, computed_field

from tirtrack.datasets import benchmarks
from tirtrack.datasets.annotation import BY_LAYOUT, AnnotationOptions
from tirtrack.datasets.benchmark import Benchmark, ListedSequence, SequenceReader
from tirtrack.datasets.box_text import read_targets
from tirtrack.datasets.by_name import expected_names
from tirtrack.datasets.roots import root_of
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.sequence_layouts import SequenceLayout, expected_layouts
from tirtrack.datasets.stored_frames import StoredFrames, count_images, image_files
from tirtrack.errors import DatasetError, FrameError, RequestError, did_you_mean
from tirtrack.media import frames_and_faults
from tirtrack.progress import Progress, silent
from tirtrack.readers import BadFrame
from tirtrack.source_line import counted
from tirtrack.workers import check_workers, results_of

_LISTED = 3


class Images(StrEnum):
    """How many images are decoded."""

    ALL = "all"
    FIRST = "first"
    NONE = "none"


class Finding(BaseModel):
    """Something that is missing or damaged.

    Attributes:
        sequence: name of the sequence; empty if it is about the whole data set.
        where: file or folder.
        what: the fault.
        fix: what to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence: str
    where: str
    what: str
    fix: str


class Known(BaseModel):
    """Something odd that the published data have too.

    Attributes:
        sequence: name of the sequence; empty if it is about many.
        what: the oddity.
        source: where it is documented.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence: str
    what: str
    source: str


class Verification(BaseModel):
    """What was found in the folder of a data set.

    Attributes:
        name: name of the data set.
        title: the data set in words.
        root: its folder.
        described: where the data set is described and can be had.
        names_from: the list that names were compared with: ``published``, a file of the data, or
            empty if there is none.
        published: number of sequences by the list or the publication; 0 if neither says it.
        sequences: number of sequences that could be read.
        frames: number of their annotated frames.
        images: number of images and frames of videos that were decoded.
        findings: what is missing or damaged, by sequence.
        known: what is odd and published so.
        unlisted: sequences that are there and on no list; they are not used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    title: str
    root: str
    described: str
    names_from: str
    published: int
    sequences: int
    frames: int
    images: int
    findings: tuple[Finding, ...]
    known: tuple[Known, ...]
    unlisted: tuple[str, ...]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def whole(self) -> bool:
        """Whether nothing is missing or damaged."""
        return not self.findings


def verify_dataset(
    name: str | Benchmark,
    root: str | Path | None = None,
    *,
    images: str = Images.ALL,
    options: AnnotationOptions = BY_LAYOUT,
    workers: int = 1,
    progress: Progress = silent,
) -> Verification:
    """What of a data set is missing, damaged or not as published.

    Args:
        name: name of the data set, or ``folder`` for any labelled sequences; or a data set that is
            described by the caller.
        root: its folder; by default ``TIRTRACK_DATA`` says where it is.
        images: ``all`` decodes every image, ``first`` the first of each sequence, ``none`` none.
        options: options that override the layout.
        workers: number of processes that decode images.
        progress: callback, called after each sequence.

    Raises:
        RequestError: the name or the way of reading images is unknown, or there are no workers.
        DatasetError: there is no such folder.
    """
    benchmark = name if isinstance(name, Benchmark) else benchmarks.get(name)
    if images not in list(Images):
        raise RequestError(f'no way "{images}" of reading images', fix=did_you_mean(images, Images))
    check_workers(workers)
    place = root_of(benchmark, root)
    readers = benchmark.reader(place, benchmark, with_frames=True, options=options)
    bare = benchmark.reader(place, benchmark, with_frames=False, options=options)
    names = expected_names(benchmark, place)
    facts = {one.name: one for one in benchmark.sequences}
    report = _Report(benchmark, place)
    report.check_number(len(names), len(readers))
    chosen = names or tuple(readers)
    for done, one in enumerate(chosen):
        progress("annotation", done, len(chosen), one)
        listed = facts.get(one, ListedSequence(one))
        if one not in readers:
            report.missing(listed)
        else:
            report.read(listed, readers[one], bare[one])
    progress("annotation", len(chosen), len(chosen))
    report.read_images(Images(images), workers, progress)
    own_list = benchmark.list_file if names else ""
    return Verification(
        name=benchmark.name,
        title=benchmark.title,
        root=str(place),
        described=benchmark.described,
        names_from="published" if benchmark.sequences else own_list,
        published=len(benchmark.sequences) or benchmark.count,
        sequences=report.sequences,
        frames=report.frames,
        images=report.images,
        findings=tuple(report.findings),
        known=(*report.known, *_known(benchmark)),
        unlisted=tuple(one for one in readers if names and one not in names),
    )


def _known(benchmark: Benchmark) -> Iterator[Known]:
    for one in benchmark.errors:
        yield Known(sequence=one.sequence, what=one.what, source=one.source)


@dataclass(frozen=True)
class _ToRead:
    """Frames of a sequence that are still to be read.

    Attributes:
        name: the sequence.
        rows: frames that the annotation asks for; 0 if their number is not compared.
        frames: the frames.
        size_wh: size that the data set states, if it states one.
    """

    name: str
    rows: int
    frames: StoredFrames
    size_wh: tuple[int, int] | None = None


@dataclass
class _Report:
    """The findings so far, and the frames that are still to be read."""

    benchmark: Benchmark
    root: Path
    sequences: int = 0
    frames: int = 0
    images: int = 0
    findings: list[Finding] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    to_read: list[_ToRead] = field(default_factory=list)

    def add(self, sequence: str, where: object, what: str, fix: str) -> None:
        """Note that something is missing or damaged."""
        self.findings.append(Finding(sequence=sequence, where=str(where), what=what, fix=fix))

    def add_error(self, sequence: str, error: DatasetError | FrameError) -> None:
        """Note what a reader refused."""
        self.add(sequence, error.where or self.root, error.what, error.fix or self.get)

    @property
    def get(self) -> str:
        """Where the data set is described and can be had."""
        return f"get it again: {self.benchmark.described}"

    def check_number(self, listed: int, found: int) -> None:
        """Compare the number of sequences with the published one, where names are not known."""
        expected = self.benchmark.count
        if found == 0:
            self.add(
                "", self.root, f"no sequence of {self.benchmark.title}", self._expected("NAME")
            )
        number, by = (listed, self.benchmark.list_file) if listed else (found, "the folder")
        if expected and number != expected:
            what = f"{by} has {counted(number, 'sequence')}, {self.benchmark.title} {expected}"
            self.add("", self.root, what, self.get)

    def missing(self, listed: ListedSequence) -> None:
        """Note that a listed sequence is not there."""
        frames = "" if listed.frames is None else f", {listed.frames} frames by the list"
        known = "".join(
            f"; known: {one.what} ({one.source})"
            for one in self.benchmark.errors
            if one.sequence == listed.name
        )
        there = " (a folder of that name is)" if (self.root / listed.name).is_dir() else ""
        self.add(
            listed.name,
            self.root,
            f"the annotation of this sequence is not there{there}{frames}",
            f"{self._expected(listed.name, listed.annotation)}; {self.get}{known}",
        )

    def _expected(self, name: str, annotation: str = "") -> str:
        layout = self.benchmark.layout
        if self.benchmark.name == "folder":
            return f"expected anno/SEQUENCE.txt, {expected_layouts()}"
        usual = f"anno/{name}.txt"
        if layout is not None:
            usual = f"{name}/{layout.annotation}, here or in a folder of this one"
        return f"expected {annotation or usual}"

    def read(self, listed: ListedSequence, full: SequenceReader, bare: SequenceReader) -> None:
        """Read a sequence with its frames, or else its annotation alone, and compare it."""
        try:
            found = full()
        except (DatasetError, FrameError) as error:
            found = self._without_frames(listed, error, bare)
        self.sequences += bool(found)
        for one in found:
            self.frames += len(one)
            self._compare(listed, one)
            if isinstance(frames := one.open_all or one.open_frames, StoredFrames):
                rows = len(one) * one.every
                self.to_read.append(_ToRead(one.name, rows, frames, one.facts.size_wh))
        if found and (layout := self.benchmark.layout) is not None:
            self._compare_beside(found[0], layout)

    def _without_frames(
        self, listed: ListedSequence, error: DatasetError | FrameError, bare: SequenceReader
    ) -> list[LabelledSequence]:
        try:
            found = bare()
        except (DatasetError, FrameError):
            found = []
        gaps = _missing_images(found[0], listed) if found else ""
        self.add(listed.name, error.where or self.root, error.what + gaps, error.fix or self.get)
        return found

    def _compare(self, listed: ListedSequence, found: LabelledSequence) -> None:
        path = found.files[0] if found.files else self.root
        if listed.frames is not None and len(found) != listed.frames:
            rows = counted(len(found), "row")
            what = f"has {rows}, the published annotation {listed.frames}"
            self.add(found.name, path, what, self.get)
        empty = np.flatnonzero(np.isnan(found.annotation).any(axis=1))
        if len(empty) and not self.benchmark.has_absent:
            rows = counted(len(empty), "row")
            what = f"{rows} without a box, the first is row {empty[0] + 1}"
            self.add(found.name, path, what, "the published annotation has a box in every row")
        invalid = int((found.annotation <= 0).any(axis=1).sum())
        if listed.invalid is not None and invalid != listed.invalid:
            what = (
                f"{invalid} boxes have a value of 0 or less, in the published annotation "
                f"{listed.invalid}"
            )
            self.add(found.name, path, what, self.get)
        elif listed.invalid:
            what = (
                f"{invalid} boxes have a value of 0 or less: misses in success, hits in precision"
            )
            source = f"annotation of {self.benchmark.described}; docs/protocols.md"
            self.known.append(Known(sequence=found.name, what=what, source=source))

    def _compare_beside(self, found: LabelledSequence, layout: SequenceLayout) -> None:
        """Look for the files of flags, and compare the RGB half with the thermal one."""
        folder = found.files[0].parent
        for name in layout.flags:
            if not (folder / name).is_file():
                self.add(found.name, folder / name, "no such file of flags", self.get)
        if not layout.rgb:
            return
        images, thermal = folder / layout.rgb, found.open_all or found.open_frames
        count = count_images(images)
        if isinstance(thermal, StoredFrames) and count != len(thermal.files()):
            what = f"has {counted(count, 'RGB image')}, {len(thermal.files())} thermal ones"
            self.add(found.name, images, what, f"complete them, or {self.get}")
        if count:
            self.to_read.append(_ToRead(found.name, count, StoredFrames(images)))
        path = folder / layout.rgb_annotation
        if not layout.rgb_annotation:
            return
        try:
            rows = len(read_targets(path, layout.columns)[0])
        except DatasetError as error:
            self.add_error(found.name, error)
            return
        if rows != len(found):
            what = f"has {counted(rows, 'row')}, {found.files[0].name} has {len(found)}"
            self.add(found.name, path, what, self.get)

    def read_images(self, depth: Images, workers: int, progress: Progress) -> None:
        """Decode the frames of the sequences that could be read."""
        if depth is Images.NONE:
            return
        first_only = depth is Images.FIRST
        unique = {one.frames: one for one in self.to_read}
        make = partial(_ReadImages, first_only)
        items = list(unique)
        faults: dict[int, Sequence[Finding]] = {}
        found = results_of(make, items, workers, task="reads images", where=str(self.root))
        for done, (place, read) in enumerate(found, start=1):
            one = unique[items[place]]
            self.images += read.count
            faults[place] = list(_image_findings(one, read, self.get, first_only=first_only))
            progress("images", done, len(items), one.name)
        self.findings += [one for place in sorted(faults) for one in faults[place]]


def _image_findings(
    asked: _ToRead, read: _ImagesRead, get: str, *, first_only: bool
) -> Iterator[Finding]:
    source = asked.frames.source
    found = partial(Finding, sequence=asked.name, fix=get)
    for error in read.errors:
        yield found(where=str(error.where or source), what=error.what)
    is_short = source.is_file() and not read.errors and read.count != asked.rows
    if is_short and not first_only:
        what = f"the video has {read.count} frames, its annotation {asked.rows} rows"
        yield found(where=str(source), what=what)
    if None not in (asked.size_wh, read.size_wh) and asked.size_wh != read.size_wh:
        (w, h), (stated_w, stated_h) = read.size_wh or (0, 0), asked.size_wh or (0, 0)
        what = f"the frames are {w}x{h}, the data set states {stated_w}x{stated_h}"
        yield found(where=str(source), what=what)


def _missing_images(found: LabelledSequence, listed: ListedSequence) -> str:
    """Which numbers lack in the names of a sequence's images, in words; empty if none can be told.

    Counting begins with the listed number, or with the first that is there if it is smaller.
    """
    frames = found.open_frames
    if not isinstance(frames, StoredFrames) or not frames.source.is_dir():
        return ""
    files = image_files(frames.source, frames.numbers)
    if not files or not all(path.stem.isdecimal() for path in files):
        return ""
    there = {int(path.stem) for path in files}
    first = min(listed.first, min(there))
    lacking = [number for number in range(first, first + len(found)) if number not in there]
    if not lacking:
        return ""
    more = f" and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
    return f"; there is no image number {', '.join(map(str, lacking[:_LISTED]))}{more}"


@dataclass(frozen=True)
class _ImagesRead:
    """Frames of a source: how many there are, what cannot be read, and their size."""

    count: int
    errors: list[FrameError]
    size_wh: tuple[int, int] | None


@dataclass(frozen=True)
class _ReadImages:
    """Decodes the frames of a source."""

    first_only: bool

    def __call__(self, frames: StoredFrames) -> _ImagesRead:
        errors: list[FrameError] = []
        count = 0
        size_wh = None
        end = 1 if self.first_only else None
        try:
            for one in frames_and_faults(frames.opened, end=end, options=frames.options):
                if isinstance(one, BadFrame):
                    errors.append(one.error)
                    continue
                count += 1
                height, width = one.image.shape[:2]
                size_wh = (width, height)
        except FrameError as error:
            errors.append(error)
        return _ImagesRead(count, errors, size_wh)
