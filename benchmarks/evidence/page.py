"""docs/evidence.md: the part that is made from kept results, and its picture.

The part stands between two marks; what stands outside of them is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evidence import defaults, table
from benchmarks.evidence.cameras import read_camera
from benchmarks.evidence.figure import Bar, forest
from benchmarks.evidence.plan import BASELINE, Plan, arms_of
from benchmarks.evidence.records import Record, kept_records
from benchmarks.experiments.table import interval
from tirtrack.files import write_text

PICTURE = Path("pictures") / "evidence.svg"
BEGIN = "<!-- made by `python -m benchmarks.evidence --page`: begin -->\n"
END = "<!-- made by `python -m benchmarks.evidence --page`: end -->\n"
MADE = "<!-- no figures: made from docs/figures/evidence, as a test repeats -->\n"


@dataclass(frozen=True)
class Results:
    """All that is known.

    Attributes:
        plan: plan of the study.
        records: results of arms by name, in the order of the plan.
        cameras: results on other cameras by name.
        confirmed: content of ``confirmed.json``; ``None``: the confirmation was not run.
    """

    plan: Plan
    records: Mapping[str, Record]
    cameras: Mapping[str, Record]
    confirmed: Record | None = None


def read_results(plan: Plan, figures: Path) -> Results:
    """The kept results.

    Raises:
        RequestError: they are of an unknown arm, or belong to another plan.
    """
    records = kept_records(figures, plan)
    known: dict[str, Record] = {}
    if (bests := table.best_arms(plan, records)) is not None:
        every = {name: read_camera(figures, plan, name, bests) for name in plan.cameras.worlds}
        known = {name: record for name, record in every.items() if record["arms"]}
    file = figures / "real" / "confirmed.json"
    confirmed = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
    return Results(plan, records, known, confirmed)


def write_page(results: Results, page: Path) -> None:
    """Write the made part of the page, and its picture beside the page if there is any result.

    Raises:
        ValueError: the page lacks the marks.
    """
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{page} must hold the marks that the made part stands between")
    write_text(page, f"{before}{BEGIN}{made_part(results)}{END}{after}")
    if bars := bars_of(results):
        write_text(page.parent / PICTURE, picture(results, bars))


def picture(results: Results, bars: list[Bar]) -> str:
    """The figure of the page, as SVG."""
    return forest(bars, f"{results.plan.primary} minus baseline, 95 % interval")


def bars_of(results: Results) -> list[Bar]:
    """Rows of the figure: every arm with results, single changes left out."""
    if BASELINE not in results.records:
        return []
    start, score = results.records[BASELINE], results.plan.primary
    return [
        Bar(arm.name, arm.sees, table.difference(results.records[arm.name], start, score))
        for arm in arms_of(results.plan).values()
        if arm.levels and arm.name in results.records
    ]


def made_part(results: Results) -> str:
    """What stands between the marks: three sentences, figure, table, then the details."""
    return "\n".join(f"{block}\n" for block in _blocks(results))


def _blocks(results: Results) -> Iterator[str]:
    plan, records = results.plan, results.records
    yield MADE + "\n".join(
        [rgb_sentence(results), camera_sentence(results), signal_sentence(results)]
    )
    if bars_of(results):
        yield f"![every arm minus the baseline]({PICTURE.as_posix()})"
        arms = {name: one for name, one in records.items() if "+" not in name}
        yield MADE + table.markdown(plan, arms).rstrip()
    yield "## What is missing"
    yield MADE + missing_text(results)
    if bests := table.best_arms(plan, records):
        yield "## Question 1: what RGB adds"
        yield MADE + _listed(table.answer(plan, bests, records))
    if results.cameras:
        yield "## Question 2: other cameras"
        yield MADE + table.on_cameras(plan, results.cameras).rstrip()
    if said := table.signal(plan, records):
        yield "## Question 3: the signal without labels"
        yield MADE + _listed(said)
    if changes := table.single_changes(plan, records):
        yield "## Single changes"
        yield MADE + changes.rstrip()
    yield "## Defaults"
    yield MADE + "\n".join(
        [
            defaults.recipe_sentence(plan, records),
            defaults.weights_sentence(plan, results.confirmed),
        ]
    )
    yield "## How many comparisons"
    yield MADE + comparisons_text(results)


def _listed(lines: str) -> str:
    return "\n".join(f"* {line}" for line in lines.splitlines())


# --- three sentences -----------------------------------------------------------------------------


def rgb_sentence(results: Results) -> str:
    """The answer to the first question in one sentence."""
    plan, records = results.plan, results.records
    missing, parts = table.missing_parts(plan, records)
    if (bests := table.best_arms(plan, records)) is None:
        return f"What RGB adds is not known yet: {missing} of {parts} trainings are missing."
    found = table.rgb_gain(plan, bests, records)
    so_far = " so far" if missing else ""
    gained = interval(found.gained.model_dump())
    added = (
        f"The best training with RGB (`{bests.rgb}`) gains {gained} in {plan.primary} over the "
        f"best with TIR alone (`{bests.tir}`)"
    )
    if found.share is None:
        return f"{added}; true boxes are not above the latter, so there is no answer{so_far}."
    reached = "reached" if found.is_reached else "not reached"
    return f"{added}, {found.share:.2f} of what true boxes gain: the goal is {reached}{so_far}."


def camera_sentence(results: Results) -> str:
    """The answer to the second question in one sentence."""
    bests = table.best_arms(results.plan, results.records)
    if not results.cameras or bests is None:
        return "How far an adapted tracker carries is not known yet: no other camera is done."
    carried = {
        arm: [
            name for name, one in results.cameras.items() if table.carries(results.plan, one, arm)
        ]
        for arm in (bests.rgb, bests.tir)
    }
    counted = [
        f"{' '.join([str(len(names)), *_bracketed(names)])} with `{arm}`"
        for arm, names in carried.items()
    ]
    return (
        f"Of {len(results.cameras)} other cameras the adapted tracker is above the baseline on "
        f"{' and on '.join(counted)}."
    )


def _bracketed(names: Sequence[str]) -> list[str]:
    return [f"({', '.join(names)})"] if names else []


def signal_sentence(results: Results) -> str:
    """The answer to the third question in one sentence."""
    found = table.signal_rank(results.plan, results.records)
    if found is None:
        return "Whether a signal without labels predicts the gain is not known yet."
    verdict = "it is the verdict of `distill`" if found.is_verdict else "`distill` cannot tell"
    so_far = " so far" if table.missing_parts(results.plan, results.records)[0] else ""
    return (
        f"The signal without labels ranks trainings as their gains do with a correlation of "
        f"{found.correlation:.2f} [{found.low:.2f}, {found.high:.2f}]: {verdict}{so_far}."
    )


# --- details -------------------------------------------------------------------------------------


def missing_text(results: Results) -> str:
    """The arms without all of their seeds, and the cameras without results."""
    plan = results.plan
    arms: dict[str, list[str]] = {}
    for arm in arms_of(plan).values():
        seeds = results.records.get(arm.name, {"seeds": {}})["seeds"]
        if left := [str(seed) for seed in arm.seeds(plan) if str(seed) not in seeds]:
            arms.setdefault(", ".join(left), []).append(f"`{arm.name}`")
    lines = [f"* Seed {seeds} of {', '.join(names)}." for seeds, names in arms.items()]
    cameras = [f"`{name}`" for name in plan.cameras.worlds if name not in results.cameras]
    lines += [f"* Cameras: {', '.join(cameras)}."] if cameras else []
    if not lines:
        return "Nothing: every arm has all of its seeds, and every camera is done."
    return "\n".join(["Answers are provisional while an arm lacks a seed:", "", *lines])


def comparisons_text(results: Results) -> str:
    """How many differences the page shows, and which of them were to decide."""
    changes = sum("+" in name for name in results.records)
    count = 2 * len(bars_of(results)) + changes + 2 * len(results.cameras)
    count += 2 if table.best_arms(results.plan, results.records) else 0
    return (
        f"This page shows {count} differences. To decide were the first question on the test "
        "sequences and the two rules of the defaults; all others are exploratory, and nothing "
        "follows from a single interval that just excludes zero."
    )
