"""A fixed pool of samples, seen once by what is frozen and kept.

While the backbone is frozen its features of every patch are computed one time, by the fast engine,
and training runs the small heads alone. When the backbone is trained, the patches are kept instead.
Student and teacher have the same frozen backbone, so they share the features of plain crops.
"""

from __future__ import annotations

import copy
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from tirtrack.cache import cache_folder
from tirtrack.distillation.answers import teacher_answer
from tirtrack.distillation.batches import (
    Cut,
    Draw,
    Levels,
    Sample,
    Stock,
    Stream,
    ViewKey,
    cut_views,
    stock_of,
)
from tirtrack.distillation.pair_batch import Branch, DrawnProposals, PairBatch, View
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch, draw_rule
from tirtrack.distillation.self_check import SelfCheck, self_check
from tirtrack.distillation.settings import CrossModalRecipe, Direction, Modality
from tirtrack.errors import StorageError
from tirtrack.files import atomic_path, fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.source import PairSource
from tirtrack.progress import Progress, silent

if TYPE_CHECKING:
    from tirtrack.weights.graphs import OnnxBackbone

CHUNK = 32
KEPT_POOLS = 4
_FORMAT = 2
HALVED_ABOVE = 128 * 1024  # bytes of a patch's features in float32; more are kept in float16

Kept = Mapping[ViewKey, Sequence[np.ndarray]]
"""Per view the features of all samples, one array ``[n,C,H,W]`` a tap of the backbone; or, alone,
their patches.
"""


class FeatureEngine(Protocol):
    """A frozen backbone as a function of plain arrays."""

    def features(self, patches: np.ndarray) -> list[np.ndarray]:
        """Patches ``[B,D,D,3]`` RGB or ``[B,D,D]`` grey, uint8, to float32 ``[B,C,H,W]``, one array
        a tap.
        """


class TorchFeatures:
    """The backbone by torch: for networks without a graph, and to compare with."""

    def __init__(self, network: TwoBranchNetwork, device: torch.device | None = None) -> None:
        self._network = network.to(device) if device is not None else network
        self._device = device

    @torch.no_grad()
    def features(self, patches: np.ndarray) -> list[np.ndarray]:
        """Patches ``[B,D,D,3]`` or ``[B,D,D]`` uint8 to float32 ``[B,C,H,W]``, one array a tap."""
        taps = self._network.features(as_patches(patches)[None].to(self._device))
        return [np.asarray(tap[0].cpu()) for tap in taps]


class OneTap:
    """An engine that gives one array, for a backbone with one tap."""

    def __init__(self, engine: OnnxBackbone) -> None:
        self._engine = engine

    def features(self, patches: np.ndarray) -> list[np.ndarray]:
        """Patches as for any engine, to one ``[B,C,H,W]``."""
        return [self._engine.features(patches)]


def as_patches(stored: np.ndarray) -> Tensor:
    """Stored patches ``[B,D,D,3]`` or grey ``[B,D,D]`` uint8 as ``[B,3,D,D]`` float32 in [0, 1]."""
    patches = torch.from_numpy(np.ascontiguousarray(stored)).float() / 255
    if patches.ndim == 3:
        return patches[:, None].expand(-1, 3, -1, -1)
    return patches.permute(0, 3, 1, 2)


def as_features(stored: np.ndarray, device: torch.device | None) -> Tensor:
    """Stored features of either precision as a float32 tensor on a device."""
    return torch.from_numpy(stored).to(device).float()


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
        has_away: ``[n]`` bool; whether there is a patch of the frame beside the box.
        boxes_patch: ``[n,4]`` float32 xywh in the ``reference`` and the ``test`` patch.
        proposals: how a box estimator's proposals are drawn; ``None`` where there is none.
        checks: what the teacher said of them, by :meth:`check`; ``None`` before.
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
    ) -> PairBatch:
        """The samples of a step, one direction or several, as the method takes them.

        Args:
            draws: which samples, and how.
            device: of the tensors.
            visit: proposals are drawn anew for every visit of a sample.
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
        plain: PairBatch | None,
    ) -> PairBatch:
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
        return PairBatch(
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
        """Augmented where it was augmented and asked for, else as it is; ``None``: not kept."""
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

    def _is_visible(self, place: int) -> bool:
        """Whether the centre of a sample's box lies in its test patch; else the sample is a
        negative one. With the jitter of our recipes all boxes inside their frame do.
        """
        x, y, w, h = self.boxes_patch["test"][place]
        side = self.samples[place].test.rule.patch_side
        return bool(0 <= x + w / 2 <= side and 0 <= y + h / 2 <= side)

    def centres_outside(self) -> int:
        """How many samples have the centre of their box outside their test patch."""
        return sum(not self._is_visible(place) for place in range(len(self)))

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
    proposals: DrawRule | None = None,
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
        proposals: how a box estimator's proposals are drawn; ``None`` where there is none.
        cache_key: names everything else that the features depend on (pixels, backbone); with it
            features are read from the cache, or left there.
        stage: under which name progress is told of the samples.
        progress: told of the samples.
    """
    one_scene = len({sample.scene for sample in samples}) == 1
    keys = wanted_views(recipe, one_scene=one_scene)
    stored = None if cache_key is None else _cache_file(cache_key, samples, keys, recipe, seed)
    content = None if stored is None else _load(stored, len(samples), keys)
    if content is not None:
        progress(stage, len(samples), len(samples), "from the cache")
    else:
        content = _made(
            cut_views(source, samples, keys, recipe, levels=levels, seed=seed),
            keys,
            len(samples),
            engine=engine,
            told=lambda done: progress(stage, done, len(samples)),
        )
        if stored is not None and engine is not None:
            _store(stored, content)
    return Pool(
        samples,
        content.kept,
        content.has_away,
        boxes_patch=_for_recipe(content.boxes_patch, recipe),
        are_features=engine is not None,
        proposals=proposals,
        seed=seed,
    )


