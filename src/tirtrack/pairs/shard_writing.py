"""Shards as they are written: the tar, then the file beside it, each whole or not at all."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from tirtrack.errors import RunError, StorageError
from tirtrack.files import atomic_path, sha256, write_bytes
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.shard_models import Fault, Role, Sample, ShardContent, ShardEntry, StoredFile
from tirtrack.pairs.shards import content_path, read_content
from tirtrack.remote import AnyPath, RemotePath

_BLOCK = tarfile.BLOCKSIZE
_BUFFER_BYTES = 2**20  # a file is written by one call of the system in place of several
_TOGETHER = 32  # taking samples reads pictures: in turn with writing, each slows the other down
_AGAIN = "begin anew with --force once nothing writes there"


@dataclass(frozen=True)
class SampleFiles:
    """What goes into a sample: its description, its files on the disk, and facts for its JSON."""

    number: int
    sample: Sample
    paths: Mapping[Role, Path]
    facts: Mapping[str, Any]


def write_shard(folder: AnyPath, number: int, samples: Iterable[SampleFiles]) -> ShardEntry:
    """Write one shard: the tar, then the file beside it.

    The samples are taken some at a time, so that no more are in memory. A shard for an address is
    made on the disk first, in the folder for temporary files.

    Raises:
        StorageError: it could not be written.
    """
    if isinstance(folder, RemotePath):
        return _written_there(folder, number, samples)
    unnamed = folder / f"shard-{number:06d}.tar"
    written: list[Sample] = []
    left = iter(samples)
    with atomic_path(unnamed) as partial:
        with (
            partial.open("wb", buffering=_BUFFER_BYTES) as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar,
        ):
            while some := list(islice(left, _TOGETHER)):
                written += [_add_sample(tar, one) for one in some]
        digest = sha256(partial)
        size = partial.stat().st_size
    name = f"shard-{number:06d}-{digest[:16]}.tar"
    unnamed.replace(folder / name)
    content = ShardContent(name=name, size_bytes=size, sha256=digest, samples=tuple(written))
    write_bytes(content_path(folder, name), content.model_dump_json().encode())
    return _entry(folder, content)


def _written_there(folder: RemotePath, number: int, samples: Iterable[SampleFiles]) -> ShardEntry:
    try:
        made = tempfile.TemporaryDirectory(prefix="tirtrack-mined-")
    except OSError as error:
        raise _no_room(f"could not be begun ({error.strerror})", tempfile.gettempdir()) from error
    with made as here:
        try:
            entry = write_shard(Path(here), number, samples)
        except StorageError as error:
            raise _no_room(error.what, here) from error
        tar = Path(here) / entry.name
        try:
            for path in (tar, content_path(Path(here), entry.name)):  # a shard counts with the last
                (folder / path.name).upload(Path(here) / path.name)
        except OSError as error:
            raise StorageError(
                f"could not be written ({error.strerror})",
                folder / entry.name,
                "go on with --resume, or choose another --out",
            ) from error
    return entry


def _no_room(reason: str, where: str) -> StorageError:
    return StorageError(
        f"a shard is made here before it is sent, and {reason}",
        where,
        "free some space there or set TMPDIR to a folder with more of it, then go on with --resume",
    )


def _add_sample(tar: tarfile.TarFile, given: SampleFiles) -> Sample:
    files: dict[Role, StoredFile] = {}
    for role, path in given.paths.items():
        try:
            opened = path.open("rb")
        except OSError:  # its pairs have a fault that says so
            continue
        with opened:
            member = f"{given.number:010d}.{role}{path.suffix.lower()}"
            files[role] = _add(tar, member, opened, path.stat().st_size, path.name)
    sample = given.sample.model_copy(update={"files": files})
    said = {**sample.model_dump(mode="json"), **given.facts}
    for file in said["files"].values():
        del file["offset"]  # a fact of the tar, which knows it
    text = json.dumps(said, sort_keys=True, allow_nan=False).encode()
    _add(tar, f"{given.number:010d}.json", io.BytesIO(text), len(text), "")
    return sample


class _Hashed:
    """A file whose hash is taken while it is read.

    Its errors are no ``OSError``, which is one of writing here.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            RunError: there are fewer, or they cannot be read.
        """
        try:
            content = self._file.read(size)
        except OSError as error:
            raise RunError(f"could not be read ({error.strerror})", self._name, _AGAIN) from error
        if len(content) < size:
            raise RunError("has changed while it was mined", self._name, _AGAIN)
        self.digest.update(content)
        return content


def _add(tar: tarfile.TarFile, member: str, file: BinaryIO, size: int, name: str) -> StoredFile:
    info = tarfile.TarInfo(member)  # no time and no owner: the same content is the same bytes
    info.size = size
    offset = tar.offset + _BLOCK
    hashed = _Hashed(file, getattr(file, "name", member))
    tar.addfile(info, hashed)
    return StoredFile.model_construct(
        name=name, size_bytes=size, sha256=hashed.digest.hexdigest(), offset=offset
    )


@dataclass(frozen=True)
class ShardFindings:
    """What was found in the pairs of a shard.

    Attributes:
        faults: pairs that cannot be read.
        readable: number of the others, by recording.
        unusable: number of these by recording and by what is wrong with them, if they were judged.
    """

    faults: Sequence[Fault]
    readable: Mapping[str, int]
    unusable: Mapping[str, Mapping[Unusable, int]]


def shard_findings(folder: AnyPath, entry: ShardEntry) -> ShardFindings:
    """What was found in the pairs of a shard, as the file beside it says."""
    content = read_content(folder, entry.name)
    faults = [
        Fault(pair=f"{sample.recording}/{sample.keys[place]}", why=why)
        for sample in content.samples
        for place, why in sample.faults.items()
    ]
    readable: Counter[str] = Counter()
    unusable: dict[str, Counter[Unusable]] = {}
    for sample in content.samples:
        readable[sample.recording] += len(sample.keys) - len(sample.faults)
        if sample.unusable:
            unusable.setdefault(sample.recording, Counter()).update(sample.unusable.values())
    return ShardFindings(faults, readable, unusable)


def finished_shard(folder: AnyPath, number: int) -> ShardEntry | None:
    """A shard that was written whole before; ``None`` if there is none."""
    names = sorted(path.name for path in folder.glob(f"shard-{number:06d}-*.json"))
    for path in (folder / name for name in names):
        try:
            content = ShardContent.model_validate_json(path.read_bytes())
            is_whole = (folder / content.name).stat().st_size == content.size_bytes
        except (OSError, ValidationError):
            continue
        if is_whole and path == content_path(folder, content.name):
            return _entry(folder, content)
    return None


def _entry(folder: AnyPath, content: ShardContent) -> ShardEntry:
    return ShardEntry(
        name=content.name,
        size_bytes=content.size_bytes,
        sha256=content.sha256,
        content_sha256=sha256(content_path(folder, content.name)),
        samples=len(content.samples),
    )
