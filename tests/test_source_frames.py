"""Frames of streams for a run: what has an end ends, what is live comes back, silence is given up.

Servers are on loopback, in threads that end with the test.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from tirtrack import inputs, live, video
from tirtrack.errors import FrameError, RequestError, RunError
from tirtrack.media import count_frames, frames, probe
from tirtrack.tracking import source_name
from tirtrack.tracking.source_frames import SourceFrames

COUNT = 12


def write_clip(path: Path, count: int = COUNT, *, seed: int = 0, **options: str) -> bytes:
    codec = "mjpeg" if path.suffix == ".avi" else "libx264"
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for _ in range(count):
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _quick_returns(tmp_path, monkeypatch):
    """Short pauses; at the end, readers that were left behind are let go."""
    monkeypatch.setattr(live, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(live, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(live, "STOP_WITHIN_S", 0.05)
    yield
    for pipe in tmp_path.glob("pipe*"):
        os.close(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
    for thread in threading.enumerate():
        if thread.name == "tirtrack-reader":
            thread.join(10)


def indices(source, policy="all", **more) -> list[int]:
    with SourceFrames(source, policy, **more) as found:
        return [item.index for item in found]


# what has an end --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["sized", "chunked", "neither"])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.ts"])
def test_a_clip_behind_an_address_ends_once_however_it_is_sent(tmp_path, serve, http, name, way):
    content = write_clip(tmp_path / name, movflags="+faststart" if name == "a.mp4" else "")
    port = serve(http(content, sized=way == "sized", chunked=way == "chunked"))
    assert indices(f"http://127.0.0.1:{port}/{name}") == list(range(COUNT))


@pytest.mark.parametrize("policy", [None, "all"])
def test_a_clip_that_was_taken_for_live_says_how_to_get_all_of_it(
    tmp_path, serve, http, caplog, policy
):
    port = serve(http(write_clip(tmp_path / "a.ts"), chunked=True))
    indices(f"http://user:word@127.0.0.1:{port}/a.ts", policy)
    said = [text for text in caplog.messages if "so it is a clip" in text]
    assert len(said) == (policy is None)
    assert all("--policy all takes every one" in text and "word" not in text for text in said)


def test_a_clip_that_is_sent_once_needs_no_second_time(tmp_path, serve, http):
    port = serve(http(write_clip(tmp_path / "a.avi"), sized=True, once=True))
    with SourceFrames(f"http://127.0.0.1:{port}/a.avi") as found:
        info = found.info()
        assert (info.width, info.fps, info.expected_frames) == (64, 10.0, COUNT)
        assert found.first().index == 0
        assert [item.index for item in found] == list(range(1, COUNT))
    assert found.statistics is None  # nothing of it is live


def test_no_frame_of_a_clip_is_left_out_unless_it_is_asked_for(tmp_path, serve, http):
    port = serve(http(write_clip(tmp_path / "a.avi"), sized=True))
    assert indices(f"http://127.0.0.1:{port}/a.avi", None) == list(range(COUNT))
    with SourceFrames(f"http://127.0.0.1:{port}/a.avi", "latest") as found:
        found.info()
        assert found.first().index == 0


def test_a_clip_that_breaks_off_names_the_frame(tmp_path, serve, http):
    content = write_clip(tmp_path / "a.ts", 30)
    port = serve(http(content, sized=True, most=len(content) * 2 // 3))
    seen = []
    with (
        SourceFrames(f"http://bob:pw@127.0.0.1:{port}/a.ts", "all") as found,
        pytest.raises(FrameError) as caught,
    ):
        seen.extend(item.index for item in found)
    assert 10 < len(seen) < 30
    place = f"http://user:***@127.0.0.1:{port}/a.ts, frame {len(seen)}: the video ends early (after"
    assert str(caught.value).startswith(place)
    assert str(caught.value).endswith(
        ": the server sent no more); try it again, or download it first; the frames before are good"
    )


def test_a_playlist_ends_if_it_says_so(tmp_path, serve, http):
    write_clip(tmp_path / "a.m3u8", hls_time="1", hls_list_size="0")
    parts = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    address = f"http://127.0.0.1:{serve(files(parts, http))}/a.m3u8"
    assert indices(address, None) == list(range(COUNT))


def files(parts, http):
    def answer(connection, number):
        asked = connection.recv(65536, 2).split()[1].decode().lstrip("/")  # MSG_PEEK
        http(parts[asked], sized=True)(connection, number)

    return answer


# what is live -----------------------------------------------------------------------------------


def test_a_live_stream_comes_back_and_is_numbered_on(tmp_path, serve, http):
    takes = [write_clip(tmp_path / f"{seed}.ts", seed=seed) for seed in range(3)]

    def answer(connection, number):
        http(takes[min(number, 2)])(connection, number)

    address = f"http://127.0.0.1:{serve(answer)}/live"
    with SourceFrames(address, "all", end=30) as found:
        seen = [item.index for item in found]
    assert seen == list(range(30))
    assert found.statistics.breaks >= 2


def test_fragments_that_are_sent_without_a_length_are_live(tmp_path, serve, http):
    takes = [
        write_clip(tmp_path / f"{seed}.mp4", seed=seed, movflags="frag_keyframe+empty_moov")
        for seed in range(2)
    ]

    def answer(connection, number):
        http(takes[number % 2], chunked=True)(connection, number)

    with SourceFrames(f"http://127.0.0.1:{serve(answer)}/live", "all", end=COUNT + 3) as found:
        assert len(list(found)) == COUNT + 3
    assert found.statistics.breaks == 1


def test_a_live_stream_may_be_cut_at_an_end(tmp_path, serve, http):
    port = serve(http(write_clip(tmp_path / "a.ts")))
    assert indices(f"http://127.0.0.1:{port}/live", start=3, end=7) == [3, 4, 5, 6]


def test_a_live_stream_of_an_unknown_codec_is_refused_at_once(tmp_path, serve, http):
    content = write_clip(tmp_path / "a.mkv", live="1")
    content = content.replace(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/XYZ")
    with (
        SourceFrames(f"http://127.0.0.1:{serve(http(content))}/live") as found,
        pytest.raises(FrameError, match="is not known here"),
    ):
        found.info()


def test_a_start_counts_once_whatever_breaks(tmp_path, serve, http):
    takes = [write_clip(tmp_path / f"{seed}.ts", seed=seed) for seed in range(9)]

    def answer(connection, number):
        http(takes[number])(connection, number)

    found = indices(f"http://127.0.0.1:{serve(answer)}/live", start=8, end=20)
    assert found == list(range(8, 20))
    with SourceFrames(f"http://127.0.0.1:{serve(answer)}/live", "all", start=8, end=20) as again:
        assert len(list(again)) == 12
        assert again.statistics.breaks == 1


def test_a_live_stream_that_never_was_there_is_a_wrong_request_at_once(serve):
    server_port = 9  # of nobody
    with (
        SourceFrames(f"tcp://127.0.0.1:{server_port}/camera") as found,
        pytest.raises(FrameError, match="cannot be opened") as caught,
    ):
        found.info()
    assert caught.value.exit_code == 2


def test_a_stream_that_goes_silent_is_given_up_after_its_frames(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(live, "GIVE_UP_AFTER_S", 1.5)
    content = write_clip(tmp_path / "a.avi", 200)

    def answer(connection, number):
        connection.recv(65536)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
        connection.sendall(head + content[: len(content) // 2])

    seen = []
    with (
        SourceFrames(f"http://127.0.0.1:{serve(answer)}/a.avi", "all") as found,
        pytest.raises(RunError, match=r"did not come back for 1\.5 s \(it sends nothing\)"),
    ):
        seen.extend(item.index for item in found)
    assert seen == list(range(len(seen)))
    assert 20 < len(seen) < 200


def test_a_read_over_the_network_has_a_limit_of_its_own(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(video, "READ_WITHIN_S", 0.5)
    content = write_clip(tmp_path / "a.ts", 60)

    def answer(connection, number):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + content[: 188 * (len(content) // 250)])

    seen = []
    with pytest.raises(FrameError, match=r"ends early \(after .* nothing came for 0\.5 s\)"):
        seen.extend(frames(f"http://127.0.0.1:{serve(answer)}/a.ts"))
    assert 10 < len(seen) < 60


# silence ----------------------------------------------------------------------------------------


def addresses(serve, tmp_path):
    os.mkfifo(tmp_path / "pipe.ts")
    return {
        "rtsp": f"rtsp://bob:pw@127.0.0.1:{serve()}/a",
        "tcp": f"tcp://127.0.0.1:{serve()}",
        "http": f"http://127.0.0.1:{serve(only_head)}/a.mp4",
        "udp": f"udp://127.0.0.1:{serve()}",
        "pipe": str(tmp_path / "pipe.ts"),
    }


def only_head(connection, number):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")


KINDS = ["rtsp", "tcp", "http", "udp", "pipe"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", [probe, count_frames], ids=["probe", "frames"])
def test_a_silent_source_is_given_up_by_whoever_reads_it(
    tmp_path, serve, monkeypatch, kind, reader
):
    monkeypatch.setattr(live, "GIVE_UP_AFTER_S", 0.3)
    monkeypatch.setattr(video, "OPEN_WITHIN_S", 1.0)
    with pytest.raises(FrameError, match=r"nothing came for 0\.3 s; check that it is on") as caught:
        reader(addresses(serve, tmp_path)[kind])
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_waiting_for_a_silent_source_can_be_stopped(tmp_path, serve, monkeypatch, kind):
    monkeypatch.setattr(video, "OPEN_WITHIN_S", 1.0)
    asked = threading.Event()

    def stop():
        was_asked = asked.is_set()
        asked.set()
        return was_asked

    with (
        SourceFrames(addresses(serve, tmp_path)[kind], stop=stop) as found,
        pytest.raises(KeyboardInterrupt, match="interrupted before the first frame"),
    ):
        found.info()


def test_waiting_is_told_once_and_again(tmp_path, serve, monkeypatch, caplog):
    monkeypatch.setattr(live, "GIVE_UP_AFTER_S", 0.5)
    monkeypatch.setattr(live, "TELL_AFTER_S", 0.05)
    monkeypatch.setattr(live, "TELL_EVERY_S", 0.1)
    caplog.set_level("INFO", "tirtrack.live")
    address = addresses(serve, tmp_path)["rtsp"]
    with SourceFrames(address) as found, pytest.raises(FrameError):
        found.info()
    assert 2 <= len(caplog.messages) <= 5
    assert caplog.messages[0].startswith("waiting for rtsp://user:***@127.0.0.1:")
    assert caplog.messages[0].endswith("(0 s of 0.5 s)")


# files on another machine -----------------------------------------------------------------------


@pytest.fixture
def on_network(tmp_path, monkeypatch):
    (tmp_path / "mounts").write_text(f"rig:/ {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(inputs, "_MOUNTS", tmp_path / "mounts")


def test_a_file_on_another_machine_is_no_stream(tmp_path, on_network):
    write_clip(tmp_path / "a.avi")
    with SourceFrames(tmp_path / "a.avi") as found:
        assert found.info() == probe(tmp_path / "a.avi")
        assert [item.index for item in found] == list(range(COUNT))
        assert found.statistics is None
    assert source_name(tmp_path / "a.avi") == "a"


@pytest.mark.parametrize("what", ["info", "first"])
def test_a_machine_that_does_not_answer_can_be_left(tmp_path, monkeypatch, on_network, what):
    write_clip(tmp_path / "a.avi")
    free, asked = threading.Event(), iter([*[False] * 2, *[True] * 999])
    monkeypatch.setattr(av, "open", lambda *given, **more: free.wait(30))
    with (
        SourceFrames(tmp_path / "a.avi", stop=lambda: next(asked)) as found,
        pytest.raises(KeyboardInterrupt, match="before the first frame"),
    ):
        getattr(found, what)()
    free.set()


# named pipes ------------------------------------------------------------------------------------


def test_a_named_pipe_is_read_to_its_end(tmp_path):
    content = write_clip(tmp_path / "a.ts")
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    with SourceFrames(tmp_path / "pipe") as found:
        assert found.info().width == 64
        assert [item.index for item in found] == list(range(COUNT))
    writer.join(5)


def test_a_start_after_the_end_is_a_wrong_request(tmp_path, serve, http):
    port = serve(http(write_clip(tmp_path / "a.avi"), sized=True))
    with (
        SourceFrames(f"http://u:p@127.0.0.1:{port}/a.avi", start=99) as found,
        pytest.raises(RequestError, match=r"http://user:\*\*\*@.*: there is no frame 99"),
    ):
        found.info()
