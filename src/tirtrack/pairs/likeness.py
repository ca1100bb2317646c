"""One pair, measured: what its two pictures show, what they have in common, and whether it can be
used at all.

Everything is measured on copies 240 px long, so that a pair costs a few hundredths of a second.
:mod:`tirtrack.pairs.doubts` asks for some pairs of every recording, and says what it means for a
recording.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import scipy
from PIL import Image

from tirtrack.pairs.colour import GREY, colour
from tirtrack.pairs.outlines import EDGE, outlines
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.pairs.registration import measure_offset
from tirtrack.pairs.source import Pair
from tirtrack.palettes import palette_of

SIDE = 240
SAME_DETAIL = 0.8
SAME_LEVELS = 0.35
TURNS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "upside down": lambda image: np.rot90(image, 2),
}
_DETAIL_SIGMA = 1.5
_TILES = 4
_MIN_DETAIL = 0.4

# Of an unusable pair; set on the even half of `python -m benchmarks.unusable_pairs --fit`.
BLANK_LEVELS = 1.0
NOISE_COARSE = 0.28
NOISE_STANDOUT = 12.0
HIDDEN_CONTRAST = 3.0
HIDDEN_OUTLINES = 0.35
COMMON_OUTLINES = 0.1
FOLLOWS_LEVELS = 0.9
FOLLOWS_DETAIL = 0.35
FOLLOWS_BOTH = 0.72
SIMULATED_LEVELS = 0.99
COPY_LEVELS = 0.15
SIMULATED_DETAIL = 0.96
_REACH = 12  # px, of a shift between the modalities
_LEAST_NOISE = 0.5  # grey levels, of a smoothed picture


class Unusable(StrEnum):
    """Why a pair cannot be used."""

    BLANK = "blank"
    SHUTTER = "shutter frame"
    HIDDEN = "RGB hidden by smoke or darkness"
    SIMULATED = "TIR simulated from RGB"
    NEAR_INFRARED = "near infrared instead of TIR"
    ONE_KIND = "two cameras of one kind"
    OTHER_SCENE = "different scenes"


@dataclass(frozen=True)
class Content:
    """What one picture shows, on a copy 240 px long.

    Attributes:
        levels: deviation of the smoothed picture, grey levels of 0 to 255.
        coarse: share of the variance that remains after smoothing, without what a shutter shows
            (slow shading, and offsets of rows and columns): near 0 for noise.
        standout: largest deviation of the smoothed rest, in units of its usual one: one warm thing
            before an even sky stands out, noise does not.
    """

    levels: float = 0.0
    coarse: float = 0.0
    standout: float = 0.0

    @property
    def is_blank(self) -> bool:
        """Whether it is constant."""
        return self.levels < BLANK_LEVELS

    @property
    def is_noise(self) -> bool:
        """Whether it shows the noise of a sensor alone."""
        return self.coarse < NOISE_COARSE and self.standout < NOISE_STANDOUT


@dataclass(frozen=True)
class Likeness:
    """What the two pictures of a pair show, and have in common.

    Attributes:
        detail: absolute correlation of their finest structure at the best shift, 0 to 1, median
            over tiles of the picture.
        difference: root mean square difference of their grey levels, or of one inverted, over
            the deviation of RGB.
        outlines: correlation of the strength of their outlines at the best shift.
        common_outlines: the same, of their strength over that of the surroundings: a lamp that only
            RGB shows outweighs no kerb that both show.
        contrast_rgb: strength of the outlines of RGB, grey levels per pixel.
        contrast_tir: the same for TIR.
        colour_rgb: mean difference of the colour channels of RGB, share of the range.
        colour_tir: the same for TIR as stored.
        turned: what ``outlines`` would be with TIR as each of ``TURNS`` has it.
        rgb: content of RGB.
        tir: content of TIR.
        levels_from_rgb: share of the variance of TIR's grey levels within tiles of the picture that
            a quadratic function of the colours of RGB explains. Between tiles a cold sky over warm
            ground would be explained by its colour.
        detail_from_rgb: share of the variance of TIR's fine structure that the fine structure of
            the three colours explains, median over tiles.
        palette_rgb: whether RGB has the colours of a palette; looked at only where TIR follows it.
    """

    detail: float
    difference: float
    outlines: float
    common_outlines: float
    contrast_rgb: float
    contrast_tir: float
    colour_rgb: float
    colour_tir: float
    turned: Sequence[float] = ()
    rgb: Content = Content()
    tir: Content = Content()
    levels_from_rgb: float = 0.0
    detail_from_rgb: float = 0.0
    palette_rgb: bool = False

    @property
    def same_picture(self) -> bool:
        """Whether one is a copy of the other: RGB and TIR never share their finest structure."""
        return self.detail > SAME_DETAIL or self.difference < SAME_LEVELS

    @property
    def unrelated(self) -> bool:
        """Whether they have no outlines in common."""
        return self.common_outlines <= COMMON_OUTLINES

    @property
    def unusable(self) -> Unusable | None:
        """Why the pair cannot be used; ``None`` if it can."""
        if self.tir.is_blank or self.rgb.is_blank or self.rgb.is_noise:
            return Unusable.BLANK
        if self.tir.is_noise:
            return Unusable.SHUTTER
        if self.rgb_is_hidden:
            return Unusable.HIDDEN
        if self.follows_rgb:
            return self._kind_that_follows
        return Unusable.OTHER_SCENE if self.unrelated else None

    @property
    def rgb_is_hidden(self) -> bool:
        """Whether RGB shows next to nothing, and nothing that TIR shows."""
        is_even = self.contrast_rgb < HIDDEN_CONTRAST and self.rgb.standout < NOISE_STANDOUT
        return is_even and self.outlines < HIDDEN_OUTLINES

    @property
    def follows_rgb(self) -> bool:
        """Whether TIR shows what RGB shows, as no thermal camera does."""
        detail, levels = self.detail_from_rgb, self.levels_from_rgb
        by_levels = levels > FOLLOWS_LEVELS and detail > FOLLOWS_DETAIL  # not by one red, warm car
        return by_levels or min(detail, levels) > FOLLOWS_BOTH or self.same_picture

    @property
    def _kind_that_follows(self) -> Unusable:
        if self.colour_rgb < GREY or self.palette_rgb:
            return Unusable.ONE_KIND
        is_copy = self.difference < COPY_LEVELS
        is_function = self.levels_from_rgb > SIMULATED_LEVELS
        if is_copy or is_function or self.detail_from_rgb > SIMULATED_DETAIL:
            return Unusable.SIMULATED
        return Unusable.NEAR_INFRARED


def likeness(pair: Pair, *, with_turns: bool = True) -> Likeness:
    """What the two pictures of a pair show, and have in common.

    Args:
        pair: the pair.
        with_turns: whether ``turned`` is measured, which takes most of the time.

    Raises:
        ValueError: there is no RGB.
    """
    rgb, tir = thumbnail(pair.both[0], SIDE), thumbnail(pair.tir, SIDE, pair.tir_valid)
    offset = measure_offset(rgb, tir)
    dx, dy = round(offset.dx), round(offset.dy)
    colours = [
        thumbnail(np.ascontiguousarray(one), SIDE) for one in np.moveaxis(pair.both[0], 2, 0)
    ]
    there = [overlapping(one, tir, dx, dy) for one in colours]
    planes, beside = [one for one, _ in there], there[0][1]
    found = Likeness(
        _shared_detail(*overlapping(rgb, tir, dx, dy)),
        _difference(rgb, tir),
        offset.peak,
        _common_outlines(rgb, tir),
        _contrast(rgb),
        _contrast(tir),
        colour(pair.both[0]),
        pair.tir_colour,
        _turned(rgb, tir) if with_turns else (),
        _content_of_colours(rgb, colours),
        content(tir),
        _levels_explained(planes, beside),
        _detail_explained(planes, beside),
    )
    return replace(found, palette_rgb=found.follows_rgb and palette_of(pair.both[0]) is not None)


def unusable(pair: Pair) -> Unusable | None:
    """Why a pair cannot be used; ``None`` if it can. Of TIR alone only its content is judged."""
    if pair.rgb is not None:
        return likeness(pair, with_turns=False).unusable
    tir = content(thumbnail(pair.tir, SIDE, pair.tir_valid))
    if tir.is_blank:
        return Unusable.BLANK
    return Unusable.SHUTTER if tir.is_noise else None


def thumbnail(image: np.ndarray, side: int, valid: np.ndarray | None = None) -> np.ndarray:
    """``[H,W]`` or ``[H,W,3]`` as grey levels float32 ``[h,w]``, at most ``side`` px long. Pixels
    of ``[H,W]`` that are not ``valid`` get the levels of the nearest ones that are.
    """
    if image.dtype == np.uint8 and valid is None:
        picture = Image.fromarray(image).convert("L")
    else:
        picture = Image.fromarray(grey_levels(image, valid))
    factor = max(picture.size) // side
    if factor > 1:
        picture = picture.reduce(factor)
    scale = min(side / max(picture.size), 1.0)
    height, width = (max(round(side * scale), 1) for side in (picture.height, picture.width))
    return resized(np.asarray(picture, np.float32), height, width)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """``[H,W]`` float32, resized."""
    if image.shape == (height, width):
        return image
    other = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    whole: np.ndarray = np.asarray(other)
    return whole


def overlapping(
    rgb: np.ndarray, tir: np.ndarray, dx: int, dy: int
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of both that overlap when TIR is moved by ``dx``, ``dy``."""
    height, width = rgb.shape
    return (
        rgb[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)],
        tir[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)],
    )


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two pictures; 0 if one is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / size) if size > 1e-3 else 0.0


