"""A weights file is whole and of a network we know, or one sentence says what is wrong with it."""

from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tirtrack.errors import StorageError, TrainingError, WeightsError
from tirtrack.files import sha256
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Calibration, Card, StartedFrom, TrainingSource

CARD = Card(
    name="small",
    architecture="nanotrack-v3-tiny",
    modality="tir",
    licence="Apache-2.0",
    summary="drawn, not trained: ünïcode",
    started_from=[StartedFrom(name="nothing", sha256="0" * 64, licence="none")],
    training_data=[TrainingSource(name="none", licence="none", role="none")],
    calibration=Calibration(
        **{"rise_centre": 3.0, "rise_scale": 0.5, "margin_centre": 2.0, "margin_scale": 1.0},
        **{"uncertain_below": 0.5, "lost_below": 0.3, "lost_after_frames": 4, "fitted_on": "none"},
    ),
    scores={"made-up": 0.5},
)


@pytest.fixture(scope="module")
def network():
    return registry.build("nanotrack-v3", tiny=True, seed=1)


@pytest.fixture
def file(tmp_path, network):
    path = tmp_path / "small.safetensors"
    store.write(path, network, CARD)
    return path


def with_tensors(file, change, metadata="kept"):
    """The same file with its tensors or its card changed by the caller."""
    state = load_file(file)
    change(state)
    if metadata == "kept":
        metadata = {"tirtrack": CARD.model_dump_json()}
    save_file(state, file, metadata)
    return file


def fault(path):
    """The sentence that reading ends with: one line, names the file."""
    with pytest.raises(WeightsError) as caught:
        store.read(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    return text


def test_what_is_written_is_read(file, network):
    weights = store.read(file)
    assert weights.card == CARD
    assert weights.sha256 == sha256(file)
    assert weights.path == file
    wanted = {k: v for k, v in network.state_dict().items() if not k.endswith("tracked")}
    assert weights.state.keys() == wanted.keys()
    assert all(torch.equal(weights.state[key], value) for key, value in wanted.items())


def test_network_of_weights_answers_as_the_one_written(file, network):
    again = store.network_of(store.read(file))
    assert not again.training
    patch = torch.rand(1, 3, 127, 127) * 255
    with torch.no_grad():
        assert torch.equal(again.backbone(patch), network.eval().backbone(patch))


def test_network_of_weights_draws_none_of_its_own(file, network, monkeypatch):
    weights = store.read(file)
    monkeypatch.setattr(type(network), "draw_weights", None)
    state = store.network_of(weights).state_dict()
    assert all(torch.equal(state[key], value) for key, value in weights.state.items())


def test_same_network_and_card_give_the_same_bytes(file, network, tmp_path):
    store.write(tmp_path / "again.safetensors", network, CARD)
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_half_precision_is_read_as_float32(file):
    with_tensors(file, lambda s: s.update({key: value.half() for key, value in s.items()}))
    assert {value.dtype for value in store.read(file).state.values()} == {torch.float32}


def test_file_changed_in_place_does_not_change_what_was_read(file):
    weights = store.read(file)
    before = {key: value.clone() for key, value in weights.state.items()}
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(file.stat().st_size // 2))
    assert all(torch.equal(weights.state[key], value) for key, value in before.items())


@pytest.mark.parametrize("share", [0.001, 0.1, 0.9, 0.999])
def test_truncated_file_is_named(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert "is damaged or no safetensors file" in fault(file)


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("evil-was-here"),))


def test_pickle_is_refused_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Evil()))
    assert "make a weights file of it by tirtrack weights import" in fault(path)
    assert not Path("evil-was-here").exists()


