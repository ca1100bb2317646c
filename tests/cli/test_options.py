"""Options that several commands share: one name means one thing."""

from __future__ import annotations

import sys

import pytest

from tirtrack.cli import app as application
from tirtrack.cli.options import command_line

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


def test_the_command_that_is_kept_says_no_password(monkeypatch):
    words = ["tirtrack", "track", "rtsp://bob:p w@cam/a?token=x", "--out", "my run"]
    monkeypatch.setattr(sys, "argv", words)
    assert command_line() == "tirtrack track 'rtsp://user:***@cam/a?token=***' --out 'my run'"
