"""The commands by name, and how their errors become one sentence and an exit code.

A command is imported when it is called, and only it: ``tirtrack --help`` imports none of them.
Exit codes: 0 done; 1 the run failed, or the reader of its output left before the end; 2 the request
was wrong and nothing was started; 130 interrupted, by Ctrl-C or SIGTERM. Data goes to stdout,
everything else to stderr.
"""

from __future__ import annotations

import errno
import importlib
import io
import json
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand, TyperGroup

from tirtrack.addresses import is_address, without_secrets
from tirtrack.errors import RequestError, RunError, TirtrackError, did_you_mean

DEBUG = "--debug"
JSON = "--json"
INTERRUPTED = 130

# typer carries its own copy of click or uses the installed one, by version; its public exceptions
# lead to the right one.
_CLICK_ERROR = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)


@dataclass(frozen=True)
class Entry:
    """A command: the module under ``tirtrack.cli`` that holds it, and one line for the list.

    ``is_group`` modules hold a typer ``app`` with commands of its own, the others a function
    ``command``.
    """

    module: str
    summary: str
    is_group: bool = False


COMMANDS = {
    "demo": Entry("demo", "The whole story on the embedded world; ends with report.html."),
    "track": Entry("track", "Track one target through a video, a folder of frames, or a stream."),
    "pairs": Entry(
        "pairs", "Look at unlabelled RGB-TIR pairs, or mine them into shards.", is_group=True
    ),
    "distill": Entry("distill", "Distil an RGB tracker into a TIR tracker, from unlabelled pairs."),
    "train": Entry("train", "Train or continue an RGB baseline on labelled RGB."),
    "evaluate": Entry("evaluate", "Run trackers over a labelled data set and score them."),
    "score": Entry("score", "Score result files that exist already."),
    "results": Entry("results", "Compare, convert, and pack result folders.", is_group=True),
    "report": Entry("report", "One HTML page from evaluation folders."),
    "data": Entry("data", "List published data sets, check one on disk.", is_group=True),
    "weights": Entry("weights", "List weights, show a card, import a checkpoint.", is_group=True),
    "cache": Entry("cache", "Show or clear what can be made again.", is_group=True),
}


def load_command(name: str) -> Any:
    """The command of that name, imported now."""
    entry = COMMANDS[name]
    module = importlib.import_module(f"tirtrack.cli.{entry.module}")
    loaded: Any
    if entry.is_group:
        loaded = typer.main.get_group(module.app)
    else:
        single = typer.Typer(add_completion=False)
        single.command(name)(module.command)
        loaded = typer.main.get_command(single)
    loaded.name = name
    _unwrap(loaded)
    return loaded


def _unwrap(command: Any) -> None:
    """Join the lines of each paragraph of a command's help, as typer does in the first one alone,
    so that it is wrapped once, by the width of the screen; of the commands of a group too.
    """
    paragraphs = (command.help or "").split("\n\n")
    command.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)
    for inner in getattr(command, "commands", {}).values():
        _unwrap(inner)


class StoppedError(Exception):
    """Ctrl-C or SIGTERM, carried past typer, which would end without a word."""


class ReaderGoneError(Exception):
    """Whoever read the output has left (``| head``); carried past typer, which changes streams."""


class Commands(TyperGroup):
    """The commands of :data:`COMMANDS`, each imported when it is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the main job."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in with the summary: all that the list of commands needs."""
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name].summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The real command, and what is left of the arguments."""
        name = args[0]
        if name not in COMMANDS:
            kind = "option" if name.startswith("-") else "command"
            raise RequestError(f'no {kind} "{name}"', fix=did_you_mean(name, COMMANDS))
        return name, load_command(name), args[1:]

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an interrupt keeps its message."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise StoppedError(str(interrupt)) from interrupt
        except BrokenPipeError as error:
            raise ReaderGoneError from error


def _show_version(value: bool) -> None:
    if value:
        from tirtrack import __version__

        print(f"tirtrack {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Commands, add_completion=False, invoke_without_command=True)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error (anywhere in the line).")
    ] = False,
) -> None:
    """Better thermal infrared trackers from unlabelled RGB-TIR pairs."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; what it returns is the exit code. No error gets past here."""
    given = list(arguments)
    cut = given.index("--") if "--" in given else len(given)
    debug, as_json = DEBUG in given[:cut], JSON in given[:cut]
    rest = [word for word in given[:cut] if word != DEBUG] + given[cut:]
    for stream in (sys.stdout, sys.stderr):
        _escape_odd_names(stream)
    with _quiet_channels(), _sigterm_as_interrupt():
        try:
            code = typer.main.get_group(app).main(
                args=rest or ["--help"], prog_name="tirtrack", standalone_mode=False
            )
        except Exception as error:  # noqa: BLE001 - the last border: every error becomes a sentence
            code = _ended_by(error, rest, debug=debug, as_json=as_json)
    _let_go(sys.stdout)
    _let_go(sys.stderr)
    return code if isinstance(code, int) else 0


