"""A fixed pool of samples, seen once by what is frozen and kept.

While the backbone is frozen its features of every patch are computed one time, by the fast engine,
and training runs the small heads alone. When the backbone is trained, the patches are kept instead.
Student and teacher have the same frozen backbone, so they share the features of plain crops.
"""

from __future__ import annotations

import copy
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tirtrack.cache import cache_folder
from tirtrack.distillation.batches import (
    Draw,
    Levels,
    Sample,
    Stock,
    ViewKey,
    cut_views,
    stock_of,
)
from tirtrack.distillation.cross_modal import SelfCheck, self_check, teacher_answer
from tirtrack.distillation.pair_batch import Branch, PairBatch, View
from tirtrack.distillation.settings import CrossModalRecipe, Direction, Modality
from tirtrack.errors import StorageError
from tirtrack.files import atomic_path, fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.source import PairSource
from tirtrack.progress import Progress, silent

CHUNK = 32
KEPT_POOLS = 4
_FORMAT = 1


class FeatureEngine(Protocol):
    """A frozen backbone as a function of plain arrays."""

    def features(self, patches: np.ndarray) -> np.ndarray:
        """Patches ``[B,D,D,3]`` RGB or ``[B,D,D]`` grey, uint8, to ``[B,C,H,W]`` float32."""


class TorchFeatures:
    """The backbone by torch: for networks without a graph, and to compare with."""

    def __init__(self, network: TwoBranchNetwork) -> None:
        self._network = network

    @torch.no_grad()
    def features(self, patches: np.ndarray) -> np.ndarray:
        """Patches ``[B,D,D,3]`` or ``[B,D,D]`` uint8 to ``[B,C,H,W]`` float32."""
        (features,) = self._network.features(as_patches(patches)[None])
        return np.asarray(features[0])


def as_patches(stored: np.ndarray) -> Tensor:
    """Stored patches ``[B,D,D,3]`` or grey ``[B,D,D]`` uint8 as ``[B,3,D,D]`` float32 in [0, 1]."""
    patches = torch.from_numpy(np.ascontiguousarray(stored)).float() / 255
    if patches.ndim == 3:
        return patches[:, None].expand(-1, 3, -1, -1)
    return patches.permute(0, 3, 1, 2)


