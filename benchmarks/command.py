"""What the commands of all benchmarks share: how they end, and which revision they measure.

Light, as a worker process imports the command that started it.
"""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tirtrack.errors import TirtrackError

ROOT = Path(__file__).resolve().parent.parent
CODE = ("src", "benchmarks")


def ends(name: str, command: Callable[[], Iterable[str]]) -> int:
    """How a command ends: its exit code, with what went wrong on stderr, each fault as it is
    given.

    Args:
        name: name of the command, which each line begins with.
        command: function that runs it and gives one line for each part that failed.
    """
    code = 0
    try:
        for fault in command():
            print(f"{name}: {fault}", file=sys.stderr)
            code = 1
    except TirtrackError as error:
        print(f"{name}: {error}", file=sys.stderr)
        code = error.exit_code
    return code


def revision() -> str:
    """Revision of this working copy, ending in ``-dirty`` where code differs from it."""
    git = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
    said = git(["git", "describe", "--always"], check=True).stdout.strip()
    differs = git(["git", "diff", "--quiet", "HEAD", "--", *CODE]).returncode
    return f"{said}-dirty" if differs else said
