"""Published checkpoints become weights files: the same numbers, the right name, their origin."""

from __future__ import annotations

import json
from pathlib import Path

import published
import pytest
import torch
from safetensors.torch import load_file, save_file

from tirtrack.errors import RequestError, WeightsError
from tirtrack.files import sha256
from tirtrack.networks import registry
from tirtrack.weights import constructors, store
from tirtrack.weights.importing import Imported, import_weights

NETWORKS = sorted(published.RECORDS)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


FILE, OUT = Path("model.pth"), Path("made/model.safetensors")


def imported(file: Path = FILE, **changes) -> Imported:
    return import_weights(file, OUT, **changes)


def fault(file: Path = FILE, **changes) -> str:
    """The sentence that importing ends with; nothing was written."""
    with pytest.raises(RequestError) as caught:
        import_weights(file, OUT, **changes)
    assert not OUT.parent.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tiny(name: str) -> dict[str, torch.Tensor]:
    """A state dict of the tiny configuration of a network."""
    return published.drawn(registry.shapes_of(f"{name}-tiny"))


def written(name: str, **changes) -> Path:
    """A checkpoint of the tiny configuration of a network, with the record of the whole one."""
    function, kwds = published.RECORDS[name]
    return published.write_tracker(FILE, tiny(name), function, kwds, **changes)


def same(state: dict[str, torch.Tensor]) -> bool:
    """Whether the weights file holds exactly these numbers."""
    stored = store.read(OUT).state
    wanted = {key: value for key, value in state.items() if registry.is_stored(key)}
    return stored.keys() == wanted.keys() and all(
        torch.equal(stored[key], value.float()) for key, value in wanted.items()
    )


# --- trackers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["dimp18", "superdimp50"])
def test_every_number_of_a_checkpoint_arrives(name, legacy):
    written(name, legacy=legacy)
    made = imported(name="mine", licence="MIT", modality="tir", command="tirtrack weights import")
    assert same(tiny(name))
    assert made.notes == ()
    card = store.read(OUT).card
    assert card == made.card
    assert (card.architecture, card.modality, card.name) == (f"{name}-tiny", "tir", "mine")
    assert (card.licence, card.preset) == ("MIT", "default")
    assert [(one.name, one.sha256) for one in card.started_from] == [("model.pth", sha256(FILE))]
    facts = card.made_with
    assert facts["container"] == ("torch, legacy" if legacy else "torch, zip")
    assert (facts["epoch"], facts["net type"]) == ("50", "DiMPnet")
    assert facts["command"] == "tirtrack weights import"
    assert facts["constructor"].startswith("ltr.models.tracking.dimpnet.dimpnet")
    assert "(filter_size=4, backbone_pretrained=True, " in facts["constructor"]
    assert facts["torch"] == torch.__version__


def test_network_of_imported_weights_is_the_one_that_was_saved():
    network = registry.build("dimp18", tiny=True, seed=3)
    published.write_tracker(FILE, network.state_dict())
    imported()
    again = store.network_of(store.read(OUT)).state_dict()
    assert all(torch.equal(again[key], value) for key, value in network.state_dict().items())


def test_same_checkpoint_and_command_give_the_same_bytes():
    written("atom18")
    imported(command="x")
    first = OUT.read_bytes()
    imported(command="x", force=True)
    assert OUT.read_bytes() == first


def test_whole_network_is_imported():
    """At its real size, once."""
    state = published.drawn(registry.shapes_of("atom18"))
    published.write_tracker(FILE, state, *published.RECORDS["atom18"], legacy=True)
    assert imported().card.architecture == "atom18"
    assert same(state)


@pytest.mark.parametrize("name", NETWORKS)
def test_record_and_tensors_of_every_published_network_name_it(name, shared):
    """On the key lists of the published networks, without their numbers."""
    keys = json.loads((shared / "golden" / "networks" / "keys" / f"{name}.json").read_text())
    shapes = {key: tuple(one["shape"]) for key, one in keys.items()}
    function, kwds = published.RECORDS[name]
    origin = constructors.origin_of({"fun_name": function, "args": [], "kwds": kwds})
    assert origin == constructors.ConstructorRecord((name,), ())
    assert name in registry.architectures_of(shapes)


