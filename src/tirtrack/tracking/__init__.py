"""Tracking one target through a source of frames; the library side of ``tirtrack track``."""

from tirtrack.tracking.first_frame import FirstFrame, first_frame
from tirtrack.tracking.record import TrackedFrame
from tirtrack.tracking.run import Ending, TrackRun, TrackStoppedError, source_name, track

__all__ = [
    "Ending",
    "FirstFrame",
    "TrackRun",
    "TrackStoppedError",
    "TrackedFrame",
    "first_frame",
    "source_name",
    "track",
]
