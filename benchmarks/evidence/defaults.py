"""The rules of the defaults in docs/evidence_plan.md, decided from kept results.

The recipe for video: the best arm with RGB must be above the baseline and above its best control,
the best arm without RGB. The weights of ``track``: ``nano-tir`` against ``nano-rgb``, on real sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.evidence.plan import BASELINE, Plan
from benchmarks.evidence.records import Record
from benchmarks.evidence.score_rows import OF_SETS
from benchmarks.evidence.table import Bests, best_arms, difference, missing_parts


def is_new_recipe(plan: Plan, bests: Bests, records: Mapping[str, Record]) -> bool:
    """Whether the best arm with RGB becomes the default for video."""
    best = records[bests.rgb]
    others = [records[name] for name in (BASELINE, bests.tir)]
    return all(difference(best, other, plan.primary).low > 0 for other in others)


def nano_tir_stays(plan: Plan, confirmed: Mapping[str, Any]) -> bool:
    """Whether ``nano-tir`` stays the default of ``track``: lower than ``nano-rgb`` by at most the
    threshold on every real set, and above it on the primary figure or on ``camel``.

    Args:
        plan: plan of the study.
        confirmed: content of ``confirmed.json``.
    """
    figures = confirmed["rows"]["nano-tir"]
    sets = [name for name in figures if name == "camel" or name.startswith(OF_SETS)]
    is_harmless = all(figures[name]["mean"] >= plan.thresholds.harm for name in sets)
    return is_harmless and any(figures[name]["low"] > 0 for name in ("primary", "camel"))


def recipe_sentence(plan: Plan, records: Mapping[str, Record]) -> str:
    """What the first rule decides."""
    bests = best_arms(plan, records)
    if bests is None or BASELINE not in records:
        return "The default recipe for video is not decided yet."
    so_far = " so far" if missing_parts(plan, records)[0] else ""
    if is_new_recipe(plan, bests, records):
        is_default = "stays" if bests.rgb == plan.recipe else "becomes"
        return (
            f"`{bests.rgb}` {is_default} the default recipe for video{so_far}: it is above the "
            f"baseline and above its best control, `{bests.tir}`."
        )
    return (
        f"`{plan.recipe}` stays the default recipe for video{so_far}, for want of a better one: "
        f"the best training with RGB, `{bests.rgb}`, is not above both the baseline and its best "
        f"control, `{bests.tir}`."
    )


def weights_sentence(plan: Plan, confirmed: Mapping[str, Any] | None) -> str:
    """What the second rule decides; ``None``: the confirmation was not run."""
    if confirmed is None:
        return "The default weights of `track` are not decided yet."
    chosen = "`nano-tir` stays" if nano_tir_stays(plan, confirmed) else "`nano-rgb` becomes"
    return (
        f"{chosen} the default of `track`. The sets of the primary figure and `camel` chose it, so "
        "they are no test of it."
    )
