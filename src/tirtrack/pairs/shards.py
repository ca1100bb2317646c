"""Shards: samples of pairs in plain tar files, with an index beside them.

::

    SHARDS/index.json                 recordings, shards with their hashes, what cannot be read
    SHARDS/shard-000000-HASH.tar      samples in the layout of WebDataset
    SHARDS/shard-000000-HASH.json     where each file of that tar begins, its size and hash

A sample is a pair of images (``0000000012.rgb.jpg``, ``0000000012.tir.png``) or a whole recording
of two videos, and ``0000000012.json``, which says what it is. A picture or video that holds both
cameras is stored whole (``0000000012.both.mp4``), with the way to cut it. Files are stored as they
were: not a byte is encoded anew. The same samples give the same bytes, under a name that holds
their hash.
``shard_pairs`` reads shards as pairs, ``mine`` makes them, ``shard_models`` says what the JSON
files hold.

A shard may come from anywhere: no name in it becomes a path before it was checked, and no size is
believed before it was compared with that of the tar.
"""

from __future__ import annotations

import hashlib
import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from tirtrack.errors import PairsError, StorageError
from tirtrack.files import sha256
from tirtrack.pairs.shard_models import Sample, ShardContent, ShardIndex, StoredFile
from tirtrack.remote import AnyPath, RemotePath
from tirtrack.stored import first_fault

INDEX_NAME = "index.json"
MAX_INDEX_BYTES = 2**30
_CHUNK_BYTES = 2**20
_RANGE_BYTES = 2**26
_KEPT_INDICES = 8
_MINE_AGAIN = "mine the pairs again"
_COPY = "copy the shards again, or mine the pairs again"


def is_shards(folder: AnyPath) -> bool:
    """Whether a folder holds shards, or the beginning of them; no file is opened.

    Raises:
        PairsError: it cannot be listed.
    """
    try:
        return folder.is_dir() and any(
            path.suffix in (".tar", ".json") and path.name.removeprefix(".").startswith("shard-")
            for path in folder.iterdir()
        )
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", folder) from error


Content = TypeVar("Content", ShardIndex, ShardContent)


def read_index(folder: AnyPath) -> ShardIndex:
    """The index of a folder of shards.

    Raises:
        PairsError: it is missing (mining was not finished), damaged, or contradicts itself.
    """
    path = folder / INDEX_NAME
    if not _is_file(path):
        fix = "finish it: repeat the command that mined it, with --resume"
        raise PairsError(f"shards without {INDEX_NAME}: mining has not ended", folder, fix)
    index = _read(path, ShardIndex)
    _check_index(index, folder)
    return index


def _is_file(path: AnyPath) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", path, _COPY) from error


def _hash_of(path: AnyPath) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", path, _COPY) from error


def _check_index(index: ShardIndex, folder: AnyPath) -> None:
    """Refuse an index that contradicts itself, or names more pairs than its shards can."""
    path = folder / INDEX_NAME
    samples = [1 if one.holds_videos else one.pairs for one in index.recordings]
    if sum(samples) != sum(one.samples for one in index.shards):
        raise PairsError("its recordings and its shards hold other samples", path, _MINE_AGAIN)
    for one, first in zip(index.recordings, accumulate(samples, initial=0), strict=False):
        if one.first_sample != first:
            raise PairsError(
                f"{one.name} does not begin where the recording before it ends", path, _MINE_AGAIN
            )
    if len({one.name for one in index.recordings}) < len(index.recordings):
        raise PairsError("two of its recordings have one name", path, _MINE_AGAIN)
    written = 0  # every pair has a key in the file beside its shard
    for shard in index.shards:
        beside = content_path(folder, shard.name)
        try:
            written += beside.stat().st_size
        except OSError as error:
            raise PairsError(f"could not be read ({error.strerror})", beside, _COPY) from error
    if index.pairs > written:
        raise PairsError(
            f"{index.pairs} pairs are more than its shards can hold", path, _MINE_AGAIN
        )


def _read(path: AnyPath, kind: type[Content]) -> Content:
    try:
        size = path.stat().st_size
        if size > MAX_INDEX_BYTES:
            raise PairsError(f"an index of {size} bytes is no index", path, _MINE_AGAIN)
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", path, _MINE_AGAIN) from error
    except ValidationError as error:
        what = f"is no index of shards ({first_fault(error)})"
        raise PairsError(what, path, _MINE_AGAIN) from error


def read_content(folder: AnyPath, name: str) -> ShardContent:
    """The samples of a shard, as the file beside it says.

    Raises:
        PairsError: that file is missing or damaged.
    """
    return _read(content_path(folder, name), ShardContent)


