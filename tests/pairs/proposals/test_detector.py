"""Box files in three formats, and networks of the type YOLOX."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tirtrack.boxes import Box
from tirtrack.distillation.recipe import load_recipe
from tirtrack.errors import PairsError, WeightsError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.proposals.box_files import BoxFiles
from tirtrack.pairs.proposals.onnx_detector import OnnxDetector
from tirtrack.pairs.proposals.registry import propose_boxes
from tirtrack.pairs.proposals.rules import RejectionReason
from tirtrack.pairs.source import Pair


@pytest.fixture
def busy() -> Pair:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (120, 160, 3)).astype(np.uint8)
    return Pair("night/7", "night", 7, rgb, rgb[..., 1].copy())


def test_fairmot_lines_go_to_the_modality_of_their_label(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    (folder / "7.txt").write_text(
        "10 20 30 60 0.9 person\n50 20 90 40 0.7 tcar\n1 2 9 9 0.6 truck\n"
    )
    found = BoxFiles(tmp_path)("night/7")
    assert [(one.box, one.score, one.label) for one in found.tir] == [
        (Box(50, 20, 40, 20), 0.7, "car")
    ]
    assert [(one.box, one.label) for one in found.rgb] == [
        (Box(10, 20, 20, 40), "person"),
        (Box(1, 2, 8, 7), "truck"),
    ]


def test_yolo_files_lie_below_their_modality(tmp_path):
    for name, line in (("rgb", "0 0.9 10 20 30 60"), ("tir", "2 0.8 50 20 90 40")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "7.txt").write_text(line + "\n\n")
    found = BoxFiles(tmp_path)("night/7")
    assert [(one.box, one.score, one.label) for one in found.rgb] == [
        (Box(10, 20, 20, 40), 0.9, "person")
    ]
    assert [(one.box, one.label) for one in found.tir] == [(Box(50, 20, 40, 20), "class 2")]


def test_a_table_holds_the_boxes_of_all_pairs(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text(
        "key,modality,x,y,w,h,score,label\nnight/7,tir,1,2,30,40,0.5,person\nnight/8,rgb,0,0,9,9,1,\n"
    )
    files = BoxFiles(path)
    assert files("night/7").tir[0].box == Box(1, 2, 30, 40)
    assert files("night/8").rgb[0].label == ""
    assert files("night/9") == type(files("night/7"))()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("7.txt", "1 2 3\n", 'line 1 "1 2 3" is not a box'),
        ("7.txt", "a b c d e f\n", "line 1"),
        ("boxes.csv", "x,y\n1,2\n", "lacks the columns"),
        ("boxes.csv", "key,modality,x,y,w,h,score,label\na,ir,1,2,3,4,1,\n", "line 2 is not a box"),
        ("boxes.csv", "key,modality,x,y,w,h,score,label\n", "holds no box"),
        ("boxes.bin", "x", "is no .csv table"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PairsError, match=message):
        BoxFiles(path if not name.endswith(".txt") else tmp_path)("night/7")


def test_a_missing_or_empty_folder_of_boxes_is_refused(tmp_path):
    with pytest.raises(PairsError, match="no such file or folder of boxes"):
        BoxFiles(tmp_path / "none")
    with pytest.raises(PairsError, match=r"holds no \.txt"):
        BoxFiles(tmp_path)


def test_boxes_are_screened_and_merged(tmp_path, busy):
    rows = [
        "night/7,rgb,10,10,40,40,0.9,person",
        "night/7,tir,12,10,40,40,0.8,person",
        "night/7,tir,100,90,200,20,0.9,person",
        "night/7,tir,140,100,39,39,0.9,person",
        "night/7,rgb,60,60,7,30,0.9,person",
        "night/7,rgb,60,60,30,30,0.2,person",
        "night/7,rgb,nan,60,30,30,0.9,person",
    ]
    path = tmp_path / "boxes.csv"
    path.write_text("key,modality,x,y,w,h,score,label\n" + "\n".join(rows) + "\n")
    found = proposer("detector", boxes=path).propose(busy, (), np.random.default_rng(0))
    assert [(one.box, one.found_in) for one in found.kept] == [(Box(12, 10, 40, 40), FoundIn.BOTH)]
    assert [one.reason for one in found.rejected] == [
        RejectionReason.TOO_SMALL,
        RejectionReason.LOW_SCORE,
        RejectionReason.NOT_FINITE,
        RejectionReason.CENTRE_OUTSIDE,
        RejectionReason.MOSTLY_OUTSIDE,
    ]


@pytest.mark.parametrize(
    ("seen", "box"),
    [
        (["rgb"], Box(10, 10, 40, 40)),
        (["tir"], Box(12, 10, 40, 40)),
    ],
    ids=["RGB alone", "TIR alone"],
)
def test_of_a_file_only_boxes_of_the_modality_that_is_seen_are_used(tmp_path, busy, seen, box):
    rows = ["night/7,rgb,10,10,40,40,0.9,person", "night/7,tir,12,10,40,40,0.8,person"]
    path = tmp_path / "boxes.csv"
    path.write_text("key,modality,x,y,w,h,score,label\n" + "\n".join(rows) + "\n")
    way = proposer("detector", boxes=path)
    (kept,) = propose_boxes(way, busy, (), np.random.default_rng(0), seen).kept
    assert ([kept.found_in], kept.box) == (seen, box)


def test_a_box_over_the_border_is_cut_to_the_frame(tmp_path, busy):
    path = tmp_path / "boxes.csv"
    path.write_text("key,modality,x,y,w,h,score,label\nnight/7,tir,130,-5,40,50,0.9,person\n")
    (kept,) = proposer("detector", boxes=path).propose(busy, (), np.random.default_rng(0)).kept
    assert kept.box == Box(130, 0, 30, 45)


def _network(path, *, cells=189, columns=85, side=96, inputs=(1, 3)):
    """A network that answers with a constant: all zero, but one cell that is sure."""
    values = np.zeros((1, cells, columns), np.float32)
    values[0, 0, :4] = [0.5, 0.5, np.log(4), np.log(2)]
    values[0, 0, 4] = 1.0
    values[0, 0, 5:6] = 0.8
    values[0, min(1, cells - 1), 4:] = 0.01
    constant = helper.make_tensor("boxes", TensorProto.FLOAT, values.shape, values.ravel())
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0])
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["boxes", "nothing"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [*inputs, side, side])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, list(values.shape))],
        [constant, zero],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def test_a_cell_becomes_a_box_of_the_frame(tmp_path):
    """Cell (0, 0) of stride 8: centre 4, sizes 32 and 16 in the input, the frame is twice as
    large.
    """
    find = OnnxDetector(_network(tmp_path / "a.onnx"), min_score=0.25)
    (found,) = find(np.zeros((192, 150, 3), np.uint8))
    assert found.box.array() == pytest.approx([0, 0, 2 * (4 + 16), 2 * (4 + 8)], rel=1e-5)
    assert found.score == pytest.approx(0.8)
    assert found.label == "person"


def test_grey_and_colour_pictures_are_taken_alike(tmp_path):
    find = OnnxDetector(_network(tmp_path / "a.onnx"), min_score=0.25)
    assert find(np.zeros((96, 96), np.uint8)) == find(np.zeros((96, 96, 3), np.uint8))


TABLE = "key,modality,x,y,w,h,score,label\nnight/7,tir,60,40,40,50,0.9,person\n"


def test_the_identity_follows_the_content_of_a_table_and_not_its_place(tmp_path):
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(TABLE)
    one = proposer("detector", boxes=tmp_path / "a.csv").identity()
    assert proposer("detector", boxes=tmp_path / "b.csv").identity() == one
    (tmp_path / "b.csv").write_text(TABLE.replace("60,40", "61,40"))
    assert proposer("detector", boxes=tmp_path / "b.csv").identity() != one
    assert proposer("detector", boxes=tmp_path / "a.csv", min_score=0.3).identity() != one


def test_the_identity_follows_every_text_file_and_its_place(tmp_path):
    folder = tmp_path / "boxes"
    for stem in ("1", "2"):
        path = folder / "night" / f"{stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("10 10 50 50 0.9 person\n")
    first = proposer("detector", boxes=folder).identity()
    path.write_text("10 10 50 51 0.9 person\n")
    changed = proposer("detector", boxes=folder).identity()
    path.rename(path.with_name("3.txt"))
    moved = proposer("detector", boxes=folder).identity()
    assert len({str(one) for one in (first, changed, moved)}) == 3
    assert proposer("detector", boxes=folder, format="fairmot").identity() == moved


def test_the_identity_follows_the_content_of_a_network(tmp_path):
    one = proposer("detector", model=_network(tmp_path / "a.onnx")).identity()
    same = proposer("detector", model=_network(tmp_path / "b.onnx")).identity()
    other = proposer("detector", model=_network(tmp_path / "b.onnx", columns=7)).identity()
    assert one == same != other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": 180}, r"gives output \[1, 180, 85\], which is of no known layout"),
        ({"columns": 5}, "which is of no known layout; name it by the option"),
        ({"side": 16}, "takes an input of .*, sides are 32 to"),
        ({"inputs": (1, 1)}, "takes an input of .*, a detector takes"),
        ({"inputs": (4, 3)}, "takes an input of .*, a detector takes"),
    ],
)
def test_networks_of_another_type_are_refused(tmp_path, change, message):
    path = _network(tmp_path / "a.onnx", **change)
    with pytest.raises(WeightsError, match=message):
        OnnxDetector(path, min_score=0.25)(np.zeros((96, 96, 3), np.uint8))


def test_a_missing_or_damaged_network_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        OnnxDetector(tmp_path / "none.onnx", min_score=0.2)
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"a\.onnx: cannot be read as an ONNX network"):
        proposer("detector", model=tmp_path / "a.onnx")


def test_a_real_detector_finds_the_people_of_a_street_at_night(shared):
    way = proposer("detector", model=shared / "data/weights/yolox/yolox_nano_coco_416.onnx")
    source = open_pairs(shared / "data/pairs/m3svd_video/0111_1716")
    found = way.propose(source[0], (), np.random.default_rng(0))
    assert 1 <= len(found.kept) <= 5
    assert FoundIn.BOTH in {one.found_in for one in found.kept}
    tallest = max(found.kept, key=lambda one: one.box.h).box
    assert tallest.center_xy == pytest.approx((143, 235), abs=25)


def test_limits_of_a_detector_can_be_given_as_a_recipe_gives_them(busy, tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("key,modality,x,y,w,h,score,label\nnight/7,tir,50,20,5,6,1,bird\n")
    options = {"boxes": str(path), "limits": {"min_side": 4.0, "min_std": 0.0}}
    recipe = load_recipe(
        "mixed", changes={"proposals.way": "detector", "proposals.options": options}
    )
    way = proposer(recipe.proposals.way, **recipe.proposals.options)
    found = way.propose(busy, (), np.random.default_rng(0))
    assert [one.box for one in found.kept] == [Box(50, 20, 5, 6)]
    assert not proposer("detector", boxes=path).propose(busy, (), np.random.default_rng(0)).kept