def _ended_by(error: Exception, words: Sequence[str], *, debug: bool, as_json: bool) -> int:
    """Say what went wrong; not to a reader that has gone (``| head``): it has all it wanted."""
    if isinstance(error, ReaderGoneError):
        return RunError.exit_code
    try:
        sentence = _sentence(error, words)
        safe = partial(_without_secrets, words)
        return _report_error(sentence, error, safe, debug=debug, as_json=as_json)
    except BrokenPipeError:
        return _sentence(error, words).exit_code


def _escape_odd_names(stream: TextIO | None) -> None:
    """Let a stream print names of files that it cannot encode, with escapes."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")


def _let_go(stream: TextIO | None) -> None:
    """Flush a stream; if its reader has gone, what is left goes nowhere instead of a traceback."""
    if stream is None:
        return
    try:
        stream.flush()
    except BrokenPipeError:
        with suppress(OSError):  # a stream without a file
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def _without_secrets(words: Sequence[str], text: str) -> str:
    """A text without what its addresses hide; those of the command line are known whole."""
    for word in words:
        text = text.replace(word, without_secrets(word)) if is_address(word) else text
    return without_secrets(text)


def _report_error(
    sentence: TirtrackError,
    error: Exception,
    safe: Callable[[str], str],
    *,
    debug: bool,
    as_json: bool,
) -> int:
    if debug:
        print(safe("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    said = {
        key: None if text is None else safe(text)
        for key, text in (
            ("what", sentence.what),
            ("where", sentence.where),
            ("fix", sentence.fix),
            ("message", str(sentence)),
        )
    }
    if as_json:
        document = {**said, "exit_code": sentence.exit_code}
        print(json.dumps({"error": document}, ensure_ascii=False))
    if said["message"]:
        print(f"tirtrack: {said['message']}", file=sys.stderr)
    return sentence.exit_code


class _StoppedRunError(RunError):
    exit_code = INTERRUPTED


def _sentence(error: Exception, words: Sequence[str]) -> TirtrackError:
    """Any error as one of ours: what, where, what to do."""
    if isinstance(error, TirtrackError):
        return error
    if isinstance(error, StoppedError | typer.Abort):
        fix = _GO_ON if words[:1] and words[0] in _RESUMABLE and not str(error) else None
        return _StoppedRunError(str(error) or "interrupted", fix=fix)
    if isinstance(error, _CLICK_ERROR):
        return _usage_sentence(error, words)
    if isinstance(error, MemoryError):
        return RunError("memory ran out", fix="give smaller input, or close other programs")
    if isinstance(error, OSError) and error.errno in _PLAIN_OS_ERRORS:
        return RunError(*_PLAIN_OS_ERRORS[error.errno](error))
    if isinstance(error, OSError) and error.errno in _WRONG_PATHS:
        return RequestError(_WRONG_PATHS[error.errno], _place(error), "check the path")
    line = " ".join(str(error).split()) or "no message"
    return RunError(
        f"{type(error).__name__}: {line}", fix="this is a fault of tirtrack: run again with --debug"
    )


_RESUMABLE = ("distill", "train", "evaluate")
_GO_ON = "what was finished is kept; run the same command with --resume to continue"


def _place(error: OSError) -> str | None:
    return None if error.filename is None else os.fsdecode(error.filename)


_PLAIN_OS_ERRORS: dict[int, Callable[[OSError], tuple[str, str | None, str]]] = {
    errno.ENOSPC: lambda e: (
        "no space left on the disk",
        _place(e),
        "free some space or choose another --out",
    ),
    errno.EDQUOT: lambda e: (
        "the disk quota is used up",
        _place(e),
        "free some space or choose another --out",
    ),
    errno.EACCES: lambda e: ("permission denied", _place(e), "check who may read and write it"),
    errno.EROFS: lambda e: ("the disk is read-only", _place(e), "choose another --out"),
    errno.ENOENT: lambda e: ("no such file or folder", _place(e), "check the path"),
}
# What is met while a path is opened, before anything is done with it.
_WRONG_PATHS = {
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.EISDIR: "a folder, where a file is needed",
    errno.ENAMETOOLONG: "the name is too long",
}


def _usage_sentence(error: Any, words: Sequence[str]) -> RequestError:
    """A usage error of the parser: its message in our form, with the nearest name."""
    context: Any = getattr(error, "ctx", None)
    named = [word for word in words[:1] if word in COMMANDS]  # some versions give no context
    path = context.command_path if context is not None else " ".join(["tirtrack", *named])
    where = path.removeprefix("tirtrack ") if path != "tirtrack" else None
    option = getattr(error, "option_name", None)
    message = str(error.format_message()).strip()
    inner: Any = getattr(context, "command", None)
    known = inner.list_commands(context) if isinstance(inner, TyperGroup) else []
    if "\n" in message or message.startswith("Missing command"):  # some give the whole help
        fix = did_you_mean("", known) if known else f'see "{path} --help"'
        return RequestError("no command was given", where, fix)
    if type(error).__name__ == "NoSuchOption" and option:
        return RequestError(
            f'no option "{option}"', where, did_you_mean(option, _option_names(context))
        )
    if message.startswith("No such command") and known:
        name = message.split("'")[1]
        return RequestError(f'no command "{name}"', where, did_you_mean(name, known))
    plain = " ".join(message.split()).rstrip(".").replace("argument(s)", "argument")
    return RequestError(plain[:1].lower() + plain[1:], where, f'see "{path} --help"')


def _option_names(context: Any) -> list[str]:
    if context is None:
        return [DEBUG, "--help"]
    names = [name for parameter in context.command.params for name in parameter.opts]
    return sorted({DEBUG, "--help", *(name for name in names if name.startswith("--"))})


def _interrupt(number: int, frame: FrameType | None) -> None:
    """What Ctrl-C would do at this moment; where a shell had it ignored, an interrupt."""
    pressed = signal.getsignal(signal.SIGINT)
    (pressed if callable(pressed) else signal.default_int_handler)(number, frame)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does: what was finished is kept and said."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a handler
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# what a source is, and that it is waited for
_TOLD = (
    "tirtrack.live", "tirtrack.tracking", "tirtrack.distillation.run",
    "tirtrack.verbs", "tirtrack.evaluation.runner", "tirtrack.evaluation.scoring",
    "tirtrack.evaluation.score_files", "tirtrack.pairs.inspect",
)  # fmt: skip


class _StderrLines(logging.Handler):
    """Log records as plain lines on the stderr of the moment (a live line moves out of the way).

    A warning is shown once for each cause; closing says of how many others there were.
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._texts: dict[str, list[str]] = {}  # cause -> what was said of it, first to last

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown."""
        if record.levelno < logging.WARNING:
            return True
        texts = self._texts.setdefault(getattr(record, "cause", str(record.msg)), [])
        if record.getMessage() not in texts:
            texts.append(record.getMessage())
            return len(texts) == 1
        return False

    def close(self) -> None:
        """Say how many warnings were not shown."""
        for first, *others in self._texts.values():
            if others:
                said = {"msg": f"{len(others)} more like: {first}", "levelno": logging.WARNING}
                self.emit(logging.makeLogRecord({**said, "levelname": "WARNING"}))
        self._texts.clear()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        kind = f"{record.levelname.lower()}: " if record.levelno > logging.INFO else ""
        print(f"tirtrack: {kind}{without_secrets(record.getMessage())}", file=sys.stderr)


@contextmanager
def _quiet_channels() -> Iterator[None]:
    """Warnings and log records as one line each, for the time of the command."""

    def one_line(message: Any, category: type[Warning], *_: Any, **__: Any) -> None:
        if not issubclass(category, DeprecationWarning | PendingDeprecationWarning):
            line = without_secrets(" ".join(str(message).split()))
            print(f"tirtrack: warning: {line}", file=sys.stderr)

    handler = _StderrLines(logging.INFO)
    logger = logging.getLogger("tirtrack")
    told = [logging.getLogger(name) for name in _TOLD]
    propagates, levels = logger.propagate, [one.level for one in told]
    with warnings.catch_warnings():
        warnings.showwarning = one_line
        logger.addHandler(handler)
        for one in told:
            one.setLevel(logging.INFO)
        logger.propagate = False
        try:
            with closing(handler):
                yield
        finally:
            logger.removeHandler(handler)
            for one, level in zip(told, levels, strict=True):
                one.setLevel(level)
            logger.propagate = propagates
