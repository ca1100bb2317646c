"""How a published network was made, as its checkpoint records it, and which of ours that is.

A record names a function of the published code and its arguments; arguments that it leaves out have
the function's defaults. The function is never called: its name is looked up here. Source of the
tables: the settings files and constructors of visionml/pytracking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tirtrack.errors import WeightsError, did_you_mean

_LAYERS_18 = {"clf_feat_blocks": 1, "out_feature_dim": 256}
_LAYERS_50 = {"clf_feat_blocks": 0, "out_feature_dim": 512}
_BOXES = {
    "iou_input_dim": [256, 256],
    "iou_inter_dim": [256, 256],
    "backbone_pretrained": True,
}
_FILTER = {
    "filter_size": 1,
    "optim_iter": 5,
    "optim_init_step": 1.0,
    "optim_init_reg": 0.01,
    "classification_layer": "layer3",
    "feat_stride": 16,
    "clf_feat_norm": True,
    "init_filter_norm": False,
    "final_conv": True,
    "detach_length": math.inf,
    "frozen_backbone_layers": [],
    **_BOXES,
}
_DIMP = {
    **_FILTER,
    "init_gauss_sigma": 1.0,
    "num_dist_bins": 5,
    "bin_displacement": 1.0,
    "mask_init_factor": 4.0,
    "score_act": "relu",
    "act_param": None,
    "target_mask_act": "sigmoid",
}
_PRDIMP = {
    **_FILTER,
    "gauss_sigma": 1.0,
    "alpha_eps": 0.0,
    "optim_min_reg": 1e-3,
    "init_initializer": "default",
    "normalize_label": False,
    "train_feature_extractor": True,
    "init_uni_weight": None,
    "label_shrink": 0,
    "softmax_reg": None,
    "label_threshold": 0,
    "final_relu": False,
    "init_pool_square": False,
}
_SIMPLE = {
    **_FILTER,
    "hinge_threshold": 0.05,
    "activation_leak": 0.0,
    "score_act": "relu",
    "act_param": None,
}


@dataclass(frozen=True)
class Constructor:
    """A function of the published code: defaults of its arguments, and our networks it makes."""

    defaults: Mapping[str, Any]
    networks: tuple[str, ...] = ()


CONSTRUCTORS = {
    "dimpnet18": Constructor({**_DIMP, **_LAYERS_18}, ("dimp18",)),
    "dimpnet50": Constructor({**_DIMP, **_LAYERS_50}, ("dimp50", "superdimp50")),
    "dimpnet50_simple": Constructor({**_SIMPLE, **_LAYERS_50}, ("superdimp_simple",)),
    "klcedimpnet18": Constructor({**_PRDIMP, **_LAYERS_18}, ("prdimp18",)),
    "klcedimpnet50": Constructor({**_PRDIMP, **_LAYERS_50}, ("prdimp50",)),
    "atom_resnet18": Constructor(_BOXES, ("atom18",)),
    "L2dimpnet18": Constructor({}),
    "atom_resnet50": Constructor({}),
}

_FROZEN = ["conv1", "bn1", "layer1", "layer2"]
_DIMP_USED = {
    "filter_size": 4,
    "optim_init_step": 0.9,
    "optim_init_reg": 0.1,
    "init_gauss_sigma": 0.9,
    "num_dist_bins": 100,
    "bin_displacement": 0.1,
    "mask_init_factor": 3.0,
}
_PRDIMP_USED = {
    "filter_size": 4,
    "optim_init_reg": 0.05,
    "optim_min_reg": 0.05,
    "gauss_sigma": 0.9,
    "alpha_eps": 0.05,
    "normalize_label": True,
    "init_initializer": "zero",
}
_USED: dict[str, Mapping[str, Any]] = {
    "dimp18": _DIMP_USED,
    "dimp50": _DIMP_USED,
    "superdimp50": {
        **_DIMP_USED,
        "init_gauss_sigma": 0.25 / 6 * 22,
        "frozen_backbone_layers": _FROZEN,
    },
    "prdimp18": _PRDIMP_USED,
    "prdimp50": _PRDIMP_USED,
    "superdimp_simple": {
        "filter_size": 4,
        "optim_init_reg": 0.1,
        "activation_leak": 0.1,
        "frozen_backbone_layers": _FROZEN,
    },
    "atom18": {},
}
"""Arguments that the settings files of the published code set to other than the default."""

_ONLY_IN_TRAINING = {
    "backbone_pretrained",
    "detach_length",
    "frozen_backbone_layers",
    "init_gauss_sigma",
    "init_initializer",
    "mask_init_factor",
    "optim_init_reg",
    "optim_init_step",
    "train_feature_extractor",
}
"""Arguments that say what weights were at first or how they were trained, not what they compute."""


@dataclass(frozen=True)
class ConstructorRecord:
    """What a record says: the networks it can describe, and notes for the user."""

    networks: tuple[str, ...]
    notes: tuple[str, ...]


def origin_of(record: Mapping[str, Any]) -> ConstructorRecord:
    """Which of our networks a constructor record describes.

    If a function makes several, those with the training settings of the record remain, as only
    these distinguish ``dimp50`` from ``superdimp50``.

    Args:
        record: ``fun_name`` and ``kwds``, of any type: it comes from a file.

    Raises:
        WeightsError: no network of ours was made like that.
    """
    name, given = record.get("fun_name"), record.get("kwds")
    if not isinstance(name, str) or name not in CONSTRUCTORS:
        raise WeightsError(
            f'its record says that "{name}" made it', fix=did_you_mean(str(name), CONSTRUCTORS)
        )
    if not isinstance(given, dict) or record.get("args"):
        raise WeightsError(
            f"its record gives arguments of {name} without their names", fix="train it again"
        )
    made = CONSTRUCTORS[name]
    if not made.networks:
        ours = [function for function, one in CONSTRUCTORS.items() if one.networks]
        raise WeightsError(
            f"was made by {name}, a network that tirtrack does not have",
            fix=f"give a checkpoint of {', '.join(ours)}",
        )
    differing = {network: _differences(made, network, given) for network in made.networks}
    fewest = min(map(len, differing.values()))
    networks = tuple(network for network, found in differing.items() if len(found) == fewest)
    _check_computes_the_same(name, networks[0], differing[networks[0]])
    return ConstructorRecord(
        networks, (*_unknown(made, given), *_trained_otherwise(differing[networks[0]]))
    )


def _differences(
    made: Constructor, network: str, given: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Arguments whose value is not that of our network: what the record says, and ours."""
    seen = {**made.defaults, **given}
    ours = {**made.defaults, **_USED[network]}
    return {key: (seen[key], ours[key]) for key in ours if not _equal(seen[key], ours[key])}


def _check_computes_the_same(
    function: str, network: str, differences: Mapping[str, tuple[Any, Any]]
) -> None:
    wrong = {key: two for key, two in differences.items() if key not in _ONLY_IN_TRAINING}
    if wrong:
        said = ", ".join(f"{key} {seen} instead of {ours}" for key, (seen, ours) in wrong.items())
        raise WeightsError(
            f"its record makes another network of {function} than {network}: {said}",
            fix=f"tirtrack has {network} with its published settings alone",
        )


def _unknown(made: Constructor, given: Mapping[str, Any]) -> list[str]:
    names = [key for key in given if key not in made.defaults]
    return [f"its record has arguments that are not known: {', '.join(names)}"] if names else []


def _trained_otherwise(differences: Mapping[str, tuple[Any, Any]]) -> list[str]:
    said = ", ".join(f"{key} {seen} instead of {ours}" for key, (seen, ours) in differences.items())
    return [f"it was not trained with the published settings: {said}"] if said else []


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    numbers = (int, float)
    if type(one) in numbers and type(other) in numbers:
        return math.isclose(one, other, rel_tol=1e-4)
    return type(one) is type(other) and bool(one == other)
