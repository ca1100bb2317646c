"""The figures and tables of a page as files for papers: PDF and SVG, LaTeX and CSV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tirtrack import files
from tirtrack.report.content import Picture, ReportContent
from tirtrack.report.plots import drawn
from tirtrack.report.table import Table, as_csv, as_latex

FIGURES, TABLES = "figures", "tables"


def write_export(content: ReportContent, folder: Path) -> None:
    """Write every figure and table of a page below a folder.

    Figures are ``figures/NAME.pdf`` and ``.svg``, tables ``tables/NAME.csv`` and ``.tex``. Where a
    page has several evaluations or distillations, each has its number before the names.

    Raises:
        StorageError: a file could not be written.
    """
    for name, picture in _pictures(content):
        for kind in ("pdf", "svg"):
            files.write_bytes(folder / FIGURES / f"{name}.{kind}", drawn(picture.figure, kind))
    for name, table in _tables(content):
        files.write_text(folder / TABLES / f"{name}.csv", as_csv(table))
        files.write_text(folder / TABLES / f"{name}.tex", as_latex(table))


def _pictures(content: ReportContent) -> Iterator[tuple[str, Picture]]:
    parts = [
        *(section.pictures for section in content.evaluations),
        *(one.curves for one in content.distillations),
    ]
    groups = (len(content.evaluations), len(content.distillations))
    numbers = [k + 1 for group in groups for k in range(group)]
    several = [group > 1 for group in groups for _ in range(group)]
    for number, is_numbered, pictures in zip(numbers, several, parts, strict=True):
        for one in pictures:
            if one.figure is not None:
                yield f"{number}_{one.name}" if is_numbered else one.name, one


def _tables(content: ReportContent) -> Iterator[tuple[str, Table]]:
    for number, section in enumerate(content.evaluations, start=1):
        for one in section.tables:
            name = re.sub(r"[^\w-]", "_", one.name)
            yield f"{number}_{name}" if len(content.evaluations) > 1 else name, one
