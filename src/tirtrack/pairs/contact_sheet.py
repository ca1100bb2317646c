"""A picture of pairs with their proposals, for people to check before they distil.

Each tile shows RGB and TIR of one pair side by side, or TIR alone. Boxes found in both modalities
are green and drawn in both; a box found in one modality is drawn only there; rejected ones are
grey, dashed, with the reason. Numbers are ranks. Below the pairs, film strips show boxes that were
followed through time, some trusted and some rejected; in frames that do not count the box is
dashed. Where pairs were registered, the last strips show some of them before and after: RGB as
grey, TIR in red over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tirtrack.boxes import Box
from tirtrack.overlay import draw_boxes
from tirtrack.pairs.proposals.base import FoundIn, ProposalSet
from tirtrack.pairs.source import Pair, PairSource
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.tracklets import Track
from tirtrack.thermal import to_display

COLOURS = {FoundIn.BOTH: "#3ddc84", FoundIn.RGB: "#ffb000", FoundIn.TIR: "#35c8ff"}
RANDOM_COLOUR = "#c9a6ff"
REJECTED_COLOUR = "#b6bcc4"
_GROUND = "#14181d"
_INK = "#e8eaed"
_FONT_SIZE = 13
_CAPTION_PX = 22
_GAP_PX = 6
_MAX_REJECTED = 6
_DASH_PX = 5
_STRIPS = 3  # trusted tracks, and as many rejected ones
_STRIP_FRAMES = 6
_REGISTERED = 2  # pairs that are shown before and after registration


def contact_sheet(
    source: PairSource,
    proposals: Mapping[int, ProposalSet],
    tracks: Sequence[Track] = (),
    *,
    count: int = 8,
    columns: int = 2,
    image_width: int = 360,
) -> np.ndarray:
    """Some pairs with their boxes.

    Args:
        source: the pairs.
        proposals: proposals by index in the source; pairs that could not be read are left out.
        tracks: tracks of which some trusted and some rejected ones are shown below the pairs.
        count: largest number of tiles, spread evenly over ``proposals``; half of them show pairs
            with a rejected box, if there are enough.
        columns: tiles side by side.
        image_width: width of one modality's image, in pixels of the sheet.

    Returns:
        ``[H,W,3]`` uint8 RGB.

    Raises:
        ValueError: there is nothing to show.
    """
    usable = [index for index, found in sorted(proposals.items()) if found.fault is None]
    if not usable:
        raise ValueError("there is no readable pair to show")
    chosen = _tiles(usable, proposals, count)
    pairs = [source[index] for index in chosen]
    found = [proposals[index] for index in chosen]
    tiles = [_tile(*both, image_width) for both in zip(pairs, found, strict=True)]
    columns = min(columns, len(tiles))
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    tile_width = max(tile.width for tile in tiles)
    width = columns * tile_width + (columns + 1) * _GAP_PX
    rows += [[_strip(source, one, width - 2 * _GAP_PX)] for one in _shown_tracks(tracks)]
    moved = [pair for pair in pairs if pair.tir_mapped is not None]
    rows += [[_before_and_after(one, width - 2 * _GAP_PX)] for one in spread(moved, _REGISTERED)]
    heights = [max(tile.height for tile in row) for row in rows]
    height = _legend_height() + sum(heights) + (len(rows) + 1) * _GAP_PX
    sheet = Image.new("RGB", (width, height), _GROUND)
    _legend(sheet, has_rgb=any(pair.rgb is not None for pair in pairs))
    top = _legend_height() + _GAP_PX
    for row, row_height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (_GAP_PX + column * (tile_width + _GAP_PX), top))
        top += row_height + _GAP_PX
    return np.array(sheet)


def _tiles(usable: Sequence[int], proposals: Mapping[int, ProposalSet], count: int) -> list[int]:
    """The pairs to show: rejected boxes must appear even where they are few."""
    rejecting = [index for index in usable if proposals[index].rejected]
    most = max(count // 2, count - (len(usable) - len(rejecting)))
    shown = spread(rejecting, most)
    others = [index for index in usable if index not in shown]
    return sorted([*shown, *spread(others, count - len(shown))])


def _tile(pair: Pair, found: ProposalSet, image_width: int) -> Image.Image:
    height, width = pair.tir.shape
    zoom = image_width / width
    image_height = max(round(height * zoom), 1)
    sides = {FoundIn.TIR: pair.tir}
    if pair.rgb is not None:
        sides = {FoundIn.RGB: pair.rgb, **sides}
    tile_width = len(sides) * (image_width + 2) - 2
    tile = Image.new("RGB", (tile_width, image_height + _CAPTION_PX), _GROUND)
    for place, (modality, image) in enumerate(sides.items()):
        picture = to_display(image)
        small = Image.fromarray(picture).resize(
            (image_width, image_height), Image.Resampling.LANCZOS
        )
        drawn = _with_boxes(np.array(small), found, modality, zoom)
        tile.paste(Image.fromarray(drawn), (place * (image_width + 2), _CAPTION_PX))
    draw = ImageDraw.Draw(tile)
    draw.text((4, 3), _shortened(pair.key), font=_font(), fill=_INK)
    counts = _counts(found)
    draw.text((tile.width - 4, 3), counts, font=_font(), fill=_INK, anchor="ra")
    return tile


def _shown_tracks(tracks: Sequence[Track]) -> list[Track]:
    """Some trusted tracks, then some rejected ones, spread evenly."""
    trusted = [one for one in tracks if one.tracklet.fault is None]
    rejected = [one for one in tracks if one.tracklet.fault is not None]
    return [*spread(trusted, _STRIPS), *spread(rejected, _STRIPS)]


def _strip(source: PairSource, track: Track, width: int) -> Image.Image:
    """A few frames of a track side by side, with its box."""
    cell = (width - (_STRIP_FRAMES - 1) * 2) // _STRIP_FRAMES
    places = spread(range(len(track.indices)), _STRIP_FRAMES)
    pairs = [source[track.indices[place]] for place in places]
    frames = [to_display(getattr(pair, track.modality)) for pair in pairs]
    height, zoom = round(cell * frames[0].shape[0] / frames[0].shape[1]), cell / frames[0].shape[1]
    strip = Image.new("RGB", (width, height + _CAPTION_PX), _GROUND)
    trusted = track.trusted()
    for column, (place, frame) in enumerate(zip(places, frames, strict=True)):
        picture = Image.fromarray(frame).resize((cell, height), Image.Resampling.LANCZOS)
        box = scaled(track.tracklet.boxes[place], zoom)
        if track.indices[place] in trusted:
            mark = (box, COLOURS[FoundIn(track.modality)], "")
            picture = Image.fromarray(draw_boxes(np.array(picture), [mark], line=2))
        else:
            _dashed(ImageDraw.Draw(picture), box)
        strip.paste(picture, (column * (cell + 2), _CAPTION_PX))
    said = track.tracklet.fault or f"{len(trusted)} of {len(track.indices)} frames count"
    caption = f"{_shortened(pairs[0].key)}, followed in {track.modality.upper()}: {said}"
    ImageDraw.Draw(strip).text((4, 3), caption, font=_font(), fill=_INK)
    return strip


def _before_and_after(pair: Pair, width: int) -> Image.Image:
    """TIR in red over RGB, stretched onto it and registered, side by side."""
    rgb, tir = pair.both
    height = rgb.shape[0]
    cell = (width - 2) // 2
    size = cell, max(round(cell * height / rgb.shape[1]), 1)
    grey = np.asarray(Image.fromarray(rgb).convert("L").resize(size))
    stored = tir if pair.tir_mapped is None else pair.tir_mapped.pixels
    strip = Image.new("RGB", (width, size[1] + _CAPTION_PX), _GROUND)
    for place, (image, said) in enumerate(((stored, "before"), (tir, "after registration"))):
        red = np.asarray(Image.fromarray(to_display(image)).convert("L").resize(size))
        both = Image.fromarray(np.stack([red, grey, grey], axis=2))
        strip.paste(both, (place * (cell + 2), _CAPTION_PX))
        caption = f"{_shortened(pair.key)}, {said}"
        ImageDraw.Draw(strip).text((place * (cell + 2) + 4, 3), caption, font=_font(), fill=_INK)
    return strip


def _shortened(key: str, most: int = 48) -> str:
    return key if len(key) <= most else f"...{key[-most + 3 :]}"


def _counts(found: ProposalSet) -> str:
    random = " (random)" if found.kept and found.kept[0].way == "random" else ""
    boxes = "1 box" if len(found.kept) == 1 else f"{len(found.kept)} boxes"
    return f"{boxes}{random}, {len(found.rejected)} rejected"


def _with_boxes(
    picture: np.ndarray, found: ProposalSet, modality: FoundIn, zoom: float
) -> np.ndarray:
    shown = []
    for rank, proposal in enumerate(found.kept, 1):
        if proposal.found_in in (modality, FoundIn.BOTH):
            colour = RANDOM_COLOUR if proposal.way == "random" else COLOURS[proposal.found_in]
            shown.append((scaled(proposal.box, zoom), colour, str(rank)))
    rejected = [
        (scaled(one.box, zoom), str(one.reason))
        for one in found.rejected[:_MAX_REJECTED]
        if one.box.is_finite()
    ]
    canvas = Image.fromarray(picture)
    for box, _ in rejected:
        _dashed(ImageDraw.Draw(canvas), box)
    canvas = Image.fromarray(draw_boxes(np.array(canvas), shown[::-1], line=2))
    for box, reason in rejected:
        _plate(ImageDraw.Draw(canvas), box, reason, canvas.width)
    return np.array(canvas)


def _plate(draw: ImageDraw.ImageDraw, box: Box, text: str, width: int) -> None:
    """A text above a box (below it at the top of the picture), on its own background."""
    left_most = min(box.x, width - _font().getlength(text) - 4)
    place = (max(left_most, 2.0), box.y - 3 if box.y > _CAPTION_PX else box.y + box.h + 3)
    anchor = "lb" if box.y > _CAPTION_PX else "lt"
    left, top, right, bottom = draw.textbbox(place, text, font=_font(), anchor=anchor)
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), fill=_GROUND)
    draw.text(place, text, font=_font(), fill=REJECTED_COLOUR, anchor=anchor)


def _dashed(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """A dashed box on a dark line, so that it stands out from bright and dark pictures alike."""
    right, bottom = box.x + box.w, box.y + box.h
    corners = [(box.x, box.y), (right, box.y), (right, bottom), (box.x, bottom), (box.x, box.y)]
    draw.line(corners, fill=_GROUND)
    for x in np.arange(box.x, right, 2 * _DASH_PX):
        for y in (box.y, bottom):
            draw.line([(x, y), (min(x + _DASH_PX, right), y)], fill=REJECTED_COLOUR)
    for y in np.arange(box.y, bottom, 2 * _DASH_PX):
        for x in (box.x, right):
            draw.line([(x, y), (x, min(y + _DASH_PX, bottom))], fill=REJECTED_COLOUR)


def scaled(box: Box, zoom: float) -> Box:
    """A box in a picture that is ``zoom`` times as large."""
    return Box(box.x * zoom, box.y * zoom, box.w * zoom, box.h * zoom)


def _legend_height() -> int:
    return _CAPTION_PX


def _legend(sheet: Image.Image, *, has_rgb: bool) -> None:
    draw = ImageDraw.Draw(sheet)
    x = float(_GAP_PX)
    of_pairs = [
        ("left RGB, right TIR", _INK),
        ("found in both", COLOURS[FoundIn.BOTH]),
        ("RGB alone", COLOURS[FoundIn.RGB]),
    ]
    entries = [
        *(of_pairs if has_rgb else []),
        ("TIR alone" if has_rgb else "found in TIR", COLOURS[FoundIn.TIR]),
        ("drawn at random", RANDOM_COLOUR),
        ("rejected (dashed, with the reason)", REJECTED_COLOUR),
    ]
    for text, colour in entries:
        draw.text((x, 5), text, font=_font(), fill=colour)
        x += _font().getlength(text) + 3 * _GAP_PX


def _font(size: int = _FONT_SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
