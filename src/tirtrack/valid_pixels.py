"""Which pixels of a thermal frame are measurements, and which are none.

Not measured are: numbers that are not finite or beyond any sensor; a fill value that a camera, a
warp or a converter left; rows of telemetry; dead rows and columns. A fill value lies apart from
the scene by more than the scene's own range and meets it in a sharp cut, as no optics would draw
it, and it is one of the values that software leaves. A cold sky that is clipped to a constant is a
measurement: its value is the lower end of the scene's range or the camera's, not a customary one.
What these rules cannot know is not masked; the user can name it.

8-bit frames are masked only by a value that is given. One frame is judged by itself. Begin with
:func:`valid_mask`.
"""

from __future__ import annotations

import math

import numpy as np

from tirtrack.read_options import NoData

LARGEST = 1e15  # no sensor counts so far; squares of it still fit float32

# Customary fill values, wherever they lie in a frame of floats.
SENTINELS = (
    -999.0, -9999.0, -10000.0, -99999.0, -999999.0, -32767.0, -32768.0, -273.15, -459.67,
    9999.0, 99999.0, 999999.0, -2147483648.0, 2147483647.0, 4294967295.0,
)  # fmt: skip
# Values that fill the border of frames of counts, some of them negative ones that wrapped round.
COUNT_FILLS = (0, 65535, 32768, 55537)
LOW_FILLS = (0.0, -1.0)  # of floats; inside the frame too, where converters put them for NaN
FLOAT_FILLS = (*LOW_FILLS, 32767.0, 65535.0)
BELOW_ALL_TEMPERATURES = -273.0  # in Celsius, the unit in which numbers are lowest
MIN_GAP_COUNTS = 256.0  # between a fill value and the scene
MIN_GAP_FLOAT = 150.0  # kelvin, if the frame holds temperatures
MIN_SCENE_SHARE = 0.25  # of the pixels, beside those of a fill value; a black frame is no fill
MIN_SCENE_SHARE_SENTINEL = 0.01  # beside a sentinel, which is in no doubt
MIN_RING_SHARE = 0.01  # of the outermost pixels that a border fill covers
MIN_DOUBTFUL_SHARE = 0.02  # of the frame, and of its outermost pixels
OUTSIDE = 0.25  # of the scene's range; beyond that, next to a fill, a pixel is a blend with it
BLEND_PX = 2  # reach of an interpolation
MAX_BLURRED = 0.4  # share of the pixels beyond that reach that still lie between fill and scene
MAX_TELEMETRY_ROWS = 4
MAX_DEAD_LINES = 3  # side by side
MAX_ALIKE = 0.1  # share of a living line that has the value of the dead one beside it
_SCENE_SAMPLES = 2048
_SHORTEST_LINE = 8  # pixels; shorter ones may be constant by chance
_MOST_FILLS = 4


def valid_mask(frame: np.ndarray, no_data: NoData | None = None) -> np.ndarray | None:
    """Which pixels are measurements: ``[H,W]`` bool, or ``None`` if all of them are.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``, uint8, uint16 or float.
        no_data: a value that marks pixels without a measurement, as the file declares it or the
            user names it; in colour all channels have it. ``none``: every number is a measurement,
            so that nothing is masked but NaN, infinities and what is beyond any sensor.

    >>> celsius = np.full((4, 5), 21.0)
    >>> celsius[0] = np.nan
    >>> valid_mask(celsius).sum(), valid_mask(celsius[1:])
    (np.int64(15), None)
    """
    if frame.dtype == np.float16:  # cannot hold all that it is compared with
        frame = frame.astype(np.float32)
    if no_data == "none":
        return _inverse(_no_numbers(frame))
    named = None if no_data is None else _equal(frame, no_data)
    if frame.dtype == np.uint8:
        return _inverse(named)
    masked = _either(named, _no_numbers(frame))
    planes = [frame] if frame.ndim == 2 else [frame[..., k] for k in range(frame.shape[2])]
    found: np.ndarray | None = _unmeasured(planes[0], masked)
    for plane in planes[1:]:
        other = None if found is None else _unmeasured(plane, masked)
        found = None if found is None or other is None else found & other
    return _inverse(_either(masked, found))


