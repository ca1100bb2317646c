"""The embedded synthetic RGB-TIR world: one scene and geometry, two measurements.

Read ``plan`` first (what is drawn), then ``painter`` and ``cameras`` (how it becomes pixels). The
difficulty stands in ``settings`` and is fixed; ``writing`` makes the folders that everything else
reads like any other data.
"""

from tirtrack.synthetic.facts import (
    FRAME_ATTRIBUTES,
    SEQUENCE_ATTRIBUTES,
    SequenceFacts,
)
from tirtrack.synthetic.painter import actor_extents
from tirtrack.synthetic.plan import ScenePlan, draw_plan
from tirtrack.synthetic.render import (
    RenderedFrame,
    SyntheticSequence,
    render_frames,
    render_plan,
    render_sequence,
)
from tirtrack.synthetic.settings import (
    DIFFICULTIES,
    SIZES,
    WorldSettings,
    WorldSize,
    difficulty,
    world_size,
)
from tirtrack.synthetic.writing import cached_world, write_world

__all__ = [
    "DIFFICULTIES",
    "FRAME_ATTRIBUTES",
    "SEQUENCE_ATTRIBUTES",
    "SIZES",
    "RenderedFrame",
    "ScenePlan",
    "SequenceFacts",
    "SyntheticSequence",
    "WorldSettings",
    "WorldSize",
    "actor_extents",
    "cached_world",
    "difficulty",
    "draw_plan",
    "render_frames",
    "render_plan",
    "render_sequence",
    "world_size",
    "write_world",
]
