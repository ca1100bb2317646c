"""Tiny data sets in every published layout, with made boxes: what the layout says, file by file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from tirtrack.datasets import benchmarks
from tirtrack.datasets.benchmark import Benchmark, ListedSequence
from tirtrack.media import VideoWriter

ROWS = 3
SIZE_WH = (40, 30)
LEVELS_A_FRAME = 8


@dataclass(frozen=True)
class Made:
    """The files of one made sequence, and its boxes in frame pixels that count from 0."""

    annotation: Path
    images: tuple[Path, ...]
    boxes: np.ndarray


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def images(folder: Path, form: str, first: int = 1, count: int = ROWS) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(first, first + count):
        pixels = np.full(SIZE_WH[::-1], LEVELS_A_FRAME * number, dtype=np.uint8)
        pixels[5:9, 6:12] = 255
        made.append(folder / form.format(number))
        Image.fromarray(pixels).save(made[-1])
    return tuple(made)


def video(path: Path, count: int = ROWS) -> tuple[Path, ...]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, 25.0) as writer:
        for number in range(count):
            writer.write(np.full(SIZE_WH[::-1], 40 * number, dtype=np.uint8))
    return (path,)


def rows(row: str, count: int = ROWS) -> str:
    return f"{row}\n" * count


def same(box: tuple[float, float, float, float], count: int = ROWS) -> np.ndarray:
    return np.tile(np.array(box, dtype=np.float64), (count, 1))


def lsotb_tir(root: Path, name: str) -> Made:
    text(root / "anno" / "att" / f"{name}.txt", ",".join("0" * 16))
    anno = text(root / "anno" / f"{name}.txt", rows("6,5,10,12"))
    return Made(anno, images(root / name / "img", "{:04d}.jpg"), same((5, 4, 10, 12)))


def ptb_tir(root: Path, name: str) -> Made:
    text(root / "anno" / "att" / f"{name}.txt", ",".join("0" * 10))
    anno = text(root / "anno" / f"{name}.txt", rows("6\t5\t10\t12"))
    return Made(anno, images(root / name / "img", "{:08d}.jpg"), same((5, 4, 10, 12)))


def vot_tir(root: Path, name: str) -> Made:
    anno = text(root / name / "groundtruth.txt", rows("5,4,15,4,15,16,5,16"))
    return Made(anno, images(root / name, "{:08d}.png"), same((5, 4, 10, 12)))


def vot_rgbt(root: Path, name: str) -> Made:
    images(root / name / "color", "{:08d}.jpg")
    anno = text(root / name / "groundtruth.txt", rows("5.00,4.00,10.00,12.00"))
    return Made(anno, images(root / name / "ir", "{:08d}.jpg"), same((5, 4, 10, 12)))


def gtot(root: Path, name: str) -> Made:
    images(root / name / "v", "{:05d}v.png")
    text(root / name / "groundTruth_v.txt", rows("6\t5\t16\t17"))
    anno = text(root / name / "groundTruth_i.txt", rows("6\t5\t16\t17"))
    return Made(anno, images(root / name / "i", "{:05d}i.png"), same((5, 4, 10, 12)))


def rgbt210(root: Path, name: str) -> Made:
    images(root / name / "visible", "{:05d}v.jpg")
    anno = text(root / name / "init.txt", rows("6,5,10,12"))
    return Made(anno, images(root / name / "infrared", "{:05d}i.jpg"), same((5, 4, 10, 12)))


def rgbt234(root: Path, name: str) -> Made:
    text(root / name / "visible.txt", rows("7,5,10,12"))
    text(root / name / "init.txt", rows("7,5,10,12"))
    images(root / name / "visible", "{:05d}v.jpg")
    anno = text(root / name / "infrared.txt", rows("6,5,10,12"))
    return Made(anno, images(root / name / "infrared", "{:05d}i.jpg"), same((5, 4, 10, 12)))


def vtuav(root: Path, name: str) -> Made:
    folder = root / "test_ST_001" / name
    images(folder / "rgb", "{:06d}.jpg", first=0, count=30)
    text(folder / "rgb.txt", rows("5 4 10 12"))
    anno = text(folder / "ir.txt", rows("5 4 10 12"))
    return Made(anno, images(folder / "ir", "{:06d}.jpg", first=0, count=30), same((5, 4, 10, 12)))


def anti_uav(root: Path, name: str) -> Made:
    video(root / name / "visible.mp4")
    content = {"exist": [1] * ROWS, "gt_rect": [[5, 4, 10, 12]] * ROWS}
    anno = text(root / name / "infrared.json", json.dumps(content))
    return Made(anno, video(root / name / "infrared.mp4"), same((5, 4, 10, 12)))


def anti_uav410(root: Path, name: str) -> Made:
    content = {"exist": [1] * ROWS, "gt_rect": [[5, 4, 10, 12]] * ROWS}
    anno = text(root / name / "IR_label.json", json.dumps(content))
    return Made(anno, images(root / name, "{:06d}.jpg"), same((5, 4, 10, 12)))


def got10k(root: Path, name: str) -> Made:
    folder = root / name
    text(folder / "meta_info.ini", "[METAINFO]\nanno_fps: 10Hz\nresolution: (40, 30)\n")
    text(folder / "absence.label", rows("0"))
    text(folder / "cover.label", rows("8"))
    anno = text(folder / "groundtruth.txt", rows("5.0000,4.0000,10.0000,12.0000"))
    return Made(anno, images(folder, "{:08d}.jpg"), same((5, 4, 10, 12)))


def got10k_test(root: Path, name: str) -> Made:
    made = got10k(root, name)
    for label in ("absence.label", "cover.label"):
        (root / name / label).unlink()
    made.annotation.write_text("5.0000,4.0000,10.0000,12.0000\n")
    boxes = made.boxes.copy()
    boxes[1:] = np.nan
    return replace(made, boxes=boxes)


def otb(root: Path, name: str) -> Made:
    anno = text(root / name / "groundtruth_rect.txt", rows("6,5,10,12"))
    images(root / name / "img", "{:04d}.jpg", first=1, count=9)
    chosen = tuple(root / name / "img" / f"{number:04d}.jpg" for number in range(4, 7))
    return Made(anno, chosen, same((5, 4, 10, 12)))


def lasot(root: Path, name: str) -> Made:
    folder = root / name.split("-")[0] / name
    text(folder / "full_occlusion.txt", ",".join("0" * ROWS))
    text(folder / "out_of_view.txt", ",".join("0" * ROWS))
    text(folder / "nlp.txt", "a made sentence")
    anno = text(folder / "groundtruth.txt", rows("6,5,10,12"))
    return Made(anno, images(folder / "img", "{:08d}.jpg"), same((5, 4, 10, 12)))


def plain(root: Path, name: str) -> Made:
    anno = text(root / name / "groundtruth.txt", rows("5,4,10,12"))
    return Made(anno, images(root / name / "img", "{:06d}.png"), same((5, 4, 10, 12)))


MAKERS: dict[str, Callable[[Path, str], Made]] = {
    "lsotb-tir": lsotb_tir,
    "lsotb-tir-119": lsotb_tir,
    "lsotb-tir-2023-short": lsotb_tir,
    "lsotb-tir-2023-long": lsotb_tir,
    "ptb-tir": ptb_tir,
    "vot-tir2015": vot_tir,
    "vot-tir2016": vot_tir,
    "vot-rgbt2019": vot_rgbt,
    "vot-rgbt2020": vot_rgbt,
    "gtot": gtot,
    "rgbt210": rgbt210,
    "rgbt234": rgbt234,
    "lasher": rgbt234,
    "lasher-train": rgbt234,
    "vtuav-short": vtuav,
    "vtuav-long": vtuav,
    "anti-uav": anti_uav,
    "anti-uav410": anti_uav410,
    "got10k-train": got10k,
    "got10k-val": got10k,
    "got10k-test": got10k_test,
    "otb": otb,
    "lasot": lasot,
    "lasot-test": lasot,
    "folder": plain,
}
NAMES = ("cat-1", "dog-2")


def small(name: str, names: Sequence[str] = NAMES) -> Benchmark:
    """A published data set that has the two made sequences alone, by a list of its kind."""
    known = benchmarks.get(name)
    listed = tuple(
        ListedSequence(
            one,
            frames=None if name == "got10k-test" or not known.frames else ROWS,
            invalid=None if not known.sequences or known.sequences[0].invalid is None else 0,
            first=4 if name == "otb" else 1,
            annotation=f"{one}/groundtruth_rect.txt" if name == "otb" else "",
        )
        for one in names
    )
    count = len(names) if known.count else 0
    return replace(known, count=count, sequences=listed if known.sequences else ())


def make(root: Path, name: str, names: Sequence[str] = NAMES) -> dict[str, Made]:
    """Both sequences of a data set, and its own list where it has one."""
    made = {one: MAKERS[name](root, one) for one in names}
    if benchmarks.get(name).list_file:
        text(root / benchmarks.get(name).list_file, "\n".join(names) + "\n")
    return made
