"""Small evaluation folders made by hand: the numbers are invented, the shapes are real."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RESAMPLES = 2000


def _curve(points: int, level: float, *, falling: bool) -> list[float]:
    x = np.linspace(0.0, 1.0, points)
    y = 1 - x ** (1 + 3 * level) if falling else 1 - (1 - x) ** (1 + 12 * level)
    return [round(float(v), 6) for v in y]


def _values(success: float) -> dict[str, float]:
    return {
        "success": success,
        "precision": min(success * 1.3, 1.0),
        "norm_precision": min(success * 1.2, 1.0),
        "op50": min(success * 1.25, 1.0),
    }


def difference(ours: Sequence[float], theirs: Sequence[float], **names: str) -> dict[str, Any]:
    """A real paired bootstrap of invented scores."""
    d = np.asarray(ours) - np.asarray(theirs)
    draws = np.random.default_rng(0).integers(0, len(d), size=(RESAMPLES, len(d)))
    low, high = np.quantile(d[draws].mean(axis=1), [0.025, 0.975])
    return {
        **names,
        "mean": float(d.mean()),
        "low": float(low),
        "high": float(high),
        "p": 0.04,
        "median": float(np.median(d)),
        "wins": int((d > 0).sum()),
        "ties": int((d == 0).sum()),
        "losses": int((d < 0).sum()),
        "n": len(d),
        "seed": 0,
        "resamples": RESAMPLES,
    }


def result(
    baseline: Sequence[float] = (0.5, 0.6, 0.4, 0.7),
    distilled: Sequence[float] = (0.55, 0.58, 0.47, 0.71),
    *,
    names: Sequence[str] = ("nano-rgb", "distilled"),
    sequences: Sequence[str] | None = None,
    absent: int = 7,
) -> dict[str, Any]:
    """``result.json`` of two trackers, as ``evaluation.runner`` writes it."""
    labels = sequences or [f"person_{k:02d}" for k in range(len(baseline))]
    scores = dict(zip(names, (list(baseline), list(distilled)), strict=True))
    trackers = [
        {
            "name": name,
            "weights": f"{name}.safetensors",
            "sha256": "ab" * 32,
            "preset": "default",
            "values": _values(float(np.mean(values))),
            "visible_values": _values(float(np.mean(values)) * 1.02),
            "curves": {
                "success": _curve(21, float(np.mean(values)), falling=True),
                "precision": _curve(51, float(np.mean(values)), falling=False),
                "norm_precision": _curve(51, float(np.mean(values)) * 0.8, falling=False),
            },
            "fps": 212.4,
            "sequences": [
                {
                    "name": label,
                    "subset": "",
                    "frames": 60,
                    "visible_frames": 60 - (absent if k == 0 else 0),
                    "values": _values(value),
                    "visible_values": _values(value),
                    "fps": 210.0,
                }
                for k, (label, value) in enumerate(zip(labels, values, strict=True))
            ],
        }
        for name, values in scores.items()
    ]
    pairs = [
        difference(
            [row["values"][score] for row in trackers[1]["sequences"]],
            [row["values"][score] for row in trackers[0]["sequences"]],
            a=names[1],
            b=names[0],
            score=score,
        )
        for score in ("success", "precision", "norm_precision", "op50")
    ]
    return {
        "format": 1,
        "protocol": "lsotb-tir",
        "dataset": "made-by-hand",
        "created": "2024-01-01T00:00:00Z",
        "command": "tirtrack evaluate nano-rgb distilled --dataset made-by-hand",
        "versions": {"tirtrack": "0.1.0", "torch": "2.13.0"},
        "seed": 0,
        "trackers": trackers,
        "differences": pairs,
        "absent_frames": absent,
        "missing": [],
        "repaired_rows": 0,
    }


def with_control(content: dict[str, Any]) -> dict[str, Any]:
    """The result with a third tracker, ``tir_only``, which does as well as the second."""
    student, baseline = content["trackers"][1]["name"], content["trackers"][0]["name"]
    control = {**copy.deepcopy(content["trackers"][1]), "name": "tir_only"}
    equal = {"mean": 0.0, "low": -0.01, "high": 0.01}
    rows = content["differences"]
    more = [
        *({**row, "a": "tir_only", "b": baseline} for row in rows),
        *({**row, **equal, "a": "tir_only", "b": student} for row in rows),
    ]
    return {
        **content,
        "trackers": [*content["trackers"], control],
        "differences": [*rows, *more],
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    """An evaluation folder that holds that result."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def write_boxes(folder: Path, tracker: str, sequence: str, boxes: np.ndarray) -> None:
    """A result file of one tracker on one sequence."""
    file = folder / "results" / tracker / f"{sequence}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savetxt(file, boxes, fmt="%.3f", delimiter=",")


