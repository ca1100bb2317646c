"""The summary of a finished distillation: counts, pass rates, agreement, verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tirtrack.distillation.diagnostics import Agreement
from tirtrack.distillation.pool import Pool
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.proposals.registry import is_fallback


@dataclass(frozen=True)
class PassRate:
    """Number of samples that passed the teacher's check, by proposer and by modality of the box."""

    way: str
    found_in: str
    samples: int
    passed: int

    @property
    def rate(self) -> float:
        """Share of samples that passed."""
        return self.passed / self.samples


@dataclass(frozen=True)
class Harvest:
    """The yield of the proposers.

    Attributes:
        pairs: number of pairs that were searched.
        boxes: number of boxes kept, by the modality in which they were found.
        rejected: number of boxes rejected, by reason.
        fallback_pairs: pairs in which the proposer found nothing, so that random boxes are used.
        unreadable_pairs: pairs that could not be read and were left out.
    """

    pairs: int
    boxes: dict[str, int]
    rejected: dict[str, int]
    fallback_pairs: int
    unreadable_pairs: int


@dataclass(frozen=True)
class Summary:
    """Summary of a distillation; ``summary.json`` holds the same.

    Attributes:
        recipe: name of the recipe.
        seed: seed of all random draws.
        split: how pairs were held back, in words.
        harvest: yield of the proposers in the pairs that were trained on.
        pass_rates: pass rates of the teacher's check in the training pool.
        samples: samples in the pool, how many of them could be used, and in how many the box's
            centre lies outside the test patch.
        steps: number of training steps.
        held_back: agreement on held-back pairs; ``None`` if there are none or none passed.
        verdict: conclusion in one sentence.
        warnings: warnings, one sentence each.
        seconds: duration of every stage.
        weights: file name of the weights; empty without one.
        fingerprint: fingerprint of all inputs of the run, as in ``identity.json``.
        versions: versions of Python and packages.
        command: command line of the run; empty without one.
        assumed: assumptions about names and times of the pairs, one sentence for each.
        source_line: description of the pairs in one line.
        held_back_line: the same for pairs given to be held back; empty without any.
    """

    recipe: str
    seed: int
    split: str
    harvest: Harvest
    pass_rates: list[PassRate]
    samples: dict[str, int]
    steps: int
    held_back: Agreement | None
    verdict: str
    warnings: list[str]
    seconds: dict[str, float]
    weights: str
    fingerprint: str
    versions: dict[str, str]
    command: str
    assumed: list[str] = field(default_factory=list)
    source_line: str = ""
    held_back_line: str = ""


def harvest(proposals: Sequence[ProposalSet], way: str) -> Harvest:
    """Counts of proposed and rejected boxes."""
    kept = [box for found in proposals for box in found.kept]
    return Harvest(
        pairs=len(proposals),
        boxes=dict(sorted(Counter(str(box.found_in) for box in kept).items())),
        rejected=dict(
            sorted(
                Counter(str(box.reason) for found in proposals for box in found.rejected).items()
            )
        ),
        fallback_pairs=sum(is_fallback(found, way) for found in proposals),
        unreadable_pairs=sum(found.fault is not None for found in proposals),
    )


def pass_rates(pool: Pool) -> list[PassRate]:
    """Pass rates of the teacher's self-check by proposer and modality."""
    if pool.checks is None:
        return []
    asked: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for sample, ok in zip(pool.samples, pool.checks.passed, strict=True):
        kind = (sample.way, str(sample.found_in))
        asked[kind] += 1
        passed[kind] += bool(ok)
    return [PassRate(*kind, asked[kind], passed[kind]) for kind in sorted(asked)]
