"""A world as a folder: unlabelled pairs, validation and test sequences; whole or not at all.

Every sequence has its own seed, so one process and many write the same bytes. ``pairs`` holds no
annotation of any kind.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tirtrack.cache import cache_folder
from tirtrack.errors import RequestError, RunError, StorageError
from tirtrack.files import fingerprint, new_folder
from tirtrack.progress import Progress, silent
from tirtrack.synthetic.facts import SEQUENCE_ATTRIBUTES, SequenceFacts, gather_facts
from tirtrack.synthetic.plan import ScenePlan, draw_plan
from tirtrack.synthetic.render import RenderedFrame, render_frames
from tirtrack.synthetic.settings import (
    SPLIT_CODES,
    Split,
    WorldSettings,
    WorldSize,
    world_size,
)
from tirtrack.workers import check_workers, working

FORMAT = 2
"""Version of folder and renderer: raised whenever the same seed gives other bytes."""

FACTS_FOLDER = "facts"
WORLD_FILE = "world.json"
_FIRST_PIXEL = np.array([1.0, 1.0, 0.0, 0.0])  # LSOTB-TIR counts pixels from 1
_SCENARIOS = {"pan": "V", "follow": "D", "static": "S", "hand": "H"}
_ATTEMPTS = 20
_STARTS_INSIDE = 0.98
_STARTS_HIDDEN = 0.1


@dataclass(frozen=True)
class _Item:
    """One sequence to write: where, which, how long."""

    root: Path
    split: Split
    index: int
    frames: int
    spacing: int
    world_seed: int
    settings: WorldSettings


def write_world(
    root: Path,
    *,
    size: str | WorldSize = "demo",
    seed: int = 0,
    settings: WorldSettings | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Path:
    """Write a world to a folder that does not exist yet.

    ``root/pairs/SEQ/{rgb,tir}/NNNNNN.{jpg,png}`` without any label; ``root/validation`` and
    ``root/test`` (TIR) and ``root/validation_rgb`` (the other half of validation) in the layout of
    LSOTB-TIR: ``SEQ/img``, ``anno/SEQ.txt`` (base 1, one decimal, NaN rows where absent),
    ``anno/att/SEQ.txt``, and all other facts in ``anno/facts/SEQ.json``.

    Args:
        root: the folder.
        size: ``small``, ``demo``, ``study``, or any other ``WorldSize``.
        seed: seed of the world; splits never share a random stream.
        settings: the difficulty, ``standard`` if None.
        workers: number of processes; the bytes do not depend on it. New processes import the
            calling script, so with more than one it needs ``if __name__ == "__main__"``.
        progress: callback that is told of every finished sequence.

    Raises:
        RequestError: the folder exists and is not empty, or the size is unknown.
        StorageError: something could not be written.
        RunError: a worker died.
    """
    amount = world_size(size) if isinstance(size, str) else size
    settings = settings or WorldSettings()
    check_workers(workers)
    root = Path(root)
    if root.exists() and (root.is_file() or any(root.iterdir())):
        raise RequestError("exists already", root, "choose another folder")
    partial = root.with_name(f".{root.name}.{os.getpid()}.partial")
    try:
        new_folder(partial, force=True)
        items = list(_items(partial, amount, seed, settings))
        _write_all(items, workers, progress)
        _describe(partial, amount, seed, settings)
        partial.rename(root)
    except OSError as error:
        raise StorageError(
            f"could not be written ({error.strerror or error})",
            root,
            "free some space or choose another folder",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return root


def cached_name(size: str, *, seed: int = 0) -> str:
    """Name of the folder of a world in the cache; another one if anything it is drawn from changes.

    Args:
        size: ``small``, ``demo`` or ``study``.
        seed: seed of the world.

    Raises:
        RequestError: the size is unknown.
    """
    drawn_from = [FORMAT, seed, world_size(size).model_dump(), WorldSettings().model_dump()]
    return f"{size}-{fingerprint(drawn_from)}"


def cached_world(
    size: str = "demo", *, seed: int = 0, workers: int = 1, progress: Progress = silent
) -> Path:
    """The folder of a world of the standard difficulty, from the cache or made now.

    Args:
        size: ``small``, ``demo`` or ``study``.
        seed: seed of the world.
        workers: number of processes, as in :func:`write_world`.
        progress: callback that is told of every finished sequence; unused for a cached world.

    Raises:
        RequestError: the size is unknown.
        StorageError: the cache cannot be written.
    """
    path = cache_folder("worlds") / cached_name(size, seed=seed)
    if (path / WORLD_FILE).is_file():
        return path
    try:
        return write_world(
            path, size=world_size(size), seed=seed, workers=workers, progress=progress
        )
    except (RequestError, StorageError):
        if (path / WORLD_FILE).is_file():  # another process was faster; its bytes are the same
            return path
        raise


def _items(root: Path, amount: WorldSize, seed: int, settings: WorldSettings) -> Iterator[_Item]:
    counts: tuple[tuple[Split, int], ...] = (
        ("pairs", amount.recordings),
        ("validation", amount.validation),
        ("test", amount.test),
    )
    for split, count in counts:
        length = amount.pairs_each if split == "pairs" else amount.frames
        spacing = amount.spacing_frames if split == "pairs" else 1
        for index in range(count):
            yield _Item(root, split, index, length, spacing, seed, settings)


def _write_all(items: list[_Item], workers: int, progress: Progress) -> None:
    progress("world", 0, len(items))
    if workers == 1:
        for done, item in enumerate(items, start=1):
            _write_item(item)
            progress("world", done, len(items))
        return
    try:
        with working(_write_item, items, workers) as futures:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress("world", done, len(items))
    except BrokenProcessPool as error:
        raise RunError(
            "a worker that renders the synthetic world died",
            fix="run again with fewer workers or more memory",
        ) from error


def _write_item(item: _Item) -> None:
    if item.split == "pairs":
        _write_recording(item)
    else:
        _write_labelled(item)


def _seed(item: _Item, attempt: int = 0) -> tuple[int, ...]:
    return item.world_seed, SPLIT_CODES[item.split], item.index, attempt


def _write_recording(item: _Item) -> None:
    """Frames of both modalities, and nothing else."""
    folder = item.root / "pairs" / f"recording_{item.index + 1:03d}"
    plan = draw_plan(_seed(item), item.frames, spacing=item.spacing, settings=item.settings)
    for number, frame in enumerate(render_frames(plan), start=1):
        _save_tir(folder / "tir", number, frame)
        _save_rgb(folder / "rgb", number, frame)


def _write_labelled(item: _Item) -> None:
    """Frames and facts of a sequence whose target can be seen in the first frame."""
    with_rgb = item.split == "validation"
    plan, frames = _with_clear_start(item, rgb=with_rgb)
    name = f"{plan.actors[0].kind}_{_SCENARIOS[plan.camera.mode]}_{item.index + 1:03d}"
    tir_root, rgb_root = item.root / item.split, item.root / f"{item.split}_rgb"
    kept: list[RenderedFrame] = []
    for number, frame in enumerate(frames, start=1):
        _save_tir(tir_root / name / "img", number, frame)
        if with_rgb:
            _save_rgb(rgb_root / name / "img", number, frame)
        kept.append(RenderedFrame(None, frame.tir[:0], frame.in_rgb, frame.in_tir, frame.agc_jump))
    facts = gather_facts(
        plan,
        [frame.in_tir for frame in kept],
        [frame.in_rgb for frame in kept],
        jumps=[frame.agc_jump for frame in kept],
    )
    _save_facts(tir_root, name, facts, facts.boxes_tir)
    if facts.boxes_rgb is not None:
        _save_facts(rgb_root, name, facts, facts.boxes_rgb)


def _with_clear_start(item: _Item, *, rgb: bool) -> tuple[ScenePlan, Iterator[RenderedFrame]]:
    """The first of a few attempts whose first frame shows the target whole and unhidden."""
    for attempt in range(_ATTEMPTS):
        plan = draw_plan(_seed(item, attempt), item.frames, settings=item.settings)
        frames = render_frames(plan, rgb=rgb)
        first = next(frames)
        sights = [first.in_tir] if first.in_rgb is None else [first.in_tir, first.in_rgb]
        if all(
            one.inside_share > _STARTS_INSIDE and one.occluded < _STARTS_HIDDEN for one in sights
        ):
            return plan, chain([first], frames)
    raise RunError(
        f"no sequence with a visible target in {_ATTEMPTS} attempts",
        f"synthetic world, {item.split} {item.index}",
        "choose another seed or other settings",
    )


# --- files


def _place(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name


def _save_tir(folder: Path, number: int, frame: RenderedFrame) -> None:
    Image.fromarray(frame.tir).save(_place(folder, f"{number:06d}.png"), compress_level=1)


def _save_rgb(folder: Path, number: int, frame: RenderedFrame) -> None:
    if frame.rgb is not None:
        Image.fromarray(frame.rgb).save(_place(folder, f"{number:06d}.jpg"), quality=95)


def _save_facts(root: Path, name: str, facts: SequenceFacts, boxes: NDArray[np.float64]) -> None:
    """Annotation, attributes and all other facts of one sequence."""
    texts = {
        f"{name}.txt": "".join(f"{_row(row)}\n" for row in boxes + _FIRST_PIXEL),
        f"att/{name}.txt": ",".join(str(facts.attributes[key]) for key in SEQUENCE_ATTRIBUTES),
        f"{FACTS_FOLDER}/{name}.json": json.dumps(facts.as_json(), allow_nan=False),
    }
    for place, text in texts.items():
        path = root / "anno" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def _row(stored: NDArray[np.float64]) -> str:
    """A stored box as the layout writes it, with one decimal.

    >>> _row(np.array([1.0, 10.25, 3.5, 4.0]))
    '1.0,10.2,3.5,4.0'
    """
    if np.isnan(stored).any():
        return "NaN,NaN,NaN,NaN"
    return ",".join(f"{value:.1f}" for value in stored)


def _describe(root: Path, amount: WorldSize, seed: int, settings: WorldSettings) -> None:
    """Write what this world is; no box is in it."""
    content = {
        "format": FORMAT,
        "seed": seed,
        "size": amount.model_dump(),
        "settings": settings.model_dump(),
        "licence": "Apache-2.0 (rendered by tirtrack)",
    }
    (root / WORLD_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
