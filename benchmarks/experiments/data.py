"""Which files the experiments read, by the rules of use of the shared data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks.experiments.rows import EVERYTHING, SHIPPABLE
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.errors import RequestError

# set of data/tir_video -> set of the primary figure; ltir and ptb_tir are pooled
PRIMARY_SETS = {
    "drone_dataset": "drone",
    "m3svd": "m3svd",
    "cptv": "cptv",
    "ltir": "ltir+ptb",
    "ptb_tir": "ltir+ptb",
}
RGB_SET = "rgb"
V3 = "data/weights/nanotrack/nanotrack_v3.safetensors"

_M3SVD = ["m3svd/0111_1716", "m3svd/0111_1753", "m3svd/0114_1551", "m3svd/0115_1831",
          "m3svd/0115_1834", "m3svd_video/0111_1716", "m3svd_video/0113_1714"]  # fmt: skip
_HELD_BACK = ["m3svd/0115_1847", "m3svd_video/1230_1202"]
_ROADSCENE_TRAINING = 176  # stems by name; the later ones are held back
LICENCES = {SHIPPABLE: "MIT (M3SVD); synthetic world, our own", EVERYTHING: "research only"}


def primary_groups() -> list[str]:
    """The sets of the primary figure."""
    return sorted(set(PRIMARY_SETS.values()))


def group_of(sequence: LabelledSequence) -> str:
    """The set that a test sequence counts in; an unknown subset is a KeyError."""
    return {**PRIMARY_SETS, RGB_SET: RGB_SET}[sequence.subset]


def check_shared(shared: Path) -> None:
    """Refuse to begin without the data, and say what is missing.

    Raises:
        RequestError: a folder is missing.
    """
    wanted = ["data/tir_video", "data/rgb/video_test", "data/rgb/video_train", "data/rgb/stills",
              "data/pairs", V3]  # fmt: skip
    missing = [name for name in wanted if not (shared / name).exists()]
    if missing:
        raise RequestError(
            f"lacks {', '.join(missing)}",
            shared,
            "the experiments need the shared data beside the repository, or --shared FOLDER",
        )


def training_pairs(shared: Path, which: str, world: Path, work: Path) -> list[Path]:
    """Folders of pairs that are trained on; held-back recordings are not among them."""
    pairs = shared / "data" / "pairs"
    folders = [pairs / name for name in _M3SVD]
    if which == SHIPPABLE:
        return [*folders, *sorted(path for path in (world / "pairs").iterdir() if path.is_dir())]
    stills = {
        "roadscene": lambda index: index < _ROADSCENE_TRAINING,
        "vifb": lambda index: index % 4 != 3,
        "llvip": lambda index: index % 4 != 3,
    }
    for name, is_training in stills.items():
        folders.append(_linked(pairs / name, work / "pairs" / name, is_training))
    return folders


def held_back_pairs(shared: Path) -> list[Path]:
    """Recordings that are held back: for choosing, never for training."""
    return [shared / "data" / "pairs" / name for name in _HELD_BACK]


def _linked(source: Path, target: Path, is_training: Callable[[int], bool]) -> Path:
    """A folder of pairs that holds links to the training part of another."""
    for side in ("rgb", "tir"):
        (target / side).mkdir(parents=True, exist_ok=True)
        for index, path in enumerate(sorted((source / side).iterdir())):
            link = target / side / path.name
            if is_training(index) and not link.exists():
                link.symlink_to(path.resolve())
    return target
