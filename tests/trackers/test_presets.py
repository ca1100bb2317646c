"""Presets: the published constants, differences, and closed settings."""

import re

import pytest

from tirtrack.errors import RecipeError
from tirtrack.trackers.presets import preset, preset_names, with_overrides

CONSTANTS = [
    ("nanotrack-v1", 0.148, 0.462, 0.390),
    ("nanotrack-v2", 0.150, 0.490, 0.385),
    ("nanotrack-v3", 0.138, 0.455, 0.348),
    ("fear-xs", 0.062, 0.38, 0.765),
]


@pytest.mark.parametrize(("architecture", "penalty", "window", "rate"), CONSTANTS)
@pytest.mark.parametrize("name", [name for name in preset_names() if "_rate" not in name])
def test_every_preset_has_the_published_constants_of_its_version(
    name, architecture, penalty, window, rate
):
    settings = preset(name, architecture)
    assert (settings.penalty_k, settings.window_influence) == (penalty, window)
    assert settings.size_rate == rate


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("floor10", "min_side", 10.0),
        ("k_floor", "min_side", 5.0),
        ("k_rate_low", "size_rate", 0.25),
        ("k_rate_high", "size_rate", 0.45),
        ("k_stretch", "stretch", True),
    ],
)
def test_a_control_differs_from_default_in_one_setting(name, key, value):
    default = preset("default", "nanotrack-v3")
    assert preset(name, "nanotrack-v3") == default.model_copy(update={key: value})
    assert getattr(default, key) != value


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
