"""The two containers that torch has saved checkpoints in, read without torch.

Both hold a pickle and, beside it, the plain numbers of every tensor. Only the pickle is read, in a
child process with almost no rights (:func:`main`), which returns an index: where in the file the
numbers of each tensor lie. So nothing as large as the file is ever allocated here.

The child uses the standard library alone and imports nothing once the file is open.
"""

from __future__ import annotations

import encodings.cp437  # noqa: F401 - of names in archives; zipfile would load it when needed
import json
import math
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

from tirtrack.errors import WeightsError
from tirtrack.weights.unpickling import (
    DAMAGED,
    ELEMENT_BYTES,
    MAX_PICKLE,
    UNTRUSTED,
    Machine,
    Reader,
    StandIn,
    StoredTensor,
    is_count,
    shown,
)

ZIP = "zip"
LEGACY = "legacy"
SAFETENSORS = "safetensors"

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_CHUNK = 1 << 20
_MAX_TENSORS = 20_000
_MAX_NAME = 300
_MAX_VALUES = 1000  # in a constructor record, lists counted with their items
_MAX_DEPTH = 10
_MAX_ENTRY_DEPTH = 4  # keys that lead to a state dict: Lightning within a callback has three
_MAX_NODES = 1_000_000  # dicts and lists; a log can be long
_OPTIMISER = "optim"
_MAX_SPREAD = 4  # elements that a tensor spans per element of its own; views are dense


@dataclass(frozen=True)
class Stretch:
    """Bytes of the file that belong together, with their CRC-32 where the file has one."""

    start: int
    length: int
    checksum: int | None = None


