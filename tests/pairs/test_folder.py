"""Layouts are found by looking, labels are never opened, and what does not fit is said."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from opened_files import opened_below
from PIL import Image

from tirtrack.errors import PairsError
from tirtrack.files import sha256
from tirtrack.pairs import CombinedPairs, Pairing, PairSource, open_pairs, pairs_line
from tirtrack.pairs.folder import lacks_rgb
from tirtrack.pairs.one_grid import onto_rgb_grid, resample
from tirtrack.pairs.source import content_identity
from tirtrack.pairs.stems import natural_key


def test_images_with_equal_stems_are_pairs_in_the_order_of_their_numbers(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "night", ["f10", "f9", "f8"]))
    assert isinstance(source, PairSource)
    assert [source[index].key for index in range(3)] == ["night/f8", "night/f9", "night/f10"]
    first = source[0]
    assert first.rgb.shape == (96, 128, 3)
    assert first.tir.shape == (96, 128)
    assert (first.recording, first.position) == ("night", 0)


def test_stems_of_both_modalities_may_have_different_suffixes(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["x", "y"])
    for path in sorted((folder / "rgb").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    assert len(open_pairs(folder)) == 2


def test_two_videos_are_pairs_frame_by_frame(tmp_path):
    source = open_pairs(_videos(tmp_path))
    assert len(source) == 12
    assert source.recordings()["drive"].is_video
    pair = source[7]
    assert pair.key == "drive/000007"
    assert pair.tir.ndim == 2
    columns = np.flatnonzero(pair.tir[50] > 150)
    assert columns[0] == pytest.approx(10 + 4 * 7, abs=1)


def _videos(tmp_path: Path) -> Path:
    from tirtrack.video_writer import VideoWriter

    folder = tmp_path / "drive"
    folder.mkdir()
    for name in ("rgb", "tir"):
        with VideoWriter(folder / f"{name}.mp4", 10) as writer:
            for position in range(12):
                frame = np.full((96, 128), 60, np.uint8)
                frame[40:64, 10 + 4 * position : 24 + 4 * position] = 210
                writer.write(frame)
    return folder


def test_one_recording_at_a_time_is_open(tmp_path, write_videos):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("counts open files where the system lists them (Linux)")
    for number in range(4):
        folder = tmp_path / f"take{number}"
        folder.mkdir()
        write_videos(folder, 3, 3)

    def opened() -> int:
        held = [path.resolve() for path in descriptors.iterdir() if path.is_symlink()]
        return sum(path.suffix == ".mp4" and path.is_relative_to(tmp_path) for path in held)

    source = open_pairs(tmp_path)
    assert opened() == 0
    seen = [source[index].tir for index in range(12)]
    assert opened() == 2
    assert all(np.array_equal(source[index].tir, seen[index]) for index in (0, 11, 4))


def test_a_folder_of_recordings_keeps_their_paths_as_names(tmp_path, write_images):
    write_images(tmp_path / "rig" / "day" / "seq2", ["1", "2", "3"])
    write_images(tmp_path / "rig" / "seq10", ["1", "2"])
    source = open_pairs(tmp_path / "rig")
    assert list(source.recordings()) == ["rig/day/seq2", "rig/seq10"]
    assert list(source.recordings()["rig/seq10"].indices) == [3, 4]
    assert len(source) == 5


def test_a_list_is_one_source_with_counted_through_indices(tmp_path, write_images):
    folders = [write_images(tmp_path / name, ["1", "2"]) for name in ("a", "b")]
    source = open_pairs(folders, licence="CC0-1.0")
    assert isinstance(source, CombinedPairs)
    assert isinstance(source, PairSource)
    assert source[3].key == "b/2"
    assert list(source.recordings()["b"].indices) == [2, 3]
    assert source.manifest().licence == "CC0-1.0"
    with pytest.raises(IndexError):
        source[4]


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path, write_images):
    folders = [write_images(tmp_path / name / "seq", ["1"]) for name in ("a", "b")]
    assert list(open_pairs(folders).recordings()) == ["a/seq", "b/seq"]


def test_the_same_recording_twice_is_refused(tmp_path, write_images):
    folder = write_images(tmp_path / "a" / "seq", ["1"])
    with pytest.raises(PairsError, match="two recordings are called a/seq"):
        open_pairs([folder, folder])


def test_consecutive_numbers_are_video_and_others_stills(tmp_path, write_images):
    video = open_pairs(write_images(tmp_path / "v", ["000001", "000002", "000003"]))
    stills = open_pairs(write_images(tmp_path / "s", ["000001", "000002", "000007"]))
    assert video.recordings()["v"].is_video
    assert not stills.recordings()["s"].is_video


def test_the_manifest_names_every_file_with_its_hash(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    (folder / "rgb" / "labels.txt").write_text("1,2,3,4")
    manifest = open_pairs(folder, licence="MIT").manifest()
    assert [Path(file.path).name for file in manifest.files] == ["1.png", "2.png"] * 2
    assert manifest.files[0].sha256 == sha256(folder / "rgb" / "1.png")
    assert manifest.files[0].size_bytes == (folder / "rgb" / "1.png").stat().st_size
    json.dumps([manifest.name, manifest.licence])


def test_no_label_file_is_ever_opened(tmp_path, write_images, write_videos):
    """Traced by the interpreter, for both layouts."""
    from tirtrack.pairs.proposals import propose_all, proposer

    images = write_images(tmp_path / "in" / "images", ["1", "2", "3"])
    videos = tmp_path / "in" / "videos"
    videos.mkdir()
    write_videos(videos, 5, 5)
    for folder in (images, images / "rgb", images / "tir", videos, tmp_path / "in"):
        for name in ("groundtruth.txt", "boxes.json", "1.txt", "instances.json"):
            (folder / name).write_text("1,2,3,4")
    with opened_below(tmp_path) as opened:
        source = open_pairs(tmp_path / "in")
        propose_all(source, proposer("saliency"), 0)
        source.manifest()
    assert {path.suffix for path in opened} <= {".png", ".mp4"}
    assert len([path for path in opened if path.suffix == ".png"]) == 6


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        pytest.param(lambda root: None, "no pairs found, the folder is empty", id="empty"),
        pytest.param(
            lambda root: (root / "rgb").mkdir(), "holds rgb and no tir", id="one modality"
        ),
        pytest.param(
            lambda root: [(root / name).mkdir() for name in ("rgb", "tir")],
            "holds no image",
            id="no images",
        ),
        pytest.param(
            lambda root: [(root / "rgb").mkdir(), (root / "tir.mp4").write_bytes(b"x")],
            "one modality is a folder of images",
            id="mixed",
        ),
        pytest.param(
            lambda root: [
                (root / f"{name}.mp4").write_bytes(b"no video") for name in ("rgb", "tir")
            ],
            "cannot be opened as a video",
            id="damaged videos",
        ),
    ],
)
def test_a_folder_that_is_no_recording_is_said_in_one_sentence(tmp_path, prepare, message):
    prepare(tmp_path)
    with pytest.raises(PairsError, match=message) as caught:
        open_pairs(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_missing_folder_file_and_empty_list_are_named(tmp_path):
    with pytest.raises(PairsError, match="no such folder"):
        open_pairs(tmp_path / "nowhere")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(PairsError, match="is a file and no video"):
        open_pairs(tmp_path / "a.txt")
    (tmp_path / "colour.mp4").touch()
    with pytest.raises(PairsError, match="not taken for TIR alone: it is named like an RGB camera"):
        open_pairs(tmp_path / "colour.mp4")
    with pytest.raises(PairsError, match="no folder of pairs"):
        open_pairs([])


def test_stems_without_a_partner_are_counted_and_named(tmp_path, write_images):
    folder = write_images(tmp_path / "rig3", [str(number) for number in range(8)])
    for stem in ("1", "3", "5", "7"):
        (folder / "tir" / f"{stem}.png").unlink()
    with pytest.raises(PairsError) as caught:
        open_pairs(folder)
    assert "rgb has 8 images, tir 4, and 4 stems are in one of them only (1, 3, 5, ...)" in str(
        caught.value
    )
    assert "remove those without a partner" in str(caught.value)


def test_the_same_stem_twice_is_refused(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    Image.open(folder / "rgb" / "1.png").save(folder / "rgb" / "1.jpg")
    with pytest.raises(PairsError, match="two images have the stem 1"):
        open_pairs(folder)


def test_a_palette_over_a_tir_video_is_refused_at_its_first_frame(tmp_path):
    from tirtrack.video_writer import VideoWriter

    for name, colour in (("rgb", [90, 140, 60]), ("tir", [250, 120, 20])):
        with VideoWriter(tmp_path / f"{name}.mp4", 25) as writer:
            writer.write(np.full((48, 64, 3), colour, np.uint8))
    with pytest.raises(PairsError, match=r"tir\.mp4, frame 0: TIR is coloured by a palette"):
        open_pairs(tmp_path)


def test_videos_of_different_length_are_refused(tmp_path, write_videos):
    with pytest.raises(PairsError, match=r"rgb.mp4 has 9 frames .*, tir.mp4 7"):
        open_pairs(write_videos(tmp_path, 9, 7))


def test_tir_of_the_same_aspect_is_brought_onto_the_rgb_grid(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    small = Image.open(folder / "tir" / "1.png").resize((64, 48))
    small.save(folder / "tir" / "1.png")
    pair = open_pairs(folder)[0]
    assert pair.tir.shape == pair.rgb.shape[:2]
    assert pair.tir_stored_wh == (64, 48)
    assert np.flatnonzero(pair.tir[50] > 150)[[0, -1]] == pytest.approx([10, 23], abs=2)


def test_other_fields_of_view_are_refused_with_both_sizes(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    Image.fromarray(np.zeros((96, 100), np.uint8)).save(folder / "tir" / "1.png")
    with pytest.raises(PairsError, match=r"RGB is 128x96 and TIR 100x96.*tirtrack pairs register"):
        open_pairs(folder)


def test_bit_depths_may_not_mix_inside_a_recording(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    Image.fromarray(np.full((96, 128), 7000, np.uint16)).save(folder / "tir" / "2.png")
    source = open_pairs(folder)
    with pytest.raises(PairsError, match="TIR is uint16, the first of its recording uint8"):
        source[1]


def test_sixteen_bits_of_tir_arrive_unchanged(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    counts = np.random.default_rng(0).integers(6000, 9000, (96, 128)).astype(np.uint16)
    Image.fromarray(counts).save(folder / "tir" / "1.png")
    assert np.array_equal(open_pairs(folder)[0].tir, counts)


@pytest.mark.parametrize("suffix", [".pgm", ".npy"])
def test_tir_of_array_and_pgm_files_arrives_unchanged(tmp_path, write_images, suffix):
    folder = write_images(tmp_path / "a", ["x", "y"])
    counts = np.random.default_rng(5).integers(2600, 3200, (96, 128), dtype=np.uint16)
    for path in sorted((folder / "tir").iterdir()):
        path.unlink()
        if suffix == ".npy":
            np.save(path.with_suffix(suffix), counts)
        else:
            head = b"P5 128 96 65535\n"
            path.with_suffix(suffix).write_bytes(head + counts.astype(">u2").tobytes())
    np.testing.assert_array_equal(open_pairs(folder)[1].tir, counts)


def test_tir_of_a_radiometric_jpeg_is_its_counts(tmp_path, shared):
    for modality in ("rgb", "tir"):
        (tmp_path / "a" / modality).mkdir(parents=True)
    content = (shared / "data/pairs/odd/flir_radiometric_e40.jpg").read_bytes()
    (tmp_path / "a/tir/x.jpg").write_bytes(content)
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(tmp_path / "a/rgb/x.png")
    tir = open_pairs(tmp_path / "a")[0].tir
    assert (tir.shape, tir.dtype) == ((120, 160), np.uint16)


def test_a_palette_over_tir_is_refused_and_grey_in_three_channels_is_not(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2"])
    grey = np.asarray(Image.open(folder / "tir" / "1.png"))
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(folder / "tir" / "1.png")
    palette = np.stack([grey, grey // 2, 255 - grey], axis=2)
    Image.fromarray(palette).save(folder / "tir" / "2.png")
    source = open_pairs(folder)
    assert np.array_equal(source[0].tir, grey)
    with pytest.raises(PairsError, match="coloured by a palette"):
        source[1]


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n\x1a\n", b"no image at all"])
def test_a_damaged_image_is_named_when_it_is_read(tmp_path, write_images, damage):
    folder = write_images(tmp_path / "a", ["1", "2"])
    (folder / "rgb" / "2.png").write_bytes(damage)
    source = open_pairs(folder)
    assert source[0].key == "a/1"
    with pytest.raises(PairsError, match=r"rgb/2\.png"):
        source[1]


def test_a_recording_opens_by_the_first_pair_that_can_be_read(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1", "2", "3"])
    (folder / "tir" / "1.png").write_bytes(b"")
    Image.fromarray(np.full((96, 128), 7000, np.uint16)).save(folder / "tir" / "2.png")
    source = open_pairs(folder)
    with pytest.raises(PairsError, match=r"tir/1\.png: the file is empty"):
        source[0]
    assert source[1].tir.dtype == np.uint16
    with pytest.raises(PairsError, match="TIR is uint8, the first of its recording uint16"):
        source[2]


def test_a_recording_without_a_readable_pair_is_named_with_the_first_reason(tmp_path, write_images):
    write_images(tmp_path / "rig" / "day", ["1", "2"])
    for path in (write_images(tmp_path / "rig" / "night", ["1", "2"]) / "rgb").iterdir():
        path.write_bytes(b"")
    with pytest.raises(PairsError) as caught:
        open_pairs(tmp_path / "rig")
    first = tmp_path / "rig" / "night" / "rgb" / "1.png"
    assert str(caught.value) == (
        f"rig/night: not one of its 2 pairs can be read ({first}: the file is empty (0 bytes)); "
        "copy or export the recording again, or remove it"
    )


def test_a_source_survives_pickling(tmp_path, write_images, write_videos):
    write_images(tmp_path / "in" / "a", ["1", "2"])
    (tmp_path / "in" / "b").mkdir()
    write_videos(tmp_path / "in" / "b", 4, 4)
    source = open_pairs(tmp_path / "in")
    copy = pickle.loads(pickle.dumps(source))
    for index in range(len(source)):
        assert np.array_equal(source[index].tir, copy[index].tir)


def test_resampling_keeps_depth_and_a_constant_frame_constant():
    counts = np.full((30, 40), 7123, np.uint16)
    larger = resample(counts, 60, 80)
    assert larger.dtype == np.uint16
    assert (larger == 7123).all()
    rgb = np.zeros((30, 40, 3), np.uint8)
    assert onto_rgb_grid(rgb, counts, "here") is counts


def test_natural_order_never_depends_on_padding():
    assert sorted(["a10", "a9", "b1", "a1x"], key=natural_key) == ["a1x", "a9", "a10", "b1"]


def test_all_real_pairs_open_with_the_counts_of_their_index(shared):
    folder = shared / "data" / "pairs"
    counts = json.loads((folder / "index.json").read_text())
    for name in ("roadscene", "vifb", "llvip", "m3svd", "m3svd_video", "vtuav"):
        source = open_pairs(folder / name)
        expected = sum(number for key, number in counts.items() if key.split("/")[0] == name)
        assert len(source) == expected
        assert source[0].rgb.shape[:2] == source[0].tir.shape


def test_an_opened_source_is_not_opened_again(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", ["1"]))
    assert open_pairs(source) is source


# --- TIR alone -----------------------------------------------------------------------------------


def _tir_frames(folder: Path, dtype: str = "uint8", frames: int = 3) -> Path:
    folder.mkdir(parents=True)
    for position in range(frames):
        image = np.full((96, 128), 60, dtype)
        image[40:64, 10 + 4 * position : 24 + 4 * position] = 210 if dtype == "uint8" else 4200
        Image.fromarray(image).save(folder / f"{position:03d}.png")
    return folder


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_folder_of_frames_without_a_partner_is_tir_alone(tmp_path, dtype):
    source = open_pairs(_tir_frames(tmp_path / "night", dtype))
    (recording,) = source.recordings().values()
    assert (recording.has_rgb, recording.is_video) == (False, True)
    assert [source[index].key for index in range(3)] == ["night/000", "night/001", "night/002"]
    assert source[0].rgb is None
    assert source[0].tir.dtype == dtype
    bits = 8 if dtype == "uint8" else 16
    assert f"3 TIR frames in 1 recording, images of a video, TIR 128x96 {bits} bit" in pairs_line(
        source
    )


def test_recordings_that_hold_tir_and_nothing_else_are_tir_alone(tmp_path):
    for name in ("a", "b"):
        _tir_frames(tmp_path / "all" / name / "tir")
    assert list(open_pairs(tmp_path / "all").recordings()) == ["all/a", "all/b"]
    assert lacks_rgb(tmp_path / "all")
    _tir_frames(tmp_path / "all" / "b" / "other")
    assert not lacks_rgb(tmp_path / "all")


def test_half_of_a_rig_that_is_taken_for_tir_alone_is_named(tmp_path):
    for name in ("visible", "infrared"):
        _tir_frames(tmp_path / "walk" / name)
    source = open_pairs(tmp_path / "walk", pairing=Pairing(tir_alone=True))
    assert "; assumed: walk: infrared/ taken for TIR alone; " in pairs_line(source)


def test_a_video_is_tir_alone(tmp_path):
    folder = _videos(tmp_path)
    (folder / "tir.mp4").rename(tmp_path / "night.mp4")
    source = open_pairs(tmp_path / "night.mp4")
    assert (len(source), list(source.recordings())) == (12, ["night.mp4"])
    assert source[7].rgb is None
    assert source[7].tir.shape == (96, 128)
    assert [Path(file.path).name for file in source.manifest().files] == ["night.mp4"]


def test_many_recordings_of_tir_alone_are_found_below(tmp_path):
    for name in ("a", "b"):
        _tir_frames(tmp_path / "all" / name / "img")
        (tmp_path / "all" / name / "groundtruth.txt").write_text("1,1,5,5\n")
    _videos(tmp_path)
    (tmp_path / "all" / "c").mkdir()
    (tmp_path / "drive" / "tir.mp4").rename(tmp_path / "all" / "c" / "walk.mp4")
    source = open_pairs(tmp_path / "all")
    assert list(source.recordings()) == ["all/a/img", "all/b/img", "all/c/walk"]
    assert "; assumed: all/a/img, all/b/img, all/c/walk: taken for TIR alone; " in pairs_line(
        source
    )
    assert lacks_rgb(tmp_path / "all")


@pytest.mark.parametrize("kind", ["folders", "videos"])
def test_what_may_be_two_cameras_is_tir_alone_only_if_asked_for(tmp_path, kind):
    rig = tmp_path / "rig"
    if kind == "folders":
        _tir_frames(rig / "day")
        _tir_frames(rig / "night")
    else:
        _videos(tmp_path).rename(rig)
        (rig / "rgb.mp4").rename(rig / "day.mp4")
        (rig / "tir.mp4").rename(rig / "night.mp4")
    assert not lacks_rgb(rig)
    with pytest.raises(PairsError, match=r"--rgb NAME --tir NAME.*for TIR alone, give each"):
        open_pairs(rig)
    asked = open_pairs(rig, pairing=Pairing(tir_alone=True))
    assert list(asked.recordings()) == ["rig/day", "rig/night"]
    assert [open_pairs(path)[0].rgb for path in sorted(rig.iterdir())] == [None, None]


@pytest.mark.parametrize("kind", ["images", "video"])
def test_frames_in_colour_are_never_taken_for_tir(tmp_path, write_images, write_videos, kind):
    given = tmp_path / ("walk" if kind == "images" else "walk.mp4")
    if kind == "images":
        (write_images(tmp_path / "r", ["0", "1"]) / "rgb").rename(given)
    else:
        (tmp_path / "r").mkdir()
        (write_videos(tmp_path / "r", 3, 3) / "rgb.mp4").rename(given)
    with pytest.raises(PairsError, match="these frames are in colour"):
        open_pairs(given)


@pytest.mark.parametrize("name", ["rgb", "visible", "yard_rgb"])
def test_frames_that_are_named_rgb_are_not_taken_for_tir(tmp_path, name):
    given = _tir_frames(tmp_path / name)
    assert not lacks_rgb(given)
    with pytest.raises(PairsError, match="no pairs found"):
        open_pairs(given)


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_of_pairs_opened_as_tir_alone_the_rgb_files_are_not_opened(tmp_path, write_images, kind):
    folder = write_images(tmp_path / "a", ["0", "1"]) if kind == "images" else _videos(tmp_path)
    assert not lacks_rgb(folder)
    for file in [*folder.glob("rgb/*"), *folder.glob("rgb.mp4")]:
        file.write_bytes(b"no picture")
    source = open_pairs(folder, pairing=Pairing(tir_alone=True, delay_frames=1))
    assert source[1].rgb is None
    assert source[1].tir.shape == (96, 128)
    assert not any("rgb" in Path(file.path).as_posix() for file in source.manifest().files)
    if kind == "images":
        with pytest.raises(PairsError, match="can be read"):
            open_pairs(folder)


def test_an_opened_source_gives_tir_alone_where_asked(tmp_path, write_images):
    pairs = open_pairs(write_images(tmp_path / "a", ["0", "1"]))
    alone = open_pairs(pairs, pairing=Pairing(tir_alone=True))
    assert isinstance(alone, PairSource)
    assert lacks_rgb(alone)
    assert alone[1].rgb is None
    assert np.array_equal(alone[1].tir, pairs[1].tir)


def test_the_tir_of_an_opened_source_is_other_content_than_its_pairs(tmp_path, write_images):
    pairs = open_pairs(write_images(tmp_path / "a", ["0", "1"]))
    alone = open_pairs(pairs, pairing=Pairing(tir_alone=True))
    of_pairs, of_tir = (content_identity(one, one.manifest()) for one in (pairs, alone))
    assert of_pairs["files"] == of_tir["files"]
    assert of_pairs != of_tir