def dataset(root: Path, names: Sequence[str], *, frames: int = 12) -> Path:
    """A data set in the layout of ``tir_video``: a bright target that moves, one absent frame."""
    from PIL import Image

    for k, name in enumerate(names):
        folder = root / "made" / name
        (folder / "img").mkdir(parents=True)
        rows = []
        for t in range(frames):
            x, y = 10 + 3 * t, 12 + 2 * k
            image = np.full((48, 64), 60, np.uint8)
            image[y : y + 8, x : x + 10] = 220
            Image.fromarray(image).save(folder / "img" / f"{t:06d}.png")
            rows.append("nan,nan,nan,nan" if t == 5 else f"{x},{y},10,8")
        (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def evaluated(root: Path, folder: Path, *, frames: int = 12) -> Path:
    """An evaluation folder with result files over :func:`dataset`, which it makes too."""
    from tirtrack.datasets import open_dataset
    from tirtrack.evaluation.scored_dataset import annotation_sha256

    content = result()
    names = [row["name"] for row in content["trackers"][0]["sequences"]]
    opened = open_dataset(dataset(root, names, frames=frames))
    by_name = {one.name.split("/")[-1]: one for one in opened.sequences}
    content["dataset_path"] = str(root)
    content["annotation_sha256"] = annotation_sha256(opened)
    for tracker in content["trackers"]:
        for row in tracker["sequences"]:
            sequence = by_name[row["name"]]
            row["name"] = sequence.name
            boxes = np.nan_to_num(sequence.annotation, nan=20.0) + np.array([2.0, 1.0, 0.0, 0.0])
            write_boxes(folder, tracker["name"], sequence.name, boxes)
    return write(folder, content)


ATTRIBUTES = {
    "occlusion": lambda k: k % 2 == 0,
    "blur": lambda k: k < 3,
    "small_target": lambda k: k != 5,
    "never": lambda k: False,
}


def scored(
    folder: Path,
    *,
    names: Sequence[str] = ("nano-rgb", "distilled", "tir_only"),
    sequences: int | Sequence[str] = 12,
    protocol: str = "lsotb-tir",
    group: str | None = None,
    parts: Sequence[str] = ("",),
    without: Sequence[tuple[str, str]] = (),
) -> Path:
    """An evaluation folder of made-up runs with scores and times, scored for real.

    Tracker ``k`` is ``k`` pixels off, and after frame 20 of each third sequence, from the ``k``-th
    on, far off. Frame 10 is not annotated.

    Args:
        folder: the folder to write.
        names: names of the trackers.
        sequences: number or names of the sequences, of 40 frames each.
        protocol: id of the protocol.
        group: key of groups; recordings of two sequences each.
        parts: parts of the data set, to which the sequences belong in turns.
        without: runs that are missing, as tracker and sequence.
    """
    from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
    from tirtrack.evaluation.protocols import get
    from tirtrack.evaluation.results import SequenceRun
    from tirtrack.evaluation.scoring import Runs, score_runs
    from tirtrack.stored import write_stored

    rng = np.random.default_rng(5)
    annotation = np.array([[20.0 + t, 30, 24, 18] for t in range(40)])
    annotation[10] = np.nan
    if isinstance(sequences, int):
        sequences = [f"person_{k:02d}" for k in range(sequences)]
    labelled = tuple(
        LabelledSequence(
            label,
            annotation,
            1,
            lambda: iter(()),
            subset=parts[k % len(parts)],
            attributes={name: int(has(k)) for name, has in ATTRIBUTES.items()},
            notes={"recording": f"r{k // 2}"},
        )
        for k, label in enumerate(sequences)
    )

    def run(tracker: int, sequence: int) -> SequenceRun:
        off = rng.normal(0, 1, (40, 4)) + np.array([tracker + 1, 0, 0, 0])
        if sequence % 3 == tracker % 3:
            off[21:] += [300, 0, 0, 0]
        off[0] = 0
        scores = np.clip(0.9 - np.abs(off[:, 0]) / 20 + rng.normal(0, 0.1, 40), 0, 1)
        boxes = np.nan_to_num(annotation, nan=20.0) + off
        return SequenceRun(boxes, scores, np.full(40, "tracking"), np.full(40, 0.01))

    runs = [
        Runs(
            name,
            {
                one.name: track
                for s, one in enumerate(labelled)
                if (track := run(k, s)) and (name, one.name) not in without
            },
        )
        for k, name in enumerate(names)
    ]
    found = score_runs(
        runs,
        LabelledDataset("made-up", labelled, protocol),
        get(protocol),
        missing="skip",
        group=group,
        resamples=200,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_stored(folder / "result.json", found)
    return folder
