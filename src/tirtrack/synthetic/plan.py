"""The plan of one sequence: everything that is drawn, before a pixel is painted.

Every part of a plan has a random stream of its own, so that replacing one part (another light,
other temperatures) leaves the rest of the sequence as it was, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tirtrack.synthetic.actors import Actor, alike, draw_look
from tirtrack.synthetic.materials import (
    DAYLIGHTS,
    Climate,
    Light,
    draw_climate,
    draw_light,
)
from tirtrack.synthetic.settings import Kind, Range, WorldSettings
from tirtrack.synthetic.shapes import KINDS, Body
from tirtrack.synthetic.textures import stream
from tirtrack.synthetic.trajectories import (
    CameraPath,
    CameraRoom,
    Track,
    camera_path,
    excursion,
    folded,
    smoothed,
    stroll,
    wander,
)

FOCAL_PX = 330.0
SNOW_KELVIN = 272.0
SHORTEST_EXCURSION = 60
"""In ticks; in a shorter sequence no target could leave and return at a usual pace."""
_CAMERA_MODES = ("static", "hand", "pan", "follow")


@dataclass(frozen=True)
class Perspective:
    """A camera at some height above a plane.

    Attributes:
        horizon_y: world row where the ground ends; may lie far above the frame.
        ref_y: row of the ground where the scale is known.
        px_per_m: scale in that row.
        camera_m: height of the camera.
    """

    horizon_y: float
    ref_y: float
    px_per_m: float
    camera_m: float

    def scale(self, y: Track | float) -> Track:
        """Pixels per metre for something that stands at row ``y``."""
        depth = (np.asarray(y, dtype=np.float64) - self.horizon_y) / (self.ref_y - self.horizon_y)
        return self.px_per_m * np.maximum(depth, 0.02)


@dataclass(frozen=True)
class Prop:
    """Something that stands still: its kind, its foot in world pixels, its size in metres."""

    kind: str
    x: float
    y: float
    size_m: float


@dataclass(frozen=True)
class Rig:
    """How TIR lies on RGB: ``x_tir = scale * (x_rgb - c) + c + shift`` about the frame's middle.

    Attributes:
        scale: scale of TIR relative to RGB.
        shift_xy: shift of TIR against RGB, pixels.
        parallax: further shift along x of things in the near layer, pixels.
        delay_ticks: delay of the TIR camera, ticks.
        offset_ticks: further time offset of TIR at the first frame, ticks; negative: early.
        drift: ticks by which that offset grows in each tick.
    """

    scale: float
    shift_xy: tuple[float, float]
    parallax: float
    delay_ticks: int
    offset_ticks: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True)
class Canvas:
    """Size of the painted layers, and the largest shift of the view from their middle."""

    width: int
    height: int
    reach_xy: tuple[float, float]

    @property
    def home_xy(self) -> tuple[float, float]:
        """The middle."""
        return self.width / 2, self.height / 2


@dataclass(frozen=True)
class ScenePlan:
    """One sequence, complete but for its pixels; ``actors[0]`` is the target.

    Attributes:
        seed: seed of all its random streams.
        settings: the difficulty.
        light: visible light.
        climate: heat.
        perspective: perspective of the ground.
        canvas: size of the painted layers, and room of the view.
        camera: path of the camera's view, tick by tick.
        actors: everything that moves.
        backdrop: props that nothing walks behind.
        occluders: props in front of an actor's path.
        crossover_x: middle and half width of a stretch where background and target have one
            temperature, world pixels; None if there is no such stretch.
        snow: whether snow lies on the ground; drawn by the air's temperature, then fixed.
        rig: geometry and delay of TIR relative to RGB.
        ticks: the moments that are rendered.
    """

    seed: tuple[int, ...]
    settings: WorldSettings
    light: Light
    climate: Climate
    perspective: Perspective
    canvas: Canvas
    camera: CameraPath
    actors: tuple[Actor, ...]
    backdrop: tuple[Prop, ...]
    occluders: tuple[Prop, ...]
    crossover_x: tuple[float, float] | None
    snow: bool
    rig: Rig
    ticks: tuple[int, ...]


def _log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    return float(np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]))))


def _target_height(rng: np.random.Generator, kind: Kind, settings: WorldSettings) -> float:
    """Height in pixels; long kinds are kept under four tenths of the frame's width."""
    facts = KINDS[kind]
    low, high = settings.flyer_height if facts.flies else settings.target_height
    widest = 0.4 * settings.width * facts.height_m[1] / facts.width_m
    return _log_uniform(rng, (low, max(low, min(high, widest))))


