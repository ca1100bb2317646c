"""A skipped test of goldens or of Ray fails where goldens are required."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
import sys

import pytest

sys.modules["ray"] = None  # as if it were not installed

def test_golden(shared): ...

@pytest.fixture
def weights(shared):
    pytest.skip("the published weights are not here")

def test_through_a_fixture(weights): ...

def test_on_a_cluster(ray): ...

def test_of_something_else():
    pytest.skip("no browser")
"""


@pytest.mark.parametrize(
    ("goldens", "is_there", "outcome"),
    [
        ("", False, "4 skipped"),
        ("required", False, "1 skipped, 3 errors"),
        ("", True, "1 passed, 3 skipped"),
        ("required", True, "1 passed, 1 skipped, 2 errors"),
    ],
)
def test_skipped_tests_fail_where_they_are_required(
    tmp_path: Path, goldens: str, is_there: bool, outcome: str
) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "test_one.py").write_text(TEST)
    if is_there:
        (tmp_path / "shared" / "golden").mkdir(parents=True)
    settings = {"TIRTRACK_GOLDENS": goldens, "TIRTRACK_SHARED": str(tmp_path / "shared")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "."],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | settings,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith(f"{outcome} in ")
    assert done.returncode == (1 if "error" in outcome else 0)
