"""OTB-2015: 100 entries of 98 folders, ``SEQUENCE/groundtruth_rect.txt`` beside ``img/``.

Some folders hold two targets (``groundtruth_rect.1.txt``), some more frames than are annotated:
the list says which frame, by the number in its name, has the first row.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tirtrack.datasets.annotation import (
    AnnotationFile,
    AnnotationOptions,
    SequenceDescription,
    labelled_sequences,
)
from tirtrack.datasets.benchmark import (
    Benchmark,
    KnownError,
    ListedSequence,
    SequenceReader,
    published,
)
from tirtrack.datasets.sequence import LabelledSequence
from tirtrack.datasets.stored_frames import IMAGE_FOLDER
from tirtrack.errors import DatasetError


def sequence_readers(
    root: Path, benchmark: Benchmark, *, with_frames: bool, options: AnnotationOptions
) -> dict[str, SequenceReader]:
    """A reader for every listed sequence whose annotation is there."""

    def read(one: ListedSequence) -> list[LabelledSequence]:
        path = root / one.annotation
        images = path.parent / IMAGE_FOLDER
        if with_frames and not images.is_dir():
            raise DatasetError(
                f"no frames of {one.name}", path.parent, f"expected a folder {IMAGE_FOLDER}"
            )
        numbers = None if one.frames is None else range(one.first, one.first + one.frames)
        file = AnnotationFile(path, numbers=numbers).with_options(options)
        source = images if images.is_dir() else None
        return labelled_sequences(
            SequenceDescription(one.name), file, source, with_frames=with_frames
        )

    there = [one for one in benchmark.sequences if (root / one.annotation).is_file()]
    return {one.name: partial(read, one) for one in there}


_SOURCE = "github.com/visionml/pytracking, pytracking/evaluation/otbdataset.py"
OTB = Benchmark(
    name="otb",
    title="OTB-2015 (100 entries)",
    described="cvlab.hanyang.ac.kr/tracker_benchmark",
    protocol="otb",
    reader=sequence_readers,
    count=100,
    sequences=published("otb100"),
    has_absent=False,
    errors=(
        KnownError(
            "some copies have fewer boxes or frames of this sequence",
            "github.com/researchmm/SiamDW, issue 88",
            "Tiger1",
        ),
        *(
            KnownError(
                f"the annotation begins with frame {one.first} of the folder, not with the first",
                _SOURCE,
                one.name,
            )
            for one in published("otb100")
            if one.first != 1
        ),
    ),
)
BENCHMARKS = (OTB,)
