"""Track one target through a source of frames, and write boxes, a video and a summary.

The library side of ``tirtrack track``. The output folder holds

* ``boxes.csv``: one row per frame, ``frame,time_s,x,y,w,h,score,status,measured,reason``; boxes in
  pixels of the frame, 0-based; ``time_s`` as the video stores it, empty for images;
* ``track.mp4``: the frames with the boxes drawn;
* ``tracks.txt``: with several targets, which give ``boxes.csv`` a first column ``target``, the
  measured boxes as MOT text;
* ``summary.json``: counts, speed, how the run ended, and its inputs, with a fingerprint.

A damaged frame keeps its row: the tracker does not see it; the last box is repeated and flagged.
If the source breaks off, or the user interrupts, everything up to that frame is written. During the
run, rows are in ``boxes.partial.csv``, so they survive even a kill. Begin with :func:`track`;
:func:`tirtrack.tracking.first_frame` helps to find the first box.
"""

from __future__ import annotations

import glob
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tirtrack.addresses import without_secrets
from tirtrack.boxes import Box, check_first_box
from tirtrack.errors import (
    EngineError,
    FrameError,
    RequestError,
    RunError,
    StorageError,
    TirtrackError,
)
from tirtrack.files import fingerprint, new_folder, sha256, write_text
from tirtrack.identity import versions
from tirtrack.inputs import is_on_network, stream_name
from tirtrack.live import LiveStatistics, Policy, check_policy
from tirtrack.media import (
    Frame,
    Source,
    SourceInfo,
    frames_and_faults,
    source_files,
)
from tirtrack.progress import Progress, silent
from tirtrack.read_options import AS_STORED, NoData, ReadOptions
from tirtrack.stored import write_stored
from tirtrack.trackers.base import Reason, Status, Tracker
from tirtrack.trackers.frame_gate import BEGIN_LATER, FrameGate, as_picture
from tirtrack.tracking.first_frame import check_range
from tirtrack.tracking.record import (
    BOXES_NAME,
    PARTIAL_NAME,
    TRACKS_NAME,
    VIDEO_NAME,
    Recorder,
    TrackedFrame,
    mot_text,
)
from tirtrack.tracking.session import Session, begin_targets
from tirtrack.tracking.source_frames import SourceFrames
from tirtrack.tracking.track_summary import (
    SUMMARY_NAME,
    DamagedFrame,
    DoubtfulValue,
    Ending,
    TrackSummary,
)
from tirtrack.valid_pixels import doubtful_value, valid_mask
from tirtrack.weights.engine_choice import set_aside
from tirtrack.weights.runtimes import REFERENCE

if TYPE_CHECKING:
    from tirtrack.weights.runtimes import GraphEngineName

_log = logging.getLogger(__name__)

_DAMAGED_SHOWN = 10
_SEARCHED_FRAMES = 250  # frames to search for a better start frame
# Generic names: the parent folder names the recording.
_GENERIC = frozenset({"img", "imgs", "images", "frames", "video", "tir", "ir", "thermal", "rgb"})


@dataclass(frozen=True)
class TrackRun:
    """Result of a run.

    Attributes:
        rows: one row per frame and target, in order.
        summary: content of ``summary.json``.
        out: output folder, ``None`` if none was requested.
    """

    rows: tuple[TrackedFrame, ...]
    summary: TrackSummary
    out: Path | None


class TrackStoppedError(RunError):
    """The source broke off or the tracker failed in mid-stream; ``run`` has the results so far."""

    run: TrackRun | None = None


