"""Where the user keeps the data sets: one environment variable.

``TIRTRACK_DATA`` is a folder that holds each data set under its name, or a YAML file of lines
``NAME: FOLDER``. A root that a call or command names itself comes first.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from tirtrack.datasets.benchmark import Benchmark
from tirtrack.errors import DatasetError

VARIABLE = "TIRTRACK_DATA"


def root_of(benchmark: Benchmark, root: str | Path | None = None) -> Path:
    """The folder of a data set.

    Args:
        benchmark: the data set.
        root: its folder, if the caller knows it.

    Raises:
        DatasetError: no folder is named, or it is not there.
    """
    if root is not None and not str(root):  # Path("") would be the current folder
        raise DatasetError("the name of its folder is empty", benchmark.name, "name the folder")
    place = Path(root) if root is not None else configured_root(benchmark)
    if place is None:
        raise DatasetError(
            "its folder is unknown",
            benchmark.name,
            f"name it with --root, or set {VARIABLE} to the folder that holds {_folder(benchmark)}/"
            f', or to a YAML file with a line "{benchmark.name}: FOLDER"',
        )
    if not place.is_dir():
        what = "is a file, not a folder" if place.exists() else "no such folder"
        by = "" if root is not None else f" (by {VARIABLE})"
        raise DatasetError(
            what + by, place, f"get {benchmark.title} from {benchmark.described}, or check the path"
        )
    return place


def configured_root(benchmark: Benchmark) -> Path | None:
    """The folder by ``TIRTRACK_DATA``, whether it is there or not; ``None`` if it is not named.

    Raises:
        DatasetError: the variable names nothing that is there, or a file without such lines.
    """
    value = os.environ.get(VARIABLE, "")
    if not value:
        return None
    place = Path(value)
    if place.is_dir():
        return place / _folder(benchmark)
    if not place.is_file():
        raise DatasetError("no such folder or file", f"{VARIABLE}={value}", "correct the variable")
    lines = _lines(place)
    named = lines.get(benchmark.name, lines.get(_folder(benchmark)))
    return None if named is None else place.parent / Path(named).expanduser()


def _folder(benchmark: Benchmark) -> str:
    return benchmark.folder or benchmark.name


def _lines(path: Path) -> dict[str, str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DatasetError(
            "is not YAML", path, f"{VARIABLE} needs lines of NAME: FOLDER"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(one, str) for one in content.values()):
        raise DatasetError("has other than lines of NAME: FOLDER", path, "correct the file")
    return {str(name): folder for name, folder in content.items()}
