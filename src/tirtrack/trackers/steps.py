"""A frame's result computed in steps, so that several targets can share the expensive ones.

A tracker that learns needs its network for work on its own target: refining boxes on the box
estimator's energy, improving its filter. It yields such a piece of work and waits for the result.
The pieces of a single target are done one by one, those of several targets together if they are of
one kind: one pass instead of many. Begin with :func:`alone` and :func:`together`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Sequence
from functools import partial
from typing import Any, Protocol, Self, TypeVar

Answer = TypeVar("Answer")


class Work(Protocol):
    """A piece of work."""

    @property
    def kind(self) -> Hashable:
        """Key of the kind of work; pieces with equal keys can be done together."""

    @classmethod
    def done(cls, works: Sequence[Self]) -> list[Any]:
        """The result of each piece; all pieces are of one kind."""


Steps = Generator[Work, Any, Answer]
"""A computation in steps: yields work, is sent its result, returns the answer."""


def in_steps(result: Steps[Answer] | Answer) -> Steps[Answer]:
    """The result of a function that may be written in steps, as steps."""
    if isinstance(result, Generator):
        return (yield from result)
    return result


def alone(steps: Steps[Answer]) -> Answer:
    """The answer, with every piece of work done immediately and by itself."""
    try:
        work = next(steps)
        while True:
            (result,) = type(work).done([work])
            work = steps.send(result)
    except StopIteration as end:
        answer: Answer = end.value
        return answer


def together(all_steps: Sequence[Steps[Answer]]) -> list[Answer | Exception]:
    """The answer of each, or its exception; work of equal kind is done together.

    Shared work that fails is repeated piece by piece, so that only the faulty piece fails.
    """
    answers: list[Answer | Exception | None] = [None] * len(all_steps)
    waiting: list[tuple[int, Work]] = []

    def go_on(number: int, resume: Callable[[], Work]) -> None:
        try:
            waiting.append((number, resume()))
        except StopIteration as end:
            answers[number] = end.value
        except Exception as error:  # noqa: BLE001 - whatever it is, the others continue
            answers[number] = error

    for number, steps in enumerate(all_steps):
        go_on(number, partial(next, steps))
    while waiting:
        groups: dict[Hashable, list[tuple[int, Work]]] = {}
        for number, work in waiting:
            groups.setdefault(work.kind, []).append((number, work))
        waiting.clear()
        for group in groups.values():
            for (number, _), result in zip(group, _done([work for _, work in group]), strict=True):
                steps = all_steps[number]
                resume = steps.throw if isinstance(result, Exception) else steps.send
                go_on(number, partial(resume, result))
    return answers  # type: ignore[return-value]


def _done(works: Sequence[Work]) -> list[Any]:
    """The result of each piece, or the exception that it raised."""
    try:
        return type(works[0]).done(works)
    except Exception as error:  # noqa: BLE001 - passed to the target that it belongs to
        if len(works) == 1:
            return [error]
        return [_done([work])[0] for work in works]
