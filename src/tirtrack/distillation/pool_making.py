"""From drawn samples to a pool: patches are cut and features computed once, or read from a cache.

Read :func:`build_pool` first. The pool itself is in ``pool``; nothing here draws samples.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.cache import cache_folder
from tirtrack.distillation.batches import Cut, Levels, Sample, ViewKey, cut_views
from tirtrack.distillation.frozen_backbone import FeatureEngine, for_keeping
from tirtrack.distillation.pool import CHUNK, Pool, wanted_views
from tirtrack.distillation.proposal_draws import DrawRule, draw_rule
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.errors import StorageError
from tirtrack.files import atomic_path, fingerprint
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.source import PairSource
from tirtrack.progress import Progress, silent

KEPT_POOLS = 4
_FORMAT = 2


def proposal_rule(recipe: CrossModalRecipe, network: TwoBranchNetwork) -> DrawRule | None:
    """The rule that draws proposals for a network; ``None`` if it rates none."""
    return draw_rule(recipe.estimator, network.box_kind)


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
    """Cut every patch that the recipe needs, and compute its features with the frozen backbone.

    Args:
        source: pairs to cut from.
        samples: samples from :func:`~tirtrack.distillation.batches.draw_samples`.
        recipe: recipe that decides which views are needed.
        levels: function from stored TIR frames to grey levels.
        seed: seed of the augmentation.
        engine: frozen backbone; ``None`` if it is trained, then patches are stored.
        proposals: rule that draws a box estimator's proposals; ``None`` if it has none.
        cache_key: identity of all other inputs of the features (pixels, backbone); if given,
            features are read from the cache or written to it.
        stage: name of the stage in progress reports.
        progress: callback that is told of every sample.
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
    """Boxes of both branches; with ``shared_box`` (published) both get that of the test patch."""
    if "shared_box" in recipe.as_published:
        return {**boxes_patch, "reference": boxes_patch["test"]}
    return boxes_patch


@dataclass(frozen=True)
class _Content:
    """The content of a pool, apart from its samples."""

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
    """The content from cut patches; features are computed one chunk of a view at a time."""
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
    """Store features (or the patches themselves) of some samples in their rows."""
    if not patches:
        return
    rows = [place for place, _ in patches]
    stack = np.stack([patch for _, patch in patches])
    taps = [stack] if engine is None else for_keeping(engine.features(stack))
    if key not in kept:
        kept[key] = [np.zeros((count, *tap.shape[1:]), dtype=tap.dtype) for tap in taps]
    for into, tap in zip(kept[key], taps, strict=True):
        into[rows] = tap


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
    """Write features to the cache, which keeps only the newest files; a full disk does no harm."""
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
        return  # only a cache: the run continues without it
    files = sorted(_pools(path.parent), key=lambda file: file.stat().st_mtime)
    for old in files[:-KEPT_POOLS]:
        old.unlink(missing_ok=True)


def _pools(folder: Path) -> list[Path]:
    """Complete files only: one with a leading dot is still being written by another process."""
    return [file for file in folder.glob("*.npz") if not file.name.startswith(".")]


def _load(path: Path, count: int, keys: Sequence[ViewKey]) -> _Content | None:
    """Content from the cache; ``None`` if there is none or it is damaged (then it is made anew)."""
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
