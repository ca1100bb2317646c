"""TIFF: frames that are no pages, channels, and pages that are no frames."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from tirtrack.errors import FrameError
from tirtrack.media import (
    ReadOptions,
    count_frames,
    frames,
    frames_and_faults,
    probe,
    read_image,
)

RNG = np.random.default_rng(5)
STACK = RNG.integers(29000, 29250, (8, 12, 16), dtype=np.uint16)


def stacked(source, **options) -> np.ndarray:
    return np.stack([frame.image for frame in frames(source, options=ReadOptions(**options))])


def only_first_directory(path, *, big=False):
    """Cut the chain of pages after the first, as ImageJ and tifffile write large stacks."""
    with tifffile.TiffFile(path) as opened:
        page = opened.pages[0]
        at = page.offset + (8 + 20 * len(page.tags) if big else 2 + 12 * len(page.tags))
    content = bytearray(path.read_bytes())
    content[at : at + (8 if big else 4)] = bytes(8 if big else 4)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "how",
    [
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
        {"imagej": True, "byteorder": "<", "metadata": {"axes": "TYX"}},
        {"metadata": {"axes": "TYX"}},
        {"bigtiff": True, "metadata": {"axes": "TYX"}},
        {"ome": True, "metadata": {"axes": "TYX"}},
    ],
    ids=["imagej", "imagej slices", "imagej little-endian", "shaped", "bigtiff", "ome"],
)
def test_planes_behind_one_directory_are_frames(tmp_path, how):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", contiguous=False, **how)
    assert_array_equal(stacked(path), STACK)
    only_first_directory(path, big="bigtiff" in how)
    assert_array_equal(stacked(path), STACK)
    assert "TIFF file of 8 frames" in probe(path).description
    assert "8 planes behind one page" in probe(path).description


def test_case_of_an_imagej_hyperstack_with_one_directory_gives_all_frames(shared):
    found = list(frames(shared / "cases/imagej_one_directory/stack.tif"))
    assert len(found) == 8
    assert found[7].name == "stack.tif#7"
    assert len({frame.image.tobytes() for frame in found}) == 8


def test_cut_planes_behind_one_directory_keep_those_before(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"})
    only_first_directory(path)
    with tifffile.TiffFile(path) as opened:
        begin = opened.pages[0].dataoffsets[0]
    path.write_bytes(path.read_bytes()[: begin + 5 * STACK[0].nbytes + 7])
    for reader in (frames, frames_and_faults):
        items = reader(path)
        kept = [next(items).image for _ in range(5)]
        assert_array_equal(kept, STACK[:5])
        with pytest.raises(FrameError, match=r"plane 5: the file ends early \(5 of 8 images"):
            next(items)


def test_compressed_stack_that_lacks_its_pages_is_refused(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, STACK, metadata={"axes": "TYX"}, compression="zlib",
                     photometric="minisblack")  # fmt: skip
    only_first_directory(path)
    with pytest.raises(FrameError, match="promises 8 images, and it has one page"):
        probe(path)


@pytest.mark.parametrize(
    "how", [{"imagej": True}, {"ome": True}, {}], ids=["imagej", "ome", "shaped"]
)
@pytest.mark.parametrize("is_cut", [False, True], ids=["pages", "one directory"])
def test_channels_beside_frames_are_refused_until_one_is_named(tmp_path, how, is_cut):
    path = tmp_path / "two.tif"
    stack = STACK.reshape(4, 2, 12, 16)
    tifffile.imwrite(path, stack, photometric="minisblack", metadata={"axes": "TCYX"}, **how)
    if is_cut:
        only_first_directory(path)
    with pytest.raises(FrameError, match="2 channels of 4 frames each; choose one with --channel"):
        probe(path)
    for channel in (0, 1):
        assert_array_equal(stacked(path, channel=channel), stack[:, channel])
    assert "channel 1 of 2" in probe(path, ReadOptions(channel=1)).description
    with pytest.raises(FrameError, match="none of them is 2"):
        probe(path, ReadOptions(channel=2))


def test_stack_whose_only_axis_is_called_channels_is_one_of_frames(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True)  # the axis that tifffile chooses
    assert_array_equal(stacked(tmp_path / "a.tif"), STACK)
    assert (
        "frames along the axis that the file calls channels"
        in probe(tmp_path / "a.tif").description
    )


def test_pages_of_another_kind_are_named_and_not_read(tmp_path):
    path = tmp_path / "mixed.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((24, 32, 3), np.uint8), photometric="rgb")
        for image in STACK:
            writer.write(image, photometric="minisblack", contiguous=False)
        writer.write(STACK[0, ::4, ::4].copy(), photometric="minisblack", subfiletype=1)
    assert_array_equal(stacked(path), STACK)
    line = probe(path).description
    assert "not used: 1 page of 32x24 colour uint8, 1 reduced copy" in line


def test_one_colour_page_and_one_of_counts_is_the_counts(tmp_path):
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.zeros((12, 16, 3), np.uint8), photometric="rgb")
        writer.write(STACK[0], photometric="minisblack")
    assert_array_equal(stacked(path), STACK[:1])


def test_pages_of_two_kinds_of_which_none_prevails_are_refused(tmp_path):
    path = tmp_path / "two.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK[0], photometric="minisblack")
        writer.write(STACK[0, :6].copy(), photometric="minisblack")
    with pytest.raises(FrameError, match="its pages are of 2 kinds, and none prevails"):
        probe(path)


def test_sub_images_of_pages_are_named(tmp_path):
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(STACK[0], photometric="minisblack", subifds=2)
        writer.write(STACK[0, ::2, ::2].copy(), photometric="minisblack", subfiletype=1)
        writer.write(STACK[0, ::4, ::4].copy(), photometric="minisblack", subfiletype=1)
    assert probe(path).description.endswith("not used: 2 sub-images of pages")


def test_bytes_that_no_page_names_are_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], photometric="minisblack", metadata=None)
    with path.open("ab") as opened:
        opened.write(STACK[1:].tobytes())
    left = STACK[1:].nbytes
    line = probe(path).description
    assert line.endswith(f"not used: {left} bytes behind the page, room for 7 more")


def test_camera_raw_is_named(tmp_path):
    path = tmp_path / "raw.tif"
    tifffile.imwrite(path, STACK[0], photometric="minisblack")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as opened:
        at = opened.pages[0].tags["PhotometricInterpretation"].offset
    content[at + 8 : at + 10] = struct.pack("<H", 32803)
    path.write_bytes(content)
    with pytest.raises(FrameError, match=r"a camera's raw picture \(DNG\)"):
        list(frames(path))


def test_signed_counts_with_named_byte_order_are_swapped_before_they_are_floats(tmp_path):
    signed = STACK[0].astype(np.int16) - 30000
    tifffile.imwrite(tmp_path / "a.tif", signed.byteswap())
    found = stacked(tmp_path / "a.tif", byte_order="big")
    assert_array_equal(found[0], signed.astype(np.float32))


def test_array_with_its_frames_on_the_last_axis_is_refused_unless_it_names_its_axes(tmp_path):
    stack = np.arange(48 * 64 * 9, dtype=np.uint16).reshape(48, 64, 9)
    path = tmp_path / "a.tif"
    for is_one_page in (False, True):
        tifffile.imwrite(path, stack, photometric="minisblack", truncate=is_one_page)
        with pytest.raises(FrameError, match="48 frames of 9x64 or 9 frames of 64x48") as caught:
            probe(path)
    assert "metadata={'axes': 'TYX'}" in str(caught.value)
    tifffile.imwrite(path, stack, metadata={"axes": "TYX"})
    assert count_frames(path) == 48
    tifffile.imwrite(path, np.moveaxis(stack, -1, 0))
    assert count_frames(path) == 9


@pytest.mark.parametrize("count", [3, 4])
def test_few_frames_that_became_planes_of_colour_are_refused(tmp_path, count):
    stack = np.arange(count * 48 * 64, dtype=np.uint16).reshape(count, 48, 64)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, photometric="rgb", planarconfig="separate")
    with pytest.raises(FrameError, match=f"choose one with --channel 0 to {count - 1}"):
        probe(path)
    assert_array_equal(read_image(path, ReadOptions(channel=1)), stack[1])
