"""Processor time of ``tirtrack score`` on made-up results of the size of LSOTB-TIR.

    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python -m benchmarks.score_speed [--out speed.json]

Annotation of 120 sequences (82,133 frames) and results of 40 trackers are drawn from a seed and
written as text, as the benchmarks publish them: whole pixels with tabs, two or four decimals with
commas, eight corners, and one JSON document. ``tirtrack score`` then runs as a command with
``--out``. Printed is its processor time, user and system, start of Python included; with the
threads set to one this is the time of one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tirtrack.files import write_json
from tirtrack.identity import versions

SEQUENCES, TRACKERS, FRAMES = 120, 40, 82_133
SHORTEST = 45
COMMAND = "from tirtrack.cli import main; main()"
FORMS = ("tabs", "two_decimals", "four_decimals", "corners", "json")


def lengths(rng: np.random.Generator, *, sequences: int, frames: int) -> np.ndarray:
    """``[sequences]`` numbers of frames that add up to ``frames``, each at least ``SHORTEST``."""
    extra = rng.multinomial(frames - SHORTEST * sequences, rng.dirichlet(np.ones(sequences)))
    return np.asarray(extra + SHORTEST)


def path_of_boxes(rng: np.random.Generator, frames: int) -> np.ndarray:
    """``[T,4]`` whole boxes xywh that wander inside of a frame of 640x480."""
    steps = rng.normal(0, 2, (frames, 2)).cumsum(axis=0)
    center_xy = [320, 240] + 150 * np.sin(steps / 60)
    size_wh = 40 + 15 * np.sin(np.arange(frames)[:, None] / [50, 70])
    return np.asarray(np.hstack([center_xy - size_wh / 2, size_wh]).round())


def corners(boxes: np.ndarray) -> np.ndarray:
    """``[T,8]`` corners of boxes ``[T,4]``, in order."""
    x, y, w, h = boxes.T
    return np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)


def write_boxes(folder: Path, sequence: str, boxes: np.ndarray, form: str) -> None:
    """One result file in one of the ``FORMS``."""
    file = folder / f"{sequence}.txt"
    if form == "json":
        file.write_text(json.dumps({"res": boxes.round(2).tolist()}))
    elif form == "tabs":
        np.savetxt(file, boxes.round(), "%d", delimiter="\t")
    elif form == "corners":
        np.savetxt(file, corners(boxes), "%.2f", delimiter=",")
    else:
        np.savetxt(file, boxes, "%.4f" if form == "four_decimals" else "%.2f", delimiter=",")


def write_world(folder: Path, *, sequences: int, trackers: int, frames: int) -> None:
    """``dataset/anno/SEQUENCE.txt`` and ``results/TRACKER/SEQUENCE.txt`` below a folder."""
    rng = np.random.default_rng(0)
    anno = folder / "dataset" / "anno"
    anno.mkdir(parents=True)
    for number, count in enumerate(lengths(rng, sequences=sequences, frames=frames)):
        sequence = f"made_{'DHSV'[number % 4]}_{number:03d}"
        truth = path_of_boxes(rng, int(count))
        np.savetxt(anno / f"{sequence}.txt", truth, "%d", delimiter=",")
        for tracker in range(trackers):
            place = folder / "results" / f"tracker{tracker:02d}"
            place.mkdir(parents=True, exist_ok=True)
            noise = rng.normal(0, rng.gamma(2, 2 + tracker / 10), truth.shape)
            noise[0] = 0
            boxes = np.hstack([truth[:, :2], np.maximum(truth[:, 2:], 4)]) + noise
            boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
            write_boxes(place, sequence, boxes, FORMS[tracker % len(FORMS)])


def processor_seconds(command: list[str]) -> float:
    """User and system time of a command and its children, seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.score_speed")
    parser.add_argument("--sequences", type=int, default=SEQUENCES)
    parser.add_argument("--trackers", type=int, default=TRACKERS)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the made-up files here and leave them")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    size = {"sequences": given.sequences, "trackers": given.trackers, "frames": given.frames}
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if not (folder / "dataset").is_dir():
            write_world(folder, **size)
        arguments = [folder / "results", "--dataset", folder / "dataset", "--protocol", "lsotb-tir"]
        program = [sys.executable, "-c", COMMAND, "score", *map(str, arguments)]
        written = ["--out", str(Path(temporary) / "out"), "--force"]
        seconds = [processor_seconds([*program, *written]) for _ in range(given.repeats)]
    every = ", ".join(f"{one:.1f}" for one in seconds)
    print(f"{size}: {min(seconds):.1f} s of a processor (runs: {every})")
    if given.out:
        facts = {"command": parser.prog, **size, "versions": versions()}
        write_json(given.out, {**facts, "processor_s": seconds})


if __name__ == "__main__":
    main()
