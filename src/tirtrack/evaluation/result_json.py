"""``result.json``: a comparison as a file, with all that is needed to reproduce it.

Unknown numbers are ``null``. ``values`` follow the protocol; ``visible_values`` count only frames
with a valid annotation. ``base`` is the coordinate base of the annotation files and, for each
tracker, of its result files. ``differences`` are ``a`` minus ``b`` by the paired
bootstrap over sequences.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.datasets.stored_frames import read_options
from tirtrack.evaluation.repeats import spreads
from tirtrack.evaluation.results import RESULT_NAME, Scores
from tirtrack.evaluation.scoring import Comparison, TrackerScores
from tirtrack.files import fingerprint
from tirtrack.versions import versions

__all__ = ["FORMAT", "RESULT_NAME", "annotation_sha256", "comparison_json"]

FORMAT = 1


def annotation_sha256(dataset: LabelledDataset) -> str:
    """A hash of names and annotation of all sequences."""
    digest = hashlib.sha256()
    for sequence in dataset.sequences:
        digest.update(sequence.name.encode("utf-8") + b"\0")
        digest.update(np.ascontiguousarray(sequence.annotation, dtype="<f8").tobytes())
    return digest.hexdigest()


def comparison_json(comparison: Comparison, *, command: str = "") -> dict[str, Any]:
    """A comparison as JSON values.

    Args:
        comparison: comparison to write.
        command: command line that reproduces it.
    """
    dataset = comparison.dataset
    subset_of = {sequence.name: sequence.subset for sequence in dataset.sequences}
    trackers = [_tracker(one, subset_of, dataset.file_base) for one in comparison.trackers]
    identity = {
        "protocol": comparison.protocol,
        "dataset": dataset.name,
        "annotation_sha256": annotation_sha256(dataset),
        "seed": comparison.seed,
        "versions": versions(),
    }
    facts = [{"name": one.runs.name, **one.runs.facts} for one in comparison.trackers]
    return {
        "format": FORMAT,
        **identity,
        "fingerprint": fingerprint({**identity, "trackers": facts}),
        "base": dataset.file_base,
        "layout": dataset.layout,
        "read_as": list(dataset.remarks),
        "source_line": comparison.description.line,
        "sources": dict(comparison.description.sources),
        "read_options": asdict(read_options(dataset)),
        "dataset_path": None if dataset.root is None else str(dataset.root),
        "sequences": len(dataset.sequences),
        "frames": sum(map(len, dataset.sequences)),
        "absent_frames": comparison.absent_frames,
        "repaired_rows": sum(one["repaired_rows"] for one in trackers),
        "missing": [asdict(one) for one in comparison.missing],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "trackers": trackers,
        "runs": [
            {
                "tracker": one.tracker,
                "runs": one.runs,
                "means": _numbers(one.means),
                "deviations": _numbers(one.deviations),
            }
            for one in spreads(comparison.trackers)
        ],
        "differences": [
            {
                "a": one.a,
                "b": one.b,
                "score": one.score,
                **{key: _number(value) for key, value in asdict(one.difference).items()},
                "seed": comparison.seed,
            }
            for one in comparison.differences
        ],
    }


def _tracker(one: TrackerScores, subset_of: Mapping[str, str], file_base: int) -> dict[str, Any]:
    return {
        "name": one.runs.name,
        "base": one.runs.facts.get("base", file_base),
        "weights": str(one.runs.facts.get("weights", "")),
        "sha256": str(one.runs.facts.get("sha256", "")),
        "preset": one.runs.facts.get("preset"),
        "overrides": one.runs.facts.get("overrides", {}),
        "run": one.runs.facts.get("run", 1),
        "run_of": one.runs.facts.get("run_of", one.runs.name),
        **_averages(one.scores),
        "curves": {name: curve.tolist() for name, curve in one.scores.curves.items()},
        "subsets": {name: _averages(scores) for name, scores in one.subsets.items()},
        "fps": None if one.speed is None else one.speed.total,
        "speed": None if one.speed is None else asdict(one.speed),
        "score_quality": None if one.quality is None else asdict(one.quality),
        "repaired_rows": sum(sequence.repaired_rows for sequence in one.scores.sequences),
        "sequences": [
            {
                "name": sequence.name,
                "subset": subset_of[sequence.name],
                "frames": sequence.frames,
                "visible_frames": sequence.visible_frames,
                "values": _numbers(sequence.values),
                "visible_values": _numbers(sequence.visible_values),
                "repaired_rows": sequence.repaired_rows,
                "fps": _fps(one, sequence.name),
            }
            for sequence in one.scores.sequences
        ],
    }


def _averages(scores: Scores) -> dict[str, Any]:
    return {
        "values": _numbers(scores.values),
        "visible_values": _numbers(scores.visible_values),
    }


def _fps(one: TrackerScores, sequence: str) -> float | None:
    seconds = one.runs.tracks[sequence].seconds
    total = float(seconds.sum())
    return len(seconds) / total if math.isfinite(total) and total > 0 else None


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
