"""Both verbs train to the same weights: what a few steps change in tiny networks is stored.

``trained_weights.json`` holds, for each run below and seed 0, the loss of every step, what was
measured on the held-back data, and of every component how far its numbers moved.

    python tests/distillation/test_trained_weights.py

writes the file anew. Do so only where training is meant to change, and say why in the commit.

The last bits differ between processors, so sums are compared, to 1e-4. Of ``distill_dimp`` alone,
what is added up over the steps and boxes that its trained weights refine differ by more: between
two processors, with one and the same code, sums of the box estimator by 1.01e-4 of their size, and
shares by 0.008.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tirtrack
from tirtrack.distillation.summary import read_log
from tirtrack.networks import registry
from tirtrack.weights import store
from tirtrack.weights.card import Card

STORED = Path(__file__).with_name("trained_weights.json")
TOLERANCE = 1e-4
WIDER = {"distill_dimp": (2e-4, 0.02)}  # of what moved, and of what trained weights refine
FEW = {
    "pool": 16,
    "training.steps": 3,
    "training.batch": 4,
    "training.warm_up": 1,
    "training.rate": 1e-3,
    "training.checkpoint_every": 1,
}
PAIRS = {
    **FEW,
    "held_back.samples": 12,
    "held_back.validate_every": 2,
    "teacher.min_iou": 0.0,  # random weights find nothing
    "teacher.min_iou_by_way": {},
    "teacher.min_probability": 0.0,
    "teacher.max_distance_cells": 1000.0,
}
LABELS = {**FEW, "held_back.samples": 8, "held_back.share": 0.4, "keep": "always"}


@dataclass(frozen=True)
class Case:
    """A recipe, the network that it trains, and whether from labels."""

    recipe: str
    network: str
    is_supervised: bool = False


CASES = {
    "mixed": Case("mixed", "nanotrack-v3-tiny"),
    "distill": Case("distill", "nanotrack-v3-tiny"),
    "distill_dimp": Case("distill_dimp", "dimp-lite-tiny"),
    "control_bn_statistics": Case("control_bn_statistics", "nanotrack-v3-tiny"),
    "baseline": Case("baseline", "nanotrack-v3-tiny", is_supervised=True),
    "dimp_lite": Case("dimp_lite", "dimp-lite-tiny", is_supervised=True),
}


def write_labels(root: Path) -> None:
    """Six stills and three sequences of six frames, of one block each."""

    def save(path: Path, take: int, box: list[int]) -> None:
        picture = np.random.default_rng([take, 2]).integers(40, 90, (96, 128, 3), dtype=np.uint8)
        x, y, w, h = box
        picture[y : y + h, x : x + w] = [220, 60 + 20 * take, 50]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)

    boxes = [[30 + 6 * take, 36, 26, 20 + take] for take in range(6)]
    for take, box in enumerate(boxes):
        save(root / "stills" / "images" / f"{take}.png", take, box)
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "width": 128, "height": 96} for n in range(6)
        ],
        "annotations": [{"id": n, "image_id": n, "bbox": box} for n, box in enumerate(boxes)],
        "categories": [],
    }
    (root / "stills" / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    for take in range(3):
        rows = [[20 + 8 * frame, 30 + 4 * take, 24, 18 + frame] for frame in range(6)]
        for frame, box in enumerate(rows):
            save(root / "videos" / f"take{take}" / "img" / f"{frame:06d}.png", take, box)
        text = "".join(",".join(map(str, box)) + "\n" for box in rows)
        (root / "videos" / f"take{take}" / "groundtruth.txt").write_text(text, encoding="utf-8")


def write_start(path: Path, network: str) -> None:
    """Random weights of a tiny network."""
    card = Card(name="start", architecture=network, modality="rgb", licence="Apache-2.0")
    store.write(path, registry.build(network, seed=1).eval(), card)


def trained(case: Case, root: Path, pairs: object) -> dict:
    """What a run of a case gives, in the form that is stored."""
    start, out = root / f"{case.network}.safetensors", root / "run.safetensors"
    write_start(start, case.network)
    with pytest.MonkeyPatch.context() as patch:
        # Proposals and features of an older state of the source are not to be found.
        patch.setenv("TIRTRACK_CACHE", str(root / "cache"))
        if case.is_supervised:
            data = [root / "stills", root / "videos"]
            run = tirtrack.train(
                data, out, initial=start, recipe=case.recipe, changes=LABELS, force=True
            )
        else:
            run = tirtrack.distill(pairs, start, out, recipe=case.recipe, changes=PAIRS, force=True)
    log = read_log(run.folder)
    return {
        "losses": [line.loss for line in log],
        "validated": [line.held_back for line in log if line.held_back is not None],
        "compared": _compared(json.loads((run.folder / "summary.json").read_text())),
        "moved": _moved(start, run.weights),
    }


def _compared(summary: dict) -> list[float]:
    """Baseline and student on the held-back data, and the interval of the difference."""
    found = summary["held_back"]["with_label"] or summary["held_back"]["with_teacher"]
    return [found[name] for name in ("baseline", "student", "low", "high")]


def _moved(start: Path, end: Path) -> dict[str, list[float]]:
    """By component: the sum of the changes' sizes, and the changes times a fixed pattern of +1 and
    -1; statistics of batch norm count as well.
    """
    before, after = (store.network_of(store.read(path)) for path in (start, end))
    moved = {}
    for name in before.component_names():
        modules = zip(before.modules_of(name), after.modules_of(name), strict=True)
        changes = torch.cat(
            [
                (b.double() - a.double()).flatten()
                for one, other in modules
                for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
            ]
            or [torch.zeros(1).double()]
        )
        signs = torch.from_numpy(np.random.default_rng(0).choice([-1.0, 1.0], len(changes)))
        moved[name] = [float(changes.abs().sum()), float((changes * signs).sum())]
    return moved


def main() -> None:
    """Write ``trained_weights.json`` anew."""
    import tiny_world

    with tempfile.TemporaryDirectory() as folder:
        write_labels(Path(folder))
        pairs = tiny_world.TinyPairs()
        found = {name: trained(case, Path(folder), pairs) for name, case in CASES.items()}
    STORED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_few_steps_train_to_the_stored_weights(tiny, tmp_path, name):
    write_labels(tmp_path)
    found = trained(CASES[name], tmp_path, tiny.TinyPairs())
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name]
    close = {"rel": TOLERANCE, "abs": TOLERANCE}
    assert found["losses"] == pytest.approx(stored["losses"], **close)
    assert found["compared"] == pytest.approx(stored["compared"], **close)
    of_moved, of_refined = WIDER.get(name, (TOLERANCE, TOLERANCE))
    for step, known in enumerate(stored["validated"]):
        tolerance = of_refined if step else TOLERANCE
        assert found["validated"][step] == pytest.approx(known, rel=tolerance, abs=tolerance)
    assert len(found["validated"]) == len(stored["validated"])
    assert list(found["moved"]) == list(stored["moved"])
    for component, (size, product) in stored["moved"].items():
        assert found["moved"][component] == pytest.approx(
            [size, product], rel=0, abs=of_moved * size
        ), component


if __name__ == "__main__":
    main()
