"""``tirtrack track``: follow one target; without a first box, help to find one."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tirtrack.cli.options import (
    AsJson,
    ByteOrder,
    Channel,
    Device,
    Force,
    NoData,
    Order,
    PaletteName,
    Picture,
    PixelFormat,
    Preset,
    Size,
    command_line,
    named_path,
    print_json,
    rate,
    read_options,
)

if TYPE_CHECKING:
    from tirtrack.boxes import Box
    from tirtrack.read_options import ReadOptions
    from tirtrack.tracking import FirstFrame, TrackRun, TrackSummary

_WEIGHTS = "nano-tir"
_WAYS = (
    " --pick N          for a numbered box, or",
    " --box X,Y,W,H     for one of your own, in the pixels of the grid",
)
_TABLE = "{:>3}  {:>7}  {:>7}  {:>7}  {:>7}  {:>6}"


def command(
    source: Annotated[
        str,
        typer.Argument(
            help="Video, folder of images, quoted glob, image, multi-page TIFF, address of a "
            "stream, camera by its number, or - (raw frames on stdin)."
        ),
    ],
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="The target in the first frame, in pixels. For several targets give it several "
            "times, as NAME=X,Y,W,H.",
        ),
    ] = None,
    pick: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Begin with proposal N, as numbered in the picture."),
    ] = None,
    weights: Annotated[str, typer.Option(help="Weights by name or file.")] = _WEIGHTS,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, metavar="PATH", help="New folder; runs/track-NAME by default."
        ),
    ] = None,
    preset: Preset = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="onnx|openvino|torch",
            help="What runs the network; openvino needs the extra fast, onnx-int8 and "
            "openvino-int8 tirtrack weights quantise. Default: for Siamese "
            "networks the fastest that passed its check on this machine, for others torch.",
        ),
    ] = None,
    no_redetect: Annotated[
        bool,
        typer.Option("--no-redetect", help="Search for a lost target only around its last place."),
    ] = False,
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="latest|all",
            help="latest: skip frames that come while the tracker is busy (default for live "
            "streams and cameras); all: take every frame (default otherwise).",
        ),
    ] = None,
    device: Device = "cpu",
    start: Annotated[int, typer.Option(help="Index of the first frame, counted from 0.")] = 0,
    end: Annotated[int | None, typer.Option(help="Index after the last frame.")] = None,
    order: Order = None,
    channel: Channel = None,
    byte_order: ByteOrder = None,
    picture: Picture = None,
    palette: PaletteName = None,
    no_data: NoData = None,
    size: Size = None,
    pixel_format: PixelFormat = None,
    no_video: Annotated[
        bool, typer.Option("--no-video", help="Write boxes only, no annotated video.")
    ] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Track one target or several through a video, a folder of frames, or a stream.

    Without --box and --pick the first frame is written as a picture with a pixel grid and numbered
    proposals, and nothing is tracked. Ends with 1 if a frame is damaged or the source breaks off;
    what could be tracked is written.
    """
    from tirtrack.errors import RequestError
    from tirtrack.live import check_policy
    from tirtrack.tracking import source_name

    if box and pick:
        raise RequestError("--box and --pick both name the target", fix="give one of them")
    if pick and len(pick) > 1:
        raise RequestError(
            f"--pick was given {len(pick)} times", fix="for several targets give --box NAME=X,Y,W,H"
        )
    asked: dict[str, Any] = {
        "order": order, "channel": channel, "byte_order": byte_order, "picture": picture,
        "palette": palette, "no_data": no_data, "size": size, "pixel_format": pixel_format,
    }  # fmt: skip
    check_policy(policy)
    options = read_options(**asked)
    once = _comes_once(source, options)
    if pick and once:
        raise RequestError(
            "--pick looks at frames before they are tracked, and these come only once",
            source,
            "look without --pick, then give --box X,Y,W,H",
        )
    given = _parse_boxes(box) if box else None
    folder = out or Path("runs") / f"track-{source_name(source)}"
    if given is None:
        from tirtrack.files import new_file
        from tirtrack.tracking import first_frame

        seen = first_frame(source, start=start, options=options)
        if not pick:
            again = _same_again(
                source, start=start or None, end=end, weights=weights, preset=preset,
                engine=engine, out=out, no_video=no_video, no_redetect=no_redetect, policy=policy,
                device=None if device == "cpu" else device, force=force, json=as_json, **asked,
            )  # fmt: skip
            sheet = new_file(folder.parent / f"{folder.name}-first-frame.png", force=force)
            print(f"tirtrack: {source_name(source)}: {seen.source_line}", file=sys.stderr)
            ways = _WAYS[1:] if once or not seen.boxes else _WAYS
            _show_first(seen, sheet, [again + way for way in ways], as_json=as_json)
            return
        given = seen.pick(pick[0])
    run = _track(
        source, given, weights=weights, out=folder, preset=preset, engine=engine, start=start,
        end=end, video=not no_video, force=force, redetect=not no_redetect, policy=policy,
        device=device, options=options,
    )  # fmt: skip
    _show_run(run, as_json=as_json)


def _comes_once(source: str, options: ReadOptions) -> bool:
    from tirtrack.inputs import stream_input

    given = stream_input(source, options)
    return given is not None and given.comes_once


