"""Film strips: boxes stand where they were in the frame, whatever the files count from."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from tirtrack.datasets import AnnotationOptions, open_dataset
from tirtrack.errors import RequestError
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.results import SequenceRun, write_track
from tirtrack.evaluation.score_files import read_runs, score
from tirtrack.evaluation.scored_dataset import with_sizes
from tirtrack.evaluation.scoring import Runs, score_runs
from tirtrack.report import build_report
from tirtrack.report.build import dataset_of, evaluation_section
from tirtrack.stored import write_stored


def films(root: Path, base: int) -> list[bytes]:
    """The pictures of one world whose files are said to count from ``base``."""
    opened = open_dataset(root / "data", options=AnnotationOptions(base=base))
    (sequence,) = opened.sequences
    out = root / f"out{base}"
    boxes = np.nan_to_num(sequence.annotation, nan=20.0) + np.array([2.0, 1.0, 0.0, 0.0])
    for name in ("first", "second"):
        write_track(
            out / "results" / name, sequence.name, SequenceRun.of_boxes(boxes), shift=sequence.shift
        )
    runs = read_runs([out], opened)
    write_stored(out / "result.json", score_runs(runs, opened, get("lsotb-tir")))
    section = evaluation_section(out, dataset=opened)
    return [picture.content for film in section.films for picture in film.frames]


def test_boxes_are_drawn_at_the_same_pixels_whatever_files_count_from(made, tmp_path: Path) -> None:
    file = next(made.dataset(tmp_path / "data", ("a",), frames=6).rglob("groundtruth.txt"))
    of_base_0 = films(tmp_path, 0)
    rows = [line.split(",") for line in file.read_text().split()]
    moved = [[str(float(x) + 1), str(float(y) + 1), w, h] for x, y, w, h in rows]
    file.write_text("\n".join(",".join(row) for row in moved))
    assert of_base_0
    assert films(tmp_path, 1) == of_base_0


def test_boxes_of_few_trackers_are_drawn_and_named(made, tmp_path: Path) -> None:
    opened = open_dataset(made.dataset(tmp_path / "data", ("a",), frames=6))
    (sequence,) = opened.sequences
    out = tmp_path / "out"
    for k in range(12):  # the later, the better; the first is the reference
        off = np.array([6.0 - 0.5 * k, 0.0, 0.0, 0.0])
        boxes = np.nan_to_num(sequence.annotation, nan=20.0) + off
        track = SequenceRun.of_boxes(boxes)
        write_track(out / "results" / f"t{k:02d}", sequence.name, track, shift=sequence.shift)
    runs = read_runs([out], opened)
    write_stored(out / "result.json", score_runs(runs, opened, get("lsotb-tir")))
    (film,) = evaluation_section(out, dataset=opened).films
    assert film.trackers == ("t00", "t11", "t10", "t09", "t08", "t07")
    assert film.frames[0].alt.endswith("boxes of annotation and " + " and ".join(film.trackers))
    build_report([out], tmp_path / "page.html", dataset=opened)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    legend = page.split('class="legend')[1].split("</p>")[0]
    assert "t07" in legend
    assert "t06" not in legend


def test_films_that_no_score_chooses_are_said_to_be_left_out(made, tmp_path: Path) -> None:
    data = made.dataset(tmp_path / "data", ("a",), frames=6)
    opened = with_sizes(open_dataset(data))
    boxes, statuses = opened.sequences[0].annotation, np.array(["started", *["tracking"] * 5])
    track = SequenceRun(boxes, np.ones(6), statuses, np.ones(6))
    result = score_runs([Runs("mine", {"a": track})], opened, get("vot-supervised"))
    write_track(tmp_path / "out" / "results" / "mine", "a", track)
    write_stored(tmp_path / "out" / "result.json", result)
    section = evaluation_section(tmp_path / "out", dataset=opened)
    assert section.films == ()
    assert section.films_missing == (
        "Left out: no sequence has a value of expected average overlap."
    )


@pytest.fixture
def scored(made, tmp_path: Path) -> Path:
    """Results of strangers, corners that count from 1 beside annotation that counts from 0, scored
    from a relative folder.
    """
    opened = open_dataset(made.dataset(tmp_path / "data", ("a",), frames=6))
    (sequence,) = opened.sequences
    assert (sequence.base, sequence.file_base) == (1, 0)
    boxes = np.nan_to_num(sequence.annotation, nan=20.0) + np.array([2.0, 1.0, 0.0, 0.0])
    corners = np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
    for name in ("first", "second"):
        (tmp_path / "given" / name).mkdir(parents=True)
        np.savetxt(tmp_path / "given" / name / "a.txt", corners, fmt="%.3f", delimiter="\t")
    with contextlib.chdir(tmp_path):
        score(
            ["given"], tmp_path / "data", columns=("x1", "y1", "x2", "y2"), base=1,
            out=tmp_path / "scored",
        )  # fmt: skip
    return tmp_path / "scored"


def test_a_page_of_scored_results_has_the_film_strips_of_an_evaluation(
    scored: Path, tmp_path: Path
) -> None:
    evaluated = films(tmp_path, 0)
    assert len(evaluated) == 6
    section = evaluation_section(scored, dataset=dataset_of(scored))
    assert [one.content for film in section.films for one in film.frames] == evaluated


def test_a_mat_file_of_several_runs_has_its_first_one_on_the_page(made, tmp_path: Path) -> None:
    opened = open_dataset(made.dataset(tmp_path / "data", ("a",), frames=22))
    (sequence,) = opened.sequences
    protocol = get("ptb-tir-tre")
    starts = [one.row for one in protocol.starts(sequence.annotation, None)]
    known = np.nan_to_num(sequence.annotation, nan=20.0) - [sequence.shift, sequence.shift, 0, 0]
    cell = np.empty((1, len(starts)), dtype=object)
    for run, row in enumerate(starts):
        cell[0, run] = {"type": "rect", "res": known[row:]}
    (tmp_path / "given").mkdir()
    savemat(tmp_path / "given" / "a_mine.mat", {"results": cell})
    out = tmp_path / "scored"
    score([tmp_path / "given"], tmp_path / "data", protocols=[protocol.name], out=out)
    (film,) = evaluation_section(out, dataset=dataset_of(out)).films
    assert film.frames[0].alt.endswith("boxes of annotation and mine")


@pytest.mark.parametrize("gone", ["frames", "results"])
def test_a_page_of_scored_results_says_what_its_film_strips_lack(
    scored: Path, tmp_path: Path, gone: str
) -> None:
    if gone == "frames":
        shutil.rmtree(tmp_path / "data")
        said = (
            "Left out: the frames were not at hand; say where the data set is with --dataset "
            "FOLDER, or --dataset NAME --root FOLDER."
        )
    else:
        file = tmp_path / "given" / "second" / "a.txt"
        file.unlink()
        said = f"Left out: {file}, from which a was scored, is gone."
    section = evaluation_section(scored, dataset=dataset_of(scored))
    assert (section.films, section.films_missing) == ((), said)


def test_film_strips_are_of_the_run_that_is_there(made, tmp_path: Path) -> None:
    """The first run of a tracker has no result, so its second one counts as its first."""
    opened = open_dataset(made.dataset(tmp_path / "data", ("a",), frames=6))
    out = tmp_path / "out"
    track = SequenceRun.of_boxes(np.nan_to_num(opened.sequences[0].annotation, nan=20.0))
    write_track(out / "results" / "mine.run2", "a", track, shift=opened.sequences[0].shift)
    runs = [Runs("mine.run2", {"a": track}, {"run_of": "mine", "run": 2})]
    write_stored(out / "result.json", score_runs(runs, opened, get("lsotb-tir")))
    assert [one.sequence for one in evaluation_section(out, dataset=opened).films] == ["a"]


def test_a_root_of_no_named_data_set_is_refused(scored: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="needs the name of a data set"):
        build_report([scored], tmp_path / "page.html", root=tmp_path / "data")
    with pytest.raises(RequestError, match="is no published data set, so it has no root"):
        build_report(
            [scored], tmp_path / "page.html", dataset=tmp_path / "data", root=tmp_path / "data"
        )
