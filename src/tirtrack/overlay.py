"""Boxes, labels and a pixel grid on pictures, readable on dark and on bright thermal frames.

Pictures are ``[H,W,3]`` uint8 RGB; each function returns a new one. Lines lie just *outside* a box,
so that a small target stays visible, with a dark edge against bright surroundings. Small frames are
drawn enlarged: ``zoom`` picture pixels per frame pixel; boxes and coordinates stay those of the
frame. This module knows nothing of trackers or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from tirtrack.boxes import Box

__all__ = [
    "PALETTE",
    "draw_boxes",
    "draw_caption",
    "enlarge",
    "grid_step",
    "number_boxes",
    "with_grid",
    "zoom_for",
]

# Apart from each other, from every grey, and in print (after Okabe and Ito, lightened).
PALETTE = (
    "#35c8ff", "#ffb000", "#3ddc84", "#ff6fb5", "#c9a6ff", "#fff05a", "#ff7a45", "#7fe5d5",
)  # fmt: skip
_EDGE = "#101418"
_MARGIN_COLOUR = "#f4f5f7"
_MARGIN_TEXT = "#30363d"
_GRID_ALPHA = 0.28
_FONT_SIZE = 13
_PADDING = 3


def zoom_for(width: int, height: int, side: int = 640) -> int:
    """The whole number by which a small frame is enlarged so that its long side nears ``side``."""
    return max(1, round(side / max(width, height)))


def enlarge(image: np.ndarray, zoom: int) -> np.ndarray:
    """``[H*zoom,W*zoom,3]``: every pixel a square, nothing interpolated."""
    return np.repeat(np.repeat(image, zoom, axis=0), zoom, axis=1) if zoom > 1 else image.copy()


def draw_boxes(
    image: np.ndarray,
    boxes: Sequence[tuple[Box, str, str]],
    *,
    zoom: int = 1,
    line: int = 2,
) -> np.ndarray:
    """Boxes with labels on a picture.

    Args:
        image: ``[H,W,3]`` uint8 RGB, already enlarged by ``zoom``.
        boxes: box in frame pixels, colour (``#rrggbb`` or a name), label (may be empty). A box
            that is not finite is left out; what lies outside the picture is cut off.
        zoom: picture pixels per frame pixel.
        line: width of the lines, picture pixels.

    Raises:
        ValueError: the picture is not ``[H,W,3]`` uint8.
    """
    canvas = _canvas(image)
    draw = ImageDraw.Draw(canvas)
    for box, colour, _ in reversed(boxes):  # the first one lies on top
        if box.is_finite():
            _rectangle(draw, _inside(box, zoom), colour, line)
    taken: list[_Corners] = []
    for box, colour, label in boxes:
        if label and box.is_finite():
            place = _label_place(
                _inside(box, zoom), _block_size(label), canvas.size, line=line, taken=taken
            )
            if place is not None:
                taken.append(place)
                at = (place.x0, place.y0)
                _text_block(draw, at, label, ink=_ink_on(colour), ground=colour)
    return np.array(canvas)


def number_boxes(image: np.ndarray, boxes: Sequence[Box], *, zoom: int = 1) -> np.ndarray:
    """Boxes numbered from 1, each in its own colour; picture and zoom as :func:`draw_boxes`."""
    marks = [
        (box, PALETTE[place % len(PALETTE)], str(place + 1)) for place, box in enumerate(boxes)
    ]
    return draw_boxes(image, marks, zoom=zoom)


def draw_caption(image: np.ndarray, text: str, colour: str = "#ffffff") -> np.ndarray:
    """One line of text in the top left corner of ``[H,W,3]`` uint8, on a dark ground."""
    canvas = _canvas(image)
    draw = ImageDraw.Draw(canvas)
    _text_block(draw, (0, 0), text, ink=colour, ground=_EDGE)
    return np.array(canvas)


def grid_step(width: int, height: int) -> int:
    """A round number of pixels that gives about ten grid lines along the long side.

    >>> grid_step(640, 480), grid_step(160, 120), grid_step(20, 20)
    (50, 20, 2)
    """
    target = max(width, height) / 10
    nice: list[int] = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]
    return min(nice, key=lambda step: abs(math.log(step / target)))


def with_grid(
    image: np.ndarray, step: int, *, zoom: int = 1, boxes: Sequence[Box] = ()
) -> np.ndarray:
    """A picture with faint grid lines and their coordinates, in frame pixels, on a margin.

    The line of coordinate ``k`` is drawn at the left (upper) edge of pixel ``k``.

    Args:
        image: ``[H,W,3]`` uint8 RGB, already enlarged by ``zoom``.
        step: frame pixels between lines.
        zoom: picture pixels per frame pixel.
        boxes: drawn over the grid by :func:`number_boxes`.

    Returns:
        ``[H+top,W+left,3]``: the margin lies above and to the left, and is at least as wide as its
        numbers.

    Raises:
        ValueError: the picture is not ``[H,W,3]`` uint8, or ``step`` is under 1.
    """
    _check(image)
    if step < 1:
        raise ValueError(f"step must be at least 1, got {step}")
    height, width = image.shape[:2]
    columns, rows = (range(0, side, step * zoom) for side in (width, height))
    font = _font(_FONT_SIZE)
    left = int(max(font.getlength(str(row // zoom)) for row in rows)) + 2 * _PADDING + 4
    top = _FONT_SIZE + 2 * _PADDING + 4
    canvas = Image.new("RGB", (left + width, top + height), _MARGIN_COLOUR)
    picture = number_boxes(_lined(image, columns, rows), boxes, zoom=zoom)
    canvas.paste(Image.fromarray(picture), (left, top))
    draw = ImageDraw.Draw(canvas)
    for column in columns:
        _tick(draw, ((left + column, top - 4), (left + column, top - 1)))
        centre = (left + column, top - 5)
        draw.text(centre, str(column // zoom), font=font, fill=_MARGIN_TEXT, anchor="mb")
    for row in rows:
        _tick(draw, ((left - 4, top + row), (left - 1, top + row)))
        at = (left - 6, top + row)
        draw.text(at, str(row // zoom), font=font, fill=_MARGIN_TEXT, anchor="rm")
    return np.array(canvas)


def _lined(image: np.ndarray, columns: range, rows: range) -> np.ndarray:
    """Grid lines that are light on dark ground and dark on light ground."""
    lined = image.astype(np.float32)
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[:, list(columns)] = True
    mask[list(rows), :] = True
    ink = np.where(image.mean(axis=2, keepdims=True) < 128, 255.0, 0.0)
    mixed = lined * (1 - _GRID_ALPHA) + ink * _GRID_ALPHA
    return np.where(mask[..., None], mixed, lined).round().astype(np.uint8)


def _tick(draw: ImageDraw.ImageDraw, ends: tuple[tuple[int, int], tuple[int, int]]) -> None:
    draw.line(ends, fill=_MARGIN_TEXT)


class _Corners(NamedTuple):
    """First and last picture pixel of a rectangle."""

    x0: int
    y0: int
    x1: int
    y1: int


def _inside(box: Box, zoom: int) -> _Corners:
    """The picture pixels of a box, at least one each way."""
    limit = 1_000_000.0
    x0, y0, x1, y1 = (
        round(min(max(value * zoom, -limit), limit))
        for value in (box.x, box.y, box.x + box.w, box.y + box.h)
    )
    return _Corners(x0, y0, max(x1 - 1, x0), max(y1 - 1, y0))


def _rectangle(draw: ImageDraw.ImageDraw, inside: _Corners, colour: str, line: int) -> None:
    x0, y0, x1, y1 = inside
    far = line + 1
    draw.rectangle((x0 - far, y0 - far, x1 + far, y1 + far), outline=_EDGE, width=1)
    draw.rectangle((x0 - line, y0 - line, x1 + line, y1 + line), outline=colour, width=line)


def _label_place(
    inside: _Corners,
    block_wh: tuple[int, int],
    frame_wh: tuple[int, int],
    *,
    line: int,
    taken: Sequence[_Corners],
) -> _Corners | None:
    """Corners of a label: above the box, below it or in it, the first place that is free.

    Never outside the picture; ``None`` if the box is outside.
    """
    x0, y0, x1, y1 = inside
    width, height = block_wh
    if x1 < 0 or y1 < 0 or x0 >= frame_wh[0] or y0 >= frame_wh[1]:
        return None
    left, right = x0 - line, x1 + line - width + 1
    above, below = y0 - line - 1 - height, y1 + line + 2
    corners = [
        (left, above), (right, above), (left, below), (right, below),
        (x1 + line + 2, y0), (left - width, y0), (x0, y0), (x0, y1 - height + 1),
    ]  # fmt: skip
    places = [
        _Corners(x, y, x + width - 1, y + height - 1)
        for x, y in corners
        if 0 <= x <= frame_wh[0] - width and 0 <= y <= frame_wh[1] - height
    ]
    free = [place for place in places if not any(_overlap(place, other) for other in taken)]
    if free or places:
        return (free or places)[0]
    x = min(max(left, 0), max(frame_wh[0] - width, 0))
    y = min(max(y0, 0), max(frame_wh[1] - height, 0))
    return _Corners(x, y, x + width - 1, y + height - 1)


def _overlap(a: _Corners, b: _Corners) -> bool:
    return a.x0 <= b.x1 and b.x0 <= a.x1 and a.y0 <= b.y1 and b.y0 <= a.y1


def _block_size(text: str) -> tuple[int, int]:
    return int(_font(_FONT_SIZE).getlength(text)) + 2 * _PADDING + 1, _FONT_SIZE + 2 * _PADDING


def _text_block(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, *, ink: str, ground: str
) -> None:
    width, height = _block_size(text)
    draw.rectangle((at[0], at[1], at[0] + width - 1, at[1] + height - 1), fill=ground)
    middle = (at[0] + _PADDING, at[1] + height // 2)
    draw.text(middle, text, font=_font(_FONT_SIZE), fill=ink, anchor="lm")


def _ink_on(colour: str) -> str:
    red, green, blue = ImageColor.getrgb(colour)[:3]
    return _EDGE if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else "#ffffff"


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _check(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"pictures must be [H,W,3] uint8, got {list(image.shape)} {image.dtype}")


def _canvas(image: np.ndarray) -> Image.Image:
    _check(image)
    return Image.fromarray(image.copy())
