"""Which samples of a stored pixel are the picture, and in which byte order.

Pure functions on decoded arrays. If the file leaves something open, the error names the option that
decides.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tirtrack.errors import FrameError
from tirtrack.palettes import other_palette, without_palette
from tirtrack.read_options import ByteOrder, ReadOptions, refuse_options

__all__ = [
    "check_byte_order",
    "common_dtype",
    "in_byte_order",
    "is_swapped",
    "may_be_swapped",
    "pick_samples",
]

_MAX_SAMPLES = 4
_LEAST_WRAPS = 3  # fewer occur by chance in small frames of noise
_MIN_WRAPS = 0.0002  # share of neighbours
_MORE_WRAPS = 20.0  # times as many as in the other byte order
_FAR = 0x8000  # least difference of neighbours whose low byte, read as the high one, wraps
_ROWS = 8  # rows of a frame that are checked before all of it is
_RARE = 0.001  # of the pixels; the value of a byte in fewer may be that of dead or saturated ones
_MOST_HIGH_BYTES, _WIDEST_HIGH_BYTES = 8, 32  # of one scene in true order: how many, how far apart
_LEAST_LOW_BYTES = 32


def in_byte_order(pixels: np.ndarray, declared: ByteOrder, options: ReadOptions) -> np.ndarray:
    """Pixels whose bytes are swapped where the user names another order than the file.

    Args:
        pixels: any shape, native order, decoded as the file declares it.
        declared: byte order that the file or its format declares.
        options: reading options of the user.
    """
    if options.byte_order in (None, declared) or pixels.dtype.itemsize == 1:
        return pixels
    return pixels.byteswap()


def check_byte_order(
    image: np.ndarray,
    declared: ByteOrder | None,
    options: ReadOptions,
    where: object,
    *,
    is_first: bool = True,
) -> None:
    """Refuse 16-bit counts that are smooth only with their bytes swapped.

    Args:
        image: ``[H,W]`` or ``[H,W,3]``; other types than uint16 pass.
        declared: byte order in which it was read; ``None`` where nothing can be swapped.
        options: reading options; a given byte order is not questioned.
        where: name of the frame, for the message.
        is_first: whether it is the first of its source; of others a few rows are checked first.

    Raises:
        FrameError: the counts make sense only with their bytes swapped, or an order was given for
            samples that have none.
    """
    if declared is None:
        refuse_options(options, ["byte_order"], where)
    elif options.byte_order is None and (is_first or may_be_swapped(image)) and is_swapped(image):
        other = "big" if declared == "little" else "little"
        cure = (
            f"give --byte-order {other} to swap them, or"
            if is_first
            else ("save all frames alike, or give")
        )
        raise FrameError(
            "the 16-bit counts look as if their two bytes were swapped (neighbours lie much nearer "
            "to each other with their bytes swapped)"
            + ("" if is_first else "; those before do not"),
            where,
            f"{cure} --byte-order {declared} to keep them",
        )


def may_be_swapped(image: np.ndarray) -> bool:
    """Whether a few rows of counts ``[H,W]`` or ``[H,W,3]`` look as if their bytes were swapped;
    fast for most frames, whose counts span less than half of the range.
    """
    if image.dtype != np.uint16:
        return False
    rows = image[len(image) // (2 * _ROWS) :: max(1, len(image) // _ROWS)]
    is_wide = int(rows.max()) - int(rows.min()) > _FAR
    return is_wide and _wraps(rows, rows.byteswap()) > 0


def is_swapped(counts: np.ndarray) -> bool:
    """Whether uint16 counts ``[H,W]`` or ``[H,W,3]`` make sense only with their bytes swapped;
    ``False`` for other types.

    Where counts pass a multiple of 256, their low byte wraps. Read as the high byte, it makes
    nearly equal neighbours differ by half of the range. Where they jump over it, as at the edge of
    a hot target, a few low bytes near to each other are left, and many high ones. With one low byte
    the orders cannot be told apart, and need not be: the counts differ by a factor.
    """
    if counts.dtype != np.uint16 or np.ptp(counts & 0xFF) == 0:  # 8 bits, scaled: nothing can wrap
        return False
    swapped = counts.byteswap()
    least = max(_LEAST_WRAPS, _MIN_WRAPS * counts.size, _MORE_WRAPS * _wraps(swapped, counts))
    return _wraps(counts, swapped) > least or _has_few_low_bytes(counts)


def _has_few_low_bytes(counts: np.ndarray) -> bool:
    """Whether low bytes are as few and as near to each other as the high ones of a scene are, and
    high bytes as many as the low ones.
    """
    few, many = _common_bytes(counts & 0xFF), _common_bytes(counts >> 8)
    are_few = 1 < few.size <= _MOST_HIGH_BYTES and few[-1] - few[0] < _WIDEST_HIGH_BYTES
    return bool(are_few and many.size >= _LEAST_LOW_BYTES)


def _common_bytes(values: np.ndarray) -> np.ndarray:
    """The values, in order, that more than a few pixels have."""
    found, counts = np.unique(values, return_counts=True)
    return found[counts > _RARE * values.size]


def _wraps(counts: np.ndarray, swapped: np.ndarray) -> int:
    """How many neighbours in a row are far apart, and near each other when swapped; those at an end
    of the range may be saturated and do not count.
    """
    steps, near = (np.abs(np.diff(one.astype(np.int32), axis=1)) for one in (counts, swapped))
    is_inside = (counts != 0) & (counts != np.iinfo(np.uint16).max)
    return int(((steps > _FAR) & (near < 0x100) & is_inside[:, 1:] & is_inside[:, :-1]).sum())


def pick_samples(
    pixels: np.ndarray, options: ReadOptions, where: object, *, is_colour: bool = True
) -> np.ndarray:
    """``[H,W]`` or ``[H,W,3]`` of ``[H,W]`` or ``[H,W,samples]``.

    Args:
        pixels: pixels as stored.
        options: reading options; they name the sample if the file leaves the picture open.
        where: name of the frame, for the message.
        is_colour: whether three samples and more are RGB and perhaps alpha; else they are bands.

    Raises:
        FrameError: no such sample, more than four of them, an alpha channel that is not constant,
            bands that differ, or a palette was named and they are no colours of 8 bits, or those of
            another palette.
    """
    if options.palette is not None:
        if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
            refuse_options(options, ["palette"], where)
        if (other := other_palette(pixels, options.palette)) is not None:
            raise FrameError(
                f"the picture is painted with the palette {other}, not {options.palette}",
                where,
                f"give --palette {other}",
            )
        return without_palette(pixels, options.palette)
    if options.channel is not None:
        return _named_sample(pixels, options.channel, where)
    if pixels.ndim == 2:
        return pixels
    count = pixels.shape[2]
    if count > _MAX_SAMPLES:
        raise FrameError(
            f"every pixel has {count} samples: channels, or frames that were stored as bands",
            where,
            f"choose one with --channel 0 to {count - 1}, or save each frame as a page of its own",
        )
    if not is_colour and count > 1 and _differ(pixels):
        raise FrameError(
            f"every pixel has {count} samples: colours, or frames that were stored as bands",
            where,
            f"choose one with --channel 0 to {count - 1}, or save each frame as a page of its own",
        )
    if count in (2, 4) and is_colour and _varies(pixels[..., -1]):
        low, high = pixels[..., -1].min(), pixels[..., -1].max()
        raise FrameError(
            f"the alpha channel is not constant ({low} to {high}), so it may be the picture",
            where,
            f"give --channel {count - 1} for it, or --channel 0 for the first one",
        )
    kept = pixels[..., 0] if count < 3 else pixels[..., :3]
    return np.ascontiguousarray(kept)


def _named_sample(pixels: np.ndarray, channel: int, where: object) -> np.ndarray:
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channel >= count:
        raise FrameError(
            f"every pixel has {count} sample{'' if count == 1 else 's'}, there is no {channel}",
            where,
            f"give --channel 0{'' if count == 1 else f' to {count - 1}'}",
        )
    return pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., channel])


def _varies(plane: np.ndarray) -> bool:
    return bool((plane != plane.flat[0]).any())


def _differ(pixels: np.ndarray) -> bool:
    """Whether a band after the first has content of its own."""
    first = pixels[..., 0]
    return any(
        _varies(band) and not np.array_equal(band, first)
        for band in np.moveaxis(pixels[..., 1:], -1, 0)
    )


def common_dtype(pixels: np.ndarray) -> np.ndarray:
    """Pixels as uint8, uint16, float32 or float64, without losing a value."""
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize <= 2:
        return pixels.astype(pixels.dtype.newbyteorder("="))
    return pixels.astype(np.float32 if pixels.dtype.itemsize <= 2 else _float_of(pixels))


def _float_of(pixels: np.ndarray) -> type[np.floating[Any]]:
    return np.float32 if pixels.dtype.kind == "f" and pixels.dtype.itemsize == 4 else np.float64
