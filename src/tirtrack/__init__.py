"""Better thermal infrared trackers from unlabelled RGB-TIR pairs, by cross-modal distillation.

The public names, each loaded when it is first used: ``import tirtrack`` loads neither torch nor
anything else that is heavy, and does no work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tirtrack.boxes import Box
    from tirtrack.cache import cache_entries, clear_cache
    from tirtrack.datasets import (
        AnnotationOptions,
        list_datasets,
        open_dataset,
        open_named_files,
        parse_columns,
        verify_dataset,
    )
    from tirtrack.demo import run_demo
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
    from tirtrack.evaluation.quantising import quantise_weights
    from tirtrack.evaluation.runner import evaluate
    from tirtrack.evaluation.score_files import score
    from tirtrack.media import frames
    from tirtrack.pairs.camera_names import Pairing
    from tirtrack.pairs.inspect import inspect_pairs
    from tirtrack.pairs.mine import mine_pairs
    from tirtrack.pairs.proposals import proposer
    from tirtrack.pairs.registering import register_pairs
    from tirtrack.read_options import ReadOptions
    from tirtrack.report.build import build_report
    from tirtrack.trackers.base import Reason, Status, Tracker, TrackState
    from tirtrack.trackers.loading import load
    from tirtrack.trackers.multi import MultiTracker
    from tirtrack.trackers.state_file import load_state, save_state
    from tirtrack.tracking.first_frame import first_frame
    from tirtrack.tracking.run import track
    from tirtrack.verbs import distill, propose_boxes, train
    from tirtrack.weights.importing import import_weights
    from tirtrack.weights.store import list_weights, weights_info

    __version__: str

__all__ = [
    "AnnotationOptions",
    "Box",
    "DatasetError",
    "FrameError",
    "MultiTracker",
    "Pairing",
    "PairsError",
    "ReadOptions",
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
    "build_report",
    "cache_entries",
    "clear_cache",
    "distill",
    "evaluate",
    "first_frame",
    "frames",
    "import_weights",
    "inspect_pairs",
    "list_datasets",
    "list_weights",
    "load",
    "load_state",
    "mine_pairs",
    "open_dataset",
    "open_named_files",
    "parse_columns",
    "propose_boxes",
    "proposer",
    "quantise_weights",
    "register_pairs",
    "run_demo",
    "save_state",
    "score",
    "track",
    "train",
    "verify_dataset",
    "weights_info",
]

_HOMES = {
    "tirtrack.boxes": ("Box",),
    "tirtrack.cache": ("cache_entries", "clear_cache"),
    "tirtrack.datasets": (
        "AnnotationOptions",
        "list_datasets",
        "open_dataset",
        "open_named_files",
        "parse_columns",
        "verify_dataset",
    ),
    "tirtrack.demo": ("run_demo",),
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
    "tirtrack.evaluation.quantising": ("quantise_weights",),
    "tirtrack.evaluation.runner": ("evaluate",),
    "tirtrack.evaluation.score_files": ("score",),
    "tirtrack.media": ("frames",),
    "tirtrack.pairs.camera_names": ("Pairing",),
    "tirtrack.pairs.inspect": ("inspect_pairs",),
    "tirtrack.pairs.mine": ("mine_pairs",),
    "tirtrack.pairs.proposals": ("proposer",),
    "tirtrack.pairs.registering": ("register_pairs",),
    "tirtrack.read_options": ("ReadOptions",),
    "tirtrack.report.build": ("build_report",),
    "tirtrack.trackers.base": (
        "Reason",
        "Status",
        "TrackState",
        "Tracker",
    ),
    "tirtrack.trackers.loading": ("load",),
    "tirtrack.trackers.multi": ("MultiTracker",),
    "tirtrack.trackers.state_file": ("load_state", "save_state"),
    "tirtrack.tracking": ("first_frame", "track"),
    "tirtrack.verbs": ("distill", "propose_boxes", "train"),
    "tirtrack.weights.importing": ("import_weights",),
    "tirtrack.weights.store": ("list_weights", "weights_info"),
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
