"""Scores that papers and benchmarks print, for a look beside one's own.

They are facts from the sources that each row names, and belong to one protocol on all sequences of
its data set, which has the protocol's name. Nobody ran these trackers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from tirtrack.datasets import benchmarks
from tirtrack.stored import Number, Stored

FILE = "published.json"


class PublishedRow(Stored):
    """A tracker's printed scores.

    Attributes:
        tracker: its name in the source.
        protocol: id of the protocol.
        sequences: number of sequences; ``None``: the source cites them without saying so.
        source: where they are printed.
        values: scores, by id.
    """

    tracker: str
    protocol: str
    sequences: int | None
    source: str
    values: Mapping[str, Number]


class _PublishedFile(Stored):
    rows: tuple[PublishedRow, ...]


def published_rows(protocol: str) -> tuple[PublishedRow, ...]:
    """The printed scores under that protocol; none where no source is known."""
    text = resources.files("tirtrack.report").joinpath(FILE).read_text(encoding="utf-8")
    rows = _PublishedFile.model_validate_json(text).rows
    return tuple(one for one in rows if one.protocol == protocol)


def published_sequences(protocol: str) -> frozenset[str]:
    """Names of the sequences that the printed scores under that protocol are of."""
    return frozenset(one.name for one in benchmarks.get(protocol).sequences)
