"""Question 4: gentle training, chosen on the world and on ``tir_video``, and confirmed once.

    python -m benchmarks.evidence.real choose
    python -m benchmarks.evidence.real confirm

``choose`` trains the variants of ``real.yaml`` on the recordings of the study's world and on real
TIR, and writes ``choice.json`` by the rule of docs/evidence_plan.md. ``confirm`` needs it and the
best arms of the study, evaluates the winners on the primary figure and on ``camel``, and runs once:
its ``confirmed.json`` is final. What is finished is kept, in ``docs/figures/evidence/real``.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tirtrack
from benchmarks.evidence import camel
from benchmarks.evidence.cached_parts import PartResults, cached_part, run_all
from benchmarks.evidence.parts import ROOT, Workplace, trained
from benchmarks.evidence.plan import (
    BASELINE,
    Plan,
    arm_called,
    identity_of,
    read_plan,
    recipe_of,
    shared_identity,
)
from benchmarks.evidence.real_plan import PLAIN, Gentle, gentle_recipe, read_real_plan
from benchmarks.evidence.records import kept_records
from benchmarks.evidence.score_rows import (
    Rows,
    by_cover,
    by_set,
    measured,
    numbers,
    over_recordings,
    over_sets,
    sha256_of,
)
from benchmarks.evidence.signal import held_back_of
from benchmarks.evidence.table import Bests, best_arms, missing_parts
from benchmarks.evidence.worlds import render
from benchmarks.experiments import data
from benchmarks.experiments.rows import EVERYTHING
from benchmarks.experiments.table import PRIMARY, interval
from tirtrack.datasets import open_dataset
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RequestError, TirtrackError
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.evaluation.tracker_sources import TrackerSpec
from tirtrack.files import sha256, write_json
from tirtrack.weights import store

LICENCE = "research only"
SMOKE_PAIRS = ("m3svd_video/0111_1716", "m3svd_video/0113_1714")
SMOKE_HELD_BACK = "m3svd_video/1230_1202"
SMOKE_SET = "m3svd"
SECOND_LOOK = (
    "the primary figure is a second look at the chosen variant: it was chosen on the same "
    "sequences, with the first of its seeds; earlier work has seen them too"
)


@dataclass(frozen=True)
class Real:
    """Question 4: its plan, and where everything lies.

    Attributes:
        plan: plan of the study.
        gentle: variants and rule.
        shared: folder of the shared data.
        study: where the study keeps its files.
        out: where models and evaluations are kept.
        figures: folder of the results.
    """

    plan: Plan
    gentle: Gentle
    shared: Path
    study: Workplace
    out: Path
    figures: Path

    @property
    def choice(self) -> Path:
        """The file of the choice."""
        return self.figures / "choice.json"

    @property
    def confirmed(self) -> Path:
        """The file of the confirmation."""
        return self.figures / "confirmed.json"

    def data(self, name: str) -> Path:
        """A folder of the shared data."""
        return self.shared / "data" / name

    def identity(self, **training: Any) -> dict[str, Any]:
        """What a part depends on, as JSON values."""
        return {
            "world": self.plan.world.model_dump(mode="json"),
            **shared_identity(self.plan),
            "arm": self.training_of(self.gentle.arm),
            "training": training,
        }

    def training_of(self, arm: str) -> dict[str, Any]:
        """What the training of an arm of the study depends on, as JSON values."""
        return {"name": arm, **identity_of(self.plan, arm_called(self.plan, arm))["training"]}


# --- trainings -----------------------------------------------------------------------------------


def train_gently(
    real: Real, name: str, recipe: CrossModalRecipe, pairs: Sequence[Path], **given: Any
) -> TrackerSpec:
    """Weights trained from the baseline; resumed where that was stopped.

    Args:
        real: question 4.
        name: name of the weights.
        recipe: recipe of the training.
        pairs: folders that are trained on.
        **given: further arguments of ``tirtrack.distill``.
    """
    file = real.out / "models" / f"{name}.safetensors"
    tirtrack.distill(
        pairs, real.plan.baseline, file, recipe=recipe, licence=LICENCE, resume=True, **given
    )
    return TrackerSpec(name, str(file), real.plan.preset)


def trained_on_world(real: Real, variant: str, seed: int) -> TrackerSpec:
    """A variant trained on the recordings of the study's world."""
    recordings = real.study.recordings()
    held = [folder.name for folder in held_back_of(real.plan, recordings)]
    recipe = gentle_recipe(real.plan, real.gentle, variant)
    name = f"{variant}-world-{seed}"
    return train_gently(real, name, recipe, recordings, hold_back=held, seed=seed)