def track(
    source: Source,
    box: Box | Mapping[str, Box],
    *,
    weights: str | Path = "nano-tir",
    out: str | Path | None = None,
    preset: str | None = None,
    engine: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
    redetect: bool = True,
    device: str = "cpu",
    policy: Policy | None = None,
    start: int = 0,
    end: int | None = None,
    options: ReadOptions = AS_STORED,
    video: bool = True,
    force: bool = False,
    command: str = "",
    stop: Callable[[], bool] = lambda: False,
    progress: Progress = silent,
) -> TrackRun:
    """Follow the target of a first box, or several, to the end of the source.

    Args:
        source: source of frames, as for :func:`tirtrack.media.frames`.
        box: box of the target in frame ``start``, pixels; several boxes by the targets' names.
        weights: name of shipped weights, or path of a weights file.
        out: output folder; ``None``: nothing is written.
        preset: preset of online settings; ``None``: the one that the weights name.
        engine: engine by its name, as for :func:`tirtrack.load`; ``None``: for
            Siamese networks the fastest that passed its check on this machine, ``onnx`` if that
            cannot begin, with the preset ``published`` ``onnx``; for others ``torch``. No run
            changes its engine after the first frame.
        overrides: settings that differ from the preset.
        seed: seed of all random draws.
        redetect: whether to search the whole frame for a lost target.
        device: device for torch, such as ``cuda``.
        policy: ``latest`` skips frames that come while the tracker is busy, ``all`` takes every
            one; ``None``: ``latest`` for the address of a stream, ``all`` for anything else.
        start: index of the frame that ``box`` belongs to.
        end: index after the last frame; ``None``: all frames.
        options: properties that the source does not state itself.
        video: whether to write the annotated video too.
        force: whether to replace the results of an earlier run in ``out``.
        command: command line, for the summary.
        stop: callback, called after every frame and while a live source has none; ``True`` ends the
            run there, in good order.
        progress: callback that is told of every frame.

    Raises:
        RequestError: the source, box, weights, preset, range or folder cannot be used (its
            subclasses say which); nothing was started or written.
        TrackStoppedError: the source broke off (early end, another frame size) or the tracker
            failed; results so far are written, and are in the error's ``run``.
        StorageError: the results could not be written.
        KeyboardInterrupt: interrupted; results so far are written.
    """
    check_range(start, end)
    check_policy(policy)
    with SourceFrames(source, policy, start=start, end=end, options=options, stop=stop) as found:
        info = found.info()
        for one in [box] if isinstance(box, Box) else box.values():
            check_first_box(one, info.width, info.height)
        if info.no_data is not None:
            overrides = {**(overrides or {}), "no_data": info.no_data}
        first_frame = cache(found.first)  # not before the weights are found to be good

        def begun(name: str) -> tuple[Session, list[TrackedFrame], dict[str, Any]]:
            tracker, identity = _load(
                weights, preset, name, overrides, seed, redetect=redetect, device=device
            )
            first, began_s = first_frame(), time.perf_counter()
            try:
                targets, rows = begin_targets(tracker, first, box)
            except FrameError as error:
                raise _with_better_start(error, source, first, info, options) from error
            return Session(targets, tracker_s=time.perf_counter() - began_s), rows, identity

        name = engine or _automatic_engine(weights, preset, device)
        try:
            session, rows, identity = begun(name)
        except EngineError as error:
            if engine is not None or name == REFERENCE:
                raise
            _set_aside(weights, name, error)
            session, rows, identity = begun(REFERENCE)
        first = first_frame()
        session.note_masked(first, info.no_data)
        doubtful = _doubtful(first, info.no_data)
        folder = None if out is None else _result_folder(Path(out), force=force)
        _log.info("%s: %s", source_name(source), info.description)
        is_several = isinstance(box, Mapping)
        recorder = Recorder(folder, info, first, video=video, is_several=is_several)
        total = _expected(info, start, end)
        failure: TirtrackError | None = None
        ending = Ending.COMPLETE
        try:
            with recorder:
                recorder.add(first, rows)
                ending = session.follow(
                    found, recorder, total, no_data=info.no_data, stop=stop, progress=progress
                )
        except StorageError as error:
            failure = error
    failure = failure or session.failure
    taken = identity["engine"]
    if engine is None and taken != REFERENCE and isinstance(failure, EngineError):
        _set_aside(weights, taken, failure)  # from the next run on
    request = {**identity, **_as_plain(box), **_given(options), "start": start, "end": end}
    run = _finish(source, info, request, recorder, session, Ending.FAILED if failure else ending,
                  options=options, failure=failure, command=command, doubtful=doubtful,
                  live=found.statistics)  # fmt: skip
    if session.interrupt is not None:
        raise session.interrupt
    if failure is not None:
        raise _stopped(failure, run) from failure
    return run


