"""From pairs and proposals to samples and batches.

Three steps, each a pure function of a seed and a position, so that a resumed run needs no stored
state: :func:`draw_samples` chooses pairs, pseudo-boxes and jitter without reading a pixel;
:func:`cut_views` cuts both modalities by the same rectangles; :func:`plan_step` chooses the samples
of a step, their directions, and which of them are without the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import Crop, CropRule, boxes_to_patch, cut_patch
from tirtrack.distillation.augmentation import apply_jitter, draw_jitter
from tirtrack.distillation.crop_specs import (
    CropRules,
    CropSpec,
    fill_of,
    jittered_reference_crop,
    jittered_test_crop,
)
from tirtrack.distillation.settings import Boxes, CrossModalRecipe, Direction, Modality
from tirtrack.errors import PairsError, TrainingError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.source import Pair, PairSource

Levels = Callable[[np.ndarray], np.ndarray]
"""Maps a stored TIR frame to grey levels 0..255 ``[H,W]``."""


class Stream(IntEnum):
    """One random stream per purpose: ``default_rng([seed, purpose, ...])``."""

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


@dataclass(frozen=True)
class Sample:
    """A pseudo-box of a pair, and where both patches are cut; no pixels.

    Attributes:
        key: name that is unique in the pool, with recording and frame.
        pair: index of the pair in the source.
        scene: name of the scene; samples of different scenes never show the same object.
        box: pseudo-box, frame pixels.
        found_in: modality in which the box was found.
        quality: quality of the box.
        way: name of the proposer.
        reference: reference patch, with the box at its centre up to jitter.
        test: test patch, in which the box is sought.
        number: position in the pool, which seeds the random streams of the sample.
    """

    key: str
    pair: int
    scene: str
    box: Box
    found_in: FoundIn
    quality: float
    way: str
    reference: CropSpec
    test: CropSpec
    number: int

    def box_in(self, crop: Crop) -> np.ndarray:
        """The box ``[4]`` float32 xywh, in the pixels of a patch."""
        return boxes_to_patch(self.box.array(), crop).astype(np.float32)


# --- samples -------------------------------------------------------------------------------------


def serves_direction(found_in: FoundIn, direction: Direction, boxes: Boxes) -> bool:
    """Whether a box may be used in a direction. By default a box found in one modality needs a
    branch that sees that modality; ``by_source`` asks for the reference branch.
    """
    if found_in is FoundIn.BOTH:
        return True
    modality = Modality(found_in.value)
    if boxes.by_source:
        return modality is direction.reference
    return not boxes.only_where_found or modality in (direction.reference, direction.test)


def usable_proposals(found: ProposalSet, recipe: CrossModalRecipe) -> list[Proposal]:
    """The boxes of a pair that the recipe can use."""
    return [
        proposal
        for proposal in found.kept
        if (proposal.way == recipe.proposals.way or recipe.boxes.fallback)
        and proposal.found_in in recipe.boxes.found_in
        and recipe.boxes.quality.get(proposal.found_in, 0.0) > 0
        and any(
            serves_direction(proposal.found_in, direction, recipe.boxes)
            for direction in recipe.directions
        )
    ]


def draw_samples(
    source: PairSource,
    indices: Sequence[int],
    proposals: Sequence[ProposalSet],
    recipe: CrossModalRecipe,
    *,
    rules: CropRules,
    count: int,
    seed: int,
) -> list[Sample]:
    """``count`` samples: the pair drawn uniformly, the box by quality, the jitter per branch.

    Args:
        source: pairs; only the names of recordings are read, no pixels.
        indices: indices of the pairs that may be drawn.
        proposals: proposals of these pairs, in the same order.
        recipe: recipe with the settings of boxes and jitter.
        rules: crop rules of the network.
        count: number of samples.
        seed: seed of all random draws.

    Raises:
        PairsError: no pair has a box that the recipe can use.
    """
    candidates = [
        (index, usable)
        for index, found in zip(indices, proposals, strict=True)
        if (usable := usable_proposals(found, recipe))
    ]
    if not candidates:
        raise PairsError(
            f"no box that the recipe can use was proposed in {len(indices)} pairs",
            source.name,
            "look at them with `tirtrack pairs inspect`, or choose another way of proposing",
        )
    places = places_of(source)
    samples = []
    for number in range(count):
        rng = np.random.default_rng([seed, Stream.BOX, number])
        index, usable = candidates[int(rng.integers(len(candidates)))]
        weights = np.array([recipe.boxes.quality[proposal.found_in] for proposal in usable])
        which = int(rng.choice(len(usable), p=weights / weights.sum()))
        proposal = usable[0 if "first_box" in recipe.as_published else which]
        reference, test = draw_crop_specs(proposal.box, rules, recipe, number=number, seed=seed)
        samples.append(
            Sample(
                key=f"{places[index].name}#{number}",
                pair=index,
                scene=places[index].scene,
                box=proposal.box,
                found_in=proposal.found_in,
                quality=recipe.boxes.quality[proposal.found_in],
                way=proposal.way,
                reference=reference,
                test=test,
                number=number,
            )
        )
    return samples


@dataclass(frozen=True)
class Place:
    """The name of a pair, and of its scene: pairs of one scene may show the same object. The scene
    is the recording of a video, or the pair itself if it is a still.
    """

    name: str
    scene: str


def places_of(source: PairSource) -> dict[int, Place]:
    """Names of every pair and its scene, by its index in the source."""
    return {
        index: Place(name, recording.name if recording.is_video else name)
        for recording in source.recordings().values()
        for position, index in enumerate(recording.indices)
        for name in [f"{recording.name}/{position}"]
    }


def draw_crop_specs(
    box: Box, rules: CropRules, recipe: CrossModalRecipe, *, number: int, seed: int
) -> tuple[CropSpec, CropSpec]:
    """Crops of a sample's reference and test patch: jitter for each, mirroring as in the recipe."""
    reference_rng, test_rng, flip_rng = (
        np.random.default_rng([seed, stream, number])
        for stream in (Stream.REFERENCE_JITTER, Stream.TEST_JITTER, Stream.FLIP)
    )
    is_mirrored, test_mirrored = flip_rng.random(2) < recipe.flip
    if recipe.flip_together:
        test_mirrored = is_mirrored
    return (
        jittered_reference_crop(
            box, rules.reference, recipe.jitter, reference_rng, is_mirrored=bool(is_mirrored)
        ),
        jittered_test_crop(
            box, rules.test, recipe.jitter, test_rng, is_mirrored=bool(test_mirrored)
        ),
    )


