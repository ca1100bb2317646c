"""Published data sets: what is found in their folders, what is refused, that no label is opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from opened_files import opened_below
from PIL import Image
from same_pairs import assert_same_pairs

from tirtrack.errors import PairsError, RequestError
from tirtrack.pairs import Pairing, mine_pairs, open_pairs
from tirtrack.pairs.layouts.registry import LAYOUTS
from tirtrack.video_writer import VideoWriter

POISON = b"\xff\xfe not to be read \x00"
V2 = "video-{}-frame-{:06d}-{}"


def _image(path: Path, level: int) -> None:
    """RGB (200, level, 30) where the path names an RGB folder, TIR of that level elsewhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = {part.casefold() for part in path.parts}
    is_rgb = names & {"visible", "rgb", "vis", "vi", "v", "visual", "crop_lr_visible"} or (
        "video_rgb_test" in names
    )
    if path.suffix in (".mp4",):
        with VideoWriter(path, 10) as writer:
            for _ in range(3):
                writer.write(_pixels(level, is_rgb=bool(is_rgb)))
        return
    Image.fromarray(_pixels(level, is_rgb=bool(is_rgb))).save(path)


def _pixels(level: int, *, is_rgb: bool) -> np.ndarray:
    grey = np.full((32, 40), level, np.uint8)
    return np.dstack([np.full_like(grey, 200), grey, np.full_like(grey, 30)]) if is_rgb else grey


def _files(root: Path, sides: tuple[str, str], stems: list[str] | list[tuple[str, str]]) -> None:
    """Frame k of both cameras has the level 10 + 20 k."""
    for k, stem in enumerate(stems):
        rgb, tir = (stem, stem) if isinstance(stem, str) else stem
        _image(root / sides[0].format(rgb), 10 + 20 * k)
        _image(root / sides[1].format(tir), 10 + 20 * k)


def _kaist(root: Path) -> list[str]:
    for take in ("set00/V000", "set00/V001"):
        _files(
            root / "images" / take,
            ("visible/{}.png", "lwir/{}.png"),
            ["I00000", "I00001", "I00002"],
        )
    return ["annotations/set00/V000/I00000.txt", "annotations/set00/V000.vbb"]


def _flir_v1(root: Path) -> list[str]:
    sides = ("train/RGB/{}.png", "train/thermal_8_bit/{}.jpeg")
    _files(root, sides, ["FLIR_00001", "FLIR_00003", "FLIR_00006"])
    _image(root / "train/thermal_8_bit/FLIR_00009.jpeg", 5)
    return ["train/thermal_annotations.json", "train/Annotated_thermal_8_bit/FLIR_00001.jpeg"]


def _flir_v2(root: Path) -> list[str]:
    stems = [(V2.format("Ab1", 9 + k, "x"), V2.format("Zz", 3 - k, "y")) for k in range(3)]
    _files(root, ("video_rgb_test/data/{}.png", "video_thermal_test/data/{}.png"), stems)
    _image(root / "video_thermal_test/data" / f"{V2.format('Zz', 9, 'z')}.png", 0)
    listed = {f"{rgb}.png": f"{tir}.png" for rgb, tir in reversed(stems)}
    (root / "rgb_to_thermal_vid_map.json").write_text(json.dumps(listed))
    return ["video_rgb_test/coco.json", "video_thermal_test/index.json"]


def _llvip(root: Path) -> list[str]:
    for split, stems in (("train", ["010001", "010002", "020001"]), ("test", ["190001"])):
        _files(root, (f"visible/{split}/{{}}.png", f"infrared/{split}/{{}}.png"), stems)
    return ["Annotations/010001.xml"]


def _m3fd(root: Path) -> list[str]:
    _files(root, ("Vis/{}.png", "Ir/{}.png"), ["00000", "00001", "00002"])
    return ["Annotation/00000.xml"]


def _m3svd(root: Path) -> list[str]:
    _files(root, ("test/visible/{}.mp4", "test/infrared/{}.mp4"), ["0111_1716", "0112_1705"])
    return []


def _msrs(root: Path) -> list[str]:
    _files(root, ("train/vi/{}.png", "train/ir/{}.png"), ["00001D", "00002N", "00003D"])
    return ["train/Segmentation_labels/00001D.png"]


def _roadscene(root: Path) -> list[str]:
    _files(root, ("crop_LR_visible/{}.jpg", "cropinfrared/{}.jpg"), ["FLIR_00006", "FLIR_00018"])
    _image(root / "infrared" / "FLIR_00006.png", 0)
    return ["labels/FLIR_00006.txt"]


