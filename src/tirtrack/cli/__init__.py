"""The command line: parse, call the library, print. Nothing else in tirtrack prints."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tirtrack`` with the given arguments (the process's own by default) and exit."""
    try:
        from tirtrack.cli.app import run

        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("tirtrack: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
