"""What a source is, in one line that is said before work begins."""

from __future__ import annotations

import numpy as np

__all__ = ["counted", "looks_painted", "source_line"]

_PAINTED = 0.35  # mean spread of the channels; 2 in 100 photographs reach it, most palettes do
_PALETTE = "colours like a palette painted over thermal grey, logos and scales burnt in"


def looks_painted(image: np.ndarray) -> bool:
    """Whether colours are as strong as those of a palette and hardly ever those of a scene.

    Args:
        image: ``[H,W]`` or ``[H,W,3]``, uint8 or uint16.
    """
    if image.ndim == 2 or image.dtype.kind != "u":
        return False
    sample = image[::2, ::2].astype(np.float32)
    spread = sample.max(axis=2) - sample.min(axis=2)
    return bool(spread.mean() > _PAINTED * np.iinfo(image.dtype).max)


def counted(count: int, thing: str) -> str:
    """A number with its noun.

    >>> counted(1, "frame"), counted(12, "frame")
    ('1 frame', '12 frames')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


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
        what: kind and number of its frames, and their order.
        image: ``[H,W]`` or ``[H,W,3]``, its first frame.
        fps: frames per second, where known.
        layout: how the frames lie in the file, where that has to be said.
        unused: parts of the source that are not read.

    >>> source_line("TIFF file of 8 frames", np.zeros((96, 128), np.uint16), unused=("1 page",))
    'TIFF file of 8 frames, 128x96, 16 bit, 1 channel; not used: 1 page'
    """
    channels = 1 if image.ndim == 2 else image.shape[2]
    bits = f"{8 * image.dtype.itemsize} bit{' float' if image.dtype.kind == 'f' else ''}"
    parts = [what, f"{image.shape[1]}x{image.shape[0]}", bits, counted(channels, "channel")]
    if fps:
        parts.append(f"{fps:.4g} frames/s")
    parts += [layout] if layout else []
    parts += [_PALETTE] if looks_painted(image) else []
    left_out = f"; not used: {', '.join(unused)}" if unused else ""
    return ", ".join(parts) + left_out
