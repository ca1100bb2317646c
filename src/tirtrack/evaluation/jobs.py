"""The runs of an evaluation, one after the other, in worker processes, or on a Ray cluster.

A run that fails does not stop the others; its reason takes the place of its track. Runs are
independent of each other, so one worker and eight write the same boxes and scores, byte for byte;
only times differ.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from uuid import uuid4

from tirtrack.cluster import cluster_results
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import RunError, StorageError
from tirtrack.evaluation.one_run import run
from tirtrack.evaluation.outside import over
from tirtrack.evaluation.result_files import read_run
from tirtrack.evaluation.results import RESULTS_FOLDER, SequenceRun, is_written, write_track
from tirtrack.evaluation.starts import start_frame
from tirtrack.evaluation.tracker_sources import OnlineTracker, TrackerSource
from tirtrack.identity import other_versions
from tirtrack.progress import Progress
from tirtrack.workers import use_one_thread, working

_logger = logging.getLogger(__name__)
_STAGE = "evaluate"
LOGS_FOLDER = "logs"
_LOOK_EVERY_S = 0.2
# what a tracker, a decoder or a disk may raise; programming errors (TypeError, ...) pass
_FAILURES = (OSError, ValueError, RuntimeError, ArithmeticError, LookupError)


@dataclass(frozen=True)
class Job:
    """One run that is asked for.

    Attributes:
        source: source of the tracker.
        sequence: sequence, from one of its starts.
        out: folder of the evaluation.
        seed: seed for loading.
    """

    source: TrackerSource
    sequence: LabelledSequence
    out: Path
    seed: int

    @property
    def text(self) -> str:
        """Tracker and sequence."""
        return f"{self.source.name}, {self.sequence.name}"

    @property
    def rows(self) -> int:
        """Number of frames from its start on."""
        return len(self.sequence) - start_frame(self.sequence)

    @property
    def folder(self) -> Path:
        """Folder of the tracker's results."""
        return self.out / RESULTS_FOLDER / self.source.name

    @property
    def log(self) -> Path:
        """What a tracker from outside wrote to stderr."""
        return self.out / LOGS_FOLDER / self.source.name / f"{self.sequence.name}.txt"

    @property
    def box_file(self) -> Path:
        """File of the boxes, written last."""
        return self.folder / f"{self.sequence.name}.txt"

    @property
    def is_finished(self) -> bool:
        """Whether its files are there; without one of them the run is made again."""
        return is_written(self.box_file)


@dataclass(frozen=True)
class Outcome:
    """A finished job: its track, or why there is none; and the warnings of a worker."""

    tracker: str
    sequence: str
    result: SequenceRun | str
    remarks: tuple[tuple[str, str], ...] = ()  # cause and text of each


def kept(job: Job) -> Outcome:
    """The outcome of a run that was finished before.

    Raises:
        DatasetError: a file of it is damaged.
    """
    return Outcome(job.source.name, job.sequence.name, read_run(job.box_file, job.sequence))


def _attempt(
    job: Job, tracker: OnlineTracker, advance: Callable[[int], None] | None = None
) -> Outcome:
    try:
        with over(tracker, job.sequence, job.log) as sequence:
            track = run(tracker, sequence, advance=advance)
        write_track(job.folder, job.sequence.name, track, shift=job.sequence.shift)
    except StorageError:
        raise  # a full disk is not the fault of one sequence
    except _FAILURES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Outcome(job.source.name, job.sequence.name, reason)
    return Outcome(job.source.name, job.sequence.name, track)


def run_here(
    jobs: Sequence[Job], loaded: Mapping[str, OnlineTracker], progress: Progress
) -> list[Outcome]:
    """Outcomes of runs in this process, one after the other.

    Args:
        jobs: the runs.
        loaded: trackers that are loaded already, by name.
        progress: callback that is told of progress, in frames.

    Raises:
        StorageError: a result cannot be written.
    """
    total = sum(job.rows for job in jobs)
    done = 0
    outcomes = []
    further: dict[str, OnlineTracker] = {}  # of the runs after the first, one at a time
    for job in jobs:
        name = job.source.name
        if name not in loaded and name not in further:
            further = {name: job.source.load(job.seed)}

        def advance(rows: int, done: int = done, note: str = job.text) -> None:
            progress(_STAGE, done + rows, total, note)

        advance(0)
        outcomes.append(_attempt(job, {**loaded, **further}[name], advance))
        done += job.rows
        advance(job.rows)
    return outcomes


@dataclass(frozen=True)
class _Rows:
    """How far a worker is."""

    worker: int
    run: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.run} {self.done}/{self.total}"


# in a worker process: the trackers it has loaded, what was logged since the last outcome, and where
# the parent is told how far it is
_told_here: list[SimpleQueue[_Rows]] = []
_loaded_here: dict[str, OnlineTracker] = {}
_remarks_here: list[tuple[str, str]] = []


class _Remarks(logging.Handler):
    """Keeps warnings for the parent, the only process that can show them."""

    def emit(self, record: logging.LogRecord) -> None:
        _remarks_here.append((str(record.msg), record.getMessage()))


def _begin_worker(told: SimpleQueue[_Rows]) -> None:
    """In a worker: use one thread, and leave warnings to the parent."""
    _told_here[:] = [told]
    _keep_remarks()
    use_one_thread()


def _keep_remarks() -> None:
    """In a worker: warnings are for the parent."""
    logging.getLogger("tirtrack").addHandler(_Remarks(logging.WARNING))
    logging.getLogger("tirtrack").propagate = False