def _canvas(settings: WorldSettings, mode: str) -> Canvas:
    reach = {"static": (2.0, 2.0), "hand": (16.0, 12.0)}.get(mode, (130.0, 16.0))
    margin = 4.0 + settings.rig_shift + settings.rig_parallax + (0 if mode == "static" else 16)
    margin += (1 - settings.rig_scale[0]) * settings.width
    width = settings.width + 2 * (reach[0] + margin)
    return Canvas(int(width), int(settings.height + 2 * (reach[1] + margin)), reach)


def _perspective(
    rng: np.random.Generator, px_per_m: float, canvas: Canvas, settings: WorldSettings
) -> Perspective:
    """From eye level to the height of a drone; far targets need a high camera to see the ground."""
    top = (canvas.height - settings.height) / 2
    ref_y = top + settings.height * rng.uniform(0.62, 0.88)
    low = 1.5 if px_per_m > 12 else 4.0
    camera_m = _log_uniform(rng, (low, 30.0 if px_per_m < 25 else 8.0))
    horizon = min(ref_y - px_per_m * camera_m, ref_y - 40)
    return Perspective(horizon, ref_y, px_per_m, camera_m)


@dataclass(frozen=True)
class _Stage:
    """What drawing an actor needs of the rest of the plan."""

    settings: WorldSettings
    canvas: Canvas
    perspective: Perspective
    mode: str
    ticks: int

    @property
    def rows(self) -> Range:
        """World rows in which feet may stand."""
        lens = self.perspective
        top = (self.canvas.height - self.settings.height) / 2
        depth = lens.ref_y - lens.horizon_y
        low = max(lens.horizon_y + 0.6 * depth, top + 0.42 * self.settings.height)
        high = min(lens.horizon_y + 1.5 * depth, top + 0.985 * self.settings.height)
        return min(low, lens.ref_y - 2), max(high, lens.ref_y + 2)

    def columns(self, width_px: float) -> Range:
        """World columns between which a thing of this width walks."""
        half = self.settings.width / 2 - 0.55 * width_px - 3
        if self.mode in ("pan", "follow"):
            half += 0.8 * self.canvas.reach_xy[0]
        return self.canvas.home_xy[0] - half, self.canvas.home_xy[0] + half


def _headings(kind: Kind, x: Track, inside: Range) -> Track:
    """Heading ``[T]``; a vehicle in view does not turn on the spot, it reverses."""
    velocity = smoothed(np.gradient(x), 3.0)
    heading = np.empty(len(x))
    moving = np.flatnonzero(np.abs(velocity) > 0.05)
    now = float(np.sign(velocity[moving[0]])) if len(moving) else 1.0
    for tick, speed in enumerate(velocity):
        free = kind != "vehicle" or not inside[0] <= x[tick] <= inside[1]
        if free and abs(speed) > 0.05:
            now = float(np.sign(speed))
        heading[tick] = now
    return heading


def _gait(actor_kind: Kind, feet: Track, scale: Track, start: float) -> tuple[Track, Track]:
    """Phase and stride ``[T]`` from the distance covered."""
    step = np.hypot(np.gradient(feet[:, 0]), 2.5 * np.gradient(feet[:, 1])) / scale
    facts = KINDS[actor_kind]
    if facts.flies or actor_kind == "blob":
        beat = start + 0.9 * np.arange(len(feet), dtype=np.float64)
        return np.asarray(beat), np.ones(len(feet))
    stride = np.clip(smoothed(step, 3.0) / 0.035, 0.0, 1.0)
    phase: Track = start + 2 * np.pi * np.cumsum(step) / facts.cycle_m
    return phase, np.asarray(stride, dtype=np.float64)


def _actor(
    rng: np.random.Generator, kind: Kind, feet: Track, stage: _Stage, *, climate: Climate, px: float
) -> Actor:
    """An individual on a given path; ``px`` is its height where the perspective is known."""
    facts = KINDS[kind]
    body = Body(
        float(rng.uniform(*facts.height_m)), float(rng.uniform(0.85, 1.2)),
        int(rng.integers(1_000_000)), 1.0,
    )  # fmt: skip
    if facts.flies:
        near = 1 + wander(rng, len(feet), 0.25, 40)
        lift = (0.25 + 0.35 * rng.random()) * stage.settings.height + wander(rng, len(feet), 30, 25)
        scale = near * px / body.height_m
    else:
        lift, scale = np.zeros(len(feet)), stage.perspective.scale(feet[:, 1])
        scale = scale * (px / body.height_m / stage.perspective.px_per_m)
    phase, stride = _gait(kind, feet, scale, float(rng.uniform(0, 6.28)))
    across, away = np.abs(np.gradient(feet[:, 0])), 2.5 * np.abs(np.gradient(feet[:, 1]))
    facing = smoothed((across + 0.02) / (across + away + 0.03), 8.0)
    facing = np.ones(len(feet)) if kind != "person" else np.clip(facing, 0.15, 1.0)
    half = stage.settings.width / 2 + 0.4 * _width_px(kind, px)
    inside = stage.canvas.home_xy[0] - half, stage.canvas.home_xy[0] + half
    heading = _headings(kind, feet[:, 0], inside)
    look = draw_look(rng, kind, climate)
    return Actor(kind, body, look, feet, lift, scale, heading, facing, phase, stride)


