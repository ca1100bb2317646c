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
from torch import Tensor

from tirtrack.distillation.augmentation import photometric_of
from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.cross_modal import self_check, teacher_response
from tirtrack.distillation.frozen_backbone import as_features, as_patches
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch
from tirtrack.distillation.samples import OF_PAIRS, Sample, Streams
from tirtrack.distillation.settings import (
    CrossModalRecipe,
    Direction,
    Modality,
    Recipe,
    SupervisedRecipe,
)
from tirtrack.networks.response import DrawnProposals
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import FoundIn

CHUNK = 32


@dataclass(frozen=True, order=True)
class ViewKey:
    """Key of a patch of a sample: ``reference``, ``test`` or ``away``, the modality, and whether it
    is augmented.
    """

    branch: str
    modality: Modality
    augmented: bool = False


def wanted_views(recipe: Recipe, *, one_scene: bool) -> list[ViewKey]:
    """The views that student and teacher need under a recipe; no others are cut."""

    def student(branch: str, modality: Modality) -> ViewKey:
        is_plain = photometric_of(recipe, modality).is_identity
        return ViewKey(branch, modality, augmented=not is_plain)

    if isinstance(recipe, SupervisedRecipe):
        return [student(branch, Modality.RGB) for branch in ("reference", "test")]
    keys = set()
    for direction in recipe.directions:
        keys.add(student("reference", direction.reference))
        keys.add(student("test", direction.test))
        if one_scene and recipe.negatives:
            keys.add(student("away", direction.test))
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


@dataclass(frozen=True)
class PoolArrays:
    """What was cut for n samples, or what a frozen backbone saw of it.

    Attributes:
        kept: by view, one array ``[n,N,C,H,W]`` per tap of the backbone for N images of a sample,
            or one array ``[n,N,D,D(,3)]`` of patches.
        boxes_patch: ``[n,N,4]`` float32 xywh in the ``reference`` and the ``test`` patches.
        has_away: ``[n]`` bool; whether the frame has room for a patch beside the box.
    """

    kept: Mapping[ViewKey, Sequence[np.ndarray]]
    boxes_patch: Mapping[str, np.ndarray]
    has_away: np.ndarray