def content_path(folder: AnyPath, name: str) -> AnyPath:
    """The file beside a shard."""
    return (folder / name).with_suffix(".json")


class ShardFolder:
    """Samples by number, from the shards of a folder; those of a few shards are kept in memory."""

    def __init__(self, folder: AnyPath, index: ShardIndex) -> None:
        self.folder = folder
        self._shards = index.shards
        self._firsts = [0]
        for one in index.shards:
            self._firsts.append(self._firsts[-1] + one.samples)
        self._content = lru_cache(_KEPT_INDICES)(self._read_content)

    def sample(self, number: int) -> Sample:
        """A sample.

        Raises:
            PairsError: the index of its shard is missing or damaged.
        """
        shard = self._shard_of(number)
        return self._content(shard).samples[number - self._firsts[shard]]

    def copy_file(self, number: int, file: StoredFile, target: Path) -> None:
        """Write a file of a sample to ``target``, and compare it with its hash.

        Raises:
            PairsError: the shard is missing, cut short, or holds something else there.
            StorageError: there is no room for the copy.
        """
        path = self.folder / self._shards[self._shard_of(number)].name
        digest = hashlib.sha256()
        try:
            with target.open("wb") as copy:
                for chunk in _chunks(path, file):
                    digest.update(chunk)
                    copy.write(chunk)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise StorageError(
                f"a file of the shards could not be unpacked ({error.strerror})",
                target.parent,
                "free some space, or set TMPDIR to a folder with more of it",
            ) from error
        except PairsError:
            target.unlink(missing_ok=True)
            raise
        if digest.hexdigest() != file.sha256:
            target.unlink()
            raise PairsError(
                f"the content of {file.name} (sample {number}) is not what the index says",
                path,
                _COPY,
            )

    def _shard_of(self, number: int) -> int:
        if not 0 <= number < self._firsts[-1]:
            raise IndexError(f"sample {number} of {self._firsts[-1]} in {self.folder}")
        return bisect_right(self._firsts, number) - 1

    def _read_content(self, shard: int) -> ShardContent:
        entry = self._shards[shard]
        path = content_path(self.folder, entry.name)
        content = read_content(self.folder, entry.name)
        if _hash_of(path) != entry.content_sha256 or len(content.samples) != entry.samples:
            raise PairsError(f"is not the file that {INDEX_NAME} names", path, _MINE_AGAIN)
        return content


def _chunks(tar: AnyPath, file: StoredFile) -> Iterator[bytes]:
    try:
        if isinstance(tar, RemotePath):  # the range alone, in as few requests as memory allows
            for start in range(0, file.size_bytes, _RANGE_BYTES):
                size = min(_RANGE_BYTES, file.size_bytes - start)
                yield tar.read_bytes(file.offset + start, size)
            return
        with tar.open("rb") as opened:
            opened.seek(file.offset)
            left = file.size_bytes
            while left and (chunk := opened.read(min(left, _CHUNK_BYTES))):
                yield chunk
                left -= len(chunk)
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", tar, _COPY) from error


def check_shards(folder: AnyPath) -> list[PairsError]:
    """What is wrong with the shards of a folder; every byte is read once.

    Raises:
        PairsError: the index of the folder itself cannot be used.
    """
    index = read_index(folder)
    found = []
    first = 0
    shards = ShardFolder(folder, index)
    for entry in index.shards:
        path = folder / entry.name
        try:
            if not _is_file(path) or _hash_of(path) != entry.sha256:
                raise PairsError(f"is missing or not what {INDEX_NAME} says", path, _MINE_AGAIN)
            _check_members(path, first, [shards.sample(first + k) for k in range(entry.samples)])
        except PairsError as error:
            found.append(error)
        first += entry.samples
    return found


def _check_members(path: AnyPath, first: int, samples: Sequence[Sample]) -> None:
    """Refuse a tar whose members are others than its index says."""
    wanted = {}
    for number, sample in enumerate(samples, first):
        for modality, file in sample.files.items():
            suffix = Path(file.name).suffix.lower()
            wanted[f"{number:010d}.{modality}{suffix}"] = (file.offset, file.size_bytes)
    try:
        with path.open("rb") as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            held = {
                one.name: (one.offset_data, one.size)
                for one in tar
                if not one.name.endswith(".json")
            }
    except tarfile.TarError as error:
        raise PairsError(f"is no tar file ({error})", path, _MINE_AGAIN) from error
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", path, _COPY) from error
    if held != wanted:
        odd = sorted(held.items() ^ wanted.items())[0][0]
        raise PairsError(f"{odd} is not where its index says", path, _MINE_AGAIN)
