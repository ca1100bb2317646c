"""The table of speeds on the first page, from two runs of ``benchmarks.track_speed``.

    python -m benchmarks.speed_table FIRST.json SECOND.json --out docs/figures/track_speed.json

``make bench`` makes such a run. Prints the table as Markdown, with the figures of both runs, and
writes both as one file. Two runs are refused that ended less than an hour apart, or that differ in
processor, revision or rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.command import ends
from tirtrack.errors import RequestError
from tirtrack.files import write_json

APART = timedelta(hours=1)
SAME = ("processor", "cores", "revision", "versions", "rounds", "frames_a_round")
COMMAND = "python -m benchmarks.speed_table"
HEAD = (
    "| network | engine | threads | frames | targets | ms, processor / wall | ratio, processor "
    "| ratio, wall | start, first / later, s | memory, MB |"
)
Run = Mapping[str, Any]


def main() -> Iterable[str]:
    """Check, print, write."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs=2, metavar="JSON")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    runs = sorted(map(read_run, arguments.runs), key=lambda run: run["time"])
    check_runs(runs)
    print(*markdown(runs), sep="\n")
    if arguments.out is not None:
        write_json(arguments.out, {"command": COMMAND, "runs": runs})
    return ()


def read_run(path: Path) -> Run:
    """A run as ``benchmarks.track_speed`` wrote it.

    Raises:
        RequestError: the file cannot be read, or is of another command.
    """
    try:
        run = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError("cannot be read as JSON", path) from error
    if not isinstance(run, dict) or not {"time", "rows", "starts", "goals", *SAME} <= run.keys():
        raise RequestError("was not written by python -m benchmarks.track_speed", path)
    return run


def check_runs(runs: Sequence[Run]) -> None:
    """Refuse two runs that are no repetition of each other.

    Args:
        runs: the two runs, the earlier one first.

    Raises:
        RequestError: they ended less than :data:`APART` apart, differ in what they measured, or
            are of code that no revision names.
    """
    first, second = runs
    for key in SAME:
        if first[key] != second[key]:
            raise RequestError(f"the runs differ in {key}: {first[key]} and {second[key]}")
    if first["revision"].endswith("-dirty"):
        raise RequestError(
            f"the runs are of code that differs from {first['revision']}", fix="commit it first"
        )
    if [row["case"] for row in first["rows"]] != [row["case"] for row in second["rows"]]:
        raise RequestError("the runs have not timed the same engines and networks")
    apart = datetime.fromisoformat(second["time"]) - datetime.fromisoformat(first["time"])
    if apart < APART:
        minutes = apart.total_seconds() / 60
        raise RequestError(
            f"the runs are {minutes:.0f} minutes apart, at least 60 are needed", fix="run it again"
        )


def markdown(runs: Sequence[Run]) -> Iterator[str]:
    """The table and the goals of two runs, line by line."""
    yield HEAD
    yield "|---" * (HEAD.count("|") - 1) + "|"
    for rows in zip(*(run["rows"] for run in runs), strict=True):
        case = rows[0]["case"]
        shown = [f"`{case['network']}`", case["engine"], case["threads"], case["frames"]]
        shown += [case["targets"], " and ".join(_median_ms(row["ms"]) for row in rows)]
        shown += [_ratios(rows, clock) for clock in ("processor", "wall")]
        shown += _start(runs, case)
        yield "| " + " | ".join(map(str, shown)) + " |"
    yield ""
    for goals in zip(*(run["goals"] for run in runs), strict=True):
        yield "* " + _goal(goals)


def _median_ms(ms: Mapping[str, Any]) -> str:
    return f"{ms['processor']['median']:.2f} / {ms['wall']['median']:.2f}"


def _ratios(rows: Sequence[Mapping[str, Any]], clock: str) -> str:
    ratios = [row["ahead"] or row["times_one"] for row in rows]
    spreads = [ratio[clock] for ratio in ratios if ratio is not None]
    return " and ".join(
        f"{one['median']:.2f} ({one['low']:.2f} to {one['high']:.2f})" for one in spreads
    )


def _start(runs: Sequence[Run], case: Mapping[str, Any]) -> list[str]:
    keys = ("network", "engine")
    starts = [
        one for run in runs for one in run["starts"] if all(one[key] == case[key] for key in keys)
    ]
    seconds = " and ".join(f"{one['first_s']:.2f} / {one['later_s']:.2f}" for one in starts)
    return [seconds, " and ".join(f"{one['memory_mb']:.0f}" for one in starts)]


def _goal(goals: Sequence[Mapping[str, Any]]) -> str:
    found = [goal["found"] for goal in goals]
    if None in found:
        return f"{goals[0]['name']}: not measured"
    verdict = "reached" if all(goal["is_reached"] for goal in goals) else "missed"
    side = "at least" if goals[0]["at_least"] else "at most"
    figures = " and ".join(f"{value:.2f}" for value in found)
    return f"{goals[0]['name']}: {figures}, {side} {goals[0]['limit']:g}: {verdict}"


if __name__ == "__main__":
    sys.exit(ends("speed_table", main))