def _vt5000(root: Path) -> list[str]:
    _files(root, ("Train/RGB/{}.jpg", "Train/T/{}.jpg"), ["1", "2", "3"])
    return ["Train/GT/1.png", "Train/GT/2.png"]


def _vtuav(root: Path) -> list[str]:
    _files(root / "bus", ("rgb/{}.png", "ir/{}.png"), ["000000", "000001", "000002"])
    return ["bus/rgb.txt", "bus/ir.txt"]


def _lasher(root: Path) -> list[str]:
    stems = [("v000000", "i0000"), ("v000001", "ir_0001"), ("v000002", "i0003")]
    _files(root / "ab_bike", ("visible/{}.png", "infrared/{}.png"), stems)
    return [f"ab_bike/{name}" for name in ("visible.txt", "infrared.txt", "init.txt")]


def _rgbt234(root: Path) -> list[str]:
    stems = [(f"0000{k}v", f"0000{k}i") for k in range(3)]
    _files(root / "kite4", ("visible/{}.png", "infrared/{}.png"), stems)
    return [f"kite4/{name}" for name in ("visible.txt", "infrared.txt", "init.txt")]


def _rgbt210(root: Path) -> list[str]:
    return [name for name in _rgbt234(root) if name.endswith("init.txt")]


def _gtot(root: Path) -> list[str]:
    _files(
        root / "Otcbvs", ("v/{}.png", "i/{}.png"), [(f"0000{k}v", f"0000{k}i") for k in (1, 2, 3)]
    )
    return [f"Otcbvs/{name}" for name in ("groundTruth_v.txt", "groundTruth_i.txt", "init.txt")]


def _camel(root: Path) -> list[str]:
    _files(root / "Sequence-1", ("Visual/{}.png", "IR/{}.png"), ["000001", "000002", "000003"])
    return ["Sequence-1/Seq1-Vis.txt", "Sequence-1/Seq1-IR.txt"]


MADE: dict[str, tuple[Callable[[Path], list[str]], dict[str, int], bool]] = {
    "kaist": (_kaist, {"d/images/set00/V000": 3, "d/images/set00/V001": 3}, True),
    "flir-adas-v1": (_flir_v1, {"d/train": 3}, False),
    "flir-adas-v2": (_flir_v2, {"d/Ab1": 3}, True),
    "llvip": (_llvip, {"d/test/19": 1, "d/train/01": 2, "d/train/02": 1}, False),
    "m3fd": (_m3fd, {"d": 3}, False),
    "m3svd": (_m3svd, {"d/test/0111_1716": 3, "d/test/0112_1705": 3}, True),
    "msrs": (_msrs, {"d/train": 3}, False),
    "roadscene": (_roadscene, {"d": 2}, False),
    "vt5000": (_vt5000, {"d/Train": 3}, False),
    "vtuav": (_vtuav, {"d/bus": 3}, True),
    "lasher": (_lasher, {"d/ab_bike": 3}, True),
    "rgbt234": (_rgbt234, {"d/kite4": 3}, True),
    "rgbt210": (_rgbt210, {"d/kite4": 3}, True),
    "gtot": (_gtot, {"d/Otcbvs": 3}, True),
    "camel": (_camel, {"d/Sequence-1": 3}, True),
}
"""Writer of each data set's folders, its recordings with their pairs, whether they are video."""


def _made(name: str, root: Path) -> list[Path]:
    """Writes the folders of a data set; returns its labels, which are poison."""
    labels = [root / label for label in MADE[name][0](root)]
    for label in labels:
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_bytes(POISON)
    return labels


def _levels(source) -> list[tuple[int, int]]:
    pairs = [source[index] for index in range(len(source))]
    return [
        (round((float(one.rgb[..., 1].mean()) - 10) / 20), round((float(one.tir.mean()) - 10) / 20))
        for one in pairs
    ]


def test_every_data_set_of_the_registry_is_tested():
    assert set(MADE) == set(LAYOUTS) - {"cameras", "side-by-side", "stacked"}


