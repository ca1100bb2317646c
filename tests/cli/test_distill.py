"""``tirtrack distill`` and ``tirtrack train`` as commands: messages, exit codes, output."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.distillation import train_student
from tirtrack.distillation.summary import read_summary
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

SMALL = [
    *("--set", "pool=8", "--set", "training.steps=2", "--set", "training.batch=4"),
    *("--set", "training.checkpoint_every=1", "--set", "held_back.samples=4"),
    *("--set", "teacher.require=false"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with pairs and start weights."""
    root = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    for take in range(3):
        for position in range(3):
            base = rng.integers(40, 80, (90, 120), dtype=np.uint8)
            base[30:50, 40 + 4 * position : 60 + 4 * position] = 220
            for modality in ("rgb", "tir"):
                image = np.repeat(base[..., None], 3, 2) if modality == "rgb" else base
                path = root / "pairs" / f"take{take}" / modality / f"{position:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    card = Card(name="start", architecture="nanotrack-v3", modality="rgb", licence="Apache-2.0")
    store.write(root / "start.safetensors", registry.build("nanotrack-v3").eval(), card)
    return root


def line(world, out, *more):
    weights = str(world / "start.safetensors")
    return [
        *("distill", str(world / "pairs"), "--baseline", weights, "--out", str(out)), *more
    ]  # fmt: skip


def test_a_student_comes_out(world, tmp_path, capsys):
    out = tmp_path / "student.safetensors"
    assert run(line(world, out, *SMALL)) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out)
    assert "run folder:" in said.err
    command = f"tirtrack evaluate {world / 'start.safetensors'} {out} --dataset DIR"
    assert f"cannot tell which of the two tracks better, labelled TIR can: {command}\n" in said.err
    assert store.read(out).card.modality == "tir"
    assert run(line(world, out, *SMALL, "--resume")) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert run(line(world, out, *SMALL)) == 2
    assert "exists already" in capsys.readouterr().err


