"""The online loop of the Siamese family: a fixed template, sought around the last position.

One class, two ways to run it: preset ``published`` is the published loop, bit for bit; preset
``default`` cuts patches at subpixel positions, keeps small targets small, gives a calibrated score,
and survives bad frames. The tracker keeps state and orders the steps; the steps themselves are in
``siamese_geometry``, ``siamese_localisation``, ``calibration`` and ``frame_gate``.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tirtrack.boxes import Box, check_first_box, touches_border, with_centre_inside
from tirtrack.crops import mean_fill
from tirtrack.errors import FrameError, RunError
from tirtrack.trackers.base import Candidate, Origin, Reason, Status, TrackState
from tirtrack.trackers.calibration import (
    USUAL_RATE,
    Belief,
    is_high_but_ambiguous,
    next_belief,
    score_of,
)
from tirtrack.trackers.frame_gate import FrameGate, as_picture, first_gate, warned_of_colour
from tirtrack.trackers.levels import GreyLevels
from tirtrack.trackers.motion import NO_MOTION, Motion
from tirtrack.trackers.presets import SiameseSettings
from tirtrack.trackers.siamese_geometry import SearchPatch, box_at, geometry_of
from tirtrack.trackers.siamese_localisation import Localisation, limit_to_frame, localise
from tirtrack.trackers.steps import Steps, without_work
from tirtrack.valid_pixels import filled
from tirtrack.weights.card import Calibration

if TYPE_CHECKING:
    from tirtrack.thermal import NormaliserSettings
    from tirtrack.trackers.engines import Maps, SiameseEngine

logger = logging.getLogger(__name__)

_STATE_FORMAT = 3


@dataclass(frozen=True)
class _Model:
    """Results of the first frame, kept for the whole run."""

    template: np.ndarray
    fill: np.ndarray
    shape: tuple[int, ...]

    @property
    def frame_wh(self) -> tuple[int, int]:
        return self.shape[1], self.shape[0]


@dataclass(frozen=True)
class _Target:
    """The state that changes from frame to frame. ``center_xy`` and ``size_wh`` place the next
    search region; ``usual_entropy`` is unknown before the first score map.
    """

    center_xy: tuple[float, float]
    size_wh: tuple[float, float]
    box: Box
    trusted: Box
    score: float
    belief: Belief
    usual_entropy: float | None = None
    frame: int = 0
    motion: Motion = NO_MOTION


@dataclass(frozen=True)
class _Request:
    """The search patch of a frame, or the reason why there is none; and its grey levels if frames
    were skipped before it.
    """

    fault: Reason
    seen: SearchPatch | None = None
    levels: np.ndarray | None = None


class SiameseTracker:
    """Tracks one target by comparing each frame with the template of the first.

    Implements :class:`tirtrack.trackers.base.SeekingTracker`. Nothing is random: the same frames
    and box give the same boxes, bit for bit.

    Args:
        engine: engine that runs the network.
        settings: settings of the loop; see ``presets``.
        calibration: numbers of the score and the status, from the card of the weights.
        normaliser: settings that map frames of more than 8 bits to grey levels; ``None``:
            ``adaptive``.
        modality: modality that the weights are for; for ``tir``, coloured frames give a warning.
        origin: origin of the tracker, for saved states.
    """

    def __init__(
        self,
        engine: SiameseEngine,
        settings: SiameseSettings,
        calibration: Calibration,
        *,
        normaliser: NormaliserSettings | None = None,
        modality: str = "",
        origin: Origin | None = None,
    ) -> None:
        self.settings = settings
        self.calibration = calibration
        self.engine = engine
        self._anywhere = settings.model_copy(update={"window_influence": 0.0})
        self.geometry = geometry_of(settings)
        self.origin = origin
        self._normaliser = normaliser
        self._modality = modality
        self._levels = GreyLevels(normaliser, stretch=settings.stretch)
        self._gate = FrameGate()
        self._warns_of_colour = modality == "tir"
        self._model: _Model | None = None
        self._target: _Target | None = None
        self._request: _Request | None = None

    def twin(self, target: str, *, phase: int = 0) -> SiameseTracker:
        """See :meth:`tirtrack.trackers.base.SharingTracker.twin`; nothing is drawn or learnt, so
        neither argument has an effect.
        """
        return SiameseTracker(
            self.engine,
            self.settings,
            self.calibration,
            normaliser=self._normaliser,
            modality=self._modality,
            origin=self.origin,
        )

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box; all earlier state is dropped.

        Raises:
            FrameError: the frame or the box cannot be used.
        """
        picture = self._picture(frame)
        valid = self._levels.valid(picture)
        gate = first_gate(picture, valid, box, is_checked=self.settings.frame_gate)
        if self._warns_of_colour:
            self._warns_of_colour = not warned_of_colour(picture)
        self._gate = gate
        self._levels.reset()
        grey = self._levels(picture, valid)
        fill = mean_fill(grey)
        center_xy, size_wh = self.geometry.begin(box, (picture.shape[1], picture.shape[0]))
        patch = self.geometry.template(grey, center_xy, size_wh, fill)
        self._model = _Model(self.engine.template(patch), fill, picture.shape)
        self._target = _Target(center_xy, size_wh, box, box, 1.0, Belief())
        self._request = None
        return TrackState(box=box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: two frames in a row have the same new size or number type.
            FrameError: the frame cannot be used, and the frame gate is off.
            RunError: the network gave numbers that are not finite, and the score is the published
                one.
        """
        self.request(frame)
        model, asked = self._started()[0], self._asked()
        if asked.seen is None:
            return self._decide(None)
        return self._decide(self.engine.search(model.template, asked.seen.patch))

    def request(self, frame: np.ndarray) -> np.ndarray | None:
        """The search patch ``[1,D,D,3]`` or ``[1,D,D]``; ``None`` for a bad frame.

        Raises:
            RuntimeError: called before ``init``.
            StreamChangedError: two frames in a row have the same new size or number type.
            FrameError: the frame cannot be used, and the frame gate is off.
        """
        model, target = self._started()
        fault, grey = self._inspect(frame, model)
        if fault is not Reason.NONE:
            self._request = _Request(fault)
            return None
        center_xy = target.motion.ahead(target.center_xy, target.size_wh, model.frame_wh)
        seen = self.geometry.search(grey, center_xy, target.size_wh, model.fill)
        self._request = _Request(fault, seen, grey if target.motion.skipped else None)
        return seen.patch[None]

    def answer(self, features: np.ndarray | None) -> TrackState:
        """The target's state, from the features ``[1,C,16,16]`` of the search patch.

        Raises:
            RuntimeError: nothing was requested.
            RunError: the network gave numbers that are not finite, and the score is the published
                one.
        """
        model, _ = self._started()
        maps = None if features is None else self.engine.compare(model.template, features[0])
        return self._decide(maps)

    def answering(self, features: np.ndarray | None) -> Steps[TrackState]:
        """See :meth:`tirtrack.trackers.base.SharingTracker.answering`; there is no such work."""
        return without_work(partial(self.answer, features))

    def skip(self, frames: int) -> None:
        """See :meth:`tirtrack.trackers.base.Tracker.skip`."""
        _, target = self._started()
        self._target = replace(
            target,
            frame=target.frame + frames,
            motion=target.motion.left_out(frames),
        )

    def observe(self, frame: np.ndarray) -> tuple[Reason, np.ndarray]:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.observe`."""
        model, target = self._started()
        self._target = replace(target, frame=target.frame + 1, motion=NO_MOTION)
        return self._inspect(frame, model)

    def picture(self, frame: np.ndarray) -> np.ndarray:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.picture`."""
        picture = as_picture(frame)
        valid = self._levels.valid(picture)
        return picture if valid is None else filled(picture, valid)

    def probe(
        self, levels: np.ndarray, center_xy: tuple[float, float], size_wh: tuple[float, float]
    ) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`: no place in the patch is
        preferred, and the size is the measured one.
        """
        model, target = self._started()
        seen = self.geometry.search(levels, center_xy, size_wh, model.fill)
        maps = self.engine.search(model.template, seen.patch)
        across, down = seen.scale_xy
        size_patch = (target.size_wh[0] * across, target.size_wh[1] * down)
        located = localise(maps.logits, maps.ltrb, size_patch, settings=self._anywhere)
        if located is None:
            return None
        center_xy, size_wh = limit_to_frame(
            *self.geometry.measured(located, seen),
            frame_wh=model.frame_wh,
            min_side=self.settings.min_side,
        )
        return Candidate(box_at(center_xy, size_wh), self._score(located))

    def search_side(self, size_wh: tuple[float, float]) -> float:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.search_side`."""
        crop = self.geometry.crop_around((0.0, 0.0), size_wh)
        return min(crop.side, crop.height)

    def resume(self, candidate: Candidate) -> TrackState:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.resume`."""
        model, target = self._started()
        box = candidate.box
        check_first_box(box, *model.frame_wh)
        self._request = None
        center_xy, size_wh = self.geometry.begin(box, model.frame_wh)
        self._target = replace(
            target,
            center_xy=center_xy,
            size_wh=size_wh,
            box=box,
            trusted=box,
            score=candidate.score,
            belief=Belief(),
            motion=NO_MOTION,
        )
        return TrackState(
            box=box, measured=True, score=candidate.score, status=Status.TRACKING,
            reason=Reason.RE_DETECTED,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Everything that ``update`` depends on, as plain values and arrays.

        Raises:
            RuntimeError: called before ``init``.
        """
        model, target = self._started()
        return {
            "format": _STATE_FORMAT,
            "template": model.template.copy(),
            "fill": model.fill.copy(),
            "shape": list(model.shape),
            "target": {
                **asdict(target),
                "belief": {
                    "status": str(target.belief.status),
                    "doubtful_frames": target.belief.doubtful_frames,
                },
            },
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
        shape = tuple(int(length) for length in state["shape"])
        self._model = _Model(np.array(state["template"]), np.array(state["fill"]), shape)
        target, belief = state["target"], state["target"]["belief"]
        self._target = _Target(
            center_xy=(float(target["center_xy"][0]), float(target["center_xy"][1])),
            size_wh=(float(target["size_wh"][0]), float(target["size_wh"][1])),
            box=Box(**target["box"]),
            trusted=Box(**target["trusted"]),
            score=float(target["score"]),
            belief=Belief(Status(belief["status"]), int(belief["doubtful_frames"])),
            usual_entropy=target["usual_entropy"],
            frame=int(target["frame"]),
            motion=Motion.of(target.get("motion")),
        )
        self._request = None
        self._gate.load_state_dict(state["gate"])
        self._levels.load_state_dict(state["levels"])

    def _started(self) -> tuple[_Model, _Target]:
        if self._model is None or self._target is None:
            raise RuntimeError("call init(frame, box) first")
        return self._model, self._target

    def _asked(self) -> _Request:
        if self._request is None:
            raise RuntimeError("call request(frame) before answer(features)")
        return self._request

    def _decide(self, maps: Maps | None) -> TrackState:
        """The state after a request, from the maps of its patch; ``None``: there was no patch."""
        asked, (model, target) = self._asked(), self._started()
        self._request = None
        target = replace(target, frame=target.frame + 1)
        seen = asked.seen
        if maps is None or seen is None:
            return self._repeat(target, model, asked.fault)
        located = localise(maps.logits, maps.ltrb, seen.size_patch_wh, settings=self.settings)
        if located is not None and asked.levels is not None:
            seen, located = self._after_gap(asked.levels, seen, located)
        if located is None:
            return self._not_finite(target)
        center_xy, size_wh = self.geometry.moved(located, seen, target.size_wh, model.frame_wh)
        moved = replace(
            target, center_xy=center_xy, size_wh=size_wh, box=box_at(center_xy, size_wh)
        )
        return self._accept(moved, located, seen.side)

    def _score(self, located: Localisation) -> float:
        """Score of the best cell, relative to the usual entropy of this target."""
        usual = self._started()[1].usual_entropy
        rise = 0.0 if usual is None else located.entropy - usual
        return score_of(rise, located.margin, self.calibration)

    def _after_gap(
        self, levels: np.ndarray, seen: SearchPatch, located: Localisation
    ) -> tuple[SearchPatch, Localisation]:
        """The best cell after skipped frames: from a search patch at the place where a wider region
        shows the target, if this patch hardly does.
        """
        model, target = self._started()
        is_lost = target.belief.status is Status.LOST
        if is_lost or self._score(located) >= self.calibration.uncertain_below:
            return seen, located
        center_xy = target.motion.seen_more_widely(
            self.probe, levels, seen.origin_xy, target.size_wh
        )
        if center_xy is None:
            return seen, located
        other = self.geometry.search(levels, center_xy, target.size_wh, model.fill)
        maps = self.engine.search(model.template, other.patch)
        found = localise(maps.logits, maps.ltrb, other.size_patch_wh, settings=self.settings)
        if found is None or self._score(found) <= self._score(located):
            return seen, located
        return other, found

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        picture = as_picture(frame)
        if self.settings.crop != "integer":
            return picture
        if picture.dtype != np.uint8:
            raise FrameError(
                f"the published crop takes uint8, not {picture.dtype}",
                fix="use the preset default, or make the frames 8 bit",
            )
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)

    def _inspect(self, frame: np.ndarray, model: _Model) -> tuple[Reason, np.ndarray]:
        """The reason why a frame has nothing to show, and its grey levels."""
        try:
            picture = self._picture(frame)
        except FrameError:
            if not self.settings.frame_gate:
                raise
            return Reason.DAMAGED_FRAME, np.empty(0)
        valid = self._levels.valid(picture)
        if self.settings.frame_gate:
            _, target = self._started()
            region = self.geometry.region(target.center_xy, target.size_wh, model.frame_wh)
            fault = self._gate.check(picture, region, valid=valid)
            if fault is not Reason.NONE:
                return fault, picture
        elif picture.shape != model.shape:
            raise FrameError(
                f"a frame of {list(picture.shape)} follows frames of {list(model.shape)}",
                fix="begin anew where the size of the frames changes",
            )
        return Reason.NONE, self._levels(picture, valid)

    def _accept(self, moved: _Target, located: Localisation, side: float) -> TrackState:
        """Decide how far to trust a measurement, store the new state, and report it."""
        diagnostics = {**vars(located), "side": side}
        if self.settings.score == "published":
            before = self._started()[1].box
            motion = moved.motion.followed(before.center_xy, moved.box.center_xy)
            self._target = replace(moved, motion=motion)
            return TrackState(
                box=moved.box,
                measured=True,
                score=located.probability,
                status=Status.TRACKING,
                diagnostics=diagnostics,
            )
        usual = located.entropy if moved.usual_entropy is None else moved.usual_entropy
        diagnostics["entropy_rise"] = rise = located.entropy - usual
        score = score_of(rise, located.margin, self.calibration)
        was = moved.belief.status
        belief = next_belief(moved.belief, score, self.calibration)
        if belief.status is Status.TRACKING:
            usual += USUAL_RATE * rise
        moved = replace(moved, score=score, belief=belief, usual_entropy=usual)
        if belief.status is Status.LOST:
            reason = self._cause(moved, located)
            return self._say_lost(moved, reason, diagnostics, measured_box=moved.box)
        reason = Reason.RE_DETECTED if was is Status.LOST else Reason.NONE
        if belief.status is Status.TRACKING:
            motion = moved.motion.followed(moved.trusted.center_xy, moved.box.center_xy)
            is_new = was is Status.LOST
            moved = replace(moved, trusted=moved.box, motion=NO_MOTION if is_new else motion)
        else:
            moved = replace(moved, motion=moved.motion.doubted())
            reason = self._cause(moved, located)
        self._target = moved
        return TrackState(
            box=moved.box,
            measured=True,
            score=score,
            status=belief.status,
            reason=reason,
            diagnostics=diagnostics,
        )

    def _cause(self, target: _Target, located: Localisation) -> Reason:
        model, _ = self._started()
        if touches_border(target.trusted, *model.frame_wh):
            return Reason.OUT_OF_VIEW
        if is_high_but_ambiguous(located.margin, self.calibration):
            return Reason.AMBIGUOUS
        return Reason.LOW_SCORE

    def _repeat(self, target: _Target, model: _Model, fault: Reason) -> TrackState:
        """The result for a frame with nothing to show: the same box, one more doubtful frame."""
        belief = next_belief(target.belief, 0.0, self.calibration)
        # A repeated frame is no evidence for or against the box.
        score = 0.0
        if fault is Reason.FROZEN_FRAME:
            score = min(target.score, self.calibration.uncertain_below)
        target = replace(target, score=score, belief=belief, motion=target.motion.waited())
        if belief.status is Status.LOST:
            return self._say_lost(target, fault, {})
        self._target = target
        box = with_centre_inside(target.box, *model.frame_wh)
        return TrackState(box=box, measured=False, score=score, status=belief.status, reason=fault)

    def _not_finite(self, target: _Target) -> TrackState:
        if self.settings.score == "published":
            raise RunError(
                "the network gave numbers that are not finite",
                fix="check the weights, or use the preset default",
            )
        belief = Belief(Status.LOST, target.belief.doubtful_frames + 1)
        return self._say_lost(replace(target, score=0.0, belief=belief), Reason.NOT_FINITE, {})

    def _say_lost(
        self,
        target: _Target,
        reason: Reason,
        diagnostics: dict[str, Any],
        *,
        measured_box: Box | None = None,
    ) -> TrackState:
        """Report the last trusted box as not measured; the search continues."""
        model, _ = self._started()
        trusted = target.trusted
        if self.settings.when_lost == "stay":
            center_xy, _ = limit_to_frame(
                trusted.center_xy, (trusted.w, trusted.h), frame_wh=model.frame_wh, min_side=0.0
            )
            target = replace(target, center_xy=center_xy, size_wh=(trusted.w, trusted.h))
        target = replace(target, box=trusted, motion=NO_MOTION)
        self._target = target
        box = with_centre_inside(trusted, *model.frame_wh)
        return TrackState(
            box=box,
            measured=False,
            score=target.score,
            status=Status.LOST,
            reason=reason,
            diagnostics=diagnostics,
            measured_box=measured_box or box,
        )