@pytest.mark.parametrize("asked", [False, True], ids=["guessed", "asked for"])
@pytest.mark.parametrize("name", MADE)
def test_a_data_set_is_read_without_its_labels(tmp_path, name, asked):
    labels = _made(name, tmp_path / "d")
    with opened_below(tmp_path) as opened:
        source = open_pairs(tmp_path / "d", pairing=Pairing(layout=name if asked else None))
        levels = _levels(source)
        source.manifest()
        source.unused()
    assert opened
    assert not opened & set(labels)
    assert all(rgb == tir for rgb, tir in levels)
    recordings = source.recordings()
    assert {key: len(one.indices) for key, one in recordings.items()} == MADE[name][1]
    for recording in recordings.values():
        assert recording.is_video == MADE[name][2]
        title = recording.description[0].partition(",")[0]
        assert title.casefold().replace(" ", "-") == name
        assert (f"laid out as {title}" in recording.assumed) is not asked


@pytest.mark.parametrize("asked", [False, True], ids=["guessed", "asked for"])
@pytest.mark.parametrize("name", MADE)
def test_a_data_set_goes_into_shards_without_its_labels(tmp_path, name, asked):
    labels = _made(name, tmp_path / "d")
    pairing = Pairing(layout=name if asked else None)
    with opened_below(tmp_path / "d") as opened:
        mine_pairs(tmp_path / "d", tmp_path / "out", pairing=pairing)
    assert opened
    assert not opened & set(labels)
    assert_same_pairs(open_pairs(tmp_path / "d", pairing=pairing), open_pairs(tmp_path / "out"))


@pytest.mark.parametrize("name", MADE)
def test_labels_change_nothing(tmp_path, name):
    from tirtrack.pairs.source import content_identity

    labels = _made(name, tmp_path / "d")
    pairing = Pairing(layout=name)
    source = open_pairs(tmp_path / "d", pairing=pairing)
    before = content_identity(source, source.manifest())
    for label in labels:
        label.unlink()
    source = open_pairs(tmp_path / "d", pairing=pairing)
    assert content_identity(source, source.manifest()) == before


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("side", ["rgb", "tir"])
def test_a_missing_camera_is_named(tmp_path, name, side):
    import shutil

    _made(name, tmp_path / "d")
    layout = LAYOUTS[name]
    for one in layout.rgb if side == "rgb" else layout.tir:
        for folder in [path for path in (tmp_path / "d").rglob(one) if path.is_dir()]:
            shutil.rmtree(folder)
    with pytest.raises(PairsError, match=f"and no {side} of ") as caught:
        open_pairs(tmp_path / "d", pairing=Pairing(layout=name))
    assert "looked for" in str(caught.value)


@pytest.mark.parametrize("name", [one for one in MADE if not one.startswith("flir")])
def test_unequal_counts_are_refused(tmp_path, name):
    _made(name, tmp_path / "d")
    layout = LAYOUTS[name]
    folders = [path for one in layout.tir for path in (tmp_path / "d").rglob(one) if path.is_dir()]
    frames = sorted(path for path in folders[0].rglob("*") if path.is_file())
    frames[-1].unlink()
    with pytest.raises(PairsError, match=r"stems are in one of them only|in one of .* only"):
        open_pairs(tmp_path / "d", pairing=Pairing(layout=name))


def test_frames_of_names_without_a_rule_are_matched_in_order_of_their_numbers(tmp_path):
    stems = [("v9", "i09"), ("v10", "b11"), ("v11", "a100")]
    _files(tmp_path / "s", ("visible/{}.png", "infrared/{}.png"), stems)
    source = open_pairs(tmp_path / "s", pairing=Pairing(layout="lasher"))
    assert _levels(source) == [(0, 0), (1, 1), (2, 2)]
    (recording,) = source.recordings().values()
    assert "names differ, so frame k is matched with frame k" in recording.assumed


@pytest.mark.parametrize(
    ("stems", "message"),
    [
        pytest.param(
            [("v1", "i01"), ("v2", "b01"), ("v3", "i03")], '"b01" and "i01" have one', id="twice"
        ),
        pytest.param([("v1", "i1"), ("v2", "x"), ("v3", "i3")], '"x" holds no number', id="none"),
    ],
)
def test_an_order_that_numbers_do_not_tell_is_refused(tmp_path, stems, message):
    _files(tmp_path / "s", ("visible/{}.png", "infrared/{}.png"), stems)
    with pytest.raises(PairsError, match=message):
        open_pairs(tmp_path / "s", pairing=Pairing(layout="lasher"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "cannot be read .* copy it from the data set", id="missing"),
        pytest.param('{"a.png": ', "is no JSON", id="truncated"),
        pytest.param('["a.png"]', "is no list of RGB names", id="a list"),
        pytest.param('{"a.png": 3}', "is no list of RGB names", id="a number"),
        pytest.param('{"a.png": "b.png"}', "not one of its 1 pairs is among", id="other names"),
    ],
)
def test_a_damaged_list_of_pairs_is_named(tmp_path, text, message):
    _made("flir-adas-v2", tmp_path)
    path = tmp_path / "rgb_to_thermal_vid_map.json"
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(PairsError, match=message) as caught:
        open_pairs(tmp_path)
    assert path.name in str(caught.value)


