"""A runtime runs a graph in float32, keeps what it compiled, and fails in one sentence."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest

from tirtrack import inference
from tirtrack.errors import RequestError, RunError
from tirtrack.inference import has_openvino
from tirtrack.networks import registry
from tirtrack.weights import runtimes
from tirtrack.weights.graphs import graphs_of_network

needs_openvino = pytest.mark.skipif(
    not has_openvino(), reason="openvino is not installed; it comes with the extra test"
)


@pytest.fixture(scope="module")
def graphs():
    return graphs_of_network(registry.build("nanotrack-v3-tiny", seed=4).eval())


@pytest.fixture
def answer(graphs, tmp_path):
    """The features of a fixed patch by OpenVINO, compiled below a folder of the test."""

    def run(folder=tmp_path):
        runner = runtimes.open_graph("openvino", graphs.by_name["features"], folder=folder)
        return runner({"patches": np.full((1, 127, 127, 3), 7.0, np.float32)})[0]

    return run


class Refusing:
    """A core of OpenVINO that compiles and imports nothing."""

    def __getattr__(self, name):
        def refuse(*arguments):
            raise RuntimeError(
                "Exception from plugin.cpp:74:\n[CPU] no kernel for this processor\n\n"
            )

        return refuse


@needs_openvino
def test_what_was_compiled_is_kept_and_not_compiled_again(answer, tmp_path, monkeypatch):
    first = answer()
    (file,) = tmp_path.iterdir()
    core = runtimes._core()
    only_import = type("OnlyImport", (), {"import_model": core.import_model})
    monkeypatch.setattr(runtimes, "_core", only_import)
    np.testing.assert_array_equal(answer(), first)
    assert list(tmp_path.iterdir()) == [file]


def with_hash(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


DAMAGE = {
    "cut short": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "one byte changed": lambda content: content[:-9] + b"x" + content[-8:],
    "whole, but of another version": lambda content: with_hash(b"other" + content[32:]),
}


@needs_openvino
@pytest.mark.parametrize("how", DAMAGE)
def test_a_kept_file_that_cannot_be_used_is_made_anew(answer, tmp_path, how):
    first = answer()
    (file,) = tmp_path.iterdir()
    damaged = DAMAGE[how](file.read_bytes())
    file.write_bytes(damaged)
    np.testing.assert_array_equal(answer(), first)
    assert runtimes._kept(file) not in (None, damaged[32:])


@needs_openvino
@pytest.mark.parametrize("other", ["version", "processor"])
def test_a_file_of_another_version_or_processor_is_not_looked_at(
    answer, tmp_path, monkeypatch, other
):
    answer()
    if other == "version":
        monkeypatch.setattr(inference.openvino(), "__version__", "2031.0")
    else:
        monkeypatch.setattr(runtimes, "processor", lambda: "another")
    answer()
    assert len(list(tmp_path.iterdir())) == 2


@needs_openvino
def test_a_folder_that_cannot_be_written_costs_only_time(answer, tmp_path, caplog):
    (tmp_path / "no-folder").write_text("a file")
    np.testing.assert_array_equal(answer(tmp_path / "no-folder"), answer())
    assert "graphs are compiled anew each time, set TIRTRACK_CACHE" in caplog.text


@needs_openvino
def test_an_engine_that_fails_on_this_processor_says_so_in_one_sentence(answer, monkeypatch):
    monkeypatch.setattr(runtimes, "_core", Refusing)
    with pytest.raises(RunError, match=r"on this processor \(\[CPU\] no kernel.*choose the engine"):
        answer()


@needs_openvino
def test_openvino_computes_in_float32_on_one_unpinned_thread(graphs, tmp_path, monkeypatch):
    compiled = []
    real = runtimes._compiled
    monkeypatch.setattr(
        runtimes, "_compiled", lambda *given: compiled.append(real(*given)) or compiled[0]
    )
    runtimes.open_graph("openvino", graphs.by_name["head"], folder=tmp_path)
    asked = ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "ENABLE_CPU_PINNING")
    precision, threads, pinned = (compiled[0].get_property(name) for name in asked)
    assert (precision.to_dtype(), threads, pinned) == (np.float32, 1, False)


PROCESSORS = {
    "two names": ["model name: Xeon\nflags: fma", "model name: EPYC\nflags: fma"],
    "one name, other instructions": [
        "model name: Xeon\nflags: fma",
        "model name: Xeon\nflags: fma bf16",
    ],
    "no name, as on Arm": ["Features: asimd", "Features: asimd bf16"],
}


@pytest.mark.parametrize("how", PROCESSORS)
def test_processors_that_compute_differently_are_told_apart(how, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "PROCESSORS", tmp_path / "cpuinfo")
    said = {runtimes.processor()}
    for text in PROCESSORS[how]:
        (tmp_path / "cpuinfo").write_text(text)
        said.add(runtimes.processor())
    assert len(said) == 3


def test_a_runtime_that_is_not_installed_names_its_extra(graphs, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "has_openvino", lambda: False)
    inference.openvino.cache_clear()
    with pytest.raises(RequestError, match=r"openvino is not installed; pip install 'tirtrack\[f"):
        runtimes.open_graph("openvino", graphs.by_name["head"], folder=tmp_path)


def test_a_runtime_that_cannot_be_imported_says_why(graphs, tmp_path, monkeypatch):
    monkeypatch.setattr(inference, "has_openvino", lambda: True)
    monkeypatch.setitem(sys.modules, "openvino", None)
    inference.openvino.cache_clear()
    with pytest.raises(RunError, match=r"openvino cannot be imported \(.*halted"):
        runtimes.open_graph("openvino", graphs.by_name["head"], folder=tmp_path)
