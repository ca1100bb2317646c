"""Samples: which clip, frames and boxes are trained on, and where patches are cut; no pixels.

Sample ``n`` is a pure function of the seed and ``n``, so a resumed run needs no stored state.
:func:`draw_samples` draws from proposed and followed boxes, :func:`draw_labelled` from labels. The
patches of a still show one frame, those of a video frames at most ``max_gap`` apart, as far as the
target's box is known in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import Crop
from tirtrack.distillation.clips import Clip, LabelledFootage, Target
from tirtrack.distillation.crop_specs import (
    CropSpec,
    jittered_reference_crop,
    jittered_test_crop,
)
from tirtrack.distillation.settings import CrossModalRecipe, Recipe, SupervisedRecipe
from tirtrack.errors import DatasetError
from tirtrack.networks.two_branch import TwoBranchNetwork
from tirtrack.pairs.proposals.base import FoundIn

MIN_FRAMES = 20  # shortest video for causal samples, as published
WIDER = 5  # frames by which the gap of a causal sample grows if it finds no frame


class Stream(IntEnum):
    """One random stream per purpose: ``default_rng([seed, purpose, ...])``.

    Those from 101 on belong to labels. The numbers decide what every recipe draws.
    """

    PAIRS = 1
    BOX = 2
    REFERENCE_JITTER = 3
    TEST_JITTER = 4
    AWAY = 5
    PHOTOMETRIC = 6
    NOISE = 7
    STEP = 8
    DIRECTIONS = 9
    FLIP = 10
    PROPOSALS = 11
    TEACHER = 12
    GAP = 13
    LABELLED_CLIP = 101
    LABELLED_FRAMES = 102
    LABELLED_PHOTOMETRIC = 103
    LABELLED_ORDER = 105
    LABELLED_NEGATIVE = 106
    LABELLED_FLIP = 107
    LABELLED_PROPOSALS = 108


@dataclass(frozen=True)
class Streams:
    """The streams in which a step of pairs and one of labels differ.

    Attributes:
        flip: stream of the mirroring of a sample.
        photometric: stream of the photometric change of a sample.
        proposals: numbers that seed a sample's proposals, from seed, visit and sample number.
    """

    flip: Stream
    photometric: Stream
    proposals: Callable[[int, int, int], list[int]]


OF_PAIRS = Streams(
    Stream.FLIP, Stream.PHOTOMETRIC, lambda seed, visit, n: [seed, Stream.PROPOSALS, n, visit]
)
OF_LABELS = Streams(
    Stream.LABELLED_FLIP,
    Stream.LABELLED_PHOTOMETRIC,
    lambda seed, visit, n: [seed, visit, Stream.LABELLED_PROPOSALS, n],
)


def streams_of(recipe: Recipe) -> Streams:
    """The streams of a recipe's samples."""
    return OF_LABELS if isinstance(recipe, SupervisedRecipe) else OF_PAIRS


@dataclass(frozen=True)
class Shot:
    """One patch of a sample: its frame, the target's box in it, and where it is cut."""

    frame: int
    box: Box
    spec: CropSpec


@dataclass(frozen=True)
class Sample:
    """One sample: a target, and where the patches of both branches are cut.

    Attributes:
        key: name that is unique in the pool, with clip and frame.
        clip: index of the clip.
        scene: name of the scene; samples of different scenes never show the same object.
        references: shots of the reference branch, with the box at the centre up to jitter.
        tests: shots of the test branch, in which the box is sought.
        number: number of the sample, which seeds its random streams.
        found_in: modality in which the box was found.
        quality: weight of the box among those of its frame.
        way: name of the proposer, ``track`` or ``label``.
        others: boxes of other targets in the frame of the first test shot, frame pixels; none if no
            term needs them. No feature depends on them, so the names of kept ones do not either.
    """

    key: str
    clip: int
    scene: str
    references: tuple[Shot, ...]
    tests: tuple[Shot, ...]
    number: int
    found_in: FoundIn
    quality: float
    way: str
    others: tuple[Box, ...] = field(default=(), repr=False)

    def others_patch(self, box_patch: np.ndarray) -> np.ndarray:
        """``[K,4]`` xywh of the other boxes in the first test patch.

        A crop scales, shifts and perhaps mirrors, so the target's box in the patch tells where all
        others lie.

        Args:
            box_patch: ``[4]`` xywh of the target's box in that patch.
        """
        shot = self.tests[0]
        box, others = shot.box.array(), np.array([one.array() for one in self.others])
        others = others.reshape(-1, 4)
        scale = box_patch[2:] / box[2:]
        size = others[:, 2:] * scale
        from_target = (others[:, :2] - box[:2]) * scale
        if shot.spec.is_mirrored:
            from_target[:, 0] = box_patch[2] - from_target[:, 0] - size[:, 0]
        return np.concatenate([box_patch[:2] + from_target, size], axis=1)


