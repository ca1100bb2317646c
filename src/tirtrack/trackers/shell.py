"""The shell of every tracker of one target: frames, gate, motion, loss and return, seed, state.

A family is a subclass with four methods, ``begin``, ``cut``, ``locate`` and ``learn``, and its
settings; see ``siamese``, ``dimp`` and ``atom``. It knows networks and score maps; the shell knows
neither. All else has a default. Read :meth:`TrackerShell.update` first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import numpy as np

from tirtrack.boxes import Box, check_first_box, touches_border, with_centre_inside
from tirtrack.errors import EngineError, FrameError, RunError
from tirtrack.trackers.base import XY, Candidate, Engine, Origin, Reason, Status, TrackState
from tirtrack.trackers.belief import Belief, LossRule
from tirtrack.trackers.family import BoxPlace, Cut, Located, M, P, TrackerSettings
from tirtrack.trackers.frame_gate import FrameGate, as_picture, first_gate, warned_of_colour
from tirtrack.trackers.levels import GreyLevels
from tirtrack.trackers.motion_model import NO_MOTION, Motion
from tirtrack.trackers.steps import Steps, alone, in_steps
from tirtrack.valid_pixels import filled

if TYPE_CHECKING:
    from tirtrack.thermal import NormaliserSettings
    from tirtrack.trackers.draws import Draws

_STATE_FORMAT = 4
Value = TypeVar("Value")


@dataclass(frozen=True)
class FrameRequest(Generic[P]):
    """The patches of a frame, or the reason why there are none; and its grey levels if frames were
    skipped before it.
    """

    fault: Reason
    cut: Cut[P] | None = None
    levels: np.ndarray | None = None


class TrackerShell(ABC, Generic[P, M]):
    """A tracker of one target; implements :class:`tirtrack.trackers.base.SeekingTracker`.

    Args:
        engine: engine that runs the network.
        settings: settings of the family.
        calibration: calibration of the score, from the card of the weights.
        normaliser: settings that map frames of more than 8 bits to grey levels; ``None``:
            ``adaptive``.
        modality: modality that the weights are for; for ``tir``, coloured frames give a warning.
        origin: origin of the tracker, for saved states.
        seed: seed of all random draws.
        target: name of the target, which keys the random draws if the settings say so.
        phase: phase of the learning schedule, frames.
        draws: source of random numbers that replaces the family's own, for tests.

    Attributes:
        place_type: class of the family's places.
        model_type: class of its target models.
    """

    place_type: type[P]
    model_type: type[M]

    def __init__(
        self,
        engine: Engine,
        settings: TrackerSettings,
        calibration: Any,
        *,
        normaliser: NormaliserSettings | None = None,
        modality: str = "",
        origin: Origin | None = None,
        seed: int = 0,
        target: str = "",
        phase: int = 0,
        draws: Draws | None = None,
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.calibration = calibration
        self.origin = origin
        self._normaliser = normaliser
        self._modality = modality
        self._warns_of_colour = modality == "tir"
        self._seed = seed
        self._phase = phase
        self._draws = draws or self._own_draws(seed, target)
        self._levels = GreyLevels(normaliser, stretch=self._stretches_levels())
        self._gate = FrameGate()
        self._shape: tuple[int, ...] = ()
        self._frame = 0
        self._motion = NO_MOTION
        self._request: FrameRequest[P] | None = None
        self._belief: Belief | None = None
        self._place: P | None = None
        self._model: M | None = None

    # --- the family -------------------------------------------------------------------------------

    @abstractmethod
    def begin(self, levels: np.ndarray, box: Box) -> tuple[P, M]:
        """Place and model of the target, from the grey levels of the first frame.

        Raises:
            RunError: the network gave numbers that are not finite.
        """

    @abstractmethod
    def cut(self, levels: np.ndarray, place: P) -> Cut[P]:
        """The patches around a place."""

    @abstractmethod
    def locate(self, cut: Cut[P], features: Any | None = None) -> Located[P] | Steps[Located[P]]:
        """Where the target is; nothing of the tracker changes. May be in steps, which yield work.

        Args:
            cut: result of :meth:`cut`.
            features: the engine's features of its patches; ``None``: run the network here.

        Raises:
            RunError: the network gave numbers that are not finite.
        """

    def learn(self, located: Located[P]) -> dict[str, Any] | Steps[dict[str, Any]]:
        """Improve the model where the target was located, and return numbers for the diagnostics;
        a family without this method learns nothing. May be in steps.

        Raises:
            RunError: the network gave numbers that are not finite; what locates the target is
                unchanged.
        """
        return {}

    def _bounded(self, place: P) -> P:
        """The place with its centre in the frame and sides that a target can have."""
        return place

    def _place_when_lost(self, place: P, trusted: Box) -> P:
        """Where a lost target is sought."""
        return place

    def _as_picture(self, frame: np.ndarray) -> np.ndarray:
        """The frame in the form that the family takes.

        Raises:
            FrameError: the family cannot take it.
        """
        return as_picture(frame)

    def _own_draws(self, seed: int, target: str) -> Draws | None:
        """The family's source of random numbers; ``None``: it draws none."""
        return None

    def _stretches_levels(self) -> bool:
        """Whether the grey levels of each frame are stretched."""
        return False

    # --- tracking ---------------------------------------------------------------------------------

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

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """See :meth:`tirtrack.trackers.base.Tracker.init`; all earlier state is dropped."""
        picture = self._as_picture(frame)
        valid = self._levels.valid(picture)
        gate = first_gate(picture, valid, box, is_checked=self.settings.frame_gate)
        if self._warns_of_colour:
            self._warns_of_colour = not warned_of_colour(picture)
        self._levels.reset()
        self._begin_frame(0)
        self._place, self._model = self.begin(self._levels(picture, valid), box)
        self._gate, self._shape = gate, picture.shape
        self._motion, self._request, self._belief = NO_MOTION, None, Belief(box)
        return TrackState(box=box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """See :meth:`tirtrack.trackers.base.Tracker.update`."""
        self.request(frame)
        return alone(self._follow(self._take_request()))

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """See :meth:`tirtrack.trackers.base.SharingTracker.request`."""
        fault, levels = self._inspect(frame)
        self._begin_frame(self._frame + 1)
        if fault is not Reason.NONE:
            self._request = FrameRequest(fault)
            return None
        place, motion = self.place, self._motion
        ahead_xy = motion.ahead(place.center_xy, place.size_wh, self.frame_wh)
        cut = self.cut(levels, place.at(ahead_xy))
        self._request = FrameRequest(fault, cut, levels if motion.skipped else None)
        return cut.patches

    def answer(self, features: Any | None) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answer`."""
        return alone(self.answering(features))

    def answering(self, features: Any | None) -> Steps[TrackState]:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answering`."""
        request = self._take_request()
        if features is None:
            return self._repeat(request.fault)
        return (yield from self._follow(request, features))

    def skip(self, frames: int) -> None:
        """See :meth:`tirtrack.trackers.base.Tracker.skip`."""
        _started(self._model)
        self._motion = self._motion.left_out(frames)

    # --- seeking ----------------------------------------------------------------------------------

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.observe`."""
        inspected = self._inspect(frame)
        self._begin_frame(self._frame + 1)
        self._motion = NO_MOTION
        return inspected

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.picture`."""
        picture = as_picture(frame)
        valid = self._levels.valid(picture)
        return picture if valid is None else filled(picture, valid)

    def probe(self, levels: np.ndarray, center_xy: XY, size_wh: XY) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`."""
        located = self._locate_at(levels, self.model.place_of(BoxPlace.of(center_xy, size_wh).box))
        if located is None:
            return None
        return Candidate(self._bounded(located.place).box, located.score)

    def search_side(self, size_wh: XY) -> float:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.search_side`."""
        return self.model.search_side(size_wh)

    def resume(self, candidate: Candidate) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.resume`."""
        box, score = candidate.box, candidate.score
        check_first_box(box, *self.frame_wh)
        self._place, self._motion, self._request = self.model.place_of(box), NO_MOTION, None
        self._belief = replace(
            self.belief, trusted=box, status=Status.TRACKING, score=score, missing=0
        )
        return TrackState(
            box=box, measured=True, score=score, status=Status.TRACKING, reason=Reason.RE_DETECTED
        )

    # --- state ------------------------------------------------------------------------------------

    @property
    def place(self) -> P:
        """Place of the target."""
        return _started(self._place)

    @property
    def model(self) -> M:
        """Model of the target."""
        return _started(self._model)

    @property
    def belief(self) -> Belief:
        """Last report of the target."""
        return _started(self._belief)

    @property
    def loss(self) -> LossRule:
        """The rule by which the target is lost and found."""
        return self.settings.loss_rule(self.calibration)

    @property
    def frame_wh(self) -> tuple[int, int]:
        """Sides of the frames, pixels."""
        return self._shape[1], self._shape[0]

    def state_dict(self) -> dict[str, Any]:
        """See :meth:`tirtrack.trackers.base.Tracker.state_dict`."""
        return {
            "format": _STATE_FORMAT,
            "shape": list(self._shape),
            "frame": self._frame,
            "phase": self._phase,
            "motion": asdict(self._motion),
            "place": asdict(self.place),
            "belief": asdict(self.belief),
            "model": self.model.state_dict(),
            "draws": None if self._draws is None else self._draws.state_dict(),
            "gate": self._gate.state_dict(),
            "levels": self._levels.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See :meth:`tirtrack.trackers.base.Tracker.load_state_dict`; with the same weights and
        settings.

        Raises:
            ValueError: the state has another format.
        """
        if state.get("format") != _STATE_FORMAT:
            raise ValueError(
                f"tracker state must have format {_STATE_FORMAT}, got {state.get('format')!r}"
            )
        self._shape = tuple(int(length) for length in state["shape"])
        self._place = self.place_type.from_state_dict(state["place"])
        self._model = self.model_type.from_state_dict(state["model"], self.engine, self.settings)
        self._belief = Belief.of(state["belief"])
        self._motion = Motion.of(state["motion"])
        self._frame, self._phase = int(state["frame"]), int(state["phase"])
        self._request = None
        if self._draws is not None:
            self._draws.load_state_dict(state["draws"])
        self._gate.load_state_dict(state["gate"])
        self._levels.load_state_dict(state["levels"])

    # --- one frame --------------------------------------------------------------------------------

    def _begin_frame(self, frame: int) -> None:
        """Begin a frame; 0 is the first."""
        self._frame = frame
        if self._draws is not None:
            self._draws.begin_frame(frame)

    def _inspect(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """The reason why a frame has nothing to show, and its grey levels."""
        region = self.model.region(self.place)
        try:
            picture = self._as_picture(frame)
        except FrameError:
            if not self.settings.frame_gate:
                raise
            return Reason.DAMAGED_FRAME, np.empty(0)
        valid = self._levels.valid(picture)
        if self.settings.frame_gate:
            fault = self._gate.check(picture, region, valid=valid)
            if fault is not Reason.NONE:
                return fault, picture
        elif picture.shape != self._shape:
            raise FrameError(
                f"a frame of {list(picture.shape)} follows frames of {list(self._shape)}",
                fix="begin anew where the size of the frames changes",
            )
        return Reason.NONE, self._levels(picture, valid)

    def _take_request(self) -> FrameRequest[P]:
        if self._request is None:
            raise RuntimeError("call request(frame) before answer(features)")
        request, self._request = self._request, None
        return request

    def _follow(self, request: FrameRequest[P], features: Any | None = None) -> Steps[TrackState]:
        """The state after a request: locate, learn, look elsewhere after a gap, report."""
        if request.cut is None:
            return self._repeat(request.fault)
        try:
            located = yield from in_steps(self.locate(request.cut, features))
            numbers = yield from in_steps(self.learn(located))
            if request.levels is not None:
                located = self._after_gap(request.levels, request.cut, located)
        except RunError as error:
            if isinstance(error, EngineError) or not self.loss.safe:
                raise
            lost = replace(self.belief, status=Status.LOST, score=0.0)
            return self._report_unmeasured(lost, lost.trusted, Reason.NOT_FINITE)
        if self.loss.safe:
            located = replace(located, place=self._bounded(located.place))
        return self._report(located, {**numbers, **located.diagnostics})

    def _after_gap(self, levels: np.ndarray, cut: Cut[P], located: Located[P]) -> Located[P]:
        """The target where a wider region shows it, if its search region hardly does. Nothing is
        learnt there.
        """
        place = self.place
        if not located.measured:
            located = replace(located, place=place)  # that place was only expected
        is_lost = self.belief.status is Status.LOST
        if is_lost or located.presence >= self.loss.uncertain_below:
            return located
        center_xy = self._motion.found_in_wider_region(
            self.probe, levels, cut.origin_xy, place.size_wh
        )
        again = None if center_xy is None else self._locate_at(levels, place.at(center_xy))
        return located if again is None or again.presence <= located.presence else again

    def _locate_at(self, levels: np.ndarray, place: P) -> Located[P] | None:
        """The target around any place; ``None``: the network gave numbers that are not finite."""
        try:
            return alone(in_steps(self.locate(self.cut(levels, place))))
        except EngineError:
            raise
        except RunError:
            return None

    def _report(self, located: Located[P], diagnostics: dict[str, Any]) -> TrackState:
        """Decide how far to trust a measurement, store the new state, and report it."""
        before, loss, flag, box = self.belief, self.loss, located.flag, located.place.box
        at_border = touches_border(before.trusted, *self.frame_wh)
        reason = loss.reason(before, flag, located.doubt, at_border=at_border)
        belief = replace(loss.after(before, flag), score=located.score)
        belief = belief.with_entropy(located.entropy)
        self._place = located.place
        if not located.measured or belief.status is Status.LOST:
            measured_box = box if located.measured else None
            return self._report_unmeasured(
                belief, belief.trusted, reason, diagnostics, measured_box
            )
        trusts = belief.status is Status.TRACKING or not loss.safe
        if before.status is Status.LOST:
            self._motion = NO_MOTION
        elif trusts:
            self._motion = self._motion.followed(before.trusted.center_xy, box.center_xy)
        else:
            self._motion = self._motion.doubted()
        self._belief = replace(belief, trusted=box) if trusts else belief
        return TrackState(
            box=box,
            measured=True,
            score=located.score,
            status=belief.status,
            reason=reason,
            diagnostics=diagnostics,
        )

    def _repeat(self, fault: Reason) -> TrackState:
        """The result for a frame with nothing to show: the same box, or the last trusted one."""
        belief = self.loss.waited(self.belief, is_frozen=fault is Reason.FROZEN_FRAME)
        is_lost = belief.status is Status.LOST
        return self._report_unmeasured(belief, belief.trusted if is_lost else self.place.box, fault)

    def _report_unmeasured(
        self,
        belief: Belief,
        box: Box,
        reason: Reason,
        diagnostics: dict[str, Any] | None = None,
        measured_box: Box | None = None,
    ) -> TrackState:
        """Store the belief, and report a box that is not the one of this frame."""
        self._belief, self._motion = belief, self._motion.waited()
        if belief.status is Status.LOST:
            self._motion = NO_MOTION
            self._place = self._place_when_lost(self.place, belief.trusted)
        if self.loss.safe:
            box = with_centre_inside(box, *self.frame_wh)
        return TrackState(
            box=box,
            measured=False,
            score=belief.score,
            status=belief.status,
            reason=reason,
            diagnostics=diagnostics or {},
            measured_box=measured_box or box,
        )


def _started(value: Value | None) -> Value:
    """A value that ``init`` sets.

    Raises:
        RuntimeError: called before ``init``.
    """
    if value is None:
        raise RuntimeError("call init(frame, box) first")
    return value


def not_finite() -> RunError:
    """The error of a network that gave numbers that are not finite."""
    return RunError(
        "the network gave numbers that are not finite",
        fix="check the weights, or use the preset default",
    )
