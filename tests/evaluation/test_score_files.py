"""Scores of result files that exist already, by a call."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tirtrack
from tirtrack.datasets import open_dataset
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.results import SequenceRun
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.evaluation.statistics import bootstrap_indices, bootstrap_interval

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
    with pytest.raises(tirtrack.RequestError, match='unknown protocol "otd"'):
        tirtrack.score(["nowhere"], "nowhere", protocols=["otd"], out=world / "out")
    assert not (world / "out").exists()


@pytest.fixture
def two_runs(tmp_path: Path):
    """A comparison of two runs of one tracker, on six sequences of one part and four of another."""
    folder = tmp_path / "parts" / "anno"
    folder.mkdir(parents=True)
    names = [f"cat_{'D' if k < 6 else 'S'}_{k:03d}" for k in range(10)]
    for name in names:
        np.savetxt(folder / f"{name}.txt", TRUTH, "%d", delimiter=",")
    dataset = open_dataset(tmp_path / "parts", with_frames=False)
    runs = [
        Runs(
            name,
            {
                sequence: SequenceRun.of_boxes(TRUTH + np.array([step * k, 0, 0, 0]))
                for k, sequence in enumerate(names)
            },
            {"run": run, "run_of": "one"},
        )
        for run, (name, step) in enumerate([("one", 1.0), ("one.run2", 3.0)], start=1)
    ]
    return score_runs(runs, dataset, get("lsotb-tir"))


def test_scores_have_intervals_of_their_means_over_runs(two_runs):
    by_run = [list(one.by_sequence("success").values()) for one in two_runs.trackers]
    indices = bootstrap_indices(10, np.random.default_rng(0))
    wanted = bootstrap_interval(np.mean(by_run, axis=0), indices)
    found = two_runs.interval("one", "success")
    assert (found.mean, found.low, found.high, found.n) == pytest.approx(
        (wanted.mean, wanted.low, wanted.high, 10), abs=1e-15
    )
    assert two_runs.interval("one.run2", "success") is None


def test_only_subsets_of_five_have_intervals(two_runs):
    assert {one.subset for one in two_runs.intervals} == {"", "D"}
    assert set(two_runs.trackers[0].subsets) == {"D", "S"}
    by_run = [list(one.by_sequence("precision").values())[:6] for one in two_runs.trackers]
    found = two_runs.interval("one", "precision", "D")
    wanted = bootstrap_interval(
        np.mean(by_run, axis=0), bootstrap_indices(6, np.random.default_rng(0))
    )
    assert (found.mean, found.low, found.high, found.n) == pytest.approx(
        (wanted.mean, wanted.low, wanted.high, 6), abs=1e-15
    )
