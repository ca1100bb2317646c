"""Reader of data sets in which every sequence is a folder of its own, by the table of layouts.

Sequences may lie directly below the root, in sets below it, or be the root itself. Beside the
annotation may lie files of absence flags and ``attributes.json``, whose true and false values are
attributes and whose texts are notes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tirtrack.datasets.absence import absence_files
from tirtrack.datasets.annotation import (
    BY_LAYOUT,
    AnnotationFile,
    AnnotationOptions,
    SequenceDescription,
    labelled_sequences,
    remarks_of,
    sequences_of,
)
from tirtrack.datasets.benchmark import Benchmark, SequenceReader, published
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.sequence_layouts import (
    ITSELF,
    LAYOUTS,
    ONLY_VIDEO,
    PLAIN,
    RGBT234,
    SequenceLayout,
    layout_of,
)
from tirtrack.datasets.stored_frames import VIDEO_SUFFIXES, count_images, only_video
from tirtrack.errors import DatasetError

ATTRIBUTES = "attributes.json"
PROTOCOL = "lsotb-tir"
_LISTED = 6
_LISTED_ALIKE = {
    "rgbt234": replace(RGBT234, protocol="rgbt234", counts_by="second"),
    "lasher_test": replace(RGBT234, protocol="lasher"),
}
"""Data sets that share a layout, by their lists of sequences."""
VOT_TIR = replace(PLAIN, name="VOT-TIR", protocol="vot-supervised")
VOT_LIST = "list.txt"
_SAYS_VOT_TIR = re.compile(r"(?<![a-z])vot.?(20\d\d)?.?tir", re.IGNORECASE)


def sequence_folders(
    root: Path, layouts: Sequence[SequenceLayout] = LAYOUTS
) -> Iterator[tuple[str, Path, SequenceLayout]]:
    """The set (empty text where there is none), folder and layout of each sequence, by name."""
    if (layout := layout_of(root, layouts)) is not None:
        yield "", root, layout
        return
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        if (layout := layout_of(folder, layouts)) is not None:
            yield "", folder, layout
            continue
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if (layout := layout_of(inner, layouts)) is not None:
                yield folder.name, inner, layout


def sequence_readers(
    root: Path, benchmark: Benchmark, *, with_frames: bool, options: AnnotationOptions
) -> dict[str, SequenceReader]:
    """A reader for every sequence of the benchmark's layout at or below ``root``.

    Args:
        root: the folder of the data set.
        benchmark: the benchmark, which has a layout.
        with_frames: whether frames must be there.
        options: options that override the layout.
    """
    layouts = () if benchmark.layout is None else (benchmark.layout,)
    folders = list(sequence_folders(root, layouts))
    return _readers(root, folders, with_frames=with_frames, options=options)


def open_folders(
    root: Path, *, with_frames: bool = True, options: AnnotationOptions = BY_LAYOUT
) -> LabelledDataset:
    """The sequences at or below ``root``.

    Names that two sets share get their set in front (``SET.SEQUENCE``).

    Args:
        root: the folder of the data set.
        with_frames: whether frames must be there.
        options: options that override the layout.

    Raises:
        DatasetError: there is no sequence, two layouts are mixed, or a sequence does not follow its
            layout; names the file.
    """
    readers = folder_readers(root, with_frames=with_frames, options=options)
    layouts = list(dict.fromkeys(layout for _, _, layout in sequence_folders(root)))
    sequences, left_out = sequences_of(readers.values(), partial=options.partial)
    remarks = (*left_out, *remarks_of(sequences))
    if layouts[0].assumed_base and options.base is None:
        remarks = (f"base {layouts[0].base} is assumed, --base 0 or 1 decides", *remarks)
    own, remark = _own_protocol(root, layouts, sequences)
    names = [own.name, *(one.name for one in layouts[1:])]
    return LabelledDataset(
        root.resolve().name,
        tuple(sequences),
        own.protocol,
        root,
        " and ".join(dict.fromkeys(names)),
        (*remarks, *remark),
        len(left_out),
    )


def _own_protocol(
    root: Path, layouts: Sequence[SequenceLayout], sequences: Sequence[LabelledSequence]
) -> tuple[SequenceLayout, tuple[str, ...]]:
    """The layout of the data set that root and layouts tell, with its own protocol or that of any
    folder; and a remark if the own one is unknown, or no sequence has what it counts by.

    A single sequence without that, or a file of it that is damaged, does not change the protocol:
    who scores by it refuses that sequence.
    """
    own = _by_names(root, layouts[0], sequences)
    of_any = replace(own, protocol=PROTOCOL)
    if own == RGBT234:
        says = " or ".join(f"--protocol {one.protocol}" for one in _LISTED_ALIKE.values())
        return of_any, (
            "RGBT234 and LasHeR look alike, and names of sequences do not tell which it is: "
            f"{says} scores as its toolkit does",
        )
    if own == PLAIN and (root / VOT_LIST).is_file():
        return of_any, (
            f"{VOT_LIST} beside the sequences, as VOT has it: --protocol {VOT_TIR.protocol} scores "
            "as VOT does until 2019",
        )
    if not own.protocol or any(one.protocol != layouts[0].protocol for one in layouts):
        return of_any, ()
    facts = [one.facts for one in sequences]
    if own.counts_by and all(
        getattr(one, own.counts_by) is None and not one.no_second for one in facts
    ):
        files = " and ".join(own.flags or (own.rgb_annotation,))
        return of_any, (f"not scored by {own.protocol}: no sequence has {files}",)
    return own, ()


def _by_names(
    root: Path, layout: SequenceLayout, sequences: Sequence[LabelledSequence]
) -> SequenceLayout:
    """The layout; of data sets that share one, that of the only one whose list has all names, or
    that the name of the folder or of the one above says.
    """
    if layout == PLAIN:
        place = root.resolve()
        says = any(_SAYS_VOT_TIR.search(one) for one in (place.name, place.parent.name))
        return VOT_TIR if says else layout
    if layout != RGBT234:
        return layout
    names = {one.name for one in sequences}
    found = [
        own for stem, own in _LISTED_ALIKE.items() if names <= {one.name for one in published(stem)}
    ]
    return found[0] if len(found) == 1 else layout


def folder_readers(
    root: Path, *, with_frames: bool, options: AnnotationOptions
) -> dict[str, SequenceReader]:
    """A reader for every sequence at or below ``root``, whatever its layout.

    Raises:
        DatasetError: there is no sequence, or two layouts are mixed.
    """
    folders = list(sequence_folders(root))
    _check_alike(root, list(dict.fromkeys(layout for _, _, layout in folders)))
    return _readers(root, folders, with_frames=with_frames, options=options)


def _readers(
    root: Path,
    folders: Sequence[tuple[str, Path, SequenceLayout]],
    *,
    with_frames: bool,
    options: AnnotationOptions,
) -> dict[str, SequenceReader]:
    """A reader for each of the sequences, by its name."""
    names = [root.resolve().name if folder == root else folder.name for _, folder, _ in folders]
    shared = Counter(names)

    def read(
        name: str, subset: str, folder: Path, of_folder: SequenceLayout
    ) -> list[LabelledSequence]:
        content = _content(folder / ATTRIBUTES)
        facts = SequenceDescription(
            name=name,
            subset=subset,
            attributes=_attributes(content),
            notes=_notes(content),
            files=tuple(folder / name for name in (ATTRIBUTES, of_folder.size_file) if name),
            size_wh=_stated_size(folder / of_folder.size_file) if of_folder.size_file else None,
        )
        found = _sequences(facts, folder, of_folder, with_frames=with_frames, options=options)
        _check_rows(content, found[0], folder, of_folder)
        return found

    whole_names = [
        f"{subset}.{name}" if shared[name] > 1 else name
        for name, (subset, _, _) in zip(names, folders, strict=True)
    ]
    return {
        name: partial(read, name, *facts) for name, facts in zip(whole_names, folders, strict=True)
    }


def _check_alike(root: Path, layouts: list[SequenceLayout]) -> None:
    """Refuse layouts whose numbers mean different things."""
    if not layouts:
        raise DatasetError("no labelled sequence in it or in folders below", root)
    if len({(one.base, one.columns, one.sparse) for one in layouts}) > 1:
        names = ", ".join(dict.fromkeys(one.name for one in layouts))
        raise DatasetError(
            f"has sequences of several layouts ({names})", root, "give the folder of one of them"
        )


def _sequences(
    facts: SequenceDescription,
    folder: Path,
    layout: SequenceLayout,
    *,
    with_frames: bool,
    options: AnnotationOptions,
) -> list[LabelledSequence]:
    file = AnnotationFile(
        folder / layout.annotation,
        layout.base,
        layout.columns,
        absence=absence_files(folder),
        lacks_flags=any(not (folder / name).is_file() for name in layout.flags),
        has_flat=layout.has_flat,
        sparse=layout.sparse,
        first_only=layout.first_only,
        second=folder / layout.rgb_annotation if layout.rgb_annotation else None,
    ).with_options(options)
    source = _source(facts.name, folder, layout) if with_frames else _at_hand(folder, layout)
    return labelled_sequences(facts, file, source, with_frames=with_frames)


def _stated_size(path: Path) -> tuple[int, int] | None:
    """Width and height by the line ``resolution: (W, H)`` of a file; ``None`` without one."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    line = re.search(r"^\s*resolution\s*[:=]\s*\(?\s*(\d+)\s*,\s*(\d+)", text, re.MULTILINE)
    return None if line is None else (int(line[1]), int(line[2]))


def _check_rows(
    content: Mapping[str, Any], sequence: LabelledSequence, folder: Path, layout: SequenceLayout
) -> None:
    rows = len(sequence)
    if str(content.get("frames", rows)) != str(rows):
        raise DatasetError(
            f"says {content['frames']} frames, {layout.annotation} has {rows} rows",
            folder / ATTRIBUTES,
            "one row a frame: correct one of the two",
        )


def _find(folder: Path, layout: SequenceLayout) -> Path | None:
    inside = sorted(folder.iterdir(), key=lambda path: (not path.is_dir(), path.name))
    for place in layout.frames:
        if place == ONLY_VIDEO:
            found = only_video(folder)
        elif place == ITSELF:
            found = folder if count_images(folder) else None
        else:
            found = next((path for path in inside if _holds_frames(path, place)), None)
        if found is not None:
            return found
    return None


def _holds_frames(path: Path, called: str) -> bool:
    """Whether a folder or video has that name, in any case, and frames."""
    if path.is_dir():
        return path.name.casefold() == called.casefold() and count_images(path) > 0
    is_video = path.suffix.lower() in VIDEO_SUFFIXES
    return is_video and called.casefold() in (path.name.casefold(), path.stem.casefold())


def _at_hand(folder: Path, layout: SequenceLayout) -> Path | None:
    """The thermal frames, if they are there and can be told from others."""
    try:
        return _find(folder, layout)
    except DatasetError:
        return None


def _source(name: str, folder: Path, layout: SequenceLayout) -> Path:
    """The thermal frames of a sequence."""
    if (found := _find(folder, layout)) is not None:
        return found
    places = [place for place in layout.frames if place not in (ITSELF, ONLY_VIDEO)]
    names = ", ".join(place for place in places if "." not in place)
    raise DatasetError(
        f"no frames of {name}",
        folder,
        f"expected a folder of images or a video called {names}{_beside(folder)}; rename it, or "
        "name the files with --annotation and --frames",
    )


def _beside(folder: Path) -> str:
    """The folders and videos that are there, for a user who has to name one."""
    names = [
        f"{path.name}/" if path.is_dir() else path.name
        for path in sorted(folder.iterdir())
        if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES
    ]
    more = ", ..." if len(names) > _LISTED else ""
    return f" (there are {', '.join(names[:_LISTED])}{more})" if names else ""


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise DatasetError("is not JSON", path, "correct it or remove it") from error
    if not isinstance(content, dict):
        raise DatasetError("is not a JSON object", path, "correct it or remove it")
    return content


def _notes(content: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _attributes(content: Mapping[str, Any]) -> dict[str, int]:
    return {key: int(value) for key, value in content.items() if isinstance(value, bool)}
