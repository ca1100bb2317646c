"""Samples for supervised training: labelled stills with synthetic motion, and labelled videos.

The only file of distillation that opens annotation. A still gives template and search patch of one
picture, moved by the jitter; a video gives the template from frame t and the search patch from a
frame up to ``max_gap`` later. Sample ``n`` is a pure function of the seed and ``n``; samples are
cut a pool at a time, so that every picture and video is read once a pool, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import SEARCH_SIDE, TEMPLATE_SIDE, Crop, boxes_to_patch, cut_patch, mean_fill
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stills import LabelledStill
from tirtrack.distillation.augmentation import apply_look, draw_look
from tirtrack.distillation.batches import jittered_crops
from tirtrack.distillation.settings import SupervisedRecipe
from tirtrack.errors import DatasetError

MIN_SIDE = 4.0  # pixels; smaller labels say too little about where their box ends


class Stream(IntEnum):
    """Random streams of supervised training; apart from those of ``batches``."""

    ITEM = 101
    FRAMES = 102
    LOOK = 103
    NOISE = 104
    ORDER = 105
    NEGATIVE = 106


class Item(Protocol):
    """A labelled picture or video."""

    @property
    def name(self) -> str:
        """Unique in its data set."""

    def draw(self, max_gap: int, rng: np.random.Generator) -> tuple[int, Box, int, Box]:
        """Frame and box of the template, frame and box of the search patch."""

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Those frames, ``[H,W,3]`` RGB uint8, in order."""


@dataclass(frozen=True)
class StillItem:
    """One picture; a sample takes one of its boxes for both branches."""

    name: str
    still: LabelledStill
    boxes: np.ndarray

    def draw(self, max_gap: int, rng: np.random.Generator) -> tuple[int, Box, int, Box]:
        """The same frame and box twice."""
        box = Box.of(self.boxes[int(rng.integers(len(self.boxes)))])
        return 0, box, 0, box

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The picture."""
        yield 0, _as_rgb(self.still.image())


@dataclass(frozen=True)
class VideoItem:
    """One sequence; ``boxes [T,4]`` are 0-based, ``visible [T]`` says which can be used."""

    name: str
    sequence: LabelledSequence
    boxes: np.ndarray
    visible: np.ndarray

    def draw(self, max_gap: int, rng: np.random.Generator) -> tuple[int, Box, int, Box]:
        """Two frames with the target, at most ``max_gap`` apart, in either order."""
        frames = np.flatnonzero(self.visible)
        first = int(frames[rng.integers(len(frames))])
        near = frames[np.abs(frames - first) <= max_gap]
        second = int(near[rng.integers(len(near))])
        return first, Box.of(self.boxes[first]), second, Box.of(self.boxes[second])

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Read from the first to the last wanted frame."""
        last = max(wanted)
        for index, frame in enumerate(self.sequence.open_frames()):
            if index in wanted:
                yield index, _as_rgb(frame)
            if index == last:
                return


@dataclass(frozen=True)
class Labelled:
    """What is trained on, or held out: stills and videos with usable boxes."""

    stills: tuple[StillItem, ...]
    videos: tuple[VideoItem, ...]

    @property
    def items(self) -> tuple[StillItem | VideoItem, ...]:
        """Both kinds, stills first."""
        return (*self.stills, *self.videos)

    def __len__(self) -> int:
        return len(self.stills) + len(self.videos)


def collect(stills: Sequence[LabelledStill], sequences: Sequence[LabelledSequence]) -> Labelled:
    """The items with at least one box that can be learnt from.

    Raises:
        DatasetError: there is none.
    """
    pictures = []
    for still in stills:
        big = still.boxes[_usable(still.boxes)]
        if len(big):
            pictures.append(StillItem(still.name, still, big))
    videos = []
    for sequence in sequences:
        # Annotation is stored in the base of its data set; crops are cut in ours, from 0.
        boxes = sequence.annotation - np.array([sequence.base, sequence.base, 0.0, 0.0])
        visible = _usable(boxes)
        if visible.any():
            videos.append(VideoItem(sequence.name, sequence, boxes, visible))
    if not pictures and not videos:
        raise DatasetError(
            f"no usable box in {len(stills)} pictures and {len(sequences)} sequences",
            fix=f"boxes must have sides of at least {MIN_SIDE:g} px",
        )
    return Labelled(tuple(pictures), tuple(videos))


