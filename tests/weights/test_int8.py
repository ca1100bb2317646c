"""Int8 graphs: what is rounded and what stays, and that none is used unchecked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import metadata

import numpy as np
import onnx
import pytest

from tirtrack.errors import RequestError, StorageError, WeightsError
from tirtrack.inference import has_openvino, openvino
from tirtrack.networks import registry
from tirtrack.trackers.engines import GraphEngine, open_engine
from tirtrack.weights import engine_choice, graphs, int8, store
from tirtrack.weights.card import Card
from tirtrack.weights.int8 import Int8Check
from tirtrack.weights.runtimes import processor, runtime_version

HERE = runtime_version("onnx"), processor()
PASSED = Int8Check(*HERE, 0.2, success=0.001)
BOXES_PASSED = Int8Check(*HERE, 0.2)
SUCCESS_FAILED = Int8Check(*HERE, 0.2, success=0.006)
FAILED = Int8Check(*HERE, 0.51)
NO_RESULT = Int8Check(*HERE, None, fault="openvino cannot run this graph")
needs_openvino = pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    card = Card(name="small", architecture="nanotrack-v3-tiny", modality="tir", licence="none")
    store.write(path, registry.build(card.architecture, seed=8).eval(), card)
    return path


@pytest.fixture(scope="module")
def found(file):
    return graphs.graphs_of_file(file)


@pytest.fixture(scope="module")
def searches(found):
    rng = np.random.default_rng(0)
    template = GraphEngine(found).template(rng.integers(0, 256, (127, 127, 3)))
    return [(template, rng.integers(0, 256, (255, 255, *colour))) for colour in ((3,), (), (3,))]


@pytest.fixture(scope="module")
def made(found, searches):
    return int8.quantised(found, searches)


@pytest.fixture
def keep(made):
    """Keeps the graphs with some checks; gone after the test."""

    def write(**checks):
        known = {name.replace("_", "-"): check for name, check in checks.items()}
        int8.keep(replace(made, checks=known))
        return int8.kept(made.weights_hash)

    yield write
    (int8._folder(made.weights_hash) / int8._MANIFEST).unlink(missing_ok=True)


@pytest.mark.parametrize("runtime", ["onnx", pytest.param("openvino", marks=needs_openvino)])
@pytest.mark.parametrize("colour", [(3,), ()], ids=["colour", "grey"])
def test_int8_graphs_answer_like_float32_but_not_the_same(found, made, searches, runtime, colour):
    template, patch = next(one for one in searches if one[1].shape[2:] == colour)
    right = GraphEngine(found).search(template, patch).logits
    rounded = GraphEngine(made.of(found), runtime).search(template, patch).logits
    off = np.abs(rounded - right).max() / np.abs(right).max()
    assert 1e-4 < off < 0.2


def test_the_first_and_last_convolutions_and_those_of_the_template_stay_in_float32(found, made):
    before = onnx.load_from_string(found.by_name["search"]).graph
    rounded = onnx.load_from_string(made.by_name["search"]).graph
    whole = {name for node in rounded.node if node.op_type == "DequantizeLinear"
             for name in node.output}  # fmt: skip
    convolutions = [node for node in rounded.node if node.op_type == "Conv"]
    in_float32 = {node.name for node in convolutions if node.input[1] not in whole}
    first = next(node.name for node in before.node if node.op_type == "Conv")
    assert in_float32 == {
        first,
        "2//ban_head/corr_dw_cls/Conv",
        "2//ban_head/corr_dw_reg/Conv",
        "2//ban_head/cls_logits/cls_logits.0/Conv",
        "2//ban_head/bbox_pred/bbox_pred.0/Conv",
    }
    assert len(convolutions) > 20


def test_graphs_depend_on_the_frames_and_on_nothing_else(found, made, searches):
    assert int8.quantised(found, searches).sha256 == made.sha256
    template, patch = searches[0]
    assert int8.quantised(found, [(template, patch // 2)]).sha256 != made.sha256


def test_the_graphs_of_template_and_many_targets_are_the_float32_ones(found, made):
    together = made.of(found)
    changed = {name for name in found.by_name if together.by_name[name] != found.by_name[name]}
    assert changed == {"search", "search_grey"}


def test_what_is_kept_comes_back(made, keep):
    checks = {"onnx-int8": PASSED, "openvino-int8": NO_RESULT}
    assert keep(onnx_int8=PASSED, openvino_int8=NO_RESULT) == replace(made, checks=checks)


def test_a_cache_without_room_is_named_with_what_helps(made, monkeypatch, tmp_path):
    (tmp_path / "graphs").write_text("no folder")
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    with pytest.raises(StorageError, match=r"could not be written \(.* by TIRTRACK_CACHE$"):
        int8.keep(made)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "search.onnx").write_bytes(b"\0" * 100),
        lambda folder: (folder / "search_grey.onnx").unlink(),
        lambda folder: (folder / "int8.json").write_text("{"),
        lambda folder: (folder / "int8.json").write_text(
            json.dumps(
                {**json.loads((folder / "int8.json").read_text()), "checks": {"onnx-int8": {}}}
            )
        ),
    ],
    ids=["another graph", "a graph is missing", "cut short", "checks of another version"],
)
def test_damaged_graphs_are_none(made, keep, damage):
    keep(onnx_int8=PASSED)
    damage(int8._folder(made.weights_hash))
    assert int8.kept(made.weights_hash) is None


@pytest.mark.parametrize(
    ("check", "boxes", "whole", "words"),
    [
        (PASSED, True, True, ""),
        (BOXES_PASSED, True, False, ""),
        (SUCCESS_FAILED, True, False, r"its success is 0\.0060 from float32, 0\.005 are allowed"),
        (FAILED, False, False, r"its boxes are up to 0\.51 px from float32, 0\.5 are allowed"),
        (NO_RESULT, False, False, "openvino cannot run this graph"),
        (Int8Check(*HERE, 0.5, success=0.005), True, True, ""),
    ],
    ids=["passed", "boxes only", "success", "boxes", "cannot run", "just"],
)
def test_a_check_passes_within_half_a_pixel_and_five_thousandths(check, boxes, whole, words):
    assert (check.boxes_pass, check.passes) == (boxes, whole)
    assert re.fullmatch(words, check.in_words)


@pytest.mark.parametrize(
    ("check", "sentence"),
    [
        (FAILED, r"the engine onnx-int8 failed its check \(its boxes .* choose the engine onnx"),
        (replace(PASSED, version="0.9"), "not checked with this version of onnx on this processor"),
        (replace(PASSED, processor="another"), "not checked with this version of onnx"),
        (None, "has no int8 graphs for the engine onnx-int8; run tirtrack weights quantise"),
    ],
    ids=["failed", "another version", "another processor", "never made"],
)
def test_an_engine_that_did_not_pass_here_is_refused_in_a_sentence(file, keep, check, sentence):
    if check is not None:
        keep(onnx_int8=check)
    with pytest.raises(WeightsError, match=sentence):
        open_engine(file, "onnx-int8")


def test_an_engine_whose_boxes_passed_runs_if_it_is_named(file, found, made, searches, keep):
    keep(onnx_int8=BOXES_PASSED)
    template, patch = searches[0]
    answer = open_engine(file, "onnx-int8").search(template, patch).logits
    np.testing.assert_array_equal(
        answer, GraphEngine(made.of(found)).search(template, patch).logits
    )


def test_int8_of_a_runtime_that_was_removed_is_left_out(file, keep, monkeypatch):
    removed(monkeypatch)
    keep(onnx_int8=FAILED, openvino_int8=PASSED)
    assert engine_choice.fastest_engine(file) == "onnx"
    assert list(engine_choice.engine_facts(file)["int8"]) == ["onnx-int8"]
    with pytest.raises(RequestError, match=r"openvino is not installed; pip install"):
        open_engine(file, "openvino-int8")


def removed(monkeypatch):
    """OpenVINO as if it had been removed from this environment."""
    version = metadata.version

    def known(name):
        if name == "openvino":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", known)
    openvino.cache_clear()


@pytest.fixture
def int8_is_faster(monkeypatch):
    def times_ms(found, engines):
        return {one: [1.0, 1.0] if one in int8.INT8_ENGINES else [4.0, 4.0] for one in engines}

    monkeypatch.setattr(engine_choice, "_times_ms", times_ms)
    monkeypatch.setattr(engine_choice, "has_openvino", lambda: False)


@pytest.mark.parametrize(
    ("check", "engine"),
    [(PASSED, "onnx-int8"), (BOXES_PASSED, "onnx"), (SUCCESS_FAILED, "onnx"), (FAILED, "onnx")],
    ids=["passed", "boxes only", "success failed", "boxes failed"],
)
def test_int8_is_chosen_only_after_its_whole_check(file, keep, int8_is_faster, check, engine):
    keep(onnx_int8=check)
    assert engine_choice.fastest_engine(file) == engine
    facts = engine_choice.engine_facts(file)
    assert facts["track"] == engine
    assert facts["int8"] == {"onnx-int8": check.in_words}


def test_other_int8_graphs_are_timed_again(made, keep, found, searches):
    keep(onnx_int8=PASSED)
    before = engine_choice._identity(made.weights_hash)
    other = int8.quantised(found, searches[:1])
    int8.keep(replace(other, checks={"onnx-int8": PASSED}))
    assert engine_choice._identity(made.weights_hash) != before


def test_the_graphs_that_are_timed_are_those_in_int8(found, keep, monkeypatch):
    timed = []

    def runner(self, name, runtime):
        timed.append(self.by_name[name])
        return print

    monkeypatch.setattr(graphs.Graphs, "runner", runner)
    monkeypatch.setattr(engine_choice, "_time_ms", lambda call: 1.0)
    kept = keep(onnx_int8=PASSED)
    engine_choice._times_ms(found, ["onnx", "onnx-int8"])
    assert timed == [found.by_name[one] for one in int8.QUANTISED] + [
        kept.by_name[one] for one in int8.QUANTISED
    ]
