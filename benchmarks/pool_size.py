"""Size of the features that a distillation keeps in the cache: ``python -m benchmarks.pool_size``.

    python -m benchmarks.pool_size --out docs/figures/pool_cache.json

The pool of the recipe ``mixed`` (1,000 samples) on the pairs of the small world, all of them and
those of one recording alone, each from an empty cache; ``tirtrack cache show`` shows the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import tirtrack
from benchmarks.evidence.plan import UNREGISTERED
from tirtrack.cache import cache_entries
from tirtrack.distillation.recipe import load_recipe
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.synthetic import cached_world

RECIPE = "mixed"


def pool_gb(pairs: Path) -> float:
    """Gigabytes that one distillation adds to an empty cache for its samples."""
    recipe = load_recipe(RECIPE, changes={"training.steps": 1, **UNREGISTERED})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TIRTRACK_CACHE"] = folder
        tirtrack.distill(pairs, "nano-rgb", Path(folder) / "student.safetensors", recipe=recipe)
        return sum(one.size_bytes for one in cache_entries() if one.kind == "pools") / 1e9


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_size", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    pairs = cached_world("small") / "pairs"
    one_scene = next(path for path in sorted(pairs.iterdir()) if path.is_dir())
    sizes = {"all recordings": pool_gb(pairs), "one recording": pool_gb(one_scene)}
    for name, size_gb in sizes.items():
        print(f"{name:14} {size_gb:.3f} GB")
    if options.out:
        samples = load_recipe(RECIPE).pool
        facts = {"command": parser.prog, "samples": samples, "versions": versions()}
        write_json(options.out, {**facts, "pool_gb": sizes})


if __name__ == "__main__":
    main()
