"""The state of a running tracker as a file: to resume later, in another process or elsewhere.

One safetensors file: arrays as they are, and in its metadata, under ``tirtrack_state``, JSON with
all other values, the format version, and what the tracker was made from. A state loads only into a
tracker with the same weights and settings; only numbers and text are ever read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tirtrack.errors import RequestError, WeightsError
from tirtrack.files import write_bytes
from tirtrack.trackers.base import Origin

FORMAT = 2
_KEY = "tirtrack_state"
_ARRAY = "array:"  # prefix of the array's name, which replaces its value in the JSON
_SAMPLES = "/memory/samples"  # array of a sample memory, which converts it back to its own type
_HALF_MAX = float(np.finfo(np.float16).max)
_DAMAGED = "the file is damaged; save the state again"


class Stateful(Protocol):
    """A tracker, or several in one."""

    @property
    def origin(self) -> Origin | None:
        """Weights, settings and seed that the tracker was made from."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next result depends on."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from a saved state."""


def save_state(tracker: Stateful, path: str | Path, *, half: bool = False) -> None:
    """Write the state of a tracker; an existing file is replaced.

    Args:
        tracker: tracker of ``tirtrack.load``, or a ``tirtrack.MultiTracker`` of it, after ``init``.
        path: path of the file, by convention ``.safetensors``.
        half: save the sample memory of trackers that learn (DiMP, ATOM) in half precision: half
            the size, but later results are no longer bit-identical.

    Raises:
        RuntimeError: ``init`` has not been called.
        ValueError: the tracker was not made by ``tirtrack.load``, so its origin is unknown.
        StorageError: the file could not be written.
    """
    from safetensors.numpy import save

    arrays: dict[str, np.ndarray] = {}
    values = _without_arrays(tracker.state_dict(), "", arrays)
    if half:
        arrays = {name: _halved(name, array) for name, array in arrays.items()}
    origin = _origin_of(tracker)
    document = {
        "format_version": FORMAT,
        "tracker": type(tracker).__name__,
        "weights": origin.weights,
        "weights_sha256": origin.weights_sha256,
        "settings": origin.settings,
        "seed": origin.seed,
        "state": values,
    }
    write_bytes(Path(path), save(arrays, metadata={_KEY: json.dumps(document)}))


def load_state(tracker: Stateful, path: str | Path) -> None:
    """Resume from a saved state; the next ``update`` takes the frame after the last one tracked.

    Args:
        tracker: tracker with the weights, settings and seed that the state was saved with.
        path: path of the file.

    Raises:
        RequestError: there is no such file, it is damaged or of another version, or the settings
            differ.
        WeightsError: the weights differ.
        ValueError: the tracker was not made by ``tirtrack.load``.
    """
    path = Path(path)
    document, arrays = _read(path)
    _check_fit(document, tracker, path)
    try:
        tracker.load_state_dict(_with_arrays(document["state"], arrays))
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise RequestError(f"holds no state of this tracker ({error})", path, _DAMAGED) from error


def _origin_of(tracker: Stateful) -> Origin:
    if tracker.origin is None:
        raise ValueError("the tracker has no origin: make it by tirtrack.load")
    return tracker.origin


def _without_arrays(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """The value with every array replaced by its name; arrays go into ``arrays``."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays[name] = np.ascontiguousarray(value)
        return _ARRAY + name
    if isinstance(value, dict):
        return {key: _without_arrays(one, f"{name}/{key}", arrays) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_arrays(one, f"{name}/{k}", arrays) for k, one in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"a state holds plain values and arrays, got {type(value).__name__} at {name}")


def _halved(name: str, array: np.ndarray) -> np.ndarray:
    """Samples in half precision, unless a number is too large for it; other arrays unchanged."""
    is_small = name.endswith(_SAMPLES) and np.abs(array).max(initial=0.0) <= _HALF_MAX
    return array.astype(np.float16) if is_small else array


def _with_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(value, dict):
        return {key: _with_arrays(one, arrays) for key, one in value.items()}
    if isinstance(value, list):
        return [_with_arrays(one, arrays) for one in value]
    if isinstance(value, str) and value.startswith(_ARRAY):
        return arrays[value.removeprefix(_ARRAY)]
    return value


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise RequestError("no such file", path, "check the path")
    try:
        with safe_open(path, framework="numpy") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            arrays = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
        document = None if text is None else json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise RequestError(f"is no whole state ({error})", path, _DAMAGED) from error
    if not isinstance(document, dict):
        raise RequestError("is no state of a tracker", path, "give a file of save_state")
    return document, arrays


def _check_fit(document: dict[str, Any], tracker: Stateful, path: Path) -> None:
    """Refuse a state of another version, tracker, weights or settings; errors name both values."""
    if document.get("format_version") != FORMAT:
        raise RequestError(
            f"is a state of format {document.get('format_version')!r}, this is format {FORMAT}",
            path,
            "use the version of tirtrack that saved it",
        )
    kind = type(tracker).__name__
    if document.get("tracker") != kind:
        raise RequestError(f"is a state of a {document.get('tracker')}, this is a {kind}", path)
    origin = _origin_of(tracker)
    if document.get("weights_sha256") != origin.weights_sha256:
        raise WeightsError(
            f"was saved with the weights {document.get('weights')} "
            f"({document.get('weights_sha256')}), the tracker has {origin.weights} "
            f"({origin.weights_sha256})",
            path,
            "load the weights that it was saved with",
        )
    here = {"seed": origin.seed, **origin.settings}
    for key, there in _settings_of(document):
        if here.get(key) != there:
            raise RequestError(
                f"was saved with {key} {there!r}, the tracker has {here.get(key)!r}",
                path,
                "load the tracker with the settings that it was saved with",
            )


def _settings_of(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "seed", document.get("seed")
    yield from dict(document.get("settings") or {}).items()
