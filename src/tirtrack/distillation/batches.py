"""From pairs and proposals to samples and batches.

Three steps, each a pure function of a seed and a position, so that nothing has to be remembered for
a run to be resumed: :func:`draw_samples` chooses pairs, pseudo-boxes and jitter without reading a
pixel; :func:`cut_views` cuts both modalities by the same rectangles; :func:`plan_step` says which
samples make a step, in which direction, and which of them without the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import (
    SEARCH_SIDE,
    TEMPLATE_SIDE,
    Crop,
    boxes_to_patch,
    cut_patch,
    mean_fill,
    siamese_crop,
)
from tirtrack.distillation.augmentation import apply_look, draw_look
from tirtrack.distillation.settings import (
    Boxes,
    BranchJitter,
    CrossModalRecipe,
    Direction,
    Jitter,
    Modality,
)
from tirtrack.errors import PairsError, TrainingError
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.source import Pair, PairSource

Levels = Callable[[np.ndarray], np.ndarray]
"""A TIR frame as stored to grey levels 0..255 ``[H,W]``."""


class Stream(IntEnum):
    """One random stream a purpose: ``default_rng([seed, purpose, ...])``."""

    PAIRS = 1
    BOX = 2
    REFERENCE_JITTER = 3
    TEST_JITTER = 4
    AWAY = 5
    LOOK = 6
    NOISE = 7
    STEP = 8
    DIRECTIONS = 9


@dataclass(frozen=True)
class Sample:
    """A pseudo-box of a pair, and where both patches are cut; no pixels.

    Attributes:
        key: unique in its pool; says recording and frame.
        pair: index in the source.
        scene: samples of different scenes never show the same object.
        box: frame pixels.
        found_in: in which modality.
        quality: of the box.
        way: who proposed it.
        reference: crop with the box at its middle, up to jitter.
        test: crop in which the box is sought.
        number: its place in the pool; its random streams hang on it.
    """

    key: str
    pair: int
    scene: str
    box: Box
    found_in: FoundIn
    quality: float
    way: str
    reference: Crop
    test: Crop
    number: int

    def box_in(self, crop: Crop) -> np.ndarray:
        """``[4]`` float32 xywh, pixels of a patch."""
        return boxes_to_patch(self.box.array(), crop).astype(np.float32)


# --- which samples -------------------------------------------------------------------------------


def serves_direction(found_in: FoundIn, direction: Direction, boxes: Boxes) -> bool:
    """Whether a box may be used in a direction: one of a single modality only where that modality
    is seen.
    """
    if not boxes.only_where_found or found_in is FoundIn.BOTH:
        return True
    return Modality(found_in.value) in (direction.reference, direction.test)


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
    count: int,
    seed: int,
) -> list[Sample]:
    """``count`` samples: the pair uniform, the box by quality, jitter of its own for each branch.

    Args:
        source: for the names of recordings; no pixel is read.
        indices: the pairs that may be drawn.
        proposals: of these pairs, in the same order.
        recipe: boxes and jitter.
        count: how many.
        seed: of the draws.

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
        proposal = usable[int(rng.choice(len(usable), p=weights / weights.sum()))]
        samples.append(_sample(index, places[index], proposal, recipe, number=number, seed=seed))
    return samples


@dataclass(frozen=True)
class Place:
    """Where a pair comes from: its name, and the name of what it may share objects with (its
    video, or itself if it is a still).
    """

    name: str
    scene: str


def places_of(source: PairSource) -> dict[int, Place]:
    """The place of every pair, by its index in the source."""
    return {
        index: Place(name, recording.name if recording.is_video else name)
        for recording in source.recordings().values()
        for position, index in enumerate(recording.indices)
        for name in [f"{recording.name}/{position}"]
    }


def _sample(
    pair: int,
    place: Place,
    proposal: Proposal,
    recipe: CrossModalRecipe,
    *,
    number: int,
    seed: int,
) -> Sample:
    reference, test = jittered_crops(proposal.box, recipe.jitter, number=number, seed=seed)
    return Sample(
        key=f"{place.name}#{number}",
        pair=pair,
        scene=place.scene,
        box=proposal.box,
        found_in=proposal.found_in,
        quality=recipe.boxes.quality[proposal.found_in],
        way=proposal.way,
        reference=reference,
        test=test,
        number=number,
    )


def jittered_crops(
    box: Box, jitter: Jitter, *, number: int, seed: int, test_box: Box | None = None
) -> tuple[Crop, Crop]:
    """Reference and test crop of a sample; the test crop is of ``test_box`` where
    the two patches come from different frames.
    """
    streams = [
        np.random.default_rng([seed, stream, number])
        for stream in (Stream.REFERENCE_JITTER, Stream.TEST_JITTER)
    ]
    return (
        _jittered(box, TEMPLATE_SIDE, jitter.reference, streams[0]),
        _jittered(test_box or box, SEARCH_SIDE, jitter.test, streams[1]),
    )


def _jittered(box: Box, side: int, jitter: BranchJitter, rng: np.random.Generator) -> Crop:
    u = rng.uniform(-1, 1, size=3)
    shift = (float(jitter.shift * u[0]), float(jitter.shift * u[1]))
    return siamese_crop(box, side, shift_patch_xy=shift, scale=float(np.exp(jitter.scale * u[2])))


