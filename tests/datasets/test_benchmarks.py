"""What is published about the data sets: lists, numbers, protocols, and opening them by name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.datasets.made_layouts import MAKERS, NAMES, make, small
from tirtrack.datasets import (
    AnnotationOptions,
    benchmarks,
    dataset_names,
    list_datasets,
    open_dataset,
    verify_dataset,
)
from tirtrack.datasets.by_name import open_benchmark
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.scored_dataset import with_facts

# name: sequences, frames (specs/metrics.md)
PUBLISHED = {
    "lsotb-tir": (120, 82133),
    "lsotb-tir-2023-short": (100, 64367),
    "lsotb-tir-2023-long": (11, 37930),
    "ptb-tir": (60, 30029),
    "otb": (100, 59040),
    "gtot": (50, 7850),
    "rgbt234": (234, 116650),
    "lasher": (245, 220703),
    "lasot": (1400, 3517342),
    "lasot-test": (280, 685360),
}
LISTS = {
    "lsotb-tir": "lsotb_tir",
    "lsotb-tir-2023-short": "lsotb_tir_2023_short",
    "lsotb-tir-2023-long": "lsotb_tir_2023_long",
    "ptb-tir": "ptb_tir",
    "otb": "otb100",
    "gtot": "gtot",
    "rgbt234": "rgbt234",
    "lasher": "lasher_test",
    "lasot": "lasot",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_of_sequences_and_frames_are_the_published_ones(name: str):
    one = benchmarks.get(name)
    assert (one.count, one.frames) == PUBLISHED[name]
    assert len({sequence.name for sequence in one.sequences}) == one.count


@pytest.mark.parametrize("name", LISTS)
def test_lists_are_those_of_the_official_toolkits(name: str, shared: Path):
    path = shared / "golden" / "metrics" / "sequences" / f"{LISTS[name]}.json"
    rows = json.loads(path.read_text())["sequences"]
    names = [row[0] if isinstance(row, list) else row["name"] for row in rows]
    assert [one.name for one in benchmarks.get(name).sequences] == names


def test_the_first_release_lacks_one_sequence():
    names = {one.name for one in benchmarks.get("lsotb-tir").sequences}
    first = {one.name for one in benchmarks.get("lsotb-tir-119").sequences}
    assert names - first == {"cat_D_001"}


def test_invalid_frames_are_those_of_the_quirk():
    invalid = [one.invalid for one in benchmarks.get("lsotb-tir").sequences]
    assert (sum(invalid), sum(map(bool, invalid))) == (393, 18)
    ptb = {one.name: one.invalid for one in benchmarks.get("ptb-tir").sequences if one.invalid}
    assert ptb == {"road2": 109}


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_data_set_says_what_it_is_and_where_it_is_described(name: str):
    one = benchmarks.get(name)
    assert one.name == name
    assert one.title
    assert one.described
    assert not one.sequences or len(one.sequences) == one.count
    assert all(error.what and error.source for error in one.errors)
    assert {e.sequence for e in one.errors if e.sequence and one.sequences} <= {
        sequence.name for sequence in one.sequences
    }


def test_every_protocol_is_one_of_the_specification(shared: Path):
    text = (shared / "specs" / "metrics.md").read_text(encoding="utf-8")
    for name in benchmarks.names():
        assert f"`{benchmarks.get(name).protocol}`" in text, name


@pytest.mark.parametrize(
    ("name", "file", "sequences", "frames", "invalid"),
    [
        ("lsotb-tir", "lsotb/annotations.npz", 120, 82133, 393),
        ("ptb-tir", "ptb/annotations.npz", 60, 30029, 109),
    ],
)
def test_published_annotation_is_as_published(
    tmp_path: Path, shared: Path, name: str, file: str, sequences: int, frames: int, invalid: int
):
    stored = np.load(shared / "golden" / "metrics" / file)
    rows = np.split(stored["boxes"], np.cumsum(stored["lengths"])[:-1])
    (tmp_path / "anno").mkdir()
    for one, boxes in zip(stored["names"], rows, strict=True):
        np.savetxt(tmp_path / "anno" / f"{one}.txt", boxes, fmt="%d", delimiter=",")
    found = verify_dataset(name, tmp_path)
    assert (found.sequences, found.frames, found.published) == (sequences, frames, sequences)
    assert {one.what for one in found.findings} == {
        f"no frames of {one}" for one in stored["names"].tolist()
    }
    counts = [int(one.what.split()[0]) for one in found.known if "value of 0" in one.what]
    assert sum(counts) == invalid


def test_only_listed_sequences_are_opened_in_the_order_of_the_list(tmp_path: Path):
    make(tmp_path, "rgbt234")
    known = small("rgbt234")
    opened = open_benchmark(replace(known, sequences=known.sequences[::-1]), tmp_path)
    assert [one.name for one in opened.sequences] == list(NAMES[::-1])
    opened = open_benchmark(replace(known, sequences=known.sequences[1:]), tmp_path)
    assert [one.name for one in opened.sequences] == [NAMES[1]]
    assert (opened.name, opened.protocol, opened.layout) == ("rgbt234", "rgbt234", "RGBT234")


def test_a_missing_sequence_is_refused_or_left_out(tmp_path: Path):
    make(tmp_path, "rgbt234")
    with pytest.raises(DatasetError, match=r"234 of 234 .* RGBT234 are missing \(blackwoman, car3"):
        open_dataset("rgbt234", root=tmp_path)
    lacking = replace(small("rgbt234").sequences[0], name="none")
    known = replace(small("rgbt234"), sequences=(*small("rgbt234").sequences, lacking))
    with pytest.raises(DatasetError, match=r"1 of 3 .*`tirtrack data verify rgbt234"):
        open_benchmark(known, tmp_path)
    opened = open_benchmark(known, tmp_path, options=AnnotationOptions(partial=True))
    assert len(opened.sequences) == 2
    assert "left out: 1 missing sequences (none)" in opened.remarks


def test_a_data_set_without_a_list_is_what_is_there(tmp_path: Path):
    make(tmp_path, "rgbt210")
    opened = open_dataset("rgbt210", root=tmp_path)
    assert [one.name for one in opened.sequences] == list(NAMES)
    assert "2 of 210 published sequences are there" in opened.remarks
    assert not open_benchmark(small("rgbt210"), tmp_path).remarks
    with pytest.raises(DatasetError, match="no sequence of LasHeR"):
        open_dataset("lasher-train", root=tmp_path)


def test_an_assumed_base_is_said_and_can_be_overruled(tmp_path: Path):
    made = make(tmp_path, "vtuav-short")
    opened = open_dataset("vtuav-short", root=tmp_path)
    assert "base 0 is assumed, --base 0 or 1 decides" in opened.remarks
    opened = open_dataset("vtuav-short", root=tmp_path, options=AnnotationOptions(base=1))
    np.testing.assert_array_equal(opened.sequences[0].boxes, made[NAMES[0]].boxes - [1, 1, 0, 0])


def test_boxes_at_pixel_0_are_questioned_where_the_data_set_is_not_known(tmp_path: Path):
    for one in make(tmp_path, "lsotb-tir").values():
        one.annotation.write_text("6,5,10,12\n0,5,10,12\n6,5,10,12\n")
    assert not open_benchmark(small("lsotb-tir"), tmp_path).remarks
    assert any("--base 0 if the file counts" in one for one in open_dataset(tmp_path).remarks)


def test_absent_rows_of_lasot_are_left_out_whatever_their_box(tmp_path: Path):
    made = make(tmp_path, "lasot")
    path = made[NAMES[0]].annotation
    path.write_text("6,5,10,12\n0,0,0,0\n6,5,10,12\n")
    (path.parent / "full_occlusion.txt").write_text("0,1,0")
    (path.parent / "out_of_view.txt").write_text("0,0,1")
    opened = open_benchmark(small("lasot"), tmp_path)
    empty = np.isnan(opened.sequences[0].annotation).all(axis=1)
    assert empty.tolist() == [False, True, True]


@pytest.mark.parametrize("name", ["lasot", "got10k-val", "vot-rgbt2019", "gtot", "anti-uav410"])
def test_a_folder_without_a_name_is_read_as_by_its_name(tmp_path: Path, name: str):
    make(tmp_path, name)
    by_name, found = open_benchmark(small(name), tmp_path), open_dataset(tmp_path)
    for one, other in zip(by_name.sequences, found.sequences, strict=True):
        assert (one.name, one.file_base) == (other.name, other.file_base)
        np.testing.assert_array_equal(one.annotation, other.annotation)


def test_data_folder_and_file_of_folders_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path / "all" / "rgbt210", "rgbt210")
    monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path / "all"))
    assert open_dataset("rgbt210").root == tmp_path / "all" / "rgbt210"
    lines = tmp_path / "places.yaml"
    lines.write_text(f"rgbt210: {tmp_path / 'all' / 'rgbt210'}\ngtot: all/gtot\n")
    monkeypatch.setenv("TIRTRACK_DATA", str(lines))
    assert len(open_dataset("rgbt210").sequences) == 2
    places = {one["name"]: (one["root"], one["there"]) for one in list_datasets()}
    assert places["rgbt210"] == (str(tmp_path / "all" / "rgbt210"), True)
    assert places["gtot"] == (str(tmp_path / "all" / "gtot"), False)
    assert places["otb"] == (None, False)
    monkeypatch.setenv("HOME", str(tmp_path))
    lines.write_text("rgbt210: ~/all/rgbt210\n")
    assert open_dataset("rgbt210").root == tmp_path / "all" / "rgbt210"


def test_parts_of_one_archive_share_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path))
    places = {one["name"]: one["root"] for one in list_datasets()}
    assert places["lsotb-tir-119"] == places["lsotb-tir"] == str(tmp_path / "lsotb-tir")
    assert places["got10k-val"] == str(tmp_path / "got10k")


def test_a_root_that_is_given_comes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path / "here", "rgbt210")
    monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path / "nowhere"))
    assert open_dataset("rgbt210", root=tmp_path / "here").root == tmp_path / "here"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, r"gtot: its folder is unknown; name it with --root, or set TIRTRACK_DATA"),
        ("none", r"TIRTRACK_DATA=.*none: no such folder or file"),
        (".", r"gtot: no such folder \(by TIRTRACK_DATA\); get GTOT from github"),
        ("broken.yaml", r"broken\.yaml: is not YAML"),
        ("list.yaml", r"list\.yaml: has other than lines of NAME: FOLDER"),
        ("other.yaml", r"gtot: its folder is unknown"),
    ],
)
def test_a_folder_that_is_not_found_says_how_to_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, words: str
):
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("- gtot\n")
    (tmp_path / "other.yaml").write_text("otb: data/otb\n")
    monkeypatch.delenv("TIRTRACK_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("TIRTRACK_DATA", str(tmp_path / value))
    with pytest.raises(DatasetError, match=words):
        open_dataset("gtot")


def test_a_file_is_no_root(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file, not a folder"):
        open_dataset("gtot", root=tmp_path / "file")


def test_a_root_without_a_published_name_is_refused(tmp_path: Path):
    with pytest.raises(RequestError, match='unknown data set "gtott"; did you mean "gtot"'):
        open_dataset("gtott", root=tmp_path)
    for name in (str(tmp_path), "synthetic-test"):
        with pytest.raises(
            RequestError, match="is no published data set, so it has no root; leave"
        ):
            open_dataset(name, root=tmp_path)


def test_an_empty_root_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make(tmp_path, "rgbt210")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="rgbt210: the name of its folder is empty"):
        open_dataset("rgbt210", root="")
    with pytest.raises(DatasetError, match="rgbt210: the name of its folder is empty"):
        verify_dataset("rgbt210", "")


def test_a_folder_that_is_there_comes_before_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path / "gtot", "folder")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("gtot").layout == "groundtruth.txt"
    assert "gtot" in dataset_names()


def test_the_page_lists_every_data_set_with_its_number_folder_and_protocol():
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name in benchmarks.names():
        one = benchmarks.get(name)
        row = next(line for line in rows if f"`{name}`" in line.split("|")[1])
        assert str(one.count or "any") in row
        assert f"`{one.folder or name}`" in row
        assert f"`{one.protocol}`" in row


@pytest.mark.parametrize("name", ["gtot", "rgbt234", "vtuav-short"])
def test_the_second_annotation_is_that_of_the_rgb_half(tmp_path: Path, name: str):
    made = make(tmp_path, name)
    path = made[NAMES[0]].annotation
    other = path.with_name(small(name).layout.rgb_annotation)
    changed = path.read_text().splitlines()
    changed[1] = changed[1].replace(changed[1].split()[0].split(",")[0], "2", 1)
    other.write_text("\n".join(changed))
    found = open_benchmark(small(name), tmp_path).sequences[0]
    moved = found.facts.second - found.annotation
    expected = 2 - (6 if found.file_base == 1 else 5)
    assert moved[:, 0].tolist() == [0, expected, 0]
    assert (moved[0] == 0).all()
    other.write_text("")
    assert open_benchmark(small(name), tmp_path).sequences[0].facts.second is None
    other.unlink()
    assert open_benchmark(small(name), tmp_path).sequences[0].facts.second is None


def test_one_annotation_for_both_modalities_is_no_second_one(tmp_path: Path):
    make(tmp_path, "rgbt210")
    assert open_dataset("rgbt210", root=tmp_path).sequences[0].facts.second is None


def test_absence_and_cover_are_facts_of_the_frames(tmp_path: Path):
    folder = make(tmp_path, "got10k-val")[NAMES[0]].annotation.parent
    (folder / "cover.label").write_text("8\n0\n3\n")
    facts = open_benchmark(small("got10k-val"), tmp_path).sequences[0].facts
    assert facts.cover.tolist() == [8, 0, 3]
    assert facts.absent.tolist() == [False, True, False]
    (folder / "cover.label").write_text("8\n0\n")
    with pytest.raises(DatasetError, match=r"cover\.label: has 2 flags, the annotation has 3"):
        open_benchmark(small("got10k-val"), tmp_path)


def test_frames_that_do_not_exist_are_absent(tmp_path: Path):
    path = make(tmp_path, "anti-uav410")[NAMES[0]].annotation
    path.write_text(path.read_text().replace("[1, 1, 1]", "[1, 0, 1]"))
    facts = open_benchmark(small("anti-uav410"), tmp_path).sequences[0].facts
    assert facts.absent.tolist() == [False, True, False]
    assert facts.cover is None


BY_PATH = {
    "gtot": "gtot",
    "rgbt210": "rgbt210",
    "anti-uav": "antiuav-2020",
    "anti-uav410": "antiuav410",
    "got10k-val": "got10k",
    "lasot": "lasot",
    "ptb-tir": "ptb-tir",
    "rgbt234": "lsotb-tir",  # looks like LasHeR
    "vot-rgbt2019": "vot-multistart",
    "vot-tir2016": "lsotb-tir",  # its folder is called data
    "vtuav-short": "lsotb-tir",
    "folder": "lsotb-tir",
}


@pytest.mark.parametrize("name", BY_PATH)
def test_a_folder_has_the_protocol_of_its_data_set_where_the_layout_tells_it(
    tmp_path: Path, name: str
) -> None:
    MAKERS[name](tmp_path / "data", "s_V_001")
    found = open_dataset(tmp_path / "data")
    assert found.protocol == BY_PATH[name]
    assert not [remark for remark in found.remarks if remark.startswith("not scored by")]


@pytest.mark.parametrize("name", ["got10k-val", "got10k-test"])
def test_a_folder_that_lacks_what_its_protocol_counts_by_says_so(tmp_path: Path, name: str) -> None:
    MAKERS[name](tmp_path / "data", "s_V_001")
    for file in (tmp_path / "data").rglob("cover.label"):
        file.unlink()
    found = open_dataset(tmp_path / "data")
    assert found.protocol == "lsotb-tir"
    lacking = "not scored by got10k: no sequence has absence.label and cover.label"
    assert lacking in found.remarks


@pytest.mark.parametrize(
    ("name", "sequences", "protocol"),
    [
        ("rgbt234", ["afterrain", "bike"], "rgbt234"),
        ("lasher", ["10runone", "bike"], "lasher"),
        ("rgbt234", ["bike"], "lsotb-tir"),  # on both lists
        ("rgbt234", ["afterrain", "10runone"], "lsotb-tir"),
    ],
)
def test_of_two_data_sets_that_look_alike_the_names_tell_the_protocol(
    tmp_path: Path, name: str, sequences: list[str], protocol: str
) -> None:
    for sequence in sequences:
        MAKERS[name](tmp_path / "data", sequence)
    found = open_dataset(tmp_path / "data")
    assert found.protocol == protocol
    unknown = [one for one in found.remarks if one.startswith("RGBT234 and LasHeR look alike")]
    assert bool(unknown) == (protocol == "lsotb-tir")
    assert all("do not tell which" in one for one in unknown)


@pytest.mark.parametrize(
    ("text", "words"), [("1 2 3 4\n", "has 1 row, groundTruth_i.txt has 3"), ("x\n", "row 1: ")]
)
def test_a_second_annotation_that_cannot_be_used_does_not_change_the_protocol(
    tmp_path: Path, text: str, words: str
) -> None:
    for name in NAMES:
        MAKERS["gtot"](tmp_path / "data", name)
    file = tmp_path / "data" / NAMES[1] / "groundTruth_v.txt"
    file.write_text(text)
    found = open_dataset(tmp_path / "data")
    assert found.protocol == "gtot"
    with pytest.raises(DatasetError, match=r"gtot needs .* which cannot be used: ") as caught:
        with_facts(found, get("gtot"))
    assert str(caught.value).startswith(f"{NAMES[1]}: ")
    assert f"{file}" in str(caught.value)
    assert words in str(caught.value)
    left = with_facts(found, get("gtot"), partial=True)
    assert [one.name for one in left.sequences] == [NAMES[0]]
    assert any(words in remark for remark in left.remarks)
    assert len(with_facts(found, get("lsotb-tir")).sequences) == 2


@pytest.mark.parametrize(
    ("name", "file"), [("gtot", "groundTruth_v.txt"), ("lasot", "out_of_view.txt")]
)
def test_a_sequence_that_lacks_a_file_does_not_change_the_protocol_and_is_named(
    tmp_path: Path, name: str, file: str
) -> None:
    for sequence in NAMES:
        made = MAKERS[name](tmp_path / "data", sequence)
    (made.annotation.parent / file).unlink()
    found = open_dataset(tmp_path / "data")
    assert found.protocol == name
    with pytest.raises(DatasetError, match=rf"{NAMES[1]}: {name} needs .* lacks; .*--protocol"):
        with_facts(found, get(name))


@pytest.mark.parametrize("attributes", ["0,1,0", "0,1,x", ""])
def test_a_damaged_file_of_attributes_does_not_change_the_protocol_and_is_named(
    tmp_path: Path, attributes: str
) -> None:
    names = ("a", "b", "c")  # the damaged one is read first
    for name in names:
        MAKERS["ptb-tir"](tmp_path, name)
    file = tmp_path / "anno" / "att" / "a.txt"
    file.write_text(attributes)
    with pytest.raises(DatasetError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    found = open_dataset(tmp_path, options=AnnotationOptions(partial=True))
    assert found.protocol == "ptb-tir"
    assert [one.name for one in found.sequences] == ["b", "c"]
    assert any(f"a sequence is left out: {file}" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    ("folder", "protocol"),
    [
        ("vot-tir2016", "vot-supervised"),
        ("VOT2015-TIR", "vot-supervised"),
        ("VOTTIR/sequences", "vot-supervised"),
        ("vot2018", "lsotb-tir"),
        ("pivot-tirana", "lsotb-tir"),
    ],
)
def test_vot_tir_is_told_by_the_name_of_its_folder_or_else_by_its_list_in_words(
    tmp_path: Path, folder: str, protocol: str
) -> None:
    root = tmp_path / "any" / folder  # the folder of a test has its name
    make(root, "vot-tir2016")
    found = open_dataset(root)
    assert found.protocol == protocol
    is_known = protocol == "vot-supervised"
    assert found.layout == ("VOT-TIR" if is_known else "groundtruth.txt")
    said = "list.txt beside the sequences, as VOT has it: --protocol vot-supervised"
    assert any(said in remark for remark in found.remarks) != is_known


def test_a_link_to_annotation_that_is_gone_is_an_error_not_a_sequence_less(tmp_path: Path) -> None:
    file = MAKERS["ptb-tir"](tmp_path / "data", "s_V_001").annotation
    (file.parent / "t_V_002.txt").symlink_to("gone.txt")
    with pytest.raises(DatasetError, match=r"t_V_002\.txt: could not be read"):
        open_dataset(tmp_path / "data", with_frames=False)


@pytest.mark.parametrize("name", ["gtot", "rgbt234", "got10k-val", "vot-rgbt2019"])
def test_a_sequence_whose_annotation_is_a_link_to_nothing_is_an_error(
    tmp_path: Path, name: str
) -> None:
    MAKERS[name](tmp_path / "data", "afterrain")
    file = MAKERS[name](tmp_path / "data", "bike").annotation
    file.unlink()
    file.symlink_to("gone.txt")
    with pytest.raises(DatasetError, match=rf"bike/{file.name}: could not be read"):
        open_dataset(tmp_path / "data", with_frames=False)


def test_a_second_annotation_that_is_a_link_to_nothing_is_not_called_missing(
    tmp_path: Path,
) -> None:
    MAKERS["rgbt234"](tmp_path / "data", "afterrain")
    (file,) = (tmp_path / "data").rglob("visible.txt")
    file.unlink()
    file.symlink_to("gone.txt")
    found = open_dataset(tmp_path / "data")
    assert found.protocol == "rgbt234"
    with pytest.raises(DatasetError) as caught:
        with_facts(found, get("rgbt234"))
    assert f"which cannot be used: {file}: could not be read" in str(caught.value)
