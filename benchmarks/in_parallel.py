"""Jobs of a benchmark in processes of one thread each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import as_completed
from typing import TypeVar

from tirtrack.workers import THREADS, working

Result = TypeVar("Result")


def in_parallel(
    jobs: Iterable[Callable[[], Result]],
    workers: int,
    stage: str,
    *,
    ended: Callable[[Result], str] = str,
) -> None:
    """Run jobs in processes of one thread each; tell of each that ends. The processes are gone when
    this one is, so that a command that is started again works alone.

    Args:
        jobs: picklable functions.
        workers: number of processes.
        stage: word that each line begins with.
        ended: function that gets each result as it comes, in this process, and names it.

    Raises:
        Exception: a job or ``ended`` raised it; jobs that had not ended are not run to their end.
    """
    jobs = list(jobs)
    began = time.monotonic()
    for name in THREADS:
        os.environ[name] = "1"
    with working(_result_of, jobs, workers) as running:
        for count, future in enumerate(as_completed(running), 1):
            name, spent = ended(future.result()), time.monotonic() - began
            print(f"{stage} {count}/{len(jobs)} {name} {spent:.0f} s", file=sys.stderr)


def _result_of(job: Callable[[], Result]) -> Result:
    return job()
