"""Makes weights files from other people's checkpoints.

A checkpoint is a pickle, and unpickling runs what the file says. So a child process without rights
reads it (``containers.py``, ``unpickling.py``) and reports where the numbers of each tensor lie.
The network is then named by the tensors' names and shapes and by the constructor record
(``identifying.py``), and only then are numbers read: plain ones, from known places.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError

from tirtrack import files
from tirtrack.errors import RequestError, WeightsError, did_you_mean
from tirtrack.identity import versions
from tirtrack.weights import containers, store
from tirtrack.weights.card import Card, StartedFrom
from tirtrack.weights.identifying import Source, identify
from tirtrack.weights.unpickling import DAMAGED, UNTRUSTED, shown

if TYPE_CHECKING:
    from torch import Tensor

_MODALITIES = ("rgb", "tir")
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_CHILD = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tirtrack.weights import containers; "
    "containers.main(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))"
)


@dataclass(frozen=True)
class ProcessLimits:
    """What the process that reads a checkpoint may use."""

    memory_bytes: int = 1 << 30
    cpu_s: int = 30
    wall_s: float = 60.0


DEFAULT_LIMITS = ProcessLimits()


@dataclass(frozen=True)
class Imported:
    """A weights file that was made from a checkpoint.

    Attributes:
        path: path of the weights file.
        card: card of the weights file.
        read_from: place in the file at which the network was found; empty where published files
            keep theirs.
        notes: notes for its user, a sentence each.
    """

    path: Path
    card: Card
    read_from: str
    notes: tuple[str, ...]


class IndexedTensor(BaseModel):
    """Where a tensor lies: first byte in the file; shape and strides in elements."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal[
        "Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool"
    ]
    shape: tuple[NonNegativeInt, ...]
    strides: tuple[NonNegativeInt, ...]
    start: NonNegativeInt


