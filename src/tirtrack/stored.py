"""Results as JSON files: one model each, in the package that makes it, for writing and for reading.

A key that an older file lacks has its default in the model; a key that a model does not know is
ignored.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from tirtrack.errors import DatasetError
from tirtrack.files import write_json
from tirtrack.remote import AnyPath


class Stored(BaseModel):
    """Base of every model of a result, and of its parts."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number that may be unknown: ``null`` in the file, ``None`` in place of NaN in memory."""

Content = TypeVar("Content", bound=Stored)


def write_stored(file: AnyPath, content: Stored) -> None:
    """Write a result, whole or not at all.

    Raises:
        StorageError: it could not be written.
    """
    write_json(file, content.model_dump(mode="json"))


def read_stored(file: Path, kind: type[Content], *, called: str, fix: str) -> Content | None:
    """The content of a file; ``None`` if there is no file.

    Args:
        file: JSON file.
        kind: expected type of its content.
        called: name of the content in messages.
        fix: remedy named in the message of an error.

    Raises:
        DatasetError: it is damaged.
    """
    if not file.is_file():
        return None
    try:
        return kind.model_validate_json(file.read_bytes())
    except ValidationError as error:
        raise DatasetError(f"is no {called} ({first_fault(error)})", file, fix) from error


def read_stored_lines(file: Path, kind: type[Content], *, called: str, fix: str) -> list[Content]:
    """The content of a file of JSON lines; empty if there is no file.

    A last line that was cut short when its writer was killed is ignored.

    Args:
        file: file with one JSON document per line.
        kind: expected type of every line.
        called: name of a line in messages.
        fix: remedy named in the message of an error.

    Raises:
        DatasetError: a line before the last one is damaged; names the line.
    """
    if not file.is_file():
        return []
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(kind.model_validate_json(line))
        except ValidationError as error:
            if number == len(lines):
                break
            raise DatasetError(
                f"line {number} is not a {called} ({first_fault(error)})", file, fix
            ) from error
    return found


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a document, in short: the field, if it is one, and why."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field}: {first['msg']}" if field else first["msg"]
