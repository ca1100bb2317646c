"""Evaluation folders made by hand, with frames, for the tests of the page."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def made() -> ModuleType:
    """The functions of ``made_results.py``."""
    file = Path(__file__).with_name("made_results.py")
    specification = importlib.util.spec_from_file_location("made_results", file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def evaluation(made, tmp_path) -> Path:
    """An evaluation folder of two trackers on four sequences, without frames."""
    return made.write(tmp_path / "evaluation", made.result())
