"""Steps of DiMP that no golden run turns on, and its pitfalls."""

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.networks import registry
from tirtrack.trackers.dimp import DimpTracker
from tirtrack.trackers.dimp_presets import preset
from tirtrack.trackers.online_engine import OnlineEngine
from tirtrack.trackers.online_settings import FirstFrameAugmentation
from tirtrack.trackers.peak_score import family_peak_calibration

FIRST = Box(60.0, 40.0, 30.0, 24.0)


@pytest.fixture(scope="module")
def engines():
    made = {}

    def make(name):
        if name not in made:
            network = registry.build(name, tiny=True, seed=3).eval()
            made[name] = OnlineEngine(network.requires_grad_(requires_grad=False))
        return made[name]

    return make


@pytest.fixture
def make(engines):
    def made(name="dimp18", **changes):
        engine = engines(name)
        settings = preset("default", f"{name}-tiny").model_copy(update=changes)
        calibration = family_peak_calibration(engine.network.score_kind)
        return DimpTracker(engine, settings, calibration)

    return made


def test_dropout_copies_alone_bring_no_box_without_features(make, bright_frame):
    augmentation = FirstFrameAugmentation(flip=True, dropout=(3, 0.2))
    tracker = make(augmentation=augmentation, iounet_augmentation=True)
    tracker.init(bright_frame(FIRST.array()), FIRST)
    assert tracker.model.memory.weights.first == 5
    assert [vector.shape[0] for vector in tracker.model.modulation] == [1, 1]


def test_without_learning_there_is_no_memory_and_the_filter_stays(make, bright_frame):
    tracker = make(update_classifier=False, target_not_found_threshold=-1e9)
    tracker.init(bright_frame(FIRST.array()), FIRST)
    filter_ = tracker.model.filter
    tracker.update(bright_frame(FIRST.array(), 1))
    assert tracker.model.memory is None
    assert tracker.model.filter is filter_


@pytest.mark.parametrize(
    ("flag_threshold", "interval", "frame", "iterations", "stores"),
    [
        (-1e9, 1, 1, [], True),
        (-1e9, 1, 3, [2], True),  # the published count begins at 1: 4 is 3 + 1
        (-1e9, 2, 2, [], False),
        (1e9, 1, 3, [], False),  # not found: skipped, not postponed
    ],
)
def test_the_filter_is_improved_on_schedule_where_the_flag_allows(
    make, bright_frame, flag_threshold, interval, frame, iterations, stores
):
    tracker = make(
        target_not_found_threshold=flag_threshold,
        train_skipping=3,
        train_sample_interval=interval,
        advanced_localization=flag_threshold > 0,
        update_classifier=True,
    )
    tracker.init(bright_frame(FIRST.array()), FIRST)
    for t in range(1, frame + 1):
        state = tracker.update(bright_frame(FIRST.array(), t))
    assert state.diagnostics["iterations"] == iterations
    assert (state.diagnostics["slot"] is not None) == stores


def test_samples_of_the_frames_aspect_ratio_have_whole_cells(make):
    tracker = make(use_image_aspect_ratio=True, image_sample_size=288)
    sides, scale = tracker._first_scale(np.array([24.0, 30.0]), np.array([240.0, 320.0]))
    assert sides.tolist() == [256.0, 320.0]
    assert scale == pytest.approx(np.sqrt(24 * 30 * 25 / (256 * 320)))


def test_the_score_of_a_density_is_a_probability_whatever_the_map_is(make, bright_frame):
    raw, prepared = (
        make("prdimp18", score_preprocess=how, target_not_found_threshold=-1e9)
        for how in ("none", "softmax")
    )
    for tracker in (raw, prepared):
        tracker.init(bright_frame(FIRST.array()), FIRST)
    scores = [tracker.update(bright_frame(FIRST.array(), 1)).score for tracker in (raw, prepared)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
