"""Radiometric JPEG: counts and visible picture of FLIR, DJI by its own tool, others by name."""

from __future__ import annotations

import io
import struct
import sys

import imagecodecs
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, frames, probe, read_frame, read_image

SHOWN = np.zeros((48, 64, 3), np.uint8)
COUNTS = (
    12000
    + 40 * np.hypot(*(np.mgrid[0:24, 0:32] - 12))
    + np.random.default_rng(5).integers(0, 9, (24, 32))
).astype(np.uint16)
VISIBLE = np.full((30, 40, 3), (200, 40, 90), np.uint8)


def jpeg(image: np.ndarray = SHOWN, *, make: str = "") -> bytes:
    exif = Image.Exif()
    if make:
        exif[0x010F] = make
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


def record(picture: bytes, size_wh: tuple[int, int]) -> bytes:
    return struct.pack("<HHH26x", 2, *size_wh) + picture


def fff(records: dict[int, bytes], order: str = ">") -> bytes:
    """FLIR's own file: header, directory, records."""
    at, directory, body = 64 + 32 * len(records), b"", b""
    for kind, content in records.items():
        directory += struct.pack(f"{order}HHIIII12x", kind, 2, 100, 1, at + len(body), len(content))
        body += content
    head = b"FFF\0" + bytes(16) + struct.pack(f"{order}III", 101, 64, len(records))
    return head.ljust(64, b"\0") + directory + body


def with_flir(content: bytes, inside: bytes, *, piece: int = 1000) -> bytes:
    """A JPEG with FLIR's file in APP1 segments."""
    pieces = [inside[k : k + piece] for k in range(0, len(inside), piece)]
    segments = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(one) + 10) + b"FLIR\0\x01"
        + bytes([number, len(pieces) - 1]) + one
        for number, one in enumerate(pieces)
    )  # fmt: skip
    return content[:2] + segments + content[2:]


RAW = record(COUNTS.astype("<u2").tobytes(), (32, 24))
PNG = record(imagecodecs.png_encode(COUNTS.byteswap()), (32, 24))
PNG_IN_ORDER = record(imagecodecs.png_encode(COUNTS), (32, 24))
RAW_BIG = struct.pack(">HHH26x", 2, 32, 24) + COUNTS.astype(">u2").tobytes()
SEEN = record(jpeg(VISIBLE), (40, 30))


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("counts", [RAW, PNG, PNG_IN_ORDER, RAW_BIG],
                         ids=["raw", "png", "png in order", "raw big-endian"])  # fmt: skip
def test_counts_of_a_flir_jpeg_are_read_and_the_rest_is_named(tmp_path, counts, order):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_flir(jpeg(), fff({1: counts, 32: b"x" * 64, 14: SEEN}, order)))
    assert_array_equal(next(frames(path)).image, COUNTS)
    assert probe(path).description == (
        "1 FLIR radiometric JPEG file, 32x24, 16 bit, 1 channel, the raw 16-bit counts; not used: "
        "the visible picture 40x30, the palette picture"
    )
    seen = next(frames(path, options=ReadOptions(picture="visible"))).image
    assert np.abs(seen.astype(int) - VISIBLE).max() < 6
    assert_array_equal(next(frames(path, options=ReadOptions(picture="palette"))).image, SHOWN)


def test_single_image_is_the_picture_that_viewers_show_unless_a_part_is_named(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(with_flir(jpeg(), fff({1: RAW})))
    assert_array_equal(read_image(path), SHOWN)
    assert_array_equal(read_image(path, ReadOptions(picture="counts")), COUNTS)
    assert_array_equal(read_frame(path), COUNTS)


def test_real_flir_jpegs_give_their_counts(shared):
    folder = shared / "data/pairs/odd"
    for name, shape in (("flir_radiometric_e40.jpg", (120, 160)),
                        ("flir_radiometric_with_visible.jpg", (320, 240))):  # fmt: skip
        counts = next(frames(folder / name)).image
        assert (counts.shape, counts.dtype) == (shape, np.uint16)
        steps = np.abs(np.diff(counts.astype(int), axis=1))
        assert np.median(steps) < 20  # right byte order: neighbours are near
        assert counts.max() - counts.min() < 8000
    visible = read_image(
        folder / "flir_radiometric_with_visible.jpg", ReadOptions(picture="visible")
    )
    assert visible.shape == (640, 480, 3)
    with pytest.raises(FrameError, match="a FLIR JPEG without visible picture"):
        read_image(folder / "flir_radiometric_e40.jpg", ReadOptions(picture="visible"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_flir(jpeg(), fff({1: RAW}))[:1300], "a record reaches beyond the end"),
        (with_flir(jpeg(), b"GGG\0" + bytes(99)), "no FFF in the FLIR segments"),
        (with_flir(jpeg(), fff({1: RAW})[:-9]), "a record reaches beyond the end"),
        (with_flir(jpeg(), fff({1: record(b"\0\0", (32, 24))})), "2 of 1536 bytes"),
        (with_flir(jpeg(), fff({1: record(b"\0\0", (60000, 60000))})), "over the limit"),
        (with_flir(jpeg(), fff({1: record(PNG[32:90], (32, 24))})), "FLIR data is damaged"),
        (with_flir(jpeg(), fff({32: b"x" * 64})), "a FLIR JPEG without counts; give --picture"),
    ],
    ids=["cut segments", "no FFF", "cut record", "short", "bomb", "cut png", "no counts"],
)
def test_damaged_flir_data_is_named(tmp_path, content, message):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(FrameError) as caught:
        probe(tmp_path / "a.jpg")
    assert str(tmp_path / "a.jpg") in str(caught.value)
    assert message in str(caught.value)


