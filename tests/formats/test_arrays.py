"""NPY and NPZ: which axis is what, number types, and files that are not to be trusted."""

from __future__ import annotations

import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from tirtrack.errors import FrameError
from tirtrack.media import ReadOptions, count_frames, frames, probe, read_image

RNG = np.random.default_rng(5)
STACK = RNG.integers(2600, 3200, (5, 12, 16), dtype=np.uint16)


def stacked(source, **options) -> np.ndarray:
    return np.stack([frame.image for frame in frames(source, options=ReadOptions(**options))])


def error_of(path, **options) -> str:
    with pytest.raises(FrameError) as caught:
        list(frames(path, options=ReadOptions(**options)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (STACK[0], (1, 12, 16)),
        (STACK, (5, 12, 16)),
        (STACK[..., None], (5, 12, 16)),
        (np.stack([STACK[0]] * 3, 2), (1, 12, 16, 3)),
        (np.stack([STACK] * 3, 3), (5, 12, 16, 3)),
        (STACK[:3], (3, 12, 16)),
        (np.asfortranarray(STACK), (5, 12, 16)),
        (STACK.astype(">u2"), (5, 12, 16)),
    ],
    ids=["frame", "stack", "stack with a last axis", "colour", "colour stack", "three frames",
         "column order", "big-endian"],
)  # fmt: skip
def test_shape_says_what_the_axes_are(tmp_path, array, shape):
    np.save(tmp_path / "a.npy", array)
    found = stacked(tmp_path / "a.npy")
    assert found.shape == shape
    assert_array_equal(found, array.reshape(shape))


@pytest.mark.parametrize(
    ("stored", "read"),
    [("u1", "u1"), ("u2", "u2"), ("i2", "f4"), ("i4", "f8"), ("i8", "f8"), ("f2", "f4"),
     ("f4", "f4"), ("f8", "f8"), (">f4", "f4")],
)  # fmt: skip
def test_number_types_keep_their_values(tmp_path, stored, read):
    array = (STACK % 200).astype(stored)
    np.save(tmp_path / "a.npy", array)
    found = stacked(tmp_path / "a.npy")
    assert found.dtype == np.dtype(read)
    assert_array_equal(found, array)


@pytest.mark.parametrize(
    "shape",
    [(120, 160, 50), (120, 160, 400), (480, 640, 1000), (512, 640, 8), (640, 512, 20)],
    ids=["short", "long", "very long", "bands", "turned"],
)
def test_frames_on_the_last_axis_are_refused_with_what_to_do(tmp_path, shape):
    first, second, last = shape
    array = np.zeros(shape, np.uint8)
    np.save(tmp_path / "a.npy", array)
    message = error_of(tmp_path / "a.npy")
    assert (
        f"may be {first} frames of {last}x{second} or {last} frames of {second}x{first}" in message
    )
    np.save(tmp_path / "b.npy", array[..., None])
    assert (probe(tmp_path / "b.npy").width, probe(tmp_path / "b.npy").height) == (last, second)
    np.save(tmp_path / "c.npy", np.moveaxis(array, -1, 0))
    assert (probe(tmp_path / "c.npy").width, probe(tmp_path / "c.npy").height) == (second, first)