def _for_recipe(
    boxes_patch: Mapping[str, np.ndarray], recipe: CrossModalRecipe
) -> Mapping[str, np.ndarray]:
    """Both branches' boxes; as published, the reference branch is given that of the test patch."""
    if "shared_box" in recipe.as_published:
        return {**boxes_patch, "reference": boxes_patch["test"]}
    return boxes_patch


@dataclass(frozen=True)
class _Content:
    """What a pool is made of, apart from its samples."""

    kept: dict[ViewKey, list[np.ndarray]]
    has_away: np.ndarray
    boxes_patch: dict[str, np.ndarray]


def _made(
    cut: Iterable[Cut],
    keys: Sequence[ViewKey],
    count: int,
    *,
    engine: FeatureEngine | None,
    told: Callable[[int], None],
) -> _Content:
    """See every patch, a chunk of each view at a time."""
    kept: dict[ViewKey, list[np.ndarray]] = {}
    has_away = np.zeros(count, dtype=bool)
    boxes = {name: np.zeros((count, 4), dtype=np.float32) for name in ("reference", "test")}
    waiting: dict[ViewKey, list[tuple[int, np.ndarray]]] = {key: [] for key in keys}
    for done, sample in enumerate(cut, start=1):
        has_away[sample.place] = any(key.branch == "away" for key in sample.patches)
        for name, box in sample.boxes_patch.items():
            boxes[name][sample.place] = box
        for key, patch in sample.patches.items():
            waiting[key].append((sample.place, patch))
            if len(waiting[key]) == CHUNK:
                _keep(kept, key, waiting[key], count, engine)
                waiting[key] = []
        told(done)
    for key, rest in waiting.items():
        _keep(kept, key, rest, count, engine)
    return _Content(kept, has_away, boxes)


def _keep(
    kept: dict[ViewKey, list[np.ndarray]],
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
    taps = [stack] if engine is None else for_keeping(engine.features(stack))
    if key not in kept:
        kept[key] = [np.zeros((count, *tap.shape[1:]), dtype=tap.dtype) for tap in taps]
    for into, tap in zip(kept[key], taps, strict=True):
        into[rows] = tap


def for_keeping(taps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Features ``[B,C,H,W]`` float32 in the precision that they are kept in: half of it where they
    are large. What would overflow is cut.
    """
    if sum(tap[0].nbytes for tap in taps) <= HALVED_ABOVE:
        return list(taps)
    largest = np.finfo(np.float16).max
    return [tap.clip(-largest, largest).astype(np.float16) for tap in taps]


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
        "canvas" in recipe.as_published,
        seed,
    ]
    return cache_folder("pools") / f"{fingerprint(content)}.npz"


def _name(key: ViewKey) -> str:
    return f"{key.branch}-{key.modality}-{'augmented' if key.augmented else 'plain'}"


def _store(path: Path, content: _Content) -> None:
    """Leave features in the cache, and only the newest few files; a full disk does no harm."""
    arrays = {
        f"{_name(key)}-{tap}": array
        for key, taps in content.kept.items()
        for tap, array in enumerate(taps)
    }
    arrays |= {f"boxes-{name}": boxes for name, boxes in content.boxes_patch.items()}
    try:
        with atomic_path(path) as partial:
            np.savez(partial, has_away=content.has_away, **arrays)  # type: ignore[arg-type]
    except StorageError:
        return  # a cache: the run goes on without it
    files = sorted(_pools(path.parent), key=lambda file: file.stat().st_mtime)
    for old in files[:-KEPT_POOLS]:
        old.unlink(missing_ok=True)


def _pools(folder: Path) -> list[Path]:
    """Whole files alone: a name that begins with a dot is being written by another process."""
    return [file for file in folder.glob("*.npz") if not file.name.startswith(".")]


def _load(path: Path, count: int, keys: Sequence[ViewKey]) -> _Content | None:
    """What is in the cache; ``None`` where there is nothing, or it is damaged (it is made anew)."""
    if not path.is_file():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            kept = {key: taps for key in keys if (taps := _taps(stored, key))}
            has_away = stored["has_away"]
            boxes = {name: stored[f"boxes-{name}"] for name in ("reference", "test")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)
        return None
    missing = [key for key in keys if key not in kept and key.branch != "away"]
    if missing or len(has_away) != count:
        return None
    return _Content(kept, has_away, boxes)


def _taps(stored: Any, key: ViewKey) -> list[np.ndarray]:
    names: list[str] = []
    while f"{_name(key)}-{len(names)}" in stored:
        names.append(f"{_name(key)}-{len(names)}")
    return [stored[name] for name in names]


def frozen_copy(network: TwoBranchNetwork) -> TwoBranchNetwork:
    """A copy in eval mode without gradients: the teacher."""
    return copy.deepcopy(network).eval().requires_grad_(requires_grad=False)


def proposal_rule(recipe: CrossModalRecipe, network: TwoBranchNetwork) -> DrawRule | None:
    """How proposals are drawn for a network; ``None`` where it rates none."""
    kind = network.energy_kind
    return None if kind is None else draw_rule(recipe.estimator, kind)


def backbone_hash(network: TwoBranchNetwork) -> str:
    """SHA-256 of the backbone's weights and statistics."""
    digest = hashlib.sha256()
    for module in network.modules_of("backbone"):
        for name, value in sorted(module.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
