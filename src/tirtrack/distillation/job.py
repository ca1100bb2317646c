"""Inputs of the stages of a distillation: the pairs, and a recipe with all that it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.cross_modal import needs_teacher, step_loss
from tirtrack.distillation.diagnostics import Split, hold_back
from tirtrack.distillation.engine import backbone_norms, check_components
from tirtrack.distillation.foreign_teacher import check_can_teach
from tirtrack.distillation.frozen_backbone import backbone_hash
from tirtrack.distillation.pool_making import proposal_rule
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch
from tirtrack.distillation.recipe import check_network
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import RecipeError, RequestError
from tirtrack.files import fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.cameras import Pairing
from tirtrack.pairs.proposals.base import Proposer
from tirtrack.pairs.source import Manifest, PairSource, content_identity
from tirtrack.progress import Progress

Pairs = str | Path | Sequence[str | Path] | PairSource
"""A folder of pairs, several folders, or an opened source."""


@dataclass(frozen=True)
class Sources:
    """The pairs to train on, and the pairs that are held back.

    Attributes:
        train: source of the pairs to train on.
        held_back: source of the held-back pairs; may be the same source.
        split: indices of the pairs in both sources.
        manifest: manifest of ``train``; making it reads every file, so it is made once.
        held_back_manifest: manifest of ``held_back``.
        named: recordings that the user held back by name.
    """

    train: PairSource
    held_back: PairSource
    split: Split
    manifest: Manifest
    held_back_manifest: Manifest
    named: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        pairs: Pairs,
        held_back: Pairs | None,
        recipe: CrossModalRecipe,
        licence: str,
        *,
        pairing: Pairing = Pairing(),  # noqa: B008 - frozen
        named: Sequence[str] = (),
    ) -> Sources:
        """Open the pairs and split them.

        Args:
            pairs: pairs to train on.
            held_back: other pairs for the diagnostics; ``None``: a share of ``pairs``.
            recipe: recipe with that share.
            licence: licence of the pairs.
            pairing: names of the cameras in folders, and how frames are matched.
            named: recordings of ``pairs`` to hold back instead of a share.

        Raises:
            PairsError: a folder cannot be used, or no recording has one of the names.
            RequestError: pairs for the diagnostics were given in two ways.
        """
        if named and held_back is not None:
            raise RequestError(
                "pairs for the diagnostics were given twice, as folders and as recordings",
                "--held-back and --hold-back",
                "give one of them",
            )
        train = _opened(pairs, licence, pairing)
        if held_back is None:
            split = hold_back(train, recipe.held_back.share, named)
            manifest = train.manifest()
            return cls(train, train, split, manifest, manifest, tuple(named))
        other = _opened(held_back, licence, pairing)
        split = Split(tuple(range(len(train))), tuple(range(len(other))), f"given: {other.name}")
        return cls(train, other, split, train.manifest(), other.manifest())

    def identity(self) -> dict[str, str]:
        """Hashes of the pairs, whatever their path; of held-back pairs only if they were given."""
        held_back = "of the pairs"
        if self.named:
            held_back = f"of the pairs: {', '.join(sorted(set(self.named)))}"
        if self.held_back is not self.train:
            held_back = _hashed(self.held_back, self.held_back_manifest)
        return {"pairs": _hashed(self.train, self.manifest), "held-back pairs": held_back}


def _hashed(source: PairSource, manifest: Manifest) -> str:
    return fingerprint({**content_identity(source, manifest), "licence": manifest.licence})


def _opened(pairs: Pairs, licence: str, pairing: Pairing) -> PairSource:
    from tirtrack.pairs import open_pairs

    if isinstance(pairs, PairSource):
        return pairs
    return open_pairs(pairs, licence=licence, pairing=pairing)


@dataclass
class _Clock:
    """Seconds spent, by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)


