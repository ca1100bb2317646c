"""Registered recordings: what is read, what it is called, and when it is done unasked."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from rigs import RGB_WH, matrix, pictures, write_recording
from same_pairs import assert_same_pairs

from tirtrack.errors import PairsError, RequestError
from tirtrack.pairs import CombinedPairs, Pairing, mine_pairs, open_pairs, read_rig, register_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.one_grid import fitted
from tirtrack.pairs.registering import SEARCHED, FoundRigs, find_rigs, pictures_of
from tirtrack.pairs.registration import measure_offset
from tirtrack.pairs.rig import Rig
from tirtrack.pairs.source import content_identity
from tirtrack.pairs.spreading import spread

FAR = matrix(1.1, (12.0, -9.0))


def rig_of(tir_from_rgb: np.ndarray, tir_wh: tuple[int, int] = (256, 192)) -> Rig:
    return Rig.model_validate(
        {"rgb_wh": RGB_WH, "tir_wh": tir_wh, "tir_from_rgb": tir_from_rgb.tolist()}
    )


@pytest.fixture
def far(tmp_path):
    """A recording whose modalities lie apart."""
    return write_recording(tmp_path / "far", FAR)


def test_a_rig_is_written_and_brings_the_modalities_together(tmp_path, far):
    rig = register_pairs(far, tmp_path / "rig.json")
    assert read_rig(tmp_path / "rig.json") == rig
    source = open_pairs(far, pairing=Pairing(rig=rig))
    before, after = (measure_offset(*one[1].both) for one in (open_pairs(far), source))
    assert before.length > 5 or not before.usable
    assert after.usable
    assert after.length < 1.0


def test_tir_of_another_aspect_ratio_can_be_registered(tmp_path):
    folder = write_recording(tmp_path / "odd", matrix())
    for file in (folder / "tir").iterdir():
        image = np.asarray(Image.open(file))
        Image.fromarray(image[20:-30]).save(file)
    with pytest.raises(PairsError, match="tirtrack pairs register"):
        open_pairs(folder)
    rig = register_pairs(folder, tmp_path / "rig.json")
    assert rig.tir_wh == (256, 142)
    pair = open_pairs(folder, pairing=Pairing(rig=rig))[0]
    assert pair.tir.shape == pair.rgb.shape[:2]
    assert measure_offset(*pair.both).length < 1.0


def test_what_tir_does_not_show_is_no_measurement(tmp_path):
    half = rig_of(matrix(shift_xy=(160.0, 0.0)))  # the right half of RGB lies beyond TIR
    folder = write_recording(tmp_path / "a", matrix())
    pair = open_pairs(folder, pairing=Pairing(rig=half))[0]
    assert pair.tir_valid is not None
    assert pair.tir_valid[:, :158].all()
    assert not pair.tir_valid[:, 162:].any()
    for file in (folder / "tir").iterdir():
        Image.fromarray(np.asarray(Image.open(file)).astype(np.uint16) + 7000).save(file)
    counts = open_pairs(folder, pairing=Pairing(rig=half))[0]
    assert counts.tir_depth == "uint16"
    assert_array_equal(np.isfinite(counts.tir), pair.tir_valid)


def test_a_rig_is_part_of_the_identity_of_the_pairs(far):
    plain, moved = open_pairs(far), open_pairs(far, pairing=Pairing(rig=rig_of(FAR)))
    identities = [content_identity(one, one.manifest()) for one in (plain, moved)]
    assert identities[0] != identities[1]
    other = open_pairs(far, pairing=Pairing(rig=rig_of(matrix(1.2))))
    assert content_identity(other, other.manifest()) not in identities


def test_registered_pairs_travel_to_other_processes(far):
    source = open_pairs(far, pairing=Pairing(rig=rig_of(FAR)))
    assert_same_pairs(source, pickle.loads(pickle.dumps(source)))


def test_shards_keep_the_rig_or_take_one(tmp_path, far):
    registered = Pairing(rig=rig_of(FAR))
    mine_pairs(far, tmp_path / "with", pairing=registered)
    mine_pairs(far, tmp_path / "without")
    folder = open_pairs(far, pairing=registered)
    for source in (
        open_pairs(tmp_path / "with"),
        open_pairs(tmp_path / "without", pairing=registered),
    ):
        assert_same_pairs(folder, source)
        assert_same_pairs(folder, pickle.loads(pickle.dumps(source)))
    with pytest.raises(PairsError, match="mined with a rig"):
        open_pairs(tmp_path / "with", pairing=registered)


def test_pictures_of_another_rig_are_refused(far):
    with pytest.raises(PairsError, match="the rig has RGB 320x240 and TIR 100x75"):
        open_pairs(far, pairing=Pairing(rig=rig_of(FAR, (100, 75))))


def test_unrelated_pictures_give_no_rig(tmp_path):
    folder = write_recording(tmp_path / "a", matrix())
    for seed, file in enumerate(sorted((folder / "tir").iterdir())):
        Image.fromarray(pictures(matrix(), seed + 70).tir).save(file)
    with pytest.raises(PairsError, match=r"no map .* can be trusted \(score 0\.\d+"):
        register_pairs(folder, tmp_path / "rig.json")
    assert not (tmp_path / "rig.json").exists()


def test_an_existing_file_is_kept_without_force(tmp_path, far):
    (tmp_path / "rig.json").write_text("mine")
    with pytest.raises(RequestError, match="exists already"):
        register_pairs(far, tmp_path / "rig.json")
    assert (tmp_path / "rig.json").read_text() == "mine"
    register_pairs(far, tmp_path / "rig.json", force=True)
    assert read_rig(tmp_path / "rig.json").is_trusted


def test_recordings_of_two_sizes_are_not_one_rig(tmp_path, far):
    other = write_recording(tmp_path / "other", matrix())
    for file in (other / "tir").iterdir():
        Image.open(file).resize((128, 96)).save(file)
    with pytest.raises(PairsError, match="2 sizes"):
        register_pairs([far, other], tmp_path / "rig.json")


def test_tir_alone_has_no_rig(tmp_path, far):
    with pytest.raises(PairsError, match="TIR alone"):
        register_pairs(far / "tir", tmp_path / "rig.json")


def test_only_recordings_that_lie_apart_get_a_rig_unasked(tmp_path, far):
    near = write_recording(tmp_path / "near", matrix(shift_xy=(1.2, -0.5)))
    found = find_rigs(open_pairs([near, far]))
    assert list(found.rigs) == ["far"]
    (said,) = found.said
    assert said.startswith("far: registered, TIR moved by ")
    assert find_rigs(open_pairs(far, pairing=Pairing(rig=rig_of(FAR)))).said == ()


@pytest.mark.parametrize("name", ["roadscene", "vifb", "llvip", "m3svd", "m3svd_video", "vtuav"])
def test_recordings_of_registered_sets_are_not_moved_unasked(shared, name):
    assert find_rigs(open_pairs(shared / "data" / "pairs" / name)) == FoundRigs({})


def test_pairs_that_agree_as_they_lie_are_not_moved_unasked(tmp_path):
    """Half of each picture lies on its partner, half is near and 10 px away: both maps are true."""
    folder = write_recording(tmp_path / "parallax", matrix(tir_wh=RGB_WH), tir_wh=RGB_WH)
    for file in (folder / "tir").iterdir():
        image = np.asarray(Image.open(file)).copy()
        for row in range(0, RGB_WH[1], 120):
            image[row : row + 60] = np.roll(image[row : row + 60], 10, axis=1)
        Image.fromarray(image).save(file)
    assert find_rigs(open_pairs(folder)).rigs == {}


def test_stills_of_several_sizes_get_no_rig_unasked(tmp_path, far):
    """A rig would refuse the pair of another size, which is usable as it lies."""
    for folder in (far / "rgb", far / "tir"):
        for file in list(folder.iterdir()):
            for letter in "qrstu":
                shutil.copy(file, folder / f"{file.stem}{letter}.png")
            file.unlink()
    stems = sorted(file.name for file in (far / "rgb").iterdir())
    (other, *_) = sorted(set(stems) - set(spread(stems, SEARCHED)))
    for name, size in (("rgb", (160, 120)), ("tir", (128, 96))):
        Image.open(far / name / other).resize(size).save(far / name / other)
    assert find_rigs(open_pairs(far)).rigs == {}


def test_recordings_beside_a_registered_one_stay_readable(tmp_path, far):
    odd = write_recording(tmp_path / "odd", matrix())
    for file in (odd / "tir").iterdir():
        Image.fromarray(np.asarray(Image.open(file))[20:-30]).save(file)
    source = open_pairs([far, odd], pairing=Pairing(any_aspect=True))
    assert isinstance(source, CombinedPairs)
    assert len(source.registered({"far": rig_of(FAR)})) == len(source)


def test_pixels_without_a_measurement_take_no_part_in_another_registration(far):
    pair = open_pairs(far, pairing=Pairing(rig=rig_of(FAR)))[0]
    assert pair.tir_mapped is not None
    counts = pair.tir_mapped.pixels.astype(np.float32) + 7000
    counts[:, :30] = np.nan
    again = pictures_of(replace(pair, tir_mapped=replace(pair.tir_mapped, pixels=counts)))
    assert again.tir_valid is not None
    assert_array_equal(again.tir_valid, np.isfinite(counts))


def test_inspection_registers_and_says_so(tmp_path, far):
    found = inspect_pairs(far, out=tmp_path / "out")
    assert found.registration[0].startswith("far: registered")
    assert found.offset.median_length < 1.0
    asked = inspect_pairs(far, pairing=Pairing(rig=rig_of(FAR)))
    assert not [one for one in (*found.warnings, *asked.warnings) if "resampled" in one]
    assert asked.registration == ()
    assert asked.offset.median_length < 1.0
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:
        assert sheet.height > 1400, "two rows of pairs, and two strips of before and after"


def test_the_registered_picture_is_read_once_from_the_stored_one(far):
    """Each pixel lies between the four stored ones around its place."""
    rig = rig_of(FAR)
    source = open_pairs(far, pairing=Pairing(rig=rig))
    pair = source[0]
    stored = np.asarray(Image.open(sorted((far / "tir").iterdir())[0])).astype(np.float64)
    x, y = rig.places(np.array([101 + 0.5, 57 + 0.5])) - 0.5
    j, i = int(np.floor(x)), int(np.floor(y))
    a, b = x - j, y - i
    upper = stored[i, j] * (1 - a) + stored[i, j + 1] * a
    lower = stored[i + 1, j] * (1 - a) + stored[i + 1, j + 1] * a
    assert_allclose(pair.tir[57, 101], upper * (1 - b) + lower * b, atol=0.51)
    assert pair.tir_mapped is not None
    assert_array_equal(pair.tir_mapped.pixels, stored)


def test_a_pair_read_without_a_rig_is_as_before(far):
    source = open_pairs(far)
    take = source.takes[0]
    plain = fitted(take, 0, *take.read(0))
    assert_array_equal(plain.tir, source[0].tir)
    assert replace(source[0], rgb=None).tir_mapped is None
