"""RGB that shows nothing: copies of recordings with smoke or darkness in place of their RGB."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage


def smoke(shape: tuple[int, ...], number: int, *, noise: float) -> np.ndarray:
    """A cloud that drifts, ``[H,W,3]`` uint8, with the noise of a camera in grey levels."""
    cloud = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape[:2]), 30)
    grey = 150 + 400 * np.roll(cloud, 9 * number, axis=1)
    grain = np.random.default_rng(number).normal(0, noise, shape)
    return np.asarray(np.clip(grey[:, :, None] + grain, 0, 255).astype(np.uint8))


def darkness(shape: tuple[int, ...], number: int) -> np.ndarray:
    """The noise of a camera at night: ``[H,W,3]`` uint8."""
    return np.clip(np.random.default_rng(number).normal(6, 4, shape), 0, 255).astype(np.uint8)


BLIND: dict[str, Callable[[tuple[int, ...], int], np.ndarray]] = {
    "smooth smoke": functools.partial(smoke, noise=0.0),
    "noisy smoke": functools.partial(smoke, noise=4.0),
    "darkness": darkness,
}


def write_blinded(
    recording: Path, folder: Path, blind: Callable[[tuple[int, ...], int], np.ndarray]
) -> None:
    """Copy a recording with other RGB frames, unless the copy is there whole."""
    if folder.is_dir():
        return
    begun = folder.with_name(f".{folder.name}")
    shutil.rmtree(begun, ignore_errors=True)
    shutil.copytree(recording / "tir", begun / "tir")
    (begun / "rgb").mkdir()
    for number, file in enumerate(sorted((recording / "rgb").iterdir())):
        shape = np.asarray(Image.open(file)).shape
        Image.fromarray(blind(shape, number)).save(begun / "rgb" / f"{file.stem}.png")
    begun.rename(folder)