def _pace(rng: np.random.Generator, kind: Kind, px_per_m: float, rate_hz: float) -> float:
    """A random speed, pixels per tick."""
    return min(float(rng.uniform(*KINDS[kind].speed)) * px_per_m / rate_hz, 9.0)


def _width_px(kind: Kind, height_px: float) -> float:
    facts = KINDS[kind]
    return height_px * facts.width_m / facts.height_m[1]


def _way(rng: np.random.Generator, kind: Kind, stage: _Stage, px: float, *, leaves: bool) -> Track:
    """Path ``[T,2]`` of the feet, beginning where the whole silhouette is in view."""
    width = _width_px(kind, px)
    rows, columns = stage.rows, stage.columns(width)
    own_scale = px / KINDS[kind].height_m[1]
    pace = _pace(rng, kind, own_scale, stage.settings.frame_rate_hz)
    middle = stage.canvas.home_xy[0]
    free = max(stage.settings.width / 2 - 0.7 * width - 8, 4.0)
    start = middle + rng.uniform(-1, 1) * free
    if leaves:
        side = float(rng.choice([-1.0, 1.0]))
        outside = middle + side * (stage.settings.width / 2 + 0.75 * width + 12)
        start = outside - side * min(max(pace * stage.ticks * 0.35, width + 40), 1.6 * free)
        x = excursion(rng, stage.ticks, start, outside)
    else:
        x = smoothed(folded(start + stroll(rng, stage.ticks, pace), *columns), 2.0)
    depth = 0.15 * (rows[1] - rows[0]) if kind == "vehicle" else 0.8 * (rows[1] - rows[0])
    reach = min(depth, pace * stage.ticks * 0.4)
    start_y = np.clip(stage.perspective.ref_y + rng.normal(0, 6), *rows)
    y = np.clip(start_y + wander(rng, stage.ticks, reach, 60), *rows)
    return np.stack([x, y], axis=1)


def _distractor_way(rng: np.random.Generator, target: Track, stage: _Stage, width: float) -> Track:
    """A path beside the target, towards and past it, or its own; never over it at the start."""
    manner = int(rng.integers(3))
    side = float(rng.choice([-1.0, 1.0]))
    if manner == 0:
        gap = side * width * rng.uniform(1.1, 1.8) + wander(rng, stage.ticks, 0.5 * width, 40)
        rise = rng.uniform(-5, 5) + wander(rng, stage.ticks, 3, 40)
        way = np.stack([target[:, 0] + gap, target[:, 1] + rise], axis=1)
    elif manner == 1:
        meet = int(stage.ticks * rng.uniform(0.3, 0.75))
        pace = max(rng.uniform(1.0, 1.8) * np.abs(np.gradient(target[:, 0])).mean(), 0.4)
        pace = max(pace, 1.6 * width / max(meet, 1))
        x = target[meet, 0] - side * pace * (np.arange(stage.ticks) - meet)
        way = np.stack([x, target[meet, 1] + rng.uniform(-7, 7) + 0 * x], axis=1)
    else:
        away = side * rng.uniform(1.5, 4.0) * width
        way = target[::-1] - target[-1] + target[0] + (away, rng.uniform(-20, 20))
    way[:, 1] = np.clip(way[:, 1], *stage.rows)
    clear = 1.15 * width - abs(way[0, 0] - target[0, 0])
    if clear > 0:
        way[:, 0] += np.sign(way[0, 0] - target[0, 0] or side) * clear
    return way