def away_crop(sample: Sample, shape_hw: tuple[int, int], seed: int) -> Crop | None:
    """A test crop of the same frame without the box; ``None`` if the frame is too small.

    The crop lies beside the box in one of eight directions, with its centre inside the frame.
    """
    rng = np.random.default_rng([seed, Stream.AWAY, sample.number])
    test, (cx, cy) = sample.test.crop(shape_hw), sample.box.center_xy
    side = test.side
    reach_x, reach_y = (side + sample.box.w) / 2 + 1, (test.height + sample.box.h) / 2 + 1
    height, width = shape_hw
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    for i, j in rng.permutation(np.array(steps)):
        x, y = cx + i * reach_x, cy + j * reach_y
        if 0 <= x <= width and 0 <= y <= height:
            return replace(test, x=x - side / 2, y=y - test.height / 2)
    return None


# --- pixels --------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class ViewKey:
    """Key of a patch of a sample: ``reference``, ``test`` or ``away``, the modality, and whether it
    is augmented.
    """

    branch: str
    modality: Modality
    augmented: bool = False


@dataclass(frozen=True)
class Cut:
    """The patches of a sample.

    Attributes:
        place: position of the sample in the given order.
        patches: RGB ``[D,D,3]``, TIR ``[D,D]`` (on a canvas ``[D,D,3]``), uint8; an ``away``
            patch that does not fit into the frame is left out.
        boxes_patch: ``[4]`` float32 xywh of the box in the ``reference`` and the ``test`` patch.
    """

    place: int
    patches: dict[ViewKey, np.ndarray]
    boxes_patch: dict[str, np.ndarray]


