"""Training on labelled RGB: samples, selection, and the verb."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from tirtrack import verbs
from tirtrack.boxes import iou
from tirtrack.crops import CropRule, boxes_to_frame, boxes_to_patch
from tirtrack.datasets.labelled_clips import collect, open_labelled
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stills import LabelledStill
from tirtrack.distillation import samples as sampling
from tirtrack.distillation import supervised, train_student
from tirtrack.distillation.engine import read_checkpoint
from tirtrack.distillation.one_step import one_step_iou, one_step_rule
from tirtrack.distillation.pool import Pool, PoolArrays, ViewKey
from tirtrack.distillation.pool_making import build_pool
from tirtrack.distillation.proposal_draws import draw_rule
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.samples import long_enough
from tirtrack.distillation.settings import Modality
from tirtrack.distillation.sources import hold_back_clips
from tirtrack.distillation.step_plan import plan_step
from tirtrack.distillation.summary import RunSummary, read_log
from tirtrack.errors import DatasetError, RecipeError, RequestError, RunError, WeightsError
from tirtrack.networks.response import DenseBoxes, IouEnergies, Response
from tirtrack.networks.score_kinds import Hinge, Margin
from tirtrack.verbs import train
from tirtrack.weights import store

SMALL = {
    "training.steps": 3,
    "training.batch": 4,
    "training.warm_up": 1,
    "training.checkpoint_every": 1,
    "pool": 8,
    "held_back.samples": 8,
    "held_back.share": 0.4,
}


def frame_of(index: int) -> np.ndarray:
    image = np.random.default_rng(7).integers(20, 60, (90, 120, 3), dtype=np.uint8)
    image[30:54, 40 + index : 60 + index] = [220, 80, 40]
    return image


def video(name: str = "clip", *, frames: int = 6, base: int = 1, absent=()) -> LabelledSequence:
    rows = np.array([[40.0 + base + i, 30.0 + base, 20.0, 24.0] for i in range(frames)])
    rows[list(absent)] = np.nan
    return LabelledSequence(name, rows, base, lambda: (frame_of(index) for index in range(frames)))


@pytest.fixture
def folder(tmp_path):
    """Stills in a COCO file: ten pictures of a red block, two of another source."""
    images, annotations = [], []
    (tmp_path / "stills" / "images").mkdir(parents=True)
    for index in range(12):
        name = f"{index:03d}.png"
        Image.fromarray(frame_of(index)).save(tmp_path / "stills" / "images" / name)
        source = "coco" if index < 10 else "kangaroo"
        images.append(
            {"id": index, "file_name": name, "width": 120, "height": 90, "source": source}
        )
        annotations.append(
            {"id": index, "image_id": index, "bbox": [40 + index, 30, 20, 24], "category_id": 1}
        )
    content = {"images": images, "annotations": annotations, "categories": []}
    (tmp_path / "stills" / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path / "stills"


SIAMESE = SimpleNamespace(reference_crop=CropRule(127), test_crop=CropRule(255))
FRAME_HW = (90, 120)
TEST = ViewKey("test", Modality.RGB)


def draw_labelled(clips, recipe, number, *, seed, network=SIAMESE):
    (sample,) = sampling.draw_labelled(clips, recipe, [number], network=network, seed=seed)
    return sample


def recipe_of(name="baseline", **changes):
    return load_recipe(name, changes={**SMALL, **changes})


def test_annotation_is_read_in_its_own_base():
    data = collect([], [video(base=1)])
    np.testing.assert_array_equal(data[0].boxes[0, 0], [40, 30, 20, 24])
    np.testing.assert_array_equal(collect([], [video(base=0)])[0].boxes[0, 0], [40, 30, 20, 24])


def test_absent_and_tiny_boxes_are_never_drawn():
    data = collect([], [video(frames=8, absent=(0, 1, 2, 5))])
    recipe = recipe_of(stills=0.0)
    seen = {
        frame
        for number in range(60)
        for sample in [draw_labelled(data, recipe, number, seed=0)]
        for frame in (sample.references[0].frame, sample.tests[0].frame)
    }
    assert seen == {3, 4, 6, 7}
    tiny_box = video()
    tiny_box.annotation[:, 2] = 3.0
    with pytest.raises(DatasetError, match="no usable box in 0 pictures and 1 sequences"):
        collect([], [tiny_box])


def test_template_and_search_frame_are_at_most_max_gap_apart():
    data = collect([], [video(frames=40)])
    recipe = recipe_of(stills=0.0, max_gap=5)
    gaps = Counter(
        sample.tests[0].frame - sample.references[0].frame
        for sample in (draw_labelled(data, recipe, number, seed=0) for number in range(400))
    )
    assert set(gaps) == set(range(-5, 6))


def test_each_patch_shows_its_own_frame_where_its_box_says():
    data = collect([], [video(frames=12)])
    recipe = recipe_of(stills=0.0, **{"jitter.test": {"shift": 20.0, "scale": 0.1}})
    samples = [draw_labelled(data, recipe, number, seed=1) for number in range(8)]
    pool = build_pool(data, samples, recipe, seed=1)
    (patches,) = pool._kept[TEST]
    for place, sample in enumerate(samples):
        shot = sample.tests[0]
        frame, crop = shot.frame, shot.spec.crop(FRAME_HW)
        expected = boxes_to_patch(np.array([40.0 + frame, 30, 20, 24]), crop)
        np.testing.assert_allclose(pool.boxes_patch["test"][place, 0], expected, rtol=1e-5)
        red = patches[place, 0, ..., 0] > 150
        rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        found = np.array([columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1], float)
        back = boxes_to_frame(found, crop)
        np.testing.assert_allclose(back, [40.0 + frame, 30, 20, 24], atol=1.0)


def test_every_sample_is_used_once_an_epoch_and_negatives_show_another_item(folder):
    data, _ = open_labelled(folder)
    recipe = recipe_of(negatives=0.5)
    samples = [draw_labelled(data, recipe, number, seed=0) for number in range(8)]
    pool = Pool(samples, PoolArrays({}, {}, np.zeros(8, bool)), are_features=True)
    draws = [draw for step in (0, 1) for draw in plan_step(pool, recipe, seed=0, step=step)]
    assert sorted(draw.reference for draw in draws) == list(range(8))
    negatives = [draw for draw in draws if draw.reference != draw.test]
    assert negatives
    assert all(samples[d.reference].clip != samples[d.test].clip for d in negatives)


def test_sequences_too_short_for_the_sampling_are_counted(folder, tmp_path):
    sequence = tmp_path / "films" / "a" / "img"
    sequence.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(frame_of(index)).save(sequence / f"{index}.png")
    (sequence.parent / "groundtruth.txt").write_text("40,30,20,24\n" * 3)
    out = tmp_path / "run.safetensors"
    said = {}
    for how in ("causal", "interval"):
        changes = {**SMALL, "sampling": how, "training.steps": 0}
        run = train([folder, tmp_path / "films"], out, changes=changes, force=True)
        said[how] = run.summary.source_lines
    assert said["causal"] == (
        *said["interval"],
        "not used: 1 sequence too short for causal samples",
    )


def test_fake_tir_is_grey(folder):
    data, _ = open_labelled(folder)
    for name, is_grey in (("control_labelled_rgb", False), ("control_labelled_grey", True)):
        recipe = recipe_of(name)
        pool = build_pool(data, [draw_labelled(data, recipe, 0, seed=0)], recipe, seed=0)
        (patches,) = pool._kept[replace(TEST, augmented=is_grey)]
        assert bool(np.ptp(patches, axis=-1).max() <= 1) is is_grey


def test_whole_items_are_held_back(folder):
    data, _ = open_labelled(folder)
    kept, held = hold_back_clips(data, 0.4)
    assert len(kept) + len(held) == len(data) == 12
    assert len(held) > 0
    names = [{clip.name for clip in part} for part in (kept, held)]
    assert not names[0] & names[1]
    assert hold_back_clips(data, 0.4) == (kept, held)
    # Of few items one is held back and one trained on, whatever the draw says.
    for share, count in ((0.0, 0), (1e-9, 1), (1 - 1e-9, 11)):
        kept, held = hold_back_clips(data, share)
        assert (len(kept), len(held)) == (12 - count, count)
    everything, none = hold_back_clips(collect([], [video()]), 0.999)
    assert (len(everything), len(none)) == (1, 0)


def test_only_the_named_sources_are_read(folder):
    assert len(open_labelled(folder, ["coco"])[0]) == 10
    with pytest.raises(DatasetError, match='no source "koko"'):
        open_labelled(folder, ["koko"])
    with pytest.raises(DatasetError, match="there is no such folder"):
        open_labelled(folder / "none")


def test_one_step_iou_is_that_of_the_best_cell():
    class Perfect:
        reference_side, test_side, stride = 127, 255, 16
        box_kind = DenseBoxes()

        def __init__(self, box):
            self.box = box

        def features(self, patches):
            return [patches]

        def reference_from(self, features, boxes):
            return None

        def respond_from(self, target, features, proposals):
            count = features[0].shape[1]
            scores = torch.zeros(1, count, 15, 15)
            scores[..., 3, 4] = 1.0
            dense = torch.zeros(1, count, 4, 15, 15)
            dense[..., 3, 4] = torch.tensor(self.box)
            return Response(target, features, [scores], dense, Margin(16, 255), self.box_kind)

    data = collect([LabelledStill("a", None, (120, 90), np.array([[40.0, 30, 20, 24]]))], [])
    recipe = recipe_of()
    sample = draw_labelled(data, recipe, 0, seed=0)
    zeros = {
        replace(TEST, branch=branch): [np.zeros((1, 1, side, side, 3), np.uint8)]
        for branch, side in (("reference", 127), ("test", 255))
    }
    box = boxes_to_patch(sample.tests[0].box.array(), sample.tests[0].spec.crop(FRAME_HW))
    boxes = box.astype(np.float32)[None, None]
    arrays = PoolArrays(zeros, {"reference": boxes, "test": boxes}, np.zeros(1, bool))
    pool = Pool([sample], arrays, are_features=False)
    assert one_step_iou(Perfect(boxes[0, 0]), pool)[0] == pytest.approx(1.0, abs=1e-6)
    half = boxes[0, 0] * [1, 1, 0.5, 1]
    assert one_step_iou(Perfect(half.astype(np.float32)), pool)[0] == pytest.approx(0.5, abs=1e-5)


# --- the DiMP family and ATOM --------------------------------------------------------------------

PUBLISHED = {
    "dimp18": "dimp18",
    "dimp50": "dimp50",
    "prdimp18": "prdimp18",
    "prdimp50": "prdimp50",
    "super_dimp": "superdimp50",
    "super_dimp_simple": "superdimp_simple",
    "atom": "atom18",
    "atom_prob_ml": "atom18",
    "atom_gmm_sampl": "atom18",
}
FEW = {**SMALL, "training.steps": 2, "training.batch": 3, "pool": 3, "held_back.samples": 4}


@pytest.fixture
def clips(monkeypatch):
    """Two videos, long enough for causal samples, in place of a folder."""
    data = collect([], [video(name, frames=24) for name in ("one", "two", "three")])
    monkeypatch.setattr(verbs, "open_labelled", lambda *_: (data, []))
    return data


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_every_published_training_runs_on_its_network(clips, tmp_path, recipe):
    changes = {**FEW, "held_back.share": 0.0}
    out = tmp_path / "a.safetensors"
    run = train("clips", out, network=f"{PUBLISHED[recipe]}-tiny", recipe=recipe, changes=changes)
    start = supervised.begin_network(f"{PUBLISHED[recipe]}-tiny", None, 0)
    trained = store.network_of(store.read(run.weights))
    settings = load_recipe(recipe)
    components = {name.split(".")[0] for name in settings.training.components}
    before = start.components()
    changed = {
        name.split(".")[0]
        for name, parameters in trained.components().items()
        if any(not torch.equal(a, b) for a, b in zip(parameters, before[name], strict=True))
    }
    assert changed == components
    log = read_log(run.folder)
    assert len(log) == 2
    assert all(np.isfinite(line.loss) for line in log)
    term = "rgb_to_rgb/cross_supervision"
    assert set(log[0].terms) == {term, f"{term}/classification", f"{term}/box"}
    if settings.training.keep_published_frozen:
        frozen = [p for module in trained.published_frozen() for p in module.parameters()]
        first = [p for module in start.published_frozen() for p in module.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(frozen, first, strict=True))


def test_the_published_settings_are_those_of_the_papers_code():
    def rates(name: str) -> dict[str, float]:
        training = load_recipe(name).training
        return {part: share * training.rate for part, share in training.components.items()}

    def schedule(name: str) -> tuple[int, float]:
        recipe = load_recipe(name)
        return recipe.training.batch, recipe.training.decay_every * recipe.training.batch / 15

    assert rates("dimp18") == pytest.approx(
        {"backbone": 2e-4, "target_filter.head": 5e-5, "target_filter.initialiser": 5e-5,
         "target_filter.optimiser": 5e-4, "box_estimator": 1e-3}
    )  # fmt: skip
    assert rates("dimp50")["box_estimator"] == pytest.approx(2e-4)
    assert rates("prdimp50") == pytest.approx(
        {"backbone": 2e-5, "target_filter": 1e-3, "box_estimator": 1e-3}
    )
    assert rates("super_dimp")["backbone"] == pytest.approx(2e-5)
    assert rates("atom") == {"box_estimator": 1e-3}
    per_epoch = {
        "dimp18": (26, 26000),
        "dimp50": (10, 26000),
        "super_dimp": (20, 40000),
        "atom": (64, 64000),
    }
    assert {name: schedule(name) for name in per_epoch} == per_epoch
    assert {name: load_recipe(name).max_gap for name in PUBLISHED} == {
        "dimp18": 30, "dimp50": 30, "prdimp18": 200, "prdimp50": 200, "super_dimp": 200,
        "super_dimp_simple": 200, "atom": 50, "atom_prob_ml": 200, "atom_gmm_sampl": 200,
    }  # fmt: skip
    ml = draw_rule(load_recipe("atom_prob_ml").estimator, IouEnergies())
    assert (ml.loss, ml.is_mixture, ml.count) == ("ml", True, 128)
    assert draw_rule(load_recipe("atom").estimator, IouEnergies()).count == 16
    gmm = draw_rule(load_recipe("atom_gmm_sampl").estimator, IouEnergies())
    assert (gmm.loss, gmm.is_mixture) == ("mse", True)


def test_causal_samples_show_the_reference_before_the_test_frames(clips):
    recipe = load_recipe("dimp18", changes={"max_gap": 4, "stills": 0.0})
    for number in range(200):
        sample = draw_labelled(clips, recipe, number, seed=0)
        references = [shot.frame for shot in sample.references]
        tests = [shot.frame for shot in sample.tests]
        assert len(references) == len(tests) == 3
        assert max(references) == references[0] < min(tests)
        assert max(tests) - references[0] < 4
    short = collect([], [video("short", frames=9)])
    with pytest.raises(DatasetError, match="none of 1 videos is long enough"):
        long_enough(short, recipe)


def test_flips_of_a_sample_are_rolled_together_unless_asked_for(clips):
    together = load_recipe("dimp18", changes={"flip": 0.5})
    apart = load_recipe("super_dimp")
    kinds = {}
    for name, recipe in (("together", together), ("apart", apart)):
        samples = [draw_labelled(clips, recipe, number, seed=0) for number in range(60)]
        flips = [
            [shot.spec.is_mirrored for shot in (*sample.references, *sample.tests)]
            for sample in samples
        ]
        kinds[name] = {len(set(row)) for row in flips}
        assert 0.3 < np.mean([row[0] for row in flips]) < 0.7
    assert kinds == {"together": {1}, "apart": {1, 2}}


def test_jitter_follows_the_crop_rule(clips):
    rule = CropRule(288, 5.0, "replicate")
    area = SimpleNamespace(reference_crop=rule, test_crop=rule)
    recipe = load_recipe("dimp18")
    ratios, sizes = [], []
    for number in range(400):
        sample = draw_labelled(clips, recipe, number, network=area, seed=0)
        for shot in sample.tests:
            box, around = shot.box, shot.spec.box
            away = np.abs(np.array(box.center_xy) - around.center_xy)
            ratios.append(away.max() / np.sqrt(around.w * around.h))
            sizes.append(np.log(around.w / box.w))
    assert max(ratios) == pytest.approx(2.25, abs=0.02)  # area factor less 0.5, half of it
    assert np.std(sizes) == pytest.approx(0.5, abs=0.05)
    still = load_recipe("atom")
    shot = draw_labelled(clips, still, 3, network=area, seed=0).references[0]
    assert shot.spec.box == shot.box


LITE = {**FEW, "pools": 2, "training.steps": 5, "pool": 4, "training.batch": 2}


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """Numbers of patches that the frozen backbone is given, with a cache of the test's own."""
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / "cache"))
    patches_seen = []
    real = supervised.torch_engine

    def counting(*given):
        engine = real(*given)

        def counted(patches):
            patches_seen.append(len(patches))
            return engine(patches)

        return counted

    monkeypatch.setattr(supervised, "torch_engine", counting)
    return patches_seen


