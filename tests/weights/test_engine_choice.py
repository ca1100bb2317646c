"""An engine is checked and timed once a machine; the choice is kept, and falls on the reference in
doubt.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import pytest

from tirtrack import cache
from tirtrack.errors import RequestError, RunError, StorageError
from tirtrack.inference import has_openvino
from tirtrack.networks import registry
from tirtrack.weights import engine_choice, graphs, store
from tirtrack.weights.card import Card
from tirtrack.weights.engine_choice import EngineTrial, chosen

ALIKE = EngineTrial("1.0", None, 4.0, 4.0)
FASTER = EngineTrial("2.0", None, 3.0, 3.0)
HARDLY_FASTER = EngineTrial("2.0", None, 3.9, 3.9)
WRONG = EngineTrial("2.0", "the graph head differs from the network by 0.1 (run by openvino)")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = random_weights(tmp_path_factory.mktemp("weights"), "nanotrack-v3-tiny")
    graphs.graphs_of_file(path)
    return path


def random_weights(folder, architecture, seed=5):
    path = folder / f"{architecture}.safetensors"
    card = Card(name="small", architecture=architecture, modality="tir", licence="none")
    store.write(path, registry.build(architecture, seed=seed).eval(), card)
    return path


@pytest.fixture(autouse=True)
def own_trials(monkeypatch):
    """Trials of one test are not those of another: as if each had a processor of its own."""
    name = f"processor of test {next(_tests)}"
    monkeypatch.setattr(engine_choice, "processor", lambda: name)


_tests = itertools.count()


@pytest.fixture
def stub(monkeypatch):
    """OpenVINO as if installed, that passes or fails its check; counts its trials."""

    def make(fault=None, times=(3.0, 3.0)):
        tried = []

        def check(found, engine, where=None):
            tried.append(engine)
            if fault:
                raise RunError(fault)

        def times_ms(found, engines):
            return {one: [4.0, 4.0] if one == "onnx" else list(times) for one in engines}

        monkeypatch.setattr(engine_choice, "has_openvino", lambda: True)
        monkeypatch.setattr(engine_choice, "openvino", lambda: None)
        monkeypatch.setattr(engine_choice, "runtime_version", lambda engine: "1.0")
        monkeypatch.setattr(engine_choice, "check_runtime", check)
        monkeypatch.setattr(engine_choice, "_times_ms", times_ms)
        return tried

    return make


@pytest.mark.parametrize(
    ("other", "engine"),
    [(FASTER, "openvino"), (ALIKE, "onnx"), (HARDLY_FASTER, "onnx"), (WRONG, "onnx")],
    ids=["faster", "as fast", "hardly faster", "wrong"],
)
def test_another_engine_is_chosen_if_it_is_right_and_clearly_faster(other, engine):
    assert chosen({"onnx": ALIKE, "openvino": other}) == engine


def test_the_choice_is_made_once_and_stays(file, stub):
    tried = stub()
    assert engine_choice.fastest_engine(file) == "openvino"
    stub(times=(9.0, 9.0))
    assert engine_choice.fastest_engine(file) == "openvino"
    assert tried == ["openvino"]


def test_another_version_of_an_engine_is_tried_again(file, stub, monkeypatch):
    stub()
    assert engine_choice.fastest_engine(file) == "openvino"
    stub(times=(9.0, 9.0))
    monkeypatch.setattr(engine_choice, "runtime_version", lambda engine: "2.0")
    assert engine_choice.fastest_engine(file) == "onnx"


def test_one_engine_is_neither_checked_nor_timed(file, stub, monkeypatch):
    tried = stub()
    monkeypatch.setattr(engine_choice, "has_openvino", lambda: False)
    assert engine_choice.fastest_engine(file) == "onnx"
    assert tried == []


def test_an_engine_that_failed_its_check_is_said_once_and_never_used(file, stub, caplog):
    stub(fault="openvino cannot run this graph on this processor (no kernel)")
    for _ in range(2):
        assert engine_choice.fastest_engine(file) == "onnx"
    assert caplog.text.count("the engine openvino is not used with these weights: openvino") == 1
    with pytest.raises(RunError, match=r"no kernel.*choose the engine onnx, or try again after"):
        engine_choice.checked_graphs(file, "openvino")
    trial = engine_choice.engine_facts(file)["trials"]["openvino"]
    assert (trial["colour_ms"], trial["fault"][-11:]) == (None, "(no kernel)")


def test_a_cache_that_cannot_be_written_leaves_the_reference_untried(
    file, stub, tmp_path, monkeypatch, caplog
):
    tried = stub()
    (tmp_path / "no-folder").write_text("a file")
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "no-folder"))
    monkeypatch.setattr(engine_choice, "graphs_of_file", None)  # none is made for a trial
    assert engine_choice.fastest_engine(file) == "onnx"
    assert tried == []
    assert caplog.records == []


def test_a_choice_that_was_kept_is_taken_without_the_graphs(file, stub, monkeypatch):
    stub()
    assert engine_choice.fastest_engine(file) == "openvino"
    monkeypatch.setattr(engine_choice, "graphs_of_file", None)  # read once, by whoever runs them
    monkeypatch.setattr(engine_choice.os, "access", lambda path, mode: False)
    assert engine_choice.fastest_engine(file) == "openvino"


def test_a_choice_that_found_no_room_is_not_taken(file, stub, monkeypatch, caplog):
    def no_room(path, content):
        raise StorageError("could not be written (No space left on device)", path)

    tried = stub()
    monkeypatch.setattr(cache, "write_text", no_room)
    assert engine_choice.fastest_engine(file) == "onnx"
    assert tried == ["openvino"]
    assert "graphs are not kept" in caplog.text
    assert caplog.text.rstrip().endswith("; free some space or set TIRTRACK_CACHE")


def test_a_cache_that_is_not_there_yet_is_made(file, stub, tmp_path, monkeypatch):
    stub()
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "new" / "cache"))
    assert engine_choice.fastest_engine(file) == "openvino"
    assert (tmp_path / "new" / "cache" / "graphs").is_dir()


def test_two_first_runs_at_once_take_the_same_engine(file, stub, monkeypatch):
    stub()
    trial = engine_choice._try

    def while_another_ends(found):
        mine = trial(found)
        stub(times=(9.0, 9.0))
        others = {one: asdict(each) for one, each in trial(found)[0].items()}
        identity = engine_choice._identity(found.weights_hash)
        engine_choice.keep_value("graphs", identity, json.dumps(others))
        return mine

    monkeypatch.setattr(engine_choice, "_try", while_another_ends)
    trials = engine_choice.engine_trials(graphs.graphs_of_file(file))
    assert chosen(trials) == "onnx"
    assert engine_choice._kept_trials(graphs.hash_of_file(file)) == trials


@pytest.mark.parametrize(
    "content", ["", "[]", '{"onnx": {"speed": 3}}'], ids=["empty", "list", "old"]
)
def test_kept_trials_that_cannot_be_read_are_made_anew(file, stub, content):
    tried = stub()
    engine_choice.fastest_engine(file)
    weights_hash = graphs.hash_of_file(file)
    engine_choice.keep_value("graphs", engine_choice._identity(weights_hash), content)
    assert engine_choice.fastest_engine(file) == "openvino"
    assert len(tried) == 2


def test_facts_before_the_first_trial_time_nothing(file, stub):
    tried = stub()
    assert engine_choice.engine_facts(file) == {
        "trials": {}, "track": None, "openvino": True, "int8": {},
    }  # fmt: skip
    assert tried == []


def test_facts_are_json(file, stub):
    stub()
    engine_choice.fastest_engine(file)
    facts = engine_choice.engine_facts(file)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["track"] == "openvino"
    assert engine_choice.engine_facts(file, preset="published") == {**facts, "track": "onnx"}


def test_an_engine_that_is_not_installed_is_refused_before_graphs_are_made(tmp_path, monkeypatch):
    def missing():
        raise RequestError("the engine openvino is not installed")

    monkeypatch.setattr(engine_choice, "openvino", missing)
    new = random_weights(tmp_path, "nanotrack-v3-tiny", seed=6)
    with pytest.raises(RequestError, match="is not installed"):
        engine_choice.checked_graphs(new, "openvino")
    assert graphs._cached(graphs.hash_of_file(new)) is None


@pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)
def test_openvino_passes_its_check_and_is_timed(file):
    trials = engine_choice.engine_trials(graphs.graphs_of_file(file))
    assert list(trials) == ["onnx", "openvino"]
    assert all(trial.fault is None for trial in trials.values())
    assert all(trial.colour_ms > 0 and trial.grey_ms > 0 for trial in trials.values())


def test_graphs_without_a_search_are_checked_and_not_timed(stub, tmp_path):
    atom = random_weights(tmp_path, "atom18-tiny")
    assert engine_choice._times_ms(graphs.graphs_of_file(atom), ["onnx"]) == {}
    stub(fault="differs by 0.1")
    with pytest.raises(RunError, match=r"differs by 0\.1.*choose the engine onnx"):
        engine_choice.checked_graphs(atom, "openvino")