def _usable(boxes: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        big = boxes[:, 2:].min(axis=1) >= MIN_SIDE
    return np.asarray(np.isfinite(boxes).all(axis=1) & big)


def hold_out(labelled: Labelled, share: float) -> tuple[Labelled, Labelled]:
    """Train and held-out items, whole pictures and sequences; the seed has no say in it."""

    def is_held(name: str) -> bool:
        digest = hashlib.sha256(name.encode()).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    kept = Labelled(
        tuple(item for item in labelled.stills if not is_held(item.name)),
        tuple(item for item in labelled.videos if not is_held(item.name)),
    )
    held = Labelled(
        tuple(item for item in labelled.stills if is_held(item.name)),
        tuple(item for item in labelled.videos if is_held(item.name)),
    )
    return (kept, held) if len(kept) else (labelled, Labelled((), ()))


# --- samples -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelledSample:
    """One sample: where it is cut from, no pixels.

    Attributes:
        key: for messages.
        item: the picture or sequence.
        reference: frame and crop of the template.
        test: frame and crop of the search patch.
        reference_box: ``[4]`` float32 xywh, template patch pixels.
        test_box: ``[4]`` float32 xywh, search patch pixels.
        number: its random streams hang on it.
    """

    key: str
    item: Item
    reference: tuple[int, Crop]
    test: tuple[int, Crop]
    reference_box: np.ndarray
    test_box: np.ndarray
    number: int


def draw_labelled(
    labelled: Labelled, recipe: SupervisedRecipe, number: int, *, seed: int
) -> LabelledSample:
    """Sample ``number``: still or video by share, the item uniform, then frames, box and jitter."""
    rng = np.random.default_rng([seed, Stream.ITEM, number])
    from_still = rng.random() < recipe.stills
    items: Sequence[Item] = labelled.stills if from_still else labelled.videos
    items = items or labelled.videos or labelled.stills
    item = items[int(rng.integers(len(items)))]
    frames_rng = np.random.default_rng([seed, Stream.FRAMES, number])
    first, box, second, test_box = item.draw(recipe.max_gap, frames_rng)
    reference, test = jittered_crops(
        box, recipe.jitter, number=number, seed=seed, test_box=test_box
    )
    return LabelledSample(
        key=f"{item.name}@{first}+{second - first}#{number}",
        item=item,
        reference=(first, reference),
        test=(second, test),
        reference_box=boxes_to_patch(box.array(), reference).astype(np.float32),
        test_box=boxes_to_patch(test_box.array(), test).astype(np.float32),
        number=number,
    )


@dataclass(frozen=True)
class LabelledPool:
    """Samples with their patches: reference ``[n,127,127,3]``, test ``[n,255,255,3]``, uint8."""

    samples: tuple[LabelledSample, ...]
    reference: np.ndarray
    test: np.ndarray


def cut_labelled(
    samples: Sequence[LabelledSample], recipe: SupervisedRecipe, *, seed: int
) -> LabelledPool:
    """The patches of all samples; every picture and video is read once."""
    reference = np.zeros((len(samples), TEMPLATE_SIDE, TEMPLATE_SIDE, 3), dtype=np.uint8)
    test = np.zeros((len(samples), SEARCH_SIDE, SEARCH_SIDE, 3), dtype=np.uint8)
    by_item: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        by_item.setdefault(id(sample.item), []).append(place)
    for places in by_item.values():
        own = [samples[place] for place in places]
        wanted = {frame for sample in own for frame, _ in (sample.reference, sample.test)}
        for index, image in own[0].item.frames(wanted):
            fill = mean_fill(image)
            for place, sample in zip(places, own, strict=True):
                for branch, ((frame, crop), into) in enumerate(
                    ((sample.reference, reference), (sample.test, test))
                ):
                    if frame == index:
                        patch = cut_patch(image, crop, fill)
                        into[place] = _looked(patch, sample.number, branch, recipe, seed)
    return LabelledPool(tuple(samples), reference, test)


def _looked(
    patch: np.ndarray, number: int, branch: int, recipe: SupervisedRecipe, seed: int
) -> np.ndarray:
    if not recipe.augmentation.is_identity:
        rng = np.random.default_rng([seed, Stream.LOOK, number])
        look = draw_look(recipe.augmentation, rng)
        patch = apply_look(patch, look, np.random.default_rng([seed, Stream.NOISE, number, branch]))
    return np.asarray(np.rint(patch).clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class LabelledDraw:
    """Rows of a pool that make one place of a step; different rows are a negative pair."""

    reference: int
    test: int


def plan_labelled(
    pool: LabelledPool, recipe: SupervisedRecipe, *, epoch: int, step: int, seed: int
) -> list[LabelledDraw]:
    """The rows of step ``step`` of an epoch: each row once an epoch, in an order of its own."""
    batch, count = recipe.training.batch, len(pool.samples)
    order = np.random.default_rng([seed, Stream.ORDER, epoch]).permutation(count)
    draws = []
    for row in order[step * batch : (step + 1) * batch]:
        rng = np.random.default_rng([seed, Stream.NEGATIVE, pool.samples[row].number])
        test = row
        if rng.random() < recipe.negatives:
            other = int(rng.integers(count))
            if pool.samples[other].item is not pool.samples[row].item:
                test = other
        draws.append(LabelledDraw(int(row), int(test)))
    return draws


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """``[H,W,3]`` of a grey or colour picture, 8 bit."""
    if image.dtype != np.uint8:
        raise DatasetError(
            f"labelled RGB must have 8 bits a channel, got {image.dtype}",
            fix="convert the frames to 8 bits",
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