def test_kept_features_train_to_the_same_weights_and_are_made_once(clips, tmp_path, seen):
    options = dict(network="dimp-lite-tiny", recipe="dimp_lite", changes=LITE)
    first = train("clips", tmp_path / "a.safetensors", **options)
    assert sum(seen) == 2 * 4 * 2  # pools, samples, branches
    again = train("clips", tmp_path / "b.safetensors", **options)
    assert sum(seen) == 16
    one, other = (store.read(run.weights).state for run in (first, again))
    assert all(torch.equal(value, other[key]) for key, value in one.items())
    train("clips", tmp_path / "c.safetensors", **options, seed=5)
    assert sum(seen) == 32


def test_features_are_made_anew_once_a_picture_was_changed(folder, tmp_path, seen):
    changes = {**LITE, "held_back.share": 0.0, "held_back.samples": 0}
    options = dict(network="dimp-lite-tiny", recipe="dimp_lite", changes=changes)
    for name, made in (("a", 16), ("b", 16), ("c", 32)):
        if name == "c":
            for picture in (folder / "images").iterdir():
                Image.fromarray(255 - frame_of(0)).save(picture)
        train(folder, tmp_path / f"{name}.safetensors", **options)
        assert sum(seen) == made


def test_training_from_a_backbone_takes_the_backbone_alone(clips, tmp_path):
    out = tmp_path / "a.safetensors"
    donor = train("clips", out, network="dimp18-tiny", recipe="dimp18", changes=FEW)
    begun = supervised.begin_network("prdimp18-tiny", store.read(donor.weights), 3)
    theirs = store.network_of(store.read(donor.weights)).modules_of("backbone")[0].state_dict()
    ours = begun.modules_of("backbone")[0].state_dict()
    assert all(torch.equal(value, ours[key]) for key, value in theirs.items())
    other = supervised.begin_network("prdimp18-tiny", None, 3)
    heads = [name for name in begun.component_names() if name != "backbone"]
    for name in heads:
        pairs = zip(begun.components()[name], other.components()[name], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    with pytest.raises(WeightsError, match="its backbone is not that of superdimp50-tiny"):
        supervised.begin_network("superdimp50-tiny", store.read(donor.weights), 0)
    with pytest.raises(WeightsError, match="its backbone is not that of fear-xs-tiny"):
        supervised.begin_network("fear-xs-tiny", store.read(donor.weights), 0)


def test_fear_is_trained_like_every_siamese_network(clips, tmp_path):
    changes = {**FEW, "training.rate": 1e-3}
    run = train("clips", tmp_path / "a.safetensors", network="fear-xs-tiny", changes=changes)
    start = supervised.begin_network("fear-xs-tiny", None, 0)
    trained = store.network_of(store.read(run.weights))
    changed = {
        name
        for name, parameters in trained.components().items()
        if any(
            not torch.equal(a, b) for a, b in zip(parameters, start.components()[name], strict=True)
        )
    }
    assert changed == {"target_filter", "box_estimator"}
    assert run.summary.verdict.startswith("the backbone has random weights, and the recipe does")
    with pytest.raises(WeightsError, match="its backbone is not that of dimp18-tiny"):
        supervised.begin_network("dimp18-tiny", store.read(run.weights), 0)


def test_one_step_iou_of_a_network_that_rates_proposals_is_of_the_best_around_the_peak(clips):
    recipe = load_recipe("dimp18", changes={**FEW, "references": 1, "tests": 1})
    network = supervised.begin_network("dimp18-tiny", None, 0)
    samples = [draw_labelled(clips, recipe, n, network=network, seed=0) for n in range(4)]
    pool = build_pool(clips, samples, recipe, seed=0, proposals=one_step_rule(network))
    labels = torch.from_numpy(pool.boxes_patch["test"][:, 0])

    def oracle(target, features, proposals=None):
        """Scores with their peak near the label, energies that know the overlap."""
        boxes = labels[None, :, None].expand_as(proposals)
        energies = iou(proposals, boxes)
        centres = (labels[:, :2] + labels[:, 2:] / 2 - 48) / 16 + 3
        steps = torch.arange(7)
        near = (
            -((steps[:, None] - centres[:, 1, None, None]) ** 2)
            - (steps[None, :] - centres[:, 0, None, None]) ** 2
        )
        kinds = Hinge(16, 96, 0.8), IouEnergies()
        return Response(target, features, [near[None]], energies, *kinds)

    network.respond_from = oracle
    assert one_step_iou(network, pool).min() > 0.5
    network.respond_from = lambda *given: replace(
        oracle(*given), scores=[-oracle(*given).scores[0]]
    )
    assert one_step_iou(network, pool).max() < 0.3


# --- the verb ------------------------------------------------------------------------------------


def test_training_that_does_not_help_keeps_the_start_weights(folder, tmp_path, monkeypatch):
    first = train(folder, tmp_path / "a.safetensors", recipe="baseline", changes=SMALL)
    text = (first.folder / "summary.json").read_text(encoding="utf-8")
    assert RunSummary.model_validate_json(text) == first.summary
    assert first.summary.kept == "trained"  # there was nothing to keep
    monkeypatch.setattr(
        supervised, "one_step_iou", lambda network, pool: np.full(len(pool.samples), 0.5)
    )
    again = train(
        folder, tmp_path / "b.safetensors", initial=first.weights, recipe="control_labelled_rgb",
        changes={**SMALL, "keep": "if_better", "training.average": 0.5},
        licences={"coco": "CC-BY-4.0"},
    )  # fmt: skip
    assert again.summary.kept == "start"
    assert again.summary.average == 0.0  # nothing of the training is in them
    assert "averaged" not in store.read(again.weights).card.summary
    assert "training did not help, the start weights are kept" in again.summary.verdict
    one, other = store.read(first.weights), store.read(again.weights)
    assert all(torch.equal(value, other.state[key]) for key, value in one.state.items())
    assert other.card.modality == "rgb"
    assert other.card.started_from[0].sha256 == one.sha256
    licences = {part.name: part.licence for part in other.card.training_data}
    assert licences == {"coco": "CC-BY-4.0", "kangaroo": "not stated"}


def test_an_interrupted_training_goes_on_to_the_same_weights(folder, tmp_path, monkeypatch):
    whole = train(folder, tmp_path / "whole.safetensors", changes=SMALL)
    real = train_student.step_loss

    def interrupted(*args, **kwargs):
        if (tmp_path / "part.run" / "checkpoint.pt").is_file():
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(train_student, "step_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(folder, tmp_path / "part.safetensors", changes=SMALL)
    monkeypatch.setattr(train_student, "step_loss", real)
    assert read_checkpoint(tmp_path / "part.run" / "checkpoint.pt")["step"] == 1
    part = train(folder, tmp_path / "part.safetensors", changes=SMALL, resume=True)
    one, other = store.read(whole.weights).state, store.read(part.weights).state
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_finished_training_is_returned_for_the_same_request_alone(folder, tmp_path, monkeypatch):
    out = tmp_path / "a.safetensors"
    first = train(folder, out, changes=SMALL)
    before = out.read_bytes()
    assert train(folder, out, changes=SMALL, resume=True).summary is None
    for wrong, says in (
        (dict(seed=4), r"another seed \(was 0, now 4\)"),
        (dict(changes={**SMALL, "pool": 4}), r"another recipe \(pool was 8, now 4\)"),
        (dict(still_sources=["coco"]), "another data"),
        (dict(network="nanotrack-v2"), "another network"),
    ):
        with pytest.raises(RequestError, match=says):
            train(folder, out, **{"changes": SMALL, **wrong}, resume=True)
    assert out.read_bytes() == before

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(train_student, "step_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(folder, out, changes=SMALL, force=True)
    assert not out.exists()
    again = train(folder, out, changes=SMALL, resume=True)
    assert again.summary.fingerprint == first.summary.fingerprint


def test_a_stopped_training_resumes_with_moved_pictures_and_not_with_changed_ones(
    folder, tmp_path, monkeypatch
):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    out = tmp_path / "a.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(train_student, "step_loss", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(folder, out, changes=SMALL)
    moved = folder.rename(tmp_path / "moved")
    picture = moved / "images" / "003.png"
    whole = picture.read_bytes()
    Image.fromarray(255 - frame_of(3)).save(picture)
    with pytest.raises(RequestError, match="the run was begun with another data"):
        train(moved, out, changes=SMALL, resume=True)
    picture.write_bytes(whole)
    assert train(moved, out, changes=SMALL, resume=True).weights == out


def test_a_picture_that_turns_out_to_be_damaged_is_a_failed_run(folder, tmp_path):
    for path in (folder / "images").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(RunError) as found:
        train(folder, tmp_path / "a.safetensors", changes=SMALL)
    assert found.value.exit_code == 1
    assert isinstance(found.value.__cause__, RequestError)


@pytest.mark.parametrize(
    "given",
    [{}, {"initial": "nano-rgb", "network": "dimp18"}],
    ids=["no start weights", "their backbone alone"],
)
def test_random_weights_are_not_averaged_with(folder, tmp_path, given):
    changes = {**SMALL, "training.average": 0.25}
    with pytest.raises(
        RecipeError, match=r"to hold 0\.25 of the start weights.*--initial"
    ) as found:
        train(folder, tmp_path / "a.safetensors", changes=changes, **given)
    assert found.value.exit_code == 2
    assert [*tmp_path.glob("a*")] == []


def test_wrong_requests_are_refused(folder, tmp_path):
    with pytest.raises(
        RecipeError, match=r"or choose .*, control_labelled_grey, control_labelled_rgb, "
    ):
        train(folder, tmp_path / "a.safetensors", recipe="mixed")
    with pytest.raises(RequestError, match='no device "gpu"'):
        train(folder, tmp_path / "a.safetensors", device="gpu")
    with pytest.raises(RequestError, match="seed must be at least 0, got -2"):
        train(folder, tmp_path / "a.safetensors", seed=-2)
    with pytest.raises(RecipeError, match="nothing is trained on labels by it"):
        train(folder, tmp_path / "a.safetensors", recipe="mixed")
    with pytest.raises(RequestError, match="no labelled data was given"):
        train([], tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["stills"]
