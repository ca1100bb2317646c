"""Trackers from outside of tirtrack, by what a user writes or hands over.

==========================  ============================================================
``program:COMMAND``         any program over a line protocol (``program.py``)
``trax:COMMAND``            a program that speaks TraX, as for the VOT toolkit (``trax.py``)
``MODULE:FACTORY``          a Python object with ``init`` and ``update`` (``python_object.py``)
``opencv:NAME[,KEY=VALUE]`` OpenCV's trackers (``opencv.py``)
``got10k:MODULE:FACTORY``   a tracker of the got10k toolkit (``got10k.py``)
``NAME=`` before one        its name in results and tables
==========================  ============================================================

Each of them runs in a process of its own, one for each sequence, so that a crash or a wait without
end costs that sequence alone. Objects and callables that are handed over in Python run where
evaluation runs.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from tirtrack.errors import RequestError
from tirtrack.evaluation.outside.opencv import opencv_arguments
from tirtrack.evaluation.outside.program import (
    LineDialect,
    ProgramSource,
    host_source,
    over,
)
from tirtrack.evaluation.outside.python_object import ObjectSource
from tirtrack.evaluation.outside.trax import TraxDialect

__all__ = ["TIMEOUT_S", "ObjectSource", "ProgramSource", "outside_source", "over"]

TIMEOUT_S = 60.0
"""Longest wait for an answer of a tracker in a process of its own, its start included, seconds."""

_INTERPRETER = re.compile(r"(python|perl|ruby|julia|octave|Rscript|lua|node|java|bash|sh)[\d.]*")
_NAMED = re.compile(
    r"(?:([^=/:]+)=)?((?:program|trax|opencv|got10k):.*|[A-Za-z_][\w.]*:[A-Za-z_]\w*)"
)


def outside_source(text: str, *, timeout_s: float = TIMEOUT_S) -> ProgramSource | None:
    """The tracker from outside that a text names; ``None`` if the text names weights.

    Args:
        text: text of the user.
        timeout_s: longest wait for an answer, seconds.

    Raises:
        RequestError: the text begins as that of a tracker from outside and is none.

    >>> outside_source("mine=program:./track --fast").name
    'mine'
    >>> outside_source("nano-tir@published") is None
    True
    """
    found = _NAMED.fullmatch(text)
    if found is None or Path(text).exists():
        return None
    if not timeout_s > 0:
        raise RequestError(f"--timeout must be above 0 seconds, got {timeout_s:g}")
    name, said = found.groups()
    kind, _, rest = said.partition(":")
    if kind in ("program", "trax"):
        return _program(kind, rest, name, timeout_s)
    if kind == "opencv":
        tracker, values = opencv_arguments(rest)
        factory = "tirtrack.evaluation.outside.opencv:OpencvTracker"
        arguments = {"name": tracker, "values": values}
        return host_source(name or f"opencv-{tracker}", said, factory, arguments, timeout_s)
    if kind == "got10k":
        factory = "tirtrack.evaluation.outside.got10k:FromGot10k"
        return host_source(
            name or rest.replace(":", "."), said, factory, {"named": rest}, timeout_s
        )
    return host_source(name or said.replace(":", "."), said, said, {}, timeout_s)


def _program(kind: str, line: str, name: str | None, timeout_s: float) -> ProgramSource:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise RequestError(f"is no command line ({error})", f"{kind}:{line}") from error
    if not words:
        raise RequestError("names no program", f"{kind}:", f"write {kind}:./my_tracker")
    named = words
    if _INTERPRETER.fullmatch(Path(words[0]).name):
        named = [word for word in words[1:] if Path(word).is_file()] or words
    stem = Path(named[0]).stem
    dialect = TraxDialect if kind == "trax" else LineDialect
    return ProgramSource(name or stem, f"{kind}:{line}", tuple(words), timeout_s, dialect=dialect)
