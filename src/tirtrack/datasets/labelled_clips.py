"""Labelled clips to train on: stills and sequences of some folders, and one line about each folder.

A :class:`LabelledClip` is made here alone, so that what trains on unlabelled pairs cannot meet one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tirtrack.datasets import AnnotationOptions, LabelledSequence, open_dataset
from tirtrack.datasets.dataset_line import described, in_range
from tirtrack.datasets.stills import INDEX, LabelledStill, open_stills
from tirtrack.datasets.stored_frames import StoredFrames
from tirtrack.errors import DatasetError, FrameError, RequestError, names_option
from tirtrack.files import fingerprint, sha256
from tirtrack.images import IMAGE_KINDS
from tirtrack.read_options import AS_STORED, ReadOptions, as_typed
from tirtrack.source_line import bits, counted, unused_in_words, unused_names

MIN_SIDE = 4.0  # pixels; in smaller labels the sides of the box are too uncertain
_NO_BOX = f"without a box of at least {MIN_SIDE:g} px"


@dataclass(frozen=True)
class LabelledClip:
    """A still with its targets, or a sequence with its one target.

    Attributes:
        name: name that is unique in its folder.
        is_video: whether it is a sequence.
        boxes: ``[K,T,4]`` xywh, 0-based, of K targets in T frames; NaN where a box is absent or too
            small to train on.
        open_frames: function that opens the frames from the first on, 8 bits a channel.
        source: name of the collection that it comes from.
        files: function that lists the files of the frames; none if they are made in memory.
        options: read options for these files.
    """

    name: str
    is_video: bool
    boxes: np.ndarray
    open_frames: Callable[[], Iterator[np.ndarray]]
    source: str
    files: Callable[[], Sequence[Path]] = tuple
    options: ReadOptions = AS_STORED

    def frames(self, wanted: Collection[int]) -> Iterator[tuple[int, np.ndarray, None]]:
        """The wanted frames in order: index, RGB ``[H,W,3]`` uint8, and no TIR. Reading stops after
        the last one.
        """
        last = max(wanted)
        for index, frame in enumerate(self.open_frames()):
            if index in wanted:
                yield index, _as_rgb(frame), None
            if index == last:
                return

    def stamp(self) -> str:
        """Hash of names and content of the files, and of the options; reads every file once."""
        stored = [(path.name, sha256(path)) for path in sorted(self.files())]
        return fingerprint([as_typed(self.options), *stored])


def collect(
    stills: Sequence[LabelledStill], sequences: Sequence[LabelledSequence]
) -> list[LabelledClip]:
    """The stills, then the sequences, with at least one usable box.

    Raises:
        DatasetError: there is no such still or sequence.
    """
    clips = [_of_still(still) for still in stills]
    clips += [_of_sequence(sequence) for sequence in sequences]
    clips = [clip for clip in clips if np.isfinite(clip.boxes).any()]
    if not clips:
        raise DatasetError(
            f"no usable box in {len(stills)} pictures and {len(sequences)} sequences",
            fix=f"boxes must have sides of at least {MIN_SIDE:g} px",
        )
    return clips


def _of_still(still: LabelledStill) -> LabelledClip:
    boxes = still.boxes[is_usable(still.boxes)][:, None]
    return LabelledClip(
        name=still.name,
        is_video=False,
        boxes=boxes,
        open_frames=lambda: iter([still.image()]),
        source=still.source or "stills",
        files=lambda: [still.path],
        options=still.options,
    )


def _of_sequence(sequence: LabelledSequence) -> LabelledClip:
    boxes = np.where(is_usable(sequence.boxes)[:, None], sequence.boxes, np.nan)
    opened = sequence.open_frames
    clip = LabelledClip(
        name=sequence.name,
        is_video=True,
        boxes=boxes[None],
        open_frames=opened,
        source=sequence.name,
    )
    if isinstance(opened, StoredFrames):
        return replace(clip, files=opened.files, options=opened.options)
    return clip


def is_usable(boxes: np.ndarray) -> np.ndarray:
    """``[T]`` bool: which boxes ``[T,4]`` can be trained on: present and not too small."""
    with np.errstate(invalid="ignore"):
        big = boxes[:, 2:].min(axis=1) >= MIN_SIDE
    return np.asarray(np.isfinite(boxes).all(axis=1) & big)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """A grey or colour picture of 8 bits as ``[H,W,3]``."""
    if image.dtype != np.uint8:
        raise DatasetError(
            f"labelled RGB must have 8 bits a channel, got {image.dtype}",
            fix="convert the frames to 8 bits",
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]


# --- folders -------------------------------------------------------------------------------------


def open_labelled(
    data: str | Path | Sequence[str | Path],
    still_sources: Sequence[str] | None = None,
    options: ReadOptions = AS_STORED,
) -> tuple[list[LabelledClip], list[str]]:
    """Stills and sequences of some folders, and one line about each folder.

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
    return collect(stills, sequences), lines


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
