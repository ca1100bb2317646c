"""docs/evidence.md: the part that is made from kept results, and its picture; README.md has the
beginning of it.

What is made stands between two marks; what stands outside of them is written by hand.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.evidence import defaults, lite, table, v3
from benchmarks.evidence.amounts import amounts_text, gains_by_amount
from benchmarks.evidence.cached_parts import PartResults
from benchmarks.evidence.cameras import read_camera
from benchmarks.evidence.choice import (
    SHOWN,
    choice_text,
    compared_variants,
    kept_choice,
    made_choice,
)
from benchmarks.evidence.confirmation import confirmation_text, harm_sentence
from benchmarks.evidence.figure import LEGEND, Bar, forest
from benchmarks.evidence.plan import BASELINE, Plan, arms_of, changed_arms
from benchmarks.evidence.real_plan import RealPlan, read_real_plan
from benchmarks.evidence.records import Record, kept_records, wanted_seeds
from benchmarks.experiments.table import interval
from tirtrack.files import write_text

PICTURE = Path("pictures") / "evidence.svg"
BEGIN = "<!-- made by `python -m benchmarks.evidence --page`: begin -->\n"
END = "<!-- made by `python -m benchmarks.evidence --page`: end -->\n"
MADE = "<!-- no figures: made from docs/figures/evidence, as a test repeats -->\n"
OF_THE_WORLD = (
    "Table and figure are of {sequences} test sequences of the synthetic world, in TIR. An *arm* "
    "is one way to train, and [its name](#how-it-was-made) says which."
)
V3_MADE = "<!-- figures: v3_question -->\n"


@dataclass(frozen=True)
class Results:
    """All that is known.

    Attributes:
        plan: plan of the study.
        real: plan of questions 4 and 5.
        records: results of arms by name, in the order of the plan.
        cameras: results on other cameras by name.
        choice: kept parts of the choice of question 4 by name.
        chosen: content of ``choice.json``; ``None``: the choice was not made.
        confirmed: content of ``confirmed.json``; ``None``: the confirmation was not run.
        lite: answer to question 5, or the parts that it waits for.
        v3: answer to question 6, or the parts that it waits for.
    """

    plan: Plan
    real: RealPlan
    records: Mapping[str, Record]
    cameras: Mapping[str, Record]
    choice: Mapping[str, PartResults]
    chosen: PartResults | None
    confirmed: Record | None
    lite: Answer
    v3: Answer


@dataclass(frozen=True)
class Answer:
    """What a command found, or what it waits for.

    Attributes:
        found: content of its file; ``None``: it was not written.
        missing: number of parts without results.
        parts: number of parts.
    """

    found: Record | None
    missing: int
    parts: int


def read_results(plan: Plan, figures: Path) -> Results:
    """The kept results.

    Raises:
        RequestError: they are of an unknown arm, or belong to another plan, or the choice that was
            made is not that of its parts.
    """
    real = read_real_plan()
    records = kept_records(figures, plan)
    known: dict[str, Record] = {}
    if (bests := table.best_arms(plan, records)) is not None:
        every = {name: read_camera(figures, plan, name, bests) for name in plan.cameras.worlds}
        known = {name: record for name, record in every.items() if record["arms"]}
    choice = kept_choice(plan, real.gentle, figures / "real")
    return Results(
        plan,
        real,
        records,
        known,
        choice,
        chosen=made_choice(real.gentle, choice, figures / "real" / "choice.json"),
        confirmed=_content(figures / "real" / "confirmed.json"),
        lite=_answer(
            figures / "lite" / "answer.json", figures / "lite", lite.lite_parts(real.lite)
        ),
        v3=_answer(figures.parent / "v3_question.json", figures / "v3", v3.PARTS),
    )


def _content(file: Path) -> Record | None:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _answer(file: Path, folder: Path, parts: Sequence[tuple[str, str | int]]) -> Answer:
    """What stands in a file, and how many of the parts ``NAME-OTHER`` have no results."""
    missing = [one for one in parts if not (folder / f"{one[0]}-{one[1]}.json").is_file()]
    return Answer(_content(file), len(missing), len(parts))


def write_page(results: Results, page: Path, readme: Path) -> None:
    """Write the made parts of the page and of the first page, and the picture beside the page if
    there is any result.

    Raises:
        ValueError: one of the pages lacks the marks.
    """
    for file, part in ((page, made_part(results)), (readme, readme_part(results))):
        before, _, rest = file.read_text(encoding="utf-8").partition(BEGIN)
        _, mark, after = rest.partition(END)
        if not mark:
            raise ValueError(f"{file} must hold the marks that the made part stands between")
        write_text(file, f"{before}{BEGIN}{part}{END}{after}")
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
    """What stands between the marks: three sentences, table and figure, then the details."""
    blocks = [*_first_blocks(results)]
    if bars_of(results):
        blocks.append(f"![every arm minus the baseline]({PICTURE.as_posix()})")
        blocks.append(_made(OF_THE_WORLD.format(sequences=results.plan.world.size.test)))
    blocks += [*_answers(results), *_details(results)]
    blocks += ["## How many comparisons", _made(comparisons_text(results))]
    return "\n".join(f"{block}\n" for block in blocks)


def readme_part(results: Results) -> str:
    """What stands between the marks of the first page: three sentences and the table."""
    return "\n".join(f"{block}\n" for block in _first_blocks(results))


def _first_blocks(results: Results) -> Iterator[str]:
    """What a reader sees first."""
    sentences = [rgb_sentence(results), real_sentence(results), camera_sentence(results)]
    yield _made(_listed("\n".join(sentences)))
    if BASELINE in results.records:
        yield _made(table.summary(results.plan, results.records))


def _answers(results: Results) -> Iterator[str]:
    """A section for each question."""
    plan, records = results.plan, results.records
    bests = table.best_arms(plan, records)
    yield "## Question 1: what RGB adds"
    yield _made(_listed(table.answer(plan, bests, records)) if bests else kinds_text(results))
    yield "## Question 2: other cameras, and how much video"
    yield _made(cameras_text(results))
    if bests:
        yield _made(amounts_text(plan, bests, records))
    yield "## Question 3: the signal without labels"
    yield _made(
        table.signal(plan, records) or "Not known yet: it takes the baseline and three arms."
    )
    yield "## Question 4: real video"
    yield _made(choice_text(results.real.gentle, results.choice, results.chosen))
    if results.confirmed:
        yield _made(confirmation_text(results.confirmed))
    else:
        yield "The confirmation was not run yet (`python -m benchmarks.evidence.real confirm`)."
    of_lite = functools.partial(lite.lite_text, results.real.lite)
    yield "## Question 5: `dimp-lite`"
    yield _made(_said(results.lite, of_lite, "lite"))
    yield "## Question 6: V3 as published"
    yield _made(_said(results.v3, v3.v3_text, "v3"), V3_MADE if results.v3.found else MADE)


def _said(answer: Answer, text: Callable[[Record], str], command: str) -> str:
    """An answer in words, or what it waits for."""
    if answer.found is not None:
        return text(answer.found)
    return (
        f"Not known yet: {answer.missing} of {answer.parts} parts are missing "
        f"(`python -m benchmarks.evidence.{command}`)."
    )


def _details(results: Results) -> Iterator[str]:
    plan, records = results.plan, results.records
    yield "## Defaults"
    of_weights = defaults.weights_sentence(plan, results.confirmed)
    yield _made(f"{defaults.recipe_sentence(plan, records)}\n{of_weights}")
    if BASELINE in records:
        yield "## All arms"
        arms = {name: one for name, one in records.items() if "+" not in name}
        yield _made(table.markdown(plan, arms))
    if changes := table.single_changes(plan, records):
        yield "## Single changes"
        yield _made(changes)
    yield "## What is missing"
    yield _made(missing_text(results))


def _made(text: str, mark: str = MADE) -> str:
    """A text with the mark of made figures above each of its paragraphs."""
    return "\n\n".join(mark + part for part in re.split(r"\n{2,}", text.rstrip()))


def _listed(lines: str) -> str:
    return "\n".join(f"* {line}" for line in lines.splitlines())


# --- three sentences -----------------------------------------------------------------------------


def rgb_sentence(results: Results) -> str:
    """The answer to the first question in one sentence, and how much of the study it is from."""
    plan, records = results.plan, results.records
    missing, parts = table.missing_parts(plan, records)
    if missing:
        start = f"**Provisional**, with {parts - missing} of {parts} trainings done: in"
    else:
        start = "In"
    if (bests := table.best_arms(plan, records)) is None:
        return f"{start} a synthetic world what RGB adds is not known yet."
    found = table.rgb_gain(plan, bests, records)
    so_far = " so far" if missing else ""
    gained = interval(found.gained.model_dump())
    added = (
        f"{start} a synthetic world the best training with RGB (`{bests.rgb}`) minus the best with "
        f"TIR alone (`{bests.tir}`) is {gained} in {plan.primary}"
    )
    if found.share is None:
        return f"{added}; true boxes are not above TIR alone, so there is no answer{so_far}."
    if found.gained.low <= 0:
        return (
            f"{added}: no gain from RGB is shown, so the goal ({plan.thresholds.share_closed:g} of "
            f"what true boxes add to TIR alone) is not reached{so_far}."
        )
    reached = "reached" if found.is_reached else "not reached"
    return (
        f"{added}, {found.share:.2f} of what true boxes add, where the goal is "
        f"{plan.thresholds.share_closed:g}: it is {reached}{so_far}."
    )


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
    done, whole = len(results.cameras), len(results.plan.cameras.worlds)
    which = f"{done} other cameras of the synthetic world"
    if done < whole:
        which += f" ({whole} are planned)"
    return f"Of {which} the adapted tracker is above the baseline on {' and on '.join(counted)}."


def _bracketed(names: Sequence[str]) -> list[str]:
    return [f"({', '.join(names)})"] if names else []


def real_sentence(results: Results) -> str:
    """The answer to the fourth question in one sentence."""
    if results.confirmed:
        return harm_sentence(results.confirmed)
    return "Whether adapting harms a tracker on real video is not known yet."


# --- details -------------------------------------------------------------------------------------


def kinds_text(results: Results) -> str:
    """The kinds of arms without which nothing can be said of the first question."""
    known = table.best_by_kind(results.plan, results.records)
    kinds = [said for sees, said in LEGEND.items() if sees not in known]
    return f"Not known yet: no arm has results of the kind {' or '.join(kinds)}."


def cameras_text(results: Results) -> str:
    """The cameras without results in one sentence, and the table of the others."""
    worlds = results.plan.cameras.worlds
    missing = ", ".join(f"`{name}`" for name in worlds if name not in results.cameras)
    said = f"Not done yet: {missing} (`python -m benchmarks.evidence --cameras`)."
    shown = table.on_cameras(results.plan, results.cameras).rstrip() if results.cameras else ""
    return "\n\n".join(filter(None, [said if missing else "", shown]))


def missing_text(results: Results) -> str:
    """The arms without all of their seeds, and the single changes that were not trained."""
    return "\n\n".join(filter(None, [_missing_seeds(results), _missing_changes(results)]))


def _missing_changes(results: Results) -> str:
    """The single changes of the best arms that were not trained; empty if all were."""
    plan, records = results.plan, results.records
    if (bests := table.best_arms(plan, records)) is None:
        return ""
    every = [arm.name for arm in changed_arms(plan, [bests.tir, bests.rgb])]
    left = Counter(name.partition("+")[2] for name in every if name not in records)
    counted = ", ".join(f"{count} of `{factor}`" for factor, count in left.items())
    return counted and (
        f"Of the single changes of the best arms and their controls {sum(left.values())} of "
        f"{len(every)} were left out (`python -m benchmarks.evidence --factors`): {counted}."
    )


def _missing_seeds(results: Results) -> str:
    """The arms without all of their seeds."""
    plan = results.plan
    arms: dict[str, list[str]] = {}
    for arm in arms_of(plan).values():
        seeds = results.records.get(arm.name, {"seeds": {}})["seeds"]
        if left := [
            str(seed) for seed in wanted_seeds(plan, results.records, arm) if str(seed) not in seeds
        ]:
            arms.setdefault(", ".join(left), []).append(f"`{arm.name}`")
    lines = [f"* Seed {seeds} of {', '.join(names)}." for seeds, names in arms.items()]
    if not lines:
        return "Nothing of the arms: every one has all of its seeds."
    return "\n".join(["Answers are provisional while an arm lacks a seed:", "", *lines])


def comparisons_text(results: Results) -> str:
    """How many comparisons the page shows, and which of them were to decide."""
    return (
        f"This page shows {sum(comparisons(results))} comparisons: differences, and the rank "
        "correlation of question 3. To decide were the first question on the test sequences and "
        "the two rules of the defaults; all others are exploratory, and nothing follows from a "
        "single interval that just excludes zero."
    )


def comparisons(results: Results) -> Iterator[int]:
    """Numbers of comparisons that the tables and answers of the page show, each once."""
    plan, records = results.plan, results.records
    if BASELINE in records:
        figures = (plan.primary, table.SECOND)
        yield len(figures) * sum("+" not in name and name != BASELINE for name in records)
    yield len(table.changed(records))
    if bests := table.best_arms(plan, records):
        gains = gains_by_amount(plan, bests, records)
        yield 2 + sum(one is not None for row in gains.values() for one in row)
    yield sum(len(record["arms"]) - 1 for record in results.cameras.values())
    yield 1 if table.signal_rank(plan, records) else 0
    yield len(SHOWN) * len(compared_variants(results.real.gentle, results.choice))
    if results.confirmed:
        yield sum(map(len, results.confirmed["rows"].values()))
    if results.lite.found:
        yield sum(1 + len(row["over_controls"]) for row in results.lite.found["rows"].values())
    if results.v3.found:
        yield len(v3.PLACES) * len(v3.OTHERS) * len(v3.COMPARED)
