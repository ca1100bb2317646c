"""What trainers put around a network is seen through; what lies in it arrives unchanged."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import published
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tirtrack.errors import WeightsError
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.entries import TensorPlace, likely, places_of, taken_off
from tirtrack.weights.importing import Imported, import_weights

FILE, OUT = Path("model.pth"), Path("made.safetensors")
STATE = published.drawn(registry.shapes_of("nanotrack-v3-tiny"))
OTHER = published.drawn(registry.shapes_of("nanotrack-v3-tiny"), seed=1)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def under(prefix: str, state: dict[str, torch.Tensor] = STATE) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def imported(content: object, **changes) -> Imported:
    torch.save(content, FILE)
    return import_weights(FILE, OUT, **changes)


def fault(content: object, **changes) -> str:
    """The sentence that importing ends with; nothing was written."""
    with pytest.raises(WeightsError) as caught:
        imported(content, **changes)
    assert not OUT.exists()
    assert caught.value.exit_code == 2
    return str(caught.value)


def holds(state: dict[str, torch.Tensor]) -> bool:
    """Whether the weights file has exactly the numbers of a state dict without any wrapping."""
    stored = store.read(OUT).state
    wanted = {key: value for key, value in state.items() if registry.is_stored(key)}
    return stored.keys() == wanted.keys() and all(
        torch.equal(stored[key], value) for key, value in wanted.items()
    )


# --- entries and prefixes ------------------------------------------------------------------------

ENTRIES = [
    *("state_dict", "model", "model_state_dict", "net", "network", "model_ema", "ema"),
    *("ema_state_dict", "state_dict_ema", "params_ema", "weights", "tracker"),
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_network_is_found_in_the_entry_of_any_trainer(entry):
    made = imported({entry: STATE, "epoch": 3, "best_score": torch.tensor(0.5)})
    assert holds(STATE)
    said = "" if entry in ("net", "state_dict") else entry
    assert (made.read_from, made.notes) == (said, ())
    assert made.card.made_with.get("entry", "") == said


PREFIXES = [
    *("module.", "model.", "net.backbone_net.", "_orig_mod.", "student.", "module.model."),
    *("_orig_mod.module.", "a.b.c.d.e.f.", "backbone.", "features.", "0."),
    *("student_", "my-net/", "model::"),
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_that_all_names_share_is_taken_off(prefix):
    made = imported({"state_dict": under(prefix)})
    assert holds(STATE)
    assert made.read_from == f'state_dict, names without "{prefix}"'
    assert made.card.made_with["entry"] == made.read_from


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_is_taken_off_in_a_safetensors_file_without_a_card(prefix):
    save_file(under(prefix), "others.safetensors")
    made = import_weights(Path("others.safetensors"), OUT)
    assert holds(STATE)
    assert made.read_from == f'names without "{prefix}"'


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_wrapped_file_gives_the_bytes_of_the_unwrapped_one(legacy):
    torch.save(STATE, FILE)
    import_weights(FILE, OUT)
    plain = {key: value.numpy().tobytes() for key, value in store.read(OUT).state.items()}
    wrapped = {"ema": {"state_dict": under("module.net.")}}
    torch.save(wrapped, FILE, _use_new_zipfile_serialization=not legacy)
    import_weights(FILE, OUT, force=True)
    again = {key: value.numpy().tobytes() for key, value in store.read(OUT).state.items()}
    assert plain == again


def test_whole_file_of_a_network_alone_says_nothing():
    made = imported(STATE)
    assert holds(STATE)
    assert (made.read_from, made.notes) == ("", ())
    assert "entry" not in made.card.made_with


def test_compiled_part_of_a_network_is_seen_through():
    compiled = {
        key.replace("backbone.", "backbone._orig_mod."): value for key, value in STATE.items()
    }
    made = imported({"state_dict": under("model.", compiled)})
    assert holds(STATE)
    assert made.read_from == 'state_dict, names without "model." or "_orig_mod."'


@pytest.mark.parametrize(
    ("content", "read_from"),
    [
        pytest.param({"ema": {"state_dict": STATE, "updates": 7}}, "ema.state_dict", id="ema"),
        pytest.param({"a": {"b": {"c": {"d": STATE}}}}, "a.b.c.d", id="deep"),
        pytest.param({"models": [STATE]}, "models.0", id="list"),
        pytest.param({**STATE, "epoch": 3}, "", id="flat"),
        pytest.param(
            {"n_averaged": torch.tensor(3), **under("module.")},
            'names without "module."',
            id="AveragedModel",
        ),
        pytest.param(
            {
                "ema": {
                    "initted": torch.tensor(True),
                    "step": torch.tensor(1),
                    **under("ema_model."),
                }
            },
            'ema, names without "ema_model."',
            id="ema_pytorch",
        ),
        pytest.param(
            {"model": STATE, "optimizer": {"state": {key: {"m": STATE[key]} for key in STATE}}},
            "model",
            id="optimiser by names",
        ),
    ],
)
def test_containers_within_containers_and_means_of_weights_are_seen_through(content, read_from):
    made = imported(content)
    assert holds(STATE)
    assert (made.read_from, made.notes) == (read_from, ())


def test_checkpoint_of_lightning_is_read_with_all_that_it_keeps(monkeypatch):
    module = ModuleType("lightning_fabric.utilities.data")
    kind = type("AttributeDict", (dict,), {"__module__": module.__name__})
    module.AttributeDict = kind
    for name in ("lightning_fabric", "lightning_fabric.utilities"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    content = {
        "epoch": 3,
        "global_step": 40,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {**under("model."), "criterion.weight": torch.ones(3)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'iou'}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": []}],
        "lr_schedulers": [{"milestones": Counter({3: 1}), "gamma": 0.1}],
        "hyper_parameters": kind(
            data=pathlib.PurePosixPath("/data"),
            options=argparse.Namespace(lr=0.1),
            seen=defaultdict(list, {"a": [1]}),
            mean=np.arange(3.0),
            dtype=torch.float32,
            kind=Any,
        ),
    }
    torch.save(content, FILE)
    monkeypatch.delitem(sys.modules, module.__name__)
    made = import_weights(FILE, OUT)
    assert holds(STATE)
    assert made.card.made_with["epoch"] == "3"
    assert made.read_from == 'state_dict, names without "model."'
    assert made.notes == ("not read: 1 tensor beside the network (criterion.weight)",)


# --- several networks in one file ----------------------------------------------------------------

SEVERAL = {
    "raw and mean": ({"state_dict": STATE, "model_ema": OTHER}, ["state_dict", "model_ema"]),
    "student and teacher": (
        {"state_dict": {**under("student."), **under("teacher.", OTHER)}},
        ["state_dict.student", "state_dict.teacher"],
    ),
    "mean in a callback": (
        {"state_dict": under("m."), "callbacks": {"EMA": {"weights": under("m.", OTHER)}}},
        ["state_dict.m", "callbacks.EMA.weights.m"],
    ),
    "mean beside bare names": ({**STATE, "ema": OTHER}, [".", "ema"]),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_of_several_networks_the_user_chooses(name):
    content, paths = SEVERAL[name]
    options = " or ".join(f"--entry {path}" for path in paths)
    said = fault(content)
    assert said.endswith(f"holds 2 networks with different numbers; say which one with {options}")
    for path, state in zip(paths, (STATE, OTHER), strict=True):
        made = imported(content, entry=path, force=True)
        assert holds(state)
        assert any(note.startswith("not read: ") for note in made.notes)


def test_entry_is_known_by_any_of_its_keys():
    content = {"state_dict": under("model."), "callbacks": {"EMA": {"state": under("m.", OTHER)}}}
    imported(content, entry="EMA")
    assert holds(OTHER)
    assert "--entry state_dict.model or --entry callbacks" in fault_again(content)


def fault_again(content: object) -> str:
    OUT.unlink()
    return fault(content)


def test_copies_with_the_same_numbers_are_one_network():
    copy = {key: value.clone() for key, value in STATE.items()}
    made = imported({"net": STATE, "model_ema": copy, "again": STATE})
    assert holds(STATE)
    assert made.read_from == "net"
    assert made.notes == tuple(
        f"not read: {entry}, {len(STATE)} tensors" for entry in ("model_ema", "again")
    )


def test_network_decides_between_entries_of_different_ones():
    content = {"a": STATE, "b": published.drawn(registry.shapes_of("dimp18-tiny"))}
    assert "--entry a or --entry b" in fault(content)
    assert imported(content, network="dimp18-tiny").read_from == "b"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("model_em", 'holds no entry called "model_em"; did you mean "model_ema"?'),
        ("", 'holds no entry called ""; known are model_ema, state_dict'),
    ],
)
def test_wrong_entry_names_those_that_hold_a_network(entry, said):
    assert said in fault({"state_dict": STATE, "model_ema": OTHER}, entry=entry)


def test_entry_of_a_file_without_a_network_is_one_sentence():
    assert 'no entry called "x"; leave out --entry' in fault({"a.b": torch.ones(1)}, entry="x")


# --- networks that are not there -----------------------------------------------------------------


def test_nearest_network_is_found_without_prefixes():
    state = under("module.model.")
    gone = next(iter(state))
    del state[gone]
    said = fault({"state_dict": state, "epoch": 3})
    assert 'state_dict, names without "module.model.": its tensors are those of no known' in said
    assert f"nearest is nanotrack-v3-tiny: 1 missing ({gone.removeprefix('module.model.')})" in said


def test_damaged_tracker_is_not_taken_for_its_backbone():
    whole = published.drawn(registry.shapes_of("resnet18"))
    tracker = {**under("net.feature_extractor.", whole), "net.classifier.weight": torch.ones(2)}
    said = fault({"state_dict": tracker})
    assert "no known network; nearest is " in said
    imported({"state_dict": tracker}, network="resnet18")
    assert holds(whole)


def test_backbone_in_a_wrapper_is_a_backbone():
    whole = published.drawn(registry.shapes_of("resnet18"))
    imported({"n_averaged": torch.tensor(2), **under("module.", whole)})
    assert holds(whole)


def test_prefix_of_a_network_that_does_not_fit_is_named_with_network():
    said = fault({"model": under("module.")}, network="dimp18-tiny")
    assert "its tensors are those of nanotrack-v3-tiny; give weights of dimp18-tiny" in said


def test_every_name_in_every_network_belongs_to_a_module():
    """So a name without a point is no part of a network, and no part of a name is a wrapper's."""
    for name in (*registry.names(), *registry.backbone_names()):
        for key in registry.shapes_of(name):
            assert "." in key
            assert not {"module", "_orig_mod"} & {*key.split(".")}


# --- names alone ---------------------------------------------------------------------------------

PARTS = st.text("abc01", min_size=1, max_size=4)
NAMES = st.sets(st.lists(PARTS, min_size=2, max_size=4).map(".".join), min_size=1, max_size=8)


@given(NAMES, st.lists(PARTS, max_size=4))
def test_some_place_has_the_bare_names_whatever_is_put_in_front(names, prefix):
    front = "".join(f"{part}." for part in prefix)
    places = places_of({"entry": [front + name for name in names]})
    assert any({*place.names} == names and place.names for place in places)


def test_names_that_would_meet_without_wrappers_stay_as_they_are():
    (place, *_) = places_of({"": ["a.module.b", "a.b"]})
    assert place.names == {"a.module.b": "a.module.b", "a.b": "a.b"}


def test_small_places_are_not_likely():
    places = places_of({"": ["loss.a", *(f"model.{i}.w" for i in range(8))]})
    assert [place.prefix for place in likely(places)] == ["", "model."]
    assert likely([]) == []


def test_names_in_a_network_have_nothing_in_front():
    assert taken_off(TensorPlace("net", "", {"a.b": "a.b"})) == []
