"""Whatever frames and boxes come: a valid state or our error, never a number that is not finite.

Frames of 8x8 px and more, of any shape and number type; any box. 1,000 cases over all families by
default, 10,000 with ``make test-release``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tirtrack.boxes import Box
from tirtrack.errors import FrameError, TirtrackError
from tirtrack.trackers.base import Status
from tirtrack.trackers.redetection import RedetectingTracker

DTYPES = ["uint8", "uint16", "float32", "float64", "int16", "int64", "bool", "float16"]
CHANNELS = [None, None, None, None, 1, 3, 3, 4, 4, 2]
CONTENTS = [*["noise", "spot", "some nan"] * 3, "huge", "constant", "black", "all nan"]


@dataclass(frozen=True)
class Look:
    """How a frame looks."""

    height: int
    width: int
    channels: int | None
    dtype: str
    content: str
    seed: int

    def frame(self):
        shape = (self.height, self.width, *((self.channels,) if self.channels else ()))
        rng = np.random.default_rng(self.seed)
        is_float = self.dtype.startswith("float")
        top = 1.0 if self.dtype in ("float16", "float32") else 120.0
        values = rng.random(shape) * top
        if self.content == "spot":
            values[self.height // 3 : self.height // 2, self.width // 3 :] = 2 * top
        elif self.content in ("constant", "black"):
            values[:] = 77.0 if self.content == "constant" else 0.0
        elif self.content == "huge" and is_float:
            values *= float(np.finfo(self.dtype).max) / 200
        elif self.content.endswith("nan") and is_float:
            values[rng.random(shape) < (0.005 if self.content == "some nan" else 2)] = np.nan
        return values.astype(self.dtype)


SIDES = st.one_of(st.integers(8, 48), st.sampled_from([8, 9, 96]))
ODD = st.one_of(
    st.floats(-150, 250),
    st.sampled_from([0.0, 1.0, 8.0, 48.0, 1e6, -1e6, 1e300, -1e300]),
    st.floats(allow_nan=True, allow_infinity=True),
)


@st.composite
def boxes(draw, look):
    """As a rule a box that touches the frame, one in eight any four numbers."""
    if draw(st.integers(0, 7)) == 0:
        return Box(draw(ODD), draw(ODD), draw(ODD), draw(ODD))
    w, h = draw(st.floats(1, 1.5 * look.width)), draw(st.floats(1, 1.5 * look.height))
    x, y = draw(st.floats(0, 1)) * look.width, draw(st.floats(0, 1)) * look.height
    return Box(x - w / 2, y - h / 2, w, h)


@st.composite
def looks(draw):
    """Four frames: as a rule of one kind, sometimes one of them is another."""
    plain = Look(draw(SIDES), draw(SIDES), draw(st.sampled_from(CHANNELS)),
                 draw(st.sampled_from(DTYPES[:4] * 6 + DTYPES)),
                 draw(st.sampled_from(CONTENTS)), draw(st.integers(0, 9)))  # fmt: skip
    frames = [plain] * 4
    for k in range(1, 4):
        values = dict(vars(plain), seed=plain.seed + draw(st.sampled_from([0, k, k, k])))
        change = draw(st.sampled_from(["", "", "", "height", "channels", "dtype", "content"]))
        if change:
            choice = {
                "height": SIDES,
                "channels": st.sampled_from(CHANNELS),
                "dtype": st.sampled_from(DTYPES),
                "content": st.sampled_from(CONTENTS),
            }
            values[change] = draw(choice[change])
        frames[k] = Look(**values)
    return frames


def check(tracker, family, seen, box):
    first, *later = (look.frame() for look in seen)
    try:
        states = [tracker.init(first, box)]
    except FrameError:
        return
    height, width = first.shape[:2]
    for frame in later:
        try:
            states.append(tracker.update(frame))
        except TirtrackError as error:
            if "published" in family or "have become frames of" in str(error):
                return
            raise
    for state in states:
        assert state.box.is_finite(), state
        assert 0.0 <= state.score <= 1.0, state
        assert state.status in Status
    for state in states[1:]:
        here = state.box
        if "published" not in family:
            x, y = here.center_xy
            assert 0 <= x <= width, state
            assert 0 <= y <= height, state
            assert here.w * here.h <= 4 * width * height or here == box, state
    assert all(math.isfinite(value) for value in numbers_of(tracker.state_dict()))


def numbers_of(value):
    """Every number in a state but those of frames and score maps, where some may be missing."""
    if isinstance(value, dict):
        return [one for key, part in value.items() if key not in FRAMES for one in numbers_of(part)]
    if isinstance(value, list | tuple):
        return [one for part in value for one in numbers_of(part)]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return [float(value.sum())] if np.isfinite(value).all() else [math.nan]
    return [value] if isinstance(value, float) else []


FRAMES = {"gate"}
FAMILIES = 14
COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck)}


def test_the_cases_are_shared_out_over_all_families(families):
    assert len(families) == FAMILIES


@given(data=st.data(), seen=looks())
@settings(max_examples=math.ceil(1_000 / FAMILIES), **COMMON)
def test_any_frames_and_any_box_give_a_valid_state_or_our_error(one_family, data, seen):
    check(one_family[1].twin("any"), one_family[0], seen, data.draw(boxes(seen[0])))


class LosesAtOnce:
    """A tracker that gives its target up in the first frame."""

    def __init__(self, tracker):
        self._tracker = tracker

    def __getattr__(self, name):
        return getattr(self._tracker, name)

    def update(self, frame):
        return replace(self._tracker.update(frame), measured=False, status=Status.LOST)


@given(data=st.data(), seen=looks())
@settings(max_examples=math.ceil(500 / FAMILIES), **COMMON)
def test_a_search_for_a_lost_target_takes_any_input_too(one_family, data, seen):
    name, family = one_family
    if "published" in name:
        return  # nothing is searched for under published settings
    tracker = RedetectingTracker(LosesAtOnce(family.twin("any")))
    check(tracker, name, seen, data.draw(boxes(seen[0])))


@pytest.mark.release
@pytest.mark.timeout(3600)
@given(data=st.data(), seen=looks())
@settings(max_examples=math.ceil(10_000 / FAMILIES), **COMMON)
def test_ten_times_as_many(one_family, data, seen):
    check(one_family[1].twin("any"), one_family[0], seen, data.draw(boxes(seen[0])))
