"""``tirtrack pairs inspect``: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tirtrack.cli.app import run
from tirtrack.files import sha256


@pytest.fixture
def recording(tmp_path) -> Path:
    """Four pairs with one object; neighbours in time."""
    folder = tmp_path / "rig"
    rng = np.random.default_rng(0)
    walls = rng.random((12, 16)).repeat(8, axis=0).repeat(8, axis=1) > 0.6  # which TIR has not
    for name in ("rgb", "tir"):
        (folder / name).mkdir(parents=True)
    for k in range(4):
        tir = rng.normal(70, 3, (96, 128))
        rgb = np.where(walls, 90, 70) + rng.normal(0, 3, tir.shape)
        for frame, name in ((tir, "tir"), (np.repeat(rgb[:, :, None], 3, axis=2), "rgb")):
            frame[40:64, 10 + 8 * k : 26 + 8 * k] = 200
            Image.fromarray(frame.astype(np.uint8)).save(folder / name / f"{k}.png")
    return folder


def test_inspect_writes_sheet_findings_and_manifest(tmp_path, recording, capsys):
    out = tmp_path / "out"
    code = run(["pairs", "inspect", str(recording), "--out", str(out), "--licence", "MIT"])
    printed = capsys.readouterr()
    assert code == 0
    assert "rig: 4 pairs in 1 recording" in printed.out
    assert "4 pairs of a video, 128x96, TIR uint8; offset 0.0 px" in printed.out
    assert "boxes by saliency in 4 pairs" in printed.out
    assert str(out / "contact_sheet.png") in printed.err
    assert sorted(path.name for path in out.iterdir()) == [
        ".tirtrack",
        "contact_sheet.png",
        "inspection.json",
        "manifest.json",
    ]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["licence"] == "MIT"
    assert len(manifest["files"]) == 8
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 700


def test_json_is_one_document_equal_to_the_file(tmp_path, recording, capsys):
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(recording), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / "inspection.json").read_text())


def test_damaged_pairs_are_listed_and_end_with_1(tmp_path, recording, capsys):
    (recording / "tir" / "2.png").write_bytes(b"")
    assert run(["pairs", "inspect", str(recording), "--out", str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "1 of 4 pairs cannot be used" in printed.out
    assert str(recording / "tir" / "2.png") in printed.out
    assert "Traceback" not in printed.err


def test_a_recording_that_cannot_be_used_is_listed_and_the_others_are_inspected(
    tmp_path, recording, capsys
):
    rig = tmp_path / "world"
    rig.mkdir()
    for name in ("wide", "half", "good"):
        shutil.copytree(recording, rig / name)
    for path in (rig / "wide" / "tir").iterdir():
        Image.open(path).crop((0, 0, 128, 50)).save(path)
    shutil.rmtree(rig / "half" / "tir")
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(rig), "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "world: 4 pairs in 1 recording\n  world/good: 4 pairs of a video" in printed
    assert "warning: 2 of 3 recordings cannot be used" in printed
    listed = printed.split("recordings that cannot be used:\n")[1].splitlines()
    assert [line.split(": ")[0] for line in listed] == [
        f"  {rig / 'half'}",
        f"  {rig / 'wide/rgb/0.png'} and {rig / 'wide/tir/0.png'}",
    ]
    assert "RGB is 128x96 and TIR 128x50" in listed[1]
    found = json.loads((out / "inspection.json").read_text())
    assert [line.strip() for line in listed] == found["unusable_recordings"]
    assert len(json.loads((out / "manifest.json").read_text())["files"]) == 8

    baseline = ["--baseline", "nano-rgb", "--out", str(tmp_path / "student.safetensors")]
    assert run(["distill", str(rig), *baseline]) == 2
    assert "holds rgb and no tir" in capsys.readouterr().err
    shutil.rmtree(rig / "good")
    assert run(["pairs", "inspect", str(rig), "--out", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"tirtrack: {rig}: not one of 2 recordings can be used, first ")
    assert said.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n", b"no image"])
def test_a_damaged_first_pair_is_listed_like_any_other(tmp_path, recording, capsys, damage):
    first = recording / "tir" / "0.png"
    first.write_bytes(damage)
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(recording), "--out", str(out), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["pairs"], found["usable_pairs"]) == (4, 3)
    assert [damage["index"] for damage in found["damaged"]] == [0]
    assert found["damaged"][0]["message"].startswith(f"{first}: ")
    assert found["recordings"][0]["tir_depths"] == {"uint8": 3}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_distill_leaves_a_damaged_first_pair_out_and_counts_it(
    tmp_path, recording, capsys, workers
):
    (recording / "tir" / "0.png").write_bytes(b"")
    out = str(tmp_path / "student.safetensors")
    settings = ("pool=4", "training.steps=1", "training.batch=2", "teacher.require=false",
                "held_back.samples=0")  # fmt: skip
    changes = [word for setting in settings for word in ("--set", setting)]
    words = ["distill", str(recording), "--baseline", "nano-rgb", "--out", out, "--json", *changes]
    assert run([*words, "--workers", workers]) == 0
    printed = capsys.readouterr()
    said = json.loads(printed.out)
    assert printed.err.count("pair 0 left out: ") == 1
    assert said["harvest"]["unreadable_pairs"] == 1
    assert said["warnings"][0].startswith("1 of 3 pairs could not be read and were left out")


def test_resume_with_an_edited_box_file_is_refused(tmp_path, recording, capsys):
    boxes, out = tmp_path / "boxes.csv", tmp_path / "student.safetensors"
    rows = [f"rig/{k},tir,{10 + 8 * k},40,16,24,0.9,person" for k in range(4)]
    boxes.write_text("\n".join(["key,modality,x,y,w,h,score,label", *rows]))
    settings = ("pool=4", "training.steps=1", "training.batch=2", "teacher.require=false",
                "held_back.samples=0", "proposals.way=detector",
                f"proposals.options={{boxes: {boxes}}}")  # fmt: skip
    words = ["distill", str(recording), "--baseline", "nano-rgb", "--out", str(out), *(
        word for setting in settings for word in ("--set", setting))]  # fmt: skip
    assert run(words) == 0
    assert run([*words, "--resume"]) == 0
    manifest = json.loads((tmp_path / "student.run" / "manifest.json").read_text())
    assert manifest["proposals"]["reads"] == {"format": "csv", "content": sha256(boxes)}
    before = out.read_bytes()
    boxes.write_text(boxes.read_text().replace("0.9", "0.8"))
    capsys.readouterr()
    assert run([*words, "--resume"]) == 2
    assert "the run was begun with another way of proposing" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_a_recording_that_cannot_be_read_at_all_is_named_and_ends_with_2(
    tmp_path, recording, capsys
):
    for path in (recording / "rgb").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(recording), "--out", str(out)]) == 2
    printed = capsys.readouterr().err.strip()
    assert "rig: not one of its 4 pairs can be read" in printed
    assert str(recording / "rgb" / "0.png") in printed
    assert "\n" not in printed
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["nowhere"], "there is no such folder", id="missing"),
        pytest.param(["rig", "--way", "detector"], "one of them only", id="no boxes"),
        pytest.param(["rig", "--boxes", "b.csv"], 'has no option "boxes"', id="boxes for saliency"),
        pytest.param(["rig", "--way", "magic"], "magic", id="unknown way"),
        pytest.param(["rig", "--pairs", "0"], "greater than or equal to 1", id="no pairs"),
    ],
)
def test_wrong_requests_end_with_2_and_write_nothing(
    tmp_path, recording, capsys, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    assert run(["pairs", "inspect", *words, "--out", "out"]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_kept_without_force(tmp_path, recording, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    assert run(["pairs", "inspect", str(recording), "--out", str(out)]) == 2
    assert "give --force" in capsys.readouterr().err
    assert (out / "mine.txt").read_text() == "keep"
    assert run(["pairs", "inspect", str(recording), "--out", str(out), "--force"]) == 2
    assert "was not made by tirtrack" in capsys.readouterr().err
    assert (out / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize("words", [[""], ["rig", ""], ["  "]], ids=["alone", "second", "blanks"])
@pytest.mark.parametrize("command", [["pairs", "inspect"], ["distill"]], ids=["inspect", "distill"])
def test_an_empty_folder_is_not_the_current_one(
    tmp_path, recording, capsys, monkeypatch, command, words
):
    monkeypatch.chdir(tmp_path)
    assert run([*command, *words, "--out", "out.safetensors"]) == 2
    assert "an empty text names no folder or file" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rig"]


def test_the_current_folder_is_a_dot(tmp_path, recording, monkeypatch):
    monkeypatch.chdir(recording)
    assert run(["pairs", "inspect", ".", "--out", str(tmp_path / "out")]) == 0


def test_names_of_the_cameras_are_given_and_said(tmp_path, recording, capsys):
    (recording / "rgb").rename(recording / "day")
    (recording / "tir").rename(recording / "night")
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(recording), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "--rgb NAME --tir NAME (there are day/, night/)" in said
    words = ["pairs", "inspect", str(recording), "--out", str(out), "--rgb", "day"]
    assert run([*words, "--tir", "night"]) == 0
    assert "  assumed: rig: day/ is RGB, night/ is TIR" in capsys.readouterr().out
    found = json.loads((out / "inspection.json").read_text())
    assert found["assumed"] == ["rig: day/ is RGB, night/ is TIR"]
    assert found["recordings"][0]["assumed"] == "day/ is RGB, night/ is TIR"


def test_distill_takes_what_inspect_takes(tmp_path, recording, capsys):
    (recording / "rgb").rename(recording / "day")
    (recording / "tir").rename(recording / "night")
    settings = ("pool=4", "training.steps=1", "training.batch=2", "teacher.require=false",
                "held_back.samples=0")  # fmt: skip
    changes = [word for setting in settings for word in ("--set", setting)]
    out = str(tmp_path / "student.safetensors")
    words = ["distill", str(recording), "--baseline", "nano-rgb", "--out", out, *changes]
    assert run(words) == 2
    assert "--rgb NAME" in capsys.readouterr().err
    assert run([*words, "--rgb", "day", "--tir", "night", "--delay", "-1"]) == 0
    said = "rig: day/ is RGB, night/ is TIR, TIR taken 1 frame earlier"
    assert capsys.readouterr().err.count(f"assumed: {said}") == 1
    summary = json.loads((tmp_path / "student.run" / "summary.json").read_text())
    assert summary["assumed"] == [said]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--rgb", ""], '--rgb: "" is not a name', id="empty name"),
        pytest.param(["--match", "tim"], 'did you mean "time"?', id="unknown match"),
        pytest.param(["--max-gap", "-1"], "must be above 0 seconds, got -1", id="negative gap"),
        pytest.param(["--match", "time"], '"0" is not a time stamp', id="no stamps"),
        pytest.param(
            ["--delay", "4"], "a delay of 4 frames leaves nothing of 4 pairs", id="long delay"
        ),
    ],
)
def test_wrong_pairing_ends_with_2_and_writes_nothing(tmp_path, recording, capsys, words, message):
    assert run(["pairs", "inspect", str(recording), "--out", str(tmp_path / "out"), *words]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert "\n" not in printed
    assert not (tmp_path / "out").exists()


def test_videos_of_different_rates_are_warned_of_and_paired_by_time(shared, tmp_path, capsys):
    case = str(shared / "cases" / "equal_counts_other_rates")
    out = tmp_path / "out"
    assert run(["pairs", "inspect", case, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "rgb.mp4 has 30 frames/s (0.33 s in all), tir.mp4 has 9 frames/s (1.1 s" in printed
    assert "frame k of one is not the instant of frame k of the other" in printed
    found = json.loads((out / "inspection.json").read_text())
    assert len(found["recordings"][0]["doubts"]["clocks"]) == 1
    assert run(["pairs", "inspect", case, "--out", str(out), "--force", "--match", "time"]) == 0
    printed = capsys.readouterr().out
    assert "rec: 3 pairs of a video" in printed
    assert "matched by time within 0.0167 s, 7 of 10 RGB and 7 of 10 TIR frames left out" in printed
    assert "frames/s" not in printed


def test_pairs_that_disagree_show_their_common_and_their_usual_offset():
    from tirtrack.cli.pairs import _offset
    from tirtrack.pairs.registration import OffsetSummary

    apart = OffsetSummary(9, 9, dx=0.8, dy=-1.6, median_length=4.4, share_within_2px=0.1)
    assert _offset(apart) == "1.8 px (+0.8, -1.6) in the median, 4.4 px in a typical pair"
    common = OffsetSummary(9, 9, dx=3.0, dy=-4.0, median_length=5.0, share_within_2px=0.0)
    assert _offset(common) == "5.0 px (+3.0, -4.0)"


def test_source_is_said_in_one_line_before_work_and_kept(tmp_path, recording, capsys):
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(recording), "--no-data", "0", "--out", str(out)]) == 0
    line = json.loads((out / "inspection.json").read_text())["source_line"]
    assert line == (
        "4 pairs in 1 recording, images of a video matched by name, RGB 128x96 8 bit, "
        "TIR 128x96 8 bit, TIR read with --no-data 0"
    )
    assert capsys.readouterr().err.splitlines()[0] == f"tirtrack: rig: {line}"


def test_inspect_reads_tir_as_asked_for(tmp_path, recording, capsys):
    for path in (recording / "tir").iterdir():
        levels = np.array(Image.open(path))
        levels[:, :32] = 0
        Image.fromarray(np.dstack([levels // 2] * 3 + [levels])).save(path)
    out = ["--out", str(tmp_path / "out")]
    assert run(["pairs", "inspect", str(recording), *out]) == 2
    said = capsys.readouterr().err
    assert "give --channel 3 for it" in said
    assert said.count("\n") == 1
    assert run(["pairs", "inspect", str(recording), *out, "--channel", "3", "--no-data", "0"]) == 0
    assert "25 % of the TIR pixels hold no measurement, in 4 of 4 pairs" in capsys.readouterr().out
    assert run(["pairs", "inspect", str(recording), "--byte-order", "middle"]) == 2
    assert '--byte-order "middle" is unknown; give little or big' in capsys.readouterr().err


def test_an_empty_out_is_no_folder(recording, capsys):
    assert run(["pairs", "inspect", str(recording), "--out", ""]) == 2
    assert "an empty text names no folder or file" in capsys.readouterr().err


def test_a_layout_is_asked_for_by_name(tmp_path, recording, capsys):
    split = tmp_path / "split"
    split.mkdir()
    for k in range(4):
        both = [np.asarray(Image.open(recording / side / f"{k}.png")) for side in ("rgb", "tir")]
        whole = np.concatenate([both[0], np.repeat(both[1][:, :, None], 3, axis=2)], axis=0)
        Image.fromarray(whole).save(split / f"{k}.png")
    words = ["--layout", "stacked", "--out", str(tmp_path / "out")]
    assert run(["pairs", "inspect", str(split), *words]) == 0
    printed = capsys.readouterr()
    assert "stacked, images of a video, RGB 128x96 8 bit" in printed.err
    assert "assumed: split: top half is RGB, bottom half is TIR" in printed.out
    found = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert found["recordings"][0]["description"][0] == "stacked, images of a video"


@pytest.mark.parametrize("verb", ["inspect", "distill"])
@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("kais", 'no layout is called "kais"; known are kaist, flir-adas-v1'),
        ("kaist", "nothing here or below is laid out as kaist; looked for setNN/VNNN/visible"),
    ],
)
def test_a_wrong_layout_ends_with_2_and_writes_nothing(
    tmp_path, recording, capsys, verb, layout, message
):
    words = ["pairs", "inspect"] if verb == "inspect" else ["distill"]
    out = tmp_path / "out.safetensors"
    assert run([*words, str(recording), "--layout", layout, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["rig"]


def test_recordings_of_different_layouts_each_say_theirs(tmp_path, recording, capsys):
    root = tmp_path / "all"
    shutil.move(recording, root / "a")
    shutil.copytree(root / "a", root / "set00" / "V000")
    for old, new in (("rgb", "visible"), ("tir", "lwir")):
        (root / "set00" / "V000" / old).rename(root / "set00" / "V000" / new)
    assert run(["pairs", "inspect", str(root), "--out", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith("; images of a video matched by name")
    assert lines[2].endswith("; KAIST, images of a video matched by name")


def test_the_maker_of_the_camera_is_said_where_its_files_name_it(tmp_path, shared, capsys):
    for modality in ("rgb", "tir"):
        (tmp_path / "a" / modality).mkdir(parents=True)
    content = (shared / "data/pairs/odd/flir_radiometric_e40.jpg").read_bytes()
    (tmp_path / "a/tir/x.jpg").write_bytes(content)
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(tmp_path / "a/rgb/x.png")
    assert run(["pairs", "inspect", str(tmp_path / "a"), "--out", str(tmp_path / "out")]) == 0
    assert "TIR 160x120 16 bit (camera FLIR" in capsys.readouterr().err


# --- registration ---------------------------------------------------------------------------------


@pytest.fixture
def moved(tmp_path) -> Path:
    """Six pairs of boxes and discs; TIR lies 10 px to the left of RGB and 6 px above it."""
    folder = tmp_path / "moved"
    for k in range(6):
        rng = np.random.default_rng(k)
        world = np.full((240, 300), 90.0)
        rows, columns = np.mgrid[:240, :300]
        for _ in range(60):
            x, y, w, h = *rng.uniform(0, 300, 2), *rng.uniform(8, 50, 2)
            world[(np.abs(columns - x) < w / 2) & (np.abs(rows - y) < h / 2)] = rng.uniform(0, 255)
        rgb = np.repeat(world[20:-20, 20:-20, None], 3, axis=2).astype(np.uint8)
        tir = (255 - 0.8 * world[26:-14, 30:-10] + rng.normal(0, 2, (200, 260))).clip(0, 255)
        for name, image in (("rgb", rgb), ("tir", tir.astype(np.uint8))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"{'abcdef'[k]}.png")
    return folder


def test_register_writes_a_rig_that_the_other_commands_take(tmp_path, moved, capsys):
    rig, out = tmp_path / "rig.json", tmp_path / "out"
    assert run(["pairs", "register", str(moved), "--out", str(rig)]) == 0
    printed = capsys.readouterr()
    assert "6 pairs: TIR moved by 11." in printed.out
    assert "+10.0 right, +6.0 down" in printed.out
    assert str(rig) in printed.err
    stored = json.loads(rig.read_text())
    assert np.array(stored["tir_from_rgb"])[:2, 2] == pytest.approx([-10, -6], abs=1.0)

    asked = ["--rig", str(rig)]
    assert run(["pairs", "inspect", str(moved), *asked, "--out", str(out)]) == 0
    assert "offset 0." in capsys.readouterr().out
    assert run(["pairs", "mine", str(moved), *asked, "--out", str(tmp_path / "shards")]) == 0
    assert run(["pairs", "inspect", str(tmp_path / "shards"), "--out", str(tmp_path / "s")]) == 0
    assert "offset 0." in capsys.readouterr().out


def test_register_prints_the_file_as_json(tmp_path, moved, capsys):
    rig = tmp_path / "rig.json"
    assert run(["pairs", "register", str(moved), "--out", str(rig), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(rig.read_text())


SHORT = ("pool=4", "training.steps=1", "training.batch=2", "teacher.require=false",
         "held_back.samples=0")  # fmt: skip


def test_distill_registers_pairs_that_lie_apart_and_says_so(tmp_path, moved, capsys):
    def summary(name: str, *more: str) -> dict:
        changes = [word for setting in SHORT for word in ("--set", setting)]
        words = ["distill", str(moved), "--out", str(tmp_path / f"{name}.safetensors"), *changes]
        assert run([*words, *more]) == 0
        return json.loads((tmp_path / f"{name}.run" / "summary.json").read_text())

    (said,) = summary("asked")["registered"]
    assert said.startswith("moved: registered, TIR moved by ")
    assert said in capsys.readouterr().err
    assert summary("off", "--set", "registration=off")["registered"] == []
    rig = str(tmp_path / "rig.json")
    assert run(["pairs", "register", str(moved), "--out", rig]) == 0
    with_rig = summary("rig", "--rig", rig)
    assert with_rig["registered"] == []
    assert (
        len(
            {one["fingerprint"] for one in (with_rig, summary("off2", "--set", "registration=off"))}
        )
        == 2
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "there is no such file", id="missing"),
        pytest.param("{", "is no rig", id="cut short"),
        pytest.param(
            '{"rgb_wh": [9, 9], "tir_wh": [9, 9], "tir_from_rgb": [[1,0,0],[0,1,0],[0,0,1]]}',
            "the rig has RGB 9x9 and TIR 9x9",
            id="of another rig",
        ),
        pytest.param(
            '{"rgb_wh": [260, 200], "tir_wh": [260, 200], "score": 0.1, '
            '"tir_from_rgb": [[1,0,0],[0,1,0],[0,0,1]]}',
            "its score is 0.10",
            id="not trusted",
        ),
    ],
)
@pytest.mark.parametrize("command", ["inspect", "mine"])
def test_a_rig_that_cannot_be_used_ends_with_2(tmp_path, moved, capsys, command, content, said):
    rig = tmp_path / "rig.json"
    if content is not None:
        rig.write_text(content)
    out = tmp_path / "out"
    assert run(["pairs", command, str(moved), "--rig", str(rig), "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_unrelated_pictures_are_not_registered(tmp_path, moved, capsys):
    rng = np.random.default_rng(0)
    for file in (moved / "tir").iterdir():
        Image.fromarray(rng.integers(0, 255, (200, 260), dtype=np.uint8)).save(file)
    rig = tmp_path / "rig.json"
    assert run(["pairs", "register", str(moved), "--out", str(rig)]) == 2
    assert "no map from RGB to TIR can be trusted" in capsys.readouterr().err
    assert not rig.exists()
