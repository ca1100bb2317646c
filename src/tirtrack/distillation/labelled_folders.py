"""Opens the folders of a supervised training, and describes each in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tirtrack.datasets import AnnotationOptions, LabelledSequence, open_dataset
from tirtrack.datasets.dataset_line import described, in_range
from tirtrack.datasets.stills import INDEX, LabelledStill, open_stills
from tirtrack.distillation.labelled import MIN_SIDE, Labelled, collect, is_usable
from tirtrack.errors import DatasetError, FrameError, RequestError, names_option
from tirtrack.images import IMAGE_KINDS
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed
from tirtrack.source_line import bits, counted, unused_in_words, unused_names

_NO_BOX = f"without a box of at least {MIN_SIDE:g} px"


def open_labelled(
    data: str | Path | Sequence[str | Path],
    still_sources: Sequence[str] | None = None,
    options: ReadOptions = AS_STORED,
) -> Labelled:
    """Stills and sequences of some folders.

    Args:
        data: folders with ``instances.json``, or folders of labelled sequences.
        still_sources: sources of the stills that may be used; all by default.
        options: read options for frames and pictures that do not state their format.

    Raises:
        DatasetError: a folder is missing, has no known layout or no usable box, or its frames do
            not have 8 bits.
        FrameError: frames cannot be read without an option; the message names it.
    """
    folders = [Path(data)] if isinstance(data, str | Path) else [Path(one) for one in data]
    if not folders:
        raise RequestError("no labelled data was given", fix="give at least one folder")
    stills: list[LabelledStill] = []
    sequences: list[LabelledSequence] = []
    lines: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise DatasetError("there is no such folder", folder, "check the path")
        if (folder / INDEX).is_file():
            found, line = _stills(folder, still_sources, options)
            stills += found
        else:
            videos, line = _sequences(folder, options)
            sequences += videos
        lines.append(f"{folder.resolve().name}: {line}")
    return replace(collect(stills, sequences), source_lines=tuple(lines))


def _sequences(folder: Path, options: ReadOptions) -> tuple[Sequence[LabelledSequence], str]:
    opened = open_dataset(folder, options=AnnotationOptions(frames=options))
    description = described(opened)
    for name, info in description.infos.items():
        _check_depth(info.dtype, f"{folder}, {name}")
    left = [one.name for one in opened.sequences if not is_usable(one.boxes).any()]
    without = f"; not used: {counted(len(left), 'sequence')} {_NO_BOX}" if left else ""
    return opened.sequences, description.line + without


def _stills(
    folder: Path, sources: Sequence[str] | None, options: ReadOptions
) -> tuple[Sequence[LabelledStill], str]:
    every = open_stills(folder, options)
    chosen = (every if sources is None else every.only(sources)).stills
    depth = _depth(chosen[0])
    kinds = sorted({IMAGE_KINDS.get(one.path.suffix.lower(), "other") for one in chosen})
    sizes = sorted({one.size_wh for one in chosen}, key=lambda size: size[0] * size[1])
    without = sum(not is_usable(one.boxes).any() for one in chosen)
    given = as_typed(options)
    boxes = sum(len(one.boxes) for one in chosen)
    parts = [
        f"{counted(len(chosen), 'still')} with {boxes} box{'' if boxes == 1 else 'es'}",
        f"{' and '.join(kinds)} files of {in_range([f'{w}x{h}' for w, h in sizes])} by {INDEX}"
        f"{depth}",
        f"read with {given}" if given else "",
    ]
    names = unused_names(folder, [folder / INDEX, *(one.path for one in every.stills)])
    unused = [
        f"{len(every) - len(chosen)} of other sources" if len(every) > len(chosen) else "",
        f"{without} {_NO_BOX}" if without else "",
        unused_in_words(names) if names else "",
    ]
    left = ", ".join(filter(None, unused))
    return chosen, "; ".join(filter(None, [*parts, f"not used: {left}" if left else ""]))


def _depth(still: LabelledStill) -> str:
    """Depth and channels of a still, in words; empty if it is damaged (reported later)."""
    try:
        image = still.image()
    except FrameError as error:
        if names_option(error):
            raise
        return ""
    except DatasetError:
        return ""
    _check_depth(image.dtype, still.path)
    channels = counted(1 if image.ndim == 2 else image.shape[2], "channel")
    return f", the first {bits(image.dtype)}, {channels}"


def _check_depth(dtype: object, where: object) -> None:
    if str(dtype) != "uint8":
        raise DatasetError(
            f"labelled RGB must have 8 bits a channel, got {dtype}",
            where,
            "convert the frames to 8 bits, or leave them out",
        )