def _same_again(source: str, **options: Any) -> str:
    """The command line with every option that was given; ``None`` and ``False`` were not."""
    from tirtrack.addresses import without_secrets

    words = ["tirtrack", "track", without_secrets(source)]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            words.append(option)
        elif value is not None and value is not False and (name, value) != ("weights", _WEIGHTS):
            words += [option, str(value)]
    return shlex.join(words)


def _parse_boxes(texts: list[str]) -> Box | dict[str, Box]:
    """One box as it is, several or one with a name by their names; ``NAME=X,Y,W,H``."""
    from tirtrack.errors import RequestError

    if len(texts) == 1 and "=" not in texts[0]:
        return _parse_box(texts[0])
    boxes: dict[str, Box] = {}
    for text in texts:
        name, is_named, numbers = text.rpartition("=")
        if not is_named or not name.strip():
            raise RequestError(f'--box "{text}" has no name', fix="write it as NAME=X,Y,W,H")
        if name in boxes:
            raise RequestError(f'--box names "{name}" twice', fix="give every target its own name")
        boxes[name] = _parse_box(numbers)
    return boxes


def _parse_box(text: str) -> Box:
    """``X,Y,W,H`` as a box."""
    from tirtrack.boxes import Box
    from tirtrack.errors import RequestError

    try:
        return Box.of([float(part) for part in text.split(",")])
    except ValueError as error:
        raise RequestError(
            f'--box "{text}" is not four numbers', fix="write it as X,Y,W,H, such as 120,80,40,90"
        ) from error


def _track(source: str, box: Box | dict[str, Box], **settings: Any) -> TrackRun:
    from tirtrack.cli.progress_line import progress
    from tirtrack.tracking import track

    with _first_interrupt() as stop, progress() as live:
        return track(source, box, command=command_line(), stop=stop, progress=live, **settings)


@contextmanager
def _first_interrupt() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed; the run then ends between two frames. A second one kills it."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def _show_first(seen: FirstFrame, picture: Path, ways: list[str], *, as_json: bool) -> None:
    """Write the picture, and say how to go on."""
    from PIL import Image

    from tirtrack.files import atomic_path

    with atomic_path(picture) as partial:
        Image.fromarray(seen.picture).save(partial)
    rows = [(box.x, box.y, box.w, box.h) for box in seen.boxes]
    if as_json:
        proposals = [
            {"number": number, "box": list(row), "score": round(score, 4)}
            for number, (row, score) in enumerate(zip(rows, seen.scores, strict=True), start=1)
        ]
        document = {
            "source_line": seen.source_line,
            "picture": str(picture),
            "frame": seen.index,
            "proposals": proposals,
        }
        print_json(document)
    else:
        print(_TABLE.format("N", "x", "y", "w", "h", "score"))
        for number, (row, score) in enumerate(zip(rows, seen.scores, strict=True), start=1):
            print(_TABLE.format(number, *(f"{value:.1f}" for value in row), f"{score:.2f}"))
        print(picture)
    told = f"tirtrack: nothing is tracked yet: look at {picture}, then go on with"
    print("\n".join([told, *(f"  {way}" for way in ways)]), file=sys.stderr)


def _show_run(run: TrackRun, *, as_json: bool) -> None:
    from tirtrack.tracking import Ending

    if as_json:
        print_json(run.summary.model_dump(mode="json"))
    else:
        _print_summary(run)
    for sentence in _unmeasured(run.summary):
        print(f"tirtrack: {sentence}", file=sys.stderr)
    if run.summary.damaged:
        print(f"tirtrack: {_damaged_frames(run.summary)}", file=sys.stderr)
    if run.summary.ending is Ending.INTERRUPTED:
        raise KeyboardInterrupt(
            f"interrupted; {run.summary.frames} frames were tracked, see {run.out}"
        )
    if run.summary.damaged:
        raise typer.Exit(1)


def _unmeasured(summary: TrackSummary) -> Iterator[str]:
    """What was masked, and what only the user can know to be no measurement."""
    from tirtrack.valid_pixels import share_text

    if masked := summary.masked:
        yield f"frame {masked.frame}: {masked.note} and are left out"
    elif isinstance(named := summary.no_data, float):
        yield f"no pixel has the value {named:.15g} that --no-data names"
    if doubtful := summary.doubtful_value:
        value = repr(doubtful.value).removesuffix(".0")  # exact, to be given back
        yield (
            f"{share_text(doubtful.share)} of the pixels of the first frame are "
            f"exactly {value}; if they hold no measurement, give --no-data {value}"
        )


def _print_summary(run: TrackRun) -> None:
    summary = run.summary
    counts = ", ".join(f"{count} {status}" for status, count in summary.statuses.items())
    speed = rate(summary.tracker_frames_per_s)
    count = len(summary.boxes or ())
    targets = "" if summary.boxes is None else f", {count} target{'' if count == 1 else 's'}"
    print(f"{summary.frames} frames{targets}: {counts}; {speed} frames/s in the tracker")
    if live := summary.live:
        print(
            f"live: {live.skipped} frames left out, {live.latency_p50_ms} ms behind "
            f"({live.latency_p95_ms} ms in 1 of 20), {live.breaks} breaks"
        )
    for name in summary.files.values():
        print(run.out / name if run.out else name)


def _damaged_frames(summary: TrackSummary) -> str:
    count, first = summary.damaged, summary.first_damaged[0].reason
    return (
        f"1 frame is damaged: {first}"
        if count == 1
        else f"{count} frames are damaged, first: {first}"
    )
