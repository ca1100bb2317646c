"""NanoTrack agrees with the published graphs, stage by stage (golden/nanotrack/README.md 1)."""

from __future__ import annotations

import zlib

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from tirtrack.networks import registry

VERSIONS = ("v2", "v3")
TOLERANCE = {"features": 1e-4, "logits": 1e-4, "ltrb": 1e-3}
SIDES = {
    "v2": {
        "target_filter": "corr_pw_cls cls_pw_tower cls_pred",
        "box_estimator": "corr_pw_reg bbox_pw_tower bbox_pred",
    },
    "v3": {
        "target_filter": "corr_pw_cls corr_dw_cls down_cls cls_tower cls_logits",
        "box_estimator": "corr_pw_reg corr_dw_reg down_reg bbox_tower bbox_pred",
    },
}


def same(stage, ours, golden):
    """Name stage, place and both values of the worst difference."""
    ours = np.asarray(ours)
    assert ours.shape == golden.shape, stage
    worst = np.unravel_index(np.abs(ours - golden).argmax(), golden.shape)
    difference = abs(float(ours[worst]) - float(golden[worst]))
    limit = TOLERANCE[stage.split("_")[0]]
    assert difference <= limit, f"{stage}{worst}: {ours[worst]} is not {golden[worst]}"


def as_patch(picture):
    return (
        torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float()[None, None] / 255
    )


@pytest.fixture(scope="module", params=VERSIONS)
def version(request):
    return request.param


@pytest.fixture(scope="module")
def published(shared, version):
    folder = shared / "data" / "weights" / "nanotrack"
    if not folder.is_dir():
        pytest.skip("the published weights are not in the shared folder")
    return folder / f"nanotrack_{version}"


@pytest.fixture(scope="module")
def state(published):
    return load_file(published.with_name(published.name + ".safetensors"))


@pytest.fixture(scope="module")
def loaded(state, version):
    network = registry.build(f"nanotrack-{version}")
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def golden(shared, version):
    return np.load(shared / "golden" / "nanotrack" / f"network_{version}.npz")


@pytest.mark.parametrize(
    ("name", "side", "first", "crc"),
    [
        ("train/0/0", 288, [111, 216, 0], 0x205DDAEE),
        ("test/2/1", 288, [32, 19, 59], 0xC9AB9A91),
        ("train/0/0", 352, [111, 216, 0], 0x03978138),
    ],
)
def test_image_rule_gives_the_documented_pictures(golden_image, name, side, first, crc):
    picture = golden_image(name, side, side)
    assert picture[0, 0].tolist() == first
    assert zlib.crc32(picture.tobytes()) == crc


def test_features_logits_and_distances_equal_the_golden_ones(loaded, golden, golden_patches):
    for k in (0, 1):
        template, search = golden_patches(k)
        crcs = [zlib.crc32(picture.tobytes()) for picture in (template, search)]
        assert crcs == golden[f"crc32_{k}"].tolist()
        (z,), (x,) = loaded.features(as_patch(template)), loaded.features(as_patch(search))
        if k == 0:
            same("features_template", z[0, 0], golden["template_features_0"])
            same("features_search", x[0, 0, ::2], golden["search_features_0"])
        logits, ltrb = loaded.head(z[0], x[0])
        same(f"logits_{k}", logits[0], golden[f"logits_{k}"])
        same(f"ltrb_{k}", ltrb[0], golden[f"ltrb_{k}"])


def test_response_is_the_margin_and_boxes_of_the_golden_maps(loaded, golden, golden_patches):
    template, search = golden_patches(1)
    target = loaded.reference(as_patch(template), torch.zeros(1, 1, 4))
    response = loaded.respond(target, as_patch(search))
    margin = response.scores[0][0, 0].numpy()
    logits, ltrb = golden["logits_1"], golden["ltrb_1"]
    np.testing.assert_allclose(margin, logits[1] - logits[0], atol=2e-4)
    row, column = np.unravel_index(margin.argmax(), margin.shape)
    assert (row, column) == (len(margin) // 2, len(margin) // 2)  # a perfect match in the middle
    left, top, right, bottom = ltrb[:, row, column]
    box = response.boxes[0, 0, :, row, column].numpy()
    np.testing.assert_allclose(
        box, [127.5 - left, 127.5 - top, left + right, top + bottom], atol=2e-3
    )


def test_network_equals_the_shipped_onnx_files(loaded, published):
    patches = np.random.default_rng(1).integers(0, 256, (2, 255, 255, 3)).astype(np.float32)
    bgr = [np.ascontiguousarray(patch.transpose(2, 0, 1)[None, ::-1]) for patch in patches]
    bgr[0] = np.ascontiguousarray(bgr[0][..., :127, :127])

    def graph(name):
        path = str(published.with_name(f"{published.name}_{name}.onnx"))
        return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    backbone, head = graph("backbone_dyn"), graph("head")
    right = [backbone.run(None, {"input": picture})[0] for picture in bgr]
    ours = [loaded.features(as_patch(p))[0][0] for p in (patches[0, :127, :127], patches[1])]
    for name, mine, theirs in zip(("template", "search"), ours, right, strict=True):
        same(f"features_{name}", mine, theirs)
    logits, ltrb = head.run(None, {"input1": right[0], "input2": right[1]})
    our_logits, our_ltrb = loaded.head(*(torch.from_numpy(array) for array in right))
    same("logits", our_logits, logits)
    same("ltrb", our_ltrb, ltrb)


def test_keys_and_shapes_are_those_of_the_published_file(state, version):
    stored = registry.stored_shapes(f"nanotrack-{version}")
    assert stored == {key: tuple(tensor.shape) for key, tensor in state.items()}
    assert registry.architectures_of(stored) == [f"nanotrack-{version}"]


def test_loading_misses_only_the_counters_of_batch_norm(state, version):
    network = registry.build(f"nanotrack-{version}")
    short = dict(state)
    short.pop("backbone.features.0.1.running_mean")
    with pytest.raises(RuntimeError, match="running_mean"):
        network.load_state_dict(short)


def test_components_have_the_documented_prefixes(loaded, state, version):
    names = {id(parameter): name for name, parameter in loaded.named_parameters()}
    components = loaded.components()
    assert components.keys() == {"backbone", *SIDES[version]}
    assert all(names[id(p)].startswith("backbone.") for p in components["backbone"])
    for component, modules in SIDES[version].items():
        seen = {".".join(names[id(p)].split(".")[:2]) for p in components[component]}
        assert seen == {f"ban_head.{module}" for module in modules.split()}
    assert sum(p.numel() for p in loaded.parameters()) == {"v2": 334_078, "v3": 541_446}[version]
