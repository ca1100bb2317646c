"""What is opened for a source: addresses, stdin, cameras, pipes; what cannot be is said before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import av
import pytest

from tirtrack import inputs
from tirtrack.errors import FrameError
from tirtrack.inputs import file_input, stream_input, stream_name
from tirtrack.media import frames, probe
from tirtrack.read_options import ReadOptions
from tirtrack.video import VideoFile

RAW = ReadOptions(size_wh=(64, 48), pixel_format="gray16le")


def test_an_address_is_opened_whole_and_shown_without_its_login():
    given = stream_input("rtsp://bob:pw@cam/live?token=1")
    assert given.target == "rtsp://bob:pw@cam/live?token=1"
    assert given.location == "rtsp://user:***@cam/live?token=***"
    assert (given.name, given.path, given.is_address) == ("live", None, True)
    assert "pw" not in VideoFile(given).location


def test_a_protocol_is_known_in_any_case_and_an_unknown_one_is_named():
    assert stream_input("RTSP://cam/Live?Token=A").target == "rtsp://cam/Live?Token=A"
    with pytest.raises(FrameError, match="foo is not spoken by this PyAV; give rtsp, http") as told:
        probe("foo://bob:pw@cam/live")
    assert "pw" not in str(told.value)


def test_files_folders_and_lists_are_no_streams(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    for source in (tmp_path, tmp_path / "a.mp4", tmp_path / "gone", [tmp_path], "night/*.png"):
        assert stream_input(source) is None
    assert file_input(tmp_path / "a.mp4").path == tmp_path / "a.mp4"


def test_a_named_pipe_is_a_stream_and_raw_where_it_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    plain, raw = stream_input(tmp_path / "pipe"), stream_input(tmp_path / "pipe", RAW)
    assert (plain.format, raw.format) == ("", "rawvideo")
    assert raw.options["video_size"] == "64x48"
    assert plain.comes_once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReadOptions(), "raw frames do not say their size and pixel format; give --size WxH and"),
        (ReadOptions(size_wh=(64, 48)), "raw frames do not say their pixel format; give"),
        (ReadOptions(pixel_format="gray"), "raw frames do not say their size; give"),
        (
            ReadOptions(size_wh=(64, 48), pixel_format="gray17"),
            'no pixel format is called "gray17"; did you mean "gray',
        ),
        (ReadOptions(size_wh=(64, 48), pixel_format="cuda"), 'no pixel format is called "cuda"'),
        (
            ReadOptions(size_wh=(99999, 99999), pixel_format="gray"),
            "99999x99999 is over the limit of 100 million pixels",
        ),
    ],
    ids=["nothing", "size alone", "format alone", "unknown", "of a graphics card", "too large"],
)
@pytest.mark.parametrize("source", ["-", "night.raw"])
def test_raw_frames_need_a_size_and_a_pixel_format(tmp_path, monkeypatch, source, options, message):
    monkeypatch.chdir(tmp_path)
    Path("night.raw").write_bytes(b"x")
    with pytest.raises(FrameError) as caught:
        probe(source, options)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("y16", "gray16le"), ("Y16", "gray16le"), ("gray16", "gray16le"), ("Grey16", "gray16le"),
        ("mono16", "gray16le"), ("uint16", "gray16le"), ("16 bit little endian", "gray16le"),
        ("16UC1", "gray16le"), ("I;16", "gray16le"), ("<u2", "gray16le"), ("Y16 -BE", "gray16be"),
        ("16-bit big-endian", "gray16be"), ("mono14", "gray14le"), ("Y12", "gray12le"),
        ("Mono8", "gray"), ("8 bit", "gray"), ("RGB", "rgb24"), ("YUYV", "yuyv422"),
        ("gray16be", "gray16be"), ("ya16le", "ya16le"), ("rgb8", "rgb8"),
    ],
)  # fmt: skip
def test_a_pixel_format_is_known_by_what_cameras_and_programs_call_it(name, known):
    assert inputs.known_format(name, "stdin") == known


def test_an_unknown_pixel_format_names_a_near_one_or_the_usual_ones():
    with pytest.raises(FrameError, match=r'called "grya16le"; did you mean "gray16le"\?'):
        inputs.known_format("grya16le", "stdin")
    with pytest.raises(FrameError, match='called "int16"; usual ones are gray, gray16le'):
        inputs.known_format("int16", "stdin")


def test_options_of_raw_frames_are_refused_where_they_would_do_nothing(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    for source in (tmp_path / "a.mp4", tmp_path, "rtsp://cam/a"):
        with pytest.raises(
            FrameError,
            match="--size has no meaning for this source: it is for raw frames and cameras; leave",
        ):
            probe(source, RAW)


def test_stdin_that_is_closed_or_a_terminal_is_refused(monkeypatch):
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdin", None)
        with pytest.raises(FrameError, match="stdin is closed; send raw frames to it"):
            stream_input("-", RAW)
    monkeypatch.setattr(os, "isatty", lambda descriptor: descriptor == 0)
    with pytest.raises(FrameError, match="stdin is a terminal; send raw frames to it by a pipe"):
        stream_input("-", RAW)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("rtsp://bob:pw@cam.local:554", "cam.local-554"),
        ("-", "stdin"),
        ("camera:2", "camera-2"),
        ("/dev/video2", "camera-2"),
        ("night.mp4", None),
    ],
)
def test_results_of_a_stream_are_named_after_it(source, name):
    assert stream_name(source) == name


# cameras ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="devices of Linux; runs there in .ci/run")
@pytest.mark.parametrize("source", ["1", "camera:1", "/dev/video1"])
def test_a_camera_is_opened_by_its_number(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    given = stream_input(source, RAW)
    assert (given.target, given.format) == ("/dev/video1", "v4l2")
    assert given.options == {"video_size": "64x48", "input_format": "gray16le"}
    assert given.location == "camera 1 (/dev/video1)"


def test_a_folder_named_as_a_number_goes_before_a_camera(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("1").mkdir()
    assert stream_input("1") is None
    assert stream_input("camera:1").is_camera


def write_clip(path: Path, count: int = 6) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=9)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray16le"
        for k in range(count):
            frame = av.VideoFrame(64, 48, "gray16le")
            frame.planes[0].update(bytes([k, 30]) * (64 * 48))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="devices of Linux; runs there in .ci/run")
def test_frames_of_a_camera_come_as_its_driver_gives_them(tmp_path, monkeypatch):
    clip, opened, real = write_clip(tmp_path / "a.mkv"), [], av.open

    def fake(file, **more):
        opened.append((file, more["format"], more["options"]))
        return real(str(clip))

    monkeypatch.setattr(av, "open", fake)
    found = list(frames("camera:0", end=3, options=RAW))
    assert [int(one.image[0, 0]) for one in found] == [0x1E00, 0x1E01, 0x1E02]
    assert opened == [("/dev/video0", "v4l2", {"video_size": "64x48", "input_format": "gray16le"})]
    info = probe("camera:0")
    assert (info.width, info.dtype, info.fps, info.name) == (64, "uint16", 9.0, "camera-0")


def test_a_camera_that_is_not_there_is_one_sentence(monkeypatch):
    def fake(file, **more):
        raise FileNotFoundError(2, "No such file or directory", file)

    monkeypatch.setattr(av, "open", fake)
    monkeypatch.setattr(inputs, "_CAMERAS", {sys.platform: ("v4l2", "/dev/video{}")})
    monkeypatch.setattr(av, "formats_available", {"v4l2"})
    with pytest.raises(
        FrameError, match=r"^camera 7 \(/dev/video7\): .*\(no such file or dir"
    ) as e:
        probe("camera:7")
    assert "check that it is connected, free, and has this size" in str(e.value)


def test_where_cameras_cannot_be_read_it_says_what_can(monkeypatch):
    monkeypatch.setattr(av, "formats_available", {"rawvideo"})
    with pytest.raises(
        FrameError, match="camera 0 cannot be read: this build of PyAV has no cameras on"
    ):
        stream_input("camera:0")


# other machines ---------------------------------------------------------------------------------

MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
rig:/takes /mnt/rig nfs4 rw 0 0
/dev/sdb1 /mnt/rig/local ext4 rw 0 0
bob@rig:/ /mnt/my\\040rig fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/mnt/rig/a.mp4", True),
        ("/mnt/rig", True),
        ("/mnt/my rig/take/img", True),
        ("/mnt/rig/local/a.mp4", False),
        ("/mnt/rig2/a.mp4", False),
        ("/home/a.mp4", False),
        ("rtsp://cam/mnt/rig", False),
    ],
)
def test_files_of_another_machine_are_known_without_touching_them(
    tmp_path, monkeypatch, path, expected
):
    (tmp_path / "mounts").write_text(MOUNTS)
    monkeypatch.setattr(inputs, "_MOUNTS", tmp_path / "mounts")
    assert inputs.is_on_network(path) is expected
    monkeypatch.setattr(inputs, "_MOUNTS", tmp_path / "gone")
    assert not inputs.is_on_network(path)
