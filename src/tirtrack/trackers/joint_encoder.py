"""The tracker of a joint encoder: a fixed template, sought around the last position.

The template of the first frame is embedded once; every frame, the transformer sees it together with
the search patch. The centre's probability times a Hann window picks the cell, whose box is the
target. Ye et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream
Framework", ECCV 2022. Patches are cut as in training, by the network's own crop rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from tirtrack.boxes import Box
from tirtrack.crops import Crop, CropRule, boxes_to_frame, cut_patch, training_crop
from tirtrack.errors import RunError
from tirtrack.networks.joint_encoder import JointEncoder
from tirtrack.networks.response import TargetModel
from tirtrack.trackers.base import XY, Candidate
from tirtrack.trackers.belief import Flag
from tirtrack.trackers.family import BoxPlace, Cut, Located
from tirtrack.trackers.frame_gate import Region
from tirtrack.trackers.joint_presets import JointSettings
from tirtrack.trackers.peak_score import score_of_peak
from tirtrack.trackers.shell import TrackerShell, not_finite
from tirtrack.trackers.siamese_localisation import limit_to_frame
from tirtrack.weights.card import PeakCalibration


class JointEngine:
    """Runs a joint encoder under ``no_grad``, on its device.

    Args:
        network: network; used as it is, not copied.
    """

    def __init__(self, network: JointEncoder) -> None:
        self.network = network.eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def features(self, patches: np.ndarray) -> np.ndarray:
        """Embedded cells ``[B,C,n,n]`` of patches ``[B,D,D,3]`` RGB or ``[B,D,D]`` grey, grey
        levels 0..255.
        """
        levels = self._tensor(patches)
        levels = levels[..., None].expand(-1, -1, -1, 3) if levels.ndim == 3 else levels
        (cells,) = self.network.features(levels.permute(0, 3, 1, 2)[:, None] / 255)
        return np.asarray(cells[:, 0].cpu())

    @torch.no_grad()
    def respond(self, template: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of the centre ``[n,n]`` and boxes ``[4,n,n]`` xywh patch pixels, from embedded
        cells ``[C,h,w]`` of the template and ``[C,n,n]`` of a search patch.
        """
        target = TargetModel([self._tensor(template)[None]])
        given = self.network.respond_from(target, [self._tensor(features)[None, None]])
        if given.boxes is None:
            raise ValueError("a joint encoder has a box at every cell, got None")
        return np.asarray(given.scores[0][0, 0].cpu()), np.asarray(given.boxes[0, 0].cpu())

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        like = next(self.network.parameters())
        return torch.from_numpy(np.ascontiguousarray(values)).to(like)


@dataclass(frozen=True)
class JointModel:
    """Results of the first frame, kept for the whole run.

    Attributes:
        template: embedded cells ``[C,h,w]`` of the template.
        frame_wh: sides of the frames, pixels.
        rule: crop rule of search patches.
    """

    template: np.ndarray
    frame_wh: tuple[int, int]
    rule: CropRule

    def place_of(self, box: Box) -> BoxPlace:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return BoxPlace.of(box.center_xy, (box.w, box.h))

    def crop(self, place: BoxPlace) -> Crop:
        """The crop of the search patch around a place."""
        around = BoxPlace.of(place.center_xy, place.size_wh).box
        return training_crop(around, self.rule, self.frame_wh[::-1])

    def region(self, place: BoxPlace) -> Region:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        crop = self.crop(place)
        columns, rows = (
            slice(max(int(start), 0), min(int(start + crop.side) + 2, length))
            for start, length in zip((crop.x, crop.y), self.frame_wh, strict=True)
        )
        return rows, columns

    def search_side(self, size_wh: XY) -> float:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return self.crop(BoxPlace.of((0.0, 0.0), size_wh)).side

    def state_dict(self) -> dict[str, Any]:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        return {"template": self.template.copy(), "frame_wh": list(self.frame_wh)}

    @classmethod
    def from_state_dict(
        cls, state: dict[str, Any], engine: JointEngine, settings: JointSettings
    ) -> Self:
        """See :class:`~tirtrack.trackers.family.TrackedTarget`."""
        width, height = state["frame_wh"]
        rule = engine.network.test_crop
        return cls(np.array(state["template"]), (int(width), int(height)), rule)


