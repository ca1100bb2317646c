"""The program that runs a Python object: ``python -m tirtrack.evaluation.outside.host``.

It speaks the protocol of ``program.py``. What the object prints goes to stderr.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import TextIO

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import RequestError
from tirtrack.evaluation.outside.program import SEED
from tirtrack.evaluation.outside.python_object import as_one_line, facts_of, imported, made_by
from tirtrack.evaluation.tracker_sources import OnlineTracker


def main(named: str, arguments: str) -> None:
    """Answer until the input ends.

    Args:
        named: ``MODULE:FACTORY``.
        arguments: keyword arguments of the factory, JSON.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # so that no print of the object is an answer
    try:
        tracker, version = _made(named, json.loads(arguments))
        print(f"ready {version}", file=answers)
        for line in sys.stdin:
            print(_answer(tracker, line.rstrip("\n")), file=answers)
    except Exception as error:  # noqa: BLE001 - each is the failure of a sequence
        _tell(error, answers)


def _made(named: str, arguments: dict[str, object]) -> tuple[OnlineTracker, str]:
    """The tracker, and what it depends on: as its factory's ``versions()`` says, else the version
    of its package and the hash of its file.
    """
    factory = imported(named)
    tracker = made_by(factory, named, int(os.environ[SEED]), **arguments)
    if callable(own := getattr(factory, "versions", None)):
        return tracker, ", ".join(map(str, own()))
    if isinstance(inner := arguments.get("named"), str):  # an adapter of another object
        named, factory = inner, imported(inner)
    files = [f"{file} sha256 {digest}" for file, digest in facts_of(factory)["files"].items()]
    package = named.partition(":")[0].partition(".")[0]
    found = sorted(metadata.packages_distributions().get(package, []))
    packages = [f"{one} {metadata.version(one)}" for one in found]
    return tracker, ", ".join([*packages, *files])


def _answer(tracker: OnlineTracker, line: str) -> str:
    request, _, rest = line.partition(" ")
    if request == "init":
        *numbers, file = rest.split(" ", 4)
        tracker.init(np.load(file), Box.of([float(number) for number in numbers]))
        return "ok"
    state = tracker.update(np.load(Path(rest)))
    numbers = state.measured_box.array().tolist()
    return " ".join(map(repr, numbers if math.isnan(state.score) else [*numbers, state.score]))


def _tell(error: Exception, answers: TextIO) -> None:
    traceback.print_exc()
    told = str(error) if isinstance(error, RequestError) else as_one_line(error)
    print(f"error {' '.join(told.split())}", file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
