"""Running a graph leaves nothing behind: nothing is sent, no file in the home folder, no variable
or module changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tirtrack.inference import has_openvino

BEGIN = """
import os, sys
before = dict(os.environ)
def watch(event, arguments):
    if event in ("socket.__new__", "socket.connect", "socket.getaddrinfo", "subprocess.Popen"):
        raise SystemExit(f"{event} {arguments}")
sys.addaudithook(watch)
"""
TRACK = """
import sys
import numpy as np, tirtrack
tracker = tirtrack.load("nano-tir", engine=sys.argv[1])
frame = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)
tracker.init(frame, tirtrack.Box(40, 30, 30, 20))
tracker.update(frame)
"""
QUANTISE = """
import numpy as np
from tirtrack.weights import graphs, int8, store
assert "onnxruntime" not in sys.modules
found = graphs.graphs_of_file(store.find("nano-tir"))
shown = [found.example(name)[0] for name in int8.QUANTISED]
int8.quantised(found, [(one["template"][0], one["patch"]) for one in shown])
"""
END = """
assert dict(os.environ) == before
reporting = [name for name in sys.modules if "telemetry" in name or name == "openvino.tools.ovc"]
assert reporting == [], reporting
assert ("openvino" in sys.modules) == (sys.argv[1] == "openvino")
"""


@pytest.mark.parametrize(
    "engine",
    [
        "onnx",
        "torch",
        pytest.param(
            "openvino",
            marks=pytest.mark.skipif(
                not has_openvino(), reason="openvino is not installed; it comes with the extra test"
            ),
        ),
    ],
)
def test_tracking_sends_nothing_and_writes_nothing_into_the_home_folder(
    tmp_path: Path, engine: str
) -> None:
    run(tmp_path, BEGIN + TRACK + END, engine)


def test_quantising_sends_nothing_and_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    run(tmp_path, TRACK, "onnx")  # makes the graphs, so that what follows begins without a runtime
    run(tmp_path, BEGIN + QUANTISE + END, "onnx")


def run(tmp_path: Path, script: str, engine: str) -> None:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    environment = {**os.environ, "HOME": str(home), "TIRTRACK_CACHE": str(tmp_path / "cache")}
    for name in ("XDG_CACHE_HOME", "ORT_DISABLE_TELEMETRY", "CI"):
        environment.pop(name, None)
    command = [sys.executable, "-c", script, engine]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
