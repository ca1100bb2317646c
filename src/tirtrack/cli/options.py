"""Options that several commands share, and what a command makes of them.

Where a command says more of an option than stands here (where ``--out`` goes by default), it
declares it itself.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Collection
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

if TYPE_CHECKING:
    from tirtrack.pairs import Pairing
    from tirtrack.read_options import ReadOptions

Command = Callable[..., None]
"""What typer makes a command of."""

Seed = Annotated[int, typer.Option(min=0, help="Seed of all random draws.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is at --out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, nothing else, on stdout.")]
Workers = Annotated[
    int,
    typer.Option(help="Number of processes, one thread each; the result does not depend on it."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Let --workers processes of a Ray cluster do the work (auto, HOST:PORT; local "
        "starts one here).",
    ),
]
Starts = Annotated[
    int,
    typer.Option(min=1, help="Number of start frames of each sequence, spread evenly over it."),
]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Intervals over groups of sequences, named by this key of their attributes.json "
        "(recording); by default over sequences.",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Tracker settings by name, such as default or published (default: the weights' own)."
    ),
]
RecipeName = Annotated[str, typer.Option("--recipe", help="A recipe's name or YAML file.")]
Baseline = Annotated[str, typer.Option(help="The RGB tracker to distil: a name or a file.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a recipe setting; may be repeated."),
]
Device = Annotated[str, typer.Option(help="Device for torch: cpu or cuda.")]
Order = Annotated[
    str | None,
    typer.Option(
        metavar="natural|name|time",
        help="Order of a folder's frames: by the numbers in their names, by the names as text, or "
        "by names that are times.",
    ),
]
Channel = Annotated[
    int | None,
    typer.Option(min=0, help="Channel that holds the picture, counted from 0."),
]
ByteOrder = Annotated[
    str | None,
    typer.Option(
        metavar="little|big", help="Byte order of 16-bit samples, if the file states it wrongly."
    ),
]
Picture = Annotated[
    str | None,
    typer.Option(
        metavar="counts|visible|palette",
        help="Part of a radiometric JPEG: the counts (default), the visible picture inside, or the "
        "palette picture that viewers show.",
    ),
]
PaletteName = Annotated[
    str | None,
    typer.Option(
        "--palette",
        metavar="NAME",
        help="Palette painted over TIR, such as ironbow, to be undone.",
    ),
]
NoData = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE|none",
        help="Value of pixels that hold no measurement; none: every pixel is a measurement.",
    ),
]
Size = Annotated[
    str | None, typer.Option(metavar="WxH", help="Width and height of raw frames, in pixels.")
]
PixelFormat = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Pixel format of raw frames, such as gray16le or rgb24."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Resume a stopped run.")]


def named_path(text: str) -> Path:
    """A path as typed; nothing at all is no path, though ``Path("")`` is the current folder."""
    if not text.strip():
        raise typer.BadParameter(
            'an empty text names no folder or file ("." is the current folder)'
        )
    return Path(text)


def named_place(text: str) -> Any:
    """A path or an address as typed, as for :func:`named_path`; typer takes no type of both."""
    from tirtrack.errors import RequestError
    from tirtrack.remote import any_path

    if "://" not in text:
        return named_path(text)
    try:
        return any_path(text)
    except RequestError as error:
        raise typer.BadParameter(str(error)) from error


PairFolders = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        parser=named_place,
        help="Recording with rgb/ and tir/, or rgb.mp4 and tir.mp4; or a folder of recordings.",
    ),
]
HeldBackFolders = Annotated[
    list[Path] | None,
    typer.Option(
        parser=named_place,
        metavar="PATH",
        help="Pairs to validate on (default: a share of PAIRS); may be repeated.",
    ),
]
RgbName = Annotated[
    str | None,
    typer.Option(
        "--rgb",
        metavar="NAME",
        help="Folder or video of the RGB camera, or its mark in file names, such as _V.",
    ),
]
TirName = Annotated[
    str | None,
    typer.Option("--tir", metavar="NAME", help="The same for the TIR camera, such as _T."),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="NAME",
        help="How pairs lie on disk, where the guess is wrong: cameras, a data set such as kaist.",
    ),
]
MatchBy = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="name|time",
        help="How frames are matched (default: by name, or by time if the names are times).",
    ),
]
MaxGap = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Longest time between the frames of a pair matched by time (default: half a frame).",
    ),
]
RigFile = Annotated[
    Path | None,
    typer.Option(
        "--rig",
        parser=named_path,
        metavar="FILE",
        help="Map from RGB to TIR pixels and time offset, a file of `tirtrack pairs register`.",
    ),
]
Delay = Annotated[
    int | None,
    typer.Option(
        metavar="FRAMES",
        help="Number of frames by which TIR is late; negative: early. It replaces that of --rig.",
    ),
]


def pairing_of(
    *,
    rgb: RgbName = None,
    tir: TirName = None,
    layout: LayoutName = None,
    match: MatchBy = None,
    max_gap: MaxGap = None,
    delay: Delay = None,
    no_data: NoData = None,
    channel: Channel = None,
    byte_order: ByteOrder = None,
    picture: Picture = None,
    palette: PaletteName = None,
    rig: RigFile = None,
) -> Pairing:
    """How pairs are found and read, from the options of a command line.

    Raises:
        RequestError: one of them has no such value.
        PairsError: the rig cannot be read, or not be trusted.
    """
    from tirtrack.pairs import Pairing, read_rig

    tir_options = read_options(
        no_data=no_data, channel=channel, byte_order=byte_order, picture=picture, palette=palette
    )
    return Pairing(
        rgb,
        tir,
        match,
        max_gap,
        delay,
        tir_options,
        layout=layout,
        rig=None if rig is None else read_rig(rig),
    )


def takes_pairing(*, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """A decorator of commands: in the place of the keyword ``pairing`` stand the options of
    :func:`pairing_of`, of which it is made.

    Args:
        without: names of the options that the command lacks.
    """
    options = [
        one
        for one in signature(
            pairing_of, eval_str=True, locals={"Pairing": object}
        ).parameters.values()
        if one.name not in without
    ]

    def decorated(command: Command) -> Command:
        hints = get_type_hints(command, localns={"Pairing": object}, include_extras=True)

        @wraps(command)
        def run(**given: Any) -> None:
            asked = {one.name: given.pop(one.name) for one in options}
            command(**given, pairing=pairing_of(**asked))

        parameters: list[Parameter] = []
        for one in signature(command).parameters.values():
            own = one.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[one.name])
            parameters += options if one.name == "pairing" else [own]
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorated


def command_line() -> str:
    """The line as it was typed, without what addresses hide, for the files of a command."""
    from tirtrack.addresses import without_secrets

    return shlex.join(["tirtrack", *map(without_secrets, sys.argv[1:])])


def read_options(
    *,
    order: str | None = None,
    channel: int | None = None,
    byte_order: str | None = None,
    picture: str | None = None,
    palette: str | None = None,
    no_data: str | None = None,
    size: str | None = None,
    pixel_format: str | None = None,
) -> ReadOptions:
    """The reading options of a command line.

    Raises:
        RequestError: one of them has no such value.
    """
    from tirtrack.read_options import ReadOptions

    return ReadOptions(
        order=cast(Any, order),
        channel=channel,
        byte_order=cast(Any, byte_order),
        picture=cast(Any, picture),
        palette=palette,
        no_data=None if no_data is None else _no_data(no_data),
        size_wh=None if size is None else _size_wh(size),
        pixel_format=pixel_format,
    )


def _no_data(text: str) -> Any:
    """A number, or the word as it was typed."""
    try:
        return float(text)
    except ValueError:
        return text.strip().lower()


def _size_wh(text: str) -> tuple[int, int]:
    from tirtrack.errors import RequestError

    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise RequestError(f'--size must be WxH, got "{text}"', fix="write it like 640x512")
    return int(width), int(height)


def rate(frames_per_s: float) -> str:
    """A speed as text; slow ones keep a second digit.

    >>> rate(118.7), rate(0.4312)
    ('119', '0.43')
    """
    return f"{frames_per_s:.0f}" if frames_per_s >= 10 else f"{frames_per_s:.2g}"


def print_json(content: Any) -> None:
    """One JSON document on stdout."""
    from tirtrack.files import json_text

    print(json_text(content))


def print_file(file: Path) -> None:
    """A JSON file on stdout."""
    print(file.read_text(encoding="utf-8"), end="")