def _with_better_start(
    error: FrameError, source: Source, first: Frame, info: SourceInfo, options: ReadOptions
) -> FrameError:
    """The error for a first frame that shows nothing, with the index of the next usable one."""
    if error.fix != BEGIN_LATER or not source_files(source, options):
        return error
    until = first.index + 1 + _SEARCHED_FRAMES
    later = frames_and_faults(source, start=first.index + 1, end=until, options=options)
    searched = 0
    try:
        for item in later:
            searched += 1
            if isinstance(item, Frame) and _shows_something(item, info.no_data):
                fix = f"begin at frame {item.index}: --start {item.index}, with the box there"
                return FrameError(error.what, error.where, fix)
    except FrameError:  # a break of the source is reported when it is read
        pass
    others = f"nor do the {searched} frames after it show more" if searched else "no other follows"
    check = "give a source that shows a scene" if info.no_data is None else "check --no-data"
    return FrameError(error.what, error.where, f"{others}; {check}")


def _doubtful(frame: Frame, no_data: NoData | None) -> DoubtfulValue | None:
    """See :func:`doubtful_value`; none if the user states that every pixel is measured."""
    if no_data == "none":
        return None
    found = doubtful_value(frame.image, valid_mask(frame.image, no_data))
    return found and DoubtfulValue(value=found[0], share=round(found[1], 4))


def _shows_something(frame: Frame, no_data: NoData | None) -> bool:
    valid = valid_mask(frame.image, no_data)
    return FrameGate().check(as_picture(frame.image), valid=valid) is Reason.NONE


def _as_plain(box: Box | Mapping[str, Box]) -> dict[str, Any]:
    if isinstance(box, Box):
        return {"box": list(box.array())}
    return {"boxes": {name: list(one.array()) for name, one in box.items()}}


def _given(options: ReadOptions) -> dict[str, Any]:
    """The reading options that were given, as plain values; options left open are omitted."""
    return {name: value for name, value in asdict(options).items() if value is not None}


def source_name(source: Source) -> str:
    """A short name for a source's results: its stem, or the parent folder if the stem is generic.

    >>> source_name("night/clip_7.mp4"), source_name("rig/take 3/tir"), source_name("a/img/*.png")
    ('clip_7', 'take 3', 'a')
    """
    if not isinstance(source, str | Path):
        return source_name(Path(source[0]).parent) if source else "list"
    text = str(source)
    if (name := stream_name(text)) is not None:
        return name
    path = Path(text)
    if is_on_network(path):  # which may not answer
        return path.stem
    while glob.has_magic(path.name) and not path.exists():
        path = path.parent
    path = path.resolve()
    names = [path.name if path.is_dir() else path.stem, *(parent.name for parent in path.parents)]
    return next((name for name in names if name and name.lower() not in _GENERIC), "source")


def _automatic_engine(weights: str | Path, preset: str | None, device: str) -> str:
    from tirtrack.trackers.loading import automatic_engine
    from tirtrack.weights import store

    return automatic_engine(store.find(weights), preset=preset, device=device)


def _set_aside(weights: str | Path, engine: str, error: EngineError) -> None:
    """Do not choose an engine again that failed as the automatic one."""
    from tirtrack.weights import store

    set_aside(store.find(weights), cast("GraphEngineName", engine), error)


def _load(
    weights: str | Path,
    preset: str | None,
    engine: str,
    overrides: Mapping[str, Any] | None,
    seed: int,
    *,
    redetect: bool,
    device: str,
) -> tuple[Tracker, dict[str, Any]]:
    """The tracker, and the values that identify it."""
    from tirtrack.trackers.loading import engine_identity, load
    from tirtrack.weights import store

    path = store.find(weights)
    card = store.card_of(path)
    tracker = load(
        path,
        preset=preset,
        engine=engine,
        overrides=overrides,
        seed=seed,
        redetect=redetect,
        device=device,
    )
    identity = {
        "weights": str(weights),
        "weights_sha256": sha256(path),
        "preset": preset or card.preset,
        **engine_identity(path, engine, device=device),
        "device": device,
        "overrides": dict(overrides or {}),
        "seed": seed,
        "redetect": redetect,
    }
    return tracker, identity


