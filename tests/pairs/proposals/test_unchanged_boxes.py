"""The ways without a network propose the very boxes that they proposed before they became faster.

``unchanged_boxes.json`` holds the boxes of commit 3a3e324: those of ``saliency``, on which recipes
with published figures hang, and of ``regions``; :func:`proposed` made them. Scores are sums whose
order a library chooses, hence their tolerance; boxes are compared exactly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from tirtrack.boxes import Box
from tirtrack.pairs.proposals import salient_boxes
from tirtrack.pairs.proposals.regions import region_boxes

TOLERANCE = 1e-6
UNCHANGED = json.loads(Path(__file__).with_name("unchanged_boxes.json").read_text("utf-8"))
WAYS: dict[str, Callable[..., list[tuple[Box, float]]]] = {
    "saliency": salient_boxes,
    "regions": region_boxes,
}


def _video(seed: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Five frames of a camera that moves over rectangles, with an object that moves otherwise; of
    whole numbers alone, so that they are the same everywhere.
    """
    rng = np.random.default_rng(seed)
    height, width = shape[:2]
    scene = np.full((height + 40, width + 40, *shape[2:]), 90, np.int64)
    for _ in range(40):
        y, x = rng.integers(0, height + 20), rng.integers(0, width + 20)
        h, w = rng.integers(6, 60, 2)
        scene[y : y + h, x : x + w] += rng.integers(-25, 26, shape[2:])
    frames = []
    for k in range(5):
        frame = scene[2 * k : 2 * k + height, 5 * k : 5 * k + width].copy()
        top, left = height // 3 + 7 * k, width // 2 - 6 * k
        frame[top : top + 30, left : left + 18] += 35
        noise = rng.integers(-4, 5, shape) + rng.integers(-4, 5, shape)
        frames.append(np.clip(frame + noise, 0, 255).astype(np.uint8))
    return frames


def _cases() -> dict[str, list[np.ndarray]]:
    """The frame to propose in, and its neighbours."""
    cases = {}
    for name, seed, shape in (
        ("TIR", 1, (256, 320)),
        ("RGB", 2, (256, 320, 3)),
        ("odd sides", 3, (121, 203)),
        ("large", 4, (480, 640)),
    ):
        frames = _video(seed, shape)
        cases[name] = [frames[2], frames[0], frames[1], frames[3], frames[4]]
        cases[f"{name}, still"] = [frames[2]]
    cases["counts"] = [7000 + 9 * frame.astype(np.uint16) for frame in cases["TIR"]]
    holes = [frame.astype(np.float32) for frame in cases["TIR"]]
    holes[0][60:110, 100:170] = holes[1][20:60, 10:100] = np.nan
    cases["holes"] = holes
    return cases


def proposed(way: str, frames: Sequence[np.ndarray]) -> list[list[float]]:
    """x, y, w, h and score of each box."""
    return [[*box.array().tolist(), score] for box, score in WAYS[way](frames[0], frames[1:])]


@pytest.mark.parametrize("way", WAYS)
def test_boxes_are_those_of_before(way):
    assert list(UNCHANGED[way]) == list(_cases())
    for name, frames in _cases().items():
        found, before = np.array(proposed(way, frames)), np.array(UNCHANGED[way][name])
        assert len(before) >= 3, name
        np.testing.assert_array_equal(found[:, :4], before[:, :4], err_msg=name)
        np.testing.assert_allclose(found[:, 4], before[:, 4], atol=TOLERANCE, err_msg=name)
