"""From drawn samples to a pool: patches are cut and features computed once, or read from a cache.

Read :func:`build_pool` first. The pool itself is in ``pool``; nothing here draws samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tirtrack.crops import (
    Crop,
    CropRule,
    Frame,
    MappedFrame,
    boxes_to_patch,
    cut_patch,
    frame_hw,
)
from tirtrack.distillation.augmentation import apply_jitter, draw_jitter, photometric_of
from tirtrack.distillation.clips import Footage, read_frames
from tirtrack.distillation.crop_specs import fill_of
from tirtrack.distillation.frozen_backbone import FeatureEngine, for_keeping
from tirtrack.distillation.pool import CHUNK, Pool, PoolArrays, ViewKey, wanted_views
from tirtrack.distillation.pool_cache import load_arrays, pool_folder, store_arrays
from tirtrack.distillation.proposal_draws import DrawRule
from tirtrack.distillation.samples import Sample, Shot, Stream, away_crop, streams_of
from tirtrack.distillation.settings import Modality, Recipe, SupervisedRecipe
from tirtrack.progress import Progress, silent
from tirtrack.thermal import ThermalNormaliser, normaliser

Levels = Callable[[Frame], Frame]
"""Maps a stored TIR frame to grey levels 0..255 ``[H,W]``; a mapped frame stays one."""


def as_stored(frame: Frame) -> Frame:
    """Grey levels of frames that have no others, where no TIR is cut."""
    return frame


def levels_of(recipe: Recipe) -> Levels:
    """Grey levels of stored TIR frames ``[H,W]``; each frame by itself, so in any order. Labelled
    clips have grey levels already.
    """
    if isinstance(recipe, SupervisedRecipe):
        return as_stored
    chosen = normaliser(recipe.normaliser)

    def levels(frame: Frame) -> Frame:
        if isinstance(frame, MappedFrame):
            return replace(frame, pixels=ThermalNormaliser(chosen)(frame.pixels))
        return ThermalNormaliser(chosen)(frame)

    return levels


def build_pool(
    clips: Sequence[Footage],
    samples: Sequence[Sample],
    recipe: Recipe,
    *,
    seed: int,
    engine: FeatureEngine | None = None,
    proposals: DrawRule | None = None,
    cache_key: str | None = None,
    stage: str = "features",
    progress: Progress = silent,
) -> Pool:
    """Cut every patch that the recipe needs, and compute its features with the frozen backbone.

    Args:
        clips: clips to cut from.
        samples: samples of these clips.
        recipe: recipe that decides which views are needed.
        seed: seed of the augmentation.
        engine: frozen backbone; ``None`` if it is trained, then patches are stored.
        proposals: rule that draws a box estimator's proposals; ``None`` if it has none.
        cache_key: identity of all other inputs of the features (pixels, backbone); if given,
            features are read from the cache or written to it.
        stage: name of the stage in progress reports.
        progress: callback that is told of every sample.

    Raises:
        StorageError: several pools are kept, and the disk is full.
    """
    keys = wanted_views(recipe, one_scene=len({sample.scene for sample in samples}) == 1)
    folder = None
    if cache_key is not None and engine is not None:
        folder = pool_folder(cache_key, samples, keys, recipe, seed)
    arrays = None if folder is None else load_arrays(folder, len(samples), keys)
    if arrays is not None:
        progress(stage, len(samples), len(samples), "from the cache")
    else:
        arrays = _made(
            cut(clips, samples, keys, recipe, levels=levels_of(recipe), seed=seed),
            samples,
            engine=engine,
            notify=lambda done: progress(stage, done, len(samples)),
        )
        if folder is not None:
            store_arrays(folder, arrays, recipe)
            arrays = load_arrays(folder, len(samples), keys) or arrays
    if "shared_box" in recipe.as_published:  # both branches get the box of the test patch
        boxes = {**arrays.boxes_patch, "reference": arrays.boxes_patch["test"]}
        arrays = replace(arrays, boxes_patch=boxes)
    return Pool(
        samples,
        arrays,
        are_features=engine is not None,
        proposals=proposals,
        streams=streams_of(recipe),
        seed=seed,
    )


# --- patches -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CutPatch:
    """One patch of a sample.

    Attributes:
        row: position of the sample in the given order.
        image: position of the shot in its branch.
        key: view of the patch.
        patch: RGB ``[D,D,3]``, TIR ``[D,D]`` (on a canvas ``[D,D,3]``), uint8.
        box_patch: ``[4]`` float32 xywh of the box in the patch.
    """

    row: int
    image: int
    key: ViewKey
    patch: np.ndarray
    box_patch: np.ndarray


def cut(
    clips: Sequence[Footage],
    samples: Sequence[Sample],
    keys: Iterable[ViewKey],
    recipe: Recipe,
    *,
    levels: Levels,
    seed: int,
) -> Iterator[CutPatch]:
    """The patches of all samples, clip by clip and frame by frame: every frame is read once. An
    ``away`` patch that does not fit into the frame is left out.
    """
    wanted = sorted(keys)
    shots = _by_frame(samples)
    modalities = {key.modality for key in wanted}
    is_canvas = "canvas" in recipe.as_published
    for at, rgb, tir in read_frames(clips, shots):
        images = _images(rgb, tir, modalities, levels, is_canvas=is_canvas)
        patch_of = _cutter(images)
        size = frame_hw(next(iter(images.values())))
        for row, branch, image, shot in shots[at]:
            sample = samples[row]
            is_away = branch == "away"
            crop = away_crop(sample, size, seed) if is_away else shot.spec.crop(size)
            if crop is None:
                continue
            box_patch = boxes_to_patch(shot.box.array(), crop).astype(np.float32)
            for view, key in enumerate(wanted):
                if key.branch == branch:
                    patch = patch_of(key.modality, crop, shot.spec.rule)
                    if key.augmented:
                        noise = [view, *([image] if image else [])]
                        patch = _augmented(patch, key.modality, sample, recipe, noise, seed=seed)
                    levels_8_bit = np.rint(patch).clip(0, 255).astype(np.uint8)
                    yield CutPatch(row, image, key, levels_8_bit, box_patch)


def _by_frame(
    samples: Sequence[Sample],
) -> dict[tuple[int, int], list[tuple[int, str, int, Shot]]]:
    """Row, branch, place in the branch, and shot of all patches, by clip and frame."""
    shots: dict[tuple[int, int], list[tuple[int, str, int, Shot]]] = {}
    for row, sample in enumerate(samples):
        branches = {"reference": sample.references, "test": sample.tests, "away": sample.tests[:1]}
        for branch, shown in branches.items():
            for image, shot in enumerate(shown):
                here = shots.setdefault((sample.clip, shot.frame), [])
                here.append((row, branch, image, shot))
    return shots


def _augmented(
    patch: np.ndarray,
    modality: Modality,
    sample: Sample,
    recipe: Recipe,
    noise: list[int],
    *,
    seed: int,
) -> np.ndarray:
    """The patch with the photometric change of its sample; ``noise`` tells its patches apart."""
    rng = np.random.default_rng([seed, streams_of(recipe).photometric, sample.number])
    jitter = draw_jitter(photometric_of(recipe, modality), rng)
    noise_rng = np.random.default_rng([seed, Stream.NOISE, sample.number, *noise])
    return apply_jitter(patch, jitter, noise_rng)


def _images(
    rgb: np.ndarray | None,
    tir: Frame | None,
    modalities: set[Modality],
    levels: Levels,
    *,
    is_canvas: bool,
) -> dict[Modality, Frame]:
    """A frame as grey levels, where there is any; TIR only if it is needed.

    On a canvas, as published, each frame has the other modality at its right, and crops may show
    both. (Published boxes of the right half, which begin in TIR, have it at their left.)
    """
    of_rgb: dict[Modality, Frame] = {} if rgb is None else {Modality.RGB: rgb}
    if tir is None or not (is_canvas or Modality.TIR in modalities):
        return of_rgb
    grey = levels(tir)
    if rgb is None or not is_canvas:
        return {**of_rgb, Modality.TIR: grey}
    if isinstance(grey, MappedFrame):  # a canvas is one picture
        grey = grey.on_grid()
    grey = np.repeat(grey[..., None], 3, axis=2)
    return {
        Modality.RGB: np.concatenate([rgb, grey], axis=1),
        Modality.TIR: np.concatenate([grey, rgb], axis=1),
    }


def _cutter(
    images: Mapping[Modality, Frame],
) -> Callable[[Modality, Crop, CropRule], np.ndarray]:
    """Cuts patches of a frame; the fill value outside of it is computed once."""
    fill = cache(lambda modality, rule: fill_of(rule, images[modality]))
    return lambda modality, crop, rule: cut_patch(images[modality], crop, fill(modality, rule))


# --- arrays --------------------------------------------------------------------------------------


def _made(
    patches: Iterable[CutPatch],
    samples: Sequence[Sample],
    *,
    engine: FeatureEngine | None,
    notify: Callable[[int], None],
) -> PoolArrays:
    """The arrays from cut patches; features are computed one chunk of a view at a time."""
    count = len(samples)
    images = {"reference": len(samples[0].references), "test": len(samples[0].tests), "away": 1}
    boxes = {
        branch: np.zeros((count, images[branch], 4), dtype=np.float32)
        for branch in ("reference", "test")
    }
    has_away = np.zeros(count, dtype=bool)
    kept: dict[ViewKey, list[np.ndarray]] = {}
    waiting: dict[ViewKey, list[CutPatch]] = {}
    seen: set[int] = set()

    def keep(key: ViewKey) -> None:
        chunk = waiting.pop(key)
        stack = np.stack([one.patch for one in chunk])
        taps = [stack] if engine is None else for_keeping(engine(stack))
        if key not in kept:
            shape = (count, images[key.branch])
            kept[key] = [np.zeros((*shape, *tap.shape[1:]), dtype=tap.dtype) for tap in taps]
        for into, tap in zip(kept[key], taps, strict=True):
            into[[one.row for one in chunk], [one.image for one in chunk]] = tap

    for one in patches:
        if one.key.branch == "away":
            has_away[one.row] = True
        else:
            boxes[one.key.branch][one.row, one.image] = one.box_patch
        waiting.setdefault(one.key, []).append(one)
        if len(waiting[one.key]) == CHUNK:
            keep(one.key)
        if one.row not in seen:
            seen.add(one.row)
            notify(len(seen))
    for key in sorted(waiting):
        keep(key)
    return PoolArrays(kept, boxes, has_away)
