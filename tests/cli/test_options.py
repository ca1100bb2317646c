"""Options that several commands share: one name means one thing."""

from __future__ import annotations

import sys
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli import app as application
from tirtrack.cli.app import run
from tirtrack.cli.options import command_line, pairing_of

SHARED = ("--seed", "--force", "--json", "--workers", "--dataset", "--preset", "--recipe",
          "--baseline", "--set", "--device", "--resume")  # fmt: skip
OF_ITS_OWN = {("report", "--dataset"), ("report", "--baseline")}  # a tracker to compare with


def explanations(option: str) -> dict[str, str]:
    """What each command says of an option."""
    found = {}
    for name in application.COMMANDS:
        loaded = application.load_command(name)
        for inner, command in getattr(loaded, "commands", {"": loaded}).items():
            for parameter in command.params:
                if option in parameter.opts and (name, option) not in OF_ITS_OWN:
                    found[f"{name} {inner}".strip()] = parameter.help
    return found


@pytest.mark.parametrize("option", SHARED)
def test_an_option_means_the_same_in_every_command(option):
    said = explanations(option)
    assert len(said) > 1
    assert len(set(said.values())) == 1, said


def test_commands_that_read_pairs_take_the_same_options_for_them():
    asked = signature(pairing_of).parameters
    commands = {"distill": application.load_command("distill")}
    commands |= application.load_command("pairs").commands
    for name in ("distill", "inspect", "mine", "register"):
        taken = {one.name: one.default for one in commands[name].params if one.name in asked}
        left_out = {"rig"} if name == "register" else set()  # it makes one
        assert asked.keys() - taken.keys() == left_out
        assert all(taken[one] == asked[one].default for one in taken)


def test_the_command_that_is_kept_says_no_password(monkeypatch):
    words = ["tirtrack", "track", "rtsp://bob:p w@cam/a?token=x", "--out", "my run"]
    monkeypatch.setattr(sys, "argv", words)
    assert command_line() == "tirtrack track 'rtsp://user:***@cam/a?token=***' --out 'my run'"


@pytest.mark.parametrize(
    "words",
    [
        ["track", "clip.mp4", "--box", "1,2,3,4", "--out", ""],
        ["evaluate", "nano-tir", "--dataset", "set", "--out", ""],
        ["score", "results", "--dataset", "set", "--out", " "],
        ["train", "stills", "--out", ""],
        ["train", ""],
        ["demo", "--out", ""],
        ["report", ""],
        ["report", "runs", "--out", ""],
        ["weights", "import", "", "--out", "a.safetensors"],
        ["weights", "import", "a.pth", "--out", ""],
    ],
    ids=lambda words: "_".join(words[:1] + words[-2:]),
)
def test_an_empty_path_is_not_the_current_folder(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert run(words) == 2
    assert "an empty text names no folder or file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("source", ["", "  "], ids=["empty", "blanks"])
def test_an_empty_source_is_not_the_current_folder(tmp_path, monkeypatch, capsys, source):
    monkeypatch.chdir(tmp_path)
    assert run(["track", source, "--box", "1,2,3,4"]) == 2
    assert "an empty text names no source" in capsys.readouterr().err


def test_an_empty_preset_is_unknown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.zeros((48, 64), np.uint8)).save("a.png")
    assert run(["track", "a.png", "--box", "1,2,30,30", "--preset", ""]) == 2
    assert 'no preset is called ""' in capsys.readouterr().err
    assert not Path("runs").exists()
