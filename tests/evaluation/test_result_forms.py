"""Results in the forms of other toolkits, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tracked_worlds import walk, write_lsotb

from tests.datasets.made_layouts import NAMES, make, text
from tirtrack.cli import app
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.result_forms import FORMS, convert
from tirtrack.evaluation.results import SequenceRun, read_track, write_track
from tirtrack.evaluation.score_files import read_runs, score
from tirtrack.evaluation.scoring import Runs

BOXES = np.array([[20.0, 15, 12.5, 9.25], [21.1, 15.0625, 12, 9], [np.pi, 2, 3, 4]])


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    return open_dataset(write_lsotb(tmp_path / "world", {"a": walk(3, 0), "b": walk(3, 1)}))


def made(seconds: float = 0.25, score: float = 0.5) -> Runs:
    scores, statuses = np.array([1, score, score]), np.array(["tracking"] * 3)
    return Runs("mine", {"a": SequenceRun(BOXES.copy(), scores, statuses, np.full(3, seconds))})


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_written_is_read_back(world: LabelledDataset, tmp_path: Path, form: str) -> None:
    assert convert([made()], world, form, tmp_path / "out") == 1
    read = read_runs([tmp_path / "out"], world)[0]
    np.testing.assert_allclose(read.tracks["a"].boxes, BOXES, atol=1e-9)
    assert list(read.tracks) == ["a"]
    if form == "json":
        assert read.tracks["a"].scores.tolist() == [1, 0.5, 0.5]
        assert read.tracks["a"].statuses.tolist() == ["tracking"] * 3
        assert read.tracks["a"].seconds.tolist() == [0.25] * 3


def test_boxes_are_in_the_base_of_the_annotation_file(
    world: LabelledDataset, tmp_path: Path
) -> None:
    moved = [replace(one, shift=1) for one in world.sequences]
    convert([made()], replace(world, sequences=tuple(moved)), "text", tmp_path / "out")
    first, second, _ = (tmp_path / "out" / "mine" / "a.txt").read_text().splitlines()
    assert (first, second) == ("19,14,12.5,9.25", "20.1,14.0625,12,9")


def test_json_has_what_is_known_and_null_for_the_rest(
    world: LabelledDataset, tmp_path: Path
) -> None:
    convert([made(seconds=np.nan)], world, "json", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "mine" / "a.json").read_text())
    assert (content["scores"], content["seconds"]) == ([1, 0.5, 0.5], [None] * 3)
    assert content["statuses"] == ["tracking"] * 3


def test_json_has_no_numbers_for_a_frame_without_a_box(
    world: LabelledDataset, tmp_path: Path
) -> None:
    runs = made()
    runs.tracks["a"].boxes[1:] = [[np.nan] * 4, [np.nan, 2, 3, 4]]
    convert([runs], world, "json", tmp_path / "out")
    content = json.loads((tmp_path / "out" / "mine" / "a.json").read_text())
    assert content["res"] == [BOXES[0].tolist(), [], []]
    (read,) = read_runs([tmp_path / "out"], world)
    assert np.isnan(read.tracks["a"].boxes[1:]).all()


def test_a_frame_without_a_score_is_read_back_as_such(
    world: LabelledDataset, tmp_path: Path
) -> None:
    convert([made(seconds=np.nan)], world, "json", tmp_path / "out")
    track = read_runs([tmp_path / "out"], world)[0].tracks["a"]
    assert np.isnan(track.seconds).all()
    assert track.scores[1] == 0.5


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("scores", [1, 0.5], "3 boxes, but 2 scores beside them"),
        ("seconds", [[1], [2], [3]], "3 boxes, but 3 times beside them"),
        ("scores", [1, "high", 0.5], "scores are not one for each row"),
        ("statuses", "lost", "3 boxes, but 1 statuses beside them"),
    ],
)
def test_numbers_beside_boxes_that_do_not_fit_are_named(
    tmp_path: Path, key: str, values: object, words: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"res": BOXES.tolist(), key: values}))
    with pytest.raises(DatasetError, match=rf"a\.json: {words}"):
        read_track(path)


def test_scores_as_pytracking_writes_them_count(tmp_path: Path, world: LabelledDataset) -> None:
    for name in "ab":
        (tmp_path / "mine").mkdir(exist_ok=True)
        np.savetxt(tmp_path / "mine" / f"{name}.txt", BOXES, fmt="%g", delimiter="\t")
        scores = tmp_path / "mine" / f"{name}_object_presence_scores.txt"
        scores.write_text("1.0\n0.25\n0.75\n")
    (runs,) = read_runs([tmp_path / "mine"], world)
    assert runs.tracks["a"].scores.tolist() == [1, 0.25, 0.75]
    (found,) = score([tmp_path / "mine"], world, protocols=["pytracking-prf"])
    assert found.missing == ()


def test_got10k_form_has_a_folder_a_sequence(world: LabelledDataset, tmp_path: Path) -> None:
    convert([made()], world, "got10k", tmp_path / "out")
    folder = tmp_path / "out" / "mine" / "a"
    rows = ["20.000,15.000,12.500,9.250", "21.100,15.062,12.000,9.000", "3.142,2.000,3.000,4.000"]
    assert (folder / "a_001.txt").read_text().splitlines() == rows
    assert (folder / "a_time.txt").read_text() == "0.25000000\n" * 3


def test_vot_form_begins_with_the_code_of_a_start(world: LabelledDataset, tmp_path: Path) -> None:
    convert([made(score=0.5)], world, "vot", tmp_path / "out")
    folder = tmp_path / "out" / "mine" / "unsupervised" / "a"
    rows = ["1", "21.1,15.0625,12,9", "3.141592654,2,3,4"]
    assert (folder / "a_001.txt").read_text().splitlines() == rows
    assert (folder / "a_001_confidence.value").read_text() == "1\n0.5\n0.5\n"
    assert (folder / "a_001_time.value").read_text() == "0.25\n" * 3


@pytest.mark.parametrize("form", ["vot", "got10k"])
def test_unknown_scores_and_times_have_no_file(
    world: LabelledDataset, tmp_path: Path, form: str
) -> None:
    convert([made(np.nan, np.nan)], world, form, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out" / "mine").rglob("*.*")] == ["a_001.txt"]


@pytest.mark.parametrize("form", FORMS)
def test_later_first_frame(world: LabelledDataset, tmp_path: Path, form: str) -> None:
    hidden = world.sequences[0].annotation.copy()
    hidden[0] = np.nan
    late = replace(world, sequences=(replace(world.sequences[0], annotation=hidden),))
    if form in ("text", "json"):
        assert convert([made()], late, form, tmp_path / "out") == 1
        return
    with pytest.raises(DatasetError, match="mine, a: begins after the first frame"):
        convert([made()], late, form, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_unknown_form_writes_nothing(world: LabelledDataset, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match='unknown form "txt"; did you mean "text"'):
        convert([made()], world, "txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_converts(world: LabelledDataset, tmp_path: Path, capsys) -> None:
    write_track(tmp_path / "results" / "mine", "a", made().tracks["a"])
    words = ["results", "convert", str(tmp_path / "results"), "--dataset", str(world.root)]
    words += ["--to", "vot", "--out", str(tmp_path / "out")]
    assert app.run(words) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}: 1 result as vot\n"
    assert (tmp_path / "out" / "mine" / "unsupervised" / "a" / "a_001.txt").is_file()
    assert app.run(words) == 2
    assert app.run([*words, "--force"]) == 0


def test_command_converts_results_that_the_user_explains(tmp_path: Path, capsys) -> None:
    """Corners that count from 0 for a data set that counts from 1, found by its name's root."""
    root = tmp_path / "of the user"
    for name in NAMES:
        text(root / "anno" / f"{name}.txt", "21,16,12,9\n" * 3)
        text(tmp_path / "mine" / f"{name}.txt", "20,15,32,24\n" * 3)
    said = ["--result-columns", "x1,y1,x2,y2", "--result-base", "0", "--to", "text"]
    words = ["results", "convert", str(tmp_path / "mine"), "--out", str(tmp_path / "out")]
    assert app.run([*words, "--dataset", str(root), *said]) == 0
    written = (tmp_path / "out" / "mine" / f"{NAMES[0]}.txt").read_text()
    assert written == "21,16,12,9\n" * 3
    made = make(tmp_path / "lasher", "lasher-train")
    for name in NAMES:
        np.savetxt(tmp_path / "mine" / f"{name}.txt", made[name].boxes, fmt="%g", delimiter=",")
    words += ["--dataset", "lasher-train", "--root", str(tmp_path / "lasher"), "--to", "text"]
    assert app.run([*words, "--force"]) == 0
    assert capsys.readouterr().out.endswith("2 results as text\n")
