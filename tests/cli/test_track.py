"""``tirtrack track`` as a user meets it: files, words, exit codes, and Ctrl-C."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tirtrack.cli.app import run
from tirtrack.media import VideoWriter, count_frames, read_image
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

BARE = {
    key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")
} | {"PATH": ""}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker with random weights: what it finds is no matter here."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    card = Card(name="random", architecture="nanotrack-v3", modality="tir", licence="Apache-2.0")
    store.write(path, registry.build("nanotrack-v3", seed=4).eval(), card)
    return path


def scene(index: int) -> np.ndarray:
    image = np.random.default_rng([7, index]).integers(60, 90, (96, 128), dtype=np.uint8)
    image[40:52, 30 + index % 60 : 46 + index % 60] = 210
    return image


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with VideoWriter(tmp_path / "night.mp4", 10) as video:
        for k in range(12):
            video.write(scene(k))
    return Path("night.mp4")


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "boxes.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_box_given_tracks_to_the_end_and_prints_where_it_is(clip, weights, capsys):
    assert run(["track", str(clip), "--box", "30,40,16,12", "--weights", str(weights)]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].startswith("12 frames: ")
    assert printed.out.splitlines()[1:] == [
        "runs/track-night/boxes.csv",
        "runs/track-night/track.mp4",
    ]
    assert len(rows_of(Path("runs/track-night"))) == 12
    assert count_frames("runs/track-night/track.mp4") == 12


def test_without_a_box_a_picture_is_written_and_the_next_command_named(clip, weights, capsys):
    line = ["track", str(clip), "--weights", str(weights), "--start", "2"]
    assert run(line) == 0
    printed = capsys.readouterr()
    picture = Path("runs/track-night-first-frame.png")
    assert printed.out.splitlines()[-1] == str(picture)
    assert read_image(picture).shape[1] > 640
    assert not Path("runs/track-night").exists()
    hint = next(line for line in printed.err.splitlines() if "--pick N" in line)
    assert shlex.split(hint)[:7] == [
        "tirtrack", "track", "night.mp4", "--start", "2", "--weights", str(weights),
    ]  # fmt: skip
    x, y, w, h = (float(word) for word in printed.out.splitlines()[1].split()[1:5])
    assert abs(x + w / 2 - 40) < 4
    assert abs(y + h / 2 - 46) < 4
    assert run([*line, "--pick", "1", "--no-video"]) == 0
    first = rows_of(Path("runs/track-night"))[0]
    assert (first["frame"], float(first["x"]), float(first["h"])) == ("2", x, h)
    assert not Path("runs/track-night/track.mp4").exists()


def test_json_is_one_document_in_both_cases(clip, weights, capsys):
    assert run(["track", str(clip), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["proposals"][0]["number"] == 1
    assert Path(seen["picture"]).is_file()
    box = ",".join(str(value) for value in seen["proposals"][0]["box"])
    line = ["track", str(clip), "--box", box, "--weights", str(weights), "--json", "--no-video"]
    assert run(line) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary == json.loads(Path("runs/track-night/summary.json").read_text())
    assert summary["frames"] == 12


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["gone.mp4", "--box", "1,2,3,4"], 2, "gone.mp4: no such file or folder"),
        (["gone.mp4"], 2, "gone.mp4: no such file or folder"),
        (["night.mp4", "--box", "1,2,3"], 2, '--box "1,2,3" is not four numbers; write it as'),
        (["night.mp4", "--box", "a,2,3,4"], 2, '--box "a,2,3,4" is not four numbers'),
        (["night.mp4", "--box", "1,2,nan,4"], 2, "has a number that is not finite"),
        (["night.mp4", "--box", "900,2,3,4"], 2, "lies 100% outside the frame of 128x96"),
        (["night.mp4", "--box", "1,2,3,4", "--pick", "1"], 2, "--box and --pick both name"),
        (["night.mp4", "--pick", "1", "--pick", "2"], 2, "--pick was given 2 times; for several"),
        (["night.mp4", "--pick", "99"], 2, "no proposal has the number 99; give 1 to"),
        (
            ["night.mp4", "--box", "1,2,3,4", "--engine", "vino"],
            2,
            'no engine is called "vino"; did',
        ),
        (["night.mp4", "--start", "12"], 2, "night.mp4: there is no frame 12"),
        (["empty"], 2, "empty: no images in the folder"),
        (["sound.xyz"], 2, "neither a video nor an image by its name"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_request_is_one_sentence_with_exit_code_2(
    clip, weights, capsys, words, code, message
):
    Path("empty").mkdir()
    Path("sound.xyz").write_bytes(b"\x1f\x8b")
    assert run(["track", *words, "--weights", str(weights)]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not Path("runs").exists()


def test_earlier_results_are_kept_without_force(clip, weights, capsys):
    line = ["track", str(clip), "--box", "30,40,16,12", "--weights", str(weights), "--no-video"]
    assert run(line) == 0
    assert run(line) == 2
    assert "runs/track-night: exists already; choose another --out" in capsys.readouterr().err
    assert run([*line, "--force", "--end", "5"]) == 0
    assert len(rows_of(Path("runs/track-night"))) == 5


def bare_process(words: list[str], **more) -> subprocess.CompletedProcess[str]:
    """The command in a process without display and with an empty PATH."""
    return subprocess.run(
        [sys.executable, "-c", "from tirtrack.cli import main; main()", *words],
        env=BARE, capture_output=True, text=True, timeout=300, check=False, **more,
    )  # fmt: skip


def test_no_display_and_no_path_are_needed(clip, weights):
    for more in ([], ["--pick", "1"]):
        done = bare_process(["track", str(clip), "--weights", str(weights), *more])
        assert done.returncode == 0, done.stderr
    assert count_frames("runs/track-night/track.mp4") == 12


def test_stream_that_breaks_off_ends_with_1_one_sentence_and_the_frames_so_far(clip, weights):
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 2 // 3])
    done = bare_process(["track", str(clip), "--box", "30,40,16,12", "--weights", str(weights)])
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    count = len(rows_of(Path("runs/track-night")))
    assert 0 < count < 12
    assert last.startswith(f"tirtrack: night.mp4, frame {count}: the video ends early (after ")
    assert last.endswith(f"{count} frames were tracked and are in runs/track-night")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("damaged", "count"), [([3], "1 frame is damaged: "), ([3, 4], "2 frames are damaged, first: ")]
)
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_damaged_frames_are_counted_on_stderr_and_end_with_1(
    tmp_path, weights, damaged, count, more
):
    folder = tmp_path / "night"
    folder.mkdir()
    for k in range(6):
        tifffile.imwrite(folder / f"{k}.tiff", scene(k))
    for k in damaged:
        (folder / f"{k}.tiff").write_bytes((folder / f"{k}.tiff").read_bytes()[:200])
    done = bare_process(
        ["track", str(folder), "--box", "30,40,16,12", "--weights", str(weights), "--no-video",
         *more],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    usual = ("track 6/6 in ", "tirtrack: night: 6 TIFF files")
    said = [line for line in done.stderr.splitlines() if not line.startswith(usual)]
    assert len(said) == 1, done.stderr
    assert said[0].startswith(f"tirtrack: {count}{folder / '3.tiff'}: ")
    assert len(rows_of(tmp_path / "runs/track-night")) == 6


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video that is tracked for longer than it takes to stop."""
    path = tmp_path_factory.mktemp("clip") / "long.mp4"
    with VideoWriter(path, 30) as writer:
        for k in range(1000):
            writer.write(scene(k))
    return path


