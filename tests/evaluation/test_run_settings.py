"""What differs between two evaluations."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tracked_worlds import Keeper, walk, write_lsotb

from tirtrack.cli import app
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import DatasetError
from tirtrack.evaluation.run_settings import compare_settings
from tirtrack.evaluation.runner import evaluate


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    return open_dataset(write_lsotb(tmp_path / "world", {"a": walk(6, 0), "b": walk(6, 1)}))


class Other(Keeper):
    def facts(self):
        return {**super().facts(), "preset": "published", "overrides": {"lr": 0.1}}


def test_same_settings_have_no_difference(world: LabelledDataset, tmp_path: Path) -> None:
    for name, step in (("a", 0.0), ("b", 1.0)):  # other boxes by the same known facts
        evaluate([Keeper(step=step)], world, tmp_path / name, resamples=20)
    assert compare_settings(tmp_path / "a", tmp_path / "b") == []


def test_every_setting_that_differs_is_named(world: LabelledDataset, tmp_path: Path) -> None:
    evaluate([Keeper()], world, tmp_path / "a", resamples=20)
    less = replace(world, sequences=world.sequences[:1])
    evaluate(
        [Other(), Keeper("two")], less, tmp_path / "b", protocol="ptb-tir", seed=3, starts=2,
        resamples=20,
    )  # fmt: skip
    found = {name: (a, b) for name, a, b in compare_settings(tmp_path / "a", tmp_path / "b")}
    hashes = found.pop("annotation_sha256")
    assert hashes[0] != hashes[1]
    assert found.pop("trackers.two")[0] is None
    assert found == {
        "protocol": ("lsotb-tir", "ptb-tir"),
        "sequences": (2, 1),
        "frames": (12, 6),
        "seed": (0, 3),
        "starts": (1, 2),
        "trackers.keeper.preset": (None, "published"),
        "trackers.keeper.overrides": (None, {"lr": 0.1}),
    }


def test_command_prints_a_line_for_each(world: LabelledDataset, tmp_path: Path, capsys) -> None:
    folders = [str(tmp_path / name) for name in ("a", "b")]
    for folder, seed in zip(folders, (0, 1), strict=True):
        evaluate([Keeper()], world, folder, seed=seed, resamples=20)
    assert app.run(["results", "compare", *folders]) == 0
    assert capsys.readouterr().out == "seed: 0 | 1\n"
    assert app.run(["results", "compare", *folders, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"setting": "seed", "a": 0, "b": 1}]
    assert app.run(["results", "compare", folders[0], folders[0]]) == 0
    assert capsys.readouterr().out == "no setting differs\n"


def test_folder_without_a_result_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no result\.json"):
        compare_settings(tmp_path, tmp_path)
