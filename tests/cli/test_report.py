"""``tirtrack report``: its files, its messages, its exit codes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tirtrack.cli.app import run


@pytest.fixture(scope="module")
def made():
    file = Path(__file__).parent.parent / "report" / "made_results.py"
    specification = importlib.util.spec_from_file_location("made_results_of_cli", file)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_page_goes_to_a_numbered_folder_and_its_path_is_the_output(made, here, capsys):
    made.write(here / "evaluation", made.result())
    assert run(["report", "evaluation"]) == 0
    assert run(["report", "evaluation"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (first, second) == ("runs/report-001/report.html", "runs/report-002/report.html")
    assert "tirtrack report evaluation" in Path(first).read_text(encoding="utf-8")
    assert Path(first).with_name("result.json").is_file()


def test_page_that_was_made_with_options_names_them_in_its_command(made, here):
    made.write(here / "evaluation", made.result())
    words = ["report", "evaluation", "--baseline", "distilled", "--control", "nano-rgb"]
    assert run([*words, "--out", "page.html"]) == 0
    assert f"tirtrack {' '.join(words)}" in Path("page.html").read_text(encoding="utf-8")


def test_frames_are_found_where_the_evaluation_found_them(made, here, capsys):
    made.evaluated(here / "data", here / "evaluation")
    assert run(["report", "evaluation", "--out", "page.html", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == {"page": "page.html", "numbers": "result.json"}
    assert "boxes of annotation" in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nowhere"], 2, 'nowhere: no such file or folder; give a folder that "tirtrack evaluate"'),
        (
            ["empty"],
            2,
            "empty: holds no result.json, and is no run folder of distill; give a folder that "
            '"tirtrack evaluate", "score" or "demo" wrote, or a run folder of "tirtrack distill"',
        ),
        (
            ["several"],
            2,
            "several: holds no result.json; give one or more of its folders: "
            "several/lsotb-tir, several/ptb-tir",
        ),
        (["evaluation", "--baseline", "nano-rbg"], 2, 'there is no tracker "nano-rbg"; did you me'),
        (["evaluation", "--control", "nano-tri"], 2, 'there is no tracker "nano-tri"; did you mea'),
        (["evaluation", "--dataset", "nowhere"], 2, "nowhere: no such folder; give the folder of"),
        (["evaluation", "--out", "there.html"], 2, "there.html: exists already; choose another"),
        (["evaluation", "--root", "."], 2, "--root: needs the name of a data set; give --dataset"),
    ],
    ids=[
        *("no-folder", "no-result", "folder-of-folders", "no-tracker", "no-control", "no-dataset"),
        *("exists", "root"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_writes_nothing(
    made, here, capsys, words, code, sentence
):
    made.write(here / "evaluation", made.result())
    (here / "empty").mkdir()
    for protocol in ("lsotb-tir", "ptb-tir"):  # as score writes several
        made.write(here / "several" / protocol, made.result())
    (here / "there.html").write_text("mine", encoding="utf-8")
    before = sorted(here.rglob("*"))
    assert run(["report", *words]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(here.rglob("*")) == before
    assert (here / "there.html").read_text(encoding="utf-8") == "mine"


def test_a_full_disk_leaves_no_page_and_one_sentence(made, here, capsys, monkeypatch):
    made.write(here / "evaluation", made.result())
    real = Path.write_bytes

    def full(path, content):
        if path.suffix == ".html":
            real(path, content[: len(content) // 2])
            raise OSError(28, "No space left on device", str(path))
        return real(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(["report", "evaluation", "--out", "page.html"]) == 1
    captured = capsys.readouterr()
    assert captured.err == (
        "tirtrack: page.html: could not be written (No space left on device); "
        "free some space or choose another --out\n"
    )
    assert not list(here.glob("*.html"))
    assert not list(here.glob(".*"))
