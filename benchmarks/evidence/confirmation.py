"""Question 4: the chosen training and the best arms of the study, confirmed once on real video."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.evidence import camel
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.choice import choice_parts, kept_choice, made_choice, missing_of
from benchmarks.evidence.gentle import (
    TRAININGS,
    Real,
    baseline_of,
    real_pairs,
    rows_on,
    train_gently,
)
from benchmarks.evidence.parts import trained
from benchmarks.evidence.plan import BASELINE, arm_called, recipe_of
from benchmarks.evidence.real_plan import PLAIN, gentle_identity, gentle_recipe, training_of
from benchmarks.evidence.records import kept_records
from benchmarks.evidence.score_rows import (
    by_cover,
    by_set,
    numbers,
    over_recordings,
    over_sets,
    sha256_of,
)
from benchmarks.evidence.table import Bests, best_arms, missing_parts
from benchmarks.evidence.worlds import render
from benchmarks.experiments import data
from benchmarks.experiments.table import PRIMARY, interval, markdown_table
from tirtrack.datasets import open_dataset
from tirtrack.errors import RequestError
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import sha256, write_json
from tirtrack.weights import store

SMOKE_PAIRS = ("m3svd_video/0111_1716", "m3svd_video/0113_1714")
SMOKE_HELD_BACK = "m3svd_video/1230_1202"
SMOKE_SET = "m3svd"
SECOND_LOOK = (
    "the primary figure is a second look at the chosen variant: it was chosen on the same "
    "sequences, with the first of its seeds; earlier work has seen them too"
)


@dataclass(frozen=True)
class ConfirmedTracker:
    """A tracker of the confirmation.

    Attributes:
        row: row of the table; its trackers are averaged.
        spec_of: function that gives it, and trains it first if need be.
        training: what it depends on, as JSON values.
    """

    row: str
    spec_of: Callable[[], TrackerSpec]
    training: Mapping[str, Any]


def trackers_to_confirm(real: Real, chosen: str, bests: Bests) -> dict[str, ConfirmedTracker]:
    """All trackers that are evaluated on the primary figure and on ``camel``, by name."""
    plan, baseline = real.plan, functools.partial(baseline_of, real)
    found = {BASELINE: ConfirmedTracker(BASELINE, baseline, {})}
    for name, weights in (("v3", str(real.shared / data.V3)), ("nano-tir", "nano-tir")):
        spec = functools.partial(TrackerSpec, name, weights, plan.preset)
        found[name] = ConfirmedTracker(
            name, spec, {"weights": name, "sha256": sha256(store.find(weights))}
        )
    changes = real.gentle.variants[chosen].changes
    for where, train in TRAININGS.items():
        for seed in real.gentle.seeds:
            made = functools.partial(train, real, chosen, seed)
            training = {"changes": changes, "data": where, "seed": seed}
            found[f"{chosen}-{where}-{seed}"] = ConfirmedTracker(
                f"{chosen}-{where}", made, training
            )
    for name in (bests.tir, bests.rgb):
        arm = arm_called(plan, name)
        for seed in arm.seeds(plan):
            made = functools.partial(weights_of_study, real, name, seed)
            training = {"arm": training_of(real.plan, name), "seed": seed}
            found[f"{name}-{seed}"] = ConfirmedTracker(name, made, training)
    return found


def weights_of_study(real: Real, arm: str, seed: int) -> TrackerSpec:
    """The weights of an arm of the study, trained again unless they are there."""
    file = trained(real.plan, arm_called(real.plan, arm), seed, real.study)
    return TrackerSpec(f"{arm}-{seed}", str(file), real.plan.preset)


def part_of_confirmation(real: Real, candidate: ConfirmedTracker, name: str) -> PartResults:
    """Rows of a tracker on ``tir_video`` and on ``camel``."""

    def make() -> PartResults:
        spec = candidate.spec_of()
        hard = open_dataset(real.data("tir_hard/camel"))
        return {
            "weights_sha256": sha256_of(spec),
            "tir_video": rows_on(real, spec, open_dataset(real.data("tir_video")), "tir_video"),
            "camel": rows_on(real, spec, hard, "camel", starts=real.gentle.starts),
        }

    starts = real.gentle.starts
    identity = gentle_identity(real.plan, real.gentle, starts=starts, **candidate.training)
    return cached_part(real.figures / "confirmation" / f"{name}.json", identity, make)


def part_of_fold(real: Real, variant: str, recording: str) -> PartResults:
    """Rows on one recording of ``camel`` of a training on the frames of the others."""
    seed, starts = real.gentle.seeds[0], real.gentle.starts
    name = f"{variant}-without-{recording}"

    def make() -> PartResults:
        spec = trained_without(real, variant, recording, seed)
        hard = camel.only(open_dataset(real.data("tir_hard/camel")), recording)
        rows = rows_on(real, spec, hard, "folds", starts=starts)
        return {"weights_sha256": sha256_of(spec), "camel": rows}

    changes = real.gentle.variants[variant].changes
    training = {"changes": changes, "without": recording, "seed": seed, "starts": starts}
    identity = gentle_identity(real.plan, real.gentle, **training)
    return cached_part(real.figures / "confirmation" / f"{name}.json", identity, make)


def trained_without(real: Real, variant: str, recording: str, seed: int) -> TrackerSpec:
    """A variant trained on the frames of all recordings of ``camel`` but one; no label is read."""
    frames = camel.frames_alone(real.data("tir_hard/camel"), real.out / "camel")
    recipe = gentle_recipe(real.plan, real.gentle, variant)
    name = f"{variant}-without-{recording}"
    return train_gently(real, name, recipe, camel.all_but(frames, recording), seed=seed)


def part_of_smoke(real: Real, variant: str, arm: str) -> PartResults:
    """Rows on ``m3svd`` of the best arm with RGB, trained gently on 15 s of paired video."""
    changes = real.gentle.variants[variant].changes
    seed = real.gentle.seeds[0]

    def make() -> PartResults:
        recipe = recipe_of(real.plan, arm_called(real.plan, arm), changes)
        pairs = [real.data("pairs") / one for one in SMOKE_PAIRS]
        held = [real.data("pairs") / SMOKE_HELD_BACK]
        spec = train_gently(
            real, f"{variant}-m3svd-{seed}", recipe, pairs, held_back=held, seed=seed
        )
        whole = open_dataset(real.data("tir_video"))
        inside = tuple(one for one in whole.sequences if one.subset == SMOKE_SET)
        rows = rows_on(real, spec, replace(whole, sequences=inside), "m3svd")
        return {"weights_sha256": sha256_of(spec), "m3svd": rows}

    training = {"arm": training_of(real.plan, arm), "changes": changes, "seed": seed}
    identity = gentle_identity(real.plan, real.gentle, **training)
    return cached_part(real.figures / "confirmation" / "m3svd.json", identity, make)


def confirm(real: Real, workers: int) -> list[str]:
    """Evaluate the winners once; nothing is chosen here.

    Returns:
        One line for each part that failed.

    Raises:
        RequestError: it was run before, or there is no choice, or the best arms of the study are
            not final, or another world lies where the study keeps its own.
    """
    chosen, bests = choice_to_confirm(real), bests_to_confirm(real)
    render(real.plan.world, real.study, workers)
    real_pairs(real)  # links are made once, before the workers ask for them
    recordings = camel.frames_alone(real.data("tir_hard/camel"), real.out / "camel")
    trackers = trackers_to_confirm(real, chosen, bests)
    jobs: dict[str, Callable[[], PartResults]] = {
        name: functools.partial(part_of_confirmation, real, one, name)
        for name, one in trackers.items()
    }
    for variant in dict.fromkeys((PLAIN, chosen)):
        for recording in recordings:
            name = f"{variant}-without-{recording}"
            jobs[name] = functools.partial(part_of_fold, real, variant, recording)
    jobs["m3svd"] = functools.partial(part_of_smoke, real, chosen, bests.rgb)
    parts, faults = run_all(jobs, workers)
    if not faults:
        rows = {name: one.row for name, one in trackers.items()}
        write_json(
            real.confirmed,
            {
                "command": "python -m benchmarks.evidence.real confirm",
                "note": SECOND_LOOK,
                "chosen": chosen,
                "best_arms": {"tir": bests.tir, "rgb": bests.rgb},
                "rows": conclusions(real, parts, rows, chosen),
            },
        )
    return faults


def choice_to_confirm(real: Real) -> str:
    """The variant that was chosen.

    Raises:
        RequestError: it was confirmed before, or nothing was chosen yet, or the choice that was
            made is not that of its parts, or lacks some of them.
    """
    if real.confirmed.is_file():
        raise RequestError(
            "the confirmation was run, and runs once", real.confirmed, "read its results there"
        )
    parts = kept_choice(real.plan, real.gentle, real.figures)
    if (made := made_choice(real.gentle, parts, real.choice)) is None:
        raise RequestError(
            "there is no choice to confirm", real.choice, 'run "choose" first, and commit it'
        )
    if missing := missing_of(real.gentle, parts):
        raise RequestError(
            f"the choice cannot be checked: {len(missing)} of {len(choice_parts(real.gentle))} of "
            f"its parts are missing, the first is {missing[0]}",
            real.choice,
            'restore them, or remove the choice and run "choose" again',
        )
    return str(made["chosen"])


def bests_to_confirm(real: Real) -> Bests:
    """The best arms of the study.

    Raises:
        RequestError: a training of the study is missing, so that another arm may become the best.
    """
    records = kept_records(real.figures.parent, real.plan)
    missing, whole = missing_parts(real.plan, records)
    bests = best_arms(real.plan, records)
    if missing or bests is None:
        raise RequestError(
            f"the best arms are not final: {missing} of {whole} trainings of the study are missing",
            fix="run python -m benchmarks.evidence to its end first",
        )
    return bests


def conclusions(
    real: Real, parts: Mapping[str, PartResults], rows: Mapping[str, str], chosen: str
) -> dict[str, dict[str, Any]]:
    """Every row minus the baseline, figure by figure, with what it says of harm; the sets of the
    primary figure and the parts of ``camel`` are shown beside them and say nothing of it.

    Args:
        real: question 4.
        parts: results of all parts, by name.
        rows: row of every tracker, by the name of its part.
        chosen: variant that was chosen.
    """
    before = parts[BASELINE]
    found: dict[str, dict[str, Any]] = {}

    def add(row: str, figure: str, difference: ScoreDifference) -> None:
        said = harm(difference, real.plan.thresholds.harm)
        found.setdefault(row, {})[figure] = {**numbers(difference), "harm": said}

    for row in dict.fromkeys(rows.values()):
        runs = [parts[name] for name, of in rows.items() if of == row]
        if row != BASELINE:
            on_sets = [one["tir_video"] for one in runs]
            on_camel = [one["camel"] for one in runs]
            add(row, "primary", over_sets(on_sets, [before["tir_video"]], PRIMARY))
            add(row, "camel", over_recordings(on_camel, [before["camel"]], "success"))
            beside = {
                **by_set(on_sets, [before["tir_video"]], PRIMARY),
                **by_cover(on_camel, [before["camel"]], "success"),
            }
            found[row].update({name: numbers(one) for name, one in beside.items()})
    for variant in dict.fromkeys((PLAIN, chosen)):
        folds = [
            one["camel"] for name, one in parts.items() if name.startswith(f"{variant}-without-")
        ]
        whole = {name: row for fold in folds for name, row in fold.items()}
        adapted = over_recordings([whole], [before["camel"]], "success")
        add(adapted_on_camel(variant), "camel", adapted)
    smoke = parts["m3svd"]["m3svd"]
    same = {name: before["tir_video"][name] for name in smoke}
    add("m3svd, smoke test", "m3svd", over_sets([smoke], [same], "success"))
    return found


def adapted_on_camel(variant: str) -> str:
    """The row of a variant that was trained on ``camel`` itself, leaving recordings out."""
    return f"{variant}, adapted on camel"


HARM_SHOWN = {"shown": "harm shown", "excluded": "no harm", "open": "open"}
"""The answers of :func:`harm` as a table shows them."""


def harm(difference: ScoreDifference, limit: float) -> str:
    """Whether a difference from the baseline is harm: ``shown``, ``excluded`` or ``open``."""
    if difference.high < 0:
        return "shown"
    return "excluded" if difference.low > limit else "open"


def confirmation_text(confirmed: Mapping[str, Any]) -> str:
    """What was confirmed: a row for each tracker with what its differences say of harm, and those
    that are shown beside them.

    Args:
        confirmed: content of ``confirmed.json``.
    """
    rows = confirmed["rows"]
    judged, beside = (
        {
            name: {key: one for key, one in row.items() if ("harm" in one) is is_judged}
            for name, row in rows.items()
        }
        for is_judged in (True, False)
    )
    parts = [
        harm_sentence(confirmed),
        f"{confirmed['note'].capitalize()}.",
        difference_table(judged),
    ]
    if any(beside.values()):
        parts += ["Exploratory:", difference_table(beside)]
    return "\n\n".join(parts)


def difference_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each tracker that has differences from the baseline, a column for each figure."""
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row))
    cells = [
        [f"`{name}`", *(_shown(row[figure]) if figure in row else "" for figure in figures)]
        for name, row in rows.items()
        if row
    ]
    return markdown_table([f"minus `{BASELINE}` [95 %]", *figures], cells)


def _shown(difference: Mapping[str, Any]) -> str:
    said = HARM_SHOWN[difference["harm"]] if "harm" in difference else ""
    return ", ".join(filter(None, [interval(difference), said]))


def harm_sentence(confirmed: Mapping[str, Any]) -> str:
    """What the differences of the chosen training say of harm, in one sentence."""
    chosen = confirmed["chosen"]
    names = (*(f"{chosen}-{where}" for where in TRAININGS), adapted_on_camel(chosen))
    own = [one for name in names for one in confirmed["rows"][name].values() if "harm" in one]
    counts = Counter(one["harm"] for one in own)
    gains = sum(one["low"] > 0 for one in own)
    return (
        f"On real video the training that was chosen (`{chosen}`) shows harm in "
        f"{counts['shown']}, excludes it in {counts['excluded']} and leaves it open in "
        f"{counts['open']} of {len(own)} comparisons with the baseline; it shows a gain in {gains}."
    )
