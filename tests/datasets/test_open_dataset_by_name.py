"""Data sets by name: the synthetic world needs no files of the user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tirtrack import datasets, synthetic
from tirtrack.errors import DatasetError


def test_named_data_set_is_the_part_of_the_cached_world(monkeypatch: pytest.MonkeyPatch) -> None:
    small = synthetic.cached_world("small")
    monkeypatch.setattr(synthetic, "cached_world", lambda size: small)
    found = datasets.open_dataset("synthetic-validation")
    assert found.root == small / "validation"
    assert len(found.sequences) == 2


def test_unknown_name_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='did you mean "synthetic-test"'):
        datasets.open_dataset("synthetic-tset")
