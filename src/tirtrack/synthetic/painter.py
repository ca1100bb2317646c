"""Draws one modality of a plan: resampled layers, with actors and props drawn on top.

The same outline is drawn in both modalities, each on its own pixel grid. The box of the target is
the extent of the outline as it was drawn, so it is exact by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from tirtrack.synthetic.actors import Actor
from tirtrack.synthetic.backdrop import Layer, Stage
from tirtrack.synthetic.materials import encoded
from tirtrack.synthetic.outlines import NO_BOX, Outline, raster, whole_extent
from tirtrack.synthetic.outlines import pooled as pooled_over
from tirtrack.synthetic.plan import ScenePlan
from tirtrack.synthetic.shapes import SHAPES, Part, Points
from tirtrack.synthetic.textures import stream

Array = NDArray[np.float32]
_TILE = 48
_LIGHT_PER_GRAIN = 0.45
"""Relative change of grey levels for a relative change of reflectance (gamma 2.2)."""


@dataclass(frozen=True)
class LayerView:
    """Which part of the world a frame shows: ``frame = (world - (x0, y0)) * scale``."""

    x0: float
    y0: float
    scale: float


def views(plan: ScenePlan, tick: int, *, tir: bool) -> tuple[LayerView, LayerView]:
    """What a frame shows of the far and of the near layer at a tick."""
    settings, rig = plan.settings, plan.rig
    shift_x, shift_y = rig.shift_xy if tir else (0.0, 0.0)
    scale = float(plan.camera.zoom[tick]) * (rig.scale if tir else 1.0)
    center_x, center_y = (float(value) for value in plan.camera.center_xy[tick])
    half_width, half_height = settings.width / 2, settings.height / 2
    y0 = center_y - (half_height + shift_y) / scale
    far = LayerView(center_x - (half_width + shift_x) / scale, y0, scale)
    parallax = rig.parallax if tir else 0.0
    near_x0 = far.x0 + float(plan.camera.sway[tick]) - parallax / scale
    return far, LayerView(near_x0, y0, scale)


@dataclass(frozen=True)
class Sighting:
    """What one frame of one modality shows of the target.

    Attributes:
        box: ``[4]`` extent of the silhouette inside the frame, 0-based; NaN when absent.
        extent: ``[4]`` extent of the whole silhouette, also outside the frame.
        visible: ``[4]`` extent of the part that is not hidden; NaN when all is hidden.
        occluded: hidden share of the silhouette inside the frame; 1 when absent.
        difference: target minus what is behind it, means over the silhouette: kelvin in TIR, grey
            levels in RGB; NaN when absent.
        clutter: deviation of what is behind it, same unit; NaN when absent.
        distractor_near: whether another of its kind is nearer to the target than the target's size.
    """

    box: NDArray[np.float64]
    extent: NDArray[np.float64]
    visible: NDArray[np.float64]
    occluded: float
    difference: float
    clutter: float
    distractor_near: bool

    @property
    def absent(self) -> bool:
        """Whether nothing of the silhouette lies in the frame."""
        return bool(np.isnan(self.box[0]))

    @property
    def inside_share(self) -> float:
        """Area of the box inside the frame as a share of the whole silhouette's; 0 when absent."""
        whole = self.extent[2] * self.extent[3]
        return 0.0 if self.absent else float(self.box[2] * self.box[3] / whole)


class _Showing:
    """The target while a frame is drawn: how much of each of its pixels still shows."""

    def __init__(
        self, outline: Outline, coverage: Array, difference: float, clutter: float
    ) -> None:
        self.outline, self.coverage = outline, coverage
        self.difference, self.clutter = difference, clutter
        self.clear = np.ones_like(coverage)

    def hide(self, left: int, top: int, cover: Array) -> None:
        """Note something drawn in front: ``cover [h,w]`` with its corner at (left, top)."""
        own = self.outline
        y0, x0 = max(top, own.top), max(left, own.left)
        y1 = min(top + cover.shape[0], own.top + self.clear.shape[0])
        x1 = min(left + cover.shape[1], own.left + self.clear.shape[1])
        if y0 < y1 and x0 < x1:
            part = cover[y0 - top : y1 - top, x0 - left : x1 - left]
            self.clear[y0 - own.top : y1 - own.top, x0 - own.left : x1 - own.left] *= 1 - part

    def occluded(self) -> float:
        """Share of the silhouette that is hidden."""
        return float(1 - (self.clear * self.coverage).sum() / self.coverage.sum())

    def visible(self) -> NDArray[np.float64]:
        """Extent of the part that is not hidden."""
        fine = self.outline.fineness
        clear = np.repeat(np.repeat(self.clear > 0.5, fine, axis=0), fine, axis=1)
        return self.outline.extent_of((self.outline.index > 0) & clear)