def cut_views(
    source: PairSource,
    samples: Sequence[Sample],
    keys: Iterable[ViewKey],
    recipe: CrossModalRecipe,
    *,
    levels: Levels,
    seed: int,
) -> Iterator[Cut]:
    """The patches of all samples, pair by pair, so that every frame is read once."""
    wanted = sorted(keys)
    order = sorted(range(len(samples)), key=lambda place: (samples[place].pair, place))
    opened: tuple[int, _Frames] | None = None
    for place in order:
        sample = samples[place]
        if opened is None or opened[0] != sample.pair:
            pair = source[sample.pair]
            is_canvas = "canvas" in recipe.as_published
            opened = sample.pair, _Frames(pair, wanted, levels, is_canvas=is_canvas)
        yield _cut(place, sample, opened[1], wanted=wanted, recipe=recipe, seed=seed)


class _Frames:
    """The frames of one pair as grey levels; only the modalities that are needed.

    On a canvas, as published, each frame has the other modality at its right, and crops may show
    both. (Published boxes of the right half, which begin in TIR, have it at their left.)
    """

    def __init__(
        self, pair: Pair, wanted: Sequence[ViewKey], levels: Levels, *, is_canvas: bool
    ) -> None:
        modalities = {key.modality for key in wanted}
        self.images: dict[Modality, np.ndarray] = {}
        self._fills: dict[tuple[Modality, CropRule], np.ndarray | None] = {}
        if Modality.RGB in modalities or is_canvas:
            self.images[Modality.RGB] = pair.rgb
        if Modality.TIR in modalities or is_canvas:
            self.images[Modality.TIR] = levels(pair.tir)
        if is_canvas:
            rgb, tir = self.images[Modality.RGB], self.images[Modality.TIR]
            tir = np.repeat(tir[..., None], 3, axis=2)
            self.images = {
                Modality.RGB: np.concatenate([rgb, tir], axis=1),
                Modality.TIR: np.concatenate([tir, rgb], axis=1),
            }
        height, width = pair.rgb.shape[:2]
        self.shape_hw = (height, 2 * width if is_canvas else width)

    def fill(self, modality: Modality, rule: CropRule) -> np.ndarray | None:
        """Fill value outside the frame; each mean is computed once."""
        if (modality, rule) not in self._fills:
            self._fills[modality, rule] = fill_of(rule, self.images[modality])
        return self._fills[modality, rule]


def _cut(
    place: int,
    sample: Sample,
    frames: _Frames,
    *,
    wanted: Sequence[ViewKey],
    recipe: CrossModalRecipe,
    seed: int,
) -> Cut:
    crops = {
        "reference": sample.reference.crop(frames.shape_hw),
        "test": sample.test.crop(frames.shape_hw),
        "away": away_crop(sample, frames.shape_hw, seed),
    }
    looks = {
        modality: draw_jitter(
            recipe.augmentation.rgb if modality is Modality.RGB else recipe.augmentation.tir,
            np.random.default_rng([seed, Stream.PHOTOMETRIC, sample.number]),
        )
        for modality in Modality
    }
    patches = {}
    for number, key in enumerate(wanted):
        crop = crops[key.branch]
        if crop is None:
            continue
        rule = (sample.reference if key.branch == "reference" else sample.test).rule
        patch = cut_patch(frames.images[key.modality], crop, frames.fill(key.modality, rule))
        if key.augmented:
            rng = np.random.default_rng([seed, Stream.NOISE, sample.number, number])
            patch = apply_jitter(patch, looks[key.modality], rng)
        patches[key] = np.rint(patch).clip(0, 255).astype(np.uint8)
    boxes = {
        branch: sample.box_in(crop)
        for branch, crop in crops.items()
        if crop is not None and branch != "away"
    }
    return Cut(place, patches, boxes)


