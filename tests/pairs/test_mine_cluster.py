"""Mining on a Ray cluster: the same bytes with one process and two, and after a kill."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tirtrack.errors import RequestError, RunError
from tirtrack.files import sole_writer
from tirtrack.pairs import mine, mine_pairs, open_pairs


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def rig(tmp_path, write_images) -> Path:
    """Recordings that fill four shards of 50 kB."""
    root = tmp_path / "rig"
    for name in ("a", "b", "c", "d"):
        write_images(root / name, ["1", "2", "3", "4", "5"])
    return root


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(mine, "MB", 50_000)


@pytest.mark.filterwarnings("ignore")  # of Ray, about itself
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_writes_the_same_bytes_even_if_its_processes_are_killed(
    workers_of_ray, tmp_path, rig, workers
):
    here = mine_pairs(rig, tmp_path / "here", shard_mb=1)
    assert len(here.shards) > 3
    killed = []

    def kill(stage, done, total, note=""):
        if stage == "mining pairs" and done and not killed:
            for process in workers_of_ray():
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    there = mine_pairs(rig, tmp_path / "there", shard_mb=1, workers=workers, cluster="local",
                       progress=kill)  # fmt: skip
    assert killed
    assert there == here
    assert content(tmp_path / "there") == content(tmp_path / "here")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("ray_cluster")
def test_an_error_on_a_cluster_is_that_of_one_process(tmp_path, rig):
    def remove(stage, done, total, note=""):
        if stage == "mining pairs" and done == 0:
            (rig / "b" / "rgb" / "2.png").unlink()

    with pytest.raises(RunError, match="rig/b: has changed while it was mined"):
        mine_pairs(rig, tmp_path / "out", shard_mb=1, cluster="local", progress=remove)


def test_recordings_that_only_this_machine_holds_are_not_sent_to_others(tmp_path, rig):
    with pytest.raises(RequestError, match="copied to this machine"):
        mine_pairs(f"file://{rig}", tmp_path / "out", cluster="auto")
    assert not (tmp_path / "out").exists()


# --- one process at a time ------------------------------------------------------------------------


def test_two_runs_never_write_into_one_folder(tmp_path, rig):
    out = tmp_path / "out"
    mine_pairs(rig, out, shard_mb=1)
    before = content(out)
    with sole_writer(out):
        for settings in ({"resume": True}, {"force": True}):
            with pytest.raises(RequestError, match="another process writes there"):
                mine_pairs(rig, out, shard_mb=1, **settings)
    assert content(out) == before
    mine_pairs(rig, out, shard_mb=1, resume=True)


def test_a_folder_is_held_while_its_shards_are_made(tmp_path, rig):
    out, refused = tmp_path / "out", []

    def second(stage, done, total, note=""):
        if stage == "mining pairs" and done == 0:
            with pytest.raises(RequestError, match="another process writes there"):
                mine_pairs(rig, out, shard_mb=1, resume=True)
            refused.append(done)

    mine_pairs(rig, out, shard_mb=1, progress=second)
    assert refused == [0]
    assert len(open_pairs(out)) == 20
