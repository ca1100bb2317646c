"""Samples for supervised training: labelled stills with synthetic motion, and labelled videos.

The only file of distillation that opens annotations. From a still, reference and test patches show
one picture, shifted by the jitter; from a video, frames at most ``max_gap`` apart. Sample ``n`` is
a pure function of the seed and ``n``; samples are cut one pool at a time, so that every picture and
video is read once per pool, in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import Box
from tirtrack.crops import CropRule, boxes_to_patch, cut_patch
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stills import LabelledStill
from tirtrack.distillation.augmentation import apply_jitter, draw_jitter
from tirtrack.distillation.batch import Batch, Branch, View
from tirtrack.distillation.batches import Draw
from tirtrack.distillation.batches import Stream as PairStream
from tirtrack.distillation.crop_specs import (
    CropRules,
    CropSpec,
    fill_of,
    jittered_reference_crop,
    jittered_test_crop,
)
from tirtrack.distillation.frozen_backbone import as_features, as_patches
from tirtrack.distillation.proposal_draws import DrawRule, draw_for_batch
from tirtrack.distillation.settings import Direction, SupervisedRecipe
from tirtrack.errors import DatasetError
from tirtrack.source_line import counted

MIN_SIDE = 4.0  # pixels; in smaller labels the sides of the box are too uncertain
MIN_FRAMES = 20  # shortest video for causal samples, as published
WIDER = 5  # frames by which the gap of a causal sample grows if it finds no frame


class Stream(IntEnum):
    """Random streams of supervised training, distinct from those of ``batches``."""

    ITEM = 101
    FRAMES = 102
    PHOTOMETRIC = 103
    NOISE = 104
    ORDER = 105
    NEGATIVE = 106
    FLIP = 107
    PROPOSALS = 108


@dataclass(frozen=True)
class Shown:
    """Frame indices and boxes of a sample, for each branch."""

    references: list[tuple[int, Box]]
    tests: list[tuple[int, Box]]


class Item(Protocol):
    """A labelled picture or video."""

    @property
    def name(self) -> str:
        """Name that is unique in the data set."""

    def draw(self, recipe: SupervisedRecipe, rng: np.random.Generator) -> Shown:
        """Draw frame indices and boxes for both branches."""

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted frames with their indices, ``[H,W,3]`` RGB uint8, in order."""


