"""Freed memory is kept: what is allocated again and again is asked from the system once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# three arrays of 3 MB at a time, as where a picture is decoded; each of their 4 kB pages that is
# asked from the system costs a fault
FAULTS = """
import resource, sys
import numpy as np
if sys.argv[1] == "keep":
    from tirtrack.freed_memory import keep_freed_memory
    if not keep_freed_memory():
        sys.exit("not kept")
if sys.argv[1] == "worker":
    from tirtrack.workers import _begin
    _begin(None, ".")
def round_of_three():
    for _ in range(2):
        held = [np.ones(3_000_000, np.uint8) for _ in range(3)]
        del held
round_of_three()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    round_of_three()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES_OF_THREE = 3 * 3_000_000 // 4096


def run(how: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if "MALLOC" not in name and name != "GLIBC_TUNABLES"
    }
    return subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        capture_output=True, text=True, check=False, env={**clean, **variables},
    )  # fmt: skip


@pytest.fixture(scope="module")
def _glibc():
    if not hasattr(os, "confstr") or "CS_GNU_LIBC_VERSION" not in os.confstr_names:
        pytest.skip("the allocator of another system is left alone")


@pytest.mark.usefixtures("_glibc")
@pytest.mark.parametrize("how", ["keep", "worker"])
def test_freed_memory_is_not_asked_for_again(how):
    assert int(run(how).stdout) < PAGES_OF_THREE


@pytest.mark.usefixtures("_glibc")
def test_without_it_the_system_is_asked_every_time():
    assert int(run("nothing").stdout) > 10 * PAGES_OF_THREE


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_user_who_set_the_allocator_is_left_alone(name):
    assert run("keep", **{name: ""}).stderr.strip() == "not kept"
