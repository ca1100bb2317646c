"""Reads a pickled checkpoint without running any of it.

Python's own unpickler imports and calls what a file names. This one is a machine for the few
instructions that checkpoints are made of, and for the names of one table: a class becomes an empty
:class:`StandIn`, a tensor a :class:`StoredTensor` that says where its numbers lie. Nothing is
imported, called or allocated because a file says so. It runs in the child process of
``containers.py``, so it uses the standard library alone.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any, NoReturn, cast

from tirtrack.errors import WeightsError

MAX_PICKLE = 64 << 20  # bytes; a published checkpoint has less than 1 MiB of pickle
MAX_INSTRUCTIONS = 2_000_000  # a published checkpoint has less than 100,000
_MAX_ARGUMENT = 1 << 20  # bytes of one text
_MAX_PENDING = 100_000  # values that wait for a container; the writer batches by a thousand
_MAX_NESTING = 1000
_MAX_AXES = 8

DAMAGED = "get another copy"
WHOLE_MODEL = "a whole model was pickled, which could run code; save model.state_dict() instead"
UNTRUSTED = "it was not opened any further, as it could run code; do not trust where it came from"

ELEMENT_BYTES = {
    "Float": 4,
    "Half": 2,
    "BFloat16": 2,
    "Double": 8,
    "Long": 8,
    "Int": 4,
    "Short": 2,
    "Char": 1,
    "Byte": 1,
    "Bool": 1,
}


@dataclass(frozen=True)
class Named:
    """A class or function that a file names; nothing but its name."""

    name: str


@dataclass
class StandIn:
    """An object that a file describes: the name of its class and its attributes."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Storage:
    """Numbers that tensors share: ``numel`` of them, from number ``start`` of ``key`` on."""

    kind: str
    key: str
    numel: int
    start: int = 0


@dataclass(frozen=True)
class StoredTensor:
    """A tensor as a file describes it; offset and strides in elements of its storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Reader:
    """A stretch of a file; no read goes beyond its end, and long arguments are refused."""

    def __init__(self, file: IO[bytes], limit: int = MAX_PICKLE) -> None:
        self._file = file
        self._end = file.tell() + limit

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes."""
        return self._file.read(self._allowed(count))

    def readline(self) -> bytes:
        """The rest of a line."""
        return self._file.readline(self._allowed(_MAX_ARGUMENT))

    def tell(self) -> int:
        """The position in the file."""
        return self._file.tell()

    def _allowed(self, count: int) -> int:
        if count > _MAX_ARGUMENT:
            raise WeightsError(f"its pickle claims a text of {count} bytes", fix=DAMAGED)
        return min(count, self._end - self._file.tell())


