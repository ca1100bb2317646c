"""Palettes: colours that a thermal camera or a viewer paints over grey, and the way back.

A palette is a curve through the colours, from cold to hot. A picture that was painted with one lies
near this curve, wherever compression moved its pixels; the place on the curve is the grey level.
What the 8 bits of the painted picture have lost does not come back.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

LEVELS = 256
_IRONBOW = (  # in equal steps, as measured in a picture of a FLIR camera (there "Iron")
    (0, 12, 24), (72, 11, 141), (143, 17, 161), (193, 46, 127), (224, 87, 69), (241, 136, 21),
    (244, 182, 13), (238, 219, 78), (236, 246, 240),
)  # fmt: skip
_OF_MATPLOTLIB = ("inferno", "magma", "plasma", "viridis", "turbo", "jet", "hot")
PALETTES = ("ironbow", *_OF_MATPLOTLIB)
_STEP = 4  # of the table from colours to levels
_COLOURED = 24  # levels between the channels of a pixel that says something about the palette
_MIN_COLOURED = 0.1  # share of the pixels
_NEAR = 30.0
_MIN_NEAR = 0.75
_MAX_MEDIAN = 18.0
_MIN_SPAN = 48


def palette_colours(name: str) -> np.ndarray:
    """The colours of a palette ``[256,3]`` uint8 RGB, from the lowest grey level to the highest.

    Raises:
        ValueError: there is no such palette.
    """
    if name not in PALETTES:
        raise ValueError(f"palette must be one of {', '.join(PALETTES)}, got {name!r}")
    if name == "ironbow":
        marks = np.linspace(0, LEVELS - 1, len(_IRONBOW))
        planes = [np.interp(np.arange(LEVELS), marks, one) for one in np.transpose(_IRONBOW)]
        return np.asarray(np.rint(np.stack(planes, axis=1)), np.uint8)
    from matplotlib import colormaps

    colours: np.ndarray = colormaps[name](np.arange(LEVELS), bytes=True)[:, :3]
    return colours


def palette_of(image: np.ndarray) -> str | None:
    """The palette with which a picture was painted; ``None`` if it lies near none of them.

    Args:
        image: ``[H,W,3]`` uint8 RGB; other pictures have none.
    """
    if image.ndim != 3 or image.dtype != np.uint8:
        return None
    coloured = _coloured(image)
    if len(coloured) < _MIN_COLOURED * image[::4, ::4, 0].size:
        return None
    fits = {}
    for name in PALETTES:
        distance, level = _nearest(name, coloured)
        spans = np.ptp(np.percentile(level, [5, 95])) > _MIN_SPAN
        if spans and (distance < _NEAR).mean() > _MIN_NEAR:
            fits[name] = float(np.median(distance))
    best = min(fits, key=lambda name: fits[name], default=None)
    return best if best is not None and fits[best] < _MAX_MEDIAN else None


def other_palette(image: np.ndarray, name: str) -> str | None:
    """The palette with which a picture was painted, if that is clearly not the named one.

    Args:
        image: ``[H,W,3]`` uint8 RGB.
        name: one of :data:`PALETTES`.
    """
    coloured = _coloured(image)
    if len(coloured) and float(np.median(_nearest(name, coloured)[0])) < _MAX_MEDIAN:
        return None
    found = palette_of(image)
    return None if found == name else found


def without_palette(image: np.ndarray, name: str) -> np.ndarray:
    """The grey levels ``[H,W]`` uint8 of a picture that was painted: white is the hot end.

    Args:
        image: ``[H,W,3]`` uint8 RGB.
        name: one of :data:`PALETTES`.

    Raises:
        ValueError: there is no such palette, or the picture is no colour picture of 8 bits.

    >>> grey = np.array([[0, 60, 255]], dtype=np.uint8)
    >>> without_palette(palette_colours("hot")[grey], "hot")
    array([[  0,  60, 255]], dtype=uint8)
    """
    if image.ndim != 3 or image.shape[2] < 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be [H,W,3] uint8, got {list(image.shape)} {image.dtype}")
    steps = (image[:, :, :3] // _STEP).astype(np.intp)
    levels: np.ndarray = _table(name)[steps[..., 0], steps[..., 1], steps[..., 2]]
    return levels


def _coloured(image: np.ndarray) -> np.ndarray:
    """Some pixels ``[n,3]`` that say something about the palette."""
    pixels = image[::4, ::4, :3].reshape(-1, 3).astype(np.float32)
    return np.asarray(pixels[np.ptp(pixels, axis=1) > _COLOURED])


@lru_cache(2)
def _table(name: str) -> np.ndarray:
    """Grey level of every colour, in steps of ``_STEP``: ``[64,64,64]`` uint8."""
    middle = np.arange(0, 256, _STEP, dtype=np.float32) + (_STEP - 1) / 2
    colours = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1)
    _, level = _nearest(name, colours.reshape(-1, 3))
    return level.astype(np.uint8).reshape(colours.shape[:3])


def _nearest(name: str, colours: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of colours ``[n,3]`` from a palette, and the level of the nearest of its colours."""
    from scipy.spatial import cKDTree

    distance, level = cKDTree(palette_colours(name).astype(np.float32)).query(colours)
    return np.asarray(distance), np.asarray(level)
