"""What golden/networks/README.md 3 lists, computed by a network of ours, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from tirtrack.networks.filter_labels import centres_yx

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STAGES = {"conv1": "relu", "layer1": "layer1", "layer2": "layer2", "layer3": "layer3"}
MAPS = ("label_map", "target_mask", "spatial_weight")
SHARES = (0.5, 0.3125, 0.1875)  # of the images in the online run
FLOAT32 = 2e-5
FLOAT64 = {"float64": 1e-9, "float32": 2e-7}  # by the type that the golden array is stored in

Stages = dict[str, Tensor]


def load(network: nn.Module, weight: Callable, dtype: torch.dtype) -> nn.Module:
    """The network with the golden weights; its patches enter behind ``normalise``."""
    state = network.state_dict()
    values = {key: torch.from_numpy(weight(key, tuple(v.shape))) for key, v in state.items()}
    network.load_state_dict(values)
    network.normalise = lambda patches: patches
    return network.to(dtype)


def patches(image: Callable, names: str, counts: tuple[int, int], side: int) -> Tensor:
    """``[N,S,3,D,D]`` float32: pictures ``names/n/s``, normalised in float64."""
    pictures = [
        [image(f"{names}/{n}/{s}", side, side) for s in range(counts[1])] for n in range(counts[0])
    ]
    values = (np.array(pictures) / 255.0 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(np.ascontiguousarray(values.transpose(0, 1, 4, 2, 3))).float()


def boxes_of(golden: Mapping[str, np.ndarray], name: str, dtype: torch.dtype) -> list[Tensor]:
    names = ("train_bb", "test_bb", "proposals")
    train, _, proposals = (torch.from_numpy(golden[f"in:{name}{key}"]).to(dtype) for key in names)
    return [train, proposals]


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, list[tuple[Tensor, Tensor]]]]:
    """Name to (input, output) of every call of its module."""
    calls: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in modules}

    def keep(name: str) -> Callable:
        return lambda _, given, out: calls[name].append((given[0].detach(), out.detach()))

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    yield calls
    for handle in handles:
        handle.remove()


def stats(outputs: list[Tensor]) -> Tensor:
    """Sum, sum of squares and maximum of every image ``[B,...]``: ``[B,3]``."""
    flat = torch.cat([output.flatten(1).double() for output in outputs])
    return torch.stack([flat.sum(1), flat.square().sum(1), flat.amax(1)], dim=1)


@torch.no_grad()
def forward(network: nn.Module, train: Tensor, test: Tensor, boxes: list[Tensor]) -> Stages:
    """Every stage of README 3.1 to 3.3 in eval mode, but for the refined boxes."""
    modules = {name: network.feature_extractor.get_submodule(m) for name, m in STAGES.items()}
    modules |= dict(network.bb_regressor.named_children())
    has_filter = hasattr(network, "classifier")
    if has_filter:
        head = network.classifier.feature_extractor
        modules |= {"pre_norm": head[-2], "clf": head}
    with recorded(modules) as calls:
        target = network.reference(train, boxes[0])
        response = network.respond(target, test, boxes[1])
    stages = _backbone(calls, train.shape[:2], wide=network.bb_regressor.conv3_1r[0].in_channels)
    ends = network.feature_extractor(train[0, :1], ["layer4", "fc"])
    stages |= {"layer4_train00": ends["layer4"][:, ::8, ::3, ::3], "fc_train00": ends["fc"]}
    if has_filter:
        clf = [out.reshape(*train.shape[:2], *out.shape[1:]) for _, out in calls["clf"]]
        stages |= _head(calls, clf)
        stages |= _filters(network, target.filters, clf[0], boxes[0])
        stages["test_scores"] = torch.stack(response.scores)
    return stages | _box_estimator(calls) | {"iou_pred": response.boxes}


def _backbone(calls: dict, shape: torch.Size, *, wide: int) -> Stages:
    """``wide`` is the channels of layer2: 128, or four times as many in ResNet-50."""
    stages = {}
    steps = {"conv1": (8, 18), "layer1": (8, 9), "layer2": (16, 6), "layer3": (16, 3)}
    for name, (channels, cells) in steps.items():
        reference, test = (out for _, out in calls[name])
        step = channels * (1 if name == "conv1" else wide // 128)
        last = 2 * shape[1] + 1  # image 2 of sequence 1
        stages[f"{name}_train00"] = reference[:1, ::step, ::cells, ::cells]
        stages[f"{name}_test21"] = test[last : last + 1, ::step, ::cells, ::cells]
        stages[f"{name}_stats"] = stats([reference, test])
    return stages


def _head(calls: dict, clf: list[Tensor]) -> Stages:
    return {
        "clf_pre_norm_train": calls["pre_norm"][0][1][:, ::32, ::6, ::6],
        "clf_train": clf[0][:, :, ::16, ::6, ::6],
        "clf_test": clf[1][:, :, ::16, ::6, ::6],
        "clf_stats": stats([out for _, out in calls["clf"]]),
    }


def _filters(network: nn.Module, filters: list[Tensor], clf: Tensor, boxes: Tensor) -> Stages:
    optimiser = network.optimiser
    shares = clf.new_tensor(SHARES)
    online = optimiser(
        filters[0][:1], clf[:, :1], boxes[:, :1], iterations=3, sample_weights=shares
    )
    around = centres_yx(boxes, (4, 4)), (clf.shape[-2] + 1, clf.shape[-1] + 1)
    if hasattr(optimiser, "maps"):
        maps = dict(
            zip(
                ("label_map", "target_mask", "spatial_weight"), optimiser.maps(*around), strict=True
            )
        )
    else:
        maps = {"label_density": optimiser.density(*around)}
    losses = optimiser(filters[0], clf, boxes).losses
    return maps | {
        "filters": torch.stack(filters),
        "losses": torch.stack(losses),
        "train_scores_final": network.scores(filters[-1], clf),
        "online_filters": torch.stack(online.filters),
        "online_losses": torch.stack(online.losses),
    }


def _box_estimator(calls: dict) -> Stages:
    (joint, modulation3), (_, modulation4) = calls["fc34_3r"][0], calls["fc34_4r"][0]
    feat3, feat4 = (calls[name][0][1] for name in ("conv3_2t", "conv4_2t"))
    (roi3t, fc3), (roi4t, fc4) = calls["fc3_rt"][0], calls["fc4_rt"][0]
    return {
        "roi3r": calls["fc3_1r"][0][0],
        "roi4r": joint[:, joint.shape[1] // 2 :],
        "modulation3": modulation3.flatten(1),
        "modulation4": modulation4.flatten(1),
        "iou_feat3": feat3[:, ::32, ::6, ::6],
        "iou_feat4": feat4[:, ::32, ::3, ::3],
        "iou_feat3_stats": stats([feat3]),
        "iou_feat4_stats": stats([feat4]),
        "roi3t": roi3t[:, ::32],
        "roi4t": roi4t[:, ::32],
        "fc3_rt": fc3[:, ::4],
        "fc4_rt": fc4[:, ::4],
    }


def refined(network: nn.Module, train: Tensor, test: Tensor, boxes: list[Tensor]) -> Tensor:
    """``[5,M,S,4,4]``: four proposals after each of five steps up the gradient."""
    estimator, current, steps = network.box_estimator, boxes[1][:, :, :4], []
    with torch.no_grad():
        modulation = estimator.target_modulation(network.features(train), boxes[0])
        maps = estimator.test_features([f.flatten(0, 1) for f in network.features(test)])
        modulation = [vector.repeat(len(test), 1, 1, 1) for vector in modulation]
    for _ in range(5):
        current = current.detach().requires_grad_()
        energies = estimator.energies(modulation, maps, current.flatten(0, 1))
        (slope,) = torch.autograd.grad(energies.sum(), current)
        current = current + slope * current[..., 2:].repeat(1, 1, 1, 2)
        steps.append(current.detach())
    return torch.stack(steps)


def gradients(
    network: nn.Module, train: Tensor, test: Tensor, boxes: list[Tensor], prefix: str = ""
) -> Stages:
    """The objective of README 3.4 and its gradients, with ``prefix`` before every name."""
    reference_boxes, proposals = (part.clone().requires_grad_() for part in boxes)
    response = network.respond(network.reference(train, reference_boxes), test, proposals)
    objective = response.boxes.square().mean()
    objective = objective + sum(score.square().mean() for score in response.scores)
    objective.backward()
    stages = {
        "iou_pred": response.boxes.detach(),
        "objective": objective.detach(),
        "grad:proposals": proposals.grad,
        "grad:train_bb": reference_boxes.grad,
    }
    if response.scores and prefix:
        stages["test_scores"] = torch.stack([response.scores[i].detach() for i in (0, 1, 5)])
    for key, parameter in network.named_parameters():
        if parameter.grad is not None:
            flat = parameter.grad.flatten()
            step = 1 if flat.numel() <= 2048 else flat.numel() // 1024
            stages |= {f"grad:{key}": flat[::step], f"gradnorm:{key}": flat.norm()}
    return {prefix + name: value for name, value in stages.items()}


def statistics(network: nn.Module) -> Stages:
    """Running statistics of every batch norm."""
    short = {"running_mean": "rm", "running_var": "rv", "num_batches_tracked": "nbt"}
    state = {tuple(key.rsplit(".", 1)): value for key, value in network.state_dict().items()}
    return {
        f"train_{short[last]}:{norm}": value
        for (norm, last), value in state.items()
        if last in short
    }


def part_of(golden_name: str) -> str:
    """Which of ``forward``, ``gradients`` and ``training`` gives a golden array; ``""``: inputs."""
    if golden_name.startswith("in:"):
        return ""
    if golden_name.startswith("train_") and golden_name != "train_scores_final":
        return "training"
    gradients = golden_name.startswith("grad") or golden_name in ("refined_boxes", "objective")
    return "gradients" if gradients else "forward"


def differences(stages: Stages, golden: Mapping[str, np.ndarray]) -> dict[str, tuple]:
    """Name to the worst difference (in parts of the largest value), its place, and both values."""
    found = {}
    for name in [name for name in stages if name in golden]:
        ours, right = stages[name].detach().double().numpy(), golden[name]
        assert ours.shape == right.shape, f"{name}: {ours.shape} is not {right.shape}"
        gap = np.abs(ours - right) / max(float(np.abs(right).max()), 1e-300)
        worst = np.unravel_index(gap.argmax(), gap.shape)
        found[name] = float(gap[worst]), worst, float(ours[worst]), float(right[worst])
    return found


def check(stages: Stages, golden: Mapping[str, np.ndarray], part: str, *, single: bool) -> None:
    """Every golden array of a part is there; fails at the first stage that differs."""
    missing = [n for n in golden if part_of(n) == part and n not in stages]
    assert not missing, f"no {missing[:5]}"
    for name, (gap, place, ours, right) in differences(stages, golden).items():
        limit = FLOAT32 if single else FLOAT64.get(str(golden[name].dtype), 0.0)
        assert gap <= limit, f"{name}{[int(i) for i in place]}: {ours} is not {right} ({gap:.1e})"
