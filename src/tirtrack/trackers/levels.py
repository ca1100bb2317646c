"""From raw frames to grey levels 0..255, the input of networks for 8-bit images.

8-bit frames stay as they are. Pixels without a measurement become the mean level of the others.
Frames of more bits pass the thermal normaliser, which keeps its range from frame to frame; a colour
frame of more bits is mapped by one curve for all channels, and treated as grey if its channels are
equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tirtrack.valid_pixels import filled, valid_mask

if TYPE_CHECKING:
    from tirtrack.thermal import NormaliserSettings, ThermalNormaliser

STRETCH_PERCENTILES = (1.0, 99.0)


class GreyLevels:
    """Converts the frames of one stream, in order, to grey levels.

    Args:
        settings: settings of the normaliser; ``None``: ``adaptive``.
        stretch: whether to stretch each frame afterwards from its 1st to its 99th percentile.
    """

    def __init__(self, settings: NormaliserSettings | None, *, stretch: bool) -> None:
        self._settings = settings
        self._stretch = stretch
        self._normaliser: ThermalNormaliser | None = None

    def reset(self) -> None:
        """Forget the stream; the next frame counts as the first."""
        self._normaliser = None

    def valid(self, picture: np.ndarray) -> np.ndarray | None:
        """Mask of the pixels that are measurements; see :func:`tirtrack.thermal.valid_mask`."""
        return valid_mask(picture, None if self._settings is None else self._settings.no_data)

    def __call__(self, picture: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
        """Grey levels ``[H,W]`` or ``[H,W,3]``, uint8 or float32, of a picture of that shape.

        Args:
            picture: next frame of the stream.
            valid: mask from :meth:`valid`; ``None``: all pixels are measurements.
        """
        levels = self._normalise(picture, valid)
        if self._stretch:
            levels = stretch_levels(levels, valid)
        return levels if valid is None else filled(levels, valid)

    def state_dict(self) -> dict[str, Any]:
        """The state of the normaliser, ``None`` if no frame has needed it."""
        return {"normaliser": None if self._normaliser is None else self._normaliser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""
        self.reset()
        if state["normaliser"] is not None:
            self._made().load_state_dict(state["normaliser"])

    def _made(self) -> ThermalNormaliser:
        if self._normaliser is None:
            from tirtrack.thermal import ThermalNormaliser, normaliser

            self._normaliser = ThermalNormaliser(self._settings or normaliser("adaptive"))
        return self._normaliser

    def _normalise(self, picture: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
        normaliser = self._made()
        if picture.ndim == 2:
            return normaliser.levels(picture, valid)
        if picture.dtype == np.uint8:
            return 255 - picture if normaliser.settings.invert else picture
        first = picture[..., 0]
        if (picture == first[..., None]).all():
            return np.broadcast_to(normaliser.levels(first, valid)[..., None], picture.shape)
        flat = picture.reshape(len(picture), -1)  # one curve for all channels
        flat_valid = None if valid is None else valid.repeat(picture.shape[2], axis=1)
        return normaliser.levels(flat, flat_valid).reshape(picture.shape)


def stretch_levels(levels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Levels of any shape, their 1st to 99th percentile spread to 0..255; float32, clipped.

    A frame without contrast stays as it is.

    Args:
        levels: grey levels ``[H,W]`` or ``[H,W,3]``.
        valid: mask ``[H,W]`` of the pixels that the percentiles are taken from; ``None``: all.
    """
    low, high = np.percentile(levels if valid is None else levels[valid], STRETCH_PERCENTILES)
    if high <= low:
        return levels.astype(np.float32)
    spread = (levels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(spread.clip(0, 255))
