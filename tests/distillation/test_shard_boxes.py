"""Boxes travel with shards: a second machine reads them and makes none."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tirtrack.cache import cache_folder, recorded_values
from tirtrack.cli.app import run as command
from tirtrack.distillation import stages
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.shard_boxes import take_boxes
from tirtrack.distillation.sources import open_split
from tirtrack.errors import PairsError
from tirtrack.pairs import mine_pairs, open_pairs
from tirtrack.pairs.proposals import proposal_cache
from tirtrack.verbs import distill, propose_boxes
from tirtrack.weights import store

SHORT = {
    "training.steps": 2,
    "training.batch": 4,
    "pool": 8,
    "held_back.samples": 4,
    "teacher.require": False,
}


@pytest.fixture(scope="module")
def folder(write_start_and_pairs, tmp_path_factory) -> Path:
    """Nine pairs of three recordings, and untrained weights beside them."""
    root = tmp_path_factory.mktemp("rig")
    write_start_and_pairs(root)
    return root / "pairs"


@pytest.fixture(scope="module")
def mined(folder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mined") / "shards"
    mine_pairs(folder, out)
    return out


@pytest.fixture(scope="module")
def start(folder) -> Path:
    return folder.parent / "start.safetensors"


@pytest.fixture
def shards(mined, tmp_path, use_cache) -> Path:
    """Shards of those pairs, and a cache that holds nothing."""
    use_cache(tmp_path / "cache")
    (tmp_path / "shards").mkdir()
    for path in mined.iterdir():
        (tmp_path / "shards" / path.name).hardlink_to(path)
    return tmp_path / "shards"


def content_of(shards: Path) -> str:
    split = open_split(shards, None, load_recipe("mixed"), "not stated")
    return split.identity()["pairs"]


def test_distill_reads_the_boxes_of_another_machine_and_makes_none(
    shards, start, tmp_path, monkeypatch, use_cache
):
    plain = distill(shards, start, tmp_path / "plain.safetensors", recipe="mixed",
                    changes=SHORT)  # fmt: skip
    use_cache(tmp_path / "other")
    file = propose_boxes(shards, start, recipe="mixed", changes=SHORT)
    assert file.name.startswith("boxes-")
    use_cache(tmp_path / "third")

    def makes(*args, **kwargs):
        raise AssertionError("boxes were made anew")

    monkeypatch.setattr(proposal_cache, "results_of", lambda make, items, *a, **k: (
        makes() if items else iter(())))  # fmt: skip
    read = distill(shards, start, tmp_path / "read.safetensors", recipe="mixed",
                   changes=SHORT)  # fmt: skip
    assert read.summary.harvest == plain.summary.harvest
    students = [store.read(one.weights).state for one in (plain, read)]
    assert all(torch.equal(value, students[1][name]) for name, value in students[0].items())
    assert list(cache_folder("proposals").glob("*.json"))


def test_the_same_boxes_are_the_same_file_from_any_number_of_processes(
    shards, start, tmp_path, use_cache
):
    first = propose_boxes(shards, start, recipe="mixed", changes=SHORT)
    before = first.read_bytes()
    use_cache(tmp_path / "other")
    assert propose_boxes(shards, start, recipe="mixed", changes=SHORT, workers=2) == first
    assert first.read_bytes() == before
    assert propose_boxes(shards, start, recipe="mixed", changes=SHORT, seed=1) != first


def test_boxes_of_other_pairs_or_of_another_version_are_left(
    shards, start, folder, tmp_path, use_cache
):
    file = propose_boxes(shards, start, recipe="mixed", changes=SHORT)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {one["kind"] for one in lines} == {"proposals"}
    use_cache(tmp_path / "other")
    content = content_of(shards)
    lines[0]["identity"]["pairs"] = "0123456789abcdef"
    lines[1]["version"] = "0.0.1"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines))
    source = open_pairs(shards)
    assert take_boxes(source, content) == len(lines) - 2
    assert take_boxes(source, content) == 0
    assert take_boxes(open_pairs(folder), content) == 0


class Still:
    """A follower that leaves its box where it was, if it may follow."""

    origin = "still"
    may_follow = True

    def init(self, frame, box):
        assert self.may_follow, "tracks were made anew"
        self.box = box

    def update(self, frame):
        return SimpleNamespace(box=self.box, measured=True)


def test_tracks_travel_with_shards_as_boxes_do(shards, start, tmp_path, monkeypatch, use_cache):
    followed = {**SHORT, "tracks.modalities": ["tir"], "tracks.frames": 3, "tracks.min_frames": 2,
                "tracks.every": 1}  # fmt: skip

    def made() -> Path:
        return propose_boxes(shards, start, recipe="mixed", changes=followed,
                             follower=lambda weights: Still())  # fmt: skip

    file = made()
    kinds = [json.loads(line)["kind"] for line in file.read_text().splitlines()]
    assert kinds.count("tracks") > 2
    use_cache(tmp_path / "other")
    assert take_boxes(open_pairs(shards), content_of(shards)) == len(kinds)
    monkeypatch.setattr(Still, "may_follow", False)
    assert made() == file
    use_cache(tmp_path / "third")
    with pytest.raises(AssertionError, match="made anew"):
        made()


@pytest.mark.parametrize("damage", [
    lambda content: content[:-5],
    lambda content: content + b"{}\n",
    lambda content: content.replace(b'"proposals"', b'"../worlds"', 1),
], ids=["cut short", "no boxes", "another kind"])  # fmt: skip
def test_a_damaged_file_of_boxes_is_said(shards, start, damage):
    file = propose_boxes(shards, start, recipe="mixed", changes=SHORT)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(PairsError, match=r"boxes-.*is no file of boxes .*; delete it"):
        take_boxes(open_pairs(shards), content_of(shards))


def test_the_command_puts_boxes_beside_shards_and_needs_shards(shards, start, folder, capsys):
    words = [
        "pairs",
        "propose",
        str(shards),
        "--baseline",
        str(start),
        "--recipe",
        "mixed",
        "--set",
        "pool=16",
    ]
    assert command(words) == 0
    assert f"written: {shards}/boxes-" in capsys.readouterr().err
    assert command(["pairs", "propose", str(folder)]) == 2
    assert "holds no shards; mine the pairs first" in capsys.readouterr().err


# --- several folders of shards --------------------------------------------------------------------


def test_boxes_of_several_folders_serve_where_they_are_distilled_together(
    folder, start, tmp_path, monkeypatch, use_cache
):
    """Those that are drawn at random are made anew, all others are those made directly."""
    followed = {**SHORT, "tracks.modalities": ["tir"], "tracks.frames": 3, "tracks.min_frames": 2,
                "tracks.every": 1, "registration": False}  # fmt: skip
    recipe = load_recipe("mixed", changes=followed)
    takes = sorted(folder.iterdir())
    parts = [tmp_path / name for name in ("one", "two")]
    for part, some in zip(parts, (takes[:1], takes[1:]), strict=True):
        mine_pairs(some, part)

    def made() -> dict[str, object]:
        split = open_split(parts, None, recipe, "not stated")
        run = Run(tmp_path, tmp_path, recipe, split.identity(), seed=0)
        with recorded_values() as values:
            found, _ = stages.propose(split, run)
            stages.follow_all(split, found, run, Still)
        return {json.dumps([kind, one], sort_keys=True): json.loads(text)
                for kind, one, text in values}  # fmt: skip

    use_cache(tmp_path / "cache")
    directly = made()
    use_cache(tmp_path / "other")
    travelled = set()
    for part, first in zip(parts, (0, len(open_pairs(parts[0]))), strict=True):
        file = propose_boxes(part, start, recipe="mixed", changes=followed,
                             follower=lambda _: Still())  # fmt: skip
        lines = map(json.loads, file.read_text().splitlines())
        travelled |= {first + one["identity"].get("index", -9) for one in lines}
    use_cache(tmp_path / "third")
    split = open_split(parts, None, recipe, "not stated")
    assert take_boxes(split.source, split.identity()["pairs"]) > 4
    drawn: list[int] = []
    make = proposal_cache.results_of
    monkeypatch.setattr(proposal_cache, "results_of", lambda begin, items, *a, **k: (
        drawn.extend(items), make(begin, items, *a, **k))[1])  # fmt: skip
    assert made() == directly
    is_random = {
        json.loads(key)[1]["index"]: value[0]["kept"][0]["way"] == "random"
        for key, value in directly.items() if key.startswith('["proposals"')
    }  # fmt: skip
    assert len(travelled & is_random.keys()) > 5
    assert drawn == [index for index, one in is_random.items() if one or index not in travelled]
