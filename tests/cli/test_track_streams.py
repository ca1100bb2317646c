"""``tirtrack track`` on streams: it can always be stopped, and says no password.

Signals go to real processes; whoever serves is on loopback.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import av
import numpy as np
import pytest

from tirtrack.cli.app import run
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

COUNT = 8
RAW = "--size 64x48 --pixel-format gray16le"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tracker with random weights: what it finds is no matter here."""
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    card = Card(name="random", architecture="nanotrack-v3", modality="tir", licence="Apache-2.0")
    store.write(path, registry.build("nanotrack-v3", seed=4).eval(), card)
    return path


def pictures() -> np.ndarray:
    """``[T,H,W]`` uint16 counts with something warm in them."""
    counts = np.random.default_rng(0).integers(7000, 7100, (COUNT, 48, 64), dtype=np.uint16)
    for k in range(COUNT):
        counts[k, 20:30, 20 + k : 30 + k] = 7600
    return counts


def clip(path: Path) -> bytes:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for picture in pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray16le")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def started(words: str, cwd: Path, **more) -> subprocess.Popen[str]:
    """The command in a process of its own, told of waiting at once."""
    program = (
        "from tirtrack import live; live.TELL_AFTER_S = 0.1; from tirtrack.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, *shlex.split(words)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more,
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("more", ["", "--box 10,10,10,10"], ids=["first frame", "track"])
def test_a_silent_camera_is_said_and_can_be_left_at_once(tmp_path, serve, number, more):
    process = started(f"track rtsp://bob:Secret@127.0.0.1:{serve()}/a {more}", tmp_path)
    assert "waiting for rtsp://user:***@127.0.0.1:" in process.stderr.readline()
    process.send_signal(number)
    printed, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert printed == ""
    assert said.splitlines()[-1].startswith("tirtrack: interrupted")
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("blocks", [True, False])
def test_python_is_not_taken_down_beside_a_reader_that_hangs(blocks):
    program = f"""
import atexit, os, sys, time
from tirtrack.cli import main
from tirtrack.live import LiveFrames
class Witness:
    def __del__(self, write=os.write):
        write(1, b"taken down")
sys.witness = Witness()  # what a thread can reach, as all of this module, is not taken down
atexit.register(print, "tidied")
with LiveFrames(lambda: time.sleep(60 * {blocks:d}) or iter("a")):
    pass
main(["--version"])
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("tirtrack ")
    assert "tidied" in ended.stdout
    assert ("taken down" in ended.stdout) is not blocks


@pytest.mark.parametrize("source", ["pipe", "-"])
def test_a_silent_pipe_can_be_left_at_once(tmp_path, source):
    os.mkfifo(tmp_path / "pipe")
    reading, writing = os.pipe()
    process = started(f"track {source} {RAW} --box 9,9,9,9 --out run", tmp_path, stdin=reading)
    assert "waiting for" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (130, "tirtrack: interrupted before the first frame\n")
    os.close(reading)
    os.close(writing)


def test_a_stream_that_goes_silent_can_be_left_with_what_was_tracked(tmp_path, weights):
    reading, writing = os.pipe()
    os.write(writing, pictures().tobytes())
    process = started(
        f"track - {RAW} --box 20,20,10,10 --weights {weights} --no-video --out run",
        tmp_path, stdin=reading,
    )  # fmt: skip
    for line in process.stderr:
        if "waiting for stdin" in line and (tmp_path / "run").is_dir():
            break
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    os.close(reading)
    os.close(writing)
    assert process.returncode == 130
    assert said.splitlines()[-1] == f"tirtrack: interrupted; {COUNT} frames were tracked, see run"
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["ending"], summary["frames"]) == ("interrupted", COUNT)


@pytest.mark.slow
def test_silent_cameras_are_given_up_after_a_minute(tmp_path, serve):
    began_s, waiting = time.monotonic(), {}
    for kind in ("rtsp", "udp"):  # the same minute for both
        (tmp_path / kind).mkdir()
        words = f"track {kind}://127.0.0.1:{serve()}/a --box 1,1,9,9"
        waiting[kind] = started(words, tmp_path / kind)
    for kind, process in waiting.items():
        said = process.communicate(timeout=120)[1].splitlines()
        assert process.returncode == 2, kind
        assert 60 <= time.monotonic() - began_s < 75, kind
        assert len(said) == 7, kind  # told at once, then every ten seconds
        assert "nothing came for 60 s" in said[-1], kind


# what comes by an address or a pipe -----------------------------------------------------------


def secrets_in(folder: Path) -> list[Path]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in found if b"Secret" in path.read_bytes() or "Secret" in path.name]


def test_no_password_reaches_a_file_or_a_message(tmp_path, serve, http, weights):
    port = serve(http(clip(tmp_path / "clip.mkv"), sized=True))
    address = f"http://admin:Secret1@127.0.0.1:{port}/clip.mkv?token=Secret2"
    out = tmp_path / "out"
    out.mkdir()
    process = started(f"track {address} --box 20,20,10,10 --weights {weights}", out)
    printed, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Secret" not in printed + said
    assert secrets_in(out) == []
    summary = json.loads((out / "runs/track-clip/summary.json").read_text())
    shown = f"http://user:***@127.0.0.1:{port}/clip.mkv?token=***"
    assert summary["source"] == shown
    assert shown in summary["command"]
    assert (summary["frames"], summary["ending"]) == (COUNT, "complete")


@pytest.mark.parametrize("more", [[], ["--debug"], ["--json"]], ids=["plain", "debug", "json"])
@pytest.mark.parametrize("box", [[], ["--box", "1,1,9,9"]], ids=["first frame", "track"])
def test_no_password_reaches_an_error(tmp_path, monkeypatch, serve, http, capsys, more, box):
    monkeypatch.chdir(tmp_path)
    port = serve(http(b"this is no video"))
    address = f"http://admin:my 'Secret1@127.0.0.1:{port}/clip.mkv?token=Secret2"
    assert run(["track", address, *box, *more]) == 2
    printed = capsys.readouterr()
    assert "Secret" not in printed.out + printed.err
    assert f"http://user:***@127.0.0.1:{port}/clip.mkv?token=***" in printed.err
    assert ("Traceback" in printed.err) == (more == ["--debug"])


def test_no_password_reaches_the_hint_or_the_picture_of_a_first_frame(
    tmp_path, monkeypatch, serve, http, capsys
):
    port = serve(http(clip(tmp_path / "clip.mkv"), sized=True))
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert run(["track", f"http://admin:Secret1@127.0.0.1:{port}"]) == 0
    printed = capsys.readouterr()
    assert "Secret" not in printed.out + printed.err
    assert printed.out.splitlines()[-1] == f"runs/track-127.0.0.1-{port}-first-frame.png"


def test_a_mistyped_option_says_no_password(capsys):
    assert run(["track", "night.mp4", "rtsp://admin:Secret1@127.0.0.1/a"]) == 2
    assert "Secret" not in capsys.readouterr().err


@pytest.fixture
def as_stdin() -> Generator[Callable[[bytes], None]]:
    """Puts bytes on stdin of this process, for the time of a test."""
    before = os.dup(0)

    def put(content: bytes) -> None:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        os.dup2(reading, 0)
        os.close(reading)

    yield put
    os.dup2(before, 0)
    os.close(before)


@pytest.mark.parametrize(
    ("cut", "code", "frames"), [(0, 0, COUNT), (100, 1, COUNT - 1)], ids=["whole", "cut off"]
)
def test_raw_frames_on_stdin_are_tracked_every_one(
    tmp_path, monkeypatch, as_stdin, weights, capsys, cut, code, frames
):
    monkeypatch.chdir(tmp_path)
    content = pictures().astype("<u2").tobytes()
    as_stdin(content[: len(content) - cut])
    words = f"track - {RAW} --box 20,20,10,10 --weights {weights} --no-video"
    assert run(shlex.split(words)) == code
    summary = json.loads(Path("runs/track-stdin/summary.json").read_text())
    assert (summary["frames"], summary["frame_size"]) == (frames, [64, 48])
    assert (summary["size_wh"], summary["pixel_format"]) == ([64, 48], "gray16le")
    if cut:
        said = "stdin, frame 7: the video ends early (the last frame is cut off)"
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("track -", "stdin: raw frames do not say their size and pixel format; give --size WxH"),
        (f"track - {RAW} --pick 1", "-: --pick looks at frames before they are tracked, and the"),
        (f"track - {RAW}", "stdin: no frame could be decoded"),
    ],
    ids=["options", "pick", "nothing"],
)
def test_stdin_that_cannot_be_used_is_a_wrong_request(
    tmp_path, monkeypatch, as_stdin, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    as_stdin(b"")
    assert run(shlex.split(words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("tirtrack: " + message)
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_first_frame_of_stdin_is_shown_and_only_a_box_offered(
    tmp_path, monkeypatch, as_stdin, capsys
):
    monkeypatch.chdir(tmp_path)
    as_stdin(pictures().astype("<u2").tobytes())
    assert run(shlex.split(f"track - {RAW}")) == 0
    said = capsys.readouterr().err
    assert "--pick" not in said
    assert "  tirtrack track - --size 64x48 --pixel-format gray16le --box X,Y,W,H" in said
