"""Whole runs on tiny networks: every recipe, what controls promise, what is said at the end."""

from __future__ import annotations

from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tirtrack.boxes import Box
from tirtrack.distillation import stages, train_student
from tirtrack.distillation.clips import clips_of
from tirtrack.distillation.pair_warnings import harvest_warnings
from tirtrack.distillation.pool import Draw
from tirtrack.distillation.recipe import load_recipe, recipe_names
from tirtrack.distillation.recipe_check import check_recipe
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.settings import Direction
from tirtrack.distillation.sources import hold_back
from tirtrack.distillation.summary import read_log
from tirtrack.errors import RecipeError, TrainingError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.weights import store

NETWORKS = {
    "siamese": "nanotrack-v3",
    "dimp": "dimp-lite",
    "atom": "atom18",
    "joint": "joint-lite",
}
CROSS_MODAL = recipe_names("cross_modal")


@pytest.mark.parametrize("name", CROSS_MODAL)
def test_every_shipped_recipe_runs(tiny, tmp_path, name):
    network = tiny.network_of(NETWORKS[load_recipe(name).network])
    changes = {"training.steps": 0} if name.startswith("control_bn_statistics") else {}
    if network.box_kind.rates_proposals:
        changes["training.batch"] = 8
    recipe = tiny.recipe_of(name, network=network, **changes)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    student, summary = tiny.run_tiny(recipe, tmp_path, network=network)
    assert summary.recipe == name
    assert len(read_log(tmp_path)) == recipe.training.steps
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    changed = {
        key for key, value in student.state_dict().items() if not torch.equal(value, before[key])
    }
    if name.startswith("control_bn_statistics"):
        assert changed
        assert all("running" in key or "num_batches" in key for key in changed)
    elif name not in (
        "distill",
        "distill_joint",
        "control_self_training",
        "control_fake_tir",
    ):  # these learn only from samples that pass
        assert changed
        assert not any("backbone" in key or "feature_extractor" in key[:18] for key in changed)
        assert network.box_kind.rates_proposals or not any("running" in key for key in changed)


FAMILY = ["dimp18", "prdimp18", "superdimp50", "atom18"]


