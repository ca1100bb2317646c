from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny():
    """The module tiny_world.py: pairs in memory, a tiny network, a whole run."""
    path = Path(__file__).parent / "tiny_world.py"
    spec = importlib.util.spec_from_file_location("tiny_world", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tiny_world"] = module
    spec.loader.exec_module(module)
    return module
