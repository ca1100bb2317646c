"""Results in the files of the GOT-10k and VOT toolkits, written by us and by others."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.made_layouts import NAMES, make, text
from tirtrack.datasets import open_dataset
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.errors import DatasetError
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.result_forms import FORMS, convert
from tirtrack.evaluation.results import SequenceRun, find_results
from tirtrack.evaluation.score_files import read_runs, score
from tirtrack.evaluation.scoring import Runs

TRUTH = np.tile([5.0, 4, 10, 12], (30, 1))
BY_1_PX = np.array([1.0, 1, 0, 0])
SIZE_WH = (40, 30)


@pytest.fixture
def dataset() -> LabelledDataset:
    """A sequence whose file counts from 0, with the size of its frames."""
    one = LabelledSequence(
        "a", TRUTH + BY_1_PX, 1, lambda: iter(()), shift=1, facts=FrameFacts(size_wh=SIZE_WH)
    )
    return LabelledDataset("made", (one,), "vot-supervised")


def made_run() -> SequenceRun:
    boxes = TRUTH + BY_1_PX
    boxes[1:] += [0.25, 0, 0, 0]
    scores = np.linspace(1, 0.5, 30)
    return SequenceRun(boxes, scores, np.full(30, "tracking"), np.full(30, 0.25))


@pytest.mark.parametrize("form", ["got10k", "vot"])
def test_what_convert_wrote_is_read_back(
    tmp_path: Path, dataset: LabelledDataset, form: str
) -> None:
    convert([Runs("mine", {"a": made_run()})], dataset, form, tmp_path / "out")
    name, given = ("mine/unsupervised", 1) if form == "vot" else ("mine", 0)
    for place in (tmp_path / "out", tmp_path / "out" / name):
        (found,) = read_runs([place], dataset)
        assert found.name == (name if place.name == "out" else place.name)
        track = found.tracks["a"]
        np.testing.assert_allclose(track.boxes, made_run().boxes, atol=1e-9)
        assert track.seconds.tolist() == [0.25] * 30
        assert (track.statuses == "started").sum() == given
        if form == "vot":
            np.testing.assert_allclose(track.scores, made_run().scores)
        else:
            assert np.isnan(track.scores).all()
    assert score([tmp_path / "out"], dataset, protocols=["otb"])[0].missing == ()


@pytest.mark.parametrize("form", FORMS)
def test_further_runs_that_convert_wrote_are_read_back_as_such(
    tmp_path: Path, dataset: LabelledDataset, form: str
) -> None:
    runs = [
        Runs("mine", {"a": made_run()}),
        Runs("mine.run2", {"a": made_run()}, {"run": 2, "run_of": "mine"}),
    ]
    convert(runs, dataset, form, tmp_path / "out")
    first, second = read_runs([tmp_path / "out"], dataset)
    assert (second.facts["run"], second.facts["run_of"]) == (2, first.name)


def test_numbered_runs_of_a_sequence_have_names_and_times_of_their_own(tmp_path: Path) -> None:
    make(tmp_path / "data", "got10k-val")
    for name in NAMES:
        for run in (1, 2):
            text(tmp_path / "mine" / name / f"{name}_{run:03d}.txt", "5,4,10,12\n" * 3)
        text(tmp_path / "mine" / name / f"{name}_time.txt", "0.1,0.2\n" * 3)
    first, second = read_runs([tmp_path / "mine"], open_dataset(tmp_path / "data"))
    assert (first.name, second.name) == ("mine", "mine.run2")
    assert first.tracks[NAMES[1]].seconds.tolist() == [0.1] * 3
    assert second.tracks[NAMES[1]].seconds.tolist() == [0.2] * 3
    (found,) = score([tmp_path / "mine"], tmp_path / "data")
    assert [one.values["ao"] for one in found.trackers] == [1, 1]
    (tmp_path / "mine" / NAMES[1] / f"{NAMES[1]}_002.txt").unlink()
    gone = f"mine.run2 on {NAMES[1]} (no result file in {tmp_path / 'mine'})"
    with pytest.raises(DatasetError, match=re.escape(gone)):
        score([tmp_path / "mine"], tmp_path / "data")


def test_further_runs_stay_with_their_tracker_where_two_folders_have_one_of_its_name(
    tmp_path: Path, dataset: LabelledDataset, caplog: pytest.LogCaptureFixture
) -> None:
    for folder, runs in (("old", 2), ("new", 1)):
        for run in range(1, runs + 1):
            text(tmp_path / folder / "mine" / "a" / f"a_{run:03d}.txt", "5,4,10,12\n" * 30)
    with caplog.at_level("INFO"):
        (found,) = score([tmp_path / "old", tmp_path / "new"], dataset, protocols=["otb"])
    assert [one.tracker for one in found.trackers] == ["old/mine", "old/mine", "new/mine"]
    assert [(one.tracker, one.runs) for one in found.runs] == [("old/mine", 2)]
    assert "old: 2 result files of 1 tracker in 2 runs" in caplog.text
    assert "new: 1 result file of 1 tracker\n" in caplog.text


def test_binary_files_of_the_vot_toolkit_are_refused_with_what_to_do(tmp_path: Path) -> None:
    text(tmp_path / "mine" / "baseline" / "a" / "a_001.bin", "\0")
    with pytest.raises(DatasetError, match=r"such as a\.txt; .* text, .*VOT_RESULTS_BINARY=false"):
        find_results(tmp_path / "mine", ["a"])


ROWS = ["1", *["5,4,10,12"] * 10, "2", *["0"] * 4, "1", *["6,4,10,12"] * 13]


def test_codes_of_a_supervised_run_are_its_marks(tmp_path: Path, dataset: LabelledDataset) -> None:
    text(tmp_path / "mine" / "baseline" / "a" / "a_001.txt", "\n".join(ROWS))
    (found,) = score([tmp_path / "mine"], dataset)
    boxes = np.full((30, 4), np.nan)
    boxes[[0, *range(1, 11), 16]] = TRUTH[0]
    boxes[17:] = [6, 4, 10, 12]
    marks = np.array(["tracking"] * 30, dtype="U9")
    marks[[0, 16]], marks[11], marks[12:16] = "started", "failed", "skipped"
    facts = FrameFacts(size_wh=SIZE_WH, statuses=marks)
    expected = get("vot-supervised").score_sequence("a", boxes, TRUTH, facts=facts).values
    assert expected["failures"] == 1
    assert expected["vot_accuracy"] < 1
    values = {key: one for key, one in found.trackers[0].values.items() if one is not None}
    assert values == pytest.approx(expected)
    with pytest.raises(DatasetError, match=r"started again after failures.*--protocol vot-super"):
        score([tmp_path / "mine"], dataset, protocols=["otb"])


def test_a_confidence_that_is_empty_is_unknown(tmp_path: Path, dataset: LabelledDataset) -> None:
    folder = tmp_path / "mine" / "longterm" / "a"
    text(folder / "a_001.txt", "1\n" + "5,4,10,12\n" * 29)
    text(folder / "a_001_confidence.value", "\n" + "12.5\n" * 29)
    (runs,) = read_runs([tmp_path / "mine"], dataset)
    scores = runs.tracks["a"].scores
    assert np.isnan(scores[0])
    assert scores[1:].tolist() == [12.5] * 29
    (found,) = score([tmp_path / "mine"], dataset, protocols=["vot-lt"])
    assert found.trackers[0].values["lt_precision"] == 1


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a_001_confidence.value", "1\n" * 29, "30 boxes, but 29 scores beside them"),
        ("a_001_confidence.value", "1\nhigh\n", r'row 2: "high" is not a number'),
        ("a_time.txt", "1,2\n1\n", r"a_time\.txt: has rows of several lengths"),
    ],
)
def test_files_beside_that_do_not_fit_are_named(
    tmp_path: Path, dataset: LabelledDataset, file: str, content: str, words: str
) -> None:
    text(tmp_path / "mine" / "a" / "a_001.txt", "5,4,10,12\n" * 30)
    text(tmp_path / "mine" / "a" / file, content)
    with pytest.raises(DatasetError, match=words):
        read_runs([tmp_path / "mine"], dataset)


def test_a_number_that_belongs_to_the_name_of_a_sequence_is_no_run(tmp_path: Path) -> None:
    text(tmp_path / "mine" / "dog_S_001.txt", "1,1,2,2\n")
    text(tmp_path / "mine" / "dog_S" / "dog_S_002.txt", "1,1,2,2\n")
    found = find_results(tmp_path, ["dog_S_001", "dog_S_002"])
    assert {name: sorted(files) for name, files in found.items()} == {
        "mine": ["dog_S_001"],
        "mine/dog_S": ["dog_S_002"],
    }