def test_folder_of_flir_jpegs_and_one_plain_one_names_it(tmp_path):
    for k in range(3):
        (tmp_path / f"{k}.jpg").write_bytes(with_flir(jpeg(), fff({1: RAW})))
    (tmp_path / "3.jpg").write_bytes(jpeg())
    with pytest.raises(FrameError, match=r"3\.jpg: the frame is 64x48 colour uint8, those before"):
        probe(tmp_path)


def test_part_of_a_plain_jpeg_is_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    with pytest.raises(
        FrameError, match="--picture has no meaning for this source: it is for radiometric JPEGs"
    ):
        probe(tmp_path / "a.jpg", ReadOptions(picture="visible"))


# DJI --------------------------------------------------------------------------------------------

CELSIUS = np.linspace(-10, 60, 48 * 64, dtype=np.float32).reshape(48, 64)
TOOL = """#!{python}
import sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert words["-a"] == "measure", words
if {code}:
    print("unknown camera", file=sys.stderr)
    sys.exit({code})
content = open(r"{content}", "rb").read()
open(words["-o"], "wb").write(content)
"""


def fake_tool(folder, monkeypatch, content: bytes, *, code: int = 0) -> None:
    (folder / "content").write_bytes(content)
    tool = folder / "dji_irp"
    tool.write_text(TOOL.format(python=sys.executable, code=code, content=folder / "content"))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture
def dji(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "DJI_0001_R.JPG"
    content = jpeg(make="DJI")
    path.write_bytes(content[:2] + b"\xff\xe3\x00\x06\0\0\0\0" + content[2:])
    return path


@pytest.mark.parametrize("stored", ["float32", "tenths", "half size"])
def test_dji_jpeg_is_read_by_its_own_tool(dji, tmp_path, monkeypatch, stored):
    content = {
        "float32": CELSIUS.tobytes(),
        "tenths": np.rint(CELSIUS * 10).astype("<i2").tobytes(),
        "half size": CELSIUS[::2, ::2].tobytes(),
    }[stored]
    fake_tool(tmp_path, monkeypatch, content)
    found = next(frames(dji)).image
    expected = CELSIUS[::2, ::2] if stored == "half size" else CELSIUS
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.06
    assert (
        "temperatures in Celsius by dji_irp; not used: the palette picture"
        in probe(dji).description
    )


def test_dji_jpeg_without_the_tool_says_what_to_install(dji):
    with pytest.raises(FrameError) as caught:
        probe(dji)
    assert "only DJI's dji_irp reads; put dji_irp of the DJI Thermal SDK on the PATH" in str(
        caught.value
    )
    assert probe(dji, ReadOptions(picture="palette")).dtype == "uint8"


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [(b"", 3, "dji_irp ended with 3 (unknown camera)"), (b"123", 0, "dji_irp gave 3 bytes")],
    ids=["fails", "other size"],
)
def test_dji_tool_that_fails_is_named(dji, tmp_path, monkeypatch, content, code, message):
    fake_tool(tmp_path, monkeypatch, content, code=code)
    with pytest.raises(FrameError) as caught:
        probe(dji)
    assert message in str(caught.value)


@pytest.mark.parametrize("make", ["HIKMICRO", "Fluke Thermography", "testo AG", "InfiRay"])
def test_radiometric_jpeg_of_another_maker_is_named_with_its_program(tmp_path, make):
    (tmp_path / "a.jpg").write_bytes(jpeg(make=make))
    with pytest.raises(FrameError, match="whose counts cannot be read; export it with") as caught:
        probe(tmp_path / "a.jpg")
    assert "--picture palette" in str(caught.value)
    assert probe(tmp_path / "a.jpg", ReadOptions(picture="palette")).channels == 3


def test_picture_of_a_maker_of_many_cameras_is_thermal_if_it_says_so(tmp_path):
    content = jpeg(make="Autel Robotics")
    (tmp_path / "a.jpg").write_bytes(content)
    assert probe(tmp_path / "a.jpg").channels == 3
    note = b"http://ns.adobe.com/xap/1.0/\0 ImageSource=InfraredCamera"
    segment = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note
    (tmp_path / "b.jpg").write_bytes(content[:2] + segment + content[2:])
    with pytest.raises(FrameError, match="Autel, whose counts cannot be read; export it with"):
        probe(tmp_path / "b.jpg")


@pytest.mark.parametrize("make", ["Canon", "DJI", "FLIR Systems AB", "Apple", "HIKVISION"])
def test_jpeg_without_more_inside_is_a_plain_picture(tmp_path, make):
    (tmp_path / "a.jpg").write_bytes(jpeg(make=make))
    assert_array_equal(next(frames(tmp_path / "a.jpg")).image, SHOWN)
