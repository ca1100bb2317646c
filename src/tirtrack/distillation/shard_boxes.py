"""Boxes that travel with shards: proposed and followed once, read by everyone who distils them.

``boxes-HASH.jsonl`` beside the shards holds what the cache of the machine held that made it: for
each pair, or start of tracks, all that its boxes depend on, and the boxes. ``distill`` puts those
of the very pairs that it was given into its own cache, where it finds them in place of making them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

from pydantic import ValidationError

from tirtrack.cache import find_value, keep_value
from tirtrack.errors import PairsError
from tirtrack.files import write_bytes
from tirtrack.pairs.shard_pairs import ShardPairs
from tirtrack.pairs.source import PairSource
from tirtrack.remote import AnyPath
from tirtrack.stored import Stored

MAX_LINE_BYTES = 2**24
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

    Args:
        source: pairs; others than shards hold no boxes.
        content: hash of the pairs; boxes of others are left.

    Raises:
        PairsError: a file of boxes is damaged.
    """
    if not isinstance(source, ShardPairs):
        return 0
    taken = 0
    try:
        for name in sorted(one.name for one in source.folder.glob("boxes-*.jsonl")):
            taken += _taken(source.folder / name, content)
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", source.folder, _ANEW) from error
    return taken


def _taken(file: AnyPath, content: str) -> int:
    taken = 0
    with file.open("rb") as opened:
        while line := opened.readline(MAX_LINE_BYTES + 1):
            try:
                if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n"):
                    raise ValueError("a line is cut short or too long")
                one = StoredBoxes.model_validate_json(line)
            except (ValueError, ValidationError) as error:
                reason = " ".join(str(error).split())[:120]
                raise PairsError(f"is no file of boxes ({reason})", file, _ANEW) from error
            if one.version != _version() or one.identity.get("pairs") != content:
                continue
            if find_value(one.kind, one.identity, str) is None:
                keep_value(one.kind, one.identity, one.text)
                taken += 1
    return taken


def _version() -> str:
    return metadata.version("tirtrack")