@dataclass(frozen=True)
class _Pose:
    """An actor at a tick: its parts, their corners in the frame, its extent, foot, scale, speed."""

    parts: list[Part]
    corners: list[Points]
    extent: NDArray[np.float64]
    foot_xy: tuple[float, float]
    scale: float
    speed_x: float


def _resampled(plane: Image.Image, view: LayerView, width: int, rows: int) -> Array:
    box = (view.x0, view.y0, view.x0 + width / view.scale, view.y0 + rows / view.scale)
    return np.asarray(plane.resize((width, rows), Image.Resampling.BILINEAR, box))


def _foot_xy(plan: ScenePlan, actor: Actor, tick: int, *, tir: bool) -> tuple[float, float]:
    _, near = views(plan, tick, tir=tir)
    x, y = actor.feet[tick]
    return (
        float((x - near.x0) * near.scale),
        float((y - actor.lift[tick] - near.y0) * near.scale),
    )


def _placed(
    plan: ScenePlan, actor: Actor, parts: list[Part], tick: int, *, tir: bool
) -> tuple[list[Points], tuple[float, float], float]:
    """The corners of an actor's parts in the frame, its foot, and pixels a metre."""
    foot = _foot_xy(plan, actor, tick, tir=tir)
    scale = float(actor.px_per_m[tick]) * views(plan, tick, tir=tir)[1].scale
    to_frame = np.array([actor.heading[tick] * scale, -scale])
    return [part.points * to_frame + foot for part in parts], foot, scale


class Puppets:
    """The parts of actors at a tick, kept because the other modality needs the same."""

    _KEPT = 64

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], list[Part]] = {}

    def parts(self, actor: Actor, tick: int) -> list[Part]:
        """An actor's polygons, metres."""
        key = id(actor), tick
        if key not in self._kept:
            if len(self._kept) >= self._KEPT:
                self._kept.clear()
            body = replace(actor.body, facing=float(actor.facing[tick]))
            shape = SHAPES[actor.kind]
            self._kept[key] = shape(body, float(actor.phase[tick]), float(actor.stride[tick]))
        return self._kept[key]


def actor_extents(plan: ScenePlan, tick: int, *, tir: bool) -> NDArray[np.float64]:
    """``[A,4]`` xywh of the whole silhouettes of all actors at a tick, the target first; also of
    what lies outside the frame or behind something.

    Args:
        plan: the sequence.
        tick: moment of the cameras' clock.
        tir: whether in TIR pixels, not RGB.
    """
    puppets = Puppets()
    corners = [
        _placed(plan, actor, puppets.parts(actor, tick), tick, tir=tir)[0] for actor in plan.actors
    ]
    return np.stack([whole_extent(one)[0] for one in corners])


