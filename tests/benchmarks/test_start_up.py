"""A start is measured as that of an installed package, the first one with an empty cache."""

from __future__ import annotations

from pathlib import Path

from benchmarks import start_up


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
