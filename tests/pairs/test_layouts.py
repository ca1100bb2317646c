"""How rigs lay recordings out: what is found, what is assumed, what is refused."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from opened_files import opened_below
from PIL import Image

from tirtrack.errors import PairsError
from tirtrack.pairs import Pairing, open_pairs
from tirtrack.video_writer import VideoWriter

LOOK = Pairing()


def _write(path: Path, number: int, *, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    is_rgb = number < 100
    colour = (200, 10 + 5 * number, 30) if is_rgb else 10 + 5 * (number - 100)
    Image.new("RGB" if is_rgb else "L", size, colour).save(path)


def _rig(root: Path, rgb: list[str], tir: list[str]) -> Path:
    """RGB frame k is (200, 10 + 5 k, 30), TIR frame k is 10 + 5 k."""
    for number, name in enumerate(rgb):
        _write(root / name, number)
    for number, name in enumerate(tir):
        _write(root / name, 100 + number)
    return root


def _numbers(source) -> list[tuple[int, int]]:
    pairs = [source[index] for index in range(len(source))]
    return [(int(one.rgb[0, 0, 1] - 10) // 5, int(one.tir[0, 0] - 10) // 5) for one in pairs]


def _names(pattern: str) -> list[str]:
    return [pattern.format(k) for k in range(3)]


@pytest.mark.parametrize(
    ("rgb", "tir", "pairing", "assumed"),
    [
        pytest.param("rgb/{}.png", "tir/{}.png", LOOK, "", id="the documented names"),
        pytest.param("RGB/{}.png", "TIR/{}.png", LOOK, "RGB/ is RGB, TIR/ is TIR", id="capitals"),
        pytest.param("visible/{}.png", "infrared/{}.png", LOOK, "visible/ is RGB", id="llvip"),
        pytest.param("Vis/{}.png", "Ir/{}.png", LOOK, "Ir/ is TIR", id="m3fd"),
        pytest.param("vi/{}.png", "ir/{}.png", LOOK, "vi/ is RGB", id="msrs"),
        pytest.param("visible/{}.png", "lwir/{}.png", LOOK, "lwir/ is TIR", id="kaist"),
        pytest.param("v/{}v.png", "i/{}i.png", LOOK, 'without "v" of RGB and "i"', id="gtot"),
        pytest.param("color/{}.png", "thermal/{}.png", LOOK, "color/ is RGB", id="colour"),
        pytest.param("rgb/D_{}_V.png", "tir/D_{}_T.png", LOOK, '"_V" of RGB', id="suffix in two"),
        pytest.param(
            "D_{}_V.png", "D_{}_T.png", LOOK, "_V is RGB and _T is TIR", id="suffix in one"
        ),
        pytest.param("rgb_{}.png", "tir_{}.png", LOOK, "rgb_ is RGB", id="prefix in one"),
        pytest.param("F{}_visible.png", "F{}.png", LOOK, "the rest is TIR", id="flir"),
        pytest.param("F{}.png", "F{}_ir.png", LOOK, "the rest is RGB", id="thermal beside"),
        pytest.param("F{}_R.png", "F{}_T.png", LOOK, "_R is RGB and _T is TIR", id="r and t"),
        pytest.param(
            "cam1/{}.png",
            "cam2/{}.png",
            Pairing("cam1", "CAM2"),
            "cam1/ is RGB",
            id="given folders",
        ),
        pytest.param(
            "a{}-L.png",
            "a{}-R.png",
            Pairing("-L", "R"),
            "-L is RGB and -R is TIR",
            id="given suffix",
        ),
        pytest.param(
            "cam1/{}_V.png", "cam2/{}_T.png", Pairing("cam1", "cam2"), '"_V" of RGB', id="both"
        ),
        pytest.param(
            "rgb/{}_a.png", "tir/{}_b.png", Pairing("_a", "_b"), '"_a" of RGB', id="given in two"
        ),
        pytest.param(
            "RGB/{}.png", "thermal_8_bit/{}.png", LOOK, "thermal_8_bit/ is TIR", id="flir adas"
        ),
        pytest.param("RGB images/{}.png", "IR images/{}.png", LOOK, "IR images/ is", id="words"),
        pytest.param("x/{}.png", "tir/{}.png", Pairing(rgb="x"), "x/ is RGB", id="one is given"),
    ],
)
def test_a_rig_is_found_by_the_names_of_its_cameras(tmp_path, rgb, tir, pairing, assumed):
    folder = _rig(tmp_path / "night", _names(rgb), _names(tir))
    source = open_pairs(folder, pairing=pairing)
    assert _numbers(source) == [(0, 0), (1, 1), (2, 2)]
    (recording,) = source.recordings().values()
    assert recording.name == "night"
    assert recording.is_video
    assert assumed in recording.assumed
    assert bool(assumed) == bool(recording.assumed)


def test_recordings_below_a_folder_may_be_laid_out_differently(tmp_path):
    _rig(tmp_path / "r" / "a", _names("rgb/{}.png"), _names("tir/{}.png"))
    _rig(tmp_path / "r" / "b", _names("visible/{}.png"), _names("infrared/{}.png"))
    _rig(tmp_path / "r" / "c", _names("{}_V.png"), _names("{}_T.png"))
    source = open_pairs(tmp_path / "r")
    assert list(source.recordings()) == ["r/a", "r/b", "r/c"]


def test_recordings_side_by_side_are_told_by_what_their_folders_share(tmp_path):
    for take in ("yard", "gate"):
        _rig(tmp_path / "r", _names(take + "_rgb/{}.png"), _names(take + "_tir/{}.png"))
    source = open_pairs(tmp_path / "r")
    assert list(source.recordings()) == ["r/gate", "r/yard"]
    assert _numbers(source) == [(0, 0), (1, 1), (2, 2)] * 2


@pytest.mark.parametrize("cameras", [("rgb", "tir"), ("visible", "infrared")], ids=str)
def test_recordings_may_lie_below_the_cameras(tmp_path, cameras):
    for take in ("day", "night"):
        _rig(
            tmp_path / "r",
            _names(f"{cameras[0]}/{take}/{{}}.png"),
            _names(f"{cameras[1]}/{take}/{{}}.png"),
        )
    source = open_pairs(tmp_path / "r")
    assert list(source.recordings()) == ["r/day", "r/night"]
    assert _numbers(source) == [(0, 0), (1, 1), (2, 2)] * 2
    _write(tmp_path / "r" / cameras[1] / "dawn" / "0.png", 100)
    with pytest.raises(PairsError, match=r"1 folders are in one of .* only \(dawn\)"):
        open_pairs(tmp_path / "r")


def test_files_that_name_no_camera_are_counted(tmp_path):
    folder = _rig(tmp_path / "a", [*_names("{}_V.png"), "map.png"], _names("{}_T.png"))
    (recording,) = open_pairs(folder).recordings().values()
    assert "without 1 file that names no camera (map.png)" in recording.assumed


@pytest.mark.parametrize(
    ("files", "pairing", "message", "fix"),
    [
        pytest.param(
            ["rgb/0.png", "visible/0.png", "tir/0.png"], LOOK,
            "holds rgb more than once: rgb/ and visible/", "--rgb rgb", id="two folders of RGB",
        ),
        pytest.param(
            ["rgb/0.png", "tir/0.png", "ir/0.png"], LOOK,
            "holds tir more than once: ir/ and tir/", "--tir ir", id="two folders of TIR",
        ),
        pytest.param(
            ["0_W.png", "0_V.png", "0_T.png"], LOOK,
            "0_V.png and 0_W.png may both be RGB", "--rgb _W", id="wide and visible",
        ),
        pytest.param(
            ["visible/0.png", "other/0.png"], LOOK,
            "no pairs found", "there are other/, visible/", id="an unknown name beside a known one",
        ),
        pytest.param(
            ["take_v/0.png", "shot_t/0.png"], LOOK,
            "no pairs found", "there are shot_t/, take_v/", id="single letters in names of folders",
        ),
        pytest.param(
            ["rgb/0.png", "warm/0.png"], LOOK,
            "holds rgb and no tir", "--tir NAME (there are rgb/, warm/)", id="one camera alone",
        ),
        pytest.param(
            ["rgb/0.png", "tir/0.png"], Pairing(rgb="colour"),
            "holds tir and no rgb", "there are rgb/, tir/", id="a given name that is not there",
        ),
        pytest.param(
            ["0_V.png", "1_V.png", "0_T.png"], LOOK,
            "2 images, tir 1, and 1 stem is in one", "remove those", id="one lacks a partner",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_known_is_refused_with_the_option(tmp_path, files, pairing, message, fix):
    for number, name in enumerate(files):
        _write(tmp_path / name, number)
    with pytest.raises(PairsError) as caught:
        open_pairs(tmp_path, pairing=pairing)
    assert message in str(caught.value)
    assert fix in str(caught.value.fix)


def test_the_option_decides_between_two_candidates(tmp_path):
    folder = _rig(tmp_path / "a", _names("rgb/{}.png"), _names("tir/{}.png"))
    _write(folder / "visible" / "9.png", 9)
    assert len(open_pairs(folder, pairing=Pairing(rgb="rgb"))) == 3
    both = _rig(tmp_path / "b", [*_names("{}_V.png")], _names("{}_T.png"))
    _write(both / "0_W.png", 9)
    assert len(open_pairs(both, pairing=Pairing(rgb="_V"))) == 3


def test_a_recording_called_like_a_camera_is_no_camera(tmp_path):
    _rig(tmp_path / "rig" / "t", _names("rgb/{}.png"), _names("tir/{}.png"))
    _rig(tmp_path / "rig" / "v", _names("rgb/{}.png"), _names("tir/{}.png"))
    assert list(open_pairs(tmp_path / "rig").recordings()) == ["rig/t", "rig/v"]


def test_pictures_beside_recordings_are_no_camera_alone(tmp_path):
    _rig(tmp_path / "rig" / "a", _names("rgb/{}.png"), _names("tir/{}.png"))
    _write(tmp_path / "rig" / "vis" / "plot.png", 0)
    assert list(open_pairs(tmp_path / "rig").recordings()) == ["rig/a"]


@pytest.mark.parametrize("tir", ["tir.mp4", "tir.cptv", "tir"])
def test_a_picture_of_rgb_beside_a_recording_of_tir_is_no_recording(
    tmp_path, write_images, write_videos, shared, tir
):
    place = tmp_path / "a"
    place.mkdir()
    if tir == "tir":
        write_images(place, ["1", "2", "3"])
        shutil.rmtree(place / "rgb")
    elif tir == "tir.mp4":
        write_videos(place, 3, 3)
        (place / "rgb.mp4").unlink()
    else:
        shutil.copyfile(shared / "data/pairs/odd/lepton_v2.cptv", place / tir)
    assert not any(one.has_rgb for one in open_pairs(place).recordings().values())
    for name, is_camera in (("preview.png", False), ("visible.png", True)):
        Image.fromarray(np.zeros((96, 128, 3), np.uint8)).save(place / name)
        for folder in (place, tmp_path):
            if not is_camera:
                assert len(open_pairs(folder)) >= 3
                continue
            with pytest.raises(PairsError, match=r"the picture visible\.png|and RGB is images"):
                open_pairs(folder)
    assert len(open_pairs(place / tir)) >= 3


def test_time_stamps_are_matched_within_a_gap(tmp_path):
    rgb = [f"rgb/1700000000.{k:03d}.png" for k in range(0, 1000, 100)]
    tir = [f"tir/1700000000.{k:03d}.png" for k in (10, 310, 640)]
    source = open_pairs(_rig(tmp_path / "a", rgb, tir))
    assert _numbers(source) == [(0, 0), (3, 1), (6, 2)]
    (recording,) = source.recordings().values()
    assert "7 of 10 RGB and 0 of 3 TIR frames left out" in recording.assumed
    assert recording.is_video
    assert recording.frames_per_s == pytest.approx(1 / 0.3)
    tight = open_pairs(tmp_path / "a", pairing=Pairing(max_gap_s=0.02))
    assert _numbers(tight) == [(0, 0), (3, 1)]


def test_time_stamps_in_one_folder_are_matched_too(tmp_path):
    rgb = [f"rgb_1700000000.{k}.png" for k in (100, 200, 300)]
    tir = [f"tir_1700000000.{k}.png" for k in (110, 210, 310)]
    assert _numbers(open_pairs(_rig(tmp_path / "a", rgb, tir))) == [(0, 0), (1, 1), (2, 2)]


def test_a_delay_is_removed_from_images(tmp_path):
    folder = _rig(tmp_path / "a", _names("rgb/{}.png"), _names("tir/{}.png"))
    source = open_pairs(folder, pairing=Pairing(delay_frames=1))
    assert _numbers(source) == [(0, 1), (1, 2)]
    assert "TIR taken 1 frame later" in source.recordings()["a"].assumed
    assert source.recordings()["a"].delay_frames == 1


def test_numbered_stills_of_several_sizes_are_no_video(tmp_path):
    folder = _rig(tmp_path / "a", _names("rgb/{}.png"), _names("tir/{}.png"))
    assert open_pairs(folder).recordings()["a"].is_video
    _write(folder / "rgb" / "1.png", 1, size=(60, 45))
    assert not open_pairs(folder).recordings()["a"].is_video


def test_an_empty_text_is_no_folder():
    for given in ("", [""], ["somewhere", ""]):
        with pytest.raises(PairsError, match="no folder of pairs was given"):
            open_pairs(given)


def _video(path: Path, levels: list[int], rate: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, rate) as writer:
        for level in levels:
            writer.write(np.full((48, 64), level, np.uint8))


def test_videos_are_found_by_the_names_of_their_cameras(tmp_path):
    levels = [20, 60, 100]
    for name in ("visible.mp4", "infrared.mp4"):
        _video(tmp_path / "anti" / name, levels, 10)
    for name in ("D1_V.mp4", "D1_T.mp4", "D2_V.mp4", "D2_T.mp4"):
        _video(tmp_path / "dji" / name, levels, 10)
    for name in ("rgb/x.mp4", "tir/x.mp4"):
        _video(tmp_path / "two" / name, levels, 10)
    assert list(open_pairs(tmp_path / "anti").recordings()) == ["anti"]
    assert list(open_pairs(tmp_path / "dji").recordings()) == ["dji/D1", "dji/D2"]
    assert list(open_pairs(tmp_path / "two").recordings()) == ["two/x"]


@pytest.mark.parametrize(
    ("rates", "says"),
    [
        pytest.param((30, 9), "rgb.mp4 has 30 frames/s (0.33 s in all), tir.mp4 has 9", id="9"),
        pytest.param((25, 24), "tir.mp4 has 24 frames/s", id="film"),
        pytest.param((25, 25), "", id="one rate"),
    ],
)
def test_videos_of_different_rates_are_doubted(tmp_path, rates, says):
    for name, rate in zip(("rgb", "tir"), rates, strict=True):
        _video(tmp_path / "a" / f"{name}.mp4", [20] * 10, rate)
    (recording,) = open_pairs(tmp_path / "a").recordings().values()
    assert bool(recording.warnings) == bool(says)
    assert says in "".join(recording.warnings)
    assert recording.frames_per_s == pytest.approx(rates[0])


def test_time_stamps_of_videos_that_drift_apart_are_doubted(tmp_path):
    import av

    even = [10 * k for k in range(20)]
    late = [time + 20 * (10 <= k < 16) for k, time in enumerate(even)]
    late[16:18] = [172, 176]
    for name, shown in (("rgb", even), ("tir", late)):
        path = tmp_path / "a" / f"{name}.mkv"
        path.parent.mkdir(exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=100)
            stream.width, stream.height = 64, 48
            for k in range(20):
                image = np.full((48, 64, 3), 100, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = shown[k], Fraction(1, 100)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    (recording,) = open_pairs(tmp_path / "a").recordings().values()
    assert "lie up to 0.2 s (2.0 frames) apart, from frame 10 on" in "".join(recording.warnings)


def test_videos_are_matched_by_time_where_asked(tmp_path):
    _video(tmp_path / "a" / "rgb.mp4", list(range(20, 220, 10)), 20)
    _video(tmp_path / "a" / "tir.mp4", list(range(20, 220, 40)), 5)
    with pytest.raises(
        PairsError, match=r"20 frames \(20 a second\), tir.mp4 5 \(5 a second\); pair"
    ):
        open_pairs(tmp_path / "a")
    source = open_pairs(tmp_path / "a", pairing=Pairing(match="time"))
    assert [source[k].key for k in range(5)] == [f"a/{4 * k:06d}" for k in range(5)]
    levels = [(int(source[k].rgb.mean()), int(source[k].tir.mean())) for k in range(5)]
    assert all(abs(rgb - tir) <= 2 for rgb, tir in levels)
    (recording,) = source.recordings().values()
    assert recording.matched == (
        "matched by time within 0.025 s, 15 of 20 RGB and 0 of 5 TIR frames left out"
    )
    assert not recording.warnings


def test_pairs_of_one_video_matched_otherwise_are_other_pairs(tmp_path):
    from tirtrack.pairs.source import content_identity

    for name in ("rgb", "tir"):
        _video(tmp_path / "a" / f"{name}.mp4", [20, 60, 100, 140], 10)
    identities = []
    for delay in (0, 1, -1):
        source = open_pairs(tmp_path / "a", pairing=Pairing(delay_frames=delay))
        identities.append(str(content_identity(source, source.manifest())))
        assert [one.delay_frames for one in source.recordings().values()] == [delay]
    assert len(set(identities)) == 3


def test_no_label_is_opened_whatever_the_layout(tmp_path):
    roots = [
        _rig(tmp_path / "in" / "a", _names("visible/{}.png"), _names("infrared/{}.png")),
        _rig(tmp_path / "in" / "b", _names("{}_V.png"), _names("{}_T.png")),
    ]
    for folder in (*roots, roots[0] / "visible"):
        for name in ("visible.txt", "0_V.txt", "0_T.json", "groundtruth.txt"):
            (folder / name).write_text("1,2,3,4")
    with opened_below(tmp_path) as opened:
        source = open_pairs(tmp_path / "in")
        _numbers(source)
        source.manifest()
    assert {path.suffix for path in opened if path.is_file()} == {".png"}


@pytest.mark.parametrize("case", ["dji", "llvip", "upper"])
def test_names_of_other_rigs_open(shared, case):
    folder = shared / "cases" / "names_of_the_two_cameras" / case
    source = open_pairs(folder)
    assert len(source) == 4
    assert source.recordings()[f"{case}/rec"].assumed


PRESENT = {
    "roadscene": "ed620c82b1e37b06",
    "vifb": "7ad89b42f0e51ee6",
    "llvip": "a049f3ec3f4ba64f",
    "m3svd": "a7d110ce9289cc12",
    "m3svd_video": "2e3f934f02c0e775",
    "vtuav": "9246d6b1bcc8c4e4",
}


@pytest.mark.parametrize("name", PRESENT)
def test_what_the_real_pairs_are_does_not_change(shared, name):
    """Caches and stopped runs hang on it: files, order, video or stills."""
    from tirtrack.files import fingerprint
    from tirtrack.pairs.source import content_identity

    source = open_pairs(shared / "data" / "pairs" / name)
    assert fingerprint(content_identity(source, source.manifest())) == PRESENT[name]
    assert not any(recording.assumed for recording in source.recordings().values())
