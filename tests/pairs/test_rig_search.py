"""The map of a rig: found where it is known, and not trusted where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rigs import RGB_WH, TIR_WH, mapped, matrix, pictures, with_lens

from tirtrack.pairs.rig import Rig
from tirtrack.pairs.rig_maps import DIGITS
from tirtrack.pairs.rig_search import PairPictures, find_rig, measure_rig


def residual_px(rig: Rig, tir_from_rgb: np.ndarray, radial: float = 0.0) -> float:
    """Mean distance from the known map over the part that TIR shows, pixels at 640 px width."""
    x, y = np.meshgrid(np.linspace(0, RGB_WH[0], 9), np.linspace(0, RGB_WH[1], 7))
    points = np.stack([x, y], axis=-1).reshape(-1, 2)
    known = with_lens(mapped(tir_from_rgb, points), radial)
    shown = ((known >= 0) & (known <= TIR_WH)).all(axis=1)
    apart = np.linalg.norm(rig.places(points[shown]) - known[shown], axis=1).mean()
    return float(apart) / np.sqrt(np.linalg.det(tir_from_rgb[:2, :2])) * 640 / RGB_WH[0]


@pytest.mark.parametrize(
    "tir_from_rgb",
    [
        pytest.param(matrix(), id="none"),
        pytest.param(matrix(shift_xy=(18.0, -20.0)), id="shift"),
        pytest.param(matrix(0.7, (-10.0, 8.0)), id="wider view"),
        pytest.param(matrix(1.4, (12.0, -9.0)), id="narrower view"),
        pytest.param(matrix(1.1, (6.0, 5.0), turn_deg=3.0), id="turned"),
        pytest.param(matrix(1.05, (6.0, 5.0), tilt=(1.5e-4, -1e-4)), id="homography"),
    ],
)
def test_a_known_map_is_found_and_trusted(tir_from_rgb):
    rig = find_rig([pictures(tir_from_rgb, seed) for seed in range(4)])
    assert residual_px(rig, tir_from_rgb) < 1.0
    assert rig.is_trusted
    assert rig.score > 0.7
    assert rig.residual_px is not None
    assert rig.residual_px < 1.0
    assert [one.pair for one in rig.residuals] == [f"scene/{seed}" for seed in range(4)]
    assert rig.radial == 0


@pytest.mark.parametrize("radial", [-0.12, 0.1])
def test_a_lens_that_bends_is_found(radial):
    known = matrix(0.9, (6.0, -4.0))
    rig = find_rig([pictures(known, seed, radial=radial) for seed in range(6)])
    assert abs(rig.radial - radial) < 0.02
    assert residual_px(rig, known, radial) < 1.0


def test_a_map_has_no_digits_that_differ_between_processors():
    """It is part of the identity of the pairs, by which a run finds its cache and goes on."""
    rig = find_rig([pictures(matrix(1.2, (10.0, 4.0)))])
    numbers = [value for row in rig.tir_from_rgb for value in row]
    assert numbers == [float(f"{value:.{DIGITS}g}") for value in numbers]


def test_one_pair_is_enough_where_it_has_outlines():
    known = matrix(1.2, (10.0, 4.0))
    assert residual_px(find_rig([pictures(known)]), known) < 1.5


def test_pairs_are_used_together():
    """Each pair has outlines in one quarter only, all of them in all four."""
    known, parts = matrix(1.1, (8.0, -6.0)), []
    for seed in range(4):
        pair = pictures(known, seed)
        row, column = divmod(seed, 2)
        rgb, tir = np.full_like(pair.rgb, 90), np.full_like(pair.tir, 120)
        for blank, full in ((rgb, pair.rgb), (tir, pair.tir)):
            h, w = (length // 2 for length in blank.shape[:2])
            part = slice(row * h, row * h + h), slice(column * w, column * w + w)
            blank[part] = full[part]
        parts.append(replace(pair, rgb=rgb, tir=tir))
    assert residual_px(find_rig(parts), known) < 2.0


def test_unrelated_pictures_are_not_trusted():
    pairs = [
        PairPictures("odd", pictures(matrix(), seed).rgb, pictures(matrix(), seed + 50).tir)
        for seed in range(3)
    ]
    assert not find_rig(pairs).is_trusted


@pytest.mark.parametrize("level", [0, 255])
def test_blank_pictures_are_not_trusted(level):
    pair = pictures(matrix())
    rig = find_rig([replace(pair, tir=np.full_like(pair.tir, level))])
    assert rig.score == 0.0
    assert rig.residual_px is None


def test_counts_with_holes_are_registered_by_what_was_measured():
    known = matrix(1.1, (9.0, 3.0))
    pairs = []
    for seed in range(3):
        pair = pictures(known, seed)
        counts = pair.tir.astype(np.float32) * 4 + 7000
        counts[:, :60] = np.nan
        pairs.append(replace(pair, tir=counts, tir_valid=np.isfinite(counts)))
    assert residual_px(find_rig(pairs), known) < 1.5


def test_the_score_of_a_wrong_map_is_low():
    pairs = [pictures(matrix(), seed) for seed in range(2)]
    right = find_rig(pairs)
    rows = tuple(tuple(row) for row in matrix(shift_xy=(7.0, 0.0)).tolist())
    wrong = measure_rig(pairs, right.model_copy(update={"tir_from_rgb": rows}))
    assert wrong.score < 0.2 < right.score
    assert wrong.residual_px is None or wrong.residual_px > 2.5


def test_pairs_of_two_sizes_are_refused():
    small = replace(pictures(matrix()), tir=np.zeros((20, 30), np.uint8))
    with pytest.raises(ValueError, match="equal sizes"):
        find_rig([pictures(matrix()), small])
