"""A source in one line, which is stated before work begins."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["bits", "counted", "looks_painted", "source_line", "with_palette"]

_VIVID, _COLOURED = 0.35, 0.2  # mean spread of the channels, share of the range
_ON_CURVE = 0.1  # of the spread: how far colours lie from the mean colour of their brightness
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_LUMA_STEPS = 32
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