def test_a_frame_in_two_pairs_is_refused(tmp_path):
    _made("flir-adas-v2", tmp_path)
    path = tmp_path / "rgb_to_thermal_vid_map.json"
    listed = json.loads(path.read_text())
    path.write_text(json.dumps(dict.fromkeys(listed, next(iter(listed.values())))))
    with pytest.raises(PairsError, match=r"the TIR frame video-Zz-.* stands in two pairs"):
        open_pairs(tmp_path)


def test_frames_without_a_partner_are_counted_in_flir_adas_v1(tmp_path):
    _made("flir-adas-v1", tmp_path)
    (recording,) = open_pairs(tmp_path).recordings().values()
    assert "0 RGB and 1 TIR frames without a partner left out" in recording.assumed
    for left, path in enumerate(sorted((tmp_path / "train" / "RGB").iterdir())):
        path.rename(path.with_name(f"x{path.name}"))
        if left > 0:
            both = 2 - left
            with pytest.raises(PairsError, match=f"only {both} of 3 RGB and 4 TIR stems are in"):
                open_pairs(tmp_path)


def test_the_counts_are_taken_in_flir_adas_v1(tmp_path):
    _made("flir-adas-v1", tmp_path)
    for stem in ("FLIR_00001", "FLIR_00003", "FLIR_00006"):
        path = tmp_path / "train" / "thermal_16_bit" / f"{stem}.tiff"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((32, 40), 7000, np.uint16)).save(path)
    assert open_pairs(tmp_path)[0].tir_depth == "uint16"
    asked = Pairing(layout="flir-adas-v1", tir="thermal_8_bit")
    assert open_pairs(tmp_path, pairing=asked)[0].tir_depth == "uint8"


@pytest.mark.parametrize("name", MADE)
def test_tir_of_a_data_set_is_read_alone(tmp_path, name):
    _made(name, tmp_path / "d")
    source = open_pairs(tmp_path / "d", pairing=Pairing(tir_alone=True))
    assert all(source[index].rgb is None for index in range(len(source)))
    more = 1 if name.startswith("flir") else 0  # a TIR frame without a partner
    assert len(source) == sum(MADE[name][1].values()) + more
    if name != "flir-adas-v2":  # the frame without a partner leaves a gap
        assert {one.is_video for one in source.recordings().values()} == {MADE[name][2]}


@pytest.mark.parametrize("side", ["infrared", "i"])
def test_numbers_before_one_letter_are_frames_of_a_video_where_tir_is_alone(tmp_path, side):
    """The folder that is left of RGBT234 or GTOT once RGB is not copied with it."""
    for k in range(3):
        _image(tmp_path / "kite4" / side / f"0000{k}i.png", 10 + 20 * k)
    (one,) = open_pairs(tmp_path, pairing=Pairing(tir_alone=True)).recordings().values()
    assert one.is_video


def test_tir_alone_of_lasher_is_in_order_of_its_numbers(tmp_path):
    """``i0003`` comes before ``ir_0001`` by its letters."""
    _made("lasher", tmp_path / "d")
    source = open_pairs(tmp_path / "d", pairing=Pairing(tir_alone=True, layout="lasher"))
    assert [round((float(source[k].tir.mean()) - 10) / 20) for k in range(3)] == [0, 1, 2]


def test_frames_of_several_sizes_are_no_video_of_a_data_set(tmp_path):
    _made("gtot", tmp_path / "d")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "d/Otcbvs/i/00002i.png")
    source = open_pairs(tmp_path / "d", pairing=Pairing(tir_alone=True))
    assert not source.recordings()["d/Otcbvs"].is_video


