"""The tables of the study and the answers to its first three questions, from kept results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from benchmarks.evidence.figure import LEGEND
from benchmarks.evidence.plan import BASELINE, Plan, arms_of
from benchmarks.evidence.records import Record, finalists, wanted_seeds
from benchmarks.experiments.table import RESAMPLES_SEED, interval, markdown_table
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
    bests = best_by_kind(plan, records)
    return Bests(**bests) if bests.keys() == LEGEND.keys() else None


def best_by_kind(plan: Plan, records: Mapping[str, Record]) -> dict[str, str]:
    """The best finalist of each kind that has any results, by what it sees."""
    means: dict[str, dict[str, float]] = {sees: {} for sees in LEGEND}
    among = finalists(plan, records)
    for name, arm in arms_of(plan).items():
        if name in among and name in records:
            means[arm.sees][name] = float(scores(records[name], plan.primary, CHOICE).mean())
    return {sees: max(one, key=lambda name: one[name]) for sees, one in means.items() if one}


@dataclass(frozen=True)
class RgbGain:
    """The first question in numbers.

    Attributes:
        gained: the best arm with RGB minus the best with TIR alone.
        possible: the best arm on true boxes minus the best with TIR alone.
        share: share of ``possible`` that is gained; ``None`` if ``possible`` is not above zero.
        is_reached: whether the goal is.
    """

    gained: ScoreDifference
    possible: ScoreDifference
    share: float | None
    is_reached: bool


def rgb_gain(plan: Plan, bests: Bests, records: Mapping[str, Record]) -> RgbGain:
    """What RGB adds to the best training from TIR alone."""
    tir, rgb, truth = (records[name] for name in (bests.tir, bests.rgb, bests.truth))
    gained, possible = (difference(one, tir, plan.primary) for one in (rgb, truth))
    if possible.low <= 0:
        return RgbGain(gained, possible, None, is_reached=False)
    share = gained.mean / possible.mean
    is_reached = share >= plan.thresholds.share_closed and gained.low > 0
    return RgbGain(gained, possible, share, is_reached)


def answer(plan: Plan, bests: Bests, records: Mapping[str, Record]) -> str:
    """The first question: the share of the distance to the true boxes that RGB closes; provisional
    until every crossed arm has all of its seeds.
    """
    found = rgb_gain(plan, bests, records)
    missing, parts = missing_parts(plan, records)
    lines = [f"provisional: {missing} of {parts} trainings are missing"] if missing else []
    lines += [
        f"best by validation: `{bests.tir}` (TIR alone), `{bests.rgb}` (with RGB), `{bests.truth}`",
        f"with RGB minus TIR alone: {interval(found.gained.model_dump())}",
        f"true boxes minus TIR alone: {interval(found.possible.model_dump())}",
    ]
    so_far = " so far" if missing else ""
    if found.share is None:
        return "\n".join([*lines, f"no answer{so_far}: true boxes are not above TIR alone"])
    verdict = "reached" if found.is_reached else "not reached"
    return "\n".join([*lines, f"share closed: {found.share:.2f}; the goal is {verdict}{so_far}"])


def missing_parts(plan: Plan, records: Mapping[str, Record]) -> tuple[int, int]:
    """Trainings of crossed arms and of those alone that are to come, and how many the study has:
    one of every arm, and the other seeds of the finalists.
    """
    arms = {name: arm for name, arm in arms_of(plan).items() if arm.levels}
    crossed = Counter(arm.sees for name, arm in arms.items() if name not in plan.alone)
    chosen = len(plan.alone) + sum(min(plan.finalists, count) for count in crossed.values())
    whole = len(arms) + chosen * (len(plan.seeds) - 1)
    known = [
        str(seed) in record["seeds"]
        for name, record in records.items()
        if name in arms
        for seed in wanted_seeds(plan, records, arms[name])
    ]
    return whole - sum(known), whole


@dataclass(frozen=True)
class SignalRank:
    """The third question in numbers.

    Attributes:
        runs: number of runs.
        arms: number of arms that these runs belong to.
        correlation: rank correlation of the signal with the true gain.
        low: lower end of its 95 % interval, by drawing arms.
        high: upper end of it.
        is_verdict: whether it is high enough to become the verdict of ``distill``.
    """

    runs: int
    arms: int
    correlation: float
    low: float
    high: float
    is_verdict: bool


def signal_rank(plan: Plan, records: Mapping[str, Record]) -> SignalRank | None:
    """How well the signal without labels ranks runs as their true gains do; ``None`` below three
    arms, or without the baseline.
    """
    arms = [
        gains(plan, records, name) for name in records if name != BASELINE and BASELINE in records
    ]
    if len(arms) < 3:
        return None
    found = rank_correlation(np.concatenate(arms))
    rng = np.random.default_rng(RESAMPLES_SEED)
    drawn = rng.integers(len(arms), size=(RANK_RESAMPLES, len(arms)))
    ranks = [rank_correlation(np.concatenate([arms[place] for place in row])) for row in drawn]
    low, high = np.nanpercentile(ranks, (2.5, 97.5))
    is_verdict = found >= plan.thresholds.rank_correlation
    return SignalRank(sum(map(len, arms)), len(arms), found, float(low), float(high), is_verdict)


def signal(plan: Plan, records: Mapping[str, Record]) -> str:
    """The third question in words; empty below three arms."""
    if (found := signal_rank(plan, records)) is None:
        return ""
    so_far = " so far" if missing_parts(plan, records)[0] else ""
    return (
        f"The signal without labels has a rank correlation with the true gain, over {found.runs} "
        f"runs of {found.arms} arms, of {found.correlation:+.2f} [{found.low:+.2f}, "
        f"{found.high:+.2f}]; it {'is' if found.is_verdict else 'is not'} to be the verdict of "
        f"`distill`{so_far}."
    )


def gains(plan: Plan, records: Mapping[str, Record], name: str) -> np.ndarray:
    """``[seeds,2]`` of an arm, minus the baseline: its signal, and its score."""
    start = _run_means(plan, records[BASELINE])[0]
    return np.asarray(_run_means(plan, records[name]) - start)


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


def summary(plan: Plan, records: Mapping[str, Record]) -> str:
    """The table to read first: the baseline, the shipped recipe and the best arm of each kind."""
    named = {BASELINE: ["before training"], plan.recipe: ["the shipped recipe"]}
    for sees, name in best_by_kind(plan, records).items():
        named.setdefault(name, []).append(f"best by validation, {LEGEND[sees]}")
    rows = [
        [
            f"`{name}`",
            "; ".join(said),
            f"{scores(records[name], plan.primary).mean():.3f}",
            interval(difference(records[name], records[BASELINE], plan.primary).model_dump()),
            f"{len(records[name]['seeds'])} of {len(arms_of(plan)[name].seeds(plan))}",
        ]
        for name, said in named.items()
        if name in records
    ]
    head = ["arm", "what it is", f"**{plan.primary}**", "minus baseline [95 %]", "seeds"]
    return markdown_table(head, rows)


def markdown(plan: Plan, records: Mapping[str, Record]) -> str:
    """A row for each arm: its figure, of each seed too, and minus the baseline."""
    head = ["arm", f"**{plan.primary}** (of each seed)", "minus baseline [95 %]",
            f"{SECOND}: minus baseline [95 %]", "samples used"]  # fmt: skip
    rows = []
    for name, record in records.items():
        each = scores(record, plan.primary).mean(axis=1)
        against = [difference(record, records[BASELINE], score) for score in (plan.primary, SECOND)]
        cells = [
            name,
            f"{each.mean():.3f} ({', '.join(f'{value:.3f}' for value in each)})",
            *(interval(one.model_dump()) for one in against),
            _samples(record),
        ]
        rows.append(cells)
    return markdown_table(head, rows)


def single_changes(plan: Plan, records: Mapping[str, Record]) -> str:
    """A row for each single change: the arm with it minus the same seeds without it; empty if none
    has results.
    """
    rows = []
    for name in changed(records):
        record, (base, _, factor) = records[name], name.partition("+")
        same = with_seeds(records[base], record["seeds"])
        found = difference(record, same, plan.primary)
        rows.append([factor, base, interval(found.model_dump()), plan.factors[factor].summary])
    head = ["change", "of", "minus the arm without it [95 %]", "what it is"]
    return markdown_table(head, rows) if rows else ""


def changed(records: Mapping[str, Record]) -> list[str]:
    """The arms with a single change whose arm without it has results too."""
    return [name for name in records if "+" in name and name.partition("+")[0] in records]


def with_seeds(record: Record, seeds: Iterable[str]) -> Record:
    """A record with some of its seeds; with all of them if one is missing."""
    known = record["seeds"]
    return {"seeds": {seed: known[seed] for seed in seeds}} if {*seeds} <= {*known} else record


def on_cameras(plan: Plan, cameras: Mapping[str, Record]) -> str:
    """A row for each camera: the baseline, and the best arms minus it."""
    rows = []
    for name, record in cameras.items():
        start, *others = record["arms"].values()
        gains = [interval(difference(one, start, plan.primary).model_dump()) for one in others]
        what = plan.cameras.worlds[name].summary
        rows.append([name, f"{scores(start, plan.primary).mean():.3f}", *gains, what])
    _, *names = next(iter(cameras.values()))["arms"]
    head = ["camera", f"{BASELINE}: {plan.primary}"]
    head += [f"{name}: minus it [95 %]" for name in names]
    return markdown_table([*head, "what it is"], rows)


def carries(plan: Plan, record: Record, arm: str) -> bool:
    """Whether an arm is above the baseline on a camera, with its whole interval."""
    arms = record["arms"]
    return difference(arms[arm], arms[BASELINE], plan.primary).low > 0


def _samples(record: Record) -> str:
    """Samples that are trained on, of each seed."""
    trainings = [part["training"].get("samples", {}) for part in record["seeds"].values()]
    return ", ".join(str(one["usable"]) for one in trainings if "usable" in one)
