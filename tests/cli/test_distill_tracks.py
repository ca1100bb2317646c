"""``tirtrack distill`` with tracks on recordings in which little can be followed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.distillation.summary import RunSummary, read_summary
from tirtrack.video_writer import VideoWriter
from tirtrack.weights import store

SMALL = {
    "pool": "8", "training.steps": "2", "training.batch": "4", "held_back.samples": "4",
    "held_back.share": "0", "teacher.require": "false",
    "tracks.modalities": "[rgb,tir]", "tracks.min_frames": "8", "tracks.every": "6",
    "tracks.frames": "12", "tracks.boxes": "3",
}  # fmt: skip
GROUND = np.random.default_rng(0).integers(40, 80, (12, 16)).repeat(8, 0).repeat(8, 1)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, use_cache: Callable[[Path], None]) -> None:
    use_cache(tmp_path / "cache")


def walking(instant: float) -> np.ndarray:
    """``[96,128]`` textured ground and a bright square that walks over it."""
    image = GROUND + np.random.default_rng(int(10 * instant)).integers(0, 4, GROUND.shape)
    x = 10 + 3 * int(instant)
    image[40:60, x : x + 16] = 220
    return image.astype(np.uint8)


def standing(instant: float) -> np.ndarray:
    """The same without anything that moves."""
    return (GROUND + np.random.default_rng(int(instant)).integers(0, 4, GROUND.shape)).astype("u1")


def swaying(instant: float) -> np.ndarray:
    """A bright square that goes to and fro."""
    image = standing(instant)
    x = 50 + round(8 * np.sin(instant / 2))
    image[40:60, x : x + 16] = 220
    return image


def write(
    folder: Path,
    frames: Sequence[np.ndarray],
    names: Sequence[str] = (),
    *,
    tir: Sequence[np.ndarray] = (),
) -> Path:
    """A recording of both modalities; TIR is brighter, and shows the same unless given."""
    for number, image in enumerate(frames):
        seen_tir = (tir[number] if tir else image) + 20
        for modality, seen in (("rgb", np.repeat(image[..., None], 3, 2)), ("tir", seen_tir)):
            path = folder / modality / f"{names[number] if names else f'{number:03d}'}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(seen).save(path)
    return folder


def distilled(folder: Path, given: Path, *more: str) -> tuple[int, RunSummary | None]:
    """Exit code and summary of a run on a folder."""
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    out = folder / "a.safetensors"
    code = run(["distill", str(given), "--out", str(out), *changes, *more])
    assert out.is_file() is (code == 0)
    return code, read_summary(folder / "a.run")


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([walking(0)] * 12, "the recording is cut, frozen or has a gap"),
        ([walking(k) for k in range(3)], "ends too early"),
    ],
    ids=["frozen", "three frames"],
)
def test_without_a_trusted_track_and_stills_nothing_is_trained(tmp_path, capsys, frames, why):
    code, summary = distilled(tmp_path, write(tmp_path / "pairs" / "a", frames))
    assert code == 1
    (error,) = [line for line in capsys.readouterr().err.splitlines() if "is trusted" in line]
    assert f"tracks is trusted, and there are no stills ({why}: " in error
    assert "give longer recordings in which something moves" in error
    assert summary.verdict.startswith("nothing was trained: none of")
    assert sum(one.kept for one in summary.tracks) == 0
    assert (tmp_path / "a.run" / "contact_sheet.png").is_file()


def test_black_tir_leaves_a_summary_and_is_named_before_the_error(tmp_path, capsys):
    frames = [walking(k) for k in range(12)]
    black = [np.full_like(GROUND, -20)] * 12
    given = write(tmp_path / "pairs" / "a", frames, tir=[(one % 256).astype("u1") for one in black])
    code, summary = distilled(tmp_path, given)
    assert code == 1
    err = capsys.readouterr().err
    assert err.index("blank, of 8") < err.index("is left for tir_to_tir")
    assert summary.verdict.startswith("nothing was trained: no sample of 8 is left")
    assert any("blank, of 8" in one for one in summary.warnings)
    assert summary.samples["pool"] == 8
    assert (tmp_path / "a.run" / "contact_sheet.png").is_file()


def test_without_a_trusted_track_stills_are_trained_on_and_said_so(tmp_path, capsys):
    write(tmp_path / "pairs" / "frozen", [walking(0)] * 12)
    stills = [np.roll(walking(k), 20 * k, axis=0) for k in range(4)]
    write(tmp_path / "pairs" / "stills", stills, ["cat", "dog", "hen", "pig"])
    code, summary = distilled(tmp_path, tmp_path / "pairs")
    assert code == 0
    (said,) = [one for one in summary.warnings if "is trusted" in one]
    assert said.endswith("tracks is trusted: no video is trained on, only stills")
    assert said in capsys.readouterr().err


def test_stills_that_are_held_back_are_not_said_to_be_missing(tmp_path, capsys):
    write(tmp_path / "pairs" / "frozen", [walking(0)] * 12)
    stills = [np.roll(walking(k), 20 * k, axis=0) for k in range(4)]
    write(tmp_path / "pairs" / "stills", stills, ["cat", "dog", "hen", "pig"])
    code, _ = distilled(tmp_path, tmp_path / "pairs", "--hold-back", "pairs/stills")
    assert code == 1
    err = capsys.readouterr().err
    assert "tracks is trusted, and all stills are held back (" in err
    assert "; hold another recording back (--hold-back NAME), or give longer recordings" in err


def test_recordings_without_motion_are_followed_and_trained_on(tmp_path):
    given = write(tmp_path / "pairs" / "a", [standing(k) for k in range(12)])
    code, summary = distilled(tmp_path, given)
    assert code == 0
    assert sum(one.kept for one in summary.tracks) > 0


def test_tir_that_is_late_is_said_with_the_option_that_mends_it(tmp_path, capsys):
    for number, name in enumerate(("a", "b", "c")):
        frames = [swaying(k + number) for k in range(24)]
        write(tmp_path / "pairs" / name, frames[2:], tir=frames)
    few = ("--set", "tracks.frames=20", "--set", "tracks.every=30")
    code, summary = distilled(tmp_path, tmp_path / "pairs", *few)
    assert code == 0
    assert summary.delay_frames == pytest.approx(2, abs=0.3)
    assert summary.delay_targets == 3
    said = capsys.readouterr().err
    assert "take TIR that much later with --delay 2\n" in said
    assert said.count("frames of a pair are not of one instant") == 1


def test_any_number_of_processes_ends_in_the_same_weights(tmp_path, use_cache):
    given = write(tmp_path / "pairs" / "a", [walking(k) for k in range(18)])
    runs = []
    for workers in ("1", "2"):
        use_cache(tmp_path / workers / "cache")
        _, summary = distilled(tmp_path / workers, given, "--workers", workers)
        weights = store.read(tmp_path / workers / "a.safetensors")
        runs.append((summary.tracks, store.network_of(weights).state_dict()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(value, runs[1][1][key]) for key, value in runs[0][1].items())


def videos(folder: Path, rates: tuple[int, int], see: Callable[[float], np.ndarray]) -> Path:
    """RGB and TIR of the same 1.2 seconds, as two videos."""
    folder.mkdir(parents=True)
    for name, rate in zip(("rgb", "tir"), rates, strict=True):
        with VideoWriter(folder / f"{name}.mp4", rate) as writer:
            for number in range(int(1.2 * rate)):
                image = see(10 * number / rate)
                writer.write(np.repeat(image[..., None], 3, 2) if name == "rgb" else image + 20)
    return folder


@pytest.mark.parametrize("rates", [(30, 25), (25, 30)])
def test_videos_of_two_rates_are_followed_where_they_are_matched_by_time(tmp_path, capsys, rates):
    given = videos(tmp_path / "pairs" / "a", rates, walking)
    assert distilled(tmp_path, given)[0] == 2
    assert "pair them by time with --match time" in capsys.readouterr().err
    code, summary = distilled(tmp_path, given, "--match", "time")
    assert code == 0
    assert [one.modality for one in summary.tracks if one.kept] == ["rgb", "tir"]
