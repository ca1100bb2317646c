"""TraX, the protocol of the VOT toolkit, as a way to talk to a program (``trax:COMMAND``).

A message is a line ``@@TRAX:NAME "ARGUMENT" ...``; other lines are the program's own output. Up to
version 3 ``initialize`` has image and region, from version 4 on the region alone, and a ``frame``
follows; both are answered by one ``state``. Regions are rectangles ``x,y,w,h``, 0-based; of a
polygon the bounding rectangle is taken. Specification: ``docs/protocol.rst`` of votchallenge/trax.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from tirtrack.boxes import Box
from tirtrack.evaluation.outside.child_process import ChildProcess

PREFIX = "@@TRAX:"
_ARGUMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def message(name: str, *arguments: str) -> str:
    r"""A message as a line.

    >>> message("state", "1,2,3,4", "trax.reason=no \"box\"")
    '@@TRAX:state "1,2,3,4" "trax.reason=no \\"box\\""'
    """
    escaped = (
        one.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for one in arguments
    )
    return " ".join([f"{PREFIX}{name}", *(f'"{one}"' for one in escaped)])


def parsed(line: str) -> tuple[str, list[str], dict[str, str]] | None:
    r"""Name, arguments and named arguments of a message; ``None`` if the line is none.

    >>> parsed('@@TRAX:state "1,2,3,4" "confidence=0.5"')
    ('state', ['1,2,3,4'], {'confidence': '0.5'})
    """
    if not line.startswith(PREFIX):
        return None
    name, _, rest = line[len(PREFIX) :].partition(" ")
    plain: list[str] = []
    named: dict[str, str] = {}
    for quoted, bare in _ARGUMENT.findall(rest):
        text = re.sub(r"\\(.)", lambda found: found[1].replace("n", "\n"), quoted) or bare
        key, equals, value = text.partition("=")
        if equals and re.fullmatch(r"[\w.]{1,64}", key):
            named[key] = value
        else:
            plain.append(text)
    return name.strip(), plain, named


class TraxDialect:
    """Talks TraX to a program."""

    def __init__(self) -> None:
        self._version = 1

    def greeted(self, child: ChildProcess) -> str:
        """Wait for ``hello``; name and identifier or description of the tracker.

        Raises:
            RunError: the program is no TraX tracker that takes paths and rectangles.
        """
        _, named = self._next(child, "hello")
        for key, needed in (("trax.image", "path"), ("trax.region", "rectangle")):
            if needed not in named.get(key, needed):
                raise child.misspoke(f"takes no {needed} as {key}: {named[key]}")
        self._version = int(named.get("trax.version") or 1)
        known = ("trax.name", "trax.identifier", "trax.description")
        return " ".join(named[key] for key in known if named.get(key))

    def init(self, child: ChildProcess, box: Box, path: Path) -> None:
        """Begin with a box in the image of that path."""
        region = ",".join(repr(value) for value in box.array().tolist())
        uri = f"file://{path}"
        if self._version < 4:
            child.send(message("initialize", uri, region))
        else:
            child.send(message("initialize", region))
            child.send(message("frame", uri))
        self._next(child, "state")

    def frame(self, child: ChildProcess, path: Path) -> tuple[list[float], float]:
        """Box xywh in the image of that path, and its score; NaN where there is none from 0 to 1.

        Raises:
            RunError: the program ended, or answered nothing that is a region.
        """
        child.send(message("frame", f"file://{path}"))
        plain, named = self._next(child, "state")
        try:
            box = _rectangle([float(word) for word in plain[0].split(",")])
            score = float(named.get("confidence", "nan"))
        except (ValueError, IndexError) as error:
            said = message("state", *plain)
            raise child.misspoke(f"answered {said[:80]}; expected a rectangle") from error
        return box, score if 0 <= score <= 1 else math.nan

    def _next(self, child: ChildProcess, expected: str) -> tuple[list[str], dict[str, str]]:
        name, plain, named = child.first_of(parsed)
        if name == "quit":
            raise child.misspoke(f"gave up ({named.get('trax.reason', 'without a reason')})")
        if name != expected:
            raise child.misspoke(f"sent {name}, expected {expected}")
        return plain, named


def _rectangle(numbers: list[float]) -> list[float]:
    """``[4]`` xywh of a rectangle, or around a polygon of corners x, y."""
    if not all(map(math.isfinite, numbers)):
        raise ValueError("a number is not finite")
    if len(numbers) == 4:
        return numbers
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are no region")
    xs, ys = numbers[::2], numbers[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
