"""What is said of a distillation when it is over: counts, pass rates, agreement, a verdict."""

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
    """How many samples the teacher passed, by way of proposing and by modality of the box."""

    way: str
    found_in: str
    samples: int
    passed: int

    @property
    def rate(self) -> float:
        """Share that passed."""
        return self.passed / self.samples


@dataclass(frozen=True)
class Harvest:
    """What the proposals yielded.

    Attributes:
        pairs: looked at.
        boxes: kept, by the modality in which they were found.
        rejected: by reason.
        fallback_pairs: pairs in which the way found nothing, so that random boxes stand there.
        unreadable_pairs: left out.
    """

    pairs: int
    boxes: dict[str, int]
    rejected: dict[str, int]
    fallback_pairs: int
    unreadable_pairs: int


@dataclass(frozen=True)
class Summary:
    """Everything that is said of a distillation; ``summary.json`` holds the same.

    Attributes:
        recipe: its name.
        seed: of all draws.
        split: how pairs were held back.
        harvest: boxes of the pairs that were trained on.
        pass_rates: of the teacher's self-check, pool of training.
        samples: in the pool, how many of them could be used, and in how many the box's centre
            lies outside the test patch.
        steps: done in all.
        held_back: agreement, ``None`` where nothing was held back or nothing passed.
        verdict: one sentence.
        warnings: one sentence each.
        seconds: by stage.
        weights: file name; empty without one.
        fingerprint: of all that the run depends on, as in ``identity.json``.
        versions: of Python and packages.
        command: the line that does the same; empty without one.
        assumed: what was assumed of names and times of the pairs, one sentence for each way.
        source_line: what the pairs are, in one line.
        held_back_line: the same of pairs that were given to be held back; empty without any.
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
    """Counts of what was proposed and rejected."""
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
    """The teacher's self-check by way and modality."""
    if pool.checks is None:
        return []
    asked: Counter[tuple[str, str]] = Counter()
    passed: Counter[tuple[str, str]] = Counter()
    for sample, ok in zip(pool.samples, pool.checks.passed, strict=True):
        kind = (sample.way, str(sample.found_in))
        asked[kind] += 1
        passed[kind] += bool(ok)
    return [PassRate(*kind, asked[kind], passed[kind]) for kind in sorted(asked)]
