"""Pairs that are no pairs are doubted, and real ones are not."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import ndimage

from tirtrack.errors import PairsError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.delay import Delay
from tirtrack.pairs.doubt_sentences import sentences
from tirtrack.pairs.doubts import QUICK, THOROUGH, RecordingDoubts, look_for_doubts
from tirtrack.pairs.likeness import TURNS, likeness
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import Pair


def _grey(rgb: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _recompressed(rgb: np.ndarray) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(_grey(rgb)).save(stored, "JPEG", quality=20)
    return np.asarray(Image.open(stored))


def _half_size(rgb: np.ndarray) -> np.ndarray:
    grey = Image.fromarray(_grey(rgb))
    return np.asarray(grey.resize((grey.width // 2, grey.height // 2)).resize(grey.size))


COPIES = {
    "grey": _grey,
    "one channel": lambda rgb: np.ascontiguousarray(rgb[:, :, 0]),
    "recompressed": _recompressed,
    "inverted": lambda rgb: 255 - _grey(rgb),
    "stretched": lambda rgb: np.asarray(ImageOps.equalize(Image.fromarray(_grey(rgb)))),
    "brightened": lambda rgb: (255 * (_grey(rgb) / 255.0) ** 0.5).astype(np.uint8),
    "smaller": _half_size,
    "16 bit": lambda rgb: _grey(rgb).astype(np.uint16) * 9 + 6000,
    "moved": lambda rgb: np.roll(_grey(rgb), 5, axis=1),
    "noisy": lambda rgb: np.clip(
        _grey(rgb) + np.random.default_rng(0).normal(0, 6, rgb.shape[:2]), 0, 255
    ).astype(np.uint8),
}


@pytest.fixture(scope="module")
def real(shared) -> list[Pair]:
    source = open_pairs(shared / "data" / "pairs" / "m3svd" / "0111_1753")
    return [source[index] for index in range(20)]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_rgb_is_no_tir(real, copy):
    pair = real[0]
    assert likeness(replace(pair, tir=COPIES[copy](pair.rgb))).same_picture
    assert not likeness(pair).same_picture


def test_of_smooth_pictures_the_grey_levels_decide(shared):
    """Recompression leaves nothing of their finest structure."""
    source = open_pairs(shared / "cases" / "equal_counts_other_rates")
    pair = source[0]
    assert not likeness(pair).same_picture
    copy = likeness(replace(pair, tir=_recompressed(pair.rgb)))
    assert copy.same_picture
    assert copy.detail < 0.6
    assert likeness(replace(pair, tir=255 - _recompressed(pair.rgb))).same_picture


def test_one_thing_that_stands_out_in_both_makes_no_copy():
    rng = np.random.default_rng(0)
    rgb, tir = (rng.integers(40, 80, (96, 128), dtype=np.uint8) for _ in range(2))
    for picture in (rgb, tir):
        picture[30:50, 40:64] = 220
    pair = Pair("a/0", "a", 0, np.repeat(rgb[:, :, None], 3, axis=2), tir)
    assert likeness(pair).outlines > 0.7
    assert not likeness(pair).same_picture


def _write(folder: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Path:
    for name in ("rgb", "tir"):
        (folder / name).mkdir(parents=True)
    for number, images in enumerate(pairs):
        for name, image in zip(("rgb", "tir"), images, strict=True):
            Image.fromarray(image).save(folder / name / f"{number:04d}.png")
    return folder


def _said(folder: Path) -> list[str]:
    return sentences(look_for_doubts(open_pairs(folder)))


def test_the_same_picture_on_both_sides_is_said_with_its_count(tmp_path, real):
    folder = _write(tmp_path / "copy", [(one.rgb, _recompressed(one.rgb)) for one in real[:4]])
    (said,) = _said(folder)
    assert said.startswith("RGB and TIR are the same picture")
    assert "copy (4 of 4)" in said


def test_tir_of_a_few_frames_later_is_said_in_frames_and_with_the_way_out(tmp_path, real):
    late = [(rgb.rgb, tir.tir) for rgb, tir in zip(real[5:], real[:-5], strict=True)]
    (said,) = _said(_write(tmp_path / "late", late))
    assert "late (TIR is 5 frames late: without the delay the correlation is" in said
    assert "--delay 5" in said
    from tirtrack.pairs import Pairing

    mended = open_pairs(tmp_path / "late", pairing=Pairing(delay_frames=5))
    assert not sentences(look_for_doubts(mended))
    half = look_for_doubts(open_pairs(tmp_path / "late", pairing=Pairing(delay_frames=2)))
    assert sentences(half)[0].endswith("with --delay 5 in place of 2")
    assert not sentences(half, says_delays=False)


LATE = RecordingDoubts("rig", delay=Delay(4, 0.2, 0.6, "correlation"))


def test_what_drifts_is_said_once_and_with_no_constant_delay():
    drifts = TimeOffset(frames=3.0, drift_per_1000=4.0, drift_error_per_1000=0.3, measures=9)
    constant = drifts.model_copy(update={"drift_per_1000": 0.0})
    (said,) = sentences([LATE], times={"rig": drifts})
    assert said.startswith("rig: frames of a pair are not of one instant: TIR 3.0 frames late")
    assert said.endswith("give that --rig, without --delay: it takes the TIR frame that is nearest")
    (said,) = sentences([LATE], times={"rig": constant})
    assert said.endswith("take TIR that much later with --delay 4")
    (said,) = sentences([replace(LATE, delay=None)], times={"rig": constant})
    assert "register the rig on this recording" in said
    many = [replace(LATE, name=str(number)) for number in range(5)]
    said = sentences(many, times={one.name: drifts for one in many})
    assert [one[:2] for one in said[:3]] == ["0:", "1:", "2:"]
    assert said[3:] == ["the same in 2 more recordings"]


def test_where_a_rigs_drift_is_in_use_no_constant_delay_is_advised():
    (said,) = sentences([replace(LATE, given_frames=None)])
    assert "--delay 4" not in said
    assert "the rig's drift does not fit" in said
    (said,) = sentences(
        [replace(LATE, given_frames=None), replace(LATE, delay=replace(LATE.delay, frames=9))]
    )
    assert "the rig's drift does not fit" in said


def test_recordings_of_a_gain_control_beside_raw_counts_are_named(tmp_path, real):
    both = [pair.both for pair in real[::6]]
    _write(tmp_path / "all" / "agc", both)
    assert not _said(tmp_path / "all")
    _write(tmp_path / "all" / "raw", [(rgb, 7000 + tir.astype(np.uint16)) for rgb, tir in both])
    (said,) = _said(tmp_path / "all")
    assert said.startswith("TIR has 8 bits in all/agc and raw counts in all/raw: ")
    assert "export all as raw counts" in said


def test_a_delay_of_videos_is_said_in_seconds_too(tmp_path, real):
    from tirtrack.video_writer import VideoWriter

    folder = tmp_path / "late"
    folder.mkdir()
    for name, frames in (("rgb", real[:-5]), ("tir", real[5:])):
        with VideoWriter(folder / f"{name}.mp4", 10) as writer:
            for pair in frames:
                writer.write(getattr(pair, name))
    (said,) = _said(folder)
    assert "TIR is 5 frames (0.5 s) early" in said
    assert "--delay -5" in said


def test_a_delay_is_not_taken_for_modalities_without_common_outlines(tmp_path, real):
    folder = _write(tmp_path / "a", [(_smoke(one.rgb.shape, 0, 0.0), one.tir) for one in real[:3]])
    (found,) = look_for_doubts(open_pairs(folder))
    assert found.shows_nothing_in_common
    assert not replace(found, delay=Delay(7, 0.2, 0.6, "correlation")).shows_nothing_in_common


def _smoke(shape: tuple[int, ...], number: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(number)
    cloud = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape[:2]), 30)
    grey = 150 + 400 * np.roll(cloud, 9 * number, axis=1)
    return np.clip(grey[:, :, None] + rng.normal(0, noise, shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "blind",
    [
        pytest.param(lambda pair, k: _smoke(pair.rgb.shape, k, 0.0), id="smoke"),
        pytest.param(lambda pair, k: _smoke(pair.rgb.shape, k, 4.0), id="noisy smoke"),
        pytest.param(lambda pair, k: np.zeros_like(pair.rgb), id="lens cap"),
        pytest.param(
            lambda pair, k: np.random.default_rng(k).integers(0, 30, pair.rgb.shape, np.uint8),
            id="dark noise",
        ),
    ],
)
def test_rgb_that_shows_nothing_is_said_among_good_recordings(tmp_path, real, blind):
    _write(tmp_path / "in" / "good", [(one.rgb, one.tir) for one in real[:6]])
    _write(tmp_path / "in" / "bad", [(blind(one, k), one.tir) for k, one in enumerate(real[:6])])
    (said,) = _said(tmp_path / "in")
    assert said.startswith("RGB and TIR share no outlines in most of the pairs compared: in/bad (6")
    assert "in/good" not in said


def test_a_remark_stands_beside_the_recording(tmp_path, real):
    folder = _write(tmp_path / "a", [(_smoke(one.rgb.shape, 0, 0.0), one.tir) for one in real[:3]])
    found = look_for_doubts(open_pairs(folder))
    (said,) = sentences(found, {"a": "the teacher passed 37 of 40 samples"})
    assert "a (3 of 3, RGB nearly without contrast, the teacher passed 37 of 40 samples)" in said


def test_swapped_cameras_are_refused_where_colour_is_strong_and_said_where_it_is_weak(
    tmp_path, real
):
    def grey(pair: Pair) -> np.ndarray:
        return np.repeat(pair.tir[:, :, None], 3, axis=2)

    def pale(pair: Pair) -> np.ndarray:
        mean = pair.rgb.mean(axis=2, keepdims=True)
        return (mean + 0.4 * (pair.rgb - mean)).astype(np.uint8)

    strong = _write(tmp_path / "strong", [(grey(one), one.rgb) for one in real[:3]])
    with pytest.raises(PairsError, match="TIR is in colour and RGB is grey: the cameras look swa"):
        open_pairs(strong)
    (said,) = _said(_write(tmp_path / "weak", [(grey(one), pale(one)) for one in real[:3]]))
    assert said.startswith("TIR is in colour and RGB is grey: weak; the cameras look swapped")


@pytest.mark.parametrize("size", [(512, 384), (256, 192), (640, 480), (1024, 768), (300, 300)])
@pytest.mark.parametrize(
    ("quality", "step"),
    [(None, 1), (75, 1), (10, 1), (None, -1)],
    ids=["png", "jpg", "poor_jpg", "red_for_blue"],
)
def test_the_colour_picture_of_rgb_in_place_of_tir_is_said_to_be_that(
    tmp_path, real, size, quality, step
):
    for name in ("rgb", "tir"):
        (tmp_path / name).mkdir()
        for index, pair in enumerate(real[:2]):
            picture = Image.fromarray(pair.rgb)
            if name == "tir":
                picture = Image.fromarray(np.asarray(picture.resize(size))[:, :, ::step])
            kind, more = "png", {}
            if name == "tir" and quality is not None:
                kind, more = "jpg", {"quality": quality}
            picture.save(tmp_path / name / f"{index}.{kind}", **more)
    with pytest.raises(PairsError, match="RGB and TIR are the same colour picture"):
        open_pairs(tmp_path)


def test_swapped_16_bit_cameras_are_told_from_a_palette(tmp_path, real):
    deep = [(one.tir.astype(np.uint16) * 200, one.rgb) for one in real[:2]]
    with pytest.raises(PairsError, match="RGB is grey of uint16: the cameras look swapped"):
        open_pairs(_write(tmp_path / "deep", deep))
    palette = [(one.rgb, np.stack([one.tir, one.tir // 2, 255 - one.tir], 2)) for one in real[:2]]
    with pytest.raises(PairsError, match="coloured by a palette"):
        open_pairs(_write(tmp_path / "palette", palette))


def test_swapped_videos_are_noticed(tmp_path, real):
    from tirtrack.video_writer import VideoWriter

    for name, other in (("rgb", "tir"), ("tir", "rgb")):
        with VideoWriter(tmp_path / f"{name}.mp4", 10) as writer:
            for pair in real[:4]:
                writer.write(getattr(pair, other))
    try:
        (said,) = _said(tmp_path)
    except PairsError as error:
        said = str(error)
    assert "the cameras look swapped" in said


@pytest.mark.parametrize("effort", [THOROUGH, QUICK], ids=["inspect", "distill"])
@pytest.mark.parametrize("name", ["roadscene", "vifb", "llvip", "m3svd", "m3svd_video", "vtuav"])
def test_real_pairs_are_not_doubted(shared, name, effort):
    assert sentences(look_for_doubts(open_pairs(shared / "data" / "pairs" / name), effort)) == []


class _Counting:
    """A source that counts what is read."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.name = inner.name
        self.read: list[int] = []

    def __len__(self) -> int:
        return len(self._inner)

    def __getitem__(self, index: int) -> Pair:
        self.read.append(index)
        return self._inner[index]

    def recordings(self):
        return self._inner.recordings()

    def manifest(self):
        return self._inner.manifest()


