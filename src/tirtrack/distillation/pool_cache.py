"""The arrays of pools on disk: features that a frozen backbone computed once.

A pool is a folder of ``.npy`` files, read a few rows at a time; ``boxes.npz`` is written last, so a
folder that has it is complete.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tirtrack.cache import cache_folder
from tirtrack.distillation.pool import PoolArrays, ViewKey
from tirtrack.distillation.samples import Sample
from tirtrack.distillation.settings import Recipe, SupervisedRecipe
from tirtrack.errors import StorageError
from tirtrack.files import atomic_path, fingerprint

KEPT_POOLS = 4
_FORMAT = 3
_BOXES = "boxes.npz"


def pool_folder(
    cache_key: str, samples: Sequence[Sample], keys: Sequence[ViewKey], recipe: Recipe, seed: int
) -> Path:
    """The folder of a pool, named by all that its features depend on.

    Args:
        cache_key: identity of the pixels, of the way to grey levels, and of the backbone.
        samples: samples of the pool.
        keys: views that are cut.
        recipe: recipe with the augmentation.
        seed: seed of the augmentation.
    """
    content = [
        _FORMAT,
        cache_key,
        [repr(sample) for sample in samples],
        [repr(key) for key in keys],
        recipe.augmentation.model_dump(),
        "canvas" in recipe.as_published,
        seed,
    ]
    return cache_folder("pools") / fingerprint(content)


def store_arrays(folder: Path, arrays: PoolArrays, recipe: Recipe) -> None:
    """Write a pool, and delete all but the newest ones.

    Where a training repeats several pools, all of them are kept. A single pool that finds no room
    stays in memory.

    Raises:
        StorageError: one of several pools finds no room.
    """
    repeated = recipe.pools if isinstance(recipe, SupervisedRecipe) else None
    try:
        for key, taps in arrays.kept.items():
            for tap, array in enumerate(taps):
                with atomic_path(folder / f"{_name(key)}-{tap}.npy") as partial:
                    np.save(partial, array)
        with atomic_path(folder / _BOXES) as partial:
            np.savez(partial, has_away=arrays.has_away, **arrays.boxes_patch)  # type: ignore[arg-type]
    except StorageError as error:
        shutil.rmtree(folder, ignore_errors=True)
        if repeated is not None:
            raise StorageError(
                "features could not be kept", folder, "free some space, or set pools: null"
            ) from error
        return
    _keep_newest(folder.parent, max(KEPT_POOLS, repeated or 0))


def load_arrays(folder: Path, count: int, keys: Sequence[ViewKey]) -> PoolArrays | None:
    """The arrays of a pool of ``count`` samples; ``None`` if they are not there or are damaged."""
    if not (folder / _BOXES).is_file():
        return None
    try:
        with (folder / _BOXES).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            has_away = stored["has_away"]
            boxes = {name: stored[name] for name in ("reference", "test")}
        kept = {key: taps for key in keys if (taps := _taps(folder, key))}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    missing = [key for key in keys if key not in kept and key.branch != "away"]
    if missing or len(has_away) != count:
        return None
    return PoolArrays(kept, boxes, has_away)


def _name(key: ViewKey) -> str:
    return f"{key.branch}-{key.modality}-{'augmented' if key.augmented else 'plain'}"


def _taps(folder: Path, key: ViewKey) -> list[np.ndarray]:
    paths = sorted(folder.glob(f"{_name(key)}-[0-9].npy"))
    return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]


def _keep_newest(folder: Path, count: int) -> None:
    pools = [one for one in folder.iterdir() if one.is_dir()]
    for old in sorted(pools, key=lambda one: one.stat().st_mtime)[:-count]:
        shutil.rmtree(old, ignore_errors=True)
