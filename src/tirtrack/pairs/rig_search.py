"""The map from RGB to TIR that many pairs of a rig have in common.

Three steps, each on all pairs together, so that a pair without outlines in one part leaves that
part to others. First scale, angle and shift by the correlation of whole small pictures. Then parts
of larger pictures are compared at small shifts, and a map is fitted to where they agree: a
similarity, an affine map, a homography, each only where it explains parts that it was not fitted to
better than the simpler one. Last a radial term, if one that was fitted to half of the pairs helps
the other half. What parts say is weighted by how clearly they say it, and those that contradict the
others count less and less. The maps themselves are fitted in :mod:`tirtrack.pairs.rig_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
import scipy

from tirtrack.pairs.outlines import FixedPicture, Tiles, compare_tiles, outlines
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.pairs.rig import PairResidual, Rig, stretched
from tirtrack.pairs.rig_maps import (
    AGREES_PX,
    LARGE,
    MIN_TILES,
    Matches,
    fitted,
    fitted_radial,
    with_matrix,
)
from tirtrack.resampling import resampled_at

COARSE_SIDE = 128
RADIAL_ROUNDS = 3
COARSE_PAIRS = 5
SCALES = np.exp(np.linspace(np.log(0.62), np.log(1.6), 22))
ANGLES_DEG = (-5.0, -2.5, 2.5, 5.0)
TURNED = 3  # scales at which other angles are tried
TILE_SIDE = 1 / 7  # of the long side
MIN_CLEAR = 3.5  # standard deviations by which a part's best shift stands out of the others
PEAK_PX = 3  # around the best shift belongs to it
FEW_TILES = 10  # parts that disagree are added to a score, so that few cannot make a high one
ENOUGH = 0.2  # share of the parts that must agree
# long side in pixels, reach in pixels, richest map
LEVELS = (
    (320, 10, "similarity"),
    (320, 8, "affine"),
    (640, 10, "affine"),
    (640, 8, "homography"),
    (640, 8, "homography"),
)


@dataclass(frozen=True)
class PairPictures:
    """The two pictures of a pair.

    Attributes:
        key: key of the pair.
        rgb: ``[H,W,3]`` or ``[H,W]``.
        tir: ``[H',W']`` as stored.
        tir_valid: ``[H',W']`` bool, or ``None`` if all pixels are measurements.
    """

    key: str
    rgb: np.ndarray
    tir: np.ndarray
    tir_valid: np.ndarray | None = None


def find_rig(pairs: Sequence[PairPictures]) -> Rig:
    """The map that all pairs have in common; its score says whether to trust it.

    Args:
        pairs: pairs of one rig, of equal sizes.

    Raises:
        ValueError: there is none, or sizes differ.
    """
    sizes = {(one.rgb.shape[:2], one.tir.shape) for one in pairs}
    if len(sizes) != 1:
        raise ValueError(f"pairs of one rig must have equal sizes, got {sorted(sizes)}")
    rig = _coarse(pairs[:: max(len(pairs) // COARSE_PAIRS, 1)][:COARSE_PAIRS])
    level: list[_Level] = []
    last = 0
    for side, reach, richest in LEVELS:
        if side != last:
            level, last = [_Level.of(one, side) for one in pairs], side
        matches = _matches(_compared(level, rig, reach), level[0].scale)
        rig = fitted(rig, matches, richest)
    for _ in range(RADIAL_ROUNDS):
        halves = [_matches(_compared(half, rig, reach), level[0].scale)
                  for half in (level[::2], level[1::2]) if half]  # fmt: skip
        before, rig = rig, fitted_radial(rig, halves)
        if rig is before:
            break
    return _scored(pairs, rig)


def measure_rig(pairs: Sequence[PairPictures], rig: Rig) -> Rig:
    """The same map with score and residuals as these pairs show them."""
    return _scored(pairs, rig)


@dataclass(frozen=True)
class _Level:
    """A pair at one size: outlines of RGB, and grey levels of TIR.

    Attributes:
        scale: pixels of the smaller RGB per pixel of RGB.
        tir_scale: the same of TIR.
    """

    key: str
    fixed: np.ndarray
    tir: np.ndarray
    tir_valid: np.ndarray | None
    scale: float
    tir_scale: float

    @classmethod
    def of(cls, pair: PairPictures, side: int) -> _Level:
        scale = min(1.0, side / max(pair.rgb.shape[:2]))
        tir_scale = min(1.0, side / max(pair.tir.shape))
        grey = grey_levels(pair.rgb)
        rgb = _smaller(grey if grey.ndim == 2 else grey.mean(axis=2), scale)
        tir = _smaller(grey_levels(pair.tir, pair.tir_valid), tir_scale)
        valid = pair.tir_valid
        if valid is not None:
            valid = _smaller(valid.astype(np.float32), tir_scale) > 0.99
        return cls(pair.key, outlines(rgb), tir, valid, scale, tir_scale)

    def moving(self, rig: Rig) -> tuple[np.ndarray, np.ndarray]:
        """Outlines of TIR on the grid of the smaller RGB, and where there are any."""
        height, width = self.fixed.shape
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        points = np.stack([x, y], axis=-1) / self.scale
        places = rig.places(points) * self.tir_scale
        warped = resampled_at(self.tir, places, fill=None)
        size = np.array(self.tir.shape[::-1])
        inside = np.asarray(((places >= 0.5) & (places <= size - 0.5)).all(axis=-1))
        if self.tir_valid is not None:
            measured = resampled_at(self.tir_valid.astype(np.float32), places, fill=0.0)
            inside &= measured > 0.99
        return outlines(warped, inside), inside


def _smaller(grey: np.ndarray, scale: float) -> np.ndarray:
    """Grey levels at another size, continuous pixels scaled by ``scale`` up to rounding."""
    if scale == 1.0:
        return grey.astype(np.float32)
    blurred = scipy.ndimage.gaussian_filter(grey.astype(np.float32), 0.4 / scale)
    height, width = (max(round(length * scale), 8) for length in grey.shape)
    x, y = np.meshgrid((np.arange(width) + 0.5) / scale, (np.arange(height) + 0.5) / scale)
    return resampled_at(blurred, np.stack([x, y], axis=-1), fill=None)


# --- whole pictures ------------------------------------------------------------------------------


def _coarse(pairs: Sequence[PairPictures]) -> Rig:
    """Scale, angle and shift by the correlation of small pictures."""
    level = [_Level.of(one, COARSE_SIDE) for one in pairs]
    rgb_wh, tir_wh = pairs[0].rgb.shape[1::-1], pairs[0].tir.shape[::-1]
    start = stretched(rgb_wh, tir_wh)
    unit = float(np.sqrt(start.tir_from_rgb[0][0] * start.tir_from_rgb[1][1]))
    factor = SCALES[-1] / unit * level[0].scale / level[0].tir_scale
    height, width = (int(1.15 * factor * length) + 2 for length in level[0].tir.shape)
    fixed = [FixedPicture.of(one.fixed, (height, width)) for one in level]
    best = partial(_best_shift, level, fixed, unit)
    straight = sorted((best(scale, 0.0) for scale in SCALES), reverse=True)
    tried = straight + [best(one[1], angle) for one in straight[:TURNED] for angle in ANGLES_DEG]
    _, scale, angle, x, y = max(tried)
    # stretched, turned TIR lies at (x, y): RGB = turn * scale / unit * TIR + (x, y)
    forward = np.eye(3)
    forward[:2, :2] = _turn(angle) * scale / unit
    forward[:2, 2] = x, y
    return with_matrix(start, np.linalg.inv(forward))


def _turn(angle_deg: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    return np.array([[c, -s], [s, c]])


def _best_shift(
    level: Sequence[_Level],
    fixed: Sequence[FixedPicture],
    unit: float,
    scale: float,
    angle_deg: float,
) -> tuple[float, float, float, float, float]:
    """Agreement, scale, angle, and where the corner of TIR lies in RGB, for one scale and angle."""
    first = level[0]
    factor = scale / unit * first.scale / first.tir_scale  # small RGB pixels per small TIR pixel
    height, width = first.tir.shape
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ (
        _turn(angle_deg).T * factor
    )
    low = np.floor(corners.min(axis=0))
    columns, rows = (int(length) for length in np.ceil(corners.max(axis=0)) - low)
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    places = (np.stack([x, y], axis=-1) + low) @ (_turn(-angle_deg).T / factor)
    inside = ((places >= 0.5) & (places <= np.array([width, height]) - 0.5)).all(axis=-1)
    total: np.ndarray | None = None
    for one, picture in zip(level, fixed, strict=True):
        blur = scipy.ndimage.gaussian_filter(one.tir, 0.4 / factor) if factor < 1 else one.tir
        seen = inside
        if one.tir_valid is not None:
            seen = inside & (resampled_at(one.tir_valid.astype(np.float32), places, 0.0) > 0.99)
        moving = outlines(resampled_at(blur, places, fill=None), seen)
        scores = picture.agreement(moving, seen)
        total = scores if total is None else total + scores
    if total is None:
        raise ValueError("there is no pair")
    row, column = np.unravel_index(int(total.argmax()), total.shape)
    dx, dy = column - columns + 1 - low[0], row - rows + 1 - low[1]
    return (
        float(total[row, column]) / len(level), float(scale), angle_deg,
        float(dx / first.scale), float(dy / first.scale),
    )  # fmt: skip


# --- parts ---------------------------------------------------------------------------------------


def _compared(level: Sequence[_Level], rig: Rig, reach: int) -> Tiles:
    """The parts of all pairs together."""
    return reduce(Tiles.__add__, (_tiles(one, rig, reach) for one in level))


def _tiles(one: _Level, rig: Rig, reach: int) -> Tiles:
    moving, inside = one.moving(rig)
    side = round(TILE_SIDE * max(one.fixed.shape))
    return compare_tiles(one.fixed, moving, inside, side=side, reach=reach)


def _matches(tiles: Tiles, scale: float) -> Matches:
    """The best shift of every part, weighted by how clearly it stands out."""
    energy = np.sqrt(np.maximum(tiles.energies_fixed * tiles.energies_moving[:, None, None], 0))
    floor = 1e-3 * max(float(energy.max(initial=0.0)), 1e-6)
    curves = np.divide(
        tiles.products, energy, out=np.zeros_like(tiles.products), where=energy > floor
    )
    reach = curves.shape[1] // 2
    shifts, weights = np.zeros((len(curves), 2)), np.zeros(len(curves))
    for number, curve in enumerate(curves):
        row, column = np.unravel_index(int(curve.argmax()), curve.shape)
        if row in (0, 2 * reach) or column in (0, 2 * reach):
            continue
        near_y, near_x = (np.abs(np.arange(2 * reach + 1) - at) <= PEAK_PX for at in (row, column))
        others = curve[~(near_y[:, None] & near_x)]
        spread = float(others.std())
        clear = (float(curve[row, column]) - float(others.mean())) / max(spread, 1e-6)
        if spread < 1e-6 or clear < MIN_CLEAR:
            continue
        dy = row - reach + vertex(curve[row - 1 : row + 2, column])
        dx = column - reach + vertex(curve[row, column - 1 : column + 2])
        shifts[number] = dx, dy
        weights[number] = (clear - MIN_CLEAR + 0.5) * float(curve[row, column])
    return Matches(tiles.centers_xy / scale, shifts / scale, np.maximum(weights, 0.0))


def vertex(three: np.ndarray) -> float:
    """Where the parabola through three values peaks, from the middle one."""
    left, middle, right = three
    curvature = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5)) if curvature < 0 else 0.0


# --- the score -----------------------------------------------------------------------------------


def _scored(pairs: Sequence[PairPictures], rig: Rig) -> Rig:
    """The rig with its score and the residual of each pair."""
    limit = AGREES_PX * rig.rgb_wh[0] / LARGE
    side, reach, _ = LEVELS[-1]
    level = [_Level.of(one, side) for one in pairs]
    each = [_tiles(one, rig, reach) for one in level]
    residuals = []
    for pair, tiles in zip(pairs, each, strict=True):
        found = _matches(tiles, level[0].scale)
        lengths = np.linalg.norm(found.shifts[found.weights > 0], axis=1)
        px = float(np.median(lengths)) if len(lengths) >= MIN_TILES else None
        residuals.append(PairResidual(pair=pair.key, px=px))
    whole = _matches(reduce(Tiles.__add__, each), level[0].scale)
    agree = whole.weights * (np.linalg.norm(whole.shifts, axis=1) <= limit)
    few = FEW_TILES * float(
        np.median(whole.weights[whole.weights > 0]) if whole.weights.any() else 1.0
    )
    seen = min(1.0, float((agree > 0).mean()) / ENOUGH)  # one object says nothing of the rest
    known = [one.px for one in residuals if one.px is not None]
    return rig.model_copy(
        update={
            "score": seen * float(agree.sum() / (whole.weights.sum() + few)),
            "residual_px": float(np.median(known)) if known else None,
            "residuals": tuple(residuals),
        }
    )
