"""The run folder of a distillation as a part of the page: facts, loss curves, held-back signal.

Missing parts are tolerated (a run that was stopped has no summary yet); damaged ones are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tirtrack.distillation.run_folder import RECIPE
from tirtrack.distillation.summary import (
    LOG,
    SUMMARY,
    HeldBackComparison,
    LogLine,
    PassRate,
    RunSummary,
    StudentDifference,
    read_log,
    read_summary,
)
from tirtrack.pairs.inspection_folder import MANIFEST_NAME
from tirtrack.report.content import DistillationSection, Picture
from tirtrack.report.plots import held_back_plot, loss_plot

NO_PROOF = (
    "A signal without labels says whether the student, on TIR, finds what the teacher finds on "
    "RGB, or without RGB the proposed boxes. In earlier work it did not follow the true gain; only "
    "labelled TIR decides."
)


MODALITY = {"rgb": "RGB", "tir": "TIR", "both": "both modalities"}
_SIGNALS = {
    "with_teacher": "overlap with the teacher's box",
    "with_box": "overlap with the pseudo-box",
    "centre": "distance of the centre, cells (less is better)",
}
_LIKE_TEACHER = {
    "score": "correlation with the teacher's score map",
    "modulation": "cosine with the teacher's modulation",
    "energy": "rank correlation with the teacher's energies",
}
_DRAWN = {
    "overlap and likeness": {
        **{key: _SIGNALS[key] for key in ("with_teacher", "with_box")},
        **_LIKE_TEACHER,
    },
    "cells": {"centre": _SIGNALS["centre"]},
}


def run_folders(folder: Path) -> list[Path]:
    """The run folders of ``tirtrack distill`` in a folder (or itself, if it is one)."""
    if is_distillation(folder):
        return [folder]
    return sorted(
        one.parent for one in folder.glob(f"*/{MANIFEST_NAME}") if is_distillation(one.parent)
    )


def is_distillation(folder: Path) -> bool:
    """Whether a folder is the run folder of ``tirtrack distill``, not of ``train``; also that of a
    run which found nothing to train on.
    """
    has_run = (folder / LOG).is_file() or (folder / SUMMARY).is_file()
    return has_run and (folder / MANIFEST_NAME).is_file()


def resolved_recipes(runs: Mapping[str, Path]) -> dict[str, str]:
    """The recipes that runs left, by their titles on the page; runs without one are skipped.

    Args:
        runs: run folders by their names on the page.
    """
    return {
        f"recipe of {name}, resolved": file.read_text(encoding="utf-8")
        for name, run in runs.items()
        if (file := run / RECIPE).is_file()
    }


def loss_curves(rows: Sequence[LogLine]) -> tuple[Picture, ...]:
    """The loss as a picture; none when there are fewer than two rows."""
    if len(rows) < 2:
        return ()
    # A name with two slashes is a part of a term, which is drawn as a whole.
    names = list(dict.fromkeys(name for row in rows for name in row.terms if name.count("/") < 2))
    terms = {
        label: [row.terms.get(name) for row in rows]
        for name, label in zip(names, _labels(names), strict=True)
    }
    return (loss_plot([row.step for row in rows], [row.loss for row in rows], terms),)


def held_back_curves(rows: Sequence[LogLine], summary: RunSummary | None) -> tuple[Picture, ...]:
    """Validation on held-back pairs during training as pictures, with the final values of the
    summary; none when there are fewer than two validations.
    """
    validations = [(row.step - 1, row.held_back) for row in rows if row.held_back]
    if summary is not None and summary.held_back is not None:
        last = {key: getattr(summary.held_back, key) for key in _SIGNALS}
        last |= summary.held_back.like_teacher
        validations.append((summary.steps, {key: one.student for key, one in last.items() if one}))
    if len(validations) < 2:
        return ()
    steps = [step for step, _ in validations]
    pictures = []
    for y_label, labels in _DRAWN.items():
        numbers = {
            label: [found[key] for _, found in validations]
            for key, label in labels.items()
            if all(key in found for _, found in validations)
        }
        if numbers:
            pictures.append(held_back_plot(steps, numbers, y_label=y_label))
    return tuple(pictures)


def _labels(names: Sequence[str]) -> list[str]:
    """Terms for a legend: ``DIRECTION/TERM``, or the direction where there is only one term."""
    parts = [name.partition("/") for name in names]
    return [one[0] for one in parts] if len({one[2] for one in parts}) == 1 else list(names)


def distillation_section(run: Path) -> DistillationSection:
    """A run folder as a part of the page."""
    rows, summary = read_log(run), read_summary(run)
    curves = loss_curves(rows) + held_back_curves(rows, summary)
    if summary is None:
        done = str(rows[-1].step) if rows else "none"
        return DistillationSection(run.name, {"steps": f"{done}; the run has not ended"}, curves)
    facts = {
        "recipe": summary.recipe,
        "steps": str(summary.steps),
        "samples": _samples(summary.samples),
        "held back": summary.split,
        "found again by the teacher": _pass_rates(summary.pass_rates),
        "without labels": summary.verdict,
        "time": ", ".join(f"{stage} {spent:.0f} s" for stage, spent in summary.seconds.items()),
    }
    return DistillationSection(
        name=run.name,
        facts={label: text for label, text in facts.items() if text},
        curves=curves,
        agreement=_agreement(summary.held_back),
        agreement_note=NO_PROOF if summary.held_back else "",
        cautions=tuple(summary.warnings),
    )


def listed(counts: Mapping[str, int]) -> str:
    """Counts as a line of text.

    >>> listed({"in tir": 3, "in rgb": 2})
    '3 in tir, 2 in rgb'
    """
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _samples(counts: Mapping[str, int]) -> str:
    """The counts of a summary in words; only those that it has."""
    parts = []
    if "usable" in counts:
        parts.append(f"{counts['usable']} usable of a pool of {counts['pool']}")
    if "with_rgb" in counts:
        parts.append(f"RGB counted for {counts['with_rgb'] or 'none'} of them")
    if counts.get("outside"):
        parts.append(f"{counts['outside']} of the pool with the target outside the test patch")
    return ", ".join(parts)


def _pass_rates(rates: Sequence[PassRate]) -> str:
    return "; ".join(
        f"{one.passed} of {one.samples} boxes by {one.way}, found in {_modality(one.found_in)}"
        for one in rates
    )


def _modality(name: str) -> str:
    return MODALITY.get(name, name)


def _agreement(held_back: HeldBackComparison | None) -> dict[str, dict[str, str]]:
    if held_back is None:
        return {}
    signals: dict[str, StudentDifference | None] = {
        label: getattr(held_back, key) for key, label in _SIGNALS.items()
    }
    signals |= {label: held_back.like_teacher.get(key) for key, label in _LIKE_TEACHER.items()}
    return {label: _cells(one) for label, one in signals.items() if one is not None}


def _cells(one: StudentDifference) -> dict[str, str]:
    return {
        "baseline": f"{one.baseline:.3f}",
        "student": f"{one.student:.3f}",
        "difference [95 % interval]": f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]",
    }
