"""Boxes that travel with shards: proposed and followed once, read by everyone who distils them.

``boxes-HASH.jsonl`` beside the shards holds what the cache of the machine held that made it: for
each pair, or start of tracks, all that its boxes depend on, and the boxes. ``distill`` puts those
of the very pairs that it was given into its own cache, where it finds them in place of making them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import metadata
from typing import Any, Literal

from pydantic import ValidationError

from tirtrack.cache import find_value, keep_value
from tirtrack.distillation.sources import hash_of
from tirtrack.errors import PairsError
from tirtrack.files import write_bytes
from tirtrack.pairs.shard_pairs import ShardPairs
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.source_views import CombinedPairs
from tirtrack.remote import AnyPath
from tirtrack.stored import Stored, first_fault

MAX_LINE_BYTES = 2**24
UNDRAWN = ("centre", "detector", "regions", "saliency")  # ways of proposing without a draw
_ANEW = "delete it: boxes are then made anew"


class StoredBoxes(Stored):
    """The boxes of a pair, or the tracks of a start: a line of the file.

    Attributes:
        version: version of tirtrack that made them.
        kind: part of the cache that they belong to.
        identity: all that they depend on.
        text: the boxes, as in the cache.
    """

    version: str
    kind: Literal["proposals", "tracks"]
    identity: dict[str, Any]
    text: str


def write_boxes(folder: AnyPath, values: Sequence[tuple[str, Mapping[str, Any], str]]) -> AnyPath:
    """Write values of the cache beside shards.

    Args:
        folder: folder of the shards.
        values: kind, identity and text of each, as of :func:`tirtrack.cache.recorded_values`.

    Returns:
        The file.

    Raises:
        StorageError: it could not be written.
    """
    lines = [
        StoredBoxes.model_validate(
            {"version": _version(), "kind": kind, "identity": identity, "text": text}
        )
        for kind, identity, text in values
    ]
    content = "".join(f"{one.model_dump_json()}\n" for one in lines).encode()
    file = folder / f"boxes-{hashlib.sha256(content).hexdigest()[:16]}.jsonl"
    write_bytes(file, content)
    return file


def take_boxes(source: PairSource, content: str) -> int:
    """Put the boxes that travelled with shards into the cache; returns how many it lacked.

    Where several folders are read together, the boxes of each are those of its pairs among all,
    except random ones, whose draws count through all pairs: these are made anew.

    Args:
        source: pairs; others than shards hold no boxes.
        content: hash of the pairs; boxes of others are left.

    Raises:
        PairsError: a file of boxes is damaged.
    """
    if isinstance(source, ShardPairs):
        return _taken_beside(source, lambda one: one if _pairs_of(one) == content else None)
    taken = 0
    for part, start in source.parts() if isinstance(source, CombinedPairs) else ():
        if isinstance(part, ShardPairs) and _files(part):
            own = hash_of(part, part.manifest())
            taken += _taken_beside(part, partial(_among_all, own=own, content=content, start=start))
    return taken


_Adapt = Callable[[StoredBoxes], StoredBoxes | None]
"""Puts boxes in the names of the pairs that are read; ``None`` if they are of others."""


def _pairs_of(one: StoredBoxes) -> Any:
    return one.identity.get("pairs")


def _among_all(one: StoredBoxes, *, own: str, content: str, start: int) -> StoredBoxes | None:
    """Boxes of one folder, whose first pair has the index ``start`` among those of all."""
    if _pairs_of(one) != own:
        return None
    identity = {**one.identity, "pairs": content}
    try:
        stored = json.loads(one.text)
        if one.kind == "proposals":
            kept = stored[0]["kept"]
            if identity["way"]["way"] not in UNDRAWN or not kept or kept[0]["way"] not in UNDRAWN:
                return None
            identity["index"] += start
            return one.model_copy(update={"identity": identity})
        for name in ("indices", "background"):
            identity[name] = [index + start for index in identity[name]]
        identity["proposals"] = [(at + start, *rest) for at, *rest in identity["proposals"]]
        for track in stored:
            track["indices"] = [index + start for index in track["indices"]]
    except (ValueError, TypeError, KeyError, IndexError):
        return None  # of a proposer of one's own
    return one.model_copy(update={"identity": identity, "text": json.dumps(stored)})


def _files(source: ShardPairs) -> list[AnyPath]:
    """The files of boxes beside shards."""
    try:
        names = sorted(one.name for one in source.folder.glob("boxes-*.jsonl"))
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", source.folder, _ANEW) from error
    return [source.folder / name for name in names]


def _taken_beside(source: ShardPairs, adapt: _Adapt) -> int:
    try:
        return sum(_taken(file, adapt) for file in _files(source))
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", source.folder, _ANEW) from error


def _taken(file: AnyPath, adapt: _Adapt) -> int:
    taken = 0
    with file.open("rb") as opened:
        while line := opened.readline(MAX_LINE_BYTES + 1):
            try:
                if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n"):
                    raise ValueError("a line is cut short or too long")
                one = StoredBoxes.model_validate_json(line)
            except ValueError as error:
                reason = first_fault(error) if isinstance(error, ValidationError) else error
                raise PairsError(f"is no file of boxes ({reason})", file, _ANEW) from error
            known = adapt(one) if one.version == _version() else None
            if known is not None and find_value(known.kind, known.identity, str) is None:
                keep_value(known.kind, known.identity, known.text)
                taken += 1
    return taken


def _version() -> str:
    return metadata.version("tirtrack")
