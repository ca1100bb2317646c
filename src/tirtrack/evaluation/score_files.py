"""Scores of result files that exist already; the library side of ``tirtrack score``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from tirtrack.datasets import opened
from tirtrack.datasets.columns import Columns
from tirtrack.datasets.dataset_line import annotation_line
from tirtrack.datasets.sequence import LabelledDataset
from tirtrack.errors import RequestError, did_you_mean
from tirtrack.evaluation.comparison import RESULT_NAME, Comparison
from tirtrack.evaluation.protocols import LengthMode, get
from tirtrack.evaluation.scoring import MissingMode, read_runs, score_runs
from tirtrack.evaluation.starts import all_starts, starts_line
from tirtrack.files import new_folder
from tirtrack.stored import write_stored

_logger = logging.getLogger(__name__)


def score(
    results: Sequence[str | Path],
    dataset: str | Path | LabelledDataset,
    *,
    protocols: Sequence[str] = (),
    columns: Columns | None = None,
    base: int | None = None,
    length: LengthMode = "strict",
    missing: MissingMode = "error",
    starts: int = 1,
    reference: str | None = None,
    group: str | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    command: str = "",
) -> list[Comparison]:
    """Scores of existing result files, and how the trackers compare: one comparison a protocol.

    Args:
        results: folders of ``SEQUENCE.txt`` or ``SEQUENCE_TRACKER.mat`` files, at any depth.
        dataset: name or folder of the annotation, or a data set that is open already; frames are
            not needed.
        protocols: ids of the protocols; the data set's own by default.
        columns: columns of the result files, see :func:`tirtrack.parse_columns`; by default those
            that the files state.
        base: 0 or 1, the pixel that results count from; by default as the run that wrote them
            says, else as the annotation.
        length: treatment of results of another length than the annotation: ``strict`` refuses
            them, ``truncate``, ``pad_last`` and ``pad_zero`` cut or fill them.
        missing: ``error`` refuses when a run is missing, ``skip`` leaves it out of the averages.
        starts: number of start frames of each sequence, as in :func:`tirtrack.evaluate`; results of
            the later ones are the files ``SEQUENCE.start2.txt`` and so on.
        reference: tracker that the others are compared with in tables; by default the best one.
        group: key of the sequences' ``attributes.json`` by which the bootstrap draws groups, as
            there.
        seed: seed of the bootstrap.
        out: a new folder for ``result.json``, one below it for each of several protocols; ``None``:
            nothing is written.
        force: replace what is at ``out``.
        command: the command line, for ``result.json``.

    Raises:
        RequestError: a protocol or the reference is unknown, or ``out`` exists; nothing was
            written.
        DatasetError: a result is missing, damaged, or of another length; or a sequence has no
            group.
    """
    for name in protocols:
        get(name)
    if not all(map(str, results)):  # Path("") would be the current folder
        raise RequestError("an empty name of a result folder", fix="give a folder of result files")
    dataset = opened(dataset, with_frames=False)
    line = f"{annotation_line(dataset)}; frames are not read"
    _logger.info("%s: %s", dataset.name, line)
    if starts > 1:
        _logger.info("%s: %s", dataset.name, starts_line(dataset, starts))
    passes = all_starts(dataset, starts)
    runs = read_runs([Path(one) for one in results], passes, columns=columns, base=base)
    if reference is not None and reference not in (names := [one.name for one in runs]):
        raise RequestError(
            f'no tracker is called "{reference}"', "--reference", did_you_mean(reference, names)
        )
    told = {"source_line": line, "reference": reference or "", "command": command}
    found = []
    for name in protocols or [dataset.protocol]:
        scored = score_runs(
            runs,
            dataset,
            get(name),
            length=length,
            missing=missing,
            starts=starts,
            group=group,
            seed=seed,
        )
        found.append(scored.model_copy(update=told))
    if out is not None:
        _write(found, new_folder(Path(out), force=force))
    return found


def _write(comparisons: Sequence[Comparison], folder: Path) -> None:
    for one in comparisons:
        part = folder / one.protocol if len(comparisons) > 1 else folder
        write_stored(part / RESULT_NAME, one)