def _attempt_in_worker(job: Job) -> Outcome:
    def advance(rows: int) -> None:
        _told_here[0].put(_Rows(os.getpid(), job.text, rows, job.rows))

    advance(0)
    return _attempt_with_remarks(job, advance)


def _attempt_with_remarks(job: Job, advance: Callable[[int], None] | None = None) -> Outcome:
    """In a worker: the outcome, by the tracker that is loaded here, with the warnings."""
    if job.source.name not in _loaded_here:
        _loaded_here[job.source.name] = job.source.load(job.seed)
    outcome = _attempt(job, _loaded_here[job.source.name], advance)
    remarks = tuple(dict.fromkeys(_remarks_here))
    _remarks_here.clear()
    return replace(outcome, remarks=remarks)


def _warn(job: Job, outcome: Outcome) -> None:
    """In the parent: the warnings of a worker, each with its sequence."""
    for cause, remark in outcome.remarks:
        _logger.warning("%s: %s", job.sequence.name, remark, extra={"cause": cause})


def _longest_first(jobs: Sequence[Job]) -> list[int]:
    """Places of jobs in an order in which no worker starts a long one when the others are done."""
    return sorted(range(len(jobs)), key=lambda index: -jobs[index].rows)


def run_in_workers(jobs: Sequence[Job], workers: int, progress: Progress) -> list[Outcome]:
    """Outcomes of runs in worker processes, in the order of ``jobs``.

    Args:
        jobs: the runs.
        workers: number of processes, each of one thread.
        progress: callback that is told of progress, in frames, with a line for each worker.

    Raises:
        RunError: a process died.
        StorageError: a result cannot be written.
    """
    total = sum(job.rows for job in jobs)
    done = 0
    outcomes: dict[int, Outcome] = {}
    order = _longest_first(jobs)
    ordered = [jobs[index] for index in order]
    told: SimpleQueue[_Rows] = multiprocessing.get_context("spawn").SimpleQueue()
    begin = partial(_begin_worker, told)
    with working(_attempt_in_worker, ordered, workers, begin=begin) as futures:
        index_of = dict(zip(futures, order, strict=True))
        running: dict[int, _Rows] = {}
        waiting = set(futures)
        try:
            while waiting:
                ended, waiting = wait(waiting, _LOOK_EVERY_S, FIRST_COMPLETED)
                while not told.empty():
                    rows = told.get()
                    running[rows.worker] = rows
                for future in ended:
                    index = index_of[future]
                    outcomes[index] = future.result()
                    _warn(jobs[index], outcomes[index])
                    done += jobs[index].rows
                finished = {jobs[index].text for index in outcomes}
                lines = [one for one in running.values() if one.run not in finished]
                now = done + sum(one.done for one in lines)
                progress(_STAGE, now, total, "\n".join(map(str, lines)))
        except BrokenProcessPool as error:
            raise RunError(
                f"a worker process died after {len(outcomes)} of {len(jobs)} runs",
                jobs[0].out,
                "memory may have run out: use fewer --workers",
            ) from error
    return [outcomes[index] for index in range(len(jobs))]


def run_on_cluster(
    jobs: Sequence[Job], workers: int, progress: Progress, expected: Mapping[str, str]
) -> list[Outcome]:
    """Outcomes of runs on the cluster of :func:`tirtrack.cluster.connected`, in the order of
    ``jobs``.

    Every machine of it needs this process's folder, the data and the weights under the same paths.

    Args:
        jobs: the runs.
        workers: number of runs at once, a core each.
        progress: callback that is told of every finished run, in frames, with a line for each run
            that is given out; how far that is stays on its machine.
        expected: versions of Python and packages here, which every machine must have.

    Raises:
        RunError: a run was lost again and again, or a machine lacks the folder or has other
            versions.
        StorageError: a result cannot be written.
    """
    total, done = sum(job.rows for job in jobs), 0
    order = _longest_first(jobs)
    ordered = [replace(jobs[index], out=jobs[index].out.absolute()) for index in order]
    make = partial(_begin_on_cluster, Path.cwd(), uuid4().hex, expected)
    outcomes: dict[int, Outcome] = {}
    waiting = enumerate(ordered)
    running = dict(islice(waiting, workers))
    progress(_STAGE, 0, total, _lines(running))
    for place, outcome in cluster_results(
        make, ordered, workers, task="runs trackers", where=str(jobs[0].out)
    ):
        job = running.pop(place)
        running |= islice(waiting, 1)
        outcomes[order[place]] = outcome
        _warn(job, outcome)
        done += job.rows
        progress(_STAGE, done, total, _lines(running))
    return [outcomes[index] for index in range(len(jobs))]


def _lines(running: Mapping[int, Job]) -> str:
    return "\n".join(job.text for job in running.values())


# in a process of a cluster, which may serve several evaluations: the one that it works for
_evaluation_here: list[str] = []


def _begin_on_cluster(
    folder: Path, evaluation: str, expected: Mapping[str, str]
) -> Callable[[Job], Outcome]:
    """In a process of a cluster: work in the folder of the one that asks, for its evaluation."""
    if _evaluation_here != [evaluation]:
        machine = f"machine {platform.node()} of the cluster"
        try:
            os.chdir(folder)
        except OSError as error:
            raise RunError(
                f"{machine} cannot enter this folder ({error.strerror})",
                folder,
                "start the command in a folder that all machines share, with data and weights",
            ) from error
        if others := other_versions(expected):
            raise RunError(
                f"{machine} has other versions ({others})",
                fix="results would be mixed: install the same on all machines, then --resume",
            )
        if not _evaluation_here:
            _keep_remarks()
        _loaded_here.clear()
        _evaluation_here[:] = [evaluation]
    return _attempt_with_remarks
