"""Speed of our trackers beside OpenCV's ``TrackerNano`` V2, in one run.

    python -m benchmarks.track_speed [NETWORK ...] [--opencv-weights FOLDER] [--out speed.json]
    python -m benchmarks.track_speed [NETWORK] --after 20000 [--out speed.json]

Every installed engine runs every network with one and two threads, on colour and on grey frames,
and follows four targets with two threads; OpenCV's tracker runs on colour. All follow the same
moving target on the same 640x480 frames, a round of frames each in turn; a frame's time is all of
``update``, frames are made beforehand. A ratio to OpenCV is to one thread of it, in the same round;
beside its median stands the range from its 10th to its 90th percentile over the rounds.
A network is the name or file of weights, or the name of an architecture, which then has random
weights and finds its target in every frame. Start and memory are measured in processes of their
own. The command refuses to give figures while other processes work. With ``--after`` a tracker
that has followed so many frames takes turns with one that has just begun: their ratio says what a
long run costs.
OpenCV's row needs ``opencv-contrib-python-headless`` (extra ``compare``) and the published
``nanotrack_v2_{backbone,head}.onnx``; it is left out, with the reason, where one is missing.
``python -m benchmarks.speed_table`` makes the table of the first page from two such runs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.command import ends
from benchmarks.interleaved import (
    Contender,
    Pace,
    Times,
    in_turn,
    milliseconds,
    ratio,
    spread,
    table,
)
from benchmarks.moving_target import FRAMES, TARGET, first_box, moving_target, place
from benchmarks.speed_goals import SEVERAL, Case, Row, goals
from benchmarks.start_up import StartUp, start_up
from tirtrack.boxes import Box
from tirtrack.crops import SEARCH_SIDE, cut_patch, mean_fill, siamese_crop
from tirtrack.errors import RequestError
from tirtrack.evaluation.outside.opencv import opencv_tracker
from tirtrack.files import write_json
from tirtrack.networks import registry
from tirtrack.trackers.base import Tracker
from tirtrack.trackers.engines import GraphEngine
from tirtrack.trackers.loading import ENGINES, load_tracker
from tirtrack.trackers.multi import MultiTracker
from tirtrack.weights import store
from tirtrack.weights.card import Card

WARM_UP = 20
FRAMES_A_ROUND = 20  # a filter learns once in a round
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "weights" / "nanotrack"
NETWORKS = ("nano-rgb", "dimp-lite")
COMMAND = "python -m benchmarks.track_speed"
ALWAYS_FOUND = {"target_not_found_threshold": -1e9}


@dataclass(frozen=True)
class Network:
    """Weights that are timed; random ones are told to find their target always."""

    name: str
    weights: str
    is_random: bool

    def tracker(self, engine: str, threads: int) -> Tracker:
        """A tracker of these weights."""
        overrides = ALWAYS_FOUND if self.is_random else {}
        return load_tracker(self.weights, engine=engine, threads=threads, overrides=overrides)

    def prototype(self, engine: str, threads: int) -> Tracker:
        """A tracker for several targets: one thread a call if targets are followed in threads."""
        tracker = self.tracker(engine, 1)
        in_threads = isinstance(getattr(tracker, "engine", None), GraphEngine)
        return tracker if in_threads else self.tracker(engine, threads)


@dataclass(frozen=True)
class Found:
    """What was measured: lines to print, and JSON values."""

    lines: list[str]
    content: dict[str, Any]


OPENCV = Case("TrackerNano V2", "OpenCV", 1, "colour")


def main() -> Iterable[str]:
    """Time, print a table, write JSON."""
    arguments = _arguments()
    watch = machine.Watch(assume_idle=arguments.assume_idle)
    pace = Pace(arguments.rounds, FRAMES_A_ROUND, WARM_UP)
    with tempfile.TemporaryDirectory() as folder:
        networks = [network_of(name, Path(folder)) for name in arguments.networks]
        watch.check()
        if arguments.after:
            found = _after(networks[0], arguments.after, pace, watch)
        else:
            found = _table(networks, arguments.opencv_weights, pace, watch)
    others = watch.check()
    print(*found.lines, sep="\n")
    if arguments.out is not None:
        paced = {"rounds": pace.rounds, "frames_a_round": pace.steps}
        write_json(arguments.out, {**machine.facts(COMMAND, others), **paced, **found.content})
    return ()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=NETWORKS)
    parser.add_argument("--opencv-weights", type=Path, default=SHARED)
    parser.add_argument("--rounds", type=int, default=20, help="rounds, at least 15")
    parser.add_argument("--after", type=int, help="frames that one of two trackers followed before")
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    return parser.parse_args()


def network_of(name: str, folder: Path) -> Network:
    """The weights of this name or file, or random weights of this architecture.

    Args:
        name: name or file of weights, or name of an architecture.
        folder: folder for random weights.

    Raises:
        WeightsError: there is neither.
    """
    if name not in registry.names():
        path = store.find(name)
        return Network(path.stem, str(path), is_random=False)
    path = folder / f"{name}.safetensors"
    card = Card(name=name, architecture=name, modality="rgb", licence="Apache-2.0")
    store.write(path, registry.build(name).eval(), card)
    return Network(name, str(path), is_random=True)


def usable_engines(network: Network) -> tuple[list[str], dict[str, str]]:
    """Names of the engines that run these weights here, and why the others do not.

    Raises:
        RequestError: none does.
    """
    usable, left_out = [], {}
    for engine in ENGINES:
        try:
            network.tracker(engine, 1)
        except RequestError as error:
            left_out[f"{network.name}, {engine}"] = error.what  # not where: a place of this machine
        else:
            usable.append(engine)
    if not usable:
        raise RequestError(f"no engine runs it: {next(iter(left_out.values()))}", network.name)
    return usable, left_out


# --- the table -----------------------------------------------------------------------------------


def _table(
    networks: Sequence[Network], opencv_weights: Path, pace: Pace, watch: machine.Watch
) -> Found:
    """Time everything."""
    colour = moving_target()
    frames = {"colour": colour, "grey": [np.ascontiguousarray(one[..., 1]) for one in colour]}
    left_out: dict[str, str] = {}
    timed: list[tuple[Case, Contender]] = []
    try:
        timed.append((OPENCV, opencv_contender(colour, opencv_weights)))
    except RequestError as error:
        left_out[str(OPENCV)] = str(error)
    starts = []
    for network in networks:
        engines, reasons = usable_engines(network)
        left_out |= reasons
        for engine in engines:
            starts.append(start_up(network.name, network.weights, engine))
            watch.check()
            timed += our_contenders(network, engine, frames)
    crops = [_crop_alone(f"crop alone, {name}", images) for name, images in frames.items()]
    times = in_turn([*(one for _, one in timed), *crops], pace, watch)
    rows = [row_of(case, times) for case, _ in timed]
    profile = {one.name: asdict(spread(times[one.name].processor_ms)) for one in crops}
    reached = goals(rows, starts)
    lines = [*table_lines(rows, starts), *map(str, reached)]
    lines += [f"{name} is left out: {reason}" for name, reason in left_out.items()]
    content = {
        "rows": [asdict(row) for row in rows],
        "starts": [asdict(one) for one in starts],
        "crop_processor_ms": profile,
        "goals": [{**asdict(one), "is_reached": one.is_reached} for one in reached],
        "left_out": left_out,
    }
    return Found(lines, content)


def our_contenders(
    network: Network, engine: str, frames: dict[str, list[np.ndarray]]
) -> Iterator[tuple[Case, Contender]]:
    """One target with one and two threads in each kind of frames; four with two threads."""
    for threads in (1, 2):
        for name, images in frames.items():
            case = Case(network.name, engine, threads, name)
            yield case, _one_target(str(case), network.tracker(engine, threads), images, threads)
    case = Case(network.name, engine, 2, "colour", SEVERAL)
    prototype = network.prototype(engine, 2)
    yield case, several_targets(str(case), prototype, frames["colour"], SEVERAL, threads=2)


def _one_target(
    name: str, tracker: Tracker, frames: list[np.ndarray], threads: int = 1
) -> Contender:
    tracker.init(frames[0], first_box())
    return Contender(name, lambda t: tracker.update(frames[(t + 1) % FRAMES]), threads)


def several_targets(
    name: str,
    prototype: Any,
    frames: list[np.ndarray],
    count: int,
    *,
    threads: int,
    batched: bool = True,
) -> Contender:
    """So many targets of one tracker, two pixels apart.

    Args:
        name: name of the contender.
        prototype: tracker before ``init``.
        frames: frames, all of one size.
        count: number of targets.
        threads: threads of torch, and targets that are followed at the same time.
        batched: do the work of all targets together, or at the same time; else one by one.
    """
    tracker = MultiTracker(prototype, batched=batched, threads=threads if batched else 1)
    first = first_box()
    for number in range(count):
        tracker.add(number, replace(first, x=first.x + 2.0 * number), frames[0])
    return Contender(name, lambda t: tracker.update(frames[(t + 1) % FRAMES]), threads)


def _crop_alone(name: str, frames: list[np.ndarray]) -> Contender:
    fill = mean_fill(frames[0])

    def cut(t: int) -> np.ndarray:
        box = Box(*place(t), float(TARGET), float(TARGET))
        return cut_patch(frames[t % FRAMES], siamese_crop(box, SEARCH_SIDE), fill)

    return Contender(name, cut)


def opencv_contender(frames: list[np.ndarray], folder: Path) -> Contender:
    """OpenCV's tracker on one thread.

    Raises:
        RequestError: OpenCV or the tracker's weights are missing.
    """
    parts = {"backbone": "backbone", "neckhead": "head"}
    files = {key: str(folder / f"nanotrack_v2_{part}.onnx") for key, part in parts.items()}
    tracker = opencv_tracker("nano", files)
    tracker.init(frames[0], tuple(map(int, first_box().array())))
    return Contender(str(OPENCV), lambda t: tracker.update(frames[(t + 1) % FRAMES]))


def row_of(case: Case, times: dict[str, Times]) -> Row:
    """The times of a case, and their ratio to what it is compared with, where that was timed.

    Args:
        case: case of the row.
        times: times of all cases, by their text.
    """
    own = times[str(case)]
    if case.targets > 1:
        one = times[str(Case(case.network, case.engine, 1, case.frames))]
        return Row(case, milliseconds(own), times_one=ratio(own, one))
    opencv = times.get(str(OPENCV))
    return Row(case, milliseconds(own), None if opencv is None else ratio(opencv, own))


def table_lines(rows: Sequence[Row], starts: Sequence[StartUp]) -> Iterator[str]:
    """The table as it is printed."""
    yield "Over the rounds: median (10th to 90th percentile); ratio: how many times as fast as"
    yield "OpenCV's TrackerNano V2 on one thread; of several targets: time over that of one on one."
    figures = {str(row.case): (row.ms, row.ahead or row.times_one) for row in rows}
    known = {name: [one for one in both if one is not None] for name, both in figures.items()}
    yield from table(known, "ratio")
    for one in starts:
        seconds = f"first use {one.first_s:.2f} s, later {one.later_s:.2f} s"
        yield f"{one.network}, {one.engine}: {seconds}, {one.memory_mb:.0f} MB"


# --- a long run ----------------------------------------------------------------------------------


def _after(network: Network, count: int, pace: Pace, watch: machine.Watch) -> Found:
    """Time a tracker after a long run and one that has just begun."""
    frames = moving_target()
    engine, *_ = usable_engines(network)[0]
    old, new = (
        _one_target(name, network.tracker(engine, 1), frames)
        for name in ("after a long run", "just begun")
    )
    for t in range(count):
        old.step(t)
    times = in_turn([old, new], pace, watch)
    found = ratio(times[old.name], times[new.name])
    lines = [
        f"{network.name}, {engine}: time after {count} frames over that of one just begun",
        f"processor {found.processor}, wall {found.wall}",
    ]
    content = {"network": network.name, "engine": engine, "after": count, "ratio": asdict(found)}
    return Found(lines, content)


if __name__ == "__main__":
    sys.exit(ends("track_speed", main))