@pytest.mark.parametrize("name", FAMILY)
def test_the_dimp_family_is_distilled_in_every_way(tiny, tmp_path, name):
    network = tiny.network_of(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    ways = ("mixed", "published", "distill") if name == "dimp18" else ("published_distill",)
    for recipe_name in ways:
        recipe = tiny.recipe_of(recipe_name, network=network, training__batch=8)
        folder = tmp_path / recipe_name
        student, summary = tiny.run_tiny(recipe, folder, network=network)
        lines = read_log(folder)
        assert len(lines) == 2
        assert all(np.isfinite(line.loss) and line.gradient_norm > 0 for line in lines)
        changed = {
            key
            for key, value in student.state_dict().items()
            if not torch.equal(value, before[key])
        }
        assert changed
        assert not any(key.startswith("feature_extractor") for key in changed)
        assert any("running" in key for key in changed)  # batch norm of the box estimator, on TIR
        assert summary.samples["outside"] == 0


def test_a_direction_of_one_sample_is_refused_where_batch_norm_learns(tiny, tmp_path):
    network = tiny.network_of("dimp18")
    recipe = tiny.recipe_of("mixed", network=network)  # batches of 4: two, one and one
    with pytest.raises(RecipeError, match="a batch of 4 a direction gets 1"):
        tiny.run_tiny(recipe, tmp_path, network=network)


def test_frozen_features_of_two_taps_give_the_students_of_patches(tiny, tmp_path):
    network = tiny.network_of("dimp18")
    recipe = tiny.recipe_of("distill", network=network, training__batch=8)
    kept, _ = tiny.run_tiny(recipe, tmp_path / "kept", network=network)
    with_backbone = tiny.recipe_of(
        "distill", network=network, training__batch=8,
        training__components={"backbone": 1e-9, **recipe.training.components},
        training__keep_published_frozen=False,
    )  # fmt: skip
    fresh, _ = tiny.run_tiny(with_backbone, tmp_path / "fresh", network=network)
    for (key, one), other in zip(
        kept.state_dict().items(), fresh.state_dict().values(), strict=True
    ):
        if key.startswith("bb_regressor") and "running" not in key:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_accidents_of_the_published_code_are_repeated_on_purpose(tiny, tmp_path):
    network = tiny.network_of("dimp18")
    source = tiny.TinyPairs()
    boxes = [Box(46.0, 35.0, 24.0, 20.0), Box(20.0, 20.0, 30.0, 30.0)]
    found = [
        ProposalSet([Proposal(box, FoundIn.BOTH, 1.0, "saliency") for box in boxes], [])
        for _ in range(len(source))
    ]

    def pool_of(accidents):
        recipe = tiny.recipe_of("published", network=network, as_published=accidents)
        clips = clips_of(source, dict(enumerate(found)), recipe)
        return tiny.drawn_pool(clips, recipe, network, 12)

    plain, odd = pool_of([]), pool_of(["shared_box", "first_box"])
    assert {sample.tests[0].box for sample in plain.samples} == set(boxes)
    assert {sample.tests[0].box for sample in odd.samples} == {boxes[0]}
    np.testing.assert_array_equal(odd.boxes_patch["reference"], odd.boxes_patch["test"])
    assert not np.array_equal(plain.boxes_patch["reference"], plain.boxes_patch["test"])
    recipe = tiny.recipe_of(
        "published", network=network, as_published=["bn1_train"], training__batch=8
    )
    student, _ = tiny.run_tiny(recipe, tmp_path, network=network)
    before = network.state_dict()
    moved = [
        key
        for key, value in student.state_dict().items()
        if key.startswith("feature_extractor") and not torch.equal(value, before[key])
    ]
    assert moved
    assert all(key.startswith("feature_extractor.bn1.") for key in moved)


def test_the_whole_published_run_with_its_accidents_trains(tiny, tmp_path):
    """Misread centre boxes lie below the frame; where the crop does not reach one, the sample is a
    negative one.
    """
    network = tiny.network_of("dimp18")
    recipe = tiny.recipe_of(
        "published", network=network, training__batch=8, flip_together=False, flip=0.5,
        as_published=["canvas", "shared_box", "first_box", "bn1_train"],
        proposals={"way": "centre", "options": {"as_published": True}},
    )  # fmt: skip
    student, summary = tiny.run_tiny(recipe, tmp_path, network=network)
    before = network.state_dict()
    learnt = [key for key, one in student.state_dict().items() if not torch.equal(one, before[key])]
    assert any(key.startswith("bb_regressor") for key in learnt)
    assert all(value.isfinite().all() for value in student.state_dict().values())
    assert 0 < summary.samples["outside"] <= summary.samples["pool"]


def test_a_sample_whose_target_is_not_in_the_crop_is_a_negative_one(tiny):
    network, source = tiny.network_of("dimp18"), tiny.TinyPairs()
    recipe = tiny.recipe_of("published", network=network)
    below = Box(40.0, 700.0, 24.0, 20.0)
    inside = Box(46.0, 35.0, 24.0, 20.0)
    found = [
        ProposalSet([Proposal(box, FoundIn.BOTH, 1.0, "saliency")], []) for box in (below, inside)
    ]
    pool = tiny.drawn_pool(clips_of(source, dict(enumerate(found)), recipe), recipe, network, 12)
    boxes = [sample.tests[0].box for sample in pool.samples]
    batch = pool.batch([Draw(Direction.RGB_TO_TIR, place, place) for place in range(12)])
    assert set(boxes) == {inside, below}
    assert batch.present.tolist() == [box == inside for box in boxes]
    assert pool.centres_outside() == sum(box == below for box in boxes)


def test_a_backbone_without_batch_norms_has_none_that_could_learn(tiny, tmp_path):
    recipe = tiny.recipe_of("published", as_published=["bn1_train"])
    with pytest.raises(RecipeError, match=r"first batch norm of the backbone learn, .* has none"):
        tiny.run_tiny(recipe, tmp_path, network=tiny.network_of("fear-xs"))


def test_a_teacher_of_another_family_checks_boxes_and_matches_nothing(tiny, tmp_path):
    network, other = tiny.network_of("dimp18"), tiny.network_of("fear-xs")
    recipe = tiny.recipe_of(
        "published", network=network, training__batch=8, teacher__weights="fear-xs",
        teacher__min_iou=0.0, teacher__min_probability=0.0,
    )  # fmt: skip
    _, summary = tiny.run_tiny(recipe, tmp_path / "a", network=network, teacher=other)
    rates = [(rate.samples, rate.passed) for rate in summary.pass_rates]
    assert sum(samples for samples, _ in rates) == 12
    strict = recipe.model_copy(
        update={"teacher": recipe.teacher.model_copy(update={"min_probability": 1.0})}
    )
    _, none = tiny.run_tiny(strict, tmp_path / "b", network=network, teacher=other)
    assert sum(rate.passed for rate in none.pass_rates) == 0
    matching = tiny.recipe_of("distill", network=network, training__batch=8)
    with pytest.raises(RecipeError, match='"filter" matches the maps of the teacher'):
        tiny.run_tiny(matching, tmp_path / "c", network=network, teacher=other)
    with pytest.raises(RecipeError, match="has no dense box head"):
        tiny.run_tiny(recipe, tmp_path / "d", network=network, teacher=tiny.network_of("prdimp18"))


@pytest.mark.parametrize("is_foreign", [False, True], ids=["its own", "another family"])
def test_boxes_of_tir_count_with_rgb_where_a_teacher_of_another_family_checks_them(
    tiny, tmp_path, is_foreign
):
    class OnlyTirShowsIt(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            rng = np.random.default_rng(0)
            return replace(pair, rgb=rng.integers(40, 80, pair.rgb.shape, np.uint8))

    network = tiny.network_of("dimp18")
    recipe = tiny.recipe_of(
        "published", network=network, training__batch=8, directions={"tir_to_tir": 1.0},
        boxes__found_in=["tir"], training__steps=0,
    )  # fmt: skip
    _, summary = tiny.run_tiny(
        recipe, tmp_path, network=network, source=OnlyTirShowsIt(),
        teacher=tiny.network_of("fear-xs") if is_foreign else None,
    )  # fmt: skip
    assert summary.samples["usable"] == 12
    assert summary.samples["with_rgb"] == (12 if is_foreign else 0)


def test_another_teacher_on_the_same_backbone_may_be_matched(tiny, tmp_path):
    network, teacher = tiny.network_of("dimp18"), tiny.network_of("dimp18", seed=8)
    recipe = tiny.recipe_of("distill", network=network, training__batch=8)
    with pytest.raises(RecipeError, match="has no dense box head"):
        tiny.run_tiny(recipe, tmp_path / "a", network=network, teacher=teacher)
    teacher.feature_extractor.load_state_dict(network.feature_extractor.state_dict())
    tiny.run_tiny(recipe, tmp_path / "b", network=network, teacher=teacher)
    first = read_log(tmp_path / "b")[0].terms
    tiny.run_tiny(recipe, tmp_path / "c", network=network)
    own = read_log(tmp_path / "c")[0].terms
    assert first["tir_to_tir/modulation"] != own["tir_to_tir/modulation"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_same_seed_gives_the_same_student(tiny, tmp_path, dtype):
    recipe = tiny.recipe_of("mixed")
    students = [
        tiny.run_tiny(
            recipe, tmp_path / str(number), source=tiny.TinyPairs(dtype=dtype), seed=seed
        )[0].state_dict()
        for number, seed in enumerate((0, 0, 1))
    ]
    assert all(torch.equal(value, students[1][key]) for key, value in students[0].items())
    assert any(not torch.equal(value, students[2][key]) for key, value in students[0].items())


@pytest.mark.parametrize("filler", [0, 65535])
def test_a_warp_that_leaves_a_fill_at_the_border_changes_no_student_by_its_value(
    tiny, tmp_path, monkeypatch, filler
):
    class Warped(tiny.TinyPairs):
        def __init__(self, value):
            super().__init__(dtype="uint16")
            self.value = value

        def __getitem__(self, index):
            pair = super().__getitem__(index)
            beyond = np.add(*np.mgrid[:96, :128]) < 40
            return replace(pair, tir=np.where(beyond, pair.tir.dtype.type(self.value), pair.tir))

    students, warnings = [], []
    for value in (filler, 55537):
        monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path / f"cache{value}"))
        student, summary = tiny.run_tiny(
            tiny.recipe_of("mixed"), tmp_path / str(value), source=Warped(value)
        )
        students.append(student.state_dict())
        warnings.append(summary.warnings)
    assert all(torch.equal(value, students[1][key]) for key, value in students[0].items())
    said = [text for text in warnings[0] if "no measurement" in text]
    assert said == ["7 % of the TIR pixels hold no measurement in 6 of 6 pairs; they are left out"]


def test_a_trained_backbone_keeps_no_features(tiny, tmp_path):
    recipe = tiny.recipe_of(
        "published", training__components={"backbone": 0.3, "target_filter": 1.0}
    )
    network = tiny.network_of()
    student, _ = tiny.run_tiny(recipe, tmp_path, network=network)
    weight = "backbone.features.0.0.weight"
    assert not torch.equal(student.state_dict()[weight], network.state_dict()[weight])


def test_tir_only_never_reads_an_rgb_pixel(tiny, tmp_path, monkeypatch):
    class OtherRgb(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            return replace(pair, rgb=np.full_like(pair.rgb, 255 * (index % 2)))

    class NoRgb(tiny.TinyPairs):
        def __getitem__(self, index):
            return replace(super().__getitem__(index), rgb=None)

    recipe = tiny.recipe_of("tir_only", boxes__fallback=True)
    runs = []
    for source in (tiny.TinyPairs(), OtherRgb(), NoRgb()):
        folder = tmp_path / type(source).__name__
        monkeypatch.setenv("TIRTRACK_CACHE", str(folder / "cache"))
        runs.append(tiny.run_tiny(recipe, folder, source=source))
    (one, summary), *others = runs
    for other, its_summary in others:
        assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())
        assert its_summary.held_back == summary.held_back
        assert its_summary.pass_rates == summary.pass_rates
    assert summary.samples["with_rgb"] == 0


def test_control_rgb_only_trains_on_no_thermal_pixel(tiny, tmp_path):
    class NoTir(tiny.TinyPairs):
        def __getitem__(self, index):
            pair = super().__getitem__(index)
            return replace(pair, tir=np.full_like(pair.tir, 255 * (index % 2)))

    recipe = tiny.recipe_of(
        "control_rgb_only",
        held_back__samples=0,
        proposals__modalities=["rgb"],
        boxes__found_in=["rgb"],
    )
    one, _ = tiny.run_tiny(recipe, tmp_path / "a")
    other, _ = tiny.run_tiny(recipe, tmp_path / "b", source=NoTir())
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items())


