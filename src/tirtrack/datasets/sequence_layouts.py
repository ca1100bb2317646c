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
        needs: files and folders that must be there, to tell layouts with equal annotation apart.
        sparse: whether the annotation may have one row per ten frames.
        first_only: whether the annotation may have a row for the first frame alone.
        rgb: folder of the RGB frames that belong to the thermal ones; empty if there are none.
        rgb_annotation: path of the annotation of the RGB frames; empty if they have none.
        flags: files of flags beside the annotation, which a whole sequence has.
        size_file: file that states the size of the frames; empty if none does.
        has_flat: whether published annotation has boxes without area, which stay as they are.
        protocol: id of the data set's own protocol, where the layout tells the data set.
        counts_by: name of the facts that the protocol cannot do without; empty if there are none.
    """

    name: str
    annotation: str
    frames: tuple[str, ...]
    base: int
    assumed_base: bool = False
    columns: Columns | None = None
    needs: tuple[str, ...] = ()
    sparse: bool = False
    first_only: bool = False
    rgb: str = ""
    rgb_annotation: str = ""
    flags: tuple[str, ...] = ()
    size_file: str = ""
    has_flat: bool = False
    protocol: str = ""
    counts_by: str = ""

    def fits(self, folder: Path) -> bool:
        """Whether a folder is a sequence of this layout. A link that leads nowhere counts as a file
        of annotation, so that reading it is an error, and no sequence is left out silently.
        """
        file = folder / self.annotation
        needed = all((folder / one).exists() for one in self.needs)
        return (file.is_file() or file.is_symlink()) and needed


ITSELF, ONLY_VIDEO = ".", "*"
_THERMAL = ("infrared", "ir", "tir", "thermal", "lwir")
_UAV_FRAMES = ("infrared.mp4", "ir.mp4", *_THERMAL, ITSELF)
_PLAIN_FRAMES = (IMAGE_FOLDER, *_THERMAL, ONLY_VIDEO, ITSELF, "color")

GTOT = SequenceLayout(
    "GTOT", "groundTruth_i.txt", ("i", *_THERMAL), base=1, columns=CORNERS,
    rgb="v", rgb_annotation="groundTruth_v.txt", protocol="gtot", counts_by="second",
)  # fmt: skip
RGBT234 = SequenceLayout(
    "RGBT234 or LasHeR", "infrared.txt", _THERMAL, base=1,
    rgb="visible", rgb_annotation="visible.txt", has_flat=True,
)  # fmt: skip
RGBT210 = SequenceLayout(
    "RGBT210", "init.txt", _THERMAL, base=1, needs=("infrared",), rgb="visible",
    protocol="rgbt210",
)  # fmt: skip
VTUAV = SequenceLayout(
    "VTUAV", "ir.txt", ("ir", *_THERMAL), base=0, assumed_base=True, sparse=True,
    rgb="rgb", rgb_annotation="rgb.txt",
)  # fmt: skip
ANTI_UAV = SequenceLayout("Anti-UAV", "infrared.json", _UAV_FRAMES, base=0, protocol="antiuav-2020")
ANTI_UAV410 = SequenceLayout(
    "Anti-UAV", "IR_label.json", _UAV_FRAMES, base=0, protocol="antiuav410"
)
VOT_RGBT = SequenceLayout(
    "VOT-RGBT", "groundtruth.txt", ("ir",), base=0, needs=("ir", "color"), rgb="color",
    protocol="vot-multistart",
)  # fmt: skip
LASOT = SequenceLayout(
    "LaSOT", "groundtruth.txt", (IMAGE_FOLDER,), base=1, needs=("nlp.txt",),
    flags=("full_occlusion.txt", "out_of_view.txt"), has_flat=True, protocol="lasot",
    counts_by="absent",
)  # fmt: skip
GOT10K = SequenceLayout(
    "GOT-10k", "groundtruth.txt", (ITSELF,), base=0, needs=("meta_info.ini",), first_only=True,
    flags=("absence.label", "cover.label"), size_file="meta_info.ini", protocol="got10k",
    counts_by="cover",
)  # fmt: skip
MOT = SequenceLayout("MOTChallenge", "gt/gt.txt", ("img1",), base=1)
PLAIN = SequenceLayout("groundtruth.txt", "groundtruth.txt", _PLAIN_FRAMES, base=0)

LAYOUTS = (
    GTOT, RGBT234, RGBT210, VTUAV, ANTI_UAV, ANTI_UAV410, VOT_RGBT, LASOT, GOT10K, MOT, PLAIN,
)  # fmt: skip


def layout_of(folder: Path, layouts: Sequence[SequenceLayout] = LAYOUTS) -> SequenceLayout | None:
    """The layout of a sequence's folder; ``None`` if it has none of them."""
    return next((layout for layout in layouts if layout.fits(folder)), None)


def expected_layouts() -> str:
    """What a data set may look like, for messages."""
    files: Sequence[str] = [f"SEQUENCE/{layout.annotation}" for layout in LAYOUTS]
    return ", ".join(dict.fromkeys(files))
