"""Two images as stored become a pair: pixels without a measurement stay apart from the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import ndimage

from tirtrack.boxes import Box
from tirtrack.pairs import open_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.proposals.rules import FOUND_LIMITS, RejectionReason, Screen
from tirtrack.pairs.source import Pair
from tirtrack.thermal import ThermalNormaliser, normaliser
from tirtrack.valid_pixels import marked

SHAPE = (96, 128)


def counts(seed: int = 0, *, shape=SHAPE) -> np.ndarray:
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 5)
    found = 7000 + 600 * smooth / np.abs(smooth).max() + rng.normal(0, 4, shape)
    found[shape[0] // 2 : shape[0] // 2 + 12, 60:76] += 500
    return found.astype(np.uint16)


def write_pairs(folder: Path, tir: list[np.ndarray], **tiff) -> Path:
    for name in ("rgb", "tir"):
        (folder / name).mkdir(parents=True)
    for k, image in enumerate(tir):
        rgb = np.random.default_rng(k).integers(60, 90, (*SHAPE, 3), dtype=np.uint8)
        rgb[48:60, 60:76] = 220
        Image.fromarray(rgb).save(folder / "rgb" / f"{k}.png")
        tifffile.imwrite(folder / "tir" / f"{k}.tif", image, **tiff)
    return folder


def warped(frame: np.ndarray) -> np.ndarray:
    turned = ndimage.rotate(frame.astype(float), 8.0, reshape=False, order=1, cval=0.0)
    return np.rint(turned).astype(np.uint16)


def test_zeros_that_a_warp_left_are_nan_and_the_depth_is_that_of_the_file(tmp_path):
    source = open_pairs(write_pairs(tmp_path / "a", [counts(), warped(counts(1)), counts(2)]))
    assert [source[k].tir.dtype for k in range(3)] == [np.uint16, np.float32, np.uint16]
    assert [source[k].tir_depth for k in range(3)] == ["uint16"] * 3
    tir, stored = source[1].tir, warped(counts(1))
    assert np.nanmin(tir) > 6300
    measured = np.isfinite(tir)
    assert_array_equal(tir[measured], stored[measured])


def test_a_fill_is_left_out_before_tir_is_resampled(tmp_path):
    small = np.where(np.arange(64) < 10, -9999.0, counts(shape=(48, 64))).astype(np.float32)
    tir = open_pairs(write_pairs(tmp_path / "a", [small]))[0].tir
    assert tir.shape == SHAPE
    assert np.nanmin(tir) > 6000
    assert np.isnan(tir[:, :18]).all()
    assert np.isfinite(tir[:, 24:]).all()


def test_grey_levels_of_a_pair_are_those_of_its_measured_pixels():
    frame = counts()
    frame[:, :20] = 0
    levels = ThermalNormaliser(normaliser("percentile"))
    assert_array_equal(levels(marked(frame, None)), levels(frame))
    assert levels(frame)[:, 20:].std() > 30


@pytest.mark.parametrize("way", ["saliency", "centre", "random"])
def test_inspection_says_once_a_recording_what_was_masked(way, tmp_path):
    source = open_pairs(write_pairs(tmp_path / "a", [warped(counts(k)) for k in range(5)]))
    found = inspect_pairs(source, proposer(way))
    said = [warning for warning in found.warnings if "no measurement" in warning]
    assert len(said) == 1
    assert said[0].startswith("a: 7 % of the TIR pixels")
    assert said[0].endswith(
        "% of the TIR pixels hold no measurement, in 5 of 5 pairs; they are left out"
    )
    facts = found.model_dump(mode="json")["recordings"][0]
    assert facts["tir_masked_pairs"] == 5
    assert 0.06 < facts["tir_masked_share"] < 0.08
    assert facts["tir_depths"] == {"uint16": 5}


def test_boxes_that_are_mostly_masked_are_refused_whoever_proposed_them():
    tir = marked(np.where(np.arange(128) < 40, 0, counts()).astype(np.uint16), None)
    pair = Pair("a/0", "a", 0, np.zeros((*SHAPE, 3), np.uint8), tir)
    boxes = [Box(10, 20, 20, 20), Box(32, 20, 20, 20), Box(70, 20, 20, 20)]
    found = Screen(pair, FOUND_LIMITS).sort(
        Proposal(box, FoundIn.RGB, 1.0, "detector") for box in boxes
    )
    assert [one.box for one in found.kept] == boxes[1:]
    assert [(one.box, one.reason) for one in found.rejected] == [
        (boxes[0], RejectionReason.NO_MEASUREMENT)
    ]


GDAL_NODATA = 42113  # TIFF tag: the value, as text


@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
def test_the_value_that_the_files_declare_is_left_out_of_pairs(depth, tmp_path):
    frame = counts() if depth != np.uint8 else ((counts() - 6000) // 10).astype(np.uint8)
    frame = frame.astype(depth)
    frame[20:30, 90:110] = 77
    tag = (GDAL_NODATA, "s", 0, "77", True)
    tir = open_pairs(write_pairs(tmp_path / "a", [frame], extratags=[tag]))[0].tir
    island = tir[20:30, 90:110]
    assert np.isnan(island).all() if depth != np.uint8 else (island != 77).all()
    plain = open_pairs(write_pairs(tmp_path / "b", [frame]))[0].tir
    assert (plain[20:30, 90:110] == 77).all()
