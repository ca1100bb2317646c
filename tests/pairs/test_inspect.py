"""What inspection finds, counts and warns of, and the contact sheet."""

from __future__ import annotations

import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tirtrack.boxes import Box
from tirtrack.cli.app import run
from tirtrack.distillation.sources import hold_back
from tirtrack.pairs import open_pairs
from tirtrack.pairs.contact_sheet import COLOURS, contact_sheet, scaled
from tirtrack.pairs.delay import Delay
from tirtrack.pairs.doubts import RecordingDoubts
from tirtrack.pairs.inspect import _warnings, inspect_pairs, proposal_rates
from tirtrack.pairs.inspection_folder import (
    INSPECTION_NAME,
    ProposalRates,
    RecordingFacts,
    read_inspection,
    write_inspection,
)
from tirtrack.pairs.proposals import proposer
from tirtrack.pairs.proposals.base import FoundIn, Proposal, ProposalSet, Rejection
from tirtrack.pairs.proposals.rules import RejectionReason
from tirtrack.pairs.registration import OffsetSummary
from tirtrack.pairs.rig import TimeOffset
from tirtrack.pairs.source import Pair, PairSource
from tirtrack.pairs.spreading import spread

BOX = Box(20, 20, 30, 30)


def _kept(found_in: FoundIn, way: str = "saliency") -> Proposal:
    return Proposal(BOX, found_in, 1.0, way)


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[k : k + 2], 16) for k in (1, 3, 5))


