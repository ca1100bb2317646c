"""Figures and tables as files for papers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tirtrack.cli.app import run
from tirtrack.errors import RequestError
from tirtrack.files import MARKER
from tirtrack.report import build_report
from tirtrack.report.build import evaluation_section


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*.*"))
        if file.is_file() and not file.name.startswith(".")
    }


def test_export_holds_every_figure_and_table_of_the_page(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    build_report([folder], tmp_path / "page.html", export=tmp_path / "paper")
    section = evaluation_section(folder)
    found = contents(tmp_path / "paper")
    assert set(found) == {
        *(f"figures/{one.name}.{kind}" for one in section.pictures for kind in ("pdf", "svg")),
        *(f"tables/{one.name}.{kind}" for one in section.tables for kind in ("csv", "tex")),
    }
    names = {one.name for one in section.pictures}
    assert names == {
        "curve_success", "curve_precision", "curve_norm_precision", "wins", "subset_radar",
        "subset_bars", "off_target", "reliability",
    }  # fmt: skip
    for name, content in found.items():
        if name.endswith(".pdf"):
            assert content.startswith(b"%PDF-")
        if name.endswith(".svg"):
            assert b"<svg" in content
            assert b"var(--" not in content  # colours for paper, whatever the reader prefers


def test_same_numbers_give_the_same_bytes(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    for name in ("one", "two"):
        build_report([folder], tmp_path / f"{name}.html", export=tmp_path / name, force=True)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_several_evaluations_have_their_numbers_before_the_names(made, tmp_path):
    folders = [made.scored(tmp_path / f"e{k}") for k in range(2)]
    build_report(folders, tmp_path / "page.html", export=tmp_path / "paper")
    names = {name for name in contents(tmp_path / "paper") if "curve_success" in name}
    assert names == {f"figures/{k}_curve_success.{kind}" for k in (1, 2) for kind in ("pdf", "svg")}


def test_an_export_that_exists_is_replaced_only_by_force(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    build_report([folder], tmp_path / "one.html", export=tmp_path / "paper")
    (tmp_path / "paper" / "mine.txt").write_text("mine")
    with pytest.raises(RequestError, match="paper: exists already; choose another --export, or"):
        build_report([folder], tmp_path / "two" / "two.html", export=tmp_path / "paper")
    assert not (tmp_path / "two" / "two.html").exists()
    build_report([folder], tmp_path / "one.html", export=tmp_path / "paper", force=True)
    assert not (tmp_path / "paper" / "mine.txt").exists()


def test_an_export_that_is_refused_leaves_no_folder_of_a_page(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = made.scored(tmp_path / "e")
    (tmp_path / "paper").write_text("mine")
    with pytest.raises(RequestError, match="paper: exists already"):
        build_report([folder], export=tmp_path / "paper")
    assert not (tmp_path / "runs").exists()


def test_an_export_never_replaces_the_data_set(made, tmp_path):
    folder = made.evaluated(tmp_path / "data", tmp_path / "e")
    (tmp_path / "data" / MARKER).touch()  # a world that tirtrack made
    with pytest.raises(RequestError, match="holds what is to be read"):
        build_report([folder], tmp_path / "page.html", export=tmp_path / "data", force=True)
    assert (tmp_path / "data" / "made").is_dir()


def test_a_score_of_visible_frames_has_its_tracker_in_the_file(made, tmp_path):
    folder = made.scored(tmp_path / "e")
    build_report([folder], tmp_path / "page.html", export=tmp_path / "paper")
    lines = (tmp_path / "paper" / "tables" / "scores.csv").read_text().splitlines()[1:]
    names = ("nano-rgb", "distilled", "tir_only")
    assert [line.split(",")[0] for line in lines] == [name for name in names for _ in range(2)]


def test_command_says_where_the_export_is(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made.scored(tmp_path / "e")
    line = ["report", "e", "--out", "page.html", "--export", "paper", "--json"]
    assert run(line) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == {"page": "page.html", "numbers": "result.json", "export": "paper"}
    assert (tmp_path / "paper" / "tables" / "sequences.csv").is_file()
    assert run([*line[:4], "--export", "paper", "--force"]) == 0
