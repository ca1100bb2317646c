"""Every published data set by its name: its reader has what its own protocol counts by.

Tiny made data sets are tracked and scored, and the scores are those of the protocol applied to the
arrays by hand; the stored runs of official toolkits, in files of the published layout, have the
official scores.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracked_worlds import Keeper

from tests.datasets.made_layouts import NAMES, ROWS, SIZE_WH, make, small
from tirtrack.datasets import benchmarks, open_dataset
from tirtrack.datasets.benchmark import ListedSequence
from tirtrack.datasets.by_name import open_benchmark
from tirtrack.datasets.frame_facts import FrameFacts
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.datasets.start import Start
from tirtrack.errors import DatasetError
from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.protocols import get
from tirtrack.evaluation.protocols.base import SequenceScores, StartsProtocol
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import score
from tirtrack.evaluation.scored_dataset import with_facts

BY_1_PX = np.array([1.0, 1, 0, 0])
HIDDEN = 1  # the row of the made sequences whose target is absent, where a data set says so


def hide(name: str, annotation: Path) -> None:
    """Say of one row of a made sequence that its target is absent, as the data set says it."""
    flags = ["0"] * ROWS
    flags[HIDDEN] = "1"
    if name.startswith("lasot"):
        (annotation.parent / "full_occlusion.txt").write_text(",".join(flags))
    elif name in ("got10k-train", "got10k-val"):
        (annotation.parent / "absence.label").write_text("\n".join(flags))
        (annotation.parent / "cover.label").write_text("8\n0\n5\n")
    elif name.startswith("anti-uav"):
        rows = [[5, 4, 10, 12]] * ROWS
        content = {"exist": [1 - int(flag) for flag in flags], "gt_rect": rows}
        annotation.write_text(json.dumps(content))


def facts_by_hand(name: str, truth: np.ndarray) -> FrameFacts:
    """The facts of a made sequence, as its files were written."""
    absent = np.zeros(len(truth), dtype=bool)
    absent[HIDDEN] = name.startswith(("lasot", "anti-uav")) or name in (
        "got10k-train",
        "got10k-val",
    )
    second = truth + ([1, 0, 0, 0] if name == "rgbt234" else [0, 0, 0, 0])
    cover = np.array([8, 0, 5]) if len(truth) == ROWS else None
    return FrameFacts(absent=absent, cover=cover, size_wh=SIZE_WH, second=second)


def scores_by_hand(
    name: str, results: Path, truths: Mapping[str, np.ndarray]
) -> dict[str, float | None]:
    """The protocol applied to the rows of result files and to the annotation as it was made."""
    protocol = get(benchmarks.get(name).protocol)
    scored: list[SequenceScores] = []
    for sequence, truth in truths.items():
        facts = facts_by_hand(name, truth)
        starts: Sequence[Start] = [Start()]
        if isinstance(protocol, StartsProtocol):
            starts = protocol.starts(truth, SIZE_WH)
        passes = []
        for number, start in enumerate(starts, 1):
            stem = sequence if number == 1 else f"{sequence}.start{number}"
            boxes = np.loadtxt(results / f"{stem}.txt", delimiter=",", ndmin=2)
            with (results / f"{stem}.csv").open() as opened:
                statuses = np.array([row["status"] for row in csv.DictReader(opened)])
            rows = slice(start.row, None, -1 if start.backward else None)
            told = facts.backward_from(start.row) if start.backward else facts.from_row(start.row)
            told = replace(told, statuses=statuses)
            passes.append(protocol.score_sequence(sequence, boxes, truth[rows], facts=told))
        together = isinstance(protocol, StartsProtocol)
        scored.append(protocol.together(passes) if together else passes[0])
    values = protocol.average(scored).values
    return {key: one if np.isfinite(one) else None for key, one in values.items()}


@pytest.mark.parametrize("name", benchmarks.names())
def test_a_named_data_set_is_tracked_and_scored_by_its_own_protocol(
    tmp_path: Path, name: str
) -> None:
    known = benchmarks.get(name)
    names = sorted(getattr(get(known.protocol), "only", ()))[:2] or NAMES
    made = make(tmp_path / "data", name, names)
    for one in made.values():
        hide(name, one.annotation)
    dataset = open_benchmark(small(name, names), tmp_path / "data")
    assert dataset.protocol == known.protocol
    ran = evaluate([Keeper(step=0.75)], dataset, tmp_path / "run", resamples=10)
    assert ran.protocol == known.protocol
    assert not ran.missing
    base = dataset.file_base
    moved = base if get(known.protocol).as_stored else 1
    truths = {key: one.boxes + base * BY_1_PX for key, one in made.items()}
    results = tmp_path / "run" / "results" / "keeper"
    if moved != base:  # these rules take a box at 0 for invalid: both are moved by a pixel
        truths = {key: one + BY_1_PX for key, one in truths.items()}
        results = moved_results(results, tmp_path / "moved")
    expected = scores_by_hand(name, results, truths)
    bare = open_benchmark(small(name, names), tmp_path / "data", with_frames=False)
    (scored,) = score([tmp_path / "run"], bare)
    for found in (ran, scored):
        values = found.trackers[0].values
        assert set(values) == set(expected)
        for key, value in values.items():
            assert value == pytest.approx(expected[key], abs=1e-12), key


def moved_results(results: Path, to: Path) -> Path:
    """The result files of boxes that count from 0, counted from 1."""
    to.mkdir()
    for path in results.glob("*"):
        text = path.read_text()
        if path.suffix == ".txt" and not path.stem.endswith("_time"):
            rows = np.loadtxt(path, delimiter=",", ndmin=2) + BY_1_PX
            text = "".join(",".join(map(repr, row)) + "\n" for row in rows.tolist())
        (to / path.name).write_text(text)
    return to


# --- stored runs and official scores


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "golden" / "metrics"


def boxes_of(stored: np.ndarray) -> np.ndarray:
    """``[T,4]`` of hundredths of a pixel."""
    return np.where(stored == np.iinfo(np.int32).min, np.nan, stored / 100.0)


def write(path: Path, boxes: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(path, boxes, fmt="%.10g", delimiter=",")


def write_gtot(root: Path, name: str, stored: Mapping[str, np.ndarray]) -> None:
    for modality in "iv":
        boxes = boxes_of(stored[f"gt{modality}_ltrb_{name}"])
        write(root / name / f"groundTruth_{modality}.txt", boxes)


def write_rgbt234(root: Path, name: str, stored: Mapping[str, np.ndarray]) -> None:
    write(root / name / "infrared.txt", boxes_of(stored[f"gti_{name}"]))
    write(root / name / "visible.txt", boxes_of(stored[f"gtv_{name}"]))


def write_lasher(root: Path, name: str, stored: Mapping[str, np.ndarray]) -> None:
    write(root / name / "infrared.txt", boxes_of(stored[f"gt_{name}"]))


def write_lasot(root: Path, name: str, stored: Mapping[str, np.ndarray]) -> None:
    folder = root / name.split("-")[0] / name
    write(folder / "groundtruth.txt", stored[f"gt_{name}"])
    absent = stored[f"absent_{name}"]
    halves = np.arange(len(absent)) % 2 == 0  # which of the two files has the flag
    for file, chosen in (("full_occlusion.txt", halves), ("out_of_view.txt", ~halves)):
        (folder / file).write_text(",".join(map(str, (absent * chosen).tolist())))


def write_got10k(root: Path, name: str, stored: Mapping[str, np.ndarray]) -> None:
    write(root / name / "groundtruth.txt", stored[f"gt_{name}"])
    cover = stored[f"cover_{name}"].copy()
    cover[0] = 8  # a run begins with a visible target; this frame does not count
    np.savetxt(root / name / "cover.label", cover, fmt="%d")
    np.savetxt(root / name / "absence.label", cover == 0, fmt="%d")
    width, height = stored["resolutions"][list(stored["sequences"]).index(name)]
    (root / name / "meta_info.ini").write_text(f"[METAINFO]\nresolution: ({width}, {height})\n")


def scored_by_name(
    name: str,
    sequences: Sequence[str],
    data: Path,
    results: Path,
) -> Comparison:
    known = benchmarks.get(name)
    listed = tuple(ListedSequence(one) for one in sequences) if known.sequences else ()
    known = replace(known, count=len(sequences), sequences=listed)
    (found,) = score([results], open_benchmark(known, data, with_frames=False))
    assert found.protocol == known.protocol
    return found


Official = Callable[[dict[str, Any], str], dict[str, float]]


def of_lasot(content: dict[str, Any], tracker: str) -> dict[str, float]:
    one = content[tracker]
    return {
        "success": one["success_auc"],
        "precision": one["precision_at_20"],
        "norm_precision": one["norm_precision_at_0.20"],
    }


@pytest.mark.parametrize(
    ("name", "stem", "writer", "trackers", "official"),
    [
        ("gtot", "rgbt/gtot", write_gtot, ("jitter", "drift"),
         lambda c, t: {"mpr": c["gtot"][t]["MPR"], "msr": c["gtot"][t]["MSR"]}),
        ("rgbt234", "rgbt/rgbt234", write_rgbt234, ("jitter", "drift"),
         lambda c, t: {"mpr": c["rgbt234_24seq"][t]["MPR"], "msr": c["rgbt234_24seq"][t]["MSR"]}),
        ("lasher", "rgbt/lasher", write_lasher, ("jitter", "drift", "zeros"),
         lambda c, t: {"success": c["lasher_18seq"][t]["SR"],
                       "precision": c["lasher_18seq"][t]["PR"],
                       "norm_precision": c["lasher_18seq"][t]["NPR"]}),
        ("lasot", "lasot/lasot", write_lasot, ("jitter", "drift", "broken"), of_lasot),
        ("got10k-val", "got10k/got10k", write_got10k, ("drift", "integer"),
         lambda c, t: {"ao": c["GOT10k_val"][t]["overall"]["ao"],
                       "sr50": c["GOT10k_val"][t]["overall"]["sr"]}),
    ],
    ids=["gtot", "rgbt234", "lasher", "lasot", "got10k-val"],
)  # fmt: skip
def test_stored_runs_have_the_official_scores_through_the_reader(
    tmp_path: Path,
    golden: Path,
    name: str,
    stem: str,
    writer: Callable[[Path, str, Mapping[str, np.ndarray]], None],
    trackers: Sequence[str],
    official: Official,
) -> None:
    stored = np.load(golden / f"{stem}.npz")
    sequences = [str(one) for one in stored["sequences"]]
    end = "_001" if name == "got10k-val" else ""
    for one in sequences:
        writer(tmp_path / "data", one, stored)
        for tracker in trackers:
            boxes = boxes_of(stored[f"boxes_{tracker}_{one}{end}"])
            write(tmp_path / "results" / tracker / f"{one}.txt", boxes)
    found = scored_by_name(name, sequences, tmp_path / "data", tmp_path / "results")
    scores = golden / (f"{stem}_scores.json" if "rgbt" not in stem else "rgbt/scores.json")
    content = json.loads(scores.read_text())
    assert sorted(one.name for one in found.trackers) == sorted(trackers)
    for one in found.trackers:
        for key, value in official(content, one.name).items():
            assert one.values[key] == pytest.approx(value, abs=1e-15), (one.name, key)


def test_stored_runs_of_antiuav_have_the_official_scores(tmp_path: Path, golden: Path) -> None:
    stored = json.loads((golden / "antiuav" / "antiuav.json").read_text())
    for one in stored["sequences"]:
        folder = tmp_path / "data" / one["name"]
        folder.mkdir(parents=True)
        label = {"exist": one["exist"], "gt_rect": one["gt_rect"]}
        (folder / "IR_label.json").write_text(json.dumps(label))
        results = tmp_path / "results" / "made"
        results.mkdir(parents=True, exist_ok=True)
        (results / f"{one['name']}.txt").write_text(json.dumps({"res": one["res"]}))
    names = [one["name"] for one in stored["sequences"]]
    found = scored_by_name("anti-uav410", names, tmp_path / "data", tmp_path / "results")
    values = found.trackers[0].values
    assert values["state_accuracy"] == pytest.approx(stored["mean_SA_410"], abs=1e-15)
    assert values["success"] == pytest.approx(stored["success_410"], abs=2e-16)
    assert values["precision"] == pytest.approx(stored["precision_410"], abs=2e-16)


# --- facts that are missing, odd, or only in the files


def opened_small(root: Path, name: str, *, with_frames: bool = False) -> LabelledDataset:
    return open_benchmark(small(name), root, with_frames=with_frames)


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        ("lasot", "out_of_view.txt", "cat-1: lasot needs which frames have no target"),
        ("got10k-val", "cover.label", "cat-1: got10k needs the visible share of the target"),
        ("gtot", "groundTruth_v.txt", "cat-1: gtot needs a second annotation"),
        ("rgbt234", "visible.txt", "cat-1: rgbt234 needs a second annotation"),
    ],
)
def test_what_a_protocol_lacks_is_refused(tmp_path: Path, name: str, file: str, words: str) -> None:
    made = make(tmp_path / "data", name)
    (made[NAMES[0]].annotation.parent / file).unlink()
    dataset = opened_small(tmp_path / "data", name)
    with pytest.raises(DatasetError, match=f"{words}.*tirtrack data verify"):
        with_facts(dataset, get(dataset.protocol))


def test_a_sequence_that_lacks_a_fact_is_left_out_if_asked_for(tmp_path: Path) -> None:
    made = make(tmp_path / "data", "lasot")
    (made[NAMES[0]].annotation.parent / "out_of_view.txt").unlink()
    for name in NAMES:
        write(tmp_path / "results" / f"{name}.txt", np.tile([6.0, 5, 10, 12], (ROWS, 1)))
    dataset = opened_small(tmp_path / "data", "lasot")
    with pytest.raises(DatasetError, match="cat-1: lasot needs which frames have no target"):
        score([tmp_path / "results"], dataset)
    (found,) = score([tmp_path / "results"], dataset, partial=True)
    assert [one.name for one in found.trackers[0].sequences] == [NAMES[1]]
    assert any("left out: cat-1: lasot needs which frames" in one for one in found.read_as)
    assert found.left_out == 1
    (made[NAMES[1]].annotation.parent / "out_of_view.txt").unlink()
    dataset = opened_small(tmp_path / "data", "lasot")
    with pytest.raises(DatasetError, match="cat-1: lasot needs which frames have no target"):
        score([tmp_path / "results"], dataset, partial=True)


@pytest.mark.parametrize("by_name", [True, False], ids=["by name", "by layout"])
def test_boxes_beside_flags_of_absence_are_there_for_protocols_that_count_by_flags(
    tmp_path: Path, by_name: bool
) -> None:
    made = make(tmp_path, "lasot")
    for one in made.values():
        hide("lasot", one.annotation)
    dataset = opened_small(tmp_path, "lasot") if by_name else open_dataset(tmp_path)
    one = dataset.sequences[0]
    assert np.isnan(one.annotation[HIDDEN]).all()
    assert one.facts.with_absent is not None
    assert one.facts.absent is not None
    assert one.facts.with_absent.tolist() == [[6, 5, 10, 12]] * ROWS
    assert one.facts.absent.tolist() == [False, True, False]


def test_a_row_without_a_box_is_not_absent_where_the_flag_says_that_the_target_exists(
    tmp_path: Path,
) -> None:
    made = make(tmp_path / "data", "anti-uav410")
    for one in made.values():
        label = {"exist": [1, 1, 0], "gt_rect": [[5, 4, 10, 12], [0, 0, 0, 0], []]}
        one.annotation.write_text(json.dumps(label))
        results = tmp_path / "results"
        results.mkdir(exist_ok=True)
        rows = [[5, 4, 10, 12], [], []]
        (results / f"{one.annotation.parent.name}.txt").write_text(json.dumps({"res": rows}))
    dataset = opened_small(tmp_path / "data", "anti-uav410")
    assert dataset.sequences[0].facts.absent is not None
    assert dataset.sequences[0].facts.absent.tolist() == [False, False, True]
    (found,) = score([tmp_path / "results"], dataset, protocols=["antiuav410"])
    assert found.trackers[0].values["state_accuracy"] == 1.0, "the second frame does not count"


@pytest.mark.parametrize("name", ["lasher", "lasot"])
def test_boxes_without_area_stay_as_published(tmp_path: Path, name: str) -> None:
    path = make(tmp_path, name)[NAMES[0]].annotation
    path.write_text("6,5,10,12\n6,5,0,0\n6,5,10,12\n")
    for dataset in (opened_small(tmp_path, name), open_dataset(tmp_path, with_frames=False)):
        assert dataset.sequences[0].annotation[1].tolist() == [6, 5, 0, 0]
    plain = make(tmp_path / "plain", "folder")[NAMES[0]].annotation
    plain.write_text("6,5,10,12\n6,5,0,0\n6,5,10,12\n")
    with pytest.raises(DatasetError, match=r"row 2: the box 6,5,0,0 has no area"):
        open_dataset(tmp_path / "plain", with_frames=False)


def test_got10k_states_the_size_of_its_frames(tmp_path: Path) -> None:
    made = make(tmp_path, "got10k-val")
    for path in [image for one in made.values() for image in one.images]:
        path.unlink()
    assert opened_small(tmp_path, "got10k-val").sequences[0].facts.size_wh == SIZE_WH
    for name in NAMES:
        write(tmp_path / "results" / f"{name}.txt", made[name].boxes)
    (found,) = score([tmp_path / "results"], tmp_path, protocols=["got10k"])
    assert found.trackers[0].values["ao"] == 1.0
    (made[NAMES[0]].annotation.parent / "meta_info.ini").write_text("[METAINFO]\nurl: none\n")
    assert opened_small(tmp_path, "got10k-val").sequences[0].facts.size_wh is None


def test_the_test_part_of_got10k_says_that_its_scores_say_nothing(tmp_path: Path) -> None:
    make(tmp_path, "got10k-test")
    remarks = opened_small(tmp_path, "got10k-test", with_frames=True).remarks
    assert "only the first frame is annotated, so scores say nothing (2 of 2 sequences)" in remarks
