"""A plan becomes frames, one after the other, with what each shows of the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tirtrack.synthetic.backdrop import build_stage
from tirtrack.synthetic.cameras import Agc, RgbCamera, TirCamera, draw_agc
from tirtrack.synthetic.clocks import seen_by_tir
from tirtrack.synthetic.facts import SequenceFacts, gather_facts
from tirtrack.synthetic.painter import Painter, Puppets, Sighting
from tirtrack.synthetic.plan import ScenePlan, draw_plan
from tirtrack.synthetic.settings import Kind, WorldSettings

_TIR_SHUTTER_SHARE = 0.25


@dataclass(frozen=True)
class RenderedFrame:
    """One instant of both cameras.

    Attributes:
        rgb: ``[H,W,3]`` uint8; None when only TIR was asked for.
        tir: ``[H,W]`` uint8, or uint16 counts.
        in_rgb: the target in RGB; None when only TIR was asked for.
        in_tir: the target in TIR.
        agc_jump: change of the grey of the TIR frame's median by its gain, since the last frame.
    """

    rgb: NDArray[np.uint8] | None
    tir: NDArray[np.uint8] | NDArray[np.uint16]
    in_rgb: Sighting | None
    in_tir: Sighting
    agc_jump: float


@dataclass(frozen=True)
class SyntheticSequence:
    """A whole sequence in memory.

    Attributes:
        plan: plan of the sequence.
        rgb: ``[T,H,W,3]`` uint8; None when only TIR was asked for.
        tir: ``[T,H,W]`` uint8 or uint16.
        facts: boxes, absence, occlusion, attributes, the rig.
    """

    plan: ScenePlan
    rgb: NDArray[np.uint8] | None
    tir: NDArray[Any]
    facts: SequenceFacts


def render_frames(plan: ScenePlan, *, rgb: bool = True) -> Iterator[RenderedFrame]:
    """The frames of a plan, in order.

    Args:
        plan: the sequence.
        rgb: whether RGB is rendered too; TIR is the same either way.
    """
    stage = build_stage(plan)
    rgb_camera = RgbCamera(plan.seed, plan.settings, is_night=plan.light.is_night)
    tir_camera = TirCamera(plan.seed, plan.settings)
    agc_settings = draw_agc(plan.seed, plan.settings)
    agc = None if agc_settings is None else Agc(agc_settings)
    puppets = Puppets()
    rgb_painter = Painter(
        plan, stage, tir=False, shutter_share=rgb_camera.shutter_share, puppets=puppets
    )
    tir_painter = Painter(
        seen_by_tir(plan), stage, tir=True, shutter_share=_TIR_SHUTTER_SHARE, puppets=puppets
    )
    for tick in plan.ticks:
        kelvin, in_tir = tir_painter.paint(max(tick - plan.rig.delay_ticks, 0))
        counts = tir_camera.measure(kelvin[0], plan.seed, tick)
        tir = counts if agc is None else agc(counts)
        jump = 0.0 if agc is None else agc.jump
        if not rgb:
            yield RenderedFrame(None, tir, None, in_tir, jump)
            continue
        levels, in_rgb = rgb_painter.paint(tick)
        picture = rgb_camera.expose(levels, plan.seed, tick)
        yield RenderedFrame(picture, tir, in_rgb, in_tir, jump)


def render_plan(plan: ScenePlan, *, rgb: bool = True) -> SyntheticSequence:
    """All frames of a plan, in memory."""
    frames = list(render_frames(plan, rgb=rgb))
    pictures = [frame.rgb for frame in frames if frame.rgb is not None]
    return SyntheticSequence(
        plan,
        np.stack(pictures) if pictures else None,
        np.stack([frame.tir for frame in frames]),
        gather_facts(plan, [frame.in_tir for frame in frames], [frame.in_rgb for frame in frames],
                     jumps=[frame.agc_jump for frame in frames]),
    )  # fmt: skip


def render_sequence(
    seed: Sequence[int],
    frames: int,
    *,
    spacing: int = 1,
    settings: WorldSettings | None = None,
    kind: Kind | None = None,
    daylight: str | None = None,
    rgb: bool = True,
) -> SyntheticSequence:
    """A sequence of the synthetic world; the same seed gives the same bytes.

    Args:
        seed: whole numbers, such as (world, split, index).
        frames: number of frames.
        spacing: ticks of the cameras' clock from one frame to the next.
        settings: the difficulty, ``standard`` if None.
        kind: kind of the target; drawn if None.
        daylight: ``sun``, ``overcast``, ``dusk``, ``night`` or ``dark``; drawn if None.
        rgb: whether RGB is rendered too.

    >>> sequence = render_sequence((1, 2, 3), 2)
    >>> sequence.rgb.shape, sequence.tir.shape, sequence.facts.boxes_tir.shape
    ((2, 256, 320, 3), (2, 256, 320), (2, 4))
    """
    plan = draw_plan(seed, frames, spacing=spacing, settings=settings, kind=kind, daylight=daylight)
    return render_plan(plan, rgb=rgb)
