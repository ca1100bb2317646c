"""Adaptation on ``camel`` without RGB: trained on ten recordings, tested on the eleventh.

The training is handed folders of links to frames, in which no label lies.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tirtrack.datasets.sequence import LabelledDataset

FRAMES = ("video.mp4", "img")


def frames_alone(camel: Path, out: Path) -> dict[str, list[Path]]:
    """Folders with the frames of every sequence and nothing else, by the name of the recording."""
    found: dict[str, list[Path]] = {}
    for sequence in sorted(path for path in camel.iterdir() if path.is_dir()):
        facts = json.loads((sequence / "attributes.json").read_text(encoding="utf-8"))
        folder = out / sequence.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in FRAMES:
            link = folder / name
            if (sequence / name).exists() and not link.is_symlink():
                link.symlink_to((sequence / name).resolve())
        found.setdefault(facts["recording"], []).append(folder)
    return found


def all_but(frames: dict[str, list[Path]], recording: str) -> list[Path]:
    """The folders of the other recordings."""
    return [folder for name, inside in frames.items() if name != recording for folder in inside]


def only(dataset: LabelledDataset, recording: str) -> LabelledDataset:
    """The sequences of one recording."""
    inside = [one for one in dataset.sequences if one.notes["recording"] == recording]
    return replace(dataset, sequences=tuple(inside))
