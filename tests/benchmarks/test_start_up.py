"""A start is measured as that of an installed package, the first one with an empty cache."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import start_up
from tirtrack.errors import RequestError


def test_a_start_is_measured_of_compiled_sources_and_the_first_finds_an_empty_cache(monkeypatch):
    compiled, caches = [], []
    seconds = iter([3.0, 0.5, 0.9, 0.4, 0.6, 0.7])

    def answer(command, environment):
        assert compiled
        cache = Path(environment["TIRTRACK_CACHE"])
        caches.append(len(list(cache.iterdir())))
        (cache / str(len(caches))).touch()
        return next(seconds), 500.0 + len(caches)

    monkeypatch.setattr(
        start_up.compileall, "compile_dir", lambda path, quiet: compiled.append(path)
    )
    monkeypatch.setattr(start_up, "_answer", answer)
    found = start_up.start_up("small", "small.safetensors", "onnx")
    assert (found.first_s, found.later_s, found.memory_mb) == (3.0, 0.6, 506)
    assert caches == [0, 1, 2, 3, 4, 5]
    assert (compiled[0] / "weights" / "graphs.py").is_file()


def test_memory_is_that_of_the_process_and_not_of_the_one_that_started_it():
    held = np.ones(40_000_000)  # 320 MB
    said = "from benchmarks.start_up import peak_memory_mb; print(peak_memory_mb())"
    root = Path(start_up.__file__).parents[1]
    child = subprocess.run([sys.executable, "-c", said], cwd=root, capture_output=True, check=True)
    assert 3 < float(child.stdout) < 200
    assert start_up.peak_memory_mb() > held.nbytes / 1e6


def test_a_system_that_does_not_tell_the_memory_of_a_process_is_refused():
    with pytest.raises(RequestError, match="memory is not measured"):
        start_up.peak_memory_mb("nobody")