@pytest.mark.parametrize(
    "shape",
    [
        (50, 120, 160),
        (300, 256, 320),
        (640, 480, 640),
        (9, 640, 480),
        (2000, 160, 120),
        (5, 60, 60),
    ],
    ids=str,
)
def test_usual_stacks_are_not_doubted(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    assert (probe(tmp_path / "a.npy").height, probe(tmp_path / "a.npy").width) == shape[1:]


def test_samples_of_a_pixel_are_chosen_by_channel(tmp_path):
    bands = np.moveaxis(STACK, 0, -1)
    np.save(tmp_path / "a.npy", bands)
    np.save(tmp_path / "b.npy", bands[None])
    assert "neither a frame [H,W] nor a stack" in error_of(tmp_path / "b.npy")
    for name in ("a.npy", "b.npy"):
        assert_array_equal(stacked(tmp_path / name, channel=4), STACK[4:])


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([Evil()], object), "holds Python objects, no numbers of pixels"),
        (np.zeros((2, 3, 4), complex), "holds complex128, no numbers of pixels"),
        (np.array([["a", "b"]]), "no numbers of pixels"),
        (np.zeros(7), "an array [7] is neither a frame [H,W] nor a stack"),
        (np.zeros((2, 2, 3, 4, 5)), "is neither a frame"),
        (np.zeros((0, 3, 4)), "the array [0, 3, 4] is empty"),
    ],
    ids=["pickle", "complex", "text", "one axis", "five axes", "empty"],
)
def test_arrays_that_are_no_frames_are_refused_and_no_pickle_runs(
    tmp_path, monkeypatch, array, message
):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    np.savez(tmp_path / "a.npz", array, allow_pickle=True)
    assert message in error_of(tmp_path / "a.npy")
    assert str(tmp_path / "a.npz") in error_of(tmp_path / "a.npz")
    assert not (tmp_path / "evil-was-here").exists()


def test_cut_array_keeps_the_frames_before(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[: -STACK[0].nbytes - 3])
    found = frames(tmp_path / "a.npy")
    assert_array_equal([next(found).image for _ in range(3)], STACK[:3])
    with pytest.raises(FrameError, match=r"frame 3: the array ends early \(3 of 5 frames"):
        next(found)
    (tmp_path / "a.npy").write_bytes(content[:150])
    assert "the array is damaged or truncated" in error_of(tmp_path / "a.npy")


def test_header_that_lies_of_a_huge_array_allocates_nothing(tmp_path):
    np.save(tmp_path / "a.npy", STACK)
    content = (tmp_path / "a.npy").read_bytes()
    for shape in (b"(999999999, 12, 16)", b"(5, 99999, 99999)  "):
        lie = content.replace(b"(5, 12, 16), }     ", shape[:19].replace(b"  ", b"") + b", }")
        (tmp_path / "b.npy").write_bytes(lie)
        assert str(tmp_path / "b.npy") in error_of(tmp_path / "b.npy")


def test_archive_gives_its_one_array_of_frames_and_names_the_others(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", frames=STACK, times=np.arange(5.0))
    assert_array_equal(stacked(tmp_path / "a.npz"), STACK)
    assert probe(tmp_path / "a.npz").description.endswith("not used: the array times")
    np.savez(tmp_path / "column_order.npz", np.asfortranarray(STACK))
    assert_array_equal(stacked(tmp_path / "column_order.npz"), STACK)
    np.savez(tmp_path / "b.npz", rgb=STACK, tir=STACK)
    assert "holds 2 arrays that can be frames (rgb, tir)" in error_of(tmp_path / "b.npz")
    (tmp_path / "c.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-60])
    assert "the archive is damaged or truncated" in error_of(tmp_path / "c.npz")


def test_folder_of_arrays_is_read_and_arrays_beside_pictures_are_not(tmp_path):
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", STACK[k])
    assert_array_equal(stacked(tmp_path), STACK[:3])
    from PIL import Image

    Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "0.png")
    assert count_frames(tmp_path) == 1
    assert probe(tmp_path).description.endswith("not used: 3 other files")


def test_folder_of_arrays_and_pgm_is_refused(tmp_path):
    np.save(tmp_path / "0.npy", STACK[0])
    (tmp_path / "1.pgm").write_bytes(b"P5 2 1 255\nab")
    assert "holds files of several formats (1 NPY, 1 PNM); say which" in error_of(tmp_path)


def test_case_of_a_saved_stack_is_read(shared):
    path = shared / "cases/pgm_npy_frames/stack.npy"
    assert_array_equal(stacked(path), np.load(path))
    with pytest.raises(FrameError, match="holds 4 frames"):
        read_image(path)


def test_source_line_has_the_shape_that_is_stored(tmp_path):
    np.save(tmp_path / "a.npy", STACK[0])
    assert probe(tmp_path / "a.npy").description.endswith(" [12, 16]")
    np.save(tmp_path / "b.npy", np.stack([STACK[0]] * 3, 2))
    assert probe(tmp_path / "b.npy").description.endswith(" [12, 16, 3]")
