"""A teacher of another family gives a box in the frame and a confidence."""

import numpy as np
import pytest
import torch

from tirtrack.boxes import Box, iou
from tirtrack.crops import boxes_to_frame, cut_patch, mean_fill, stretched_crop
from tirtrack.distillation import foreign_teacher
from tirtrack.distillation.clips import clips_of
from tirtrack.distillation.foreign_teacher import (
    check_can_teach,
    check_pool,
    find_again,
    one_step_box,
)
from tirtrack.errors import RecipeError
from tirtrack.networks import registry
from tirtrack.pairs import Pairing, open_pairs
from tirtrack.pairs.proposals import registry as ways
from tirtrack.weights import store

BOX = Box(50.0, 30.0, 24.0, 12.0)


@pytest.fixture
def frame():
    return np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["fear-xs", "nanotrack-v3"])
def test_the_answer_is_finite_sure_within_bounds_and_leaves_all_as_it_was(name, frame):
    network = registry.build(name, tiny=True, seed=2).eval()
    before = frame.copy()
    found = one_step_box(network, frame, BOX, around=Box(55.0, 28.0, 24.0, 12.0))
    assert found.box.is_finite()
    assert 0.0 <= found.confidence <= 1.0
    assert all(parameter.grad is None for parameter in network.parameters())
    np.testing.assert_array_equal(frame, before)
    grey = frame[..., 1]
    three = np.repeat(grey[..., None], 3, axis=2)
    assert one_step_box(network, grey, BOX) == one_step_box(network, three, BOX)


def test_the_best_cell_of_the_map_is_the_answer_in_frame_pixels(frame):
    network = registry.build("fear-xs", tiny=True, seed=2).eval()
    crops = [stretched_crop(BOX, side, area_factor=f) for side, f in ((128, 1.4), (256, 5.0))]
    template, search = (
        torch.from_numpy(cut_patch(frame, crop, mean_fill(frame))).permute(2, 0, 1)[None, None]
        for crop in crops
    )
    with torch.no_grad():
        target = network.reference(template / 255, torch.zeros(1, 1, 4))
        response = network.respond(target, search / 255)
    margins = response.scores[0][0, 0]
    row, column = divmod(int(margins.argmax()), 16)
    box = boxes_to_frame(response.boxes[0, 0, :, row, column].numpy(), crops[1])
    found = one_step_box(network, frame, BOX)
    np.testing.assert_allclose(found.box.array(), box, rtol=1e-5)
    assert found.confidence == pytest.approx(float(margins.max().sigmoid()))


def test_a_network_that_only_rates_proposals_cannot_teach_another_family():
    network = registry.build("atom18", tiny=True)
    with pytest.raises(RecipeError, match=r"atom18 has no dense box head.*; name weights of"):
        check_can_teach(network, "atom18")
    check_can_teach(registry.build("fear-xs", tiny=True), "fear-xs")


@pytest.mark.parametrize(("name", "axes"), [("tir_only", 2), ("mixed", 3)])
def test_a_teacher_checks_frames_of_the_modality_that_it_sees(tiny, monkeypatch, name, axes):
    shown = []

    def noting(teacher, frame, box, *, rng):
        shown.append(frame.ndim)
        return find_again(teacher, frame, box, rng=rng)

    monkeypatch.setattr(foreign_teacher, "find_again", noting)
    recipe = tiny.recipe_of(name)
    source = open_pairs(tiny.TinyPairs(), pairing=Pairing(tir_alone=not recipe.reads_rgb))
    found = ways.propose_all(source, ways.proposer("saliency"), 0)
    clips = clips_of(source, dict(enumerate(found)), recipe)
    pool = tiny.drawn_pool(clips, recipe, tiny.network_of(), 4)
    check_pool(registry.build("fear-xs", tiny=True).eval(), pool, clips, recipe, seed=0)
    assert shown == [axes] * 4


def scene(at):
    """A textured thing on a textured floor."""
    rng = np.random.default_rng(8)
    floor = rng.integers(60, 90, (160, 200, 3), dtype=np.uint8)
    thing = np.kron(rng.integers(120, 256, (6, 6, 3)), np.ones((6, 6, 1))).astype(np.uint8)
    x, y = at
    floor[y : y + 36, x : x + 36] = thing
    return floor


@pytest.mark.parametrize("file", ["fear/fear_xs", "nanotrack/nanotrack_v3"])
def test_published_teachers_find_a_thing_in_another_frame_and_pass_its_box(shared, file):
    path = shared / "data" / "weights" / f"{file}.safetensors"
    if not path.is_file():
        pytest.skip("the published weights are not in the shared folder")
    network = store.network_of(store.read(path))
    first, second = scene((80, 60)), scene((95, 70))
    box, moved = Box(80.0, 60.0, 36.0, 36.0), Box(95.0, 70.0, 36.0, 36.0)
    found = one_step_box(network, first, box, test_frame=second)
    assert float(iou(found.box.array(), moved.array())) > 0.6
    rng, empty = np.random.default_rng(0), Box(20.0, 100.0, 30.0, 30.0)
    found = find_again(network, first, box, rng=rng)
    assert found.confidence > 0.9
    assert float(iou(found.box.array(), box.array())) > 0.6
    found = find_again(network, first, empty, rng=rng)
    overlap = float(iou(found.box.array(), empty.array()))
    assert not (found.confidence > 0.9 and overlap > 0.5)
