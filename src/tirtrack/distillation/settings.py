"""Settings of recipes: every number of an experiment, typed, closed and complete.

Models only; :mod:`tirtrack.distillation.recipe` reads files. The defaults written here are those of
the recipe ``mixed`` and are written nowhere else: a recipe file states only its difference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticKnownError

from tirtrack.networks import registry
from tirtrack.pairs.proposals.base import FoundIn
from tirtrack.pairs.tracklets import TrackSettings

Share = Annotated[float, Field(ge=0.0, le=1.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]
Pair = Annotated[list[Positive], Field(min_length=2, max_length=2)]
Keep = Literal["if_better", "unless_worse", "always"]
Option = bool | int | float | str | list[str] | dict[str, float]


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
        default=list(Modality),
        description="modalities that the proposer sees; the other one is blanked",
    )


class Boxes(Settings):
    """Which pseudo-boxes are used, and how often each kind is drawn."""

    found_in: Annotated[list[FoundIn], Field(min_length=1)] = list(FoundIn)
    quality: dict[FoundIn, NotNegative] = {FoundIn.BOTH: 1.0, FoundIn.TIR: 0.5, FoundIn.RGB: 0.5}
    calibrated: bool = Field(
        default=False,
        description="draw boxes by the probability, calibrated on the synthetic world, that they "
        "are objects, in place of these numbers",
    )
    fallback: bool = Field(
        default=False, description="use random boxes in pairs in which the proposer found nothing"
    )
    only_where_found: bool = Field(
        default=True,
        description="use a box that was found in one modality only in directions that see this "
        "modality",
    )
    by_source: bool = Field(
        default=False,
        description="use a box that was found in one modality only in directions whose "
        "reference branch sees it, as published for the boxes of a detector",
    )
    join_iou: Share | None = Field(
        default=None,
        description="overlap with a trusted track from which proposals are boxes of one target, in "
        "place of the boxes of the track; by default the boxes of the track are used",
    )


class Term(Settings):
    """One term of the loss (``cross_modal.TERMS``)."""

    name: Literal[
        "cross_supervision",
        "distractors",
        "score",
        "boxes",
        "filter",
        "filter_search",
        "modulation",
        "energy",
        "anchor",
    ]
    weight: Positive = 1.0
    directions: list[Direction] | None = Field(
        default=None,
        description="directions in which the term counts; by default all that it can serve",
    )
    temperature: Positive = Field(
        default=1.0, description="temperature of the softmax; for the terms score and anchor"
    )
    form: Literal["iou", "smooth_l1"] = Field(
        default="iou", description="form of the loss; for the terms boxes and anchor"
    )


class Estimator(Settings):
    """Training proposals of a box estimator: boxes around the box, for networks that rate them.

    Settings left out are as published for the kind of the network's energies: overlap and ``mse``,
    or a mixture and ``kl``.
    """

    sampling: Literal["overlap", "mixture"] | None = None
    loss: Literal["kl", "ml", "mse"] | None = Field(
        default=None,
        description="mse: squared error to 2 IoU - 1; kl: divergence from a density; ml: "
        "likelihood of the box itself",
    )
    count: AtLeastOne | None = Field(
        default=None,
        description="number of proposals per test patch; by default 8 for overlap, 128 for mixture",
    )
    sigmas: list[Pair] = Field(
        default=[[0.05, 0.05], [0.5, 0.5]],
        description="standard deviations of each part of the mixture: of the centre, over the "
        "box's sides, and of the log size",
    )
    box_sigma: Pair = Field(
        default=[0.05, 0.05], description="standard deviations of the target density, as in sigmas"
    )


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
        description="weights of the teacher, if not the baseline; with another backbone or "
        "other crops it can only check boxes",
    )
    modality: Modality = Modality.RGB
    require: bool = Field(default=True, description="drop samples on which the teacher fails")
    tir_boxes_on_tir: bool = Field(
        default=True, description="check a box that was found in TIR alone on TIR"
    )
    max_distance_cells: Positive = 1.5
    min_iou: Share = 0.5
    min_iou_by_way: dict[str, Share] = {"random": 0.3, "centre": 0.3}
    min_probability: Share = 0.98
    box_check: BoxCheck = Field(
        default=BoxCheck(),
        description="limits for a teacher that can only check boxes; they replace the four above",
    )
    warn_below: Share = Field(
        default=0.5, description="warn if a smaller share of the samples passes"
    )


class BranchJitter(Settings):
    """Centre shift in patch pixels per axis, uniform in +-``shift``; scale ``exp(U(+-scale))``."""

    shift: Annotated[float, Field(ge=0.0, le=112.0)]
    scale: Annotated[float, Field(ge=0.0, le=1.0)]


class BoxJitter(Settings):
    """Centre shift as a fraction of the target's size, uniform over a range of width ``centre``;
    each side times ``exp(N * scale)``.
    """

    centre: NotNegative | None = Field(
        default=None,
        description="width of the range; by default the crop's search area factor minus 0.5, as "
        "published",
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

    grey: Share = Field(default=0.0, description="share of the patches made grey")
    invert: Share = Field(default=0.0, description="share of the patches with inverted polarity")
    gamma: Annotated[float, Field(ge=0.0, le=3.0)] = Field(
        default=0.0, description="range of the gamma: 2 ** U(-gamma, gamma)"
    )
    gain: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0, description="range of the gain: 1 + U(-gain, gain)"
    )
    offset: Annotated[float, Field(ge=0.0, le=255.0)] = Field(
        default=0.0, description="range of the offset: U(-offset, offset) grey levels"
    )
    blur: Share = Field(default=0.0, description="share of the patches blurred")
    blur_sigma: Positive = Field(default=2.0, description="largest sigma of the blur, patch pixels")
    noise: NotNegative = Field(default=0.0, description="largest sigma of the noise, grey levels")

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
        description="learning rate factor of each trained component, or of a part of one "
        "(component.part); all others stay frozen",
    )
    keep_published_frozen: bool = Field(
        default=False, description="also freeze what the network's published training freezes"
    )
    batch_norm: Literal["frozen", "adapt", "re_estimate", "train"] = Field(
        default="frozen",
        description="statistics of batch normalisation. frozen: as published; train: of each "
        "batch; re_estimate: measured again on TIR crops at the end; adapt: train, "
        "then re_estimate",
    )
    batch_norm_samples: AtLeastOne = 640
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: Positive = 1.0e-4
    schedule: Literal["cosine", "step"] = Field(
        default="cosine",
        description="learning rate after the warm-up. cosine: falls to 0; step: falls in steps",
    )
    decay: Share = Field(default=0.2, description="factor of each step of the learning rate")
    decay_every: AtLeastOne = Field(
        default=15_000, description="optimiser steps between two steps of the learning rate"
    )
    momentum: Share = Field(default=0.9, description="momentum of sgd")
    weight_decay: NotNegative = 1.0e-4
    steps: Count = 200
    batch: AtLeastOne = 16
    warm_up: Count = Field(default=20, description="steps of linear warm-up")
    clip_norm: Positive | None = 10.0
    average: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0,
        description="share of the start weights in the finished ones; 0.5: half-way between start "
        "weights and trained weights",
    )
    checkpoint_every: AtLeastOne = 25

    @model_validator(mode="after")
    def _average_is_the_last_change(self) -> Training:
        if self.average and self.batch_norm in ("adapt", "re_estimate"):
            raise ValueError(
                f"average takes a share of the start weights, and batch_norm: {self.batch_norm} "
                "changes the weights after it; give average: 0, or batch_norm: frozen or train"
            )
        return self


class HeldBack(Settings):
    """Data that is held back to judge a training."""

    share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.2,
        description="share of the recordings, held back whole; of a single recording its last "
        "frames",
    )
    samples: Count = 200


class HeldBackPairs(HeldBack):
    """Held-back pairs of a distillation: the student is validated on them at the end and during the
    training.
    """

    validate_every: Count = Field(
        default=50,
        description="validate the student every N steps; 0: only at the end",
    )


class _Recipe(Settings):
    format: Literal[1] = 1
    name: str = ""
    summary: str = ""


def _family(name: str) -> str:
    """The name of a family of networks, if there is one."""
    if name not in (known := registry.families()):
        raise PydanticKnownError(
            "literal_error", {"expected": " or ".join(f"'{one}'" for one in known)}
        )
    return name


AsPublished = Literal["shared_box", "first_box", "bn1_train", "canvas"]


class CrossModalRecipe(_Recipe):
    """A distillation from unlabelled pairs, or TIR alone; the defaults are the recipe ``mixed``."""

    kind: Literal["cross_modal"] = "cross_modal"
    network: Annotated[str, AfterValidator(_family)] = Field(
        default="siamese", description="family of networks that the recipe trains"
    )
    proposals: Proposals = Proposals()
    boxes: Boxes = Boxes()
    registration: bool = Field(
        default=True,
        description="register recordings whose modalities lie more than 4 px apart, at 640 px "
        "width, where no rig is given",
    )
    normaliser: str = Field(
        default="adaptive", description="normaliser of 16-bit TIR, see tirtrack.thermal"
    )
    unusable: Literal["keep", "leave_out"] = Field(
        default="keep",
        description="what becomes of pairs that cannot be used (tirtrack.pairs.likeness). keep: "
        "they are trained on like the others, as in all published figures; leave_out: they are not",
    )
    directions: Annotated[dict[Direction, Positive], Field(min_length=1)] = Field(
        default={
            Direction.TIR_TO_TIR: 0.5,
            Direction.RGB_TO_TIR: 0.25,
            Direction.TIR_TO_RGB: 0.25,
        },
        description="share of the samples in each direction; the numbers are normalised to sum 1",
    )
    terms: list[Term] = [Term(name="cross_supervision")]
    negatives: Share = Field(default=0.2, description="share of the samples without the target")
    max_gap: Count = Field(
        default=0,
        description="largest gap between reference and test on one track, frames; 0: both "
        "patches show one frame",
    )
    tracks: TrackSettings = TrackSettings()
    teacher: Teacher = Teacher()
    jitter: Jitter = Jitter()
    flip: Share = Field(default=0.0, description="share of the samples whose crops are mirrored")
    flip_together: bool = Field(
        default=True, description="mirror both branches of a sample, or neither"
    )
    augmentation: Augmentation = Augmentation()
    estimator: Estimator = Estimator()
    as_published: list[AsPublished] = Field(
        default=[], description="accidents of the published code to repeat"
    )
    training: Training = Training()
    pool: AtLeastOne = Field(default=1000, description="number of samples, drawn once and reused")
    held_back: HeldBackPairs = HeldBackPairs()

    @model_validator(mode="after")
    def _terms_where_there_is_a_gradient(self) -> CrossModalRecipe:
        if self.training.steps and not self.terms:
            raise ValueError("training has steps and no term; give a term or steps: 0")
        return self

    @model_validator(mode="after")
    def _gap_on_tracks(self) -> CrossModalRecipe:
        if self.max_gap and not self.tracks.modalities:
            raise ValueError(
                "max_gap needs tracks; give tracks.modalities, [rgb] or [tir], or max_gap: 0"
            )
        return self

    @model_validator(mode="after")
    def _joined_by_tracks(self) -> CrossModalRecipe:
        if self.boxes.join_iou is not None and not self.tracks.modalities:
            raise ValueError(
                "boxes.join_iou needs tracks; give tracks.modalities, [rgb] or [tir], or "
                "boxes.join_iou: null"
            )
        return self

    @model_validator(mode="after")
    def _anchor_is_the_baseline(self) -> CrossModalRecipe:
        if self.teacher.weights and any(term.name == "anchor" for term in self.terms):
            raise ValueError(
                "the term anchor holds the student near the baseline, and teacher.weights names "
                "another teacher; give one of them"
            )
        return self

    @property
    def rejects_others(self) -> bool:
        """Whether the other boxes of a frame are background."""
        return any(term.name == "distractors" for term in self.terms)

    @property
    def reads_rgb(self) -> bool:
        """Whether proposer, teacher or student sees RGB, or boxes are followed or fitted in it."""
        tracks = {*self.tracks.modalities, *self.tracks.fit}
        seen = {*self.proposals.modalities, *tracks, self.teacher.modality}
        seen.update(*((one.reference, one.test) for one in self.directions))
        return Modality.RGB in seen or "canvas" in self.as_published

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
    flip: Share = Field(default=0.0, description="share of the crops that are mirrored")
    flip_together: bool = Field(default=True, description="mirror all crops of a sample, or none")
    references: AtLeastOne = Field(default=1, description="number of reference images per sample")
    tests: AtLeastOne = Field(default=1, description="number of test images per sample")
    sampling: Literal["interval", "causal"] = Field(
        default="interval",
        description="order of the frames of a video. interval: any; causal: references before "
        "tests",
    )
    max_gap: AtLeastOne = Field(
        default=30, description="largest gap between reference and test in a video, frames"
    )
    stills: Share = Field(
        default=0.5, description="share of the samples from stills, if there are stills and videos"
    )
    pool: AtLeastOne = Field(
        default=1024, description="number of samples that are cut and shuffled together"
    )
    pools: AtLeastOne | None = Field(
        default=None,
        description="number of different pools, used in turn; the features of a frozen backbone "
        "are kept on disk. By default no pool is used twice",
    )
    held_back: HeldBack = HeldBack(share=0.15, samples=400)
    keep: Keep = Field(
        default="if_better",
        description="when the trained weights replace the start weights. if_better: the "
        "held-back one-step IoU rose; unless_worse: the interval of its change is "
        "not wholly below 0; always",
    )
    training: Training = Training()

    @model_validator(mode="after")
    def _nothing_thermal(self) -> SupervisedRecipe:
        if self.training.batch_norm not in ("frozen", "train"):
            raise ValueError("training.batch_norm must be frozen or train, there are no TIR crops")
        return self


Recipe = CrossModalRecipe | SupervisedRecipe
