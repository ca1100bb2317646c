"""What the table compares: every row a recipe or a tracker setting, all on the same code.

The rows, their seeds and the primary figure were fixed before any test sequence was tracked with
a model that we trained.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SHIPPABLE = "shippable"  # M3SVD pairs and the synthetic world
EVERYTHING = "everything"  # all of data/pairs, training part (research only)


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: of the row.
        recipe: trained by this recipe from the baseline; ``None``: nothing is trained.
        pairs: which pairs it is trained on.
        weights: start weights where nothing is trained: ``v3`` or ``baseline``.
        overrides: settings of the tracker that differ from preset ``default``.
        is_control: whether it is one of the controls that a gain must beat.
        seeds: how many runs are averaged.
    """

    name: str
    recipe: str | None = None
    pairs: str = SHIPPABLE
    weights: str = "baseline"
    overrides: dict[str, Any] = field(default_factory=dict)
    is_control: bool = False
    seeds: int = 1


def _trained(name: str, *, seeds: int = 1, is_control: bool = False) -> Row:
    return Row(name, name, is_control=is_control, seeds=seeds)


ROWS = [
    Row("v3 untouched", weights="v3"),
    Row("nano-rgb (baseline)"),
    _trained("mixed", seeds=3),
    _trained("published"),
    _trained("distill"),
    *(
        _trained(name, is_control=True)
        for name in ("e_RR", "h1", "h2", "h2_rgbbox", "i_fake", "f", "f_grey", "g_bn")
    ),
    Row("k_floor 10", overrides={"min_side": 10.0}),
    Row("k_floor 5", overrides={"min_side": 5.0}),
    Row("k_stretch", overrides={"stretch": True}, is_control=True),
    Row("k_rate 0.25", overrides={"size_rate": 0.25}, is_control=True),
    Row("k_rate 0.45", overrides={"size_rate": 0.45}, is_control=True),
    Row("mixed, all pairs", "mixed", EVERYTHING),
]
