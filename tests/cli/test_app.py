"""Exit codes, sentences, and that one command does not import the others."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import shlex
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
import typer
from PIL import Image

from tirtrack.cli import app as application
from tirtrack.cli import main
from tirtrack.errors import FrameError, TrainingError
from tirtrack.weights import store
from tirtrack.weights.graphs import graphs_of_file


def run_with(monkeypatch, failure, *words, capsys):
    """Run a command named ``cache`` that raises ``failure`` (or calls it)."""
    stand_in = typer.Typer()

    @stand_in.command()
    def show(name: str = "", as_json: bool = typer.Option(False, "--json")) -> None:
        if isinstance(failure, BaseException):
            raise failure
        failure()

    @stand_in.command()
    def clear() -> None: ...

    monkeypatch.setitem(sys.modules, "tirtrack.cli.cache", types.SimpleNamespace(app=stand_in))
    code = application.run(["cache", "show", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("failure", "code", "sentence"),
    [
        pytest.param(
            FrameError("no frames in the folder", "night/rgb", "give a video"),
            2,
            "tirtrack: night/rgb: no frames in the folder; give a video\n",
            id="request",
        ),
        pytest.param(
            TrainingError("loss is not finite at step 7", "out.run", "lower the rate"),
            1,
            "tirtrack: out.run: loss is not finite at step 7; lower the rate\n",
            id="run",
        ),
        pytest.param(KeyboardInterrupt(), 130, "tirtrack: interrupted\n", id="interrupt"),
        pytest.param(
            KeyboardInterrupt("interrupted at step 12; go on with --resume"),
            130,
            "tirtrack: interrupted at step 12; go on with --resume\n",
            id="interrupt-with-a-word",
        ),
        pytest.param(
            OSError(errno.ENOSPC, "No space left on device", "runs/a.txt"),
            1,
            "tirtrack: runs/a.txt: no space left on the disk; "
            "free some space or choose another --out\n",
            id="disk-full",
        ),
        pytest.param(
            PermissionError(errno.EACCES, "Permission denied", "/root/x"),
            1,
            "tirtrack: /root/x: permission denied; check who may read and write it\n",
            id="permission",
        ),
        pytest.param(
            NotADirectoryError(errno.ENOTDIR, "Not a directory", "a.mp4/b"),
            2,
            "tirtrack: a.mp4/b: a part of the path is a file, not a folder; check the path\n",
            id="path-through-a-file",
        ),
        pytest.param(
            IsADirectoryError(errno.EISDIR, "Is a directory", "night"),
            2,
            "tirtrack: night: a folder, where a file is needed; check the path\n",
            id="folder-for-a-file",
        ),
        pytest.param(
            OSError(errno.ENAMETOOLONG, "File name too long", "xx"),
            2,
            "tirtrack: xx: the name is too long; check the path\n",
            id="long-name",
        ),
        pytest.param(BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "", id="reader-gone"),
        pytest.param(
            MemoryError(),
            1,
            "tirtrack: memory ran out; give smaller input, or close other programs\n",
            id="memory",
        ),
        pytest.param(
            KeyError("respnse"),
            1,
            "tirtrack: KeyError: 'respnse'; this is a fault of tirtrack: run again with --debug\n",
            id="unexpected",
        ),
        pytest.param(
            ValueError("two\nlines"),
            1,
            "tirtrack: ValueError: two lines; "
            "this is a fault of tirtrack: run again with --debug\n",
            id="unexpected-of-two-lines",
        ),
    ],
)
def test_each_failure_is_one_sentence_and_its_exit_code(
    monkeypatch, capsys, failure, code, sentence
):
    assert run_with(monkeypatch, failure, capsys=capsys) == (code, "", sentence)


def test_debug_shows_the_traceback_wherever_it_stands(monkeypatch, capsys):
    code, out, err = run_with(monkeypatch, KeyError("x"), "--debug", capsys=capsys)
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.rstrip().endswith("run again with --debug")


def test_with_json_an_error_is_one_document_on_stdout(monkeypatch, capsys):
    failure = FrameError("no frames", "night", "give a video")
    code, out, err = run_with(monkeypatch, failure, "--json", capsys=capsys)
    assert code == 2
    assert json.loads(out) == {
        "error": {
            "what": "no frames",
            "where": "night",
            "fix": "give a video",
            "message": "night: no frames; give a video",
            "exit_code": 2,
        }
    }
    assert err == "tirtrack: night: no frames; give a video\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["distil"], 'tirtrack: no command "distil"; did you mean "distill"?'),
        (["zzz"], 'tirtrack: no command "zzz"; known are cache, data, demo, distill,'),
        (["--debgu"], 'tirtrack: no option "--debgu"; did you mean "--debug"?'),
        (["cache", "shwo"], 'tirtrack: cache: no command "shwo"; did you mean "show"?'),
        (["cache", "show", "--jsno"], 'tirtrack: cache show: no option "--jsno"; did you mean'),
        (["cache"], "tirtrack: cache: no command was given; known are clear, show\n"),
        (
            ["weights"],
            "tirtrack: weights: no command was given; known are import, info, list, quantise\n",
        ),
        (
            ["pairs"],
            "tirtrack: pairs: no command was given; known are inspect, mine, propose, register\n",
        ),
        (["cache", "show", "much"], "tirtrack: cache show: got unexpected extra argument (much); "),
        (["report"], "tirtrack: report: missing argument 'DIR...'; see \"tirtrack report --help\""),
        (["report", "x", "--title"], "tirtrack: report: option '--title' requires an argument; "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_sentence_with_the_nearest_name_and_exit_2(capsys, words, sentence):
    assert application.run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(sentence)
    assert captured.err.count("\n") == 1


def test_wrong_use_with_json_is_a_document(capsys):
    assert application.run(["distil", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["what"] == 'no command "distil"'


def test_without_a_command_the_help_is_shown(capsys):
    assert application.run([]) == 0
    shown = capsys.readouterr().out
    for name, entry in application.COMMANDS.items():
        assert name in shown
        assert entry.summary.split()[0] in shown


def test_version(capsys):
    assert application.run(["--version"]) == 0
    assert capsys.readouterr().out == "tirtrack 0.1.0\n"


def test_a_command_decides_its_own_exit_code(monkeypatch, capsys):
    def leave() -> None:
        raise typer.Exit(1)

    assert run_with(monkeypatch, leave, capsys=capsys) == (1, "", "")


def test_words_after_a_double_dash_stay_as_they_are(monkeypatch, capsys):
    code, _, err = run_with(monkeypatch, KeyError("x"), "--", "--debug", capsys=capsys)
    assert code == 2
    assert "Traceback" not in err


def test_warnings_and_log_records_are_one_line_each_and_leave_no_trace(monkeypatch, capsys):
    before = (warnings.showwarning, list(warnings.filters), logging.getLogger("tirtrack").handlers)

    def warn() -> None:
        warnings.simplefilter("always")
        warnings.warn("registration is off by\n5 px", UserWarning, stacklevel=1)
        logging.getLogger("tirtrack.pairs").warning("%d frames skipped", 3)
        logging.getLogger("tirtrack.pairs").info("not shown")

    code, out, err = run_with(monkeypatch, warn, capsys=capsys)
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "tirtrack: warning: registration is off by 5 px",
        "tirtrack: warning: 3 frames skipped",
    ]
    after = (warnings.showwarning, list(warnings.filters), logging.getLogger("tirtrack").handlers)
    assert after == before


def test_main_leaves_with_the_code(capsys):
    with pytest.raises(SystemExit) as left:
        main(["distil"])
    assert left.value.code == 2
    capsys.readouterr()


LARGE_OUTPUT = """
import sys, types, typer
stand_in = typer.Typer()
@stand_in.command()
def show(lines: int) -> None:
    for k in range(lines): print("line", k)
