"""Checkpoints of the published layouts, as torch itself writes them.

The classes that a published checkpoint names exist only while it is written: they are taken away
again before anything reads it.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

RECORDED = (
    ("model_constructor", "NetConstructor"),
    ("stats", "AverageMeter"),
    ("stats", "StatValue"),
    ("settings", "Settings"),
    ("local", "EnvironmentSettings"),
)
DIMP = {
    "filter_size": 4,
    "backbone_pretrained": True,
    "optim_iter": 5,
    "clf_feat_norm": True,
    "final_conv": True,
    "optim_init_step": 0.9,
    "optim_init_reg": 0.1,
    "init_gauss_sigma": 0.9,
    "num_dist_bins": 100,
    "bin_displacement": 0.1,
    "mask_init_factor": 3.0,
    "target_mask_act": "sigmoid",
    "score_act": "relu",
}
DIMP50 = {**DIMP, "clf_feat_blocks": 0, "out_feature_dim": 512}
PRDIMP = {
    "filter_size": 4,
    "backbone_pretrained": True,
    "optim_iter": 5,
    "clf_feat_norm": True,
    "final_conv": True,
    "optim_init_step": 1.0,
    "optim_init_reg": 0.05,
    "optim_min_reg": 0.05,
    "gauss_sigma": 0.9,
    "alpha_eps": 0.05,
    "normalize_label": True,
    "init_initializer": "zero",
}
FROZEN = ["conv1", "bn1", "layer1", "layer2"]
SIMPLE = {
    "filter_size": 4,
    "backbone_pretrained": True,
    "optim_iter": 5,
    "clf_feat_norm": True,
    "clf_feat_blocks": 0,
    "final_conv": True,
    "out_feature_dim": 512,
    "optim_init_reg": 0.1,
    "score_act": "relu",
    "hinge_threshold": 0.05,
    "activation_leak": 0.1,
    "frozen_backbone_layers": FROZEN,
}
ATOM = {"backbone_pretrained": True, "iou_input_dim": (256, 256), "iou_inter_dim": (256, 256)}
SUPER_DIMP = {**DIMP50, "init_gauss_sigma": 0.25 / 6 * 22, "frozen_backbone_layers": FROZEN}
RECORDS = {
    "dimp18": ("dimpnet18", DIMP),
    "dimp50": ("dimpnet50", DIMP50),
    "superdimp50": ("dimpnet50", SUPER_DIMP),
    "superdimp_simple": ("dimpnet50_simple", SIMPLE),
    "prdimp18": ("klcedimpnet18", PRDIMP),
    "prdimp50": ("klcedimpnet50", {**PRDIMP, "clf_feat_blocks": 0, "out_feature_dim": 512}),
    "atom18": ("atom_resnet18", ATOM),
}
"""Network -> function and arguments, as the settings files of the published code give them."""


def drawn(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> OrderedDict[str, torch.Tensor]:
    """A state dict of these shapes as ``nn.Module`` makes them, with versions of modules."""
    generator = torch.Generator().manual_seed(seed)
    state = OrderedDict()
    for key, shape in shapes.items():
        state[key] = torch.randn(shape, generator=generator) * 0.1
        if key.endswith("running_var"):
            state[key].abs_()
            state[key.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


@contextmanager
def _published_classes(package: str) -> Iterator[dict[str, type]]:
    names = package.split(".")
    modules = {".".join(names[: i + 1]): ModuleType(names[i]) for i in range(len(names))}
    made = {}
    for module, name in RECORDED:
        place = modules.setdefault(f"{package}.{module}", ModuleType(module))
        made[name] = type(name, (), {"__module__": f"{package}.{module}"})
        setattr(place, name, made[name])
    sys.modules.update(modules)
    try:
        yield made
    finally:
        for name in modules:
            del sys.modules[name]


def _filled(kind: type, **attributes: object) -> object:
    made = kind()
    made.__dict__.update(attributes)
    return made


def write_tracker(
    path: Path,
    state: dict[str, torch.Tensor],
    function: str = "dimpnet18",
    kwds: dict[str, object] | None = None,
    *,
    legacy: bool = False,
    package: str = "ltr.admin",
    module: str = "ltr.models.tracking.dimpnet",
    **changes: object,
) -> Path:
    """A checkpoint of a DiMP-type tracker or ATOM, with all that training leaves in it."""
    parameters = [value for value in state.values() if value.is_floating_point()]
    with _published_classes(package) as made:
        meter = _filled(made["AverageMeter"], avg=0.3, val=0.2, sum=3.0, count=10, history=[0.4])
        content = {
            "epoch": 50,
            "actor_type": "DiMPActor",
            "net_type": "DiMPnet",
            "net": state,
            "net_info": None,
            "constructor": _filled(
                made["NetConstructor"],
                fun_name=function,
                fun_module=module,
                args=(),
                kwds=DIMP if kwds is None else kwds,
            ),
            "optimizer": {
                "state": {
                    140_000_000_000_000 + i: {"step": 9, "exp_avg": torch.zeros_like(one)}
                    for i, one in enumerate(parameters[:3])
                },
                "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "params": [0, 1, 2]}],
            },
            "stats": OrderedDict(
                train=OrderedDict(loss=meter, lr=_filled(made["StatValue"], val=1e-4)), val=None
            ),
            "settings": _filled(
                made["Settings"],
                env=_filled(made["EnvironmentSettings"], workspace_dir="/home/someone"),
                use_gpu=True,
                device=torch.device("cpu"),
                feature_sz=torch.Size((18, 18)),
                best=np.float64(0.25),
            ),
            **changes,
        }
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def write_nanotrack(path: Path, state: dict[str, torch.Tensor], *, legacy: bool = False) -> Path:
    """A checkpoint of NanoTrack: unused neck, optimiser with numpy scalars."""
    more = {"neck.downsample.weight": torch.zeros(3, 3)}
    content = {
        "epoch": 35,
        "state_dict": {**state, **more},
        "optimizer": {
            "state": {0: {"step": 9, "momentum_buffer": torch.zeros(4)}},
            "param_groups": [{"lr": np.float64(0.01), "initial_lr": np.float64(0.1)}],
        },
    }
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
