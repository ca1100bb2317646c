"""What a page says, as values: the page is written from these and from nothing else.

A part that is missing is ``None`` or empty and is then left out of the page, with a sentence
where a reader would look for it.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tirtrack.evaluation.comparison import (
    Comparison,
    SequenceResult,
    SubsetResult,
    TrackerResult,
)
from tirtrack.evaluation.protocols.base import ScoreDescription
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.table import Table
from tirtrack.report.verdict import MOST_SENTENCES, Verdict, sequence_differences, tally

ANNOTATION_COLOUR = "#2eb84c"
TRACKER_COLOURS = ("#e0570b", "#1e88e5", "#8e44ad", "#c2185b", "#00897b", "#a1887f")


def colours_of(names: tuple[str, ...]) -> dict[str, str]:
    """One colour per tracker, the same in plots, tables and film strips."""
    return {name: TRACKER_COLOURS[k % len(TRACKER_COLOURS)] for k, name in enumerate(names)}


@dataclass(frozen=True)
class Picture:
    """A picture that is embedded in the page.

    Attributes:
        content: the encoded file.
        kind: kind of the file, such as ``png``.
        alt: description for readers who cannot see it.
        width, height: size in CSS pixels; the page may draw it smaller.
        caption: a line below, or empty.
        name: file name in an export, without ending; empty: it is not exported.
        figure: the figure that it is a drawing of, for other formats; ``None`` for photographs.
    """

    content: bytes
    kind: Literal["png", "jpeg", "svg+xml"]
    alt: str
    width: int
    height: int
    caption: str = ""
    name: str = ""
    figure: Any = field(default=None, compare=False, repr=False)

    @property
    def data_uri(self) -> str:
        """The picture as a data URI."""
        return f"data:image/{self.kind};base64,{base64.b64encode(self.content).decode('ascii')}"


@dataclass(frozen=True)
class FilmStrip:
    """Frames of one sequence with boxes drawn in, and why this sequence was chosen.

    Attributes:
        sequence: its name.
        why: the rule that chose it, with the number.
        trackers: names of the trackers whose boxes are drawn.
        frames: the frames, in order.
    """

    sequence: str
    why: str
    trackers: tuple[str, ...]
    frames: tuple[Picture, ...]


@dataclass(frozen=True)
class SequenceRow:
    """A row of the table of sequences: one sequence, each tracker, and the difference in the
    primary score.
    """

    name: str
    subset: str
    frames: int
    absent: int | None
    trackers: tuple[SequenceResult | None, ...]
    difference: float | None


@dataclass(frozen=True)
class SubsetRow:
    """A row of the table of subsets: a subset, its number of sequences, and each tracker."""

    name: str
    sequences: int
    trackers: tuple[SubsetResult | None, ...]


@dataclass(frozen=True)
class EvaluationSection:
    """One evaluation on the page.

    Attributes:
        result: its numbers.
        reference: the tracker that the others are compared with.
        control: a second such tracker, trained without what is to be credited; ``None``: none.
        verdicts: one verdict for each of :attr:`compared`, or one that says that there is none.
        subset_differences: differences of :attr:`compared` over each subset of five or more.
        part_differences: differences of :attr:`compared` with sequences drawn within their part.
        plots: curves of the scores that have one.
        subset_plots: the deciding score by subset.
        win_plots: differences by sequence.
        failure_plots: when trackers leave their targets.
        quality_plots: what the trackers' own scores say.
        tables: its tables, in the order of the page.
        no_published_rows: why published scores are not among them; empty if they are, or if none
            are known.
        films: film strips; if empty, ``films_missing`` says why.
    """

    result: Comparison
    reference: str
    control: str | None = None
    verdicts: tuple[Verdict, ...] = ()
    subset_differences: tuple[ScoreDifference, ...] = ()
    part_differences: tuple[ScoreDifference, ...] = ()
    plots: tuple[Picture, ...] = ()
    subset_plots: tuple[Picture, ...] = ()
    win_plots: tuple[Picture, ...] = ()
    failure_plots: tuple[Picture, ...] = ()
    quality_plots: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    no_published_rows: str = ""
    films: tuple[FilmStrip, ...] = ()
    films_missing: str = ""

    @property
    def trackers(self) -> tuple[TrackerResult, ...]:
        """The reference first, then the others, each by its first run.

        Others are in the order of the file; more trackers than there are colours have the best
        first, so that a figure of the first few shows those, each in a colour of its own.
        """
        shown = self.result.first_runs
        first = [one for one in shown if one.name == self.reference]
        others = [one for one in shown if one.name != self.reference]
        if len(shown) > len(TRACKER_COLOURS):
            others.sort(key=self.result.rank, reverse=True)
        return (*first, *others)

    @property
    def colours(self) -> dict[str, str]:
        """Colours by name of the tracker."""
        return colours_of(tuple(one.name for one in self.trackers))

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """Its figures, in the order of the page."""
        return (
            *self.plots, *self.win_plots, *self.subset_plots, *self.failure_plots,
            *self.quality_plots,
        )  # fmt: skip

    def table(self, start: str) -> tuple[Table, ...]:
        """The tables whose names begin so."""
        return tuple(one for one in self.tables if one.name.startswith(start))

    @property
    def compared(self) -> tuple[tuple[str, str], ...]:
        """The trackers that are compared: each with the reference, then with the control."""
        others = [one.name for one in self.trackers[1:]]
        bases = dict.fromkeys([self.reference, self.control or self.reference])
        return tuple((name, base) for base in bases for name in others if name != base)

    @property
    def tallies(self) -> tuple[str, ...]:
        """The verdicts in a sentence for each reference, where they are many; empty for few."""
        many = len(self.verdicts) > MOST_SENTENCES
        return tally(self.result, self.compared, self.verdicts) if many else ()

    @property
    def differences(self) -> tuple[ScoreDifference, ...]:
        """The differences of the trackers that are compared, score by score."""
        turned = (
            self.result.difference(name, base, score.id)
            for name, base in self.compared
            for score in self.result.scores
        )
        return tuple(one for one in turned if one is not None)

    @property
    def row_scores(self) -> tuple[ScoreDescription, ...]:
        """The scores in the table of sequences: no points of other scores' curves, and only
        scores that the first tracker has.
        """
        known = self.trackers[0].values
        return tuple(
            one for one in self.result.scores if not one.point_of and known.get(one.id) is not None
        )

    @property
    def subsets(self) -> tuple[SubsetRow, ...]:
        """The subsets that any tracker has, by name."""
        names = sorted({name for one in self.trackers for name in one.subsets})
        return tuple(self._subset(name) for name in names)

    def _subset(self, name: str) -> SubsetRow:
        cells = tuple(one.subsets.get(name) for one in self.trackers)
        return SubsetRow(name, max(cell.sequences for cell in cells if cell is not None), cells)

    @property
    def rows(self) -> tuple[SequenceRow, ...]:
        """The sequences, largest gain of the second tracker first."""
        trackers, score = self.trackers, self.result.primary
        change = (
            sequence_differences(self.result, trackers[1].name, self.reference, score.id)
            if len(trackers) > 1
            else {}
        )
        rows = [self._row(name, change.get(name)) for name in self.result.sequence_names()]
        if not change:
            return tuple(rows)
        # sequences without a difference come last
        return tuple(
            sorted(rows, key=lambda r: (r.difference is None, -score.gain(r.difference or 0.0)))
        )

    def _row(self, name: str, difference: float | None) -> SequenceRow:
        cells = tuple(one.sequence(name) for one in self.trackers)
        known = next(cell for cell in cells if cell is not None)
        visible = known.visible_frames
        absent = None if visible is None else known.frames - visible
        return SequenceRow(name, known.subset, known.frames, absent, cells, difference)


@dataclass(frozen=True)
class PairsSection:
    """The unlabelled pairs or TIR frames: what was proposed, what was rejected and why.

    Attributes:
        unit: what was searched, ``pair`` or ``TIR frame``.
        facts: label to text, in the order of the page.
        rejections: reason to count.
        counted_over: pairs in which the rejections were counted.
        sheets: contact sheets.
        cautions: short sentences, such as a large offset between the modalities.
    """

    unit: str
    facts: Mapping[str, str]
    rejections: Mapping[str, int] = field(default_factory=dict)
    counted_over: str = ""
    sheets: tuple[Picture, ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class DistillationSection:
    """A training run: its name, facts, curves, and what its own label-free signal says."""

    name: str
    facts: Mapping[str, str]
    curves: tuple[Picture, ...] = ()
    agreement: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    agreement_note: str = ""
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """What was run, so that it can be run again.

    Attributes:
        command: command lines that make the same page, in order.
        seed: seed of all random draws.
        versions: package to version.
        stages: seconds by stage, in order.
        machine: description of the machine, one line.
        weights: name to SHA-256.
        settings: title to text (YAML, JSON), complete.
    """

    command: str = ""
    seed: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    machine: str = ""
    weights: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportContent:
    """A whole page."""

    title: str
    lead: str = ""
    notes: tuple[str, ...] = ()
    evaluations: tuple[EvaluationSection, ...] = ()
    pairs: PairsSection | None = None
    distillations: tuple[DistillationSection, ...] = ()
    provenance: Provenance = field(default_factory=Provenance)
