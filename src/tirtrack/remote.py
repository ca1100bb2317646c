"""Files at an address (``s3://bucket/shards``): as much of a path as shards need, over fsspec.

Whatever storage answers, its errors are ``OSError`` with a text, as those of a disk. Which
addresses work depends on what is installed beside fsspec (``s3fs`` for ``s3://``, ``gcsfs`` for
``gs://``).
"""

from __future__ import annotations

import atexit
import errno
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from tirtrack.addresses import address_name, is_address, without_secrets
from tirtrack.errors import RequestError, StorageError

_READ_BYTES = 2**20
_TIMES = ("ETag", "LastModified", "mtime", "created")  # each storage has another one
MARKER_TEXT = b"Made by tirtrack; --force may replace what lies under this address.\n"


@dataclass(frozen=True)
class RemotePath:
    """A file or folder at an address; methods and errors are those of :class:`pathlib.Path`.

    Args:
        address: address with its scheme; it may hold a login, which is never shown.

    Raises:
        RequestError: it names no folder, or nothing that is installed can open it.
    """

    address: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", self.address.rstrip("/"))
        if "://" not in self.address:
            raise RequestError("names no folder", f"{self.address}//", "put its name behind it")
        self._opened()

    def __str__(self) -> str:
        return without_secrets(self.address)

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __truediv__(self, name: str) -> RemotePath:
        return RemotePath(f"{self.address}/{name}")

    @property
    def name(self) -> str:
        """The last part, without login and query, as it names what is stored."""
        return address_name(self.address)

    @property
    def suffix(self) -> str:
        """The suffix of the last part, with its dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> RemotePath:
        """What it lies in; the path itself if that is a whole storage."""
        above = self.address.rsplit("/", 1)[0]
        return RemotePath(above) if "://" in above else self

    def with_suffix(self, suffix: str) -> RemotePath:
        """The path with another suffix."""
        return RemotePath(self.address.removesuffix(self.suffix) + suffix)

    def resolve(self) -> RemotePath:
        """The path itself."""
        return self

    def absolute(self) -> RemotePath:
        """The path itself."""
        return self

    def exists(self) -> bool:
        """Whether something is there."""
        system, path = self._opened()
        with self._as_os_error():
            return bool(system.exists(path))

    def is_file(self) -> bool:
        """Whether a file is there."""
        system, path = self._opened()
        with self._as_os_error():
            return bool(system.isfile(path))

    def is_dir(self) -> bool:
        """Whether files lie under it."""
        system, path = self._opened()
        with self._as_os_error():
            return bool(system.isdir(path))

    def iterdir(self) -> Iterator[RemotePath]:
        """What lies in it, in the order of names."""
        system, path = self._opened()
        with self._as_os_error():
            system.invalidate_cache()
            found = system.ls(path, detail=False)
        yield from (self / PurePosixPath(one).name for one in sorted(found))

    def glob(self, pattern: str) -> list[RemotePath]:
        """What in it has a name of a pattern; of large storages only such names are asked for."""
        system, path = self._opened()
        with self._as_os_error():
            system.invalidate_cache()
            found = system.glob(f"{escape(path)}/{pattern}")
        return [self / PurePosixPath(one).name for one in sorted(found)]

    def stat(self) -> os.stat_result:
        """Its size, ``st_size``; nothing else is known."""
        system, path = self._opened()
        with self._as_os_error():
            size = int(system.info(path)["size"])
        return os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0))

    def open(self, mode: str = "rb") -> BinaryIO:
        """The file, for reading from its beginning to its end."""
        system, path = self._opened()
        with self._as_os_error():
            opened = system.open(path, mode)
        return cast(BinaryIO, io.BufferedReader(_Reading(opened, self._as_os_error), _READ_BYTES))

    def read_bytes(self, start: int = 0, size: int | None = None) -> bytes:
        """The content, or ``size`` bytes of it from ``start``; fewer if it is shorter."""
        if size == 0:
            return b""
        system, path = self._opened()
        with self._as_os_error():
            stop = None if size is None else start + size
            return cast(bytes, system.cat_file(path, start=start or None, end=stop))

    def read_text(self, encoding: str = "utf-8") -> str:
        """The content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Replace the content."""
        system, path = self._opened()
        with self._as_os_error():
            system.makedirs(self._parent_in(path), exist_ok=True)
            system.pipe_file(path, content)

    def upload(self, file: Path) -> None:
        """Replace the content with that of a file on the disk."""
        system, path = self._opened()
        with self._as_os_error():
            system.makedirs(self._parent_in(path), exist_ok=True)
            system.put_file(str(file), path)

    def remove(self) -> None:
        """Delete everything under it."""
        system, path = self._opened()
        with self._as_os_error():
            system.rm(path, recursive=True)

    def listing(self) -> str:
        """Name, size and time of every file under it; empty if there is none."""
        system, path = self._opened()
        with self._as_os_error():
            system.invalidate_cache()
            found = system.find(path, detail=True)
        return "\n".join(
            " ".join([name, *(str(facts.get(key)) for key in ("size", *_TIMES))])
            for name, facts in sorted(found.items())
        )

    def fetch(self, target: Path) -> None:
        """Copy the file, or all that lies under it, to the disk, and nothing outside the target."""
        system, path = self._opened()
        with self._as_os_error():
            if system.isfile(path):
                system.get_file(path, str(target))
                return
            target.mkdir()
            for name in system.find(path):
                if ".." in PurePosixPath(name.removeprefix(path)).parts:
                    raise OSError(errno.EINVAL, f"{name} leads out of its folder")
            system.get(f"{path.rstrip('/')}/", f"{target}/", recursive=True)

    def holds(self, other: AnyPath) -> bool:
        """Whether another path is this one or lies under it, however both are written."""
        (*storage, path), (*its_storage, its_path) = _place(self), _place(other)
        is_below = f"{its_path.rstrip('/')}/".startswith(f"{path.rstrip('/')}/")
        return storage == its_storage and is_below

    def _opened(self) -> tuple[Any, str]:
        """The file system of the address, and the path there."""
        from fsspec.core import url_to_fs

        try:
            return cast(tuple[Any, str], url_to_fs(self.address))
        except Exception as error:  # another package is needed; unknown; no connection
            reason = " ".join(without_secrets(str(error)).split())[:160]
            if str(self) != self.address and not isinstance(error, ImportError):
                reason = type(error).__name__  # the text may hold a part of the login
            raise RequestError(
                f"such an address cannot be opened here ({reason})",
                self,
                "check the address and install what it names, or give a folder",
            ) from error

    @staticmethod
    def _parent_in(path: str) -> str:
        return path.rsplit("/", 1)[0]

    @contextmanager
    def _as_os_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            number = error.errno or errno.EIO
            if isinstance(error, FileNotFoundError):
                reason, number = "no such file or folder", errno.ENOENT
            raise OSError(number, without_secrets(reason)) from error
        except Exception as error:  # each storage has errors of its own
            reason = " ".join(without_secrets(str(error)).split())[:160]
            raise OSError(errno.EIO, reason or type(error).__name__) from error


class _Reading(io.RawIOBase):
    """An open file at an address, whose errors are those of a disk."""

    def __init__(self, file: Any, guard: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._guard = file, guard

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._guard():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._guard():
            return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


AnyPath = Path | RemotePath
"""A file or folder, on the disk or at an address."""


def on_disk(path: AnyPath) -> Path | None:
    """The path on the disk, even if it is written as an address; ``None`` if it is not there."""
    if isinstance(path, Path):
        return path
    from fsspec.implementations.local import LocalFileSystem

    system, place = path._opened()
    return Path(place) if isinstance(system, LocalFileSystem) else None


def _place(path: AnyPath) -> tuple[object, object, str]:
    """Kind and host of the storage of a path, and the path there."""
    if (here := on_disk(path)) is not None:
        return Path, None, str(here.resolve())
    system, inside = cast(RemotePath, path)._opened()
    return type(system), system.storage_options.get("host"), inside


def any_path(given: str | AnyPath) -> AnyPath:
    """A path as it was given: one at an address if it has a scheme.

    Raises:
        RequestError: nothing that is installed can open such an address.
    """
    if isinstance(given, RemotePath):
        return given
    return RemotePath(str(given)) if is_address(given) else Path(given)


def fetched(folder: RemotePath) -> Path:
    """A copy of a remote folder or file on the disk, made once for its content as listed, and
    deleted when this process ends.

    Raises:
        RequestError: nothing is there.
        StorageError: it could not be read, or there is no room for it.
    """
    try:
        content = folder.listing()
        if not content:
            raise RequestError("there is no such folder", folder, "check the address")
        inside = _folder_for(folder.address, content)
        into = inside / (folder.name.strip(". ") or "copy")
        if not into.exists():  # whole, once it has its name
            partial = inside / ".partial"
            try:
                folder.fetch(partial)
                partial.replace(into)
            finally:
                if partial.is_dir():
                    shutil.rmtree(partial, ignore_errors=True)
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"could not be fetched ({error.strerror})",
            folder,
            "check the address, and that TMPDIR has room for all of it",
        ) from error
    return into


@cache
def _folder_for(address: str, content: str) -> Path:
    del address, content  # the key of the cache
    folder = Path(tempfile.mkdtemp(prefix="tirtrack-fetched-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def new_remote_folder(
    folder: RemotePath, marker: str, *, force: bool = False, inputs: Sequence[AnyPath] = ()
) -> None:
    """An address under which nothing lies but a marker.

    With ``force`` what lies there is deleted, if tirtrack made it and none of ``inputs`` is in it.

    Raises:
        RequestError: something is there and ``force`` was not given, or it may not be deleted.
        StorageError: the storage cannot be written.
    """
    try:
        found = [one.name for one in folder.iterdir()] if folder.exists() else []
        if found and found != [marker]:
            if not force:
                raise RequestError(
                    "exists already", folder, "choose another --out, or give --force to replace it"
                )
            if marker not in found:
                raise RequestError(
                    f"was not made by tirtrack (no {marker} in it), so --force does not replace it",
                    folder,
                    "choose another --out, or delete it yourself",
                )
            for one in inputs:
                if folder.holds(one):
                    raise RequestError(
                        f"is or holds what is to be read ({one}), so --force does not replace it",
                        folder,
                        "choose another --out",
                    )
            folder.remove()
        (folder / marker).write_bytes(MARKER_TEXT)
    except OSError as error:
        raise StorageError(
            f"could not be written ({error.strerror})", folder, "choose another --out"
        ) from error
