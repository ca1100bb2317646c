"""What tests of networks share: the golden rules, and every network in its tiny form."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tirtrack.networks import registry

TESTS = Path(__file__).resolve().parent.parent


def module_at(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def rules():
    """The module golden_rules.py: pictures and weights from a name."""
    return module_at(TESTS / "golden_rules.py")


@pytest.fixture(scope="session")
def golden_image(rules):
    """The image rule: ``(name, height, width)`` to ``[height,width,3]`` uint8 RGB."""
    return rules.image


@pytest.fixture(scope="session")
def stages():
    """The module golden_stages.py: every golden stage of a network, in order."""
    return module_at(Path(__file__).with_name("golden_stages.py"))


@pytest.fixture(scope="module")
def golden_run(shared, rules, stages):
    """A name to its network with golden weights, the golden arrays, and what it is given."""

    def run(name, *, dtype=torch.float64, training=False):
        golden = np.load(shared / "golden" / "networks" / f"{name}.npz")
        network = stages.load(registry.build(name), rules.weight, dtype).eval()
        boxes = stages.boxes_of(golden, "train_" if training else "", dtype)
        side = 192 if training else network.test_side
        given = [
            stages.patches(rules.image, branch, tuple(part.shape[:2]), side).to(dtype)
            for branch, part in zip(("train", "test"), boxes, strict=True)
        ]
        return network, golden, (*given, boxes)

    return run


@pytest.fixture(scope="session")
def pieces(shared):
    """A name to the golden numbers of one operator."""
    piece = module_at(Path(__file__).with_name("golden_pieces.py")).Piece
    return lambda name: piece(shared / "golden" / "networks" / "pieces" / f"{name}.npz")


@pytest.fixture(scope="session")
def golden_patches(golden_image):
    """``k`` to the template and search patch of golden/nanotrack/README.md, section 1."""

    def patches(k: int) -> tuple[np.ndarray, np.ndarray]:
        search = golden_image(f"nano/x/{k}", 256, 256)[:255, :255]
        if k == 1:
            return search[64:191, 64:191], search
        return golden_image("nano/z/0", 128, 128)[:127, :127], search

    return patches


@pytest.fixture(params=registry.names())
def network(request):
    """A tiny network in eval mode, one test for every name of the registry."""
    return registry.build(request.param, tiny=True, seed=3).eval()


@pytest.fixture
def draw():
    """``(*shape)`` to patches in [0, 1]; the same in every test."""
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.rand(shape, generator=generator)