def _extras(
    seed: Sequence[int], target: Actor, stage: _Stage, climate: Climate, *, px: float
) -> list[Actor]:
    """Distractors of the target's kind, and sometimes passers-by of another."""
    rng, settings = stream(seed, "distractors"), stage.settings
    actors = []
    if rng.random() < settings.distractor_share:
        for _ in range(int(rng.integers(1, 4))):
            way = _distractor_way(rng, target.feet, stage, _width_px(target.kind, px))
            size = px * rng.uniform(0.9, 1.1)
            other = _actor(rng, target.kind, way, stage, climate=climate, px=size)
            if KINDS[target.kind].flies:
                other = replace(other, lift=target.lift + rng.uniform(-1.5, 1.5) * px)
            look = alike(rng, target.look, other.look, settings.distractor_kelvin)
            actors.append(replace(other, look=look))
    rng = stream(seed, "passers-by")
    for _ in range(int(rng.integers(0, 3))):
        kind: Kind = "person" if rng.random() < 0.65 else "vehicle"
        px_kind = stage.perspective.px_per_m * KINDS[kind].height_m[1]
        if kind == target.kind or _width_px(kind, px_kind) > 0.4 * settings.width:
            continue
        way = _way(rng, kind, stage, px_kind, leaves=False)
        near = abs(way[0, 0] - target.feet[0, 0]) < 1.2 * _width_px(kind, px_kind)
        way[:, 1] = np.minimum(way[:, 1], target.feet[:, 1].min() - 1) if near else way[:, 1]
        actors.append(_actor(rng, kind, way, stage, climate=climate, px=px_kind))
    return actors


_OCCLUDERS = ("tree", "bush", "pole", "wall", "pipe", "glass", "smoke", "parked")
_SIZES_M: dict[str, Range] = {
    "tree": (3.5, 8.0), "bush": (0.8, 1.8), "pole": (2.5, 5.0), "wall": (1.4, 2.6),
    "pipe": (0.9, 1.5), "glass": (2.0, 2.6), "smoke": (1.8, 3.5), "parked": (1.4, 2.1),
    "house": (4.0, 11.0), "lamp": (4.0, 6.5), "fence": (1.0, 1.6),
}  # fmt: skip
WIDTH_OF = {
    "tree": 0.7, "bush": 1.5, "pole": 0.08, "wall": 1.1, "pipe": 3.0, "glass": 1.1,
    "smoke": 0.7, "parked": 2.9, "house": 1.6, "lamp": 0.12, "fence": 5.0,
}  # fmt: skip
"""Width of a prop as a share of its height."""


def _occluders(seed: Sequence[int], target: Actor, stage: _Stage, px: float) -> list[Prop]:
    """Props on the target's path, a little nearer to the camera than the target."""
    rng, settings = stream(seed, "occluders"), stage.settings
    if KINDS[target.kind].flies or rng.random() > settings.occluder_share:
        return []
    props = []
    for _ in range(int(rng.integers(1, 3))):
        kind, tick = str(rng.choice(_OCCLUDERS)), int(rng.uniform(0.25, 0.85) * stage.ticks)
        foot_y = float(target.feet[tick, 1] + rng.uniform(2, 9))
        size = float(rng.uniform(*_SIZES_M[kind]))
        scale = float(stage.perspective.scale(foot_y))
        size = min(size, 1.2 * settings.height / scale)
        size = min(size, 0.45 * settings.width / (scale * WIDTH_OF[kind]))
        half = 0.5 * size * WIDTH_OF[kind] * scale + 0.65 * _width_px(target.kind, px) + 3
        x = float(target.feet[tick, 0])
        if abs(x - target.feet[0, 0]) > half:
            props.append(Prop(kind, x, foot_y, size))
    return props


def _backdrop(seed: Sequence[int], stage: _Stage) -> list[Prop]:
    """Props behind all paths, from the horizon on, far ones first."""
    rng, lens, canvas = stream(seed, "backdrop"), stage.perspective, stage.canvas
    nearest = stage.rows[0] - 2
    farthest = max(lens.horizon_y + 0.06 * (lens.ref_y - lens.horizon_y), -30.0)
    urban = rng.random() < 0.6
    kinds = (
        ("house", "house", "tree", "lamp", "parked", "fence", "bush", "wall")
        if urban
        else ("tree", "tree", "bush", "bush", "fence", "house", "lamp")
    )
    props = []
    for _ in range(int(rng.integers(5, 15))):
        kind = str(rng.choice(kinds))
        y = float(rng.uniform(farthest, max(nearest, farthest + 1)))
        size = min(float(rng.uniform(*_SIZES_M[kind])), 0.75 * canvas.height / float(lens.scale(y)))
        props.append(Prop(kind, float(rng.uniform(0, canvas.width)), y, size))
    return sorted(props, key=lambda prop: prop.y)


