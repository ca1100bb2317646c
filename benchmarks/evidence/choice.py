"""Question 4: the gentle training that is chosen on the world and on ``tir_video``.

The variants of ``real.yaml`` are trained on the recordings of the study's world and on real TIR;
the rule of docs/evidence_plan.md chooses one.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.evidence.cached_parts import PartResults, cached_part, kept_part, run_all
from benchmarks.evidence.gentle import TRAININGS, Real, baseline_of, real_pairs, rows_on
from benchmarks.evidence.plan import BASELINE, Plan
from benchmarks.evidence.real_plan import PLAIN, Gentle, gentle_identity
from benchmarks.evidence.score_rows import numbers, over_sequences, over_sets, sha256_of
from benchmarks.evidence.worlds import render
from benchmarks.experiments.table import PRIMARY, interval, markdown_table
from tirtrack.datasets import open_dataset
from tirtrack.errors import RequestError
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.files import write_json
from tirtrack.identity import first_change

FIGURES = {"world": "success", "tir_video": PRIMARY}
"""The figure of each place that the choice looks at."""
_DIFFERENCES = {"world": over_sequences, "tir_video": over_sets}
_PLACES = {"world": "world", "tir_video": "`tir_video`"}
_DATA = {"world": "the world", "real": "real TIR"}
SHOWN = {
    **{
        f"trained on {_DATA[where]}: {_PLACES[place]}": (place, (where,))
        for where in TRAININGS
        for place in FIGURES
    },
    f"both: {_PLACES['tir_video']}": ("tir_video", tuple(TRAININGS)),
}
"""Place and trainings of each column of the table of the choice, by its head."""


def choice_parts(gentle: Gentle) -> list[str]:
    """``baseline``, and ``VARIANT-DATA`` for every variant."""
    return [BASELINE, *(f"{one}-{where}" for one in gentle.variants for where in TRAININGS)]


def part_file(figures: Path, name: str) -> Path:
    """The file of a part of the choice."""
    return figures / "choice" / f"{name}.json"


def identity_of_part(plan: Plan, gentle: Gentle, name: str) -> dict[str, Any]:
    """What a part of the choice depends on but for the code, as JSON values."""
    variant, _, where = name.partition("-")
    changes = None if name == BASELINE else gentle.variants[variant].changes
    return gentle_identity(plan, gentle, changes=changes, data=where, seed=gentle.seeds[0])


def part_of_choice(real: Real, name: str) -> PartResults:
    """Rows of a part on the validation sequences of the world and on ``tir_video``."""
    variant, _, where = name.partition("-")
    seed = real.gentle.seeds[0]

    def make() -> PartResults:
        spec = baseline_of(real) if name == BASELINE else TRAININGS[where](real, variant, seed)
        world = open_dataset(real.study.world / "validation")
        return {
            "weights_sha256": sha256_of(spec),
            "world": rows_on(real, spec, world, "world"),
            "tir_video": rows_on(real, spec, open_dataset(real.data("tir_video")), "tir_video"),
        }

    identity = identity_of_part(real.plan, real.gentle, name)
    return cached_part(part_file(real.figures, name), identity, make)


def kept_choice(plan: Plan, gentle: Gentle, figures: Path) -> dict[str, PartResults]:
    """The parts of the choice that have results, by name.

    Raises:
        RequestError: they belong to another plan.
    """
    found = {
        name: kept_part(part_file(figures, name), identity_of_part(plan, gentle, name))
        for name in choice_parts(gentle)
    }
    return {name: results for name, results in found.items() if results is not None}


def minus_baseline(
    parts: Mapping[str, PartResults], variant: str, place: str, trainings: Iterable[str]
) -> ScoreDifference:
    """A variant minus the baseline in the figure of a place, mean of trainings."""
    runs = [parts[f"{variant}-{where}"][place] for where in trainings]
    return _DIFFERENCES[place](runs, [parts[BASELINE][place]], FIGURES[place])


def chosen_of(gentle: Gentle, parts: Mapping[str, PartResults]) -> PartResults:
    """The choice by the rule that was written down: of the variants that keep their share of the
    gain of ``plain`` in the world, the one whose interval on ``tir_video`` ends highest below.

    Args:
        gentle: variants and rule.
        parts: results of :func:`choice_parts`, by name.
    """
    gains = {name: minus_baseline(parts, name, "world", ["world"]) for name in gentle.variants}
    harms = {name: minus_baseline(parts, name, "tir_video", TRAININGS) for name in gentle.variants}
    least = gentle.keeps * max(gains[PLAIN].mean, 0.0)
    keeping = [variant for variant, gain in gains.items() if gain.mean >= least]
    return {
        "chosen": max(keeping or gains, key=lambda variant: harms[variant].low),
        "keeps_enough": keeping,
        "world_success": {name: numbers(one) for name, one in gains.items()},
        "tir_video_primary": {name: numbers(one) for name, one in harms.items()},
    }


def missing_of(gentle: Gentle, parts: Mapping[str, PartResults]) -> list[str]:
    """The parts of the choice without results."""
    return [name for name in choice_parts(gentle) if name not in parts]


def made_choice(gentle: Gentle, parts: Mapping[str, PartResults], file: Path) -> PartResults | None:
    """The choice that stands in a file, which is what is confirmed; ``None`` without one.

    Args:
        gentle: variants and rule.
        parts: results of :func:`choice_parts` so far, by name.
        file: ``choice.json``.

    Raises:
        RequestError: the rule makes another choice from these parts.
    """
    if not file.is_file():
        return None
    made: PartResults = json.loads(file.read_text(encoding="utf-8"))
    if missing_of(gentle, parts):
        return made
    now = chosen_of(gentle, parts)
    said = ("chosen", "keeps_enough")
    if change := first_change({key: made[key] for key in said}, {key: now[key] for key in said}):
        raise RequestError(
            f"the rule makes a choice with another {change}", file, "restore its parts and the plan"
        )
    return made


def choice_text(
    gentle: Gentle, parts: Mapping[str, PartResults], made: PartResults | None = None
) -> str:
    """What was chosen, or how much of the choice is missing, and the table of what is there.

    Args:
        gentle: variants and rule.
        parts: results of :func:`choice_parts` so far, by name.
        made: choice that was made; ``None``: what the rule chooses now, if no part is missing.
    """
    missing, whole = missing_of(gentle, parts), len(choice_parts(gentle))
    if made is None and missing:
        said = f"Nothing is chosen yet: {len(missing)} of {whole} parts are missing."
    else:
        said = choice_sentence(made or chosen_of(gentle, parts))
        if missing:
            said += f" Not checked: {len(missing)} of {whole} of its parts are missing."
    if shown := choice_table(gentle, parts):
        return (
            f"{said} Success on the validation sequences of the world, and the primary figure on "
            f"`tir_video`, minus `{BASELINE}` [95 %]:\n\n{shown}"
        )
    return said


def choice_sentence(choice: Mapping[str, Any]) -> str:
    """What :func:`chosen_of` chose, and from what."""
    return (
        f"The rule chooses `{choice['chosen']}`: of {among_which(choice)} its interval on "
        "`tir_video`, mean of both trainings, ends highest below."
    )


def among_which(choice: Mapping[str, Any]) -> str:
    """The variants that :func:`chosen_of` chose from."""
    keeping = ", ".join(f"`{name}`" for name in choice["keeps_enough"])
    if not keeping:
        return "all variants, as each loses in the world,"
    if choice["world_success"][PLAIN]["mean"] > 0:
        return f"those that keep enough of the gain of `{PLAIN}` in the world ({keeping})"
    return f"those that lose nothing in the world, where `{PLAIN}` gains nothing ({keeping}),"


def choice_table(gentle: Gentle, parts: Mapping[str, PartResults]) -> str:
    """What each variant that has all of its parts gains over the baseline; empty without any."""
    rows = []
    for name in compared_variants(gentle, parts):
        shown = [
            interval(numbers(minus_baseline(parts, name, place, trainings)))
            for place, trainings in SHOWN.values()
        ]
        rows.append([f"`{name}`", *shown, gentle.variants[name].summary])
    return markdown_table(["variant", *SHOWN, "what it is"], rows) if rows else ""


def compared_variants(gentle: Gentle, parts: Mapping[str, PartResults]) -> list[str]:
    """The variants that have all of their parts, beside the baseline."""
    return [
        name
        for name in gentle.variants
        if {BASELINE, *(f"{name}-{where}" for where in TRAININGS)} <= parts.keys()
    ]


def choose(real: Real, workers: int) -> list[str]:
    """Run the parts of the choice that are due, and write it.

    Returns:
        One line for each part that failed.

    Raises:
        RequestError: another world lies where the study keeps its own.
    """
    if real.choice.is_file():
        print(f"the choice is made: {real.choice}", file=sys.stderr)
        return []
    render(real.plan.world, real.study, workers)
    real_pairs(real)  # its links are made once, before the workers ask for them
    jobs = {
        name: functools.partial(part_of_choice, real, name) for name in choice_parts(real.gentle)
    }
    parts, faults = run_all(jobs, workers)
    if not faults:
        found = chosen_of(real.gentle, parts)
        command = "python -m benchmarks.evidence.real choose"
        write_json(real.choice, {"command": command, **found})
    return faults
