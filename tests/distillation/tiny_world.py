"""A few unlabelled pairs made in memory, and all that a run on them needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tirtrack.distillation.frozen_backbone import backbone_hash, torch_engine
from tirtrack.distillation.pool_making import build_pool
from tirtrack.distillation.recipe import load_recipe
from tirtrack.distillation.recipe_check import check_recipe
from tirtrack.distillation.run_folder import Run
from tirtrack.distillation.samples import draw_samples
from tirtrack.distillation.sources import hold_back
from tirtrack.distillation.stages import distil_network
from tirtrack.networks import registry
from tirtrack.pairs.source import Manifest, Pair, Recording
from tirtrack.progress import silent

SMALL = {
    "pool": 12,
    "training.steps": 2,
    "training.batch": 4,
    "training.warm_up": 1,
    "training.checkpoint_every": 1,
    "held_back.samples": 6,
    "teacher.require": False,
}


class TinyPairs:
    """Recordings of a bright square that moves over a dim, textured ground."""

    def __init__(self, *, recordings: int = 3, frames: int = 2, dtype: str = "uint8") -> None:
        self.name = "tiny"
        self._recordings = recordings
        self._frames = frames
        self._dtype = dtype

    def __len__(self) -> int:
        return self._recordings * self._frames

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < len(self):
            raise IndexError(index)
        take, position = divmod(index, self._frames)
        rng = np.random.default_rng([take, 1])
        rgb = rng.integers(40, 80, (96, 128, 3), dtype=np.uint8)
        tir = rng.integers(40, 80, (96, 128), dtype=np.uint8)
        x, y = 40 + 6 * position, 30 + 5 * take
        rgb[y : y + 20, x : x + 24] = [200, 90, 160]
        tir[y : y + 20, x : x + 24] = 220
        if self._dtype == "uint16":
            tir = tir.astype(np.uint16) * 20 + 3000
        return Pair(f"take{take}/{position}", f"take{take}", position, rgb, tir)

    def recordings(self) -> dict[str, Recording]:
        n = self._frames
        return {
            f"take{take}": Recording(f"take{take}", range(take * n, take * n + n), is_video=True)
            for take in range(self._recordings)
        }

    def manifest(self) -> Manifest:
        return Manifest(self.name, "CC0-1.0", [])


def recipe_of(name: str, *, network=None, **changes):
    known = dict(SMALL)
    known.update({key.replace("__", "."): value for key, value in changes.items()})
    kind = "siamese" if network is None else network.family
    fits = load_recipe(name).network == kind
    return load_recipe(name if fits else f"{name}_{kind}", changes=known)


def network_of(name: str = "nanotrack-v3", seed: int = 0):
    return registry.build(name, tiny=True, seed=seed).eval()


def run_tiny(
    recipe, folder: Path, *, network=None, source=None, seed=0, resume=False, progress=silent,
    teacher=None, follower=None,
):  # fmt: skip
    """A whole distillation of a tiny network: the student, and the summary."""
    network = network_of() if network is None else network
    source = TinyPairs() if source is None else source
    check_recipe(recipe, network, teacher)
    engine = None if recipe.trains_backbone else torch_engine(network)
    weights = backbone_hash(network)  # features are kept by it
    split = hold_back(source, recipe.held_back.share)
    identity = {"recipe": recipe.name, **split.identity(), "baseline": weights, "seed": str(seed)}
    out = folder / "student.safetensors"
    run = Run(out, folder, recipe, identity, seed=seed, resume=resume, progress=progress)
    make = None if follower is None else lambda: follower
    return distil_network(network, split, run, teacher=teacher, engine=engine, follower=make)


def drawn_pool(clips, recipe, network, count):
    """A pool of the clips' first samples, with features."""
    samples = draw_samples(clips, recipe, range(count), network=network, seed=0)
    return build_pool(clips, samples, recipe, seed=0, engine=torch_engine(network))