def test_json_is_the_summary(world, tmp_path, capsys):
    assert run(line(world, tmp_path / "a.safetensors", *SMALL, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "mixed"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--recipe", "mixt"], 'no recipe is called "mixt"; did you mean "mixed"?'),
        (["--set", "pool"], '--set: expected KEY=VALUE, got "pool"'),
        (["--set", "pol=3"], 'unknown key "pol"; did you mean "pool"?'),
        (["--set", "pool=[3"], "is not plain YAML"),
        (["--baseline", "nano-nothing"], "nano-nothing"),
        (["--device", "gpu"], 'there is no device "gpu"; choose cpu or cuda'),
        (["--seed=-1"], "--seed"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_two(world, tmp_path, capsys, more, says):
    assert run(line(world, tmp_path / "a.safetensors", *more)) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_with_130_after_the_checkpoint(world, tmp_path, capsys, monkeypatch):
    real, calls = train_student.plan_step, []

    def interrupted(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(train_student, "plan_step", interrupted)
    out = tmp_path / "a.safetensors"
    assert run(line(world, out, *SMALL)) == 130
    assert (tmp_path / "a.run" / "checkpoint.pt").is_file()
    assert not out.exists()
    monkeypatch.setattr(train_student, "plan_step", real)
    assert run(line(world, out, *SMALL, "--resume")) == 0
    assert out.exists()


def test_train_refuses_what_it_cannot_read(tmp_path, capsys):
    assert run(["train", str(tmp_path / "none"), "--out", str(tmp_path / "a.safetensors")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    wrong = ["train", str(tmp_path), "--licence", "coco", "--out", str(tmp_path / "a.safetensors")]
    assert run(wrong) == 2
    assert "write NAME=LICENCE" in capsys.readouterr().err


def test_train_says_what_it_learns_from_and_takes_reading_options(tmp_path, capsys):
    rng = np.random.default_rng(5)
    for name in ("a", "b"):
        (tmp_path / "films" / name / "img").mkdir(parents=True)
        for k in range(4):
            image = rng.integers(0, 255, (60, 80, 4), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "films" / name / "img" / f"{k}.png")
        (tmp_path / "films" / name / "groundtruth.txt").write_text("5,5,20,20\n" * 4)
    out = tmp_path / "a.safetensors"
    few = ["--set", "training.steps=1", "--set", "training.batch=2", "--set", "pool=2"]
    command = ["train", str(tmp_path / "films"), "--network", "nanotrack-v3", "--out", str(out)]
    command += [*few, "--set", "held_back.samples=2"]
    assert run(command) == 2
    assert "give --channel 3 for it" in capsys.readouterr().err
    assert not out.with_suffix(".run").exists()
    assert run([*command, "--channel", "3"]) == 0
    line = (
        "films: 2 sequences, 8 annotated frames, layout groundtruth.txt, coordinates count from 0; "
        "PNG files of 80x60, 8 bit, 1 channel, channel 3 of every pixel; files in the order of the "
        "numbers in their names; read with --channel 3"
    )
    assert capsys.readouterr().err.splitlines()[0] == f"tirtrack: {line}"
    summary = json.loads((tmp_path / "a.run" / "summary.json").read_text())
    assert summary["source_lines"] == [line]
    assert run([*command, "--channel", "0", "--resume"]) == 2
    said = capsys.readouterr().err
    assert "another way of reading frames (was --channel 3, now --channel 0)" in said


def test_a_recording_is_held_back_by_its_name(world, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert run(line(world, out, *SMALL, "--hold-back", "pairs/tak1")) == 2
    assert 'no recording is called "pairs/tak1"; did you mean "pairs/take1"' in (
        capsys.readouterr().err
    )
    assert list(tmp_path.iterdir()) == []
    assert run(line(world, out, *SMALL, "--hold-back", "pairs/take1", "--json")) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["split"] == "whole recordings, as named: pairs/take1"
    again = line(world, out, *SMALL, "--resume")
    assert run(again) == 2
    assert "held-back pairs" in capsys.readouterr().err


def test_options_of_tir_are_said_kept_and_part_of_the_run(world, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert run(line(world, out, *SMALL, "--no-data", "0")) == 0
    (source_line,) = json.loads((tmp_path / "a.run" / "summary.json").read_text())["source_lines"]
    assert source_line == (
        "9 pairs in 3 recordings, images of a video matched by name, RGB 120x90 8 bit, "
        "TIR 120x90 8 bit, TIR read with --no-data 0"
    )
    assert capsys.readouterr().err.splitlines()[0] == f"tirtrack: pairs: {source_line}"
    assert run(line(world, out, *SMALL, "--resume")) == 2
    assert "identity.json: the run was begun with another pairs" in capsys.readouterr().err
    assert run(line(world, out, *SMALL, "--resume", "--no-data", "0")) == 0


# --- TIR alone -----------------------------------------------------------------------------------


def tir_frames(folder, frames):
    """Images ``[90,120]`` of TIR in a folder."""
    folder.mkdir(parents=True)
    for position, image in enumerate(frames):
        Image.fromarray(image).save(folder / f"{position:03d}.png")
    return folder


def walk(frames, dtype=np.uint8):
    """Frames of a bright square that moves over noise."""
    rng = np.random.default_rng(0)
    made = []
    for position in range(frames):
        image = rng.integers(40, 80, (90, 120), dtype=np.uint8).astype(dtype)
        image[30:50, 20 + 4 * position : 40 + 4 * position] = 220
        made.append(image if dtype == np.uint8 else image * 20 + 3000)
    return made


def line_of_tir(world, given, out, *more):
    weights = str(world / "start.safetensors")
    return ["distill", *map(str, given), "--baseline", weights, "--out", str(out), *SMALL, *more]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tir_alone_is_distilled_by_tir_only_and_said_so(world, tmp_path, capsys, dtype):
    given = [tir_frames(tmp_path / name, walk(3, dtype)) for name in ("a", "b", "c")]
    out = tmp_path / "student.safetensors"
    assert run(line_of_tir(world, given, out, "--json")) == 0
    said = capsys.readouterr()
    assert "there is TIR alone, so the recipe is tir_only" in said.err
    assert "a + b + c: 9 TIR frames in 3 recordings" in said.err
    summary = json.loads(said.out)
    assert summary["recipe"] == "tir_only"
    assert summary["samples"]["with_rgb"] == 0
    assert store.read(out).card.training_data[0].role == "unlabelled TIR, recipe tir_only"
    assert (tmp_path / "student.run" / "contact_sheet.png").is_file()


def test_samples_for_which_rgb_counted_are_counted(world, tmp_path, capsys):
    assert run(line(world, tmp_path / "a.safetensors", *SMALL, "--json")) == 0
    counts = json.loads(capsys.readouterr().out)["samples"]
    assert counts["with_rgb"] == counts["usable"] > 0


def test_of_pairs_tir_only_trains_as_of_their_tir_alone(world, tmp_path, use_cache):
    halves = [world / "pairs" / name / "tir" for name in ("take0", "take1", "take2")]
    students = []
    for name, given in (("pairs", [world / "pairs"]), ("halves", halves)):
        use_cache(tmp_path / name)
        out = tmp_path / f"{name}.safetensors"
        assert (
            run(
                line_of_tir(world, given, out, "--recipe", "tir_only", "--set", "held_back.share=0")
            )
            == 0
        )
        students.append(store.read(out))
    assert students[0].card.modality == "tir"
    one, other = (store.network_of(student).state_dict() for student in students)
    assert all((value == other[key]).all() for key, value in one.items())


@pytest.mark.parametrize(
    ("prepare", "more", "says"),
    [
        pytest.param(
            lambda folder: tir_frames(folder, walk(3)),
            ["--recipe", "mixed"],
            'recipe "mixed" needs RGB, and there is TIR alone in walk; give --recipe tir_only',
            id="a recipe that needs RGB",
        ),
        pytest.param(
            lambda folder: tir_frames(
                folder, [np.stack([one, one // 2, one // 3], 2) for one in walk(3)]
            ),
            [],
            "these frames are in colour, so they are not taken for TIR",
            id="RGB alone",
        ),
    ],
)
def test_what_tir_alone_cannot_serve_is_one_sentence_and_two(
    world, tmp_path, capsys, prepare, more, says
):
    given = prepare(tmp_path / "walk")
    assert run(line_of_tir(world, [given], tmp_path / "a.safetensors", *more)) == 2
    error = capsys.readouterr().err.strip()
    assert says in error.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["walk"]


@pytest.mark.parametrize(
    ("more", "asked"),
    [([], 4), (["--set", "tracks.modalities=[tir]"], 2)],
    ids=["proposals", "where tracks begin"],
)
def test_black_tir_ends_with_one_sentence_summary_and_contact_sheet(
    world, tmp_path, capsys, more, asked
):
    given = tir_frames(tmp_path / "night", [np.zeros((90, 120), np.uint8)] * 4)
    assert run(line_of_tir(world, [given], tmp_path / "a.safetensors", *more)) == 1
    (error,) = [one for one in capsys.readouterr().err.splitlines() if "usable" in one]
    said = f"not one usable box in {asked} TIR frames"
    assert said in error
    assert "are they black or constant?" in error
    folder = tmp_path / "a.run"
    assert read_summary(folder).verdict == f"nothing was trained: {said}"
    assert (folder / "contact_sheet.png").is_file()
    assert not (tmp_path / "a.safetensors").exists()


def test_tir_that_stands_still_is_warned_of(world, tmp_path, capsys):
    given = tir_frames(tmp_path / "frozen", walk(1) * 4)
    assert run(line_of_tir(world, [given], tmp_path / "a.safetensors")) == 0
    assert "TIR stands still: frozen; its frames are copies" in capsys.readouterr().err


def test_three_frames_say_that_they_are_few(world, tmp_path, capsys):
    given = tir_frames(tmp_path / "short", walk(3))
    assert run(line_of_tir(world, [given], tmp_path / "a.safetensors")) == 0
    said = capsys.readouterr().err
    assert "too few held-back samples" in said or "nothing can be said" in said