def test_folder_is_no_weights_file(tmp_path):
    with pytest.raises(WeightsError, match=r"cannot be read|is damaged"):
        store.read(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_number_that_is_not_finite_is_named_with_its_key(file, value):
    key = "ban_head.cls_logits.0.bias"
    with_tensors(file, lambda state: state[key].__setitem__(0, value))
    assert f"1 tensors hold numbers that are not finite, first {key}" in fault(file)


def test_wrong_shape_is_named_with_both_shapes(file):
    with_tensors(file, lambda state: state.update({"ban_head.bbox_pred.0.bias": torch.zeros(5)}))
    text = fault(file)
    assert "1 of another shape (ban_head.bbox_pred.0.bias [5] instead of [4])" in text


def test_missing_keys_are_counted_and_the_first_five_named(file):
    gone = sorted(load_file(file))[:7]
    with_tensors(file, lambda state: [state.pop(key) for key in gone])
    text = fault(file)
    assert "its card says nanotrack-v3-tiny, but its tensors are not those of" in text
    assert f"7 missing ({', '.join(gone[:5])})" in text
    assert gone[5] not in text


def test_keys_of_another_network_are_named(file):
    other = registry.build("nanotrack-v2", tiny=True).state_dict()
    with_tensors(file, lambda state: (state.clear(), state.update(other)))
    text = fault(file)
    assert "its card says nanotrack-v3-tiny, but its tensors are those of nanotrack-v2-tiny" in text


def test_counters_of_batch_norm_are_tolerated(file, network):
    with_tensors(file, lambda state: state.update(network.state_dict()))
    assert not any(key.endswith("num_batches_tracked") for key in store.read(file).state)


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"name": "x"}', json.dumps({**CARD.model_dump(), "pickle": "yes"})],
    ids=["not json", "no object", "fields missing", "unknown field"],
)
def test_damaged_card_is_named(file, text):
    with_tensors(file, lambda state: None, metadata={"tirtrack": text})
    assert "its card cannot be read" in fault(file)


def test_card_of_an_unknown_network_names_the_near_one(file):
    text = CARD.model_copy(update={"architecture": "nanotrack-v33"}).model_dump_json()
    with_tensors(file, lambda state: None, metadata={"tirtrack": text})
    with pytest.raises(WeightsError, match='did you mean "nanotrack-v3"'):
        store.read(file)


def test_file_without_card_gets_one_that_says_little(file):
    with_tensors(file, lambda state: None, metadata=None)
    expected = Card(
        name="small", architecture="nanotrack-v3-tiny", modality="rgb", licence="unknown"
    )
    assert store.card_of(file) == store.read(file).card == expected


def test_published_files_have_implied_cards(shared):
    folder = shared / "data" / "weights" / "nanotrack"
    if not folder.is_dir():
        pytest.skip("the published weights are not in the shared folder")
    weights = store.read(folder / "nanotrack_v3.safetensors")
    assert (weights.card.name, weights.card.architecture) == ("nanotrack_v3", "nanotrack-v3")
    assert store.card_of(folder / "nanotrack_v1.safetensors").architecture == "nanotrack-v1"


def test_file_without_card_that_fits_two_networks_is_no_guess(tmp_path):
    path = tmp_path / "which.safetensors"
    save_file(registry.build("superdimp50-tiny").state_dict(), path)
    text = fault(path)
    assert "its tensors fit dimp50-tiny and superdimp50-tiny, and it has no card" in text
    assert "tirtrack weights import --network" in text


def test_network_that_is_not_finite_is_not_written(tmp_path):
    broken = registry.build("nanotrack-v3", tiny=True)
    with torch.no_grad():
        next(broken.parameters())[0] = float("nan")
    with pytest.raises(TrainingError, match=r"first backbone\.features\.0\.0\.weight"):
        store.write(tmp_path / "x.safetensors", broken, CARD)
    assert list(tmp_path.iterdir()) == []


def test_network_of_another_architecture_than_its_card_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="no nanotrack-v3-tiny"):
        store.write(tmp_path / "x.safetensors", registry.build("nanotrack-v2-tiny"), CARD)


def test_full_disk_leaves_the_old_file(file, network, monkeypatch):
    before = file.read_bytes()

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.write(file, registry.build("nanotrack-v3-tiny", seed=9), CARD)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


@pytest.fixture
def two_shipped(tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name in ("nano-tir", "nano-rgb"):
        (folder / f"{name}.safetensors").write_bytes(b"")
    (folder / "README.md").write_text("no weights")
    monkeypatch.setattr(store, "SHIPPED", folder)
    return folder


def test_shipped_weights_are_found_by_name(two_shipped):
    assert [path.stem for path in store.shipped()] == ["nano-rgb", "nano-tir"]
    assert store.find("nano-tir") == two_shipped / "nano-tir.safetensors"


def test_file_wins_over_a_shipped_name(two_shipped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("nano-tir").write_bytes(b"")
    assert store.find("nano-tir") == Path("nano-tir")


def test_unknown_name_names_the_near_one(two_shipped):
    with pytest.raises(WeightsError, match=r'called "nano-tri".*did you mean "nano-tir"'):
        store.find("nano-tri")


def test_name_of_a_network_without_weights_says_where_to_get_some(two_shipped):
    with pytest.raises(WeightsError, match=r'"dimp18" is a network, .*train --network dimp18'):
        store.find("dimp18")


def test_missing_file_is_called_a_file(two_shipped):
    for missing in ("night.safetensors", "folder/nano-tir"):
        with pytest.raises(WeightsError, match=f"{missing}: no such file"):
            store.find(missing)
