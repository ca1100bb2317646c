"""How far a map from RGB to TIR that was found lies from the known one.

    python -m benchmarks.registration --out docs/figures/registration.json
    python -m benchmarks.registration --only affine warps --even
    python -m benchmarks.registration --only time --out docs/figures/time_offset.json

Known maps: those of ``misaligned/affine`` (each pair its own rig), and random ones by which TIR of
every registered set is warped (several pairs of a recording, one rig; scale 0.7 to 1.4, shift up to
40 px, at 640x480; a row for each set); ``lenses`` are such warps with a radial term. The warps of
``synthetic_warp`` are local, so no map of a rig can follow them, and ``roadscene_full_tir`` is
itself known to 2 to 4 px only: both are reported without a limit. Pairs of unrelated pictures say
how often a map is trusted that should not be. A residual is the mean over the picture of the
distance between both maps, RGB pixels at 640 px width. Settings are fitted to even stems
(``--even``); what is reported is of odd ones.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tirtrack.files import write_json
from tirtrack.media import read_image
from tirtrack.pairs import open_pairs
from tirtrack.pairs.likeness import thumbnail
from tirtrack.pairs.registering import pictures_of
from tirtrack.pairs.rig import Rig
from tirtrack.pairs.rig_maps import LARGE, straightened
from tirtrack.pairs.rig_search import PairPictures, find_rig
from tirtrack.pairs.spreading import spread
from tirtrack.pairs.time_offset import (
    MOST_WINDOWS,
    SIDE,
    WINDOW,
    Window,
    measure_time_offset,
)
from tirtrack.resampling import resampled_at
from tirtrack.synthetic import WorldSettings, draw_plan, render_frames

DATA = Path("../shared/data/pairs")
SIZE_WH = (640, 480)
REGISTERED = ("roadscene", "vifb", "llvip", "m3svd", "m3svd_video", "vtuav")
CASES = 2  # of each of these sets, of recordings that are spread evenly
PAIRS = 8  # of one rig
SCALE = (0.7, 1.4)
SHIFT_PX = 40.0
TURN_DEG = 1.0
TILT = 2e-5  # of the homography, per pixel
LIMIT_PX = 2.0
LATE = WorldSettings(clock_offset_frames=10.0, clock_drift=2.0)
LATE_FRAMES = 1500  # a minute
LATE_RECORDINGS = 24
LATE_SEEDS = {0: 900, 1: 901}  # by the remainder of stems: to fit to, to report


@dataclass(frozen=True)
class Case:
    """Pairs of one rig, and points of RGB with their places in TIR."""

    name: str
    pairs: Sequence[PairPictures]
    points_rgb: np.ndarray
    places_tir: np.ndarray
    rgb_per_tir_px: float


def grid(width: int, height: int) -> np.ndarray:
    """``[n,2]`` points spread over a picture."""
    x, y = np.meshgrid(np.linspace(0, width, 17), np.linspace(0, height, 13))
    return np.stack([x, y], axis=-1).reshape(-1, 2)


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``[n,2]`` through a homography."""
    moved = points @ matrix[:2, :2].T + matrix[:2, 2]
    return np.asarray(moved / (points @ matrix[2, :2] + matrix[2, 2])[:, None])


def of_matrix(name: str, pairs: Sequence[PairPictures], tir_from_rgb: np.ndarray) -> Case:
    """A case whose map is known everywhere, by a homography."""
    height, width = pairs[0].rgb.shape[:2]
    return of_places(name, pairs, tir_from_rgb, mapped(tir_from_rgb, grid(width, height)))


def of_places(
    name: str, pairs: Sequence[PairPictures], tir_from_rgb: np.ndarray, places: np.ndarray
) -> Case:
    """A case whose map is known on a grid; points that TIR does not show are left out."""
    height, width = pairs[0].rgb.shape[:2]
    size = np.array(pairs[0].tir.shape[::-1])
    shown = ((places >= 0) & (places <= size)).all(axis=1)
    scale = float(np.sqrt(abs(np.linalg.det(tir_from_rgb[:2, :2]))))
    return Case(name, pairs, grid(width, height)[shown], places[shown], 1 / scale)


def grey(image: np.ndarray) -> np.ndarray:
    """One channel of a picture that may be stored in three."""
    return image if image.ndim == 2 else image[..., 0]


