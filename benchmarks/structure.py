"""How many ideas the source asks of a reader: sizes, and the way of one pair to its loss.

    python -m benchmarks.structure [--source src/tirtrack] [--out structure.json]

Sizes are counted with ``ast``. A class or file name *means several things* where there are several
of it. A function is *called once* where it lies outside of classes and the whole source names it
at one call and nowhere else: it could be written there.

The way of a pair is measured, not read: the function of ``tirtrack distill`` runs for one step on a
few small pairs, traced with ``sys.setprofile``. On the way are the calls that are open when boxes
are proposed, when a patch is cut, when a network is asked for features, a target model or a
response (after the first patch), and when a formula of the loss is called; and the functions that
make the arguments of these calls, if those are types of ``pairs`` or ``distillation`` and not
settings. Counted are the files of these functions, how often one changes to another in the order of
the calls (visits), and the types of the package among their arguments and results. Names are
functions and types. No pairs are held back. With ``--way`` every function of the way is printed
with its types, with ``--names`` every class and file name that means several things, with its
files.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from tirtrack.files import write_json

PACKAGE = "tirtrack"
CUT = ("crops.py", "cut_patch")
PROPOSALS, PROPOSE = "pairs/proposals/", "propose"
ASKED = ("features", "reference_from", "respond_from")  # of a network, wherever
FORMULAS = "networks/losses.py"
MADE_IN = ("pairs.", "distillation.")
SETTINGS = (
    "pool=8",
    "training.steps=1",
    "training.batch=4",
    "teacher.require=false",
    "held_back.samples=0",
)


# --- sizes ---------------------------------------------------------------------------------------


def sizes(source: Path) -> dict[str, int]:
    """Lines, files, classes, functions, and names that mean several things."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    trees = [ast.parse(text) for text in texts.values()]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    named, called = Counter(_names(nodes)), Counter(_names(_callees(nodes)))
    outside = [n.name for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef)]
    classes, files = classes_of(source), files_of(source)
    return {
        "lines": sum(len(text.splitlines()) for text in texts.values()),
        "files": len(texts),
        "classes": sum(map(len, classes.values())),
        "functions": len(functions),
        "functions called once": sum(named[name] == called[name] == 1 for name in outside),
        "class names that mean several things": len(several(classes)),
        "file names that mean several things": len(several(files)),
    }


def classes_of(source: Path) -> dict[str, list[Path]]:
    """The files that define a class, by its name."""
    found: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(path)
    return found


def files_of(source: Path) -> dict[str, list[Path]]:
    """The files of a name; those of packages are left out."""
    found: dict[str, list[Path]] = {}
    for path in sorted(source.rglob("*.py")):
        if path.name != "__init__.py":
            found.setdefault(path.name, []).append(path)
    return found


