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


class Stored(BaseModel):
    """Base of every model of a result, and of its parts."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_finite)]
"""A number that may be unknown: ``null`` in the file, ``None`` in place of NaN in memory."""

Content = TypeVar("Content", bound=Stored)


def write_stored(file: Path, content: Stored) -> None:
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
        raise DatasetError(
            f"is no {called} ({' '.join(str(error).split())[:120]})", file, fix
        ) from error
