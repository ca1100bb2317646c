"""What is opened for a source that FFmpeg reads: a file, an address, a camera, raw frames.

Only the request is checked here; nothing is read. ``video`` reads it. Begin with
:func:`stream_input` and :func:`file_input`.
"""

from __future__ import annotations

import difflib
import os
import re
import stat
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import av
import av.video.format

from tirtrack.addresses import address_name, address_stem, is_address, without_secrets
from tirtrack.errors import FrameError
from tirtrack.images import check_pixels
from tirtrack.read_options import AS_STORED, ReadOptions, refuse_options

__all__ = [
    "RAW_SUFFIXES",
    "Input",
    "file_input",
    "is_on_network",
    "known_format",
    "stream_input",
    "stream_name",
]

RAW_SUFFIXES = frozenset({".raw", ".yuv", ".bin", ".rgb", ".gray", ".y16"})
STDIN = "-"
_CAMERA = re.compile(r"camera:([0-9]+)|([0-9]+)")
_DEVICE_FILE = re.compile(r"/dev/video[0-9]+")
# The demuxers of cameras by the system, and what a number is called there.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
# grey samples as cameras, GenICam, NumPy and people call them, without blanks and hyphens
_GREY = re.compile(
    r"(?:y|i|l|luma|gr[ae]y(?:scale)?|mono(?:chrome)?|raw|counts|u(?:int)?|thermal)?"
    r"(?P<bits>8|9|10|12|14|16)(?:bits?)?(?:gr[ae]y(?:scale)?|mono|counts|raw|unsigned|uint|uc1)?"
    r"(?P<order>le|be|little(?:endian)?|big(?:endian)?|l|b)?"
)
_USUAL_FORMATS = {
    "grey": "gray", "greyscale": "gray", "grayscale": "gray", "mono": "gray", "luma": "gray",
    "y": "gray", "u1": "gray", "u2": "gray16le", "<u2": "gray16le", ">u2": "gray16be",
    "rgb": "rgb24", "rgb888": "rgb24", "rgb3": "rgb24", "bgr": "bgr24", "bgr888": "bgr24",
    "bgr3": "bgr24", "yuyv": "yuyv422", "yuy2": "yuyv422", "uyvy": "uyvy422", "i420": "yuv420p",
    "iyuv": "yuv420p", "yu12": "yuv420p", "yuv420": "yuv420p", "rgb16": "rgb48le",
    "float32": "grayf32le", "f32": "grayf32le", "float": "grayf32le",
}  # fmt: skip
_NAMED_FORMATS = "gray, gray16le, gray16be, rgb24, bgr24, yuyv422 and yuv420p, as FFmpeg calls them"
_MOUNTS = Path("/proc/self/mounts")
_NETWORK_KINDS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "lustre", "afs"})
_RAW_FIX = "give --size WxH and --pixel-format NAME, such as --size 640x512 --pixel-format gray16le"


@dataclass(frozen=True)
class Input:
    """What FFmpeg is to open.

    Attributes:
        target: address or path for FFmpeg; may hold a login, so it is never shown.
        location: the same without secrets, for messages.
        name: short name, for frames and results.
        path: path of a regular file; ``None`` for a source that may fall silent.
        format: name of the demuxer; empty: FFmpeg detects it.
        options: options of the demuxer.
        is_address: whether it is reached over a network, so that time limits apply.
    """

    target: str
    location: str
    name: str
    path: Path | None = None
    format: str = ""
    options: dict[str, str] = field(default_factory=dict)
    is_address: bool = False

    @property
    def comes_once(self) -> bool:
        """Whether it can be read only once: stdin, a named pipe."""
        return self.path is None and not self.is_address and not self.is_camera

    @property
    def is_raw(self) -> bool:
        """Whether its frames have neither header nor time."""
        return self.format == "rawvideo"

    @property
    def is_camera(self) -> bool:
        """Whether it is a camera of this machine."""
        return self.format in {demuxer for demuxer, _ in _CAMERAS.values()}


def stream_input(source: object, options: ReadOptions = AS_STORED) -> Input | None:
    """What to open for a source that may fall silent, ``None`` for files and folders: an address,
    ``-`` (raw frames on stdin), a camera by its number, a named pipe or another special file.

    Raises:
        FrameError: raw frames whose size or pixel format is missing or unknown, options that do not
            fit, stdin that is a terminal or closed, no way to read cameras.
    """
    if not isinstance(source, str | Path):
        return None
    text = str(source)
    if is_address(source):
        location = without_secrets(text)
        refuse_options(options, ("size_wh", "pixel_format"), location)
        scheme, mark, rest = text.partition("://")
        target = f"{scheme.lower()}{mark}{rest}"  # FFmpeg knows schemes in lower case only
        return Input(target, location, address_name(text), is_address=True)
    if text == STDIN:
        return _stdin_input(options)
    camera = _camera(text)
    if camera is not None:
        return _camera_input(camera, options)
    return None if is_on_network(source) else _special_file_input(Path(text), options)


def is_on_network(source: object) -> bool:
    """Whether a path lies on another machine, which may not answer; the path is not accessed.

    Known only on Linux, from the table of mounts.
    """
    if not isinstance(source, str | Path) or is_address(source):
        return False
    path = os.path.abspath(source)  # noqa: PTH100 - Path.resolve would touch it
    try:
        rows = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return False
    # the innermost mount above the path
    above = [(row[1], row[2]) for row in rows if len(row) > 2 and _is_below(path, row[1])]
    kind = max(above, default=("", ""), key=lambda mount: len(mount[0]))[1]
    return kind.startswith("fuse.") or kind in _NETWORK_KINDS


