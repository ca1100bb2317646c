"""Steps of ATOM that no golden run turns on."""

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.networks import registry
from tirtrack.trackers.atom import AtomTracker
from tirtrack.trackers.atom_presets import preset
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.peak_score import family_peak_calibration

FIRST = Box(60.0, 40.0, 30.0, 24.0)


@pytest.fixture(scope="module")
def engine():
    network = registry.build("atom18", tiny=True, seed=3).eval()
    return OnlineEngine(network.requires_grad_(requires_grad=False))


@pytest.fixture
def make(engine):
    def made(name="default", **changes):
        quick = {"init_cg_iter": 6, "init_gn_iter": 2, "sample_memory_size": 40, **changes}
        settings = preset(name, "atom18-tiny").model_copy(update=quick)
        return AtomTracker(engine, settings, family_peak_calibration(None))

    return made


@pytest.mark.parametrize(
    ("changes", "sides"),
    [
        ({}, [288, 288]),
        ({"feature_size_odd": True}, [304, 304]),
        ({"search_area_shape": "initrect"}, [256, 320]),
    ],
)
def test_samples_have_whole_cells_of_the_parity_asked_for(make, changes, sides):
    area = {"max_image_sample_size": 288**2, "min_image_sample_size": 288**2}
    tracker = make(**area, **changes)
    found, scale = tracker._first_scale(np.array([40.0, 50.0]), np.zeros(2))
    assert found.tolist() == sides
    assert scale == pytest.approx(np.sqrt(40 * 50 * 25) / 288)


def test_between_its_bounds_a_sample_is_as_large_as_the_search_region(make):
    tracker = make(max_image_sample_size=400**2, min_image_sample_size=100**2)
    _, scale = tracker._first_scale(np.array([40.0, 50.0]), np.zeros(2))
    assert scale == 1.0


@pytest.mark.parametrize(
    "changes",
    [
        {"proj_init_method": "pca", "compressed_dim": 8},
        {"filter_init_method": "zeros"},
        {"update_projection_matrix": False},
        {"projection_activation": "relu", "response_activation": "elu"},
        {"iounet_not_use_reference": True},
        {"window_output": True, "use_clipped_window": True, "effective_search_area": 3.0},
        {"post_init_cg_iter": 2, "fletcher_reeves": True, "cg_forgetting_rate": 10.0},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_setting_gives_finite_boxes(make, bright_frame, changes):
    tracker = make(train_skipping=1, target_not_found_threshold=-1e9, **changes)
    tracker.init(bright_frame(FIRST.array()), FIRST)
    for t in range(1, 3):
        assert np.isfinite(tracker.update(bright_frame(FIRST.array(), t)).box.array()).all()


def test_the_control_without_reference_modulates_all_channels_alike(make, bright_frame):
    tracker = make(iounet_not_use_reference=True)
    tracker.init(bright_frame(FIRST.array()), FIRST)
    for vector in tracker.model.modulation:
        assert float(vector.max()) == float(vector.min())


def test_directions_are_forgotten_at_the_published_rate(make):
    assert make()._forget_factor() == 0.0
    assert make(cg_forgetting_rate=10.0)._forget_factor() == pytest.approx(0.98**10)
    assert make(cg_forgetting_rate=10.0, learning_rate=1.0)._forget_factor() == 0.0


def test_it_learns_on_schedule_even_when_nothing_was_found(make, bright_frame):
    tracker = make(train_skipping=2, target_not_found_threshold=1e9)
    tracker.init(bright_frame(FIRST.array()), FIRST)
    states = [tracker.update(bright_frame(None, t)) for t in (1, 2)]
    assert [state.diagnostics["iterations"] for state in states] == [[], [5]]
    assert [state.diagnostics["slot"] for state in states] == [None, None]