# --- one picture ---------------------------------------------------------------------------------


def content(image: np.ndarray) -> Content:
    """What a picture ``[H,W]`` shows, grey levels 0 to 255."""
    smooth = scipy.ndimage.gaussian_filter(image, 2.0)
    rest = _without_shading(image)
    rest -= np.median(rest, axis=0)
    rest -= np.median(rest, axis=1, keepdims=True)
    near = scipy.ndimage.gaussian_filter(rest, 1.0)
    usual = 1.4826 * float(np.median(np.abs(near - np.median(near))))
    return Content(
        float(smooth.std()),
        float(scipy.ndimage.gaussian_filter(rest, 3.0).var() / max(rest.var(), 1e-6)),
        float(np.abs(near).max() / max(usual, _LEAST_NOISE)),
    )


def _content_of_colours(grey: np.ndarray, colours: Sequence[np.ndarray]) -> Content:
    """That of the grey picture, or, where it shows nothing, of the colour that shows most: red on
    green may be of one brightness.
    """
    found = content(grey)
    if not found.is_blank and not found.is_noise:
        return found
    return max((content(one) for one in colours), key=lambda one: one.standout)


def _without_shading(image: np.ndarray) -> np.ndarray:
    """The picture less the polynomial of fourth degree that fits it best."""
    height, width = image.shape
    y, x = (np.linspace(-1, 1, length) for length in (height, width))
    rows, columns = np.vander(y, 5), np.vander(x, 5)
    terms = [(i, j) for i in range(5) for j in range(5) if (4 - i) + (4 - j) <= 4]
    base = np.stack([np.outer(rows[:, i], columns[:, j]) for i, j in terms], axis=2)
    few = base[::4, ::4].reshape(-1, len(terms))
    weights = np.linalg.lstsq(few, image[::4, ::4].ravel(), rcond=None)[0]
    plane: np.ndarray = (base @ weights).astype(np.float32)
    return np.asarray(image - plane)


