"""Running a graph leaves nothing behind: no database in the home folder, no variable changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os
before = dict(os.environ)
import numpy as np, tirtrack
tracker = tirtrack.load("nano-tir")
frame = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)
tracker.init(frame, tirtrack.Box(40, 30, 30, 20))
tracker.update(frame)
assert dict(os.environ) == before
"""


def test_tracking_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "TIRTRACK_CACHE": str(tmp_path / "cache")}
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY"):
        environment.pop(name, None)
    command = [sys.executable, "-c", SCRIPT]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
