"""Pools of labelled samples, one after the other; features of a frozen backbone are cached.

If a recipe repeats the same ``pools`` and the backbone is frozen, the features of every patch are
computed once and cached on disk, in half precision if they are large, and read back a few rows at
a time. Otherwise a pool is kept until the next one is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tirtrack.cache import cache_folder
from tirtrack.distillation.crop_specs import CropRules
from tirtrack.distillation.frozen_backbone import FeatureEngine, for_keeping
from tirtrack.distillation.labelled import (
    Labelled,
    LabelledPool,
    LabelledSample,
    cut_labelled,
    draw_labelled,
)
from tirtrack.distillation.pool import CHUNK
from tirtrack.distillation.settings import SupervisedRecipe
from tirtrack.errors import StorageError
from tirtrack.files import atomic_path, fingerprint

KEPT_POOL_CACHES = 3
BRANCHES = ("reference", "test")
_SAMPLED_BY = (
    "augmentation", "jitter", "flip", "flip_together", "references", "tests", "sampling",
    "max_gap", "stills", "pool",
)  # fmt: skip


class PoolCache:
    """Pools by number.

    Args:
        labelled: labelled pictures and videos to draw samples from.
        recipe: recipe of the samples.
        rules: crop rules of the network.
        size: samples per pool.
        seed: seed of all random draws.
        engine: frozen backbone whose features are cached; ``None`` to keep patches.
        key: identity of all other inputs of the features, beside recipe and seed (data, backbone).
    """

    def __init__(
        self,
        labelled: Labelled,
        recipe: SupervisedRecipe,
        rules: CropRules,
        *,
        size: int,
        seed: int,
        engine: FeatureEngine | None = None,
        key: str = "",
    ) -> None:
        self._labelled = labelled
        self._recipe = recipe
        self._rules = rules
        self._size = size
        self._seed = seed
        self._engine = engine
        self._open: tuple[int, LabelledPool] | None = None
        sampled = {name: recipe.model_dump(mode="json")[name] for name in _SAMPLED_BY}
        name = fingerprint([1, key, sampled, size, seed, repr(rules)])
        self._folder = cache_folder("pools") / f"labelled-{name}"

    def pool(self, number: int) -> LabelledPool:
        """A pool by its number; after ``recipe.pools`` pools they repeat from the first."""
        if self._recipe.pools is not None:
            number %= self._recipe.pools
        if self._open is None or self._open[0] != number:
            self._open = None  # free it before the next one is made
            self._open = number, self._made(number)
        return self._open[1]

    def _made(self, number: int) -> LabelledPool:
        numbers = range(number * self._size, (number + 1) * self._size)
        samples = [
            draw_labelled(self._labelled, self._recipe, n, rules=self._rules, seed=self._seed)
            for n in numbers
        ]
        if self._engine is None:
            return cut_labelled(samples, self._recipe, seed=self._seed)
        stored = self._folder / f"{number:05d}"
        if not (stored / "boxes.npz").is_file():
            _keep_newest(self._folder)
            cut = cut_labelled(samples, self._recipe, seed=self._seed)
            _store(stored, cut, self._engine)
        return _load(stored, samples)


def seen_by(engine: FeatureEngine, patches: np.ndarray) -> list[np.ndarray]:
    """Features ``[n,N,C,H,W]``, one array per tap, of patches ``[n,N,D,D,3]``."""
    flat = patches.reshape(-1, *patches.shape[2:])
    chunks = [
        for_keeping(engine.features(flat[begin : begin + CHUNK]))
        for begin in range(0, len(flat), CHUNK)
    ]
    taps = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    return [tap.reshape(*patches.shape[:2], *tap.shape[1:]) for tap in taps]


def _store(folder: Path, pool: LabelledPool, engine: FeatureEngine) -> None:
    """Write features, then boxes: a folder with boxes is complete.

    Raises:
        StorageError: the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, patches in zip(BRANCHES, (pool.reference, pool.test), strict=True):
            for tap, features in enumerate(seen_by(engine, patches[0])):
                np.save(folder / f"{name}-{tap}.npy", features)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(
            f"features could not be kept ({error.strerror})",
            folder,
            "free some space, or set pools: null",
        ) from error
    with atomic_path(folder / "boxes.npz") as partial:
        np.savez(partial, reference=pool.reference_boxes, test=pool.test_boxes)


def _load(folder: Path, samples: Sequence[LabelledSample]) -> LabelledPool:
    with np.load(folder / "boxes.npz", allow_pickle=False) as boxes:
        reference_boxes, test_boxes = boxes["reference"], boxes["test"]
    branches = [
        [np.load(path, mmap_mode="r") for path in sorted(folder.glob(f"{name}-*.npy"))]
        for name in BRANCHES
    ]
    return LabelledPool(
        tuple(samples), branches[0], branches[1], reference_boxes, test_boxes, are_features=True
    )


def _keep_newest(folder: Path) -> None:
    """Make room: delete all but the newest of the other caches."""
    others = [other for other in folder.parent.glob("labelled-*") if other != folder]
    others.sort(key=lambda other: other.stat().st_mtime)
    for old in others[: -(KEPT_POOL_CACHES - 1)]:
        shutil.rmtree(old, ignore_errors=True)
