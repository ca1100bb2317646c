"""Layouts in which every sequence is a folder: which file holds the boxes, and where frames lie.

A layout is a row of ``LAYOUTS``; the first whose files are there wins. Not tested on real archives,
which were not available; the facts are from public evaluation toolkits and data set pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tirtrack.datasets.columns import CORNERS, Columns
from tirtrack.datasets.stored_frames import IMAGE_FOLDER


@dataclass(frozen=True)
class SequenceLayout:
    """One layout.

    Attributes:
        name: name for output.
        annotation: path of the annotation below a sequence's folder.
        frames: places of the thermal frames below it, in order of preference: names of folders or
            videos, in any case; ``ITSELF`` are images in the folder itself, ``ONLY_VIDEO`` its
            only video.
        base: base of the annotation's coordinates.
        assumed_base: whether the base is assumed because no source states it.
        columns: columns of the annotation, if not x,y,w,h.
        needs: a folder that must be there, to tell layouts with equal annotation apart.
        sparse: whether the annotation may have one row per ten frames.
    """

    name: str
    annotation: str
    frames: tuple[str, ...]
    base: int
    assumed_base: bool = False
    columns: Columns | None = None
    needs: str = ""
    sparse: bool = False

    def fits(self, folder: Path) -> bool:
        """Whether a folder is a sequence of this layout."""
        return (folder / self.annotation).is_file() and (folder / self.needs).is_dir()


ITSELF, ONLY_VIDEO = ".", "*"
_THERMAL = ("infrared", "ir", "tir", "thermal", "lwir")
_UAV_FRAMES = ("infrared.mp4", "ir.mp4", *_THERMAL, ITSELF)
_PLAIN_FRAMES = (IMAGE_FOLDER, *_THERMAL, ONLY_VIDEO, ITSELF, "color")

LAYOUTS = (
    SequenceLayout("GTOT", "groundTruth_i.txt", ("i", *_THERMAL), base=1, columns=CORNERS),
    SequenceLayout("RGBT234 or LasHeR", "infrared.txt", _THERMAL, base=1),
    SequenceLayout("RGBT210", "init.txt", _THERMAL, base=1, needs="infrared"),
    SequenceLayout("VTUAV", "ir.txt", ("ir", *_THERMAL), base=0, assumed_base=True, sparse=True),
    SequenceLayout("Anti-UAV", "infrared.json", _UAV_FRAMES, base=0),
    SequenceLayout("Anti-UAV", "IR_label.json", _UAV_FRAMES, base=0),
    SequenceLayout("VOT-RGBT", "groundtruth.txt", ("ir",), base=0, needs="ir"),
    SequenceLayout("MOTChallenge", "gt/gt.txt", ("img1",), base=1),
    SequenceLayout("groundtruth.txt", "groundtruth.txt", _PLAIN_FRAMES, base=0),
)


def layout_of(folder: Path) -> SequenceLayout | None:
    """The layout of a sequence's folder; ``None`` if it has none of them."""
    return next((layout for layout in LAYOUTS if layout.fits(folder)), None)


def expected_layouts() -> str:
    """What a data set may look like, for messages."""
    files: Sequence[str] = [f"SEQUENCE/{layout.annotation}" for layout in LAYOUTS]
    return ", ".join(dict.fromkeys(files))
