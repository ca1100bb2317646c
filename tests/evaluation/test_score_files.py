"""Scores of result files that exist already, by a call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tirtrack
from tirtrack.datasets import open_dataset

TRUTH = np.array([[10.0 + i, 20, 30, 40] for i in range(6)])


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for place, name in (("world", "anno"), ("results", "exact")):
        folder = tmp_path / place / name
        folder.mkdir(parents=True)
        np.savetxt(folder / "cat_D_001.txt", TRUTH, "%d", delimiter=",")
    return tmp_path


def test_every_protocol_gives_a_comparison_and_a_file(world):
    names = ["lsotb-tir", "ptb-tir"]
    found = tirtrack.score(
        [str(world / "results")], world / "world", protocols=names, out=world / "out"
    )
    assert [one.protocol for one in found] == names
    assert [one.trackers[0].values["success"] for one in found] == [20 / 21, 20 / 21]
    assert sorted(path.parent.name for path in (world / "out").rglob("result.json")) == names


def test_an_open_data_set_is_scored_by_its_own_protocol_and_nothing_is_written(world):
    dataset = open_dataset(world / "world", with_frames=False)
    (found,) = tirtrack.score([world / "results"], dataset)
    assert found.protocol == dataset.protocol
    assert not list(world.rglob("result.json"))


def test_an_unknown_protocol_is_refused_before_anything_is_read_or_written(world):
    with pytest.raises(tirtrack.RequestError, match='unknown protocol "otb"'):
        tirtrack.score(["nowhere"], "nowhere", protocols=["otb"], out=world / "out")
    assert not (world / "out").exists()