class Painter:
    """One modality of a plan. Planes are ``[3,H,W]`` grey levels, or ``[1,H,W]`` kelvin for TIR.

    Args:
        plan: the sequence.
        stage: its painted scene.
        tir: whether TIR is drawn, not RGB.
        shutter_share: exposure time as a share of the frame interval.
        puppets: parts of actors, shared by the modalities of one plan.
    """

    def __init__(
        self, plan: ScenePlan, stage: Stage, *, tir: bool, shutter_share: float, puppets: Puppets
    ) -> None:
        self._puppets = puppets
        self._plan, self._stage, self._tir = plan, stage, tir
        self._height, self._width = plan.settings.height, plan.settings.width
        self._shutter_share = shutter_share
        self._tiles = _actor_tiles(plan, tir=tir)

    def paint(self, tick: int) -> tuple[Array, Sighting]:
        """The scene before the camera's faults, and the target in it."""
        far, near = views(self._plan, tick, tir=self._tir)
        frame = self._background(far, near, tick)
        poses = [self._pose(actor, tick) for actor in self._plan.actors]
        showing: _Showing | None = None
        for index in self._order(tick):
            if index < 0:
                self._stand(frame, self._stage.standing[-1 - index], near, showing)
                continue
            drawn = self._act(frame, index, poses[index], tick)
            if index == 0:
                showing = drawn
            elif drawn is not None and showing is not None:
                showing.hide(drawn.outline.left, drawn.outline.top, drawn.coverage)
        return frame, self._sighting(showing, poses)

    def _order(self, tick: int) -> list[int]:
        """Order of drawing, far ones first: the index of an actor, or ``-1 - k`` for prop ``k``."""
        actors = [
            (float(actor.feet[tick, 1]) + (1e4 if actor.lift[tick] > 0 else 0.0), index)
            for index, actor in enumerate(self._plan.actors)
        ]
        props = [(layer.foot_y, -1 - k) for k, layer in enumerate(self._stage.standing)]
        return [index for _, index in sorted(actors + props)]

    # --- the scene

    def _background(self, far: LayerView, near: LayerView, tick: int) -> Array:
        layer = self._stage.near
        planes = layer.kelvin if self._tir else layer.rgb
        frame = np.stack([_resampled(plane, near, self._width, self._height) for plane in planes])
        rows = int(np.ceil((self._stage.far_rows - near.y0) * near.scale)) + 2
        rows = min(max(rows, 0), self._height)
        cover = layer.heat_cover if self._tir else layer.light_cover
        if rows > 2 and cover is not None:
            behind = self._stage.far.kelvin if self._tir else self._stage.far.rgb
            open_part = 1 - _resampled(cover, near, self._width, rows)
            for channel, plane in enumerate(behind):
                frame[channel, :rows] += open_part * _resampled(plane, far, self._width, rows)
        length = round(abs(self._camera_speed(tick)) * self._shutter_share)
        return np.asarray(ndimage.uniform_filter1d(frame, length, axis=2)) if length > 1 else frame

    def _camera_speed(self, tick: int) -> float:
        before, after = max(tick - 1, 0), min(tick + 1, self._plan.ticks[-1])
        here, there = (views(self._plan, k, tir=False)[1].x0 for k in (before, after))
        return (there - here) / max(after - before, 1) * float(self._plan.camera.zoom[tick])

    def _stand(self, frame: Array, layer: Layer, near: LayerView, showing: _Showing | None) -> None:
        """Draw a prop that stands in front, and note what it hides of the target."""
        cover = layer.heat_cover if self._tir else layer.light_cover
        if cover is None:
            return
        x0, y0 = (layer.left - near.x0) * near.scale, (layer.top - near.y0) * near.scale
        left, right = max(int(np.ceil(x0)), 0), int(x0 + cover.width * near.scale)
        top, bottom = max(int(np.ceil(y0)), 0), int(y0 + cover.height * near.scale)
        width, rows = min(right, self._width) - left, min(bottom, self._height) - top
        if width < 1 or rows < 1:
            return
        view = LayerView((left - x0) / near.scale, (top - y0) / near.scale, near.scale)
        opaque = _resampled(cover, view, width, rows)
        part = frame[:, top : top + rows, left : left + width]
        for channel, plane in enumerate(layer.kelvin if self._tir else layer.rgb):
            part[channel] *= 1 - opaque
            part[channel] += _resampled(plane, view, width, rows)
        if showing is not None:
            showing.hide(left, top, opaque)

    # --- actors

    def _foot(self, actor: Actor, tick: int) -> tuple[float, float]:
        return _foot_xy(self._plan, actor, tick, tir=self._tir)

    def _pose(self, actor: Actor, tick: int) -> _Pose:
        parts = self._puppets.parts(actor, tick)
        corners, foot, scale = _placed(self._plan, actor, parts, tick, tir=self._tir)
        before, after = max(tick - 1, 0), min(tick + 1, self._plan.ticks[-1])
        way = self._foot(actor, after)[0] - self._foot(actor, before)[0]
        extent, _ = whole_extent(corners)
        return _Pose(parts, corners, extent, foot, scale, way / max(after - before, 1))

    def _act(self, frame: Array, index: int, pose: _Pose, tick: int) -> _Showing | None:
        """Draw an actor; None when nothing of it falls in the frame."""
        actor = self._plan.actors[index]
        if not self._tir:
            self._shadow(frame, actor, pose, tick)
        outline = raster(pose.parts, pose.corners, self._height, self._width)
        if outline is None:
            return None
        coverage = outline.coverage
        tile = self._tile(index, outline, pose, coverage.shape)
        colours = self._colours(actor, outline, tick)
        if self._tir:
            colours += coverage * np.float32(actor.look.grain_kelvin) * tile
        else:
            colours *= 1 + np.float32(_LIGHT_PER_GRAIN * actor.look.grain_light) * tile
            colours *= _shading(outline, pose, self._plan.light.shadow_xy[0], coverage.shape)
        difference, clutter = _contrast(frame, outline, coverage, colours)
        length = round(abs(pose.speed_x) * self._shutter_share)
        _blend(frame, outline, coverage, colours, max(length, 1))
        if not self._tir and self._plan.light.is_night and actor.kind == "vehicle":
            _headlights(frame, pose, float(actor.heading[tick]))
        return _Showing(outline, coverage, difference, clutter)

    def _colours(self, actor: Actor, outline: Outline, tick: int) -> Array:
        """``[C,h,w]`` of an outline's surfaces, times their coverage."""
        surfaces = [actor.look.surfaces[name] for name in outline.names]
        if self._tir:
            table = np.array([[0.0, *(one.apparent_kelvin for one in surfaces)]], np.float32)
        else:
            illumination, _ = self._stage.light_map.at(*actor.feet[tick])
            night = np.float32(self._plan.light.is_night)
            reflected = np.array([one.reflectance for one in surfaces], np.float32) * illumination
            radiance = reflected + night * np.array([one.glow for one in surfaces], np.float32)
            levels = encoded(radiance * np.float32(self._plan.light.exposure))
            table = np.concatenate([np.zeros((1, 3), np.float32), levels]).T
        return pooled_over(np.take(table, outline.index, axis=1), outline.fineness)

    def _tile(self, index: int, outline: Outline, pose: _Pose, shape: tuple[int, int]) -> Array:
        """The actor's own texture on its window ``[h,w]``: it moves and grows with it."""
        x, y, w, h = pose.extent
        tile = self._tiles[index]
        if self._plan.actors[index].heading[0] < 0:
            tile = tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        box = (
            max((outline.left - x) / w, 0) * _TILE,
            max((outline.top - y) / h, 0) * _TILE,
            min((outline.left + shape[1] - x) / w, 1) * _TILE,
            min((outline.top + shape[0] - y) / h, 1) * _TILE,
        )
        return np.asarray(tile.resize((shape[1], shape[0]), Image.Resampling.BILINEAR, box))

    def _shadow(self, frame: Array, actor: Actor, pose: _Pose, tick: int) -> None:
        """Darken the ground: a long shadow in the sun, a short soft one otherwise."""
        if actor.lift[tick] > 0:
            return
        light = self._plan.light
        _, sun = self._stage.light_map.at(*actor.feet[tick])
        sunny = bool(any(light.sun)) and sun > 0.5
        shadow_x, shadow_y = light.shadow_xy if sunny else (0.12, 0.06)
        foot_y = pose.foot_xy[1]
        fallen = []
        for points in pose.corners:
            up = foot_y - points[:, 1]
            fallen.append(np.stack([points[:, 0] + shadow_x * up, foot_y + shadow_y * up], axis=1))
        outline = raster(pose.parts, fallen, self._height, self._width)
        if outline is None:
            return
        total = light.ambient[1] + light.sun[1]
        keep = (light.ambient[1] / total) ** 0.45 if sunny else 0.82
        cover = outline.coverage
        rows = slice(outline.top, outline.top + cover.shape[0])
        columns = slice(outline.left, outline.left + cover.shape[1])
        frame[:, rows, columns] *= 1 - np.float32(1 - keep) * cover

    def _sighting(self, showing: _Showing | None, poses: list[_Pose]) -> Sighting:
        extent = poses[0].extent
        kind = self._plan.actors[0].kind
        others = [
            pose.extent
            for pose, actor in zip(poses[1:], self._plan.actors[1:], strict=True)
            if actor.kind == kind
        ]
        near = any(_gap(extent, other) < 1.0 for other in others)
        if showing is None:
            return Sighting(NO_BOX, extent, NO_BOX, 1.0, np.nan, np.nan, near)
        return Sighting(
            showing.outline.box, extent, showing.visible(), showing.occluded(),
            showing.difference, showing.clutter, near,
        )  # fmt: skip


