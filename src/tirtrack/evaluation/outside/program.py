"""A tracker that is a program: its own lines (docs/evaluate.md), or those of TraX (``trax.py``).

=========================  =================================================================
the program writes         ``ready``, and what else shall stand in the result, such as a version
``init X Y W H FILE``      is answered by ``ok``
``frame FILE``             is answered by ``X Y W H``, or ``X Y W H SCORE``
end of its input           ends it
``error MESSAGE``          answers anything that cannot be done
=========================  =================================================================

Lines before ``ready`` are ignored, since libraries greet. Boxes are 0-based pixels. A file is that
of the data set; a frame that has none of its own, or is not read as it is stored, is a PNG file in
a temporary folder (TIFF if its numbers are no integers) that lives until the answer.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tirtrack.boxes import Box
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stored_frames import StoredFrames
from tirtrack.errors import RequestError, RunError
from tirtrack.evaluation.outside.child_process import ChildProcess
from tirtrack.evaluation.tracker_sources import OnlineTracker
from tirtrack.files import sha256
from tirtrack.media import source_files
from tirtrack.read_options import AS_STORED
from tirtrack.trackers.base import Status, TrackState


class Dialect(Protocol):
    """How a program is talked to; one for each process."""

    def greeted(self, child: ChildProcess) -> str:
        """Wait until it is ready; what it says of its version."""

    def init(self, child: ChildProcess, box: Box, path: Path) -> None:
        """Begin with a box in the image of that path."""

    def frame(self, child: ChildProcess, path: Path) -> tuple[list[float], float]:
        """Box xywh in the image of that path, and its score; NaN where there is none."""


class LineDialect:
    """One line asked, one line answered."""

    def greeted(self, child: ChildProcess) -> str:
        """Wait for ``ready``; what follows it.

        Raises:
            RunError: the program ended, or says that it cannot start.
        """
        first, _, rest = child.first_of(_greeting).partition(" ")
        if first == "error":
            raise child.refused(rest)
        return rest.strip()

    def init(self, child: ChildProcess, box: Box, path: Path) -> None:
        """Begin with a box in the image of that path.

        Raises:
            RunError: the program failed.
        """
        corner = " ".join(_number(value) for value in box.array())
        answer = self._answered(child, f"init {corner} {path}")
        if answer != "ok":
            raise child.misspoke(f'answered "{answer[:80]}" to init; expected ok')

    def frame(self, child: ChildProcess, path: Path) -> tuple[list[float], float]:
        """Box xywh in the image of that path, and its score; NaN where there is none.

        Raises:
            RunError: the program failed.
        """
        answer = self._answered(child, f"frame {path}")
        try:
            numbers = [float(word) for word in answer.replace(",", " ").split()]
        except ValueError:
            numbers = []
        said = f'answered "{answer[:80]}" to frame'
        if len(numbers) not in (4, 5) or not all(map(math.isfinite, numbers)):
            raise child.misspoke(f"{said}; expected X Y W H or X Y W H SCORE")
        score = numbers[4] if len(numbers) == 5 else math.nan
        if score < 0 or score > 1:
            raise child.misspoke(f"{said}; expected a score from 0 to 1, or none")
        return numbers[:4], score

    def _answered(self, child: ChildProcess, request: str) -> str:
        answer = child.ask(request)
        first, _, rest = answer.partition(" ")
        if first == "error":
            raise child.refused(rest)
        return answer


def _greeting(line: str) -> str | None:
    return line if line.partition(" ")[0] in ("ready", "error") else None


SEED = "TIRTRACK_SEED"
"""Environment variable with the seed of a program."""

_HOST = "tirtrack.evaluation.outside.host"


@dataclass(frozen=True)
class ProgramSource:
    """A tracker that is a program.

    Attributes:
        name: name in results and tables; a plain folder name.
        said: text of the user that names it.
        command: words of the command that starts it.
        timeout_s: longest wait for an answer, its start included, seconds.
        arrays: whether frames are handed over as NPY files, exactly as they are read.
        files: names of files that its results depend on, beside those in the command.
        dialect: makes what talks to one process of it.
    """

    name: str
    said: str
    command: tuple[str, ...]
    timeout_s: float
    arrays: bool = False
    files: tuple[str, ...] = ()
    dialect: Callable[[], Dialect] = LineDialect

    def load(self, seed: int) -> ProgramTracker:
        """The tracker; the program is started with each sequence."""
        return ProgramTracker(self, seed)

    def facts(self) -> dict[str, Any]:
        """The command, hashes of the files in it, and what the program says of itself when it
        starts.

        Raises:
            RequestError: it cannot be started, or does not say ``ready``.
        """
        program = shutil.which(self.command[0])
        words = dict.fromkeys([*self.command[1:], *self.files])
        files = {} if self.arrays or program is None else {self.command[0]: sha256(Path(program))}
        files |= {word: sha256(Path(word)) for word in words if Path(word).is_file()}
        return {"outside": {"tracker": self.said, "version": self._version, "files": files}}

    @cached_property
    def _version(self) -> str:
        with tempfile.TemporaryDirectory() as folder:
            try:
                child, _, text = self.started(Path(folder) / "stderr", 0)
            except RunError as error:
                # an object says itself what is wrong, and where
                fix = None if self.arrays else "start it by hand to see what it writes"
                what = error.what.removeprefix(f"{self.said}: ")
                raise RequestError(what, error.where, fix) from error
            child.close()
        return text

    def started(self, log: Path, seed: int) -> tuple[ChildProcess, Dialect, str]:
        """The running program, what talks to it, and what it says of its version.

        Raises:
            RunError: it cannot be started, or does not say that it is ready.
        """
        child = ChildProcess(
            self.command,
            name=self.said,
            log=log,
            timeout_s=self.timeout_s,
            environment={SEED: str(seed)},
        )
        dialect = self.dialect()
        try:
            return child, dialect, dialect.greeted(child)
        except BaseException:
            child.kill()
            raise


def host_source(
    name: str, said: str, factory: str, arguments: Mapping[str, Any], timeout_s: float
) -> ProgramSource:
    """A Python object in a process of its own.

    Args:
        name: name in results and tables.
        said: text of the user that names it.
        factory: ``MODULE:FACTORY`` of the object.
        arguments: keyword arguments of the factory, as JSON values.
        timeout_s: longest wait for an answer, seconds.
    """
    command = (sys.executable, "-m", _HOST, factory, json.dumps(arguments, sort_keys=True))
    files = tuple(map(str, arguments.get("values", {}).values()))
    return ProgramSource(name, said, command, timeout_s, arrays=True, files=files)


class ProgramTracker:
    """Asks a program.

    Args:
        source: source of the program.
        seed: seed that the program is told.
    """

    def __init__(self, source: ProgramSource, seed: int) -> None:
        self._source, self._seed = source, seed
        self._child: ChildProcess | None = None
        self._dialect: Dialect | None = None
        self._folder: Path | None = None
        self._frames: _NotedFrames | None = None
        self._handed = 0

    @contextmanager
    def running(self, sequence: LabelledSequence, log: Path) -> Iterator[LabelledSequence]:
        """The program runs for the time of this block.

        Args:
            sequence: sequence that it will track.
            log: file for its stderr; removed if nothing was written.

        Yields:
            The sequence whose frames must be handed over.

        Raises:
            RunError: it cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="tirtrack-frames-") as folder:
            self._folder, self._handed = Path(folder), 0
            self._child, self._dialect, _ = self._source.started(log, self._seed)
            key = "open_frames" if sequence.open_all is None else "open_all"
            opened = sequence.open_all or sequence.open_frames
            self._frames = _NotedFrames(opened, None if self._source.arrays else _paths(opened))
            changed: dict[str, Any] = {key: self._frames}
            try:
                yield replace(sequence, **changed)
                self._child.close()
            finally:
                self._child.kill()
                self._child = self._frames = None
                if log.stat().st_size == 0:
                    log.unlink()

    def init(self, frame: np.ndarray, box: Box) -> TrackState:
        """Begin with a known box.

        Raises:
            RunError: the program failed.
            RuntimeError: called outside of :meth:`running`.
        """
        with self._handed_over(frame) as (child, dialect, path):
            dialect.init(child, box, path)
        return TrackState(box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame; the score is NaN where the program gives none.

        Raises:
            RunError: the program failed.
            RuntimeError: called outside of :meth:`running`.
        """
        with self._handed_over(frame) as (child, dialect, path):
            numbers, score = dialect.frame(child, path)
        return TrackState(Box.of(numbers), measured=True, score=score, status=Status.TRACKING)

    @contextmanager
    def _handed_over(self, frame: np.ndarray) -> Iterator[tuple[ChildProcess, Dialect, Path]]:
        """A frame as a file, for the time of the block."""
        folder, frames = self._folder, self._frames
        if self._child is None or self._dialect is None or folder is None or frames is None:
            raise RuntimeError("init and update need the block of running()")
        path = frames.path_of(frame)
        if path is not None:
            yield self._child, self._dialect, path
            return
        stored = _stored(frame, folder, self._handed, arrays=self._source.arrays)
        self._handed += 1
        try:
            yield self._child, self._dialect, stored
        finally:
            stored.unlink()


@contextmanager
def over(
    tracker: OnlineTracker, sequence: LabelledSequence, log: Path
) -> Iterator[LabelledSequence]:
    """The block in which a tracker tracks a sequence: a program runs for that time, of others
    nothing is needed.

    Args:
        tracker: loaded tracker.
        sequence: sequence to track.
        log: file for what a program writes to stderr.

    Yields:
        The sequence whose frames the tracker must be given.

    Raises:
        RunError: a program cannot be started.
    """
    if isinstance(tracker, ProgramTracker):
        with tracker.running(sequence, log) as handed:
            yield handed
    else:
        yield sequence


class _NotedFrames:
    """Opens frames, and knows the file of the last one that it gave."""

    def __init__(
        self, opened: Callable[[], Iterator[np.ndarray]], paths: list[Path] | None
    ) -> None:
        self._opened, self._paths = opened, paths
        self._last: tuple[np.ndarray, Path] | None = None

    def __call__(self) -> Iterator[np.ndarray]:
        for index, frame in enumerate(self._opened()):
            if self._paths is not None and index < len(self._paths):
                self._last = frame, self._paths[index]
            yield frame

    def path_of(self, frame: np.ndarray) -> Path | None:
        """The file of a frame; ``None`` if it has none that holds just it."""
        if self._last is not None and self._last[0] is frame:
            return self._last[1]
        return None


def _paths(opened: Callable[[], Iterator[np.ndarray]]) -> list[Path] | None:
    """A file for each frame, absolute, where each frame is a file that is read as it is stored."""
    if not isinstance(opened, StoredFrames) or not opened.source.is_dir():
        return None
    if replace(opened.options, order=None) != AS_STORED:
        return None
    files = source_files(opened.source, opened.options)[:: opened.every]
    absolute = [Path(os.path.abspath(file)) for file in files]  # noqa: PTH100 - links stay
    return None if any("\n" in str(file) for file in absolute) else absolute


def _stored(frame: np.ndarray, folder: Path, number: int, *, arrays: bool) -> Path:
    """A frame as a file: NPY if ``arrays``, else PNG, or TIFF for numbers that are no integers."""
    path = folder / f"{number:06d}"
    if arrays:
        path = path.with_suffix(".npy")
        np.save(path, frame)
    elif frame.dtype in (np.uint8, np.uint16):
        from imagecodecs import png_encode

        path = path.with_suffix(".png")
        path.write_bytes(png_encode(np.ascontiguousarray(frame), level=1))
    else:
        from tifffile import imwrite

        path = path.with_suffix(".tif")
        imwrite(path, frame, photometric="minisblack" if frame.ndim == 2 else "rgb")
    return path


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
