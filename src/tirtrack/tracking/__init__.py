"""Tracking one target through a source of frames; the library side of ``tirtrack track``."""

from tirtrack.tracking.first_frame import FirstFrame, first_frame
from tirtrack.tracking.record import TrackedFrame
from tirtrack.tracking.run import TrackRun, TrackStoppedError, source_name, track
from tirtrack.tracking.track_summary import Ending, TrackSummary

__all__ = [
    "Ending",
    "FirstFrame",
    "TrackRun",
    "TrackStoppedError",
    "TrackSummary",
    "TrackedFrame",
    "first_frame",
    "source_name",
    "track",
]
