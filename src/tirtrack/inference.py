"""The inference runtime, imported so that it stays on this machine.

onnxruntime reports its use over the network and keeps a database in the user's cache folder, from
its import on, unless an environment variable forbids it. All code of this package that runs a graph
imports it here; the environment is left as it was found.
"""

from __future__ import annotations

import os

NO_TELEMETRY = {"ORT_DISABLE_TELEMETRY": "1"}

_added = {name: value for name, value in NO_TELEMETRY.items() if name not in os.environ}
os.environ.update(_added)
try:
    import onnxruntime
finally:
    for _name in _added:
        del os.environ[_name]

__all__ = ["NO_TELEMETRY", "onnxruntime"]
