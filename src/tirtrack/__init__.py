"""Better thermal infrared trackers from unlabelled RGB-TIR pairs, by cross-modal distillation.

The public names, each loaded when it is first used: ``import tirtrack`` loads neither torch nor
anything else that is heavy, and does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tirtrack._api import evaluate, load, score
    from tirtrack.boxes import Box
    from tirtrack.errors import (
        DatasetError,
        FrameError,
        PairsError,
        RecipeError,
        RequestError,
        RunError,
        StorageError,
        TirtrackError,
        TrainingError,
        WeightsError,
    )
    from tirtrack.media import frames
    from tirtrack.trackers.base import Reason, Status, Tracker, TrackState
    from tirtrack.trackers.multi import MultiTracker
    from tirtrack.trackers.state_file import load_state, save_state
    from tirtrack.tracking import track
    from tirtrack.verbs import distill, train

    __version__: str

__all__ = [
    "Box",
    "DatasetError",
    "FrameError",
    "MultiTracker",
    "PairsError",
    "Reason",
    "RecipeError",
    "RequestError",
    "RunError",
    "Status",
    "StorageError",
    "TirtrackError",
    "TrackState",
    "Tracker",
    "TrainingError",
    "WeightsError",
    "__version__",
    "distill",
    "evaluate",
    "frames",
    "load",
    "load_state",
    "save_state",
    "score",
    "track",
    "train",
]

_HOMES = {
    "tirtrack._api": ("evaluate", "load", "score"),
    "tirtrack.boxes": ("Box",),
    "tirtrack.errors": (
        "DatasetError",
        "FrameError",
        "PairsError",
        "RecipeError",
        "RequestError",
        "RunError",
        "StorageError",
        "TirtrackError",
        "TrainingError",
        "WeightsError",
    ),
    "tirtrack.media": ("frames",),
    "tirtrack.trackers.base": ("Reason", "Status", "TrackState", "Tracker"),
    "tirtrack.trackers.multi": ("MultiTracker",),
    "tirtrack.trackers.state_file": ("load_state", "save_state"),
    "tirtrack.tracking": ("track",),
    "tirtrack.verbs": ("distill", "train"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("tirtrack")
    else:
        home = next((module for module, names in _HOMES.items() if name in names), None)
        if home is None:
            raise AttributeError(f"module 'tirtrack' has no attribute {name!r}")
        value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
