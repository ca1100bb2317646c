"""Intervals over groups of sequences, and subsets, from the sequences' ``attributes.json``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tracked_worlds import Keeper, walk, write_lsotb

from tirtrack.cli.score_table import print_comparison
from tirtrack.datasets import open_dataset
from tirtrack.errors import DatasetError
from tirtrack.evaluation import statistics
from tirtrack.evaluation.comparison import Comparison
from tirtrack.evaluation.runner import evaluate
from tirtrack.evaluation.score_files import score
from tirtrack.evaluation.statistics import ScoreDifference
from tirtrack.report.build import build_report

TRACKERS = [Keeper("still"), Keeper("moving", step=0.7)]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Seven sequences of three recordings; two pass a cover, all are amodal, none is shaky."""
    for k in range(7):
        folder = tmp_path / "world" / f"s{k}"
        (folder / "img").mkdir(parents=True)
        boxes = walk(6 + k, k)
        (folder / "groundtruth.txt").write_text("\n".join(",".join(map(str, b)) for b in boxes))
        for frame in range(len(boxes)):
            Image.fromarray(np.zeros((48, 64), np.uint8)).save(folder / f"img/{frame:06d}.png")
        facts = {
            "frames": len(boxes),
            "recording": f"camera_{(0, 1, 0, 1, 0, 2, 2)[k]}",
            "passes_full_cover": k in (1, 4),
            "one_only": k == 3,
            "amodal": True,
            "shaky": False,
        }
        (folder / "attributes.json").write_text(json.dumps(facts))
    return tmp_path / "world"


def change(world: Path, sequence: str, **facts: object) -> Path:
    """The file of a sequence, with other facts; ``None`` removes one."""
    file = world / sequence / "attributes.json"
    changed = {**json.loads(file.read_text()), **facts}
    file.write_text(json.dumps({key: fact for key, fact in changed.items() if fact is not None}))
    return file


def success(comparison: Comparison) -> ScoreDifference:
    found = comparison.difference("moving", "still", "success")
    assert found is not None
    return found


def test_interval_is_over_whole_recordings(world: Path, tmp_path: Path) -> None:
    plain = evaluate(TRACKERS, world, tmp_path / "plain")
    grouped = evaluate(TRACKERS, world, tmp_path / "grouped", group="recording")
    by_sequence = [one.by_sequence("success") for one in grouped.trackers]
    d = np.array([by_sequence[1][name] - by_sequence[0][name] for name in by_sequence[0]])
    indices = statistics.bootstrap_indices(3, np.random.default_rng(0))
    members = [np.array([0, 2, 4]), np.array([1, 3]), np.array([5, 6])]
    drawn = [d[np.concatenate([members[g] for g in row])].mean() for row in indices]
    found = success(grouped)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))
    assert (found.n, found.groups, found.drawn, grouped.group) == (7, 3, 3, "recording")
    other = success(plain)
    assert found.mean == other.mean
    assert (found.low, found.high) != (other.low, other.high)
    assert (other.groups, other.drawn, plain.group) == (None, 7, None)


def test_recordings_are_drawn_alike_when_runs_are_resumed_or_scored(
    world: Path, tmp_path: Path
) -> None:
    evaluate(TRACKERS, world, tmp_path / "out", starts=2)
    grouped = evaluate(TRACKERS, world, tmp_path / "out", starts=2, group="recording", resume=True)
    (scored,) = score([tmp_path / "out"], world, starts=2, group="recording")
    found = scored.difference("still", "moving", "success")
    assert found is not None
    assert found.turned() == success(grouped)


@pytest.mark.parametrize(
    ("key", "fact", "says"),
    [
        pytest.param("recording", None, 'no text under the key "recording"', id="missing"),
        pytest.param("recording", 3, 'no text under the key "recording"', id="number"),
        pytest.param("recordin", "x", 'did you mean "recording"', id="misspelt"),
        pytest.param("amodal", True, 'no text under the key "amodal"', id="true or false"),
        pytest.param("", "x", 'no text under the key ""', id="empty"),
    ],
)
def test_sequence_without_the_key_is_named_before_anything_is_written(
    world: Path, tmp_path: Path, key: str, fact: object, says: str
) -> None:
    sequence = "s0" if key != "recording" else "s2"
    file = change(world, sequence, **({key: fact} if key == "recording" else {}))
    with pytest.raises(DatasetError) as caught:
        evaluate(TRACKERS, world, tmp_path / "out", group=key)
    assert str(caught.value).startswith(f"{file}: ")
    assert says in str(caught.value)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_layout_without_the_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    world = write_lsotb(tmp_path / "world", {"a_V_001": walk(5, 0)})
    with pytest.raises(DatasetError) as caught:
        evaluate(TRACKERS, world, tmp_path / "out", group="recording")
    said = 'no text under the key "recording"; add it to attributes.json beside the annotation'
    assert str(caught.value) == f"a_V_001: {said}"


