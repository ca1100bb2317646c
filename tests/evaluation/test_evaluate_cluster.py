"""Evaluation on a Ray cluster: the results of one process, also after kills, and its refusals."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from tracked_worlds import Deadly, Keeper, Slow, timeless, walk, without_times, write_lsotb

from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import RequestError, RunError
from tirtrack.evaluation import jobs
from tirtrack.evaluation.runner import evaluate
from tirtrack.identity import versions

HERE = str(Path(__file__).parent)
without_warnings = pytest.mark.filterwarnings("ignore")  # of Ray, about itself


@pytest.fixture(scope="module", autouse=True)
def _importable_elsewhere() -> Generator[None]:
    """Processes of a cluster find the trackers of this folder."""
    before = os.environ.get("PYTHONPATH")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("PYTHONPATH", HERE if not before else f"{HERE}{os.pathsep}{before}")
        yield


@pytest.fixture
def world(tmp_path: Path) -> LabelledDataset:
    sequences = {"a_V_001": walk(9, 0), "b_D_001": walk(12, 2), "c_D_002": walk(7, 3)}
    return open_dataset(write_lsotb(tmp_path / "world", sequences))


@without_warnings
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_writes_the_same_even_if_its_processes_are_killed(
    workers_of_ray, tmp_path, world, workers
):
    trackers = [Slow("slow"), Keeper("one"), Keeper("two", fail_at=8)]
    evaluate(trackers, world, tmp_path / "here", resamples=50, missing="skip")
    killed, told = [], []
    names = [one.name for one in trackers]

    def kill(stage, done, total, note=""):
        told.append((done, total, note))
        if done and not killed:
            for process in workers_of_ray():
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    evaluate(trackers, world, tmp_path / "there", resamples=50, missing="skip", progress=kill,
             workers=workers, cluster="local")  # fmt: skip
    assert killed
    assert without_times(tmp_path / "there" / "results") == without_times(
        tmp_path / "here" / "results"
    )
    assert timeless(tmp_path / "there" / "result.json") == timeless(
        tmp_path / "here" / "result.json"
    )
    runs = [f"{name}, {one}" for one in ("b_D_001", "a_V_001", "c_D_002") for name in names]
    given = [note.splitlines() for _, _, note in told]  # the longest sequences first
    assert [len(lines) for lines in given] == [min(workers, 9 - ended) for ended in range(10)]
    assert list(dict.fromkeys(line for lines in given for line in lines)) == runs
    assert (told[0][:2], told[-1]) == ((0, 84), (84, 84, ""))


@without_warnings
@pytest.mark.usefixtures("ray_cluster")
def test_an_evaluation_goes_on_with_another_way_of_working(tmp_path, world, caplog):
    out = tmp_path / "out"
    evaluate([Keeper()], world, out, resamples=20)
    before = {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.txt")}
    (out / "results" / "keeper" / "b_D_001.txt").unlink()
    caplog.clear()
    told = []
    evaluate([Keeper()], world, out, resume=True, resamples=20, cluster="local",
             progress=lambda stage, done, total, note="": told.append(note))  # fmt: skip
    assert told == ["keeper, b_D_001", ""]
    after = {path: path.stat().st_mtime_ns for path in (out / "results").rglob("*.txt")}
    assert {path.name for path in after if after[path] != before[path]} == {
        "b_D_001.txt",
        "b_D_001_time.txt",
    }
    assert caplog.messages == ["b_D_001: the first box is small"]  # from the process of the cluster
    with pytest.raises(RequestError, match="begun with another seed"):
        evaluate([Keeper()], world, out, resume=True, seed=1, cluster="local")


@without_warnings
@pytest.mark.usefixtures("ray_cluster")
def test_relative_paths_mean_the_folder_where_the_command_started(tmp_path, world, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluate([Keeper()], "world", "out", resamples=20, cluster="local")
    assert (tmp_path / "out" / "results" / "keeper" / "a_V_001.txt").is_file()


@without_warnings
@pytest.mark.usefixtures("ray_cluster")
def test_a_tracker_that_ends_its_processes_ends_the_run_with_one_sentence(tmp_path, world):
    with pytest.raises(RunError, match="a task on the cluster that runs trackers died"):
        evaluate([Deadly()], world, tmp_path / "out", cluster="local")
    assert not (tmp_path / "out" / "result.json").exists()


def test_a_tracker_that_cannot_be_sent_is_refused(tmp_path, world):
    source = replace(Keeper(), fail_at=lambda: None)
    with pytest.raises(RequestError, match="keeper: cannot be sent to a worker process"):
        evaluate([source], world, tmp_path / "out", cluster="local")
    assert not (tmp_path / "out").exists()


# --- what a process of a cluster does first -------------------------------------------------------


@pytest.fixture
def process_of_a_cluster(tmp_path, monkeypatch):
    """This process, as if it served a cluster; as it was, afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "_evaluation_here", [])
    monkeypatch.setattr(jobs, "_loaded_here", {})
    logger = logging.getLogger("tirtrack")
    handlers = list(logger.handlers)
    yield
    logger.handlers[:], logger.propagate = handlers, True


@pytest.mark.usefixtures("process_of_a_cluster")
def test_a_tracker_of_another_evaluation_is_not_used_again(tmp_path, world):
    for number, (evaluation, step) in enumerate([("first", 0.0), ("second", 0.5)]):
        work = jobs._begin_on_cluster(tmp_path, evaluation, versions())
        source = Keeper(step=step)
        outcome = work(jobs.Job(source, world.sequences[0], tmp_path / str(number), 0))
        assert outcome.result.boxes[2, 0] - outcome.result.boxes[1, 0] == step
        again = jobs._begin_on_cluster(tmp_path, evaluation, versions())
        assert list(jobs._loaded_here) == ["keeper"]
        assert again is work


@pytest.mark.usefixtures("process_of_a_cluster")
def test_a_machine_without_the_folder_or_with_other_versions_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"cannot enter this folder.*that all machines share"):
        jobs._begin_on_cluster(tmp_path / "elsewhere", "one", versions())
    expected = {**versions(), "numpy": "0.9", "openvino-nightly": "1"}
    with pytest.raises(
        RunError,
        match=r"other versions \(numpy was 0\.9, now .*; openvino-nightly was 1, now None\)",
    ):
        jobs._begin_on_cluster(tmp_path, "one", expected)
