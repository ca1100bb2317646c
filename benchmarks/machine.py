"""The machine of a measurement: which it is, and how much of it other processes used meanwhile.

What Linux counts in ``/proc/stat``, less the processor time of this process and of all that it
started, is what others used; time that a hypervisor gave to other machines counts as theirs.
Nothing here knows what is measured.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.command import revision
from tirtrack.errors import RequestError
from tirtrack.identity import versions

MOST_OTHERS = 0.2
"""Cores that other processes may use, on average, while something is measured."""
STAT = Path("/proc/stat")
PROCESSES = Path("/proc")
PROCESSORS = Path("/proc/cpuinfo")
_SHORTEST_S = 1.0  # counts are in hundredths of a second, of which a few mean nothing
_IDLE = (3, 4)  # idle, waiting for a disk
_GUESTS = 8  # from here on /proc/stat repeats what "user" and "nice" hold already


@dataclass(frozen=True)
class Usage:
    """Seconds since some moment: of the clock, of all processors' work, and of our part in it."""

    wall: float
    machine: float
    own: float


class BusyMachineError(RequestError):
    """Other processes work, or nothing says whether they do; a measurement would not count."""


def usage_now() -> Usage | None:
    """The usage so far; ``None`` on a system without ``/proc/stat``."""
    try:
        text = STAT.read_text("utf-8")
    except OSError:
        return None
    user, system, children_user, children_system, wall = os.times()
    ticks = os.sysconf("SC_CLK_TCK")
    own = user + system + children_user + children_system + _running_seconds(ticks)
    return Usage(wall, machine_seconds(text, ticks), own)


def _running_seconds(ticks_a_second: int) -> float:
    """Processor time of the running processes that this one started, and those that they did; with
    that of their finished children.
    """
    parents, ticks = dict[int, int](), dict[int, int]()
    for stat in PROCESSES.glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            words = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            number = int(stat.parent.name)
            parents[number], ticks[number] = int(words[1]), sum(map(int, words[11:15]))
    ours = [os.getpid()]
    for one in ours:  # grows meanwhile
        ours += [number for number, parent in parents.items() if parent == one]
    return sum(ticks[number] for number in ours[1:]) / ticks_a_second


def machine_seconds(stat: str, ticks_a_second: int) -> float:
    """Seconds of work of all processors, stolen ones included.

    Args:
        stat: text of ``/proc/stat``.
        ticks_a_second: unit of its numbers.

    >>> machine_seconds("cpu  100 20 30 5000 40 1 2 7 50 0", 100)
    1.6
    """
    ticks = [int(word) for word in stat.splitlines()[0].split()[1:]]
    work = [count for place, count in enumerate(ticks[:_GUESTS]) if place not in _IDLE]
    return sum(work) / ticks_a_second


def others_cores(before: Usage, now: Usage) -> float:
    """Cores that other processes used on average between two moments, at least 0; moments less than
    a second apart count as a second.

    >>> others_cores(Usage(0.0, 0.0, 0.0), Usage(10.0, 13.0, 9.0))
    0.4
    """
    others = (now.machine - before.machine) - (now.own - before.own)
    return max(others, 0.0) / max(now.wall - before.wall, _SHORTEST_S)


class Watch:
    """Refuses a measurement as soon as other processes used too much since it began.

    Args:
        assume_idle: go on where the system does not tell what others use.
        read: reads the usage so far.

    Raises:
        BusyMachineError: the system does not tell, and ``assume_idle`` was not said.
    """

    def __init__(
        self, *, assume_idle: bool = False, read: Callable[[], Usage | None] = usage_now
    ) -> None:
        self._read = read
        self._began = read()
        if self._began is None and not assume_idle:
            raise BusyMachineError(
                f"this system has no {STAT}, so nothing says what other processes use",
                fix="see to it that nothing else runs, and give --assume-idle",
            )

    def check(self) -> float | None:
        """Cores that others have used on average since the beginning; ``None`` if unknown.

        Raises:
            BusyMachineError: more than :data:`MOST_OTHERS`.
        """
        now = self._read()
        if self._began is None or now is None:
            return None
        cores = others_cores(self._began, now)
        if cores > MOST_OTHERS:
            raise BusyMachineError(
                f"other processes used {cores:.2f} of a core, more than {MOST_OTHERS}, so the "
                "figures would not count",
                fix="repeat it on an idle machine",
            )
        return cores


def add_watch_option(parser: argparse.ArgumentParser) -> None:
    """Give a command the option ``--assume-idle``."""
    parser.add_argument(
        "--assume-idle",
        action="store_true",
        help="measure where the system does not tell what other processes use",
    )


def facts(command: str, others: float | None) -> dict[str, Any]:
    """What a result file says of its measurement.

    Args:
        command: command that measured.
        others: cores that other processes used meanwhile; ``None`` if unknown.
    """
    return {
        "command": command,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "others_cores": None if others is None else round(others, 3),
        "revision": revision(),
        "versions": {**versions(), **versions_if_installed()},
    }


def versions_if_installed() -> dict[str, str]:
    """Versions of what is measured where it is installed: an engine, and the peer."""
    found = {}
    for name in ("openvino", "opencv-contrib-python-headless"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def processor_name() -> str:
    """Name of the processor, with family, model and stepping where Linux gives them."""
    try:
        return processor_of(PROCESSORS.read_text("utf-8"))
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def processor_of(cpuinfo: str) -> str:
    """The first processor that ``/proc/cpuinfo`` lists.

    Hypervisors shorten the name, so that different processors share one; the numbers tell them
    apart.

    Raises:
        KeyError: it has no such lines.
    """
    first = cpuinfo.partition("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    found = {key.strip(): value.strip() for key, _, value in pairs}
    numbers = ("cpu family", "model", "stepping")
    family, model, stepping = (found[key] for key in numbers)
    return f"{found['model name']} (family {family}, model {model}, stepping {stepping})"
