"""The synthetic world measured: how fast it is made, and how it compares with real pairs.

    python -m benchmarks.synthetic_world speed
    python -m benchmarks.synthetic_world statistics --pairs ../shared/data/pairs
    python -m benchmarks.synthetic_world gap --tracker nano-rgb --pairs ../shared/data/pairs

``--out FILE`` writes the numbers as JSON. Nothing here is tuned on; the world's constants were
fixed before any of these figures was used to judge a method. ``speed`` refuses to give figures
while other processes work.
"""

from __future__ import annotations

import argparse
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import scipy
from PIL import Image
from scipy import ndimage

from benchmarks import machine
from benchmarks.command import ends
from benchmarks.synthetic_gap import gap_rows
from tirtrack.files import write_json
from tirtrack.pairs import Pair, open_pairs
from tirtrack.synthetic import WorldSize, draw_plan, render_frames, write_world
from tirtrack.synthetic.backdrop import build_stage
from tirtrack.synthetic.settings import SPLIT_CODES
from tirtrack.thermal import to_display

WORLD_SEED = 0
LONG_SIDE = 320
REAL_SETS = ("m3svd", "m3svd_video", "roadscene", "llvip", "vifb")


# --- speed


def measure_speed(sequences: int, frames: int) -> dict[str, Any]:
    """Milliseconds of processor time, on one core: a scene, a frame pair, a TIR frame alone."""
    rows: dict[str, list[float]] = {"scene": [], "pair": [], "tir only": []}
    _frames_cost(0, frames=3, rgb=True)  # warm-up
    for index in range(1, sequences + 1):
        plan = draw_plan((WORLD_SEED, 9, index), frames)
        start = time.process_time()
        build_stage(plan)
        scene = 1e3 * (time.process_time() - start)
        rows["scene"].append(scene)
        for name, rgb in (("pair", True), ("tir only", False)):
            whole = 1e3 * _frames_cost(index, frames=frames, rgb=rgb)
            rows[name].append((whole - scene) / frames)
    with tempfile.TemporaryDirectory() as folder:
        size = WorldSize(
            recordings=0, pairs_each=1, spacing_frames=1, validation=4, test=0, frames=frames
        )
        start = time.process_time()
        write_world(Path(folder) / "world", size=size, seed=WORLD_SEED)
        written = 4 * frames / (time.process_time() - start)
    table = {name: [float(np.percentile(values, q)) for q in (50, 10, 90)]
             for name, values in rows.items()}  # fmt: skip
    return {
        "milliseconds: median, p10, p90": table,
        "pairs a second, rendered": 1e3 / table["pair"][0],
        "pairs a second, whole sequences written as files": written,
        "frames a sequence": frames,
        "peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _frames_cost(index: int, *, frames: int, rgb: bool) -> float:
    start = time.process_time()
    for _ in render_frames(draw_plan((WORLD_SEED, 9, index), frames), rgb=rgb):
        pass
    return time.process_time() - start


# --- statistics


@dataclass(frozen=True)
class PairStatistics:
    """One pair of frames, both with a long side of 320 pixels.

    Attributes:
        gradient_correlation: correlation of the gradient magnitudes of both modalities.
        tir_only_edges: share of TIR's edges without an RGB edge within 2 px.
        rgb_only_edges: share of RGB's edges without a TIR edge within 2 px.
        tir_slope: slope of the power spectrum of TIR over frequency, log-log.
        rgb_slope: the same for grey RGB.
        tir_entropy_bits: entropy of the histogram of TIR's 256 grey levels.
        tir_deviation: standard deviation of TIR's grey levels.
    """

    gradient_correlation: float
    tir_only_edges: float
    rgb_only_edges: float
    tir_slope: float
    rgb_slope: float
    tir_entropy_bits: float
    tir_deviation: float


def pair_statistics(rgb: np.ndarray, tir: np.ndarray) -> PairStatistics:
    """Measure a pair: ``rgb [H,W,3]`` uint8, ``tir [H,W]`` of any depth."""
    grey, heat = _grey(rgb), _grey(to_display(tir))
    gradients = [ndimage.gaussian_gradient_magnitude(plane, 1.0) for plane in (grey, heat)]
    edges = [plane > np.percentile(plane, 90) for plane in gradients]
    reach = [ndimage.binary_dilation(plane, iterations=2) for plane in edges]
    histogram = np.bincount(heat.astype(np.uint8).ravel(), minlength=256) / heat.size
    filled = histogram[histogram > 0]
    return PairStatistics(
        float(np.corrcoef(gradients[0].ravel(), gradients[1].ravel())[0, 1]),
        float((edges[1] & ~reach[0]).sum() / max(edges[1].sum(), 1)),
        float((edges[0] & ~reach[1]).sum() / max(edges[0].sum(), 1)),
        _spectrum_slope(heat),
        _spectrum_slope(grey),
        float(-(filled * np.log2(filled)).sum()),
        float(heat.std()),
    )


def _grey(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture).convert("L")
    scale = LONG_SIDE / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float64)