def several(named: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """The names that mean several things, with their files."""
    return {name: paths for name, paths in named.items() if len(paths) > 1}


def _callees(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    return (node.func for node in nodes if isinstance(node, ast.Call))


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


# --- the way of a pair ---------------------------------------------------------------------------


@dataclass
class Call:
    """A call that was open at some time.

    Attributes:
        code: code of the function.
        file: file below the package.
        taken: types of the package among its arguments.
        given: types of the package among its results.
        is_on_way: whether proposals, a patch, a network or a formula were reached inside of it.
    """

    code: CodeType
    file: str
    taken: set[str]
    given: set[str] = field(default_factory=set)
    is_on_way: bool = False


@dataclass
class Trace:
    """What ``sys.setprofile`` reports, kept for the package's own files only."""

    root: str
    begin: str
    calls: list[Call] = field(default_factory=list)
    _open: list[Call | None] = field(default_factory=list)
    _began: bool = False
    _has_patch: bool = False

    def __call__(self, frame: FrameType, event: str, result: object) -> None:
        """One call or return."""
        if event == "call":
            self._opened(frame)
        elif event == "return" and self._open:
            call = self._open.pop()
            if call is not None:
                call.given |= set(package_types(result))

    def _opened(self, frame: FrameType) -> None:
        path = frame.f_code.co_filename
        file = path.removeprefix(self.root + os.sep) if path.startswith(self.root) else ""
        self._began = self._began or (file == self.begin and frame.f_code.co_name == "command")
        if not self._began:
            return
        if not file or frame.f_code.co_name.startswith("<"):  # a module, lambda or comprehension
            self._open.append(None)
            return
        taken = {name for value in frame.f_locals.values() for name in package_types(value)}
        call = Call(frame.f_code, file.replace(os.sep, "/"), taken)
        self.calls.append(call)
        self._open.append(call)
        if self._is_reached(call.file, call.code.co_name):
            for one in filter(None, self._open):
                one.is_on_way = True

    def _is_reached(self, file: str, name: str) -> bool:
        self._has_patch = self._has_patch or (file, name) == CUT
        if name == PROPOSE:
            return file.startswith(PROPOSALS)
        return self._has_patch and ((file, name) == CUT or name in ASKED or file == FORMULAS)

    def way(self) -> list[Call]:
        """The calls on the way in their order, each function once, with all of its types."""
        needed = {
            name
            for call in self.calls
            for name in call.taken
            if call.is_on_way and name.startswith(MADE_IN) and not _is_setting(name)
        }
        found: dict[CodeType, Call] = {}
        for call in self.calls:
            if call.is_on_way or call.given & needed:
                first = found.setdefault(call.code, call)
                first.taken |= call.taken
                first.given |= call.given
        return list(found.values())


def _is_setting(name: str) -> bool:
    module, _, kind = f"{PACKAGE}.{name}".rpartition(".")
    return issubclass(getattr(sys.modules.get(module), kind, object), BaseModel)


def package_types(value: object, depth: int = 2) -> Iterator[str]:
    """The package's types of a value and, in a container, of its first items."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == PACKAGE:
        yield f"{kind.__module__.removeprefix(PACKAGE + '.')}.{kind.__qualname__}"
    elif depth and isinstance(value, Mapping):
        for key, inner in list(value.items())[:1]:
            yield from package_types(key, depth - 1)
            yield from package_types(inner, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for inner in list(value)[:2]:
            yield from package_types(inner, depth - 1)


def write_pairs(root: Path) -> None:
    """Three recordings of two pairs: a bright square on noise."""
    rng = np.random.default_rng(0)
    for take in range(3):
        for position in range(2):
            grey = rng.integers(40, 80, (96, 128), dtype=np.uint8)
            grey[30:50, 40 + 6 * position : 64 + 6 * position] = 220
            for modality, image in (("rgb", np.repeat(grey[..., None], 3, axis=2)), ("tir", grey)):
                path = root / f"take{take}" / modality / f"{position:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)


def traced(work: Callable[[], Any], root: Path) -> Trace:
    """The trace of a call of the command."""
    trace = Trace(str(root), str(Path("cli", "distill.py")))
    before = sys.getprofile()
    sys.setprofile(trace)
    try:
        work()
    finally:
        sys.setprofile(before)
    return trace


def way_of_a_pair() -> list[Call]:
    """The way from ``tirtrack distill`` to the loss, as it is installed."""
    import tirtrack
    from tirtrack.cli.distill import command

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        os.environ["TIRTRACK_CACHE"] = str(Path(folder) / "cache")
        pairs, out = Path(folder) / "pairs", Path(folder) / "run.safetensors"
        write_pairs(pairs)
        with contextlib.redirect_stderr(io.StringIO()):
            trace = traced(
                lambda: command([pairs], out=out, recipe="mixed", set_=list(SETTINGS)),
                Path(tirtrack.__file__).parent,
            )
    return trace.way()


def lengths(way: list[Call]) -> dict[str, int]:
    """Types, files, visits and names of a way."""
    files = [call.file for call in way]
    types = {name for call in way for name in call.taken | call.given}
    return {
        "types on the way of a pair": len(types),
        "of these settings": sum(map(_is_setting, types)),
        "files on the way of a pair": len(set(files)),
        "visits of files": 1 + sum(a != b for a, b in pairwise(files)),
        "functions on the way of a pair": len(way),
        "names on the way of a pair": len(way) + len(types),
    }


def main() -> None:
    """Print the table; with ``--out`` leave it as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.structure", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--source", type=Path, default=Path("src/tirtrack"))
    parser.add_argument("--way", action="store_true", help="print every call of the way")
    parser.add_argument("--names", action="store_true", help="print what means several things")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    way = way_of_a_pair()
    if options.way:
        for call in way:
            types = ", ".join(sorted(call.taken | call.given))
            print(f"{call.file}: {call.code.co_qualname}  {types}")
        print()
    if options.names:
        for named in (classes_of(options.source), files_of(options.source)):
            for name, paths in several(named).items():
                print(name, *(path.relative_to(options.source) for path in paths), sep="  ")
            print()
    found = {**sizes(options.source), **lengths(way)}
    for name, value in found.items():
        print(f"{name:40}{value:8}")
    share = found["functions called once"] / found["functions"]
    print(f"{'functions called once, share':40}{share:8.1%}")
    if options.out is not None:
        write_json(options.out, found)


if __name__ == "__main__":
    main()