def test_a_distillation_reads_few_pairs_for_it(shared):
    names = ("roadscene", "vifb", "llvip", "m3svd", "m3svd_video", "vtuav")
    source = _Counting(open_pairs([shared / "data" / "pairs" / name for name in names]))
    look_for_doubts(source, QUICK)
    assert len(source.read) <= QUICK.frames + 2 * len(source.recordings())


REAL = ["llvip", "vtuav/bus1", "m3svd/0111_1716", "m3svd/0115_1831", "roadscene"]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("turn", ["", *TURNS])
def test_tir_that_lies_the_wrong_way_round_is_named(shared, tmp_path, name, turn):
    for side in ("rgb", "tir"):
        (tmp_path / "rig" / side).mkdir(parents=True)
        for path in sorted((shared / "data/pairs" / name / side).iterdir())[:6]:
            image = np.asarray(Image.open(path))
            turned = TURNS[turn](image) if turn and side == "tir" else image
            Image.fromarray(turned).save(tmp_path / "rig" / side / f"{path.stem}.png")
    (found,) = look_for_doubts(open_pairs(tmp_path / "rig"), THOROUGH)
    assert found.turned == turn
    assert not found.shows_nothing_in_common
    said = [one for one in sentences([found]) if "wrong way round" in one]
    assert said == [] if not turn else f"rig ({turn})" in said[0]