def trained_on_real(real: Real, variant: str, seed: int) -> TrackerSpec:
    """A variant trained on the TIR halves of the training part of all real pairs."""
    recipe, name = gentle_recipe(real.plan, real.gentle, variant), f"{variant}-real-{seed}"
    held = data.held_back_pairs(real.shared)
    return train_gently(real, name, recipe, real_pairs(real), held_back=held, seed=seed)


def real_pairs(real: Real) -> list[Path]:
    """The training part of all real pairs."""
    return data.training_pairs(real.shared, EVERYTHING, real.study.world, real.out)


TRAININGS: Mapping[str, Callable[[Real, str, int], TrackerSpec]] = {
    "world": trained_on_world,
    "real": trained_on_real,
}


def rows_on(
    real: Real, spec: TrackerSpec, dataset: LabelledDataset, name: str, *, starts: int = 1
) -> Rows:
    """Rows of a tracker on a data set."""
    out = real.out / "evaluations" / name
    return measured(spec, dataset, out, protocol=real.plan.protocol, starts=starts)


def baseline_of(real: Real) -> TrackerSpec:
    """The tracker that all trainings begin with."""
    return TrackerSpec(BASELINE, real.plan.baseline, real.plan.preset)


# --- the choice ----------------------------------------------------------------------------------


def choice_parts(gentle: Gentle) -> list[str]:
    """``baseline``, and ``VARIANT-DATA`` for every variant."""
    return [BASELINE, *(f"{one}-{where}" for one in gentle.variants for where in TRAININGS)]


def part_of_choice(real: Real, name: str) -> PartResults:
    """Rows of a part on the validation sequences of the world and on ``tir_video``."""
    variant, _, where = name.partition("-")
    seed = real.gentle.seeds[0]
    changes = None if name == BASELINE else real.gentle.variants[variant].changes

    def make() -> PartResults:
        spec = baseline_of(real) if name == BASELINE else TRAININGS[where](real, variant, seed)
        world = open_dataset(real.study.world / "validation")
        return {
            "weights_sha256": sha256_of(spec),
            "world": rows_on(real, spec, world, "world"),
            "tir_video": rows_on(real, spec, open_dataset(real.data("tir_video")), "tir_video"),
        }

    identity = real.identity(changes=changes, data=where, seed=seed)
    return cached_part(real.figures / "choice" / f"{name}.json", identity, make)


def chosen_of(gentle: Gentle, parts: Mapping[str, PartResults]) -> PartResults:
    """The choice by the rule that was written down: of the variants that keep their share of the
    gain of ``plain`` in the world, the one whose interval on ``tir_video`` ends highest below.

    Args:
        gentle: variants and rule.
        parts: results of :func:`choice_parts`, by name.
    """
    before = parts[BASELINE]
    gains, harms = {}, {}
    for variant in gentle.variants:
        on_world = parts[f"{variant}-world"]["world"]
        everywhere = [parts[f"{variant}-{where}"]["tir_video"] for where in TRAININGS]
        gains[variant] = over_sets([on_world], [before["world"]], "success")
        harms[variant] = over_sets(everywhere, [before["tir_video"]], PRIMARY)
    least = gentle.keeps * max(gains[PLAIN].mean, 0.0)
    keeping = [variant for variant, gain in gains.items() if gain.mean >= least]
    return {
        "chosen": max(keeping or gains, key=lambda variant: harms[variant].low),
        "keeps_enough": keeping,
        "world_success": {name: numbers(one) for name, one in gains.items()},
        "tir_video_primary": {name: numbers(one) for name, one in harms.items()},
    }


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


