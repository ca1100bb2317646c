"""Pairs of a rig with a known map, made from one scene; importable by worker processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from tirtrack.pairs.rig_maps import straightened
from tirtrack.pairs.rig_search import PairPictures
from tirtrack.resampling import resampled_at

RGB_WH = (320, 240)
TIR_WH = (256, 192)
MARGIN = 120


def scene(seed: int, size_wh: tuple[int, int] = RGB_WH) -> np.ndarray:
    """Overlapping boxes and discs of random levels, with a margin around the picture."""
    rng = np.random.default_rng(seed)
    width, height = (length + 2 * MARGIN for length in size_wh)
    canvas = np.full((height, width), 90.0)
    rows, columns = np.mgrid[:height, :width]
    for _ in range(90):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = rng.uniform(8, 60, 2)
        if rng.random() < 0.5:
            inside = (np.abs(columns - x) < w / 2) & (np.abs(rows - y) < h / 2)
        else:
            inside = ((columns - x) / w) ** 2 + ((rows - y) / h) ** 2 < 0.25
        canvas[inside] = rng.uniform(0, 255)
    return ndimage.gaussian_filter(canvas, 0.8)


def matrix(
    scale: float = 1.0,
    shift_xy: tuple[float, float] = (0.0, 0.0),
    turn_deg: float = 0.0,
    tilt: tuple[float, float] = (0.0, 0.0),
    *,
    rgb_wh: tuple[int, int] = RGB_WH,
    tir_wh: tuple[int, int] = TIR_WH,
) -> np.ndarray:
    """From RGB to TIR: TIR shows the scene ``scale`` times as large as if it had RGB's view."""
    unit = tir_wh[0] / rgb_wh[0]
    c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
    found = np.eye(3)
    found[:2, :2] = scale * unit * np.array([[c, -s], [s, c]])
    middle_rgb, middle_tir = np.array(rgb_wh) / 2, np.array(tir_wh) / 2
    found[:2, 2] = middle_tir + np.array(shift_xy) * unit - found[:2, :2] @ middle_rgb
    found[2, :2] = tilt
    return found


def mapped(tir_from_rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``[...,2]`` through a homography."""
    moved = points @ tir_from_rgb[:2, :2].T + tir_from_rgb[:2, 2]
    return np.asarray(moved / (points @ tir_from_rgb[2, :2] + tir_from_rgb[2, 2])[..., None])


def with_lens(places: np.ndarray, radial: float, tir_wh: tuple[int, int] = TIR_WH) -> np.ndarray:
    """Where places ``[...,2]`` in TIR lie behind a lens with a radial term."""
    middle = np.array(tir_wh) / 2
    out = places - middle
    square = (out**2).sum(axis=-1, keepdims=True) / (middle**2).sum()
    return np.asarray(middle + out * (1 + radial * square))


def centres(size_wh: tuple[int, int]) -> np.ndarray:
    """``[H,W,2]`` centres of the pixels of a picture."""
    x, y = np.meshgrid(np.arange(size_wh[0]) + 0.5, np.arange(size_wh[1]) + 0.5)
    return np.stack([x, y], axis=-1)


def pictures(
    tir_from_rgb: np.ndarray,
    seed: int = 0,
    *,
    rgb_wh: tuple[int, int] = RGB_WH,
    tir_wh: tuple[int, int] = TIR_WH,
    radial: float = 0.0,
) -> PairPictures:
    """One pair: in TIR other levels, some of them turned over, and noise of its own."""
    world, rng = scene(seed, rgb_wh), np.random.default_rng([seed, 1])
    rgb = resampled_at(world, centres(rgb_wh) + MARGIN, None)
    straight = straightened(centres(tir_wh), radial, np.array(tir_wh) / 2)
    places = mapped(np.linalg.inv(tir_from_rgb), straight) + MARGIN
    levels = resampled_at(world, places, None)
    tir = 128 + 90 * np.sin(levels / 255 * np.pi * 1.5 + 1) + rng.normal(0, 3, levels.shape)
    three = np.repeat(np.rint(rgb)[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)
    return PairPictures(f"scene/{seed}", three, np.rint(tir).clip(0, 255).astype(np.uint8))


def write_recording(
    folder: Path,
    tir_from_rgb: np.ndarray,
    count: int = 4,
    *,
    tir_wh: tuple[int, int] = TIR_WH,
) -> Path:
    """A recording of such pairs, stills, as ``rgb/`` and ``tir/``."""
    for seed in range(count):
        pair = pictures(tir_from_rgb, seed, tir_wh=tir_wh)
        for name, image in (("rgb", pair.rgb), ("tir", pair.tir)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"{'abcdefgh'[seed]}.png")
    return folder
