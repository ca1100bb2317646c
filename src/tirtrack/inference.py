"""The inference runtimes, each imported at first use, so that they stay on this machine.

Both report their use over the network unless that is forbidden: onnxruntime from its import on, by
an environment variable, and with a database in the user's cache folder; OpenVINO as its package is
imported, by a module for the conversion of models that nothing here needs. All code of this package
that runs a graph gets its runtime here; environment and modules are left as they were found.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from typing import Any

from tirtrack.errors import EngineError, RequestError

NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}
_OPENVINO_CONVERSION = "openvino.tools.ovc"


@lru_cache
def onnxruntime() -> Any:
    """The package of ONNX Runtime, imported at first use: who runs OpenVINO does not need it."""
    added = {name: value for name, value in NO_TELEMETRY.items() if name not in os.environ}
    os.environ.update(added)
    try:
        import onnxruntime
    finally:
        for name in added:
            del os.environ[name]
    return onnxruntime


def has_openvino() -> bool:
    """Whether OpenVINO is installed (extra ``fast``); it is not imported."""
    try:
        metadata.version("openvino")
    except metadata.PackageNotFoundError:
        return False
    return True


@lru_cache
def openvino() -> Any:
    """The package of OpenVINO, imported at first use.

    Where it was not imported before, ``openvino.convert_model`` is missing in this process; it can
    be imported from ``openvino.tools.ovc``, which reports its use.

    Raises:
        RequestError: it is not installed.
        EngineError: it is installed, but cannot be imported.
    """
    if not has_openvino():
        raise RequestError(
            "the engine openvino is not installed",
            fix="pip install 'tirtrack[fast]', or choose the engine onnx",
        )
    try:
        with _without(_OPENVINO_CONVERSION):
            import openvino
    except ImportError as error:
        raise EngineError(
            f"openvino cannot be imported ({error})",
            fix="choose the engine onnx, or install openvino anew",
        ) from error
    return openvino


@contextmanager
def _without(module: str) -> Iterator[None]:
    """A module that is not imported yet cannot be imported inside."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
