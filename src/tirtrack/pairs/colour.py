"""Colourfulness of pictures; refuses swapped cameras, palettes, and one picture given as both
modalities.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from tirtrack.errors import PairsError
from tirtrack.palettes import palette_of

MAX_PALETTE = 0.04
GREY = 0.008
MAX_COPY = 0.02
_SMALL = 32
SWAP = "exchange the two, or name them the other way round with --rgb NAME --tir NAME"


def colour(image: np.ndarray) -> float:
    """Mean difference between the channels of ``[H,W,3]``, share of the range; 0 for ``[H,W]``."""
    if image.ndim == 2:
        return 0.0
    sampled = image[::4, ::4, :3].astype(np.float32)
    apart = (sampled.max(axis=2) - sampled.min(axis=2)).mean()
    return float(apart / _whole_range(image))


def red_from_blue(image: np.ndarray) -> float:
    """Mean difference of red and blue of ``[H,W,3]``, share of the range."""
    apart = np.abs(image[::4, ::4, 0].astype(np.float32) - image[::4, ::4, 2]).mean()
    return float(apart / _whole_range(image))


def _whole_range(image: np.ndarray) -> float:
    return np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1.0


def refuse_colour(tir_colour: float, where: str) -> None:
    """Refuse a colour picture without a partner: it may be RGB, or TIR painted with a palette.

    Args:
        tir_colour: mean difference between its channels, share of the range.
        where: the file, for the message.

    Raises:
        PairsError: the picture is in colour.
    """
    if tir_colour > GREY:
        raise PairsError(
            "these frames are in colour, so they are not taken for TIR",
            where,
            "for pairs, give the folder that holds both cameras, or name them with --rgb NAME "
            "--tir NAME, or say --layout side-by-side or stacked if each picture holds both; if "
            "TIR is painted with a palette, export it as grey, white-hot",
        )


def refuse_palette(tir: np.ndarray, where: str) -> None:
    """Refuse TIR that is painted with a known palette, and say how to undo it.

    Args:
        tir: TIR picture as read.
        where: the file, for the message.

    Raises:
        PairsError: it is; names the palette and the option.
    """
    if tir.ndim == 2 or red_from_blue(tir) <= MAX_PALETTE:
        return
    name = palette_of(tir)
    if name is not None:
        raise PairsError(
            f"TIR is painted with the palette {name}",
            where,
            f"give --palette {name} to read the grey levels behind it, or export TIR as grey, "
            "white-hot",
        )


def refuse_copy(rgb: np.ndarray, tir: np.ndarray, where: str) -> None:
    """Refuse a colour copy of the RGB picture in place of TIR, whatever its size and compression;
    grey copies only cause a warning.

    Args:
        rgb: RGB picture ``[H,W]`` or ``[H,W,3]``, as stored.
        tir: TIR picture, as stored.
        where: the files, for the message.

    Raises:
        PairsError: both are the same picture.
    """
    if rgb.ndim == 2 or tir.ndim == 2 or red_from_blue(tir) <= MAX_PALETTE:
        return
    small_rgb, small_tir = _small(rgb), _small(tir)
    orders = (small_tir, small_tir[:, :, ::-1])  # red and blue may have been exchanged
    if min(float(np.abs(small_rgb - one).mean()) for one in orders) < MAX_COPY:
        raise PairsError(
            "RGB and TIR are the same colour picture", where, "put the thermal frames there"
        )


def _small(image: np.ndarray) -> np.ndarray:
    """``[32,32,3]`` means of ``[H,W,3]``, share of the range."""
    planes = [Image.fromarray(image[:, :, one].astype(np.float32)) for one in range(3)]
    small = [plane.resize((_SMALL, _SMALL), Image.Resampling.BOX) for plane in planes]
    return np.stack([np.asarray(plane) for plane in small], axis=2) / _whole_range(image)


def refuse_swapped(rgb: np.ndarray, tir: np.ndarray, where: str) -> None:
    """Refuse a colour picture in place of TIR beside a grey one in place of RGB.

    Args:
        rgb: RGB picture ``[H,W]`` or ``[H,W,3]``, as stored.
        tir: TIR picture, the same.
        where: the files, for the message.

    Raises:
        PairsError: they look swapped.
    """
    if tir.ndim == 2 or colour(rgb) > GREY:
        return
    is_deep = rgb.dtype != np.uint8 and tir.dtype == np.uint8
    if red_from_blue(tir) > MAX_PALETTE or (is_deep and colour(tir) > GREY):
        depth = f" of {rgb.dtype}" if is_deep else ""
        raise PairsError(
            f"TIR is in colour and RGB is grey{depth}: the cameras look swapped",
            where,
            f"{SWAP}; if TIR is painted with a palette, export it as grey, white-hot",
        )
