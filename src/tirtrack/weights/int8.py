"""Int8 graphs of a Siamese network: made on request, checked, and used only where they passed.

Weights and inputs of the convolutions of a search become whole numbers of 8 bits (static
quantisation after training; Jacob et al., *Quantization and training of neural networks for
efficient integer-arithmetic-only inference*, CVPR 2018): one scale for each output channel of the
weights, one range for each input, from the smallest and largest value on given frames. The first
and last convolutions and those with filters of the template stay in float32, as do the graphs of
the template and of many targets. One graph serves both runtimes.

Rounding to 8 bits moves boxes, so nothing is used unchecked:
:mod:`tirtrack.evaluation.quantising` makes the graphs and compares boxes and success with float32.
What it found is kept with them beside the float32 graphs in the cache.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tirtrack import files
from tirtrack.errors import StorageError, WeightsError
from tirtrack.inference import has_openvino, onnxruntime
from tirtrack.weights.graphs import Graphs, graph_folder
from tirtrack.weights.runtimes import INT8_ENGINES, Int8Name, processor, runtime_of, runtime_version

QUANTISED = ("search", "search_grey")
MOST_PX = 0.5
MOST_SUCCESS = 0.005
_FORMAT = 1  # raised when the int8 graphs of the same weights and frames change
_MANIFEST = "int8.json"


@dataclass(frozen=True)
class Int8Check:
    """How far an engine in int8 is from the reference, found on one machine.

    Attributes:
        version: version of its runtime.
        processor: processor that it ran on.
        px: largest difference of a side of a box on the rendered frames, pixels; ``None`` if the
            runtime cannot run the graphs.
        success: difference of success on ``synthetic-validation``; ``None`` if it was not measured.
        fault: reason why the runtime cannot run the graphs.
    """

    version: str
    processor: str
    px: float | None
    success: float | None = None
    fault: str | None = None

    @property
    def boxes_pass(self) -> bool:
        """Whether the boxes are near enough: such an engine runs if it is named."""
        return self.px is not None and self.px <= MOST_PX

    @property
    def passes(self) -> bool:
        """Whether boxes and success are near enough: such an engine may be chosen."""
        return self.boxes_pass and self.success is not None and self.success <= MOST_SUCCESS

    @property
    def in_words(self) -> str:
        """What is wrong; empty if nothing is known to be."""
        if self.fault is not None or self.px is None:
            return self.fault or "its boxes were not compared"
        if not self.boxes_pass:
            return f"its boxes are up to {self.px:.2f} px from float32, {MOST_PX} are allowed"
        if self.success is not None and not self.passes:
            return f"its success is {self.success:.4f} from float32, {MOST_SUCCESS} are allowed"
        return ""


@dataclass(frozen=True)
class Int8Graphs:
    """The int8 graphs of some weights.

    Attributes:
        by_name: ONNX graphs of :data:`QUANTISED`; they take and give float32.
        weights_hash: hash of the weights they were made from.
        patches: number of search patches that the ranges are from.
        checks: what was found of each engine that was checked.
    """

    by_name: Mapping[str, bytes]
    weights_hash: str
    patches: int
    checks: Mapping[Int8Name, Int8Check] = field(default_factory=dict)

    @property
    def sha256(self) -> dict[str, str]:
        """Hash of each graph; it depends on the frames that gave the ranges."""
        return {name: hashlib.sha256(graph).hexdigest() for name, graph in self.by_name.items()}

    def of(self, graphs: Graphs) -> Graphs:
        """Float32 graphs with these in place of some."""
        return replace(graphs, by_name={**graphs.by_name, **self.by_name})

    def check_here(self, engine: Int8Name) -> Int8Check | None:
        """The check of an engine; ``None`` if it was made with another version or processor, or its
        runtime is not installed any more.
        """
        check, runtime = self.checks.get(engine), runtime_of(engine)
        if check is None or (runtime == "openvino" and not has_openvino()):
            return None
        here = runtime_version(runtime), processor()
        return check if (check.version, check.processor) == here else None


def quantised(graphs: Graphs, searches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Int8Graphs:
    """Int8 graphs, unchecked.

    Args:
        graphs: float32 graphs of the weights.
        searches: template ``[C,8,8]`` and search patch ``[D,D,3]`` or ``[D,D]`` of each search that
            gives ranges, grey levels 0..255.
    """
    by_name = {
        name: _quantised(graphs.by_name[name], [_inputs(name, *one) for one in searches])
        for name in QUANTISED
    }
    return Int8Graphs(by_name, graphs.weights_hash, len(searches))


def keep(int8: Int8Graphs) -> None:
    """Keep int8 graphs and their checks in the cache.

    Raises:
        StorageError: the cache cannot be written.
    """
    folder = _folder(int8.weights_hash)
    checks = {engine: asdict(check) for engine, check in int8.checks.items()}
    manifest = {"sha256": int8.sha256, "patches": int8.patches, "checks": checks}
    try:
        for name, graph in int8.by_name.items():
            files.write_bytes(folder / f"{name}.onnx", graph)
        files.write_json(folder / _MANIFEST, manifest)  # last: graphs without it are ignored
    except StorageError as error:
        fix = "free some space, or name a folder elsewhere by TIRTRACK_CACHE"
        raise StorageError(error.what, error.where, fix) from error


def kept(weights_hash: str) -> Int8Graphs | None:
    """The int8 graphs in the cache; ``None`` if there are none, or they are damaged."""
    folder = _folder(weights_hash)
    try:
        manifest = dict(json.loads((folder / _MANIFEST).read_text("utf-8")))
        by_name = {name: (folder / f"{name}.onnx").read_bytes() for name in QUANTISED}
        checks = {engine: Int8Check(**manifest["checks"][engine]) for engine in INT8_ENGINES
                  if engine in manifest["checks"]}  # fmt: skip
        found = Int8Graphs(by_name, weights_hash, int(manifest["patches"]), checks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.sha256 == manifest["sha256"] else None


def checked_int8(weights_hash: str, engine: Int8Name, where: Path) -> Int8Graphs:
    """The int8 graphs, if the boxes of an engine passed their check on this machine.

    Args:
        weights_hash: hash of the weights.
        engine: engine that is to run them.
        where: path of the weights, for messages.

    Raises:
        WeightsError: there are none, they were not checked here, or they failed.
    """
    int8 = kept(weights_hash)
    again = "run tirtrack weights quantise --frames DIR, or choose the engine onnx"
    if int8 is None:
        raise WeightsError(f"has no int8 graphs for the engine {engine}", where, again)
    check = int8.check_here(engine)
    if check is None:
        raise WeightsError(
            f"its int8 graphs were not checked with this version of {runtime_of(engine)} on this "
            "processor", where, again,
        )  # fmt: skip
    if not check.boxes_pass:
        raise WeightsError(
            f"the engine {engine} failed its check ({check.in_words})", where,
            "choose the engine onnx",
        )  # fmt: skip
    return int8


def passed_int8(weights_hash: str) -> list[Int8Name]:
    """The engines in int8 that passed their whole check on this machine."""
    int8 = kept(weights_hash)
    if int8 is None:
        return []
    checks = {engine: int8.check_here(engine) for engine in int8.checks}
    return [engine for engine, check in checks.items() if check is not None and check.passes]


def _folder(weights_hash: str) -> Path:
    return graph_folder(weights_hash) / f"int8-{_FORMAT}"


def _inputs(name: str, template: np.ndarray, patch: np.ndarray) -> dict[str, np.ndarray]:
    """The inputs of a graph: a grey patch is three equal channels, of a colour one grey is the
    mean.
    """
    levels = patch.astype(np.float32)
    if name == "search_grey" and levels.ndim == 3:
        levels = levels.mean(axis=2)
    elif name == "search" and levels.ndim == 2:
        levels = np.repeat(levels[..., None], 3, axis=2)
    return {"template": template[None], "patch": np.ascontiguousarray(levels)}


def _quantised(graph: bytes, inputs: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    onnxruntime()  # before its parts, so that it stays on this machine
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import create_calibrator
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    model = onnx.load_from_string(graph)
    convolutions = _convolutions(model)
    with TemporaryDirectory() as folder:
        source = Path(folder) / "float32.onnx"
        source.write_bytes(graph)
        calibrator = create_calibrator(
            source, ["Conv"], augmented_model_path=str(Path(folder) / "augmented.onnx")
        )
        calibrator.collect_data(_Reader(inputs))
        ranges = calibrator.compute_data()
        del calibrator  # closes its session, and with it the file
    quantizer = QDQQuantizer(
        model, per_channel=True, reduce_range=False, weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8, tensors_range=ranges, nodes_to_quantize=convolutions,
        nodes_to_exclude=[], op_types_to_quantize=["Conv"], extra_options={},
    )  # fmt: skip
    quantizer.quantize_model()
    content: bytes = quantizer.model.model.SerializeToString()
    return content


class _Reader:
    """Inputs one by one, as the calibration of ONNX Runtime asks for them."""

    def __init__(self, inputs: Sequence[Mapping[str, np.ndarray]]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        return next(self._left, None)


def _convolutions(model: Any) -> list[str]:
    """The names of those convolutions that can be rounded: with constant weights, neither the
    first nor the last before an output.
    """
    constant = {one.name for one in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    last = {_last_convolution(made_by, output.name) for output in model.graph.output}
    found = [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and node.input[1] in constant
    ]
    return [name for name in found[1:] if name not in last]


def _last_convolution(made_by: Mapping[str, Any], name: str) -> str:
    """The convolution before an output, past operations of one input."""
    node = made_by[name]
    while node.op_type != "Conv":
        node = made_by[node.input[0]]
    return str(node.name)
