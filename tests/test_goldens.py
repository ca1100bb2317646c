"""The goldens that are kept here are those of the shared folder, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

KEPT = Path(__file__).parent / "goldens"
FILES = sorted(path for path in KEPT.rglob("*.*") if path.suffix in (".json", ".npz"))


def test_they_are_few_and_small() -> None:
    assert len(FILES) == 6
    assert sum(path.stat().st_size for path in FILES) < 600_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kept_golden_equals_the_original(shared: Path, path: Path) -> None:
    assert path.read_bytes() == (shared / "golden" / path.relative_to(KEPT)).read_bytes()
