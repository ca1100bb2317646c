"""What tests of networks share: the golden pictures, and every network in its tiny form."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from tirtrack.networks import registry

RULES = Path(__file__).resolve().parent.parent / "golden_rules.py"


@pytest.fixture(scope="session")
def golden_image():
    """The image rule: ``(name, height, width)`` to ``[height,width,3]`` uint8 RGB."""
    spec = importlib.util.spec_from_file_location("golden_rules", RULES)
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    return rules.image


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
