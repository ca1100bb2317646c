"""A rig whose TIR is late: found from folders, and used wherever pairs are opened."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from rigs import MARGIN, matrix, pictures, scene, write_recording
from same_pairs import assert_same_pairs

from tirtrack.cli.app import run
from tirtrack.errors import PairsError
from tirtrack.pairs import Pairing, mine_pairs, open_pairs, read_rig, register_pairs, registering
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.one_grid import as_tir
from tirtrack.pairs.rig import Rig, TimeOffset
from tirtrack.pairs.source import content_identity
from tirtrack.pairs.time_offset import common_time_offset
from tirtrack.resampling import resampled_at
from tirtrack.video_writer import VideoWriter

WIDE = (160, 120)
LATE = 3.4
SCENE = scene(0, WIDE)


def view(instant: float) -> np.ndarray:
    """What a camera that shakes sees of the scene, ``[H,W]``."""
    shift = [9 * np.sin(instant / 7) + 5 * np.sin(instant / 17), 4 * np.sin(instant / 11 + 1)]
    x, y = np.meshgrid(np.arange(WIDE[0]) + 0.5, np.arange(WIDE[1]) + 0.5)
    return resampled_at(SCENE, np.stack([x, y], axis=-1) + MARGIN + shift, None)


@pytest.fixture(scope="module")
def late(tmp_path_factory) -> Path:
    """A recording of 80 images of each camera whose TIR is 3.4 frames late."""
    folder = tmp_path_factory.mktemp("late") / "rig"
    for k in range(80):
        tir = 128 + 90 * np.sin(view(k - LATE) / 255 * np.pi * 1.5 + 1)
        for name, image in (("rgb", np.repeat(view(k)[..., None], 3, axis=2)), ("tir", tir)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
                folder / name / f"{k:06d}.png"
            )
    return folder


def rig_of(time: TimeOffset | None, size_wh: tuple[int, int] = (128, 96)) -> Rig:
    rows = matrix(rgb_wh=size_wh, tir_wh=size_wh).tolist()
    return Rig.model_validate(
        {"rgb_wh": size_wh, "tir_wh": size_wh, "tir_from_rgb": rows, "time": time}
    )


TWO = rig_of(TimeOffset(frames=2.3))


def test_register_finds_the_offset_and_inspect_says_it(late, tmp_path, capsys):
    assert run(["pairs", "register", str(late), "--out", str(tmp_path / "rig.json")]) == 0
    assert "TIR 3.4 frames late (error 0.0" in capsys.readouterr().out
    rig = read_rig(tmp_path / "rig.json")
    assert rig.time is not None
    assert rig.time.frames == pytest.approx(LATE, abs=0.25)
    assert rig.offset_px < 1.0, "the map is of frames of one instant"
    source = open_pairs(late, pairing=Pairing(rig=rig))
    assert len(source) == 80 - 3
    stored = np.asarray(Image.open(late / "tir" / "000003.png"))
    assert_array_equal(source.takes[0].read(0)[1], stored)
    before, after = inspect_pairs(late), inspect_pairs(late, pairing=Pairing(rig=rig))
    assert before.recordings[0].time is not None
    assert before.recordings[0].time.frames == pytest.approx(LATE, abs=0.25)
    assert after.recordings[0].time is not None
    assert after.recordings[0].time.frames == pytest.approx(LATE - 3, abs=0.25)
    assert [one for one in before.warnings if "not of one instant" in one]
    assert not [one for one in after.warnings if "not of one instant" in one]


def test_a_delay_that_was_given_stands_in_the_rig(late, tmp_path):
    rig = register_pairs(late, tmp_path / "rig.json", pairing=Pairing(delay_frames=5))
    assert rig.time is not None
    assert rig.time.frames == pytest.approx(LATE, abs=0.25)
    by_rig = open_pairs(late, pairing=Pairing(rig=read_rig(tmp_path / "rig.json"))).takes[0]
    by_delay = open_pairs(late, pairing=Pairing(delay_frames=3)).takes[0]
    assert by_rig.files() == by_delay.files()
    assert by_rig.keys == by_delay.keys


def standing(folder: Path, stems: str) -> Path:
    """A recording of one picture again and again."""
    both = pictures(matrix())
    for name, image in (("rgb", both.rgb), ("tir", both.tir)):
        (folder / name).mkdir(parents=True)
        for stem in stems:
            Image.fromarray(image).save(folder / name / f"{stem}.png")
    return folder


@pytest.mark.parametrize("delay", [4, -3])
def test_a_delay_stands_in_the_rig_where_no_offset_can_be_told(tmp_path, capsys, delay):
    still, file = standing(tmp_path / "a", "01234567"), tmp_path / "rig.json"
    assert run(["pairs", "register", str(still), "--delay", str(delay), "--out", str(file)]) == 0
    said = f"TIR {abs(delay)}.0 frames {'late' if delay > 0 else 'early'} (as given)"
    assert said in capsys.readouterr().out
    by_rig = open_pairs(still, pairing=Pairing(rig=read_rig(file))).takes[0]
    assert by_rig.files() == open_pairs(still, pairing=Pairing(delay_frames=delay)).takes[0].files()


def test_a_delay_of_stills_is_not_the_rigs(tmp_path):
    stills = standing(tmp_path / "a", "acfx")
    rig = register_pairs(stills, tmp_path / "rig.json", pairing=Pairing(delay_frames=1))
    assert rig.time is None


def test_an_offset_stays_where_registered_pairs_tell_none(tmp_path, monkeypatch):
    """Registered, TIR may show too little that moves."""
    told = iter([TimeOffset(frames=2.3, measures=2), None])
    monkeypatch.setattr(registering, "common_time_offset", lambda _: next(told))
    far = write_recording(tmp_path / "a", matrix(1.1, (12.0, -9.0)), 6)
    rig = register_pairs(far, tmp_path / "rig.json")
    assert rig.time == TimeOffset(frames=2.3, measures=2)
    assert not list(told), "both were asked"


@pytest.mark.parametrize(("stems", "asks"), [("1234", True), ("acfx", False)])
def test_without_a_map_and_an_offset_videos_may_be_late(tmp_path, write_images, stems, asks):
    folder = write_images(tmp_path / "v", [*stems])
    for file in (folder / "tir").iterdir():
        Image.fromarray(np.full_like(np.asarray(Image.open(file)), 90)).save(file)
    with pytest.raises(PairsError, match="no map from RGB to TIR can be trusted") as caught:
        register_pairs(folder, tmp_path / "rig.json")
    assert ("say with --delay how late TIR is" in str(caught.value)) is asks


def test_stills_and_tir_alone_are_not_moved(tmp_path, write_images):
    stills = write_images(tmp_path / "s", ["a", "c", "f", "x"])
    assert len(open_pairs(stills, pairing=Pairing(rig=TWO))) == 4
    video = write_images(tmp_path / "v", ["1", "2", "3", "4"])
    assert len(open_pairs(video, pairing=Pairing(rig=TWO))) == 2
    assert len(open_pairs(video, pairing=Pairing(rig=TWO, tir_alone=True))) == 4


def test_videos_are_moved_too_and_it_is_part_of_what_the_pairs_are(tmp_path, write_videos):
    plain = open_pairs(write_videos(tmp_path, 9, 9))
    moved = open_pairs(tmp_path, pairing=Pairing(rig=TWO))
    assert moved.takes[0].places == tuple((k, k + 2) for k in range(7))
    assert "by the rig TIR taken 2.3 frames later" in moved.takes[0].assumed
    identities = [content_identity(one, one.manifest()) for one in (plain, moved)]
    assert identities[0] != identities[1]


@pytest.mark.parametrize(("rgb_frames", "tir_frames"), [(12, 9), (9, 12)])
def test_videos_of_other_lengths_are_late_once_time_has_paired_them(
    tmp_path, write_videos, rgb_frames, tir_frames
):
    write_videos(tmp_path, rgb_frames, tir_frames)
    with pytest.raises(PairsError, match="pair them by time with --match time"):
        open_pairs(tmp_path, pairing=Pairing(rig=TWO))
    for late in (Pairing(match="time", rig=TWO), Pairing(match="time", delay_frames=2)):
        assert open_pairs(tmp_path, pairing=late).takes[0].places == tuple(
            (k, k + 2) for k in range(7)
        )


@pytest.mark.parametrize("kind", ["images", "videos", "split"])
def test_shards_hold_what_the_rig_paired(tmp_path, write_images, write_videos, kind):
    place, rig, layout = tmp_path / "v", TWO, None
    place.mkdir()
    if kind == "images":
        write_images(place, [f"{k:03d}" for k in range(8)])
    elif kind == "videos":
        write_videos(place, 8, 8)
    else:
        layout, rig = "stacked", rig_of(TimeOffset(frames=2.3), (64, 48))
        with VideoWriter(place / "both.mp4", 10) as writer:
            for k in range(8):
                writer.write(np.full((96, 64, 3), 20 + 20 * k, np.uint8))
    pairing = Pairing(rig=rig, layout=layout)
    mine_pairs(place, tmp_path / "out", pairing=pairing)
    folder, shards = open_pairs(place, pairing=pairing), open_pairs(tmp_path / "out")
    assert len(folder) == 6
    assert_same_pairs(folder, shards)
    alone = open_pairs(tmp_path / "out", pairing=Pairing(tir_alone=True))
    assert len(alone) == 6
    for index in range(6):
        assert_array_equal(alone[index].tir, as_tir(folder.takes[0].read(index)[1], ""))


@pytest.mark.parametrize("delay", [None, 3, 0])
@pytest.mark.parametrize("kind", ["images", "videos"])
def test_a_delay_replaces_that_of_a_rig_and_shards_keep_it(
    tmp_path, write_images, write_videos, kind, delay
):
    place = tmp_path / "v"
    place.mkdir()
    if kind == "images":
        write_images(place, [f"{k:03d}" for k in range(9)])
    else:
        write_videos(place, 9, 9)
    late = 2 if delay is None else delay
    folder = open_pairs(place, pairing=Pairing(delay_frames=delay, rig=TWO))
    assert len(folder) == 9 - late
    (recording,) = folder.recordings().values()
    assert recording.delay_frames == late
    assert ("not 2.3 frames later as in the rig" in recording.assumed) is (delay is not None)
    stored = open_pairs(place, pairing=Pairing(delay_frames=late)).takes[0]
    for position in range(len(folder)):
        assert_array_equal(folder.takes[0].read(position)[1], stored.read(position)[1])
    mine_pairs(place, tmp_path / "out", pairing=Pairing(delay_frames=delay, rig=TWO))
    assert_same_pairs(folder, open_pairs(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["images", "videos", "split"])
def test_shards_in_which_a_delay_was_added_to_that_of_the_rig(
    tmp_path, write_images, write_videos, kind
):
    """As they were before a delay replaced it: of images the files still are the pairs."""
    place, out, layout, wh = tmp_path / "v", tmp_path / "out", None, (128, 96)
    place.mkdir()
    if kind == "images":
        write_images(place, [f"{k:03d}" for k in range(9)])
    elif kind == "videos":
        write_videos(place, 9, 9)
    else:
        layout, wh = "stacked", (64, 48)
        with VideoWriter(place / "both.mp4", 10) as writer:
            for k in range(9):
                writer.write(np.full((96, 64, 3), 20 + 20 * k, np.uint8))
    mined = Pairing(rig=rig_of(TimeOffset(frames=2.3), wh), layout=layout)
    mine_pairs(place, out, pairing=mined)
    before = [open_pairs(out)[index].tir for index in range(7)]
    index = json.loads((out / "index.json").read_text())
    index["recordings"][0]["pairing"]["delay_frames"] = 1
    (out / "index.json").write_text(json.dumps(index))
    alone = Pairing(tir_alone=True)
    if kind != "images":
        with pytest.raises(
            PairsError, match=r"added --delay 1 to the time .* mine the pairs again"
        ):
            open_pairs(out)
    if kind == "split":
        with pytest.raises(PairsError, match="mined by an earlier version"):
            open_pairs(out, pairing=alone)
        return
    assert len(open_pairs(out, pairing=alone)) == 7
    if kind == "images":
        source = open_pairs(out)
        assert next(iter(source.recordings().values())).delay_frames == 1 + 2
        for position, tir in enumerate(before):
            assert_array_equal(source[position].tir, tir)


def test_of_a_rig_that_drifts_no_constant_delay_is_known(tmp_path, write_images):
    folder = write_images(tmp_path / "v", [f"{k:03d}" for k in range(9)])
    drifting = rig_of(TimeOffset(frames=2.3, drift_per_1000=0.4))
    known = [
        open_pairs(folder, pairing=pairing).recordings()["v"].delay_frames
        for pairing in (
            Pairing(rig=TWO),
            Pairing(rig=drifting),
            Pairing(rig=drifting, delay_frames=3),
        )
    ]
    assert known == [2, None, 3]
    stills = write_images(tmp_path / "s", ["a", "c", "f", "x"])
    assert open_pairs(stills, pairing=Pairing(rig=drifting)).recordings()["s"].delay_frames == 0


def test_a_script_that_repeats_the_delay_of_its_rig_counts_it_once(tmp_path, capsys):
    still, file = standing(tmp_path / "a", "0123456789"), str(tmp_path / "rig.json")
    assert run(["pairs", "register", str(still), "--delay", "3", "--out", file]) == 0
    words = ["pairs", "inspect", str(still), "--rig", file, "--out"]
    for name, more in (("by_rig", []), ("twice", ["--delay", "3"]), ("other", ["--delay", "1"])):
        capsys.readouterr()
        assert run([*words, str(tmp_path / name), *more]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert ("TIR taken 1 frame later, not 3 frames later as in the rig" in printed) is (
            name == "other"
        )
        inspected = json.loads((tmp_path / name / "inspection.json").read_text())
        assert inspected["pairs"] == (9 if name == "other" else 7)


def test_tir_frames_that_another_rig_chose_are_other_content(tmp_path):
    """Where one video holds both cameras, the file is the same and the number of frames too."""
    place = tmp_path / "v"
    place.mkdir()
    with VideoWriter(place / "both.mp4", 10) as writer:
        for k in range(8):
            writer.write(np.full((96, 64, 3), 20 + 20 * k, np.uint8))
    sources = []
    for frames in (2.0, -2.0):
        out = tmp_path / f"{frames:+}"
        rig = rig_of(TimeOffset(frames=frames), (64, 48))
        mine_pairs(place, out, pairing=Pairing(rig=rig, layout="stacked"))
        sources.append(open_pairs(out, pairing=Pairing(tir_alone=True)))
    assert sources[0][0].tir.mean() > sources[1][0].tir.mean() + 30
    identities = [content_identity(one, one.manifest()) for one in sources]
    assert identities[0] != identities[1]


def test_what_is_paired_already_is_not_paired_again(tmp_path, write_images):
    folder = write_images(tmp_path / "v", ["1", "2", "3", "4"])
    mine_pairs(folder, tmp_path / "out")
    for opened in (tmp_path / "out", open_pairs(folder), open_pairs(tmp_path / "out")):
        with pytest.raises(PairsError, match=r"paired already, .* TIR taken 2\.3 frames later"):
            open_pairs(opened, pairing=Pairing(rig=TWO))
        near = rig_of(TimeOffset(frames=0.2))
        assert len(open_pairs(opened, pairing=Pairing(rig=near))) == 4


def test_a_damaged_pair_does_not_hide_the_offset(late, tmp_path):
    copy = tmp_path / "rig"
    for file in late.rglob("*.png"):
        (copy / file.parent.name).mkdir(parents=True, exist_ok=True)
        (copy / file.parent.name / file.name).write_bytes(file.read_bytes())
    (copy / "tir" / "000040.png").write_bytes(b"no picture")
    time = common_time_offset(open_pairs(copy))
    assert time is not None
    assert time.frames == pytest.approx(LATE, abs=0.25)
    for k in range(30, 50):
        (copy / "tir" / f"{k:06d}.png").write_bytes(b"no picture")
    assert common_time_offset(open_pairs(copy)) is None