def _rig(seed: Sequence[int], settings: WorldSettings) -> Rig:
    rng = stream(seed, "rig")
    angle, shift = rng.uniform(0, 2 * np.pi), rng.uniform(0, settings.rig_shift)
    clock = stream(seed, "clock")
    late, drift = settings.clock_offset_frames, settings.clock_drift
    return Rig(
        float(rng.uniform(*settings.rig_scale)),
        (float(shift * np.cos(angle)), float(shift * np.sin(angle))),
        float(rng.uniform(0, settings.rig_parallax)),
        int(rng.integers(settings.delay_frames + 1)),
        float(clock.uniform(-late, late)),
        float(clock.uniform(-drift, drift)) / (60 * settings.frame_rate_hz),
    )


def _clock_margin(settings: WorldSettings, ticks: int) -> int:
    """Ticks before and after a sequence that only a TIR camera with a clock of its own may show."""
    grown = settings.clock_drift * ticks / (60 * settings.frame_rate_hz)
    return int(np.ceil(settings.clock_offset_frames + grown))


def _share(rng: np.random.Generator, names: Sequence[str], weights: Sequence[float]) -> str:
    total = np.asarray(weights, dtype=np.float64)
    return str(rng.choice(np.asarray(names), p=total / total.sum()))


def draw_plan(
    seed: Sequence[int],
    frames: int,
    *,
    spacing: int = 1,
    settings: WorldSettings | None = None,
    kind: Kind | None = None,
    daylight: str | None = None,
) -> ScenePlan:
    """A sequence of ``frames`` frames, ``spacing`` ticks of the clock apart.

    Args:
        seed: whole numbers; the same seed gives the same plan.
        frames: number of frames.
        spacing: ticks between them; a tick is a frame of the cameras' own rate.
        settings: the difficulty, ``standard`` if None.
        kind: kind of the target; drawn if None.
        daylight: one of ``materials.DAYLIGHTS``; drawn if None.
    """
    settings = settings or WorldSettings()
    rng = stream(seed, "scene")
    kinds = tuple(settings.kind_weights)
    drawn: Kind = _share(rng, kinds, tuple(settings.kind_weights.values()))  # type: ignore[assignment]
    hour = _share(rng, DAYLIGHTS, settings.daylight_weights)
    mode = _share(rng, _CAMERA_MODES, settings.camera_weights)
    leaves = bool(rng.random() < settings.leave_share)
    kind, daylight = kind or drawn, daylight or hour
    ticks = (frames - 1) * spacing + 1
    margin = _clock_margin(settings, ticks)
    ticks += 2 * margin
    leaves = leaves and ticks >= SHORTEST_EXCURSION
    mode = "static" if leaves and mode in ("pan", "follow") else mode
    zoom = float(rng.uniform(1.1, settings.zoom_most)) if rng.random() < settings.zoom_share else 1
    px = _target_height(rng, kind, settings)
    px_per_m = _log_uniform(rng, (8, 30)) if KINDS[kind].flies else px / KINDS[kind].height_m[1]

    canvas = _canvas(settings, mode)
    lens = _perspective(stream(seed, "lens"), px_per_m, canvas, settings)
    stage = _Stage(settings, canvas, lens, mode, max(ticks, 2))
    climate = draw_climate(seed, settings, daylight)
    way = _way(stream(seed, "way"), kind, stage, px, leaves=leaves)
    target = _actor(stream(seed, "target"), kind, way, stage, climate=climate, px=px)
    room = CameraRoom(canvas.home_xy, canvas.reach_xy)
    camera = camera_path(stream(seed, "camera"), mode, room, target=way, zoom=zoom)
    return ScenePlan(
        seed=tuple(int(value) for value in seed),
        settings=settings,
        light=draw_light(seed, daylight),
        climate=climate,
        perspective=lens,
        canvas=canvas,
        camera=camera,
        actors=(target, *_extras(seed, target, stage, climate, px=px)),
        backdrop=tuple(_backdrop(seed, stage)),
        occluders=tuple(_occluders(seed, target, stage, px)),
        crossover_x=_crossover(seed, target, settings, _width_px(kind, px)),
        snow=bool(climate.air_kelvin < SNOW_KELVIN and stream(seed, "snow").random() < 0.5),
        rig=_rig(seed, settings),
        ticks=tuple(range(margin, ticks - margin, spacing)),
    )


def _crossover(
    seed: Sequence[int], target: Actor, settings: WorldSettings, width: float
) -> tuple[float, float] | None:
    rng = stream(seed, "crossover")
    if rng.random() >= settings.crossover_share:
        return None
    tick = int(rng.uniform(0.35, 0.75) * len(target.feet))
    return float(target.feet[tick, 0]), float(width * rng.uniform(0.8, 1.5) + 15)
