"""What the table compares: each row is a recipe or a tracker preset, all with the same code.

The rows and the primary figure were fixed before any test sequence was tracked with a model that we
trained. A first table had three seeds of ``mixed`` and one of every other trained row; the other
rows got further seeds afterwards, all alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SHIPPABLE = "shippable"  # M3SVD pairs and the synthetic world
EVERYTHING = "everything"  # all of data/pairs, training part (research only)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: name of the row.
        recipe: recipe that trains it from the baseline; ``None``: nothing is trained.
        pairs: pairs that it is trained on.
        weights: start weights where nothing is trained: ``v3`` or ``baseline``.
        preset: settings of the tracker.
        is_control: whether it is one of the controls that a gain must beat.
        seeds: number of runs that are averaged.
        changes: overridden settings of the recipe, by dotted name.
        sees_rgb: whether the RGB test is tracked.
    """

    name: str
    recipe: str | None = None
    pairs: str = SHIPPABLE
    weights: str = "baseline"
    preset: str = "default"
    is_control: bool = False
    seeds: int = 1
    changes: Mapping[str, Any] = field(default_factory=dict)
    sees_rgb: bool = True


SEEDS = 3


def _trained(name: str, *, is_control: bool = False) -> Row:
    return Row(name, name, is_control=is_control, seeds=SEEDS)


ROWS = [
    Row("v3 untouched", weights="v3"),
    Row("nano-rgb (baseline)"),
    _trained("mixed"),
    _trained("published"),
    _trained("distill"),
    *(
        _trained(name, is_control=True)
        for name in (
            "control_rgb_only",
            "control_self_training",
            "tir_only",
            "control_tir_with_rgb_boxes",
            "control_fake_tir",
            "control_labelled_rgb",
            "control_labelled_grey",
            "control_bn_statistics",
        )
    ),
    Row("k_floor 10", preset="floor10"),
    Row("k_floor 5", preset="k_floor"),
    Row("k_stretch", preset="k_stretch", is_control=True),
    Row("k_rate 0.25", preset="k_rate_low", is_control=True),
    Row("k_rate 0.45", preset="k_rate_high", is_control=True),
    Row("mixed, all pairs", "mixed", EVERYTHING, seeds=SEEDS),
]


@dataclass(frozen=True)
class Study:
    """A table: its rows, and the two that every other is compared with.

    Attributes:
        rows: all rows.
        start: weights that all trained rows begin with, by name or file.
        baseline: row of these weights.
        ours: row that we would choose.
    """

    rows: Sequence[Row]
    start: str
    baseline: str
    ours: str


_CLASSIFIER = {
    "target_filter.head": 1.0,
    "target_filter.initialiser": 1.0,
    "target_filter.optimiser": 0.5,
}


def _lite(
    name: str,
    recipe: str,
    *,
    seeds: int = 1,
    is_control: bool = False,
    pairs: str = SHIPPABLE,
    **changes: Any,
) -> Row:
    changes = {"training__batch_norm": "adapt", **changes}  # as fixed before the study
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return Row(
        name,
        recipe,
        pairs,
        is_control=is_control,
        seeds=seeds,
        changes=dotted,
        sees_rgb=False,
    )


LITE_ROWS = [
    Row("dimp-lite-rgb (baseline)"),
    _lite("distill", "dimp_lite_distill", seeds=3),
    _lite("bn alone", "dimp_lite_distill", is_control=True, training__steps=0),
    _lite("published", "dimp_lite_published", seeds=3),
    _lite(
        "classifier alone",
        "dimp_lite_distill",
        training__components=_CLASSIFIER,
    ),
    _lite(
        "box estimator alone",
        "dimp_lite_distill",
        training__components={"box_estimator": 1.0},
    ),
    _lite(
        "rgb alone",
        "dimp_lite_published",
        seeds=3,
        is_control=True,
        directions={"rgb_to_rgb": 1.0},
    ),
    _lite("batch norm frozen", "dimp_lite_distill", seeds=3, training__batch_norm="frozen"),
    _lite(
        "published, batch norm frozen",
        "dimp_lite_published",
        seeds=3,
        training__batch_norm="frozen",
    ),
    _lite(
        "rgb alone, batch norm frozen",
        "dimp_lite_published",
        seeds=3,
        is_control=True,
        directions={"rgb_to_rgb": 1.0},
        training__batch_norm="frozen",
    ),
    _lite(
        "tir alone, batch norm frozen",
        "dimp_lite_published",
        seeds=3,
        is_control=True,
        directions={"tir_to_tir": 1.0},
        proposals__modalities=["tir"],
        boxes__found_in=["tir", "both"],
        teacher__modality="tir",
        training__batch_norm="frozen",
    ),
    _lite(
        "tir branches, batch norm frozen",
        "dimp_lite_published",
        seeds=3,
        is_control=True,
        directions={"tir_to_tir": 1.0},
        boxes__only_where_found=False,
        training__batch_norm="frozen",
    ),
    _lite("rgb to tir alone", "dimp_lite_published", directions={"rgb_to_tir": 1.0}),
    _lite("tir to rgb alone", "dimp_lite_published", directions={"tir_to_rgb": 1.0}),
    _lite("centre boxes", "dimp_lite_distill", proposals__way="centre"),
    _lite("random boxes", "dimp_lite_distill", proposals__way="random"),
    _lite("distill, all pairs", "dimp_lite_distill", seeds=3, pairs=EVERYTHING),
    _lite(
        "distill, all pairs, batch norm frozen",
        "dimp_lite_distill",
        seeds=3,
        pairs=EVERYTHING,
        training__batch_norm="frozen",
    ),
]

STUDIES = {
    "nano": Study(ROWS, "nano-rgb", "nano-rgb (baseline)", "mixed"),
    "dimp-lite": Study(
        LITE_ROWS, "runs/dimp-lite/dimp-lite-rgb.safetensors", "dimp-lite-rgb (baseline)", "distill"
    ),
}