def filled(frame: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The frame with the mean of its measured pixels in place of the others.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``; only read.
        valid: ``[H,W]``.

    Returns:
        The same shape and type; 0 where nothing was measured.
    """
    measured = frame[valid]
    if not measured.size:
        return np.zeros_like(frame)
    mean = measured.mean(axis=0, dtype=np.float64)
    level = np.asarray(np.rint(mean) if frame.dtype.kind == "u" else mean).astype(frame.dtype)
    return np.where(valid if frame.ndim == 2 else valid[..., None], frame, level)


def extended(frame: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The frame with the nearest measured pixel in place of each other one, so that no edge lies
    between them; 0 where nothing was measured.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``; only read.
        valid: ``[H,W]``.
    """
    from scipy import ndimage

    if not valid.any():
        return np.zeros_like(frame)
    rows, columns = ndimage.distance_transform_edt(
        ~valid, return_distances=False, return_indices=True
    )
    return np.asarray(frame[rows, columns])


def marked(frame: np.ndarray, no_data: float | None) -> np.ndarray:
    """The frame, marked so that :func:`valid_mask` finds its mask without a given value, also after
    resampling: floats with NaN in the pixels that are no measurement. 8 bits and colour, which have
    no such mark, get the nearest measured pixel there. Unchanged if all pixels are measurements.

    Args:
        frame: ``[H,W]`` or ``[H,W,C]``; only read.
        no_data: value without a measurement, as for :func:`valid_mask`.
    """
    valid = valid_mask(frame, no_data)
    if valid is None:
        return frame
    if frame.ndim == 3 or frame.dtype == np.uint8:
        return extended(frame, valid)
    kind = np.float64 if frame.dtype == np.float64 else np.float32
    return np.where(valid, frame.astype(kind), kind(np.nan))


def masked_value(frame: np.ndarray, valid: np.ndarray) -> float | None:
    """The value of most pixels that are no measurement: NaN for those that are not finite;
    ``None`` if they have no value in common, as telemetry has none.
    """
    values = frame[~valid].astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    if 2 * finite.size < values.size:
        return math.nan
    found, counts = np.unique(finite, return_counts=True)
    return float(found[counts.argmax()]) if 2 * counts.max() > values.size else None


def masked_note(frame: np.ndarray, valid: np.ndarray) -> str:
    """The masked pixels of a frame, with their share, as a clause.

    >>> counts = np.array([[0, 7000, 7010, 7020]], np.uint16)
    >>> masked_note(counts, counts > 0)
    '25 % of the pixels hold no measurement (value 0)'
    """
    value = masked_value(frame, valid)
    of = "telemetry or dead lines" if value is None else f"value {value:g}"
    return f"{share_text(1.0 - float(valid.mean()))} of the pixels hold no measurement ({of})"


def doubtful_value(frame: np.ndarray, valid: np.ndarray | None) -> tuple[float, float] | None:
    """A value that may be a fill or a clipped measurement, which only the user can know: the lowest
    or highest one, of many pixels at the border, or anywhere if it is an end of the range of
    counts; with its share of the frame.

    Args:
        frame: ``[H,W]``, as stored; 8 bits and colour are never in doubt.
        valid: mask of the frame; masked pixels are not in doubt either.

    >>> celsius = np.arange(300.0).reshape(15, 20)
    >>> celsius[:5] = -40.0
    >>> value, share = doubtful_value(celsius, None)
    >>> value, round(share, 2)
    (-40.0, 0.33)
    """
    if frame.ndim == 3 or frame.dtype == np.uint8:
        return None
    measured = frame if valid is None else frame[valid]
    if not measured.size:
        return None
    for value in (measured.min(), measured.max()):
        at = frame == value
        share = float(at.mean())
        if not MIN_DOUBTFUL_SHARE <= share < 1.0:
            continue
        is_end = frame.dtype == np.uint16 and value in (0, np.iinfo(np.uint16).max)
        if not is_end and _ring(at).mean() < MIN_DOUBTFUL_SHARE:
            continue
        inner = ~_grown(~at, 1)  # few pixels, if it is coarsely rounded noise
        if 2 * inner.sum() >= at.sum():
            return float(value), share
    return None


def share_text(share: float) -> str:
    """A share in percent; a small one keeps a digit.

    >>> share_text(0.104), share_text(0.0042), share_text(0.0001)
    ('10 %', '0.4 %', 'under 0.1 %')
    """
    if share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0095 else f"{100 * share:.1f} %"


def _either(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    if one is None or other is None:
        return one if other is None else other
    return np.asarray(one | other)


def _inverse(masked: np.ndarray | None) -> np.ndarray | None:
    return None if masked is None or not masked.any() else np.asarray(~masked)


def _equal(frame: np.ndarray, value: float) -> np.ndarray | None:
    """Where all channels have a value, as exactly as the frame can hold it."""
    if not math.isfinite(value) or abs(value) > LARGEST:
        return None  # masked without being named
    equal = np.asarray(frame == value)
    return equal if frame.ndim == 2 else np.asarray(equal.all(axis=2))


def _no_numbers(frame: np.ndarray) -> np.ndarray | None:
    """Where a channel is not finite, or beyond any sensor."""
    if frame.dtype.kind != "f" or (frame.min() >= -LARGEST and frame.max() <= LARGEST):
        return None
    with np.errstate(invalid="ignore"):
        no_number = np.asarray(~(np.abs(frame) <= LARGEST))
    return no_number if frame.ndim == 2 else np.asarray(no_number.any(axis=2))


# --- what is detected -----------------------------------------------------------------------------


def _unmeasured(plane: np.ndarray, masked: np.ndarray | None) -> np.ndarray | None:
    """Fills, telemetry and dead lines of one channel, beside what is masked already."""
    lines = _telemetry(plane, masked)
    fills = _fills(plane, _either(masked, lines))
    if lines is None and fills is not None:  # a fill of half the frame hides what the scene is
        lines = _telemetry(plane, _either(masked, fills))
    return _either(_either(lines, fills), _dead_lines(plane))


def _fills(plane: np.ndarray, masked: np.ndarray | None) -> np.ndarray | None:
    found: np.ndarray | None = None
    for _ in range(_MOST_FILLS):
        known = _either(masked, found)
        inside = plane if known is None else plane[~known]
        if not inside.size:
            break
        ends = (float(inside.min()), float(inside.max()))
        more = next((one for end in ends if (one := _fill(plane, end, known)) is not None), None)
        if more is None:
            break
        found = _either(found, more)
    return found


def _fill(plane: np.ndarray, value: float, masked: np.ndarray | None) -> np.ndarray | None:
    """Where a value at an end of the frame's range fills it, with the pixels that were blended with
    it; ``None`` if it is a measurement.
    """
    is_sentinel = plane.dtype.kind == "f" and any(math.isclose(value, s, rel_tol=1e-6)
                                                  for s in SENTINELS)  # fmt: skip
    if not is_sentinel and not _may_fill(plane, value):
        return None
    at = plane == plane.dtype.type(value)
    least = MIN_SCENE_SHARE_SENTINEL if is_sentinel else MIN_SCENE_SHARE
    scene = _scene(plane, at if masked is None else at | masked, least)
    if scene is None:
        return None
    low, high = scene
    gap = low - value if value < low else value - high
    if gap < max(high - low, _least_gap(plane, value)):
        return None
    edge = low - OUTSIDE * (high - low) if value < low else high + OUTSIDE * (high - low)
    between = (plane < edge) if value < low else (plane > edge)
    near = _grown(at, BLEND_PX)
    is_low_float = plane.dtype.kind == "f" and value in LOW_FILLS
    if not is_sentinel and not _ends_sharply(near, between):
        return None
    if not (is_sentinel or is_low_float) and _ring(at).mean() < MIN_RING_SHARE:
        return None
    return _with_blends(at, near & between, between)


def _may_fill(plane: np.ndarray, value: float) -> bool:
    if plane.dtype.kind == "u":
        return value in COUNT_FILLS
    return value in FLOAT_FILLS or value < BELOW_ALL_TEMPERATURES


def _least_gap(plane: np.ndarray, value: float) -> float:
    if plane.dtype.kind == "u":
        return MIN_GAP_COUNTS
    return MIN_GAP_FLOAT if value in FLOAT_FILLS else 0.0


def _scene(
    plane: np.ndarray, masked: np.ndarray | None, least: float = MIN_SCENE_SHARE
) -> tuple[float, float] | None:
    """2nd and 98th percentile of what is not masked; ``None`` if its share is below ``least``."""
    step = max(1, math.isqrt(plane.size // _SCENE_SAMPLES))
    samples = plane[step // 2 :: step, step // 2 :: step]
    if masked is not None:
        kept = samples[~masked[step // 2 :: step, step // 2 :: step]]
        if kept.size < max(least * samples.size, 1):
            return None
        samples = kept
    low, high = np.percentile(samples, [2, 98])
    return float(low), float(high)


def _ends_sharply(near: np.ndarray, between: np.ndarray) -> bool:
    """Whether a fill ends in a cut that no optics would draw."""
    beyond = _grown(near, BLEND_PX) & ~near
    return not beyond.any() or float(between[beyond].mean()) <= MAX_BLURRED


def _with_blends(at: np.ndarray, near: np.ndarray, between: np.ndarray) -> np.ndarray:
    """A fill with the pixels that were blended with it: those beside it, and those along the border
    of the frame where the rest of it lies outside.
    """
    from scipy import ndimage

    blends = at | near
    for side in (np.s_[:BLEND_PX], np.s_[-BLEND_PX:], np.s_[:, :BLEND_PX], np.s_[:, -BLEND_PX:]):
        blends[side] |= between[side]
    labels, _ = ndimage.label(blends, structure=np.ones((3, 3)))
    of_fill = np.zeros(labels.max() + 1, bool)
    of_fill[labels[at]] = True
    of_fill[0] = False
    return np.asarray(of_fill[labels])


def _ring(plane: np.ndarray) -> np.ndarray:
    """The outermost pixels, in no order."""
    return np.concatenate([plane[0], plane[-1], plane[1:-1, 0], plane[1:-1, -1]])


def _grown(mask: np.ndarray, px: int) -> np.ndarray:
    """A mask and what lies within ``px`` steps of it."""
    for _ in range(px):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:-1] |= mask[1:]
        grown[:, 1:] |= mask[:, :-1]
        grown[:, :-1] |= mask[:, 1:]
        mask = grown
    return mask


def _telemetry(plane: np.ndarray, masked: np.ndarray | None) -> np.ndarray | None:
    """The first or last rows where numbers that are no picture stand; or columns, of a camera that
    is mounted on its side.

    Boson writes two rows (640x514, 320x258), Lepton 2 three (80x63), Lepton 3 two, as 160x122 or
    in place of the first or last two of 160x120; so the size does not tell. Their numbers lie
    outside the scene's range and jump from pixel to pixel by more than all of it.
    """
    if min(plane.shape) < 8 * MAX_TELEMETRY_ROWS:
        return None
    edge = MAX_TELEMETRY_ROWS
    sample = plane[edge:-edge:16, edge:-edge:8]
    low, high = float(np.min(sample)), float(np.max(sample))
    room = max(high - low, 1e-6 * abs(high))
    for turned in (plane, plane.T):
        outermost = turned[:: len(turned) - 1]
        if masked is None and outermost.min() >= low - room and outermost.max() <= high + room:
            continue
        scene = _scene(plane, masked)
        found = None if scene is None else _outer_telemetry(turned, scene)
        if found is not None:
            return found if turned is plane else found.T
    return None


def _outer_telemetry(plane: np.ndarray, scene: tuple[float, float]) -> np.ndarray | None:
    """``[H,W]``: the first or last rows that are telemetry."""
    found = np.zeros(plane.shape, bool)
    for rows in (slice(None), slice(None, None, -1)):
        count = _telemetry_rows(plane[rows][: 2 * MAX_TELEMETRY_ROWS], scene)
        found[rows][:count] = True
    return found if found.any() else None


def _telemetry_rows(rows: np.ndarray, scene: tuple[float, float]) -> int:
    """How many rows, from the first on, are telemetry."""
    low, high = scene
    room = high - low
    with np.errstate(invalid="ignore"):
        values = rows.astype(np.float64)
        is_outside = ~((values >= low - room) & (values <= high + room))
    strange = is_outside.mean(axis=1) > 0.5
    count = int(strange.argmin()) if not strange.all() else len(strange)
    if not 0 < count <= MAX_TELEMETRY_ROWS or is_outside[count].mean() > 0.1:
        return 0
    with np.errstate(invalid="ignore"):
        jumps = np.abs(np.diff(values[:count], axis=1)) > max(room, 1e-9)
    return count if jumps.sum() >= 2 else 0


def _dead_lines(plane: np.ndarray) -> np.ndarray | None:
    """Rows and columns of one value all along, between others that are not."""
    rows, columns = _dead_rows(plane), _dead_rows(plane.T)
    if rows is None and columns is None:
        return None
    dead = np.zeros(plane.shape, bool)
    if rows is not None:
        dead[rows] = True
    if columns is not None:
        dead[:, columns] = True
    return dead


def _dead_rows(plane: np.ndarray) -> np.ndarray | None:
    """``[H]``: up to three constant rows whose neighbours vary, and seldom have their value."""
    height, width = plane.shape
    if width < _SHORTEST_LINE:
        return None
    perhaps = np.flatnonzero(plane[:, width // 3] == plane[:, 2 * width // 3])
    if perhaps.size:
        perhaps = perhaps[(plane[perhaps] == plane[perhaps, :1]).all(axis=1)]
    if not perhaps.size:
        return None
    constant = np.zeros(height, bool)
    constant[perhaps] = True
    dead = np.zeros(height, bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], constant, [False]]).astype(np.int8)))
    for start, stop in edges.reshape(-1, 2):
        neighbours = [row for row in (start - 1, stop) if 0 <= row < height]
        longest = MAX_DEAD_LINES if len(neighbours) == 2 else 1
        alike = [float((plane[row] == plane[start, 0]).mean()) for row in neighbours]
        if stop - start <= longest and alike and max(alike) < MAX_ALIKE:
            dead[start:stop] = True
    return dead if dead.any() else None
