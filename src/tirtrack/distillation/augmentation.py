"""Photometric changes, for robustness and to make fake TIR from RGB.

A :class:`PhotometricJitter` is drawn once per sample and applied to all of its patches, so that
reference and test patch seem to come from one camera; only the noise is drawn for each patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from tirtrack.distillation.settings import Modality, Photometric, Recipe

MIN_SIGMA = 0.3
# ITU-R BT.601, the weights of every grey conversion that the trackers' data sets went through.
GREY_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class PhotometricJitter:
    """The photometric change of one sample's patches; the defaults change nothing."""

    is_grey: bool = False
    is_inverted: bool = False
    gamma: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    blur_sigma: float = 0.0
    noise_sigma: float = 0.0


def photometric_of(recipe: Recipe, modality: Modality) -> Photometric:
    """The photometric changes that a recipe makes in one modality of the student's patches."""
    settings = recipe.augmentation
    if isinstance(settings, Photometric):
        return settings
    return settings.rgb if modality is Modality.RGB else settings.tir


def draw_jitter(settings: Photometric, rng: np.random.Generator) -> PhotometricJitter:
    """A random photometric change.

    Always draws nine numbers, so no setting shifts another's draw.
    """
    u = rng.random(9)
    return PhotometricJitter(
        is_grey=bool(u[0] < settings.grey),
        is_inverted=bool(u[1] < settings.invert),
        gamma=float(2.0 ** (settings.gamma * (2 * u[2] - 1))),
        gain=float(1 + settings.gain * (2 * u[3] - 1)),
        offset=float(settings.offset * (2 * u[4] - 1)),
        blur_sigma=float(
            MIN_SIGMA + max(settings.blur_sigma - MIN_SIGMA, 0.0) * u[6]
            if u[5] < settings.blur
            else 0.0
        ),
        noise_sigma=float(settings.noise * u[7]),
    )


def apply_jitter(
    patch: np.ndarray, jitter: PhotometricJitter, rng: np.random.Generator
) -> np.ndarray:
    """The patch with the jitter applied: float32, in 0..255, the same shape.

    Args:
        patch: ``[D,D]`` or ``[D,D,3]``, grey levels 0..255; not changed.
        jitter: photometric change, from :func:`draw_jitter`.
        rng: generator of the noise.
    """
    levels = patch.astype(np.float32) / 255
    if jitter.is_grey and levels.ndim == 3:
        levels = np.repeat((levels @ GREY_WEIGHTS)[:, :, None], 3, axis=2)
    if jitter.gamma != 1.0:
        levels = levels**jitter.gamma
    if jitter.is_inverted:
        levels = 1 - levels
    levels = levels * jitter.gain + jitter.offset / 255
    if jitter.blur_sigma:
        sigma = (jitter.blur_sigma, jitter.blur_sigma, 0.0)[: levels.ndim]
        levels = gaussian_filter(levels, sigma, mode="nearest")
    if jitter.noise_sigma:
        shape = levels.shape[:2] + (1,) * (levels.ndim - 2)  # the same noise in all channels
        noise = rng.standard_normal(shape, dtype=np.float32)
        levels = levels + noise * (jitter.noise_sigma / 255)
    return (levels * 255).clip(0, 255).astype(np.float32)
