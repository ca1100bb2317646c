"""Mining is measured: a linked rig is what it says, and figures are refused on a busy machine."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import mining
from benchmarks.interleaved import Pace
from benchmarks.machine import BusyMachineError, Usage, Watch
from tirtrack.errors import RequestError, RunError
from tirtrack.pairs import open_pairs

QUIET = Watch(read=lambda: None, assume_idle=True)


@pytest.fixture(scope="module")
def nine_pairs(write_start_and_pairs, tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_start_and_pairs(root)
    return root


@pytest.fixture(autouse=True)
def _small_pictures(nine_pairs, monkeypatch):
    """In place of the world, which takes a minute to render."""
    monkeypatch.setattr(mining, "_world", lambda: nine_pairs / "pairs")


def test_a_rig_of_links_has_all_its_pairs_and_takes_no_room(tmp_path):
    rig = mining.linked_rig(tmp_path, 25, each=10)
    source = open_pairs(rig)
    assert [len(one.indices) for one in source.recordings().values()] == [10, 10, 5]
    assert source[0].tir.shape == (90, 120)
    files = list(rig.rglob("*.*"))
    assert len(files) == 50
    assert (
        len({path.stat().st_ino for path in files}) == 18
    )  # of nine pairs: a recording has those of one


def test_a_recording_of_links_is_one_bit_depth(tmp_path, nine_pairs):
    rig = mining.linked_rig(tmp_path, 6, each=2)
    links = [path.stat().st_ino for path in sorted(rig.glob("*/tir/*"))]
    takes = [path.name for path in sorted((tmp_path / "originals").iterdir())]
    of_take = {
        path.stat().st_ino: take
        for take in takes
        for path in (tmp_path / "originals" / take / "tir").iterdir()
    }
    assert [of_take[one] for one in links] == [take for take in takes for _ in range(2)]


def test_a_rig_may_be_of_recordings_that_are_given(tmp_path, nine_pairs):
    rig = mining.linked_rig(tmp_path / "rig", 4, recordings=nine_pairs / "pairs")
    assert len(open_pairs(rig)) == 4
    with pytest.raises(RequestError, match="holds no recordings with rgb and tir"):
        mining.linked_rig(tmp_path / "none", 4, recordings=nine_pairs)


def test_a_run_that_fails_is_said(tmp_path):
    with pytest.raises(RunError, match=r"the run failed .*there is no such folder"):
        mining.in_process(tmp_path / "none", 1)


def test_mining_is_timed_beside_decoding_and_two_processes_beside_one(tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "mine", lambda rig, workers, **_: mining.decode(rig))
    monkeypatch.setattr(mining.os, "cpu_count", lambda: 2)
    found = mining.measure_speed(tmp_path, 3, 4, Pace(15, 1, 0), QUIET)
    assert found["milliseconds"].keys() == {"decode", "mine", "one process", "two processes"}
    assert 0.5 < found["speed of mining over decoding"]["processor"]["median"] < 2
    of_decoding, of_one = found["goals"]
    assert "speed of mining over plain decoding" in of_decoding
    assert of_decoding.endswith("at least 0.7")
    assert of_one.endswith("at least 1.6")


def test_processes_of_ray_are_timed_beside_one_of_it_and_one_without(tmp_path, monkeypatch):
    asked = []

    def mine(rig, workers, cluster=None):
        asked.append((workers, cluster))
        mining.decode(rig)

    monkeypatch.setattr(mining, "mine", mine)
    found = mining.measure_cluster(tmp_path, 3, Pace(15, 1, 0), QUIET)
    assert {*asked} == {(1, None), (1, "local"), (2, "local")}
    assert found["milliseconds, wall"].keys() == {"without Ray", "one of Ray", "two of Ray"}
    for over in ("one of it", "one without"):
        assert 0.5 < found[f"speed of two processes of Ray over {over}"]["median"] < 2


def test_mining_is_timed_with_and_without_freed_memory_that_is_kept(tmp_path, monkeypatch):
    begun = []

    def in_process(rig, workers, variables):
        assert not (rig.parent / "shards").exists()
        (rig.parent / "shards").mkdir()
        begun.append(variables)
        mining.decode(rig)

    monkeypatch.setattr(mining, "in_process", in_process)
    monkeypatch.setattr(mining, "keep_freed_memory", lambda: True)
    found = mining.measure_freed(tmp_path, 3, Pace(15, 1, 0), QUIET)
    assert begun.count({}) == begun.count({"GLIBC_TUNABLES": ""}) == 15
    assert found["speed with freed memory kept over without"]["median"] > 0


def test_where_freed_memory_is_not_kept_nothing_is_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "keep_freed_memory", lambda: False)
    with pytest.raises(RequestError, match="freed memory is not kept here"):
        mining.measure_freed(tmp_path, 3, Pace(15, 1, 0), QUIET)


def test_one_core_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(mining.os, "cpu_count", lambda: 1)
    with pytest.raises(RequestError, match="this machine has one core"):
        mining.measure_speed(tmp_path, 1, 1, Pace(15, 1, 0), QUIET)


def test_no_figure_is_given_while_others_work(tmp_path, monkeypatch):
    monkeypatch.setattr(mining, "mine", lambda rig, workers, **_: None)
    looks = iter([Usage(0, 0, 0), Usage(10, 15, 5)])
    with pytest.raises(BusyMachineError, match=r"1\.00 of a core"):
        mining.measure_speed(tmp_path, 1, 1, Pace(15, 1, 0), Watch(read=looks.__next__))


def test_memory_is_that_of_a_process_of_its_own(tmp_path):
    found = mining.measure_memory(tmp_path, [12, 24])
    assert [one["pairs"] for one in found["runs"]] == [12, 24]
    assert all(20 < one["peak_mb"] < 2000 for one in found["runs"])
    assert found["goals"][0].endswith("at most 1.1")
    assert list(tmp_path.iterdir()) == []


def test_memory_is_measured_with_shards_of_a_given_size(tmp_path, monkeypatch):
    asked = mining.parser().parse_args(["memory", "--counts", "24", "--shard-mb", "1"])
    seen = []

    def in_process(rig, workers, variables=None, shard_mb=0):
        seen.append(shard_mb)
        return mining.Once(24, 1, 1.0, 80.0, 0.0, 1.0, 2)

    monkeypatch.setattr(mining, "in_process", in_process)
    mining.measured(asked, tmp_path)
    assert seen == [1]


def test_a_large_run_tells_its_speed_and_its_size(tmp_path):
    found = mining.measure_large(tmp_path, 24, 1, QUIET)
    assert found["run"]["pairs"] == 24
    assert found["pairs a second"] > 0
    assert 5 < found["kilobytes a pair"] < 100


def test_a_large_run_that_was_stopped_goes_on_and_its_time_is_that_of_all_shards(tmp_path):
    folder = tmp_path / "large"
    first = mining.measure_large(folder, 24, 1, QUIET)["run"]
    (folder / "shards" / "index.json").unlink()
    next((folder / "shards").glob("*.tar")).unlink()
    (folder / "seconds.json").write_text("1000.0")
    linked = (folder / "rig").stat().st_mtime_ns
    second = mining.measure_large(folder, 24, 1, QUIET)["run"]
    assert second["seconds"] > 1000
    assert {**second, "seconds": 0, "peak_mb": 0} == {**first, "seconds": 0, "peak_mb": 0}
    assert (folder / "rig").stat().st_mtime_ns == linked
    assert mining.measure_large(folder, 24, 1, QUIET)["run"]["seconds"] == second["seconds"]
    assert mining.measure_large(folder, 12, 1, QUIET)["run"]["pairs"] == 12


def test_a_large_run_beside_other_work_gives_no_figures_when_it_is_asked_again(tmp_path):
    looks = iter([Usage(0, 0, 0), Usage(9, 9, 9), Usage(20, 30, 10)])
    with pytest.raises(BusyMachineError, match="more than"):
        mining.measure_large(tmp_path, 12, 1, Watch(read=looks.__next__))
    with pytest.raises(RunError, match="nothing counts that says how long they took"):
        mining.measure_large(tmp_path, 12, 1, QUIET)


def test_costs_add_up():
    prices = mining.Prices(core_hour=1, gigabyte_month=2, thousand_writes=3, thousand_reads=4)
    found = mining.costs(1e6, pairs_a_second=100, kilobytes=256, prices=prices)
    assert found["core hours"] == pytest.approx(1e4 / 3600)
    assert found["cores for one day"] == pytest.approx(1e4 / 3600 / 24)
    assert (found["gigabytes"], found["shards"]) == (256, 1000)
    assert found["$ cores"] == found["core hours"]
    assert found["$ reads, a file each"] == 8000
    assert found["$ writes, two a shard"] == 6
    assert found["$ a month of storage"] == 512


def test_the_command_prints_costs_and_asks_for_what_is_missing(tmp_path, monkeypatch, capsys):
    out = tmp_path / "cost.json"
    words = ["mining", "cost", "--pairs-a-second", "100", "--kilobytes", "75", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    assert mining.main() == ()
    assert "  gigabytes: 75.00" in capsys.readouterr().out.splitlines()
    assert json.loads(out.read_text())["result"]["100 million pairs"]["gigabytes"] == 7500
    monkeypatch.setattr(sys, "argv", words[:4])
    with pytest.raises(RequestError, match="give --pairs-a-second and --kilobytes"):
        mining.main()
