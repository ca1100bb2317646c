"""What ``make bench`` runs: every speed figure that the pages quote, one after the other.

Each benchmark is a command of its own and runs in a process of its own, so that one cannot warm or
burden another. Each refuses to give figures while other processes work. A benchmark that fails is
named at the end; the exit code is 2 where one refused, else 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

BENCHMARKS = {
    "track_speed": ["benchmarks.track_speed"],
    "synthetic_speed": ["benchmarks.synthetic_world", "speed"],
    "distil_speed": ["benchmarks.distil_speed"],
    "roi_pooling": ["benchmarks.roi_pooling"],
    "mining": ["benchmarks.mining", "speed"],
}


def main() -> int:
    """Run them all; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of all runs")
    options = parser.parse_args()
    folder = options.out / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
    folder.mkdir(parents=True)
    codes = {}
    for name, module in BENCHMARKS.items():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", *module, "--out", str(folder / f"{name}.json")]
        codes[name] = subprocess.run(command, check=False).returncode
    failed = [name for name, code in codes.items() if code]
    print(f"\n{folder}")
    if failed:
        print(f"bench: {', '.join(failed)} failed", file=sys.stderr)
    return 2 if 2 in codes.values() else int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
