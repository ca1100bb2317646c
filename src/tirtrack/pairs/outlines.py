"""Outlines of a picture as directions without sign, and how well those of two pictures agree.

Brightness means different things in RGB and TIR, and where it rises in one it may fall in the
other; the direction of an outline is shared. So an outline is a complex number of twice its angle:
both polarities give the same number. Its length is the strength of the outline over that of its
surroundings, so that a weak texture counts beside a strong edge.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

SIGMA = 1.2  # of the derivatives, pixels
EDGE = round(2 * SIGMA) + 1  # px along the border of a picture, which have no outlines
AROUND = 12.0  # sigma of the surroundings, pixels
FLOOR = 0.5  # of the mean strength, below which a surrounding has no outlines
MIN_OVERLAP = 0.5  # of the smaller picture


def outlines(levels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """The outlines of grey levels ``[H,W]``: complex64 ``[H,W]``, 0 where there are none.

    Args:
        levels: grey levels.
        valid: ``[H,W]`` bool, the pixels that are measurements; ``None``: all. Outlines of what is
            not measured, and those at the edge of the picture, do not count.
    """
    grey = levels.astype(np.float32)
    x, y = (scipy.ndimage.gaussian_filter(grey, SIGMA, order=order) for order in ((0, 1), (1, 0)))
    gradient = x + 1j * y
    strength = np.abs(gradient)
    inside = np.ones(grey.shape, bool) if valid is None else valid
    inside = scipy.ndimage.binary_erosion(inside, iterations=EDGE, border_value=0)
    strength = np.where(inside, strength, 0)
    share = scipy.ndimage.gaussian_filter(inside.astype(np.float32), AROUND, mode="constant")
    square = scipy.ndimage.gaussian_filter(strength**2, AROUND, mode="constant")
    around = np.sqrt(square / np.maximum(share, 1e-3))
    floor = FLOOR * float(strength[inside].mean()) if inside.any() else 0.0
    length = strength / np.maximum(around, max(floor, 1e-3))
    doubled = np.divide(gradient**2, strength**2, out=np.zeros_like(gradient), where=strength > 0)
    return np.asarray(doubled * length, np.complex64)


@dataclass(frozen=True)
class FixedPicture:
    """Outlines with which many others are compared at every shift.

    Attributes:
        shape_hw: height and width of the picture.
        fast: size of the transforms.
        field: transform of the outlines.
        energy: transform of their squares.
        ones: transform of the picture's extent.
    """

    shape_hw: tuple[int, int]
    fast: tuple[int, int]
    field: np.ndarray
    energy: np.ndarray
    ones: np.ndarray

    @classmethod
    def of(cls, fixed: np.ndarray, largest_hw: tuple[int, int]) -> FixedPicture:
        """Outlines ``[H,W]``, to be compared with pictures up to a size."""
        fast = tuple(
            scipy.fft.next_fast_len(a + b - 1) for a, b in zip(fixed.shape, largest_hw, strict=True)
        )
        return cls(
            (fixed.shape[0], fixed.shape[1]),
            (fast[0], fast[1]),
            scipy.fft.fft2(fixed, fast),
            scipy.fft.rfft2(np.abs(fixed) ** 2, fast),
            scipy.fft.rfft2(np.ones(fixed.shape, np.float32), fast),
        )

    def agreement(self, moving: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """How well another picture agrees with this one at every shift.

        Args:
            moving: outlines ``[h,w]``.
            inside: ``[h,w]`` bool, where it is a picture.

        Returns:
            ``[H+h-1,W+w-1]``: correlation times the root of the overlap over the smaller picture; 0
            where they overlap by less than half of it. At entry ``(i, j)`` pixel ``(r, c)`` of the
            other picture lies on ``(r + i - h + 1, c + j - w + 1)`` of this one.
        """
        fast, (height, width) = self.fast, moving.shape
        mask = scipy.fft.rfft2(inside.astype(np.float32), fast).conj()
        planes = [
            scipy.fft.ifft2(self.field * scipy.fft.fft2(moving, fast).conj()).real,
            scipy.fft.irfft2(self.energy * mask, fast),
            scipy.fft.irfft2(self.ones * scipy.fft.rfft2(np.abs(moving) ** 2, fast).conj(), fast),
            scipy.fft.irfft2(self.ones * mask, fast),
        ]
        shape = self.shape_hw[0] + height - 1, self.shape_hw[1] + width - 1
        product, energy, moving_energy, overlap = (
            np.roll(plane, (height - 1, width - 1), (0, 1))[: shape[0], : shape[1]]
            for plane in planes
        )
        smaller = max(min(self.shape_hw[0] * self.shape_hw[1], int(inside.sum())), 1)
        both = np.sqrt(np.maximum(energy, 0) * np.maximum(moving_energy, 0))
        usable = (overlap >= MIN_OVERLAP * smaller) & (both > 1e-3 * max(float(both.max()), 1e-6))
        scores = np.divide(product, both, out=np.zeros_like(product), where=usable)
        return np.asarray(scores * np.sqrt(np.clip(overlap / smaller, 0, 1)))


@dataclass(frozen=True)
class Tiles:
    """Square parts of a picture, and how well each agrees at every small shift.

    Attributes:
        centers_xy: ``[K,2]`` centres, pixels.
        products: ``[K,2r+1,2r+1]`` sums of products of outlines, at shifts ``-r`` to ``r`` (rows,
            columns).
        energies_fixed: the same of the outlines of the fixed picture, squared.
        energies_moving: ``[K]`` of the moving picture.
    """

    centers_xy: np.ndarray
    products: np.ndarray
    energies_fixed: np.ndarray
    energies_moving: np.ndarray

    def __add__(self, other: Tiles) -> Tiles:
        """Both pairs of pictures together."""
        return Tiles(
            self.centers_xy,
            self.products + other.products,
            self.energies_fixed + other.energies_fixed,
            self.energies_moving + other.energies_moving,
        )


def compare_tiles(
    fixed: np.ndarray, moving: np.ndarray, inside: np.ndarray, *, side: int, reach: int
) -> Tiles:
    """Parts of two pictures ``[H,W]`` on one grid, compared at shifts up to ``reach``.

    Args:
        fixed: outlines.
        moving: outlines on the same grid.
        inside: ``[H,W]`` bool, where ``moving`` is a picture; other parts have no energy.
        side: side of a part, pixels; parts overlap by about a half.
        reach: largest shift, pixels.
    """
    height, width = fixed.shape
    side = min(side, height, width)
    rows, columns = (_starts(length, side) for length in (height, width))
    padded = np.pad(fixed, reach)
    views = np.lib.stride_tricks.sliding_window_view(padded, (side + 2 * reach, side + 2 * reach))
    windows = views[np.ix_(rows, columns)].reshape(-1, side + 2 * reach, side + 2 * reach)
    views = np.lib.stride_tricks.sliding_window_view(moving, (side, side))
    parts = views[np.ix_(rows, columns)].reshape(-1, side, side)
    masks = np.lib.stride_tricks.sliding_window_view(inside, (side, side))
    shares = masks[np.ix_(rows, columns)].reshape(len(parts), -1).mean(axis=1)
    size = scipy.fft.next_fast_len(side + 2 * reach)
    spectra = scipy.fft.fft2(windows, (size, size)) * scipy.fft.fft2(parts, (size, size)).conj()
    count = 2 * reach + 1
    products = scipy.fft.ifft2(spectra).real[:, :count, :count]
    table = np.pad((np.abs(windows) ** 2).cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
    energies = (
        table[:, side:, side:] - table[:, :-side, side:] - table[:, side:, :-side]
        + table[:, :-side, :-side]
    )  # fmt: skip
    moving_energies = (np.abs(parts) ** 2).sum(axis=(1, 2))
    used = shares >= MIN_OVERLAP
    y, x = np.meshgrid(np.array(rows) + side / 2, np.array(columns) + side / 2, indexing="ij")
    return Tiles(
        np.stack([x.ravel(), y.ravel()], axis=1),
        products * used[:, None, None],
        energies * used[:, None, None],
        moving_energies * used,
    )


def _starts(length: int, side: int) -> list[int]:
    count = max(round(2 * (length - side) / side), 0) + 1
    return [int(start) for start in np.rint(np.linspace(0, length - side, count))]
