"""The signal without labels: how well a tracker on TIR follows RGB tracks of held-back recordings.

The tracks are the same for every tracker: the start weights follow boxes of RGB in RGB, from the
first frame of each recording on, and the tracks that are trusted count. Each tracker begins in TIR
with the first box of a track.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.evidence.plan import UNREGISTERED, Plan
from tirtrack.boxes import iou
from tirtrack.distillation.clips import usable_proposals
from tirtrack.distillation.recipe import recipe_of_kind
from tirtrack.distillation.settings import CrossModalRecipe
from tirtrack.distillation.sources import hold_back
from tirtrack.errors import PairsError
from tirtrack.evaluation.tracker_sources import OnlineTracker, TrackerSource
from tirtrack.files import fingerprint
from tirtrack.pairs import open_pairs
from tirtrack.pairs.following import Following, kept_tracks
from tirtrack.pairs.proposals import Proposal, proposer
from tirtrack.pairs.proposals.proposal_cache import kept_proposals
from tirtrack.pairs.proposals.registry import Proposing
from tirtrack.pairs.source import PairSource, content_identity
from tirtrack.pairs.tracklets import Track, starts_of
from tirtrack.trackers.loading import load_tracker


def held_back_of(plan: Plan, recordings: Sequence[Path]) -> list[Path]:
    """The recordings among all of the world that no arm is trained on."""
    source = open_pairs(recordings)
    split = hold_back(source, _recipe(plan).held_back.share)
    held = set(split.held_back)
    names = {name for name, one in source.recordings().items() if held.issuperset(one.indices)}
    return [folder for folder in recordings if folder.name in names]


def rgb_tracks(plan: Plan, recording: Path) -> list[Track]:
    """The trusted RGB tracks that begin in the first frame of a recording; made once."""
    try:
        tracks = tracks_of(open_pairs([recording]), _recipe(plan), plan.baseline)
    except PairsError:
        return []
    return [one for one in tracks if one.trusted()]


def tracks_of(
    source: PairSource, recipe: CrossModalRecipe, baseline: str, begin: Sequence[int] = (0,)
) -> list[Track]:
    """The tracks of a recording that begin in some of its pairs, rejected ones included; made once.

    Args:
        source: the recording.
        recipe: recipe with the settings of proposals, boxes and tracks.
        baseline: name of the tracker that follows.
        begin: indices of the pairs in which tracks begin.
    """
    starts = starts_of(range(len(source)), proposed(source, begin, recipe), recipe.tracks)
    make = functools.partial(load_tracker, baseline)
    tracks = kept_tracks(Following(source, make, recipe.tracks, _content(source)), starts)
    return [one for ones in tracks for one in ones]


def proposed(
    source: PairSource, indices: Sequence[int], recipe: CrossModalRecipe
) -> dict[int, list[Proposal]]:
    """The usable proposals by index of their pair; made once."""
    settings = recipe.proposals
    way = proposer(settings.way, **settings.options)
    proposing = Proposing(source, way, 0, settings.modalities)
    found = kept_proposals(proposing, indices, content=_content(source))
    sets = zip(indices, found, strict=True)
    return {index: usable_proposals(one, recipe) for index, one in sets}


def _content(source: PairSource) -> str:
    return fingerprint(content_identity(source, source.manifest()))


def agreement(plan: Plan, tracker: TrackerSource, recordings: Sequence[Path]) -> dict[str, float]:
    """Overlap of a tracker on TIR with each trusted RGB track, ``RECORDING/NUMBER``."""
    online = tracker.load(0)
    return {
        f"{folder.name}/{number}": round(followed(online, open_pairs([folder]), track), 5)
        for folder in recordings
        for number, track in enumerate(rgb_tracks(plan, folder))
    }


def followed(tracker: OnlineTracker, source: PairSource, track: Track) -> float:
    """Mean overlap of a tracker on TIR with a track, over its trusted frames after the first.

    Args:
        tracker: tracker; its state is overwritten.
        source: pairs of the track.
        track: track with trusted boxes.
    """
    first, *others = track.indices
    trusted = track.trusted()
    tracker.init(source[first].tir, track.proposal.box)
    boxes = {index: tracker.update(source[index].tir).measured_box for index in others}
    overlaps = [
        iou(box.array(), trusted[index].array()) for index, box in boxes.items() if index in trusted
    ]
    return float(np.mean(overlaps))


def _recipe(plan: Plan) -> CrossModalRecipe:
    return recipe_of_kind(CrossModalRecipe, plan.recipe, {**plan.signal, **UNREGISTERED})
