"""What is fixed about the synthetic world: how hard it is, and how much of it is made.

A difficulty is one frozen preset, chosen before anything was distilled on it. Its constants come
from the physics of the two cameras (specification of the world, section 1) and from the list of
things that happen in real footage, not from what a method can or cannot do.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from tirtrack.errors import RequestError, did_you_mean

Range: TypeAlias = tuple[float, float]
Kind: TypeAlias = Literal["person", "vehicle", "quadruped", "bird", "drone", "blob"]
Split: TypeAlias = Literal["pairs", "validation", "test"]

SPLIT_CODES: dict[Split, int] = {"pairs": 1, "validation": 2, "test": 3}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WorldSettings(_Frozen):
    """One difficulty. Ranges are drawn from once per sequence; shares are probabilities.

    Attributes:
        width: width of both frames, pixels.
        height: height of both frames, pixels.
        frame_rate_hz: frame rate of both cameras.
        kind_weights: relative frequency of each kind of target.
        target_height: height of the silhouette at its usual distance, pixels, drawn log-uniformly.
        flyer_height: the same for birds and drones.
        daylight_weights: relative frequency of sun, overcast, dusk, night with lamps, dark night.
        air_kelvin: air temperature.
        clear_sky_kelvin: apparent temperature of a clear sky at the zenith.
        texture_correlation: correlation of reflectance and temperature in textures (dark is warm).
        distractor_share: sequences with others of the target's kind.
        distractor_kelvin: spread of their temperatures about the target's.
        occluder_share: sequences in which something stands in front of the target's way.
        leave_share: sequences in which the target leaves the frame and comes back.
        crossover_share: sequences with a stretch where the background has the target's temperature.
        zoom_share: sequences with a slow zoom, by at most ``zoom_most``.
        zoom_most: largest zoom.
        camera_weights: relative frequency of a static, hand-held, panning, following camera.
        netd_kelvin: noise of a TIR pixel.
        pattern_kelvin: fixed pattern and column noise of the TIR camera.
        psf_sigma: blur of the TIR optics, pixels.
        halo_strength: depth of the dark ring round hot things, share of their excess.
        halo_px: reach of the ring.
        dead_pixels: largest number of dead TIR pixels.
        sixteen_bit_share: sequences whose TIR is stored as counts.
        plateau_share: 8-bit sequences with plateau equalisation, not percentiles.
        black_hot_share: 8-bit sequences with inverted polarity.
        agc_memory: share of the last gain that is kept from frame to frame.
        rgb_noise_day: standard deviation of RGB noise by day, grey levels.
        rgb_noise_night: the same by night.
        rig_scale: size of TIR relative to RGB.
        rig_shift: largest shift of TIR against RGB, pixels.
        rig_parallax: largest further shift of near things, pixels.
        delay_frames: largest delay of the TIR camera.
        clock_offset_frames: largest time offset of the TIR camera, early or late, frames, with
            fractions.
        clock_drift: largest change of that offset, either way, frames per minute.
    """

    width: int = 320
    height: int = 256
    frame_rate_hz: float = 25.0
    kind_weights: dict[Kind, float] = {
        "person": 0.45,
        "vehicle": 0.25,
        "blob": 0.12,
        "quadruped": 0.08,
        "drone": 0.06,
        "bird": 0.04,
    }
    target_height: Range = (10.0, 110.0)
    flyer_height: Range = (6.0, 30.0)
    daylight_weights: tuple[float, float, float, float, float] = (0.25, 0.18, 0.12, 0.3, 0.15)
    air_kelvin: Range = (263.0, 308.0)
    clear_sky_kelvin: Range = (230.0, 265.0)
    texture_correlation: float = 0.2
    distractor_share: float = 0.5
    distractor_kelvin: float = 1.2
    occluder_share: float = 0.5
    leave_share: float = 0.18
    crossover_share: float = 0.15
    zoom_share: float = 0.25
    zoom_most: float = 1.3
    camera_weights: tuple[float, float, float, float] = (0.35, 0.25, 0.2, 0.2)
    netd_kelvin: Range = (0.04, 0.08)
    pattern_kelvin: Range = (0.02, 0.06)
    psf_sigma: Range = (0.7, 1.3)
    halo_strength: Range = (0.05, 0.15)
    halo_px: Range = (10.0, 30.0)
    dead_pixels: int = 4
    sixteen_bit_share: float = 0.3
    plateau_share: float = 0.4
    black_hot_share: float = 0.1
    agc_memory: Range = (0.7, 0.95)
    rgb_noise_day: Range = (1.0, 3.0)
    rgb_noise_night: Range = (4.0, 10.0)
    rig_scale: Range = (0.99, 1.01)
    rig_shift: float = 3.0
    rig_parallax: float = 2.0
    delay_frames: int = 0
    clock_offset_frames: float = 0.0
    clock_drift: float = 0.0

    @model_serializer(mode="wrap")
    def _as_before(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Settings of a world without a clock of its own are described as they always were."""
        described: dict[str, Any] = dump(self)
        for name in ("clock_offset_frames", "clock_drift"):
            if described.get(name) == 0.0:
                del described[name]
        return described


DIFFICULTIES: dict[str, WorldSettings] = {
    "standard": WorldSettings(),
    "unregistered": WorldSettings(
        rig_scale=(0.95, 1.05), rig_shift=12.0, rig_parallax=4.0, delay_frames=2
    ),
}


def difficulty(name: str) -> WorldSettings:
    """A difficulty by its name.

    Raises:
        RequestError: the name is unknown.
    """
    if name not in DIFFICULTIES:
        raise RequestError(
            f'unknown difficulty "{name}" of the synthetic world',
            fix=did_you_mean(name, DIFFICULTIES),
        )
    return DIFFICULTIES[name]


class WorldSize(_Frozen):
    """How much of a world is made.

    Attributes:
        recordings: unlabelled recordings of both modalities.
        pairs_each: frame pairs in each of them.
        spacing_frames: frame intervals from one pair to the next.
        validation: labelled sequences in both modalities.
        test: labelled TIR sequences.
        frames: length of the labelled sequences.
    """

    recordings: int
    pairs_each: int
    spacing_frames: int
    validation: int
    test: int
    frames: int


SIZES: dict[str, WorldSize] = {
    "small": WorldSize(
        recordings=3, pairs_each=4, spacing_frames=5, validation=2, test=2, frames=12
    ),
    "demo": WorldSize(
        recordings=40, pairs_each=6, spacing_frames=10, validation=8, test=40, frames=75
    ),
    "study": WorldSize(
        recordings=80, pairs_each=8, spacing_frames=8, validation=24, test=24, frames=100
    ),
}


def world_size(name: str) -> WorldSize:
    """A size by its name.

    Raises:
        RequestError: the name is unknown.
    """
    if name not in SIZES:
        raise RequestError(
            f'unknown size "{name}" of the synthetic world', fix=did_you_mean(name, SIZES)
        )
    return SIZES[name]
