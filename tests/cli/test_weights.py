"""``tirtrack weights``: the list and the card."""

from __future__ import annotations

import json

import pytest
import torch

from tirtrack.cli.app import run
from tirtrack.files import sha256
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card, StartedFrom, TrainingSource


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    torch_state = torch.get_rng_state()
    network = registry.build("nanotrack-v3")
    torch.set_rng_state(torch_state)
    card = Card(
        name="mine",
        architecture="nanotrack-v3",
        modality="tir",
        licence="Apache-2.0",
        summary="for a test",
        started_from=[
            StartedFrom(name="seed", sha256="00", licence="MIT", training_data="COCO, GOT-10k")
        ],
        training_data=[TrainingSource(name="m3svd", licence="MIT", role="pairs")],
        scores={"cptv success (lsotb-tir)": 0.61234},
        made_with={"seed": "3"},
    )
    store.write(path, network, card)
    return path


def test_the_card_names_network_licences_data_scores_and_hash(mine, capsys):
    assert run(["weights", "info", str(mine)]) == 0
    lines = [line.split(None, 1) for line in capsys.readouterr().out.splitlines()]
    shown = dict(lines)
    assert shown["name"] == "mine"
    assert shown["network"].startswith("nanotrack-v3, ")
    assert shown["modality"] == "tir"
    assert shown["licence"] == "Apache-2.0"
    assert shown["started"] == "from   seed (MIT); trained on COCO, GOT-10k"
    assert shown["training"] == "data  m3svd (MIT): pairs"
    assert shown["score"] == "cptv success (lsotb-tir): 0.612"
    assert shown["SHA-256"] == sha256(mine)


def test_info_as_json_is_the_card_with_the_files_own_facts(mine, capsys):
    assert run(["weights", "info", str(mine), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sha256"] == sha256(mine)
    assert document["training_data"] == [{"name": "m3svd", "licence": "MIT", "role": "pairs"}]
    assert document["parameters"] > 100_000


def test_the_list_shows_what_is_shipped(mine, capsys, monkeypatch):
    monkeypatch.setattr(store, "SHIPPED", mine.parent)
    assert run(["weights", "list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.split() == ["mine", "nanotrack-v3", "tir", "Apache-2.0"]
    assert second.split() == ["for", "a", "test"]
    assert run(["weights", "list", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == ["mine"]
    assert run(["weights", "info", "mine"]) == 0


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mien", 'no weights are called "mien" and no such file exists; did you mean "mine"?'),
        ("a/b.safetensors", "a/b.safetensors: no such file; give the path of a"),
    ],
)
def test_unknown_weights_are_one_sentence(mine, capsys, monkeypatch, name, sentence):
    monkeypatch.setattr(store, "SHIPPED", mine.parent)
    assert run(["weights", "info", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"tirtrack: {sentence}")


def test_an_empty_file_is_called_empty(tmp_path, capsys):
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    assert run(["weights", "info", str(empty)]) == 2
    said = capsys.readouterr().err
    assert said == f"tirtrack: {empty}: the file is empty (0 bytes); get another copy\n"


def test_a_damaged_file_is_one_sentence(mine, tmp_path, capsys):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(mine.read_bytes()[:1000])
    assert run(["weights", "info", str(cut)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tirtrack: {cut}: is damaged or no safetensors file")
    assert captured.err.count("\n") == 1