def _is_below(path: str, place: str) -> bool:
    place = place.replace("\\040", " ")  # how the table writes a blank
    return path == place or path.startswith(place.rstrip("/") + "/")


def stream_name(source: str | Path) -> str | None:
    """A short name for results of a stream that is no file; ``None`` for anything else."""
    text = str(source)
    if is_address(source):
        return address_stem(text)
    if text == STDIN:
        return "stdin"
    camera = _camera(text)
    return None if camera is None else f"camera-{camera}"


def file_input(path: Path, options: ReadOptions = AS_STORED) -> Input:
    """What to open for a regular file; raw frames if its name says so.

    Raises:
        FrameError: the file is empty; size or pixel format are missing, unknown, or do not fit.
    """
    if path.stat().st_size == 0:
        raise FrameError("the file is empty (0 bytes)", path, "copy it again or remove it")
    # a local file may be a disguised playlist: it must not reach the network
    only_files = {"protocol_whitelist": "file"}
    target = str(path.resolve())
    if path.suffix.lower() in RAW_SUFFIXES:
        raw = _raw_options(options, str(path))
        return Input(target, str(path), path.name, path, "rawvideo", raw | only_files)
    refuse_options(options, ["size_wh"], path)  # raw samples may take a pixel format
    return Input(target, str(path), path.name, path, "", only_files)


def _stdin_input(options: ReadOptions) -> Input:
    raw = _raw_options(options, "stdin")
    if sys.stdin is None or not _is_open(0):
        raise FrameError("stdin is closed", fix="send raw frames to it, or give a file")
    if os.isatty(0):
        raise FrameError("stdin is a terminal", fix="send raw frames to it by a pipe")
    return Input("pipe:0", "stdin", "stdin", None, "rawvideo", raw | {"protocol_whitelist": "pipe"})


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _camera(text: str) -> str | None:
    """The number of a camera; a file or folder of that name takes precedence."""
    found = _CAMERA.fullmatch(text)
    if found is None:
        return _DEVICE_FILE.fullmatch(text) and text.removeprefix("/dev/video")
    return found[1] or (None if Path(text).exists() else found[2])


def _camera_input(number: str, options: ReadOptions) -> Input:
    demuxer, form = _CAMERAS.get(sys.platform, ("", ""))
    target = form.format(number)
    if not demuxer or not any(demuxer in names.split(",") for names in av.formats_available):
        raise FrameError(
            f"camera {number} cannot be read: this build of PyAV has no cameras on {sys.platform}",
            fix="give the address of a stream, or raw frames on stdin (-)",
        )
    asked = {}
    if options.size_wh is not None:
        asked["video_size"] = "{}x{}".format(*options.size_wh)
    if options.pixel_format is not None:
        key = "input_format" if demuxer == "v4l2" else "pixel_format"
        asked[key] = known_format(options.pixel_format, f"camera {number}")
    return Input(target, f"camera {number} ({target})", f"camera-{number}", None, demuxer, asked)


def _special_file_input(path: Path, options: ReadOptions) -> Input | None:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    only_files = {"protocol_whitelist": "file"}
    if options.size_wh is None and options.pixel_format is None:
        return Input(str(path.absolute()), str(path), path.name, None, "", only_files)
    raw = _raw_options(options, str(path))
    return Input(str(path.absolute()), str(path), path.name, None, "rawvideo", raw | only_files)


def _raw_options(options: ReadOptions, location: str) -> dict[str, str]:
    """What FFmpeg has to know of raw frames."""
    missing = [
        word
        for word, value in (("size", options.size_wh), ("pixel format", options.pixel_format))
        if value is None
    ]
    if options.size_wh is None or options.pixel_format is None:
        raise FrameError(f"raw frames do not say their {' and '.join(missing)}", location, _RAW_FIX)
    check_pixels(*options.size_wh, location)
    return {
        "video_size": "{}x{}".format(*options.size_wh),
        "pixel_format": known_format(options.pixel_format, location),
    }


def known_format(name: str, location: object) -> str:
    """FFmpeg's name of a pixel format, which cameras and programs may name otherwise; samples of
    16 bits are little-endian unless the name gives their byte order.

    Raises:
        FrameError: no format has that name.
    """
    names: Collection[str] = av.video.format.names  # type: ignore[attr-defined]
    known = [one for one in names if av.VideoFormat(one).components]
    folded = re.sub(r"[\s_.;:\[\]()-]+", "", name.lower())
    found = next((one for one in (name, folded, _usual_format(folded)) if one in known), None)
    if found is None:
        near = difflib.get_close_matches(folded, known, n=1, cutoff=0.75)
        fix = f'did you mean "{near[0]}"?' if near else f"usual ones are {_NAMED_FORMATS}"
        raise FrameError(f'no pixel format is called "{name}"', location, fix)
    return found


def _usual_format(folded: str) -> str:
    """The format for a usual name without blanks and hyphens; empty for any other."""
    grey = _GREY.fullmatch(folded)
    if grey is None:
        return _USUAL_FORMATS.get(folded, "")
    order = "be" if (grey["order"] or "").startswith("b") else "le"
    return "gray" if grey["bits"] == "8" else f"gray{grey['bits']}{order}"
