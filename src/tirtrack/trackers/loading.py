"""From a name to a tracker that can begin: weights, engine, preset, calibration, normaliser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from tirtrack.errors import RecipeError, did_you_mean
from tirtrack.files import sha256
from tirtrack.thermal import normaliser
from tirtrack.trackers.base import Origin
from tirtrack.trackers.calibration import family_calibration
from tirtrack.trackers.engines import open_engine
from tirtrack.trackers.presets import preset as preset_settings
from tirtrack.trackers.presets import with_overrides
from tirtrack.trackers.siamese import SiameseTracker
from tirtrack.weights import store

ENGINES = ("onnx", "torch")


def load_tracker(
    name_or_path: str | Path,
    *,
    preset: str | None = None,
    engine: str = "onnx",
    overrides: Mapping[str, Any] | None = None,
    threads: int = 1,
    seed: int = 0,
) -> SiameseTracker:
    """A tracker, ready for ``init(frame, box)``.

    Args:
        name_or_path: shipped weights, or a weights file.
        preset: one of :func:`~tirtrack.trackers.presets.preset_names`; ``None`` takes the card's.
        engine: ``onnx`` (fast) or ``torch``.
        overrides: settings of the preset to replace, such as ``{"min_side": 4.0}``; the key
            ``normaliser`` names another thermal normaliser (``fixed:LOW:HIGH``).
        threads: of the engine; one gives the same bits on every machine of a kind.
        seed: of what a tracker draws; the Siamese family draws nothing.

    Raises:
        WeightsError: the weights are unknown or damaged.
        RecipeError: the preset, engine or a setting is unknown or out of bounds.
    """
    if engine not in ENGINES:
        raise RecipeError(f'no engine is called "{engine}"', fix=did_you_mean(engine, ENGINES))
    path = store.find(name_or_path)
    card = store.card_of(path)
    changes = dict(overrides or {})
    levels = normaliser(str(changes.pop("normaliser", card.normaliser)))
    settings = with_overrides(preset_settings(preset or card.preset, card.architecture), changes)
    kind = cast(Literal["onnx", "torch"], engine)
    calibration = card.calibration or family_calibration(card.architecture)
    told = {
        **settings.model_dump(mode="json"),
        "normaliser": levels.model_dump(mode="json"),
        "calibration": calibration.model_dump(mode="json"),
    }
    return SiameseTracker(
        open_engine(path, kind, threads=threads),
        settings,
        calibration,
        normaliser=levels,
        modality=card.modality,
        origin=Origin(card.name, sha256(path), told, seed),
    )
