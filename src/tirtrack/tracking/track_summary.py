"""The summary of a run of ``track``, as ``summary.json`` holds it: one model, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from tirtrack.live import LiveSummary
from tirtrack.read_options import NoData, ReadOptions
from tirtrack.stored import Stored

SUMMARY_NAME = "summary.json"


class Ending(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class DamagedFrame(Stored):
    """Index of a frame that could not be decoded, and why."""

    frame: int
    reason: str


class MaskedPixels(Stored):
    """Pixels of a frame that hold no measurement: index of the frame, share of its pixels, a
    sentence about them.
    """

    frame: int
    share: float
    note: str


class DoubtfulValue(Stored):
    """A value that may be a fill, and its share of the first frame."""

    value: float
    share: float


class TrackSummary(Stored):
    """Summary of a run.

    One of ``box`` and ``boxes`` is given; the other one, and reading options that were left open,
    are not in the file.

    Attributes:
        format: version of the file format.
        fingerprint: hash of all that the boxes depend on.
        source_sha256: hash of the source's files; ``None`` for a stream.
        weights: weights as they were asked for.
        weights_sha256: hash of the weights file.
        preset: preset of online settings.
        engine: engine that ran the network.
        device: device of torch.
        overrides: settings that differ from the preset.
        seed: seed of all random draws.
        redetect: whether the whole frame was searched for a lost target.
        box: first box, xywh in pixels.
        boxes: first boxes of several targets, by their names.
        order: reading option, as are the next six (:class:`tirtrack.read_options.ReadOptions`).
        start: index of the frame of the first box.
        end: index after the last frame; ``None``: all frames.
        versions: versions of Python and packages.
        source: source, or its files; without secrets.
        created: time of writing, UTC.
        command: command line of the run; empty without one.
        ending: ``complete``, or the reason why the run is shorter than requested.
        failure: message of the error that ended it.
        source_line: description of the source in one line.
        frame_size: width and height of the frames, pixels.
        fps: frame rate that the source states, frames per second.
        frames: number of frames, damaged ones included.
        statuses: number of rows by status.
        not_measured: number of rows whose box was not measured.
        damaged: number of damaged frames.
        first_damaged: the first few of them.
        masked: masked pixels of the first frame that has some.
        doubtful_value: value that may be a fill, in the first frame.
        tracker_frames_per_s: speed of the tracker alone.
        live: counts and latencies of a stream that is read live; else ``None``.
        files: names of the other files, by what they hold.
    """

    format: Literal[1] = 1
    fingerprint: str
    source_sha256: str | None
    weights: str
    weights_sha256: str
    preset: str | None
    engine: str
    device: str
    overrides: Mapping[str, Any]
    seed: int
    redetect: bool
    box: list[float] | None = None
    boxes: Mapping[str, list[float]] | None = None
    order: str | None = None
    channel: int | None = None
    byte_order: str | None = None
    picture: str | None = None
    no_data: NoData | None = None
    size_wh: tuple[int, int] | None = None
    pixel_format: str | None = None
    start: int
    end: int | None
    versions: Mapping[str, str]
    source: str | list[str]
    created: str
    command: str
    ending: Ending
    failure: str | None
    source_line: str
    frame_size: tuple[int, int]
    fps: float | None
    frames: int
    statuses: Mapping[str, int]
    not_measured: int
    damaged: int
    first_damaged: tuple[DamagedFrame, ...]
    masked: MaskedPixels | None
    doubtful_value: DoubtfulValue | None
    tracker_frames_per_s: float
    live: LiveSummary | None
    files: Mapping[str, str]

    @model_serializer(mode="wrap")
    def _without_open_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        whole = handler(self)
        return {key: value for key, value in whole.items() if value is not None or key not in _OPEN}


_OPEN = {"box", "boxes", *(field.name for field in fields(ReadOptions))}
