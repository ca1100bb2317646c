"""Renders the world, trains and evaluates the arms of the plan, and prints the table.

    python -m benchmarks.evidence --out runs/evidence
    python -m benchmarks.evidence --only true_boxes-tir-30 mixed --workers 2
    python -m benchmarks.evidence --factors
    python -m benchmarks.evidence --cameras
    python -m benchmarks.evidence --page

What is finished is kept, and a second call goes on: seeds of arms in ``docs/figures/evidence``,
trainings and evaluations that were stopped below OUT. docs/evidence_plan.md is the plan in words.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.command import ROOT, ends
from benchmarks.evidence import table
from benchmarks.evidence.cameras import cameras_due, place_of, run_cameras, world_of
from benchmarks.evidence.page import read_results, write_page
from benchmarks.evidence.parts import Ended, Workplace, run_part
from benchmarks.evidence.plan import (
    BASELINE,
    PLAN,
    Arm,
    Plan,
    arms_of,
    changed_arms,
    chosen_arms,
    read_plan,
    waiting_arms,
)
from benchmarks.evidence.records import add_part, kept_records, parts_due
from benchmarks.evidence.worlds import prepare, render
from benchmarks.in_parallel import in_parallel
from tirtrack.errors import RequestError
from tirtrack.files import write_text

PAGE = ROOT / "docs" / "evidence.md"
README = ROOT / "README.md"


def run(plan: Plan, arms: Sequence[Arm], at: Workplace, figures: Path, workers: int) -> list[str]:
    """Run the parts that are due until none is or one fails: the first seeds say which arms get
    others.

    Returns:
        One line for each part that failed.
    """
    faults: list[str] = []
    while not faults and (due := parts_due(figures, plan, arms)):
        faults = run_due(plan, due, at, figures, workers)
    return faults


def run_due(
    plan: Plan, due: Sequence[tuple[Arm, int]], at: Workplace, figures: Path, workers: int
) -> list[str]:
    """Run parts, and add each to the file of its arm as it ends. Those that need the student of
    another arm come last.

    Returns:
        One line for each part that failed.
    """
    prepare(plan, [arm for arm, _ in due], at, workers)
    faults: list[str] = []

    def ended(part: Ended) -> str:
        name = f"{part.arm.name}, seed {part.seed}"
        if part.results is None:
            faults.append(f"{name}: {part.fault}")
            return f"{name} failed"
        add_part(figures, plan, part.arm, part.seed, part.results)
        return name

    for is_second in (False, True):
        jobs = [
            functools.partial(run_part, plan, arm, seed, at)
            for arm, seed in due
            if bool(arm.first_round) is is_second
        ]
        in_parallel(jobs, workers, "part", ended=ended)
    return faults


def tell_waiting(plan: Plan) -> None:
    """Name the arms that cannot run yet on stderr."""
    for name, reason in waiting_arms(plan, arms_of(plan).values()).items():
        print(f"evidence: {name} is left out, it waits for {reason}", file=sys.stderr)


def known_bests(plan: Plan, figures: Path) -> table.Bests:
    """The best arms by what is known.

    Raises:
        RequestError: results are missing, or belong to another plan.
    """
    if (bests := table.best_arms(plan, kept_records(figures, plan))) is None:
        raise RequestError(
            "no arms are best yet", figures, "run some with TIR alone, with RGB and on true boxes"
        )
    return bests


def run_on_cameras(
    plan: Plan, names: Sequence[str], at: Workplace, figures: Path, workers: int
) -> None:
    """Evaluate the best arms on other cameras: those named, or all, unless they have results.

    Raises:
        RequestError: a camera is unknown, another world lies there, or no arms are best yet.
    """
    bests = known_bests(plan, figures)
    due = cameras_due(figures, plan, list(names) or list(plan.cameras.worlds), bests)
    if not due:
        return
    render(plan.world, at, workers)  # the best arms are trained on it where their weights are gone
    for camera in due:
        render(world_of(plan, camera), place_of(at, camera), workers)
    run_cameras(plan, due, bests, at, figures, workers)


def show(plan: Plan, figures: Path, out: Path) -> None:
    """Print and write the table of all arms with results, and the answer if there is one.

    Raises:
        RequestError: kept results are of an unknown arm, or belong to another plan.
    """
    records = kept_records(figures, plan)
    if BASELINE not in records:
        print(f"no table yet: {BASELINE} has no results", file=sys.stderr)
        return
    text = table.markdown(plan, records)
    if bests := table.best_arms(plan, records):
        text += "\n" + table.answer(plan, bests, records) + "\n"
    if said := table.signal(plan, records):
        text += "\n" + said + "\n"
    write_text(out / "table.md", text)
    print(text)


def options_of() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--plan", type=Path, default=PLAN)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "evidence")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs" / "figures" / "evidence")
    parser.add_argument("--only", nargs="*", default=[], help="arms: ARM or ARM+FACTOR")
    parser.add_argument(
        "--factors", action="store_true", help="run the single changes of the best arms instead"
    )
    parser.add_argument(
        "--cameras", nargs="*", help="evaluate the best arms on other cameras instead: all, or NAME"
    )
    parser.add_argument(
        "--page", action="store_true", help=f"write {PAGE.name} and {README.name}, run nothing"
    )
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def run_arms(plan: Plan, options: argparse.Namespace) -> Iterator[str]:
    """Run arms, give one line for each part that failed, and then show the table."""
    if options.factors:
        bests = known_bests(plan, options.figures)
        arms = changed_arms(plan, [bests.tir, bests.rgb])
    else:
        arms = chosen_arms(plan, options.only)
        if not options.only:
            tell_waiting(plan)
    yield from run(plan, arms, Workplace(options.out), options.figures, options.workers)
    show(plan, options.figures, options.out)


def run_asked(options: argparse.Namespace) -> Iterable[str]:
    """Run what the options ask for; one line for each part that failed."""
    plan = read_plan(options.plan)
    if options.page:
        write_page(read_results(plan, options.figures), PAGE, README)
        return []
    if options.cameras is None:
        return run_arms(plan, options)
    at = Workplace(options.out)
    run_on_cameras(plan, options.cameras, at, options.figures, options.workers)
    return []


def main() -> int:
    """The command."""
    return ends("evidence", functools.partial(run_asked, options_of()))


if __name__ == "__main__":
    sys.exit(main())