def stems(folder: Path, remainder: int) -> list[Path]:
    """Every second picture of a folder: those at places with this remainder, counted from 1."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".jpg", ".png"))
    return [path for number, path in enumerate(files, start=1) if number % 2 == remainder]


def affine(remainder: int) -> Iterator[Case]:
    """Pairs that their makers warped, each by its own map; points of the maps count from 1."""
    folder = DATA / "misaligned" / "affine"
    known = json.loads((folder / "transforms.json").read_text())
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    for file in stems(folder / "a", remainder):
        rgb_from_tir = np.linalg.inv(half) @ np.array(known[file.stem]["b_to_a"]) @ half
        (other,) = (folder / "b").glob(f"{file.stem}.*")
        pair = PairPictures(file.stem, read_image(file), grey(read_image(other)))
        yield of_matrix(file.stem, [pair], np.linalg.inv(rgb_from_tir))


def full_tir(remainder: int) -> Iterator[Case]:
    """RGB pictures that were cut from the view of a larger TIR."""
    folder = DATA / "misaligned" / "roadscene_full_tir"
    known = json.loads((folder / "similarity.json").read_text())
    for file in stems(folder / "rgb", remainder):
        facts = known[file.stem]
        s, (x, y) = facts["rgb_to_tir_scale"], facts["rgb_origin_in_tir"]
        (other,) = (folder / "tir").glob(f"{file.stem}.*")
        pair = PairPictures(file.stem, read_image(file), grey(read_image(other)))
        yield of_matrix(file.stem, [pair], np.array([[s, 0, x], [0, s, y], [0, 0, 1.0]]))


def local_warps(remainder: int) -> Iterator[Case]:
    """Pairs whose TIR was warped locally, which no map of a rig can follow."""
    folder = DATA / "misaligned" / "synthetic_warp"
    for file in stems(folder / "rgb", remainder):
        coarse = np.load(folder / "grid" / f"{file.stem}.npy").astype(np.float64)
        (other,) = (folder / "tir").glob(f"{file.stem}.*")
        pair = PairPictures(file.stem, read_image(file), grey(read_image(other)))
        height, width = pair.tir.shape
        places = grid(width - 1, height - 1) + 0.5
        steps = np.array(coarse.shape[1::-1]) - 1
        at = (places - 0.5) / (np.array([width, height]) - 1) * steps + 0.5
        sources = resampled_at(coarse, at, None)  # -1 to 1, where the registered TIR is read
        points = (sources + 1) / 2 * [width, height]
        yield Case(file.stem, [pair], points, places, 1.0)


def recordings(name: str, remainder: int) -> Iterator[tuple[str, list[PairPictures]]]:
    """Some pairs of some recordings of a registered set, at 640x480; of videos one part each."""
    source = open_pairs(DATA / name)
    for recording in spread(list(source.recordings().values()), CASES):
        own = [k for place, k in enumerate(recording.indices, 1) if place % 2 == remainder]
        pairs = [pictures_of(source[index]) for index in spread(own, PAIRS)]
        yield recording.name, [at_size(pair) for pair in pairs]


def at_size(pair: PairPictures) -> PairPictures:
    """The pair with both pictures at 640x480."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]) + 0.5, np.arange(SIZE_WH[1]) + 0.5)
    points = np.stack([x, y], axis=-1)
    rgb, tir = (
        resampled_at(image, points * np.array(image.shape[1::-1]) / SIZE_WH, None)
        for image in (pair.rgb, pair.tir)
    )
    return PairPictures(pair.key, rgb.astype(np.uint8), tir.astype(np.uint8))


def random_map(rng: np.random.Generator) -> np.ndarray:
    """``[3,3]`` from RGB to TIR: scale and turn around the middle, shift, and a slight tilt."""
    scale = np.exp(rng.uniform(*np.log(SCALE)))
    turn, shift = np.deg2rad(rng.uniform(-TURN_DEG, TURN_DEG)), rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    middle = np.array(SIZE_WH) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix[:2, 2] = middle + shift - matrix[:2, :2] @ middle
    matrix[2, :2] = rng.uniform(-TILT, TILT, 2)
    return matrix