def test_older_names_of_the_classes_and_the_module_are_known():
    written("dimp18", package="dlframework.common.utils", module="dlframework.models.dimpnet")
    assert imported().card.architecture == "dimp18-tiny"


@pytest.mark.parametrize("change", [{"epoch": None}, {"net_type": 3}, {"settings": None}])
def test_what_is_not_needed_may_be_anything(change):
    written("prdimp18", **change)
    assert imported().card.architecture == "prdimp18-tiny"


def test_stripped_file_is_named_by_its_tensors_alone():
    torch.save({"net": tiny("prdimp50")}, FILE)
    card = imported().card
    assert card.architecture == "prdimp50-tiny"
    assert "constructor" not in card.made_with


def test_counters_of_batch_norm_may_be_missing():
    state = {key: value for key, value in tiny("dimp18").items() if registry.is_stored(key)}
    published.write_tracker(FILE, state)
    imported()
    assert same(state)


def test_prefix_of_training_on_several_devices_is_taken_off():
    state = tiny("prdimp18")
    torch.save({"net": {f"module.{key}": value for key, value in state.items()}}, FILE)
    imported()
    assert same(state)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_widths_become_float32(kind):
    state = {k: v.to(kind) if v.is_floating_point() else v for k, v in tiny("prdimp18").items()}
    torch.save({"net": state}, FILE)
    imported()
    assert same(state)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_tensors_that_are_views_of_one_another_are_read_as_seen(legacy):
    state = tiny("dimp18")
    key, value = next((k, v) for k, v in state.items() if v.ndim == 4 and v.shape[0] > 1)
    state[key] = (
        torch.cat([torch.zeros(3), value.movedim(0, 3).flatten()])[3:]
        .view(*value.shape[1:], value.shape[0])
        .movedim(3, 0)
    )
    assert not state[key].is_contiguous()
    torch.save({"net": state}, FILE, _use_new_zipfile_serialization=not legacy)
    imported()
    assert same(state)


# --- which of two --------------------------------------------------------------------------------


def test_tensors_of_two_networks_without_a_record_need_a_word():
    torch.save({"net": tiny("dimp50")}, FILE)
    assert "its tensors fit dimp50-tiny or superdimp50-tiny, and nothing in it says" in fault()
    assert imported(network="superdimp50-tiny").card.architecture == "superdimp50-tiny"


def test_record_that_lies_between_two_networks_needs_a_word():
    kwds = {**published.DIMP50, "frozen_backbone_layers": published.FROZEN}
    published.write_tracker(FILE, tiny("dimp50"), "dimpnet50", kwds)
    assert "give --network dimp50-tiny or --network superdimp50-tiny" in fault()
    made = imported(network="dimp50-tiny")
    assert made.card.architecture == "dimp50-tiny"
    assert made.notes == (
        "it was not trained with the published settings: frozen_backbone_layers "
        "['conv1', 'bn1', 'layer1', 'layer2'] instead of []",
    )


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("dimp5", 'no network is called "dimp5"; did you mean "dimp50", "prdimp50", '),
        ("resnet1", 'no network is called "resnet1"; did you mean "resnet18" or "resnet50"?'),
        ("superdimp50-tiny", "its record says dimp50-tiny, not superdimp50-tiny; leave out"),
        ("prdimp18-tiny", "its tensors are those of dimp50-tiny or superdimp50-tiny; give"),
    ],
)
def test_wrong_network_is_one_sentence(network, said):
    written("dimp50")
    assert said in fault(network=network)


def test_record_of_another_network_than_the_tensors_is_refused():
    published.write_tracker(FILE, tiny("dimp18"), "klcedimpnet18", published.PRDIMP)
    assert "its record says prdimp18, its tensors are those of dimp18-tiny" in fault()


# --- records -------------------------------------------------------------------------------------


def origin(function: str = "dimpnet18", **changes):
    kwds = {**published.DIMP, **changes}
    return constructors.origin_of({"fun_name": function, "args": [], "kwds": kwds})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filter_size": 5}, "filter_size 5 instead of 4"),
        ({"optim_iter": 3, "score_act": "bentpar"}, "optim_iter 3 instead of 5, score_act bentpar"),
        ({"bin_displacement": 0.5}, "bin_displacement 0.5 instead of 0.1"),
    ],
)
def test_record_that_computes_something_else_is_refused(change, said):
    with pytest.raises(WeightsError, match=said):
        origin(**change)


