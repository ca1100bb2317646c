"""The parts of a network of which graphs are made: what each computes, and a fixed input for it.

A network of the Siamese family has four, DiMP and ATOM have two: what is computed without knowing
the target. Their filters, boxes and gradients stay with torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tirtrack.errors import WeightsError
from tirtrack.networks.atom import Atom
from tirtrack.networks.dimp import Dimp
from tirtrack.networks.siamese import SiameseNetwork

OPSET = 17
_MAP_AXES = {0: "batch", 2: "height", 3: "width"}


class _NetworkPart(nn.Module):
    """A function of tensors as a module, with the network whose weights it uses, if any."""

    def __init__(self, network: nn.Module | None, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network  # registered, so that its weights are exported as weights
        self.function = function
        # In eval mode itself: the exporter puts a module back into the mode it had, with all below.
        self.eval()

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


@dataclass(frozen=True)
class GraphPart:
    """What one graph computes.

    Attributes:
        module: module in eval mode, from the inputs to the outputs.
        example: fixed random input of each name, in the order of the module's arguments.
        outputs: names of the outputs.
        free_axes: names of the axes that may have any length, by input or output and place.
        pieces: parts whose graphs, each taking the output of the one before, are joined to this
            graph; empty: the module is exported. Exports take most of the time, and one piece
            serves several graphs.
    """

    module: nn.Module
    example: Mapping[str, np.ndarray]
    outputs: Sequence[str]
    free_axes: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    pieces: Sequence[GraphPart] = ()

    def answer(self) -> list[np.ndarray]:
        """Torch's outputs for the example."""
        return run_torch(self.module, *self.example.values())

    @cached_property
    def graph(self) -> bytes:
        """The ONNX graph, made at first use."""
        return _joined([piece.graph for piece in self.pieces]) if self.pieces else self._exported()

    def _exported(self) -> bytes:
        with TemporaryDirectory() as folder, warnings.catch_warnings():
            # The TorchScript exporter is deprecated; the new one needs another package and is 20
            # times slower for the same graph. Its tracer warns of Python numbers, which are
            # constants here.
            warnings.simplefilter("ignore")
            written = Path(folder) / "graph.onnx"
            torch.onnx.export(
                self.module,
                tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in self.example.values()),
                written,
                input_names=list(self.example),
                output_names=list(self.outputs),
                dynamic_axes=self.free_axes,
                opset_version=OPSET,
                dynamo=False,
            )
            return written.read_bytes()


def parts_of(network: nn.Module, where: Path | None = None) -> dict[str, GraphPart]:
    """The parts of a network, by the names of their graphs.

    Siamese family: ``features``, ``patches [B,D,D,3]`` to ``features [B,C,H,W]``, any B and D;
    ``search``, ``template [1,C,8,8]`` and ``patch [D,D,3]`` to ``logits`` and ``ltrb``;
    ``search_grey``, the same for a grey patch ``[D,D]``; ``head``, ``template [1,C,8,8]`` and
    ``features [1,C,16,16]`` to ``logits`` and ``ltrb``: what remains of a search when many targets
    share the pass of the backbone.

    DiMP and ATOM, any B and D: ``features``, ``patches [B,3,D,D]`` to the backbone's ``fine`` and
    ``coarse`` features and the ``classification`` features; ``test_features``, ``fine`` and
    ``coarse`` to ``test_fine`` and ``test_coarse``, which the box estimator pools.

    Args:
        network: network in eval mode, float32 on the CPU.
        where: path of the weights, for messages.

    Raises:
        WeightsError: networks of this family have no graphs.
    """
    if isinstance(network, SiameseNetwork):
        return _siamese_parts(network)
    if isinstance(network, Dimp | Atom):
        return _online_parts(network)
    raise WeightsError(
        f"holds a {type(network).__name__}, of which no graphs are made", where,
        "choose the engine torch",
    )  # fmt: skip


def run_torch(module: nn.Module, *inputs: np.ndarray) -> list[np.ndarray]:
    """The outputs of a module, without a gradient."""
    with torch.no_grad():
        out = module(*(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs))
    return [one.numpy() for one in (out if isinstance(out, tuple) else (out,))]


