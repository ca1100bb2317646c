"""What lies in a folder and is not read is counted."""

from __future__ import annotations

import os
from pathlib import Path

from tirtrack.unused_files import unused_in_words, unused_names


def write(root: Path, *names: str) -> list[Path]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    return [root / name for name in names]


def test_files_and_the_outermost_folders_that_nothing_reads_are_named(tmp_path):
    used = write(tmp_path, "a/img/1.png", "a/boxes.txt")
    write(
        tmp_path, "a/visible/1.png", "a/visible/2.png", "notes/x/y.txt", "readme.md", "a/img/b.db"
    )
    assert unused_names(tmp_path, used) == ["notes/", "readme.md", "visible/", "b.db"]


def test_hidden_files_do_not_count(tmp_path):
    used = write(tmp_path, "a.png")
    write(tmp_path, ".DS_Store", ".cache/x")
    assert unused_names(tmp_path, used) == []


def test_files_used_elsewhere_change_nothing(tmp_path):
    here, there = tmp_path / "here", tmp_path / "here2"
    write(here, "a.png")
    used, _ = write(there, "b.png", "c.png")
    assert unused_names(here, [used]) == ["a.png"]


def test_paths_may_be_relative(tmp_path, monkeypatch):
    write(tmp_path, "a/1.png", "b/1.png")
    monkeypatch.chdir(tmp_path)
    assert unused_names(Path(), [Path("a/1.png")]) == ["b/"]
    assert unused_names(Path(os.curdir) / "a", [Path("a/1.png")]) == []


def test_linked_folder_that_is_read_is_used(tmp_path):
    write(tmp_path, "store/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").symlink_to(tmp_path / "store")
    assert unused_names(tmp_path / "data", [tmp_path / "data" / "a" / "1.png"]) == []


def test_counts_are_of_all_and_names_of_the_most_frequent():
    names = ["visible/"] * 3 + ["init.txt"] * 2 + ["b", "a", "c"]
    assert unused_in_words(names) == (
        "5 files and 3 folders (visible/ 3 times, init.txt 2 times, a, ...)"
    )
    assert unused_in_words(["x/"]) == "1 folder (x/)"