def wanted_views(recipe: CrossModalRecipe, *, one_scene: bool) -> list[ViewKey]:
    """The patches that student and teacher look at under a recipe; no others are ever cut."""
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
    """What the teacher looks at: TIR too where boxes that were found in TIR are checked on it."""
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
    """Samples with what was kept of them.

    Attributes:
        samples: in the order of their numbers.
        checks: what the teacher said of them, by :meth:`check`; ``None`` before.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        kept: Mapping[ViewKey, np.ndarray],
        has_away: np.ndarray,
        *,
        are_features: bool,
    ) -> None:
        self.samples = tuple(samples)
        self.checks: Checks | None = None
        self._kept = kept
        self._are_features = are_features
        self.has_away = has_away
        self._boxes = {
            "reference": np.stack([sample.box_in(sample.reference) for sample in samples]),
            "test": np.stack([sample.box_in(sample.test) for sample in samples]),
        }

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, draws: Sequence[Draw], *, device: torch.device | None = None) -> PairBatch:
        """The samples of a step, one direction or several, as the method takes them."""
        plain = self._batch(draws, device=device, augmented=False, plain=None)
        if any(key.augmented for key in self._kept):
            return self._batch(draws, device=device, augmented=True, plain=plain)
        return plain

    def _batch(
        self,
        draws: Sequence[Draw],
        *,
        device: torch.device | None,
        augmented: bool,
        plain: PairBatch | None,
    ) -> PairBatch:
        references = [draw.reference for draw in draws]
        accepted = np.ones(len(self)) if self.checks is None else self.checks.passed
        quality = np.array([self.samples[place].quality for place in references])
        tests = [draw.test for draw in draws]
        branches = [
            Branch(
                boxes_patch=torch.from_numpy(self._boxes[name][places][None]).to(device),
                rgb=self._view(name, Modality.RGB, draws, augmented=augmented, device=device),
                tir=self._view(name, Modality.TIR, draws, augmented=augmented, device=device),
            )
            for name, places in (("reference", references), ("test", tests))
        ]
        return PairBatch(
            reference=branches[0],
            test=branches[1],
            quality=torch.from_numpy(quality).float().to(device),
            present=torch.tensor([draw.is_positive for draw in draws], device=device),
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
        """Augmented where it was augmented and asked for, else as it is; ``None``: not kept."""
        keys = [ViewKey(branch, modality, augmented), ViewKey(branch, modality)]
        key = next((key for key in keys if key in self._kept), None)
        if key is None:
            return None
        rows = [draw.reference if branch == "reference" else draw.test for draw in draws]
        stored = self._kept[key][rows]
        away = ViewKey("away", key.modality, key.augmented)
        if branch == "test" and away in self._kept:
            for row, draw in enumerate(draws):
                if draw.away:
                    stored[row] = self._kept[away][draw.reference]
        if self._are_features:
            return View(features=[torch.from_numpy(stored)[None].to(device)])
        return View(patches=as_patches(stored)[None].to(device))

    def check(
        self, teacher: TwoBranchNetwork, recipe: CrossModalRecipe, *, device: torch.device | None
    ) -> Checks:
        """The teacher's self-check of every sample, kept in :attr:`checks`.

        A box found in TIR alone is checked on TIR where the recipe says so.
        """
        limits = recipe.teacher
        parts = []
        for begin in range(0, len(self), CHUNK):
            places = range(begin, min(begin + CHUNK, len(self)))
            batch = self.batch([Draw(Direction.TIR_TO_TIR, i, i) for i in places], device=device)
            seen = {
                modality: self_check(teacher_answer(teacher, batch, modality), batch)
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

    def stock(self, recipe: CrossModalRecipe) -> Stock:
        """What steps may draw from: all samples, or those that the teacher passed."""
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


# --- making a pool -------------------------------------------------------------------------------


def build_pool(
    source: PairSource,
    samples: Sequence[Sample],
    recipe: CrossModalRecipe,
    *,
    levels: Levels,
    seed: int,
    engine: FeatureEngine | None,
    cache_key: str | None = None,
    stage: str = "features",
    progress: Progress = silent,
) -> Pool:
    """Cut, and see by the frozen backbone, every patch that the recipe needs.

    Args:
        source: the pairs.
        samples: from :func:`~tirtrack.distillation.batches.draw_samples`.
        recipe: which views.
        levels: TIR as stored to grey levels.
        seed: of augmentation.
        engine: the frozen backbone; ``None`` keeps the patches (it is trained).
        cache_key: names everything else that the features depend on (pixels, backbone); with it
            features are read from the cache, or left there.
        stage: under which name progress is told of the samples.
        progress: told of the samples.
    """
    one_scene = len({sample.scene for sample in samples}) == 1
    keys = wanted_views(recipe, one_scene=one_scene)
    stored = None if cache_key is None else _cache_file(cache_key, samples, keys, recipe, seed)
    if stored is not None and (pool := _load(stored, samples, keys)) is not None:
        progress(stage, len(samples), len(samples), "from the cache")
        return pool
    kept: dict[ViewKey, np.ndarray] = {}
    has_away = np.zeros(len(samples), dtype=bool)
    waiting: dict[ViewKey, list[tuple[int, np.ndarray]]] = {key: [] for key in keys}
    cut = cut_views(source, samples, keys, recipe, levels=levels, seed=seed)
    for done, (place, patches) in enumerate(cut, start=1):
        has_away[place] = any(key.branch == "away" for key in patches)
        for key, patch in patches.items():
            waiting[key].append((place, patch))
            if len(waiting[key]) == CHUNK:
                _keep(kept, key, waiting[key], len(samples), engine)
                waiting[key] = []
        progress(stage, done, len(samples))
    for key, rest in waiting.items():
        _keep(kept, key, rest, len(samples), engine)
    pool = Pool(samples, kept, has_away, are_features=engine is not None)
    if stored is not None and engine is not None:
        _store(stored, kept, has_away)
    return pool


def _keep(
    kept: dict[ViewKey, np.ndarray],
    key: ViewKey,
    patches: Sequence[tuple[int, np.ndarray]],
    count: int,
    engine: FeatureEngine | None,
) -> None:
    """Put features (or the patches themselves) of some samples into their rows."""
    if not patches:
        return
    rows = [place for place, _ in patches]
    stack = np.stack([patch for _, patch in patches])
    if engine is not None:
        stack = engine.features(stack)
    if key not in kept:
        kept[key] = np.zeros((count, *stack.shape[1:]), dtype=stack.dtype)
    kept[key][rows] = stack


def _cache_file(
    cache_key: str,
    samples: Sequence[Sample],
    keys: Sequence[ViewKey],
    recipe: CrossModalRecipe,
    seed: int,
) -> Path:
    content = [
        _FORMAT,
        cache_key,
        [repr(sample) for sample in samples],
        [repr(key) for key in keys],
        recipe.augmentation.model_dump(),
        recipe.normaliser,
        seed,
    ]
    return cache_folder("pools") / f"{fingerprint(content)}.npz"


def _name(key: ViewKey) -> str:
    return f"{key.branch}-{key.modality}-{'augmented' if key.augmented else 'plain'}"


def _store(path: Path, kept: Mapping[ViewKey, np.ndarray], has_away: np.ndarray) -> None:
    """Leave features in the cache, and only the newest few files; a full disk does no harm."""
    content = {_name(key): value for key, value in kept.items()}
    try:
        with atomic_path(path) as partial:
            np.savez(partial, has_away=has_away, **content)  # type: ignore[arg-type]
    except StorageError:
        return  # a cache: the run goes on without it
    files = sorted(_pools(path.parent), key=lambda file: file.stat().st_mtime)
    for old in files[:-KEPT_POOLS]:
        old.unlink(missing_ok=True)


def _pools(folder: Path) -> list[Path]:
    """Whole files alone: a name that begins with a dot is being written by another process."""
    return [file for file in folder.glob("*.npz") if not file.name.startswith(".")]


def _load(path: Path, samples: Sequence[Sample], keys: Sequence[ViewKey]) -> Pool | None:
    """A pool from the cache; ``None`` where there is none, or it is damaged (it is made anew)."""
    if not path.is_file():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            kept = {key: stored[_name(key)] for key in keys if _name(key) in stored}
            has_away = stored["has_away"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None
    missing = [key for key in keys if key not in kept and key.branch != "away"]
    if missing or len(has_away) != len(samples):
        return None
    return Pool(samples, kept, has_away, are_features=True)


def frozen_copy(network: Any) -> Any:
    """A copy in eval mode without gradients: the teacher."""
    teacher = copy.deepcopy(network).eval()
    return teacher.requires_grad_(requires_grad=False)