@dataclass(frozen=True)
class StillItem:
    """One picture; a sample uses one of its boxes for all patches."""

    name: str
    still: LabelledStill
    boxes: np.ndarray

    def draw(self, recipe: SupervisedRecipe, rng: np.random.Generator) -> Shown:
        """The same frame and box for all patches."""
        box = Box.of(self.boxes[int(rng.integers(len(self.boxes)))])
        return Shown([(0, box)] * recipe.references, [(0, box)] * recipe.tests)

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The picture."""
        yield 0, _as_rgb(self.still.image())


@dataclass(frozen=True)
class VideoItem:
    """One sequence; ``boxes [T,4]`` are 0-based, ``visible [T]`` marks those that can be used."""

    name: str
    sequence: LabelledSequence
    boxes: np.ndarray
    visible: np.ndarray

    def draw(self, recipe: SupervisedRecipe, rng: np.random.Generator) -> Shown:
        """Draw frames with the target: ``interval``, at most ``max_gap`` from the first reference,
        in either order; ``causal``, all references before all tests.
        """
        frames = np.flatnonzero(self.visible)
        draw = _causal if recipe.sampling == "causal" else _interval
        references, tests = draw(frames, len(self.visible), recipe, rng)
        return Shown(
            [(frame, Box.of(self.boxes[frame])) for frame in references],
            [(frame, Box.of(self.boxes[frame])) for frame in tests],
        )

    def serves(self, recipe: SupervisedRecipe) -> bool:
        """Whether the sequence is long enough for the recipe's sampling."""
        if recipe.sampling == "interval":
            return True
        least = 2 * (recipe.references + recipe.tests)
        return len(self.visible) >= MIN_FRAMES and int(self.visible.sum()) > least

    def frames(self, wanted: set[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted frames; reading stops after the last one."""
        last = max(wanted)
        for index, frame in enumerate(self.sequence.open_frames()):
            if index in wanted:
                yield index, _as_rgb(frame)
            if index == last:
                return


def _interval(
    frames: np.ndarray, length: int, recipe: SupervisedRecipe, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    first = int(frames[rng.integers(len(frames))])
    near = frames[np.abs(frames - first) <= recipe.max_gap]
    tests = [int(near[rng.integers(len(near))]) for _ in range(recipe.tests)]
    others = [int(near[rng.integers(len(near))]) for _ in range(recipe.references - 1)]
    return [first, *others], tests


def _causal(
    frames: np.ndarray, length: int, recipe: SupervisedRecipe, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """As published: a base frame, the other references before it, the tests after it, drawn with
    replacement; if there are none, another base frame and a wider gap.
    """
    gap = recipe.max_gap
    while True:
        inside = frames[(frames >= recipe.references - 1) & (frames < length - recipe.tests)]
        base = int(inside[rng.integers(len(inside))]) if len(inside) else int(frames[0])
        before = frames[(frames >= base - gap) & (frames < base)]
        after = frames[(frames > base) & (frames < base + gap)]
        if len(after) and (len(before) or recipe.references == 1):
            others = [int(rng.choice(before)) for _ in range(recipe.references - 1)]
            return [base, *others], [int(rng.choice(after)) for _ in range(recipe.tests)]
        if gap > 2 * length:
            raise DatasetError(f"a video of {len(frames)} usable frames gives no causal sample")
        gap += WIDER


@dataclass(frozen=True)
class Labelled:
    """Stills and videos with usable boxes, to train on or held out; and one line about each folder
    that they came from.
    """

    stills: tuple[StillItem, ...]
    videos: tuple[VideoItem, ...]
    source_lines: tuple[str, ...] = ()

    @property
    def items(self) -> tuple[StillItem | VideoItem, ...]:
        """Stills and videos, stills first."""
        return (*self.stills, *self.videos)

    def __len__(self) -> int:
        return len(self.stills) + len(self.videos)

    def serving(self, recipe: SupervisedRecipe) -> Labelled:
        """The items that are long enough for the recipe's sampling.

        Raises:
            DatasetError: no item is long enough.
        """
        videos = tuple(video for video in self.videos if video.serves(recipe))
        if len(self) and not videos and not self.stills:
            raise DatasetError(
                f"none of {len(self.videos)} videos is long enough for causal samples "
                f"({MIN_FRAMES} frames)",
                fix="set sampling: interval, or give stills or longer videos",
            )
        short = len(self.videos) - len(videos)
        line = f"not used: {counted(short, 'sequence')} too short for causal samples"
        said = (*self.source_lines, line) if short else self.source_lines
        return Labelled(self.stills, videos, said)


def collect(stills: Sequence[LabelledStill], sequences: Sequence[LabelledSequence]) -> Labelled:
    """The items with at least one usable box.

    Raises:
        DatasetError: there is no such item.
    """
    pictures = []
    for still in stills:
        big = still.boxes[is_usable(still.boxes)]
        if len(big):
            pictures.append(StillItem(still.name, still, big))
    videos = []
    for sequence in sequences:
        boxes = sequence.boxes
        visible = is_usable(boxes)
        if visible.any():
            videos.append(VideoItem(sequence.name, sequence, boxes, visible))
    if not pictures and not videos:
        raise DatasetError(
            f"no usable box in {len(stills)} pictures and {len(sequences)} sequences",
            fix=f"boxes must have sides of at least {MIN_SIDE:g} px",
        )
    return Labelled(tuple(pictures), tuple(videos))


def is_usable(boxes: np.ndarray) -> np.ndarray:
    """``[T]`` bool: which boxes ``[T,4]`` can be trained on: present and not too small."""
    with np.errstate(invalid="ignore"):
        big = boxes[:, 2:].min(axis=1) >= MIN_SIDE
    return np.asarray(np.isfinite(boxes).all(axis=1) & big)


def hold_out(labelled: Labelled, share: float) -> tuple[Labelled, Labelled]:
    """Items to train on and held-out items; the split depends on no seed.

    Whole pictures and sequences are held out, by a hash of their names. With a share above 0 and
    two or more items, at least one is held out and one trained on; a single item is trained on.
    """

    def draw(name: str) -> int:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")

    names = {item.name for item in labelled.stills} | {item.name for item in labelled.videos}
    count = max(sum(draw(name) < share * 2**64 for name in names), 1 if share > 0 else 0)
    held = set(sorted(names, key=draw)[: min(count, len(names) - 1)])

    def part(*, is_held: bool) -> Labelled:
        return Labelled(
            tuple(item for item in labelled.stills if (item.name in held) is is_held),
            tuple(item for item in labelled.videos if (item.name in held) is is_held),
        )

    return part(is_held=False), part(is_held=True)


# --- samples -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shot:
    """One patch of a sample: its frame, the target's box in it, and where it is cut."""

    frame: int
    box: Box
    spec: CropSpec


@dataclass(frozen=True)
class LabelledSample:
    """One sample: where its patches are cut; no pixels.

    Attributes:
        key: name of the sample, for messages.
        item: picture or sequence.
        references: patches of the reference branch.
        tests: patches of the test branch.
        number: number that seeds the random streams of the sample.
    """

    key: str
    item: Item
    references: tuple[Shot, ...]
    tests: tuple[Shot, ...]
    number: int


def draw_labelled(
    labelled: Labelled, recipe: SupervisedRecipe, number: int, *, rules: CropRules, seed: int
) -> LabelledSample:
    """Sample ``number``: still or video by share, a uniform item, then frames, box and jitter."""
    rng = np.random.default_rng([seed, Stream.ITEM, number])
    from_still = rng.random() < recipe.stills
    items: Sequence[Item] = labelled.stills if from_still else labelled.videos
    items = items or labelled.videos or labelled.stills
    item = items[int(rng.integers(len(items)))]
    shown = item.draw(recipe, np.random.default_rng([seed, Stream.FRAMES, number]))
    flips = np.random.default_rng([seed, Stream.FLIP, number]).random(
        recipe.references + recipe.tests
    )
    mirrored = (flips[:1] if recipe.flip_together else flips) < recipe.flip
    mirrored = np.broadcast_to(mirrored, len(flips)).tolist()

    references, tests = [], []
    for place, (frame, box) in enumerate(shown.references):
        jitter_rng = _jitter_rng(PairStream.REFERENCE_JITTER, number, place, seed)
        spec = jittered_reference_crop(
            box, rules.reference, recipe.jitter, jitter_rng, is_mirrored=mirrored[place]
        )
        references.append(Shot(frame, box, spec))
    for place, (frame, box) in enumerate(shown.tests):
        jitter_rng = _jitter_rng(PairStream.TEST_JITTER, number, place, seed)
        is_mirrored = mirrored[recipe.references + place]
        spec = jittered_test_crop(
            box, rules.test, recipe.jitter, jitter_rng, is_mirrored=is_mirrored
        )
        tests.append(Shot(frame, box, spec))
    first, then = references[0].frame, tests[0].frame
    return LabelledSample(
        f"{item.name}@{first}+{then - first}#{number}",
        item,
        tuple(references),
        tuple(tests),
        number,
    )


def _jitter_rng(stream: int, number: int, place: int, seed: int) -> np.random.Generator:
    """Random stream of the jitter of one patch of a branch."""
    return np.random.default_rng([seed, stream, number, *([place] if place else [])])


@dataclass(frozen=True)
class LabelledPool:
    """Samples with their patches, or with a frozen backbone's features of these.

    Attributes:
        samples: the n samples.
        reference: one array of patches ``[n,N,D,D,3]`` uint8, or features ``[n,N,C,H,W]`` per tap.
        test: the same for the test branch, ``[n,M,...]``.
        reference_boxes: ``[n,N,4]`` float32 xywh, patch pixels.
        test_boxes: ``[n,M,4]`` float32 xywh, patch pixels.
        are_features: whether ``reference`` and ``test`` hold features.
    """

    samples: tuple[LabelledSample, ...]
    reference: list[np.ndarray]
    test: list[np.ndarray]
    reference_boxes: np.ndarray
    test_boxes: np.ndarray
    are_features: bool = False

    def batch(
        self,
        draws: Sequence[Draw],
        *,
        rule: DrawRule | None,
        seed: Sequence[int],
        device: torch.device,
    ) -> Batch:
        """The batch of a step, RGB only.

        Args:
            draws: samples of the step.
            rule: rule that draws proposals; ``None`` for networks that rate none.
            seed: first numbers of the seeds of the proposals' streams.
            device: device of the tensors.
        """
        rows, tests = [draw.reference for draw in draws], [draw.test for draw in draws]
        boxes = self.test_boxes[tests].swapaxes(0, 1)  # [M,S,4]
        proposals = None
        if rule is not None:
            generators = [
                np.random.default_rng([*seed, Stream.PROPOSALS, self.samples[row].number])
                for row in tests
            ]
            proposals = draw_for_batch(boxes, generators, rule).to(device)
        reference_boxes = self.reference_boxes[rows].swapaxes(0, 1)
        everywhere = torch.ones(len(draws), dtype=torch.bool, device=device)
        return Batch(
            Branch(
                _tensor(reference_boxes, device), self._view(self.reference, rows, device), None
            ),
            Branch(_tensor(boxes, device), self._view(self.test, tests, device), None, proposals),
            quality=everywhere.float(),
            present=torch.tensor([draw.is_positive for draw in draws], device=device),
            accepted=everywhere,
            keys=tuple(self.samples[row].key for row in rows),
        )

    def _view(self, stored: Sequence[np.ndarray], rows: list[int], device: torch.device) -> View:
        """S rows of ``[n,N,...]`` as ``[N,S,...]``."""
        chosen = [np.asarray(tap[rows]) for tap in stored]
        if self.are_features:
            return View(features=[as_features(tap, device).transpose(0, 1) for tap in chosen])
        (patches,) = chosen
        flat = as_patches(patches.reshape(-1, *patches.shape[2:]))  # [S*N,3,D,D]
        apart = flat.view(*patches.shape[:2], *flat.shape[1:])
        return View(patches=apart.transpose(0, 1).to(device))


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def cut_labelled(
    samples: Sequence[LabelledSample], recipe: SupervisedRecipe, *, seed: int
) -> LabelledPool:
    """The patches of all samples; every picture and video is read once."""
    shots = (
        [sample.references for sample in samples],
        [sample.tests for sample in samples],
    )
    patches = [_blank(rows) for rows in shots]
    boxes = [np.zeros((len(rows), len(rows[0]), 4), dtype=np.float32) for rows in shots]
    by_item: dict[int, list[int]] = {}
    for place, sample in enumerate(samples):
        by_item.setdefault(id(sample.item), []).append(place)
    for places in by_item.values():
        wanted = [
            (shot.frame, branch, place, image, shot)
            for place in places
            for branch, rows in enumerate(shots)
            for image, shot in enumerate(rows[place])
        ]
        frames = samples[places[0]].item.frames({frame for frame, *_ in wanted})
        for index, frame in frames:
            fills: dict[CropRule, np.ndarray | None] = {}
            for at, branch, place, image, shot in wanted:
                if at != index:
                    continue
                rule = shot.spec.rule
                if rule not in fills:
                    fills[rule] = fill_of(rule, frame)
                crop = shot.spec.crop((frame.shape[0], frame.shape[1]))
                boxes[branch][place, image] = boxes_to_patch(shot.box.array(), crop)
                patches[branch][place, image] = _augmented(
                    cut_patch(frame, crop, fills[rule]),
                    samples[place].number,
                    [branch, *([image] if image else [])],
                    recipe,
                    seed,
                )
    return LabelledPool(tuple(samples), [patches[0]], [patches[1]], boxes[0], boxes[1])


def _blank(rows: Sequence[Sequence[Shot]]) -> np.ndarray:
    side = rows[0][0].spec.rule.patch_side
    return np.zeros((len(rows), len(rows[0]), side, side, 3), dtype=np.uint8)


def _augmented(
    patch: np.ndarray, number: int, which: list[int], recipe: SupervisedRecipe, seed: int
) -> np.ndarray:
    if not recipe.augmentation.is_identity:
        rng = np.random.default_rng([seed, Stream.PHOTOMETRIC, number])
        jitter = draw_jitter(recipe.augmentation, rng)
        patch = apply_jitter(
            patch, jitter, np.random.default_rng([seed, Stream.NOISE, number, *which])
        )
    return np.asarray(np.rint(patch).clip(0, 255).astype(np.uint8))


def plan_labelled(
    pool: LabelledPool, recipe: SupervisedRecipe, *, epoch: int, step: int, seed: int
) -> list[Draw]:
    """The samples of a step of an epoch; every epoch takes each row once, in its own order."""
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
        draws.append(Draw(Direction.RGB_TO_RGB, int(row), int(test)))
    return draws


def _as_rgb(image: np.ndarray) -> np.ndarray:
    """A grey or colour picture of 8 bits as ``[H,W,3]``."""
    if image.dtype != np.uint8:
        raise DatasetError(
            f"labelled RGB must have 8 bits a channel, got {image.dtype}",
            fix="convert the frames to 8 bits",
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