@stand_in.command()
def clear() -> None: ...
sys.modules["tirtrack.cli.cache"] = types.SimpleNamespace(app=stand_in)
from tirtrack.cli import main
main()
"""


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(("lines", "code"), [(3, 0), (100_000, 1)], ids=["done", "in the middle"])
def test_a_reader_that_leaves_early_ends_it_quietly(lines, code, unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
    read, write = os.pipe()
    os.close(read)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", LARGE_OUTPUT, "cache", "show", str(lines)],
            stdout=write, stderr=subprocess.PIPE, text=True, check=False, env=environment,
        )  # fmt: skip
    finally:
        os.close(write)
    assert ended.stderr == ""
    assert ended.returncode == (1 if unbuffered else code)


def test_looking_for_a_first_box_keeps_every_option_and_an_earlier_picture(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    levels = np.random.default_rng(1).integers(60, 90, (64, 80), dtype=np.uint8)
    levels[20:30, 30:42] = 200
    for k in range(3):
        file = tmp_path / "my night" / f"{k}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(levels, k, axis=1)).save(file)
    words = ["track", "my night", "--start", "1", "--end", "3", "--weights", "nano-rgb", "--preset"]
    words += ["published", "--out", "here", "--no-video"]
    picture = tmp_path / "here-first-frame.png"
    picture.write_text("mine", encoding="utf-8")
    assert application.run(words) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "",
        "tirtrack: here-first-frame.png: exists already; "
        "choose another --out, or give --force to replace it\n",
    )
    assert picture.read_text(encoding="utf-8") == "mine"
    assert application.run([*words, "--force", "--json"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    hints = [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")]
    for hint, added in zip(hints, ("--pick", "--box"), strict=True):
        again = shlex.split(hint)
        assert again[: again.index(added)] == ["tirtrack", *words, "--force", "--json"]


def loaded_after(*words: str) -> set[str]:
    """Modules that one command line loads, in a process of its own."""
    script = (
        "import sys, contextlib, io\n"
        "from tirtrack.cli.app import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    code = run({list(words)!r})\n"
        "print(code, *sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    code, *names = done.stdout.split()
    assert code == "0", done.stderr
    return set(names)


def test_the_list_of_commands_imports_none_of_them():
    loaded = loaded_after("--help")
    assert not {name for name in loaded if name.startswith("tirtrack.cli.")} - {"tirtrack.cli.app"}
    assert not loaded & {"torch", "scipy", "matplotlib", "numpy", "onnxruntime", "av"}


def test_one_command_imports_only_itself():
    loaded = loaded_after("cache", "show", "--json")
    assert {name for name in loaded if name.startswith("tirtrack.cli.")} == {
        "tirtrack.cli.app",
        "tirtrack.cli.cache",
        "tirtrack.cli.options",
    }
    assert not loaded & {"torch", "scipy", "matplotlib", "onnxruntime", "av"}


def test_tracking_on_cached_graphs_imports_nothing_that_it_does_not_use(tmp_path):
    graphs_of_file(store.find("nano-tir"))
    frames = tmp_path / "frames"
    frames.mkdir()
    for index in range(2):
        noise = np.random.default_rng(index).integers(0, 256, (48, 64), dtype=np.uint8)
        Image.fromarray(noise).save(frames / f"{index}.png")
    words = ("--box", "20,12,16,16", "--weights", "nano-tir", "--out", str(tmp_path / "out"))
    loaded = loaded_after("track", str(frames), *words)
    assert not loaded & {"torch", "scipy", "matplotlib", "onnx", "rich", "asyncio", "unittest"}


@pytest.mark.parametrize("name", list(application.COMMANDS))
def test_every_command_loads_and_explains_itself(name, capsys):
    assert application.run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"tirtrack {name}" in shown


@pytest.mark.parametrize("words", [["demo"], ["report"], ["distill"], ["pairs", "mine"]])
def test_lines_of_a_help_are_as_long_as_the_screen_allows(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert application.run([*words, "--help"]) == 0
    text = capsys.readouterr().out.partition("\u256d")[0]
    lines = [line.strip() for line in text.splitlines()]
    assert sum(map(bool, lines)) > 3
    for line, after in itertools.pairwise(lines):
        assert not line or not after or len(f"{line} {after.split()[0]}") > 77


# --- warnings ------------------------------------------------------------------------------------


def warned(monkeypatch, capsys, *records: tuple[object, ...]) -> list[str]:
    """What a command says that logs these warnings: text and arguments of each."""

    def fail() -> None:
        for text, *arguments in records:
            logging.getLogger("tirtrack.trackers").warning(text, *arguments)

    code, _, said = run_with(monkeypatch, fail, capsys=capsys)
    assert code == 0
    return said.splitlines()


@pytest.mark.parametrize(
    ("records", "lines"),
    [
        pytest.param([("coloured",)] * 9, ["coloured"], id="the same text"),
        pytest.param(
            [("only %d px", 3), ("only %d px", 4), ("only %d px", 3), ("only %d px", 5)],
            ["only 3 px", "2 more like: only 3 px"],
            id="one cause, several values",
        ),
        pytest.param([("coloured",), ("only %d px", 3)], ["coloured", "only 3 px"], id="two"),
    ],
)
def test_a_warning_is_said_once_for_each_cause(monkeypatch, capsys, records, lines):
    said = warned(monkeypatch, capsys, *records)
    assert said == [f"tirtrack: warning: {line}" for line in lines]


def test_the_next_command_warns_anew(monkeypatch, capsys):
    first, second = (warned(monkeypatch, capsys, ("coloured",)) for _ in range(2))
    assert first == second == ["tirtrack: warning: coloured"]
