"""The common part of the trackers that learn online: the shell around their steps.

:class:`OnlineTracker` takes frames, handles bad ones, runs a family's steps and reports the result;
``dimp.py`` and ``atom.py`` hold the steps. Each part of the changing state has its own file: the
target's place (``place``), its motion (``motion``), its learnt model (``learnt_state``) and the
last report (``belief``); ``first_frame`` makes the first samples.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from tirtrack.boxes import Box, check_first_box, touches_border, with_centre_inside
from tirtrack.errors import FrameError, RunError
from tirtrack.trackers.base import Candidate, Origin, Reason, Status, TrackState
from tirtrack.trackers.belief import Belief
from tirtrack.trackers.box_refinement import AscentRule, from_sample, mean_of_best, proposals
from tirtrack.trackers.draws import Draws, KeyedDraws, SequentialDraws
from tirtrack.trackers.first_frame import FirstFrame
from tirtrack.trackers.frame_gate import (
    FrameGate,
    Region,
    as_picture,
    first_gate,
    warned_of_colour,
)
from tirtrack.trackers.learnt_state import LearntState
from tirtrack.trackers.levels import GreyLevels
from tirtrack.trackers.localisation import Flag, Localisation, highest
from tirtrack.trackers.motion import NO_MOTION, Motion
from tirtrack.trackers.online_engine import Features, Network, OnlineEngine
from tirtrack.trackers.online_settings import OnlineSettings
from tirtrack.trackers.patch_extraction import (
    Sample,
    SampleFrame,
    box_in_sample,
)
from tirtrack.trackers.peak_score import score_of_peak
from tirtrack.trackers.place import (
    Layout,
    Place,
    box_at,
    center_and_size,
    kept_in_frame,
    layout_of,
    scale_of,
    shifted_by,
)
from tirtrack.trackers.shared_work import Climb
from tirtrack.trackers.steps import Steps, alone
from tirtrack.valid_pixels import filled

if TYPE_CHECKING:
    from tirtrack.thermal import NormaliserSettings
    from tirtrack.weights.card import PeakCalibration

logger = logging.getLogger(__name__)

_STATE_FORMAT = 1
Settings = TypeVar("Settings", bound=OnlineSettings)


@dataclass(frozen=True)
class FrameResult:
    """Result of a family's steps for a frame.

    Attributes:
        place: current place of the target.
        located: localisation on the score map.
        peak: raw peak, for the score.
        diagnostics: numbers for tests and reports.
    """

    place: Place
    located: Localisation
    peak: float
    diagnostics: dict[str, Any]


@dataclass(frozen=True)
class FrameRequest:
    """The samples of a frame and their place, or the reason why there are none; and its grey levels
    if frames were skipped before it.
    """

    fault: Reason
    place: Place
    samples: list[Sample] = field(default_factory=list)
    levels: np.ndarray | None = None


class OnlineTracker(ABC, Generic[Settings, Network]):
    """A tracker that learns a filter in the first frame and keeps improving it.

    ``_fills_by_weight`` of a family tells how its sample memory fills.

    Args:
        engine: engine that runs the network.
        settings: settings of the loop; see ``dimp_presets`` and ``atom_presets``.
        calibration: calibration of the score, from the card of the weights.
        normaliser: settings that map frames of more than 8 bits to grey levels; ``None``:
            ``adaptive``.
        modality: modality that the weights are for; for ``tir``, coloured frames give a warning.
        origin: origin of the tracker, for saved states.
        seed: seed of all random draws.
        target: name of the target, which keys the random draws if the settings say so.
        phase: phase of the schedule on which the filter is improved, frames.
        draws: source of random numbers that replaces the settings' own, for tests.
    """

    _fills_by_weight: ClassVar[bool]

    def __init__(
        self,
        engine: OnlineEngine[Network],
        settings: Settings,
        calibration: PeakCalibration,
        *,
        normaliser: NormaliserSettings | None = None,
        modality: str = "",
        origin: Origin | None = None,
        seed: int = 0,
        target: str = "",
        phase: int = 0,
        draws: Draws | None = None,
    ) -> None:
        self.engine: OnlineEngine[Network] = engine
        self.settings = settings
        self.calibration = calibration
        self.origin = origin
        self._normaliser = normaliser
        self._modality = modality
        self._warns_of_colour = modality == "tir"
        self._seed = seed
        self._phase = phase
        keyed = settings.draws == "keyed"
        own: Draws = KeyedDraws(seed, target) if keyed else SequentialDraws(seed)
        self._draws = draws or own
        self._first: FirstFrame[Network] = FirstFrame(engine, settings, self._draws)
        self._levels = GreyLevels(normaliser, stretch=False)
        self._gate = FrameGate()
        self._shape: tuple[int, ...] = ()
        self._frame = 0
        self._motion = NO_MOTION
        self._asked: FrameRequest | None = None
        self._known: Belief | None = None
        self._place: Place | None = None
        self._learnt: LearntState | None = None

    def twin(self, target: str, *, phase: int = 0) -> Self:
        """See :meth:`tirtrack.trackers.base.SharingTracker.twin`."""
        return type(self)(
            self.engine,
            self.settings,
            self.calibration,
            normaliser=self._normaliser,
            modality=self._modality,
            origin=self.origin,
            seed=self._seed,
            target=target,
            phase=phase,
        )

    @torch.no_grad()
    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box; all earlier state is dropped.

        Raises:
            FrameError: the frame or the box cannot be used.
            RecipeError: the sample memory is too small for the samples of the first frame.
            RunError: the network gave numbers that are not finite.
        """
        picture = as_picture(frame)
        valid = self._levels.valid(picture)
        gate = first_gate(picture, valid, box, is_checked=self.settings.frame_gate)
        if self._warns_of_colour:
            self._warns_of_colour = not warned_of_colour(picture)
        self._levels.reset()
        self._draws.begin_frame(0)
        levels = self._levels(picture, valid)
        center_yx, size_hw = center_and_size(box)
        sample_hw, scale = self._first_scale(size_hw, np.array(levels.shape[:2], dtype=float))
        place = Place(center_yx, size_hw, scale)
        layout = layout_of(place, np.array(levels.shape[:2], dtype=np.float64), sample_hw)
        self._learnt = self._learn_first(levels, place, layout)
        self._place = self._first_place(place)
        self._gate, self._shape = gate, picture.shape
        self._frame, self._motion = 0, NO_MOTION
        self._asked, self._known = None, Belief(box)
        return TrackState(box=box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: two frames in a row have the same new size or number type.
            FrameError: the frame cannot be used, and the frame gate is off.
            RunError: the network gave numbers that are not finite, and the settings are published
                ones.
        """
        patches = self.request(frame)
        return self.answer(None if patches is None else self.engine.features(patches))

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """The search patches ``[S,3,h,w]`` or ``[S,1,h,w]``, one for each scale factor; ``None``
        for a bad frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: two frames in a row have the same new size or number type.
            FrameError: the frame cannot be used, and the frame gate is off.
        """
        place, learnt = self._started()
        fault, levels = self._inspect(frame)
        self._frame += 1
        self._draws.begin_frame(self._frame)
        if fault is not Reason.NONE:
            self._asked = FrameRequest(fault, place)
            return None
        place = self._ahead(place)
        samples = self._cut(levels, place, learnt)
        self._asked = FrameRequest(fault, place, samples, levels if self._motion.skipped else None)
        return np.stack([sample.patch.numpy() for sample in samples])

    def answer(self, features: Features | None) -> TrackState:
        """The target's state, from the features of the search patches.

        Raises:
            RuntimeError: nothing was requested.
            RunError: the network gave numbers that are not finite, and the settings are published
                ones.
        """
        return alone(self.answering(features))

    @torch.no_grad()
    def answering(self, features: Features | None) -> Steps[TrackState]:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answering`."""
        if self._asked is None:
            raise RuntimeError("call request(frame) first")
        asked, self._asked = self._asked, None
        if features is None:
            return self._repeat(asked.fault)
        place, learnt = self._started()
        try:
            followed = yield from self._follow(asked, features, learnt)
            if asked.levels is not None and followed.located.flag is Flag.NOT_FOUND:
                followed = self._after_gap(asked.levels, replace(followed, place=place), learnt)
        except RunError:
            if not self.settings.safe:
                raise
            return self._say_lost(Reason.NOT_FINITE, 0.0, {})
        if self.settings.safe:
            kept = kept_in_frame(followed.place, learnt.layout, self.settings.min_side)
            followed = replace(followed, place=kept)
        self._place = followed.place
        return self._say(followed)

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.observe`."""
        inspected = self._inspect(frame)
        self._frame, self._motion = self._frame + 1, NO_MOTION
        self._draws.begin_frame(self._frame)
        return inspected

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.picture`."""
        picture = as_picture(frame)
        valid = self._levels.valid(picture)
        return picture if valid is None else filled(picture, valid)

    @torch.no_grad()
    def probe(
        self, levels: np.ndarray, center_xy: tuple[float, float], size_wh: tuple[float, float]
    ) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`: the steps of a frame at another
        place, without learning.
        """
        _, learnt = self._started()
        followed = self._look(levels, self._place_of(_centred(center_xy, size_wh), learnt), learnt)
        if followed is None:
            return None
        found = kept_in_frame(followed.place, learnt.layout, self.settings.min_side)
        return Candidate(box_at(found), score_of_peak(followed.peak, self.calibration))

    def search_side(self, size_wh: tuple[float, float]) -> float:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.search_side`; the longer side."""
        _, learnt = self._started()
        return scale_of(np.array(size_wh), learnt.layout) * float(learnt.layout.sample_hw.max())

    def resume(self, candidate: Candidate) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.resume`."""
        _, learnt = self._started()
        box, score = candidate.box, candidate.score
        check_first_box(box, self._shape[1], self._shape[0])
        self._place, self._motion, self._asked = self._place_of(box, learnt), NO_MOTION, None
        self._known = Belief(box, Status.TRACKING, score)
        return TrackState(
            box=box, measured=True, score=score, status=Status.TRACKING, reason=Reason.RE_DETECTED
        )

    def _ahead(self, place: Place) -> Place:
        """The place to search, which differs from the last one only after skipped frames."""
        box = box_at(place)
        ahead_xy = self._motion.ahead(box.center_xy, (box.w, box.h), self._shape[1::-1])
        return shifted_by(place, (np.array(ahead_xy) - box.center_xy)[::-1])

    def _after_gap(
        self, levels: np.ndarray, missed: FrameResult, learnt: LearntState
    ) -> FrameResult:
        """The result of the same frame around the place where a wider region shows the target; the
        missed result if none does. Nothing is learnt from such a frame.
        """
        if self._known_state().status is Status.LOST:
            return missed
        box = box_at(missed.place)
        looked_at = box_at(self._ahead(missed.place)).center_xy
        seen = self._motion.seen_more_widely(self.probe, levels, looked_at, (box.w, box.h))
        if seen is None:
            return missed
        place = shifted_by(missed.place, (np.array(seen) - box.center_xy)[::-1])
        again = self._look(levels, place, learnt)
        if again is None or again.located.flag is Flag.NOT_FOUND:
            return missed
        return again

    def _look(self, levels: np.ndarray, place: Place, learnt: LearntState) -> FrameResult | None:
        """The steps of a frame at any place, without learning; ``None``: numbers are not finite."""
        samples = self._cut(levels, place, learnt)
        features = self.engine.features(np.stack([sample.patch.numpy() for sample in samples]))
        asked = FrameRequest(Reason.NONE, place, samples)
        try:
            return alone(self._follow(asked, features, replace(learnt, memory=None)))
        except RunError:
            return None

    def _place_of(self, box: Box, learnt: LearntState) -> Place:
        center_yx, size_hw = center_and_size(box)
        return Place(center_yx, size_hw, scale_of(size_hw, learnt.layout))

    def skip(self, frames: int) -> None:
        """See :meth:`tirtrack.trackers.base.Tracker.skip`.

        Raises:
            RuntimeError: called before ``init``.
        """
        self._started()
        self._motion = self._motion.left_out(frames)

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``update`` depends on, as plain values and arrays.

        Raises:
            RuntimeError: called before ``init``.
        """
        place, learnt = self._started()
        return {
            "format": _STATE_FORMAT,
            "shape": list(self._shape),
            "frame": self._frame,
            "phase": self._phase,
            "motion": asdict(self._motion),
            "place": dict(vars(place)),
            "known": self._known_state().state_dict(),
            "learnt": learnt.state_dict(),
            "family": self._family_state(),
            "draws": self._draws.state_dict(),
            "gate": self._gate.state_dict(),
            "levels": self._levels.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state, with the same weights and settings.

        Raises:
            ValueError: the state has another format.
        """
        if state.get("format") != _STATE_FORMAT:
            raise ValueError(
                f"tracker state must have format {_STATE_FORMAT}, got {state.get('format')!r}"
            )
        place = state["place"]
        refined = place["refined_yx"]
        self._learnt = LearntState.from_state_dict(
            state["learnt"],
            self.engine.tensor,
            minimum=self.settings.init_samples_minimum_weight,
            fills_by_weight=self._fills_by_weight,
        )
        self._load_family_state(state["family"])
        self._place = Place(
            np.array(place["center_yx"]),
            np.array(place["size_hw"]),
            float(place["scale"]),
            None if refined is None else np.array(refined),
        )
        self._known = Belief.of(state["known"])
        self._shape = tuple(int(length) for length in state["shape"])
        self._frame = int(state["frame"])
        self._motion = Motion.of(state.get("motion"))
        self._phase = int(state.get("phase", 0))
        self._asked = None
        self._draws.load_state_dict(state["draws"])
        self._gate.load_state_dict(state["gate"])
        self._levels.load_state_dict(state["levels"])

    def _family_state(self) -> dict[str, Any]:
        """Further state of a family."""
        return {}

    def _load_family_state(self, state: dict[str, Any]) -> None:
        """Resume from the family's saved state."""

    @abstractmethod
    def _first_scale(self, size_hw: np.ndarray, frame_hw: np.ndarray) -> tuple[np.ndarray, float]:
        """Sides ``[2]`` of a sample, and frame pixels per sample pixel."""

    @abstractmethod
    def _learn_first(self, levels: np.ndarray, place: Place, layout: Layout) -> LearntState:
        """The state learnt from the first frame."""

    @abstractmethod
    def _cut(self, levels: np.ndarray, place: Place, learnt: LearntState) -> list[Sample]:
        """The samples of a later frame, one for each scale factor."""

    @abstractmethod
    def _follow(
        self, asked: FrameRequest, features: Features, learnt: LearntState
    ) -> Steps[FrameResult]:
        """Follow the target in one frame. Changes ``learnt`` only if all numbers are finite.

        Raises:
            RunError: a number is not finite.
        """

    def _first_place(self, place: Place) -> Place:
        return place

    def _refined(
        self,
        place: Place,
        features: Features,
        sample: SampleFrame,
        learnt: LearntState,
        flag: Flag,
        *,
        undo: bool,
        learns_here: bool = True,
    ) -> Steps[tuple[Place, dict[str, Any]]]:
        """The place after box refinement in one sample, and its diagnostics.

        Args:
            place: place of the target by the classifier.
            features: features of the sample, ``[1,...]``.
            sample: position and scale of the sample.
            learnt: learnt state of the target.
            flag: flag of the frame; the search region may not follow the size of an uncertain one.
            undo: whether to use ATOM's ascent.
            learns_here: whether the filter learns at the refined centre, not at the classifier's.
        """
        settings, estimator = self.settings, self.engine.network.box_estimator
        test = estimator.test_features(features.taps())
        box = self.engine.tensor(box_in_sample(place.center_yx, place.size_hw, sample))
        count = settings.num_init_random_boxes
        uniforms = self._draws.uniforms((count, 4)) if count else box.new_zeros((0, 4))
        start = proposals(
            box,
            uniforms.to(box),
            jitter_pos=settings.box_jitter_pos,
            jitter_size=settings.box_jitter_size,
        )
        rule = AscentRule.of(settings, undo=undo)
        ascent = yield Climb(estimator, learnt.modulation, test, start, rule)
        check_finite(ascent.boxes, ascent.scores)
        best = mean_of_best(
            ascent, maximal_aspect_ratio=settings.maximal_aspect_ratio, count=settings.iounet_k
        )
        diagnostics = {"energies": ascent.scores.tolist(), "proposals": ascent.boxes.tolist()}
        if best is None:
            return place, diagnostics
        center_yx, size_hw = from_sample(best, sample)
        follows = settings.update_scale_when_uncertain or flag is not Flag.UNCERTAIN
        scale = scale_of(size_hw, learnt.layout) if follows else place.scale
        place = Place(
            center_yx if learns_here else place.center_yx, size_hw, scale, refined_yx=center_yx
        )
        if settings.safe:
            place = kept_in_frame(place, learnt.layout, settings.min_side)
        return place, diagnostics

    def _started(self) -> tuple[Place, LearntState]:
        if self._place is None or self._learnt is None:
            raise RuntimeError("call init(frame, box) first")
        return self._place, self._learnt

    def _inspect(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """The reason why a frame has nothing to show, and its grey levels."""
        try:
            picture = as_picture(frame)
        except FrameError:
            if not self.settings.frame_gate:
                raise
            return Reason.DAMAGED_FRAME, np.empty(0)
        valid = self._levels.valid(picture)
        if self.settings.frame_gate:
            fault = self._gate.check(picture, self._search_region(), valid=valid)
            if fault is not Reason.NONE:
                return fault, picture
        elif picture.shape != self._shape:
            raise FrameError(
                f"a frame of {list(picture.shape)} follows frames of {list(self._shape)}",
                fix="begin anew where the size of the frames changes",
            )
        return Reason.NONE, self._levels(picture, valid)

    def _search_region(self) -> Region:
        """Rows and columns of the frame that this frame's search patch shows."""
        place, learnt = self._started()
        half = place.scale * learnt.layout.sample_hw / 2
        rows, columns = (
            slice(max(int(center - side), 0), int(min(center + side + 2, length)))
            for center, side, length in zip(
                place.center_yx, half, learnt.layout.frame_hw, strict=True
            )
        )
        return rows, columns

    def _say(self, followed: FrameResult) -> TrackState:
        """The state to report for the frame's flag: status, reason, box."""
        known, located = self._known_state(), followed.located
        score, box = score_of_peak(followed.peak, self.calibration), box_at(followed.place)
        diagnostics = {
            **followed.diagnostics,
            "flag": str(located.flag),
            "scale_index": located.scale_index,
            "max_score": float(located.scores.max()),
            "peak": tuple(int(cell) for cell in highest(located.scores).cells),
            "translation_yx": tuple(float(value) for value in located.translation_yx),
        }
        status, reason = known.judged(
            located,
            at_border=touches_border(known.trusted, self._shape[1], self._shape[0]),
            lost_after_frames=self.settings.lost_after_frames,
        )
        if located.flag is Flag.NOT_FOUND:
            self._known = replace(known, missing=known.missing + 1)
            return self._say_unmeasured(known.trusted, status, reason, score, diagnostics)
        trusts = status is Status.TRACKING or not self.settings.safe
        if known.status is Status.LOST:
            self._motion = NO_MOTION
        elif trusts:
            self._motion = self._motion.followed(known.trusted.center_xy, box.center_xy)
        else:
            self._motion = self._motion.doubted()
        self._known = Belief(box if trusts else known.trusted, status, score)
        return TrackState(
            box=box,
            measured=True,
            score=score,
            status=status,
            reason=reason,
            diagnostics=diagnostics,
        )

    def _repeat(self, fault: Reason) -> TrackState:
        """The result for a frame with nothing to show: the same box, with a lower score."""
        known = self._known_state()
        score = known.score if fault is Reason.FROZEN_FRAME else 0.0
        if known.status is Status.LOST:
            return self._say_lost(fault, score, {})
        box = box_at(self._started()[0])
        return self._say_unmeasured(box, Status.UNCERTAIN, fault, score, {})

    def _say_lost(self, reason: Reason, score: float, diagnostics: dict[str, Any]) -> TrackState:
        """Report the last trusted box as not measured; the search continues."""
        trusted = self._known_state().trusted
        return self._say_unmeasured(trusted, Status.LOST, reason, score, diagnostics)

    def _say_unmeasured(
        self, box: Box, status: Status, reason: Reason, score: float, diagnostics: dict[str, Any]
    ) -> TrackState:
        """Report a box that was not measured in this frame."""
        self._motion = NO_MOTION if status is Status.LOST else self._motion.waited()
        self._known = replace(self._known_state(), status=status, score=score)
        return TrackState(
            box=self._reported(box),
            measured=False,
            score=score,
            status=status,
            reason=reason,
            diagnostics=diagnostics,
        )

    def _reported(self, box: Box) -> Box:
        """A box that was not measured, in the form to report."""
        return with_centre_inside(box, *self._shape[1::-1]) if self.settings.safe else box

    def _known_state(self) -> Belief:
        if self._known is None:
            raise RuntimeError("call init(frame, box) first")
        return self._known


def _centred(center_xy: tuple[float, float], size_wh: tuple[float, float]) -> Box:
    return Box(center_xy[0] - size_wh[0] / 2, center_xy[1] - size_wh[1] / 2, *size_wh)


def check_finite(*tensors: Tensor) -> None:
    """Refuse non-finite numbers.

    Raises:
        RunError: a number is not finite.
    """
    if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors):
        raise RunError(
            "the network gave numbers that are not finite",
            fix="check the weights, or use the preset default",
        )