def _expected(info: SourceInfo, start: int, end: int | None) -> int:
    """Number of frames to come, by the header; 0 if unknown."""
    known = info.expected_frames
    if known is None:
        return 0 if end is None else end - start
    return max((known if end is None else min(known, end)) - start, 1)


def _result_folder(out: Path, *, force: bool) -> Path:
    """Makes the output folder. With ``force``, only files of an earlier run are replaced."""
    if not force or not out.exists():
        return new_folder(out)
    if not out.is_dir():
        raise RequestError("is a file", out, "choose another --out")
    for name in (BOXES_NAME, VIDEO_NAME, SUMMARY_NAME, PARTIAL_NAME, TRACKS_NAME):
        (out / name).unlink(missing_ok=True)
    return out


def _finish(
    source: Source,
    info: SourceInfo,
    request: dict[str, Any],
    recorder: Recorder,
    session: Session,
    ending: Ending,
    *,
    options: ReadOptions,
    failure: TirtrackError | None,
    command: str,
    doubtful: DoubtfulValue | None,
    live: LiveStatistics | None,
) -> TrackRun:
    """The run as a value; its summary is written if there is an output folder."""
    counts = Counter(row.status for row in recorder.rows)
    frames_done = recorder.frames
    good = frames_done - len(recorder.faults)
    out = recorder.folder
    summary = TrackSummary(
        **_fingerprinted({"source_sha256": _source_hash(source, options), **request}),
        source=without_secrets(str(source))
        if isinstance(source, str | Path)
        else [str(one) for one in source],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=without_secrets(command),
        ending=ending,
        failure=None if failure is None else without_secrets(str(failure)),
        source_line=info.description,
        frame_size=(info.width, info.height),
        fps=info.fps,
        frames=frames_done,
        statuses={str(status): counts[status] for status in Status},
        not_measured=sum(not row.measured for row in recorder.rows),
        damaged=len(recorder.faults),
        first_damaged=tuple(
            DamagedFrame(frame=fault.index, reason=str(fault.error))
            for fault in recorder.faults[:_DAMAGED_SHOWN]
        ),
        masked=session.masked,
        doubtful_value=doubtful,
        tracker_frames_per_s=float(f"{good / session.tracker_s:.3g}"),
        live=None if live is None else live.summary(),
        files=_written(recorder),
    )
    if out is not None:
        try:
            if summary.boxes is not None:
                write_text(out / TRACKS_NAME, mot_text(recorder.rows))
                files = {**summary.files, "tracks": TRACKS_NAME}
                summary = summary.model_copy(update={"files": files})
            write_stored(out / SUMMARY_NAME, summary)
        except StorageError:
            if failure is None:
                raise
    return TrackRun(tuple(recorder.rows), summary, out)


def _fingerprinted(identity: dict[str, Any]) -> dict[str, Any]:
    whole = {**identity, "versions": versions(identity["engine"])}
    return {"fingerprint": fingerprint(whole), **whole}


def _source_hash(source: Source, options: ReadOptions) -> str | None:
    """SHA-256 of the file; for several files, of their hashes in order; ``None`` for a stream."""
    paths = source_files(source, options)
    if len(paths) <= 1:
        return sha256(paths[0]) if paths else None
    return fingerprint([sha256(path) if path.is_file() else None for path in paths])


def _written(recorder: Recorder) -> dict[str, str]:
    if recorder.folder is None:
        return {}
    names = {"boxes": BOXES_NAME, "video": VIDEO_NAME}
    return {kind: name for kind, name in names.items() if (recorder.folder / name).is_file()}


def _stopped(failure: TirtrackError, run: TrackRun) -> TirtrackError:
    """The failure as an error of the run, which says where the earlier results are."""
    if isinstance(failure, StorageError):
        return failure
    place = "" if run.out is None else f" and are in {run.out}"
    fix = f"{failure.fix}; " if failure.fix else ""
    error = TrackStoppedError(
        failure.what, failure.where, f"{fix}{run.summary.frames} frames were tracked{place}"
    )
    error.run = run
    return error