@dataclass(frozen=True)
class Draw:
    """One training example of a step.

    Attributes:
        direction: direction, with the modality that each branch of the student sees.
        reference: row of the sample whose reference patch is used.
        test: row of the sample whose test patch is used; another scene in a negative pair.
        away: whether the test patch is cut beside the box in the same frame.
    """

    direction: Direction
    reference: int
    test: int
    away: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether the test patch shows the target of the reference patch."""
        return self.reference == self.test and not self.away


class Pool:
    """Samples with their stored patches or features.

    Attributes:
        samples: samples, one a row.
        found_in: ``[n]`` modalities in which their boxes were found.
        has_away: as in :class:`PoolArrays`.
        boxes_patch: as in :class:`PoolArrays`.
        proposals: rule that draws a box estimator's proposals; ``None`` if it has none.
        passed: ``[n]`` bool; whether the teacher found the box; all before :meth:`check`.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        arrays: PoolArrays,
        *,
        are_features: bool,
        proposals: DrawRule | None = None,
        streams: Streams = OF_PAIRS,
        seed: int = 0,
    ) -> None:
        self.samples = tuple(samples)
        self.found_in = np.array([sample.found_in for sample in samples])
        self.passed = np.ones(len(samples), dtype=bool)
        self._kept = arrays.kept
        self._are_features = are_features
        self.has_away = arrays.has_away
        self.boxes_patch = arrays.boxes_patch
        self.proposals = proposals
        self._streams = streams
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
            boxes = self.boxes_patch["test"][[draw.test for draw in draws]].swapaxes(0, 1)
            generators = [
                np.random.default_rng(self._streams.proposals(self._seed, visit, number))
                for number in tests
            ]
            proposals = draw_for_batch(boxes, generators, self.proposals).to(device)
        plain = None
        if not all(key.augmented for key in self._kept):
            plain = self._batch(draws, proposals, device=device, augmented=False, plain=None)
            if not any(key.augmented for key in self._kept):
                return plain
        return self._batch(draws, proposals, device=device, augmented=True, plain=plain)

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
        quality = np.array([self.samples[place].quality for place in references])
        tests = [draw.test for draw in draws]
        branches = [
            Branch(
                boxes_patch=torch.from_numpy(
                    np.ascontiguousarray(self.boxes_patch[name][places].swapaxes(0, 1))
                ).to(device),
                rgb=self._view(name, Modality.RGB, draws, augmented=augmented, device=device),
                tir=self._view(name, Modality.TIR, draws, augmented=augmented, device=device),
                proposals=proposals if name == "test" else None,
                others_patch=self._others(draws, device) if name == "test" else None,
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
            accepted=torch.from_numpy(self.passed[references]).to(device),
            keys=tuple(self._key(draw) for draw in draws),
            plain=plain,
        )

    def _others(self, draws: Sequence[Draw], device: torch.device | None) -> Tensor | None:
        """``[S,K,4]`` boxes of other targets in the first test patch, NaN where there are none: so
        in samples without their target too.
        """
        most = max(len(self.samples[draw.test].others) for draw in draws)
        if not most:
            return None
        boxes = np.full((len(draws), most, 4), np.nan, dtype=np.float32)
        for row, draw in enumerate(draws):
            if draw.is_positive:
                own = self.boxes_patch["test"][draw.test, 0]
                others = self.samples[draw.test].others_patch(own)
                boxes[row, : len(others)] = others
        return torch.from_numpy(boxes).to(device)

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
        """The view ``[N,S,...]``, augmented if stored and wanted, else plain; ``None`` without."""
        keys = [ViewKey(branch, modality, augmented), ViewKey(branch, modality)]
        key = next((key for key in keys if key in self._kept), None)
        if key is None:
            return None
        rows = [draw.reference if branch == "reference" else draw.test for draw in draws]
        stored = [np.asarray(tap[rows]) for tap in self._kept[key]]
        away = ViewKey("away", key.modality, key.augmented)
        if branch == "test" and away in self._kept:
            for row, draw in enumerate(draws):
                if draw.away:
                    for into, tap in zip(stored, self._kept[away], strict=True):
                        into[row] = tap[draw.reference]
        if self._are_features:
            return View(features=[as_features(tap, device).transpose(0, 1) for tap in stored])
        (patches,) = stored
        flat = as_patches(patches.reshape(-1, *patches.shape[2:]))  # [S*N,3,D,D]
        apart = flat.view(*patches.shape[:2], *flat.shape[1:])
        return View(patches=apart.transpose(0, 1).to(device))

    def check(
        self, teacher: TwoBranchNetwork, recipe: CrossModalRecipe, *, device: torch.device | None
    ) -> None:
        """Let the teacher check every sample, and store which ones :attr:`passed`.

        A box found in TIR alone is checked on TIR if the recipe says so.
        """
        limits = recipe.teacher
        passed = []
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
                passed.append(bool(check.passed(limits, min_iou=least)[row]))
        self.passed = np.array(passed)

    def _is_visible(self, place: int) -> bool:
        """Whether the centre of a sample's box lies in one of its test patches; if not, the sample
        is a negative. With the jitter of our recipes this holds for all boxes inside their frame.
        """
        boxes = self.boxes_patch["test"][place]  # [M,4]
        centres = boxes[:, :2] + boxes[:, 2:] / 2
        side = self.samples[place].tests[0].spec.rule.patch_side
        return bool(((centres >= 0) & (centres <= side)).all(axis=1).any())

    def centres_outside(self) -> int:
        """Number of samples with the centre of their box outside their test patch."""
        return sum(not self._is_visible(place) for place in range(len(self)))

    def usable(self, recipe: Recipe) -> np.ndarray:
        """``[n]`` bool: whether a step may draw the sample: the teacher found it, if it must."""
        return self.passed if recipe.teacher.require else np.ones(len(self), dtype=bool)
