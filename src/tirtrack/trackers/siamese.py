"""The Siamese family: a fixed template, sought around the last position.

One class, two ways to run it: preset ``published`` is the published loop, bit for bit; preset
``default`` cuts patches at subpixel positions, keeps small targets small, gives a calibrated score,
and survives bad frames. The steps are in ``siamese_geometry``, ``siamese_localisation`` and
``calibration``, all else is the shell's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tirtrack.boxes import Box
from tirtrack.crops import mean_fill
from tirtrack.errors import FrameError
from tirtrack.trackers.base import XY, Candidate, Reason
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.calibration import flag_of, is_high_but_ambiguous, score_of
from tirtrack.trackers.family import BoxPlace, Cut, Located
from tirtrack.trackers.frame_gate import Region, as_picture
from tirtrack.trackers.presets import SiameseSettings
from tirtrack.trackers.shell import TrackerShell, not_finite
from tirtrack.trackers.siamese_geometry import Geometry, SearchPatch, geometry_of
from tirtrack.trackers.siamese_localisation import BestCell, limit_to_frame, localise
from tirtrack.weights.card import Calibration

if TYPE_CHECKING:
    from tirtrack.trackers.engines import SiameseEngine


@dataclass(frozen=True)
class SiameseModel:
    """Results of the first frame, kept for the whole run.

    Attributes:
        template: template features ``[C,h,w]``.
        fill: level of pixels outside the frame, one for each channel.
        frame_wh: sides of the frames, pixels.
        geometry: geometry of the patches.
    """

    template: np.ndarray
    fill: np.ndarray
    frame_wh: tuple[int, int]
    geometry: Geometry

    def place_of(self, box: Box) -> BoxPlace:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return BoxPlace(*self.geometry.begin(box, self.frame_wh), box)

    def region(self, place: BoxPlace) -> Region:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return self.geometry.region(place.center_xy, place.size_wh, self.frame_wh)

    def search_side(self, size_wh: XY) -> float:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`; the shorter side."""
        crop = self.geometry.crop_around((0.0, 0.0), size_wh)
        return min(crop.side, crop.height)

    def search(self, levels: np.ndarray, center_xy: XY, size_wh: XY) -> SearchPatch:
        """The search patch around a place."""
        return self.geometry.search(levels, center_xy, size_wh, self.fill)

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return {
            "template": self.template.copy(),
            "fill": self.fill.copy(),
            "frame_wh": list(self.frame_wh),
        }

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Any], engine: SiameseEngine, settings: SiameseSettings
    ) -> Self:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        width, height = state["frame_wh"]
        template, fill = np.array(state["template"]), np.array(state["fill"])
        return cls(template, fill, (int(width), int(height)), geometry_of(settings))


class SiameseTracker(TrackerShell[BoxPlace, SiameseModel]):
    """Tracks one target by comparing each frame with the template of the first.

    Nothing is random and nothing is learnt: the same frames and box give the same boxes, bit for
    bit, whatever the seed.
    """

    engine: SiameseEngine
    settings: SiameseSettings
    calibration: Calibration
    place_type = BoxPlace
    model_type = SiameseModel

    def begin(self, levels: np.ndarray, box: Box) -> tuple[BoxPlace, SiameseModel]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.begin`."""
        geometry, fill = geometry_of(self.settings), mean_fill(levels)
        frame_wh = levels.shape[1], levels.shape[0]
        place = BoxPlace(*geometry.begin(box, frame_wh), box)
        patch = geometry.template(levels, place.center_xy, place.size_wh, fill)
        return place, SiameseModel(self.engine.template(patch), fill, frame_wh, geometry)

    def cut(self, levels: np.ndarray, place: BoxPlace) -> Cut[BoxPlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.cut`: one patch ``[1,D,D,3]`` or
        ``[1,D,D]``.
        """
        search_patch = self.model.search(levels, place.center_xy, place.size_wh)
        return Cut(place, search_patch.patch[None], search_patch.origin_xy, search_patch)

    def locate(self, cut: Cut[BoxPlace], features: np.ndarray | None = None) -> Located[BoxPlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.locate`; features are ``[1,C,h,w]``."""
        model, search_patch = self.model, cut.windows
        if features is None:
            maps = self.engine.search(model.template, search_patch.patch)
        else:
            maps = self.engine.compare(model.template, features[0])
        found = localise(maps.logits, maps.ltrb, search_patch.size_patch_wh, settings=self.settings)
        if found is None:
            raise not_finite()
        moved = model.geometry.moved(found, search_patch, cut.place.size_wh, model.frame_wh)
        return self._located(BoxPlace.of(*moved), found, {**vars(found), "side": search_patch.side})

    def probe(self, levels: np.ndarray, center_xy: XY, size_wh: XY) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`: no place in the patch is
        preferred, and the size is the measured one.
        """
        model, target_wh = self.model, self.place.size_wh
        search_patch = model.search(levels, center_xy, size_wh)
        maps = self.engine.search(model.template, search_patch.patch)
        size_patch = (
            target_wh[0] * search_patch.scale_xy[0],
            target_wh[1] * search_patch.scale_xy[1],
        )
        anywhere = self.settings.model_copy(update={"window_influence": 0.0})
        found = localise(maps.logits, maps.ltrb, size_patch, settings=anywhere)
        if found is None:
            return None
        measured = limit_to_frame(
            *model.geometry.measured(found, search_patch),
            frame_wh=model.frame_wh,
            min_side=self.settings.min_side,
        )
        return Candidate(BoxPlace.of(*measured).box, self._presence(found))

    def _located(
        self, place: BoxPlace, found: BestCell, diagnostics: dict[str, Any]
    ) -> Located[BoxPlace]:
        """The score of the best cell and what it says of the target."""
        presence, calibration = self._presence(found), self.calibration
        if self.settings.score == "published":
            return Located(place, found.probability, Flag.NONE, presence, diagnostics=diagnostics)
        is_ambiguous = is_high_but_ambiguous(found.margin, calibration)
        return Located(
            place,
            presence,
            flag_of(presence, calibration),
            presence,
            doubt=Reason.AMBIGUOUS if is_ambiguous else Reason.LOW_SCORE,
            entropy=found.entropy,
            diagnostics={**diagnostics, "entropy_rise": self._entropy_rise(found)},
        )

    def _presence(self, found: BestCell) -> float:
        return score_of(self._entropy_rise(found), found.margin, self.calibration)

    def _entropy_rise(self, found: BestCell) -> float:
        """Rise of the entropy above the usual one of this target."""
        usual = self.belief.usual_entropy
        return 0.0 if usual is None else found.entropy - usual

    def _place_when_lost(self, place: BoxPlace, trusted: Box) -> BoxPlace:
        if self.settings.when_lost == "follow":
            return place
        size_wh = trusted.w, trusted.h
        center_xy, _ = limit_to_frame(
            trusted.center_xy, size_wh, frame_wh=self.frame_wh, min_side=0.0
        )
        return BoxPlace(center_xy, size_wh, trusted)

    def _as_picture(self, frame: np.ndarray) -> np.ndarray:
        """The published crop takes three channels of 8 bits."""
        picture = as_picture(frame)
        if self.settings.crop != "integer":
            return picture
        if picture.dtype != np.uint8:
            raise FrameError(
                f"the published crop takes uint8, not {picture.dtype}",
                fix="use the preset default, or make the frames 8 bit",
            )
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)

    def _stretches_levels(self) -> bool:
        return self.settings.stretch
