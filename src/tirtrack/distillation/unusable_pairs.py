"""Pairs that cannot be used, left out of a distillation where its recipe says so: they give no
samples. Which those are is judged in :mod:`tirtrack.pairs.likeness`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.sources import Split
from tirtrack.pairs.doubts import unusable_pairs
from tirtrack.pairs.likeness import Unusable
from tirtrack.pairs.proposals.base import ProposalSet
from tirtrack.pairs.source import PairSource
from tirtrack.pairs.tracklets import Track


def leave_out_unusable(
    split: Split,
    found: dict[int, ProposalSet],
    held_back: dict[int, ProposalSet],
    run: Run[CrossModalRecipe],
) -> tuple[dict[int, Unusable], dict[int, Unusable]]:
    """Take the boxes of pairs that cannot be used away, if the recipe leaves such pairs out.

    Returns:
        The reason for each of these pairs, by its index in the source to train on, and in that of
        the held-back pairs if it is another one; empty if the recipe keeps them, which are not
        judged.
    """
    if run.recipe.unusable == "keep":
        return {}, {}
    if not split.has_two_sources:
        return _without_boxes(split.source, [found, held_back], run), {}
    held_left = _without_boxes(split.held_back_source, [held_back], run)
    return _without_boxes(split.source, [found], run), held_left


def _without_boxes(
    source: PairSource, boxes: Sequence[dict[int, ProposalSet]], run: Run[CrossModalRecipe]
) -> dict[int, Unusable]:
    left = unusable_pairs(source, [index for one in boxes for index in one], run.progress)
    for one in boxes:
        one.update(dict.fromkeys(one.keys() & left.keys(), ProposalSet((), ())))
    return left


def usable_frames(
    source: PairSource,
    tracks: Mapping[str, Sequence[Track]],
    left: Mapping[int, Unusable],
    run: Run[CrossModalRecipe],
) -> tuple[dict[str, list[Track]], dict[int, Unusable]]:
    """The tracks without the pairs that cannot be used, if the recipe leaves such pairs out: a box
    may be followed in one modality while the other shows nothing.

    Args:
        source: the pairs.
        tracks: tracks by name of their recording.
        left: the pairs that are left out already, with the reason.
        run: recipe and progress.

    Returns:
        The tracks, and all pairs that are left out. Where tracks only join proposals, which were
        judged with their pairs, no other pair is.
    """
    recipe = run.recipe
    if recipe.unusable == "keep" or recipe.boxes.join_iou is not None:
        return {name: list(ones) for name, ones in tracks.items()}, dict(left)
    shown = {index for one in chain.from_iterable(tracks.values()) for index in one.trusted()}
    left = {**unusable_pairs(source, sorted(shown), run.progress), **left}
    return {name: [one.without(left) for one in ones] for name, ones in tracks.items()}, left
