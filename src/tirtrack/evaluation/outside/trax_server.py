"""A tracker of ours for the VOT toolkit, over TraX.

    python -m tirtrack.evaluation.outside.trax_server WEIGHTS[@PRESET]

In ``trackers.ini`` of the toolkit: ``protocol = trax`` and this line as ``command``. Images are
paths, regions rectangles, 0-based; the confidence is our score.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO

from tirtrack.boxes import Box
from tirtrack.errors import TirtrackError
from tirtrack.evaluation.outside.program import SEED
from tirtrack.evaluation.outside.trax import message, parsed
from tirtrack.evaluation.tracker_sources import OnlineTracker, TrackerSpec
from tirtrack.images import read_image


def main(weights: str) -> None:
    """Answer until the client quits.

    Args:
        weights: name or file of weights, ``NAME@PRESET`` for another preset.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # so that nothing that is printed is an answer
    spec = TrackerSpec.of(weights)
    tracker = spec.load(int(os.environ.get(SEED, "0")))
    serve(tracker, spec.name, sys.stdin, answers)


def serve(tracker: OnlineTracker, name: str, requests: TextIO, answers: TextIO) -> None:
    """Speak TraX, version 3, with a client.

    Args:
        tracker: loaded tracker.
        name: name that it is introduced with.
        requests: messages of the client.
        answers: messages to it.
    """
    facts = {
        "version": "3", "name": name, "image": "path;", "region": "rectangle;",
        "channels": "color;",  # one image a frame, whatever its colours; libtrax needs it
    }  # fmt: skip
    print(
        message("hello", *(f"trax.{key}={one}" for key, one in facts.items())),
        file=answers,
        flush=True,
    )
    for line in requests:
        found = parsed(line.strip())
        if found is None:
            continue
        request, arguments, _ = found
        if request == "quit":
            return
        try:
            answer = _answer(tracker, request, arguments)
        except (TirtrackError, RuntimeError, ValueError, IndexError) as error:
            told = " ".join(str(error).split())
            print(message("quit", f"trax.reason={told}"), file=answers, flush=True)
            raise
        print(answer, file=answers, flush=True)


def _answer(tracker: OnlineTracker, request: str, arguments: list[str]) -> str:
    frame = read_image(Path(arguments[0].removeprefix("file://")))
    if request == "initialize":
        state = tracker.init(frame, Box.of([float(word) for word in arguments[1].split(",")]))
    elif request == "frame":
        state = tracker.update(frame)
    else:
        raise ValueError(f"unknown message {request}")
    region = ",".join(f"{value:.4f}" for value in state.measured_box.array())
    return message("state", region, f"confidence={state.score:.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
