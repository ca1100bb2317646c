"""How well pairs that cannot be used are told from good ones: precision and recall by kind.

    python -m benchmarks.unusable_pairs [--out docs/figures/unusable_pairs.json]
    python -m benchmarks.unusable_pairs --fit

Good pairs are those of ``data/pairs`` (stills, and some frames of every video) and of the synthetic
world. Every fourth gives one bad pair of each kind: another scene's TIR, a blank picture, a shutter
frame, near infrared modelled from RGB (vegetation bright, sky and shadows dark), TIR simulated from
the colours of RGB, RGB hidden by smoke, and a second thermal camera in place of RGB. What is made
is stored as JPEG once, as cameras do.

Thresholds (``tirtrack.pairs.likeness``) were set on the even half: stills whose place is even, and
videos and worlds whose number is. ``--fit`` prints what each kind measures there. The table is of
the odd half, which was not untouched: it was measured before the last rules and thresholds were
set, and the good pairs that were rejected in it were looked at.
Precision is the share of bad pairs among the rejected ones, the bad pairs of one kind and good
pairs: those that are rejected for its reason, or, in the second column, for any.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from benchmarks.shipped_weights import ROOT
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.pairs import open_pairs
from tirtrack.pairs.likeness import Likeness, Unusable, likeness, resized
from tirtrack.pairs.proposals.rules import grey_levels
from tirtrack.pairs.source import Pair
from tirtrack.synthetic import render_sequence

STILLS = ("roadscene", "vifb", "llvip")
VIDEOS = ("m3svd", "m3svd_video", "vtuav")
FRAMES = 15  # of a video
WORLDS = 60
BAD_EVERY = 4  # good pairs, of which one makes a bad pair of every kind
WORLD_SEED = 61
BRIGHT_LEAVES = 3.0  # reflectance of leaves in near infrared over that in red, at full saturation

Made = Callable[[Pair, Sequence[Pair], np.random.Generator], Pair]


def good_pairs(shared: Path, *, odd: bool) -> Iterator[tuple[str, Pair]]:
    """The good pairs of one half, with the name of their set."""
    for name in STILLS:
        source = open_pairs(shared / "data" / "pairs" / name)
        yield from ((name, source[index]) for index in range(int(odd), len(source), 2))
    number = 0
    for name in VIDEOS:
        source = open_pairs(shared / "data" / "pairs" / name)
        for recording in source.recordings().values():
            if number % 2 == odd:
                step = max(len(recording.indices) // FRAMES, 1)
                yield from ((name, source[index]) for index in recording.indices[::step])
            number += 1
    for number in range(int(odd), WORLDS, 2):
        world = render_sequence((WORLD_SEED, number), 1)
        if world.rgb is None:
            raise RuntimeError("the world was rendered without RGB")
        yield "world", Pair(f"world/{number}", "world", number, world.rgb[0], world.tir[0])


# --- how bad pairs are made ----------------------------------------------------------------------


def other_scene(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """TIR of another scene: of another still of the set, or of a still for a frame of a video."""
    other = others[int(rng.integers(len(others)))]
    return replace(pair, tir=_on_grid(other.tir, pair))


def blank(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """One of the two is constant, with the noise of compression."""
    level = float(rng.choice([0, rng.uniform(0, 255), 255]))
    if rng.random() < 0.5:
        return replace(pair, tir=_stored(level + rng.normal(0, 0.7, pair.tir.shape)))
    dark = rng.uniform(0, 20) + rng.normal(0, rng.uniform(0, 4), pair.both[0].shape)
    return replace(pair, rgb=_stored(dark))


def shutter(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """TIR of a closed shutter: shading towards the corners, offsets of rows and columns, fixed
    pattern and noise; stretched by the gain control or not.
    """
    height, width = pair.tir.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    frame = rng.uniform(-30, 10) * (x**2 + y**2) + rng.uniform(-8, 8) * x + rng.uniform(-8, 8) * y
    frame += rng.normal(0, rng.uniform(0, 4), (1, width))
    frame += rng.normal(0, rng.uniform(0, 2), (height, 1))
    frame += rng.normal(0, rng.uniform(1, 6), (height, width))
    if rng.random() < 0.5:
        low, high = np.percentile(frame, [1, 99])
        return replace(pair, tir=_stored((frame - low) * 255 / (high - low)))
    return replace(pair, tir=_stored(128 + frame))


def hidden(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """RGB behind smoke that lets at most 6 % through."""
    rgb = pair.both[0].astype(np.float64)
    clouds = np.zeros(rgb.shape[:2])
    for octave in (8, 4, 2):
        cells = rng.normal(size=(octave * 3 // 4 + 2, octave + 2))
        clouds += ndimage.zoom(cells, np.divide(rgb.shape[:2], cells.shape), order=3) / (
            16 / octave
        )
    colour = rng.uniform(90, 200) * np.array([1, rng.uniform(0.85, 1.05), rng.uniform(0.7, 1.1)])
    smoke = (1 + rng.uniform(0.05, 0.2) * clouds[:, :, None]) * colour
    through = rng.uniform(0, 0.06)
    seen = through * rgb + (1 - through) * smoke + rng.normal(0, rng.uniform(1, 4), rgb.shape)
    return replace(pair, rgb=_stored(seen))


def near_infrared(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """Reflected light beyond red in place of TIR: leaves bright, sky and shadows dark."""
    red, green, blue = np.moveaxis(pair.both[0].astype(np.float64) / 255, 2, 0) ** 2.2
    leaves = np.clip((green - np.maximum(red, blue)) / (green + 1e-2), 0, 0.5) * 2
    sky = np.clip((blue - red) / (blue + 1e-2), 0, 0.7)
    reflected = red * (1 + BRIGHT_LEAVES * leaves) * (1 - rng.uniform(0.5, 1.0) * sky)
    reflected = reflected * rng.uniform(0.8, 1.6) + rng.uniform(0, 0.02)
    seen = 255 * np.clip(reflected, 0, 1) ** rng.uniform(0.4, 0.6)
    seen = ndimage.shift(seen, rng.uniform(-1.5, 1.5, 2), order=1, mode="nearest")
    seen = ndimage.gaussian_filter(seen, rng.uniform(0, 1.2))
    return replace(pair, tir=_stored(seen + rng.normal(0, rng.uniform(0.5, 3), seen.shape)))


def simulated(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """A channel or a mixture of the colours of RGB in place of TIR: inverted, bent or blurred."""
    rgb = pair.both[0].astype(np.float64)
    channel = rng.integers(3)
    ways = (
        rgb[:, :, channel],
        rgb @ rng.dirichlet([1, 1, 1]),
        rgb.max(axis=2),
        0.5 * (rgb[:, :, 0] - rgb[:, :, 2]) + 128,
    )
    levels = np.clip(ways[int(rng.integers(len(ways)))], 0, 255)
    levels = 255 * (levels / 255) ** rng.uniform(0.5, 2)
    levels = 255 - levels if rng.random() < 0.5 else levels
    levels = ndimage.gaussian_filter(levels, rng.uniform(0, 1.5))
    return replace(pair, tir=_stored(levels + rng.normal(0, rng.uniform(0, 2), levels.shape)))


def one_kind(pair: Pair, others: Sequence[Pair], rng: np.random.Generator) -> Pair:
    """A second thermal camera in place of RGB: other gain and sharpness, up to 1.5 px apart."""
    seen = grey_levels(pair.tir).astype(np.float64)
    seen = 255 * (seen / 255) ** rng.uniform(0.6, 1.6)
    seen = ndimage.shift(seen, rng.uniform(-1.5, 1.5, 2), order=1, mode="nearest")
    seen = ndimage.gaussian_filter(seen, rng.uniform(0, 1.2))
    seen = _stored(seen + rng.normal(0, rng.uniform(0.5, 3), seen.shape))
    return replace(pair, rgb=np.repeat(seen[:, :, None], 3, axis=2))


KINDS: Mapping[Unusable, Made] = {
    Unusable.OTHER_SCENE: other_scene,
    Unusable.BLANK: blank,
    Unusable.SHUTTER: shutter,
    Unusable.NEAR_INFRARED: near_infrared,
    Unusable.SIMULATED: simulated,
    Unusable.HIDDEN: hidden,
    Unusable.ONE_KIND: one_kind,
}


def _on_grid(tir: np.ndarray, pair: Pair) -> np.ndarray:
    return resized(tir.astype(np.float32), *pair.tir.shape).astype(tir.dtype)


def _stored(levels: np.ndarray) -> np.ndarray:
    """Grey levels after a JPEG of quality 85."""
    file = io.BytesIO()
    Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=85
    )
    return np.asarray(Image.open(file))


# --- measuring -----------------------------------------------------------------------------------


def measured(shared: Path, *, odd: bool) -> Iterator[tuple[str, Unusable | None, Likeness]]:
    """Set, what was made of it (``None``: nothing), and what is measured, pair by pair."""
    found = list(good_pairs(shared, odd=odd))
    for place, (name, pair) in enumerate(found):
        yield name, None, likeness(pair, with_turns=False)
        if place % BAD_EVERY:
            continue
        partners = [one for other, one in found if _may_be_partner(name, other) and one is not pair]
        for kind, make in KINDS.items():
            rng = np.random.default_rng([place, list(KINDS).index(kind), int(odd)])
            yield name, kind, likeness(make(pair, partners, rng), with_turns=False)


def _may_be_partner(name: str, other: str) -> bool:
    """Whether two pairs of these sets surely show different scenes."""
    return other in STILLS if name in VIDEOS else other == name


def table(rows: Sequence[tuple[str, Unusable | None, Likeness]]) -> list[dict[str, object]]:
    """A row for each kind: counts, precision, recall, and the share that is named rightly."""
    found = []
    all_wrong = sum(one.unusable is not None for _, made, one in rows if made is None)
    for kind in KINDS:
        wrong = sum(one.unusable is kind for _, made, one in rows if made is None)
        bad = [one.unusable for _, made, one in rows if made is kind]
        rejected = sum(one is not None for one in bad)
        found.append(
            {
                "kind": str(kind),
                "bad": len(bad),
                "rejected": rejected,
                "good_rejected": wrong,
                "precision": rejected / max(rejected + wrong, 1),
                "precision_any_reason": rejected / max(rejected + all_wrong, 1),
                "recall": rejected / len(bad),
                "named_rightly": sum(one is kind for one in bad) / len(bad),
            }
        )
    return found


def print_fit(rows: Sequence[tuple[str, Unusable | None, Likeness]]) -> None:
    """Percentiles of every measure, for good pairs and each kind."""
    names = [name for name, value in _flat(rows[0][2]).items() if np.isscalar(value)]
    for name in names:
        print(
            f"{name:20}  {'min':>8} {'2 %':>8} {'10 %':>8} {'50 %':>8} {'90 %':>8} {'98 %':>8} max"
        )
        for kind in (None, *KINDS):
            values = [_flat(one)[name] for _, made, one in rows if made is kind]
            marks = " ".join(
                f"{x:8.3f}" for x in np.percentile(values, [0, 2, 10, 50, 90, 98, 100])
            )
            print(f"  {kind or 'good':32} {marks}")


def _flat(one: Likeness) -> dict[str, float]:
    whole = asdict(one)
    for side in ("rgb", "tir"):
        whole |= {f"{name}_{side}": value for name, value in whole.pop(side).items()}
    del whole["turned"]
    return whole


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unusable_pairs")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--fit", action="store_true", help="print the measures of the even half")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    given = parser.parse_args()
    rows = list(measured(given.shared, odd=not given.fit))
    if given.fit:
        print_fit(rows)
    good = [(name, one.unusable) for name, made, one in rows if made is None]
    sets = Counter(name for name, _ in good)
    rejected = Counter(name for name, kind in good if kind is not None)
    reasons = Counter(str(kind) for _, kind in good if kind is not None)
    print(f"good pairs: {len(good)}, rejected {rejected.total()}: {dict(rejected)} {dict(reasons)}")
    print(
        f"{'kind':34} {'bad':>4} {'rejected':>8} {'precision':>9} {'any reason':>10} "
        f"{'recall':>7} {'named':>6}"
    )
    kinds = table(rows)
    for row in kinds:
        print(
            f"{row['kind']:34} {row['bad']:4} {row['rejected']:8} {row['precision']:9.3f} "
            f"{row['precision_any_reason']:10.3f} {row['recall']:7.3f} {row['named_rightly']:6.3f}"
        )
    if given.out:
        listed = [{"reason": reason, "pairs": count} for reason, count in reasons.items()]
        facts = {
            "command": parser.prog,
            "half": "even" if given.fit else "odd",
            "good": {"pairs": len(good), "rejected": rejected.total(), "reasons": listed},
            "sets": {name: {"pairs": n, "rejected": rejected[name]} for name, n in sets.items()},
            "versions": versions(),
        }
        write_json(given.out, {**facts, "kinds": kinds})


if __name__ == "__main__":
    main()
