"""Freed memory is kept: what is allocated again and again is asked from the system once."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import pytest

from tirtrack import cli, cluster, freed_memory

# three arrays of 3 MB at a time, as where a picture is decoded; each of their pages that is asked
# from the system costs a fault, if it is no huge one (41 is PR_SET_THP_DISABLE)
FAULTS = """
import ctypes, resource, sys
import numpy as np
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
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
PAGES_OF_THREE = 3 * 3_000_000 // resource.getpagesize()


def faults(how: str) -> int:
    done = run(how)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


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


pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the allocator of another system is left alone"
)


@pytest.mark.parametrize("how", ["keep", "worker"])
def test_freed_memory_is_not_asked_for_again(how):
    assert faults(how) < PAGES_OF_THREE


def test_without_it_the_system_is_asked_every_time():
    assert faults("nothing") > 10 * PAGES_OF_THREE


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_a_user_who_set_the_allocator_is_left_alone(name):
    assert run("keep", **{name: ""}).stderr.strip() == "not kept"


def test_every_command_and_every_task_of_a_cluster_keeps_it(monkeypatch):
    kept = []
    monkeypatch.setattr(freed_memory, "keep_freed_memory", lambda: kept.append("command"))
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    monkeypatch.setattr(cluster, "keep_freed_memory", lambda: kept.append("task"))
    monkeypatch.setattr(cluster, "use_one_thread", lambda: None)
    assert cluster._result_of(lambda: len, "abc") == 3
    assert kept == ["command", "task"]