# --- steps ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """One training example of a step.

    Attributes:
        direction: direction, with the modality that each branch of the student sees.
        reference: row of the sample whose reference patch is used.
        test: row of the sample whose test patch is used; another scene in a negative pair.
        away: whether the test patch is cut beside the box in the same frame.
    """

    direction: Direction
    reference: int
    test: int
    away: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether the test patch shows the target of the reference patch."""
        return self.reference == self.test and not self.away


@dataclass(frozen=True)
class Stock:
    """The samples that a step may draw.

    Attributes:
        scenes: scene of every sample of the pool.
        serving: rows of the samples that may be used, by direction.
        has_away: ``[n]`` bool; whether the frame has room for a patch beside the box.
    """

    scenes: Sequence[str]
    serving: Mapping[Direction, np.ndarray]
    has_away: np.ndarray


MAX_SCENE_DRAWS = 20


def stock_of(
    samples: Sequence[Sample],
    usable: np.ndarray,
    has_away: np.ndarray,
    recipe: CrossModalRecipe,
) -> Stock:
    """The samples that may be used, by direction.

    Args:
        samples: samples of the pool.
        usable: ``[n]`` bool; whether the teacher's check lets the sample be used.
        has_away: ``[n]`` bool, as in :class:`Stock`.
        recipe: recipe with the directions, and which boxes serve them.

    Raises:
        TrainingError: a direction has no sample.
    """
    serving = {}
    for direction in recipe.directions:
        fits = np.array(
            [serves_direction(sample.found_in, direction, recipe.boxes) for sample in samples]
        )
        serving[direction] = np.flatnonzero(usable & fits)
        if not len(serving[direction]):
            raise TrainingError(
                f"no sample of {len(samples)} is left for {direction} ({int(usable.sum())} passed "
                "the teacher)",
                fix="give more pairs, another way of proposing, or a recipe without this direction",
            )
    return Stock([sample.scene for sample in samples], serving, has_away)


def plan_step(stock: Stock, recipe: CrossModalRecipe, *, seed: int, step: int) -> list[Draw]:
    """The samples of a step; each is a pure function of seed, step and position.

    Every direction gets its share of every step (systematic sampling: exact up to one sample).
    """
    directions = sorted(recipe.directions)
    shares = np.array([recipe.directions[direction] for direction in directions])
    ends = np.cumsum(shares / shares.sum())
    offset = np.random.default_rng([seed, Stream.DIRECTIONS, step]).random()
    batch = recipe.training.batch
    draws = []
    for position in range(batch):
        which = int(np.searchsorted(ends, (position + offset) / batch, side="right"))
        direction = directions[min(which, len(directions) - 1)]
        rng = np.random.default_rng([seed, Stream.STEP, step, position])
        draws.append(_draw(stock, direction, recipe.negatives, rng))
    return draws


def _draw(stock: Stock, direction: Direction, negatives: float, rng: np.random.Generator) -> Draw:
    serving = stock.serving[direction]
    is_negative = rng.random() < negatives
    reference = int(serving[rng.integers(len(serving))])
    if not is_negative:
        return Draw(direction, reference, reference)
    if stock.has_away[reference]:
        return Draw(direction, reference, reference, away=True)
    for test in serving[rng.integers(len(serving), size=MAX_SCENE_DRAWS)]:
        if stock.scenes[test] != stock.scenes[reference]:
            return Draw(direction, reference, int(test))
    return Draw(direction, reference, reference)  # one scene only, and no room beside the box