class JointTracker(TrackerShell[BoxPlace, JointModel]):
    """Tracks one target by passing each search patch through the network with the first template.

    Nothing is random and nothing is learnt: the same frames and box give the same boxes, whatever
    the seed.
    """

    engine: JointEngine
    settings: JointSettings
    calibration: PeakCalibration
    place_type = BoxPlace
    model_type = JointModel

    def begin(self, levels: np.ndarray, box: Box) -> tuple[BoxPlace, JointModel]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.begin`."""
        network, frame_hw = self.engine.network, levels.shape[:2]
        crop = training_crop(box, network.reference_crop, (frame_hw[0], frame_hw[1]))
        (template,) = self.engine.features(cut_patch(levels, crop, fill=None)[None])
        model = JointModel(template, (frame_hw[1], frame_hw[0]), network.test_crop)
        return model.place_of(box), model

    def cut(self, levels: np.ndarray, place: BoxPlace) -> Cut[BoxPlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.cut`: one patch ``[1,D,D,3]`` or
        ``[1,D,D]``.
        """
        crop = self.model.crop(place)
        return Cut(place, cut_patch(levels, crop, fill=None)[None], place.center_xy, crop)

    def locate(self, cut: Cut[BoxPlace], features: np.ndarray | None = None) -> Located[BoxPlace]:
        """See :meth:`~tirtrack.trackers.shell.TrackerShell.locate`; features are ``[1,C,n,n]``."""
        return self._located(cut, features, is_windowed=True)

    def probe(self, levels: np.ndarray, center_xy: XY, size_wh: XY) -> Candidate | None:
        """See :meth:`tirtrack.trackers.base.SeekingTracker.probe`: no place in the patch is
        preferred.
        """
        cut = self.cut(levels, BoxPlace.of(center_xy, size_wh))
        try:
            located = self._located(cut, None, is_windowed=False)
        except RunError:
            return None
        return Candidate(self._bounded(located.place).box, located.score)

    def _located(
        self, cut: Cut[BoxPlace], features: np.ndarray | None, *, is_windowed: bool
    ) -> Located[BoxPlace]:
        if features is None:
            features = self.engine.features(cut.patches)
        logits, boxes_patch = self.engine.respond(self.model.template, features[0])
        if not (np.isfinite(logits).all() and np.isfinite(boxes_patch).all()):
            raise not_finite()
        row, column = best_cell(logits, is_windowed=is_windowed)
        box = Box.of(boxes_to_frame(boxes_patch[:, row, column], cut.windows))
        score = score_of_peak(float(logits[row, column]), self.calibration)
        diagnostics = {"cell": (row, column), "side": cut.windows.side}
        place = self.model.place_of(box)
        return Located(place, score, self._flag(score), score, diagnostics=diagnostics)

    def _flag(self, score: float) -> Flag:
        if score >= self.settings.uncertain_below:
            return Flag.NORMAL
        return Flag.NOT_FOUND if score < self.settings.lost_below else Flag.UNCERTAIN

    def _bounded(self, place: BoxPlace) -> BoxPlace:
        bounded = limit_to_frame(
            place.center_xy,
            place.size_wh,
            frame_wh=self.frame_wh,
            min_side=self.settings.min_side,
        )
        return BoxPlace.of(*bounded)

    def _place_when_lost(self, place: BoxPlace, trusted: Box) -> BoxPlace:
        return self._bounded(self.model.place_of(trusted))


def best_cell(logits: np.ndarray, *, is_windowed: bool) -> tuple[int, int]:
    """Row and column of the most probable centre in a map ``[n,n]`` of logits; the first of equal
    ones in row-major order.

    Args:
        logits: logits of the centre.
        is_windowed: whether probabilities are multiplied by a Hann window, which prefers the middle
            and is above zero in every cell.
    """
    cells = logits.shape[0]
    probability = 1 / (1 + np.exp(-logits.astype(np.float64)))
    if is_windowed:
        slope = np.hanning(cells + 2)[1:-1]
        probability = probability * np.outer(slope, slope)
    row, column = divmod(int(probability.argmax()), cells)
    return row, column