@pytest.mark.parametrize("video", [True, False], ids=["with video", "boxes only"])
def test_ctrl_c_ends_with_130_and_outputs_complete_to_that_frame(
    tmp_path, long_clip, weights, video
):
    words = ["track", str(long_clip), "--box", "30,40,16,12", "--weights", str(weights)]
    words += [] if video else ["--no-video"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from tirtrack.cli import main; main()", *words],
        cwd=tmp_path, env=BARE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out = tmp_path / "runs/track-long"
    while process.poll() is None and not _has_rows(out / "boxes.partial.csv"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    rows = rows_of(out)
    assert 100 <= len(rows) < 1000
    assert [int(row["frame"]) for row in rows] == list(range(len(rows)))
    assert json.loads((out / "summary.json").read_text())["ending"] == "interrupted"
    assert json.loads((out / "summary.json").read_text())["frames"] == len(rows)
    if video:
        assert count_frames(out / "track.mp4") == len(rows)
    assert said.splitlines()[-1] == (
        f"tirtrack: interrupted; {len(rows)} frames were tracked, see runs/track-long"
    )
    assert printed.startswith(f"{len(rows)} frames: ")
    assert "Traceback" not in said
    left = {path.name for path in out.iterdir()} - {".tirtrack"}
    assert left == {"boxes.csv", "summary.json"} | ({"track.mp4"} if video else set())


def _has_rows(path: Path) -> bool:
    """Whether the first hundred rows have reached the disk."""
    try:
        return path.stat().st_size > 1000
    except FileNotFoundError:
        return False


def test_second_interrupt_is_not_caught():
    from tirtrack.cli import track as module

    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with module._first_interrupt() as stop:
            assert not stop()
            signal.raise_signal(signal.SIGINT)
            assert stop()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


def test_several_boxes_are_several_targets(clip, weights, capsys):
    two = ["--box", "van=30,40,16,12", "--box", "hut=80,20,24,20"]
    assert run(["track", str(clip), *two, "--weights", str(weights), "--out", "two"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("12 frames, 2 targets: ")
    assert printed[1:] == ["two/boxes.csv", "two/track.mp4", "two/tracks.txt"]
    assert [row["target"] for row in rows_of(Path("two"))] == ["van", "hut"] * 12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "1,2,3,4", "--box", "b=1,2,3,4"], '"1,2,3,4" has no name; write it as NAME='),
        (["--box", "a=1,2,3,4", "--box", "a=5,6,7,8"], 'names "a" twice'),
        (["--box", "a=1,2,3"], '"1,2,3" is not four numbers'),
        (["--box", "1,2,3,4", "--policy", "newest"], 'no policy is called "newest"'),
    ],
)
def test_boxes_and_policies_that_cannot_be_are_refused(clip, capsys, options, message):
    assert run(["track", str(clip), *options, "--out", "none"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("none").exists()


def test_a_live_run_says_what_it_left_out(clip, weights, capsys):
    live = ["--policy", "latest", "--no-redetect", "--no-video", "--out", "live"]
    box = ["--box", "30,40,16,12", "--weights", str(weights)]
    assert run(["track", str(clip), *box, *live]) == 0
    assert "frames left out" in capsys.readouterr().out
    assert json.loads(Path("live/summary.json").read_text())["redetect"] is False


def celsius_clip(path: Path, border: float) -> Path:
    frames = np.stack([scene(k) for k in range(4)]).astype(np.float32) / 10
    frames[:, :, :12] = border
    tifffile.imwrite(path, frames, photometric="minisblack")
    return path


@pytest.mark.parametrize(
    ("border", "options", "said"),
    [
        (
            np.nan,
            [],
            ["frame 0: 9 % of the pixels hold no measurement (value nan) and are left out"],
        ),
        (
            -40.0,
            [],
            [
                "9 % of the pixels of the first frame are exactly -40; if they "
                "hold no measurement, give --no-data -40"
            ],
        ),
        (
            -40.0,
            ["--no-data", "-40"],
            ["frame 0: 9 % of the pixels hold no measurement (value -40) and are left out"],
        ),
        (
            1234567936.0,
            [],
            [
                "9 % of the pixels of the first frame are exactly 1234567936; if "
                "they hold no measurement, give --no-data 1234567936"
            ],
        ),
        (
            1234567936.0,
            ["--no-data", "1234567936"],
            ["frame 0: 9 % of the pixels hold no measurement (value 1.23457e+09) and are left out"],
        ),
    ],
    ids=["masked", "cannot be known", "named", "many digits", "as the advice names it"],
)
def test_pixels_without_measurement_are_told_of_once_on_stderr(
    clip, weights, capsys, border, options, said
):
    source = celsius_clip(Path("celsius.tif"), border)
    asked = ["track", str(source), "--box", "30,40,16,12", "--weights", str(weights), *options]
    assert run([*asked, "--json", "--no-video"]) == 0
    printed = capsys.readouterr()
    json.loads(printed.out)
    lines = [line for line in printed.err.splitlines() if "of the pixels" in line]
    assert lines == [f"tirtrack: {sentence}" for sentence in said]


def test_of_8_bits_nothing_is_masked_and_nothing_doubted(clip, weights, capsys):
    with VideoWriter("black_border.mp4", 10) as video:
        for k in range(4):
            video.write(np.where(np.arange(128) < 12, np.uint8(0), scene(k)))
    asked = ["track", "black_border.mp4", "--box", "30,40,16,12", "--weights", str(weights)]
    assert run([*asked, "--no-video"]) == 0
    assert "measurement" not in capsys.readouterr().err


def test_value_that_no_pixel_has_is_told_of(clip, weights, capsys):
    source = celsius_clip(Path("celsius.tif"), np.nan)
    black = celsius_clip(Path("zero.tif"), 20.0)
    asked = ["--box", "30,40,16,12", "--weights", str(weights), "--no-video", "--no-data", "300"]
    assert run(["track", str(black), *asked]) == 0
    assert "no pixel has the value 300 that --no-data names" in capsys.readouterr().err
    assert run(["track", str(source), *asked]) == 0
    assert "--no-data names" not in capsys.readouterr().err


def test_saturated_target_at_the_border_is_a_measurement_where_the_user_says_so(
    clip, weights, capsys
):
    counts = [(7000 + 9.0 * scene(k)).astype(np.uint16) for k in range(3)]
    for one in counts:
        one[40:56, :20] = 65535
    np.save("hot.npy", np.stack(counts))
    asked = ["track", "hot.npy", "--box", "0,40,20,16", "--weights", str(weights), "--no-video"]
    assert run(asked) == 2
    assert "--no-data none" in capsys.readouterr().err
    assert run([*asked, "--no-data", "none"]) == 0
    said = capsys.readouterr().err
    assert "measurement" not in said
    assert "--no-data" not in said
    summary = json.loads(Path("runs/track-hot/summary.json").read_text())
    assert (summary["no_data"], summary["masked"], summary["doubtful_value"]) == (
        "none",
        None,
        None,
    )


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_value_that_is_no_number_is_refused_before_anything_is_written(
    clip, weights, capsys, value
):
    source = celsius_clip(Path("celsius.tif"), np.nan)
    asked = ["track", str(source), "--box", "30,40,16,12", "--weights", str(weights)]
    assert run([*asked, "--no-data", value]) == 2
    assert f"--no-data {value} names pixels that never count" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_first_box_without_measured_pixels_is_refused(clip, weights, capsys):
    source = celsius_clip(Path("celsius.tif"), np.nan)
    asked = ["track", str(source), "--weights", str(weights), "--no-video"]
    for box in ("0,40,12,12", "a=0,40,12,12"):
        assert run([*asked, "--box", box]) == 2
        assert capsys.readouterr().err.startswith(
            "tirtrack: 100 % of the pixels in the first box 0,40,12,12 hold no measurement; give"
        )
    assert run([*asked, "--box", "4,40,16,12"]) == 0


def test_pixels_without_measurement_that_come_later_are_told_of(clip, weights, capsys):
    frames = np.stack([scene(k) for k in range(6)]).astype(np.float32) / 10
    frames[3:5, :, :12] = np.nan
    tifffile.imwrite("later.tif", frames, photometric="minisblack")
    asked = ["track", "later.tif", "--box", "30,40,16,12", "--weights", str(weights)]
    assert run([*asked, "--no-video"]) == 0
    assert "frame 3: 9 % of the pixels hold no measurement" in capsys.readouterr().err


def test_without_proposals_none_is_offered(clip, weights, capsys):
    nothing = np.full((3, 96, 128), np.nan, np.float32)
    tifffile.imwrite("nothing.tif", nothing, photometric="minisblack")
    assert run(["track", "nothing.tif"]) == 0
    told = capsys.readouterr().err
    assert "--box X,Y,W,H" in told
    assert "--pick" not in told
