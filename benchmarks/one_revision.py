"""One side of ``benchmarks.against_revision``: a tracker that follows a round of frames for every
line of its input, and answers with the times of a frame and its last box, as JSON.

It is run with the package of either revision, so it imports of the package what every revision has.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from benchmarks.moving_target import FRAMES, first_box, moving_target
from tirtrack.trackers.loading import load_tracker

COMMAND = "python -m benchmarks.one_revision"


def main() -> None:
    """Serve rounds until the input ends."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("given", type=json.loads, help="JSON object of against_revision")
    given: dict[str, Any] = parser.parse_args().given
    threads: int = given["threads"]
    tracker = load_tracker(
        given["weights"], engine=given["engine"], threads=threads, overrides=given["overrides"]
    )
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    frames = moving_target()
    tracker.init(frames[0], first_box())
    count = 0
    for _ in sys.stdin:
        begin = time.process_time(), time.perf_counter()
        for _ in range(given["steps"]):
            count += 1
            box = tracker.update(frames[count % FRAMES]).box
        end = time.process_time(), time.perf_counter()
        ms = [1e3 * (stop - start) / given["steps"] for start, stop in zip(begin, end, strict=True)]
        print(json.dumps({"ms": ms, "box": [*map(float, box.array())]}), flush=True)


if __name__ == "__main__":
    main()
