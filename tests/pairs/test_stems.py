"""Which stems belong together, what is assumed, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tirtrack.errors import PairsError
from tirtrack.pairs.camera_names import Pairing
from tirtrack.pairs.rig import TimeOffset, stretched
from tirtrack.pairs.stems import MAX_DRIFT, matched_stems
from tirtrack.pairs.timestamps import drift_frames

HERE = Path("rig")


def test_equal_stems_say_nothing():
    found = matched_stems(["f10", "f9"], ["f9", "f10"], Pairing(), HERE)
    assert (found.places, found.keys, found.said) == (((1, 0), (0, 1)), ("f9", "f10"), "")


def test_equal_time_stamps_are_in_the_order_of_time():
    stems = ["12.9", "12.15", "13.0"]
    found = matched_stems(stems, stems, Pairing(), HERE)
    assert found.keys == ("12.15", "12.9", "13.0")
    assert found.interval_s == pytest.approx(0.425)


@pytest.mark.parametrize(
    ("rgb", "tir", "keys", "said"),
    [
        pytest.param(["1_V", "2_V"], ["2_T", "1_T"], ("1", "2"), '"_V" of RGB and "_T"', id="_V"),
        pytest.param(["1v", "2v"], ["1i", "2i"], ("1", "2"), '"v" of RGB and "i"', id="gtot"),
        pytest.param(
            ["A_visible", "B_visible"], ["A", "B"], ("A", "B"), '"_visible" of RGB and', id="flir"
        ),
        pytest.param(
            ["9", "10"], ["0009", "0010"], ("9", "10"), "without leading zeros", id="padding"
        ),
        pytest.param(
            ["rgb_9", "rgb_10"], ["ir009", "ir010"], ("9", "10"), "leading zeros", id="both"
        ),
        pytest.param(
            ["left_1", "left_2"], ["right_1", "right_2"], ("1", "2"), '"left_" of RGB', id="ends"
        ),
    ],
)
def test_what_names_the_camera_does_not_count(rgb, tir, keys, said):
    found = matched_stems(rgb, tir, Pairing(), HERE)
    assert found.keys == keys
    assert said in found.said


def test_time_stamps_are_matched_within_half_a_frame_and_what_is_left_out_is_counted():
    rgb = [f"17000000{k:02d}.000" for k in range(10)]
    tir = [f"17000000{k:02d}.200" for k in range(3, 9)] + ["1700000030.000"]
    found = matched_stems(rgb, tir, Pairing(), HERE)
    assert found.keys == tuple(rgb[3:9])
    assert found.said == (
        "matched by time within 0.5 s, 4 of 10 RGB and 1 of 7 TIR frames left out"
    )
    assert found.interval_s == pytest.approx(1.0)
    near = matched_stems(rgb, tir, Pairing(max_gap_s=0.3), HERE)
    assert "within 0.3 s" in near.said


TICKS = "numbers taken for "


@pytest.mark.parametrize(
    ("first", "step", "late", "unit_s", "said"),
    [
        pytest.param(1693526400123, 33, 7, 1e-3, "", id="milliseconds_since_1970"),
        pytest.param(1693526400123456789, 33333333, 9 * 10**6, 1e-9, "", id="nanoseconds_since"),
        pytest.param(4512333, 33, 9, 1e-3, f"{TICKS}milliseconds, ", id="milliseconds"),
        pytest.param(45123, 111, 40, 1e-3, f"{TICKS}milliseconds, ", id="few_digits"),
        pytest.param(4512333000, 33333, 9001, 1e-6, f"{TICKS}microseconds, ", id="ten_digits"),
        pytest.param(81234567, 16667, 3000, 1e-6, f"{TICKS}microseconds, ", id="microseconds"),
        pytest.param(
            4512333000111, 33333333, 9 * 10**6, 1e-9, f"{TICKS}nanoseconds, ", id="nanoseconds"
        ),
    ],
)
@pytest.mark.parametrize("part", ["{}", "{}_V", "cam{}"])
def test_whole_numbers_are_matched_by_time(first, step, late, unit_s, said, part):
    rgb = [part.format(first + k * step + k % 2) for k in range(12)]
    tir = [part.replace("V", "T").format(first + k * step + late) for k in range(0, 12, 3)]
    found = matched_stems(rgb, tir, Pairing(), HERE)
    assert found.places == ((0, 0), (3, 1), (6, 2), (9, 3))
    assert found.said.startswith(f"{said}matched by time within ")
    assert "8 of 12 RGB and 0 of 4 TIR frames left out" in found.said
    assert found.interval_s == pytest.approx(3 * step * unit_s, rel=0.02)
    wide = matched_stems(rgb, tir, Pairing(max_gap_s=1.01 * late * unit_s), HERE)
    assert wide.places == found.places
    with pytest.raises(PairsError, match="by time only 0 of 12 RGB and 4 TIR frames"):
        matched_stems(rgb, tir, Pairing(max_gap_s=0.4 * late * unit_s), HERE)


@pytest.mark.parametrize("step", [1, 4, 2000])
def test_numbers_that_are_no_times_of_a_camera_are_refused(step):
    rgb, tir = ([str(40000 + late + k * step) for k in range(0, 6)] for late in (0, 40001))
    with pytest.raises(PairsError, match="12 stems are in one of them only") as caught:
        matched_stems(rgb, tir, Pairing(), HERE)
    assert "--match time" not in str(caught.value)


def test_uneven_numbers_are_times_only_where_the_user_says_so():
    rgb = ["40000", "40007", "40301", "40309", "41200"]
    tir = ["40002", "40009", "40303", "40311", "41202"]
    with pytest.raises(PairsError, match="match them by time with --match time"):
        matched_stems(rgb, tir, Pairing(), HERE)
    found = matched_stems(rgb, tir, Pairing(match="time", max_gap_s=0.003), HERE)
    assert found.places == ((0, 0), (1, 1), (2, 2), (3, 3), (4, 4))


@pytest.mark.parametrize(
    ("rgb", "tir", "pairing", "message"),
    [
        pytest.param(
            ["1", "2", "3"],
            ["1", "2"],
            Pairing(),
            "rgb has 3 images, tir 2, and 1 stem is",
            id="one",
        ),
        pytest.param(
            ["1700000000.0", "1700000001.0"],
            ["1700000000.0", "1700000001.5"],
            Pairing(),
            "match them by time with --match time",
            id="stamps of which some are equal",
        ),
        pytest.param(
            ["1700000000.0", "1700000001.0"],
            ["1800000000.0", "1800000001.0"],
            Pairing(),
            r"only 0 of 2 RGB and 2 TIR .*the nearest two lie 1e\+08 s apart",
            id="other clocks",
        ),
        pytest.param(
            ["1", "2"], ["1", "2"], Pairing(match="time"), '"1" is not a time stamp', id="no"
        ),
        pytest.param(
            ["20240101_120000", "20240101_120001"],
            ["20240102_120000", "20240102_120001"],
            Pairing(match="name"),
            "4 stems are in one of them only",
            id="days apart are never matched by their ends",
        ),
    ],
)
def test_stems_without_a_partner_are_refused_with_a_way_out(rgb, tir, pairing, message):
    with pytest.raises(PairsError, match=message) as caught:
        matched_stems(rgb, tir, pairing, HERE)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("delay", "places"), [(2, [(0, 2), (1, 3)]), (-1, [(1, 0), (2, 1), (3, 2)])]
)
def test_a_delay_moves_tir_against_rgb(delay, places):
    stems = ["0", "1", "2", "3"]
    found = matched_stems(stems, stems, Pairing(), HERE).shifted(delay, HERE)
    assert list(found.places) == places
    assert found.keys == tuple(stems[a] for a, _ in places)
    assert found.said == {2: "TIR taken 2 frames later", -1: "TIR taken 1 frame earlier"}[delay]


def test_a_rigs_time_offset_takes_the_nearest_tir_frame():
    stems = [f"{number:03d}" for number in range(6)]
    every = matched_stems(stems, stems, Pairing(), HERE)
    late = every.in_time(TimeOffset(frames=0.8, drift_per_1000=400.0 / 4), HERE)
    assert late.places == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))
    drifting = every.in_time(TimeOffset(frames=-0.4, drift_per_1000=100.0), HERE)
    assert drifting is every, "less than half a frame moves nothing"
    early = every.in_time(TimeOffset(frames=-1.2, drift_per_1000=100.0), HERE)
    assert early.places == ((1, 0), (2, 1), (3, 2), (4, 3), (5, 4))
    assert early.keys == tuple(stems[1:])
    assert "by the rig TIR taken 1.2 frames earlier, 100 frames later after each 1000" in early.said


def test_a_drift_skips_or_repeats_a_tir_frame():
    stems = [f"{number:03d}" for number in range(40)]
    every = matched_stems(stems, stems, Pairing(), HERE)
    faster = every.in_time(TimeOffset(frames=0.0, drift_per_1000=50.0), HERE)
    assert [late - k for k, late in faster.places] == [0] * 11 + [1] * 19 + [2] * 8
    slower = every.in_time(TimeOffset(frames=0.0, drift_per_1000=-50.0), HERE)
    assert [late - k for k, late in slower.places] == [0] * 11 + [-1] * 19 + [-2] * 10


def test_stamped_names_whose_clocks_drift_are_matched_by_the_nearest_time():
    """In 40 s the TIR clock gains two frames of 25 a second."""
    rgb, tir = (
        [f"{1700000000 + first + k / 25 * pace:.6f}" for k in range(1000)]
        for first, pace in ((0.0, 1.0), (0.003, 1.002))
    )
    found = matched_stems(rgb, tir, Pairing(), HERE)
    assert found.by_time
    late = [tir_place - place for place, tir_place in found.places]
    assert (late[0], late[-1]) == (0, -2)
    assert all(0 <= before - after <= 1 for before, after in pairwise(late))
    assert "2 of 1000 TIR frames left out" in found.said
    moved = found.shifted(3, HERE)
    assert next(b - a for a, b in moved.places) == 3
    assert found.doubt.startswith(
        "by their time stamps RGB has 25 frames/s and TIR 24.9501, which drifts by 2.0 frames"
    )
    assert matched_stems(rgb, tir, Pairing(match="time"), HERE).doubt == "", "the user knows"


def stamped(count: int, first_s: float, step_s: float, lost: Sequence[int] = ()) -> list[str]:
    """Stems in milliseconds since 1970."""
    return [
        f"{round(1000 * (1700000000 + first_s + k * step_s))}"
        for k in range(count)
        if k not in lost
    ]


@pytest.mark.parametrize(
    ("tir", "is_doubtful"),
    [
        pytest.param(stamped(1000, 0.007, 1 / 30), False, id="one rate"),
        pytest.param(stamped(1000, 0.007, 1.0009 / 30), False, id="0.9 frames apart"),
        pytest.param(stamped(1000, 0.007, 1.0011 / 30), True, id="1.1 frames apart"),
        pytest.param(stamped(990, 0.007, 0.998 / 30), True, id="the other way"),
        pytest.param(stamped(1000, 0.007, 1 / 30, range(99, 900, 80)), False, id="frames lost"),
        pytest.param(stamped(300, 0.007, 1 / 9), False, id="another rate"),
    ],
)
def test_only_stamps_that_drift_by_more_than_a_frame_are_doubted(tir, is_doubtful):
    found = matched_stems(stamped(1000, 0.0, 1 / 30), tir, Pairing(), HERE)
    assert found.by_time
    assert ("drifts by" in found.doubt) is is_doubtful


@pytest.mark.parametrize(
    ("jitter", "missing", "pause_s"),
    [
        pytest.param(0.1, 0.0, 0.0, id="a tenth of a frame"),
        pytest.param(0.1, 0.1, 0.0, id="frames missing"),
        pytest.param(0.05, 0.05, 60.0, id="a pause"),
        pytest.param(0.3, 0.05, 0.0, id="too irregular to tell"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_stamps_of_one_clock_that_jitter_are_not_doubted(jitter, missing, pause_s, seed):
    rng = np.random.default_rng(seed)

    def camera(start_s: float, pace: float = 1.0) -> list[float]:
        times = start_s + (np.arange(1500) + rng.normal(0, jitter, 1500)) * pace / 25
        times[750:] += pause_s
        return np.sort(times[rng.random(1500) >= missing]).round(3).tolist()

    assert drift_frames(camera(0.0), camera(0.01)) < MAX_DRIFT
    if jitter <= 0.1:
        assert drift_frames(camera(0.0), camera(0.01, 1.002)) == pytest.approx(3.0, abs=0.5)


def test_time_stamps_that_are_equal_by_chance_are_no_reason_to_ask():
    rgb, tir = stamped(1000, 0.0, 1 / 30), stamped(1000, 0.007, 1.0009 / 30)
    assert len(set(rgb) & set(tir)) > 20
    assert matched_stems(rgb, tir, Pairing(), HERE).by_time
    with pytest.raises(PairsError, match="match them by time with --match time"):
        matched_stems(rgb, [*rgb[:110], *tir[110:]], Pairing(), HERE)


def test_a_rig_that_tells_a_drift_answers_the_doubt():
    tir = stamped(1000, 0.007, 1.003 / 30)
    found = matched_stems(stamped(1000, 0.0, 1 / 30), tir, Pairing(), HERE)
    plain = stretched((8, 8), (8, 8))
    for time, is_answered in (
        (None, False),
        (TimeOffset(frames=2.0), False),
        (TimeOffset(frames=0.1, drift_error_per_1000=0.2), True),
        (TimeOffset(frames=0.0, drift_per_1000=3.0, drift_error_per_1000=0.2), True),
    ):
        pairing = Pairing(rig=plain.model_copy(update={"time": time}))
        moved = found.moved(pairing, HERE, is_video=True)
        assert (moved.doubt == "") is is_answered, time
        assert found.moved(replace(pairing, delay_frames=1), HERE, is_video=True).doubt


@pytest.mark.parametrize(
    ("delay", "said"), [(3, "3 frames later"), (-7, "7 frames earlier"), (0, "0 frames later")]
)
def test_a_given_delay_replaces_a_rigs_time_offset(delay, said):
    stems = [f"{number:03d}" for number in range(9)]
    every = matched_stems(stems, stems, Pairing(), HERE)
    rig = stretched((8, 8), (8, 8)).model_copy(update={"time": TimeOffset(frames=-1.6)})
    found = every.moved(Pairing(delay_frames=delay, rig=rig), HERE, is_video=True)
    assert found.places == every.shifted(delay, HERE).places
    assert found.said == f"TIR taken {said}, not 1.6 frames earlier as in the rig"
    still = every.moved(Pairing(delay_frames=delay, rig=rig), HERE, is_video=False)
    assert still == every.shifted(delay, HERE)
    same = every.moved(Pairing(delay_frames=-2, rig=rig), HERE, is_video=True)
    assert same == every.shifted(-2, HERE)
    drifts = rig.model_copy(update={"time": TimeOffset(frames=-1.6, drift_per_1000=100.0)})
    by_drift = every.moved(Pairing(delay_frames=-2, rig=drifts), HERE, is_video=True)
    assert by_drift.said.startswith("TIR taken 2 frames earlier, not 1.6 frames earlier, 100 ")
    assert every.moved(Pairing(rig=rig), HERE, is_video=True) == every.in_time(rig.time, HERE)


def test_a_time_offset_longer_than_the_recording_is_refused():
    every = matched_stems(["1", "2"], ["1", "2"], Pairing(), HERE)
    with pytest.raises(PairsError, match=r"time offset of 2\.0 frames leaves nothing of 2 pairs"):
        every.in_time(TimeOffset(frames=2.0), HERE)


def test_a_delay_longer_than_the_recording_is_refused():
    found = matched_stems(["0", "1"], ["0", "1"], Pairing(), HERE)
    with pytest.raises(PairsError, match="a delay of 2 frames leaves nothing of 2 pairs"):
        found.shifted(2, HERE)
