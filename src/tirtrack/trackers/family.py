"""What a family of trackers exchanges with the shell: settings, places, target models, patches,
results.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np

from tirtrack.boxes import Box
from tirtrack.trackers.base import XY, Reason
from tirtrack.trackers.belief import Flag, LossRule
from tirtrack.trackers.frame_gate import Region


class TrackerSettings(Protocol):
    """What the shell asks of the settings of a family."""

    @property
    def frame_gate(self) -> bool:
        """Whether the box is repeated on black, constant, frozen and damaged frames."""

    def loss_rule(self, calibration: Any) -> LossRule:
        """The rule by which a target is lost and found, for a calibration of the score."""


class Place(Protocol):
    """Where a target is, in the terms of its family, frame pixels; a dataclass of plain values and
    arrays.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def box(self) -> Box:
        """The box there."""

    @property
    def center_xy(self) -> XY:
        """Centre of the search region."""

    @property
    def size_wh(self) -> XY:
        """Size of the target."""

    def at(self, center_xy: XY) -> Self:
        """The place moved to another centre."""

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """The place from its fields."""


P = TypeVar("P", bound=Place)


class TrackedTarget(Protocol[P]):
    """All that a family keeps of the target and of the first frame."""

    def place_of(self, box: Box) -> P:
        """The place of a trusted box."""

    def region(self, place: P) -> Region:
        """Rows and columns of the frame that the search region around a place shows."""

    def search_side(self, size_wh: XY) -> float:
        """Side of the search region for a target of this size, frame pixels."""

    def state_dict(self) -> dict[str, Any]:
        """The model as plain values and arrays."""

    @classmethod
    def from_state_dict(cls, state: dict[str, Any], engine: Any, settings: Any) -> Self:
        """The model from :meth:`state_dict`, for the engine and settings of its tracker."""


M = TypeVar("M", bound=TrackedTarget[Any])


@dataclass(frozen=True)
class BoxPlace:
    """A place of centre and size: the one to use unless a family needs more.

    Attributes:
        center_xy: centre of the search region.
        size_wh: size of the target.
        box: box of the target.
    """

    center_xy: XY
    size_wh: XY
    box: Box

    @classmethod
    def of(cls, center_xy: XY, size_wh: XY) -> Self:
        """The place of a target that is in the middle of its search region."""
        (x, y), (w, h) = center_xy, size_wh
        return cls(center_xy, size_wh, Box(x - w / 2, y - h / 2, w, h))

    def at(self, center_xy: XY) -> Self:
        """See :class:`Place`."""
        return replace(self, center_xy=center_xy)

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> Self:
        """See :class:`Place`."""
        (x, y), (w, h) = state["center_xy"], state["size_wh"]
        return cls((float(x), float(y)), (float(w), float(h)), Box(**state["box"]))


@dataclass(frozen=True)
class Cut(Generic[P]):
    """The patches of a frame around a place.

    Attributes:
        place: place of the target before it is sought.
        patches: patches for the engine, stacked along axis 0.
        origin_xy: centre of the search region, frame pixels.
        windows: position and scale of the patches in the frame, in the terms of the family.
    """

    place: P
    patches: np.ndarray
    origin_xy: XY
    windows: Any


@dataclass(frozen=True)
class Located(Generic[P]):
    """Where a family finds the target in a frame.

    Attributes:
        place: new place of the target; where it was sought if nothing was measured.
        score: score to report, in [0, 1].
        flag: what the score map shows.
        presence: how surely the target is there, in [0, 1]. After skipped frames, a lower one than
            ``uncertain_below`` of the loss rule makes the shell look elsewhere, and the higher one
            of two places counts.
        doubt: reason to report if the flag is uncertain or not found.
        measured: whether a box was measured in the frame.
        entropy: entropy of the score map if the score is relative to its usual value; nats.
        diagnostics: numbers for tests and reports.
        lesson: what :meth:`TrackerShell.learn` needs; known to the family alone.
    """

    place: P
    score: float
    flag: Flag
    presence: float
    doubt: Reason = Reason.LOW_SCORE
    measured: bool = True
    entropy: float | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    lesson: Any = None
