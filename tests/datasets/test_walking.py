"""Walking through linked folders."""

from __future__ import annotations

from pathlib import Path

from tirtrack.datasets.walking import walk


def test_linked_folders_are_walked_under_the_name_of_the_link(tmp_path: Path) -> None:
    (tmp_path / "there" / "inner").mkdir(parents=True)
    (tmp_path / "there" / "inner" / "a.txt").touch()
    (tmp_path / "here").mkdir()
    for name in ("one", "two"):
        (tmp_path / "here" / name).symlink_to(tmp_path / "there")
    found = dict(walk(tmp_path / "here"))
    for name in ("one", "two"):
        assert found[tmp_path / "here" / name / "inner"] == ["a.txt"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "a").symlink_to(tmp_path / "a")
    folders = [folder.relative_to(tmp_path).as_posix() for folder, _ in walk(tmp_path)]
    assert folders == [".", "a", "a/b", "b", "b/a"]
