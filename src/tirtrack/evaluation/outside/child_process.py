"""A program that answers one line for each line, and what is left of it: nothing.

It is killed, with all that it started, when it is closed, when it does not answer in time, and when
the process that started it dies, however that dies.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar, cast

from tirtrack.errors import RunError

Found = TypeVar("Found")
_LONGEST_LINE = 1 << 16  # bytes
_LONGEST_END_S = 5.0
_SHOWN = 200  # characters of a message
# lives for as long as its input is open, then kills a group of processes
_GUARD = "read line; kill -s KILL -- -{group}"


class ChildProcess:
    """A running program that is asked by lines.

    Args:
        command: words of the command.
        name: name of the program, for messages.
        log: file for what it writes to stderr.
        timeout_s: longest wait for a line, seconds.
        environment: environment variables to add.

    Raises:
        RunError: it cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        name: str,
        log: Path,
        timeout_s: float,
        environment: Mapping[str, str],
    ) -> None:
        self._name, self._log, self._timeout_s = name, log, timeout_s
        self._unread = b""
        try:
            with log.open("wb") as stderr:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env={**os.environ, **environment},
                    start_new_session=True,
                )
        except OSError as error:
            raise RunError(f"cannot be started ({error.strerror})", name) from error
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD.format(group=self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        pipes = [cast("IO[bytes]", one) for one in (self._process.stdin, self._process.stdout)]
        self._input, self._output = (pipe.fileno() for pipe in pipes)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._output, selectors.EVENT_READ)

    def ask(self, request: str) -> str:
        """The line that answers a request.

        Raises:
            RunError: the program ended, did not answer in time, or wrote a line before it was
                asked; it is closed.
        """
        if not self._unread and self._selector.select(0):
            self._fill(0)
        if self._unread:
            raise self.misspoke(f'wrote "{self._first_unread()}" without being asked')
        self.send(request)
        return self.first_of(lambda line: line)

    def send(self, line: str) -> None:
        """Write a line; it fits into the pipe, so this never waits."""
        with suppress(BrokenPipeError):  # reading says why
            os.write(self._input, f"{line}\n".encode())

    def first_of(self, wanted: Callable[[str], Found | None]) -> Found:
        """What is made of the first line that is wanted; those before it are left out.

        Args:
            wanted: what it makes of a line; ``None`` if it does not want it.

        Raises:
            RunError: the program ended, or wrote no such line in time; it is killed.
        """
        until = time.monotonic() + self._timeout_s
        while True:
            while b"\n" not in self._unread:
                if len(self._unread) > _LONGEST_LINE:
                    raise self.misspoke(f"wrote a line of more than {_LONGEST_LINE} bytes")
                self._fill(until)
            line, _, self._unread = self._unread.partition(b"\n")
            found = wanted(line.decode("utf-8", "replace").strip())
            if found is not None:
                return found
            if time.monotonic() > until:
                raise self._late()

    def _late(self) -> RunError:
        return self.misspoke(f"gave no answer within {self._timeout_s:g} s")

    def _fill(self, until: float) -> None:
        if not self._selector.select(max(until - time.monotonic(), 0)):
            raise self._late()
        part = os.read(self._output, _LONGEST_LINE)
        if not part:
            raise self.misspoke(self._how_it_ended())
        self._unread += part

    def _first_unread(self) -> str:
        return self._unread.split(b"\n")[0].decode("utf-8", "replace")[:_SHOWN]

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(_LONGEST_END_S)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if code < 0:
            with suppress(ValueError):
                return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def misspoke(self, what: str) -> RunError:
        """Kill it; the error says what it did, and the last line of its stderr."""
        self.kill()
        with suppress(OSError):
            lines = self._log.read_text("utf-8", "replace").split("\n")
            if last := next((line.strip() for line in reversed(lines) if line.strip()), ""):
                what = f"{what} ({last[:_SHOWN]})"
        return RunError(what, self._name)

    def refused(self, why: str) -> RunError:
        """The error for what it says that it cannot do; kills it."""
        self.kill()
        return RunError(why or "error", self._name)

    def close(self) -> None:
        """End it: by closing its input, or by a kill if it stays."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(min(self._timeout_s, _LONGEST_END_S))
        self.kill()

    def kill(self) -> None:
        """Kill it and all that it started; a second call does nothing."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._guard.kill()
        self._guard.wait()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._guard.stdin):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