def test_an_unknown_layout_is_answered_with_all_names(tmp_path):
    with pytest.raises(RequestError, match='no layout is called "kais"') as caught:
        open_pairs(tmp_path, pairing=Pairing(layout="kais"))
    assert all(name in str(caught.value) for name in LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_that_does_not_fit_says_what_it_looked_for(tmp_path, name):
    (tmp_path / "d" / "left").mkdir(parents=True)
    with pytest.raises(PairsError, match=f"is laid out as {name}") as caught:
        open_pairs(tmp_path / "d", pairing=Pairing(layout=name))
    assert f"looked for {LAYOUTS[name].looked_for} (there are left/)" in str(caught.value)


def test_a_rig_with_the_names_of_a_data_set_is_not_taken_for_it(tmp_path):
    names = [f"{k:05d}" for k in range(3)]
    for take, sides in (
        ("a", ("Vis/{}.png", "Ir/{}.png")),
        ("b", ("visible/{}.png", "infrared/{}.png")),
        ("c", ("RGB/{}.png", "T/{}.png")),
        ("d", ("visible/{}.png", "lwir/{}.png")),
        ("e", ("v/{}.png", "i/{}.png")),
        ("f", ("vi/{}.png", "ir/{}.png")),
        ("g", ("rgb/{}.png", "ir/{}.png")),
    ):
        _files(tmp_path / "r" / take, sides, names)
    for recording in open_pairs(tmp_path / "r").recordings().values():
        assert recording.is_video
        assert recording.description[0] == "images of a video matched by name"


def test_names_that_the_user_gives_come_before_a_guessed_data_set(tmp_path):
    _made("roadscene", tmp_path)
    for stem in ("FLIR_00006", "FLIR_00018"):
        _image(tmp_path / "infrared" / f"{stem}.png", 70)
    source = open_pairs(tmp_path, pairing=Pairing("crop_LR_visible", "infrared"))
    assert _levels(source) == [(0, 3), (1, 3)]


@pytest.mark.parametrize("suffix", [".seq", ".csq", ".ats"])
@pytest.mark.parametrize("form", ["beside RGB", "in a folder", "by itself"])
def test_recordings_of_flir_are_named_and_refused(tmp_path, suffix, form):
    _image(tmp_path / "a" / "rgb" / "1.png", 0)
    path = tmp_path / "a" / "tir" / f"1{suffix}"
    path.parent.mkdir()
    path.write_bytes(b"FFF\0" + bytes(100))
    given = {"beside RGB": tmp_path / "a", "in a folder": path.parent, "by itself": path}[form]
    kind = suffix[1:].upper()
    with pytest.raises(PairsError, match=f"a FLIR {kind} recording cannot be read; export") as told:
        open_pairs(given)
    assert str(path) in str(told.value)


def _copied(shared: Path, source: str, root: Path, rgb: str, tir: str, count: int = 4) -> None:
    """Real frames under the folders of a data set."""
    import shutil

    for side, folder in (("rgb", rgb), ("tir", tir)):
        (root / folder).mkdir(parents=True)
        for path in sorted((shared / "data/pairs" / source / side).iterdir())[:count]:
            shutil.copy(path, root / folder / path.name)


@pytest.mark.parametrize(
    ("source", "rgb", "tir", "label", "title"),
    [
        ("roadscene", "crop_LR_visible", "cropinfrared", "labels.txt", "RoadScene"),
        ("llvip", "visible/train", "infrared/train", "Annotations/190001.xml", "LLVIP"),
        ("vtuav/bus1", "bus1/rgb", "bus1/ir", "bus1/rgb.txt bus1/ir.txt", "VTUAV"),
        ("m3svd/0111_1716", "visible/0111_1716", "infrared/0111_1716", "", "M3SVD"),
    ],
)
def test_real_frames_in_the_folders_of_their_data_set(
    shared, tmp_path, source, rgb, tir, label, title
):
    _copied(shared, source, tmp_path / "d", rgb, tir)
    for one in label.split():
        (tmp_path / "d" / one).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / one).write_bytes(POISON)
    found = open_pairs(tmp_path / "d")
    original = open_pairs(shared / "data/pairs" / source)
    assert len(found) == 4
    for k in range(4):
        np.testing.assert_array_equal(found[k].rgb, original[k].rgb)
        np.testing.assert_array_equal(found[k].tir, original[k].tir)
    for recording in found.recordings().values():
        assert recording.description[0].startswith(f"{title}, ")


def test_real_videos_of_m3svd(shared, tmp_path):
    import shutil

    for side, name in (("visible", "rgb"), ("infrared", "tir")):
        (tmp_path / "test" / side).mkdir(parents=True)
        video = shared / "data/pairs/m3svd_video/0111_1716" / f"{name}.mp4"
        shutil.copy(video, tmp_path / "test" / side / "0111_1716.mp4")
    (recording,) = open_pairs(tmp_path).recordings().values()
    assert recording.description[0] == "M3SVD, videos matched by frame number"
    assert len(recording.indices) == 151
