"""Mining: the same bytes from any number of processes and after any stop; bad pairs; no label."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from opened_files import opened_below
from PIL import Image
from same_pairs import assert_same_pairs

from tirtrack.cli.app import run
from tirtrack.errors import PairsError, RequestError, RunError
from tirtrack.files import MARKER
from tirtrack.pairs import doubts, mine, mine_pairs, open_pairs, shard_writing
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.doubts import unusable_pairs
from tirtrack.pairs.inspect import inspect_pairs
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.mine import MAX_BAD
from tirtrack.pairs.rig import stretched
from tirtrack.pairs.shards import INDEX_NAME, read_index
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.source_views import CombinedPairs


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def rig(tmp_path, write_images, write_videos) -> Path:
    """Recordings that fill four shards of 20 kB or more."""
    root = tmp_path / "rig"
    for name in ("a", "b", "c"):
        write_images(root / name, ["1", "2", "3", "4"])
    (root / "v").mkdir()
    write_videos(root / "v", 5, 5)
    return root


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    """A megabyte of 50 kB."""
    monkeypatch.setattr(mine, "MB", 50_000)


def test_any_number_of_processes_writes_the_same_bytes(tmp_path, rig):
    one = mine_pairs(rig, tmp_path / "one", shard_mb=1)
    two = mine_pairs(rig, tmp_path / "two", shard_mb=1, workers=2)
    assert one == two
    assert len(one.shards) > 3
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_place_on_the_disk_gives_the_same_shards(tmp_path, rig):
    mine_pairs(rig, tmp_path / "one", shard_mb=1)
    (tmp_path / "deep").mkdir()
    rig.rename(tmp_path / "deep" / "rig")
    mine_pairs(tmp_path / "deep" / "rig", tmp_path / "two", shard_mb=1)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_a_stopped_run_makes_the_missing_shards_and_no_other(tmp_path, rig, monkeypatch):
    mine_pairs(rig, tmp_path / "whole", shard_mb=1)
    write = mine.write_shard
    made = []

    def stop_at_two(folder, number, samples):
        if number == 2:
            raise KeyboardInterrupt
        return write(folder, number, samples)

    def note(folder, number, samples):
        made.append(number)
        return write(folder, number, samples)

    out = tmp_path / "out"
    monkeypatch.setattr(mine, "write_shard", stop_at_two)
    with pytest.raises(KeyboardInterrupt):
        mine_pairs(rig, out, shard_mb=1)
    with pytest.raises(PairsError, match="mining has not ended"):
        open_pairs(out)
    monkeypatch.setattr(mine, "write_shard", note)
    with pytest.raises(RequestError, match="exists already"):
        mine_pairs(rig, out, shard_mb=1)
    index = mine_pairs(rig, out, shard_mb=1, resume=True)
    assert made == list(range(2, len(index.shards)))
    assert content(out) == content(tmp_path / "whole")


def test_a_stop_at_any_write_leaves_nothing_half_under_a_final_name(tmp_path, rig, monkeypatch):
    mine_pairs(rig, tmp_path / "whole", shard_mb=1)
    out = tmp_path / "out"
    add, calls = shard_writing._add, []

    def dies(*args):
        calls.append(args[1])
        if len(calls) in (4, 17):
            raise SystemExit("killed")
        return add(*args)

    monkeypatch.setattr(shard_writing, "_add", dies)
    for _ in range(2):
        with pytest.raises(SystemExit):
            mine_pairs(rig, out, shard_mb=1, resume=True)
        tars = [path for path in out.glob("[!.]*.tar")]
        assert all(path.read_bytes() == (tmp_path / "whole" / path.name).read_bytes()
                   for path in tars)  # fmt: skip
    mine_pairs(rig, out, shard_mb=1, resume=True)
    assert content(out) == content(tmp_path / "whole")


def test_a_worker_that_is_killed_loses_nothing_that_was_finished(tmp_path, rig):
    mine_pairs(rig, tmp_path / "whole", shard_mb=1)

    def kill(stage, done, total, note=""):
        if stage == "mining pairs" and done:
            for child in multiprocessing.active_children():
                child.kill()

    out = tmp_path / "out"
    with pytest.raises(RunError, match="a worker process that mines pairs died"):
        mine_pairs(rig, out, shard_mb=1, workers=2, progress=kill)
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*.json")}
    assert finished
    mine_pairs(rig, out, shard_mb=1, workers=2, resume=True)
    assert content(out) == content(tmp_path / "whole")
    assert (
        finished.items()
        <= {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*.json")}.items()
    )


def test_a_finished_run_is_checked_and_damage_is_said(tmp_path, rig):
    out = tmp_path / "out"
    index = mine_pairs(rig, out, shard_mb=1)
    before = content(out)
    assert mine_pairs(rig, out, shard_mb=1, resume=True) == index
    assert content(out) == before
    path = out / index.shards[1].name
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="1 of the finished shards are damaged"):
        mine_pairs(rig, out, shard_mb=1, resume=True)


def test_another_run_is_not_resumed(tmp_path, rig, write_images):
    out = tmp_path / "out"
    mine_pairs(rig, out, shard_mb=1)
    with pytest.raises(RequestError, match="was begun with another licence"):
        mine_pairs(rig, out, shard_mb=1, licence="MIT", resume=True)
    with pytest.raises(RequestError, match="was begun with another shards"):
        mine_pairs(rig, out, shard_mb=2, resume=True)
    write_images(rig / "a", ["5"])
    with pytest.raises(RequestError, match="was begun with another"):
        mine_pairs(rig, out, shard_mb=1, resume=True)


def test_the_folder_is_replaced_only_with_force(tmp_path, rig):
    out = tmp_path / "out"
    mine_pairs(rig, out)
    mine_pairs(rig / "a", out, force=True)
    assert open_pairs(out).name == "a"
    beside = tmp_path / "other"
    beside.mkdir()
    (beside / "mine.txt").write_text("kept")
    with pytest.raises(RequestError, match="was not made by tirtrack"):
        mine_pairs(rig, beside, force=True)
    assert (beside / "mine.txt").read_text() == "kept"


def test_force_never_deletes_what_is_to_be_read(tmp_path, write_images):
    out = tmp_path / "out"
    out.mkdir()
    (out / MARKER).touch()
    rig = write_images(out / "rig", ["1", "2"])
    for act in (lambda: mine_pairs(rig, out, force=True),
                lambda: mine_pairs(rig, rig.parent, force=True),
                lambda: inspect_pairs(rig, "centre", out=out, force=True)):  # fmt: skip
        with pytest.raises(RequestError, match="is or holds what is to be read"):
            act()
    mine_pairs(rig, tmp_path / "shards")
    with pytest.raises(RequestError, match="is or holds what is to be read"):
        inspect_pairs(tmp_path / "shards", "centre", out=tmp_path / "shards", force=True)
    assert len(open_pairs(rig)) == len(open_pairs(tmp_path / "shards")) == 2


def test_times_as_names_go_into_shards(tmp_path, write_images):
    rig = write_images(tmp_path / "rig", ["12:30:01", "12:30:02", "12:30:03"])
    mine_pairs(rig, tmp_path / "out")
    assert_same_pairs(open_pairs(rig), open_pairs(tmp_path / "out"))


@pytest.mark.parametrize("name", ["x\\1", "x\n1", "\udcff1"], ids=["path", "line", "no Unicode"])
@pytest.mark.parametrize("is_folder", [False, True], ids=["frame", "recording"])
def test_a_name_that_shards_cannot_hold_is_refused_before_anything(
    tmp_path, write_images, name, is_folder
):
    rig = write_images(tmp_path / "rig" / (name if is_folder else "a"), ["1", "2"])
    if not is_folder:
        for modality in ("rgb", "tir"):
            (rig / modality / "1.png").rename(rig / modality / f"{name}.png")
    with pytest.raises(PairsError, match=r"its name cannot go into shards: .*; rename it"):
        mine_pairs(tmp_path / "rig", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mining_that_was_killed_in_its_first_shard_is_said(tmp_path, rig):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".shard-000000.1.partial.tar").touch()
    with pytest.raises(PairsError, match="mining has not ended; finish it"):
        open_pairs(out)


def test_shards_are_not_mined_again(tmp_path, rig):
    mine_pairs(rig, tmp_path / "out")
    with pytest.raises(PairsError, match="were mined already"):
        mine_pairs(tmp_path / "out", tmp_path / "again")


def test_several_folders_are_named_as_distill_names_them(tmp_path, rig, write_images):
    other = write_images(tmp_path / "other", ["1", "2"])
    mine_pairs([rig, other], tmp_path / "out")
    assert [*open_pairs(tmp_path / "out").recordings()] == [*open_pairs([rig, other]).recordings()]
    with pytest.raises(PairsError, match="two recordings are called"):
        mine_pairs([other, other], tmp_path / "twice")
    assert not (tmp_path / "twice").exists()


# --- bad input --------------------------------------------------------------------------------


def test_a_damaged_pair_stops_the_run_unless_it_is_allowed(tmp_path, rig):
    damaged = rig / "b" / "tir" / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    assert MAX_BAD == 0.001
    out = tmp_path / "out"
    with pytest.raises(RunError, match="1 of 17 pairs cannot be used so far") as caught:
        mine_pairs(rig, out, shard_mb=1)
    assert "rig/b/2" in str(caught.value)
    assert "--max-bad" in str(caught.value)
    index = mine_pairs(rig, out, shard_mb=1, max_bad=0.1, resume=True)
    assert [fault.pair for fault in index.faults] == ["rig/b/2"]
    assert read_index(out) == index
    folder, source = open_pairs(rig), open_pairs(out)
    assert len(folder) == len(source)
    with pytest.raises(PairsError) as first:
        folder[5]
    with pytest.raises(PairsError) as second:
        source[5]
    assert first.value.what == second.value.what
    assert np.array_equal(folder[6].tir, source[6].tir)


def test_a_file_that_vanishes_is_a_fault_of_its_pair(tmp_path, rig, monkeypatch):
    files, looked_at = mine.sample_files, mine._looked_at
    gone = rig / "b" / "tir" / "2.png"
    monkeypatch.setattr(
        mine, "sample_files", lambda take, position: {
            name: path.with_suffix(".gone") if path == gone else path
            for name, path in files(take, position).items()
        },
    )  # fmt: skip
    monkeypatch.setattr(
        mine, "_looked_at", lambda source, indices, *, judge: (
            ({0: "no such file"}, {}) if "/b" in source.name and indices[0] == 1
            else looked_at(source, indices, judge=judge)
        ),
    )  # fmt: skip
    index = mine_pairs(rig, tmp_path / "out", shard_mb=1, max_bad=0.1)
    assert [(fault.pair, fault.why) for fault in index.faults] == [("rig/b/2", "no such file")]
    source = open_pairs(tmp_path / "out")
    with pytest.raises(PairsError, match=r"its TIR file could not be read .*no such file"):
        source[5]
    assert len(source.manifest().files) == 25


def test_a_recording_that_changes_while_it_is_mined_ends_the_run(tmp_path, rig, monkeypatch):
    begin = mine._begin

    def vanish(*args, **kwargs):
        (rig / "b" / "rgb" / "2.png").unlink()
        return begin(*args, **kwargs)

    monkeypatch.setattr(mine, "_begin", vanish)
    with pytest.raises(RunError, match="rig/b: has changed while it was mined"):
        mine_pairs(rig, tmp_path / "out", shard_mb=1)
    assert not (tmp_path / "out" / INDEX_NAME).exists()


def test_a_file_that_shrinks_while_it_is_stored_is_no_full_disk(tmp_path, rig, monkeypatch):
    add = shard_writing._add
    monkeypatch.setattr(
        shard_writing, "_add", lambda tar, member, file, size, name: (
            add(tar, member, file, size + (name == "3.png"), name)
        ),
    )  # fmt: skip
    with pytest.raises(RunError, match=r"3\.png: has changed while it was mined"):
        mine_pairs(rig, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))


def test_a_recording_that_cannot_be_used_is_listed_or_stops(tmp_path, rig):
    (rig / "b" / "tir" / "2.png").unlink()
    with pytest.raises(PairsError, match="1 of 4 recordings cannot be used") as caught:
        mine_pairs(rig, tmp_path / "out")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()
    index = mine_pairs(rig, tmp_path / "out", max_bad=0.3)
    assert len(index.unusable_recordings) == 1
    assert [one.name for one in index.recordings] == ["rig/a", "rig/c", "rig/v"]


def test_where_nothing_can_be_used_no_larger_share_of_bad_ones_is_advised(tmp_path, rig):
    for name in "abc":
        (rig / name / "tir" / "2.png").unlink()
    (rig / "v" / "tir.mp4").write_bytes(b"no video")
    with pytest.raises(PairsError, match="1 stem is in one of them only") as caught:
        mine_pairs(rig / "b", tmp_path / "out")
    assert caught.value.where == str(rig / "b")
    with pytest.raises(PairsError, match="not one of 4 recordings can be used, first ") as several:
        mine_pairs(rig, tmp_path / "out")
    for one in (caught, several):
        assert "--max-bad" not in str(one.value)


@pytest.mark.parametrize("settings", [{"shard_mb": 0}, {"max_bad": 1.0}, {"max_bad": -0.1}])
def test_settings_that_mean_nothing_are_refused(tmp_path, rig, settings):
    with pytest.raises(RequestError, match="a shard has 1 MB or more"):
        mine_pairs(rig, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


# --- unsupervised, and at any size ------------------------------------------------------------


def test_labels_are_never_opened_and_change_nothing(tmp_path, rig):
    """Traced by the interpreter."""
    mine_pairs(rig, tmp_path / "without", shard_mb=1)
    poison = []
    for folder in (rig, *(path for path in rig.rglob("*") if path.is_dir())):
        for name in ("groundtruth.txt", "boxes.json", "1.txt", "1.xml", "instances.json"):
            (folder / name).write_text("poison")
            poison.append(folder / name)
    with opened_below(rig) as opened:
        mine_pairs(rig, tmp_path / "with", shard_mb=1)
    assert {path.suffix for path in opened} == {".png", ".mp4"}
    assert not opened & set(poison)
    assert content(tmp_path / "with") == content(tmp_path / "without")


def test_memory_does_not_grow_with_the_number_of_pairs(tmp_path, monkeypatch):
    monkeypatch.setattr(mine, "MB", 200_000)  # shards of 215 pairs
    root = tmp_path / "in"
    for number in range(8):
        for modality, shape in (("rgb", (12, 16, 3)), ("tir", (12, 16))):
            folder = root / f"r{number}" / modality
            folder.mkdir(parents=True)
            rng = np.random.default_rng(len(shape))
            Image.fromarray(rng.integers(0, 255, shape, np.uint8)).save(folder / "0.png")
            for stem in range(1, 200):
                os.link(folder / "0.png", folder / f"{stem}.png")
    held = {}

    def note(stage, done, total, note=""):
        if stage == "mining pairs":
            gc.collect()
            held[done] = tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    mine_pairs(root, tmp_path / "out", shard_mb=1, progress=note)
    tracemalloc.stop()
    counts = [done for done in held if 0 < done < 1600]
    assert len(counts) == 7
    grown = np.diff([held[done] for done in counts])  # what others do in this process comes once
    assert np.median(grown) < 60 * 215, held  # bytes: less than a path for each pair of a shard


# --- the command ------------------------------------------------------------------------------


def test_the_command_mines_and_inspect_reads_its_shards(tmp_path, rig, capsys):
    out = tmp_path / "out"
    assert run(["pairs", "mine", str(rig), "--out", str(out), "--licence", "MIT"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("rig: 17 pairs in 4 recordings, ")
    assert f"written: {out}" in printed.err
    assert run(["pairs", "mine", str(rig), "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    words = ["pairs", "inspect", str(out), "--out", str(tmp_path / "seen"), "--json"]
    assert run(words) == 0
    seen = json.loads(capsys.readouterr().out)
    assert (seen["name"], seen["pairs"], seen["usable_pairs"]) == ("rig", 17, 17)


def test_the_command_says_what_was_assumed_and_what_files_tell_against_the_pairs(
    tmp_path, write_images, capsys
):
    rig = tmp_path / "rig"
    write_images(rig / "a", ["1", "2", "3"])
    write_images(rig / "c", [f"{k:03d}" for k in range(60)])
    for name, step_ms in (("rgb", 40), ("tir", 40.77)):
        for k in range(60):
            file = rig / "c" / name / f"{k:03d}.png"
            file.rename(file.with_stem(f"{1700000000000 + round(k * step_ms)}"))
    for file in (rig / "a" / "tir").iterdir():
        Image.fromarray(7000 + np.asarray(Image.open(file)).astype(np.uint16)).save(file)
    assert run(["pairs", "mine", str(rig), "--out", str(tmp_path / "out")]) == 0
    lines = [one for one in capsys.readouterr().out.splitlines() if one]
    assert lines[0].startswith("rig: 62 pairs in 2 recordings, ")
    assert lines[1].startswith("  assumed: rig/c: matched by time within 0.02 s, 1 of 60 RGB")
    assert lines[2].startswith("warning: rig/c: by their time stamps RGB has 25 frames/s and TIR")
    assert lines[3].startswith("warning: TIR has 8 bits in rig/c and raw counts in rig/a: ")


def test_the_command_is_told_the_layout(tmp_path, write_images, capsys):
    rig = write_images(tmp_path / "rig", ["1", "2", "3"])
    out = tmp_path / "out"
    words = ["pairs", "mine", str(rig), "--out", str(out), "--layout"]
    assert run([*words, "kaist"]) == 2
    assert "nothing here or below is laid out as kaist" in capsys.readouterr().err
    assert run([*words, "cameras"]) == 0
    assert run(["pairs", "inspect", str(out), "--layout", "cameras"]) == 2
    assert "leave out --layout, " in capsys.readouterr().err


# --- pairs that can be read and not used ----------------------------------------------------------


@pytest.fixture
def some_blank(rig) -> Path:
    """TIR of two pairs of a recording of images is blank."""
    for name in ("1", "3"):
        (file,) = (rig / "b" / "tir").glob(f"{name}.*")
        Image.fromarray(np.full_like(np.asarray(Image.open(file)), 90)).save(file)
    return rig


def judged_of(source: PairSource) -> dict[str, Unusable]:
    """What is left out, by key."""
    left = unusable_pairs(source, range(len(source)))
    return {source[index].key: why for index, why in left.items()}


def test_judged_pairs_are_counted_and_stored_the_same_bytes_from_any_process(tmp_path, some_blank):
    one = mine_pairs(some_blank, tmp_path / "one", shard_mb=1, judge=True)
    mine_pairs(some_blank, tmp_path / "two", shard_mb=1, judge=True, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert one.unusable["rig/b"] == {Unusable.BLANK: 2}
    assert one.pairs == len(open_pairs(some_blank))
    assert one.judged


def test_pairs_that_nobody_asked_to_judge_are_not(tmp_path, some_blank, monkeypatch):
    monkeypatch.setattr(mine, "unusable", None)
    index = mine_pairs(some_blank, tmp_path / "out", shard_mb=1)
    assert (index.judged, index.unusable) == (False, {})


def test_what_was_judged_is_read_and_not_judged_again(tmp_path, some_blank, monkeypatch):
    of_folder = judged_of(open_pairs(some_blank))
    assert list(of_folder.values()).count(Unusable.BLANK) == 2
    mine_pairs(some_blank, tmp_path / "out", shard_mb=1, judge=True)
    monkeypatch.setattr(doubts, "unusable", None)
    assert judged_of(open_pairs(tmp_path / "out")) == of_folder


def test_the_index_counts_what_a_distillation_leaves_out(tmp_path, rig):
    """Where most pairs of a recording seem to show different scenes, none is left out for it."""
    index = mine_pairs(rig, tmp_path / "out", shard_mb=1, judge=True)
    left = Counter(key.split("/")[1] for key in judged_of(open_pairs(rig)))
    assert {name.split("/")[1]: sum(kinds.values()) for name, kinds in index.unusable.items()} == (
        dict(left)
    )


def test_pairs_that_are_read_otherwise_than_they_were_judged_are_judged_again(
    tmp_path, some_blank, monkeypatch
):
    mine_pairs(some_blank, tmp_path / "out", shard_mb=1, judge=True)
    source = open_pairs(tmp_path / "out")
    name = next(iter(source.recordings()))
    assert source.is_judged(name)
    assert not open_pairs(tmp_path / "out", pairing=Pairing(tir_alone=True)).is_judged(name)
    height, width = source[0].tir.shape
    rig = stretched((width, height), (width, height))
    assert not source.registered({name: rig}).is_judged(name)
    both = CombinedPairs([source, open_pairs(some_blank / "a")])
    assert both.is_judged(name)
    assert not both.is_judged("a")
    assert both.judged(0) is source.judged(0)
    after = CombinedPairs([open_pairs(some_blank / "a"), source])
    kinds = [source.judged(index) for index in range(len(source))]
    assert Unusable.BLANK in kinds
    assert [after.judged(index) for index in range(4, len(after))] == kinds


def test_a_pair_that_cannot_be_read_is_not_judged(tmp_path, rig):
    (rig / "a" / "tir" / "2.png").write_bytes(b"no picture")
    index = mine_pairs(rig, tmp_path / "out", shard_mb=1, judge=True, max_bad=0.5)
    (fault,) = index.faults
    source = open_pairs(tmp_path / "out")
    with pytest.raises(PairsError):
        source.judged(1)
    assert fault.pair.endswith("a/2")
    assert judged_of(source).keys().isdisjoint({fault.pair})


def test_a_run_that_judges_does_not_resume_one_that_did_not(tmp_path, rig):
    mine_pairs(rig, tmp_path / "out", shard_mb=1)
    with pytest.raises(RequestError, match="judged"):
        mine_pairs(rig, tmp_path / "out", shard_mb=1, judge=True, resume=True)


def test_the_command_says_what_was_judged(tmp_path, some_blank, capsys):
    out = tmp_path / "out"
    assert run(["pairs", "mine", str(some_blank), "--out", str(out), "--judge"]) == 0
    said = capsys.readouterr().out
    assert "cannot be used, and `distill --set unusable=leave_out` leaves them out" in said
    assert "rig/b: 2 x blank" in said


def test_json_is_the_index(tmp_path, rig, capsys):
    out = tmp_path / "out"
    assert run(["pairs", "mine", str(rig), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((out / INDEX_NAME).read_text())
