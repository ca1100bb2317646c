"""The full check of engines names those that are used and off, and measures by boxes of its own."""

from __future__ import annotations

import json
import sys
from argparse import Namespace

import numpy as np
import pytest

from benchmarks import engines
from tirtrack.files import sha256
from tirtrack.inference import has_openvino
from tirtrack.weights import store
from tirtrack.weights.int8 import MOST_PX
from tirtrack.weights.runtimes import INT8_ENGINES, RUNTIMES


def row(engine, *, used, passed, px=0.6):
    known = {"weights": "small", "success": None, "colour_ms": 1.0, "grey_ms": None}
    return {**known, "engine": engine, "px": px, "used": used, "passed": passed}


@pytest.mark.parametrize(
    ("found", "named"),
    [
        ([row("openvino", used=True, passed=False)], ["openvino"]),
        ([row("onnx-int8", used=False, passed=False, px=None)], []),
        ([row("onnx", used=True, passed=True, px=0.0)], []),
    ],
    ids=["used and off", "not used", "passed"],
)
def test_an_engine_that_is_used_and_off_is_named(monkeypatch, capsys, found, named):
    monkeypatch.setattr(engines, "compared", lambda weights, options: found)
    monkeypatch.setattr(sys, "argv", ["engines", "small"])
    assert list(engines.main()) == [
        f"small by {engine}: not within 0.5 px and 0.005" for engine in named
    ]
    assert ("not used" in capsys.readouterr().out) is not found[0]["used"]


@pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)
@pytest.mark.parametrize(
    ("off_px", "passed"), [(0.5, True), (0.51, False), (np.nan, False)], ids=["just", "off", "NaN"]
)
def test_boxes_are_compared_with_those_of_the_reference(monkeypatch, off_px, passed):
    boxes = iter([np.zeros((200, 4)), np.array([[0.0, 0.0, 0.0, off_px]])])
    monkeypatch.setattr(engines, "boxes_on_clips", lambda tracker, modality: next(boxes))
    rows = list(engines.compared("nano-tir", Namespace(dataset="none", workers=1)))
    assert [one["engine"] for one in rows] == ["onnx", "openvino"]
    assert [one["passed"] for one in rows] == [True, passed]


def test_what_the_last_check_found_ships_beside_the_weights_that_were_checked():
    rows = json.loads((store.SHIPPED / "engine_check.json").read_text("utf-8"))["rows"]
    hashes = {path.stem: sha256(path) for path in store.shipped()}
    assert {row["weights"]: row["sha256"] for row in rows} == hashes
    for name in hashes:
        found = {row["engine"]: row for row in rows if row["weights"] == name}
        assert set(found) == {*RUNTIMES, *INT8_ENGINES}
        assert all(found[engine]["used"] and found[engine]["passed"] for engine in RUNTIMES)
        for engine in INT8_ENGINES:
            assert found[engine]["used"] is (found[engine]["px"] <= MOST_PX)
