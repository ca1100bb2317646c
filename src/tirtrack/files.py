"""Files that are written whole or not at all, the folders of results, and hashes.

Everything that tirtrack writes goes through :func:`atomic_path`: written under a temporary name
beside the final one, flushed, renamed. A kill or a full disk leaves the old file, never half of
the new one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from tirtrack.errors import RequestError, StorageError
from tirtrack.remote import AnyPath, RemotePath, any_path

if sys.platform != "win32":
    import fcntl

_log = logging.getLogger(__name__)
MARKER = ".tirtrack"  # lies in every folder made here; only such folders are ever replaced
_MARK = "Made by tirtrack; --force may replace this folder with all that is in it.\n"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends without an error.

    The temporary name keeps the suffix, so that writers that depend on it (video, images) still
    work.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageError(
            f"could not be written ({error.strerror or error})",
            path,
            "free some space or choose another --out",
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Delete what a killed process was writing below a folder; nothing may write there now."""
    for partial in Path(folder).rglob(".*.partial*"):
        partial.unlink()


def write_bytes(path: AnyPath, content: bytes) -> None:
    """Write a file whole or not at all; at an address, as whole as its storage writes."""
    if isinstance(path, RemotePath):
        try:
            path.write_bytes(content)
        except OSError as error:
            raise StorageError(
                f"could not be written ({error.strerror})", path, "choose another --out"
            ) from error
        return
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def write_text(path: AnyPath, content: str) -> None:
    """Write UTF-8 text whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def json_text(content: Any) -> str:
    r"""JSON, indented, keys in the order given; NaN is refused (write ``None``). In names of files
    that are no UTF-8 the odd bytes are written out, as ``\xff``: JSON holds Unicode alone.
    """
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    return re.sub("[\udc80-\udcff]", lambda odd: rf"\\x{ord(odd[0]) - 0xDC00:02x}", text)


def write_json(path: AnyPath, content: Any) -> None:
    """Write what :func:`json_text` makes of something."""
    write_text(path, json_text(content) + "\n")


def new_folder(
    path: Path, *, force: bool = False, inputs: Sequence[Path] = (), option: str = "--out"
) -> Path:
    """A folder at ``path`` that holds nothing but :data:`MARKER`.

    With ``force`` a folder is replaced only if tirtrack made it and it holds none of ``inputs``:
    everything in it is deleted. ``option`` is the option that named it, for messages.

    Raises:
        RequestError: something is there and ``force`` was not given; or it was, and what is there
            is no folder of tirtrack, or is or holds the working or home folder or an input.
        StorageError: the marker could not be written.
    """
    path = Path(path)
    try:
        if _is_taken(path):
            if not force:
                raise RequestError(
                    "exists already",
                    path,
                    f"choose another {option}, or give --force to replace it",
                )
            _check_replaceable(path, inputs, option)
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        _mark(path)
    except OSError as error:
        raise RequestError(
            f"could not be made ({error.strerror})", path, f"choose another {option}"
        ) from error
    return path


def _is_taken(path: Path) -> bool:
    """Whether something lies there: a folder with the marker alone is still a new one."""
    if path.is_dir() and not path.is_symlink():
        return any(entry.name != MARKER for entry in path.iterdir())
    return path.is_symlink() or path.exists()


def _check_replaceable(path: Path, inputs: Sequence[Path], option: str) -> None:
    """Refuse to delete what tirtrack did not make, the working or home folder, or an input."""
    other = f"choose another {option}, or delete it yourself"
    if path.is_symlink() or not path.is_dir():
        raise RequestError("is not a folder, so --force does not replace it", path, other)
    place = path.resolve()
    for name, kept in (("working", Path.cwd), ("home", Path.home)):
        with suppress(RuntimeError):  # a user without a home folder
            if kept().resolve().is_relative_to(place):
                raise RequestError(
                    f"is or holds the {name} folder, so --force does not replace it",
                    path,
                    f"choose another {option}",
                )
    for one in inputs:
        if one.resolve().is_relative_to(place):
            raise RequestError(
                f"is or holds what is to be read ({one}), so --force does not replace it",
                path,
                f"choose another {option}",
            )
    if not (path / MARKER).is_file():
        raise RequestError(
            f"was not made by tirtrack (no {MARKER} in it), so --force does not replace it",
            path,
            other,
        )


def _mark(folder: Path) -> None:
    write_text(folder / MARKER, _MARK)


@contextmanager
def sole_writer(folder: AnyPath) -> Iterator[None]:
    """Keep other processes out of a folder that tirtrack made, while the block and this process
    last.

    They are not kept out of what is no folder yet, of an address, nor where a system or disk has no
    locks, which is logged.

    Raises:
        RequestError: another process writes there.
    """
    marker = folder / MARKER
    if sys.platform == "win32" or isinstance(marker, RemotePath) or not marker.is_file():
        yield
        return
    with ExitStack() as stack:
        try:
            # for writing, without which network file systems give no lock to one process alone
            held = stack.enter_context(marker.open("r+b"))
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RequestError(
                "another process writes there", folder, "let it end, or choose another --out"
            ) from error
        except OSError as error:
            _log.warning(
                "%s cannot be locked (%s): let one process write there", folder, error.strerror
            )
        yield


def new_file(path: Path, *, force: bool = False) -> Path:
    """``path``, checked to be free to write.

    Raises:
        RequestError: it exists and ``force`` was not given, or its folder cannot be made.
    """
    path = Path(path)
    if path.exists() and not force:
        raise RequestError(
            "exists already", path, "choose another --out, or give --force to replace it"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(
            f"its folder could not be made ({error.strerror})", path, "choose another --out"
        ) from error
    return path


def numbered_folder(parent: Path, name: str) -> Path:
    """The first of ``parent/name-001``, ``-002``, ... that did not exist; now it does."""
    number = 1
    while True:
        path = Path(parent) / f"{name}-{number:03d}"
        try:
            path.mkdir(parents=True)
            _mark(path)
        except FileExistsError:
            number += 1
        except OSError as error:
            raise RequestError(
                f"could not be made ({error.strerror})", path, "choose another --out"
            ) from error
        else:
            return path


def sha256(path: AnyPath) -> str:
    """SHA-256 of a file, as hex."""
    with any_path(path).open("rb") as opened:
        return hashlib.file_digest(cast(Any, opened), "sha256").hexdigest()


def fingerprint(content: Any) -> str:
    """A short hash (16 hex digits) of anything that JSON can hold; the order of keys does not
    matter.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, default=str).encode("utf-8")
    ).hexdigest()[:16]