def _contrast(image: np.ndarray) -> float:
    return float(np.percentile(scipy.ndimage.gaussian_gradient_magnitude(image, 1.0), 90))


# --- both ----------------------------------------------------------------------------------------


def _turned(rgb: np.ndarray, tir: np.ndarray) -> list[float]:
    return [measure_offset(rgb, np.ascontiguousarray(turn(tir))).peak for turn in TURNS.values()]


def _common_outlines(rgb: np.ndarray, tir: np.ndarray) -> float:
    inside = (slice(EDGE, -EDGE),) * 2  # all pictures share a border without outlines
    a, b = (np.abs(outlines(side))[inside] for side in (rgb, tir))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    if size < 1e-3:
        return 0.0
    padded = tuple(side + _REACH for side in a.shape)
    product = np.fft.irfft2(np.fft.rfft2(a, padded) * np.fft.rfft2(b, padded).conj(), padded)
    near = np.roll(product, (_REACH, _REACH), (0, 1))[: 2 * _REACH + 1, : 2 * _REACH + 1]
    return float(near.max()) / size


def _shared_detail(rgb: np.ndarray, tir: np.ndarray) -> float:
    """Median over tiles, so that one object that stands out in both has little weight."""
    found = [
        abs(correlation(a, b))
        for a, b in zip(_tiles(_fine(rgb)), _tiles(_fine(tir)), strict=True)
        if max(a.std(), b.std()) > _MIN_DETAIL
    ]
    return float(np.median(found)) if found else 0.0


