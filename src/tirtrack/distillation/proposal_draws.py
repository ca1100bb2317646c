"""Training proposals of a box estimator: boxes around a box, with the densities of their draw.

Two published ways: boxes with a minimum overlap (ATOM, DiMP), and a mixture of normals in the
relative coordinates ``(cx / w, cy / h, log w, log h)`` (PrDiMP, SuperDiMP), which gives each
proposal the density with which it was drawn and the one that it should have. Pure functions of a
generator, for one box at a time, so that a sample's proposals depend on that sample alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tirtrack.boxes import iou
from tirtrack.distillation.settings import Estimator
from tirtrack.errors import RecipeError
from tirtrack.networks.response import BoxKind, BoxLoss, DrawnProposals

MIN_OVERLAP = 0.1
MAX_TRIES = 100
SPREAD_DECAY = 0.9  # factor on the spread after each try with too little overlap
OVERLAP_SIGMAS = (0.01, 0.05, 0.1, 0.2, 0.3)  # fractions of sqrt(w*h) of the box
NARROWEST = (0.15, 0.5)  # a too small side is replaced by this part of the box's
_COUNTS = {"overlap": 8, "mixture": 128}


@dataclass(frozen=True)
class DrawRule:
    """How proposals are drawn, and what their energies are compared with.

    Attributes:
        loss: ``mse`` to 2 IoU - 1, ``kl`` to a density around the box, ``ml`` of the box itself.
        is_mixture: whether proposals are drawn from the mixture; else by overlap.
        count: proposals per box; with ``ml`` the box itself is added in front.
        sigmas: sigmas of the mixture's parts, (centre, size).
        box_sigma: sigma of the wanted density, (centre, size).
    """

    loss: BoxLoss
    is_mixture: bool
    count: int
    sigmas: tuple[tuple[float, float], ...]
    box_sigma: tuple[float, float]


def draw_rule(settings: Estimator, kind: BoxKind) -> DrawRule | None:
    """The rule of a recipe for a kind of boxes; settings left out have their published values.
    ``None`` if the kind needs no proposals.

    Raises:
        RecipeError: the loss needs densities, but proposals by overlap have none.
    """
    if not kind.rates_proposals:
        return None
    loss: BoxLoss = settings.loss or ("kl" if kind.needs_densities else "mse")
    sampling = settings.sampling or ("mixture" if kind.needs_densities else "overlap")
    if sampling == "overlap" and (loss != "mse" or kind.needs_densities):
        raise RecipeError(
            f"energies of kind {kind.name} with loss {loss} need densities, and proposals drawn by "
            "overlap have none",
            "estimator",
            "set sampling: mixture",
        )
    return DrawRule(
        loss,
        sampling == "mixture",
        settings.count or _COUNTS[sampling],
        tuple((centre, size) for centre, size in settings.sigmas),
        (settings.box_sigma[0], settings.box_sigma[1]),
    )


def draw_for_batch(
    boxes_patch: np.ndarray, generators: Sequence[np.random.Generator], rule: DrawRule
) -> DrawnProposals:
    """Proposals around boxes ``[M,S,4]`` xywh, patch pixels, with one generator per sample (S)."""
    drawn = [
        [draw_proposals(box, rule, rng) for box, rng in zip(row, generators, strict=True)]
        for row in boxes_patch
    ]

    def stacked(field: int) -> torch.Tensor:
        return torch.from_numpy(
            np.stack([[np.float32(one[field]) for one in row] for row in drawn])
        )

    return DrawnProposals(stacked(0), stacked(1), stacked(2), rule.loss)


def draw_proposals(
    box: np.ndarray, rule: DrawRule, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Proposals ``[P,4]`` around a box ``[4]`` xywh, and their drawn and wanted densities ``[P]``.

    Densities of proposals by overlap are NaN. With ``ml`` the box itself comes first, marked by a
    drawn density of -1.
    """
    if not rule.is_mixture:
        boxes = overlap_proposals(box, rule.count, rng)
        nothing = np.full(rule.count, np.nan)
        return boxes, nothing, nothing
    boxes, drawn, wanted = mixture_proposals(
        box, rule.count, rng, sigmas=rule.sigmas, box_sigma=rule.box_sigma
    )
    if rule.loss != "ml":
        return boxes, drawn, wanted
    return (
        np.concatenate([box[None], boxes]),
        np.concatenate([[-1.0], drawn]),
        np.concatenate([[1.0], wanted]),
    )


def mixture_proposals(
    box: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    sigmas: Sequence[tuple[float, float]],
    box_sigma: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes ``[P,4]`` from a mixture around a box, and their drawn and wanted densities ``[P]``.

    Args:
        box: box ``[4]`` xywh, both sides above 0.
        count: number of proposals, P.
        rng: generator of the draw.
        sigmas: (centre, size) of each part, all parts equally likely.
        box_sigma: (centre, size) of the wanted density around the box.
    """
    spread = np.array([[centre, centre, size, size] for centre, size in sigmas])
    part = rng.integers(len(spread), size=count)
    away = spread[part] * rng.standard_normal((count, 4))  # [P,4]
    size = box[2:] * np.exp(away[:, 2:])
    centre = box[:2] + box[2:] / 2 + away[:, :2] * box[2:]
    wanted = normal_density(away, np.array([box_sigma[0]] * 2 + [box_sigma[1]] * 2))
    return np.concatenate([centre - size / 2, size], axis=1), mixture_density(away, spread), wanted


def mixture_density(away: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Density ``[P]`` of a mixture of normals with sigmas ``[K,4]``, at ``[P,4]`` from the mean."""
    return np.asarray(np.mean([normal_density(away, sigma) for sigma in spread], axis=0))


def normal_density(away: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """Density ``[P]`` of a normal with sigma ``[4]``, at ``[P,4]`` from the mean."""
    each = np.exp(-0.5 * (away / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
    return np.asarray(each.prod(axis=-1))


def overlap_proposals(box: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Integer boxes ``[P,4]`` near a box ``[4]`` xywh, with a minimum overlap with it.

    Each draws its own spread; if after many tries none overlaps enough, the box itself is used.
    """
    return np.stack([_overlapping(box, rng) for _ in range(count)])


def _overlapping(box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    spread = float(np.sqrt(box[2] * box[3])) * float(rng.choice(OVERLAP_SIGMAS))
    for _ in range(MAX_TRIES):
        centre = box[:2] + box[2:] / 2 + spread * rng.standard_normal(2)
        size = _not_too_small(box[2:] + spread * rng.standard_normal(2), box[2:], rng)
        found = np.rint(np.concatenate([centre - size / 2, size]))
        found[2:] = _not_too_small(found[2:], box[2:], rng)
        if iou(found[None], box[None])[0] > MIN_OVERLAP:
            return np.asarray(found)
        spread *= SPREAD_DECAY
    return np.asarray(box, dtype=np.float64).copy()


def _not_too_small(size: np.ndarray, box_size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace sides of at most one pixel by a random fraction of the box's sides."""
    return np.where(size <= 1, box_size * rng.uniform(*NARROWEST, size=2), size)
