"""What results depend on: the inputs of a run, as a file in its folder, and versions of software.

A stopped run resumes only with identical inputs; every result file has ``versions``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib import metadata
from platform import python_version
from typing import Any

from tirtrack.errors import RequestError
from tirtrack.remote import AnyPath

IDENTITY_NAME = "identity.json"
BEGIN_ANEW = "repeat the command that began the run, or begin anew with --force"
_MOST_SHOWN = 3
_EXTRA_ENGINES = {"openvino": "openvino", "openvino-int8": "openvino"}  # engine -> package
_PACKAGES = ("tirtrack", "numpy", "torch", "onnxruntime", "av", "pillow")


def versions(*engines: str) -> dict[str, str]:
    """Versions of Python and of the packages that results depend on.

    Args:
        engines: engines of the trackers; the packages of those that come with an extra are added.

    >>> list(versions())[:2]
    ['python', 'tirtrack']
    """
    extra = {_EXTRA_ENGINES[name] for name in engines if name in _EXTRA_ENGINES}
    packages = (*_PACKAGES, *sorted(extra))
    return {"python": python_version(), **{name: metadata.version(name) for name in packages}}


def other_versions(expected: Mapping[str, str]) -> str:
    """Which of some :func:`versions` are not those of this process, in words; empty if none.

    >>> other_versions(versions())
    ''
    >>> other_versions({"numpy": "0.9"}).startswith("numpy was 0.9, now ")
    True
    """
    return differences(expected, {name: _version(name) for name in expected})


def _version(name: str) -> str | None:
    """The version of Python or of a package; ``None`` if it is not installed."""
    try:
        return python_version() if name == "python" else metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def check_same_identity(path: AnyPath, identity: Mapping[str, Any]) -> None:
    """Refuse to resume a run that was started with another identity.

    Args:
        path: the ``identity.json`` of the existing run.
        identity: inputs of the requested run, by name, as JSON values.

    Raises:
        RequestError: a value differs, or the file is damaged.
    """
    try:
        before = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RequestError("is damaged", path, "begin anew with --force") from error
    if change := first_change(before, identity):
        raise RequestError(f"the run was begun with another {change}", path, BEGIN_ANEW)


def first_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """The first name whose value changed, with both values; ``None`` if all are the same.

    >>> first_change({"seed": 0, "pairs": "a1"}, {"pairs": "a1", "seed": 4})
    'seed (was 0, now 4)'
    """
    for name in dict.fromkeys((*now, *before)):
        if changed := differences(before.get(name), now.get(name)):
            return f"{name} ({changed})"
    return None


def differences(before: Any, now: Any) -> str:
    """The first few values that differ, by dotted name; empty where there are none.

    >>> differences({"training": {"steps": 200}}, {"training": {"steps": 400}})
    'training.steps was 200, now 400'
    """
    changed = [f"{name} was {old}, now {new}".lstrip() for name, old, new in changes(before, now)]
    return "; ".join(changed[:_MOST_SHOWN])


def changes(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every value that differs: its dotted name, and both values; ``None`` where there is none.

    >>> list(changes({"seed": 0, "a": {"b": 1}}, {"seed": 0, "a": {"b": 2, "c": 3}}))
    [('a.b', 1, 2), ('a.c', None, 3)]
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            inner = f"{path}.{key}" if path else str(key)
            yield from changes(before.get(key), now.get(key), inner)
    elif before != now:
        yield path, before, now
