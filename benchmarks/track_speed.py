"""Speed of our tracker beside OpenCV's ``TrackerNano``, on one thread, in one run.

    python -m benchmarks.track_speed [WEIGHTS] [--opencv-weights FOLDER] [--out speed.json]
    python -m benchmarks.track_speed [WEIGHTS] --targets 1,2,4,8 [--out speed.json]
    python -m benchmarks.track_speed [WEIGHTS] --after 20000 [--out speed.json]

Both follow the same moving target on the same 640x480 frames, a batch of frames each in turn, so
that other load on the machine affects both alike. A frame's time is all of ``update``; frames
are made beforehand. The ratio is that of the medians; the spread is the middle half of the frames.
Processor time is given beside the time by the clock: when other work holds the cores only the
former is meaningful, and the page says so.
OpenCV's row needs ``opencv-contrib-python-headless`` (extra ``compare``) and the published
``nanotrack_v2_{backbone,head}.onnx``; it is left out, with the reason, where one is missing.
With ``--targets`` several targets are followed at once instead, with a shared pass of the backbone
and with one each, and the time per target is printed. With ``--after`` a tracker that has followed
so many frames takes turns with one that has just begun: their ratio says what a long run costs.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import SEARCH_SIDE, cut_patch, mean_fill, siamese_crop
from tirtrack.errors import WeightsError
from tirtrack.files import write_json
from tirtrack.trackers.loading import load_tracker
from tirtrack.trackers.multi import MultiTracker

WIDTH, HEIGHT = 640, 480
TARGET = 60
FRAMES = 64
WARM_UP = 30
BUSY = 1.2  # time by the clock over processor time: above, the machine was shared
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "weights" / "nanotrack"
DEFAULT_WEIGHTS = "nano-rgb"
COMMAND = "python -m benchmarks.track_speed"


@dataclass
class Row:
    """One thing that is timed: what it does with frame ``t``; milliseconds by the clock and of the
    processor.
    """

    name: str
    step: Callable[[int], Any]
    times_ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def run(self, count: int, *, start: int, keep: bool) -> None:
        """Time ``count`` frames from frame ``start`` on."""
        for t in range(start, start + count):
            begin, begin_processor = time.perf_counter(), time.process_time()
            self.step(t)
            if keep:
                self.processor_ms.append((time.process_time() - begin_processor) * 1e3)
                self.times_ms.append((time.perf_counter() - begin) * 1e3)

    def summary(self) -> dict[str, float]:
        """Median, quartiles and frames per second at the median."""
        low, middle, high = statistics.quantiles(self.times_ms, n=4)
        return {
            "median_ms": round(middle, 3),
            "quartile_low_ms": round(low, 3),
            "quartile_high_ms": round(high, 3),
            "fps": round(1e3 / middle, 1),
            "processor_ms": round(statistics.median(self.processor_ms), 3),
        }


def main() -> None:
    """Time, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--opencv-weights", type=Path, default=SHARED)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--frames-a-round", type=int, default=25)
    parser.add_argument("--targets", help="numbers of targets, such as 1,2,4,8")
    parser.add_argument("--after", type=int, help="frames that one of two trackers followed before")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.targets:
        _time_targets([int(count) for count in arguments.targets.split(",")], arguments)
        return
    if arguments.after:
        _time_after(arguments)
        return

    colour = _frames()
    grey = [np.ascontiguousarray(frame[..., 1]) for frame in colour]
    weights = arguments.weights or DEFAULT_WEIGHTS
    rows = [
        _ours(f"tirtrack {Path(weights).stem}, colour", weights, colour),
        _ours(f"tirtrack {Path(weights).stem}, grey", weights, grey),
        _crop_alone("crop alone, colour", colour),
        _crop_alone("crop alone, grey", grey),
    ]
    opencv, reason = _opencv(colour, arguments.opencv_weights)
    if opencv is not None:
        rows.insert(0, opencv)
    _run_in_turn(rows, arguments)
    _report(rows, opencv, reason, arguments)


def _run_in_turn(rows: list[Row], arguments: argparse.Namespace) -> None:
    for row in rows:
        row.run(WARM_UP, start=0, keep=False)
    for turn in range(arguments.rounds):
        start = WARM_UP + turn * arguments.frames_a_round
        for row in rows:
            row.run(arguments.frames_a_round, start=start, keep=True)


def _time_targets(counts: list[int], arguments: argparse.Namespace) -> None:
    """Time, table and JSON of several targets at once."""
    frames = _frames()
    weights = arguments.weights or DEFAULT_WEIGHTS
    rows = {
        (count, batched): _several(weights, frames, count, batched=batched)
        for count in counts
        for batched in (True, False)
    }
    _run_in_turn(list(rows.values()), arguments)
    print(f"{'targets':>7}  {'pass':8}  median ms  ms a target  processor ms a target")
    found = []
    for (count, batched), row in rows.items():
        times = row.summary()
        kind = "shared" if batched else "own"
        found.append({"targets": count, "pass": kind, **times})
        median, processor = times["median_ms"], times["processor_ms"]
        print(
            f"{count:7}  {kind:8}  {median:9.2f}  {median / count:11.2f}  {processor / count:21.2f}"
        )
    if arguments.out is not None:
        versions = _versions(with_opencv=False)
        write_json(
            arguments.out, {"command": COMMAND, "threads": 1, "rows": found, "versions": versions}
        )


