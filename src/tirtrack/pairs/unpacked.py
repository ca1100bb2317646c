"""Files of shards, unpacked into a temporary folder as they are asked for.

They get the names that they had, so that the code which reads recordings in folders reads them. Of
what was unpacked, the newest ``KEPT_BYTES`` stay (an open recording always), so that the disk does
not grow with the shards.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import overload

from tirtrack.errors import PairsError, StorageError
from tirtrack.images import IMAGE_KINDS
from tirtrack.pairs.shard_models import Role, Sample
from tirtrack.pairs.shards import ShardFolder
from tirtrack.video import VIDEO_SUFFIXES

KEPT_BYTES = 2**30
_OPEN_FILES = 2  # the two videos of an open recording


class Unpacked:
    """Files of samples on the disk, the newest of them."""

    def __init__(self, shards: ShardFolder) -> None:
        self._shards = shards
        self._folder: Path | None = None
        self._sizes: OrderedDict[Path, int] = OrderedDict()
        self._bytes = 0

    def path(self, number: int, role: Role) -> Path:
        """A file of a sample, unpacked.

        Raises:
            PairsError: it could not be read when it was mined, or the shard is damaged.
        """
        sample = self._shards.sample(number)
        file = sample.files.get(role)
        if file is None:
            raise PairsError(_fault(sample, role), fix="mine the pairs again without it")
        if Path(file.name).suffix.lower() not in {*IMAGE_KINDS, *VIDEO_SUFFIXES}:
            raise PairsError(f"{file.name} is no image and no video")
        if self._folder is None:
            self._folder = _temporary_folder()
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / file.sha256 / file.name.replace(":", "_")
        if path not in self._sizes:
            with suppress(OSError):  # said by what is written there
                path.parent.mkdir(exist_ok=True)
            self._shards.copy_file(number, file, path)
            self._sizes[path] = file.size_bytes
            self._bytes += file.size_bytes
        self._sizes.move_to_end(path)
        while self._bytes > KEPT_BYTES and len(self._sizes) > _OPEN_FILES:
            oldest, size = self._sizes.popitem(last=False)
            self._bytes -= size
            oldest.unlink()
            if not any(oldest.parent.iterdir()):
                oldest.parent.rmdir()
        return path


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="tirtrack-shards-"))
    except OSError as error:
        raise StorageError(
            f"no folder could be made for what is unpacked ({error.strerror})",
            tempfile.gettempdir(),
            "free some space, or set TMPDIR to a folder that can be written",
        ) from error


def _fault(sample: Sample, role: Role) -> str:
    said = next(iter(sample.faults.values()), "unknown")
    which = "" if role == "both" else f"{role.upper()} "
    return f"its {which}file could not be read when it was mined ({said})"


class UnpackedPaths(Sequence[Path]):
    """The files of one camera in a recording of images, each unpacked when it is asked for."""

    def __init__(self, unpacked: Unpacked, numbers: range, role: Role) -> None:
        self._unpacked = unpacked
        self._numbers = numbers
        self._role = role

    @overload
    def __getitem__(self, place: int) -> Path: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Path]: ...
    def __getitem__(self, place: int | slice) -> Path | Sequence[Path]:
        chosen = self._numbers[place]
        if isinstance(chosen, range):
            return UnpackedPaths(self._unpacked, chosen, self._role)
        return self._unpacked.path(chosen, self._role)

    def __len__(self) -> int:
        return len(self._numbers)


class PairKeys(Sequence[str]):
    """The names of the pairs in a recording of images."""

    def __init__(self, shards: ShardFolder, numbers: range) -> None:
        self._shards = shards
        self._numbers = numbers

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        chosen = self._numbers[place]
        if isinstance(chosen, range):
            return PairKeys(self._shards, chosen)
        return self._shards.sample(chosen).keys[0]

    def __len__(self) -> int:
        return len(self._numbers)
