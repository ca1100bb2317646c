"""Makes the modules beside it importable: files by hand, files as torch writes them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

for name in ("hostile", "published"):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"{name}.py")
    sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[name])
