"""The contact sheet: which pairs it shows."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tirtrack.boxes import Box
from tirtrack.pairs.contact_sheet import COLOURS, _dashed, _tiles, contact_sheet
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.tracklets import Track, TrackFault, Tracklet


@pytest.mark.parametrize(
    ("rejecting", "count", "shown"),
    [
        ([], 4, [0, 3, 6, 9]),
        ([4], 4, [0, 4, 5, 9]),
        ([2, 3, 4, 5], 4, [0, 2, 5, 9]),
        (range(10), 4, [0, 3, 6, 9]),
        (range(9), 4, [0, 1, 4, 8]),
        ([7], 1, [0]),
        ([7], 20, list(range(10))),
    ],
)
def test_half_of_the_tiles_show_a_rejection_where_there_are_so_many(rejecting, count, shown):
    proposals = {index: SimpleNamespace(rejected=index in rejecting) for index in range(10)}
    assert _tiles(range(10), proposals, count) == shown


BOX = Box(40.0, 30.0, 30.0, 24.0)


def followed(fault: TrackFault | None) -> Track:
    proposal = Proposal(BOX, FoundIn.TIR, 1.0, "saliency")
    return Track(proposal, "tir", (0, 0, 0), Tracklet((BOX,) * 3, (True,) * 3, fault))


def sheet_of(pair, tracks: list[Track]) -> np.ndarray:
    return contact_sheet([pair], {0: ProposalSet([], [])}, tracks)


def test_film_strips_show_trusted_and_rejected_tracks_below_the_pairs(pair):
    trusted, rejected = followed(None), followed(TrackFault.TOO_SHORT)
    without = sheet_of(pair, [])
    added = {
        count: len(sheet_of(pair, [trusted] * count + [rejected] * count)) - len(without)
        for count in (1, 2, 10)
    }
    assert added[1] > 0
    assert added[2] == 2 * added[1]
    assert added[10] == 3 * added[1]


@pytest.mark.parametrize("fault", [None, TrackFault.TOO_SHORT], ids=["trusted", "rejected"])
def test_only_trusted_boxes_have_the_colour_of_their_modality(pair, fault):
    height = len(sheet_of(pair, []))
    strip = sheet_of(pair, [followed(fault)])[height:]
    colour = [int(COLOURS[FoundIn.TIR][at : at + 2], 16) for at in (1, 3, 5)]
    assert bool((strip == colour).all(axis=-1).any()) is (fault is None)


@pytest.mark.parametrize("ground", ["black", "white"])
def test_dashed_box_stands_out_from_any_picture(ground):
    picture = Image.new("L", (60, 60), ground)
    _dashed(ImageDraw.Draw(picture), Box(10.0, 10.0, 30.0, 20.0))
    edge = np.array(picture)[10, 10:40]
    assert (edge < 60).any()
    assert (edge > 150).any()
    assert (edge < 250).all()
