"""Work on a Ray cluster: the items and results of :func:`tirtrack.workers.results_of`.

A task is one item, sent again where the process or machine that worked on it died. Ray is an extra
(``cluster``) and imported when it is asked for; its reports of use are switched off.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from tirtrack.errors import RequestError, RunError
from tirtrack.freed_memory import keep_freed_memory
from tirtrack.workers import use_one_thread

Item = TypeVar("Item")
Result = TypeVar("Result")
LOCAL = "local"
"""Address that starts a cluster on this machine, and ends it with the work."""
NO_TELEMETRY = {"RAY_USAGE_STATS_ENABLED": "0"}
_TRIES_AGAIN = 3
_ANSWERS_WITHIN_S = 10.0


@contextmanager
def connected(address: str, workers: int) -> Iterator[None]:
    """A cluster for :func:`cluster_results`, as long as the block lasts.

    A connection that this process has already is used, and stays.

    Args:
        address: address as Ray takes it (``auto``, ``HOST:PORT``, ``ray://HOST:PORT``), or
            :data:`LOCAL`.
        workers: number of processes that :data:`LOCAL` may use.

    Raises:
        RequestError: Ray is not installed, or no cluster answers.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    own = {"num_cpus": workers, "include_dashboard": False} if address == LOCAL else {}
    try:
        if ":" in address:  # Ray would try for a quarter of an hour
            host, _, port = address.removeprefix("ray://").rpartition(":")
            if not port.isdecimal():
                raise ValueError(f'"{port}" is no number of a port')
            host = host.strip("[]")
            socket.create_connection((host, int(port)), _ANSWERS_WITHIN_S).close()
        with _environment(NO_TELEMETRY), _same_handler(signal.SIGTERM):
            ray.init(
                address=address,
                configure_logging=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **own,
            )
    except (OSError, ValueError, RuntimeError) as error:  # a refused connection is an OSError
        reason = " ".join(str(error).split())[:160]
        raise RequestError(
            f"no Ray cluster answers ({reason})",
            f"--cluster {address}",
            f"check the address, or give {LOCAL} for one on this machine",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def cluster_results(
    make: Callable[[], Callable[[Item], Result]],
    items: Sequence[Item],
    workers: int,
    *,
    task: str,
    where: str,
) -> Iterator[tuple[int, Result]]:
    """The place of each item and its result, as it ends, from the cluster of :func:`connected`.

    Args:
        make: function that makes the function of an item; called for each item.
        items: picklable arguments.
        workers: number of items that are worked on at once, a core each.
        task: what is done to the items, for messages.
        where: what the items belong to, for messages.

    Raises:
        RunError: an item was lost again and again.
    """
    ray = _ray()
    run = ray.remote(num_cpus=1, max_retries=_TRIES_AGAIN)(_result_of)
    made = ray.put(make)
    waiting = enumerate(items)
    places: dict[Any, int] = {}
    while True:
        for place, item in islice(waiting, workers - len(places)):
            places[run.remote(made, item)] = place
        if not places:
            return
        for ended in ray.wait(list(places))[0]:
            try:
                result = ray.get(ended)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                reason = str(error).partition("\n")[0]
                raise RunError(
                    f"a task on the cluster that {task} died ({reason})",
                    where,
                    "memory may have run out: use fewer --workers, then go on with --resume",
                ) from error
            yield places.pop(ended), result


def _result_of(make: Callable[[], Callable[[Any], Any]], item: Any) -> Any:
    use_one_thread()
    keep_freed_memory()
    return make()(item)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise RequestError(
            f"Ray cannot be imported ({error})",
            "--cluster",
            "pip install 'tirtrack[cluster]', or use --workers without --cluster",
        ) from error
    return ray


@contextmanager
def _same_handler(number: signal.Signals) -> Iterator[None]:
    """What is done inside does not change who handles a signal."""
    before = signal.getsignal(number)
    try:
        yield
    finally:
        if signal.getsignal(number) is not before:
            signal.signal(number, before)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables that are set inside, unless the user set them."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
