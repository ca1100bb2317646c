"""A tracker that is a program: one line asked, one line answered (docs/evaluate.md).

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
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

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
    """

    name: str
    said: str
    command: tuple[str, ...]
    timeout_s: float
    arrays: bool = False
    files: tuple[str, ...] = field(default=())

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
                child, text = self.started(Path(folder) / "stderr", 0)
            except RunError as error:
                fix = "start it by hand: it must write ready"
                raise RequestError(error.what, error.where, fix) from error
            child.close()
        return text

    def started(self, log: Path, seed: int) -> tuple[ChildProcess, str]:
        """The running program, and what it says after ``ready``.

        Raises:
            RunError: it cannot be started, or does not say ``ready``.
        """
        child = ChildProcess(
            self.command,
            name=self.said,
            log=log,
            timeout_s=self.timeout_s,
            environment={SEED: str(seed)},
        )
        try:
            while True:
                first, _, rest = child.line().partition(" ")
                if first == "error":
                    raise RunError(rest, self.said)
                if first == "ready":
                    return child, rest.strip()
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
            self._child, _ = self._source.started(log, self._seed)
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
        corner = " ".join(_number(value) for value in box.array())
        answer = self._ask(f"init {corner}", frame)
        if answer != "ok":
            raise self._misspoke("init", answer, "ok")
        return TrackState(box, measured=True, score=1.0, status=Status.TRACKING)

    def update(self, frame: np.ndarray) -> TrackState:
        """Where the target is in the next frame; the score is NaN where the program gives none.

        Raises:
            RunError: the program failed.
            RuntimeError: called outside of :meth:`running`.
        """
        answer = self._ask("frame", frame)
        try:
            numbers = [float(word) for word in answer.replace(",", " ").split()]
        except ValueError:
            numbers = []
        if len(numbers) not in (4, 5) or not all(map(math.isfinite, numbers)):
            raise self._misspoke("frame", answer, "X Y W H or X Y W H SCORE")
        score = numbers[4] if len(numbers) == 5 else math.nan
        if score < 0 or score > 1:
            raise self._misspoke("frame", answer, "a score from 0 to 1, or none")
        return TrackState(Box.of(numbers[:4]), measured=True, score=score, status=Status.TRACKING)

    def _ask(self, request: str, frame: np.ndarray) -> str:
        if self._child is None or self._folder is None or self._frames is None:
            raise RuntimeError("init and update need the block of running()")
        path = self._frames.path_of(frame)
        if path is not None:
            return self._answered(f"{request} {path}")
        stored = _stored(frame, self._folder, self._handed, arrays=self._source.arrays)
        self._handed += 1
        try:
            return self._answered(f"{request} {stored}")
        finally:
            stored.unlink()

    def _answered(self, request: str) -> str:
        assert self._child is not None
        answer = self._child.ask(request)
        if answer.partition(" ")[0] == "error":
            raise RunError(answer.partition(" ")[2] or "error", self._source.said)
        return answer

    def _misspoke(self, request: str, answer: str, expected: str) -> RunError:
        return RunError(
            f'answered "{answer[:80]}" to {request}', self._source.said, f"expected {expected}"
        )


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