# --- proposed and followed boxes -----------------------------------------------------------------


def draw_samples(
    clips: Sequence[Clip],
    recipe: CrossModalRecipe,
    numbers: Sequence[int],
    *,
    network: TwoBranchNetwork,
    seed: int,
) -> list[Sample]:
    """Samples by number: a frame with targets drawn uniformly, one of them by quality, and another
    frame of that target up to ``max_gap`` away for the test patch; the jitter per branch.

    Args:
        clips: clips with boxes that the recipe can use.
        recipe: recipe with the settings of boxes and jitter.
        numbers: numbers of the samples.
        network: network that says how its patches are cut.
        seed: seed of all random draws.
    """
    frames = [(index, frame) for index, clip in enumerate(clips) for frame in clip.targets]
    samples = []
    for number in numbers:
        rng = np.random.default_rng([seed, Stream.BOX, number])
        index, frame = frames[int(rng.integers(len(frames)))]
        clip = clips[index]
        target = _drawn(clip.targets[frame], recipe, rng)
        near = _near(np.array(list(target.boxes)), frame, recipe.max_gap)
        gap_rng = np.random.default_rng([seed, Stream.GAP, number])
        other = int(near[gap_rng.integers(len(near))])
        references, tests = draw_shots(
            [(frame, target.boxes[frame])],
            [(other, target.boxes[other])],
            recipe,
            network=network,
            number=number,
            seed=seed,
        )
        name, apart = f"{clip.name}/{frame}", other - frame
        samples.append(
            Sample(
                key=f"{name}{f'{apart:+d}' if apart else ''}#{number}",
                clip=index,
                scene=clip.name if clip.is_video else name,
                references=references,
                tests=tests,
                number=number,
                found_in=target.found_in,
                quality=target.weight,
                way=target.way,
                others=_others(clip, target, other) if recipe.rejects_others else (),
            )
        )
    return samples


def _others(clip: Clip, target: Target, frame: int) -> tuple[Box, ...]:
    """The boxes of other targets in a frame."""
    return tuple(one.boxes[frame] for one in clip.targets[frame] if one != target)


def _drawn(targets: Sequence[Target], recipe: CrossModalRecipe, rng: np.random.Generator) -> Target:
    """One of the targets of a frame, by quality."""
    weights = np.array([target.weight for target in targets])
    which = int(rng.choice(len(targets), p=weights / weights.sum()))
    return targets[0 if "first_box" in recipe.as_published else which]


def away_crop(sample: Sample, shape_hw: tuple[int, int], seed: int) -> Crop | None:
    """A test crop of the same frame without the box; ``None`` if the frame is too small.

    The crop lies beside the box in one of eight directions, with its centre inside the frame.
    """
    shot = sample.tests[0]
    rng = np.random.default_rng([seed, Stream.AWAY, sample.number])
    test, (cx, cy) = shot.spec.crop(shape_hw), shot.box.center_xy
    side = test.side
    reach_x, reach_y = (side + shot.box.w) / 2 + 1, (test.height + shot.box.h) / 2 + 1
    height, width = shape_hw
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    for i, j in rng.permutation(np.array(steps)):
        x, y = cx + i * reach_x, cy + j * reach_y
        if 0 <= x <= width and 0 <= y <= height:
            return replace(test, x=x - side / 2, y=y - test.height / 2)
    return None


# --- labels --------------------------------------------------------------------------------------


def draw_labelled(
    clips: Sequence[LabelledFootage],
    recipe: SupervisedRecipe,
    numbers: Iterable[int],
    *,
    network: TwoBranchNetwork,
    seed: int,
) -> list[Sample]:
    """Samples by number: still or video by share, a uniform clip and target, frames, jitter.

    Args:
        clips: clips that are long enough for the recipe.
        recipe: recipe with the settings of frames and jitter.
        numbers: numbers of the samples.
        network: network that says how its patches are cut.
        seed: seed of all random draws.
    """
    stills = [index for index, clip in enumerate(clips) if not clip.is_video]
    videos = [index for index, clip in enumerate(clips) if clip.is_video]
    samples = []
    for number in numbers:
        rng = np.random.default_rng([seed, Stream.LABELLED_CLIP, number])
        chosen = stills if rng.random() < recipe.stills else videos
        chosen = chosen or videos or stills
        index = chosen[int(rng.integers(len(chosen)))]
        clip = clips[index]
        frames_rng = np.random.default_rng([seed, Stream.LABELLED_FRAMES, number])
        references, tests = draw_shots(
            *_labelled_places(clip, recipe, frames_rng),
            recipe,
            network=network,
            number=number,
            seed=seed,
        )
        first = references[0].frame
        samples.append(
            Sample(
                key=f"{clip.name}@{first}+{tests[0].frame - first}#{number}",
                clip=index,
                scene=clip.name,
                references=references,
                tests=tests,
                number=number,
                found_in=FoundIn.RGB,
                quality=1.0,
                way="label",
            )
        )
    return samples