def _spectrum_slope(plane: np.ndarray) -> float:
    """Slope of log power over log frequency, 0.02 to 0.3 cycles a pixel, windowed."""
    height, width = plane.shape
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    bounds = np.geomspace(0.02, 0.3, 16)
    rings = [(radius >= low) & (radius < high) for low, high in pairwise(bounds)]
    level = [np.log(power[ring].mean() + 1e-9) for ring in rings]
    return float(np.polyfit(np.log(np.sqrt(bounds[:-1] * bounds[1:])), level, 1)[0])


def world_pairs(
    count: int, *, night: bool | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One pair from each of ``count`` sequences of the validation split."""
    found, index = 0, 0
    while found < count:
        plan = draw_plan((WORLD_SEED, SPLIT_CODES["validation"], index, 0), 2, spacing=20)
        index += 1
        if night is not None and plan.light.is_night != night:
            continue
        found += 1
        *_, last = render_frames(plan)
        if last.rgb is not None:
            yield last.rgb, last.tir


def real_pairs(root: Path, count: int) -> Iterator[Pair]:
    """About ``count`` pairs of one set, evenly from its recordings."""
    nested = sorted(path for path in root.iterdir() if path.is_dir())
    folders = [root] if (root / "rgb").exists() else nested
    for folder in folders:
        source = open_pairs(folder)
        step = max(len(source) * len(folders) // count, 1)
        for index in range(0, len(source), step):
            yield source[index]


def measure_statistics(pairs: Path | None, count: int) -> dict[str, Any]:
    """Mean and deviation of every statistic: the world, by day and by night, and each real set."""
    rows = {
        "world": [pair_statistics(*both) for both in world_pairs(count)],
        "world, day": [pair_statistics(*both) for both in world_pairs(count // 2, night=False)],
        "world, night": [pair_statistics(*both) for both in world_pairs(count // 2, night=True)],
    }
    for name in REAL_SETS if pairs is not None else ():
        if pairs is not None and (pairs / name).is_dir():
            rows[name] = [
                pair_statistics(pair.rgb, pair.tir) for pair in real_pairs(pairs / name, count)
            ]
    return {name: _summary(row) for name, row in rows.items()}


def _summary(row: Sequence[PairStatistics]) -> dict[str, Any]:
    columns = {key: [getattr(one, key) for one in row] for key in asdict(row[0])}
    summary: dict[str, Any] = {
        key: [float(np.mean(values)), float(np.std(values))] for key, values in columns.items()
    }
    return {"pairs": len(row), **summary}


# --- command


def main() -> Iterable[str]:
    """Print a table, write JSON when asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.synthetic_world",
        description=__doc__.splitlines()[0] if __doc__ else None,
    )
    parser.add_argument("what", choices=("speed", "statistics", "gap"))
    parser.add_argument("--pairs", type=Path, help="folder of real pairs (shared/data/pairs)")
    parser.add_argument(
        "--tracker", nargs="+", default=["nano-rgb"], help="for gap: weights by name or file"
    )
    parser.add_argument("--count", type=int, default=40, help="sequences or pairs")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--out", type=Path)
    machine.add_watch_option(parser)
    asked = parser.parse_args()
    if asked.what == "speed":
        watch = machine.Watch(assume_idle=asked.assume_idle)
        result = measure_speed(min(asked.count, 20), min(asked.frames, 60))
        watch.check()
    elif asked.what == "statistics":
        result = measure_statistics(asked.pairs, asked.count)
    else:
        result = {
            Path(name).stem: gap_rows(name, asked.pairs, sequences=asked.count, frames=asked.frames)
            for name in asked.tracker
        }
    for name, values in result.items():
        print(f"{name}: {_shown(values)}")
    if asked.out is not None:
        software = {"python": platform.python_version(), "numpy": np.__version__,
                    "scipy": scipy.__version__, "pillow": PIL.__version__,
                    "processor": machine.processor_name()}  # fmt: skip
        facts = {"command": f"{parser.prog} {asked.what}", "seed": WORLD_SEED, "machine": software}
        write_json(asked.out, {**facts, "result": result})
    return ()


def _shown(values: Any) -> str:
    if isinstance(values, dict):
        return "  ".join(f"{key} {_shown(value)}" for key, value in values.items())
    if isinstance(values, list):
        return "/".join(_shown(value) for value in values)
    return f"{values:.3f}" if isinstance(values, float) else str(values)


if __name__ == "__main__":
    sys.exit(ends("synthetic_world", main))
