"""The decision table, the maps before it and the windows: golden/trackers/pieces, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from tirtrack.trackers import atom_presets, dimp_presets
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.localisation import (
    Grid,
    Peak,
    Thresholds,
    centered_hann,
    clipped_hann,
    fine_scores,
    highest,
    judge,
    localise_atom,
    localise_dimp,
    origin_clipped_hann,
    origin_hann,
    prepared,
    thresholds_of,
)
from tirtrack.trackers.patch_extraction import SampleFrame
from tirtrack.trackers.place import OnlinePlace

SIDE = np.array([288.0, 288.0])
DIMP = dimp_presets.published_set("dimp18")
ATOM = atom_presets.published_set("default")


@pytest.fixture(scope="module")
def golden(shared, golden_runs):
    return golden_runs.pieces(shared, "maps")


def placed(one, scale=1.0):
    position = one.get("pos", [0.0, 0.0])
    return OnlinePlace(np.array(position), np.array(one["target_sz"]), scale)


@pytest.mark.parametrize("case", range(129))
def test_every_row_of_the_table_equals_the_golden_one(golden, golden_runs, case):
    numbers, arrays = golden
    one = numbers["localize_advanced_dimp"]["cases"][case]
    settings = DIMP.model_copy(update=golden_runs.ours(one["params"], DIMP))
    scores = arrays[f"loc_{case:03d}"].astype(np.float64)
    samples = [
        SampleFrame(np.array(center), scale, SIDE)
        for center, scale in zip(one["sample_pos"], one["sample_scales"], strict=True)
    ]
    located = localise_dimp(
        scores,
        samples,
        placed(one),
        settings=settings,
        thresholds=thresholds_of(
            settings,
            uncertain=settings.uncertain_threshold,
            hard_sample=settings.hard_sample_threshold,
        ),
        kernel_side=4,
        window=centered_hann(np.array([19, 19])) if one["window"] else None,
    )
    assert (located.flag, located.scale_index) == (one["flag"], one["scale_ind"]), one["branch"]
    assert_allclose(located.translation_yx, one["translation"], atol=1e-9)
    assert located.scores.max() == pytest.approx(one["returned_max"], abs=1e-9)


@pytest.mark.parametrize("case", range(7))
def test_prepared_maps_and_basic_localisation_equal_the_golden_ones(golden, case):
    numbers, arrays = golden
    one = numbers["localize_basic_dimp"][case]
    scores = prepared(
        arrays[f"basic_in_{case}"],
        one["score_preprocess"],
        softmax_reg=one["softmax_reg"],
        filter_side=one["score_filter_ksz"],
    )
    assert_allclose(scores, arrays[f"basic_out_{case}"], atol=1e-9)
    settings = DIMP.model_copy(update={"advanced_localization": False})
    located = localise_dimp(
        scores,
        [SampleFrame(np.zeros(2), scale, SIDE) for scale in one["sample_scales"]],
        OnlinePlace(np.zeros(2), np.array([40.0, 60.0]), 1.0),
        settings=settings,
        thresholds=thresholds_of(settings),
        kernel_side=4,
        window=None,
    )
    assert (located.flag, located.scale_index) == (Flag.NONE, one["scale_ind"])
    assert_allclose(located.translation_yx, one["translation"], atol=1e-9)


@pytest.mark.parametrize("case", range(26))
def test_fine_maps_and_localisation_of_atom_equal_the_golden_ones(golden, golden_runs, case):
    numbers, arrays = golden
    one = numbers["localize_atom"][case]
    settings = ATOM.model_copy(update=golden_runs.ours(one["params"], ATOM))
    support = one["support"]
    scores = arrays[f"atom_loc_in_{case:02d}"][:, 0]
    fine = fine_scores(scores, (support, support), tuple(one["kernel_size"]))
    shape = np.array(fine.shape[1:])
    located = localise_atom(
        fine,
        placed(one, one["target_scale"]),
        np.array([support, support], dtype=np.float64),
        settings=settings,
        window=origin_hann(shape) if one["window"] else None,
    )
    assert (located.flag, located.scale_index) == (one["flag"] or Flag.NONE, one["scale_ind"])
    assert_allclose(located.translation_yx, one["translation"], atol=1e-9)
    assert located.scores.max() == pytest.approx(one["returned_max"], abs=1e-6)
    assert_array_equal(highest(located.scores).cells, one["argmax"])
    stored = f"atom_loc_out_{case:02d}"
    if stored in arrays:
        shown = arrays[stored][located.scale_index, 0]
        assert_allclose(located.scores, shown, atol=1e-6)


def test_windows_equal_the_golden_ones(shared, golden_runs):
    _, arrays = golden_runs.pieces(shared, "boxes")
    for side in (18, 19, 23):
        shape = np.array([side, side])
        assert_allclose(centered_hann(shape), arrays[f"hann_centered_{side}"], atol=1e-9)
        assert_allclose(origin_hann(shape), arrays[f"hann_origin_{side}"], atol=1e-9)
    assert_allclose(origin_hann(np.array([6, 9])), arrays["hann_rect_origin_6_9"], atol=1e-9)
    for side, effective in ((19, 11), (18, 11), (23, 12)):
        window = clipped_hann(np.array([side] * 2), np.array([effective] * 2))
        assert_allclose(window, arrays[f"hann_clipped_{side}_{effective}"], atol=1e-9)
    window = origin_clipped_hann(np.array([18, 18]), np.array([11, 11]))
    assert_allclose(window, arrays["hann_clipped_origin_18_11"], atol=1e-9)


def test_of_equal_maxima_the_smallest_column_then_row_wins(shared, golden_runs):
    one = golden_runs.pieces(shared, "boxes")[0]["max2d_tie"]
    scores = np.zeros((5, 5))
    scores[tuple(np.array(one["ones_at"]).T)] = 1.0
    assert_array_equal(highest(scores).cells, one["argmax"])


TABLE = Thresholds(not_found=0.2, distractor=0.8, hard_negative=0.5, displacement_scale=0.8)


def judged(first, second, *, at=(9, 9), other=(2, 3), thresholds=TABLE):
    scores = np.zeros((19, 19))
    scores[at], scores[other] = first, second
    grid = Grid(np.array([9.0, 9.0]), np.array([3.0, 3.0]), np.zeros(2))
    return judge(Peak(first, np.array(at)), scores, grid, thresholds)[1]


@pytest.mark.parametrize(
    ("first", "second", "flag"),
    [
        (0.2, 0.0, Flag.NORMAL),  # strict: equality with a threshold is above it
        (np.nextafter(0.2, 0), 0.0, Flag.NOT_FOUND),
        (1.0, 0.5, Flag.NORMAL),
        (1.0, np.nextafter(0.5, 1), Flag.HARD_NEGATIVE),
        (1.0, 0.81, Flag.HARD_NEGATIVE),
        (0.3, 0.2, Flag.NORMAL),  # a second peak that would not be found is none
    ],
)
def test_thresholds_are_strict_as_written(first, second, flag):
    assert judged(first, second) is flag


def test_peaks_that_are_both_near_are_uncertain():
    assert judged(1.0, 0.9, other=(9, 13)) is Flag.UNCERTAIN


@given(st.integers(0, 18), st.integers(0, 18), st.floats(0.5, 2.0))
def test_a_lone_peak_is_found_where_it_is(row, column, scale):
    scores = np.full((1, 19, 19), 0.01)
    scores[0, row, column] = 0.9
    sample = SampleFrame(np.array([50.0, 60.0]), scale, SIDE)
    located = localise_dimp(
        scores,
        [sample],
        OnlinePlace(np.array([50.0, 60.0]), np.array([40.0, 60.0]), scale),
        settings=DIMP,
        thresholds=thresholds_of(DIMP),
        kernel_side=4,
        window=None,
    )
    assert located.flag is Flag.NORMAL
    assert_allclose(located.translation_yx, (np.array([row, column]) - 9) * 16 * scale)


def test_fine_scores_of_a_constant_map_are_constant():
    assert_allclose(fine_scores(np.full((1, 7, 7), 0.3), (112, 112), (4, 4)), 0.3, atol=1e-12)
