"""Every command of the benchmarks says how it is called."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

import benchmarks

ROOT = Path(benchmarks.__file__).parent
COMMANDS = [
    ".".join(file.relative_to(ROOT.parent).with_suffix("").parts)
    for file in sorted(ROOT.rglob("*.py"))
    if "__main__" in file.read_text("utf-8")
]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_answers_to_help_and_does_nothing(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        list(importlib.import_module(name).main() or ())  # some give their faults one by one
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m benchmarks.")
