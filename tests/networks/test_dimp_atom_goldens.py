"""The networks of the DiMP family and ATOM agree with the published code, stage by stage
(golden/networks/README.md 3, tolerances: 6).
"""

from __future__ import annotations

import json
import zlib

import pytest
import torch

from tirtrack.networks import registry

SMALL, LARGE = ("dimp18", "prdimp18", "atom18"), ("dimp50", "prdimp50", "superdimp50")
PARAMETERS = {
    "dimp18": 19_645_911,
    "dimp50": 43_097_303,
    "superdimp50": 43_097_303,
    "superdimp_simple": 43_097_002,
    "prdimp18": 19_645_611,
    "prdimp50": 43_097_003,
    "atom18": 17_285_033,
}
slow_if_large = [*SMALL, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
# The large networks are the small ones on another backbone; the last has all that is its own.
slow_or_before_a_release = [
    pytest.param(name, marks=pytest.mark.release if name in LARGE[:2] else pytest.mark.slow)
    for name in SMALL + LARGE
]


@pytest.mark.parametrize(
    ("key", "shape", "crc"),
    [
        ("feature_extractor.conv1.weight", (64, 3, 7, 7), 0xE19F3DA3),
        ("feature_extractor.bn1.running_mean", (64,), 0x836931DA),
        ("feature_extractor.bn1.running_var", (64,), 0xE40052B8),
        ("classifier.filter_initializer.filter_conv.weight", (256, 256, 3, 3), 0x107BB767),
        ("classifier.filter_optimizer.label_map_predictor.weight", (1, 100, 1, 1), 0x92168FB0),
        ("classifier.filter_optimizer.target_mask_predictor.0.weight", (1, 100, 1, 1), 0xDC4B69A2),
        ("classifier.filter_optimizer.spatial_weight_predictor.weight", (1, 100, 1, 1), 0x8478B96B),
        ("bb_regressor.fc3_rt.linear.weight", (256, 6400), 0xB4FB4052),
        ("bb_regressor.fc34_3r.0.weight", (256, 512, 1, 1), 0x88C380C5),
        ("bb_regressor.iou_predictor.weight", (1, 512), 0x57045EB2),
    ],
)
def test_weight_rule_gives_the_documented_numbers(rules, key, shape, crc):
    assert zlib.crc32(rules.weight(key, shape).astype("<f4").tobytes()) == crc


@pytest.mark.parametrize("name", PARAMETERS)
def test_keys_shapes_and_order_are_those_of_the_published_network(shared, name):
    wanted = json.loads((shared / "golden" / "networks" / "keys" / f"{name}.json").read_text())
    with torch.device("meta"):
        network = registry.build(name)
    parameters = dict(network.named_parameters())
    ours = {
        key: {
            "shape": list(value.shape),
            "dtype": str(value.dtype).removeprefix("torch."),
            "kind": "parameter" if key in parameters else "buffer",
        }
        for key, value in network.state_dict().items()
    }
    assert list(ours) == list(wanted)
    assert ours == wanted
    assert sum(p.numel() for p in parameters.values()) == PARAMETERS[name]


@pytest.mark.parametrize("name", slow_if_large)
def test_every_stage_in_float32(golden_run, stages, name):
    network, golden, given = golden_run(name, dtype=torch.float32)
    stages.check(stages.forward(network, *given), golden, "forward", single=True)


def test_patches_come_out_of_normalise_as_the_rule_has_them(rules, stages):
    levels = torch.from_numpy(rules.image("train/0/0", 96, 96)).permute(2, 0, 1)[None, None]
    network = registry.build("dimp18", tiny=True)
    wanted = stages.patches(rules.image, "train", (1, 1), 96)
    torch.testing.assert_close(network.normalise(levels / 255), wanted, atol=1e-6, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL + LARGE)
def test_every_stage_in_float64(golden_run, stages, name):
    network, golden, given = golden_run(name)
    stages.check(stages.forward(network, *given), golden, "forward", single=False)


@pytest.mark.parametrize("name", slow_or_before_a_release)
def test_gradients_of_the_whole_call_and_refined_boxes(golden_run, stages, name):
    network, golden, given = golden_run(name)
    found = {"refined_boxes": stages.refined(network, *given)}
    found |= stages.gradients(network, *given)
    stages.check(found, golden, "gradients", single=False)


@pytest.mark.parametrize("name", slow_or_before_a_release)
def test_training_mode_gradients_and_running_statistics(golden_run, stages, name):
    network, golden, given = golden_run(name, training=True)
    network.train()
    if name == "superdimp50":
        for module in network.published_frozen():
            module.eval()
    found = stages.gradients(network, *given, prefix="train_") | stages.statistics(network)
    stages.check(found, golden, "training", single=False)
