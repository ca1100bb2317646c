"""Settings of recipes: every number of an experiment, typed, closed and complete.

Models only; :mod:`tirtrack.distillation.recipe` reads files. The defaults written here are those of
the recipe ``mixed`` and are written nowhere else: a recipe file states only its difference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tirtrack.pairs.proposals.base import FoundIn

Share = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Pair = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Keep = Literal["if_better", "unless_worse", "always"]
Option = bool | int | float | str | list[str]


class Modality(StrEnum):
    """What a camera measures."""

    RGB = "rgb"
    TIR = "tir"


class Direction(StrEnum):
    """Which modality each branch of the student sees: ``REFERENCE_to_TEST``."""

    TIR_TO_TIR = "tir_to_tir"
    RGB_TO_TIR = "rgb_to_tir"
    TIR_TO_RGB = "tir_to_rgb"
    RGB_TO_RGB = "rgb_to_rgb"

    @property
    def reference(self) -> Modality:
        """What the reference branch sees."""
        return Modality(self.value.split("_to_")[0])

    @property
    def test(self) -> Modality:
        """What the test branch sees."""
        return Modality(self.value.split("_to_")[1])

    @property
    def is_crossed(self) -> bool:
        """Whether the branches see different modalities."""
        return self.reference is not self.test


class Settings(BaseModel):
    """Strict and frozen: an unknown key or a value of another type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Proposals(Settings):
    """Which proposer is used, and its options."""

    way: str = "saliency"
    options: dict[str, Option] = {}
    modalities: Annotated[list[Modality], Field(min_length=1)] = Field(
        default=list(Modality), description="the proposer sees these; the other one is blank"
    )


class Boxes(Settings):
    """Which pseudo-boxes are used, and how often each kind is drawn."""

    found_in: Annotated[list[FoundIn], Field(min_length=1)] = list(FoundIn)
    quality: dict[FoundIn, NotNegative] = {FoundIn.BOTH: 1.0, FoundIn.TIR: 0.5, FoundIn.RGB: 0.5}
    fallback: bool = Field(
        default=False, description="use random boxes of pairs in which the way found nothing"
    )
    only_where_found: bool = Field(
        default=True,
        description="a box of one modality alone serves only directions that see this modality",
    )
    by_source: bool = Field(
        default=False,
        description="a box of one modality alone serves only directions whose reference branch "
        "sees it, as published for boxes of a detector",
    )


class Term(Settings):
    """One term of the loss (``cross_modal.TERMS``)."""

    name: Literal[
        "cross_supervision", "score", "boxes", "filter", "filter_search", "modulation", "energy"
    ]
    weight: Positive = 1.0
    directions: list[Direction] | None = Field(
        default=None, description="only in these; in all that the term serves when left out"
    )
    temperature: Positive = Field(default=1.0, description="of the term score")
    form: Literal["iou", "smooth_l1"] = Field(default="iou", description="of the term boxes")


class Estimator(Settings):
    """Training proposals of a box estimator: boxes around the box, for networks that rate them.

    Settings left out are as published for the kind of the network's energies: overlap and ``mse``,
    or a mixture and ``kl``.
    """

    sampling: Literal["overlap", "mixture"] | None = None
    loss: Literal["kl", "ml", "mse"] | None = Field(
        default=None, description="mse to 2 IoU - 1, kl to a density, ml of the box itself"
    )
    count: AtLeastOne | None = Field(
        default=None, description="proposals a test patch; 8 by overlap, 128 of a mixture"
    )
    sigmas: list[Pair] = Field(
        default=[[0.05, 0.05], [0.5, 0.5]],
        description="of the mixture's parts: centre (parts of the box's sides), log size",
    )
    box_sigma: Pair = Field(default=[0.05, 0.05], description="of the wanted density")


class BoxCheck(Settings):
    """When a teacher that can only give a box of its own accepts a proposed box.

    On 71 frames of labelled RGB, NanoTrack and FEAR-XS have a confidence above 0.998 for right
    boxes in at least 99 %, and with the template of another object in none
    (``python -m benchmarks.foreign_teacher``).
    """

    min_iou: Share = 0.5
    min_iou_by_way: dict[str, Share] = {"random": 0.3, "centre": 0.3}
    min_probability: Share = 0.998