def warped(pair: PairPictures, tir_from_rgb: np.ndarray, radial: float = 0.0) -> PairPictures:
    """The pair with TIR moved by a map; what TIR did not show holds no measurement."""
    x, y = np.meshgrid(np.arange(SIZE_WH[0]) + 0.5, np.arange(SIZE_WH[1]) + 0.5)
    points = straightened(np.stack([x, y], axis=-1), radial, np.array(SIZE_WH) / 2).reshape(-1, 2)
    places = mapped(np.linalg.inv(tir_from_rgb), points).reshape(*SIZE_WH[::-1], 2)
    valid = ((places >= 0.5) & (places <= np.array(SIZE_WH) - 0.5)).all(axis=-1)
    tir = np.rint(resampled_at(pair.tir, places, None)).astype(np.uint8)
    return PairPictures(pair.key, pair.rgb, tir, None if valid.all() else valid)


def known_warps(name: str, remainder: int) -> Iterator[Case]:
    """Recordings of a registered set with TIR warped by random maps."""
    every = list(recordings(name, remainder))
    for case in range(CASES):
        recording, pairs = every[case % len(every)]
        matrix = random_map(np.random.default_rng([remainder, REGISTERED.index(name), case]))
        yield of_matrix(f"{recording}/{case}", [warped(one, matrix) for one in pairs], matrix)


def lenses(remainder: int) -> Iterator[Case]:
    """One recording of each registered set, with TIR warped by maps with a radial term."""
    for number, (name, radial) in enumerate(zip(REGISTERED, TERMS, strict=True)):
        recording, pairs = next(recordings(name, remainder))
        matrix = random_map(np.random.default_rng([remainder, number, 99]))
        rig = Rig(rgb_wh=SIZE_WH, tir_wh=SIZE_WH, tir_from_rgb=matrix.tolist(), radial=radial)
        moved = [warped(pair, matrix, radial) for pair in pairs]
        yield of_places(f"{recording}, {radial:+g}", moved, matrix, rig.places(grid(*SIZE_WH)))


def unrelated(remainder: int) -> Iterator[Case]:
    """RGB of each set with TIR of the next one."""
    every = [list(recordings(name, remainder))[-1] for name in REGISTERED]
    for (name, pairs), (other, its_pairs) in zip(every, [*every[1:], every[0]], strict=True):
        count = min(len(pairs), len(its_pairs))
        mixed = [
            PairPictures(name, one.rgb, two.tir)
            for one, two in zip(pairs[:count], its_pairs[:count], strict=True)
        ]
        yield of_matrix(f"{name} and {other}", mixed, np.eye(3))


TERMS = (-0.15, 0.1, -0.1, 0.15, -0.15, 0.1)  # of ``lenses``, one for each set
SETS: dict[str, Callable[[int], Iterator[Case]]] = {
    "affine": affine,
    "synthetic_warp": local_warps,
    "roadscene_full_tir": full_tir,
    "unrelated": unrelated,
    "lenses": lenses,
}
WARPS = "warps"
TIME = "time"


def residual_px(case: Case, rig: Rig) -> float:
    """Mean distance between the map that was found and the known one, at 640 px width."""
    apart = np.linalg.norm(rig.places(case.points_rgb) - case.places_tir, axis=1)
    return float(apart.mean()) * case.rgb_per_tir_px * LARGE / case.pairs[0].rgb.shape[1]


def measured(name: str, cases: Iterable[Case]) -> dict[str, object]:
    """A row of the table, and its cases."""
    rows = []
    for case in cases:
        rig = find_rig(case.pairs)
        row = {
            "case": case.name,
            "residual_px": round(residual_px(case, rig), 2),
            "own_residual_px": None if rig.residual_px is None else round(rig.residual_px, 2),
            "radial": round(rig.radial, 3),
            "score": round(rig.score, 3),
            "trusted": rig.is_trusted,
        }
        print(f"  {row}", flush=True)
        rows.append(row)
    trusted = [float(str(row["residual_px"])) for row in rows if row["trusted"]]
    found = {
        "set": name,
        "cases": len(rows),
        "trusted": len(trusted),
        "median_px": round(float(np.median(trusted)), 2) if trusted else None,
        "largest_px": max(trusted, default=None),
    }
    print(found, flush=True)
    return {**found, "rows": rows}


@dataclass(frozen=True)
class LateRecording:
    """Windows of a recording whose TIR is late, and by how much at its first and last frame."""

    name: str
    windows: Sequence[Window]
    first_frames: float
    last_frames: float


