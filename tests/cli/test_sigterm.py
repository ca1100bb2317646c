"""SIGTERM ends every long command as Ctrl-C does: one sentence, 130, nothing half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli import app


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, write_start_and_pairs: Callable[[Path], None]
) -> Path:
    """Weights, pairs, and a labelled sequence of 5,000 frames."""
    root = tmp_path_factory.mktemp("inputs")
    write_start_and_pairs(root)
    rng = np.random.default_rng(0)
    frames = root / "labelled" / "long" / "img"
    frames.mkdir(parents=True)
    Image.fromarray(rng.integers(40, 80, (96, 128), dtype=np.uint8)).save(frames / "00000.png")
    for index in range(1, 5000):
        (frames / f"{index:05d}.png").hardlink_to(frames / "00000.png")
    (frames.parent / "groundtruth.txt").write_text("30,40,16,12\n" * 5000)
    return root


WORDS = {
    "track": "track {labelled}/long/img --box 30,40,16,12 --weights {weights} --out {out}/run",
    "evaluate": "evaluate {weights} --dataset {labelled} --out {out}/run",
    "evaluate in workers": "evaluate {weights} --dataset {labelled} --out {out}/run --workers 2",
    "distill": "distill {pairs} --baseline {weights} --out {out}/run.safetensors --set pool=8 "
    "--set training.steps=5000 --set training.batch=4 --set held_back.samples=4 "
    "--set teacher.require=false",
    "demo": "demo --baseline {weights} --out {out}/run --world study",
}


def has_begun(command: str, out: Path) -> bool:
    """Whether the work itself is under way, by what has reached the disk."""
    if command == "track":
        rows = out / "run" / "boxes.partial.csv"
        return rows.is_file() and rows.stat().st_size > 1000
    if command == "distill":
        log = out / "run.run" / "log.jsonl"
        return log.is_file() and log.stat().st_size > 0
    if command == "demo":
        return any((out / "cache" / "worlds").rglob("*.jpg"))
    return (out / "run" / "identity.json").is_file()


@pytest.mark.parametrize("command", WORDS)
def test_sigterm_ends_a_command_as_ctrl_c_does(inputs: Path, tmp_path: Path, command: str) -> None:
    places = {
        "labelled": inputs / "labelled",
        "pairs": inputs / "pairs",
        "weights": inputs / "start.safetensors",
        "out": tmp_path,
    }
    words = [word.format(**places) for word in WORDS[command].split()]
    process = subprocess.Popen(
        [sys.executable, "-c", "from tirtrack.cli import main; main()", *words],
        cwd=tmp_path, env=environment(tmp_path if command == "demo" else None),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while process.poll() is None and not has_begun(command, tmp_path):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)  # ends when the last worker has left
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("tirtrack: interrupted")
    lines = 1 + (command != "demo")  # the others say what their source is
    assert said.count("tirtrack: ") == lines
    assert "Traceback" not in said
    final = {"result.json", "report.html", "run.safetensors"}
    assert not final & {path.name for path in tmp_path.rglob("*")}
    assert not [path for path in tmp_path.rglob("*.partial*")]
    CHECKS.get(command, lambda out: None)(tmp_path)


def environment(cache: Path | None) -> dict[str, str]:
    import os

    return {**os.environ, **({} if cache is None else {"TIRTRACK_CACHE": str(cache / "cache")})}


def check_rows(out: Path) -> None:
    rows = (out / "run" / "boxes.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(len(rows)))
    summary = json.loads((out / "run" / "summary.json").read_text())
    assert (summary["ending"], summary["frames"]) == ("interrupted", len(rows))


def check_checkpoint(out: Path) -> None:
    import torch

    kept = torch.load(out / "run.run" / "checkpoint.pt", weights_only=True)
    assert kept["step"] == len((out / "run.run" / "log.jsonl").read_text().splitlines())


CHECKS: dict[str, Callable[[Path], None]] = {"track": check_rows, "distill": check_checkpoint}


def test_sigterm_interrupts_where_a_shell_had_ctrl_c_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        monkeypatch.setattr(app, "load_command", lambda name: signal.raise_signal(signal.SIGTERM))
        assert app.run(["cache"]) == 130
    finally:
        signal.signal(signal.SIGINT, found)
    assert capsys.readouterr().err == "tirtrack: interrupted\n"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", ["distill", "train", "evaluate"])
def test_what_can_be_gone_on_with_says_so(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "load_command", lambda name: signal.raise_signal(signal.SIGTERM))
    assert app.run([command]) == 130
    said = capsys.readouterr().err
    assert said == (
        "tirtrack: interrupted; what was finished is kept; run the same command with "
        "--resume to continue\n"
    )