class Teacher(Settings):
    """The frozen teacher: its weights, its modality, and when it is trusted."""

    weights: str | None = Field(
        default=None,
        description="other weights than the baseline; with another backbone or other crops they "
        "can only check boxes",
    )
    modality: Modality = Modality.RGB
    require: bool = Field(default=True, description="samples that the teacher fails are not used")
    tir_boxes_on_tir: bool = Field(
        default=True, description="a box found in TIR alone is checked on TIR"
    )
    max_distance_cells: Positive = 1.5
    min_iou: Share = 0.5
    min_iou_by_way: dict[str, Share] = {"random": 0.3, "centre": 0.3}
    min_probability: Share = 0.98
    box_check: BoxCheck = Field(
        default=BoxCheck(),
        description="in place of the four above, if the teacher can only check boxes",
    )
    warn_below: Share = Field(default=0.5, description="a pass rate under this is a warning")


class BranchJitter(Settings):
    """Centre shift in patch pixels per axis, uniform in +-``shift``; scale ``exp(U(+-scale))``."""

    shift: Annotated[float, Field(ge=0.0, le=112.0)]
    scale: Annotated[float, Field(ge=0.0, le=1.0)]


class BoxJitter(Settings):
    """Centre shift as a fraction of the target's size, uniform over a range of width ``centre``;
    each side times ``exp(N * scale)``.
    """

    centre: NotNegative | None = Field(
        default=None, description="left out: the crop's area factor less 0.5, as published"
    )
    scale: Annotated[float, Field(ge=0.0, le=1.0)]


class Jitter(Settings):
    """Jitter of both branches: the first two for crops with the target's context (Siamese), the
    others for crops by the target's area (DiMP, ATOM).
    """

    reference: BranchJitter = BranchJitter(shift=4.0, scale=0.05)
    test: BranchJitter = BranchJitter(shift=64.0, scale=0.18)
    reference_box: BoxJitter = BoxJitter(centre=3.0, scale=0.25)
    test_box: BoxJitter = BoxJitter(scale=0.5)


class Photometric(Settings):
    """Photometric changes, drawn once per sample; none by default."""

    grey: Share = Field(default=0.0, description="share made grey")
    invert: Share = Field(default=0.0, description="share turned from white-hot to black-hot")
    gamma: Annotated[float, Field(ge=0.0, le=3.0)] = Field(
        default=0.0, description="gamma = 2 ** U(+-this)"
    )
    gain: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(default=0.0, description="1 + U(+-this)")
    offset: Annotated[float, Field(ge=0.0, le=255.0)] = Field(
        default=0.0, description="U(+-this) grey levels"
    )
    blur: Share = Field(default=0.0, description="share blurred")
    blur_sigma: Positive = Field(default=2.0, description="largest sigma, patch pixels")
    noise: NotNegative = Field(default=0.0, description="largest sigma, grey levels")

    @property
    def is_identity(self) -> bool:
        """Whether these settings change nothing."""
        return not any(
            (self.grey, self.invert, self.gamma, self.gain, self.offset, self.blur, self.noise)
        )


class Augmentation(Settings):
    """Augmentation of the student's patches; the teacher sees plain crops."""

    rgb: Photometric = Photometric()
    tir: Photometric = Photometric()


class Training(Settings):
    """What is trained, and how."""

    components: dict[str, Positive] = Field(
        default={"target_filter": 1.0, "box_estimator": 1.0},
        description="component, or a part of one after a dot, to its part of the rate; all others "
        "stay frozen",
    )
    keep_published_frozen: bool = Field(
        default=False, description="what the network's published training keeps as it is, stays so"
    )
    batch_norm: Literal["frozen", "adapt", "re_estimate", "train"] = Field(
        default="frozen",
        description="frozen: published statistics; train: of the batch; adapt: train, then "
        "re_estimate; re_estimate: anew on TIR crops at the end",
    )
    batch_norm_samples: AtLeastOne = 640
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: Positive = 1.0e-4
    schedule: Literal["cosine", "step"] = Field(
        default="cosine", description="of the rate after the warm-up: to 0, or down by steps"
    )
    decay: Share = Field(default=0.2, description="factor of each step down")
    decay_every: AtLeastOne = Field(default=15_000, description="optimiser steps from one to next")
    momentum: Share = Field(default=0.9, description="of sgd")
    weight_decay: NotNegative = 1.0e-4
    steps: Count = 200
    batch: AtLeastOne = 16
    warm_up: Count = Field(default=20, description="steps of linear warm-up, then cosine to 0")
    clip_norm: Positive | None = 10.0
    checkpoint_every: AtLeastOne = 25


class HeldOut(Settings):
    """Data that is held out to judge a training."""

    share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.2, description="of the recordings, whole ones; of the last frames where only one"
    )
    samples: Count = 200


class HeldBack(HeldOut):
    """Held-back pairs of a distillation, which has no labels: the student is validated on them at
    the end and during the training.
    """

    validate_every: Count = Field(
        default=50,
        description="validate the student every N steps; 0: only at the end",
    )


