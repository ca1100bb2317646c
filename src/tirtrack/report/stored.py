"""JSON files that other stages left, read back as far as the page shows them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tirtrack.errors import DatasetError

STORED = ConfigDict(extra="ignore", frozen=True)
"""Configuration of every part of such a file: what the page does not show is ignored."""

Content = TypeVar("Content", bound=BaseModel)


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
