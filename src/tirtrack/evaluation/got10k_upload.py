"""Uploads for the server of GOT-10k: results of its 180 test sequences in one ZIP file.

The file holds a folder for each sequence, ``GOT-10k_Test_000001`` to ``GOT-10k_Test_000180``, with
``SEQUENCE_001.txt`` (a row ``x,y,w,h`` a frame, three decimals; ``_002``, ``_003`` for further
runs) and ``SEQUENCE_time.txt`` (seconds a frame, a column a run), as the got10k toolkit packs it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tirtrack.datasets.stored_frames import count_images
from tirtrack.errors import DatasetError, RequestError
from tirtrack.evaluation.results import SequenceRun, read_track
from tirtrack.files import atomic_path, new_file

SEQUENCES = tuple(f"GOT-10k_Test_{number:06d}" for number in range(1, 181))
"""Names of the test sequences."""

_MOST_RUNS = 3
_FIRST_BOX_PX = 0.01


def pack(folder: Path, out: Path, *, root: Path | None = None, force: bool = False) -> Path:
    """Pack a tracker's results; further runs lie beside it as ``TRACKER.run2``, ``TRACKER.run3``.

    Args:
        folder: folder of the tracker, with ``SEQUENCE.txt`` of every test sequence.
        out: the ZIP file.
        root: folder of the test sequences, to check the numbers of frames and first boxes.
        force: replace ``out``.

    Raises:
        RequestError: ``out`` exists.
        DatasetError: a sequence is missing, or would not be valid in the upload; nothing is
            written.
    """
    folders = [folder]
    for number in range(2, _MOST_RUNS + 1):
        if (further := folder.with_name(f"{folder.name}.run{number}")).is_dir():
            folders.append(further)
    content: dict[str, str] = {}
    for name in SEQUENCES:
        files = [one / f"{name}.txt" for one in folders]
        for file in files:
            if not file.is_file():
                raise DatasetError("no result of a test sequence", file, "run the tracker on it")
        content |= _of_sequence(name, [read_track(file) for file in files])
    faults = list(_faults(content, root))
    if faults:
        raise DatasetError(faults[0], folder, "run the sequence again")
    new_file(out, force=force)
    with atomic_path(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, text in content.items():
            packed.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return out


def _of_sequence(name: str, runs: Sequence[SequenceRun]) -> dict[str, str]:
    content = {
        f"{name}/{name}_{number:03d}.txt": _rows(run.boxes, 3)
        for number, run in enumerate(runs, start=1)
    }
    if len({len(run.seconds) for run in runs}) == 1:
        seconds = np.stack([run.seconds for run in runs], axis=1)
        if np.isfinite(seconds).all():
            content[f"{name}/{name}_time.txt"] = _rows(seconds, 8)
    return content


def _rows(values: np.ndarray, decimals: int) -> str:
    return "".join(",".join(f"{one:.{decimals}f}" for one in row) + "\n" for row in values)


def faults_of_upload(file: Path, *, root: Path | None = None) -> list[str]:
    """What the server would refuse, or score as it is not meant; empty if all is well.

    Args:
        file: the ZIP file.
        root: folder of the test sequences, to check the numbers of frames and first boxes.

    Raises:
        RequestError: there is no such file, or it is no ZIP file.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            names = [one.filename for one in packed.infolist() if not one.is_dir()]
            content = {name: packed.read(name).decode("utf-8", "replace") for name in names}
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise RequestError(f"is no whole ZIP file ({error})", file, "pack it again") from error
    return list(_faults(content, root))


def _faults(content: dict[str, str], root: Path | None) -> Iterator[str]:
    expected: set[str] = set()
    for name in SEQUENCES:
        files = [f"{name}/{name}_{number:03d}.txt" for number in range(1, _MOST_RUNS + 1)]
        times = f"{name}/{name}_time.txt"
        expected |= {*files, times}
        if files[0] not in content:
            yield f"{files[0]} is missing"
            continue
        counts = []
        for file in files:
            if file in content:
                yield from _faults_of_boxes(file, content[file], root)
                counts.append(len(content[file].splitlines()))
        if len(set(counts)) > 1:
            yield f"{name} has runs of {' and '.join(map(str, counts))} rows"
        if times not in content:
            yield f"{times} is missing, so the speed would be unknown"
        else:
            yield from _faults_of_times(times, content[times], counts)
    yield from (f"{name} belongs to no test sequence" for name in sorted({*content} - expected))


def _faults_of_boxes(file: str, text: str, root: Path | None) -> Iterator[str]:
    boxes = _numbers(text)
    if isinstance(boxes, str) or boxes.shape[1:] != (4,):
        yield f"{file}, {boxes if isinstance(boxes, str) else 'rows are not x,y,w,h'}"
        return
    bad = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)))
    if len(bad):
        yield f"{file}, row {bad[0] + 1}: not finite, or without width or height"
    if root is None:
        return
    folder = root / file.partition("/")[0]
    images = count_images(folder)
    if images != len(boxes):
        yield f"{file} has {len(boxes)} rows, {folder} has {images} images"
    truth = folder / "groundtruth.txt"
    first = _numbers(truth.read_text("utf-8")) if truth.is_file() else None
    if isinstance(first, np.ndarray) and np.abs(first[0] - boxes[0]).max() > _FIRST_BOX_PX:
        yield f"{file}, row 1: not the first box of {truth}"


def _faults_of_times(file: str, text: str, counts: Sequence[int]) -> Iterator[str]:
    seconds = _numbers(text)
    if isinstance(seconds, str):
        yield f"{file}, {seconds}"
    elif seconds.shape != (counts[0], len(counts)):
        yield f"{file} is {list(seconds.shape)}, expected {[counts[0], len(counts)]}"
    elif not (seconds > 0).all():
        yield f"{file} has times that are not above 0"


def _numbers(text: str) -> np.ndarray | str:
    """``[T,N]`` comma-separated numbers, or what is wrong with them."""
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append([float(word) for word in line.split(",")])
        except ValueError:
            return f'row {number}: "{line[:40]}" is no row of numbers'
        if len(rows[-1]) != len(rows[0]):
            return f"row {number}: {len(rows[-1])} numbers, expected {len(rows[0])}"
    return np.array(rows) if rows else "row 1: the file is empty"
