"""Parts of the questions about real video: results in one JSON file each, kept as a part ends."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.command import revision
from benchmarks.evidence.parts import attempt
from benchmarks.in_parallel import in_parallel
from tirtrack.errors import RequestError
from tirtrack.files import write_json
from tirtrack.identity import first_change, versions

PartResults = dict[str, Any]
"""Results of a part, as JSON values."""


def cached_part(
    file: Path, identity: Mapping[str, Any], make: Callable[[], PartResults]
) -> PartResults:
    """The results in a file, made first if there is none.

    Args:
        file: JSON file of the part.
        identity: what the results depend on but for the code, as JSON values.
        make: function that makes the results.

    Raises:
        RequestError: the results in the file depend on something else.
    """
    if (found := kept_part(file, identity)) is not None:
        return found
    code, results = revision(), make()
    facts = {"identity": dict(identity), "versions": versions(), "revision": code}
    write_json(file, {**facts, "results": results})
    return results


def kept_part(file: Path, identity: Mapping[str, Any]) -> PartResults | None:
    """The results in a file; ``None`` without one.

    Raises:
        RequestError: the results in the file depend on something else.
    """
    if not file.is_file():
        return None
    found: PartResults = json.loads(file.read_text(encoding="utf-8"))
    if change := first_change(found["identity"], identity):
        raise RequestError(
            f"these results belong to a plan with another {change}",
            file,
            "restore the plan, or remove the file to run the part anew",
        )
    return dict(found["results"])


def run_all(
    jobs: Mapping[str, Callable[[], PartResults]], workers: int
) -> tuple[dict[str, PartResults], list[str]]:
    """Results of jobs by name, and one line for each that failed."""
    found: dict[str, PartResults] = {}
    faults: list[str] = []

    def ended(part: tuple[str, PartResults | None, str]) -> str:
        name, results, fault = part
        if results is None:
            faults.append(f"{name}: {fault}")
            return f"{name} failed"
        found[name] = results
        return name

    named = [functools.partial(_named, name, job) for name, job in jobs.items()]
    in_parallel(named, workers, "part", ended=ended)
    return found, faults


def _named(name: str, job: Callable[[], PartResults]) -> tuple[str, PartResults | None, str]:
    return (name, *attempt(job))
