"""Result files of others and of our own runs: base, columns, and the frame that they begin with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from tracked_worlds import Keeper, write_images

from tirtrack.datasets import AnnotationOptions, LabelledDataset, open_dataset, open_named_files
from tirtrack.errors import DatasetError
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.result_files import read_run, written_base
from tirtrack.evaluation.result_forms import convert
from tirtrack.evaluation.results import SequenceRun, find_results, read_track, write_track
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import read_runs, score
from tirtrack.evaluation.scoring import score_runs

BOXES = np.array([[20.0, 10, 12, 9], [21, 10, 12, 9], [22, 11, 12, 9], [23, 12, 12, 9]])


def text(boxes: np.ndarray) -> str:
    return "".join(",".join(f"{value:g}" for value in row) + "\n" for row in boxes)


def world(root: Path, annotation: str, file: str = "groundtruth.txt") -> LabelledDataset:
    write_images(root / "seq" / ("i" if file == "groundTruth_i.txt" else "img"), 4)
    (root / "seq" / file).write_text(annotation)
    return open_dataset(root)


def result(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "seq.txt").write_text(content)
    return folder / "seq.txt"


@pytest.mark.parametrize(
    ("files", "base"),
    [
        pytest.param({}, None, id="of_others"),
        pytest.param({"identity.json": {"seed": 0}}, 1, id="old_run"),
        pytest.param({"identity.json": {}, "result.json": {"seed": 0}}, 1, id="old_and_finished"),
        pytest.param({"identity.json": {"base": 0}}, 0, id="begun"),
        pytest.param({"identity.json": {"base": 0}, "result.json": {"base": 0}}, 0, id="finished"),
        pytest.param({"result.json": {"base": 0}}, 0, id="result_alone"),
        pytest.param({"result.json": {"seed": 0}}, None, id="result_without_entry"),
    ],
)
def test_base_is_that_of_the_run_that_wrote_the_file(
    tmp_path: Path, files: dict[str, dict[str, int]], base: int | None
) -> None:
    file = result(tmp_path / "out" / "results" / "mine", text(BOXES))
    for name, content in files.items():
        (tmp_path / "out" / name).write_text(json.dumps(content))
    assert written_base(file) == base
    (tmp_path / "linked").symlink_to(tmp_path / "out" / "results" / "mine")
    assert written_base(tmp_path / "linked" / "seq.txt") == base


def test_damaged_run_is_named(tmp_path: Path) -> None:
    file = result(tmp_path / "out" / "results" / "mine", text(BOXES))
    (tmp_path / "out" / "identity.json").write_text("{")
    with pytest.raises(DatasetError, match=r"identity\.json: is damaged"):
        written_base(file)


@pytest.mark.parametrize("start", [0, 2])
def test_runs_of_all_frames_and_from_the_first_box_on_are_read(tmp_path: Path, start: int) -> None:
    rows = ["0,0,0,0"] * 2 + text(BOXES[2:]).split()
    dataset = world(tmp_path / "data", "\n".join(rows))
    file = result(tmp_path / "x", "\n".join(rows[start:]))
    run = read_run(file, dataset.sequences[0])
    np.testing.assert_array_equal(run.boxes, dataset.sequences[0].annotation[2:])


def test_annotation_that_begins_absent_scores_best_as_a_result(tmp_path: Path) -> None:
    content = "nan,nan,nan,nan\n" + text(BOXES[1:])
    dataset = world(tmp_path / "data", content)
    result(tmp_path / "x", content)
    scored = score_runs(read_runs([tmp_path / "x"], dataset), dataset, get("lsotb-tir"))
    assert scored.trackers[0].values["success"] == 20 / 21


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(text(BOXES), id="xywh"),
        pytest.param(text(corners(BOXES)), id="corners"),
        pytest.param("x,y,w,h\n" + text(BOXES), id="header"),
        pytest.param("x1 y1 x2 y2\n" + text(corners(BOXES)), id="header_of_corners"),
    ],
)
def test_results_beside_annotation_of_corners_are_known_by_their_first_box(
    tmp_path: Path, content: str
) -> None:
    dataset = world(tmp_path / "data", text(corners(BOXES)), "groundTruth_i.txt")
    run = read_run(result(tmp_path / "x", content), dataset.sequences[0])
    np.testing.assert_array_equal(run.boxes, BOXES)


def test_results_that_fit_neither_way_need_an_option(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", text(corners(BOXES)), "groundTruth_i.txt")
    file = result(tmp_path / "x", text(BOXES + 5))
    with pytest.raises(DatasetError, match="say which they are with --result-columns"):
        read_run(file, dataset.sequences[0])
    run = read_run(file, dataset.sequences[0], columns=("x1", "y1", "w", "h"))
    np.testing.assert_array_equal(run.boxes, BOXES + 5)


def test_our_own_results_beside_annotation_of_corners_are_xywh(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", text(corners(BOXES)), "groundTruth_i.txt")
    evaluate([Keeper(step=30.0)], dataset, tmp_path / "out", resamples=20)
    written = (tmp_path / "out" / "results" / "keeper" / "seq.txt").read_text().split()
    assert written[:2] == ["20,10,12,9", "50,10,12,9"]
    (run,) = read_runs([tmp_path / "out"], dataset)
    assert run.tracks["seq"].boxes[1].tolist() == [50, 10, 12, 9]


MOT = "1,1,20,10,12,9\n1,2,5,5,6,6\n2,1,21,10,12,9\n2,2,6,5,6,6\n"


def test_results_of_all_targets_may_lie_in_one_file(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", MOT + "4,1,22,10,12,9\n4,2,7,5,6,6\n")
    result(tmp_path / "x", MOT + "3,2,6,5,6,6\n4,1,22,10,12,9\n4,2,7,5,6,6\n")
    (run,) = read_runs([tmp_path / "x"], dataset)
    assert list(run.tracks) == ["seq.1", "seq.2"]
    assert run.tracks["seq.2"].boxes[[0, 2]].tolist() == [[6, 6, 6, 6], [7, 6, 6, 6]]
    assert np.isnan(run.tracks["seq.1"].boxes[2]).all()
    evaluate([Keeper()], dataset, tmp_path / "out", resamples=20)
    (run,) = read_runs([tmp_path / "out"], dataset)
    assert run.tracks["seq.2"].boxes[3].tolist() == [6, 6, 6, 6]


@pytest.mark.parametrize("instances", [(3,), (3, 4)], ids=["one_target", "two_targets"])
def test_results_of_all_videos_may_lie_in_one_file(
    tmp_path: Path, instances: tuple[int, ...]
) -> None:
    """Instances are numbered anew in every video."""
    every = [(v, f, i) for v in (1, 2) for f in range(3) for i in instances]
    content = {
        "videos": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "images": [{"id": v * 9 + f, "video_id": v, "frame_id": f} for v, f, _ in every],
        "annotations": [
            {"image_id": v * 9 + f, "instance_id": i, "bbox": [f, v * 5, 20, 9 + i]}
            for v, f, i in every
        ],
    }
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("labels.json", "copy/a.json", "copy/b.json"):
        (tmp_path / name).write_text(json.dumps(content))
    dataset = open_named_files(str(tmp_path / "labels.json"))
    scored = score_runs(read_runs([folder], dataset), dataset, get("lsotb-tir"))
    assert scored.trackers[0].values["success"] == 20 / 21
    assert len(scored.trackers[0].sequences) == 2 * len(instances)


@pytest.mark.parametrize("rows", [4, 40, 31])
def test_runs_over_all_frames_are_thinned_to_annotated_ones(tmp_path: Path, rows: int) -> None:
    write_images(tmp_path / "data" / "seq" / "ir", 31)
    (tmp_path / "data" / "seq" / "ir.txt").write_text(text(BOXES))
    dataset = open_dataset(tmp_path / "data")
    every = BOXES if rows == 4 else np.repeat(BOXES, 10, axis=0)[:rows]
    run = read_run(result(tmp_path / "x", text(every)), dataset.sequences[0])
    np.testing.assert_array_equal(run.boxes, BOXES + np.array([1, 1, 0, 0]))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-9, -0.3, -57.123456789012, 1234.56789, 0.7 + 0.1])
def test_shift_to_another_base_and_back_is_exact(tmp_path: Path, value: float) -> None:
    boxes = np.array([[value + 1, value * 3 + 1, 5, 6]])
    write_track(tmp_path, "a", SequenceRun.of_boxes(boxes), shift=1)
    np.testing.assert_array_equal(read_track(tmp_path / "a.txt", shift=1).boxes, boxes)


def test_decimals_of_the_annotation_stay_short_in_the_result(tmp_path: Path) -> None:
    dataset = world(tmp_path / "data", "5.37,0.1,12.5,9\n" * 4)
    evaluate([Keeper()], dataset, tmp_path / "out", resamples=20)
    written = (tmp_path / "out" / "results" / "keeper" / "seq.txt").read_text()
    assert written == "5.37,0.1,12.5,9\n" * 4


def test_results_in_linked_folders_are_found(tmp_path: Path) -> None:
    result(tmp_path / "store" / "dimp", text(BOXES))
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "mine").symlink_to(tmp_path / "store" / "dimp")
    (tmp_path / "store" / "dimp" / "again").symlink_to(tmp_path / "results")
    assert list(find_results(tmp_path / "results", ["seq"])) == ["mine"]


@pytest.mark.parametrize("base", [0, 1])
@pytest.mark.parametrize("form", ["text", "json", "got10k", "vot"])
def test_a_number_of_any_size_is_scored_and_converted(tmp_path: Path, base: int, form: str) -> None:
    """Warnings are errors here."""
    (tmp_path / "data" / "seq").mkdir(parents=True)
    (tmp_path / "data" / "seq" / "groundtruth.txt").write_text(text(BOXES))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "seq.txt").write_text(
        "20,10,12,9\n1e300,1,2,3\n1,2,1e300,1e300\n5e307,1,2,3\n"
    )
    options = AnnotationOptions(base=base)
    dataset = open_dataset(tmp_path / "data", with_frames=False, options=options)
    for protocol in ("lsotb-tir", "rgbt210", "got10k-lasot"):
        (found,) = score([tmp_path / "mine"], dataset, protocols=[protocol])
        assert found.trackers[0].values["precision"] == 0.25
    convert(read_runs([tmp_path / "mine"], dataset), dataset, form, tmp_path / "out")
    (again,) = read_runs([tmp_path / "out"], dataset)
    assert again.tracks["seq"].boxes[1:, [0, 2]].tolist() == [
        [1e300, 2],
        [1 + (base == 0), 1e300],
        [5e307, 2],
    ]


# --- .mat files of several runs


@pytest.fixture(scope="module")
def runs_of_ptb(shared: Path) -> Path:
    return shared / "golden" / "metrics" / "ptb"


def write_mat(path: Path, runs: Sequence[np.ndarray]) -> None:
    """A result file as the OTB, LSOTB-TIR and PTB-TIR toolkits write it."""
    cell = np.empty((1, len(runs)), dtype=object)
    for index, boxes in enumerate(runs):
        cell[0, index] = {"type": "rect", "res": boxes, "len": len(boxes), "fps": 20.0}
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"results": cell})


def write_ptb(root: Path, golden: Path, kind: str) -> None:
    """Annotation and ``.mat`` results of the stored runs."""
    known = np.load(golden / "annotations.npz")
    rows = np.split(known["boxes"].astype(np.float64), known["lengths"].cumsum()[:-1])
    annotation = {str(name): one for name, one in zip(known["names"], rows, strict=True)}
    starts = json.loads((golden / "tre_sre.json").read_text())["tre_start_frames_1based"]
    stored = np.load(golden / "tre_sre.npz")
    (root / "anno").mkdir(parents=True)
    for name in map(str, stored["sequences"]):
        np.savetxt(root / "anno" / f"{name}.txt", annotation[name], fmt="%d", delimiter=",")
        frames = len(annotation[name])
        begins = [start - 1 for start in starts[name]] if kind == "TRE" else [0] * 12
        ends = np.cumsum([frames - begin for begin in begins])[:-1]
        for tracker in ("jitter", "drift"):
            runs = np.split(stored[f"{kind}_boxes_{name}_{tracker}"] / 100.0, ends)
            write_mat(root / f"results_{kind}_all" / f"{name}_{tracker}.mat", runs)


@pytest.mark.parametrize("kind", ["TRE", "SRE"])
def test_mat_files_of_tre_and_sre_have_the_official_scores(
    tmp_path: Path, runs_of_ptb: Path, kind: str
) -> None:
    write_ptb(tmp_path, runs_of_ptb, kind)
    official = json.loads((runs_of_ptb / "tre_sre.json").read_text())
    official = official["scores_over_8_sequences"][kind]
    results = tmp_path / f"results_{kind}_all"
    (found,) = score([results], tmp_path, protocols=[f"ptb-tir-{kind.lower()}"])
    assert len(found.trackers) == 2
    for one in found.trackers:
        for key in ("success", "precision"):
            assert one.values[key] == pytest.approx(official[key][one.name], abs=1e-15)


def test_a_mat_file_of_another_number_of_runs_is_one_fault(
    tmp_path: Path, runs_of_ptb: Path
) -> None:
    write_ptb(tmp_path, runs_of_ptb, "SRE")
    results = tmp_path / "results_SRE_all"
    several = r"^16 result .*holds 12 runs, the protocol asks for 1; .*; one run is OPE.*--partial"
    with pytest.raises(DatasetError, match=several):
        score([results], tmp_path, protocols=["ptb-tir"])
    with pytest.raises(DatasetError, match=r"holds 12 runs, the protocol asks for 1; .*12 are SRE"):
        score([results], tmp_path, protocols=["ptb-tir"], partial=True)
    for path in results.glob("*_drift.mat"):
        path.unlink()
    path = min(results.glob("*.mat"))
    runs = [one["res"] for one in loadmat(path, simplify_cells=True)["results"]]
    write_mat(path, runs[:11])
    with pytest.raises(DatasetError, match=rf"^{path}: .*holds 11 runs, the protocol asks for 12"):
        score([results], tmp_path, protocols=["ptb-tir-sre"])
    write_mat(path, [*runs[:11], runs[11][:-1]])
    with pytest.raises(DatasetError, match=rf"^{path}, row \d+: the result has"):
        score([results], tmp_path, protocols=["ptb-tir-sre"])
    (found,) = score([results], tmp_path, protocols=["ptb-tir-sre"], partial=True)
    assert len(found.trackers[0].sequences) == 7
    assert [one.sequence.partition(".")[0] for one in found.missing] == [path.stem[:-7]]


def test_a_mat_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a_x.mat"
    for value in (5.0, 6.0):
        write_mat(path, [np.full((2, 4), value)])
        os.utime(path, ns=(int(value), int(value)))
        assert read_track(path).boxes[0, 0] == value