class _Recipe(Settings):
    format: Literal[1] = 1
    name: str = ""
    summary: str = ""


NetworkKind = Literal["siamese", "dimp", "atom"]
AsPublished = Literal["shared_box", "first_box", "bn1_train", "canvas"]


class CrossModalRecipe(_Recipe):
    """A distillation from unlabelled pairs; the defaults are the recipe ``mixed``."""

    kind: Literal["cross_modal"] = "cross_modal"
    network: NetworkKind = Field(
        default="siamese", description="the kind of network that it trains: siamese, dimp or atom"
    )
    proposals: Proposals = Proposals()
    boxes: Boxes = Boxes()
    normaliser: str = Field(default="adaptive", description="of 16-bit TIR, tirtrack.thermal")
    directions: Annotated[dict[Direction, Positive], Field(min_length=1)] = Field(
        default={
            Direction.TIR_TO_TIR: 0.5,
            Direction.RGB_TO_TIR: 0.25,
            Direction.TIR_TO_RGB: 0.25,
        },
        description="share of the samples; any positive numbers, their sum counts as one",
    )
    terms: list[Term] = [Term(name="cross_supervision")]
    negatives: Share = Field(default=0.2, description="share of samples without the target")
    max_gap: Count = Field(
        default=0,
        description="frames from reference to test in videos; a tracker follows boxes that are "
        "seen in RGB there and back. 0: both patches of a sample show one frame",
    )
    teacher: Teacher = Teacher()
    jitter: Jitter = Jitter()
    flip: Share = Field(default=0.0, description="share of samples whose crops are mirrored")
    flip_together: bool = Field(
        default=True, description="both branches of a sample are mirrored, or none"
    )
    augmentation: Augmentation = Augmentation()
    estimator: Estimator = Estimator()
    as_published: list[AsPublished] = Field(
        default=[], description="accidents of the published code that are repeated on purpose"
    )
    training: Training = Training()
    pool: AtLeastOne = Field(default=1000, description="samples drawn once and kept")
    held_back: HeldBack = HeldBack()

    @model_validator(mode="after")
    def _terms_where_there_is_a_gradient(self) -> CrossModalRecipe:
        if self.training.steps and not self.terms:
            raise ValueError("training has steps and no term; give a term or steps: 0")
        return self

    @property
    def trains_backbone(self) -> bool:
        """Whether the backbone is trained, so that its features cannot be cached."""
        return "backbone" in self.training.components or "bn1_train" in self.as_published


class SupervisedRecipe(_Recipe):
    """Training of an RGB baseline on labelled RGB, new or continued (``supervised.py``): cross
    supervision by labels in place of pseudo-boxes, without a teacher.
    """

    terms: ClassVar[list[Term]] = [Term(name="cross_supervision")]
    teacher: ClassVar[Teacher] = Teacher()
    as_published: ClassVar[list[AsPublished]] = []  # accidents that no supervised recipe repeats

    kind: Literal["supervised"]
    augmentation: Photometric = Photometric()
    estimator: Estimator = Estimator()
    negatives: Share = 0.2
    jitter: Jitter = Jitter()
    flip: Share = Field(default=0.0, description="share of crops that are mirrored")
    flip_together: bool = Field(
        default=True, description="all crops of a sample are mirrored, or none"
    )
    references: AtLeastOne = Field(default=1, description="reference images a sample")
    tests: AtLeastOne = Field(default=1, description="test images a sample")
    sampling: Literal["interval", "causal"] = Field(
        default="interval", description="of videos: either order, or reference before test"
    )
    max_gap: AtLeastOne = Field(default=30, description="frames from reference to test, videos")
    stills: Share = Field(default=0.5, description="share of samples from stills, where both are")
    pool: AtLeastOne = Field(default=1024, description="samples cut at a time and shuffled")
    pools: AtLeastOne | None = Field(
        default=None,
        description="so many different pools, then the first one again; while the backbone is "
        "frozen their features are kept on disk. Left out: no pool comes twice",
    )
    held_out: HeldOut = HeldOut(share=0.15, samples=400)
    keep: Keep = Field(
        default="if_better",
        description="when the trained weights replace the start weights: held-out one-step IoU "
        "is higher; its interval does not lie below 0; always",
    )
    training: Training = Training()

    @model_validator(mode="after")
    def _nothing_thermal(self) -> SupervisedRecipe:
        if self.training.batch_norm not in ("frozen", "train"):
            raise ValueError("training.batch_norm must be frozen or train, there are no TIR crops")
        return self


Recipe = CrossModalRecipe | SupervisedRecipe
