"""TIR frames are read as the user says: no-data value, channel, byte order, part of a JPEG."""

from __future__ import annotations

import pickle
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.errors import PairsError, RequestError
from tirtrack.pairs import Pairing, open_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.registry import propose_all
from tirtrack.pairs.proposals.rules import Limits, RejectionReason, Screen
from tirtrack.pairs.source import content_identity
from tirtrack.pairs.video_frames import VideoFrames
from tirtrack.read_options import ReadOptions

BORDER = 12


def opened(folder, **options):
    return open_pairs(folder, pairing=Pairing(tir_options=ReadOptions(**options)))


def rewrite(folder, change):
    """Replace every TIR image by what ``change`` makes of its levels."""
    for path in sorted((folder / "tir").iterdir()):
        Image.fromarray(change(np.asarray(Image.open(path)))).save(path)


def warped(levels):
    levels = levels.copy()
    levels[:, :BORDER] = 0
    return levels


@pytest.fixture
def warped_pairs(tmp_path, write_images):
    """Two 8-bit pairs; a warp left zeros in the first TIR frame only."""
    folder = write_images(tmp_path / "a", ["1", "2"])
    path = folder / "tir" / "1.png"
    Image.fromarray(warped(np.asarray(Image.open(path)))).save(path)
    return folder


def test_named_value_of_8_bits_is_filled_and_known_and_other_levels_stay(warped_pairs):
    stored = np.asarray(Image.open(warped_pairs / "tir" / "1.png"))
    source = opened(warped_pairs, no_data=0)
    pair = source[0]
    assert (pair.tir.dtype, pair.tir_depth) == (np.uint8, "uint8")
    np.testing.assert_array_equal(pair.tir[:, BORDER:], stored[:, BORDER:])
    np.testing.assert_array_equal(
        pair.tir[:, :BORDER], np.repeat(stored[:, BORDER : BORDER + 1], BORDER, axis=1)
    )
    np.testing.assert_array_equal(~pair.tir_valid, stored == 0)
    assert source[1].tir_valid is None


def test_8_bits_without_a_named_value_stay_as_stored(warped_pairs):
    pair = open_pairs(warped_pairs)[0]
    np.testing.assert_array_equal(pair.tir, np.asarray(Image.open(warped_pairs / "tir" / "1.png")))
    assert pair.tir_valid is None


def test_mask_of_8_bits_is_brought_onto_the_rgb_grid(warped_pairs):
    rewrite(warped_pairs, lambda levels: levels[::2, ::2])
    valid = opened(warped_pairs, no_data=0)[0].tir_valid
    assert valid.shape == (96, 128)
    assert not valid[:, :BORDER].any()
    assert valid[:, BORDER + 2 :].all()


def test_box_on_filled_pixels_is_rejected_and_their_share_is_told(warped_pairs):
    source = opened(warped_pairs, no_data=0)
    assert Screen(source[0], Limits()).fault(Box(0, 20, 14, 40)) == RejectionReason.NO_MEASUREMENT
    facts = inspect_pairs(source, proposer("centre")).recordings[0]
    assert facts.tir_masked_pairs == 1
    assert facts.tir_masked_share == pytest.approx(BORDER / 128, abs=1e-4)
    assert facts.tir_depths == {"uint8": 2}


def test_proposals_know_the_share_of_filled_pixels(warped_pairs):
    found = propose_all(opened(warped_pairs, no_data=0), proposer("random"), 0)
    assert [one.masked for one in found] == [BORDER / 128, 0.0]


