"""``tirtrack evaluate``: its files, its table, its exit codes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.cli.app import run
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.trackers.base import Status, TrackState
from tirtrack.trackers.frame_gate import COLOURED_WARNING, first_gate, warned_of_colour


class Keeper:
    """Stands for a tracker with weights: answers with its first box."""

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        self.box = box
        return TrackState(box, True, 1.0, Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        return TrackState(self.box, True, 0.5, Status.TRACKING)


@pytest.fixture(autouse=True)
def _no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrackerSpec, "load", lambda self, seed: Keeper())
    monkeypatch.setattr(TrackerSpec, "facts", lambda self: {"preset": self.preset})


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        folder = tmp_path / "world" / name / "img"
        folder.mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.zeros((30, 40), np.uint8)).save(folder / f"{index:06d}.png")
        (folder.parent / "groundtruth.txt").write_text("5,5,10,10\n" * 4)
    return tmp_path / "world"


def test_command_writes_results_and_prints_a_table(
    world: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    line = ["evaluate", "one", "one@published", "--dataset", str(world), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["tirtrack", *line])
    assert run(line) == 0
    printed = capsys.readouterr()
    assert "0.952" in printed.out
    assert "result.json" in printed.err
    assert (out / "results" / "one" / "a.txt").read_text() == "5,5,10,10\n" * 4
    stored = json.loads((out / "result.json").read_text())
    assert [one["preset"] for one in stored["trackers"]] == [None, "published"]
    assert stored["command"].startswith("tirtrack evaluate one one@published ")


def test_what_every_sequence_has_is_warned_of_once(
    world: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Warner(Keeper):
        def init(self, frame: np.ndarray, box: Box) -> TrackState:
            first_gate(frame, None, Box(5, 5, 3, 4), is_checked=False)
            warned_of_colour(np.stack([frame, frame + 90, frame], axis=2))
            return super().init(frame, box)

    monkeypatch.setattr(TrackerSpec, "load", lambda self, seed: Warner())
    line = ["evaluate", "one", "two", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run(line) == 0
    said = [text for text in capsys.readouterr().err.splitlines() if "warning" in text]
    assert said == [
        "tirtrack: warning: the first box is only 3x4 px",
        f"tirtrack: warning: {COLOURED_WARNING}",
    ]


def test_json_is_the_result_file(world: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", "one", "--dataset", str(world), "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "result.json").read_text())


def test_default_folder_is_named_after_the_data_set(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["evaluate", "one", "--dataset", str(world)]) == 0
    assert (tmp_path / "runs" / "evaluate-world" / "result.json").is_file()


def test_existing_results_are_kept_without_force(world: Path, tmp_path: Path, capsys) -> None:
    line = ["evaluate", "one", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run(line) == 0
    assert run(line) == 2
    said = capsys.readouterr().err
    assert "exists already; choose another --out, go on with --resume, or give --force" in said
    assert run([*line, "--force"]) == 0


def test_failed_sequence_ends_with_1_and_keeps_the_rest(
    world: Path, tmp_path: Path, capsys
) -> None:
    (world / "b" / "img" / "000002.png").write_bytes(b"no image")
    out = tmp_path / "out"
    assert run(["evaluate", "one", "--dataset", str(world), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert "1 of 2 runs is missing: one on b (" in error
    assert "000002.png" in error
    assert (out / "results" / "one" / "a.txt").is_file()


@pytest.mark.parametrize(
    "option",
    [
        *(["--protocol", "otd"], ["--workers", "0"], ["--protocol", ""], ["--preset", ""]),
        *(["--dataset", ""], ["--columns", "x"], ["--base", "2"], ["--frames", "x"]),
    ],
    ids=" ".join,
)
def test_wrong_request_writes_nothing(
    world: Path, tmp_path: Path, option: list[str], capsys
) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", "one", "--dataset", str(world), "--out", str(out), *option]) == 2
    assert not out.exists()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_named_files_are_evaluated(world: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "boxes.txt").write_text("# x1,y1,x2,y2\n" + "6,6,16,16\n" * 4)
    out = tmp_path / "out"
    named = ["--annotation", str(tmp_path / "boxes.txt"), "--frames", str(world / "a" / "img")]
    assert run(["evaluate", "one", *named, "--base", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "boxes, lsotb-tir: 1 sequence, 4 frames" in printed
    assert "count from 1; corners x1,y1,x2,y2 read as boxes (1 of 1 sequences)" in printed
    assert (out / "results" / "one" / "boxes.txt").read_text() == "6,6,10,10\n" * 4
    assert run(["score", str(out), "--annotation", str(tmp_path / "boxes.txt"), "--base", "1"]) == 0
    assert "0.952" in capsys.readouterr().out


def test_annotation_without_frames_is_refused(tmp_path: Path, capsys) -> None:
    assert run(["evaluate", "one", "--annotation", "a.txt", "--out", str(tmp_path / "out")]) == 2
    assert "--annotation needs --frames" in capsys.readouterr().err


def test_the_engine_is_that_of_all_trackers(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TrackerSpec, "facts", lambda self: {"engine": self.engine})
    line = ["evaluate", "one", "two", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run([*line, "--engine", "torch"]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert [one["engine"] for one in result["trackers"]] == ["torch", "torch"]


def test_tracker_with_an_empty_preset_is_refused(world: Path, tmp_path: Path, capsys) -> None:
    line = ["evaluate", "one@", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run(line) == 2
    assert 'unknown preset ""; name one' in capsys.readouterr().err


def test_stopped_run_of_another_base_is_not_resumed(world: Path, tmp_path: Path, capsys) -> None:
    line = ["evaluate", "one", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run(line) == 0
    identity = tmp_path / "out" / "identity.json"
    stored = json.loads(identity.read_text())
    del stored["base"]
    identity.write_text(json.dumps(stored))
    assert run([*line, "--resume"]) == 2
    assert "another base (was None, now 0)" in capsys.readouterr().err


def test_data_set_is_described_before_work_and_in_the_result(
    world: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", "one", "two", "--dataset", str(world), "--out", str(out)]) == 0
    said = capsys.readouterr().err.splitlines()
    line = (
        "2 sequences, 8 annotated frames, layout groundtruth.txt, coordinates count from 0; "
        "PNG files of 40x30, 8 bit, 1 channel; files in the order of the numbers in their names"
    )
    assert said[0] == f"tirtrack: world: {line}"
    assert not [text for text in said[1:] if text.startswith("tirtrack:")]
    stored = json.loads((out / "result.json").read_text())
    assert stored["source_line"] == line
    assert stored["sources"]["b"].startswith("4 PNG files in the order of the numbers")
    assert set(stored["read_options"].values()) == {None}
    assert "way of reading frames" not in json.loads((out / "identity.json").read_text())


@pytest.mark.parametrize("broken", ["a", "b"])
def test_frames_that_need_an_option_are_refused_before_anything_is_written(
    world: Path, tmp_path: Path, broken: str, capsys
) -> None:
    rng = np.random.default_rng(5)
    (world / broken / "groundtruth.txt").write_text("20,12,10,10\n" * 4)  # surely x,y,w,h
    for path in (world / broken / "img").iterdir():
        Image.fromarray(rng.integers(0, 255, (30, 40, 4), dtype=np.uint8)).save(path)
    out = tmp_path / "out"
    line = ["evaluate", "one", "--dataset", str(world), "--out", str(out)]
    assert run(line) == 2
    assert not out.exists()
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{broken}/img/000000.png: the alpha channel is not constant" in said
    assert "give --channel 3 for it, or --channel 0 for the first one" in said
    assert run([*line, "--channel", "0"]) == 0
    assert "; read with --channel 0" in capsys.readouterr().err


def test_evaluation_is_gone_on_with_only_with_its_reading_options(
    world: Path, tmp_path: Path, capsys
) -> None:
    line = ["evaluate", "one", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run([*line, "--order", "name"]) == 0
    assert run([*line, "--resume"]) == 2
    assert "another way of reading frames (was --order name, now None)" in capsys.readouterr().err
    assert run([*line, "--resume", "--order", "name"]) == 0


@pytest.mark.parametrize(
    ("option", "says"),
    [
        pytest.param(["--order", "date"], "give natural, name or time", id="order"),
        pytest.param(["--byte-order", "middle"], "give little or big", id="byte order"),
        pytest.param(["--no-data", "nan"], "drop --no-data", id="no data"),
        pytest.param(["--no-data", "none"], "mask frames of a data set", id="mask nothing"),
        pytest.param(["--channel", "1"], "give --channel 0", id="channel"),
        pytest.param(["--size", "4x4"], "--size has no meaning for this source", id="size"),
    ],
)
def test_reading_option_that_does_not_fit_writes_nothing(
    world: Path, tmp_path: Path, option: list[str], says: str, capsys
) -> None:
    out = tmp_path / "out"
    assert run(["evaluate", "one", "--dataset", str(world), "--out", str(out), *option]) == 2
    assert not out.exists()
    assert says in capsys.readouterr().err


def test_starts_are_said_before_work_and_above_the_table(
    world: Path, tmp_path: Path, capsys
) -> None:
    (world / "b" / "groundtruth.txt").write_text("5,5,10,10\n" * 2 + "nan,nan,nan,nan\n" * 2)
    out = tmp_path / "out"
    line = ["evaluate", "one", "--dataset", str(world), "--out", str(out), "--starts", "2"]
    assert run(line) == 0
    printed = capsys.readouterr()
    assert printed.err.count("2 starts a sequence, 3 runs of each tracker; left out, ") == 1
    assert ": b from frame 2" in printed.err
    assert "world, lsotb-tir: 2 sequences, 8 frames, 2 starts a sequence" in printed.out
    assert (out / "results" / "one" / "a.start2.txt").read_text() == "5,5,10,10\n" * 2
    assert run([*line[:-2], "--resume"]) == 2
    assert "another number of starts (was 2, now None)" in capsys.readouterr().err


def test_partial_evaluates_what_can_be_and_says_what_is_missing_on_every_table(
    world: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = world / "c"
    shutil.copytree(world / "a", broken)
    (broken / "groundtruth.txt").write_text("5,5,ten,10\n" * 4)
    (world / "b" / "img" / "000002.png").write_bytes(b"no picture")
    line = ["evaluate", "one", "two", "--dataset", str(world), "--out", str(tmp_path / "out")]
    assert run(line) == 2
    assert "c/groundtruth.txt, row 1" in capsys.readouterr().err
    assert run([*line, "--partial"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("results missing: 1 of one, 1 of two; 1 sequence left out") == 2
    assert "a sequence is left out: " in printed.out.splitlines()[-1]
    assert "c/groundtruth.txt, row 1" in printed.out.splitlines()[-1]
    assert "2 of 4 runs are missing: one on b (" in printed.err
    assert run([*line, "--partial", "--resume"]) == 0
    assert run([*line, "--resume"]) == 2  # without it the sequence cannot be left out
