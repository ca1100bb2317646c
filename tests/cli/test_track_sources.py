"""What ``tirtrack track`` says of its source, and what it asks for instead of guessing."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import tifffile
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

BOX = ["--box", "30,40,16,12"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A tracker with random weights: what it finds is no matter here."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    card = Card(name="random", architecture="nanotrack-v3", modality="tir", licence="Apache-2.0")
    store.write(path, registry.build("nanotrack-v3", seed=4).eval(), card)
    return ["--weights", str(path), "--no-video"]


def counts(index: int) -> np.ndarray:
    rng = np.random.default_rng([7, index])
    image = 29100 + np.arange(128) * 4 + rng.integers(0, 9, (96, 128))
    image[40:52, 30 + index : 46 + index] += 600
    return image.astype(np.uint16)


def levels(index: int) -> np.ndarray:
    return ((counts(index).astype(float) - 29000) / 5).clip(0, 255).astype(np.uint8)


def save_times(folder: Path) -> Path:
    for index, name in enumerate(["1.25", "1.5", "10.0"]):
        tifffile.imwrite(folder / f"{name}.tif", counts(index))
    return folder


def save_alpha(folder: Path) -> Path:
    grey = levels(0)
    pixels = np.dstack([np.zeros_like(grey)] * 3 + [grey])
    Image.fromarray(pixels).save(folder / "a.png")
    return folder / "a.png"


def save_bands(folder: Path) -> Path:
    stack = np.stack([counts(k) for k in range(8)])
    tifffile.imwrite(folder / "a.tif", stack, photometric="minisblack", planarconfig="separate")
    return folder / "a.tif"


def save_swapped(folder: Path) -> Path:
    for k in range(3):
        header = b"P5 128 96 65535\n"
        (folder / f"{k}.pgm").write_bytes(header + counts(k).astype("<u2").tobytes())
    return folder


@pytest.mark.parametrize(
    ("save", "option", "frames"),
    [
        (save_times, ["--order", "time"], 3),
        (save_alpha, ["--channel", "3"], 1),
        (save_bands, ["--channel", "2"], 1),
        (save_swapped, ["--byte-order", "little"], 3),
    ],
    ids=["times", "alpha", "bands", "swapped"],
)
def test_what_cannot_be_known_ends_with_2_and_the_option_that_decides(
    tmp_path, monkeypatch, weights, capsys, save, option, frames
):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    source = str(save(Path("in")))
    for more in (BOX, []):
        assert run(["track", source, *more, *weights]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        assert option[0] in printed.err
        assert not Path("runs").exists()
    assert run(["track", source, *BOX, *weights, *option, "--out", "runs/a"]) == 0
    summary = json.loads(Path("runs/a/summary.json").read_text())
    assert summary["frames"] == frames
    assert summary[option[0].removeprefix("--").replace("-", "_")] in (option[1], int_of(option[1]))


def int_of(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def test_line_on_the_source_is_said_once_before_work_and_stands_in_the_summary(
    tmp_path, monkeypatch, weights, capsys
):
    monkeypatch.chdir(tmp_path)
    np.save("stack.npy", np.stack([counts(k) for k in range(4)]))
    line = "NumPy array file of 4 frames, 128x96, 16 bit, 1 channel, uint16 [4, 96, 128]"
    for more in (BOX, ["--pick", "1"]):
        assert run(["track", "stack.npy", *more, *weights, "--force"]) == 0
        said = capsys.readouterr().err.splitlines()
        assert said[0] == f"tirtrack: stack: {line}"
        assert sum(line in one for one in said) == 1
        assert json.loads(Path("runs/track-stack/summary.json").read_text())["source_line"] == line
    assert run(["track", "stack.npy", "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["source_line"] == line
    assert printed.err.splitlines()[0] == f"tirtrack: stack: {line}"


def test_palette_with_a_logo_is_said_to_be_one_before_anything_is_proposed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    image = (matplotlib.colormaps["inferno"](levels(0))[..., :3] * 255).astype(np.uint8)
    image[80:92, 4:40] = 255
    Image.fromarray(image).save("shown.jpg", quality=92)
    assert run(["track", "shown.jpg"]) == 0
    assert (
        "colours like a palette painted over thermal grey, logos and scales burnt in"
        in (capsys.readouterr().err.splitlines()[0])
    )


@pytest.mark.parametrize(
    ("case", "frames"),
    [
        ("imagej_one_directory/stack.tif", 8),
        ("pgm_npy_frames/pgm", 2),
        ("pgm_npy_frames/stack.npy", 4),
    ],
    ids=["imagej", "pgm", "npy"],
)
def test_cases_of_strangers_give_all_their_frames(tmp_path, weights, shared, case, frames):
    source = str(shared / "cases" / case)
    assert (
        run(["track", source, "--box", "24,30,24,20", *weights, "--out", str(tmp_path / "a")]) == 0
    )
    assert json.loads((tmp_path / "a/summary.json").read_text())["frames"] == frames


def test_source_that_ends_early_keeps_its_frames_and_ends_with_1(
    tmp_path, monkeypatch, weights, capsys
):
    monkeypatch.chdir(tmp_path)
    np.save("stack.npy", np.stack([counts(k) for k in range(4)]))
    content = Path("stack.npy").read_bytes()
    Path("stack.npy").write_bytes(content[: -counts(0).nbytes - 1])
    assert run(["track", "stack.npy", *BOX, *weights]) == 1
    assert "frame 2: the array ends early (2 of 4 frames are whole)" in capsys.readouterr().err
    assert len(Path("runs/track-stack/boxes.csv").read_text().splitlines()) == 3


def test_part_of_a_radiometric_jpeg_is_chosen_by_picture(
    tmp_path, monkeypatch, weights, shared, capsys
):
    monkeypatch.chdir(tmp_path)
    source = str(shared / "data/pairs/odd/flir_radiometric_e40.jpg")
    for more, size in (([], [160, 120]), (["--picture", "palette"], [320, 240])):
        assert run(["track", source, *BOX, *weights, *more, "--force", "--out", "a"]) == 0
        assert json.loads(Path("a/summary.json").read_text())["frame_size"] == size
    capsys.readouterr()
    assert run(["track", source, *BOX, *weights, "--picture", "raw"]) == 2
    assert capsys.readouterr().err == (
        'tirtrack: --picture "raw" is unknown; give counts, visible or palette\n'
    )
