"""A table as a value: the page draws it, an export writes it as CSV and LaTeX.

What a cell shows is rounded; beside it stand the numbers themselves, by which columns are sorted
and which CSV gets. Nothing here knows what the numbers mean.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

NO_NUMBER = "–"
LONG = 40
"""Rows that the page shows one below the other; more of them scroll."""
INTERVAL = ("", "low", "high")
"""Parts of a column whose numbers have intervals."""

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "%": r"\%", "&": r"\&",
    "#": r"\#", "$": r"\$", "|": r"\textbar{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--",
    "<": r"\textless{}", ">": r"\textgreater{}", "…": r"\dots{}", "\n": " ",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        group: heading above those of neighbouring columns, such as a tracker; empty: none.
        colour: colour of the group's mark; empty: none.
        parts: endings of its headings in CSV, one for each number of a cell.
        is_text: whether it holds words rather than numbers.
    """

    title: str
    group: str = ""
    colour: str = ""
    parts: tuple[str, ...] = ("",)
    is_text: bool = False

    def headings(self) -> list[str]:
        """Its headings in CSV."""
        return [" ".join(filter(None, (self.group, self.title, part))) for part in self.parts]


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what it shows.
        numbers: the numbers behind it, one for each part of its column; empty: it is only text.
        interval: a second, smaller text, such as an interval.
        colour: colour of a mark before the text; empty: none.
        bar: length and side of a bar, from -1 (worse) to 1 (better); ``None``: no bar.
    """

    text: str
    numbers: tuple[float | None, ...] = ()
    interval: str = ""
    colour: str = ""
    bar: float | None = None

    @property
    def value(self) -> float | None:
        """What it is sorted by; ``None``: by its text."""
        return self.numbers[0] if self.numbers else None


@dataclass(frozen=True)
class Table:
    """A table with a name, under which it is exported.

    Attributes:
        name: file name in an export, without ending.
        caption: what it shows, in a line.
        columns: its columns.
        rows: its rows, one cell for each column.
        missing: which results it lacks, in a line; empty: none.
        notes: sentences below it.
        is_wide: whether it may be wider than the text of the page.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    missing: str = ""
    notes: tuple[str, ...] = ()
    is_wide: bool = False

    @property
    def groups(self) -> list[tuple[str, str, list[tuple[int, Column]]]]:
        """Neighbouring columns of one group: its heading, its colour, and columns by number."""
        numbered = enumerate(self.columns)
        return [
            (group, colour, list(members))
            for (group, colour), members in groupby(
                numbered, key=lambda one: (one[1].group, one[1].colour)
            )
        ]

    @property
    def breadth(self) -> int:
        """Its number of columns, where one with bars or intervals counts as three."""
        broad = sum(
            any(row[k].interval or row[k].bar is not None for row in self.rows)
            for k in range(len(self.columns))
        )
        return len(self.columns) + 2 * broad

    @property
    def is_long(self) -> bool:
        """Whether it scrolls in a window of its own, below its headings."""
        return len(self.rows) > LONG

    @property
    def has_groups(self) -> bool:
        """Whether any column belongs to a group."""
        return any(one.group for one in self.columns)


def number(value: float | None, *, low: float | None = None, high: float | None = None) -> Cell:
    """A number with three decimals, with its interval where both ends are given.

    >>> number(0.5, low=0.25, high=0.75).interval
    '[0.250, 0.750]'
    """
    if low is None or high is None:
        return Cell(three(value), (value,))
    return Cell(three(value), (value, low, high), f"[{three(low)}, {three(high)}]")


def count(value: int | None) -> Cell:
    """A whole number; a dash where there is none."""
    return Cell(NO_NUMBER if value is None else str(value), (value,))


def three(value: float | None) -> str:
    """Three decimals, a dash where there is no number.

    >>> three(0.54321), three(None)
    ('0.543', '–')
    """
    return NO_NUMBER if value is None or not math.isfinite(value) else f"{value:.3f}"


def as_csv(table: Table) -> str:
    """The table as CSV: a line of headings, then numbers in full and words as they are.

    CSV has no room for remarks: which results are missing is a table of its own.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([heading for one in table.columns for heading in one.headings()])
    for row in table.rows:
        cells = zip(table.columns, row, strict=True)
        writer.writerow([one for column, cell in cells for one in _csv_cells(column, cell)])
    return text.getvalue()


def _csv_cells(column: Column, cell: Cell) -> list[str]:
    if not cell.numbers:
        return [cell.text, *[""] * (len(column.parts) - 1)]
    known = ["" if one is None or not math.isfinite(one) else repr(one) for one in cell.numbers]
    return known + [""] * (len(column.parts) - len(known))


def as_latex(table: Table) -> str:
    """The table as a LaTeX ``tabular`` with the rules of the package ``booktabs``."""
    kinds = "".join("l" if one.is_text else "r" for one in table.columns)
    lines = [
        f"% {_one_line(text)}" for text in (table.caption, table.missing, *table.notes) if text
    ]
    lines += ["% needs \\usepackage{booktabs}", f"\\begin{{tabular}}{{{kinds}}}", "\\toprule"]
    if table.has_groups:
        lines += _latex_groups(table)
    lines += [_latex_line(latex_text(one.title) for one in table.columns), "\\midrule"]
    lines += [_latex_line(map(_latex_cell, row)) for row in table.rows]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_groups(table: Table) -> list[str]:
    heads, rules = [], []
    for group, _, members in table.groups:
        first, last = members[0][0] + 1, members[-1][0] + 1
        heads.append(f"\\multicolumn{{{len(members)}}}{{c}}{{{latex_text(group)}}}")
        if group:
            rules.append(f"\\cmidrule(lr){{{first}-{last}}}")
    return [" & ".join(heads) + r" \\", " ".join(rules)]


def _latex_line(texts: Iterable[str]) -> str:
    line = " & ".join(texts)
    # the end of the line before would take these for an argument of its own
    return ("{}" if line.startswith(("[", "*")) else "") + line + r" \\"


def _latex_cell(cell: Cell) -> str:
    text = latex_text(f"{cell.text} {cell.interval}".rstrip())
    return re.sub(r"-(?=[0-9])", "$-$", text) if cell.numbers else text


def _one_line(text: str) -> str:
    return " ".join(text.split())


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> latex_text("nano_rgb & 5 %")
    'nano\\_rgb \\& 5 \\%'
    """
    return "".join(_LATEX.get(letter, letter) for letter in text)
