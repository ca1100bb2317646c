"""The table of the family: in what its networks differ, and what trackers ask of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from tirtrack.crops import CropRule
from tirtrack.networks import registry
from tirtrack.networks.response import IouEnergies, LogDensityEnergies
from tirtrack.networks.score_kinds import Density, Hinge

FAMILY = ["dimp18", "dimp50", "prdimp18", "prdimp50", "superdimp50", "superdimp_simple"]
SMALL_CROP = CropRule(288, 5.0, "replicate")
LARGE_CROP = CropRule(352, 6.0, "inside_major", 1.5)
HINGE_BOXES = LogDensityEnergies(0.01)


@pytest.fixture
def built(request):
    """Full size, on the meta device: shapes and settings without numbers."""
    with torch.device("meta"):
        return registry.build(request.param)


@pytest.mark.parametrize(
    ("built", "crop", "kinds", "sigma"),
    [
        ("dimp18", SMALL_CROP, (Hinge, IouEnergies(1.0)), 0.9),
        ("dimp50", SMALL_CROP, (Hinge, IouEnergies(1.0)), 0.9),
        ("prdimp18", SMALL_CROP, (Density, LogDensityEnergies(0.0025)), 0.9),
        ("prdimp50", SMALL_CROP, (Density, LogDensityEnergies(0.0025)), 0.9),
        ("superdimp50", LARGE_CROP, (Hinge, HINGE_BOXES), 0.916666),
        ("superdimp_simple", LARGE_CROP, (Hinge, HINGE_BOXES), 0.916666),
        ("atom18", CropRule(288, 5.0, "centred"), (None, IouEnergies(1.0)), None),
        ("dimp-lite", CropRule(256, 5.0, "replicate"), (Hinge, HINGE_BOXES), 0.8),
        (
            "dimp-lite-mobilenet",
            CropRule(256, 5.0, "replicate"),
            (Hinge, HINGE_BOXES),
            0.8,
        ),
    ],
    indirect=["built"],
)
def test_crops_kinds_and_labels_are_the_published_ones(built, crop, kinds, sigma):
    assert built.reference_crop == built.test_crop == crop
    assert built.reference_side == built.test_side == crop.patch_side
    score_kind = (
        None if sigma is None else kinds[0](16, crop.patch_side, pytest.approx(sigma, abs=1e-5))
    )
    assert (built.score_kind, built.box_kind) == (score_kind, kinds[1])
    assert built.stride == 16


@pytest.mark.parametrize(
    ("name", "frozen"),
    [
        ("dimp50", []),
        ("prdimp18", []),
        ("superdimp50", ["conv1", "bn1", "layer1", "layer2"]),
        ("superdimp_simple", ["conv1", "bn1", "layer1", "layer2"]),
        ("atom18", [""]),
        ("dimp-lite", []),
        ("nanotrack-v3", []),
    ],
)
def test_what_published_training_freezes(name, frozen):
    network = registry.build(name, tiny=True)
    wanted = [network.feature_extractor.get_submodule(part) for part in frozen]
    assert list(map(id, network.published_frozen())) == list(map(id, wanted))


@pytest.mark.parametrize(
    ("name", "step", "reg"),
    [("dimp18", 0.9, 0.1), ("superdimp50", 0.9, 0.1), ("prdimp18", 1.0, 0.05)],
)
def test_new_optimisers_have_the_published_numbers(name, step, reg):
    optimiser = registry.build(name, tiny=True).optimiser
    assert optimiser.log_step_length.item() == pytest.approx(math.log(step), abs=1e-6)
    assert optimiser.filter_reg.item() == pytest.approx(reg)
    assert optimiser.optim_iter == 5


def test_superdimp_simple_keeps_its_regularisation_elsewhere_and_labels_by_its_own_sigma():
    network = registry.build("superdimp_simple", tiny=True)
    assert network.optimiser.residual_module["filter_reg"].item() == pytest.approx(0.1)
    assert network.optimiser.label_sigma_cells == network.score_kind.sigma_cells
    assert network.optimiser.activation_leak == 0.1


@pytest.mark.parametrize("built", ["dimp-lite", "dimp-lite-mobilenet"], indirect=True)
def test_the_small_network_is_small(built):
    assert sum(p.numel() for p in built.parameters()) < 1.1e6
    assert built.classifier.filter_initializer.filter_conv.out_channels == 64
    assert len(built.classifier.feature_extractor) == 2  # no residual block before the convolution
    assert built.bb_regressor.conv3_1r[0].out_channels == 32


@pytest.fixture(params=FAMILY)
def asked(request, draw):
    """A tiny network, classification features ``[3,1,C,H,W]`` and boxes ``[3,1,4]``."""
    network = registry.build(request.param, tiny=True, seed=2).eval().requires_grad_(False)
    boxes = 30 + 6 * draw(3, 1, 4)
    layer3 = network.features(draw(3, 1, 3, 96, 96))[1]
    return network, network.classification_features(layer3[:, 0])[:, None], boxes


def test_classification_features_have_one_norm(asked):
    network, clf, _ = asked
    channels = clf.shape[2]
    assert channels == network.settings.out_feature_dim
    wanted = (clf[0, 0].numel() / (channels * 16)) ** 0.5
    assert_close(clf.flatten(1).norm(dim=1), torch.full((3,), wanted), rtol=1e-4, atol=0)


def test_trackers_get_the_filters_of_the_target_model(asked, draw):
    network, _, boxes = asked
    patches = draw(3, 1, 3, 96, 96)
    target = network.reference(patches, boxes)
    clf = network.classification_features(network.features(patches)[1][:, 0])[:, None]
    first = network.initial_filter(clf, boxes)
    run = network.optimiser(first, clf, boxes)
    assert len(run.filters) == len(run.losses) == 6
    for ours, wanted in zip(run.filters, target.filters, strict=True):
        assert_close(ours, wanted)
    response = network.respond(target, patches)
    for filters, scores in zip(run.filters, response.scores, strict=True):
        assert_close(network.scores(filters, clf), scores)


def test_weights_of_samples_and_number_of_steps_can_be_chosen(asked):
    network, clf, boxes = asked
    first = network.initial_filter(clf, boxes)
    shares = torch.tensor([1.0, 0.0, 0.0])
    alone = network.optimiser(first, clf[:1], boxes[:1], iterations=2)
    weighted = network.optimiser(first, clf, boxes, iterations=2, sample_weights=shares)
    assert len(alone.filters) == 3
    assert_close(alone.filters[-1], weighted.filters[-1])


def test_the_optimiser_lowers_its_objective(asked):
    network, clf, boxes = asked
    losses = network.optimiser(network.initial_filter(clf, boxes), clf, boxes).losses
    assert float(losses[-1]) < float(losses[0])
