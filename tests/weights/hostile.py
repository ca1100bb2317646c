"""Checkpoints by hand, and what a hostile one could hold: pickle instructions, zip entries.

Where an unpickler let them, most of these would make the file :data:`CANARY`; one test shows that
Python's own does.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = 0x1950A86A20F9469CFC6C
FLOAT = b"ctorch\nFloatStorage\n"
CANARY = Path(tempfile.gettempdir()) / f"tirtrack-canary-{os.getpid()}"


# --- containers ----------------------------------------------------------------------------------


def legacy(pickled: bytes, storages: dict[str, bytes] | None = None, **changes) -> bytes:
    """The five parts of the older container around a pickle; ``changes`` replace one."""
    storages = storages or {}
    parts = {
        "magic": pickle.dumps(MAGIC, 2),
        "protocol": pickle.dumps(1001, 2),
        "system": pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2),
        "object": pickled,
        "keys": pickle.dumps(sorted(storages), 2),
        "numbers": b"".join(
            struct.pack("<q", len(storages[key]) // 4) + storages[key] for key in sorted(storages)
        ),
    }
    return b"".join({**parts, **changes}.values())


@dataclass
class Entry:
    """An entry of an archive; fields that are not given are honest."""

    name: str
    content: bytes
    method: int = 0
    flags: int = 0
    claimed: int | None = None  # size behind which the stored one stays
    reaching: int = 0  # bytes behind its own that it claims
    local_name: str | None = None
    checksum: int | None = None


def archive(entries: list[Entry], *, shared_offset: bool = False) -> bytes:
    """A zip archive, written by hand so that it can lie."""
    body, listing = b"", b""
    for entry in entries:
        name, local = entry.name.encode(), (entry.local_name or entry.name).encode()
        stored = zlib.compress(entry.content)[2:-4] if entry.method else entry.content
        sum_ = zlib.crc32(entry.content) if entry.checksum is None else entry.checksum
        size = len(entry.content) if entry.claimed is None else entry.claimed
        common = struct.pack("<HHHHI", entry.flags, entry.method, 0, 0, sum_)
        common += struct.pack("<II", len(stored) + entry.reaching, size + entry.reaching)
        offset = 0 if shared_offset else len(body)
        body += b"PK\x03\x04\x14\0" + common + struct.pack("<HH", len(local), 0) + local + stored
        listing += b"PK\x01\x02\x14\0\x14\0" + common
        listing += struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, offset) + name
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, len(entries), len(entries), 0, 0, 0)
    end = end[:12] + struct.pack("<II", len(listing), len(body)) + b"\0\0"
    return body + listing + end


def zipped(pickled: bytes, storages: dict[str, bytes] | None = None, *more: Entry) -> bytes:
    """The newer container around a pickle."""
    numbers = [Entry(f"a/data/{key}", raw) for key, raw in (storages or {}).items()]
    return archive([Entry("a/data.pkl", pickled), Entry("a/version", b"3\n"), *numbers, *more])


CONTAINERS = {"legacy": legacy, "zip": zipped}


# --- pickle instructions -------------------------------------------------------------------------


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return pickle.dumps(value, 2)[2:-1]


def call(module: str, name: str, arguments: bytes) -> bytes:
    """``module.name(*arguments)``, as REDUCE asks for it."""
    return f"c{module}\n{name}\n".encode() + b"(" + arguments + b"tR"


def storage(
    *, kind: bytes = FLOAT, key: bytes = text("0"), numel: bytes = number(4), view: bytes = b""
) -> bytes:
    return b"(" + text("storage") + kind + key + text("cpu") + numel + view + b"tQ"


def tensor(
    stored: bytes | None = None, *, offset: int = 0, shape=(2, 2), strides=(2, 1), rest: bytes = b""
) -> bytes:
    sides = b"(" + b"".join(map(number, shape)) + b"t"
    steps = b"(" + b"".join(map(number, strides)) + b"t"
    held = storage() if stored is None else stored
    hooks = b"ccollections\nOrderedDict\n)R"
    arguments = held + number(offset) + sides + steps + b"\x89" + hooks + rest
    return call("torch._utils", "_rebuild_tensor_v2", arguments)


def root(*pairs: bytes) -> bytes:
    """A pickle of a dict."""
    return b"\x80\x02}(" + b"".join(pairs) + b"u."


def checkpoint(*more: bytes, net: bytes | None = None) -> bytes:
    """A pickle of a dict with one tensor in ``net``, and more pairs."""
    state = net if net is not None else b"}" + text("w") + tensor() + b"s"
    return root(*more, text("net"), state)


NUMBERS = {"0": struct.pack("<4f", 1, 2, 3, 4)}
RUN = text(f"touch {CANARY}")


def record(kwds: bytes) -> bytes:
    """The pair of a constructor record with these keyword arguments."""
    made = b"cltr.admin.model_constructor\nNetConstructor\n)\x81}("
    made += text("fun_name") + text("dimpnet18") + text("kwds") + kwds + b"ub"
    return text("constructor") + made


def laughs(depth: int = 60) -> bytes:
    """A tuple of lists, each of which holds the one before twice: 2 ** depth in all."""
    grown = b"(]q\x01"
    for level in range(2, depth):
        before = b"h" + bytes([level - 1])
        grown += b"](" + before + before + b"eq" + bytes([level])
    return grown + b"t"


@dataclass(frozen=True)
class Hostile:
    """A pickle, what the refusal must say, and the storages beside it."""

    pickled: bytes
    said: str
    storages: dict[str, bytes] = field(default_factory=lambda: dict(NUMBERS))


def _calls() -> dict[str, Hostile]:
    """Files that ask for a function, each in another way."""
    one = {
        "os.system": ("os", "system", RUN),
        "posix.system": ("posix", "system", RUN),
        "nt.system": ("nt", "system", RUN),
        "os.execvp": ("os", "execvp", text("touch") + b"](" + text("touch") + RUN + b"e"),
        "eval": ("builtins", "eval", text(f"__import__('os').system('touch {CANARY}')")),
        "exec": ("builtins", "exec", text(f"open('{CANARY}', 'w')")),
        "eval of Python 2": ("__builtin__", "eval", text(f"open('{CANARY}', 'w')")),
        "open": ("builtins", "open", text(str(CANARY)) + text("w")),
        "io.open": ("_io", "open", text(str(CANARY)) + text("w")),
        "subprocess.Popen": ("subprocess", "Popen", RUN),
        "subprocess.check_output": ("subprocess", "check_output", RUN),
        "pty.spawn": ("pty", "spawn", RUN),
        "shutil.rmtree": ("shutil", "rmtree", text(str(CANARY))),
        "runpy": ("runpy", "run_path", text(str(CANARY))),
        "import": ("builtins", "__import__", text("evil")),
        "importlib": ("importlib", "import_module", text("evil")),
        "a module of the folder": ("evil", "run", b""),
        "the constructor's function": ("ltr.models.tracking.dimpnet", "dimpnet18", b""),
        "torch.load": ("torch", "load", text("evil.pth")),
        "torch.hub.load": ("torch.hub", "load", text("evil/evil") + text("evil")),
        "pickle.loads": ("pickle", "loads", text("cos\nsystem\n")),
        "a pickle in a storage": ("torch.storage", "_load_from_bytes", text("evil")),
        "numpy.load": ("numpy", "load", text("evil.npy")),
        "functools.partial": ("functools", "partial", b"cos\nsystem\n" + RUN),
        "operator.attrgetter": ("operator", "attrgetter", text("system")),
        "timeit": ("timeit", "timeit", text(f"open('{CANARY}', 'w')")),
        "a type made now": ("builtins", "type", text("X") + b")}"),
    }
    found = {
        name: Hostile(checkpoint(text("x"), call(*asked)), f"it names {asked[0]}.{asked[1]}")
        for name, asked in one.items()
    }
    inner = call("builtins", "getattr", call("builtins", "__import__", text("os")) + text("system"))
    found["getattr of an import"] = Hostile(
        root(text("x"), inner + b"(" + RUN + b"tR"), "it names builtins.getattr"
    )
    nested = call(
        "collections", "OrderedDict", b"]](" + text("k") + call("os", "system", RUN) + b"ea"
    )
    found["nested in an allowed call"] = Hostile(
        checkpoint(text("x"), nested), "it names os.system"
    )
    found["in a tensor's place"] = Hostile(
        checkpoint(net=b"}" + text("w") + call("os", "system", RUN) + b"s"), "it names os.system"
    )
    found["as a hook of a tensor"] = Hostile(
        checkpoint(net=b"}" + text("w") + tensor(rest=b"cos\nsystem\n") + b"s"),
        "it names os.system",
    )
    found["a line break in a name"] = Hostile(
        b"\x80\x04" + text("os\nsystem") + text("x") + b"\x93.", "it names os?system.x"
    )
    return found


def _instructions() -> dict[str, Hostile]:
    """Files with pickle instructions that reach a function on other ways than REDUCE."""
    forms = {
        "INST": b"\x80\x02(" + RUN + b"ios\nsystem\n.",
        "OBJ": b"\x80\x02(cltr.admin.settings\nSettings\n" + RUN + b"o.",
        "EXT1": b"\x80\x02\x82\x01.",
        "EXT2": b"\x80\x02\x83\x01\x01.",
        "EXT4": b"\x80\x02\x84\x01\x01\x01\x01.",
        "PERSID": b"\x80\x02P../../etc/passwd\n.",
        "DUP": b"\x80\x02]" + b"2" * 1000 + b".",
        "NEXT_BUFFER": b"\x80\x05\x97.",
        "NEWOBJ_EX": b"\x80\x04cltr.admin.settings\nSettings\n)}\x92.",
    }
    found = {
        name: Hostile(pickled, f"has the instruction {name}, which no checkpoint needs")
        for name, pickled in forms.items()
    }
    found["STACK_GLOBAL"] = Hostile(
        b"\x80\x04\x8c\x02os\x8c\x06system\x93" + RUN + b"\x85R.", "it names os.system"
    )
    found["NEWOBJ of a process"] = Hostile(
        b"\x80\x02csubprocess\nPopen\n" + RUN + b"\x85\x81.", "it names subprocess.Popen"
    )
    found["NEWOBJ with arguments"] = Hostile(
        b"\x80\x02cltr.admin.settings\nSettings\n" + RUN + b"\x85\x81.", "it makes an object"
    )
    found["call of what was made"] = Hostile(
        b"\x80\x02cltr.admin.settings\nSettings\n)\x81)R.", "it calls StandIn"
    )
    found["call of a class"] = Hostile(b"\x80\x02" + FLOAT + b")R.", "it calls torch.FloatStorage")
    found["attributes of a list"] = Hostile(b"\x80\x02]}b.", "gives attributes to what has none")
    return found


def _storages() -> dict[str, Hostile]:
    """Files whose tensors lie about where or how large they are."""

    def state(made: bytes) -> bytes:
        return checkpoint(net=b"}" + text("w") + made + b"s")

    outside = "has a tensor outside its storage 0"
    view = b"(" + text("v") + number(3) + number(9) + b"t"
    return {
        "identity is a command": Hostile(b"\x80\x02" + RUN + b"Q.", "refers to something that is"),
        "identity is a function": Hostile(b"\x80\x02cos\nsystem\nQ.", "it names os.system"),
        "key leads elsewhere": Hostile(
            state(tensor(storage(key=text("../../etc/passwd")))), "calls a storage ../../etc"
        ),
        "type is a text": Hostile(state(tensor(storage(kind=RUN))), "a storage without a type"),
        "storage of 2^62": Hostile(
            state(tensor(storage(numel=number(1 << 62)))), "claims a storage of 4611686018427387904"
        ),
        "storage of less than nothing": Hostile(
            state(tensor(storage(numel=number(-4)))), "claims a storage of -4"
        ),
        "two lengths of one storage": Hostile(
            state(b"(" + storage() + storage(numel=number(5)) + b"t"), "storage 0 in two ways"
        ),
        "tensor of 2^40 without steps": Hostile(
            state(tensor(shape=(1 << 20, 1 << 20), strides=(0, 0))), outside
        ),
        "tensor behind its storage": Hostile(state(tensor(offset=1)), outside),
        "tensor with long steps": Hostile(state(tensor(strides=(1 << 40, 1))), outside),
        "tensor before its storage": Hostile(state(tensor(offset=-1)), "a shape that cannot be"),
        "tensor spread over its storage": Hostile(
            state(tensor(storage(numel=number(40)), shape=(2,), strides=(39,))),
            "its tensor w is spread over its storage",
            {"0": bytes(160)},
        ),
        "steps backwards": Hostile(state(tensor(strides=(-2, -1))), "a shape that cannot be"),
        "forty axes": Hostile(
            state(tensor(shape=(1,) * 40, strides=(1,) * 40)), "a shape that cannot be"
        ),
        "axes without steps": Hostile(state(tensor(strides=(1,))), "a tensor without a shape"),
        "part outside a storage": Hostile(
            state(tensor(storage(view=view))), "a part of storage 0 that lies outside it"
        ),
        "tensor of nothing": Hostile(state(tensor(b"N")), "a tensor without a storage"),
    }


def _bombs() -> dict[str, Hostile]:
    """Small files that would grow, or never end."""
    return {
        "a billion laughs": Hostile(
            checkpoint(record(b"}" + text("a") + laughs() + b"s")), "record has no end"
        ),
        "a record that holds itself": Hostile(
            checkpoint(record(b"}q\x01" + text("a") + b"h\x01s")), "record has no end"
        ),
        "a key of a billion laughs": Hostile(
            b"\x80\x02}" + laughs() + b"Ns.", "a key that is neither text nor number"
        ),
        "a list that holds itself": Hostile(
            b"\x80\x02]q\x01h\x01a.", "its pickle holds no dict", {}
        ),
        "a network that holds itself": Hostile(
            b"\x80\x02}q\x01(" + text("net") + b"h\x01u.", "it holds no state dict, only net", {}
        ),
        "nested a million deep": Hostile(b"\x80\x02" + b"(" * 1_000_000 + b".", "nested too deep"),
        "a hundred thousand lists that wait": Hostile(
            b"\x80\x02" + b"]" * 150_000 + b".", "too many values wait for their list"
        ),
        "a text of 2^60": Hostile(
            b"\x80\x04\x8d" + struct.pack("<Q", 1 << 60) + b"x.", "a text of 1152921504606846976"
        ),
        "a number of 4 GiB": Hostile(
            b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b".", "a text of 2147483647"
        ),
        "a value that was never kept": Hostile(b"\x80\x02h\x07.", "recalls a value"),
        "an empty stack": Hostile(b"\x80\x02R.", "takes a value where there is none"),
        "an end without a start": Hostile(b"\x80\x02t.", "ends a list that never began"),
        "an unknown instruction": Hostile(b"\x80\x02\xff.", "its pickle is damaged"),
        "no end": Hostile(b"\x80\x02", "its pickle is damaged"),
    }


HOSTILE = {**_calls(), **_instructions(), **_storages(), **_bombs()}


# --- containers that lie -------------------------------------------------------------------------

_GOOD = checkpoint()
_DATA = Entry("a/data.pkl", _GOOD)
_RAW = Entry("a/data/0", NUMBERS["0"])

ZIP_TRICKS: dict[str, tuple[bytes, str]] = {
    "compressed": (
        archive([_DATA, Entry("a/data/0", bytes(10_000_000), method=8)]),
        "a/data/0 is compressed",
    ),
    "claims 4 GiB": (
        archive([_DATA, Entry("a/data/0", NUMBERS["0"], claimed=0xFFFFFFF0)]),
        "a/data/0 claims another size than it has",
    ),
    "encrypted": (archive([_DATA, Entry("a/data/0", NUMBERS["0"], flags=1)]), "is encrypted"),
    "absolute name": (archive([_DATA, _RAW, Entry("/etc/cron.d/x", b"")]), "has an absolute name"),
    "drive": (archive([_DATA, _RAW, Entry("c:/x", b"")]), "has an absolute name"),
    "leads out": (archive([_DATA, _RAW, Entry("a/../../x", b"")]), "leads out of its folder"),
    "leads out with backslashes": (
        archive([_DATA, _RAW, Entry("a\\..\\x", b"")]),
        "leads out of its folder",
    ),
    "zero in a name": (archive([_DATA, _RAW, Entry("a/x\0y", b"")]), "a name that cannot be"),
    "twice": (archive([_DATA, _RAW, _RAW]), "a/data/0 is there twice"),
    "one place for two": (archive([_DATA, _RAW], shared_offset=True), "two different names"),
    "overlapping": (
        archive([Entry("a/data.pkl", _GOOD, reaching=40), _RAW]),
        "a/data/0 overlaps another",
    ),
    "reaching into the listing": (
        archive([_DATA, Entry("a/data/0", NUMBERS["0"], reaching=40)]),
        "a/data/0 overlaps another",
    ),
    "two names": (
        archive([_DATA, Entry("a/data/0", NUMBERS["0"], local_name="a/data/1")]),
        "two different names",
    ),
    "two pickles": (archive([_DATA, Entry("b/data.pkl", _GOOD), _RAW]), "2 entries data.pkl"),
    "no pickle": (archive([Entry("a/readme.txt", b"hello")]), "0 entries data.pkl"),
    "TorchScript": (archive([_DATA, Entry("a/constants.pkl", b"")]), "is a TorchScript archive"),
    "big-endian": (archive([_DATA, Entry("a/byteorder", b"big"), _RAW]), "a big-endian machine"),
    "numbers missing": (archive([_DATA]), "a/data/0 is missing"),
    "numbers too short": (
        archive([_DATA, Entry("a/data/0", b"1234")]),
        "a/data/0 has 4 bytes instead of 16",
    ),
    "wrong checksum": (
        archive([_DATA, Entry("a/data/0", NUMBERS["0"], checksum=7)]),
        "storage 0 does not have the checksum",
    ),
    "changed pickle": (
        archive([Entry("a/data.pkl", _GOOD, checksum=7), _RAW]),
        "data.pkl does not have the checksum",
    ),
    "cut": (archive([_DATA, _RAW])[:-30], "is a damaged zip archive"),
}

LEGACY_TRICKS: dict[str, tuple[bytes, str]] = {
    "another protocol": (
        legacy(_GOOD, NUMBERS, protocol=pickle.dumps(7, 2)),
        "its header is not that of a checkpoint",
    ),
    "a call as protocol": (
        legacy(_GOOD, NUMBERS, protocol=b"\x80\x02" + call("os", "system", RUN) + b"."),
        "it names os.system",
    ),
    "a call as list of keys": (
        legacy(_GOOD, NUMBERS, keys=b"\x80\x02" + call("os", "system", RUN) + b"."),
        "it names os.system",
    ),
    "big-endian": (
        legacy(_GOOD, NUMBERS, system=pickle.dumps({"little_endian": False}, 2)),
        "a big-endian machine",
    ),
    "no system": (legacy(_GOOD, NUMBERS, system=pickle.dumps([], 2)), "a big-endian machine"),
    "keys missing": (legacy(_GOOD, NUMBERS, keys=pickle.dumps([], 2)), "is not that of its"),
    "keys twice": (
        legacy(_GOOD, NUMBERS, keys=pickle.dumps(["0", "0"], 2)),
        "is not that of its tensors",
    ),
    "keys are no texts": (
        legacy(_GOOD, NUMBERS, keys=pickle.dumps([0], 2)),
        "its list of storages cannot be read",
    ),
    "another length": (
        legacy(_GOOD, NUMBERS, numbers=struct.pack("<q", 1 << 40) + NUMBERS["0"]),
        "storage 0 has another length",
    ),
    "numbers cut": (legacy(_GOOD, NUMBERS)[:-1], "but its tensors end at"),
    "something behind": (legacy(_GOOD, NUMBERS) + b"x", "but its tensors end at"),
}


def _packed(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("model.pth", content)
    return buffer.getvalue()


NO_CHECKPOINTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty (0 bytes)"),
    "a web page": (b"\n<!DOCTYPE html><html><body>Not found", "is a web page, so the download"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer to"),
    "a tar archive": (b"\0" * 257 + b"ustar\x0000" + bytes(300), "is a tar archive"),
    "packed": (b"\x1f\x8b\x08" + bytes(100), "is a packed archive"),
    "a plain pickle": (b"\x80\x04" + call("os", "system", RUN) + b".", "is a plain pickle"),
    "an old pickle": (f"cos\nsystem\n(S'touch {CANARY}'\ntR.".encode(), "is not a checkpoint"),
    "a graph with its maker": (
        b"\x08\x06\x12\x07pytorch\x1a\x031.9",
        "looks like an ONNX graph; give",
    ),
    "a graph alone": (b"\x08\x07\x3a\xc7\x84H\n&\n\x0fse", "looks like an ONNX graph; give"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not a checkpoint"),
    "zeros": (bytes(1000), "is not a checkpoint"),
    "safetensors that lie": (
        struct.pack("<Q", 1 << 60) + b'{"w":{"dtype":"F32"}}',
        "is damaged or no safetensors file",
    ),
    "a zip archive around one": (_packed(legacy(_GOOD, NUMBERS)), "0 entries data.pkl"),
}
