"""Formats that are named and refused, with what exports them."""

from __future__ import annotations

import pytest

from tirtrack.errors import FrameError
from tirtrack.formats.foreign import FOREIGN
from tirtrack.media import frames


def error_of(path) -> str:
    with pytest.raises(FrameError) as caught:
        frames(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.seq", ["FLIR SEQ", "FLIR Thermal Studio"]),
        ("a.csq", ["FLIR CSQ", "FLIR Thermal Studio"]),
        ("a.ats", ["FLIR ATS", "FLIR Research Studio"]),
        ("a.ptw", ["FLIR PTW", "Research Studio"]),
        ("a.sfmov", ["FLIR SFMOV", "Research Studio"]),
        ("a.irb", ["InfraTec IRB", "IRBIS"]),
        ("a.is2", ["Fluke IS2", "SmartView"]),
        ("A.IS3", ["Fluke IS3", "SmartView"]),
        ("a.ravi", ["Optris RAVI", "PIX Connect"]),
        ("a.bmt", ["testo BMT", "IRSoft"]),
        ("a.csv", ["a table of text", "np.loadtxt"]),
        ("a.mat", ["a MATLAB file", "numpy"]),
        ("a.h5", ["an HDF5", "numpy"]),
        ("a.heic", ["HEIC", "convert it to PNG"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_file_is_named_by_its_ending_with_what_exports_it(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"anything")
    message = error_of(tmp_path / name)
    assert message.startswith(f"{tmp_path / name}: ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "head", "word"),
    [
        ("a.jpg", b"FFF\0CAMCTRL", "a FLIR FFF file"),
        ("a.tiff", b"\xffIRB\0", "an InfraTec IRB file"),
        ("a.jpg", b"\0\0\0\x18ftypheic", "a HEIC or AVIF picture"),
        ("a.png", b"\0\0\0\x18ftypavif", "a HEIC or AVIF picture"),
        ("a.png", b"%PDF-1.7", "a PDF"),
        ("noname", b"FFF\0", "a FLIR FFF file"),
        ("a.tif", b"PK\x03\x04", "a ZIP archive"),
    ],
    ids=["fff", "irb", "heic", "avif", "pdf", "no ending", "zip"],
)
def test_file_is_named_by_its_content_whatever_its_ending(tmp_path, name, head, word):
    (tmp_path / name).write_bytes(head + bytes(40))
    assert word in error_of(tmp_path / name)


@pytest.mark.parametrize("name", ["a.seq", "a.csq", "a.irb", "a.csv"])
def test_folder_of_such_files_names_them(tmp_path, name):
    (tmp_path / name).write_bytes(b"anything")
    message = error_of(tmp_path)
    assert "no images in the folder; " in message
    assert f"{name} is a" in message


def test_no_ending_names_two_formats_and_none_that_can_be_read():
    from tirtrack.images import IMAGE_KINDS
    from tirtrack.video import VIDEO_SUFFIXES

    suffixes = [suffix for one in FOREIGN for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert not set(suffixes) & (IMAGE_KINDS.keys() | VIDEO_SUFFIXES)
