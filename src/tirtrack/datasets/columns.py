"""What the numbers of a row mean, by the names of its columns, and the boxes that they make.

Names come from the header of a file, from the option ``--columns``, or from the number of columns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from tirtrack.errors import RequestError

Columns = tuple[str, ...]

XYWH: Columns = ("x1", "y1", "w", "h")
CORNERS: Columns = ("x1", "y1", "x2", "y2")
MOT: Columns = ("frame", "id", *XYWH, "considered")
UNUSED = "-"
POLYGONS = "corner polygons read as their extent"

# names as files write them, in lower case without marks, to ours
_SPELLINGS = {
    "x1": ("x", "x1", "x0", "xmin", "xtl", "left", "bbleft", "topleftx"),
    "y1": ("y", "y1", "y0", "ymin", "ytl", "top", "bbtop", "toplefty"),
    "x2": ("x2", "xmax", "xbr", "right", "bottomrightx"),
    "y2": ("y2", "ymax", "ybr", "bottom", "bottomrighty"),
    "w": ("w", "width", "bbwidth"),
    "h": ("h", "height", "bbheight"),
    "cx": ("cx", "xc", "xcenter", "xcentre", "centerx", "centrex"),
    "cy": ("cy", "yc", "ycenter", "ycentre", "centery", "centrey"),
    "frame": ("frame", "frameid", "frameindex", "frameno", "framenumber"),
    "id": ("id", "trackid", "targetid", "objectid", "instanceid"),
    "considered": ("considered",),
    "present": ("present", "exist", "exists", "visible"),
    "absent": ("absent", "absence", "outofview", "fullocclusion"),
}
FLAGS = ("frame", "considered", "present", "absent")
_OURS = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
_POINTS = (("x1", "y1"), ("x2", "y2"), ("x3", "y3"), ("x4", "y4"))
_FORMS = (
    (frozenset(XYWH), ""),
    (frozenset(name for point in _POINTS for name in point), POLYGONS),
    (frozenset(CORNERS), "corners x1,y1,x2,y2 read as boxes"),
    (frozenset({"cx", "cy", "w", "h"}), "centres and sizes read as boxes"),
)


def canonical(name: str) -> str:
    """A column's name in our spelling; an unknown name stays as it is.

    >>> canonical("bb_left"), canonical(" Width "), canonical("score")
    ('x1', 'w', 'score')
    """
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return _OURS.get(plain, plain)


def box_columns(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that make the box; empty if they make none."""
    names = set(columns)
    needed = next((needed for needed, _ in _FORMS if needed <= names), frozenset())
    return tuple(name for name in columns if name in needed)


def form_of(columns: Sequence[str]) -> str | None:
    """How columns spell a box, in words; empty for x,y,w,h, ``None`` if they make no box."""
    names = set(columns)
    return next((form for needed, form in _FORMS if needed <= names), None)


def parse_columns(text: str, option: str = "--columns") -> Columns:
    """The columns that an option names.

    >>> parse_columns("x1,y1,x2,y2,-")
    ('x1', 'y1', 'x2', 'y2', '-')

    Args:
        text: names, separated by commas.
        option: name of the option, for messages.

    Raises:
        RequestError: the names make no box.
    """
    columns = tuple(UNUSED if name.strip() == "-" else canonical(name) for name in text.split(","))
    if form_of(columns) is None:
        raise RequestError(
            f'the columns "{text}" make no box',
            option,
            "name x,y,w,h or x1,y1,x2,y2 among them, and - for a column that is not used",
        )
    return columns


def boxes_of(values: Mapping[str, np.ndarray]) -> np.ndarray:
    """``[T,4]`` xywh from columns ``[T]`` by name; corners become their axis-aligned extent.

    >>> boxes_of({name: np.array([value]) for name, value in zip(CORNERS, (8.0, 9, 2, 3))})
    array([[2., 3., 6., 6.]])
    """
    if {"cx", "cy"} <= set(values):
        size = np.stack([values["w"], values["h"]], axis=1)
        return np.hstack([np.stack([values["cx"], values["cy"]], axis=1) - size / 2, size])
    if set(XYWH) <= set(values):
        return np.stack([values[name] for name in XYWH], axis=1)
    points = [point for point in _POINTS if set(point) <= set(values)]
    return extents(np.stack([values[name] for point in points for name in point], axis=1))


def extents(corners: np.ndarray) -> np.ndarray:
    """``[T,4]`` xywh around polygons ``[T,2n]`` of ``x,y`` corners, in any order."""
    columns = np.ascontiguousarray(corners.T)  # many times as fast along rows
    xs, ys = columns[0::2], columns[1::2]
    low = np.stack([xs.min(axis=0), ys.min(axis=0)], axis=1)
    high = np.stack([xs.max(axis=0), ys.max(axis=0)], axis=1)
    return np.hstack([low, high - low])
