"""Merges the boxes of two modalities into one list.

Boxes are found in each modality by itself. An RGB and a TIR box that overlap by half are *agreed*:
they become one proposal with the TIR box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tirtrack.boxes import Box, iou_matrix
from tirtrack.pairs.proposals.base import FoundIn, Proposal, Rejection
from tirtrack.pairs.proposals.rules import RejectionReason

AGREED_IOU = 0.5
DUPLICATE_IOU = 0.8
PERSON = "person"
MAX_BALANCED = 5
MAX_OTHERS = 2


@dataclass(frozen=True)
class ScoredBox:
    """A box of one modality: score in [0, 1], and a class name where there is one."""

    box: Box
    score: float
    label: str = ""


@dataclass(frozen=True)
class Merged:
    """Proposals, agreed ones first, then by score; the class of each; and rejected duplicates."""

    proposals: tuple[Proposal, ...]
    labels: tuple[str, ...]
    rejected: tuple[Rejection, ...]


def boxes_of(candidates: Sequence[ScoredBox] | Sequence[Proposal]) -> np.ndarray:
    """``[n,4]`` float64 xywh."""
    return np.array([candidate.box.array() for candidate in candidates]).reshape(-1, 4)


def match(boxes_a: np.ndarray, boxes_b: np.ndarray, min_iou: float) -> list[tuple[int, int]]:
    """One-to-one pairs of rows with at least ``min_iou``, the best overlap first.

    >>> match(np.array([[0.0, 0, 4, 4]]), np.array([[9.0, 9, 4, 4], [1.0, 0, 4, 4]]), 0.5)
    [(0, 1)]
    """
    overlap = iou_matrix(boxes_a, boxes_b)
    pairs: list[tuple[int, int]] = []
    while overlap.size and overlap.max() >= min_iou:
        a, b = np.unravel_index(int(overlap.argmax()), overlap.shape)
        pairs.append((int(a), int(b)))
        overlap[a, :] = overlap[:, b] = -1.0
    return pairs


def merge(rgb: Sequence[ScoredBox], tir: Sequence[ScoredBox], way: str) -> Merged:
    """The boxes of both modalities as proposals.

    Agreed boxes take the TIR box, the better of the two scores, and the class of the more certain
    one. A box of one modality that repeats (IoU over 0.8) one that is kept is a duplicate.

    Args:
        rgb: boxes found in RGB, in pixels of the common frame.
        tir: boxes found in TIR, in the same pixels.
        way: name of the proposer.
    """
    pairs = match(boxes_of(rgb), boxes_of(tir), AGREED_IOU)
    both: list[tuple[Proposal, str]] = []
    for a, b in pairs:
        sure = rgb[a] if rgb[a].score >= tir[b].score else tir[b]
        box = tir[b].box
        both.append((Proposal(box, FoundIn.BOTH, sure.score, way), sure.label))
    used_rgb, used_tir = {a for a, _ in pairs}, {b for _, b in pairs}
    alone = [
        (Proposal(found.box, modality, found.score, way), found.label)
        for modality, candidates, used in (
            (FoundIn.RGB, rgb, used_rgb),
            (FoundIn.TIR, tir, used_tir),
        )
        for index, found in enumerate(candidates)
        if index not in used
    ]
    ranked = sorted(both, key=_rank) + sorted(alone, key=_rank)
    return _without_duplicates(ranked)


def _rank(item: tuple[Proposal, str]) -> float:
    return -item[0].score


def _without_duplicates(ranked: Sequence[tuple[Proposal, str]]) -> Merged:
    boxes = boxes_of([proposal for proposal, _ in ranked])
    repeats = iou_matrix(boxes, boxes) > DUPLICATE_IOU
    kept: list[int] = []
    rejected: list[Rejection] = []
    for index, (proposal, _) in enumerate(ranked):
        if repeats[index, kept].any():
            rejected.append(Rejection(proposal.box, RejectionReason.DUPLICATE))
        else:
            kept.append(index)
    proposals = tuple(ranked[index][0] for index in kept)
    return Merged(proposals, tuple(ranked[index][1] for index in kept), tuple(rejected))


def balance(merged: Merged, count: int = MAX_BALANCED, others: int = MAX_OTHERS) -> Merged:
    """At most ``count`` boxes: up to ``others`` that are not persons, the rest persons; if one kind
    runs out, the other fills up. The order is kept.
    """
    indices = range(len(merged.proposals))
    people = [index for index in indices if merged.labels[index] == PERSON]
    rest = [index for index in indices if merged.labels[index] != PERSON]
    of_rest = max(min(others, len(rest)), min(len(rest), count - len(people)))
    of_rest = min(of_rest, count)
    chosen = sorted(rest[:of_rest] + people[: count - of_rest])
    dropped = [index for index in indices if index not in set(chosen)]
    return Merged(
        tuple(merged.proposals[index] for index in chosen),
        tuple(merged.labels[index] for index in chosen),
        merged.rejected
        + tuple(
            Rejection(merged.proposals[index].box, RejectionReason.OVER_QUOTA) for index in dropped
        ),
    )
