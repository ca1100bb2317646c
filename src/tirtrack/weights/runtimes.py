"""How a graph is run: by ONNX Runtime, the reference, or by OpenVINO, on the CPU.

A graph computes in float32, or where it says so in int8 (:mod:`tirtrack.weights.int8`). A runner
is one graph, ready to run. Nothing here knows what a graph computes; which runtime is used for
which weights is decided in :mod:`tirtrack.weights.engine_choice`.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tirtrack import files
from tirtrack.errors import EngineError, EngineMemoryError, StorageError
from tirtrack.inference import onnxruntime, openvino

logger = logging.getLogger(__name__)

Runtime = Literal["onnx", "openvino"]
RUNTIMES: tuple[Runtime, ...] = ("onnx", "openvino")
Int8Name = Literal["onnx-int8", "openvino-int8"]
INT8_ENGINES: dict[Int8Name, Runtime] = {"onnx-int8": "onnx", "openvino-int8": "openvino"}
GraphEngineName = Literal[Runtime, Int8Name]
REFERENCE: Runtime = "onnx"
_PACKAGES: dict[Runtime, str] = {"onnx": "onnxruntime", "openvino": "openvino"}

Runner = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]
"""From the inputs of a graph by name, float32, to its outputs in their order, which are arrays of
their own. Several threads may call it at the same time.
"""

_OUT_OF_MEMORY = re.compile("bad.?alloc|out of memory|(cannot|failed to) allocate", re.IGNORECASE)
# ONNX Runtime's have no common base. Those of wrong inputs (InvalidArgument) are the caller's.
_ONNX_FAULTS = (
    *("EPFail", "EngineError", "Fail", "InvalidGraph", "InvalidProtobuf", "NotImplemented"),
    "RuntimeException",
)
PROCESSORS = Path("/proc/cpuinfo")
_DIGEST = 32  # bytes of a SHA-256


def open_graph(runtime: Runtime, graph: bytes, *, folder: Path, threads: int = 1) -> Runner:
    """A graph, ready to run.

    Args:
        runtime: runtime that runs it.
        graph: ONNX graph.
        folder: folder of the cache in which a runtime that compiles keeps what it made.
        threads: number of threads of one call.

    Raises:
        RequestError: the runtime is not installed.
        EngineError: the runtime cannot run the graph on this processor, or runs out of memory, here
            or in a call.
    """
    if runtime == "onnx":
        return _onnx_runner(graph, threads)
    return _openvino_runner(graph, folder, threads)


def _onnx_runner(graph: bytes, threads: int) -> Runner:
    with _as_run_errors("onnx"):
        opened = session(graph, threads=threads)

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with _as_run_errors("onnx"):
            return list(opened.run(None, inputs))

    return run


def runtime_of(engine: GraphEngineName) -> Runtime:
    """The runtime of an engine.

    >>> runtime_of("openvino"), runtime_of("openvino-int8")
    ('openvino', 'openvino')
    """
    if engine == "onnx" or engine == "openvino":
        return engine
    return INT8_ENGINES[engine]


def runtime_version(runtime: Runtime) -> str:
    """The version of a runtime that is installed."""
    return metadata.version(_PACKAGES[runtime])


def session(graph: bytes, *, threads: int) -> Any:
    """A session with its own thread pool and all of ONNX Runtime's optimisations.

    One thread is the default everywhere above: the networks are so small that a second one saves
    little, work on many sequences has a process for each, and the thread count can change the last
    bits of a sum.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait keep the cores from those of torch and of the crops.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def processor() -> str:
    """What is known of the processor, in one line; compiled graphs and times belong to it."""
    try:
        lines = PROCESSORS.read_text("utf-8").splitlines()
    except OSError:
        lines = []
    told = dict(line.partition(":")[::2] for line in lines)
    known = {key.strip(): value.strip() for key, value in told.items()}
    features = known.get("flags") or known.get("Features", "")  # the latter on Arm
    flags = hashlib.sha256(features.encode()).hexdigest()[:8]
    return f"{known.get('model name') or platform.processor()}, {platform.machine()}, {flags}"


def _openvino_runner(graph: bytes, folder: Path, threads: int) -> Runner:
    settings = {
        # Else it computes in bfloat16 where the processor can, without a word.
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Else all processes of one thread sit on the first core.
        "ENABLE_CPU_PINNING": False,
    }
    of_thread = threading.local()

    def request_of_thread() -> Any:
        if not hasattr(of_thread, "request"):
            # Requests of one compiled graph would wait for each other.
            of_thread.request = _compiled(graph, settings, folder).create_infer_request()
        return of_thread.request

    tensor = openvino().Tensor
    with _as_run_errors("openvino"):
        outputs = range(len(request_of_thread().model_outputs))

    def run(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with _as_run_errors("openvino"):
            request = request_of_thread()
            # Copied only where OpenVINO shares no memory; the request itself holds no array.
            held = {
                name: np.require(array, requirements=["C", "W"]) for name, array in inputs.items()
            }
            for name, array in held.items():
                request.set_tensor(name, tensor(array, shared_memory=True))
            request.infer(share_outputs=True)
            return [request.get_output_tensor(place).data.copy() for place in outputs]

    return run


def _compiled(graph: bytes, settings: Mapping[str, Any], folder: Path) -> Any:
    """The compiled graph, from the cache or made; a file of another version, of another graph or
    with a damaged byte is made anew.
    """
    core = _core()
    depends_on = {
        "graph": hashlib.sha256(graph).hexdigest(),
        "settings": settings,
        "version": openvino().__version__,
        "processor": processor(),
    }
    file = folder / f"{files.fingerprint(depends_on)[:32]}.openvino"
    if (kept := _kept(file)) is not None:
        try:
            return core.import_model(kept, "CPU", settings)
        except RuntimeError as error:
            logger.debug("%s is made anew: %s", file, error)
    made = core.compile_model(core.read_model(graph), "CPU", settings)
    content = made.export_model().getvalue()
    try:
        files.write_bytes(file, hashlib.sha256(content).digest() + content)
    except StorageError as error:
        logger.warning("graphs are compiled anew each time, set TIRTRACK_CACHE: %s", error.what)
    return made


def _kept(file: Path) -> bytes | None:
    """The content of a file that begins with its hash; ``None`` if it is missing or damaged."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, rest = content[:_DIGEST], content[_DIGEST:]
    return rest if hashlib.sha256(rest).digest() == digest else None


@lru_cache
def _core() -> Any:
    return openvino().Core()


def _faults_of(runtime: Runtime) -> tuple[type[Exception], ...]:
    """The errors by which a runtime says that it cannot run a graph."""
    common = (RuntimeError, MemoryError)
    if runtime != "onnx":
        return common
    known = onnxruntime().capi.onnxruntime_pybind11_state
    return (*common, *(getattr(known, name) for name in _ONNX_FAULTS))


@contextmanager
def _as_run_errors(runtime: Runtime) -> Iterator[None]:
    """Faults of a runtime as an error of one sentence."""
    try:
        yield
    except EngineError:
        raise
    except _faults_of(runtime) as error:
        package, other = _PACKAGES[runtime], "torch" if runtime == REFERENCE else REFERENCE
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            raise EngineMemoryError(
                f"{package} ran out of memory",
                fix="let other programs end, or use fewer --workers, then try again",
            ) from error
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise EngineError(
            f"{package} cannot run this graph on this processor ({lines[-1] if lines else error})",
            fix=f"choose the engine {other}",
        ) from error