def _gap(box: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Free space between two boxes xywh, in sizes (root of the area) of the first."""
    apart = np.maximum(box[:2] - other[:2] - other[2:], other[:2] - box[:2] - box[2:])
    return float(np.maximum(apart, 0).max() / np.sqrt(box[2] * box[3]))


def _actor_tiles(plan: ScenePlan, *, tir: bool) -> list[Image.Image]:
    """One texture ``[48,48]`` per actor; temperature follows reflectance a little."""
    rho = np.float32(plan.settings.texture_correlation)
    tiles = []
    for index in range(len(plan.actors)):
        light = _tile_noise(stream(plan.seed, "actor reflectance", index))
        tile = light
        if tir:
            heat = _tile_noise(stream(plan.seed, "actor temperature", index))
            tile = -rho * light + np.sqrt(1 - rho * rho) * heat
        tiles.append(Image.fromarray(tile))
    return tiles


def _tile_noise(rng: np.random.Generator) -> Array:
    white = rng.standard_normal((2, _TILE, _TILE), dtype=np.float32)
    mixed = ndimage.gaussian_filter(white[0], 3.0, mode="wrap") * 8
    mixed += ndimage.gaussian_filter(white[1], 1.0, mode="wrap") * 2
    return np.asarray(mixed / mixed.std(), np.float32)


def _shading(outline: Outline, pose: _Pose, sun_x: float, shape: tuple[int, int]) -> Array:
    """A coarse normal map: round bodies are brighter towards the light and at the top."""
    x, y, w, h = pose.extent
    across = (outline.left + np.arange(shape[1]) + 0.5 - x) / w - 0.5
    down = (outline.top + np.arange(shape[0]) + 0.5 - y) / h - 0.5
    shade = 1 - 0.22 * np.sign(sun_x) * across[None, :] - 0.16 * down[:, None]
    return np.asarray(shade, np.float32)


def _contrast(
    frame: Array, outline: Outline, coverage: Array, colours: Array
) -> tuple[float, float]:
    """Target minus background under its silhouette, and the background's deviation there."""
    height, width = coverage.shape
    behind = frame[:, outline.top : outline.top + height, outline.left : outline.left + width].mean(
        axis=0
    )
    weight = coverage / coverage.sum()
    mean = float((weight * behind).sum())
    spread = float(np.sqrt((weight * (behind - mean) ** 2).sum()))
    return float(colours.mean(axis=0).sum() / coverage.sum()) - mean, spread


def _blend(frame: Array, outline: Outline, coverage: Array, colours: Array, length: int) -> None:
    """Put an actor on the frame, smeared along x by the shutter."""
    left, reach = outline.left, (length + 1) // 2 if length > 1 else 0
    if reach:
        stack = np.concatenate([coverage[None], colours])
        stack = np.pad(stack, ((0, 0), (0, 0), (reach, reach)))
        stack = ndimage.uniform_filter1d(stack, length, axis=2, mode="constant")
        first = max(reach - left, 0)
        last = stack.shape[2] - max(left - reach + stack.shape[2] - frame.shape[2], 0)
        coverage, colours = stack[0][:, first:last], stack[1:][:, :, first:last]
        left = max(left - reach, 0)
    height, width = coverage.shape
    part = frame[:, outline.top : outline.top + height, left : left + width]
    part *= 1 - coverage
    part += colours


def _headlights(frame: Array, pose: _Pose, heading: float) -> None:
    """Glare round a lamp, and the light that it throws ahead on the ground."""
    lamps = [
        points.mean(axis=0)
        for part, points in zip(pose.parts, pose.corners, strict=True)
        if part.surface == "headlight"
    ]
    for x, y in lamps:
        _glow(frame, (x, y), (0.5 * pose.scale, 0.5 * pose.scale), 130.0)
        ahead = x + heading * 2.6 * pose.scale, pose.foot_xy[1] + 0.1 * pose.scale
        _glow(frame, ahead, (2.2 * pose.scale, 0.45 * pose.scale), 70.0)


def _glow(
    frame: Array, center_xy: tuple[float, float], radius_xy: tuple[float, float], strength: float
) -> None:
    height, width = frame.shape[1:]
    (x, y), (reach_x, reach_y) = center_xy, radius_xy
    left, right = max(int(x - 2 * reach_x), 0), min(int(x + 2 * reach_x) + 1, width)
    top, bottom = max(int(y - 2 * reach_y), 0), min(int(y + 2 * reach_y) + 1, height)
    if left >= right or top >= bottom:
        return
    across = np.exp(-(((np.arange(left, right) + 0.5 - x) / reach_x) ** 2))
    down = np.exp(-(((np.arange(top, bottom) + 0.5 - y) / reach_y) ** 2))
    frame[:, top:bottom, left:right] += np.float32(strength) * (
        down[:, None] * across[None, :]
    ).astype(np.float32)
