"""Presets: the published constants, differences, and closed settings."""

import re

import pytest

from tirtrack.errors import RecipeError
from tirtrack.trackers.presets import preset, preset_names, with_overrides

CONSTANTS = [
    ("nanotrack-v1", 0.148, 0.462, 0.390),
    ("nanotrack-v2", 0.150, 0.490, 0.385),
    ("nanotrack-v3", 0.138, 0.455, 0.348),
]


@pytest.mark.parametrize(("architecture", "penalty", "window", "rate"), CONSTANTS)
@pytest.mark.parametrize("name", preset_names())
def test_every_preset_has_the_published_constants_of_its_version(
    name, architecture, penalty, window, rate
):
    settings = preset(name, architecture)
    assert (settings.penalty_k, settings.window_influence) == (penalty, window)
    assert settings.size_rate == rate


def test_floor10_differs_from_default_in_the_floor_alone():
    default, floor = preset("default", "nanotrack-v3"), preset("floor10", "nanotrack-v3")
    changed = {key for key, value in default if value != getattr(floor, key)}
    assert changed == {"min_side"}
    assert (default.min_side, floor.min_side) == (2.0, 10.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: preset("defualt", "nanotrack-v3"), 'did you mean "default"'),
        (lambda: preset("default", "dimp50"), 'no constants for the network "dimp50"'),
        (
            lambda: with_overrides(preset("default", "nanotrack-v3"), {"min_sid": 3.0}),
            'unknown tracker setting "min_sid"; did you mean "min_side"',
        ),
        (
            lambda: with_overrides(preset("default", "nanotrack-v3"), {"min_side": "3"}),
            "min_side cannot be '3'",
        ),
        (
            lambda: with_overrides(preset("default", "nanotrack-v3"), {"size_rate": 1.5}),
            "size_rate cannot be 1.5: input should be less than or equal to 1",
        ),
    ],
    ids=["preset", "network", "key", "type", "bound"],
)
def test_what_is_unknown_or_out_of_bounds_is_named(call, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        call()


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        preset("default", "nanotrack-v3").min_side = 3.0