def test_argument_that_a_record_leaves_out_has_the_published_default():
    kwds = {key: value for key, value in published.DIMP.items() if key != "filter_size"}
    with pytest.raises(WeightsError, match="filter_size 1 instead of 4"):
        constructors.origin_of({"fun_name": "dimpnet18", "kwds": kwds})


def test_settings_of_training_and_unknown_arguments_are_notes():
    found = origin(optim_init_step=0.5, backbone_pretrained=False, colour="red")
    assert found.networks == ("dimp18",)
    assert found.notes == (
        "its record has arguments that are not known: colour",
        "it was not trained with the published settings: optim_init_step 0.5 instead of 0.9, "
        "backbone_pretrained False instead of True",
    )


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"fun_name": "dimpnet81", "kwds": {}}, r'"dimpnet81" made it; did you mean "dimpnet18"'),
        ({"fun_name": None, "kwds": {}}, 'its record says that "None" made it'),
        ({"fun_name": "L2dimpnet18", "kwds": {}}, "a network that tirtrack does not have"),
        ({"fun_name": "atom_resnet50", "kwds": {}}, "a network that tirtrack does not have"),
        ({"fun_name": "dimpnet18", "kwds": None}, "without their names"),
        ({"fun_name": "dimpnet18", "kwds": {}, "args": [4]}, "without their names"),
    ],
)
def test_record_that_cannot_be_followed_is_refused(record, said):
    with pytest.raises(WeightsError, match=said):
        constructors.origin_of(record)


# --- the Siamese family, backbones, other people's safetensors -----------------------------------


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("version", ["v1", "v2", "v3"])
def test_nanotrack_is_told_by_its_keys_and_loses_neck_and_optimiser(version, legacy):
    state = tiny(f"nanotrack-{version}")
    published.write_nanotrack(FILE, state, legacy=legacy)
    assert imported().card.architecture == f"nanotrack-{version}-tiny"
    assert store.read(OUT).card.made_with["epoch"] == "35"
    assert same(state)


def test_published_nanotrack_gives_the_numbers_of_the_converted_file(shared):
    folder = shared / "data" / "weights" / "nanotrack"
    if not folder.is_dir():
        pytest.skip("the published weights are not in the shared folder")
    state = load_file(folder / "nanotrack_v3.safetensors")
    published.write_nanotrack(FILE, state)
    assert imported().card.architecture == "nanotrack-v3"
    assert same(state)


def test_state_dict_of_a_resnet_is_a_backbone():
    state = published.drawn(registry.shapes_of("resnet18"))
    torch.save(state, FILE)
    assert imported().card.architecture == "resnet18"
    assert same(state)
    with pytest.raises(WeightsError, match="resnet18 is a backbone alone; name a network that"):
        store.network_of(store.read(OUT))


def test_classifier_behind_the_features_of_mobilenet_is_left_out():
    state = published.drawn(registry.shapes_of("mobilenet-v2"))
    beside = {"classifier.1.weight": torch.zeros(10, 4), "classifier.1.bias": torch.zeros(10)}
    torch.save({**state, **beside}, FILE)
    assert imported().card.architecture == "mobilenet-v2"
    assert same(state)


@pytest.mark.parametrize(
    ("file", "architecture", "licence"),
    [
        ("imagenet/mobilenet_v2_features_fp16", "mobilenet-v2", "MIT"),
        ("fear/fear_xs", "fear-xs", "MIT"),
        ("nanotrack/nanotrack_v1", "nanotrack-v1", "Apache-2.0"),
    ],
)
def test_safetensors_of_others_get_a_card(shared, file, architecture, licence):
    path = shared / "data" / "weights" / f"{file}.safetensors"
    if not path.is_file():
        pytest.skip("the published weights are not in the shared folder")
    card = imported(path).card
    assert (card.architecture, card.licence) == (architecture, licence)
    assert card.started_from[0].url
    assert same(load_file(path))