class Index(BaseModel):
    """What the child process found in a checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    entries: dict[str, dict[str, IndexedTensor]]
    epoch: int | None
    net_type: str | None
    constructor: dict[str, Any] | None


def import_weights(
    file: str | Path,
    out: str | Path,
    *,
    network: str | None = None,
    entry: str | None = None,
    name: str | None = None,
    licence: str | None = None,
    modality: str = "rgb",
    command: str = "",
    force: bool = False,
    limits: ProcessLimits = DEFAULT_LIMITS,
) -> Imported:
    """Write a weights file with the tensors of a published checkpoint.

    Args:
        file: a checkpoint as torch saved it, or a safetensors file without a card.
        out: the weights file to write.
        network: name of the network, where the file leaves that open.
        entry: key or prefix at which it lies, where the file holds several.
        name: name of the weights; by default the stem of ``out``.
        licence: licence of the weights; by default the one that the file states, else unknown.
        modality: modality that the network was trained for: rgb or tir.
        command: command line for the card, as typed.
        force: replace ``out``.
        limits: limits of the process that reads the file.

    Raises:
        WeightsError: the file is no checkpoint, is damaged or could run code, or its tensors are
            not those of a network that we have. Nothing was written.
        RequestError: ``out`` cannot be overwritten.
    """
    file, out = Path(file), Path(out)
    if modality not in _MODALITIES:
        raise RequestError(
            f'no modality is called "{modality}"', fix=did_you_mean(modality, _MODALITIES)
        )
    if network is not None:
        _check_known(network)
    _check_paths(file, out, force=force)
    try:
        with _opened(file) as opened:
            source = _source(opened, file, limits)
            found = identify(source, network, entry)
            state = {
                key: _numbers(key, source.read(found.entry, name))
                for key, name in found.names.items()
            }
    except WeightsError as error:
        raise WeightsError(error.what, error.where or file, error.fix) from error
    licence = licence or source.licence or "unknown"
    origin = StartedFrom(name=file.name, sha256=files.sha256(file), licence=licence, url=source.url)
    card = Card(
        name=name or out.stem,
        architecture=found.architecture,
        modality="tir" if modality == "tir" else "rgb",
        licence=licence,
        summary=f"imported from {file.name}",
        started_from=[origin],
        made_with={
            **versions(),
            "command": command,
            "container": source.container,
            **({"entry": found.read_from} if found.read_from else {}),
            **source.said,
        },
    )
    store.write_state(out, state, card)
    return Imported(out, card, found.read_from, found.notes)


def _check_known(network: str) -> None:
    from tirtrack.networks.registry import shapes_of

    shapes_of(network)


def _check_paths(file: Path, out: Path, *, force: bool) -> None:
    """Everything that can be refused before the file is opened."""
    if file.is_symlink() and not file.exists():
        raise WeightsError("is a link to a file that does not exist", file, "check the path")
    if not file.exists():
        raise WeightsError("no such file", file, "check the path")
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "a device or pipe"
        raise WeightsError(f"is {kind}, not a file", file, "give the checkpoint itself")
    if out.suffix != store.SUFFIX:
        raise RequestError(f'ends in "{out.suffix}"', out, f"let --out end in {store.SUFFIX}")
    if out.exists() and (out.is_dir() or out.samefile(file)):
        kind = "a folder" if out.is_dir() else "the checkpoint itself"
        raise RequestError(f"is {kind}", out, "choose another --out")
    if out.exists() and not force:
        raise RequestError(
            "exists already", out, "choose another --out, or give --force to replace it"
        )


@contextmanager
def _opened(file: Path) -> Iterator[IO[bytes]]:
    try:
        with file.open("rb") as opened:
            yield opened
    except OSError as error:
        raise WeightsError(
            f"cannot be read ({error.strerror or error})", file, "check the path and your rights"
        ) from error


# --- what a file holds ---------------------------------------------------------------------------


def _source(opened: IO[bytes], file: Path, limits: ProcessLimits) -> Source:
    kind = containers.kind_of(opened.read(512))
    if kind == containers.SAFETENSORS:
        return _safetensors(file)
    index = _index(opened, kind, limits)
    record = index.constructor
    said = {
        "epoch": "" if index.epoch is None else str(index.epoch),
        "net type": index.net_type or "",
        "constructor": "" if record is None else _call_of(record),
    }
    return Source(
        f"torch, {kind}",
        shapes={
            entry: {key: tensor.shape for key, tensor in tensors.items()}
            for entry, tensors in index.entries.items()
        },
        read=lambda entry, key: _read(opened, index.entries[entry][key]),
        constructor=record,
        said={key: text for key, text in said.items() if text},
    )


def _call_of(record: Mapping[str, Any]) -> str:
    """A constructor record as it would be typed."""
    given = record.get("kwds")
    arguments = given.items() if isinstance(given, dict) else []
    typed = ", ".join(f"{key}={value!r}" for key, value in arguments)
    return f"{record.get('fun_module')}.{record.get('fun_name')}({typed})"


def _index(opened: IO[bytes], kind: str, limits: ProcessLimits) -> Index:
    """What the child process finds in a checkpoint."""
    words = [str(_PACKAGE_ROOT), kind, str(limits.memory_bytes), str(limits.cpu_s)]
    kept = {key: os.environ[key] for key in ("LD_LIBRARY_PATH", "SYSTEMROOT") if key in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, *_ISOLATED, "-c", _CHILD, *words],
            stdin=opened,
            capture_output=True,
            timeout=limits.wall_s,
            cwd=Path(sys.executable).anchor,
            env=kept,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(f"took more than {limits.wall_s:g} s to read", fix=UNTRUSTED) from None
    if done.returncode != 0:
        raise WeightsError(_end_of(done, limits), fix=UNTRUSTED)
    return _answer(done.stdout)


_ISOLATED = ("-I", "-S", "-B")  # no site packages, no variables, no current folder; nothing written


def _end_of(done: subprocess.CompletedProcess[bytes], limits: ProcessLimits) -> str:
    """Why the child process ended without an answer."""
    if sys.platform != "win32" and -done.returncode == signal.SIGXCPU:
        return f"took more than {limits.cpu_s} s of computing to read"
    last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no message"])[-1]
    return f"could not be looked at (code {done.returncode}: {shown(last)})"


def _answer(printed: bytes) -> Index:
    try:
        answer = json.loads(printed)
        if "refused" in answer:
            raise WeightsError(answer["refused"]["what"], fix=answer["refused"]["fix"])
        return Index.model_validate(answer["index"])
    except (json.JSONDecodeError, KeyError, TypeError, ValidationError) as error:
        raise WeightsError("what it holds could not be listed", fix=DAMAGED) from error


def _read(opened: IO[bytes], tensor: IndexedTensor) -> Tensor:
    """A tensor from its place in the file; the place comes from the child process."""
    import torch

    kind = getattr(torch, _DTYPES[tensor.dtype])
    if 0 in tensor.shape:
        return torch.empty(tensor.shape, dtype=kind)
    steps = zip(tensor.shape, tensor.strides, strict=True)
    count = 1 + sum((side - 1) * stride for side, stride in steps)
    opened.seek(tensor.start)
    content = bytearray(opened.read(count * kind.itemsize))
    if len(content) < count * kind.itemsize:
        raise WeightsError("ends early: the numbers of a tensor are missing", fix=DAMAGED)
    return torch.frombuffer(content, dtype=kind).as_strided(tensor.shape, tensor.strides)


_DTYPES = {
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Double": "float64",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}


def _safetensors(file: Path) -> Source:
    """A safetensors file without a card, as others publish them."""
    with store.open_tensors(file, "pt") as tensors:
        metadata = tensors.metadata() or {}
        shapes = {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
        if store.CARD_KEY in metadata:
            raise WeightsError("is a weights file of tirtrack already", fix="use it as it is")

    def read(_: str, key: str) -> Tensor:
        with store.open_tensors(file, "pt") as again:
            tensor: Tensor = again.get_tensor(key)
            return tensor

    return Source(
        containers.SAFETENSORS,
        {"": shapes},
        read,
        licence=shown(metadata.get("license", "")),
        url=shown(metadata.get("source", ""), 300),
    )


# --- what is written -----------------------------------------------------------------------------


def _numbers(key: str, tensor: Tensor) -> Tensor:
    """A tensor as weights files have it: float32, finite."""
    if not tensor.is_floating_point():
        raise WeightsError(f"{shown(key)} holds whole numbers ({tensor.dtype})", fix=DAMAGED)
    numbers = tensor.float().contiguous()
    if not bool(numbers.isfinite().all()):
        raise WeightsError(
            f"{shown(key)} holds numbers that are not finite",
            fix="the file is damaged or its training diverged; get another copy",
        )
    return numbers