def kind_of(head: bytes) -> str:
    """Which container a file is, by its first 512 bytes: :data:`ZIP`, :data:`LEGACY` or
    :data:`SAFETENSORS`.

    Raises:
        WeightsError: none of them; it says what the file is instead, where that can be told.
    """
    start = head.lstrip()[:100].lower()
    known = [
        (head.startswith(b"PK\x03\x04"), ZIP),
        (head.startswith(b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")), LEGACY),
        (head[8:9] == b"{" and not start.startswith(b"<"), SAFETENSORS),
    ]
    for fits, kind in known:
        if fits:
            return kind
    others = [
        (not head, "the file is empty (0 bytes)", DAMAGED),
        (start.startswith((b"<!doctype", b"<html", b"<?xml")), *_WEB_PAGE),
        (start.startswith(b"version https://git-lfs"), *_POINTER),
        (head[257:262] == b"ustar", *_TAR),
        (head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")), *_PACKED),
        (head[:1] == b"\x80" and len(head) > 1 and head[1] <= 5, *_PLAIN_PICKLE),
        (head[:1] == b"\x08" and head[2:3] in (b"\x12", b"\x3a"), *_ONNX),
    ]
    for fits, what, fix in others:
        if fits:
            raise WeightsError(what, fix=fix)
    raise WeightsError(
        "is not a checkpoint: neither torch nor safetensors writes such files", fix=DAMAGED
    )


_ONNX = ("looks like an ONNX graph", "give the checkpoint that it was exported from (.pth)")
_WEB_PAGE = ("is a web page, so the download failed", "open the address in a browser and try again")
_POINTER = ("is a pointer to a large file, not the file", "fetch it with git lfs pull")
_TAR = ("is a tar archive, as torch 0.1 saved them", "save it again with a newer torch")
_PACKED = ("is a packed archive", "unpack it and give the checkpoint in it")
_PLAIN_PICKLE = (
    "is a plain pickle, not a checkpoint that torch saved",
    "it was not opened; give what torch.save wrote",
)


def index_of(file: IO[bytes], size: int, kind: str) -> dict[str, Any]:
    """The content of a checkpoint, as JSON values.

    Args:
        file: open file, at any position.
        size: size of the file in bytes.
        kind: :data:`ZIP` or :data:`LEGACY`.

    Returns:
        ``entries``: for each dict of tensors, by the keys that lead to it (empty for the file's
        own), name to ``dtype``, ``shape``, ``strides`` (in elements) and ``start`` (byte of the
        file); ``epoch``, ``net_type`` and ``constructor``, each ``None`` where absent.

    Raises:
        WeightsError: the file is damaged, or holds what no checkpoint needs.
    """
    machine = Machine(size)
    read = _read_zip if kind == ZIP else _read_legacy
    root, stretches = read(file, size, machine)
    entries = _entries_of(root)
    stored = {tensor.storage.key for entry in entries.values() for tensor in entry.values()}
    for key in sorted(stored):
        _check_sum(file, stretches[key], f"storage {key}")
    record = root.get("constructor")
    epoch, net_type = root.get("epoch"), root.get("net_type")
    return {
        "entries": {
            path: {
                name: _place(name, tensor, stretches[tensor.storage.key])
                for name, tensor in entry.items()
            }
            for path, entry in entries.items()
        },
        "epoch": epoch if is_count(epoch) and epoch < 1 << 31 else None,
        "net_type": shown(net_type) if type(net_type) is str else None,
        "constructor": _constructor(record) if isinstance(record, StandIn) else None,
    }


def _place(name: str, tensor: StoredTensor, stretch: Stretch) -> dict[str, Any]:
    element = tensor.storage.kind
    steps = zip(tensor.shape, tensor.strides, strict=True)
    spread = 1 + sum((side - 1) * stride for side, stride in steps)
    if spread > _MAX_SPREAD * max(math.prod(tensor.shape), 1):  # it spans too much of the file
        raise WeightsError(f"its tensor {shown(name)} is spread over its storage", fix=UNTRUSTED)
    skipped = (tensor.storage.start + tensor.offset) * ELEMENT_BYTES[element]
    return {
        "dtype": element,
        "shape": tensor.shape,
        "strides": tensor.strides,
        "start": stretch.start + skipped,
    }


def _entries_of(root: Any) -> dict[str, dict[str, StoredTensor]]:
    """Every dict of named tensors, by the keys that lead to it, joined by points.

    The state of an optimiser is left out: it has the names of a network but is none.
    """
    if type(root) is not dict:
        raise WeightsError("its pickle holds no dict", fix="give a checkpoint with a state dict")
    found: dict[str, dict[str, StoredTensor]] = {}
    waiting: list[tuple[tuple[str, ...], Any]] = [((), root)]
    for path, node in waiting:  # grows while it is walked
        if tensors := _named_tensors(node):
            found.setdefault(".".join(path), tensors)
        if len(path) < _MAX_ENTRY_DEPTH:
            waiting += [((*path, key), value) for key, value in _inner(node)]
        if len(waiting) > _MAX_NODES:  # a dict can be held many times, by itself too
            raise WeightsError(f"it holds more than {_MAX_NODES} dicts", fix=UNTRUSTED)
    if not found:
        seen_keys = ", ".join(shown(str(key)) for key in [*root][:5])
        raise WeightsError(
            f"it holds no state dict, only {seen_keys}" if seen_keys else "it is an empty dict",
            fix="give a checkpoint with the network's tensors by name",
        )
    if sum(map(len, found.values())) > _MAX_TENSORS:
        raise WeightsError(f"it holds more than {_MAX_TENSORS} tensors", fix=DAMAGED)
    return found


def _named_tensors(node: Any) -> dict[str, StoredTensor]:
    if type(node) is not dict:
        return {}
    tensors = {
        key: value
        for key, value in node.items()
        if type(key) is str and isinstance(value, StoredTensor)
    }
    if any(len(name) > _MAX_NAME for name in tensors):
        raise WeightsError("its tensors have no usable names", fix=DAMAGED)
    return tensors


def _inner(node: Any) -> list[tuple[str, Any]]:
    """The dicts and lists that a dict or list holds, by key or position."""
    listed = enumerate(node) if type(node) is list else node.items()
    return [
        (shown(str(key)), value)
        for key, value in listed
        if type(value) in (dict, list) and not str(key).lower().startswith(_OPTIMISER)
    ]


def _constructor(record: StandIn) -> dict[str, Any]:
    """The record of how the network was made, as plain values."""
    budget = _Budget()
    return {
        name: budget.plain(record.attributes.get(name))
        for name in ("fun_name", "fun_module", "args", "kwds")
    }


class _Budget:
    """Turns values into plain ones up to a limit, as a file can nest without end."""

    def __init__(self) -> None:
        self._left = _MAX_VALUES

    def plain(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise WeightsError("its constructor record has no end", fix=DAMAGED)
        if type(value) is dict:
            return {shown(str(key)): self.plain(item, depth + 1) for key, item in value.items()}
        if type(value) in (list, tuple):
            return [self.plain(item, depth + 1) for item in value]
        if value is None or type(value) in (bool, float) or _is_small(value):
            return value
        return shown(value) if type(value) is str else f"a {type(value).__name__}"


def _is_small(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 62


# --- the older container: five pickles, then the numbers ------------------------------------------


def _read_legacy(file: IO[bytes], size: int, machine: Machine) -> tuple[Any, dict[str, Stretch]]:
    """The object, and where the numbers of each storage lie."""
    file.seek(0)
    reader = Reader(file)
    if (machine.run(reader), machine.run(reader)) != (_MAGIC, _PROTOCOL):
        raise WeightsError("its header is not that of a checkpoint", fix=DAMAGED)
    system = machine.run(reader)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise WeightsError(*_BIG_ENDIAN)
    root, keys = machine.run(reader), machine.run(reader)
    return root, _stored_behind(file, size, keys, machine)


def _stored_behind(file: IO[bytes], size: int, keys: Any, machine: Machine) -> dict[str, Stretch]:
    """The storages behind the pickles: for each key its number of elements, then the elements."""
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise WeightsError("its list of storages cannot be read", fix=DAMAGED)
    if len(keys) != len(machine.storages) or {*keys} != machine.storages.keys():
        raise WeightsError("its list of storages is not that of its tensors", fix=DAMAGED)
    stretches = {}
    position = file.tell()
    for key in keys:
        kind, numel = machine.storages[key]
        file.seek(position)
        head = file.read(8)
        if len(head) < 8 or int.from_bytes(head, "little", signed=True) != numel:
            raise WeightsError(f"ends early, or storage {key} has another length", fix=DAMAGED)
        stretches[key] = Stretch(position + 8, numel * ELEMENT_BYTES[kind])
        position += 8 + stretches[key].length
    if position != size:
        raise WeightsError(f"has {size} bytes, but its tensors end at {position}", fix=DAMAGED)
    return stretches


# --- the newer container: a zip archive -----------------------------------------------------------


def _read_zip(file: IO[bytes], size: int, machine: Machine) -> tuple[Any, dict[str, Stretch]]:
    """The object, and where the numbers of each storage lie."""
    entries = _entries(file)
    pickles = [name for name in entries if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise WeightsError(
            f"is a zip archive with {len(pickles)} entries data.pkl, so no checkpoint",
            fix="unpack it if the checkpoint is inside",
        )
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise WeightsError(
            "is a TorchScript archive, which carries code", fix="give its state dict instead"
        )
    order = entries.get(f"{folder}byteorder")
    if order is not None and _first_bytes(file, order) != b"little":
        raise WeightsError(*_BIG_ENDIAN)
    root = _pickled(file, entries[pickles[0]], machine)
    return root, {
        key: _stored_in(entries, f"{folder}data/{key}", numel * ELEMENT_BYTES[kind])
        for key, (kind, numel) in machine.storages.items()
    }


_BIG_ENDIAN = (
    "was saved on a big-endian machine",
    None,
    "save it again on an ordinary computer",
)


def _pickled(file: IO[bytes], stretch: Stretch, machine: Machine) -> Any:
    _check_sum(file, stretch, "data.pkl")
    file.seek(stretch.start)
    return machine.run(Reader(file, min(stretch.length, MAX_PICKLE)))


def _stored_in(entries: dict[str, Stretch], name: str, wanted: int) -> Stretch:
    stretch = entries.get(name)
    if stretch is None or stretch.length != wanted:
        seen = f"has {stretch.length} bytes instead of {wanted}" if stretch else "is missing"
        raise WeightsError(f"its entry {shown(name)} {seen}", fix=DAMAGED)
    return stretch


def _entries(file: IO[bytes]) -> dict[str, Stretch]:
    """Every entry by name; no two overlap."""
    try:
        with zipfile.ZipFile(file) as archive:
            listed, end = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError, OSError) as error:
        raise WeightsError(f"is a damaged zip archive ({shown(str(error))})", fix=DAMAGED) from None
    entries: dict[str, Stretch] = {}
    position = 0
    for entry in sorted(listed, key=lambda entry: entry.header_offset):
        _check_entry(entry, entries)
        start = _first_byte(file, entry)
        if entry.header_offset < position or start + entry.file_size > end:
            raise WeightsError(f"its entry {shown(entry.filename)} overlaps another", fix=UNTRUSTED)
        position = start + entry.file_size
        entries[entry.filename] = Stretch(start, entry.file_size, entry.CRC)
    return entries


def _check_entry(entry: zipfile.ZipInfo, before: Iterable[str]) -> None:
    name = entry.orig_filename
    faults = [
        (entry.compress_type != zipfile.ZIP_STORED, "is compressed"),
        (entry.compress_size != entry.file_size, "claims another size than it has"),
        (bool(entry.flag_bits & 0x1), "is encrypted"),
        (name.startswith(("/", "\\")) or name[1:2] == ":", "has an absolute name"),
        (".." in name.replace("\\", "/").split("/"), "leads out of its folder"),
        (name != entry.filename or "\\" in name, "has a name that cannot be"),
        (name in before, "is there twice"),
    ]
    for wrong, what in faults:
        if wrong:
            raise WeightsError(
                f"its entry {shown(name)} {what}, which torch never writes", fix=UNTRUSTED
            )


def _first_byte(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Where the numbers of an entry begin, by its own header, which must have the same name."""
    file.seek(max(entry.header_offset, 0))
    header = file.read(_LOCAL_HEADER.size)
    if entry.header_offset < 0 or len(header) < _LOCAL_HEADER.size:
        raise WeightsError(f"its entry {shown(entry.filename)} lies outside it", fix=DAMAGED)
    signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\x03\x04" or file.read(name_bytes) != entry.filename.encode():
        raise WeightsError(
            f"its entry {shown(entry.filename)} has two different names", fix=UNTRUSTED
        )
    end: int = entry.header_offset + _LOCAL_HEADER.size + name_bytes + extra_bytes
    return end


def _first_bytes(file: IO[bytes], stretch: Stretch) -> bytes:
    file.seek(stretch.start)
    return file.read(min(stretch.length, 64))


def _check_sum(file: IO[bytes], stretch: Stretch, what: str) -> None:
    if stretch.checksum is None:
        return
    file.seek(stretch.start)
    left, found = stretch.length, 0
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        found = zlib.crc32(chunk, found)
        left -= len(chunk)
    if found != stretch.checksum:
        raise WeightsError(f"its {what} does not have the checksum it should have", fix=DAMAGED)


# --- the child process ----------------------------------------------------------------------------


def main(kind: str, memory_bytes: int, cpu_s: int) -> None:
    """Print the index of the checkpoint on stdin, or why there is none, as JSON; the child process.

    It first gives up writing files and limits memory and time, then refuses everything that Python
    audits: importing, opening, running, connecting.
    """
    _limit(memory_bytes, cpu_s)
    with os.fdopen(0, "rb") as file:
        size = os.fstat(0).st_size
        sys.addaudithook(_refuse)
        try:
            answer = {"index": index_of(file, size, kind)}
        except WeightsError as error:
            answer = {"refused": {"what": error.what, "fix": error.fix}}
        except MemoryError:
            what = f"needs more than {memory_bytes >> 20} MiB of memory to be read"
            answer = {"refused": {"what": what, "fix": UNTRUSTED}}
        except Exception as error:  # noqa: BLE001 - the last border of this process
            what = f"could not be looked at ({type(error).__name__}: {shown(str(error))})"
            answer = {"refused": {"what": what, "fix": UNTRUSTED}}
        print(json.dumps(answer))  # noqa: T201 - what the parent reads


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse what Python reports to an audit hook while a checkpoint is read."""
    raise RuntimeError(f"refused: {event}")


def _limit(memory_bytes: int, cpu_s: int) -> None:
    if sys.platform == "win32":
        return  # has no such limits; the parent's clock remains
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    if sys.platform == "linux":  # elsewhere the address space cannot be limited
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
