"""GIF, WebP, APNG, MPO and JPEG 2000: every picture, value for value where nothing is lost."""

from __future__ import annotations

import io
import struct

import imagecodecs
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, count_frames, frames, probe, read_image

RNG = np.random.default_rng(5)
COUNTS = RNG.integers(2600, 3200, (48, 64), dtype=np.uint16)
GREY = [np.full((48, 64), 40 * k, np.uint8) for k in range(5)]
COLOUR = [np.dstack([image, 255 - image, image // 2]) for image in GREY]


def animate(path, images, **how):
    first, *rest = [Image.fromarray(image) for image in images]
    first.save(path, save_all=True, append_images=rest, duration=100, **how)


LOSSLESS = {"a.webp": {"lossless": True, "format": "WEBP"}, "a.png": {"format": "PNG"},
            "a.apng": {"format": "PNG"}, "a.gif": {"format": "GIF"}}  # fmt: skip


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
def test_pictures_of_an_animation_are_frames(tmp_path, name, images):
    path = tmp_path / name
    animate(path, images, **LOSSLESS[name])
    found = list(frames(path))
    assert_array_equal(np.stack([frame.image for frame in found]), np.stack(images))
    assert [frame.name for frame in found][-1] == f"{name}#4"
    assert count_frames(path) == 5
    line = probe(path).description
    assert "of 5 frames, 64x48, 8 bit" in line
    assert "10 frames/s" in line
    with pytest.raises(FrameError, match="holds 5 frames; give the file itself as the source"):
        read_image(path)


def test_still_picture_of_an_animated_png_is_no_frame(tmp_path):
    still, *moving = [Image.fromarray(image) for image in COLOUR]
    still.save(tmp_path / "a.png", save_all=True, append_images=moving, default_image=True)
    found = list(frames(tmp_path / "a.png"))
    assert_array_equal(np.stack([frame.image for frame in found]), np.stack(COLOUR[1:]))
    assert "not used: the still picture" in probe(tmp_path / "a.png").description


@pytest.mark.parametrize("name", ["a.webp", "a.png"])
def test_alpha_of_an_animation_that_varies_is_refused_until_the_channel_is_named(tmp_path, name):
    alpha = [RNG.integers(1, 256, (48, 64), dtype=np.uint8) for _ in range(3)]
    images = [np.dstack([GREY[2]] * 3 + [one]) for one in alpha]
    how = {"exact": True} if name == "a.webp" else {"blend": 0}
    animate(tmp_path / name, images, **LOSSLESS[name], **how)
    with pytest.raises(FrameError, match="give --channel 3 for it"):
        probe(tmp_path / name)
    found = frames(tmp_path / name, options=ReadOptions(channel=3))
    assert_array_equal(np.stack([frame.image for frame in found]), np.stack(alpha))


def test_start_and_end_of_an_animation_keep_the_index(tmp_path):
    animate(tmp_path / "a.gif", COLOUR)
    found = list(frames(tmp_path / "a.gif", start=2, end=4))
    assert [frame.index for frame in found] == [2, 3]
    assert_array_equal(found[0].image, COLOUR[2])


def test_multi_picture_jpeg_is_frames_and_a_jpeg_with_more_behind_it_names_them(tmp_path):
    animate(tmp_path / "a.mpo", COLOUR[:3], format="MPO")
    assert count_frames(tmp_path / "a.mpo") == 3
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.mpo").read_bytes())
    assert count_frames(tmp_path / "b.jpg") == 1
    assert "not used: 2 more pictures behind the first" in probe(tmp_path / "b.jpg").description


@pytest.mark.parametrize("suffix", ["jp2", "j2k"])
@pytest.mark.parametrize(
    "image", [COUNTS, GREY[3], np.stack([COUNTS] * 3, 2), COLOUR[1]],
    ids=["counts", "grey", "colour 16 bit", "colour"],
)  # fmt: skip
def test_jpeg_2000_keeps_its_depth(tmp_path, suffix, image):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(imagecodecs.jpeg2k_encode(image, level=0, codecformat=suffix))
    assert_array_equal(next(frames(path)).image, image)
    assert read_image(path).dtype == image.dtype


def test_still_webp_and_gif_are_images_of_a_folder(tmp_path):
    for k in range(3):
        Image.fromarray(COLOUR[k]).save(tmp_path / f"{k}.webp", lossless=True)
    found = list(frames(tmp_path))
    assert_array_equal(np.stack([frame.image for frame in found]), np.stack(COLOUR[:3]))
    assert found[0].name == "0.webp"


def test_animation_among_the_files_of_a_folder_is_refused(tmp_path):
    for k in range(2):
        animate(tmp_path / f"{k}.gif", GREY)
    with pytest.raises(FrameError, match="holds 5 frames, one of several files must hold one"):
        list(frames(tmp_path))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.jp2", "a.apng"])
def test_cut_file_is_a_frame_error_wherever_it_was_cut(tmp_path, name):
    path = tmp_path / name
    noise = [RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(3)]
    if name == "a.jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(noise[0], level=0, codecformat="jp2"))
    else:
        animate(path, noise, **LOSSLESS[name])
    content = path.read_bytes()
    for share in (0.0005, 0.01, 0.3, 0.7):
        path.write_bytes(content[: max(int(len(content) * share), 1)])
        with pytest.raises(FrameError) as caught:
            list(frames(path))
        assert str(path) in str(caught.value)


def test_canvas_of_too_many_pixels_is_refused_by_its_header(tmp_path):
    animate(tmp_path / "a.gif", GREY)
    content = bytearray((tmp_path / "a.gif").read_bytes())
    content[6:10] = struct.pack("<HH", 60000, 60000)
    (tmp_path / "a.gif").write_bytes(content)
    animate(tmp_path / "a.webp", COLOUR, lossless=True)
    content = bytearray((tmp_path / "a.webp").read_bytes())
    assert content[12:16] == b"VP8X"
    content[24:30] = (16382).to_bytes(3, "little") * 2
    (tmp_path / "a.webp").write_bytes(content)
    for name in ("a.gif", "a.webp"):
        with pytest.raises(FrameError, match="over the limit of 100 million pixels"):
            list(frames(tmp_path / name))


def test_animated_png_of_16_bits_is_refused_and_not_cut_to_8(tmp_path):
    images = [Image.fromarray(COUNTS), Image.fromarray(COUNTS + 9)]
    buffer = io.BytesIO()
    images[0].save(buffer, "PNG", save_all=True, append_images=images[1:])
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    if buffer.getvalue()[24] == 16:
        with pytest.raises(FrameError, match="an animated PNG of 16 bits"):
            list(frames(tmp_path / "a.png"))


def test_alpha_channel_that_is_read_is_not_called_unused(tmp_path):
    pixels = np.zeros((6, 8, 4), np.uint8)
    pixels[..., 3] = np.arange(8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert "not used" not in probe(tmp_path / "a.png", ReadOptions(channel=3)).description
