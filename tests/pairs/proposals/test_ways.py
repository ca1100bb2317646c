"""Centre and random boxes, the rules for all, the registry, and what a proposer sees."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirtrack.boxes import Box
from tirtrack.errors import PairsError, RequestError
from tirtrack.pairs import open_pairs
from tirtrack.pairs.proposals import names, propose_all, proposer
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet
from tirtrack.pairs.proposals.centre import Centre, CentreSettings, centre_box
from tirtrack.pairs.proposals.random import MAX_DRAWS, RandomSettings, draw_box
from tirtrack.pairs.proposals.registry import (
    check_any_box,
    identity_of,
    neighbour_positions,
    neighbours,
    propose_boxes,
)
from tirtrack.pairs.proposals.rules import (
    Limits,
    RejectionReason,
    Screen,
    geometry_fault,
    grey_levels,
    region_std,
)
from tirtrack.pairs.source import Manifest, Pair, Recording

SIZES = st.tuples(st.integers(40, 900), st.integers(40, 700))


class Memory:
    """A pair source in memory; indices in ``damaged`` cannot be read."""

    name = "memory"

    def __init__(self, pairs: list[Pair], *, is_video: bool = True, damaged=()) -> None:
        self.pairs = pairs
        self.is_video = is_video
        self.damaged = set(damaged)
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        self.reads.append(index)
        if index in self.damaged:
            raise PairsError("the image is damaged", f"{index}.png")
        return self.pairs[index]

    def recordings(self):
        return {"a": Recording("a", range(len(self.pairs)), self.is_video)}

    def manifest(self) -> Manifest:
        return Manifest("memory", "none", [])


def _textured(seed: int = 0, height: int = 128, width: int = 160) -> Pair:
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
    return Pair(f"a/{seed}", "a", seed, rgb, rgb[..., 0].copy())


def _flat() -> Pair:
    return Pair(
        "a/flat", "a", 0, np.full((128, 160, 3), 9, np.uint8), np.full((128, 160), 9, np.uint8)
    )


def test_the_centre_box_is_that_of_the_paper_read_as_meant():
    assert centre_box(640, 512, CentreSettings()) == Box(270, 156, 100, 200)


@given(SIZES)
def test_the_centre_box_is_inside_and_centred_in_any_frame(size):
    box = centre_box(*size, CentreSettings())
    assert box.center_xy == pytest.approx((size[0] / 2, size[1] / 2))
    assert box.x >= 0
    assert box.x + box.w <= size[0]
    assert box.y >= 0
    assert box.y + box.h <= size[1]


@given(SIZES, st.integers(0, 2**32), st.booleans())
def test_random_boxes_are_always_wholly_inside(size, seed, log_uniform):
    width, height = size
    drawn = draw_box(
        width, height, RandomSettings(log_uniform=log_uniform), np.random.default_rng(seed)
    )
    assert drawn.x >= 0
    assert drawn.y >= 0
    assert drawn.x + drawn.w <= width + 1e-9
    assert drawn.y + drawn.h <= height + 1e-9
    assert min(drawn.w, drawn.h) > 0


def test_random_boxes_have_the_published_size_on_the_published_frame():
    box = draw_box(640, 512, RandomSettings(), np.random.default_rng(0))
    assert (box.w, box.h) == (100, 100)


def test_log_uniform_sizes_fill_their_range():
    rng = np.random.default_rng(0)
    boxes = [draw_box(640, 512, RandomSettings(log_uniform=True), rng) for _ in range(2000)]
    sides = np.array([(box.w * box.h) ** 0.5 for box in boxes])
    aspects = np.array([box.w / box.h for box in boxes])
    assert 32 <= sides.min() < 34
    assert 155 < sides.max() <= 160
    assert np.median(sides) == pytest.approx((32 * 160) ** 0.5, rel=0.05)
    assert aspects.min() >= 1 / 3
    assert aspects.max() <= 3


def test_min_dx_keeps_left_edges_apart():
    way = proposer("random", min_dx=80.0, count=4)
    pair = _textured(height=512, width=640)
    kept = way.propose(pair, (), np.random.default_rng(1)).kept
    lefts = sorted(proposal.box.x for proposal in kept)
    assert len(kept) == 4
    assert min(np.diff(lefts)) >= 80


def test_the_centre_box_as_published_lies_below_the_frame_and_is_kept():
    way = Centre(CentreSettings(as_published=True))
    frame = np.zeros((512, 640), dtype=np.uint8)
    pair = Pair("a/0", "a", 0, np.repeat(frame[..., None], 3, axis=2), frame)
    (proposal,) = way.propose(pair, [], np.random.default_rng(0)).kept
    assert proposal.box == Box(206, 540, 100, 200)


@pytest.mark.parametrize("name", ["centre", "random"])
def test_a_constant_pair_yields_nothing_and_ends(name):
    found = proposer(name).propose(_flat(), (), np.random.default_rng(0))
    assert found.kept == ()
    assert {one.reason for one in found.rejected} == {RejectionReason.CONSTANT}
    assert len(found.rejected) <= MAX_DRAWS * 5


@pytest.mark.parametrize("name", ["centre", "random"])
@pytest.mark.parametrize("shown_in", ["rgb", "tir"])
def test_texture_in_one_modality_is_enough(name, shown_in):
    pair = replace(_flat(), **{shown_in: getattr(_textured(), shown_in)})
    assert proposer(name).propose(pair, (), np.random.default_rng(0)).kept


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        pytest.param(Box(np.nan, 0, 9, 9), RejectionReason.NOT_FINITE, id="nan"),
        pytest.param(Box(10, 10, 3.9, 20), RejectionReason.TOO_SMALL, id="3.9 wide"),
        pytest.param(Box(10, 10, 4, 4), None, id="4 by 4"),
        pytest.param(
            Box(-21, 10, 40, 20), RejectionReason.CENTRE_OUTSIDE, id="centre left of the frame"
        ),
        pytest.param(Box(150, 118, 18, 18), RejectionReason.MOSTLY_OUTSIDE, id="a quarter inside"),
        pytest.param(Box(150, 50, 20, 20), None, id="exactly half inside"),
        pytest.param(Box(0, 0, 160, 128), None, id="whole frame"),
    ],
)
def test_geometry_has_one_reason_each(box, reason):
    assert geometry_fault(box, 160, 128, Limits()) == reason


def test_the_screen_keeps_order_and_counts_both_sides():
    boxes = [Box(10, 10, 20, 20), Box(10, 10, 2, 20), Box(40, 40, 30, 30)]
    proposals = [Proposal(box, FoundIn.BOTH, 1.0, "x") for box in boxes]
    found = Screen(_textured(), Limits()).sort(proposals)
    assert [one.box for one in found.kept] == [boxes[0], boxes[2]]
    assert [one.reason for one in found.rejected] == [RejectionReason.TOO_SMALL]


def test_a_patch_counts_as_constant_below_two_grey_levels():
    levels = np.zeros((20, 20), np.float32)
    levels[:, ::2] = 3.9
    box = Box(0, 0, 20, 20)
    assert region_std(levels, box) == pytest.approx(1.95)
    levels[:, ::2] = 4.1
    assert region_std(levels, box) == pytest.approx(2.05)
    assert region_std(levels, Box(30, 30, 5, 5)) == 0.0


def test_raw_counts_are_stretched_but_noise_is_not():
    rng = np.random.default_rng(0)
    noise = (7000 + rng.normal(0, 2, (80, 100))).astype(np.uint16)
    assert grey_levels(noise).std() < 12
    hot = (7000 + rng.normal(0, 2, (80, 100))).astype(np.uint16)
    hot[20:40, 20:50] = 7400
    levels = grey_levels(hot)
    assert levels[30, 30] == pytest.approx(255)
    assert levels[60, 60] < 30
    grey = rng.integers(0, 255, (10, 10)).astype(np.uint8)
    assert np.array_equal(grey_levels(grey), grey)
    assert np.isfinite(grey_levels(np.full((9, 9), np.nan, np.float32))).all()


def test_unknown_names_and_options_say_the_nearest():
    assert names() == ["centre", "detector", "random", "regions", "saliency"]
    with pytest.raises(
        RequestError, match=r'no proposer is called "salience".*did you mean "saliency"'
    ):
        proposer("salience")
    with pytest.raises(RequestError, match=r'no option "cout".*did you mean "count"'):
        proposer("random", cout=3)
    with pytest.raises(RequestError, match='option "count" of "random" is 0'):
        proposer("random", count=0)
    with pytest.raises(RequestError, match="one of them only"):
        proposer("detector")


def test_all_boxes_come_in_the_order_of_the_source_and_a_seed_fixes_them():
    source = Memory([_textured(k) for k in range(4)])
    first = propose_all(source, proposer("random"), 3)
    assert first == propose_all(source, proposer("random"), 3)
    assert first != propose_all(source, proposer("random"), 4)
    alone = propose_all(Memory(source.pairs[:1]), proposer("random"), 3)
    assert alone[0] == first[0]


def test_progress_is_told_of_every_pair():
    told = []
    source = Memory([_textured(k) for k in range(3)])
    propose_all(source, proposer("centre"), 0, lambda *a, **k: told.append(a[1:3]))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_random_boxes_stand_in_where_a_way_finds_nothing():
    class Nothing:
        name = "nothing"

        def propose(self, pair, neighbours, rng):
            return ProposalSet((), ())

    (found,) = propose_all(Memory([_textured()]), Nothing(), 0)
    assert {one.way for one in found.kept} == {"random"}
    assert len(found.kept) == 5


def test_a_source_of_constant_pairs_ends_with_its_name():
    source = Memory([_flat(), _flat()])
    found = propose_all(source, proposer("saliency"), 0)
    with pytest.raises(PairsError, match="memory: not one usable box in 2 pairs"):
        check_any_box(source, found)


def test_few_damaged_pairs_are_left_out_and_many_stop_the_work(caplog):
    pairs = [_textured(k) for k in range(200)]
    found = propose_all(Memory(pairs, damaged=[7]), proposer("centre"), 0)
    assert found[7] == ProposalSet((), (), fault="7.png: the image is damaged")
    assert sum(bool(one.kept) for one in found) == 199
    assert "7.png" in caplog.text
    with pytest.raises(PairsError, match=r"20 of 200 pairs cannot be used \(first: 0.png"):
        propose_all(Memory(pairs, damaged=range(20)), proposer("centre"), 0)


def test_a_single_damaged_pair_is_left_out_of_few_but_not_of_one():
    pairs = [_textured(k) for k in range(3)]
    found = propose_all(Memory(pairs, damaged=[0]), proposer("centre"), 0)
    assert [bool(one.kept) for one in found] == [False, True, True]
    with pytest.raises(PairsError, match="2 of 3 pairs cannot be used"):
        propose_all(Memory(pairs, damaged=[0, 1]), proposer("centre"), 0)
    with pytest.raises(PairsError, match="1 of 1 pairs cannot be used"):
        propose_all(Memory(pairs[:1], damaged=[0]), proposer("centre"), 0)


@pytest.mark.parametrize("name", ["random", "saliency"])
def test_boxes_of_a_pair_do_not_depend_on_which_others_are_asked_for(name):
    pairs = [_textured(k) for k in range(12)]
    whole = propose_all(Memory(pairs), proposer(name), 3)
    source = Memory(pairs)
    asked = [7, 0, 3]
    assert propose_all(source, proposer(name), 3, indices=asked) == [whole[k] for k in asked]
    near = {place for k in asked for place in neighbour_positions(k, 12)}
    assert set(source.reads) == ({*asked, *near} if name == "saliency" else set(asked))


def test_the_stream_is_of_the_pair_and_not_of_its_place_in_the_recording(tmp_path, write_images):
    folders = [write_images(tmp_path / name, ["1"]) for name in ("a", "b")]
    one, other = propose_all(open_pairs(folders), proposer("random"), 0)
    assert one != other


def test_an_error_of_the_proposer_is_no_damage_of_the_pair():
    class Failing:
        def propose(self, pair, neighbours, rng):
            raise PairsError("line 3 is not a box", "boxes.csv")

    with pytest.raises(PairsError, match=r"^boxes.csv: line 3 is not a box"):
        propose_all(Memory([_textured()]), Failing(), 0)


def test_damage_is_counted_among_the_pairs_asked_for():
    pairs = [_textured(k) for k in range(200)]
    source = Memory(pairs, damaged=range(100, 200))
    assert len(propose_all(source, proposer("centre"), 0, indices=range(100))) == 100
    with pytest.raises(PairsError, match="2 of 4 pairs cannot be used"):
        propose_all(source, proposer("centre"), 0, indices=[98, 99, 100, 101])


def test_an_identity_is_json_and_says_every_setting_with_its_default():
    for name in ("centre", "random", "saliency"):
        way = proposer(name)
        identity = json.loads(json.dumps(way.identity()))
        assert identity["way"] == name
        assert set(identity["settings"]) == set(type(way.settings).model_fields)
    assert proposer("random").identity() == proposer("random", count=5).identity()
    assert proposer("random").identity() != proposer("random", count=4).identity()


def test_a_damaged_neighbour_does_not_stop_its_pair():
    source = Memory([_textured(k) for k in range(3)], damaged=[0])
    near = neighbours(source.__getitem__, source.recordings()["a"], 1)
    assert [pair.key for pair in near] == ["a/2"]


def test_stills_have_no_neighbours_and_nobody_looks_at_them_unasked():
    stills = Memory([_textured(k) for k in range(5)], is_video=False)
    assert list(neighbours(stills.__getitem__, stills.recordings()["a"], 2)) == []
    video = Memory([_textured(k) for k in range(5)])
    propose_all(video, proposer("centre"), 0)
    assert video.reads == [0, 1, 2, 3, 4]


@settings(max_examples=200)
@given(st.integers(1, 400), st.data())
def test_neighbours_are_inside_distinct_and_never_the_pair_itself(length, data):
    position = data.draw(st.integers(0, length - 1))
    places = neighbour_positions(position, length)
    assert position not in places
    assert len(set(places)) == len(places) <= 4
    assert all(0 <= place < length for place in places)
    assert places or length == 1


def test_levels_of_pixels_without_measurement_are_those_of_the_nearest():
    frame = np.linspace(7000, 9000, 120).reshape(10, 12)
    valid = np.ones(frame.shape, bool)
    valid[:, :3] = False
    levels = grey_levels(np.where(valid, frame, -9999.0), valid)
    assert np.array_equal(levels[:, :3], np.repeat(levels[:, 3:4], 3, axis=1))
    assert np.ptp(levels[:, 3:]) > 200
    whole = grey_levels(np.where(valid, np.rint(frame / 100), np.nan), valid)  # counts as floats
    assert np.ptp(whole) < 100  # no finer than 64 counts over the range


# --- one modality ---------------------------------------------------------------------------------


def _square(position: int) -> Pair:
    rng = np.random.default_rng(position)
    rgb = rng.integers(40, 80, (96, 128, 3), dtype=np.uint8)
    tir = rng.integers(40, 80, (96, 128), dtype=np.uint8)
    x = 40 + 6 * position
    rgb[30:50, x : x + 24] = [200, 90, 160]
    tir[30:50, x : x + 24] = 220
    return Pair(f"a/{position}", "a", position, rgb, tir)


class Remembering:
    """Notes what it is shown."""

    name = "remembering"

    def __init__(self) -> None:
        self.shown: list[Pair] = []

    def identity(self):
        return {"way": self.name}

    def propose(self, pair, neighbours, rng):
        self.shown = [pair, *neighbours]
        return ProposalSet((), ())


@pytest.mark.parametrize("seen", ["rgb", "tir"])
def test_of_what_a_proposer_does_not_see_rgb_is_missing_and_tir_blank(seen):
    pairs = [_square(position) for position in range(3)]
    way = Remembering()
    propose_boxes(way, pairs[1], [pairs[0], pairs[2]], np.random.default_rng(0), [seen])
    for shown, pair in zip(way.shown, [pairs[1], pairs[0], pairs[2]], strict=True):
        assert np.array_equal(getattr(shown, seen), getattr(pair, seen))
        assert shown.rgb is None if seen == "tir" else not shown.tir.any()
        assert shown.tir.shape == pair.tir.shape


@pytest.mark.parametrize(("seen", "blank"), [("rgb", "tir"), ("tir", "rgb")])
def test_boxes_do_not_depend_on_the_unseen_modality_anywhere(seen, blank):
    pairs = [_square(position) for position in range(3)]
    other = [replace(pair, **{blank: 255 - getattr(pair, blank)}) for pair in pairs]
    one, two = (
        propose_boxes(
            proposer("saliency"), take[1], [take[0], take[2]], np.random.default_rng(0), [seen]
        )
        for take in (pairs, other)
    )
    assert one == two
    assert {str(box.found_in) for box in one.kept} == {seen}


def test_with_both_eyes_open_nothing_is_changed():
    pair, way = _square(0), Remembering()
    both = propose_boxes(proposer("saliency"), pair, [], np.random.default_rng(0), ["rgb", "tir"])
    assert FoundIn.BOTH in {box.found_in for box in both.kept}
    propose_boxes(way, pair, [], np.random.default_rng(0), ["rgb", "tir"])
    assert way.shown[0] is pair


def test_what_is_blank_is_part_of_the_identity():
    way = Remembering()
    identities = [identity_of(way, eyes) for eyes in (["rgb"], ["tir"], ["tir", "rgb"])]
    assert [one["blind"] for one in identities] == [["tir"], ["rgb"], []]
    assert all(one["way"] == "remembering" for one in identities)
