"""``distill`` as a verb: files in, files out, and what is refused before anything is written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import tirtrack
from tirtrack.distillation import stages, train_student
from tirtrack.distillation.engine import CHECKPOINT, read_checkpoint
from tirtrack.distillation.foreign_teacher import check_pool
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.run import distill
from tirtrack.distillation.run_folder import inherited_calibration, recipe_identity, run_folder
from tirtrack.distillation.summary import RunSummary, read_log
from tirtrack.errors import (
    PairsError,
    RecipeError,
    RequestError,
    RunError,
    StorageError,
    WeightsError,
)
from tirtrack.files import fingerprint, sha256
from tirtrack.networks import registry
from tirtrack.pairs import folder as pairs_in_folders
from tirtrack.pairs import mine_pairs
from tirtrack.pairs.inspection_folder import MANIFEST_NAME
from tirtrack.trackers.loading import load_tracker
from tirtrack.weights import store
from tirtrack.weights.card import Calibration, Card, TrainingSource


@pytest.fixture(scope="module")
def pairs(tiny, tmp_path_factory):
    """Three recordings on the disk."""
    root = tmp_path_factory.mktemp("world") / "pairs"
    source = tiny.TinyPairs()
    for index in range(len(source)):
        pair = source[index]
        for modality, image in (("rgb", pair.rgb), ("tir", pair.tir)):
            path = root / pair.recording / modality / f"{pair.position:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return root


@pytest.fixture(scope="module")
def baseline(tmp_path_factory):
    """Untrained weights of the real architecture."""
    path = tmp_path_factory.mktemp("weights") / "start.safetensors"
    card = Card(
        name="start",
        architecture="nanotrack-v3",
        modality="rgb",
        licence="Apache-2.0",
        training_data=[TrainingSource(name="nothing", licence="none", role="untrained")],
    )
    store.write(path, registry.build("nanotrack-v3", seed=1).eval(), card)
    return path


def run(tiny, pairs, baseline, out, **options):
    changes = {**tiny.SMALL, **options.pop("changes", {})}
    return distill(pairs, baseline, out, recipe=options.pop("recipe", "mixed"), changes=changes,
                   licence="CC0-1.0", **options)  # fmt: skip


def test_a_run_leaves_weights_and_everything_about_them(tiny, pairs, baseline, tmp_path):
    before = baseline.read_bytes()
    done = run(tiny, pairs, baseline, tmp_path / "night.safetensors", command="tirtrack distill x")
    assert baseline.read_bytes() == before
    assert done.folder == tmp_path / "night.run"
    student = store.read(done.weights)
    card = student.card
    assert (card.name, card.modality, card.architecture) == ("night", "tir", "nanotrack-v3")
    assert (card.started_from[0].name, card.started_from[0].licence) == ("start", "Apache-2.0")
    assert card.started_from[0].sha256 == store.read(baseline).sha256
    assert card.started_from[0].training_data == "nothing (none)"
    assert card.training_data[0].licence == "CC0-1.0"
    assert card.made_with["command"] == "tirtrack distill x"
    assert card.made_with["seed"] == "0"
    assert done.summary.verdict in card.summary
    text = (done.folder / "summary.json").read_text()
    assert RunSummary.model_validate_json(text) == done.summary
    stored = json.loads(text)
    assert stored["weights"] == "night.safetensors"
    assert {"proposals", "features", "training"} <= set(stored["seconds"])
    assert stored["harvest"]["pairs"] == 4  # one of three recordings is held back
    assert load_recipe(done.folder / "recipe.yaml").training.steps == 2
    manifest = json.loads((done.folder / "manifest.json").read_text())
    assert len(manifest["files"]) == 12
    assert len(manifest["files"][0]["sha256"]) == 64
    assert len(read_log(done.folder)) == 2
    with Image.open(done.folder / "contact_sheet.png") as sheet:
        assert sheet.width > 400


def test_card_and_summary_say_that_weights_were_averaged(tiny, pairs, baseline, tmp_path):
    changes = {"training.average": 0.5}
    done = run(tiny, pairs, baseline, tmp_path / "half.safetensors", changes=changes)
    assert done.summary.average == 0.5
    said = "; weights averaged with the start weights (0.5 of them); "
    assert said + done.summary.verdict in store.read(done.weights).card.summary


def test_shards_give_the_student_of_the_folders_bit_for_bit(
    tiny, pairs, baseline, tmp_path, monkeypatch
):
    mine_pairs(pairs, tmp_path / "shards", licence="CC0-1.0")
    ran = []
    for place, source in (("folder", pairs), ("mined", tmp_path / "shards")):
        monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / place / "cache"))  # nothing is shared
        ran.append(run(tiny, source, baseline, tmp_path / place / "night.safetensors"))
    folder, mined = ran
    assert folder.identity == mined.identity
    one, other = (store.read(done.weights).state for done in ran)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


TRACKS = {"tracks.modalities": ["tir"], "tracks.min_frames": 1, "tracks.min_first_iou": 0.0}


def test_boxes_are_followed_by_a_tracker_of_the_baseline(tiny, pairs, baseline, tmp_path):
    changes, told = {**tiny.SMALL, **TRACKS}, []
    with pytest.raises(RecipeError, match="boxes are to be followed in tir, and there is no track"):
        run(tiny, pairs, baseline, tmp_path / "a.safetensors", changes=changes)
    tirtrack.distill(
        pairs, baseline, tmp_path / "b.safetensors", recipe="mixed", changes=changes,
        progress=lambda stage, *_: told.append(stage),
    )  # fmt: skip
    assert "tracks" in told


def test_a_run_is_resumed_with_no_other_follower(tiny, pairs, baseline, tmp_path):
    def follower(min_side):
        return lambda weights: load_tracker(weights, overrides={"min_side": min_side})

    given = (tiny, pairs, baseline, tmp_path / "a.safetensors")
    run(*given, changes=TRACKS, follower=follower(2.0))
    again = {"changes": TRACKS, "resume": True}
    assert run(*given, follower=follower(2.0), **again).summary is None
    with pytest.raises(RequestError, match=r"another follower \(was .*, now "):
        run(*given, follower=follower(4.0), **again)


def test_a_teacher_of_another_family_is_trusted_by_limits_of_its_own(
    tiny, pairs, tmp_path, monkeypatch
):
    files = {}
    for name in ("prdimp18-tiny", "fear-xs-tiny"):
        files[name] = tmp_path / f"{name}.safetensors"
        card = Card(name=name, architecture=name, modality="rgb", licence="Apache-2.0")
        store.write(files[name], registry.build(name, seed=1).eval(), card)
    asked = []
    monkeypatch.setattr(
        stages, "check_pool",
        lambda teacher, pool, clips, recipe, seed: asked.append(recipe.teacher.box_check)
        or check_pool(teacher, pool, clips, recipe, seed=seed),
    )  # fmt: skip
    done = run(
        tiny, pairs, files["prdimp18-tiny"], tmp_path / "taught.safetensors",
        recipe="published_dimp",
        changes={
            "teacher.weights": str(files["fear-xs-tiny"]),
            "teacher.box_check.min_iou": 0.4,
            "training.batch": 4,
        },
    )  # fmt: skip
    assert {(limits.min_iou, limits.min_probability) for limits in asked} == {(0.4, 0.998)}
    teacher = load_recipe(done.folder / "recipe.yaml").teacher
    assert (teacher.min_iou, teacher.min_probability) == (0.0, 0.25)


@pytest.mark.parametrize(
    ("architecture", "recipe", "alike"),
    [
        ("prdimp18-tiny", "distill_dimp", {"score", "modulation", "energy"}),
        ("atom18-tiny", "distill_atom", {"modulation", "energy"}),
    ],
)
def test_the_papers_own_family_is_distilled_from_file_to_file(
    tiny, pairs, tmp_path, architecture, recipe, alike
):
    start = tmp_path / "start.safetensors"
    card = Card(name="start", architecture=architecture, modality="rgb", licence="Apache-2.0")
    store.write(start, registry.build(architecture, seed=1).eval(), card)
    believing = {
        "teacher.max_distance_cells": 99,
        "teacher.min_probability": 0,
        "teacher.min_iou": 0,
    }
    done = run(
        tiny, pairs, start, tmp_path / "night.safetensors", recipe=None, changes=believing
    )  # fmt: skip
    assert (done.summary.recipe, done.summary.steps) == (recipe, 2)
    assert set(done.summary.held_back.like_teacher) == alike
    student, before = store.read(done.weights), store.read(start)
    assert (student.card.architecture, student.card.modality) == (architecture, "tir")
    changed = {key for key in before.state if not before.state[key].equal(student.state[key])}
    assert changed
    assert not any(key.startswith("feature_extractor.") for key in changed)
    log = read_log(done.folder)
    assert {f"tir_to_tir/{name}" for name in alike} <= set(log[-1].terms)


def test_every_file_of_the_pairs_is_hashed_once(tiny, pairs, baseline, tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(
        pairs_in_folders, "sha256", lambda path: hashed.append(path) or sha256(path)
    )
    for options in ({}, {"held_back": pairs / "take2"}):
        hashed.clear()
        run(tiny, pairs, baseline, tmp_path / f"{len(options)}.safetensors", **options)
        assert len(hashed) == len(list(pairs.rglob("*.png"))) + 4 * len(options)


def test_a_finished_run_is_not_done_again_and_not_overwritten(tiny, pairs, baseline, tmp_path):
    out = tmp_path / "a.safetensors"
    run(tiny, pairs, baseline, out)
    before, first = out.read_bytes(), store.read(out).state
    with pytest.raises(RequestError, match="exists already"):
        run(tiny, pairs, baseline, out)
    assert run(tiny, pairs, baseline, out, resume=True).summary is None
    assert out.read_bytes() == before
    folder = {path.name: path.read_bytes() for path in run_folder(out).iterdir()}
    other = baseline.with_name("other.safetensors")
    store.write(other, registry.build("nanotrack-v3", seed=2).eval(), store.read(baseline).card)
    for wrong, says in (
        (dict(changes={"pool": 11}), r"another recipe \(pool was 12, now 11\)"),
        (dict(seed=4), r"another seed \(was 0, now 4\)"),
        (dict(pairs=pairs / "take0"), "another pairs"),
        (dict(held_back=pairs / "take2"), r"another held-back pairs \(was of the pairs, now "),
        (dict(baseline=other), "another baseline"),
    ):
        given = {"pairs": pairs, "baseline": baseline, **wrong}
        with pytest.raises(RequestError, match=says):
            run(tiny, given.pop("pairs"), given.pop("baseline"), out, resume=True, **given)
    assert {path.name: path.read_bytes() for path in run_folder(out).iterdir()} == folder
    assert out.read_bytes() == before
    again = run(tiny, pairs, baseline, out, force=True)
    assert again.summary is not None
    state = store.read(out).state
    assert all(torch.equal(value, first[key]) for key, value in state.items())


@pytest.fixture
def older(tiny, pairs, baseline, tmp_path):
    """A finished run as a version left it whose recipes had none of the added settings."""
    out = tmp_path / "older.safetensors"
    folder = run(tiny, pairs, baseline, out, changes={"registration": False}).folder
    content = yaml.safe_load((folder / "recipe.yaml").read_text())
    del content["registration"], content["unusable"], content["boxes"]["calibrated"]
    (folder / "recipe.yaml").write_text(yaml.safe_dump(content))
    identity = json.loads((folder / "identity.json").read_text())
    (folder / "identity.json").write_text(json.dumps({**identity, "recipe": fingerprint(content)}))
    return out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"registration": True}, "registration was False, now True"),
        ({"unusable": "leave_out"}, "unusable was keep, now leave_out"),
        ({"boxes.calibrated": True}, r"boxes\.calibrated was False, now True"),
    ],
    ids=["registration", "unusable", "calibrated"],
)
def test_a_run_of_an_older_version_is_resumed_where_new_settings_change_nothing(
    tiny, pairs, baseline, older, changes, says
):
    plain = {"registration": False}
    assert run(tiny, pairs, baseline, older, resume=True, changes=plain).summary is None
    with pytest.raises(RequestError, match=rf"another recipe \({says}\)"):
        run(tiny, pairs, baseline, older, resume=True, changes={**plain, **changes})


def test_a_recipe_has_the_identity_that_it_had_before_settings_were_added():
    plain = load_recipe("mixed", changes={"registration": False})
    assert recipe_identity(plain) == "726ed81afb02c25a"
    others = ({"registration": True}, {"unusable": "leave_out"}, {"boxes.calibrated": True})
    changed = [load_recipe("mixed", changes={"registration": False, **one}) for one in others]
    assert len({recipe_identity(one) for one in (plain, *changed)}) == 4


def test_pairs_that_were_moved_are_the_same_pairs(tiny, pairs, baseline, tmp_path):
    out = tmp_path / "mine.safetensors"
    run(tiny, pairs, baseline, out)
    moved = tmp_path / "elsewhere" / pairs.name
    shutil.copytree(pairs, moved)
    assert run(tiny, moved, baseline, out, resume=True).summary is None
    (changed,) = sorted(moved.rglob("tir/*"))[:1]
    Image.fromarray(np.asarray(Image.open(changed)) ^ 1).save(changed)
    with pytest.raises(RequestError, match="pairs"):
        run(tiny, moved, baseline, out, resume=True)


def test_force_that_is_interrupted_leaves_no_old_weights(
    tiny, pairs, baseline, tmp_path, monkeypatch
):
    out = tmp_path / "a.safetensors"
    out.write_bytes(b"old")
    with pytest.raises(RequestError, match=r"identity\.json: is missing"):
        run(tiny, pairs, baseline, out, resume=True)
    with pytest.raises(PairsError):
        run(tiny, tmp_path / "nowhere", baseline, out, force=True)
    assert out.read_bytes() == b"old"  # refused: nothing was begun

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_student, "train_steps", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(tiny, pairs, baseline, out, force=True)
    assert not out.exists()
    manifest = (run_folder(out) / MANIFEST_NAME).read_bytes()
    with pytest.raises(RequestError, match="another pairs"):
        run(tiny, pairs / "take0", baseline, out, resume=True)
    assert (run_folder(out) / MANIFEST_NAME).read_bytes() == manifest
    assert run(tiny, pairs, baseline, out, resume=True).summary is not None


@pytest.mark.parametrize("workers", [1, 2])
def test_pairs_that_turn_out_to_be_damaged_are_a_failed_run(
    tiny, pairs, baseline, tmp_path, workers
):
    damaged = tmp_path / "pairs"
    shutil.copytree(pairs, damaged)
    for path in damaged.rglob("tir/000001.png"):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(
        RunError, match=r"\d of 6 pairs cannot be used .* repair or remove"
    ) as found:
        run(tiny, damaged, baseline, tmp_path / "a.safetensors", workers=workers)
    assert found.value.exit_code == 1
    assert isinstance(found.value.__cause__, PairsError)
    assert str(found.value) == str(found.value.__cause__)


def test_the_calibration_is_said_to_be_of_the_baseline():
    numbers = dict(rise_centre=1.0, rise_scale=2.0, margin_centre=3.0, margin_scale=4.0,
                   uncertain_below=0.5, lost_below=0.2, lost_after_frames=5)  # fmt: skip
    card = Card(name="start", architecture="nanotrack-v3", modality="rgb", licence="x",
                calibration=Calibration(**numbers, fitted_on="some films"))  # fmt: skip
    given = inherited_calibration(card)
    assert given.fitted_on == "of the baseline start, not refitted: some films"
    assert given.model_dump(exclude={"fitted_on"}) == numbers
    assert inherited_calibration(card.model_copy(update={"calibration": None})) is None


def test_an_interrupted_run_goes_on_to_the_same_weights(
    tiny, pairs, baseline, tmp_path, monkeypatch
):
    whole = run(tiny, pairs, baseline, tmp_path / "whole.safetensors")
    real = train_student.step_loss

    def interrupted(*args, **kwargs):
        if (tmp_path / "part.run" / CHECKPOINT).is_file():
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(train_student, "step_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, pairs, baseline, tmp_path / "part.safetensors")
    monkeypatch.setattr(train_student, "step_loss", real)
    assert not (tmp_path / "part.safetensors").exists()
    assert read_checkpoint(tmp_path / "part.run" / CHECKPOINT)["step"] == 1
    with pytest.raises(RequestError, match="exists already; go on with --resume"):
        run(tiny, pairs, baseline, tmp_path / "part.safetensors")
    with pytest.raises(RequestError, match=r"another recipe \(pool was 12, now 11\)"):
        run(tiny, pairs, baseline, tmp_path / "part.safetensors", resume=True, changes={"pool": 11})
    with pytest.raises(RequestError, match="another seed"):
        run(tiny, pairs, baseline, tmp_path / "part.safetensors", resume=True, seed=4)
    part = run(tiny, pairs, baseline, tmp_path / "part.safetensors", resume=True)
    one, other = store.read(whole.weights).state, store.read(part.weights).state
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_held_back_pairs_may_be_given(tiny, pairs, baseline, tmp_path):
    done = run(
        tiny, [pairs / "take0", pairs / "take1"], baseline, tmp_path / "a.safetensors",
        held_back=pairs / "take2",
    )  # fmt: skip
    assert done.summary.harvest.pairs == 4
    assert done.summary.split == "given: take2"
    assert done.summary.source_lines[0].startswith("4 pairs in 2 recordings, ")
    assert done.summary.source_lines[1].startswith("2 pairs in 1 recording, ")


REFUSED = {
    "no pairs": (dict(pairs="nowhere"), PairsError, "there is no such folder"),
    "no weights": (dict(baseline="nano-none"), WeightsError, "nano-none"),
    "no recipe": (dict(recipe="mixt"), RecipeError, 'did you mean "mixed"'),
    "supervised": (dict(recipe="control_labelled_rgb"), RecipeError, "give it to `tirtrack train`"),
    "way": (dict(changes={"proposals.way": "saliencey"}), RequestError, 'did you mean "saliency"'),
    "option": (dict(changes={"proposals.options": {"cout": 3}}), RequestError, "no option"),
    "normaliser": (dict(changes={"normaliser": "adaptative"}), RecipeError, "adaptive"),
    "term": (dict(changes={"terms": [{"name": "energy"}]}), RecipeError, 'term "energy"'),
    "component": (
        dict(changes={"training.components": {"neck": 1.0}}), RecipeError, 'component "neck"',
    ),
    "device": (dict(device="gpu"), RequestError, 'no device "gpu"; choose cpu or cuda'),
    "device kind": (dict(device="meta"), RequestError, 'device "meta" is not supported'),
    "device number": (dict(device="cuda:99"), RequestError, "cuda:99"),
    "seed": (dict(seed=-1), RequestError, "seed must be at least 0, got -1"),
    "workers": (dict(workers=0), RequestError, "workers must be at least 1, got 0"),
    "suffix": (dict(out="student.pth"), RequestError, "end --out with .safetensors"),
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_wrong_request_writes_nothing(tiny, pairs, baseline, tmp_path, wrong, kind, says):
    given = {"pairs": pairs, "baseline": baseline, "out": "out/student.safetensors", **wrong}
    out = tmp_path / given.pop("out")
    with pytest.raises(kind, match=says):
        run(tiny, given.pop("pairs"), given.pop("baseline"), out, **given)
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set()


def test_the_baseline_is_never_overwritten(tiny, pairs, baseline):
    with pytest.raises(RequestError, match="is the baseline, which is never overwritten"):
        run(tiny, pairs, baseline, baseline, force=True)


def test_a_full_disk_at_the_end_leaves_no_half_result(tiny, pairs, baseline, tmp_path, monkeypatch):
    def full(*_, **__):
        raise StorageError("could not be written (No space left on device)", "x")

    monkeypatch.setattr(store.files, "write_bytes", full)
    with pytest.raises(StorageError):
        run(tiny, pairs, baseline, tmp_path / "a.safetensors")
    assert list(tmp_path.glob("*.safetensors")) == []
    monkeypatch.undo()
    done = run(tiny, pairs, baseline, tmp_path / "a.safetensors", resume=True)
    assert done.weights.is_file()


def test_no_file_but_frames_and_weights_is_opened(tiny, pairs, baseline, tmp_path, monkeypatch):
    label = pairs / "take0" / "groundtruth.txt"
    label.write_text("1,2,3,4\n", encoding="utf-8")
    (pairs / "take0" / "tir" / "boxes.txt").write_text("1,2,3,4\n", encoding="utf-8")
    opened = []
    import sys

    def hook(event, args):
        if event == "open" and isinstance(args[0], str) and str(pairs) in args[0]:
            opened.append(args[0])

    sys.addaudithook(hook)
    run(tiny, pairs, baseline, tmp_path / "a.safetensors")
    seen = {path for path in opened if not path.endswith(".png")}
    assert opened
    assert not any(path.endswith(".txt") for path in seen)
    label.unlink()
    (pairs / "take0" / "tir" / "boxes.txt").unlink()


def test_run_folder_stands_beside_the_weights(tmp_path):
    assert run_folder(tmp_path / "x.y.safetensors") == tmp_path / "x.y.run"
