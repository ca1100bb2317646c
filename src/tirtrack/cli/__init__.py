"""The command line: parse, call the library, print. Nothing else in tirtrack prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``tirtrack`` with the given arguments (the process's own by default) and exit."""
    # onnxruntime reports its use over the network and keeps a database in the user's cache folder
    # unless this is set before it is imported; tirtrack does neither.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        from tirtrack.cli.app import run

        code = run(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        print("tirtrack: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)