def late_recording(seed: int, number: int) -> LateRecording:
    """A recording of the synthetic world, rendered where windows lie."""
    plan = draw_plan((seed, number), LATE_FRAMES, settings=LATE)
    starts = np.linspace(0, LATE_FRAMES - WINDOW, MOST_WINDOWS).astype(int)
    ticks = [plan.ticks[start + k] for start in starts for k in range(WINDOW)]
    small = [
        (thumbnail(np.asarray(frame.rgb), SIDE), thumbnail(frame.tir, SIDE))
        for frame in render_frames(replace(plan, ticks=tuple(ticks)))
    ]
    rgb, tir = (
        np.stack([one[side] for one in small]).reshape(MOST_WINDOWS, WINDOW, *small[0][0].shape)
        for side in (0, 1)
    )
    windows = [Window(*one) for one in zip(map(int, starts), rgb, tir, strict=True)]
    kinds = f"{plan.camera.mode} camera, {plan.actors[0].kind}, {plan.light.daylight}"
    first = plan.rig.offset_ticks
    return LateRecording(kinds, windows, first, first + plan.rig.drift * (LATE_FRAMES - 1))


def time_row(late: LateRecording) -> dict[str, object]:
    """What was found of a recording, and how far it lies from what is known."""
    found = measure_time_offset(late.windows)
    row: dict[str, object] = {
        "case": late.name,
        "offset_frames": round(late.first_frames, 2),
        "drift_per_minute": round(late.last_frames - late.first_frames, 2),
        "told": found is not None,
    }
    if found is None:
        return row
    grown = found.drift_per_1000 * (LATE_FRAMES - 1) / 1000
    wrong = [found.frames - late.first_frames, found.frames + grown - late.last_frames]
    return {
        **row,
        "found_frames": round(found.frames, 2),
        "found_per_minute": round(grown, 2),
        "error_frames": round(abs(float(np.mean(wrong))), 2),
        "error_at_ends_frames": round(float(np.abs(wrong).max()), 2),
        "error_per_minute": round(abs(wrong[1] - wrong[0]), 2),
    }


def measured_times(remainder: int) -> dict[str, object]:
    """The table of time offsets."""
    rows, before, unrelated_told = [], None, 0
    for number in range(LATE_RECORDINGS):
        late = late_recording(LATE_SEEDS[remainder], number)
        rows.append(time_row(late))
        print(f"  {rows[-1]}", flush=True)
        if before is not None:
            mixed = [
                replace(a, tir=b.tir) for a, b in zip(late.windows, before.windows, strict=True)
            ]
            unrelated_told += measure_time_offset(mixed) is not None
        before = late
    told = [row for row in rows if row["told"]]
    drifting = [row for row in told if abs(float(str(row["drift_per_minute"]))) >= 1]
    found = {
        "set": TIME,
        "cases": len(rows),
        "told": len(told),
        "half_a_frame": sum(float(str(row["error_frames"])) <= 0.5 for row in told),
        "half_a_frame_at_ends": sum(float(str(row["error_at_ends_frames"])) <= 0.5 for row in told),
        "drifting": len(drifting),
        "drift_seen": sum(row["found_per_minute"] != 0 for row in drifting),
        "unrelated": LATE_RECORDINGS - 1,
        "unrelated_told": unrelated_told,
    }
    for name in ("error_frames", "error_at_ends_frames", "error_per_minute"):
        errors = [float(str(row[name])) for row in told]
        found[f"median_{name}"] = round(float(np.median(errors)), 2)
        found[f"largest_{name}"] = max(errors)
    print(found, flush=True)
    return {**found, "rows": rows}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.registration", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--out", type=Path, help="write the table as JSON")
    parser.add_argument("--even", action="store_true", help="the stems that settings are fitted to")
    parser.add_argument(
        "--only", nargs="+", choices=[*SETS, WARPS, TIME], help="some sets (all but time)"
    )
    arguments = parser.parse_args()
    remainder = 0 if arguments.even else 1
    chosen = arguments.only or [*SETS, WARPS]
    results = [measured(name, cases(remainder)) for name, cases in SETS.items() if name in chosen]
    if WARPS in chosen:
        results += [
            measured(f"{WARPS} of {one}", known_warps(one, remainder)) for one in REGISTERED
        ]
    if TIME in chosen:
        results.append(measured_times(remainder))
    if arguments.out:
        write_json(
            arguments.out,
            {"command": parser.prog, "stems": "odd" if remainder else "even", "results": results},
        )


if __name__ == "__main__":
    main()