def test_named_value_of_counts_is_marked(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    rewrite(folder, lambda levels: np.where(levels < 58, 4000, levels.astype(np.uint16) + 7000))
    stored = np.asarray(Image.open(folder / "tir" / "1.png"))
    pair = opened(folder, no_data=4000)[0]
    np.testing.assert_array_equal(np.isnan(pair.tir), stored == 4000)
    assert pair.tir_depth == "uint16"


def test_named_value_wins_over_the_declared_one(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    (folder / "tir" / "1.png").unlink()
    celsius = np.random.default_rng(0).normal(20, 1, (96, 128)).astype(np.float32)
    celsius[30:40, 30:40], celsius[60:70, 60:70] = 7.0, 9.0
    Image.fromarray(celsius).save(folder / "tir" / "1.tiff", tiffinfo={42113: "7"})
    for options, value in (({}, 7.0), ({"no_data": 9.0}, 9.0)):
        tir = opened(folder, **options)[0].tir
        np.testing.assert_array_equal(np.isnan(tir), celsius == value)


def test_tir_in_the_alpha_channel_is_refused_with_the_option_and_read_with_it(
    tmp_path, write_images
):
    folder = write_images(tmp_path / "a", ["1", "2"])
    stored = np.asarray(Image.open(folder / "tir" / "2.png"))
    rewrite(folder, lambda levels: np.dstack([levels // 2] * 3 + [levels]))
    with pytest.raises(PairsError, match=r"alpha channel is not constant.*give --channel 3"):
        open_pairs(folder)
    np.testing.assert_array_equal(opened(folder, channel=3)[1].tir, stored)
    with pytest.raises(PairsError, match=r"has 4 samples, there is no 4; give --channel 0 to 3"):
        opened(folder, channel=4)


def test_swapped_counts_are_refused_with_the_option_and_read_with_it(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    rows = 7000 + 3 * np.add.outer(np.arange(96), np.arange(128))
    counts = (rows + np.random.default_rng(0).integers(0, 9, rows.shape)).astype(np.uint16)
    rewrite(folder, lambda _: counts.byteswap())
    with pytest.raises(PairsError, match=r"bytes were swapped.*give --byte-order little"):
        open_pairs(folder)
    np.testing.assert_array_equal(opened(folder, byte_order="little")[1].tir, counts)


def test_a_later_pair_whose_bytes_are_swapped_is_a_damaged_one(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2", "3"])
    rows = 7000 + 3 * np.add.outer(np.arange(96), np.arange(128))
    counts = (rows + np.random.default_rng(0).integers(0, 9, rows.shape)).astype(np.uint16)
    rewrite(folder, lambda _: counts)
    Image.fromarray(counts.byteswap()).save(folder / "tir/2.png")
    source = open_pairs(folder)
    with pytest.raises(PairsError, match=r"2\.png: .*bytes were swapped .*; those before do not"):
        source[1]
    np.testing.assert_array_equal(source[2].tir, counts)
    (damage,) = inspect_pairs(source, proposer("centre")).damaged
    assert "bytes were swapped" in damage.message


def test_options_that_say_nothing_of_the_tir_files_are_refused(
    tmp_path, write_images, colour_videos
):
    images, (videos, _) = write_images(tmp_path / "a", ["1"]), colour_videos
    for folder in (images, videos):
        with pytest.raises(RequestError, match="--byte-order has no meaning for this source"):
            opened(folder, byte_order="big")
        with pytest.raises(RequestError, match="--picture has no meaning for this source"):
            opened(folder, picture="palette")


def test_pairs_are_masked_by_what_is_found_in_every_frame():
    with pytest.raises(RequestError, match="--no-data none: in pairs, what is not a measurement"):
        Pairing(tir_options=ReadOptions(no_data="none"))


def test_part_that_a_picture_lacks_is_refused(tmp_path, write_images):
    with pytest.raises(PairsError, match=r"it is for radiometric JPEGs; leave --picture out"):
        opened(write_images(tmp_path / "a", ["1"]), picture="visible")


def test_part_of_a_radiometric_jpeg_is_the_one_that_was_named(tmp_path, shared):
    for modality in ("rgb", "tir"):
        (tmp_path / "a" / modality).mkdir(parents=True)
    jpeg = (shared / "data/pairs/odd/flir_radiometric_e40.jpg").read_bytes()
    (tmp_path / "a/tir/x.jpg").write_bytes(jpeg)
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(tmp_path / "a/rgb/x.png")
    assert opened(tmp_path / "a", picture="counts")[0].tir_depth == "uint16"
    green = opened(tmp_path / "a", picture="palette", channel=1)[0]
    assert (green.tir_depth, green.tir_stored_wh) == ("uint8", (320, 240))


def write_rgb_video(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(10))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def colour_videos(tmp_path):
    """Videos of a rig; the red channel of TIR is the picture. Returns folder and TIR frames."""
    rng = np.random.default_rng(1)
    frames = [rng.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(4)]
    (tmp_path / "v").mkdir()
    for name in ("rgb", "tir"):
        write_rgb_video(tmp_path / "v" / f"{name}.mkv", frames)
    return tmp_path / "v", frames


def test_channel_of_a_video_is_read_also_in_another_process(colour_videos):
    folder, frames = colour_videos
    for source in (
        opened(folder, channel=0),
        pickle.loads(pickle.dumps(opened(folder, channel=0))),
    ):
        np.testing.assert_array_equal(source[2].tir, frames[2][..., 0])
        np.testing.assert_array_equal(source[2].rgb, frames[2])


def test_channel_that_a_video_lacks_is_refused(colour_videos):
    folder, _ = colour_videos
    video = VideoFrames(folder / "tir.mkv", grey=True, options=ReadOptions(channel=3))
    with pytest.raises(PairsError, match="has 3 samples, there is no 3; give --channel 0 to 2"):
        video[1]
    with pytest.raises(PairsError, match="give --channel 0 to 2"):
        opened(folder, channel=3)


def test_identity_of_a_source_knows_the_options_that_were_given(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    rewrite(folder, lambda levels: levels.astype(np.uint16))
    plain = open_pairs(folder)
    files = [(file.path.rsplit("/", 1)[1], file.sha256) for file in plain.manifest().files]
    expected = {"files": files, "recordings": [("a", [0, 1], False)]}
    assert content_identity(plain, plain.manifest()) == expected
    found = [
        content_identity(source, source.manifest())
        for source in (
            opened(folder),
            opened(folder, no_data=0),
            opened(folder, no_data=1234567),
            opened(folder, no_data=1234568),
            opened(folder, channel=0),
            opened(folder, byte_order="big"),
        )
    ]
    assert found[0] == expected
    assert len({str(one) for one in found}) == 6


@pytest.mark.parametrize(
    "options",
    [{"order": "time"}, {"size_wh": (4, 4)}, {"pixel_format": "gray16le"}],
    ids=["order", "size", "pixel format"],
)
def test_options_without_a_meaning_for_pairs_are_refused(options):
    with pytest.raises(RequestError, match=f'"{next(iter(options))}" has no meaning for pairs'):
        Pairing(tir_options=ReadOptions(**options))
