"""Mining measured: against plain decoding, with two processes, in memory, and what it would cost.

    python -m benchmarks.mining speed
    python -m benchmarks.mining cluster
    python -m benchmarks.mining freed --recordings FOLDER
    python -m benchmarks.mining memory
    python -m benchmarks.mining large
    python -m benchmarks.mining cost --pairs-a-second 150 --kilobytes 75

The pairs are those of the small synthetic world (320x256, a JPEG and a PNG), or with
``--recordings FOLDER`` (``speed``, ``freed``) those of a folder, linked as often as asked for: each
is read, decoded and stored as if it were another one, from the memory of the system and not from a
disk. All but ``memory`` and ``cost`` refuse to give figures while other processes work. ``--out
FILE`` writes the numbers as JSON. ``large --folder DIR`` leaves pairs and shards in ``DIR/large``:
after a stop the same command goes on there, and its time is that of all finished shards.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.command import ends
from benchmarks.interleaved import Contender, Pace, in_turn, milliseconds, ratio
from benchmarks.speed_goals import Goal
from benchmarks.start_up import peak_memory_mb
from tirtrack.cluster import LOCAL, connected
from tirtrack.errors import RequestError, RunError
from tirtrack.files import write_json
from tirtrack.freed_memory import keep_freed_memory
from tirtrack.images import read_image
from tirtrack.pairs import mine_pairs
from tirtrack.pairs.mine import SHARD_MB

EACH = 1000
"""Pairs of a recording."""
COUNTS = (1_000, 10_000, 100_000)
LEAST_OF_DECODING, LEAST_OF_TWO, MOST_MEMORY = 0.7, 1.6, 1.1
SMALL_SHARD_MB = 16  # where processes are compared: each makes a shard, so there must be many


# --- the pairs


def linked_rig(folder: Path, pairs: int, each: int = EACH, recordings: Path | None = None) -> Path:
    """A folder of recordings of ``each`` pairs, ``pairs`` in all, links to a few files: those of
    ``recordings``, which lie in ``rgb`` and ``tir`` of each; else of the world.
    """
    given = recordings or _world()
    takes = [
        _copied(take.parent, folder / "originals" / take.parent.name)
        for take in sorted(given.glob("*/tir"))
    ]
    if not takes:
        raise RequestError("holds no recordings with rgb and tir", given)
    rig = folder / "rig"
    for pair in range(pairs):
        recording, stem = rig / f"{pair // each:04d}", f"{pair % each:06d}"
        take = takes[pair // each % len(takes)]  # one bit depth in a recording
        for name, one in zip(("rgb", "tir"), take[pair % len(take)], strict=True):
            (recording / name).mkdir(parents=True, exist_ok=True)
            os.link(one, recording / name / f"{stem}{one.suffix}")
    return rig


def _world() -> Path:
    """The pairs of the world; imported here, as workers import this file and render nothing."""
    from tirtrack.synthetic import cached_world

    return cached_world("small") / "pairs"


def _copied(take: Path, into: Path) -> list[tuple[Path, Path]]:
    """Both files of every pair of a recording, copied so that they can be linked."""
    shutil.copytree(take, into)
    return list(zip(*(sorted((into / name).iterdir()) for name in ("rgb", "tir")), strict=True))


def decode(rig: Path) -> None:
    """Decode both images of every pair, and nothing else."""
    for recording in sorted(rig.iterdir()):
        for name in ("rgb", "tir"):
            for path in sorted((recording / name).iterdir()):
                read_image(path)


def mine(
    rig: Path, workers: int, cluster: str | None = None, shard_mb: int = SMALL_SHARD_MB
) -> None:
    """Mine all pairs once, into shards that are deleted again."""
    with tempfile.TemporaryDirectory(dir=rig.parent) as out:
        shards = Path(out) / "shards"
        mine_pairs(rig, shards, shard_mb=shard_mb, workers=workers, cluster=cluster)


# --- speed


def measure_speed(
    folder: Path,
    pairs: int,
    pairs_for_two: int,
    pace: Pace,
    watch: machine.Watch,
    recordings: Path | None = None,
) -> dict[str, Any]:
    """Mining against decoding, and two processes against one, each pair of times in one round."""
    if (os.cpu_count() or 1) < 2:
        raise RequestError("two processes are compared with one, and this machine has one core")
    few = linked_rig(folder / "few", pairs, recordings=recordings)
    many = linked_rig(folder / "many", pairs_for_two, recordings=recordings)
    steps: dict[str, Callable[[int], None]] = {
        "decode": lambda _: decode(few),
        "mine": lambda _: mine(few, 1, shard_mb=SHARD_MB),
    }
    alone = in_turn([Contender(name, step) for name, step in steps.items()], pace, watch)
    steps = {"one process": lambda _: mine(many, 1), "two processes": lambda _: mine(many, 2)}
    several = in_turn([Contender(name, step) for name, step in steps.items()], pace, watch)
    of_decoding = ratio(alone["decode"], alone["mine"])
    of_one = ratio(several["one process"], several["two processes"])
    lower = min(of_decoding.processor.median, of_decoding.wall.median)
    return {
        "milliseconds": {
            name: asdict(milliseconds(times)) for name, times in {**alone, **several}.items()
        },
        "pairs": {"decode, mine": pairs, "one process, two processes": pairs_for_two},
        "speed of mining over decoding": asdict(of_decoding),
        "speed of two processes over one, wall": asdict(of_one.wall),
        "goals": [
            str(
                Goal("speed of mining over plain decoding", LEAST_OF_DECODING, lower, at_least=True)
            ),
            str(
                Goal(
                    "speed of two processes over one",
                    LEAST_OF_TWO,
                    of_one.wall.median,
                    at_least=True,
                )
            ),
        ],
    }


def measure_cluster(folder: Path, pairs: int, pace: Pace, watch: machine.Watch) -> dict[str, Any]:
    """One and two processes of a Ray cluster that runs already, and one process without it."""
    rig = linked_rig(folder, pairs)
    steps: dict[str, Callable[[int], None]] = {
        "without Ray": lambda _: mine(rig, 1),
        "one of Ray": lambda _: mine(rig, 1, LOCAL),
        "two of Ray": lambda _: mine(rig, 2, LOCAL),
    }
    times = in_turn([Contender(name, step) for name, step in steps.items()], pace, watch)
    two = times["two of Ray"]
    return {
        "milliseconds, wall": {name: asdict(milliseconds(one).wall) for name, one in times.items()},
        "pairs": pairs,
        "speed of two processes of Ray over one of it": asdict(
            ratio(times["one of Ray"], two).wall
        ),
        "speed of two processes of Ray over one without": asdict(
            ratio(times["without Ray"], two).wall
        ),
    }


def measure_freed(
    folder: Path, pairs: int, pace: Pace, watch: machine.Watch, recordings: Path | None = None
) -> dict[str, Any]:
    """Mining in a process that keeps freed memory, and in one that leaves it to the system, the
    start of Python included.
    """
    if not keep_freed_memory():
        raise RequestError(
            "freed memory is not kept here",
            fix="unset MALLOC_* and GLIBC_TUNABLES, and measure on Linux with glibc",
        )
    rig = linked_rig(folder, pairs, recordings=recordings)

    def anew(**variables: str) -> None:
        shutil.rmtree(rig.with_name("shards"), ignore_errors=True)
        _spent(rig).unlink(missing_ok=True)
        in_process(rig, 1, variables)

    steps: dict[str, Callable[[int], None]] = {
        "kept": lambda _: anew(),
        "left to the system": lambda _: anew(GLIBC_TUNABLES=""),  # the user's choice, it seems
    }
    times = in_turn([Contender(name, step) for name, step in steps.items()], pace, watch)
    return {
        "milliseconds, wall": {name: asdict(milliseconds(one).wall) for name, one in times.items()},
        "pairs": pairs,
        "speed with freed memory kept over without": asdict(
            ratio(times["left to the system"], times["kept"]).wall
        ),
    }


# --- memory, and the large run


@dataclass(frozen=True)
class Once:
    """One run of mining in a process of its own.

    Attributes:
        pairs: number of pairs.
        workers: number of processes.
        seconds: time by the clock.
        peak_mb: most memory of the process, megabytes.
        peak_worker_mb: most memory of a worker process, as of the last finished shard; 0 without
            one.
        size_mb: size of the shards.
        shards: number of shards.
    """

    pairs: int
    workers: int
    seconds: float
    peak_mb: float
    peak_worker_mb: float
    size_mb: float
    shards: int


def mined_once(rig: Path, workers: int, shard_mb: int) -> Once:
    """Mine all pairs once in this process, into ``shards`` beside them; its peak counts from its
    start. After a stop it goes on there, and its seconds are those of all finished shards.
    """
    out, spent = rig.with_name("shards"), _spent(rig)
    before = json.loads(spent.read_text()) if spent.is_file() and out.is_dir() else 0.0
    began, workers_peak = time.perf_counter(), 0.0

    def note(stage: str, done: int, total: int, remark: str = "") -> None:
        nonlocal workers_peak
        if stage == "mining pairs" and done:
            write_json(spent, before + time.perf_counter() - began)
            running = [one.pid for one in multiprocessing.active_children() if one.pid]
            workers_peak = max([workers_peak, *map(peak_memory_mb, running)])

    index = mine_pairs(rig, out, shard_mb=shard_mb, workers=workers, resume=True, progress=note)
    if not spent.is_file():
        raise RunError(
            "the shards are finished, and nothing counts that says how long they took",
            out,
            "delete the folder of the run",
        )
    seconds = json.loads(spent.read_text())
    return Once(
        index.pairs,
        workers,
        round(seconds, 3),
        round(peak_memory_mb(), 1),
        round(workers_peak, 1),
        round(sum(one.size_bytes for one in index.shards) / 1e6, 1),
        len(index.shards),
    )


def _spent(rig: Path) -> Path:
    """The file with the seconds of all finished shards."""
    return rig.with_name("seconds.json")


def in_process(
    rig: Path,
    workers: int,
    variables: Mapping[str, str] | None = None,
    shard_mb: int = SHARD_MB,
) -> Once:
    """As :func:`mined_once`, in a new process, with some variables of its environment."""
    words = [sys.executable, "-m", "benchmarks.mining", "once", "--rig", str(rig)]
    ended = subprocess.run(
        [*words, "--workers", str(workers), "--shard-mb", str(shard_mb)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(variables or {})},
    )
    if ended.returncode:
        raise RunError(f"the run failed ({ended.stderr.strip().splitlines()[-1]})", rig)
    return Once(**json.loads(ended.stdout.splitlines()[-1]))


def measure_memory(folder: Path, counts: Iterable[int], shard_mb: int = SHARD_MB) -> dict[str, Any]:
    """Peak memory for each number of pairs."""
    rows = []
    for count in counts:
        rig = linked_rig(folder / str(count), count)
        rows.append(in_process(rig, 1, shard_mb=shard_mb))
        shutil.rmtree(folder / str(count))
    first, last = rows[0], rows[-1]
    share = last.peak_mb / first.peak_mb
    name = f"memory for {last.pairs} pairs over that for {first.pairs}"
    more = (last.peak_mb - first.peak_mb) * 1e6 / max(last.pairs - first.pairs, 1)
    return {
        "runs": [asdict(one) for one in rows],
        "bytes for each pair more": round(more),
        "goals": [str(Goal(name, MOST_MEMORY, share))],
    }


def measure_large(folder: Path, pairs: int, workers: int, watch: machine.Watch) -> dict[str, Any]:
    """One run over many pairs; goes on with one in the folder that was stopped."""
    whole = folder / f"has {pairs} pairs"
    if not whole.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        linked_rig(folder, pairs)
        whole.touch()
    rig = folder / "rig"
    watch.check()
    run = in_process(rig, workers)
    try:
        watch.check()
    except machine.BusyMachineError:
        _spent(rig).unlink()  # or the same command would give the figures after all
        raise
    return {
        "run": asdict(run),
        "pairs a second": round(run.pairs / run.seconds, 1),
        "pairs a second and process": round(run.pairs / run.seconds / workers, 1),
        "kilobytes a pair": round(run.size_mb * 1e3 / run.pairs, 1),
    }


# --- cost


@dataclass(frozen=True)
class Prices:
    """What a cloud charges, in dollars; given by the reader, as they differ and change.

    Attributes:
        core_hour: an hour of one core.
        gigabyte_month: a gigabyte kept for a month.
        thousand_writes: a thousand write requests.
        thousand_reads: a thousand read requests.
    """

    core_hour: float = 0.04
    gigabyte_month: float = 0.023
    thousand_writes: float = 0.005
    thousand_reads: float = 0.0004


def costs(
    pairs: float, pairs_a_second: float, kilobytes: float, prices: Prices
) -> dict[str, float]:
    """Dollars and sizes of mining some pairs once from object storage into object storage.

    Args:
        pairs: number of pairs, two files each.
        pairs_a_second: pairs that one core mines in a second.
        kilobytes: size of a pair.
        prices: what is paid.
    """
    core_hours = pairs / pairs_a_second / 3600
    gigabytes = pairs * kilobytes / 1e6
    shards = max(gigabytes * 1e3 / SHARD_MB, 1)
    return {
        "core hours": core_hours,
        "gigabytes": gigabytes,
        "shards": shards,
        "cores for one day": core_hours / 24,
        "$ cores": core_hours * prices.core_hour,
        "$ reads, a file each": 2 * pairs / 1e3 * prices.thousand_reads,
        "$ writes, two a shard": 2 * shards / 1e3 * prices.thousand_writes,
        "$ a month of storage": gigabytes * prices.gigabyte_month,
    }


def measure_cost(asked: argparse.Namespace) -> dict[str, Any]:
    """The costs of a million and of 100 million pairs."""
    if not (asked.pairs_a_second and asked.kilobytes):
        raise RequestError(
            "the speed and the size of a pair are missing",
            "cost",
            "give --pairs-a-second and --kilobytes, as large or a run of yours printed them",
        )
    prices = Prices(asked.core_hour, asked.gigabyte_month)
    both = {"a million pairs": 1e6, "100 million pairs": 1e8}
    return {
        name: costs(pairs, asked.pairs_a_second, asked.kilobytes, prices)
        for name, pairs in both.items()
    }


# --- command


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.mining",
        description=__doc__.splitlines()[0] if __doc__ else None,
    )
    made.add_argument(
        "what", choices=("speed", "cluster", "freed", "memory", "large", "cost", "once")
    )
    made.add_argument(
        "--pairs", type=int, help="pairs of a step (speed, cluster, freed) or of the run (large)"
    )
    made.add_argument("--pairs-for-two", type=int, default=8000, help="for speed: of two processes")
    made.add_argument(
        "--recordings",
        type=Path,
        help="for speed, freed: folder of recordings (rgb and tir) in place of the world's",
    )
    made.add_argument("--rounds", type=int, default=15, help="for speed, cluster and freed")
    made.add_argument("--shard-mb", type=int, default=SHARD_MB, help="for memory: size of a shard")
    made.add_argument("--counts", type=int, nargs="+", default=list(COUNTS), help="for memory")
    made.add_argument("--workers", type=int, default=2, help="for large: processes")
    made.add_argument("--folder", type=Path, help="folder for the pairs and shards (temporary)")
    made.add_argument("--pairs-a-second", type=float, help="for cost: speed of one core")
    made.add_argument("--kilobytes", type=float, help="for cost: size of a pair")
    made.add_argument("--core-hour", type=float, default=Prices.core_hour, help="for cost: dollars")
    made.add_argument(
        "--gigabyte-month", type=float, default=Prices.gigabyte_month, help="for cost: dollars"
    )
    made.add_argument("--rig", type=Path, help=argparse.SUPPRESS)
    made.add_argument("--out", type=Path)
    machine.add_watch_option(made)
    return made


def measured(asked: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], float | None]:
    """What was asked for, and the cores that others used meanwhile."""
    if asked.what == "cost":
        return measure_cost(asked), None
    if asked.what == "memory":
        return measure_memory(folder, asked.counts, asked.shard_mb), None
    watch = machine.Watch(assume_idle=asked.assume_idle)
    pace = Pace(asked.rounds, 1, 1)
    if asked.what == "large":
        result = measure_large(folder, asked.pairs or COUNTS[-1], asked.workers, watch)
    elif asked.what == "cluster":
        with connected(LOCAL, 2):
            result = measure_cluster(folder, asked.pairs or 4000, pace, watch)
            return result, watch.check()  # before Ray takes with it what it has used
    elif asked.what == "freed":
        result = measure_freed(folder, asked.pairs or 1500, pace, watch, asked.recordings)
    else:
        result = measure_speed(
            folder, asked.pairs or 2000, asked.pairs_for_two, pace, watch, asked.recordings
        )
    return result, watch.check()


def main() -> Iterable[str]:
    """Print the figures, write JSON when asked to."""
    asked = parser().parse_args()
    keep_freed_memory()  # as the command does
    if asked.what == "once":
        print(json.dumps(asdict(mined_once(asked.rig, asked.workers, asked.shard_mb))))
        return ()
    if asked.what == "large" and asked.folder is not None:
        result, others = measured(asked, asked.folder / "large")
    else:
        with tempfile.TemporaryDirectory(dir=asked.folder, prefix="tirtrack-mining-") as folder:
            result, others = measured(asked, Path(folder) / "pairs")
    for line in lines(result):
        print(line)
    if asked.out is not None:
        command = " ".join(["python -m benchmarks.mining", *sys.argv[1:]])
        write_json(asked.out, {**machine.facts(command, others), "result": result})
    return ()


def lines(result: Mapping[str, Any], indent: str = "") -> Iterable[str]:
    """The figures as text."""
    for name, value in result.items():
        if isinstance(value, Mapping):
            yield f"{indent}{name}:"
            yield from lines(value, f"{indent}  ")
        elif isinstance(value, list):
            yield f"{indent}{name}:"
            yield from (f"{indent}  {_row(one)}" for one in value)
        else:
            yield f"{indent}{name}: {_number(value)}"


def _row(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_number(one)}" for name, one in value.items())
    return str(value)


def _number(value: Any) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value}"


if __name__ == "__main__":
    sys.exit(ends("mining", main))
