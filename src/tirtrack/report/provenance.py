"""What was run, so that it can be run again: commands, seed, versions, weights, machine."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from tirtrack.devices import processors
from tirtrack.errors import TirtrackError
from tirtrack.evaluation.comparison import Comparison, TrackerResult
from tirtrack.files import sha256
from tirtrack.identity import versions
from tirtrack.report.content import Provenance


def provenance(
    results: Sequence[Comparison],
    *,
    distilled: Sequence[str] = (),
    command: str = "",
    seed: int | None = None,
    stages: Mapping[str, float] | None = None,
    settings: Mapping[str, str] | None = None,
) -> Provenance:
    """What was run, from the results themselves; versions of this process where they name none.

    Args:
        results: every evaluation of the page.
        distilled: commands of distillations that no weights file at hand records.
        command: last command line, which makes the page.
        seed: seed of everything; by default the one that the results share.
        stages: seconds by stage.
        settings: title to text.
    """
    stored = next((one.versions for one in results if one.versions), None)
    evaluated = [
        one.command if isinstance(one.command, str) else " ".join(one.command) for one in results
    ]
    lines = [
        *(made_with(one) for result in results for one in result.first_runs),
        *distilled,
        *evaluated,
        command,
    ]
    seeds = {one.seed for one in results}
    return Provenance(
        command="\n".join(dict.fromkeys(filter(None, lines))),
        seed=seed if seed is not None or len(seeds) != 1 else seeds.pop(),
        versions=stored or versions(),
        stages=stages or {},
        machine=machine() if stages else "",
        weights={
            one.name: one.sha256 for result in results for one in result.first_runs if one.sha256
        },
        settings=settings or {},
    )


def made_with(tracker: TrackerResult) -> str:
    """The command that made a tracker's weights, from their card; empty if it is not known."""
    from tirtrack.weights import store

    file = evaluated_weights(tracker)
    try:
        return "" if file is None else store.card_of(file).made_with.get("command", "")
    except (OSError, TirtrackError):
        return ""


def evaluated_weights(tracker: TrackerResult) -> Path | None:
    """The file of a tracker's weights, if it exists and is unchanged since the evaluation."""
    file = Path(tracker.weights)
    try:
        return file if file.is_file() and sha256(file) == tracker.sha256 else None
    except OSError:
        return None


def machine() -> str:
    """System, processor kind and cores of this machine, without its name."""
    return f"{platform.system()} {platform.machine()}, {processors()} cores"
