"""What is published about a labelled data set: its sequences, its layout, its known errors.

The facts of each data set stand in one file of ``benchmarks/``; this one says what a fact is. Lists
of sequences hold names and numbers of frames, never boxes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Protocol

from tirtrack.datasets.annotation import AnnotationOptions
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.sequence_layouts import SequenceLayout

SequenceReader = Callable[[], list[LabelledSequence]]
"""Reads one sequence; one for each target if its file holds several."""


class LayoutReader(Protocol):
    """Finds the sequences of a folder."""

    def __call__(
        self, root: Path, benchmark: Benchmark, *, with_frames: bool, options: AnnotationOptions
    ) -> Mapping[str, SequenceReader]:
        """A reader for every sequence that is there, by its name."""


@dataclass(frozen=True)
class ListedSequence:
    """A sequence as the benchmark publishes it.

    Attributes:
        name: name.
        frames: number of annotated frames; ``None`` if no list states it.
        invalid: number of frames whose box has a value of 0 or less; ``None`` if no list states it.
        first: number in the file name of the first annotated frame.
        annotation: path of its annotation, if it is not the usual one.
    """

    name: str
    frames: int | None = None
    invalid: int | None = None
    first: int = 1
    annotation: str = ""


@dataclass(frozen=True)
class KnownError:
    """An error of the published data itself.

    Attributes:
        what: the error.
        source: where it is documented.
        sequence: the sequence that has it; empty if it is one of many.
    """

    what: str
    source: str
    sequence: str = ""


@dataclass(frozen=True)
class Benchmark:
    """A labelled data set that others publish.

    Attributes:
        name: name by which it is opened.
        title: name for output, with its part and year.
        described: where it is described and can be had.
        protocol: its own evaluation protocol.
        reader: reader of its layout.
        layout: what a sequence's folder looks like; ``None`` for ``anno/SEQUENCE.txt``.
        count: number of sequences; 0 if it is not stated.
        sequences: the sequences; empty if no list is at hand.
        list_file: file of the data itself that lists the sequences.
        folder: folder below the user's data folder, if it is not called as the data set.
        attribute_names: names of the attributes, in the order of the attribute files.
        subset: pattern whose first group in a sequence's name is its subset.
        has_absent: whether a row may say that the target is absent.
        errors: known errors.
    """

    name: str
    title: str
    described: str
    protocol: str
    reader: LayoutReader
    layout: SequenceLayout | None = None
    count: int = 0
    sequences: tuple[ListedSequence, ...] = ()
    list_file: str = ""
    folder: str = ""
    attribute_names: tuple[str, ...] = ()
    subset: re.Pattern[str] | None = None
    has_absent: bool = True
    errors: tuple[KnownError, ...] = ()

    @property
    def frames(self) -> int | None:
        """The number of annotated frames of all sequences; ``None`` if it is not stated."""
        counts = [one.frames for one in self.sequences]
        return None if None in counts or not counts else sum(filter(None, counts))


@cache
def listed(stem: str) -> Sequence[Mapping[str, object]]:
    """The rows of a list of ``benchmarks/lists``, by column."""
    path = resources.files("tirtrack.datasets") / "benchmarks" / "lists" / f"{stem}.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    return [dict(zip(content["columns"], row, strict=True)) for row in content["sequences"]]


def published(stem: str, *, without: str = "", only: str = "") -> tuple[ListedSequence, ...]:
    """The sequences of a list.

    Args:
        stem: name of the list.
        without: a sequence that is left out.
        only: a column of 0 and 1 that chooses sequences.
    """
    facts = ListedSequence.__dataclass_fields__
    return tuple(
        ListedSequence(**{key: value for key, value in row.items() if key in facts})  # type: ignore[arg-type]
        for row in listed(stem)
        if row["name"] != without and (not only or row[only])
    )
