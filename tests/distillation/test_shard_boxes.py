"""Boxes travel with shards: a second machine reads them and makes none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tirtrack.cache import cache_folder
from tirtrack.cli.app import run as command
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.shard_boxes import take_boxes
from tirtrack.distillation.sources import open_split
from tirtrack.errors import PairsError
from tirtrack.pairs import mine_pairs, open_pairs
from tirtrack.pairs.proposals import proposal_cache
from tirtrack.synthetic import cached_world
from tirtrack.verbs import distill, propose_boxes
from tirtrack.weights import store

SHORT = {"training.steps": 2, "pool": 16, "held_back.samples": 8}


@pytest.fixture(scope="module")
def folder() -> Path:
    """12 pairs of the small world, which the cache of all tests holds."""
    return cached_world("small") / "pairs"


@pytest.fixture(scope="module")
def mined(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mined") / "shards"
    mine_pairs(folder, out)
    return out


@pytest.fixture
def shards(mined, tmp_path, monkeypatch) -> Path:
    """Shards of those pairs, and a cache that holds nothing."""
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "shards").mkdir()
    for path in mined.iterdir():
        (tmp_path / "shards" / path.name).hardlink_to(path)
    return tmp_path / "shards"


def another_machine(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "other"))


def content_of(shards: Path) -> str:
    split = open_split(shards, None, load_recipe("mixed"), "not stated")
    return split.identity()["pairs"]


def test_distill_reads_the_boxes_of_another_machine_and_makes_none(shards, tmp_path, monkeypatch):
    plain = distill(shards, "nano-rgb", tmp_path / "plain.safetensors", recipe="mixed",
                    changes=SHORT)  # fmt: skip
    another_machine(tmp_path, monkeypatch)
    file = propose_boxes(shards, "nano-rgb", recipe="mixed", changes=SHORT)
    assert file.name.startswith("boxes-")
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "third"))

    def makes(*args, **kwargs):
        raise AssertionError("boxes were made anew")

    monkeypatch.setattr(proposal_cache, "results_of", lambda make, items, *a, **k: (
        makes() if items else iter(())))  # fmt: skip
    read = distill(shards, "nano-rgb", tmp_path / "read.safetensors", recipe="mixed",
                   changes=SHORT)  # fmt: skip
    assert read.summary.harvest == plain.summary.harvest
    students = [store.read(one.weights).state for one in (plain, read)]
    assert all(torch.equal(value, students[1][name]) for name, value in students[0].items())
    assert list(cache_folder("proposals").glob("*.json"))


def test_the_same_boxes_are_the_same_file_from_any_number_of_processes(
    shards, tmp_path, monkeypatch
):
    first = propose_boxes(shards, recipe="mixed", changes=SHORT)
    before = first.read_bytes()
    another_machine(tmp_path, monkeypatch)
    assert propose_boxes(shards, recipe="mixed", changes=SHORT, workers=2) == first
    assert first.read_bytes() == before
    assert propose_boxes(shards, recipe="mixed", changes=SHORT, seed=1) != first


def test_boxes_of_other_pairs_or_of_another_version_are_left(shards, folder, tmp_path, monkeypatch):
    file = propose_boxes(shards, recipe="mixed", changes=SHORT)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["kind"] for one in lines} == {"proposals"}
    another_machine(tmp_path, monkeypatch)
    content = content_of(shards)
    lines[0]["identity"]["pairs"] = "0123456789abcdef"
    lines[1]["version"] = "0.0.1"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    source = open_pairs(shards)
    assert take_boxes(source, content) == len(lines) - 2
    assert take_boxes(source, content) == 0
    assert take_boxes(open_pairs(folder), content) == 0


@pytest.mark.parametrize("damage", [
    lambda content: content[:-5],
    lambda content: content + b"{}\n",
    lambda content: content.replace(b'"proposals"', b'"../worlds"', 1),
], ids=["cut short", "no boxes", "another kind"])  # fmt: skip
def test_a_damaged_file_of_boxes_is_said(shards, damage):
    file = propose_boxes(shards, recipe="mixed", changes=SHORT)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PairsError, match=r"boxes-.*is no file of boxes .*; delete it"):
        take_boxes(open_pairs(shards), content_of(shards))


def test_the_command_puts_boxes_beside_shards_and_needs_shards(shards, folder, capsys):
    words = ["pairs", "propose", str(shards), "--recipe", "mixed", "--set", "pool=16"]
    assert command(words) == 0
    assert f"written: {shards}/boxes-" in capsys.readouterr().err
    assert command(["pairs", "propose", str(folder)]) == 2
    assert "holds no shards; mine the pairs first" in capsys.readouterr().err