def test_of_many_pairs_only_as_many_as_samples_are_looked_at(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TIRTRACK_CACHE", str(tmp_path))
    read = []

    class Noting(tiny.TinyPairs):
        def __getitem__(self, index):
            read.append(index)
            return super().__getitem__(index)

    recipe = tiny.recipe_of("published", pool=4, held_back__samples=2, proposals__way="centre")
    source = Noting(frames=4)
    whole = hold_back(source, 0.3)
    train, held_back = stages.propose(whole, run_of(recipe, tmp_path, {"pairs": "p"}))
    assert (len(train), len(held_back)) == (4, 2)
    assert set(train) <= set(whole.train)
    assert set(held_back) <= set(whole.held_back)
    assert sorted(read) == sorted((*train, *held_back))
    read.clear()
    alone = tiny.recipe_of("published", pool=4, held_back__samples=0, proposals__way="centre")
    assert stages.propose(whole, run_of(alone, tmp_path, {"pairs": "p"})) == (train, {})
    assert read == []
    assert stages.propose(whole, run_of(alone, tmp_path, {"pairs": "not kept"})) == (train, {})
    assert sorted(read) == sorted(train)
    assert all(one.kept for one in (*train.values(), *held_back.values()))


def test_when_the_teacher_passes_nothing_the_run_ends_with_a_sentence(tiny, tmp_path):
    recipe = tiny.recipe_of("mixed", teacher__require=True, teacher__min_probability=1.0)
    with pytest.raises(TrainingError, match=r"no sample of 12 is left .* \(0 passed the teacher\)"):
        tiny.run_tiny(recipe, tmp_path)


@pytest.mark.parametrize("changes", [{"held_back__samples": 0}, {"held_back__share": 0.0}])
def test_the_verdict_says_that_nothing_was_held_back(tiny, tmp_path, changes):
    _, summary = tiny.run_tiny(tiny.recipe_of("published", **changes), tmp_path)
    assert summary.verdict == "nothing can be said: nothing was held back to validate on"


def test_a_low_pass_rate_is_a_warning(tiny, tmp_path):
    recipe = tiny.recipe_of("published", teacher__min_probability=1.0)
    _, summary = tiny.run_tiny(recipe, tmp_path)
    assert "the teacher finds only 0 of 12 boxes again" in summary.warnings[0]
    assert sum(rate.samples for rate in summary.pass_rates) == 12


@pytest.mark.parametrize("unit", ["pair", "TIR frame"])
def test_unreadable_pairs_and_pairs_without_a_proposal_are_warnings(tiny, unit):
    box = Box(4.0, 4.0, 20.0, 20.0)
    sets = [
        ProposalSet((Proposal(box, FoundIn.BOTH, 1.0, way),), ())
        for way in ("saliency", "random", "random")
    ]
    torn = ProposalSet((), (), fault="torn")
    warnings = harvest_warnings([*sets, torn], sets[:1], tiny.recipe_of("mixed"), unit)
    assert [text.split(";")[0] for text in warnings] == [
        f"1 of 4 {unit}s could not be read and were left out",
        f"in 2 of 4 {unit}s saliency found nothing",
    ]
    assert "stand in are not used" in warnings[1]


def test_terms_are_checked_before_any_work(tiny):
    recipe = tiny.recipe_of("mixed", terms=[{"name": "modulation"}])
    with pytest.raises(RecipeError, match='term "modulation" has no formula'):
        check_recipe(recipe, tiny.network_of())
    recipe = tiny.recipe_of("mixed", training__components={"box_estimater": 1.0})
    with pytest.raises(RecipeError, match='did you mean "box_estimator"'):
        check_recipe(recipe, tiny.network_of())


def test_the_samples_of_a_step_that_is_not_finite_are_named(tiny, tmp_path, monkeypatch):
    real = train_student.step_loss

    def broken(*args, **kwargs):
        found = real(*args, **kwargs)
        return replace(found, total=found.total * float("inf"))

    monkeypatch.setattr(train_student, "step_loss", broken)
    with pytest.raises(TrainingError, match=r"samples are .*take\d/\d#\d+"):
        stages_run(tiny, tmp_path)


def run_of(recipe, folder, identity=None):
    return Run(folder / "student.safetensors", folder, recipe, identity or {})


def stages_run(tiny, folder):
    recipe = tiny.recipe_of("mixed")
    run = run_of(recipe, folder, {"recipe": "r", "pairs": "p", "baseline": "b"})
    split = hold_back(tiny.TinyPairs(), recipe.held_back.share)
    return stages.distil_network(tiny.network_of(), split, run, engine=None)


# --- held-back diagnostics -----------------------------------------------------------------------


def test_whole_recordings_are_held_back_and_the_choice_is_stable(tiny):
    source = tiny.TinyPairs(recordings=10, frames=3)
    split = hold_back(source, 0.2)
    assert sorted((*split.train, *split.held_back)) == list(range(30))
    assert len(split.held_back) == 6
    held = {index // 3 for index in split.held_back}
    assert len(held) == 2
    assert hold_back(source, 0.2) == split
    assert hold_back(source, 0.0).held_back == ()


def test_on_held_back_pairs_the_baseline_is_as_strict_as_where_it_teaches(tiny):
    alone = stages.validation_recipe(load_recipe("published_dimp")).teacher
    assert (alone.max_distance_cells, alone.min_probability) == (2.0, 0.25)
    assert (alone.modality, alone.require, alone.tir_boxes_on_tir) == ("rgb", True, False)


def test_of_a_single_recording_the_last_pairs_are_held_back(tiny):
    split = hold_back(tiny.TinyPairs(recordings=1, frames=10), 0.2)
    assert split.held_back == (8, 9)
    assert "the last 2 pairs of the only recording" in split.how


def _lossless(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = frames[0].shape[:2]
        kind, stream.pix_fmt = ("gray", "gray") if frames[0].ndim == 2 else ("rgb24", "bgr0")
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format=kind)
            container.mux(stream.encode(picture.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode())


@pytest.fixture
def filmed(tiny, tmp_path):
    """The same recordings as images and as videos."""
    source = tiny.TinyPairs(recordings=4, frames=4)
    for name, recording in source.recordings().items():
        for modality in ("rgb", "tir"):
            frames = [getattr(source[index], modality) for index in recording.indices]
            images = tmp_path / "images" / "rig" / name / modality
            videos = tmp_path / "videos" / "rig" / name
            images.mkdir(parents=True)
            videos.mkdir(parents=True, exist_ok=True)
            for position, frame in enumerate(frames):
                Image.fromarray(frame).save(images / f"{position:06d}.png")
            _lossless(videos / f"{modality}.mkv", frames)
    return [tmp_path / kind / "rig" for kind in ("images", "videos")]


@pytest.mark.parametrize("below", ["", "take1"], ids=["many recordings", "one recording"])
def test_of_videos_the_same_pairs_are_held_back_as_of_images(filmed, below):
    images, videos = (open_pairs(folder / below) for folder in filmed)
    split = hold_back(videos, 0.3)
    assert replace(split, source=images, held_back_source=images) == hold_back(images, 0.3)
    assert split.held_back
    for index in stages.thinned(split.held_back, 2, 0):
        assert videos[index].key == images[index].key
        assert np.array_equal(videos[index].tir, images[index].tir)


def test_agreement_on_held_back_videos_is_that_on_the_same_images(tiny, filmed, monkeypatch):
    recipe = tiny.recipe_of("mixed", pool=4, training__steps=1, held_back__share=0.3)
    baseline = store.network_of(store.read(store.find("nano-rgb")))
    found = []
    for folder in filmed:
        monkeypatch.setenv("TIRTRACK_CACHE", str(folder.parent / "cache"))
        out = folder.parent / "out"
        source = open_pairs(folder)
        found.append(tiny.run_tiny(recipe, out, network=baseline, source=source)[1])
    of_images, of_videos = found
    assert of_videos.held_back is not None
    assert of_videos.held_back == of_images.held_back
    assert of_videos.harvest == of_images.harvest
    assert of_videos.split == of_images.split


def test_a_student_that_is_the_baseline_differs_by_nothing(tiny, tmp_path):
    recipe = tiny.recipe_of("mixed", training__rate=1e-12)
    _, summary = tiny.run_tiny(recipe, tmp_path)
    assert summary.held_back is None  # the untrained teacher passes nothing
    assert "nothing can be said" in summary.verdict


@pytest.mark.parametrize("batch_norm", ["train", "adapt"])
@pytest.mark.parametrize("name", ["nanotrack-v3", "dimp-lite"])
def test_looks_during_the_training_are_logged_and_change_nothing(
    tiny, tmp_path, monkeypatch, name, batch_norm
):
    monkeypatch.setattr(stages.Pool, "check", all_passed(stages.Pool.check))
    recipe = "mixed" if name == "nanotrack-v3" else "dimp_lite_distill"
    students, logs = [], []
    for every in (0, 2):
        network = tiny.network_of(name)
        settings = tiny.recipe_of(
            recipe,
            network=network,
            training__steps=4,
            training__batch_norm=batch_norm,
            held_back__share=0.5,
            held_back__validate_every=every,
        )
        folder = tmp_path / str(every)
        students.append(tiny.run_tiny(settings, folder, network=network)[0])
        logs.append(read_log(folder))
    assert all(line.held_back is None for line in logs[0])
    assert [line.held_back is not None for line in logs[1]] == [True, False, True, False]
    assert [line.loss for line in logs[0]] == [line.loss for line in logs[1]]
    assert logs[1][0].held_back != logs[1][2].held_back
    other = students[1].state_dict()
    assert all(torch.equal(one, other[key]) for key, one in students[0].state_dict().items())


def all_passed(check):
    def checked(pool, *given, **named):
        check(pool, *given, **named)
        pool.passed[:] = True

    return checked
