"""The clock of the TIR camera, which may be late by parts of a frame, and drift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tirtrack.synthetic.actors import Actor
from tirtrack.synthetic.plan import ScenePlan
from tirtrack.synthetic.trajectories import CameraPath, Track


def seen_by_tir(plan: ScenePlan) -> ScenePlan:
    """The plan with everything where the TIR camera sees it in each tick of its own clock.

    A frame of tick ``t`` shows the instant ``t - offset - drift * (t - first)``, with positions
    between ticks interpolated; before the first and after the last tick nothing moves.
    """
    rig = plan.rig
    if not rig.offset_ticks and not rig.drift:
        return plan
    clock = np.arange(len(plan.camera.zoom), dtype=np.float64)
    instants = clock - rig.offset_ticks - rig.drift * (clock - plan.ticks[0])
    return replace(
        plan,
        camera=_camera_at(plan.camera, instants),
        actors=tuple(_actor_at(actor, instants) for actor in plan.actors),
    )


def _at(table: Track, instants: Track) -> Track:
    """A table ``[T]`` or ``[T,2]`` at other instants."""
    ticks = np.arange(len(table))
    columns = table.reshape(len(table), -1).T
    moved = np.stack([np.interp(instants, ticks, column) for column in columns], axis=-1)
    return np.asarray(moved.reshape(len(instants), *table.shape[1:]))


def _camera_at(camera: CameraPath, instants: Track) -> CameraPath:
    return replace(
        camera,
        center_xy=_at(camera.center_xy, instants),
        zoom=_at(camera.zoom, instants),
        sway=_at(camera.sway, instants),
    )


def _actor_at(actor: Actor, instants: Track) -> Actor:
    nearest = np.clip(np.rint(instants).astype(int), 0, len(actor.heading) - 1)
    return replace(
        actor,
        feet=_at(actor.feet, instants),
        lift=_at(actor.lift, instants),
        px_per_m=_at(actor.px_per_m, instants),
        heading=actor.heading[nearest],  # a sign
        facing=_at(actor.facing, instants),
        phase=_at(actor.phase, instants),
        stride=_at(actor.stride, instants),
    )
