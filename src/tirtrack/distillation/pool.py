"""A fixed pool of samples, with features that the frozen backbone computes once.

While the backbone is frozen, the features of every patch are computed once, by the fast engine, and
training runs only the small heads. If the backbone is trained, the patches are stored instead.
Student and teacher have the same frozen backbone, so they share the features of plain crops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.batches import Draw, Sample, Stock, Stream, ViewKey, stock_of
from tirtrack.distillation.cross_modal import SelfCheck, self_check, teacher_response
from tirtrack.distillation.frozen_backbone import as_features, as_patches
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch
from tirtrack.distillation.settings import CrossModalRecipe, Direction, Modality
from tirtrack.networks.response import DrawnProposals
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import FoundIn

CHUNK = 32

Kept = Mapping[ViewKey, Sequence[np.ndarray]]
"""By view: the features of all samples, one array ``[n,C,H,W]`` per tap of the backbone; or one
array of their patches.
"""


def wanted_views(recipe: CrossModalRecipe, *, one_scene: bool) -> list[ViewKey]:
    """The views that student and teacher need under a recipe; no others are cut."""
    keys = set()
    for direction in recipe.directions:
        keys.add(ViewKey("reference", direction.reference, _augmented(recipe, direction.reference)))
        keys.add(ViewKey("test", direction.test, _augmented(recipe, direction.test)))
        if one_scene and recipe.negatives:
            keys.add(ViewKey("away", direction.test, _augmented(recipe, direction.test)))
    for modality in _teacher_modalities(recipe):
        keys |= {ViewKey("reference", modality), ViewKey("test", modality)}
    return sorted(keys)


def _teacher_modalities(recipe: CrossModalRecipe) -> set[Modality]:
    """Modalities of the teacher: also TIR, if boxes that were found in TIR are checked on it."""
    teacher = recipe.teacher
    seen = {teacher.modality}
    if teacher.tir_boxes_on_tir and FoundIn.TIR in recipe.boxes.found_in:
        seen.add(Modality.TIR)
    return seen


def _augmented(recipe: CrossModalRecipe, modality: Modality) -> bool:
    settings = recipe.augmentation
    return not (settings.rgb if modality is Modality.RGB else settings.tir).is_identity


@dataclass(frozen=True)
class Checks:
    """The teacher's self-check of every sample of a pool, each ``[n]``."""

    distance_cells: np.ndarray
    overlap: np.ndarray
    probability: np.ndarray
    passed: np.ndarray


