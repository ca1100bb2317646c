"""Published data sets by name; each layout has one file beside this one.

Facts are those of the benchmarks' own pages and toolkits, and of their lists of sequences where a
toolkit publishes one (``lists/``: names and numbers of frames, no boxes). None of the archives was
at hand: every reader was tried on made-up folders in the same layout.
"""

from __future__ import annotations

import importlib

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.errors import RequestError, did_you_mean

__all__ = ["get", "name_of", "names"]

_FILES = {
    "lsotb-tir": "lsotb_tir",
    "lsotb-tir-119": "lsotb_tir",
    "lsotb-tir-2023-short": "lsotb_tir",
    "lsotb-tir-2023-long": "lsotb_tir",
    "ptb-tir": "ptb_tir",
    "vot-tir2015": "vot",
    "vot-tir2016": "vot",
    "vot-rgbt2019": "vot",
    "vot-rgbt2020": "vot",
    "gtot": "gtot",
    "rgbt210": "rgbt210",
    "rgbt234": "rgbt234",
    "lasher": "lasher",
    "lasher-train": "lasher",
    "vtuav-short": "vtuav",
    "vtuav-long": "vtuav",
    "anti-uav": "anti_uav",
    "anti-uav410": "anti_uav",
    "got10k-train": "got10k",
    "got10k-val": "got10k",
    "got10k-test": "got10k",
    "otb": "otb",
    "lasot": "lasot",
    "lasot-test": "lasot",
    "folder": "folder",
}


def names() -> tuple[str, ...]:
    """The data sets that are known by name."""
    return tuple(_FILES)


def name_of(title: str) -> str | None:
    """The name of the data set with that title, which stands as its layout in results; ``None`` if
    there is none.
    """
    return next((name for name in _FILES if get(name).title == title), None)


def get(name: str) -> Benchmark:
    """The data set of that name.

    Raises:
        RequestError: the name is unknown; the message gives the nearest one.
    """
    if name not in _FILES:
        raise RequestError(f'unknown data set "{name}"', fix=did_you_mean(name, _FILES))
    module = importlib.import_module(f"{__name__}.{_FILES[name]}")
    found: Benchmark = next(one for one in module.BENCHMARKS if one.name == name)
    return found
