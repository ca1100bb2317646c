"""The table of the study and the answer to its first question, from the results of its arms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from benchmarks.evidence.plan import BASELINE, Plan, arms_of
from benchmarks.evidence.records import Record
from benchmarks.experiments.table import RESAMPLES_SEED, interval
from tirtrack.evaluation.statistics import ScoreDifference, Sets

CHOICE, PROOF = "validation", "test"
SECOND = "norm_precision"
RANK_RESAMPLES = 2_000


def scores(record: Record, score: str, split: str = PROOF) -> np.ndarray:
    """``[seeds,n]`` scores of an arm, sequences in the order of their names."""
    seeds = [part[split] for part in record["seeds"].values()]
    names = sorted(seeds[0])
    return np.array([[values[name][score] for name in names] for values in seeds])


def difference(a: Record, b: Record, score: str, split: str = PROOF) -> ScoreDifference:
    """``a - b``: seeds averaged in a sequence first, then sequences are drawn."""
    of_a, of_b = scores(a, score, split), scores(b, score, split)
    sets = Sets.draw({split: of_a.shape[1]}, np.random.default_rng(RESAMPLES_SEED))
    return sets.difference({split: of_a}, {split: of_b})


@dataclass(frozen=True)
class Bests:
    """The best arms by the validation sequences."""

    tir: str
    rgb: str
    truth: str


def best_arms(plan: Plan, records: Mapping[str, Record]) -> Bests | None:
    """The best arms that see TIR alone, RGB too, or the truth; ``None`` if one of these is missing.

    Single changes are not among them: they are explored around the best.
    """
    means: dict[str, dict[str, float]] = {"tir": {}, "rgb": {}, "truth": {}}
    for name, arm in arms_of(plan).items():
        if arm.levels and name in records:
            means[arm.sees][name] = float(scores(records[name], plan.primary, CHOICE).mean())
    if not all(means.values()):
        return None
    return Bests(**{sees: max(one, key=lambda name: one[name]) for sees, one in means.items()})


def answer(plan: Plan, bests: Bests, records: Mapping[str, Record]) -> str:
    """The first question: the share of the distance to the true boxes that RGB closes; provisional
    until every crossed arm has all of its seeds.
    """
    score = plan.primary
    tir, rgb, truth = (records[name] for name in (bests.tir, bests.rgb, bests.truth))
    gained, possible = difference(rgb, tir, score), difference(truth, tir, score)
    missing, parts = missing_parts(plan, records)
    lines = [f"provisional: {missing} of {parts} parts are missing"] if missing else []
    lines += [
        f"best by validation: {bests.tir} (TIR alone), {bests.rgb} (with RGB), {bests.truth}",
        f"with RGB minus TIR alone: {interval(gained.model_dump())}",
        f"true boxes minus TIR alone: {interval(possible.model_dump())}",
    ]
    so_far = " so far" if missing else ""
    if possible.low <= 0:
        return "\n".join([*lines, f"no answer{so_far}: true boxes are not above TIR alone"])
    share = gained.mean / possible.mean
    is_reached = share >= plan.thresholds.share_closed and gained.low > 0
    verdict = "reached" if is_reached else "not reached"
    return "\n".join([*lines, f"share closed: {share:.2f}; the goal is {verdict}{so_far}"])


def missing_parts(plan: Plan, records: Mapping[str, Record]) -> tuple[int, int]:
    """Seeds of crossed arms and of those alone without results, and all of them."""
    seeds = {name: len(arm.seeds(plan)) for name, arm in arms_of(plan).items() if arm.levels}
    known = sum(len(records[name]["seeds"]) for name in seeds if name in records)
    return sum(seeds.values()) - known, sum(seeds.values())


def signal(plan: Plan, records: Mapping[str, Record]) -> str:
    """The third question: whether the signal without labels ranks runs as their true gains do;
    empty below three arms.
    """
    arms = [gains(plan, records, name) for name in records if name != BASELINE]
    if len(arms) < 3:
        return ""
    found = rank_correlation(np.concatenate(arms))
    rng = np.random.default_rng(RESAMPLES_SEED)
    drawn = rng.integers(len(arms), size=(RANK_RESAMPLES, len(arms)))
    ranks = [rank_correlation(np.concatenate([arms[place] for place in row])) for row in drawn]
    low, high = np.nanpercentile(ranks, (2.5, 97.5))
    so_far = " so far" if missing_parts(plan, records)[0] else ""
    is_verdict = found >= plan.thresholds.rank_correlation
    runs = sum(map(len, arms))
    return (
        f"signal without labels, rank correlation with the true gain over {runs} runs of "
        f"{len(arms)} arms: {found:.2f} [{low:.2f}, {high:.2f}]; it "
        f"{'is' if is_verdict else 'is not'} to be the verdict{so_far}"
    )


def gains(plan: Plan, records: Mapping[str, Record], name: str) -> np.ndarray:
    """``[seeds,2]`` of an arm, minus the baseline: its signal, and its score."""
    return _run_means(plan, records[name]) - _run_means(plan, records[BASELINE])[0]


def _run_means(plan: Plan, record: Record) -> np.ndarray:
    """``[seeds,2]``: mean over tracks and over test sequences."""
    seeds = record["seeds"].values()
    followed = np.array([np.mean([*part["signal"].values()]) for part in seeds])
    return np.stack([followed, scores(record, plan.primary).mean(axis=1)], axis=1)


def rank_correlation(runs: np.ndarray) -> float:
    """Spearman's rank correlation of two columns; NaN where one is constant."""
    ranks = rankdata(runs, axis=0)
    if not ranks.std(axis=0).all():
        return float("nan")
    return float(np.corrcoef(ranks.T)[0, 1])


def markdown(plan: Plan, records: Mapping[str, Record]) -> str:
    """A row for each arm: its figure, of each seed too, and minus the baseline."""
    head = ["arm", f"**{plan.primary}** (of each seed)", "minus baseline [95 %]",
            f"{SECOND}: minus baseline [95 %]", "samples used"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, record in records.items():
        each = scores(record, plan.primary).mean(axis=1)
        against = [difference(record, records[BASELINE], score) for score in (plan.primary, SECOND)]
        cells = [
            name,
            f"{each.mean():.3f} ({', '.join(f'{value:.3f}' for value in each)})",
            *(interval(one.model_dump()) for one in against),
            _samples(record),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _samples(record: Record) -> str:
    """Samples that are trained on, of each seed."""
    trainings = [part["training"].get("samples", {}) for part in record["seeds"].values()]
    return ", ".join(str(one["usable"]) for one in trainings if "usable" in one)
