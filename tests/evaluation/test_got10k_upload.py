"""Uploads for GOT-10k: what is packed, and every fault that is found."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli import app
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.got10k_upload import SEQUENCES, faults_of_upload, pack
from tirtrack.evaluation.results import SequenceRun, write_track

FIRST, SECOND = SEQUENCES[:2]


def write_results(folder: Path, boxes: np.ndarray | None = None) -> Path:
    rows = np.array([[1.0, 2, 3, 4], [1.5, 2.25, 3, 4]]) if boxes is None else boxes
    count = len(rows)
    track = SequenceRun(rows, np.ones(count), np.array(["tracking"] * count), np.full(count, 0.5))
    write_track(folder, FIRST, track)
    for name in SEQUENCES[1:]:
        for end in (".txt", "_time.txt"):
            shutil.copy(folder / f"{FIRST}{end}", folder / f"{name}{end}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results" / "mine")


def read(file: Path) -> dict[str, str]:
    with zipfile.ZipFile(file) as packed:
        return {name: packed.read(name).decode() for name in packed.namelist()}


def write(file: Path, content: dict[str, str]) -> Path:
    with zipfile.ZipFile(file, "w") as packed:
        for name, text in content.items():
            packed.writestr(name, text)
    return file


def test_180_sequences_are_packed_and_valid(folder: Path, tmp_path: Path) -> None:
    content = read(pack(folder, tmp_path / "mine.zip"))
    assert len(SEQUENCES) == 180
    assert (FIRST, SEQUENCES[-1]) == ("GOT-10k_Test_000001", "GOT-10k_Test_000180")
    assert len(content) == 2 * 180
    assert (
        content[f"{FIRST}/{FIRST}_001.txt"] == "1.000,2.000,3.000,4.000\n1.500,2.250,3.000,4.000\n"
    )
    assert content[f"{FIRST}/{FIRST}_time.txt"] == "0.50000000\n0.50000000\n"
    assert faults_of_upload(tmp_path / "mine.zip") == []


def test_further_runs_are_packed_beside_the_first(folder: Path, tmp_path: Path) -> None:
    write_results(folder.with_name("mine.run2"), np.array([[5.0, 6, 7, 8]] * 2))
    content = read(pack(folder, tmp_path / "mine.zip"))
    assert content[f"{FIRST}/{FIRST}_002.txt"].startswith("5.000,6.000,7.000,8.000\n")
    assert content[f"{FIRST}/{FIRST}_time.txt"] == "0.50000000,0.50000000\n" * 2
    assert faults_of_upload(tmp_path / "mine.zip") == []


def test_same_results_give_the_same_file(folder: Path, tmp_path: Path) -> None:
    one, two = (pack(folder, tmp_path / f"{name}.zip").read_bytes() for name in ("a", "b"))
    assert one == two


def test_a_missing_sequence_is_not_packed(folder: Path, tmp_path: Path) -> None:
    (folder / f"{SECOND}.txt").unlink()
    with pytest.raises(DatasetError, match=rf"{SECOND}\.txt: no result of a test sequence"):
        pack(folder, tmp_path / "mine.zip")
    assert not (tmp_path / "mine.zip").exists()


def test_invalid_results_are_not_packed(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "mine", np.array([[1.0, 2, 3, 4], [1, 2, 0, 4]]))
    with pytest.raises(DatasetError, match=rf"{FIRST}_001\.txt, row 2: not finite, or without"):
        pack(folder, tmp_path / "mine.zip")


def test_an_existing_file_is_kept(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "mine.zip")
    with pytest.raises(RequestError, match="exists already"):
        pack(folder, tmp_path / "mine.zip")
    pack(folder, tmp_path / "mine.zip", force=True)


BOXES, TIMES = f"{FIRST}/{FIRST}_001.txt", f"{FIRST}/{FIRST}_time.txt"
GOOD = "1,2,3,4\n1,2,3,4\n"
FAULTS = {
    "missing": ({BOXES: None}, f"{BOXES} is missing"),
    "no times": ({TIMES: None}, f"{TIMES} is missing"),
    "other": ({"readme.txt": "x"}, "readme.txt belongs to no test sequence"),
    "nan": ({BOXES: "1,2,3,4\nnan,2,3,4\n"}, f"{BOXES}, row 2: not finite, or without"),
    "three": ({BOXES: "1,2,3\n1,2,3\n"}, f"{BOXES}, rows are not x,y,w,h"),
    "ragged": ({BOXES: "1,2,3,4\n1,2,3\n"}, f"{BOXES}, row 2: 3 numbers, expected 4"),
    "words": ({BOXES: "1,2,3,4\nlost\n"}, f'{BOXES}, row 2: "lost" is no row of numbers'),
    "empty": ({BOXES: ""}, f"{BOXES}, row 1: the file is empty"),
    "short times": ({TIMES: "0.5\n"}, f"{TIMES} is [1, 1], expected [2, 1]"),
    "zero times": ({TIMES: "0.5\n0\n"}, f"{TIMES} has times that are not above 0"),
    "runs": (
        {f"{FIRST}/{FIRST}_002.txt": "1,2,3,4\n", TIMES: "1,1\n1,1\n"},
        f"{FIRST} has runs of 2 and 1 rows",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_an_upload_is_named(folder: Path, tmp_path: Path, fault: str) -> None:
    changes, said = FAULTS[fault]
    content = {**read(pack(folder, tmp_path / "mine.zip")), **changes}
    kept = {name: text for name, text in content.items() if text is not None}
    found = faults_of_upload(write(tmp_path / "bad.zip", kept))
    assert [one for one in found if one.startswith(said)]
    assert len(found) == 1 + (fault == "empty")  # whose times are then too many


def test_numbers_of_frames_and_first_boxes_are_checked(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "test"
    for name in SEQUENCES:
        (root / name).mkdir(parents=True)
        for number in (1, 2, 3)[: 3 if name == FIRST else 2]:
            Image.new("L", (4, 4)).save(root / name / f"{number:08d}.jpg")
        (root / name / "groundtruth.txt").write_text("1,2,3,5" if name == SECOND else "1,2,3,4")
    found = faults_of_upload(pack(folder, tmp_path / "mine.zip"), root=root)
    assert len(found) == 2
    assert found[0] == f"{BOXES} has 2 rows, {root / FIRST} has 3 images"
    assert found[1].startswith(f"{SECOND}/{SECOND}_001.txt, row 1: not the first box of")


@pytest.mark.parametrize("content", [None, b"no zip", b""])
def test_what_is_no_zip_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "bad.zip"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RequestError, match="is no whole ZIP file"):
        faults_of_upload(file)


def test_commands_pack_and_validate(folder: Path, tmp_path: Path, capsys) -> None:
    file = str(tmp_path / "mine.zip")
    assert app.run(["results", "pack", str(folder), "--out", file]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert app.run(["results", "validate", file]) == 0
    assert capsys.readouterr().out == f"{file}: 180 sequences, no fault\n"
    write(tmp_path / "mine.zip", {**read(tmp_path / "mine.zip"), "x": ""})
    assert app.run(["results", "validate", file]) == 1
    printed, said = capsys.readouterr()
    assert printed == "x belongs to no test sequence\n"
    assert said.splitlines()[-1] == f"tirtrack: {file}: 1 fault; repair before the upload"
