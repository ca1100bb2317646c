"""Versions of the software that results depend on; every result file has them as ``versions``."""

from __future__ import annotations

from importlib import metadata
from platform import python_version

_PACKAGES = ("tirtrack", "numpy", "torch", "onnxruntime", "av", "pillow")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on.

    >>> list(versions())[:2]
    ['python', 'tirtrack']
    """
    return {"python": python_version(), **{name: metadata.version(name) for name in _PACKAGES}}