def test_any_key_with_text_may_be_named(world: Path, tmp_path: Path) -> None:
    for k in range(7):
        change(world, f"s{k}", site=f"hill {k % 2}")
    found = success(evaluate(TRACKERS, world, tmp_path / "out", group="site"))
    assert found.groups == 2


def test_page_says_that_intervals_are_over_recordings_and_how_many(
    world: Path, tmp_path: Path
) -> None:
    evaluate(TRACKERS, world, tmp_path / "out", group="recording")
    page = build_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    assert "3 recordings cannot decide between moving and still" in page
    assert "paired bootstrap over 3 recordings, each with all of its sequences" in page
    assert "Intervals are over recordings" in page
    assert "Fewer than 6 recordings give no p" in page
    differences = page[page.index("Differences: ") :].partition("</table>")[0]
    assert differences.count('<td data-value="">–</td></tr>') == 4  # the p of every score
    assert "treated as independent, so the intervals" not in page


def test_table_says_that_too_few_recordings_cannot_decide(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    print_comparison(evaluate(TRACKERS, world, tmp_path / "out", group="recording"))
    printed = capsys.readouterr().out
    assert "95 % paired bootstrap over recordings" in printed
    assert "fewer than 6 recordings cannot decide; they have no p" in printed
    rows = [line for line in printed.splitlines() if "moving - still" in line]
    assert len(rows) == 4
    assert all(line.split("│")[5].strip() == "-" for line in rows)


def test_page_without_groups_says_that_sequences_are_taken_as_independent(
    world: Path, tmp_path: Path
) -> None:
    evaluate(TRACKERS, world, tmp_path / "out")
    page = build_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    assert "paired bootstrap over sequences" in page
    assert "treated as independent, so the intervals" in page
    assert "recording" not in page


def test_true_attributes_are_subsets_with_their_number_of_sequences(
    world: Path, tmp_path: Path
) -> None:
    found = evaluate(TRACKERS, world, tmp_path / "out").trackers[1]
    assert {name: one.sequences for name, one in found.subsets.items()} == {"passes_full_cover": 2}
    rows = [one for one in found.sequences if one.name in ("s1", "s4")]
    subset = found.subsets["passes_full_cover"]
    for name, value in subset.values.items():
        assert value == pytest.approx(np.mean([row.values[name] for row in rows]))
    for name, value in subset.visible_values.items():
        assert value == pytest.approx(np.mean([row.visible_values[name] for row in rows]))
    assert subset.values["success"] != found.values["success"]


def test_parts_of_a_data_set_stay_subsets_beside_attributes(world: Path, tmp_path: Path) -> None:
    (tmp_path / "parts" / "day").mkdir(parents=True)
    (world / "s0").rename(tmp_path / "parts" / "day" / "s0")
    world.rename(tmp_path / "parts" / "night")
    found = evaluate(TRACKERS, tmp_path / "parts", tmp_path / "out").trackers[0]
    counts = {name: one.sequences for name, one in found.subsets.items()}
    assert counts == {"day": 1, "night": 6, "passes_full_cover": 2}


def test_page_has_a_table_of_subsets(world: Path, tmp_path: Path) -> None:
    found = evaluate(TRACKERS, world, tmp_path / "out")
    page = build_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    table = page[page.index("<h3>Subsets</h3>") : page.index("<h3>Sequences</h3>")]
    row = table[table.index("passes_full_cover") :]
    assert row.startswith('passes_full_cover</td><td data-value="2">2</td>')
    for one in found.trackers:
        assert f">{one.subsets['passes_full_cover'].values['success']:.3f}</td>" in row


def test_page_without_subsets_has_no_table_of_them(world: Path, tmp_path: Path) -> None:
    for k in range(7):
        change(world, f"s{k}", passes_full_cover=None)
    evaluate(TRACKERS, world, tmp_path / "out")
    page = build_report([tmp_path / "out"], tmp_path / "page.html").read_text()
    assert "<h3>Subsets</h3>" not in page


def test_facts_of_a_sequence_are_attributes_if_true_or_false_and_notes_if_text(
    world: Path,
) -> None:
    sequence = open_dataset(world).sequences[1]
    attributes = {"passes_full_cover": 1, "one_only": 0, "amodal": 1, "shaky": 0}
    assert sequence.attributes == attributes
    assert sequence.notes == {"recording": "camera_1"}
