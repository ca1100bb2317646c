"""The figures of a comparison that pages print: means and differences, without single sequences."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tirtrack.evaluation.comparison import RESULT_NAME


def comparison_figures(folder: Path) -> dict[str, Any]:
    """The figures that pages quote from an evaluation.

    Args:
        folder: folder that ``tirtrack evaluate`` wrote.

    Returns:
        Means by tracker, and all differences with their intervals.
    """
    result: Mapping[str, Any] = json.loads((folder / RESULT_NAME).read_text(encoding="utf-8"))
    kept = ("seed", "protocol", "versions", "frames")
    return {
        **{key: result[key] for key in kept},
        "sequence_count": result["sequences"],
        "sha256": {one["name"]: one["sha256"] for one in result["trackers"]},
        "values": {one["name"]: one["values"] for one in result["trackers"]},
        "differences": result["differences"],
    }