def _time_after(arguments: argparse.Namespace) -> None:
    """Time a tracker after a long run and one that has just begun, and print their ratio."""
    frames = _frames()
    weights = arguments.weights or DEFAULT_WEIGHTS
    old, new = (_ours(name, weights, frames) for name in ("after a long run", "just begun"))
    old.run(arguments.after, start=0, keep=False)
    _run_in_turn([old, new], arguments)
    medians = [statistics.median(row.processor_ms) for row in (old, new)]
    print(f"after {arguments.after} frames {medians[0]:.2f} ms of the processor a frame, ", end="")
    print(f"just begun {medians[1]:.2f} ms: ratio {medians[0] / medians[1]:.3f}")
    if arguments.out is not None:
        rows = {row.name: row.summary() for row in (old, new)}
        content = {"command": COMMAND, "threads": 1, "after": arguments.after, "rows": rows}
        write_json(arguments.out, {**content, "versions": _versions(with_opencv=False)})


def _several(weights: str, frames: list[np.ndarray], count: int, *, batched: bool) -> Row:
    tracker = MultiTracker(load_tracker(weights), batched=batched)
    for number in range(count):
        x, y, w, h = _first_box()
        tracker.add(number, Box(x + 2.0 * number, float(y), float(w), float(h)), frames[0])
    return Row(f"{count} targets", lambda t: tracker.update(frames[(t + 1) % FRAMES]))


def _report(
    rows: list[Row], opencv: Row | None, reason: str, arguments: argparse.Namespace
) -> None:
    summaries = {row.name: row.summary() for row in rows}
    reference = None if opencv is None else summaries[opencv.name]
    print(f"{'':30}  median ms  (middle half)       fps  processor ms  ratio to OpenCV (processor)")
    for name, found in summaries.items():
        spread = f"({found['quartile_low_ms']:.2f} - {found['quartile_high_ms']:.2f})"
        line = f"{name:30}  {found['median_ms']:9.2f}  {spread:15}  {found['fps']:6.0f}"
        line += f"  {found['processor_ms']:12.2f}"
        if reference is not None and not name.startswith("crop"):
            for key, ratio in (("median_ms", "ratio"), ("processor_ms", "processor_ratio")):
                found[ratio] = round(reference[key] / found[key], 2)
            line += f"  {found['ratio']:15.2f} ({found['processor_ratio']:.2f})"
        print(line)
    if any(found["median_ms"] > BUSY * found["processor_ms"] for found in summaries.values()):
        print("other work held the processor: only processor times and their ratio count")
    if opencv is None:
        print(f"OpenCV's TrackerNano is left out: {reason}")
    if arguments.out is not None:
        content = {
            "command": COMMAND,
            "frame": [HEIGHT, WIDTH],
            "threads": 1,
            "rounds": arguments.rounds,
            "frames_a_round": arguments.frames_a_round,
            "rows": summaries,
            "opencv_left_out": reason or None,
            "versions": _versions(with_opencv=opencv is not None),
        }
        write_json(arguments.out, content)


def _frames() -> list[np.ndarray]:
    """Coloured noise in three sizes with a bright target on a circle; new noise in every frame."""
    rng = np.random.default_rng(0)
    scene = np.zeros((HEIGHT, WIDTH, 3))
    for cell in (8, 20, 60):
        coarse = rng.uniform(0, 55, (HEIGHT // cell + 2, WIDTH // cell + 2, 3))
        scene += np.kron(coarse, np.ones((cell, cell, 1)))[:HEIGHT, :WIDTH]
    target = rng.uniform(120, 250, (TARGET // 10, TARGET // 10, 3))
    target = np.kron(target, np.ones((10, 10, 1)))
    frames = []
    for t in range(FRAMES):
        frame = scene + rng.uniform(-4, 4, scene.shape)
        x, y = (round(value) for value in _place(t))
        frame[y : y + TARGET, x : x + TARGET] = target
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def _place(t: int) -> tuple[float, float]:
    angle = 2 * np.pi * t / FRAMES
    return 290 + 50 * np.cos(angle), 210 + 50 * np.sin(angle)


def _first_box() -> tuple[int, int, int, int]:
    x, y = (round(value) for value in _place(0))
    return x, y, TARGET, TARGET


def _ours(name: str, weights: str, frames: list[np.ndarray]) -> Row:
    tracker = load_tracker(weights)
    tracker.init(frames[0], Box(*map(float, _first_box())))
    return Row(name, lambda t: tracker.update(frames[(t + 1) % FRAMES]))


def _crop_alone(name: str, frames: list[np.ndarray]) -> Row:
    fill = mean_fill(frames[0])

    def cut(t: int) -> np.ndarray:
        box = Box(*_place(t), float(TARGET), float(TARGET))
        return cut_patch(frames[t % FRAMES], siamese_crop(box, SEARCH_SIDE), fill)

    return Row(name, cut)


def _opencv(frames: list[np.ndarray], folder: Path) -> tuple[Row | None, str]:
    try:
        import cv2
    except ImportError:
        return None, "opencv-contrib-python-headless is not installed"
    backbone, head = (folder / f"nanotrack_v2_{part}.onnx" for part in ("backbone", "head"))
    for path in (backbone, head):
        if not path.is_file():
            return None, f"its weights {path.name} are not at hand"
    cv2.setNumThreads(1)
    parameters = cv2.TrackerNano_Params()
    parameters.backbone, parameters.neckhead = str(backbone), str(head)
    tracker = cv2.TrackerNano_create(parameters)
    tracker.init(frames[0], _first_box())
    return Row("OpenCV TrackerNano v2", lambda t: tracker.update(frames[(t + 1) % FRAMES])), ""


def _versions(*, with_opencv: bool) -> dict[str, str]:
    names = ["tirtrack", "numpy", "onnxruntime", "torch"]
    found = {name: version(name) for name in names}
    if with_opencv:
        import cv2

        found["opencv"] = cv2.__version__
    return {**found, "python": platform.python_version(), "machine": platform.processor()}


if __name__ == "__main__":
    try:
        main()
    except WeightsError as error:
        raise SystemExit(str(error)) from error
