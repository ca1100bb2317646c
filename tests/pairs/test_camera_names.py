"""Spellings of two cameras in names, and what a user may say of them."""

from __future__ import annotations

import pytest

from tirtrack.errors import RequestError
from tirtrack.pairs.camera_names import CameraStem, Pairing, camera_stem, without_common_ends

LOOK = Pairing()


@pytest.mark.parametrize(
    ("stem", "modality", "part", "key"),
    [
        pytest.param("DJI_20240101_0003_V", "rgb", "_V", "DJI_20240101_0003", id="dji visible"),
        pytest.param("DJI_20240101_0003_W", "rgb", "_W", "DJI_20240101_0003", id="dji wide"),
        pytest.param("DJI_20240101_0003_T", "tir", "_T", "DJI_20240101_0003", id="dji thermal"),
        pytest.param("DJI_0003_T_point1", "tir", None, None, id="a letter inside says nothing"),
        pytest.param("rgb_0001", "rgb", "rgb_", "0001", id="prefix"),
        pytest.param("TIR-0001", "tir", "TIR-", "0001", id="prefix in capitals"),
        pytest.param("00001v", "rgb", "v", "00001", id="letter at the end, as in GTOT"),
        pytest.param("i00001", "tir", "i", "00001", id="letter in front"),
        pytest.param("FLIR_0042_visible", "rgb", "_visible", "FLIR_0042", id="flir"),
        pytest.param("img.thermal.12", "tir", ".thermal", "img.12", id="word inside"),
        pytest.param("00000000_co", "rgb", "_co", "00000000", id="vedai"),
        pytest.param("20240101T120000", "tir", None, None, id="the T of a time is no camera"),
        pytest.param("tree_01", "tir", None, None, id="a word that begins like one"),
        pytest.param("birds", "rgb", None, None, id="no word of the table"),
    ],
)
def test_a_word_of_the_table_names_the_camera_and_the_rest_the_pair(stem, modality, part, key):
    expected = None if part is None else CameraStem(part, key)
    assert camera_stem(stem, modality, LOOK) == expected


@pytest.mark.parametrize(
    ("given", "stem", "expected"),
    [
        pytest.param("_L", "frame_7_L", CameraStem("_L", "frame_7"), id="suffix"),
        pytest.param("l", "frame_7_L", CameraStem("_L", "frame_7"), id="in any case, bare"),
        pytest.param("cam1", "cam1-0007", CameraStem("cam1-", "0007"), id="prefix"),
        pytest.param("cam1", "cam2-0007", None, id="the other camera"),
    ],
)
def test_a_given_name_counts_alone(given, stem, expected):
    assert camera_stem(stem, "rgb", Pairing(rgb=given, tir="x")) == expected
    assert camera_stem("0001_V", "rgb", Pairing(rgb=given, tir="x")) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"rgb": ""}, '--rgb: "" is not a name', id="empty name"),
        pytest.param({"tir": " _ "}, '--tir: "_" is not a name', id="separators alone"),
        pytest.param({"rgb": "a", "tir": "a"}, 'RGB and TIR are both "a"', id="one name twice"),
        pytest.param({"match": "tim"}, 'is called "tim"; did you mean "time"', id="unknown match"),
        pytest.param({"max_gap_s": 0.0}, "must be above 0 seconds, got 0", id="no gap"),
        pytest.param({"max_gap_s": float("nan")}, "above 0 seconds, got nan", id="gap is nan"),
        pytest.param(
            {"max_gap_s": 0.1, "match": "name"}, "says nothing where frames", id="gap of names"
        ),
    ],
)
def test_a_contradictory_wish_is_refused_with_the_option(fields, message):
    with pytest.raises(RequestError, match=message):
        Pairing(**fields)


def test_common_ends_are_cut_without_the_digits_between():
    assert without_common_ends(["cam0_0098_a", "cam0_0101_a"]) == (["0098", "0101"], "cam0_..._a")
    assert without_common_ends(["0010", "0020"]) == (["0010", "0020"], "")
