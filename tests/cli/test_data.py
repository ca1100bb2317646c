"""``tirtrack data``: what it prints, and its exit codes."""

from __future__ import annotations

import json

import pytest

from tests.datasets.made_layouts import make, plain
from tirtrack.cli.app import run
from tirtrack.datasets import benchmarks
from tirtrack.report.build import dataset_of


@pytest.fixture
def folder(tmp_path):
    make(tmp_path, "folder")
    return tmp_path


def test_list_names_every_data_set_and_its_folder(tmp_path, monkeypatch, capsys):
    (tmp_path / "gtot").mkdir()
    monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path))
    assert run(["data", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == list(benchmarks.names())
    assert lines[0].split()[:3] == ["lsotb-tir", "120", "sequences"]
    places = dict(zip([line.split()[0] for line in lines[::2]], lines[1::2], strict=True))
    assert f"{tmp_path / 'gtot'}; described: github.com" in places["gtot"]
    assert f"{tmp_path / 'otb'} (not there)" in places["otb"]


def test_list_as_json(monkeypatch, capsys):
    monkeypatch.delenv("TIRTRACK_DATA", raising=False)
    assert run(["data", "list", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(found) == set(benchmarks.names())
    assert found["ptb-tir"]["frames"] == 30029
    assert found["ptb-tir"]["root"] is None


def test_a_whole_folder_ends_with_0(folder, capsys):
    assert run(["data", "verify", "folder", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2 sequences read, 6 annotated frames, 6 images decoded; no list of names" in out
    assert out.endswith("\nwhole\n")


def test_what_is_missing_is_said_with_its_file_and_ends_with_1(folder, capsys):
    (folder / "cat-1" / "img" / "000002.png").unlink()
    assert run(["data", "verify", "folder", str(folder)]) == 1
    out = capsys.readouterr().out
    assert f"cat-1: {folder / 'cat-1' / 'img'}: has 2 images, its annotation" in out
    assert "there is no image number 2" in out
    assert out.endswith("\nnot whole: 1 finding\n")


def test_verify_as_json_is_the_whole_result(folder, capsys):
    (folder / "cat-1" / "img" / "000002.png").unlink()
    assert run(["data", "verify", "folder", str(folder), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["whole"] is False
    assert found["findings"][0]["sequence"] == "cat-1"
    assert found["findings"][0]["where"] == str(folder / "cat-1" / "img")


def test_long_lists_are_cut_and_the_json_has_all(tmp_path, capsys):
    (tmp_path / "anno").mkdir()
    assert run(["data", "verify", "ptb-tir", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "and 41 more (--json prints all)" in out
    assert "airplane" in out
    assert run(["data", "verify", "ptb-tir", str(tmp_path), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["findings"]) == 61


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pbt-tir", "."], 'did you mean "ptb-tir"'),
        (["ptb-tir", "none"], "none: no such folder"),
        (["ptb-tir"], "its folder is unknown"),
        (["ptb-tir", ".", "--images", "some"], 'no way "some" of reading images'),
        (["ptb-tir", ".", "--workers", "0"], "workers must be at least 1"),
    ],
)
def test_a_wrong_request_ends_with_2(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TIRTRACK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    assert run(["data", "verify", *words]) == 2
    assert said in capsys.readouterr().err


def test_the_variable_names_the_folder(tmp_path, monkeypatch, capsys):
    make(tmp_path / "folder", "folder")
    monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path))
    assert run(["data", "verify", "folder"]) == 0
    assert str(tmp_path / "folder") in capsys.readouterr().out


@pytest.fixture
def results(tmp_path):
    """Results that are the annotation, of a tracker."""
    made = make(tmp_path / "data", "folder")
    for name, one in made.items():
        file = tmp_path / "results" / "perfect" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one.annotation.read_text())
    return tmp_path / "results"


def test_a_name_with_a_root_is_scored(results, tmp_path, capsys):
    words = ["score", str(results), "--dataset", "folder", "--root", str(tmp_path / "data")]
    assert run([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "folder"
    assert found["trackers"][0]["values"]["success"] == pytest.approx(20 / 21)


def test_a_root_needs_a_name(results, tmp_path, capsys):
    annotation = str(tmp_path / "data" / "{sequence}" / "groundtruth.txt")
    words = ["score", str(results), "--annotation", annotation, "--root", str(tmp_path)]
    assert run(words) == 2
    assert "--root needs --dataset NAME" in capsys.readouterr().err


def test_a_report_finds_a_named_data_set_again(tmp_path):
    made = make(tmp_path / "data", "rgbt210")
    plain(tmp_path / "data", "other")
    for name, one in made.items():
        file = tmp_path / "results" / "perfect" / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one.annotation.read_text())
    words = ["score", str(tmp_path / "results"), "--dataset", "rgbt210", "--protocol", "lsotb-tir"]
    out = tmp_path / "scored"
    assert run([*words, "--root", str(tmp_path / "data"), "--out", str(out)]) == 0
    found = dataset_of(out)
    assert found is not None
    assert [one.name for one in found.sequences] == list(made)
