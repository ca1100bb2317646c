"""Turns two images as stored into a pair on the RGB grid.

Without a rig both modalities must show the same field of view; if the two grids differ in size but
not in aspect ratio, TIR is resampled. With a rig TIR is read where the rig says.
"""

from __future__ import annotations

import numpy as np

from tirtrack.crops import MappedFrame
from tirtrack.errors import PairsError
from tirtrack.pairs.colour import MAX_PALETTE, refuse_colour, refuse_copy, refuse_swapped
from tirtrack.pairs.recordings import Take
from tirtrack.pairs.rig import Rig, grid_places
from tirtrack.pairs.source import Pair
from tirtrack.palettes import PALETTES
from tirtrack.resampling import resampled_at
from tirtrack.valid_pixels import marked, valid_mask

ASPECT_TOLERANCE_PX = 2.0
_WHOLLY = 0.999  # share of a resampled pixel that must be measured


def fitted(
    take: Take,
    position: int,
    rgb: np.ndarray | None,
    tir: np.ndarray,
    no_data: float | None = None,
    *,
    rig: Rig | None = None,
    any_aspect: bool = False,
) -> Pair:
    """The pair of two images as stored, both on the RGB grid; TIR alone stays as it is.

    Args:
        take: recording of the two images.
        position: place of the pair in the recording, 0-based.
        rgb: RGB image as stored; ``None`` for TIR alone.
        tir: TIR image as stored.
        no_data: value of TIR pixels that hold no measurement.
        rig: where RGB pixels lie in TIR; ``None``: both show the same field of view.
        any_aspect: whether TIR of another aspect ratio is stretched onto the RGB grid.
    """
    where = take.where(position)
    tir_colour = take.tir_colour(position, tir)
    if rgb is None:
        refuse_colour(tir_colour, where)
    else:
        refuse_swapped(rgb, tir, where)
        refuse_copy(rgb, tir, where)
        rgb = as_rgb(rgb, where)
    stored = as_tir(tir, where)
    measured = marked(stored, no_data)
    mapped = None
    tir = measured
    filled = _filled(stored, no_data, stored.shape)
    if rgb is not None and rig is not None:
        rig.check_sizes(rgb.shape, stored.shape, where)
        mapped = MappedFrame(measured, rig.places, (rgb.shape[0], rgb.shape[1]))
        tir, filled = _registered(measured, filled, rig)
    elif rgb is not None:
        tir = onto_rgb_grid(rgb, measured, where, any_aspect=any_aspect)
        filled = _filled(stored, no_data, tir.shape)
    return Pair(
        key=f"{take.name}/{take.stem(position)}",
        recording=take.name,
        position=position,
        rgb=rgb,
        tir=tir,
        tir_stored_wh=None if tir is measured else (stored.shape[1], stored.shape[0]),
        tir_stored_dtype=None if tir.dtype == stored.dtype else str(stored.dtype),
        tir_colour=tir_colour,
        tir_filled=filled,
        tir_mapped=mapped,
    )


def _registered(
    measured: np.ndarray, filled: np.ndarray | None, rig: Rig
) -> tuple[np.ndarray, np.ndarray | None]:
    """TIR ``[H,W]`` on the RGB grid, and its mask of filled pixels. What TIR does not show holds no
    measurement: NaN in counts, the nearest pixel and the mask in 8 bits.
    """
    places = grid_places(rig)
    size = np.array(measured.shape[::-1])
    shown = np.asarray(((places >= 0) & (places <= size)).all(axis=-1))
    levels = resampled_at(measured, places, None)
    if measured.dtype == np.uint8:
        if filled is not None:
            shown &= resampled_at((~filled).astype(np.float32), places, None) > _WHOLLY
        return np.rint(levels).astype(np.uint8), None if shown.all() else ~shown
    if not shown.all():
        return np.where(shown, levels, np.float32(np.nan)), None
    if np.issubdtype(measured.dtype, np.integer):
        levels = np.rint(levels)
    return levels.astype(measured.dtype), None


def _filled(stored: np.ndarray, no_data: float | None, shape: tuple[int, ...]) -> np.ndarray | None:
    """Mask of 8-bit pixels without a measurement, on the grid of the pair; ``None`` if none."""
    valid = valid_mask(stored, no_data) if stored.dtype == np.uint8 else None
    if valid is None:
        return None
    if valid.shape != shape:
        valid = resample(valid.astype(np.float32), *shape) > _WHOLLY
    return np.asarray(~valid)


def as_rgb(image: np.ndarray, where: str) -> np.ndarray:
    """``[H,W,3]`` uint8 of an RGB image that may be stored as grey."""
    if image.dtype != np.uint8:
        raise PairsError(f"RGB is {image.dtype}", where, "save RGB with 8 bits a channel")
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]


def as_tir(image: np.ndarray, where: str) -> np.ndarray:
    """``[H,W]``: the channels of a grey picture that was stored in colour are averaged.

    Raises:
        PairsError: the channels differ: a palette was painted over the picture.
    """
    if image.ndim == 2:
        return image
    apart = np.abs(image[::4, ::4, 0].astype(np.float32) - image[::4, ::4, 2]).mean()
    if apart > MAX_PALETTE * np.iinfo(image.dtype).max:
        known = f"{', '.join(PALETTES[:-1])} or {PALETTES[-1]}"
        raise PairsError(
            f"TIR is coloured by a palette (red and blue differ by {apart:.0f} on average)",
            where,
            f"export TIR as grey, white-hot, or give --palette NAME if it is {known}",
        )
    mean = image[:, :, :3].mean(axis=2, dtype=np.float32)
    if np.issubdtype(image.dtype, np.integer):
        mean = np.rint(mean)
    grey: np.ndarray = mean.astype(image.dtype)
    return grey


def fits(shape_rgb: tuple[int, ...], shape_tir: tuple[int, ...]) -> bool:
    """Whether two grids show one field of view: equal aspect ratio, within two pixels."""
    scaled = shape_tir[1] * shape_rgb[0] / shape_tir[0]
    return abs(scaled - shape_rgb[1]) <= ASPECT_TOLERANCE_PX


def onto_rgb_grid(
    rgb: np.ndarray, tir: np.ndarray, where: str, *, any_aspect: bool = False
) -> np.ndarray:
    """TIR ``[H',W']`` on the grid of RGB ``[H,W,3]``; unchanged where the sizes are equal.

    Raises:
        PairsError: the aspect ratios differ, and not any is allowed.
    """
    if tir.shape == rgb.shape[:2]:
        return tir
    if not any_aspect and not fits(rgb.shape, tir.shape):
        raise PairsError(
            f"RGB is {rgb.shape[1]}x{rgb.shape[0]} and TIR {tir.shape[1]}x{tir.shape[0]}: they "
            "cannot show the same field of view",
            where,
            "register them (`tirtrack pairs register`) and give --rig, or cut both to the common "
            "field of view",
        )
    return resample(tir, rgb.shape[0], rgb.shape[1])


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[H,W]`` resized with the same depth: linear, with averaging where it gets smaller."""
    from PIL import Image

    plane = Image.fromarray(np.ascontiguousarray(image, dtype=np.float32))
    resized = np.asarray(plane.resize((width, height), Image.Resampling.BILINEAR))
    if np.issubdtype(image.dtype, np.integer):
        resized = np.rint(resized)
    whole: np.ndarray = resized.astype(image.dtype)
    return whole
