"""Makes the weights that are shipped: ``python -m benchmarks.shipped_weights --stage baseline``.

Stages; ``calibrate`` and ``ship`` follow each of the other two, and use what is under ``--out``:

``baseline``  NanoTrack V3, given its card, trained on by us on the labelled RGB that may go into
              shipped weights (COCO, VOC and raccoon stills, the CC0 drone videos): ``nano-rgb``.
``student``   the shipped ``nano-rgb`` distilled on the pairs that may go into shipped weights
              (M3SVD, the synthetic world): ``nano-tir``.
``calibrate`` the score is fitted, for each in its modality, on the validation split of the study
              world, on sequences in which every target leaves, and on ``rgb/video_train``:
              ``OUT/NAME.calibration.json``, and all reports with ``--figures FILE``.
``ship``      with their calibration to ``weights/shipped``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks import fit_calibration
from benchmarks.evidence.plan import UNREGISTERED
from benchmarks.experiments import data
from benchmarks.experiments.rows import SHIPPABLE, STUDIES
from tirtrack.files import write_json
from tirtrack.identity import versions
from tirtrack.synthetic import WorldSettings, WorldSize, cached_world, write_world
from tirtrack.weights import store
from tirtrack.weights.card import Calibration, Card, TrainingSource

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "src" / "tirtrack" / "weights" / "shipped"
STILL_SOURCES = ("coco", "voc", "raccoon")
LICENCES = {
    "coco": "annotations CC-BY-4.0; images under the terms of their hosts",
    "voc": "collections Apache-2.0 and MIT; images under the terms of their hosts",
    "raccoon": "MIT",
}
DRONE_LICENCE = "CC0-1.0"
V3_CARD = Card(
    name="nanotrack-v3",
    architecture="nanotrack-v3",
    modality="rgb",
    licence="Apache-2.0",
    summary="NanoTrack V3 as published (HonglinChu/SiamTrackers 248663f); not ours, not shipped",
    training_data=[
        TrainingSource(
            name=name, licence="terms of the data set; not examined", role="as published"
        )
        for name in ("GOT-10k", "ImageNet VID", "ImageNet DET", "YouTube-BB", "COCO", "LaSOT")
    ],
)


def make_baseline(shared: Path, out: Path) -> None:
    """Continue V3 on labelled RGB."""
    import tirtrack

    published = store.read(shared / data.V3)
    start = out / "nanotrack-v3.safetensors"
    store.write(start, store.network_of(published), V3_CARD)
    videos = sorted((shared / "data" / "rgb" / "video_train").glob("drone_v_*"))
    tirtrack.train(
        [shared / "data" / "rgb" / "stills", *videos],
        out / "nano-rgb.safetensors",
        initial=start,
        still_sources=STILL_SOURCES,
        licences={**LICENCES, **{video.name: DRONE_LICENCE for video in videos}},
        force=True,
        command="python -m benchmarks.shipped_weights --stage baseline",
    )


def make_student(shared: Path, out: Path, world: Path, recipe: str) -> None:
    """Distil the shipped baseline."""
    import tirtrack

    tirtrack.distill(
        data.training_pairs(shared, SHIPPABLE, world, out),
        SHIPPED / "nano-rgb.safetensors",
        out / "nano-tir.safetensors",
        recipe=recipe,
        changes=UNREGISTERED,
        held_back=data.held_back_pairs(shared),
        licence=data.LICENCES[SHIPPABLE],
        force=True,
        command=f"python -m benchmarks.shipped_weights --stage student --recipe {recipe}",
    )


STUDENT_SOURCES = [
    TrainingSource(name="M3SVD", licence="MIT", role="unlabelled RGB-TIR pairs"),
    TrainingSource(
        name="synthetic world of tirtrack (study, seed 0)",
        licence="Apache-2.0",
        role="unlabelled RGB-TIR pairs",
    ),
]


ABSENCES = WorldSize(
    recordings=0, pairs_each=1, spacing_frames=1, validation=30, test=0, frames=120
)
ABSENCES_SEED = 500
FITTED_ON = (
    "synthetic world (validation: study, seed 0; 30 sequences with absence, seed 500), "
    "rgb/video_train"
)
CALIBRATION_FRAMES = 150  # at most, of a sequence


SPLITS = {"nano-rgb": "validation_rgb", "nano-tir": "validation"}


def _made(out: Path) -> list[str]:
    return [name for name in SPLITS if (out / f"{name}.safetensors").is_file()]


def calibrate(shared: Path, out: Path, world: Path, figures: Path | None) -> None:
    """Fit the score of what was made."""
    reports = {}
    absences = out / "absences"
    if not absences.is_dir():
        write_world(
            absences, size=ABSENCES, seed=ABSENCES_SEED, settings=WorldSettings(leave_share=1.0)
        )
    videos = shared / "data" / "rgb" / "video_train"
    for name in _made(out):
        split = SPLITS[name]
        reports[name] = fit_calibration.calibrate(
            out / f"{name}.safetensors",
            [world / split, absences / split, videos],
            fitted_on=FITTED_ON,
            frames=CALIBRATION_FRAMES,
        )
        write_json(out / f"{name}.calibration.json", reports[name])
    if figures:
        command = "python -m benchmarks.shipped_weights --stage calibrate"
        write_json(figures, {"command": command, "versions": versions(), **reports})


def ship(out: Path, table: Path | None) -> None:
    """Copy what was made into the package, with its calibration, sources and scores by name."""
    for name in _made(out):
        weights = store.read(out / f"{name}.safetensors")
        fitted = json.loads((out / f"{name}.calibration.json").read_text(encoding="utf-8"))
        changes: dict[str, object] = {
            "calibration": Calibration.model_validate(fitted["calibration"]),
            "scores": weights.card.scores if table is None else _scores(name, table),
        }
        if name == "nano-tir":
            changes["training_data"] = STUDENT_SOURCES
        card = weights.card.model_copy(update=changes)
        store.write(SHIPPED / f"{name}.safetensors", store.network_of(weights), card)


def _scores(name: str, table: Path) -> dict[str, float]:
    """The primary figure of the experiments: that of this seed, and the mean of all seeds."""
    study = STUDIES["nano"]
    wanted = {"nano-rgb": study.baseline, "nano-tir": study.ours}[name]
    rows = json.loads(table.read_text(encoding="utf-8"))["rows"]
    row = next(row for row in rows if row["row"]["name"] == wanted)
    what = "lsotb-tir normalised precision 0 to 0.5, mean of drone, m3svd, cptv, ltir+ptb"
    each = [round(value, 3) for value in row["primary_by_seed"]]
    if len(each) == 1:
        return {what: each[0]}
    return {
        f"{what} (this seed)": each[0],
        f"{what} (mean of {len(each)} seeds)": round(row["primary"], 3),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shipped_weights")
    parser.add_argument(
        "--stage", choices=["baseline", "student", "calibrate", "ship"], required=True
    )
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "shipped")
    parser.add_argument("--world", type=Path)
    parser.add_argument("--recipe", default="mixed")
    parser.add_argument("--table", type=Path, help="of the experiments: scores for the cards")
    parser.add_argument("--figures", type=Path, help="calibrate: write the reports there as well")
    options = parser.parse_args()
    if options.stage == "baseline":
        make_baseline(options.shared, options.out)
    elif options.stage == "ship":
        ship(options.out, options.table)
    else:
        world = options.world or cached_world("study")
        if options.stage == "student":
            make_student(options.shared, options.out, world, options.recipe)
        else:
            calibrate(options.shared, options.out, world, options.figures)


if __name__ == "__main__":
    main()
