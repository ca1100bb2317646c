"""The map from RGB to TIR pixels of two cameras that are fixed together, the time offset between
them, and their file.

One map holds for one depth: what parallax moves stays as a residual. ``rig_search`` finds a map,
``registering`` does so for whole recordings, ``one_grid`` applies it. ``time_offset`` finds a time
offset, ``stems`` applies it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from tirtrack.errors import PairsError
from tirtrack.files import fingerprint
from tirtrack.stored import Stored, first_fault, write_stored

MIN_SCORE = 0.4
MAX_BYTES = 2**24
_MAKE_ANEW = "make it anew with `tirtrack pairs register`"

Finite = Annotated[float, Field(allow_inf_nan=False)]
Row = tuple[Finite, Finite, Finite]
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class PairResidual(Stored):
    """What remains between the modalities of one pair after registration.

    Attributes:
        pair: key of the pair.
        px: median over the parts of the picture with outlines in both, RGB pixels; ``None`` where
            too few parts have any.
    """

    pair: str
    px: float | None


class TimeOffset(Stored):
    """How late TIR is: TIR frame ``k + frames + drift_per_1000 * k / 1000`` belongs to RGB frame
    ``k``, counted from the first pair of a recording.

    Attributes:
        frames: offset at the first pair, frames, with fractions; negative: TIR comes early.
        drift_per_1000: frames by which it grows in 1000; 0 where no growth is clear.
        error_frames: expected error of the offset in the middle of what was measured, frames.
        drift_error_per_1000: that of the drift; ``None`` where nothing can be said of a drift.
        measures: number of measures that agree on it; 0 for a delay that was given, not measured.
    """

    frames: Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
    drift_per_1000: Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)] = 0.0
    error_frames: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    drift_error_per_1000: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    measures: Annotated[int, Field(ge=0)] = 0

    def whole_frames(self, position: int) -> int:
        """The offset at a pair, in whole frames.

        >>> [TimeOffset(frames=-1.4, drift_per_1000=2.0).whole_frames(k) for k in (0, 400, 500)]
        [-1, -1, 0]
        """
        return round(self.frames + self.drift_per_1000 * position / 1000)

    def beyond(self, delay_frames: int) -> TimeOffset:
        """The offset of frames as they were recorded, of one that was measured on pairs whose TIR
        was taken ``delay_frames`` later.

        >>> TimeOffset(frames=-1.5, drift_per_1000=2.0).beyond(-500).frames  # pair 0 is frame 500
        -502.5
        """
        left_out = max(-delay_frames, 0)  # RGB frames before the first pair
        frames = self.frames + delay_frames - self.drift_per_1000 * left_out / 1000
        return self.model_copy(update={"frames": round(frames, 3)})

    def moves(self, count: int) -> bool:
        """Whether it takes another TIR frame for any of ``count`` pairs."""
        return any(self.whole_frames(position) for position in (0, max(count - 1, 0)))

    def as_applied(self) -> str:
        """How many frames later it takes TIR, a phrase."""
        drift = f", {later(self.drift_per_1000)} after each 1000" if self.drift_per_1000 else ""
        return f"{later(self.frames)}{drift}"

    def in_words(self) -> str:
        """The offset and its drift with their errors, a phrase."""
        late = "late" if self.frames >= 0 else "early"
        source = f"error {self.error_frames:.2f}" if self.measures else "as given"
        said = f"TIR {abs(self.frames):.1f} frames {late} ({source})"
        if self.drift_per_1000:
            said += f", {self.drift_per_1000:+.2f} later after each 1000"
        elif self.drift_error_per_1000 is not None:
            said += ", no clear drift"
        if self.drift_error_per_1000 is not None:
            said += f" (error {self.drift_error_per_1000:.2f} in 1000)"
        return said


class Rig(Stored):
    """Where each RGB pixel lies in TIR, and how late TIR is.

    Attributes:
        format: version of the format.
        rgb_wh: width and height of RGB, pixels.
        tir_wh: the same of TIR as stored.
        tir_from_rgb: ``[3,3]`` homography of continuous pixels (the pixel of column ``j`` covers
            ``[j, j+1)``), from RGB to TIR.
        radial: after the homography a point moves away from the centre of TIR by the factor
            ``1 + radial * r**2``, ``r`` counted in half diagonals of TIR; 0 where the
            pairs do not show one.
        score: share of the parts of the picture that agree with the map within 2.5 pixels at 640 px
            width, weighted by how clearly they do, with ten parts more that do not; less where
            fewer than a fifth of all parts agree.
        residual_px: median of ``residuals``, RGB pixels; ``None`` if there is none.
        residuals: residual of each pair that was used.
        time: time offset of TIR, a delay included that was given when it was measured; ``None``
            where none was given and none could be told.
    """

    format: Literal[1] = 1
    rgb_wh: Size
    tir_wh: Size
    tir_from_rgb: tuple[Row, Row, Row]
    radial: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0
    score: Annotated[float, Field(ge=0, le=1)] = 1.0
    residual_px: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    residuals: tuple[PairResidual, ...] = ()
    time: TimeOffset | None = None

    @model_validator(mode="after")
    def _keeps_sides(self) -> Rig:
        """Refuse a map that folds or mirrors the picture, or sends a part of it to infinity."""
        width, height = self.rgb_wh
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], float)
        matrix = np.array(self.tir_from_rgb)
        depth = corners @ matrix[2, :2] + matrix[2, 2]
        if depth.min() <= 0 or np.linalg.det(matrix) <= 0:
            raise ValueError("tir_from_rgb folds or mirrors the picture")
        return self

    @property
    def is_trusted(self) -> bool:
        """Whether the score allows the map to be used."""
        return self.score >= MIN_SCORE

    def places(self, points_rgb: np.ndarray) -> np.ndarray:
        """Where points ``[...,2]`` (x, y) of RGB lie in TIR: ``[...,2]`` float64."""
        matrix = np.array(self.tir_from_rgb)
        mapped = points_rgb @ matrix[:2, :2].T + matrix[:2, 2]
        depth = points_rgb @ matrix[2, :2] + matrix[2, 2]
        places: np.ndarray = mapped / depth[..., None]
        if self.radial:
            middle = np.array(self.tir_wh) / 2
            out = places - middle
            square = (out**2).sum(axis=-1, keepdims=True) / (middle**2).sum()
            places = middle + out * (1 + self.radial * square)
        return places

    @property
    def offset_px(self) -> float:
        """Mean distance by which the map moves TIR that was stretched onto RGB, RGB pixels."""
        return float(np.linalg.norm(self._moved(), axis=1).mean())

    def _moved(self) -> np.ndarray:
        """``[n,2]``: where TIR that was stretched onto RGB lies, minus where it belongs."""
        width, height = self.rgb_wh
        x, y = np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 7))
        points = np.stack([x, y], axis=-1).reshape(-1, 2)
        stretch = np.array(self.rgb_wh) / np.array(self.tir_wh)
        return np.asarray(self.places(points) * stretch - points)

    @property
    def identity(self) -> str:
        """A short hash of the map, and of the time offset, if there is one."""
        decides: set[str] = {"rgb_wh", "tir_wh", "tir_from_rgb", "radial"}
        time = () if self.time is None else (self.time.frames, self.time.drift_per_1000)
        content = self.model_dump(include=decides, mode="json")
        return fingerprint({**content, "time": time} if time else content)

    def in_words(self) -> str:
        """The map and how good it is, a phrase."""
        x, y = -np.median(self._moved(), axis=0)
        residual = "" if self.residual_px is None else f", residual {self.residual_px:.1f} px"
        time = "" if self.time is None else f"; {self.time.in_words()}"
        return (
            f"TIR moved by {self.offset_px:.1f} px (in the middle {x:+.1f} right, {y:+.1f} down)"
            f"{residual}, score {self.score:.2f}{time}"
        )

    def check_paired(self, recording: str, pairs: int, *, is_video: bool) -> None:
        """Refuse a recording whose frames are paired already, but not by this rig's time offset.

        Raises:
            PairsError: other frames belong together.
        """
        if is_video and self.time is not None and self.time.moves(pairs):
            raise PairsError(
                "its frames are paired already, and this rig would have TIR taken "
                f"{self.time.as_applied()}",
                recording,
                "give the rig where the pairs are opened from folders, or mine them again with it",
            )

    def check_sizes(
        self, shape_rgb: tuple[int, ...], shape_tir: tuple[int, ...], where: str
    ) -> None:
        """Refuse pictures of other sizes.

        Raises:
            PairsError: RGB ``[H,W,...]`` or TIR ``[H',W']`` is no picture of this rig.
        """
        rgb_wh, tir_wh = (shape_rgb[1], shape_rgb[0]), (shape_tir[1], shape_tir[0])
        if (rgb_wh, tir_wh) != (self.rgb_wh, self.tir_wh):
            raise PairsError(
                f"RGB is {_grid(rgb_wh)} and TIR {_grid(tir_wh)}, the rig has RGB "
                f"{_grid(self.rgb_wh)} and TIR {_grid(self.tir_wh)}",
                where,
                "register these pairs: `tirtrack pairs register`",
            )


def later(frames: float) -> str:
    """A number of frames, a phrase.

    >>> later(-7), later(1), later(2.3)
    ('7 frames earlier', '1 frame later', '2.3 frames later')
    """
    unit = "frame" if abs(frames) == 1 else "frames"
    return f"{abs(frames):.4g} {unit} {'later' if frames >= 0 else 'earlier'}"


def _grid(size_wh: tuple[int, int]) -> str:
    return f"{size_wh[0]}x{size_wh[1]}"


def stretched(rgb_wh: tuple[int, int], tir_wh: tuple[int, int]) -> Rig:
    """The rig whose cameras have one field of view."""
    x, y = tir_wh[0] / rgb_wh[0], tir_wh[1] / rgb_wh[1]
    return Rig(
        rgb_wh=rgb_wh, tir_wh=tir_wh, tir_from_rgb=((x, 0.0, 0.0), (0.0, y, 0.0), (0.0, 0.0, 1.0))
    )


@lru_cache(maxsize=4)
def grid_places(rig: Rig) -> np.ndarray:
    """Where the centres of the RGB pixels lie in TIR: ``[H,W,2]`` (x, y) float32, read-only."""
    width, height = rig.rgb_wh
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    places = rig.places(np.stack([x, y], axis=-1)).astype(np.float32)
    places.setflags(write=False)
    return places


def write_rig(file: Path, rig: Rig) -> None:
    """Write a rig, whole or not at all.

    Raises:
        StorageError: it could not be written.
    """
    write_stored(file, rig)


def read_rig(file: Path) -> Rig:
    """A rig from its file.

    Raises:
        PairsError: the file is missing, damaged, or its score says not to trust it.
    """
    if not file.is_file():
        raise PairsError("there is no such file", file, "check the path after --rig")
    try:
        if file.stat().st_size > MAX_BYTES:
            raise PairsError(f"a rig of {file.stat().st_size} bytes is no rig", file, _MAKE_ANEW)
        rig = Rig.model_validate_json(file.read_bytes())
    except OSError as error:
        raise PairsError(f"could not be read ({error.strerror})", file, _MAKE_ANEW) from error
    except ValidationError as error:
        raise PairsError(f"is no rig ({first_fault(error)})", file, _MAKE_ANEW) from error
    if not rig.is_trusted:
        raise PairsError(
            f"its score is {rig.score:.2f}, a rig that can be trusted has {MIN_SCORE:g}",
            file,
            _MAKE_ANEW,
        )
    return rig