class Machine:
    """Runs one pickle after another; they share nothing but the storages that they name.

    Args:
        file_bytes: size of the whole file, which bounds what it can claim to hold.

    Attributes:
        storages: kind and number of elements of every storage that was named, by key.
    """

    def __init__(self, file_bytes: int) -> None:
        self.storages: dict[str, tuple[str, int]] = {}
        self._file_bytes = file_bytes
        self._clear()

    def _clear(self) -> None:
        self._stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, reader: Reader) -> Any:
        """The value of the pickle that begins here; afterwards the reader is behind it.

        Raises:
            WeightsError: the pickle is damaged, too large, or holds what no checkpoint needs.
        """
        self._clear()
        try:
            for count, (instruction, argument, _) in enumerate(
                pickletools.genops(cast(IO[bytes], reader))
            ):
                if count == MAX_INSTRUCTIONS:
                    raise WeightsError(
                        f"its pickle has more than {MAX_INSTRUCTIONS} instructions", fix=DAMAGED
                    )
                if instruction.name == "STOP":
                    break
                self._step(instruction.name, argument)
        except WeightsError:
            raise
        except (ValueError, OverflowError) as error:  # of the parser: ends early, or no pickle
            _damaged(" ".join(str(error).split())[:120])
        return self._pop()

    def _step(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._push(argument)
        elif name in _MADE:
            self._push(_MADE[name]())
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise WeightsError(
                f"its pickle has the instruction {name}, which no checkpoint needs", fix=UNTRUSTED
            )

    # --- the stack ---

    def _push(self, value: Any) -> None:
        if len(self._stack) >= _MAX_PENDING:
            _damaged("too many values wait for their list")
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack:
            _damaged("takes a value where there is none")
        return self._stack.pop()

    def _mark(self, _: Any) -> None:
        if len(self._marked) >= _MAX_NESTING:
            _damaged("nested too deep")
        self._marked.append(self._stack)
        self._stack = []

    def _since_mark(self) -> list[Any]:
        if not self._marked:
            _damaged("ends a list that never began")
        items, self._stack = self._stack, self._marked.pop()
        return items

    def _top(self, kind: type) -> Any:
        if not self._stack or type(self._stack[-1]) is not kind:
            _damaged(f"fills a {kind.__name__} where there is none")
        return self._stack[-1]

    def _keep(self, index: int) -> None:
        if not self._stack:
            _damaged("keeps a value where there is none")
        self._memo[index] = self._stack[-1]

    def _recall(self, index: int) -> None:
        if index not in self._memo:
            _damaged("recalls a value that it never kept")
        self._push(self._memo[index])

    # --- containers ---

    def _tuple(self, count: int) -> None:
        self._push(tuple(reversed([self._pop() for _ in range(count)])))

    def _append(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def _set(self, items: list[Any]) -> None:
        if len(items) % 2:
            _damaged("gives a dict a key without a value")
        self._top(dict).update(zip(map(_key, items[::2]), items[1::2], strict=True))

    # --- names, objects, storages ---

    def _name(self, module: Any, name: Any) -> None:
        full = f"{module}.{name}"
        if full not in _KNOWN:
            is_model = full.startswith("torch.nn.")
            raise WeightsError(
                f"it names {shown(full)}, which no checkpoint that we know needs",
                fix=WHOLE_MODEL if is_model else UNTRUSTED,
            )
        self._push(Named(full))

    def _call(self) -> None:
        arguments, called = self._pop(), self._pop()
        if type(arguments) is not tuple:
            _damaged("calls with something else than arguments")
        name = called.name if isinstance(called, Named) else type(called).__name__
        if not isinstance(called, Named) or name not in _CALLS:
            raise WeightsError(
                f"it calls {shown(name)}, which is not a known function", fix=UNTRUSTED
            )
        self._push(_CALLS[name](name, arguments))

    def _new(self) -> None:
        arguments, made = self._pop(), self._pop()
        known = isinstance(made, Named) and made.name in _CLASSES | _DICTS
        if not known or arguments != ():
            raise WeightsError("it makes an object that no checkpoint needs", fix=UNTRUSTED)
        self._push({} if made.name in _DICTS else StandIn(made.name))

    def _fill(self) -> None:
        state = self._pop()
        value = self._stack[-1] if self._stack else None
        if isinstance(value, StandIn):
            if type(state) is dict:
                value.attributes.update(state)
        elif type(value) is not dict:  # attributes of an OrderedDict: versions of modules
            _damaged("gives attributes to what has none")

    def _storage(self) -> None:
        identity = self._pop()
        if type(identity) is not tuple or len(identity) not in (5, 6) or identity[0] != "storage":
            raise WeightsError("it refers to something that is not a storage", fix=UNTRUSTED)
        _, kind, key, _, numel, *view = identity
        if not isinstance(kind, Named) or kind.name not in _STORAGES:
            _damaged("has a storage without a type")
        if type(key) is not str or not (key.isascii() and key.isdecimal() and len(key) <= 20):
            raise WeightsError(f"it calls a storage {shown(str(key))}", fix=UNTRUSTED)
        element = _STORAGES[kind.name]
        if not is_count(numel) or numel * ELEMENT_BYTES[element] > self._file_bytes:
            _damaged(f"claims a storage of {shown(str(numel))} numbers, more than the file holds")
        if self.storages.setdefault(key, (element, numel)) != (element, numel):
            _damaged(f"describes storage {key} in two ways")
        self._push(_view(Storage(element, key, numel), view[0] if view else None))


def is_count(value: Any) -> bool:
    """Whether a value is a whole number from 0 on."""
    return type(value) is int and value >= 0


def shown(text: str, most: int = 80) -> str:
    """Text of a file, fit for a message: one short line of at most ``most`` characters."""
    short = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(sign if sign.isprintable() else "?" for sign in short)


def _damaged(what: str) -> NoReturn:
    raise WeightsError(f"its pickle is damaged ({what})", fix=DAMAGED)


def _key(value: Any) -> Any:
    if value is not None and type(value) not in (str, int, float, bool):
        _damaged("has a dict with a key that is neither text nor number")
    return value


def _view(storage: Storage, view: Any) -> Storage:
    """A stretch of a storage, as old files have it: ``(key, offset, numel)``."""
    if view is None:
        return storage
    if type(view) is not tuple or len(view) != 3 or not (is_count(view[1]) and is_count(view[2])):
        _damaged("has a part of a storage that cannot be read")
    if view[1] + view[2] > storage.numel:
        _damaged(f"has a part of storage {storage.key} that lies outside it")
    return Storage(storage.kind, storage.key, view[2], start=view[1])


# --- replacements of the names that may be called ------------------------------------------------


def _inert(name: str, arguments: tuple[Any, ...]) -> StandIn:
    """Something that is not needed: numbers of a log, a device."""
    return StandIn(name)


def _dictionary(name: str, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments == ():
        return {}
    pairs = arguments[0]
    if type(pairs) is not list or any(
        type(pair) not in (list, tuple) or len(pair) != 2 for pair in pairs
    ):
        _damaged("makes a dict of something else than pairs")
    return {_key(key): value for key, value in pairs}


def _defaults(name: str, arguments: tuple[Any, ...]) -> dict[Any, Any]:
    """A dict that is filled afterwards; what it would make for a missing key does not matter."""
    return {}


def _size(name: str, arguments: tuple[Any, ...]) -> tuple[int, ...]:
    if len(arguments) != 1 or type(arguments[0]) is not tuple:
        _damaged("has a size that cannot be read")
    return arguments[0]


def _reconstructed(name: str, arguments: tuple[Any, ...]) -> StandIn:
    """An object as ``copyreg`` makes it: a class of the table, its base, nothing."""
    if len(arguments) != 3 or not isinstance(arguments[0], Named):
        _damaged("makes an object of nothing")
    return StandIn(arguments[0].name)


def _tensor(name: str, arguments: tuple[Any, ...]) -> StoredTensor:
    """``(storage, offset, shape, strides)``; further arguments do not concern the numbers."""
    if not 4 <= len(arguments) <= 7 or not isinstance(arguments[0], Storage):
        _damaged("has a tensor without a storage")
    storage, offset, shape, strides = arguments[:4]
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        _damaged("has a tensor without a shape")
    if len(shape) > _MAX_AXES or not all(map(is_count, (offset, *shape, *strides))):
        _damaged("has a tensor with a shape that cannot be")
    numel = math.prod(shape)
    steps = zip(shape, strides, strict=True)
    last = offset + (sum((side - 1) * stride for side, stride in steps) if numel else -1)
    if last >= storage.numel or numel > storage.numel:
        _damaged(f"has a tensor outside its storage {storage.key}")
    return StoredTensor(storage, offset, shape, strides)


def _parameter(name: str, arguments: tuple[Any, ...]) -> StoredTensor:
    if not arguments or not isinstance(arguments[0], StoredTensor):
        _damaged("has a parameter without a tensor")
    return arguments[0]


_CLASSES = {
    f"{package}.{name}"
    for package in ("ltr.admin", "dlframework.common.utils")
    for name in (
        "model_constructor.NetConstructor",
        "stats.AverageMeter",
        "stats.StatValue",
        "settings.Settings",
        "local.EnvironmentSettings",
    )
} | {
    "argparse.Namespace",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "Path", "String")
    ),
}
_DICTS = {
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "yacs.config.CfgNode",
    "easydict.EasyDict",
}
"""Dicts with a class of their own, in which trainers keep settings."""
_STORAGES = {f"torch.{element}Storage": element for element in ELEMENT_BYTES}
_CALLS: dict[str, Callable[[str, tuple[Any, ...]], Any]] = {
    "collections.OrderedDict": _dictionary,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _inert,
    "numpy.core.multiarray.scalar": _inert,
    "numpy._core.multiarray.scalar": _inert,
    "numpy.dtype": _inert,
    "_codecs.encode": _inert,
    "copyreg._reconstructor": _reconstructed,
    "copy_reg._reconstructor": _reconstructed,
    "builtins.set": _inert,
    "__builtin__.set": _inert,
    "collections.Counter": _inert,
    "collections.defaultdict": _defaults,
    "numpy.core.multiarray._reconstruct": _inert,
    "numpy._core.multiarray._reconstruct": _inert,
    **{
        f"{module}.{name}": _inert
        for module in ("pathlib", "pathlib._local")
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
}
_TYPES = {
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("object", "dict", "list", "tuple", "int", "long", "float", "str", "bool")
    ),
    *(f"torch.{name}" for name in ("float16", "bfloat16", "float32", "float64", "int64")),
    "numpy.ndarray",
    "typing.Any",
}
"""Types that are only named: as the base of an object, the default of a dict, a setting."""
_KNOWN = {*_CLASSES, *_DICTS, *_STORAGES, *_CALLS, *_TYPES}

_LITERALS = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES"),
}
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "PROTO": lambda machine, argument: None,
    "FRAME": lambda machine, argument: None,
    "MARK": Machine._mark,
    "TUPLE": lambda machine, argument: machine._push(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, argument: machine._tuple(1),
    "TUPLE2": lambda machine, argument: machine._tuple(2),
    "TUPLE3": lambda machine, argument: machine._tuple(3),
    "APPEND": lambda machine, argument: machine._append([machine._pop()]),
    "APPENDS": lambda machine, argument: machine._append(machine._since_mark()),
    "SETITEM": lambda machine, argument: machine._set([machine._pop(), machine._pop()][::-1]),
    "SETITEMS": lambda machine, argument: machine._set(machine._since_mark()),
    "BINPUT": Machine._keep,
    "LONG_BINPUT": Machine._keep,
    "MEMOIZE": lambda machine, argument: machine._keep(len(machine._memo)),
    "BINGET": Machine._recall,
    "LONG_BINGET": Machine._recall,
    "GLOBAL": lambda machine, argument: machine._name(*argument.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, argument: machine._name(
        *[machine._pop(), machine._pop()][::-1]
    ),
    "REDUCE": lambda machine, argument: machine._call(),
    "NEWOBJ": lambda machine, argument: machine._new(),
    "BUILD": lambda machine, argument: machine._fill(),
    "BINPERSID": lambda machine, argument: machine._storage(),
}
