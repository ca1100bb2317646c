"""Backbones run to the last stage that is asked for, with the published keys and strides."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tirtrack.networks import registry
from tirtrack.networks.backbones import (
    mobilenet_v2,
    nanotrack_v3,
    resnet18,
    resnet50,
)

BUILT = {
    "resnet18": resnet18,
    "resnet50": resnet50,
    "mobilenet-v2": mobilenet_v2,
    "nanotrack-v3": nanotrack_v3,
}


@pytest.fixture(scope="module")
def tiny():
    return {name: build(tiny=True).eval() for name, build in BUILT.items()}


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("side", [96, 75])
@torch.no_grad()
def test_channels_and_strides_are_what_comes_out(tiny, name, side, draw):
    backbone = tiny[name]
    outputs = backbone(draw(2, 3, side, side), backbone.channels)
    assert list(outputs) == list(backbone.channels)
    for tap, output in outputs.items():
        cells = -(-side // backbone.strides[tap])
        assert output.shape == (2, backbone.channels[tap], cells, cells), tap


@pytest.mark.parametrize(
    ("name", "taps"),
    [
        ("resnet18", {"conv1": (64, 2), "layer2": (128, 8), "layer3": (256, 16)}),
        ("resnet50", {"layer1": (256, 4), "layer2": (512, 8), "layer3": (1024, 16)}),
        ("mobilenet-v2", {"features.6": (32, 8), "features.13": (96, 16)}),
        ("nanotrack-v3", {"features.3": (24, 8), "features.9": (96, 16)}),
    ],
)
def test_the_taps_of_trackers_have_the_documented_widths_and_strides(name, taps):
    with torch.device("meta"):
        backbone = BUILT[name]()
    for tap, (channels, stride) in taps.items():
        assert (backbone.channels[tap], backbone.strides[tap]) == (channels, stride)


def test_nothing_behind_the_last_tap_runs(draw):
    backbone = resnet18(tiny=True).train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    outputs = backbone(draw(2, 3, 64, 64), ["layer3", "layer2"])
    assert list(outputs) == ["layer2", "layer3"]  # in the order of computation
    changed = {k.split(".")[0] for k, v in backbone.state_dict().items() if not v.equal(before[k])}
    assert changed == {"bn1", "layer1", "layer2", "layer3"}
    outputs["layer3"].sum().backward()
    assert backbone.layer4[0].conv1.weight.grad is None
    assert backbone.fc.weight.grad is None


def test_fc_answers_for_every_class(tiny, draw):
    assert tiny["resnet50"](draw(2, 3, 64, 64), ["fc"])["fc"].shape == (2, 10)


def test_unknown_stage_is_named(tiny, draw):
    with pytest.raises(ValueError, match=r"no stage \['layer5'\], there are \['conv1', 'layer1'"):
        tiny["resnet18"](draw(1, 3, 32, 32), ["layer2", "layer5"])


def test_strides_of_a_bottleneck_sit_on_its_3x3_convolution():
    block = resnet50(tiny=True).layer2[0]
    assert [c.stride for c in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]
    assert block.downsample[0].stride == (2, 2)


@pytest.mark.parametrize(("build", "parameters"), [(resnet18, 11_689_512), (resnet50, 25_557_032)])
def test_parameters_are_as_many_as_published(build, parameters):
    with torch.device("meta"):
        assert sum(p.numel() for p in build().parameters()) == parameters


def test_a_shorter_chain_is_the_beginning_of_the_longer(tiny, draw):
    short = mobilenet_v2(tiny=True, links=14).eval()
    whole = tiny["mobilenet-v2"].state_dict()
    short.load_state_dict({key: whole[key] for key in short.state_dict()})
    patches = draw(1, 3, 64, 64)
    ours, theirs = (
        net(patches, ["features.13"])["features.13"] for net in (short, tiny["mobilenet-v2"])
    )
    assert torch.equal(ours, theirs)
    assert len(short.features) == 14


def test_the_real_mobilenet_loads_with_every_key_and_sees(shared):
    file = shared / "data" / "weights" / "imagenet" / "mobilenet_v2_features_fp16.safetensors"
    if not file.is_file():
        pytest.skip("the ImageNet weights are not in the shared folder")
    state = load_file(file)
    assert {k: tuple(v.shape) for k, v in state.items()} == registry.backbone_shapes("mobilenet-v2")
    backbone = mobilenet_v2().eval()
    missing, unexpected = backbone.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    with torch.no_grad():
        grey, black = (
            backbone(torch.full((1, 3, 64, 64), v), ["features.13"])["features.13"]
            for v in (0.0, -2.0)
        )
    assert 0.1 < float(grey.std()) < 10
    assert float((grey - black).abs().mean()) > 0.01


def test_the_nanotrack_backbone_is_the_one_of_nanotrack(draw):
    network = registry.build("nanotrack-v3", tiny=True, seed=1).eval()
    backbone = nanotrack_v3(tiny=True).eval()
    backbone.load_state_dict(
        {
            key.removeprefix("backbone."): value
            for key, value in network.state_dict().items()
            if key.startswith("backbone.")
        }
    )
    levels = draw(1, 3, 255, 255) * 255
    ours = backbone(levels, ["features.4"])["features.4"]
    torch.testing.assert_close(ours, network.backbone(levels))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet-v2"])
def test_new_convolutions_have_the_published_spread(name):
    backbone = registry.build_backbone(name, seed=4)
    for part in backbone.modules():
        if isinstance(part, nn.Conv2d) and part.weight.numel() > 5000:
            fan_out = part.kernel_size[0] ** 2 * part.out_channels // part.groups
            assert float(part.weight.detach().std()) == pytest.approx(
                (2 / fan_out) ** 0.5, rel=0.05
            )