class Pool:
    """Samples with their stored patches or features.

    Attributes:
        samples: samples in the order of their numbers.
        has_away: ``[n]`` bool; whether the frame has room for a patch beside the box.
        boxes_patch: ``[n,4]`` float32 xywh in the ``reference`` and the ``test`` patch.
        proposals: rule that draws a box estimator's proposals; ``None`` if it has none.
        checks: checks of the samples by the teacher; ``None`` before :meth:`check`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        kept: Kept,
        has_away: np.ndarray,
        *,
        boxes_patch: Mapping[str, np.ndarray],
        are_features: bool,
        proposals: DrawRule | None = None,
        seed: int = 0,
    ) -> None:
        self.samples = tuple(samples)
        self.checks: Checks | None = None
        self._kept = kept
        self._are_features = are_features
        self.has_away = has_away
        self.boxes_patch = boxes_patch
        self.proposals = proposals
        self._seed = seed

    def __len__(self) -> int:
        return len(self.samples)

    def batch(
        self, draws: Sequence[Draw], *, device: torch.device | None = None, visit: int = 0
    ) -> Batch:
        """The batch of a step, in one direction or several.

        Args:
            draws: samples of the step, with direction and test patch.
            device: device of the tensors.
            visit: number that seeds the proposals, so that they differ from visit to visit.
        """
        tests = [self.samples[draw.test].number for draw in draws]
        proposals = None
        if self.proposals is not None:
            boxes = self.boxes_patch["test"][[draw.test for draw in draws]][None]
            generators = [
                np.random.default_rng([self._seed, Stream.PROPOSALS, number, visit])
                for number in tests
            ]
            proposals = draw_for_batch(boxes, generators, self.proposals).to(device)
        plain = self._batch(draws, proposals, device=device, augmented=False, plain=None)
        if any(key.augmented for key in self._kept):
            return self._batch(draws, proposals, device=device, augmented=True, plain=plain)
        return plain

    def _batch(
        self,
        draws: Sequence[Draw],
        proposals: DrawnProposals | None,
        *,
        device: torch.device | None,
        augmented: bool,
        plain: Batch | None,
    ) -> Batch:
        references = [draw.reference for draw in draws]
        accepted = np.ones(len(self)) if self.checks is None else self.checks.passed
        quality = np.array([self.samples[place].quality for place in references])
        tests = [draw.test for draw in draws]
        branches = [
            Branch(
                boxes_patch=torch.from_numpy(self.boxes_patch[name][places][None]).to(device),
                rgb=self._view(name, Modality.RGB, draws, augmented=augmented, device=device),
                tir=self._view(name, Modality.TIR, draws, augmented=augmented, device=device),
                proposals=proposals if name == "test" else None,
            )
            for name, places in (("reference", references), ("test", tests))
        ]
        return Batch(
            reference=branches[0],
            test=branches[1],
            quality=torch.from_numpy(quality).float().to(device),
            present=torch.tensor(
                [draw.is_positive and self._is_visible(draw.test) for draw in draws], device=device
            ),
            accepted=torch.from_numpy(accepted[references].astype(bool)).to(device),
            keys=tuple(self._key(draw) for draw in draws),
            plain=plain,
        )

    def _key(self, draw: Draw) -> str:
        own = self.samples[draw.reference].key
        if draw.is_positive:
            return own
        return f"{own} (away)" if draw.away else f"{own} in {self.samples[draw.test].key}"

    def _view(
        self,
        branch: str,
        modality: Modality,
        draws: Sequence[Draw],
        *,
        augmented: bool,
        device: torch.device | None,
    ) -> View | None:
        """The augmented view if stored and wanted, else the plain one; ``None`` if not stored."""
        keys = [ViewKey(branch, modality, augmented), ViewKey(branch, modality)]
        key = next((key for key in keys if key in self._kept), None)
        if key is None:
            return None
        rows = [draw.reference if branch == "reference" else draw.test for draw in draws]
        stored = [tap[rows] for tap in self._kept[key]]
        away = ViewKey("away", key.modality, key.augmented)
        if branch == "test" and away in self._kept:
            for row, draw in enumerate(draws):
                if draw.away:
                    for into, tap in zip(stored, self._kept[away], strict=True):
                        into[row] = tap[draw.reference]
        if self._are_features:
            return View(features=[as_features(tap, device)[None] for tap in stored])
        return View(patches=as_patches(stored[0])[None].to(device))

    def check(
        self, teacher: TwoBranchNetwork, recipe: CrossModalRecipe, *, device: torch.device | None
    ) -> Checks:
        """The teacher's self-check of every sample, stored in :attr:`checks`.

        A box found in TIR alone is checked on TIR if the recipe says so.
        """
        limits = recipe.teacher
        parts = []
        for begin in range(0, len(self), CHUNK):
            places = range(begin, min(begin + CHUNK, len(self)))
            batch = self.batch([Draw(Direction.TIR_TO_TIR, i, i) for i in places], device=device)
            seen = {
                modality: self_check(
                    teacher_response(teacher, batch, modality), batch.for_teacher.test.boxes_patch
                )
                for modality in sorted(_teacher_modalities(recipe))
            }
            for row, place in enumerate(places):
                sample = self.samples[place]
                on_tir = limits.tir_boxes_on_tir and sample.found_in is FoundIn.TIR
                check = seen[Modality.TIR if on_tir else limits.modality]
                least = limits.min_iou_by_way.get(sample.way, limits.min_iou)
                parts.append((*_row(check, row), bool(check.passed(limits, min_iou=least)[row])))
        distance, overlap, probability, passed = (
            np.array(part) for part in zip(*parts, strict=True)
        )
        self.checks = Checks(distance, overlap, probability, passed)
        return self.checks

    def _is_visible(self, place: int) -> bool:
        """Whether the centre of a sample's box lies in its test patch; if not, the sample is a
        negative. With the jitter of our recipes this holds for all boxes inside their frame.
        """
        x, y, w, h = self.boxes_patch["test"][place]
        side = self.samples[place].test.rule.patch_side
        return bool(0 <= x + w / 2 <= side and 0 <= y + h / 2 <= side)

    def centres_outside(self) -> int:
        """Number of samples with the centre of their box outside their test patch."""
        return sum(not self._is_visible(place) for place in range(len(self)))

    def stock(self, recipe: CrossModalRecipe) -> Stock:
        """The samples that steps may draw: all, or those that passed the teacher's check."""
        usable = np.ones(len(self), dtype=bool)
        if recipe.teacher.require and self.checks is not None:
            usable = self.checks.passed
        return stock_of(self.samples, usable, self.has_away, recipe)


def _row(check: SelfCheck, row: int) -> tuple[float, float, float]:
    return (
        float(check.distance_cells[row]),
        float(check.overlap[row]),
        float(check.probability[row]),
    )