# --- the confirmation ----------------------------------------------------------------------------


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
            training = {"arm": real.training_of(name), "seed": seed}
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

    identity = real.identity(starts=real.gentle.starts, **candidate.training)
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
    identity = real.identity(changes=changes, without=recording, seed=seed, starts=starts)
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

    identity = real.identity(arm=real.training_of(arm), changes=changes, seed=seed)
    return cached_part(real.figures / "confirmation" / "m3svd.json", identity, make)


def confirm(real: Real, workers: int) -> list[str]:
    """Evaluate the winners once; nothing is chosen here.

    Returns:
        One line for each part that failed.

    Raises:
        RequestError: it was run before, or there is no choice, or the study has no best arms, or
            another world lies where the study keeps its own.
    """
    chosen = choice_to_confirm(real)
    records = kept_records(real.figures.parent, real.plan)
    bests = best_arms(real.plan, records)
    if bests is None:
        raise RequestError("the study has no best arms yet", fix="run its crossed arms first")
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
        missing, whole = missing_parts(real.plan, records)
        write_json(
            real.confirmed,
            {
                "command": "python -m benchmarks.evidence.real confirm",
                "note": SECOND_LOOK,
                "chosen": chosen,
                "best_arms": {"tir": bests.tir, "rgb": bests.rgb},
                "missing_parts_of_the_study": [missing, whole],
                "rows": conclusions(real, parts, rows, chosen),
            },
        )
    return faults


def choice_to_confirm(real: Real) -> str:
    """The variant that was chosen.

    Raises:
        RequestError: it was confirmed before, or nothing was chosen yet.
    """
    if real.confirmed.is_file():
        raise RequestError(
            "the confirmation was run, and runs once", real.confirmed, "read its results there"
        )
    if not real.choice.is_file():
        raise RequestError(
            "there is no choice to confirm", real.choice, 'run "choose" first, and commit it'
        )
    return str(json.loads(real.choice.read_text(encoding="utf-8"))["chosen"])


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
        add(f"{variant}, adapted on camel", "camel", adapted)
    smoke = parts["m3svd"]["m3svd"]
    same = {name: before["tir_video"][name] for name in smoke}
    add("m3svd, smoke test", "m3svd", over_sets([smoke], [same], "success"))
    return found


def harm(difference: ScoreDifference, limit: float) -> str:
    """Whether a difference from the baseline is harm: ``shown``, ``excluded`` or ``open``."""
    if difference.high < 0:
        return "shown"
    return "excluded" if difference.low > limit else "open"


def show(file: Path) -> None:
    """Print the differences of a result file."""
    content = json.loads(file.read_text(encoding="utf-8"))
    print(f"chosen: {content['chosen']}")
    if "rows" in content:
        for row, figures in content["rows"].items():
            for figure, one in figures.items():
                said = f"harm {one['harm']}" if "harm" in one else "exploratory"
                print(f"{row}, {figure}: {interval(one)}, {said}")
        print(f"note: {content['note']}")
        return
    for variant, gain in content["world_success"].items():
        on_real = content["tir_video_primary"][variant]
        print(f"{variant}: world {interval(gain)}, tir_video {interval(on_real)}")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence.real")
    parser.add_argument("stage", choices=["choose", "confirm"])
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--study", type=Path, default=ROOT / "runs" / "evidence")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "evidence-real")
    parser.add_argument("--figures", type=Path, default=ROOT / "docs/figures/evidence/real")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    real = Real(
        read_plan(),
        read_real_plan().gentle,
        options.shared,
        Workplace(options.study),
        options.out,
        options.figures,
    )
    is_choice = options.stage == "choose"
    try:
        data.check_shared(options.shared)
        faults = (choose if is_choice else confirm)(real, options.workers)
        for fault in faults:
            print(f"real: {fault}", file=sys.stderr)
        if not faults:
            show(real.choice if is_choice else real.confirmed)
    except TirtrackError as error:
        print(f"real: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RequestError) else 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
