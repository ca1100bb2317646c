"""The run folder of a distillation as a part of the page: facts, loss curves, rejections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tirtrack.errors import DatasetError
from tirtrack.report.content import DistillationSection, Picture
from tirtrack.report.plots import loss_plot

LOG_NAME = "log.jsonl"
SUMMARY_NAME = "summary.json"


@dataclass(frozen=True)
class LossRow:
    """One line of the log."""

    step: int
    loss: float
    terms: dict[str, float]


def run_folders(folder: Path) -> list[Path]:
    """The run folders of ``tirtrack distill`` in a folder (or itself, if it is one)."""
    if (folder / LOG_NAME).is_file():
        return [folder]
    return sorted(log.parent for log in folder.glob(f"*/{LOG_NAME}"))


def read_log(run: Path) -> list[LossRow]:
    """The rows of the loss log.

    A last line that a kill cut short is passed over; any other damage is an error.

    Raises:
        DatasetError: the log cannot be read; names the line.
    """
    file = run / LOG_NAME
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            stored = json.loads(line)
            if "loss" in stored:
                rows.append(_row(stored))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if number == len(lines):
                break
            raise DatasetError(
                f"line {number} is not a row of a loss log ({error})",
                file,
                "the file is damaged: take the run folder out, or distil again",
            ) from error
    return rows


def _row(stored: dict[str, Any]) -> LossRow:
    terms = stored.get("terms", {}) or {}
    return LossRow(
        int(stored["step"]),
        float(stored["loss"]),
        {str(name): float(value) for name, value in terms.items() if value is not None},
    )


def loss_curves(rows: Sequence[LossRow]) -> tuple[Picture, ...]:
    """The loss as a picture; none when there are fewer than two rows."""
    if len(rows) < 2:
        return ()
    names = list(dict.fromkeys(name for row in rows for name in row.terms))
    terms = {name: [row.terms.get(name) for row in rows] for name in names}
    return (loss_plot([row.step for row in rows], [row.loss for row in rows], terms),)


def distillation_section(run: Path) -> DistillationSection:
    """A run folder as a part of the page."""
    rows = read_log(run)
    facts = {"steps": str(rows[-1].step)} if rows else {}
    return DistillationSection(facts=facts, curves=loss_curves(rows))
