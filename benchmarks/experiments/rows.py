"""What the table compares: every row a recipe or a tracker preset, all on the same code.

The rows and the primary figure were fixed before any test sequence was tracked with a model that we
trained. A first table had three seeds of ``mixed`` and one of every other trained row; the others
got theirs afterwards, all alike.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        preset: settings of the tracker.
        is_control: whether it is one of the controls that a gain must beat.
        seeds: how many runs are averaged.
    """

    name: str
    recipe: str | None = None
    pairs: str = SHIPPABLE
    weights: str = "baseline"
    preset: str = "default"
    is_control: bool = False
    seeds: int = 1


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
        for name in ("e_RR", "h1", "h2", "h2_rgbbox", "i_fake", "f", "f_grey", "g_bn")
    ),
    Row("k_floor 10", preset="floor10"),
    Row("k_floor 5", preset="k_floor"),
    Row("k_stretch", preset="k_stretch", is_control=True),
    Row("k_rate 0.25", preset="k_rate_low", is_control=True),
    Row("k_rate 0.45", preset="k_rate_high", is_control=True),
    Row("mixed, all pairs", "mixed", EVERYTHING, seeds=SEEDS),
]
