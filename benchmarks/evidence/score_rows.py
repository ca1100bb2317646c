"""Results of a tracker on real video as rows by sequence, and differences between them.

A row holds its group, which is a set of the primary figure or a recording, and its scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import tirtrack
from benchmarks.evidence.parts import SCORES, scores_of
from benchmarks.experiments.data import PRIMARY_SETS
from benchmarks.experiments.table import RESAMPLES_SEED
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.evaluation.statistics import (
    ScoreDifference,
    Sets,
    bootstrap_indices,
    paired_bootstrap,
)
from tirtrack.evaluation.tracker_sources import TrackerSpec

COVERED = "passes_full_cover"
"""Attribute of sequences in which another box covers the target for some frames."""
OF_SETS = "primary, "
"""The names of differences on single sets of the primary figure begin so."""
Rows = Mapping[str, Mapping[str, Any]]
"""``group``, whether the target is covered, and scores of every sequence, by its name."""


def measured(
    spec: TrackerSpec, dataset: LabelledDataset, out: Path, *, protocol: str, starts: int = 1
) -> Rows:
    """Rows of a tracker on a data set; resumed where it was stopped."""
    compared = tirtrack.evaluate(
        [spec], dataset, out / spec.name, protocol=protocol, starts=starts, resume=True
    )
    facts = {
        one.name: {"group": group_of(one), COVERED: bool(one.attributes.get(COVERED))}
        for one in dataset.sequences
    }
    scores = scores_of(compared, SCORES)
    return {name: {**facts[name], **one} for name, one in scores.items()}


def sha256_of(spec: TrackerSpec) -> str:
    """The hash of a tracker's weights."""
    return str(spec.facts()["sha256"])


def group_of(sequence: LabelledSequence) -> str:
    """The recording that a sequence was cut from, or its set of the primary figure."""
    known = sequence.notes.get("recording")
    return known or PRIMARY_SETS.get(sequence.subset, sequence.subset)


def numbers(found: ScoreDifference) -> dict[str, Any]:
    """A difference as JSON values."""
    return found.model_dump(exclude_unset=True)


def over_sets(a: Sequence[Rows], b: Sequence[Rows], score: str) -> ScoreDifference:
    """``a - b`` as the mean of the set means: runs are averaged in a sequence first, then sequences
    are drawn within their set.
    """
    of_a, of_b = _by_set(a, score), _by_set(b, score)
    sizes = {name: values.shape[1] for name, values in of_a.items()}
    return Sets.draw(sizes, np.random.default_rng(RESAMPLES_SEED)).difference(of_a, of_b)


def over_sequences(a: Sequence[Rows], b: Sequence[Rows], score: str) -> ScoreDifference:
    """``a - b``: runs are averaged in a sequence first, then sequences are drawn, whatever their
    sets.
    """
    return over_sets(_in_one_set(a), _in_one_set(b), score)


def over_recordings(a: Sequence[Rows], b: Sequence[Rows], score: str) -> ScoreDifference:
    """``a - b``: runs are averaged in a sequence first, then whole recordings are drawn."""
    names = list(a[0])
    groups = [str(a[0][name]["group"]) for name in names]
    differences = _means(a, names, score) - _means(b, names, score)
    rng = np.random.default_rng(RESAMPLES_SEED)
    indices = bootstrap_indices(len(set(groups)), rng)
    return paired_bootstrap(differences, indices, groups=groups)


def by_set(a: Sequence[Rows], b: Sequence[Rows], score: str) -> dict[str, ScoreDifference]:
    """``a - b`` on each set of the primary figure, by ``primary, SET``."""
    names = sorted({str(row["group"]) for row in a[0].values()})
    return {
        f"{OF_SETS}{name}": over_sets(
            _rows_where(a, "group", name), _rows_where(b, "group", name), score
        )
        for name in names
    }


def by_cover(a: Sequence[Rows], b: Sequence[Rows], score: str) -> dict[str, ScoreDifference]:
    """``a - b`` on sequences of ``camel`` in which the target is covered, and on the others; empty
    without the former.
    """
    if not any(row[COVERED] for row in a[0].values()):
        return {}
    return {
        f"camel, {name}": over_recordings(
            _rows_where(a, COVERED, is_covered), _rows_where(b, COVERED, is_covered), score
        )
        for name, is_covered in ((COVERED, True), ("others", False))
    }


def _rows_where(runs: Sequence[Rows], key: str, value: object) -> list[Rows]:
    return [{name: row for name, row in rows.items() if row[key] == value} for rows in runs]


def _in_one_set(runs: Sequence[Rows]) -> list[Rows]:
    return [{name: {**row, "group": ""} for name, row in rows.items()} for rows in runs]


def _means(runs: Sequence[Rows], names: Sequence[str], score: str) -> np.ndarray:
    """``[n]`` means over runs."""
    scores = np.array([[rows[name][score] for name in names] for rows in runs])
    return np.asarray(scores.mean(axis=0))


def _by_set(runs: Sequence[Rows], score: str) -> dict[str, np.ndarray]:
    """``[runs,n]`` scores of each set."""
    names: dict[str, list[str]] = {}
    for name, row in runs[0].items():
        names.setdefault(str(row["group"]), []).append(name)
    return {
        group: np.array([[rows[name][score] for name in inside] for rows in runs])
        for group, inside in names.items()
    }
