"""Boxes fitted to what moves, and the foreground that they are fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from tirtrack.boxes import Box, iou
from tirtrack.errors import PairsError
from tirtrack.pairs.fitted_boxes import fit_box, steadied
from tirtrack.pairs.following import Following, kept_tracks
from tirtrack.pairs.foreground import alignment, foreground, median_of_known
from tirtrack.pairs.proposals.base import FoundIn, Proposal
from tirtrack.pairs.source import Manifest, Pair, Recording
from tirtrack.pairs.tracklets import TrackFault, TrackSettings, starts_of

FRAMES, HEIGHT, WIDTH = 16, 96, 128
TARGET = Box(12.0, 40.0, 20.0, 14.0)


def target_in(frame: int, pan: float = 0.0) -> Box:
    return Box(TARGET.x + (5.0 - pan) * frame, TARGET.y, TARGET.w, TARGET.h)


def filmed(pan: float = 0.0, gain: float = 0.0, *, is_moving: bool = True) -> list[np.ndarray]:
    """A rectangle that crosses a textured scene in front of a camera that may pan."""
    rng = np.random.default_rng(3)
    scene = 100 + 220 * ndimage.gaussian_filter(rng.normal(size=(HEIGHT, 3 * WIDTH)), 3)
    frames = []
    for k in range(FRAMES):
        left = round(pan * k)
        view = scene[:, left : left + WIDTH].copy()
        box = target_in(k if is_moving else 0, pan if is_moving else 0.0)
        x, y = round(box.x), round(box.y)
        view[y : y + 14, x : x + 20] = 210 + rng.normal(0, 4, (14, 20))
        frames.append(view * (1 + gain * k) + rng.normal(0, 1.5, view.shape))
    return [frame.astype(np.float32) for frame in frames]


def as_bytes(frame: np.ndarray) -> np.ndarray:
    return np.clip(frame, 0, 255).astype(np.uint8)


# --- the foreground ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pan", "gain"), [(0.0, 0.0), (2.0, 0.0), (0.0, 0.01)], ids=["still camera", "pan", "gain"]
)
def test_what_moves_stands_out_and_the_background_does_not(pan, gain):
    distance = foreground(filmed(pan, gain))
    for k in (0, 7, 15):
        box = target_in(k, pan)
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[round(box.y) : round(box.y + 14), round(box.x) : round(box.x + 20)] = True
        assert np.median(distance[k][inside]) > 6
        assert np.percentile(distance[k][~ndimage.binary_dilation(inside, iterations=3)], 95) < 3


def test_a_colour_that_moves_before_a_background_as_bright_stands_out():
    rng = np.random.default_rng(0)
    frames = [100 + rng.normal(0, 1.5, (HEIGHT, WIDTH, 3)) for _ in range(FRAMES)]
    for k, frame in enumerate(frames):
        frame[40:54, 12 + 5 * k : 32 + 5 * k] += (30, 0, -30)
    assert np.median(foreground(frames)[7][40:54, 47:67]) > 6


def test_maps_between_frames_follow_a_pan():
    maps = alignment(filmed(pan=2.0))
    assert maps[-1][0, 2] == pytest.approx(-2.0 * (FRAMES - 1), abs=0.7)
    assert maps[-1][1, 2] == pytest.approx(0.0, abs=0.7)


def test_the_median_ignores_what_is_unknown():
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan], [2.0, np.nan]])
    assert median_of_known(values)[0] == 2.0
    assert np.isnan(median_of_known(values)[1])


# --- one box -------------------------------------------------------------------------------------


def shown(*rectangles: tuple[int, int, int, int]) -> np.ndarray:
    distance = np.ones((60, 80))
    for x, y, w, h in rectangles:
        distance[y : y + h, x : x + w] = 9.0
    return distance


@pytest.mark.parametrize(
    "loose",
    [Box(24.0, 16.0, 26.0, 22.0), Box(34.0, 22.0, 12.0, 8.0), Box(24.0, 14.0, 16.0, 16.0)],
    ids=["too large", "too small", "beside"],
)
def test_a_loose_box_becomes_the_extent_of_what_moves(loose):
    assert fit_box(shown((30, 20, 18, 12)), loose) == Box(30.0, 20.0, 18.0, 12.0)


def test_a_neighbour_that_hardly_reaches_into_the_box_does_not_belong():
    distance = shown((30, 20, 12, 12), (45, 20, 20, 12))
    assert fit_box(distance, Box(29.0, 19.0, 18.0, 14.0)) == Box(30.0, 20.0, 12.0, 12.0)


def test_parts_in_the_box_belong_together():
    distance = shown((30, 20, 12, 6), (30, 30, 12, 6))
    assert fit_box(distance, Box(29.0, 19.0, 14.0, 18.0)) == Box(30.0, 20.0, 12.0, 16.0)


def test_a_thin_row_that_sticks_out_does_not_count():
    distance = shown((30, 20, 20, 20), (36, 14, 1, 6))
    fitted = fit_box(distance, Box(29.0, 19.0, 22.0, 22.0))
    assert fitted == Box(30.0, 19.0, 20.0, 21.0)  # the root of the row alone


@pytest.mark.parametrize(
    ("distance", "box"),
    [
        (shown(), Box(30.0, 20.0, 10.0, 10.0)),
        (shown((34, 24, 2, 2)), Box(30.0, 20.0, 10.0, 10.0)),
        (shown((0, 0, 5, 60)), Box(200.0, 20.0, 10.0, 10.0)),
    ],
    ids=["nothing moves", "a speck", "box outside"],
)
def test_without_a_moving_target_no_box_is_fitted(distance, box):
    assert fit_box(distance, box) is None


def test_a_short_occlusion_does_not_change_a_fitted_track():
    followed = np.array([[2.0 * k, 10.0, 20.0, 10.0] for k in range(20)])
    fitted = followed + np.array([2.0, -1.0, 4.0, 2.0])
    half_hidden = fitted.copy()
    half_hidden[8:11, 2] /= 2
    assert np.allclose(steadied(followed, half_hidden), fitted)


# --- tracks --------------------------------------------------------------------------------------


class Filmed:
    """A recording in memory."""

    def __init__(self, tir: list[np.ndarray], rgb: list[np.ndarray]) -> None:
        self.name, self.tir, self.rgb = "filmed", tir, rgb

    def __len__(self) -> int:
        return len(self.tir)

    def __getitem__(self, index: int) -> Pair:
        rgb = np.repeat(as_bytes(self.rgb[index])[..., None], 3, axis=2)
        return Pair(f"filmed/{index:06d}", "filmed", index, rgb, as_bytes(self.tir[index]))

    def recordings(self) -> dict[str, Recording]:
        return {"filmed": Recording("filmed", range(len(self)), is_video=True)}

    def manifest(self) -> Manifest:
        return Manifest(self.name, "none", ())


@dataclass
class State:
    box: Box
    measured: bool = True


class Loose:
    """Follows the target with the size and place in it that it began with."""

    origin = None

    def __init__(self, source: Filmed) -> None:
        self.frames = [frame.tobytes() for frame in map(as_bytes, source.tir)]
        self.begun: list[Box] = []

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.begun.append(box)
        true = target_in(self.frames.index(frame.tobytes()))
        self.off = box.array() - true.array()

    def update(self, frame: np.ndarray) -> State:
        true = target_in(self.frames.index(frame.tobytes()))
        return State(Box.of(true.array() + self.off))


LOOSE = Box(8.0, 36.0, 30.0, 22.0)
STILL = Box(90.0, 70.0, 16.0, 12.0)
SETTINGS = TrackSettings(modalities=["tir"], min_frames=8, fit=["rgb", "tir"])


def tracks_of_boxes(settings, tir=None, rgb=None, boxes=(LOOSE,), source=None):
    source = source or Filmed(tir or filmed(), rgb or filmed())
    follower = Loose(source)
    proposals = {0: [Proposal(box, FoundIn.BOTH, 1.0, "saliency") for box in boxes]}
    return tracks_in(source, proposals, follower, settings), follower


def tracks_in(source, proposals, follower, settings):
    starts = starts_of(range(FRAMES), proposals, settings)
    (found,) = kept_tracks(Following(source, lambda: follower, settings, ""), starts)
    return found


def overlaps(track) -> list[float]:
    return [float(iou(box.array(), target_in(k).array())) for k, box in track.trusted().items()]


@pytest.mark.parametrize("fit", [["tir"], ["rgb"], ["rgb", "tir"]], ids="-".join)
def test_a_loose_proposal_is_fitted_before_it_is_followed_and_after(fit):
    (track,), follower = tracks_of_boxes(SETTINGS.model_copy(update={"fit": fit}))
    assert float(iou(LOOSE.array(), TARGET.array())) < 0.5
    assert float(iou(follower.begun[0].array(), TARGET.array())) > 0.8
    assert len(overlaps(track)) == FRAMES
    assert min(overlaps(track)) > 0.8


def test_without_a_modality_to_fit_in_boxes_stay_as_they_were_found():
    (track,), follower = tracks_of_boxes(SETTINGS.model_copy(update={"fit": []}))
    assert follower.begun[0] == LOOSE
    assert max(overlaps(track)) < 0.5


def test_a_proposal_that_does_not_move_is_rejected_and_not_followed():
    (still, track), follower = tracks_of_boxes(SETTINGS, boxes=(STILL, LOOSE))
    assert (still.proposal.box, still.tracklet.fault) == (STILL, TrackFault.STILL)
    assert still.trusted() == {}
    assert track.tracklet.fault is None
    assert len(follower.begun) == 2


def test_a_start_whose_first_pair_is_damaged_has_no_track():
    class Damaged(Filmed):
        def __getitem__(self, index: int) -> Pair:
            if index == 0:
                raise PairsError("is damaged", "0.png", "remove it")
            return super().__getitem__(index)

    source = Damaged(filmed(), filmed())
    assert tracks_of_boxes(SETTINGS, boxes=(LOOSE, STILL), source=source)[0] == []


def test_two_proposals_of_one_target_become_one_track():
    tracks, _ = tracks_of_boxes(SETTINGS, boxes=(LOOSE, Box(14.0, 42.0, 14.0, 10.0)))
    assert len(tracks) == 1


def test_a_track_whose_target_stands_still_is_rejected():
    frames = filmed(is_moving=False)
    (track,), _ = tracks_of_boxes(SETTINGS, frames, frames)
    assert track.tracklet.fault is TrackFault.STILL


class Sticky(Loose):
    """Stays where it began, and so comes back to any box without fail."""

    def init(self, frame: np.ndarray, box: Box) -> None:
        self.box = box

    def update(self, frame: np.ndarray) -> State:
        return State(self.box)


def smoke() -> list[np.ndarray]:
    """A smooth cloud that drifts, with the noise of a camera."""
    rng = np.random.default_rng(1)
    cloud = ndimage.gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 20, mode="wrap")
    grey = 150 + 400 * cloud
    return [np.roll(grey, 3 * k, 1) + rng.normal(0, 4, grey.shape) for k in range(FRAMES)]


def darkness() -> list[np.ndarray]:
    """The noise of a camera at night, too weak to be taken for scenes that change."""
    return list(np.random.default_rng(1).normal(6, 2, (FRAMES, HEIGHT, WIDTH)))


def blackness() -> list[np.ndarray]:
    """Night without even noise, as some cameras and codecs leave it."""
    return [np.zeros((HEIGHT, WIDTH))] * FRAMES


BLIND = [smoke, darkness, blackness]


@pytest.mark.parametrize("blind", BLIND)
@pytest.mark.parametrize("fit", [["rgb"], ["rgb", "tir"]], ids="-".join)
def test_where_rgb_shows_nothing_no_track_of_it_is_trusted_however_well_it_comes_back(fit, blind):
    source = Filmed(filmed(), blind())
    box = Box(60.0, 20.0, 24.0, 18.0)
    proposals = {0: [Proposal(box, FoundIn.RGB, 1.0, "saliency")]}
    for wanted, fault in (([], None), (fit, TrackFault.STILL)):
        settings = SETTINGS.model_copy(update={"modalities": ["rgb"], "fit": wanted})
        (track,) = tracks_in(source, proposals, Sticky(source), settings)
        assert track.tracklet.fault is fault


@pytest.mark.parametrize("blind", BLIND)
def test_rgb_that_shows_nothing_does_not_take_away_what_moves_in_tir(blind):
    (track,), _ = tracks_of_boxes(SETTINGS, rgb=blind())
    assert len(overlaps(track)) == FRAMES
    assert min(overlaps(track)) > 0.7


def lamp_in_the_dark() -> list[np.ndarray]:
    """Black but for a lamp that moves below the target."""
    frames = [np.zeros((HEIGHT, WIDTH)) for _ in range(FRAMES)]
    for k, frame in enumerate(frames):
        frame[66:92, 4 + 5 * k : 32 + 5 * k] = 200
    return frames


def test_what_moves_in_tir_stays_where_rgb_is_black_beside_a_lamp():
    (track,), _ = tracks_of_boxes(SETTINGS, rgb=lamp_in_the_dark())
    assert len(overlaps(track)) == FRAMES
    assert min(overlaps(track)) > 0.7


def test_nothing_is_fitted_where_tir_is_noise_and_rgb_shows_the_target():
    (track,), _ = tracks_of_boxes(SETTINGS, darkness(), filmed())
    assert track.tracklet.fault is TrackFault.STILL


def clear_and_wide() -> list[np.ndarray]:
    """The target in a picture without noise, of which it fills less than a hundredth."""
    rng = np.random.default_rng(3)
    scene = 100 + 220 * ndimage.gaussian_filter(rng.normal(size=(2 * HEIGHT, 2 * WIDTH)), 3)
    frames = [scene.copy() for _ in range(FRAMES)]
    for k, frame in enumerate(frames):
        x, y = round(target_in(k).x), round(target_in(k).y)
        frame[y : y + 14, x : x + 20] = 210
    return frames


def test_a_small_target_in_tir_without_noise_is_fitted_beside_rgb_that_is_noise():
    rgb = list(np.random.default_rng(1).normal(90, 2, (FRAMES, 2 * HEIGHT, 2 * WIDTH)))
    (track,), _ = tracks_of_boxes(SETTINGS, clear_and_wide(), rgb)
    assert len(overlaps(track)) == FRAMES
    assert min(overlaps(track)) > 0.7


def test_frames_before_a_cut_are_a_background_of_their_own():
    other = [frame[::-1, ::-1].copy() for frame in filmed()]
    source_tir = filmed()[:10] + other[:6]
    settings = SETTINGS.model_copy(update={"min_frames": 8, "fit": ["tir"]})
    (track,), _ = tracks_of_boxes(settings, source_tir, source_tir)
    assert max(track.trusted()) < 10
    assert min(overlaps(track)) > 0.7
