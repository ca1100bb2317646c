"""Results of arms as files: one JSON for each arm, small enough to commit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.evidence.plan import Arm, Plan, identity_of
from tirtrack.errors import RequestError
from tirtrack.files import write_json
from tirtrack.identity import first_change

Record = dict[str, Any]
"""Content of an arm's file: ``command``, ``arm``, ``plan`` (its identity), ``seeds`` by number."""


def read_record(folder: Path, plan: Plan, arm: Arm) -> Record:
    """The results of an arm so far; without a file, none.

    Raises:
        RequestError: they belong to another plan.
    """
    path = folder / f"{arm.name}.json"
    fresh = {
        "command": f"python -m benchmarks.evidence --only {arm.name}",
        "arm": arm.name,
        "plan": identity_of(plan, arm),
        "seeds": {},
    }
    if not path.is_file():
        return fresh
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    if change := first_change(record["plan"], fresh["plan"]):
        raise RequestError(
            f"these results belong to a plan with another {change}",
            path,
            "restore the plan, or remove the file to run the arm anew",
        )
    return record


def add_part(folder: Path, plan: Plan, arm: Arm, seed: int, results: dict[str, Any]) -> None:
    """Add the results of a seed to the file of its arm."""
    record = read_record(folder, plan, arm)
    seeds = {**record["seeds"], str(seed): results}
    ordered = {key: seeds[key] for key in sorted(seeds, key=int)}
    write_json(folder / f"{arm.name}.json", {**record, "seeds": ordered})


def parts_due(folder: Path, plan: Plan, arms: Iterable[Arm]) -> list[tuple[Arm, int]]:
    """Arms and seeds without results, seed by seed, so that every arm has one early.

    Raises:
        RequestError: kept results belong to another plan.
    """
    due = []
    for arm in arms:
        known = read_record(folder, plan, arm)["seeds"]
        due += [(arm, seed) for seed in arm.seeds(plan) if str(seed) not in known]
    return sorted(due, key=lambda part: part[1])
