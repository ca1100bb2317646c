"""What a user says of a source: values that cannot be, and options that say nothing of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tirtrack.errors import FrameError, RequestError
from tirtrack.media import frames, probe
from tirtrack.read_options import ReadOptions
from tirtrack.video_writer import VideoWriter


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("order", "newest"), ("order", 3), ("channel", -1), ("channel", 1.0), ("channel", True),
        ("channel", "0"), ("byte_order", "<"), ("picture", "raw"), ("no_data", float("nan")),
        ("no_data", float("inf")), ("no_data", "black"), ("no_data", True),
        ("size_wh", (0, 480)), ("size_wh", (640, -1)), ("size_wh", (640.0, float("nan"))),
        ("size_wh", (640,)), ("size_wh", "640x480"), ("pixel_format", ""), ("pixel_format", 16),
    ],
)  # fmt: skip
def test_a_value_that_no_source_could_follow_is_refused_with_the_option(field, value):
    flag = "--size" if field == "size_wh" else "--" + field.replace("_", "-")
    with pytest.raises(RequestError, match=re.escape(flag)) as caught:
        ReadOptions(**{field: value})
    assert str(value) in str(caught.value)


def test_numbers_of_numpy_are_numbers():
    options = ReadOptions(channel=np.int64(2), no_data=np.uint16(65535))
    assert (options.channel, options.no_data) == (2, 65535.0)
    assert type(options.no_data) is float


def levels(index: int) -> np.ndarray:
    return (np.arange(48 * 64).reshape(48, 64) // 16 + index).astype(np.uint8)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Sources that leave little open, by kind."""
    root = tmp_path_factory.mktemp("sources")
    (root / "folder").mkdir()
    for index in range(2):
        Image.fromarray(levels(index)).save(root / f"folder/{index}.png")
        Image.fromarray(levels(index)).save(root / f"{index}.jpg")
    np.save(root / "stack.npy", np.stack([levels(k) for k in range(3)]))
    np.save(root / "counts.npy", np.stack([levels(k) for k in range(3)]).astype(np.uint16))
    tifffile.imwrite(root / "bytes.tif", levels(0))
    (root / "a.pgm").write_bytes(b"P5 64 48 255\n" + levels(0).tobytes())
    (root / "a.raw").write_bytes(levels(0).tobytes())
    with VideoWriter(root / "a.mp4", fps=25) as video:
        for index in range(3):
            video.write(levels(index))
    return {
        "folder": root / "folder", "list": [root / "folder/0.png", root / "folder/1.png"],
        "pattern of one": str(root / "folder/0*.png"),
        "glob": str(root / "folder/*.png"), "image": root / "folder/0.png", "jpeg": root / "0.jpg",
        "npy": root / "stack.npy", "counts": root / "counts.npy", "tiff": root / "bytes.tif",
        "pgm": root / "a.pgm", "video": root / "a.mp4", "raw": root / "a.raw",
        "address": "rtsp://127.0.0.1:9/live",
    }  # fmt: skip


FIT = {"raw": {"size_wh": (64, 48), "pixel_format": "gray"}}
ORDERS = {"order": "natural"}
BYTES = {"byte_order": "big"}
PARTS = [{"picture": part} for part in ("counts", "visible", "palette")]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *[(kind, ORDERS) for kind in ("list", "image", "npy", "counts", "tiff", "video", "raw",
                                      "address")],
        *[(kind, BYTES) for kind in ("folder", "list", "glob", "image", "jpeg", "npy", "tiff",
                                     "pgm", "video", "raw")],
        *[(kind, part) for kind in ("folder", "glob", "jpeg", "npy", "tiff", "video", "raw")
          for part in PARTS],
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, *value.items())),
)  # fmt: skip
def test_an_option_that_says_nothing_of_a_source_is_refused(sources, kind, options):
    given = ReadOptions(**options, **FIT.get(kind, {}))
    flag = "--" + next(iter(options)).replace("_", "-")
    for read in (probe, lambda *words: next(frames(words[0], options=words[1]))):
        with pytest.raises(FrameError, match=f"{flag} has no meaning for this source") as caught:
            read(sources[kind], given)
        assert str(caught.value).endswith(f"leave {flag} out")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("pattern of one", {"order": "name"}),
        ("folder", {"order": "name"}), ("glob", {"order": "time"}), ("counts", BYTES),
        ("counts", {"byte_order": "little"}), ("image", {"channel": 0}), ("video", {"channel": 0}),
        ("image", {"no_data": 3}), ("video", {"no_data": "none"}),
    ],
)  # fmt: skip
def test_an_option_that_a_source_can_follow_is_followed(sources, kind, options):
    assert probe(sources[kind], ReadOptions(**options)).width == 64


def test_the_part_of_a_radiometric_jpeg_has_an_order_of_bytes_only_where_it_has_counts(shared):
    path = Path(shared / "data/pairs/odd/flir_radiometric_e40.jpg")
    assert probe(path, ReadOptions(byte_order="little")).dtype == "uint16"
    with pytest.raises(FrameError, match="--byte-order has no meaning"):
        probe(path, ReadOptions(byte_order="little", picture="palette"))