def long_enough(
    clips: Sequence[LabelledFootage], recipe: SupervisedRecipe
) -> list[LabelledFootage]:
    """The clips that are long enough for the recipe's sampling.

    Raises:
        DatasetError: no clip is long enough.
    """
    kept = [clip for clip in clips if not clip.is_video or _is_long_enough(clip, recipe)]
    if clips and not kept:
        raise DatasetError(
            f"none of {len(clips)} videos is long enough for causal samples ({MIN_FRAMES} frames)",
            fix="set sampling: interval, or give stills or longer videos",
        )
    return kept


def _is_long_enough(clip: LabelledFootage, recipe: SupervisedRecipe) -> bool:
    if recipe.sampling == "interval":
        return True
    usable = _usable(clip.boxes)  # [K,T]
    least = 2 * (recipe.references + recipe.tests)
    return usable.shape[1] >= MIN_FRAMES and int(usable.sum(axis=1).min()) > least


def _usable(boxes: np.ndarray) -> np.ndarray:
    """``[...]`` bool of boxes ``[...,4]``."""
    return np.asarray(np.isfinite(boxes).all(axis=-1))


Places = list[tuple[int, Box]]
"""Frames, and the target's box in each."""


def _labelled_places(
    clip: LabelledFootage, recipe: SupervisedRecipe, rng: np.random.Generator
) -> tuple[Places, Places]:
    """Frames with the target for both branches: ``interval``, at most ``max_gap`` from the first
    reference, in either order; ``causal``, all references before all tests.
    """
    boxes = clip.boxes[int(rng.integers(len(clip.boxes)))]
    frames = np.flatnonzero(_usable(boxes))
    if recipe.sampling == "causal" and clip.is_video:
        references, tests = _causal(frames, len(boxes), recipe, rng)
    else:
        references, tests = _interval(frames, recipe, rng)
    return (
        [(frame, Box.of(boxes[frame])) for frame in references],
        [(frame, Box.of(boxes[frame])) for frame in tests],
    )


def _interval(
    frames: np.ndarray, recipe: SupervisedRecipe, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    first = int(frames[rng.integers(len(frames))])
    near = _near(frames, first, recipe.max_gap)
    tests = [int(near[rng.integers(len(near))]) for _ in range(recipe.tests)]
    others = [int(near[rng.integers(len(near))]) for _ in range(recipe.references - 1)]
    return [first, *others], tests


def _near(frames: np.ndarray, first: int, max_gap: int) -> np.ndarray:
    """Those of some frames that lie at most ``max_gap`` from the first reference."""
    return np.asarray(frames[np.abs(frames - first) <= max_gap])


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


# --- shots ---------------------------------------------------------------------------------------


def draw_shots(
    references: Places,
    tests: Places,
    recipe: Recipe,
    *,
    network: TwoBranchNetwork,
    number: int,
    seed: int,
) -> tuple[tuple[Shot, ...], tuple[Shot, ...]]:
    """Where the patches of a sample are cut: jitter for each, mirroring as in the recipe."""
    flips = np.random.default_rng([seed, streams_of(recipe).flip, number])
    mirrored = flips.random(len(references) + len(tests)) < recipe.flip
    if recipe.flip_together:
        mirrored[:] = mirrored[0]

    def jitter_rng(stream: Stream, image: int) -> np.random.Generator:
        return np.random.default_rng([seed, stream, number, *([image] if image else [])])

    def shots(places: Places, are_mirrored: np.ndarray, *, is_test: bool) -> tuple[Shot, ...]:
        jittered = jittered_test_crop if is_test else jittered_reference_crop
        rule = network.test_crop if is_test else network.reference_crop
        stream = Stream.TEST_JITTER if is_test else Stream.REFERENCE_JITTER
        return tuple(
            Shot(
                frame,
                box,
                jittered(
                    box, rule, recipe.jitter, jitter_rng(stream, image), is_mirrored=bool(flip)
                ),
            )
            for image, ((frame, box), flip) in enumerate(zip(places, are_mirrored, strict=True))
        )

    return (
        shots(references, mirrored[: len(references)], is_test=False),
        shots(tests, mirrored[len(references) :], is_test=True),
    )
