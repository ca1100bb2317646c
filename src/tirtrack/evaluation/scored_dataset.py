"""What of a data set a protocol scores: its sequences, the facts that it counts by, their identity.

How runs are scored stands in ``scoring.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tirtrack.datasets.dataset_line import described
from tirtrack.datasets.folders import ATTRIBUTES
from tirtrack.datasets.sequence import LabelledDataset, LabelledSequence
from tirtrack.datasets.stored_frames import read_options
from tirtrack.errors import DatasetError, did_you_mean
from tirtrack.evaluation.overlap import first_valid_row, valid_rows
from tirtrack.evaluation.protocols.base import EvaluationProtocol
from tirtrack.evaluation.protocols.one_pass import check_facts
from tirtrack.media import SourceInfo


def included(dataset: LabelledDataset, protocol: EvaluationProtocol) -> LabelledDataset:
    """The data set reduced to the sequences of the protocol.

    Raises:
        DatasetError: none is left.
    """
    sequences = tuple(s for s in dataset.sequences if protocol.includes(s.name))
    if not sequences:
        raise DatasetError(f"no sequence belongs to {protocol.name}", dataset.root or dataset.name)
    return replace(dataset, sequences=sequences)


def with_sizes(
    dataset: LabelledDataset, infos: Mapping[str, SourceInfo] | None = None
) -> LabelledDataset:
    """The data set with the sizes of its frames, where it does not say them.

    Args:
        dataset: the data set.
        infos: what is known of its first frames, by sequence; read from them by default.
    """
    infos = described(dataset).infos if infos is None else infos
    sequences = [
        replace(one, facts=replace(one.facts, size_wh=(info.width, info.height)))
        if (info := infos.get(one.name)) is not None and one.facts.size_wh is None
        else one
        for one in dataset.sequences
    ]
    return replace(dataset, sequences=tuple(sequences))


def with_facts(
    dataset: LabelledDataset, protocol: EvaluationProtocol, *, partial: bool = False
) -> LabelledDataset:
    """The data set, whose annotation has the facts that a protocol counts by.

    Args:
        dataset: the data set.
        protocol: the protocol.
        partial: whether sequences that lack facts are left out, which its remarks say.

    Raises:
        DatasetError: a sequence lacks one, or all do if they may be left out.
    """
    needs = [one for one in protocol.needs if one in ("absent", "cover", "second")]
    kept, faults = [], []
    for sequence in dataset.sequences:
        try:
            check_facts(protocol.name, needs, sequence.facts, sequence.name)
        except DatasetError as error:
            faults.append(error)
        else:
            kept.append(sequence)
    return dataset_without(dataset, kept, faults, partial=partial)


def dataset_without(
    dataset: LabelledDataset,
    kept: Sequence[LabelledSequence],
    faults: Sequence[DatasetError],
    *,
    partial: bool,
) -> LabelledDataset:
    """The data set with the sequences that are kept, and a remark on each fault of another.

    Raises:
        DatasetError: there is a fault, or nothing but faults if sequences may be left out.
    """
    if faults and (not partial or not kept):
        raise faults[0]
    remarks = (f"a sequence is left out: {one.where}: {one.what}" for one in faults)
    return replace(
        dataset,
        sequences=tuple(kept),
        remarks=(*dataset.remarks, *remarks),
        left_out=dataset.left_out + len(faults),
    )


def groups_of(dataset: LabelledDataset, key: str) -> dict[str, str]:
    """The group of each sequence, by its name: the text under a key of ``attributes.json``.

    Raises:
        DatasetError: a sequence has no text under the key; names its file.
    """
    return {one.name: _group_of(one, key) for one in dataset.sequences}


def _group_of(sequence: LabelledSequence, key: str) -> str:
    if key in sequence.notes:
        return sequence.notes[key]
    file = next((one for one in sequence.files if one.name == ATTRIBUTES), sequence.name)
    fix = f"add it to {ATTRIBUTES} beside the annotation"
    if sequence.notes:
        fix = f"add it, or name another key: {did_you_mean(key, sequence.notes)}"
    raise DatasetError(f'no text under the key "{key}"', file, fix)


def dataset_facts(dataset: LabelledDataset) -> dict[str, Any]:
    """What a comparison says of its data set, beside its name."""
    return {
        "base": dataset.file_base,
        "layout": dataset.layout,
        "read_as": dataset.remarks,
        "read_options": read_options(dataset),
        "dataset_path": None if dataset.root is None else str(dataset.root),
        "sequences": len(dataset.sequences),
        "left_out": dataset.left_out,
        "frames": sum(map(len, dataset.sequences)),
        "absent_frames": sum(_absent_frames(one.annotation) for one in dataset.sequences),
    }


def annotation_sha256(dataset: LabelledDataset) -> str:
    """A hash of names and annotation of all sequences."""
    digest = hashlib.sha256()
    for sequence in dataset.sequences:
        digest.update(sequence.name.encode("utf-8") + b"\0")
        digest.update(np.ascontiguousarray(sequence.annotation, dtype="<f8").tobytes())
    return digest.hexdigest()


def _absent_frames(annotation: np.ndarray) -> int:
    start = first_valid_row(annotation) or 0
    return int((~valid_rows(annotation[start:])).sum())
