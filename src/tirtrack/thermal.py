"""From sensor counts to grey levels: the thermal normaliser.

8-bit frames are grey levels already and pass unchanged, bit for bit. 16-bit and float frames become
float32 grey levels 0..255 by one of three named settings:

* ``fixed``: a range of counts given once. Same count, same level, for ever.
* ``percentile``: the range of each frame by itself. Levels change whenever the scene does.
* ``adaptive`` (the default): the percentile range, smoothed over frames, so that a hot object that
  enters does not make everything else flicker. A change of gain or offset of the whole picture
  (AGC, flat-field correction) is not smoothed but followed at once.

Counts ``a * x + b`` with ``a > 0`` give the same levels from ``percentile`` and ``adaptive``. A
frame without contrast or without measured pixels leaves the state alone. Pixels that are no
measurement (:func:`tirtrack.valid_pixels.valid_mask`) take no part and become the mean level of the
others. This module knows frames of one modality and nothing else; begin with
:class:`ThermalNormaliser`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.read_options import NoData
from tirtrack.valid_pixels import filled, valid_mask

__all__ = [
    "Adaptive",
    "Fixed",
    "NormaliserSettings",
    "Percentile",
    "ThermalNormaliser",
    "normaliser",
    "to_display",
    "valid_mask",
]

MIN_VALID_SHARE = 0.1  # of the pixels; a frame with fewer shows too little to judge its range
MAX_SAMPLES = 16_384
QUANTILES = np.array([0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98])
# A change between two frames counts as one of gain and offset when an affine map leaves at most
# this share of it unexplained, and it is at least this share of the frame's own contrast.
MAX_UNEXPLAINED = 0.1
MIN_CHANGE = 0.1
MAX_GAIN = 4.0


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    invert: bool = Field(default=False, description="invert black-hot frames: 255 minus the level")
    no_data: Annotated[float, Field(allow_inf_nan=False)] | Literal["none"] | None = Field(
        default=None,
        description="value of pixels that hold no measurement, as stored; none: every pixel is "
        "a measurement",
    )


class Fixed(_Settings):
    """A range of counts, given once."""

    kind: Literal["fixed"] = "fixed"
    low_counts: float = Field(description="count that becomes level 0")
    high_counts: float = Field(description="count that becomes level 255")

    def model_post_init(self, _context: Any) -> None:
        """Refuse an empty range."""
        if not (math.isfinite(self.low_counts) and math.isfinite(self.high_counts)):
            raise ValueError("low_counts and high_counts must be finite")
        if self.high_counts <= self.low_counts:
            raise ValueError(
                f"high_counts {self.high_counts:g} must be above low_counts {self.low_counts:g}"
            )


class Percentile(_Settings):
    """The range of each frame by itself."""

    kind: Literal["percentile"] = "percentile"
    low_percentile: float = Field(default=1.0, ge=0.0, lt=50.0)
    high_percentile: float = Field(default=99.0, gt=50.0, le=100.0)
    margin: float = Field(
        default=0.2,
        ge=0.0,
        le=2.0,
        description="margin below and above the percentiles, as a fraction of the range between "
        "them, so that a small hot target is not clipped",
    )


class Adaptive(Percentile):
    """The percentile range, smoothed over frames; changes of gain are followed at once."""

    kind: Literal["adaptive"] = "adaptive"  # type: ignore[assignment]
    time_constant_frames: float = Field(default=30.0, gt=0.0)


NormaliserSettings = Annotated[Fixed | Percentile | Adaptive, Field(discriminator="kind")]

_KINDS: dict[str, type[Fixed] | type[Percentile] | type[Adaptive]] = {
    "adaptive": Adaptive,
    "fixed": Fixed,
    "percentile": Percentile,
}


def normaliser(name: str, **changes: Any) -> Fixed | Percentile | Adaptive:
    """Settings by name: ``adaptive``, ``percentile``, or ``fixed:LOW:HIGH`` in counts.

    Args:
        name: name of the settings; plain ``fixed`` needs ``low_counts`` and ``high_counts``.
        **changes: fields that differ from the defaults, such as ``invert=True``.

    Raises:
        RecipeError: unknown name or field, or a value out of its bounds.

    >>> normaliser("fixed:2600:3200").high_counts
    3200.0
    """
    kind, *numbers = name.split(":")
    if kind not in _KINDS:
        raise RecipeError(f'unknown normaliser "{name}"', fix=did_you_mean(kind, _KINDS))
    try:
        if numbers:
            low, high = (float(number) for number in numbers)
            changes = {"low_counts": low, "high_counts": high, **changes}
        return _KINDS[kind](**changes)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"{field}: {first['msg']}" if field else first["msg"], f'normaliser "{name}"'
        ) from error
    except ValueError as error:
        raise RecipeError(
            f'normaliser "{name}" has no range', fix='write it as "fixed:LOW:HIGH"'
        ) from error


class ThermalNormaliser:
    """Makes grey levels of the frames of one stream, in order.

    Args:
        settings: settings from :func:`normaliser`.

    >>> levels = ThermalNormaliser(normaliser("fixed:1000:2000"))
    >>> levels(np.array([[1000, 1500, 2000]], dtype=np.uint16))
    array([[  0. , 127.5, 255. ]], dtype=float32)
    """

    def __init__(self, settings: Fixed | Percentile | Adaptive) -> None:
        self.settings = settings
        self._range: tuple[float, float] | None = None
        self._quantiles: np.ndarray | None = None

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Grey levels of the next frame.

        Args:
            frame: ``[H,W]`` uint8, uint16 or float; never changed.

        Returns:
            ``[H,W]``. uint8 for uint8, the frame itself (``invert``: a new one). Else float32 in
            [0, 255]; 0 everywhere while nothing with contrast has been seen. Pixels that are no
            measurement have the mean level of the others, in a new array.

        Raises:
            ValueError: not two axes, or of another type.
        """
        return self.levels(frame, valid_mask(frame, self.settings.no_data))

    def levels(self, frame: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        """Grey levels of the next frame, where its mask is known already.

        Args:
            frame: ``[H,W]`` uint8, uint16 or float; never changed.
            valid: ``[H,W]``, from :func:`tirtrack.valid_pixels.valid_mask`; ``None``: all pixels.

        Raises:
            ValueError: not two axes, or of another type.
        """
        if frame.ndim != 2 or not (frame.dtype in (np.uint8, np.uint16) or frame.dtype.kind == "f"):
            raise ValueError(
                "frames must be [H,W] uint8, uint16 or float, got "
                f"{list(frame.shape)} {frame.dtype}"
            )
        if frame.dtype == np.uint8:
            levels = 255 - frame if self.settings.invert else frame
            return levels if valid is None else filled(levels, valid)
        limits = self._limits(frame, valid)
        if limits is None:
            return np.zeros(frame.shape, np.float32)
        levels = _levels(frame, *limits, invert=self.settings.invert)
        return levels if valid is None else filled(levels, valid)

    def state_dict(self) -> dict[str, Any]:
        """What later frames depend on, as plain values."""
        return {
            "range": None if self._range is None else list(self._range),
            "quantiles": None if self._quantiles is None else self._quantiles.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state."""
        limits, quantiles = state["range"], state["quantiles"]
        self._range = None if limits is None else (float(limits[0]), float(limits[1]))
        self._quantiles = None if quantiles is None else np.array(quantiles, dtype=np.float64)

    def _limits(self, frame: np.ndarray, valid: np.ndarray | None) -> tuple[float, float] | None:
        """The counts of levels 0 and 255 for this frame; moves the state on."""
        settings = self.settings
        if isinstance(settings, Fixed):
            return settings.low_counts, settings.high_counts
        samples = _samples(frame, valid)
        seen = _percentile_range(samples, settings)
        if isinstance(settings, Adaptive):
            if seen is not None:
                self._advance(samples, seen, settings)
            seen = self._range
        if seen is None:
            return None
        room = settings.margin * (seen[1] - seen[0])
        return seen[0] - room, seen[1] + room

    def _advance(self, samples: np.ndarray, seen: tuple[float, float], settings: Adaptive) -> None:
        quantiles = _quantiles(samples, QUANTILES)
        kept = self._range
        if kept is not None and self._quantiles is not None:
            change = gain_change(self._quantiles, quantiles)
            if change is not None:
                kept = (change[0] * kept[0] + change[1], change[0] * kept[1] + change[1])
        if kept is None or _is_another_scene(quantiles, kept):
            kept = seen
        self._range = _approach(kept, seen, settings.time_constant_frames)
        self._quantiles = quantiles


def gain_change(before: np.ndarray, after: np.ndarray) -> tuple[float, float] | None:
    """Gain and offset ``(g, o)`` with ``after = g * before + o``, if that is what happened.

    A hot object moves the upper quantiles alone, which no gain explains; AGC moves all of them on
    one line.

    Args:
        before: ``[n]`` quantiles ``QUANTILES`` of the last frame, counts.
        after: ``[n]`` the same quantiles of this frame.

    Returns:
        ``None`` if there was no notable change, or it was not one of gain and offset.
    """
    spread = float(np.std(before))
    moved = float(np.sqrt(np.mean((after - before) ** 2)))
    if spread <= 0.0 or moved < MIN_CHANGE * spread:
        return None
    gain = float(np.mean((before - before.mean()) * (after - after.mean()))) / spread**2
    offset = float(after.mean() - gain * before.mean())
    unexplained = float(np.sqrt(np.mean((gain * before + offset - after) ** 2)))
    if not 1 / MAX_GAIN < gain < MAX_GAIN or unexplained > MAX_UNEXPLAINED * moved:
        return None
    return gain, offset


def to_display(frame: np.ndarray, no_data: NoData | None = None) -> np.ndarray:
    """A picture of any frame for people: ``[H,W,3]`` uint8 RGB.

    8-bit frames keep their values. Others are spread between their own 1st and 99th percentile
    (with room above and below); for video use a :class:`ThermalNormaliser`, which does not flicker.

    Args:
        frame: ``[H,W]``, ``[H,W,1]``, ``[H,W,3]`` or ``[H,W,4]``, uint8, uint16 or float.
        no_data: value without a measurement, as for :func:`tirtrack.valid_pixels.valid_mask`.
    """
    if frame.ndim == 3:
        frame = frame[..., 0] if frame.shape[2] in (1, 2) else frame[..., :3]
    if frame.dtype != np.uint8:
        valid = valid_mask(frame, no_data)
        if valid is not None and frame.ndim == 3:
            valid = valid.repeat(frame.shape[2], axis=1)
        flat = ThermalNormaliser(Percentile()).levels(frame.reshape(len(frame), -1), valid)
        frame = np.round(flat).astype(np.uint8).reshape(frame.shape)
    return np.repeat(frame[..., None], 3, axis=2) if frame.ndim == 2 else frame.copy()


def _samples(frame: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """``[n]`` float64 measured pixels on an even grid of at most ``MAX_SAMPLES``, sorted; empty
    for a frame that has hardly any.
    """
    step = max(1, math.ceil(math.sqrt(frame.size / MAX_SAMPLES)))
    grid = frame[::step, ::step]
    measured = grid if valid is None else grid[valid[::step, ::step]]
    samples = np.sort(measured, axis=None).astype(np.float64)  # counts sort faster than floats
    return samples if samples.size >= MIN_VALID_SHARE * grid.size else samples[:0]


def _quantiles(samples: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Quantiles of samples that are sorted already, linear between neighbours."""
    found: np.ndarray = np.interp(shares * (samples.size - 1), np.arange(samples.size), samples)
    return found


def _percentile_range(samples: np.ndarray, settings: Percentile) -> tuple[float, float] | None:
    """The percentile range of sorted samples; ``None`` without contrast."""
    if samples.size == 0:
        return None
    shares = np.array([settings.low_percentile, settings.high_percentile]) / 100.0
    low, high = _quantiles(samples, shares)
    if high <= low:
        low, high = samples[0], samples[-1]
    return (float(low), float(high)) if high > low else None


def _approach(
    kept: tuple[float, float], seen: tuple[float, float], time_constant_frames: float
) -> tuple[float, float]:
    """One frame's step from the range that is kept towards the one that is seen.

    The *logarithm* of the width moves by the share that the time constant says; so an object
    hotter by ten ranges takes no more contrast from the others in one frame than one hotter by two.
    """
    share = 1.0 - math.exp(-1.0 / time_constant_frames)
    ratio = (seen[1] - seen[0]) / (kept[1] - kept[0])
    step = share if math.isclose(ratio, 1.0) else (ratio**share - 1.0) / (ratio - 1.0)
    return kept[0] + step * (seen[0] - kept[0]), kept[1] + step * (seen[1] - kept[1])


def _is_another_scene(quantiles: np.ndarray, kept: tuple[float, float]) -> bool:
    """Whether the middle of the picture lies wholly outside the range that is kept."""
    low, high = float(quantiles[2]), float(quantiles[-3])
    return low > kept[1] or high < kept[0]


def _levels(frame: np.ndarray, low: float, high: float, *, invert: bool) -> np.ndarray:
    """``[H,W]`` float32 in [0, 255] of finite ``low < high``; what is not finite stays so."""
    exact = np.dtype(np.float64 if frame.dtype == np.float64 else np.float32)
    levels: np.ndarray = frame.astype(exact)
    with np.errstate(invalid="ignore", over="ignore"):
        levels -= exact.type(low)
        levels *= exact.type(255.0 / (high - low))
    np.clip(levels, 0.0, 255.0, out=levels)
    if invert:
        np.subtract(255.0, levels, out=levels)
    return levels.astype(np.float32, copy=False)
