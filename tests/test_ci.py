"""The check of a demo run sees what is missing, and passes what the report really writes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tirtrack.report.build import build_report

REPOSITORY = Path(__file__).resolve().parent.parent


def _module(file: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


made = _module(REPOSITORY / "tests" / "report" / "made_results.py")
checker = _module(REPOSITORY / ".ci" / "check_demo.py")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """Page and numbers, as the report writes them."""
    folder = tmp_path_factory.mktemp("built")
    evaluation = made.write(folder / "evaluation", made.with_control(made.result()))
    page = build_report([evaluation], folder / "report.html", control="tir_only")
    return page.read_text(encoding="utf-8"), json.loads((folder / "result.json").read_text())


def left(folder: Path, page: str, result: dict[str, Any], name: str = "report.html") -> Path:
    (folder / name).write_text(page, encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return folder / name


def test_what_the_report_writes_passes(built, tmp_path: Path) -> None:
    line = checker.check(left(tmp_path, *built))
    assert line.startswith("demo: nano-rgb and distilled and tir_only, 4 sequences, report ")


def _first(result: dict[str, Any]) -> dict[str, Any]:
    return result["evaluations"][0]["trackers"][0]


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no evaluation": (lambda r: r["evaluations"].clear(), "0 evaluations, one was expected"),
    "no control": (
        lambda r: r["evaluations"][0]["trackers"].pop(),
        "compares ['nano-rgb', 'distilled'], baseline, student and control were expected",
    ),
    "score of 0": (lambda r: _first(r)["values"].update(precision=0.0), "a precision of 0.0"),
    "score of 1": (lambda r: _first(r)["values"].update(success=1.0), "a success of 1.0"),
    "another score": (
        lambda r: _first(r)["values"].update(success=0.98765),
        "success 0.988 of nano-rgb is in result.json but not on the page",
    ),
    "no difference": (
        lambda r: r["evaluations"][0]["differences"].clear(),
        "the differences are of [], not of all two of ['nano-rgb', 'distilled', 'tir_only']",
    ),
    "another pair": (
        lambda r: r["evaluations"][0]["differences"][0].update(a="third"),
        "not of all two of",
    ),
    "no sentence of the control": (lambda r: r["verdicts"].pop(), "2 sentences, three were exp"),
    "interval beside its mean": (
        lambda r: r["evaluations"][0]["differences"][0].update(low=0.9),
        "does not hold its mean",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_numbers_are_named(built, tmp_path: Path, name: str) -> None:
    page, result = built
    spoil, message = BROKEN[name]
    result = json.loads(json.dumps(result))
    spoil(result)
    with pytest.raises(ValueError, match=re.escape(message)):
        checker.check(left(tmp_path, page, result))


def test_page_that_loads_from_outside_is_named(built, tmp_path: Path) -> None:
    page, result = built
    spoilt = page.replace("</body>", '<script src="https://example.org/x.js"></script></body>')
    with pytest.raises(ValueError, match=r"loads src=.* from outside"):
        checker.check(left(tmp_path, spoilt, result))


def test_another_last_line_or_a_missing_file_is_named(built, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not the path of a report"):
        checker.check(left(tmp_path, *built, name="result.html"))
    page = left(tmp_path, *built)
    (tmp_path / "result.json").unlink()
    with pytest.raises(ValueError, match=r"left no .*result\.json"):
        checker.check(page)


PYTHONS = {
    "none": (None, "python3 was not found; install Python 3.11 or newer"),
    "too old": (
        'case "$*" in --version) echo Python 3.9.2;; *version_info*) exit 1;; esac',
        "Python 3.9.2 is too old; tirtrack needs Python 3.11 or newer: make PYTHON=python3.11",
    ),
    "no venv": (
        'case "$*" in *ensurepip*) exit 1;; esac',
        "python3 has no venv module; install it (Debian and Ubuntu: apt install python3-venv)",
    ),
}


@pytest.mark.parametrize("target", ["demo", "test"])
@pytest.mark.parametrize("python", PYTHONS)
def test_make_says_in_one_sentence_what_python_lacks(
    tmp_path: Path, python: str, target: str
) -> None:
    body, sentence = PYTHONS[python]
    make, shell = shutil.which("make"), shutil.which("sh")
    assert make is not None
    assert shell is not None
    (tmp_path / "sh").symlink_to(shell)
    if body is not None:
        (tmp_path / "python3").write_text(f"#!{shell}\n{body}\n")
        (tmp_path / "python3").chmod(0o755)
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        [make, f"VENV={tmp_path / 'venv'}", target],
        cwd=REPOSITORY, env=outside | {"PATH": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    assert said[0].startswith(f"make: {sentence}")
    assert done.returncode == 2
    assert not (tmp_path / "venv").exists()


def make_torch(tmp_path: Path, pip_says: str = "") -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs the rule that installs torch, with a Python that makes environments with a false pip.

    The pip installs no build for the CPU where it has something to say. Returns what it was asked.
    """
    pip, python, asked = (tmp_path / name for name in ("pip", "python3", "asked"))
    pip.write_text(
        f'#!/bin/sh\necho "$*" >>{asked}\nsaid="{pip_says}"\n'
        'case "$*" in *+cpu) test -z "$said" || { echo "$said" >&2; exit 1; };; esac\n'
    )
    python.write_text(
        '#!/bin/sh\ncase "$*" in "-m venv "*) '
        f'mkdir -p "$3/bin" && cp {pip} "$3/bin/python" && touch "$3/pyvenv.cfg";; esac\n'
    )
    for script in (pip, python):
        script.chmod(0o755)
    venv = tmp_path / "venv"
    done = subprocess.run(
        ["make", f"VENV={venv}", f"PYTHON={python}", f"{venv}/.torch"],
        cwd=REPOSITORY, env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, asked.read_text()


@pytest.mark.parametrize("is_environment", [True, False])
def test_environment_that_was_interrupted_before_pip_came_is_made_again(
    tmp_path: Path, *, is_environment: bool
) -> None:
    left = tmp_path / "venv" / "left"
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    left.touch()
    if is_environment:
        (tmp_path / "venv" / "pyvenv.cfg").touch()
        (tmp_path / "venv" / "bin" / "python").symlink_to("/bin/false")
    done, _ = make_torch(tmp_path)
    assert done.returncode == 0, done.stderr
    assert left.exists() is not is_environment  # what is no environment is not deleted
    left.touch()
    (tmp_path / "venv" / ".torch").unlink()
    make_torch(tmp_path)
    assert left.exists()  # a whole environment is kept


LAST = "ERROR: No matching distribution found for torch"
FAILED_PIPS = {
    "no such build": (LAST, LAST),
    "no network": (
        "WARNING: Retrying after connection broken by 'NewConnectionError': /simple/torch/",
        "a package index could not be reached: check the network",
    ),
}


@pytest.mark.parametrize("case", FAILED_PIPS)
def test_make_says_why_there_is_no_build_for_the_cpu_and_tries_the_standard_one(
    tmp_path: Path, case: str
) -> None:
    pip_says, why = FAILED_PIPS[case]
    done, asked = make_torch(tmp_path, f"{pip_says}\n{LAST}")
    assert done.returncode == 0
    assert f"no CPU build of torch 2.13.0 was found ({why}); trying the standard" in done.stdout
    assert asked.splitlines()[-1].endswith("torch==2.13.0")
