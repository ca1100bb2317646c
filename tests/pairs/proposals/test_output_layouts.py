"""ONNX detectors of every layout: recognised, read alike, refused where it is not clear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tirtrack.boxes import Box
from tirtrack.errors import RequestError, WeightsError
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.onnx_detector import OnnxDetector
from tirtrack.pairs.proposals.output_layouts import Layout, decode, fitting
from tirtrack.pairs.source import Pair

SIDE = 96
HW = (SIDE, SIDE)
CELLS = 12 * 12 + 6 * 6 + 3 * 3
BOX, SCORE, CLASS = (24.0, 36.0, 30.0, 12.0), 0.75, 2  # xywh in pixels of the input

_TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.uint8): TensorProto.UINT8,
}


def network(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    shape=(1, 3, SIDE, SIDE),
    taken=np.float32,
    names: str = "",
    score_from_input: str = "",
) -> Path:
    """A network that answers with constants; the values of ``score_from_input`` are multiplied by
    the mean of its first channel.
    """
    kind = _TYPES[np.dtype(taken)]
    nodes, constants = [], [helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])]
    nodes.append(helper.make_node("Cast", ["images"], ["levels"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("ReduceMean", ["levels"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    constants.append(helper.make_tensor("first", TensorProto.INT64, [1], [0]))
    axis = 3 if shape[-1] == 3 else 1
    nodes.append(helper.make_node("Gather", ["levels", "first"], ["channel"], axis=axis))
    nodes.append(helper.make_node("ReduceMean", ["channel"], ["bright"], keepdims=0))
    for name, values in outputs.items():
        constant = f"{name} as stored"
        onnx_type = _TYPES[values.dtype]
        constants.append(helper.make_tensor(constant, onnx_type, values.shape, values.ravel()))
        if name == score_from_input:
            nodes.append(helper.make_node("Mul", [constant, "bright"], [name]))
        elif values.dtype == np.float32 and values.size:
            nodes.append(helper.make_node("Add", [constant, "nothing"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [constant], [name]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kind, list(shape))],
        [
            helper.make_tensor_value_info(name, _TYPES[one.dtype], list(one.shape))
            for name, one in outputs.items()
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    if names:
        helper.set_model_props(model, {"names": names})
    onnx.save(model, str(path))
    return path


def _yolox(classes: int = 4) -> dict[str, np.ndarray]:
    """One sure cell: column 4, row 5 of stride 8."""
    table = np.zeros((1, CELLS, 5 + classes), np.float32)
    row = 5 * 12 + 4
    x, y, w, h = BOX
    table[0, row, :4] = [(x + w / 2) / 8 - 4, (y + h / 2) / 8 - 5, np.log(w / 8), np.log(h / 8)]
    table[0, row, 4:6] = 1.0, 0.1
    table[0, row, 5 + CLASS] = SCORE
    return {"output": table}


def _decoded(boxes: int, classes: int = 4) -> dict[str, np.ndarray]:
    """Boxes in pixels, each near a cell, with objectness."""
    table = np.zeros((1, boxes, 5 + classes), np.float32)
    for k in range(boxes):
        cell = k % (CELLS - 9) if boxes > CELLS else k
        if cell < 144:
            table[0, k, :2] = (cell % 12) * 8 + 4, (cell // 12) * 8 + 4
        elif cell < 180:
            table[0, k, :2] = (cell - 144) % 6 * 16 + 8, (cell - 144) // 6 * 16 + 8
        else:
            table[0, k, :2] = (cell - 180) % 3 * 32 + 16, (cell - 180) // 3 * 32 + 16
        table[0, k, 2:4] = 8.0
    x, y, w, h = BOX
    table[0, 5 * 12 + 4, :5] = x + w / 2, y + h / 2, w, h, 1.0
    table[0, 5 * 12 + 4, 5 + CLASS] = SCORE
    return {"output0": table}


def _yolov8(classes: int = 4) -> dict[str, np.ndarray]:
    with_objectness = _decoded(CELLS, classes)["output0"][0]
    columns = np.delete(with_objectness, 4, axis=1)
    return {"output0": np.ascontiguousarray(columns.T)[None]}


CORNERS = (BOX[0], BOX[1], BOX[0] + BOX[2], BOX[1] + BOX[3])
ROW6 = np.array([[*CORNERS, SCORE, CLASS], [1, 1, 9, 9, 0.01, 0]], np.float32)
ROW7 = np.array([[0, *CORNERS, CLASS, SCORE], [0, 1, 1, 9, 9, 0, 0.01]], np.float32)
TWO = np.array([CORNERS, (1, 1, 9, 9)], np.float32)
SCORES, CLASSES = np.array([SCORE, 0.01], np.float32), np.array([CLASS, 0], np.int64)
OF_CLASS = np.array([[0.1, 0.05, SCORE], [0.06, 0.02, 0.01]], np.float32)
WITH_BACKGROUND = np.array([[0.2, 0.03, 0.02, SCORE], [0.97, 0.01, 0.01, 0.01]], np.float32)

OUTPUTS: dict[str, tuple[Layout, dict[str, np.ndarray]]] = {
    "YOLOX, raw cells": (Layout.YOLOX, _yolox()),
    "YOLOv5, three anchors": (Layout.YOLOV5, _decoded(3 * CELLS)),
    "YOLOv6, one box a cell": (Layout.YOLOV5, _decoded(CELLS)),
    "YOLOv5 with raw maps beside it": (
        Layout.YOLOV5,
        {**_decoded(3 * CELLS), "map": np.zeros((1, 3, 12, 12, 9), np.float32)},
    ),
    "YOLOv8": (Layout.YOLOV8, _yolov8()),
    "rows of six": (Layout.ROWS, {"output0": ROW6[None]}),
    "rows of six without the leading one": (Layout.ROWS, {"out": ROW6}),
    "rows of seven": (Layout.ROWS, {"output": ROW7}),
    "boxes, labels, scores by name": (
        Layout.LISTS,
        {"boxes": TWO, "labels": CLASSES, "scores": SCORES},
    ),
    "the same by shape and type": (Layout.LISTS, {"1": TWO, "2": CLASSES, "3": SCORES}),
    "scores beside the boxes": (
        Layout.LISTS,
        {"dets": np.column_stack([TWO, SCORES])[None], "labels": CLASSES[None]},
    ),
    "with a count": (
        Layout.LISTS,
        {
            "num_dets": np.array([[1]], np.int64),
            "det_boxes": TWO[None],
            "det_scores": SCORES[None],
            "det_classes": CLASSES[None],
        },
    ),
    "fractions, rows first": (
        Layout.LISTS,
        {
            "detection_boxes": (TWO / SIDE)[None][..., [1, 0, 3, 2]].copy(),
            "detection_classes": CLASSES[None].astype(np.float32),
            "detection_scores": SCORES[None],
            "num_detections": np.array([2], np.float32),
        },
    ),
    "scores of every class": (Layout.SSD, {"b": TWO[None], "s": OF_CLASS[None]}),
    "fractions, background first": (
        Layout.SSD,
        {"scores": WITH_BACKGROUND[None], "boxes": (TWO / SIDE)[None]},
    ),
}


@pytest.mark.parametrize(("layout", "outputs"), OUTPUTS.values(), ids=OUTPUTS)
def test_each_layout_is_recognised_and_gives_the_same_box(layout, outputs, tmp_path):
    find = OnnxDetector(network(tmp_path / "a.onnx", outputs), min_score=0.25)
    assert find.layout is layout
    (found,) = find(np.zeros((2 * SIDE, 2 * SIDE - 40), np.uint8))  # twice as large, padded
    assert found.box.array() == pytest.approx(2 * np.array(BOX), abs=1e-3)
    assert found.score == pytest.approx(SCORE)
    assert found.label == f"class {CLASS}"


def test_the_order_of_outputs_means_nothing():
    for layout, outputs in OUTPUTS.values():
        turned = dict(reversed(outputs.items()))
        assert fitting(turned, HW) == [layout]
        assert np.array_equal(decode(layout, turned, HW).boxes, decode(layout, outputs, HW).boxes)


def test_a_detector_that_finds_nothing_is_recognised_by_its_shapes(tmp_path):
    empty = {
        "boxes": np.zeros((0, 4), np.float32),
        "labels": np.zeros(0, np.int64),
        "scores": np.zeros(0, np.float32),
    }
    assert fitting(empty, HW) == [Layout.LISTS]
    assert len(decode(Layout.LISTS, empty, HW).boxes) == 0
    assert fitting({"output": np.zeros((0, 7), np.float32)}, HW) == [Layout.ROWS]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"a": np.zeros((1, 12, 12, 27), np.float32)}, "of no known layout"),
        ({"a": TWO, "b": TWO, "c": SCORES}, "of no known layout"),
        ({"a": TWO, "b": SCORES, "c": SCORES}, "of no known layout"),
        ({"boxes": TWO, "scores": SCORES}, "of no known layout"),
        ({"a": np.zeros((1, CELLS, CELLS), np.float32)}, "fits the layouts yolox and yolov8"),
        ({"logits": OF_CLASS, "pred_boxes": TWO}, "fits the layouts detr and rt_detr"),
    ],
    ids=["raw maps", "two boxes", "two scores", "no classes", "columns as rows", "logits"],
)
def test_what_is_unknown_or_ambiguous_is_refused_in_one_sentence(outputs, message, tmp_path):
    path = network(tmp_path / "a.onnx", outputs)
    with pytest.raises(WeightsError, match=message) as caught:
        OnnxDetector(path, min_score=0.25)
    assert "name it by the option layout of the detector: yolox, yolov5," in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_ambiguous_network_runs_once_its_layout_is_named(tmp_path):
    table = np.zeros((1, CELLS, CELLS), np.float32)
    path = network(tmp_path / "a.onnx", {"a": table})
    assert proposer("detector", model=path, layout="yolov8").identity()
    with pytest.raises(RequestError, match="layout"):
        proposer("detector", model=path, layout="yolov9")


def test_a_wrong_name_is_refused_at_the_first_picture(tmp_path):
    path = network(tmp_path / "a.onnx", {"output": ROW7})
    find = OnnxDetector(path, min_score=0.25, layout=Layout.YOLOX)
    with pytest.raises(WeightsError, match=r"gives output \[2, 7\], not \[1, 189, 5 \+ classes\]"):
        find(np.zeros((SIDE, SIDE), np.uint8))


@pytest.mark.parametrize("wrong", [312.0, np.nan, np.inf])
def test_scores_that_are_no_probabilities_are_refused(wrong, tmp_path):
    rows = ROW6.copy()
    rows[0, 4] = wrong
    find = OnnxDetector(network(tmp_path / "a.onnx", {"o": rows}), min_score=0.25)
    with pytest.raises(WeightsError, match="no probabilities"):
        find(np.zeros((SIDE, SIDE), np.uint8))


def test_logits_of_every_class_are_refused(tmp_path):
    outputs = {"boxes": TWO[None], "s": OF_CLASS[None] - 3}
    find = OnnxDetector(network(tmp_path / "a.onnx", outputs), min_score=0.25)
    with pytest.raises(WeightsError, match=r"scores down to -2\.99"):
        find(np.zeros((SIDE, SIDE), np.uint8))


@pytest.mark.parametrize(
    ("layout", "columns"),
    [
        (Layout.DETR, np.log([[0.1, 0.02, SCORE, 0.13], [0.2, 0.1, 0.0125, 0.6875]])),
        (Layout.RT_DETR, [[-3, -2, np.log(SCORE / (1 - SCORE)), -4], [-5, -60, -2, 0.0]]),
    ],
)
def test_logits_become_probabilities_as_the_layout_says(layout, columns, tmp_path):
    """With four columns, as boxes have: of ``detr`` the last is of no object."""
    x, y, w, h = np.array(BOX) / SIDE
    boxes = np.array([[[x + w / 2, y + h / 2, w, h], [0.2, 0.2, 0.1, 0.1]]], np.float32)
    outputs = {"logits": np.array([columns], np.float32), "pred_boxes": boxes}
    find = OnnxDetector(network(tmp_path / "a.onnx", outputs), min_score=0.25, layout=layout)
    found = find(np.zeros((2 * SIDE, 2 * SIDE - 40), np.uint8))
    assert found[0].box.array() == pytest.approx(2 * np.array(BOX), abs=1e-3)
    assert found[0].score == pytest.approx(SCORE)
    assert found[0].label == f"class {CLASS}"
    assert [one.score for one in found[1:]] == ([] if layout is Layout.DETR else [0.5])


def test_logits_that_are_no_numbers_are_refused(tmp_path):
    outputs = {"logits": np.full((1, 2, 3), np.nan, np.float32), "pred_boxes": TWO[None] / SIDE}
    for layout in (Layout.DETR, Layout.RT_DETR):
        path = network(tmp_path / f"{layout}.onnx", outputs)
        with pytest.raises(WeightsError, match="no probabilities"):
            OnnxDetector(path, min_score=0.25, layout=layout)(np.zeros((SIDE, SIDE), np.uint8))


def test_one_logit_a_box_is_of_a_class(tmp_path):
    """Of ``detr`` it would be of no object, so that no box has a class."""
    logits = np.array([[[2.0], [-9.0]]], np.float32)
    path = network(tmp_path / "a.onnx", {"logits": logits, "pred_boxes": TWO[None] / SIDE})
    find = OnnxDetector(path, min_score=0.25)
    assert find.layout is Layout.RT_DETR
    assert len(find(np.zeros((SIDE, SIDE), np.uint8))) == 1
    with pytest.raises(WeightsError, match="no logit beside that of no object"):
        OnnxDetector(path, min_score=0.25, layout=Layout.DETR)(np.zeros((SIDE, SIDE), np.uint8))


RED = np.zeros((SIDE, SIDE, 3), np.uint8)
RED[..., 0] = 255


@pytest.mark.parametrize(
    ("pixels", "scores"),
    [(None, [1.0]), ("rgb_1", [1.0]), ("bgr_255", [])],
)
def test_the_network_sees_the_order_of_colours_that_it_takes(pixels, scores, tmp_path):
    """The answer is multiplied by the mean of the first channel."""
    rows = np.array([[*CORNERS, 1.0, 0]], np.float32)
    path = network(tmp_path / "a.onnx", {"o": rows}, score_from_input="o")
    find = OnnxDetector(path, min_score=0.1, pixels=pixels)
    assert [one.score for one in find(RED)] == scores


def test_a_network_that_takes_bytes_rows_first_gets_them(tmp_path):
    outputs = {"o": ROW6}
    path = network(tmp_path / "a.onnx", outputs, shape=(1, SIDE, SIDE, 3), taken=np.uint8)
    (found,) = OnnxDetector(path, min_score=0.25)(RED)
    assert found.box.array() == pytest.approx(BOX)


def test_a_network_that_takes_bytes_takes_no_fractions(tmp_path):
    path = network(tmp_path / "a.onnx", {"o": ROW6}, taken=np.uint8)
    with pytest.raises(WeightsError, match="takes bytes, which cannot hold rgb_1"):
        OnnxDetector(path, min_score=0.25, pixels="rgb_1")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_box_that_is_not_finite_is_rejected_and_hides_no_other(bad, tmp_path):
    rows = np.array([[*CORNERS, SCORE, CLASS], [1, 1, bad, 9, 0.9, 0]], np.float32)
    path = network(tmp_path / "a.onnx", {"o": rows})
    good, odd = OnnxDetector(path, min_score=0.25)(RED)
    assert good.box.array() == pytest.approx(BOX)
    assert np.isnan(odd.box.array()).all()
    way = proposer("detector", model=path)
    found = way.propose(Pair("a", "a", 0, RED, RED[..., 0]), (), np.random.default_rng(0))
    assert [one.box.array() == pytest.approx(BOX) for one in found.kept] == [True]
    assert [one.reason for one in found.rejected] == ["not finite"] * 2


@pytest.mark.parametrize("text", ["{'a': 'b'}", "[1", "7", "{" * 500])
def test_names_that_cannot_be_read_are_left_out(text, tmp_path):
    path = network(tmp_path / "a.onnx", {"o": ROW6}, names=text)
    assert OnnxDetector(path, min_score=0.25)(RED)[0].label == "class 2"


def test_the_file_tells_the_names_of_its_classes(tmp_path):
    path = network(tmp_path / "a.onnx", {"o": ROW6}, names="{0: 'person', 2: 'deer'}")
    assert [one.label for one in OnnxDetector(path, min_score=0.0)(RED)] == ["deer", "person"]


def test_names_that_are_code_are_not_run(tmp_path):
    path = network(tmp_path / "a.onnx", {"o": ROW6}, names="__import__('os').abort()")
    assert OnnxDetector(path, min_score=0.25)(RED)[0].label == "class 2"


def test_boxes_of_both_modalities_become_one_list(tmp_path):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    pair = Pair("a/1", "a", 1, rgb, rgb[..., 0].copy())
    way = proposer("detector", model=network(tmp_path / "a.onnx", {"o": ROW6}))
    (kept,) = way.propose(pair, (), np.random.default_rng(0)).kept
    assert (kept.box, kept.found_in) == (Box(*BOX), FoundIn.BOTH)
