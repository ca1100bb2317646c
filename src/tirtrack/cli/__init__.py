"""The command line: parse, call the library, print. Nothing else in tirtrack prints."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tirtrack`` with the given arguments (the process's own by default) and exit."""
    try:
        from tirtrack.cli.app import run
        from tirtrack.freed_memory import keep_freed_memory

        keep_freed_memory()
        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("tirtrack: interrupted", file=sys.stderr)
        code = 130
    live = sys.modules.get("tirtrack.live")  # imported where there is a reader
    if live is not None and live.is_reading():
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    """Exit with no end of Python, which may crash beside a reader that hangs in its source."""
    atexit._run_exitfuncs()  # temporary files are deleted all the same
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader has left, or it is closed
            stream.flush()
    os._exit(code)