def _joined(graphs: Sequence[bytes]) -> bytes:
    """One graph of several; each has one output, which is an input of the next."""
    import onnx
    from onnx import compose

    # Two graphs may have inner names in common.
    models = [
        compose.add_prefix(
            onnx.load_from_string(graph), f"{place}/", rename_inputs=False, rename_outputs=False
        )
        for place, graph in enumerate(graphs)
    ]
    whole = models[0]
    for model in models[1:]:
        (passed,) = (output.name for output in whole.graph.output)
        whole = compose.merge_models(whole, model, io_map=[(passed, passed)])
    del whole.opset_import[1:]  # all have the same, which is repeated for each
    content: bytes = whole.SerializeToString()
    return content


def _siamese_parts(network: SiameseNetwork) -> dict[str, GraphPart]:
    def planes(patches: Tensor) -> Tensor:  # [B,D,D,3] to [B,3,D,D]
        return patches.permute(0, 3, 1, 2)

    def planes_grey(patch: Tensor) -> Tensor:  # [D,D] to [1,3,D,D]
        return patch[None, None].expand(1, 3, *patch.shape)

    def features(planes: Tensor) -> Tensor:  # [B,3,D,D]
        return network.backbone(network.from_levels(planes))

    def search(template: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:  # [D,D,3]
        return network.head(template, features(planes(patch[None])))

    def search_grey(template: Tensor, patch: Tensor) -> tuple[Tensor, Tensor]:  # [D,D]
        return network.head(template, features(planes_grey(patch)))

    patch, grey = _levels(network.test_side, 3), _levels(network.test_side)
    corner = patch[: network.reference_side, : network.reference_side]
    both = np.stack([patch, patch[::-1]])
    backbone = _NetworkPart(network, lambda patches: features(planes(patches)))
    template, searched = (run_torch(backbone, one[None])[0] for one in (corner, patch))

    free = dict.fromkeys(["planes", "features"], _MAP_AXES)
    from_planes = GraphPart(
        _NetworkPart(network, features), {"planes": both.transpose(0, 3, 1, 2)}, ["features"], free
    )
    head = GraphPart(
        _NetworkPart(network, network.head),
        {"template": template, "features": searched},
        ["logits", "ltrb"],
    )

    def to_planes(function: Callable[..., Tensor], **example: np.ndarray) -> GraphPart:
        return GraphPart(_NetworkPart(None, function), example, ["planes"])

    def whole(function: Callable[..., Any], first: GraphPart) -> GraphPart:
        example = {"template": template, **first.example}
        pieces = [first, from_planes, head]
        return GraphPart(_NetworkPart(network, function), example, head.outputs, pieces=pieces)

    sides = {"patches": {0: "batch", 1: "height", 2: "width"}}
    batch = GraphPart(_NetworkPart(None, planes), {"patches": both}, ["planes"], sides)
    return {
        "features": GraphPart(
            backbone, {"patches": both}, ["features"], pieces=[batch, from_planes]
        ),
        "search": whole(search, to_planes(lambda patch: planes(patch[None]), patch=patch)),
        "search_grey": whole(search_grey, to_planes(planes_grey, patch=grey)),
        "head": head,
    }


def _online_parts(network: Dimp | Atom) -> dict[str, GraphPart]:
    def features(patches: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fine, coarse = (maps[:, 0] for maps in network.features(patches[:, None] / 255))
        return fine, coarse, network.classification_features(coarse)

    def test_features(fine: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        return tuple(network.box_estimator.test_features([fine, coarse]))

    def part(function: Callable[..., Any], outputs: Sequence[str], **example: Any) -> GraphPart:
        free = dict.fromkeys([*example, *outputs], _MAP_AXES)
        return GraphPart(_NetworkPart(network, function), example, outputs, free)

    patch = _levels(network.test_side, 3).transpose(2, 0, 1)
    patches = np.stack([patch, patch[:, ::-1]])
    backbone = part(features, ["fine", "coarse", "classification"], patches=patches)
    fine, coarse, _ = backbone.answer()
    tested = part(test_features, ["test_fine", "test_coarse"], fine=fine, coarse=coarse)
    return {"features": backbone, "test_features": tested}


def _levels(side: int, *channels: int) -> np.ndarray:
    """A random patch ``[D,D]`` or ``[D,D,C]`` of grey levels, always the same."""
    return np.random.default_rng(0).integers(0, 256, (side, side, *channels)).astype(np.float32)
