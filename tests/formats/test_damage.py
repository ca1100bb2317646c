"""Any damage to any format is a FrameError or goes unseen, and never another error."""

from __future__ import annotations

import gzip
import io
import struct
from contextlib import suppress

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, frames, frames_and_faults, probe

RNG = np.random.default_rng(5)
STACK = RNG.integers(2600, 3200, (3, 12, 16), dtype=np.uint16)
COLOURS = [RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8) for _ in range(3)]


def flir_jpeg() -> bytes:
    picture = imagecodecs.png_encode(STACK[0].byteswap())
    record = struct.pack("<HHH26x", 2, 16, 12) + picture
    entry = struct.pack(">HHIIII12x", 1, 2, 100, 1, 96, len(record))
    head = (b"FFF\0" + bytes(16) + struct.pack(">III", 101, 64, 1)).ljust(64, b"\0")
    inside = head + entry + record
    buffer = io.BytesIO()
    Image.fromarray(COLOURS[0]).save(buffer, "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(inside) + 10) + b"FLIR\0\x01\0\0" + inside
    return buffer.getvalue()[:2] + segment + buffer.getvalue()[2:]


def cptv() -> bytes:
    fields = b"\x04X" + struct.pack("<I", 4) + b"\x04Y" + struct.pack("<I", 2) + b"\x01C\x01"
    frame = b"F\x02\x01w\x08\x04f" + struct.pack("<I", 11) + bytes(range(11))
    return b"CPTV\x02H\x03" + fields + frame * 3


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    first, *rest = [Image.fromarray(image) for image in COLOURS]
    for name in ("a.gif", "a.webp", "a.apng", "a.mpo"):
        form = {"a.apng": "PNG", "a.mpo": "MPO"}.get(name, name[2:].upper())
        first.save(folder / name, form, save_all=True, append_images=rest)
    (folder / "a.jp2").write_bytes(imagecodecs.jpeg2k_encode(STACK[0], level=0, codecformat="jp2"))
    (folder / "a.pgm").write_bytes(b"P5 16 12 65535\n" + STACK[0].astype(">u2").tobytes())
    (folder / "plain.pgm").write_bytes(b"P2 3 2 255\n1 2 3 4 5 6\n")
    np.save(folder / "a.npy", STACK)
    np.savez(folder / "a.npz", STACK)
    (folder / "a.cptv").write_bytes(gzip.compress(cptv(), 0))
    (folder / "a.jpg").write_bytes(flir_jpeg())
    tifffile.imwrite(folder / "a.tif", STACK.reshape(3, 1, 12, 16), imagej=True)
    tifffile.imwrite(folder / "ome.tif", STACK, photometric="minisblack", ome=True)
    return sorted(folder.iterdir())


def test_the_files_are_whole(whole_files):
    for path in whole_files:
        assert len(list(frames(path))) in (1, 3), path


@settings(max_examples=300)
@given(data=st.data())
def test_any_damage_is_a_frame_error_or_goes_unseen_but_never_another_error(whole_files, data):
    whole = data.draw(st.sampled_from(whole_files))
    content = bytearray(whole.read_bytes())
    places = st.one_of(st.integers(4, min(200, len(content) - 1)), st.integers(4, len(content) - 1))
    for place in data.draw(st.lists(places, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    broken = whole.with_name(f"broken{whole.suffix}")
    broken.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for options in (ReadOptions(), ReadOptions(channel=0, byte_order="big")):
        with suppress(FrameError):
            probe(broken, options)
        with suppress(FrameError):
            for _ in frames_and_faults(broken, options=options):
                pass
    broken.unlink()
