"""A checkpoint is looked at, never run: whatever it holds, one sentence and no side effect."""

from __future__ import annotations

import ast
import io
import json
import os
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import hostile
import pytest
from hostile import CANARY, HOSTILE, LEGACY_TRICKS, NO_CHECKPOINTS, NUMBERS, ZIP_TRICKS

import tirtrack
from tirtrack.errors import WeightsError
from tirtrack.weights import containers, importing, unpickling
from tirtrack.weights.importing import ProcessLimits, import_weights


@pytest.fixture(autouse=True)
def canary(tmp_path, monkeypatch):
    """A folder that is the working one and holds modules that a file could ask for."""
    for name in ("evil", "ltr"):
        (tmp_path / f"{name}.py").write_text(f"open({str(CANARY)!r}, 'w')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield
    lived = not CANARY.exists()
    CANARY.unlink(missing_ok=True)
    assert lived, "the file ran something"


def refusal(content: bytes, limits: ProcessLimits = importing.DEFAULT_LIMITS) -> str:
    """What importing a file with this content ends with: a sentence, and nothing written."""
    file, out = Path("model.pth"), Path("out/model.safetensors")
    file.write_bytes(content)
    before = sorted(Path().iterdir())
    with pytest.raises(WeightsError) as caught:
        import_weights(file, out, limits=limits)
    said = str(caught.value)
    assert said.startswith("model.pth: ")
    assert "\n" not in said
    assert len(said) < 400
    assert caught.value.exit_code == 2
    assert sorted(Path().iterdir()) == before
    return said


# --- hostile files -------------------------------------------------------------------------------


@pytest.mark.parametrize("container", hostile.CONTAINERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickle_runs_nothing_and_is_one_sentence(name, container):
    one = HOSTILE[name]
    assert one.said in refusal(hostile.CONTAINERS[container](one.pickled, one.storages))


@pytest.mark.parametrize("name", ZIP_TRICKS)
def test_archive_that_torch_would_not_write_is_refused(name):
    content, said = ZIP_TRICKS[name]
    assert said in refusal(content)


@pytest.mark.parametrize("name", LEGACY_TRICKS)
def test_damaged_parts_of_the_older_container_are_named(name):
    content, said = LEGACY_TRICKS[name]
    assert said in refusal(content)


@pytest.mark.parametrize("name", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_called_what_it_is(name):
    content, said = NO_CHECKPOINTS[name]
    assert said in refusal(content)


def test_the_hostile_files_would_do_harm():
    """Python's own unpickler makes the canary of what is refused above."""
    harmful = [hostile.call("os", "system", hostile.RUN), hostile.call("evil", "run", b"")]
    for called in harmful:
        subprocess.run(
            [sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"],
            input=b"\x80\x02" + called + b".",
            capture_output=True,
            check=False,
        )
        assert CANARY.exists()
        CANARY.unlink()


@pytest.mark.parametrize("container", hostile.CONTAINERS)
def test_the_plain_file_around_which_they_are_built_is_read(container):
    """Only then do the others fail for what they hold."""
    wrapped = hostile.CONTAINERS[container](hostile.checkpoint(), NUMBERS)
    assert "its tensors are those of no known network" in refusal(wrapped)
    index = containers.index_of(
        io.BytesIO(wrapped), len(wrapped), containers.kind_of(wrapped[:512])
    )
    place = index["entries"]["net"]["w"]
    assert (place["dtype"], place["shape"], place["strides"]) == ("Float", (2, 2), (2, 1))
    assert struct.unpack_from("<4f", wrapped, place["start"]) == (1, 2, 3, 4)


KINDS = sorted(unpickling._CLASSES | unpickling._DICTS)


def named(name: str) -> bytes:
    module, _, kind = name.rpartition(".")
    return f"c{module}\n{kind}\n".encode()


@pytest.mark.parametrize("name", KINDS)
def test_object_of_a_class_that_trainers_leave_is_passed_over(name):
    made = named(name) + b")\x81}(" + hostile.text("a") + hostile.text("b") + b"ub"
    wrapped = hostile.zipped(hostile.checkpoint(hostile.text("x"), made), NUMBERS)
    index = containers.index_of(io.BytesIO(wrapped), len(wrapped), containers.ZIP)
    assert [*index["entries"]] == ["net"]


@pytest.mark.parametrize("name", [*KINDS, *sorted(unpickling._TYPES)])
def test_what_is_only_named_cannot_be_called(name):
    called = named(name) + b"(" + hostile.text("x") + b"tR"
    wrapped = hostile.zipped(hostile.checkpoint(hostile.text("x"), called), NUMBERS)
    with pytest.raises(WeightsError, match=f"it calls {name}, which is not a known function"):
        containers.index_of(io.BytesIO(wrapped), len(wrapped), containers.ZIP)


def test_part_of_a_storage_begins_where_old_files_say():
    part = b"(" + hostile.text("1") + hostile.number(3) + hostile.number(5) + b"t"
    stored = hostile.storage(numel=hostile.number(8), view=part)
    net = b"}" + hostile.text("w") + hostile.tensor(stored, offset=1) + b"s"
    wrapped = hostile.legacy(hostile.checkpoint(net=net), {"0": struct.pack("<8f", *range(8))})
    index = containers.index_of(io.BytesIO(wrapped), len(wrapped), containers.LEGACY)
    assert struct.unpack_from("<4f", wrapped, index["entries"]["net"]["w"]["start"]) == (4, 5, 6, 7)


@pytest.mark.parametrize("container", hostile.CONTAINERS)
def test_file_cut_anywhere_is_refused(container):
    wrapped = hostile.CONTAINERS[container](hostile.checkpoint(), NUMBERS)
    for length in range(1, len(wrapped)):
        cut = wrapped[:length]
        with pytest.raises(WeightsError):
            containers.index_of(io.BytesIO(cut), length, containers.kind_of(cut[:512]))


@pytest.mark.parametrize("container", hostile.CONTAINERS)
def test_file_with_any_byte_changed_is_read_or_refused(container):
    """No other error leaves the reader, whatever is broken."""
    wrapped = hostile.CONTAINERS[container](
        hostile.checkpoint(hostile.record(b"}" + hostile.text("a") + hostile.laughs(5) + b"s")),
        NUMBERS,
    )
    for place in range(len(wrapped)):
        for value in (0, 1, ord("."), ord("("), ord("h"), ord("R"), 0x80, 0xFF):
            broken = wrapped[:place] + bytes([value]) + wrapped[place + 1 :]
            with suppress(WeightsError):
                kind = containers.kind_of(broken[:512])
                if kind != containers.SAFETENSORS:
                    containers.index_of(io.BytesIO(broken), len(broken), kind)


# --- paths that are no files ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda path: None, "no such file", id="nothing"),
        pytest.param(lambda path: path.mkdir(), "is a folder, not a file", id="folder"),
        pytest.param(lambda path: path.symlink_to("gone"), "a link to a file that", id="link"),
        pytest.param(lambda path: path.symlink_to(path.name), "is a link", id="link to itself"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "is a device or pipe", id="device"),
        pytest.param(lambda path: os.mkfifo(path), "is a device or pipe", id="pipe"),
    ],
)
def test_path_that_is_no_file_is_one_sentence(make, said):
    path = Path("model.pth")
    make(path)
    with pytest.raises(WeightsError, match=said):
        import_weights(path, Path("out.safetensors"))


# --- limits --------------------------------------------------------------------------------------


def colliding() -> bytes:
    """A dict whose keys all fall into one place: filling it takes the square of its length."""
    prime = (1 << 61) - 1
    keys = b"".join(hostile.number(i * prime) + b"N" for i in range(1, 40_000))
    return b"\x80\x02}(" + keys + b"u."


def test_file_that_costs_time_ends_by_its_share_of_computing():
    said = refusal(hostile.zipped(colliding()), ProcessLimits(cpu_s=1))
    assert "took more than 1 s of computing to read" in said


def test_file_that_costs_time_ends_by_the_clock():
    said = refusal(hostile.zipped(colliding()), ProcessLimits(wall_s=0.5))
    assert "took more than 0.5 s to read" in said


def test_file_that_costs_memory_ends_by_its_share():
    texts = b"".join(hostile.text("x" * 1_000_000) for _ in range(60))
    said = refusal(
        hostile.zipped(b"\x80\x02(" + texts + b"l."), ProcessLimits(memory_bytes=64 << 20)
    )
    assert "needs more than 64 MiB of memory" in said


def test_pickle_without_an_end_is_counted(monkeypatch):
    monkeypatch.setattr(unpickling, "MAX_INSTRUCTIONS", 1000)
    pickled = b"\x80\x02]" + b"Na" * 1000 + b"."
    with pytest.raises(WeightsError, match="more than 1000 instructions"):
        unpickling.Machine(10_000).run(unpickling.Reader(io.BytesIO(pickled)))


def test_dicts_that_hold_one_another_are_counted(monkeypatch):
    """Each of five levels holds the next ten times; a walk over all would not end soon."""
    monkeypatch.setattr(containers, "_MAX_NODES", 1000)
    level = b"}" + hostile.text("w") + hostile.tensor() + b"s"
    for depth in range(1, 5):
        kept = b"q" + bytes([depth])
        again = b"h" + bytes([depth])
        level = b"](" + level + kept + again * 9 + b"e"
    root = b"\x80\x02}" + hostile.text("net") + level + b"s."
    wrapped = hostile.zipped(root, NUMBERS)
    with pytest.raises(WeightsError, match="it holds more than 1000 dicts"):
        containers.index_of(io.BytesIO(wrapped), len(wrapped), containers.ZIP)


def test_pickle_is_read_no_further_than_its_limit():
    pickled = b"\x80\x02]" + b"Na" * 1000 + b"."
    with pytest.raises(WeightsError, match="its pickle is damaged"):
        unpickling.Machine(10_000).run(unpickling.Reader(io.BytesIO(pickled), 500))


# --- the process ---------------------------------------------------------------------------------


def child(program: str, content: bytes = b"", kind: str = "zip") -> subprocess.CompletedProcess:
    Path("model.pth").write_bytes(content)
    words = [str(importing._PACKAGE_ROOT), kind, str(1 << 30), "30"]
    with Path("model.pth").open("rb") as opened:
        return subprocess.run(
            [sys.executable, *importing._ISOLATED, "-c", program, *words],
            stdin=opened,
            capture_output=True,
            check=False,
        )


def test_the_process_imports_nothing_but_the_standard_library_and_two_modules():
    program = f"{importing._CHILD}; print(*sorted(sys.modules), file=sys.stderr)"
    evil = hostile.checkpoint(hostile.text("x"), hostile.call("evil", "run", b""))
    loaded = child(program, hostile.zipped(evil, NUMBERS)).stderr.decode().split()
    ours = {name for name in loaded if name.startswith("tirtrack")}
    assert ours == {
        "tirtrack",
        "tirtrack.errors",
        "tirtrack.weights",
        "tirtrack.weights.containers",
        "tirtrack.weights.unpickling",
    }
    others = {name.split(".")[0] for name in loaded} - {"tirtrack", "__main__", "__mp_main__"}
    assert others <= {*sys.stdlib_module_names}
    assert not others & {"evil", "ltr", "torch", "numpy", "site"}


@pytest.mark.parametrize(
    ("deed", "event"),
    [
        ("__import__('this')", "import"),
        ("open(sys.executable, 'rb')", "open"),
        ("os.system('true')", "os.system"),
        ("eval('1')", "compile"),
        ("os.listdir('/')", "os.listdir"),
        ("os.remove('/tmp/nothing')", "os.remove"),
        ("os.fork()", "os.fork"),
    ],
)
def test_the_process_can_do_nothing_but_read(deed, event):
    """Were the reader to fall for a file, Python itself would stop it."""
    program = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from tirtrack.weights import containers; "
        f"containers.index_of = lambda *a: {deed}; containers.main('zip', 1 << 30, 30)"
    )
    answer = json.loads(child(program).stdout)
    assert f"RuntimeError: refused: {event}" in answer["refused"]["what"]


def test_the_process_cannot_write_files():
    target = Path("written").resolve()
    program = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); from tirtrack.weights import containers; "
        f"file = os.open({str(target)!r}, os.O_CREAT | os.O_WRONLY); "
        "containers.index_of = lambda *a: os.write(file, b'x'); "
        "containers.main('zip', 1 << 30, 30)"
    )
    assert "OSError" in json.loads(child(program).stdout)["refused"]["what"]
    assert target.read_bytes() == b""


def test_an_answer_that_is_none_is_one_sentence(monkeypatch):
    for answer in ("", "{}", "[]", json.dumps({"index": {"entries": {"": {"w": {"start": -1}}}}})):
        monkeypatch.setattr(importing, "_CHILD", f"print({answer!r})")
        assert "what it holds could not be listed" in refusal(hostile.zipped(hostile.checkpoint()))


LOADERS = ("pickle", "dill", "joblib", "shelve", "marshal", "torch.load")


def test_nothing_in_the_package_unpickles():
    """Checkpoints of a training run alone are loaded by torch, which then takes tensors only."""
    for source in sorted(Path(tirtrack.__file__).parent.rglob("*.py")):
        text = source.read_text(encoding="utf-8")
        tree = ast.parse(text if any(word in text for word in LOADERS) else "")
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {*LOADERS, "_pickle", "cloudpickle"}, source
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                given = {word.arg: word.value for word in node.keywords}
                assert ast.unparse(given["weights_only"]) == "True", source
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert ast.unparse(node.value) == "False", source
