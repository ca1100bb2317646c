"""``tirtrack cache``: what it says, and that it deletes only what lies in the cache."""

from __future__ import annotations

import json

import pytest

from tirtrack.cli.app import run


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TIRTRACK_CACHE", str(folder))
    return folder


def fill(cache):
    (cache / "worlds" / "demo").mkdir(parents=True)
    (cache / "worlds" / "demo" / "a.bin").write_bytes(b"x" * 1500)
    (cache / "worlds" / "b.bin").write_bytes(b"x" * 500)
    (cache / "graphs").mkdir()
    (cache / "graphs" / "c.onnx").write_bytes(b"x" * 10)


def test_an_empty_cache_says_so(cache, capsys):
    assert run(["cache", "show"]) == 0
    assert capsys.readouterr().out == f"{cache}: empty\n"


def test_show_counts_files_and_bytes_by_kind(cache, capsys):
    fill(cache)
    assert run(["cache", "show"]) == 0
    first, graphs, worlds = capsys.readouterr().out.splitlines()
    assert first == f"{cache}: 2.0 kB"
    assert graphs.split() == ["graphs", "1", "files", "10", "bytes"]
    assert worlds.split() == ["worlds", "2", "files", "2.0", "kB"]


def test_show_as_json(cache, capsys):
    fill(cache)
    assert run(["cache", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["size_bytes"] == 2010
    assert document["kinds"][1] == {"kind": "worlds", "files": 2, "size_bytes": 2000}


def test_clear_empties_the_cache_and_touches_nothing_beside_it(cache, tmp_path, capsys):
    fill(cache)
    beside = tmp_path / "beside.txt"
    beside.write_text("stays", encoding="utf-8")
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"{cache}: 2.0 kB freed\n"
    assert list(cache.iterdir()) == []
    assert beside.read_text(encoding="utf-8") == "stays"


def test_clear_of_a_cache_that_was_never_made_is_no_error(cache, capsys):
    assert run(["cache", "clear", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["freed_bytes"] == 0
