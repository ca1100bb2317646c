"""``tirtrack weights``: the list and the card."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from tirtrack.cli.app import run
from tirtrack.evaluation import quantising
from tirtrack.files import sha256
from tirtrack.networks import registry
from tirtrack.weights import engine_choice, store
from tirtrack.weights.card import Card, StartedFrom, TrainingSource
from tirtrack.weights.int8 import Int8Check, Int8Graphs


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
    assert shown["input"] == "reference 127 px, test 255 px, BGR, black 0, white 255"
    assert shown["modality"] == "tir"
    assert shown["licence"] == "Apache-2.0"
    assert shown["started"] == "from   seed (MIT); trained on COCO, GOT-10k"
    assert shown["training"] == "data  m3svd (MIT): pairs"
    assert shown["score"] == "cptv success (lsotb-tir): 0.612"
    assert shown["SHA-256"] == sha256(mine)


TRIALS = {
    "onnx": {"version": "1.32.0", "fault": None, "colour_ms": 4.9, "grey_ms": 4.8},
    "openvino": {"version": "2026.4.1", "fault": None, "colour_ms": 3.4, "grey_ms": 3.3},
}
FAULT = {"version": "2026.4.1", "fault": "differs by 0.1", "colour_ms": None, "grey_ms": None}
ENGINES = {
    "not installed": ({}, "onnx", False, ["onnx; openvino is not installed (extra fast)"]),
    "not tried": (
        {}, None, True, ["onnx or openvino; track times both when it first uses these weights"],
    ),
    "tried": (
        TRIALS, "openvino", True,
        [
            "onnx 1.32.0: 4.90 ms a search in colour, 4.80 ms in grey",
            "openvino 2026.4.1: 3.40 ms a search in colour, 3.30 ms in grey, used by track",
        ],
    ),
    "a fault": (
        {**TRIALS, "openvino": FAULT}, "onnx", True,
        [
            "onnx 1.32.0: 4.90 ms a search in colour, 4.80 ms in grey, used by track",
            "openvino 2026.4.1: not used, differs by 0.1",
        ],
    ),
}  # fmt: skip


def engine_lines(path, capsys, monkeypatch, **known):
    monkeypatch.setattr(engine_choice, "engine_facts", lambda path, preset: known)
    assert run(["weights", "info", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [line.split(None, 1)[1] for line in lines if line.startswith("engine")]


@pytest.mark.parametrize("case", ENGINES)
def test_info_says_which_engine_and_how_fast(mine, capsys, monkeypatch, case):
    trials, chosen, installed, said = ENGINES[case]
    known = {"trials": trials, "track": chosen, "openvino": installed, "int8": {}}
    assert engine_lines(mine, capsys, monkeypatch, **known) == said


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ({}, []),
        (
            {"onnx": {**FAULT, "version": "1.32.0", "fault": None}, "openvino": FAULT},
            ["onnx 1.32.0: passed its check", "openvino 2026.4.1: not used, differs by 0.1"],
        ),
    ],
    ids=["not tried", "a fault"],
)
def test_info_says_of_networks_that_learn_online_what_their_engines_came_to(
    tmp_path, capsys, monkeypatch, trials, said
):
    path = tmp_path / "online.safetensors"
    card = Card(name="online", architecture="atom18-tiny", modality="tir", licence="none")
    store.write(path, registry.build("atom18-tiny"), card)
    known = {"trials": trials, "track": "onnx", "openvino": True, "int8": {}}
    lines = engine_lines(path, capsys, monkeypatch, **known)
    assert lines == ["torch; onnx or openvino on request", *said]
    assert store.weights_info(path)["engines"]["track"] == "torch"


def test_info_says_what_int8_came_to(mine, capsys, monkeypatch):
    fast = {"version": "1.32.0", "fault": None, "colour_ms": 2.0, "grey_ms": 2.1}
    known = {"trials": {**TRIALS, "onnx-int8": fast}, "track": "onnx-int8", "openvino": True}
    int8 = {"onnx-int8": "", "openvino-int8": "its boxes are up to 9.70 px from float32"}
    *_, passed, failed = engine_lines(mine, capsys, monkeypatch, **known, int8=int8)
    assert passed == (
        "onnx-int8 1.32.0: 2.00 ms a search in colour, 2.10 ms in grey, used by track"
    )
    assert failed == "openvino-int8: not used, its boxes are up to 9.70 px from float32"
    untimed = {"trials": {}, "track": None, "openvino": False, "int8": {"onnx-int8": ""}}
    assert engine_lines(mine, capsys, monkeypatch, **untimed)[-1] == "onnx-int8: passed its check"


def test_quantise_prints_a_line_for_each_engine(mine, capsys, monkeypatch):
    asked = []
    checks = {
        "onnx-int8": Int8Check("1.0", "a processor", 0.2, success=0.001),
        "openvino-int8": Int8Check("1.0", "a processor", 9.7),
    }

    def quantise_weights(weights, frames, *, progress):
        asked.append((weights, frames))
        return Int8Graphs({"search": b"", "search_grey": b""}, "hash", 50, checks)

    monkeypatch.setattr(quantising, "quantise_weights", quantise_weights)
    command = ["weights", "quantise", str(mine), "--frames", "night", "--frames", "day.mp4"]
    assert run(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        "onnx-int8: passed, track may take it where it is faster",
        "openvino-int8: its boxes are up to 9.70 px from float32, 0.5 are allowed",
    ]
    assert run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["patches"], document["checks"]["openvino-int8"]["px"]) == (50, 9.7)
    assert asked[0] == (str(mine), ["night", "day.mp4"])


def test_info_as_json_is_the_card_with_the_files_own_facts(mine, capsys):
    assert run(["weights", "info", str(mine), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sha256"] == sha256(mine)
    assert document["training_data"] == [{"name": "m3svd", "licence": "MIT", "role": "pairs"}]
    assert document["parameters"] > 100_000
    assert document["input"] == {
        "reference_side": 127,
        "test_side": 255,
        "channels": "BGR",
        "black": [0.0, 0.0, 0.0],
        "white": [255.0, 255.0, 255.0],
    }


def test_the_list_shows_what_is_shipped(mine, capsys, monkeypatch):
    monkeypatch.setattr(store, "SHIPPED", mine.parent)
    assert run(["weights", "list"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.split() == ["mine", "nanotrack-v3", "tir", "Apache-2.0"]
    assert [line.strip().split("  ", 1)[0] for line in lines] == [
        *("summary", "input", "training data", "scores", "SHA-256"),
    ]
    assert lines[0].endswith("for a test")
    assert lines[2].endswith("m3svd (MIT)")
    assert lines[3].endswith("cptv success (lsotb-tir): 0.612")
    assert lines[4].endswith(sha256(mine))
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


# --- import --------------------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = registry.build("nanotrack-v2-tiny", seed=3).state_dict()
    torch.save({"epoch": 34, "state_dict": state}, "v2.pth")
    return "v2.pth"


def test_import_makes_a_weights_file_and_says_which(checkpoint, capsys):
    words = ["weights", "import", checkpoint, "--out", "made/v2.safetensors", "--licence", "MIT"]
    assert run([*words, "--name", "two", "--modality", "tir"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "made/v2.safetensors: nanotrack-v2-tiny, tir, licence MIT\n"
    assert captured.err == ""
    assert run(["weights", "info", "made/v2.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "started from   v2.pth (MIT)" in lines
    assert "training data  not known" in lines
    assert "made with epoch 34" in lines


def test_import_as_json_is_the_card(checkpoint, capsys):
    assert run(["weights", "import", checkpoint, "--out", "v2.safetensors", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["licence"], document["notes"]) == ("v2", "unknown", [])
    assert document["started_from"][0]["sha256"] == sha256(Path(checkpoint))
    assert document["sha256"] == sha256(Path("v2.safetensors"))


def test_import_says_what_it_saw_through_and_what_it_left(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    state = registry.build("nanotrack-v2-tiny", seed=3).state_dict()
    other = registry.build("nanotrack-v2-tiny", seed=4).state_dict()
    student = {f"student.{key}": value for key, value in state.items()}
    torch.save({"model": student, "ema": other}, "two.pth")
    words = ["weights", "import", "two.pth", "--out", "two.safetensors"]
    assert run(words) == 2
    said = capsys.readouterr().err
    assert said.endswith("; say which one with --entry model.student or --entry ema\n")
    assert run([*words, "--entry", "model"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "two.safetensors: nanotrack-v2-tiny, rgb, licence unknown",
        'read from: model, names without "student."',
        f"note: not read: ema, {len(other)} tensors",
    ]
    assert run([*words, "--entry", "ema", "--force", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["read_from"] == document["made_with"]["entry"] == "ema"


def test_a_hostile_file_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save({"net": Hostile()}, "evil.pth")
    assert run(["weights", "import", "evil.pth", "--out", "x.safetensors"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tirtrack: evil.pth: it names posix.system, which no checkpoint that we")
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


class Hostile:
    def __reduce__(self):
        return os.system, ("touch was-here",)


def test_a_wrong_network_lists_the_near_ones(checkpoint, capsys):
    words = ["weights", "import", checkpoint, "--out", "x.safetensors", "--network", "nanotrack"]
    assert run(words) == 2
    said = capsys.readouterr().err
    assert said.startswith('tirtrack: no network is called "nanotrack"; did you mean ')
    assert all(f'"nanotrack-v{version}"' in said for version in (1, 2, 3))


def test_a_backbone_shows_what_it_wants_to_see(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(registry.build_backbone("mobilenet-v2").state_dict(), "mobilenet.pth")
    assert run(["weights", "import", "mobilenet.pth", "--out", "b.safetensors"]) == 0
    assert run(["weights", "info", "b.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    levels = "black -2.118 -2.036 -1.804, white 2.249 2.429 2.64"
    assert f"input          a backbone, any side, RGB, {levels}" in lines
    assert not any(line.startswith(("preset", "engine")) for line in lines)