class Job:
    """A recipe, ready to run: with proposer, normaliser and device."""

    def __init__(
        self, recipe: CrossModalRecipe, *, seed: int, device: torch.device, progress: Progress
    ) -> None:
        from tirtrack.pairs.proposals.registry import proposer
        from tirtrack.pairs.proposals.single_modality import SingleModality
        from tirtrack.thermal import normaliser

        self.recipe = recipe
        self.seed = seed
        self.device = device
        self.progress = progress
        self.clock = _Clock()
        self.warnings: list[str] = []
        self.teacher: TwoBranchNetwork | None = None  # None: the baseline is the teacher
        self._normaliser = normaliser(recipe.normaliser)
        self.way: Proposer = SingleModality(
            proposer(recipe.proposals.way, **recipe.proposals.options),
            recipe.proposals.modalities,
        )

    @property
    def trains_backbone(self) -> bool:
        """Whether the backbone is trained, so that its features cannot be cached."""
        recipe = self.recipe
        return "backbone" in recipe.training.components or "bn1_train" in recipe.as_published

    def levels(self, frame: np.ndarray) -> np.ndarray:
        """Grey levels of a stored TIR frame ``[H,W]``; each frame by itself, so in any order."""
        from tirtrack.thermal import ThermalNormaliser

        return ThermalNormaliser(self._normaliser)(frame)

    def check(self, network: TwoBranchNetwork) -> None:
        """Refuse terms and components that the network does not support, before any work.

        Raises:
            RecipeError: names the term or component, or a recipe for this kind of network.
        """
        check_network(self.recipe, network)
        check_components(network, self.recipe.training)
        if "bn1_train" in self.recipe.as_published and not backbone_norms(network):
            raise RecipeError(
                "bn1_train lets the first batch norm of the backbone learn, and this network has "
                "none there",
                "as_published",
                "leave it out",
            )
        _check_batch(network, self.recipe)
        teacher = self.teacher or network
        if not can_match(teacher, network):
            _check_foreigner(teacher, self.recipe)
            teacher = network
        blank = _blank_batch(network, proposal_rule(self.recipe, network))
        groups = [(direction, blank) for direction in self.recipe.directions]
        if self.recipe.terms:
            with torch.no_grad():
                step_loss(network, teacher, groups, self.recipe.terms)

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the summary."""
        self.warnings.append(sentence)


def can_match(teacher: TwoBranchNetwork, student: TwoBranchNetwork) -> bool:
    """Whether a teacher has the same crops, features and kinds of maps as the student."""
    same_kinds = (teacher.score_kind, teacher.box_kind) == (student.score_kind, student.box_kind)
    if not same_kinds or CropRules.of(teacher) != CropRules.of(student):
        return False
    return teacher is student or backbone_hash(teacher) == backbone_hash(student)


def _check_foreigner(teacher: TwoBranchNetwork, recipe: CrossModalRecipe) -> None:
    check_can_teach(teacher, str(recipe.teacher.weights))
    if matching := [term.name for term in recipe.terms if needs_teacher(term)]:
        raise RecipeError(
            f'term "{matching[0]}" matches the maps of the teacher, and {recipe.teacher.weights} '
            "has another backbone or other crops than the student",
            "terms",
            "let it check boxes alone (cross_supervision), or leave teacher.weights out",
        )


def _check_batch(network: TwoBranchNetwork, recipe: CrossModalRecipe) -> None:
    """Refuse batches that give a direction a single sample if batch norm takes its statistics from
    modulation vectors.
    """
    training, shares = recipe.training, recipe.directions.values()
    fewest = int(training.batch * min(shares) / sum(shares))
    learns = training.steps and training.batch_norm in ("adapt", "train")
    if learns and network.box_kind.rates_proposals and fewest < 2:
        raise RecipeError(
            f"of a batch of {training.batch} a direction gets {fewest}, and batch norm that is "
            "trained needs 2 samples",
            "training.batch",
            "give a larger batch, fewer directions, or batch_norm: frozen",
        )


def _blank_batch(network: TwoBranchNetwork, rule: DrawRule | None) -> Batch:
    """One black sample of the network's sizes, to find the kinds of its answers."""
    branches = []
    for side in (network.reference_side, network.test_side):
        view = View(patches=torch.zeros(1, 1, 3, side, side))
        box = torch.tensor([side / 4, side / 4, side / 2, side / 2]).expand(1, 1, 4)
        proposals = None
        if rule is not None:
            proposals = draw_for_batch(box.numpy(), [np.random.default_rng(0)], rule)
        branches.append(Branch(box, view, view, proposals))
    yes = torch.ones(1, dtype=torch.bool)
    return Batch(branches[0], branches[1], torch.ones(1), yes, yes, ("blank",))
