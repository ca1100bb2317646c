"""Results of arms as files: one JSON for each arm, small enough to commit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evidence.plan import Arm, Plan, arm_called, arms_of, identity_of
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
    fresh = {
        "command": f"python -m benchmarks.evidence --only {arm.name}",
        "arm": arm.name,
        "plan": identity_of(plan, arm),
        "seeds": {},
    }
    return kept_or_fresh(folder / f"{arm.name}.json", fresh)


def kept_or_fresh(path: Path, fresh: Record) -> Record:
    """The results in a file, or without one a record that has none yet.

    Raises:
        RequestError: those in the file belong to another plan.
    """
    if not path.is_file():
        return fresh
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    if change := first_change(record["plan"], fresh["plan"]):
        raise RequestError(
            f"these results belong to a plan with another {change}",
            path,
            "restore the plan, or remove the file to run it anew",
        )
    return record


def add_part(folder: Path, plan: Plan, arm: Arm, seed: int, results: dict[str, Any]) -> None:
    """Add the results of a seed to the file of its arm."""
    record = read_record(folder, plan, arm)
    seeds = {**record["seeds"], str(seed): results}
    ordered = {key: seeds[key] for key in sorted(seeds, key=int)}
    write_json(folder / f"{arm.name}.json", {**record, "seeds": ordered})


def kept_records(folder: Path, plan: Plan) -> dict[str, Record]:
    """The results of all arms that have any, in the order of the plan; single changes below the
    arm that they change.

    Raises:
        RequestError: kept results are of an unknown arm, or belong to another plan.
    """
    arms, factors = list(arms_of(plan)), ["", *plan.factors]

    def place(arm: Arm) -> tuple[int, int]:
        base, _, factor = arm.name.partition("+")
        return arms.index(base), factors.index(factor)

    kept = [arm_called(plan, path.stem) for path in folder.glob("*.json")]
    return {arm.name: read_record(folder, plan, arm) for arm in sorted(kept, key=place)}


def finalists(plan: Plan, records: Mapping[str, Record]) -> set[str]:
    """Names of the arms that are to have all seeds: those alone, and of each kind of crossed arms
    with results the best by the first seed on the validation sequences.
    """
    kinds: dict[str, dict[str, float]] = {}
    first = str(plan.seeds[0])
    for name, arm in arms_of(plan).items():
        if (
            arm.levels
            and name not in plan.alone
            and name in records
            and (known := records[name]["seeds"].get(first))
        ):
            rows = known["validation"].values()
            kinds.setdefault(arm.sees, {})[name] = float(
                np.mean([row[plan.primary] for row in rows])
            )
    best = {
        name
        for means in kinds.values()
        for name in sorted(means, key=lambda name: -means[name])[: plan.finalists]
    }
    return {*plan.alone, *best}


def wanted_seeds(plan: Plan, records: Mapping[str, Record], arm: Arm) -> list[int]:
    """The seeds that an arm is to have: all if it is a finalist, else the first."""
    return arm.seeds(plan) if arm.name in finalists(plan, records) else plan.seeds[:1]


def parts_due(folder: Path, plan: Plan, arms: Iterable[Arm]) -> list[tuple[Arm, int]]:
    """Arms and seeds without results, seed by seed, so that every arm has one early. Who the
    finalists are is known once all arms have one, and may change until then.

    Raises:
        RequestError: kept results belong to another plan.
    """
    records = {arm.name: read_record(folder, plan, arm) for arm in arms_of(plan).values()}
    due = []
    for arm in arms:
        known = (records.get(arm.name) or read_record(folder, plan, arm))["seeds"]
        due += [(arm, seed) for seed in wanted_seeds(plan, records, arm) if str(seed) not in known]
    return sorted(due, key=lambda part: part[1])
