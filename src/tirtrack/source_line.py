"""A source in one line, which is stated before work begins, and what of it is not used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "bits",
    "counted",
    "looks_painted",
    "source_line",
    "unused_in_words",
    "unused_names",
    "with_palette",
]

_VIVID, _COLOURED = 0.35, 0.2  # mean spread of the channels, share of the range
_ON_CURVE = 0.1  # of the spread: how far colours lie from the mean colour of their brightness
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LUMA_STEPS = 32
_LISTED = 3
_PALETTE = "colours like a palette painted over thermal grey, logos and scales burnt in"


def looks_painted(image: np.ndarray) -> bool:
    """Whether colours look like those of a palette rather than those of a scene.

    They are as vivid as most palettes, or brightness alone decides the colour. (Of 546 photographs
    of things in daylight 4 in 100 look so, of 173 road scenes none.)

    Args:
        image: ``[H,W]`` or ``[H,W,3]``, uint8 or uint16.
    """
    if image.ndim == 2 or image.dtype.kind != "u":
        return False
    pixels = image[::2, ::2].reshape(-1, 3).astype(np.float32) / np.iinfo(image.dtype).max
    brightest = np.maximum(np.maximum(pixels[:, 0], pixels[:, 1]), pixels[:, 2])
    darkest = np.minimum(np.minimum(pixels[:, 0], pixels[:, 1]), pixels[:, 2])
    spread = float((brightest - darkest).mean())
    if spread > _VIVID:
        return True
    return spread > _COLOURED and _off_curve(pixels) < _ON_CURVE * spread


def _off_curve(pixels: np.ndarray) -> float:
    """Mean distance of colours ``[N,3]`` in [0, 1] from the mean colour of their brightness."""
    step = np.minimum((pixels @ _LUMA * _LUMA_STEPS).astype(np.int64), _LUMA_STEPS)
    count = np.maximum(np.bincount(step), 1)
    differences = [pixels[:, channel] - pixels[:, 1] for channel in (0, 2)]
    means = [np.bincount(step, one) / count for one in differences]
    off = [np.abs(one - mean[step]).mean() for one, mean in zip(differences, means, strict=True)]
    return float(np.mean(off))


def counted(count: int, thing: str) -> str:
    """A number with its noun.

    >>> counted(1, "frame"), counted(12, "frame")
    ('1 frame', '12 frames')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


def are_or_is(count: int) -> str:
    """The verb for some of several.

    >>> are_or_is(1), are_or_is(12)
    ('is', 'are')
    """
    return "is" if count == 1 else "are"


def bits(dtype: np.dtype[Any]) -> str:
    """Depth of samples, in words.

    >>> bits(np.dtype("uint16")), bits(np.dtype("float32"))
    ('16 bit', '32 bit float')
    """
    return f"{8 * dtype.itemsize} bit{' float' if dtype.kind == 'f' else ''}"


def with_palette(layout: str, image: np.ndarray) -> str:
    """How frames lie in their file, and that their colours are those of a palette if they are."""
    return ", ".join(filter(None, (layout, _PALETTE if looks_painted(image) else "")))


def source_line(
    what: str,
    image: np.ndarray,
    *,
    fps: float | None = None,
    layout: str = "",
    unused: tuple[str, ...] = (),
) -> str:
    """A source in one line.

    Args:
        what: kind, number and order of its frames.
        image: ``[H,W]`` or ``[H,W,3]``, its first frame.
        fps: frames per second, if known.
        layout: further remarks on the frames, as :func:`with_palette` gives them.
        unused: parts of the source that are not read.

    >>> source_line("TIFF file of 8 frames", np.zeros((96, 128), np.uint16), unused=("1 page",))
    'TIFF file of 8 frames, 128x96, 16 bit, 1 channel; not used: 1 page'
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    size = f"{image.shape[1]}x{image.shape[0]}"
    parts = [what, size, bits(image.dtype), counted(channels, "channel")]
    if fps:
        parts.append(f"{fps:.4g} frames/s")
    parts += [layout] if layout else []
    left_out = f"; not used: {', '.join(unused)}" if unused else ""
    return ", ".join(parts) + left_out


def unused_names(folder: Path, used: Iterable[Path]) -> list[str]:
    """Names of files and folders at or below a folder that are unused and hold nothing used.

    A folder in which nothing is used is given by its name alone, with a slash at its end. Hidden
    files and folders do not count.

    Args:
        folder: folder to search.
        used: files that are read; those elsewhere are ignored.
    """
    kept = {path.absolute() for path in used}
    opened = _folders_above(kept, folder.absolute())
    known = kept | opened
    names = []
    for place in sorted(opened):
        with os.scandir(place) as entries:
            left = [one for one in entries if Path(one.path) not in known]
            names += sorted(f"{one.name}/" if one.is_dir() else one.name for one in left)
    return [name for name in names if not name.startswith(".")]


def _folders_above(files: Iterable[Path], folder: Path) -> set[Path]:
    """The folder and those below it that lead to the files."""
    found = {folder}
    for above in {file.parent for file in files}:
        if above.is_relative_to(folder):
            found |= {above, *(one for one in above.parents if one.is_relative_to(folder))}
    return found


def unused_in_words(names: Sequence[str]) -> str:
    """The number of files and folders, and the most frequent names.

    >>> unused_in_words(["visible/", "init.txt", "visible/", "init.txt", "index.json"])
    '3 files and 2 folders (init.txt 2 times, visible/ 2 times, index.json)'
    """
    folders = sum(name.endswith("/") for name in names)
    counts = [(len(names) - folders, "file"), (folders, "folder")]
    said = " and ".join(counted(count, thing) for count, thing in counts if count)
    by_name = Counter(sorted(names)).most_common()
    listed = [name if count == 1 else f"{name} {count} times" for name, count in by_name[:_LISTED]]
    return f"{said} ({', '.join([*listed, '...'] if len(by_name) > _LISTED else listed)})"
