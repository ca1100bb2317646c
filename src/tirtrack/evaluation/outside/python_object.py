"""A tracker that is any Python object with ``init`` and ``update``.

``init(frame, box)`` gets a frame as it is stored, ``[H,W]`` or ``[H,W,3]`` RGB, and the box as a
tuple of four numbers ``(x, y, w, h)``, 0-based. ``update(frame)`` answers in one of these forms:

* a box, four numbers;
* ``(box, score)`` with a score in [0, 1];
* ``(found, box)`` with a bool, as OpenCV's trackers do; where it is false, the last box stays;
* a :class:`tirtrack.TrackState`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from tirtrack.boxes import Box
from tirtrack.errors import RequestError, RunError, TirtrackError
from tirtrack.evaluation.tracker_sources import OnlineTracker
from tirtrack.files import sha256
from tirtrack.trackers.base import Status, Tracker, TrackState


class ForeignTracker:
    """Calls an object as :class:`OnlineTracker` is called; whatever it raises fails its sequence.

    Args:
        tracker: object with ``init`` and ``update``.
        name: name of the tracker, for messages.
    """

    def __init__(self, tracker: Any, name: str) -> None:
        self._tracker, self._name = tracker, name
        self._box: Box | None = None

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box.

        Raises:
            RunError: the object raised something.
        """
        self._box = box
        self._call(self._tracker.init, frame, (box.x, box.y, box.w, box.h))
        return TrackState(box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame; the score is NaN where the object gives none.

        Raises:
            RunError: the object raised something, or answered in another form.
            RuntimeError: called before ``init``.
        """
        if self._box is None:
            raise RuntimeError("update needs init")
        answer = self._call(self._tracker.update, frame)
        if isinstance(answer, TrackState):
            return answer
        state = _state_of(answer, self._box)
        if state is None:
            said = " ".join(repr(answer).split())[:80]
            fix = "expected a box, (box, score) or (found, box)"
            raise RunError(f"update returned {said}", self._name, fix)
        self._box = state.box
        return state

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return method(*arguments)
        except TirtrackError:
            raise
        except Exception as error:
            raise RunError(as_one_line(error), self._name) from error


def as_one_line(error: BaseException) -> str:
    """Kind and message of an error.

    >>> as_one_line(ValueError("no box"))
    'ValueError: no box'
    """
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _state_of(answer: Any, last: Box) -> TrackState | None:
    """The state in one of the forms of an answer; ``None`` if it is in no form."""
    box, score, is_found = answer, math.nan, True
    if isinstance(answer, tuple | list) and len(answer) == 2:
        first, second = answer
        if isinstance(first, bool | np.bool_):
            is_found, box = bool(first), second
        else:
            box, score = answer
    if not is_found:
        return TrackState(last, measured=False, score=score, status=Status.LOST)
    try:
        numbers = np.asarray(box, dtype=np.float64).reshape(-1)
        score = float(score)
    except (TypeError, ValueError):
        return None
    if len(numbers) != 4 or not np.isfinite(numbers).all() or score < 0 or score > 1:
        return None
    return TrackState(Box.of(numbers), measured=True, score=score, status=Status.TRACKING)


def imported(named: str) -> Any:
    """The object that ``MODULE:NAME`` names.

    Raises:
        RequestError: the module has no such name.
        ImportError: there is no such module.
    """
    module, _, name = named.partition(":")
    found = getattr(import_module(module), name, None)
    if found is None:
        raise RequestError(f'has no "{name}"', module)
    return found


def made_by(factory: Any, name: str, seed: int, /, **arguments: Any) -> OnlineTracker:
    """The tracker that a factory makes, or that an object is.

    Args:
        factory: an object with ``init`` and ``update``, or what makes one; it gets the seed if it
            has a parameter ``seed``.
        name: name of the tracker, for messages.
        seed: seed of the tracker.
        **arguments: further arguments of the factory.

    Raises:
        RequestError: it makes none.
    """
    tracker = factory
    if isinstance(factory, type) or not _is_tracker(factory):
        if _has_seed(factory):
            arguments["seed"] = seed
        try:
            tracker = factory(**arguments)
        except TirtrackError:
            raise
        except Exception as error:
            raise RequestError(f"cannot be made ({as_one_line(error)})", name) from error
    if not _is_tracker(tracker):
        raise RequestError(
            f"is a {type(tracker).__name__}, which has no init and update", name,
            "name an object that has both, or what makes one",
        )  # fmt: skip
    return tracker if isinstance(tracker, Tracker) else ForeignTracker(tracker, name)


def _has_seed(factory: Any) -> bool:
    try:
        return "seed" in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # of some that are written in C nothing is known
        return False


def _is_tracker(value: Any) -> bool:
    return callable(getattr(value, "init", None)) and callable(getattr(value, "update", None))


@dataclass(frozen=True)
class ObjectSource:
    """A tracker that is handed over in Python.

    Attributes:
        name: name in results and tables; a plain folder name.
        factory: an object with ``init`` and ``update``, or what makes one.
    """

    name: str
    factory: Any

    @classmethod
    def of(cls, factory: Any) -> ObjectSource:
        """Named by its ``name`` if it has one, else as its function or class.

        Raises:
            RequestError: it has no name.
        """
        own = getattr(factory, "name", None)
        name = str(own if isinstance(own, str) else _defined(factory).__name__)
        if not name.replace(".", "").replace("-", "").replace("_", "").isalnum():
            raise RequestError(
                f'"{name}" is no name for results', fix="give the tracker an attribute name"
            )
        return cls(name, factory)

    def load(self, seed: int) -> OnlineTracker:
        """The tracker.

        Raises:
            RequestError: it cannot be made.
        """
        return made_by(self.factory, self.name, seed)

    def facts(self) -> dict[str, Any]:
        """Its function or class, and the hash of the file that defines it."""
        return {"outside": facts_of(self.factory)}


def facts_of(factory: Any) -> dict[str, Any]:
    """Where a function or class is defined, with the hash of that file where there is one."""
    defined = _defined(factory)
    try:
        file = inspect.getsourcefile(defined)
    except TypeError:
        file = None
    files: Sequence[Path] = [Path(file)] if file is not None and Path(file).is_file() else []
    return {
        "tracker": f"{defined.__module__}:{defined.__qualname__}",
        "files": {path.name: sha256(path) for path in files},
    }


def _defined(factory: Any) -> Any:
    """The function or class itself, the class of another object."""
    return factory if hasattr(factory, "__qualname__") else type(factory)
