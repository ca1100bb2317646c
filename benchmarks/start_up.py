"""Start of a tracker in a new process: seconds until its first answer, and its memory.

    python -m benchmarks.start_up WEIGHTS ENGINE

is one such process: it ends with the memory that it needed, as JSON. :func:`start_up` measures
several, the first of which finds an empty cache; each from the start of Python to the answer for
the first frame after ``init``. The package is compiled to bytecode before, as an install does it.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

COMMAND = "python -m benchmarks.start_up"
LATER = 5
SIDE = 60


@dataclass(frozen=True)
class StartUp:
    """Start of a tracker.

    Attributes:
        network: name of the weights.
        engine: engine that runs them.
        first_s: seconds at the first use of the weights.
        later_s: seconds at a later use, the median of :data:`LATER`.
        memory_mb: most memory of a process at a later use, megabytes.
    """

    network: str
    engine: str
    first_s: float
    later_s: float
    memory_mb: float


def start_up(network: str, weights: str, engine: str) -> StartUp:
    """Measure the start on one thread, with a cache of its own.

    Args:
        network: name for the weights.
        weights: name or file of the weights.
        engine: name of the engine.

    Raises:
        RequestError: the system does not tell how much memory a process needs.
        subprocess.CalledProcessError: a process failed.
    """
    import tirtrack

    peak_memory_mb()
    compileall.compile_dir(Path(tirtrack.__file__).parent, quiet=2)
    command = [sys.executable, "-m", "benchmarks.start_up", weights, engine]
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "TIRTRACK_CACHE": cache, "OMP_NUM_THREADS": "1"}
        (first_s, _), *later = [_answer(command, environment) for _ in range(1 + LATER)]
    later_s = statistics.median(seconds for seconds, _ in later)
    memory_mb = max(memory for _, memory in later)
    return StartUp(network, engine, round(first_s, 2), round(later_s, 2), round(memory_mb))


def _answer(command: list[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds until a process writes its line, and the megabytes in it."""
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        said = next(iter(process.stdout or ()), "")
        seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seconds, json.loads(said)["memory_mb"]


def peak_memory_mb(process: int | str = "self") -> float:
    """Most memory of a process so far, megabytes.

    ``ru_maxrss`` would not do: after a process is started it counts what its parent held as well.

    Args:
        process: its number.

    Raises:
        RequestError: the system does not tell.
    """
    status = Path(f"/proc/{process}/status")
    if not status.is_file():
        from tirtrack.errors import RequestError  # no part of a start

        raise RequestError(f"this system has no {status}, so memory is not measured")
    words = status.read_text("utf-8").split()
    return int(words[words.index("VmHWM:") + 1]) * 1024 / 1e6


def main() -> None:
    """One start."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="name or file of the weights")
    parser.add_argument("engine", help="name of the engine")
    asked = parser.parse_args()

    import numpy as np

    import tirtrack

    frame = np.zeros((480, 640, 3), np.uint8)
    frame[200 : 200 + SIDE, 300 : 300 + SIDE] = 200
    tracker = tirtrack.load(asked.weights, engine=asked.engine)
    tracker.init(frame, tirtrack.Box(300, 200, SIDE, SIDE))
    tracker.update(frame)
    print(json.dumps({"memory_mb": peak_memory_mb()}), flush=True)


if __name__ == "__main__":
    main()
