"""The score of a raw peak: in [0, 1], rising, a half at the threshold of target not found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tirtrack.networks.score_kinds import Density, Hinge
from tirtrack.trackers.dimp_presets import preset
from tirtrack.trackers.peak_score import family_peak_calibration, score_of_peak

HINGE, DENSITY = Hinge(16, 288, 0.9), Density(16, 288, 0.9)
KINDS = (HINGE, DENSITY, None)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sampled_from(KINDS))
def test_a_score_is_in_bounds_and_never_falls_with_the_peak(peak, more, kind):
    numbers = family_peak_calibration(kind)
    low, high = score_of_peak(peak, numbers), score_of_peak(peak + more, numbers)
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize(("kind", "network"), [(HINGE, "dimp18"), (DENSITY, "prdimp18")])
def test_a_peak_at_the_threshold_of_not_found_is_worth_a_half(kind, network):
    threshold = preset("published", network).target_not_found_threshold
    assert score_of_peak(threshold, family_peak_calibration(kind)) == 0.5
