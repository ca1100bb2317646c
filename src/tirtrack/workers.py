"""Worker processes that are gone when their work ends, and when their parent dies.

Only the parent reacts to Ctrl-C and SIGTERM, even if they reach the whole group: workers never
receive them. The parent kills its workers whatever ends the block, and a worker whose parent was
killed exits by itself. So nothing that a worker writes may depend on a request to stop
(:func:`tirtrack.files.atomic_path`).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

from tirtrack.errors import RequestError, RunError
from tirtrack.freed_memory import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")
_log = logging.getLogger(__name__)
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that say how many threads a new process computes with."""


def check_workers(workers: int) -> None:
    """Refuse a number of processes that does no work.

    Raises:
        RequestError: the number is below 1.
    """
    if workers < 1:
        raise RequestError(f"workers must be at least 1, got {workers}")


def results_of(
    make: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    workers: int,
    *,
    task: str,
    where: str,
) -> Iterator[tuple[int, Result]]:
    """The place of each item and its result, as it ends: in order if one process does them all.

    Args:
        make: function that makes the function of an item; called once in each process that works.
        items: picklable arguments.
        workers: number of processes, one thread each; 1 works in this process, and so does what
            cannot be sent to another one.
        task: what is done to the items, such as "follows boxes", for messages.
        where: what the items belong to, for messages.

    Raises:
        RunError: a worker process died.
    """
    workers = min(workers, len(items))
    if workers > 1 and _can_be_sent(make, task):
        begin = partial(_begin_worker, make)
        try:
            with working(_result_in_worker, items, workers, begin=begin) as futures:
                place_of = {future: place for place, future in enumerate(futures)}
                for future in as_completed(futures):
                    yield place_of[future], future.result()
        except BrokenProcessPool as error:
            fix = "memory may have run out: use fewer --workers"
            raise RunError(f"a worker process that {task} died", where, fix) from error
    elif items:
        yield from enumerate(map(make(), items))


def why_not_sent(value: Any) -> Exception | None:
    """Why another process cannot be given a value; ``None`` if it can."""
    try:
        ForkingPickler.dumps(value)
    except Exception as error:  # noqa: BLE001 - each object that cannot be sent says so differently
        return error
    return None


def _can_be_sent(make: Callable[[], Any], task: str) -> bool:
    """Whether another process can be given what it works with; said if not."""
    error = why_not_sent(make)
    if error is not None:
        _log.warning("a single process %s, whatever the number of workers: %s", task, error)
    return error is None


# in a worker process: what makes the function of an item, at the first item, so that its errors are
# those of the item
_make_here: list[Callable[[], Callable[[Any], Any]]] = []


def _begin_worker(make: Callable[[], Callable[[Any], Any]]) -> None:
    use_one_thread()
    _make_here[:] = [cache(make)]


def _result_in_worker(item: Any) -> Any:
    return _make_here[0]()(item)


@contextmanager
def working(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
    *,
    begin: Callable[[], None] | None = None,
) -> Iterator[list[Future[Result]]]:
    """Futures of ``function(item)``, in the order of ``items``, from worker processes.

    Args:
        function: function that is importable by name, as the workers are new processes.
        items: picklable arguments.
        workers: number of processes.
        begin: function that is called first in each worker.
    """
    others = set(multiprocessing.active_children())
    # killed workers delete nothing, so their temporary files lie in a folder of this process
    scratch = tempfile.TemporaryDirectory(prefix="tirtrack-workers-", ignore_cleanup_errors=True)
    with scratch as temporary:
        pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(begin, temporary),
        )
        try:
            with _children_ignore_stops():
                futures = [pool.submit(function, item) for item in items]
            yield futures
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            pool.shutdown(cancel_futures=True)
            raise
        pool.shutdown()


def use_one_thread() -> None:
    """Keep the numbers of this process, a worker, to one thread."""
    for name in THREADS:
        os.environ[name] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@contextmanager
def _children_ignore_stops() -> Iterator[None]:
    """Processes started in this block never receive Ctrl-C or SIGTERM, not even while they start.

    Blocking of a signal is inherited; a signal that comes meanwhile reaches this process when the
    block ends.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[[], None] | None, temporary: str) -> None:
    tempfile.tempdir = temporary
    keep_freed_memory()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    if begin is not None:
        begin()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
