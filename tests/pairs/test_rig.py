"""A rig: its map, its file, and what damage of the file comes to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError

from tirtrack.errors import PairsError
from tirtrack.pairs.rig import MIN_SCORE, Rig, grid_places, read_rig, stretched, write_rig

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def rig(**changes: object) -> Rig:
    given = {"rgb_wh": (64, 48), "tir_wh": (32, 24), "tir_from_rgb": stretched_rows(), **changes}
    return Rig.model_validate(given)


def stretched_rows() -> tuple[tuple[float, ...], ...]:
    return ((0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 1.0))


def test_a_stretched_rig_maps_corners_to_corners():
    corners = np.array([[0.0, 0.0], [64.0, 48.0]])
    assert_allclose(stretched((64, 48), (32, 24)).places(corners), [[0, 0], [32, 24]])
    assert stretched((64, 48), (32, 24)).offset_px == 0.0


def test_the_grid_is_that_of_the_pixel_centres_and_cannot_be_written_to():
    places = grid_places(rig())
    assert places.shape == (48, 64, 2)
    assert_allclose(places[3, 5], [2.75, 1.75])
    assert not places.flags.writeable


def test_a_shift_is_said_in_rgb_pixels_with_its_direction():
    moved = rig(tir_from_rgb=((0.5, 0.0, -1.0), (0.0, 0.5, 2.0), (0.0, 0.0, 1.0)))
    assert moved.offset_px == pytest.approx(np.hypot(2, 4))
    assert "+2.0 right, -4.0 down" in moved.in_words()


def test_the_radial_term_leaves_the_centre_and_moves_the_corner():
    bent = rig(radial=0.1)
    assert_allclose(bent.places(np.array([32.0, 24.0])), [16, 12])
    assert_allclose(bent.places(np.array([64.0, 48.0])), [16 + 16 * 1.1, 12 + 12 * 1.1])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(((-1.0, 0.0, 64.0), *IDENTITY[1:]), id="mirrored"),
        pytest.param((*IDENTITY[:2], (-0.02, 0.0, 1.0)), id="folded"),
        pytest.param(((float("nan"), 0.0, 0.0), *IDENTITY[1:]), id="NaN"),
        pytest.param(IDENTITY[:2], id="two rows"),
    ],
)
def test_a_map_that_is_none_is_refused(rows):
    with pytest.raises(ValidationError):
        rig(tir_from_rgb=rows)


def test_what_is_written_is_what_is_read(tmp_path):
    given = rig(score=0.8, residual_px=0.5, residuals=[{"pair": "a/0", "px": 0.5}])
    write_rig(tmp_path / "rig.json", given)
    assert read_rig(tmp_path / "rig.json") == given


def test_only_the_map_decides_the_identity():
    assert rig(score=0.9).identity == rig(score=0.5, residual_px=3.0).identity
    assert rig(radial=0.01).identity != rig().identity


def test_a_time_offset_decides_the_identity_and_its_error_does_not():
    late = {"frames": 3.4, "drift_per_1000": 0.7}
    assert rig(time=late).identity != rig().identity
    assert rig(time=late).identity != rig(time={**late, "drift_per_1000": 0.8}).identity
    assert rig(time=late).identity == rig(time={**late, "error_frames": 0.1}).identity


def test_a_file_from_before_time_offsets_is_read_as_it_was(tmp_path):
    path = tmp_path / "rig.json"
    content = rig(score=0.8).model_dump(mode="json")
    del content["time"]
    path.write_text(json.dumps(content))
    assert read_rig(path).time is None
    assert read_rig(path).identity == "caafe50a52986051"


@pytest.mark.parametrize(
    "time",
    [
        pytest.param('{"frames": NaN}', id="NaN"),
        pytest.param('{"frames": 1e9}', id="years"),
        pytest.param('{"frames": "late"}', id="text"),
        pytest.param('{"frames": 1.0, "drift_per_1000": Infinity}', id="infinite"),
        pytest.param('{"drift_per_1000": 1.0}', id="drift alone"),
    ],
)
def test_a_time_offset_that_is_none_is_refused(tmp_path, time):
    path = tmp_path / "rig.json"
    write_rig(path, rig())
    path.write_text(path.read_text().replace('"time": null', f'"time": {time}'))
    assert time in path.read_text()
    with pytest.raises(PairsError, match=r"is no rig \(time\.\w+: [^\[]+\); make it anew"):
        read_rig(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "there is no such file", id="missing"),
        pytest.param('{"format": 1, "rgb_wh": [64', "is no rig", id="cut short"),
        pytest.param("[]", "is no rig", id="another file"),
        pytest.param(json.dumps({"rgb_wh": [64, 48]}), "is no rig", id="half of it"),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "rig.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PairsError, match=said) as refused:
        read_rig(path)
    assert str(path) in str(refused.value)


def test_a_rig_of_a_low_score_is_refused(tmp_path):
    write_rig(tmp_path / "rig.json", rig(score=MIN_SCORE - 0.01))
    with pytest.raises(PairsError, match="make it anew"):
        read_rig(tmp_path / "rig.json")


def test_pictures_of_another_size_are_refused():
    rig().check_sizes((48, 64, 3), (24, 32), "a/0")
    with pytest.raises(PairsError, match="a/0: RGB is 64x48 and TIR 24x32, the rig has"):
        rig().check_sizes((48, 64, 3), (32, 24), "a/0")
