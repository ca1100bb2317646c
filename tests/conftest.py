"""Fixtures for every test: where the shared reference data lie, and a cache of the test's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden numbers and real data; skips where it is missing."""
    folder = Path(os.environ.get("TIRTRACK_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip("the shared folder (golden numbers, real data) is not beside the repository")
    return folder


@pytest.fixture(scope="session")
def kept_goldens() -> Path:
    """The small golden numbers that lie in this repository."""
    return REPOSITORY / "tests" / "goldens"


@pytest.fixture(scope="session")
def write_start_and_pairs() -> Callable[[Path], None]:
    """Writes ``start.safetensors``, untrained, and ``pairs`` of three recordings into a folder."""
    import numpy as np
    from PIL import Image

    from tirtrack.networks import registry
    from tirtrack.weights import store
    from tirtrack.weights.card import Card

    def write(root: Path) -> None:
        card = Card(name="start", architecture="nanotrack-v3", modality="rgb", licence="Apache-2.0")
        store.write(root / "start.safetensors", registry.build("nanotrack-v3", seed=4).eval(), card)
        rng = np.random.default_rng(0)
        for take in range(3):
            for position in range(3):
                grey = rng.integers(40, 80, (90, 120), dtype=np.uint8)
                grey[30:50, 40 + 4 * position : 60 + 4 * position] = 220
                for modality, image in (("rgb", np.repeat(grey[..., None], 3, 2)), ("tir", grey)):
                    path = root / "pairs" / f"take{take}" / modality / f"{position:03d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(image).save(path)

    return write


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ``TIRTRACK_GOLDENS=required`` (``.ci/run``) a test of the shared folder may not skip."""
    report = yield
    needs_shared = "shared" in getattr(item, "fixturenames", ())
    if report.skipped and needs_shared and os.environ.get("TIRTRACK_GOLDENS") == "required":
        report.outcome = "failed"
        report.longrepr = f"skipped, although TIRTRACK_GOLDENS is required: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests never read or fill the user's cache."""
    os.environ["TIRTRACK_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "tirtrack-cache")
