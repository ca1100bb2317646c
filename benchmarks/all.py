"""What ``make bench`` runs: every speed figure that the pages quote, one after the other.

Each benchmark is a command of its own and runs in a process of its own, so that one cannot warm or
burden another. A benchmark that fails is named at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHMARKS = {
    "track_speed": ["benchmarks.track_speed"],
    "synthetic_speed": ["benchmarks.synthetic_world", "speed"],
    "distil_speed": ["benchmarks.distil_speed"],
    "roi_pooling": ["benchmarks.roi_pooling"],
}


def main() -> int:
    """Run them all; 1 when one failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.all", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder of JSON")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name, module in BENCHMARKS.items():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", *module, "--out", str(options.out / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"bench: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
