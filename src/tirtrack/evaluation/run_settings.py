"""The settings that the numbers of an evaluation depend on, and what differs between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tirtrack.evaluation.comparison import Comparison, read_result
from tirtrack.identity import changes

_OF_ALL = (
    "protocol", "dataset", "annotation_sha256", "base", "layout", "read_options", "sequences",
    "frames", "starts", "group", "seed", "versions",
)  # fmt: skip
_OF_A_TRACKER = ("weights", "sha256", "preset", "overrides", "engine", "outside")


def settings_of(comparison: Comparison) -> dict[str, Any]:
    """Everything in a comparison that its numbers depend on, as JSON values."""
    content = comparison.model_dump(mode="json")
    trackers = {
        one["name"]: {key: one[key] for key in _OF_A_TRACKER if one[key]}
        for one in content["trackers"]
    }
    return {**{key: content[key] for key in _OF_ALL}, "trackers": trackers}


def compare_settings(a: Path, b: Path) -> list[tuple[str, Any, Any]]:
    """The settings in which two evaluations differ: dotted name and both values.

    Args:
        a: folder with ``result.json``.
        b: the other one.

    Raises:
        DatasetError: one has no readable ``result.json``.
    """
    return list(changes(settings_of(read_result(a)), settings_of(read_result(b))))
