"""Question 2: how much video it takes, from single changes of the best arms."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.evidence.plan import BASELINE, Plan
from benchmarks.evidence.records import Record
from benchmarks.evidence.table import Bests, difference, with_seeds
from benchmarks.experiments.table import interval, markdown_table
from tirtrack.evaluation.statistics import ScoreDifference


def arms_by_amount(plan: Plan, bests: Bests) -> dict[int, list[str]]:
    """The arms to compare, the best without and with RGB, by the number of recordings that they are
    trained on, fewest first.
    """
    amounts = {plan.world.size.recordings: ""}
    for factor, level in plan.factors.items():
        if level.recordings.first:
            amounts[level.recordings.first] = f"+{factor}"
    arms = (bests.tir, bests.rgb)
    return {count: [f"{arm}{amounts[count]}" for arm in arms] for count in sorted(amounts)}


def gains_by_amount(
    plan: Plan, bests: Bests, records: Mapping[str, Record]
) -> dict[int, list[ScoreDifference | None]]:
    """The same arms minus the baseline, all with the one seed that single changes have; ``None``
    where an arm has no results. Empty where none but the whole number of recordings was trained on.
    """
    arms = arms_by_amount(plan, bests)
    if not any("+" in name and name in records for names in arms.values() for name in names):
        return {}
    seed = [str(plan.seeds[0])]

    def gain(name: str) -> ScoreDifference | None:
        if name not in records:
            return None
        return difference(with_seeds(records[name], seed), records[BASELINE], plan.primary)

    return {count: [gain(name) for name in names] for count, names in arms.items()}


def amounts_text(plan: Plan, bests: Bests, records: Mapping[str, Record]) -> str:
    """The command for what is not trained yet, the table of the rest, and for each arm the fewest
    recordings with which it is above the baseline.
    """
    gains = gains_by_amount(plan, bests, records)
    every = [name for names in arms_by_amount(plan, bests).values() for name in names]
    parts = []
    if missing := [name for name in every if name not in records]:
        parts.append(
            f"How much video it takes is not known yet{' in full' if gains else ''} "
            f"(`python -m benchmarks.evidence --only {' '.join(missing)}`)."
        )
    if gains:
        size = plan.world.size
        each = (
            f"A recording has {size.pairs_each} frames, {size.spacing_frames} apart in the video."
        )
        parts += [_table(bests, gains), f"{_fewest(bests, gains)} {each}"]
    return "\n\n".join(parts)


def _table(bests: Bests, gains: Mapping[int, list[ScoreDifference | None]]) -> str:
    """A row for each number of recordings."""
    rows = [
        [str(count), *(interval(one.model_dump()) if one else "" for one in row)]
        for count, row in gains.items()
    ]
    head = [f"{arm}: minus baseline [95 %], one seed" for arm in (bests.tir, bests.rgb)]
    return markdown_table(["recordings", *head], rows).rstrip()


def _fewest(bests: Bests, gains: Mapping[int, list[ScoreDifference | None]]) -> str:
    """The fewest recordings with which an arm is above the baseline with its whole interval."""
    fewest = []
    for column, arm in enumerate((bests.tir, bests.rgb)):
        enough = [count for count, row in gains.items() if (one := row[column]) and one.low > 0]
        fewest.append(f"{min(enough, default='none')} with `{arm}`")
    return f"The fewest recordings with an interval above zero: {', '.join(fewest)}."
