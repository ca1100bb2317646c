"""The HTML page of an evaluation or a demo: figures, tables, film strips, and what was run.

Within the package only ``cli`` and ``demo`` use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tirtrack.report.build import build_report

__all__ = ["build_report"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from tirtrack.report import build

        return getattr(build, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