def _fine(image: np.ndarray) -> np.ndarray:
    return np.asarray(image - scipy.ndimage.gaussian_filter(image, _DETAIL_SIGMA))


def _tiles(image: np.ndarray) -> list[np.ndarray]:
    cut = [one for rows in np.array_split(image, _TILES) for one in np.array_split(rows, _TILES, 1)]
    return [one for one in cut if one.size]


def _difference(rgb: np.ndarray, tir: np.ndarray) -> float:
    """Root mean square of the difference over the deviation of RGB; infinite for flat pictures."""
    deviation = float(rgb.std())
    if deviation < _MIN_DETAIL:
        return float("inf")
    return min(float(np.sqrt(((one - tir) ** 2).mean())) for one in (rgb, 255 - rgb)) / deviation


def _levels_explained(colours: Sequence[np.ndarray], tir: np.ndarray) -> float:
    red, green, blue = (one[::2, ::2].ravel() / 255 for one in colours)
    ones = np.ones_like(red)
    columns = [ones, red, green, blue, red**2, green**2, blue**2]
    columns += [red * green, red * blue, green * blue]
    wanted = tir[::2, ::2]
    rest = _unexplained(np.stack(columns, axis=1), wanted.ravel()).reshape(wanted.shape)
    remains, total = (sum(one.var() * one.size for one in _tiles(side)) for side in (rest, wanted))
    return 1.0 - float(remains / total) if total > 1e-6 * wanted.size else 0.0


def _detail_explained(colours: Sequence[np.ndarray], tir: np.ndarray) -> float:
    bands = [_tiles(_band(one)) for one in (*colours, tir)]
    found = [
        _explained(np.stack([one.ravel() for one in tiles[:-1]], axis=1), tiles[-1].ravel())
        for tiles in zip(*bands, strict=True)
        if tiles[-1].std() > _MIN_DETAIL
    ]
    return float(np.median(found)) if found else 0.0


def _band(image: np.ndarray) -> np.ndarray:
    """Structures of one to three px: such as sharpening, noise and half a pixel leave alike."""
    return np.asarray(
        scipy.ndimage.gaussian_filter(image, 1.0) - scipy.ndimage.gaussian_filter(image, 3.0)
    )


def _explained(columns: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the variance of ``wanted`` that the columns explain by least squares."""
    total = float(wanted.var())
    return 1.0 - float(_unexplained(columns, wanted).var()) / total if total > 1e-6 else 0.0


def _unexplained(columns: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What remains of ``wanted`` besides the columns that fit it best."""
    return np.asarray(wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0])