def test_weights_file_of_ours_needs_no_import():
    written("dimp18")
    imported()
    with pytest.raises(WeightsError, match="is a weights file of tirtrack already; use it as"):
        import_weights(OUT, Path("again.safetensors"))


# --- tensors that are not right ------------------------------------------------------------------


def test_missing_unknown_and_misshaped_tensors_are_named_with_the_nearest_network():
    state = tiny("dimp18")
    kept = [key for key in state if registry.is_stored(key)]
    for key in kept[:7]:
        del state[key]
    state["extra.weight"] = torch.zeros(2)
    state["bb_regressor.iou_predictor.bias"] = torch.zeros(9)
    published.write_tracker(FILE, state)
    said = fault()
    assert "its tensors are those of no known network; nearest is dimp18-tiny: 7 missing" in said
    assert ", ".join(sorted(kept[:7])[:5]) + ")" in said
    assert "1 not known (extra.weight)" in said
    assert "1 of another shape (bb_regressor.iou_predictor.bias [9] instead of [1])" in said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.tensor([float("nan")]), "holds numbers that are not finite"),
        (torch.tensor([float("inf")]), "holds numbers that are not finite"),
        (torch.tensor([1]), "holds whole numbers (torch.int64)"),
    ],
)
def test_tensor_that_no_network_can_use_is_named(value, said):
    state = tiny("dimp18")
    state["bb_regressor.iou_predictor.bias"] = value
    published.write_tracker(FILE, state)
    assert f"model.pth: bb_regressor.iou_predictor.bias {said}" in fault()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "it is an empty dict"),
        ({"net": {}}, "holds no state dict, only net"),
        ({"model": {"a": 1}, "epoch": 3}, "holds no state dict, only model, epoch"),
        ({"net": {"a.b": torch.zeros(2), "a.c": None}}, "its tensors are those of no known"),
        ({"net": {3: torch.zeros(2)}}, "holds no state dict, only net"),
        ({"net": {"a" * 301: torch.zeros(2)}}, "its tensors have no usable names"),
        ({"optimizer": {"w.a": torch.zeros(2)}}, "holds no state dict, only optimizer"),
        ([torch.zeros(2)], "its pickle holds no dict"),
    ],
)
def test_file_without_a_state_dict_says_what_it_holds(content, said):
    torch.save(content, FILE)
    assert said in fault()


# --- where it is written -------------------------------------------------------------------------


def test_existing_file_is_kept_without_force():
    written("dimp18")
    OUT.parent.mkdir()
    OUT.write_bytes(b"mine")
    with pytest.raises(RequestError, match="exists already; choose another --out, or give --force"):
        imported()
    assert OUT.read_bytes() == b"mine"
    imported(force=True)
    assert same(tiny("dimp18"))


def test_a_whole_model_in_place_of_its_state_dict_says_what_to_save():
    torch.save(torch.nn.Conv2d(1, 1, 1), FILE)
    with pytest.raises(WeightsError, match=r"torch\.nn\..*save model\.state_dict\(\) instead"):
        imported()
    assert not OUT.exists()


def test_bad_checkpoint_leaves_the_old_file_with_force():
    FILE.write_bytes(b"<html>")
    OUT.parent.mkdir()
    OUT.write_bytes(b"mine")
    with pytest.raises(WeightsError, match="is a web page"):
        imported(force=True)
    assert OUT.read_bytes() == b"mine"
    assert [*OUT.parent.iterdir()] == [OUT]


def test_checkpoint_is_never_written_over():
    save_file(tiny("dimp18"), "own.safetensors")
    own = Path("own.safetensors")
    with pytest.raises(RequestError, match="is the checkpoint itself; choose another --out"):
        import_weights(own, own, force=True)


@pytest.mark.parametrize(
    ("out", "said"), [("x.pth", 'ends in ".pth"; let --out end in .safetensors'), ("d", "ends in")]
)
def test_weights_file_has_its_suffix(out, said):
    written("dimp18")
    with pytest.raises(RequestError, match=said):
        import_weights(FILE, Path(out))


def test_unknown_modality_names_the_near_one():
    assert 'no modality is called "tri"; did you mean "tir"?' in fault(modality="tri")