def test_every_damaged_pair_is_listed_and_the_others_are_counted(tmp_path, write_images):
    folder = write_images(tmp_path / "a", [str(k) for k in range(6)])
    (folder / "rgb" / "2.png").write_bytes(b"")
    content = (folder / "tir" / "4.png").read_bytes()
    (folder / "tir" / "4.png").write_bytes(content[: len(content) // 2])
    found = inspect_pairs(open_pairs(folder), proposer("saliency"))
    assert [damage.index for damage in found.damaged] == [2, 4]
    assert "2.png" in found.damaged[0].message
    assert "4.png" in found.damaged[1].message
    assert found.recordings[0].sizes == {"128x96": 4}
    assert found.warnings[0].startswith("2 of 6 pairs cannot be used")
    assert sorted(found.boxes) == [0, 1, 3, 5]


def test_what_is_written_is_what_is_read(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", ["1", "2", "3"]))
    found = inspect_pairs(source, proposer("random"), seed=3)
    write_inspection(tmp_path, source, found)
    document = json.loads((tmp_path / INSPECTION_NAME).read_text(encoding="utf-8"))
    read = read_inspection(tmp_path)
    assert read is not None
    assert read.model_dump(mode="json") == found.model_dump(mode="json") == document
    assert (document["pairs"], document["usable_pairs"]) == (3, 3)
    assert document["proposals"]["kept"] == {"both": 15}
    assert list(document["proposals"]) == [
        "way", "pairs", "kept", "rejected", "fallback_pairs", "empty_pairs", "accepted"
    ]  # fmt: skip
    assert document["recordings"][0]["is_video"] is True
    assert document["recordings"][0]["tir_depths"] == {"uint8": 3}


class AsItLies:
    """The pairs of a source, which then takes no rig."""

    def __init__(self, source: PairSource) -> None:
        self._source = source
        self.name = source.name
        self.recordings, self.manifest = source.recordings, source.manifest

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Pair:
        return self._source[index]


def test_an_offset_above_four_pixels_is_warned_of_with_its_direction(tmp_path, write_images):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((110, 150)), 3)
    scene = np.clip(noise * 1500 - 600, 0, 255).astype(np.uint8)
    for name, shift in (("near", 3), ("far", 7)):
        folder = write_images(tmp_path / name, ["1"])
        Image.fromarray(scene[7:103, 11:139]).convert("RGB").save(folder / "rgb" / "1.png")
        moved = scene[7:103, 11 + shift : 139 + shift]
        Image.fromarray(moved).save(folder / "tir" / "1.png")
    far = inspect_pairs(AsItLies(open_pairs(tmp_path / "far")), proposer("centre"))
    assert far.offset.dx == pytest.approx(7, abs=0.6)
    assert any("px apart (RGB = TIR +7.0 right" in line for line in far.warnings)
    near = inspect_pairs(AsItLies(open_pairs(tmp_path / "near")), proposer("centre"))
    assert near.offset.dx == pytest.approx(3, abs=0.6)
    assert not any("apart" in line for line in near.warnings)


def test_pairs_that_lie_apart_in_all_directions_get_another_advice(tmp_path, write_images):
    noise = ndimage.gaussian_filter(np.random.default_rng(0).random((130, 170)), 3)
    scene = np.clip(noise * 1500 - 600, 0, 255).astype(np.uint8)
    stems = [str(k) for k in range(4)]
    folder = write_images(tmp_path / "a", stems)
    for stem, (dx, dy) in zip(stems, ((7, 0), (-7, 0), (0, 7), (0, -7)), strict=True):
        Image.fromarray(scene[12:108, 12:140]).convert("RGB").save(folder / "rgb" / f"{stem}.png")
        moved = scene[12 + dy : 108 + dy, 12 + dx : 140 + dx]
        Image.fromarray(moved).save(folder / "tir" / f"{stem}.png")
    found = inspect_pairs(AsItLies(open_pairs(folder)), proposer("centre"))
    (said,) = [line for line in found.warnings if "apart" in line]
    assert "the modalities of a typical pair lie 7.0 px apart" in said
    assert "no single shift repairs that" in said


def test_resampled_tir_is_said(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    Image.open(folder / "tir" / "1.png").resize((64, 48)).save(folder / "tir" / "1.png")
    found = inspect_pairs(open_pairs(folder), proposer("centre"))
    assert found.recordings[0].tir_resampled_from == "64x48"
    assert "a: TIR was resampled from 64x48 onto the RGB grid" in found.warnings


def test_only_the_asked_number_of_pairs_gets_boxes(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", [str(k) for k in range(9)]))
    found = inspect_pairs(source, proposer("centre"), sampled=3)
    assert sorted(found.boxes) == [0, 4, 8]
    assert found.offset.tested == 3


def test_boxes_are_the_same_from_any_number_of_processes(tmp_path, write_images):
    folder = write_images(tmp_path / "a", [str(k) for k in range(4)])
    one, other = (inspect_pairs(folder, "random", workers=count) for count in (1, 2))
    assert one == other


def test_rates_count_boxes_reasons_fallbacks_and_leave_out_the_unreadable():
    sets = [
        ProposalSet(
            (_kept(FoundIn.BOTH), _kept(FoundIn.TIR)), (Rejection(BOX, RejectionReason.TOO_SMALL),)
        ),
        ProposalSet((_kept(FoundIn.BOTH, "random"),), ()),
        ProposalSet((), ()),
        ProposalSet((), (), fault="damaged"),
    ]
    rates = proposal_rates(sets, "saliency")
    assert (rates.pairs, rates.fallback_pairs, rates.empty_pairs) == (3, 1, 1)
    assert rates.kept == {"both": 2, "tir": 1}
    assert rates.rejected == {"too small": 1}
    assert rates.accepted == 0.75
    assert proposal_rates([], "x").accepted == 0.0


def test_the_sheet_draws_boxes_where_they_were_found(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", ["1"]))
    width = source[0].rgb.shape[1]
    for found_in, sides in ((FoundIn.RGB, [True, False]), (FoundIn.TIR, [False, True]),
                            (FoundIn.BOTH, [True, True])):  # fmt: skip
        sheet = contact_sheet(
            source, {0: ProposalSet((_kept(found_in),), ())}, image_width=3 * width
        )[24:]
        hits = (np.abs(sheet.astype(int) - _rgb(COLOURS[found_in])).max(axis=2) < 12).sum(axis=0)
        middle = sheet.shape[1] // 2
        assert [hits[:middle].sum() > 200, hits[middle:].sum() > 200] == sides


def test_the_sheet_marks_rejections_and_leaves_out_unreadable_pairs(tmp_path, write_images):
    source = open_pairs(write_images(tmp_path / "a", ["1", "2"]))
    plain = {0: ProposalSet((), ()), 1: ProposalSet((), (), fault="damaged")}
    marked = {**plain, 0: ProposalSet((), (Rejection(BOX, RejectionReason.CONSTANT),))}
    assert contact_sheet(source, plain).shape == contact_sheet(source, marked).shape
    assert not np.array_equal(contact_sheet(source, plain)[60:], contact_sheet(source, marked)[60:])
    with pytest.raises(ValueError, match="no readable pair"):
        contact_sheet(source, {1: plain[1]})


def test_the_sheet_takes_sixteen_bits_and_boxes_over_the_border(tmp_path, write_images):
    folder = write_images(tmp_path / "a", ["1"])
    counts = np.random.default_rng(0).integers(6900, 7300, (96, 128)).astype(np.uint16)
    Image.fromarray(counts).save(folder / "tir" / "1.png")
    odd = [Box(-20, -20, 400, 400), Box(np.nan, 0, 5, 5)]
    found = ProposalSet(
        tuple(Proposal(box, FoundIn.TIR, 1.0, "x") for box in odd),
        tuple(Rejection(box, RejectionReason.NOT_FINITE) for box in odd),
    )
    sheet = contact_sheet(open_pairs(folder), {0: found})
    assert (sheet.ndim, sheet.dtype) == (3, np.uint8)


def test_spread_has_no_repeats_and_keeps_the_ends():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread([5], 3) == [5]
    assert scaled(BOX, 2) == Box(40, 40, 60, 60)


def test_real_pairs_are_inspected_without_complaint(shared):
    found = inspect_pairs(open_pairs(shared / "data/pairs/llvip"), proposer("saliency"), sampled=3)
    assert not found.damaged
    assert not found.offset.too_large
    assert found.proposals.fallback_pairs == 0
    assert found.proposals.kept["tir"] > 0


def test_a_pair_that_cannot_be_used_gets_no_box_and_is_counted(tmp_path, write_images):
    folder = write_images(tmp_path / "a", [str(k) for k in range(6)])
    image = np.asarray(Image.open(folder / "tir" / "3.png"))
    Image.fromarray(np.full_like(image, 90)).save(folder / "tir" / "3.png")
    found = inspect_pairs(open_pairs(folder), proposer("random"))
    (facts,) = found.recordings
    assert (facts.judged, facts.unusable) == (6, {"blank": 1})
    assert [index for index, one in found.boxes.items() if not one.kept] == [3]
    assert found.proposals is not None
    assert found.proposals.pairs == 5
    (said,) = [one for one in found.warnings if "got no boxes" in one]
    assert said.startswith("a: 1 of 6 pairs that were looked at closely cannot be used and got no")


def test_a_recording_that_is_mostly_unusable_is_one_warning(tmp_path, write_images):
    folder = write_images(tmp_path / "a", [str(k) for k in range(3)])
    for k in range(3):
        Image.fromarray(np.full((96, 128), 90 + k, np.uint8)).save(folder / "tir" / f"{k}.png")
    found = inspect_pairs(open_pairs(folder), proposer("random"))
    assert found.recordings[0].unusable == {"blank": 3}
    (said,) = [one for one in found.warnings if "blank" in one or "no outlines" in one]
    assert said.endswith(
        "a (3 x blank, of 3); one camera was covered or off, so leave such recordings out"
    )


@pytest.mark.parametrize(
    ("time", "delay", "is_said"),
    [
        pytest.param(TimeOffset(frames=3.4), None, True, id="late"),
        pytest.param(TimeOffset(frames=3.4), Delay(3, 0.1, 0.4, "correlation"), False, id="said"),
        pytest.param(
            TimeOffset(frames=3.4, drift_per_1000=0.7),
            Delay(3, 0.1, 0.4, "correlation"),
            True,
            id="a delay does not mend a drift",
        ),
        pytest.param(TimeOffset(frames=0.4), None, False, id="no other frame is nearer"),
        pytest.param(TimeOffset(frames=0.4, drift_per_1000=0.7), None, True, id="in the end it is"),
        pytest.param(None, None, False, id="not told"),
    ],
)
def test_a_time_offset_is_a_warning_where_another_frame_is_nearer(time, delay, is_said):
    facts = RecordingFacts(name="a", pairs=900, time=time, doubts=RecordingDoubts("a", delay=delay))
    said = _warnings(900, [], [facts], ProposalRates(way="centre"), unit="pair", rejected=0)
    late = [
        one for one in said if "`tirtrack pairs register`" in one and "not of one instant" in one
    ]
    assert bool(late) is is_said
    assert any("with --delay 3" in one for one in said) is (delay is not None and not is_said)


@pytest.mark.parametrize(
    ("doubts", "is_said"),
    [
        pytest.param(RecordingDoubts("a", compared=4), True, id="nothing else is known"),
        pytest.param(RecordingDoubts("a", compared=4, turned="mirrored"), False, id="turned"),
        pytest.param(RecordingDoubts("a", compared=4, unrelated=3), False, id="unrelated"),
        pytest.param(RecordingDoubts("a", compared=4, unusable={"blank": 3}), False, id="unusable"),
    ],
)
def test_few_common_outlines_are_said_where_nothing_explains_them(doubts, is_said):
    odd = RecordingFacts(name="a", pairs=90, offset=OffsetSummary(tested=9), doubts=doubts)
    good = RecordingFacts(name="b", pairs=90, offset=OffsetSummary(tested=2, usable=2))
    said = _warnings(180, [], [odd, good], ProposalRates(way="centre"), unit="pair", rejected=0)
    few = [one for one in said if "share enough outlines" in one]
    assert [one.startswith("only 2 of 11 pairs share") for one in few] == [True] * is_said


# --- names that are no UTF-8 ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_no_utf8_are_written_and_printed(tmp_path, write_images, capsys):
    odd = os.fsdecode(b"night\xff")
    folder = write_images(tmp_path / odd, ["1", "2"])
    out = tmp_path / "out"
    assert run(["pairs", "inspect", str(folder), "--out", str(out)]) == 0
    assert "night" in capsys.readouterr().out
    files = json.loads((out / "manifest.json").read_text(encoding="utf-8"))["files"]
    assert "night\\xff" in files[0]["path"]
    inspection = read_inspection(out)
    assert inspection is not None
    assert inspection.name == "night\\xff"
    source = open_pairs([folder, write_images(tmp_path / "day", ["1", "2"])])
    assert hold_back(source, 0.5).held_back, "the order of held-back recordings hashes their names"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_terminal_of_utf8_shows_such_names_with_escapes(tmp_path, write_images, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    folder = write_images(tmp_path / os.fsdecode(b"night\xff"), ["1", "2"])
    assert run(["pairs", "inspect", str(folder), "--out", str(tmp_path / "o"), "--json"]) == 0
    sys.stdout.flush()
    assert json.loads(written.getvalue())["name"] == "night\\xff"
