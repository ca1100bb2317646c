"""What other processes use is told from what this one uses, and a busy machine is refused."""

from __future__ import annotations

import os
import re
import sys

import pytest

from benchmarks import all as bench
from benchmarks import machine, roi_pooling, several_targets, track_speed
from benchmarks.command import ends
from benchmarks.machine import BusyMachineError, Usage, Watch, machine_seconds, others_cores

IDLE = "cpu  100 20 30 5000 40 1 2 7 50 60\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


COUNTS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "g_nice")


def later(name: str, ticks: int) -> str:
    """:data:`IDLE` with so many ticks more of one count."""
    _, *counts = IDLE.splitlines()[0].split()
    counts[COUNTS.index(name)] = str(int(counts[COUNTS.index(name)]) + ticks)
    return f"cpu  {' '.join(counts)}\ncpu0 9 9 9\n"


@pytest.mark.parametrize(
    ("name", "is_work"),
    [
        *((name, True) for name in ("user", "nice", "system", "irq", "softirq", "steal")),
        *((name, False) for name in ("idle", "iowait", "guest", "g_nice")),
    ],
)
def test_work_is_all_but_idling_and_stolen_time_is_work(name, is_work):
    added = machine_seconds(later(name, 500), 100) - machine_seconds(IDLE, 100)
    assert added == pytest.approx(5.0 if is_work else 0.0)


@pytest.mark.parametrize(
    ("now", "cores"),
    [
        pytest.param(Usage(10, 10, 10), 0.0, id="all of it is ours"),
        pytest.param(Usage(10, 15, 10), 0.5, id="half a core is theirs"),
        pytest.param(Usage(20, 15, 10), 0.25, id="over a longer time"),
        pytest.param(Usage(10, 9, 10), 0.0, id="coarse ticks never give less than none"),
        pytest.param(Usage(0, 0, 0), 0.0, id="no time has passed"),
        pytest.param(Usage(0.02, 0.03, 0.01), 0.02, id="a few ticks are no work of others"),
    ],
)
def test_what_others_use_is_all_work_less_our_own(now, cores):
    assert others_cores(Usage(0, 0, 0), now) == pytest.approx(cores)


def watch(*usages: Usage | None, **options: bool) -> Watch:
    """A watch that reads these usages, one after the other."""
    return Watch(read=iter(usages).__next__, **options)


def test_a_machine_is_refused_that_others_use_more_than_a_fifth_of_a_core():
    assert watch(Usage(5, 50, 7), Usage(15, 61.9, 17)).check() == pytest.approx(0.19)
    with pytest.raises(BusyMachineError) as refused:
        watch(Usage(5, 50, 7), Usage(15, 62.1, 17)).check()
    assert str(refused.value) == (
        "other processes used 0.21 of a core, more than 0.2, so the figures would not count; "
        "repeat it on an idle machine"
    )


def test_where_nothing_tells_what_others_use_only_an_option_lets_measure():
    with pytest.raises(
        BusyMachineError, match=r"this system has no .*; see to it .* --assume-idle"
    ):
        watch(None)
    assert watch(None, None, assume_idle=True).check() is None


def test_the_option_does_not_excuse_a_machine_that_tells_that_it_is_busy():
    busy = watch(Usage(0, 0, 0), Usage(10, 20, 10), assume_idle=True)
    with pytest.raises(BusyMachineError, match=r"1\.00 of a core"):
        busy.check()


def test_usage_is_that_of_the_system_and_of_this_process_with_its_children(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text(IDLE)
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(machine, "PROCESSES", tmp_path)
    monkeypatch.setattr(os, "times", lambda: (1.0, 2.0, 4.0, 8.0, 99.0))
    assert machine.usage_now() == Usage(99.0, machine_seconds(IDLE, os.sysconf("SC_CLK_TCK")), 15.0)
    monkeypatch.setattr(machine, "STAT", tmp_path / "none")
    assert machine.usage_now() is None


def test_running_children_and_theirs_count_as_ours_and_other_processes_do_not(
    tmp_path, monkeypatch
):
    ticks = os.sysconf("SC_CLK_TCK")
    parents = {os.getpid(): 1, 901: os.getpid(), 902: 901, 903: 1}
    for number, parent in parents.items():
        folder = tmp_path / f"{number}"
        folder.mkdir()
        line = f"{number} (a name) with ) R {parent} {'0 ' * 9}{ticks} {2 * ticks} 0 {ticks} 20 0\n"
        (folder / "stat").write_text(line)
    (tmp_path / "stat").write_text(IDLE)
    monkeypatch.setattr(machine, "STAT", tmp_path / "stat")
    monkeypatch.setattr(machine, "PROCESSES", tmp_path)
    monkeypatch.setattr(os, "times", lambda: (1.0, 0.0, 0.0, 0.0, 99.0))
    assert machine.usage_now().own == 1 + 4 + 4


def test_processors_of_one_name_are_told_apart(tmp_path, monkeypatch):
    first = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 207\nmodel name\t: Xeon\nstepping\t: 2\n"
    other = first.replace("207", "85")
    assert machine.processor_of(f"{first}\n{other}") == "Xeon (family 6, model 207, stepping 2)"
    assert machine.processor_of(other) == "Xeon (family 6, model 85, stepping 2)"
    monkeypatch.setattr(machine, "PROCESSORS", tmp_path / "none")
    assert machine.processor_name()


def test_a_result_says_when_where_and_of_which_code_it_is():
    said = machine.facts("python -m x", 0.12345)
    assert said["command"] == "python -m x"
    assert said["others_cores"] == 0.123
    assert said["processor"] == machine.processor_name()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", said["time"])
    assert {"revision", "cores"} < said.keys()


def test_a_result_names_the_versions_of_an_engine_and_of_the_peer_that_are_installed(monkeypatch):
    known = {"openvino": "1.0"}
    real = machine.metadata.version

    def version(name):
        if name.startswith("open"):
            if name not in known:
                raise machine.metadata.PackageNotFoundError(name)
            return known[name]
        return real(name)

    monkeypatch.setattr(machine.metadata, "version", version)
    said = machine.facts("python -m x", None)["versions"]
    assert said["openvino"] == "1.0"
    assert "opencv-contrib-python-headless" not in said
    assert {"tirtrack", "onnxruntime"} < said.keys()


COMMANDS = {
    "track_speed": track_speed,
    "roi_pooling": roi_pooling,
    "several_targets": several_targets,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_refuses_says_one_sentence_and_writes_nothing(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(machine, "STAT", tmp_path / "none")
    monkeypatch.setattr(sys, "argv", [name, "--out", str(tmp_path / "out.json")])
    assert ends(name, COMMANDS[name].main) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(rf"{name}: this system has no [^\n]*\n", said.err)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("codes", "code"),
    [([0] * 5, 0), ([0, 1, 0, 0, 0], 1), ([1, 2, 0, 0, 0], 2), ([0, -9, 0, 0, 0], 1)],
    ids=str,
)
def test_make_bench_runs_all_and_ends_with_the_worst_code(
    codes, code, tmp_path, monkeypatch, capsys
):
    left = iter(codes)
    monkeypatch.setattr(
        bench.subprocess, "run",
        lambda command, check: bench.subprocess.CompletedProcess(command, next(left)),
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["all", "--out", str(tmp_path)])
    assert bench.main() == code
    failed = [name for name, one in zip(bench.BENCHMARKS, codes, strict=True) if one]
    assert capsys.readouterr().err == (f"bench: {', '.join(failed)} failed\n" if failed else "")
