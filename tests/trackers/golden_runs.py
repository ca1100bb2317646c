"""The rules of golden/trackers: its picture, its runs, its published names.

No test file: tests load it with the fixture ``golden_runs`` of this folder's ``conftest``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

PIECES = {"maps": "localisation_and_patches", "boxes": "memory_boxes_gncg"}

# published key -> ours, where they differ
RENAMED = {
    "dispalcement_scale": "displacement_scale",
    "box_jitter_sz": "box_jitter_size",
    "init_CG_iter": "init_cg_iter",
    "init_GN_iter": "init_gn_iter",
    "post_init_CG_iter": "post_init_cg_iter",
    "CG_iter": "cg_iter",
    "hard_negative_CG_iter": "hard_negative_cg_iter",
    "CG_forgetting_rate": "cg_forgetting_rate",
    "relativeshift": "relative_shift",
    "fliplr": "flip",
}


def pieces(shared: Path, name: str):
    """The numbers and the arrays of one of ``PIECES``."""
    path = shared / "golden/trackers/pieces" / PIECES[name]
    return json.loads(path.with_suffix(".json").read_text()), np.load(path.with_suffix(".npz"))


def ours(published: dict, settings) -> dict:
    """Published parameters as fields of our settings, typed as ours are."""
    changes = {RENAMED.get(key, key): value for key, value in published.items()}
    if "augmentation" in changes:
        changes["augmentation"] = augmentation(changes["augmentation"])
    known = type(settings).model_fields
    return {key: as_tuple(value) for key, value in changes.items() if key in known}


def augmentation(published: dict):
    from tirtrack.trackers.online_settings import Augmentation

    values = {RENAMED.get(key, key): as_tuple(value) for key, value in published.items()}
    if "blur" in values:  # one number is for both axes
        values["blur"] = tuple(
            one if isinstance(one, tuple) else (one, one) for one in values["blur"]
        )
    return Augmentation(**values)


def as_tuple(value):
    return tuple(map(as_tuple, value)) if isinstance(value, list) else value