def away_crop(sample: Sample, shape_hw: tuple[int, int], seed: int) -> Crop | None:
    """A test crop of the same frame in which the box is not; ``None`` where the frame is too small.

    The patch lies beside the box in one of eight directions, its centre inside the frame.
    """
    rng = np.random.default_rng([seed, Stream.AWAY, sample.number])
    side, (cx, cy) = sample.test.side, sample.box.center_xy
    reach_x, reach_y = (side + sample.box.w) / 2 + 1, (side + sample.box.h) / 2 + 1
    height, width = shape_hw
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    for i, j in rng.permutation(np.array(steps)):
        x, y = cx + i * reach_x, cy + j * reach_y
        if 0 <= x <= width and 0 <= y <= height:
            return Crop(x - side / 2, y - side / 2, side, sample.test.patch_side)
    return None


# --- pixels --------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class ViewKey:
    """Which patch of a sample: ``reference``, ``test`` or ``away``; the modality; and whether
    augmented.
    """

    branch: str
    modality: Modality
    augmented: bool = False

    @property
    def side(self) -> int:
        """Of the patch, pixels."""
        return TEMPLATE_SIDE if self.branch == "reference" else SEARCH_SIDE


def cut_views(
    source: PairSource,
    samples: Sequence[Sample],
    keys: Iterable[ViewKey],
    recipe: CrossModalRecipe,
    *,
    levels: Levels,
    seed: int,
) -> Iterator[tuple[int, dict[ViewKey, np.ndarray]]]:
    """The patches of all samples, pair by pair, so that every frame is read once.

    Yields:
        The place of a sample in ``samples``, and its patches: RGB ``[D,D,3]``, TIR ``[D,D]``,
        uint8. An ``away`` patch that does not fit into the frame is left out.
    """
    wanted = sorted(keys)
    order = sorted(range(len(samples)), key=lambda place: (samples[place].pair, place))
    opened: tuple[int, _Frames] | None = None
    for place in order:
        sample = samples[place]
        if opened is None or opened[0] != sample.pair:
            opened = sample.pair, _Frames(source[sample.pair], wanted, levels)
        yield place, dict(_patches(sample, opened[1], wanted, recipe, seed))


class _Frames:
    """The frames of one pair as grey levels, with their fills; only those that are wanted."""

    def __init__(self, pair: Pair, wanted: Sequence[ViewKey], levels: Levels) -> None:
        self.shape_hw = (pair.rgb.shape[0], pair.rgb.shape[1])
        modalities = {key.modality for key in wanted}
        self.images: dict[Modality, np.ndarray] = {}
        if Modality.RGB in modalities:
            self.images[Modality.RGB] = pair.rgb
        if Modality.TIR in modalities:
            self.images[Modality.TIR] = levels(pair.tir)
        self.fills = {modality: mean_fill(image) for modality, image in self.images.items()}


def _patches(
    sample: Sample,
    frames: _Frames,
    wanted: Sequence[ViewKey],
    recipe: CrossModalRecipe,
    seed: int,
) -> Iterator[tuple[ViewKey, np.ndarray]]:
    crops = {
        "reference": sample.reference,
        "test": sample.test,
        "away": away_crop(sample, frames.shape_hw, seed),
    }
    looks = {
        modality: draw_look(
            recipe.augmentation.rgb if modality is Modality.RGB else recipe.augmentation.tir,
            np.random.default_rng([seed, Stream.LOOK, sample.number]),
        )
        for modality in Modality
    }
    for number, key in enumerate(wanted):
        crop = crops[key.branch]
        if crop is None:
            continue
        patch = cut_patch(frames.images[key.modality], crop, frames.fills[key.modality])
        if key.augmented:
            rng = np.random.default_rng([seed, Stream.NOISE, sample.number, number])
            patch = apply_look(patch, looks[key.modality], rng)
        yield key, np.rint(patch).clip(0, 255).astype(np.uint8)


# --- which step ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draw:
    """One place of a step.

    Attributes:
        direction: which modality each branch of the student sees.
        reference: the sample whose reference patch is used.
        test: the sample whose test patch is used; another scene in a negative pair.
        away: the test patch is the sample's own frame beside the box.
    """

    direction: Direction
    reference: int
    test: int
    away: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether the test patch shows the target."""
        return self.reference == self.test and not self.away


@dataclass(frozen=True)
class Stock:
    """What a step may draw from.

    Attributes:
        scenes: of every sample of the pool.
        serving: for each direction the samples that may be used in it.
        has_away: ``[n]`` bool; whether there is a patch of the frame beside the box.
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
    """The samples that the teacher left, by direction.

    Args:
        samples: of the pool.
        usable: ``[n]`` bool; whether the teacher left it.
        has_away: ``[n]`` bool, as in :class:`Stock`.
        recipe: directions, and which boxes serve them.

    Raises:
        TrainingError: a direction has none.
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
    """Which samples make a step; a pure function of seed, step and position.

    Directions get their shares of every step (systematic sampling: exact up to one sample).
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
