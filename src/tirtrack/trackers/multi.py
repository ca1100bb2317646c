"""Several targets in one stream of frames, each with a tracker of its own.

Targets share the weights and, where that saves time, the work: the backbone's pass over their
search regions, the refinement of boxes, the improvement of filters. Where a network runs as graphs
and learns nothing, it saves none: such targets are followed at the same time instead, in threads.
They share no state: no target's boxes depend on the other targets (unless they take turns to
learn), and an error in one does not affect the others.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np

from tirtrack.boxes import Box, check_sides
from tirtrack.devices import processors
from tirtrack.errors import (
    EngineError,
    RequestError,
    StreamChangedError,
    TirtrackError,
    did_you_mean,
)
from tirtrack.trackers.base import (
    Candidate,
    Origin,
    Reason,
    SeekingTracker,
    SharingTracker,
    Status,
    TrackState,
)
from tirtrack.trackers.engines import GraphEngine, Turn
from tirtrack.trackers.steps import Steps, together

logger = logging.getLogger(__name__)

TargetId = str | int
Answer = TypeVar("Answer")
_STATE_FORMAT = 1


@dataclass
class _Target:
    """One target: its tracker, its last box or a first box waiting for its frame, its failure."""

    tracker: SharingTracker
    box: Box
    slot: int = 0
    phase: int = 0
    is_waiting: bool = True
    failure: str = ""

    def attempt(self, step: Callable[[], Answer]) -> Answer | None:
        """The result of a step; ``None`` after an error, which affects this target only.

        Raises:
            StreamChangedError, EngineError: the stream changed or the engine failed, which affects
                all targets.
        """
        try:
            return step()
        except (StreamChangedError, EngineError):
            raise
        except Exception as error:  # whatever it is, the other targets continue
            logger.exception("a target failed and is tracked no further")
            self.failure = str(error) or type(error).__name__
            return None

    def failed(self) -> TrackState:
        """The state to report after an error: lost at its last box, with the message."""
        return TrackState(
            box=self.box, measured=False, score=0.0, status=Status.LOST, reason=Reason.FAILED,
            diagnostics={"failure": self.failure},
        )  # fmt: skip


class MultiTracker:
    """Tracks any number of targets, which can be added and removed at any frame.

    Args:
        prototype: tracker of ``tirtrack.load``, before ``init``; every target gets a twin.
        batched: do the work of all targets together if they are not followed in threads. Boxes
            then differ from those of separate trackers by rounding (under 0.05 px); otherwise they
            are bit-identical.
        staggered: let targets that learn on a schedule take turns, so that not all of them learn
            in the same frame. Boxes then depend on the other targets.
        threads: targets that are followed at the same time where the engine allows it, which is
            that of the Siamese family on graphs; ``None``: as many as there are processors.

    >>> import tirtrack
    >>> tracker = tirtrack.MultiTracker(tirtrack.load("nano-tir"))
    >>> frame = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)
    >>> tracker.add("left", Box(10, 20, 30, 30))
    >>> tracker.update(frame)["left"].box
    Box(x=10, y=20, w=30, h=30)
    """

    def __init__(
        self,
        prototype: SharingTracker,
        *,
        batched: bool = True,
        staggered: bool = False,
        threads: int | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise RequestError(f"threads must be at least 1, not {threads}")
        self.origin: Origin | None = prototype.origin
        self._prototype = prototype
        self._batched = batched
        self._staggered = staggered
        self._others = (threads or processors()) - 1  # threads beside the caller's
        self._pool = ThreadPoolExecutor(max(self._others, 1), "target")
        self._frames = 0
        self._targets: dict[TargetId, _Target] = {}

    @property
    def targets(self) -> tuple[TargetId, ...]:
        """Names of the targets, in the order of adding."""
        return tuple(self._targets)

    def add(self, target: TargetId, box: Box, frame: np.ndarray | None = None) -> TrackState | None:
        """Add a target.

        Args:
            target: name of the target; together with the seed it keys the random draws.
            box: box of the target.
            frame: frame of the box; ``None``: the frame of the next ``update``.

        Returns:
            The target's state in ``frame``; ``None`` without a frame.

        Raises:
            RequestError: there is already a target of this name.
            FrameError: the frame or the box cannot be used; nothing was added.
        """
        if target in self._targets:
            raise RequestError(
                f'there is a target "{target}" already', fix="remove or reset it, or name it anew"
            )
        return self._begin(target, box, frame)

    def remove(self, target: TargetId) -> None:
        """Remove a target.

        Raises:
            RequestError: there is no target of this name.
        """
        self._target(target)
        del self._targets[target]

    def reset(
        self,
        target: TargetId,
        box: Box,
        frame: np.ndarray | None = None,
        *,
        keep_template: bool = False,
    ) -> TrackState | None:
        """Restart a target, also a failed one, under the same name.

        Args:
            target: name of the target.
            box: box of the target.
            frame: frame of the box; ``None``: the frame of the next ``update``.
            keep_template: keep the target model and only move it to ``box``, at once, without
                using a frame.

        Returns:
            The target's state; ``None`` if it waits for the next frame.

        Raises:
            RequestError: there is no target of this name.
            FrameError: the frame or the box cannot be used; the target is unchanged.
        """
        known = self._target(target)
        if not keep_template:
            return self._begin(target, box, frame)
        check_sides(box)
        if known.is_waiting:
            known.box = box
            return None
        if not isinstance(known.tracker, SeekingTracker):
            raise RequestError("this tracker cannot keep its template", fix="reset without it")
        state = known.tracker.resume(Candidate(box, 1.0))
        known.box, known.failure = box, ""
        return state

    def skip(self, frames: int) -> None:
        """Report that so many frames were skipped before the next one."""
        for target in self._targets.values():
            if not (target.is_waiting or target.failure):
                target.tracker.skip(frames)

    def update(self, frame: np.ndarray) -> dict[TargetId, TrackState]:
        """Where every target is in the next frame, in the order of adding.

        A target whose tracker raised is ``lost`` with the reason ``failed`` and the message in
        ``diagnostics["failure"]``, from then on until it is reset or removed.

        Raises:
            StreamChangedError: the frames have another size or number type now.
            EngineError: the engine cannot run the network.
        """
        following = [one for one in self._targets.values() if not (one.is_waiting or one.failure)]
        states: dict[int, TrackState | None]
        if len(following) > 1 and isinstance(self._prototype.engine, GraphEngine):
            states = self._at_the_same_time(following, frame, self._prototype.engine.turn)
        elif len(following) > 1 and self._batched:
            states = self._together(following, frame)
        else:
            states = {id(one): one.attempt(partial(one.tracker.update, frame)) for one in following}
        self._frames += 1
        answers = {}
        for name, target in self._targets.items():
            if target.is_waiting:
                target.is_waiting = False
                state = target.attempt(partial(target.tracker.init, frame, target.box))
            else:
                state = states.get(id(target))
            answers[name] = state or target.failed()
            target.box = answers[name].box
        return answers

    def state_dict(self) -> dict[str, Any]:
        """All targets, with everything that their next states depend on."""
        return {
            "format": _STATE_FORMAT,
            "frames": self._frames,
            "targets": [
                {
                    "name": name,
                    "box": list(target.box.array()),
                    "slot": target.slot,
                    "phase": target.phase,
                    "is_waiting": target.is_waiting,
                    "failure": target.failure,
                    "tracker": None
                    if target.is_waiting or target.failure
                    else target.tracker.state_dict(),
                }
                for name, target in self._targets.items()
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from saved targets; the current ones are dropped.

        Raises:
            ValueError: the state has another format.
        """
        if state.get("format") != _STATE_FORMAT:
            raise ValueError(
                f"state of targets must have format {_STATE_FORMAT}, got {state.get('format')!r}"
            )
        targets = {}
        for saved in state["targets"]:
            slot, phase = int(saved.get("slot", 0)), int(saved.get("phase", 0))
            tracker = self._prototype.twin(str(saved["name"]), phase=phase)
            if saved["tracker"] is not None:
                tracker.load_state_dict(saved["tracker"])
            targets[saved["name"]] = _Target(
                tracker, Box.of(saved["box"]), slot, phase, saved["is_waiting"], saved["failure"]
            )
        self._targets = targets
        self._frames = int(state.get("frames", 0))

    def _target(self, target: TargetId) -> _Target:
        if target not in self._targets:
            raise RequestError(
                f'there is no target "{target}"',
                fix=did_you_mean(str(target), map(str, self._targets)) if self._targets else None,
            )
        return self._targets[target]

    def _begin(self, name: TargetId, box: Box, frame: np.ndarray | None) -> TrackState | None:
        check_sides(box)
        slot = self._slot_for(name)
        first_frame = self._frames + (frame is None)
        phase = slot - first_frame if self._staggered else 0
        target = _Target(self._prototype.twin(str(name), phase=phase), box, slot, phase)
        state = None
        if frame is not None:
            state = target.tracker.init(frame, box)
            target.is_waiting = False
        self._targets[name] = target
        return state

    def _slot_for(self, name: TargetId) -> int:
        """The turn in which a target learns: its own, or the first that is free."""
        if name in self._targets:
            return self._targets[name].slot
        taken = {target.slot for target in self._targets.values()}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def _at_the_same_time(
        self, targets: Sequence[_Target], frame: np.ndarray, turn: Turn
    ) -> dict[int, TrackState | None]:
        """States by ``id`` of the target, in threads that have all ended. The caller's is one of
        them; each other is woken once a frame, and each takes the next target when it is free.

        Raises:
            StreamChangedError, EngineError: the stream changed or the engine failed; every target
                has met the frame.
        """
        states: dict[int, TrackState | None] = {}
        errors: list[TirtrackError] = []
        helpers = min(self._others, len(targets) - 1)
        rest = deque([*targets, *[None] * (helpers + 1)])  # a None ends a thread

        def follow() -> None:
            while (target := rest.popleft()) is not None:
                try:
                    with turn:
                        states[id(target)] = target.attempt(partial(target.tracker.update, frame))
                except (StreamChangedError, EngineError) as error:
                    errors.append(error)

        running = [self._pool.submit(follow) for _ in range(helpers)]
        try:
            follow()
        finally:
            turn.leave()  # an interrupt can come between taking it and its ``with`` block
            wait(running)
        for one in running:
            one.result()
        if errors:
            raise errors[0]
        return states

    def _together(
        self, targets: Iterable[_Target], frame: np.ndarray
    ) -> dict[int, TrackState | None]:
        """States by ``id`` of the target: patches that can be stacked share one network pass."""
        states: dict[int, TrackState | None] = {}
        groups: dict[Any, list[tuple[_Target, np.ndarray]]] = {}
        for target in targets:
            patches = target.attempt(partial(target.tracker.request, frame))
            if patches is not None:
                key = (id(target.tracker.engine), patches.shape[1:], patches.dtype)
                groups.setdefault(key, []).append((target, patches))
            elif not target.failure:
                states[id(target)] = target.attempt(partial(target.tracker.answer, None))
        answering = [
            (target, _answering(target.tracker, patches, features))
            for group in groups.values()
            for (target, patches), features in zip(group, _features(group), strict=True)
        ]
        found = together([steps for _, steps in answering])
        for (target, _), state in zip(answering, found, strict=True):
            states[id(target)] = target.attempt(partial(_unless_failed, state))
        return states


def _answering(
    tracker: SharingTracker, patches: np.ndarray, features: Any | None
) -> Steps[TrackState]:
    features = tracker.engine.features(patches) if features is None else features
    return (yield from tracker.answering(features))


def _unless_failed(state: TrackState | Exception) -> TrackState:
    if isinstance(state, Exception):
        raise state
    return state


def _features(group: list[tuple[_Target, np.ndarray]]) -> list[Any]:
    """Features of each target's patches, from one call of their engine; ``None`` for all if it
    failed, so that each target runs alone and only the faulty one fails.
    """
    engine = group[0][0].tracker.engine
    counts = [len(patches) for _, patches in group]
    ends = np.cumsum(counts)
    try:
        features = engine.features(np.concatenate([patches for _, patches in group]))
    except Exception:
        logger.exception("the network pass of %d targets failed; each gets its own", len(group))
        return [None] * len(group)
    return [features[end - count : end] for end, count in zip(ends, counts, strict=True)]
